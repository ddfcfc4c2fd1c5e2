use super::texts::{EVENT, MULTIVARIANT, VOD, delta, low_latency, nginx_rtmp, plain};
use super::{assert_all_judged, assert_broken, broken, misjudged};
use crate::base::{Clock, SystemClock};
use crate::check::{
    Ledger, Listed, Playlist, judge_delta, judge_multivariant, judge_playlist, judge_reload,
    judge_renditions,
};

const URL: &str = "https://host/live/a.m3u8";
const OTHER: &str = "https://host/live/b.m3u8";

/// What a bad case starts from.
#[derive(Clone, Copy)]
enum Base {
    LowLatency,
    Delta,
    Plain,
    Vod,
    Event,
    Multivariant,
}

/// A rule, what breaks it (replaced once), and which rules cannot then be kept.
type Bad = (&'static str, Base, &'static str, &'static str, &'static [&'static str]);

use Base::{Delta, Event, LowLatency, Multivariant, Plain, Vod};

#[rustfmt::skip]
const ONE: &[Bad] = &[
    ("H2", Plain, "live-9.ts", "live-\u{7f}9.ts", &[]),
    ("H2", Plain, "live-9.ts", "live-\u{85}9.ts", &[]),
    ("H2", Plain, "#EXTM3U", "\u{feff}#EXTM3U", &[]),
    ("H3", Plain, "#EXTM3U\n", "", &[]),
    ("H3", Multivariant, "#EXTM3U\n", "#EXTM3U8\n", &[]),
    ("H4", LowLatency, "VERSION:6", "VERSION:7", &[]),
    ("H4", LowLatency, "VERSION:6", "VERSION:5", &[]),
    ("H4", Plain, "#EXT-X-VERSION:3\n", "", &[]),
    ("H4", Plain, "#EXT-X-VERSION:3\n", "#EXT-X-VERSION:3\n#EXT-X-VERSION:3\n", &[]),
    ("H4", Delta, "VERSION:9", "VERSION:6", &[]),
    ("H5", LowLatency, "PART-INF:PART-TARGET=0.5", "PART-INF:PART-TARGET=0.5,part=1", &[]),
    ("H5", LowLatency, ",HOLD-BACK=3.0,", ", HOLD-BACK=3.0,", &[]),
    ("H5", LowLatency, ",HOLD-BACK=3.0,", ",HOLD-BACK=3.0,HOLD-BACK=3.0,", &[]),
    ("H6", LowLatency, "URI=\"p10.1.m4s\"", "URI=\"p10.1.m4s", &[]),
    ("H6", Multivariant, "NAME=\"Deutsch, leise\"", "NAME=\"Deutsch\", leise\"", &[]),
    ("H7", Plain, "TARGETDURATION:4", "TARGETDURATION:4.0", &[]),
    ("H7", Plain, "MEDIA-SEQUENCE:3", "MEDIA-SEQUENCE:000000000000000000003", &[]),
    ("H7", LowLatency, "HOLD-BACK=3.0,", "HOLD-BACK=3.0.0,", &["H79"]),
    ("H7", Multivariant, "BANDWIDTH=900000", "BANDWIDTH=9e5", &[]),
    ("H7", Plain, "EXTINF:4.000", "EXTINF:4.0e0", &[]),
    ("H8", Plain, "#EXTINF", "#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXTINF", &[]),
    ("H8", Plain, "#EXT-X-TARGETDURATION:4\n", "#EXT-X-TARGETDURATION:4\n#EXT-X-TARGETDURATION:4\n", &[]),
    ("H8", Multivariant, "#EXT-X-IND", "#EXT-X-TARGETDURATION:4\n#EXT-X-IND", &[]),
    ("H8", Multivariant, "\nlo.m3u8", "", &[]),
    ("H10", Plain, "#EXT-X-TARGETDURATION:4\n", "", &[]),
    ("H10", Plain, "TARGETDURATION:4", "TARGETDURATION:0", &[]),
    ("H12", Plain, "EXTINF:4.000", "EXTINF:4.500", &[]),
    ("H12", Plain, "#EXTINF:4.000,\n", "", &[]),
    ("H15", Plain, "#EXT-X-DISCONTINUITY-SEQUENCE:0\n", "#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n", &[]),
    ("H17", Plain, "MEDIA-SEQUENCE:3", "MEDIA-SEQUENCE:0", &[]),
    ("H17", Plain, "#EXT-X-MEDIA-SEQUENCE:3\n", "", &[]),
    ("H24", LowLatency, "#EXTINF:1.00000,\ns7.m4s", "#EXT-X-PART:DURATION=0.5,URI=\"p\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.5,URI=\"q\"\n#EXTINF:1.00000,\ns7.m4s", &[]),
    ("H27", Vod, "TYPE:VOD", "TYPE:LIVE", &[]),
    ("H29", LowLatency, "#EXT-X-PRELOAD", "#EXT-X-ENDLIST\n#EXT-X-PRELOAD", &[]),
    ("H34", Plain, "#EXT-X-DISCONTINUITY-SEQUENCE:0\n", "", &[]),
    ("H39", Vod, "#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"800@0\"\n", "", &["H4"]),
    ("H39", LowLatency, "#EXT-X-MAP:URI=\"init-1.mp4\"\n", "", &["H4"]),
    ("H40", LowLatency, "#EXTINF:1.00000,\ns8", "#EXT-X-MAP:URI=\"init-2.mp4\"\n#EXTINF:1.00000,\ns8", &[]),
    ("H42", Plain, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:12.000Z\n", "", &[]),
    ("H43", Plain, "08:00:12.000Z", "08:00:12Z", &[]),
    ("H43", Plain, "08:00:12.000Z", "08:00:12.000", &[]),
    ("H43", Plain, "2026-11-21T", "yesterday ", &[]),
    ("H44", Vod, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:06.000Z\n", "", &[]),
    ("H45", Vod, "TIME:2026-11-21T08:00:06.000Z", "TIME:2026-11-21T08:00:05.000Z", &[]),
    ("H46", LowLatency, "T08:00:09.000Z", "T08:00:09.100Z", &[]),
    ("H48", Vod, "ID=\"ad\",", "", &[]),
    ("H48", Vod, "#EXT-X-DATERANGE", "#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-11-21T08:00:00Z\"\n#EXT-X-DATERANGE", &[]),
    ("H53", LowLatency, "DURATION=0.50000,URI=\"p11.1", "DURATION=0.43000,URI=\"p11.1", &[]),
    ("H61", Multivariant, "RESOLUTION=640x360,", "", &[]),
    ("H62", Multivariant, ",AVERAGE-BANDWIDTH=700000", "", &[]),
    ("H64", Multivariant, "BANDWIDTH=140000,AVERAGE", "AVERAGE", &[]),
    ("H64", Multivariant, ",CODECS=\"mp4a.40.2\"", "", &[]),
    ("H68", Multivariant, ",CODECS=\"mp4a.40.2\"", ",CODECS=\"mp4a.40.2\",FRAME-RATE=30.000", &[]),
    ("H69", Multivariant, ",CLOSED-CAPTIONS=NONE", "", &[]),
    ("H71", Multivariant, "BANDWIDTH=900000", "BANDWIDTH=2500000", &[]),
    ("H72", LowLatency, "#EXT-X-PART-INF:PART-TARGET=0.5\n", "", &[]),
    ("H73", LowLatency, "DURATION=0.50000,URI=\"p10.1", "DURATION=0.50001,URI=\"p10.1", &[]),
    ("H74", LowLatency, "DURATION=0.50000,URI=\"p10.0.m4s\",INDEPENDENT=YES", "DURATION=0.42000,URI=\"p10.0.m4s\"", &["H53"]),
    ("H76", LowLatency, "#EXTINF:1.00000,\ns10", "#EXT-X-MAP:URI=\"init-1.mp4\"\n#EXTINF:1.00000,\ns10", &[]),
    ("H77", LowLatency, "CAN-BLOCK-RELOAD=YES,", "", &[]),
    ("H78", LowLatency, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.4", &[]),
    ("H78", LowLatency, ",PART-HOLD-BACK=1.5", "", &[]),
    ("H79", LowLatency, ",HOLD-BACK=3.0", ",HOLD-BACK=2.9", &[]),
    ("H80", LowLatency, "CAN-SKIP-UNTIL=6.0", "CAN-SKIP-UNTIL=5.9", &[]),
    ("H81", Plain, "#EXT-X-MEDIA", "#EXT-X-SERVER-CONTROL:CAN-SKIP-DATERANGES=YES\n#EXT-X-MEDIA", &[]),
    ("H82", LowLatency, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p12.1.m4s\"\n", "", &[]),
    ("H82", LowLatency, "#EXT-X-PRELOAD-HINT:", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n#EXT-X-PRELOAD-HINT:", &[]),
    ("H102", Delta, "SKIPPED-SEGMENTS=2", "SKIPPED-SEGMENTS=0", &[]),
    ("H102", Delta, "CAN-SKIP-UNTIL=6.0", "CAN-SKIP-UNTIL=12.0", &[]),
];

/// What no reload may show: a version, what is replaced in the later one.
#[rustfmt::skip]
const CHANGES: &[Bad] = &[
    ("H11", Plain, "TARGETDURATION:4", "TARGETDURATION:5", &[]),
    ("H16", Plain, "MEDIA-SEQUENCE:4", "MEDIA-SEQUENCE:2", &[]),
    ("H16", Plain, "MEDIA-SEQUENCE:4", "MEDIA-SEQUENCE:5", &[]),
    ("H18", Plain, "EXTINF:4.000,\nlive-6", "EXTINF:3.999,\nlive-6", &[]),
    ("H18", Plain, "live-6", "live-sechs", &[]),
    ("H18", Plain, "#EXTINF:4.000,\nlive-6", "#EXT-X-DISCONTINUITY\n#EXTINF:4.000,\nlive-6", &[]),
    ("H18", LowLatency, "PART-TARGET=0.5", "PART-TARGET=0.6", &[]),
    ("H18", LowLatency, "p11.1.m4s", "p11.2.m4s", &[]),
    ("H18", LowLatency, "#EXTINF:1.00000,\ns10.m4s\n", "#EXT-X-PART:DURATION=0.1,URI=\"more\"\n#EXTINF:1.00000,\ns10.m4s\n", &[]),
    ("H20", Plain, "#EXTINF:4.000,\nlive-6.ts\n", "", &[]),
    ("H20", LowLatency, "#EXT-X-PART:DURATION=0.50000,URI=\"p11.0.m4s\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=0.50000,URI=\"p11.1.m4s\"\n", "", &[]),
    ("H27", Event, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z\n#EXTINF:6.000,\ne0.ts\n", "#EXT-X-MEDIA-SEQUENCE:1\n", &["H21"]),
    ("H28", Event, "TYPE:EVENT", "TYPE:VOD", &[]),
    ("H34", Plain, "DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1", &[]),
    ("H41", LowLatency, "#EXT-X-MAP:URI=\"init-1.mp4\"\n", "", &[]),
    ("H48", Event, "#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-11-21T08:00:06.000Z\",DURATION=6.0\n", "", &[]),
    ("H48", Event, "START-DATE=\"2026-11-21T08:00:06", "START-DATE=\"2026-11-21T08:00:07", &[]),
    ("H66", LowLatency, "#EXT-X-INDEPENDENT-SEGMENTS\n", "", &[]),
    ("H83", LowLatency, "p12.1.m4s", "p12.2.m4s", &[]),
];

/// What one rendition may not say beside another.
#[rustfmt::skip]
const BESIDE: &[Bad] = &[
    ("H38", Vod, "#EXT-X-DISCONTINUITY\n", "", &[]),
    ("H38", Vod, "#EXT-X-TARGET", "#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXT-X-TARGET", &[]),
    ("H47", Plain, "08:00:12.000Z", "08:00:12.100Z", &[]),
    ("H65", Plain, "TARGETDURATION:4", "TARGETDURATION:5", &[]),
    ("H85", LowLatency, "#EXT-X-RENDITION-REPORT:URI=\"a.m3u8\",LAST-MSN=12,LAST-PART=0\n", "", &[]),
    ("H85", LowLatency, "LAST-MSN=12", "LAST-MSN=15", &[]),
    ("H85", LowLatency, ",LAST-PART=0", "", &[]),
];

impl Base {
    fn text(self) -> String {
        match self {
            LowLatency => low_latency(4, 8),
            Delta => delta(4, 8, 2),
            Plain => plain(3, 8),
            Vod => VOD.to_owned(),
            Event => EVENT.to_owned(),
            Multivariant => MULTIVARIANT.to_owned(),
        }
    }

    /// An earlier and a later version.
    fn versions(self) -> (String, String) {
        match self {
            Plain => (plain(3, 8), plain(4, 8)),
            LowLatency => {
                let now = low_latency(4, 8);
                let (hint, part) =
                    ("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p12.1.m4s\"\n", "p12.1.m4s");
                let more = format!(
                    "#EXT-X-PART:DURATION=0.5,URI=\"{part}\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p13.0.m4s\"\n"
                );
                (now.clone(), now.replace(hint, &more))
            }
            Event => (EVENT.to_owned(), format!("{EVENT}#EXTINF:6.000,\ne2.ts\n#EXT-X-ENDLIST\n")),
            Delta | Vod | Multivariant => (self.text(), self.text()),
        }
    }

    /// The same content twice, reports of each other included.
    fn beside(self) -> (String, String) {
        let report =
            |name| format!("#EXT-X-RENDITION-REPORT:URI=\"{name}\",LAST-MSN=12,LAST-PART=0\n");
        match self {
            LowLatency => (self.text() + &report("b.m3u8"), self.text() + &report("a.m3u8")),
            Delta | Plain | Vod | Event | Multivariant => (self.text(), self.text()),
        }
    }
}

fn judge(ledger: &mut Ledger, base: Base, text: &str) {
    if matches!(base, Multivariant) {
        judge_multivariant(ledger, URL, text.as_bytes());
    } else {
        judge_playlist(ledger, URL, text.as_bytes());
    }
}

fn changed(text: &str, what: &str, by: &str) -> String {
    let changed = text.replacen(what, by, 1);
    assert_ne!(changed, text, "{what} is not there");
    changed
}

pub(super) fn judge_good(ledger: &mut Ledger) {
    for base in [LowLatency, Delta, Plain, Vod, Event, Multivariant] {
        judge(ledger, base, &base.text());
    }
    for base in [LowLatency, Plain, Vod, Event] {
        let (before, now) = base.versions();
        judge_reload(ledger, URL, &before, &now);
        let (one, other) = base.beside();
        judge_renditions(ledger, &[(URL, &one), (OTHER, &other)]);
    }
    judge_reload(ledger, URL, &low_latency(4, 8), &low_latency(5, 8));
    judge_hinted_map(ledger, "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"init-2.mp4\"\n");
    judge_update(ledger, |delta| delta);
}

pub(super) fn bad_rules() -> impl Iterator<Item = &'static str> {
    let listed = ONE.iter().chain(CHANGES).chain(BESIDE).map(|(rule, ..)| *rule);
    listed.chain(["H21", "H84", "H88", "H89", "H103"])
}

#[test]
fn good_playlists_break_nothing() {
    let mut ledger = Ledger::default();
    judge_good(&mut ledger);
    let findings: Vec<_> = ledger.findings().collect();
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn each_fault_of_a_playlist_breaks_its_rule() {
    let mut wrong = Vec::new();
    for (rule, base, what, by, also) in ONE {
        let mut ledger = Ledger::default();
        judge(&mut ledger, *base, &changed(&base.text(), what, by));
        wrong.extend(misjudged(&ledger, rule, also, by));
    }
    assert_all_judged(&wrong);
}

#[test]
fn a_playlist_that_is_no_text_is_said_to_be_none() {
    let mut ledger = Ledger::default();
    judge_playlist(&mut ledger, URL, b"#EXTM3U\n\xff\n");
    assert_broken(&ledger, "H2", &[], "not UTF-8");
}

#[test]
fn each_forbidden_change_breaks_its_rule() {
    let mut wrong = Vec::new();
    for (rule, base, what, by, also) in CHANGES {
        let (before, now) = base.versions();
        let mut ledger = Ledger::default();
        judge_reload(&mut ledger, URL, &before, &changed(&now, what, by));
        wrong.extend(misjudged(&ledger, rule, also, by));
    }
    assert_all_judged(&wrong);
}

#[test]
fn each_difference_of_renditions_breaks_its_rule() {
    let mut wrong = Vec::new();
    for (rule, base, what, by, also) in BESIDE {
        let (one, other) = base.beside();
        let mut ledger = Ledger::default();
        judge_renditions(&mut ledger, &[(URL, &one), (OTHER, &changed(&other, what, by))]);
        wrong.extend(misjudged(&ledger, rule, also, by));
    }
    assert_all_judged(&wrong);
}

#[test]
fn a_playlist_keeps_three_target_durations_and_six_segments() {
    for now in [plain(9, 2), plain(6, 5)] {
        let mut ledger = Ledger::default();
        judge_reload(&mut ledger, URL, &plain(3, 8), &now);
        assert_broken(&ledger, "H21", &[], &now);
    }
}

#[test]
fn an_ended_playlist_changes_no_more() {
    let mut ledger = Ledger::default();
    judge_reload(&mut ledger, URL, VOD, &changed(VOD, "EXTINF:5.500", "EXTINF:5.400"));
    assert_broken(&ledger, "H29", &[], "an ended playlist");
}

/// H34: a discontinuity leaves and is counted, or not.
#[test]
fn a_discontinuity_that_leaves_is_counted() {
    let before = plain(3, 8).replacen("#EXTINF", "#EXT-X-DISCONTINUITY\n#EXTINF", 1);
    for (count, fine) in [(0, false), (1, true), (2, false)] {
        let now = plain(4, 8).replace("SEQUENCE:0", &format!("SEQUENCE:{count}"));
        let mut ledger = Ledger::default();
        judge_reload(&mut ledger, URL, &before, &now);
        assert_eq!(broken(&ledger).contains("H34"), !fine, "{count}");
    }
}

/// The second segment of a low-latency playlist needs another init segment, hinted by `hint`.
fn judge_hinted_map(ledger: &mut Ledger, hint: &str) {
    let open = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p12.1.m4s\"\n";
    let close = "#EXT-X-PART:DURATION=0.5,URI=\"p12.1.m4s\"\n#EXTINF:1.0,\ns12.m4s\n";
    let next = format!("{hint}#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p13.0.m4s\"\n");
    let before = low_latency(4, 8).replace(open, &format!("{close}{next}"));
    let after = "#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"init-2.mp4\"\n\
                 #EXT-X-PART:DURATION=0.5,URI=\"p13.0.m4s\",INDEPENDENT=YES\n";
    judge_reload(ledger, URL, &before, &before.replace(&next, after));
}

#[test]
fn a_new_init_segment_is_hinted() {
    let mut ledger = Ledger::default();
    judge_hinted_map(&mut ledger, "");
    assert_broken(&ledger, "H84", &[], "no hint of the init segment");
}

#[test]
fn a_playlist_of_parts_alone_says_nothing_to_a_plain_player() {
    let text = low_latency(4, 8);
    let head = text.split("#EXT-X-PROGRAM").next().expect("a head");
    let open = text.rfind("#EXT-X-PROGRAM").map(|at| &text[at..]).expect("an open segment");
    let mut ledger = Ledger::default();
    judge_playlist(&mut ledger, URL, format!("{head}{open}").as_bytes());
    assert_broken(&ledger, "H88", &[], "parts alone");
}

#[test]
fn parts_of_everything_are_too_many() {
    let parts = "#EXT-X-PART:DURATION=0.5,URI=\"p\",INDEPENDENT=YES\n\
                 #EXT-X-PART:DURATION=0.5,URI=\"q\"\n#EXTINF:1.0000";
    let mut ledger = Ledger::default();
    let text = low_latency(4, 8);
    let (old, new) = text.split_at(text.find("#EXT-X-PART:").expect("parts"));
    let text = old.replace("#EXTINF:1.0000", parts) + new;
    judge_playlist(&mut ledger, URL, text.as_bytes());
    assert_broken(&ledger, "H89", &["H24"], "all parts");
}

#[test]
fn long_playlists_should_offer_delta_updates() {
    let mut ledger = Ledger::default();
    let text = low_latency(4, 55).replace("TARGETDURATION:1", "TARGETDURATION:3");
    let text = text.replace("1.00000", "3.00000").replace("HOLD-BACK=3.0", "HOLD-BACK=9.0");
    judge_playlist(&mut ledger, URL, text.replace("CAN-SKIP-UNTIL=6.0,", "").as_bytes());
    assert!(broken(&ledger).contains("H80"));
}

/// A delta update that goes by date ranges as well, after `spoil`.
fn judge_update(ledger: &mut Ledger, spoil: impl Fn(String) -> String) {
    let range = "#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-11-21T07:00:00Z\"\n#EXT-X-MAP";
    let known = low_latency(3, 8).replace("#EXT-X-MAP", range);
    let update = delta(4, 8, 2).replace("VERSION:9", "VERSION:10");
    let named = "SKIPPED-SEGMENTS=2,RECENTLY-REMOVED-DATERANGES=\"ad\"";
    let update = spoil(update.replace("SKIPPED-SEGMENTS=2", named));
    judge_delta(ledger, URL, &known, &update, &low_latency(4, 8));
}

#[test]
fn an_update_makes_the_version_of_now() {
    for (rule, what, by) in [
        ("H102", "SKIPPED-SEGMENTS=2", "SKIPPED-SEGMENTS=1"),
        ("H102", "SKIPPED-SEGMENTS=2", "SKIPPED-SEGMENTS=3"),
        ("H102", "DISCONTINUITY-SEQUENCE:2", "DISCONTINUITY-SEQUENCE:1"),
        ("H102", "s8.m4s", "s9.m4s"),
        ("H102", "#EXT-X-INDEPENDENT-SEGMENTS\n", ""),
        ("H102", "p10.0.m4s", "p10.9.m4s"),
        ("H103", "=\"ad\"", "=\"other\""),
    ] {
        let mut ledger = Ledger::default();
        judge_update(&mut ledger, |text| changed(&text, what, by));
        assert_broken(&ledger, rule, &[], by);
    }
}

/// H102: a segment whose bytes follow those of one that was left out, and one that does not.
#[test]
fn byte_ranges_go_on_over_what_an_update_leaves_out() {
    let head = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
                #EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12.0\n#EXT-X-MEDIA-SEQUENCE:5\n";
    let segment = |range: &str| format!("#EXTINF:2.0,\n#EXT-X-BYTERANGE:{range}\nall.mp4\n");
    let rest = segment("100").repeat(8);
    let full = format!("{head}{}{rest}", segment("100@0"));
    for (first, fine) in [("100", true), ("100@200", true), ("101", false), ("100@0", false)] {
        let kept = rest.replacen(&segment("100").repeat(2), &segment(first), 1);
        let update = format!("{head}#EXT-X-SKIP:SKIPPED-SEGMENTS=2\n{kept}");
        let mut ledger = Ledger::default();
        judge_delta(&mut ledger, URL, &full, &update, &full);
        let found: Vec<_> = broken(&ledger).into_iter().collect();
        assert_eq!(found, if fine { &[][..] } else { &["H102"] }, "{first}");
    }
}

/// H33: a stated bit rate says nothing of parts of a larger resource (draft-pantos-hls-rfc8216bis
/// 4.4.4.8).
#[test]
fn a_bit_rate_is_not_that_of_byte_ranges() {
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-BITRATE:900\n#EXTINF:2,\na.ts\n\
                #EXTINF:2,\n#EXT-X-BYTERANGE:100@0\nb.ts\n#EXTINF:2,\nc.ts\n";
    let playlist = Playlist::parse(text);
    let rates = playlist.segments.iter().map(|s| Listed::new(s.uri, &playlist, s).bitrate);
    assert_eq!(rates.collect::<Vec<_>>(), [Some(900), None, Some(900)]);
}

/// Megabytes of faults, each with its line, take seconds; what looks at all of them for each takes
/// an hour.
#[test]
fn a_long_playlist_of_faults_is_judged_in_a_moment() {
    const COUNT: usize = 40_000;
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:5\n";
    let dates = "#EXT-X-DATERANGE:ID=\"same\",START-DATE=\"\"\n".repeat(COUNT);
    let list = format!("#EXT-X-MAP:{}\n", "A=\"b c\",".repeat(COUNT));
    let list = list + &(0..COUNT).map(|n| format!("A{n}=\"b {n}\",")).collect::<String>();
    let segments = |name: &str| -> String {
        (0..COUNT).map(|n| format!("#EXTINF:9,\n{name}{n}.ts\n")).collect()
    };
    let before = format!("{head}{dates}{list}\n{}", segments("a"));
    let now = format!("{head}{dates}{list}\n{}", segments("b"));
    let clock = SystemClock::new();
    let mut ledger = Ledger::default();
    judge_playlist(&mut ledger, URL, now.as_bytes());
    judge_reload(&mut ledger, URL, &before, &now);
    judge_delta(&mut ledger, URL, &before, &now, &before);
    assert!(broken(&ledger).contains("H12"));
    let taken = clock.now().mono.since_start();
    assert!(taken < std::time::Duration::from_secs(60), "{taken:?}");
}

/// Whatever stands in a playlist, the judge ends.
#[test]
fn damaged_playlists_are_judged_without_panic() {
    let numbers = ["18446744073709551615", "9223372036854.999", "-1", "", "x"];
    for base in [LowLatency, Delta, Plain, Vod, Event, Multivariant] {
        let good = base.text();
        let marks = good.match_indices([':', '=', ',', '\n']);
        for ((at, _), number) in marks.zip(numbers.iter().cycle()) {
            let (head, tail) = good.split_at(at + 1);
            let end = tail.find([',', '\n']).unwrap_or(tail.len());
            let bad = format!("{head}{number}{}", &tail[end..]);
            let mut ledger = Ledger::default();
            judge(&mut ledger, base, &bad);
            judge_reload(&mut ledger, URL, &good, &bad);
            judge_reload(&mut ledger, URL, &bad, &good);
            judge_delta(&mut ledger, URL, &good, &bad, &good);
            judge_delta(&mut ledger, URL, &bad, &good, &bad);
            judge_renditions(&mut ledger, &[(URL, &good), (OTHER, &bad)]);
            judge_renditions(&mut ledger, &[(URL, &bad), (OTHER, &good)]);
        }
    }
}

/// The known faults of nginx-rtmp's playlists.
#[test]
fn the_faults_of_nginx_rtmp_are_found() {
    let early = nginx_rtmp(0, &["5.000", "5.000", "5.000", "5.000"]);
    let late = nginx_rtmp(0, &["5.000", "5.000", "5.000", "5.000", "31.900"]);
    let mut ledger = Ledger::default();
    judge_playlist(&mut ledger, URL, early.as_bytes());
    judge_reload(&mut ledger, URL, &early, &late);
    let found: Vec<_> = broken(&ledger).into_iter().collect();
    assert_eq!(found, ["H11", "H17", "H34", "H42"]);
}
