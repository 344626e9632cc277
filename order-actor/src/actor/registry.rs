use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ractor::{Actor as _, ActorCell, ActorId, ActorRef, ActorRuntime};
use shared_events::contract::OrderId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::awake_orders::AwakeOrders;
use super::bounds::Limits;
use super::mailbox::{Context, Executed, Message, Permit, Refusal, View};
use super::meter::{self, Stopped};
use super::order_actor::OrderActor;
use super::supervisor::Supervisor;
use crate::clock::Clock;
use crate::domain::{By, Command, Policy, Rejection, Role};
use crate::journal::{Journal, JournalError};
use crate::limits;

/// How long orders are read first, in milliseconds, after one that was presumed absent existed.
const READ_FIRST_FOR: u64 = 1_000;

/// Finds the actor of an order, or wakes it. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

/// State that all order actors share.
pub(super) struct Shared {
    pub(super) journal: Journal,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) policy: Policy,
    limits: Limits,
    awake: Mutex<Awake>,
    supervisor: ActorCell,
    started: Instant,
    /// When an order that was presumed absent last existed, in milliseconds since the start.
    presumed_wrongly: AtomicU64,
}

#[derive(Default)]
struct Awake {
    by_id: AwakeOrders<AwakeActor>,
    by_actor: HashMap<ActorId, OrderId>,
}

#[derive(Clone)]
struct AwakeActor {
    actor: ActorRef<Message>,
    /// The tenure of its shard in which it was woken. In another tenure its state may be outdated.
    tenure: u64,
}

/// The actor that a message was sent to.
#[derive(Clone, Copy)]
struct Sent {
    actor: ActorId,
    tenure: u64,
}

impl Awake {
    /// Removes the order; its actor stops after its current message.
    fn stop(&mut self, order_id: OrderId, cause: Stopped) {
        let awoken = self.by_id.remove(order_id);
        self.sleep(awoken, cause);
    }

    /// Puts the idle order that was used least recently to sleep.
    fn make_room(&mut self) -> bool {
        let idle = self.by_id.longest_idle();
        self.sleep(idle, Stopped::Room)
    }

    /// Whether this is the actor of the order.
    fn has(&self, order_id: OrderId, id: ActorId) -> bool {
        self.by_id.get(order_id).is_some_and(|awoken| awoken.actor.get_id() == id)
    }

    fn sleep(&mut self, awoken: Option<AwakeActor>, cause: Stopped) -> bool {
        let slept = awoken.map(|awoken| {
            self.by_actor.remove(&awoken.actor.get_id());
            awoken.actor.stop(None);
            meter::stopped(cause);
        });
        slept.is_some()
    }
}

impl Shared {
    fn awake(&self) -> MutexGuard<'_, Awake> {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this node does not serve a shard.
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

    /// Whether an unknown order may be placed without reading it first. A wrong presumption costs
    /// its entire batch another statement; after one, orders are read first for a while.
    pub(super) fn presumes_absent(&self) -> bool {
        let last = self.presumed_wrongly.load(Ordering::Relaxed);
        last == 0 || self.millis().saturating_sub(last) > READ_FIRST_FOR
    }

    /// Records that an order that was presumed absent exists.
    pub(super) fn presumption_failed(&self) {
        self.presumed_wrongly.store(self.millis().max(1), Ordering::Relaxed);
    }

    /// A call no longer waits for an order.
    pub(super) fn done(&self, order_id: OrderId, ticket: u64) {
        self.awake().by_id.done(order_id, ticket);
    }

    /// Puts an order to sleep unless a call waits for it by now.
    pub(super) fn sleep_if_idle(&self, order_id: OrderId, myself: &ActorRef<Message>) {
        let mut awake = self.awake();
        if awake.has(order_id, myself.get_id()) && awake.by_id.is_idle(order_id) {
            awake.stop(order_id, Stopped::Idle);
        }
    }

    /// Removes an actor that died or must stop, unless another one has replaced it already.
    pub(super) fn remove_actor(
        &self,
        order_id: OrderId,
        id: ActorId,
        stop: Option<&ActorRef<Message>>,
    ) {
        let mut awake = self.awake();
        if awake.has(order_id, id) {
            awake.by_id.remove(order_id);
            awake.by_actor.remove(&id);
            meter::stopped(if stop.is_some() { Stopped::Doubt } else { Stopped::Died });
        }
        drop(awake);
        if let Some(actor) = stop {
            actor.stop(None);
        }
    }

    /// The order behind an actor, while it is known.
    pub(super) fn order_of(&self, id: ActorId) -> Option<OrderId> {
        self.awake().by_actor.get(&id).copied()
    }
}

impl Registry {
    /// A registry over this journal; must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] if the supervisor cannot be started.
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

    /// Makes an order execute a command.
    ///
    /// # Errors
    /// [`Refusal`] says why there is no new version.
    pub async fn execute(
        &self,
        order_id: OrderId,
        command: Command,
        context: Context,
    ) -> Result<Executed, Refusal> {
        let began = meter::Began::of(&command, &context);
        let outcome = self.executed(order_id, command, context).await;
        began.ended(&outcome);
        outcome
    }

    async fn executed(
        &self,
        order_id: OrderId,
        command: Command,
        context: Context,
    ) -> Result<Executed, Refusal> {
        // Before the existence or the version of the order is checked.
        command.authorize(&context.by)?;
        let (deadline, role) = (context.deadline, context.by.role());
        let (command, context) = (Box::new(command), Box::new(context));
        let (reply, answer) = oneshot::channel();
        let (begun, sent) = self.send(order_id, role, |permit| {
            let begun = permit.begun();
            (Message::Execute { command, context, permit, reply }, begun)
        })?;
        let outcome = self.answer(order_id, answer, &begun, sent, deadline).await;
        match &outcome {
            // An append was fenced by the shard's epoch.
            Ok(executed) if !executed.events.is_empty() => outcome,
            Ok(_) | Err(Refusal::Rejected(_) | Refusal::VersionMismatch { .. }) => {
                self.check_tenure(order_id, sent)?;
                outcome
            }
            Err(_) => outcome,
        }
    }

    /// The current state of an order that the caller may see.
    ///
    /// # Errors
    /// [`Rejection::NotFound`] if it does not exist or is another customer's; other [`Refusal`]s.
    pub async fn view(&self, order_id: OrderId, by: &By) -> Result<View, Refusal> {
        let deadline = Instant::now() + limits::REACTION_DEADLINE;
        let (reply, answer) = oneshot::channel();
        let (begun, sent) = self.send(order_id, by.role(), |permit| {
            let begun = permit.begun();
            (Message::View { by: by.clone(), permit, reply }, begun)
        })?;
        let view = self.answer(order_id, answer, &begun, sent, deadline).await?;
        self.check_tenure(order_id, sent)?;
        if view.order.details().is_some_and(|details| by.owns(details)) {
            Ok(view)
        } else {
            Err(Rejection::NotFound.into())
        }
    }

    /// Whether this node owns the order's shard.
    #[must_use]
    pub fn is_here(&self, order_id: OrderId) -> bool {
        let journal = &self.shared.journal;
        journal.tenure(journal.shard_of(order_id)).is_some()
    }

    /// Checks that an answer without an append is still valid: another node may own the order now.
    fn check_tenure(&self, order_id: OrderId, sent: Sent) -> Result<(), Refusal> {
        let shard = self.shared.journal.shard_of(order_id);
        if self.shared.journal.tenure(shard) == Some(sent.tenure) {
            Ok(())
        } else {
            Err(self.shared.not_owner(shard))
        }
    }

    /// The number of awake orders.
    #[must_use]
    pub fn awake(&self) -> usize {
        self.shared.awake().by_id.len()
    }

    /// Whether the journal was ever set back: others may remember orders that it does not hold.
    ///
    /// # Errors
    /// [`JournalError`] where that cannot be read now.
    pub(crate) async fn was_set_back(&self) -> Result<bool, JournalError> {
        let chronicle = self.shared.journal.chronicle().await?;
        Ok(chronicle.is_some_and(|chronicle| chronicle.incarnation > 1))
    }

    /// The incarnation of the journal, as read at most a second ago; 1 for one that was never set
    /// back.
    pub(crate) fn incarnation(&self) -> u64 {
        self.shared.journal.history().map_or(1, |history| history.incarnation)
    }

    /// Puts orders to sleep that have been idle for long.
    pub fn sweep(&self) {
        let Some(since) = Instant::now().checked_sub(self.shared.limits.idle_max) else { return };
        let mut awake = self.shared.awake();
        while let Some(idle) = awake.by_id.idle_since(since) {
            awake.sleep(Some(idle), Stopped::Idle);
        }
    }

    /// Stops every order after its current command.
    pub fn stop(&self) {
        let mut awake = self.shared.awake();
        for awoken in awake.by_id.take_all() {
            awake.sleep(Some(awoken), Stopped::Drained);
        }
        drop(awake);
        self.shared.supervisor.stop(None);
    }

    /// Finds or wakes the order, takes a place in its queue and sends the message, all under one
    /// lock, so that no order falls asleep in between. Without a free place the call is refused by
    /// counters alone, before an order is woken: a refusal costs the same however many calls wait.
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
        if awake.by_id.waiting() >= self.shared.limits.calls_max_of(role) {
            return Err(Refusal::Overloaded);
        }
        let known = awake.by_id.get(order_id).map(|awoken| awoken.tenure);
        if known != Some(tenure) {
            if known.is_some() {
                // It is outdated because another node owned the shard meanwhile.
                awake.stop(order_id, Stopped::Moved);
            }
            self.wake(&mut awake, order_id, tenure)?;
        }
        let awaited = awake.by_id.wait_for(order_id, self.shared.limits.waiting_max);
        let Some((awoken, ticket)) = awaited else { return Err(Refusal::Overloaded) };
        let actor = awoken.actor.clone();
        let permit = Permit::new(Arc::clone(&self.shared), order_id, ticket);
        let (message, kept) = message(permit);
        let undelivered = actor.cast(message);
        if undelivered.is_err() {
            awake.stop(order_id, Stopped::Died);
        }
        // Unlocks before an undelivered message is dropped: its permit takes the lock.
        drop(awake);
        match undelivered {
            Ok(()) => Ok((kept, Sent { actor: actor.get_id(), tenure })),
            Err(_) => Err(Refusal::Unavailable("the order is being rebuilt".to_owned())),
        }
    }

    fn wake(&self, awake: &mut Awake, order_id: OrderId, tenure: u64) -> Result<(), Refusal> {
        if awake.by_id.len() >= self.shared.limits.awake_max && !awake.make_room() {
            return Err(Refusal::Overloaded);
        }
        let handler = OrderActor { shared: Arc::clone(&self.shared) };
        let supervisor = self.shared.supervisor.clone();
        let (actor, _) =
            ActorRuntime::spawn_linked_instant(None, handler, (order_id, tenure), supervisor)
                .map_err(|error| Refusal::Unavailable(error.to_string()))?;
        awake.by_actor.insert(actor.get_id(), order_id);
        awake.by_id.add(order_id, AwakeActor { actor, tenure });
        Ok(())
    }

    /// Waits for an answer. If the actor died without one, a message that it had not started
    /// certainly appended nothing; for one that it had started the outcome is unknown.
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
                self.shared.remove_actor(order_id, sent.actor, None);
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
