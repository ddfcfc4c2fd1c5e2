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
                format!("a public stream leads to the private {private} (see --allow-private)"),
            )),
            None => Ok(open),
        }
    }
}

/// Anybody can reach it: none of the networks set apart (RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    // Shared between providers and their customers (RFC 6598).
    let shared = first == 100 && second & 0xc0 == 64;
    let apart = ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared;
    !apart && first != 0 && !ip.is_multicast() && !ip.is_broadcast()
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let apart = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
    // The older form of an IPv4 address within (RFC 4291 2.5.5.1), and the one that NAT64 makes
    // (RFC 6052 2.1).
    let inner = match ip.segments() {
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => true,
    };
    !apart && inner && !ip.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVATE: [&str; 15] = [
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
    ];
    const PUBLIC: [&str; 5] =
        ["192.0.1.1", "100.128.0.1", "172.32.0.1", "2600::1", "::ffff:8.8.8.8"];

    fn at(ips: &[&str]) -> Vec<SocketAddr> {
        ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 80)).collect()
    }

    #[test]
    fn what_is_public_leads_to_nothing_private() {
        for private in PRIVATE {
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
        for public in PUBLIC {
            let reach = Reach::new(false);
            assert!(reach.admit(at(&["8.8.8.8"])).is_ok() && reach.admit(at(&[public])).is_ok());
        }
    }

    /// Who checks a server of their own network begins there, and goes wherever it leads.
    #[test]
    fn what_is_private_leads_anywhere() {
        for private in PRIVATE {
            let reach = Reach::new(false);
            for ip in [private, "10.0.0.1", "8.8.8.8", "127.0.0.1"] {
                assert_eq!(reach.admit(at(&[ip])).unwrap(), at(&[ip]), "{private} to {ip}");
            }
        }
        assert_eq!(Reach::new(false).admit(Vec::new()).unwrap(), []);
    }
}
