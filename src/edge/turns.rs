//! Whose call is carried out next. So many are carried out at a time; the others wait, each caller in a
//! line of its own, and the lines are served in turn. A caller that floods waits for itself and for
//! nobody else waits longer than a moment.
//! Never here: what a call is about.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::shares::Caller;

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
/// A call that waits longer for its turn is told to come again: what is carried out is carried out in
/// time.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// Others call who called so long ago at most.
const AMONG_OTHERS: Duration = Duration::from_secs(1);

/// The lines. Clones are the same.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<State>>);

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

    /// Gives turns to those that may have them.
    fn serve(&mut self) {
        while let Some(caller) = self.next() {
            let most = self.most(&caller);
            let Some(line) = self.lines.get_mut(&caller) else { continue };
            if line.running >= most {
                // Comes back when one of its own is done.
                continue;
            }
            while let Some(waiting) = line.waiting.pop_front() {
                // Who has gone meanwhile needs no turn.
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

impl Turns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn. Whoever stops waiting leaves the line.
    pub async fn turn(&self, caller: &Caller) -> Turn {
        let receiver = {
            let mut state = self.state();
            state.called(caller);
            if state.begin_at_once(caller) { None } else { Some(state.wait(caller)) }
        };
        if let Some(receiver) = receiver {
            let mut waiting = Waiting { turns: self.clone(), caller: caller.clone(), receiver };
            // It is answered as long as there is a line.
            let _ = (&mut waiting.receiver).await;
        }
        Turn { turns: self.clone(), caller: caller.clone() }
    }

    /// A turn for a call, unless it does not come in time.
    pub(super) async fn of_call(&self, caller: &Caller) -> Option<TurnOfCall> {
        let turn = timeout(TURN_WITHIN, self.turn(caller)).await.ok()?;
        Some(TurnOfCall(Arc::new(Mutex::new(Some(turn))), self.clone(), caller.clone()))
    }
}

/// The turn of a call, which goes along with its request. A call that leaves for another process waits
/// for a turn there and has none here meanwhile: two processes that wait for each other hold nothing.
/// Clones are the same.
#[derive(Clone)]
pub struct TurnOfCall(Arc<Mutex<Option<Turn>>>, Turns, Caller);

impl TurnOfCall {
    fn turn(&self) -> MutexGuard<'_, Option<Turn>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room.
    pub fn end(&self) {
        // Outside the lock: it makes room under another.
        let turn = self.turn().take();
        drop(turn);
    }

    /// Waits for another turn; whether it came in time.
    pub async fn again(&self) -> bool {
        let turn = timeout(TURN_WITHIN, self.1.turn(&self.2)).await.ok();
        let came = turn.is_some();
        *self.turn() = turn;
        came
    }
}

/// A place in a line.
struct Waiting {
    turns: Turns,
    caller: Caller,
    receiver: oneshot::Receiver<()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.receiver.close();
        // The turn came in the moment in which nobody waited for it any more.
        if self.receiver.try_recv().is_ok() {
            self.turns.state().done(&self.caller);
        }
    }
}

/// Is carried out; makes room when it is dropped.
pub struct Turn {
    turns: Turns,
    caller: Caller,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.state().done(&self.caller);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use order_actor::domain::Role;
    use proptest::prelude::*;
    use tokio::task::unconstrained;

    use super::*;

    fn known(role: Role, name: &str) -> Caller {
        Caller::Known(role, Arc::from(name))
    }

    #[tokio::test]
    async fn a_flood_waits_for_itself() {
        let turns = Turns::default();
        let (flood, other) = (known(Role::Customer, "flood"), known(Role::Customer, "other"));
        let alone: Vec<Turn> =
            std::iter::from_fn(|| unconstrained(turns.turn(&flood)).now_or_never())
                .take(1_000)
                .collect();
        assert_eq!(alone.len(), OF_ONE);
        assert!(unconstrained(turns.turn(&other)).now_or_never().is_some());
        drop(alone);
        let among: Vec<Turn> =
            std::iter::from_fn(|| unconstrained(turns.turn(&flood)).now_or_never())
                .take(1_000)
                .collect();
        assert_eq!(among.len(), OF_ONE_AMONG_OTHERS);
        assert!(unconstrained(turns.turn(&known(Role::Ops, "anna"))).now_or_never().is_some());
    }

    #[tokio::test]
    async fn many_floods_leave_room_for_services_and_are_served_in_turn() {
        let turns = Turns::default();
        let customers: Vec<Caller> =
            (0..100).map(|number| known(Role::Customer, &number.to_string())).collect();
        let mut running = Vec::new();
        for customer in &customers {
            running.extend(
                std::iter::from_fn(|| unconstrained(turns.turn(customer)).now_or_never()).take(50),
            );
        }
        assert_eq!(running.len(), AT_ONCE - KEPT);
        assert!(unconstrained(turns.turn(&known(Role::Service, "shop"))).now_or_never().is_some());
        // Two that wait are served one after the other, whoever came first.
        let (first, second) = (customers[98].clone(), customers[99].clone());
        let mut waiting: Vec<_> = [&first, &first, &second]
            .into_iter()
            .map(|caller| Box::pin(unconstrained(turns.turn(caller))))
            .collect();
        for one in &mut waiting {
            assert!(futures::poll!(one.as_mut()).is_pending());
        }
        running.truncate(running.len() - 2);
        let (mut ready, mut begun) = (Vec::new(), Vec::new());
        for one in &mut waiting {
            let polled = futures::poll!(one.as_mut());
            ready.push(polled.is_ready());
            begun.push(polled);
        }
        assert_eq!(ready, [true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_leaves_has_no_turn_until_it_is_back() {
        let turns = Turns::default();
        let shop = known(Role::Service, "shop");
        let mut calls = Vec::new();
        for _ in 0..OF_ONE {
            calls.push(turns.of_call(&shop).await.unwrap());
        }
        assert!(turns.of_call(&shop).await.is_none());
        let left = calls.pop().unwrap();
        left.clone().end();
        let other = turns.of_call(&shop).await.unwrap();
        assert!(!left.again().await);
        drop(other);
        assert!(left.again().await);
        drop((left, calls));
        assert_eq!(turns.state().running, 0);
    }

    #[test]
    fn a_long_line_of_those_who_wait_is_seldom_walked() {
        let turns = Turns::default();
        let flood = known(Role::Customer, "flood");
        let mut state = turns.state();
        state.running = AT_ONCE;
        let mut waiting = Vec::new();
        let mut walked = 0;
        for _ in 0..8 * WAITING_LOOKED_AT {
            let before = state.lines.get(&flood).map_or(0, |line| line.looked_at);
            waiting.push(state.wait(&flood));
            walked += usize::from(state.lines[&flood].looked_at != before);
        }
        assert_eq!(walked, 3);
        // Those who have gone make room all the same.
        drop(waiting);
        for _ in 0..9 * WAITING_LOOKED_AT {
            drop(state.wait(&flood));
        }
        assert!(state.lines[&flood].waiting.len() <= 8 * WAITING_LOOKED_AT);
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_nothing_is_left(
            steps in proptest::collection::vec((0_u8..6, any::<bool>()), 1..400)
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let turns = Turns::default();
                let (mut waiting, mut running) = (Vec::new(), Vec::new());
                for (number, goes) in steps {
                    let role = if number < 4 { Role::Customer } else { Role::Service };
                    let caller = known(role, &number.to_string());
                    if goes && number % 2 == 0 {
                        running.pop();
                    } else if goes {
                        waiting.pop();
                    } else {
                        let turns = turns.clone();
                        waiting.push(Box::pin(async move { turns.turn(&caller).await }));
                    }
                    for mut one in std::mem::take(&mut waiting) {
                        match futures::poll!(one.as_mut()) {
                            std::task::Poll::Ready(turn) => running.push(turn),
                            std::task::Poll::Pending => waiting.push(one),
                        }
                    }
                    let state = turns.state();
                    assert_eq!(state.running, running.len());
                    let sum: usize = state.lines.values().map(|line| line.running).sum();
                    assert_eq!(sum, running.len());
                }
                drop(waiting);
                drop(running);
                let mut state = turns.state();
                state.serve();
                assert_eq!((state.running, state.open_running), (0, 0));
                assert!(state.lines.values().all(|line| line.running == 0));
            });
        }
    }
}
