//! Every limit of the intake, reached.

use super::tests::{Publisher, other_avc_config};
use super::*;
use crate::testing::clips;

// R19: ten configurations in a minute are the limit.
#[test]
fn configurations_may_change_ten_times_a_minute() {
    let mut publisher = Publisher::new();
    publisher.configs();
    for change in 0_u64..10 {
        publisher.play(change * 2_000, change * 2_000 + 2_000, 2_000);
        let even = change % 2 == 0;
        publisher.video(if even { other_avc_config() } else { clips::avc_config() }).unwrap();
    }
    publisher.play(20_000, 21_000, 2_000);
    assert_eq!(publisher.formats().len(), 11);
    let error = publisher.video(other_avc_config()).unwrap_err();
    assert_eq!(error.as_str(), "too_many_config_changes");
}

// R24: the broadcaster hears of keyframes that are far apart.
#[test]
fn the_broadcaster_hears_of_long_keyframe_intervals() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.play(0, 30_000, 8_320);
    assert_eq!(publisher.notices, ["keyframe_interval"]);
}

// R24: a minute without a keyframe is the end.
#[test]
fn a_minute_without_keyframe_is_the_end() {
    let mut publisher = Publisher::new();
    publisher.configs();
    publisher.play(0, 60_000, 100_000);
    let error = publisher.play_some(60_000, 60_100, Some(100_000), true).unwrap_err();
    assert_eq!(error.as_str(), "no_keyframe");
}

// R25: a GOP without end is the end at its limit of bytes.
#[test]
fn an_endless_gop_is_the_end() {
    let limits = Limits { gop_bytes_max: 10_000, ..Limits::default() };
    let mut publisher = Publisher::with(&limits);
    publisher.configs();
    publisher.play_some(0, 800, Some(100_000), true).unwrap();
    let error = publisher.play_some(800, 810, Some(100_000), true).unwrap_err();
    assert_eq!(error, IntakeError::GopTooLarge { got: 10_500, max: 10_000 });
}

// R25: 100 Mbit/s without another keyframe, by the limits as they are. The bytes end it long
// before the minute without keyframe does, and nothing more than they allow was ever held.
#[test]
fn a_fast_stream_without_keyframes_ends_within_its_bytes() {
    const FRAME_BYTES: usize = 500_000;
    let mut publisher = Publisher::new();
    publisher.configs();
    let mut frame = 0;
    let error = loop {
        publisher.at(frame * 40);
        if let Err(error) = publisher.video(clips::avc_frame(frame == 0, FRAME_BYTES)) {
            break error;
        }
        frame += 1;
    };
    let max = Limits::default().gop_bytes_max;
    let IntakeError::GopTooLarge { got, .. } = error else { panic!("{error}") };
    assert!((max..=max + FRAME_BYTES).contains(&got), "{got}");
    assert!(frame < 3 * 25, "{frame} frames");
}

// R26: a frame one byte too large is the end, and so are too many in a second.
#[test]
fn large_frames_and_floods_are_the_end() {
    let limits = Limits { frame_bytes_max: 10_000, ..Limits::default() };
    let mut publisher = Publisher::with(&limits);
    publisher.configs();
    publisher.video(clips::avc_frame(true, 9_995)).unwrap();
    let error = publisher.video(clips::avc_frame(true, 9_996)).unwrap_err();
    assert_eq!(error.as_str(), "frame_too_large");

    let mut publisher = Publisher::new();
    publisher.configs();
    for _ in 1..1_000 {
        publisher.audio(clips::aac_frame(1)).unwrap();
    }
    let error = publisher.audio(clips::aac_frame(1)).unwrap_err();
    assert_eq!(error.as_str(), "too_many_messages");
}
