use super::*;

#[test]
fn an_address_is_resolved_against_its_playlist() {
    let base = "https://host:8443/live/a/index.m3u8?token=x/y";
    for (reference, expected) in [
        ("s1.ts", "https://host:8443/live/a/s1.ts"),
        ("./s1.ts?b=c", "https://host:8443/live/a/s1.ts?b=c"),
        ("../b/s1.ts", "https://host:8443/live/b/s1.ts"),
        ("../../../s1.ts", "https://host:8443/s1.ts"),
        ("/s1.ts", "https://host:8443/s1.ts"),
        ("//cdn/s1.ts", "https://cdn/s1.ts"),
        ("http://cdn/s1.ts", "http://cdn/s1.ts"),
        ("?v=2", "https://host:8443/live/a/index.m3u8?v=2"),
        ("s1.ts?at=12:30", "https://host:8443/live/a/s1.ts?at=12:30"),
        ("..", "https://host:8443/live/"),
    ] {
        assert_eq!(resolve(base, reference), expected, "{reference}");
    }
    assert_eq!(resolve("https://host", "s1.ts"), "https://host/s1.ts");
    assert_eq!(resolve("/live/index.m3u8", "s1.ts"), "/live/s1.ts");
}

#[test]
fn seconds_are_read_exactly() {
    for (text, expected) in [
        ("4", Some(4_000_000)),
        ("0.1", Some(100_000)),
        ("4.004000000", Some(4_004_000)),
        ("1e3", None),
        ("-1", None),
        ("", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(micros(text), expected, "{text}");
    }
}

#[test]
fn an_instant_is_read_in_any_zone() {
    let expected = wall_micros("2026-11-21T08:00:00.000Z");
    assert!(expected.is_some());
    for text in ["2026-11-21T10:00:00+02:00", "2026-11-21T08:00:00", "2026-11-21T05:30:00.0-0230"] {
        assert_eq!(wall_micros(text), expected, "{text}");
    }
    assert_eq!(wall_micros("yesterday"), None);
}
