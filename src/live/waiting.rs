use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::media::Media;
use super::published::{Judged, Published, Shown};
use super::rendition::lookup;
use crate::base::RwLock;
use crate::hls::{MediaName, Want, Window};

/// The answer to a blocking reload.
#[derive(Debug)]
pub enum Wait {
    /// Listed already: answer with this.
    Ready(Arc<Published>),
    Refused(WaitRefusal),
    /// Will come. The deadline is the caller's.
    Later(ComingVersion),
}

/// Why nobody will wait for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitRefusal {
    /// Further ahead than a player that read the playlist can want (H94, H95).
    TooFarAhead,
    /// The broadcast has ended and its final playlist is no longer served.
    Gone,
}

/// A version that will list what somebody wants. Dropping it frees all it holds at once.
#[derive(Debug)]
pub struct ComingVersion {
    pub(super) news: watch::Receiver<Shown>,
    /// Where the wait is for a whole segment: news of those alone.
    pub(super) whole: Option<watch::Receiver<()>>,
    pub(super) want: Want,
}

impl ComingVersion {
    /// Waits for it; `None`: the broadcast ended without a part. Cancel-safe.
    pub async fn arrive(mut self) -> Option<Arc<Published>> {
        loop {
            match self.news.borrow_and_update().judge(self.want) {
                Judged::Answer(published) => return Some(Arc::clone(published)),
                Judged::Refuse(_) => return None,
                Judged::Hold => {}
            }
            match &mut self.whole {
                Some(whole) => whole.changed().await.ok()?,
                None => self.news.changed().await.ok()?,
            }
        }
    }
}

/// The part that the playlist hints at. Dropping it frees all it holds at once.
#[derive(Debug)]
pub struct ComingPart {
    pub(super) news: watch::Receiver<Shown>,
    pub(super) window: Arc<RwLock<Window>>,
    pub(super) number: u64,
}

impl ComingPart {
    /// Waits until the part is whole, or will never be. No byte of it goes out before (6.2.6).
    /// Cancel-safe.
    pub async fn arrive(mut self) -> Media {
        // An error means that the rendition is gone; the window still knows all there was.
        let _ = self.news.wait_for(|shown| shown.has_passed(self.number)).await;
        let window = self.window.read().unwrap_or_else(PoisonError::into_inner);
        lookup(&window, &MediaName::Part(self.number)).unwrap_or(Media::Unknown)
    }
}
