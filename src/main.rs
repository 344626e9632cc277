//! Ordinal, an actor-based, event-sourced order engine: the one binary.

#![expect(clippy::print_stdout, reason = "this is the command line")]
#![expect(
    unreachable_pub,
    reason = "a binary has no face; pub says what a module shows the others"
)]

mod access; // who may call what
mod admin; // what operators see and may do
mod cli; // the command line
mod demo; // every ending of an order, on a temporary engine
mod edge; // the gRPC server as a stack
mod engine; // all parts of the engine in one process
mod followers; // their names
mod lag; // how far followers are behind
mod load; // drives an engine with real invoices
mod messages; // how messages leave, by flags
mod progress; // of long work
mod serve; // an engine that runs until it is told to stop
mod verify; // every law over everything

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let logs = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(logs).with_writer(std::io::stderr);
    if std::env::var("ORDINAL_LOG_FORMAT").is_ok_and(|format| format == "json") {
        subscriber.json().init();
    } else {
        subscriber.init();
    }
    cli::run().await
}
