use super::movies::{Transport, after_hole, atom, edits, fragment, init, part, patch, rename};
use super::{assert_all_judged, misjudged};
use crate::check::{Ledger, Listed, Multivariant, Watched, judge_matching, judge_variant};

const URL: &str = "https://host/live/s.m4s";
const VARIANT: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=20000,AVERAGE-BANDWIDTH=20000,\
    CODECS=\"avc1.42c01e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000\nv.m3u8\n";

/// What is watched: six segments of a second, each with what is listed of it.
struct Scene {
    init: Vec<u8>,
    /// Sent before this segment.
    new_init: Option<(usize, Vec<u8>)>,
    segments: Vec<Piece>,
    variant: String,
}

struct Piece {
    listed: Listed<'static>,
    bytes: Vec<u8>,
    /// Each with what is listed of its first frame.
    parts: Vec<(bool, Vec<u8>)>,
}

impl Piece {
    fn new(number: u64, bytes: Vec<u8>, parts: Vec<(bool, Vec<u8>)>) -> Self {
        let bitrate = u64::try_from(bytes.len()).expect("small") * 8 / 1_000;
        let listed = Listed {
            url: URL,
            msn: number,
            micros: 1_000_000,
            target: 1_000_000,
            date: Some(1_795_248_000_000_000 + i64::try_from(number).expect("small") * 1_000_000),
            bitrate: Some(bitrate),
            independent: true,
            ..Listed::default()
        };
        Self { listed, bytes, parts }
    }

    /// The same with other bytes, in its parts too.
    fn refill(&mut self, parts: Vec<(bool, Vec<u8>)>) {
        self.bytes = parts.iter().flat_map(|(_, part)| part.clone()).collect();
        self.parts = parts;
        self.listed.bitrate = None;
    }

    fn patch(&mut self, change: impl Fn(&mut [u8])) {
        for (_, part) in &mut self.parts {
            change(part);
        }
        self.bytes = self.parts.iter().flat_map(|(_, part)| part.clone()).collect();
    }
}

fn movie() -> Scene {
    let piece = |number: u64| {
        let parts = vec![(true, part(2 * number, true)), (false, part(2 * number + 1, false))];
        let bytes = parts.iter().flat_map(|(_, part)| part.clone()).collect();
        Piece::new(number, bytes, parts)
    };
    let segments = (5..11).map(piece).collect();
    Scene { init: init(&[]), new_init: None, segments, variant: VARIANT.to_owned() }
}

/// Begins a second and a half before its times wrap.
fn transport() -> Scene {
    let first = (1 << 33) - 135_000;
    let piece = |n| Piece::new(n, Transport::second(first, n).bytes(), Vec::new());
    let variant = VARIANT.replace("20000", "200000");
    Scene { init: Vec::new(), new_init: None, segments: (0..6).map(piece).collect(), variant }
}

/// Sends a second of the transport again, changed.
fn resend(scene: &mut Scene, number: u64, change: impl FnOnce(&mut Transport)) {
    let mut second = Transport::second((1 << 33) - 135_000, number);
    change(&mut second);
    let piece = &mut scene.segments[usize::try_from(number).expect("small")];
    piece.bytes = second.bytes();
    piece.listed.bitrate = None;
}

fn watch(ledger: &mut Ledger, scene: &Scene) -> Watched {
    let mut watched = Watched::default();
    if !scene.init.is_empty() {
        watched.init(ledger, URL, &scene.init);
    }
    for (index, piece) in scene.segments.iter().enumerate() {
        if let Some((_, init)) = scene.new_init.as_ref().filter(|(at, _)| *at == index) {
            watched.init(ledger, URL, init);
        }
        watched.segment(ledger, &piece.listed, &piece.bytes);
        for (independent, part) in &piece.parts {
            watched.part(ledger, URL, *independent, part);
        }
        if !piece.parts.is_empty() {
            let parts: Vec<&[u8]> = piece.parts.iter().map(|(_, part)| part.as_slice()).collect();
            watched.parts_of(ledger, URL, &piece.bytes, &parts);
        }
    }
    watched
}

/// Judges a scene beside another rendition that is as it should be.
fn judge(ledger: &mut Ledger, scene: &Scene, other: &Scene) {
    let watched = watch(ledger, scene);
    let beside = watch(&mut Ledger::default(), other);
    let variant = Multivariant::parse(&scene.variant).variants[0];
    judge_variant(ledger, URL, &variant, &[&watched]);
    judge_matching(ledger, &[(URL, &beside), (URL, &watched)]);
}

fn subtitles(text: &str) -> Ledger {
    let mut ledger = Ledger::default();
    let listed = Listed { url: "https://host/live/1.vtt", micros: 1_000_000, ..Listed::default() };
    Watched::default().segment(&mut ledger, &listed, text.as_bytes());
    ledger
}

const SUBTITLES: &str = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n";

type Bad = (&'static str, &'static str, fn(&mut Scene), &'static [&'static str]);

#[rustfmt::skip]
const MOVIES: &[Bad] = &[
    ("H13", "lengths that drift", |s| s.segments.iter_mut().for_each(|p| p.listed.micros -= 30_000), &[]),
    ("H14", "one long and one short", |s| { s.segments[2].listed.micros += 60_000; s.segments[3].listed.micros -= 60_000; }, &["H13"]),
    ("H33", "half the bit rate", |s| s.segments[2].listed.bitrate = Some(8), &[]),
    ("H35", "another picture size", |s| s.new_init = Some((3, { let mut i = s.init.clone(); patch(&mut i, b"avc1", 24, &[5, 0]); i })), &[]),
    ("H36", "half a second missing", |s| for (number, piece) in (5_u64..).zip(&mut s.segments).skip(3) {
        let half = number * 2 + 1;
        piece.refill(vec![(true, part(half, true)), (false, part(half + 1, false))]);
        piece.listed.date = None;
    }, &["H13"]),
    ("H46", "dates that run ahead", |s| for (late, piece) in (0_i64..).zip(&mut s.segments) {
        piece.listed.date = piece.listed.date.map(|date| date + 60_000 * late);
    }, &["H67"]),
    ("H49", "an old brand", |s| { patch(&mut s.init, b"ftyp", 0, b"iso4"); patch(&mut s.init, b"ftyp", 8, b"mp41"); }, &[]),
    ("H49", "no mvex", |s| rename(&mut s.init, b"mvex", b"free"), &[]),
    ("H49", "a length", |s| patch(&mut s.init, b"mvhd", 16, &[0, 0, 1, 0]), &[]),
    ("H49", "a cut init segment", |s| s.init.extend([0, 0, 1, 0, b'f']), &[]),
    ("H50", "samples in a table", |s| patch(&mut s.init, b"stts", 4, &[0, 0, 0, 1]), &[]),
    ("H50", "media in the init segment", |s| s.init.extend(atom(b"mdat", &[])), &[]),
    ("H51", "no decode time", |s| s.segments[5].patch(|p| rename(p, b"tfdt", b"free")), &[]),
    ("H51", "absolute offsets", |s| s.segments[2].patch(|p| patch(p, b"tfhd", 0, &[0, 0, 0, 0])), &[]),
    ("H51", "data elsewhere", |s| patch(&mut s.init, b"url ", 0, &[0; 4]), &[]),
    ("H51", "a run beyond its segment", |s| s.segments[5].patch(|p| patch(p, b"trun", 8, &[0, 0, 99, 0])), &["H52"]),
    ("H52", "a hole between two parts", |s| s.segments[5].refill(vec![(true, part(20, true)), (false, fragment(945_090, 504_000, false))]), &[]),
    ("H53", "a part left out", |s| { s.segments[2].parts.pop(); }, &[]),
    ("H54", "no keyframe first", |s| s.segments[2].refill(vec![(false, part(14, false)), (true, part(15, true))]), &[]),
    ("H55", "a sample without length", |s| s.segments[5].patch(|p| patch(p, b"trun", 12, &[0; 4])), &["H52"]),
    ("H59", "an edit list", |s| s.init = init(&edits(2_112)), &[]),
    ("H59", "late sound after a break", |s| {
        s.segments[5].refill(vec![(true, fragment(900_000, 490_000, true)), (false, fragment(945_000, 514_000, false))]);
        s.segments[5].listed.discontinuity = true;
    }, &[]),
    ("H60", "another profile", |s| s.variant = s.variant.replace("avc1.42c01e", "avc1.64001f"), &[]),
    ("H60", "no sound named", |s| s.variant = s.variant.replace(",mp4a.40.2", ""), &[]),
    ("H61", "another size", |s| s.variant = s.variant.replace("640x360", "640x368"), &[]),
    ("H61", "another rate", |s| s.variant = s.variant.replace("30.000", "25.000"), &[]),
    ("H62", "too low a peak", |s| s.variant = s.variant.replace(":BANDWIDTH=20000", ":BANDWIDTH=9000"), &[]),
    ("H66", "no keyframe at all", |s| s.segments[2].refill(vec![(false, part(14, false)), (false, part(15, false))]), &["H54"]),
    ("H67", "another clock", |s| s.segments.iter_mut().for_each(|p| p.listed.date = p.listed.date.map(|date| date + 100_000)), &[]),
    ("H75", "a keyframe not marked", |s| s.segments[2].parts[0].0 = false, &[]),
    ("H75", "marked without keyframe", |s| s.segments[2].parts[1].0 = true, &[]),
];

#[rustfmt::skip]
const TRANSPORTS: &[Bad] = &[
    ("H35", "another format", |s| for n in 3..6 { resend(s, n, |t| t.picture_type = 0x24) }, &["H54", "H66"]),
    ("H36", "a second missing", |s| for n in 3..6 { resend(s, n, |t| t.time += 90_000); }, &["H13", "H46", "H67"]),
    ("H36", "counters from nought", |s| resend(s, 5, |t| t.counters = [0; 2]), &[]),
    ("H54", "no keyframe", |s| resend(s, 3, |t| t.key = false), &["H66"]),
    ("H56", "two programmes", |s| resend(s, 3, |t| t.programmes = 2), &[]),
    ("H56", "no tables", |s| resend(s, 5, |t| t.tables = false), &["H35"]),
    ("H56", "a lost packet", |s| { s.segments[5].bytes.drain(188 * 10..188 * 11); }, &[]),
    ("H57", "a break where times wrap", |s| s.segments[2].listed.discontinuity = true, &[]),
    ("H55", "a frame sent again", |s| { let again = s.segments[5].bytes[188 * 2..188 * 3].to_vec(); s.segments[5].bytes.splice(188 * 4..188 * 5, again); }, &["H56"]),
];

pub(super) fn judge_good(ledger: &mut Ledger) {
    judge(ledger, &movie(), &movie());
    judge(ledger, &transport(), &transport());
    let mut wide = movie();
    patch(&mut wide.init, b"tkhd", 76, &[3, 0x55, 0, 0, 1, 104, 0, 0]);
    for size in ["640x360", "853x360"] {
        wide.variant = VARIANT.replace("640x360", size);
        judge(ledger, &wide, &movie());
    }
    let mut broken = movie();
    broken.segments[3].listed.discontinuity = true;
    broken.new_init = Some((3, broken.init.clone()));
    judge(ledger, &broken, &movie());
    let mut holed = movie();
    holed.segments[3].refill(vec![(true, part(16, true))]);
    holed.segments[3].listed.holes = true;
    let still = after_hole(45_000, 765_000, 432_000, true);
    holed.segments[4].refill(vec![(true, still), (false, part(19, false))]);
    judge(ledger, &holed, &movie());
    let mut ledger_of_text = subtitles(SUBTITLES);
    ledger_of_text.looked("H63");
    assert!(super::broken(&ledger_of_text).is_empty());
    ledger.looked("H63");
}

pub(super) fn bad_rules() -> impl Iterator<Item = &'static str> {
    MOVIES.iter().chain(TRANSPORTS).map(|(rule, ..)| *rule).chain(["H63"])
}

#[test]
fn good_media_breaks_nothing() {
    let mut ledger = Ledger::default();
    judge_good(&mut ledger);
    let findings: Vec<_> = ledger.findings().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn each_fault_of_media_breaks_its_rule() {
    let mut wrong = Vec::new();
    let makers: [fn() -> Scene; 2] = [movie, transport];
    for (all, make) in [MOVIES, TRANSPORTS].into_iter().zip(makers) {
        for (rule, how, spoil, also) in all {
            let mut scene = make();
            spoil(&mut scene);
            let mut ledger = Ledger::default();
            judge(&mut ledger, &scene, &make());
            wrong.extend(misjudged(&ledger, rule, also, how));
        }
    }
    assert_all_judged(&wrong);
}

#[test]
fn subtitles_have_a_header_and_a_map() {
    assert_eq!(super::held(&subtitles(SUBTITLES)).into_iter().collect::<Vec<_>>(), ["H63"]);
    for text in [&SUBTITLES[7..], "WEBVTT\n\n"] {
        assert_eq!(misjudged(&subtitles(text), "H63", &[], text), None);
    }
}

/// Whatever is cut or overwritten, the judge ends and says something.
#[test]
fn damaged_media_is_judged_without_panic() {
    for make in [movie, transport] {
        let good = make();
        let step = if good.init.is_empty() { 31 } else { 1 };
        let places = (0..good.segments[0].bytes.len()).step_by(step);
        for (at, byte) in places.flat_map(|at| [(at, 0), (at, 0xff)]) {
            let mut ledger = Ledger::default();
            let mut watched = Watched::default();
            let mut init = good.init.clone();
            if let Some(there) = init.get_mut(at) {
                *there = byte;
            }
            watched.init(&mut ledger, URL, &init);
            let mut bytes = good.segments[0].bytes.clone();
            bytes[at] = byte;
            watched.segment(&mut ledger, &good.segments[0].listed, &bytes);
            watched.segment(&mut ledger, &good.segments[1].listed, &bytes[..at]);
            let variant = Multivariant::parse(&good.variant).variants[0];
            judge_variant(&mut ledger, URL, &variant, &[&watched]);
            assert!(ledger.outcomes().any(|(_, o)| !matches!(o, super::Outcome::NotApplicable(_))));
        }
    }
}
