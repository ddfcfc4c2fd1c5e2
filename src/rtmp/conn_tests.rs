use tokio::io::AsyncWriteExt;

use super::super::WireError;
use super::super::amf::AmfError;
use super::super::world::{Encoder, START, World};
use super::*;
use crate::accounts::issue_key;
use crate::base::{ChannelId, Pressure, Rival, Scarce};
use crate::hub::{BroadcastState, Busy, StartError};
use crate::testing::clips;

fn elapsed(since: time::Instant) -> Duration {
    since.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_foreign_client_goes_on_air_and_ends() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    assert_eq!(world.state(), None, "not before the first frame");
    encoder.go_live(&world).await;
    let stopped = encoder.session.stop_publishing().unwrap();
    encoder.handle(stopped).await;
    time::sleep(Duration::from_millis(1)).await;
    assert_eq!(world.state(), None, "an explicit end leaves nothing to resume");
    drop(encoder.stream);
    assert_eq!(encoder.server.await.unwrap().cause, Cause::Finished);
}

// R36, R42, G19: the refusal costs its fixed time, says nothing about the key, and is read to the
// end before the connection closes.
#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_denied_after_a_fixed_time() {
    let mut world = World::open().await;
    let right = world.key.reveal().to_owned();
    let last = if right.ends_with('a') { 'b' } else { 'a' };
    let wrong = format!("{}{last}", &right[..right.len() - 1]);
    for key in [wrong.as_str(), "nonsense", "not a key!", &"x".repeat(300)] {
        let mut encoder = world.encoder().await;
        encoder.publish(key).await;
        let before = time::Instant::now();
        encoder.wait_for("NetStream.Publish.Denied").await;
        assert_eq!(elapsed(before), Duration::from_millis(300), "{key}");
        let (cause, _) = encoder.end().await;
        assert_eq!(cause, Cause::KeyUnknown);
    }
    let mut encoder = world.encoder().await;
    encoder.publish("").await;
    assert_eq!(encoder.end().await.0, Cause::KeyMissing);
}

// R42: guessing closes an address, whoever comes from it.
#[tokio::test(start_paused = true)]
async fn guessing_closes_an_address_for_ten_minutes() {
    let mut world = World::open().await;
    for _ in 0..10 {
        let mut encoder = world.encoder().await;
        encoder.publish("nonsense").await;
        assert_eq!(encoder.end().await.0, Cause::KeyUnknown);
    }
    let right = world.key.clone();
    let mut encoder = world.encoder().await;
    encoder.publish(right.reveal()).await;
    let (cause, codes) = encoder.end().await;
    assert_eq!(cause, Cause::TooManyGuesses);
    assert!(codes.contains(&"NetStream.Publish.Denied".to_owned()));

    let (stream, server) = world.dial_from("192.0.2.2:5000");
    let mut other = Encoder::connect(stream, server).await;
    other.publish(right.reveal()).await;
    other.wait_for("NetStream.Publish.Start").await;

    time::sleep(Duration::from_secs(600)).await;
    world.publisher().await;
}

// Q16: nothing that is sent holds the key.
#[tokio::test(start_paused = true)]
async fn the_key_is_not_sent_back() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    world.stop.cancel();
    while encoder.read().await {}
    let key = world.key.reveal().as_bytes();
    assert!(encoder.received.len() > 100);
    assert!(!encoder.received.windows(key.len()).any(|part| part == key));
}

// G1, G2, R36: the gate refuses at publish, in words, and what runs goes on.
#[tokio::test(start_paused = true)]
async fn after_the_closing_new_broadcasts_are_refused_and_running_ones_finish() {
    let hour = Duration::from_secs(3_600);
    let mut world = World::closing(Some(hour), "finish").await;
    time::sleep(hour - Duration::from_secs(5)).await;
    let mut running = world.publisher().await;
    running.go_live(&world).await;
    running.send_for(10_000, 200).await;
    assert!(START + hour < world.context.clock.now().wall);
    assert_eq!(world.state(), Some(BroadcastState::Live));

    drop(running);
    time::sleep(Duration::from_secs(61)).await;
    world.context.registry.expire(world.context.clock.now().mono);
    let key = world.key.clone();
    let mut late = world.encoder().await;
    late.publish(key.reveal()).await;
    late.wait_for("NetStream.Publish.Denied").await;
    let text = String::from_utf8_lossy(&late.received).into_owned();
    assert!(text.contains("New broadcasts are closed since"), "{text}");
    assert!(matches!(late.end().await.0, Cause::Refused(_)));
}

// G2: the publish command decides, not the first frame.
#[tokio::test(start_paused = true)]
async fn publish_before_the_closing_and_the_first_frame_after() {
    let hour = Duration::from_secs(3_600);
    let mut world = World::closing(Some(hour), "finish").await;
    time::sleep(hour - Duration::from_secs(1)).await;
    let mut encoder = world.publisher().await;
    time::sleep(Duration::from_secs(5)).await;
    encoder.go_live(&world).await;
    assert_eq!(world.state(), Some(BroadcastState::Live));
}

// G2, R3: a permit cannot be parked until after the closing with media that nobody can decode.
#[tokio::test(start_paused = true)]
async fn a_permit_without_a_decodable_frame_is_void_after_its_time() {
    let hour = Duration::from_secs(3_600);
    let mut world = World::closing(Some(hour), "finish").await;
    time::sleep(hour - Duration::from_secs(30)).await;
    let mut encoder = world.publisher().await;
    let before = time::Instant::now();
    while elapsed(before) < Duration::from_secs(90) {
        let early = elapsed(before) < Duration::from_secs(80);
        assert!(!early || !encoder.server.is_finished(), "{:?}", elapsed(before));
        let millis = u32::try_from(elapsed(before).as_millis()).unwrap();
        // Audio without its configuration.
        encoder.audio(millis, clips::aac_frame(100)).await;
        time::sleep(Duration::from_secs(3)).await;
    }
    assert!(encoder.server.is_finished());
    encoder.send_for(90_000, 100).await;
    assert_eq!(world.state(), None);
    assert_eq!(encoder.end().await.0, Cause::FirstMediaTimeout);
}

// Policy cut: the first keyframe at or after the instant is the end.
#[tokio::test(start_paused = true)]
async fn policy_cut_ends_at_a_keyframe() {
    let minute = Duration::from_secs(60);
    let mut world = World::closing(Some(minute), "cut").await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let mut at = 20_000;
    while world.context.clock.now().wall < START + minute {
        assert_eq!(world.state(), Some(BroadcastState::Live));
        encoder.send_for(at, 1).await;
        at += 40;
    }
    for _ in 0..30 {
        encoder.send_for(at, 10).await;
        at += 400;
    }
    assert_eq!(world.state(), None);
    let (cause, codes) = encoder.end().await;
    assert_eq!(cause, Cause::ServiceClosed);
    assert!(codes.contains(&"NetStream.Publish.Denied".to_owned()));
}

// R44: a newcomer without a decodable frame replaces nobody; with one it does at once.
#[tokio::test(start_paused = true)]
async fn a_takeover_needs_a_keyframe() {
    let mut world = World::open().await;
    let mut old = world.publisher().await;
    old.go_live(&world).await;
    let id = world.broadcast_id();

    let mut new = world.publisher().await;
    new.video(0, clips::avc_config()).await;
    new.video(0, clips::avc_frame(false, 100)).await;
    old.send_for(50_000, 10).await;
    assert_eq!(world.state(), Some(BroadcastState::Live));
    assert!(!old.server.is_finished());

    new.go_live_over(&old).await;
    let (cause, codes) = old.end().await;
    assert_eq!(cause, Cause::Replaced);
    assert!(codes.contains(&"NetStream.Publish.BadName".to_owned()), "{codes:?}");
    assert_eq!((world.broadcast_id(), world.state()), (id, Some(BroadcastState::Live)));
}

// R44: where the owner refuses a second publisher it is told what to do and the first goes on; it
// is let in once the first was lost, be it cut off or silent.
#[tokio::test(start_paused = true)]
async fn a_second_publisher_may_be_refused_until_the_first_is_lost() {
    let mut world = World::refusing_a_second().await;
    let key = world.key.clone();
    let mut first = world.publisher().await;
    first.go_live(&world).await;
    let id = world.broadcast_id();

    let mut second = world.encoder().await;
    second.publish(key.reveal()).await;
    second.wait_for("NetStream.Publish.BadName").await;
    let said = String::from_utf8_lossy(&second.received).into_owned();
    assert!(said.contains("Stop that one first"), "{said}");
    let (cause, codes) = second.end().await;
    assert_eq!(cause, Cause::NotStarted(StartError::Busy(Busy::SameKey)));
    assert!(!codes.contains(&"NetStream.Publish.Start".to_owned()), "{codes:?}");
    first.send_for(60_000, 10).await;
    assert_eq!(world.state(), Some(BroadcastState::Live));

    time::sleep(world.context.limits.ingest_silence_max + Duration::from_secs(1)).await;
    let mut third = world.publisher().await;
    third.go_live(&world).await;
    assert_eq!(first.end().await.0, Cause::Silent);
    drop(third);
    time::sleep(Duration::from_secs(1)).await;
    world.publisher().await.go_live(&world).await;
    assert_eq!(world.broadcast_id(), id);
}

// R47: a lost publisher goes on with the broadcast it had.
#[tokio::test(start_paused = true)]
async fn a_lost_publisher_comes_back_to_its_broadcast() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let id = world.broadcast_id();
    drop(encoder);
    time::sleep(Duration::from_secs(30)).await;
    assert!(matches!(world.state(), Some(BroadcastState::Away { .. })));
    let mut again = world.publisher().await;
    again.go_live(&world).await;
    assert_eq!(world.broadcast_id(), id);
}

// D16: the start waits three seconds for sound that does not come, and the first frame with it. The
// broadcast is dated from that frame's arrival.
#[tokio::test(start_paused = true)]
async fn a_broadcast_begins_when_its_first_frame_came() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.video(0, clips::avc_config()).await;
    time::sleep(Duration::from_millis(500)).await;
    let came = world.context.clock.now();
    for frame in 0..90 {
        encoder.video(frame * 40, clips::avc_frame(frame == 0, 100)).await;
        time::sleep(Duration::from_millis(40)).await;
    }
    let channel = ChannelId::parse("demo").unwrap();
    let started = world.context.registry.find(&channel).expect("on air").started();
    assert!(started.mono.since(came.mono) < Duration::from_millis(20), "{came:?} {started:?}");
    assert!(came.wall.until(started.wall) < Duration::from_millis(20), "{came:?} {started:?}");
    assert!(came.wall <= started.wall && came.mono <= started.mono, "{came:?} {started:?}");
    encoder.end().await;
}

// A resume whose window passes between publish and the first frame is a new broadcast.
#[tokio::test(start_paused = true)]
async fn a_resume_that_comes_too_late_is_a_start() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let id = world.broadcast_id();
    drop(encoder);
    time::sleep(Duration::from_secs(55)).await;
    let mut again = world.publisher().await;
    time::sleep(Duration::from_secs(10)).await;
    again.go_live(&world).await;
    assert_ne!(world.broadcast_id(), id);
}

// W9: a new broadcast for which there is no memory is refused before it begins, since encoders
// hear nothing later; one that was lost comes back all the same.
#[tokio::test(start_paused = true)]
async fn without_memory_only_what_runs_goes_on() {
    let mut world = World::open().await;
    let key = world.key.clone();
    world.context.registry.pressure().replace(Scarce::Memory, Pressure::NoNewBroadcasts);
    let mut encoder = world.encoder().await;
    encoder.publish(key.reveal()).await;
    let (cause, codes) = encoder.end().await;
    assert_eq!(cause, Cause::NotStarted(StartError::OutOfMemory));
    assert!(codes.contains(&"NetStream.Failed".to_owned()), "{codes:?}");
    assert!(!codes.contains(&"NetStream.Publish.Start".to_owned()), "{codes:?}");

    world.context.registry.pressure().replace(Scarce::Memory, Pressure::None);
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    drop(encoder);
    world.context.registry.pressure().replace(Scarce::Memory, Pressure::NoNewBroadcasts);
    time::sleep(Duration::from_secs(1)).await;
    let mut again = world.publisher().await;
    again.go_live(&world).await;
}

// W38: a revoked key ends its broadcast as soon as that is heard of.
#[tokio::test(start_paused = true)]
async fn a_revoked_key_ends_its_broadcast() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    world.store.revoke_key(&world.key_id, START).await.unwrap();
    world.context.keys.look(world.context.clock.now()).await;
    encoder.wait_for("NetStream.Publish.Denied").await;
    let (cause, _) = encoder.end().await;
    assert_eq!(cause, Cause::KeyRevoked);
    assert_eq!(world.state(), None);
}

#[tokio::test(start_paused = true)]
async fn a_key_revoked_before_the_first_frame_does_not_go_on_air() {
    let mut world = World::open().await;
    let encoder = world.publisher().await;
    world.store.revoke_key(&world.key_id, START).await.unwrap();
    world.context.keys.look(world.context.clock.now()).await;
    let before = time::Instant::now();
    let (cause, _) = encoder.end().await;
    assert_eq!(cause, Cause::KeyRevoked);
    assert!(elapsed(before) <= Duration::from_secs(5));
}

// R13, R46: ten silent seconds, and the broadcast waits for a resume.
#[tokio::test(start_paused = true)]
async fn a_silent_publisher_is_stale() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let before = time::Instant::now();
    while matches!(world.state(), Some(BroadcastState::Live)) {
        time::sleep(Duration::from_millis(100)).await;
    }
    assert!((9..=10).contains(&elapsed(before).as_secs()), "{:?}", elapsed(before));
    assert!(matches!(world.state(), Some(BroadcastState::Away { .. })));
    assert_eq!(encoder.end().await.0, Cause::Silent);
}

// R3: every step before media has its time.
#[tokio::test(start_paused = true)]
async fn every_step_has_its_time() {
    let mut world = World::open().await;
    let before = time::Instant::now();
    let (mut stream, server) = world.dial();
    stream.write_all(&[3]).await.unwrap();
    assert_eq!(server.await.unwrap().cause, Cause::HandshakeTimeout);
    assert_eq!(elapsed(before), Duration::from_secs(10));

    let encoder = world.encoder().await;
    assert_eq!(encoder.end().await.0, Cause::PublishTimeout);
    let encoder = world.publisher().await;
    assert_eq!(encoder.end().await.0, Cause::FirstMediaTimeout);
}

// R1, R3: one byte every nine seconds does not help.
#[tokio::test(start_paused = true)]
async fn a_slow_handshake_is_cut_off() {
    let mut world = World::open().await;
    let (mut stream, server) = world.dial();
    for byte in [3, 0, 0] {
        let _ = stream.write_all(&[byte]).await;
        time::sleep(Duration::from_secs(9)).await;
    }
    assert_eq!(server.await.unwrap().cause, Cause::HandshakeTimeout);
}

// D35, R53: a stop ends publications as draining, and asks capable encoders to reconnect.
#[tokio::test(start_paused = true)]
async fn stopping_ends_publications_as_draining() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    world.stop.cancel();
    let (cause, codes) = encoder.end().await;
    assert_eq!(cause, Cause::Draining);
    assert!(codes.contains(&"NetStream.Failed".to_owned()), "{codes:?}");
    assert_eq!(world.state(), None);
}

// R39: what was sent before the end of the stream is taken.
#[tokio::test(start_paused = true)]
async fn a_half_closed_connection_is_read_to_its_end() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let channel = ChannelId::parse("demo").unwrap();
    let broadcast = world.context.registry.find(&channel).unwrap();
    let before = broadcast.ring_bytes();
    for frame in 0..50 {
        encoder.video(60_000 + frame * 40, clips::avc_frame(false, 1_000)).await;
    }
    encoder.stream.shutdown().await.unwrap();
    let (cause, _) = encoder.end().await;
    assert_eq!(cause, Cause::Left);
    assert!(broadcast.ring_bytes() >= before + 45 * 900, "{}", broadcast.ring_bytes());
}

// R12, R13: a peer that asks and asks and never reads.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_let_go() {
    let mut world = World::open().await;
    let encoder = world.encoder().await;
    let (_reader, mut writer) = tokio::io::split(encoder.stream);
    let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1];
    let flood = async { while writer.write_all(&ping.repeat(100)).await.is_ok() {} };
    flood.await;
    assert_eq!(encoder.server.await.unwrap().cause, Cause::WriteStalled);
}

// R48: a file that is sent at once is read at four times real time.
#[tokio::test(start_paused = true)]
async fn a_flood_of_media_is_slowed_down() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let before = time::Instant::now();
    for frame in 0..15_000 {
        encoder.video(20_000 + frame * 40, clips::avc_frame(frame % 50 == 0, 1_000)).await;
    }
    // Ten minutes of media at four times real time; a little is still on its way.
    let took = elapsed(before).as_secs();
    assert!((140..=155).contains(&took), "{took}");
    assert_eq!(world.state(), Some(BroadcastState::Live));
}

// Q1 to Q9, Q15: the bytes that made the public library panic, abort or grow, over a whole
// connection and before any login.
#[tokio::test(start_paused = true)]
async fn hostile_bytes_end_one_connection() {
    let header = |csid: u8, length: usize, kind: u8| {
        let [.., a, b, c] = length.to_be_bytes();
        vec![csid, 0, 0, 0, a, b, c, kind, 0, 0, 0, 0]
    };
    let chunked = |kind: u8, payload: &[u8]| {
        let mut bytes = header(3, payload.len(), kind);
        for (index, chunk) in payload.chunks(128).enumerate() {
            if index > 0 {
                bytes.push(0xC3);
            }
            bytes.extend(chunk);
        }
        bytes
    };
    let deep = chunked(20, &[3, 0, 1, b'a'].repeat(3_200));
    let arrays = chunked(20, &[10, 0, 0, 0, 1].repeat(3_000));
    let nulls = chunked(18, &[5].repeat(16_000));
    let huge = header(3, 0xFF_FFFF, 18);
    let zero_chunk = [header(2, 4, 1), vec![0; 4]].concat();
    let shrunk = [header(4, 300, 9), vec![0; 128], header(4, 10, 9), vec![0; 10]].concat();
    let survived = Cause::ConnectTimeout;
    for (bytes, wanted) in [
        (vec![3, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0], survived.clone()),
        (chunked(20, &[2, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 0]), survived.clone()),
        (chunked(18, b"\x02\x00\x0d@setDataFrame"), survived.clone()),
        (deep, Cause::Amf(AmfError::TooDeep { max: 16 })),
        (arrays, Cause::Amf(AmfError::TooDeep { max: 16 })),
        (nulls, Cause::Amf(AmfError::TooManyValues { max: 1_000 })),
        (huge, Cause::Wire(WireError::MessageTooLong { length: 0xFF_FFFF, max: 16 * 1024 })),
        (zero_chunk, Cause::Wire(WireError::ChunkSize(0))),
        (shrunk, Cause::Wire(WireError::HeaderInMessage { chunk_stream: 4 })),
    ] {
        let mut world = World::open().await;
        let (mut stream, server) = world.dial();
        let hello = [&[3][..], &[0; 2 * 1_536]].concat();
        stream.write_all(&hello).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink).await;
        drop(stream);
        assert_eq!(server.await.unwrap().cause, wanted);
    }
}

// Two encoders of one channel with different keys: the second is told that the name is busy.
#[tokio::test(start_paused = true)]
async fn another_key_of_a_live_channel_is_busy() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let channel = ChannelId::parse("demo").unwrap();
    let second =
        issue_key(&*world.store, &channel, "", Rival::default(), None, START).await.unwrap();
    let mut other = world.encoder().await;
    other.publish(second.text.reveal()).await;
    let (cause, codes) = other.end().await;
    assert!(matches!(cause, Cause::NotStarted(StartError::Busy(_))), "{cause:?}");
    assert!(codes.contains(&"NetStream.Publish.BadName".to_owned()), "{codes:?}");
}
