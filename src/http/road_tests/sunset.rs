//! What the schedule adds to answers, and takes away.

use super::*;

fn policy(announced_at: u64, publish_close_at: u64, rehearsal: bool) -> Policy {
    let at = |seconds| Some((START + Duration::from_secs(seconds)).to_string());
    let settings = ScheduleSettings {
        announced_at: at(announced_at),
        publish_close_at: at(publish_close_at),
        ..ScheduleSettings::default()
    };
    let schedule = Schedule::build(&settings).unwrap();
    if rehearsal { Policy::rehearsal(schedule) } else { Policy::default().with_schedule(schedule) }
}

async fn world(policy: Policy) -> World {
    World::with(Setup { policy, ..Setup::default() }).await
}

/// sunset.md 4: headers from the announcement on, not before; G16: nothing is kept past the
/// next edge, to the second.
#[tokio::test(start_paused = true)]
async fn the_end_is_told_from_its_announcement_on() {
    let world = world(policy(10, 3_600, false)).await;
    let mut encoder = world.publish();
    encoder.send(8.5).await;
    let address = world.playlist().await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let init = format!("{folder}init-1.mp4");
    let before = world.get(&init).await;
    assert_eq!(before.field("sunset"), None);
    assert_eq!(before.field("cache-control"), Some("max-age=1"), "an edge in 1.5 s");

    encoder.send(2.0).await;
    for target in ["/demo/index.m3u8", &address, &init, "/demo", "/api/v1/channels/demo"] {
        let after = world.get(target).await;
        assert!(after.field("sunset").unwrap().ends_with(" GMT"), "{target}");
        assert!(after.field("deprecation").unwrap().starts_with('@'), "{target}");
        assert!(after.field("link").unwrap().contains("rel=\"sunset\""), "{target}");
    }
    let missing = world.get(&format!("{folder}s7.m4s")).await;
    assert!(missing.field("sunset").is_some(), "errors too");
    assert_eq!(world.get("/healthz").await.field("sunset"), None);
}

/// sunset.md 4: 410 with a problem document for programs and the page of the end for people;
/// what never existed stays 404; what runs is played to its end.
#[tokio::test(start_paused = true)]
async fn after_the_closing_what_cannot_come_back_is_gone() {
    let world = world(policy(0, 8, false)).await;
    let mut encoder = world.publish();
    encoder.send(6.0).await;
    assert_eq!(world.get("/quiet/index.m3u8").await.status, 404, "not closed yet");
    encoder.send(3.0).await;

    for target in ["/quiet/index.m3u8", "/hls/quiet.m3u8", "/quiet/zz/s1.m4s", "/quiet"] {
        let gone = world.get(target).await;
        assert_eq!(gone.status, 410, "{target}");
        assert_eq!(gone.problem(), "broadcasts-closed");
        assert_eq!(gone.field("cache-control"), Some("no-store"), "it may still be extended");
        let document = gone.json();
        assert_eq!((&document["retry"], &document["status"]), (&false.into(), &410.into()));
        assert_eq!(document["phase"], "finishing");
        assert!(document["closed_at"].is_string() && document["server_time"].is_string());
        assert!(document["still_possible"].is_array());
    }
    let page = world.ask("GET", "/quiet", "Accept: text/html\r\n").await;
    assert_eq!(page.status, 410);
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(world.get("/nobody/index.m3u8").await.status, 404);
    assert_eq!(world.get("/demo/index.m3u8").await.status, 200, "policy finish");
    assert_eq!(world.get("/sunset").await.status, 200);
    let state = world.get("/api/v1/channels/quiet").await.json()["state"].clone();
    assert_eq!(state, "closed");
    let document = world.get("/.well-known/sunset.json").await.json();
    assert_eq!(document["phase"], "finishing");
}

/// G2: what decides is the moment at which the whole head is there, not the connection nor the
/// first byte, and not the answer.
#[tokio::test(start_paused = true)]
async fn the_arrival_of_the_head_decides() {
    let world = world(policy(0, 8, false)).await;
    let mut encoder = world.publish();
    encoder.send(7.5).await;
    let address = world.playlist().await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let mut early = world.connect();
    let mut late = world.connect();
    late.write_all(b"GET /quiet HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let held = format!("{address}?_HLS_msn={next}");
    let (held, ()) = tokio::join!(ask(&mut early, "GET", &held, ""), encoder.send(3.0));
    assert!(Duration::from_millis(500) < held.after, "answered after the closing");
    assert_eq!(held.status, 200, "asked before it");

    // The empty line that ends the head.
    late.write_all(b"\r\n").await.unwrap();
    let mut said = [0; 12];
    late.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 410", "asked after it");
}

/// A rehearsal is marked in every answer.
#[tokio::test(start_paused = true)]
async fn a_rehearsal_is_marked_everywhere() {
    let world = world(policy(0, 8, true)).await;
    let mark = START.to_string();
    for target in ["/", "/demo", "/nobody", "/demo/index.m3u8", "/healthz", "/favicon.ico"] {
        let reply = world.get(target).await;
        assert_eq!(reply.field("ghostlight-simulated-at"), Some(mark.as_str()), "{target}");
    }
}

/// A schedule that moves is heard at once.
#[tokio::test(start_paused = true)]
async fn a_new_policy_is_heard() {
    let world = world(Policy::default()).await;
    assert_eq!(world.get("/quiet").await.status, 200);
    world.policy.send_replace(Arc::new(policy(0, 1, false)));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.get("/quiet").await.status, 410);
    world.policy.send_replace(Arc::new(policy(0, 60, false)));
    assert_eq!(world.get("/quiet").await.status, 200);
}
