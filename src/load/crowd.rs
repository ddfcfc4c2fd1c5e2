use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::http::{Body, Http};
use super::player::{Conduct, Heard, Player, What, Wish};
use super::playlist::Playlist;
use super::tally::{Counts, Tally};
use crate::base::{Clock, MonoTime};

/// How often the crowd looks whether its own process keeps up.
const TICK: Duration = Duration::from_millis(10);
/// Before somebody who comes back after the end asks again.
const RETURN_PAUSE: Duration = Duration::from_secs(1);

/// Who goes where.
#[derive(Clone, Debug)]
pub struct Plan {
    pub addr: SocketAddr,
    /// What the server is called in requests.
    pub authority: Arc<str>,
    /// Path of the playlist at which all enter.
    pub entry: Arc<str>,
    pub viewers: usize,
    pub conduct: Conduct,
    /// The time over which they come, one after the other.
    pub arrival: Duration,
    /// Whether they come back after the end of a broadcast, for the next one.
    pub returns: bool,
}

/// Somebody who looks at what players get.
pub trait Witness: Send + Sync + fmt::Debug {
    /// Whether to keep the media that player number `player` of its plan gets.
    fn looks_at(&self, player: usize) -> bool;
    /// Player number `player` got a segment or part; `media` is empty unless it is looked at.
    fn handle_media(&self, player: usize, heard: &Heard, media: &[u8], fetched: MonoTime);
}

/// Players that watch until they are sent home. Dropping it sends them home at once.
#[derive(Debug)]
pub struct Crowd {
    tally: Arc<Tally>,
    clock: Arc<dyn Clock>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let tally = Arc::new(Tally::default());
        let mut tasks = JoinSet::new();
        let stop = CancellationToken::new();
        tasks.spawn(watch_oneself(Arc::clone(&tally), stop.clone()));
        Self { tally, clock, tasks, stop }
    }

    /// Sends the players of one plan on their way.
    pub fn send(&mut self, plan: &Plan, witness: Option<Arc<dyn Witness>>) {
        let apart = plan.arrival / u32::try_from(plan.viewers.max(1)).unwrap_or(u32::MAX);
        let shelf = Arc::new(Shelf::default());
        let mut arrives = Instant::now();
        for number in 0..plan.viewers {
            let viewer = Viewer {
                number,
                http: Http::new(plan.addr, Arc::clone(&plan.authority)),
                plan: plan.clone(),
                tally: Arc::clone(&self.tally),
                clock: Arc::clone(&self.clock),
                shelf: Arc::clone(&shelf),
                witness: witness.clone(),
            };
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                let come_and_stay = async {
                    sleep_until(arrives).await;
                    viewer.stay().await;
                };
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = come_and_stay => {}
                }
            });
            arrives += apart;
        }
    }

    /// What all have seen so far.
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// Sends everybody home.
    pub async fn finish(mut self) -> Counts {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no player panics");
        }
        self.tally.counts()
    }
}

/// A process without time for its timers has none to measure with.
async fn watch_oneself(tally: Arc<Tally>, stop: CancellationToken) {
    loop {
        let due = Instant::now() + TICK;
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep_until(due) => tally.tick(due.elapsed()),
        }
    }
}

/// The playlist that came last, for all players of a plan: thousands get the same bytes, and
/// reading them again and again would cost more than the server's sending them.
#[derive(Debug, Default)]
struct Shelf(Mutex<Option<Read>>);

/// A playlist as text and as value.
#[derive(Clone, Debug)]
struct Read {
    text: Arc<[u8]>,
    playlist: Arc<Playlist>,
}

impl Shelf {
    /// `None`: these bytes are no playlist.
    fn parse(&self, bytes: &[u8]) -> Option<Arc<Playlist>> {
        let last = self.0.lock().expect("nothing panics under this lock").clone();
        if let Some(read) = last.filter(|read| *read.text == *bytes) {
            return Some(read.playlist);
        }
        let playlist = Arc::new(Playlist::parse(std::str::from_utf8(bytes).ok()?)?);
        let read = Read { text: Arc::from(bytes), playlist: Arc::clone(&playlist) };
        *self.0.lock().expect("nothing panics under this lock") = Some(read);
        Some(playlist)
    }
}

/// One player with its connection.
#[derive(Debug)]
struct Viewer {
    number: usize,
    http: Http,
    plan: Plan,
    tally: Arc<Tally>,
    clock: Arc<dyn Clock>,
    shelf: Arc<Shelf>,
    witness: Option<Arc<dyn Witness>>,
}

impl Viewer {
    /// Watches one broadcast, or one after the other.
    async fn stay(mut self) {
        loop {
            let Plan { conduct, authority, entry, .. } = &self.plan;
            let player = Player::new(*conduct, Arc::clone(authority), Arc::clone(entry));
            self.watch(player).await;
            if !self.plan.returns {
                return;
            }
            sleep(RETURN_PAUSE).await;
        }
    }

    async fn watch(&mut self, mut player: Player) {
        loop {
            let now = self.clock.now().mono;
            match player.wish(now) {
                Wish::Leave => return,
                Wish::Pause(until) => sleep(until.since(now)).await,
                Wish::Get { path, what } => self.get(&mut player, &path, what).await,
            }
        }
    }

    async fn get(&mut self, player: &mut Player, path: &str, what: What) {
        let body = match what {
            What::Playlist { .. } => Body::Keep,
            What::Media if self.witness.as_ref().is_some_and(|w| w.looks_at(self.number)) => {
                Body::Keep
            }
            What::Media => Body::Count,
        };
        let asked = self.clock.now().mono;
        let answer = self.http.get(path, body).await;
        let now = self.clock.now();
        let Ok(answer) = answer else { return player.handle_failure(now.mono, &self.tally) };
        self.tally.answer(answer.body_bytes);
        if answer.status != 200 {
            return player.handle_failure(now.mono, &self.tally);
        }
        match what {
            What::Playlist { held } => {
                if !held {
                    self.tally.playlist(now.mono.since(asked));
                }
                match self.shelf.parse(&answer.body) {
                    Some(playlist) => player.handle_playlist(playlist, now, &self.tally),
                    None => player.handle_failure(now.mono, &self.tally),
                }
            }
            What::Media => {
                self.tally.media(now.mono.since(asked));
                let heard = player.handle_media(now, &self.tally);
                if let Some((witness, heard)) = self.witness.as_ref().zip(heard) {
                    witness.handle_media(self.number, &heard, &answer.body, now.mono);
                }
            }
        }
    }
}
