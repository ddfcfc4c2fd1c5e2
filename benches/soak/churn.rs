//! Publishers that never stay: cut off, taken over, ended and started again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ghostlight::base::{Clock, Limits};
use ghostlight::rtmp::client::{ClientError, Link, Target};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::clip::Clip;
use super::publishers::send;

/// A publisher stays this long.
const STAY_SECONDS: std::ops::Range<u64> = 10..60;
/// The next one comes after this long, well before the channel's place is given up.
const AWAY_MILLIS: std::ops::Range<u64> = 200..5_000;

/// How a publisher leaves.
#[derive(Clone, Copy, Debug)]
enum Exit {
    /// The connection is gone without a word.
    Cut,
    /// The next one comes while it is still there.
    TakenOver,
    /// It says goodbye, and the broadcast is over.
    Ended,
}

/// How often each has happened.
#[derive(Debug, Default)]
pub(crate) struct Comings {
    cut: AtomicU64,
    taken_over: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
}

impl Comings {
    fn count(&self, exit: Exit) {
        let number = match exit {
            Exit::Cut => &self.cut,
            Exit::TakenOver => &self.taken_over,
            Exit::Ended => &self.ended,
        };
        number.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Comings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [cut, taken_over, ended, failed] =
            [&self.cut, &self.taken_over, &self.ended, &self.failed]
                .map(|number| number.load(Ordering::Relaxed));
        write!(f, "publishers: {cut} cut, {taken_over} taken over, {ended} ended, {failed} failed")
    }
}

/// All publishers.
#[derive(Debug)]
pub(crate) struct Churn {
    comings: Arc<Comings>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Churn {
    pub(crate) fn start(
        targets: &[Target],
        clip: &Arc<Clip>,
        clock: &Arc<dyn Clock>,
        seed: u64,
    ) -> Self {
        let mut churn =
            Self { comings: Arc::default(), tasks: JoinSet::new(), stop: CancellationToken::new() };
        for (number, target) in (0..).zip(targets) {
            let place = Place {
                target: target.clone(),
                clip: Arc::clone(clip),
                clock: Arc::clone(clock),
                comings: Arc::clone(&churn.comings),
                dice: Dice(seed.wrapping_mul(1_000_003).wrapping_add(number)),
            };
            let stop = churn.stop.clone();
            churn.tasks.spawn(async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = place.fill() => {}
                }
            });
        }
        churn
    }

    /// Ends them all. Answers how often they came and went, and what was wrong.
    pub(crate) async fn finish(mut self) -> (Arc<Comings>, Vec<String>) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
        let failed = self.comings.failed.load(Ordering::Relaxed);
        let complaint = (failed > 0).then(|| format!("{failed} publishers were refused or lost"));
        (self.comings, complaint.into_iter().collect())
    }
}

/// One channel and its publishers, one after the other.
struct Place {
    target: Target,
    clip: Arc<Clip>,
    clock: Arc<dyn Clock>,
    comings: Arc<Comings>,
    dice: Dice,
}

impl Place {
    async fn fill(mut self) {
        // The one that the next takes over.
        let mut rival = JoinSet::new();
        loop {
            let stay = Duration::from_secs(self.dice.within(STAY_SECONDS));
            let exit = match self.dice.within(0..3) {
                0 => Exit::Cut,
                1 => Exit::TakenOver,
                _ => Exit::Ended,
            };
            let went = self.live(stay, exit, &mut rival).await;
            match &went {
                Ok(()) => self.comings.count(exit),
                Err(error) => {
                    self.comings.failed.fetch_add(1, Ordering::Relaxed);
                    eprintln!("a publisher failed: {error}");
                }
            }
            if went.is_err() || !matches!(exit, Exit::TakenOver) {
                sleep(Duration::from_millis(self.dice.within(AWAY_MILLIS))).await;
            }
        }
    }

    /// One publisher, from its coming to its going.
    async fn live(
        &self,
        stay: Duration,
        exit: Exit,
        rival: &mut JoinSet<()>,
    ) -> Result<(), ClientError> {
        let clock = Arc::clone(&self.clock);
        let mut link = Link::open(self.target.clone(), &Limits::default(), clock).await?;
        let stop = CancellationToken::new();
        let timer = async {
            sleep(stay).await;
            stop.cancel();
            // The sending ends by itself.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            sent = send(&mut link, &self.clip, &stop, |_, _| {}) => sent?,
            () = timer => {}
        }
        // Whoever was taken over has left by now.
        rival.abort_all();
        match exit {
            Exit::Cut => drop(link),
            Exit::Ended => link.finish().await?,
            Exit::TakenOver => {
                let clip = Arc::clone(&self.clip);
                rival.spawn(async move {
                    // It goes on until the server tells it to leave.
                    let _ = send(&mut link, &clip, &CancellationToken::new(), |_, _| {}).await;
                });
            }
        }
        Ok(())
    }
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        let mut x = self.0.max(1);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0 = x;
        let high = x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        range.start + high % (range.end - range.start)
    }
}
