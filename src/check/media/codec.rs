//! What a sample description says: the codec string of RFC 6381 and the size of the pictures.

use super::bytes::{Atom, Bits, Bytes, atoms, without_emulation};

/// A sample description understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// The codec string, where the format is known.
    pub(super) codec: Option<String>,
    /// Cropped width and height, where they can be read.
    pub(super) size: Option<(u64, u64)>,
    /// How samples are told to be independent by their own bytes.
    pub(super) units: Units,
    /// AAC that may hold a doubled rate without saying so.
    pub(super) low_rate: bool,
}

/// How the units of a sample are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Units {
    /// Units of H.264 behind lengths of so many bytes.
    Avc(usize),
    Hevc(usize),
    /// Nothing but the flags of the container tells.
    #[default]
    Opaque,
}

/// Bytes of a visual sample entry before its boxes, and of an audio one (ISO/IEC 14496-12 12).
const VISUAL_BYTES: usize = 78;
const AUDIO_BYTES: usize = 28;

impl Description {
    pub(super) fn parse(entry: &Atom<'_>, video: bool) -> Self {
        let skip = if video { VISUAL_BYTES } else { AUDIO_BYTES };
        let Some(inner) = entry.body.get(skip..) else { return Self::default() };
        let child = |kind: &[u8; 4]| atoms(inner, 0).find(|atom| atom.kind == kind);
        let named = |name: &str| Self { codec: Some(name.to_owned()), ..Self::default() };
        let kind = String::from_utf8_lossy(entry.kind).into_owned();
        let mut found = match entry.kind {
            b"avc1" | b"avc3" => child(b"avcC").and_then(|c| avc(&kind, c.body)),
            b"hvc1" | b"hev1" => child(b"hvcC").and_then(|c| hevc(&kind, c.body)),
            b"av01" => child(b"av1C").and_then(|c| av1(c.body)),
            b"vp09" => child(b"vpcC").and_then(|c| vp9(c.body)),
            b"mp4a" => child(b"esds").and_then(|c| mpeg4_audio(c.body)),
            b"ac-3" | b"ec-3" | b"alac" => Some(named(&kind)),
            b"Opus" => Some(named("opus")),
            b"fLaC" => Some(named("flac")),
            b".mp3" => Some(named("mp3")),
            b"wvtt" => Some(named("wvtt")),
            b"stpp" => Some(named("stpp")),
            _ => None,
        }
        .unwrap_or_default();
        if video && found.size.is_none() {
            let mut fields = Bytes(entry.body.get(24..).unwrap_or_default());
            found.size = fields.number(2).zip(fields.number(2));
        }
        found
    }
}

/// AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1).
fn avc(kind: &str, body: &[u8]) -> Option<Description> {
    let mut record = Bytes(body);
    record.u8()?;
    let (profile, compatible, level) = (record.u8()?, record.u8()?, record.u8()?);
    let length = usize::from(record.u8()? & 3) + 1;
    let sets = record.u8()? & 31;
    let size = (sets > 0).then(|| {
        let size = record.u16()?;
        avc_size(record.take(usize::from(size))?)
    });
    Some(Description {
        codec: Some(format!("{kind}.{profile:02x}{compatible:02x}{level:02x}")),
        size: size.flatten(),
        units: Units::Avc(length),
        low_rate: false,
    })
}

/// Size of the pictures by a sequence parameter set (ITU-T H.264 7.3.2.1.1), cropping taken off.
pub(super) fn avc_size(nal: &[u8]) -> Option<(u64, u64)> {
    let raw = without_emulation(nal.get(1..)?);
    let mut bits = Bits::new(&raw);
    let profile = bits.bits(8)?;
    bits.bits(16)?;
    bits.golomb()?;
    let mut chroma = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        chroma = bits.golomb()?;
        if chroma == 3 {
            bits.bit()?;
        }
        bits.golomb()?;
        bits.golomb()?;
        bits.bit()?;
        if bits.bit()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    skip_scaling(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => {
            bits.golomb()?;
        }
        1 => {
            bits.bit()?;
            bits.signed_golomb()?;
            bits.signed_golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.signed_golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.bit()?;
    let (columns, rows) = (bits.golomb()?.checked_add(1)?, bits.golomb()?.checked_add(1)?);
    let frames_only = bits.bit()?;
    if !frames_only {
        bits.bit()?;
    }
    bits.bit()?;
    let fields = if frames_only { 1 } else { 2 };
    let (width, height) = (columns.checked_mul(16)?, rows.checked_mul(16)?.checked_mul(fields)?);
    if !bits.bit()? {
        return Some((width, height));
    }
    let (across, down) = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    crop(&mut bits, (width, height), (across, down * fields))
}

fn skip_scaling(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_golomb()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// Left, right, top and bottom offsets, in units, off a size.
fn crop(bits: &mut Bits<'_>, (width, height): (u64, u64), unit: (u64, u64)) -> Option<(u64, u64)> {
    let across = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(unit.0)?;
    let down = bits.golomb()?.checked_add(bits.golomb()?)?.checked_mul(unit.1)?;
    Some((width.checked_sub(across)?, height.checked_sub(down)?))
}

/// HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 8.3.3.1), its string by annex E.3.
fn hevc(kind: &str, body: &[u8]) -> Option<Description> {
    let mut record = Bytes(body);
    record.u8()?;
    let profile = record.u8()?;
    let compatible = record.u32()?.reverse_bits();
    let constraints = record.take(6)?;
    let level = record.u8()?;
    record.take(8)?;
    let length = usize::from(record.u8()? & 3) + 1;
    let space = ["", "A", "B", "C"].get(usize::from(profile >> 6)).copied().unwrap_or_default();
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let mut codec = format!("{kind}.{space}{}.{compatible:X}.{tier}{level}", profile & 31);
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in constraints.iter().take(used) {
        codec.push_str(&format!(".{byte:X}"));
    }
    let size = hevc_sets(record).and_then(hevc_size);
    Some(Description { codec: Some(codec), size, units: Units::Hevc(length), low_rate: false })
}

/// The first sequence parameter set of the arrays.
fn hevc_sets(mut record: Bytes<'_>) -> Option<&[u8]> {
    for _ in 0..record.u8()? {
        let kind = record.u8()? & 63;
        for _ in 0..record.u16()? {
            let size = record.u16()?;
            let nal = record.take(usize::from(size))?;
            if kind == 33 {
                return Some(nal);
            }
        }
    }
    None
}

/// ITU-T H.265 7.3.2.2.1, up to the conformance window.
fn hevc_size(nal: &[u8]) -> Option<(u64, u64)> {
    let raw = without_emulation(nal.get(2..)?);
    let mut bits = Bits::new(&raw);
    bits.bits(4)?;
    let layers = bits.bits(3)?;
    bits.bit()?;
    bits.bits(32)?;
    bits.bits(32)?;
    bits.bits(32)?;
    let mut present = Vec::new();
    for _ in 0..layers {
        present.push((bits.bit()?, bits.bit()?));
    }
    if layers > 0 {
        bits.bits(u32::try_from(2 * (8 - layers)).ok()?)?;
    }
    for (profile, level) in present {
        for _ in 0..u32::from(profile) * 11 + u32::from(level) {
            bits.bits(8)?;
        }
    }
    bits.golomb()?;
    let chroma = bits.golomb()?;
    if chroma == 3 {
        bits.bit()?;
    }
    let size = (bits.golomb()?, bits.golomb()?);
    if !bits.bit()? {
        return Some(size);
    }
    let unit = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    crop(&mut bits, size, unit)
}

/// AV1CodecConfigurationRecord, the mandatory half of its string.
fn av1(body: &[u8]) -> Option<Description> {
    let mut record = Bytes(body);
    record.u8()?;
    let (first, second) = (record.u8()?, record.u8()?);
    let (profile, level) = (first >> 5, first & 31);
    let tier = if second & 0x80 == 0 { 'M' } else { 'H' };
    let depth = match (second & 0x40 != 0, second & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    let codec = Some(format!("av01.{profile}.{level:02}{tier}.{depth:02}"));
    Some(Description { codec, ..Description::default() })
}

fn vp9(body: &[u8]) -> Option<Description> {
    let mut record = Bytes(body.get(4..)?);
    let (profile, level, depth) = (record.u8()?, record.u8()?, record.u8()? >> 4);
    let codec = Some(format!("vp09.{profile:02}.{level:02}.{depth:02}"));
    Some(Description { codec, ..Description::default() })
}

/// ES_Descriptor with an AudioSpecificConfig (ISO/IEC 14496-1 7.2.6.5, 14496-3 1.6.2.1).
fn mpeg4_audio(body: &[u8]) -> Option<Description> {
    let mut rest = Bytes(body.get(4..)?);
    descriptor(&mut rest, 3)?;
    rest.u16()?;
    let flags = rest.u8()?;
    rest.take(if flags & 0x80 == 0 { 0 } else { 2 })?;
    if flags & 0x40 != 0 {
        let length = rest.u8()?;
        rest.take(usize::from(length))?;
    }
    rest.take(if flags & 0x20 == 0 { 0 } else { 2 })?;
    descriptor(&mut rest, 4)?;
    let object = rest.u8()?;
    if object != 0x40 {
        let codec = Some(format!("mp4a.{object:02x}"));
        return Some(Description { codec, ..Description::default() });
    }
    rest.take(12)?;
    descriptor(&mut rest, 5)?;
    let mut bits = Bits::new(rest.0);
    let mut kind = bits.bits(5)?;
    if kind == 31 {
        kind = 32 + bits.bits(6)?;
    }
    // Index 6 is 24 kHz (ISO/IEC 14496-3 table 1.18): from there on the rate may be doubled
    // without a word of it.
    let low_rate = kind == 2 && bits.bits(4)? >= 6;
    let codec = Some(format!("mp4a.40.{kind}"));
    Some(Description { codec, low_rate, ..Description::default() })
}

/// Steps into a descriptor of this tag.
fn descriptor(rest: &mut Bytes<'_>, tag: u8) -> Option<()> {
    if rest.u8()? != tag {
        return None;
    }
    for _ in 0..4 {
        if rest.u8()? & 0x80 == 0 {
            return Some(());
        }
    }
    Some(())
}
