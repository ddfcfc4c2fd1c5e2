use std::io;
use std::num::NonZero;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads with a runtime each: a connection stays where it was opened, and nothing it does wakes
/// another thread. Dropping it ends them, and whatever still runs on them.
#[derive(Debug)]
pub struct Threads {
    handles: Vec<Handle>,
    _end: DropGuard,
}

impl Threads {
    /// One for each core.
    pub fn start() -> io::Result<Self> {
        let end = CancellationToken::new();
        // Ends those that have begun where another cannot.
        let guard = end.clone().drop_guard();
        let mut handles = Vec::new();
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
            handles.push(runtime.handle().clone());
            let end = end.clone();
            let run = move || runtime.block_on(end.cancelled());
            thread::Builder::new().name("crowd".to_owned()).spawn(run)?;
        }
        Ok(Self { handles, _end: guard })
    }

    /// Where to spawn.
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_runs_stays_on_its_thread_and_ends_with_it() {
        let threads = Threads::start().expect("threads");
        for handle in threads.handles() {
            let where_am_i = || handle.spawn(async { thread::current().id() });
            let first = where_am_i().await.expect("it ran");
            assert_eq!(where_am_i().await.expect("it ran"), first);
            assert_ne!(thread::current().id(), first);
        }
        let (held, gone) = oneshot::channel::<()>();
        let forever = async move {
            std::future::pending::<()>().await;
            drop(held);
        };
        threads.handles().first().expect("one at least").spawn(forever);
        drop(threads);
        gone.await.expect_err("it was dropped");
    }
}
