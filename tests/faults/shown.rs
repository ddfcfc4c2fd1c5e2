//! What a viewer is shown of a channel.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::stage::{PATIENCE, get};

/// One version of a media playlist.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// Its address.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Shown {
    /// What a viewer who opens the channel finds now; `None` when there is nothing to play.
    pub(crate) fn find(http: SocketAddr, channel: &str) -> Option<Self> {
        let (status, text) = get(http, &format!("/{channel}/index.m3u8")).ok()?;
        if status != 200 {
            return None;
        }
        let name = text.lines().rfind(|line| !line.starts_with('#'))?;
        Self::read(http, &format!("/{channel}/{name}"))
    }

    /// The newest version at a known address.
    pub(crate) fn read(http: SocketAddr, path: &str) -> Option<Self> {
        let (status, text) = get(http, path).ok()?;
        (status == 200).then(|| Self { path: path.to_owned(), text })
    }

    pub(crate) fn count(&self, tag: &str) -> usize {
        self.text.lines().filter(|line| line.starts_with(tag)).count()
    }

    pub(crate) fn media_sequence(&self) -> u64 {
        let tag = "#EXT-X-MEDIA-SEQUENCE:";
        let number = self.text.lines().find_map(|line| line.strip_prefix(tag)?.parse().ok());
        number.unwrap_or_else(|| panic!("{}", self.text))
    }

    /// The number of the newest part that has media.
    pub(crate) fn last_part(&self) -> u64 {
        let mut parts = self
            .text
            .lines()
            .filter(|line| line.starts_with("#EXT-X-PART:") && !line.contains("GAP=YES"));
        let name = parts.next_back().and_then(|line| line.split("URI=\"p").nth(1));
        let number = name.and_then(|name| name.split('.').next()?.parse().ok());
        number.unwrap_or(0)
    }

    /// The number of the newest whole segment.
    pub(crate) fn last_segment(&self) -> u64 {
        let mut whole = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix('s')?.strip_suffix(".m4s")?.parse().ok());
        whole.next_back().unwrap_or_else(|| panic!("{}", self.text))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.text.contains("#EXT-X-ENDLIST")
    }

    /// Paths of all whole segments that have media.
    pub(crate) fn segments(&self) -> Vec<String> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut gap = false;
        let names = self.text.lines().filter(|line| {
            // The tag stands before the name of its segment.
            let is_name = line.starts_with('s');
            let has_media = is_name && !gap;
            gap = *line == "#EXT-X-GAP" || (gap && !is_name);
            has_media
        });
        names.map(|name| format!("{folder}/{name}")).collect()
    }
}

/// Waits until it is so, and answers with what was shown then and how long it took.
pub(crate) fn wait_for(
    what: &str,
    http: SocketAddr,
    channel: &str,
    so: impl Fn(&Shown) -> bool,
) -> (Shown, Duration) {
    let begun = Instant::now();
    let mut last = None;
    loop {
        if let Some(shown) = Shown::find(http, channel) {
            if so(&shown) {
                return (shown, begun.elapsed());
            }
            last = Some(shown.text);
        }
        assert!(begun.elapsed() < PATIENCE, "not so: {what}\n{}", last.unwrap_or_default());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether the channel has media to show and how its publisher stands: `live`, `away`, ...
pub(crate) fn state(http: SocketAddr, channel: &str) -> String {
    let (_, text) = get(http, &format!("/api/v1/channels/{channel}")).expect("an answer");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    let state = json.get("state").and_then(|state| state.as_str());
    state.unwrap_or_else(|| panic!("{text}")).to_owned()
}

/// Waits until the state is another one; answers how long that took.
pub(crate) fn wait_while(http: SocketAddr, channel: &str, was: &str) -> Duration {
    let begun = Instant::now();
    while state(http, channel) == was {
        assert!(begun.elapsed() < PATIENCE, "{channel} is {was} for ever");
        thread::sleep(Duration::from_millis(20));
    }
    begun.elapsed()
}
