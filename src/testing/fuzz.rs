//! Fuzz entry points of the media room: one call each, bytes in. They judge as well as run:
//! what must always hold is asserted here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::clips;
use crate::base::{Limits, MediaTime, MonoTime};
use crate::media::{
    AudioTag, FlvReader, Frame, Intake, IntakeError, TrackKind, VideoTag, aac, av1, avc, flac,
    hevc, opus, vp9,
};

/// An FLV tag body of either kind.
pub fn flv_tag(body: &[u8]) {
    let body = Bytes::copy_from_slice(body);
    // What comes out lies within what went in: the parser slices, it does not make.
    if let Ok(tag) = VideoTag::parse(body.clone()) {
        assert!(tag.nanos < 1_000_000);
        assert!(tag.packets.iter().count() <= body.len());
    }
    if let Ok(tag) = AudioTag::parse(body.clone()) {
        assert!(tag.nanos < 1_000_000);
        assert!(tag.packets.iter().count() <= body.len());
    }
}

/// A codec configuration, read as every codec's.
pub fn codec_config(record: &[u8]) {
    let record = Bytes::copy_from_slice(record);
    let half = record.slice(record.len() / 2..);
    let videos = [
        avc::parse_config(&record).ok(),
        hevc::parse_config(&record).ok(),
        av1::parse_config(&record).ok().flatten(),
        av1::parse_config_with(&record, &half).ok(),
        vp9::parse_config_with(&record, &half).ok(),
    ];
    for video in videos.into_iter().flatten() {
        assert!(video.width > 0 && video.height > 0);
        assert!(video.frame_rate.is_none_or(|(frames, seconds)| frames > 0 && seconds > 0));
    }
    let audios =
        [aac::parse_config(&record), opus::parse_config(&record), flac::parse_config(&record)];
    for audio in audios.into_iter().flatten() {
        assert!(audio.sample_rate > 0 && audio.channels > 0);
    }
}

/// An FLV file.
pub fn flv_file(file: &[u8]) {
    const TAG_BYTES_MAX: usize = 1_000;
    let Ok(reader) = FlvReader::new(Bytes::copy_from_slice(file), TAG_BYTES_MAX) else { return };
    let mut tags = 0;
    for tag in reader {
        tags += 1;
        assert!(tag.is_err() || tag.is_ok_and(|tag| tag.body.len() <= TAG_BYTES_MAX));
    }
    assert!(tags <= file.len());
}

/// A publisher's messages: each is a byte for what it is, one for how long it comes after the
/// one before, one for how its time lies, and for raw bodies their length and bytes.
pub fn intake(script: &[u8]) {
    let limits = Limits { frame_bytes_max: 4_096, gop_bytes_max: 16_384, ..Limits::default() };
    let mut intake = Intake::new(&limits);
    let mut judge = Judge::default();
    let live = Arc::new(AtomicUsize::new(0));
    let mut script = script.iter().copied();
    let mut now = MonoTime::ZERO;
    while let Some(message) = Message::parse(&mut script) {
        now = now + message.wait;
        let timestamp = message.timestamp(now);
        let body = counted(message.body, &live);
        let done = if message.video {
            intake.handle_video(timestamp, body, now)
        } else {
            intake.handle_audio(timestamp, body, now)
        };
        judge.take(&mut intake);
        // Held by the start, by the timeline for each track, and by the interleaving.
        let held = live.load(Ordering::Relaxed);
        let held_max = 3 * limits.gop_bytes_max + 4 * limits.frame_bytes_max;
        assert!(held <= held_max, "{held} bytes held");
        if ended(done) {
            return;
        }
    }
    for _ in 0..40 {
        now = now + Duration::from_millis(100);
        if ended(intake.handle_tick(now)) {
            return;
        }
        judge.take(&mut intake);
    }
}

fn ended(done: Result<(), IntakeError>) -> bool {
    done.is_err_and(|error| {
        assert!(!error.as_str().is_empty() && !error.to_string().is_empty());
        true
    })
}

/// What must hold for all frames of an intake.
#[derive(Default)]
struct Judge {
    video: Option<(u32, MediaTime)>,
    audio: Option<(u32, MediaTime)>,
    /// The run of the newest frame, and where it began.
    run: u32,
    run_start: Option<MediaTime>,
}

impl Judge {
    fn take(&mut self, intake: &mut Intake) {
        while let Some(frame) = intake.next_frame() {
            self.check(&frame);
        }
        while let Some(notice) = intake.next_notice() {
            assert!(!notice.to_string().is_empty());
        }
    }

    fn check(&mut self, frame: &Frame) {
        let before = match frame.track {
            TrackKind::Video => self.video.replace((frame.run, frame.dts)),
            TrackKind::Audio => self.audio.replace((frame.run, frame.dts)),
        };
        if let Some((run, dts)) = before {
            assert!(run <= frame.run, "run {} after {run}", frame.run);
            assert!(dts < frame.dts, "{:?} after {dts:?}", frame.dts);
        } else if frame.track == TrackKind::Video {
            assert!(frame.keyframe, "video starts with a keyframe");
        }
        assert!(frame.dts >= MediaTime::ZERO && frame.pts >= frame.dts);
        assert!(!frame.payload.is_empty());
        let known = match frame.track {
            TrackKind::Video => frame.format.video.is_some(),
            TrackKind::Audio => frame.format.audio.is_some(),
        };
        assert!(known, "a frame comes with its configuration");
        if frame.run != self.run {
            assert_eq!(frame.run, self.run + 1);
            let spaced =
                self.run_start.is_none_or(|start| frame.dts - start >= MediaTime::from_millis(200));
            assert!(spaced, "a run of less than 200 ms");
            self.run = frame.run;
            self.run_start = Some(frame.dts);
        }
    }
}

struct Message {
    video: bool,
    wait: Duration,
    skew: u8,
    body: Vec<u8>,
}

impl Message {
    fn parse(script: &mut impl Iterator<Item = u8>) -> Option<Self> {
        let [what, wait, skew] = [script.next()?, script.next()?, script.next()?];
        let body = match what % 16 {
            0 => clips::avc_config().to_vec(),
            1 => clips::aac_config().to_vec(),
            2..=4 => clips::avc_frame(true, 500).to_vec(),
            5..=8 => clips::avc_frame(false, 500).to_vec(),
            9..=13 => clips::aac_frame(100).to_vec(),
            _ => {
                let len = usize::from(script.next()?);
                script.take(len).collect()
            }
        };
        let video = matches!(what % 16, 0 | 2..=8 | 14);
        Some(Self { video, wait: Duration::from_millis(wait.into()), skew, body })
    }

    /// Mostly the true time; else anything.
    fn timestamp(&self, now: MonoTime) -> u32 {
        let truth = u32::try_from(now.since_start().as_millis()).unwrap_or(u32::MAX);
        match self.skew {
            0..200 => truth,
            200..220 => 0,
            220..240 => truth.wrapping_sub(u32::from(self.skew) * 10),
            odd => truth.wrapping_mul(u32::from(odd)).rotate_left(u32::from(odd) % 32),
        }
    }
}

/// A body that is counted in `live` for as long as anybody holds a slice of it.
fn counted(body: Vec<u8>, live: &Arc<AtomicUsize>) -> Bytes {
    struct Counted(Vec<u8>, Arc<AtomicUsize>);
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_sub(self.0.len(), Ordering::Relaxed);
        }
    }
    live.fetch_add(body.len(), Ordering::Relaxed);
    Bytes::from_owner(Counted(body, Arc::clone(live)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tags_configs_and_files(bytes: Vec<u8>) {
            flv_tag(&bytes);
            codec_config(&bytes);
            flv_file(&[b"FLV\x01\x05\0\0\0\x09\0\0\0\0", &bytes[..]].concat());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        // R20-R26, H55: times rise and memory is bounded, whatever is sent.
        #[test]
        fn publishers(script in prop::collection::vec(any::<u8>(), 0..3_000)) {
            intake(&script);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn publishers_that_start_well(script in prop::collection::vec(any::<u8>(), 0..3_000)) {
            intake(&[&[0, 0, 0, 1, 0, 0, 2, 0, 0], &script[..]].concat());
        }
    }
}
