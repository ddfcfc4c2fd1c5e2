//! Every rule that needs neither clock nor server has a stream that keeps it and one that breaks
//! it, and nothing else with it.

mod movies;
mod playlists;
mod scenes;
mod texts;

use std::collections::BTreeSet;

use super::{Ledger, Method, Outcome, RULES};

/// The rules that are broken.
fn broken(ledger: &Ledger) -> BTreeSet<&'static str> {
    let broken = |outcome: &Outcome| matches!(outcome, Outcome::Broken { .. });
    ledger.outcomes().filter(|(_, outcome)| broken(outcome)).map(|(rule, _)| rule.id).collect()
}

fn held(ledger: &Ledger) -> BTreeSet<&'static str> {
    let held = |outcome: &Outcome| matches!(outcome, Outcome::Held { .. });
    ledger.outcomes().filter(|(_, outcome)| held(outcome)).map(|(rule, _)| rule.id).collect()
}

/// What is said instead of exactly this rule, and of those that cannot be kept without it.
fn misjudged(
    ledger: &Ledger,
    rule: &'static str,
    also: &[&'static str],
    how: &str,
) -> Option<String> {
    let expected: BTreeSet<_> = [rule].into_iter().chain(also.iter().copied()).collect();
    let said: Vec<_> = ledger.findings().map(ToString::to_string).collect();
    (broken(ledger) != expected).then(|| format!("{rule}, {how:?}: {said:#?}"))
}

fn assert_broken(ledger: &Ledger, rule: &'static str, also: &[&'static str], how: &str) {
    assert_eq!(misjudged(ledger, rule, also, how), None);
}

fn assert_all_judged(misjudged: &[String]) {
    assert!(misjudged.is_empty(), "{}", misjudged.join("\n"));
}

#[test]
fn every_pure_rule_has_a_good_and_a_bad_case() {
    let pure: BTreeSet<_> = RULES
        .iter()
        .filter(|rule| matches!(rule.method, Method::Lint | Method::Diff | Method::Media))
        .map(|rule| rule.id)
        .collect();
    let mut good = Ledger::default();
    playlists::judge_good(&mut good);
    scenes::judge_good(&mut good);
    assert_eq!(broken(&good), BTreeSet::new());
    let bad: BTreeSet<_> = playlists::bad_rules().chain(scenes::bad_rules()).collect();
    let missing = |there: &BTreeSet<_>| -> Vec<_> { pure.difference(there).copied().collect() };
    assert_eq!((missing(&held(&good)), missing(&bad)), (vec![], vec![]), "good, bad");
}
