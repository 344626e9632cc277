use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use inventory_stream::grpc::proto::{BatchSetStockRequest, SetStockRequest};
use order_actor::grpc::proto;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::calls::{Call, Calls};
use crate::client::{Client, Connection, Failure, Output};

/// Connections over which calls are spread: the engine takes 128 at a time on each.
const CONNECTIONS: usize = 8;
/// Calls under way at most. Further ones wait for a place, and the wait counts in their latency.
const UNDER_WAY_MAX: usize = 8_192;
/// Newest orders, from which calls choose one to read, cancel or fulfil.
const KNOWN_MAX: usize = 10_000;
/// Number of products.
const PRODUCTS: u64 = 100;

/// The kinds of calls, each with its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<(Kind, u32)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Place,
    Get,
    List,
    Cancel,
    Fulfill,
}

const KINDS: [(&str, Kind); 5] = [
    ("place", Kind::Place),
    ("get", Kind::Get),
    ("list", Kind::List),
    ("cancel", Kind::Cancel),
    ("fulfill", Kind::Fulfill),
];

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut kinds = Vec::new();
        for part in text.split(',') {
            let (name, weight) =
                part.split_once('=').ok_or("is KIND=WEIGHT,…, such as place=9,get=1")?;
            let known = KINDS.iter().find(|(known, _)| *known == name);
            let (_, kind) = known.ok_or_else(|| {
                let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                format!("{name} is none of {}", names.join(", "))
            })?;
            let weight = weight.parse().map_err(|_| format!("{weight} is no total number"))?;
            kinds.push((*kind, weight));
        }
        if kinds.iter().all(|(_, weight)| *weight == 0) {
            return Err("something must have a weight".to_owned());
        }
        Ok(Self(kinds))
    }
}

impl Mix {
    /// The kind of the next call; `dice` is any number.
    fn pick(&self, dice: u32) -> Kind {
        let total: u32 = self.0.iter().map(|(_, weight)| weight).sum();
        let mut left = dice % total.max(1);
        for (kind, weight) in &self.0 {
            if left < *weight {
                return *kind;
            }
            left -= weight;
        }
        Kind::Place
    }
}

/// The result of a load at a steady rate.
#[derive(Debug, Serialize)]
struct Steady {
    /// Calls requested per second.
    rate: u64,
    /// Seconds from the first call to the last.
    seconds: u64,
    /// Calls answered per second, refusals included.
    answered_per_second: u64,
    /// By kind of call.
    calls: BTreeMap<&'static str, KindResult>,
}

/// The result of one kind of call.
#[derive(Debug, Serialize)]
struct KindResult {
    /// Calls that were due.
    sent: u64,
    /// Successful ones.
    done: u64,
    /// The others, by the stable code.
    refused: BTreeMap<String, u64>,
    /// From the moment a call was due to its answer, in microseconds.
    latency_micros: Quantiles,
}

#[derive(Debug, Serialize)]
struct Quantiles {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

struct Tally {
    latencies: Histogram<u64>,
    done: u64,
    refused: BTreeMap<String, u64>,
}

/// Calls at a steady rate for a while, whether or not earlier ones have returned, and shows the
/// result. Latencies count from the moment at which a call was due, so that an engine that stalls
/// is charged for the delay of later calls (no coordinated omission).
///
/// # Errors
/// Where no engine answers at first; later every failure is counted.
pub async fn run(
    connection: &Connection,
    rate: u64,
    duration: Duration,
    mix: &Mix,
    out: &Output,
) -> Result<(), Failure> {
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(Arc::new(Calls::new(Client::connect(connection).await?)?));
    }
    fill_shelves(&clients).await?;
    let mut tallies = BTreeMap::new();
    let called = |kind: Kind| kind == Kind::Place || mix.0.iter().any(|(known, _)| *known == kind);
    for (name, _) in KINDS.iter().filter(|(_, kind)| called(*kind)) {
        let latencies = Histogram::new(3).map_err(|error| anyhow::anyhow!("{error}"))?;
        let tally = Tally { latencies, done: 0, refused: BTreeMap::new() };
        tallies.insert(*name, Mutex::new(tally));
    }
    let shared = Arc::new(Shared { tallies, known: Mutex::default() });
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let begun = Instant::now();
    let due_at = |index: u64| {
        let nanos = u128::from(index) * 1_000_000_000 / u128::from(rate.max(1));
        begun + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    };
    let mut under_way = JoinSet::new();
    let mut sent = 0_u64;
    while due_at(sent) < begun + duration {
        let due = due_at(sent);
        sleep_until(due).await;
        let place = Arc::clone(&places).acquire_owned().await.context("places")?;
        let kind = mix.pick(rand::random());
        let index = usize::try_from(sent).unwrap_or(0) % clients.len();
        let Some(calls) = clients.get(index).map(Arc::clone) else { continue };
        let shared = Arc::clone(&shared);
        under_way.spawn(async move {
            shared.call(&calls, kind, sent, due).await;
            drop(place);
        });
        sent += 1;
        // Ended tasks need not be kept.
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
    let steady = shared.result(rate, begun.elapsed());
    if out.json {
        out.value(&steady);
    } else {
        show(out, &steady);
    }
    Ok(())
}

struct Shared {
    tallies: BTreeMap<&'static str, Mutex<Tally>>,
    known: Mutex<Vec<String>>,
}

impl Shared {
    async fn call(&self, calls: &Calls, kind: Kind, index: u64, due: Instant) {
        let mut placed = None;
        let (kind, call) = match (kind, self.some_known()) {
            (Kind::List, _) => (kind, Call::List),
            (Kind::Get, Some(order_id)) => (kind, Call::Get(order_id)),
            (Kind::Cancel, Some(order_id)) => (kind, Call::Cancel(order_id)),
            (Kind::Fulfill, Some(order_id)) => (kind, Call::Fulfill(order_id)),
            // Before there is any order, one has to be placed.
            (Kind::Place | Kind::Get | Kind::Cancel | Kind::Fulfill, _) => {
                let order_id = Uuid::now_v7().to_string();
                placed = Some(order_id.clone());
                (Kind::Place, Call::Place(Box::new(order(order_id, index))))
            }
        };
        let outcome = calls.once(call).await;
        if let (Ok(()), Some(order_id)) = (&outcome, placed) {
            self.learn(order_id, index);
        }
        let name = KINDS.iter().find(|(_, known)| *known == kind).map(|(name, _)| *name);
        let Some(tally) = name.and_then(|name| self.tallies.get(name)) else { return };
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        // The histogram resizes itself.
        let _ = tally.latencies.record(micros);
        match outcome {
            Ok(()) => tally.done += 1,
            Err(code) => *tally.refused.entry(code).or_default() += 1,
        }
    }

    fn some_known(&self) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let dice: usize = usize::from(rand::random::<u16>());
        known.get(dice % known.len().max(1)).cloned()
    }

    fn learn(&self, order_id: String, index: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KNOWN_MAX {
            known.push(order_id);
        } else if let Some(old) = known.get_mut(usize::try_from(index).unwrap_or(0) % KNOWN_MAX) {
            *old = order_id;
        }
    }

    fn result(&self, rate: u64, elapsed: Duration) -> Steady {
        let mut calls = BTreeMap::new();
        let mut answered = 0;
        for (name, tally) in &self.tallies {
            let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            let latencies = &tally.latencies;
            answered += latencies.len();
            let result = KindResult {
                sent: latencies.len(),
                done: tally.done,
                refused: tally.refused.clone(),
                latency_micros: Quantiles {
                    p50: latencies.value_at_quantile(0.5),
                    p90: latencies.value_at_quantile(0.9),
                    p99: latencies.value_at_quantile(0.99),
                    p999: latencies.value_at_quantile(0.999),
                    max: latencies.max(),
                },
            };
            calls.insert(*name, result);
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let answered_per_second = answered.saturating_mul(1_000) / millis;
        Steady { rate, seconds: millis.div_ceil(1_000), answered_per_second, calls }
    }
}

/// Sets the stock of every product that has none yet.
async fn fill_shelves(clients: &[Arc<Calls>]) -> Result<(), Failure> {
    let Some(calls) = clients.first() else { return Ok(()) };
    let requests = (0..PRODUCTS)
        .map(|product| SetStockRequest {
            sku: sku(product),
            on_hand: 1_000_000_000_000,
            only_if_absent: true,
            ..SetStockRequest::default()
        })
        .collect();
    match calls.set_stock(BatchSetStockRequest { requests }).await? {
        Ok(()) => Ok(()),
        Err(refused) => {
            Err(anyhow::anyhow!("stock could not be set: {}: {}", refused.code, refused.message)
                .into())
        }
    }
}

fn sku(product: u64) -> String {
    format!("LOAD-{:03}", product % PRODUCTS)
}

/// An order of two lines.
fn order(order_id: String, index: u64) -> proto::PlaceOrderRequest {
    let line = |product, quantity| proto::NewLine {
        sku: sku(product),
        quantity,
        unit_price: Some(proto::Money {
            currency_code: "GBP".to_owned(),
            units: 4,
            nanos: 950_000_000,
        }),
        ..proto::NewLine::default()
    };
    proto::PlaceOrderRequest {
        order_id,
        customer_id: Uuid::from_u128(u128::from(index % 1_000 + 1)).to_string(),
        lines: vec![line(index, 1), line(index / 7 + 1, 3)],
        address: Some(Box::new(proto::Address {
            street: "1 Load Street".to_owned(),
            city: "London".to_owned(),
            postal_code: "N1 1AA".to_owned(),
            country: "GB".to_owned(),
            ..proto::Address::default()
        })),
        contact: Some(proto::Contact {
            email: "load@example.com".to_owned(),
            phone: String::new(),
            locale: "en".to_owned(),
        }),
        ..proto::PlaceOrderRequest::default()
    }
}

fn show(out: &Output, steady: &Steady) {
    let Steady { rate, seconds, answered_per_second, calls } = steady;
    out.line(format!("{rate} calls/s asked for, {answered_per_second} answered, over {seconds} s"));
    for (name, result) in calls {
        let Quantiles { p50, p90, p99, p999, max } = result.latency_micros;
        out.line(format!(
            "{name:<8} {:>8} sent {:>8} done   µs since due: p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}",
            result.sent, result.done
        ));
        for (code, times) in &result.refused {
            out.line(format!("         {times:>8} {code}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_calls_each_kind_as_often_as_its_weight_says() {
        let mix: Mix = "place=7,get=2,list=0,cancel=1".parse().unwrap();
        let mut times: BTreeMap<Kind, u32> = BTreeMap::new();
        for dice in 0..1_000 {
            *times.entry(mix.pick(dice)).or_default() += 1;
        }
        let expected = [(Kind::Place, 700), (Kind::Get, 200), (Kind::Cancel, 100)];
        assert_eq!(times, expected.into_iter().collect());
        for wrong in ["", "place", "place=x", "buy=1", "place=0", "place=-1"] {
            assert!(wrong.parse::<Mix>().is_err(), "{wrong}");
        }
    }
}
