//! Whatever encoders state of themselves, the playlists that come of it are read by a strict
//! parser that is not ours.

use bytes::Bytes;
use ghostlight::base::BroadcastId;
use ghostlight::hls::{Bandwidth, PlaylistForm, Variant, render_multivariant};
use ghostlight::media::{Format, aac, av1, avc, flac, hevc, opus, vp9};
use ghostlight::testing::{clips, fuzz, fuzz_hls};
use quick_m3u8::config::ParsingOptionsBuilder;
use quick_m3u8::{HlsLine, Reader};

/// A codec configuration (see [`fuzz::codec_config`]), and the multivariant playlist of each codec
/// that takes it. The last byte says which rates are stated beside it.
pub(super) fn codec_config(bytes: &[u8]) {
    fuzz::codec_config(bytes);
    let how = bytes.last().copied().unwrap_or_default();
    let record = Bytes::copy_from_slice(bytes);
    let half = record.slice(record.len() / 2..);
    let videos = [
        avc::parse_config(&record).ok(),
        hevc::parse_config(&record).ok(),
        av1::parse_config(&record).ok().flatten(),
        vp9::parse_config_with(&record, &half).ok(),
    ];
    let audios =
        [aac::parse_config(&record), opus::parse_config(&record), flac::parse_config(&record)];
    let both = Format::clone(&clips::format());
    let with_video =
        videos.into_iter().flatten().map(|video| Format { video: Some(video), ..both.clone() });
    let with_audio =
        audios.into_iter().flatten().map(|audio| Format { audio: Some(audio), ..both.clone() });
    for format in with_video.chain(with_audio) {
        let bandwidth = Bandwidth { peak: u64::MAX >> (how & 63), average: u64::from(how) };
        let measured = (how & 1 == 0).then_some(u32::MAX >> (how & 31));
        let variant = Variant::new(&format, bandwidth, measured);
        let broadcast = BroadcastId::new(u64::from(how));
        let text = render_multivariant(&variant, "", broadcast, PlaylistForm::LowLatency);
        strictly(&text);
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}

/// A broadcast (see [`fuzz_hls::segmenter`]), and every version of its playlist.
pub(super) fn segmenter(script: &[u8]) {
    fuzz_hls::segmenter(script, strictly);
}

/// Every line is one that the parser knows, and no text is more than printable.
fn strictly(text: &str) {
    let all = ParsingOptionsBuilder::new().with_parsing_for_all_tags().build();
    let mut reader = Reader::from_str(text, all);
    let mut lines = 0;
    while let Some(line) = reader.read_line().expect("valid lines") {
        lines += 1;
        match line {
            HlsLine::Uri(uri) => assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()), "{uri}"),
            HlsLine::KnownTag(_) => {}
            HlsLine::UnknownTag(_) | HlsLine::Comment(_) | HlsLine::Blank => {
                panic!("{line:?} in\n{text}")
            }
        }
    }
    assert_eq!(text.lines().count(), lines, "{text}");
    assert!(text.chars().all(|c| c == '\n' || (' '..='~').contains(&c)), "{text:?}");
}
