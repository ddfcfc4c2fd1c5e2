//! The streams, one after the other, under the eyes of `ghostlight check`.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// How long each stream is watched, most often over a change of publishers.
const WATCH_SECONDS: &str = "20";
/// After a look at a stream that had just ended.
const PAUSE: Duration = Duration::from_secs(1);

/// A judge at work in a thread of its own.
#[derive(Debug)]
pub(crate) struct Judge {
    verdicts: Arc<Mutex<Verdicts>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What it has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) held: u64,
    /// Looks between two broadcasts, when there is nothing to see.
    pub(crate) unseen: u64,
    /// One for each broken rule of a look.
    pub(crate) broken: Vec<String>,
    /// The same for rules about time, which a machine without time to spare breaks too.
    pub(crate) late: Vec<String>,
}

impl Judge {
    pub(crate) fn start(addr: SocketAddr, streams: usize) -> Self {
        let verdicts = Arc::<Mutex<Verdicts>>::default();
        let stop = Arc::<AtomicBool>::default();
        let (to, stopped) = (Arc::clone(&verdicts), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            for stream in (0..streams).cycle() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let url = format!("http://{addr}/c{stream}/index.m3u8");
                let output = check(&url);
                let mut verdicts = to.lock().unwrap_or_else(PoisonError::into_inner);
                verdicts.add(&url, output);
            }
        });
        Self { verdicts, stop, thread }
    }

    /// Lets it end its last look.
    pub(crate) fn finish(self) -> Verdicts {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the judge does not panic");
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn check(url: &str) -> std::io::Result<Output> {
    let binary = env!("CARGO_BIN_EXE_ghostlight");
    let words = ["check", url, "--seconds", WATCH_SECONDS, "--json"];
    let output = Command::new(binary).args(words).output()?;
    if output.status.code() == Some(2) {
        thread::sleep(PAUSE);
    }
    Ok(output)
}

impl Verdicts {
    fn add(&mut self, url: &str, output: std::io::Result<Output>) {
        match output.as_ref().map(|output| output.status.code()) {
            Ok(Some(0)) => self.held += 1,
            Ok(Some(2)) => self.unseen += 1,
            _ => {
                let text = output.map(|output| output.stdout).unwrap_or_default();
                let said: Value = serde_json::from_slice(&text).unwrap_or_default();
                let rules = said.get("rules").and_then(Value::as_array).into_iter().flatten();
                let broken: Vec<_> =
                    rules.filter(|rule| word(rule, "outcome") == "broken").collect();
                if broken.is_empty() {
                    self.broken.push(format!("{url}: the judge failed"));
                }
                for rule in broken {
                    let what = rule.pointer("/findings/0").unwrap_or(&Value::Null);
                    let text =
                        format!("{url}: {} {}: {what}", word(rule, "id"), word(rule, "says"));
                    let timed = word(rule, "method") == "time";
                    if timed { self.late.push(text) } else { self.broken.push(text) }
                }
            }
        }
    }
}

fn word<'a>(rule: &'a Value, name: &str) -> &'a str {
    rule.get(name).and_then(Value::as_str).unwrap_or_default()
}
