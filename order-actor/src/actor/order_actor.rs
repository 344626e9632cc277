use std::collections::HashMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use shared_events::contract::{OrderId, RequestId, Timestamp};
use tokio::time::Instant;

use super::lifespan::{self, Lifespan};
use super::mailbox::{Context, Executed, Message, Refusal, View};
use super::registry::Shared;
use crate::domain::{Command, Event, Order, Rejection, decide, evolve};
use crate::journal::JournalError;
use crate::record::{DecodeError, Metadata, RecordedEvent, decode, encode};

/// One order. Recovers from the journal when first spoken to; then, per command: decide, evolve a
/// copy, append, keep, answer.
pub(super) struct OrderActor {
    pub(super) shared: Arc<Shared>,
}

/// What an order remembers while it is awake.
pub(super) struct Memory {
    order_id: OrderId,
    /// Of the shard, in which it was woken.
    tenure: u64,
    recovered: Option<Recovered>,
}

#[derive(Default)]
struct Recovered {
    order: Arc<Order>,
    version: u64,
    updated_at: Timestamp,
    position: u64,
    /// What each request said (its fingerprint), from the events' metadata.
    requests: HashMap<RequestId, String>,
}

impl Actor for OrderActor {
    type Msg = Message;
    type State = Memory;
    /// Which order, and since when its shard is ours.
    type Arguments = (OrderId, u64);

    async fn pre_start(
        &self,
        _myself: ActorRef<Message>,
        (order_id, tenure): (OrderId, u64),
    ) -> Result<Memory, ActorProcessingErr> {
        Ok(Memory { order_id, tenure, recovered: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        memory: &mut Memory,
    ) -> Result<(), ActorProcessingErr> {
        let order_id = memory.order_id;
        let (lifespan, permit) = match message {
            Message::Execute { command, context, permit, reply } => {
                let outcome = if Instant::now() >= context.deadline {
                    Err(Refusal::DeadlineExceeded)
                } else {
                    permit.begin();
                    let remembered = memory.recovered.is_some();
                    let outcome = self.execute(memory, &command, &context).await;
                    if remembered && matches!(outcome, Err(Refusal::Rejected(Rejection::NotFound)))
                    {
                        self.take_as_long_as_for_none(memory).await;
                    }
                    outcome
                };
                let lifespan = lifespan_after(outcome.as_ref().err(), memory);
                // The caller may have given up; the outcome stands all the same.
                let _ = reply.send(outcome);
                (lifespan, permit)
            }
            Message::View { by, permit, reply } => {
                permit.begin();
                let remembered = memory.recovered.is_some();
                let outcome = self.view(memory).await;
                let hidden = outcome.as_ref().is_ok_and(|view| {
                    view.order.details().is_some_and(|details| !by.owns(details))
                });
                if remembered && hidden {
                    self.take_as_long_as_for_none(memory).await;
                }
                let lifespan = lifespan_after(outcome.as_ref().err(), memory);
                let _ = reply.send(outcome);
                (lifespan, permit)
            }
        };
        drop(permit);
        match lifespan {
            Fate::Lives(Lifespan::Awake) => {}
            Fate::Lives(Lifespan::Sleep) => self.shared.sleep_if_unwanted(order_id, &myself),
            // What it remembers may be wrong: it dies, and the next command rebuilds it.
            Fate::Dies => self.shared.bury(order_id, myself.get_id(), Some(&myself)),
        }
        Ok(())
    }
}

enum Fate {
    Lives(Lifespan),
    Dies,
}

fn lifespan_after(refusal: Option<&Refusal>, memory: &Memory) -> Fate {
    match refusal {
        Some(refusal) if is_in_doubt(refusal) => Fate::Dies,
        _ => Fate::Lives(
            memory
                .recovered
                .as_ref()
                .map_or(Lifespan::Sleep, |recovered| lifespan::after(&recovered.order)),
        ),
    }
}

/// After these the memory of an order may be wrong.
const fn is_in_doubt(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::OutcomeUnknown(_)
            | Refusal::Unavailable(_)
            | Refusal::Quarantined(_)
            | Refusal::NotOwner { .. }
    )
}

impl OrderActor {
    /// Somebody else's order looks as one that there is not. For one that there is not the journal is
    /// asked each time; so is it for one that is awake, or the difference would tell.
    async fn take_as_long_as_for_none(&self, memory: &Memory) {
        drop(self.shared.journal.load(memory.order_id).await);
    }

    async fn view(&self, memory: &mut Memory) -> Result<View, Refusal> {
        let shard = self.shared.journal.shard_of(memory.order_id);
        let recovered = self.recover(memory).await?;
        Ok(View {
            order: Arc::clone(&recovered.order),
            version: recovered.version,
            updated_at: recovered.updated_at,
            shard,
            position: recovered.position,
        })
    }

    /// The four steps. A conflict says that somebody else wrote, and surely not we: the order is
    /// read again and decides once more.
    async fn execute(
        &self,
        memory: &mut Memory,
        command: &Command,
        context: &Context,
    ) -> Result<Executed, Refusal> {
        if memory.recovered.is_none() && self.may_presume_absent(command, context) {
            memory.recovered = Some(Recovered::default());
            match self.attempt(memory, command, context).await {
                Err(Attempt::Stale) => self.shared.presumed_wrongly(),
                Err(Attempt::Refused(refusal)) if is_in_doubt(&refusal) => return Err(refusal),
                // Refused by an order that we only presumed: the true one has the word.
                Err(Attempt::Refused(_)) => {}
                Ok(executed) => return Ok(executed),
            }
            memory.recovered = None;
        }
        match self.attempt(memory, command, context).await {
            Err(Attempt::Stale) => {
                memory.recovered = None;
                self.attempt(memory, command, context).await.map_err(|attempt| match attempt {
                    Attempt::Refused(refusal) => refusal,
                    Attempt::Stale => Refusal::Unavailable("another writer is at work".to_owned()),
                })
            }
            Err(Attempt::Refused(refusal)) => Err(refusal),
            Ok(executed) => Ok(executed),
        }
    }

    /// Whether an order may be placed without reading first whether it exists: most do not, and the
    /// journal, which appends a first event once only, tells of those that do.
    fn may_presume_absent(&self, command: &Command, context: &Context) -> bool {
        matches!(command, Command::Place(_))
            && !context.validate_only
            && context.expected_version.is_none()
            && self.shared.presumes_absent()
    }

    async fn attempt(
        &self,
        memory: &mut Memory,
        command: &Command,
        context: &Context,
    ) -> Result<Executed, Attempt> {
        let shared = &self.shared;
        let (order_id, tenure) = (memory.order_id, memory.tenure);
        let shard = shared.journal.shard_of(order_id);
        let recovered = self.recover(memory).await?;

        let request = match self.said_before(recovered, command, context, shard).await? {
            Said::Before => return Ok(recovered.executed(shard, Vec::new(), true)),
            Said::Now(request) => request,
        };
        if let Some(expected) = context.expected_version {
            hidden_from(&recovered.order, command, context)?;
            if expected != recovered.version {
                let actual = recovered.version;
                return Err(Refusal::VersionMismatch { expected, actual }.into());
            }
        }

        let now = shared.clock.now();
        let events = decide(&recovered.order, command, &context.by, now, &shared.policy)
            .map_err(Refusal::Rejected)?;
        if events.is_empty() {
            return Ok(recovered.executed(shard, events, false));
        }
        let next = evolved(&recovered.order, &events)?;
        if context.validate_only {
            let order = Arc::new(next);
            return Ok(Executed { order, ..recovered.executed(shard, events, false) });
        }
        let metadata = Metadata {
            by: context.by.clone(),
            request_id: context.request_id,
            fingerprint: request.as_ref().map(|(_, fingerprint)| fingerprint.clone()),
            causation: context.causation.clone(),
            traceparent: context.traceparent.clone(),
        };
        let new_events = events
            .iter()
            .map(|event| encode(event, &metadata))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Refusal::Unavailable("an event could not be encoded".to_owned()))?;
        let appended =
            shared.journal.append_in(tenure, order_id, recovered.version, new_events).await;
        let appended = appended.map_err(|error| match error {
            JournalError::NotOwner { shard } => Attempt::Refused(shared.not_owner(shard)),
            other => refusal_of(order_id, other),
        })?;

        recovered.order = Arc::new(next);
        recovered.version = appended.version;
        recovered.updated_at = events.last().map_or(now, Event::at);
        recovered.position = appended.position;
        recovered.requests.extend(request);
        Ok(recovered.executed(shard, events, false))
    }

    /// Whether the request of a command was carried out before, and what to remember of it if not.
    async fn said_before(
        &self,
        recovered: &Recovered,
        command: &Command,
        context: &Context,
        shard: u16,
    ) -> Result<Said, Refusal> {
        let Some(id) = context.request_id else { return Ok(Said::Now(None)) };
        let fingerprints = self.shared.journal.fingerprints(shard).await;
        let fingerprints = fingerprints.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        let said = serde_json::to_vec(command).unwrap_or_default();
        let Some(before) = recovered.requests.get(&id) else {
            return Ok(Said::Now(Some((id, fingerprints.of(&said)))));
        };
        hidden_from(&recovered.order, command, context)?;
        if fingerprints.matches(before, &said) {
            Ok(Said::Before)
        } else {
            Err(Refusal::RequestIdReused)
        }
    }

    async fn recover<'m>(&self, memory: &'m mut Memory) -> Result<&'m mut Recovered, Refusal> {
        let order_id = memory.order_id;
        if memory.recovered.is_none() {
            let stored = match self.shared.journal.load(order_id).await {
                Ok(stored) => stored,
                Err(JournalError::Broken { .. }) => {
                    return Err(self.quarantine(order_id, "events are missing".to_owned()).await);
                }
                Err(JournalError::StreamArchived { file, .. }) => {
                    return Err(Refusal::Archived { file });
                }
                Err(error) => return Err(Refusal::Unavailable(error.to_string())),
            };
            let events: Result<Vec<RecordedEvent>, DecodeError> =
                stored.iter().map(decode).collect();
            let recovered = match events.map_err(|error| error.to_string()).and_then(rebuilt) {
                Ok(recovered) => recovered,
                Err(reason) => return Err(self.quarantine(order_id, reason).await),
            };
            memory.recovered = Some(recovered);
        }
        Ok(memory.recovered.get_or_insert_default())
    }

    async fn quarantine(&self, order_id: OrderId, reason: String) -> Refusal {
        tracing::error!(order = %order_id, reason, "quarantined: impossible history");
        if let Err(error) = self.shared.journal.quarantine(order_id, &reason).await {
            tracing::error!(order = %order_id, %error, "quarantine could not be written");
        }
        Refusal::Quarantined(reason)
    }
}

/// Whether a request was carried out before.
enum Said {
    Before,
    /// Its id and its fingerprint, where it has one.
    Now(Option<(RequestId, String)>),
}

enum Attempt {
    Refused(Refusal),
    /// What we remember is not what the journal holds.
    Stale,
}

impl From<Refusal> for Attempt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Recovered {
    fn executed(&self, shard: u16, events: Vec<Event>, replayed: bool) -> Executed {
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

/// Somebody else's order is hidden before anything else is said of it: it looks as one that there is
/// not. Placing it tells that the id is taken, and no more.
fn hidden_from(order: &Order, command: &Command, context: &Context) -> Result<(), Refusal> {
    match order.details() {
        Some(details) if context.by.owns(details) => Ok(()),
        None if matches!(command, Command::Place(_)) => Ok(()),
        _ => Err(command.hidden().into()),
    }
}

/// An event that cannot happen must never reach the journal.
fn evolved(order: &Order, events: &[Event]) -> Result<Order, Refusal> {
    events.iter().try_fold(order.clone(), evolve).map_err(|impossible| {
        tracing::error!(%impossible, "decide and evolve disagree; nothing was appended");
        Refusal::Unavailable("the decision could not be applied".to_owned())
    })
}

fn rebuilt(events: Vec<RecordedEvent>) -> Result<Recovered, String> {
    let mut recovered = Recovered::default();
    let mut order = Order::Absent;
    for recorded in events {
        order = evolve(order, &recorded.event)
            .map_err(|impossible| format!("version {}: {impossible}", recorded.sequence))?;
        recovered.version = recorded.sequence;
        recovered.updated_at = recorded.event.at();
        recovered.position = recorded.position;
        if let Some(id) = recorded.metadata.request_id {
            recovered.requests.insert(id, recorded.metadata.fingerprint.unwrap_or_default());
        }
    }
    recovered.order = Arc::new(order);
    Ok(recovered)
}

fn refusal_of(order_id: OrderId, error: JournalError) -> Attempt {
    match error {
        JournalError::Conflict { .. } => Attempt::Stale,
        JournalError::OutcomeUnknown(detail) => {
            // The writer has said it once for all of its batch.
            tracing::debug!(order = %order_id, detail, "outcome of an append is not known");
            Attempt::Refused(Refusal::OutcomeUnknown(detail))
        }
        JournalError::Doubted(why) => Attempt::Refused(Refusal::Doubted(why)),
        JournalError::TooLarge { .. } => Attempt::Refused(Refusal::TooLarge),
        JournalError::TooManyEvents { .. } => Attempt::Refused(Refusal::TooManyEvents),
        other => Attempt::Refused(Refusal::Unavailable(other.to_string())),
    }
}
