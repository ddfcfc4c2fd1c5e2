//! From the command line to an exit code.

use std::io::{self, IsTerminal, Write};
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
use super::{check, demo, keys, load as crowd, publish, sunset};
use crate::accounts::issue_key;
use crate::base::{ChannelId, Rival, SystemClock};
use crate::config::{LogFormat, Sources, load, render};
use crate::gate::{DeclaredInstant, Schedule, build_time};

/// What was asked for is wrong, or the server cannot start: nothing was changed.
const WRONG: u8 = 2;
/// A load whose own process was too busy says nothing about the server.
const TOO_BUSY: u8 = 3;

/// Does what the command line says. Errors are one line on standard error.
pub async fn main() -> ExitCode {
    let Cli { command, serve: plain, config } = Cli::parse();
    let sources = config.sources();
    let done = match command.unwrap_or(Command::Serve(plain)) {
        Command::Serve(args) => serve(&args, args.add_to(sources)).await,
        Command::Demo(args) => serve_demo(args.add_to(sources)).await,
        Command::Publish(args) => publish_file(args).await,
        Command::Load(args) => send_crowd(&args).await,
        Command::Check(args) => check_stream(args, &sources).await,
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
    let as_json = args.json;
    let published = until_stopped(|stop| publish::run(args, stop)).await;
    let published = published.map_err(Failure::failed)?.map_err(|error| match error {
        publish::Unpublished::Wrong(error) => Failure::wrong(error),
        publish::Unpublished::Failed(error) => Failure::failed(error),
    });
    let Some(tally) = published? else { return Ok(ExitCode::SUCCESS) };
    say(&if as_json { format!("{:#}\n", tally.json()) } else { tally.render() });
    Ok(load_code(tally.is_clean(), tally.is_too_busy()))
}

async fn send_crowd(args: &crowd::LoadArgs) -> Result<ExitCode, Failure> {
    // Whatever is an error is known before the first player leaves.
    let watched = until_stopped(|stop| crowd::run(args, stop)).await;
    let outcome = watched.and_then(|outcome| outcome).map_err(Failure::wrong)?;
    say(&if args.json { format!("{:#}\n", outcome.json()) } else { outcome.render() });
    Ok(load_code(outcome.is_clean(), outcome.is_too_busy()))
}

/// The exit code of a load: something was missed, or this process was too busy to judge.
fn load_code(is_clean: bool, is_too_busy: bool) -> ExitCode {
    match (is_too_busy, is_clean) {
        (true, _) => ExitCode::from(TOO_BUSY),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    }
}

/// Runs a command that ends early, but in good order, when a signal asks for it.
/// The outer error is that signals cannot be heard.
async fn until_stopped<T>(command: impl AsyncFnOnce(CancellationToken) -> T) -> anyhow::Result<T> {
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let done = command(stop.clone());
    tokio::pin!(done);
    tokio::select! {
        biased;
        ended = &mut done => Ok(ended),
        () = signals.asked_to_stop() => {
            stop.cancel();
            Ok(done.await)
        }
    }
}

async fn check_stream(args: check::CheckArgs, sources: &Sources) -> Result<ExitCode, Failure> {
    let _log = Log::start(LogFormat::Text, "error").map_err(Failure::wrong)?;
    // https://no-color.org: present and not empty.
    let plain = sources.environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stdout().is_terminal() && !plain;
    let checked = until_stopped(|stop| check::run(args, colour, stop)).await;
    let checked = checked.and_then(|checked| checked).map_err(Failure::wrong)?;
    let check::Checked { text, broken } = checked;
    say(&text);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Standard output belongs to people and scripts; a closed or full one is no error of ours.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn complain(error: &anyhow::Error) {
    let _ = writeln!(io::stderr(), "ghostlight: {error:#}");
}
