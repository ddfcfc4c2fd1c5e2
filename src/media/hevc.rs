//! HEVC: the HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1), the sequence parameter
//! set inside it (H.265 7.3.2.2), and which frames decode alone.

use bytes::Bytes;

use super::bits::{Bits, without_emulation_prevention};
use super::config_error::{ConfigError, OrBits};
use super::hevc_sets;
use super::nal::{for_each_nal, skip_vui_picture};
use super::picture::{Picture, unpromised_frame_rate};
use super::{VideoCodec, VideoConfig};

const RECORD: &str = "the HEVC configuration";
/// Fixed part of the record, before the arrays of parameter sets.
const HEAD: usize = 23;
/// `nal_unit_type` of the pictures one can start at: BLA, IDR and CRA (H.265 table 7-1).
const NAL_IRAP: std::ops::RangeInclusive<u8> = 16..=21;
const NAL_SPS: u8 = 33;

/// Reads a configuration record. The first sequence parameter set decides size and rate.
pub fn parse_config(record: &Bytes) -> Result<VideoConfig, ConfigError> {
    let short = ConfigError::Truncated { record: RECORD, need: HEAD, got: record.len() };
    let (head, arrays) = record.split_first_chunk::<HEAD>().ok_or(short)?;
    let [version, general @ .., lengths, _] = *head;
    // The first encoders wrote 0 where the standard settled on 1.
    if version > 1 {
        return Err(ConfigError::Version { record: RECORD, got: version, expected: 1 });
    }
    if length_size_of(lengths) == 3 {
        return Err(ConfigError::Value { record: RECORD, field: "NAL length size", value: 3 });
    }
    let missing = ConfigError::Missing { record: RECORD, what: "sequence parameter set" };
    let sps = find_sps(arrays).ok_or(missing)?;
    let (picture, frame_rate) = parse_sps(sps).or_bits(RECORD, "sequence parameter set")?;
    let (width, height) = picture.shown(RECORD)?;
    Ok(VideoConfig {
        codec: VideoCodec::Hevc,
        record: record.clone(),
        codec_string: codec_string(&general),
        width,
        height,
        frame_rate,
    })
}

/// How many bytes the length before each NAL unit has, by a record that was parsed before.
pub(super) fn length_size(record: &[u8]) -> usize {
    record.get(HEAD - 2).map_or(4, |&byte| length_size_of(byte))
}

fn length_size_of(byte: u8) -> usize {
    usize::from(byte & 0x03) + 1
}

/// Whether a frame decodes alone: it holds a slice of an IRAP picture. `None` when its lengths
/// are broken.
pub(crate) fn is_keyframe(frame: &[u8], length_size: usize) -> Option<bool> {
    let mut irap = false;
    for_each_nal(frame, length_size, |nal| {
        irap |= nal.first().is_some_and(|head| NAL_IRAP.contains(&nal_type(*head)));
    })?;
    Some(irap)
}

fn nal_type(head: u8) -> u8 {
    (head >> 1) & 0x3f
}

/// `hvc1.` with profile, compatibility, tier and level, constraints (ISO/IEC 14496-15, E.3).
/// `general` starts at the profile byte of the record.
fn codec_string(general: &[u8]) -> String {
    let mut bytes = general.iter().copied();
    let mut next = || bytes.next().unwrap_or(0);
    let profile = next();
    let compatibility = u32::from_be_bytes([next(), next(), next(), next()]).reverse_bits();
    let constraints = [next(), next(), next(), next(), next(), next()];
    let level = next();
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6)).copied().unwrap_or_default();
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let profile = profile & 0x1f;
    let mut text = format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{level}");
    let used = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        text.push_str(&format!(".{byte:X}"));
    }
    text
}

/// The first sequence parameter set in the arrays.
fn find_sps(arrays: &[u8]) -> Option<&[u8]> {
    let mut rest = arrays;
    loop {
        let (&[kind, hi, lo], behind) = rest.split_first_chunk::<3>()?;
        rest = behind;
        for _ in 0..u16::from_be_bytes([hi, lo]) {
            let (&length, behind) = rest.split_first_chunk::<2>()?;
            let (nal, behind) = behind.split_at_checked(u16::from_be_bytes(length).into())?;
            if kind & 0x3f == NAL_SPS {
                return Some(nal);
            }
            rest = behind;
        }
    }
}

fn parse_sps(nal: &[u8]) -> Option<(Picture, Option<(u32, u32)>)> {
    let (&[head, _], _) = nal.split_first_chunk::<2>()?;
    if nal_type(head) != NAL_SPS {
        return None;
    }
    let plain = without_emulation_prevention(nal);
    let mut bits = Bits::new(plain.get(2..)?);
    bits.skip(4)?;
    let sub_layers = bits.u(3)?;
    bits.skip(1)?;
    hevc_sets::skip_profile_tier_level(&mut bits, sub_layers)?;
    let picture = parse_picture(&mut bits)?;
    // A fault further on costs the frame rate, not the stream.
    let rate = parse_rate(&mut bits, sub_layers).flatten();
    Some((picture, rate))
}

/// From `sps_seq_parameter_set_id` to the conformance window.
fn parse_picture(bits: &mut Bits<'_>) -> Option<Picture> {
    bits.ue()?;
    let chroma_format = bits.ue().filter(|&format| format <= 3)?;
    let separate_planes = chroma_format == 3 && bits.bit()?;
    let (width, height) = (bits.ue()?, bits.ue()?);
    let mut picture = Picture { width, height, crop_width: 0, crop_height: 0 };
    if bits.bit()? {
        let subsampled = !separate_planes;
        let unit_x = if subsampled && matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_y = if subsampled && chroma_format == 1 { 2 } else { 1 };
        picture.crop_width = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_x)?;
        picture.crop_height = bits.ue()?.checked_add(bits.ue()?)?.checked_mul(unit_y)?;
    }
    Some(picture)
}

/// From the bit depths to the timing in the VUI (E.2.1).
fn parse_rate(bits: &mut Bits<'_>, sub_layers: u32) -> Option<Option<(u32, u32)>> {
    bits.ue()?;
    bits.ue()?;
    let order_bits = bits.ue().filter(|&log2| log2 <= 12)? + 4;
    let listed = if bits.bit()? { sub_layers + 1 } else { 1 };
    for _ in 0..3 * listed {
        bits.ue()?;
    }
    for _ in 0..6 {
        bits.ue()?;
    }
    if bits.bit()? && bits.bit()? {
        hevc_sets::skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.bit()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?;
    }
    hevc_sets::skip_reference_sets(bits)?;
    if bits.bit()? {
        let pictures = bits.ue().filter(|&count| count <= 32)?;
        bits.skip(usize::try_from(pictures * (order_bits + 1)).ok()?)?;
    }
    bits.skip(2)?;
    if !bits.bit()? {
        return Some(None);
    }
    parse_vui_timing(bits)
}

fn parse_vui_timing(bits: &mut Bits<'_>) -> Option<Option<(u32, u32)>> {
    skip_vui_picture(bits)?;
    bits.skip(3)?;
    if bits.bit()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    if !bits.bit()? {
        return Some(None);
    }
    let (tick, scale) = (bits.u(32)?, bits.u(32)?);
    Some(unpromised_frame_rate(scale.into(), tick.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::clips;

    #[test]
    fn a_real_record() {
        let config = parse_config(&clips::hevc_record()).unwrap();
        assert_eq!(config.codec_string, "hvc1.1.6.L60.90");
        assert_eq!((config.width, config.height), (322, 182));
        assert_eq!(config.frame_rate, Some((30, 1)));
        assert_eq!(length_size(&config.record), 4);
    }

    #[test]
    fn a_cut_record_is_an_error() {
        let record = clips::hevc_record();
        for len in 0..90 {
            parse_config(&record.slice(..len)).expect_err("cut");
        }
    }

    #[test]
    fn codec_strings() {
        // Main 10, high tier, general profile space 1.
        let general = [0x62, 0x20, 0, 0, 0, 0xb0, 0, 0x01, 0, 0, 0, 153];
        assert_eq!(codec_string(&general), "hvc1.A2.4.H153.B0.0.1");
        assert_eq!(codec_string(&[1, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 93]), "hvc1.1.6.L93");
    }

    #[test]
    fn keyframes_by_their_slices() {
        for (kind, key) in [(1, false), (9, false), (16, true), (19, true), (21, true), (32, false)]
        {
            assert_eq!(is_keyframe(&[0, 0, 0, 2, kind << 1, 1], 4), Some(key), "{kind}");
        }
        assert_eq!(is_keyframe(&[0, 0, 0, 9, 2, 1], 4), None);
    }

    proptest::proptest! {
        #[test]
        fn no_record_panics(tail: Vec<u8>, at in 0_usize..120, byte: u8) {
            let _ = parse_config(&tail.clone().into());
            let _ = parse_config(&clips::spoilt(&clips::hevc_record(), &tail, at, byte));
        }
    }
}
