//! A small low-latency server that is right in everything, or wrong in one thing on purpose. Its
//! stream is a function of the runtime's time, which the tests pause.

use std::convert::Infallible;
use std::fmt::Write;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body, Frame};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::base::WallTime;
use crate::check::watch::dial::{Dial, Link};

/// 2026-11-21T08:00:00Z
pub(super) const WALL: WallTime = WallTime::from_unix_millis(1_795_248_000_000);
const TARGET: u64 = 2;
const PART: Duration = Duration::from_millis(500);
const PARTS: u64 = 4;
/// Whole segments listed.
const WINDOW: u64 = 8;
/// Number of the part that is being made when the stage opens.
const FIRST_PART: u64 = 20 * PARTS;
/// Segments that came before the stage opened are kept as long as later ones.
const KEPT: Duration = Duration::from_secs(40);

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    /// Not a fault: the broadcast ends.
    Ends,
    /// Not a fault: the encoder is away for so long that requests are given up.
    Stalls,
    NoPlaylistType,
    SegmentsMissing,
    TornPlaylist,
    SegmentsGoEarly,
    PartsGoEarly,
    LateSegment,
    LatePart,
    DirectivesAfterEnd,
    RemovedAtOnce,
    InitChanges,
    EternalMultivariant,
    MultivariantKept,
    InitLate,
    /// Not a fault: addresses are written with variables.
    Variables,
    HintOfAnother,
    OutOfStep,
    PartWithoutSegmentTaken,
    SegmentNotWaitedFor,
    PartNotWaitedFor,
    PartPastEndTaken,
    FarSegmentHeld,
    FarPartHeld,
    HeldTooLong,
    GoneSegmentRefused,
    DeltaUnasked,
    BadValuesTaken,
    WaitersTurnedAway,
    NoDelta,
    HeadRefused,
    ValidatorCutsWait,
    FirstHeld,
    HintTrickles,
    HintForgotten,
    UnknownTaken,
    ListedSlow,
    NotPacked,
    OldHttp,
    KeptForLong,
    VariesByAgent,
    WrongRange,
    PlainType,
    Redirects,
    WrongDate,
    OldChange,
    NoCrossOrigin,
    AddressesByAsker,
}

/// When a broadcast of [`Fault::Ends`] and its kin is over, and when a stall begins.
const TURN: Duration = Duration::from_millis(20_200);

/// When the init segment of [`Fault::InitLate`] is there.
const INIT_AT: Duration = Duration::from_secs(9);

pub(super) struct Stage {
    fault: Fault,
    begun: Instant,
    asked: AtomicU64,
}

/// One rendition of the two at one instant.
struct Edge {
    /// The part that is not there yet.
    next: u64,
    ended: bool,
}

impl Stage {
    pub(super) fn dial(fault: Fault) -> Dial {
        let asked = AtomicU64::new(0);
        let stage = Arc::new(Self { fault, begun: Instant::now(), asked });
        let h2 = fault != Fault::OldHttp;
        Arc::new(move |_| {
            let stage = Arc::clone(&stage);
            Box::pin(async move {
                let (ours, theirs) = tokio::io::duplex(1 << 20);
                tokio_util::task::TaskTracker::new().spawn(serve(stage, theirs, h2));
                Ok(Link { io: Box::new(ours), h2 })
            })
        })
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// How many parts the encoder has made by now.
    #[expect(clippy::wildcard_enum_match_arm, reason = "few faults are the encoder's")]
    fn made(&self, rendition: &str, at: Duration) -> u64 {
        let at = match self.fault {
            Fault::OutOfStep if rendition == "low" => at.saturating_sub(PART * 4),
            Fault::LateSegment => away(at, Duration::from_millis(4_200)),
            Fault::LatePart => away(at, Duration::from_millis(1_500)),
            Fault::Stalls | Fault::HeldTooLong => away(at, Duration::from_secs(9)),
            Fault::Ends | Fault::DirectivesAfterEnd | Fault::WaitersTurnedAway => at.min(TURN),
            _ => at,
        };
        FIRST_PART + u64::try_from(at.as_millis() / PART.as_millis()).unwrap()
    }

    fn edge(&self, rendition: &str) -> Edge {
        let at = self.begun.elapsed();
        let ends = [Fault::Ends, Fault::DirectivesAfterEnd, Fault::WaitersTurnedAway];
        let ended = ends.contains(&self.fault) && TURN <= at;
        Edge { next: self.made(rendition, at), ended }
    }

    /// Waits until part `part` is made; false when it will not be for three targets, or ever.
    async fn wait_for(&self, rendition: &str, part: u64) -> bool {
        let patience = if self.is(Fault::HeldTooLong) { 20 } else { TARGET * 3 };
        let until = Instant::now() + Duration::from_secs(patience);
        while self.edge(rendition).next <= part {
            if self.edge(rendition).ended || until <= Instant::now() {
                return self.edge(rendition).ended;
            }
            // The encoder's own grid.
            let passed = self.begun.elapsed().as_millis() / 100 + 1;
            sleep_until(self.begun + Duration::from_millis(100) * u32::try_from(passed).unwrap())
                .await;
        }
        true
    }

    async fn answer(self: Arc<Self>, request: Request<hyper::body::Incoming>) -> Response<Flow> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut response = self.route(&request).await;
        let fields = response.headers_mut();
        if !self.is(Fault::NoCrossOrigin) {
            fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        if self.is(Fault::VariesByAgent) {
            let vary = HeaderValue::from_static("User-Agent, Accept-Encoding");
            fields.insert(header::VARY, vary);
        }
        let off = if self.is(Fault::WrongDate) { 3_600 } else { 0 };
        let now = WALL + self.begun.elapsed() + Duration::from_secs(off);
        fields.insert(header::DATE, HeaderValue::from_str(&http_date(now)).unwrap());
        if request.method() == Method::HEAD {
            *response.body_mut() = Flow::default();
        }
        response
    }

    async fn route(&self, request: &Request<hyper::body::Incoming>) -> Response<Flow> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let path = request.uri().path();
        let name = path.rsplit('/').next().unwrap_or_default();
        if request.method() == Method::HEAD && self.is(Fault::HeadRefused) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        match name {
            "index" => self.live(request, "high", &query).await,
            "index.m3u8" => {
                let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000\nhigh/live.m3u8\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=400000\nlow/live.m3u8\n";
                #[expect(clippy::wildcard_enum_match_arm, reason = "few faults are of caches")]
                let kept = match self.fault {
                    Fault::EternalMultivariant => "max-age=1, immutable",
                    Fault::MultivariantKept => "max-age=60",
                    _ => "max-age=1",
                };
                self.playlist(request, text.to_owned(), kept)
            }
            "live.m3u8" => {
                let rendition = if path.contains("/low/") { "low" } else { "high" };
                self.live(request, rendition, &query).await
            }
            name => self.media(request, name).await,
        }
    }

    /// The media playlist.
    async fn live(
        &self,
        request: &Request<hyper::body::Incoming>,
        rendition: &str,
        query: &str,
    ) -> Response<Flow> {
        let edge = self.edge(rendition);
        if self.is(Fault::RemovedAtOnce) && TURN <= self.begun.elapsed() {
            return plain(StatusCode::NOT_FOUND, "max-age=1");
        }
        let ignored = edge.ended && !self.is(Fault::DirectivesAfterEnd);
        let asked = if ignored { Ok(Asked::default()) } else { self.read(query, &edge) };
        let asked = match asked {
            Ok(asked) => asked,
            Err(()) => return plain(StatusCode::BAD_REQUEST, "max-age=1"),
        };
        if asked.part.is_none() && self.is(Fault::FirstHeld) {
            sleep(Duration::from_millis(1_500)).await;
        }
        if let Some(part) = asked.part {
            let cut = request.headers().contains_key(header::IF_NONE_MATCH);
            if cut && self.is(Fault::ValidatorCutsWait) {
                return plain(StatusCode::NOT_MODIFIED, "max-age=1");
            }
            let whole_segment = asked.segment_only && self.is(Fault::SegmentNotWaitedFor);
            let waits = !whole_segment && (asked.segment_only || !self.is(Fault::PartNotWaitedFor));
            let held = part >= self.edge(rendition).next;
            if waits && !self.wait_for(rendition, part).await {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "no-store");
            }
            if held && self.edge(rendition).ended && self.is(Fault::WaitersTurnedAway) {
                return plain(StatusCode::NOT_FOUND, "max-age=1");
            }
        }
        let edge = self.edge(rendition);
        let skip = asked.skip && !edge.ended && !self.is(Fault::NoDelta);
        let mut text = self.text(rendition, &edge, skip || self.is(Fault::DeltaUnasked));
        let torn = self.asked.load(Ordering::Relaxed).is_multiple_of(3);
        if self.is(Fault::TornPlaylist) && torn && asked.part.is_none() {
            text.truncate(text.find("#EXT-X-PRELOAD-HINT").map_or(0, |hint| hint + 9));
        }
        let kept = match asked.part {
            None if self.is(Fault::KeptForLong) => "max-age=60",
            None if edge.ended => "max-age=12",
            None => "max-age=1",
            Some(_) => "max-age=12",
        };
        self.playlist(request, text, kept)
    }

    fn read(&self, query: &str, edge: &Edge) -> Result<Asked, ()> {
        let (mut msn, mut part, mut asked) = (None, None, Asked::default());
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let number = || {
                let digits = value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit());
                value.parse::<u64>().ok().filter(|_| digits).ok_or(())
            };
            match name {
                "_HLS_msn" if self.is(Fault::BadValuesTaken) => msn = number().ok(),
                "_HLS_msn" => msn = Some(number()?),
                "_HLS_part" => part = Some(number()?),
                "_HLS_skip" => asked.skip = true,
                _ => {}
            }
        }
        let last = edge.next / PARTS;
        match (msn, part) {
            (None, Some(_)) if !self.is(Fault::PartWithoutSegmentTaken) => Err(()),
            (None, _) => Ok(asked),
            (Some(msn), _) if last + 2 < msn && !self.is(Fault::FarSegmentHeld) => Err(()),
            (Some(msn), _) if msn < last - WINDOW && self.is(Fault::GoneSegmentRefused) => Err(()),
            (Some(msn), None) => Ok(Asked { part: Some(msn * PARTS), segment_only: true, ..asked }),
            (Some(msn), Some(part)) if PARTS <= part && msn < last => {
                let wrong = self.is(Fault::PartPastEndTaken);
                if wrong { Err(()) } else { Ok(Asked { part: Some((msn + 1) * PARTS), ..asked }) }
            }
            (Some(msn), Some(part)) => {
                let far = edge.next + 6 < msn * PARTS + part && PARTS <= part;
                if far && !self.is(Fault::FarPartHeld) {
                    return Err(());
                }
                Ok(Asked { part: Some(msn * PARTS + part.min(PARTS)), ..asked })
            }
        }
    }

    fn text(&self, rendition: &str, edge: &Edge, skip: bool) -> String {
        let (open, ended) = (edge.next / PARTS, edge.ended);
        let first = open - WINDOW;
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:{TARGET}\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.0,PART-HOLD-BACK=1.5\n\
             #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:0\n",
            if skip { 9 } else { 6 }
        );
        // Whole segments beyond the boundary of twelve seconds.
        let skipped = if skip { 2 } else { 0 };
        if skip {
            let _ = writeln!(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
        } else {
            text.push_str("#EXT-X-MAP:URI=\"init.mp4\"\n");
        }
        for msn in first + skipped..=open {
            let from = WALL - Duration::from_secs(TARGET * 20) + Duration::from_secs(msn * TARGET);
            let parts = if open < msn + 3 { PARTS } else { 0 };
            for part in (msn * PARTS..msn * PARTS + parts).filter(|&part| part < edge.next) {
                if part == msn * PARTS {
                    let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{from}");
                }
                let independent = if part % PARTS == 0 { ",INDEPENDENT=YES" } else { "" };
                let _ =
                    writeln!(text, "#EXT-X-PART:DURATION=0.50000,URI=\"p{part}.m4s\"{independent}");
            }
            if msn < open {
                if parts == 0 {
                    let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{from}");
                }
                let who = self.asked.load(Ordering::Relaxed);
                let token = if self.is(Fault::AddressesByAsker) {
                    format!("?u={who}")
                } else {
                    String::new()
                };
                let _ = writeln!(text, "#EXTINF:2.00000,\ns{msn}.m4s{token}");
            }
        }
        if ended {
            text.push_str("#EXT-X-ENDLIST\n");
            return text;
        }
        let hint = if self.is(Fault::HintOfAnother) { "h" } else { "p" };
        let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{hint}{}.m4s\"", edge.next);
        let other = if rendition == "low" { "high" } else { "low" };
        let (msn, part) = ((edge.next - 1) / PARTS, (edge.next - 1) % PARTS);
        let _ = writeln!(
            text,
            "#EXT-X-RENDITION-REPORT:URI=\"../{other}/live.m3u8\",LAST-MSN={msn},LAST-PART={part}"
        );
        text
    }

    fn playlist(
        &self,
        request: &Request<hyper::body::Incoming>,
        text: String,
        kept: &'static str,
    ) -> Response<Flow> {
        let packs = request.headers().contains_key(header::ACCEPT_ENCODING);
        let packs = packs && !self.is(Fault::NotPacked);
        let text = if self.is(Fault::Variables) { with_variables(&text) } else { text };
        let etag = format!("\"{:x}\"", text.len());
        let body = if packs {
            let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
            packer.write_all(text.as_bytes()).unwrap();
            packer.finish().unwrap()
        } else {
            text.into_bytes()
        };
        let wrong = self.is(Fault::NoPlaylistType);
        let kind = if wrong { "text/plain" } else { "application/vnd.apple.mpegurl" };
        let mut response = good(Flow::at_once(body.into()), kind, kept);
        let fields = response.headers_mut();
        fields.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        fields.insert(header::ETAG, HeaderValue::from_str(&etag).unwrap());
        if packs {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if self.is(Fault::OldChange) {
            let then = WALL + self.begun.elapsed() - Duration::from_secs(60);
            let then = HeaderValue::from_str(&http_date(then)).unwrap();
            fields.insert(header::LAST_MODIFIED, then);
        }
        response
    }

    /// Init segments, segments `s…`, parts `p…`, and parts hinted under another name.
    async fn media(&self, request: &Request<hyper::body::Incoming>, name: &str) -> Response<Flow> {
        let unknown = || {
            let taken = self.is(Fault::UnknownTaken);
            plain(if taken { StatusCode::OK } else { StatusCode::NOT_FOUND }, "max-age=1")
        };
        let number = |name: &str| name.get(1..)?.strip_suffix(".m4s")?.parse::<u64>().ok();
        let at = self.begun.elapsed();
        let edge = self.edge("high");
        let whole = Duration::from_secs(TARGET);
        if name == "init.mp4" && self.is(Fault::InitLate) && at < INIT_AT {
            return plain(StatusCode::NOT_FOUND, "max-age=1");
        }
        if name == "init.mp4" {
            let version =
                if self.is(Fault::InitChanges) { self.asked.load(Ordering::Relaxed) } else { 0 };
            let body = format!("\0\0\0\x18ftypiso6 {version} and so much more to read");
            return good(Flow::at_once(body.into()), "video/mp4", "max-age=86400, immutable");
        }
        let Some(number) = number(name) else { return unknown() };
        let body = format!("\0\0\0\x18moof {name} holds what it holds, and a little more");
        let (first, last, end) = match name.get(..1) {
            Some("s") => (0, number * PARTS + PARTS - 1, "s"),
            Some("p" | "h") => (0, number, "p"),
            _ => return unknown(),
        };
        if name.starts_with(['p', 'h']) && number == edge.next {
            // The hinted part is held.
            if self.is(Fault::HintForgotten) {
                sleep(whole * 3).await;
                return plain(StatusCode::SERVICE_UNAVAILABLE, "max-age=1");
            }
            let trickles = self.is(Fault::HintTrickles);
            if !trickles && !self.wait_for("high", number).await {
                return plain(StatusCode::SERVICE_UNAVAILABLE, "max-age=1");
            }
            let slow = if trickles { PART } else { Duration::ZERO };
            return good(Flow::slowly(body.into(), slow), "video/mp4", "max-age=12");
        }
        if edge.next <= last || last < first {
            return unknown();
        }
        let made = PART * u32::try_from((last + 1).saturating_sub(FIRST_PART)).unwrap();
        let listed = match (end, self.fault) {
            ("s", Fault::SegmentsGoEarly) => whole * u32::try_from(WINDOW).unwrap(),
            ("p", Fault::PartsGoEarly) => whole * 3,
            _ => KEPT,
        };
        if made + listed < at || self.is(Fault::RemovedAtOnce) && TURN <= at {
            return unknown();
        }
        if end == "s" && number.is_multiple_of(3) && self.is(Fault::SegmentsMissing) {
            return unknown();
        }
        if end == "s" && self.is(Fault::Redirects) && request.uri().query().is_none() {
            let mut response = plain(StatusCode::FOUND, "max-age=1");
            let to = HeaderValue::from_str(&format!("{name}?again=1")).unwrap();
            response.headers_mut().insert(header::LOCATION, to);
            return response;
        }
        let slow = if self.is(Fault::ListedSlow) { whole * 2 } else { Duration::ZERO };
        let kind = if self.is(Fault::PlainType) { "text/plain" } else { "video/iso.segment" };
        let Some(range) = request.headers().get(header::RANGE) else {
            return good(Flow::slowly(body.into(), slow), kind, "max-age=86400, immutable");
        };
        let range = range.to_str().unwrap().trim_start_matches("bytes=");
        let (from, to) = range.split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        if body.len() <= from {
            return plain(StatusCode::RANGE_NOT_SATISFIABLE, "max-age=1");
        }
        let from = if self.is(Fault::WrongRange) { from + 1 } else { from };
        let part = body.get(from..=to).unwrap_or_default().to_owned();
        let mut response = good(Flow::at_once(part.into()), kind, "max-age=86400");
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response
    }
}

/// The same playlist with a variable for the folder, which the multivariant one defines.
fn with_variables(text: &str) -> String {
    let defined = if text.contains("#EXT-X-STREAM-INF") {
        "NAME=\"folder\",VALUE=\"./\""
    } else {
        "IMPORT=\"folder\""
    };
    let text = text.replacen('\n', &format!("\n#EXT-X-DEFINE:{defined}\n"), 1);
    let text = text.replace("\nhigh", "\n{$folder}high").replace("\ns", "\n{$folder}s");
    text.replace("URI=\"p", "URI=\"{$folder}p").replace("URI=\"i", "URI=\"{$folder}i")
}

/// The encoder's time when it was away for a while from [`TURN`] on, and then sent all at once.
fn away(at: Duration, while_: Duration) -> Duration {
    if at < TURN || TURN + while_ <= at { at } else { TURN }
}

#[derive(Default)]
struct Asked {
    /// The running number of the part to wait for.
    part: Option<u64>,
    segment_only: bool,
    skip: bool,
}

fn plain(status: StatusCode, kept: &'static str) -> Response<Flow> {
    let mut response = good(Flow::default(), "text/plain", kept);
    *response.status_mut() = status;
    response
}

fn good(body: Flow, kind: &'static str, kept: &'static str) -> Response<Flow> {
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
    response
}

fn http_date(at: WallTime) -> String {
    let at = jiff::Timestamp::from_millisecond(at.unix_millis()).unwrap();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

async fn serve(stage: Arc<Stage>, io: tokio::io::DuplexStream, h2: bool) {
    let service = service_fn(move |request| {
        let stage = Arc::clone(&stage);
        async move { Ok::<_, Infallible>(stage.answer(request).await) }
    });
    let io = TokioIo::new(io);
    // Whoever leaves in the middle is no failure of the stage.
    if h2 {
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server.serve_connection(io, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

/// A body in two halves, with a pause between them.
#[derive(Default)]
struct Flow {
    halves: [Option<Bytes>; 2],
    pause: Option<Pin<Box<Sleep>>>,
    length: Duration,
}

impl Flow {
    fn at_once(body: Bytes) -> Self {
        Self { halves: [None, Some(body)], ..Self::default() }
    }

    fn slowly(mut body: Bytes, length: Duration) -> Self {
        if length.is_zero() {
            return Self::at_once(body);
        }
        let second = body.split_off(body.len() / 2);
        Self { halves: [Some(body), Some(second)], pause: None, length }
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(half) = self.halves[0].take() {
            self.pause = Some(Box::pin(sleep(self.length)));
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if let Some(pause) = &mut self.pause
            && pause.as_mut().poll(cx).is_pending()
        {
            return Poll::Pending;
        }
        self.pause = None;
        Poll::Ready(self.halves[1].take().map(|half| Ok(Frame::data(half))))
    }

    fn is_end_stream(&self) -> bool {
        self.halves.iter().all(Option::is_none)
    }
}
