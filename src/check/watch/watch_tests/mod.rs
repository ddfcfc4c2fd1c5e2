//! A watch of a server in this process, over paused time: one that is right in everything, and
//! for each rule of time and of HTTP one that breaks it.

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, advance, sleep};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::dial::Dial;
use super::media::look_again;
use super::probe::Prober;
use super::rendition::Rendition;
use super::view::View;
use super::{Address, Progress, Seen, Settings, WatchError, compare, in_step, watch_over};
use crate::check::{Method, Outcome, RULES};
use crate::testing::clock::RuntimeClock;
use stage::{Fault, Stage, WALL};

/// Each rule, a fault that breaks it, and the other rules of time and HTTP that it breaks as well.
const BAD: &[(&str, Fault, &[&str])] = &[
    ("H9", Fault::SegmentsMissing, &["H22"]),
    ("H19", Fault::TornPlaylist, &[]),
    ("H22", Fault::SegmentsGoEarly, &[]),
    ("H23", Fault::PartsGoEarly, &[]),
    ("H25", Fault::LateSegment, &["H26"]),
    ("H26", Fault::LatePart, &[]),
    ("H30", Fault::DirectivesAfterEnd, &[]),
    ("H31", Fault::RemovedAtOnce, &["H22", "H23"]),
    ("H32", Fault::InitChanges, &[]),
    ("H70", Fault::EternalMultivariant, &[]),
    ("H70", Fault::MultivariantKept, &[]),
    ("H86", Fault::OutOfStep, &[]),
    ("H90", Fault::PartWithoutSegmentTaken, &[]),
    ("H91", Fault::SegmentNotWaitedFor, &[]),
    ("H92", Fault::PartNotWaitedFor, &["H93", "H104"]),
    ("H93", Fault::PartPastEndTaken, &[]),
    ("H94", Fault::FarSegmentHeld, &[]),
    ("H95", Fault::FarPartHeld, &[]),
    ("H96", Fault::HeldTooLong, &["H25", "H26"]),
    ("H97", Fault::GoneSegmentRefused, &[]),
    ("H98", Fault::DeltaUnasked, &["H101"]),
    ("H99", Fault::BadValuesTaken, &[]),
    ("H100", Fault::WaitersTurnedAway, &[]),
    ("H101", Fault::NoDelta, &[]),
    ("H104", Fault::HeadRefused, &[]),
    ("H104", Fault::ValidatorCutsWait, &[]),
    ("H105", Fault::FirstHeld, &["H97", "H99"]),
    ("H106", Fault::HintTrickles, &[]),
    ("H106", Fault::HintForgotten, &[]),
    ("H107", Fault::UnknownTaken, &[]),
    ("H108", Fault::ListedSlow, &["H106"]),
    ("H109", Fault::NotPacked, &[]),
    ("H110", Fault::OldHttp, &[]),
    ("H111", Fault::KeptForLong, &[]),
    ("H112", Fault::VariesByAgent, &[]),
    ("H113", Fault::WrongRange, &[]),
    ("H114", Fault::PlainType, &[]),
    ("H115", Fault::Redirects, &[]),
    ("H116", Fault::WrongDate, &[]),
    ("H116", Fault::OldChange, &[]),
    ("H117", Fault::NoCrossOrigin, &[]),
    ("H118", Fault::AddressesByAsker, &["H19"]),
];

async fn watched(fault: Fault) -> Seen {
    watch_at(Address::parse("https://stage.example/index.m3u8").unwrap(), fault).await
}

async fn watch_at(address: Address, fault: Fault) -> Seen {
    watch_for(address, 34, Stage::dial(fault), CancellationToken::new()).await.unwrap()
}

async fn watch_for(
    address: Address,
    seconds: u64,
    dial: Dial,
    stop: CancellationToken,
) -> Result<Seen, WatchError> {
    let settings = Settings { address, time: Duration::from_secs(seconds), allow_private: false };
    let clock = Arc::new(RuntimeClock::starting_at(WALL));
    let (progress, _) = watch::channel(Progress::default());
    watch_over(dial, settings, clock, progress, stop).await
}

/// The rules of time and HTTP: what came of each.
fn outcomes(watched: &Seen) -> BTreeMap<&'static str, Outcome> {
    let own = watched.ledger.outcomes();
    let own = own.filter(|(rule, _)| matches!(rule.method, Method::Time | Method::Http));
    own.map(|(rule, outcome)| (rule.id, outcome)).collect()
}

fn broken(watched: &Seen) -> BTreeSet<&'static str> {
    let broken = |outcome: &Outcome| matches!(outcome, Outcome::Broken { .. });
    outcomes(watched).into_iter().filter(|(_, outcome)| broken(outcome)).map(|(id, _)| id).collect()
}

fn said(watched: &Seen) -> String {
    watched.ledger.findings().map(|finding| format!("{finding}\n")).collect()
}

/// Every rule of time and HTTP that a broadcast without accidents shows is looked at and holds,
/// on both sides of its end.
#[tokio::test(start_paused = true)]
async fn a_server_that_is_right_breaks_nothing() {
    let watched = watched(Fault::Ends).await;
    assert_eq!(broken(&watched), BTreeSet::new(), "{}", said(&watched));
    assert!(watched.time < Duration::from_secs(32), "the end is the end: {:?}", watched.time);
    let missing = |outcome: &Outcome| matches!(outcome, Outcome::NotApplicable(_));
    let unseen: Vec<_> =
        outcomes(&watched).into_iter().filter(|(_, o)| missing(o)).map(|(id, _)| id).collect();
    // Nobody was away, and nothing was taken down.
    assert_eq!(unseen, ["H31", "H37"], "{}", said(&watched));
}

/// H22, H23: what left the playlist is asked for until the end of its promise; H96: a wait that
/// takes too long is given up with 503; H31: what was taken down is gone, its media not yet.
#[tokio::test(start_paused = true)]
async fn what_takes_longer_is_looked_at_too() {
    let long = watched(Fault::Nothing).await;
    assert_eq!(broken(&long), BTreeSet::new(), "{}", said(&long));
    for rule in ["H22", "H23"] {
        let found = outcomes(&long).remove(rule);
        assert!(matches!(found, Some(Outcome::Held { looked: 3.. })), "{rule}: {found:?}");
    }
    let away = watched(Fault::Stalls).await;
    assert_eq!(broken(&away), BTreeSet::from(["H25", "H26"]), "{}", said(&away));
}

/// Each rule of time and HTTP is broken by its fault, and by nothing but it.
async fn check(from: usize, to: usize) {
    for (rule, fault, others) in &BAD[from..to] {
        let watched = watched(*fault).await;
        let broken = broken(&watched);
        assert!(broken.contains(rule), "{rule} {fault:?}:\n{}", said(&watched));
        let more: Vec<_> = broken.iter().filter(|id| *id != rule && !others.contains(id)).collect();
        assert!(more.is_empty(), "{fault:?} breaks {more:?} as well:\n{}", said(&watched));
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_playlist_and_its_pace_are_found() {
    check(0, 12).await;
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_delivery_directives_are_found() {
    check(12, 26).await;
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_answers_are_found() {
    check(26, BAD.len()).await;
}

/// H1: neither the path nor the type says that it is a playlist.
#[tokio::test(start_paused = true)]
async fn a_playlist_in_disguise_is_found() {
    let address = Address::parse("https://stage.example/high/live.m3u8").unwrap();
    let found = watch_at(address, Fault::NoPlaylistType).await;
    assert_eq!(broken(&found), BTreeSet::new(), "the path says enough: {}", said(&found));
    let address = Address::parse("https://stage.example/disguise/index").unwrap();
    let found = watch_at(address, Fault::NoPlaylistType).await;
    assert_eq!(broken(&found), BTreeSet::from(["H1"]), "{}", said(&found));
}

/// H83: what was hinted is what is listed next.
#[tokio::test(start_paused = true)]
async fn a_hint_of_something_else_is_found() {
    let found = watched(Fault::HintOfAnother).await;
    assert!(found.ledger.findings().any(|finding| finding.rule == "H83"), "{}", said(&found));
}

/// Each rule that takes a clock or requests has its bad case here.
#[test]
fn every_rule_of_time_and_http_has_a_bad_case() {
    let mut known: BTreeSet<_> = BAD.iter().map(|(rule, ..)| *rule).collect();
    // Its own test above; a hole in the dates, in `check::holes`.
    known.extend(["H1", "H37"]);
    for rule in RULES.iter().filter(|rule| matches!(rule.method, Method::Time | Method::Http)) {
        assert!(known.contains(rule.id), "{} has no bad case", rule.id);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_looked_at_is_said_in_a_line() {
    for (path, expected) in [
        ("high/nothing", "https://stage.example/high/nothing answered 404 Not Found"),
        ("high/init.mp4", "https://stage.example/high/init.mp4 is no HLS playlist"),
    ] {
        let address = Address::parse(&format!("https://stage.example/{path}")).unwrap();
        let dial = Stage::dial(Fault::Nothing);
        let error = watch_for(address, 5, dial, CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

/// The watch ends when it is asked to, and says what it has seen.
#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_it_is_asked_to() {
    let address = Address::parse("https://stage.example/index.m3u8").unwrap();
    let settings = Settings { address, time: Duration::from_secs(3_600), allow_private: false };
    let clock = Arc::new(RuntimeClock::starting_at(WALL));
    let (progress, seen) = watch::channel(Progress::default());
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let watching = watch_over(Stage::dial(Fault::Nothing), settings, clock, progress, stop);
    let asked = async move {
        sleep(Duration::from_secs(7)).await;
        stopping.cancel();
    };
    let (watched, ()) = tokio::join!(watching, asked);
    let watched = watched.unwrap();
    assert!(watched.time < Duration::from_secs(9), "{:?}", watched.time);
    assert!(10 < seen.borrow().versions, "{:?}", seen.borrow());
}

/// A watch that is stopped before anything has answered ends at once.
#[tokio::test(start_paused = true)]
async fn a_watch_of_nobody_ends_when_it_is_asked_to() {
    let address = Address::parse("https://stage.example/index.m3u8").unwrap();
    let stop = CancellationToken::new();
    let dial: Dial = Arc::new(|_| Box::pin(std::future::pending()));
    let begun = Instant::now();
    let asked = async {
        sleep(Duration::from_secs(1)).await;
        stop.cancel();
    };
    let (watched, ()) = tokio::join!(watch_for(address, 60, dial, stop.clone()), asked);
    assert!(matches!(watched, Err(WatchError::Stopped)), "{watched:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// H25, H26 and every other rule of time: what this program does not see because it stands still
/// itself is no fault of the server.
#[tokio::test(start_paused = true)]
async fn a_watch_that_stands_still_blames_nobody() {
    let address = Address::parse("https://stage.example/index.m3u8").unwrap();
    let stands_still = async {
        for _ in 0..4 {
            sleep(Duration::from_secs(6)).await;
            advance(Duration::from_secs(3)).await;
        }
    };
    let dial = Stage::dial(Fault::Nothing);
    let watching = watch_for(address, 40, dial, CancellationToken::new());
    let (watched, ()) = tokio::join!(watching, stands_still);
    let watched = watched.unwrap();
    assert_eq!(broken(&watched), BTreeSet::new(), "{}", said(&watched));
    assert!(Duration::from_secs(11) < watched.own_delay, "{:?}", watched.own_delay);
    let looked = outcomes(&watched).remove("H26");
    assert!(matches!(looked, Some(Outcome::Held { looked: 20.. })), "{looked:?}");
}

fn desk(dial: Dial) -> Arc<Desk> {
    let clock = Arc::new(RuntimeClock::starting_at(WALL));
    let (progress, _) = watch::channel(Progress::default());
    Arc::new(Desk::new(dial, clock, progress, CancellationToken::new()))
}

fn rendition(desk: &Arc<Desk>, address: &str) -> Arc<Rendition> {
    Arc::new(Rendition::new(Arc::clone(desk), Address::parse(address).unwrap()))
}

/// A stage that is right in everything. Connecting to some other host takes a tenth of a second.
fn with_a_slow_host() -> Dial {
    let near = Stage::dial(Fault::Nothing);
    Arc::new(move |address| {
        let (is_slow, dialling) = (address.as_str().contains("//slow."), near(address));
        Box::pin(async move {
            sleep(Duration::from_millis(if is_slow { 100 } else { 0 })).await;
            dialling.await
        })
    })
}

/// Looks at something, and after some milliseconds this program stands still for some.
async fn standing_still<T>(
    desk: &Desk,
    (after, still): (u64, u64),
    looking: impl Future<Output = T>,
) -> T {
    let standing = async {
        sleep(Duration::from_millis(after)).await;
        advance(Duration::from_millis(still)).await;
    };
    tokio::select! {
        biased;
        () = desk.own_delay.run() => unreachable!("it looks for ever"),
        (seen, ()) = async { tokio::join!(looking, standing) } => seen,
    }
}

/// What came of a rule: whether it was looked at, and whether it is broken.
fn came_of(desk: &Desk, id: &str) -> (bool, bool) {
    let ledger = desk.ledger();
    let outcome = ledger.outcomes().find(|(rule, _)| rule.id == id).map(|(_, outcome)| outcome);
    let broken = matches!(outcome, Some(Outcome::Broken { .. }));
    (broken || matches!(outcome, Some(Outcome::Held { .. })), broken)
}

/// H83: who stands still after a hinted part has come may find it gone from the list.
#[tokio::test(start_paused = true)]
async fn who_stands_still_looks_for_no_hinted_part() {
    for still in [0, 20_000] {
        let desk = desk(Stage::dial(Fault::Nothing));
        let prober = Prober::new(rendition(&desk, "https://stage.example/high/live.m3u8"));
        // The part comes after 500 ms, and the playlist is asked for 100 ms later.
        standing_still(&desk, (550, still), prober.hint()).await;
        assert_eq!(came_of(&desk, "H83"), (still == 0, false), "{still} ms");
        assert_eq!(came_of(&desk, "H106"), (true, false), "{still} ms");
    }
}

/// H106: a hinted part that was given up with 503 after three targets may come all the same.
#[tokio::test(start_paused = true)]
async fn a_hinted_part_that_was_given_up_may_come() {
    let desk = desk(Stage::dial(Fault::Stalls));
    let prober = Prober::new(rendition(&desk, "https://stage.example/high/live.m3u8"));
    sleep(Duration::from_millis(20_300)).await;
    let begun = Instant::now();
    standing_still(&desk, (0, 0), prober.hint()).await;
    assert!(Duration::from_secs(8) < begun.elapsed(), "it came after the encoder was away");
    assert_eq!(came_of(&desk, "H106"), (false, false));
}

/// H86: who stands still between two playlists does not compare them.
#[tokio::test(start_paused = true)]
async fn who_stands_still_compares_no_renditions() {
    for still in [0, 5_000] {
        let desk = desk(with_a_slow_host());
        let addresses =
            ["https://stage.example/high/live.m3u8", "https://slow.example/low/live.m3u8"];
        let renditions = addresses.map(|address| rendition(&desk, address));
        let compared = standing_still(&desk, (50, still), compare(&desk, &renditions)).await;
        assert!(compared, "none has ended");
        assert_eq!(came_of(&desk, "H86"), (still == 0, false), "{still} ms");
    }
}

/// H22, H23: what is looked at again, and answered when its promise is over because this program
/// stood still, may be gone.
#[tokio::test(start_paused = true)]
async fn who_stands_still_misses_nothing_that_was_promised() {
    let empty = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:5\n";
    let listing = format!("{empty}#EXT-X-PART:DURATION=1,URI=\"p\"\n#EXTINF:2,\ns.m4s\n");
    for (rule, at, still) in
        [("H22", 3_800, 0), ("H22", 3_800, 3_000), ("H23", 6_800, 0), ("H23", 6_800, 3_000)]
    {
        let desk = desk(with_a_slow_host());
        let rendition = rendition(&desk, "https://slow.example/high/live.m3u8");
        for (second, text) in [empty, &listing, empty].into_iter().enumerate() {
            let view = View::of(&rendition.address, text);
            let asked = Duration::from_secs(second.try_into().unwrap());
            rendition.promises.lock().unwrap().see(&view, asked);
        }
        sleep(Duration::from_millis(at)).await;
        let looking = async { while look_again(&rendition, desk.now()).await {} };
        standing_still(&desk, (50, still), looking).await;
        assert_eq!(came_of(&desk, rule), (still == 0, still == 0), "{rule}, {still} ms");
    }
}

/// An init segment that did not come is asked for again, and looked at when it comes.
#[tokio::test(start_paused = true)]
async fn an_init_segment_is_asked_for_until_it_comes() {
    let watched = watched(Fault::InitLate).await;
    assert_eq!(broken(&watched), BTreeSet::from(["H9"]), "{}", said(&watched));
    // The stage's is none that could be read, which only a look at it tells.
    assert!(watched.ledger.findings().any(|f| f.rule == "H49"), "{}", said(&watched));
}

/// H86: renditions are compared by their dates, whatever the numbers of their segments.
#[tokio::test]
async fn renditions_keep_step_by_their_dates() {
    let version = |name: &str, first: u64, second: u64| {
        let text = format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
             #EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:0{second}.000Z\n#EXTINF:2,\ns1.m4s\n\
             #EXTINF:2,\ns2.m4s\n#EXT-X-PART:DURATION=0.5,URI=\"p\"\n"
        );
        let address = Address::parse(&format!("https://h/{name}.m3u8")).unwrap();
        let view = View::of(&address, &text);
        (address, text, view)
    };
    for (second, holds) in [(0, true), (2, false), (5, false)] {
        let desk = desk(Stage::dial(Fault::Nothing));
        in_step(&desk, &[version("a", 7, 0), version("b", 900, second)]);
        assert_eq!(desk.ledger().findings().next().is_none(), holds, "{second}");
    }
}

/// A stream that writes its addresses with variables is one like any other.
#[tokio::test(start_paused = true)]
async fn variables_are_read_and_what_they_lack_is_said() {
    let defined = watched(Fault::Variables).await;
    assert_eq!(broken(&defined), BTreeSet::new(), "{}", said(&defined));
    assert!(said(&defined).lines().all(|line| !line.contains("{$")), "{}", said(&defined));
    let address = Address::parse("https://stage.example/high/live.m3u8").unwrap();
    let dial = Stage::dial(Fault::Variables);
    let alone = watch_for(address, 5, dial, CancellationToken::new()).await.unwrap_err();
    assert!(alone.to_string().contains("\"folder\", which is not defined"), "{alone}");
}
