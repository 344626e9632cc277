//! The cqrs-es traits for orders: its tools can read the journal, and its repository can load
//! orders. The engine itself does not use them: it calls `decide` and `evolve`.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};
use shared_events::contract::Timestamp;

use crate::domain::{By, Command, Event, Impossible, Order, Policy, Rejection, decide, evolve};
use crate::journal::AGGREGATE_TYPE;

/// An order as a cqrs-es aggregate. Its snapshot is its history: a stored state would be another
/// format that has to stay readable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Event>", into = "Vec<Event>")]
pub struct OrderAggregate {
    history: Vec<Event>,
    order: Order,
    impossible: Option<Impossible>,
}

impl OrderAggregate {
    /// The order after the applied events.
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

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BridgeError {
    /// The domain refuses the command.
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
        Self::version_of(self.name()).to_owned()
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

    // cqrs-es cannot refuse an event here, so the error is stored and all later events are
    // ignored.
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
