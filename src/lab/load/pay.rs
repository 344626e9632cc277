//! Orders that are paid at a simulated provider, by card, declined first, or not; or by wallets.
//!
//! Never here: a call.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::grpc::proto;
use psp::Dialect;
use psp::simulator::{Settings, SimulatedPsp};
use shared_events::chance::Chance;
use uuid::Uuid;

use super::kept::{self, Head, KeptPsp};
use super::provider::{Book, Worth};
use crate::client::Failure;
use crate::engine::psps::Psps;
use crate::engine::{Backend, wallets};

/// The provider's name in the engine, and in the plans of orders.
pub const PROVIDER: &str = "load";
/// The same of wallets; and their token.
pub const WALLET: &str = wallets::NAME;
/// The file beside those of an engine on SQLite that has the calls to the simulator.
const KEPT: &str = "load-psp.jsonl";
/// What goes wrong by chance, in thousandths of the calls: nothing that is final. What a customer
/// is refused is said by tokens.
pub const FAULTS: &str =
    "timeout_before=10,timeout_after=10,error_before=5,error_after=5,busy=10,slow=10,unseen=5";

/// How orders are paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pay {
    /// All of them, by cards that are accepted.
    Card,
    /// All of them, by wallets of the ledger that are filled with what each order costs.
    Wallet,
    /// Four of ten by card and three by wallet; two are declined once and then paid by another card,
    /// and one is not paid.
    Mixed,
}

/// What an order's customer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Customer {
    /// By a card that is accepted.
    Pays,
    /// By a wallet.
    PaysByWallet,
    /// By another card, after one that was declined.
    IsDeclinedFirst,
    /// Not at all.
    DoesNotPay,
}

/// Flags of payments.
#[derive(Clone, Debug, clap::Args)]
pub struct PayArgs {
    /// Place orders with a payment plan and pay them at a simulated provider or by wallets, so that
    /// parcels take the money and credit notes give it back. In the end books are compared.
    #[arg(long, value_enum, value_name = "HOW")]
    #[arg(conflicts_with_all = ["simulate_time", "rate"])]
    pay: Option<Pay>,
    /// Let calls to the provider go wrong, by this seed: answers lost, errors, delays.
    #[arg(long, value_name = "SEED", requires = "pay", conflicts_with = "psp")]
    psp_faults: Option<u64>,
    /// The address of a running `ordinal psp`, whose book outlives the load [default: a simulator
    /// in this process].
    #[arg(long, value_name = "URL", requires = "pay")]
    psp: Option<String>,
    /// Keep the calls to the simulator in this process in this file, so that a load that was killed
    /// goes on with its book [default: load-psp.jsonl in DIR; with a Postgres database none].
    #[arg(long, value_name = "FILE", requires = "pay", conflicts_with = "psp")]
    psp_book: Option<PathBuf>,
}

/// How the orders of a load are paid, and the provider's book.
pub struct Paying {
    how: Pay,
    /// What the provider says happened.
    pub book: Book,
    /// How it is counted what customers keep.
    pub worth: Worth,
}

impl PayArgs {
    /// Whether orders are paid.
    pub const fn is_given(&self) -> bool {
        self.pay.is_some()
    }

    /// How orders are paid, and the providers of the engine; none where they are not.
    ///
    /// # Errors
    /// Usage where the address is none, where wallets have no provider that could be meant, or where
    /// the calls that are kept were made otherwise.
    pub fn begin(
        &self,
        worth: Worth,
        backend: Option<&Backend>,
    ) -> Result<Option<(Paying, Psps)>, Failure> {
        let Some(how) = self.pay else { return Ok(None) };
        let is_provider_said =
            self.psp.is_some() || self.psp_faults.is_some() || self.psp_book.is_some();
        if how == Pay::Wallet && is_provider_said {
            let text = "--pay wallet: the ledger has the wallets; --psp, --psp-faults and \
                        --psp-book are about a provider of cards";
            return Err(Failure::Usage(text.to_owned()));
        }
        let kept = match (&self.psp_book, backend) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(Backend::Sqlite(directory))) => Some(directory.join(KEPT)),
            (None, _) => None,
        };
        let (book, psps) = self.provider(kept)?;
        let psps = if how == Pay::Card { psps } else { psps.and_wallets()? };
        Ok(Some((Paying { how, book, worth }, psps)))
    }

    /// The provider of cards: its book, and how the engine calls it.
    fn provider(&self, kept: Option<PathBuf>) -> Result<(Book, Psps), Failure> {
        if let Some(url) = &self.psp {
            let psps = Psps::simulated_at(PROVIDER, url)
                .map_err(|error| Failure::Usage(format!("--psp: {error}")))?;
            return Ok((Book::at(url)?, psps));
        }
        let head = self.head(kept.as_deref())?;
        let mut settings =
            Settings { name: PROVIDER.to_owned(), seed: head.seed, ..Settings::default() };
        // Nothing is late to be found, so that a call that never arrived is soon made again.
        settings.capabilities.grace_seconds = 1;
        if head.faults {
            settings.odds = FAULTS.parse().context("odds of faults")?;
        }
        let chance = Chance::seeded(head.seed);
        let simulator = SimulatedPsp::new(settings, Arc::new(|| SystemClock.now()), chance);
        let psp = KeptPsp::new(simulator.clone(), head, kept)?;
        let psps = Psps::of(PROVIDER, Dialect::Simulator, Arc::new(psp))?;
        Ok((Book::Here(simulator), psps))
    }

    /// With what the simulator begins: as the calls that are kept were made.
    fn head(&self, path: Option<&Path>) -> Result<Head, Failure> {
        let begun = path.map(kept::head).transpose()?.flatten();
        let asked = match (self.psp_faults, begun) {
            (Some(seed), _) => Head { seed, faults: true },
            (None, Some(begun)) => Head { faults: false, ..begun },
            // Without one, references differ from those of an earlier process.
            (None, None) => Head { seed: Chance::system().bits(), faults: false },
        };
        match (path, begun) {
            (Some(path), Some(begun)) if begun != asked => {
                let faults = match begun {
                    Head { seed, faults: true } => format!("with --psp-faults {seed}"),
                    Head { faults: false, .. } => "without --psp-faults".to_owned(),
                };
                let path = path.display();
                let text = format!("--psp-book {path}: it was begun {faults}; name another file");
                Err(Failure::Usage(text))
            }
            _ => Ok(asked),
        }
    }
}

/// The plan of an order that is paid at this provider.
pub fn plan(psp: &str) -> proto::PaymentPlan {
    proto::PaymentPlan { psp: psp.to_owned(), ..proto::PaymentPlan::default() }
}

impl Paying {
    /// The plan of an order.
    pub fn plan(&self, order_id: Uuid) -> proto::PaymentPlan {
        plan(match self.customer(order_id) {
            Customer::PaysByWallet => WALLET,
            Customer::Pays | Customer::IsDeclinedFirst | Customer::DoesNotPay => PROVIDER,
        })
    }

    /// Whether wallets pay some of them.
    pub fn has_wallets(&self) -> bool {
        self.how != Pay::Card
    }

    /// By the order's id, so that a load that is run again does the same.
    pub const fn customer(&self, order_id: Uuid) -> Customer {
        match (self.how, order_id.as_u128() % 10) {
            (Pay::Mixed, 0) => Customer::DoesNotPay,
            (Pay::Mixed, 1 | 2) => Customer::IsDeclinedFirst,
            (Pay::Mixed, 3..=5) | (Pay::Wallet, _) => Customer::PaysByWallet,
            (Pay::Card | Pay::Mixed, _) => Customer::Pays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::*;

    #[test]
    fn a_mixed_load_has_all_kinds_and_faults_are_scripts() {
        let paying = |how| Paying { how, book: Book::none(), worth: Worth::Units };
        let count = |how, kind| {
            let paying = paying(how);
            let ids = (0..1_000).map(|n| plan::derived(&format!("order/{n}")));
            ids.filter(|id| paying.customer(*id) == kind).count()
        };
        for (kind, least) in [
            (Customer::Pays, 330),
            (Customer::PaysByWallet, 230),
            (Customer::IsDeclinedFirst, 130),
            (Customer::DoesNotPay, 50),
        ] {
            assert!(count(Pay::Mixed, kind) > least, "{kind:?}");
        }
        assert_eq!(count(Pay::Card, Customer::Pays), 1_000);
        assert_eq!(count(Pay::Wallet, Customer::PaysByWallet), 1_000);
        assert_eq!(paying(Pay::Wallet).plan(plan::derived("order/1")).psp, WALLET);
        assert!(FAULTS.parse::<psp::simulator::Odds>().is_ok());
    }
}
