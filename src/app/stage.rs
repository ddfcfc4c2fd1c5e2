use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that end together when the server stops. Every task of the process belongs to one stage,
/// so whoever stops knows who is still alive.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Stage {
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Asks all tasks to stop and waits until they have.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
