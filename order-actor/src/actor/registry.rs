use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ractor::{Actor as _, ActorCell, ActorId, ActorRef, ActorRuntime};
use shared_events::contract::OrderId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::mailbox::{Context, Executed, Message, Permit, Refusal, View};
use super::order_actor::OrderActor;
use super::supervisor::Supervisor;
use crate::domain::{By, Command, Policy, Rejection, Role};
use crate::journal::Journal;
use crate::limits;
use crate::timers::Clock;

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
    /// How long an order may stay awake that nobody speaks to.
    pub idle_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            awake_max: limits::ORDERS_AWAKE_MAX,
            waiting_max: limits::COMMANDS_WAITING_MAX,
            idle_max: limits::IDLE_MAX,
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
    slots: HashMap<OrderId, Slot>,
    orders: HashMap<ActorId, OrderId>,
    /// Least recently used first.
    by_use: BTreeMap<u64, OrderId>,
    uses: u64,
}

struct Slot {
    actor: ActorRef<Message>,
    /// Of its shard, in which it was woken: in another one it may have missed something.
    tenure: u64,
    waiting: Arc<AtomicUsize>,
    used: u64,
    used_at: Instant,
}

/// To whom a message went.
#[derive(Clone, Copy)]
struct Sent {
    actor: ActorId,
    tenure: u64,
}

impl Awake {
    fn touch(&mut self, order_id: OrderId) {
        self.uses += 1;
        if let Some(slot) = self.slots.get_mut(&order_id) {
            self.by_use.remove(&slot.used);
            slot.used = self.uses;
            slot.used_at = Instant::now();
            self.by_use.insert(self.uses, order_id);
        }
    }

    fn remove(&mut self, order_id: OrderId) -> Option<Slot> {
        let slot = self.slots.remove(&order_id)?;
        self.by_use.remove(&slot.used);
        self.orders.remove(&slot.actor.get_id());
        Some(slot)
    }

    /// Puts the least recently used order that nobody waits for to sleep.
    fn make_room(&mut self) -> bool {
        let idle = self.by_use.values().copied().find(|order_id| {
            self.slots.get(order_id).is_some_and(|slot| slot.waiting.load(Ordering::Acquire) == 0)
        });
        idle.and_then(|order_id| self.remove(order_id)).map(|slot| slot.actor.stop(None)).is_some()
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

    /// Lets an order sleep unless somebody has come to wait for it meanwhile.
    pub(super) fn sleep_if_unwanted(&self, order_id: OrderId, myself: &ActorRef<Message>) {
        let mut awake = self.awake();
        let unwanted = awake.slots.get(&order_id).is_some_and(|slot| {
            slot.actor.get_id() == myself.get_id() && slot.waiting.load(Ordering::Acquire) == 0
        });
        if unwanted && let Some(slot) = awake.remove(order_id) {
            slot.actor.stop(None);
        }
    }

    /// Forgets an actor that died or must die, unless another has taken its place already.
    pub(super) fn bury(&self, order_id: OrderId, id: ActorId, stop: Option<&ActorRef<Message>>) {
        let mut awake = self.awake();
        if awake.slots.get(&order_id).is_some_and(|slot| slot.actor.get_id() == id) {
            awake.remove(order_id);
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
        let deadline = context.deadline;
        let (command, context) = (Box::new(command), Box::new(context));
        let (reply, answer) = oneshot::channel();
        let (begun, sent) = self.send(order_id, |permit| {
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
        let (begun, sent) = self.send(order_id, |permit| {
            let begun = permit.begun();
            (Message::View { permit, reply }, begun)
        })?;
        let view = self.answer(order_id, answer, &begun, sent, deadline).await?;
        self.still_ours(order_id, sent)?;
        let visible = view.order.details().is_some_and(|details| {
            by.role != Role::Customer || details.customer_id.to_string() == by.subject
        });
        if visible { Ok(view) } else { Err(Rejection::NotFound.into()) }
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
        self.shared.awake().slots.len()
    }

    /// Whether the journal was ever set back: then somebody may remember orders that it does not hold.
    pub(crate) async fn was_set_back(&self) -> bool {
        let chronicle = self.shared.journal.chronicle().await;
        chronicle.ok().flatten().is_some_and(|chronicle| chronicle.incarnation > 1)
    }

    /// Puts orders to sleep that nobody spoke to for long.
    pub fn sweep(&self) {
        let mut awake = self.shared.awake();
        let idle: Vec<OrderId> = awake
            .by_use
            .values()
            .copied()
            .take_while(|order_id| {
                awake
                    .slots
                    .get(order_id)
                    .is_some_and(|slot| slot.used_at.elapsed() >= self.shared.limits.idle_max)
            })
            .filter(|order_id| {
                awake
                    .slots
                    .get(order_id)
                    .is_some_and(|slot| slot.waiting.load(Ordering::Acquire) == 0)
            })
            .collect();
        for order_id in idle {
            if let Some(slot) = awake.remove(order_id) {
                slot.actor.stop(None);
            }
        }
    }

    /// Stops every order; those at work finish the command they are at.
    pub fn stop(&self) {
        let mut awake = self.shared.awake();
        for slot in std::mem::take(&mut *awake).slots.into_values() {
            slot.actor.stop(None);
        }
        drop(awake);
        self.shared.supervisor.stop(None);
    }

    /// Everything that must not be torn apart happens under the lock: the slot is found or made,
    /// a place in its queue taken and the message sent, so that no order falls asleep in between.
    fn send<R>(
        &self,
        order_id: OrderId,
        message: impl FnOnce(Permit) -> (Message, R),
    ) -> Result<(R, Sent), Refusal> {
        let shard = self.shared.journal.shard_of(order_id);
        let tenure =
            self.shared.journal.tenure(shard).ok_or_else(|| self.shared.not_owner(shard))?;
        let mut awake = self.shared.awake();
        match awake.slots.get(&order_id) {
            Some(slot) if slot.tenure == tenure => {}
            Some(_) => {
                // The shard was elsewhere meanwhile, and this one knows nothing of that.
                if let Some(slot) = awake.remove(order_id) {
                    slot.actor.stop(None);
                }
                self.wake(&mut awake, order_id, tenure)?;
            }
            None => self.wake(&mut awake, order_id, tenure)?,
        }
        let slot = awake.slots.get(&order_id).ok_or(Refusal::Overloaded)?;
        let permit = Permit::take(&slot.waiting, self.shared.limits.waiting_max)
            .ok_or(Refusal::Overloaded)?;
        let actor = slot.actor.clone();
        awake.touch(order_id);
        let (message, kept) = message(permit);
        if actor.cast(message).is_err() {
            awake.remove(order_id);
            return Err(Refusal::Unavailable("the order is being rebuilt".to_owned()));
        }
        Ok((kept, Sent { actor: actor.get_id(), tenure }))
    }

    fn wake(&self, awake: &mut Awake, order_id: OrderId, tenure: u64) -> Result<(), Refusal> {
        if awake.slots.len() >= self.shared.limits.awake_max && !awake.make_room() {
            return Err(Refusal::Overloaded);
        }
        let handler = OrderActor { shared: Arc::clone(&self.shared) };
        let supervisor = self.shared.supervisor.clone();
        let (actor, _) =
            ActorRuntime::spawn_linked_instant(None, handler, (order_id, tenure), supervisor)
                .map_err(|error| Refusal::Unavailable(error.to_string()))?;
        awake.orders.insert(actor.get_id(), order_id);
        let slot =
            Slot { actor, tenure, waiting: Arc::default(), used: 0, used_at: Instant::now() };
        awake.slots.insert(order_id, slot);
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
