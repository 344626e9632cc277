//! `ordinal serve`: an engine that runs until it is told to stop.

mod args; // its flags
mod tokens; // drawn where none were given

pub use args::ServeArgs;

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use crate::client::Failure;
use crate::edge::take_descriptors;
use crate::engine::{Backend, Engine};

/// Serves until SIGTERM, SIGINT, or another engine takes the journal over.
///
/// # Errors
/// Where the engine cannot start.
pub async fn run(args: &ServeArgs, json: bool) -> Result<ExitCode, Failure> {
    take_descriptors();
    let usage = |error: anyhow::Error| Failure::usage(&error);
    let tokens = args.backend().and_then(|backend| args.tokens(&backend)).map_err(usage)?;
    let settings = args.settings(tokens.clone()).map_err(usage)?;
    settings.check().map_err(usage)?;
    let role = settings.role.name();
    let backend = match &settings.backend {
        Backend::Sqlite(directory) => format!("sqlite in {}", directory.display()),
        Backend::Postgres(_) => "postgres".to_owned(),
    };
    // Heard from before anybody is told that it serves: who stops it at once finds it drained, too.
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    let engine = tokio::select! {
        started = Engine::start(settings) => started?,
        // Nothing was begun for anybody.
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
    };
    let address = engine.address().to_string();
    if json {
        let tokens = tokens.as_ref().map(|path| path.display().to_string());
        let told = json!({
            "listening": address, "backend": backend, "role": role, "tokens": tokens,
        });
        println!("{told}");
    } else {
        println!("listening on http://{address} ({role} on {backend})");
        match (&args.tokens, &tokens) {
            (None, Some(path)) => println!(
                "callers prove themselves by tokens: {} and the files beside it",
                path.display()
            ),
            (_, None) => println!(
                "callers are believed, as operators where they say nothing: everybody on this \
                 machine may do everything (--tokens)"
            ),
            (Some(_), Some(_)) => {}
        }
    }
    let superseded = tokio::select! {
        _ = terminate.recv() => false,
        interrupted = tokio::signal::ctrl_c() => { interrupted.context("Ctrl-C")?; false }
        () = engine.failed() => true,
    };
    if superseded {
        tracing::error!(
            "another engine has taken the journal over, or the lease ran out; stopping"
        );
    }
    engine.stop().await?;
    Ok(if superseded { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
