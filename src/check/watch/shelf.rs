use std::collections::BTreeMap;

use super::view::View;

/// Versions whose text is remembered, and the bytes of all of them together.
const SHELF_MAX: usize = 64;
const SHELF_BYTES_MAX: usize = 8 << 20;

/// The text of each version, by how far it reaches.
#[derive(Debug, Default)]
pub(super) struct Shelf(BTreeMap<(u64, u64, usize, bool), String>);

impl Shelf {
    /// The earlier text of the same version.
    pub(super) fn put(&mut self, view: &View, text: &str) -> Option<String> {
        let key = (view.edge.msn, view.first, view.edge.parts, view.ended);
        if let Some(known) = self.0.get(&key) {
            return Some(known.clone());
        }
        self.0.insert(key, stable(text));
        while SHELF_MAX < self.0.len() || SHELF_BYTES_MAX < self.bytes() {
            self.0.pop_first();
        }
        None
    }

    fn bytes(&self) -> usize {
        self.0.values().map(String::len).sum()
    }
}

/// The lines that belong to the version: reports tell of other playlists, and date ranges may be
/// added at any time.
pub(super) fn stable(text: &str) -> String {
    let passing = ["#EXT-X-RENDITION-REPORT", "#EXT-X-DATERANGE"];
    let lines = text.lines().filter(|line| !passing.iter().any(|tag| line.starts_with(tag)));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::watch::pace::Edge;

    /// H19: an earlier answer is remembered as long as there is room for it.
    #[test]
    fn long_versions_make_room_for_each_other() {
        let mut shelf = Shelf::default();
        let mut put = |msn: u64, length: usize| {
            let view = View { edge: Edge { msn, parts: 0 }, ..View::default() };
            (shelf.put(&view, &"a".repeat(length)).is_some(), shelf.0.len(), shelf.bytes())
        };
        let half = SHELF_BYTES_MAX / 2;
        assert_eq!(put(1, half), (false, 1, half));
        assert_eq!(put(1, half), (true, 1, half), "known");
        assert_eq!(put(2, half), (false, 2, SHELF_BYTES_MAX));
        assert_eq!(put(3, 1), (false, 2, half + 1), "the oldest is gone");
        let short: Vec<_> = (4..200).map(|msn| put(msn, 1)).collect();
        assert_eq!(short.last(), Some(&(false, SHELF_MAX, SHELF_MAX)));
    }
}
