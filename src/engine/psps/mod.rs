//! Payment service providers from a file, each called through the adapter of its dialect.
//! Never here: a secret in an error, or what a provider is called for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use order_actor::clock::Clock;
use payment::domain::PayoutRules;
use psp::simulator::{Odds, SimulatedPsp};
use psp::webhook::{Secret, Verifier};
use psp::{ApiKey, Dialect, Endpoint, Psp, Razorpay, Stripe};
use serde::Deserialize;
use shared_events::chance::Chance;
use shared_events::contract::{Currency, Money, PspName};

use super::payouts::{Payouts, PayoutsTable};
use super::wallets::{self, Wallets};

/// Providers of one engine.
const PSPS_MAX: usize = 16;
/// How long a call to a provider may take, unless its settings say otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a call to a simulator may take: it answers after 2 s where it is slow.
const SIMULATED_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest that they may say: payments wait no longer for an answer.
const TIMEOUT_MAX: Duration = payment::ANSWER_WITHIN;

/// Flags of payment service providers.
#[derive(Debug, clap::Args)]
pub struct PspArgs {
    /// A TOML file with payment service providers, each as [[psps]] (docs/providers.md); the
    /// settings file may hold them itself.
    #[arg(long, value_name = "FILE", env = "ORDINAL_PSPS")]
    psps: Option<PathBuf>,
}

/// A provider.
#[derive(Clone)]
pub enum Provider {
    /// The wallets of the ledger, which count money as we do and send no webhooks.
    Wallets,
    /// One that is called through an adapter.
    Called {
        /// The adapter.
        psp: Arc<dyn Psp>,
        /// How it writes, and counts money.
        dialect: Dialect,
        /// What verifies its webhooks; without a secret there is none.
        verifier: Option<Verifier>,
    },
}

/// The providers of an engine, by their names, and how sellers are paid out.
#[derive(Clone, Default)]
pub struct Psps(BTreeMap<PspName, Provider>, Option<Payouts>);

impl Psps {
    /// The providers themselves, with these wallets: each process has its own way to the ledger.
    #[must_use]
    pub fn psps(&self, wallets: &Wallets) -> BTreeMap<PspName, Arc<dyn Psp>> {
        let psp = |one: &Provider| -> Arc<dyn Psp> {
            match one {
                Provider::Wallets => Arc::new(wallets.clone()),
                Provider::Called { psp, .. } => Arc::clone(psp),
            }
        };
        self.0.iter().map(|(name, one)| (name.clone(), psp(one))).collect()
    }

    /// How sellers are paid out, if they are, where returns may be asked for within this time.
    #[must_use]
    pub fn payouts(&self, returns_within: Duration) -> Option<PayoutRules> {
        self.1.as_ref().map(|payouts| payouts.where_returns(returns_within))
    }

    /// The payouts that a table asks for.
    fn paid_out(&self, table: PayoutsTable) -> anyhow::Result<Payouts> {
        let payouts = table.read()?;
        let psp = &payouts.rules().psp;
        let pays = match self.0.get(psp) {
            None => anyhow::bail!("psp: no such provider: {psp}"),
            Some(Provider::Wallets) => false,
            Some(Provider::Called { psp, .. }) => psp.capabilities().payouts,
        };
        anyhow::ensure!(
            pays,
            "psp: {psp} pays nobody out; simulators do, and Stripe where payouts = true says so"
        );
        Ok(payouts)
    }

    /// Whether wallets are among them.
    #[must_use]
    pub fn have_wallets(&self) -> bool {
        self.0.values().any(|one| matches!(one, Provider::Wallets))
    }

    /// One provider without webhooks.
    ///
    /// # Errors
    /// What is wrong with its name.
    pub fn of(name: &str, dialect: Dialect, psp: Arc<dyn Psp>) -> anyhow::Result<Self> {
        let provider = Provider::Called { psp, dialect, verifier: None };
        Ok(Self(BTreeMap::from([(name.parse()?, provider)]), None))
    }

    /// These, and the wallets of the ledger.
    ///
    /// # Errors
    /// Never in practice: the name is a constant.
    pub fn and_wallets(mut self) -> anyhow::Result<Self> {
        self.0.insert(wallets::NAME.parse()?, Provider::Wallets);
        Ok(self)
    }

    /// A running `ordinal psp` at this address, called in Stripe's dialect.
    ///
    /// # Errors
    /// What is wrong with the name or the address.
    pub fn simulated_at(name: &str, url: &str) -> anyhow::Result<Self> {
        let endpoint =
            Endpoint { url: url.to_owned(), authorities: Vec::new(), timeout: SIMULATED_TIMEOUT };
        // It takes any.
        let key = ApiKey::new("sk_of_a_simulator").context("key")?;
        let stripe = Stripe::new(name, &endpoint, key, true)?.simulated();
        Self::of(name, Dialect::Stripe, Arc::new(stripe))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Why a provider cannot be paid by in a currency, if it cannot.
    #[must_use]
    pub fn wrong(&self, psp: &PspName, currency: Currency) -> Option<String> {
        let Some(provider) = self.0.get(psp) else {
            let known: Vec<&str> = self.0.keys().map(PspName::as_str).collect();
            return Some(format!("no such provider; there are {}", known.join(", ")));
        };
        let takes = match provider {
            Provider::Wallets => true,
            Provider::Called { dialect, .. } => dialect.amount(Money::new(0, currency)).is_ok(),
        };
        (!takes).then(|| format!("{psp} is not known to take {currency}"))
    }

    /// What verifies the webhooks of those that send any.
    #[must_use]
    pub fn verifiers(&self) -> BTreeMap<PspName, Verifier> {
        let verifier = |(name, one): (&PspName, &Provider)| match one {
            Provider::Wallets => None,
            Provider::Called { verifier, .. } => Some((name.clone(), verifier.clone()?)),
        };
        self.0.iter().filter_map(verifier).collect()
    }
}

#[derive(Deserialize)]
struct File {
    psps: Vec<Table>,
    payouts: Option<PayoutsTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    name: String,
    dialect: String,
    url: Option<String>,
    secret_file: Option<PathBuf>,
    /// Who names them receives webhooks: an empty list is no secret, and refused.
    webhook_secret_files: Option<Vec<PathBuf>>,
    ca: Option<PathBuf>,
    timeout: Option<String>,
    /// Stripe: whether the account may capture in parts.
    #[serde(default)]
    multi_capture: bool,
    /// Stripe: whether the account pays sellers out.
    #[serde(default)]
    payouts: bool,
    /// The simulator: begins its faults.
    seed: Option<u64>,
    /// The simulator: how often which fault happens.
    odds: Option<String>,
    /// The simulator: how long an answer takes.
    latency: Option<String>,
}

impl PspArgs {
    /// The providers that the flags name; none if they name none.
    ///
    /// # Errors
    /// What is wrong with the file, or with a file that it names.
    pub fn psps(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<Psps> {
        match &self.psps {
            Some(path) => from_file(path, clock),
            None => Ok(Psps::default()),
        }
    }
}

/// The providers in a file. Paths in it are relative to its directory.
fn from_file(path: &Path, clock: &Arc<dyn Clock>) -> anyhow::Result<Psps> {
    let wrong = |text: String| anyhow::anyhow!("psps {}: {text}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let file: File = Figment::from(Toml::string(&text))
        .extract()
        .map_err(|error| wrong(super::webhooks::unreadable(&error, "psps")))?;
    if file.psps.len() > PSPS_MAX {
        return Err(wrong(format!("more than {PSPS_MAX} providers")));
    }
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    let mut psps = BTreeMap::new();
    for table in file.psps {
        let name: PspName =
            table.name.parse().map_err(|error| wrong(format!("{:?}: {error}", table.name)))?;
        if psps.contains_key(&name) {
            return Err(wrong(format!("{name}: two providers have this name")));
        }
        let provider = table.provider(directory, clock);
        psps.insert(name.clone(), provider.map_err(|error| wrong(format!("{name}: {error}")))?);
    }
    let psps = Psps(psps, None);
    let Some(table) = file.payouts else { return Ok(psps) };
    let payouts = psps.paid_out(table).map_err(|error| wrong(format!("payouts: {error}")))?;
    Ok(Psps(psps.0, Some(payouts)))
}

impl Table {
    fn provider(&self, directory: &Path, clock: &Arc<dyn Clock>) -> anyhow::Result<Provider> {
        if wallets::are_meant(&self.name, &self.dialect)? {
            return self.wallets();
        }
        let dialect = self.dialect.parse::<Dialect>();
        let dialect = dialect
            .map_err(|error| anyhow::anyhow!("dialect: {error}, and not {}", wallets::NAME))?;
        let psp = match dialect {
            Dialect::Simulator => self.simulator(clock)?,
            Dialect::Stripe | Dialect::Razorpay => self.adapter(dialect, directory)?,
        };
        let verifier = self.verifier(dialect, directory)?;
        Ok(Provider::Called { psp, dialect, verifier })
    }

    /// The wallets of the ledger, which has no settings here.
    fn wallets(&self) -> anyhow::Result<Provider> {
        let of_others = self.url.is_some() || self.ca.is_some() || self.timeout.is_some();
        let secrets = self.secret_file.is_some() || self.webhook_secret_files.is_some();
        let simulated = self.seed.is_some() || self.odds.is_some() || self.latency.is_some();
        anyhow::ensure!(
            !of_others && !secrets && !simulated && !self.multi_capture && !self.payouts,
            "the wallets of the ledger have a name and a dialect, and nothing else"
        );
        Ok(Provider::Wallets)
    }

    /// What verifies its webhooks, where it sends any.
    fn verifier(&self, dialect: Dialect, directory: &Path) -> anyhow::Result<Option<Verifier>> {
        let Some(files) = &self.webhook_secret_files else { return Ok(None) };
        let secret = |file: &PathBuf| {
            let text = secret("webhook secret", &directory.join(file))?;
            Secret::new(dialect, &text)
                .map_err(|error| anyhow::anyhow!("webhook secret {}: {error}", file.display()))
        };
        let secrets: anyhow::Result<Vec<Secret>> = files.iter().map(secret).collect();
        let verifier = Verifier::new(dialect, secrets?);
        Ok(Some(verifier.map_err(|error| anyhow::anyhow!("webhook-secret-files: {error}"))?))
    }

    /// The simulator in this process.
    fn simulator(&self, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Psp>> {
        if self.url.is_some() || self.secret_file.is_some() || self.ca.is_some() {
            let how = "the simulator in this process has no url, secret-file or ca; \
                       `ordinal psp` is reached by the dialect stripe or razorpay";
            anyhow::bail!("{how}");
        }
        anyhow::ensure!(!self.multi_capture, "multi-capture: the simulator can do that anyway");
        anyhow::ensure!(!self.payouts, "payouts: the simulator can do that anyway");
        let mut settings = psp::simulator::Settings {
            name: self.name.clone(),
            // Without one, references differ from those of an earlier process.
            seed: self.seed.unwrap_or_else(|| Chance::system().bits()),
            ..psp::simulator::Settings::default()
        };
        if let Some(odds) = &self.odds {
            settings.odds =
                odds.parse::<Odds>().map_err(|error| anyhow::anyhow!("odds: {error}"))?;
        }
        if let Some(latency) = &self.latency {
            settings.latency = duration("latency", latency)?;
        }
        tracing::warn!(
            "payments by {} go to a simulator in this process: no money moves, and its book ends \
             with the process",
            self.name
        );
        let clock = Arc::clone(clock);
        let chance = self.seed.map_or_else(Chance::system, Chance::seeded);
        let now = Arc::new(move || clock.now());
        Ok(Arc::new(SimulatedPsp::new(settings, now, chance)))
    }

    fn adapter(&self, dialect: Dialect, directory: &Path) -> anyhow::Result<Arc<dyn Psp>> {
        let of_simulator = self.seed.is_some() || self.odds.is_some() || self.latency.is_some();
        anyhow::ensure!(!of_simulator, "seed, odds and latency are settings of the simulator");
        let file = self.secret_file.as_ref();
        let file = file.ok_or_else(|| anyhow::anyhow!("missing key secret-file"))?;
        let text = secret("secret", &directory.join(file))?;
        let unfit = || anyhow::anyhow!("secret {}: not what {dialect} has", file.display());
        let url = match (&self.url, dialect) {
            (Some(url), _) => url.as_str(),
            (None, Dialect::Razorpay) => "https://api.razorpay.com",
            (None, Dialect::Stripe | Dialect::Simulator) => "https://api.stripe.com",
        };
        let authorities = match &self.ca {
            Some(ca) => super::webhooks::authorities("psps", &directory.join(ca))?,
            None => Vec::new(),
        };
        let timeout = match &self.timeout {
            Some(timeout) => duration("timeout", timeout)?,
            None => TIMEOUT,
        };
        let endpoint = Endpoint { url: url.to_owned(), authorities, timeout };
        let psp: Arc<dyn Psp> = match dialect {
            Dialect::Razorpay => {
                anyhow::ensure!(!self.multi_capture, "multi-capture: Razorpay captures at once");
                anyhow::ensure!(!self.payouts, "payouts: not with Razorpay");
                let (id, secret) = text.split_once(':').ok_or_else(unfit)?;
                let key = ApiKey::new(secret).filter(|_| !id.is_empty()).ok_or_else(unfit)?;
                Arc::new(Razorpay::new(&self.name, &endpoint, id, key)?)
            }
            Dialect::Stripe | Dialect::Simulator => {
                let key = ApiKey::new(&text).ok_or_else(unfit)?;
                let stripe = Stripe::new(&self.name, &endpoint, key, self.multi_capture)?;
                Arc::new(stripe.paying_out(self.payouts))
            }
        };
        Ok(psp)
    }
}

/// The first line of a file with a secret.
fn secret(what: &str, path: &Path) -> anyhow::Result<String> {
    let text = crate::flags::secrets::read(what, path)?;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line.ok_or_else(|| anyhow::anyhow!("{what} {}: it is empty", path.display()))?;
    Ok(line.to_owned())
}

fn duration(what: &str, text: &str) -> anyhow::Result<Duration> {
    let parsed = crate::flags::duration(text);
    let parsed = parsed.map_err(|error| anyhow::anyhow!("{what}: {error}"))?;
    anyhow::ensure!(parsed <= TIMEOUT_MAX, "{what}: is at most {}s", TIMEOUT_MAX.as_secs());
    Ok(parsed)
}

#[cfg(test)]
mod tests;
