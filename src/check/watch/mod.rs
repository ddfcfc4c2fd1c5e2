//! The shell around the judges: looks at a stream over HTTP as a player would, probes how the
//! server answers, and reports. One watch finds the playlists, follows each, and ends in time. Read
//! [`watch()`] first.

mod address;
mod answers;
mod bodies;
mod client;
mod desk;
mod dial;
mod lab;
mod media;
mod own_delay;
mod pace;
mod probe;
mod promises;
mod reach;
mod rendition;
mod report;
mod scale;
mod shelf;
mod veil;
mod view;
#[cfg(test)]
mod watch_tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::base::Clock;
use crate::check::{Ledger, Multivariant};
use answers::{Kind, Setting, kept_shortly};
use client::{Answer, FetchError};
use desk::{ANSWER_TIME_MAX, Desk};
use dial::network;
use lab::{judge_presentation, judge_together, judge_variants};
use pace::SLACK;
use probe::Prober;
use rendition::{Follower, Rendition};
use veil::Veil;
use view::View;

pub use address::{Address, AddressError};
pub use desk::Progress;
pub use dial::{Dial, Dialling, Io, Link};
pub use report::Report;

/// Playlists followed at the same time.
const RENDITIONS_MAX: usize = 12;
/// Pieces of one rendition that wait to be fetched.
const PIECES_MAX: usize = 64;
/// How long tasks may take to finish after the time is up.
const FINISH_TIME_MAX: Duration = Duration::from_secs(10);
/// What only a server that offers blocking reload can be asked.
const DIRECTIVES: &[&str] =
    &["H90", "H91", "H92", "H93", "H94", "H95", "H96", "H97", "H99", "H100"];
/// How often renditions are compared, in targets.
const STEP_TARGETS: u32 = 2;

/// What to look at, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: Address,
    pub time: Duration,
    /// Follow a public playlist to addresses of private networks too.
    pub allow_private: bool,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub address: Address,
    pub time: Duration,
    /// How long this program itself stood still, which is nobody's fault but blinds it.
    pub own_delay: Duration,
    pub renditions: usize,
    pub progress: Progress,
    pub ledger: Ledger,
    /// What a report must not show.
    pub veil: Veil,
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("{address}: {error}")]
    Fetch { address: Address, error: FetchError },
    #[error("{address} answered {status}")]
    Status { address: Address, status: StatusCode },
    #[error("{address} is no HLS playlist: it does not begin with #EXTM3U")]
    NoPlaylist { address: Address },
    #[error("{address} lists no rendition")]
    Empty { address: Address },
    #[error("stopped before anything was seen")]
    Stopped,
}

/// Watches a stream over the network until its time is up, it ends, or `stop` asks for the end.
pub async fn watch(
    settings: Settings,
    clock: Arc<dyn Clock>,
    progress: watch::Sender<Progress>,
    stop: CancellationToken,
) -> Result<Seen, WatchError> {
    watch_over(network(settings.allow_private), settings, clock, progress, stop).await
}

/// The same over any kind of connection.
pub async fn watch_over(
    dial: Dial,
    Settings { address, time, .. }: Settings,
    clock: Arc<dyn Clock>,
    progress: watch::Sender<Progress>,
    stop: CancellationToken,
) -> Result<Seen, WatchError> {
    let stop = stop.child_token();
    let desk = Arc::new(Desk::new(dial, clock, progress, stop.clone()));
    // Aborted with the set, however this ends.
    let mut oneself = JoinSet::new();
    oneself.spawn(look_at_oneself(Arc::clone(&desk)));
    let Presentation { base, multivariant, playlists } = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(WatchError::Stopped),
        found = find(&desk, &address) => found?,
    };
    let renditions: Vec<_> = playlists
        .into_iter()
        .map(|address| Arc::new(Rendition::new(Arc::clone(&desk), address)))
        .collect();
    let mut tasks = JoinSet::new();
    for rendition in &renditions {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        tasks.spawn(Follower::new(Arc::clone(rendition), sender).run());
        tasks.spawn(media::run(Arc::clone(rendition), receiver));
    }
    if let Some(first) = renditions.first() {
        tasks.spawn(Prober::new(Arc::clone(first)).run());
        if let Some(answer) = &multivariant {
            tasks.spawn(weigh_kept(Arc::clone(first), answer.clone()));
        }
    }
    if 1 < renditions.len() {
        tasks.spawn(keep_step(renditions.clone()));
    }
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = all(&mut tasks) => {}
        () = sleep(time) => {}
    }
    stop.cancel();
    // Whoever does not finish in time is aborted with the set.
    let _ = tokio::time::timeout(FINISH_TIME_MAX, all(&mut tasks)).await;
    drop(tasks);
    if let Some(first) = multivariant {
        judge_variants(&desk, &base, &latest(&desk, &base, &first).await, &renditions);
    }
    say_why(&desk, &base, &renditions);
    let ledger = desk.ledger().clone();
    let (time, progress) = (desk.now(), desk.progress());
    let (_, own_delay) = desk.own_delay.now();
    let (renditions, veil) = (renditions.len(), desk.veil());
    Ok(Seen { address, time, own_delay, renditions, progress, ledger, veil })
}

/// Why rules could not be looked at that this stream, or this watch, gave no occasion for.
fn say_why(desk: &Desk, base: &Address, renditions: &[Arc<Rendition>]) {
    let any = |is: fn(&View) -> bool| {
        renditions.iter().filter_map(|rendition| rendition.version()).any(|v| is(&v.view))
    };
    let reasons: [(bool, &'static str, &[&'static str]); 6] = [
        (
            renditions.len() < 2,
            "there is one rendition",
            &["H38", "H47", "H65", "H67", "H85", "H86"],
        ),
        (!any(|view| view.low_latency), "no parts are offered", &["H23", "H26", "H106", "H111"]),
        (!any(|view| view.can_block), "no blocking reload is offered", DIRECTIVES),
        (
            !any(|view| view.can_skip_until.is_some()),
            "no delta updates are offered",
            &["H102", "H103"],
        ),
        (!any(|view| view.ended), "it did not end while it was watched", &["H30", "H100"]),
        (!base.is_encrypted(), "it is served without encryption", &["H110"]),
    ];
    let mut ledger = desk.ledger();
    for (_, why, rules) in reasons.iter().filter(|(holds, ..)| *holds) {
        rules.iter().for_each(|rule| ledger.not_applicable(rule, why));
    }
}

/// Waits for all tasks. A panic goes on here.
async fn all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

/// The media playlists behind an address, which may be one itself.
struct Presentation {
    base: Address,
    /// The answer that brought the multivariant playlist, if there is one.
    multivariant: Option<Answer>,
    playlists: Vec<Address>,
}

async fn find(desk: &Desk, address: &Address) -> Result<Presentation, WatchError> {
    let failed = |error| WatchError::Fetch { address: address.clone(), error };
    let answer = desk.probe(Desk::ask(address, "")).await.map_err(failed)?;
    if !answer.is_good() {
        return Err(WatchError::Status { address: address.clone(), status: answer.status });
    }
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if !text.trim_start_matches('\u{feff}').starts_with("#EXTM3U") {
        return Err(WatchError::NoPlaylist { address: address.clone() });
    }
    let base = answer.address.clone();
    if !Multivariant::is(&text) {
        return Ok(Presentation { playlists: vec![base.clone()], base, multivariant: None });
    }
    // Once more as players ask for it, packed.
    let limits = (Setting::default(), ANSWER_TIME_MAX);
    desk.playlist(&base, "", Kind::Multivariant, limits).await.map_err(failed)?;
    judge_presentation(desk, &base, &text);
    let presentation = Multivariant::parse(&text);
    let variants = presentation.variants.iter().map(|variant| variant.uri);
    let renditions = presentation.renditions.iter().map(|(_, uri)| *uri);
    let mut known = BTreeSet::new();
    let playlists: Vec<_> = variants
        .chain(renditions)
        .filter_map(|line| base.join(line).ok())
        .filter(|address| known.insert(address.clone()))
        .take(RENDITIONS_MAX)
        .collect();
    if playlists.is_empty() {
        return Err(WatchError::Empty { address: base });
    }
    Ok(Presentation { base, multivariant: Some(answer), playlists })
}

/// The multivariant playlist as it is now: what it says of rates may be measured, and rise. When
/// the broadcast is over, there may be none, and the first counts.
async fn latest(desk: &Desk, base: &Address, first: &Answer) -> String {
    let text = |answer: &Answer| String::from_utf8_lossy(&answer.body).into_owned();
    let found = desk.probe(Desk::ask(base, "")).await.ok().filter(Answer::is_good);
    let found = found.as_ref().map(text).filter(|text| Multivariant::is(text));
    found.unwrap_or_else(|| text(first))
}

async fn look_at_oneself(desk: Arc<Desk>) {
    desk.own_delay.run().await;
}

/// H70: how long caches may keep the multivariant playlist, in targets of what it lists. That of a
/// broadcast that is over may be kept for ever.
async fn weigh_kept(first: Arc<Rendition>, answer: Answer) {
    let mut latest = first.latest.subscribe();
    let version = tokio::select! {
        biased;
        () = first.desk.stop.cancelled() => return,
        version = latest.wait_for(Option::is_some) => version.ok().and_then(|known| (*known).clone()),
    };
    let Some(setting) = version.map(|version| version.setting()).filter(|s| !s.ended) else {
        return first.desk.ledger().not_applicable("H70", "nothing changes any more");
    };
    first.desk.judge(&answer.address, |scale| kept_shortly(scale, &answer, setting.target));
}

/// Compares the renditions with each other now and then.
async fn keep_step(renditions: Vec<Arc<Rendition>>) {
    let Some(first) = renditions.first() else { return };
    let stop = first.desk.stop.clone();
    loop {
        let target = first.setting().target.max(Duration::from_secs(1));
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(target * STEP_TARGETS) => {}
        }
        let goes_on = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            goes_on = compare(&first.desk, &renditions) => goes_on,
        };
        if !goes_on {
            return;
        }
    }
}

/// Compares them as they are now. Answers whether none has ended.
async fn compare(desk: &Desk, renditions: &[Arc<Rendition>]) -> bool {
    let (_, lost_before) = desk.own_delay.now();
    let versions = all_now(renditions).await;
    let (_, lost) = desk.own_delay.now();
    if versions.iter().any(|(_, _, view)| view.ended) {
        return false;
    }
    // Where this program stood still in between, they are not of the same time.
    if lost.saturating_sub(lost_before) <= SLACK {
        judge_together(desk, &versions);
        in_step(desk, &versions);
    }
    true
}

/// The playlists of all renditions, asked for at the same time.
async fn all_now(renditions: &[Arc<Rendition>]) -> Vec<(Address, String, View)> {
    let mut asking = JoinSet::new();
    for (index, rendition) in renditions.iter().enumerate() {
        let (desk, address) = (Arc::clone(&rendition.desk), rendition.address.clone());
        asking.spawn(async move {
            let answer = desk.probe(Desk::ask(&address, "")).await.ok()?;
            let text = String::from_utf8(answer.body.to_vec()).ok().filter(|_| answer.is_good())?;
            let view = View::of(&address, &text);
            Some((index, (address, text, view)))
        });
    }
    let mut versions: Vec<_> = asking.join_all().await.into_iter().flatten().collect();
    versions.sort_by_key(|(index, _)| *index);
    versions.into_iter().map(|(_, version)| version).collect()
}

/// H86: no rendition is ahead of another by more than a part. Dates tell: numbers of segments need
/// not agree between renditions (draft-pantos-hls-rfc8216bis 6.2.4).
fn in_step(desk: &Desk, versions: &[(Address, String, View)]) {
    let mut ends = versions
        .iter()
        .filter_map(|(address, _, view)| Some((address, view.end_date?, view.part_target?)));
    let Some((_, first, _)) = ends.next() else {
        return desk.ledger().not_applicable("H86", "no dates and parts to compare by");
    };
    for (address, end, target) in ends {
        let off = Duration::from_micros(first.abs_diff(end));
        desk.judge(address, |scale| {
            scale.weigh("H86", off <= target + SLACK, || {
                format!("{} ms apart from the first rendition", off.as_millis())
            });
        });
    }
}
