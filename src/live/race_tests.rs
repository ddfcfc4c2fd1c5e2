//! Viewers that ask while the packager publishes: nobody waits for what is there already, and
//! nobody waits on when the broadcast is over.

use std::sync::Arc;
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use super::rendition::Rendition;
use super::{EndReason, Media, MediaName, Metrics, Published, Wait, Want};
use crate::base::{BroadcastId, ChannelId, Limits, MediaSeq, MonoTime, Now, PartIndex, WallTime};
use crate::hls::{Segmenter, Settings, Window};
use crate::testing::clips;
use crate::testing::race::race;

const ORDERS: usize = 600;
/// 2026-11-21T08:00:00Z
const WALL: WallTime = WallTime::from_unix_millis(1_795_248_000_000);
const PART: Duration = Duration::from_millis(200);
/// Frames of 100 ms: the packager gets so many at a time, and so often.
const BATCHES: i64 = 3;
const FRAMES_A_BATCH: i64 = 4;

fn now() -> Now {
    Now { mono: MonoTime::ZERO, wall: WALL }
}

fn rendition() -> (Metrics, Arc<Rendition>) {
    let channel = ChannelId::parse("studio").unwrap();
    let window = Window::new(Duration::from_secs(12), Limits::default().window_bytes_max);
    let (metrics, id) = (Metrics::default(), BroadcastId::new(1));
    let rendition = Rendition::new(channel, id, now(), window, metrics.clone());
    (metrics, Arc::new(rendition))
}

/// What the packager does with a short broadcast.
fn publish(rendition: &Rendition) {
    let settings = Settings { part_target: PART, ..Settings::default() };
    let mut segmenter = Segmenter::new(&settings, &Limits::default(), MediaSeq(1), WALL);
    let (format, mut cuts) = (clips::video_format(), Vec::new());
    for batch in 0..BATCHES {
        for frame in batch * FRAMES_A_BATCH..(batch + 1) * FRAMES_A_BATCH {
            let frame = clips::video_frame(&format, frame * 100, frame % 10 == 0, 50);
            segmenter.push(&Arc::new(frame), &mut cuts);
        }
        assert!(rendition.apply(&mut cuts, MonoTime::ZERO));
        rendition.publish(None);
    }
    segmenter.finish(&mut cuts);
    assert!(rendition.apply(&mut cuts, MonoTime::ZERO));
    rendition.end(EndReason::Finished, now(), None);
}

/// Reloads as a player does, each time for the part after the newest; the versions it got.
async fn reload(rendition: Arc<Rendition>) -> Vec<Arc<Published>> {
    let mut versions = Vec::from_iter(rendition.first_published().await);
    while let Some(last) = versions.last().filter(|last| !last.ended) {
        let part = last.last_part.map_or(0, |part| part.0 + 1);
        let want = Want { msn: last.last_msn, part: Some(PartIndex(part)) };
        versions.push(match rendition.wait_for(want) {
            Wait::Ready(next) => next,
            Wait::Later(coming) => coming.arrive().await.expect("the broadcast has parts"),
            Wait::Refused(why) => panic!("{why:?}"),
        });
    }
    versions
}

/// Reloads for whole segments alone, as players without parts do; the versions it got.
async fn reload_whole(rendition: Arc<Rendition>) -> Vec<Arc<Published>> {
    let mut versions = Vec::from_iter(rendition.first_published().await);
    while let Some(last) = versions.last().filter(|last| !last.ended) {
        let msn = last.edge.closed.map_or(last.last_msn, |(closed, _)| closed.next());
        versions.push(match rendition.wait_for(Want { msn, part: None }) {
            Wait::Ready(next) => next,
            Wait::Later(coming) => coming.arrive().await.expect("the broadcast has parts"),
            Wait::Refused(why) => panic!("{why:?}"),
        });
    }
    versions
}

/// Asks for every part once the one before it is there; how many there were.
async fn fetch(rendition: Arc<Rendition>) -> u64 {
    rendition.first_published().await;
    for number in 1.. {
        let media = match rendition.media(&MediaName::Part(number)) {
            Media::Hinted(coming) => coming.arrive().await,
            media @ (Media::Ready(_) | Media::Gap | Media::Gone | Media::Unknown) => media,
        };
        if !matches!(media, Media::Ready(_) | Media::Gap) {
            return number - 1;
        }
    }
    0
}

type Reloading = JoinHandle<Vec<Arc<Published>>>;

/// Two who reload, for parts and for segments, and one who fetches, each on a thread.
fn viewers(rendition: &Arc<Rendition>) -> ([Reloading; 2], JoinHandle<u64>) {
    let [player, plain, eager] = [(); 3].map(|()| rendition.clone());
    let player = thread::spawn(move || block_on(reload(player)));
    let plain = thread::spawn(move || block_on(reload_whole(plain)));
    ([player, plain], thread::spawn(move || block_on(fetch(eager))))
}

/// X8: a reload that waits gets the next version, a hinted part is answered once it is whole, and
/// the end lets everybody go.
#[test]
fn no_viewer_waits_for_what_is_there() {
    race(ORDERS, || {
        let (metrics, rendition) = rendition();
        let (players, eager) = viewers(&rendition);
        publish(&rendition);
        assert_eq!(eager.join().unwrap(), metrics.parts.get());
        for player in players {
            let versions = player.join().unwrap();
            assert!(versions.is_sorted_by(|one, next| one.version < next.version));
            assert!(versions.last().is_some_and(|last| last.ended));
        }
    });
}

/// X8: a broadcast that ends without a part, or is forgotten, holds nobody.
#[test]
fn an_end_without_a_part_holds_nobody() {
    race(ORDERS, || {
        let (_, rendition) = rendition();
        let (players, eager) = viewers(&rendition);
        rendition.end(EndReason::Lost, now(), None);
        assert_eq!(eager.join().unwrap(), 0);
        assert!(players.into_iter().all(|player| player.join().unwrap().is_empty()));
    });
    race(ORDERS, || {
        let (_, rendition) = rendition();
        let first = Want { msn: MediaSeq(1), part: None };
        let Wait::Later(coming) = rendition.wait_for(first) else { panic!("nothing is there") };
        let player = thread::spawn(move || block_on(coming.arrive()));
        rendition.end(EndReason::Lost, now(), None);
        assert!(player.join().unwrap().is_none());
    });
}
