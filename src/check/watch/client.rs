//! An HTTP client as simple as a judge needs: one request, one bounded and timed answer.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::address::{Address, AddressError};
use super::dial::{Dial, Link};
use super::own_delay::OwnDelay;
use crate::check::DefineError;

/// Longest time until a connection stands, encryption included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// What fails while this program itself stood still for longer says nothing of the other side.
const OWN_DELAY_MAX: Duration = Duration::from_secs(1);
/// Redirects followed for one request.
const REDIRECTS_MAX: usize = 5;
/// Most lines of a playlist: a day in segments of a second has 172,800. Each may name something
/// beside it, of which the whole address is kept: there is room for so many bytes of them.
const LINES_MAX: usize = 200_000;
const ADDRESSES_BYTES_MAX: usize = 32 << 20;
/// Connections kept for later requests to one host.
const IDLE_MAX: usize = 8;
/// Where the page that plays would come from: not the server's own site, so that the answer says
/// whether it may be played there.
const ORIGIN: HeaderValue = HeaderValue::from_static("https://player.example");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("ghostlight-check/", env!("CARGO_PKG_VERSION")));
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) address: Address,
    pub(super) method: Method,
    pub(super) gzip: bool,
    pub(super) fields: Vec<(HeaderName, HeaderValue)>,
    /// Longest time until the whole answer is there.
    pub(super) time_max: Duration,
    /// Longest body; of one that comes packed, together with what it unpacks to.
    pub(super) bytes_max: usize,
    /// The body is taken apart by lines, so these are bounded as well.
    pub(super) lines: bool,
}

impl Ask {
    pub(super) fn get(address: &Address, time_max: Duration, bytes_max: usize) -> Self {
        let (address, method, fields) = (address.clone(), Method::GET, vec![]);
        Self { address, method, gzip: false, fields, time_max, bytes_max, lines: false }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }
}

/// A whole answer, and when it came.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Where it came from, after redirects.
    pub(super) address: Address,
    pub(super) redirects: usize,
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    /// Unpacked.
    pub(super) body: Bytes,
    pub(super) gzip: bool,
    pub(super) times: Times,
}

/// The instants of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The connection stood, and the request was about to be sent.
    pub(super) asked: Instant,
    pub(super) head: Instant,
    /// First byte of the body; [`Times::done`] without one.
    pub(super) first: Instant,
    pub(super) done: Instant,
    /// How long this program itself had stood still when it asked, when the head had come, and when
    /// all had.
    pub(super) lost: [Duration; 3],
}

impl Times {
    /// From the request to the first byte of what was asked, as far as it is the server's.
    pub(super) fn waited(&self) -> Duration {
        self.first.duration_since(self.asked).saturating_sub(self.own())
    }

    /// From the request to the head of the answer, as far as it is the server's.
    pub(super) fn held(&self) -> Duration {
        let [asked, head, _] = self.lost;
        let own = head.saturating_sub(asked);
        self.head.duration_since(self.asked).saturating_sub(own)
    }

    /// From the first to the last byte of the body, as far as it is the server's.
    pub(super) fn flowed(&self) -> Duration {
        self.done.duration_since(self.first).saturating_sub(self.own())
    }

    fn own(&self) -> Duration {
        let [asked, _, done] = self.lost;
        done.saturating_sub(asked)
    }
}

impl Answer {
    /// A field as text; `None` where it is absent or no text.
    pub(super) fn field(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn is_good(&self) -> bool {
        self.status.is_success()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{host} cannot be reached: {error}")]
    Connect { host: String, error: io::Error },
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("the answer is longer than {0} bytes")]
    Long(usize),
    #[error("the playlist has more than {0} lines")]
    Lines(usize),
    #[error("the answer is broken off or no HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the gzip body cannot be unpacked")]
    Gzip,
    #[error("redirected to where nothing can be looked at: {0}")]
    Redirect(AddressError),
    #[error(transparent)]
    Define(#[from] DefineError),
    #[error("this program itself stood still for {0:?} meanwhile")]
    Own(Duration),
    #[error("redirected more than {REDIRECTS_MAX} times")]
    RedirectLoop,
}

impl FetchError {
    /// It says nothing of the other side.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

/// Scheme, host and port.
type Origin = (bool, String, u16);

enum Sender {
    H1(http1::SendRequest<String>),
    H2(http2::SendRequest<String>),
}

/// Keeps connections; a clone shares them.
#[derive(Clone)]
pub(super) struct Client {
    dial: Dial,
    own: Arc<OwnDelay>,
    idle: Arc<Mutex<BTreeMap<Origin, Vec<Sender>>>>,
    tasks: TaskTracker,
    counts: Arc<Mutex<Counts>>,
}

/// What the client has cost the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) bytes: u64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(dial: Dial, own: Arc<OwnDelay>) -> Self {
        let (idle, counts) = (Arc::default(), Arc::default());
        Self { dial, own, idle, tasks: TaskTracker::new(), counts }
    }

    pub(super) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, and follows redirects. Dropped half-way, the connection is closed with it.
    pub(super) async fn fetch(&self, ask: &Ask) -> Result<Answer, FetchError> {
        let (_, before) = self.own.now();
        let found = timeout(ask.time_max + CONNECT_TIME_MAX, self.follow(ask)).await;
        let found = found.unwrap_or(Err(FetchError::Late(ask.time_max)));
        let (_, after) = self.own.now();
        let own = after.saturating_sub(before);
        found.map_err(|error| {
            let cut = matches!(
                error,
                FetchError::Connect { .. } | FetchError::Late(_) | FetchError::Http(_)
            );
            if cut && OWN_DELAY_MAX < own { FetchError::Own(own) } else { error }
        })
    }

    async fn follow(&self, ask: &Ask) -> Result<Answer, FetchError> {
        let mut ask = ask.clone();
        for redirects in 0..=REDIRECTS_MAX {
            let mut answer = self.exchange(&ask).await?;
            let to = answer.field(&header::LOCATION).filter(|_| answer.status.is_redirection());
            let Some(to) = to else {
                answer.redirects = redirects;
                return Ok(answer);
            };
            let next = ask.address.join(to);
            // Where to is not told: it may hold a secret.
            ask.address = next.map_err(FetchError::Redirect)?;
        }
        Err(FetchError::RedirectLoop)
    }

    async fn exchange(&self, ask: &Ask) -> Result<Answer, FetchError> {
        let origin = origin(&ask.address);
        // A kept connection may have been closed by the other side meanwhile; a new one is not.
        while let Some(sender) = self.take_idle(&origin) {
            match self.exchange_on(sender, ask, &origin).await {
                Err(FetchError::Http(error))
                    if error.is_canceled()
                        || error.is_closed()
                        || error.is_incomplete_message() => {}
                done => return done,
            }
        }
        let sender = self.connect(ask, &origin).await?;
        self.exchange_on(sender, ask, &origin).await
    }

    async fn exchange_on(
        &self,
        mut sender: Sender,
        ask: &Ask,
        origin: &Origin,
    ) -> Result<Answer, FetchError> {
        if let Sender::H2(shared) = &sender {
            self.keep_idle(origin.clone(), Sender::H2(shared.clone()));
        }
        let asked = self.own.now();
        let late = |_| FetchError::Late(ask.time_max);
        let whole = async {
            let response = match &mut sender {
                Sender::H1(sender) => sender.send_request(request(ask, Version::HTTP_11)).await?,
                Sender::H2(sender) => sender.send_request(request(ask, Version::HTTP_2)).await?,
            };
            read(response, ask, asked, &self.own).await
        };
        let answer = timeout(ask.time_max, whole).await.map_err(late)??;
        if matches!(sender, Sender::H1(_)) {
            self.keep_idle(origin.clone(), sender);
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.requests += 1;
        counts.bytes += u64::try_from(answer.body.len()).unwrap_or(0);
        drop(counts);
        Ok(answer)
    }

    async fn connect(&self, ask: &Ask, origin: &Origin) -> Result<Sender, FetchError> {
        let failed = |error| FetchError::Connect { host: origin.1.clone(), error };
        let dialled = timeout(CONNECT_TIME_MAX, (self.dial)(ask.address.clone()));
        let Link { io, h2 } = match dialled.await {
            Ok(link) => link.map_err(failed)?,
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        };
        let io = TokioIo::new(io);
        if h2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), io).await?;
            self.tasks.spawn(driver);
            Ok(Sender::H2(sender))
        } else {
            let (sender, driver) = http1::handshake(io).await?;
            self.tasks.spawn(driver);
            Ok(Sender::H1(sender))
        }
    }

    fn take_idle(&self, origin: &Origin) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(origin)?;
        kept.retain(|sender| !sender.is_closed());
        kept.pop()
    }

    fn keep_idle(&self, origin: Origin, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(origin).or_default();
        if kept.len() < IDLE_MAX && !sender.is_closed() {
            kept.push(sender);
        }
    }
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::H1(sender) => sender.is_closed(),
            Self::H2(sender) => sender.is_closed(),
        }
    }
}

#[cfg(test)]
impl Answer {
    /// A good answer at once that nobody gave.
    pub(super) fn made(address: &Address, headers: HeaderMap, body: &'static str) -> Self {
        let now = Instant::now();
        Self {
            address: address.clone(),
            redirects: 0,
            status: StatusCode::OK,
            version: Version::HTTP_11,
            headers,
            body: Bytes::from_static(body.as_bytes()),
            gzip: false,
            times: Times { asked: now, head: now, first: now, done: now, lost: Default::default() },
        }
    }
}

fn origin(address: &Address) -> Origin {
    (address.is_encrypted(), address.host().to_owned(), address.port())
}

fn request(ask: &Ask, version: Version) -> Request<String> {
    let mut request = Request::new(String::new());
    *request.method_mut() = ask.method.clone();
    *request.version_mut() = version;
    // HTTP/2 says the host in the address, HTTP/1.1 in a field (RFC 9113 8.3.1, RFC 9112 3.2).
    let whole = ask.address.as_str().to_owned();
    let uri = if version == Version::HTTP_2 { whole } else { ask.address.target() };
    *request.uri_mut() = uri.parse().unwrap_or_default();
    let fields = request.headers_mut();
    if version != Version::HTTP_2
        && let Ok(host) = HeaderValue::from_str(ask.address.authority())
    {
        fields.insert(header::HOST, host);
    }
    fields.insert(header::USER_AGENT, AGENT);
    fields.insert(header::ORIGIN, ORIGIN);
    if ask.gzip {
        fields.insert(header::ACCEPT_ENCODING, GZIP);
    }
    fields.extend(ask.fields.iter().cloned());
    request
}

async fn read(
    response: Response<Incoming>,
    ask: &Ask,
    (asked, lost_before): (Instant, Duration),
    own: &OwnDelay,
) -> Result<Answer, FetchError> {
    let (head, lost_at_head) = own.now();
    let (parts, body) = response.into_parts();
    let mut body = pin!(body);
    let (mut first, mut bytes) = (None, Vec::new());
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        first.get_or_insert_with(Instant::now);
        if ask.bytes_max < bytes.len() + data.len() {
            return Err(FetchError::Long(ask.bytes_max));
        }
        bytes.extend_from_slice(&data);
    }
    let (done, lost) = own.now();
    let lost = [lost_before, lost_at_head, lost];
    let coding = parts.headers.get(header::CONTENT_ENCODING);
    let gzip = coding.is_some_and(|coding| coding == GZIP) && ask.method != Method::HEAD;
    let body = if gzip { unpack(&bytes, ask.bytes_max)? } else { bytes.into() };
    if ask.lines {
        bound_lines(&body, &ask.address)?;
    }
    let times = Times { asked, head, first: first.unwrap_or(done), done, lost };
    Ok(Answer {
        address: ask.address.clone(),
        redirects: 0,
        status: parts.status,
        version: parts.version,
        headers: parts.headers,
        body,
        gzip,
        times,
    })
}

/// Whether a playlist at this address is short enough to be taken apart.
fn bound_lines(body: &[u8], address: &Address) -> Result<(), FetchError> {
    let max = LINES_MAX.min(ADDRESSES_BYTES_MAX / address.as_str().len().max(1));
    let beyond = body.iter().filter(|byte| **byte == b'\n').nth(max);
    beyond.map_or(Ok(()), |_| Err(FetchError::Lines(max)))
}

fn unpack(packed: &[u8], bytes_max: usize) -> Result<Bytes, FetchError> {
    let mut plain = Vec::new();
    // Both are held at the same time.
    let room = bytes_max.saturating_sub(packed.len());
    let limit = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
    let unpacked = MultiGzDecoder::new(packed).take(limit).read_to_end(&mut plain);
    unpacked.map_err(|_| FetchError::Gzip)?;
    if room < plain.len() {
        return Err(FetchError::Long(bytes_max));
    }
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tokio::time::{advance, sleep};

    use super::*;

    /// A request that came to nothing while this program stood still is nobody's fault.
    #[tokio::test(start_paused = true)]
    async fn who_stands_still_has_not_been_refused() {
        let failure = async |still: Duration| {
            let own = Arc::new(OwnDelay::since(Instant::now()));
            let nobody: Dial = Arc::new(|_| Box::pin(std::future::pending()));
            let client = Client::new(nobody, Arc::clone(&own));
            let address = Address::parse("http://h/live.m3u8").unwrap();
            let ask = Ask::get(&address, CONNECT_TIME_MAX, 100);
            let standing = async {
                sleep(Duration::from_secs(2)).await;
                advance(still).await;
            };
            tokio::select! {
                () = own.run() => unreachable!("it looks for ever"),
                (found, ()) = async { tokio::join!(client.fetch(&ask), standing) } => {
                    found.unwrap_err()
                }
            }
        };
        for (still, blames) in [(0, true), (500, true), (3_000, false), (15_000, false)] {
            let error = failure(Duration::from_millis(still)).await;
            assert_eq!(matches!(error, FetchError::Connect { .. }), blames, "{still}: {error}");
            assert_eq!(error.is_own(), !blames, "{still}: {error}");
        }
    }

    /// A playlist of many lines is refused, one at a long address sooner.
    #[test]
    fn the_lines_of_a_playlist_are_bounded() {
        let short = Address::parse("http://h/live.m3u8").unwrap();
        let long = Address::parse(&format!("http://h/{}", "a/".repeat(4_000))).unwrap();
        let long_max = ADDRESSES_BYTES_MAX / long.as_str().len();
        assert!(long_max < LINES_MAX, "{long_max}");
        for (address, max) in [(&short, LINES_MAX), (&long, long_max)] {
            let body = |lines: usize| "a\n".repeat(lines).into_bytes();
            assert!(bound_lines(&body(max), address).is_ok());
            let error = bound_lines(&body(max + 1), address).unwrap_err();
            assert!(matches!(error, FetchError::Lines(found) if found == max), "{error}");
        }
    }

    /// Asked for or not, what is packed and what it unpacks to are bounded together.
    #[test]
    fn a_packed_body_is_bounded_with_what_it_holds() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&[0; 100_000]).unwrap();
        let packed = packer.finish().unwrap();
        let most = packed.len() + 100_000;
        assert_eq!(unpack(&packed, most).unwrap().len(), 100_000);
        for least in [most - 1, packed.len(), 1] {
            let error = unpack(&packed, least).unwrap_err();
            assert!(matches!(error, FetchError::Long(max) if max == least), "{error}");
        }
    }
}
