//! The one binary of Ordinal.

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
    let _logs = ordinal::logs::begin(std::env::args_os());
    // Files of this program hold addresses, mails and tokens: only their owner may read them.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    ordinal::verbs::run(std::env::args_os()).await
}
