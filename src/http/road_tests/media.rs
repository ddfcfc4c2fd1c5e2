//! Segments, parts and init segments.

use super::*;

/// H32, H108, H111, H113, H114, H115: segments, parts and init segments come at once, from where
/// they are asked for, whole or the asked range.
#[tokio::test(start_paused = true)]
async fn media_is_sent_whole_and_in_ranges() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let playlist = world.get(&address).await;
    let segment = format!("{folder}{}", last_segment(playlist.text()));

    for (name, content_type, cache) in [
        (segment.clone(), "video/iso.segment", "max-age=86400, immutable"),
        (format!("{folder}init-1.mp4"), "video/mp4", "max-age=86400, immutable"),
        (format!("{folder}p10.m4s"), "video/iso.segment", "max-age=12"),
    ] {
        let whole = world.get(&name).await;
        assert_eq!((whole.status, whole.after), (200, Duration::ZERO), "{name}");
        assert_eq!(whole.field("content-type"), Some(content_type));
        assert_eq!(whole.field("cache-control"), Some(cache), "{name}");
        assert_eq!(whole.field("accept-ranges"), Some("bytes"));
        assert_eq!(whole.field("access-control-allow-origin"), Some("*"));
        assert_eq!(whole.field("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(world.ask("HEAD", &name, "").await.head, whole.head);
    }

    let whole = world.get(&segment).await;
    let len = whole.body.len();
    let part = world.ask("GET", &segment, "Range: bytes=10-19\r\n").await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[10..20]));
    assert_eq!(part.field("content-range"), Some(&*format!("bytes 10-19/{len}")));
    let tail = world.ask("GET", &segment, "Range: bytes=-5\r\n").await;
    assert_eq!((tail.status, &tail.body[..]), (206, &whole.body[len - 5..]));
    let several = world.ask("GET", &segment, "Range: bytes=0-1,3-4\r\n").await;
    assert_eq!((several.status, several.body.len()), (200, len));
    let outside = world.ask("GET", &segment, &format!("Range: bytes={len}-\r\n")).await;
    assert_eq!(outside.status, 416);
    assert_eq!(outside.field("content-range"), Some(&*format!("bytes */{len}")));
}

/// H114: what holds no picture says so, from the init segment to the last part.
#[tokio::test(start_paused = true)]
async fn audio_alone_is_audio() {
    let world = World::new().await;
    let mut encoder = world.publish();
    let format = clips::audio_format();
    for index in 0..300 {
        let frame = clips::audio_frame(&format, index, 100);
        encoder.publication.write(frame, world.clock.now().mono).unwrap();
        sleep(Duration::from_micros(21_333)).await;
    }
    let address = world.playlist().await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let listed = addresses(world.get(&address).await.text());
    assert!(10 < listed.len() && listed.iter().any(|name| name.starts_with("init")), "{listed:?}");
    for name in listed {
        let reply = world.get(&format!("{folder}{name}")).await;
        assert_eq!((reply.status, reply.field("content-type")), (200, Some("audio/mp4")), "{name}");
    }
}

/// H107, H117: what is unknown is told at once, in a form that players on other sites can read.
#[tokio::test(start_paused = true)]
async fn unknown_things_are_told_at_once() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    for (target, problem) in [
        ("/nobody/index.m3u8".to_owned(), "channel-unknown"),
        ("/quiet/index.m3u8".to_owned(), "channel-offline"),
        ("/hls/quiet.m3u8".to_owned(), "channel-offline"),
        ("/demo/1/live.m3u8".to_owned(), "broadcast-unknown"),
        ("/demo/1/s1.m4s".to_owned(), "broadcast-unknown"),
        (format!("{folder}s7.m4s"), "media-unknown"),
        (format!("{folder}p999999.m4s"), "media-unknown"),
        (format!("{folder}init-9.mp4"), "media-unknown"),
        (format!("{folder}other.m4s"), "not-found"),
    ] {
        let reply = world.get(&target).await;
        assert_eq!((reply.status, reply.after), (404, Duration::ZERO), "{target}");
        assert_eq!(reply.problem(), problem, "{target}");
        assert_eq!(reply.field("access-control-allow-origin"), Some("*"), "{target}");
        assert_eq!(reply.field("cache-control"), Some("max-age=1"), "{target}");
    }
}
