use std::sync::Arc;
use std::time::Duration;

use super::directory::Directory;
use super::rendition::{Rendition, RenditionState};
use crate::base::MonoTime;

/// What one window holds.
#[derive(Clone, Copy, Debug)]
struct Load {
    bytes: usize,
    span: Duration,
}

/// Keeps all windows together within `available` bytes: ended broadcasts leave first, the longest
/// ended one first; then the longest windows shrink to one common length. The floor of every
/// playlist stays, whatever the limit. Answers the bytes held after that.
pub(super) fn balance(directory: &Directory, available: usize, now: MonoTime) -> usize {
    let mut renditions = directory.all();
    let mut bytes: usize = renditions.iter().map(|r| r.window_bytes()).sum();
    renditions.retain(|rendition| {
        let ended = matches!(rendition.state(), RenditionState::Ended { .. });
        if !ended || bytes <= available {
            return true;
        }
        bytes -= rendition.window_bytes();
        rendition.withdraw();
        directory.remove(rendition);
        false
    });
    let load = |r: &Arc<Rendition>| Load { bytes: r.window_bytes(), span: r.duration() };
    let loads: Vec<_> = renditions.iter().map(load).collect();
    let span = common_span(&loads, available).unwrap_or(Duration::MAX);
    for rendition in &renditions {
        rendition.limit_span(span, now);
    }
    renditions.iter().map(|r| r.window_bytes()).sum()
}

/// The bytes that no window can give back: those of every playlist at its floor.
pub(super) fn floor(directory: &Directory) -> usize {
    directory.all().iter().map(|rendition| rendition.floor_bytes()).sum()
}

/// The longest span at which all windows fit when longer ones shrink to it; `None` if they fit
/// as they are.
fn common_span(loads: &[Load], available: usize) -> Option<Duration> {
    let bytes: usize = loads.iter().map(|load| load.bytes).sum();
    if bytes <= available {
        return None;
    }
    let longest = loads.iter().map(|load| load.span.as_millis()).max().unwrap_or(0);
    let (mut fits, mut too_long) = (0, longest);
    while too_long - fits > 1 {
        let middle = fits + (too_long - fits) / 2;
        let held: u128 = loads.iter().map(|load| bytes_at(load, middle)).sum();
        if held <= u128::try_from(available).unwrap_or(u128::MAX) {
            fits = middle;
        } else {
            too_long = middle;
        }
    }
    Some(Duration::from_millis(u64::try_from(fits).unwrap_or(u64::MAX)))
}

fn bytes_at(load: &Load, span_millis: u128) -> u128 {
    let (bytes, whole) = (u128::try_from(load.bytes).unwrap_or(u128::MAX), load.span.as_millis());
    if whole <= span_millis { bytes } else { bytes * span_millis / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(loads: &[(usize, u64)], available: usize) -> Option<u64> {
        let load =
            |(bytes, secs): &(usize, u64)| Load { bytes: *bytes, span: Duration::from_secs(*secs) };
        let loads: Vec<_> = loads.iter().map(load).collect();
        common_span(&loads, available).map(|span| span.as_millis().try_into().unwrap())
    }

    #[test]
    fn windows_that_fit_are_left_alone() {
        assert_eq!(span(&[], 0), None);
        assert_eq!(span(&[(1_000, 30), (5_000, 300)], 6_000), None);
    }

    #[test]
    fn the_longest_windows_shrink_first() {
        // The long one gives its half; the short one keeps what it has.
        assert_eq!(span(&[(1_000, 30), (10_000, 300)], 6_000), Some(150_029));
        // Equal ones share.
        assert_eq!(span(&[(10_000, 300), (10_000, 300)], 10_000), Some(150_029));
        // What cannot fit is left to the floor of the playlists.
        assert_eq!(span(&[(10_000, 30)], 0), Some(2));
    }
}
