//! One playlist and one segment over and over: what a request and what a byte costs.

use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, ensure};
use ghostlight::load::{Body, Conduct, Http, resolve};

use super::phases::{Bench, Cost, count, find, measure, plan, progress, publish, to_f64};
use super::report::Report;
use super::servers::Server;

/// Connections of wrk, all from one thread: the other core is the server's.
const CONNECTIONS: &str = "64";

pub(crate) async fn run(bench: &Bench<'_>, report: &mut Report) -> anyhow::Result<()> {
    if Command::new("wrk").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        progress("wrk is not installed (apt-get install wrk): one playlist, one segment left out");
        return Ok(());
    }
    let theirs = if bench.has_nginx {
        progress("nginx: one playlist, one segment");
        Some(hammer(bench, &Server::nginx(1)?, "/c0.m3u8").await?)
    } else {
        None
    };
    progress("ghostlight: one playlist, one segment");
    let ours = hammer(bench, &Server::ghostlight(1, &[])?, "/c0/index.m3u8").await?;

    let mut both = |name: &str, goal, number: &dyn Fn(&Single) -> f64| {
        report.both(name, number(&ours), theirs.as_ref().map(number), goal);
    };
    both("one playlist: requests a second", "", &|single| single.playlist.rate());
    both("one playlist: KiB", "", &|single| count(single.playlist.body_bytes) / 1_024.0);
    both("one playlist: CPU per request, us", "<= 14", &|s| s.playlist.cpu_per_request() * 1e6);
    both("one segment: Mbit/s", "", &|single| {
        single.segment.bytes() * 8e-6 / single.segment.cost.elapsed
    });
    both("one segment: CPU per GB, s", "<= 0.15", &|single| {
        single.segment.cost.cpu / single.segment.bytes() * 1e9
    });
    Ok(())
}

/// What wrk got of one server.
struct Single {
    playlist: Hammered,
    segment: Hammered,
}

struct Hammered {
    cost: Cost,
    requests: u64,
    body_bytes: usize,
}

impl Hammered {
    fn rate(&self) -> f64 {
        to_f64(self.requests) / self.cost.elapsed
    }

    fn cpu_per_request(&self) -> f64 {
        self.cost.cpu / to_f64(self.requests)
    }

    fn bytes(&self) -> f64 {
        to_f64(self.requests) * count(self.body_bytes)
    }
}

/// The publisher goes on meanwhile, since a live playlist changes; it costs little.
async fn hammer(bench: &Bench<'_>, server: &Server, entry: &str) -> anyhow::Result<Single> {
    let publishers = publish(bench, server, 1, &bench.clip).await?;
    let plan = plan(server.http, entry, 1, Conduct::Plain);
    let found = find(&plan).await?;
    let playlist = wrk(bench, server, &found.path).await?;
    let whole = find(&plan).await?.playlist.segments;
    let last = whole.iter().rfind(|piece| !piece.missing).context("a segment")?;
    let path = resolve(&found.path, &last.uri, &plan.authority).context("on this server")?;
    let segment = wrk(bench, server, &path).await?;
    publishers.finish().await?;
    Ok(Single { playlist, segment })
}

async fn wrk(bench: &Bench<'_>, server: &Server, path: &str) -> anyhow::Result<Hammered> {
    let mut http = Http::new(server.http, Arc::from(server.http.to_string()));
    let answer = http.get(path, Body::Count).await?;
    ensure!(answer.status == 200, "{path}: {}", answer.status);
    let url = format!("http://{}{path}", server.http);
    let length = format!("-d{}s", bench.load.length().as_secs().min(15));
    let run = tokio::task::spawn_blocking(move || {
        let words = ["-t1", "-c", CONNECTIONS, "--timeout", "30s", &length, &url];
        Command::new("wrk").args(words).output()
    });
    let (cost, output) = measure(server, run).await;
    let text = String::from_utf8(output??.stdout)?;
    ensure!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "));
    let requests = requests.and_then(|(number, _)| number.parse().ok()).context(text.clone())?;
    Ok(Hammered { cost, requests, body_bytes: answer.body_bytes })
}
