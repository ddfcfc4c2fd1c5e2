#![expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::fmt::rfc2822::DateTimePrinter;

/// A place on a media timeline, in microseconds. RTMP speaks milliseconds and audio counts
/// samples; a microsecond is fine enough that every sample grid up to 500 kHz converts to ticks
/// and back without loss, so nothing accumulates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaTime(i64);

impl MediaTime {
    pub const ZERO: Self = Self(0);

    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Seconds for people and playlists; never fed back into arithmetic.
    pub fn as_secs_f64(self) -> f64 {
        Duration::from_micros(self.0.unsigned_abs()).as_secs_f64()
            * if self.0 < 0 { -1.0 } else { 1.0 }
    }

    /// The same place counted in ticks of `timescale` per second, rounded to the nearest.
    pub fn to_ticks(self, timescale: u32) -> i64 {
        let scaled = i128::from(self.0) * i128::from(timescale);
        let rounded = (scaled + 500_000).div_euclid(1_000_000);
        i64::try_from(rounded).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }

    /// The place of tick number `ticks` of a grid of `timescale` per second, rounded to the
    /// nearest microsecond. `timescale` 0 answers zero.
    pub fn from_ticks(ticks: i64, timescale: u32) -> Self {
        if timescale == 0 {
            return Self::ZERO;
        }
        let scale = i128::from(timescale);
        let micros = (i128::from(ticks) * 1_000_000 + scale / 2).div_euclid(scale);
        Self(i64::try_from(micros).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX }))
    }

    /// The length as a [`Duration`]; a negative one is zero.
    pub fn to_duration(self) -> Duration {
        Duration::from_micros(u64::try_from(self.0).unwrap_or(0))
    }
}

impl From<Duration> for MediaTime {
    fn from(length: Duration) -> Self {
        Self(i64::try_from(length.as_micros()).unwrap_or(i64::MAX))
    }
}

impl Add for MediaTime {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for MediaTime {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Time since the process started; it never jumps. All timeouts and limits count in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MonoTime(Duration);

impl MonoTime {
    pub const ZERO: Self = Self(Duration::ZERO);

    pub const fn from_start(since: Duration) -> Self {
        Self(since)
    }

    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for MonoTime {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(length))
    }
}

/// An instant on the calendar: milliseconds since 1970-01-01T00:00:00Z. It may jump; dates,
/// PROGRAM-DATE-TIME and tokens count in it, nothing else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WallTime(i64);

impl WallTime {
    pub const fn from_unix_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn unix_millis(self) -> i64 {
        self.0
    }

    pub const fn unix_secs(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// As fields of HTTP tell dates (RFC 9110, 5.6.7): `Thu, 01 Apr 2021 07:00:00 GMT`. `None` for
    /// a year that has no such form.
    pub fn to_imf_fixdate(self) -> Option<String> {
        let instant = jiff::Timestamp::from_second(self.unix_secs()).ok()?;
        DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).ok()
    }

    /// How long until `later`; zero when it has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for WallTime {
    type Output = Self;
    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-11-21T08:15:30.250Z`.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{} ms since 1970", self.0),
        }
    }
}

/// Both running clocks read at one moment. A worker asks once per pass and hands it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub mono: MonoTime,
    pub wall: WallTime,
}

impl Now {
    /// How long ago the calendar stood at `then`; nothing where that lies ahead.
    pub fn age_of(&self, then: WallTime) -> Duration {
        then.until(self.wall)
    }
}

/// Where the shell gets the time. Whatever decides takes a [`Now`] instead.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> Now;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let wall =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Now {
            mono: MonoTime::from_start(self.start.elapsed()),
            wall: WallTime::from_unix_millis(i64::try_from(wall).unwrap_or(i64::MAX)),
        }
    }
}

/// A clock whose calendar is moved by a fixed length: the rehearsal of `--simulate-at`.
#[derive(Debug)]
pub struct ShiftedClock<C> {
    inner: C,
    shift_millis: i64,
}

impl<C: Clock> ShiftedClock<C> {
    /// A clock that reads `start_at` at this moment and runs on from there.
    pub fn starting_at(inner: C, start_at: WallTime) -> Self {
        let shift = start_at.unix_millis().saturating_sub(inner.now().wall.unix_millis());
        Self { inner, shift_millis: shift }
    }
}

impl<C: Clock> Clock for ShiftedClock<C> {
    fn now(&self) -> Now {
        let now = self.inner.now();
        Now { wall: WallTime(now.wall.0.saturating_add(self.shift_millis)), ..now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_grids_convert_without_loss() {
        for rate in [8_000, 44_100, 48_000, 96_000, 500_000] {
            for sample in [0_i64, 1, 1_024, 44_099, 123_456_789, -1_024] {
                assert_eq!(MediaTime::from_ticks(sample, rate).to_ticks(rate), sample, "{rate}");
            }
        }
    }

    #[test]
    fn wall_time_prints_rfc_3339() {
        assert_eq!(
            WallTime::from_unix_millis(1_617_260_399_999).to_string(),
            "2021-04-01T06:59:59.999Z"
        );
    }

    #[test]
    fn a_shifted_clock_starts_where_told() {
        let at = WallTime::from_unix_millis(4_102_444_800_000);
        let clock = ShiftedClock::starting_at(SystemClock::new(), at);
        let late = clock.now().wall.unix_millis() - at.unix_millis();
        assert!((0..10_000).contains(&late), "{late}");
    }
}
