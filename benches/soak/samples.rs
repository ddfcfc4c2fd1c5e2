//! What the server holds, again and again, and whether it grows.

use std::fmt::Write;
use std::time::Duration;

use ghostlight::load::Counts;

use super::servers::{Held, Server};

/// Of the whole run, what passes before the samples count, and no less than ...: windows fill, those
/// of ended broadcasts pile up until they are let go after ten minutes, and threads start.
const WARM_UP: f64 = 0.3;
const WARM_UP_SECONDS_MIN: f64 = 700.0;
/// What the last third may be above the first: a tenth, and ...
const GROWTH_MAX: f64 = 1.1;
const MEMORY_SLACK_MIB: f64 = 4.0;
const COUNT_SLACK: f64 = 20.0;
/// A row of the table stands for so many samples.
const ROWS: usize = 20;

/// One look at the server.
#[derive(Clone, Copy, Debug)]
struct Sample {
    seconds: f64,
    memory_mib: f64,
    window_mib: f64,
    descriptors: f64,
    threads: f64,
    requests: u64,
}

#[derive(Debug)]
pub(crate) struct Samples {
    length: Duration,
    all: Vec<Sample>,
}

impl Samples {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, all: Vec::new() }
    }

    pub(crate) fn length(&self) -> Duration {
        self.length
    }

    pub(crate) async fn take(
        &mut self,
        server: &Server,
        since: Duration,
        counts: &Counts,
    ) -> std::io::Result<()> {
        const MIB: f64 = 1_048_576.0;
        let Held { resident_kib, descriptors, threads } = server.held()?;
        let sample = Sample {
            seconds: since.as_secs_f64(),
            memory_mib: f64::from(resident_kib) / 1_024.0,
            window_mib: server.gauge("ghostlight_live_window_bytes").await? / MIB,
            descriptors: f64::from(descriptors),
            threads: f64::from(threads),
            requests: counts.requests,
        };
        self.all.push(sample);
        Ok(())
    }

    /// The samples that count.
    fn warm(&self) -> &[Sample] {
        let from = (self.length.as_secs_f64() * WARM_UP).max(WARM_UP_SECONDS_MIN);
        let at = self.all.partition_point(|sample| sample.seconds < from);
        self.all.get(at..).unwrap_or_default()
    }

    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "  time  memory MiB  window MiB  rest MiB  descriptors  threads  requests"
        );
        let step = self.all.len().div_ceil(ROWS).max(1);
        for sample in self.all.iter().step_by(step) {
            let _ = writeln!(
                text,
                "{:>5.0}s {:>11.1} {:>11.1} {:>9.1} {:>12} {:>8} {:>9}",
                sample.seconds,
                sample.memory_mib,
                sample.window_mib,
                sample.memory_mib - sample.window_mib,
                sample.descriptors,
                sample.threads,
                sample.requests,
            );
        }
        for (name, unit, _, of) in MEASURES {
            let _ = writeln!(text, "{name}: {:+.2} {unit} an hour", self.slope(of) * 3_600.0);
        }
        text
    }

    /// What has grown.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let warm = self.warm();
        let third = warm.len() / 3;
        if third < 5 {
            return vec!["too few samples to judge by".to_owned()];
        }
        let (first, last) = (warm.get(..third), warm.get(warm.len() - third..));
        let mut complaints = Vec::new();
        let mut compare = |name, unit, slack, of: &dyn Fn(&[Sample]) -> f64| {
            let [before, after] = [first, last].map(|part| of(part.unwrap_or_default()));
            if after > before * GROWTH_MAX + slack {
                complaints.push(format!("{name} grew from {before:.1} to {after:.1} {unit}"));
            }
        };
        for (name, unit, slack, of) in MEASURES {
            compare(name, unit, slack, &|part| median(part, of));
        }
        compare("memory beside windows", "MiB", MEMORY_SLACK_MIB, &beside_windows);
        complaints
    }

    /// How steep the line is that fits best, for each second.
    fn slope(&self, of: fn(&Sample) -> f64) -> f64 {
        let warm = self.warm();
        let count = warm.iter().map(|_| 1.0).sum::<f64>();
        let mean = |value: &dyn Fn(&Sample) -> f64| warm.iter().map(value).sum::<f64>() / count;
        let (time, level) = (mean(&|sample| sample.seconds), mean(&of));
        let together = mean(&|sample| (sample.seconds - time) * (of(sample) - level));
        together / mean(&|sample| (sample.seconds - time).powi(2))
    }
}

type Measure = (&'static str, &'static str, f64, fn(&Sample) -> f64);

/// Name, unit, slack, value.
const MEASURES: [Measure; 3] = [
    ("memory", "MiB", MEMORY_SLACK_MIB, |sample| sample.memory_mib),
    ("descriptors", "descriptors", COUNT_SLACK, |sample| sample.descriptors),
    ("threads", "threads", 0.0, |sample| sample.threads),
];

/// What a part of the run took at most beside what its windows took at most: the process keeps what
/// it once had, so that between two peaks of the windows their difference says nothing.
fn beside_windows(samples: &[Sample]) -> f64 {
    let peak = |of: fn(&Sample) -> f64| samples.iter().map(of).fold(0.0, f64::max);
    peak(|sample| sample.memory_mib) - peak(|sample| sample.window_mib)
}

fn median(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<_> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
