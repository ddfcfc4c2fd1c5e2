use bytes::{Buf, Bytes};

/// Reads a message from the front without copying: every slice shares the message's allocation.
/// Who reads to the end and takes the rest allocates nothing, not even a counter of references.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    rest: Bytes,
}

/// The message ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) need: usize,
    pub(super) got: usize,
}

impl Cursor {
    pub(super) fn new(message: Bytes) -> Self {
        Self { rest: message }
    }

    pub(super) fn take(&mut self, len: usize) -> Result<Bytes, Short> {
        if self.rest.len() < len {
            return Err(Short { need: len, got: self.rest.len() });
        }
        Ok(self.rest.split_to(len))
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.rest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let Some(&array) = self.rest.first_chunk::<N>() else {
            return Err(Short { need: N, got: self.rest.len() });
        };
        self.rest.advance(N);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u24(&mut self) -> Result<u32, Short> {
        self.array::<3>().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// A signed 24-bit number, as FLV writes composition times.
    pub(super) fn i24(&mut self) -> Result<i32, Short> {
        // Shifting back from the top carries the sign.
        self.array::<3>().map(|[a, b, c]| i32::from_be_bytes([a, b, c, 0]) >> 8)
    }
}
