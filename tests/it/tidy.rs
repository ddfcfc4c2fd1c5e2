//! The walls between the rooms: who may look at whom, where foreign libraries are named, how long
//! a file may grow. A second crate would give the same walls; this test is cheaper.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms it may name. The roof (`app`, `main`) and `testing` may name all.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("media", &["base"]),
    ("gate", &["base"]),
    ("hls", &["base", "media"]),
    ("hub", &["base", "media", "gate"]),
    ("store", &["base"]),
    ("accounts", &["base", "gate", "store"]),
    ("live", &["base", "media", "hub", "hls"]),
    ("rtmp", &["base", "media", "gate", "hub", "accounts"]),
    ("web", &["base", "gate"]),
    ("http", &["base", "gate", "live", "accounts", "web"]),
    ("check", &["base"]),
    ("load", &["base"]),
    ("config", &["base", "gate", "hls", "hub"]),
];

/// A foreign library and the only rooms that may name it.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("rml_rtmp", &["rtmp", "testing"]),
    ("rml_amf0", &["rtmp", "testing"]),
    ("m3u8_rs", &["hls"]),
    // `check` judges HTTP servers, so it is a client of them.
    ("hyper", &["http", "check"]),
    ("hyper_util", &["http", "check"]),
    ("url", &["check"]),
    ("sqlx", &["store"]),
    ("askama", &["web"]),
    ("shiguredo_mp4", &["media", "testing"]),
    ("clap", &["app", "main"]),
    ("toml", &["config"]),
    ("indicatif", &["app"]),
];

/// Ground rooms: no task, no socket.
const GROUND: &[&str] = &["base", "media", "gate", "hls"];

/// Lines a file may have before it needs a reason, and with one.
const LINES_MAX: usize = 500;
const LINES_WITH_REASON_MAX: usize = 900;
/// Files above the first limit, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// The rooms that may compare instants of the calendar, and the one line elsewhere that does: it
/// only spares the gate the question while the answer cannot have changed.
const CALENDAR: &[&str] = &["base", "gate", "testing"];
const SPARES_THE_GATE: &str = "if self.until.is_none_or(|until| now.wall < until + grace) {";

struct Source {
    path: PathBuf,
    room: String,
    /// Without comments and without a test module that lives in the file.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&root).expect("found below src").to_owned();
            let text = fs::read_to_string(&file).expect("readable source");
            let room = path.iter().next().expect("a name").to_string_lossy().replace(".rs", "");
            Source { path, room, lines: text.lines().count(), code: without_comments(&text) }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("readable folder") {
        let path = entry.expect("readable entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// Enough for this purpose: drops line comments, and everything from a `mod tests {` on.
fn without_comments(text: &str) -> String {
    let code = text.split("mod tests {").next().unwrap_or(text);
    code.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part.to_string_lossy().contains("tests"))
}

/// The first path segment after every `crate::`, groups in braces included.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut rooms = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            None => {
                rooms.insert(word(after));
            }
            Some(group) => {
                let mut depth = 1;
                let mut item = String::new();
                for c in group.chars() {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    if depth == 0 || (c == ',' && depth == 1) {
                        rooms.insert(word(&item));
                        item.clear();
                    } else {
                        item.push(c);
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    rooms.remove("");
    rooms
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_scanner_sees_plain_and_grouped_paths() {
    let code = "use crate::base::X; use crate::{hub, media::{A, B}, gate::C}; crate::hls::d()";
    let expected = ["base", "gate", "hls", "hub", "media"].map(str::to_owned);
    assert_eq!(rooms_named(code), BTreeSet::from(expected));
}

#[test]
fn rooms_name_only_the_rooms_they_may() {
    let table: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let Some(allowed) = table.get(source.room.as_str()) else { continue };
        for named in rooms_named(&source.code) {
            let own = named == source.room || (named == "testing" && is_test_file(&source.path));
            let room = table.contains_key(named.as_str()) || named == "app" || named == "testing";
            if room && !own && !allowed.contains(&named.as_str()) && !is_test_file(&source.path) {
                broken.push(format!("{} names {named}", source.path.display()));
            }
        }
    }
    assert_none(&broken);
}

#[test]
fn every_room_is_in_the_table() {
    for source in sources() {
        let roof = ["main", "lib", "app", "testing"].contains(&source.room.as_str());
        let known = MAY_IMPORT.iter().any(|(room, _)| *room == source.room);
        assert!(roof || known, "{} is in no room of the table", source.path.display());
    }
}

/// X1: what decides names no runtime, and each foreign library has its room.
#[test]
fn foreign_libraries_stay_in_their_rooms() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|s| !is_test_file(&s.path)) {
        for (library, rooms) in LIBRARIES {
            let named = source.code.contains(&format!("{library}::"));
            let inside = rooms.contains(&source.room.as_str());
            if named && !inside && source.path != Path::new("web/build.rs") {
                broken.push(format!("{} names {library}", source.path.display()));
            }
        }
        if GROUND.contains(&source.room.as_str()) && source.code.contains("tokio::") {
            broken.push(format!("{} is ground and names tokio", source.path.display()));
        }
    }
    assert_none(&broken);
}

/// Whether a line compares wall time or reads the dates of the schedule to do so.
fn compares_dates(line: &str) -> bool {
    let dates = ["wall", "WallTime", "closing", "publish_close", "broadcasts_end"];
    let compares = [" < ", " <= ", " > ", " >= ", " == ", " != ", ".cmp(", ".until("];
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| dates.contains(&word)) && compares.iter().any(|sign| line.contains(sign))
}

#[test]
fn a_comparison_of_dates_is_seen() {
    for line in ["if now.wall >= closing {", "let left = now.wall.until(at);"] {
        assert!(compares_dates(line), "{line}");
    }
    for line in ["let at: Option<WallTime> = None;", "if now.mono < until {", "if swallowed > 0 {"]
    {
        assert!(!compares_dates(line), "{line}");
    }
}

/// G18: one function decides, and no second place compares dates.
#[test]
fn only_the_gate_compares_dates() {
    let mut broken = Vec::new();
    let mut spared = 0;
    for source in sources().iter().filter(|s| !is_test_file(&s.path)) {
        if CALENDAR.contains(&source.room.as_str()) {
            continue;
        }
        for line in source.code.lines().map(str::trim).filter(|line| compares_dates(line)) {
            if line == SPARES_THE_GATE {
                spared += 1;
            } else {
                broken.push(format!("{}: {line}", source.path.display()));
            }
        }
    }
    assert_none(&broken);
    assert_eq!(spared, 1, "the exception is gone or was copied");
}

/// D15: one place asks for the calendar, so that everything else can be given any.
#[test]
fn only_the_clock_asks_for_the_calendar() {
    let asks = ["SystemTime::now", "Timestamp::now", "Zoned::now", "Utc::now"];
    let mut askers: Vec<_> = sources()
        .iter()
        .filter(|source| !is_test_file(&source.path))
        .filter(|source| asks.iter().any(|ask| source.code.contains(ask)))
        .map(|source| source.path.display().to_string())
        .collect();
    askers.sort();
    // The script of the build stamps when it was built.
    assert_eq!(askers, ["base/time.rs", "web/build.rs"]);
}

/// W53: a statement is a text of ours. The library takes no other, but for this one way around.
#[test]
fn no_statement_is_put_together() {
    for source in sources() {
        let around = source.code.contains("AssertSqlSafe") || source.code.contains("QueryBuilder");
        assert!(!around, "{} puts a statement together", source.path.display());
    }
}

/// W56: the service as it is shipped runs as nobody, and may neither gain nor touch what it does
/// not need.
#[test]
fn the_service_has_no_privileges() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = fs::read_to_string(root.join("docker/ghostlight.service")).expect("the unit");
    let needed = [
        "DynamicUser=yes",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateDevices=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "SystemCallFilter=~@privileged",
    ];
    for line in needed {
        assert!(unit.lines().any(|said| said == line), "{line} is gone");
    }
    let image = fs::read_to_string(root.join("docker/Dockerfile")).expect("the image");
    let base = image.lines().rev().find_map(|line| line.strip_prefix("FROM "));
    assert!(base.is_some_and(|base| base.ends_with(":nonroot")), "{base:?}");
    assert!(!image.lines().any(|line| line.starts_with("USER ")), "nobody else takes over");
    let compose = fs::read_to_string(root.join("docker/compose.yaml")).expect("the composition");
    for line in ["read_only: true", "cap_drop: [ALL]", "- no-new-privileges:true"] {
        assert!(compose.lines().any(|said| said.trim() == line), "{line} is gone");
    }
}

#[test]
fn files_stay_one_idea_long() {
    let reasons: BTreeMap<_, _> = LONG_FILES.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let name = source.path.display().to_string();
        let more = reasons.contains_key(name.as_str()) || is_test_file(&source.path);
        let max = if more { LINES_WITH_REASON_MAX } else { LINES_MAX };
        if source.lines > max {
            broken.push(format!("{name} has {} lines, more than {max}", source.lines));
        }
    }
    assert_none(&broken);
}

#[test]
fn every_room_opens_with_what_it_owns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, _) in MAY_IMPORT {
        let text = fs::read_to_string(root.join(room).join("mod.rs")).expect(room);
        assert!(text.starts_with("//! "), "src/{room}/mod.rs does not say what it owns");
        assert!(text.contains("first"), "src/{room}/mod.rs does not say what to read first");
    }
}

#[test]
fn unfinished_work_is_not_in_the_tree() {
    for source in sources() {
        for mark in ["todo!(", "unimplemented!("] {
            assert!(!source.code.contains(mark), "{} holds {mark}", source.path.display());
        }
    }
}
