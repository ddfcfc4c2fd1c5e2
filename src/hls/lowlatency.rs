use std::fmt::{self, Write};
use std::time::Duration;

use super::names::MediaName;
use super::segment::{Part, SegmentStart, Targets};
use super::window::{Listed, Window};
use crate::base::{MediaTime, WallTime};

/// EXT-X-MAP in a playlist of fragmented MP4 (draft-pantos-hls-rfc8216bis section 8).
const VERSION_FULL: u32 = 6;
/// EXT-X-SKIP without removed date ranges.
const VERSION_DELTA: u32 = 9;
/// A playlist that may grow longer than this offers delta updates (authoring specification 14.4).
const DELTA_FROM: Duration = Duration::from_secs(120);
/// How many target durations a delta update leaves listed, and how many a player without low
/// latency stays behind.
const SKIP_TARGETS: u32 = 6;
const HOLD_BACK_TARGETS: u32 = 3;
const PART_HOLD_BACK_TARGETS: u32 = 3;

/// The end of the service as a date range of the playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    pub at: WallTime,
}

/// Whether a playlist of this length offers delta updates. It depends on the configured length
/// alone, because EXT-X-SERVER-CONTROL must not change.
pub(super) fn offers_delta(span: Duration) -> bool {
    span > DELTA_FROM
}

/// How far from the end a segment must lie to be skipped by a delta update.
fn skip_boundary(targets: &Targets) -> Duration {
    targets.segment * SKIP_TARGETS
}

/// The whole media playlist; `None` until the targets are known.
pub fn render(window: &Window, closing: Option<Closing>) -> Option<String> {
    let targets = window.targets()?;
    let mut text = String::with_capacity(window.text_bytes() + 1_024);
    write_head(&mut text, VERSION_FULL, window, targets, closing);
    write_segments(&mut text, window, 0);
    write_tail(&mut text, window);
    Some(text)
}

/// The same version as a delta update (6.2.5.1); `None` where nothing may be skipped.
pub fn render_delta(window: &Window, closing: Option<Closing>) -> Option<String> {
    let targets = window.targets()?;
    if window.is_ended() || !offers_delta(window.span()) {
        return None;
    }
    let skipped = window.listed_before(MediaTime::from(skip_boundary(targets)));
    if skipped == 0 {
        return None;
    }
    let mut text = String::with_capacity(8_192);
    write_head(&mut text, VERSION_DELTA, window, targets, closing);
    put(&mut text, format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n"));
    write_segments(&mut text, window, skipped);
    write_tail(&mut text, window);
    Some(text)
}

/// What a playlist says to players that neither wait nor fetch parts: whole segments only, and
/// nothing of the one that is being written.
pub fn without_parts(playlist: &str) -> String {
    const LOW_LATENCY: [&str; 4] =
        ["#EXT-X-SERVER-CONTROL:", "#EXT-X-PART-INF:", "#EXT-X-PART:", "#EXT-X-PRELOAD-HINT:"];
    let mut text = String::with_capacity(playlist.len());
    let mut whole = 0;
    for line in playlist.lines() {
        if LOW_LATENCY.iter().any(|tag| line.starts_with(tag)) {
            continue;
        }
        put(&mut text, format_args!("{line}\n"));
        if !line.starts_with('#') {
            whole = text.len();
        }
    }
    if !text.ends_with("#EXT-X-ENDLIST\n") && whole > 0 {
        text.truncate(whole);
    }
    text
}

fn write_head(
    text: &mut String,
    version: u32,
    window: &Window,
    targets: &Targets,
    closing: Option<Closing>,
) {
    let target = whole_secs(targets.segment);
    put(text, format_args!("#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n"));
    text.push_str("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES");
    if offers_delta(window.span()) {
        put(text, format_args!(",CAN-SKIP-UNTIL={}", Secs::ceil(skip_boundary(targets))));
    }
    let hold_back = Secs::ceil(targets.segment * HOLD_BACK_TARGETS);
    let part_target = Secs::ceil(targets.part);
    let part_hold_back = Secs(part_target.0.saturating_mul(i64::from(PART_HOLD_BACK_TARGETS)));
    put(text, format_args!(",HOLD-BACK={hold_back},PART-HOLD-BACK={part_hold_back}\n"));
    put(text, format_args!("#EXT-X-PART-INF:PART-TARGET={part_target}\n"));
    put(text, format_args!("#EXT-X-MEDIA-SEQUENCE:{}\n", window.media_sequence()));
    let discontinuities = window.discontinuity_sequence();
    put(text, format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuities}\n"));
    if let Some(Closing { at }) = closing {
        let id = at.unix_millis();
        put(
            text,
            format_args!(
                "#EXT-X-DATERANGE:ID=\"closing-{id}\",CLASS=\"ghostlight.closing\",\
                 START-DATE=\"{at}\"\n"
            ),
        );
    }
}

/// All listed segments but the first `skipped`; the init segment in force is restated for the
/// first segment of the playlist, not for the first one after a skip: the player has it.
fn write_segments(text: &mut String, window: &Window, skipped: usize) {
    let mut init = skipped.checked_sub(1).and_then(|last| window.listed(last)).map(|s| s.init);
    for segment in window.listed_from(skipped) {
        write_segment(text, &segment, init);
        init = Some(segment.init);
    }
}

fn write_segment(text: &mut String, segment: &Listed<'_>, init_in_force: Option<u32>) {
    if segment.discontinuity {
        text.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if init_in_force != Some(segment.init) {
        put(text, format_args!("#EXT-X-MAP:URI=\"{}\"\n", MediaName::Init(segment.init)));
    }
    text.push_str(&segment.text.head);
    text.push_str(&segment.text.parts);
    text.push_str(&segment.text.tail);
}

fn write_tail(text: &mut String, window: &Window) {
    if window.is_ended() {
        text.push_str("#EXT-X-ENDLIST\n");
    } else {
        if let Some(init) = coming_init(window) {
            let next = MediaName::Init(init);
            put(text, format_args!("#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"{next}\"\n"));
        }
        let next = MediaName::Part(window.edge().next_part);
        put(text, format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{next}\"\n"));
    }
}

/// The init segment that the next part needs, where nothing listed needs it yet.
fn coming_init(window: &Window) -> Option<u32> {
    let newest = window.init()?.version;
    let listed = window.listed_from(0).last()?.init;
    (listed < newest).then_some(newest)
}

/// The lines of one segment, written when it happens and copied into every version after that.
#[derive(Debug, Default)]
pub(super) struct SegmentText {
    /// The date, and everything else once the parts are no longer listed.
    head: String,
    parts: String,
    /// Length and address, from the moment the segment is whole.
    tail: String,
}

impl SegmentText {
    pub(super) fn open(start: &SegmentStart) -> Self {
        let head = format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", start.program_date_time);
        Self { head, ..Self::default() }
    }

    pub(super) fn push_part(&mut self, part: &Part) {
        let name = MediaName::Part(part.number);
        let length = Secs(part.duration.as_micros());
        let text = &mut self.parts;
        put(text, format_args!("#EXT-X-PART:DURATION={length},URI=\"{name}\""));
        text.push_str(match (part.gap, part.independent) {
            (true, _) => ",GAP=YES\n",
            (false, true) => ",INDEPENDENT=YES\n",
            (false, false) => "\n",
        });
    }

    pub(super) fn close(&mut self, start: &SegmentStart, duration: MediaTime) {
        let name = MediaName::Segment(start.msn);
        let length = Secs(duration.as_micros());
        let gap = if start.gap { "#EXT-X-GAP\n" } else { "" };
        self.tail = format!("{gap}#EXTINF:{length},\n{name}\n");
    }

    /// Stops listing the parts of a whole segment.
    pub(super) fn forget_parts(&mut self) {
        self.parts = String::new();
        self.head.push_str(&self.tail);
        self.tail = String::new();
        self.head.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.head.len() + self.parts.len() + self.tail.len()
    }
}

/// Seconds with six decimals, printed from whole microseconds so that nothing is rounded.
#[derive(Clone, Copy)]
struct Secs(i64);

impl Secs {
    fn ceil(length: Duration) -> Self {
        let micros = length.as_nanos().div_ceil(1_000);
        Self(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.max(0);
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

fn whole_secs(length: Duration) -> u64 {
    length.as_secs() + u64::from(length.subsec_nanos() > 0)
}

fn put(text: &mut String, line: fmt::Arguments<'_>) {
    text.write_fmt(line).expect("writing to a string does not fail");
}

#[cfg(test)]
#[path = "lowlatency_tests.rs"]
mod tests;
