use std::time::Duration;

use super::{MonoTime, Pressure};

/// How late a process comes to what is due, because others have its processor or because it has
/// more to do than its processor can. Media that waits in a socket is late by as much, so newcomers
/// are turned away before publishers feel it (W9).
#[derive(Debug)]
pub struct Lag {
    max: Duration,
    mean: Duration,
    pressure: Pressure,
    /// When there last was reason for as much pressure.
    reached: MonoTime,
}

/// From which share of the limit on, in percent; greatest first.
const LADDER: [(u32, Pressure); 3] = [
    (100, Pressure::NoNewBroadcasts),
    (50, Pressure::NoNewViewers),
    (25, Pressure::PlainPlaylists),
];

/// Looks that the mean goes over.
const MEAN_OVER: u32 = 16;

/// What a single look counts at most, as a multiple of the limit: a process that was stopped as a
/// whole is late once, and takes no step for that.
const LOOK_MAX: u32 = 2;

/// A step is left this long after there was reason for it, since it may well be what took the
/// reason away.
const KEPT: Duration = Duration::from_secs(5);

impl Lag {
    pub fn new(max: Duration, now: MonoTime) -> Self {
        Self { max, mean: Duration::ZERO, pressure: Pressure::None, reached: now }
    }

    /// Something that was due came `late`.
    pub fn note(&mut self, late: Duration, now: MonoTime) -> Pressure {
        let late = late.min(self.max * LOOK_MAX);
        self.mean = (self.mean * (MEAN_OVER - 1) + late) / MEAN_OVER;
        let pressure = self.reason();
        if self.pressure <= pressure || KEPT <= now.since(self.reached) {
            self.pressure = pressure;
            self.reached = now;
        }
        self.pressure
    }

    /// Averaged over the last looks.
    pub fn mean(&self) -> Duration {
        self.mean
    }

    fn reason(&self) -> Pressure {
        let reached = |share: u32| self.max * share <= self.mean * 100;
        LADDER.iter().find(|(share, _)| reached(*share)).map_or(Pressure::None, |(_, step)| *step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_millis(400);
    const LOOK: Duration = Duration::from_millis(70);

    struct Scene {
        lag: Lag,
        now: MonoTime,
    }

    impl Scene {
        fn new() -> Self {
            Self { lag: Lag::new(MAX, MonoTime::ZERO), now: MonoTime::ZERO }
        }

        /// Looks so often, always so late.
        fn look(&mut self, times: u32, late: Duration) -> Pressure {
            for _ in 0..times {
                self.now = self.now + LOOK + late;
                self.lag.note(late, self.now);
            }
            self.lag.pressure
        }
    }

    /// W9: newcomers are refused step by step as the process comes later to what is due.
    #[test]
    fn the_ladder_of_lag_has_three_steps() {
        for (millis, expected) in [
            (0, Pressure::None),
            (99, Pressure::None),
            (101, Pressure::PlainPlaylists),
            (199, Pressure::PlainPlaylists),
            (201, Pressure::NoNewViewers),
            (399, Pressure::NoNewViewers),
            (401, Pressure::NoNewBroadcasts),
            (3_600_000, Pressure::NoNewBroadcasts),
        ] {
            let mut scene = Scene::new();
            let reached = scene.look(200, Duration::from_millis(millis));
            assert_eq!(reached, expected, "{millis} ms");
        }
    }

    /// F5: a process that was stopped for a day turns nobody away afterwards.
    #[test]
    fn one_long_stop_is_no_lag() {
        let mut scene = Scene::new();
        scene.look(10, Duration::ZERO);
        let day = Duration::from_secs(86_400);
        scene.now = scene.now + day;
        assert_eq!(scene.lag.note(day, scene.now), Pressure::None);
    }

    /// Refusing newcomers relieves the process: the step is kept for a while, so that the crowd
    /// does not come and go with it.
    #[test]
    fn a_step_outlives_its_reason() {
        let mut scene = Scene::new();
        assert_eq!(scene.look(100, Duration::from_millis(300)), Pressure::NoNewViewers);
        assert_eq!(scene.look(70, Duration::ZERO), Pressure::NoNewViewers);
        assert_eq!(scene.look(20, Duration::ZERO), Pressure::None);
    }
}
