use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use shared_events::stream::redis::{Gcra, Taken};
use tokio::time::Instant;

/// Callers of a kind that are remembered. Of more, those that called longest ago begin anew.
const CALLERS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(65_535);

/// Names a caller's count.
pub(super) struct Key {
    /// Its name in Redis.
    pub(super) name: String,
    /// Whether its caller is known, and not an address only.
    pub(super) known: bool,
}

/// Until when the time of each caller is used up, in microseconds since `begun`.
type Used = LruCache<String, u64>;

/// The counts of this process alone.
pub(super) struct Local {
    known: Mutex<Used>,
    /// Of addresses, of which anybody may have many: they displace nobody who is known.
    unknown: Mutex<Used>,
    begun: Instant,
}

impl Local {
    pub(super) fn new() -> Self {
        let none = || Mutex::new(LruCache::new(CALLERS_MAX));
        Self { known: none(), unknown: none(), begun: Instant::now() }
    }

    /// In microseconds since it began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn locked(&self, key: &Key) -> MutexGuard<'_, Used> {
        let callers = if key.known { &self.known } else { &self.unknown };
        callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call would be allowed.
    pub(super) fn look(&self, key: &Key, pace: Gcra) -> Taken {
        pace.look(self.locked(key).get(&key.name).copied(), self.now())
    }

    /// Counts a call.
    pub(super) fn take(&self, key: &Key, pace: Gcra) -> Taken {
        let now = self.now();
        let mut callers = self.locked(key);
        let until = callers.get_mut(&key.name);
        let taken = pace.take(until.as_deref().copied(), now);
        if taken.allowed {
            let next = now.saturating_add(taken.ahead);
            match until {
                Some(until) => *until = next,
                None => drop(callers.put(key.name.clone(), next)),
            }
        }
        taken
    }

    /// Remembers what all processes have counted, so that this one may go on alone at any time. As of
    /// when they were asked: as of their answer, each call would cost the caller that time, too.
    pub(super) fn learn(&self, key: &Key, taken: Taken, asked: u64) {
        let next = asked.saturating_add(taken.ahead);
        let mut callers = self.locked(key);
        match callers.get_mut(&key.name) {
            Some(until) => *until = next.max(*until),
            None => drop(callers.put(key.name.clone(), next)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn addresses_displace_no_caller_who_is_known() {
        let (local, pace) = (Local::new(), Gcra::per_minute(1, 1));
        let key = |name: &str, known| Key { name: name.to_owned(), known };
        let (anna, first) = (key("anna", true), key("0", false));
        assert!(local.take(&anna, pace).allowed);
        for number in 0..=CALLERS_MAX.get() {
            assert!(local.take(&key(&number.to_string(), false), pace).allowed);
        }
        assert!(!local.take(&anna, pace).allowed);
        assert!(local.take(&first, pace).allowed);
        assert!(!local.take(&first, pace).allowed);
    }
}
