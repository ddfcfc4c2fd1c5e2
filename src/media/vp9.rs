//! VP9: the VPCodecConfigurationRecord (VP codec ISO media file format binding) and the header
//! of a frame (VP9 6.2). The record does not know the size of the picture; keyframes do.

use bytes::{BufMut, Bytes, BytesMut};
use shiguredo_mp4::bitstream::vp9::{Vp9FrameSize, parse_frame_header};

use super::bits::Bits;
use super::config_error::{ConfigError, OrBits};
use super::picture::Picture;
use super::{VideoCodec, VideoConfig};

const RECORD: &str = "the VP9 configuration";
/// What stands in front of the record in its box: version 1, no flags.
const BOX_HEAD: [u8; 4] = [1, 0, 0, 0];
/// Level, where the record leaves it open: 4.1 holds 1080p60, and a player only compares it.
const LEVEL_DEFAULT: u8 = 41;

/// Reads a configuration record with the size of a keyframe. Senders differ in whether they put
/// the head of the `vpcC` box in front; the result always has it.
pub fn parse_config_with(record: &Bytes, keyframe: &[u8]) -> Result<VideoConfig, ConfigError> {
    let record = check_record(record)?;
    let body = record.get(BOX_HEAD.len()..).unwrap_or_default();
    let short = ConfigError::Truncated { record: RECORD, need: 8, got: body.len() };
    let &[profile, level, depth, ..] = body.first_chunk::<3>().ok_or(short)?;
    let level = if level == 0 { LEVEL_DEFAULT } else { level };
    let header = parse_frame_header(keyframe).ok().or_bits(RECORD, "the keyframe's header")?;
    let missing = ConfigError::Missing { record: "the VP9 keyframe", what: "picture size" };
    let Vp9FrameSize::Resolved { width, height } = header.frame_size else { return Err(missing) };
    let picture = Picture { width, height, crop_width: 0, crop_height: 0 };
    let (width, height) = picture.shown(RECORD)?;
    Ok(VideoConfig {
        codec: VideoCodec::Vp9,
        codec_string: format!("vp09.{profile:02}.{level:02}.{:02}", depth >> 4),
        record,
        width,
        height,
        frame_rate: None,
    })
}

/// The content of `vpcC`, with the head of the box.
pub(super) fn check_record(record: &Bytes) -> Result<Bytes, ConfigError> {
    const LEN: usize = 8;
    let headed = record.starts_with(&BOX_HEAD);
    let need = LEN + if headed { BOX_HEAD.len() } else { 0 };
    if record.len() < need {
        return Err(ConfigError::Truncated { record: RECORD, need, got: record.len() });
    }
    if headed {
        return Ok(record.clone());
    }
    let mut whole = BytesMut::with_capacity(BOX_HEAD.len() + record.len());
    whole.put_slice(&BOX_HEAD);
    whole.put_slice(record);
    Ok(whole.freeze())
}

/// Whether a frame decodes alone, by the first bits of its header (VP9 6.2). `None` when they
/// make no sense.
pub(super) fn is_keyframe(frame: &[u8]) -> Option<bool> {
    const MARKER: u32 = 0b10;
    const RESERVED_PROFILE: u32 = 3;
    let mut bits = Bits::new(frame);
    if bits.u(2)? != MARKER {
        return None;
    }
    if bits.u(2)? == RESERVED_PROFILE {
        bits.skip(1)?;
    }
    let shows_existing = bits.bit()?;
    Some(!shows_existing && !bits.bit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: [u8; 8] = [0, 11, 0x82, 2, 2, 2, 0, 0];
    /// The uncompressed header of a keyframe, 322x182.
    const KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x20, 0x14, 0x10, 0x0b, 0x50, 0x00];

    #[test]
    fn both_forms_of_the_record() {
        let headed = Bytes::from([&BOX_HEAD[..], &BODY].concat());
        for record in [headed.clone(), Bytes::from_static(&BODY)] {
            let config = parse_config_with(&record, &KEY).unwrap();
            assert_eq!(config.codec_string, "vp09.00.11.08");
            assert_eq!((config.width, config.height), (322, 182));
            assert_eq!(config.record, headed);
        }
        parse_config_with(&headed.slice(..11), &KEY).expect_err("cut");
        parse_config_with(&headed, &[0x86, 0]).expect_err("no keyframe");
    }

    #[test]
    fn keyframes_by_their_header() {
        assert_eq!(is_keyframe(&KEY), Some(true));
        assert_eq!(is_keyframe(&[0x86, 0, 0, 0]), Some(false));
        assert_eq!(is_keyframe(&[0x02]), None);
    }

    proptest::proptest! {
        #[test]
        fn no_frame_panics(frame: Vec<u8>, record: Vec<u8>) {
            let _ = is_keyframe(&frame);
            let _ = parse_config_with(&record.into(), &frame);
        }
    }
}
