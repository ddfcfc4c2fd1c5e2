use super::*;
use crate::gate::{Operation, Phase};

const NOON: WallTime = WallTime::from_unix_millis(1_617_192_000_000);

fn visit(lang: Lang) -> Visit {
    Visit { lang, public_url: None, now: NOON, rehearsal: false, closing: None }
}

fn channel(name: &str) -> ChannelId {
    ChannelId::parse(name).unwrap()
}

fn watch_page(status: &str) -> WatchPage {
    let state = ChannelState::Offline;
    WatchPage { channel: channel("demo"), state, status: status.to_owned() }
}

fn live(name: &str) -> LiveChannel {
    LiveChannel { channel: channel(name), state: ChannelState::Live, started_at: NOON }
}

/// An end declared for the last day of March 2021, seen at noon of that day.
fn declared() -> StatusDocument {
    let instant = InstantStatus {
        name: "publish_close_at",
        at: "2021-04-01T07:00:00.000Z".to_owned(),
        local: Some("2021-04-01 00:00:00 -07:00 (America/Los_Angeles)".to_owned()),
        declared_as: "2021-03-31 end-of-day America/Los_Angeles".to_owned(),
        passed: false,
    };
    let operation = |(operation, state)| OperationStatus {
        operation,
        state,
        closes_at: Some(instant.at.clone()),
        closes_at_local: None,
    };
    StatusDocument {
        server_time: NOON.to_string(),
        simulated: false,
        declared: true,
        phase: Phase::Announced,
        next_edge: Some(instant.clone()),
        policy: Some("finish"),
        time_zone: Some("America/Los_Angeles".to_owned()),
        instants: vec![
            InstantStatus {
                name: "announced_at",
                at: "2020-12-15T08:00:00.000Z".to_owned(),
                local: Some("2020-12-15 00:00:00 -08:00 (America/Los_Angeles)".to_owned()),
                passed: true,
                ..instant.clone()
            },
            instant.clone(),
        ],
        operations: [
            (Operation::CreateKey, OperationState::Refused),
            (Operation::Start, OperationState::Allowed),
            (Operation::Keep, OperationState::RunningOnly),
        ]
        .map(operation)
        .to_vec(),
        latched_at: None,
        clock: None,
        tz_database: Some("2025b".to_owned()),
        info: Some("https://example.org/end".to_owned()),
        warnings: Vec::new(),
        history: vec![Change {
            at: "2020-12-15T08:00:00.000Z".to_owned(),
            kind: "declared".to_owned(),
            text: "publish_close_at = 2021-03-31 end-of-day America/Los_Angeles = \
                   2021-04-01T07:00:00.000Z; policy = finish"
                .to_owned(),
        }],
    }
}

fn undeclared() -> StatusDocument {
    StatusDocument {
        declared: false,
        phase: Phase::Open,
        next_edge: None,
        policy: None,
        time_zone: None,
        instants: Vec::new(),
        history: Vec::new(),
        info: None,
        ..declared()
    }
}

/// Every page there is, in one language.
fn all(visit: &Visit) -> Vec<String> {
    let index_of = |channels| IndexPage { channels, rtmp_port: Some(1935) };
    vec![
        index(visit, &index_of(Vec::new())),
        index(visit, &index_of(vec![live("demo"), live("Studio_2")])),
        watch(visit, &watch_page("{}")),
        embed(visit, &watch_page("{}")),
        sunset(visit, &declared()),
        sunset(visit, &undeclared()),
        gone(visit, &channel("demo"), &declared()),
        not_found(visit),
    ]
}

#[test]
fn pages_are_whole_in_both_languages() {
    for (lang, tag) in [(Lang::En, "<html lang=\"en\">"), (Lang::Fr, "<html lang=\"fr\">")] {
        for page in all(&visit(lang)) {
            assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"), "{page}");
            assert!(page.contains(tag) && page.contains("rel=\"icon\""), "{page}");
        }
    }
}

/// W29: nothing on a page needs more than `script-src 'self'; style-src 'self'`.
#[test]
fn pages_carry_no_inline_script_or_style() {
    for page in all(&visit(Lang::En)) {
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(page.contains("<script type=\"module\" src=\"/assets/"), "{page}");
        for inline in ["<style", " style=", " onclick=", " onload=", " onerror=", "javascript:"] {
            assert!(!page.contains(inline), "{inline}: {page}");
        }
    }
}

/// W26, W27, W28: hostile texts stay texts, in attributes too.
#[test]
fn hostile_texts_are_only_shown() {
    let evil = "</script><script>alert(1)</script>\"' onload=x \u{2028}<img src=x onerror=y>&";
    let json = serde_json::json!({ "encoder": evil }).to_string();
    let mut status = declared();
    status.history.push(Change {
        at: evil.to_owned(),
        kind: evil.to_owned(),
        text: evil.to_owned(),
    });
    status.time_zone = Some(evil.to_owned());
    status.instants.iter_mut().for_each(|instant| instant.local = Some(evil.to_owned()));
    for page in [
        watch(&visit(Lang::En), &watch_page(&json)),
        embed(&visit(Lang::Fr), &watch_page(&json)),
        sunset(&visit(Lang::En), &status),
        gone(&visit(Lang::Fr), &channel("demo"), &status),
    ] {
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert!(!page.contains("<img") && !page.contains("\" onload=x"), "{page}");
        assert!(page.contains("&lt;/script&gt;") || page.contains("&#60;/script&#62;"), "{page}");
    }
}

/// The history speaks the language of the page; an operator's reason stays as it was written.
#[test]
fn the_history_is_in_the_language_of_the_page() {
    let mut status = declared();
    let change = |kind: &str, text: &str| Change {
        at: "2020-12-16T08:00:00.000Z".to_owned(),
        kind: kind.to_owned(),
        text: text.to_owned(),
    };
    status.history.push(change("closed", "finish_until = 2021-04-01T11:00:00.000Z"));
    status.history.push(change("reopened", "by mistake"));
    status.history.push(change("declared", "no end is declared"));
    for (lang, lines) in [
        (
            Lang::En,
            [
                "Declared: No new broadcasts (2021-04-01 07:00:00 UTC)</li>",
                "Closed: ",
                "Reopened by the operator: by mistake</li>",
                "no declared end.",
            ],
        ),
        (
            Lang::Fr,
            [
                "Déclaré\u{a0}: Plus de nouvelles diffusions (2021-04-01 07:00:00 UTC)</li>",
                "Fermé\u{a0}: ",
                "Rouvert par l’opérateur\u{a0}: by mistake</li>",
                "Aucune fin n’est annoncée",
            ],
        ),
    ] {
        let page = sunset(&visit(lang), &status);
        let history = page.split_once("class=\"history\"").expect("a history").1;
        for line in lines {
            assert!(history.contains(line), "{line} in {history}");
        }
    }
}

#[test]
fn only_web_addresses_become_links() {
    let mut status = declared();
    assert!(sunset(&visit(Lang::En), &status).contains("href=\"https://example.org/end\""));
    status.info = Some("javascript:alert(1)".to_owned());
    assert!(!sunset(&visit(Lang::En), &status).contains("href=\"javascript"));
}

#[test]
fn the_index_says_where_to_publish_until_nobody_can() {
    let mut page = IndexPage { channels: Vec::new(), rtmp_port: Some(1936) };
    assert!(index(&visit(Lang::En), &page).contains(":1936/live"));
    page.rtmp_port = None;
    assert!(!index(&visit(Lang::En), &page).contains("rtmp://"));
}

/// W15: the address in a page is the operator's, and without one there is none.
#[test]
fn pages_say_where_they_are_if_that_is_known() {
    let public_url = WebAddress::parse("https://video.example/tv");
    let known = Visit { public_url, ..visit(Lang::En) };
    let page = IndexPage { channels: Vec::new(), rtmp_port: Some(1935) };
    for (page, path) in [
        (index(&known, &page), "/"),
        (watch(&known, &watch_page("{}")), "/demo"),
        (embed(&known, &watch_page("{}")), "/demo"),
        (sunset(&known, &declared()), "/sunset"),
    ] {
        for start in ["rel=\"canonical\" href", "property=\"og:url\" content"] {
            let said = format!("{start}=\"https://video.example/tv{path}\"");
            assert!(page.contains(&said), "{said}: {page}");
        }
    }
    assert!(index(&known, &page).contains("rtmp://video.example/live"));
    assert!(!not_found(&known).contains("canonical"), "it is at no address");
    for page in all(&visit(Lang::En)) {
        assert!(!page.contains("canonical") && !page.contains("og:url"), "{page}");
    }
}

#[test]
fn the_player_plays_without_script() {
    let page = watch(&visit(Lang::En), &watch_page("{}"));
    let (_, without) = page.split_once("<noscript>").unwrap();
    assert!(without.contains("<video src=\"/demo/index.m3u8\" controls"), "{page}");
}

#[test]
fn a_rehearsal_is_marked_on_every_page() {
    for lang in [Lang::En, Lang::Fr] {
        let real = all(&visit(lang));
        let played = all(&Visit { rehearsal: true, ..visit(lang) });
        assert!(real.iter().all(|page| !page.contains(lang.texts().rehearsal)));
        assert!(played.iter().all(|page| page.contains(lang.texts().rehearsal)));
    }
}

/// Half-open, as the gate is: at the instant itself it has closed.
#[test]
fn the_closing_is_announced_before_and_stated_from_the_instant_on() {
    let later = WallTime::from_unix_millis(NOON.unix_millis() + 1);
    let texts = Lang::En.texts();
    for (closing, text) in [(later, texts.closing_notice), (NOON, texts.closed_notice)] {
        let page = not_found(&Visit { closing: Some(closing), ..visit(Lang::En) });
        assert!(page.contains(text), "{page}");
    }
}

#[test]
fn the_sunset_page_shows_every_clock_and_what_still_works() {
    let page = sunset(&visit(Lang::En), &declared());
    for part in [
        "2021-04-01 07:00:00 UTC",
        "2021-04-01 00:00:00 -07:00 (America/Los_Angeles)",
        "data-local-cell=\"2021-04-01T07:00:00.000Z\"",
        "No new broadcasts",
        "Start a broadcast",
        "only what already runs",
        "Declared: No new broadcasts (2021-04-01 07:00:00 UTC)",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(sunset(&visit(Lang::Fr), &undeclared()).contains("Aucune fin"));
}

#[test]
fn instants_read_the_same_everywhere() {
    for (text, shown, exact) in [
        ("2021-04-01T06:59:59.999Z", "2021-04-01 06:59:59 UTC", "2021-04-01 06:59:59.999 UTC"),
        ("2021-04-01T07:00:00.000Z", "2021-04-01 07:00:00 UTC", "2021-04-01 07:00:00 UTC"),
        ("-1 ms since 1970", "-1 ms since 1970", "-1 ms since 1970"),
    ] {
        assert_eq!(utc(text), shown);
        assert_eq!(utc_exact(text), exact);
    }
}
