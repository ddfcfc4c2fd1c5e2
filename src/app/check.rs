//! `ghostlight check`: watches a stream, ours or anybody's, and says which rules it keeps.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch::channel;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::quiet::Quiet;
use crate::base::{Clock, SystemClock};
use crate::check::watch::{self, Address, Progress, Report, Settings};
use crate::check::{RULES, Rule};

const SECONDS_MAX: u64 = 7 * 24 * 3_600;
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Rules named beside one that does not exist.
const NEAR_MAX: usize = 4;

const ABOUT: &str = "\
Watches any HLS or low-latency HLS address as a player would and says which rules it keeps.

It follows every rendition of a multivariant playlist (or the one media playlist), reloads with the \
delivery directives that the server offers, compares every version with the one before, fetches \
init segments, parts and segments at the live edge, and makes some thirty more requests, one after \
the other, to see how the server answers what players rarely ask.

Each rule is held, broken (with the place: address, line or bytes, and what stood there before and \
stands there now) or not applicable to this stream. A rule that only advises breaks nothing.

Exit code: 0 nothing is broken, 1 something is, 2 nothing could be looked at.

--json prints one object: address, verdict (\"held\" or \"broken\"), watched_seconds, \
own_delay_seconds (how long this program itself stood still, which nobody is blamed for), \
playlists, requests, body_bytes, counts {held, broken, advice, not_applicable} and rules, a list \
of {id, says, source, level (must, should, advice), method (lint, diff, media, time, http), \
outcome (held, broken, advice, not_applicable), looked (times), broken (times), why, findings}. \
A finding is {what, level, url, line (from 1), byte_start, byte_end, before, now}.

Values in the queries of addresses are not shown, since they may be secrets; where a playlist \
puts them elsewhere (EXT-X-DEFINE:QUERYPARAM), those of four bytes and more. A playlist at a \
public address is not followed into private networks without --allow-private. Certificates are \
checked against those of the system; SSL_CERT_FILE names others.";

#[derive(Clone, Debug, Args)]
#[command(long_about = ABOUT)]
pub struct CheckArgs {
    /// The playlist: http:// or https://, multivariant or media
    #[arg(value_name = "URL", value_parser = Quiet(Address::parse))]
    pub address: Address,
    /// How long to watch; a stream that ends is done sooner
    #[arg(
        long, value_name = "N", default_value = "30",
        value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX)
    )]
    pub seconds: u64,
    /// Say every rule in words, those that were held and those not applicable too
    #[arg(long)]
    pub all: bool,
    /// Print JSON instead of words
    #[arg(long)]
    pub json: bool,
    /// Write a JUnit report as well
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Follow a public playlist to addresses of private networks too, such as 10.0.0.1
    #[arg(long)]
    pub allow_private: bool,
    /// Report these rules only, such as H37; may be repeated, or name several with commas
    #[arg(long = "rule", value_name = "ID", value_delimiter = ',', value_parser = parse_rule)]
    pub rules: Vec<&'static Rule>,
}

/// What to print, and whether a rule is broken.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) text: String,
    pub(super) broken: bool,
}

/// Watches and reports. An error means that nothing could be looked at, or not be written down.
pub(super) async fn run(
    args: CheckArgs,
    colour: bool,
    stop: CancellationToken,
) -> anyhow::Result<Checked> {
    // Before the watch, which would be lost.
    let junit = args.junit.as_ref().map(|file| {
        fs::File::create(file)
            .with_context(|| file.display().to_string())
            .map(|opened| (file, opened))
    });
    let junit = junit.transpose()?;
    let time = Duration::from_secs(args.seconds);
    let settings = Settings { address: args.address, time, allow_private: args.allow_private };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (sender, receiver) = channel(Progress::default());
    let bar = bar(args.seconds);
    let watched = {
        let watching = watch::watch(settings, clock, sender, stop);
        tokio::pin!(watching);
        let (begun, mut ticks) = (Instant::now(), interval(DRAW_INTERVAL));
        loop {
            tokio::select! {
                biased;
                watched = &mut watching => break watched,
                _ = ticks.tick() => draw(&bar, begun, *receiver.borrow()),
            }
        }
    };
    bar.finish_and_clear();
    let report = Report::new(&watched?, &args.rules);
    if let Some((file, mut opened)) = junit {
        let written = opened.write_all(report.junit().as_bytes());
        written.with_context(|| file.display().to_string())?;
    }
    let asked = args.all || !args.rules.is_empty();
    let text =
        if args.json { format!("{:#}\n", report.json()) } else { report.text(colour, asked) };
    Ok(Checked { text, broken: report.is_broken() })
}

/// On a terminal; nothing elsewhere.
fn bar(seconds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("[{bar:30}] {pos}/{len} s  {msg}")
        .expect("a template without mistakes")
        .progress_chars("=> ");
    ProgressBar::new(seconds).with_style(style)
}

fn draw(bar: &ProgressBar, begun: Instant, progress: Progress) {
    let Progress { requests, bytes, versions, broken } = progress;
    let (whole, tenths) = (bytes / 1_000_000, bytes / 100_000 % 10);
    bar.set_position(begun.elapsed().as_secs());
    bar.set_message(format!(
        "{versions} versions, {requests} requests, {whole}.{tenths} MB, {broken} rules broken"
    ));
}

/// A rule by its id, in large letters or small.
fn parse_rule(text: &str) -> Result<&'static Rule, String> {
    let id = text.trim().to_ascii_uppercase();
    Rule::find(&id).ok_or_else(|| format!("no rule has this id; near it are {}", near(&id)))
}

/// The ids nearest to one that does not exist.
fn near(id: &str) -> String {
    let number = |id: &str| id.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u64>();
    let wanted = number(id).unwrap_or(1);
    let digits = wanted.to_string();
    let mut rules: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
    rules.sort_by_key(|id| {
        let own = number(id).unwrap_or(0);
        let begins_alike = digits.starts_with(&own.to_string());
        (!begins_alike, own.abs_diff(wanted))
    });
    rules.truncate(NEAR_MAX);
    rules.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_rule_names_those_near_it() {
        assert_eq!(parse_rule("h37").unwrap().id, "H37");
        assert_eq!(parse_rule(" H37 ").unwrap().id, "H37");
        for (wrong, near) in [("H370", "H37"), ("H119", "H118"), ("37x", "H"), ("", "H1")] {
            let error = parse_rule(wrong).unwrap_err();
            assert!(error.contains(near), "{wrong}: {error}");
        }
    }
}
