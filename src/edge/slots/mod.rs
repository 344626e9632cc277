//! Fair scheduling of calls. A bounded number is executed at a time; the others wait in one queue
//! per caller, and the queues are served round robin. A caller that floods delays its own calls;
//! others wait no longer than a moment.
//! Never here: what a call means.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::edge::shares::Caller;

/// Calls and commands executed at the same time. Enough for the journal to group what it appends;
/// more would only wait further inside, where there are no fair queues.
const RUNNING_MAX: usize = 512;
/// Slots of these reserved for services and operators.
const RESERVED: usize = 128;
/// Slots of one caller.
const PER_CALLER_MAX: usize = 256;
/// Slots of one customer or unauthenticated caller while others call: a flood has at most this many
/// ahead of the others.
const PER_CALLER_MAX_CONTENDED: usize = 16;
/// Cancelled entries are removed from a queue of this length, and again when it has doubled since.
const CLEAN_UP_AT: usize = 4_096;
/// A call that waits longer for its slot is refused and asked to retry.
const SLOT_WITHIN: Duration = Duration::from_secs(2);
/// A caller counts as calling for this long after its last call.
const CONTENDED_FOR: Duration = Duration::from_secs(1);

/// The scheduler. Clones share its state.
#[derive(Clone, Default)]
pub struct Slots(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    running: usize,
    open_running: usize,
    queues: HashMap<Caller, Queue>,
    /// Callers with waiting calls that may start one more: those with reserved slots, and the
    /// others.
    reserved: VecDeque<Caller>,
    open: VecDeque<Caller>,
    /// Whether `open` is served first next time.
    open_first: bool,
    /// The two latest different callers, with the times of their calls.
    last: Option<(Caller, Instant)>,
    before: Option<(Caller, Instant)>,
}

#[derive(Default)]
struct Queue {
    running: usize,
    waiting: VecDeque<oneshot::Sender<()>>,
    /// The length at which cancelled entries are removed next.
    clean_up_at: usize,
    /// Whether it is in `reserved` or `open`.
    listed: bool,
}

impl State {
    fn note_call(&mut self, caller: &Caller) {
        let now = Instant::now();
        match &mut self.last {
            Some((last, at)) if last == caller => *at = now,
            last => {
                self.before = last.take();
                self.last = Some((caller.clone(), now));
            }
        }
    }

    fn is_contended(&self, caller: &Caller) -> bool {
        [&self.last, &self.before]
            .into_iter()
            .flatten()
            .any(|(known, at)| known != caller && at.elapsed() < CONTENDED_FOR)
    }

    fn limit(&self, caller: &Caller) -> usize {
        let alone = caller.has_reserve() || !self.is_contended(caller);
        if alone { PER_CALLER_MAX } else { PER_CALLER_MAX_CONTENDED }
    }

    /// Appends a caller to its list if it has waiting calls and is not listed yet.
    fn list(&mut self, caller: &Caller) {
        let Some(queue) = self.queues.get_mut(caller) else { return };
        if queue.listed || queue.waiting.is_empty() {
            return;
        }
        queue.listed = true;
        let list = if caller.has_reserve() { &mut self.reserved } else { &mut self.open };
        list.push_back(caller.clone());
    }

    /// Takes the next caller to serve from the lists.
    fn next(&mut self) -> Option<Caller> {
        if self.running >= RUNNING_MAX {
            return None;
        }
        let open = if self.open_running < RUNNING_MAX - RESERVED { self.open.len() } else { 0 };
        let from_open = open > 0 && (self.open_first || self.reserved.is_empty());
        self.open_first = !from_open;
        let caller = if from_open { self.open.pop_front() } else { self.reserved.pop_front() }?;
        if let Some(queue) = self.queues.get_mut(&caller) {
            queue.listed = false;
        }
        Some(caller)
    }

    /// Gives free slots to waiting calls.
    fn serve(&mut self) {
        while let Some(caller) = self.next() {
            let limit = self.limit(&caller);
            let Some(queue) = self.queues.get_mut(&caller) else { continue };
            if queue.running >= limit {
                // Listed again when one of its calls is done.
                continue;
            }
            while let Some(waiting) = queue.waiting.pop_front() {
                // A cancelled call needs no slot.
                if waiting.send(()).is_ok() {
                    queue.running += 1;
                    self.running += 1;
                    self.open_running += usize::from(!caller.has_reserve());
                    break;
                }
            }
            self.list(&caller);
            self.forget(&caller);
        }
    }

    /// Starts a call immediately if a slot is free and no call waits.
    fn try_begin(&mut self, caller: &Caller) -> bool {
        let open = !caller.has_reserve();
        let full =
            self.running >= RUNNING_MAX || (open && self.open_running >= RUNNING_MAX - RESERVED);
        if full || !self.reserved.is_empty() || !self.open.is_empty() {
            return false;
        }
        let limit = self.limit(caller);
        let queue = self.queues.entry(caller.clone()).or_default();
        if queue.running >= limit || !queue.waiting.is_empty() {
            return false;
        }
        queue.running += 1;
        self.running += 1;
        self.open_running += usize::from(open);
        true
    }

    fn wait(&mut self, caller: &Caller) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let queue = self.queues.entry(caller.clone()).or_default();
        if queue.waiting.len() >= queue.clean_up_at.max(CLEAN_UP_AT) {
            queue.waiting.retain(|one| !one.is_closed());
            queue.clean_up_at = queue.waiting.len().saturating_mul(2);
        }
        queue.waiting.push_back(sender);
        self.list(caller);
        self.serve();
        receiver
    }

    fn forget(&mut self, caller: &Caller) {
        let empty = |queue: &Queue| queue.running == 0 && queue.waiting.is_empty() && !queue.listed;
        if self.queues.get(caller).is_some_and(empty) {
            self.queues.remove(caller);
        }
    }

    fn done(&mut self, caller: &Caller) {
        self.running = self.running.saturating_sub(1);
        self.open_running = self.open_running.saturating_sub(usize::from(!caller.has_reserve()));
        if let Some(queue) = self.queues.get_mut(caller) {
            queue.running = queue.running.saturating_sub(1);
        }
        self.list(caller);
        self.serve();
        self.forget(caller);
    }
}

impl Slots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot. A dropped call leaves its queue.
    pub async fn slot(&self, caller: &Caller) -> Slot {
        let receiver = {
            let mut state = self.state();
            state.note_call(caller);
            if state.try_begin(caller) { None } else { Some(state.wait(caller)) }
        };
        if let Some(receiver) = receiver {
            let mut waiting = Waiting { slots: self.clone(), caller: caller.clone(), receiver };
            // The sender lives as long as the queue.
            let _ = (&mut waiting.receiver).await;
        }
        Slot { slots: self.clone(), caller: caller.clone() }
    }

    /// A slot for a call; none if it takes too long.
    pub(super) async fn of_call(&self, caller: &Caller) -> Option<CallSlot> {
        let slot = timeout(SLOT_WITHIN, self.slot(caller)).await.ok()?;
        let (slots, caller) = (self.clone(), caller.clone());
        Some(CallSlot(Arc::new(OfCall { slot: Mutex::new(Some(slot)), slots, caller })))
    }
}

/// The slot of a call, passed along with its request. A call that is forwarded to another process
/// waits for a slot there and holds none here meanwhile, so that two processes cannot deadlock.
/// Clones share the slot.
#[derive(Clone)]
pub struct CallSlot(Arc<OfCall>);

struct OfCall {
    slot: Mutex<Option<Slot>>,
    slots: Slots,
    caller: Caller,
}

impl CallSlot {
    fn slot(&self) -> MutexGuard<'_, Option<Slot>> {
        self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Releases the slot.
    pub fn end(&self) {
        // Dropped outside this lock: dropping takes the scheduler's lock.
        let slot = self.slot().take();
        drop(slot);
    }

    /// Waits for another slot; returns whether it came in time.
    pub async fn again(&self) -> bool {
        let slot = timeout(SLOT_WITHIN, self.0.slots.slot(&self.0.caller)).await.ok();
        let came = slot.is_some();
        *self.slot() = slot;
        came
    }
}

/// A place in a queue, given up on drop.
struct Waiting {
    slots: Slots,
    caller: Caller,
    receiver: oneshot::Receiver<()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.receiver.close();
        // The slot arrived in the moment when the call stopped waiting.
        if self.receiver.try_recv().is_ok() {
            self.slots.state().done(&self.caller);
        }
    }
}

/// A slot in use, released on drop.
pub struct Slot {
    slots: Slots,
    caller: Caller,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.state().done(&self.caller);
    }
}

#[cfg(test)]
mod tests;
