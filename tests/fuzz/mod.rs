//! Every input of the corpus through its target, and a bounded number of its mutations. A target
//! is one call into `testing`; what must hold is asserted there.

mod http;
mod playlist;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ghostlight::testing::{
    fuzz, fuzz_check, fuzz_chunks, fuzz_http, fuzz_mp4, fuzz_rtmp, fuzz_tags,
};

pub(super) type Target = fn(&[u8]);

/// Folder of the corpus, its target, how many mutations an ordinary run tries, and what of
/// `tests/rules.md` it is.
pub(super) const TARGETS: &[(&str, Target, u32, &[&str])] = &[
    ("handshake", fuzz_rtmp::handshake, 300, &["Z1"]),
    ("wire", fuzz_rtmp::wire, 2_000, &["Z2"]),
    ("chunks", fuzz_chunks::chunks, 500, &["Z2"]),
    ("amf", fuzz_rtmp::amf, 2_000, &["Z3"]),
    ("session", fuzz_rtmp::session, 200, &["Z4"]),
    ("conn", fuzz_rtmp::conn, 400, &["Z2", "Z3", "Z4"]),
    ("flv_tag", fuzz::flv_tag, 3_000, &["Z5"]),
    ("enhanced", fuzz_tags::enhanced, 2_000, &["Z5"]),
    ("flv_file", fuzz::flv_file, 1_000, &["Z5"]),
    ("codec_config", playlist::codec_config, 3_000, &["Z6", "Z10"]),
    ("nal", fuzz_tags::nal, 300, &["Z7"]),
    ("intake", fuzz::intake, 200, &["Z8"]),
    ("segmenter", playlist::segmenter, 60, &["Z8", "Z10", "Z11"]),
    ("judge", fuzz_check::judge, 300, &["Z9", "Z10", "Z11"]),
    ("fmp4", fuzz_mp4::fmp4, 1_000, &["Z9"]),
    ("route", fuzz_http::route, 2_000, &["Z12"]),
    ("query", fuzz_http::query, 2_000, &["Z12"]),
    ("http", http::http, 200, &["Z13"]),
    ("h2", http::h2, 150, &["Z13"]),
    ("tls", http::tls, 40, &["Z13"]),
];

/// The same mutations in every run: a failure is found again.
const SEED: u64 = 0x6768_6f73_746c_6967;
/// A mutated input grows no longer than this.
const INPUT_BYTES_MAX: usize = 64 * 1_024;

/// Numbers at which something turns, in the widths that protocols use.
const TURNS: &[&[u8]] = &[
    &[0],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0, 0],
    &[0xff, 0xff],
    &[0, 0, 0],
    &[0xff, 0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// Name and bytes of every input of a target, in the order of the names.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<_> = fs::read_dir(corpus().join(target))
        .unwrap_or_else(|error| panic!("the corpus of {target}: {error}"))
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a readable input"))
        })
        .collect();
    inputs.sort();
    inputs
}

/// Runs a target and, where it panics, says what to keep as a regression.
fn run(name: &str, target: Target, what: &str, input: &[u8]) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let file = std::env::temp_dir().join(format!("ghostlight-{name}"));
        let kept =
            fs::write(&file, input).map_or_else(|e| e.to_string(), |()| file.display().to_string());
        let cause = cause
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(cause.downcast_ref::<&str>().copied())
            .unwrap_or("a panic");
        panic!("{name}, {what}: {cause}\nthe input: {kept}");
    }
}

/// xorshift64*: enough to choose bytes with, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).expect("a length");
        usize::try_from(self.next() % end).expect("below a length")
    }

    /// A place in so many bytes, and one at most `longest` after it.
    fn range(&mut self, bytes: usize, longest: usize) -> (usize, usize) {
        let at = self.below(bytes + 1);
        (at, bytes.min(at + self.below(longest + 1)))
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        of.get(self.below(of.len())).expect("something to pick")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes().first().copied().unwrap_or_default()
    }
}

/// One to eight small changes, sometimes with a piece of another input.
fn mutate(input: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=chance.below(8) {
        let (at, end) = chance.range(bytes.len(), 32);
        match chance.below(6) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << chance.below(8);
                }
            }
            1 => {
                let byte = chance.byte();
                bytes.splice(at..end.min(at + 1), [byte]);
            }
            2 => {
                bytes.splice(at..end, []);
            }
            3 => {
                let turn = chance.pick(TURNS);
                bytes.splice(at..bytes.len().min(at + turn.len()), turn.iter().copied());
            }
            4 => {
                let piece: Vec<_> = bytes.iter().skip(at).take(end - at).copied().collect();
                let (to, _) = chance.range(bytes.len(), 0);
                bytes.splice(to..to, piece);
            }
            _ => {
                let (from, until) = chance.range(other.len(), 64);
                let piece = other.iter().skip(from).take(until - from);
                bytes.splice(at..at, piece.copied());
            }
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn run_mutations(name: &str, target: Target, seed: u64, count: u32) {
    let inputs = inputs(name);
    let mut chance = Chance(seed);
    for round in 0..count {
        let (from, input) = chance.pick(&inputs);
        let (_, other) = chance.pick(&inputs);
        let input = mutate(input, other, &mut chance);
        run(name, target, &format!("mutation {round} of {from}, seed {seed:#x}"), &input);
    }
}

/// Z1-Z13: every kind of bytes has a target.
#[test]
fn every_kind_of_bytes_has_a_target() {
    let kinds: BTreeSet<_> = TARGETS.iter().flat_map(|(.., kinds)| *kinds).copied().collect();
    let expected: Vec<_> = (1..=13).map(|number| format!("Z{number}")).collect();
    assert_eq!(kinds, expected.iter().map(String::as_str).collect());
}

#[test]
fn every_folder_is_a_target() {
    let mut folders: Vec<_> = fs::read_dir(corpus())
        .expect("the corpus")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let mut names: Vec<_> = TARGETS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    names.sort();
    assert_eq!(folders, names);
}

#[test]
fn every_input_of_the_corpus_is_judged() {
    for (name, target, ..) in TARGETS {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (what, input) in inputs {
            run(name, *target, &what, &input);
        }
    }
}

#[test]
fn some_mutations_of_every_input_are_judged() {
    for (name, target, count, _) in TARGETS {
        run_mutations(name, *target, SEED, *count);
    }
}

/// How long each target runs in the long run, unless `GHOSTLIGHT_FUZZ_SECONDS` says otherwise.
const LONG_RUN: Duration = Duration::from_secs(60);

/// `GHOSTLIGHT_FUZZ_SECONDS=60 cargo test --release --test it -- --ignored fuzz_for`: so long for
/// each target, or for the one named by `GHOSTLIGHT_FUZZ_TARGET`, with other seeds each time.
#[test]
#[ignore = "runs for as long as it is told"]
#[expect(clippy::disallowed_methods, reason = "a budget of real time, and a seed of its own")]
fn fuzz_for_a_while() {
    let setting = |name| std::env::var(name).ok();
    let seconds = setting("GHOSTLIGHT_FUZZ_SECONDS").map(|text| text.parse().expect("seconds"));
    let budget = seconds.map_or(LONG_RUN, Duration::from_secs);
    let only = setting("GHOSTLIGHT_FUZZ_TARGET");
    let known = |name: &str| TARGETS.iter().any(|(target, ..)| *target == name);
    assert!(only.as_deref().is_none_or(known), "no target is called {only:?}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let mut seed = u64::try_from(now & u128::from(u64::MAX)).expect("masked") | 1;
    for (name, target, ..) in
        TARGETS.iter().filter(|(name, ..)| only.as_deref().is_none_or(|o| o == *name))
    {
        let (begun, mut inputs) = (Instant::now(), 0_u64);
        while begun.elapsed() < budget {
            run_mutations(name, *target, seed, 50);
            seed = seed.wrapping_add(2);
            inputs += 50;
        }
        println!("{name}: {inputs} inputs in {:.0?}", begun.elapsed());
    }
}
