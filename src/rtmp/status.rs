//! Why connections end, and how a publisher is told.

use std::io;

use super::amf::AmfError;
use super::handshake::HandshakeError;
use super::wire::WireError;
use crate::base::Blame;
use crate::gate::Refusal;
use crate::hub::{Busy, EndReason, StartError};
use crate::media::IntakeError;

/// Longest description, in bytes: it has to fit dialogs and log lines of old encoders.
const DESCRIPTION_BYTES_MAX: usize = 199;

/// Why a connection ended. The [`std::fmt::Display`] form is what the owner of the channel
/// reads; the label is what is counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    // The peer's own doing.
    #[error("The broadcast was ended by the encoder.")]
    Finished,
    #[error("The encoder closed the connection.")]
    Left,
    #[error("The connection broke ({0}).")]
    Broken(io::ErrorKind),

    // Turned away before a word.
    #[error("This server has all the connections it can take.")]
    ConnectionsFull,
    #[error("There are too many connections from this address.")]
    AddressFull,
    #[error("Too many connections arrive at once.")]
    AcceptRate,
    #[error("There are too many TLS handshakes at once.")]
    TlsBusy,
    #[error("The TLS handshake took too long.")]
    TlsTimeout,
    #[error("The TLS handshake failed.")]
    TlsFailed,

    // Before `publish`.
    #[error("The handshake failed: {0}.")]
    Handshake(HandshakeError),
    #[error("The handshake took too long.")]
    HandshakeTimeout,
    #[error("No connect command came.")]
    ConnectTimeout,
    #[error("No publish command came.")]
    PublishTimeout,
    #[error("This app does not exist here. Publish to rtmp://HOST/live with your stream key.")]
    AppUnknown,
    #[error("Nothing is played over RTMP here. Watch on the web page of the channel.")]
    PlayNotServed,

    // What was sent.
    #[error("Protocol error: {0}.")]
    Wire(WireError),
    #[error("Protocol error: {0}.")]
    Amf(AmfError),
    #[error("More than {max} commands could not be answered.")]
    TooManyErrors { max: u32 },
    #[error("Protocol error: an aggregate message of more than {max} parts.")]
    AggregateParts { max: usize },
    #[error("More than {max} bytes a second came for too long. Lower the bitrate.")]
    TooManyBytes { max: usize },

    // The answer to `publish`.
    #[error("No stream key was given. Enter the stream key of your channel.")]
    KeyMissing,
    #[error("This stream key is not known here. Check it for missing characters.")]
    KeyUnknown,
    #[error("Too many wrong stream keys came from your address. Try again in ten minutes.")]
    TooManyGuesses,
    #[error("Stream keys cannot be checked right now. Try again in a minute.")]
    TryLater,
    #[error("{0}")]
    Refused(Refusal),
    #[error("{}", start_text(.0))]
    NotStarted(StartError),

    // The end of a publication.
    #[error("The stream cannot be used: {0}.")]
    Media(IntakeError),
    #[error("No audio or video came that can be played.")]
    FirstMediaTimeout,
    #[error("Nothing was received any more.")]
    Silent,
    #[error("The encoder neither sent media nor answered.")]
    Unanswered,
    #[error("The encoder does not read what it is sent.")]
    WriteStalled,
    #[error("Replaced: another connection with the same stream key has taken over.")]
    Replaced,
    #[error("The stream key was revoked.")]
    KeyRevoked,
    #[error("The service has closed; the broadcast was ended.")]
    ServiceClosed,
    #[error("This server is about to stop. Reconnect in a moment.")]
    Draining,
    /// A rule of the hub, by its label.
    #[error("The broadcast was ended by the server ({0}).")]
    Ended(&'static str),
}

fn start_text(error: &StartError) -> &'static str {
    match error {
        StartError::Busy(Busy::OtherKey) => {
            "This channel is already live with another of its stream keys."
        }
        StartError::Busy(Busy::SameKey) => {
            "This stream key is live from another encoder. Stop that one first; if it was lost, \
             try again in half a minute."
        }
        StartError::Busy(Busy::TooManyTakeovers) => {
            "This stream key was taken over too often. Stop the other encoder, then wait."
        }
        StartError::Overtaken => "A later connection with the same stream key is already live.",
        StartError::NothingToResume => "The broadcast to resume has ended. Start a new one.",
        StartError::TooManyBroadcasts { .. } => {
            "This server has all the broadcasts it can take. Try again in a few minutes."
        }
        StartError::OutOfMemory => {
            "This server has no memory left for a new broadcast. Try again in a few minutes."
        }
        StartError::OutOfTime => {
            "This server is too busy for a new broadcast. Try again in a few minutes."
        }
    }
}

/// What `onStatus` carries besides level `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: &'static str,
    /// ASCII, below 200 bytes.
    pub description: String,
}

impl Cause {
    /// The metric label and log field.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Left => "left",
            Self::Broken(_) => "broken",
            Self::ConnectionsFull => "connections_full",
            Self::AddressFull => "address_full",
            Self::AcceptRate => "accept_rate",
            Self::TlsBusy => "tls_busy",
            Self::TlsTimeout => "tls_timeout",
            Self::TlsFailed => "tls_failed",
            Self::Handshake(_) => "handshake",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::ConnectTimeout => "connect_timeout",
            Self::PublishTimeout => "publish_timeout",
            Self::AppUnknown => "app_unknown",
            Self::PlayNotServed => "play_not_served",
            Self::Wire(error) => error.as_str(),
            Self::Amf(error) => error.as_str(),
            Self::TooManyErrors { .. } => "too_many_errors",
            Self::AggregateParts { .. } => "aggregate_parts",
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::KeyMissing => "key_missing",
            Self::KeyUnknown => "key_unknown",
            Self::TooManyGuesses => "too_many_guesses",
            Self::TryLater => "try_later",
            Self::Refused(refusal) => refusal.as_str(),
            Self::NotStarted(StartError::Busy(Busy::OtherKey)) => "busy_other_key",
            Self::NotStarted(StartError::Busy(Busy::SameKey)) => "busy_same_key",
            Self::NotStarted(StartError::Busy(Busy::TooManyTakeovers)) => "too_many_takeovers",
            Self::NotStarted(StartError::Overtaken) => "overtaken",
            Self::NotStarted(StartError::NothingToResume) => "nothing_to_resume",
            Self::NotStarted(StartError::TooManyBroadcasts { .. }) => "too_many_broadcasts",
            Self::NotStarted(StartError::OutOfMemory) => "out_of_memory",
            Self::NotStarted(StartError::OutOfTime) => "out_of_time",
            Self::Media(error) => error.as_str(),
            Self::FirstMediaTimeout => "first_media_timeout",
            Self::Silent => "silent",
            Self::Unanswered => "unanswered",
            Self::WriteStalled => "write_stalled",
            Self::Replaced => "replaced",
            Self::KeyRevoked => "key_revoked",
            Self::ServiceClosed => "service_closed",
            Self::Draining => "draining",
            Self::Ended(rule) => rule,
        }
    }

    pub fn blame(&self) -> Blame {
        match self {
            Self::Finished
            | Self::Left
            | Self::Broken(_)
            | Self::TlsTimeout
            | Self::TlsFailed
            | Self::HandshakeTimeout
            | Self::ConnectTimeout
            | Self::PublishTimeout
            | Self::AppUnknown
            | Self::PlayNotServed
            | Self::TooManyErrors { .. }
            | Self::AggregateParts { .. }
            | Self::TooManyBytes { .. }
            | Self::KeyMissing
            | Self::KeyUnknown
            | Self::FirstMediaTimeout
            | Self::Silent
            | Self::Unanswered
            | Self::WriteStalled
            | Self::Amf(_) => Blame::Peer,
            Self::ConnectionsFull
            | Self::AddressFull
            | Self::AcceptRate
            | Self::TlsBusy
            | Self::TooManyGuesses
            | Self::Replaced
            | Self::KeyRevoked
            | Self::ServiceClosed
            | Self::Draining
            | Self::Ended(_) => Blame::Policy,
            Self::TryLater => Blame::Us,
            Self::Handshake(error) => error.blame(),
            Self::Wire(error) => error.blame(),
            Self::Media(error) => error.blame(),
            Self::Refused(refusal) => refusal.blame(),
            Self::NotStarted(error) => error.blame(),
        }
    }

    /// What the hub is told when this ends a publication.
    pub(super) fn end_reason(&self) -> EndReason {
        match self {
            Self::Finished => EndReason::Finished,
            Self::Replaced => EndReason::TakenOver,
            Self::KeyRevoked => EndReason::KeyRevoked,
            Self::ServiceClosed | Self::Refused(_) => EndReason::ServiceClosed,
            Self::Draining => EndReason::Draining,
            Self::Ended(rule) => EndReason::Faulted(rule),
            Self::Left
            | Self::Broken(_)
            | Self::ConnectionsFull
            | Self::AddressFull
            | Self::AcceptRate
            | Self::TlsBusy
            | Self::TlsTimeout
            | Self::TlsFailed
            | Self::Handshake(_)
            | Self::HandshakeTimeout
            | Self::ConnectTimeout
            | Self::PublishTimeout
            | Self::KeyMissing
            | Self::KeyUnknown
            | Self::TooManyGuesses
            | Self::TryLater
            | Self::NotStarted(_)
            | Self::FirstMediaTimeout
            | Self::Silent
            | Self::Unanswered
            | Self::WriteStalled => EndReason::Lost,
            Self::AppUnknown
            | Self::PlayNotServed
            | Self::Wire(_)
            | Self::Amf(_)
            | Self::TooManyErrors { .. }
            | Self::AggregateParts { .. }
            | Self::TooManyBytes { .. }
            | Self::Media(_) => EndReason::Faulted(self.as_str()),
        }
    }

    /// What the peer is told. `None`: nothing can be said, or nobody is there to hear it.
    ///
    /// The codes are those on which OBS gives up and logs the description; it ignores others.
    pub fn on_status(&self) -> Option<Status> {
        let code = match self {
            Self::Finished
            | Self::Left
            | Self::Broken(_)
            | Self::ConnectionsFull
            | Self::AddressFull
            | Self::AcceptRate
            | Self::TlsBusy
            | Self::TlsTimeout
            | Self::TlsFailed
            | Self::Handshake(_)
            | Self::HandshakeTimeout
            | Self::WriteStalled => return None,
            Self::AppUnknown => "NetConnection.Connect.InvalidApp",
            Self::PlayNotServed => "NetStream.Play.StreamNotFound",
            Self::KeyMissing
            | Self::KeyUnknown
            | Self::TooManyGuesses
            | Self::TryLater
            | Self::KeyRevoked
            | Self::ServiceClosed => "NetStream.Publish.Denied",
            Self::Refused(refusal) => refusal_code(refusal),
            Self::Media(error) => media_code(error),
            Self::NotStarted(
                StartError::Busy(_) | StartError::Overtaken | StartError::NothingToResume,
            )
            | Self::Replaced => "NetStream.Publish.BadName",
            // Full is not denied: the key is good, and a later try may succeed.
            Self::NotStarted(
                StartError::TooManyBroadcasts { .. }
                | StartError::OutOfMemory
                | StartError::OutOfTime,
            )
            | Self::ConnectTimeout
            | Self::PublishTimeout
            | Self::Wire(_)
            | Self::Amf(_)
            | Self::TooManyErrors { .. }
            | Self::AggregateParts { .. }
            | Self::TooManyBytes { .. }
            | Self::FirstMediaTimeout
            | Self::Silent
            | Self::Unanswered
            | Self::Draining
            | Self::Ended(_) => "NetStream.Failed",
        };
        Some(Status { code, description: description(&self.to_string()) })
    }
}

fn refusal_code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::BroadcastsClosed(_)
        | Refusal::KeysClosed(_)
        | Refusal::WatchingClosed(_)
        | Refusal::ClockUntrusted(_) => "NetStream.Publish.Denied",
        Refusal::NodeDraining => "NetStream.Failed",
    }
}

/// A codec that will not be taken next time either is denied; the rest is a failure.
fn media_code(error: &IntakeError) -> &'static str {
    match error {
        IntakeError::CodecNotSupported(_) => "NetStream.Publish.Denied",
        IntakeError::BadVideoConfig(_)
        | IntakeError::NoVideoConfig { .. }
        | IntakeError::NoKeyframe { .. }
        | IntakeError::FrameTooLarge { .. }
        | IntakeError::GopTooLarge { .. }
        | IntakeError::TooManyMessages { .. }
        | IntakeError::TooManyConfigChanges { .. } => "NetStream.Failed",
    }
}

/// Why a publication was stopped from the other side of the hub.
impl From<EndReason> for Cause {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::Finished => Self::Finished,
            EndReason::Lost => Self::Left,
            EndReason::TakenOver => Self::Replaced,
            EndReason::KeyRevoked => Self::KeyRevoked,
            EndReason::ServiceClosed => Self::ServiceClosed,
            EndReason::Draining => Self::Draining,
            EndReason::Faulted(rule) => Self::Ended(rule),
        }
    }
}

/// Encoders show what they get byte by byte, and old ones have short buffers.
fn description(text: &str) -> String {
    let plain = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' });
    plain.take(DESCRIPTION_BYTES_MAX).collect()
}

#[cfg(test)]
#[path = "status_tests.rs"]
pub(super) mod tests;
