//! Whose call is carried out next. So many are carried out at a time; the others wait, each caller in a
//! line of its own, and the lines are served in turn. A caller that floods waits for itself and for
//! nobody else waits longer than a moment.
//! Never here: what a call is about.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::edge::shares::Caller;

/// Calls and commands that are carried out at once. Enough for the journal to group what it appends;
/// more would only wait further inside, where nobody is served in turn.
const AT_ONCE: usize = 512;
/// Those of them that are kept for services and operators.
const KEPT: usize = 128;
/// Of one caller.
const OF_ONE: usize = 256;
/// Of one customer, or stranger, while others call: a flood has this many before everybody else.
const OF_ONE_AMONG_OTHERS: usize = 16;
/// In a line that is as long as this those are looked for who have gone, and again when it is twice as
/// long as it was then.
const WAITING_LOOKED_AT: usize = 4_096;
/// A call that waits longer for its slot is told to come again: what is carried out is carried out in
/// time.
const SLOT_WITHIN: Duration = Duration::from_secs(2);
/// Others call who called so long ago at most.
const AMONG_OTHERS: Duration = Duration::from_secs(1);

/// The lines. Clones are the same.
#[derive(Clone, Default)]
pub struct Slots(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    running: usize,
    open_running: usize,
    lines: HashMap<Caller, Line>,
    /// Callers that have somebody waiting and may have one more: those for whom a part is kept, and
    /// the others.
    kept: VecDeque<Caller>,
    open: VecDeque<Caller>,
    /// Whose line is looked at first next time.
    open_first: bool,
    /// The two that called last.
    last: Option<(Caller, Instant)>,
    before: Option<(Caller, Instant)>,
}

#[derive(Default)]
struct Line {
    running: usize,
    waiting: VecDeque<oneshot::Sender<()>>,
    /// How long it may be before those are looked for again who have gone.
    looked_at: usize,
    /// Whether it stands among those that may have one more.
    listed: bool,
}

impl State {
    fn called(&mut self, caller: &Caller) {
        let now = Instant::now();
        match &mut self.last {
            Some((last, at)) if last == caller => *at = now,
            last => {
                self.before = last.take();
                self.last = Some((caller.clone(), now));
            }
        }
    }

    fn others_call(&self, caller: &Caller) -> bool {
        [&self.last, &self.before]
            .into_iter()
            .flatten()
            .any(|(known, at)| known != caller && at.elapsed() < AMONG_OTHERS)
    }

    fn most(&self, caller: &Caller) -> usize {
        let alone = caller.is_kept_for() || !self.others_call(caller);
        if alone { OF_ONE } else { OF_ONE_AMONG_OTHERS }
    }

    /// Puts a line among those that may have one more, at the end.
    fn list(&mut self, caller: &Caller) {
        let Some(line) = self.lines.get_mut(caller) else { return };
        if line.listed || line.waiting.is_empty() {
            return;
        }
        line.listed = true;
        let list = if caller.is_kept_for() { &mut self.kept } else { &mut self.open };
        list.push_back(caller.clone());
    }

    /// The next line to be served, taken from its list.
    fn next(&mut self) -> Option<Caller> {
        if self.running >= AT_ONCE {
            return None;
        }
        let open = if self.open_running < AT_ONCE - KEPT { self.open.len() } else { 0 };
        let from_open = open > 0 && (self.open_first || self.kept.is_empty());
        self.open_first = !from_open;
        let caller = if from_open { self.open.pop_front() } else { self.kept.pop_front() }?;
        if let Some(line) = self.lines.get_mut(&caller) {
            line.listed = false;
        }
        Some(caller)
    }

    /// Gives slots to those that may have them.
    fn serve(&mut self) {
        while let Some(caller) = self.next() {
            let most = self.most(&caller);
            let Some(line) = self.lines.get_mut(&caller) else { continue };
            if line.running >= most {
                // Comes back when one of its own is done.
                continue;
            }
            while let Some(waiting) = line.waiting.pop_front() {
                // Who has gone meanwhile needs no slot.
                if waiting.send(()).is_ok() {
                    line.running += 1;
                    self.running += 1;
                    self.open_running += usize::from(!caller.is_kept_for());
                    break;
                }
            }
            self.list(&caller);
            self.forget(&caller);
        }
    }

    /// Where nobody waits and there is room.
    fn begin_at_once(&mut self, caller: &Caller) -> bool {
        let open = !caller.is_kept_for();
        let full = self.running >= AT_ONCE || (open && self.open_running >= AT_ONCE - KEPT);
        if full || !self.kept.is_empty() || !self.open.is_empty() {
            return false;
        }
        let most = self.most(caller);
        let line = self.lines.entry(caller.clone()).or_default();
        if line.running >= most || !line.waiting.is_empty() {
            return false;
        }
        line.running += 1;
        self.running += 1;
        self.open_running += usize::from(open);
        true
    }

    fn wait(&mut self, caller: &Caller) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let line = self.lines.entry(caller.clone()).or_default();
        if line.waiting.len() >= line.looked_at.max(WAITING_LOOKED_AT) {
            line.waiting.retain(|one| !one.is_closed());
            line.looked_at = line.waiting.len().saturating_mul(2);
        }
        line.waiting.push_back(sender);
        self.list(caller);
        self.serve();
        receiver
    }

    fn forget(&mut self, caller: &Caller) {
        let empty = |line: &Line| line.running == 0 && line.waiting.is_empty() && !line.listed;
        if self.lines.get(caller).is_some_and(empty) {
            self.lines.remove(caller);
        }
    }

    fn done(&mut self, caller: &Caller) {
        self.running = self.running.saturating_sub(1);
        self.open_running = self.open_running.saturating_sub(usize::from(!caller.is_kept_for()));
        if let Some(line) = self.lines.get_mut(caller) {
            line.running = line.running.saturating_sub(1);
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

    /// Waits for a slot. Whoever stops waiting leaves the line.
    pub async fn slot(&self, caller: &Caller) -> Slot {
        let receiver = {
            let mut state = self.state();
            state.called(caller);
            if state.begin_at_once(caller) { None } else { Some(state.wait(caller)) }
        };
        if let Some(receiver) = receiver {
            let mut waiting = Waiting { slots: self.clone(), caller: caller.clone(), receiver };
            // It is answered as long as there is a line.
            let _ = (&mut waiting.receiver).await;
        }
        Slot { slots: self.clone(), caller: caller.clone() }
    }

    /// A slot for a call, unless it does not come in time.
    pub(super) async fn of_call(&self, caller: &Caller) -> Option<CallSlot> {
        let slot = timeout(SLOT_WITHIN, self.slot(caller)).await.ok()?;
        Some(CallSlot(Arc::new(Mutex::new(Some(slot))), self.clone(), caller.clone()))
    }
}

/// The slot of a call, which goes along with its request. A call that leaves for another process waits
/// for a slot there and has none here meanwhile: two processes that wait for each other hold nothing.
/// Clones are the same.
#[derive(Clone)]
pub struct CallSlot(Arc<Mutex<Option<Slot>>>, Slots, Caller);

impl CallSlot {
    fn slot(&self) -> MutexGuard<'_, Option<Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room.
    pub fn end(&self) {
        // Outside the lock: it makes room under another.
        let slot = self.slot().take();
        drop(slot);
    }

    /// Waits for another slot; whether it came in time.
    pub async fn again(&self) -> bool {
        let slot = timeout(SLOT_WITHIN, self.1.slot(&self.2)).await.ok();
        let came = slot.is_some();
        *self.slot() = slot;
        came
    }
}

/// A place in a line.
struct Waiting {
    slots: Slots,
    caller: Caller,
    receiver: oneshot::Receiver<()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.receiver.close();
        // The slot came in the moment in which nobody waited for it any more.
        if self.receiver.try_recv().is_ok() {
            self.slots.state().done(&self.caller);
        }
    }
}

/// Is carried out; makes room when it is dropped.
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
