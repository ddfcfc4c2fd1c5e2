//! The whole server under load, beside nginx with its RTMP module in the same run:
//! `cargo bench --bench load`. How to read the table: `benches/README.md`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench prints, and keeps the time by itself"
)]

#[path = "load/clip.rs"]
mod clip;
#[path = "load/edge.rs"]
mod edge;
#[path = "load/held.rs"]
mod held;
#[path = "load/ingest.rs"]
mod ingest;
#[path = "load/phases.rs"]
mod phases;
#[path = "load/plain.rs"]
mod plain;
#[path = "load/publishers.rs"]
mod publishers;
#[path = "load/report.rs"]
mod report;
#[allow(dead_code, reason = "shared with the soak, which uses more of it")]
#[path = "load/servers.rs"]
mod servers;
#[path = "load/single.rs"]
mod single;
#[path = "load/stamps.rs"]
mod stamps;
#[path = "load/storm.rs"]
mod storm;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use phases::Phase;
use report::Report;

/// What to load the servers with.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", about = "Loads the release server and nginx-rtmp, and prints one table")]
pub(crate) struct Load {
    /// Publishers at once
    #[arg(long, default_value_t = 200)]
    publishers: usize,
    /// Low-latency players at once, on ten of these streams
    #[arg(long, default_value_t = 100)]
    players: usize,
    /// Plain HLS players at once, all on one stream
    #[arg(long, default_value_t = 1_000)]
    plain: usize,
    /// Requests held at once
    #[arg(long, default_value_t = 20_000)]
    held: usize,
    /// Low-latency players at once, all on one stream of --edge-kilobits
    #[arg(long, default_value_t = 5_000)]
    edge: usize,
    /// Publishers that try to start after the closing instant, in a second
    #[arg(long, default_value_t = 1_000)]
    storm: usize,
    /// Streams that go on meanwhile
    #[arg(long, default_value_t = 100)]
    storm_streams: usize,
    /// Rate of each publisher, in kbit/s
    #[arg(long, default_value_t = 2_500)]
    kilobits: u64,
    /// Rate of the stream that --edge players watch, in kbit/s: their bytes are the machine's limit
    #[arg(long, default_value_t = 300)]
    edge_kilobits: u64,
    /// Length of each measurement, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// A tenth of everything, 5 seconds each
    #[arg(long)]
    quick: bool,
    /// Leave nginx out
    #[arg(long)]
    alone: bool,
    /// Run these phases alone, in this order
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Phase>,
    /// Run everything so many times, and print the medians
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Set by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Load {
    fn scaled(self) -> Self {
        if !self.quick {
            return self;
        }
        Self {
            publishers: self.publishers.div_ceil(10),
            players: self.players.div_ceil(10),
            plain: self.plain.div_ceil(10),
            held: self.held.div_ceil(10),
            edge: self.edge.div_ceil(10),
            storm: self.storm.div_ceil(10),
            storm_streams: self.storm_streams.div_ceil(10),
            seconds: self.seconds.min(5),
            ..self
        }
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn phases(&self) -> Vec<Phase> {
        if self.only.is_empty() { Phase::value_variants().to_vec() } else { self.only.clone() }
    }
}

fn main() -> ExitCode {
    let load = Load::parse();
    if !load.bench {
        println!("this is a bench: cargo bench --bench load");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("two threads");
    let load = load.scaled();
    let runs = (0..load.runs.max(1)).map(|_| runtime.block_on(phases::run(&load))).collect();
    let report = Report::median(runs);
    println!("{}", report.render());
    report.failures().iter().for_each(|failure| eprintln!("failed: {failure}"));
    if report.failures().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
