//! Reads parts as a player does (ISO/IEC 14496-12), apart from the code that writes them.

use super::camera::read_mark;

/// The samples of one track in one part, in ticks of the track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) track: u32,
    pub(crate) begin: u64,
    pub(crate) length: u64,
    pub(crate) samples: u32,
    pub(crate) starts_with_sync: bool,
    pub(crate) has_sync: bool,
    /// The oldest and the newest connection that samples came by.
    pub(crate) marks: Option<(u16, u16)>,
}

impl Run {
    fn note_mark(&mut self, sample: &[u8]) -> Result<(), String> {
        let mark = read_mark(sample).ok_or("a sample that no camera made")?;
        let (oldest, newest) = self.marks.unwrap_or((mark, mark));
        self.marks = Some((oldest.min(mark), newest.max(mark)));
        Ok(())
    }
}

/// The runs of one part.
pub(crate) fn read(part: &[u8]) -> Result<Vec<Run>, String> {
    let [(b"moof", moof), (b"mdat", mdat)] = &*boxes(part)? else {
        return Err("a part is one moof and one mdat".to_owned());
    };
    let mut runs = Vec::new();
    let mut rest = *mdat;
    for (kind, traf) in boxes(moof)? {
        if kind == b"traf" {
            let (mut run, sizes) = track_run(traf)?;
            for size in sizes {
                let (sample, behind) = rest.split_at_checked(size).ok_or("a short mdat")?;
                run.note_mark(sample)?;
                rest = behind;
            }
            runs.push(run);
        }
    }
    if !rest.is_empty() {
        return Err(format!("{} bytes of {} are no sample's", rest.len(), mdat.len()));
    }
    Ok(runs)
}

/// A run and the sizes of its samples.
fn track_run(traf: &[u8]) -> Result<(Run, Vec<usize>), String> {
    let (mut run, mut sizes) = (Run::default(), Vec::new());
    for (kind, content) in boxes(traf)? {
        match kind {
            b"tfhd" => run.track = number(content, 4)?,
            b"tfdt" => {
                run.begin = u64::from(number(content, 4)?) << 32 | u64::from(number(content, 8)?);
            }
            b"trun" => samples(content, &mut run, &mut sizes)?,
            _ => {}
        }
    }
    Ok((run, sizes))
}

fn samples(trun: &[u8], run: &mut Run, sizes: &mut Vec<usize>) -> Result<(), String> {
    let flags = number(trun, 0)?;
    let mut at = 8 + 4 * usize::from(flags & 1 != 0) + 4 * usize::from(flags & 4 != 0);
    for sample in 0..number(trun, 4)? {
        let mut field = |flag: u32| -> Result<Option<u32>, String> {
            if flags & flag == 0 {
                return Ok(None);
            }
            at += 4;
            number(trun, at - 4).map(Some)
        };
        let length = field(0x100)?.ok_or("a sample without a length")?;
        if length == 0 || length > i32::MAX.unsigned_abs() {
            return Err(format!("a sample of {length} ticks"));
        }
        run.length += u64::from(length);
        run.samples += 1;
        let size = field(0x200)?.ok_or("a sample without a size")?;
        sizes.push(usize::try_from(size).unwrap_or(usize::MAX));
        let sync = field(0x400)?.is_none_or(|flags| flags & 0x1_0000 == 0);
        run.starts_with_sync |= sample == 0 && sync;
        run.has_sync |= sync;
        if field(0x800)?.is_some_and(|offset| offset.cast_signed() < 0) {
            return Err("a frame is shown before it is decoded".to_owned());
        }
    }
    Ok(())
}

type Box<'a> = (&'a [u8; 4], &'a [u8]);

fn boxes(mut bytes: &[u8]) -> Result<Vec<Box<'_>>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let size = usize::try_from(number(bytes, 0)?).unwrap_or(0);
        let kind = bytes.get(4..).and_then(|rest| rest.first_chunk()).ok_or("half a box")?;
        let content = bytes.get(8..size).ok_or_else(|| format!("a box of {size} bytes"))?;
        found.push((kind, content));
        bytes = bytes.get(size..).unwrap_or_default();
    }
    Ok(found)
}

fn number(bytes: &[u8], at: usize) -> Result<u32, String> {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk());
    four.map(|four| u32::from_be_bytes(*four)).ok_or_else(|| format!("no number at {at}"))
}
