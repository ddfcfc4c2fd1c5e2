//! AV1: the AV1CodecConfigurationRecord (AV1 in ISOBMFF 2.3.3), the sequence header in it (AV1
//! 5.5), and which temporal units decode alone.

use bytes::Bytes;
use shiguredo_mp4::bitstream::av1::{Av1SequenceHeader, parse_sequence_header};

use super::config_error::{ConfigError, OrBits};
use super::picture::Picture;
use super::{VideoCodec, VideoConfig};

const RECORD: &str = "the AV1 configuration";
/// The fixed part of the record, before the OBUs.
const HEAD: usize = 4;
/// `obu_type` (AV1 6.2.2).
const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;

/// Reads a configuration record. `None` when it is sound but holds no sequence header: then the
/// first keyframe tells, through [`parse_config_with`].
pub fn parse_config(record: &Bytes) -> Result<Option<VideoConfig>, ConfigError> {
    let obus = split_record(record)?;
    find_obu(obus, OBU_SEQUENCE_HEADER).map(|header| describe(record, header)).transpose()
}

/// Reads a configuration record with the sequence header of a keyframe.
pub fn parse_config_with(record: &Bytes, keyframe: &[u8]) -> Result<VideoConfig, ConfigError> {
    split_record(record)?;
    let missing = ConfigError::Missing { record: "the AV1 keyframe", what: "sequence header" };
    describe(record, find_obu(keyframe, OBU_SEQUENCE_HEADER).ok_or(missing)?)
}

fn split_record(record: &Bytes) -> Result<&[u8], ConfigError> {
    const MARKER_AND_VERSION: u8 = 0x81;
    let short = ConfigError::Truncated { record: RECORD, need: HEAD, got: record.len() };
    let (&[version, ..], obus) = record.split_first_chunk::<HEAD>().ok_or(short)?;
    if version != MARKER_AND_VERSION {
        let expected = MARKER_AND_VERSION;
        return Err(ConfigError::Version { record: RECORD, got: version, expected });
    }
    Ok(obus)
}

fn describe(record: &Bytes, header: &[u8]) -> Result<VideoConfig, ConfigError> {
    let header = parse_sequence_header(header).ok().or_bits(RECORD, "sequence header")?;
    let (width, height) = (header.max_frame_width, header.max_frame_height);
    let picture = Picture { width, height, crop_width: 0, crop_height: 0 };
    let (width, height) = picture.shown(RECORD)?;
    Ok(VideoConfig {
        codec: VideoCodec::Av1,
        record: record.clone(),
        codec_string: codec_string(&header),
        width,
        height,
        frame_rate: None,
    })
}

/// `av01.P.LLT.DD` (AV1 in ISOBMFF, 5).
fn codec_string(header: &Av1SequenceHeader) -> String {
    let tier = if header.seq_tier_0 == 0 { 'M' } else { 'H' };
    let depth = match (header.high_bitdepth, header.twelve_bit) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    format!("av01.{}.{:02}{tier}.{depth:02}", header.seq_profile, header.seq_level_idx_0)
}

/// Whether a temporal unit decodes alone: its first frame is a shown key frame (AV1 7.6.2).
/// `None` when its OBUs are broken.
pub(super) fn is_keyframe(unit: &[u8]) -> Option<bool> {
    let mut rest = unit;
    while !rest.is_empty() {
        let (obu, behind) = split_obu(rest)?;
        if obu.kind == OBU_FRAME || obu.kind == OBU_FRAME_HEADER {
            // show_existing_frame 0, frame_type KEY_FRAME 00, show_frame 1 (AV1 5.9.2).
            return Some(obu.payload.first()? >> 4 == 0b0001);
        }
        rest = behind;
    }
    Some(false)
}

struct Obu<'a> {
    kind: u8,
    payload: &'a [u8],
}

fn find_obu(obus: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = obus;
    loop {
        let (obu, behind) = split_obu(rest)?;
        if obu.kind == kind {
            return Some(obu.payload);
        }
        rest = behind;
    }
}

/// One OBU and what is behind it (AV1 5.3). Without a size it reaches to the end.
fn split_obu(bytes: &[u8]) -> Option<(Obu<'_>, &[u8])> {
    const HAS_EXTENSION: u8 = 0x04;
    const HAS_SIZE: u8 = 0x02;
    let (&head, mut rest) = bytes.split_first()?;
    if head & HAS_EXTENSION != 0 {
        rest = rest.get(1..)?;
    }
    let mut behind: &[u8] = &[];
    if head & HAS_SIZE != 0 {
        let size;
        (size, rest) = split_leb128(rest)?;
        (rest, behind) = rest.split_at_checked(size)?;
    }
    Some((Obu { kind: (head >> 3) & 0x0f, payload: rest }, behind))
}

/// A little-endian base 128 number of at most 8 bytes (AV1 4.10.5).
fn split_leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (index, &byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::clips;

    #[test]
    fn a_real_record() {
        let config = parse_config(&clips::av1_record()).unwrap().expect("a sequence header");
        assert_eq!(config.codec_string, "av01.0.00M.08");
        assert_eq!((config.width, config.height), (322, 182));
        let bare = clips::av1_record().slice(..4);
        assert_eq!(parse_config(&bare), Ok(None));
        let keyframe = clips::av1_record().slice(4..);
        assert_eq!(parse_config_with(&bare, &keyframe).unwrap().width, 322);
    }

    #[test]
    fn keyframes_by_their_frame_header() {
        assert_eq!(is_keyframe(&[0x12, 0, 0x32, 1, 0x10]), Some(true));
        assert_eq!(is_keyframe(&[0x12, 0, 0x32, 1, 0x30]), Some(false));
        assert_eq!(is_keyframe(&[0x12, 0, 0x1a, 1, 0x90]), Some(false));
        assert_eq!(is_keyframe(&[0x12, 0]), Some(false));
        assert_eq!(is_keyframe(&[0x32, 9, 0x10]), None);
        assert_eq!(is_keyframe(&[0x32, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]), None);
    }

    #[test]
    fn the_version_is_checked() {
        let error = parse_config(&Bytes::from_static(&[0x01, 0, 0, 0])).unwrap_err();
        assert_eq!(error, ConfigError::Version { record: RECORD, got: 1, expected: 0x81 });
    }

    proptest::proptest! {
        #[test]
        fn no_record_panics(tail: Vec<u8>, at in 0_usize..20, byte: u8) {
            let _ = is_keyframe(&tail);
            let _ = parse_config(&clips::spoilt(&clips::av1_record(), &tail, at, byte));
        }
    }
}
