//! `ghostlight load`: a crowd of players for a server to bear, and what it saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::quiet::Quiet;
use super::table::{Table, clock, megabits, millis, per_second};
use crate::base::SystemClock;
use crate::load::{
    Address, Conduct, Counts, Crowd, LENGTH_MAX, Plan, Spread, Survey, VIEWERS_MAX,
    check_descriptors, check_place, survey,
};

/// Players that come in a second: a crowd, and no flood of connections.
const ARRIVALS_PER_SECOND: usize = 500;

#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// The playlist to watch: http://host:port/channel/index.m3u8
    #[arg(value_name = "URL", value_parser = Quiet(Address::parse))]
    pub url: Address,
    /// Players at once (1 to 25000)
    #[arg(long, value_name = "N", value_parser = parse_viewers)]
    pub viewers: usize,
    /// Low-latency players: blocking reloads, and every part
    #[arg(long)]
    pub ll: bool,
    /// Reload playlists and fetch no media: with --ll, one held request for each player
    #[arg(long, requires = "ll")]
    pub playlists_only: bool,
    /// How long to measure once all have come, in seconds (1 to 3600)
    #[arg(long, value_name = "S", default_value = "30", value_parser = parse_length)]
    pub seconds: Duration,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Load a server that is not on this machine; whoever answers for it has agreed
    #[arg(long)]
    pub i_own_this_server: bool,
}

fn parse_viewers(text: &str) -> Result<usize, String> {
    parse_up_to(text, VIEWERS_MAX)
}

/// Seconds from 1 to what a load may last.
pub(super) fn parse_length(text: &str) -> Result<Duration, String> {
    let max = usize::try_from(LENGTH_MAX.as_secs()).unwrap_or(usize::MAX);
    let seconds = parse_up_to(text, max)?;
    Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
}

/// A number from 1 to `max`.
pub(super) fn parse_up_to(text: &str, max: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("a whole number from 1 to {max}"))
}

/// What a crowd saw after all had come.
#[derive(Debug)]
pub struct Outcome {
    viewers: usize,
    length: Duration,
    watching: u64,
    counts: Counts,
}

impl Outcome {
    /// Everybody watched, and nothing was missing.
    pub fn is_clean(&self) -> bool {
        let Counts { failures, stalls, stale, .. } = self.counts;
        u64::try_from(self.viewers) == Ok(self.watching) && failures + stalls + stale == 0
    }

    /// The lengths of time are those of this process and not of the server.
    pub fn is_too_busy(&self) -> bool {
        self.counts.is_too_busy()
    }

    /// The result for people.
    pub fn render(&self) -> String {
        let Self { viewers, length, watching, counts } = self;
        let spread = |spread: &Spread| {
            let [half, most, worst] = [500, 990, 1_000].map(|per| millis(spread, per));
            format!("p50 {half} ms, p99 {most} ms, longest {worst} ms")
        };
        let verdict = if self.is_too_busy() {
            "this tool itself was too busy: its lengths of time say little\n"
        } else {
            ""
        };
        format!(
            "{watching} of {viewers} players watched for {} s\n\
             requests     {} a second, {} Mbit/s\n\
             playlists    {} (those not held)\n\
             media        {}\n\
             part listed  {} after its first frame, by the playlist's dates\n\
             part fetched {}\n\
             stalls       {}\n\
             failures     {}\n\
             stale        {}\n\
             own delay    {} % of looks at the clock 20 ms late\n{verdict}",
            length.as_secs(),
            per_second(counts.requests, *length),
            megabits(counts.bytes, *length),
            spread(&counts.playlists),
            spread(&counts.media),
            spread(&counts.listed),
            spread(&counts.fetched),
            counts.stalls,
            counts.failures,
            counts.stale,
            counts.late_percent(),
        )
    }

    /// The result for programs.
    pub fn json(&self) -> serde_json::Value {
        let Self { viewers, length, watching, counts } = self;
        let spread = |spread: &Spread| {
            let micros = |per| spread.quantile(per).map(|length| length.as_micros());
            serde_json::json!({
                "count": spread.count(),
                "p50_us": micros(500), "p99_us": micros(990), "max_us": micros(1_000),
            })
        };
        serde_json::json!({
            "viewers": viewers,
            "watching": watching,
            "seconds": length.as_secs_f64(),
            "requests": counts.requests,
            "bytes": counts.bytes,
            "stalls": counts.stalls,
            "failures": counts.failures,
            "stale": counts.stale,
            "playlists": spread(&counts.playlists),
            "media": spread(&counts.media),
            "part_listed": spread(&counts.listed),
            "part_fetched": spread(&counts.fetched),
            "own_delay_percent": counts.late_percent(),
            "too_busy": self.is_too_busy(),
            "clean": self.is_clean(),
        })
    }
}

/// Sends the crowd, shows what it sees, and answers what it saw; `stop` ends it early.
pub async fn run(args: &LoadArgs, stop: CancellationToken) -> anyhow::Result<Outcome> {
    check_descriptors(args.viewers)?;
    let (plan, _) = find(args).await?;
    let mut crowd = Crowd::new(Arc::new(SystemClock::new()))?;
    crowd.send(&plan, None);
    let table = Table::new(HEAD.to_owned());
    let start = Instant::now();
    watch(&crowd, &table, start, start + plan.arrival, &stop).await;
    let (before, arrived) = (crowd.counts(), Instant::now());
    watch(&crowd, &table, start, arrived + args.seconds, &stop).await;
    let length = arrived.elapsed();
    let counts = crowd.finish().await;
    table.finish();
    let (viewers, watching) = (args.viewers, counts.watching);
    Ok(Outcome { viewers, length, watching, counts: counts - before })
}

/// Looks where the crowd is to go, and whether it may.
async fn find(args: &LoadArgs) -> anyhow::Result<(Plan, Survey)> {
    let authority = &args.url.authority;
    let addrs = args.url.resolve().await.with_context(|| format!("cannot find {authority}"))?;
    check_place(&addrs, args.i_own_this_server)?;
    let mut failed = anyhow!("{authority} has no address");
    for addr in addrs {
        let plan = plan(args, addr);
        match survey(&plan).await {
            Ok(found) => return Ok((plan, found)),
            Err(error) => failed = anyhow!(error).context(addr),
        }
    }
    Err(failed)
}

fn plan(args: &LoadArgs, addr: SocketAddr) -> Plan {
    let conduct = match (args.ll, args.playlists_only) {
        (false, _) => Conduct::Plain,
        (true, false) => Conduct::LowLatency,
        (true, true) => Conduct::Playlists,
    };
    let seconds = args.viewers.div_ceil(ARRIVALS_PER_SECOND);
    Plan {
        addr,
        authority: args.url.authority.as_str().into(),
        entry: args.url.path.as_str().into(),
        viewers: args.viewers,
        conduct,
        arrival: Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)),
        returns: false,
    }
}

/// Shows a row now and then until `end`, or until told to stop.
async fn watch(
    crowd: &Crowd,
    table: &Table,
    start: Instant,
    end: Instant,
    stop: &CancellationToken,
) {
    let mut before = crowd.counts();
    let mut shown = Instant::now();
    while Instant::now() < end && !stop.is_cancelled() {
        let next = (shown + table.interval()).min(end);
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = sleep_until(next) => {}
        }
        let counts = crowd.counts();
        let new = counts.clone() - before;
        table.show(&row(start.elapsed(), counts.watching, &new, shown.elapsed()));
        (before, shown) = (counts, Instant::now());
    }
}

const HEAD: &str = "    time viewers requests/s     Mbit/s  listed p50   p99 ms fetched p50   p99 ms  \
                    stalls failures own delay";

fn row(since: Duration, watching: u64, new: &Counts, over: Duration) -> String {
    format!(
        "{:>8} {watching:>7} {:>10} {:>10} {:>11} {:>8} {:>11} {:>8} {:>7} {:>8} {:>7} %",
        clock(since),
        per_second(new.requests, over),
        megabits(new.bytes, over),
        millis(&new.listed, 500),
        millis(&new.listed, 990),
        millis(&new.fetched, 500),
        millis(&new.fetched, 990),
        new.stalls,
        new.failures,
        new.late_percent(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_a_ceiling() {
        assert_eq!(parse_viewers("25000"), Ok(25_000));
        assert_eq!(parse_length("3600"), Ok(Duration::from_secs(3_600)));
        for bad in ["0", "25001", "-1", "many", ""] {
            parse_viewers(bad).expect_err(bad);
        }
        for bad in ["0", "3601", "1.5"] {
            parse_length(bad).expect_err(bad);
        }
    }

    #[test]
    fn a_row_stands_below_its_head() {
        let row = row(Duration::from_secs(61), 1_000, &Counts::default(), Duration::from_secs(1));
        assert_eq!(row.len(), HEAD.len(), "{HEAD}\n{row}");
        assert!(row.starts_with(" 0:01:01    1000          0"), "{row}");
    }

    #[test]
    fn only_a_whole_crowd_without_a_fault_is_clean() {
        let counts = Counts { watching: 2, requests: 9, ..Counts::default() };
        let outcome = |watching, counts| Outcome {
            viewers: 2,
            length: Duration::from_secs(1),
            watching,
            counts,
        };
        assert!(outcome(2, counts.clone()).is_clean());
        assert!(!outcome(1, counts.clone()).is_clean());
        for counts in [
            Counts { failures: 1, ..counts.clone() },
            Counts { stalls: 1, ..counts.clone() },
            Counts { stale: 1, ..counts },
        ] {
            assert!(!outcome(2, counts).is_clean());
        }
    }
}
