//! One thread beside all others, for what no load may hold up: saying in time that this process is
//! alive. Whatever runs there waits for a database or a clock, and never works long. The only place
//! that starts it.

use std::io;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

static BESIDE: LazyLock<io::Result<Handle>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("leases".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
});

/// Runs a task there, for as long as the process lives or until it ends. Connections that it uses
/// must be its own, made within it.
pub fn spawn_beside<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match &*BESIDE {
        Ok(beside) => beside.spawn(task),
        Err(error) => {
            tracing::warn!(%error, "leases have no thread of their own");
            tokio::spawn(task)
        }
    }
}
