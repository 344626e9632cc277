//! The provider's own book, and what books of payments, orders and provider come to.
//! Never here: a call to the engine.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use order_actor::grpc::proto;
use payment::grpc::proto as payments;
use psp::Endpoint;
use psp::simulator::SimulatedPsp;
use psp::simulator::http::BookReader;
use serde::Serialize;
use shared_events::contract::{Currency, Money};

use crate::client::Failure;

/// How long the provider may take to show a page of its book.
const BOOK_WITHIN: Duration = Duration::from_secs(30);
/// A provider's book.
pub enum Book {
    /// Of a simulator in this process.
    Here(SimulatedPsp),
    /// Of one at an address.
    There(BookReader),
}

/// What the provider says was taken and paid back, in minor units, by the operation of ours that
/// authorised it.
pub type Sayings = HashMap<String, (i64, i64)>;

impl Book {
    /// Of the simulator at this address.
    ///
    /// # Errors
    /// Usage where it is no URL.
    pub fn at(url: &str) -> Result<Self, Failure> {
        let endpoint =
            Endpoint { url: url.to_owned(), authorities: Vec::new(), timeout: BOOK_WITHIN };
        let reader = BookReader::new(&endpoint);
        let reader = reader.map_err(|error| Failure::Usage(format!("--psp {url}: {error}")))?;
        Ok(Self::There(reader))
    }

    /// A book without a line.
    #[cfg(test)]
    pub fn none() -> Self {
        use shared_events::chance::Chance;
        use shared_events::contract::Timestamp;
        let now = std::sync::Arc::new(Timestamp::default);
        Self::Here(SimulatedPsp::new(psp::simulator::Settings::default(), now, Chance::seeded(1)))
    }

    /// All of it, and whether its lines and sums agree.
    ///
    /// # Errors
    /// Where it does not answer.
    pub async fn read(&self) -> anyhow::Result<(Sayings, bool)> {
        match self {
            Self::Here(simulator) => Ok(simulator.with(|simulator, _| {
                let book = simulator.book();
                let said = book.payments().filter_map(|(reference, _, sums)| {
                    let our = simulator.payment(reference)?.our_reference?;
                    Some((our.0.to_string(), (sums.captured, sums.refunded)))
                });
                (said.collect(), book.is_sound())
            })),
            Self::There(reader) => {
                let (said, sound) = reader.read().await?;
                let by_ours =
                    said.into_iter().map(|one| (one.our_reference, (one.captured, one.refunded)));
                Ok((by_ours.collect(), sound))
            }
        }
    }
}

/// What became of the money.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Paid {
    /// Orders that nobody paid.
    pub unpaid: u64,
    /// Attempts that were declined.
    pub declined: u64,
    /// Attempts that the engine refused, by stable code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attempts_refused: BTreeMap<String, u64>,
    /// Payments by what became of them.
    pub payments: BTreeMap<String, u64>,
    /// Sums by currency, in minor units.
    pub sums: BTreeMap<String, Books>,
    /// Whether the provider's lines and sums agree.
    pub sound: bool,
    /// Orders of which books differ.
    pub differing: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first_differing: Vec<Differing>,
}

impl Paid {
    /// Whether all books agree, of each order and together.
    pub fn agrees(&self) -> bool {
        self.sound && self.differing == 0 && self.sums.values().all(Books::agree)
    }
}

/// Sums of all payments in one currency, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Taken, by our books.
    pub captured: i64,
    /// Paid back, by our books.
    pub refunded: i64,
    /// The value of the units that customers keep, by the orders.
    pub kept: i64,
    /// Taken, by the provider's.
    pub captured_there: i64,
    /// Paid back, by the provider's.
    pub refunded_there: i64,
}

impl Books {
    /// Whether what was taken and not paid back is what is kept, here and there.
    #[must_use]
    pub const fn agree(&self) -> bool {
        self.captured - self.refunded == self.kept
            && self.captured == self.captured_there
            && self.refunded == self.refunded_there
    }

    /// Adds those of another payment.
    pub const fn add(&mut self, other: &Self) {
        self.captured += other.captured;
        self.refunded += other.refunded;
        self.kept += other.kept;
        self.captured_there += other.captured_there;
        self.refunded_there += other.refunded_there;
    }
}

/// An order of which books differ.
#[derive(Clone, Debug, Serialize)]
pub struct Differing {
    /// The order.
    pub order_id: String,
    /// What books say of it.
    #[serde(flatten)]
    pub books: Books,
}

/// The value of the units that a customer keeps, in minor units.
///
/// # Errors
/// Where an answer has an amount that is none.
pub fn kept(order: &proto::Order) -> anyhow::Result<i64> {
    order.lines.iter().try_fold(0_i64, |sum, line| {
        let delivered = minor(line.fulfilled_total.as_ref())?;
        let returned = minor(line.returned_total.as_ref())?;
        sum.checked_add(delivered - returned).context("a sum of orders")
    })
}

/// An amount in minor units; none counts as zero.
///
/// # Errors
/// Where it is none.
pub fn minor(amount: Option<&impl Amount>) -> anyhow::Result<i64> {
    let Some(amount) = amount else { return Ok(0) };
    let (code, units, nanos) = amount.parts();
    let currency = Currency::recorded(code).context("currency of an answer")?;
    let money = Money::from_units_nanos(units, nanos, currency);
    Ok(money.context("amount of an answer")?.minor)
}

/// An amount of one of the services.
pub trait Amount {
    /// Its currency, whole units and billionths.
    fn parts(&self) -> (&str, i64, i32);
}

impl Amount for proto::Money {
    fn parts(&self) -> (&str, i64, i32) {
        (&self.currency_code, self.units, self.nanos)
    }
}

impl Amount for payments::Money {
    fn parts(&self) -> (&str, i64, i32) {
        (&self.currency_code, self.units, self.nanos)
    }
}
