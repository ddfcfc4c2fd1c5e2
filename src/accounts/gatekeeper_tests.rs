use super::super::testing::{Switched, now};
use super::super::{ReopenError, declared_schedule, recorded_policy, reopen};
use super::*;
use crate::base::WallTime;
use crate::gate::ScheduleSettings;
use crate::store;

const CLOSING: i64 = 1_790_000_000_000;

fn schedule(closing: i64) -> Option<Schedule> {
    let at = |millis| Some(WallTime::from_unix_millis(millis).to_string());
    let announced_at = at(CLOSING - 90 * 24 * 3_600_000);
    let settings =
        ScheduleSettings { announced_at, publish_close_at: at(closing), ..Default::default() };
    Schedule::build(&settings).unwrap()
}

fn channel() -> ChannelId {
    ChannelId::parse("demo").unwrap()
}

/// `seconds` since the start, `millis` after the closing.
fn moment(seconds: u64, millis: i64) -> Now {
    now(seconds, CLOSING + millis)
}

async fn open(store: &Arc<Switched>, closing: i64, at: Now) -> Gatekeeper {
    Gatekeeper::open(store.clone(), schedule(closing), None, at).await.unwrap()
}

async fn start(gatekeeper: &Gatekeeper, at: Now) -> Result<StartPermit, Refusal> {
    gatekeeper.admit(&channel(), Admission::Start, at).await
}

async fn look(store: &Switched, gatekeeper: &Gatekeeper, at: Now) {
    gatekeeper.look(store.revision().await.unwrap(), at).await;
}

/// G7: the marker is stored before the first refusal is answered, once.
#[tokio::test]
async fn the_latch_is_stored_before_the_first_refusal() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -10)).await;
    assert!(start(&gatekeeper, moment(1, -1)).await.is_ok());
    assert_eq!(store.latch().await.unwrap().reached, None);
    start(&gatekeeper, moment(1, 0)).await.unwrap_err();
    assert_eq!(store.latch().await.unwrap().reached.unwrap().turn, "publish_close_at");
    for _ in 0..100 {
        start(&gatekeeper, moment(2, 1)).await.unwrap_err();
    }
    assert_eq!(store.saves(), 1, "a storm of refusals writes nothing (G19)");
    let log = store.gate_log().await.unwrap();
    let kinds: Vec<_> = log.iter().map(|(entry, _)| entry.kind.as_str()).collect();
    assert_eq!(kinds, ["declared", "closed"]);
    assert!(store::chain_is_whole(&log));
}

/// G7, D19: neither a restart, nor the clock set back, nor a later date in the configuration, nor
/// none at all opens the gate again.
#[tokio::test]
async fn a_restart_reopens_nothing() {
    let store = Switched::on();
    start(&open(&store, CLOSING, moment(0, 5)).await, moment(0, 5)).await.unwrap_err();
    for closing in [CLOSING, CLOSING + 1_000_000_000] {
        let restarted = open(&store, closing, moment(0, -5_000)).await;
        start(&restarted, moment(0, -5_000)).await.unwrap_err();
    }
    let undeclared = Gatekeeper::open(store.clone(), None, None, moment(0, 9)).await.unwrap();
    start(&undeclared, moment(0, 9)).await.unwrap_err();
}

/// G9: started after the date, the closing is remembered at once.
#[tokio::test]
async fn a_start_after_the_closing_is_remembered() {
    let store = Switched::on();
    open(&store, CLOSING, moment(0, 1)).await;
    assert!(store.latch().await.unwrap().reached.is_some());
}

/// A full disk changes the memory, not the answer, and does not make a storm of writes.
#[tokio::test]
async fn a_latch_that_cannot_be_stored_still_refuses() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -10)).await;
    store.switch(true);
    for _ in 0..50 {
        start(&gatekeeper, moment(1, 0)).await.unwrap_err();
    }
    assert_eq!(store.saves(), 1);
    start(&gatekeeper, moment(1, -9)).await.expect_err("closed in memory");
    store.switch(false);
    start(&gatekeeper, moment(2, 0)).await.unwrap_err();
    assert!(store.latch().await.unwrap().reached.is_some(), "made up for");
}

/// G7: an operator reopens, with a reason, and only what the schedule itself would allow; the
/// running server hears of it.
#[tokio::test]
async fn an_operator_may_reopen_with_a_reason() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -10)).await;
    start(&gatekeeper, moment(1, 0)).await.unwrap_err();
    look(&store, &gatekeeper, moment(1, 0)).await;

    let reopen = async |reason: &str, at: i64| {
        let policy = recorded_policy(&*store, None, None).await.unwrap();
        reopen(&*store, &policy, reason, moment(0, at).wall).await
    };
    assert!(matches!(reopen("really", 1).await, Err(ReopenError::Scheduled { .. })));
    assert!(matches!(reopen(" ", -5).await, Err(ReopenError::NoReason)));
    reopen("the clock was wrong", -5).await.unwrap();
    assert!(matches!(reopen("again", -5).await, Err(ReopenError::NotHeld)));

    start(&gatekeeper, moment(2, -4)).await.expect_err("not heard yet");
    look(&store, &gatekeeper, moment(2, -4)).await;
    assert!(start(&gatekeeper, moment(3, -4)).await.is_ok());
    let history = gatekeeper.current().history().to_vec();
    assert_eq!(history.last().unwrap().text, "the clock was wrong");
}

/// G7: a reopening is heard although the store failed when it was looked for.
#[tokio::test]
async fn a_reopening_is_heard_when_the_store_is_back() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -10)).await;
    start(&gatekeeper, moment(1, 0)).await.unwrap_err();
    let policy = recorded_policy(&*store, None, None).await.unwrap();
    reopen(&*store, &policy, "by mistake", moment(0, -5).wall).await.unwrap();
    let revision = store.revision().await.unwrap();
    store.switch(true);
    gatekeeper.look(revision, moment(2, -4)).await;
    start(&gatekeeper, moment(2, -4)).await.expect_err("not understood");
    store.switch(false);
    gatekeeper.look(revision, moment(3, -4)).await;
    assert!(start(&gatekeeper, moment(3, -4)).await.is_ok());
}

/// G7: a disk that answers nothing at all holds neither a refusal nor a look longer than one write
/// may take, and what it held back is made up for.
#[tokio::test(start_paused = true)]
async fn a_stalled_disk_holds_nobody() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -10)).await;
    let revision = store.revision().await.unwrap();
    look(&store, &gatekeeper, moment(0, -9)).await;
    start(&gatekeeper, moment(1, 0)).await.unwrap_err();
    let policy = recorded_policy(&*store, None, None).await.unwrap();
    reopen(&*store, &policy, "by mistake", moment(0, -5).wall).await.unwrap();
    let reopened = store.revision().await.unwrap();
    assert_ne!(revision, reopened);

    store.stall(true);
    let begun = Instant::now();
    let refused = async {
        start(&gatekeeper, moment(2, -4)).await.expect_err("a reopening nobody has heard of");
        begun.elapsed()
    };
    let looked = async {
        gatekeeper.look(reopened, moment(2, -4)).await;
        begun.elapsed()
    };
    let both = time::timeout(Duration::from_secs(60), async { tokio::join!(looked, refused) });
    let (looked, refused) = both.await.expect("neither hangs");
    assert!(looked <= SAVE_TIME_MAX * 2 && refused <= SAVE_TIME_MAX, "{looked:?} {refused:?}");

    store.stall(false);
    gatekeeper.look(reopened, moment(9, -3)).await;
    assert!(start(&gatekeeper, moment(9, -3)).await.is_ok(), "heard at last");
    assert_eq!(gatekeeper.current().history().last().unwrap().text, "by mistake");
}

/// G7: who waits for the writing of another waits no longer than for its own.
#[tokio::test(start_paused = true)]
async fn refusals_wait_together_for_a_stalled_disk() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -10)).await;
    store.stall(true);
    let refused = async |after: Duration| {
        time::sleep(after).await;
        let asked = Instant::now();
        start(&gatekeeper, moment(1 + after.as_secs(), 0)).await.unwrap_err();
        asked.elapsed()
    };
    let seconds = Duration::from_secs;
    let (a, b, c) = tokio::join!(
        refused(seconds(0)),
        refused(seconds(1)),
        refused(Duration::from_millis(1_900))
    );
    assert!(a.max(b).max(c) <= SAVE_TIME_MAX, "{a:?} {b:?} {c:?}");
    store.stall(false);
    start(&gatekeeper, moment(9, 0)).await.unwrap_err();
    assert!(store.latch().await.unwrap().reached.is_some(), "made up for");
}

/// G2: a clock that is set forward past the closing does not shorten the time in which a permitted
/// broadcast may begin, and a permit after a reopening has its whole time again.
#[tokio::test]
async fn a_clock_set_forward_shortens_no_permit() {
    const PERMIT: Duration = Duration::from_secs(30);
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -10_000)).await;
    let turn = async |at: Now| {
        look(&store, &gatekeeper, at).await;
        gatekeeper.note_nothing_live(PERMIT, at).await;
        store.latch().await.unwrap().reached.map(|reached| reached.turn)
    };
    assert_eq!(turn(moment(4, -6_000)).await, None);
    assert!(start(&gatekeeper, moment(5, -5_000)).await.is_ok());
    assert_eq!(turn(moment(6, 300_000)).await.as_deref(), Some("publish_close_at"));
    assert_eq!(turn(moment(35, 329_000)).await.as_deref(), Some("publish_close_at"));

    let policy = recorded_policy(&*store, None, None).await.unwrap();
    reopen(&*store, &policy, "the clock was wrong", moment(0, -4_000).wall).await.unwrap();
    assert_eq!(turn(moment(36, -4_000)).await, None);
    assert!(start(&gatekeeper, moment(37, -3_000)).await.is_ok());
    assert_eq!(turn(moment(40, 0)).await.as_deref(), Some("publish_close_at"));
    assert_eq!(turn(moment(69, 29_000)).await.as_deref(), Some("publish_close_at"));
    assert_eq!(turn(moment(70, 30_000)).await.as_deref(), Some("finish_until"));
}

/// G7: what a server remembered before a reopening does not close it again.
#[tokio::test]
async fn a_reopening_wins_over_an_older_memory() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -10)).await;
    start(&gatekeeper, moment(1, 0)).await.unwrap_err();
    let policy = recorded_policy(&*store, None, None).await.unwrap();
    reopen(&*store, &policy, "by mistake", moment(0, -9).wall).await.unwrap();
    gatekeeper.mark(moment(2, 10)).await;
    assert_eq!(store.latch().await.unwrap().reached, None);
}

/// D20: the latest time is stored, and a clock behind it is not believed.
#[tokio::test]
async fn the_high_water_mark_survives_a_restart() {
    let store = Switched::on();
    let minutes = |count: i64| -100 * 60_000 + count * 60_000;
    let gatekeeper = open(&store, CLOSING, moment(0, minutes(0))).await;
    gatekeeper.mark(moment(60, minutes(20))).await;
    let restarted = open(&store, CLOSING, moment(0, minutes(1))).await;
    let refusal = start(&restarted, moment(0, minutes(1))).await.unwrap_err();
    assert!(matches!(refusal, Refusal::ClockUntrusted(_)), "{refusal}");
    assert!(start(&restarted, moment(0, minutes(16))).await.is_ok());
}

/// A rehearsal never writes the latch.
#[tokio::test]
async fn a_rehearsal_has_no_memory() {
    let gatekeeper = Gatekeeper::without_memory(Policy::rehearsal(schedule(CLOSING)));
    start(&gatekeeper, moment(0, 10)).await.unwrap_err();
    assert!(start(&gatekeeper, moment(0, -10)).await.is_ok());
}

/// G11: a later date is live at once, a much nearer one is refused and changes nothing.
#[tokio::test]
async fn a_reload_is_live() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -1_000)).await;
    let mut policy = gatekeeper.policy();
    let later = schedule(CLOSING + 10_000);
    gatekeeper.reload(later.clone(), moment(1, -900)).await.unwrap();
    assert!(policy.has_changed().unwrap());
    assert!(start(&gatekeeper, moment(2, 9_999)).await.is_ok());
    gatekeeper.reload(schedule(CLOSING), moment(3, -800)).await.unwrap_err();
    assert_eq!(policy.borrow_and_update().schedule(), later.as_ref());
    assert_eq!(declared_schedule(&*store).await.unwrap(), later);
    assert_eq!(gatekeeper.current().history().len(), 2);
}

#[tokio::test]
async fn draining_is_told() {
    let gatekeeper = Gatekeeper::without_memory(Policy::default());
    let policy = gatekeeper.policy();
    gatekeeper.set_draining();
    assert!(policy.borrow().is_draining());
    assert_eq!(start(&gatekeeper, moment(0, 0)).await.unwrap_err(), Refusal::NodeDraining);
}

/// G6, G7: a look stores a turn as it passes, although nobody asks, and whether the clock ran or
/// was stepped there; the time is stored only now and then.
#[tokio::test]
async fn a_look_remembers_by_itself() {
    let store = Switched::on();
    let gatekeeper = open(&store, CLOSING, moment(0, -7_200_000)).await;
    look(&store, &gatekeeper, moment(1, -7_199_000)).await;
    assert!(store.latch().await.unwrap().high_water.is_some());
    for second in 2..60 {
        look(&store, &gatekeeper, moment(second, -7_100_000)).await;
    }
    assert_eq!(store.saves(), 1, "once a minute is enough");
    look(&store, &gatekeeper, moment(60, 0)).await;
    assert_eq!(store.latch().await.unwrap().reached.unwrap().turn, "publish_close_at");
    look(&store, &gatekeeper, moment(61, 1_000)).await;
    assert_eq!(store.saves(), 3);
}
