//! Texts with units to values and back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const GIB: usize = 1024 * MIB;

/// A length of time: a number and `ms`, `s`, `m` or `h`. A bare `0` is allowed.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(split)?;
    let millis_per_unit: f64 = match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return None,
    };
    let millis = plain_number(number)? * millis_per_unit;
    // Above what any setting allows, and a float that a Duration always takes.
    (millis <= 1e12).then(|| Duration::from_micros(rounded(millis * 1_000.0)))
}

pub(super) fn render_duration(length: Duration) -> String {
    let millis = length.as_millis();
    match millis {
        0 => "0s".into(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// A number of bytes: a whole number and `B`, `kB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`.
pub(super) fn parse_bytes(text: &str) -> Option<usize> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let factor = match unit {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => KIB,
        "MiB" => MIB,
        "GiB" => GIB,
        _ => return None,
    };
    whole_number(number.trim_end())?.checked_mul(factor)
}

pub(super) fn render_bytes(bytes: usize) -> String {
    for (factor, unit) in [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// A whole number of things.
pub(super) fn parse_count(text: &str) -> Option<usize> {
    whole_number(text)
}

/// A listen address: `ADDRESS:PORT`, or a port alone on all addresses.
pub(super) fn parse_listen(text: &str) -> Option<SocketAddr> {
    if let Some(port) = text.strip_prefix(':').or(Some(text))
        && let Ok(port) = port.parse()
    {
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?));
    }
    text.parse().ok()
}

/// Names separated by commas.
pub(super) fn parse_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

fn whole_number(text: &str) -> Option<usize> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn plain_number(text: &str) -> Option<f64> {
    let text = text.trim_end();
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// The nearest whole number of a small non-negative float.
fn rounded(value: f64) -> u64 {
    Duration::from_secs_f64(value / 1e6).as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, millis) in [
            ("250ms", 250),
            ("2s", 2_000),
            ("1.5s", 1_500),
            ("10m", 600_000),
            ("4h", 14_400_000),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in
            ["", "2", "2 parsecs", "-1s", "s", "1e3s", "NaNs", "99999999999999999999h", "1..2s"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn bytes_have_a_unit() {
        for (text, bytes) in [("16KiB", 16_384), ("5MB", 5_000_000), ("7B", 7), ("1 GiB", GIB)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for bad in ["", "5", "5apples", "-5MB", "1.5MB", "99999999999999999999GiB"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for millis in [0, 1, 999, 1_000, 61_000, 120_000, 7_200_000] {
            let length = Duration::from_millis(millis);
            assert_eq!(parse_duration(&render_duration(length)), Some(length));
        }
        for bytes in [0, 1, 1_000, KIB, 3 * MIB, GIB + 1] {
            assert_eq!(parse_bytes(&render_bytes(bytes)), Some(bytes));
        }
    }

    #[test]
    fn listen_addresses() {
        for (text, full) in [
            ("8080", "0.0.0.0:8080"),
            (":8080", "0.0.0.0:8080"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("localhost:9", "127.0.0.1:9"),
            ("[::]:80", "[::]:80"),
        ] {
            assert_eq!(parse_listen(text).map(|a| a.to_string()).as_deref(), Some(full));
        }
        for bad in ["", "host:80", "1.2.3.4", "70000", "1.2.3.4:70000"] {
            assert_eq!(parse_listen(bad), None, "{bad}");
        }
    }
}
