//! The only file that spawns detached tasks. Tasks that must be drained run in a tracker instead.
//! Never here: what a task does.

use tokio::task::JoinHandle;

/// Spawns a task on the current runtime.
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::spawn(task)
}
