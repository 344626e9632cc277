//! `ordinal serve`: runs an engine until it is stopped.

mod args; // its flags
mod bounds; // its flags of limits of callers
mod callers; // who may call
mod metrics; // its flags of metrics
mod observe; // its flags of logs and traces
mod tls; // its flags of TLS
mod tokens; // generates tokens at the first start

pub use args::ServeArgs;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::client::Failure;
use crate::edge::take_descriptors;
use crate::engine::{Backend, Engine};

/// Serves until SIGTERM, SIGINT, or another engine takes the journal over.
///
/// # Errors
/// If the engine cannot start.
pub async fn run(args: &ServeArgs, json: bool) -> Result<ExitCode, Failure> {
    take_descriptors();
    let usage = |error: anyhow::Error| Failure::usage(&error);
    let tokens = args.backend().and_then(|backend| args.tokens(&backend)).map_err(usage)?;
    let settings = args.settings(tokens.clone()).map_err(usage)?;
    settings.check().map_err(usage)?;
    let (role, process) = (settings.role.name(), settings.process());
    let sending = args.observed(&process, &settings.clock)?;
    let backend = match &settings.backend {
        Backend::Sqlite(directory) => format!("sqlite in {}", directory.display()),
        other => other.name().to_owned(),
    };
    // Installed before the address is printed, so that an immediate stop drains the engine, too.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let engine = tokio::select! {
        started = Engine::start(settings) => started?,
        // Stopped before it served.
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    announce(args, &engine, (role, &backend, tokens.as_deref()), json);
    let failed = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = engine.failed() => true,
    };
    if failed {
        tracing::error!(
            "another engine has taken over the journal, or the lease expired; stopping"
        );
    }
    // Where nobody else serves, the next start is not to wait for a scraper.
    let stopped = if failed && engine.is_superseded() {
        let no_time = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        engine.stop_and_show(no_time).await
    } else {
        engine.stop().await
    };
    if let Some(sending) = sending {
        sending.end().await;
    }
    stopped?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Prints where it listens, and by what callers are known.
fn announce(
    args: &ServeArgs,
    engine: &Engine,
    (role, backend, tokens): (&str, &str, Option<&Path>),
    json: bool,
) {
    let address = engine.address().to_string();
    if json {
        let tokens = tokens.map(|path| path.display().to_string());
        let started = json!({
            "listening": address, "backend": backend, "role": role, "tokens": tokens,
            "tls": args.tls.is_on(), "metrics": engine.metrics().map(|at| at.to_string()),
        });
        println!("{started}");
        return;
    }
    let scheme = if args.tls.is_on() { "https" } else { "http" };
    println!("listening on {scheme}://{address} ({role} on {backend})");
    if let Some(at) = engine.metrics() {
        println!("metrics at http://{at}/metrics");
    }
    match (&args.tokens, tokens) {
        (None, Some(path)) => {
            println!("callers authenticate with tokens: {} and the files beside it", path.display())
        }
        (_, None) => println!(
            "callers are not authenticated and are operators by default: every user of this \
             machine can do everything (see --tokens)"
        ),
        (Some(_), Some(_)) => {}
    }
}
