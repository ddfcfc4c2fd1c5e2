use super::super::testing::{at, schedule, settings};
use super::*;

fn edges(schedule: &Schedule) -> Vec<(&'static str, i64)> {
    let zero = at(0).unix_millis();
    schedule.edges().map(|edge| (edge.turn.as_str(), edge.at.unix_millis() - zero)).collect()
}

fn error(settings: &ScheduleSettings) -> String {
    Schedule::build(settings).expect_err("no schedule").to_string()
}

/// G10: nothing set is no end; a policy alone declares none either.
#[test]
fn nothing_declared_is_no_schedule() {
    assert_eq!(Schedule::build(&ScheduleSettings::default()), Ok(None));
    assert_eq!(Schedule::build(&settings(&[], "cut")), Ok(None));
}

#[test]
fn what_is_not_said_has_a_default() {
    let closing = [("publish_close_at", 10_000)];
    let four_hours = 10_000 + 4 * 3_600_000;
    assert_eq!(
        edges(&schedule(&closing, "finish")),
        [("keys_close_at", 10_000), ("publish_close_at", 10_000), ("finish_until", four_hours)]
    );
    assert_eq!(edges(&schedule(&closing, "cut"))[2], ("finish_until", 10_000));
    let announced = [("announced_at", 5), ("publish_close_at", 10_000), ("gone_at", 10_500)];
    assert_eq!(
        edges(&schedule(&announced, "finish")),
        [
            ("announced_at", 5),
            ("keys_close_at", 5),
            ("publish_close_at", 10_000),
            ("finish_until", 10_500),
            ("gone_at", 10_500)
        ],
        "a default is never behind what was written"
    );
    let claims = [("claims_close_at", 7), ("publish_close_at", 10_000)];
    assert_eq!(edges(&schedule(&claims, "finish"))[0], ("keys_close_at", 7));
}

#[test]
fn under_cut_a_later_end_has_no_effect_and_is_said_so() {
    let schedule = schedule(&[("publish_close_at", 10), ("finish_until", 500)], "cut");
    assert_eq!(schedule.broadcasts_end(), at(10));
    assert!(schedule.warnings().contains(&ScheduleWarning::FinishIgnored));
}

#[test]
fn a_wrong_order_names_the_pair() {
    let keys = [
        "announced_at",
        "keys_close_at",
        "claims_close_at",
        "publish_close_at",
        "finish_until",
        "settle_at",
        "archive_close_at",
        "gone_at",
    ];
    let in_order: Vec<(&str, i64)> = keys.iter().map(|key| (*key, 10)).collect();
    schedule(&in_order, "finish");
    for late in 0..7 {
        let mut turns = in_order.clone();
        turns[late].1 = 11;
        let text = error(&settings(&turns, "finish"));
        let (earlier, later) = (keys[late], keys[late + 1]);
        assert!(text.starts_with(&format!("sunset.{later}: ")), "{text}");
        assert!(text.ends_with(&format!("the order is {earlier} <= {later}")), "{text}");
    }
}

#[test]
fn every_error_names_its_key() {
    let base = || settings(&[("publish_close_at", 10)], "finish");
    let table: [(ScheduleSettings, &str); 11] = [
        (settings(&[("announced_at", 1)], "finish"), "sunset.publish_close_at: is missing"),
        (settings(&[("publish_close_at", 1)], "stop"), "sunset.policy: \"stop\" is neither"),
        (
            ScheduleSettings { settle_at: Some("2021-03-31".to_owned()), ..base() },
            "sunset.settle_at: \"2021-03-31\" is a date without",
        ),
        (
            ScheduleSettings { time_zone: Some("Paris".to_owned()), ..base() },
            "sunset.time_zone: \"Paris\" is no time zone",
        ),
        (
            ScheduleSettings { info_url: Some("example.org".to_owned()), ..base() },
            "sunset.info_url: \"example.org\" is no http",
        ),
        (
            ScheduleSettings { info_url: Some("https://x/\">".to_owned()), ..base() },
            "sunset.info_url",
        ),
        (
            ScheduleSettings { info_url: Some(format!("https://{}", "x".repeat(80))), ..base() },
            "sunset.info_url",
        ),
        (
            ScheduleSettings { allow_shorten: Some("yes".to_owned()), ..base() },
            "sunset.allow_shorten: \"yes\" is neither",
        ),
        (
            ScheduleSettings { skew: Some("61s".to_owned()), ..base() },
            "sunset.skew: \"61s\" is no length from 0 to 60 s",
        ),
        (ScheduleSettings { skew: Some("-1s".to_owned()), ..base() }, "sunset.skew"),
        (ScheduleSettings { skew: Some("soon".to_owned()), ..base() }, "sunset.skew"),
    ];
    for (settings, start) in table {
        let text = error(&settings);
        assert!(text.starts_with(start) && !text.contains('\n'), "{text}");
    }
}

#[test]
fn periscope_ended_when_it_did() {
    let schedule = Schedule::build(&ScheduleSettings::periscope()).unwrap().unwrap();
    assert_eq!(schedule.publish_close().to_string(), "2021-04-01T07:00:00.000Z");
    assert_eq!(schedule.at(Turn::ClaimsClose).unwrap().to_string(), "2021-02-02T08:00:00.000Z");
    assert_eq!(schedule.at(Turn::KeysClose), schedule.at(Turn::Announced));
    assert_eq!(schedule.warnings(), []);
    assert_eq!(
        schedule.show(schedule.publish_close()),
        "2021-04-01T07:00:00.000Z = 2021-04-01 00:00:00 -07:00 (America/Los_Angeles)"
    );
}

/// G20: thirty days to the millisecond.
#[test]
fn short_notice_is_warned_of() {
    let month = 30 * 24 * 3_600_000;
    let warnings = |notice| {
        schedule(&[("announced_at", 0), ("publish_close_at", notice)], "finish").warnings()
    };
    assert_eq!(warnings(month), []);
    assert!(matches!(warnings(month - 1)[..], [ScheduleWarning::ShortNotice { .. }]));
    let unannounced = schedule(&[("publish_close_at", month)], "finish");
    assert_eq!(unannounced.warnings(), [ScheduleWarning::NotAnnounced]);
}

/// G11: a running server takes a later end at once, a nearer one only with notice or override.
#[test]
fn a_nearer_end_needs_notice_or_the_override() {
    let day = 24 * 3_600_000;
    let closing = |days: i64| schedule(&[("publish_close_at", days * day)], "finish");
    let overridden = |days: i64| Schedule { may_shorten: true, ..closing(days) };
    let check =
        |new: Schedule, old: Schedule, now: i64| new.check_shortening(&old, at(now * day)).is_ok();
    assert!(check(closing(100), closing(50), 49), "extended");
    assert!(check(closing(50), closing(50), 49), "unchanged");
    assert!(check(closing(40), closing(50), 10), "shortened with thirty days left");
    assert!(!check(closing(40), closing(50), 11), "shortened with less");
    assert!(check(overridden(40), closing(50), 11));
    assert!(!check(overridden(40), closing(50), 50), "never after the closing");
    let cut = schedule(&[("publish_close_at", 50 * day)], "cut");
    assert!(!check(cut, closing(50), 49), "taking the last hours away is shortening too");
}

/// G12: with a skew every turn comes so much earlier, defaults too, and no other thing changes.
#[test]
fn a_node_may_turn_early() {
    let turns = [("announced_at", 1_000), ("publish_close_at", 5_000), ("gone_at", 9_000)];
    let build = |skew: Option<&str>| {
        let settings = settings(&turns, "finish");
        let settings = ScheduleSettings { skew: skew.map(str::to_owned), ..settings };
        Schedule::build(&settings).expect("in order").expect("declared")
    };
    let (exact, early) = (build(None), build(Some("250ms")));
    for (edge, earlier) in exact.edges().zip(early.edges()) {
        assert_eq!(edge.turn, earlier.turn);
        assert_eq!(earlier.at + Duration::from_millis(250), edge.at, "{}", edge.turn);
    }
    assert_eq!(early.edges().count(), exact.edges().count());
    assert_eq!(build(Some("0s")).edges().collect::<Vec<_>>(), exact.edges().collect::<Vec<_>>());
    let said =
        |schedule: &Schedule| schedule.declared(Turn::PublishClose).map(|d| d.text().to_owned());
    assert_eq!(said(&early), said(&exact), "the words stay");
}

/// G13: an end of day is one whatever the clocks of the zone do then, a leap second is the second
/// before it, and what is printed names its offset.
#[test]
fn changing_clocks_change_nothing() {
    let at = |text: &str| DeclaredInstant::parse(text).expect(text).at().to_string();
    // 2025: Europe/Paris goes from +01:00 to +02:00 on 30 March and back on 26 October.
    for (day, utc) in [
        ("2025-03-29", "2025-03-29T23:00:00.000Z"),
        ("2025-03-30", "2025-03-30T22:00:00.000Z"),
        ("2025-10-25", "2025-10-25T22:00:00.000Z"),
        ("2025-10-26", "2025-10-26T23:00:00.000Z"),
    ] {
        assert_eq!(at(&format!("{day} end-of-day Europe/Paris")), utc);
    }
    assert_eq!(at("2016-12-31T23:59:60Z"), at("2016-12-31T23:59:59Z"));
    let paris = Zone::parse("Europe/Paris").expect("known");
    for (utc, shown) in [
        ("2025-10-26T00:30:00Z", "2025-10-26 02:30:00 +02:00 (Europe/Paris)"),
        ("2025-10-26T01:30:00Z", "2025-10-26 02:30:00 +01:00 (Europe/Paris)"),
    ] {
        let instant = DeclaredInstant::parse(utc).expect(utc).at();
        assert_eq!(paris.show(instant), shown, "one local time, two instants");
    }
}
