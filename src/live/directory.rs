use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::rendition::{Rendition, RenditionState};
use crate::base::{BroadcastId, ChannelId, MonoTime, RwLock, RwLockWriteGuard};

/// The renditions of this node by channel. An ended one stays for as long as its final playlist
/// and its media are served. Cloning shares it; looking up never makes anything.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    channels: Arc<RwLock<Channels>>,
}

/// Oldest first; the last one may be running, all others have ended.
type Channels = HashMap<ChannelId, Vec<Arc<Rendition>>>;

impl Directory {
    pub fn new() -> Self {
        Self::default()
    }

    /// The newest rendition of a channel, running or ended.
    pub fn current(&self, channel: &ChannelId) -> Option<Arc<Rendition>> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.get(channel)?.last().cloned()
    }

    /// The rendition of one broadcast.
    pub fn find(&self, channel: &ChannelId, broadcast: BroadcastId) -> Option<Arc<Rendition>> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        let mut kept = channels.get(channel)?.iter();
        kept.find(|rendition| rendition.broadcast_id() == broadcast).cloned()
    }

    /// The newest rendition of every channel, running or ended, by channel name.
    pub fn list(&self) -> Vec<Arc<Rendition>> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = channels.values().filter_map(|kept| kept.last().cloned()).collect();
        drop(channels);
        list.sort_by(|a, b| a.channel().cmp(b.channel()));
        list
    }

    /// Whether nothing is served, neither running nor ended.
    pub(super) fn is_empty(&self) -> bool {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The longest target duration of the playlists that still grow: whoever plays one of them
    /// without low latency asks again within it. Zero where nothing is live.
    pub fn longest_target(&self) -> Duration {
        let running = self.list().into_iter().filter(|rendition| match rendition.state() {
            RenditionState::Live | RenditionState::Away => true,
            RenditionState::Starting | RenditionState::Ended { .. } => false,
        });
        let targets = running.filter_map(|r| r.published().map(|p| p.targets.segment));
        targets.max().unwrap_or_default()
    }

    pub(super) fn add(&self, rendition: Arc<Rendition>) {
        let mut channels = self.channels_mut();
        channels.entry(rendition.channel().clone()).or_default().push(rendition);
    }

    pub(super) fn remove(&self, rendition: &Arc<Rendition>) {
        let mut channels = self.channels_mut();
        if let Some(kept) = channels.get_mut(rendition.channel()) {
            kept.retain(|other| !Arc::ptr_eq(other, rendition));
            if kept.is_empty() {
                channels.remove(rendition.channel());
            }
        }
    }

    /// Every rendition, the longest ended first and the running ones last.
    pub(super) fn all(&self) -> Vec<Arc<Rendition>> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = channels.values().flatten().cloned().collect();
        drop(channels);
        all.sort_by_cached_key(|rendition| match rendition.state() {
            RenditionState::Ended { at, .. } => at.mono.since_start(),
            RenditionState::Starting | RenditionState::Live | RenditionState::Away => Duration::MAX,
        });
        all
    }

    /// Forgets what is no longer good for anything; to be called about once a second.
    pub(super) fn expire(&self, now: MonoTime, final_min: Duration) {
        for rendition in self.all() {
            if !rendition.expire(now, final_min) {
                self.remove(&rendition);
            }
        }
    }

    fn channels_mut(&self) -> RwLockWriteGuard<'_, Channels> {
        self.channels.write().unwrap_or_else(PoisonError::into_inner)
    }
}
