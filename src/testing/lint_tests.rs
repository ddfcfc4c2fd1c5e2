use super::*;

/// A clean playlist to break.
const CLEAN: &str = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,HOLD-BACK=3.0,PART-HOLD-BACK=1.5
#EXT-X-PART-INF:PART-TARGET=0.5
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI=\"init-1.mp4\"
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
#EXT-X-PART:DURATION=0.50000,URI=\"p1.m4s\",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI=\"p2.m4s\"
#EXTINF:1.00000,
s7.m4s
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:01.000Z
#EXT-X-PART:DURATION=0.50000,URI=\"p3.m4s\",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p4.m4s\"
";

fn rules(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.rule).collect()
}

/// Each line: the rule, what to replace, by what.
const BREAKS: &[(&str, &str, &str)] = &[
    ("H2", "s7.m4s", "s7\u{7f}.m4s"),
    ("H3", "#EXTM3U\n", ""),
    ("H4", "VERSION:6", "VERSION:9"),
    ("H5", "PART-TARGET", "part-target"),
    ("H5", "HOLD-BACK=3.0,", "HOLD-BACK=3.0,HOLD-BACK=3.0,"),
    ("H6", "\"p2.m4s\"", "\"p2.m4s"),
    ("H7", "TARGETDURATION:1", "TARGETDURATION:1.5"),
    ("H7", "MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:000000000000000000007"),
    ("H7", "#EXTINF:1.00000", "#EXTINF:1e0"),
    ("H7", "#EXTINF:1.00000", "#EXTINF:-1.00000"),
    ("H7", "DURATION=0.50000,URI=\"p2", "DURATION=NaN,URI=\"p2"),
    ("H7", "HOLD-BACK=3.0", "HOLD-BACK=inf"),
    ("H8", "#EXT-X-VERSION:6\n", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6\n"),
    ("H8", "#EXT-X-VERSION:6\n", "#EXT-X-VERSION:6\n#EXT-X-STREAM-INF:BANDWIDTH=1\n"),
    ("H10", "#EXT-X-TARGETDURATION:1\n", ""),
    ("H12", "#EXTINF:1.00000", "#EXTINF:1.50000"),
    ("H13", "#EXTINF:1.00000", "#EXTINF:1.0"),
    ("H17", "MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:0"),
    (
        "H24",
        "#EXT-X-PRELOAD",
        "#EXTINF:1.00000,\ns8.m4s\n#EXTINF:1.00000,\ns9.m4s\n\
      #EXTINF:1.00000,\ns10.m4s\n#EXTINF:1.00000,\ns11.m4s\n#EXT-X-PRELOAD",
    ),
    ("H29", "#EXT-X-PRELOAD", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD"),
    ("H34", "#EXT-X-DISCONTINUITY-SEQUENCE:0\n", ""),
    ("H39", "#EXT-X-MAP:URI=\"init-1.mp4\"\n", ""),
    ("H42", "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:01.000Z\n", ""),
    ("H43", "08:00:01.000Z", "08:00:01Z"),
    ("H46", "08:00:01.000Z", "08:00:01.100Z"),
    (
        "H40",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:01",
        "#EXT-X-MAP:URI=\"init-2.mp4\"\n\
      #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:01",
    ),
    (
        "H45",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:01",
        "#EXT-X-DISCONTINUITY\n\
      #EXT-X-PROGRAM-DATE-TIME:2026-11-21T07:00:01",
    ),
    ("H53", "DURATION=0.50000,URI=\"p2", "DURATION=0.43000,URI=\"p2"),
    ("H72", "#EXT-X-PART-INF:PART-TARGET=0.5\n", ""),
    ("H73", "DURATION=0.50000,URI=\"p2", "DURATION=0.50001,URI=\"p2"),
    ("H74", "DURATION=0.50000,URI=\"p1.m4s\",INDEPENDENT=YES", "DURATION=0.40000,URI=\"p1.m4s\""),
    ("H76", "#EXTINF:1.00000,", "#EXT-X-MAP:URI=\"init-1.mp4\"\n#EXTINF:1.00000,"),
    ("H77", "CAN-BLOCK-RELOAD=YES,", ""),
    ("H78", "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.4"),
    ("H79", "HOLD-BACK=3.0", "HOLD-BACK=2.9"),
    ("H80", "HOLD-BACK=3.0", "HOLD-BACK=3.0,CAN-SKIP-UNTIL=5.9"),
    ("H81", "HOLD-BACK=3.0", "HOLD-BACK=3.0,CAN-SKIP-DATERANGES=YES"),
    ("H82", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p4.m4s\"\n", ""),
    (
        "H82",
        "#EXT-X-PRELOAD-HINT:",
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p4.m4s\"\n#EXT-X-PRELOAD-HINT:",
    ),
];

#[test]
fn a_clean_playlist_has_no_findings() {
    assert_eq!(check_playlist(CLEAN), []);
}

#[test]
fn every_break_is_found() {
    for (rule, what, by) in BREAKS {
        let broken = CLEAN.replacen(what, by, 1);
        assert_ne!(broken, CLEAN, "{rule}");
        let found = rules(&check_playlist(&broken));
        assert!(found.contains(rule), "{rule}: {found:?}");
    }
}

#[test]
fn a_plain_playlist_has_whole_segments_and_no_parts() {
    let plain = strip_low_latency(CLEAN);
    assert_eq!(check_plain(&plain), []);
    assert!(plain.ends_with("#EXTINF:1.00000,\ns7.m4s\n"), "{plain}");
    assert!(rules(&check_plain(CLEAN)).contains(&"H88"));
    let nothing = plain.replace("#EXTINF:1.00000,\ns7.m4s\n", "");
    assert!(rules(&check_plain(&nothing)).contains(&"H88"));
    assert!(
        rules(&check_plain(&plain.replace("TARGETDURATION:1", "TARGETDURATION:0")))
            .contains(&"H10")
    );
    let ended = strip_low_latency(&format!("{CLEAN}#EXT-X-ENDLIST\n"));
    assert!(ended.ends_with("#EXT-X-ENDLIST\n"), "{ended}");
}

/// Each line: the rule, and a change that no reload may show.
const CHANGES: &[(&str, &str, &str)] = &[
    ("H11", "TARGETDURATION:1", "TARGETDURATION:2"),
    ("H11", "PART-TARGET=0.5", "PART-TARGET=0.6"),
    ("H16", "MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:6"),
    ("H16", "s7.m4s", "s8.m4s"),
    ("H18", "#EXTINF:1.00000", "#EXTINF:1.00001"),
    ("H18", "08:00:00.000Z", "08:00:00.001Z"),
    ("H18", "URI=\"p1.m4s\"", "URI=\"p0.m4s\""),
    ("H21", "MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:8"),
    ("H34", "DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1"),
    ("H83", "#EXT-X-PRELOAD", "#EXT-X-PART:DURATION=0.5,URI=\"p5.m4s\"\n#EXT-X-PRELOAD"),
];

#[test]
fn every_forbidden_change_is_found() {
    assert_eq!(check_reload(CLEAN, CLEAN), []);
    for (rule, what, by) in CHANGES {
        let changed = CLEAN.replacen(what, by, 1);
        assert_ne!(changed, CLEAN, "{rule}");
        let found = rules(&check_reload(CLEAN, &changed));
        assert!(found.contains(rule), "{rule}: {found:?}");
    }
    let ended = format!("{CLEAN}#EXT-X-ENDLIST\n");
    assert_eq!(rules(&check_reload(&ended, CLEAN)), ["H29"]);
}
