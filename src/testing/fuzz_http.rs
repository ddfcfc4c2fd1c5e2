use crate::base::Limits;
use crate::http::{Method, Route, parse_route};

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
