//! Simulated worlds: one seed draws encoders, networks, viewers and a calendar, and plays them
//! against the whole server without its sockets, on one thread and in paused time. Everything it
//! publishes is judged, step by step.
//!
//! An hour takes seconds, optimised: `cargo test --release --test world`. A seed that fails prints
//! itself as a test case that is as small as was found.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "all of it is test, which may do both"
)]

mod camera;
mod chunks;
mod fragment;
mod gate;
mod judge;
mod listing;
mod panics;
mod plan;
mod source;
mod stage;
mod viewer;
mod world;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use plan::{Act, Camera, Plan};
use stage::{Failure, Tally};
use world::play;

const HOUR: u64 = 3_600_000;
const SEEDS: u64 = 20;
/// Seeds, whichever they are, that have everything which must happen somewhere.
const EVERYTHING_FROM: u64 = 100;
/// What must happen somewhere in the ordinary worlds, or they prove less than they seem to.
const SOMETIMES: &[&str] = &[
    "act: cut",
    "act: finish",
    "act: flood",
    "act: format",
    "act: jump",
    "act: no keyframe",
    "act: no picture",
    "act: no sound",
    "act: nonsense",
    "act: odd stamp",
    "act: stall",
    "act: starve",
    "act: take over",
    "act: vanish",
    "a final playlist",
    "broadcast ended: finished",
    "broadcast ended: lost",
    "broadcast ended: service_closed",
    "closing shown",
    "delta offered",
    "discontinuity",
    "gap part",
    "gap segment",
    "hint of an init segment",
    "http_answers_total{route=\"playlist\",status=\"5xx\"}",
    "live_missed_frames_total",
    "publish refused: Denied",
    "publish: goes on",
    "rtmp_connections_ended_total{stage=\"publishing\",reason=\"replaced\",blame=\"policy\"}",
    "rtmp_connections_ended_total{stage=\"publishing\",reason=\"silent\",blame=\"peer\"}",
    "rtmp_connections_ended_total{stage=\"publishing\",reason=\"wire_no_header\",blame=\"peer\"}",
    "rtmp_slowed_total{by=\"speed\"}",
    "rtmp_takeovers_total",
    "the calendar was set back",
    "the calendar was set on",
    "viewer: 400 for nonsense",
    "viewer: 404 for nonsense",
    "viewer: a slow reader was let go",
    "viewer: a whole segment",
    "viewer: got a delta update",
    "viewer: held for too long",
    "viewer: hung up while it waited",
    "viewer: media was gone or missing",
    "viewer: saw the end",
    "viewer: waited for a hinted part",
];
/// Worlds that are played to make a failing one smaller.
const SHRINKS_MAX: usize = 150;

/// Plays a plan that a failure printed.
#[allow(dead_code, reason = "only printed cases call it")]
#[track_caller]
fn replay(printed: &str) {
    let outcome = play(Plan::parse(printed));
    assert_eq!(outcome.failure, None, "{:#?}", outcome.tally);
}

/// Plays the same failure with ever less in it, as long as the same rule breaks.
fn shrink(plan: Plan, failure: Failure) -> (Plan, Failure) {
    let (mut plan, mut failure) = (plan, failure);
    let mut played = 0;
    'smaller: while played < SHRINKS_MAX {
        for smaller in plan.smaller(failure.at) {
            played += 1;
            let found = play(smaller.clone()).failure;
            if let Some(found) = found.filter(|found| found.rule() == failure.rule()) {
                (plan, failure) = (smaller, found);
                continue 'smaller;
            }
            if SHRINKS_MAX <= played {
                break;
            }
        }
        break;
    }
    (plan, failure)
}

/// Plays a seed; a failure comes with its test case.
fn try_seed(seed: u64, millis: u64) -> Result<Tally, String> {
    let plan = Plan::draw(seed, millis);
    let outcome = play(plan.clone());
    let Some(failure) = outcome.failure else { return Ok(outcome.tally) };
    let (small, last) = shrink(plan, failure.clone());
    Err(format!(
        "seed {seed} breaks at {} ms: {}\n\nthe same in short, at {} ms: {}\n\n\
         #[test]\nfn seed_{seed}_holds() {{\n    replay(\n        r#\"{}\"#,\n    );\n}}\n",
        failure.at,
        failure.what,
        last.at,
        last.what,
        small.print()
    ))
}

/// Plays seeds on all processors; what happened in them, counted.
fn play_all(seeds: std::ops::Range<u64>, millis: u64) -> Tally {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new((BTreeMap::new(), Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seeds.end <= seed {
                return;
            }
            let result = try_seed(seed, millis);
            let (all, failures) = &mut *found.lock().expect("nobody panics with it");
            match result {
                Ok(tally) => tally.into_iter().for_each(|(what, count)| {
                    *all.entry(what).or_default() += count;
                }),
                Err(failure) => failures.push(failure),
            }
        }
    };
    thread::scope(|threads| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            threads.spawn(work);
        }
    });
    let (all, failures) = found.into_inner().expect("nobody panics with it");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    all
}

/// X2: the same plan is the same world, to the last byte and millisecond, and a printed plan is the
/// plan.
#[test]
fn a_seed_is_one_world() {
    for seed in [1, 4, 7] {
        let plan = Plan::draw(seed, 240_000);
        assert_eq!(Plan::parse(&plan.print()), plan);
        let (first, second) = (play(plan.clone()), play(plan));
        assert_eq!(first.failure, None);
        assert_eq!((first.trace, first.tally), (second.trace, second.tally));
    }
}

/// D16: an encoder without sound is replaced again and again, while the one before goes on for a
/// moment. Each holds its first pictures back until it is sure that no sound comes, and what both
/// show adds up to nothing.
#[test]
fn takeovers_that_overlap_gain_no_time() {
    let mut plan = Plan { calendar: Vec::new(), ..Plan::draw(2, 1_200_000) };
    plan.channels.truncate(1);
    plan.viewers.clear();
    let channel = &mut plan.channels[0];
    channel.camera =
        Camera { video: true, audio: false, metadata: false, ..channel.camera.clone() };
    let times = (10_000..plan.millis).step_by(9_900);
    channel.events = times.map(|at| (at, Act::TakeOver { overlap: 400 })).collect();
    let outcome = play(plan);
    assert_eq!(outcome.failure, None);
    assert!(outcome.tally["publish: goes on"] > 100, "{:?}", outcome.tally);
}

/// X3, X4, X6, X7: encoders and viewers of every habit in twenty worlds of an hour, judged after
/// every step, and every rare thing happens at least once.
#[test]
fn twenty_hours_hold() {
    play_all_to_the_last_branch(0..SEEDS);
}

/// The same with as many seeds as `WORLD_SEEDS` says, from `WORLD_FIRST` on. A few need not have had
/// everything.
#[test]
#[ignore = "as long as it is asked for; tests/nightly does"]
#[expect(clippy::disallowed_methods, reason = "a test that is told how long to go on")]
fn many_hours_hold() {
    let number = |name, or| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let first = number("WORLD_FIRST", SEEDS);
    match number("WORLD_SEEDS", 200) {
        few @ ..EVERYTHING_FROM => print(&play_all(first..first + few, HOUR)),
        many => play_all_to_the_last_branch(first..first + many),
    }
}

fn play_all_to_the_last_branch(seeds: std::ops::Range<u64>) {
    let tally = play_all(seeds, HOUR);
    print(&tally);
    let never: Vec<_> = SOMETIMES.iter().filter(|what| !tally.contains_key(**what)).collect();
    assert!(never.is_empty(), "no world ever had: {never:#?}");
}

fn print(tally: &Tally) {
    for (what, count) in tally {
        println!("{count:>9} {what}");
    }
}
