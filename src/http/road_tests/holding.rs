//! Requests that wait for media, and what ends the wait.

use super::*;

/// H92, H104, H111: a reload is held until the part exists, and no condition cuts that short.
#[tokio::test(start_paused = true)]
async fn a_reload_is_held_for_its_part() {
    let (world, mut encoder, address) = World::playing(Setup::default()).await;
    let now = world.get(&address).await;
    let next = last_msn(now.text()) + 2;
    let etag = now.field("etag").unwrap();

    let mut io = world.connect();
    let target = format!("{address}?_HLS_part=0&_HLS_msn={next}");
    let fields = format!("If-None-Match: {etag}\r\n");
    let (held, ()) = tokio::join!(ask(&mut io, "GET", &target, &fields), encoder.send(3.0));
    assert_eq!(held.status, 200);
    assert!(Duration::from_millis(300) < held.after, "{:?}", held.after);
    assert!(held.text().contains(&format!("s{}.m4s", next - 1)), "{}", held.text());
    assert_eq!(held.field("cache-control"), Some("max-age=12"), "six targets");
    assert_eq!(world.metrics.held(), 0);
}

/// H96, H111: media that does not come in three targets is a 503, never an older playlist.
#[tokio::test(start_paused = true)]
async fn a_hold_ends_after_three_targets() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let late = world.get(&format!("{address}?_HLS_msn={next}")).await;
    assert_eq!(late.status, 503, "{}", late.head);
    assert_eq!(late.after.as_secs(), 6);
    assert_eq!(late.field("retry-after"), Some("1"));
    assert_eq!(late.field("cache-control"), Some("max-age=1"));
    assert_eq!(late.field("access-control-allow-origin"), Some("*"));
    assert_eq!(late.problem(), "held-too-long");
}

/// H106, H83: the hinted part is held and comes whole.
#[tokio::test(start_paused = true)]
async fn a_hinted_part_is_held_until_it_is_whole() {
    let (world, mut encoder, address) = World::playing(Setup::default()).await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let playlist = world.get(&address).await;
    let hinted = format!("{folder}{}", hinted_part(playlist.text()));
    let mut io = world.connect();
    let (part, ()) = tokio::join!(ask(&mut io, "GET", &hinted, ""), encoder.send(1.0));
    assert_eq!(part.status, 200);
    assert!(Duration::ZERO < part.after && part.after < Duration::from_millis(400));
    assert_eq!(part.field("cache-control"), Some("max-age=12"));
    assert_eq!(world.get(&hinted).await.body, part.body);
}

/// RFC 9112: a held answer leaves without the HTTP library, and is to the byte what the library
/// writes where it may not forget the request, as with a connection option that nobody knows.
#[tokio::test(start_paused = true)]
async fn a_held_answer_is_what_the_library_would_write() {
    let (world, mut encoder, address) = World::playing(Setup::default()).await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let (gzip, any) = ("Accept-Encoding: gzip\r\n", "If-None-Match: *\r\n");
    for (fields, status) in [("", 200), (gzip, 200), (any, 304)] {
        let next = last_msn(world.get(&address).await.text()) + 2;
        let target = format!("{address}?_HLS_msn={next}&_HLS_part=0");
        both_ways(&world, &target, fields, encoder.send(3.0), status).await;
    }
    let (some, outside) = ("Range: bytes=1-9\r\n", "Range: bytes=99999999-\r\n");
    for (fields, status) in [("", 200), (some, 206), (outside, 416)] {
        let hinted = hinted_part(world.get(&address).await.text()).to_owned();
        both_ways(&world, &format!("{folder}{hinted}"), fields, encoder.send(1.0), status).await;
    }
    let next = last_msn(world.get(&address).await.text()) + 2;
    both_ways(&world, &format!("{address}?_HLS_msn={next}"), "", async {}, 503).await;
}

async fn both_ways(
    world: &World,
    target: &str,
    fields: &str,
    meanwhile: impl Future<Output = ()>,
    status: u16,
) {
    let (mut one, mut other) = (world.connect(), world.connect());
    let kept = format!("Connection: unknown\r\n{fields}");
    let (plain, kept, ()) = tokio::join!(
        ask(&mut one, "GET", target, fields),
        ask(&mut other, "GET", target, &kept),
        meanwhile
    );
    let undated = |head: &str| {
        let lines = head.split("\r\n").filter(|line| !line.starts_with("date: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(undated(&plain.head), undated(&kept.head));
    assert_eq!(plain.status, status, "{target}: {}", plain.head);
    assert!(Duration::ZERO < plain.after, "it was held");
    let dates = [&plain, &kept].map(|reply| {
        let date = reply.field("date").expect("every answer says when it was made");
        assert!(reply.head.ends_with(&format!("\r\ndate: {date}\r\n\r\n")), "{}", reply.head);
        jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).unwrap().as_second()
    });
    assert!(dates[0].abs_diff(dates[1]) <= 1, "{dates:?}");
    // A problem names its request.
    if status < 400 {
        assert_eq!(plain.body, kept.body);
    }
}

/// A viewer who comes while the encoder starts gets the first playlist, not a 404.
#[tokio::test(start_paused = true)]
async fn a_starting_broadcast_is_waited_for() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(0.04).await;
    let mut io = world.connect();
    let viewing = async {
        let multivariant = ask(&mut io, "GET", "/demo/index.m3u8", "").await;
        assert_eq!(multivariant.status, 200, "{}", multivariant.head);
        let line = multivariant.text().lines().last().unwrap().to_owned();
        let playlist = ask(&mut io, "GET", &format!("/demo/{line}"), "").await;
        assert_eq!(playlist.status, 200, "{}", playlist.head);
        assert!(playlist.text().contains("#EXTINF"), "a whole segment: {}", playlist.text());
    };
    tokio::join!(viewing, encoder.send(6.0));
}

/// The same, and the encoder sends no more: the wait is bounded, and asks to come again.
#[tokio::test(start_paused = true)]
async fn a_start_without_media_is_not_waited_for_without_end() {
    let world = World::new().await;
    let mut encoder = world.publish();
    encoder.send(0.04).await;
    let reply = world.get("/demo/index.m3u8").await;
    assert_eq!((reply.status, reply.after.as_secs()), (503, 12));
    assert_eq!(reply.problem(), "channel-starting");
    assert_eq!(reply.field("retry-after"), Some("1"));
}

/// H29, H30, H100: the end wakes whoever waits, and from then on nothing is held.
#[tokio::test(start_paused = true)]
async fn the_end_answers_whoever_waits() {
    let (world, encoder, address) = World::playing(Setup::default()).await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let mut io = world.connect();
    let target = format!("{address}?_HLS_msn={next}");
    let ending = async {
        sleep(Duration::from_millis(500)).await;
        encoder.finish();
    };
    let (held, ()) = tokio::join!(ask(&mut io, "GET", &target, ""), ending);
    assert_eq!(held.status, 200);
    assert!(held.after < Duration::from_millis(1_500), "{:?}", held.after);
    assert!(held.text().contains("#EXT-X-ENDLIST"));

    for query in ["", "?_HLS_part=1", "?_HLS_msn=abc", "?_HLS_msn=99999999999"] {
        let reply = world.get(&format!("{address}{query}")).await;
        assert_eq!((reply.status, reply.after), (200, Duration::ZERO), "{query}");
        assert_eq!(reply.body, held.body, "{query}");
    }
    let state = world.get("/api/v1/channels/demo").await.json()["state"].clone();
    assert_eq!(state, "ended");

    sleep(Duration::from_secs(605)).await;
    assert_eq!(world.get(&address).await.status, 410, "H31");
    assert_eq!(world.get("/demo/index.m3u8").await.problem(), "channel-offline");
    let state = world.get("/api/v1/channels/demo").await.json()["state"].clone();
    assert_eq!(state, "offline");
}

/// W4, W16: one address has its own ceiling, and behind a trusted proxy each viewer is one.
#[tokio::test(start_paused = true)]
async fn an_address_cannot_hold_everything() {
    let limits = Limits { blocked_requests_per_address_max: 1, ..Limits::default() };
    let trusted_proxies = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    let settings = Settings { trusted_proxies, ..Settings::default() };
    let (world, _encoder, address) =
        World::playing(Setup { limits, settings, ..Setup::default() }).await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let target = format!("{address}?_HLS_msn={next}");
    let ask = |peer, viewer| world.hand_in(&target, &[("x-forwarded-for", viewer)], Some(peer));
    let mut held = Vec::new();
    for (peer, viewer, room) in [
        ("192.0.2.1", "198.51.100.1", true),
        ("192.0.2.1", "198.51.100.2", false),
        ("127.0.0.1", "192.0.2.1", false),
        ("127.0.0.1", "198.51.100.3", true),
        ("127.0.0.1", "198.51.100.4, 198.51.100.3", false),
        ("127.0.0.1", "198.51.100.4", true),
    ] {
        match ask(peer, viewer) {
            held_one @ Answer::Held(_) => {
                assert!(room, "{peer} for {viewer} is held");
                held.push(held_one);
            }
            Answer::Now(refused) => {
                assert!(!room, "{peer} for {viewer} is refused");
                assert_eq!(refused.status(), 503);
                assert_eq!(refused.headers()["retry-after"], "1");
                let keep = &refused.headers()["cache-control"];
                assert_eq!(keep, "no-store", "others behind the same cache have room");
            }
        }
    }
    drop(held);
    assert!(matches!(ask("192.0.2.1", ""), Answer::Held(_)), "the places come back");
}

/// W4: too many held requests are told so, and answered again when others are done.
#[tokio::test(start_paused = true)]
async fn holds_have_a_ceiling() {
    let limits = Limits { blocked_requests_max: 2, ..Limits::default() };
    let (world, _encoder, address) = World::playing(Setup { limits, ..Setup::default() }).await;
    let next = last_msn(world.get(&address).await.text()) + 2;
    let target = format!("{address}?_HLS_msn={next}");
    let mut pipes = [world.connect(), world.connect()];
    for io in &mut pipes {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        io.write_all(request.as_bytes()).await.unwrap();
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.metrics.held(), 2);
    let refused = world.get(&target).await;
    assert_eq!((refused.status, refused.after), (503, Duration::ZERO));
    assert_eq!(refused.problem(), "too-many-held");
    assert_eq!(world.get(&address).await.status, 200, "what need not wait is answered");
    drop(pipes);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.metrics.held(), 0, "W6");
}
