use std::time::Duration;

use crate::base::{Limits, MediaSeq};
use crate::hls::{Edge, Reach, Want};
use crate::http::{Directives, Method, Route, parse_route};

/// Reads any bytes as a request target. What comes out is checked: a route for the same channel
/// comes from its own address only, and no text that a route carries on leaves its folder.
///
/// # Panics
/// When a route breaks that promise.
pub fn route(target: &[u8]) {
    let Ok(target) = std::str::from_utf8(target) else { return };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let Ok((_, route)) = parse_route(&Method::GET, path, query, &Limits::default()) else { return };
    if let Route::Media { channel, broadcast, name } = &route {
        assert_eq!(path, format!("/{channel}/{broadcast}/{name}"), "one address for one file");
    }
    if let Route::Watch(channel) | Route::Embed(channel) | Route::Multivariant(channel) = &route {
        assert!(path.contains(channel.as_str()), "the channel is in the address");
    }
}

/// Reads any bytes as the query of a playlist request and judges it against a live edge.
///
/// # Panics
/// When a reload that is answered at once would wait for an earlier part, or the other way round.
pub fn query(query: &[u8]) {
    const EDGE: Edge =
        Edge { closed: Some((MediaSeq(10), 8)), open: Some((MediaSeq(11), 3)), next_part: 90 };
    let Ok(text) = std::str::from_utf8(query) else { return };
    let directives = match Directives::parse(text) {
        Ok(directives) => directives,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let backwards: Vec<_> = text.split('&').rev().collect();
    assert_eq!(Directives::parse(&backwards.join("&")), Ok(directives), "the order matters");
    let Some((msn, part)) = directives.want else { return };
    let reach = |msn| EDGE.reach(Want { msn, part }, Duration::from_millis(250));
    let (this, next) = (reach(msn), reach(MediaSeq(msn.0.saturating_add(1))));
    assert!(rank(this) <= rank(next), "{this:?} at {msn:?}, {next:?} after it");
    assert!(this != Reach::Listed || msn <= MediaSeq(11), "{msn:?} is not there yet");
}

/// From what is there to what is refused.
fn rank(reach: Reach) -> u8 {
    match reach {
        Reach::Listed => 0,
        Reach::Ahead => 1,
        Reach::TooFar => 2,
    }
}
