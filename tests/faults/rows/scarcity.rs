//! Too few descriptors, too little memory, too little processor time.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::until;
use crate::encoder::Encoder;
use crate::machine::{Quota, waive};
use crate::neighbours::{Neighbours, PART_LATE_MAX};
use crate::shown::wait_for;
use crate::stage::{Setup, get};

/// F24 and W7: a process that may open 256 files is asked for 600 connections of either protocol.
/// Publishers and viewers who are there keep theirs, and when the crowd leaves, newcomers are
/// served again.
#[test]
fn running_out_of_descriptors_ends_no_stream() {
    let shell = ["sh", "-c", "ulimit -n 256 && exec \"$@\"", "sh"];
    let mut stage = Setup::default()
        .limit("rtmp_connections_per_address_max", "1000")
        .limit("rtmp_accepts_per_second_max", "1000")
        .launcher(&shell)
        .start();
    let neighbours = Neighbours::start(&stage);
    let crowd: Vec<_> = (0..600)
        .map(|number| if number % 2 == 0 { stage.http } else { stage.rtmp })
        .map(|addr| TcpStream::connect(addr).expect("the kernel takes it"))
        .collect();
    stage.wait_until("both are told", |stage| {
        let log = stage.log();
        log.contains("out of descriptors") && log.contains("no descriptor for a new connection")
    });
    neighbours.wait_for_parts(4);
    drop(crowd);
    // Whoever came while there was no room is closed without an answer, ten in a second.
    let addr = stage.http;
    until("newcomers are served", Duration::from_secs(30), || {
        get(addr, "/healthz").is_ok_and(|(status, _)| status == 200)
    });
    let encoder = Encoder::start(&stage.key("newcomer"));
    wait_for("a newcomer is live", stage.http, "newcomer", |shown| 0 < shown.last_part());
    drop(encoder);
    neighbours.assert_untouched();
    stage.assert_healthy();
}

/// F25 and W9: with little memory for media the ladder is climbed before the kernel must act: new
/// viewers are turned away, then new broadcasts, and whoever is there stays.
#[test]
fn little_memory_turns_newcomers_away_first() {
    let quota = Quota::new("memory", &[("memory.limit_in_bytes", "96M")]);
    let launcher = match &quota {
        Ok(quota) => quota.launcher(),
        Err(why) => {
            waive("F25", &format!("no limit by the kernel, the ladder is tested alone: {why}"));
            Vec::new()
        }
    };
    let launcher: Vec<_> = launcher.iter().map(String::as_str).collect();
    // Five streams of half a megabit need more than this for their shortest playlists.
    let setup = Setup::default().limit("memory_bytes_max", "3MiB").launcher(&launcher);
    let stage = setup.start();
    let target = stage.key("newcomer");
    let neighbours = Neighbours::start(&stage);
    let climbed = until("the ladder is climbed", Duration::from_secs(20), || {
        3 <= stage.metric("live_memory_pressure")
    });
    let (status, body) = get(stage.http, "/neighbour0/index.m3u8").expect("an answer");
    assert_eq!(status, 503, "{body}");
    let said = Encoder::start(&target).complaint();
    assert!(said.contains("refused"), "{said}");
    neighbours.wait_for_parts(4);
    eprintln!("F25: climbed after {climbed:?}, {} bytes resident", stage.resident_bytes());
    if let Ok(quota) = &quota {
        let fails = quota.read("memory.failcnt");
        assert_eq!(fails.trim(), "0", "the kernel had to reclaim");
    }
    neighbours.assert_untouched();
    stage.assert_healthy();
}

/// F26 and W9: a fifth of a processor or less for five streams and eight viewers who ask without a
/// pause. New viewers are turned away; no publisher is lost and no media is missing. When the crowd leaves,
/// parts are in time again and new viewers are welcome.
#[test]
fn a_starved_processor_keeps_every_publisher() {
    let quota = match Quota::new("cpu", &[("cpu.cfs_period_us", "500000")]) {
        Ok(quota) => quota,
        Err(why) => return waive("F26", &why),
    };
    let launcher = quota.launcher();
    let launcher: Vec<_> = launcher.iter().map(String::as_str).collect();
    let stage = Setup::default().limit("lag_max", "200ms").launcher(&launcher).start();
    let neighbours = Neighbours::start(&stage);
    let stop = AtomicBool::new(false);
    let (allowed, times, newcomer) = thread::scope(|scope| {
        // Also when this ends in a panic, or the scope would wait for them for ever.
        let _leave = Leave(&stop);
        for _ in 0..8 {
            scope.spawn(|| ask_without_a_pause(stage.http, &stop));
        }
        let (allowed, times) = use_up(&quota, || 2 <= stage.metric("live_processor_pressure"));
        let newcomer = get(stage.http, "/neighbour0/index.m3u8").map(|(status, _)| status);
        eprintln!("F26: {} us late on the average", stage.metric("live_lag_micros"));
        (allowed, times, newcomer)
    });
    assert_eq!(newcomer.expect("an answer"), 503);
    neighbours.wait_for_parts(8);
    assert_eq!(stage.metric("rtmp_connections_ended_total"), 0);
    assert_eq!(stage.metric("live_missed_frames_total"), 0);
    let late = neighbours.latency_since(Instant::now() - Duration::from_secs(1));
    eprintln!("F26: {allowed} us of 500 ms, throttled {times} times; afterwards {late:?}");
    assert!(late.max <= PART_LATE_MAX, "{late:?}");
    until("new viewers are welcome", Duration::from_secs(20), || {
        get(stage.http, "/neighbour0/index.m3u8").is_ok_and(|(status, _)| status == 200)
    });
    stage.assert_healthy();
}

/// Tells the crowd to leave.
struct Leave<'a>(&'a AtomicBool);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Allows a fifth, or less on a machine so busy that nobody uses up a fifth, until the server feels
/// it. Answers what was allowed, and how often it was used up.
fn use_up(quota: &Quota, is_felt: impl Fn() -> bool) -> (u32, u32) {
    let throttled = || -> u32 {
        let stat = quota.read("cpu.stat");
        let times = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
        times.and_then(|times| times.trim().parse().ok()).expect("a count")
    };
    for allowed in [100_000, 50_000, 25_000, 12_500] {
        quota.write("cpu.cfs_quota_us", &allowed.to_string());
        sleep(Duration::from_secs(3));
        if 3 < throttled() && is_felt() {
            return (allowed, throttled());
        }
    }
    panic!("the quota is never felt: {}", quota.read("cpu.stat"));
}

/// A hundred questions at a time on one connection, whose answers cost the server more than their
/// reader.
fn ask_without_a_pause(http: SocketAddr, stop: &AtomicBool) {
    const AT_ONCE: usize = 100;
    let questions = "HEAD /neighbour1/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(AT_ONCE);
    let mut viewer = BufReader::new(TcpStream::connect(http).expect("there is room"));
    while !stop.load(Ordering::Relaxed) {
        viewer.get_mut().write_all(questions.as_bytes()).expect("it is read");
        let mut line = String::new();
        for _ in 0..AT_ONCE {
            line.clear();
            while line != "\r\n" {
                line.clear();
                assert_ne!(viewer.read_line(&mut line).expect("an answer"), 0, "closed");
            }
        }
    }
}
