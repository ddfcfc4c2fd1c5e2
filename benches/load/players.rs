//! The viewers: they ask as real players do and throw the media away.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::clip::newest_stamp;
use super::http::{Answer, Body, Http};
use super::playlist::{Playlist, first_uri, resolve};
use super::publishers::Sent;

/// After an answer that is none.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// A low-latency player stays this many parts behind the live edge (PART-HOLD-BACK).
const PARTS_BEHIND: u32 = 3;
/// Any other player stays this many segments behind.
const SEGMENTS_BEHIND: usize = 3;

/// What viewers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub requests: u64,
    pub bytes: u64,
    pub errors: u64,
    pub stalls: u64,
    /// From the last byte of a part's last frame sent to the part being listed.
    pub listed: Vec<Duration>,
    /// ... to the last byte of the part received.
    pub fetched: Vec<Duration>,
    /// From the message that followed it to the last byte of the part received.
    pub after_next: Vec<Duration>,
    /// Playlist requests that are not held.
    pub playlists: Vec<Duration>,
}

impl Seen {
    fn count(&mut self, answer: &Answer) {
        self.requests += 1;
        self.bytes += u64::try_from(answer.body_bytes).unwrap_or(0);
        self.errors += u64::from(answer.status != 200);
    }

    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.stalls += other.stalls;
        self.listed.extend(other.listed);
        self.fetched.extend(other.fetched);
        self.after_next.extend(other.after_next);
        self.playlists.extend(other.playlists);
    }
}

/// How far a player's buffer reaches, as the moment at which it runs dry.
#[derive(Debug)]
struct Buffer {
    behind: Duration,
    dry_at: Option<Instant>,
}

impl Buffer {
    fn new(behind: Duration) -> Self {
        Self { behind, dry_at: None }
    }

    /// Media of this length arrived. Answers whether the picture had stopped before.
    fn add(&mut self, length: Duration, now: Instant) -> bool {
        let stalled = self.dry_at.is_some_and(|dry_at| dry_at < now);
        let from = self.dry_at.filter(|_| !stalled).unwrap_or(now + self.behind);
        self.dry_at = Some(from + length);
        stalled
    }
}

/// A crowd that watches until it is told to leave.
#[derive(Debug)]
pub(crate) struct Crowd {
    tasks: JoinSet<Seen>,
    stop: CancellationToken,
}

impl Crowd {
    /// `count` low-latency players, dealt out over the channels in turn. Every tenth looks into
    /// what it gets and measures how old it is.
    pub(crate) fn low_latency(
        addr: SocketAddr,
        count: usize,
        channels: &[(String, Arc<Sent>)],
    ) -> Self {
        let mut crowd = Self { tasks: JoinSet::new(), stop: CancellationToken::new() };
        for (number, (channel, sent)) in (0..count).zip(channels.iter().cycle()) {
            let probe = number.is_multiple_of(10).then(|| Arc::clone(sent));
            let (channel, stop) = (channel.clone(), crowd.stop.clone());
            crowd.tasks.spawn(async move {
                let mut player = LowLatency::new(addr, channel, probe);
                keep_watching(&mut player, &stop).await;
                player.seen
            });
        }
        crowd
    }

    /// `count` players of whole segments, who arrive one after the other over `arrival`. What
    /// they see before `from` counts for nothing.
    pub(crate) fn plain(
        addr: SocketAddr,
        count: usize,
        playlist: &str,
        arrival: Duration,
        from: Instant,
    ) -> Self {
        let mut crowd = Self { tasks: JoinSet::new(), stop: CancellationToken::new() };
        let apart = arrival / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        for number in 0..u32::try_from(count).unwrap_or(u32::MAX) {
            let (playlist, stop) = (playlist.to_owned(), crowd.stop.clone());
            crowd.tasks.spawn(async move {
                sleep(apart * number).await;
                let seen = Seen::default();
                let mut player = Plain { http: Http::new(addr), playlist, from, seen };
                keep_watching(&mut player, &stop).await;
                player.seen
            });
        }
        crowd
    }

    /// Sends everybody home and asks what they saw.
    pub(crate) async fn finish(mut self) -> Seen {
        self.stop.cancel();
        let mut all = Seen::default();
        while let Some(seen) = self.tasks.join_next().await {
            all.add(seen.expect("no player panics"));
        }
        all
    }
}

/// Somebody who watches until there is nothing more.
trait Player {
    async fn watch(&mut self) -> io::Result<()>;
    fn seen(&mut self) -> &mut Seen;
}

/// Watches until `stop`, again after every failure.
async fn keep_watching<P: Player>(player: &mut P, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let watched = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            watched = player.watch() => watched,
        };
        // A player never leaves by itself, so this is a failure.
        player.seen().errors += u64::from(watched.is_err());
        sleep(RETRY_PAUSE).await;
    }
}

struct LowLatency {
    http: Http,
    channel: String,
    probe: Option<Arc<Sent>>,
    seen: Seen,
}

impl Player for LowLatency {
    async fn watch(&mut self) -> io::Result<()> {
        let media = self.media_playlist().await?;
        let mut playlist = self.reload(&media).await?;
        let part = playlist.parts.iter().map(|part| part.length).max().unwrap_or_default();
        let mut buffer = Buffer::new(part * PARTS_BEHIND);
        let mut done: BTreeSet<(u64, u64)> =
            playlist.parts.iter().map(|part| (part.msn, part.index)).collect();
        while !playlist.ended {
            let (msn, part) = (playlist.next_msn(), playlist.next_part());
            playlist = self.reload(&format!("{media}?_HLS_msn={msn}&_HLS_part={part}")).await?;
            let listed = Instant::now();
            for part in &playlist.parts {
                if done.insert((part.msn, part.index)) {
                    self.fetch(&resolve(&media, &part.uri), listed).await?;
                    self.seen.stalls += u64::from(buffer.add(part.length, Instant::now()));
                }
            }
            done = done.split_off(&(playlist.first_msn, 0));
        }
        Ok(())
    }

    fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }
}

impl LowLatency {
    fn new(addr: SocketAddr, channel: String, probe: Option<Arc<Sent>>) -> Self {
        Self { http: Http::new(addr), channel, probe, seen: Seen::default() }
    }

    async fn media_playlist(&mut self) -> io::Result<String> {
        let path = format!("/{}/index.m3u8", self.channel);
        let text = get_text(&mut self.http, &path, &mut self.seen).await?;
        let uri = first_uri(&text).ok_or(io::ErrorKind::InvalidData)?;
        Ok(resolve(&path, uri))
    }

    async fn reload(&mut self, path: &str) -> io::Result<Playlist> {
        Ok(Playlist::parse(&get_text(&mut self.http, path, &mut self.seen).await?))
    }

    async fn fetch(&mut self, path: &str, listed: Instant) -> io::Result<()> {
        let body = if self.probe.is_some() { Body::Keep } else { Body::Discard };
        let answer = self.http.get(path, body).await?;
        let fetched = Instant::now();
        self.seen.count(&answer);
        let Some(sent) = &self.probe else { return Ok(()) };
        let Some(number) = newest_stamp(&answer.body) else { return Ok(()) };
        if let Some(at) = sent.at(number) {
            self.seen.listed.push(listed.duration_since(at));
            self.seen.fetched.push(fetched.duration_since(at));
        }
        if let Some(at) = sent.at(number + 1) {
            self.seen.after_next.push(fetched.saturating_duration_since(at));
        }
        Ok(())
    }
}

struct Plain {
    http: Http,
    /// Path of a media playlist.
    playlist: String,
    /// When measuring begins.
    from: Instant,
    seen: Seen,
}

impl Player for Plain {
    /// Loads the playlist once per target duration, or after half of it when nothing is new
    /// (draft-pantos-hls-rfc8216bis 6.3.4), and every segment once.
    async fn watch(&mut self) -> io::Result<()> {
        let mut next = None;
        let mut buffer = Buffer::new(Duration::ZERO);
        loop {
            let start = Instant::now();
            if start < self.from {
                self.seen = Seen::default();
            }
            let text = get_text(&mut self.http, &self.playlist, &mut self.seen).await?;
            self.seen.playlists.push(start.elapsed());
            let playlist = Playlist::parse(&text);
            let behind = playlist.segments.len().saturating_sub(SEGMENTS_BEHIND);
            let first = playlist.first_msn + u64::try_from(behind).unwrap_or(0);
            let mut changed = false;
            for (msn, item) in (playlist.first_msn..).zip(&playlist.segments) {
                if msn < *next.get_or_insert(first) {
                    continue;
                }
                let path = resolve(&self.playlist, &item.uri);
                let answer = self.http.get(&path, Body::Discard).await?;
                self.seen.count(&answer);
                self.seen.stalls += u64::from(buffer.add(item.length, Instant::now()));
                next = Some(msn + 1);
                changed = true;
            }
            let pause = if changed { playlist.target } else { playlist.target / 2 };
            sleep(pause.saturating_sub(start.elapsed())).await;
        }
    }

    fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }
}

async fn get_text(http: &mut Http, path: &str, seen: &mut Seen) -> io::Result<String> {
    let answer = http.get(path, Body::Keep).await?;
    seen.count(&answer);
    if answer.status != 200 {
        return Err(io::Error::other(format!("{} for {path}", answer.status)));
    }
    String::from_utf8(answer.body).map_err(io::Error::other)
}

/// The media playlist of a channel, as soon as there is one.
pub(crate) async fn find_playlist(addr: SocketAddr, channel: &str) -> io::Result<String> {
    let mut player = LowLatency::new(addr, channel.to_owned(), None);
    for _ in 0..100 {
        if let Ok(path) = player.media_playlist().await {
            return Ok(path);
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(io::Error::other(format!("no playlist of {channel} within its time")))
}

/// What the media playlist at `path` says now.
pub(crate) async fn read_playlist(addr: SocketAddr, path: &str) -> io::Result<Playlist> {
    let mut http = Http::new(addr);
    Ok(Playlist::parse(&get_text(&mut http, path, &mut Seen::default()).await?))
}

/// Waits for the first part of a channel and fetches it.
pub(crate) async fn first_part(addr: SocketAddr, channel: &str) -> io::Result<Instant> {
    let mut player = LowLatency::new(addr, channel.to_owned(), None);
    let media = find_playlist(addr, channel).await?;
    for _ in 0..100 {
        let playlist = player.reload(&media).await?;
        if let Some(part) = playlist.parts.iter().find(|part| part.independent) {
            player.fetch(&resolve(&media, &part.uri), Instant::now()).await?;
            return Ok(Instant::now());
        }
        sleep(Duration::from_millis(5)).await;
    }
    Err(io::Error::other("no part within its time"))
}

/// Connections that each hold one request which nothing answers for about two segments.
#[derive(Debug)]
pub(crate) struct Held {
    connections: Vec<Http>,
}

impl Held {
    pub(crate) async fn connect(addr: SocketAddr, count: usize) -> io::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..count {
            let mut http = Http::new(addr);
            http.connect().await?;
            connections.push(http);
        }
        Ok(Self { connections })
    }

    /// Asks for the part after next segment's end, everywhere, and lets go after `length`.
    pub(crate) async fn hold(self, path: &str, playlist: &Playlist, length: Duration) {
        let path = format!("{path}?_HLS_msn={}", playlist.next_msn() + 1);
        let mut tasks = JoinSet::new();
        for mut http in self.connections {
            let path = path.clone();
            tasks.spawn(async move { http.get(&path, Body::Discard).await });
        }
        // Nobody waits for the answers: leaving is what frees the requests.
        sleep(length).await;
        tasks.abort_all();
    }
}
