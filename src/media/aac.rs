//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1). Encoders append things to it that
//! the strict reading refuses, so the reader takes what it needs and lets the rest be.

use bytes::Bytes;

use super::bits::Bits;
use super::config_error::{ConfigError, OrBits};
use super::{AudioCodec, AudioConfig};

const RECORD: &str = "the AAC configuration";
/// Sampling frequencies by index (ISO/IEC 14496-3, table 1.18).
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
const RATE_EXPLICIT: u32 = 15;
/// What we believe of a rate that is written out.
const RATE_RANGE: std::ops::RangeInclusive<u32> = 4_000..=192_000;
/// Audio object types (table 1.17).
const SBR: u32 = 5;
const PS: u32 = 29;
/// The mark of a backward compatible SBR extension, and of PS behind it.
const SYNC_SBR: u32 = 0x2b7;
const SYNC_PS: u32 = 0x548;

/// What the record says, extensions resolved.
struct Specific {
    object_type: u32,
    rate: u32,
    channels: u8,
    core_samples: u32,
    sbr_rate: Option<u32>,
    ps: bool,
}

/// Reads an AudioSpecificConfig. With SBR the rate and the samples of a frame are those a
/// decoder puts out: twice the core's.
pub fn parse_config(record: &Bytes) -> Result<AudioConfig, ConfigError> {
    let specific = parse_specific(&mut Bits::new(record))?;
    let doubled = specific.sbr_rate.is_some_and(|rate| rate > specific.rate);
    let object_type = match (specific.ps, specific.sbr_rate) {
        (true, _) => PS,
        (false, Some(_)) => SBR,
        (false, None) => specific.object_type,
    };
    Ok(AudioConfig {
        codec: AudioCodec::Aac,
        record: record.clone(),
        codec_string: format!("mp4a.40.{object_type}"),
        sample_rate: specific.sbr_rate.unwrap_or(specific.rate),
        channels: if specific.ps { 2 } else { specific.channels },
        samples_per_frame: Some(specific.core_samples * if doubled { 2 } else { 1 }),
    })
}

fn parse_specific(bits: &mut Bits<'_>) -> Result<Specific, ConfigError> {
    let mut object_type = parse_object_type(bits).or_bits(RECORD, "object type")?;
    let rate = parse_rate(bits)?;
    let layout = bits.u8(4).or_bits(RECORD, "channel configuration")?;
    let mut sbr_rate = None;
    let ps = object_type == PS;
    if object_type == SBR || object_type == PS {
        sbr_rate = Some(parse_rate(bits)?);
        object_type = parse_object_type(bits).or_bits(RECORD, "object type")?;
    }
    if object_type == 0 || object_type == 31 {
        let field = "object type";
        return Err(ConfigError::Value { record: RECORD, field, value: object_type });
    }
    let (core_samples, elements) = parse_general(bits, layout).unwrap_or((1_024, None));
    let channels = match layout {
        0 => elements.filter(|&count| count > 0),
        1..=6 => Some(layout),
        7 | 12 | 14 => Some(8),
        11 => Some(7),
        13 => Some(24),
        _ => None,
    };
    let field = "channel configuration";
    let bad = ConfigError::Value { record: RECORD, field, value: layout.into() };
    let channels = channels.ok_or(bad)?;
    let mut specific = Specific { object_type, rate, channels, core_samples, sbr_rate, ps };
    if specific.sbr_rate.is_none() {
        find_extension(bits, &mut specific);
    }
    Ok(specific)
}

fn parse_object_type(bits: &mut Bits<'_>) -> Option<u32> {
    const ESCAPE: u32 = 31;
    match bits.u(5)? {
        ESCAPE => Some(32 + bits.u(6)?),
        object_type => Some(object_type),
    }
}

fn parse_rate(bits: &mut Bits<'_>) -> Result<u32, ConfigError> {
    let field = "sample rate";
    let index = bits.u(4).or_bits(RECORD, field)?;
    if index == RATE_EXPLICIT {
        let value = bits.u(24).or_bits(RECORD, field)?;
        let bad = ConfigError::Value { record: RECORD, field, value };
        return if RATE_RANGE.contains(&value) { Ok(value) } else { Err(bad) };
    }
    let rate = usize::try_from(index).ok().and_then(|index| RATES.get(index));
    let bad = ConfigError::Value { record: RECORD, field: "sample rate index", value: index };
    rate.copied().ok_or(bad)
}

/// GASpecificConfig (4.4.1): samples of a core frame, and the channels of a program config
/// element where the record has one.
fn parse_general(bits: &mut Bits<'_>, layout: u8) -> Option<(u32, Option<u8>)> {
    let samples = if bits.bit()? { 960 } else { 1_024 };
    if bits.bit()? {
        bits.skip(14)?;
    }
    bits.skip(1)?;
    let channels = if layout == 0 { parse_program(bits) } else { None };
    Some((samples, channels))
}

/// The program config element (4.4.1.1), for its count of channels alone.
fn parse_program(bits: &mut Bits<'_>) -> Option<u8> {
    bits.skip(10)?;
    let [front, side, back] = [bits.u8(4)?, bits.u8(4)?, bits.u8(4)?];
    let low_frequency = bits.u8(2)?;
    let [data, coupling] = [bits.u8(3)?, bits.u8(4)?];
    for _ in 0..2 {
        if bits.bit()? {
            bits.skip(4)?;
        }
    }
    if bits.bit()? {
        bits.skip(3)?;
    }
    let mut channels = low_frequency;
    for _ in 0..front + side + back {
        channels += if bits.bit()? { 2 } else { 1 };
        bits.skip(4)?;
    }
    bits.skip(4 * usize::from(low_frequency + data) + 5 * usize::from(coupling))?;
    bits.align();
    let comment = bits.u(8)?;
    bits.skip(8 * usize::try_from(comment).ok()?)?;
    Some(channels)
}

/// Backward compatible SBR and PS, behind everything else (1.6.6). An extension that is cut off
/// or says "no" changes nothing.
fn find_extension(bits: &mut Bits<'_>, specific: &mut Specific) {
    if bits.left() < 16 || bits.u(11) != Some(SYNC_SBR) || bits.u(5) != Some(SBR) {
        return;
    }
    if bits.bit() != Some(true) {
        return;
    }
    let Ok(rate) = parse_rate(bits) else { return };
    specific.sbr_rate = Some(rate);
    if bits.left() >= 12 && bits.u(11) == Some(SYNC_PS) {
        specific.ps = bits.bit() == Some(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: &[u8], codec: &str, rate: u32, channels: u8, samples: u32) {
        let config = parse_config(&Bytes::copy_from_slice(record)).unwrap();
        let got = (&*config.codec_string, config.sample_rate, config.channels);
        assert_eq!(got, (codec, rate, channels), "{record:02x?}");
        assert_eq!(config.samples_per_frame, Some(samples), "{record:02x?}");
    }

    #[test]
    fn records_of_real_encoders() {
        check(&[0x12, 0x10], "mp4a.40.2", 44_100, 2, 1_024);
        check(&[0x11, 0x90], "mp4a.40.2", 48_000, 2, 1_024);
        // FFmpeg appends "there is no SBR".
        check(&[0x12, 0x08, 0x56, 0xe5, 0x00], "mp4a.40.2", 44_100, 1, 1_024);
        // 960 samples.
        check(&[0x11, 0x94], "mp4a.40.2", 48_000, 2, 960);
    }

    // H60: high efficiency is told by either signalling.
    #[test]
    fn high_efficiency_is_told_by_either_signalling() {
        // Hierarchical: object type 5 over LC at 24 kHz.
        check(&[0x2b, 0x11, 0x88, 0x00], "mp4a.40.5", 48_000, 2, 2_048);
        check(&[0xeb, 0x09, 0x88, 0x00], "mp4a.40.29", 48_000, 2, 2_048);
        // Backward compatible: LC at 24 kHz, then the extension.
        check(&[0x13, 0x10, 0x56, 0xe5, 0x98], "mp4a.40.5", 48_000, 2, 2_048);
        check(&[0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80], "mp4a.40.29", 48_000, 2, 2_048);
    }

    #[test]
    fn faults_are_named() {
        let error = |record: &'static [u8]| parse_config(&record.into()).unwrap_err();
        assert_eq!(error(&[]), ConfigError::Bits { record: RECORD, field: "object type" });
        let field = "sample rate index";
        assert_eq!(error(&[0x17, 0x08]), ConfigError::Value { record: RECORD, field, value: 14 });
        let field = "channel configuration";
        assert_eq!(error(&[0x12, 0x00]), ConfigError::Value { record: RECORD, field, value: 0 });
    }

    proptest::proptest! {
        #[test]
        fn no_record_panics(record: Vec<u8>) {
            if let Ok(config) = parse_config(&record.into()) {
                assert!(RATE_RANGE.contains(&config.sample_rate) && config.channels > 0);
            }
        }
    }
}
