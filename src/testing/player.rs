//! A player of what the segmenter cuts: it fetches every init segment, part and segment that the
//! playlist lists, and has the judge look at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::check::{Finding, Ledger, Listed, Playlist, Segment, Watched};
use crate::hls::{Cut, Part};

/// What was cut and not yet played, and what came of playing the rest.
#[derive(Debug, Default)]
pub struct Player {
    ledger: Ledger,
    watched: Watched,
    inits: BTreeMap<String, Bytes>,
    /// The segment being cut.
    open: Option<u64>,
    cut: BTreeMap<u64, Vec<Arc<Part>>>,
    map: Option<String>,
}

impl Player {
    /// Keeps what can be fetched from now on.
    pub fn hear(&mut self, cut: &Cut) {
        match cut {
            Cut::Init(init) => {
                self.inits.insert(format!("init-{}.mp4", init.version), init.bytes.clone());
            }
            Cut::Open(start) => self.open = Some(start.msn.0),
            Cut::Part(part) if !part.gap => {
                let parts = self.open.map(|msn| self.cut.entry(msn).or_default());
                parts.into_iter().for_each(|parts| parts.push(Arc::clone(part)));
            }
            Cut::Part(_) | Cut::Targets(_) | Cut::Close { .. } => {}
        }
    }

    /// Plays what a version of the playlist lists for the first time.
    pub fn play(&mut self, text: &str) {
        let playlist = Playlist::parse(text);
        for segment in &playlist.segments {
            let Some(parts) = self.cut.remove(&segment.msn) else { continue };
            self.load_init(segment);
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes.to_vec()).collect();
            let listed = Listed::new(segment.uri, &playlist, segment);
            self.watched.segment(&mut self.ledger, &listed, &bytes);
            for listed in &segment.parts {
                let name = |part: &Arc<Part>| format!("p{}.m4s", part.number);
                let Some(part) = parts.iter().find(|part| name(part) == listed.uri) else {
                    continue;
                };
                self.watched.part(&mut self.ledger, listed.uri, listed.independent, &part.bytes);
            }
        }
    }

    fn load_init(&mut self, segment: &Segment<'_>) {
        let name = segment.map.as_ref().map(|map| map.uri.to_owned());
        let Some(name) = name.filter(|name| self.map.as_ref() != Some(name)) else { return };
        if let Some(bytes) = self.inits.get(&name) {
            self.watched.init(&mut self.ledger, &name, bytes);
        }
        self.map = Some(name);
    }

    pub fn findings(&self) -> Vec<&Finding> {
        self.ledger.findings().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Multivariant, judge_variant};
    use crate::media::{Format, VideoConfig, av1, avc, fmp4, hevc};
    use crate::testing::clips;

    /// What is broken when a variant says this of an init segment.
    fn broken(video: &VideoConfig, codec: &str, size: &str) -> Vec<&'static str> {
        let audio = clips::audio_format().audio.clone();
        let format = Format { video: Some(video.clone()), audio };
        let mut ledger = Ledger::default();
        let mut watched = Watched::default();
        watched.init(&mut ledger, "init-1.mp4", &fmp4::init_segment(&format));
        let text = format!(
            "#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"{codec},mp4a.40.2\",RESOLUTION={size}\na\n"
        );
        let variant = Multivariant::parse(&text).variants[0];
        judge_variant(&mut ledger, "index.m3u8", &variant, &[&watched]);
        ledger.findings().map(|finding| finding.rule).collect()
    }

    // H49, H50, H60, H61: the judge reads in records of real encoders what is known of them.
    #[test]
    fn real_configurations_are_read() {
        let avc = avc::parse_config(&clips::avc_record()).expect("sound");
        let hevc = hevc::parse_config(&clips::hevc_record()).expect("sound");
        let av1 = av1::parse_config(&clips::av1_record()).expect("sound").expect("a size");
        for (video, codec, size) in [
            (&avc, "avc1.64000d", "320x180"),
            (&hevc, "hvc1.1.6.L60.90", "322x182"),
            (&av1, "av01.0.00M.08", "322x182"),
        ] {
            assert_eq!(broken(video, codec, size), Vec::<&str>::new(), "{codec}");
            assert_eq!(broken(video, codec, "322x180"), ["H61"], "{codec}");
            assert_eq!(broken(video, "avc1.640028", size), ["H60"], "{codec}");
        }
    }
}
