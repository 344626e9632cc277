//! A thread of its own for lease renewals, which no load may delay. Its tasks wait for a database
//! or a clock, and never compute for long. The only place that starts it.

use std::io;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

use super::tasks::spawn;

static RUNTIME: LazyLock<io::Result<Handle>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("leases".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
});

/// Runs a task there, until it ends or the process does. Its connections must be its own, opened
/// within it.
pub fn spawn_for_lease<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match &*RUNTIME {
        Ok(handle) => handle.spawn(task),
        Err(error) => {
            tracing::warn!(%error, "leases have no thread of their own");
            spawn(task)
        }
    }
}
