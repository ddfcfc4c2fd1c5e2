use proptest::prelude::*;

use super::*;
use crate::base::MediaSeq;

fn route(target: &str) -> Result<Route<'_>, RouteError> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    parse(&Method::GET, path, query, &Limits::default()).map(|(_, route)| route)
}

fn demo() -> ChannelId {
    ChannelId::parse("demo").unwrap()
}

#[test]
fn every_address_has_its_route() {
    let broadcast = BroadcastId::new(36);
    let media = |name| Route::Media { channel: demo(), broadcast, name };
    for (target, expected) in [
        ("/", Route::Index),
        ("/demo", Route::Watch(demo())),
        ("/demo/", Route::Slash(demo())),
        ("/embed/demo", Route::Embed(demo())),
        ("/embed/demo/", Route::Slash(demo())),
        ("/demo/index.m3u8", Route::Multivariant(demo())),
        ("/demo/index.m3u8?session=1", Route::Multivariant(demo())),
        ("/hls/demo.m3u8", Route::MultivariantAlias(demo())),
        ("/live/demo.m3u8", Route::MultivariantAlias(demo())),
        ("/demo/10/s7.m4s", media(MediaName::Segment(MediaSeq(7)))),
        ("/demo/10/p7.m4s", media(MediaName::Part(7))),
        ("/demo/10/init-1.mp4", media(MediaName::Init(1))),
        ("/sunset", Route::Sunset),
        ("/.well-known/sunset.json", Route::SunsetDocument),
        ("/api/v1/channels", Route::Channels),
        ("/api/v1/channels/demo", Route::Channel(demo())),
        ("/healthz", Route::Healthz),
        ("/readyz", Route::Readyz),
        ("/favicon.ico", Route::Asset("/favicon.ico")),
        ("/robots.txt", Route::Robots),
        ("/assets/player-1.js", Route::Asset("/assets/player-1.js")),
    ] {
        assert_eq!(route(target), Ok(expected), "{target}");
    }
    let directives = Ok(Directives { want: Some((MediaSeq(7), None)), skip: None });
    let playlist =
        Route::Playlist { channel: demo(), broadcast, form: PlaylistForm::LowLatency, directives };
    assert_eq!(route("/demo/10/live.m3u8?_HLS_msn=7&x=y"), Ok(playlist));
    let (form, directives) = (PlaylistForm::Plain, Ok(Directives::default()));
    let plain = Route::Playlist { channel: demo(), broadcast, form, directives };
    assert_eq!(route("/demo/10/plain.m3u8"), Ok(plain));
}

/// W17: nothing is decoded, nothing becomes a path.
#[test]
fn hostile_paths_are_not_found() {
    for target in [
        "",
        "*",
        "demo",
        "//",
        "//demo",
        "/..",
        "/../etc/passwd",
        "/./demo",
        "/demo/..",
        "/demo/../index.m3u8",
        "/%2e%2e/x",
        "/%252e%252e",
        "/demo%00",
        "/d%65mo",
        "/demo\\x",
        "/\u{c0}\u{ae}",
        "/demo/10/",
        "/demo/10",
        "/demo/10/s1.ts",
        "/demo/10/s0.m4s",
        "/demo/10/live.m3u8x",
        "/demo/A/s1.m4s",
        "/demo/01/s1.m4s",
        "/demo/10/s1.m4s/",
        "/demo/10/x/s1.m4s",
        "/api",
        "/api/",
        "/api/v1",
        "/api/v1/channels/",
        "/api/v1/channels/../x",
        "/hls/demo",
        "/hls/.m3u8",
        "/hls/demo.m3u8.m3u8",
        "/hls/hls.m3u8",
        "/embed",
        "/embed/",
        "/embed/api",
        "/live",
        "/metrics",
        "/admin",
        "/.env",
        "/.git/config",
        "/wp-login.php",
        "/sunset/",
        "/demo/index.m3u8/",
        "/demo//index.m3u8",
        "http://x/demo",
    ] {
        assert_eq!(route(target), Err(RouteError::NotFound), "{target}");
    }
}

/// W18, W13: query, pairs and address have their length, to the byte.
#[test]
fn query_and_address_are_bounded() {
    let limits = Limits::default();
    let longest = format!("/demo?{}", "x".repeat(limits.query_bytes_max));
    route(&longest).unwrap();
    let max = limits.query_bytes_max;
    assert_eq!(route(&format!("{longest}x")), Err(RouteError::QueryTooLong { max }));

    let pairs = |count| format!("/demo?{}", "a=b&".repeat(count));
    let max = limits.query_pairs_max;
    route(&pairs(max)).unwrap();
    assert_eq!(route(&pairs(max + 1)), Err(RouteError::TooManyPairs { max }));

    let max = limits.request_line_bytes_max;
    let address = format!("/{}", "x".repeat(max));
    assert_eq!(route(&address), Err(RouteError::AddressTooLong { max }));
}

/// W23: only reading is allowed.
#[test]
fn only_reading_is_allowed() {
    let verb = |method: Method| {
        parse(&method, "/demo/index.m3u8", None, &Limits::default()).map(|(verb, _)| verb)
    };
    assert_eq!(verb(Method::GET), Ok(Verb::Get));
    assert_eq!(verb(Method::HEAD), Ok(Verb::Head));
    assert_eq!(verb(Method::OPTIONS), Ok(Verb::Options));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::TRACE, Method::CONNECT] {
        assert_eq!(verb(method), Err(RouteError::Method));
    }
    let brew = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(verb(brew), Err(RouteError::Method));
}

proptest! {
    /// W17, H99: any text at all is answered, and what is routed was checked.
    #[test]
    fn any_target_parses_or_is_refused(target in "(/|[a-z0-9._%-]|\\?|&|=|_HLS_|\\PC){0,80}") {
        crate::testing::fuzz_http::route(target.as_bytes());
    }
}
