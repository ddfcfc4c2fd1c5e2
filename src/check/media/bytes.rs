//! Bounds-checked reading of bytes, boxes and bits. Whatever is missing is `None`.

/// Reads big-endian numbers from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of `count` bytes, eight at the most.
    pub(super) fn number(&mut self, count: usize) -> Option<u64> {
        let taken = self.take(count)?;
        Some(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.number(2).and_then(|number| u16::try_from(number).ok())
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.number(4).and_then(|number| u32::try_from(number).ok())
    }
}

/// One ISO BMFF box (ISO/IEC 14496-12 4.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Atom<'a> {
    pub(super) kind: &'a [u8],
    /// Where it starts in the resource.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) body: &'a [u8],
}

impl<'a> Atom<'a> {
    /// Version and flags of a full box, and what follows them.
    pub(super) fn full(&self) -> Option<(u8, u64, Bytes<'a>)> {
        let mut body = Bytes(self.body);
        Some((body.u8()?, body.number(3)?, body))
    }

    pub(super) fn children(&self) -> impl Iterator<Item = Atom<'a>> {
        atoms(self.body, self.end.saturating_sub(self.body.len()))
    }

    pub(super) fn child(&self, kind: &[u8; 4]) -> Option<Atom<'a>> {
        self.children().find(|atom| atom.kind == kind)
    }

    /// The box at the end of a path of kinds.
    pub(super) fn find(&self, path: &[&[u8; 4]]) -> Option<Atom<'a>> {
        path.iter().try_fold(*self, |atom, kind| atom.child(kind))
    }
}

/// The boxes in a row, as far as they can be read. `at` is where the slice starts.
pub(super) fn atoms(bytes: &[u8], at: usize) -> impl Iterator<Item = Atom<'_>> {
    let mut rest = Bytes(bytes);
    let mut at = at;
    std::iter::from_fn(move || {
        let whole = rest.0.len();
        let (size, kind) = (rest.u32()?, rest.take(4)?);
        let (size, header) = match size {
            0 => (whole, 8),
            1 => (usize::try_from(rest.number(8)?).ok()?, 16),
            size => (usize::try_from(size).ok()?, 8),
        };
        let body = rest.take(size.checked_sub(header)?)?;
        let start = at;
        at = at.checked_add(size)?;
        Some(Atom { kind, start, end: at, body })
    })
}

/// Reads bits from the front, emulation prevention already removed.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    pub(super) fn bits(&mut self, count: u32) -> Option<u64> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | u64::from(self.bit()?)))
    }

    /// An unsigned Exp-Golomb number (ITU-T H.264 9.1).
    pub(super) fn golomb(&mut self) -> Option<u64> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 32 {
                return None;
            }
        }
        Some((1_u64 << zeros) - 1 + self.bits(zeros)?)
    }

    pub(super) fn signed_golomb(&mut self) -> Option<i64> {
        let number = i64::try_from(self.golomb()?).ok()?;
        Some(if number % 2 == 0 { -(number / 2) } else { number / 2 + 1 })
    }
}

/// A NAL unit's payload without its emulation prevention bytes (ITU-T H.264 7.4.1).
pub(super) fn without_emulation(nal: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for byte in nal {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}
