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
    if let Some((width, height)) = pictures.and_then(|track| track.description.size)
        && let Some(stated) = variant.attribute("RESOLUTION")
    {
        ledger.expect("H61", stated == format!("{width}x{height}"), || {
            (format!("RESOLUTION is {stated}, the pictures are {width}x{height}"), place())
        });
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

/// H61: the stated frame rate, within a twentieth.
fn frame_rate(ledger: &mut Ledger, variant: &Variant<'_>, seen: Rates, place: &dyn Fn() -> Place) {
    let Some(stated) = variant.attribute("FRAME-RATE").and_then(super::super::text::micros) else {
        return;
    };
    let frames = i64::try_from(seen.frames).unwrap_or(i64::MAX);
    // Both in millionths of a frame a second.
    let real = i128::from(frames) * 1_000_000_000_000 / i128::from(seen.shown.max(1));
    let off = (i128::from(stated) - real).abs();
    ledger.expect("H61", off * 20 <= real, || {
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
            (format!("a segment has {peak} bit/s, BANDWIDTH is {most}"), place())
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

    /// H62: a segment much shorter than the target says nothing of the peak; a whole one does.
    #[test]
    fn the_peak_is_that_of_longer_segments() {
        let text = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=990000\nlive.m3u8\n";
        let variant = Multivariant::parse(text).variants[0];
        for (micros, breaks) in [(500_000, false), (1_000_000, true), (2_000_000, true)] {
            let (mut ledger, mut watched) = (Ledger::default(), Watched::default());
            let target = 2_000_000;
            let length = usize::try_from(micros * 1_720_000 / 8_000_000).unwrap();
            for (micros, bytes) in [(micros, vec![0; length]), (target, vec![0; 100_000])] {
                let listed = Listed { url: "s.m4s", micros, target, ..Listed::default() };
                watched.segment(&mut ledger, &listed, &bytes);
            }
            judge_variant(&mut ledger, "index.m3u8", &variant, &[&watched]);
            let broken = ledger.findings().any(|finding| finding.rule == "H62");
            assert_eq!(broken, breaks, "{micros}");
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
}
