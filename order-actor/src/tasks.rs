//! Background tasks: the only file that spawns them. Each task ends by itself when its client or
//! the engine does.
//! Never here: what a task does.

use tokio::task::JoinHandle;

/// Spawns a task on the caller's runtime.
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::spawn(task)
}
