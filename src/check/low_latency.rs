//! Rules of the low-latency tags of one media playlist.

use super::lint::seconds_of;
use super::look::{FRAME_MICROS, Look, seconds};
use super::playlist::{Playlist, Segment};

/// What says nothing to a playlist that offers no parts.
const OF_PARTS: &[&str] = &[
    "H24", "H26", "H72", "H73", "H74", "H75", "H76", "H77", "H78", "H82", "H83", "H84", "H88",
    "H89",
];
/// Length from which a playlist that slides should offer delta updates.
const LONG_MICROS: i64 = 120_000_000;

impl Look<'_> {
    pub(super) fn low_latency(&mut self, playlist: &Playlist<'_>) {
        self.control(playlist);
        self.skip(playlist);
        if !playlist.low_latency() {
            for rule in OF_PARTS {
                self.ledger.not_applicable(rule, "no low latency is offered");
            }
            return;
        }
        self.parts(playlist);
        self.recent(playlist);
        self.hints(playlist);
        let whole = playlist.segments.len();
        self.expect("H88", whole > 0 || playlist.skipped > 0, 0, || {
            "no whole segment for players that know no parts".to_owned()
        });
    }

    /// H77 to H81.
    fn control(&mut self, playlist: &Playlist<'_>) {
        let control = playlist.tag("EXT-X-SERVER-CONTROL");
        let (line, list) = control.map_or((0, ""), |tag| (tag.line, tag.value));
        let target = playlist.target();
        if let Some(hold) = seconds_of(list, "HOLD-BACK") {
            self.expect("H79", hold >= target.saturating_mul(3), line, || {
                format!("HOLD-BACK is {}", seconds(hold))
            });
        }
        let skip = seconds_of(list, "CAN-SKIP-UNTIL");
        if let Some(skip) = skip {
            self.expect("H80", skip >= target.saturating_mul(6), line, || {
                format!("CAN-SKIP-UNTIL is {}", seconds(skip))
            });
        }
        let long = playlist.length() > LONG_MICROS.saturating_add(target);
        if playlist.low_latency() && playlist.live() && long {
            self.advise("H80", skip.is_some(), line, || {
                format!("{} are listed, and no delta updates offered", seconds(playlist.length()))
            });
        }
        if playlist.attribute("EXT-X-SERVER-CONTROL", "CAN-SKIP-DATERANGES") == Some("YES") {
            self.expect("H81", skip.is_some(), line, || {
                "date ranges can be skipped, segments not".to_owned()
            });
        }
        if !playlist.low_latency() || playlist.ended() {
            return;
        }
        let blocks = playlist.attribute("EXT-X-SERVER-CONTROL", "CAN-BLOCK-RELOAD") == Some("YES");
        self.expect("H77", blocks, line, || "blocking reload is not offered".to_owned());
        let part = playlist.part_target().unwrap_or(0);
        let hold = seconds_of(list, "PART-HOLD-BACK").unwrap_or(-1);
        self.expect("H78", hold >= part.saturating_mul(2), line, || {
            format!("PART-HOLD-BACK is {}, the part target {}", seconds(hold), seconds(part))
        });
        if hold >= part.saturating_mul(2) {
            self.advise("H78", hold >= part.saturating_mul(3), line, || {
                format!(
                    "PART-HOLD-BACK {} is less than three parts of {}",
                    seconds(hold),
                    seconds(part)
                )
            });
        }
    }

    /// H102: what a delta update leaves out.
    fn skip(&mut self, playlist: &Playlist<'_>) {
        let Some(tag) = playlist.tag("EXT-X-SKIP") else { return };
        let boundary = playlist.micros("EXT-X-SERVER-CONTROL", "CAN-SKIP-UNTIL");
        let known = playlist.skipped > 0 && boundary.is_some();
        self.expect("H102", known, tag.line, || "it skips nothing, or never offered to".to_owned());
        let rest = playlist.length();
        self.expect("H102", rest >= boundary.unwrap_or(0), tag.line, || {
            format!("only {} are left", seconds(rest))
        });
    }

    /// H53, H72 to H74 and H76.
    fn parts(&mut self, playlist: &Playlist<'_>) {
        let target = playlist.part_target();
        let first = playlist.parts().next().map_or(0, |part| part.line);
        self.expect("H72", target.is_some_and(|target| target > 0), first, || {
            "parts without EXT-X-PART-INF:PART-TARGET".to_owned()
        });
        let mut partly_gone = true;
        for segment in playlist.all().filter(|segment| !segment.parts.is_empty()) {
            self.part_lengths(segment, target.unwrap_or(0));
            if segment.extinf.is_some() && !segment.gap {
                let off = segment.parts_micros().saturating_sub(segment.micros());
                // The first segment with parts may have lost some of them.
                let near = off <= FRAME_MICROS && (off >= -FRAME_MICROS || partly_gone);
                self.expect("H53", near, segment.line, || {
                    format!("the parts of segment {} are {} off", segment.msn, seconds(off))
                });
            }
            partly_gone = false;
            let parts = segment.tags.iter().skip_while(|tag| tag.name != "EXT-X-PART");
            let first =
                ["EXT-X-DISCONTINUITY", "EXT-X-KEY", "EXT-X-MAP", "EXT-X-PROGRAM-DATE-TIME"];
            let late = parts.into_iter().find(|tag| first.contains(&tag.name));
            self.expect("H76", late.is_none(), late.map_or(0, |tag| tag.line), || {
                format!("{} after a part of segment {}", late.map_or("", |t| t.name), segment.msn)
            });
        }
    }

    fn part_lengths(&mut self, segment: &Segment<'_>, target: i64) {
        for (index, part) in segment.parts.iter().enumerate() {
            let is = part.micros;
            if target > 0 {
                self.expect("H73", (0..=target).contains(&is), part.line, || {
                    format!("a part of {}, the part target is {}", seconds(is), seconds(target))
                });
            }
            let next = segment.parts.get(index + 1);
            let excused = part.independent || part.gap || next.is_none_or(|next| next.gap);
            let long = is.saturating_mul(100) >= target.saturating_mul(85);
            self.expect("H74", long || excused, part.line, || {
                format!("a part of {}, less than 85 % of {}", seconds(is), seconds(target))
            });
        }
    }

    /// H24 and H89: parts near the end only.
    fn recent(&mut self, playlist: &Playlist<'_>) {
        let near = playlist.target().saturating_mul(3);
        let mut left = playlist.length();
        let mut listed = 0_i64;
        for segment in &playlist.segments {
            left = left.saturating_sub(segment.micros());
            if segment.parts.is_empty() {
                continue;
            }
            listed = listed.saturating_add(segment.parts_micros());
            self.advise("H24", left <= near, segment.line, || {
                format!("parts of segment {}, {} from the end", segment.msn, seconds(left))
            });
        }
        // The segment that reaches over the limit may keep all its parts, and may be as long as
        // what is rounded to the target duration.
        let most = near.saturating_add(playlist.target()).saturating_add(500_000);
        self.advise("H89", listed <= most, 0, || {
            format!("{} of whole segments are listed as parts too", seconds(listed))
        });
    }

    /// H82: the next part is named, last and once.
    fn hints(&mut self, playlist: &Playlist<'_>) {
        if playlist.ended() {
            return;
        }
        let last = playlist.parts().last().map_or(0, |part| part.line);
        let mut kinds = [("PART", 0_u32), ("MAP", 0)];
        for hint in playlist.all_tags("EXT-X-PRELOAD-HINT") {
            let kind = super::text::attribute(hint.value, "TYPE").unwrap_or_default();
            for (name, count) in &mut kinds {
                *count += u32::from(*name == kind);
            }
            self.expect("H82", hint.line > last, hint.line, || {
                "a part follows the hint".to_owned()
            });
        }
        let [(_, parts), (_, maps)] = kinds;
        if last > 0 {
            self.expect("H82", parts > 0, last, || "no hint of the part to come".to_owned());
        }
        self.expect("H82", parts <= 1 && maps <= 1, 0, || {
            format!("{parts} hints of parts and {maps} of init segments")
        });
    }
}
