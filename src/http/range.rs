use std::ops::Range;

/// What a `Range` field asks of a body of known length (RFC 9110, 14.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RangeAsk {
    /// No range, a range we need not understand, or several of them: the whole body (W22).
    Whole,
    /// 206 with these bytes.
    Part(Range<u64>),
    /// 416: nothing of the body is in the range.
    Unsatisfiable,
}

/// Reads a `Range` field for a body of `len` bytes. Several ranges at once are answered with the
/// whole: each would cost us more than it gives any player.
pub(super) fn parse(field: Option<&[u8]>, len: u64) -> RangeAsk {
    match field.and_then(parse_bytes_unit) {
        None => RangeAsk::Whole,
        Some(Bounds::From(start, _)) if len <= start => RangeAsk::Unsatisfiable,
        Some(Bounds::From(start, None)) => RangeAsk::Part(start..len),
        Some(Bounds::From(start, Some(last))) => {
            RangeAsk::Part(start..last.saturating_add(1).min(len))
        }
        Some(Bounds::Suffix(0)) => RangeAsk::Unsatisfiable,
        Some(Bounds::Suffix(_)) if len == 0 => RangeAsk::Unsatisfiable,
        Some(Bounds::Suffix(count)) => RangeAsk::Part(len.saturating_sub(count)..len),
    }
}

enum Bounds {
    /// First byte, and the last one where it is given.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Suffix(u64),
}

fn parse_bytes_unit(field: &[u8]) -> Option<Bounds> {
    let (unit, set) = std::str::from_utf8(field).ok()?.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    match set.trim().split_once('-')? {
        ("", count) => Some(Bounds::Suffix(parse_digits(count)?)),
        (start, "") => Some(Bounds::From(parse_digits(start)?, None)),
        (start, last) => {
            let (start, last) = (parse_digits(start)?, parse_digits(last)?);
            // A last byte before the first makes the field invalid, and it is ignored.
            (start <= last).then_some(Bounds::From(start, Some(last)))
        }
    }
}

fn parse_digits(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // More than 64 bits can hold lies beyond every body.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, len: u64, expected: RangeAsk) {
        assert_eq!(parse(Some(field.as_bytes()), len), expected, "{field:?} of {len}");
    }

    /// H113: every form of one range, cut to what is there.
    #[test]
    fn one_range() {
        check("bytes=0-0", 10, RangeAsk::Part(0..1));
        check("bytes=2-5", 10, RangeAsk::Part(2..6));
        check("bytes=2-", 10, RangeAsk::Part(2..10));
        check("bytes=2-99", 10, RangeAsk::Part(2..10));
        check("bytes=2-99999999999999999999999", 10, RangeAsk::Part(2..10));
        check("bytes=-3", 10, RangeAsk::Part(7..10));
        check("bytes=-30", 10, RangeAsk::Part(0..10));
        check("Bytes=0-4", 10, RangeAsk::Part(0..5));
    }

    #[test]
    fn outside_the_body() {
        check("bytes=10-", 10, RangeAsk::Unsatisfiable);
        check("bytes=10-12", 10, RangeAsk::Unsatisfiable);
        check("bytes=-0", 10, RangeAsk::Unsatisfiable);
        check("bytes=0-0", 0, RangeAsk::Unsatisfiable);
        check("bytes=-1", 0, RangeAsk::Unsatisfiable);
    }

    /// W22: what is not one range gets the whole.
    #[test]
    fn what_is_not_one_range_gets_the_whole() {
        assert_eq!(parse(None, 10), RangeAsk::Whole);
        assert_eq!(parse(Some(b"bytes=\xff-1"), 10), RangeAsk::Whole);
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-2",
            "lines=0-1",
            "bytes=0-1,3-4",
            "bytes=0-0,0-0,0-0,0-0",
            "bytes=1",
            "bytes=+1-2",
            "bytes=--1",
        ] {
            check(field, 10, RangeAsk::Whole);
        }
    }
}
