use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use shared_events::contract::{OrderId, RequestId};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::checks::{check_visible, evolved};
use super::lifespan::{self, Lifespan};
use super::mailbox::{Context, Executed, Message, Refusal, View};
use super::meter;
use super::recovered::{Recovered, rebuilt};
use super::registry::Shared;
use super::{names, traced};
use crate::domain::{Command, Event, Rejection, decide};
use crate::journal::JournalError;
use crate::record::{DecodeError, Metadata, RecordedEvent, decode, encode};

/// The actor of one order. Its first message rebuilds the order from the journal. Each command then
/// takes the same steps: decide, evolve a copy, append, keep the copy, answer.
pub(super) struct OrderActor {
    pub(super) shared: Arc<Shared>,
}

/// The state of an awake order.
pub(super) struct Memory {
    order_id: OrderId,
    shard: u16,
    /// The tenure of its shard in which it was woken.
    tenure: u64,
    recovered: Option<Recovered>,
}

impl Actor for OrderActor {
    type Msg = Message;
    type State = Memory;
    /// The order and the tenure of its shard.
    type Arguments = (OrderId, u64);

    async fn pre_start(
        &self,
        _myself: ActorRef<Message>,
        (order_id, tenure): (OrderId, u64),
    ) -> Result<Memory, ActorProcessingErr> {
        let shard = self.shared.journal.shard_of(order_id);
        Ok(Memory { order_id, shard, tenure, recovered: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        memory: &mut Memory,
    ) -> Result<(), ActorProcessingErr> {
        let order_id = memory.order_id;
        let (fate, permit) = match message {
            Message::Execute { command, mut context, permit, reply } => {
                let outcome = if Instant::now() >= context.deadline {
                    Err(Refusal::DeadlineExceeded)
                } else {
                    permit.begin();
                    let was_awake = memory.recovered.is_some();
                    let outcome = self.traced(memory, &command, &mut context).await;
                    if was_awake && matches!(outcome, Err(Refusal::Rejected(Rejection::NotFound))) {
                        self.load_as_if_absent(memory).await;
                    }
                    outcome
                };
                let fate = fate_after(outcome.as_ref().err(), memory);
                // Fails if the caller has given up; the outcome still counts.
                let _ = reply.send(outcome);
                (fate, permit)
            }
            Message::View { by, permit, reply } => {
                permit.begin();
                let was_awake = memory.recovered.is_some();
                let outcome = self.view(memory).await;
                let hidden = outcome.as_ref().is_ok_and(|view| {
                    view.order.details().is_some_and(|details| !by.owns(details))
                });
                if was_awake && hidden {
                    self.load_as_if_absent(memory).await;
                }
                let fate = fate_after(outcome.as_ref().err(), memory);
                let _ = reply.send(outcome);
                (fate, permit)
            }
        };
        drop(permit);
        match fate {
            Fate::Lives(Lifespan::Awake) => {}
            Fate::Lives(Lifespan::Sleep) => self.shared.sleep_if_idle(order_id, &myself),
            // Its state may be wrong: the actor stops, and the next command rebuilds it.
            Fate::Dies => self.shared.remove_actor(order_id, myself.get_id(), Some(&myself)),
        }
        Ok(())
    }
}

enum Fate {
    Lives(Lifespan),
    Dies,
}

fn fate_after(refusal: Option<&Refusal>, memory: &Memory) -> Fate {
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

/// Whether the actor's state may be wrong after this refusal.
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
    /// Loads the order from the journal and drops it. For a missing order every call reads the
    /// journal; an awake order of another customer does too, so that timing does not reveal it.
    async fn load_as_if_absent(&self, memory: &Memory) {
        drop(self.shared.journal.load(memory.order_id).await);
    }

    async fn view(&self, memory: &mut Memory) -> Result<View, Refusal> {
        let shard = memory.shard;
        let recovered = self.recover(memory).await?;
        Ok(View {
            order: Arc::clone(&recovered.order),
            version: recovered.version,
            updated_at: recovered.updated_at,
            shard,
            position: recovered.position,
        })
    }

    /// Executes a command in its span.
    async fn traced(
        &self,
        memory: &mut Memory,
        command: &Command,
        context: &mut Context,
    ) -> Result<Executed, Refusal> {
        let (order_id, shard) = (memory.order_id, memory.shard);
        if traced::is_apart(context) {
            // It says what the span links to.
            self.recover(memory).await?;
        }
        let cause = memory.recovered.as_ref().and_then(|recovered| recovered.cause_of(command));
        let span = traced::handling(command, (order_id, shard), cause, context);
        let in_logs = traced::in_logs(order_id, shard, context);
        let outcome = self.execute(memory, command, context).instrument(in_logs).await;
        traced::end(span, &outcome);
        outcome
    }

    /// Executes a command. A conflict means that another writer appended and this one certainly did
    /// not: the order is read again and decides once more.
    async fn execute(
        &self,
        memory: &mut Memory,
        command: &Command,
        context: &Context,
    ) -> Result<Executed, Refusal> {
        if memory.recovered.is_none() && self.may_presume_absent(command, context) {
            memory.recovered = Some(Recovered::default());
            meter::presumed();
            match self.attempt(memory, command, context).await {
                Err(Failure::Stale) => self.shared.presumption_failed(),
                Err(Failure::Refused(refusal)) if is_in_doubt(&refusal) => return Err(refusal),
                // The refusal came from a presumed order; the real one decides below.
                Err(Failure::Refused(_)) => {}
                Ok(executed) => return Ok(executed),
            }
            memory.recovered = None;
        }
        match self.attempt(memory, command, context).await {
            Err(Failure::Stale) => {
                memory.recovered = None;
                self.attempt(memory, command, context).await.map_err(|failure| match failure {
                    Failure::Refused(refusal) => refusal,
                    Failure::Stale => Refusal::Unavailable(
                        "another writer keeps appending to the order".to_owned(),
                    ),
                })
            }
            Err(Failure::Refused(refusal)) => Err(refusal),
            Ok(executed) => Ok(executed),
        }
    }

    /// Whether an order may be placed without first reading whether it exists. Most do not exist,
    /// and for those that do the journal refuses a second first event.
    fn may_presume_absent(&self, command: &Command, context: &Context) -> bool {
        command.creates_order()
            && !context.validate_only
            && context.expected_version.is_none()
            && self.shared.presumes_absent()
    }

    async fn attempt(
        &self,
        memory: &mut Memory,
        command: &Command,
        context: &Context,
    ) -> Result<Executed, Failure> {
        let shared = &self.shared;
        let (order_id, shard, tenure) = (memory.order_id, memory.shard, memory.tenure);
        let recovered = self.recover(memory).await?;

        let request = match self.repetition(recovered, command, context, shard).await? {
            Request::Repeated => return Ok(recovered.executed(shard, Vec::new(), true)),
            Request::New(request) => request,
        };
        if let Some(expected) = context.expected_version {
            check_visible(&recovered.order, command, context)?;
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
            names::check_free(&shared.journal, order_id, &events).await?;
            let order = Arc::new(next);
            return Ok(Executed { order, ..recovered.executed(shard, events, false) });
        }
        let metadata = Metadata {
            by: context.by.clone(),
            request_id: context.request_id,
            fingerprint: request.as_ref().map(|(_, fingerprint)| fingerprint.clone()),
            causation: context.causation.clone(),
            traceparent: context.traceparent.clone(),
            tracestate: context.tracestate.clone(),
        };
        let new_events = events
            .iter()
            .map(|event| encode(event, &metadata))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Refusal::Unavailable("an event could not be encoded".to_owned()))?;
        let span = traced::appending(new_events.len(), context);
        let (version, trace) = (recovered.version, span.context());
        let appended =
            shared.journal.append_traced(tenure, order_id, version, new_events, trace).await;
        drop(span);
        let appended = appended.map_err(|error| match error {
            JournalError::NotOwner { shard } => Failure::Refused(shared.not_owner(shard)),
            other => append_failure(order_id, other),
        })?;

        for event in &events {
            recovered.happened_in(event, context.traceparent.as_deref());
        }
        recovered.order = Arc::new(next);
        recovered.version = appended.version;
        recovered.updated_at = events.last().map_or(now, Event::at);
        recovered.position = appended.position;
        recovered.requests.extend(request);
        Ok(recovered.executed(shard, events, false))
    }

    /// Whether the command's request was executed before; if not, what to remember of it.
    async fn repetition(
        &self,
        recovered: &Recovered,
        command: &Command,
        context: &Context,
        shard: u16,
    ) -> Result<Request, Refusal> {
        let Some(id) = context.request_id else { return Ok(Request::New(None)) };
        let fingerprints = self.shared.journal.fingerprints(shard).await;
        let fingerprints = fingerprints.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        let written = |command: &Command| serde_json::to_vec(command).unwrap_or_default();
        let content = written(command.in_one_order().as_ref().unwrap_or(command));
        let Some(before) = recovered.requests.get(&id) else {
            return Ok(Request::New(Some((id, fingerprints.of(&content)))));
        };
        check_visible(&recovered.order, command, context)?;
        // An earlier version knew lists by the order in which they were sent.
        let is_known = |content: &[u8]| fingerprints.matches(before, content);
        if is_known(&content) || is_known(&written(command)) {
            Ok(Request::Repeated)
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
            meter::read(stored.len());
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
            tracing::error!(order = %order_id, %error, "the quarantine could not be stored");
        }
        Refusal::Quarantined(reason)
    }
}

/// Whether a request was executed before.
enum Request {
    Repeated,
    /// Its id and fingerprint, if it has an id.
    New(Option<(RequestId, String)>),
}

enum Failure {
    Refused(Refusal),
    /// The actor's state is not what the journal holds.
    Stale,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn append_failure(order_id: OrderId, error: JournalError) -> Failure {
    if let Some(rejection) = names::rejection_of(&error) {
        return Failure::Refused(rejection.into());
    }
    match error {
        JournalError::Conflict { .. } => Failure::Stale,
        JournalError::OutcomeUnknown(detail) => {
            // The writer has logged it once for the entire batch.
            tracing::debug!(order = %order_id, detail, "outcome of an append is not known");
            Failure::Refused(Refusal::OutcomeUnknown(detail))
        }
        JournalError::Doubted(why) => Failure::Refused(Refusal::Doubted(why)),
        JournalError::TooLarge { .. } => Failure::Refused(Refusal::TooLarge),
        JournalError::TooManyEvents { .. } => Failure::Refused(Refusal::TooManyEvents),
        other => Failure::Refused(Refusal::Unavailable(other.to_string())),
    }
}
