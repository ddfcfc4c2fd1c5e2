use std::collections::VecDeque;

use super::super::finding::Place;
use super::super::ledger::Ledger;
use super::super::look::{FRAME_MICROS, seconds};
use super::super::playlist::{Playlist, Segment};
use super::super::text::wall_micros;
use super::clip::{Clip, Stream};
use super::init::{Init, Kind};
use super::lengths::Pictures;

/// Segments remembered to compare with other renditions.
const REMEMBERED: usize = 32;

/// What a playlist says of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed<'a> {
    /// The segment's own address.
    pub url: &'a str,
    pub msn: u64,
    /// Its stated length.
    pub micros: i64,
    /// The target duration of its playlist.
    pub target: i64,
    pub discontinuity: bool,
    /// Its date in microseconds.
    pub date: Option<i64>,
    /// Kilobits a second, where stated.
    pub bitrate: Option<u64>,
    /// The playlist promises independent segments.
    pub independent: bool,
    pub encrypted: bool,
    /// Some of its parts are listed as missing.
    pub holes: bool,
}

impl<'a> Listed<'a> {
    pub fn new(url: &'a str, playlist: &Playlist<'_>, segment: &Segment<'_>) -> Self {
        Self {
            url,
            msn: segment.msn,
            micros: segment.micros(),
            target: playlist.target(),
            discontinuity: segment.discontinuity,
            date: segment.date.and_then(wall_micros),
            // It says nothing of a part of a larger resource.
            bitrate: segment.bitrate.filter(|_| segment.range.is_none()),
            independent: playlist.tag("EXT-X-INDEPENDENT-SEGMENTS").is_some(),
            encrypted: segment.key.is_some(),
            holes: segment.parts.iter().any(|part| part.gap),
        }
    }
}

/// The media of one rendition as it is watched, segment after segment.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    pub(super) init: Option<Init>,
    /// The init segment describes something else than the one before it, and no segment told why.
    changed: bool,
    last: Option<Last>,
    run: Option<Run>,
    /// Number, start and date of the newest segments.
    pub(super) starts: Vec<(u64, i64, Option<i64>)>,
    pub(super) rates: Rates,
    pictures: Pictures,
    stretch: Stretch,
}

/// The newest segments in a row, for the peak.
#[derive(Clone, Debug, Default)]
struct Stretch {
    next: Option<u64>,
    /// Length in microseconds and bytes of each, oldest first; all but the oldest fit in one run.
    segments: VecDeque<(i64, u64)>,
}

/// The segment before.
#[derive(Clone, Debug)]
struct Last {
    msn: u64,
    clip: Clip,
}

/// A stretch of segments without break, from the first seen.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Its leading stream.
    stream: u32,
    /// In ticks of that stream.
    start: i64,
    /// What the segments before said they add up to.
    stated: i64,
    date: Option<i64>,
}

/// What there was in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rates {
    pub(super) bytes: u64,
    pub(super) micros: i64,
    /// Bits a second of the fullest run of segments.
    pub(super) peak: u64,
    pub(super) frames: usize,
    /// What the pictures add up to.
    pub(super) shown: i64,
    /// The shortest length of pictures that is no accident.
    pub(super) shortest: Option<i64>,
}

impl Stretch {
    /// Takes the next segment in. The rate of the fullest run that ends with it: runs are of half a
    /// target to one and a half (draft-pantos-hls-rfc8216bis 4.1), so a segment much shorter, as
    /// before a break, counts with its neighbours only.
    fn peak(&mut self, msn: u64, length: i64, bytes: u64, target: i64) -> u64 {
        if self.next != Some(msn) {
            self.segments.clear();
        }
        self.next = msn.checked_add(1);
        self.segments.push_back((length, bytes));
        let (mut fullest, mut micros, mut sum) = (0, 0_i64, 0_u64);
        let mut fitting = 0;
        for (length, bytes) in self.segments.iter().rev() {
            micros = micros.saturating_add(*length);
            sum = sum.saturating_add(*bytes);
            if target.saturating_mul(3) < micros.saturating_mul(2) {
                break;
            }
            fitting += 1;
            if target <= micros.saturating_mul(2) {
                fullest = fullest.max(bit_rate(sum, micros));
            }
        }
        while fitting + 1 < self.segments.len() {
            self.segments.pop_front();
        }
        fullest
    }
}

/// Bits a second; 0 for no time.
fn bit_rate(bytes: u64, micros: i64) -> u64 {
    let micros = u64::try_from(micros).unwrap_or(0);
    bytes.saturating_mul(8_000_000).checked_div(micros).unwrap_or(0)
}

impl Watched {
    /// Judges an init segment; what it says holds for the segments that follow.
    pub fn init(&mut self, ledger: &mut Ledger, url: &str, bytes: &[u8]) {
        let next = Init::judge(ledger, url, bytes);
        self.changed |= self.init.as_ref().is_some_and(|last| last.differs(&next));
        self.init = Some(next);
    }

    /// Judges a segment by itself, by what is listed of it, and as what follows the one before.
    pub fn segment(&mut self, ledger: &mut Ledger, listed: &Listed<'_>, bytes: &[u8]) {
        self.rate(ledger, listed, bytes.len());
        if listed.encrypted {
            return ledger.not_applicable("H52", "segments are encrypted");
        }
        if listed.holes {
            // What is missing is said to be: nothing can be expected of lengths and times.
            (self.last, self.run) = (None, None);
            return ledger.not_applicable("H13", "segments hold missing parts");
        }
        if bytes.starts_with(b"WEBVTT") || listed.url.contains(".vtt") {
            return subtitles(ledger, listed.url, bytes);
        }
        let Some(clip) = Clip::judge(ledger, listed.url, bytes, self.init.as_ref()) else { return };
        pictures(ledger, listed, &clip);
        let last = self.last.take().filter(|last| last.msn.checked_add(1) == Some(listed.msn));
        match &last {
            Some(last) if listed.discontinuity => after_break(ledger, listed, &last.clip, &clip),
            Some(last) => self.goes_on(ledger, listed, &last.clip, &clip),
            None => {}
        }
        if last.is_none() || listed.discontinuity {
            self.run = None;
        }
        self.changed = false;
        if let Some(leading) = clip.leading() {
            self.lengths(ledger, listed, leading, clip.wrap);
        }
        self.last = Some(Last { msn: listed.msn, clip });
    }

    /// Judges a part by itself; `independent` is what is listed of it.
    pub fn part(&self, ledger: &mut Ledger, url: &str, independent: bool, bytes: &[u8]) {
        let Some(clip) = Clip::judge(ledger, url, bytes, self.init.as_ref()) else { return };
        let Some(video) = clip.of_kind(Kind::Video) else { return };
        ledger.expect("H75", video.independent == independent, || {
            let what = if independent {
                "marked independent, and holds no independent frame"
            } else {
                "holds an independent frame, and is not marked so"
            };
            (what.to_owned(), Place::url(url))
        });
    }

    /// Judges the parts of a whole segment beside it.
    pub fn parts_of(&self, ledger: &mut Ledger, url: &str, segment: &[u8], parts: &[&[u8]]) {
        let joined = parts.concat();
        // The same bytes hold the same samples; other bytes may as well.
        let mut nobody = Ledger::default();
        let same = joined == segment || {
            let init = self.init.as_ref();
            let whole = Clip::judge(&mut nobody, url, segment, init);
            whole.is_some() && Clip::judge(&mut nobody, url, &joined, init) == whole
        };
        ledger.expect("H53", same, || {
            let (parts, size) = (joined.len(), segment.len());
            (format!("its parts hold something else: {parts} bytes, not {size}"), Place::url(url))
        });
    }

    /// H33, and the sums for H62.
    fn rate(&mut self, ledger: &mut Ledger, listed: &Listed<'_>, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if listed.micros <= 0 {
            return;
        }
        let rate = bit_rate(bytes, listed.micros);
        self.rates.bytes = self.rates.bytes.saturating_add(bytes);
        self.rates.micros = self.rates.micros.saturating_add(listed.micros);
        let peak = self.stretch.peak(listed.msn, listed.micros, bytes, listed.target);
        self.rates.peak = self.rates.peak.max(peak);
        if let Some(stated) = listed.bitrate {
            let real = rate / 1_000;
            // What is stated is rounded to kilobits.
            let (least, most) = (rate.saturating_mul(90) / 100, rate.saturating_mul(110) / 100);
            let range = least.saturating_sub(1_000)..=most.saturating_add(1_000);
            let near = range.contains(&stated.saturating_mul(1_000));
            ledger.expect("H33", near, || {
                (format!("{stated} kbit/s are stated, it has {real}"), Place::url(listed.url))
            });
        }
    }

    /// H35, H36, H52 and H57: without a break everything goes on.
    fn goes_on(&self, ledger: &mut Ledger, listed: &Listed<'_>, last: &Clip, clip: &Clip) {
        let same = !self.changed && last.format == clip.format;
        let place = || Place::url(listed.url);
        ledger.expect("H35", same, || ("another format, and no discontinuity".to_owned(), place()));
        if !same {
            return;
        }
        for (before, now) in pairs(last, clip) {
            let gap = gap(before, now, clip.wrap);
            if clip.wrap.is_some() && wrapped(before, now) {
                ledger.looked("H57");
            }
            // What a TS frame's length is, only the next one tells.
            let near = if clip.wrap.is_some() { before.frame * 2 } else { before.frame.max(1) - 1 };
            let frame = near.max(if clip.wrap.is_some() { 9_000 } else { 0 });
            let goes_on = gap.saturating_abs() <= frame;
            ledger.expect("H36", goes_on, || {
                let off = seconds(now.micros(gap));
                (format!("stream {} goes on {off} off, and no discontinuity", now.id), place())
            });
            if goes_on && clip.wrap.is_none() {
                ledger.advise("H52", gap == 0, || {
                    (format!("stream {} goes on {gap} ticks off", now.id), place())
                });
            }
        }
        for (pid, first, _) in &clip.counters {
            let before = last.counters.iter().find(|(known, ..)| known == pid);
            let Some((.., end)) = before else { continue };
            ledger.advise("H36", (end + 1) & 15 == *first || end == first, || {
                (format!("counter {first} of stream {pid} after {end}"), place())
            });
        }
    }

    /// H13, H14 and H46: what is stated, and what there is.
    fn lengths(
        &mut self,
        ledger: &mut Ledger,
        listed: &Listed<'_>,
        leading: &Stream,
        wrap: Option<i64>,
    ) {
        let start = leading.micros(leading.first_shown);
        if leading.kind == Kind::Video {
            self.rates.frames = self.rates.frames.saturating_add(leading.frames);
            self.rates.shown = self.rates.shown.saturating_add(leading.length());
            self.pictures.take(&leading.lengths);
            self.rates.shortest = self.pictures.shortest();
        }
        self.starts.push((listed.msn, start, listed.date));
        if self.starts.len() > REMEMBERED {
            self.starts.remove(0);
        }
        let place = || Place::url(listed.url);
        let off = listed.micros.saturating_sub(leading.length());
        // A frame, and what is lost where times are printed in milliseconds.
        let frame = leading.micros(leading.frame).clamp(FRAME_MICROS, 4 * FRAME_MICROS) + 1_000;
        if leading.kind == Kind::Video {
            ledger.expect("H14", off.saturating_abs() <= frame, || {
                let is = seconds(leading.length());
                (format!("{} are stated, the pictures last {is}", seconds(listed.micros)), place())
            });
        }
        let same = self.run.filter(|run| run.stream == leading.id);
        let mut run = same.unwrap_or(Run {
            stream: leading.id,
            start: leading.first_shown,
            stated: 0,
            date: listed.date,
        });
        let come = leading.first_shown.saturating_sub(run.start);
        let come = leading.micros(wrap.map_or(come, |wrap| come.rem_euclid(wrap)));
        if let (Some(date), Some(first)) = (listed.date, run.date) {
            let off = date.saturating_sub(first).saturating_sub(come);
            ledger.advise("H46", off.saturating_abs() <= frame || come < 0, || {
                (format!("its date is {} off its media", seconds(off)), place())
            });
        }
        run.stated = run.stated.saturating_add(listed.micros);
        self.run = Some(run);
        let off = run.stated.saturating_sub(come.saturating_add(leading.length()));
        // Times that began again say nothing of the run before.
        if come >= 0 {
            ledger.expect("H13", off.saturating_abs() <= frame, || {
                (format!("the lengths since the run began are {} off", seconds(off)), place())
            });
        }
    }
}

/// H54 and H66: a segment begins with a picture that needs no other.
fn pictures(ledger: &mut Ledger, listed: &Listed<'_>, clip: &Clip) {
    let Some(video) = clip.of_kind(Kind::Video) else { return };
    let place = || Place::url(listed.url);
    ledger.advise("H54", video.starts_independent, || {
        let what = if video.independent { "begins with" } else { "holds only" };
        (format!("it {what} frames that need another segment"), place())
    });
    if listed.independent {
        ledger.expect("H66", video.independent, || {
            ("independent segments are promised, and this is none".to_owned(), place())
        });
    }
}

/// H57 and H59: what a break must not be for, and how it goes on.
fn after_break(ledger: &mut Ledger, listed: &Listed<'_>, last: &Clip, clip: &Clip) {
    let place = || Place::url(listed.url);
    ledger.looked("H35");
    for (before, now) in pairs(last, clip).filter(|(before, now)| wrapped(before, now)) {
        let Some(wrap) = clip.wrap else { continue };
        let only = last.format == clip.format && gap(before, now, Some(wrap)).abs() <= 9_000;
        ledger.expect("H57", !only, || {
            ("a discontinuity, where only the timestamps wrapped".to_owned(), place())
        });
    }
    let (sound, picture) = (clip.of_kind(Kind::Audio), clip.of_kind(Kind::Video));
    if let (Some(sound), Some(picture)) = (sound, picture) {
        let shown = |stream: &Stream| stream.micros(stream.first_shown);
        let late = shown(sound).saturating_sub(shown(picture));
        ledger.advise("H59", late <= FRAME_MICROS, || {
            (format!("the sound starts {} after the picture", seconds(late)), place())
        });
    }
}

/// H63 (draft-pantos-hls-rfc8216bis 3.1.4).
fn subtitles(ledger: &mut Ledger, url: &str, bytes: &[u8]) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let place = || Place::url(url);
    ledger.expect("H63", bytes.starts_with(b"WEBVTT"), || ("no WEBVTT header".to_owned(), place()));
    let map = b"X-TIMESTAMP-MAP=";
    let mapped = bytes.windows(map.len()).any(|window| window == map);
    ledger.advise("H63", mapped, || ("no X-TIMESTAMP-MAP".to_owned(), place()));
}

/// The streams of two segments that are the same.
fn pairs<'a>(last: &'a Clip, clip: &'a Clip) -> impl Iterator<Item = (&'a Stream, &'a Stream)> {
    clip.streams.iter().filter_map(|now| {
        let before = last.streams.iter().find(|before| before.id == now.id);
        before.filter(|before| before.scale == now.scale).map(|before| (before, now))
    })
}

/// Ticks from where a stream ended to where it goes on.
fn gap(before: &Stream, now: &Stream, wrap: Option<i64>) -> i64 {
    let gap = now.start.saturating_sub(before.end);
    wrap.map_or(gap, |wrap| (gap + wrap / 2).rem_euclid(wrap) - wrap / 2)
}

/// The times began again at nought, or did within the segment before.
fn wrapped(before: &Stream, now: &Stream) -> bool {
    let half = super::ts::WRAP / 2;
    now.start.saturating_add(half) < before.end
}
