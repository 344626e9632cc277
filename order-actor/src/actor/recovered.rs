use std::collections::HashMap;
use std::sync::Arc;

use shared_events::contract::{RequestId, Timestamp};
use shared_events::traces::TraceContext;

use super::mailbox::Executed;
use super::traced;
use crate::domain::{Event, Order, evolve};
use crate::record::RecordedEvent;

/// What the journal says of an order.
#[derive(Default)]
pub(super) struct Recovered {
    pub(super) order: Arc<Order>,
    pub(super) version: u64,
    pub(super) updated_at: Timestamp,
    pub(super) position: u64,
    /// The fingerprint of each request id's command, from the events' metadata.
    pub(super) requests: HashMap<RequestId, String>,
    /// The recorded trace in which the order was placed, if traces are kept.
    pub(super) placed_in: Option<TraceContext>,
}

impl Recovered {
    pub(super) fn executed(&self, shard: u16, events: Vec<Event>, replayed: bool) -> Executed {
        Executed {
            order: Arc::clone(&self.order),
            version: self.version,
            updated_at: self.updated_at,
            events,
            replayed,
            shard,
            position: self.position,
        }
    }
}

/// The order that these events make; an error where they cannot have happened.
pub(super) fn rebuilt(events: Vec<RecordedEvent>) -> Result<Recovered, String> {
    let mut recovered = Recovered::default();
    let mut order = Order::Absent;
    for recorded in events {
        order = evolve(order, &recorded.event)
            .map_err(|impossible| format!("version {}: {impossible}", recorded.sequence))?;
        recovered.version = recorded.sequence;
        if recorded.sequence == 1 {
            recovered.placed_in = traced::recorded(recorded.metadata.traceparent.as_deref());
        }
        recovered.updated_at = recorded.event.at();
        recovered.position = recorded.position;
        if let Some(id) = recorded.metadata.request_id {
            recovered
                .requests
                .insert(id, recorded.metadata.fingerprint.clone().unwrap_or_default());
        }
    }
    recovered.order = Arc::new(order);
    Ok(recovered)
}
