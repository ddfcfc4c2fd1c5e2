//! Whole servers over a simulated network (turmoil): publishers and viewers on hosts of their own,
//! links that are slow, that hold back what is sent, or lose it, all in paused time and drawn from
//! a seed. The judge of `ghostlight check` watches from a host of its own.

#![expect(clippy::print_stdout, reason = "all of it is test, which may")]

#[path = "../world/panics.rs"]
mod panics;
mod people;
mod stage;

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use ghostlight::testing::dice::Dice;
use tokio::time::{Instant, sleep};
use turmoil::{Builder, Sim};

use people::{ask_for_later, judge, keep_publishing, publish};
use stage::{IDLE_MAX, RESUME_WINDOW, Seen, serve};

/// While no encoder is heard nothing new comes in time.
const NO_NEWS: &[&str] = &["H25", "H26"];
/// More than an encoder sends while it is cut off: nothing sends again what was lost, so it hears
/// that its connection is gone only by what it sends afterwards.
const SEGMENTS_UNDER_WAY_MAX: usize = 4_096;
/// Requests of a viewer that is cut off: more than the judge ever has held at the same time.
const HELD: i64 = 8;
const SECOND: Duration = Duration::from_secs(1);

/// Two, or as many as `NETWORK_SEEDS` says, from `NETWORK_FIRST` on.
#[expect(clippy::disallowed_methods, reason = "a test that is told how long to go on")]
fn seeds() -> Range<u64> {
    let number = |name, or| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let first = number("NETWORK_FIRST", 1);
    first..first + number("NETWORK_SEEDS", 2)
}

/// A network with the server in it, and what a seed draws.
struct Network {
    sim: Sim<'static>,
    seen: Seen,
    dice: Dice,
}

impl Network {
    fn new(seed: u64) -> Self {
        println!("seed {seed}");
        panics::forget();
        let mut dice = Dice::new(seed);
        let mut sim = Builder::new()
            .rng_seed(seed)
            .tick_duration(Duration::from_millis(5))
            .simulation_duration(300 * SECOND)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(Duration::from_millis(dice.within(5..=40)))
            .tcp_capacity(SEGMENTS_UNDER_WAY_MAX)
            .build();
        let seen = Seen::default();
        let stage = seen.clone();
        sim.host("server", move || {
            let stage = stage.clone();
            async move { Ok(serve(stage).await?) }
        });
        Self { sim, seen, dice }
    }

    /// Somebody on a host of their own; whoever panics fails the test.
    fn add<F>(&mut self, host: &'static str, person: impl FnOnce(Seen) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let person = person(self.seen.clone());
        self.sim.client(host, async move {
            person.await;
            Ok(())
        });
    }

    fn draw(&mut self, millis: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.dice.within(millis))
    }

    fn run(mut self) {
        self.sim.run().expect("everybody comes to an end");
        assert_eq!(panics::take(), None, "in a task that nobody waits for");
    }
}

fn after(time: Duration) -> Instant {
    Instant::now() + time
}

/// X8: what a link held back for some seconds arrives at once, and the same publication goes on.
#[test]
fn a_stall_of_the_network_goes_by() {
    for seed in seeds() {
        let mut network = Network::new(seed);
        let (begin, stall) = (network.draw(5_000..=9_000), network.draw(1_000..=8_000));
        network.add("encoder", async |seen| publish(&seen, after(35 * SECOND)).await.unwrap());
        network.add("judge", async |seen| judge(&seen, 28 * SECOND, NO_NEWS).await);
        network.add("fate", async move |seen| {
            let stage = seen.on_air().await;
            let before = stage.broadcast_id();
            sleep(begin).await;
            turmoil::hold("encoder", "server");
            sleep(stall).await;
            turmoil::release("encoder", "server");
            sleep(SECOND).await;
            assert!(stage.is_live() && stage.broadcast_id() == before);
        });
        network.run();
    }
}

/// X8: a publisher that is cut off for less than the resume time goes on with its broadcast, on a
/// connection of its own making.
#[test]
fn a_publisher_cut_off_for_a_while_resumes() {
    for seed in seeds() {
        let mut network = Network::new(seed);
        let (begin, away) = (network.draw(4_000..=8_000), network.draw(13_000..=22_000));
        network.add("encoder", async |seen| keep_publishing(&seen, after(55 * SECOND)).await);
        network.add("judge", async |seen| judge(&seen, 45 * SECOND, NO_NEWS).await);
        network.add("fate", async move |seen| {
            let stage = seen.on_air().await;
            let before = stage.broadcast_id();
            sleep(begin).await;
            turmoil::partition("encoder", "server");
            sleep(away).await;
            assert!(!stage.is_live() && stage.broadcast_id() == before, "it waits");
            turmoil::repair("encoder", "server");
            sleep(8 * SECOND).await;
            assert!(stage.is_live() && stage.broadcast_id() == before, "it goes on");
        });
        network.run();
    }
}

/// X8: a publisher that is cut off for longer finds its broadcast ended, and begins a later one.
#[test]
fn a_publisher_cut_off_for_long_begins_anew() {
    for seed in seeds() {
        let mut network = Network::new(seed);
        let begin = network.draw(4_000..=8_000);
        let away = 12 * SECOND + RESUME_WINDOW + network.draw(0..=5_000);
        network.add("encoder", async |seen| keep_publishing(&seen, after(60 * SECOND)).await);
        network.add("judge", async |seen| judge(&seen, 50 * SECOND, NO_NEWS).await);
        network.add("fate", async move |seen| {
            let stage = seen.on_air().await;
            let before = stage.broadcast_id();
            sleep(begin).await;
            turmoil::partition("encoder", "server");
            sleep(away).await;
            assert_eq!(stage.broadcast_id(), None, "it has ended");
            turmoil::repair("encoder", "server");
            sleep(10 * SECOND).await;
            assert!(stage.is_live() && before < stage.broadcast_id(), "a later one");
        });
        network.run();
    }
}

/// X8: a second encoder takes over while the connection of the first one is cut off; what the first
/// one sends when it is back changes nothing, and it is told.
#[test]
fn a_takeover_comes_while_the_old_connection_is_cut_off() {
    for seed in seeds() {
        let mut network = Network::new(seed);
        let (begin, overlap) = (network.draw(4_000..=8_000), network.draw(500..=8_000));
        network.add("first", async |seen| {
            assert!(publish(&seen, after(40 * SECOND)).await.is_err(), "it was replaced");
        });
        network.add("judge", async |seen| judge(&seen, 30 * SECOND, NO_NEWS).await);
        network.add("second", async move |seen| {
            let stage = seen.on_air().await;
            let before = stage.broadcast().expect("a broadcast");
            sleep(begin).await;
            turmoil::partition("first", "server");
            sleep(overlap).await;
            publish(&seen, after(12 * SECOND)).await.unwrap();
            assert!(stage.broadcast().is_none(), "it said goodbye");
            assert_eq!(before.publisher().conn.0, 2, "the same broadcast");
        });
        network.add("fate", async move |seen| {
            seen.on_air().await;
            sleep(begin + overlap + 3 * SECOND).await;
            turmoil::repair("first", "server");
        });
        network.run();
    }
}

/// X8: over links with a long way, for the publisher and for the viewer, everything holds.
#[test]
fn a_long_way_breaks_nothing() {
    for seed in seeds() {
        let mut network = Network::new(seed);
        let [up, down] = [network.draw(100..=300), network.draw(40..=100)];
        network.add("encoder", async |seen| publish(&seen, after(40 * SECOND)).await.unwrap());
        network.add("judge", async |seen| judge(&seen, 30 * SECOND, &[]).await);
        network.sim.set_link_latency("encoder", "server", up);
        network.sim.set_link_latency("judge", "server", down);
        network.run();
    }
}

/// X8: a viewer who is cut off while a request of theirs is held keeps nothing for long, and
/// nobody else notices.
#[test]
fn a_viewer_cut_off_in_mid_hold_is_let_go() {
    for seed in seeds() {
        let mut network = Network::new(seed);
        let begin = network.draw(3_000..=6_000);
        network.add("encoder", async |seen| publish(&seen, after(60 * SECOND)).await.unwrap());
        network.add("judge", async |seen| judge(&seen, 25 * SECOND, &[]).await);
        network.add("viewer", async move |seen| {
            sleep(begin).await;
            let mut streams = Vec::new();
            for _ in 0..HELD {
                streams.push(ask_for_later(&seen).await);
            }
            sleep(Duration::from_millis(100)).await;
            // The judge has a few requests held as well.
            let held = seen.stage().await.gauge("http_held_requests");
            assert!(HELD <= held, "{held} are held");
            turmoil::partition("viewer", "server");
            sleep(60 * SECOND).await;
            drop(streams);
        });
        network.add("fate", async move |seen| {
            let stage = seen.on_air().await;
            sleep(25 * SECOND + IDLE_MAX + 5 * SECOND).await;
            assert_eq!(stage.gauge("http_held_requests"), 0);
            assert_eq!(stage.gauge("http_connections"), 0, "nobody is there");
        });
        network.run();
    }
}
