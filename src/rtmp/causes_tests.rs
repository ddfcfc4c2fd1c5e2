//! R56: every reason for which a connection ends, really brought about. What is new in
//! [`Cause`] or in an error inside it needs an example in the tests of `status`, and a peer here
//! that makes it happen.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time;

use super::Cause;
use super::amf::Value;
use super::status::tests::examples;
use super::world::{Raw, START, World};
use crate::accounts::issue_key;
use crate::accounts::testing::Switched;
use crate::base::{ChannelId, Limits, Pressure, Rival, Scarce, Secret};
use crate::gate::{Latch, Policy};
use crate::hub::EndReason;
use crate::testing::clips;

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

type Labels = BTreeSet<&'static str>;

/// No connection can end like this, and why.
const NEVER: &[(&str, &str)] = &[
    ("keys-closed", "nobody makes a key over RTMP"),
    ("watching-closed", "nobody watches over RTMP"),
    ("nothing_to_resume", "the gate is asked for a new broadcast instead"),
];

#[test]
fn every_cause_is_brought_about() {
    let runtime = |paused| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(paused).build().unwrap()
    };
    let mut seen = runtime(false).block_on(super::server::tests::causes_at_the_door());
    seen.extend(runtime(true).block_on(async {
        let mut seen = before_publish().await;
        seen.extend(broken_protocol().await);
        seen.extend(answers_to_publish().await);
        seen.extend(bad_media().await);
        seen.extend(ends_of_publications().await);
        seen
    }));
    let all: Labels = examples().iter().map(Cause::as_str).collect();
    let never: Labels = NEVER.iter().map(|(label, _)| *label).collect();
    let missing: Vec<_> = all.difference(&seen).filter(|label| !never.contains(*label)).collect();
    assert!(missing.is_empty(), "nobody brings about {missing:?}");
    assert!(seen.is_disjoint(&never), "it can happen: {seen:?}");
    assert!(seen.is_subset(&all), "without an example: {seen:?} {all:?}");
}

async fn before_publish() -> Labels {
    let mut seen = Labels::new();
    let mut world = World::limited(|limits| limits.command_errors_max = 2).await;
    let (mut stream, server) = world.dial();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &[6]).await.unwrap();
    seen.insert(server.await.unwrap().cause.as_str());
    let (stream, server) = world.dial();
    drop(stream);
    seen.insert(server.await.unwrap().cause.as_str());
    let (_stream, server) = world.dial();
    seen.insert(server.await.unwrap().cause.as_str());

    seen.insert(world.raw().await.end().await.as_str());
    let mut peer = world.raw().await;
    peer.connect("live", &[]).await;
    seen.insert(peer.end().await.as_str());
    let mut peer = world.raw().await;
    peer.connect("nowhere", &[]).await;
    seen.insert(peer.end().await.as_str());
    let mut peer = world.raw().await;
    peer.connect("live", &[]).await;
    peer.call(1, "play", &[Value::Null, "demo".into()]).await;
    seen.insert(peer.end().await.as_str());
    let mut peer = world.raw().await;
    for _ in 0..3 {
        peer.call(0, "sing", &[]).await;
    }
    seen.insert(peer.end().await.as_str());
    let wanted = [
        "handshake",
        "left",
        "handshake_timeout",
        "connect_timeout",
        "publish_timeout",
        "app_unknown",
        "play_not_served",
        "too_many_errors",
    ];
    assert_eq!(seen, Labels::from(wanted));
    seen
}

/// A chunk with a full header, and what follows it.
fn chunk(chunk_stream: u8, length: usize, kind: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = length.to_be_bytes();
    [&[chunk_stream, 0, 0, 0, a, b, c, kind, 0, 0, 0, 0], payload].concat()
}

async fn broken_protocol() -> Labels {
    let limits = |limits: &mut Limits| {
        limits.tiny_chunks_per_second_max = 2;
        limits.aggregate_parts_max = 1;
        limits.amf_bytes_max = 60;
        limits.amf_string_bytes_max = 10;
        limits.amf_values_max = 3;
        limits.amf_depth_max = 2;
        limits.ingest_bytes_per_second_max = 100_000;
        limits.ingest_excess_time_max = Duration::from_secs(1);
    };
    let part = [9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x17, 0, 0, 0, 12];
    let many: Vec<_> = (3..63).flat_map(|id| chunk(id, 1, 99, &[0])).collect();
    let more: Vec<_> =
        (0..5).flat_map(|id| [&[0, id][..], &chunk(0, 1, 99, &[0])[1..]].concat()).collect();
    let inputs: [(&'static str, Vec<u8>); 14] = [
        ("wire_no_header", vec![0xC4]),
        (
            "wire_header_in_message",
            [chunk(4, 300, 9, &[0; 128]), chunk(4, 10, 9, &[0; 10])].concat(),
        ),
        ("wire_chunk_streams", [many, more].concat()),
        ("wire_message_too_long", chunk(4, 0xFF_FFFF, 9, &[])),
        ("wire_partial_too_large", (4..7).flat_map(|id| chunk(id, 16_000, 9, &[0; 128])).collect()),
        ("wire_chunk_size", chunk(2, 4, 1, &[0; 4])),
        ("wire_control_too_short", chunk(2, 3, 2, &[0; 3])),
        (
            "wire_tiny_chunks",
            [chunk(2, 4, 1, &[0, 0, 0, 1]), chunk(4, 9, 9, &[0; 1]), [0xC4, 0].repeat(8)].concat(),
        ),
        ("amf_too_long", chunk(3, 61, 18, &[5; 61])),
        ("amf_string_too_long", chunk(3, 14, 18, b"\x02\x00\x0bhello world")),
        ("amf_too_many_values", chunk(3, 4, 18, &[5; 4])),
        ("amf_too_deep", chunk(3, 12, 18, &[3, 0, 1, b'a'].repeat(3))),
        ("aggregate_parts", chunk(4, 32, 22, &part.repeat(2))),
        (
            "too_many_bytes",
            chunk(4, 16_000, 99, &{
                let mut rest = vec![0; 128];
                for _ in 0..124 {
                    rest.push(0xC4);
                    rest.extend([0; 128]);
                }
                rest
            })
            .repeat(40),
        ),
    ];
    let mut seen = Labels::new();
    for (wanted, bytes) in inputs {
        let mut peer = World::limited(limits).await.raw().await;
        peer.send(&bytes).await;
        let cause = peer.end().await;
        assert_eq!(cause.as_str(), wanted);
        seen.insert(cause.as_str());
    }
    seen
}

/// Tries a key and answers what became of it.
async fn try_key(world: &mut World, key: &str) -> &'static str {
    let mut peer = world.raw().await;
    peer.connect("live", &[]).await;
    peer.publish(key, "live").await;
    peer.end().await.as_str()
}

async fn answers_to_publish() -> Labels {
    let mut seen = Labels::new();
    let mut world = World::open().await;
    let key = world.key.reveal().to_owned();
    assert_eq!(try_key(&mut world, "").await, "key_missing");
    for _ in 0..10 {
        assert_eq!(try_key(&mut world, "nonsense").await, "key_unknown");
    }
    assert_eq!(try_key(&mut world, &key).await, "too_many_guesses");
    seen.extend(["key_missing", "key_unknown", "too_many_guesses"]);

    let mut world = World::closing(Some(Duration::from_secs(1)), "finish").await;
    let key = world.key.reveal().to_owned();
    time::sleep(Duration::from_secs(1)).await;
    seen.insert(try_key(&mut world, &key).await);
    let mut world = World::open().await;
    let key = world.key.reveal().to_owned();
    world.context.gatekeeper.set_draining();
    seen.insert(try_key(&mut world, &key).await);

    seen.insert(store_is_down().await);
    seen.insert(clock_is_wrong().await);
    seen.extend(channel_is_taken().await);
    seen.insert(key_is_taken().await);
    seen.extend(server_is_full().await);
    seen
}

// R43: "try again" is told and counted.
async fn store_is_down() -> &'static str {
    let store = Switched::on();
    let open = Policy::new(None, Latch::default());
    let mut world = World::with(open, store.clone(), Limits::default()).await;
    store.switch(true);
    let mut encoder = world.encoder().await;
    encoder.publish("aaaaaaaa_bbbb").await;
    encoder.wait_for("NetStream.Publish.Denied").await;
    let said = String::from_utf8_lossy(&encoder.received).into_owned();
    assert!(said.contains("Try again in a minute."), "{said}");
    let label = encoder.end().await.0.as_str();
    assert_eq!(label, "try_later");
    // The key that was seen before goes on working.
    world.publisher().await;
    label
}

async fn clock_is_wrong() -> &'static str {
    let far = World::schedule(Duration::from_secs(86_400 * 365), "finish");
    let built = Some(START + Duration::from_secs(86_400));
    let policy = Policy::new(Some(far), Latch::default()).built_at(built);
    let store = crate::store::in_memory();
    let mut world = World::with(policy, store, Limits::default()).await;
    let key = world.key.reveal().to_owned();
    try_key(&mut world, &key).await
}

async fn channel_is_taken() -> Labels {
    let mut seen = Labels::new();
    let mut world = World::limited(|limits| limits.takeovers_per_ten_minutes_max = 1).await;
    let mut early = world.publisher().await;
    let mut first = world.publisher().await;
    first.go_live(&world).await;
    early.video(0, clips::avc_config()).await;
    early.video(0, clips::avc_frame(true, 100)).await;
    time::sleep(Duration::from_secs(4)).await;
    early.video(4_000, clips::avc_frame(true, 100)).await;
    seen.insert(early.end().await.0.as_str());

    let channel = ChannelId::parse("demo").unwrap();
    let other =
        issue_key(&*world.store, &channel, "", Rival::default(), None, START).await.unwrap();
    first.send_for(60_000, 10).await;
    seen.insert(try_key(&mut world, other.text.reveal()).await);

    let mut second = world.publisher().await;
    second.go_live_over(&first).await;
    seen.insert(first.end().await.0.as_str());
    let key = world.key.reveal().to_owned();
    seen.insert(try_key(&mut world, &key).await);
    assert_eq!(
        seen,
        Labels::from(["overtaken", "busy_other_key", "replaced", "too_many_takeovers"])
    );
    seen
}

async fn key_is_taken() -> &'static str {
    let mut world = World::refusing_a_second().await;
    let mut first = world.publisher().await;
    first.go_live(&world).await;
    let key = world.key.reveal().to_owned();
    try_key(&mut world, &key).await
}

async fn server_is_full() -> Labels {
    let mut seen = Labels::new();
    let mut world = World::limited(|limits| limits.broadcasts_max = 1).await;
    let mut running = world.publisher().await;
    running.go_live(&world).await;
    let channel = ChannelId::parse("other").unwrap();
    let other =
        issue_key(&*world.store, &channel, "", Rival::default(), None, START).await.unwrap();
    seen.insert(first_frame(&mut world, &other.text).await.as_str());

    for scarce in [Scarce::Memory, Scarce::Processor] {
        let mut world = World::open().await;
        world.context.registry.pressure().replace(scarce, Pressure::NoNewBroadcasts);
        let key = world.key.clone();
        seen.insert(first_frame(&mut world, &key).await.as_str());
    }
    assert_eq!(seen, Labels::from(["too_many_broadcasts", "out_of_memory", "out_of_time"]));
    seen
}

/// Publishes one keyframe with this key and stays.
async fn first_frame(world: &mut World, key: &Secret) -> Cause {
    let mut peer = world.raw().await;
    peer.connect("live", &[]).await;
    peer.publish(key.reveal(), "live").await;
    peer.message(0, VIDEO, clips::avc_config()).await;
    peer.message(0, VIDEO, clips::avc_frame(true, 100)).await;
    peer.end().await
}

/// Sends this body every 40 ms until the server has enough of it.
async fn send_until_ended(mut peer: Raw, kind: u8, body: impl Fn(u32) -> bytes::Bytes) -> Cause {
    let mut frame = 0;
    while !peer.server.is_finished() {
        assert!(frame < 2_000, "80 s of it, and the server takes more");
        peer.message(frame * 40, kind, body(frame)).await;
        time::sleep(Duration::from_millis(40)).await;
        frame += 1;
    }
    peer.end().await
}

async fn bad_media() -> Labels {
    let limits = |limits: &mut Limits| {
        limits.frame_bytes_max = 10_000;
        limits.gop_bytes_max = 50_000;
        limits.config_changes_per_minute_max = 1;
    };
    let other_level = |body: bytes::Bytes| {
        let mut body = body.to_vec();
        body[8] = 0x1e;
        bytes::Bytes::from(body)
    };
    let configs = move |frame: u32| match frame % 3 {
        0 => clips::avc_config(),
        1 => other_level(clips::avc_config()),
        _ => clips::avc_frame(true, 100),
    };
    let after_config = |size: usize| {
        move |frame: u32| match frame {
            0 => clips::avc_config(),
            _ => clips::avc_frame(frame == 1, size),
        }
    };
    type Body = Box<dyn Fn(u32) -> bytes::Bytes>;
    let scripts: [(&'static str, Body); 7] = [
        ("codec_not_supported", Box::new(|_| bytes::Bytes::from_static(b"\x90vvc1...."))),
        ("bad_video_config", Box::new(|_| bytes::Bytes::from_static(&[0x17, 0, 0, 0, 0, 1]))),
        ("no_video_config", Box::new(|_| clips::avc_frame(true, 100))),
        ("no_keyframe", Box::new(after_config(20))),
        ("frame_too_large", Box::new(after_config(10_000))),
        ("gop_too_large", Box::new(after_config(1_000))),
        ("too_many_config_changes", Box::new(configs)),
    ];
    let mut seen = Labels::new();
    for (wanted, body) in scripts {
        let peer = World::limited(limits).await.raw_publisher(&[]).await;
        let cause = send_until_ended(peer, VIDEO, body).await;
        assert_eq!(cause.as_str(), wanted);
        seen.insert(cause.as_str());
    }
    let mut peer = World::open().await.raw_publisher(&[]).await;
    for _ in 0..=1_000 {
        peer.message(0, AUDIO, clips::aac_frame(10)).await;
    }
    let cause = peer.end().await;
    assert_eq!(cause.as_str(), "too_many_messages");
    seen.insert(cause.as_str());
    seen
}

async fn ends_of_publications() -> Labels {
    let mut seen = Labels::new();
    let channel = ChannelId::parse("demo").unwrap();
    seen.insert(World::open().await.raw_publisher(&[]).await.end().await.as_str());

    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let stopped = encoder.session.stop_publishing().unwrap();
    encoder.handle(stopped).await;
    seen.insert(encoder.end().await.0.as_str());

    for reason in [EndReason::KeyRevoked, EndReason::ServiceClosed, EndReason::Draining] {
        let mut encoder = world.publisher().await;
        encoder.go_live(&world).await;
        world.context.registry.find(&channel).unwrap().end(reason);
        seen.insert(encoder.end().await.0.as_str());
    }
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let broadcast = world.context.registry.find(&channel).unwrap();
    broadcast.end(EndReason::Faulted("packager_fault"));
    seen.insert(encoder.end().await.0.as_str());

    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    seen.insert(encoder.end().await.0.as_str());

    // It answers no ping and sends no media, only events that mean nothing.
    let mut peer = world.raw_publisher(&[]).await;
    peer.message(0, VIDEO, clips::avc_config()).await;
    while !peer.server.is_finished() {
        peer.message(0, 4, vec![0, 3, 0, 0, 0, 1]).await;
        time::sleep(Duration::from_secs(5)).await;
    }
    seen.insert(peer.end().await.as_str());

    let mut peer = world.raw().await;
    for _ in 0..20_000 {
        peer.message(0, 4, vec![0, 6, 0, 0, 0, 1]).await;
    }
    seen.insert(peer.end().await.as_str());
    let wanted = [
        "first_media_timeout",
        "finished",
        "key_revoked",
        "service_closed",
        "draining",
        "packager_fault",
        "silent",
        "unanswered",
        "write_stalled",
    ];
    assert_eq!(seen, Labels::from(wanted));
    seen
}
