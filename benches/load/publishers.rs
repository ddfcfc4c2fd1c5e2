//! The publishers: our own RTMP client over real TCP, each at its own pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ghostlight::base::{Clock, Limits, MonoTime};
use ghostlight::rtmp::client::{ClientError, Link, MediaKind, Target};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::clip::{Clip, Piece, schedule};

/// Messages of one broadcast whose time of sending is remembered: 20 minutes.
const SENT_MAX: usize = 100_000;
/// Later than this behind its time, a message is late.
const LATE: Duration = Duration::from_millis(20);
/// Between two publishers that connect.
const STAGGER: Duration = Duration::from_millis(25);

/// When each message of one broadcast was about to leave.
#[derive(Debug)]
pub(crate) struct Sent {
    clock: Arc<dyn Clock>,
    /// Nanoseconds of the clock; 0 for not yet.
    times: Vec<AtomicU64>,
}

impl Sent {
    fn new(clock: &Arc<dyn Clock>) -> Self {
        let times = std::iter::repeat_with(|| AtomicU64::new(0)).take(SENT_MAX).collect();
        Self { clock: Arc::clone(clock), times }
    }

    fn record(&self, number: u32) {
        let now = self.clock.now().mono.since_start();
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        if let Some(time) = self.slot(number) {
            time.store(nanos, Ordering::Release);
        }
    }

    /// When this message began to be given to the socket.
    pub(crate) fn at(&self, number: u32) -> Option<MonoTime> {
        let nanos = self.slot(number)?.load(Ordering::Acquire);
        (nanos != 0).then(|| MonoTime::from_start(Duration::from_nanos(nanos)))
    }

    fn slot(&self, number: u32) -> Option<&AtomicU64> {
        self.times.get(usize::try_from(number).ok()?)
    }
}

/// How well the publishers kept their own time: when they could not, the machine was too busy and
/// the other numbers say little.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Punctuality {
    pub(crate) messages: u64,
    /// Of these, sent later than [`LATE`].
    pub(crate) late: u64,
}

/// All publishers of a phase. Dropping it cuts them off; [`Publishers::finish`] is the clean end.
#[derive(Debug)]
pub(crate) struct Publishers {
    /// One for each, in the order of the targets.
    pub sent: Vec<Arc<Sent>>,
    tasks: JoinSet<Result<Punctuality, ClientError>>,
    stop: CancellationToken,
}

impl Publishers {
    /// Connects all of them, a little apart so that their keyframes do not coincide.
    pub(crate) async fn start(
        targets: &[Target],
        clip: &Arc<Clip>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ClientError> {
        let mut publishers =
            Self { sent: Vec::new(), tasks: JoinSet::new(), stop: CancellationToken::new() };
        for target in targets {
            let link = Link::open(target.clone(), &Limits::default(), Arc::clone(clock)).await?;
            let sent = Arc::new(Sent::new(clock));
            publishers.sent.push(Arc::clone(&sent));
            let (clip, stop) = (Arc::clone(clip), publishers.stop.clone());
            publishers.tasks.spawn(publish(link, clip, sent, stop));
            tokio::time::sleep(STAGGER).await;
        }
        Ok(publishers)
    }

    /// Ends all broadcasts. An error is the first one any publisher met.
    pub(crate) async fn finish(mut self) -> Result<Punctuality, ClientError> {
        self.stop.cancel();
        let mut all = Punctuality::default();
        while let Some(ended) = self.tasks.join_next().await {
            let one = ended.expect("no publisher panics")?;
            all.messages += one.messages;
            all.late += one.late;
        }
        Ok(all)
    }
}

async fn publish(
    mut link: Link,
    clip: Arc<Clip>,
    sent: Arc<Sent>,
    stop: CancellationToken,
) -> Result<Punctuality, ClientError> {
    let mut punctuality = Punctuality::default();
    let note = |number, is_late| {
        punctuality.messages += 1;
        punctuality.late += u64::from(is_late);
        sent.record(number);
    };
    send(&mut link, &clip, &stop, note).await?;
    link.finish().await?;
    Ok(punctuality)
}

/// Sends one broadcast from its beginning until `stop`. `note` hears of each message that is about
/// to leave, its number, and whether it is late: once it has left, a server that wakes at once may
/// keep this thread from its clock.
pub(crate) async fn send(
    link: &mut Link,
    clip: &Clip,
    stop: &CancellationToken,
    mut note: impl FnMut(u32, bool),
) -> Result<(), ClientError> {
    link.write(MediaKind::Video, 0, clip.video_config.clone()).await?;
    link.write(MediaKind::Audio, 0, clip.audio_config.clone()).await?;
    let start = Instant::now();
    for (number, (piece, micros)) in (0_u32..).zip(schedule()) {
        let due = start + Duration::from_micros(micros);
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            listened = link.listen_until(due) => listened?,
        }
        let is_late = due.elapsed() > LATE;
        let timestamp = u32::try_from(micros / 1_000).expect("a bench is shorter than 49 days");
        let kind = match piece {
            Piece::Key | Piece::Inter => MediaKind::Video,
            Piece::Audio => MediaKind::Audio,
        };
        let body = clip.body(piece, number);
        note(number, is_late);
        link.write(kind, timestamp, body).await?;
    }
    Ok(())
}
