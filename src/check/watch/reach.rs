use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::OnceLock;

/// Which addresses may be connected to. A public playlist, or a redirect, may name hosts inside the
/// network of whoever checks it; only who begins inside, or says so, is led there.
#[derive(Debug)]
pub(super) struct Reach {
    allow_private: bool,
    /// The first host was public.
    public: OnceLock<bool>,
}

impl Reach {
    pub(super) fn new(allow_private: bool) -> Self {
        Self { allow_private, public: OnceLock::new() }
    }

    /// The addresses of a host that may be connected to, or why there is none.
    pub(super) fn admit(&self, found: Vec<SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let any = |found: &[SocketAddr]| found.iter().any(|addr| is_public(addr.ip()));
        let public = *self.public.get_or_init(|| any(&found));
        if !public || self.allow_private || found.is_empty() {
            return Ok(found);
        }
        let private = found.iter().find(|addr| !is_public(addr.ip())).map(SocketAddr::ip);
        let open: Vec<_> = found.into_iter().filter(|addr| is_public(addr.ip())).collect();
        match private.filter(|_| open.is_empty()) {
            Some(private) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("a public address leads to the private {private} (see --allow-private)"),
            )),
            None => Ok(open),
        }
    }
}

/// Anybody can reach it: none of the networks set apart (RFC 6890 and the registries it began).
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let apart = match ip.octets() {
        // This network, what is shared between providers and their customers (RFC 6598), protocols,
        // measuring (RFC 2544), groups, and what is reserved.
        [0 | 224..=255, ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        _ => ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation(),
    };
    !apart
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // What NAT64 makes of an IPv4 address (RFC 6052 2.1): a network of IPv6 alone needs it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        // Protocols, Teredo among them; documents; 6to4, which holds an IPv4 address.
        [0x2001, 0..0x200 | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..0x1000, ..] => false,
        // All that is given out so far (RFC 4291 2.4).
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: &[&str] = &[
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "192.0.0.8",
        "192.0.2.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "240.0.0.1",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:a00:1::1",
        "3fff:fff::1",
        "4000::1",
        "fec0::1",
        "ff02::1",
    ];
    const PUBLIC: &[&str] = &[
        "192.0.1.1",
        "100.63.0.1",
        "100.128.0.1",
        "172.32.0.1",
        "198.17.0.1",
        "198.20.0.1",
        "223.255.255.1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2600::1",
        "3fff:1000::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ];

    fn at(ips: &[&str]) -> Vec<SocketAddr> {
        ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 80)).collect()
    }

    #[test]
    fn what_is_public_leads_to_nothing_private() {
        for &private in PRIVATE {
            let reach = Reach::new(false);
            assert_eq!(reach.admit(at(&["8.8.8.8"])).unwrap(), at(&["8.8.8.8"]));
            let error = reach.admit(at(&[private])).unwrap_err().to_string();
            assert!(error.contains("--allow-private"), "{private}: {error}");
            assert_eq!(reach.admit(at(&[private, "9.9.9.9"])).unwrap(), at(&["9.9.9.9"]));
            assert!(Reach::new(true).admit(at(&[private])).is_ok(), "{private}");
            let allowed = Reach::new(true);
            assert!(
                allowed.admit(at(&["8.8.8.8"])).is_ok() && allowed.admit(at(&[private])).is_ok()
            );
        }
        for &public in PUBLIC {
            let reach = Reach::new(false);
            assert!(reach.admit(at(&["8.8.8.8"])).is_ok() && reach.admit(at(&[public])).is_ok());
        }
    }

    /// Who checks a server of their own network begins there, and goes wherever it leads.
    #[test]
    fn what_is_private_leads_anywhere() {
        for &private in PRIVATE {
            let reach = Reach::new(false);
            for ip in [private, "10.0.0.1", "8.8.8.8", "127.0.0.1"] {
                assert_eq!(reach.admit(at(&[ip])).unwrap(), at(&[ip]), "{private} to {ip}");
            }
        }
        assert_eq!(Reach::new(false).admit(Vec::new()).unwrap(), []);
    }
}
