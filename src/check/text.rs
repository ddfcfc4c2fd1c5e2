//! Words of a playlist: attribute lists, numbers, dates, addresses.

/// Name and value of each attribute, quotes removed.
pub fn attributes(list: &str) -> impl Iterator<Item = (&str, &str)> {
    quoted_attributes(list).map(|(name, value, _)| (name, value))
}

/// The same, and whether the value stood in quotes.
pub(super) fn quoted_attributes(list: &str) -> impl Iterator<Item = (&str, &str, bool)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (name, after) = rest.split_once('=').unwrap_or((rest, ""));
        let inside = after.strip_prefix('"');
        let (value, after) = match inside {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        rest = after.strip_prefix(',').unwrap_or(after);
        Some((name, value, inside.is_some()))
    })
}

/// The value of one attribute.
pub fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    attributes(list).find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// A decimal number of seconds in microseconds; digits beyond the sixth are dropped.
pub fn micros(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.get(..6).unwrap_or(fraction);
    let fraction = format!("{fraction:0<6}").parse().ok()?;
    whole.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

/// Microseconds of an instant with its zone; without one it is taken for UTC.
pub fn wall_micros(text: &str) -> Option<i64> {
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let local = || text.parse::<jiff::civil::DateTime>().ok();
    let instant = zoned.or_else(|| {
        let there = local()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(there.timestamp())
    })?;
    Some(instant.as_microsecond())
}

/// Where `reference` leads from the playlist at `base` (RFC 3986 5.2).
pub fn resolve(base: &str, reference: &str) -> String {
    let has_scheme = |text: &str| {
        let end = text.find([':', '/', '?', '#']);
        end.is_some_and(|end| end > 0 && text.get(end..=end) == Some(":"))
    };
    if has_scheme(reference) {
        return reference.to_owned();
    }
    let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if let Some(elsewhere) = reference.strip_prefix("//") {
        return format!("{scheme}{elsewhere}");
    }
    if reference.is_empty() || reference.starts_with('?') {
        return format!("{scheme}{host}{path}{reference}");
    }
    let (target, query) = reference.split_at(reference.find(['?', '#']).unwrap_or(reference.len()));
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole =
        if target.starts_with('/') { target.to_owned() } else { format!("{folder}/{target}") };
    format!("{scheme}{host}{}{query}", without_dots(&whole))
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    let folder = path.ends_with("/.") || path.ends_with("/..");
    format!("/{}{}", kept.join("/"), if folder && !kept.is_empty() { "/" } else { "" })
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
