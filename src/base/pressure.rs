use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What is given up while memory or the processor runs out: for viewers who come first, for
/// broadcasts that would begin last, and never for those who are there already (W9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pressure {
    #[default]
    None,
    /// New viewers get playlists without parts, for which nothing is held.
    PlainPlaylists,
    NoNewViewers,
    NoNewBroadcasts,
}

/// What a server can have too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scarce {
    /// Of the memory for media, what cannot shrink any more counts: the rings and the shortest
    /// playlists.
    Memory,
    /// See [`super::Lag`].
    Processor,
}

/// From which share of the memory on, in percent; greatest first.
const LADDER: [(usize, Pressure); 3] =
    [(95, Pressure::NoNewBroadcasts), (90, Pressure::NoNewViewers), (80, Pressure::PlainPlaylists)];

/// A step is left only this much below where it begins, in percent: what is taken rises and falls
/// by a GOP of every broadcast all the time.
const EASE: usize = 4;

impl Pressure {
    /// Every step, in order.
    pub const ALL: [Self; 4] =
        [Self::None, Self::PlainPlaylists, Self::NoNewViewers, Self::NoNewBroadcasts];

    /// The step that follows this one with `taken` of at most `max` bytes.
    pub fn next(self, taken: usize, max: usize) -> Self {
        let eased = taken.saturating_add(max / 100 * EASE);
        Self::of(taken, max).max(self.min(Self::of(eased, max)))
    }

    fn of(taken: usize, max: usize) -> Self {
        let reached = |share: usize| taken.saturating_mul(100) >= max.saturating_mul(share);
        LADDER.iter().find(|(share, _)| reached(*share)).map_or(Self::None, |(_, step)| *step)
    }

    /// The log field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::PlainPlaylists => "plain_playlists",
            Self::NoNewViewers => "no_new_viewers",
            Self::NoNewBroadcasts => "no_new_broadcasts",
        }
    }

    /// Its place in [`Pressure::ALL`].
    pub fn index(self) -> u8 {
        match self {
            Self::None => 0,
            Self::PlainPlaylists => 1,
            Self::NoNewViewers => 2,
            Self::NoNewBroadcasts => 3,
        }
    }
}

/// The pressure of this node: one writes for each scarce thing, all others read. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct PressureGauge(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    memory: AtomicU8,
    processor: AtomicU8,
}

impl Steps {
    fn of(&self, scarce: Scarce) -> &AtomicU8 {
        match scarce {
            Scarce::Memory => &self.memory,
            Scarce::Processor => &self.processor,
        }
    }
}

impl PressureGauge {
    /// The greater of the two.
    pub fn get(&self) -> Pressure {
        self.of(Scarce::Memory).max(self.of(Scarce::Processor))
    }

    pub fn of(&self, scarce: Scarce) -> Pressure {
        let index = usize::from(self.0.of(scarce).load(Ordering::Relaxed));
        Pressure::ALL.get(index).copied().unwrap_or_default()
    }

    /// Answers what it was before.
    pub fn replace(&self, scarce: Scarce, pressure: Pressure) -> Pressure {
        let before = self.of(scarce);
        self.0.of(scarce).store(pressure.index(), Ordering::Relaxed);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W9: newcomers are refused step by step, at the very byte.
    #[test]
    fn the_ladder_has_three_steps() {
        let steps = [
            (0, Pressure::None),
            (799, Pressure::None),
            (800, Pressure::PlainPlaylists),
            (899, Pressure::PlainPlaylists),
            (900, Pressure::NoNewViewers),
            (949, Pressure::NoNewViewers),
            (950, Pressure::NoNewBroadcasts),
            (usize::MAX, Pressure::NoNewBroadcasts),
        ];
        for (taken, expected) in steps {
            assert_eq!(Pressure::None.next(taken, 1_000), expected, "{taken}");
        }
    }

    #[test]
    fn a_step_is_left_a_little_below_where_it_begins() {
        let mut pressure = Pressure::None;
        for (taken, expected) in [
            (899, Pressure::PlainPlaylists),
            (900, Pressure::NoNewViewers),
            (860, Pressure::NoNewViewers),
            (859, Pressure::PlainPlaylists),
            (899, Pressure::PlainPlaylists),
            (960, Pressure::NoNewBroadcasts),
            (910, Pressure::NoNewBroadcasts),
            (100, Pressure::None),
        ] {
            pressure = pressure.next(taken, 1_000);
            assert_eq!(pressure, expected, "{taken}");
        }
    }

    #[test]
    fn a_gauge_shows_what_was_written() {
        let gauge = PressureGauge::default();
        let mut before = Pressure::None;
        for pressure in Pressure::ALL {
            assert_eq!(gauge.clone().replace(Scarce::Memory, pressure), before);
            assert_eq!((gauge.of(Scarce::Memory), gauge.get()), (pressure, pressure));
            before = pressure;
        }
    }

    /// W9: what memory allows, the processor may still refuse, and the other way round.
    #[test]
    fn the_greater_pressure_counts() {
        for (memory, processor, expected) in [
            (Pressure::PlainPlaylists, Pressure::NoNewViewers, Pressure::NoNewViewers),
            (Pressure::NoNewBroadcasts, Pressure::PlainPlaylists, Pressure::NoNewBroadcasts),
        ] {
            let gauge = PressureGauge::default();
            gauge.replace(Scarce::Memory, memory);
            gauge.replace(Scarce::Processor, processor);
            assert_eq!(gauge.get(), expected);
        }
    }
}
