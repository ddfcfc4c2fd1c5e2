//! What names and metadata of a hostile encoder come to: nothing that is logged or counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time;

use super::amf::Value;
use super::publish::hint;
use super::world::World;
use crate::hub::Batch;
use crate::media::Format;
use crate::testing::clips;
use crate::testing::log::Log;

const VIDEO: u8 = 9;
const DATA: u8 = 18;

/// A line of its own, colours, another label, and letters that run backwards.
const EVIL: &str = "x\nERROR forged\r\u{1b}[31m\"} 1\\\u{202e}evil";

// R55, W57: neither app nor stream name nor anything else an encoder says of itself stands in the
// log or in a label as it came.
#[tokio::test(start_paused = true)]
async fn hostile_names_are_in_no_log_line_and_no_label() {
    let log = Log::listen();
    let mut world = World::open().await;
    let properties = ["flashVer", "tcUrl", "swfUrl", "type"].map(|name| (name, Value::from(EVIL)));
    let mut peer = world.raw().await;
    peer.connect(EVIL, &properties).await;
    assert_eq!(peer.end().await.as_str(), "app_unknown");
    for key in [EVIL, &format!("{EVIL}?key={EVIL}")] {
        let mut peer = world.raw().await;
        peer.connect("live", &properties).await;
        peer.publish(key, EVIL).await;
        assert_eq!(peer.end().await.as_str(), "key_unknown");
    }
    let mut peer = world.raw_publisher(&properties).await;
    let metadata = Value::object([("encoder", Value::from(EVIL)), (EVIL, Value::from(EVIL))]);
    peer.message(0, DATA, super::amf::render(&["onMetaData".into(), metadata])).await;
    peer.message(0, VIDEO, clips::avc_config()).await;
    peer.call(1, EVIL, &[EVIL.into()]).await;
    for frame in 0..100 {
        peer.message(frame * 40, VIDEO, clips::avc_frame(frame == 0, 100)).await;
        time::sleep(Duration::from_millis(40)).await;
    }
    // A takeover and a resume name the encoder's address, a refusal its reason.
    drop(peer.stream);
    peer.server.await.unwrap();
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;

    let (text, metrics) = (log.text(), world.metrics());
    assert!(text.contains("the broadcast goes on from a new connection"), "{text}");
    for (name, shown) in [("log", text), ("metrics", metrics)] {
        assert!(!shown.contains("evil"), "{name}: {shown}");
        assert!(!shown.lines().any(|line| line.starts_with("ERROR")), "{name}: {shown}");
        assert!(!shown.contains(['\u{1b}', '\r', '\u{202e}']), "{name}: {shown}");
    }
}

// R34: a recording is not made, and the log says so.
#[tokio::test(start_paused = true)]
async fn a_wish_for_a_recording_is_logged() {
    for (kind, lines) in [("record", 1), ("append", 1), ("live", 0)] {
        let log = Log::listen();
        let mut world = World::open().await;
        let mut peer = world.raw().await;
        peer.connect("live", &[]).await;
        let key = world.key.clone();
        peer.publish(key.reveal(), kind).await;
        peer.read_until("NetStream.Publish.Start").await;
        assert_eq!(log.count("asked for a recording"), lines, "{kind}: {}", log.text());
    }
}

// R48: a link that is too slow is told once, 20 s late.
#[tokio::test(start_paused = true)]
async fn a_slow_link_is_logged() {
    let log = Log::listen();
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let before = time::Instant::now();
    for frame in 0..500 {
        encoder.video(60_000 + frame * 40, clips::avc_frame(frame % 25 == 0, 100)).await;
        // Half as fast as it plays.
        time::sleep(Duration::from_millis(80)).await;
        let late = before.elapsed() / 2;
        let told = log.count("the publisher's link is too slow");
        assert!(late > Duration::from_secs(18) || told == 0, "too early: {late:?}");
    }
    let last = 60_000 + 500 * 40;
    for frame in 0..100 {
        encoder.video(last + frame * 40, clips::avc_frame(frame % 25 == 0, 100)).await;
        time::sleep(Duration::from_millis(80)).await;
    }
    assert_eq!(log.count("the publisher's link is too slow"), 1, "{}", log.text());
}

/// The format of what goes on air when metadata says this.
async fn format_after(metadata: Option<Value>) -> Arc<Format> {
    let mut world = World::open().await;
    let mut peer = world.raw_publisher(&[]).await;
    if let Some(object) = metadata {
        let values = ["@setDataFrame".into(), "onMetaData".into(), object];
        peer.message(0, DATA, super::amf::render(&values)).await;
    }
    peer.message(0, VIDEO, clips::avc_config()).await;
    for frame in 0..100 {
        peer.message(frame * 40, VIDEO, clips::avc_frame(frame % 10 == 0, 100)).await;
        time::sleep(Duration::from_millis(40)).await;
    }
    let broadcast = world.context.registry.broadcasts().pop().expect("it is on air");
    let (mut reader, mut frames) = (broadcast.subscribe(), Vec::new());
    assert_eq!(reader.try_batch(&mut frames), Some(Batch::Frames));
    frames[0].format.clone()
}

// R18: what metadata claims of the picture changes nothing of it.
#[tokio::test(start_paused = true)]
async fn lying_metadata_changes_nothing() {
    let honest = format_after(None).await;
    assert_eq!(honest, clips::video_format());
    for number in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e308, 12_345.678] {
        let names =
            ["width", "height", "framerate", "videodatarate", "audiosamplerate", "duration"];
        let lies = names.map(|name| (name, Value::from(number)));
        assert_eq!(format_after(Some(Value::object(lies))).await, honest, "{number}");
        let codecs = ["videocodecid", "audiocodecid"].map(|name| (name, Value::from(number)));
        assert_eq!(format_after(Some(Value::object(codecs))).await, honest, "codecs {number}");
    }
}

// R18: what is no number is no claim, neither that there is a track nor that there is none.
#[test]
fn a_codec_that_is_no_number_claims_nothing() {
    let claim = |number: f64| {
        let object = Value::object([("videocodecid", Value::from(number)), ("width", 1.0.into())]);
        let hint = hint(object.as_object().unwrap());
        (hint.has_video, hint.has_audio)
    };
    assert_eq!(claim(7.0), (Some(true), Some(false)));
    assert_eq!(claim(0.0), (Some(false), None));
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(claim(number), (None, None), "{number}");
    }
}
