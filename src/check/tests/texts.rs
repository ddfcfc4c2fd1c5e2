//! Playlists that keep every rule.

use std::fmt::Write as _;

fn date(second: u64) -> String {
    format!("2026-11-21T08:{:02}:{:02}.000Z", second / 60, second % 60)
}

/// Low latency: whole segments of a second from `first` on, parts of half a second for the last
/// three of them, and one part of the open segment.
pub(super) fn low_latency(first: u64, whole: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:1\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=6.0,CAN-SKIP-DATERANGES=YES,\
         HOLD-BACK=3.0,PART-HOLD-BACK=1.5\n\
         #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MAP:URI=\"init-1.mp4\"\n"
    );
    let open = first + whole;
    for msn in first..=open {
        let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date(msn));
        if msn + 3 >= open {
            let _ =
                writeln!(text, "#EXT-X-PART:DURATION=0.50000,URI=\"p{msn}.0.m4s\",INDEPENDENT=YES");
        }
        if msn == open {
            let _ = writeln!(text, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p{msn}.1.m4s\"");
            break;
        }
        if msn + 3 >= open {
            let _ = writeln!(text, "#EXT-X-PART:DURATION=0.50000,URI=\"p{msn}.1.m4s\"");
        }
        let _ = writeln!(text, "#EXTINF:1.00000,\ns{msn}.m4s");
    }
    text
}

/// The delta update of [`low_latency`] that skips so many segments.
pub(super) fn delta(first: u64, whole: u64, skipped: u64) -> String {
    let text = low_latency(first, whole).replace("VERSION:6", "VERSION:9");
    let (head, rest) = text.split_once("#EXT-X-MAP:URI=\"init-1.mp4\"\n").expect("a map");
    let kept = format!("#EXT-X-PROGRAM-DATE-TIME:{}", date(first + skipped));
    let rest = rest.get(rest.find(&kept).expect("kept")..).unwrap_or_default();
    format!("{head}#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}\n{rest}")
}

/// Live MPEG-TS of four seconds a segment.
pub(super) fn plain(first: u64, whole: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:0\n#EXT-X-PROGRAM-DATE-TIME:{}\n",
        date(first * 4)
    );
    for msn in first..first + whole {
        let _ = writeln!(text, "#EXTINF:4.000,\nlive-{msn}.ts");
    }
    text
}

/// Fragments of one file, encrypted, and complete.
pub(super) const VOD: &str = "#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:6
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-KEY:METHOD=AES-128,URI=\"key\",IV=0x00000000000000000000000000000001
#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"800@0\"
#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-11-21T08:00:06.000Z\",DURATION=6.0
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
#EXTINF:6.000,
#EXT-X-BYTERANGE:1000@800
all.mp4
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:06.000Z
#EXTINF:5.500,
#EXT-X-BYTERANGE:900
all.mp4
#EXT-X-ENDLIST
";

/// A recording while it is made.
pub(super) const EVENT: &str = "#EXTM3U
#EXT-X-VERSION:3
#EXT-X-TARGETDURATION:6
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-11-21T08:00:06.000Z\",DURATION=6.0
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T08:00:00.000Z
#EXTINF:6.000,
e0.ts
#EXTINF:6.000,
e1.ts
";

pub(super) const MULTIVARIANT: &str = "#EXTM3U
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"Deutsch, leise\",URI=\"a.m3u8\"
#EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=30.000,CLOSED-CAPTIONS=NONE,AUDIO=\"a\"
hi.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=900000,AVERAGE-BANDWIDTH=700000,CODECS=\"avc1.64001e,mp4a.40.2\",RESOLUTION=640x360,FRAME-RATE=30.000,CLOSED-CAPTIONS=NONE,AUDIO=\"a\"
lo.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=140000,AVERAGE-BANDWIDTH=130000,CODECS=\"mp4a.40.2\",CLOSED-CAPTIONS=NONE,AUDIO=\"a\"
a.m3u8
";

/// What nginx-rtmp writes: numbers from 0, the longest length it holds as target, nothing else.
pub(super) fn nginx_rtmp(first: u64, lengths: &[&str]) -> String {
    let longest =
        lengths.iter().filter_map(|length| length.parse::<f64>().ok()).fold(0.0, f64::max);
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:{first}\n#EXT-X-TARGETDURATION:{}\n",
        longest.ceil()
    );
    for (msn, length) in (first..).zip(lengths) {
        let _ = writeln!(text, "#EXTINF:{length},\nlive-{msn}.ts");
    }
    text
}
