use super::super::ledger::Ledger;
use super::bytes::{Atom, Bytes, atoms};
use super::codec::Units;
use super::init::{Defaults, Init, Track, place};

/// More samples in one segment are not read: a run may state four thousand million of them in a
/// few bytes.
const SAMPLES_MAX: usize = 200_000;
/// A sample is not independent (ISO/IEC 14496-12 8.8.3.1).
const DEPENDS: u32 = 0x1_0000;

/// The samples of one track in one fragment.
#[derive(Clone, Debug)]
pub(super) struct Run<'a> {
    pub(super) track: u32,
    /// Decode time of the first sample, in the track's own scale.
    pub(super) time: u64,
    pub(super) samples: Vec<Sample<'a>>,
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample<'a> {
    pub(super) duration: u32,
    /// From decoding to showing.
    pub(super) offset: i64,
    pub(super) flagged: bool,
    pub(super) data: &'a [u8],
}

impl Run<'_> {
    pub(super) fn end_time(&self) -> u64 {
        let length: u64 = self.samples.iter().map(|sample| u64::from(sample.duration)).sum();
        self.time.saturating_add(length)
    }
}

impl Sample<'_> {
    /// It can be decoded alone: by its units where they can be read, else by its flag.
    pub(super) fn is_independent(&self, units: Units) -> bool {
        let (length, independent): (_, fn(u8) -> bool) = match units {
            Units::Avc(length) => (length, |first| first & 31 == 5),
            Units::Hevc(length) => (length, |first| (16..=21).contains(&(first >> 1 & 63))),
            Units::Opaque => return self.flagged,
        };
        let mut rest = Bytes(self.data);
        while let Some(size) = rest.number(length).and_then(|size| usize::try_from(size).ok()) {
            let Some(unit) = rest.take(size) else { return false };
            if unit.first().is_some_and(|first| independent(*first)) {
                return true;
            }
        }
        false
    }
}

/// Judges the boxes of a segment or part, and gives its samples.
pub(super) fn judge<'a>(
    ledger: &mut Ledger,
    url: &str,
    bytes: &'a [u8],
    init: &Init,
) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    let mut left = SAMPLES_MAX;
    // Samples may overlap; those of honest media do not.
    let mut bytes_left = bytes.len();
    let mut end = 0;
    for atom in atoms(bytes, 0) {
        end = atom.end;
        if atom.kind != b"moof" {
            continue;
        }
        for traf in atom.children().filter(|child| child.kind == b"traf") {
            let mut reader = Fragment { ledger, url, bytes, moof: atom, traf, left, bytes_left };
            runs.extend(reader.run(init));
            (left, bytes_left) = (reader.left, reader.bytes_left);
        }
    }
    let whole = end == bytes.len();
    ledger.expect("H51", whole, || {
        ("boxes that cannot be read".to_owned(), place(url, end, bytes.len()))
    });
    runs
}

/// One `traf` being read.
struct Fragment<'a, 'l> {
    ledger: &'l mut Ledger,
    url: &'l str,
    bytes: &'a [u8],
    moof: Atom<'a>,
    traf: Atom<'a>,
    left: usize,
    bytes_left: usize,
}

impl<'a> Fragment<'a, '_> {
    fn fact(&mut self, holds: bool, what: impl FnOnce() -> String) {
        let place = || place(self.url, self.traf.start, self.traf.end);
        self.ledger.expect("H51", holds, || (what(), place()));
    }

    fn run(&mut self, init: &Init) -> Option<Run<'a>> {
        let header = self.traf.child(b"tfhd").and_then(|tfhd| tfhd.full());
        self.fact(header.is_some(), || "a track fragment without header".to_owned());
        let (_, flags, mut body) = header?;
        let id = body.u32()?;
        let track = init.track_of(id);
        self.fact(track.is_some(), || format!("track {id} is not in the init segment"));
        self.fact(flags & 1 == 0 && flags & 0x2_0000 != 0, || {
            format!("the offsets of track {id} are not relative to the fragment")
        });
        body.take(if flags & 1 == 0 { 0 } else { 8 })?;
        body.take(if flags & 2 == 0 { 0 } else { 4 })?;
        let mut defaults = track.map_or(Defaults::default(), |track| track.defaults);
        for (flag, field) in
            [(8, &mut defaults.duration), (0x10, &mut defaults.size), (0x20, &mut defaults.flags)]
        {
            if flags & flag != 0 {
                *field = body.u32()?;
            }
        }
        let (time, long) = self.time();
        self.fact(time.is_some(), || format!("track {id} has no decode time"));
        let time = time?;
        let at = || place(self.url, self.traf.start, self.traf.end);
        self.ledger.advise("H51", long, || ("a decode time of 32 bits".to_owned(), at()));
        let mut samples = Vec::new();
        let mut next = self.moof.end.saturating_add(8);
        let traf = self.traf;
        for trun in traf.children().filter(|atom| atom.kind == b"trun") {
            let read = self.samples(&trun, defaults, &mut next, &mut samples);
            self.fact(read.is_some(), || format!("a run of track {id} leads outside the segment"));
        }
        self.sound(track, &samples);
        let (start, end) = (self.moof.start, self.traf.end);
        Some(Run { track: id, time, samples, start, end })
    }

    fn time(&self) -> (Option<u64>, bool) {
        let Some((version, _, mut body)) = self.traf.child(b"tfdt").and_then(|tfdt| tfdt.full())
        else {
            return (None, false);
        };
        (body.number(if version == 1 { 8 } else { 4 }), version == 1)
    }

    fn samples(
        &mut self,
        trun: &Atom<'a>,
        defaults: Defaults,
        next: &mut usize,
        out: &mut Vec<Sample<'a>>,
    ) -> Option<()> {
        let (version, flags, mut body) = trun.full()?;
        let count = usize::try_from(body.u32()?).ok()?;
        self.left = self.left.checked_sub(count)?;
        if flags & 1 != 0 {
            *next = self.moof.start.checked_add(usize::try_from(body.u32()?).ok()?)?;
        }
        let first = if flags & 4 == 0 { None } else { Some(body.u32()?) };
        for index in 0..count {
            let mut field = |flag: u64, default: u32| {
                if flags & flag == 0 { Some(default) } else { body.u32() }
            };
            let duration = field(0x100, defaults.duration)?;
            let size = usize::try_from(field(0x200, defaults.size)?).ok()?;
            let own = field(0x400, defaults.flags)?;
            let offset = field(0x800, 0)?;
            let own = first.filter(|_| index == 0).unwrap_or(own);
            let offset =
                if version == 0 { i64::from(offset) } else { i64::from(offset.cast_signed()) };
            self.bytes_left = self.bytes_left.checked_sub(size)?;
            let end = next.checked_add(size)?;
            let data = self.bytes.get(*next..end)?;
            *next = end;
            out.push(Sample { duration, offset, flagged: own & DEPENDS == 0, data });
        }
        Some(())
    }

    /// H55: times rise and nothing is empty.
    fn sound(&mut self, track: Option<&Track>, samples: &[Sample<'_>]) {
        let id = track.map_or(0, |track| track.id);
        let still = samples.iter().position(|sample| sample.duration == 0);
        let empty = samples.iter().position(|sample| sample.data.is_empty());
        let fault = still
            .map(|index| format!("sample {index} of track {id} takes no time"))
            .or(empty.map(|index| format!("sample {index} of track {id} is empty")));
        let at = || place(self.url, self.traf.start, self.traf.end);
        self.ledger.expect("H55", fault.is_none(), || (fault.unwrap_or_default(), at()));
    }
}
