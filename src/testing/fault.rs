//! What a bad line does to the bytes of one direction, as a plain value: bytes and times in,
//! bytes and times out. [`proxy`](super::proxy) moves real bytes by it.

use std::time::Duration;

use super::dice::Dice;

/// A bad line. The default is a perfect one.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// How long every byte is under way.
    pub delay: Duration,
    /// Up to so much longer, anew for each piece. Bytes keep their order, as TCP keeps it.
    pub jitter: Duration,
    /// So many of 10,000 pieces are lost on the first try. What follows waits for the second.
    pub lost_of_10_000: u64,
    /// When a lost piece is sent again.
    pub resend_after: Duration,
    /// How fast the line takes bytes.
    pub bytes_per_second_max: Option<u64>,
    /// The longest piece that travels as one.
    pub piece_bytes_max: usize,
    /// How the line ends, and after how many bytes.
    pub end: Option<(u64, End)>,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            lost_of_10_000: 0,
            // Linux waits no less before it sends a segment again.
            resend_after: Duration::from_millis(200),
            bytes_per_second_max: None,
            // A TCP segment in an Ethernet frame.
            piece_bytes_max: 1_448,
            end: None,
        }
    }
}

/// How one direction of a line ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It says goodbye; the other direction goes on.
    Fin,
    /// The whole connection is torn.
    Reset,
    /// Nothing moves any more, and nobody is told.
    HalfOpen,
}

/// What becomes of the bytes that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The first `bytes` of them arrive at `at`.
    Pass { bytes: usize, at: Duration },
    /// There is nothing to decide about.
    Wait,
    /// Nothing passes any more: what is under way arrives, then this.
    End(End),
}

/// One direction of one connection: decides for every byte when it arrives. The same fault and
/// seed decide the same.
#[derive(Debug)]
pub struct Plan {
    fault: Fault,
    dice: Dice,
    passed_bytes: u64,
    /// When the line is ready for the next byte.
    free_at: Duration,
    /// When the last byte so far arrives: none behind it comes sooner.
    last_at: Duration,
}

impl Plan {
    pub fn new(fault: Fault, seed: u64) -> Self {
        let (free_at, last_at) = (Duration::ZERO, Duration::ZERO);
        Self { fault, dice: Dice::new(seed), passed_bytes: 0, free_at, last_at }
    }

    /// What becomes of `waiting` bytes that are there at `now`. Asked again until it says
    /// [`Action::Wait`], and no more after [`Action::End`].
    pub fn next(&mut self, waiting: usize, now: Duration) -> Action {
        let left = match self.fault.end {
            Some((after, end)) if after <= self.passed_bytes => return Action::End(end),
            Some((after, _)) => usize::try_from(after - self.passed_bytes).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let bytes = waiting.min(self.fault.piece_bytes_max.max(1)).min(left);
        if bytes == 0 {
            return Action::Wait;
        }
        let count = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.passed_bytes += count;
        self.free_at = self.free_at.max(now) + self.sending_takes(count);
        let arrives = self.free_at + self.fault.delay + self.extra();
        self.last_at = self.last_at.max(arrives);
        Action::Pass { bytes, at: self.last_at }
    }

    fn sending_takes(&self, bytes: u64) -> Duration {
        let Some(rate) = self.fault.bytes_per_second_max else { return Duration::ZERO };
        Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate.max(1))
    }

    /// Jitter and loss of one piece.
    fn extra(&mut self) -> Duration {
        let jitter = u64::try_from(self.fault.jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = Duration::from_micros(self.dice.below(jitter.saturating_add(1)));
        let lost = self.dice.below(10_000) < self.fault.lost_of_10_000;
        if lost { jitter + self.fault.resend_after } else { jitter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// All decisions about `bytes` that wait from the start.
    fn decide(fault: Fault, seed: u64, mut bytes: usize) -> (Vec<(usize, Duration)>, Action) {
        let (mut plan, mut passed) = (Plan::new(fault, seed), Vec::new());
        loop {
            match plan.next(bytes, Duration::ZERO) {
                Action::Pass { bytes: part, at } => {
                    passed.push((part, at));
                    bytes -= part;
                }
                other @ (Action::Wait | Action::End(_)) => return (passed, other),
            }
        }
    }

    #[test]
    fn a_perfect_line_passes_at_once() {
        let (passed, last) = decide(Fault::default(), 1, 3_000);
        assert_eq!(
            passed,
            [(1_448, Duration::ZERO), (1_448, Duration::ZERO), (104, Duration::ZERO)]
        );
        assert_eq!(last, Action::Wait);
    }

    #[test]
    fn a_rate_spreads_bytes_and_a_delay_moves_them() {
        let fault = Fault {
            delay: 50 * MS,
            bytes_per_second_max: Some(1_000),
            piece_bytes_max: 100,
            ..Fault::default()
        };
        let (passed, _) = decide(fault, 1, 300);
        assert_eq!(passed, [(100, 150 * MS), (100, 250 * MS), (100, 350 * MS)]);
        // An idle line does not save up what it did not carry.
        let mut plan = Plan::new(fault, 1);
        plan.next(100, Duration::ZERO);
        let late = plan.next(100, 1_000 * MS);
        assert_eq!(late, Action::Pass { bytes: 100, at: 1_150 * MS });
    }

    #[test]
    fn jitter_is_bounded_differs_and_keeps_the_order() {
        let fault = Fault { delay: 10 * MS, jitter: 40 * MS, ..Fault::default() };
        let (passed, _) = decide(fault, 7, 1_448 * 200);
        let times: Vec<_> = passed.iter().map(|&(_, at)| at).collect();
        assert!(times.is_sorted());
        assert!(10 * MS <= times[0] && times[199] <= 50 * MS && times[0] < times[199], "{times:?}");
    }

    #[test]
    fn a_lost_piece_holds_up_all_behind_it() {
        let fault = Fault { lost_of_10_000: 500, ..Fault::default() };
        let (passed, _) = decide(fault, 3, 1_448 * 1_000);
        let first = passed.iter().position(|&(_, at)| at == 200 * MS).expect("one is lost");
        assert!(first < 200, "one of twenty is lost, and the first was {first}");
        assert!(passed[..first].iter().all(|&(_, at)| at.is_zero()));
        assert!(passed[first..].iter().all(|&(_, at)| at == 200 * MS));

        // A second loss costs again when its piece was sent later.
        let mut plan = Plan::new(Fault { lost_of_10_000: 10_000, ..fault }, 3);
        for at in [0, 150, 300] {
            let arrives = Action::Pass { bytes: 1, at: (at + 200) * MS };
            assert_eq!(plan.next(1, at * MS), arrives);
        }
    }

    #[test]
    fn the_end_comes_after_exactly_so_many_bytes() {
        for end in [End::Fin, End::Reset, End::HalfOpen] {
            let fault = Fault { end: Some((2_000, end)), ..Fault::default() };
            let (passed, last) = decide(fault, 1, 9_000);
            assert_eq!(passed.iter().map(|&(bytes, _)| bytes).sum::<usize>(), 2_000);
            assert_eq!(last, Action::End(end));
            let (passed, last) = decide(Fault { end: Some((0, end)), ..fault }, 1, 9_000);
            assert_eq!((passed.len(), last), (0, Action::End(end)));
        }
    }

    #[test]
    fn one_seed_is_one_line() {
        let fault = Fault { jitter: 40 * MS, lost_of_10_000: 100, ..Fault::default() };
        assert_eq!(decide(fault, 5, 100_000), decide(fault, 5, 100_000));
        assert_ne!(decide(fault, 5, 100_000), decide(fault, 6, 100_000));
    }
}
