//! What is told of a watch: to people, to programs, and to build servers.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::Seen;
use crate::check::{Finding, Level, Method, Outcome, Rule};

/// Who stood still for more of the time than this says so: in hundredths.
const OWN_DELAY_PERCENT_MAX: u32 = 5;
/// Columns that words are broken to.
const WIDTH: usize = 80;

/// What came of a watch, of all rules or of some.
#[derive(Debug)]
pub struct Report {
    address: String,
    time: Duration,
    own_delay: Duration,
    playlists: usize,
    requests: u64,
    bytes: u64,
    /// Without secrets.
    rows: Vec<(&'static Rule, Outcome)>,
}

/// Where a rule stands in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Held,
    NotApplicable,
    Advice,
    Broken,
}

impl Report {
    /// Of the rules in `only`; of all where that is empty.
    pub fn new(watched: &Seen, only: &[&'static Rule]) -> Self {
        let asked = |rule: &Rule| only.is_empty() || only.iter().any(|one| one.id == rule.id);
        let outcomes = watched.ledger.outcomes().filter(|(rule, _)| asked(rule));
        Self {
            address: watched.address.to_string(),
            time: watched.time,
            own_delay: watched.own_delay,
            playlists: watched.renditions,
            requests: watched.progress.requests,
            bytes: watched.progress.bytes,
            rows: outcomes.map(|(rule, o)| (rule, watched.veil.over_outcome(o))).collect(),
        }
    }

    /// Something binding or recommended is broken.
    pub fn is_broken(&self) -> bool {
        self.rows(Group::Broken).next().is_some()
    }

    fn rows(&self, group: Group) -> impl Iterator<Item = &(&'static Rule, Outcome)> {
        self.rows.iter().filter(move |(_, outcome)| Group::of(outcome) == group)
    }

    fn count(&self, group: Group) -> usize {
        self.rows(group).count()
    }

    /// For a person at a terminal, or for a file where `colour` is off. What was held, or could not
    /// be looked at, is listed by its ids, or in words where they are `asked` for.
    pub fn text(&self, colour: bool, asked: bool) -> String {
        let paint = Paint(colour);
        let mut text = String::new();
        for (group, title) in [
            (Group::Held, "Held"),
            (Group::NotApplicable, "Not applicable"),
            (Group::Advice, "Advice"),
            (Group::Broken, "Broken"),
        ] {
            let count = self.count(group);
            if 0 < count {
                let _ = writeln!(text, "{}", paint.bold(&format!("{title} ({count})")));
                if asked || [Group::Advice, Group::Broken].contains(&group) {
                    self.rows(group).for_each(|row| push_row(&mut text, row, group, paint));
                } else {
                    self.push_ids(&mut text, group);
                }
                text.push('\n');
            }
        }
        if self.time * OWN_DELAY_PERCENT_MAX < self.own_delay * 100 {
            let millis = self.own_delay.as_millis();
            let said = format!("this program itself stood still for {millis} ms, and saw less");
            let _ = writeln!(text, "{}\n", paint.yellow(&said));
        }
        let _ = writeln!(text, "{}", self.last_line(paint));
        text
    }

    /// The ids of a group, those that have the same reason together.
    fn push_ids(&self, text: &mut String, group: Group) {
        let mut reasons: Vec<(&str, String)> = Vec::new();
        for (rule, outcome) in self.rows(group) {
            let why = if let Outcome::NotApplicable(why) = outcome { *why } else { "" };
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, ids)) => *ids = format!("{ids} {}", rule.id),
                None if why.is_empty() => reasons.push((why, rule.id.to_owned())),
                None => reasons.push((why, format!("{why}: {}", rule.id))),
            }
        }
        for (_, ids) in reasons {
            let _ = writeln!(text, "  {}", broken_to_width(&ids, 4, 2));
        }
    }

    fn last_line(&self, paint: Paint) -> String {
        let (held, broken) = (self.count(Group::Held), self.count(Group::Broken));
        let verdict = if 0 < broken {
            paint.red(&format!("{broken} broken"))
        } else {
            paint.green("nothing broken")
        };
        let (megabytes, seconds) = (self.bytes / 100_000, self.time.as_secs());
        format!(
            "{verdict}, {held} held: {} watched for {seconds} s (playlists: {}, requests: {}, MB: {}.{})",
            printable(&self.address),
            self.playlists,
            self.requests,
            megabytes / 10,
            megabytes % 10,
        )
    }

    /// For programs. The shape is described in the help of the command.
    pub fn json(&self) -> Value {
        json!({
            "address": self.address,
            "verdict": if self.is_broken() { "broken" } else { "held" },
            "watched_seconds": self.time.as_secs_f64(),
            "own_delay_seconds": self.own_delay.as_secs_f64(),
            "playlists": self.playlists,
            "requests": self.requests,
            "body_bytes": self.bytes,
            "counts": {
                "held": self.count(Group::Held),
                "broken": self.count(Group::Broken),
                "advice": self.count(Group::Advice),
                "not_applicable": self.count(Group::NotApplicable),
            },
            "rules": self.rows.iter().map(row_json).collect::<Vec<_>>(),
        })
    }

    /// For build servers: one test case for each rule.
    pub fn junit(&self) -> String {
        let name = escape(&format!("ghostlight check {}", self.address));
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"0\" \
             skipped=\"{}\" time=\"{:.3}\">\n",
            self.rows.len(),
            self.count(Group::Broken),
            self.count(Group::NotApplicable),
            self.time.as_secs_f64(),
        );
        for (rule, outcome) in &self.rows {
            let class = method(rule.method);
            let name = escape(&format!("{} {} ({})", rule.id, rule.says, rule.source));
            let _ = write!(text, "  <testcase classname=\"hls.{class}\" name=\"{name}\"");
            push_case(&mut text, outcome);
        }
        text.push_str("</testsuite>\n");
        text
    }
}

fn push_case(text: &mut String, outcome: &Outcome) {
    let _ = match (Group::of(outcome), outcome) {
        (Group::Broken, Outcome::Broken { findings, .. }) => {
            let first = findings.first().map_or("", |finding| &finding.what);
            let mut all = String::new();
            findings.iter().for_each(|finding| push_finding(&mut all, finding, Paint(false)));
            let (first, all) = (escape(first), escape(&all));
            writeln!(text, "><failure message=\"{first}\">\n{all}</failure></testcase>")
        }
        (_, Outcome::NotApplicable(why)) => {
            writeln!(text, "><skipped message=\"{}\"/></testcase>", escape(why))
        }
        (_, Outcome::Held { .. } | Outcome::Broken { .. }) => writeln!(text, "/>"),
    };
}

impl Group {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Held { .. } => Self::Held,
            Outcome::NotApplicable(_) => Self::NotApplicable,
            Outcome::Broken { findings, .. } => {
                let advice = findings.iter().all(|finding| finding.level == Level::Advice);
                if advice { Self::Advice } else { Self::Broken }
            }
        }
    }
}

fn push_row(text: &mut String, (rule, outcome): &(&Rule, Outcome), group: Group, paint: Paint) {
    let id = format!("{:<4}", rule.id);
    let mark = match group {
        Group::Held => paint.green(&format!("✓ {id}")),
        Group::NotApplicable => paint.dim(&format!("- {id}")),
        Group::Advice => paint.yellow(&format!("i {id}")),
        Group::Broken => paint.red(&format!("✗ {id}")),
    };
    let more = match outcome {
        Outcome::Held { .. } => String::new(),
        Outcome::NotApplicable(why) => format!(": {why}"),
        Outcome::Broken { count, looked, .. } if group == Group::Advice => {
            format!(": {count} of {looked} times not so")
        }
        Outcome::Broken { count, looked, .. } => format!(": {count} of {looked} times broken"),
    };
    let words = format!("{} [{}, {}]{more}", rule.says, level(rule.level), rule.source);
    let _ = writeln!(text, "  {mark} {}", broken_to_width(&words, INDENT, INDENT));
    if let Outcome::Broken { findings, .. } = outcome {
        findings.iter().for_each(|finding| push_finding(text, finding, paint));
    }
}

/// Columns before the words of a row, and of what was found.
const INDENT: usize = 9;

/// Words in lines of [`WIDTH`] columns. The first begins after so many columns, and the others are
/// moved to the right; a word that is longer stands by itself.
fn broken_to_width(words: &str, indent: usize, first: usize) -> String {
    let (mut lines, mut column) = (String::new(), first);
    for word in words.split(' ') {
        let length = word.chars().count();
        if !lines.is_empty() && WIDTH <= column + length {
            let _ = write!(lines, "\n{:indent$}", "");
            column = indent;
        } else if !lines.is_empty() {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

fn push_finding(text: &mut String, finding: &Finding, paint: Paint) {
    let place = &finding.place;
    let what = broken_to_width(&printable(&finding.what), INDENT, INDENT);
    let _ = writeln!(text, "{:INDENT$}{what}", "");
    let mut at = place.url.clone();
    if let Some(line) = place.line {
        let _ = write!(at, " line {line}");
    }
    if let Some(bytes) = &place.bytes {
        let _ = write!(at, " bytes {}-{}", bytes.start, bytes.end);
    }
    let _ = writeln!(text, "           {}", paint.dim(&format!("at     {}", printable(&at))));
    for (name, said) in [("before", &place.before), ("now   ", &place.now)] {
        for line in said.iter().flat_map(|said| said.lines()) {
            let line = printable(line);
            let _ = writeln!(text, "           {}", paint.dim(&format!("{name} {line}")));
        }
    }
}

fn row_json((rule, outcome): &(&'static Rule, Outcome)) -> Value {
    let mut row = json!({
        "id": rule.id,
        "says": rule.says,
        "source": rule.source,
        "level": level(rule.level),
        "method": method(rule.method),
    });
    let more = match outcome {
        Outcome::Held { looked } => json!({ "outcome": "held", "looked": looked }),
        Outcome::NotApplicable(why) => json!({ "outcome": "not_applicable", "why": why }),
        Outcome::Broken { count, looked, findings } => json!({
            "outcome": if Group::of(outcome) == Group::Advice { "advice" } else { "broken" },
            "looked": looked,
            "broken": count,
            "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
        }),
    };
    if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
        row.extend(more);
    }
    row
}

fn finding_json(finding: &Finding) -> Value {
    let place = &finding.place;
    json!({
        "what": finding.what,
        "level": level(finding.level),
        "url": place.url,
        "line": place.line,
        "byte_start": place.bytes.as_ref().map(|bytes| bytes.start),
        "byte_end": place.bytes.as_ref().map(|bytes| bytes.end),
        "before": place.before,
        "now": place.now,
    })
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Must => "must",
        Level::Should => "should",
        Level::Advice => "advice",
    }
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Lint => "lint",
        Method::Diff => "diff",
        Method::Media => "media",
        Method::Time => "time",
        Method::Http => "http",
    }
}

/// What a server says may hold anything, escape sequences for terminals included.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Text of an XML attribute or element; XML 1.0 has no control characters but line ends.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Colours, where they are wanted (ECMA-48 8.3.117).
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: u8, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.with(1, text)
    }

    fn dim(self, text: &str) -> String {
        self.with(2, text)
    }

    fn red(self, text: &str) -> String {
        self.with(31, text)
    }

    fn green(self, text: &str) -> String {
        self.with(32, text)
    }

    fn yellow(self, text: &str) -> String {
        self.with(33, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::watch::{Address, Progress, veil::Veil};
    use crate::check::{Ledger, Place, RULES};

    fn report(only: &[&str]) -> Report {
        let (mut ledger, mut veil) = (Ledger::default(), Veil::default());
        veil.hide("token=SECRET");
        ledger.looked("H1");
        let place = Place::line("http://h/a.m3u8?token=SECRET", 3, "#EXT-X-TARGETDURATION:3");
        let place = place.before("#EXT-X-TARGETDURATION:2\u{1b}[2J");
        ledger.broken(Finding::new("H11", "it was <2> & \"is\" 3".to_owned(), place));
        let place = Place::bytes("http://h/SECRET/s1.ts?token=SECRET", 4..8);
        ledger.broken(Finding::new("H71", "one bit rate".to_owned(), place));
        let watched = Seen {
            address: Address::parse("http://h/a.m3u8?token=SECRET").unwrap(),
            time: Duration::from_millis(30_500),
            own_delay: Duration::from_millis(250),
            renditions: 1,
            progress: Progress { requests: 7, bytes: 1_250_000, versions: 3, broken: 1 },
            ledger,
            veil,
        };
        let only: Vec<_> = only.iter().map(|id| Rule::find(id).unwrap()).collect();
        Report::new(&watched, &only)
    }

    #[test]
    fn people_read_what_is_broken_last_and_no_secret() {
        let text = report(&["H1", "H11", "H71", "H30"]).text(false, true);
        let expected = "Held (1)
  ✓ H1   a playlist is known by its path (.m3u8) or its media type [must,
         draft-22 4]

Not applicable (1)
  - H30  after the end every delivery directive is ignored [must, draft-22
         6.2.5]: nothing of the kind was seen

Advice (1)
  i H71  video is offered at several bit rates [advice, Apple 9.9]: 1 of 1 times
         not so
         one bit rate
           at     http://h/…/s1.ts?token=… bytes 4-8

Broken (1)
  ✗ H11  the target duration never changes [must, draft-22 6.2.1]: 1 of 1 times
         broken
         it was <2> & \"is\" 3
           at     http://h/a.m3u8?token=… line 3
           before #EXT-X-TARGETDURATION:2\u{fffd}[2J
           now    #EXT-X-TARGETDURATION:3

1 broken, 1 held: http://h/a.m3u8?token=… watched for 30 s (playlists: 1, requests: 7, MB: 1.2)
";
        assert_eq!(text, expected);
        let coloured = report(&["H11"]).text(true, true);
        assert!(coloured.contains("\u{1b}[31m✗ H11 \u{1b}[0m"), "{coloured}");
        assert!(!coloured.contains("\u{1b}[2J"), "{coloured}");
    }

    /// A hundred rules that were held are no hundred lines, and no line is longer than a terminal.
    #[test]
    fn what_is_well_is_said_shortly() {
        let whole = report(&[]).text(false, false);
        let (well, rest) = whole.split_once("\nAdvice (1)\n").unwrap();
        assert!(well.starts_with("Held (1)\n  H1\n\nNot applicable ("), "{well}");
        assert!(well.contains("\n  nothing of the kind was seen: H2 H3 "), "{well}");
        assert!(well.contains(" H118\n") && well.lines().count() < 16, "{well}");
        assert!(rest.contains("✗ H11  the target duration never changes"), "{rest}");
        let long = |text: &str| text.lines().find(|l| WIDTH < l.chars().count()).map(str::to_owned);
        assert_eq!(long(well), None);
        let words = report(&[]).text(false, true);
        assert_eq!(words.lines().filter(|line| line.starts_with("  - ")).count(), RULES.len() - 3);
        let (words, _) = words.split_once("\nBroken").unwrap();
        assert_eq!(long(words), None);
        assert_eq!(broken_to_width(&"x".repeat(99), 4, 2), "x".repeat(99));
    }

    #[test]
    fn only_what_is_asked_for_counts() {
        assert!(report(&[]).is_broken());
        assert!(!report(&["H1", "H71"]).is_broken(), "advice is no fault");
        assert_eq!(report(&["H1"]).json()["rules"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn who_stood_still_for_long_says_so() {
        let mut report = report(&[]);
        assert!(!report.text(false, false).contains("stood still"));
        report.own_delay = Duration::from_millis(2_000);
        let text = report.text(false, false);
        assert!(text.contains("\nthis program itself stood still for 2000 ms, and saw less\n"));
    }

    #[test]
    fn programs_read_places_and_units() {
        let json = report(&[]).json();
        assert_eq!(json["verdict"], "broken");
        assert_eq!(
            (&json["watched_seconds"], &json["own_delay_seconds"]),
            (&json!(30.5), &json!(0.25))
        );
        assert_eq!(json["counts"]["broken"], 1);
        assert_eq!(json["counts"]["advice"], 1);
        let rules = json["rules"].as_array().unwrap();
        assert_eq!(rules.len(), crate::check::RULES.len());
        let row = rules.iter().find(|row| row["id"] == "H11").unwrap();
        assert_eq!((&row["outcome"], &row["method"]), (&json!("broken"), &json!("diff")));
        assert_eq!(row["findings"][0]["line"], 3);
        assert!(!json.to_string().contains("SECRET"));
    }

    #[test]
    fn build_servers_read_one_case_for_each_rule() {
        let text = report(&[]).junit();
        assert_eq!(text.matches("<testcase ").count(), crate::check::RULES.len());
        assert!(text.contains(" failures=\"1\" "), "{text}");
        assert!(text.contains("<failure message=\"it was &lt;2&gt; &amp; &quot;is&quot; 3\">"));
        assert!(!text.contains('\u{1b}') && !text.contains("SECRET"), "{text}");
        assert_eq!(text.matches("<skipped ").count(), crate::check::RULES.len() - 3);
    }
}
