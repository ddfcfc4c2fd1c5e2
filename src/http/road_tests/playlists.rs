//! What a playlist says, and to whom.

use super::*;

/// H1, H70, H109, H117: a viewer's first two requests.
#[tokio::test(start_paused = true)]
async fn a_broadcast_is_found_and_listed() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;

    let multivariant = world.get("/demo/index.m3u8").await;
    assert_eq!(multivariant.status, 200);
    assert_eq!(multivariant.field("content-type"), Some("application/vnd.apple.mpegurl"));
    assert_eq!(multivariant.field("cache-control"), Some("max-age=1"));
    assert_eq!(multivariant.field("access-control-allow-origin"), Some("*"));
    for alias in ["/hls/demo.m3u8", "/live/demo.m3u8"] {
        let reply = world.get(alias).await;
        assert!(reply.text().lines().last().unwrap().starts_with("../demo/"), "{}", reply.text());
    }

    let address = world.playlist().await;
    let plain = world.get(&address).await;
    assert_eq!((plain.status, plain.after), (200, Duration::ZERO), "H105: at once");
    assert_eq!(plain.field("cache-control"), Some("max-age=1"), "H111: half a target");
    assert_eq!(plain.field("vary"), Some("accept-encoding"));
    assert_eq!(plain.field("content-encoding"), None);
    let packed = world.ask("GET", &address, "Accept-Encoding: gzip, br\r\n").await;
    assert_eq!(packed.field("content-encoding"), Some("gzip"));
    assert_eq!(packed.field("vary"), Some("accept-encoding"));
    assert_eq!(unpack(&packed.body), plain.text());
    assert_ne!(packed.field("etag"), plain.field("etag"));
}

/// H104: HEAD says what GET says, and a known version is not sent again.
#[tokio::test(start_paused = true)]
async fn head_and_conditions() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let got = world.get(&address).await;
    let headed = world.ask("HEAD", &address, "").await;
    assert_eq!(got.head.to_lowercase(), headed.head.to_lowercase());

    let etag = got.field("etag").unwrap();
    for fields in [format!("If-None-Match: {etag}\r\n"), "If-None-Match: *\r\n".to_owned()] {
        let same = world.ask("GET", &address, &fields).await;
        assert_eq!((same.status, same.body.len()), (304, 0));
        assert_eq!(same.field("etag"), Some(etag));
        assert_eq!(same.field("cache-control"), Some("max-age=1"));
        assert_eq!(same.field("access-control-allow-origin"), Some("*"));
    }
    let other = world.ask("GET", &address, "If-None-Match: \"other\"\r\n").await;
    assert_eq!(other.status, 200);
}

/// H90, H94, H95, H99, W18: wrong directives are told at once.
#[tokio::test(start_paused = true)]
async fn wrong_directives_are_told_at_once() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let msn = last_msn(world.get(&address).await.text());
    for (query, problem) in [
        ("_HLS_part=1".to_owned(), "directives"),
        ("_HLS_msn=-1".to_owned(), "directives"),
        ("_HLS_msn=1&_HLS_msn=1".to_owned(), "directives"),
        (format!("_HLS_msn={}", msn + 5), "too-far-ahead"),
        (format!("_HLS_msn={}&_HLS_part=999", msn + 1), "too-far-ahead"),
        ("a=b&".repeat(17), "query-too-long"),
    ] {
        let reply = world.get(&format!("{address}?{query}")).await;
        assert_eq!((reply.status, reply.after), (400, Duration::ZERO), "{query}");
        assert_eq!(reply.problem(), problem, "{query}");
        assert_eq!(reply.field("access-control-allow-origin"), Some("*"), "H117");
        assert!(!reply.json()["request_id"].as_str().unwrap().is_empty(), "W8");
    }
    let ignored = world.get(&format!("{address}?_HLS_new=1")).await;
    assert_eq!(ignored.status, 200);
}

/// W9: while memory runs out newcomers get plain playlists, then nothing; who is there goes on.
#[tokio::test(start_paused = true)]
async fn an_overloaded_server_gives_up_newcomers_first() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(5.0).await;
    let low_latency = world.playlist().await;

    world.registry.pressure().replace(Scarce::Memory, Pressure::PlainPlaylists);
    let plain = world.playlist().await;
    assert_eq!(plain, low_latency.replace("live.m3u8", "plain.m3u8"));
    let (there, new) = (world.get(&low_latency).await, world.get(&plain).await);
    assert!(there.text().contains("#EXT-X-PART:"));
    for word in ["EXT-X-PART", "EXT-X-PRELOAD-HINT", "CAN-BLOCK-RELOAD"] {
        assert!(!new.text().contains(word), "{word} in {}", new.text());
    }
    assert!(new.text().ends_with(&format!("{}\n", last_segment(there.text()))));
    assert_ne!(new.field("etag"), there.field("etag"));

    world.registry.pressure().replace(Scarce::Memory, Pressure::NoNewViewers);
    for target in ["/demo/index.m3u8", "/hls/demo.m3u8"] {
        let refused = world.get(target).await;
        assert_eq!((refused.status, &*refused.problem()), (503, "overloaded"));
        assert_eq!(refused.field("retry-after"), Some("10"));
    }
    for target in [&low_latency, &plain] {
        assert_eq!(world.get(target).await.status, 200);
    }
    let segment = low_latency.replace("live.m3u8", last_segment(there.text()));
    assert_eq!(world.get(&segment).await.status, 200);

    encoder.send(2.0).await;
    assert_eq!(world.playlist().await, low_latency, "it passes");
}
