//! Whether a publisher is alive: bytes, pings, media.

use std::time::Duration;

use super::status::Cause;
use crate::base::{Limits, MonoTime};

/// The heartbeat of one connection.
#[derive(Debug)]
pub(super) struct Pulse {
    /// All bytes, modulo 2^32 as acknowledgements count them.
    received: u32,
    acknowledged: u32,
    window: u32,
    announced_window: u32,
    last_bytes: MonoTime,
    last_ping: MonoTime,
    /// The last media message or answer to a ping.
    last_sign: MonoTime,
    first_media_until: Option<MonoTime>,
    first_media_time_max: Duration,
    silence_max: Duration,
    unanswered_max: Duration,
    ping_interval: Duration,
}

impl Pulse {
    pub(super) fn new(limits: &Limits, window: u32, now: MonoTime) -> Self {
        Self {
            received: 0,
            acknowledged: 0,
            window,
            announced_window: window,
            last_bytes: now,
            last_ping: now,
            last_sign: now,
            first_media_until: None,
            first_media_time_max: limits.first_media_time_max,
            silence_max: limits.ingest_silence_max,
            unanswered_max: limits.ingest_unanswered_max,
            ping_interval: limits.ping_interval,
        }
    }

    /// Answers the total to acknowledge when half a window is full. A peer that stops at a whole
    /// one may count bytes that we do not, those of the handshake, and would wait for ever.
    pub(super) fn handle_received(&mut self, bytes: usize, now: MonoTime) -> Option<u32> {
        self.last_bytes = now;
        let low = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.received = self.received.wrapping_add(low);
        if self.received.wrapping_sub(self.acknowledged) < self.window.div_ceil(2) {
            return None;
        }
        self.acknowledged = self.received;
        Some(self.received)
    }

    /// How many bytes the peer wants acknowledged at a time; zero means nothing.
    pub(super) fn set_window(&mut self, bytes: u32) {
        if bytes > 0 {
            self.window = bytes;
        }
    }

    /// Whether a window of this size has yet to be announced to the peer.
    pub(super) fn announce_window(&mut self, bytes: u32) -> bool {
        let news = bytes > 0 && self.announced_window != bytes;
        self.announced_window = bytes;
        news
    }

    pub(super) fn begin_publishing(&mut self, now: MonoTime) {
        self.last_bytes = now;
        self.last_sign = now;
        self.last_ping = now;
        self.first_media_until = Some(now + self.first_media_time_max);
    }

    /// Whether the peer was silent before is not known.
    pub(super) fn begin_again(&mut self, now: MonoTime) {
        self.last_bytes = now;
        self.last_sign = now;
        if self.first_media_until.is_some() {
            self.first_media_until = Some(now + self.first_media_time_max);
        }
    }

    pub(super) fn handle_media(&mut self, now: MonoTime) {
        self.last_sign = now;
        self.first_media_until = None;
    }

    pub(super) fn handle_pong(&mut self, now: MonoTime) {
        self.last_sign = now;
    }

    /// Ends a publisher that is late; true when a ping is due, which is then taken as sent.
    pub(super) fn check(&mut self, now: MonoTime) -> Result<bool, Cause> {
        if let Some(until) = self.first_media_until {
            if until <= now {
                return Err(Cause::FirstMediaTimeout);
            }
        } else if self.last_bytes + self.silence_max <= now {
            return Err(Cause::Silent);
        } else if self.last_sign + self.unanswered_max <= now {
            return Err(Cause::Unanswered);
        }
        let due = self.last_ping + self.ping_interval <= now;
        if due {
            self.last_ping = now;
        }
        Ok(due)
    }

    pub(super) fn next_deadline(&self) -> MonoTime {
        let ping = self.last_ping + self.ping_interval;
        match self.first_media_until {
            Some(until) => ping.min(until),
            None => ping
                .min(self.last_bytes + self.silence_max)
                .min(self.last_sign + self.unanswered_max),
        }
    }
}
