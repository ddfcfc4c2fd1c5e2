//! What every answer says about itself: how long it may be kept, by whom, and how urgent it is.

use crate::base::WebAddress;

use super::*;

/// W19: a walk over all addresses, good and bad. Only what the HTTP library refuses before it has
/// a request, such as a head that never ends, is answered without us. W51: errors tell nothing of
/// what is behind them.
#[tokio::test(start_paused = true)]
async fn every_answer_says_how_long_it_may_be_kept() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let text = world.get(&address).await.text().to_owned();
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let (segment, part) = (format!("{folder}{}", last_segment(&text)), format!("{folder}p10.m4s"));
    let (init, plain) = (format!("{folder}init-1.mp4"), format!("{folder}plain.m3u8"));
    let (far, long) =
        (format!("{address}?_HLS_msn={}", last_msn(&text) + 5), format!("/{}", "x".repeat(9_000)));
    let (wrong, pairs) = (format!("{address}?_HLS_part=1"), format!("/demo?{}", "a&".repeat(17)));
    let unknown = format!("{folder}s7.m4s");
    let walk = [
        ("/", "", 200),
        ("/demo", "", 200),
        ("/quiet", "", 200),
        ("/demo/", "", 308),
        ("/embed/demo", "", 200),
        ("/embed/demo/", "", 308),
        ("/sunset", "", 200),
        ("/.well-known/sunset.json", "", 200),
        ("/api/v1/channels", "", 200),
        ("/api/v1/channels/demo", "", 200),
        ("/api/v1/channels/nobody", "", 404),
        ("/healthz", "", 200),
        ("/readyz", "", 503),
        ("/robots.txt", "", 200),
        ("/favicon.ico", "", 200),
        ("/favicon.ico", "If-None-Match: *\r\n", 304),
        ("/assets/nothing.js", "", 404),
        ("/nobody", "", 404),
        ("/nobody", "Accept: text/html\r\n", 404),
        ("/%2e%2e", "", 404),
        ("/demo/index.m3u8", "", 200),
        ("/demo/index.m3u8", "If-None-Match: *\r\n", 304),
        ("/hls/demo.m3u8", "", 200),
        ("/live/demo.m3u8", "", 200),
        ("/quiet/index.m3u8", "", 404),
        (&address, "", 200),
        (&address, "If-None-Match: *\r\n", 304),
        (&address, "Accept-Encoding: gzip\r\n", 200),
        (&plain, "", 200),
        (&init, "", 200),
        (&segment, "", 200),
        (&segment, "Range: bytes=0-9\r\n", 206),
        (&segment, "Range: bytes=99999999-\r\n", 416),
        (&part, "", 200),
        (&unknown, "", 404),
        (&wrong, "", 400),
        (&far, "", 400),
        (&pairs, "", 400),
        (&long, "", 414),
        ("/", "Content-Encoding: gzip\r\n", 415),
        ("/", "Content-Length: 5\r\n", 413),
        ("/", "Transfer-Encoding: chunked\r\n", 400),
        ("/", "Host: y\r\n", 400),
    ];
    for (target, fields, status) in walk {
        let mut kept = Vec::new();
        for method in ["GET", "HEAD"] {
            let reply = world.ask(method, target, fields).await;
            assert_eq!(reply.status, status, "{method} {target} {fields}");
            assert_eq!(reply.field("x-content-type-options"), Some("nosniff"), "{target}");
            let said = reply.field("cache-control").unwrap_or_else(|| panic!("{}", reply.head));
            kept.push(said.to_owned());
            if 400 <= status {
                let told = format!("{}{}", reply.head, String::from_utf8_lossy(&reply.body));
                for inner in [env!("CARGO_PKG_VERSION"), "src/", ".rs", "\r\nserver:", "panicked"] {
                    assert!(!told.to_lowercase().contains(inner), "{target}: {told}");
                }
            }
        }
        assert_eq!(kept[0], kept[1], "{target} {fields}");
    }
    for (method, status) in [("POST", 405), ("OPTIONS", 204)] {
        for target in ["/", &*address, &*segment, "/healthz"] {
            let reply = world.ask(method, target, "").await;
            assert_eq!(reply.status, status, "{method} {target}");
            assert!(reply.field("cache-control").is_some(), "{method} {target}");
        }
    }
    let (mut admin, theirs) = duplex(64 * 1024);
    world.admin.serve_stream(theirs, &world.stop);
    for (method, target) in [("GET", "/metrics"), ("GET", "/nothing"), ("POST", "/metrics")] {
        let reply = ask(&mut admin, method, target, "").await;
        assert!(reply.field("cache-control").is_some(), "{method} {target}");
    }
}

/// W13, W8: an address one byte too long is told so, in a document that names the request.
#[tokio::test(start_paused = true)]
async fn a_long_address_is_told_so() {
    let limits = Limits { request_line_bytes_max: 100, ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    let address = |length: usize| format!("/{}", "x".repeat(length - 1));
    assert_eq!(world.get(&address(100)).await.status, 404);
    let long = world.get(&address(101)).await;
    assert_eq!((long.status, &*long.problem()), (414, "address-too-long"));
    assert!(!long.json()["request_id"].as_str().unwrap().is_empty());
}

/// H112: a cache may take the path and the three directives for the whole question.
#[tokio::test(start_paused = true)]
async fn nothing_but_the_directives_changes_a_playlist() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let plain = world.get(&address).await;
    let queries = [
        "x=1",
        "_HLS_new=1",
        "_HLS_x=YES&y",
        "_hls_msn=1",
        "_HLS_MSN=99",
        "session=a&token=b",
        "=",
    ];
    for query in queries {
        let reply = world.get(&format!("{address}?{query}")).await;
        assert_eq!(reply.status, 200, "{query}");
        for name in ["vary", "etag", "cache-control", "content-type", "content-encoding"] {
            assert_eq!(reply.field(name), plain.field(name), "{query} {name}");
        }
        assert_eq!(reply.body, plain.body, "{query}");
    }
    assert_eq!(plain.field("vary"), Some("accept-encoding"));
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let init = format!("{folder}init-1.mp4");
    let (media, other) = (world.get(&init).await, world.get(&format!("{init}?_HLS_x=1")).await);
    assert_eq!((media.field("vary"), &media.body), (None, &other.body));
}

/// H116: the time of the answer, and no other that could contradict it.
#[tokio::test(start_paused = true)]
async fn answers_are_dated_and_nothing_else_is() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    for target in [&address, "/demo/index.m3u8", &format!("{folder}init-1.mp4"), "/demo"] {
        let reply = world.get(target).await;
        let date = reply.field("date").unwrap();
        let parsed = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).unwrap();
        let off = jiff::Timestamp::now().duration_since(parsed).as_secs().abs();
        assert!(off < 60, "{target}: {date}");
        assert_eq!((reply.field("last-modified"), reply.field("age")), (None, None), "{target}");
    }
}

/// H110: on a connection that many answers share, playlists go before media (RFC 9218).
#[tokio::test(start_paused = true)]
async fn playlists_are_more_urgent_than_media() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    let folder = address.strip_suffix("live.m3u8").unwrap();
    let init = format!("{folder}init-1.mp4");
    for (target, urgency) in [
        ("/demo/index.m3u8", Some("u=1")),
        (&address, Some("u=1")),
        (&init, Some("u=3, i")),
        ("/demo", None),
    ] {
        for (version, expected) in [(Version::HTTP_2, urgency), (Version::HTTP_11, None)] {
            let request = Request::builder().uri(target).version(version).header("host", "x");
            let answer = world.site.answer(&request.body(()).unwrap(), &visit(None));
            let said = now(answer).headers().get("priority").cloned();
            assert_eq!(said.as_ref().map(|value| value.to_str().unwrap()), expected, "{target}");
        }
    }
}

/// Crawlers are told what not to fetch, and pages say where they are, whoever asks by which name.
#[tokio::test(start_paused = true)]
async fn crawlers_and_previews_find_the_pages() {
    let public_url = WebAddress::parse("https://video.example");
    let settings = Settings { public_url, ..Settings::default() };
    let (world, _encoder, _) = World::playing(Setup { settings, ..Setup::default() }).await;
    let robots = world.get("/robots.txt").await;
    assert_eq!(robots.field("content-type"), Some("text/plain; charset=utf-8"));
    let lines: Vec<_> = robots.text().lines().collect();
    for line in ["User-agent: *", "Disallow: /*.m3u8", "Disallow: /*.m4s", "Disallow: /api/"] {
        assert!(lines.contains(&line), "{line}");
    }
    assert!(!lines.contains(&"Disallow: /"), "pages may be found");
    for (target, canonical) in [("/demo", "/demo"), ("/embed/demo", "/demo"), ("/", "/")] {
        let page = world.get(target).await;
        let link = format!("<link rel=\"canonical\" href=\"https://video.example{canonical}\">");
        assert!(page.text().contains(&link), "{}", page.text());
    }
}
