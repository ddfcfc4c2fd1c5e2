//! `ghostlight check` as people and build servers run it: on our own server, on the output of
//! another, and where there is nothing to look at.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ghostlight::base::{Clock, SystemClock};
use serde_json::Value;

use super::viewers::demo;

/// Exit code and standard output.
fn check(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ghostlight"))
        .arg("check")
        .args(args)
        .env_clear()
        .output()
        .expect("the binary runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("text"))
}

fn rule<'a>(report: &'a Value, id: &str) -> &'a Value {
    let rules = report["rules"].as_array().expect("a list");
    rules.iter().find(|rule| rule["id"] == id).unwrap_or_else(|| panic!("no {id} in {report:#}"))
}

/// The verdict on ourselves: a broadcast of our own breaks nothing.
#[test]
fn our_own_broadcast_breaks_nothing() {
    let (_service, addr) = demo(":");
    let junit = tempfile::NamedTempFile::new().expect("a file");
    let file = junit.path().to_str().expect("a plain path");
    let url = format!("http://{addr}/demo/index.m3u8");
    let (code, text) = check(&[&url, "--seconds", "9", "--json", "--junit", file]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let broken: Vec<_> = report["rules"].as_array().expect("a list").iter().collect();
    let broken: Vec<_> = broken.iter().filter(|rule| rule["outcome"] == "broken").collect();
    assert!(broken.is_empty(), "{broken:#?}");
    assert_eq!((code, &report["verdict"]), (Some(0), &Value::from("held")));
    for id in ["H1", "H9", "H19", "H32", "H90", "H92", "H94", "H99", "H106", "H107", "H113"] {
        assert_eq!(rule(&report, id)["outcome"], "held", "{id}");
    }
    let junit = std::fs::read_to_string(file).expect("written");
    assert!(junit.contains("<testsuite ") && !junit.contains("<failure"), "{junit}");
}

#[test]
fn what_cannot_be_looked_at_is_one_line_and_code_2() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it");
    let url = format!("http://{nobody}/live.m3u8?token=SECRET");
    let output = Command::new(env!("CARGO_BIN_EXE_ghostlight"))
        .args(["check", &url, "--seconds", "1"])
        .output()
        .expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains("cannot be reached") && !said.contains("SECRET"), "{said}");
    for args in [&["no-address"][..], &["http://h/a.m3u8", "--rule", "H370"]] {
        assert_eq!(check(args).0, Some(2), "{args:?}");
    }
}

/// Whatever is wrong with an address, its passwords and keys are not repeated.
#[test]
fn what_is_wrong_with_an_address_is_said_without_its_secrets() {
    for args in [
        &["check", "http://me:SECRET@h/a.m3u8"][..],
        &["check", "httq://h/a.m3u8?token=SECRET"],
        &["load", "http://me:SECRET@h/a.m3u8", "--viewers", "1"],
        &["publish", "--to", "rtmp://h:99999/live/SECRET"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_ghostlight")).args(args).output();
        let output = output.expect("the binary runs");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!said.contains("SECRET") && said.starts_with("error: "), "{said}");
        assert!(said.contains(if args.contains(&"--to") { "--to" } else { "URL" }), "{said}");
    }
}

/// Files as a server of the older kind writes them, one segment a second: the media sequence
/// begins at 0, a discontinuity leaves the playlist uncounted, and the target duration follows
/// the longest segment listed.
fn older_playlist(now: u64) -> String {
    let target = if now < 5 { 1 } else { 2 };
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:{now}\n#EXT-X-TARGETDURATION:{target}\n"
    );
    for number in now..now + 6 {
        if number == 2 {
            text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        let length = if number == 10 { "2.000" } else { "1.000" };
        text.push_str(&format!("#EXTINF:{length},\nstream-{number}.ts\n"));
    }
    text
}

/// A server that knows nothing but files.
fn serve_files() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("its address");
    let clock = Arc::new(SystemClock::new());
    thread::spawn(move || {
        for io in listener.incoming().flatten() {
            let clock = Arc::clone(&clock);
            thread::spawn(move || answer_files(io, &clock));
        }
    });
    addr
}

/// `clock` began with the server.
fn answer_files(io: TcpStream, clock: &SystemClock) {
    let mut reader = BufReader::new(io);
    loop {
        let (mut line, mut field) = (String::new(), String::new());
        if reader.read_line(&mut line).is_ok_and(|length| length == 0) || line.is_empty() {
            return;
        }
        while field != "\r\n" {
            field.clear();
            if reader.read_line(&mut field).is_ok_and(|length| length == 0) {
                return;
            }
        }
        let path = line.split(' ').nth(1).unwrap_or_default();
        let name = path.split('?').next().unwrap_or_default();
        let (status, kind, body) = if name.ends_with("/live.m3u8") {
            let text = older_playlist(clock.now().mono.since_start().as_secs());
            ("200 OK", "application/vnd.apple.mpegurl", text)
        } else if name.contains("/stream-") {
            // Null packets (ISO 13818-1 2.4.1.4).
            ("200 OK", "video/mp2t", format!("G\x1f\x7f\x10{}", "\x7f".repeat(184)))
        } else {
            ("404 Not Found", "text/html", "no".to_owned())
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{}",
            body.len(),
            if line.starts_with("HEAD ") { "" } else { &body },
        );
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// H11, H17 and H34: the known faults of a server of the older kind are found, with both versions;
/// what only a low-latency server can do is not asked of it.
#[test]
fn the_known_faults_of_an_older_server_are_found() {
    let url = format!("http://{}/live.m3u8", serve_files());
    let (code, text) = check(&[&url, "--seconds", "8", "--json"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(rule(&report, "H17")["outcome"], "advice", "the standard allows it");
    for id in ["H11", "H34", "H109", "H116", "H117"] {
        assert_eq!(rule(&report, id)["outcome"], "broken", "{id}: {:#}", rule(&report, id));
    }
    let changed = &rule(&report, "H11")["findings"][0];
    assert_eq!(changed["before"], "#EXT-X-TARGETDURATION:1", "{changed:#}");
    assert_eq!(changed["now"], "#EXT-X-TARGETDURATION:2", "{changed:#}");
    for id in ["H26", "H73", "H90", "H92", "H101", "H106", "H107"] {
        assert_eq!(rule(&report, id)["outcome"], "not_applicable", "{id}");
    }
    assert!(
        Duration::from_secs_f64(report["watched_seconds"].as_f64().expect("a number"))
            < Duration::from_secs(20)
    );
    let (code, text) = check(&[&url, "--seconds", "2", "--rule", "h1,H9"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("✓ H9 ") && !text.contains("H11 "), "{text}");
}
