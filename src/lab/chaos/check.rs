use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;
use order_actor::domain::{
    By, Cancel, Command, Fulfill, LineQuantity, Order, Policy, Role, decide, evolve,
};
use order_actor::grpc::render;
use order_actor::journal::{EVENTS_PER_STREAM_MAX, StoredEvent};
use order_actor::record::decode;
use shared_events::contract::{
    CancelReason, OrderId, Quantity, Reason, RequestId, ShipmentId, Timestamp,
};
use tokio::time::Instant;

use super::clients::{Call, Told, Wish};
use crate::engine::Stores;

/// What clients saw that no single history explains.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Contradiction {
    /// `lost`, `twice`, `done_though_refused`, `order_of_time`, `impossible`, `unexplained`.
    pub(super) kind: &'static str,
    pub(super) order_id: String,
    pub(super) detail: String,
}

/// Compares what clients remember with the journal, order by order. Each order's history is the
/// one sequence in which things happened; every call must have a place in it between its sending
/// and its answer, and have been told what holds at that place. That is linearizability, checked
/// as Porcupine does it key by key, but without its search: the journal gives the order of writes.
pub(super) async fn agree(stores: &Stores, calls: &[Call]) -> anyhow::Result<Vec<Contradiction>> {
    let mut by_order: BTreeMap<OrderId, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        by_order.entry(call.order_id).or_default().push(call);
    }
    let mut found = Vec::new();
    for (order_id, calls) in by_order {
        let events = stores.journal.load(order_id).await.context("journal")?;
        order(order_id, &events, calls, &mut found);
    }
    Ok(found)
}

// Long: the clauses of one law, each of which presumes those before it.
fn order(
    order_id: OrderId,
    events: &[StoredEvent],
    mut calls: Vec<&Call>,
    found: &mut Vec<Contradiction>,
) {
    let mut say = |kind: &'static str, detail: String| {
        found.push(Contradiction { kind, order_id: order_id.to_string(), detail });
    };
    // The order at each version, and which request made each version.
    let mut states = vec![Order::Absent];
    let mut made: HashMap<RequestId, Vec<u64>> = HashMap::new();
    for stored in events {
        let Ok(recorded) = decode(stored) else {
            return say("impossible", format!("version {} is unreadable", stored.sequence));
        };
        let before = states.last().cloned().unwrap_or(Order::Absent);
        match evolve(before, &recorded.event) {
            Ok(after) => states.push(after),
            Err(error) => {
                return say("impossible", format!("version {}: {error}", stored.sequence));
            }
        }
        // What the engine asks of itself, stock's answers and deadlines, is in the laws.
        if recorded.metadata.by.role() != Role::Engine
            && let Some(request_id) = recorded.metadata.request_id
        {
            made.entry(request_id).or_default().push(stored.sequence);
        }
    }
    calls.sort_by_key(|call| call.invoked);
    // Calls that have their place: when they returned, and the version that held then.
    let mut placed: Vec<(Instant, u64)> = Vec::new();
    for call in calls {
        let versions = made.remove(&call.request_id).unwrap_or_default();
        if versions.len() > 1 {
            say("twice", format!("{:?} made versions {versions:?}", call.wish));
            continue;
        }
        let version = versions.first().copied();
        // Whatever returned before this call was sent comes before it.
        let at_least =
            placed.iter().filter(|(at, _)| *at < call.invoked).map(|(_, v)| *v).max().unwrap_or(0);
        let place = match (&call.told, version) {
            (Told::Done(told), Some(version)) if *told != version => {
                say("unexplained", format!("{:?} made {version} and was told {told}", call.wish));
                continue;
            }
            (Told::Done(_) | Told::Repeated | Told::Doubt, Some(version)) => {
                // It made this version, so it came after the one before.
                (version > at_least).then_some(version)
            }
            (Told::Done(told), None) => {
                say("lost", format!("{:?} was told version {told}", call.wish));
                continue;
            }
            (Told::Doubt, None) => continue,
            (told, Some(version)) => {
                let detail = format!("{:?} was told {told:?} and made {version}", call.wish);
                say("done_though_refused", detail);
                continue;
            }
            (told, None) => (at_least..).zip(states.iter().skip(index(at_least))).find_map(
                |(version, state)| explains(call, told, version, state).then_some(version),
            ),
        };
        match place {
            // What is in doubt may have happened at any later time.
            Some(_) if call.told == Told::Doubt => {}
            Some(place) => placed.push((call.returned, place)),
            None => {
                let detail = format!(
                    "{:?} was told {:?}; made {version:?}, at least {at_least} of {}",
                    call.wish,
                    call.told,
                    states.len() - 1
                );
                say(if version.is_some() { "order_of_time" } else { "unexplained" }, detail);
            }
        }
    }
    if let Some((request_id, versions)) = made.into_iter().next() {
        say("unexplained", format!("nobody asked for {request_id}, which made {versions:?}"));
    }
}

fn index(version: u64) -> usize {
    usize::try_from(version).unwrap_or(usize::MAX)
}

/// Whether this is what a client would be told at this version.
fn explains(call: &Call, told: &Told, version: u64, state: &Order) -> bool {
    match told {
        Told::Shown(shown, status) => {
            let shown_as = render::order(state, version, call_time()).map(|order| order.status);
            *shown == version && shown_as == Some(*status)
        }
        Told::Refused(reason) => match (call.wish, state) {
            (Wish::Get, Order::Absent) => *reason == Reason::NotFound.code(),
            _ if *reason == Reason::TooManyEvents.code() && version >= EVENTS_PER_STREAM_MAX => {
                true
            }
            (Wish::Get | Wish::Place, _) => false,
            _ => {
                match decide(state, &command(call), &operator(), call_time(), &Policy::default()) {
                    Ok(_) => false,
                    Err(rejection) => rejection.code() == reason,
                }
            }
        },
        Told::Nothing(_) | Told::Repeated if call.wish == Wish::Place => version > 0,
        Told::Nothing(at) => {
            *at == version
                && decide(state, &command(call), &operator(), call_time(), &Policy::default())
                    .is_ok_and(|events| events.is_empty())
        }
        // Said to have been done before, and nothing was.
        Told::Repeated | Told::Done(_) | Told::Doubt => false,
    }
}

fn operator() -> By {
    By::ops("developer")
}

/// None of the wishes depends on it.
fn call_time() -> Timestamp {
    Timestamp::from_micros(0)
}

fn command(call: &Call) -> Command {
    let unit = || {
        let quantity = Quantity::new(1).ok();
        quantity.map(|quantity| LineQuantity { line: 1, quantity }).into_iter().collect()
    };
    match call.wish {
        Wish::FulfillUnit => Command::Fulfill(Fulfill {
            shipment_id: ShipmentId::from_uuid(call.request_id.uuid()),
            lines: unit(),
            carrier: String::new(),
            tracking: String::new(),
        }),
        wish => Command::Cancel(Cancel {
            reason: CancelReason::Ops,
            text: String::new(),
            lines: if wish == Wish::CancelUnit { unit() } else { Vec::new() },
            skus: Vec::new(),
        }),
    }
}
