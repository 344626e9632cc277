use std::collections::HashMap;
use std::sync::Arc;

use shared_events::contract::{RequestId, Timestamp};
use shared_events::traces::TraceContext;

use super::mailbox::Executed;
use super::traced;
use crate::domain::{Command, DeadlineKind, Event, Order, deadline, evolve};
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
    /// The trace in which each kind of deadline was set last, if it is recorded and traces are
    /// kept. An order is placed where `Confirm` is set.
    set_in: HashMap<DeadlineKind, TraceContext>,
}

impl Recovered {
    /// Notes the trace in which an event happened, for what it causes later.
    pub(super) fn happened_in(&mut self, event: &Event, traceparent: Option<&str>) {
        let Some(kind) = DeadlineKind::set_by(event) else { return };
        match traced::recorded(traceparent) {
            Some(trace) => self.set_in.insert(kind, trace),
            None => self.set_in.remove(&kind),
        };
    }

    /// The trace in which a command of the engine's own was caused: where its deadline was set; for
    /// others, where the order was placed.
    pub(super) fn cause_of(&self, command: &Command) -> Option<TraceContext> {
        let kind = match command {
            Command::Escalate => DeadlineKind::Judge,
            Command::LapseEdit => DeadlineKind::Edit,
            Command::Lapse => deadline(&self.order).map_or(DeadlineKind::Confirm, |it| it.kind),
            _ => DeadlineKind::Confirm,
        };
        self.set_in.get(&kind).copied()
    }

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
        recovered.happened_in(&recorded.event, recorded.metadata.traceparent.as_deref());
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
