use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tokio::time::{Duration, timeout};

use super::super::stage_tests::{Stage, judge_all, text};
use super::super::{Settings, Wait, WaitRefusal};
use super::*;
use crate::base::{Limits, MediaSeq, PartIndex};
use crate::gate::Admission;
use crate::hls;

const SOON: Duration = Duration::from_millis(1);

fn want(msn: MediaSeq, part: u32) -> Want {
    Want { msn, part: Some(PartIndex(part)) }
}

/// The part after the newest.
fn next(published: &Published) -> Want {
    let part = published.last_part.map_or(0, |part| part.0 + 1);
    want(published.last_msn, part)
}

fn held(wait: Wait) -> ComingVersion {
    match wait {
        Wait::Later(held) => held,
        Wait::Ready(_) | Wait::Refused(_) => panic!("{wait:?}"),
    }
}

// H92, H98, W5: everybody who waits for a part gets the same version, and it holds the part.
#[tokio::test(start_paused = true)]
async fn all_waiters_get_one_version() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_100).await;
    let rendition = stage.rendition("studio");
    let now = rendition.published().unwrap();
    let waiters: Vec<_> = (0..100).map(|_| held(rendition.wait_for(next(&now)))).collect();
    let waiters: Vec<_> =
        waiters.into_iter().map(|waiter| stage.tasks.spawn(waiter.arrive())).collect();
    encoder.run(300).await;
    let mut versions = Vec::new();
    for waiter in waiters {
        versions.push(waiter.await.unwrap().expect("a version"));
    }
    assert!(versions.iter().all(|version| Arc::ptr_eq(version, &versions[0])));
    assert_eq!(versions[0].version, now.version + 1);
    assert!(text(&versions[0]).starts_with("#EXTM3U\n"));
    assert!(matches!(rendition.wait_for(next(&now)), Wait::Ready(_)));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Thousands may wait for a whole segment: its parts do not wake them.
#[tokio::test(start_paused = true)]
async fn a_wait_for_a_segment_sleeps_through_its_parts() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    let now = rendition.published().unwrap();
    let want = Want { msn: now.last_msn, part: None };
    let mut waiting = pin!(held(rendition.wait_for(want)).arrive());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    while wakes.0.load(Ordering::Relaxed) == 0 {
        encoder.run(100).await;
    }
    let Poll::Ready(Some(version)) = waiting.as_mut().poll(&mut cx) else {
        panic!("woken for nothing");
    };
    assert_eq!(version.edge.closed.map(|(msn, _)| msn), Some(now.last_msn));
    assert!(now.version + 2 < version.version, "parts came meanwhile");
}

// H93, H94, H95, H97: past the end, too far ahead and long gone are told by the newest version.
#[tokio::test(start_paused = true)]
async fn waits_are_judged_by_the_newest_version() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(5_000).await;
    let rendition = stage.rendition("studio");
    let last = rendition.published().unwrap().last_msn;
    let refused = |wait| matches!(wait, Wait::Refused(WaitRefusal::TooFarAhead));
    assert!(refused(rendition.wait_for(Want { msn: MediaSeq(last.0 + 2), part: None })));
    assert!(refused(rendition.wait_for(want(last, 60))));
    assert!(matches!(rendition.wait_for(want(MediaSeq(1), 0)), Wait::Ready(_)));
    assert!(matches!(rendition.wait_for(Want { msn: MediaSeq(1), part: None }), Wait::Ready(_)));
    let rolled = want(MediaSeq(last.0 - 1), 1_000);
    assert!(matches!(rendition.wait_for(rolled), Wait::Ready(_)), "part 0 of the open segment");
}

// H105: a request without directives is answered at once.
#[tokio::test(start_paused = true)]
async fn the_newest_version_is_there_without_waiting() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    let first = timeout(SOON, rendition.first_published()).await.expect("at once");
    assert!(Arc::ptr_eq(&first.unwrap(), &rendition.published().unwrap()));
}

// H96: without media nothing is answered; the deadline is the caller's. W6: a dropped wait is
// freed at once.
#[tokio::test(start_paused = true)]
async fn a_wait_costs_nothing_after_it_is_dropped() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    let now = rendition.published().unwrap();
    let wait = held(rendition.wait_for(next(&now)));
    let Media::Hinted(media) = rendition.media(&MediaName::Part(stage.metrics.parts.get() + 1))
    else {
        panic!("the next part is hinted");
    };
    assert_eq!(rendition.shown.receiver_count(), 2);
    drop(media);
    assert!(timeout(Duration::from_millis(200), wait.arrive()).await.is_err());
    assert_eq!(rendition.shown.receiver_count(), 0);
}

// W3: what a held request costs here; its connection comes on top.
#[tokio::test(start_paused = true)]
async fn a_wait_is_small() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    let wait = held(rendition.wait_for(next(&rendition.published().unwrap())));
    let Media::Hinted(media) = rendition.media(&MediaName::Part(stage.metrics.parts.get() + 1))
    else {
        panic!("the next part is hinted");
    };
    let (wait, media) = (size_of_val(&wait.arrive()), size_of_val(&media.arrive()));
    assert!(wait < 512 && media < 512, "{wait} {media}");
}

// H83, H106, H107, H108: what is listed is there, what is hinted is held, all else is unknown.
#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_held_until_it_is_whole() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_100).await;
    let rendition = stage.rendition("studio");
    let number = stage.metrics.parts.get() + 1;
    let Media::Hinted(hinted) = rendition.media(&MediaName::Part(number)) else {
        panic!("the next part is hinted");
    };
    assert!(matches!(rendition.media(&MediaName::Part(number + 1)), Media::Unknown));
    let hinted = stage.tasks.spawn(hinted.arrive());
    tokio::task::yield_now().await;
    assert!(!hinted.is_finished());
    encoder.run(300).await;
    let Media::Ready(body) = hinted.await.unwrap() else { panic!("the part is listed") };
    assert_eq!((body.kind, body.audio_only, body.chunks.len()), (MediaKind::Part, false, 1));
    assert_eq!(body.len, u64::try_from(body.chunks[0].len()).unwrap());
    let listed = text(&rendition.published().unwrap()).contains(&format!("\"p{number}.m4s\""));
    assert!(listed);
}

// H83: the hinted part turns out to be missing, or never comes.
#[tokio::test(start_paused = true)]
async fn a_hint_that_fails_is_answered() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    let hint = |n: u64| match rendition.media(&MediaName::Part(stage.metrics.parts.get() + n)) {
        Media::Hinted(hinted) => hinted,
        other @ (Media::Ready(_) | Media::Gap | Media::Gone | Media::Unknown) => {
            panic!("{other:?}")
        }
    };
    // The frames since the last part make one more before the gap.
    let media = stage.tasks.spawn(hint(1).arrive());
    drop(encoder);
    let Media::Ready(_) = media.await.unwrap() else { panic!("the rest of the segment") };
    let Media::Gap = hint(1).arrive().await else { panic!("the publisher is away") };
    let never = stage.tasks.spawn(hint(1).arrive());
    stage.registry.find(rendition.channel()).unwrap().end(EndReason::KeyRevoked);
    let Media::Unknown = never.await.unwrap() else { panic!("the broadcast has ended") };
    let after = MediaName::Part(stage.metrics.parts.get() + 1);
    assert!(matches!(rendition.media(&after), Media::Unknown));
}

// H37, H83: an encoder is silent for ten seconds before it counts as lost. What is missing by then
// comes with several versions, so the hinted part is listed for a while, and soon all is there.
#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_listed_however_much_is_missing_behind_it() {
    let hls = hls::Settings {
        segment_target: Duration::from_secs(1),
        part_target: Duration::from_millis(600),
        ..hls::Settings::default()
    };
    missing_in_steps(Settings::default(), 2, 3).await;
    // Parts that are longer than half a segment, so that a step is no more than a part or two.
    missing_in_steps(Settings { hls, ..Settings::default() }, 15, 2).await;
}

async fn missing_in_steps(settings: Settings, settled_after: u64, listed_min: usize) {
    let stage = Stage::with(Limits::default(), settings);
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    let number = stage.metrics.parts.get() + 1;
    let Media::Hinted(hinted) = rendition.media(&MediaName::Part(number)) else {
        panic!("the next part is hinted");
    };
    let judged = stage.tasks.spawn(judge_all(rendition.clone()));
    let missing = stage.metrics.gap_parts.get();
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(encoder);
    let Media::Ready(_) = hinted.arrive().await else { panic!("the rest of the segment") };
    tokio::time::sleep(Duration::from_secs(settled_after)).await;
    let part = rendition.published().expect("a version").targets.part;
    let missing = part * u32::try_from(stage.metrics.gap_parts.get() - missing).unwrap();
    let away = Duration::from_secs(10 + settled_after);
    assert!(away <= missing + part * 2 && missing <= away + part * 2, "{missing:?} of {away:?}");
    stage.registry.find(rendition.channel()).unwrap().end(EndReason::KeyRevoked);
    let versions = judged.await.expect("every version is clean");
    let name = format!("\"p{number}.m4s\"");
    let listing = versions.iter().filter(|version| text(version).contains(&name)).count();
    assert!(listed_min <= listing, "{listing} of {} versions list it", versions.len());
}

// H91, H102: names of other kinds.
#[tokio::test(start_paused = true)]
async fn media_is_found_by_name() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(5_000).await;
    let rendition = stage.rendition("studio");
    let open = rendition.published().unwrap().last_msn;
    let ready = |name| match rendition.media(&name) {
        Media::Ready(body) => Some(body),
        Media::Hinted(_) | Media::Gap | Media::Gone | Media::Unknown => None,
    };
    let init = ready(MediaName::Init(1)).expect("the init segment");
    assert_eq!((init.kind, init.chunks[0].get(4..8)), (MediaKind::Init, Some(&b"ftyp"[..])));
    let segment = ready(MediaName::Segment(MediaSeq(open.0 - 1))).expect("a whole segment");
    assert_eq!(segment.kind, MediaKind::Segment);
    let parts: u64 = segment.chunks.iter().map(|c| u64::try_from(c.len()).unwrap()).sum();
    assert_eq!(segment.len, parts);
    assert!(matches!(rendition.media(&MediaName::Segment(open)), Media::Unknown));
    assert!(matches!(rendition.media(&MediaName::Segment(MediaSeq(1))), Media::Gone));
    assert!(matches!(rendition.media(&MediaName::Init(2)), Media::Unknown));
    assert!(matches!(
        rendition.media(&MediaName::Playlist(PlaylistForm::LowLatency)),
        Media::Unknown
    ));
}

// H30, H97: after the end every wait is answered at once; after the withdrawal it is refused.
#[tokio::test(start_paused = true)]
async fn an_ended_broadcast_holds_nobody() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    encoder.finish(EndReason::Finished);
    tokio::time::sleep(SOON).await;
    let rendition = stage.rendition("studio");
    for msn in [1, 1_000_000, u64::MAX] {
        let Wait::Ready(last) = rendition.wait_for(want(MediaSeq(msn), 0)) else {
            panic!("segment {msn} is waited for");
        };
        assert!(last.ended);
    }
    rendition.withdraw();
    let gone = rendition.wait_for(want(MediaSeq(1), 0));
    assert!(matches!(gone, Wait::Refused(WaitRefusal::Gone)));
    assert!(timeout(SOON, rendition.first_published()).await.expect("at once").is_none());
}

// H32, H109: an entity tag names one text.
#[tokio::test(start_paused = true)]
async fn versions_have_their_own_entity_tags() {
    let stage = Stage::new();
    let mut encoder = stage.encoder("studio", Admission::Start).await;
    encoder.run(3_000).await;
    let rendition = stage.rendition("studio");
    let before = rendition.published().unwrap();
    encoder.run(300).await;
    let after = rendition.published().unwrap();
    assert_ne!(before.playlist.etag(), after.playlist.etag());
    assert_ne!(before.playlist.plain(), after.playlist.plain());
    let prefixes = ["", "../studio/", "a/", "b/", "c/", ""]
        .map(|p| rendition.multivariant(p, PlaylistForm::LowLatency));
    assert_ne!(prefixes[0].as_ref().unwrap().etag(), prefixes[1].as_ref().unwrap().etag());
    assert_eq!(prefixes[0].as_ref().unwrap().etag(), prefixes[5].as_ref().unwrap().etag());
}
