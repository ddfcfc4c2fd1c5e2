//! What the fields and the timing of an answer say, whatever its body. Pure: answers in, verdicts
//! out.

use std::time::Duration;

use hyper::header::{self, HeaderName};
use hyper::{StatusCode, Version};
use jiff::fmt::rfc2822::DateTimeParser;

use super::client::Answer;
use super::scale::Scale;
use crate::base::WallTime;

/// Clocks that run apart by less than this agree.
const CLOCK_SLACK: Duration = Duration::from_secs(10);
/// An answer is given at once when it does not take longer than this and the road there.
pub(super) const AT_ONCE: Duration = Duration::from_secs(1);
/// Transfers that take less are at full speed, whatever the length of the media.
const SPREAD_MIN: Duration = Duration::from_millis(500);
/// How long a multivariant playlist may be kept, in targets.
const MULTIVARIANT_TARGETS_MAX: u32 = 6;
/// What the low-latency profile asks of caches, in targets (Appendix B.1).
const HELD_TARGETS: u32 = 6;
const HELD_ERROR_TARGETS: u32 = 4;

const MAX_AGE: &str = "max-age";
const SHARED_MAX_AGE: &str = "s-maxage";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Multivariant,
    /// A media playlist, and whether a version was asked for that was to be waited for.
    Playlist {
        directives: bool,
    },
    Init,
    /// A segment or a part of this length.
    Media {
        length: Duration,
    },
}

/// What is known of the stream an answer belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setting {
    pub(super) target: Duration,
    /// The playlist offers blocking reload and parts.
    pub(super) low_latency: bool,
    /// The playlist has ended.
    pub(super) ended: bool,
}

/// Judges an answer to a request for something that is there.
pub(super) fn judge_answer(
    scale: &mut Scale<'_>,
    answer: &Answer,
    kind: Kind,
    setting: Setting,
    wall: WallTime,
) {
    cross_origin(scale, answer);
    match kind {
        Kind::Multivariant | Kind::Playlist { .. } => {
            playlist_fields(scale, answer, setting);
            date(scale, answer, setting, wall);
        }
        Kind::Init => media_fields(scale, answer),
        Kind::Media { length } => {
            media_fields(scale, answer);
            speed(scale, answer, length);
        }
    }
    if answer.is_good() {
        kept_good(scale, answer, kind, setting);
    }
}

/// H117: a page of another site may read it.
pub(super) fn cross_origin(scale: &mut Scale<'_>, answer: &Answer) {
    let allowed = answer.field(&header::ACCESS_CONTROL_ALLOW_ORIGIN);
    scale.weigh("H117", allowed.is_some_and(|origin| !origin.is_empty()), || {
        format!("{} without Access-Control-Allow-Origin", answer.status)
    });
}

fn playlist_fields(scale: &mut Scale<'_>, answer: &Answer, setting: Setting) {
    const TYPES: [&str; 2] = ["application/vnd.apple.mpegurl", "audio/mpegurl"];
    let kind = media_type(answer);
    let path = answer.address.path();
    let named = path.ends_with(".m3u8") || path.ends_with(".m3u");
    scale.weigh("H1", named || TYPES.contains(&kind.as_str()), || {
        format!("neither the path nor the type {kind:?} says that it is a playlist")
    });
    scale.weigh("H109", answer.gzip, || "not packed although gzip was accepted".to_owned());
    if answer.gzip {
        let varies = list(answer, &header::VARY).any(|name| name == "accept-encoding");
        scale.weigh("H109", varies, || "packed without Vary: Accept-Encoding".to_owned());
    }
    let bad = list(answer, &header::VARY).find(|name| name != "accept-encoding");
    scale.weigh("H112", bad.is_none(), || {
        format!("Vary names {}, so caches keep one copy for each", bad.unwrap_or_default())
    });
    if setting.low_latency && answer.address.is_encrypted() {
        let newer = [Version::HTTP_2, Version::HTTP_3].contains(&answer.version);
        scale.weigh("H110", newer, || format!("{:?} was agreed upon", answer.version));
    }
}

/// H116: the date is right, and the date of the change is not older than the playlist can be.
fn date(scale: &mut Scale<'_>, answer: &Answer, setting: Setting, wall: WallTime) {
    let Some(date) = answer.field(&header::DATE) else {
        return scale.weigh("H116", false, || "no Date".to_owned());
    };
    let Some(said) = http_date(date) else {
        return scale.weigh("H116", false, || format!("Date {date:?} cannot be read"));
    };
    // A cache sends the date of the origin on, and how long ago that was (RFC 9111 5.1).
    let now = wall.unix_millis();
    let age: u64 = answer.field(&header::AGE).and_then(|age| age.parse().ok()).unwrap_or(0);
    let off = Duration::from_millis(said.abs_diff(now)).saturating_sub(Duration::from_secs(age));
    scale.weigh("H116", off <= CLOCK_SLACK, || format!("Date {date} is {} s off", off.as_secs()));
    let changed = answer.field(&header::LAST_MODIFIED);
    if let Some(changed) = changed.filter(|_| !setting.ended && !setting.target.is_zero()) {
        let before =
            http_date(changed).map_or(u64::MAX, |at| said.saturating_sub(at).unsigned_abs());
        let before = Duration::from_millis(before);
        scale.weigh("H116", before <= setting.target * 3, || {
            format!("Last-Modified {changed} is more than 3 targets before Date {date}")
        });
    }
}

fn media_fields(scale: &mut Scale<'_>, answer: &Answer) {
    let redirects = answer.redirects;
    scale.weigh("H115", redirects == 0, || format!("redirected {redirects} times"));
    let (Some(types), true) = (types_of(&answer.body), answer.is_good()) else { return };
    let kind = media_type(answer);
    scale.weigh("H114", types.contains(&kind.as_str()), || {
        format!("the type is {kind:?}, and the bytes are one of {types:?}")
    });
}

/// H108: what is listed comes at once and faster than it plays.
fn speed(scale: &mut Scale<'_>, answer: &Answer, length: Duration) {
    if !answer.is_good() {
        return;
    }
    let (waited, flowed) = (answer.times.waited(), answer.times.flowed());
    scale.weigh("H108", waited <= AT_ONCE.max(length / 2), || {
        format!("the first byte took {} ms", waited.as_millis())
    });
    scale.weigh("H108", flowed <= SPREAD_MIN.max(length), || {
        format!("{} ms of media took {} ms", length.as_millis(), flowed.as_millis())
    });
}

/// H70: how long caches may keep the multivariant playlist of renditions of this target.
pub(super) fn kept_shortly(scale: &mut Scale<'_>, answer: &Answer, target: Duration) {
    if target.is_zero() {
        return scale.ledger.not_applicable("H70", "no target can be read");
    }
    let caching = Caching::of(answer);
    let kept = caching.lifetime.unwrap_or_default();
    let short = kept <= target * MULTIVARIANT_TARGETS_MAX;
    scale.weigh("H70", short && !caching.immutable, || {
        let immutable = if caching.immutable { ", immutable" } else { "" };
        format!(
            "kept for {} s{immutable}, where a target is {} s",
            kept.as_secs(),
            target.as_secs()
        )
    });
}

/// H111: how long caches may keep a good answer.
fn kept_good(scale: &mut Scale<'_>, answer: &Answer, kind: Kind, setting: Setting) {
    let caching = Caching::of(answer);
    let target = setting.target;
    if !setting.low_latency || setting.ended || target.is_zero() {
        return;
    }
    let kept = caching.lifetime;
    let said = || kept.map_or("not said".to_owned(), |kept| format!("{} s", kept.as_secs()));
    let (good, asked) = match kind {
        Kind::Multivariant => return,
        Kind::Playlist { directives: false } => {
            let max = round_up(target / 2);
            (kept.is_none_or(|kept| kept <= max), "at most half a target")
        }
        Kind::Playlist { directives: true } => {
            let near =
                |kept| target * (HELD_TARGETS - 1) <= kept && kept <= target * (HELD_TARGETS + 1);
            (kept.is_some_and(near), "6 targets")
        }
        Kind::Init | Kind::Media { .. } => {
            let long = |kept| target * (HELD_TARGETS - 1) <= kept;
            (caching.immutable || kept.is_some_and(long), "at least 6 targets")
        }
    };
    scale.weigh("H111", good, || {
        format!("lifetime {} instead of {asked} of {} s", said(), target.as_secs())
    });
}

/// H111 for a refusal, which must not outlive what it says.
pub(super) fn judge_refusal(scale: &mut Scale<'_>, answer: &Answer, kind: Kind, setting: Setting) {
    cross_origin(scale, answer);
    let unavailable = answer.status == StatusCode::SERVICE_UNAVAILABLE;
    if !setting.low_latency || setting.target.is_zero() || unavailable {
        return;
    }
    let held = matches!(kind, Kind::Playlist { directives: true });
    let max = setting.target * if held { HELD_ERROR_TARGETS } else { 1 };
    let kept = Caching::of(answer).lifetime.unwrap_or_default();
    scale.weigh("H111", kept <= max, || {
        format!(
            "a {} is kept for {} s, longer than {} s",
            answer.status,
            kept.as_secs(),
            max.as_secs()
        )
    });
}

/// What Cache-Control says to a shared cache (RFC 9111 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Caching {
    lifetime: Option<Duration>,
    immutable: bool,
}

impl Caching {
    fn of(answer: &Answer) -> Self {
        let mut caching = Self::default();
        let (mut own, mut shared) = (None, None);
        for word in list(answer, &header::CACHE_CONTROL) {
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            let seconds = || value.trim_matches('"').parse().ok().map(Duration::from_secs);
            match name {
                MAX_AGE => own = seconds(),
                SHARED_MAX_AGE => shared = seconds(),
                "no-store" | "no-cache" | "private" => shared = Some(Duration::ZERO),
                "immutable" => caching.immutable = true,
                _ => {}
            }
        }
        caching.lifetime = shared.or(own);
        caching
    }
}

/// Ages are said in whole seconds.
fn round_up(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs() + u64::from(0 < length.subsec_nanos()))
}

/// The words of a field that is a list, in small letters.
fn list(answer: &Answer, name: &HeaderName) -> impl Iterator<Item = String> {
    let fields = answer.headers.get_all(name).iter().filter_map(|field| field.to_str().ok());
    let words = fields.flat_map(|field| field.split(','));
    words.map(|word| word.trim().to_ascii_lowercase()).filter(|word| !word.is_empty())
}

/// The type without its parameters, in small letters.
fn media_type(answer: &Answer) -> String {
    let field = answer.field(&header::CONTENT_TYPE).unwrap_or_default();
    field.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The types that bytes may have (Apple 10.4); `None` where the bytes do not say what they are,
/// as encrypted ones do not.
fn types_of(bytes: &[u8]) -> Option<&'static [&'static str]> {
    const BOXES: [&[u8]; 7] = [b"ftyp", b"styp", b"moof", b"moov", b"sidx", b"emsg", b"prft"];
    let boxed = bytes.get(4..8).is_some_and(|name| BOXES.contains(&name));
    match bytes {
        [0x47, ..] if bytes.get(188).is_none_or(|&sync| sync == 0x47) => Some(&["video/mp2t"]),
        _ if boxed => Some(&["video/mp4", "video/iso.segment", "audio/mp4", "application/mp4"]),
        [b'I', b'D', b'3', ..] => Some(&["audio/aac", "audio/mpeg", "audio/ac3", "audio/eac3"]),
        [b'W', b'E', b'B', b'V', b'T', b'T', ..] => Some(&["text/vtt"]),
        _ => None,
    }
}

/// Milliseconds since 1970 of the one form of dates that HTTP sends (RFC 9110 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    let parsed = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(parsed.as_millisecond())
}

#[cfg(test)]
mod tests {
    use hyper::HeaderMap;
    use hyper::header::HeaderValue;

    use super::*;
    use crate::check::watch::Address;
    use crate::check::{Ledger, Outcome};

    /// H70: how long is too long depends on the target; without one nothing can be said.
    #[test]
    fn what_is_kept_is_weighed_by_the_target() {
        let address = Address::parse("http://h/index.m3u8").unwrap();
        let minute = HeaderValue::from_static("max-age=60");
        let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, minute)]);
        let answer = Answer::made(&address, headers, "#EXTM3U\n");
        let outcome = |target| {
            let mut ledger = Ledger::default();
            let mut scale = Scale::new(&mut ledger, address.as_str());
            kept_shortly(&mut scale, &answer, Duration::from_secs(target));
            let found = ledger.outcomes().find(|(rule, _)| rule.id == "H70");
            found.expect("a rule").1
        };
        assert_eq!(outcome(10), Outcome::Held { looked: 1 });
        assert!(matches!(outcome(9), Outcome::Broken { .. }));
        assert_eq!(outcome(0), Outcome::NotApplicable("no target can be read"));
    }
}
