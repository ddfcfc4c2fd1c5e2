//! Real streams beside whatever happens: own publishers paced in real time, each watched by a
//! low-latency viewer that fetches every part and reads in it which frames have come.
//!
//! They live in a thread of their own, so that a test may block or flood as it likes. Pictures are
//! filler behind the codec configurations of a real encoder; each carries its number, by which a
//! viewer knows that none is missing and how long ago the last one was sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ghostlight::base::{Limits, SystemClock};
use ghostlight::rtmp::client::{Link, MediaKind, Target};
use ghostlight::testing::clips;
use ghostlight::testing::lint::{check_playlist, check_reload};
use tokio_util::sync::CancellationToken;

use crate::http::Http;
use crate::stage::{PATIENCE, Stage};
use crate::unrest::Unrest;

/// As many as the rules ask for.
pub(crate) const NEIGHBOURS: usize = 5;
/// From the last picture of a part having been sent to the part having been fetched. Three of its
/// own lengths: later than that, a player that stays as close as it may runs dry.
pub(crate) const PART_LATE_MAX: Duration = Duration::from_millis(750);
/// Parts that every viewer has fetched before a test begins.
const PARTS_BEFORE: usize = 4;

const FRAME_RATE: u32 = 30;
const GOP_FRAMES: u32 = 60;
const KEY_BYTES: usize = 12_000;
const FRAME_BYTES: usize = 2_000;
const AUDIO_BYTES: usize = 256;
/// AAC frames have 1,024 samples of 48,000 a second.
const AUDIO_MICROS: u64 = 1_024_000_000 / 48_000;

/// Stands in front of a picture's number, which is written in 8 hexadecimal digits.
const STAMP: &[u8] = b"neighbour-stamp:";
/// Where a picture's content begins: behind the tag's five bytes, a length of four and the NAL
/// unit's first.
const CONTENT_AT: usize = 10;

/// Running streams with their viewers. Dropping them cuts them off.
#[derive(Debug)]
pub(crate) struct Neighbours {
    seen: Vec<Arc<Mutex<Seen>>>,
    unrest: Unrest,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What became of one stream.
#[derive(Debug, Default)]
struct Seen {
    sent: Vec<Instant>,
    parts: Vec<Part>,
    versions: usize,
    faults: Vec<String>,
}

/// A part that a viewer has fetched.
#[derive(Clone, Copy, Debug)]
struct Part {
    number: u64,
    at: Instant,
    /// Since its last picture was sent.
    after: Duration,
}

/// How long parts took from their last picture to the viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) parts: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
    /// What of it the machine itself may have caused.
    pub(crate) unrest: Duration,
}

impl Neighbours {
    /// Starts [`NEIGHBOURS`] streams on a server and returns when all of them are watched.
    pub(crate) fn start(stage: &Stage) -> Self {
        Self::start_some(stage, NEIGHBOURS)
    }

    pub(crate) fn start_some(stage: &Stage, count: usize) -> Self {
        let channels = (0..count).map(|number| format!("neighbour{number}"));
        let targets: Vec<_> = channels.map(|name| (stage.key(&name), name)).collect();
        let seen: Vec<_> = targets.iter().map(|_| Arc::<Mutex<Seen>>::default()).collect();
        let stop = CancellationToken::new();
        let streams: Vec<_> = targets.into_iter().zip(seen.iter().cloned()).collect();
        let (http, stopped) = (stage.http, stop.clone());
        let thread = thread::spawn(move || run(http, streams, &stopped));
        let neighbours = Self { seen, unrest: Unrest::watch(), stop, thread: Some(thread) };
        neighbours.wait_for_parts(PARTS_BEFORE);
        neighbours
    }

    /// Waits until every viewer has fetched so many parts more.
    pub(crate) fn wait_for_parts(&self, more: usize) {
        let goals: Vec<_> = self.each().map(|seen| seen.parts.len() + more).collect();
        let deadline = Instant::now() + PATIENCE;
        while self.each().zip(&goals).any(|(seen, goal)| seen.parts.len() < *goal) {
            let faults = self.faults();
            assert!(faults.is_empty(), "{faults:#?}");
            assert!(Instant::now() < deadline, "no part comes");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// No publication has ended, every part came in its turn with every picture in it and within
    /// [`PART_LATE_MAX`] and what the machine itself took, every version of a playlist is sound, and
    /// they still go on.
    pub(crate) fn assert_untouched(&self) {
        self.assert_untouched_within(PART_LATE_MAX);
    }

    /// The same where a part may come later.
    pub(crate) fn assert_untouched_within(&self, late_max: Duration) {
        self.wait_for_parts(2);
        let faults = self.faults();
        assert!(faults.is_empty(), "{faults:#?}");
        for (number, seen) in self.each().enumerate() {
            for part in seen.parts.iter().filter(|part| late_max < part.after) {
                let unrest = self.unrest.between(part.at - part.after, part.at);
                assert!(
                    part.after <= late_max + unrest,
                    "part {} of neighbour {number} came after {:?}, the machine took {unrest:?} of it",
                    part.number,
                    part.after
                );
            }
            assert!(1 < seen.versions, "neighbour {number} saw one version of its playlist");
        }
    }

    /// Of all parts that were fetched since then.
    pub(crate) fn latency_since(&self, start: Instant) -> Latency {
        let mut lengths: Vec<Duration> = Vec::new();
        for seen in self.each() {
            lengths.extend(seen.parts.iter().filter(|p| start <= p.at).map(|part| part.after));
        }
        lengths.sort_unstable();
        let quantile = |of_100: usize| {
            let at = (lengths.len() * of_100).div_ceil(100).saturating_sub(1);
            lengths.get(at).copied().expect("parts were fetched")
        };
        Latency {
            parts: lengths.len(),
            p50: quantile(50),
            p99: quantile(99),
            max: quantile(100),
            unrest: self.unrest.between(start, Instant::now()),
        }
    }

    fn faults(&self) -> Vec<String> {
        self.each().flat_map(|seen| seen.faults.clone()).collect()
    }

    fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Seen>> {
        self.seen.iter().map(lock)
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there has printed itself.
            let _ = thread.join();
        }
    }
}

fn lock(seen: &Arc<Mutex<Seen>>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One stream each: where to publish it, its channel, and what is written down of it.
type Stream = ((Target, String), Arc<Mutex<Seen>>);

fn run(http: SocketAddr, streams: Vec<Stream>, stop: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        for ((target, channel), seen) in streams {
            let book = Arc::clone(&seen);
            tokio::spawn(async move {
                let error = publish(target, &book).await;
                lock(&book).faults.push(format!("a publication ended: {error}"));
            });
            tokio::spawn(async move {
                let error = watch(http, &channel, &seen).await;
                lock(&seen).faults.push(format!("the viewer of {channel} gave up: {error}"));
            });
        }
        stop.cancelled().await;
    });
}

type Error = Box<dyn std::error::Error>;

/// Publishes in real time until something goes wrong, and answers what.
async fn publish(target: Target, seen: &Mutex<Seen>) -> Error {
    let sending = async {
        let clock = Arc::new(SystemClock::new());
        let mut link = Link::open(target, &Limits::default(), clock).await?;
        link.write(MediaKind::Video, 0, clips::avc_config()).await?;
        link.write(MediaKind::Audio, 0, clips::aac_config()).await?;
        let start = tokio::time::Instant::now();
        let (mut pictures, mut sounds) = (0_u32, 0_u32);
        loop {
            let picture_at = u64::from(pictures) * 1_000_000 / u64::from(FRAME_RATE);
            let sound_at = u64::from(sounds) * AUDIO_MICROS;
            let due = picture_at.min(sound_at);
            link.listen_until(start + Duration::from_micros(due)).await?;
            let timestamp = u32::try_from(due / 1_000)?;
            if sound_at < picture_at {
                link.write(MediaKind::Audio, timestamp, clips::aac_frame(AUDIO_BYTES)).await?;
                sounds += 1;
            } else {
                link.write(MediaKind::Video, timestamp, picture(pictures)).await?;
                pictures += 1;
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.sent.push(Instant::now());
            }
        }
    };
    let sent: Result<(), Error> = sending.await;
    sent.err().unwrap_or_else(|| "it has no end".into())
}

/// A picture that carries its number.
fn picture(number: u32) -> Bytes {
    let key = number.is_multiple_of(GOP_FRAMES);
    let mut body = clips::avc_frame(key, if key { KEY_BYTES } else { FRAME_BYTES }).to_vec();
    let stamp = [STAMP, format!("{number:08x}").as_bytes()].concat();
    body.splice(CONTENT_AT..CONTENT_AT + stamp.len(), stamp);
    body.into()
}

/// The numbers of the pictures in a part, in their order.
fn pictures_in(part: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    let mut rest = part;
    while let Some(at) = rest.windows(STAMP.len()).position(|window| window == STAMP) {
        let after = rest.get(at + STAMP.len()..).unwrap_or_default();
        let digits = after.get(..8).and_then(|digits| std::str::from_utf8(digits).ok());
        found.extend(digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()));
        rest = after;
    }
    found
}

/// Watches as a low-latency player does until something is not as it should be, and answers what.
async fn watch(addr: SocketAddr, channel: &str, seen: &Mutex<Seen>) -> Error {
    let watched: Result<(), Error> = async {
        let mut http = Http::new(addr);
        let playlist = find_playlist(&mut http, channel).await?;
        let mut viewer = Viewer { http, playlist, text: String::new(), next_picture: None, seen };
        viewer.join().await?;
        loop {
            viewer.reload().await?;
        }
    }
    .await;
    watched.err().unwrap_or_else(|| "it has no end".into())
}

/// The address of a channel's media playlist, as soon as it has one.
pub(crate) async fn find_playlist(http: &mut Http, channel: &str) -> Result<String, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = http.get(&format!("/{channel}/index.m3u8")).await?;
        if answer.status == 200 {
            let text = answer.text();
            let name = text.lines().rfind(|line| !line.starts_with('#')).ok_or("no rendition")?;
            return Ok(format!("/{channel}/{name}"));
        }
        if deadline < Instant::now() {
            return Err(format!("{} for {channel}", answer.status).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

struct Viewer<'a> {
    http: Http,
    playlist: String,
    /// The version that was read last.
    text: String,
    next_picture: Option<u32>,
    seen: &'a Mutex<Seen>,
}

impl Viewer<'_> {
    /// Reads the playlist once; what it lists already is left to others.
    async fn join(&mut self) -> Result<(), Error> {
        let playlist = self.playlist.clone();
        self.take_version(&playlist).await
    }

    /// Waits for the next part and fetches it, and more if more have come.
    async fn reload(&mut self) -> Result<(), Error> {
        let before = listed_parts(&self.text).keys().next_back().copied();
        let (msn, part) = next_part(&self.text);
        let reload = format!("{}?_HLS_msn={msn}&_HLS_part={part}", self.playlist);
        self.take_version(&reload).await?;
        let mut new = listed_parts(&self.text);
        new.retain(|number, _| before.is_none_or(|before| before < *number));
        if new.is_empty() {
            return Err(format!("nothing new after a reload for {msn}.{part}").into());
        }
        let mut turn = before.map(|before| before + 1);
        for (number, name) in new {
            if turn.is_some_and(|turn| turn != number) {
                return Err(format!("part {number} stands where {turn:?} should").into());
            }
            turn = Some(number + 1);
            self.fetch(number, &name).await?;
        }
        Ok(())
    }

    async fn take_version(&mut self, path: &str) -> Result<(), Error> {
        let answer = self.http.get(path).await?;
        if answer.status != 200 {
            return Err(format!("{} for {path}: {}", answer.status, answer.text()).into());
        }
        let text = answer.text();
        let mut findings = check_playlist(&text);
        if !self.text.is_empty() && self.text != text {
            findings.extend(check_reload(&self.text, &text));
        }
        if !findings.is_empty() {
            return Err(format!("{findings:#?} in\n{text}").into());
        }
        self.text = text;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).versions += 1;
        Ok(())
    }

    async fn fetch(&mut self, number: u64, name: &str) -> Result<(), Error> {
        let folder = self.playlist.rsplit_once('/').map_or("", |(folder, _)| folder);
        let answer = self.http.get(&format!("{folder}/{name}")).await?;
        if answer.status != 200 {
            return Err(format!("{} for {name}", answer.status).into());
        }
        let at = Instant::now();
        let pictures = pictures_in(&answer.body);
        let (Some(&first), Some(&last)) = (pictures.first(), pictures.last()) else {
            return Err(format!("no picture in {name}").into());
        };
        let expected = self.next_picture.unwrap_or(first);
        if !(expected..=last).eq(pictures.iter().copied()) {
            return Err(format!("{name} holds {pictures:?} instead of {expected} and on").into());
        }
        self.next_picture = Some(last + 1);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A picture may arrive before its sender has come to write down that it is gone.
        let sent = seen.sent.get(usize::try_from(last)?).copied().unwrap_or(at);
        seen.parts.push(Part { number, at, after: at.saturating_duration_since(sent) });
        Ok(())
    }
}

/// Number and name of every part that a playlist lists and that has media.
fn listed_parts(text: &str) -> BTreeMap<u64, String> {
    let lines = text.lines().filter(|line| line.starts_with("#EXT-X-PART:"));
    let names = lines.filter_map(|line| line.split("URI=\"").nth(1)?.split('"').next());
    let parts = names.filter_map(|name| {
        let number = name.rsplit('/').next()?.strip_prefix('p')?.strip_suffix(".m4s")?;
        Some((number.parse().ok()?, name.to_owned()))
    });
    parts.collect()
}

/// Media sequence and index of the part to come.
pub(crate) fn next_part(text: &str) -> (u64, usize) {
    let tag = "#EXT-X-MEDIA-SEQUENCE:";
    let first = text.lines().find_map(|line| line.strip_prefix(tag)?.parse::<u64>().ok());
    let (mut msn, mut part) = (first.unwrap_or(0), 0);
    for line in text.lines() {
        if line.starts_with("#EXT-X-PART:") {
            part += 1;
        } else if !line.starts_with('#') && !line.is_empty() {
            (msn, part) = (msn + 1, 0);
        }
    }
    (msn, part)
}

/// A playlist with parts of a whole segment and of an open one.
#[test]
fn what_comes_next_is_read_from_the_playlist() {
    let text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-PART:DURATION=0.25,URI=\"p1.m4s\"\n\
                #EXTINF:2.00000,\ns7.m4s\n#EXT-X-PART:DURATION=0.25,URI=\"p2.m4s\"\n";
    assert_eq!(next_part(text), (8, 1));
    assert_eq!(listed_parts(text).into_keys().collect::<Vec<_>>(), [1, 2]);
}

/// The pictures that go in are the pictures that are found.
#[test]
fn pictures_are_found_by_their_numbers() {
    let part = [picture(59), clips::aac_frame(AUDIO_BYTES), picture(60)].concat();
    assert_eq!(pictures_in(&part), [59, 60]);
}

/// Streams that nobody disturbs are untouched, and one that is cut off is not.
#[test]
fn a_quiet_street_is_untouched_and_a_killed_one_is_not() {
    let mut stage = Stage::start(&[]);
    let neighbours = Neighbours::start(&stage);
    let start = Instant::now();
    neighbours.wait_for_parts(8);
    neighbours.assert_untouched();
    let latency = neighbours.latency_since(start);
    assert!(NEIGHBOURS * 8 <= latency.parts && latency.p50 <= latency.p99, "{latency:?}");
    stage.kill();
    let deadline = Instant::now() + PATIENCE;
    while neighbours.faults().len() < 2 * NEIGHBOURS {
        assert!(Instant::now() < deadline, "{:#?}", neighbours.faults());
        thread::sleep(Duration::from_millis(20));
    }
}
