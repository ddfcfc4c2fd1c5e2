use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::edge::Edge;
use super::flow::{Flow, bits_per_second};
use super::lowlatency::SegmentText;
use super::names::Found;
use super::segment::{Cut, InitSegment, Part, SegmentStart, Targets};
use crate::base::{MediaSeq, MediaTime, MonoTime};
use crate::media::fmp4::EMPTY_SEGMENT;

/// A playlist is never trimmed below this many target durations (6.2.2) ...
const LISTED_TARGETS_MIN: u32 = 3;
/// ... and segments (authoring specification 8.11).
const LISTED_SEGMENTS_MIN: usize = 6;
/// Parts are listed, and stay fetchable after they left, this many target durations.
const PART_TARGETS: u32 = 3;

/// The segments of one broadcast that viewers can still fetch, and those of them that the
/// playlist lists. Pure: cuts and times go in, playlists and media are read out.
///
/// ```text
///  kept:    [ left the playlist | listed, whole ........ | listed, being written ]
///  listed:                      [ MEDIA-SEQUENCE ........................... edge ]
/// ```
#[derive(Debug)]
pub struct Window {
    span: Duration,
    /// At most `span`; shorter while the server is short of memory.
    span_now: Duration,
    bytes_max: usize,
    targets: Option<Targets>,
    inits: VecDeque<Arc<InitSegment>>,
    /// Oldest first, media sequences rise by one; only the last may be open.
    segments: VecDeque<Segment>,
    /// How many at the head of `segments` have left the playlist.
    left: usize,
    /// All parts of `segments`, numbers rise by one.
    parts: VecDeque<Arc<Part>>,
    next_part: u64,
    /// The first segment whose parts are listed.
    parts_from: MediaSeq,
    bytes: usize,
    text_bytes: usize,
    discontinuity_sequence: u64,
    /// All whole segments with media, those that have left included.
    flow: Flow,
    /// The longest version of the playlist that went out so far, with the parts at its end.
    longest: MediaTime,
    ended: bool,
}

#[derive(Debug)]
struct Segment {
    start: SegmentStart,
    part_count: u32,
    bytes: usize,
    /// Lengths of this and all earlier segments of the broadcast summed up.
    ends_at: MediaTime,
    whole: Option<Whole>,
    text: SegmentText,
    parts_left: Option<MonoTime>,
    /// Set when the segment leaves the playlist.
    keep_until: MonoTime,
}

/// What a segment has once it is closed.
#[derive(Debug)]
struct Whole {
    duration: MediaTime,
    listed_at: MonoTime,
    chunks: Arc<[Bytes]>,
}

/// One listed segment, as the playlist needs it.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    pub(super) init: u32,
    pub(super) discontinuity: bool,
    pub(super) text: &'a SegmentText,
}

impl Window {
    /// `span`: how much media the playlist lists, as near to it as whole segments come.
    /// `bytes_max`: what all kept segments may hold.
    pub fn new(span: Duration, bytes_max: usize) -> Self {
        Self {
            span,
            span_now: span,
            bytes_max,
            targets: None,
            inits: VecDeque::new(),
            segments: VecDeque::new(),
            left: 0,
            parts: VecDeque::new(),
            next_part: 1,
            parts_from: MediaSeq(0),
            bytes: 0,
            text_bytes: 0,
            discontinuity_sequence: 0,
            flow: Flow::default(),
            longest: MediaTime::ZERO,
            ended: false,
        }
    }

    /// Takes what the segmenter yields, in its order. Cuts that do not belong anywhere (a part
    /// without a segment, anything after the end) are dropped.
    pub fn apply(&mut self, cut: Cut, now: MonoTime) {
        if self.ended {
            return;
        }
        match cut {
            Cut::Targets(targets) => {
                self.targets.get_or_insert(targets);
            }
            Cut::Init(init) => {
                self.bytes += init.bytes.len();
                self.inits.push_back(init);
            }
            Cut::Open(start) => self.open(start),
            Cut::Part(part) => self.push_part(part, now),
            Cut::Close { duration } => self.close(duration, now),
        }
    }

    /// What is listed now goes out as a version of the playlist.
    pub fn note_version(&mut self) {
        self.longest = self.longest.max(self.end() - self.listed_start());
    }

    /// No cut follows. An open segment without a part was never listed and goes.
    pub fn finish(&mut self, now: MonoTime) {
        match self.open_segment().map(|open| (open.part_count, self.open_length())) {
            Some((0, _)) => {
                let open = self.segments.pop_back();
                self.text_bytes -= open.map_or(0, |open| open.text.len());
            }
            Some((_, length)) => self.close(length, now),
            None => {}
        }
        self.ended = true;
    }

    /// Lists about `span`, as [`Self::new`] has it, from now on: never more than the window was
    /// made for, and never less than the floor of every playlist. While it is limited, what leaves
    /// the playlist is freed at once: the memory is needed.
    pub fn limit_span(&mut self, span: Duration, now: MonoTime) {
        self.span_now = span.min(self.span);
        self.trim(now);
    }

    /// Frees what nobody may still ask for at `now`.
    pub fn expire(&mut self, now: MonoTime) {
        while self.left > 0 && self.segments.front().is_some_and(|s| s.keep_until <= now) {
            self.evict();
        }
    }

    /// All kept bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes of the shortest playlist this window may be trimmed to and of what is being
    /// written; nothing where the broadcast has ended.
    pub fn floor_bytes(&self) -> usize {
        let Some(targets) = self.targets.filter(|_| !self.ended) else { return 0 };
        let length_min = MediaTime::from(targets.segment * LISTED_TARGETS_MIN);
        let (mut count, mut length) = (0, MediaTime::ZERO);
        let kept = self.whole().rev().take_while(|segment| {
            let needed = count < LISTED_SEGMENTS_MIN || length < length_min;
            count += 1;
            length = length + segment.whole.as_ref().map_or(MediaTime::ZERO, |w| w.duration);
            needed
        });
        let open = self.open_segment().map_or(0, |open| open.bytes);
        let init = self.inits.back().map_or(0, |init| init.bytes.len());
        init + open + kept.map(|segment| segment.bytes).sum::<usize>()
    }

    /// More bytes than allowed although the playlist is as short as it may be.
    pub fn is_over_budget(&self) -> bool {
        self.bytes > self.bytes_max
    }

    /// Length of the whole listed segments.
    pub fn duration(&self) -> Duration {
        let starts_at = self.listed_start();
        self.whole_end().map_or(Duration::ZERO, |end| (end - starts_at).to_duration())
    }

    pub fn targets(&self) -> Option<&Targets> {
        self.targets.as_ref()
    }

    /// The newest init segment.
    pub fn init(&self) -> Option<&Arc<InitSegment>> {
        self.inits.back()
    }

    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Media sequence of the first listed segment.
    pub fn media_sequence(&self) -> MediaSeq {
        self.segments.get(self.left).map_or(MediaSeq(0), |segment| segment.start.msn)
    }

    pub fn discontinuity_sequence(&self) -> u64 {
        self.discontinuity_sequence
    }

    /// Whole segments that are listed.
    pub fn segment_count(&self) -> usize {
        let open = usize::from(self.open_segment().is_some());
        self.segments.len() - self.left - open
    }

    pub fn edge(&self) -> Edge {
        let open = self.open_segment().map(|segment| (segment.start.msn, segment.part_count));
        let closed =
            self.whole().next_back().map(|segment| (segment.start.msn, segment.part_count));
        Edge { closed, open, next_part: self.next_part }
    }

    /// What the broadcast has carried in whole segments.
    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Bits a second of the segment being written.
    pub(super) fn open_rate(&self) -> Option<u64> {
        bits_per_second(self.open_segment()?.bytes, self.open_length().to_duration())
    }

    /// An init segment that some kept segment needs, or the newest.
    pub fn find_init(&self, version: u32) -> Option<&Arc<InitSegment>> {
        let first = self.inits.front()?.version;
        self.inits.get(usize::try_from(version.checked_sub(first)?).ok()?)
    }

    pub fn find_segment(&self, msn: MediaSeq) -> Found {
        let Some(first) = self.segments.front().map(|segment| segment.start.msn) else {
            return Found::Unknown;
        };
        let Some(skip) = msn.0.checked_sub(first.0) else { return Found::Gone };
        match usize::try_from(skip).ok().and_then(|skip| self.segments.get(skip)) {
            // Chromium's own player fetches what is marked as missing, and an error there ends its
            // playing; a segment without samples it passes over.
            Some(Segment { whole: Some(_), start, .. }) if start.gap => {
                Found::Media(Arc::new([Bytes::from_static(EMPTY_SEGMENT)]))
            }
            Some(Segment { whole: Some(whole), .. }) => Found::Media(whole.chunks.clone()),
            Some(Segment { whole: None, .. }) | None => Found::Unknown,
        }
    }

    pub fn find_part(&self, number: u64) -> Found {
        if number == self.next_part && !self.ended {
            return Found::Next;
        }
        if number == 0 || number >= self.next_part {
            return Found::Unknown;
        }
        let first = self.parts.front().map_or(self.next_part, |part| part.number);
        let Some(skip) = number.checked_sub(first) else { return Found::Gone };
        match usize::try_from(skip).ok().and_then(|skip| self.parts.get(skip)) {
            Some(part) if part.gap => Found::Gap,
            Some(part) => Found::Media(Arc::new([part.bytes.clone()])),
            None => Found::Gone,
        }
    }

    /// The configured length.
    pub(super) fn span(&self) -> Duration {
        self.span
    }

    /// About how long the playlist is.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(super) fn listed(&self, index: usize) -> Option<Listed<'_>> {
        self.segments.get(self.left + index).map(Segment::listed)
    }

    pub(super) fn listed_from(&self, index: usize) -> impl Iterator<Item = Listed<'_>> {
        self.segments.iter().skip(self.left + index).map(Segment::listed)
    }

    /// How many segments at the head of the playlist end further than `distance` from its end.
    pub(super) fn listed_before(&self, distance: MediaTime) -> usize {
        let limit = self.end() - distance;
        let near = self.segments.iter().rev().take_while(|s| s.ends_at >= limit).count();
        self.segments.len().saturating_sub(near).saturating_sub(self.left)
    }

    fn open(&mut self, start: SegmentStart) {
        debug_assert!(self.open_segment().is_none(), "one segment is open at a time");
        let ends_at = self.end();
        if self.segments.is_empty() {
            self.parts_from = start.msn;
        }
        let text = SegmentText::open(&start);
        self.text_bytes += text.len();
        self.segments.push_back(Segment {
            start,
            part_count: 0,
            bytes: 0,
            ends_at,
            whole: None,
            text,
            parts_left: None,
            keep_until: MonoTime::ZERO,
        });
    }

    fn push_part(&mut self, part: Arc<Part>, now: MonoTime) {
        let Some(segment) = self.segments.back_mut().filter(|segment| segment.whole.is_none())
        else {
            debug_assert!(false, "a part belongs to an open segment");
            return;
        };
        debug_assert!(
            self.parts.is_empty() || part.number == self.next_part,
            "numbers rise by one"
        );
        let before = segment.text.len();
        segment.text.push_part(&part);
        self.text_bytes += segment.text.len() - before;
        segment.part_count += 1;
        segment.bytes += part.bytes.len();
        segment.ends_at = segment.ends_at + part.duration;
        self.bytes += part.bytes.len();
        self.next_part = part.number + 1;
        self.parts.push_back(part);
        self.unlist_old_parts(now);
        self.trim(now);
    }

    fn close(&mut self, duration: MediaTime, now: MonoTime) {
        let begins_at = self.whole_end().unwrap_or(MediaTime::ZERO);
        let Some(segment) = self.segments.back_mut().filter(|segment| segment.whole.is_none())
        else {
            debug_assert!(false, "only an open segment closes");
            return;
        };
        let count = usize::try_from(segment.part_count).unwrap_or(usize::MAX);
        let skip = self.parts.len().saturating_sub(count);
        let chunks = self.parts.iter().skip(skip).map(|part| part.bytes.clone()).collect();
        segment.ends_at = begins_at + duration;
        if let Some(targets) = self.targets.filter(|_| !segment.start.gap) {
            self.flow.add(segment.bytes, duration.to_duration(), targets.segment);
        }
        segment.whole = Some(Whole { duration, listed_at: now, chunks });
        let before = segment.text.len();
        segment.text.close(&segment.start, duration);
        self.text_bytes += segment.text.len() - before;
        self.unlist_old_parts(now);
        self.trim(now);
    }

    /// Part tags leave once their segment ended more than three target durations before the end.
    fn unlist_old_parts(&mut self, now: MonoTime) {
        let Some(targets) = self.targets else { return };
        let limit = self.end() - MediaTime::from(targets.segment * PART_TARGETS);
        let Some(first) = self.segments.front().map(|segment| segment.start.msn) else { return };
        let skip = usize::try_from(self.parts_from.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
        for segment in self.segments.iter_mut().skip(skip) {
            if segment.whole.is_none() || segment.ends_at >= limit {
                break;
            }
            let before = segment.text.len();
            segment.text.forget_parts();
            self.text_bytes -= before - segment.text.len();
            segment.parts_left = Some(now);
            self.parts_from = segment.start.msn.next();
        }
    }

    /// Slides the playlist until it is as near to the span as whole segments allow, then frees
    /// bytes above the limit.
    fn trim(&mut self, now: MonoTime) {
        while self.is_nearer_without_first() {
            self.unlist_first(now);
        }
        self.expire(now);
        while self.left > 0 && self.span_now < self.span {
            self.evict();
        }
        while self.is_over_budget() {
            if self.left == 0 {
                if self.remaining_without_first().is_none() {
                    break;
                }
                self.unlist_first(now);
            }
            self.evict();
        }
    }

    /// Whether the playlist may lose its first segment and is nearer to the span without it.
    /// Segments that end a frame early must not cost a whole one more.
    fn is_nearer_without_first(&self) -> bool {
        let rest = self.remaining_without_first();
        rest.is_some_and(|rest| rest.saturating_add(self.duration()) > self.span_now * 2)
    }

    /// How much the playlist would list without its first segment, if it may lose it.
    fn remaining_without_first(&self) -> Option<Duration> {
        let targets = self.targets?;
        if self.segment_count() <= LISTED_SEGMENTS_MIN {
            return None;
        }
        let first = self.segments.get(self.left)?.whole.as_ref()?;
        let rest = self.duration().saturating_sub(first.duration.to_duration());
        (rest >= targets.segment * LISTED_TARGETS_MIN).then_some(rest)
    }

    /// Takes the first segment out of the playlist. It stays fetchable for as long as a player
    /// that read the longest playlist may need to come to it (6.2.2), and its parts for three
    /// target durations after their tags left.
    fn unlist_first(&mut self, now: MonoTime) {
        let target = self.targets.map_or(Duration::ZERO, |targets| targets.segment);
        let longest = self.longest.to_duration();
        let Some(segment) = self.segments.get_mut(self.left) else { return };
        let Some(whole) = &segment.whole else { return };
        let by_playlist = whole.listed_at + (whole.duration.to_duration() + longest);
        let by_parts = segment.parts_left.unwrap_or(now) + target * PART_TARGETS;
        segment.keep_until = by_playlist.max(by_parts);
        self.text_bytes -= segment.text.len();
        segment.text = SegmentText::default();
        self.discontinuity_sequence += u64::from(segment.start.discontinuity);
        self.left += 1;
    }

    /// Frees the oldest segment, which has left the playlist, and init segments it alone needed.
    fn evict(&mut self) {
        debug_assert!(self.left > 0, "a listed segment stays");
        let Some(segment) = self.segments.pop_front() else { return };
        self.left -= 1;
        self.bytes -= segment.bytes;
        for _ in 0..segment.part_count {
            self.parts.pop_front();
        }
        let needed = self.segments.front().map_or(u32::MAX, |segment| segment.start.init);
        while self.inits.len() > 1 && self.inits.front().is_some_and(|i| i.version < needed) {
            self.bytes -= self.inits.pop_front().map_or(0, |init| init.bytes.len());
        }
    }

    fn open_segment(&self) -> Option<&Segment> {
        self.segments.back().filter(|segment| segment.whole.is_none())
    }

    fn open_length(&self) -> MediaTime {
        let begins_at = self.whole_end().unwrap_or(MediaTime::ZERO);
        self.end() - begins_at
    }

    /// Whole segments, listed or not, oldest first.
    fn whole(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.whole.is_some())
    }

    fn whole_end(&self) -> Option<MediaTime> {
        self.whole().next_back().map(|segment| segment.ends_at)
    }

    /// The end of the playlist in its own time.
    fn end(&self) -> MediaTime {
        self.segments.back().map_or(MediaTime::ZERO, |segment| segment.ends_at)
    }

    /// The beginning of the playlist in its own time.
    fn listed_start(&self) -> MediaTime {
        let first = self.segments.get(self.left);
        let length = |s: &Segment| s.whole.as_ref().map_or(MediaTime::ZERO, |w| w.duration);
        first.map_or(MediaTime::ZERO, |segment| segment.ends_at - length(segment))
    }
}

impl Segment {
    fn listed(&self) -> Listed<'_> {
        Listed { init: self.start.init, discontinuity: self.start.discontinuity, text: &self.text }
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
