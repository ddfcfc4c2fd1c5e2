use tokio::time::{Instant, sleep, sleep_until};

use super::*;
use crate::base::{ConnId, Rival};
use crate::config::load;
use crate::gate::Admission;
use crate::hls;
use crate::hub::{Publication, Publisher};
use crate::testing::clips;

/// Thirty frames a second, and a keyframe each eight seconds.
const GOP_FRAMES: u64 = 240;

async fn serve() -> App {
    let any = "127.0.0.1:0".parse().expect("an address");
    let config = load(&Sources::default()).expect("the built-in values are good");
    let hls = hls::Settings { segment_target: Duration::from_secs(8), ..config.hls };
    let config = Config { http_listen: any, rtmp_listen: any, admin_listen: any, hls, ..config };
    App::start(config, Options { forget: true, ..Options::default() }).await.expect("it starts")
}

async fn publish(app: &App) -> Publication {
    let channel = ChannelId::parse("studio").expect("a good name");
    let now = app.clock.now();
    let permit = app.gatekeeper.admit(&channel, Admission::Start, now).await.expect("open");
    let peer = "127.0.0.1:1".parse().expect("an address");
    let key = crate::base::KeyId::new("k");
    let publisher =
        Publisher { conn: ConnId(1), key, rival: Rival::default(), peer, encoder: None };
    let mut publication = app.registry.start(permit, publisher, now).expect("free");
    let (format, begun) = (clips::video_format(), Instant::now());
    for frame in 0..GOP_FRAMES * 2 + 30 {
        let millis = frame * 100 / 3;
        sleep_until(begun + Duration::from_millis(millis)).await;
        let media = i64::try_from(millis).expect("a short clip");
        let frame = clips::video_frame(&format, media, frame % GOP_FRAMES == 0, 100);
        publication.write(frame, app.clock.now().mono).expect("taken");
    }
    publication
}

/// D35, F33: who plays without low latency asks again one target duration later, and finds the
/// end of the broadcast; the listeners are open until then.
#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_slowest_player() {
    let app = serve().await;
    let mut publication = publish(&app).await;
    let target = app.directory.longest_target();
    assert!(target >= Duration::from_secs(8), "{target:?}");
    let leaving = async {
        let reason = publication.stopped().await;
        publication.finish(reason, app.clock.now().mono);
    };
    let closed = async {
        app.viewers.stop.cancelled().await;
        Instant::now()
    };
    let begun = Instant::now();
    let ((), (), closed) = tokio::join!(app.drain(), leaving, closed);
    assert!(closed - begun > target, "{:?}", closed - begun);
    assert!(begun.elapsed() <= app.config.limits.drain_grace, "{:?}", begun.elapsed());
    let [rendition] = &app.directory.list()[..] else { panic!("one broadcast") };
    assert!(rendition.published().expect("it is served").ended);
}

/// A server at rest stops at once.
#[tokio::test(start_paused = true)]
async fn nothing_live_is_nothing_to_wait_for() {
    let app = serve().await;
    sleep(Duration::from_secs(5)).await;
    let begun = Instant::now();
    app.drain().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// Whoever does not leave is cut when the grace is over.
#[tokio::test(start_paused = true)]
async fn the_grace_is_the_longest_a_stop_takes() {
    let app = serve().await;
    app.viewers.spawn(std::future::pending());
    let begun = Instant::now();
    app.drain().await;
    assert_eq!(begun.elapsed().as_secs(), app.config.limits.drain_grace.as_secs());
}
