//! Cost of the pure parts of a command: `cargo bench -p benchmarks`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark may end where it is wrong")]

use divan::{Bencher, black_box};
use order_actor::domain::{
    Address, By, Command, Component, Confirm, Event, NewLine, Order, Place, Policy, decide, evolve,
};
use order_actor::journal::{GENESIS, StoredEvent, chain_hash};
use order_actor::record::{Metadata, decode, encode};
use shared_events::contract::{
    Contact, CustomerId, Money, OrderId, Quantity, ReservationId, Timestamp,
};

/// Lines of an order: few as in a shop, and many.
const LINES: [u32; 3] = [2, 20, 200];

fn main() {
    divan::main();
}

fn now() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

fn place(lines: u32) -> Command {
    let price = Money::new(255, "GBP".parse().unwrap());
    let line = |line| {
        let sku = format!("SKU-{line}").parse().unwrap();
        NewLine::plain(sku, Quantity::new(3).unwrap(), price)
    };
    let address = Address {
        street: "1 High Street".to_owned(),
        city: "London".to_owned(),
        postal_code: "N1 1AA".to_owned(),
        country: "GB".to_owned(),
        ..Address::default()
    };
    let contact = Contact::new("ada@example.org", "", "en").unwrap();
    let ids = (OrderId::mint(), CustomerId::mint());
    Command::from(Place::plain(ids, (0..lines).map(line).collect(), (address, contact)))
}

fn decided(order: &Order, command: &Command, by: &By) -> Vec<Event> {
    decide(order, command, by, now(), &Policy::default()).unwrap()
}

fn placed(lines: u32) -> Event {
    decided(&Order::Absent, &place(lines), &By::service("shop")).remove(0)
}

fn metadata() -> Metadata {
    let by = By::service("shop");
    Metadata {
        by,
        request_id: None,
        fingerprint: None,
        causation: None,
        traceparent: None,
        tracestate: None,
    }
}

fn stored(lines: u32) -> StoredEvent {
    let new = encode(&placed(lines), &metadata()).unwrap();
    StoredEvent {
        stream_id: OrderId::mint().into(),
        sequence: 1,
        shard: 0,
        position: 1,
        recorded_at: now(),
        event_type: new.event_type().to_owned(),
        event_version: new.event_version().to_owned(),
        payload: new.payload().to_owned(),
        metadata: new.metadata().to_owned(),
    }
}

#[divan::bench(args = LINES)]
fn decide_place(bencher: Bencher, lines: u32) {
    let (command, by) = (place(lines), By::service("shop"));
    bencher.bench_local(|| decided(&Order::Absent, black_box(&command), &by));
}

#[divan::bench(args = LINES)]
fn decide_confirm(bencher: Bencher, lines: u32) {
    let order = evolve(Order::Absent, &placed(lines)).unwrap();
    let command = Command::Confirm(Confirm {
        reservation_id: ReservationId::mint(),
        backordered: Vec::new(),
    });
    let by = By::Engine(Component::STOCK);
    bencher.bench_local(|| decided(black_box(&order), &command, &by));
}

#[divan::bench(args = LINES)]
fn evolve_placed(bencher: Bencher, lines: u32) {
    let event = placed(lines);
    bencher.bench_local(|| evolve(Order::Absent, black_box(&event)).unwrap());
}

#[divan::bench(args = LINES)]
fn encode_placed(bencher: Bencher, lines: u32) {
    let (event, metadata) = (placed(lines), metadata());
    bencher.bench_local(|| encode(black_box(&event), &metadata).unwrap());
}

#[divan::bench(args = LINES)]
fn decode_placed(bencher: Bencher, lines: u32) {
    let stored = stored(lines);
    bencher.bench_local(|| decode(black_box(&stored)).unwrap());
}

#[divan::bench(args = LINES)]
fn hash_placed(bencher: Bencher, lines: u32) {
    let stored = stored(lines);
    bencher.bench_local(|| chain_hash(&GENESIS, black_box(&stored)));
}
