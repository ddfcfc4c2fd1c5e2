use super::*;
use crate::check::Level;

fn outcome(ledger: &Ledger, id: &str) -> Outcome {
    let found = ledger.outcomes().find(|(rule, _)| rule.id == id);
    found.expect("a rule of the catalog").1
}

#[test]
fn a_rule_holds_only_when_something_was_looked_at() {
    let mut ledger = Ledger::default();
    ledger.not_applicable("H23", "no part has left");
    ledger.not_applicable("H22", "no segment has left");
    ledger.looked("H22");
    assert_eq!(outcome(&ledger, "H22"), Outcome::Held { looked: 1 });
    assert_eq!(outcome(&ledger, "H23"), Outcome::NotApplicable("no part has left"));
    assert_eq!(outcome(&ledger, "H118"), Outcome::NotApplicable(NEVER_SEEN));
}

#[test]
fn findings_are_counted_and_the_first_different_ones_kept() {
    let mut ledger = Ledger::default();
    ledger.looked("H12");
    for n in 0..100 {
        ledger.broken(Finding::new("H12", format!("segment {}", n / 2), Place::url("a.m3u8")));
    }
    let Outcome::Broken { count, looked, findings } = outcome(&ledger, "H12") else {
        panic!("not broken");
    };
    assert_eq!((count, looked, findings.len()), (100, 101, FINDINGS_PER_RULE_MAX));
    assert_eq!(findings[1].what, "segment 1");
    assert_eq!(findings[0].level, Level::Must);
}

#[test]
fn the_catalog_is_in_order_and_without_doubles() {
    let numbers: Vec<_> = RULES.iter().map(|rule| number(rule.id)).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b) && numbers[0] == 1, "{numbers:?}");
    for rule in RULES {
        assert!(!rule.says.is_empty() && !rule.source.is_empty(), "{}", rule.id);
    }
}

#[test]
fn a_quotation_is_short() {
    let place = Place::line("a.m3u8", 3, &"ä".repeat(10_000)).before("short");
    assert!(place.now.expect("quoted").len() < 700);
    assert_eq!(place.before.as_deref(), Some("short"));
}
