use std::time::Duration;

use hyper::StatusCode;

use super::directives::AskError;
use super::route::RouteError;
use crate::base::{Blame, ChannelId, WallTime};
use crate::gate::Refusal;

/// Every answer of this room that is not what was asked for. Each says whose fault it is, and
/// becomes a problem document (RFC 9457) in `http::problem`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error(transparent)]
    Route(#[from] RouteError),
    #[error(transparent)]
    Directives(#[from] AskError),
    /// The request ends its lines in a way that two servers may read differently, or comes with
    /// a transfer coding.
    #[error("the request is not framed as HTTP/1.1 asks")]
    Framing,
    #[error("no address here takes a body")]
    BodyTooLarge,
    #[error("no address here takes a coded body")]
    BodyCoding,
    #[error("the request names no host")]
    HostMissing,
    #[error("this server does not answer for the host of the request")]
    HostUnknown,

    #[error("there is no channel of this name")]
    ChannelUnknown,
    #[error("channel {channel} is not live")]
    ChannelOffline { channel: ChannelId },
    #[error("channel {channel} goes live, but has sent no picture yet")]
    ChannelStarting { channel: ChannelId },
    #[error("no broadcast of this channel has this address")]
    BroadcastUnknown,
    #[error("this broadcast ended at {at}")]
    BroadcastEnded { at: WallTime },
    #[error("nothing of this broadcast has this name, or it is no longer kept")]
    MediaUnknown,
    #[error("this part is missing: the encoder was away")]
    MediaMissing,
    #[error("the playlist will not reach so far soon")]
    TooFarAhead,
    #[error("the media did not come within {waited:?}")]
    HeldTooLong { waited: Duration },
    #[error("too many requests wait for media")]
    TooManyHeld,
    #[error("this server has no room for more viewers right now")]
    Overloaded,
    #[error("the range lies outside the {len} bytes of the media")]
    RangeOutside { len: u64 },

    #[error("this server is starting or stopping")]
    NotReady,
    /// The gate said no.
    #[error(transparent)]
    Refused(Refusal),
}

/// How long and by whom an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// By nobody.
    Never,
    /// By anybody, for this long.
    For(Duration),
    /// By anybody, for good: the bytes behind this address never change (H32). A day is said,
    /// since no viewer comes back later.
    Always,
}

/// Longest time that a problem which may pass is kept: a cache that replays an older 503 or 404
/// keeps players out although the encoder is back (H111).
const PASSING_KEPT: Duration = Duration::from_secs(1);
/// How long one that will not pass is kept.
const LASTING_KEPT: Duration = Duration::from_secs(60);

/// When a viewer who found no room may try again: memory frees when a broadcast ends, a processor when viewers leave.
const OVERLOADED_RETRY: u32 = 10;

/// What is to be said of a problem whatever the case: one row for each, in [`Problem::facts`].
struct Facts {
    blame: Blame,
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    keep: Keep,
}

/// The asker's fault, and perhaps no fault a moment later.
fn asked(status: StatusCode, name: &'static str, title: &'static str) -> Facts {
    Facts { blame: Blame::Peer, status, name, title, keep: Keep::For(PASSING_KEPT) }
}

/// The asker's fault, and a matter of this one connection.
fn wrong(status: StatusCode, name: &'static str, title: &'static str) -> Facts {
    Facts { keep: Keep::Never, ..asked(status, name, title) }
}

/// Nobody's fault: the same request is answered when it is asked again.
fn later(blame: Blame, name: &'static str, title: &'static str) -> Facts {
    Facts { blame, ..asked(StatusCode::SERVICE_UNAVAILABLE, name, title) }
}

fn refused(refusal: &Refusal) -> Facts {
    let (status, title) = match refusal {
        Refusal::BroadcastsClosed(_) => (StatusCode::GONE, "New broadcasts are closed"),
        Refusal::KeysClosed(_) => (StatusCode::GONE, "New channels and stream keys are closed"),
        Refusal::WatchingClosed(_) => (StatusCode::GONE, "Live broadcasts have ended"),
        Refusal::NodeDraining => (StatusCode::SERVICE_UNAVAILABLE, "This server is about to stop"),
        Refusal::ClockUntrusted(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "The clock of this server is wrong")
        }
    };
    let keep = match refusal.as_closed() {
        // While an operator can still move the closing, nobody keeps it.
        Some(closed) if closed.revocable => Keep::Never,
        Some(_) => Keep::For(LASTING_KEPT),
        None => Keep::Never,
    };
    Facts { blame: refusal.blame(), status, name: refusal.as_str(), title, keep }
}

fn routed(err: &RouteError) -> Facts {
    const QUERY: (&str, &str) = ("query-too-long", "Query too long");
    match err {
        RouteError::NotFound => asked(StatusCode::NOT_FOUND, "not-found", "Nothing here"),
        RouteError::Method => asked(StatusCode::METHOD_NOT_ALLOWED, "method", "Reading only"),
        RouteError::AddressTooLong { .. } => {
            asked(StatusCode::URI_TOO_LONG, "address-too-long", "Address too long")
        }
        RouteError::QueryTooLong { .. } | RouteError::TooManyPairs { .. } => {
            asked(StatusCode::BAD_REQUEST, QUERY.0, QUERY.1)
        }
    }
}

impl Problem {
    fn facts(&self) -> Facts {
        const MISSING: StatusCode = StatusCode::NOT_FOUND;
        const WRONG: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::Route(err) => routed(err),
            Self::Refused(refusal) => refused(refusal),
            Self::Directives(_) => asked(WRONG, "directives", "Wrong delivery directives"),
            Self::Framing => wrong(WRONG, "framing", "Ambiguous request"),
            Self::BodyTooLarge => {
                wrong(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body not taken")
            }
            Self::BodyCoding => {
                wrong(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body-coding", "Coded body not taken")
            }
            Self::HostMissing => wrong(WRONG, "host-missing", "No host named"),
            Self::HostUnknown => {
                wrong(StatusCode::MISDIRECTED_REQUEST, "host-unknown", "Another host's address")
            }
            Self::ChannelUnknown => asked(MISSING, "channel-unknown", "No such channel"),
            Self::ChannelOffline { .. } => asked(MISSING, "channel-offline", "Channel offline"),
            Self::ChannelStarting { .. } => {
                later(Blame::Peer, "channel-starting", "Channel starting")
            }
            Self::BroadcastUnknown => asked(MISSING, "broadcast-unknown", "No such broadcast"),
            Self::BroadcastEnded { .. } => Facts {
                keep: Keep::For(LASTING_KEPT),
                ..asked(StatusCode::GONE, "broadcast-ended", "Broadcast ended")
            },
            Self::MediaUnknown => asked(MISSING, "media-unknown", "No such media"),
            Self::MediaMissing => asked(MISSING, "media-missing", "Media missing"),
            Self::TooFarAhead => asked(WRONG, "too-far-ahead", "Too far ahead"),
            Self::RangeOutside { .. } => {
                asked(StatusCode::RANGE_NOT_SATISFIABLE, "range-outside", "Range outside")
            }
            Self::HeldTooLong { .. } => later(Blame::Upstream, "held-too-long", "Media late"),
            // Often a ceiling of this one address or connection.
            Self::TooManyHeld => Facts {
                keep: Keep::Never,
                ..later(Blame::Policy, "too-many-held", "Too many waiting")
            },
            Self::Overloaded => later(Blame::Policy, "overloaded", "No room for more viewers"),
            Self::NotReady => {
                Facts { keep: Keep::Never, ..later(Blame::Policy, "not-ready", "Not ready") }
            }
        }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        self.facts().blame
    }

    pub fn status(&self) -> StatusCode {
        self.facts().status
    }

    /// The last word of the document's `type`; also what logs call it.
    pub fn as_str(&self) -> &'static str {
        self.facts().name
    }

    /// One sentence that stays the same from case to case.
    pub(super) fn title(&self) -> &'static str {
        self.facts().title
    }

    /// How long the answer may be kept.
    pub(super) fn keep(&self) -> Keep {
        self.facts().keep
    }

    /// Seconds after which asking again makes sense.
    pub(super) fn retry_after(&self) -> Option<u32> {
        let seconds = if matches!(self, Self::Overloaded) { OVERLOADED_RETRY } else { 1 };
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(seconds)
    }

    /// The connection cannot be trusted to stand at the beginning of a request afterwards.
    pub(super) fn ends_connection(&self) -> bool {
        matches!(self, Self::Framing | Self::BodyTooLarge | Self::BodyCoding)
    }
}
