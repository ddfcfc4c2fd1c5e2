use std::net::IpAddr;

/// What counts as one address where limits are by address: an IPv4 address, also when it comes
/// mapped into IPv6, or the /64 that one household gets of IPv6.
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (!0 << 64)).into()),
    }
}
