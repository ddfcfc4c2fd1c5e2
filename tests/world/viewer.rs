//! Viewers: players that do as they should, and people who do not.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ghostlight::testing::delta::apply_delta;
use ghostlight::testing::dice::Dice;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use super::listing::Listing;
use super::plan::{Viewer, ViewerKind};
use super::stage::Stage;

/// How long a viewer waits before it looks again for something to play.
const AGAIN: u64 = 2_000;
const PIPE_BYTES: usize = 64 * 1024;
/// Longer than anything is held: 3 targets of 10 s.
const PATIENCE: Duration = Duration::from_secs(32);
/// H96: a hold ends after three targets.
const HOLD_TARGETS: u64 = 3;

/// Watches as planned; the result is a trace of every answer and when it came.
pub(crate) async fn run(stage: Arc<Stage>, index: usize) -> u64 {
    let Some(plan) = stage.plan.viewers.get(index).cloned() else { return 0 };
    stage.sleep_until(plan.begin + 1).await;
    let dice = Dice::fork(stage.plan.seed, 2_000 + u64::try_from(index).unwrap_or(0));
    let channel = format!("channel{}", plan.channel);
    let trace = DefaultHasher::new();
    let mut watching = Watching { stage, plan, channel, dice, line: None, trace };
    watching.watch().await;
    watching.trace.finish()
}

struct Watching {
    stage: Arc<Stage>,
    plan: Viewer,
    channel: String,
    dice: Dice,
    line: Option<DuplexStream>,
    trace: DefaultHasher,
}

/// An answer to one request.
#[derive(Debug)]
struct Reply {
    status: u16,
    body: Vec<u8>,
    after: u64,
}

impl Reply {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }
}

impl Watching {
    fn is_over(&self) -> bool {
        self.plan.end <= self.stage.millis() || self.stage.over.is_cancelled()
    }

    /// Sleeps to an odd millisecond: encoders move in the even ones.
    async fn pause(&self, millis: u64) {
        self.stage.sleep_until((self.stage.millis() + millis) | 1).await;
    }

    async fn watch(&mut self) {
        while !self.is_over() {
            let master = format!("/{}/index.m3u8", self.channel);
            if let Some(reply) = self.get(&master).await
                && reply.status == 200
                && let Some(name) = reply.text().lines().find(|line| line.ends_with(".m3u8"))
            {
                let folder = name.split('/').next().unwrap_or_default().to_owned();
                let folder = format!("/{}/{folder}", self.channel);
                match self.plan.kind {
                    ViewerKind::LowLatency { delta } => self.play(&folder, delta).await,
                    ViewerKind::Plain => self.play_plain(&folder).await,
                    ViewerKind::Rude => self.annoy(&folder).await,
                }
            }
            self.pause(AGAIN).await;
        }
    }

    async fn play(&mut self, folder: &str, delta: bool) {
        let playlist = format!("{folder}/live.m3u8");
        let Some(mut full) = self.first(&playlist).await else { return };
        while !self.is_over() {
            let listing = Listing::parse(&full);
            if listing.ended {
                self.stage.note("viewer: saw the end");
                return;
            }
            let Some(next) = listing.next() else { return };
            let skip = if delta { "&_HLS_skip=YES" } else { "" };
            let target = format!("{playlist}?_HLS_msn={}&_HLS_part={}{skip}", next.0, next.1);
            let (held_max, hinted) =
                (listing.target_millis * HOLD_TARGETS, listing.hinted.map(str::to_owned));
            let hinted = hinted.map(|name| format!("{folder}/{name}"));
            // Players ask for the hinted part before or after they reload.
            let hint_first = self.dice.chance(50);
            if let Some(hinted) = hinted.as_ref().filter(|_| hint_first) {
                self.media(hinted).await;
            }
            let Some(reply) = self.get(&target).await else { return };
            if held_max < reply.after {
                let after = reply.after;
                self.stage.fail(format!("H96: {target} was held for {after} ms"));
            }
            match reply.status {
                200 => {
                    let Some(text) = self.whole(&full, &reply) else { return };
                    let listing = Listing::parse(&text);
                    if !listing.reaches(next) && !listing.ended {
                        self.stage.fail(format!("H96, V24: stale answer to {target}\n{text}"));
                    }
                    full = text;
                }
                503 => {
                    self.stage.note("viewer: held for too long");
                    if reply.after != held_max {
                        let after = reply.after;
                        self.stage.fail(format!("H96: {target} was refused after {after} ms"));
                    }
                }
                404 | 410 => return,
                // Behind a player that slept: it begins anew.
                status => return self.stage.fail(format!("H92: {status} for {target}")),
            }
            if let Some(hinted) = hinted.filter(|_| !hint_first) {
                self.media(&hinted).await;
            }
            if self.dice.chance(2) {
                let nap = self.dice.within(1..=8_000);
                self.pause(nap).await;
                let Some(text) = self.first(&playlist).await else { return };
                full = text;
            }
        }
    }

    /// H105: a playlist that is asked for without directives is answered at once.
    async fn first(&mut self, playlist: &str) -> Option<String> {
        let reply = self.get(playlist).await?;
        if 0 < reply.after {
            self.stage.fail(format!("H105: {playlist} was held for {} ms", reply.after));
        }
        (reply.status == 200).then(|| reply.text().to_owned())
    }

    /// The full playlist behind an answer that may be a delta update.
    fn whole(&self, before: &str, reply: &Reply) -> Option<String> {
        let text = reply.text();
        if !text.contains("#EXT-X-SKIP:") {
            return Some(text.to_owned());
        }
        self.stage.note("viewer: got a delta update");
        match apply_delta(before, text) {
            Ok(whole) => Some(whole),
            Err(error) => {
                self.stage.fail(format!("H102: {error}\nbefore:\n{before}\nnow:\n{text}"));
                None
            }
        }
    }

    async fn media(&mut self, address: &str) -> Option<()> {
        let reply = self.get(address).await?;
        match reply.status {
            200 => {
                let mut hash = DefaultHasher::new();
                reply.body.hash(&mut hash);
                self.stage.compare_body(address, hash.finish());
                if 0 < reply.after {
                    self.stage.note("viewer: waited for a hinted part");
                }
            }
            404 | 410 => self.stage.note("viewer: media was gone or missing"),
            503 => self.stage.note("viewer: a hinted part never came"),
            status => self.stage.fail(format!("H106: {status} for {address}")),
        }
        Some(())
    }

    async fn play_plain(&mut self, folder: &str) {
        let (mut seen, playlist) = (0, format!("{folder}/plain.m3u8"));
        while !self.is_over() {
            let Some(text) = self.first(&playlist).await else { return };
            let listing = Listing::parse(&text);
            let newest = listing.segments.iter().rev().find(|segment| segment.whole);
            if let Some(segment) = newest
                && seen < segment.msn
            {
                seen = segment.msn;
                let address = format!("{folder}/{}", segment.uri);
                let gap = segment.gap;
                let Some(reply) = self.get(&address).await else { return };
                if reply.status != 200 && !gap {
                    self.stage.fail(format!("H108: {} for {address}", reply.status));
                }
                self.stage.note("viewer: a whole segment");
            }
            if listing.ended {
                return;
            }
            self.pause(listing.target_millis / 2).await;
        }
    }

    /// One rudeness after the other.
    async fn annoy(&mut self, folder: &str) {
        let playlist = format!("{folder}/live.m3u8");
        while !self.is_over() {
            let Some(text) = self.first(&playlist).await else { return };
            let listing = Listing::parse(&text);
            let Some((msn, part)) = listing.next() else { return };
            if listing.ended {
                return;
            }
            match self.dice.below(6) {
                0 => self.expect(400, &format!("{playlist}?_HLS_part={part}")).await,
                1 => self.expect(400, &format!("{playlist}?_HLS_msn={}", msn + 9)).await,
                2 => self.expect(400, &format!("{playlist}?_HLS_msn=-1")).await,
                3 => self.expect(404, &format!("{folder}/p999999999.m4s")).await,
                4 => self.hang_up(&format!("{playlist}?_HLS_msn={msn}&_HLS_part={part}")).await,
                _ => self.crawl(folder, &listing).await,
            }
            let rest = self.dice.within(500..=5_000);
            self.pause(rest).await;
        }
    }

    async fn expect(&mut self, status: u16, target: &str) {
        let Some(reply) = self.get(target).await else { return };
        // The broadcast may have ended in the meantime, and then directives mean nothing.
        if reply.status != status && !matches!(reply.status, 200 | 410) {
            self.stage.fail(format!("H94, H99: {} instead of {status} for {target}", reply.status));
        }
        self.stage.note(&format!("viewer: {} for nonsense", reply.status));
    }

    /// Asks for what has to be waited for, and leaves before it comes.
    async fn hang_up(&mut self, target: &str) {
        if let Some(mut line) = self.connect() {
            let _ = line.write_all(request(target).as_bytes()).await;
            let patience = self.dice.within(1..=200);
            self.pause(patience).await;
            self.stage.note("viewer: hung up while it waited");
        }
    }

    /// Asks for a segment and reads it slowly, or not at all, until it is shown the door.
    async fn crawl(&mut self, folder: &str, listing: &Listing<'_>) {
        let Some(segment) = listing.segments.iter().find(|one| one.whole && !one.gap) else {
            return;
        };
        let target = format!("{folder}/{}", segment.uri);
        let (mut near, far) = tokio::io::duplex(512);
        self.stage.http.serve_stream(far, None, &self.stage.stop);
        let _ = near.write_all(request(&target).as_bytes()).await;
        let reads = self.dice.below(20);
        let mut piece = [0; 64];
        for _ in 0..reads {
            if timeout(PATIENCE, near.read(&mut piece)).await.is_err() {
                return;
            }
            self.pause(500).await;
        }
        self.pause(12_000).await;
        let mut rest = Vec::new();
        if timeout(PATIENCE, near.read_to_end(&mut rest)).await.is_ok() {
            self.stage.note("viewer: a slow reader was let go");
        }
    }

    fn connect(&self) -> Option<DuplexStream> {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        self.stage.http.serve_stream(far, None, &self.stage.stop);
        Some(near)
    }

    /// One request on the viewer's connection; `None` when the server closed it.
    async fn get(&mut self, target: &str) -> Option<Reply> {
        let began = self.stage.millis();
        let mut line = match self.line.take() {
            Some(line) => line,
            None => self.connect()?,
        };
        line.write_all(request(target).as_bytes()).await.ok()?;
        let Ok(answer) = timeout(PATIENCE, read_answer(&mut line)).await else {
            self.stage.fail(format!("X6: {target} was never answered"));
            return None;
        };
        let (status, body) = answer?;
        // A server that says no may also close; the next request has a new connection then.
        if status < 400 {
            self.line = Some(line);
        }
        let reply = Reply { status, body, after: self.stage.millis() - began };
        (began, target, reply.status, reply.after).hash(&mut self.trace);
        // A refusal names its connection, and those are numbered in the order in which viewers of
        // one instant were woken.
        if reply.status < 400 {
            reply.body.hash(&mut self.trace);
        }
        Some(reply)
    }
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: world\r\n\r\n")
}

/// The status and body of one answer, and not a byte more: an answer that nobody asked for would
/// be read as the head of the next one.
async fn read_answer(line: &mut DuplexStream) -> Option<(u16, Vec<u8>)> {
    let (mut head, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let count = line.read(&mut piece).await.ok().filter(|count| 0 < *count)?;
        head.extend(&piece[..count]);
    };
    let mut body = head.split_off(end);
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let status = head.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.and_then(|digits| digits.parse().ok()).unwrap_or(0);
    while body.len() < length {
        let count = line.read(&mut piece).await.ok().filter(|count| 0 < *count)?;
        body.extend(&piece[..count]);
    }
    (body.len() == length).then_some((status, body))
}
