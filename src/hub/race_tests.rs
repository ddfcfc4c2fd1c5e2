//! Threads that meet in the hub: whoever comes first, nobody misses a frame or an end, and there
//! is one publisher who knows that it is the one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};
use tokio::sync::broadcast::Receiver;

use super::{
    Batch, Broadcast, BroadcastState, EndReason, Event, Publication, Publisher, Registry, Settings,
    StartError, Subscription, WriteError,
};
use crate::base::{
    BroadcastId, ChannelId, ConnId, KeyId, Limits, MediaTime, MonoTime, Now, Rival, WallTime,
};
use crate::gate::{Admission, Latch, Policy};
use crate::media::{Format, Frame, TrackKind};
use crate::testing::race::race;

const ORDERS: usize = 2_000;
const RESUME_WINDOW: u64 = 60_000;

fn at(millis: u64) -> Now {
    let mono = MonoTime::from_start(Duration::from_millis(millis));
    Now { mono, wall: WallTime::from_unix_millis(1_790_000_000_000) + mono.since_start() }
}

fn channel() -> ChannelId {
    ChannelId::parse("studio").unwrap()
}

fn registry() -> Registry {
    let settings = Settings { resume_window: Duration::from_millis(RESUME_WINDOW) };
    Registry::new(Limits::default(), settings, BroadcastId::new(7))
}

fn start(registry: &Registry, conn: u64, millis: u64) -> Result<Publication, StartError> {
    let open = Policy::new(None, Latch::default());
    let permit = open.admit(&channel(), Admission::Start, at(0).wall).expect("nothing is closed");
    let publisher = Publisher {
        conn: ConnId(conn),
        key: KeyId::new("k"),
        rival: Rival::TakesOver,
        peer: "127.0.0.1:1".parse().unwrap(),
        encoder: None,
    };
    registry.start(permit, publisher, at(millis))
}

/// A frame that says who wrote it, and its number.
fn write(publication: &mut Publication, conn: u8, number: u8) -> Result<(), WriteError> {
    let millis = 1_000 * u64::from(conn) + 100 * u64::from(number);
    let dts = MediaTime::from_millis(i64::try_from(millis).unwrap());
    let frame = Frame {
        track: TrackKind::Audio,
        dts,
        pts: dts,
        keyframe: true,
        run: 0,
        format: Arc::new(Format { video: None, audio: None }),
        payload: Bytes::copy_from_slice(&[conn, number]),
    };
    publication.write(frame, at(millis).mono)
}

/// Who wrote what, and how it ended.
type Read = (Vec<[u8; 2]>, EndReason);

/// Reads to the end.
async fn read_all(mut reader: Subscription) -> Read {
    let mut frames = Vec::new();
    loop {
        if let Batch::Ended(reason) = reader.next_batch(&mut frames).await {
            let marks = frames.iter().map(|frame| [frame.payload[0], frame.payload[1]]);
            return (marks.collect(), reason);
        }
    }
}

/// What the hub tells.
struct News {
    events: Receiver<Event>,
    open: Vec<Arc<Broadcast>>,
}

impl News {
    fn of(registry: &Registry) -> Self {
        Self { events: registry.watch(), open: Vec::new() }
    }

    /// It agrees with what there is: each broadcast starts and ends once, and what has not ended is
    /// the one that is found.
    fn judge(&mut self, registry: &Registry) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Started(broadcast) => self.open.push(broadcast),
                Event::Ended(broadcast, reason) => {
                    let index = self.open.iter().position(|one| Arc::ptr_eq(one, &broadcast));
                    self.open.remove(index.expect("it ends once, after it started"));
                    assert_eq!(broadcast.state(), BroadcastState::Ended(reason), "for good");
                }
            }
        }
        let open: Vec<_> = self.open.iter().map(|broadcast| broadcast.id()).collect();
        let found: Vec<_> = registry.find(&channel()).iter().map(|found| found.id()).collect();
        assert_eq!(open, found);
    }
}

/// The publication is the one of the channel, and nobody stopped it.
fn assert_on_air(registry: &Registry, publication: &Publication) {
    assert_eq!(publication.stop_reason(), None);
    let found = registry.find(&channel()).expect("a broadcast");
    assert_eq!(found.id(), publication.broadcast().id());
    assert_eq!(found.state(), BroadcastState::Live);
}

/// A broadcast that is on air, its one publication, and somebody who reads it to the end.
fn on_air() -> (Registry, News, Publication, JoinHandle<Read>) {
    let registry = registry();
    let news = News::of(&registry);
    let first = start(&registry, 1, 0).unwrap();
    let reader = first.broadcast().subscribe();
    (registry, news, first, thread::spawn(move || block_on(read_all(reader))))
}

/// X8: a reader misses no frame and no end, also one that comes late.
#[test]
fn no_wake_is_lost() {
    race(ORDERS, || {
        let registry = registry();
        let mut publication = start(&registry, 1, 0).unwrap();
        let broadcast = publication.broadcast().clone();
        let early = broadcast.subscribe();
        let early = thread::spawn(move || block_on(read_all(early)));
        let late = thread::spawn(move || block_on(read_all(broadcast.subscribe())));
        for number in 0..3 {
            write(&mut publication, 1, number).unwrap();
        }
        publication.finish(EndReason::Finished, at(2_000).mono);
        let all = vec![[1, 0], [1, 1], [1, 2]];
        assert_eq!(early.join().unwrap(), (all.clone(), EndReason::Finished));
        let (frames, reason) = late.join().unwrap();
        assert!(all.ends_with(&frames), "{frames:?}");
        assert_eq!(reason, EndReason::Finished);
    });
}

/// X8: whoever takes over is on air, however the one before leaves meanwhile.
#[test]
fn a_takeover_meets_the_end_of_the_one_before() {
    fn scene(leave: fn(Publication)) {
        let (registry, mut news, mut first, reader) = on_air();
        let before = first.broadcast().id();
        let leaving = thread::spawn(move || {
            let _ = write(&mut first, 1, 0);
            leave(first);
        });
        let mut second = start(&registry, 2, 500).expect("the later connection of one key");
        write(&mut second, 2, 0).expect("the one writer");
        leaving.join().unwrap();
        write(&mut second, 2, 1).expect("still the one writer");
        assert_on_air(&registry, &second);
        news.judge(&registry);
        let goes_on = second.broadcast().id() == before;
        second.finish(EndReason::Finished, at(3_000).mono);
        let (frames, reason) = reader.join().unwrap();
        assert_eq!(reason, EndReason::Finished);
        assert_eq!(frames.ends_with(&[[2, 0], [2, 1]]), goes_on, "{frames:?}");
        news.judge(&registry);
    }
    race(ORDERS, || scene(|first| first.finish(EndReason::Finished, at(600).mono)));
    race(ORDERS, || scene(drop));
}

/// X8: of two newcomers the later one stays; the other is told, and writes nothing after it.
#[test]
fn two_newcomers_have_one_winner() {
    race(ORDERS, || {
        let (registry, mut news, mut first, reader) = on_air();
        let loser = registry.clone();
        let loser = thread::spawn(move || match start(&loser, 2, 500) {
            Ok(mut second) => {
                let _ = write(&mut second, 2, 0);
                assert_eq!(block_on(second.stopped()), EndReason::TakenOver);
                let taken = WriteError::Stopped(EndReason::TakenOver);
                assert_eq!(write(&mut second, 2, 1), Err(taken));
            }
            Err(error) => assert_eq!(error, StartError::Overtaken),
        });
        let _ = write(&mut first, 1, 0);
        let mut third = start(&registry, 3, 500).expect("the latest connection of one key");
        write(&mut third, 3, 0).expect("the one writer");
        loser.join().unwrap();
        drop(first);
        assert_on_air(&registry, &third);
        third.finish(EndReason::Finished, at(4_000).mono);
        let (frames, _) = reader.join().unwrap();
        assert!(frames.is_sorted() && frames.ends_with(&[[3, 0]]), "{frames:?}");
        news.judge(&registry);
    });
}

/// X8: a broadcast that an operator ended stays ended, also when its publisher comes back at that
/// moment, and its publisher is told.
#[test]
fn an_end_meets_a_resume() {
    race(ORDERS, || {
        let registry = registry();
        let mut news = News::of(&registry);
        drop(start(&registry, 1, 0).unwrap());
        let waiting = registry.find(&channel()).expect("it waits for a resume");
        let operator = thread::spawn(move || waiting.end(EndReason::KeyRevoked));
        let mut back = start(&registry, 2, 1_000).expect("resumed or anew");
        operator.join().unwrap();
        news.judge(&registry);
        if back.stop_reason().is_none() {
            write(&mut back, 2, 0).expect("the one writer");
            assert_on_air(&registry, &back);
        } else {
            let revoked = WriteError::Stopped(EndReason::KeyRevoked);
            assert_eq!(write(&mut back, 2, 0), Err(revoked));
            assert!(registry.find(&channel()).is_none());
        }
    });
}

/// X8: at the end of the resume window the publisher is back, or begins anew.
#[test]
fn a_resume_meets_the_end_of_its_window() {
    race(ORDERS, || {
        let registry = registry();
        let mut news = News::of(&registry);
        drop(start(&registry, 1, 0).unwrap());
        let clock = registry.clone();
        let clock = thread::spawn(move || clock.expire(at(RESUME_WINDOW).mono));
        let mut back = start(&registry, 2, RESUME_WINDOW - 1).expect("resumed or anew");
        clock.join().unwrap();
        write(&mut back, 2, 0).expect("the one writer");
        assert_on_air(&registry, &back);
        news.judge(&registry);
    });
}

/// X8: a server that stops leaves no broadcast behind, whether its publisher is there, leaves or
/// was lost at that moment. What was asked to stop and is away by then is ended by the second call.
#[test]
fn a_stop_meets_a_loss() {
    race(ORDERS, || {
        let (registry, mut news, mut first, reader) = on_air();
        let leaving = thread::spawn(move || {
            let _ = write(&mut first, 1, 0);
            match first.stop_reason() {
                Some(reason) => first.finish(reason, at(1_000).mono),
                None => drop(first),
            }
        });
        registry.stop_all(EndReason::Draining);
        leaving.join().unwrap();
        registry.stop_all(EndReason::Draining);
        assert_eq!(reader.join().unwrap(), (vec![[1, 0]], EndReason::Draining));
        news.judge(&registry);
    });
}
