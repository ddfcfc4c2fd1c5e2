use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

use crate::base::WallTime;

/// Between the date and the zone of the second accepted form.
const END_OF_DAY: &str = "end-of-day";

/// An instant as an operator declared it, computed once. Two forms are accepted, because
/// everything else leaves the world guessing which moment is meant:
///
/// - RFC 3339 with an offset: `2021-04-01T00:00:00-07:00`
/// - a date and a zone: `2021-03-31 end-of-day America/Los_Angeles`, which is the start of the
///   next local day by that zone's rules, so days of 23 and 25 hours are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredInstant {
    at: WallTime,
    text: String,
}

impl DeclaredInstant {
    /// Reads either form; fractions finer than a millisecond are cut, which closes early.
    pub fn parse(text: &str) -> Result<Self, InstantError> {
        let text = text.trim();
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = match words.as_slice() {
            [date, END_OF_DAY, zone] => end_of_day(date, zone)?,
            [date, END_OF_DAY] => {
                parse_date(date)?;
                return Err(InstantError::MissingZone { text: text.to_owned() });
            }
            _ => parse_timestamp(text)?,
        };
        Ok(Self { at, text: text.to_owned() })
    }

    /// An instant that follows from others and was not written down by anybody.
    pub(super) fn derived(at: WallTime) -> Self {
        Self { at, text: at.to_string() }
    }

    /// Takes the instant forward, whatever was declared.
    pub(super) fn turn_earlier(&mut self, by: Duration) {
        self.at = self.at - by;
    }

    pub fn at(&self) -> WallTime {
        self.at
    }

    /// Whether the words say this very instant in UTC.
    pub(super) fn is_written_as(&self, at: WallTime) -> bool {
        self.text.ends_with('Z') && Self::parse(&self.text).is_ok_and(|said| said.at == at)
    }

    /// The words of the configuration.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Why a text names no instant; each says what is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    #[error(
        "{text:?} is a date without a time of day and without a zone; write \
         \"{text} end-of-day Europe/Paris\" or \"{text}T00:00:00Z\""
    )]
    BareDate { text: String },
    #[error("{text:?} has no offset from UTC; append one, such as Z or +01:00")]
    MissingOffset { text: String },
    #[error("{text:?} names no zone; write one after end-of-day, such as Europe/Paris")]
    MissingZone { text: String },
    #[error("{zone:?} is no time zone of this machine's database (package tzdata)")]
    UnknownZone { zone: String },
    #[error("{text:?} is no date of the form 2021-03-31")]
    NotADate { text: String },
    #[error(
        "{text:?} is no instant; write one such as 2021-04-01T00:00:00-07:00 or \
         \"2021-03-31 end-of-day America/Los_Angeles\""
    )]
    NotAnInstant { text: String },
    #[error("{text:?} lies outside the years the calendar covers")]
    OutOfRange { text: String },
}

fn end_of_day(date: &str, zone: &str) -> Result<WallTime, InstantError> {
    let day = parse_date(date)?;
    let zone = Zone::parse(zone)?;
    let start_of_next = day
        .tomorrow()
        .and_then(|next| next.to_zoned(zone.zone))
        .and_then(|midnight| midnight.start_of_day())
        .map_err(|_| InstantError::OutOfRange { text: date.to_owned() })?;
    Ok(wall_time(start_of_next.timestamp()))
}

/// Ten characters exactly: jiff would read a date out of a longer text as well.
fn parse_date(text: &str) -> Result<civil::Date, InstantError> {
    let whole = text.len() == "2021-03-31".len();
    whole
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| InstantError::NotADate { text: text.to_owned() })
}

fn parse_timestamp(text: &str) -> Result<WallTime, InstantError> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(wall_time(instant));
    }
    let text = text.to_owned();
    if parse_date(&text).is_ok() {
        return Err(InstantError::BareDate { text });
    }
    match text.parse::<civil::DateTime>() {
        Ok(_) => Err(InstantError::MissingOffset { text }),
        Err(_) => Err(InstantError::NotAnInstant { text }),
    }
}

fn wall_time(instant: Timestamp) -> WallTime {
    let floor = instant.as_nanosecond().div_euclid(1_000_000);
    let millis = i64::try_from(floor).expect("jiff's years fit in 64 bits of milliseconds");
    WallTime::from_unix_millis(millis)
}

/// A named zone in which instants are also shown to people.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// An IANA name such as `Europe/Paris`.
    pub fn parse(name: &str) -> Result<Self, InstantError> {
        let zone =
            TimeZone::get(name).map_err(|_| InstantError::UnknownZone { zone: name.to_owned() })?;
        let name = zone.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, zone })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// `2021-04-01 00:00:00 -07:00 (America/Los_Angeles)`: always with the offset, so that a
    /// repeated hour is told apart.
    pub fn show(&self, at: WallTime) -> String {
        match Timestamp::from_millisecond(at.unix_millis()) {
            Ok(instant) => {
                let local = instant.to_zoned(self.zone.clone());
                format!("{} ({})", local.strftime("%Y-%m-%d %H:%M:%S %:z"), self.name)
            }
            Err(_) => at.to_string(),
        }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, utc: &str) {
        let instant = DeclaredInstant::parse(text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(instant.at().to_string(), utc, "{text}");
        assert_eq!(instant.text(), text.trim());
    }

    #[test]
    fn rfc_3339_with_an_offset() {
        check("2021-03-31T23:59:59.999-07:00", "2021-04-01T06:59:59.999Z");
        check(" 2021-04-01T07:00:00Z ", "2021-04-01T07:00:00.000Z");
        check("2020-02-29T00:00:00+14:00", "2020-02-28T10:00:00.000Z");
        check("2021-04-01T00:00:00.0019Z", "2021-04-01T00:00:00.001Z");
    }

    /// G4, D21: the length of the day is the zone's business.
    #[test]
    fn end_of_day_is_the_start_of_the_next_local_day() {
        check("2021-03-31 end-of-day America/Los_Angeles", "2021-04-01T07:00:00.000Z");
        // 23 and 25 hours long
        check("2021-03-14 end-of-day America/Los_Angeles", "2021-03-15T07:00:00.000Z");
        check("2021-11-07 end-of-day America/Los_Angeles", "2021-11-08T08:00:00.000Z");
        // the next midnight does not exist: that day began at one o'clock
        check("2018-11-03 end-of-day America/Sao_Paulo", "2018-11-04T03:00:00.000Z");
        // the next midnight comes twice: the first one counts
        check("2021-11-06 end-of-day America/Havana", "2021-11-07T04:00:00.000Z");
        // the next day does not exist at all
        check("2011-12-29 end-of-day Pacific/Apia", "2011-12-30T10:00:00.000Z");
        check("2020-02-29 end-of-day Pacific/Kiritimati", "2020-02-29T10:00:00.000Z");
        check("2021-12-31 end-of-day Etc/GMT+12", "2022-01-01T12:00:00.000Z");
    }

    /// G3: a text that leaves a guess is refused, and the error names what is missing.
    #[test]
    fn what_is_missing_is_named() {
        let table = [
            ("2021-03-31", "without a time of day and without a zone"),
            ("2021-03-31T12:00:00", "no offset"),
            ("2021-03-31 12:00", "no offset"),
            ("2021-03-31 end-of-day", "names no zone"),
            ("2021-03-31 end-of-day Mars/Olympus", "no time zone"),
            ("2021-02-29 end-of-day UTC", "no date"),
            ("2021-03-31T10:00 end-of-day UTC", "no date"),
            ("31.3.2021", "is no instant"),
            ("tomorrow", "is no instant"),
            ("", "is no instant"),
        ];
        for (text, part) in table {
            let error = DeclaredInstant::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_zone_shows_its_offset() {
        let zone = Zone::parse("America/Los_Angeles").unwrap();
        let at = DeclaredInstant::parse("2021-04-01T07:00:00Z").unwrap().at();
        assert_eq!(zone.show(at), "2021-04-01 00:00:00 -07:00 (America/Los_Angeles)");
    }
}
