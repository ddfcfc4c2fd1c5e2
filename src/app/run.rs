//! From the command line to an exit code.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio_util::sync::CancellationToken;

use super::app::{App, Options};
use super::cli::{Cli, Command, ServeArgs};
use super::command::Inputs;
use super::drain::Signals;
use super::telemetry::Log;
use super::welcome::Welcome;
use super::{demo, keys, publish, sunset};
use crate::accounts::issue_key;
use crate::base::{ChannelId, Rival, SystemClock};
use crate::config::{LogFormat, Sources, load, render};
use crate::gate::{DeclaredInstant, Schedule, build_time};

/// What was asked for is wrong, or the server cannot start: nothing was changed.
const WRONG: u8 = 2;

/// Does what the command line says. Errors are one line on standard error.
pub async fn main() -> ExitCode {
    let Cli { command, serve: plain, config } = Cli::parse();
    let sources = config.sources();
    let done = match command.unwrap_or(Command::Serve(plain)) {
        Command::Serve(args) => serve(&args, args.add_to(sources)).await,
        Command::Demo(args) => serve_demo(args.add_to(sources)).await,
        Command::Publish(args) => publish_file(args).await,
        Command::Key(args) => match inputs(&sources) {
            Ok(inputs) => keys::run_key(&args, &inputs).await.map_err(Failure::failed),
            Err(failure) => Err(failure),
        },
        Command::Channel(args) => match inputs(&sources) {
            Ok(inputs) => keys::run_channel(&args, &inputs).await.map_err(Failure::failed),
            Err(failure) => Err(failure),
        },
        Command::Sunset(args) => match inputs(&sources) {
            Ok(inputs) => sunset::run(&args, &inputs).await.map_err(Failure::wrong),
            Err(failure) => Err(failure),
        },
    };
    done.unwrap_or_else(|failure| {
        complain(&failure.error);
        ExitCode::from(failure.code)
    })
}

/// An error and the exit code that goes with it.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// The command or its configuration is wrong, or the server could not start.
    fn wrong(error: impl Into<anyhow::Error>) -> Self {
        Self { code: WRONG, error: error.into() }
    }

    /// Something failed on the way.
    fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 1, error: error.into() }
    }
}

/// What the commands that work on the data folder need.
fn inputs(sources: &Sources) -> Result<Inputs, Failure> {
    let config = load(sources).map_err(Failure::wrong)?;
    let schedule = Schedule::build(&config.sunset).map_err(Failure::wrong)?;
    Ok(Inputs {
        data: config.data_dir,
        schedule,
        built: build_time(),
        clock: Arc::new(SystemClock::new()),
    })
}

async fn serve(args: &ServeArgs, sources: Sources) -> Result<ExitCode, Failure> {
    let config = load(&sources).map_err(Failure::wrong)?;
    Schedule::build(&config.sunset).map_err(Failure::wrong)?;
    if args.print_config {
        say(&render(&config));
    }
    if args.check {
        config.hls.warnings().iter().for_each(|warning| say(&format!("warning: {warning}\n")));
    }
    if args.check || args.print_config {
        return Ok(ExitCode::SUCCESS);
    }
    let rehearse_at = match &args.simulate_at {
        None => None,
        Some(text) => Some(DeclaredInstant::parse(text).map_err(Failure::wrong)?.at()),
    };
    let log = Log::start(config.log_format, &config.log_filter).map_err(Failure::wrong)?;
    let options = Options { rehearse_at, forget: false };
    let app = App::start(config, options).await.map_err(Failure::wrong)?;
    let welcome = Welcome {
        http: app.http(),
        rtmp: app.rtmp(),
        public_url: app.config().public_url.as_ref(),
        first: app.first(),
        rehearsal: rehearse_at,
    };
    say(&welcome.render());
    app.run(sources, log).await.map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

async fn serve_demo(sources: Sources) -> Result<ExitCode, Failure> {
    let config = load(&sources).map_err(Failure::wrong)?;
    let log = Log::start(config.log_format, &config.log_filter).map_err(Failure::wrong)?;
    let options = Options { rehearse_at: None, forget: true };
    let app = App::start(config, options).await.map_err(Failure::wrong)?;
    let channel = ChannelId::parse(demo::CHANNEL).expect("the name follows the rules");
    let now = app.clock().now().wall;
    let issued = issue_key(&**app.store(), &channel, "demo", Rival::default(), None, now).await;
    let key = issued.map_err(Failure::failed)?.text;
    app.run_demo(key);
    let welcome = Welcome {
        http: app.http(),
        rtmp: app.rtmp(),
        public_url: app.config().public_url.as_ref(),
        first: None,
        rehearsal: None,
    };
    say(&welcome.render_demo(&channel));
    app.run(sources, log).await.map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

async fn publish_file(args: publish::PublishArgs) -> Result<ExitCode, Failure> {
    let _log = Log::start(LogFormat::Text, "warn").map_err(Failure::wrong)?;
    let mut signals = Signals::listen().map_err(Failure::failed)?;
    let stop = CancellationToken::new();
    let published = publish::run(args, stop.clone());
    tokio::pin!(published);
    let ended = tokio::select! {
        biased;
        ended = &mut published => ended,
        () = signals.asked_to_stop() => {
            stop.cancel();
            published.await
        }
    };
    ended.map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Standard output belongs to people and scripts; a closed or full one is no error of ours.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "ghostlight: {error:#}");
}
