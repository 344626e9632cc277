use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{Actor as _, ActorCell, ActorId, ActorRef, ActorRuntime};
use shared_events::contract::OrderId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::mailbox::{Context, Executed, Message, Permit, Refusal, View};
use super::order_actor::OrderActor;
use super::places::Places;
use super::supervisor::Supervisor;
use crate::clock::Clock;
use crate::domain::{By, Command, Policy, Rejection, Role};
use crate::journal::Journal;
use crate::limits;

/// After an order that was presumed absent turned out to exist, in milliseconds.
const READ_FIRST_FOR: u64 = 1_000;

/// How many orders and commands there may be at once. ractor's mailboxes are unbounded, so the
/// registry counts in front of them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Orders awake at once.
    pub awake_max: usize,
    /// Commands waiting for one order.
    pub waiting_max: usize,
    /// Calls waiting for all orders together; customers have seven of eight of these places, so that
    /// the engine's own reactions, services and operators find one whatever customers do.
    pub calls_max: usize,
    /// How long an order may stay awake that nobody speaks to.
    pub idle_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            awake_max: limits::ORDERS_AWAKE_MAX,
            waiting_max: limits::COMMANDS_WAITING_MAX,
            calls_max: limits::CALLS_WAITING_MAX,
            idle_max: limits::IDLE_MAX,
        }
    }
}

impl Limits {
    /// How many calls may wait before one of this role is refused.
    const fn calls_max_of(&self, role: Role) -> usize {
        match role {
            Role::Customer => self.calls_max - self.calls_max / 8,
            Role::Service | Role::Ops | Role::Engine => self.calls_max,
        }
    }
}

/// Finds the actor of an order, or wakes it. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

/// What all order actors share.
pub(super) struct Shared {
    pub(super) journal: Journal,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) policy: Policy,
    limits: Limits,
    awake: Mutex<Awake>,
    supervisor: ActorCell,
    started: Instant,
    /// When an order that was presumed absent last turned out to exist: milliseconds since the
    /// start.
    presumed_wrongly: AtomicU64,
}

#[derive(Default)]
struct Awake {
    places: Places<Awoken>,
    orders: HashMap<ActorId, OrderId>,
}

#[derive(Clone)]
struct Awoken {
    actor: ActorRef<Message>,
    /// Of its shard, in which it was woken: in another one it may have missed something.
    tenure: u64,
}

/// To whom a message went.
#[derive(Clone, Copy)]
struct Sent {
    actor: ActorId,
    tenure: u64,
}

impl Awake {
    /// It is awake no more; its actor ends when it has done what it is at.
    fn stop(&mut self, order_id: OrderId) {
        let awoken = self.places.remove(order_id);
        self.sleep(awoken);
    }

    /// Puts the least recently used order that nobody waits for to sleep.
    fn make_room(&mut self) -> bool {
        let idle = self.places.longest_idle();
        self.sleep(idle)
    }

    /// Whether this is the actor of the order.
    fn has(&self, order_id: OrderId, id: ActorId) -> bool {
        self.places.get(order_id).is_some_and(|awoken| awoken.actor.get_id() == id)
    }

    fn sleep(&mut self, awoken: Option<Awoken>) -> bool {
        let slept = awoken.map(|awoken| {
            self.orders.remove(&awoken.actor.get_id());
            awoken.actor.stop(None);
        });
        slept.is_some()
    }
}

impl Shared {
    fn awake(&self) -> MutexGuard<'_, Awake> {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a shard is not answered for here.
    pub(super) fn not_owner(&self, shard: u16) -> Refusal {
        let ownership = self.journal.ownership();
        let ownership = ownership.borrow();
        match ownership.frozen(shard) {
            Some(reason) => Refusal::Frozen { shard, reason },
            None => Refusal::NotOwner { shard, owner: ownership.elsewhere(shard) },
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether an unknown order may be placed without reading first. A wrong guess costs its whole
    /// batch another statement, so after one they are read for a while: somebody may be repeating
    /// much.
    pub(super) fn presumes_absent(&self) -> bool {
        let last = self.presumed_wrongly.load(Ordering::Relaxed);
        last == 0 || self.millis().saturating_sub(last) > READ_FIRST_FOR
    }

    /// Such an order did exist.
    pub(super) fn presumed_wrongly(&self) {
        self.presumed_wrongly.store(self.millis().max(1), Ordering::Relaxed);
    }

    /// A call waits no more for an order.
    pub(super) fn done(&self, order_id: OrderId, ticket: u64) {
        self.awake().places.done(order_id, ticket);
    }

    /// Lets an order sleep unless somebody has come to wait for it meanwhile.
    pub(super) fn sleep_if_unwanted(&self, order_id: OrderId, myself: &ActorRef<Message>) {
        let mut awake = self.awake();
        if awake.has(order_id, myself.get_id()) && awake.places.is_idle(order_id) {
            awake.stop(order_id);
        }
    }

    /// Forgets an actor that died or must die, unless another has taken its place already.
    pub(super) fn bury(&self, order_id: OrderId, id: ActorId, stop: Option<&ActorRef<Message>>) {
        let mut awake = self.awake();
        if awake.has(order_id, id) {
            awake.places.remove(order_id);
            awake.orders.remove(&id);
        }
        drop(awake);
        if let Some(actor) = stop {
            actor.stop(None);
        }
    }

    /// The order behind an actor, while it is known.
    pub(super) fn order_of(&self, id: ActorId) -> Option<OrderId> {
        self.awake().orders.get(&id).copied()
    }
}

impl Registry {
    /// A registry over this journal; must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] where the supervisor cannot be started.
    pub async fn start(
        journal: Journal,
        clock: Arc<dyn Clock>,
        policy: Policy,
        limits: Limits,
    ) -> Result<Self, Refusal> {
        let (supervisor, _) = Supervisor::spawn(None, Supervisor, ())
            .await
            .map_err(|error| Refusal::Unavailable(error.to_string()))?;
        let shared = Arc::new(Shared {
            journal,
            clock,
            policy,
            limits,
            awake: Mutex::default(),
            supervisor: supervisor.get_cell(),
            started: Instant::now(),
            presumed_wrongly: AtomicU64::new(0),
        });
        let known = supervisor.cast(Arc::downgrade(&shared));
        known.map_err(|error| Refusal::Unavailable(error.to_string()))?;
        Ok(Self { shared })
    }

    /// Has an order carry out a command.
    ///
    /// # Errors
    /// [`Refusal`] says why there is no new version.
    pub async fn execute(
        &self,
        order_id: OrderId,
        command: Command,
        context: Context,
    ) -> Result<Executed, Refusal> {
        // Before it is asked whether there is such an order, or of which version.
        command.may(&context.by)?;
        let (deadline, role) = (context.deadline, context.by.role());
        let (command, context) = (Box::new(command), Box::new(context));
        let (reply, answer) = oneshot::channel();
        let (begun, sent) = self.send(order_id, role, |permit| {
            let begun = permit.begun();
            (Message::Execute { command, context, permit, reply }, begun)
        })?;
        let outcome = self.answer(order_id, answer, &begun, sent, deadline).await;
        match &outcome {
            // What was appended was fenced.
            Ok(executed) if !executed.events.is_empty() => outcome,
            Ok(_) | Err(Refusal::Rejected(_) | Refusal::VersionMismatch { .. }) => {
                self.still_ours(order_id, sent)?;
                outcome
            }
            Err(_) => outcome,
        }
    }

    /// Shows an order to somebody who may see it.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] where it does not exist or is somebody else's; other [`Refusal`]s.
    pub async fn view(&self, order_id: OrderId, by: &By) -> Result<View, Refusal> {
        let deadline = Instant::now() + limits::REACTION_DEADLINE;
        let (reply, answer) = oneshot::channel();
        let (begun, sent) = self.send(order_id, by.role(), |permit| {
            let begun = permit.begun();
            (Message::View { by: by.clone(), permit, reply }, begun)
        })?;
        let view = self.answer(order_id, answer, &begun, sent, deadline).await?;
        self.still_ours(order_id, sent)?;
        if view.order.details().is_some_and(|details| by.owns(details)) {
            Ok(view)
        } else {
            Err(Rejection::NotFound.into())
        }
    }

    /// Whether orders of this id are answered for here.
    #[must_use]
    pub fn is_here(&self, order_id: OrderId) -> bool {
        let journal = &self.shared.journal;
        journal.tenure(journal.shard_of(order_id)).is_some()
    }

    /// Whether an answer that appended nothing still counts: between the question and now another
    /// node may have gone on with the order.
    fn still_ours(&self, order_id: OrderId, sent: Sent) -> Result<(), Refusal> {
        let shard = self.shared.journal.shard_of(order_id);
        if self.shared.journal.tenure(shard) == Some(sent.tenure) {
            Ok(())
        } else {
            Err(self.shared.not_owner(shard))
        }
    }

    /// How many orders are awake.
    #[must_use]
    pub fn awake(&self) -> usize {
        self.shared.awake().places.len()
    }

    /// Whether the journal was ever set back: then somebody may remember orders that it does not hold.
    pub(crate) async fn was_set_back(&self) -> bool {
        let chronicle = self.shared.journal.chronicle().await;
        chronicle.ok().flatten().is_some_and(|chronicle| chronicle.incarnation > 1)
    }

    /// Puts orders to sleep that nobody spoke to for long.
    pub fn sweep(&self) {
        let Some(since) = Instant::now().checked_sub(self.shared.limits.idle_max) else { return };
        let mut awake = self.shared.awake();
        while let Some(idle) = awake.places.idle_since(since) {
            awake.sleep(Some(idle));
        }
    }

    /// Stops every order; those at work finish the command they are at.
    pub fn stop(&self) {
        let mut awake = self.shared.awake();
        for awoken in awake.places.take_all() {
            awake.sleep(Some(awoken));
        }
        drop(awake);
        self.shared.supervisor.stop(None);
    }

    /// Everything that must not be torn apart happens under the lock: the slot is found or made,
    /// a place in its queue taken and the message sent, so that no order falls asleep in between.
    /// Whoever finds no place is refused before anything is woken for them, and by counts: what a
    /// refusal costs does not depend on how many are awake or wait.
    fn send<R>(
        &self,
        order_id: OrderId,
        role: Role,
        message: impl FnOnce(Permit) -> (Message, R),
    ) -> Result<(R, Sent), Refusal> {
        let shard = self.shared.journal.shard_of(order_id);
        let tenure =
            self.shared.journal.tenure(shard).ok_or_else(|| self.shared.not_owner(shard))?;
        let mut awake = self.shared.awake();
        if awake.places.waiting() >= self.shared.limits.calls_max_of(role) {
            return Err(Refusal::Overloaded);
        }
        let known = awake.places.get(order_id).map(|awoken| awoken.tenure);
        if known != Some(tenure) {
            // Either it sleeps, or the shard was elsewhere meanwhile and this one knows nothing of that.
            awake.stop(order_id);
            self.wake(&mut awake, order_id, tenure)?;
        }
        let actor = awake.places.get(order_id).map(|awoken| awoken.actor.clone());
        let ticket = awake.places.wait_for(order_id, self.shared.limits.waiting_max);
        let (Some(actor), Some(ticket)) = (actor, ticket) else { return Err(Refusal::Overloaded) };
        let permit = Permit::new(Arc::clone(&self.shared), order_id, ticket);
        let (message, kept) = message(permit);
        let undelivered = actor.cast(message);
        if undelivered.is_err() {
            awake.stop(order_id);
        }
        // Before the permit in it is dropped, which takes the lock.
        drop(awake);
        match undelivered {
            Ok(()) => Ok((kept, Sent { actor: actor.get_id(), tenure })),
            Err(_) => Err(Refusal::Unavailable("the order is being rebuilt".to_owned())),
        }
    }

    fn wake(&self, awake: &mut Awake, order_id: OrderId, tenure: u64) -> Result<(), Refusal> {
        if awake.places.len() >= self.shared.limits.awake_max && !awake.make_room() {
            return Err(Refusal::Overloaded);
        }
        let handler = OrderActor { shared: Arc::clone(&self.shared) };
        let supervisor = self.shared.supervisor.clone();
        let (actor, _) =
            ActorRuntime::spawn_linked_instant(None, handler, (order_id, tenure), supervisor)
                .map_err(|error| Refusal::Unavailable(error.to_string()))?;
        awake.orders.insert(actor.get_id(), order_id);
        awake.places.add(order_id, Awoken { actor, tenure });
        Ok(())
    }

    /// Waits for an answer. Where the actor died without one, nothing is guessed: a message it had
    /// not begun surely did nothing, one it had begun may have been appended.
    async fn answer<T>(
        &self,
        order_id: OrderId,
        answer: oneshot::Receiver<Result<T, Refusal>>,
        begun: &AtomicBool,
        sent: Sent,
        deadline: Instant,
    ) -> Result<T, Refusal> {
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                self.shared.bury(order_id, sent.actor, None);
                Err(if begun.load(Ordering::Acquire) {
                    Refusal::OutcomeUnknown("the order's actor died".to_owned())
                } else {
                    Refusal::Unavailable("the order is being rebuilt".to_owned())
                })
            }
            Err(_) if begun.load(Ordering::Acquire) => {
                Err(Refusal::OutcomeUnknown("no answer within the deadline".to_owned()))
            }
            Err(_) => Err(Refusal::DeadlineExceeded),
        }
    }
}
