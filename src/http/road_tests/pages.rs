//! Pages, status, probes, and what no request may change.

use super::*;

/// W21, W23: other methods are refused, and any origin may read without credentials.
#[tokio::test(start_paused = true)]
async fn other_methods_are_refused_and_preflights_answered() {
    let world = World::new().await;
    for method in ["POST", "PUT", "DELETE", "TRACE", "PATCH", "BREW"] {
        let reply = world.ask(method, "/demo/index.m3u8", "").await;
        assert_eq!((reply.status, reply.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
        assert_eq!(reply.problem(), "method");
    }
    let origin = "Origin: https://other.example\r\nAccess-Control-Request-Method: GET\r\n";
    let reply = world.ask("OPTIONS", "/demo/index.m3u8", origin).await;
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert_eq!(reply.field("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.field("access-control-allow-credentials"), None);
    assert_eq!(reply.field("access-control-max-age"), Some("86400"));
}

/// W19, W29, W30: pages forbid what they do not need, and say how long they may be kept.
#[tokio::test(start_paused = true)]
async fn pages_are_guarded() {
    let world = World::new().await;
    for target in ["/", "/demo", "/sunset"] {
        let page = world.get(target).await;
        assert_eq!(page.status, 200, "{target}");
        assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
        let csp = page.field("content-security-policy").unwrap();
        assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"));
        assert!(csp.contains("media-src 'self' blob:"), "{csp}");
        assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.field("referrer-policy"), Some("no-referrer"));
        assert!(page.field("access-control-allow-origin").is_none(), "{target}");
        assert!(page.field("cache-control").is_some(), "{target}");
    }
    let embed = world.get("/embed/demo").await;
    assert!(embed.field("content-security-policy").unwrap().ends_with("frame-ancestors *"));
    let slash = world.get("/demo/").await;
    assert_eq!((slash.status, slash.field("location")), (308, Some("../demo")));
    let unknown = world.ask("GET", "/nobody", "Accept: text/html\r\n").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(world.get("/nobody").await.problem(), "channel-unknown");
    assert_eq!(world.get("/favicon.ico").await.status, 200);
    let french = world.ask("GET", "/", "Accept-Language: fr\r\n").await;
    assert_eq!(french.field("content-language"), Some("fr"));
}

/// W20, W16: fields that no cache knows change nothing.
#[tokio::test(start_paused = true)]
async fn unkeyed_fields_change_nothing() {
    let (world, _encoder, address) = World::playing(Setup::default()).await;
    for target in ["/", "/demo", "/demo/", "/api/v1/channels", "/demo/index.m3u8", &address] {
        let plain = world.get(target).await;
        for field in [
            "X-Forwarded-Host: evil.example",
            "X-Forwarded-Proto: https",
            "X-Forwarded-For: 1.2.3.4",
            "X-Forwarded-Prefix: /evil",
            "X-Forwarded-Port: 1",
            "Forwarded: host=evil.example",
            "X-Original-URL: /sunset",
            "X-Rewrite-URL: /sunset",
            "X-HTTP-Method-Override: DELETE",
            "X-Method-Override: POST",
            "X-Host: evil.example",
            "X-Real-IP: 1.2.3.4",
            "True-Client-IP: 1.2.3.4",
            "CF-Connecting-IP: 1.2.3.4",
            "Via: 1.1 evil",
            "Origin: https://evil.example",
            "Referer: https://evil.example/",
            "Cookie: a=b",
            "Authorization: Basic YTpi",
            "User-Agent: <script>",
            "Accept-Charset: utf-7",
            "X-Wap-Profile: x",
            "Max-Forwards: 0",
            "DNT: 1",
            "Save-Data: on",
            "TE: trailers",
            "Cache-Control: no-cache",
            "Pragma: no-cache",
            "X-ATT-DeviceId: x",
            "Priority: u=0",
        ] {
            let other = world.ask("GET", target, &format!("{field}\r\n")).await;
            assert_eq!(
                (other.status, &other.body),
                (plain.status, &plain.body),
                "{target} {field}"
            );
        }
    }
}

/// W15: a host that is not listed is misdirected.
#[tokio::test(start_paused = true)]
async fn only_listed_hosts_are_answered() {
    let settings = Settings { hosts: vec!["video.example".to_owned()], ..Settings::default() };
    let world = World::with(Setup { settings, ..Setup::default() }).await;
    let reply = world.get("/demo/index.m3u8").await;
    assert_eq!((reply.status, reply.problem().as_str()), (421, "host-unknown"));
}

/// D38: ready is not the same as alive, and draining is for good.
#[tokio::test(start_paused = true)]
async fn ready_is_not_the_same_as_alive() {
    let world = World::new().await;
    let mut admin = {
        let (ours, theirs) = duplex(1024);
        world.admin.serve_stream(theirs, &world.stop);
        ours
    };
    for (step, ready) in [("starting", 503), ("open", 200), ("draining", 503)] {
        match step {
            "open" => world.readiness.open(),
            "draining" => world.readiness.drain(),
            _ => {}
        }
        assert_eq!(world.get("/readyz").await.status, ready, "{step}");
        assert_eq!(world.get("/healthz").await.status, 200, "{step}");
        assert_eq!(ask(&mut admin, "GET", "/readyz", "").await.status, ready, "{step}");
    }
    world.readiness.open();
    assert_eq!(world.get("/readyz").await.status, 503, "draining is for good");

    let figures = ask(&mut admin, "GET", "/metrics", "").await;
    assert_eq!((figures.status, figures.text()), (200, "# EOF\n"));
    assert_eq!(world.get("/metrics").await.status, 404, "W58: not for viewers");
    assert_eq!(ask(&mut admin, "POST", "/metrics", "").await.status, 405);
    assert_eq!(ask(&mut admin, "GET", "/demo", "").await.status, 404);
}

/// The page's own source of truth.
#[tokio::test(start_paused = true)]
async fn the_status_tells_how_a_channel_stands() {
    let world = World::new().await;
    let state = |reply: &Reply| reply.json()["state"].as_str().unwrap().to_owned();
    let offline = world.get("/api/v1/channels/demo").await;
    assert_eq!(state(&offline), "offline");
    assert_eq!(offline.field("cache-control"), Some("max-age=1"));
    assert_eq!(offline.json()["playlist"], serde_json::Value::Null);
    let mut encoder = world.publish();
    encoder.send(0.04).await;
    assert_eq!(state(&world.get("/api/v1/channels/demo").await), "starting");
    encoder.send(5.0).await;
    let live = world.get("/api/v1/channels/demo").await;
    assert_eq!(state(&live), "live");
    let document = live.json();
    assert_eq!(document["playlist"], "/demo/index.m3u8");
    assert_eq!(document["started_at"], START.to_string());
    assert_eq!(document["sunset"], serde_json::Value::Null);
    let listed = world.get("/api/v1/channels").await.json();
    assert_eq!(listed["channels"][0]["channel"], "demo");
    assert_eq!(listed["channels"].as_array().unwrap().len(), 1);
}
