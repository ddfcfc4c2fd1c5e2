//! The judge of one broadcast: every version of its playlist, every part, the time between them,
//! and what is held for it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use ghostlight::base::{BroadcastId, MediaSeq};
use ghostlight::live::{Media, MediaName, Published, Rendition, RenditionState};
use ghostlight::testing::delta::apply_delta;
use ghostlight::testing::lint::{check_playlist, check_reload};

use super::fragment::{self, Run};
use super::listing::{Listing, Part, Segment};
use super::stage::Stage;

/// A well encoder has a new part within this: the longest part, and what the network and the
/// weaving of two tracks may take.
const PART_WAIT_MAX: u64 = 1_200;
/// A segment begins with the track that is ahead; after jumps its date may be later than its media,
/// so that it does not go back.
const DATE_MICROS: i64 = 500_000;
/// Media is dated no later than it is there, but for what an encoder brings with its first frame
/// while it is not clear which tracks it has, and for what overlapped when it took over.
const AHEAD_MICROS: i64 = 4_500_000;
/// Two frames of the slowest camera: a list of whole frames, and one of what they really took.
const FRAMES_MICROS: i64 = 140_000;
/// One and a half frames of the slowest camera, in the finest ticks: the last frame of a part that
/// is almost as long as it may be is promised half a frame more.
const LAST_FRAME_TICKS_MAX: u64 = 9_000;
const TICKS: [(u32, i64); 2] = [(1, 90_000), (2, 48_000)];

fn second_of(track: u32) -> u64 {
    let known = TICKS.iter().find(|(known, _)| *known == track);
    known.map_or(0, |(_, ticks)| ticks.unsigned_abs())
}

pub(crate) struct Judge {
    stage: Arc<Stage>,
    rendition: Arc<Rendition>,
    channel: usize,
    last: Option<Arc<Published>>,
    next_part: u64,
    next_segment: u64,
    /// Where the newest sample of each track ends, in ticks, and whether the next must begin there.
    ends: BTreeMap<u32, (u64, bool)>,
    /// The parts of segments that are not whole yet.
    open: BTreeMap<u64, Vec<(Bytes, Vec<Run>)>>,
    last_media_at: u64,
    /// The newest connection that media came by.
    newest_mark: u16,
    trace: DefaultHasher,
}

impl Judge {
    pub(crate) fn new(
        stage: &Arc<Stage>,
        rendition: Arc<Rendition>,
        channel: usize,
        now: u64,
    ) -> Self {
        Self {
            stage: stage.clone(),
            rendition,
            channel,
            last: None,
            next_part: 1,
            next_segment: 0,
            ends: BTreeMap::new(),
            open: BTreeMap::new(),
            last_media_at: now,
            newest_mark: 0,
            trace: DefaultHasher::new(),
        }
    }

    pub(crate) fn broadcast_id(&self) -> BroadcastId {
        self.rendition.broadcast_id()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.ended)
            || matches!(self.rendition.state(), RenditionState::Ended { .. })
                && self.rendition.published().is_none()
    }

    /// Of all that was published, and when.
    pub(crate) fn trace(&self) -> u64 {
        self.trace.finish()
    }

    pub(crate) fn look(&mut self, now: u64) {
        let held = self.rendition.window_bytes();
        if self.stage.limits.window_bytes_max < held {
            self.stage.fail(format!("X6: a window of {held} bytes"));
        }
        let Some(next) = self.rendition.published() else { return };
        if self.last.as_ref().is_some_and(|last| last.version == next.version) {
            return;
        }
        let last = self.last.replace(next.clone());
        let (text, before) = (text(&next), last.as_deref().map(text));
        (now, text).hash(&mut self.trace);
        if let Err(what) = judge_text(before, text, next.delta.as_ref().map(|d| d.plain())) {
            let before = before.unwrap_or_default();
            self.stage.fail(format!("{what}\nbefore:\n{before}\nnow:\n{text}"));
        }
        let listing = Listing::parse(text);
        let follows = last.as_ref().is_some_and(|last| last.version + 1 == next.version);
        let judged = if follows { self.judge_hint(&listing) } else { Ok(()) };
        if let Err(what) = judged.and_then(|()| self.judge_media(&listing, now)) {
            self.stage.fail(format!("{what}\n{text}"));
        }
        self.count(&next, &listing);
    }

    /// X6: a well encoder gets a new part in bounded time.
    pub(crate) fn judge_liveness(&self, now: u64) {
        let channel = self.channel;
        if self.stage.is_well(channel, now) && self.last_media_at + PART_WAIT_MAX < now {
            let waited = now - self.last_media_at;
            self.stage.fail(format!("X6 liveness: no part of channel {channel} for {waited} ms"));
        }
    }

    /// H83: while the encoder is away, a part that came to those who waited for the hint is listed
    /// by the next version, however much missing media comes behind it.
    fn judge_hint(&self, listing: &Listing<'_>) -> Result<(), String> {
        if self.rendition.state() != RenditionState::Away {
            return Ok(());
        }
        let hinted = self.next_part;
        let is = |number| self.rendition.media(&MediaName::Part(number));
        let parts = listing.segments.iter().flat_map(|segment| &segment.parts);
        let first = parts.map(|part| part.number).find(|number| hinted <= *number);
        let left_out = first.is_some_and(|first| hinted < first);
        if left_out && matches!((is(hinted), is(hinted + 1)), (Media::Ready(_), Media::Gap)) {
            return Err(format!("H83: part {hinted} was hinted, came, and was never listed"));
        }
        Ok(())
    }

    fn judge_media(&mut self, listing: &Listing<'_>, now: u64) -> Result<(), String> {
        for segment in &listing.segments {
            let next = self.next_part;
            if segment.discontinuity && segment.parts.iter().any(|part| part.number == next) {
                self.break_tracks();
            }
            let first = segment.parts.first().map(|part| part.number);
            for part in segment.parts.iter().filter(|part| next <= part.number) {
                for unlisted in self.next_part..part.number {
                    self.take_unlisted(unlisted)?;
                }
                self.next_part = part.number + 1;
                if part.gap {
                    self.break_tracks();
                } else {
                    let begins = first == Some(part.number);
                    self.take_part(segment.msn, part, begins, now)?;
                    self.last_media_at = now;
                }
            }
            if segment.whole && self.next_segment <= segment.msn {
                self.next_segment = segment.msn + 1;
                self.close_segment(segment, now)?;
            }
        }
        Ok(())
    }

    fn break_tracks(&mut self) {
        self.ends.values_mut().for_each(|(_, joined)| *joined = false);
    }

    /// Of a burst, or a long gap, that one version adds only the newest parts are listed; the others
    /// have been there too.
    fn take_unlisted(&mut self, number: u64) -> Result<(), String> {
        match self.rendition.media(&MediaName::Part(number)) {
            Media::Ready(body) => {
                let bytes = body.chunks.concat();
                let runs = fragment::read(&bytes)
                    .map_err(|error| format!("H51: part {number}: {error}"))?;
                // Whether a break lies before it, the list no longer says.
                self.break_tracks();
                self.judge_marks(number, &runs)?;
                self.join(number, &runs)
            }
            Media::Gap | Media::Gone => {
                self.break_tracks();
                Ok(())
            }
            missing @ (Media::Hinted(_) | Media::Unknown) => {
                Err(format!("H20: part {number} was left out and is {missing:?}"))
            }
        }
    }

    fn take_part(&mut self, msn: u64, part: &Part, begins: bool, now: u64) -> Result<(), String> {
        let number = part.number;
        let bytes = self.fetch(&MediaName::Part(number))?;
        let runs =
            fragment::read(&bytes).map_err(|error| format!("H51: part {number}: {error}"))?;
        self.judge_marks(number, &runs)?;
        let video = runs.iter().find(|run| run.track == 1);
        let regular =
            self.stage.has_short_gops(self.channel) && self.stage.is_well(self.channel, now);
        if begins && regular && video.is_some_and(|run| !run.starts_with_sync) {
            return Err(format!("H54: segment {msn} starts without a keyframe"));
        }
        // Sound beside a picture that has stopped stands for itself, but is no place to begin.
        let lead = if self.stage.has_video(self.channel) { video } else { runs.first() };
        if lead.map_or(part.independent, |run| run.has_sync != part.independent) {
            return Err(format!("H75: part {number} is marked wrong"));
        }
        self.join(number, &runs)?;
        (number, &bytes).hash(&mut self.trace);
        self.open.entry(msn).or_default().push((bytes.into(), runs));
        Ok(())
    }

    /// A part goes on where the one before it ended, or later behind a break.
    fn join(&mut self, number: u64, runs: &[Run]) -> Result<(), String> {
        for run in runs {
            let end = run.begin + run.length;
            if let Some((expected, joined)) = self.ends.insert(run.track, (end, true)) {
                // The length of the last sample before a break was a promise that nobody kept.
                let fits = if joined {
                    run.begin == expected
                } else {
                    // Two encoders show the same moments, for less than a second.
                    expected <= run.begin + second_of(run.track) + LAST_FRAME_TICKS_MAX
                };
                if !fits {
                    let (track, begin) = (run.track, run.begin);
                    let rule = if joined { "H52" } else { "X6 time" };
                    return Err(format!(
                        "{rule}: part {number}, track {track}: {begin} after {expected}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// R38: a part is of one connection, and after a takeover nothing of the old one follows.
    fn judge_marks(&mut self, number: u64, runs: &[Run]) -> Result<(), String> {
        for (oldest, newest) in runs.iter().filter_map(|run| run.marks) {
            if oldest != newest || oldest < self.newest_mark {
                let known = self.newest_mark;
                return Err(format!(
                    "R38: part {number} is of connections {oldest} to {newest}, after {known}"
                ));
            }
        }
        let marks = runs.iter().filter_map(|run| run.marks);
        self.newest_mark = marks.map(|(_, newest)| newest).max().unwrap_or(self.newest_mark);
        Ok(())
    }

    /// What is listed is there, at once.
    fn fetch(&self, name: &MediaName) -> Result<Vec<u8>, String> {
        match self.rendition.media(name) {
            Media::Ready(body) => Ok(body.chunks.concat()),
            missing @ (Media::Hinted(_) | Media::Gap | Media::Gone | Media::Unknown) => {
                Err(format!("H108: {name} is listed and {missing:?}"))
            }
        }
    }

    fn close_segment(&mut self, segment: &Segment<'_>, now: u64) -> Result<(), String> {
        let msn = segment.msn;
        self.judge_date(segment, now)?;
        self.open.retain(|open, _| msn <= *open);
        let Some(parts) = self.open.remove(&msn) else { return Ok(()) };
        if segment.gap {
            return Ok(());
        }
        let whole = self.fetch(&MediaName::Segment(MediaSeq(msn)))?;
        let joined: Vec<u8> = parts.iter().flat_map(|(bytes, _)| bytes.iter().copied()).collect();
        if segment.parts.len() == parts.len() && whole != joined {
            return Err(format!("H53: segment {msn} is not its parts"));
        }
        // Frames that never came leave a hole, which the next sample spans.
        if self.stage.is_well(self.channel, now) && segment.parts.len() == parts.len() {
            let runs: Vec<&Run> = parts.iter().flat_map(|(_, runs)| runs).collect();
            return self.judge_times(segment, &runs);
        }
        Ok(())
    }

    /// D16: dates keep pace with the calendar, over any number of breaks.
    fn judge_date(&self, segment: &Segment<'_>, now: u64) -> Result<(), String> {
        if !self.stage.is_prompt(self.channel) {
            return Ok(());
        }
        let started = self.rendition.started_at();
        let begun = i64::try_from(started.mono.since_start().as_micros()).unwrap_or(0);
        let passed = i64::try_from(now).unwrap_or(0) * 1_000 - begun;
        let ends = segment.date_micros.unwrap_or(0) + segment.micros;
        let ahead = ends - started.wall.unix_millis() * 1_000 - passed;
        if AHEAD_MICROS < ahead {
            return Err(format!("D16: segment {} ends {ahead} us ahead of time", segment.msn));
        }
        Ok(())
    }

    /// A segment is as long as it says, and of the time that it says.
    fn judge_times(&self, segment: &Segment<'_>, runs: &[&Run]) -> Result<(), String> {
        let msn = segment.msn;
        let lead = TICKS.iter().find(|(track, _)| runs.iter().any(|run| run.track == *track));
        let Some(&(track, scale)) = lead else { return Ok(()) };
        let own = runs.iter().filter(|run| run.track == track);
        let ticks: u64 = own.clone().map(|run| run.length).sum();
        let micros = |ticks: u64| i64::try_from(ticks).unwrap_or(0) * 1_000_000 / scale;
        let off = micros(ticks) - segment.micros;
        if FRAMES_MICROS < off.abs() {
            return Err(format!("H13: segment {msn} is {off} us longer than listed"));
        }
        let begin = own.map(|run| run.begin).min().unwrap_or(0);
        let began = self.rendition.started_at().wall.unix_millis() * 1_000 + micros(begin);
        let off = segment.date_micros.unwrap_or(0) - began;
        if DATE_MICROS < off.abs() {
            return Err(format!("H45: segment {msn} is dated {off} us off"));
        }
        Ok(())
    }

    /// Rare branches that a playlist shows.
    fn count(&self, next: &Published, listing: &Listing<'_>) {
        let note = |what: &str, seen: bool| {
            if seen {
                self.stage.note(what);
            }
        };
        note("delta offered", next.delta.is_some());
        note("a final playlist", next.ended);
        let newest = listing.segments.iter().rev().take(2);
        for segment in newest {
            note("discontinuity", segment.discontinuity);
            note("gap segment", segment.gap);
            note("gap part", segment.parts.iter().any(|part| part.gap));
        }
        note("hint of an init segment", listing.hints_map);
        note("closing shown", listing.shows_closing);
    }
}

fn text(published: &Published) -> &str {
    std::str::from_utf8(published.playlist.plain()).unwrap_or_default()
}

/// The rules of one version, of what changed since the last one, and of its delta update.
fn judge_text(before: Option<&str>, text: &str, delta: Option<&Bytes>) -> Result<(), String> {
    let mut findings = check_playlist(text);
    findings.extend(before.map(|before| check_reload(before, text)).into_iter().flatten());
    let delta = delta.map(|delta| std::str::from_utf8(delta).unwrap_or_default());
    if let Some(delta) = delta {
        findings.extend(check_playlist(delta));
    }
    if let Some(finding) = findings.first() {
        return Err(finding.to_string());
    }
    let applied = delta.map(|delta| apply_delta(before.unwrap_or(text), delta));
    match applied {
        Some(applied) if applied.as_deref() != Ok(text) => {
            Err(format!("H102: the delta update makes {applied:?}"))
        }
        Some(_) | None => Ok(()),
    }
}
