//! What all tasks of one watch share: the client, the ledger, and the bytes seen behind every
//! address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::answers::{Kind, Setting, judge_answer};
use super::bodies::Bodies;
use super::client::{Answer, Ask, Client, FetchError};
use super::dial::Dial;
use super::own_delay::OwnDelay;
use super::scale::Scale;
use super::view::{Piece, PieceKind, Spot};
use crate::base::Clock;
use crate::check::{Ledger, Multivariant, Variables, substitute};

/// Longest playlist, and longest piece of media, that is read.
const PLAYLIST_BYTES_MAX: usize = 8 << 20;
const MEDIA_BYTES_MAX: usize = 64 << 20;
/// Longest wait for an answer that nobody is to hold back.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How far a watch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub requests: u64,
    pub bytes: u64,
    /// Versions of playlists.
    pub versions: u64,
    /// Different rules broken so far.
    pub broken: u64,
}

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) client: Client,
    pub(super) stop: CancellationToken,
    clock: Arc<dyn Clock>,
    begun: Instant,
    pub(super) own_delay: Arc<OwnDelay>,
    ledger: Mutex<Ledger>,
    bodies: Mutex<Bodies>,
    /// What the multivariant playlist defines for those it lists.
    variables: Mutex<Variables>,
    progress: watch::Sender<Progress>,
}

impl Desk {
    pub(super) fn new(
        dial: Dial,
        clock: Arc<dyn Clock>,
        progress: watch::Sender<Progress>,
        stop: CancellationToken,
    ) -> Self {
        let (ledger, bodies, variables) = Default::default();
        let begun = Instant::now();
        let own_delay = Arc::new(OwnDelay::since(begun));
        let client = Client::new(dial, Arc::clone(&own_delay));
        Self { client, stop, clock, begun, own_delay, ledger, bodies, variables, progress }
    }

    /// Time since the watch began.
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// An instant as time since the watch began.
    pub(super) fn since_begun(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.begun)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges what is at an address.
    pub(super) fn judge(&self, address: &Address, judge: impl FnOnce(&mut Scale<'_>)) {
        judge(&mut Scale::new(&mut self.ledger(), address.as_str()));
    }

    /// One more version of a playlist was seen.
    pub(super) fn count_version(&self) {
        let counts = self.client.counts();
        let broken = self.ledger().broken_rules();
        self.progress.send_modify(|progress| {
            progress.versions += 1;
            (progress.requests, progress.bytes) = (counts.requests, counts.bytes);
            progress.broken = broken;
        });
    }

    pub(super) fn progress(&self) -> Progress {
        let counts = self.client.counts();
        let versions = self.progress.borrow().versions;
        let broken = self.ledger().broken_rules();
        Progress { requests: counts.requests, bytes: counts.bytes, versions, broken }
    }

    /// Asks for a playlist and judges the fields of a good answer.
    pub(super) async fn playlist(
        &self,
        address: &Address,
        query: &str,
        kind: Kind,
        (setting, time_max): (Setting, Duration),
    ) -> Result<Answer, FetchError> {
        let asked = if query.is_empty() { address.clone() } else { address.with_query(query) };
        let ask = Ask::get(&asked, time_max, PLAYLIST_BYTES_MAX);
        let ask = Ask { gzip: true, lines: true, ..ask };
        let answer = self.filled(self.client.fetch(&ask).await?)?;
        if answer.is_good() {
            // It may have ended since the version that the setting is from.
            let text = String::from_utf8_lossy(&answer.body);
            let ended = setting.ended || text.lines().any(|line| line == "#EXT-X-ENDLIST");
            self.judge_good(&asked, &answer, kind, Setting { ended, ..setting });
        }
        Ok(answer)
    }

    /// Asks for a playlist and judges nothing.
    pub(super) async fn probe(&self, ask: Ask) -> Result<Answer, FetchError> {
        self.filled(self.client.fetch(&ask).await?)
    }

    /// The answer, where it is a playlist with the values of its variables in their places.
    fn filled(&self, answer: Answer) -> Result<Answer, FetchError> {
        if !answer.is_good() || !answer.body.starts_with(b"#EXTM3U") {
            return Ok(answer);
        }
        let Ok(text) = str::from_utf8(&answer.body) else { return Ok(answer) };
        let mut known = self.variables.lock().unwrap_or_else(PoisonError::into_inner);
        let found = substitute(text, answer.address.query(), &known, PLAYLIST_BYTES_MAX)?;
        let Some((text, own)) = found else { return Ok(answer) };
        if Multivariant::is(&text) {
            *known = own;
        }
        drop(known);
        Ok(Answer { body: text.into(), ..answer })
    }

    /// A request for a playlist as a probe makes it.
    pub(super) fn ask(address: &Address, query: &str) -> Ask {
        let address = if query.is_empty() { address.clone() } else { address.with_query(query) };
        Ask { lines: true, ..Ask::get(&address, ANSWER_TIME_MAX, PLAYLIST_BYTES_MAX) }
    }

    fn judge_good(&self, address: &Address, answer: &Answer, kind: Kind, setting: Setting) {
        let wall = self.clock.now().wall;
        self.judge(address, |scale| judge_answer(scale, answer, kind, setting, wall));
    }

    /// Fetches something that a playlist lists, and judges that it is there, at once, and the
    /// same as ever.
    pub(super) async fn piece(&self, piece: &Piece, setting: Setting) -> Option<Answer> {
        let address = &piece.place.address;
        let answer = match self.client.fetch(&media_ask(&piece.place)).await {
            Ok(answer) => answer,
            Err(error) => {
                self.judge(address, |scale| scale.weigh("H9", false, || error.to_string()));
                return None;
            }
        };
        let kind = match piece.kind {
            PieceKind::Init => Kind::Init,
            PieceKind::Part | PieceKind::Segment => Kind::Media { length: piece.length },
        };
        self.judge_good(address, &answer, kind, setting);
        self.judge(address, |scale| {
            scale.weigh("H9", answer.is_good(), || {
                format!("listed, and answered {}", answer.status)
            });
        });
        self.remember(&piece.place, &answer);
        if let (Some((start, end)), true) = (piece.place.range, answer.is_good()) {
            let right = answer.status == StatusCode::PARTIAL_CONTENT
                && u64::try_from(answer.body.len())
                    .is_ok_and(|length| start.checked_add(length) == Some(end));
            self.judge(address, |scale| {
                scale.weigh("H113", right, || {
                    let (status, bytes) = (answer.status, answer.body.len());
                    format!("bytes {start} to {end} asked for, {status} with {bytes} bytes")
                });
            });
        }
        answer.is_good().then_some(answer)
    }

    /// H32: an address never serves two different bodies.
    pub(super) fn remember(&self, place: &Spot, answer: &Answer) {
        if !answer.is_good() {
            return;
        }
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(same) = bodies.see(place, &answer.body) else { return };
        self.judge(&place.address, |scale| {
            scale.weigh("H32", same, || "two different bodies of one address".to_owned());
        });
    }

    pub(super) fn media_ask(place: &Spot) -> Ask {
        media_ask(place)
    }
}

fn media_ask(place: &Spot) -> Ask {
    let ask = Ask::get(&place.address, ANSWER_TIME_MAX, MEDIA_BYTES_MAX);
    debug_assert_eq!(ask.method, Method::GET);
    let Some((start, end)) = place.range else { return ask };
    let range = format!("bytes={start}-{}", end.saturating_sub(1));
    match HeaderValue::from_str(&range) {
        Ok(range) => ask.with(header::RANGE, range),
        Err(_) => ask,
    }
}
