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

use super::clients::{Action, Answer, Call};
use crate::engine::Stores;

/// Answers that no single history explains.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Contradiction {
    /// `lost`, `twice`, `done_though_refused`, `order_of_time`, `impossible`, `unexplained`.
    pub(super) kind: &'static str,
    pub(super) order_id: String,
    pub(super) detail: String,
}

/// Compares what clients remember with the journal, order by order. Each order's history is the one
/// sequence in which things happened. Every call must have a place in it between its sending and
/// its answer, and must have been answered with what holds at that place. That is linearizability,
/// checked key by key as Porcupine does, but without its search: the journal gives the order of
/// writes.
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

#[expect(clippy::too_many_lines, reason = "the clauses of one law, each presumes those before it")]
fn order(
    order_id: OrderId,
    events: &[StoredEvent],
    mut calls: Vec<&Call>,
    found: &mut Vec<Contradiction>,
) {
    let mut report = |kind: &'static str, detail: String| {
        found.push(Contradiction { kind, order_id: order_id.to_string(), detail });
    };
    // The order at each version, and which request made each version.
    let mut states = vec![Order::Absent];
    let mut made: HashMap<RequestId, Vec<u64>> = HashMap::new();
    for stored in events {
        let Ok(recorded) = decode(stored) else {
            return report("impossible", format!("version {} is unreadable", stored.sequence));
        };
        let before = states.last().cloned().unwrap_or(Order::Absent);
        match evolve(before, &recorded.event) {
            Ok(after) => states.push(after),
            Err(error) => {
                return report("impossible", format!("version {}: {error}", stored.sequence));
            }
        }
        // The engine's own commands (stock answers, deadlines) are checked by the laws of `verify`.
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
            report("twice", format!("{:?} made versions {versions:?}", call.action));
            continue;
        }
        let version = versions.first().copied();
        // Every call that returned before this one was sent comes before it.
        let at_least =
            placed.iter().filter(|(at, _)| *at < call.invoked).map(|(_, v)| *v).max().unwrap_or(0);
        let answer = call.answer_to(version);
        let place = match (answer, version) {
            (Answer::Done(answer), Some(version)) if *answer != version => {
                report(
                    "unexplained",
                    format!("{:?} made {version} but was answered {answer}", call.action),
                );
                continue;
            }
            (Answer::Done(_) | Answer::Repeated | Answer::Doubt, Some(version)) => {
                // It made this version, so it came after the one before.
                (version > at_least).then_some(version)
            }
            (Answer::Done(answer), None) => {
                report("lost", format!("{:?} was answered version {answer}", call.action));
                continue;
            }
            (Answer::Doubt, None) => continue,
            (answer, Some(version)) => {
                let detail =
                    format!("{:?} was answered {answer:?} but made {version}", call.action);
                report("done_though_refused", detail);
                continue;
            }
            (answer, None) => (at_least..).zip(states.iter().skip(index(at_least))).find_map(
                |(version, state)| explains(call, answer, version, state).then_some(version),
            ),
        };
        match place {
            // A call without an answer may have taken effect at any later time.
            Some(_) if *answer == Answer::Doubt => {}
            Some(place) => placed.push((call.returned, place)),
            None => {
                let detail = format!(
                    "{:?} was answered {:?}; made {version:?}, at least {at_least} of {}",
                    call.action,
                    call.answer,
                    states.len() - 1
                );
                report(if version.is_some() { "order_of_time" } else { "unexplained" }, detail);
            }
        }
    }
    if let Some((request_id, versions)) = made.into_iter().next() {
        report("unexplained", format!("no client sent {request_id}, which made {versions:?}"));
    }
}

fn index(version: u64) -> usize {
    usize::try_from(version).unwrap_or(usize::MAX)
}

/// Whether this answer is correct at this version.
fn explains(call: &Call, answer: &Answer, version: u64, state: &Order) -> bool {
    match answer {
        Answer::Shown(shown, status) => {
            let shown_as = render::order(state, version, call_time()).map(|order| order.status);
            *shown == version && shown_as == Some(*status)
        }
        Answer::Refused(reason) => match (call.action, state) {
            (Action::Get, Order::Absent) => *reason == Reason::NotFound.code(),
            _ if *reason == Reason::TooManyEvents.code() && version >= EVENTS_PER_STREAM_MAX => {
                true
            }
            (Action::Get | Action::Place, _) => false,
            _ => {
                match decide(state, &command(call), &operator(), call_time(), &Policy::default()) {
                    Ok(_) => false,
                    Err(rejection) => rejection.code() == reason,
                }
            }
        },
        Answer::Nothing(_) | Answer::Repeated if call.action == Action::Place => version > 0,
        Answer::Nothing(at) => {
            *at == version
                && decide(state, &command(call), &operator(), call_time(), &Policy::default())
                    .is_ok_and(|events| events.is_empty())
        }
        // Reported as done before, but nothing was done.
        Answer::Repeated | Answer::Done(_) | Answer::Doubt => false,
    }
}

fn operator() -> By {
    By::ops("developer")
}

/// No action depends on the time.
fn call_time() -> Timestamp {
    Timestamp::from_micros(0)
}

fn command(call: &Call) -> Command {
    let unit = || {
        let quantity = Quantity::new(1).ok();
        quantity.map(|quantity| LineQuantity { line: 1, quantity }).into_iter().collect()
    };
    match call.action {
        Action::FulfillUnit => Command::Fulfill(Fulfill {
            shipment_id: ShipmentId::from_uuid(call.request_id.uuid()),
            lines: unit(),
            carrier: String::new(),
            tracking: String::new(),
            reference: String::new(),
            location: None,
        }),
        action => Command::Cancel(Cancel {
            reason: CancelReason::Ops,
            text: String::new(),
            lines: if action == Action::CancelUnit { unit() } else { Vec::new() },
            skus: Vec::new(),
        }),
    }
}
