use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Connection, locked};

/// The first call of a connection begins within this.
const FIRST_CALL_WITHIN: Duration = Duration::from_secs(10);
/// A connection without calls is closed after this.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(300);
/// How long calls under way may take on a connection that is being drained.
const GRACE: Duration = Duration::from_secs(35);
/// How often a connection is checked.
pub(super) const CHECKED_EVERY: Duration = Duration::from_secs(15);

/// Decides when a connection is drained or closed.
pub(super) struct Lifetime {
    began: Instant,
    age: Duration,
    /// Calls begun until the last check.
    begun_before: u64,
    /// Since when no call has been under way.
    idle_since: Option<Instant>,
    /// When it is closed, once it is being drained.
    closes_at: Option<Instant>,
}

pub(super) enum Next {
    Keep,
    /// Take no new calls, and close when those under way have finished.
    Drain,
    /// Close immediately.
    Close,
}

impl Lifetime {
    /// Of a connection that begins now.
    pub(super) fn new(age: Duration) -> Self {
        Self { began: Instant::now(), age, begun_before: 0, idle_since: None, closes_at: None }
    }

    pub(super) fn check(&mut self, connection: &Connection) -> Next {
        let now = Instant::now();
        if connection.is_unused() {
            return if now >= self.began + FIRST_CALL_WITHIN { Next::Close } else { Next::Keep };
        }
        if self.closes_at.is_some_and(|at| now >= at) {
            return Next::Close;
        }
        let calls = locked(&connection.calls);
        let begun = connection.numbers.load(Ordering::Relaxed);
        let idle = calls.is_empty() && begun == self.begun_before;
        self.begun_before = begun;
        self.idle_since = idle.then(|| self.idle_since.unwrap_or(now));
        let mut stuck = calls.values().filter(|call| call.is_stuck()).peekable();
        // Over HTTP/1.1 the next answer could only follow the one that is not read.
        if stuck.peek().is_some() && connection.one_by_one.load(Ordering::Relaxed) {
            return Next::Close;
        }
        stuck.for_each(|call| call.cancel());
        let idle_too_long = self.idle_since.is_some_and(|since| now >= since + IDLE_MAX);
        if self.closes_at.is_none() && (idle_too_long || now >= self.began + self.age) {
            self.closes_at = Some(now + GRACE);
            return Next::Drain;
        }
        Next::Keep
    }

    pub(super) fn next_check(&self) -> Instant {
        let first = self.began + FIRST_CALL_WITHIN;
        let next = Instant::now() + CHECKED_EVERY;
        if Instant::now() < first { first } else { self.closes_at.map_or(next, |at| at.min(next)) }
    }
}
