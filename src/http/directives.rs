use crate::base::{MediaSeq, PartIndex};

/// The delivery directives of a playlist request (draft-pantos-hls-rfc8216bis 6.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`, and `_HLS_part` where it was given.
    pub want: Option<(MediaSeq, Option<PartIndex>)>,
    pub skip: Option<Skip>,
}

/// `_HLS_skip`: the viewer takes a delta update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// `YES`.
    Segments,
    /// `v2`: date ranges may be skipped as well.
    DateRanges,
}

/// What is wrong with the directives. Unknown `_HLS_` names are no error: they are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("_HLS_part needs _HLS_msn")]
    PartWithoutMsn,
    #[error("{0} is given more than once")]
    Repeated(&'static str),
    #[error("{0} is not a whole number of 1 to 20 digits")]
    NotANumber(&'static str),
    #[error("_HLS_skip is YES or v2")]
    Skip,
}

const MSN: &str = "_HLS_msn";
const PART: &str = "_HLS_part";
const SKIP: &str = "_HLS_skip";

/// Digits of the longest decimal integer (section 4.2).
const DIGITS_MAX: usize = 20;

impl Directives {
    /// Reads a query without its question mark; the order of the pairs does not matter.
    pub fn parse(query: &str) -> Result<Self, AskError> {
        let (mut msn, mut part, mut skip) = (None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                MSN => set_once(&mut msn, parse_number(MSN, value)?, MSN)?,
                PART => set_once(&mut part, parse_number(PART, value)?, PART)?,
                SKIP => set_once(&mut skip, parse_skip(value)?, SKIP)?,
                _ => {}
            }
        }
        // A part number beyond what a segment can hold means "past the last one", and so does
        // the greatest that we can write down.
        let part = part.map(|number| PartIndex(u32::try_from(number).unwrap_or(u32::MAX)));
        match (msn, part) {
            (None, Some(_)) => Err(AskError::PartWithoutMsn),
            (None, None) => Ok(Self { want: None, skip }),
            (Some(number), part) => Ok(Self { want: Some((MediaSeq(number), part)), skip }),
        }
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), AskError> {
    match slot.replace(value) {
        Some(_) => Err(AskError::Repeated(name)),
        None => Ok(()),
    }
}

fn parse_number(name: &'static str, value: &str) -> Result<u64, AskError> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    if !digits || value.is_empty() || DIGITS_MAX < value.len() {
        return Err(AskError::NotANumber(name));
    }
    // Twenty digits can still be too many for 64 bits.
    value.parse().map_err(|_| AskError::NotANumber(name))
}

fn parse_skip(value: &str) -> Result<Skip, AskError> {
    match value {
        "YES" => Ok(Skip::Segments),
        "v2" => Ok(Skip::DateRanges),
        _ => Err(AskError::Skip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(query: &str, expected: Result<Directives, AskError>) {
        assert_eq!(Directives::parse(query), expected, "{query:?}");
    }

    fn want(msn: u64, part: Option<u32>) -> Directives {
        Directives { want: Some((MediaSeq(msn), part.map(PartIndex))), skip: None }
    }

    /// H90: a part without its segment is an error.
    #[test]
    fn a_part_needs_its_segment() {
        check("_HLS_part=1", Err(AskError::PartWithoutMsn));
        check("_HLS_part=0&_HLS_skip=YES", Err(AskError::PartWithoutMsn));
    }

    /// H104: directives work in any order and together.
    #[test]
    fn directives_work_in_any_order_and_together() {
        let all = Directives { skip: Some(Skip::Segments), ..want(7, Some(2)) };
        check("_HLS_msn=7&_HLS_part=2&_HLS_skip=YES", Ok(all));
        check("_HLS_skip=YES&_HLS_part=2&_HLS_msn=7", Ok(all));
        check("&_HLS_part=2&&_HLS_msn=7&", Ok(want(7, Some(2))));
        check("_HLS_skip=v2", Ok(Directives { want: None, skip: Some(Skip::DateRanges) }));
        check("_HLS_msn=0", Ok(want(0, None)));
        check("_HLS_msn=18446744073709551615", Ok(want(u64::MAX, None)));
        check("_HLS_msn=1&_HLS_part=99999999999", Ok(want(1, Some(u32::MAX))));
    }

    /// H99: bad values are told and unknown names ignored.
    #[test]
    fn bad_values_are_told_and_unknown_names_ignored() {
        for value in ["-1", "+1", "1.5", "abc", "", "111111111111111111111", "1%00", "%31", "1 "] {
            check(&format!("_HLS_msn={value}"), Err(AskError::NotANumber(MSN)));
            check(&format!("_HLS_msn=1&_HLS_part={value}"), Err(AskError::NotANumber(PART)));
        }
        check("_HLS_msn=99999999999999999999", Err(AskError::NotANumber(MSN)));
        check("_HLS_msn", Err(AskError::NotANumber(MSN)));
        check("_HLS_skip=yes", Err(AskError::Skip));
        check("_HLS_skip", Err(AskError::Skip));
        check("_HLS_x=1&_hls_msn=a&x=_HLS_msn=2", Ok(Directives::default()));
        check("", Ok(Directives::default()));
    }

    /// W18: a repeated directive is an error, even with the same value.
    #[test]
    fn a_repeated_directive_is_an_error_even_with_the_same_value() {
        check("_HLS_msn=1&_HLS_msn=1", Err(AskError::Repeated(MSN)));
        check("_HLS_msn=1&_HLS_part=1&_HLS_part=2", Err(AskError::Repeated(PART)));
        check("_HLS_skip=YES&_HLS_skip=v2", Err(AskError::Repeated(SKIP)));
    }
}
