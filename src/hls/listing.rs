use std::sync::Arc;

use bytes::Bytes;

use super::segment::{Cut, InitSegment, Part, SegmentStart, Targets};
use crate::base::{MediaSeq, MediaTime, WallTime};
use crate::media::{Format, fmp4};

/// A gap of more segments than this is listed without its parts: only the newest are listed.
const GAP_SEGMENTS_WITH_PARTS: i64 = 8;
/// A gap of more segments than this is listed as this many; the timeline then jumps.
const GAP_SEGMENTS_MAX: usize = 4_096;

/// What begins behind a break may be dated so much inside what went before: less than a second
/// (draft-pantos-hls-rfc8216bis 6.2.1; H45), rounding included.
const OVERLAP_MAX: MediaTime = MediaTime::from_millis(950);

/// The order of everything that is listed: numbers, times and breaks. Whatever the segmenter
/// decides goes out through here, so the promises between cuts are kept in one place.
#[derive(Debug)]
pub(super) struct Listing {
    /// Wall time at media time zero.
    zero: WallTime,
    targets: Option<Targets>,
    next_msn: MediaSeq,
    next_part: u64,
    /// The newest, which may be of a run that is still to begin.
    init: Option<Arc<InitSegment>>,
    init_in_force: u32,
    /// End of all that is listed.
    position: MediaTime,
    /// How much later than its media time the present run is dated, so that dates do not go back
    /// (H45). Almost always zero.
    dated_later: MediaTime,
    /// The latest date so far at which a run ended, as media time.
    dated_until: MediaTime,
    open: Option<Open>,
    history: History,
    /// What is listed together with the first part.
    lead: Vec<Cut>,
}

#[derive(Debug)]
struct Open {
    start: MediaTime,
    gap: bool,
}

/// What came before the next media segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    Nothing,
    Unbroken,
    Broken,
}

impl Listing {
    pub(super) const fn new(zero: WallTime, first_msn: MediaSeq) -> Self {
        Self {
            zero,
            targets: None,
            next_msn: first_msn,
            next_part: 1,
            init: None,
            init_in_force: 0,
            position: MediaTime::ZERO,
            dated_later: MediaTime::ZERO,
            dated_until: MediaTime::ZERO,
            open: None,
            history: History::Nothing,
            lead: Vec::new(),
        }
    }

    /// What was promised, once it was.
    pub(super) const fn targets(&self) -> Option<Targets> {
        self.targets
    }

    /// Promises the targets, before anything else.
    pub(super) fn promise(&mut self, targets: Targets, out: &mut Vec<Cut>) {
        self.targets = Some(targets);
        out.push(Cut::Targets(targets));
    }

    /// The next run has this format: an init segment that is new goes out now, so that it can be
    /// hinted while the first part is being made (B.1; H84).
    pub(super) fn announce(&mut self, format: &Arc<Format>, out: &mut Vec<Cut>) {
        if self.init.as_ref().is_some_and(|init| init.format == *format) {
            return;
        }
        let version = self.init.as_ref().map_or(1, |init| init.version + 1);
        let bytes = fmp4::init_segment(format);
        let init = Arc::new(InitSegment { version, format: Arc::clone(format), bytes });
        out.push(Cut::Init(Arc::clone(&init)));
        self.init = Some(init);
    }

    /// A run begins at `start`: what is missing since the last one is listed as a gap, and a
    /// changed format gets its init segment.
    pub(super) fn begin(&mut self, format: &Arc<Format>, start: MediaTime, out: &mut Vec<Cut>) {
        self.fill_gap(start, out);
        if self.open.is_some() {
            let rest = start - self.position;
            if MediaTime::ZERO < rest {
                self.gap_part(rest, out);
            }
            self.close(out);
        }
        if self.history != History::Nothing {
            self.dated_until = self.dated_until.max(self.position + self.dated_later);
            self.dated_later = (self.dated_until - OVERLAP_MAX - start).max(MediaTime::ZERO);
        }
        self.position = start;
        self.announce(format, out);
        self.init_in_force = self.init.as_ref().map_or(0, |init| init.version);
        if let (Some(targets), 1) = (self.targets, self.next_part) {
            self.lead_in(targets);
        }
    }

    /// How much later than its media time the present run is dated.
    pub(super) const fn dated_later(&self) -> MediaTime {
        self.dated_later
    }

    /// Number of the next part.
    pub(super) const fn next_part(&self) -> u64 {
        self.next_part
    }

    /// Lists a part up to `end`, and its segment if this is its first part. Without `bytes` it
    /// stands for missing media.
    pub(super) fn part(
        &mut self,
        end: MediaTime,
        independent: bool,
        bytes: Option<Bytes>,
        out: &mut Vec<Cut>,
    ) {
        if self.open.is_none() {
            self.open(false, out);
        }
        out.push(Cut::Part(Arc::new(Part {
            number: self.next_part,
            start: self.position,
            duration: end - self.position,
            independent,
            gap: bytes.is_none(),
            bytes: bytes.unwrap_or_default(),
        })));
        self.next_part += 1;
        self.position = end;
    }

    /// Closes the open segment, if there is one.
    pub(super) fn close(&mut self, out: &mut Vec<Cut>) {
        if let Some(open) = self.open.take() {
            out.push(Cut::Close { duration: self.position - open.start });
        }
    }

    /// The timeline breaks: the open segment is closed, and the next with media starts behind a
    /// discontinuity (H35).
    pub(super) fn interrupt(&mut self, out: &mut Vec<Cut>) {
        if self.open.as_ref().is_some_and(|open| !open.gap) {
            self.close(out);
        }
        if self.history == History::Unbroken {
            self.history = History::Broken;
        }
    }

    /// Lists missing media up to at most `until`, and no more of it than a target duration, or two
    /// parts where that is longer: whoever asks once in a part catches up.
    pub(super) fn extend_gap(&mut self, until: MediaTime, out: &mut Vec<Cut>) {
        let Some(targets) = self.targets else { return };
        let step = MediaTime::from(targets.segment.max(targets.part * 2));
        self.fill_gap(until.min(self.position + step), out);
    }

    /// Lists missing media, in whole parts, up to at most `until` (H37). Only between runs.
    pub(super) fn fill_gap(&mut self, until: MediaTime, out: &mut Vec<Cut>) {
        let (Some(targets), History::Broken) = (self.targets, self.history) else { return };
        let part = MediaTime::from(targets.part);
        let whole = gap_segment(targets);
        let mut bare = 0;
        while self.position + part <= until {
            let left = (until - self.position).as_micros() / whole.as_micros().max(1);
            if self.open.is_none() && GAP_SEGMENTS_WITH_PARTS < left {
                if bare == GAP_SEGMENTS_MAX {
                    self.position = until;
                    return;
                }
                bare += 1;
                self.open(true, out);
                self.position = self.position + whole;
                self.close(out);
                continue;
            }
            if self.open.is_none() {
                self.open(true, out);
            }
            self.gap_part(part, out);
            let start = self.open.as_ref().map_or(self.position, |open| open.start);
            if whole <= self.position - start {
                self.close(out);
            }
        }
    }

    fn gap_part(&mut self, length: MediaTime, out: &mut Vec<Cut>) {
        self.part(self.position + length, false, None, out);
    }

    /// Players reject a playlist that has parts but no segment, and some load no parts unless one
    /// before them is listed. So that nobody waits for the first whole segment, a segment of
    /// missing parts stands before the first part of all, and ends where that begins.
    fn lead_in(&mut self, targets: Targets) {
        let (begin, length) = (self.position, gap_segment(targets));
        let mut lead = Vec::new();
        self.position = begin - length;
        self.open(true, &mut lead);
        while self.position < begin {
            self.gap_part(MediaTime::from(targets.part), &mut lead);
        }
        self.close(&mut lead);
        self.lead = lead;
    }

    fn open(&mut self, gap: bool, out: &mut Vec<Cut>) {
        out.append(&mut self.lead);
        let discontinuity = !gap && self.history == History::Broken;
        out.push(Cut::Open(SegmentStart {
            msn: self.next_msn,
            start: self.position,
            program_date_time: self.date(),
            init: self.init_in_force,
            discontinuity,
            gap,
        }));
        self.next_msn = self.next_msn.next();
        self.open = Some(Open { start: self.position, gap });
        if !gap {
            self.history = History::Unbroken;
        }
    }

    fn date(&self) -> WallTime {
        let micros = (self.position + self.dated_later).as_micros();
        WallTime::from_unix_millis(
            self.zero.unix_millis().saturating_add((micros + 500).div_euclid(1_000)),
        )
    }
}

/// Length of a full gap segment: as many part targets as fit the target duration.
fn gap_segment(targets: Targets) -> MediaTime {
    let part = MediaTime::from(targets.part).as_micros().max(1);
    let segment = MediaTime::from(targets.segment).as_micros();
    MediaTime::from_micros((segment / part).max(1) * part)
}
