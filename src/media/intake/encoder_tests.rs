//! Files of real encoders, through the reader and the intake.

use super::*;
use crate::media::{FlvReader, FlvTagKind};

/// What a file gives: `codec size rate, codec rate channels`, then frames and keyframes.
fn play(file: &'static [u8]) -> (String, Vec<Frame>) {
    let mut intake = Intake::new(&Limits::default());
    let mut frames = Vec::new();
    let mut now = MonoTime::ZERO;
    for tag in FlvReader::new(Bytes::from_static(file), 100_000).unwrap() {
        let tag = tag.unwrap();
        now = MonoTime::ZERO + Duration::from_millis(tag.timestamp.into());
        match tag.kind {
            FlvTagKind::Video => intake.handle_video(tag.timestamp, tag.body, now).unwrap(),
            FlvTagKind::Audio => intake.handle_audio(tag.timestamp, tag.body, now).unwrap(),
            FlvTagKind::Script => {}
        }
        frames.extend(std::iter::from_fn(|| intake.next_frame()));
    }
    intake.handle_tick(now + Duration::from_secs(1)).unwrap();
    frames.extend(std::iter::from_fn(|| intake.next_frame()));
    let notices: Vec<_> = std::iter::from_fn(|| intake.next_notice()).collect();
    assert!(notices.iter().all(|notice| notice.as_str() == "extra_track"), "{notices:?}");
    let format = intake.format().unwrap();
    let (video, audio) = (format.video.as_ref().unwrap(), format.audio.as_ref().unwrap());
    let text = format!(
        "{} {}x{} {:?}, {} {} {}",
        video.codec_string,
        video.width,
        video.height,
        video.frame_rate,
        audio.codec_string,
        audio.sample_rate,
        audio.channels,
    );
    (text, frames)
}

fn check(file: &'static [u8], format: &str, samples: i64, rate: u32) {
    let (text, frames) = play(file);
    assert_eq!(text, format);
    assert!(frames.iter().all(|frame| frame.run == 0 && frame.pts >= frame.dts));
    assert!(frames.iter().all(|frame| Arc::ptr_eq(&frame.format, &frames[0].format)));
    let of = |track| frames.iter().filter(move |frame| frame.track == track);
    let video: Vec<_> = of(TrackKind::Video).collect();
    assert_eq!(video.len(), 6, "{format}");
    assert!(video[0].keyframe && video.iter().any(|frame| !frame.keyframe), "{format}");
    for pair in video.windows(2) {
        let step = (pair[1].dts - pair[0].dts).as_micros();
        assert!((33_000..=34_000).contains(&step), "{format}: {step}");
    }
    // field #22: to the sample.
    let starts: Vec<_> = of(TrackKind::Audio).map(|frame| frame.dts.to_ticks(rate)).collect();
    assert!(starts.len() > 3, "{format}");
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == samples), "{format}: {starts:?}");
}

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/data/encoders/", $name, ".flv"))
    };
}

// R52, H60, H61: what FFmpeg writes of each codec is read, named and measured.
#[test]
fn every_codec_of_ffmpeg() {
    check(file!("avc_aac"), "avc1.64000a 66x38 Some((30, 1)), mp4a.40.2 48000 1", 1_024, 48_000);
    check(file!("avc_mp3"), "avc1.64000a 66x38 Some((30, 1)), mp4a.40.34 48000 1", 1_152, 48_000);
    check(file!("avc_eac3"), "avc1.64000a 66x38 Some((30, 1)), ec-3 48000 1", 1_536, 48_000);
    check(file!("hevc_opus"), "hvc1.1.6.L30.90 66x38 Some((30, 1)), Opus 48000 1", 960, 48_000);
    check(file!("av1_flac"), "av01.0.00M.08 66x38 None, fLaC 48000 1", 1_024, 48_000);
    check(file!("vp9_ac3"), "vp09.00.10.08 66x38 None, ac-3 48000 1", 1_536, 48_000);
}

// R52: of two tracks of sound the first is used.
#[test]
fn of_two_audio_tracks_the_first_is_used() {
    let format = "avc1.64000a 66x38 Some((30, 1)), mp4a.40.2 48000 1";
    check(file!("avc_aac_two_tracks"), format, 1_024, 48_000);
}
