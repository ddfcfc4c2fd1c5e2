//! Field values that are sent again and again, made once.

use std::sync::LazyLock;
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

use super::status::Keep;

pub(super) const PLAYLIST: HeaderValue = HeaderValue::from_static("application/vnd.apple.mpegurl");
pub(super) const INIT: HeaderValue = HeaderValue::from_static("video/mp4");
pub(super) const FRAGMENT: HeaderValue = HeaderValue::from_static("video/iso.segment");
pub(super) const AUDIO: HeaderValue = HeaderValue::from_static("audio/mp4");
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(super) const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
pub(super) const GZIP: HeaderValue = HeaderValue::from_static("gzip");
pub(super) const BYTES: HeaderValue = HeaderValue::from_static("bytes");
pub(super) const VARY_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");
pub(super) const VARY_PAGE: HeaderValue = HeaderValue::from_static("accept-language, accept");

const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const A_DAY_FOR_GOOD: HeaderValue = HeaderValue::from_static("max-age=86400, immutable");
const READ_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
const ANY_FIELD: HeaderValue = HeaderValue::from_static("*");
const EXPOSED: HeaderValue =
    HeaderValue::from_static("content-length, content-range, date, age, etag");
const A_DAY: HeaderValue = HeaderValue::from_static("86400");

const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");
/// RFC 9218: what the browser or a proxy should send first.
const PRIORITY: HeaderName = HeaderName::from_static("priority");

/// hls.js fetches media by script, keeps it in blobs and runs a worker from one (W29).
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self'; \
    manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors ";
static PAGE_CSP: LazyLock<HeaderValue> = LazyLock::new(|| csp("'none'"));
static EMBED_CSP: LazyLock<HeaderValue> = LazyLock::new(|| csp("*"));

fn csp(ancestors: &str) -> HeaderValue {
    let policy = format!("{PAGE_POLICY}{ancestors}");
    HeaderValue::from_str(&policy).expect("the policy is a field value")
}

/// `max-age` for the lengths that playlists and parts ask for, by seconds.
static MAX_AGES: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| (0..=120).map(format_age).collect());

fn format_age(seconds: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("max-age={seconds}")).expect("digits make a field value")
}

/// `Cache-Control` for `keep`, cut to `keep_max`, the time to the next edge of the schedule (G16).
pub(super) fn cache_control(keep: Keep, keep_max: Option<Duration>) -> HeaderValue {
    let (wanted, for_good) = match keep {
        Keep::Never => return NO_STORE,
        Keep::For(length) => (length, false),
        Keep::Always => (Duration::from_secs(86_400), true),
    };
    match keep_max {
        Some(max) if max < wanted => max_age(max),
        Some(_) | None if for_good => A_DAY_FOR_GOOD,
        Some(_) | None => max_age(wanted),
    }
}

fn max_age(length: Duration) -> HeaderValue {
    let seconds = length.as_secs();
    let made = usize::try_from(seconds).ok().and_then(|place| MAX_AGES.get(place));
    made.cloned().unwrap_or_else(|| format_age(seconds))
}

/// Lets players on any site read an answer; nobody's cookies are ever part of it (W21, H117).
pub(super) fn open_to_all(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(CORP, CROSS_ORIGIN);
}

/// The answer to a preflight: a day's leave for what players do.
pub(super) fn preflight(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, READ_METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ANY_FIELD);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, A_DAY);
}

/// What every answer carries.
pub(super) fn no_sniffing(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

/// Who may put a page into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Nobody,
    /// Any site: the page is made for it.
    Anybody,
}

/// What a page may do in a browser (W29, W30).
pub(super) fn guard_page(headers: &mut HeaderMap, framing: Framing, tls: bool) {
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        PERMISSIONS,
        HeaderValue::from_static("camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    );
    match framing {
        Framing::Nobody => {
            headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_CSP.clone());
            headers.insert(COOP, SAME_ORIGIN);
            headers.insert(CORP, SAME_ORIGIN);
        }
        Framing::Anybody => {
            headers.insert(header::CONTENT_SECURITY_POLICY, EMBED_CSP.clone());
            headers.insert(CORP, CROSS_ORIGIN);
        }
    }
    if tls {
        let a_year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, a_year);
    }
}

/// How urgent an answer is among others on its connection (H110).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    Playlist,
    Media,
}

pub(super) fn urgency(headers: &mut HeaderMap, urgency: Urgency) {
    let value = match urgency {
        Urgency::Playlist => HeaderValue::from_static("u=1"),
        Urgency::Media => HeaderValue::from_static("u=3, i"),
    };
    headers.insert(PRIORITY, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keep: Keep, keep_max: Option<u64>, expected: &str) {
        let value = cache_control(keep, keep_max.map(Duration::from_millis));
        assert_eq!(value.to_str().unwrap(), expected, "{keep:?} {keep_max:?}");
    }

    /// G16, H111: nothing is kept past the next edge, nor longer than its kind allows.
    #[test]
    fn nothing_is_kept_past_the_next_edge() {
        let twelve = Keep::For(Duration::from_secs(12));
        check(twelve, None, "max-age=12");
        check(twelve, Some(60_000), "max-age=12");
        check(twelve, Some(12_000), "max-age=12");
        check(twelve, Some(11_999), "max-age=11");
        check(twelve, Some(999), "max-age=0");
        check(Keep::For(Duration::from_secs(3_600)), None, "max-age=3600");
        check(Keep::Always, None, "max-age=86400, immutable");
        check(Keep::Always, Some(86_400_000), "max-age=86400, immutable");
        check(Keep::Always, Some(5_000), "max-age=5");
        check(Keep::Never, Some(5_000), "no-store");
    }
}
