//! One media playlist, reloaded as a player would.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::address::Address;
use super::answers::{AT_ONCE, Kind, Setting, judge_refusal};
use super::client::{Answer, FetchError, Times};
use super::desk::{ANSWER_TIME_MAX, Desk};
use super::lab::Lab;
use super::media::Found;
use super::pace::{Pace, SLACK, Sight};
use super::promises::Promises;
use super::scale::Scale;
use super::shelf::{Shelf, stable};
use super::view::{Piece, PieceKind, View};

/// Segments at the end of the first version whose media is fetched.
const FIRST_SEGMENTS: u64 = 3;
/// Every so many reloads a delta update is asked for.
const DELTA_EVERY: u32 = 3;
/// Failed reloads in a row after which the playlist counts as gone.
const FAILURES_MAX: u32 = 4;
/// Shortest time between two reloads that nobody holds.
const RELOAD_MIN: Duration = Duration::from_millis(300);
/// Pause after a version that was waited for, should a server hold nothing back.
const HELD_PAUSE: Duration = Duration::from_millis(20);
/// A request that is answered within this was not held back: so long may the road be.
const HELD_MIN: Duration = SLACK;

/// A version of a playlist.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) text: String,
    pub(super) view: View,
}

impl Version {
    pub(super) fn setting(&self) -> Setting {
        let View { target, low_latency, ended, .. } = self.view;
        Setting { target, low_latency, ended }
    }
}

/// What the tasks that look at one rendition share.
#[derive(Debug)]
pub(super) struct Rendition {
    pub(super) desk: Arc<Desk>,
    pub(super) address: Address,
    pub(super) latest: watch::Sender<Option<Arc<Version>>>,
    pub(super) promises: Mutex<Promises>,
    pub(super) lab: Mutex<Lab>,
    shelf: Mutex<Shelf>,
}

impl Rendition {
    pub(super) fn new(desk: Arc<Desk>, address: Address) -> Self {
        let (latest, _) = watch::channel(None);
        let (promises, lab, shelf) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { desk, address, latest, promises, lab, shelf }
    }

    pub(super) fn version(&self) -> Option<Arc<Version>> {
        self.latest.borrow().clone()
    }

    pub(super) fn setting(&self) -> Setting {
        self.version().map(|version| version.setting()).unwrap_or_default()
    }

    /// H19: whatever is served is one of the versions, byte for byte.
    pub(super) fn shelve(&self, view: &View, text: &str) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, now) = (shelf.put(view, text), stable(text));
        let Some(before) = before else { return };
        let same = before == now;
        let lines = before.lines().zip(now.lines()).find(|(before, now)| before != now);
        self.desk.judge(&self.address, |scale| {
            scale.compare("H19", same, lines.unwrap_or_default(), || {
                "two answers that reach equally far differ".to_owned()
            });
        });
    }
}

/// What the next reload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// The playlist of now.
    Now,
    /// Held until this segment, or this part of it, is listed.
    Held { msn: u64, part: Option<usize> },
}

/// A playlist that has just come.
struct Arrival {
    body: Bytes,
    text: String,
    view: View,
    times: Times,
}

impl Arrival {
    /// What it names lies beside where it came from, after redirects (RFC 3986 5.1.3).
    fn of(answer: Answer) -> Self {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let view = View::of(&answer.address, &text);
        Self { body: answer.body, text, view, times: answer.times }
    }
}

/// Reloads a rendition until it ends, and judges every version.
#[derive(Debug)]
pub(super) struct Follower {
    rendition: Arc<Rendition>,
    pieces: mpsc::Sender<Found>,
    pace: Pace,
    /// The newest piece of each kind that was handed on for fetching.
    handed: BTreeMap<PieceKind, Piece>,
    reloads: u32,
    failures: u32,
    /// The last held request came to nothing.
    dropped: bool,
    /// The presentation was taken down.
    gone: bool,
}

impl Follower {
    pub(super) fn new(rendition: Arc<Rendition>, pieces: mpsc::Sender<Found>) -> Self {
        Self {
            rendition,
            pieces,
            pace: Pace::default(),
            handed: BTreeMap::new(),
            reloads: 0,
            failures: 0,
            dropped: false,
            gone: false,
        }
    }

    /// Runs until the playlist ends or is gone, or the watch is over.
    pub(super) async fn run(mut self) {
        let desk = Arc::clone(&self.rendition.desk);
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => {}
            () = self.follow() => {}
        }
        desk.judge(&self.rendition.address, |scale| self.pace.end(scale));
    }

    async fn follow(&mut self) {
        self.reload(Want::Now).await;
        while self.failures < FAILURES_MAX {
            let Some(version) = self.rendition.version() else {
                sleep(ANSWER_TIME_MAX / 10).await;
                self.reload(Want::Now).await;
                continue;
            };
            if version.view.ended {
                return;
            }
            let want = if self.failures == 0 { want(&version.view) } else { Want::Now };
            let grown = self.reload(want).await;
            if self.gone {
                return;
            }
            let held = want != Want::Now && grown;
            sleep(if held { HELD_PAUSE } else { pause(&version.view, grown) }).await;
        }
        let address = &self.rendition.address;
        self.rendition.desk.judge(address, |scale| {
            scale.weigh("H9", false, || "the playlist is gone and did not end".to_owned());
        });
    }

    /// Asks once. Answers whether there was something new.
    async fn reload(&mut self, want: Want) -> bool {
        let before = self.rendition.version();
        let view = before.as_ref().map(|version| &version.view);
        self.reloads += 1;
        let delta = self.reloads.is_multiple_of(DELTA_EVERY);
        let skip = view.filter(|view| delta && view.can_skip_until.is_some());
        let query = query(want, skip);
        let Some(answer) = self.ask(&query, want, before.as_deref()).await else { return false };
        let now = Arrival::of(answer);
        self.weigh_answer(want, before.as_deref(), &now);
        if let (Some(skip), Some(before)) = (skip, &before) {
            return self.take_delta(want, before, skip.can_skip(), now).await;
        }
        self.weigh_whole(&now.view);
        self.take(before.as_deref(), now, want != Want::Now)
    }

    async fn ask(&mut self, query: &str, want: Want, before: Option<&Version>) -> Option<Answer> {
        let rendition = Arc::clone(&self.rendition);
        let setting = rendition.setting();
        let kind = Kind::Playlist { directives: want != Want::Now };
        let time_max = match want {
            Want::Now => ANSWER_TIME_MAX,
            Want::Held { .. } => setting.target * 3 + ANSWER_TIME_MAX,
        };
        let limits = (setting, time_max);
        let found = rendition.desk.playlist(&rendition.address, query, kind, limits).await;
        let held = want != Want::Now;
        match found {
            Ok(answer) if answer.is_good() => {
                self.failures = 0;
                Some(answer)
            }
            Ok(answer) => {
                self.refused(&answer, kind, setting);
                let gone = [StatusCode::NOT_FOUND, StatusCode::GONE].contains(&answer.status);
                if let (true, false, Some(before)) = (gone, held, before) {
                    self.taken_down(before).await;
                }
                self.failures += 1;
                self.dropped = held;
                None
            }
            Err(error) if error.is_own() => None,
            Err(error) => {
                self.failed(&error, held, before.is_some());
                self.failures += 1;
                self.dropped = held;
                None
            }
        }
    }

    /// H31: the presentation is gone, and its segments are there for a while.
    async fn taken_down(&mut self, before: &Version) {
        self.gone = true;
        let desk = &self.rendition.desk;
        let Some(last) = before.view.segments().filter(|piece| !piece.gap).last() else { return };
        let Ok(answer) = desk.probe(Desk::media_ask(&last.place)).await else { return };
        desk.judge(&last.place.address, |scale| {
            scale.weigh("H31", answer.is_good(), || {
                format!(
                    "the playlist was taken down, and its last segment with it: {}",
                    answer.status
                )
            });
        });
    }

    /// No version, but an answer: a refusal that may be kept (H111), or the wait was too long.
    fn refused(&self, answer: &Answer, kind: Kind, setting: Setting) {
        let waited = answer.times.held();
        let held = matches!(kind, Kind::Playlist { directives: true });
        self.rendition.desk.judge(&answer.address, |scale| {
            judge_refusal(scale, answer, kind, setting);
            let long = setting.target * 3 <= waited + SLACK;
            if held && long {
                let right = answer.status == StatusCode::SERVICE_UNAVAILABLE;
                scale.weigh("H96", right, || format!("{} after {waited:?}", answer.status));
            }
        });
    }

    fn failed(&self, error: &FetchError, held: bool, known: bool) {
        let rule = if held && matches!(error, FetchError::Late(_)) { "H96" } else { "H9" };
        let address = &self.rendition.address;
        if known || rule == "H9" {
            let what = || format!("asked for a version: {error}");
            self.rendition.desk.judge(address, |scale| scale.weigh(rule, false, what));
        }
    }

    /// What a good answer to a request says of the server's directives.
    fn weigh_answer(&mut self, want: Want, before: Option<&Version>, now: &Arrival) {
        let (waited, now) = (now.times.waited(), &now.view);
        let lost_end = std::mem::take(&mut self.dropped) && now.ended;
        let waits_for_end = want != Want::Now && now.ended && before.is_some();
        self.rendition.desk.judge(&self.rendition.address, |scale| {
            if waits_for_end || lost_end {
                scale.weigh("H100", !lost_end, || {
                    "the playlist ended, and who waited was not told".to_owned()
                });
            }
            let Want::Held { msn, part } = want else {
                let first = before.is_none();
                if first {
                    scale.weigh("H105", waited <= AT_ONCE, || format!("held for {waited:?}"));
                }
                return;
            };
            held(scale, (msn, part), now, waited);
        });
    }

    /// H98: what was not asked to be a delta update is whole.
    fn weigh_whole(&self, now: &View) {
        self.rendition.desk.judge(&self.rendition.address, |scale| {
            scale.weigh("H98", now.skipped == 0, || {
                format!("{} segments are skipped, and nobody asked", now.skipped)
            });
        });
    }

    /// Takes a delta update, and the whole playlist to compare it with.
    async fn take_delta(
        &mut self,
        want: Want,
        before: &Version,
        can_skip: bool,
        delta: Arrival,
    ) -> bool {
        let View { skipped, ended, .. } = delta.view;
        self.rendition.desk.judge(&self.rendition.address, |scale| {
            if ended || can_skip {
                scale.weigh("H101", (skipped == 0) == ended, || {
                    format!("{skipped} segments skipped, ended: {ended}")
                });
            }
        });
        if skipped == 0 {
            return self.take(Some(before), delta, want != Want::Now);
        }
        let query = query(want, None);
        let Some(whole) = self.ask(&query, want, Some(before)).await else { return false };
        let whole = Arrival { times: delta.times, ..Arrival::of(whole) };
        self.weigh_whole(&whole.view);
        if (whole.view.edge, whole.view.first) == (delta.view.edge, delta.view.first) {
            self.rendition.judge_delta(&before.text, &delta.text, &whole.text);
        }
        self.take(Some(before), whole, want != Want::Now)
    }

    /// Takes in a whole version. Answers whether it is new.
    fn take(&mut self, before: Option<&Version>, now: Arrival, held: bool) -> bool {
        let Arrival { body, text, view, times } = now;
        let rendition = Arc::clone(&self.rendition);
        let desk = &rendition.desk;
        let grown = before.is_none_or(|before| before.text != text);
        rendition.shelve(&view, &text);
        let changed_from = before.map(|before| before.text.as_str()).filter(|_| grown);
        rendition.judge_version(changed_from, &body, &text);
        let asked = desk.since_begun(times.asked);
        let [lost_before, lost_at_head, _] = times.lost;
        let sight = Sight {
            asked: asked.saturating_sub(lost_before),
            came: desk.since_begun(times.head).saturating_sub(lost_at_head),
            // What comes at once may have been there for as long as nobody asked.
            held: held && HELD_MIN < times.waited(),
            edge: view.edge,
            target: view.target,
            part_target: view.part_target,
            ended: view.ended,
        };
        desk.judge(&rendition.address, |scale| self.pace.see(scale, sight));
        rendition.promises.lock().unwrap_or_else(PoisonError::into_inner).see(&view, asked);
        self.hand_on(&view);
        desk.count_version();
        rendition.latest.send_replace(Some(Arc::new(Version { text, view })));
        grown
    }

    /// Hands what is new on for fetching. When the network does not keep up, media is left out.
    fn hand_on(&mut self, view: &View) {
        let at = self.rendition.desk.now();
        let from = view.edge.msn.saturating_sub(FIRST_SEGMENTS);
        for piece in &view.pieces {
            let found = || Found { piece: piece.clone(), at };
            let last = self.handed.get(&piece.kind);
            let new = match (piece.kind, last) {
                (_, None) => from <= piece.msn,
                (PieceKind::Init, Some(last)) => last.place != piece.place && last.msn <= piece.msn,
                (PieceKind::Segment, Some(last)) => last.msn < piece.msn,
                (PieceKind::Part, Some(last)) => (last.msn, last.index) < (piece.msn, piece.index),
            };
            if !new || piece.gap {
                continue;
            }
            if self.pieces.try_send(found()).is_err() {
                return; // What comes later needs what comes first.
            }
            self.handed.insert(piece.kind, piece.clone());
        }
    }
}

fn want(view: &View) -> Want {
    let part = view.low_latency.then_some(view.edge.parts);
    if view.can_block { Want::Held { msn: view.edge.msn, part } } else { Want::Now }
}

/// How long a player waits that nobody holds: a target after a change, half of one without
/// (6.3.4).
fn pause(view: &View, grown: bool) -> Duration {
    let pause = if grown { view.target } else { view.target / 2 };
    pause.max(RELOAD_MIN)
}

/// The delivery directives of a request (6.2.5).
fn query(want: Want, skip: Option<&View>) -> String {
    let wanted = match want {
        Want::Now => None,
        Want::Held { msn, part: None } => Some(format!("_HLS_msn={msn}")),
        Want::Held { msn, part: Some(part) } => Some(format!("_HLS_msn={msn}&_HLS_part={part}")),
    };
    let skip =
        skip.map(|view| format!("_HLS_skip={}", if view.can_skip_dates { "v2" } else { "YES" }));
    wanted.into_iter().chain(skip).collect::<Vec<_>>().join("&")
}

/// H91 to H93 and H96: what was asked for is there, or something later.
pub(super) fn held(
    scale: &mut Scale<'_>,
    (msn, part): (u64, Option<usize>),
    now: &View,
    waited: Duration,
) {
    let edge = now.edge;
    let said = || format!("asked for {msn}, part {part:?}; it reaches {edge:?}");
    match part {
        None => scale.weigh("H91", now.reaches(msn, 0), said),
        // The segment ended before this part, which is then the first of the next (6.2.5.2).
        Some(part) if edge.msn == msn.saturating_add(1) && now.parts_of_last <= part => {
            scale.weigh("H93", now.reaches(msn.saturating_add(1), 0), said);
        }
        Some(part) => scale.weigh("H92", now.reaches(msn, part), said),
    }
    scale.weigh("H96", waited <= now.target * 3 + SLACK, || format!("answered after {waited:?}"));
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::base::WallTime;
    use crate::check::watch::dial::Dial;
    use crate::testing::clock::RuntimeClock;

    /// H9: a playlist or a segment that did not come while this program itself stood still is not
    /// missing for that.
    #[tokio::test(start_paused = true)]
    async fn who_stood_still_misses_nothing() {
        for (still, blames) in [(0, true), (15, false)] {
            let nobody: Dial = Arc::new(|_| Box::pin(std::future::pending()));
            let clock = Arc::new(RuntimeClock::starting_at(WallTime::from_unix_millis(0)));
            let (progress, _) = watch::channel(Default::default());
            let desk = Arc::new(Desk::new(nobody, clock, progress, CancellationToken::new()));
            let address = Address::parse("http://h/live.m3u8").unwrap();
            let view = View::of(&address, "#EXTM3U\n#EXTINF:2,\ns.ts\n");
            let rendition = Arc::new(Rendition::new(Arc::clone(&desk), address));
            let mut follower = Follower::new(rendition, mpsc::channel(1).0);
            let standing = async {
                sleep(Duration::from_secs(2)).await;
                advance(Duration::from_secs(still)).await;
            };
            tokio::select! {
                () = desk.own_delay.run() => unreachable!("it looks for ever"),
                (grown, piece, ()) = async {
                    let piece = desk.piece(&view.pieces[0], Setting::default());
                    tokio::join!(follower.reload(Want::Now), piece, standing)
                } => assert!(!grown && piece.is_none()),
            }
            let found = desk.ledger().findings().filter(|finding| finding.rule == "H9").count();
            let failures = usize::try_from(follower.failures).unwrap();
            assert_eq!((found, failures), if blames { (2, 1) } else { (0, 0) }, "{still} s");
        }
    }
}
