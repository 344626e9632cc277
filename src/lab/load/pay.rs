//! Orders of invoices that are paid at a simulated provider: by card, declined first, or not.
//!
//! Never here: a call.

use std::sync::Arc;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, SystemClock};
use order_actor::grpc::proto;
use psp::Dialect;
use psp::simulator::{Settings, SimulatedPsp};
use shared_events::chance::Chance;
use uuid::Uuid;

use super::provider::Book;
use crate::client::Failure;
use crate::engine::psps::Psps;

/// The provider's name in the engine, and in the plans of orders.
pub const PROVIDER: &str = "load";
/// What goes wrong by chance, in thousandths of the calls: nothing that is final. What a customer
/// is refused is said by tokens.
pub const FAULTS: &str =
    "timeout_before=10,timeout_after=10,error_before=5,error_after=5,busy=10,slow=10,unseen=5";

/// How orders are paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Pay {
    /// All of them, by cards that are accepted.
    Card,
    /// Seven of ten so; two are declined once and then paid by another card, and one is not paid.
    Mixed,
}

/// What an order's customer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Customer {
    /// By a card that is accepted.
    Pays,
    /// By another card, after one that was declined.
    IsDeclinedFirst,
    /// Not at all.
    DoesNotPay,
}

/// Flags of payments.
#[derive(Clone, Debug, clap::Args)]
pub struct PayArgs {
    /// Place the orders of invoices with a payment plan and pay them at a simulated provider, so
    /// that parcels take the money and credit notes give it back. In the end books are compared.
    #[arg(long, value_enum, value_name = "HOW")]
    #[arg(conflicts_with_all = ["simulate_time", "mapping", "rate"])]
    pay: Option<Pay>,
    /// Let calls to the provider go wrong, by this seed: answers lost, errors, delays.
    #[arg(long, value_name = "SEED", requires = "pay", conflicts_with = "psp")]
    psp_faults: Option<u64>,
    /// The address of a running `ordinal psp`, whose book outlives the load [default: a simulator
    /// in this process].
    #[arg(long, value_name = "URL", requires = "pay")]
    psp: Option<String>,
}

/// How the orders of a load are paid, and the provider's book.
pub struct Paying {
    how: Pay,
    /// What the provider says happened.
    pub book: Book,
}

impl PayArgs {
    /// Whether orders are paid.
    pub const fn is_given(&self) -> bool {
        self.pay.is_some()
    }

    /// How orders are paid, and the providers of the engine; none where they are not.
    ///
    /// # Errors
    /// Usage where the address is none.
    pub fn begin(&self) -> Result<Option<(Paying, Psps)>, Failure> {
        let Some(how) = self.pay else { return Ok(None) };
        if let Some(url) = &self.psp {
            let psps = Psps::simulated_at(PROVIDER, url)
                .map_err(|error| Failure::Usage(format!("--psp: {error}")))?;
            return Ok(Some((Paying { how, book: Book::at(url)? }, psps)));
        }
        let mut settings = Settings { name: PROVIDER.to_owned(), ..Settings::default() };
        // Nothing is late to be found, so that a call that never arrived is soon made again.
        settings.capabilities.grace_seconds = 1;
        let mut chance = Chance::system();
        if let Some(seed) = self.psp_faults {
            (settings.seed, chance) = (seed, Chance::seeded(seed));
            settings.odds = FAULTS.parse().context("odds of faults")?;
        } else {
            settings.seed = chance.bits();
        }
        let simulator = SimulatedPsp::new(settings, Arc::new(|| SystemClock.now()), chance);
        let psps = Psps::of(PROVIDER, Dialect::Simulator, Arc::new(simulator.clone()))?;
        Ok(Some((Paying { how, book: Book::Here(simulator) }, psps)))
    }
}

impl Paying {
    /// The plan of every order.
    pub fn plan() -> proto::PaymentPlan {
        proto::PaymentPlan { psp: PROVIDER.to_owned(), ..proto::PaymentPlan::default() }
    }

    /// By the order's id, so that a load that is run again does the same.
    pub const fn customer(&self, order_id: Uuid) -> Customer {
        match (self.how, order_id.as_u128() % 10) {
            (Pay::Mixed, 0) => Customer::DoesNotPay,
            (Pay::Mixed, 1 | 2) => Customer::IsDeclinedFirst,
            _ => Customer::Pays,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use super::*;

    #[test]
    fn a_mixed_load_has_all_kinds_and_faults_are_scripts() {
        let paying = |how| Paying { how, book: Book::none() };
        let count = |how, kind| {
            let paying = paying(how);
            let ids = (0..1_000).map(|n| plan::derived(&format!("order/{n}")));
            ids.filter(|id| paying.customer(*id) == kind).count()
        };
        for (kind, least) in
            [(Customer::Pays, 600), (Customer::IsDeclinedFirst, 130), (Customer::DoesNotPay, 50)]
        {
            assert!(count(Pay::Mixed, kind) > least, "{kind:?}");
        }
        assert_eq!(count(Pay::Card, Customer::Pays), 1_000);
        assert!(FAULTS.parse::<psp::simulator::Odds>().is_ok());
    }
}
