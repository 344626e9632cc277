use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Connection, locked};

/// The first call of a connection begins within this.
const FIRST_CALL_WITHIN: Duration = Duration::from_secs(10);
/// A connection over which nothing is under way for so long is closed.
pub(super) const SILENT_MAX: Duration = Duration::from_secs(300);
/// What is under way over a connection that is to end may take so long.
const GRACE: Duration = Duration::from_secs(35);
/// How often a connection is looked at.
pub(super) const LOOKED_AT_EVERY: Duration = Duration::from_secs(15);

/// How a connection stands.
pub(super) struct Life {
    began: Instant,
    age: Duration,
    /// Calls that had begun when it was looked at last.
    seen: u64,
    /// Since when nothing has been under way.
    quiet: Option<Instant>,
    /// It is to end, at the latest then.
    ends: Option<Instant>,
}

pub(super) enum Next {
    Goes,
    /// Takes nothing new, and ends when what is under way has ended.
    Winds,
    /// Is cut.
    Cut,
}

impl Life {
    /// Of one that begins now.
    pub(super) fn new(age: Duration) -> Self {
        Self { began: Instant::now(), age, seen: 0, quiet: None, ends: None }
    }

    pub(super) fn look(&mut self, connection: &Connection) -> Next {
        let now = Instant::now();
        if connection.is_silent() {
            return if now >= self.began + FIRST_CALL_WITHIN { Next::Cut } else { Next::Goes };
        }
        if self.ends.is_some_and(|ends| now >= ends) {
            return Next::Cut;
        }
        let calls = locked(&connection.calls);
        let begun = connection.numbers.load(Ordering::Relaxed);
        let quiet = calls.is_empty() && begun == self.seen;
        self.seen = begun;
        self.quiet = quiet.then(|| self.quiet.unwrap_or(now));
        for pulse in calls.values().filter(|pulse| pulse.is_stuck()) {
            pulse.ending.cancel();
        }
        let silent = self.quiet.is_some_and(|since| now >= since + SILENT_MAX);
        if self.ends.is_none() && (silent || now >= self.began + self.age) {
            self.ends = Some(now + GRACE);
            return Next::Winds;
        }
        Next::Goes
    }

    pub(super) fn next_look(&self) -> Instant {
        let first = self.began + FIRST_CALL_WITHIN;
        let next = Instant::now() + LOOKED_AT_EVERY;
        if Instant::now() < first { first } else { self.ends.map_or(next, |ends| ends.min(next)) }
    }
}
