use super::ledger::Ledger;
use super::look::Look;
use super::playlist::Tag;
use super::text::attribute;
use super::words::readable;

/// Anybody's multivariant playlist taken apart by lines.
#[derive(Clone, Debug, Default)]
pub struct Multivariant<'a> {
    pub tags: Vec<Tag<'a>>,
    pub variants: Vec<Variant<'a>>,
    /// Renditions with an address of their own: the tag and the address.
    pub renditions: Vec<(Tag<'a>, &'a str)>,
}

/// One `EXT-X-STREAM-INF` with the address that follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Variant<'a> {
    pub line: usize,
    /// Its attributes.
    pub list: &'a str,
    pub uri: &'a str,
}

/// How the codec strings of pictures begin.
const VIDEO: &[&str] =
    &["avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe", "av01", "vp08", "vp09", "mp4v"];
const OF_MEDIA: &[&str] = &[
    "EXTINF",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-DISCONTINUITY",
    "EXT-X-ENDLIST",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-PART-INF",
    "EXT-X-SERVER-CONTROL",
    "EXT-X-PART",
    "EXT-X-MAP",
    "EXT-X-KEY",
    "EXT-X-BYTERANGE",
    "EXT-X-PROGRAM-DATE-TIME",
    "EXT-X-GAP",
    "EXT-X-BITRATE",
    "EXT-X-SKIP",
    "EXT-X-PRELOAD-HINT",
    "EXT-X-RENDITION-REPORT",
];

impl<'a> Multivariant<'a> {
    /// Whether a playlist is of this kind.
    pub fn is(text: &str) -> bool {
        Tag::all(text).any(|tag| ["EXT-X-STREAM-INF", "EXT-X-MEDIA"].contains(&tag.name))
    }

    pub fn parse(text: &'a str) -> Self {
        let mut found = Self::default();
        let mut variant: Option<Variant<'a>> = None;
        for (index, line) in text.lines().enumerate() {
            let Some(tag) = Tag::parse(index + 1, line) else {
                if !line.starts_with('#') && !line.trim().is_empty() {
                    found.variants.extend(variant.take().map(|open| Variant { uri: line, ..open }));
                }
                continue;
            };
            found.tags.push(tag);
            match tag.name {
                "EXT-X-STREAM-INF" => {
                    found.variants.extend(variant.take());
                    variant = Some(Variant { line: tag.line, list: tag.value, uri: "" });
                }
                "EXT-X-MEDIA" => {
                    found.renditions.extend(attribute(tag.value, "URI").map(|uri| (tag, uri)));
                }
                _ => {}
            }
        }
        found.variants.extend(variant);
        found
    }
}

impl<'a> Variant<'a> {
    pub fn attribute(&self, name: &str) -> Option<&'a str> {
        attribute(self.list, name)
    }

    /// The formats it names.
    pub fn codecs(&self) -> impl Iterator<Item = &'a str> {
        self.attribute("CODECS").unwrap_or_default().split(',').map(str::trim)
    }

    /// It has pictures, as far as it says.
    pub fn has_video(&self) -> bool {
        self.codecs().any(|codec| VIDEO.iter().any(|video| codec.starts_with(video)))
    }
}

/// Judges one multivariant playlist.
pub fn judge_multivariant(ledger: &mut Ledger, url: &str, body: &[u8]) {
    let Some(text) = readable(ledger, url, body) else { return };
    let playlist = Multivariant::parse(text);
    let mut look = Look::new(ledger, url, text);
    look.words();
    look.version(false);
    let media = playlist.tags.iter().find(|tag| OF_MEDIA.contains(&tag.name));
    look.expect("H8", media.is_none(), media.map_or(0, |tag| tag.line), || {
        format!("{} stands in a multivariant playlist", media.map_or("", |tag| tag.name))
    });
    for variant in &playlist.variants {
        look.variant(variant);
    }
    look.all_variants(&playlist.variants);
}

impl Look<'_> {
    fn variant(&mut self, variant: &Variant<'_>) {
        let line = variant.line;
        self.expect("H8", !variant.uri.is_empty(), line, || "a variant without address".to_owned());
        let bandwidth = variant.attribute("BANDWIDTH").is_some();
        self.expect("H64", bandwidth, line, || "no BANDWIDTH".to_owned());
        let codecs = variant.attribute("CODECS").is_some();
        self.advise("H64", codecs, line, || "no CODECS".to_owned());
        let average = variant.attribute("AVERAGE-BANDWIDTH").is_some();
        self.advise("H62", average, line, || "no AVERAGE-BANDWIDTH".to_owned());
        if !codecs {
            return;
        }
        for name in ["RESOLUTION", "FRAME-RATE"] {
            let given = variant.attribute(name).is_some();
            if variant.has_video() {
                self.advise("H61", given, line, || format!("pictures without {name}"));
            } else {
                self.expect("H68", !given, line, || format!("{name}, and no pictures"));
            }
        }
    }

    fn all_variants(&mut self, variants: &[Variant<'_>]) {
        let none = |variant: &&Variant<'_>| variant.attribute("CLOSED-CAPTIONS") == Some("NONE");
        let count = variants.iter().filter(none).count();
        let line = variants.iter().find(none).map_or(0, |variant| variant.line);
        self.expect("H69", count == 0 || count == variants.len(), line, || {
            format!("CLOSED-CAPTIONS=NONE on {count} of {} variants", variants.len())
        });
        let mut rates: Vec<_> = variants
            .iter()
            .filter(|variant| variant.has_video())
            .filter_map(|variant| variant.attribute("BANDWIDTH"))
            .collect();
        rates.sort_unstable();
        rates.dedup();
        if !rates.is_empty() {
            let line = variants.first().map_or(0, |variant| variant.line);
            self.expect("H71", rates.len() > 1, line, || "video at one bit rate only".to_owned());
        }
    }
}
