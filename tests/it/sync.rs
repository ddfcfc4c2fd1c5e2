//! Sound and picture keep the offset that they had at the source: a flash and a beep at the same
//! instant, every second, followed to the parts.

use std::time::Duration;

use ghostlight::base::{MediaTime, MonoTime};
use ghostlight::hls::Cut;
use ghostlight::rtmp::Writer;
use ghostlight::testing::clips;
use shiguredo_mp4::TrackKind;
use shiguredo_mp4::demux::Fmp4SegmentDemuxer;

use crate::road::Road;

const RATE: i64 = 30;
const GOP: i64 = 60;
/// A flash and a beep are known by their size.
const PICTURE_BYTES: usize = 500;
const FLASH_BYTES: usize = 777;
const SOUND_BYTES: usize = 100;
const BEEP_BYTES: usize = 177;
/// One picture, in microseconds.
const FRAME: i64 = 1_000_000 / RATE;

/// One publication of a source whose clock began anywhere.
struct Source {
    /// When it connects.
    at: u64,
    millis: i64,
    /// What its clock says then.
    stamp: u32,
    /// How much later than the picture its sound begins.
    sound_from: i64,
    /// After this, the sound has 44,100 samples a second instead of 48,000, and the picture
    /// another configuration.
    changes: Option<i64>,
}

impl Source {
    fn play(&self, road: &mut Road) {
        let mut writer = Writer::new();
        writer.set_chunk_size(4_096);
        writer.raw(self.stamp, 9, 1, clips::avc_config());
        writer.raw(self.stamp, 8, 1, clips::aac_config());
        let (mut picture, mut sound) = (0, self.sound_from * 1_000);
        let (mut changed, mut samples_a_second) = (false, 48_000);
        while (picture * FRAME).max(sound) < self.millis * 1_000 {
            let due = picture * FRAME;
            let at = due.min(sound);
            if !changed && self.changes.is_some_and(|millis| millis * 1_000 <= at) {
                (changed, samples_a_second) = (true, 44_100);
                let stamp = self.stamp(at);
                let mut other = clips::avc_config().to_vec();
                other.iter_mut().skip(8).take(1).for_each(|level| *level = 0x1e);
                writer.raw(stamp, 9, 1, other.into());
                writer.raw(stamp, 8, 1, vec![0xaf, 0, 0x12, 0x10].into());
            }
            if due <= sound {
                let bytes = if is_flash(picture) { FLASH_BYTES } else { PICTURE_BYTES };
                writer.raw(self.stamp(at), 9, 1, clips::avc_frame(picture % GOP == 0, bytes));
                picture += 1;
            } else {
                let length = 1_024 * 1_000_000 / samples_a_second;
                let bytes = if is_beep(sound, length) { BEEP_BYTES } else { SOUND_BYTES };
                writer.raw(self.stamp(at), 8, 1, clips::aac_frame(bytes));
                sound += length;
            }
            self.carry(at, &writer.take(), road);
        }
    }

    fn carry(&self, micros: i64, chunks: &[u8], road: &mut Road) {
        road.input.extend_from_slice(chunks);
        road.ingest(mono(self.at + u64::try_from(micros / 1_000).expect("after the start")));
        road.cut();
        road.frames.clear();
    }

    fn stamp(&self, micros: i64) -> u32 {
        self.stamp.wrapping_add(u32::try_from(micros / 1_000).expect("after the start"))
    }
}

/// In the middle of each second, away from keyframes.
fn is_flash(picture: i64) -> bool {
    picture % RATE == RATE / 2
}

/// Of all frames the nearest to a flash.
fn is_beep(start: i64, length: i64) -> bool {
    let into_second = (start + 500_000).rem_euclid(1_000_000);
    let off = if into_second < 500_000 { into_second } else { into_second - 1_000_000 };
    -length / 2 <= off && off < length - length / 2
}

fn mono(millis: u64) -> MonoTime {
    MonoTime::from_start(Duration::from_millis(millis))
}

/// When the flashes and the beeps are presented, in microseconds.
fn presented(cuts: &[Cut]) -> (Vec<i64>, Vec<i64>) {
    let mut demuxer = Fmp4SegmentDemuxer::new();
    let (mut flashes, mut beeps) = (Vec::new(), Vec::new());
    for cut in cuts {
        match cut {
            Cut::Init(init) => {
                demuxer = Fmp4SegmentDemuxer::new();
                demuxer.handle_init_segment(&init.bytes).expect("an init segment");
            }
            Cut::Part(part) if !part.gap => {
                for sample in demuxer.handle_media_segment(&part.bytes).expect("a part") {
                    let ticks = i64::try_from(sample.timestamp).expect("a time")
                        + sample.composition_time_offset.unwrap_or(0);
                    let at = MediaTime::from_ticks(ticks, sample.track.timescale.get());
                    match (sample.track.kind, sample.data_size) {
                        (TrackKind::Video, FLASH_BYTES) => flashes.push(at.as_micros()),
                        (TrackKind::Audio, BEEP_BYTES) => beeps.push(at.as_micros()),
                        (TrackKind::Video | TrackKind::Audio | TrackKind::Subtitle, _) => {}
                    }
                }
            }
            Cut::Part(_) | Cut::Targets(_) | Cut::Open(_) | Cut::Close { .. } => {}
        }
    }
    (flashes, beeps)
}

/// H58: the offset of audio and video is the source's within one frame, over a reconnect of both
/// tracks, a change of both configurations and a takeover.
#[test]
fn sound_and_picture_stay_together_whatever_happens() {
    let source =
        |at, millis, stamp, sound_from| Source { at, millis, stamp, sound_from, changes: None };
    let mut road = Road::new();
    source(0, 8_200, 0, 0).play(&mut road);
    road.lose(mono(8_200));
    road.segmenter.fill_gap(MediaTime::from_millis(13_000), &mut road.cuts);
    road.reconnect(mono(13_500));
    Source { changes: Some(5_000), ..source(13_500, 9_700, 4_294_965_000, 7) }.play(&mut road);
    road.reconnect(mono(23_250));
    source(23_250, 6_000, 777_000, 45).play(&mut road);
    road.segmenter.finish(&mut road.cuts);

    let (flashes, beeps) = presented(&road.cuts);
    assert!(flashes.len() >= 22, "{} flashes arrive", flashes.len());
    for flash in &flashes {
        let off = beeps.iter().map(|beep| beep - flash).min_by_key(|off| off.abs());
        let off = off.expect("beeps arrive too");
        assert!(off.abs() < FRAME, "the beep of the flash at {flash} us is {off} us off");
    }
}
