//! AC-3 and E-AC-3 (ETSI TS 102 366): the configuration is read from a frame and written as the
//! content of `dac3` (F.4) or `dec3` (F.6).

use super::bits::Bits;
use super::{AudioCodec, AudioConfig};

const SYNC: u32 = 0x0b77;
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Full-bandwidth channels by `acmod` (table 4.3).
const CHANNELS: [u8; 8] = [2, 1, 2, 3, 3, 4, 4, 5];
const BLOCK_SAMPLES: u32 = 256;

/// What the header of a frame says; `None` when it is neither AC-3 nor E-AC-3.
pub(super) fn parse_frame(frame: &[u8]) -> Option<AudioConfig> {
    /// Stream versions above this are E-AC-3; both keep the field in the same place (E.1.3.1.6).
    const AC3_VERSION_MAX: u8 = 10;
    let version = frame.get(5)? >> 3;
    let mut bits = Bits::new(frame);
    if bits.u(16)? != SYNC {
        return None;
    }
    if version <= AC3_VERSION_MAX { parse_ac3(&mut bits) } else { parse_eac3(&mut bits) }
}

/// `syncinfo` and `bsi` (4.3.1, 4.3.2).
fn parse_ac3(bits: &mut Bits<'_>) -> Option<AudioConfig> {
    bits.skip(16)?;
    let rate_code = bits.u8(2)?;
    let size_code = bits.u8(6)?;
    let (version, mode) = (bits.u8(5)?, bits.u8(3)?);
    let layout = bits.u8(3)?;
    if layout & 1 != 0 && layout != 1 {
        bits.skip(2)?;
    }
    if layout & 4 != 0 {
        bits.skip(2)?;
    }
    if layout == 2 {
        bits.skip(2)?;
    }
    let low_frequency = bits.bit()?;
    let mut record = BitWriter::default();
    record.put(rate_code.into(), 2);
    record.put(version.into(), 5);
    record.put(mode.into(), 3);
    record.put(layout.into(), 3);
    record.put(low_frequency.into(), 1);
    record.put(u32::from(size_code >> 1), 5);
    record.put(0, 5);
    config(AudioCodec::Ac3, record, rate_code, layout, low_frequency, 6 * BLOCK_SAMPLES)
}

/// `syncinfo` and the start of `bsi` (E.1.2.1, E.1.2.2).
fn parse_eac3(bits: &mut Bits<'_>) -> Option<AudioConfig> {
    bits.skip(5)?;
    let words = bits.u(11)? + 1;
    let rate_code = bits.u8(2)?;
    // Code 3 is a half rate, which nothing we feed can play.
    let &rate = RATES.get(usize::from(rate_code))?;
    let blocks = [1, 2, 3, 6].get(usize::from(bits.u8(2)?)).copied()?;
    let layout = bits.u8(3)?;
    let low_frequency = bits.bit()?;
    let version = bits.u8(5)?;
    let samples = blocks * BLOCK_SAMPLES;
    let kilobits = u64::from(words) * 16 * u64::from(rate) / u64::from(samples) / 1_000;
    let mut record = BitWriter::default();
    record.put(u32::try_from(kilobits).ok()?.min(0x1fff), 13);
    // One independent substream; no mode, no dependent substreams.
    record.put(0, 3);
    record.put(rate_code.into(), 2);
    record.put(version.into(), 5);
    record.put(0, 5);
    record.put(layout.into(), 3);
    record.put(low_frequency.into(), 1);
    record.put(0, 8);
    config(AudioCodec::Eac3, record, rate_code, layout, low_frequency, samples)
}

fn config(
    codec: AudioCodec,
    record: BitWriter,
    rate_code: u8,
    layout: u8,
    low_frequency: bool,
    samples: u32,
) -> Option<AudioConfig> {
    let name = if codec == AudioCodec::Ac3 { "ac-3" } else { "ec-3" };
    Some(AudioConfig {
        codec,
        record: record.bytes.into(),
        codec_string: name.to_owned(),
        sample_rate: *RATES.get(usize::from(rate_code))?,
        channels: CHANNELS.get(usize::from(layout))? + u8::from(low_frequency),
        samples_per_frame: Some(samples),
    })
}

/// Writes bits from the most significant end; what stays open of the last byte is zero.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    fn put(&mut self, value: u32, count: u32) {
        for place in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::from((value >> place) & 1 == 1) << (7 - self.used % 8);
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit;
            }
            self.used += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_real_encoder() {
        let config = parse_frame(&[0x0b, 0x77, 0x48, 0x0d, 0x0c, 0x40, 0x2f, 0x84, 0x2b]).unwrap();
        assert_eq!((config.codec, &*config.codec_string), (AudioCodec::Ac3, "ac-3"));
        assert_eq!((config.sample_rate, config.channels), (48_000, 1));
        assert_eq!(config.samples_per_frame, Some(1_536));
        assert_eq!(&config.record[..], [0x10, 0x08, 0xc0]);
    }

    #[test]
    fn enhanced_frames() {
        // 768 bytes in 1,536 samples at 48 kHz: 192 kbit/s; 3/2 with low frequencies.
        let config = parse_frame(&[0x0b, 0x77, 0x01, 0x7f, 0x3f, 0x86, 0xff]).unwrap();
        assert_eq!((config.codec, config.channels), (AudioCodec::Eac3, 6));
        assert_eq!(&config.record[..], [0x06, 0x00, 0x20, 0x0f, 0x00]);
    }

    proptest::proptest! {
        #[test]
        fn no_frame_panics(mut frame: Vec<u8>) {
            let _ = parse_frame(&frame);
            frame.splice(..0, [0x0b, 0x77]);
            let _ = parse_frame(&frame);
            let _ = super::super::mp3::parse_frame(&frame);
            let _ = super::super::flac::samples(&frame);
            let _ = super::super::opus::samples(&frame);
        }
    }
}
