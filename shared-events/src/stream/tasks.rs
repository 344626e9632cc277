//! The only file that begins a tokio task, for this crate, the journal and the edges alike. Each
//! task ends by itself, when its work or whoever waits for it does.
//! Never here: what a task does.

use tokio::task::JoinHandle;

/// Begins a task on the caller's runtime.
pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::spawn(task)
}
