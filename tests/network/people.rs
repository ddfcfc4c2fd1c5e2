//! Who meets the server over the network: encoders, the judge, and a viewer who asks by hand.

use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ghostlight::base::Clock;
use ghostlight::check::watch::{self, Dial, Link, Progress, Settings, watch_over};
use ghostlight::check::{Level, Outcome};
use ghostlight::rtmp::client::{self, MediaKind, Target};
use ghostlight::testing::clips;
use ghostlight::testing::clock::RuntimeClock;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use turmoil::net::TcpStream;

use super::stage::{HTTP_PORT, RTMP_PORT, START, Seen, limits};

const DIAL_MAX: Duration = Duration::from_secs(3);
const REDIAL: Duration = Duration::from_secs(1);
const FRAMES_A_SECOND: u32 = 30;
/// The HTTP library dates its answers by the machine's calendar, which is not the simulated one.
const OWN_CALENDAR: &str = "H116";
/// What every watch of half a minute or so looks at.
const ALWAYS_SEEN: &[&str] = &["H1", "H9", "H11", "H20", "H51", "H92", "H106", "H108"];

async fn dial(port: u16) -> io::Result<TcpStream> {
    let dialled = timeout(DIAL_MAX, TcpStream::connect(("server", port))).await;
    dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Publishes on one connection until a time, or to its end. The picture has thirty frames a second
/// and a keyframe every second.
pub(crate) async fn publish(seen: &Seen, until: Instant) -> Result<(), Box<dyn Error>> {
    let target = Target {
        host: "server".to_owned(),
        port: RTMP_PORT,
        app: "live".to_owned(),
        key: seen.stage().await.key.clone(),
    };
    let (reader, writer) = dial(RTMP_PORT).await?.into_split();
    let clock = Arc::new(RuntimeClock::starting_at(START));
    let mut link = client::Link::start(target, reader, writer, &limits(), clock).await?;
    link.write(MediaKind::Video, 0, clips::avc_config()).await?;
    link.write(MediaKind::Audio, 0, clips::aac_config()).await?;
    let begun = Instant::now();
    let mut sounds = 0;
    for frame in 0.. {
        let millis = frame * 1_000 / FRAMES_A_SECOND;
        link.listen_until(begun + Duration::from_millis(millis.into())).await?;
        if until <= Instant::now() {
            break;
        }
        let key = frame % FRAMES_A_SECOND == 0;
        link.write(MediaKind::Video, millis, clips::avc_frame(key, 300)).await?;
        while sounds * 64 / 3 <= millis {
            link.write(MediaKind::Audio, sounds * 64 / 3, clips::aac_frame(60)).await?;
            sounds += 1;
        }
    }
    Ok(link.finish().await?)
}

/// Publishes until a time, and comes back after every loss.
pub(crate) async fn keep_publishing(seen: &Seen, until: Instant) {
    while publish(seen, until).await.is_err() && Instant::now() < until {
        sleep(REDIAL).await;
    }
}

/// Watches the channel as `ghostlight check` does, from the moment when there is something to
/// play. Nothing is broken but what a scene excuses.
pub(crate) async fn judge(seen: &Seen, time: Duration, excused: &[&str]) {
    seen.on_air().await;
    let address = watch::Address::parse("http://server/demo/index.m3u8").expect("an address");
    let dial: Dial = Arc::new(|_| {
        Box::pin(async { Ok(Link { io: Box::new(dial(HTTP_PORT).await?), h2: false }) })
    });
    let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at(START + turmoil::elapsed()));
    let (progress, stop) =
        (tokio::sync::watch::channel(Progress::default()).0, CancellationToken::new());
    let settings = Settings { address, time, allow_private: false };
    let watched = watch_over(dial, settings, clock, progress, stop).await;
    let ledger = watched.expect("there is something to play").ledger;
    let findings: Vec<_> = ledger
        .findings()
        .filter(|finding| finding.level != Level::Advice)
        .filter(|finding| finding.rule != OWN_CALENDAR && !excused.contains(&finding.rule))
        .map(|finding| finding.to_string())
        .collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    let looked = ledger.outcomes().filter_map(|(rule, outcome)| {
        matches!(outcome, Outcome::Held { .. } | Outcome::Broken { .. }).then_some(rule.id)
    });
    let looked: BTreeSet<_> = looked.collect();
    let unseen: Vec<_> = ALWAYS_SEEN.iter().filter(|rule| !looked.contains(**rule)).collect();
    assert!(unseen.is_empty(), "never looked at: {unseen:?}");
}

/// Asks for the segment after the one that is being written, which takes a while, and says nothing
/// more. The connection stands as long as the answer lives.
pub(crate) async fn ask_for_later(seen: &Seen) -> TcpStream {
    let stage = seen.on_air().await;
    let broadcast = stage.broadcast_id().expect("a broadcast");
    let next = stage.last_msn() + 1;
    let mut stream = dial(HTTP_PORT).await.expect("a connection");
    let ask =
        format!("GET /demo/{broadcast}/live.m3u8?_HLS_msn={next} HTTP/1.1\r\nHost: server\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.expect("sent");
    stream
}
