//! What cqrs-es asks for, so that its tools read the journal and its repository loads orders. The
//! engine itself does not go this way: it calls `decide` and `evolve`.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};
use shared_events::contract::Timestamp;

use crate::domain::{By, Command, Event, Impossible, Order, Policy, Rejection, decide, evolve};
use crate::journal::AGGREGATE_TYPE;

/// An order as cqrs-es sees it. A snapshot of it is its history, because a state that was stored
/// would have to be kept readable for ever, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Event>", into = "Vec<Event>")]
pub struct OrderAggregate {
    history: Vec<Event>,
    order: Order,
    impossible: Option<Impossible>,
}

impl OrderAggregate {
    /// The order that the applied events make.
    ///
    /// # Errors
    /// [`Impossible`] is the first event that could not be applied.
    pub fn order(&self) -> Result<&Order, &Impossible> {
        self.impossible.as_ref().map_or(Ok(&self.order), Err)
    }
}

impl From<Vec<Event>> for OrderAggregate {
    fn from(history: Vec<Event>) -> Self {
        let mut aggregate = Self::default();
        for event in history {
            aggregate.apply(event);
        }
        aggregate
    }
}

impl From<OrderAggregate> for Vec<Event> {
    fn from(aggregate: OrderAggregate) -> Self {
        aggregate.history
    }
}

/// Why the bridge carried nothing out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// The order says no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The order's history is broken.
    #[error(transparent)]
    Impossible(#[from] Impossible),
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        Self::VERSION.to_owned()
    }
}

impl Aggregate for OrderAggregate {
    const TYPE: &'static str = AGGREGATE_TYPE;
    type Command = (Command, By, Timestamp);
    type Event = Event;
    type Error = BridgeError;
    type Services = Policy;

    async fn handle(
        &mut self,
        (command, by, now): Self::Command,
        policy: &Self::Services,
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        let order = self.order().map_err(Impossible::clone)?;
        for event in decide(order, &command, &by, now, policy)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    // cqrs-es gives no way to refuse an event here, so the refusal is kept and everything after
    // it ignored.
    fn apply(&mut self, event: Self::Event) {
        if self.impossible.is_none() {
            match evolve(self.order.clone(), &event) {
                Ok(order) => self.order = order,
                Err(impossible) => self.impossible = Some(impossible),
            }
        }
        self.history.push(event);
    }
}
