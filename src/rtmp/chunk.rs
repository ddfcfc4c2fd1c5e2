//! Chunk headers (Adobe RTMP 1.0, section 5.3.1).

/// A three-byte timestamp of this value says that the real one follows in four bytes
/// (section 5.3.1.3).
pub(super) const EXTENDED: u32 = 0xFF_FFFF;

/// What stands before the message header: one to three bytes (section 5.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basic {
    /// 0 to 3: how much of the message header follows.
    pub(super) format: u8,
    /// The chunk stream.
    pub(super) id: u32,
}

impl Basic {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Option<Self> {
        let first = cursor.u8()?;
        let id = match first & 0x3F {
            0 => 64 + u32::from(cursor.u8()?),
            1 => 64 + u32::from(cursor.u16_le()?),
            id => u32::from(id),
        };
        Some(Self { format: first >> 6, id })
    }
}

/// The four message headers (section 5.3.1.2), types 0 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    Full { timestamp: u32, length: usize, kind: u8, stream: u32 },
    SameStream { delta: u32, length: usize, kind: u8 },
    SameLength { delta: u32 },
    Repeat,
}

impl Header {
    /// Reads a header of type 0 to 2 with its extended timestamp, which it also answers.
    pub(super) fn parse(format: u8, cursor: &mut Cursor<'_>) -> Option<(Self, Option<u32>)> {
        let short = cursor.u24()?;
        let sized = if format < 2 { Some((cursor.u24()?, cursor.u8()?)) } else { None };
        let stream = if format == 0 { Some(cursor.u32_le()?) } else { None };
        let extended = if short == EXTENDED { Some(cursor.u32()?) } else { None };
        let time = extended.unwrap_or(short);

        let body = match (sized, stream) {
            (Some((length, kind)), Some(stream)) => {
                Self::Full { timestamp: time, length: field_length(length), kind, stream }
            }
            (Some((length, kind)), None) => {
                Self::SameStream { delta: time, length: field_length(length), kind }
            }
            (None, _) => Self::SameLength { delta: time },
        };
        Some((body, extended))
    }
}

fn field_length(field: u32) -> usize {
    usize::try_from(field).expect("24 bits fit")
}

/// Reads from the front of a slice; `None` when it is too short.
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16_le(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u24(&mut self) -> Option<u32> {
        self.take::<3>().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u32_le(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// Skips the extended timestamp of a type 3 chunk if it is there. The standard wants it
    /// repeated (section 5.3.1.3); widespread encoders leave it out. So it is taken only when the
    /// four bytes are the very value, and the first byte that differs settles it, so the end of
    /// a message never waits for the next one. `None`: too early to tell.
    pub(super) fn skip_repeated(&mut self, extended: Option<u32>) -> Option<()> {
        let Some(value) = extended else { return Some(()) };
        let expected = value.to_be_bytes();
        let seen = self.rest.iter().zip(&expected).take_while(|(got, want)| got == want).count();
        if seen == expected.len() {
            self.rest = self.rest.get(seen..).expect("seen bytes are there");
            return Some(());
        }
        if seen == self.rest.len() { None } else { Some(()) }
    }
}
