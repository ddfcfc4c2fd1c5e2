//! How old media is when players get it: by the numbers on its frames, and when each was sent.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ghostlight::base::MonoTime;
use ghostlight::load::{Heard, Witness};

use super::clip::stamps;
use super::publishers::Sent;

/// The players of one stream: the first of them reads what it gets, and the others got the same.
#[derive(Debug)]
pub(crate) struct Stamps {
    sent: Arc<Sent>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The frames of each part that was read.
    frames: HashMap<u64, Vec<u32>>,
    got: Vec<Got>,
}

/// One part at one player.
#[derive(Clone, Copy, Debug)]
struct Got {
    part: u64,
    player: usize,
    listed: MonoTime,
    fetched: MonoTime,
}

/// Lengths of time since a frame was about to be given to the publisher's socket.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// From the last frame of a part to the part being listed.
    pub(crate) listed: Vec<Duration>,
    /// ... to the last byte of the part received.
    pub(crate) fetched: Vec<Duration>,
    /// From the message that followed it to the last byte of the part received.
    pub(crate) after_next: Vec<Duration>,
    /// From each frame of a part to the last byte of the part received by the player that reads.
    pub(crate) each_frame: Vec<Duration>,
}

impl Witness for Stamps {
    fn looks_at(&self, player: usize) -> bool {
        player == 0
    }

    fn handle_media(&self, player: usize, heard: &Heard, media: &[u8], fetched: MonoTime) {
        let mut hasher = DefaultHasher::new();
        heard.path.hash(&mut hasher);
        let part = hasher.finish();
        let frames = self.looks_at(player).then(|| stamps(media));
        let mut seen = self.seen.lock().expect("nothing panics under this lock");
        seen.got.push(Got { part, player, listed: heard.listed.mono, fetched });
        if let Some(frames) = frames {
            seen.frames.insert(part, frames);
        }
    }
}

impl Stamps {
    pub(crate) fn new(sent: &Arc<Sent>) -> Arc<Self> {
        Arc::new(Self { sent: Arc::clone(sent), seen: Mutex::default() })
    }

    /// What was fetched from `from` on.
    pub(crate) fn ages(&self, from: MonoTime) -> Ages {
        let seen = self.seen.lock().expect("nothing panics under this lock");
        let mut ages = Ages::default();
        for got in seen.got.iter().filter(|got| got.fetched >= from) {
            let Some(frames) = seen.frames.get(&got.part) else { continue };
            let Some(newest) = frames.iter().max() else { continue };
            if let Some(at) = self.sent.at(*newest) {
                ages.listed.push(got.listed.since(at));
                ages.fetched.push(got.fetched.since(at));
            }
            ages.after_next.extend(self.sent.at(newest + 1).map(|at| got.fetched.since(at)));
            if self.looks_at(got.player) {
                let sent = frames.iter().filter_map(|frame| self.sent.at(*frame));
                ages.each_frame.extend(sent.map(|at| got.fetched.since(at)));
            }
        }
        ages
    }
}

impl Ages {
    pub(crate) fn add(&mut self, other: Self) {
        self.listed.extend(other.listed);
        self.fetched.extend(other.fetched);
        self.after_next.extend(other.after_next);
        self.each_frame.extend(other.each_frame);
    }
}
