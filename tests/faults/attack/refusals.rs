//! Encoders that try again and again after the service has closed.

use std::time::{Duration, Instant};

use ghostlight::base::{Clock, SystemClock};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::wire::Peer;
use super::{Crowd, RISE_MAX, ROUNDS, Street, address};
use crate::stage::Setup;

/// From an encoder's `publish` to its refusal.
const REFUSAL_MAX: Duration = Duration::from_millis(50);

/// G19: a thousand refused encoders a second, three seconds long: none begins, each is told at
/// once, and no part of the broadcasts that may finish comes late.
#[test]
fn a_storm_of_refusals_delays_nobody() {
    const PER_SECOND: usize = 1_000;
    const SECONDS: usize = 3;
    const CLOSES_AFTER: Duration = Duration::from_secs(12);
    let closing = SystemClock::new().now().wall + CLOSES_AFTER;
    let mut street = Street::around(
        Setup::default()
            .env("GHOSTLIGHT_SUNSET_PUBLISH_CLOSE_AT", &closing.to_string())
            .limit("rtmp_accepts_per_second_max", "5000")
            .start(),
    );
    let (rtmp, key) = (street.stage.rtmp, street.stage.key("late"));
    let rest = SystemClock::new().now().wall.until(closing);
    std::thread::sleep(rest + Duration::from_millis(100));

    let storm = |street: &Street| {
        street.under(async {
            let mut every = interval(Duration::from_secs(1) / 1_000);
            every.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut encoders = JoinSet::new();
            for number in 0..PER_SECOND * SECONDS {
                every.tick().await;
                let key = key.key.clone();
                encoders.spawn(async move {
                    let start = Instant::now();
                    let peer = Peer::publish(rtmp, address(number), key.reveal()).await;
                    let took = start.elapsed();
                    let mut peer = peer.expect("an answer");
                    assert!(peer.has_heard("NetStream.Publish.Denied"), "{peer:?}");
                    peer.leave().await;
                    took
                });
            }
            let mut times = encoders.join_all().await;
            times.sort_unstable();
            times.get(times.len() * 99 / 100).copied().expect("there were some")
        })
    };
    let mut refused = 0;
    let calm = (0..ROUNDS).any(|_| {
        let start = Instant::now();
        street.neighbours.wait_for_parts(8);
        let before = street.neighbours.latency_since(start);
        let (start, cpu) = (Instant::now(), street.stage.cpu());
        let p99 = storm(&street);
        refused += PER_SECOND * SECONDS;
        let (took, cpu) = (start.elapsed(), street.stage.cpu() - cpu);
        let during = street.neighbours.latency_since(start);
        eprintln!(
            "refusal p99 {p99:?} in {took:?} with {cpu:?} of a processor; {before:?} {during:?}"
        );
        p99 <= REFUSAL_MAX + during.unrest && during.p99 <= before.p99 + RISE_MAX + during.unrest
    });
    assert!(calm, "too much in each of {ROUNDS} rounds");
    street.assert_dropped("broadcasts-closed", refused);
    street.close(Crowd { newcomers: 3_000, ..Crowd::default() });
}
