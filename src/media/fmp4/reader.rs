//! Reads back what [`super::write_part`] wrote, strictly: tests check bytes, not intentions.

use super::{Sample, TrackRun};
use crate::media::TrackKind;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadPart<'a> {
    pub(crate) sequence: u32,
    pub(crate) runs: Vec<TrackRun<'a>>,
}

/// Reads exactly one part; anything missing, unknown or left over is an error.
pub(crate) fn read_part(bytes: &[u8]) -> Result<ReadPart<'_>, String> {
    let (moof, rest) = split_box(bytes, b"moof")?;
    let moof_bytes = moof.len() + 8;
    let (mdat, rest) = split_box(rest, b"mdat")?;
    if !rest.is_empty() {
        return Err(format!("{} bytes after the mdat", rest.len()));
    }
    let (mfhd, mut trafs) = split_box(moof, b"mfhd")?;
    let sequence = u32_at(mfhd, 4)?;
    let mut runs = Vec::new();
    let mut data = moof_bytes + 8;
    while !trafs.is_empty() {
        let (traf, rest) = split_box(trafs, b"traf")?;
        let run = read_traf(traf, bytes, &mut data)?;
        runs.push(run);
        trafs = rest;
    }
    if data != bytes.len() {
        return Err(format!(
            "samples end at {data}, the mdat of {} at {}",
            mdat.len(),
            bytes.len()
        ));
    }
    Ok(ReadPart { sequence, runs })
}

fn read_traf<'a>(traf: &[u8], part: &'a [u8], data: &mut usize) -> Result<TrackRun<'a>, String> {
    let (tfhd, rest) = split_box(traf, b"tfhd")?;
    if u32_at(tfhd, 0)? != 0x02_0020 {
        return Err("tfhd flags".into());
    }
    let track = match u32_at(tfhd, 4)? {
        1 => TrackKind::Video,
        2 => TrackKind::Audio,
        other => return Err(format!("track {other}")),
    };
    let (tfdt, rest) = split_box(rest, b"tfdt")?;
    if u32_at(tfdt, 0)? != 0x0100_0000 || tfdt.len() != 12 {
        return Err("tfdt has 64 bits".into());
    }
    let base = u64::from(u32_at(tfdt, 4)?) << 32 | u64::from(u32_at(tfdt, 8)?);
    let (trun, rest) = split_box(rest, b"trun")?;
    if !rest.is_empty() {
        return Err("one trun in a traf".into());
    }
    let flags = u32_at(trun, 0)? & 0x00ff_ffff;
    let count = u32_at(trun, 4)?;
    if usize::try_from(u32_at(trun, 8)?) != Ok(*data) {
        return Err("data offset".into());
    }
    let mut at = 12;
    let mut next = |wanted: u32| -> Result<Option<u32>, String> {
        if flags & wanted == 0 {
            return Ok(None);
        }
        at += 4;
        u32_at(trun, at - 4).map(Some)
    };
    let mut samples = Vec::new();
    for _ in 0..count {
        let duration = next(0x100)?.ok_or("no duration")?;
        let bytes = usize::try_from(next(0x200)?.ok_or("no size")?).map_err(|e| e.to_string())?;
        let sync = next(0x400)?.is_none_or(|flags| flags & 0x0001_0000 == 0);
        let composition = next(0x800)?.map_or(0, u32::cast_signed);
        let payload = part.get(*data..*data + bytes).ok_or("sample outside the part")?;
        *data += bytes;
        samples.push(Sample { duration, composition, sync, payload });
    }
    Ok(TrackRun { track, base, samples })
}

/// The content of the box that starts here, and what follows it.
fn split_box<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Result<(&'a [u8], &'a [u8]), String> {
    let size = usize::try_from(u32_at(bytes, 0)?).map_err(|e| e.to_string())?;
    if bytes.get(4..8) != Some(kind) || size < 8 || bytes.len() < size {
        return Err(format!("no {} of {size} in {}", String::from_utf8_lossy(kind), bytes.len()));
    }
    Ok((&bytes[8..size], &bytes[size..]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, String> {
    let four = bytes.get(at..at + 4).ok_or_else(|| format!("no four bytes at {at}"))?;
    Ok(u32::from_be_bytes(four.try_into().expect("four bytes")))
}
