//! What a player does with a delta update.

use crate::check::{Playlist, Tag};

/// The full playlist that `previous` and the delta update `delta` make together
/// (draft-pantos-hls-rfc8216bis 6.2.5.1), in the server's own order of lines.
pub fn apply_delta(previous: &str, delta: &str) -> Result<String, String> {
    let (old, new) = (Playlist::parse(previous), Playlist::parse(delta));
    if new.skipped == 0 {
        return Err("nothing was skipped".to_owned());
    }
    let mut text = String::new();
    for line in delta.lines() {
        if line.starts_with("#EXT-X-VERSION:") {
            text.push_str("#EXT-X-VERSION:6\n");
        } else if line.starts_with("#EXT-X-SKIP:") {
            push_skipped(&mut text, &old, new.media_sequence, new.skipped)?;
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(text)
}

/// The skipped segments as the player knows them: without parts, which have all left, and with
/// the init segment in force restated for the first.
fn push_skipped(
    text: &mut String,
    old: &Playlist<'_>,
    first: u64,
    count: u64,
) -> Result<(), String> {
    for msn in first..first + count {
        let whole = old.at(msn).filter(|segment| !segment.uri.is_empty());
        let segment = whole.ok_or_else(|| format!("the player does not know segment {msn}"))?;
        let restate = msn == first && segment.own_map.is_none();
        for tag in segment.tags.iter().filter(|tag| tag.name != "EXT-X-PART") {
            if restate && tag.name == "EXT-X-PROGRAM-DATE-TIME" {
                let map = segment.map.as_ref();
                let map = map.ok_or_else(|| format!("segment {msn} has no init segment"))?;
                text.push_str(&format!("#EXT-X-MAP:URI=\"{}\"\n", map.uri));
            }
            push_tag(text, tag);
        }
        text.push_str(segment.uri);
        text.push('\n');
    }
    Ok(())
}

fn push_tag(text: &mut String, tag: &Tag<'_>) {
    text.push_str(&format!("#{}", tag.name));
    if !tag.value.is_empty() {
        text.push_str(&format!(":{}", tag.value));
    }
    text.push('\n');
}
