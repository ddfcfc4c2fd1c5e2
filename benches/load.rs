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
#[path = "load/http.rs"]
mod http;
#[path = "load/phases.rs"]
mod phases;
#[path = "load/players.rs"]
mod players;
#[path = "load/playlist.rs"]
mod playlist;
#[path = "load/publishers.rs"]
mod publishers;
#[path = "load/report.rs"]
mod report;
#[path = "load/servers.rs"]
mod servers;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// What to load the servers with.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", about = "Loads the release server and nginx-rtmp, and prints one table")]
pub(crate) struct Load {
    /// Publishers at once
    #[arg(long, default_value_t = 100)]
    publishers: usize,
    /// Low-latency players at once
    #[arg(long, default_value_t = 100)]
    players: usize,
    /// Plain HLS players at once, all on one stream
    #[arg(long, default_value_t = 1_000)]
    plain: usize,
    /// Requests held at once
    #[arg(long, default_value_t = 2_000)]
    held: usize,
    /// Rate of each publisher, in kbit/s
    #[arg(long, default_value_t = 2_500)]
    kilobits: u64,
    /// Length of each measurement, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// A tenth of everything, 5 seconds each
    #[arg(long)]
    quick: bool,
    /// Leave nginx out
    #[arg(long)]
    alone: bool,
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
            seconds: self.seconds.min(5),
            ..self
        }
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds)
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
    match runtime.block_on(phases::run(&load.scaled())) {
        Ok(report) => {
            println!("{}", report.render());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the load bench failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
