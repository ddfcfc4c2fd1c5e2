use proptest::prelude::*;

use super::*;
use crate::testing::clips;

/// A publisher and the clock it lives by. Media is sent when it is stamped.
pub(super) struct Publisher {
    intake: Intake,
    now: MonoTime,
    frames: Vec<Frame>,
    pub(super) notices: Vec<&'static str>,
}

impl Publisher {
    pub(super) fn new() -> Self {
        Self::with(&Limits::default())
    }

    pub(super) fn with(limits: &Limits) -> Self {
        let intake = Intake::new(limits);
        Self { intake, now: MonoTime::ZERO, frames: Vec::new(), notices: Vec::new() }
    }

    pub(super) fn at(&mut self, millis: u64) {
        self.now = MonoTime::ZERO + Duration::from_millis(millis);
    }

    fn stamp(&self) -> u32 {
        u32::try_from(self.now.since_start().as_millis()).unwrap()
    }

    pub(super) fn video(&mut self, body: Bytes) -> Result<(), IntakeError> {
        let done = self.intake.handle_video(self.stamp(), body, self.now);
        self.fetch();
        done
    }

    pub(super) fn audio(&mut self, body: Bytes) -> Result<(), IntakeError> {
        let done = self.intake.handle_audio(self.stamp(), body, self.now);
        self.fetch();
        done
    }

    fn tick(&mut self) -> Result<(), IntakeError> {
        let done = self.intake.handle_tick(self.now);
        self.fetch();
        done
    }

    fn fetch(&mut self) {
        self.frames.extend(std::iter::from_fn(|| self.intake.next_frame()));
        self.notices
            .extend(std::iter::from_fn(|| self.intake.next_notice()).map(|notice| notice.as_str()));
    }

    pub(super) fn configs(&mut self) {
        self.video(clips::avc_config()).unwrap();
        self.audio(clips::aac_config()).unwrap();
    }

    /// Plays `from..to` ms: 25 frames a second, a keyframe every `gop` ms, and AAC.
    pub(super) fn play(&mut self, from: u64, to: u64, gop: u64) {
        self.play_some(from, to, Some(gop), true).unwrap();
    }

    pub(super) fn play_some(
        &mut self,
        from: u64,
        to: u64,
        gop: Option<u64>,
        audio: bool,
    ) -> Result<(), IntakeError> {
        for millis in from..to {
            self.at(millis);
            if let Some(gop) = gop.filter(|_| millis % 40 == 0) {
                self.video(clips::avc_frame(millis % gop == 0, 500))?;
            }
            if audio && millis % 64 % 21 == 0 && millis % 64 != 63 {
                self.audio(clips::aac_frame(100))?;
            }
            if millis % 100 == 0 {
                self.tick()?;
            }
        }
        Ok(())
    }

    /// Frames so far as text: `V` keyframe, `v` other video, `a` audio, with their ms.
    fn text(&self, count: usize) -> String {
        let word = |frame: &Frame| {
            let letter = match (frame.track, frame.keyframe) {
                (TrackKind::Video, true) => 'V',
                (TrackKind::Video, false) => 'v',
                (TrackKind::Audio, _) => 'a',
            };
            format!("{letter}{}", frame.dts.as_micros() / 1_000)
        };
        self.frames.iter().take(count).map(word).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn formats(&self) -> Vec<Arc<Format>> {
        let mut formats: Vec<Arc<Format>> = Vec::new();
        for frame in &self.frames {
            if formats.last().is_none_or(|last| !Arc::ptr_eq(last, &frame.format)) {
                formats.push(Arc::clone(&frame.format));
            }
        }
        formats
    }

    fn first_at(&self, track: TrackKind) -> Option<i64> {
        let first = self.frames.iter().find(|frame| frame.track == track)?;
        Some(first.dts.as_micros() / 1_000)
    }
}

/// An AVC configuration for another profile: the level byte of the record differs.
pub(super) fn other_avc_config() -> Bytes {
    let mut body = clips::avc_config().to_vec();
    body[5 + 3] = 0x1e;
    body.into()
}

#[test]
fn with_both_configurations_it_starts_at_the_first_keyframe() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.video(clips::avc_frame(true, 500)).unwrap();
    assert_eq!(publisher.text(9), "V0");
    publisher.play(21, 130, 2_000);
    assert_eq!(publisher.text(9), "V0 a21 v40 a42 a63 v80 a85 a106 v120");
    let formats = publisher.formats();
    assert_eq!(formats.len(), 1);
    assert_eq!(*formats[0], *clips::format());
    assert!(publisher.notices.is_empty(), "{:?}", publisher.notices);
}

// H58, H59: what comes before the keyframe is left out, of both tracks.
#[test]
fn what_comes_before_the_keyframe_is_left_out() {
    let mut publisher = Publisher::new();
    publisher.configs();
    for millis in (0..1_000).step_by(20) {
        publisher.at(millis);
        publisher.audio(clips::aac_frame(100)).unwrap();
        publisher.video(clips::avc_frame(false, 500)).unwrap();
    }
    assert!(publisher.frames.is_empty());
    publisher.at(995);
    publisher.video(clips::avc_frame(true, 500)).unwrap();
    publisher.at(1_001);
    publisher.audio(clips::aac_frame(100)).unwrap();
    // The frame at 980 still sounds at 995, so it comes first.
    assert_eq!(publisher.text(9), "a0 V15");
}

// A sender with its own idea of order: the newest audio first, then older video.
#[test]
fn the_broadcast_begins_with_the_keyframe_even_if_later_audio_came_first() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.at(800);
    publisher.audio(clips::aac_frame(100)).unwrap();
    publisher.at(500);
    publisher.video(clips::avc_frame(true, 500)).unwrap();
    assert_eq!(publisher.text(3), "V0");
    publisher.at(900);
    publisher.tick().unwrap();
    assert_eq!(publisher.text(3), "V0 a300");
}

// R15: sound waits for its configuration, which may come in either order, but not for ever.
#[test]
fn audio_waits_for_its_configuration_but_not_for_ever() {
    let mut publisher = Publisher::new();
    publisher.video(clips::avc_config()).unwrap();
    publisher.play(0, 1_500, 2_000);
    assert!(publisher.frames.is_empty());
    publisher.audio(clips::aac_config()).unwrap();
    assert_eq!(publisher.text(4), "V0 a0 a21 v40");

    let mut publisher = Publisher::new();
    publisher.video(clips::avc_config()).unwrap();
    publisher.play(0, 2_500, 10_000);
    assert_eq!(publisher.text(3), "V0 v40 v80");
    assert!(publisher.formats()[0].audio.is_none());
    assert_eq!(publisher.notices, ["audio_config_missing"]);
    // It may come later: a new format.
    publisher.audio(clips::aac_config()).unwrap();
    publisher.play(2_500, 2_700, 10_000);
    assert_eq!(publisher.formats().len(), 2);
    assert_eq!(*publisher.formats()[1], *clips::format());
    let first = publisher.first_at(TrackKind::Audio).unwrap();
    assert!((2_500..2_530).contains(&first), "{first}");
}

// R15: sound whose configuration makes no sense is left out.
#[test]
fn audio_with_a_malformed_configuration_is_left_out() {
    let mut publisher = Publisher::new();
    publisher.video(clips::avc_config()).unwrap();
    publisher.audio(Bytes::from_static(&[0xaf, 0, 0xff])).unwrap();
    publisher.play(0, 2_500, 10_000);
    assert!(publisher.formats()[0].audio.is_none());
    assert_eq!(publisher.notices, ["bad_config", "audio_config_missing"]);
}

// R16: pictures without configuration are dropped, told at 5 s and ended at 30 s.
#[test]
fn video_without_configuration_is_dropped_then_ends_the_publication() {
    let mut publisher = Publisher::new();
    publisher.audio(clips::aac_config()).unwrap();
    publisher.play(0, 4_999, 2_000);
    assert!(publisher.notices.is_empty(), "{:?}", publisher.notices);
    publisher.play(4_999, 5_001, 2_000);
    assert_eq!(publisher.notices, ["video_config_missing"]);
    publisher.play(5_001, 30_000, 2_000);
    assert!(publisher.frames.is_empty());
    assert_eq!(publisher.notices, ["video_config_missing"]);
    let error = publisher.play_some(30_000, 30_001, Some(2_000), true).unwrap_err();
    assert_eq!(error, IntakeError::NoVideoConfig { waited: Duration::from_secs(30) });
}

// R17: sound alone starts by itself; pictures that come later are a new format.
#[test]
fn audio_alone_starts_after_three_seconds_or_when_metadata_says_so() {
    let mut publisher = Publisher::new();
    publisher.audio(clips::aac_config()).unwrap();
    publisher.play_some(0, 2_990, None, true).unwrap();
    assert!(publisher.frames.is_empty());
    publisher.play_some(2_990, 3_200, None, true).unwrap();
    assert_eq!(publisher.text(2), "a0 a21");
    // Sound is held for two seconds.
    let began = publisher.intake.began().expect("started");
    assert_eq!(began, MonoTime::from_start(Duration::from_millis(1_002)));
    assert_eq!(*publisher.formats()[0], *clips::audio_format());

    // Video that comes later is a new format, from its keyframe on.
    publisher.video(clips::avc_config()).unwrap();
    publisher.play(3_960, 4_200, 2_000);
    assert_eq!(publisher.formats().len(), 2);
    let video = publisher.frames.iter().find(|frame| frame.track == TrackKind::Video).unwrap();
    assert!(video.keyframe);

    let mut publisher = Publisher::new();
    publisher.intake.handle_metadata(MetadataHint { has_video: Some(false), ..Default::default() });
    publisher.audio(clips::aac_config()).unwrap();
    publisher.audio(clips::aac_frame(100)).unwrap();
    assert_eq!(publisher.text(2), "a0");
}

// R18: pictures alone start by themselves, or at once when metadata says so.
#[test]
fn video_alone_starts_after_three_seconds_or_when_metadata_says_so() {
    let mut publisher = Publisher::new();
    publisher.video(clips::avc_config()).unwrap();
    publisher.play_some(0, 2_990, Some(2_000), false).unwrap();
    assert!(publisher.frames.is_empty());
    publisher.play_some(2_990, 3_200, Some(2_000), false).unwrap();
    assert_eq!(publisher.text(2), "V0 v40");
    // The newest keyframe came two seconds after the first.
    assert_eq!(publisher.intake.began(), Some(MonoTime::from_start(Duration::from_secs(2))));
    assert_eq!(*publisher.formats()[0], *clips::video_format());

    let mut publisher = Publisher::new();
    publisher.intake.handle_metadata(MetadataHint { has_audio: Some(false), ..Default::default() });
    publisher.video(clips::avc_config()).unwrap();
    publisher.video(clips::avc_frame(true, 500)).unwrap();
    assert_eq!(publisher.text(2), "V0");
}

// R18: metadata that lies costs nothing but its promise.
#[test]
fn metadata_is_only_a_hint() {
    let mut publisher = Publisher::new();
    publisher.intake.handle_metadata(MetadataHint {
        has_video: Some(false),
        has_audio: Some(false),
        encoder: None,
    });
    publisher.configs();
    publisher.play(0, 200, 2_000);
    assert_eq!(*publisher.formats()[0], *clips::format());
}

// R19: the same configuration again is nothing.
#[test]
fn the_same_configuration_again_is_nothing() {
    let mut publisher = Publisher::new();
    publisher.configs();
    for second in 0..100 {
        publisher.play(second * 1_000, (second + 1) * 1_000, 2_000);
        publisher.configs();
    }
    assert_eq!(publisher.formats().len(), 1);
}

// R19: another configuration is a new format from the next keyframe on.
#[test]
fn another_configuration_is_a_new_format_from_the_next_keyframe_on() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.play(0, 1_000, 2_000);
    publisher.video(other_avc_config()).unwrap();
    publisher.play(1_000, 2_500, 2_000);
    let formats = publisher.formats();
    assert_eq!(formats.len(), 2);
    assert_eq!(formats[1].video.as_ref().unwrap().codec_string, "avc1.64001e");
    let new: Vec<_> = publisher
        .frames
        .iter()
        .filter(|frame| frame.track == TrackKind::Video && frame.dts.as_micros() >= 1_000_000)
        .collect();
    assert_eq!(new[0].dts.as_micros() / 1_000, 2_000);
    assert!(new[0].keyframe && Arc::ptr_eq(&new[0].format, &formats[1]));
}

#[test]
fn the_end_of_a_sequence_is_ignored() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.play(0, 1_000, 500);
    publisher.video(Bytes::from_static(&[0x17, 2, 0, 0, 0])).unwrap();
    publisher.play(1_000, 2_000, 500);
    assert_eq!(publisher.formats().len(), 1);
    assert_eq!(publisher.frames.iter().filter(|f| f.track == TrackKind::Video).count(), 50);
}

// R21: a jump in time is a new run from the next keyframe on.
#[test]
fn a_time_jump_is_a_new_run_from_the_next_keyframe_on() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.play(0, 1_000, 2_000);
    publisher.play(60_000, 63_000, 2_000);
    let runs: Vec<_> = publisher.frames.iter().map(|frame| frame.run).collect();
    assert!(runs.is_sorted() && runs.last() == Some(&1), "{runs:?}");
    let first = publisher.frames.iter().find(|frame| frame.run == 1).unwrap();
    assert!(first.keyframe && first.track == TrackKind::Video);
    let last = publisher.frames.last().unwrap().dts.as_micros() / 1_000;
    assert!((3_900..4_100).contains(&last), "{last}");
    assert_eq!(publisher.notices, ["time_jump"]);
}

// R22: a clock that jumps with every frame, all of them keyframes, makes a break every 200 ms.
#[test]
fn breaks_are_200_ms_apart_however_often_the_time_jumps() {
    let mut publisher = Publisher::new();
    publisher.video(clips::avc_config()).unwrap();
    let no_audio = MetadataHint { has_audio: Some(false), ..Default::default() };
    publisher.intake.handle_metadata(no_audio);
    for frame in 0_u32..500 {
        publisher.at(u64::from(frame) * 40);
        // Two frames on each of three clocks, each an hour from the last: so it is believed.
        let stamp = frame / 2 % 3 * 3_600_000 + frame * 40;
        let body = clips::avc_frame(true, 500);
        publisher.intake.handle_video(stamp, body, publisher.now).unwrap();
        publisher.fetch();
    }
    let begins: Vec<_> = publisher
        .frames
        .chunk_by(|a, b| a.run == b.run)
        .map(|run| run[0].dts.as_micros() / 1_000)
        .collect();
    assert!(begins.len() > 50, "{begins:?}");
    assert!(begins[1..].windows(2).all(|pair| pair[1] - pair[0] >= 200), "{begins:?}");
}

// R52: a codec that is none of ours is named.
#[test]
fn a_codec_that_is_none_of_ours_is_named() {
    let error = Publisher::new().video(Bytes::from_static(b"\x90vvc1....")).unwrap_err();
    assert_eq!(error.as_str(), "codec_not_supported");
    assert!(error.to_string().contains("vvc1"), "{error}");
    let error = Publisher::new().video(Bytes::from_static(&[0x12, 0])).unwrap_err();
    assert_eq!(error.as_str(), "codec_not_supported");
    // Old audio codecs cost the audio alone.
    let mut publisher = Publisher::new();
    publisher.audio(Bytes::from_static(&[0xb2, 0])).unwrap();
    assert_eq!(publisher.notices, ["audio_codec_not_supported"]);
}

// R52: of several tracks the first is used.
#[test]
fn the_first_track_is_used() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.play(0, 1_000, 500);
    let record = clips::avc_record();
    let second: Bytes = [&b"\x96\x00avc1\x01"[..], &record].concat().into();
    publisher.video(second).unwrap();
    publisher.play(1_000, 2_000, 500);
    assert_eq!(publisher.formats().len(), 1);
    assert_eq!(publisher.notices, ["extra_track"]);
}

#[test]
fn broken_frames_are_dropped_alone() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.play(0, 100, 2_000);
    let before = publisher.frames.len();
    publisher.video(Bytes::from_static(&[0x27, 1, 0, 0, 0, 0, 0, 0, 9, 1])).unwrap();
    publisher.video(Bytes::from_static(&[0x27])).unwrap();
    publisher.video(Bytes::new()).unwrap();
    publisher.audio(Bytes::new()).unwrap();
    assert_eq!(publisher.frames.len(), before);
    assert_eq!(publisher.notices, ["broken_frame", "broken_tag"]);
}

#[test]
fn presentation_follows_composition_and_never_precedes_decoding() {
    let mut publisher = Publisher::new();
    publisher.configs();
    let frame = |composition: i32| {
        let [_, a, b, c] = composition.to_be_bytes();
        let payload = clips::avc_payload(true, 100);
        Bytes::from([&[0x17, 1, a, b, c][..], &payload].concat())
    };
    let mut expected = Vec::new();
    for (at, composition, shown) in
        [(0, 80, 80), (40, 0, 40), (80, -500, 80), (120, 8_000_000, 10_120)]
    {
        publisher.at(at);
        publisher.video(frame(composition)).unwrap();
        expected.push(MediaTime::from_millis(shown));
    }
    publisher.at(300);
    publisher.tick().unwrap();
    let shown: Vec<_> = publisher.frames.iter().map(|frame| frame.pts).collect();
    assert_eq!(shown, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    // H55, R22: whatever is sent, times rise and runs never fall.
    #[test]
    fn whatever_is_sent_times_rise_and_runs_never_fall(
        sent in prop::collection::vec((0_u8..8, any::<u32>(), 0_u64..500), 1..200),
    ) {
        let mut publisher = Publisher::new();
        let mut millis = 0;
        for (what, stamp, wait) in sent {
            millis += wait;
            publisher.at(millis);
            let stamp = if stamp % 3 == 0 { stamp } else { u32::try_from(millis).unwrap() };
            let now = publisher.now;
            let done = match what {
                0 => publisher.intake.handle_video(stamp, clips::avc_config(), now),
                1 => publisher.intake.handle_video(stamp, other_avc_config(), now),
                2 => publisher.intake.handle_video(stamp, clips::avc_frame(true, 50), now),
                3 | 4 => publisher.intake.handle_video(stamp, clips::avc_frame(false, 50), now),
                5 => publisher.intake.handle_audio(stamp, clips::aac_config(), now),
                _ => publisher.intake.handle_audio(stamp, clips::aac_frame(50), now),
            };
            publisher.fetch();
            if done.is_err() {
                break;
            }
        }
        millis += 2_000;
        publisher.at(millis);
        let _ = publisher.tick();
        for track in [TrackKind::Video, TrackKind::Audio] {
            let own: Vec<_> = publisher.frames.iter().filter(|f| f.track == track).collect();
            for pair in own.windows(2) {
                prop_assert!(pair[0].dts < pair[1].dts);
                prop_assert!(pair[0].run <= pair[1].run);
            }
            for frame in own {
                prop_assert!(frame.dts <= frame.pts && frame.dts >= MediaTime::ZERO);
            }
        }
    }
}

/// What waited for the other track when the encoder ended is not lost.
#[test]
fn the_last_frames_leave_at_the_end() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.play(0, 500, 400);
    publisher.play_some(500, 561, Some(400), false).unwrap();
    let videos = |publisher: &Publisher| {
        publisher.frames.iter().filter(|frame| frame.track == TrackKind::Video).count()
    };
    assert!(videos(&publisher) < 15, "the newest picture waits for sound");
    publisher.intake.handle_end();
    publisher.fetch();
    assert_eq!(videos(&publisher), 15);
}
