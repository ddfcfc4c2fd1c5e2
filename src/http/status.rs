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

/// When a viewer who found no room may try again: memory frees when a broadcast ends.
const OVERLOADED_RETRY: u32 = 10;

impl Problem {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Route(_)
            | Self::Directives(_)
            | Self::Framing
            | Self::BodyTooLarge
            | Self::BodyCoding
            | Self::HostMissing
            | Self::HostUnknown
            | Self::ChannelUnknown
            | Self::ChannelOffline { .. }
            | Self::ChannelStarting { .. }
            | Self::BroadcastUnknown
            | Self::BroadcastEnded { .. }
            | Self::MediaUnknown
            | Self::MediaMissing
            | Self::TooFarAhead
            | Self::RangeOutside { .. } => Blame::Peer,
            Self::HeldTooLong { .. } => Blame::Upstream,
            Self::TooManyHeld | Self::Overloaded | Self::NotReady => Blame::Policy,
            Self::Refused(refusal) => refusal.blame(),
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::Route(RouteError::NotFound)
            | Self::ChannelUnknown
            | Self::ChannelOffline { .. }
            | Self::BroadcastUnknown
            | Self::MediaUnknown
            | Self::MediaMissing => StatusCode::NOT_FOUND,
            Self::Route(RouteError::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Route(RouteError::AddressTooLong { .. }) => StatusCode::URI_TOO_LONG,
            Self::Route(RouteError::QueryTooLong { .. } | RouteError::TooManyPairs { .. })
            | Self::Directives(_)
            | Self::Framing
            | Self::HostMissing
            | Self::TooFarAhead => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::HostUnknown => StatusCode::MISDIRECTED_REQUEST,
            Self::BroadcastEnded { .. } => StatusCode::GONE,
            Self::RangeOutside { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::ChannelStarting { .. }
            | Self::HeldTooLong { .. }
            | Self::TooManyHeld
            | Self::Overloaded
            | Self::NotReady => StatusCode::SERVICE_UNAVAILABLE,
            Self::Refused(refusal) => match refusal {
                Refusal::BroadcastsClosed(_)
                | Refusal::KeysClosed(_)
                | Refusal::WatchingClosed(_) => StatusCode::GONE,
                Refusal::NodeDraining | Refusal::ClockUntrusted(_) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
            },
        }
    }

    /// The last word of the document's `type`; also what logs call it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Route(RouteError::NotFound) => "not-found",
            Self::Route(RouteError::Method) => "method",
            Self::Route(RouteError::AddressTooLong { .. }) => "address-too-long",
            Self::Route(RouteError::QueryTooLong { .. } | RouteError::TooManyPairs { .. }) => {
                "query-too-long"
            }
            Self::Directives(_) => "directives",
            Self::Framing => "framing",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyCoding => "body-coding",
            Self::HostMissing => "host-missing",
            Self::HostUnknown => "host-unknown",
            Self::ChannelUnknown => "channel-unknown",
            Self::ChannelOffline { .. } => "channel-offline",
            Self::ChannelStarting { .. } => "channel-starting",
            Self::BroadcastUnknown => "broadcast-unknown",
            Self::BroadcastEnded { .. } => "broadcast-ended",
            Self::MediaUnknown => "media-unknown",
            Self::MediaMissing => "media-missing",
            Self::TooFarAhead => "too-far-ahead",
            Self::HeldTooLong { .. } => "held-too-long",
            Self::TooManyHeld => "too-many-held",
            Self::Overloaded => "overloaded",
            Self::RangeOutside { .. } => "range-outside",
            Self::NotReady => "not-ready",
            Self::Refused(refusal) => refusal.as_str(),
        }
    }

    /// One sentence that stays the same from case to case.
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Route(RouteError::NotFound) => "Nothing here",
            Self::Route(RouteError::Method) => "Reading only",
            Self::Route(RouteError::AddressTooLong { .. }) => "Address too long",
            Self::Route(RouteError::QueryTooLong { .. } | RouteError::TooManyPairs { .. }) => {
                "Query too long"
            }
            Self::Directives(_) => "Wrong delivery directives",
            Self::Framing => "Ambiguous request",
            Self::BodyTooLarge => "Body not taken",
            Self::BodyCoding => "Coded body not taken",
            Self::HostMissing => "No host named",
            Self::HostUnknown => "Another host's address",
            Self::ChannelUnknown => "No such channel",
            Self::ChannelOffline { .. } => "Channel offline",
            Self::ChannelStarting { .. } => "Channel starting",
            Self::BroadcastUnknown => "No such broadcast",
            Self::BroadcastEnded { .. } => "Broadcast ended",
            Self::MediaUnknown => "No such media",
            Self::MediaMissing => "Media missing",
            Self::TooFarAhead => "Too far ahead",
            Self::HeldTooLong { .. } => "Media late",
            Self::TooManyHeld => "Too many waiting",
            Self::Overloaded => "No room for more viewers",
            Self::RangeOutside { .. } => "Range outside",
            Self::NotReady => "Not ready",
            Self::Refused(refusal) => match refusal {
                Refusal::BroadcastsClosed(_) => "New broadcasts are closed",
                Refusal::KeysClosed(_) => "New channels and stream keys are closed",
                Refusal::WatchingClosed(_) => "Live broadcasts have ended",
                Refusal::NodeDraining => "This server is about to stop",
                Refusal::ClockUntrusted(_) => "The clock of this server is wrong",
            },
        }
    }

    /// Seconds after which asking again makes sense.
    pub(super) fn retry_after(&self) -> Option<u32> {
        let seconds = if matches!(self, Self::Overloaded) { OVERLOADED_RETRY } else { 1 };
        (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(seconds)
    }

    /// How long the answer may be kept.
    pub(super) fn keep(&self) -> Keep {
        match self {
            Self::Route(_)
            | Self::Directives(_)
            | Self::ChannelUnknown
            | Self::ChannelOffline { .. }
            | Self::ChannelStarting { .. }
            | Self::BroadcastUnknown
            | Self::MediaUnknown
            | Self::MediaMissing
            | Self::TooFarAhead
            | Self::HeldTooLong { .. }
            | Self::TooManyHeld
            | Self::Overloaded
            | Self::RangeOutside { .. } => Keep::For(PASSING_KEPT),
            Self::BroadcastEnded { .. } => Keep::For(LASTING_KEPT),
            Self::Framing
            | Self::BodyTooLarge
            | Self::BodyCoding
            | Self::HostMissing
            | Self::HostUnknown
            | Self::NotReady => Keep::Never,
            Self::Refused(refusal) => match refusal.as_closed() {
                // While an operator can still move the closing, nobody keeps it.
                Some(closed) if closed.revocable => Keep::Never,
                Some(_) => Keep::For(LASTING_KEPT),
                None => Keep::Never,
            },
        }
    }

    /// The connection cannot be trusted to stand at the beginning of a request afterwards.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Framing | Self::BodyTooLarge | Self::BodyCoding => true,
            Self::Route(_)
            | Self::Directives(_)
            | Self::HostMissing
            | Self::HostUnknown
            | Self::ChannelUnknown
            | Self::ChannelOffline { .. }
            | Self::ChannelStarting { .. }
            | Self::BroadcastUnknown
            | Self::BroadcastEnded { .. }
            | Self::MediaUnknown
            | Self::MediaMissing
            | Self::TooFarAhead
            | Self::HeldTooLong { .. }
            | Self::TooManyHeld
            | Self::Overloaded
            | Self::RangeOutside { .. }
            | Self::NotReady
            | Self::Refused(_) => false,
        }
    }
}
