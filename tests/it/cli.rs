//! The command line as others script against it: what stands on standard output, which exit code,
//! and one line for everything that is wrong.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

pub(super) fn ghostlight(home: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ghostlight"))
        .args(args)
        .env_clear()
        .env("HOME", home)
        .envs(env.iter().copied())
        .output()
        .expect("the binary runs")
}

pub(super) fn home() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

pub(super) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The one line on standard error of a command that failed with `code`.
pub(super) fn complaint(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    let clauses: Vec<_> = text.trim_end().split(": ").collect();
    let twice = clauses.iter().zip(clauses.iter().skip(1)).any(|(a, b)| a == b);
    assert!(!twice, "said twice: {text}");
    text.trim_end().to_owned()
}

#[test]
fn key_add_prints_the_key_alone_and_makes_the_channel() {
    let home = home();
    let words = ["key", "add", "studio", "--label", "phone", "--rival", "refused"];
    let added = ghostlight(home.path(), &words, &[]);
    assert!(added.status.success(), "{added:?}");
    let key = stdout(&added);
    assert_eq!(key.lines().count(), 1, "{key}");
    let id = key.trim().split('_').next().expect("a public id");

    let listed = stdout(&ghostlight(home.path(), &["key", "list"], &[]));
    assert!(listed.contains(id) && listed.contains("refused  phone"), "{listed}");
    assert!(!listed.contains(key.trim()), "the secret is shown once");
    let channels = stdout(&ghostlight(home.path(), &["channel", "list"], &[]));
    assert!(channels.contains("studio"), "{channels}");
}

#[test]
fn data_may_stand_behind_the_command_or_in_the_environment() {
    let (home, data) = (home(), home());
    let folder = data.path().join("here").display().to_string();
    let added = ghostlight(home.path(), &["key", "add", "studio", "--data", &folder], &[]);
    assert!(added.status.success(), "{added:?}");
    let env = [("GHOSTLIGHT_DATA_DIR", folder.as_str())];
    let listed = stdout(&ghostlight(home.path(), &["channel", "list"], &env));
    assert!(listed.contains("studio"), "{listed}");
}

#[cfg(unix)]
#[test]
fn the_database_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let (home, data) = (home(), home());
    let folder = data.path().join("records").display().to_string();
    ghostlight(home.path(), &["key", "add", "studio", "--data", &folder], &[]);
    let files: Vec<_> = std::fs::read_dir(&folder).expect("the folder").collect();
    assert!(!files.is_empty());
    for file in files {
        let file = file.expect("an entry");
        let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{:?} is {mode:o}", file.path());
    }
}

#[test]
fn wrong_configuration_is_one_line_and_exit_2() {
    let home = home();
    let file = home.path().join("ghostlight.toml");
    std::fs::write(&file, "[hls]\npart = \"soon\"\n").expect("written");
    let path = file.display().to_string();
    let line = complaint(&ghostlight(home.path(), &["--config", &path], &[]), 2);
    assert!(line.contains("ghostlight.toml:2: hls.part = \"soon\""), "{line}");

    let env = [("GHOSTLIGHT_HLS_PRAT", "1s")];
    let line = complaint(&ghostlight(home.path(), &["--check"], &env), 2);
    assert!(line.contains("did you mean hls.part?"), "{line}");

    let env = [("GHOSTLIGHT_SUNSET_PUBLISH_CLOSE_AT", "2027-03-31")];
    let line = complaint(&ghostlight(home.path(), &["serve"], &env), 2);
    assert!(line.contains("publish_close_at"), "{line}");
    assert!(!home.path().join(".local").exists(), "nothing was made");
}

#[test]
fn a_check_tells_what_is_allowed_and_unwise() {
    let home = home();
    let check = |part| ghostlight(home.path(), &["--check"], &[("GHOSTLIGHT_HLS_PART", part)]);
    let (short, usual) = (check("100ms"), check("250ms"));
    assert!(short.status.success() && stdout(&short).starts_with("warning: hls.part = 100ms"));
    assert_eq!((usual.status.success(), &*stdout(&usual)), (true, ""));
}

#[test]
fn a_taken_port_is_one_line_that_names_port_and_setting() {
    let home = home();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("its address").to_string();
    let args = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--rtmp", &addr];
    let env = [("GHOSTLIGHT_LOG_FILTER", "error")];
    let line = complaint(&ghostlight(home.path(), &args, &env), 2);
    let port = taken.local_addr().expect("its address").port().to_string();
    assert!(line.contains(&port) && line.contains("rtmp.listen"), "{line}");
}

#[test]
fn a_data_folder_that_is_a_file_is_one_line() {
    let home = home();
    let file = home.path().join("taken");
    std::fs::write(&file, "").expect("written");
    let path = file.display().to_string();
    let env = [("GHOSTLIGHT_LOG_FILTER", "error")];
    let line = complaint(&ghostlight(home.path(), &["serve", "--data", &path], &env), 2);
    assert!(line.contains("taken"), "{line}");
    let args = ["serve", "--data", "/proc/nobody-makes-this"];
    complaint(&ghostlight(home.path(), &args, &env), 2);
}

#[test]
fn sunset_says_the_phase_by_its_exit_code() {
    let home = home();
    let env = [
        ("GHOSTLIGHT_SUNSET_ANNOUNCED_AT", "2031-01-01T00:00:00Z"),
        ("GHOSTLIGHT_SUNSET_PUBLISH_CLOSE_AT", "2031-03-31 end-of-day Europe/Paris"),
        ("GHOSTLIGHT_SUNSET_GONE_AT", "2032-01-01T00:00:00Z"),
    ];
    for (at, code) in [
        ("2030-12-31T23:59:59.999Z", 0),
        ("2031-01-01T00:00:00Z", 10),
        ("2031-03-31T21:59:59.999Z", 10),
        ("2031-03-31T22:00:00Z", 20),
        ("2031-04-01T02:00:00Z", 30),
        ("2032-01-01T00:00:00Z", 40),
    ] {
        let said = ghostlight(home.path(), &["sunset", "--at", at], &env);
        assert_eq!(said.status.code(), Some(code), "{at}: {said:?}");
        let json = ghostlight(home.path(), &["sunset", "--at", at, "--json"], &env);
        let text = stdout(&json);
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON");
    }
    let none = ghostlight(home.path(), &["sunset"], &[]);
    assert_eq!(none.status.code(), Some(0), "{none:?}");
}

#[test]
fn the_printed_configuration_is_one() {
    let home = home();
    let printed = ghostlight(home.path(), &["--print-config"], &[]);
    assert!(printed.status.success());
    let file = home.path().join("printed.toml");
    std::fs::write(&file, stdout(&printed)).expect("written");
    let path = file.display().to_string();
    let again = ghostlight(home.path(), &["--print-config", "--config", &path], &[]);
    assert_eq!(stdout(&again), stdout(&printed));
}
