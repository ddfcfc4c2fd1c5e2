use super::finding::Place;
use super::ledger::Ledger;
use super::playlist::{Playlist, Segment};
use super::text::wall_micros;

/// H37: where the dates of a live playlist jump, media is missing, and it is to be listed as gaps
/// that add up to the hole (draft-pantos-hls-rfc8216bis 6.2.1).
pub fn judge_holes(ledger: &mut Ledger, url: &str, text: &str) {
    let playlist = Playlist::parse(text);
    if !playlist.live() || playlist.target() == 0 {
        return;
    }
    let mut end: Option<i64> = None;
    let mut last: Option<&Segment<'_>> = None;
    for segment in &playlist.segments {
        let date = segment.date.and_then(wall_micros);
        let start = date.or(end);
        let hole = date.zip(end).map_or(0, |(date, end)| date.saturating_sub(end));
        let was_gap = last.is_some_and(|last| last.gap);
        if playlist.target() <= hole {
            let (msn, millis) = (segment.msn, hole / 1_000);
            let what =
                format!("{millis} ms are missing before segment {msn}, and no gap is listed");
            let dated = segment.tags.iter().find(|tag| tag.name == "EXT-X-PROGRAM-DATE-TIME");
            let line = dated.map_or(segment.line, |tag| tag.line);
            let place = Place::line(url, line, segment.date.unwrap_or_default());
            let before = last.and_then(|last| last.date).unwrap_or_default();
            ledger.expect("H37", false, || (what, place.before(before)));
        } else if was_gap && !segment.gap {
            ledger.looked("H37");
        }
        end = start.map(|start| start.saturating_add(segment.micros()));
        last = Some(segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Outcome, RULES};

    fn outcome(segments: &str) -> Outcome {
        let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n{segments}");
        let mut ledger = Ledger::default();
        judge_holes(&mut ledger, "http://h/live.m3u8", &text);
        let mut outcomes = ledger.outcomes();
        outcomes.find(|(rule, _)| rule.id == "H37").map(|(_, outcome)| outcome).unwrap()
    }

    const BEFORE: &str =
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z\n#EXTINF:2,\ns7.ts\n#EXTINF:2,\ns8.ts\n";
    const GAPS: &str = "#EXT-X-DISCONTINUITY\n#EXT-X-GAP\n#EXTINF:2,\ng1.ts\n\
        #EXT-X-GAP\n#EXTINF:2,\ng2.ts\n#EXT-X-GAP\n#EXTINF:2,\ng3.ts\n";
    const AFTER: &str = "#EXT-X-DISCONTINUITY\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:10.000Z\n#EXTINF:2,\ns9.ts\n";

    /// H37: what is missing is listed as gaps of its length.
    #[test]
    fn a_hole_is_listed_as_gaps() {
        assert_eq!(RULES.iter().filter(|rule| rule.id == "H37").count(), 1);
        assert_eq!(outcome(&format!("{BEFORE}{GAPS}{AFTER}")), Outcome::Held { looked: 1 });
        let Outcome::Broken { count: 1, findings, .. } = outcome(&format!("{BEFORE}{AFTER}"))
        else {
            panic!("a hole of six seconds");
        };
        assert_eq!(findings[0].what, "6000 ms are missing before segment 9, and no gap is listed");
        assert_eq!(findings[0].place.line, Some(10));
        for text in [BEFORE.to_owned(), format!("{BEFORE}{AFTER}#EXT-X-ENDLIST\n")] {
            assert!(matches!(outcome(&text), Outcome::NotApplicable(_)), "{text}");
        }
    }
}
