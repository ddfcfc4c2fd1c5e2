use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::{FORWARDED, HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies in front of this server. Only they are believed when they say whom they speak for,
/// and only as far as each of them saw it itself (W16: forwarded fields count from trusted peers
/// alone).
#[derive(Clone, Debug, Default)]
pub(super) struct Proxies(Arc<[IpAddr]>);

impl Proxies {
    pub(super) fn new(trusted: &[IpAddr]) -> Self {
        Self(trusted.iter().map(IpAddr::to_canonical).collect())
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whose request this is: the peer's own, or that of the hop nearest to us that is no proxy of
    /// ours. `None` when a trusted proxy does not say, and for a pipe within the process.
    pub(super) fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer?.to_canonical();
        if !self.trusts(peer) {
            return Some(peer);
        }
        // Most proxies add to the older field and pass the other through as the client wrote it.
        if headers.contains_key(X_FORWARDED_FOR) {
            let hops = elements(headers, &X_FORWARDED_FOR);
            return self.nearest(hops.map(parse_address));
        }
        self.nearest(elements(headers, &FORWARDED).map(|element| parse_address(node(element)?)))
    }

    /// The first hop, from the nearest on, that is not ours. Where one cannot be read, nobody
    /// vouches for what lies behind it.
    fn nearest(&self, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        hops.map_while(|hop| hop).find(|&hop| !self.trusts(hop))
    }
}

/// The elements of a list field from the last on; a repeated field is one list (RFC 9110, 5.3).
/// Each is read by itself, so that bytes that are no text spoil no element but their own; such a
/// one is empty.
fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let fields: Vec<_> = headers.get_all(name).iter().collect();
    let raw = fields.into_iter().rev().flat_map(|field| field.as_bytes().rsplit(|&b| b == b','));
    raw.map(|element| str::from_utf8(element.trim_ascii()).unwrap_or_default())
}

/// The `for` of one element of `Forwarded` (RFC 7239, 4), without quotes.
fn node(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|at: SocketAddr| at.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn client(peer: &str, fields: &[(&'static str, &'static str)]) -> Option<String> {
        let trusted = ["127.0.0.1", "10.0.0.1", "2001:db8:f::1"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let found = Proxies::new(&trusted).client(Some(peer.parse().unwrap()), &headers);
        found.map(|address| address.to_string())
    }

    #[track_caller]
    fn check(fields: &[(&'static str, &'static str)], expected: Option<&str>) {
        assert_eq!(client("127.0.0.1", fields).as_deref(), expected, "{fields:?}");
    }

    const XFF: &str = "x-forwarded-for";
    const FWD: &str = "forwarded";

    /// W16: whoever is no trusted proxy is who it is, whatever it says.
    #[test]
    fn only_trusted_peers_are_believed() {
        for peer in ["192.0.2.9", "::ffff:192.0.2.9"] {
            assert_eq!(client(peer, &[(XFF, "192.0.2.1")]).as_deref(), Some("192.0.2.9"));
            assert_eq!(client(peer, &[(FWD, "for=192.0.2.1")]).as_deref(), Some("192.0.2.9"));
        }
        let mapped = client("::ffff:127.0.0.1", &[(XFF, "192.0.2.1")]);
        assert_eq!(mapped.as_deref(), Some("192.0.2.1"));
        assert_eq!(Proxies::default().client(None, &HeaderMap::new()), None);
    }

    /// W16: the nearest hop that is not ours counts; what a client wrote before it does not.
    #[test]
    fn the_nearest_foreign_hop_is_the_client() {
        check(&[], None);
        check(&[(XFF, "192.0.2.1")], Some("192.0.2.1"));
        check(&[(XFF, "198.51.100.7, 192.0.2.1")], Some("192.0.2.1"));
        check(&[(XFF, "198.51.100.7,192.0.2.1 , 10.0.0.1")], Some("192.0.2.1"));
        check(&[(XFF, "198.51.100.7"), (XFF, "192.0.2.1")], Some("192.0.2.1"));
        check(&[(XFF, "10.0.0.1, 127.0.0.1")], None);
        check(&[(XFF, "192.0.2.1, unknown")], None);
        check(&[(XFF, "192.0.2.1,")], None);
        check(&[(XFF, "192.0.2.1:4711")], Some("192.0.2.1"));
        check(&[(XFF, "::ffff:192.0.2.1")], Some("192.0.2.1"));
        check(&[(XFF, "2001:db8::1")], Some("2001:db8::1"));
        check(&[(XFF, "192.0.2.1"), (FWD, "for=198.51.100.7")], Some("192.0.2.1"));
    }

    /// W16: whatever bytes a client writes, they do not hide what the proxy adds.
    #[test]
    fn what_is_no_text_hides_no_other_hop() {
        for (field, expected) in
            [(&b"\xff, 192.0.2.1"[..], Some("192.0.2.1")), (b"198.51.100.7, \xff", None)]
        {
            let value = HeaderValue::from_bytes(field).unwrap();
            let headers = HeaderMap::from_iter([(X_FORWARDED_FOR, value)]);
            let proxy = IpAddr::from([127, 0, 0, 1]);
            let found = Proxies::new(&[proxy]).client(Some(proxy), &headers);
            assert_eq!(found.map(|address| address.to_string()).as_deref(), expected, "{field:?}");
        }
    }

    #[test]
    fn forwarded_is_read_where_it_stands_alone() {
        check(
            &[(FWD, "for=198.51.100.7, For=192.0.2.1;proto=https;by=10.0.0.1")],
            Some("192.0.2.1"),
        );
        check(&[(FWD, "proto=https;for=\"[2001:db8::1]:4711\"")], Some("2001:db8::1"));
        check(&[(FWD, "for=192.0.2.1, for=\"[2001:db8:f::1]\"")], Some("192.0.2.1"));
        check(&[(FWD, "for=192.0.2.1, for=_hidden")], None);
        check(&[(FWD, "for=192.0.2.1, by=10.0.0.1")], None);
        check(&[(FWD, "for=\"192.0.2.1:80\"")], Some("192.0.2.1"));
    }
}
