use std::time::Duration;

use crate::base::{MediaSeq, PartIndex};

/// What a blocking reload waits for: the directives `_HLS_msn` and `_HLS_part`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub msn: MediaSeq,
    pub part: Option<PartIndex>,
}

/// Where a wanted segment or part is, seen from one version of a playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Listed, or so old that it has left: answer at once.
    Listed,
    /// Will come: hold.
    Ahead,
    /// No player that read this playlist asks for it: refuse.
    TooFar,
}

/// The live edge of one version of a playlist: its newest segments, by their part counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The last whole segment and how many parts it has.
    pub closed: Option<(MediaSeq, u32)>,
    /// The segment being written and how many of its parts are listed.
    pub open: Option<(MediaSeq, u32)>,
    /// Number of the part that comes next: the hinted one.
    pub next_part: u64,
}

impl Edge {
    /// The newest segment that is listed or has a listed part.
    pub fn last_msn(&self) -> Option<MediaSeq> {
        let begun = self.open.filter(|(_, parts)| *parts > 0);
        begun.or(self.closed).map(|(msn, _)| msn)
    }

    /// The newest listed part of [`Self::last_msn`].
    pub fn last_part(&self) -> Option<PartIndex> {
        let begun = self.open.filter(|(_, parts)| *parts > 0);
        let (_, parts) = begun.or(self.closed)?;
        parts.checked_sub(1).map(PartIndex)
    }

    /// Judges a blocking reload (draft-pantos-hls-rfc8216bis 6.2.5.2). `part_target` sets how far
    /// ahead a part may be asked for.
    pub fn reach(&self, want: Want, part_target: Duration) -> Reach {
        let Some(part) = want.part else { return self.reach_segment(want.msn) };
        let (msn, index) = self.roll_over(want.msn, part);
        if self.closed.is_some_and(|(closed, _)| msn <= closed) {
            return Reach::Listed;
        }
        let listed = self.open.filter(|(open, _)| *open == msn).map_or(0, |(_, parts)| parts);
        if self.open.is_some_and(|(open, _)| msn < open) || index.0 < listed {
            return Reach::Listed;
        }
        if self.is_too_far(msn) || index.0 - listed >= advance_parts_max(part_target) {
            return Reach::TooFar;
        }
        Reach::Ahead
    }

    /// Without a part the wait is for the whole segment.
    fn reach_segment(&self, msn: MediaSeq) -> Reach {
        match self.closed {
            Some((closed, _)) if msn <= closed => Reach::Listed,
            // A segment before the first one that is written has long left.
            None if self.open.is_some_and(|(open, _)| msn < open) => Reach::Listed,
            Some(_) | None if self.is_too_far(msn) => Reach::TooFar,
            Some(_) | None => Reach::Ahead,
        }
    }

    /// A part past the last one of a whole segment is the first of the next segment.
    fn roll_over(&self, msn: MediaSeq, part: PartIndex) -> (MediaSeq, PartIndex) {
        match self.closed {
            Some((closed, parts)) if msn == closed && part.0 >= parts => {
                (closed.next(), PartIndex(0))
            }
            Some(_) | None => (msn, part),
        }
    }

    /// More than two beyond the last segment of the playlist.
    fn is_too_far(&self, msn: MediaSeq) -> bool {
        let last = match (self.closed, self.open) {
            (Some((closed, _)), _) => closed.0,
            (None, Some((open, _))) => open.0.saturating_sub(1),
            (None, None) => return false,
        };
        msn.0 > last.saturating_add(2)
    }
}

/// The advance part limit: three seconds' worth of parts, and never fewer than three.
fn advance_parts_max(part_target: Duration) -> u32 {
    let micros = part_target.as_micros().clamp(1, 1_000_000);
    u32::try_from(3_000_000_u128.div_ceil(micros)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(250);

    /// Segment 10 is whole with 8 parts, segment 11 has 3 parts.
    const EDGE: Edge =
        Edge { closed: Some((MediaSeq(10), 8)), open: Some((MediaSeq(11), 3)), next_part: 90 };

    fn reach(edge: Edge, msn: u64, part: Option<u32>) -> Reach {
        edge.reach(Want { msn: MediaSeq(msn), part: part.map(PartIndex) }, TARGET)
    }

    // H91: without a part, nothing but the whole segment is an answer.
    #[test]
    fn a_segment_is_waited_for_as_a_whole() {
        assert_eq!(reach(EDGE, 10, None), Reach::Listed);
        assert_eq!(reach(EDGE, 11, None), Reach::Ahead);
        assert_eq!(reach(EDGE, 12, None), Reach::Ahead);
    }

    // H92: a part is answered as soon as it, or anything later, is listed.
    #[test]
    fn a_part_is_answered_as_soon_as_it_or_anything_later_is_listed() {
        assert_eq!(reach(EDGE, 11, Some(2)), Reach::Listed);
        assert_eq!(reach(EDGE, 11, Some(3)), Reach::Ahead);
        assert_eq!(reach(EDGE, 12, Some(0)), Reach::Ahead);
        assert_eq!(reach(EDGE, 10, Some(0)), Reach::Listed);
    }

    // H93: a part past a whole segment is the first of the next.
    #[test]
    fn a_part_past_a_whole_segment_is_the_first_of_the_next() {
        assert_eq!(reach(EDGE, 10, Some(8)), Reach::Listed);
        let begun = Edge { open: Some((MediaSeq(11), 0)), ..EDGE };
        assert_eq!(reach(begun, 10, Some(7)), Reach::Listed);
        assert_eq!(reach(begun, 10, Some(8)), Reach::Ahead);
        assert_eq!(reach(begun, 10, Some(4_000_000_000)), Reach::Ahead);
        let unopened = Edge { open: None, ..EDGE };
        assert_eq!(reach(unopened, 10, Some(8)), Reach::Ahead);
        assert_eq!(reach(unopened, 9, Some(99)), Reach::Listed);
    }

    // H94: a segment more than two ahead is refused at once.
    #[test]
    fn a_segment_more_than_two_ahead_is_refused() {
        assert_eq!(reach(EDGE, 12, None), Reach::Ahead);
        assert_eq!(reach(EDGE, 13, None), Reach::TooFar);
        assert_eq!(reach(EDGE, 13, Some(0)), Reach::TooFar);
        assert_eq!(reach(EDGE, u64::MAX, Some(u32::MAX)), Reach::TooFar);
        let first = Edge { closed: None, ..EDGE };
        assert_eq!(reach(first, 12, None), Reach::Ahead);
        assert_eq!(reach(first, 13, None), Reach::TooFar);
    }

    // H95: 250 ms parts may be asked for twelve ahead, parts of a second and more three ahead.
    #[test]
    fn a_part_beyond_the_advance_limit_is_refused() {
        assert_eq!(reach(EDGE, 11, Some(14)), Reach::Ahead);
        assert_eq!(reach(EDGE, 11, Some(15)), Reach::TooFar);
        assert_eq!(reach(EDGE, 12, Some(12)), Reach::TooFar);
        for (millis, most) in [(1_000, 3), (2_000, 3), (999, 4), (100, 30), (0, 3_000_000)] {
            assert_eq!(advance_parts_max(Duration::from_millis(millis)), most, "{millis}");
        }
    }

    // H97: what has left the window is answered at once.
    #[test]
    fn what_has_left_is_answered_at_once() {
        assert_eq!(reach(EDGE, 1, None), Reach::Listed);
        assert_eq!(reach(EDGE, 1, Some(500)), Reach::Listed);
        let first = Edge { closed: None, ..EDGE };
        assert_eq!(reach(first, 9, None), Reach::Listed);
        assert_eq!(reach(first, 9, Some(3)), Reach::Listed);
    }

    #[test]
    fn the_last_part_is_that_of_the_newest_begun_segment() {
        assert_eq!((EDGE.last_msn(), EDGE.last_part()), (Some(MediaSeq(11)), Some(PartIndex(2))));
        let begun = Edge { open: Some((MediaSeq(11), 0)), ..EDGE };
        assert_eq!((begun.last_msn(), begun.last_part()), (Some(MediaSeq(10)), Some(PartIndex(7))));
    }
}
