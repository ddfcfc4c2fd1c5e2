//! Encoders behind bad lines, and defects of ours at every place where a connection waits.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::broadcast::Receiver;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep};

use super::Cause;
use super::conn::{Ended, Peer, serve};
use super::low_water::LowWater;
use super::world::{Encoder, Raw, START, World};
use super::writer::Writer;
use crate::accounts::issue_key;
use crate::base::{ChannelId, ConnId, Limits, MediaSeq, Rival};
use crate::hls::{self, Cut, Segmenter};
use crate::hub::{Batch, BroadcastState, Event, Subscription};
use crate::testing::clips;
use crate::testing::dice::Dice;
use crate::testing::fault::{End, Fault, Plan};
use crate::testing::log::Log;
use crate::testing::proxy::forward;

const MS: Duration = Duration::from_millis(1);
const FRAME: Duration = Duration::from_millis(40);
/// Frames from keyframe to keyframe.
const GOP: u32 = 10;

/// A connection to the server over a bad line.
fn dial_over(
    world: &mut World,
    [up, down]: [Fault; 2],
    seed: u64,
) -> (DuplexStream, JoinHandle<Ended>) {
    let (mut far, server) = world.dial();
    let (near, mut left) = duplex(64 * 1_024);
    let (up, down) = (Plan::new(up, seed), Plan::new(down, seed + 1));
    world.tasks.spawn(async move {
        // Dropping both pipes then is what tears the connection.
        let _ = forward(&mut left, &mut far, up, down).await;
    });
    (near, server)
}

/// The next broadcast, from its start to its end.
async fn watch_next(mut news: Receiver<Event>) -> Vec<Bytes> {
    match news.recv().await.expect("a hub") {
        Event::Started(broadcast) => watch(broadcast.subscribe()).await,
        Event::Ended(..) => panic!("nothing has begun"),
    }
}

/// What the hub was given, made into segments as the packager makes them.
async fn watch(mut reader: Subscription) -> Vec<Bytes> {
    let settings = hls::Settings::default();
    let mut segmenter = Segmenter::new(&settings, &Limits::default(), MediaSeq(1), START);
    let (mut frames, mut cuts) = (Vec::new(), Vec::new());
    loop {
        match reader.next_batch(&mut frames).await {
            Batch::Frames => frames.drain(..).for_each(|frame| segmenter.push(&frame, &mut cuts)),
            Batch::Ended(_) => break,
            other @ (Batch::Lagged { .. } | Batch::Away { .. } | Batch::Back) => {
                panic!("{other:?} on a line that only delays")
            }
        }
    }
    segmenter.finish(&mut cuts);
    let bytes = cuts.into_iter().filter_map(|cut| match cut {
        Cut::Part(part) => Some(part.bytes.clone()),
        Cut::Init(init) => Some(init.bytes.clone()),
        Cut::Targets(_) | Cut::Open(_) | Cut::Close { .. } => None,
    });
    bytes.collect()
}

/// Publishes 200 frames in real time over such a line and ends the broadcast in words. Answers
/// every byte that a viewer could have fetched, and when the last was there.
async fn publish_over(faults: [Fault; 2], seed: u64) -> (Vec<Bytes>, Duration) {
    const FRAMES: u32 = 200;
    let begun = Instant::now();
    let mut world = World::open().await;
    let watching = world.tasks.spawn(watch_next(world.context.registry.watch()));
    let (stream, server) = dial_over(&mut world, faults, seed);
    let mut encoder = Encoder::connect(stream, server).await;
    let key = world.key.clone();
    encoder.publish(key.reveal()).await;
    encoder.wait_for("NetStream.Publish.Start").await;
    encoder.video(0, clips::avc_config()).await;
    for frame in 0..FRAMES {
        let size = 500 + usize::try_from(frame).unwrap();
        encoder.video(frame * 40, clips::avc_frame(frame % GOP == 0, size)).await;
        sleep(FRAME).await;
    }
    let last = encoder.session.stop_publishing().unwrap();
    encoder.handle(last).await;
    let output = watching.await.unwrap();
    let took = begun.elapsed();
    let (cause, _) = encoder.end().await;
    assert!(matches!(cause, Cause::Finished), "{cause:?}");
    (output, took)
}

/// F11 and F13: loss, delay, jitter and a split before every byte break no protocol and change no
/// byte of what viewers get; all they cost is time.
#[tokio::test(start_paused = true)]
async fn a_bad_line_costs_only_time() {
    let (perfect, quick) = publish_over([Fault::default(); 2], 0).await;
    assert!(perfect.len() > 20, "{} pieces", perfect.len());
    let far = Fault { delay: 200 * MS, jitter: 100 * MS, ..Fault::default() };
    let split = Fault { piece_bytes_max: 1, ..Fault::default() };
    let lines = [
        ("1 % lost", Fault { lost_of_10_000: 100, ..far }),
        ("5 % lost", Fault { lost_of_10_000: 500, ..far }),
        ("split", split),
        ("split and late", Fault { piece_bytes_max: 1, ..far }),
    ];
    for (name, line) in lines {
        for seed in 1..=5 {
            let (output, took) = publish_over([line, line], seed).await;
            assert!(output == perfect, "{name}, seed {seed}: another output");
            let late = took.saturating_sub(quick);
            // Six ways there and back before the first frame, and what is lost now and then.
            assert!(late < Duration::from_secs(8), "{name}, seed {seed}: {late:?} later");
        }
    }
}

/// F12 and R48: a line that carries half of the bitrate is warned of once media is 20 s behind, and
/// what does not fit waits with the encoder: what has come is in frames at once.
#[tokio::test(start_paused = true)]
async fn a_line_below_the_bitrate_is_told_and_fills_no_memory() {
    const FRAME_BYTES: u64 = 2_000;
    let log = Log::listen();
    let mut world = World::open().await;
    let line = Fault { bytes_per_second_max: Some(25_000), ..Fault::default() };
    let (stream, server) = dial_over(&mut world, [line, Fault::default()], 1);
    let mut encoder = Encoder::connect(stream, server).await;
    let key = world.key.clone();
    encoder.publish(key.reveal()).await;
    encoder.wait_for("NetStream.Publish.Start").await;
    encoder.video(0, clips::avc_config()).await;
    let size = usize::try_from(FRAME_BYTES).unwrap();
    let sending = async {
        for frame in 0_u32.. {
            encoder.video(frame * 40, clips::avc_frame(frame % GOP == 0, size)).await;
            sleep(FRAME).await;
        }
    };
    let told = || log.count("the publisher's link is too slow");
    let watching = async {
        let (mut received, mut frames) = (0, 0);
        for second in 0..60 {
            sleep(Duration::from_secs(1)).await;
            // Until it is sure that no sound comes, pictures are held, which is over by then.
            if second == 10 {
                (received, frames) = (world.counter("received_bytes"), world.counter("frames"));
            } else if second > 10 {
                let bytes = world.counter("received_bytes") - received;
                let media = (world.counter("frames") - frames) * FRAME_BYTES;
                // Headers take a few of a hundred bytes, and a frame may be half there.
                let kept = bytes.saturating_sub(media + bytes / 20);
                assert!(kept <= FRAME_BYTES, "{kept} bytes are in no frame after {second} s");
            }
            match second {
                ..35 => assert_eq!(told(), 0, "{second} s"),
                50.. => assert_eq!(told(), 1, "{second} s"),
                35..50 => {}
            }
        }
    };
    tokio::select! {
        () = sending => unreachable!("it goes on for ever"),
        () = watching => {}
    }
    assert_eq!(world.state(), Some(BroadcastState::Live));
}

/// A line that ends anywhere, in any way, is one lost connection with a plain reason; a publisher
/// that was on air may come back, and a line that is half open is given up within ten seconds of
/// silence (F8, R46).
#[tokio::test(start_paused = true)]
async fn a_line_may_end_anywhere() {
    let mut dice = Dice::new(1);
    let mut world = World::open().await;
    for round in 0..60 {
        let end = [End::Fin, End::Reset, End::HalfOpen][round % 3];
        // The handshake is 3 kB, the commands are 400 bytes, and media follows.
        let after = dice.below(12_000);
        let line = Fault { end: Some((after, end)), ..Fault::default() };
        let (stream, server) = dial_over(&mut world, [line, Fault::default()], dice.roll() / 2);
        let mut raw = Raw { stream, writer: Writer::new(), server };
        raw.send(&[&[3][..], &[0; 2 * 1_536]].concat()).await;
        raw.connect("live", &[]).await;
        let key = world.key.clone();
        raw.publish(key.reveal(), "live").await;
        raw.message(0, 9, clips::avc_config()).await;
        for frame in 0..40 {
            raw.message(frame * 40, 9, clips::avc_frame(frame % GOP == 0, 300)).await;
            sleep(FRAME).await;
        }
        let cut_at = Instant::now();
        let cause = raw.server.await.expect("no panic").cause;
        // Whoever was heard out is given a moment to read why it is let go.
        let waited = cut_at.elapsed().saturating_sub(world.context.limits.linger_max);
        let plain = match end {
            End::HalfOpen => {
                let in_hall = matches!(cause, Cause::HandshakeTimeout | Cause::ConnectTimeout);
                let late = |cause_fits: bool, seconds| {
                    cause_fits && waited <= Duration::from_secs(seconds)
                };
                late(in_hall || matches!(cause, Cause::Silent), 10)
                    || late(matches!(cause, Cause::PublishTimeout), 15)
                    || late(matches!(cause, Cause::FirstMediaTimeout), 20)
            }
            End::Fin | End::Reset => matches!(cause, Cause::Left | Cause::Broken(_)),
        };
        assert!(plain, "{end:?} after {after} bytes: {cause:?} after {waited:?}");
    }
    let mut encoder = world.publisher().await;
    encoder.go_live(&world).await;
}

/// A stream whose every use may be the one that meets a defect.
struct Fused<S> {
    inner: S,
    /// Uses that go well.
    left: u32,
}

impl<S: Unpin> Fused<S> {
    fn burn(self: Pin<&mut Self>) -> Pin<&mut S> {
        let this = self.get_mut();
        this.left = this.left.checked_sub(1).expect("a defect, put here by the test");
        Pin::new(&mut this.inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Fused<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.burn().poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Fused<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.burn().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.burn().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        self.burn().poll_shutdown(cx)
    }
}

/// A publisher whose connection meets a defect after so many uses of its socket: a handshake, a
/// publication, the end of the stream. It does not look at what the server says.
async fn publish_into_a_defect(world: &World, uses: u32) -> Result<Ended, JoinError> {
    let (near, far) = duplex(256 * 1_024);
    let peer = Peer { id: ConnId(1_000), address: "192.0.2.9:9".parse().unwrap() };
    let (context, stop) = (world.context.clone(), world.stop.clone());
    let fused = Fused { inner: far, left: uses };
    let server = world
        .tasks
        .spawn(async move { serve(fused, LowWater::default(), peer, &context, &stop).await });
    let mut raw = Raw { stream: near, writer: Writer::new(), server };
    raw.send(&[&[3][..], &[0; 2 * 1_536]].concat()).await;
    raw.connect("live", &[]).await;
    raw.publish(world.key.reveal(), "live").await;
    raw.message(0, 9, clips::avc_config()).await;
    for frame in 0..20 {
        raw.message(frame * 40, 9, clips::avc_frame(frame % GOP == 0, 300)).await;
        sleep(FRAME).await;
    }
    let _ = raw.stream.shutdown().await;
    raw.server.await
}

/// F37 and D37: a panic at any place where a connection waits for its socket ends that connection
/// and no other. Its broadcast waits for the publisher as after any loss, and goes on with the next.
#[tokio::test(start_paused = true)]
async fn a_panic_at_any_wait_ends_one_connection() {
    let mut world = World::limited(|limits| limits.track_wait_max = 3 * FRAME).await;
    let next_door = ChannelId::parse("next-door").unwrap();
    let issued = issue_key(&*world.store, &next_door, "", Rival::default(), None, START).await;
    world.context.keys.look(world.context.clock.now()).await;
    let mut neighbour = world.encoder().await;
    neighbour.publish(issued.unwrap().text.reveal()).await;
    neighbour.wait_for("NetStream.Publish.Start").await;
    neighbour.video(0, clips::avc_config()).await;
    let untouched = async {
        for frame in 0_u32.. {
            neighbour.video(frame * 40, clips::avc_frame(frame % GOP == 0, 300)).await;
            assert!(!neighbour.server.is_finished(), "the neighbour was ended");
            sleep(FRAME).await;
        }
    };
    let rounds = async {
        let mut broadcast = None;
        for uses in 0.. {
            let ended = publish_into_a_defect(&world, uses).await;
            let state = world.state();
            broadcast = broadcast.or(world.broadcast_id());
            match ended {
                Ok(ended) => {
                    assert!(matches!(ended.cause, Cause::Left), "{:?}", ended.cause);
                    return uses;
                }
                Err(defect) => assert!(defect.is_panic()),
            }
            // Once it was on air, it stays the same broadcast through all defects.
            assert!(!matches!(state, Some(BroadcastState::Live)), "nobody is connected");
            assert!(world.broadcast_id() == broadcast, "another broadcast after {uses} uses");
        }
        unreachable!("a connection has an end")
    };
    let uses = tokio::select! {
        () = untouched => unreachable!("it goes on for ever"),
        uses = rounds => uses,
    };
    assert!(uses > 40, "{uses} places");
    let state = world.context.registry.find(&next_door).map(|broadcast| broadcast.state());
    assert_eq!(state, Some(BroadcastState::Live));
}
