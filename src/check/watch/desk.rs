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
use super::veil::Veil;
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
    veil: Mutex<Veil>,
    progress: watch::Sender<Progress>,
}

impl Desk {
    pub(super) fn new(
        dial: Dial,
        clock: Arc<dyn Clock>,
        progress: watch::Sender<Progress>,
        stop: CancellationToken,
    ) -> Self {
        let (ledger, bodies, variables, veil) = Default::default();
        let begun = Instant::now();
        let own_delay = Arc::new(OwnDelay::since(begun));
        let client = Client::new(dial, Arc::clone(&own_delay));
        Self { client, stop, clock, begun, own_delay, ledger, bodies, variables, veil, progress }
    }

    /// What has come up so far that must not be shown.
    pub(super) fn veil(&self) -> Veil {
        self.veil.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        // Its variables may have put them anywhere.
        let mut veil = self.veil.lock().unwrap_or_else(PoisonError::into_inner);
        veil.hide(answer.address.query());
        drop(veil);
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
            Err(error) if error.is_own() => return None,
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

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;

    use super::*;
    use crate::check::Outcome;
    use crate::check::watch::{Report, Seen};
    use crate::testing::clock::RuntimeClock;

    /// A value that a playlist takes from the query of its address into a path is in no report.
    #[tokio::test]
    async fn what_a_playlist_takes_from_a_query_is_not_shown() {
        let clock = Arc::new(RuntimeClock::starting_at(crate::base::WallTime::from_unix_millis(0)));
        let (progress, _) = watch::channel(Progress::default());
        let nobody: Dial = Arc::new(|_| Box::pin(std::future::pending()));
        let desk = Desk::new(nobody, clock, progress, CancellationToken::new());
        let address = Address::parse("http://h/live.m3u8?token=SECRET").unwrap();
        let text = "#EXTM3U\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n#EXTINF:9,\n{$token}/s.ts\n";
        let answer = desk.filled(Answer::made(&address, HeaderMap::new(), text)).unwrap();
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.ends_with("\nSECRET/s.ts\n"), "{text}");
        let media = address.join(text.lines().last().unwrap()).unwrap();
        desk.judge(&media, |scale| scale.weigh("H9", false, || format!("no {media:?}")));
        let (ledger, veil) = (desk.ledger().clone(), desk.veil());
        let broken = ledger.outcomes().any(|(_, o)| matches!(o, Outcome::Broken { .. }));
        let (time, own_delay, renditions, progress) = Default::default();
        let seen = Seen { address, time, own_delay, renditions, progress, ledger, veil };
        let report = Report::new(&seen, &[]);
        let shown = [report.text(false, true), report.json().to_string(), report.junit()];
        assert!(broken && shown.iter().all(|shown| shown.contains("http://h/…/s.ts")));
        assert!(shown.iter().all(|shown| !shown.contains("SECRET")), "{shown:?}");
    }
}
