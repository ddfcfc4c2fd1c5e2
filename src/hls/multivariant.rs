use std::collections::HashMap;

use m3u8_rs::{MasterPlaylist, QuotedOrUnquoted, Resolution, VariantStream};

use super::names::{PlaylistForm, playlist_path};
use super::window::Window;
use crate::base::BroadcastId;
use crate::media::Format;

/// What the multivariant playlist says about the one rendition. Everything in it is measured or
/// read from the bitstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// RFC 6381 strings of every track, video first, joined by commas.
    pub codecs: String,
    /// Cropped, in pixels; `None` for audio alone.
    pub resolution: Option<(u16, u16)>,
    /// Thousandths of a frame a second; `None` for audio alone or when unsure.
    pub frame_rate_millis: Option<u32>,
    /// Peak and average bits a second.
    pub bandwidth: Bandwidth,
}

/// Bits a second, rounded up to two digits so that the text does not change with every segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    pub peak: u64,
    pub average: u64,
}

impl Variant {
    /// `measured_rate_millis` stands in where the bitstream states no frame rate.
    pub fn new(format: &Format, bandwidth: Bandwidth, measured_rate_millis: Option<u32>) -> Self {
        let video = format.video.as_ref();
        let codecs = video.map(|v| v.codec_string.as_str()).into_iter();
        let codecs = codecs.chain(format.audio.as_ref().map(|a| a.codec_string.as_str()));
        let stated = video.and_then(|v| v.frame_rate).and_then(rate_millis);
        Self {
            codecs: codecs.collect::<Vec<_>>().join(","),
            resolution: video.map(|v| (v.width, v.height)),
            frame_rate_millis: video.and_then(|_| stated.or(measured_rate_millis)),
            bandwidth,
        }
    }
}

impl Bandwidth {
    /// The greatest and the mean rate of the broadcast so far. Before there is a whole segment, the
    /// open one must do.
    pub fn measure(window: &Window) -> Option<Self> {
        let flow = window.flow();
        let average = flow.average().or_else(|| window.open_rate())?;
        let peak = flow.peak().max(average);
        Some(Self { peak: two_digits_up(peak), average: two_digits_up(average) })
    }
}

/// The multivariant playlist of a broadcast (draft-pantos-hls-rfc8216bis 4.4.6), for an address
/// from which `prefix` leads to the channel. The same input gives the same text.
pub fn render_multivariant(
    variant: &Variant,
    prefix: &str,
    broadcast: BroadcastId,
    form: PlaylistForm,
) -> String {
    let resolution =
        |(width, height)| Resolution { width: u64::from(width), height: u64::from(height) };
    // The library prints a rate as short as it can; three decimals are asked for. One extra
    // attribute at most: it writes them in no fixed order.
    let frame_rate = variant.frame_rate_millis.map(|millis| {
        let text = format!("{}.{:03}", millis / 1_000, millis % 1_000);
        HashMap::from([("FRAME-RATE".to_owned(), QuotedOrUnquoted::Unquoted(text))])
    });
    let playlist = MasterPlaylist {
        variants: vec![VariantStream {
            uri: playlist_path(prefix, broadcast, form),
            bandwidth: variant.bandwidth.peak,
            average_bandwidth: Some(variant.bandwidth.average),
            codecs: Some(variant.codecs.clone()),
            resolution: variant.resolution.map(resolution),
            other_attributes: frame_rate,
            ..VariantStream::default()
        }],
        ..MasterPlaylist::default()
    };
    let mut text = Vec::with_capacity(256);
    playlist.write_to(&mut text).expect("writing to memory does not fail");
    String::from_utf8(text).expect("made of strings")
}

fn rate_millis((frames, seconds): (u32, u32)) -> Option<u32> {
    let millis = u64::from(frames) * 1_000 + u64::from(seconds) / 2;
    u32::try_from(millis.checked_div(u64::from(seconds))?).ok()
}

fn two_digits_up(rate: u64) -> u64 {
    let mut step = 1;
    while rate / step >= 100 {
        step *= 10;
    }
    rate.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::media::{self, AudioCodec, AudioConfig, VideoCodec, VideoConfig};
    use crate::testing::clips;

    fn audio() -> AudioConfig {
        AudioConfig {
            codec: AudioCodec::Aac,
            record: Bytes::from_static(&[0x12, 0x10]),
            codec_string: "mp4a.40.2".to_owned(),
            sample_rate: 44_100,
            channels: 2,
            samples_per_frame: Some(1_024),
        }
    }

    fn video(frame_rate: Option<(u32, u32)>) -> VideoConfig {
        VideoConfig {
            codec: VideoCodec::Avc,
            record: Bytes::new(),
            codec_string: "avc1.64001f".to_owned(),
            width: 1_280,
            height: 720,
            frame_rate,
        }
    }

    const BANDWIDTH: Bandwidth = Bandwidth { peak: 2_600_000, average: 2_500_000 };

    fn text(format: &Format, measured: Option<u32>, prefix: &str) -> String {
        let variant = Variant::new(format, BANDWIDTH, measured);
        render_multivariant(&variant, prefix, BroadcastId::new(36), PlaylistForm::LowLatency)
    }

    // H60, H61, H62, H64, H69: every attribute of a rendition, and no others; the same each time.
    #[test]
    fn a_broadcast_with_both_tracks() {
        let format = Format { video: Some(video(Some((30_000, 1_001)))), audio: Some(audio()) };
        let expected = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2600000,AVERAGE-BANDWIDTH=2500000,\
            CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=1280x720,FRAME-RATE=29.970\n10/live.m3u8\n";
        for _ in 0..20 {
            assert_eq!(text(&format, Some(30_000), ""), expected);
        }
    }

    // H68: a broadcast of sound alone states nothing of pictures.
    #[test]
    fn audio_alone_has_no_attributes_of_video() {
        let format = Format { video: None, audio: Some(audio()) };
        let expected = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=2600000,AVERAGE-BANDWIDTH=2500000,\
            CODECS=\"mp4a.40.2\"\n../demo/10/live.m3u8\n";
        assert_eq!(text(&format, Some(30_000), "../demo/"), expected);
    }

    // H61: a rate nobody is sure of is left out.
    #[test]
    fn the_frame_rate_is_stated_measured_or_absent() {
        let rate = |stated, measured| {
            let format = Format { video: Some(video(stated)), audio: None };
            let text = text(&format, measured, "");
            text.split_once("FRAME-RATE=").map(|(_, rest)| rest.lines().next().unwrap().to_owned())
        };
        assert_eq!(rate(None, None), None);
        assert_eq!(rate(None, Some(59_940)).as_deref(), Some("59.940"));
        assert_eq!(rate(Some((25, 1)), Some(59_940)).as_deref(), Some("25.000"));
        assert_eq!(rate(Some((25, 0)), None), None);
    }

    proptest! {
        /// H6: what an encoder writes into its configuration cannot leave the quotes, nor begin a
        /// line of its own.
        #[test]
        fn foreign_bytes_bring_no_foreign_text(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let changed = |record: Bytes| {
                let mut record = record.to_vec();
                for (place, byte) in &changes {
                    *place.get_mut(&mut record) = *byte;
                }
                Bytes::from(record)
            };
            let av1 = media::av1::parse_config(&changed(clips::av1_record())).ok().flatten();
            let videos = [
                media::avc::parse_config(&changed(clips::avc_record())).ok(),
                media::hevc::parse_config(&changed(clips::hevc_record())).ok(),
                av1,
            ];
            let audio = media::aac::parse_config(&changed(clips::aac_record())).ok();
            for video in videos {
                let text = text(&Format { video, audio: audio.clone() }, None, "");
                let plain = |c: char| c.is_ascii_alphanumeric() || "#-:=\",./\n".contains(c);
                prop_assert!(text.chars().all(plain), "{}", text);
                prop_assert_eq!((text.lines().count(), text.matches('"').count()), (3, 2));
            }
        }
    }

    #[test]
    fn the_library_reads_its_own_text() {
        let format = Format { video: Some(video(Some((30, 1)))), audio: Some(audio()) };
        let text = text(&format, None, "");
        let (rest, playlist) = m3u8_rs::parse_master_playlist(text.as_bytes()).expect("a playlist");
        assert!(rest.is_empty());
        assert_eq!(playlist.variants.first().and_then(|v| v.frame_rate), Some(30.0));
    }

    #[test]
    fn rates_round_up_to_two_digits() {
        for (rate, rounded) in [(0, 0), (99, 99), (100, 100), (101, 110), (2_510_000, 2_600_000)] {
            assert_eq!(two_digits_up(rate), rounded, "{rate}");
        }
    }
}
