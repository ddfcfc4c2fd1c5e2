//! H.264: the AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1), the sequence parameter
//! set inside it (H.264 7.3.2.1.1, VUI E.1.1), and which frames decode alone.

use bytes::Bytes;

use super::bits::{Bits, without_emulation_prevention};
use super::config_error::{ConfigError, OrBits};
use super::nal::{for_each_nal, skip_vui_picture};
use super::picture::{Picture, frame_rate, unpromised_frame_rate};
use super::{VideoCodec, VideoConfig};

const RECORD: &str = "the AVC configuration";
/// `nal_unit_type` of a slice of an IDR picture (H.264 table 7-1).
const NAL_IDR: u8 = 5;
/// `nal_unit_type` of a sequence parameter set.
const NAL_SPS: u8 = 7;
/// Profiles whose parameter set says more about chroma and scaling (H.264 7.3.2.1.1).
const HIGH_PROFILES: &[u32] = &[100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// Reads a configuration record. The first parameter set decides size and rate.
pub fn parse_config(record: &Bytes) -> Result<VideoConfig, ConfigError> {
    let short = ConfigError::Truncated { record: RECORD, need: 8, got: record.len() };
    let Some(&[version, profile, constraints, level, lengths, sets, hi, lo]) =
        record.first_chunk::<8>()
    else {
        return Err(short);
    };
    if version != 1 {
        return Err(ConfigError::Version { record: RECORD, got: version, expected: 1 });
    }
    if length_size_of(lengths) == 3 {
        return Err(ConfigError::Value { record: RECORD, field: "NAL length size", value: 3 });
    }
    if sets & 0x1f == 0 {
        return Err(ConfigError::Missing { record: RECORD, what: "sequence parameter set" });
    }
    let need = 8 + usize::from(u16::from_be_bytes([hi, lo]));
    let short = ConfigError::Truncated { record: RECORD, need, got: record.len() };
    let sps = parse_sps(record.get(8..need).ok_or(short)?)?;
    let (width, height) = sps.picture.shown(RECORD)?;
    Ok(VideoConfig {
        codec: VideoCodec::Avc,
        record: record.clone(),
        codec_string: format!("avc1.{profile:02x}{constraints:02x}{level:02x}"),
        width,
        height,
        frame_rate: sps.frame_rate,
    })
}

/// How many bytes the length before each NAL unit has, by a record that was parsed before.
pub(super) fn length_size(record: &[u8]) -> usize {
    record.get(4).map_or(4, |&byte| length_size_of(byte))
}

fn length_size_of(byte: u8) -> usize {
    usize::from(byte & 0x03) + 1
}

/// Whether a frame decodes alone: it holds an IDR slice. `None` when its lengths are broken.
pub(crate) fn is_keyframe(frame: &[u8], length_size: usize) -> Option<bool> {
    let mut idr = false;
    for_each_nal(frame, length_size, |nal| {
        idr |= nal.first().is_some_and(|head| head & 0x1f == NAL_IDR);
    })?;
    Some(idr)
}

#[derive(Clone, Copy, Debug)]
struct Sps {
    picture: Picture,
    frame_rate: Option<(u32, u32)>,
}

fn parse_sps(nal: &[u8]) -> Result<Sps, ConfigError> {
    let head = nal.first().or_bits(RECORD, "sequence parameter set")?;
    if head & 0x1f != NAL_SPS {
        let value = u32::from(head & 0x1f);
        return Err(ConfigError::Value { record: RECORD, field: "parameter set type", value });
    }
    let plain = without_emulation_prevention(nal);
    let mut bits = Bits::new(plain.get(1..).unwrap_or_default());
    let picture = parse_picture(&mut bits).or_bits(RECORD, "sequence parameter set")?;
    // A fault in the VUI costs the frame rate, not the stream.
    let frame_rate = parse_vui_rate(&mut bits).flatten();
    Ok(Sps { picture, frame_rate })
}

/// Up to `vui_parameters_present_flag`.
fn parse_picture(bits: &mut Bits<'_>) -> Option<Picture> {
    let profile = bits.u(8)?;
    bits.skip(16)?;
    bits.ue()?;
    let mut chroma_format = 1;
    let mut separate_planes = false;
    if HIGH_PROFILES.contains(&profile) {
        chroma_format = bits.ue().filter(|&format| format <= 3)?;
        if chroma_format == 3 {
            separate_planes = bits.bit()?;
        }
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
        if bits.bit()? {
            skip_scaling_matrix(bits, if chroma_format == 3 { 12 } else { 8 })?;
        }
    }
    bits.ue()?;
    skip_picture_order(bits)?;
    bits.ue()?;
    bits.skip(1)?;
    let width_in_blocks = bits.ue()?.checked_add(1)?;
    let height_in_units = bits.ue()?.checked_add(1)?;
    let frame_blocks_only = bits.bit()?;
    if !frame_blocks_only {
        bits.skip(1)?;
    }
    bits.skip(1)?;
    let fields = if frame_blocks_only { 1 } else { 2 };
    let mut picture = Picture {
        width: width_in_blocks.checked_mul(16)?,
        height: height_in_units.checked_mul(16)?.checked_mul(fields)?,
        crop_width: 0,
        crop_height: 0,
    };
    if bits.bit()? {
        // Cropping counts in chroma samples (H.264 table 6-1, equations 7-19 to 7-22).
        let subsampled = !separate_planes;
        let unit_x = if subsampled && matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_y = if subsampled && chroma_format == 1 { 2 } else { 1 } * fields;
        picture.crop_width = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_x)?;
        picture.crop_height = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_y)?;
    }
    Some(picture)
}

fn skip_scaling_matrix(bits: &mut Bits<'_>, lists: u32) -> Option<()> {
    for list in 0..lists {
        if !bits.bit()? {
            continue;
        }
        let size = if list < 6 { 16 } else { 64 };
        let (mut last, mut next) = (8, 8);
        for _ in 0..size {
            if next != 0 {
                next = (last + bits.se()?.rem_euclid(256)) % 256;
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

fn skip_picture_order(bits: &mut Bits<'_>) -> Option<()> {
    match bits.ue()? {
        0 => bits.ue().map(drop),
        1 => {
            bits.skip(1)?;
            bits.se()?;
            bits.se()?;
            let cycle = bits.ue().filter(|&count| count <= 255)?;
            for _ in 0..cycle {
                bits.se()?;
            }
            Some(())
        }
        _ => Some(()),
    }
}

/// From `vui_parameters_present_flag`: the frame rate, where it can be believed.
fn parse_vui_rate(bits: &mut Bits<'_>) -> Option<Option<(u32, u32)>> {
    if !bits.bit()? {
        return Some(None);
    }
    skip_vui_picture(bits)?;
    if !bits.bit()? {
        return Some(None);
    }
    let (tick, scale, fixed) = (bits.u(32)?, bits.u(32)?, bits.bit()?);
    // A tick is a field: two make a frame (H.264 E.2.1).
    let (frames, seconds) = (u64::from(scale), 2 * u64::from(tick));
    Some(if fixed { frame_rate(frames, seconds) } else { unpromised_frame_rate(frames, seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::clips;

    #[test]
    fn a_real_record() {
        let config = parse_config(&clips::avc_record()).unwrap();
        assert_eq!(config.codec_string, "avc1.64000d");
        assert_eq!((config.width, config.height), (320, 180));
        assert_eq!(config.frame_rate, Some((30, 1)));
        assert_eq!(length_size(&config.record), 4);
    }

    #[test]
    fn every_cut_is_an_error() {
        let record = clips::avc_record();
        for len in 0..30 {
            parse_config(&record.slice(..len)).expect_err("cut");
        }
    }

    #[test]
    fn keyframes_by_their_slices() {
        assert_eq!(is_keyframe(&[0, 0, 0, 1, 0x06, 0, 0, 0, 1, 0x65], 4), Some(true));
        assert_eq!(is_keyframe(&[0, 0, 0, 1, 0x41], 4), Some(false));
        assert_eq!(is_keyframe(&[0, 0, 0, 2, 0x65], 4), None);
        assert_eq!(is_keyframe(&[1, 0x65], 1), Some(true));
    }

    proptest::proptest! {
        #[test]
        fn no_record_panics(tail: Vec<u8>, at in 0_usize..60, byte: u8) {
            let _ = parse_config(&tail.clone().into());
            let _ = parse_config(&clips::spoilt(&clips::avc_record(), &tail, at, byte));
        }
    }
}
