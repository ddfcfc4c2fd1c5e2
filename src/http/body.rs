use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::metrics::BytesOut;
use super::watchdog::Owed;

/// The body of every answer: shared chunks handed to the socket as they are, with the length
/// known beforehand. Each viewer holds a place in the list and no copy of it.
///
/// The chunks must be large (a part each): a frame of 300 bytes costs eight times as much for
/// each byte sent as one of 60 KB. `Data` is `Bytes` itself, since hyper can skip bytes of a
/// buffer made of several pieces.
#[derive(Debug, Default)]
pub struct PartBody {
    chunks: Chunks,
    /// Bytes of the next chunk that lie before the wanted range.
    skip: u64,
    /// Bytes still to hand out.
    remaining: u64,
    toll: Option<Toll>,
}

/// What the connection and the counters hear about a body on its way.
#[derive(Debug)]
pub(super) struct Toll {
    pub(super) bytes_out: BytesOut,
    /// Tells the watchdog, as long as it lives, that bytes are owed to the peer.
    pub(super) _owed: Owed,
}

#[derive(Debug, Default)]
enum Chunks {
    #[default]
    None,
    One(Bytes),
    List {
        list: Arc<[Bytes]>,
        next: usize,
    },
}

impl PartBody {
    pub fn empty() -> Self {
        Self::default()
    }

    pub fn one(bytes: Bytes) -> Self {
        let remaining = length(&bytes);
        Self { chunks: Chunks::One(bytes), skip: 0, remaining, toll: None }
    }

    /// The chunks one after the other.
    pub fn list(list: Arc<[Bytes]>) -> Self {
        let remaining = list.iter().map(length).sum();
        Self { chunks: Chunks::List { list, next: 0 }, skip: 0, remaining, toll: None }
    }

    /// Bytes still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Keeps only `range` of the bytes, which must lie within them; what does not is cut off.
    pub fn slice(mut self, range: Range<u64>) -> Self {
        let end = range.end.min(self.remaining);
        self.skip = range.start.min(end);
        self.remaining = end.saturating_sub(range.start);
        self
    }

    pub(super) fn set_toll(&mut self, toll: Toll) {
        self.toll = Some(toll);
    }

    /// Hands out the next bytes, and counts them.
    pub(super) fn take_chunk(&mut self) -> Option<Bytes> {
        let chunk = self.next_chunk()?;
        if let Some(toll) = &self.toll {
            toll.bytes_out.add(length(&chunk));
        }
        Some(chunk)
    }

    /// The next chunk that holds wanted bytes, cut to them.
    fn next_chunk(&mut self) -> Option<Bytes> {
        while 0 < self.remaining {
            let chunk = self.chunks.next()?;
            let len = length(&chunk);
            if len <= self.skip {
                self.skip -= len;
                continue;
            }
            let end = len.min(self.skip.saturating_add(self.remaining));
            let wanted = usize::try_from(self.skip).ok()?..usize::try_from(end).ok()?;
            self.remaining -= end - self.skip;
            self.skip = 0;
            return Some(chunk.slice(wanted));
        }
        None
    }
}

impl Chunks {
    fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::None => None,
            Self::One(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::None;
                Some(bytes)
            }
            Self::List { list, next } => {
                let chunk = list.get(*next)?.clone();
                *next += 1;
                Some(chunk)
            }
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).expect("a length in memory fits 64 bits")
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.take_chunk().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    fn collect(body: PartBody) -> Vec<u8> {
        assert_eq!(body.size_hint().exact(), Some(body.remaining()));
        let collected = futures_now(body.collect()).expect("the body never waits");
        collected.unwrap().to_bytes().to_vec()
    }

    /// The value of a future that is ready at the first poll.
    fn futures_now<F: Future>(future: F) -> Option<F::Output> {
        match std::pin::pin!(future).poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    fn list(chunks: &[&'static str]) -> PartBody {
        PartBody::list(chunks.iter().map(|text| Bytes::from_static(text.as_bytes())).collect())
    }

    #[test]
    fn chunks_leave_in_order_and_shared() {
        assert_eq!(collect(PartBody::empty()), b"");
        assert_eq!(collect(PartBody::one(Bytes::from_static(b"one"))), b"one");
        assert_eq!(collect(list(&["ab", "", "cde", "f"])), b"abcdef");

        let chunk = Bytes::from(vec![7; 100]);
        let mut body = PartBody::list(Arc::from([chunk.clone()]));
        assert_eq!(body.next_chunk().unwrap().as_ptr(), chunk.as_ptr(), "handed out, not copied");
        assert!(body.is_end_stream());
    }

    proptest! {
        /// H113: any range of any list is the same range of the whole.
        #[test]
        fn a_slice_is_the_slice_of_the_whole(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5), 0..6),
            start in 0_u64..40,
            length in 0_u64..40,
        ) {
            let whole = chunks.concat();
            let body = PartBody::list(chunks.into_iter().map(Bytes::from).collect());
            let len = u64::try_from(whole.len()).unwrap();
            let (from, to) = (start.min(len), (start + length).min(len));
            let expected = &whole[usize::try_from(from).unwrap()..usize::try_from(to).unwrap()];
            prop_assert_eq!(collect(body.slice(start..start + length)), expected);
        }
    }
}
