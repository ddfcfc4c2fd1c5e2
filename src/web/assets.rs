//! The files that pages refer to: scripts, styles, the favicon, licences. `build.rs` bundled
//! them; their names carry a hash of their content, so a browser may keep them for ever.

/// One file, ready to send in two codings.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// The path of its address, `/assets/watch-TSMJ6FYU.js`.
    pub path: &'static str,
    pub content_type: &'static str,
    /// The entity tag with its quotes. One for both codings: they are one content, and
    /// `Vary: Accept-Encoding` keeps caches from mixing them.
    pub etag: &'static str,
    /// What is under this address never changes.
    pub immutable: bool,
    pub plain: &'static [u8],
    pub gzip: &'static [u8],
}

mod bundled {
    use super::Asset;

    include!(concat!(env!("OUT_DIR"), "/assets.rs"));

    pub(super) fn all() -> &'static [Asset] {
        ASSETS
    }
}

pub(super) use bundled::{FAVICON_SVG, GHOSTLIGHT_CSS, NOTICES_TXT, PAGE_JS, WATCH_JS};

/// What crawlers are asked to leave alone (RFC 9309).
pub const ROBOTS_TXT: &str = include_str!("robots.txt");

/// The file under a path such as `/assets/watch-TSMJ6FYU.js` or `/favicon.ico`.
pub fn find(path: &str) -> Option<&'static Asset> {
    bundled::all().iter().find(|asset| asset.path == path)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn every_asset_unpacks_to_itself() {
        for asset in bundled::all() {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(asset.gzip).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, asset.plain, "{}", asset.path);
            assert!(asset.etag.starts_with('"') && asset.etag.ends_with('"'));
        }
    }

    #[test]
    fn only_whole_paths_are_found() {
        assert!(find(WATCH_JS).is_some_and(|asset| asset.immutable));
        assert!(find("/favicon.ico").is_some_and(|asset| !asset.immutable));
        for path in ["", "/", "/assets/", "/assets/../favicon.ico", "assets/watch.js"] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_licences_of_what_is_bundled_are_served() {
        let notices = find(NOTICES_TXT).expect("built in");
        let text = String::from_utf8_lossy(notices.plain);
        for package in ["hls.js", "eventemitter3", "url-toolkit"] {
            assert!(text.contains(package));
        }
    }
}
