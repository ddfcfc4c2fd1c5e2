use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::{Histogram, Spread};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        struct Numbers { $($name: AtomicU64),* }

        /// What a crowd had seen at a moment. The difference of two is what came between them.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
            /// How long a playlist took that the server was not asked to hold.
            pub playlists: Spread,
            /// How long a part or segment took, from asking to its last byte.
            pub media: Spread,
            /// From the first frame of a part or segment, by the playlist's dates, to the
            /// playlist that lists it. Only as right as both clocks.
            pub listed: Spread,
            /// From the same to its last byte.
            pub fetched: Spread,
        }

        impl Tally {
            /// Everything counted so far.
            pub fn counts(&self) -> Counts {
                Counts {
                    $($name: self.numbers.$name.load(Ordering::Relaxed),)*
                    playlists: self.playlists.spread(),
                    media: self.media.spread(),
                    listed: self.listed.spread(),
                    fetched: self.fetched.spread(),
                }
            }
        }

        /// What two crowds had seen.
        impl Add for Counts {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self {
                    $($name: self.$name + other.$name,)*
                    playlists: self.playlists + other.playlists,
                    media: self.media + other.media,
                    listed: self.listed + other.listed,
                    fetched: self.fetched + other.fetched,
                }
            }
        }

        impl Sub for Counts {
            type Output = Self;
            fn sub(self, earlier: Self) -> Self {
                Self {
                    $($name: self.$name.saturating_sub(earlier.$name),)*
                    playlists: self.playlists - earlier.playlists,
                    media: self.media - earlier.media,
                    listed: self.listed - earlier.listed,
                    fetched: self.fetched - earlier.fetched,
                }
            }
        }
    };
}

counters! {
    /// Players that have had a playlist.
    watching,
    /// Answers, whatever they said.
    requests,
    /// Bytes of bodies.
    bytes,
    /// Answers other than 200, connections that broke, and playlists that are none.
    failures,
    /// Times a player's buffer ran dry.
    stalls,
    /// Answers of a blocking reload that do not hold what was asked for.
    stale,
    /// Looks at the clock of the crowd's own process ...
    ticks,
    /// ... and those that came late by [`Tally::LATE`] or more.
    late_ticks,
}

/// What the players of one thread see, while others look.
#[derive(Debug)]
pub struct Tally {
    numbers: Numbers,
    playlists: Histogram,
    media: Histogram,
    listed: Histogram,
    fetched: Histogram,
}

impl Default for Tally {
    fn default() -> Self {
        let [playlists, media, listed, fetched] = [(); 4].map(|()| Histogram::new());
        Self { numbers: Numbers::default(), playlists, media, listed, fetched }
    }
}

impl Tally {
    /// A process that comes this late to its own business measures itself.
    pub const LATE: Duration = Duration::from_millis(20);

    pub(super) fn player_watches(&self) {
        add(&self.numbers.watching, 1);
    }

    pub(super) fn answer(&self, bytes: usize) {
        add(&self.numbers.requests, 1);
        add(&self.numbers.bytes, u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(super) fn failure(&self) {
        add(&self.numbers.failures, 1);
    }

    pub(super) fn stall(&self) {
        add(&self.numbers.stalls, 1);
    }

    pub(super) fn stale(&self) {
        add(&self.numbers.stale, 1);
    }

    pub(super) fn tick(&self, late: Duration) {
        add(&self.numbers.ticks, 1);
        add(&self.numbers.late_ticks, u64::from(late >= Self::LATE));
    }

    pub(super) fn playlist(&self, took: Duration) {
        self.playlists.record(took);
    }

    pub(super) fn media(&self, took: Duration) {
        self.media.record(took);
    }

    pub(super) fn listed(&self, age: Duration) {
        self.listed.record(age);
    }

    pub(super) fn fetched(&self, age: Duration) {
        self.fetched.record(age);
    }
}

fn add(number: &AtomicU64, more: u64) {
    number.fetch_add(more, Ordering::Relaxed);
}

impl Counts {
    /// Of 100 looks at its own clock, how many a crowd took too late.
    pub fn late_percent(&self) -> u64 {
        (100 * self.late_ticks).checked_div(self.ticks).unwrap_or(0)
    }

    /// Whether the crowd's own process was too busy for its lengths of time to mean anything.
    pub fn is_too_busy(&self) -> bool {
        self.late_percent() >= 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_came_between() {
        let tally = Tally::default();
        tally.answer(10);
        tally.playlist(Duration::from_millis(1));
        let before = tally.counts();
        tally.answer(5);
        tally.failure();
        let between = tally.counts() - before;
        assert_eq!((between.requests, between.bytes, between.failures), (1, 5, 1));
        assert_eq!(between.playlists.count(), 0);
    }

    #[test]
    fn what_two_saw_is_added_up() {
        let (one, other) = (Tally::default(), Tally::default());
        one.answer(10);
        one.playlist(Duration::from_micros(7));
        other.answer(5);
        other.playlist(Duration::from_micros(9));
        let both = one.counts() + other.counts();
        assert_eq!((both.requests, both.bytes, both.playlists.count()), (2, 15, 2));
        assert_eq!(both.playlists.quantile(1_000), Some(Duration::from_micros(9)));
    }

    #[test]
    fn a_process_that_is_late_for_itself_says_so() {
        let tally = Tally::default();
        (0..95).for_each(|_| tally.tick(Duration::from_millis(19)));
        assert!(!tally.counts().is_too_busy());
        (0..5).for_each(|_| tally.tick(Tally::LATE));
        assert!(tally.counts().is_too_busy());
        assert_eq!(tally.counts().late_percent(), 5);
    }
}
