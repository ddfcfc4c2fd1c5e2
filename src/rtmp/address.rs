//! Where in `connect` and `publish` the app and the stream key stand.
//!
//! One rule for all encoders. The app is the first path segment of `connect`'s app. The key is
//! the first of these that is there:
//! 1. `key` in the query of the stream name, of the app, or of tcUrl;
//! 2. the stream name without its query;
//! 3. what follows the app in `connect`'s app (`live/KEY`);
//! 4. what follows the app in tcUrl.
//!
//! Leading and trailing slashes mean nothing, and of several segments the last is the key.

use crate::base::Secret;

/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// Why there is no key to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// None of the places held one.
    Missing,
    /// Too long, or made of characters no key has.
    Malformed,
}

/// The first path segment of an app.
pub(super) fn app_name(app: &str) -> &str {
    segments(app).next().unwrap_or("")
}

/// Finds the stream key by the rule above. `name` is what `publish` carried.
pub(super) fn stream_key(app: &str, tc_url: &str, name: &str) -> Result<Secret, KeyFault> {
    // In a URL the host stands before the app.
    let url_path = tc_url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let url_path = url_path.map_or("", |(_, path)| path);

    let in_query = [name, app, url_path].into_iter().find_map(key_in_query);
    let in_name = || segments(name).last();
    let in_app = || segments(app).skip(1).last();
    let in_url = || segments(url_path).skip(1).last();
    let key = in_query.or_else(in_name).or_else(in_app).or_else(in_url);
    check(key.ok_or(KeyFault::Missing)?)
}

fn check(key: &str) -> Result<Secret, KeyFault> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    if key.len() > KEY_BYTES_MAX || !key.bytes().all(allowed) {
        return Err(KeyFault::Malformed);
    }
    Ok(Secret::new(key))
}

/// The path segments of `text` that are not empty, without its query.
fn segments(text: &str) -> impl Iterator<Item = &str> {
    let path = text.split('?').next().unwrap_or("");
    path.split('/').filter(|segment| !segment.is_empty())
}

fn key_in_query(text: &str) -> Option<&str> {
    let (_, query) = text.split_once('?')?;
    let pairs = query.split(['&', '?']).filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(name, _)| *name == "key").map(|(_, value)| value).next()?;
    let value = value.trim_matches('/');
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(app: &str, tc_url: &str, name: &str) -> String {
        match stream_key(app, tc_url, name) {
            Ok(key) => key.reveal().to_owned(),
            Err(fault) => format!("{fault:?}"),
        }
    }

    // R33: the key is found wherever an encoder may put it, by one rule.
    #[test]
    fn the_key_wherever_an_encoder_puts_it() {
        let url = "rtmp://host/live";
        for (app, tc_url, name) in [
            ("live", url, "K"),
            ("live/", "rtmp://host:1935/live/", "K"),
            ("/live", url, "/K/"),
            ("live", url, "K?x=y"),
            ("live", url, "K?"),
            ("live/K", "rtmp://host/live/K", ""),
            ("live/K/", "rtmp://host/live/K/", ""),
            ("live/a", "rtmp://host/live/a", "K"),
            ("live", "rtmp://host/live/K", ""),
            ("live", "rtmps://host/live/K?x=y", ""),
            ("live", url, "show?key=K"),
            ("live", url, "?key=K"),
            ("live", url, "show?a=b&key=K&c=d"),
            ("live?key=K", "rtmp://host/live?key=K", "show"),
            ("live?key=K/", "rtmp://host/live?key=K/", "show"),
            ("live", "rtmp://host/live?key=K", "show"),
            ("live?authmod=adobe&user=u", url, "K"),
            ("live", url, "a/K"),
        ] {
            assert_eq!(found(app, tc_url, name), "K", "{app} {tc_url} {name}");
        }
    }

    // R33: a key has a length and a charset before anybody looks it up.
    #[test]
    fn a_key_has_a_length_and_a_charset() {
        let longest = "k".repeat(256);
        assert_eq!(found("live", "", &longest), longest);
        assert_eq!(found("live", "", &"k".repeat(257)), "Malformed");
        for bad in ["k\n", "k k", "é", "k\0", "k'", "%41", "k;", "k\"", "\u{202E}k"] {
            assert_eq!(found("live", "", bad), "Malformed", "{bad:?}");
        }
        for (app, tc_url, name) in [
            ("live", "rtmp://host/live", ""),
            ("live", "", ""),
            ("", "", "/"),
            ("live", "rtmp://host/live/", "?x=y"),
            ("live", "rtmp://host", "?key="),
        ] {
            assert_eq!(found(app, tc_url, name), "Missing");
        }
    }

    #[test]
    fn apps() {
        for app in ["live", "live/", "/live", "live/K", "live?x=y", "live/?x=y"] {
            assert_eq!(app_name(app), "live");
        }
        assert_eq!(app_name(""), "");
    }
}
