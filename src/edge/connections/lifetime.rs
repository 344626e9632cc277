use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Bounds, Connection, locked};

/// The first call of a connection begins within this.
const FIRST_CALL_WITHIN: Duration = Duration::from_secs(10);
/// A connection without calls is closed after this.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(300);
/// How long a connection stays that is drained for another one: it has no calls but refused ones,
/// unless one has begun just then.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);
/// Streams are told to end this long before their connection is closed, or halfway where that is
/// later: time for a message under way and for the last word.
const STREAMS_END_BEFORE: Duration = Duration::from_secs(5);
/// How often a connection is checked.
pub(super) const CHECKED_EVERY: Duration = Duration::from_secs(15);

/// Decides when a connection is drained or closed.
pub(super) struct Lifetime {
    began: Instant,
    age: Duration,
    /// How long calls under way may take once it is being drained.
    grace: Duration,
    /// When it is closed, once it is being drained.
    closes_at: Option<Instant>,
    /// When it is closed if it has no calls then, once it is drained for another one.
    leaves_at: Option<Instant>,
    /// When its streams are told to end, until they are.
    streams_end_at: Option<Instant>,
}

pub(super) enum Next {
    Keep,
    /// Take no new calls, and close when those under way have finished.
    Drain,
    /// End streams, each with a last word.
    EndStreams,
    /// Close immediately.
    Close,
}

impl Lifetime {
    /// Of a connection that begins now and is drained after `age`.
    pub(super) fn new(age: Duration, bounds: &Bounds) -> Self {
        Self {
            began: Instant::now(),
            age,
            grace: bounds.grace,
            closes_at: None,
            leaves_at: None,
            streams_end_at: None,
        }
    }

    pub(super) fn check(&mut self, connection: &Connection) -> Next {
        let now = Instant::now();
        if connection.is_unused() {
            return if now >= self.began + FIRST_CALL_WITHIN { Next::Close } else { Next::Keep };
        }
        if self.closes_at.is_some_and(|at| now >= at) {
            return Next::Close;
        }
        if self.streams_end_at.is_some_and(|at| now >= at) {
            self.streams_end_at = None;
            return Next::EndStreams;
        }
        let calls = locked(&connection.calls);
        let idle_since = calls.idle_since();
        if idle_since.is_some() && self.leaves_at.is_some_and(|at| now >= at) {
            return Next::Close;
        }
        let mut stuck = calls.under_way.values().filter(|call| call.is_stuck()).peekable();
        // Over HTTP/1.1 the next answer could only follow the one that is not read.
        if stuck.peek().is_some() && connection.one_by_one.load(Ordering::Relaxed) {
            return Next::Close;
        }
        stuck.for_each(|call| call.ending.cancel());
        let idle_too_long = idle_since.is_some_and(|since| now >= since + IDLE_MAX);
        if self.closes_at.is_none() && (idle_too_long || now >= self.began + self.age) {
            self.drain(now);
            return Next::Drain;
        }
        Next::Keep
    }

    /// It is drained for another one: closed soon, or after a call that has begun just now.
    pub(super) fn leave(&mut self) {
        let now = Instant::now();
        self.leaves_at = Some(now + LEAVES_WITHIN);
        if self.closes_at.is_none() {
            self.drain(now);
        }
    }

    fn drain(&mut self, now: Instant) {
        self.closes_at = Some(now + self.grace);
        let streams_end_in = self.grace.saturating_sub(STREAMS_END_BEFORE).max(self.grace / 2);
        self.streams_end_at = Some(now + streams_end_in);
    }

    pub(super) fn next_check(&self) -> Instant {
        let now = Instant::now();
        let (first, next) = (self.began + FIRST_CALL_WITHIN, now + CHECKED_EVERY);
        let next = if now < first { first } else { next };
        let drains_at = Some(self.began + self.age).filter(|_| self.closes_at.is_none());
        let due = [drains_at, self.streams_end_at, self.leaves_at, self.closes_at];
        let due = due.into_iter().flatten();
        // What is due and not done waits for the next check: a connection without a call.
        due.filter(|at| *at > now).fold(next, Instant::min)
    }
}
