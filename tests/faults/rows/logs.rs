//! A log that cannot be written.

use std::net::TcpStream;
use std::time::Duration;

use super::until;
use crate::machine::{SmallDisk, waive};
use crate::neighbours::Neighbours;
use crate::stage::{Setup, Stage, get};

/// Every connection writes lines then.
fn talkative(launcher: &[&str]) -> Stage {
    let setup = Setup::default().env("GHOSTLIGHT_LOG_FILTER", "trace");
    setup.limit("drain_grace", "1s").launcher(launcher).start()
}

/// Connections until lines are lost, beside streams that do not notice.
fn lose_lines(stage: &Stage) {
    let neighbours = Neighbours::start(stage);
    until("lines are lost and counted", Duration::from_secs(20), || {
        for _ in 0..50 {
            drop(TcpStream::connect(stage.rtmp));
            let _ = get(stage.http, "/neighbour0/nothing-here");
        }
        0 < stage.metric("log_lines_lost_total")
    });
    eprintln!("F40: {} lines lost", stage.metric("log_lines_lost_total"));
    neighbours.assert_untouched();
    stage.assert_healthy();
}

/// F40: the disk of the log is full. The server goes on and counts the lines it lost.
#[test]
fn a_full_disk_of_the_log_stops_nothing() {
    let disk = match SmallDisk::new(16 * 1_024) {
        Ok(disk) => disk,
        Err(why) => return waive("F40, full disk", &why),
    };
    let log = disk.path().join("log").display().to_string();
    // What reaches the disk is copied to where the test reads, by a program that ends with it.
    let script = ": >\"$0\"; tail -f -n +1 --pid=$$ \"$0\" >&2 & exec \"$@\" 2>\"$0\"";
    let mut stage = talkative(&["sh", "-c", script, &log]);
    lose_lines(&stage);
    stage.signal("TERM");
    assert!(stage.wait().success());
}

/// F40: whoever reads the log has stopped. The server goes on, counts the lines it lost, and ends
/// when it is asked to.
#[test]
fn a_log_reader_that_has_stopped_stops_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe").display().to_string();
    // Copies what it reads until the server is ready, then holds the pipe without reading.
    let script = "mkfifo \"$0\"; { while IFS= read -r line; do printf '%s\\n' \"$line\" >&2; \
                  case $line in *' ready '*) break;; esac; done; exec sleep 20; } <\"$0\" & \
                  exec \"$@\" 2>\"$0\"";
    let mut stage = talkative(&["sh", "-c", script, &pipe]);
    lose_lines(&stage);
    stage.signal("TERM");
    assert!(stage.wait().success());
}
