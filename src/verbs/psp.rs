//! `ordinal psp`: a simulator of payment providers, for tests and demonstrations. It moves no money.
//! Never here: what the simulator does.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use psp::simulator::http::{Delivery, Service, WebhookTarget, serve};
use psp::simulator::{HookOdds, Odds, Settings, SimulatedPsp};
use psp::webhook::Secret;
use psp::{ApiKey, Dialect};
use serde_json::json;
use shared_events::chance::Chance;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::client::{Failure, Output};

/// `ordinal psp`
#[derive(Debug, clap::Args)]
pub struct PspVerb {
    /// Listen on this address; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", env = "ORDINAL_PSP_LISTEN", default_value = "127.0.0.1:7480", value_parser = crate::flags::listen)]
    listen: SocketAddr,
    /// Listen although other machines reach the address: whoever does can script the simulator.
    #[arg(long)]
    any_network: bool,
    /// Draw faults from this seed: the same calls then meet the same faults.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Let faults happen by themselves, each in thousandths of the calls, such as
    /// timeout_after=20,decline=30 (docs/providers.md lists them).
    #[arg(long, value_name = "NAME=N,…", default_value = "", hide_default_value = true, value_parser = odds)]
    odds: Odds,
    /// How long every answer takes.
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = crate::flags::duration)]
    latency: Duration,
    /// Callers must show this key: as bearer token (Stripe), or as the secret of basic
    /// authentication (Razorpay) [default: any key is taken].
    #[arg(long, value_name = "KEY", env = "ORDINAL_PSP_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Send webhooks to this URL.
    #[arg(long, value_name = "URL", env = "ORDINAL_PSP_WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// How webhooks are written and signed: stripe, razorpay or simulator.
    #[arg(long, value_name = "DIALECT", default_value = "stripe", value_parser = dialect)]
    webhook_dialect: Dialect,
    /// Sign webhooks with this secret; a second one is that from before, which signs some.
    #[arg(
        long,
        value_name = "SECRET",
        env = "ORDINAL_PSP_WEBHOOK_SECRET",
        hide_env_values = true,
        value_delimiter = ','
    )]
    webhook_secret: Vec<String>,
    /// Let webhooks go wrong, each in thousandths: dropped, doubled, delayed, old_secret,
    /// wrong_secret.
    #[arg(long, value_name = "NAME=N,…", default_value = "", hide_default_value = true, value_parser = hook_odds)]
    webhook_odds: HookOdds,
}

fn odds(text: &str) -> Result<Odds, String> {
    text.parse().map_err(|error: psp::simulator::ScriptError| error.to_string())
}

fn hook_odds(text: &str) -> Result<HookOdds, String> {
    text.parse().map_err(|error: psp::simulator::ScriptError| error.to_string())
}

fn dialect(text: &str) -> Result<Dialect, String> {
    text.parse().map_err(|error: psp::NotADialect| error.to_string())
}

impl PspVerb {
    fn delivery(&self) -> Result<Option<Delivery>, Failure> {
        let Some(url) = &self.webhook_url else { return Ok(None) };
        let wrong =
            |error: &dyn std::fmt::Display| Failure::Usage(format!("--webhook-url: {error}"));
        if self.webhook_secret.is_empty() {
            return Err(wrong(&"webhooks are signed, so --webhook-secret-file is needed, too"));
        }
        let dialect = self.webhook_dialect;
        let secrets: Result<Vec<Secret>, _> =
            self.webhook_secret.iter().map(|text| Secret::new(dialect, text)).collect();
        let secrets =
            secrets.map_err(|error| Failure::Usage(format!("--webhook-secret: {error}")))?;
        let target = WebhookTarget { url: url.clone(), dialect, secrets };
        Delivery::new(target).map(Some).map_err(|error| wrong(&error))
    }

    fn key(&self) -> Result<Option<ApiKey>, Failure> {
        let unfit = || Failure::Usage("--key: not 1 to 300 printable characters".to_owned());
        self.key.as_ref().map(|text| ApiKey::new(text).ok_or_else(unfit)).transpose()
    }
}

/// Simulates until SIGTERM or SIGINT.
///
/// # Errors
/// Usage, or if it cannot listen.
pub async fn run(args: PspVerb, out: &Output) -> Result<ExitCode, Failure> {
    if !args.listen.ip().is_loopback() && !args.any_network {
        let text = "--listen: other machines reach this address and could script the simulator; \
                    --any-network permits it";
        return Err(Failure::Usage(text.to_owned()));
    }
    let (delivery, key) = (args.delivery()?, args.key()?);
    let settings = Settings {
        // Without one, references differ from those of an earlier process.
        seed: args.seed.unwrap_or_else(|| Chance::system().bits()),
        odds: args.odds,
        hook_odds: args.webhook_odds,
        webhooks: delivery.is_some(),
        latency: args.latency,
        ..Settings::default()
    };
    let chance = args.seed.map_or_else(Chance::system, Chance::seeded);
    let psp = SimulatedPsp::new(settings, Arc::new(|| SystemClock.now()), chance);
    let service = Arc::new(Service::new(psp, key));
    // Installed before the address is printed, so that an immediate stop is heard.
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot listen for SIGTERM")?;
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", args.listen))?;
    let address = listener.local_addr().context("no address")?;
    out.answer(&json!({ "listening": address.to_string() }), |out, _| {
        out.line(format!(
            "listening on http://{address}: a simulator of payment providers, it moves no money"
        ));
    });
    let stop = CancellationToken::new();
    let served = serve(listener, Arc::clone(&service), stop.clone());
    let delivered = async {
        if let Some(delivery) = &delivery {
            delivery.run(service, stop.clone()).await;
        }
    };
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stop.cancel();
    };
    tokio::join!(served, delivered, stopped);
    Ok(ExitCode::SUCCESS)
}
