use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::app::table;
use crate::load;
use crate::rtmp::client::Target;

/// How often a line is written where there is no terminal to draw a bar on.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows on standard error how far a publication has come: a bar on a terminal, else a line now
/// and then.
#[derive(Debug)]
pub(crate) struct Progress {
    out: Out,
    state: Mutex<State>,
}

#[derive(Debug)]
enum Out {
    Bar(ProgressBar),
    Lines,
    Silent,
}

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    messages: u64,
    late: u64,
    media_millis: u64,
    start: Option<Instant>,
    said: Option<Instant>,
}

impl Progress {
    /// For a file of `bytes`.
    pub(super) fn new(target: &Target, bytes: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            let progress = Self::with(Out::Lines);
            progress.say(&format!("publishing to {target}"));
            return progress;
        }
        let bar = ProgressBar::new(to_u64(bytes));
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}")
            .expect("a template without mistakes")
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(target.to_string());
        Self::with(Out::Bar(bar))
    }

    /// Shows nothing.
    pub(crate) fn silent() -> Self {
        Self::with(Out::Silent)
    }

    fn with(out: Out) -> Self {
        let state = State::default();
        Self { out, state: Mutex::new(state) }
    }

    /// A message went out: its length, its media time, how far the file has been read, and how
    /// late after its time it was.
    pub(super) fn sent(&self, bytes: usize, media_millis: u64, position: usize, late: Duration) {
        let now = Instant::now();
        let mut state = self.state();
        state.bytes = state.bytes.saturating_add(to_u64(bytes));
        state.messages += 1;
        state.late += u64::from(late >= load::Tally::LATE);
        state.media_millis = media_millis;
        state.start.get_or_insert(now);
        match &self.out {
            Out::Bar(bar) => {
                bar.set_message(state.text(now));
                bar.set_position(to_u64(position));
            }
            Out::Lines => {
                let last = *state.said.get_or_insert(now);
                if now.duration_since(last) >= LINE_INTERVAL {
                    state.said = Some(now);
                    self.say(&state.text(now));
                }
            }
            Out::Silent => {}
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    pub(super) fn messages(&self) -> u64 {
        self.state().messages
    }

    /// Of 100 messages, how many were late.
    pub(super) fn late_percent(&self) -> u64 {
        let state = self.state();
        (100 * state.late).checked_div(state.messages).unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    /// Leaves the last state on the screen.
    pub(super) fn finish(&self) {
        match &self.out {
            Out::Bar(bar) => bar.abandon(),
            Out::Lines => {
                self.say(&self.state().text(Instant::now()));
            }
            Out::Silent => {}
        }
    }

    /// One line for the person.
    pub(super) fn say(&self, text: &str) {
        match &self.out {
            Out::Bar(_) | Out::Lines => table::say(text),
            Out::Silent => {}
        }
    }
}

impl State {
    /// `1:02:03  12.3 MB  2.48 Mbit/s`: media time, bytes, and bytes over the time that passed.
    fn text(&self, now: Instant) -> String {
        let seconds = self.media_millis / 1_000;
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        let elapsed = self.start.map_or(0, |start| now.duration_since(start).as_millis());
        let kilobits = u128::from(self.bytes) * 8 / elapsed.max(1);
        format!(
            "{hours}:{minutes:02}:{seconds:02}  {}.{} MB  {}.{:02} Mbit/s",
            self.bytes / 1_000_000,
            self.bytes / 100_000 % 10,
            kilobits / 1_000,
            kilobits / 10 % 100,
        )
    }
}

fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_time_bytes_and_rate() {
        let start = Instant::now();
        let state = State {
            bytes: 12_345_678,
            media_millis: 3_723_999,
            start: Some(start),
            ..State::default()
        };
        let text = state.text(start + Duration::from_secs(40));
        assert_eq!(text, "1:02:03  12.3 MB  2.46 Mbit/s");
    }
}
