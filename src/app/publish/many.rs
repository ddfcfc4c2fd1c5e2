use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Pace, Progress, PublishArgs, Reel, play};
use crate::app::table::{Table, clock, megabits, per_second};
use crate::base::{Limits, Secret, SystemClock};
use crate::load::{check_descriptors, check_place};
use crate::rtmp::client::{Link, Target};

/// Between two publishers that connect, so that their keyframes do not coincide.
const STAGGER: Duration = Duration::from_millis(25);
/// What each publisher replaces in the address, by its number from 1 on or by its key.
const NUMBER: &str = "{n}";
const KEY: &str = "{key}";

/// What so many publishers came to.
#[derive(Debug)]
pub struct Tally {
    publishers: usize,
    failures: Vec<String>,
    length: Duration,
    sent: Arc<Progress>,
}

impl Tally {
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }

    /// Whether the publishers could not keep their own time.
    pub fn is_too_busy(&self) -> bool {
        self.sent.late_percent() >= 5
    }

    /// The result for people.
    pub fn render(&self) -> String {
        let Self { publishers, failures, length, sent } = self;
        let mut text = format!(
            "{} of {publishers} publishers stayed for {} s\n\
             messages  {} a second, {} Mbit/s, {} % sent 20 ms late\n",
            publishers - failures.len(),
            length.as_secs(),
            per_second(sent.messages(), *length),
            megabits(sent.bytes(), *length),
            sent.late_percent(),
        );
        let mut causes: Vec<(&String, usize)> = Vec::new();
        for failure in failures {
            match causes.iter_mut().find(|(cause, _)| *cause == failure) {
                Some((_, count)) => *count += 1,
                None => causes.push((failure, 1)),
            }
        }
        causes.iter().for_each(|(cause, count)| text += &format!("failed    {count}: {cause}\n"));
        if self.is_too_busy() {
            text += "this tool itself was too busy: a server is not to blame for what came late\n";
        }
        text
    }

    /// The result for programs.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "publishers": self.publishers,
            "failures": self.failures,
            "seconds": self.length.as_secs_f64(),
            "messages": self.sent.messages(),
            "bytes": self.sent.bytes(),
            "late_percent": self.sent.late_percent(),
            "too_busy": self.is_too_busy(),
            "clean": self.is_clean(),
        })
    }
}

/// Publishes the file `args.count` times at once, to an address for each.
pub(super) async fn run(
    args: &PublishArgs,
    file: &Bytes,
    stop: &CancellationToken,
) -> anyhow::Result<Tally> {
    check_descriptors(args.count)?;
    let targets = targets(args).await?;
    let sent = Arc::new(Progress::silent());
    let live = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    let mut joins = start;
    for target in targets {
        let reel = Reel::new(file.clone())?;
        let one = One { target, reel, args: args.clone(), sent: Arc::clone(&sent) };
        tasks.spawn(one.run(joins, Arc::clone(&live), stop.clone()));
        joins += STAGGER;
    }
    let shown = show(&sent, &live, start);
    let mut failures = Vec::new();
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            failures.extend(ended.expect("no publisher panics").err());
        }
    };
    tokio::select! {
        biased;
        () = all => {}
        () = shown => {}
    }
    Ok(Tally { publishers: args.count, failures, length: start.elapsed(), sent })
}

/// One of many.
struct One {
    target: Target,
    reel: Reel,
    args: PublishArgs,
    sent: Arc<Progress>,
}

impl One {
    /// The error is what went wrong, in words.
    async fn run(
        mut self,
        joins: Instant,
        live: Arc<AtomicU64>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let open = async {
            sleep_until(joins).await;
            let clock = Arc::new(SystemClock::new());
            Link::open(self.target.clone(), &Limits::default(), clock).await
        };
        let link = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            link = open => link.map_err(|error| error.to_string())?,
        };
        live.fetch_add(1, Ordering::Relaxed);
        let pace = Pace::new(self.args.speed);
        let (repeat, sent) = (self.args.repeat, Arc::clone(&self.sent));
        let played = play(link, &mut self.reel, repeat, pace, &sent, &stop).await;
        live.fetch_sub(1, Ordering::Relaxed);
        played.map_err(|error| error.to_string())
    }
}

/// Shows how they get on, for ever.
async fn show(sent: &Progress, live: &AtomicU64, start: Instant) {
    let table = Table::new("    time  live messages/s     Mbit/s own delay".to_owned());
    let (mut bytes, mut messages, mut shown) = (0, 0, Instant::now());
    loop {
        sleep_until(shown + table.interval()).await;
        let over = shown.elapsed();
        shown = Instant::now();
        let row = format!(
            "{:>8} {:>5} {:>10} {:>10} {:>7} %",
            clock(start.elapsed()),
            live.load(Ordering::Relaxed),
            per_second(sent.messages() - messages, over),
            megabits(sent.bytes() - bytes, over),
            sent.late_percent(),
        );
        table.show(&row);
        (bytes, messages) = (sent.bytes(), sent.messages());
    }
}

/// An address for each publisher, all of them on a server that may be loaded.
async fn targets(args: &PublishArgs) -> anyhow::Result<Vec<Target>> {
    let authority = args.to.authority();
    let found = tokio::net::lookup_host(&authority).await;
    let addrs: Vec<_> = found.with_context(|| format!("cannot find {authority}"))?.collect();
    check_place(&addrs, args.i_own_this_server)?;
    let keys = match &args.keys {
        Some(file) => read_keys(file).await.with_context(|| file.display().to_string())?,
        None => Vec::new(),
    };
    number(&args.to, args.count, &keys)
}

/// One key in each line, as `ghostlight key add` prints them.
async fn read_keys(file: &Path) -> anyhow::Result<Vec<Secret>> {
    let text = tokio::fs::read_to_string(file).await?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(Secret::new).collect())
}

/// The addresses of `count` publishers: `{n}` and `{key}` stand for what differs.
fn number(to: &Target, count: usize, keys: &[Secret]) -> anyhow::Result<Vec<Target>> {
    let names = |word: &str| to.app.contains(word) || to.key.reveal().contains(word);
    ensure!(
        count == 1 || names(NUMBER) || names(KEY),
        "{count} publishers need an address each: write {NUMBER} or {KEY} into it, such as \
         rtmp://host/live/{KEY} with --keys FILE"
    );
    ensure!(
        !names(KEY) || keys.len() >= count,
        "{KEY} in the address takes {count} keys, and --keys gives {}",
        keys.len()
    );
    let targets = (0..count).map(|index| {
        let key = keys.get(index).map_or("", Secret::reveal);
        let fill = |text: &str| text.replace(NUMBER, &(index + 1).to_string()).replace(KEY, key);
        let (app, key) = (fill(&to.app), Secret::new(fill(to.key.reveal())));
        Target { app, key, ..to.clone() }
    });
    Ok(targets.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(to: &str, count: usize, keys: &[&str]) -> anyhow::Result<Vec<String>> {
        let keys: Vec<_> = keys.iter().map(|key| Secret::new(*key)).collect();
        let to = Target::parse(to).expect(to);
        let targets = number(&to, count, &keys)?;
        Ok(targets.iter().map(|t| format!("{}/{}", t.app, t.key.reveal())).collect())
    }

    #[test]
    fn every_publisher_has_an_address_of_its_own() {
        let check = |to, keys: &[&str], expected: &[&str]| {
            assert_eq!(numbered(to, 2, keys).expect(to), expected, "{to}");
        };
        check("rtmp://h/live/c{n}", &[], &["live/c1", "live/c2"]);
        check("rtmp://h/live/{key}", &["a", "b", "c"], &["live/a", "live/b"]);
        check("rtmp://h/app{n}/?key={key}", &["a", "b"], &["app1/?key=a", "app2/?key=b"]);
        assert_eq!(numbered("rtmp://h/live/k", 1, &[]).expect("one"), ["live/k"]);
    }

    #[test]
    fn what_they_lack_is_said_without_a_key() {
        for (to, keys) in
            [("rtmp://h/live/hunter2", &[][..]), ("rtmp://h/live/{key}", &["hunter2"])]
        {
            let error = numbered(to, 2, keys).expect_err(to).to_string();
            assert!(error.contains("{key}") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn equal_failures_are_told_once() {
        let tally = Tally {
            publishers: 3,
            failures: vec!["full".to_owned(), "full".to_owned()],
            length: Duration::from_secs(2),
            sent: Arc::new(Progress::silent()),
        };
        let text = tally.render();
        assert!(text.contains("1 of 3 publishers") && text.contains("failed    2: full"), "{text}");
    }
}
