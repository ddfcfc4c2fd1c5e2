//! Clocks that are set, and clocks that have run for long.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ghostlight::base::WallTime;
use tempfile::TempDir;

use crate::encoder::Encoder;
use crate::machine::{run, waive};
use crate::neighbours::Neighbours;
use crate::shown::{Shown, wait_for};
use crate::stage::{Setup, Stage};

const DAY: i64 = 86_400;

/// A calendar that a test moves, for one server: a library that the loader puts before the C
/// library's own clock.
struct Calendar {
    folder: TempDir,
    library: PathBuf,
}

impl Calendar {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("clock.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/clock.c");
        let out = library.display().to_string();
        run(&["cc", "-shared", "-fPIC", "-O1", "-o", &out, source]).expect("a C compiler");
        let calendar = Self { folder, library };
        fs::write(calendar.file(), 0_i64.to_ne_bytes()).expect("a file");
        calendar
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }

    /// The calendar is so many seconds late or early from now on. The file stays the same one,
    /// since the server has it in its memory.
    fn set(&self, seconds: i64) {
        use std::os::unix::fs::FileExt;
        let file = fs::File::options().write(true).open(self.file()).expect("a file");
        file.write_all_at(&seconds.to_ne_bytes(), 0).expect("written");
    }

    fn setup(&self) -> Setup {
        Setup::default()
            .env("LD_PRELOAD", &self.library.display().to_string())
            .env("CLOCK_OFFSET_FILE", &self.file().display().to_string())
    }
}

/// The day of the month in the server's log lines.
fn today(stage: &Stage) -> String {
    let log = stage.log();
    let line = log.lines().rfind(|line| line.contains("publish accepted")).expect("a publisher");
    line.get(..10).expect("a date").to_owned()
}

/// F17 and D17: the calendar steps by an hour, a day and a year in both directions under five
/// streams. No stream stalls, no viewer is turned away, and keys work on every date.
#[test]
fn steps_of_the_calendar_disturb_no_stream() {
    let calendar = Calendar::new();
    let stage = calendar.setup().start();
    let neighbours = Neighbours::start(&stage);
    let mut days = vec![today(&stage)];
    let targets = stage.keys("dated", 4);
    let steps = [DAY, -DAY, 365 * DAY, -365 * DAY, 3_600, -3_600, 0];
    for (number, offset) in steps.into_iter().enumerate() {
        calendar.set(offset);
        if let Some(target) = targets.get(number) {
            // A new publisher each time: its key is looked up and its broadcast dated.
            let _encoder = Encoder::start(target);
            let playing = |shown: &Shown| 0 < shown.last_part();
            wait_for("it is live", stage.http, &format!("dated{number}"), playing);
            days.push(today(&stage));
        }
        neighbours.wait_for_parts(2);
    }
    days.sort_unstable();
    days.dedup();
    assert_eq!(days.len(), 5, "the calendar was moved: {days:?}");
    neighbours.assert_untouched();
    stage.assert_healthy();
}

/// F18, D19 and D20: once the closing date was reached, neither a calendar that is set back, nor a
/// restart, nor both reopen the gate.
#[test]
fn a_calendar_set_back_over_the_closing_date_reopens_nothing() {
    let calendar = Calendar::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let closing = i64::try_from(now.as_millis()).expect("some years") + DAY * 1_000;
    let mut stage = calendar
        .setup()
        .env("GHOSTLIGHT_SUNSET_PUBLISH_CLOSE_AT", &WallTime::from_unix_millis(closing).to_string())
        .start();
    let (target, other) = (stage.key("late"), stage.key("other"));
    let encoder = Encoder::start(&target);
    wait_for("it is live before the date", stage.http, "late", |shown| 0 < shown.last_part());
    drop(encoder);

    calendar.set(2 * DAY);
    // The server looks at the calendar once a second.
    sleep(Duration::from_millis(2_500));
    let refused = |when: &str| {
        let said = Encoder::start(&other).complaint();
        assert!(
            said.contains("refused") && said.contains("NetStream.Publish.Denied"),
            "{when}: {said}"
        );
    };
    refused("after the date");
    calendar.set(0);
    refused("set back");
    stage.kill();
    stage.restart();
    refused("set back, killed and restarted");
    calendar.set(-DAY);
    stage.signal("TERM");
    assert!(stage.wait().success());
    stage.restart();
    refused("set back further, stopped and restarted");
    stage.assert_healthy();
}

/// F19 and D24: a machine that has run for 49.7 days, when counters of milliseconds in 32 bits
/// wrap. Its monotonic clock passes that point while five streams are watched.
#[test]
fn forty_nine_days_of_uptime_pass_unnoticed() {
    const WRAP_MILLIS: u64 = 1 << 32;
    if let Err(why) = run(&["unshare", "--time", "--monotonic", "1", "true"]) {
        return waive("F19", &why);
    }
    let uptime = fs::read_to_string("/proc/uptime").expect("uptime");
    let up: f64 = uptime.split(' ').next().and_then(|up| up.parse().ok()).expect("a number");
    // Four seconds before the point: the streams start in less, and the test goes on after it.
    let ahead = Duration::from_millis(WRAP_MILLIS).as_secs_f64() - 4.0 - up;
    let offset = format!("{ahead:.0}");
    let launcher = ["unshare", "--time", "--monotonic", &offset, "--boottime", &offset];
    let stage = Setup::default().launcher(&launcher).start();
    let neighbours = Neighbours::start(&stage);
    for _ in 0..6 {
        neighbours.wait_for_parts(4);
    }
    neighbours.assert_untouched();
    stage.assert_healthy();
}
