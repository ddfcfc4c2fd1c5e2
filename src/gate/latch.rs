use std::fmt;
use std::time::Duration;

use super::Turn;
use crate::base::WallTime;

/// How far the clock may step back before it is no longer believed.
const STEP_BACK_MAX: Duration = Duration::from_secs(5 * 60);

/// When this program was built, as the build script stamped it. A clock that reads less is wrong.
pub fn build_time() -> Option<WallTime> {
    let seconds: i64 = option_env!("GHOSTLIGHT_BUILD_UNIX")?.parse().ok()?;
    seconds.checked_mul(1_000).map(WallTime::from_unix_millis)
}

/// The memory that keeps a closed gate closed, whatever the clock, the configuration or a restart
/// say later. A plain value: the shell stores it, synced, before the first refusal goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latch {
    /// The furthest turn ever passed, from the closing of new broadcasts on. Earlier turns are
    /// not remembered: an announcement may still be withdrawn.
    pub reached: Option<Reached>,
    /// The latest wall time ever seen; time does not run back behind it.
    pub high_water: Option<WallTime>,
}

/// One passed turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    pub turn: Turn,
    /// The instant that was declared for it then.
    pub at: WallTime,
}

impl Latch {
    /// Whether `turn` was passed once and so stays passed.
    pub fn has_passed(&self, turn: Turn) -> bool {
        self.reached.is_some_and(|reached| turn <= reached.turn)
    }

    /// The time that decides: never earlier than what was seen before.
    pub(super) fn no_earlier(&self, now: WallTime) -> WallTime {
        self.high_water.map_or(now, |mark| mark.max(now))
    }

    /// This latch after `reached` was passed at `now`; it only ever moves forward.
    pub(super) fn advanced(self, reached: Option<Reached>, now: WallTime) -> Self {
        let further = match (self.reached, reached) {
            (Some(old), Some(new)) if old.turn < new.turn => Some(new),
            (Some(old), _) => Some(old),
            (None, new) => new,
        };
        Self { reached: further, high_water: Some(self.no_earlier(now)) }
    }

    /// What makes `now` unbelievable, if anything does.
    pub(super) fn doubt(&self, built: Option<WallTime>, now: WallTime) -> Option<ClockFault> {
        let before = |not_before: Option<WallTime>, reason| {
            let not_before = not_before.filter(|&bound| now < bound)?;
            Some(ClockFault { now, not_before, reason })
        };
        let tolerated = self.high_water.map(|mark| mark - STEP_BACK_MAX);
        before(built, ClockFaultReason::BeforeBuild)
            .or_else(|| before(tolerated, ClockFaultReason::BehindItself))
    }
}

/// A clock that reads less than it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockFault {
    pub now: WallTime,
    /// The earliest time that would be believed.
    pub not_before: WallTime,
    pub reason: ClockFaultReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockFaultReason {
    /// The program is newer than now.
    BeforeBuild,
    /// This server has already seen a later time.
    BehindItself,
}

impl fmt::Display for ClockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, not_before, reason } = self;
        match reason {
            ClockFaultReason::BeforeBuild => {
                write!(f, "the clock says {now}, before this program was built ({not_before})")
            }
            ClockFaultReason::BehindItself => {
                write!(f, "the clock says {now}, but it was {not_before} here already")
            }
        }
    }
}
