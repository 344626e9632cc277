//! Breakers in front of other processes. When calls to one fail again and again, no more are sent for
//! a moment, and then one at a time until one is answered: callers learn at once that nothing was
//! begun, instead of waiting for a process that is away.
//! Never here: what a call means. An answer of any kind shows that the process is there.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use order_actor::clock::{Clock, SystemClock};
use service_edge::Refused;
use shared_events::contract::{Reason, Timestamp};
use tokio::time::Instant;
use tonic::Status;

use super::health;

/// Failures in a row, all within [`WITHIN`], after which nothing more is sent.
const FAILURES: usize = 5;
const WITHIN: Duration = Duration::from_secs(10);
/// For how long nothing is sent; then one call tries.
const OPEN_FOR: Duration = Duration::from_secs(1);
/// Processes that are remembered: order nodes come and go under new addresses.
const PROCESSES_MAX: usize = 1_024;
/// A process that nothing was to be sent to for so long has perhaps gone for good.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// The breakers of this process, by the process in front of which they stand. Clones share them.
#[derive(Clone)]
pub(crate) struct Breakers {
    known: Arc<Mutex<HashMap<String, Arc<Breaker>>>>,
    clock: Arc<dyn Clock>,
}

impl Default for Breakers {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

struct Breaker {
    process: String,
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    /// When the last calls failed; empty after one that was answered.
    failed: VecDeque<Instant>,
    open: Option<Open>,
}

struct Open {
    since: Timestamp,
    /// When the next call may try. One that tries holds up the others no longer than this.
    until: Instant,
}

impl Open {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.until) > FORGOTTEN_AFTER
    }
}

/// A call that may be sent. Dropped without a result, it is as if it had not been sent: one that
/// tried leaves its place to another.
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    tries: bool,
    ended: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Breakers {
    /// Notes are dated by this clock.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { known: Arc::default(), clock }
    }

    /// Lets a call to a process pass.
    ///
    /// # Errors
    /// The refusal of a call that is not sent.
    pub(super) fn pass(&self, process: &str) -> Result<Pass, Status> {
        let breaker = self.of(process);
        let now = Instant::now();
        let mut state = locked(&breaker.state);
        let tries = match &mut state.open {
            None => false,
            Some(open) if now >= open.until => {
                open.until = now + OPEN_FOR;
                true
            }
            Some(open) => {
                let left = open.until.saturating_duration_since(now);
                return Err(refused(process, left));
            }
        };
        drop(state);
        Ok(Pass { breaker, tries, ended: false })
    }

    fn of(&self, process: &str) -> Arc<Breaker> {
        let mut known = locked(&self.known);
        if let Some(breaker) = known.get(process) {
            return Arc::clone(breaker);
        }
        if known.len() >= PROCESSES_MAX {
            let now = Instant::now();
            known.retain(|_, breaker| {
                locked(&breaker.state).open.as_ref().is_some_and(|open| !open.is_forgotten(now))
            });
        }
        let (clock, name) = (Arc::clone(&self.clock), process.to_owned());
        let breaker = Arc::new(Breaker { process: name, state: Mutex::default(), clock });
        known.insert(process.to_owned(), Arc::clone(&breaker));
        breaker
    }

    /// The processes that calls were sent to, and whether none is sent for now.
    pub(crate) fn states(&self) -> Vec<(String, bool)> {
        let known = locked(&self.known);
        let state = |breaker: &Arc<Breaker>| {
            (breaker.process.clone(), locked(&breaker.state).open.is_some())
        };
        known.values().map(state).collect()
    }

    /// The processes that calls are not sent to, for operators. Forgets those that have gone.
    pub(crate) fn open(&self) -> Option<health::Reason> {
        let now = Instant::now();
        let mut known = locked(&self.known);
        known.retain(|_, breaker| {
            locked(&breaker.state).open.as_ref().is_none_or(|open| !open.is_forgotten(now))
        });
        let mut open: Vec<_> = known
            .values()
            .filter_map(|breaker| {
                let since = locked(&breaker.state).open.as_ref()?.since;
                Some((since, breaker.process.as_str()))
            })
            .collect();
        open.sort_unstable();
        let since = open.first()?.0;
        let names: Vec<&str> = open.iter().map(|(_, process)| *process).collect();
        let text = format!("calls to {} fail; they are not sent for now", names.join(", "));
        Some(health::Reason { text, since })
    }
}

fn refused(process: &str, left: Duration) -> Status {
    let message = format!("{process} answers this, and does not answer now; nothing was sent");
    let refused = Refused::new(Reason::NotForwarded).with("process", process);
    refused.again_after(left.max(Duration::from_millis(100))).say(&message)
}

impl Pass {
    /// The process has answered, whatever it said.
    pub(super) fn answered(mut self) {
        self.ended = true;
        let mut state = locked(&self.breaker.state);
        state.failed.clear();
        let closes = state.open.take().is_some();
        drop(state);
        if closes {
            tracing::warn!(process = self.breaker.process, "calls to it are sent again");
        }
    }

    /// The process could not be reached, or has gone while it worked.
    pub(super) fn failed(mut self) {
        self.ended = true;
        let now = Instant::now();
        let mut state = locked(&self.breaker.state);
        if let Some(open) = &mut state.open {
            // Calls that were sent before it opened say nothing new.
            if self.tries {
                open.until = now + OPEN_FOR;
            }
            return;
        }
        state.failed.retain(|at| now.saturating_duration_since(*at) < WITHIN);
        state.failed.push_back(now);
        let opens = state.failed.len() >= FAILURES;
        if opens {
            state.failed.clear();
            let since = self.breaker.clock.now();
            state.open = Some(Open { since, until: now + OPEN_FOR });
        }
        drop(state);
        if opens {
            tracing::warn!(process = self.breaker.process, "calls to it fail; none is sent");
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.tries
            && !self.ended
            && let Some(open) = &mut locked(&self.breaker.state).open
        {
            open.until = Instant::now() + OPEN_FOR;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breakers: &Breakers, times: usize) {
        for _ in 0..times {
            breakers.pass("stock").unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_ten_seconds_open_it_and_an_answer_closes_it() {
        let breakers = Breakers::default();
        fail(&breakers, 4);
        advance(WITHIN).await;
        fail(&breakers, 4);
        assert!(breakers.open().is_none());
        fail(&breakers, 1);
        assert!(breakers.open().unwrap().text.contains("calls to stock fail"));
        let refused = breakers.pass("stock").err().unwrap();
        assert_eq!(service_edge::reason_of(&refused), Some(Reason::NotForwarded));
        breakers.pass("messages").unwrap().answered();
        // One call tries; the others are not sent meanwhile.
        advance(OPEN_FOR).await;
        let probe = breakers.pass("stock").unwrap();
        assert!(breakers.pass("stock").is_err());
        probe.failed();
        assert!(breakers.pass("stock").is_err());
        advance(OPEN_FOR).await;
        breakers.pass("stock").unwrap().answered();
        assert!(breakers.open().is_none());
        fail(&breakers, 4);
        assert!(breakers.pass("stock").is_ok());
    }

    /// A15: an answer of any kind is none of a process that is away.
    #[tokio::test(start_paused = true)]
    async fn answers_between_failures_keep_it_closed() {
        let breakers = Breakers::default();
        for _ in 0..250 {
            fail(&breakers, 4);
            breakers.pass("stock").unwrap().answered();
        }
        assert!(breakers.open().is_none());
    }

    /// A16.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_tried_and_was_dropped_leaves_its_place() {
        let breakers = Breakers::default();
        // One that was sent before says nothing when it is dropped.
        let before = breakers.pass("stock").unwrap();
        fail(&breakers, 5);
        advance(OPEN_FOR).await;
        let probe = breakers.pass("stock").unwrap();
        drop(before);
        assert!(breakers.pass("stock").is_err());
        drop(probe);
        assert!(breakers.pass("stock").is_err());
        advance(OPEN_FOR).await;
        breakers.pass("stock").unwrap().answered();
        assert!(breakers.pass("stock").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_tries_and_hangs_holds_up_the_next_for_a_second() {
        let breakers = Breakers::default();
        fail(&breakers, 5);
        advance(OPEN_FOR).await;
        let hanging = breakers.pass("stock").unwrap();
        advance(OPEN_FOR / 2).await;
        assert!(breakers.pass("stock").is_err());
        advance(OPEN_FOR / 2).await;
        let next = breakers.pass("stock").unwrap();
        assert!(breakers.pass("stock").is_err());
        next.answered();
        drop(hanging);
        assert!(breakers.pass("stock").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_has_gone_is_forgotten_after_a_minute() {
        let breakers = Breakers::default();
        fail(&breakers, 5);
        advance(OPEN_FOR + FORGOTTEN_AFTER).await;
        assert!(breakers.open().is_some());
        advance(Duration::from_millis(1)).await;
        assert!(breakers.open().is_none());
        assert!(locked(&breakers.known).is_empty());
        // Where nobody asks, when there are too many.
        for number in 0..PROCESSES_MAX {
            for _ in 0..FAILURES {
                breakers.pass(&number.to_string()).unwrap().failed();
            }
        }
        advance(OPEN_FOR + FORGOTTEN_AFTER + Duration::from_millis(1)).await;
        breakers.pass("stock").unwrap().answered();
        assert_eq!(locked(&breakers.known).len(), 1);
    }
}
