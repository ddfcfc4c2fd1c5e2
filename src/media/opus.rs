//! Opus: the identification header (RFC 7845, 5.1) into the `dOps` box (Opus in ISOBMFF 4.3.2),
//! and how long a packet lasts (RFC 6716, 3.1).

use bytes::{BufMut, Bytes, BytesMut};

use super::config_error::ConfigError;
use super::{AudioCodec, AudioConfig};

const RECORD: &str = "the Opus configuration";
const MAGIC: &[u8] = b"OpusHead";
/// Opus always counts in this rate, whatever went in.
const RATE: u32 = 48_000;
/// The longest packet: 120 milliseconds.
const SAMPLES_MAX: u32 = 5_760;

/// Reads an `OpusHead`.
pub fn parse_config(head: &Bytes) -> Result<AudioConfig, ConfigError> {
    const LEN: usize = 19;
    let short = ConfigError::Truncated { record: RECORD, need: LEN, got: head.len() };
    let &fields = head.first_chunk::<LEN>().ok_or(short)?;
    let [_, _, _, _, _, _, _, _, version, channels, skip @ .., family] = fields;
    let [skip_low, skip_high, r0, r1, r2, r3, gain_low, gain_high] = skip;
    if !head.starts_with(MAGIC) {
        return Err(ConfigError::Magic { record: RECORD });
    }
    if version >> 4 != 0 {
        return Err(ConfigError::Version { record: RECORD, got: version, expected: 1 });
    }
    if channels == 0 || (family == 0 && channels > 2) {
        let value = channels.into();
        return Err(ConfigError::Value { record: RECORD, field: "channel count", value });
    }
    // Family 0 is mono or stereo and needs no table.
    let table = if family == 0 { 0 } else { 2 + usize::from(channels) };
    let short = ConfigError::Truncated { record: RECORD, need: LEN + table, got: head.len() };
    let table = head.get(LEN..LEN + table).ok_or(short)?;
    // The box has the same fields, big-endian, behind version 0.
    let mut record = BytesMut::with_capacity(11 + table.len());
    record.put_slice(&[0, channels, skip_high, skip_low, r3, r2, r1, r0, gain_high, gain_low]);
    record.put_u8(family);
    record.put_slice(table);
    Ok(AudioConfig {
        codec: AudioCodec::Opus,
        record: record.freeze(),
        codec_string: "Opus".to_owned(),
        sample_rate: RATE,
        channels,
        samples_per_frame: None,
    })
}

/// Samples in a packet, by its first bytes.
pub(super) fn samples(packet: &[u8]) -> Option<u32> {
    let &head = packet.first()?;
    let config = u32::from(head >> 3);
    let frame = match config {
        0..=11 => [480, 960, 1_920, 2_880].get(usize::from(head >> 3) % 4).copied()?,
        12..=15 => 480 << (config % 2),
        _ => 120 << (config % 4),
    };
    let frames = match head & 0x03 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|samples| (1..=SAMPLES_MAX).contains(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_becomes_the_box() {
        let head = [MAGIC, &[1, 2, 0x38, 0x01, 0x80, 0xbb, 0, 0, 0x34, 0x12, 0]].concat();
        let config = parse_config(&head.clone().into()).unwrap();
        let expected = [0, 2, 0x01, 0x38, 0, 0, 0xbb, 0x80, 0x12, 0x34, 0];
        assert_eq!(&config.record[..], expected);
        assert_eq!((config.sample_rate, config.channels), (48_000, 2));
        for len in 0..head.len() {
            parse_config(&head[..len].to_vec().into()).expect_err("cut");
        }
        let surround =
            [MAGIC, &[1, 6, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, 1, 4, 2, 0, 4, 1, 2, 3, 5]].concat();
        let config = parse_config(&surround.into()).unwrap();
        assert_eq!(&config.record[10..], [1, 4, 2, 0, 4, 1, 2, 3, 5]);
    }

    #[test]
    fn packets_last() {
        assert_eq!(samples(&[0xfc]), Some(960));
        assert_eq!(samples(&[0x80]), Some(120));
        assert_eq!(samples(&[0x18]), Some(2_880));
        assert_eq!(samples(&[0x68]), Some(960));
        assert_eq!(samples(&[0xfd]), Some(1_920));
        assert_eq!(samples(&[0xff, 6]), Some(5_760));
        assert_eq!(samples(&[0xff, 7]), None);
        assert_eq!(samples(&[0xff, 0]), None);
        assert_eq!(samples(&[]), None);
    }
}
