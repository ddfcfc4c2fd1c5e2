use std::time::Duration;

use tokio::time::Instant;

/// A tag this far from its turn, early or late, is a jump in the file or a machine that slept:
/// pacing starts anew there instead of waiting, or of sending everything at once.
const JUMP: Duration = Duration::from_secs(5);

/// When each piece of media is due.
#[derive(Debug)]
pub(crate) struct Pace {
    speed: f64,
    /// A moment, and the media time that was due then, in milliseconds.
    anchor: Option<(Instant, u64)>,
}

impl Pace {
    /// `speed` is above zero; 2 sends twice as fast as real time.
    pub(crate) fn new(speed: f64) -> Self {
        Self { speed, anchor: None }
    }

    /// When media of time `media` is to be sent, seen from `now`; it may have passed already.
    pub(super) fn due(&mut self, media: u64, now: Instant) -> Instant {
        let (start, first) = *self.anchor.get_or_insert((now, media));
        let since = Duration::from_millis(media.saturating_sub(first)).div_f64(self.speed);
        let due = start + since;
        let apart = due.saturating_duration_since(now).max(now.saturating_duration_since(due));
        if media < first || apart > JUMP {
            self.anchor = Some((now, media));
            return now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(speed: f64, steps: &[(u64, u64, u64)]) {
        let start = Instant::now();
        let mut pace = Pace::new(speed);
        for &(now, media, expected) in steps {
            let due = pace.due(media, start + Duration::from_millis(now));
            assert_eq!(due, start + Duration::from_millis(expected), "{media} at {now}");
        }
    }

    // now, media, due
    #[test]
    fn media_is_due_in_its_own_time() {
        check(1.0, &[(0, 500, 0), (0, 540, 40), (40, 580, 80), (1_000, 620, 120)]);
        check(2.0, &[(0, 0, 0), (0, 1_000, 500)]);
        check(0.5, &[(0, 0, 0), (0, 1_000, 2_000)]);
    }

    #[test]
    fn a_jump_starts_anew() {
        check(1.0, &[(0, 0, 0), (0, 3_600_000, 0), (0, 3_600_040, 40)]);
        check(1.0, &[(0, 1_000, 0), (10, 0, 10), (10, 40, 50)]);
        check(1.0, &[(0, 0, 0), (60_000, 40, 60_000), (60_000, 80, 60_040)]);
    }
}
