use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::playlist::{Piece, Playlist, resolve};
use super::tally::Tally;
use crate::base::{MonoTime, Now, WallTime};

/// After an answer that is none.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// A low-latency player stays this many parts behind the live edge (PART-HOLD-BACK).
const PARTS_BEHIND: u32 = 3;
/// Any other player stays this many segments behind
/// (draft-pantos-hls-rfc8216bis, section 6.3.3).
const SEGMENTS_BEHIND: usize = 3;

/// How a player watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Whole segments; the playlist once in a target duration.
    Plain,
    /// Blocking reloads, and every part as soon as it is listed.
    LowLatency,
    /// Blocking reloads alone.
    Playlists,
}

/// What a player wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    Get {
        path: &'a str,
        what: What,
    },
    /// Nothing before this moment.
    Pause(MonoTime),
    /// Nothing more: the broadcast is over.
    Leave,
}

/// What an answer will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Whether the server is asked to hold the answer back until there is something new.
    Playlist {
        held: bool,
    },
    Media,
}

/// A segment or part that a player got.
#[derive(Clone, Debug)]
pub struct Heard {
    pub path: String,
    /// When the playlist that lists it was there.
    pub listed: Now,
    begins: Option<WallTime>,
    length: Duration,
}

/// One viewer: wishes, and is told what came. Answers the same wish until then.
#[derive(Debug)]
pub struct Player {
    conduct: Conduct,
    authority: Arc<str>,
    entry: Arc<str>,
    /// Path of the media playlist, once known.
    media: Option<String>,
    /// The address of a reload that waits, written anew for each.
    reload: String,
    playlist: Option<Arc<Playlist>>,
    /// Listed and not fetched yet.
    queue: VecDeque<Heard>,
    /// The first segment and part not taken yet; none before the first playlist.
    next: Option<(u64, u64)>,
    buffer: Buffer,
    /// Nothing is asked for before this, but for what is in the queue.
    rest_until: MonoTime,
    asked_at: MonoTime,
    has_watched: bool,
}

impl Player {
    /// A player that enters at the path `entry`, a playlist of either kind.
    pub fn new(conduct: Conduct, authority: Arc<str>, entry: Arc<str>) -> Self {
        Self {
            conduct,
            authority,
            entry,
            media: None,
            reload: String::new(),
            playlist: None,
            queue: VecDeque::new(),
            next: None,
            buffer: Buffer::default(),
            rest_until: MonoTime::ZERO,
            asked_at: MonoTime::ZERO,
            has_watched: false,
        }
    }

    /// What to do now.
    pub fn wish(&mut self, now: MonoTime) -> Wish<'_> {
        if let Some(heard) = self.queue.front() {
            return Wish::Get { path: &heard.path, what: What::Media };
        }
        if self.playlist.as_ref().is_some_and(|playlist| playlist.ended) {
            return Wish::Leave;
        }
        if now < self.rest_until {
            return Wish::Pause(self.rest_until);
        }
        self.asked_at = now;
        let awaited = self.awaited();
        let path = self.media.as_deref().unwrap_or(&self.entry);
        let Some((msn, part)) = awaited else {
            return Wish::Get { path, what: What::Playlist { held: false } };
        };
        let sign = if path.contains('?') { '&' } else { '?' };
        self.reload.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.reload, "{path}{sign}_HLS_msn={msn}&_HLS_part={part}");
        Wish::Get { path: &self.reload, what: What::Playlist { held: true } }
    }

    /// The segment and part that the next reload waits for, where it may.
    fn awaited(&self) -> Option<(u64, u64)> {
        let playlist = self.playlist.as_ref().filter(|playlist| self.follows_parts(playlist))?;
        Some((playlist.next_msn(), playlist.next_part()))
    }

    fn follows_parts(&self, playlist: &Playlist) -> bool {
        let wants = match self.conduct {
            Conduct::Plain => false,
            Conduct::LowLatency | Conduct::Playlists => true,
        };
        wants && playlist.can_block && playlist.part_target > Duration::ZERO
    }

    /// The playlist asked for came.
    pub fn handle_playlist(&mut self, playlist: Arc<Playlist>, now: Now, tally: &Tally) {
        if let Some(uri) = &playlist.variant {
            match resolve(&self.entry, uri, &self.authority) {
                Some(path) if self.media.is_none() => self.media = Some(path),
                // It leads elsewhere, or from one list of playlists to another.
                Some(_) | None => self.handle_failure(now.mono, tally),
            }
            return;
        }
        self.media.get_or_insert_with(|| self.entry.to_string());
        if !self.has_watched {
            self.has_watched = true;
            tally.player_watches();
        }
        let is_stale =
            |awaited| !playlist.ended && (playlist.next_msn(), playlist.next_part()) <= awaited;
        if self.awaited().is_some_and(is_stale) {
            tally.stale();
        }
        let is_new = self.take(&playlist, now, tally);
        if !self.follows_parts(&playlist) {
            // Section 6.3.4: a target duration, or half of it when nothing is new.
            let pause = if is_new { playlist.target } else { playlist.target / 2 };
            self.rest_until = self.asked_at + pause.max(RETRY_PAUSE);
        }
        self.playlist = Some(playlist);
    }

    /// Queues what is new. Answers whether anything is.
    fn take(&mut self, playlist: &Playlist, now: Now, tally: &Tally) -> bool {
        let before = self.next;
        let after = (playlist.next_msn(), playlist.next_part());
        if self.follows_parts(playlist) {
            let from = before.unwrap_or_else(|| {
                self.buffer.behind = playlist.part_target * PARTS_BEHIND;
                after
            });
            let parts = playlist.parts.iter().filter(|part| (part.msn, part.index) >= from);
            parts.for_each(|part| self.order(&part.piece, now, tally));
            self.next = Some(after.max(from));
        } else {
            let behind = playlist.segments.len().saturating_sub(SEGMENTS_BEHIND);
            let first = playlist.first_msn + u64::try_from(behind).unwrap_or(0);
            let (from, _) = before.unwrap_or((first, 0));
            let numbered = (playlist.first_msn..).zip(&playlist.segments);
            let new = numbered.filter(|(msn, _)| *msn >= from);
            new.for_each(|(_, piece)| self.order(piece, now, tally));
            self.next = Some((playlist.next_msn().max(from), 0));
        }
        self.next != before
    }

    fn order(&mut self, piece: &Piece, now: Now, tally: &Tally) {
        if piece.missing {
            return;
        }
        if let Some(begins) = piece.begins {
            tally.listed(now.age_of(begins));
        }
        if self.conduct == Conduct::Playlists {
            return;
        }
        let base = self.media.as_deref().unwrap_or(&self.entry);
        match resolve(base, &piece.uri, &self.authority) {
            Some(path) => {
                let (begins, length) = (piece.begins, piece.length);
                self.queue.push_back(Heard { path, listed: now, begins, length });
            }
            None => tally.failure(),
        }
    }

    /// The last byte of the segment or part asked for came.
    pub fn handle_media(&mut self, now: Now, tally: &Tally) -> Option<Heard> {
        let heard = self.queue.pop_front()?;
        if self.buffer.add(heard.length, now.mono) {
            tally.stall();
        }
        if let Some(begins) = heard.begins {
            tally.fetched(now.age_of(begins));
        }
        Some(heard)
    }

    /// What was asked for did not come: after a pause it all begins at the entry, and at the live
    /// edge.
    pub fn handle_failure(&mut self, now: MonoTime, tally: &Tally) {
        tally.failure();
        self.queue.clear();
        (self.media, self.playlist, self.next) = (None, None, None);
        self.rest_until = now + RETRY_PAUSE;
    }
}

/// How far a player's media reaches, as the moment at which it runs dry.
#[derive(Debug, Default)]
struct Buffer {
    behind: Duration,
    dry_at: Option<MonoTime>,
}

impl Buffer {
    /// Media of this length arrived. Answers whether the picture had stopped before.
    fn add(&mut self, length: Duration, now: MonoTime) -> bool {
        let stalled = self.dry_at.is_some_and(|dry_at| dry_at < now);
        let from = self.dry_at.filter(|_| !stalled).unwrap_or(now + self.behind);
        self.dry_at = Some(from + length);
        stalled
    }
}

#[cfg(test)]
#[path = "player_tests.rs"]
mod tests;
