//! Every rule of `tests/rules.md` is named by a test that shows it, or excused until a date. What
//! counts as naming is narrow on purpose: ids, a colon and words, in a comment right above a test
//! that runs, or at the start of a comment or a text within it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Sections of the list whose ids a test must name.
const IN_SCOPE_UNTIL: &str = "## Waivers";
const LATER: &str = "## Later";
/// An id with fewer words behind it says nothing.
const WORDS_MIN: usize = 3;

struct List {
    /// Id, and its words.
    rules: BTreeMap<String, String>,
    /// Id, and the day on which it expires.
    waivers: BTreeMap<String, String>,
    later: BTreeSet<String>,
}

/// The first two cells of each row of a table whose first cell is made of ids.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .filter_map(|row| row.split_once(" | "))
        .map(|(ids, rest)| (ids, rest.split(" | ").next().unwrap_or(rest)))
        .filter(|(ids, _)| ids.split(' ').all(is_id))
}

impl List {
    fn parse(text: &str) -> Self {
        let (rules, rest) = text.split_once(IN_SCOPE_UNTIL).expect("a section of waivers");
        let (waivers, later) = rest.split_once(LATER).expect("a section of what comes later");
        let pairs = |text| {
            let mut pairs = BTreeMap::new();
            for (id, words) in rows(text) {
                let before = pairs.insert(id.to_owned(), words.to_owned());
                assert!(before.is_none(), "{id} stands twice");
            }
            pairs
        };
        let later = rows(later).flat_map(|(ids, _)| ids.split(' ')).map(str::to_owned);
        Self { rules: pairs(rules), waivers: pairs(waivers), later: later.collect() }
    }

    /// What is wrong between this list and the tests, as of `today`.
    fn faults(&self, named: &BTreeMap<String, Vec<String>>, today: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for (id, words) in &self.rules {
            if !named.contains_key(id) && !self.waivers.contains_key(id) {
                faults.push(format!("{id} ({words}) is named by no test"));
            }
            if self.later.contains(id) {
                faults.push(format!("{id} is a rule and comes later as well"));
            }
        }
        for (id, until) in &self.waivers {
            let date = until.len() == 10 && until.parse::<jiff::civil::Date>().is_ok();
            if !date || until.as_str() < today {
                faults.push(format!("the waiver of {id} has expired: {until}"));
            }
            if !self.rules.contains_key(id) {
                faults.push(format!("the waiver of {id} is for no rule"));
            }
            if let Some(tests) = named.get(id) {
                faults.push(format!("the waiver of {id} can go: {}", tests.join(", ")));
            }
        }
        for (id, tests) in named {
            if !self.rules.contains_key(id) && !self.later.contains(id) {
                faults.push(format!("{id} is no rule, but named by {}", tests.join(", ")));
            }
        }
        faults
    }
}

/// A letter of the list and a number.
fn is_id(word: &str) -> bool {
    let mut chars = word.chars();
    let letter = chars.next().is_some_and(|c| "HRWDGFXZQ".contains(c));
    let number = chars.as_str();
    letter && (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit())
}

/// `H3`, or all from `Q1-Q3`.
fn ids_of(word: &str) -> Option<Vec<String>> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    if !is_id(first) || !is_id(last) {
        return None;
    }
    let ((letter, first), (same, last)) = (first.split_at(1), last.split_at(1));
    let numbers = first.parse::<u32>().ok()?..=last.parse().ok()?;
    (letter == same).then(|| numbers.map(|number| format!("{letter}{number}")).collect())
}

/// The ids of every `H12, R3 (W4) and W5: words` in a text: ids at its start or after a full stop.
fn named_in(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    let mut rest = text;
    let mut before = String::new();
    while let Some((head, words)) = rest.split_once(':') {
        before.push_str(head);
        let mut found = Vec::new();
        let mut whole = true;
        for word in before.split_whitespace().rev() {
            match (word, ids_of(word.trim_matches(['(', ')', ',']))) {
                ("and", _) => {}
                (_, Some(ids)) => found.extend(ids),
                (_, None) => {
                    whole = word.ends_with('.');
                    break;
                }
            }
        }
        if whole && words.split_whitespace().take(WORDS_MIN).count() == WORDS_MIN {
            named.extend(found);
        }
        before.push(':');
        rest = words;
    }
    named
}

/// Where a line begins a test: the name of the test.
fn test_in(line: &str, attributes: &[String]) -> Option<String> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("test(").or_else(|| line.strip_prefix("await t.test(")) {
        return Some(name.split([',', '{']).next().unwrap_or(name).trim().to_owned());
    }
    let is_test = attributes.iter().any(|a| a.starts_with("#[test]") || a.contains("::test"));
    let ignored = attributes.iter().any(|a| a.starts_with("#[ignore"));
    let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?;
    let name = function.split('(').next().unwrap_or(function);
    (is_test && !ignored).then(|| name.to_owned())
}

/// Every text in a file that may name rules, with the name of its test. Relies on formatted
/// sources: a test ends at the brace that stands as far left as its beginning.
fn test_texts(source: &str) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let (mut comment, mut attributes) = (String::new(), Vec::new());
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if let Some(words) = code.strip_prefix("//") {
            comment.push_str(words.trim_start_matches('/'));
        } else if code.starts_with("#[") {
            attributes.push(code.to_owned());
        } else {
            if let Some(name) = test_in(code, &attributes) {
                texts.push((name.clone(), std::mem::take(&mut comment)));
                let indent = line.len() - code.len();
                let mut inner = String::new();
                for line in lines.by_ref() {
                    let code = line.trim_start();
                    if line.len() - code.len() == indent && code.starts_with('}') {
                        break;
                    }
                    match code.strip_prefix("//") {
                        Some(words) => inner.push_str(words.trim_start_matches('/')),
                        None => texts.push((name.clone(), std::mem::take(&mut inner))),
                    }
                    texts.extend(
                        code.split('"').skip(1).step_by(2).map(|t| (name.clone(), t.into())),
                    );
                }
                texts.push((name, inner));
            }
            comment.clear();
            attributes.clear();
        }
    }
    texts
}

fn named(source: &str) -> BTreeMap<String, Vec<String>> {
    let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (test, text) in test_texts(source) {
        for id in named_in(&text) {
            named.entry(id).or_default().push(test.clone());
        }
    }
    named
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() && !["corpus", "node_modules", "target"].contains(&name.as_str()) {
            collect(&path, files);
        } else if name.ends_with(".rs") || name.ends_with(".mjs") {
            files.push(path);
        }
    }
}

#[test]
fn every_rule_is_named_by_a_test_or_excused_until_a_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("tests/rules.md")).expect("the list of rules");
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    collect(&root.join("tests"), &mut files);
    let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
    // The examples below are none.
    for file in files.iter().filter(|file| !file.ends_with("it/rules.rs")) {
        for (id, tests) in self::named(&fs::read_to_string(file).expect("a readable source")) {
            named.entry(id).or_default().extend(tests);
        }
    }
    let today = jiff::Zoned::now().date().to_string();
    let faults = List::parse(&list).faults(&named, &today);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What `ghostlight check` reports by id can be looked up in the list.
#[test]
fn every_rule_of_the_judge_is_in_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules.md");
    let list = List::parse(&fs::read_to_string(path).expect("the list of rules"));
    let judged = ghostlight::check::RULES.iter().map(|rule| rule.id);
    let known = |id: &str| list.rules.contains_key(id) || list.later.contains(id);
    let unknown: Vec<_> = judged.filter(|id| !known(id)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn only_words_at_a_test_that_runs_name_a_rule() {
    let source = r#"
        // H1: of no test at all.
        fn helper() {}

        // H2 (H3) and W4: words about three rules.
        /// R5-R7: more words in a row. Then words. D8: words after a full stop.
        #[tokio::test(start_paused = true)]
        async fn good() {
            // G9: words within the
            // very test.
            assert!(true, "F10: a text of an assertion");
            let hostile = ("H11", "Z12:", "the H13: not at the start");
        }
        // H14: what follows ends it.
        const A: u8 = 1;
        #[test]
        fn nothing() {}
        // H15
        // H16: bare
        #[test]
        fn without_words() {
        }
        // H17: ignored is not shown.
        #[test]
        #[ignore = "slow"]
        fn ignored() {
        }
        // X18: of a script.
        test("a script", async () => {
            // Q1: inside of it too.
        });
    "#;
    let found: Vec<_> = named(source).into_keys().collect();
    let expected = ["D8", "F10", "G9", "H2", "H3", "Q1", "R5", "R6", "R7", "W4", "X18"];
    assert_eq!(found, expected);
}

#[test]
fn every_fault_of_the_list_is_found() {
    let list = "| H1 | a | s |\n| H2 | a | s |\n| H3 | a | s |\n| H4 | a | s |\n| H5 | a | s |\n\
        ## Waivers\n| H2 | 2026-11-20 | late |\n| H3 | 2026-11-21 | today |\n\
        | H4 | 2099-01-01 | named |\n| H9 | 2099-01-01 | none |\n| H5 | soon | no date |\n\
        ## Later\n| H6 H1 | why |\n";
    let named = named("// H4, H6, H7: some words here.\n#[test]\nfn t() {\n}\n");
    let faults = List::parse(list).faults(&named, "2026-11-21");
    let expected = [
        "H1 (a) is named by no test",
        "H1 is a rule and comes later as well",
        "the waiver of H2 has expired: 2026-11-20",
        "the waiver of H4 can go: t",
        "the waiver of H5 has expired: soon",
        "the waiver of H9 is for no rule",
        "H7 is no rule, but named by t",
    ];
    assert_eq!(faults, expected);
}
