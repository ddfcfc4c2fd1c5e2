//! MP3: the frame header (ISO/IEC 11172-3, 2.4.2.3; 13818-3), which is all the configuration
//! there is.

use bytes::Bytes;

use super::{AudioCodec, AudioConfig};

/// What the header of a frame says. `None` when it is no Layer III frame.
pub(super) fn parse_frame(frame: &[u8]) -> Option<AudioConfig> {
    const LAYER_3: u8 = 1;
    let &[sync, head, rates, mode] = frame.first_chunk::<4>()?;
    if sync != 0xff || head >> 5 != 0b111 || (head >> 1) & 0x03 != LAYER_3 {
        return None;
    }
    // MPEG-1, MPEG-2 and MPEG-2.5 halve the rate, and the latter two the frame.
    let (halvings, samples) = match (head >> 3) & 0x03 {
        3 => (0, 1_152),
        2 => (1, 576),
        0 => (2, 576),
        _ => return None,
    };
    let rate = [44_100_u32, 48_000, 32_000].get(usize::from((rates >> 2) & 0x03))?;
    Some(AudioConfig {
        codec: AudioCodec::Mp3,
        record: Bytes::new(),
        codec_string: "mp4a.40.34".to_owned(),
        sample_rate: rate >> halvings,
        channels: if mode >> 6 == 3 { 1 } else { 2 },
        samples_per_frame: Some(samples),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let check = |frame: [u8; 4], rate, channels, samples| {
            let config = parse_frame(&frame).unwrap();
            assert_eq!((config.sample_rate, config.channels), (rate, channels), "{frame:x?}");
            assert_eq!(config.samples_per_frame, Some(samples), "{frame:x?}");
        };
        check([0xff, 0xfb, 0x90, 0x64], 44_100, 2, 1_152);
        check([0xff, 0xfb, 0x94, 0xc4], 48_000, 1, 1_152);
        check([0xff, 0xf3, 0x40, 0xc4], 22_050, 1, 576);
        check([0xff, 0xe3, 0x48, 0xc4], 8_000, 1, 576);
        for none in [[0xff, 0xfd, 0x90, 0x64], [0xff, 0xfb, 0x9c, 0], [0, 0xfb, 0x90, 0]] {
            assert_eq!(parse_frame(&none), None, "{none:x?}");
        }
        assert_eq!(parse_frame(&[0xff, 0xfb]), None);
    }
}
