//! `ghostlight demo`: the server, and a small clip that loops into one of its channels, so that
//! a newcomer sees a picture before installing an encoder.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publish::{Pace, PlayError, Progress, Reel, play};
use crate::base::{Clock, Limits, Secret};
use crate::rtmp::client::{Link, Target};

/// Sixteen seconds of a moving pattern, a running clock and a beep each second.
pub(super) const CLIP: &[u8] = include_bytes!("../../tests/data/demo.flv");
/// The channel the clip plays on.
pub const CHANNEL: &str = "demo";

/// The first pause after a failure, doubled for each further one.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A broadcast this long was a success, so the next failure is a first one again.
const STEADY: Duration = Duration::from_secs(10);

/// Publishes the clip to our own ingest for ever; it comes back after every end but `stop`.
/// `ingest` is the address the server listens on.
pub async fn run_loop(
    ingest: SocketAddr,
    key: Secret,
    limits: Limits,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let target = Target {
        host: reachable(ingest.ip()).to_string(),
        port: ingest.port(),
        app: "live".to_owned(),
        key,
    };
    let mut pause = PAUSE_MIN;
    while !stop.is_cancelled() {
        let start = Instant::now();
        match play_once(&target, &limits, &clock, &stop).await {
            Ok(()) => return,
            // Our own ingest is stopping as well, and was the first to say goodbye.
            Err(_) if stop.is_cancelled() => return,
            Err(error) => tracing::warn!(%error, ?pause, "the demo clip was interrupted"),
        }
        if start.elapsed() >= STEADY {
            pause = PAUSE_MIN;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn play_once(
    target: &Target,
    limits: &Limits,
    clock: &Arc<dyn Clock>,
    stop: &CancellationToken,
) -> Result<(), PlayError> {
    let mut reel = Reel::new(Bytes::from_static(CLIP))?;
    let link = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        link = Link::open(target.clone(), limits, Arc::clone(clock)) => link?,
    };
    play(link, &mut reel, true, Pace::new(1.0), &Progress::silent(), stop).await
}

/// A server that listens on every address of the machine is reached on loopback.
fn reachable(listening: IpAddr) -> IpAddr {
    match listening {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => listening,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_reached_on_loopback() {
        for (listening, expected) in
            [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1")]
        {
            let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
            assert_eq!(reachable(ip(listening)), ip(expected));
        }
    }

    #[test]
    fn the_clip_is_small_enough_to_carry() {
        assert!(CLIP.len() <= 500_000);
    }
}
