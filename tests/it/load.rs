//! The commands that load a server, towards our own.

use std::fs;
use std::process::Output;

use serde_json::Value;

use super::cli::{complaint, ghostlight, home, stdout};
use super::service::Service;
use super::viewers::demo;

/// What a command that was not too busy itself says as JSON, and its exit code.
fn result(output: &Output) -> (Value, Option<i32>) {
    let value: Value =
        serde_json::from_str(&stdout(output)).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (value, output.status.code())
}

/// The exit code of a load in which nothing was missing; a starved machine may say so instead.
fn is_clean(code: Option<i32>) -> bool {
    [Some(0), Some(3)].contains(&code)
}

#[test]
fn a_crowd_sees_every_part_of_the_demo() {
    let (_service, addr) = demo(":");
    let url = format!("http://{addr}/demo/index.m3u8");
    for (conduct, kind) in [(&["--ll"][..], "part_fetched"), (&[][..], "media")] {
        let args = [&["load", &url, "--viewers", "20", "--seconds", "4", "--json"], conduct];
        let (said, code) = result(&ghostlight(home().path(), &args.concat(), &[]));
        let number = |pointer: &str| said.pointer(pointer).and_then(Value::as_u64).expect(pointer);
        assert_eq!(
            (number("/watching"), number("/failures"), number("/stale")),
            (20, 0, 0),
            "{said}"
        );
        assert!(number(&format!("/{kind}/count")) > 0 && number("/bytes") > 100_000, "{said}");
        assert!(is_clean(code) || number("/stalls") > 0, "{said}");
    }
    // A second of playlists alone.
    let args = ["load", &url, "--viewers", "3", "--seconds", "1", "--ll", "--playlists-only"];
    let text = stdout(&ghostlight(home().path(), &args, &[]));
    assert!(text.starts_with("3 of 3 players watched for 1 s\n"), "{text}");
}

#[test]
fn a_crowd_that_must_not_or_cannot_go_is_one_line() {
    let (service, addr) = demo(":");
    let load = |url: &str, viewers: &str| {
        let args = ["load", url, "--viewers", viewers, "--seconds", "1", "--ll"];
        complaint(&ghostlight(home().path(), &args, &[]), 2)
    };
    let line = load("http://192.0.2.1/demo/index.m3u8", "1");
    assert!(line.contains("192.0.2.1:80 is not this machine"), "{line}");
    let line = load(&format!("http://{addr}/nobody/index.m3u8"), "1");
    assert!(line.contains("/nobody/index.m3u8: the server answers 404"), "{line}");
    let line = load(&format!("http://{addr}/demo"), "1");
    assert!(line.contains("/demo is no HLS playlist"), "{line}");
    let away = service.address_of("http");
    drop(service);
    let line = load(&format!("http://{away}/demo/index.m3u8"), "1");
    assert!(line.contains("refused"), "{line}");
}

#[test]
fn many_publishers_have_a_key_each() {
    let home = home();
    let data = home.path().join("data").display().to_string();
    let add =
        |channel| stdout(&ghostlight(home.path(), &["key", "add", channel, "--data", &data], &[]));
    let keys = home.path().join("keys");
    fs::write(&keys, ["c1", "c2"].map(add).concat() + "nobody-has-this-key\n").expect("written");
    let service = Service::start(&["serve", "--http", "127.0.0.1:0", "--data", &data], &[], None);
    let to = format!("rtmp://{}/live/{{key}}", service.address_of("rtmp"));
    let keys = keys.display().to_string();
    let publish = |count: &str| {
        let args = ["publish", "--to", &to, "--keys", &keys, "--count", count];
        let args = [&args[..], &["--loop", "--seconds", "3", "--json"]].concat();
        result(&ghostlight(home.path(), &args, &[]))
    };
    let (said, code) = publish("2");
    assert!(is_clean(code) && said["messages"].as_u64() > Some(100), "{said}");
    assert!(service.log().matches("broadcast started").count() >= 2, "{}", service.log());

    let (said, code) = publish("3");
    assert_eq!(said["failures"].as_array().map(Vec::len), Some(1), "{said}");
    assert!(!said.to_string().contains("nobody-has-this-key"), "{said}");
    assert!([Some(1), Some(3)].contains(&code), "{said}");

    for (to, file, expected) in [
        ("rtmp://192.0.2.1/live/{n}", None, "is not this machine"),
        ("rtmp://127.0.0.1/live/one-for-all", None, "publishers need an address each"),
        ("rtmp://127.0.0.1/live/{key}", None, "takes 2 keys, and --keys gives 0"),
        ("rtmp://127.0.0.1/live/{n}", Some("no-such-file.flv"), "no-such-file.flv"),
    ] {
        let args = ["publish", "--to", to, "--count", "2"];
        let args: Vec<_> = args.into_iter().chain(file).collect();
        let line = complaint(&ghostlight(home.path(), &args, &[]), 2);
        assert!(line.contains(expected), "{line}");
        assert!(!line.contains("one-for-all"), "a key is said: {line}");
    }
}
