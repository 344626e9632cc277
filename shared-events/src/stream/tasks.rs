//! The only file that begins a tokio task, for this crate, the journal and the edges alike. Each
//! task ends by itself, when its work or whoever waits for it does.
//! Never here: what a task does.

use tokio::task::{JoinError, JoinHandle};

/// Begins a task on the caller's runtime.
pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    tokio::spawn(task)
}

/// Why a task was not completed. It does not repeat what a panic says, as the error of tokio does:
/// that may be a value. The log has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// It panicked.
    #[error("a task panicked")]
    Panicked,
    /// It was cancelled, or its runtime ended.
    #[error("a task was cancelled")]
    Cancelled,
}

impl From<JoinError> for Unfinished {
    fn from(error: JoinError) -> Self {
        if error.is_panic() { Self::Panicked } else { Self::Cancelled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panicked_does_not_say_what_it_panicked_with() {
        let panicked = spawn::<()>(async { panic!("MARKER-STREET") }).await;
        let error = Unfinished::from(panicked.unwrap_err());
        assert_eq!((error, error.to_string().as_str()), (Unfinished::Panicked, "a task panicked"));
    }

    #[tokio::test]
    async fn a_task_that_was_cancelled_says_so() {
        let waiting = spawn(std::future::pending::<()>());
        waiting.abort();
        let error = Unfinished::from(waiting.await.unwrap_err());
        assert_eq!(error, Unfinished::Cancelled);
    }
}
