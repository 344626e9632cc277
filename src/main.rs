//! The one binary of Ordinal.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use rustix::fs::Mode;

/// Actors free memory on other threads than those that allocated it, which is slow in glibc.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // Otherwise a buffer of which a few bytes are used may take a huge page of 2 MiB. Ignored where
    // the system does not support it.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let logs = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,access=info"));
    // Files of this program hold addresses, mails and tokens: only their owner may read them.
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
