use std::net::SocketAddr;
use std::num::NonZero;
use std::thread;

/// Descriptors a process needs beside those of its crowd, and how many each of its threads.
const SPARE_DESCRIPTORS: usize = 50;
const THREAD_DESCRIPTORS: usize = 4;

/// Why a load does not even begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroundError {
    #[error(
        "{0} is not this machine: a load goes to loopback alone, and elsewhere only with \
         --i-own-this-server, which says that whoever answers for that server agreed"
    )]
    Stranger(SocketAddr),
    #[error(
        "{wanted} connections need as many descriptors, and this process may open {allowed} (ulimit -n)"
    )]
    Descriptors { wanted: usize, allowed: usize },
}

/// A load must not be pointed at strangers, neither by mistake nor on purpose: without `owned`
/// every address has to be loopback.
pub fn check_place(addrs: &[SocketAddr], owned: bool) -> Result<(), GroundError> {
    let stranger = addrs.iter().find(|addr| !addr.ip().to_canonical().is_loopback());
    match stranger.filter(|_| !owned) {
        Some(stranger) => Err(GroundError::Stranger(*stranger)),
        None => Ok(()),
    }
}

/// Whether this process may open `wanted` connections, where the system tells.
pub fn check_descriptors(wanted: usize) -> Result<(), GroundError> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let spare = SPARE_DESCRIPTORS + threads * THREAD_DESCRIPTORS;
    match descriptors_in(&limits) {
        Some(allowed) if wanted + spare > allowed => {
            Err(GroundError::Descriptors { wanted, allowed })
        }
        Some(_) | None => Ok(()),
    }
}

/// The soft limit in the text of proc(5); `None` where there is none.
fn descriptors_in(limits: &str) -> Option<usize> {
    let value = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_left_alone() {
        let check = |text: &str, owned| {
            let addrs: Vec<_> = text.split(' ').map(|addr| addr.parse().expect(addr)).collect();
            check_place(&addrs, owned).is_ok()
        };
        assert!(check("127.0.0.1:80", false) && check("127.9.9.9:80 [::1]:80", false));
        assert!(check("[::ffff:127.0.0.1]:80", false));
        for stranger in ["192.0.2.1:80", "10.0.0.1:80", "[::1]:80 192.0.2.1:80", "0.0.0.0:80"] {
            assert!(!check(stranger, false), "{stranger}");
            assert!(check(stranger, true), "{stranger}");
        }
    }

    #[test]
    fn the_descriptors_are_those_of_the_soft_limit() {
        let text =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files    1024    524288   files\n";
        assert_eq!(descriptors_in(text), Some(1_024));
        assert_eq!(descriptors_in("Max open files  unlimited  unlimited  files\n"), None);
        assert_eq!(descriptors_in(""), None);
        check_descriptors(1).expect("one more");
    }
}
