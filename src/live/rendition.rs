use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::advice::Advice;
use super::media::{Media, MediaBody, MediaKind};
use super::metrics::Metrics;
use super::published::{Judged, Published, Shown};
use super::waiting::{ComingPart, ComingVersion, Wait};
use crate::base::{
    BroadcastId, ChannelId, MonoTime, Mutex, MutexGuard, Now, RwLock, RwLockReadGuard,
    RwLockWriteGuard,
};
use crate::hls::{
    Bandwidth, Closing, Cut, Found, MediaName, PlaylistForm, Text, Variant, Want, Window, render,
    render_delta, render_multivariant,
};
use crate::hub::EndReason;

/// Multivariant playlists kept: one for each prefix that addresses them, in each form.
const MULTIVARIANTS_MAX: usize = 8;

/// Where a rendition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenditionState {
    /// Nothing is listed yet.
    Starting,
    Live,
    /// The publisher is gone and may come back; missing media is listed meanwhile.
    Away,
    Ended {
        reason: EndReason,
        at: Now,
    },
}

/// One encoding of a broadcast as viewers get it: the newest playlist, the media behind it, and
/// the place where requests wait for more. One packager writes, everybody reads.
#[derive(Debug)]
pub struct Rendition {
    channel: ChannelId,
    broadcast: BroadcastId,
    started: Now,
    window: Arc<RwLock<Window>>,
    pub(super) shown: watch::Sender<Shown>,
    /// Told after `shown`, and only where a segment became whole or nothing more will come: who
    /// waits for a segment is not woken for each of its parts.
    whole: watch::Sender<()>,
    status: Mutex<Status>,
    multivariants: Mutex<Vec<Multivariant>>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Status {
    state: RenditionState,
    version: u64,
    advice: Vec<Advice>,
    rate_millis: Option<u32>,
}

#[derive(Debug)]
struct Multivariant {
    prefix: String,
    form: PlaylistForm,
    variant: Variant,
    text: Arc<Text>,
}

impl Rendition {
    pub(super) fn new(
        channel: ChannelId,
        broadcast: BroadcastId,
        started: Now,
        window: Window,
        metrics: Metrics,
    ) -> Self {
        Self {
            channel,
            broadcast,
            started,
            window: Arc::new(RwLock::new(window)),
            shown: watch::Sender::new(Shown::Nothing),
            whole: watch::Sender::new(()),
            status: Mutex::new(Status {
                state: RenditionState::Starting,
                version: 0,
                advice: Vec::new(),
                rate_millis: None,
            }),
            multivariants: Mutex::new(Vec::new()),
            metrics,
        }
    }

    pub fn channel(&self) -> &ChannelId {
        &self.channel
    }

    pub fn broadcast_id(&self) -> BroadcastId {
        self.broadcast
    }

    /// When the first frame came.
    pub fn started_at(&self) -> Now {
        self.started
    }

    pub fn state(&self) -> RenditionState {
        self.status().state
    }

    /// What the broadcaster could set better.
    pub fn advice(&self) -> Vec<Advice> {
        self.status().advice.clone()
    }

    /// The newest version, from the first part on. `None` in [`RenditionState::Ended`]: no longer
    /// served.
    pub fn published(&self) -> Option<Arc<Published>> {
        self.shown.borrow().published()
    }

    /// Waits for [`Self::published`]; `None` when the broadcast ends without a part. Cancel-safe.
    pub async fn first_published(&self) -> Option<Arc<Published>> {
        let mut news = self.shown.subscribe();
        let over = |shown: &Shown| !matches!(shown, Shown::Nothing);
        news.wait_for(over).await.ok().and_then(|shown| shown.published())
    }

    /// A blocking reload (draft-pantos-hls-rfc8216bis 6.2.5.2). A broadcast that ends lets go of
    /// all who wait, with the final playlist.
    pub fn wait_for(&self, want: Want) -> Wait {
        match self.shown.borrow().judge(want) {
            Judged::Answer(published) => Wait::Ready(Arc::clone(published)),
            Judged::Refuse(refusal) => Wait::Refused(refusal),
            Judged::Hold => Wait::Later(ComingVersion {
                news: self.shown.subscribe(),
                whole: want.part.is_none().then(|| self.whole.subscribe()),
                want,
            }),
        }
    }

    /// Looks up an init segment, a segment or a part. The playlist itself is not media.
    pub fn media(&self, name: &MediaName) -> Media {
        match (lookup(&self.window(), name), name) {
            (Some(media), _) => media,
            (None, MediaName::Part(number)) => Media::Hinted(self.coming(*number)),
            (None, MediaName::Init(_) | MediaName::Segment(_) | MediaName::Playlist(_)) => {
                Media::Unknown
            }
        }
    }

    /// The multivariant playlist, for an address from which `prefix` leads to the channel, leading
    /// on to media playlists of this form; `None` until the first part is listed.
    pub fn multivariant(&self, prefix: &str, form: PlaylistForm) -> Option<Arc<Text>> {
        let rate = self.status().rate_millis;
        let variant = {
            let window = self.window();
            Variant::new(&window.init()?.format, Bandwidth::measure(&window)?, rate)
        };
        let mut kept = lock(&self.multivariants);
        let same = |m: &Multivariant| m.prefix == prefix && m.form == form;
        if let Some(found) = kept.iter().find(|m| same(m) && m.variant == variant) {
            return Some(found.text.clone());
        }
        let text = Arc::new(self.write_multivariant(&variant, prefix, form));
        kept.retain(|m| !same(m));
        if kept.len() >= MULTIVARIANTS_MAX {
            kept.remove(0);
        }
        kept.push(Multivariant { prefix: prefix.to_owned(), form, variant, text: text.clone() });
        Some(text)
    }

    /// Bytes of media held for viewers.
    pub fn window_bytes(&self) -> usize {
        self.window().bytes()
    }

    /// Bytes of media that stay whatever happens, as long as the broadcast runs.
    pub(super) fn floor_bytes(&self) -> usize {
        self.window().floor_bytes()
    }

    /// Length of the playlist.
    pub fn duration(&self) -> Duration {
        self.window().duration()
    }

    /// Takes what the segmenter cut: one version, which nobody sees before [`Self::publish`].
    /// Answers whether the window still keeps to its limit.
    #[must_use]
    pub(super) fn apply(&self, cuts: &mut Vec<Cut>, now: MonoTime) -> bool {
        let mut window = self.window_mut();
        for cut in cuts.drain(..) {
            self.count(&cut);
            window.apply(cut, now);
        }
        window.note_version();
        !window.is_over_budget()
    }

    /// Shows the window as it is now: one rendering and one wake for everybody.
    pub(super) fn publish(&self, closing: Option<Closing>) {
        let version = self.status().version + 1;
        let Some(published) = self.render(version, closing) else { return };
        {
            let mut status = self.status();
            status.version = version;
            if status.state == RenditionState::Starting {
                status.state = RenditionState::Live;
            }
        }
        let shown = Shown::Current(Arc::new(published));
        let whole = shown.whole();
        if self.shown.send_replace(shown).whole() != whole {
            self.whole.send_replace(());
        }
    }

    /// Nothing follows: the final playlist, or none where nothing was ever listed.
    pub(super) fn end(&self, reason: EndReason, now: Now, closing: Option<Closing>) {
        {
            let mut status = self.status();
            if matches!(status.state, RenditionState::Ended { .. }) {
                return;
            }
            status.state = RenditionState::Ended { reason, at: now };
        }
        self.window_mut().finish(now.mono);
        self.publish(closing);
        if self.published().is_none() {
            self.withdraw();
        }
    }

    /// The publisher left, or is back.
    pub(super) fn set_away(&self, away: bool) {
        let mut status = self.status();
        status.state = match (status.state, away) {
            (RenditionState::Live, true) => RenditionState::Away,
            (RenditionState::Away, false) => RenditionState::Live,
            (state, _) => state,
        };
    }

    /// What the rhythm of the frames says.
    pub(super) fn note(&self, advice: Vec<Advice>, rate_millis: Option<u32>) {
        let mut status = self.status();
        status.advice = advice;
        status.rate_millis = rate_millis;
    }

    /// The playlist is no longer served; media still is.
    pub(super) fn withdraw(&self) {
        let is_news = self.shown.send_if_modified(|shown| {
            !matches!(std::mem::replace(shown, Shown::Withdrawn), Shown::Withdrawn)
        });
        if is_news {
            self.whole.send_replace(());
        }
    }

    pub(super) fn limit_span(&self, span: Duration, now: MonoTime) {
        self.window_mut().limit_span(span, now);
    }

    /// Frees what has left the playlist for long, and withdraws a playlist that was final for
    /// long. Answers whether the rendition is still good for anything.
    #[must_use]
    pub(super) fn expire(&self, now: MonoTime, final_min: Duration) -> bool {
        let RenditionState::Ended { at, .. } = self.state() else {
            self.window_mut().expire(now);
            return true;
        };
        let (length, target) = {
            let window = self.window();
            (window.duration(), window.targets().map_or(Duration::ZERO, |t| t.segment))
        };
        let withdrawn_at = at.mono + final_min.max(length + target);
        if now >= withdrawn_at {
            self.withdraw();
        }
        now < withdrawn_at + length
    }

    fn render(&self, version: u64, closing: Option<Closing>) -> Option<Published> {
        let window = self.window();
        let edge = window.edge();
        let etag = format!("{}-{version}", self.broadcast);
        let delta = render_delta(&window, closing);
        Some(Published {
            version,
            last_msn: edge.last_msn()?,
            last_part: edge.last_part(),
            targets: *window.targets()?,
            ended: window.is_ended(),
            plain: OnceLock::new(),
            delta: delta.map(|text| Text::new(text, format!("{etag}-delta"))),
            playlist: Text::new(render(&window, closing)?, etag),
            edge,
        })
    }

    fn coming(&self, number: u64) -> ComingPart {
        ComingPart { news: self.shown.subscribe(), window: Arc::clone(&self.window), number }
    }

    fn write_multivariant(&self, variant: &Variant, prefix: &str, form: PlaylistForm) -> Text {
        let text = render_multivariant(variant, prefix, self.broadcast, form);
        let mut hash = DefaultHasher::new();
        text.hash(&mut hash);
        Text::new(text, format!("{}-{:016x}", self.broadcast, hash.finish()))
    }

    fn count(&self, cut: &Cut) {
        match cut {
            Cut::Part(part) => {
                self.metrics.parts.inc();
                self.metrics.gap_parts.inc_by(u64::from(part.gap));
            }
            Cut::Close { .. } => {
                self.metrics.segments.inc();
            }
            Cut::Open(start) => {
                self.metrics.gap_segments.inc_by(u64::from(start.gap));
            }
            Cut::Targets(_) | Cut::Init(_) => {}
        }
    }

    // A poisoned lock means that the packager died of a defect: its broadcast ends, and what was
    // listed before is still there.

    fn window(&self) -> RwLockReadGuard<'_, Window> {
        self.window.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn window_mut(&self) -> RwLockWriteGuard<'_, Window> {
        self.window.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.status)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the window knows of a name; `None` for the part that comes next.
pub(super) fn lookup(window: &Window, name: &MediaName) -> Option<Media> {
    let audio_only = window.init().is_some_and(|init| init.format.video.is_none());
    let (found, kind) = match name {
        MediaName::Playlist(_) => (Found::Unknown, MediaKind::Init),
        MediaName::Init(version) => {
            let found = window.find_init(*version);
            let found = found.map(|init| Found::Media(Arc::new([init.bytes.clone()])));
            (found.unwrap_or(Found::Unknown), MediaKind::Init)
        }
        MediaName::Segment(msn) => (window.find_segment(*msn), MediaKind::Segment),
        MediaName::Part(number) => (window.find_part(*number), MediaKind::Part),
    };
    match found {
        Found::Media(chunks) => Some(Media::Ready(MediaBody::new(chunks, kind, audio_only))),
        Found::Gap => Some(Media::Gap),
        Found::Gone => Some(Media::Gone),
        Found::Unknown => Some(Media::Unknown),
        Found::Next => None,
    }
}

#[cfg(test)]
#[path = "rendition_tests.rs"]
mod tests;
