use proptest::prelude::*;

use super::testing::{at, schedule};
use super::*;
use crate::base::{ChannelId, WallTime};

const WHOLE: [(&str, i64); 8] = [
    ("announced_at", 1_000),
    ("keys_close_at", 2_000),
    ("claims_close_at", 3_000),
    ("publish_close_at", 4_000),
    ("finish_until", 5_000),
    ("settle_at", 6_000),
    ("archive_close_at", 7_000),
    ("gone_at", 8_000),
];

fn whole(policy: &str) -> Policy {
    Policy::new(Some(schedule(&WHOLE, policy)), Latch::default())
}

fn allows(policy: &Policy, operation: Operation, now: WallTime) -> bool {
    matches!(policy.decide(operation, now), Verdict::Allow { .. })
}

fn refusal(policy: &Policy, operation: Operation, now: WallTime) -> Refusal {
    match policy.decide(operation, now) {
        Verdict::Refuse(refusal) => refusal,
        Verdict::Allow { .. } => panic!("{operation} is allowed at {now}"),
    }
}

fn channel() -> ChannelId {
    ChannelId::parse("demo").unwrap()
}

/// The table of `operation x phase`, one line for each operation; `A` allowed, `D` only what
/// already runs, `R` refused. Each phase is looked at in its first and last millisecond (G1).
#[test]
fn the_whole_table() {
    #[rustfmt::skip]
    let table = [
        //                         before announced  keys  claims finish read settled export gone
        (Operation::CreateChannel, "A     A          R     R      R      R    R       R      R"),
        (Operation::CreateKey,     "A     A          R     R      R      R    R       R      R"),
        (Operation::RotateKey,     "A     A          A     A      R      R    R       R      R"),
        (Operation::RevokeKey,     "A     A          A     A      A      A    A       R      R"),
        (Operation::Start,         "A     A          A     A      R      R    R       R      R"),
        (Operation::Resume,        "A     A          A     A      D      R    R       R      R"),
        (Operation::Keep,          "A     A          A     A      D      R    R       R      R"),
        (Operation::WatchLive,     "A     A          A     A      D      R    R       R      R"),
        (Operation::ReadStatus,    "A     A          A     A      A      A    A       A      A"),
    ];
    let policy = whole("finish");
    for (operation, row) in table {
        for (number, expected) in row.split_whitespace().enumerate() {
            let first = i64::try_from(number).unwrap() * 1_000;
            for now in [at(first), at(first + 999)] {
                let state = match policy.state_of(operation, now) {
                    OperationState::Allowed => "A",
                    OperationState::RunningOnly => "D",
                    OperationState::Refused => "R",
                };
                assert_eq!(state, expected, "{operation} at {now}");
                assert_eq!(allows(&policy, operation, now), expected != "R");
            }
        }
    }
}

/// G1: at T - 1 ms allowed, at T refused.
#[test]
fn every_edge_is_half_open() {
    for (operation, edge) in [
        (Operation::CreateKey, 2_000),
        (Operation::RotateKey, 4_000),
        (Operation::Start, 4_000),
        (Operation::Resume, 5_000),
        (Operation::Keep, 5_000),
        (Operation::WatchLive, 5_000),
        (Operation::RevokeKey, 7_000),
    ] {
        let policy = whole("finish");
        assert!(allows(&policy, operation, at(edge - 1)), "{operation}");
        assert!(!allows(&policy, operation, at(edge)), "{operation}");
        assert_eq!(policy.closing_of(operation), Some(at(edge)));
    }
}

#[test]
fn phases_begin_at_their_instants() {
    let policy = whole("finish");
    let phases: Vec<Phase> = (0..9).map(|number| policy.phase(at(number * 1_000))).collect();
    let mut expected = Phase::ALL.to_vec();
    expected.insert(2, Phase::Announced); // closing the keys begins no phase
    assert_eq!(phases, expected);
    assert_eq!(policy.next_edge(at(3_999)), Some(Edge { turn: Turn::PublishClose, at: at(4_000) }));
    assert_eq!(policy.next_edge(at(4_000)).unwrap().turn, Turn::FinishUntil);
    assert_eq!(policy.next_edge(at(8_000)), None);
}

#[test]
fn an_absent_turn_skips_its_phase() {
    let short = [("publish_close_at", 4_000), ("gone_at", 9_000), ("finish_until", 5_000)];
    let policy = Policy::new(Some(schedule(&short, "finish")), Latch::default());
    assert_eq!(policy.phase(at(3_999)), Phase::Open);
    assert_eq!(policy.phase(at(4_000)), Phase::Finishing);
    assert_eq!(policy.phase(at(5_000)), Phase::ReadOnly);
    assert_eq!(policy.phase(at(9_000)), Phase::Gone);
    assert_eq!(policy.closing_of(Operation::RevokeKey), Some(at(9_000)), "with the next one");
}

/// G10: no schedule, no sunset.
#[test]
fn without_a_schedule_everything_is_allowed_for_ever() {
    let policy = Policy::new(None, Latch::default()).built_at(Some(at(0)));
    for operation in Operation::ALL {
        assert_eq!(policy.decide(operation, at(-1)), Verdict::Allow { until: None });
        assert_eq!(policy.notice(operation, at(0)), None);
    }
    assert_eq!((policy.next_edge(at(0)), policy.max_age(at(0))), (None, None));
    assert!(!policy.status(at(0)).declared);
}

/// G5, G15, G2: whoever was let in before the closing runs until the stated end, resumed or not.
#[test]
fn a_permit_ends_with_all_broadcasts() {
    let policy = whole("finish");
    for (admission, now) in
        [(Admission::Start, 0), (Admission::Start, 3_999), (Admission::Resume, 4_999)]
    {
        let permit = policy.admit(&channel(), admission, at(now)).unwrap();
        assert_eq!((permit.until(), permit.admission()), (Some(at(5_000)), admission));
    }
    let cut = whole("cut");
    assert_eq!(cut.admit(&channel(), Admission::Start, at(0)).unwrap().until(), Some(at(4_000)));
    assert!(cut.admit(&channel(), Admission::Resume, at(3_999)).is_ok());
    assert!(cut.admit(&channel(), Admission::Resume, at(4_000)).is_err(), "refused under cut");
    assert_eq!(cut.phase(at(4_000)), Phase::ReadOnly, "nothing is left to finish");
}

/// G7: what was closed stays closed, with the clock back, another date, or no schedule at all.
#[test]
fn the_latch_holds() {
    let latch = whole("finish").latch_due(at(4_000)).expect("the closing has passed");
    assert_eq!(latch.reached, Some(Reached { turn: Turn::PublishClose, at: at(4_000) }));
    assert_eq!(whole("finish").latch_due(at(3_999)), None);

    let set_back = whole("finish").with_latch(latch);
    assert_eq!(set_back.latch_due(at(4_001)), None, "already remembered");
    let later = [("publish_close_at", 9_000_000)];
    let extended = Policy::new(Some(schedule(&later, "finish")), latch);
    let withdrawn = Policy::new(None, latch);
    for policy in [&set_back, &extended, &withdrawn] {
        for now in [at(0), at(3_999), at(8_000)] {
            let Refusal::BroadcastsClosed(closed) = refusal(policy, Operation::Start, now) else {
                panic!("closed");
            };
            assert_eq!(closed.since, at(4_000));
            assert!(Phase::Finishing <= policy.phase(now));
        }
    }
    assert!(allows(&extended, Operation::Resume, at(4_500)), "what ran may finish");
    assert!(allows(&extended.with_latch(Latch::default()), Operation::Start, at(8_000)));
}

/// G7: the latest turn is remembered, not only the first.
#[test]
fn the_latch_moves_on() {
    let first = whole("finish").latch_due(at(4_000)).unwrap();
    let second = whole("finish").with_latch(first).latch_due(at(6_500)).unwrap();
    assert_eq!(second.reached.unwrap().turn, Turn::Settle);
    assert_eq!(whole("finish").with_latch(second).phase(at(4_000)), Phase::Settled);
}

/// G8, D20: a clock that cannot be right closes what would be new, says why, and lets what runs
/// go on.
#[test]
fn a_clock_that_cannot_be_right_is_not_believed() {
    let minutes = |count: i64| count * 60_000;
    let far = [("publish_close_at", minutes(9_000))];
    let policy = |mark: Option<i64>, built: i64| {
        let latch = Latch { reached: None, high_water: mark.map(at) };
        Policy::new(Some(schedule(&far, "finish")), latch).built_at(Some(at(built)))
    };
    let before_build = policy(None, minutes(10));
    let fault = refusal(&before_build, Operation::Start, at(minutes(10) - 1));
    let Refusal::ClockUntrusted(fault) = fault else { panic!("{fault}") };
    assert_eq!(fault.reason, ClockFaultReason::BeforeBuild);
    assert!(allows(&before_build, Operation::Start, at(minutes(10))));

    let behind = policy(Some(minutes(100)), 0);
    assert!(allows(&behind, Operation::Start, at(minutes(95))), "a small step is no fault");
    let wrong = at(minutes(95) - 1);
    assert!(matches!(refusal(&behind, Operation::Start, wrong), Refusal::ClockUntrusted(_)));
    assert!(matches!(refusal(&behind, Operation::CreateKey, wrong), Refusal::ClockUntrusted(_)));
    for running in [Operation::Resume, Operation::Keep, Operation::WatchLive] {
        assert!(allows(&behind, running, wrong), "{running}");
    }
    assert_eq!(behind.latch_at(wrong), None, "a wrong time is not remembered");
    assert!(behind.status(wrong).clock.unwrap().contains("but it was"));
}

/// G7, G8: time does not run back over an edge, not even by a second.
#[test]
fn a_small_step_back_reopens_nothing() {
    let latch = Latch { reached: None, high_water: Some(at(2_000)) };
    let policy = whole("finish").with_latch(latch);
    assert!(!allows(&policy, Operation::CreateKey, at(1_999)));
    assert_eq!(policy.latch_at(at(1_500)), None);
    assert_eq!(policy.latch_at(at(2_500)).unwrap().high_water, Some(at(2_500)));
}

#[test]
fn a_rehearsal_remembers_and_doubts_nothing() {
    let policy = Policy::rehearsal(Some(schedule(&WHOLE, "finish"))).built_at(Some(at(9_000)));
    assert_eq!((policy.latch_due(at(8_000)), policy.latch_at(at(8_000))), (None, None));
    assert!(allows(&policy, Operation::Start, at(3_999)));
    assert!(policy.status(at(0)).simulated);
    let refused = refusal(&policy, Operation::Start, at(9_999));
    assert!(refused.as_closed().unwrap().revocable, "nobody may keep a played answer");
}

#[test]
fn a_draining_node_takes_no_publisher() {
    let policy = Policy::default().draining();
    for operation in Operation::ALL {
        let takes = matches!(operation, Operation::Start | Operation::Resume);
        assert_eq!(allows(&policy, operation, at(0)), !takes, "{operation}");
    }
    let closed = whole("finish").draining();
    assert!(refusal(&closed, Operation::Start, at(4_000)).as_closed().is_some(), "the end first");
}

#[test]
fn a_refusal_is_one_short_ascii_sentence() {
    let url = format!("https://{}.example/end", "x".repeat(60));
    for info_url in [None, Some(url)] {
        let settings = ScheduleSettings { info_url, ..ScheduleSettings::periscope() };
        let policy = Policy::new(Schedule::build(&settings).unwrap(), Latch::default());
        for now in ["2021-04-01T07:00:00Z", "2021-04-01T11:00:00Z", "2022-01-01T00:00:00Z"] {
            let now = DeclaredInstant::parse(now).unwrap().at();
            for operation in [Operation::Start, Operation::CreateKey] {
                let text = refusal(&policy, operation, now).to_string();
                assert!(text.is_ascii() && text.len() < 200, "{} {text}", text.len());
                let since = policy.closing_of(operation).unwrap().to_string();
                assert!(text.contains(&since), "{text}");
            }
        }
    }
    let closed = refusal(&whole("finish"), Operation::Start, at(4_000));
    assert!(closed.to_string().contains("may finish and be watched"), "{closed}");
    assert!(Refusal::NodeDraining.to_string().len() < 200);
}

#[test]
fn a_problem_carries_the_facts() {
    let problem = refusal(&whole("finish"), Operation::Start, at(4_200)).problem();
    let json = serde_json::to_value(&problem).unwrap();
    assert_eq!(json["type"], "/sunset#broadcasts-closed");
    assert_eq!(json["phase"], "finishing");
    assert_eq!(json["operation"], "start_broadcast");
    assert_eq!(json["closed_at"], at(4_000).to_string());
    assert_eq!(json["server_time"], at(4_200).to_string());
    assert_eq!(json["retry"], false);
    let possible = ["revoke_key", "resume_broadcast", "keep_publishing", "watch_live"];
    for (place, operation) in possible.into_iter().enumerate() {
        assert_eq!(json["still_possible"][place], operation);
    }
    assert_eq!(serde_json::to_value(Refusal::NodeDraining.problem()).unwrap()["retry"], true);
}

/// RFC 8594, RFC 9745: the closing of that very operation, from the announcement on.
#[test]
fn notices_name_each_operations_own_end() {
    let policy =
        Policy::new(Schedule::build(&ScheduleSettings::periscope()).unwrap(), Latch::default());
    let announced = DeclaredInstant::parse("2020-12-15T08:00:00Z").unwrap().at();
    assert_eq!(policy.notice(Operation::Start, WallTime::from_unix_millis(0)), None);
    let publish = policy.notice(Operation::Start, announced).unwrap();
    assert_eq!(publish.sunset, "Thu, 01 Apr 2021 07:00:00 GMT");
    assert_eq!(publish.deprecation.as_deref(), Some("@1608019200"));
    assert!(publish.link.starts_with("</sunset>; rel=\"sunset\""), "{}", publish.link);
    let watch = policy.notice(Operation::WatchLive, announced).unwrap();
    assert_eq!(watch.sunset, "Thu, 01 Apr 2021 11:00:00 GMT");
    assert_eq!(policy.notice(Operation::ReadStatus, announced), None);
}

/// G16: no answer outlives the next edge.
#[test]
fn nothing_is_kept_past_the_next_edge() {
    let policy = whole("finish");
    assert_eq!(policy.max_age(at(-61_500)).unwrap().as_secs(), 62);
    assert_eq!(policy.max_age(at(3_001)).unwrap().as_secs(), 0);
    assert_eq!(policy.max_age(at(8_000)), None);
}

#[test]
fn the_status_document_tells_everything() {
    let status =
        Policy::new(Schedule::build(&ScheduleSettings::periscope()).unwrap(), Latch::default())
            .status(DeclaredInstant::parse("2021-01-05T12:00:00+01:00").unwrap().at());
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["phase"], "announced");
    assert_eq!(json["server_time"], "2021-01-05T11:00:00.000Z");
    assert_eq!(json["policy"], "finish");
    assert_eq!(json["next_edge"]["name"], "claims_close_at");
    assert_eq!(json["next_edge"]["local"], "2021-02-02 00:00:00 -08:00 (America/Los_Angeles)");
    assert_eq!(json["instants"][0]["passed"], true);
    assert_eq!(json["instants"][3]["declared_as"], "2021-03-31 end-of-day America/Los_Angeles");
    assert_eq!(json["operations"][4]["operation"], "start_broadcast");
    assert_eq!(json["operations"][4]["state"], "allowed");
    assert_eq!(json["operations"][4]["closes_at"], "2021-04-01T07:00:00.000Z");
    assert_eq!(json["operations"][8]["closes_at"], serde_json::Value::Null);
}

/// Any schedule: up to eight rising instants, some left out.
fn any_policy() -> impl Strategy<Value = Policy> {
    let gaps = proptest::collection::vec(0_i64..400_000, 8);
    let kept = proptest::collection::vec(any::<bool>(), 8);
    (gaps, kept, any::<bool>()).prop_map(|(gaps, kept, cut)| {
        let mut last = 0;
        let mut turns = Vec::new();
        for ((gap, kept), turn) in gaps.into_iter().zip(kept).zip(Turn::ALL) {
            last += gap;
            if kept || turn == Turn::PublishClose {
                turns.push((turn.as_str(), last));
            }
        }
        let policy = if cut { "cut" } else { "finish" };
        Policy::new(Some(schedule(&turns, policy)), Latch::default())
    })
}

/// Instants that matter: to each side of every edge, and anywhere.
fn interesting(policy: &Policy, place: usize, anywhere: i64) -> WallTime {
    let edges: Vec<Edge> = policy.schedule().unwrap().edges().collect();
    match edges.get(place / 3) {
        Some(edge) => {
            let offset = i64::try_from(place % 3).unwrap() - 1;
            WallTime::from_unix_millis(edge.at.unix_millis() + offset)
        }
        None => at(anywhere),
    }
}

proptest! {
    /// G1, G5, D22: at every instant, what the verdicts say agrees with the closing they name.
    #[test]
    fn verdicts_agree_with_the_schedule(
        policy in any_policy(),
        place in 0_usize..30,
        anywhere in -1_000_i64..40_000_000,
    ) {
        let now = interesting(&policy, place, anywhere);
        let end = policy.schedule().unwrap().broadcasts_end();
        for operation in Operation::ALL {
            let open = policy.closing_of(operation).is_none_or(|closing| now < closing);
            prop_assert_eq!(allows(&policy, operation, now), open, "{}", operation);
        }
        for admission in [Admission::Start, Admission::Resume] {
            if let Ok(permit) = policy.admit(&channel(), admission, now) {
                prop_assert_eq!(permit.until(), Some(end));
                prop_assert!(now < end);
            }
        }
        if let Some(edge) = policy.next_edge(now) {
            prop_assert!(now < edge.at);
        }
    }

    /// G7, D19: whatever the clock does, once a new broadcast was refused by the schedule none
    /// is allowed again, and the phase never goes back.
    #[test]
    fn time_only_goes_forward(
        policy in any_policy(),
        steps in proptest::collection::vec((0_usize..30, -1_000_i64..4_000_000), 1..40),
    ) {
        let mut policy = policy;
        let mut closed = false;
        let mut phase = Phase::Open;
        for (place, anywhere) in steps {
            let now = interesting(&policy, place, anywhere);
            let started = policy.admit(&channel(), Admission::Start, now);
            if started.as_ref().is_err_and(|refusal| refusal.as_closed().is_some()) {
                closed = true;
            }
            prop_assert!(!(closed && started.is_ok()), "reopened at {}", now);
            prop_assert!(phase <= policy.phase(now));
            if let Some(latch) = policy.latch_at(now) {
                policy = policy.with_latch(latch);
            }
            phase = phase.max(policy.phase(now));
        }
    }
}

/// The last broadcast ends before `finish_until`: the service is read-only from then on.
#[test]
fn nothing_live_ends_the_finishing() {
    let policy = whole("finish");
    for early in [0, 3_999] {
        assert_eq!(policy.latch_empty(at(early)), None, "{early}");
    }
    let latch = policy.latch_empty(at(4_100)).expect("nothing can begin");
    assert_eq!(latch.reached, Some(Reached { turn: Turn::FinishUntil, at: at(4_100) }));

    let policy = policy.with_latch(latch);
    assert_eq!(policy.phase(at(4_100)), Phase::ReadOnly);
    assert_eq!(policy.latch_empty(at(4_200)), None, "once");
    assert_eq!(policy.next_edge(at(4_200)).map(|edge| edge.turn), Some(Turn::Settle));
    let since = |operation| match refusal(&policy, operation, at(4_200)).as_closed() {
        Some(closed) => closed.since,
        None => panic!("{operation} is refused for another reason"),
    };
    assert_eq!(since(Operation::Start), at(4_000));
    assert_eq!(since(Operation::WatchLive), at(4_100), "when it was closed, not when it would be");
    assert_eq!(policy.closing_of(Operation::Keep), Some(at(4_100)));

    let rehearsal = Policy::rehearsal(Some(schedule(&WHOLE, "finish")));
    assert_eq!(rehearsal.latch_empty(at(4_500)), None, "it remembers nothing");
}
