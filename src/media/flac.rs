//! FLAC: STREAMINFO (RFC 9639, 8.2) and the block size of a frame (9.1).

use bytes::Bytes;

use super::bits::Bits;
use super::config_error::{ConfigError, OrBits};
use super::{AudioCodec, AudioConfig};

const RECORD: &str = "the FLAC configuration";
const MAGIC: &[u8] = b"fLaC";
/// Length of STREAMINFO, and of the header of a metadata block.
const LEN: usize = 34;
const BLOCK_HEAD: usize = 4;

/// Reads STREAMINFO: bare, behind its block header, or in a whole stream header.
pub fn parse_config(record: &Bytes) -> Result<AudioConfig, ConfigError> {
    let bare = if record.starts_with(MAGIC) { record.slice(MAGIC.len()..) } else { record.clone() };
    let bare = if bare.len() >= LEN + BLOCK_HEAD { bare.slice(BLOCK_HEAD..) } else { bare };
    if bare.len() < LEN {
        return Err(ConfigError::Truncated { record: RECORD, need: LEN, got: bare.len() });
    }
    let info = bare.slice(..LEN);
    let mut bits = Bits::new(&info);
    let (shortest, longest) = (bits.u(16), bits.u(16));
    bits.skip(48);
    let sample_rate = bits.u(20).or_bits(RECORD, "sample rate")?;
    let channels = bits.u8(3).or_bits(RECORD, "channels")? + 1;
    if sample_rate == 0 {
        return Err(ConfigError::Value { record: RECORD, field: "sample rate", value: 0 });
    }
    let fixed = longest.filter(|&samples| samples > 0 && Some(samples) == shortest);
    Ok(AudioConfig {
        codec: AudioCodec::Flac,
        record: info,
        codec_string: "fLaC".to_owned(),
        sample_rate,
        channels,
        samples_per_frame: fixed,
    })
}

/// Samples in a frame, by its header.
pub(super) fn samples(frame: &[u8]) -> Option<u32> {
    let (&[0xff, second, sizes, _, number], rest) = frame.split_first_chunk::<5>()? else {
        return None;
    };
    if second & 0xfe != 0xf8 {
        return None;
    }
    // The frame's number is coded like a UTF-8 character; the size may stand behind it.
    let behind = rest.get(usize::try_from(number.leading_ones().saturating_sub(1)).ok()?..)?;
    match sizes >> 4 {
        0 => None,
        1 => Some(192),
        code @ 2..=5 => Some(576 << (code - 2)),
        6 => behind.first().map(|&size| u32::from(size) + 1),
        7 => behind.first_chunk().map(|&size| u32::from(u16::from_be_bytes(size)) + 1),
        code => Some(256 << (code - 8)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: [u8; 18] =
        [0x04, 0, 0x04, 0, 0, 0, 0, 0, 0x08, 0x15, 0x0b, 0xb8, 0x00, 0xf0, 0, 0, 0, 0];

    #[test]
    fn three_forms_of_the_header() {
        let info = [&INFO[..], &[0; 16]].concat();
        let block = [&[0x80, 0, 0, 34][..], &info].concat();
        let stream = [MAGIC, &block[..]].concat();
        for record in [&info, &block, &stream] {
            let config = parse_config(&record.clone().into()).unwrap();
            assert_eq!((config.sample_rate, config.channels), (48_000, 1));
            assert_eq!(config.samples_per_frame, Some(1_024));
            assert_eq!(config.record, info);
        }
        parse_config(&info[..33].to_vec().into()).expect_err("cut");
    }

    #[test]
    fn frames_last() {
        assert_eq!(samples(&[0xff, 0xf8, 0xc9, 0x18, 0]), Some(4_096));
        assert_eq!(samples(&[0xff, 0xf8, 0x79, 0x18, 0xc2, 0x80, 0x03, 0xff]), Some(1_024));
        assert_eq!(samples(&[0xff, 0xf8, 0x69, 0x18, 0x05, 0x0f]), Some(16));
        assert_eq!(samples(&[0xff, 0xf8, 0x79, 0x18, 0xfe]), None);
        assert_eq!(samples(&[0, 0xf8, 0xc9, 0x18, 0]), None);
    }
}
