use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use shared_events::stream::redis::{Pace, Taken};
use tokio::time::Instant;

/// Callers that are remembered. Of more, those that called longest ago begin anew.
const CALLERS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// The counts of this process alone.
pub(super) struct Local {
    /// Until when the time of a caller is used up, in microseconds since `begun`.
    callers: Mutex<LruCache<String, u64>>,
    begun: Instant,
}

impl Local {
    pub(super) fn new() -> Self {
        Self { callers: Mutex::new(LruCache::new(CALLERS_MAX)), begun: Instant::now() }
    }

    /// In microseconds since it began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn locked(&self) -> MutexGuard<'_, LruCache<String, u64>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call would be allowed.
    pub(super) fn look(&self, key: &str, pace: Pace) -> Taken {
        pace.look(self.locked().get(key).copied(), self.now())
    }

    /// Counts a call.
    pub(super) fn take(&self, key: &str, pace: Pace) -> Taken {
        let now = self.now();
        let mut callers = self.locked();
        let until = callers.get_mut(key);
        let taken = pace.take(until.as_deref().copied(), now);
        if taken.allowed {
            let next = now.saturating_add(taken.ahead);
            match until {
                Some(until) => *until = next,
                None => drop(callers.put(key.to_owned(), next)),
            }
        }
        taken
    }

    /// Remembers what all processes have counted, so that this one may go on alone at any time. As of
    /// when they were asked: as of their answer, each call would cost the caller that time, too.
    pub(super) fn learn(&self, key: &str, taken: Taken, asked: u64) {
        let next = asked.saturating_add(taken.ahead);
        let mut callers = self.locked();
        match callers.get_mut(key) {
            Some(until) => *until = next.max(*until),
            None => drop(callers.put(key.to_owned(), next)),
        }
    }
}
