use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Add;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::answer::Answer;
use super::http::{Body, Http};
use super::player::{Conduct, Heard, Player, What, Wish};
use super::playlist::Playlist;
use super::tally::{Counts, Tally};
use super::threads::Threads;
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
    threads: Threads,
    /// One for each thread.
    tallies: Vec<Arc<Tally>>,
    clock: Arc<dyn Clock>,
    tasks: JoinSet<()>,
    /// Players sent so far.
    sent: usize,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(clock: Arc<dyn Clock>) -> io::Result<Self> {
        let threads = Threads::start()?;
        let tallies: Vec<Arc<Tally>> = threads.handles().iter().map(|_| Arc::default()).collect();
        let mut tasks = JoinSet::new();
        for (thread, tally) in threads.handles().iter().zip(&tallies) {
            tasks.spawn_on(watch_oneself(Arc::clone(tally)), thread);
        }
        Ok(Self { threads, tallies, clock, tasks, sent: 0 })
    }

    /// Sends the players of one plan on their way.
    pub fn send(&mut self, plan: &Plan, witness: Option<Arc<dyn Witness>>) {
        let apart = plan.arrival / u32::try_from(plan.viewers.max(1)).unwrap_or(u32::MAX);
        let threads = self.threads.handles().iter().zip(&self.tallies);
        let seats: Vec<_> = threads.map(|(to, tally)| (to, tally, Arc::default())).collect();
        let next = seats.iter().cycle().skip(self.sent % seats.len().max(1));
        let mut arrives = Instant::now();
        for (number, (thread, tally, shelf)) in (0..plan.viewers).zip(next) {
            let viewer = Viewer {
                number,
                http: Http::new(plan.addr, Arc::clone(&plan.authority)),
                plan: plan.clone(),
                tally: Arc::clone(tally),
                clock: Arc::clone(&self.clock),
                shelf: Arc::clone(shelf),
                witness: witness.clone(),
            };
            let come_and_stay = async move {
                sleep_until(arrives).await;
                viewer.stay().await;
            };
            self.tasks.spawn_on(come_and_stay, thread);
            arrives += apart;
        }
        self.sent += plan.viewers;
    }

    /// What all have seen so far.
    pub fn counts(&self) -> Counts {
        self.tallies.iter().map(|tally| tally.counts()).reduce(Add::add).unwrap_or_default()
    }

    /// Sends everybody home.
    pub async fn finish(mut self) -> Counts {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            let panicked = ended.is_err_and(|error| error.is_panic());
            assert!(!panicked, "no player panics");
        }
        self.counts()
    }
}

/// A process without time for its timers has none to measure with.
async fn watch_oneself(tally: Arc<Tally>) {
    loop {
        let due = Instant::now() + TICK;
        sleep_until(due).await;
        tally.tick(due.elapsed());
    }
}

/// The playlist that came last, for all players of a plan on one thread: thousands get the same
/// bytes, and reading them again and again would cost more than the server's sending them.
#[derive(Debug, Default)]
struct Shelf(Mutex<Option<Read>>);

/// A playlist as text and as value.
#[derive(Debug)]
struct Read {
    text: Box<[u8]>,
    playlist: Arc<Playlist>,
}

impl Shelf {
    /// `None`: these bytes are no playlist.
    fn parse(&self, bytes: &[u8]) -> Option<Arc<Playlist>> {
        let last = || self.0.lock().expect("nothing panics under this lock");
        if let Some(read) = last().as_ref().filter(|read| *read.text == *bytes) {
            return Some(Arc::clone(&read.playlist));
        }
        let playlist = Arc::new(Playlist::parse(std::str::from_utf8(bytes).ok()?)?);
        *last() = Some(Read { text: bytes.into(), playlist: Arc::clone(&playlist) });
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
                Wish::Get { path, what } => {
                    self.http.ask(path);
                    self.get(&mut player, what).await;
                }
            }
        }
    }

    async fn get(&mut self, player: &mut Player, what: What) {
        let looks = match what {
            What::Playlist { .. } => true,
            What::Media => self.witness.as_ref().is_some_and(|w| w.looks_at(self.number)),
        };
        let body = if looks { Body::Keep } else { Body::Count };
        let asked = self.clock.now().mono;
        let read = |answer: &Answer<&[u8]>| {
            self.tally.answer(answer.body_bytes);
            let now = self.clock.now();
            if answer.status != 200 {
                return player.handle_failure(now.mono, &self.tally);
            }
            let took = now.mono.since(asked);
            match what {
                What::Playlist { held } => {
                    if !held {
                        self.tally.playlist(took);
                    }
                    match self.shelf.parse(answer.body) {
                        Some(playlist) => player.handle_playlist(playlist, now, &self.tally),
                        None => player.handle_failure(now.mono, &self.tally),
                    }
                }
                What::Media => {
                    self.tally.media(took);
                    let heard = player.handle_media(now, &self.tally);
                    if let Some((witness, heard)) = self.witness.as_ref().zip(heard) {
                        witness.handle_media(self.number, &heard, answer.body, now.mono);
                    }
                }
            }
        };
        if self.http.answer(body, read).await.is_err() {
            player.handle_failure(self.clock.now().mono, &self.tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_playlist_is_read_once() {
        let shelf = Shelf::default();
        let parse = |text: &str| shelf.parse(text.as_bytes());
        let first = parse("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n").expect("a playlist");
        let again = parse("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:1\n").expect("a playlist");
        assert!(Arc::ptr_eq(&first, &again));
        assert!(parse("#EXT").is_none());
        let later = parse("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:2\n").expect("a playlist");
        assert_eq!((first.first_msn, later.first_msn), (1, 2));
    }
}
