use shared_events::contract::{Mark, OrderId};
use tokio::time::Instant;
use tonic::Status;

use super::deadline::within;
use super::parse::AsOf;
use super::{OrdersEdge, proto, render, status};
use crate::actor::Refusal;
use crate::domain::{By, Event, Order, Rejection, Role, evolve};
use crate::journal::{ChainedEvent, JournalError, StoredEvent};
use crate::record::{DecodeError, RecordedEvent, decode};

/// A stored event, and its decoded form or the reason it cannot be decoded.
pub(super) type Entry = (StoredEvent, Result<RecordedEvent, DecodeError>);

/// An order's events, if the caller may see them; otherwise not found.
pub(super) async fn entries(
    edge: &OrdersEdge,
    order_id: OrderId,
    by: &By,
    deadline: Instant,
) -> Result<Vec<Entry>, Status> {
    let stored = match within(deadline, edge.journal.load(order_id)).await? {
        Ok(stored) => stored,
        Err(error @ (JournalError::Broken { .. } | JournalError::StreamArchived { .. })) => {
            let refusal = match error {
                JournalError::StreamArchived { file, .. } => Refusal::Archived { file },
                error => Refusal::Quarantined(error.to_string()),
            };
            let hidden = Rejection::NotFound;
            let refusal = edge.unreadable_for(by, order_id, refusal, hidden).await;
            return Err(status::refused(&refusal));
        }
        Err(error) => return Err(status::journal(&error)),
    };
    let entries: Vec<Entry> = stored
        .into_iter()
        .map(|stored| {
            let decoded = decode(&stored);
            (stored, decoded)
        })
        .collect();
    let first = entries.first().and_then(|(_, first)| first.as_ref().ok());
    let owner = first.and_then(|first| match &*first.event {
        Event::OrderPlaced { customer_id, .. } => Some(*customer_id),
        _ => None,
    });
    // The customer of an unreadable order is unknown: hidden from every customer.
    let hidden = match owner {
        Some(owner) => !by.owns_orders_of(owner),
        None => by.only_customer().is_some(),
    };
    if entries.is_empty() || hidden {
        return Err(status::refused(&Rejection::NotFound.into()));
    }
    Ok(entries)
}

/// The decoded events. If one cannot be decoded, the order is quarantined.
pub(super) fn readable(entries: Vec<Entry>) -> Result<Vec<RecordedEvent>, Status> {
    entries.into_iter().map(|(_, decoded)| decoded.map_err(|error| quarantined(&error))).collect()
}

/// The order after these events.
pub(super) fn replayed(events: &[RecordedEvent]) -> Result<Order, Status> {
    events
        .iter()
        .try_fold(Order::Absent, |order, recorded| evolve(order, &recorded.event))
        .map_err(|error| quarantined(&error))
}

fn quarantined(error: &impl ToString) -> Status {
    status::refused(&Refusal::Quarantined(error.to_string()))
}

/// The order as of a version or an instant.
pub(super) fn as_of(
    events: &[RecordedEvent],
    as_of: AsOf,
) -> Result<proto::GetOrderResponse, Status> {
    let until = match as_of {
        AsOf::Now => events.len(),
        AsOf::Version(version) => usize::try_from(version)
            .ok()
            .filter(|version| *version <= events.len())
            .ok_or_else(|| status::version_not_found(newest(events)))?,
        AsOf::Time(time) => events.partition_point(|recorded| recorded.event.at() <= time),
    };
    let included = events.get(..until).unwrap_or(events);
    let last = included.last().ok_or_else(|| status::refused(&Rejection::NotFound.into()))?;
    Ok(proto::GetOrderResponse {
        order: render::order(&replayed(included)?, last.sequence, last.event.at()),
        position: Some(render::place(last.shard, last.position, last.mark)),
    })
}

/// An event with what this caller may see of it.
pub(super) fn for_caller(by: &By, mut recorded: proto::RecordedEvent) -> proto::RecordedEvent {
    if by.role() == Role::Customer
        && let Some(event) = &mut recorded.event
    {
        render::for_customers(event);
        // What systems tell each other about a call of theirs.
        recorded.tracestate.clear();
        // The event says so of notes; here is everything else that staff wrote.
        if matches!(event.kind, Some(proto::event::Kind::NoteAdded(_)))
            && recorded.role() != proto::Role::Customer
        {
            recorded.subject.clear();
        }
    }
    recorded
}

/// The newest version.
pub(super) fn newest(events: &[RecordedEvent]) -> u64 {
    events.last().map_or(0, |last| last.sequence)
}

/// An event with its hash, for readers of the entire journal.
#[must_use]
pub fn recorded_event(chained: ChainedEvent) -> proto::RecordedEvent {
    let ChainedEvent { event, hash } = chained;
    let decoded = decode(&event);
    let position = Some(render::place(event.shard, event.position, Some(Mark::of(&hash))));
    proto::RecordedEvent { hash: hex::encode(hash), position, ..shown(&(event, decoded)) }
}

/// An event for a caller who may see it. An undecodable one is marked `unreadable`.
pub(super) fn shown((stored, decoded): &Entry) -> proto::RecordedEvent {
    match decoded {
        Ok(recorded) => render::recorded(recorded),
        Err(error) => proto::RecordedEvent {
            order_id: stored.stream_id.to_string(),
            event: Some(proto::Event {
                version: stored.sequence,
                name: stored.event_type.clone(),
                ..proto::Event::default()
            }),
            position: Some(render::place(stored.shard, stored.position, None)),
            recorded_at: Some(render::time(stored.recorded_at)),
            unreadable: error.detail.clone(),
            ..proto::RecordedEvent::default()
        },
    }
}
