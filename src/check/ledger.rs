use super::catalog::{RULES, Rule};
use super::finding::{Finding, Outcome, Place};

/// Findings kept for each rule; the others are counted.
const FINDINGS_PER_RULE_MAX: usize = 8;
const NEVER_SEEN: &str = "nothing of the kind was seen";

/// What was looked at and what was found, for each rule. A rule holds only when something was
/// really looked at.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// By the number of the rule.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    looked: u64,
    broken: u64,
    findings: Vec<Finding>,
    why: Option<&'static str>,
}

impl Ledger {
    /// A rule was looked at, and nothing was wrong this time.
    pub fn looked(&mut self, rule: &'static str) {
        self.entry(rule).looked += 1;
    }

    /// A rule was looked at and is broken.
    pub fn broken(&mut self, finding: Finding) {
        let entry = self.entry(finding.rule);
        entry.looked += 1;
        entry.broken += 1;
        let known = entry.findings.iter().any(|known| known.what == finding.what);
        if !known && entry.findings.len() < FINDINGS_PER_RULE_MAX {
            entry.findings.push(finding);
        }
    }

    /// Looks at a rule: held, or broken with what the closure says.
    pub fn expect(
        &mut self,
        rule: &'static str,
        holds: bool,
        broken: impl FnOnce() -> (String, Place),
    ) {
        self.note(rule, (!holds).then(broken).map(|(what, place)| Finding::new(rule, what, place)));
    }

    /// The same for the recommended half of a rule.
    pub fn advise(
        &mut self,
        rule: &'static str,
        holds: bool,
        broken: impl FnOnce() -> (String, Place),
    ) {
        let found = (!holds).then(broken);
        self.note(rule, found.map(|(what, place)| Finding::should(rule, what, place)));
    }

    fn note(&mut self, rule: &'static str, found: Option<Finding>) {
        match found {
            None => self.looked(rule),
            Some(finding) => self.broken(finding),
        }
    }

    /// Why a rule could not be looked at, unless it is looked at later.
    pub fn not_applicable(&mut self, rule: &'static str, why: &'static str) {
        self.entry(rule).why.get_or_insert(why);
    }

    /// What came of every rule of the catalog, in its order.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static Rule, Outcome)> {
        RULES.iter().map(|rule| (rule, self.outcome(rule)))
    }

    fn outcome(&self, rule: &'static Rule) -> Outcome {
        let Some(entry) = self.entries.get(number(rule.id)) else {
            return Outcome::NotApplicable(NEVER_SEEN);
        };
        match entry {
            Entry { looked: 0, why, .. } => Outcome::NotApplicable(why.unwrap_or(NEVER_SEEN)),
            Entry { looked, broken: 0, .. } => Outcome::Held { looked: *looked },
            Entry { looked, broken, findings, .. } => {
                Outcome::Broken { count: *broken, looked: *looked, findings: findings.clone() }
            }
        }
    }

    /// All findings kept, rule by rule.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.entries.iter().flat_map(|entry| &entry.findings)
    }

    /// How many rules are broken.
    pub fn broken_rules(&self) -> u64 {
        let broken = self.entries.iter().filter(|entry| 0 < entry.broken);
        u64::try_from(broken.count()).unwrap_or(u64::MAX)
    }

    fn entry(&mut self, rule: &str) -> &mut Entry {
        let number = number(rule);
        if self.entries.len() <= number {
            self.entries.resize_with(number + 1, Entry::default);
        }
        self.entries.get_mut(number).expect("made just now")
    }
}

/// The number in a rule's id; 0, which no rule has, for anything else.
fn number(id: &str) -> usize {
    id.strip_prefix('H').and_then(|number| number.parse::<u8>().ok()).map_or(0, usize::from)
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
