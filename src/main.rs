//! The one binary of Ordinal.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use rustix::fs::Mode;

/// Actors free on one thread what was allocated on another, which glibc does slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // A buffer of which a few bytes are used would cost the 2 MiB of a huge page. Where the system
    // does not know the setting nothing is lost.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let logs = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // What this program writes holds addresses, mails and tokens: it is its owner's only.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(logs)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if std::env::var(ordinal::verbs::LOG_FORMAT).is_ok_and(|format| format == "json") {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
    ordinal::verbs::run(std::env::args_os()).await
}
