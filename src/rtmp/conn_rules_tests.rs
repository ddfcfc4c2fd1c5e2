//! Rules about whole connections: speed, turns, goodbyes, and peers that wait.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};

use tokio::io::{AsyncWriteExt, ReadBuf};

use super::super::amf::Value;
use super::super::low_water::LowWater;
use super::super::world::{Encoder, Raw, START, World};
use super::super::writer::Writer;
use super::*;
use crate::base::{ChannelId, MediaTime};
use crate::hub::BroadcastState;
use crate::media::TrackKind;
use crate::testing::clips;

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

// R48: stamps that jump to and fro, or stand still, hide no speed. Either way the timeline makes
// far more than four seconds of media a second of these.
#[tokio::test(start_paused = true)]
async fn odd_stamps_do_not_evade_the_pace() {
    const MESSAGES: u32 = 8_000;
    let to_and_fro: fn(u32) -> u32 = |n| 20_000 + n / 2 * 40 + n % 2 * 10_000;
    // Two messages for a frame of 40 ms, and one.
    for (stamp, media_seconds) in [(to_and_fro, 160), (|_| 20_000, 320)] {
        let mut world = World::open().await;
        let mut encoder = world.publisher().await;
        encoder.go_live(&world).await;
        let before = time::Instant::now();
        for n in 0..MESSAGES {
            encoder.video(stamp(n), clips::avc_frame(n % 50 == 0, 1_000)).await;
            if n % 4 == 0 {
                // Just below the messages a track may send.
                time::sleep(Duration::from_millis(5)).await;
            }
        }
        let (took, least) = (before.elapsed().as_secs(), (media_seconds - 10) / 4);
        assert!((least..least + 10).contains(&took), "{took} s for {media_seconds} s of media");
        assert_eq!(world.state(), Some(BroadcastState::Live));
        assert!(world.counter("slowed") > 20);
    }
}

// R48: one read holds eight seconds of such audio, and is not taken faster for that. All of it is
// taken in the end, although the encoder sends nothing more.
#[tokio::test(start_paused = true)]
async fn a_low_bitrate_does_not_evade_the_pace() {
    // 32 kbit/s at 48 kHz: ten seconds in real time, which is on air for sure, and two minutes.
    const STEADY: u32 = 469;
    const FLOOD: u32 = 5_625;
    let stamp = |n: u32| n * 1_024 / 48;
    let mut world = World::open().await;
    let mut encoder = world.raw_publisher(&[]).await;
    encoder.message(0, AUDIO, clips::aac_config()).await;
    for n in 0..STEADY {
        encoder.message(stamp(n), AUDIO, clips::aac_frame(83)).await;
        time::sleep(Duration::from_micros(21_333)).await;
    }
    let (steady, before) = (world.counter("frames"), time::Instant::now());
    let burst = world.context.limits.ingest_burst + Duration::from_secs(1);
    let sending = async {
        for n in STEADY..STEADY + FLOOD {
            encoder.message(stamp(n), AUDIO, clips::aac_frame(83)).await;
        }
    };
    let watching = async {
        loop {
            let frames = u32::try_from(world.counter("frames") - steady).unwrap();
            let (came, took) = (Duration::from_millis(stamp(frames).into()), before.elapsed());
            assert!(came <= burst + took * 4, "{came:?} of media in {took:?}");
            if frames >= FLOOD {
                return;
            }
            assert!(took < Duration::from_secs(35), "{came:?} of media in {took:?}");
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(sending, watching);
    assert_eq!(world.state(), Some(BroadcastState::Live));
}

// `ingest_bytes_per_second_max` and `ingest_excess_time_max`, reached by a publisher.
#[tokio::test(start_paused = true)]
async fn a_flood_of_bytes_is_slowed_down_and_then_ended() {
    let mut world = World::limited(|limits| {
        limits.ingest_bytes_per_second_max = 100_000;
        limits.ingest_excess_time_max = Duration::from_secs(20);
    })
    .await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let before = time::Instant::now();
    let mut frame = 0;
    while !encoder.server.is_finished() {
        // 25 frames a second in time, 250 kB of them, as long as they are read.
        encoder.video(20_000 + frame * 40, clips::avc_frame(frame % 10 == 0, 10_000)).await;
        time::sleep(Duration::from_millis(40)).await;
        frame += 1;
    }
    let took = before.elapsed().as_secs();
    // The allowance lasts a second or two, then the excess its twenty, and two say goodbye.
    assert!((21..=25).contains(&took), "{took}");
    let (received, slowed) = (world.counter("received_bytes"), world.counter("slowed"));
    assert!((2_000_000..2_600_000).contains(&received), "{received}");
    assert!(slowed > 20, "{slowed}");
    let (cause, codes) = encoder.end().await;
    assert_eq!(cause, Cause::TooManyBytes { max: 100_000 });
    assert_eq!(cause.blame(), crate::base::Blame::Peer);
    assert!(codes.contains(&"NetStream.Failed".to_owned()), "{codes:?}");
}

// R12: a client that counts everything since the first byte, sends its window and waits.
#[tokio::test(start_paused = true)]
async fn a_client_that_stops_at_its_window_goes_on() {
    const WINDOW: usize = 2_500_000;
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    for frame in 0..100 {
        let room = |encoder: &Encoder| {
            usize::try_from(encoder.acknowledged).unwrap() + WINDOW - encoder.sent
        };
        while room(&encoder) < 100_000 {
            assert!(encoder.read().await, "{} sent, {}", encoder.sent, encoder.acknowledged);
        }
        encoder.video(20_000 + frame * 40, clips::avc_frame(frame % 10 == 0, 99_000)).await;
        time::sleep(Duration::from_millis(40)).await;
    }
    assert!(encoder.sent > 3 * WINDOW && encoder.acknowledged > 0);
    assert_eq!(world.state(), Some(BroadcastState::Live));
}

// R12, R13: two ways of not reading, and the limit of each.
#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_reaches_the_bytes_or_the_time() {
    let ping = [2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1];
    for (bytes_max, stalled) in [(64 * 1024, 0), (1 << 30, 10)] {
        let mut world = World::limited(|limits| limits.rtmp_send_bytes_max = bytes_max).await;
        let mut encoder = world.encoder().await;
        let before = time::Instant::now();
        for _ in 0..400 {
            let _ = encoder.stream.write_all(&ping.repeat(50)).await;
        }
        assert_eq!(encoder.server.await.unwrap().cause, Cause::WriteStalled);
        // And two seconds for a goodbye that nobody takes.
        assert_eq!(before.elapsed().as_secs(), stalled + 2);
    }
}

// R36: whoever was refused and stays is left after `linger_max`.
#[tokio::test(start_paused = true)]
async fn a_refused_peer_that_stays_is_left() {
    let mut world = World::open().await;
    let mut encoder = world.encoder().await;
    encoder.publish("nonsense").await;
    encoder.wait_for("NetStream.Publish.Denied").await;
    let before = time::Instant::now();
    assert_eq!(encoder.server.await.unwrap().cause, Cause::KeyUnknown);
    assert_eq!(before.elapsed(), world.context.limits.linger_max);
}

// Policy cut: a publisher without another keyframe has `closing_grace_max` and no more.
#[tokio::test(start_paused = true)]
async fn policy_cut_does_not_wait_for_a_keyframe_for_ever() {
    let minute = Duration::from_secs(60);
    let mut world = World::closing(Some(minute), "cut").await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    let mut at = 20_000;
    while !encoder.server.is_finished() {
        let open = world.context.clock.now().wall < START + minute - Duration::from_secs(1);
        encoder.video(at, clips::avc_frame(open && at % 400 == 0, 100)).await;
        time::sleep(Duration::from_millis(40)).await;
        at += 40;
    }
    let grace = world.context.limits.closing_grace_max;
    let (ended, due) = (world.context.clock.now().wall, START + minute + grace);
    assert!((due..due + Duration::from_secs(3)).contains(&ended), "{ended} {due}");
    assert_eq!(encoder.end().await.0, Cause::ServiceClosed);
}

/// An encoder that understands a request to reconnect, on air.
async fn capable(world: &mut World) -> Raw {
    let mut encoder = world.raw_publisher(&[("capsEx", Value::from(1.0))]).await;
    encoder.message(0, VIDEO, clips::avc_config()).await;
    for frame in 0..100 {
        send_frame(&mut encoder, frame).await;
    }
    assert_eq!(world.state(), Some(BroadcastState::Live));
    encoder
}

async fn send_frame(encoder: &mut Raw, frame: u32) {
    let body = clips::avc_frame(frame.is_multiple_of(10), 100);
    encoder.message(frame * 40, VIDEO, body).await;
    time::sleep(Duration::from_millis(40)).await;
}

// R53: it is asked, and its media is taken until it has left by itself.
#[tokio::test(start_paused = true)]
async fn a_capable_publisher_is_asked_to_reconnect_and_may_take_its_time() {
    let mut world = World::open().await;
    let mut encoder = capable(&mut world).await;
    world.stop.cancel();
    encoder.read_until("NetConnection.Connect.ReconnectRequest").await;
    let before = world.counter("frames");
    for frame in 100..150 {
        send_frame(&mut encoder, frame).await;
    }
    assert!(world.counter("frames") >= before + 48, "{before} {}", world.counter("frames"));
    assert_eq!(world.state(), Some(BroadcastState::Live));
    drop(encoder.stream);
    assert_eq!(encoder.server.await.unwrap().cause, Cause::Left);
}

// R53: nor does one that stays hold up the stop.
#[tokio::test(start_paused = true)]
async fn a_capable_publisher_that_stays_is_ended_within_the_grace() {
    let mut world = World::open().await;
    let mut encoder = capable(&mut world).await;
    let before = time::Instant::now();
    world.context.registry.stop_all(EndReason::Draining);
    encoder.read_until("NetConnection.Connect.ReconnectRequest").await;
    assert!(before.elapsed() < TICK * 2, "asked at once");
    encoder.read_until("NetStream.Failed").await;
    let third = world.context.limits.drain_grace / 3;
    assert!((third..third + TICK * 2).contains(&before.elapsed()));
    assert_eq!(encoder.end().await, Cause::Draining);
    assert_eq!(world.state(), None);
}

// R53, W38: a key revoked while its publisher takes its time to leave ends it at once.
#[tokio::test(start_paused = true)]
async fn a_key_revoked_after_the_request_to_reconnect_ends_the_broadcast() {
    let mut world = World::open().await;
    let mut encoder = capable(&mut world).await;
    world.context.registry.stop_all(EndReason::Draining);
    encoder.read_until("NetConnection.Connect.ReconnectRequest").await;
    world.stop.cancel();
    send_frame(&mut encoder, 100).await;
    assert_eq!(world.state(), Some(BroadcastState::Live));
    let before = time::Instant::now();
    world.store.revoke_key(&world.key_id, START).await.unwrap();
    world.context.keys.look(world.context.clock.now()).await;
    encoder.read_until("NetStream.Publish.Denied").await;
    assert!(before.elapsed() < TICK * 2, "{:?}", before.elapsed());
    assert_eq!(encoder.end().await, Cause::KeyRevoked);
    assert_eq!(world.state(), None);
}

/// A socket that always has something to read, and takes what it is given.
struct Endless {
    bytes: std::io::Cursor<Vec<u8>>,
    read: Arc<AtomicUsize>,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let bytes = std::io::Read::read(&mut self.bytes, buf.initialize_unfilled())?;
        buf.advance(bytes);
        self.read.fetch_add(buf.filled().len() - before, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// R49: however much is there, a connection reads `read_turn_bytes_max` and lets the others go.
#[tokio::test(start_paused = true)]
async fn a_connection_reads_its_share_and_yields() {
    const FLOOD: usize = 8 * 1024 * 1024;
    let mut world = World::open().await;
    let (mut writer, key) = (Writer::new(), world.key.reveal());
    let app = Value::object([("app", Value::from("live"))]);
    writer.command(0, &[Value::from("connect"), Value::from(1.0), app]);
    writer.command(0, &[Value::from("createStream"), Value::from(2.0)]);
    writer.command(1, &["publish", "", "", key].map(Value::from));
    let mut bytes = [&[3][..], &[0; 2 * 1_536], &writer.take()].concat();
    // Messages that mean nothing to us: only reading them costs.
    while bytes.len() < FLOOD {
        writer.raw(0, 99, 1, vec![0; 10_000].into());
        bytes.extend(writer.take());
    }
    let length = bytes.len();
    let read = Arc::new(AtomicUsize::new(0));
    let stream = Endless { bytes: std::io::Cursor::new(bytes), read: read.clone() };
    world.last_id += 1;
    let peer = Peer { id: ConnId(world.last_id), address: "192.0.2.1:5000".parse().unwrap() };
    let mut serving = pin!(serve(stream, LowWater::default(), peer, &world.context, &world.stop));
    let (mut most, mut all) = (0, 0);
    let ended = std::future::poll_fn(|cx| {
        let polled = serving.as_mut().poll(cx);
        let turn = read.swap(0, Ordering::Relaxed);
        (most, all) = (most.max(turn), all + turn);
        polled
    })
    .await;
    assert_eq!((ended.cause, all), (Cause::Left, length));
    let max = world.context.limits.read_turn_bytes_max;
    // The last read of a turn may be as long as the read buffer.
    assert!((max..max + 2 * READ_BYTES).contains(&most), "{most}");
}

/// F5 and D18: a process that stood still for ten minutes wakes to deadlines that are long over, and
/// ends nobody for that: whoever goes on is heard. Who is silent from then on is so for ten seconds.
#[tokio::test(start_paused = true)]
async fn ten_minutes_asleep_are_nobodys_silence() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    time::advance(Duration::from_secs(600)).await;
    time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.state(), Some(BroadcastState::Live));
    encoder.send_for(5_000, 50).await;
    let silent = time::Instant::now();
    let (cause, _) = encoder.end().await;
    assert!(matches!(cause, Cause::Silent), "{cause:?}");
    let took = silent.elapsed().as_secs();
    assert!((10..=12).contains(&took), "{took} s, in which a goodbye is waited for");
}

/// While nothing is due that a reader waits for, media may stay in the socket, but not for long.
#[tokio::test(start_paused = true)]
async fn a_lull_wakes_for_plenty_and_ends_before_what_is_due() {
    let mut world = World::open().await;
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
    encoder.send_for(10_000, 100).await;
    let wish = world.low_water.clone();
    assert!(wish.get() < 100, "nobody said what it waits for");

    let channel = ChannelId::parse("demo").unwrap();
    let reader = world.context.registry.find(&channel).unwrap().subscribe();
    let next = newest(&world) + MediaTime::from_millis(40);
    reader.rest_until(Some(next + MediaTime::from_millis(120)));
    encoder.send_for(14_000, 1).await;
    assert!(60_000 < wish.get());
    time::sleep(Duration::from_millis(100)).await;
    assert_eq!(wish.get(), 1, "what is there now may complete it");

    reader.rest_until(Some(next + MediaTime::from_millis(3_600_000)));
    encoder.send_for(14_100, 1).await;
    assert!(60_000 < wish.get());
    time::sleep(Duration::from_millis(250)).await;
    assert_eq!(wish.get(), 1, "however far off it is");

    let second = reader.broadcast().subscribe();
    encoder.send_for(14_300, 1).await;
    assert!(wish.get() < 100, "the second reader wants all of it");
    drop(second);
    reader.rest_until(None);
    encoder.send_for(14_340, 1).await;
    assert!(wish.get() < 100);
}

/// Decode time of the newest frame.
fn newest(world: &World) -> MediaTime {
    let channel = ChannelId::parse("demo").unwrap();
    let mut frames = Vec::new();
    world.context.registry.find(&channel).unwrap().subscribe().try_batch(&mut frames);
    frames.last().unwrap().dts
}

/// Pictures that wait for sound when the encoder says goodbye, or breaks off, are shown.
#[tokio::test(start_paused = true)]
async fn the_last_pictures_are_kept() {
    for says_goodbye in [true, false] {
        let mut world = World::open().await;
        let mut encoder = world.publisher().await;
        encoder.video(0, clips::avc_config()).await;
        encoder.audio(0, clips::aac_config()).await;
        for frame in 0..50 {
            encoder.audio(frame * 40, clips::aac_frame(100)).await;
            encoder.video(frame * 40, clips::avc_frame(frame == 0, 100)).await;
            time::sleep(Duration::from_millis(40)).await;
        }
        let channel = ChannelId::parse("demo").unwrap();
        let mut reader = world.context.registry.find(&channel).unwrap().subscribe();
        encoder.video(2_000, clips::avc_frame(false, 100)).await;
        encoder.video(2_040, clips::avc_frame(false, 100)).await;
        if says_goodbye {
            let stopped = encoder.session.stop_publishing().unwrap();
            encoder.handle(stopped).await;
        }
        drop(encoder.stream);
        encoder.server.await.unwrap();
        let mut frames = Vec::new();
        reader.try_batch(&mut frames);
        let pictures = frames.iter().filter(|frame| frame.track == TrackKind::Video).count();
        assert_eq!(pictures, 52, "{says_goodbye}");
    }
}
