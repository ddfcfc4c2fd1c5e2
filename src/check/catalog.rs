use Level::{Advice, Must, Should};
use Method::{Diff, Http, Lint, Media, Time};

/// One thing that can be said about a stream by looking at it.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: &'static str,
    /// The demand in one line.
    pub says: &'static str,
    /// Document and section: `draft-22` is draft-pantos-hls-rfc8216bis-22, `Apple` the HLS
    /// authoring specification with its item.
    pub source: &'static str,
    pub level: Level,
    pub method: Method,
}

/// How binding a rule is, or how bad a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know; nothing is wrong.
    Advice,
    Should,
    Must,
}

/// What it takes to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One playlist.
    Lint,
    /// Two versions of a playlist, or the playlists of two renditions.
    Diff,
    /// Segments, parts and init segments.
    Media,
    /// A clock beside the stream.
    Time,
    /// Requests and what is answered to them.
    Http,
}

impl Rule {
    /// The rule with this id.
    pub fn find(id: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.id == id)
    }
}

const fn rule(
    id: &'static str,
    level: Level,
    method: Method,
    source: &'static str,
    says: &'static str,
) -> Rule {
    Rule { id, says, source, level, method }
}

/// Every rule of HLS and low-latency HLS that a program can judge from outside.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    // Text and tags.
    rule("H1", Must, Http, "draft-22 4", "a playlist is known by its path (.m3u8) or its media type"),
    rule("H2", Must, Lint, "draft-22 4.1", "a playlist is UTF-8 without byte order mark and control characters"),
    rule("H3", Must, Lint, "draft-22 4.4.1.1", "a playlist begins with the line #EXTM3U"),
    rule("H4", Must, Lint, "draft-22 4.4.1.2, 8", "one version tag, as high as the tags need and no higher"),
    rule("H5", Must, Lint, "draft-22 4.2", "attribute lists have no white space, plain names, no name twice"),
    rule("H6", Must, Lint, "draft-22 4.2", "quoted strings are closed on their line"),
    rule("H7", Must, Lint, "draft-22 4.2", "integers are 1 to 20 digits, other numbers digits and one dot"),
    rule("H8", Must, Lint, "draft-22 4.1, 4.4.3", "no mix of multivariant and media tags, and no playlist tag twice"),
    rule("H9", Must, Http, "draft-22 4.1, 6.2.1", "every address in a playlist resolves and is there, unless marked as a gap"),
    rule("H10", Must, Lint, "draft-22 4.4.3.1", "a media playlist states a target duration of at least one second"),
    rule("H11", Must, Diff, "draft-22 6.2.1", "the target duration never changes"),
    rule("H12", Must, Lint, "draft-22 4.4.3.1, Apple 7.7", "no segment, rounded to seconds, is longer than the target duration"),
    rule("H13", Must, Media, "Apple 8.1", "stated lengths add up to the media's within one frame"),
    rule("H14", Must, Media, "draft-22 3", "a segment's stated length is that of its video track"),
    rule("H15", Must, Lint, "draft-22 4.4.3.2, 4.4.3.3", "both sequence tags come before the first segment"),
    // Sequence, mutation, lifetime.
    rule("H16", Must, Diff, "draft-22 6.2.2", "the media sequence rises by what was removed and never falls"),
    rule("H17", Advice, Lint, "compatibility", "a live playlist begins above media sequence 0, which some players take for none"),
    rule("H18", Must, Diff, "draft-22 6.2.1", "what is listed never changes; versions only gain at the end and lose at the head"),
    rule("H19", Must, Http, "draft-22 6.2.1", "every answer is one whole version of the playlist"),
    rule("H20", Must, Diff, "draft-22 6.2.2", "segments and parts leave in order"),
    rule("H21", Must, Diff, "draft-22 6.2.2, Apple 8.11", "after removal three target durations and six segments are left"),
    rule("H22", Must, Time, "draft-22 6.2.2", "a segment that left stays, from its first listing, for its length and the longest playlist with it"),
    rule("H23", Must, Time, "draft-22 6.2.2", "a part stays three target durations after its tag left"),
    rule("H24", Should, Lint, "draft-22 6.2.2", "parts are listed only within three target durations of the end"),
    rule("H25", Must, Time, "draft-22 6.2.1", "a new segment comes within one and a half target durations"),
    rule("H26", Must, Time, "draft-22 6.2.1", "a new part comes within one part target"),
    rule("H27", Must, Diff, "draft-22 6.2.1, 6.2.2", "a playlist that slides has no type; EVENT never drops, VOD never changes"),
    rule("H28", Must, Diff, "draft-22 6.2.1", "the playlist type never comes, goes or changes"),
    rule("H29", Must, Lint, "draft-22 6.2.1, 4.4.5.3", "an ended playlist hints at nothing and never changes again"),
    rule("H30", Must, Http, "draft-22 6.2.5", "after the end every delivery directive is ignored"),
    rule("H31", Should, Time, "draft-22 6.2.1", "a removed presentation answers 404 or 410; its segments stay for its length"),
    rule("H32", Must, Http, "draft-22 6.2.1", "one address never serves two different bodies of media"),
    rule("H33", Must, Media, "draft-22 4.4.4.8", "a stated segment bit rate is within ten per cent of the real one, byte ranges apart"),
    // Discontinuities, gaps, dates.
    rule("H34", Must, Diff, "draft-22 6.2.2, Apple 8.17", "a live playlist counts the discontinuities that left it"),
    rule("H35", Must, Media, "draft-22 4.4.4.3, Apple 8.14", "a change of format, tracks or encoding is marked as a discontinuity"),
    rule("H36", Must, Media, "draft-22 3", "without a discontinuity timestamps go on from segment to segment"),
    rule("H37", Must, Time, "draft-22 6.2.1", "missing media is listed as gaps of its length"),
    rule("H38", Must, Diff, "draft-22 6.2.4, Apple 8.15", "all renditions break at the same points with equal numbers"),
    rule("H39", Must, Lint, "draft-22 3.1.2", "every fragmented MP4 segment has an init segment in force"),
    rule("H40", Must, Lint, "draft-22 6.2.1", "a new init segment comes with a discontinuity"),
    rule("H41", Must, Diff, "draft-22 4.4.4.5", "the first segment left still names its init segment and key"),
    rule("H42", Should, Lint, "Apple 8.4, draft-22 B.1", "a live playlist has a date and time"),
    rule("H43", Must, Lint, "draft-22 4.4.4.6", "dates are ISO 8601 with zone and milliseconds"),
    rule("H44", Must, Lint, "draft-22 6.2.1", "a dated playlist has a date on every segment after a discontinuity"),
    rule("H45", Must, Lint, "draft-22 6.2.1", "no date lies a second or more inside what went before"),
    rule("H46", Should, Lint, "draft-22 4.4.4.6", "within a run dates advance by the stated lengths and with the media, within one frame"),
    rule("H47", Must, Diff, "draft-22 6.2.4", "dates agree between renditions"),
    rule("H48", Must, Diff, "draft-22 4.4.5.1, 6.2.1", "a date range has its own id and stays while its segments are listed"),
    // Media.
    rule("H49", Must, Media, "draft-22 3.1.2", "an init segment has ftyp of brand iso6 or later, moov, tracks without length, mvex"),
    rule("H50", Must, Media, "draft-22 3.1", "an init segment holds no samples"),
    rule("H51", Must, Media, "draft-22 3.1.2", "every track fragment has its time, relative offsets and no outside data"),
    rule("H52", Must, Media, "Apple 7.3", "each fragment of a segment starts where the one before it ended"),
    rule("H53", Must, Media, "draft-22 3.2", "the parts of a segment hold its samples, timing and length"),
    rule("H54", Should, Media, "Apple 7.4, draft-22 B.1", "a segment with video starts with an independent frame"),
    rule("H55", Must, Media, "draft-22 3", "decode times rise, nothing is shown before it is decoded, no sample is empty"),
    rule("H56", Must, Media, "draft-22 3.1.1, Apple 7.2", "a TS segment has one programme, its tables first, and whole counters"),
    rule("H57", Must, Media, "draft-22 3.1.1", "TS timestamps wrap at 2^33 without a discontinuity"),
    rule("H59", Should, Media, "Apple, Preparing audio", "no edit list shifts the sound, and after a break it starts no later than the picture"),
    rule("H60", Must, Media, "draft-22 6.2.4", "CODECS names every format and says what the init segment says"),
    rule("H61", Must, Media, "Apple 9.2, 9.15", "RESOLUTION and FRAME-RATE are given for video and are those of the stream"),
    rule("H62", Must, Media, "Apple 1.28, 1.29, 9.14", "runs of about a target are below 125 % of BANDWIDTH, the average below 110 % of AVERAGE-BANDWIDTH"),
    rule("H63", Must, Media, "draft-22 3.1.4", "a WebVTT segment has its header and its timestamp map"),
    // Multivariant.
    rule("H64", Must, Lint, "draft-22 4.4.6.2, Apple 9.1", "every variant has BANDWIDTH and CODECS"),
    rule("H65", Must, Diff, "draft-22 6.2.4", "all media playlists share target duration and server control"),
    rule("H66", Must, Media, "draft-22 4.4.2.1, Apple 9.11", "independent segments are promised only where every segment is, and for good"),
    rule("H67", Must, Media, "draft-22 6.2.4, Apple 8.22", "matching content has matching timestamps in all renditions"),
    rule("H68", Must, Lint, "draft-22 4.4.6.2", "a variant without video has no attributes of video"),
    rule("H69", Must, Lint, "draft-22 4.4.6.2", "CLOSED-CAPTIONS=NONE stands on all variants or on none"),
    rule("H70", Should, Http, "draft-22 6.2.4", "a multivariant playlist is cached shortly and never immutable"),
    rule("H71", Advice, Lint, "Apple 9.9", "video is offered at several bit rates"),
    // Low latency.
    rule("H72", Must, Lint, "draft-22 4.4.3.7", "a playlist with parts states its part target"),
    rule("H73", Must, Lint, "draft-22 4.4.4.9", "no part is longer than the part target"),
    rule("H74", Must, Lint, "draft-22 4.4.4.9", "a part has 85 % of the part target unless independent, at a gap or last"),
    rule("H75", Must, Media, "draft-22 4.4.4.9", "a part is marked independent where it holds an independent frame, and only there"),
    rule("H76", Must, Lint, "draft-22 4.4.4.9", "the tags of a segment come before its first part"),
    rule("H77", Must, Lint, "draft-22 4.4.3.8, B.1", "a playlist with parts offers blocking reload"),
    rule("H78", Must, Lint, "draft-22 4.4.3.8, Apple 14.3", "PART-HOLD-BACK is three part targets at least"),
    rule("H79", Must, Lint, "draft-22 4.4.3.8", "HOLD-BACK is three target durations at least"),
    rule("H80", Must, Lint, "draft-22 4.4.3.8, Apple 14.4", "CAN-SKIP-UNTIL is six target durations at least, and offered beyond two minutes"),
    rule("H81", Must, Lint, "draft-22 4.4.3.8", "CAN-SKIP-DATERANGES comes only with CAN-SKIP-UNTIL"),
    rule("H82", Must, Lint, "draft-22 6.2.6, B.1", "an open playlist with parts hints the next part; one hint of each type"),
    rule("H83", Must, Diff, "draft-22 4.4.5.3, 6.2.6", "the next part listed is the one that was hinted"),
    rule("H84", Should, Diff, "draft-22 B.1", "a new init segment is hinted together with the part that needs it"),
    rule("H85", Must, Diff, "draft-22 4.4.5.4, B.1", "every other rendition is reported, with where it has come to"),
    rule("H86", Must, Time, "draft-22 B.1", "renditions keep in step within one part target"),
    rule("H88", Must, Lint, "draft-22 B.1", "without its low-latency tags it is still a playlist to play"),
    rule("H89", Should, Lint, "draft-22 6.2.2", "the parts listed make up no more than the last three target durations"),
    // Delivery directives.
    rule("H90", Must, Http, "draft-22 6.2.5.2", "a part asked for without its segment is refused with 400"),
    rule("H91", Must, Time, "draft-22 6.2.5.2", "a segment asked for is waited for"),
    rule("H92", Must, Time, "draft-22 6.2.5.2", "a part asked for is waited for"),
    rule("H93", Must, Http, "draft-22 6.2.5.2", "a part past the last of its segment counts as the first of the next"),
    rule("H94", Should, Http, "draft-22 6.2.5.2", "a segment more than two ahead is refused with 400 at once"),
    rule("H95", Should, Http, "draft-22 6.2.5.2", "a part too far ahead is refused with 400 at once"),
    rule("H96", Should, Time, "draft-22 6.2.5.2", "what does not come within three target durations is answered with 503"),
    rule("H97", Must, Http, "draft-22 6.2.5.2", "a segment long gone is answered with the playlist of now"),
    rule("H98", Must, Http, "draft-22 6.2.5", "the playlist is whole unless a delta update was asked for"),
    rule("H99", Should, Http, "draft-22 6.2.5", "bad values are refused with 400, unknown directives ignored"),
    rule("H100", Must, Time, "draft-22 6.2.5.2", "who waits when a broadcast ends gets the final playlist"),
    rule("H101", Must, Http, "draft-22 6.2.5.1", "a delta update comes where it is offered and asked for, and not after the end"),
    rule("H102", Must, Diff, "draft-22 6.2.5.1, 4.4.5.2", "a delta update and the version before it make the version of now"),
    rule("H103", Must, Diff, "draft-22 6.2.5.1", "a delta update that skips date ranges lists the removed ones"),
    rule("H104", Must, Http, "draft-22 6.2.5", "directives work in any order; HEAD answers like GET; no validator cuts a wait"),
    rule("H105", Must, Time, "draft-22 6.2.5.2", "a request without directives is answered at once"),
    // Parts and HTTP.
    rule("H106", Must, Time, "draft-22 6.2.6", "a hinted part is sent only when all of it can go"),
    rule("H107", Must, Http, "draft-22 6.2.6", "what is neither listed nor hinted is answered with 404 at once"),
    rule("H108", Must, Time, "draft-22 6.2.1", "what is listed is there at once and at full speed"),
    rule("H109", Must, Http, "draft-22 B.1, Apple 10.1", "playlists come in gzip to who accepts it, and say that they vary"),
    rule("H110", Should, Http, "draft-22 B.1", "low latency is served over HTTP/2 or HTTP/3"),
    rule("H111", Should, Http, "draft-22 B.1", "cache lifetimes fit what is served"),
    rule("H112", Should, Http, "draft-22 B.1", "a playlist varies by nothing but its coding, so that caches keep one"),
    rule("H113", Must, Http, "draft-22 B.1", "byte ranges of media are answered with 206 or 416 and the right bytes"),
    rule("H114", Must, Http, "Apple 10.4", "media has the media type of its container"),
    rule("H115", Should, Http, "Apple 8.18", "media is served without redirects"),
    rule("H116", Must, Http, "Apple 8.24", "Date is right, Last-Modified absent or near it"),
    rule("H117", Should, Http, "Fetch standard 3.2", "every answer can be read by a page of another origin"),
    rule("H118", Must, Http, "draft-22 B.1", "asking for a playlist changes nothing"),
];
