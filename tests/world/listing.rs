//! What a player takes out of a media playlist.

/// A playlist as far as a player needs it.
#[derive(Debug, Default)]
pub(crate) struct Listing<'a> {
    /// Without those that a delta update skips; the last one may be open.
    pub(crate) segments: Vec<Segment<'a>>,
    pub(crate) target_millis: u64,
    pub(crate) part_target_millis: u64,
    pub(crate) hinted: Option<&'a str>,
    pub(crate) hints_map: bool,
    pub(crate) shows_closing: bool,
    pub(crate) ended: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Segment<'a> {
    pub(crate) msn: u64,
    pub(crate) uri: &'a str,
    pub(crate) whole: bool,
    pub(crate) gap: bool,
    pub(crate) discontinuity: bool,
    pub(crate) micros: i64,
    pub(crate) date_micros: Option<i64>,
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) number: u64,
    pub(crate) independent: bool,
    pub(crate) gap: bool,
}

impl<'a> Listing<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let mut list = Self::default();
        let mut open = Segment::default();
        for line in text.lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            match name {
                "#EXT-X-MEDIA-SEQUENCE" => open.msn = value.parse().unwrap_or(0),
                "#EXT-X-SKIP" => open.msn += number(value, "SKIPPED-SEGMENTS="),
                "#EXT-X-TARGETDURATION" => list.target_millis = number(value, "") * 1_000,
                "#EXT-X-PART-INF" => {
                    let target = field(value, "PART-TARGET=").unwrap_or_default();
                    list.part_target_millis = u64::try_from(micros(target) / 1_000).unwrap_or(0);
                }
                "#EXT-X-DISCONTINUITY" => open.discontinuity = true,
                "#EXT-X-GAP" => open.gap = true,
                "#EXTINF" => open.micros = micros(value.trim_end_matches(',')),
                "#EXT-X-PROGRAM-DATE-TIME" => {
                    let date: Option<jiff::Timestamp> = value.parse().ok();
                    open.date_micros = date.map(jiff::Timestamp::as_microsecond);
                }
                "#EXT-X-PART" => {
                    let uri = field(value, "URI=").unwrap_or_default();
                    let gap = value.contains("GAP=YES");
                    let independent = value.contains("INDEPENDENT=YES");
                    open.parts.push(Part { number: number(uri, "p"), independent, gap });
                }
                "#EXT-X-PRELOAD-HINT" if value.contains("TYPE=PART") => {
                    list.hinted = field(value, "URI=");
                }
                "#EXT-X-PRELOAD-HINT" => list.hints_map = true,
                "#EXT-X-DATERANGE" => list.shows_closing = true,
                "#EXT-X-ENDLIST" => list.ended = true,
                _ if line.starts_with('#') || line.is_empty() => {}
                _ => {
                    let next = Segment { msn: open.msn + 1, ..Segment::default() };
                    open.whole = true;
                    open.uri = line;
                    list.segments.push(std::mem::replace(&mut open, next));
                }
            }
        }
        if !open.parts.is_empty() {
            list.segments.push(open);
        }
        list
    }

    /// What a player that has this asks for next: a segment and a part of it.
    pub(crate) fn next(&self) -> Option<(u64, u64)> {
        let last = self.segments.last()?;
        if last.whole {
            return Some((last.msn + 1, 0));
        }
        Some((last.msn, u64::try_from(last.parts.len()).unwrap_or(0)))
    }

    /// Whether this part, or anything after it, is listed.
    pub(crate) fn reaches(&self, (msn, part): (u64, u64)) -> bool {
        self.segments.last().is_some_and(|last| {
            let parts = u64::try_from(last.parts.len()).unwrap_or(0);
            msn < last.msn || (msn == last.msn && (last.whole || part < parts))
        })
    }
}

fn field<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = list.split_once(name)?;
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(',').next(),
    }
}

/// The digits after a word.
fn number(text: &str, after: &str) -> u64 {
    let rest = text.split_once(after).map_or("", |(_, rest)| rest);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn micros(seconds: &str) -> i64 {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let fraction = format!("{fraction:0<6}");
    let micros = fraction.get(..6).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    whole.parse::<i64>().unwrap_or(0) * 1_000_000 + micros
}
