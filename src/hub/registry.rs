use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast as news;

use super::broadcast::{Broadcast, BroadcastState, EndReason, Publication, Publisher};
use crate::base::{
    Blame, BroadcastId, ChannelId, Limits, MonoTime, Mutex, MutexGuard, Now, Pressure,
    PressureGauge, Rival, Scarce,
};
use crate::gate::{Admission, StartPermit};

/// News kept for a listener that is behind; a slower one asks [`Registry::broadcasts`].
const NEWS_MAX: usize = 1_024;
/// The span over which takeovers are counted.
const TAKEOVER_SPAN: Duration = Duration::from_secs(600);

/// What the operator chooses about broadcasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a lost publisher may come back to its broadcast; zero ends it at once.
    pub resume_window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { resume_window: Duration::from_secs(60) }
    }
}

/// What a publish on a channel would be right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A new broadcast.
    Idle,
    /// A takeover of the running broadcast by its own key.
    Running,
    /// A resume of the broadcast whose publisher was lost.
    Away,
    /// Not possible now.
    Busy(Busy),
    /// A new broadcast, for which there is no room.
    Full(StartError),
}

/// Why a channel cannot be published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Another key of the channel is live.
    OtherKey,
    /// The key is live, and its owner wants no second publisher.
    SameKey,
    /// The key was taken over too often in ten minutes.
    TooManyTakeovers,
}

/// Why a permitted broadcast did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error("the channel is busy")]
    Busy(Busy),
    #[error("a later connection with the same key is already live")]
    Overtaken,
    #[error("the broadcast to resume has ended meanwhile")]
    NothingToResume,
    #[error("the server has reached its {max} broadcasts")]
    TooManyBroadcasts { max: usize },
    #[error("the memory for media is used up by the broadcasts that run")]
    OutOfMemory,
    #[error("the broadcasts that run take all the time of the processor")]
    OutOfTime,
}

impl StartError {
    pub fn blame(self) -> Blame {
        match self {
            Self::Busy(_) | Self::Overtaken | Self::NothingToResume => Blame::Peer,
            Self::TooManyBroadcasts { .. } | Self::OutOfMemory | Self::OutOfTime => Blame::Policy,
        }
    }
}

/// What the hub says.
#[derive(Clone, Debug)]
pub enum Event {
    Started(Arc<Broadcast>),
    Ended(Arc<Broadcast>, EndReason),
}

/// All broadcasts of this node, at most one for each channel. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    settings: Settings,
    state: Mutex<State>,
    news: news::Sender<Event>,
    pressure: PressureGauge,
}

#[derive(Debug)]
struct State {
    channels: HashMap<ChannelId, Slot>,
    last_id: BroadcastId,
}

#[derive(Debug)]
struct Slot {
    broadcast: Arc<Broadcast>,
    takeovers: VecDeque<MonoTime>,
}

impl Registry {
    /// `last_id`: the newest broadcast ever recorded; every later one is greater.
    pub fn new(limits: Limits, settings: Settings, last_id: BroadcastId) -> Self {
        let state = Mutex::new(State { channels: HashMap::new(), last_id });
        let (news, _) = news::channel(NEWS_MAX);
        let pressure = PressureGauge::default();
        Self { inner: Arc::new(Shared { limits, settings, state, news, pressure }) }
    }

    /// Says what a publish by `publisher` would be, without changing anything.
    pub fn standing(&self, channel: &ChannelId, publisher: &Publisher, now: MonoTime) -> Standing {
        let mut state = self.lock();
        let room = self.check_room(&state, channel);
        let new = room.map_or_else(Standing::Full, |()| Standing::Idle);
        let Some(slot) = state.channels.get_mut(channel) else { return new };
        let same_key = slot.broadcast.publisher().key == publisher.key;
        match slot.broadcast.state() {
            BroadcastState::Away { since } if same_key && self.may_resume(since, now) => {
                Standing::Away
            }
            BroadcastState::Ended(_) | BroadcastState::Away { .. } => new,
            BroadcastState::Live => {
                let takeover = self.check_takeover(slot, publisher, now);
                takeover.map_or_else(Standing::Busy, |()| Standing::Running)
            }
        }
    }

    /// Starts, resumes or takes over a broadcast: the only way to a [`Publication`]. To be called
    /// when the first frame is there, so that a newcomer without media takes nothing over.
    pub fn start(
        &self,
        permit: StartPermit,
        publisher: Publisher,
        now: Now,
    ) -> Result<Publication, StartError> {
        let mut state = self.lock();
        if let Some(slot) = state.channels.get_mut(permit.channel())
            && let Some(publication) = self.go_on(slot, &publisher, now.mono)?
        {
            return Ok(publication);
        }
        match permit.admission() {
            Admission::Resume => Err(StartError::NothingToResume),
            Admission::Start => self.start_new(&mut state, permit, publisher, now),
        }
    }

    /// Hears of every broadcast that starts or ends from now on.
    pub fn watch(&self) -> news::Receiver<Event> {
        self.inner.news.subscribe()
    }

    /// Whether there is no broadcast, not even an ended one that [`Self::expire`] has to forget.
    pub fn is_empty(&self) -> bool {
        self.lock().channels.is_empty()
    }

    /// Every broadcast that has not ended.
    pub fn broadcasts(&self) -> Vec<Arc<Broadcast>> {
        let state = self.lock();
        let open = |slot: &&Slot| !matches!(slot.broadcast.state(), BroadcastState::Ended(_));
        state.channels.values().filter(open).map(|slot| slot.broadcast.clone()).collect()
    }

    /// The broadcast of a channel, unless it has ended.
    pub fn find(&self, channel: &ChannelId) -> Option<Arc<Broadcast>> {
        let broadcast = self.lock().channels.get(channel)?.broadcast.clone();
        (!matches!(broadcast.state(), BroadcastState::Ended(_))).then_some(broadcast)
    }

    /// Asks every publisher to stop and ends what waits for a resume.
    pub fn stop_all(&self, reason: EndReason) {
        for broadcast in self.broadcasts() {
            match broadcast.state() {
                BroadcastState::Live => broadcast.stop_publisher(reason),
                BroadcastState::Away { .. } | BroadcastState::Ended(_) => {
                    broadcast.end(reason);
                }
            }
        }
    }

    /// To be called about once a second while there are broadcasts: ends broadcasts whose resume window has passed and
    /// forgets all that have ended.
    pub fn expire(&self, now: MonoTime) {
        let mut state = self.lock();
        state.channels.retain(|_, slot| match slot.broadcast.state() {
            BroadcastState::Live => true,
            BroadcastState::Away { since } if self.may_resume(since, now) => true,
            BroadcastState::Away { .. } => {
                slot.broadcast.end(EndReason::Lost);
                false
            }
            BroadcastState::Ended(_) => false,
        });
    }

    /// How scarce memory and the processor are; whoever measures it writes it here.
    pub fn pressure(&self) -> &PressureGauge {
        &self.inner.pressure
    }

    /// Whether a new broadcast may begin on `channel`. Those that run go on in any case.
    fn check_room(&self, state: &State, channel: &ChannelId) -> Result<(), StartError> {
        let max = self.inner.limits.broadcasts_max;
        let own = usize::from(state.channels.contains_key(channel));
        if state.channels.len() - own >= max {
            return Err(StartError::TooManyBroadcasts { max });
        }
        let is_full = |scarce| match self.inner.pressure.of(scarce) {
            Pressure::None | Pressure::PlainPlaylists | Pressure::NoNewViewers => false,
            Pressure::NoNewBroadcasts => true,
        };
        if is_full(Scarce::Memory) {
            return Err(StartError::OutOfMemory);
        }
        if is_full(Scarce::Processor) { Err(StartError::OutOfTime) } else { Ok(()) }
    }

    fn may_resume(&self, since: MonoTime, now: MonoTime) -> bool {
        now.since(since) < self.inner.settings.resume_window
    }

    /// Whether `publisher` may replace the live one.
    fn check_takeover(
        &self,
        slot: &mut Slot,
        publisher: &Publisher,
        now: MonoTime,
    ) -> Result<(), Busy> {
        if slot.broadcast.publisher().key != publisher.key {
            return Err(Busy::OtherKey);
        }
        match publisher.rival {
            Rival::Refused => Err(Busy::SameKey),
            Rival::TakesOver if self.takeovers_used_up(slot, now) => Err(Busy::TooManyTakeovers),
            Rival::TakesOver => Ok(()),
        }
    }

    fn takeovers_used_up(&self, slot: &mut Slot, now: MonoTime) -> bool {
        while slot.takeovers.front().is_some_and(|at| now.since(*at) >= TAKEOVER_SPAN) {
            slot.takeovers.pop_front();
        }
        let max = self.inner.limits.takeovers_per_ten_minutes_max;
        slot.takeovers.len() >= usize::try_from(max).unwrap_or(usize::MAX)
    }

    /// Resumes or takes over what runs on a channel; `None` where nothing does. Its publisher takes
    /// no lock of ours, so it may end the broadcast up to the moment at which the next one is in.
    fn go_on(
        &self,
        slot: &mut Slot,
        publisher: &Publisher,
        now: MonoTime,
    ) -> Result<Option<Publication>, StartError> {
        let same_key = slot.broadcast.publisher().key == publisher.key;
        match slot.broadcast.state() {
            BroadcastState::Live => self.take_over(slot, publisher, now),
            BroadcastState::Away { since } if same_key && self.may_resume(since, now) => {
                Ok(slot.broadcast.open_publication(publisher.clone()))
            }
            BroadcastState::Away { .. } => {
                slot.broadcast.end(EndReason::Lost);
                Ok(None)
            }
            BroadcastState::Ended(_) => Ok(None),
        }
    }

    /// Two newcomers at once: the one accepted later wins, whichever brings its frame first.
    fn take_over(
        &self,
        slot: &mut Slot,
        publisher: &Publisher,
        now: MonoTime,
    ) -> Result<Option<Publication>, StartError> {
        self.check_takeover(slot, publisher, now).map_err(StartError::Busy)?;
        if publisher.conn < slot.broadcast.publisher().conn {
            return Err(StartError::Overtaken);
        }
        let before = slot.broadcast.publisher();
        let opened = slot.broadcast.open_publication(publisher.clone());
        Ok(opened.map(|mut publication| {
            slot.takeovers.push_back(now);
            publication.took_over = Some(before);
            publication
        }))
    }

    fn start_new(
        &self,
        state: &mut State,
        permit: StartPermit,
        publisher: Publisher,
        now: Now,
    ) -> Result<Publication, StartError> {
        self.check_room(state, permit.channel())?;
        let by_clock = u64::try_from(now.wall.unix_millis()).unwrap_or(0);
        let id = BroadcastId::new(by_clock.max(state.last_id.number().saturating_add(1)));
        state.last_id = id;
        let channel = permit.channel().clone();
        let ring_bytes_max = self.inner.limits.ring_bytes_max;
        let broadcast = Broadcast::new(
            id,
            channel.clone(),
            publisher.clone(),
            ring_bytes_max,
            self.inner.news.clone(),
            now,
        );
        let publication =
            broadcast.open_publication(publisher).expect("nobody knows it yet who could end it");
        let slot = Slot { broadcast: broadcast.clone(), takeovers: VecDeque::new() };
        state.channels.insert(channel, slot);
        // Nobody listening is no error.
        let _ = self.inner.news.send(Event::Started(broadcast));
        Ok(publication)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
