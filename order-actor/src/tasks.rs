//! What runs beside: the only file that begins a task. Each of them ends by itself when the client
//! or the engine for whom it works does.
//! Never here: what a task does.

use tokio::task::JoinHandle;

/// Begins a task on the runtime of whoever asks.
pub(crate) fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::spawn(task)
}
