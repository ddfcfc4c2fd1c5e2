use super::super::finding::Place;
use super::super::ledger::Ledger;
use super::super::look::{FRAME_MICROS, seconds};
use super::super::multivariant::Variant;
use super::init::{Kind, Track};
use super::watched::{Rates, Watched};

/// What must have been seen before a bit rate is called an average.
const AVERAGE_MICROS: i64 = 20_000_000;

/// Judges what a multivariant playlist says of a variant by the media of its renditions.
pub fn judge_variant(ledger: &mut Ledger, url: &str, variant: &Variant<'_>, all: &[&Watched]) {
    let place = || Place::line(url, variant.line, &format!("#EXT-X-STREAM-INF:{}", variant.list));
    let tracks: Vec<&Track> =
        all.iter().filter_map(|w| w.init.as_ref()).flat_map(|init| &init.tracks).collect();
    formats(ledger, variant, &tracks, &place);
    let pictures = tracks.iter().find(|track| track.kind == Kind::Video);
    if let Some(track) = pictures {
        resolution(ledger, variant, track, &place);
    }
    let shown = all.iter().find(|watched| watched.rates.frames > 0);
    if let Some(rates) = shown.map(|watched| watched.rates) {
        frame_rate(ledger, variant, rates, &place);
    }
    rates(ledger, variant, all, &place);
}

/// H60: every format is named, and what is named is there.
fn formats(
    ledger: &mut Ledger,
    variant: &Variant<'_>,
    tracks: &[&Track],
    place: &dyn Fn() -> Place,
) {
    if variant.attribute("CODECS").is_none() || tracks.is_empty() {
        return;
    }
    for track in tracks {
        let Some(codec) = &track.description.codec else { continue };
        let named = variant.codecs().any(|stated| {
            let doubled =
                track.description.low_rate && ["mp4a.40.5", "mp4a.40.29"].contains(&stated);
            doubled || same_codec(stated, codec)
        });
        ledger.expect("H60", named, || {
            let stated = variant.attribute("CODECS").unwrap_or_default();
            (format!("CODECS {stated:?} does not name {codec}"), place())
        });
    }
    let pictures = tracks.iter().any(|track| track.kind == Kind::Video);
    ledger.expect("H60", pictures || !variant.has_video(), || {
        ("CODECS names pictures, and there are none".to_owned(), place())
    });
}

/// The names of MP3: as an object type of its own, of MPEG-1 and MPEG-2, or as one of MPEG-4 audio.
const MP3: [&str; 3] = ["mp4a.6b", "mp4a.69", "mp4a.40.34"];

/// A stated string may go on with optional fields, and its case is free.
fn same_codec(stated: &str, real: &str) -> bool {
    let (stated, real) = (stated.to_ascii_lowercase(), real.to_ascii_lowercase());
    let mp3 = MP3.contains(&stated.as_str()) && MP3.contains(&real.as_str());
    mp3 || stated == real || stated.strip_prefix(&real).is_some_and(|rest| rest.starts_with('.'))
}

/// H61: the stated size is one that the pictures may be displayed at: as coded and cropped, or as
/// shown where pixels are not square (draft-pantos-hls-rfc8216bis 4.4.6.2, RESOLUTION).
fn resolution(
    ledger: &mut Ledger,
    variant: &Variant<'_>,
    track: &Track,
    place: &dyn Fn() -> Place,
) {
    let (Some(coded), Some(stated)) = (track.description.size, variant.attribute("RESOLUTION"))
    else {
        return;
    };
    let text = |(width, height)| format!("{width}x{height}");
    let shown = track.shown.filter(|shown| *shown != coded);
    let holds = stated == text(coded) || shown.is_some_and(|shown| stated == text(shown));
    ledger.expect("H61", holds, || {
        let shown = shown.map_or_else(String::new, |shown| format!(", shown at {}", text(shown)));
        (format!("RESOLUTION is {stated}, the pictures are {}{shown}", text(coded)), place())
    });
}

/// H61: the stated frame rate is the greatest there is (draft-pantos-hls-rfc8216bis 4.4.6.2): not
/// below what comes on average, nor above what the shortest pictures make, within a twentieth.
fn frame_rate(ledger: &mut Ledger, variant: &Variant<'_>, seen: Rates, place: &dyn Fn() -> Place) {
    let Some(stated) = variant.attribute("FRAME-RATE").and_then(super::super::text::micros) else {
        return;
    };
    let frames = i64::try_from(seen.frames).unwrap_or(i64::MAX);
    // All in millionths of a frame a second.
    let rate =
        |frames, micros: i64| i128::from(frames) * 1_000_000_000_000 / i128::from(micros.max(1));
    let real = rate(frames, seen.shown);
    let fastest = seen.shortest.map_or(real, |shortest| rate(1_i64, shortest).max(real));
    let stated = i128::from(stated);
    ledger.expect("H61", real * 19 <= stated * 20 && stated * 20 <= fastest * 21, || {
        let stated = variant.attribute("FRAME-RATE").unwrap_or_default();
        (format!("FRAME-RATE is {stated}, there are {} frames in 1,000 s", real / 1_000), place())
    });
}

/// H62: within the stated bit rates.
fn rates(ledger: &mut Ledger, variant: &Variant<'_>, all: &[&Watched], place: &dyn Fn() -> Place) {
    let stated = |name| variant.attribute(name).and_then(|rate| rate.parse::<u64>().ok());
    let seen = || all.iter().map(|watched| watched.rates).filter(|rates| rates.micros > 0);
    // One of a group plays beside the variant (authoring specification 9.13).
    let together = |rate: fn(Rates) -> u64| {
        let mut rates = seen().map(rate);
        rates.next().unwrap_or(0).saturating_add(rates.max().unwrap_or(0))
    };
    let peak = together(|rates| rates.peak);
    if let Some(most) = stated("BANDWIDTH").filter(|_| peak > 0) {
        ledger.expect("H62", peak.saturating_mul(100) < most.saturating_mul(125), || {
            (format!("{peak} bit/s over about a target duration, BANDWIDTH is {most}"), place())
        });
    }
    let average = together(|rates| {
        rates.bytes.saturating_mul(8_000_000) / u64::try_from(rates.micros).unwrap_or(1).max(1)
    });
    let long = seen().all(|rates| rates.micros >= AVERAGE_MICROS);
    if let Some(most) = stated("AVERAGE-BANDWIDTH").filter(|_| average > 0 && long) {
        ledger.expect("H62", average.saturating_mul(100) < most.saturating_mul(110), || {
            (format!("{average} bit/s on average, AVERAGE-BANDWIDTH is {most}"), place())
        });
    }
}

/// H67: renditions that were watched have one clock.
pub fn judge_matching(ledger: &mut Ledger, all: &[(&str, &Watched)]) {
    let Some(((first_url, first), others)) = all.split_first() else { return };
    for (url, other) in others {
        for (msn, start, date) in &other.starts {
            let there = first.starts.iter().find(|(known, ..)| known == msn);
            let Some((_, there, there_date)) = there else { continue };
            let Some((date, there_date)) = date.zip(*there_date) else { continue };
            let off = start.saturating_sub(*there).saturating_sub(date.saturating_sub(there_date));
            ledger.expect("H67", off.saturating_abs() <= FRAME_MICROS, || {
                let what = format!("segment {msn}: {} off {first_url}", seconds(off));
                (what, Place::url(url))
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Listed, Multivariant};

    /// H62: the peak is that of runs of half a target to one and a half. A segment much shorter says
    /// nothing by itself, and counts with those beside it, as long as none is missing between.
    #[test]
    fn the_peak_is_that_of_runs_of_about_a_target() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=990000\nlive.m3u8\n";
        let variant = Multivariant::parse(text).variants[0];
        // Milliseconds and kilobits a second of each segment, target 2 s; 1.2375 Mbit/s is too much.
        let whole = (2_000, 400);
        for (segments, missing, breaks) in [
            (&[(500, 1_720), whole][..], false, false),
            (&[(1_000, 1_720), whole], false, true),
            (&[(2_000, 1_720), whole], false, true),
            (&[(500, 1_720), (500, 1_720)], false, true),
            (&[(500, 1_720), (500, 1_720)], true, false),
            (&[(500, 1_720), (400, 400), (500, 1_720)], false, true),
            (&[(900, 1_800), (900, 400), (900, 1_800)], false, true),
            (&[(900, 1_800), (1_500, 400), (900, 1_800)], false, false),
        ] {
            let (mut ledger, mut watched) = (Ledger::default(), Watched::default());
            for (index, (millis, kilobits)) in (0_u64..).zip(segments) {
                let bytes = vec![0; usize::try_from(millis * kilobits / 8).unwrap()];
                let msn = if missing { index * 2 } else { index };
                let (micros, target) = (millis * 1_000, 2_000_000);
                let listed = Listed { url: "s.m4s", msn, micros, target, ..Listed::default() };
                watched.segment(&mut ledger, &listed, &bytes);
            }
            judge_variant(&mut ledger, "index.m3u8", &variant, &[&watched]);
            let broken = ledger.findings().any(|finding| finding.rule == "H62");
            assert_eq!(broken, breaks, "{segments:?}, missing between: {missing}");
        }
    }

    /// H60: one format may have several names, and another format has none of them.
    #[test]
    fn a_format_is_known_by_each_of_its_names() {
        for stated in ["mp4a.40.34", "mp4a.6B", "mp4a.69"] {
            assert!(same_codec(stated, "mp4a.6b"), "{stated}");
            assert!(!same_codec(stated, "mp4a.40.2"), "{stated}");
        }
        assert!(same_codec("av01.0.04M.08.0.110", "av01.0.04M.08"));
        assert!(!same_codec("avc1.64001f", "avc1.42c014"));
    }

    /// H61: the stated frame rate is the greatest of all, which need not be the average.
    #[test]
    fn a_frame_rate_is_the_greatest_of_a_stream_that_varies() {
        let second = 1_000_000;
        // Half of the time 30 frames a second, and 15 else.
        let varies = Rates {
            frames: 45,
            shown: 2 * second,
            shortest: Some(second / 30),
            ..Rates::default()
        };
        let steady = Rates {
            frames: 60,
            shown: 2 * second,
            shortest: Some(second / 30),
            ..Rates::default()
        };
        for (seen, stated, holds) in [
            (varies, "30.000", true),
            (varies, "22.500", true),
            (varies, "15.000", false),
            (varies, "60.000", false),
            (steady, "30.000", true),
            (steady, "29.970", true),
            (steady, "25.000", false),
            (steady, "32.000", false),
        ] {
            let text = format!("#EXTM3U\n#EXT-X-STREAM-INF:FRAME-RATE={stated}\nlive.m3u8\n");
            let mut ledger = Ledger::default();
            let variant = Multivariant::parse(&text).variants[0];
            frame_rate(&mut ledger, &variant, seen, &Place::default);
            assert_eq!(ledger.findings().next().is_none(), holds, "{stated} of {seen:?}");
        }
    }
}
