//! Whether a playlist grows in time. Pure: what was seen when, in; verdicts out.

use std::time::Duration;

use super::scale::Scale;

/// What the network, the caches on the way and this machine may add to any delay.
pub(super) const SLACK: Duration = Duration::from_millis(500);

/// What the encoder and its way to the server may add as well, from one piece to the next: its
/// own jitter is no fault of the server.
const PACE_SLACK: Duration = Duration::from_secs(1);

/// One version of a playlist as it was seen. All times count from the start of the watch, without
/// what this program itself stood still: nobody knows what came meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// When it was asked for, and when it had come.
    pub(super) asked: Duration,
    pub(super) came: Duration,
    /// The server held the request until this version.
    pub(super) held: bool,
    /// The first segment that is not whole yet, and how many parts of it are listed.
    pub(super) edge: Edge,
    pub(super) target: Duration,
    /// The part target where parts are listed.
    pub(super) part_target: Option<Duration>,
    pub(super) ended: bool,
}

/// How far a playlist reaches: whole segments before this media sequence number, and parts of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) msn: u64,
    pub(super) parts: usize,
}

/// The pace of one playlist.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Sight>,
    /// The first sight of the newest whole segment, and of the newest part.
    segment: Option<Sight>,
    part: Option<Sight>,
}

impl Pace {
    /// Judges that the playlist has become this.
    pub(super) fn see(&mut self, scale: &mut Scale<'_>, now: Sight) {
        let last = self.last.replace(now);
        let Some(last) = last else {
            // When what the first version lists was new is not known.
            return;
        };
        if last.edge.msn < now.edge.msn {
            if let Some(before) = self.segment {
                segment(scale, before, last, now);
            }
            self.segment = Some(now);
        }
        if last.edge < now.edge {
            if let (Some(before), Some(target)) = (self.part, now.part_target) {
                part(scale, before, last, now, target);
            }
            self.part = Some(now);
        }
    }

    /// The watch is over: what is late by now is late.
    pub(super) fn end(&mut self, scale: &mut Scale<'_>) {
        let Some(last) = self.last.filter(|last| !last.ended) else { return };
        if let Some(before) = self.segment.filter(|before| before.edge.msn == last.edge.msn) {
            let gap = last.asked.saturating_sub(before.came);
            late(scale, "H25", "segment", gap, last.target * 3 / 2);
        }
    }
}

/// H25: a new segment at most one and a half targets after the last (6.2.1).
fn segment(scale: &mut Scale<'_>, before: Sight, last: Sight, now: Sight) {
    late(scale, "H25", "segment", gap(before, last, now), now.target * 3 / 2);
}

/// H26: a new part at most one part target after the last (6.2.1).
fn part(scale: &mut Scale<'_>, before: Sight, last: Sight, now: Sight, target: Duration) {
    late(scale, "H26", "part", gap(before, last, now), target);
}

/// How long after what came with `before` that came which is new in `now`, at least. A held
/// request is answered when it comes; else all that is known is that it was not there when the
/// version before was asked for.
fn gap(before: Sight, last: Sight, now: Sight) -> Duration {
    let earliest = if now.held { now.came } else { last.asked };
    earliest.saturating_sub(before.came)
}

fn late(scale: &mut Scale<'_>, rule: &'static str, what: &str, gap: Duration, max: Duration) {
    scale.weigh(rule, gap <= max + PACE_SLACK, || {
        format!(
            "a new {what} {} ms after the last; {} ms are promised",
            gap.as_millis(),
            max.as_millis()
        )
    });
}
