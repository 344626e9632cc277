//! The provider's own book, and what books of payments, orders and provider come to.
//! Never here: a call to the engine.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use ledger::grpc::proto as wallets;
use order_actor::grpc::proto;
use payment::grpc::proto as payments;
use psp::Endpoint;
use psp::simulator::SimulatedPsp;
use psp::simulator::http::{BookReader, Said};
use serde::Serialize;
use shared_events::contract::{Currency, Money};

use crate::client::Failure;
use crate::engine::wallets::NAME as WALLET;

/// How long the provider may take to show a page of its book.
const BOOK_WITHIN: Duration = Duration::from_secs(30);
/// Orders whose books differ, that are shown.
const SHOWN: usize = 10;

/// A provider's book.
pub enum Book {
    /// Of a simulator in this process.
    Here(SimulatedPsp),
    /// Of one at an address.
    There(BookReader),
}

/// What the provider says of its payments, by the operation of ours that authorised each; those of
/// no operation together.
pub type Sayings = BTreeMap<String, Sums>;

/// What the provider says was taken and paid back, in minor units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// The currency.
    pub currency: String,
    /// Taken.
    pub captured: i64,
    /// Paid back.
    pub refunded: i64,
}

/// Adds up what has one key.
fn added(all: impl Iterator<Item = (String, Sums)>) -> Sayings {
    let mut sayings = Sayings::new();
    for (key, sums) in all {
        let sum = sayings.entry(key).or_default();
        sum.currency = sums.currency;
        sum.captured += sums.captured;
        sum.refunded += sums.refunded;
    }
    sayings
}

/// What is left of the provider's book where no payment of ours claims it, and money moved since it
/// was first read.
pub fn unclaimed(left: Sayings, known: &Sayings) -> Vec<(String, String, Books)> {
    let moved = left.into_iter().map(|(key, sums)| {
        let before = known.get(&key).cloned().unwrap_or_default();
        let books = Books {
            captured_there: sums.captured - before.captured,
            refunded_there: sums.refunded - before.refunded,
            ..Books::default()
        };
        (key, sums.currency, books)
    });
    moved.filter(|(.., books)| *books != Books::default()).collect()
}

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
                let said = book.payments().map(|(reference, currency, sums)| {
                    let our = simulator.payment(reference).and_then(|one| one.our_reference);
                    let key = our.map(|our| our.0.to_string()).unwrap_or_default();
                    let currency = currency.code().to_owned();
                    (key, Sums { currency, captured: sums.captured, refunded: sums.refunded })
                });
                (added(said), book.is_sound())
            })),
            Self::There(reader) => {
                let (said, sound) = reader.read().await?;
                let by_ours = said.into_iter().map(|one| {
                    let Said { our_reference, currency, captured, refunded } = one;
                    (our_reference, Sums { currency, captured, refunded })
                });
                Ok((added(by_ours), sound))
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
    /// What of them is of wallets, whose own book is the ledger.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub wallets: BTreeMap<String, OfWallets>,
    /// Operations whose end is not known yet.
    pub open: u64,
    /// Whether the provider's lines and sums agree.
    pub sound: bool,
    /// Orders of which books differ.
    pub differing: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first_differing: Vec<Differing>,
}

impl Paid {
    /// Counts books that differ.
    pub fn differ(&mut self, order_id: String, unclaimed: Option<String>, books: Books) {
        self.differing += 1;
        if self.first_differing.len() < SHOWN {
            self.first_differing.push(Differing { order_id, unclaimed, books });
        }
    }

    /// Whether all books agree, of each order and together, and nothing is open.
    pub fn agrees(&self) -> bool {
        self.sound && self.open == 0 && self.differing == 0 && self.sums.values().all(Books::agree)
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

/// Sums of all payments by wallet in one currency, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfWallets {
    /// Put into wallets for the orders.
    pub topped_up: i64,
    /// What became of it.
    #[serde(flatten)]
    pub books: Books,
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
    /// The order; none where no payment claims what the provider has.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub order_id: String,
    /// What the provider names, where no payment claims it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unclaimed: Option<String>,
    /// What books say of it.
    #[serde(flatten)]
    pub books: Books,
}

/// How it is counted what a customer keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// By the units of an order that has one payment: an invoice has nothing else.
    Units,
    /// By what the order says of each payment: charges are due with the first parcel, and a file may
    /// say what was paid back for the units that came back.
    Money,
}

/// The value of what a customer keeps of what a payment is for, in minor units.
///
/// # Errors
/// Where an answer has an amount that is none.
pub fn kept(
    order: &proto::Order,
    payment: &payments::Payment,
    worth: Worth,
) -> anyhow::Result<i64> {
    if worth == Worth::Units {
        return order.lines.iter().try_fold(0_i64, |sum, line| {
            let delivered = minor(line.fulfilled_total.as_ref())?;
            let returned = minor(line.returned_total.as_ref())?;
            sum.checked_add(delivered - returned).context("a sum of orders")
        });
    }
    let mut parts = order.payment.iter().flat_map(|of_order| &of_order.parts);
    let Some(part) = parts.find(|part| part.payment_id == payment.payment_id) else {
        return Ok(0);
    };
    let mut due = minor(part.delivered.as_ref())?;
    if payment.psp == WALLET && due > 0 {
        // The first parcel takes all that is wanted out of a wallet.
        due = minor(part.requested.as_ref())? - minor(part.cancelled.as_ref())?;
    }
    Ok(due - minor(part.refunded.as_ref())?)
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

impl Amount for wallets::Money {
    fn parts(&self) -> (&str, i64, i32) {
        (&self.currency_code, self.units, self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_pays_all_with_the_first_parcel_and_a_card_each() {
        let gbp = |units| Some(proto::Money { currency_code: "GBP".to_owned(), units, nanos: 0 });
        let kept_of = |psp: &str, delivered: i64| {
            let part = proto::OrderPaymentPart {
                payment_id: "a".to_owned(),
                requested: gbp(10),
                cancelled: gbp(2),
                delivered: gbp(delivered),
                refunded: gbp(1),
                ..Default::default()
            };
            let of_order = proto::OrderPayment { parts: vec![part], ..Default::default() };
            let order = proto::Order { payment: Some(of_order), ..Default::default() };
            let payment = payments::Payment {
                payment_id: "a".to_owned(),
                psp: psp.to_owned(),
                ..Default::default()
            };
            kept(&order, &payment, Worth::Money).unwrap()
        };
        assert_eq!(kept_of("load", 5), 400);
        assert_eq!(kept_of(WALLET, 5), 700);
        assert_eq!(kept_of(WALLET, 0), -100);
    }

    #[test]
    fn books_agree_where_nothing_is_open_and_nothing_differs() {
        let whole = Paid { sound: true, ..Paid::default() };
        assert!(whole.agrees());
        let taken_there = Books { captured_there: 1, ..Books::default() };
        let not_kept = Books { captured: 1, captured_there: 1, ..Books::default() };
        for wrong in [
            Paid { sound: false, ..whole.clone() },
            Paid { open: 1, ..whole.clone() },
            Paid { differing: 1, ..whole.clone() },
            Paid { sums: [("GBP".to_owned(), taken_there)].into(), ..whole.clone() },
            Paid { sums: [("GBP".to_owned(), not_kept)].into(), ..whole.clone() },
        ] {
            assert!(!wrong.agrees(), "{wrong:?}");
        }
    }

    fn sums(captured: i64, refunded: i64) -> Sums {
        Sums { currency: "GBP".to_owned(), captured, refunded }
    }

    #[test]
    fn payments_of_one_operation_add_up() {
        let two = [("a".to_owned(), sums(100, 0)), ("a".to_owned(), sums(250, 50))];
        assert_eq!(added(two.into_iter())["a"], sums(350, 50));
    }

    #[test]
    fn what_nobody_claims_differs_where_money_moved_since() {
        let of = |all: &[(&str, Sums)]| {
            added(all.iter().map(|(key, sums)| ((*key).to_owned(), sums.clone())))
        };
        let known = of(&[("before", sums(100, 0)), ("paid back", sums(100, 0))]);
        let left = [
            ("before", sums(100, 0)),
            ("paid back", sums(100, 40)),
            ("new", sums(70, 0)),
            ("reserved only", sums(0, 0)),
        ];
        let found = unclaimed(of(&left), &known);
        let moved = |(key, _, books): &(String, String, Books)| {
            assert!(!books.agree());
            (key.clone(), books.captured_there, books.refunded_there)
        };
        let found: Vec<_> = found.iter().map(moved).collect();
        assert_eq!(found, [("new".to_owned(), 70, 0), ("paid back".to_owned(), 0, 40)]);
    }
}
