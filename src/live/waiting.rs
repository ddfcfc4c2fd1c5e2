use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::published::Published;

/// The answer to a blocking reload.
#[derive(Debug)]
pub enum Wait {
    /// Listed already: answer with this.
    Ready(Arc<Published>),
    Refused(WaitRefusal),
    /// Will come. The deadline is the caller's. `None`: the broadcast ended without a part.
    Later(Later<Option<Arc<Published>>>),
}

/// Why nobody will wait for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitRefusal {
    /// Further ahead than a player that read the playlist can want (H94, H95).
    TooFarAhead,
    /// The broadcast has ended and its final playlist is no longer served.
    Gone,
}

/// Something that happens later. Dropping it frees all it holds at once.
pub struct Later<T>(Pin<Box<dyn Future<Output = T> + Send>>);

impl<T> Later<T> {
    pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Bytes on the heap while it waits.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

impl<T> Future for Later<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.0.as_mut().poll(context)
    }
}

impl<T> fmt::Debug for Later<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}
