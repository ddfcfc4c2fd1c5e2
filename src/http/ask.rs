use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Version};

use super::answer::Visit;
use super::client::Proxies;
use super::route::{RouteClass, Verb};
use crate::base::{ConnId, household};
use crate::web::Lang;

/// What an answer depends on besides the route. It is copied out of the head, so that a held
/// request keeps nothing else of it; nothing here comes from a field that caches do not know.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) verb: Verb,
    pub(super) class: RouteClass,
    /// The answer may be packed.
    pub(super) gzip: bool,
    pub(super) lang: Lang,
    /// Somebody reads the answer: errors come as a page.
    pub(super) html: bool,
    pub(super) http2: bool,
    pub(super) tls: bool,
    pub(super) if_none_match: Option<HeaderValue>,
    pub(super) range: Option<HeaderValue>,
    /// Who asks, as one household; a trusted proxy may have said so.
    pub(super) client: Option<IpAddr>,
    pub(super) id: RequestId,
}

/// Names one request in problem documents and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestId {
    pub(super) conn: ConnId,
    pub(super) number: u64,
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.conn, self.number)
    }
}

impl Ask {
    pub(super) fn new(
        verb: Verb,
        class: RouteClass,
        request: &Request<()>,
        visit: &Visit,
        proxies: &Proxies,
    ) -> Self {
        let headers = request.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let readable = class.is_read_by_people();
        Self {
            verb,
            class,
            gzip: accepts_gzip(headers),
            // Players ask a thousand times as often as people, and have no language.
            lang: Lang::choose(text(header::ACCEPT_LANGUAGE).filter(|_| readable)),
            html: readable && text(header::ACCEPT).is_some_and(|types| types.contains("text/html")),
            http2: request.version() == Version::HTTP_2,
            tls: visit.tls,
            if_none_match: headers.get(header::IF_NONE_MATCH).and_then(copy),
            range: range_in_force(headers),
            client: proxies.client(visit.peer, headers).map(household),
            id: RequestId { conn: visit.conn, number: visit.number },
        }
    }

    /// Whether the viewer already holds what `etag` names (RFC 9110, 13.1.2: the weak way).
    pub(super) fn holds(&self, etag: &[u8]) -> bool {
        let Some(field) = self.if_none_match.as_ref().map(HeaderValue::as_bytes) else {
            return false;
        };
        let mut tags = field.split(|&b| b == b',').map(<[u8]>::trim_ascii);
        tags.any(|tag| tag == b"*" || opaque(tag) == opaque(etag))
    }
}

/// An entity tag without the mark of weakness.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The `Range` field, unless it is tied to a validator: media carries none, so that whatever
/// `If-Range` names is not what we have (RFC 9110, 13.1.5).
fn range_in_force(headers: &HeaderMap) -> Option<HeaderValue> {
    if headers.contains_key(header::IF_RANGE) {
        return None;
    }
    headers.get(header::RANGE).and_then(copy)
}

/// A value of its own: a clone would keep the buffer of the whole head.
fn copy(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

/// RFC 9110, 12.5.3.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(','));
    let mut any = false;
    for coding in codings {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let wanted = !is_zero_weight(weight);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                return wanted;
            }
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// `q=0`, `q=0.0`, ...
fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let zero = |text: &str| text.starts_with('0') && text.bytes().all(|b| b == b'0' || b == b'.');
    name.trim().eq_ignore_ascii_case("q") && zero(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    /// H109: packed text is sent to whoever accepts it, and to nobody else.
    #[test]
    fn gzip_is_sent_to_who_accepts_it() {
        for (field, expected) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.8, *;q=0.1", true),
            ("x-gzip", true),
            ("*", true),
            ("identity", false),
            ("", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("br, deflate", false),
        ] {
            assert_eq!(accepts_gzip(&headers(header::ACCEPT_ENCODING, field)), expected, "{field}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_conditional_range_is_the_whole() {
        let mut fields = headers(header::RANGE, "bytes=0-1");
        assert!(range_in_force(&fields).is_some());
        fields.insert(header::IF_RANGE, HeaderValue::from_static("\"x\""));
        assert!(range_in_force(&fields).is_none());
    }
}
