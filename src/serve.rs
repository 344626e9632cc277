//! `ordinal serve`: an engine that runs until it is told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::domain::Policy;

use crate::access::Access;
use crate::engine::{Backend, Engine, Settings};

/// Flags of `ordinal serve`; each may also come from the environment, and flags win.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Take settings from this TOML file: flags by their long names, such as `confirm-within =
    /// "10m"`. Flags and the environment win over it.
    #[arg(long, value_name = "FILE", env = "ORDINAL_CONFIG")]
    config: Option<PathBuf>,
    /// Keep everything in SQLite files in this directory (created if absent).
    #[arg(
        long,
        value_name = "DIR",
        env = "ORDINAL_DATA",
        default_value = "ordinal-data",
        conflicts_with = "database_url"
    )]
    data: PathBuf,
    /// Keep everything in this Postgres database instead, a schema per service.
    #[arg(long, value_name = "URL", env = "ORDINAL_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Listen on this address; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", env = "ORDINAL_LISTEN", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,
    /// Callers by bearer token (TOML, see the README); without it, loopback only and trusted.
    #[arg(long, value_name = "FILE", env = "ORDINAL_TOKENS")]
    tokens: Option<PathBuf>,
    /// Cancel orders that nobody confirmed for so long.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_CONFIRM_WITHIN", default_value = "15m", value_parser = humantime::parse_duration)]
    confirm_within: Duration,
    /// Accept returns for so long after fulfilment.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_RETURN_WITHIN", default_value = "30days", value_parser = humantime::parse_duration)]
    return_within: Duration,
    /// Remind operators of returns that nobody judged for so long.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_JUDGE_WITHIN", default_value = "3days", value_parser = humantime::parse_duration)]
    judge_within: Duration,
    /// Number of shards of a Postgres journal that is created now; fixed for ever.
    #[arg(long, value_name = "N", env = "ORDINAL_SHARDS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    shards: u16,
    /// Do not let stock react to orders, to see what happens when it does not answer.
    #[arg(long, env = "ORDINAL_WITHOUT_STOCK")]
    without_stock: bool,
    #[command(flatten)]
    messages: crate::messages::MessageArgs,
}

impl ServeArgs {
    /// The file with further settings.
    #[must_use]
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Where everything is kept.
    #[must_use]
    pub fn backend(&self) -> Backend {
        match &self.database_url {
            Some(url) => Backend::Postgres(url.clone()),
            None => Backend::Sqlite(self.data.clone()),
        }
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = Settings::new(self.backend());
        settings.listen = self.listen;
        settings.policy = Policy {
            confirm_within: self.confirm_within,
            return_within: self.return_within,
            judge_within: self.judge_within,
        };
        if matches!(settings.backend, Backend::Postgres(_)) {
            settings.shards = self.shards;
        }
        if let Some(path) = &self.tokens {
            settings.access = Access::from_file(path)?;
        }
        settings.stock_follower = !self.without_stock;
        self.messages.apply(&mut settings.notifications)?;
        Ok(settings)
    }
}

/// Serves until SIGTERM, SIGINT, or another engine takes the journal over.
///
/// # Errors
/// Where the engine cannot start.
pub async fn run(args: &ServeArgs, json: bool) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    let backend = match &settings.backend {
        Backend::Sqlite(directory) => format!("sqlite in {}", directory.display()),
        Backend::Postgres(_) => "postgres".to_owned(),
    };
    let engine = Engine::start(settings).await?;
    let address = engine.address();
    if json {
        println!("{}", serde_json::json!({"listening": address.to_string(), "backend": backend}));
    } else {
        println!("listening on http://{address} ({backend})");
    }
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    let superseded = tokio::select! {
        _ = terminate.recv() => false,
        interrupted = tokio::signal::ctrl_c() => { interrupted?; false }
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
