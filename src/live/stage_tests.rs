//! A supervisor, its hub and encoders on a clock that stands still unless somebody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Closing, Context, Directory, Metrics, Published, Rendition, Settings, Supervisor};
use crate::base::{
    BroadcastId, ChannelId, Clock, ConnId, KeyId, Limits, MonoTime, Now, Rival, WallTime,
};
use crate::gate::{Admission, Latch, Policy};
use crate::hub::{self, EndReason, Publication, Publisher, Registry};
use crate::media::{Format, Frame};
use crate::testing::clips;
use crate::testing::lint::{check_playlist, check_reload};

/// 2026-11-21T08:00:00Z
const WALL: WallTime = WallTime::from_unix_millis(1_795_248_000_000);

/// Reads tokio's paused clock; panics once when told to, and its calendar can be set back.
#[derive(Debug)]
pub(super) struct StageClock {
    start: Instant,
    pub(super) broken: AtomicBool,
    /// Milliseconds that the calendar is late.
    pub(super) late: AtomicU64,
}

impl Clock for StageClock {
    fn now(&self) -> Now {
        assert!(!self.broken.swap(false, Ordering::SeqCst), "the clock was told to break");
        let since = self.start.elapsed();
        let late = i64::try_from(self.late.load(Ordering::SeqCst)).expect("some hours");
        let calendar = WALL.unix_millis() - late;
        Now {
            mono: MonoTime::from_start(since),
            wall: WallTime::from_unix_millis(calendar) + since,
        }
    }
}

pub(super) struct Stage {
    pub(super) registry: Registry,
    pub(super) directory: Directory,
    pub(super) clock: Arc<StageClock>,
    pub(super) metrics: Metrics,
    pub(super) closing: watch::Sender<Option<Closing>>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(Limits::default(), Settings::default())
    }

    pub(super) fn with(limits: Limits, settings: Settings) -> Self {
        let clock = Arc::new(StageClock {
            start: Instant::now(),
            broken: AtomicBool::new(false),
            late: AtomicU64::new(0),
        });
        let registry = Registry::new(limits.clone(), hub::Settings::default(), BroadcastId::new(1));
        let (closing, closing_seen) = watch::channel(None);
        let stage = Self {
            registry: registry.clone(),
            directory: Directory::new(),
            clock: clock.clone(),
            metrics: Metrics::default(),
            closing,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let supervisor = Supervisor::new(Context {
            registry,
            directory: stage.directory.clone(),
            clock,
            settings,
            limits,
            closing: closing_seen,
            metrics: stage.metrics.clone(),
            tasks: stage.tasks.clone(),
        });
        stage.tasks.spawn(supervisor.run(stage.stop.clone()));
        stage
    }

    pub(super) async fn encoder(&self, channel: &str, admission: Admission) -> Encoder {
        // The supervisor hears before the first frame is written.
        tokio::task::yield_now().await;
        let id = ChannelId::parse(channel).unwrap();
        let now = self.clock.now();
        let open = Policy::new(None, Latch::default());
        let permit = open.admit(&id, admission, now.wall).expect("nothing is closed");
        let peer = "127.0.0.1:1".parse().unwrap();
        let publisher = Publisher {
            conn: ConnId(1),
            key: KeyId::new(channel),
            rival: Rival::default(),
            peer,
            encoder: None,
        };
        let publication = self.registry.start(permit, publisher, now).expect("the channel is free");
        Encoder {
            publication,
            clock: self.clock.clone(),
            format: clips::video_format(),
            gop: 60,
            size: 1_000,
            start: Instant::now(),
            frames: 0,
        }
    }

    pub(super) fn rendition(&self, channel: &str) -> Arc<Rendition> {
        self.directory.current(&ChannelId::parse(channel).unwrap()).expect("a rendition")
    }
}

/// Writes thirty video frames a second.
pub(super) struct Encoder {
    publication: Publication,
    clock: Arc<StageClock>,
    pub(super) format: Arc<Format>,
    pub(super) gop: i64,
    pub(super) size: usize,
    start: Instant,
    frames: i64,
}

impl Encoder {
    /// Publishes for `millis`, in time; stops early when the publication is stopped.
    pub(super) async fn run(&mut self, millis: i64) {
        let until = self.millis() + millis;
        while self.millis() < until {
            let due = Duration::from_millis(self.millis().try_into().unwrap());
            sleep_until(self.start + due).await;
            if !self.write() {
                return;
            }
        }
    }

    /// One frame, at once; answers whether it was taken.
    pub(super) fn write(&mut self) -> bool {
        let key = self.frames.rem_euclid(self.gop) == 0;
        let frame: Frame = clips::video_frame(&self.format, self.millis(), key, self.size);
        self.frames += 1;
        self.publication.write(frame, self.clock.now().mono).is_ok()
    }

    pub(super) fn finish(self, reason: EndReason) {
        let now = self.clock.now().mono;
        self.publication.finish(reason, now);
    }

    fn millis(&self) -> i64 {
        self.frames * 100 / 3
    }
}

/// Judges every version that a rendition publishes until it ends.
pub(super) async fn judge_all(rendition: Arc<Rendition>) -> Vec<Arc<Published>> {
    let mut versions: Vec<Arc<Published>> = Vec::new();
    let mut news = rendition.shown.subscribe();
    loop {
        let shown = news.borrow_and_update().published();
        if let Some(next) = shown {
            let text = text(&next);
            let mut findings = check_playlist(text);
            if let Some(last) = versions.last() {
                findings.extend(check_reload(self::text(last), text));
            }
            assert!(findings.is_empty(), "{findings:#?}\n{text}");
            let ended = next.ended;
            versions.push(next);
            if ended {
                return versions;
            }
        }
        news.changed().await.expect("the rendition is held");
    }
}

pub(super) fn text(published: &Published) -> &str {
    std::str::from_utf8(published.playlist.plain()).expect("UTF-8")
}
