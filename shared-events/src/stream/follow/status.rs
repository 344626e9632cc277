use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::metric::table::FACTS;
use crate::stream::Cursors;

/// What operators see of a follower, written by [`follow`](super::follow) and read by anyone.
#[derive(Clone, Debug)]
pub struct FollowStatus {
    name: Arc<str>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) cursors: Cursors,
    pub(super) moved: Instant,
    pub(super) error: Option<String>,
    pub(super) failure: Option<String>,
    /// Why it is not known whether this process should follow.
    pub(super) lease_failure: Option<String>,
    pub(super) stopped: bool,
}

impl FollowStatus {
    /// The status of a follower that has not started yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        for outcome in ["read", "parked", "failed"] {
            FACTS.may_be([name, outcome]);
        }
        let inner = Inner {
            cursors: Cursors::default(),
            moved: Instant::now(),
            error: None,
            failure: None,
            lease_failure: None,
            stopped: false,
        };
        Self { name: name.into(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// The follower's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cursors.
    #[must_use]
    pub fn cursors(&self) -> Cursors {
        self.read(|inner| inner.cursors.clone())
    }

    /// How long ago its cursor last moved, or it last found nothing to do.
    #[must_use]
    pub fn still_for(&self) -> Duration {
        self.read(|inner| inner.moved.elapsed())
    }

    /// Its last error, if it has not moved since.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.read(|inner| inner.error.clone())
    }

    /// Why it will not resume without an operator: its source is broken, or has another history
    /// than it followed. None while it follows or only waits.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.read(|inner| inner.failure.clone())
    }

    /// Why its lease has not been renewed for so long that possibly no process is following. None
    /// where it has the lease, or stands by.
    #[must_use]
    pub fn lease_failure(&self) -> Option<String> {
        self.read(|inner| inner.lease_failure.clone())
    }

    pub(in crate::stream) fn set_lease_failure(&self, failure: Option<String>) {
        self.write(|inner| inner.lease_failure = failure);
    }

    /// Whether it has stopped for good.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.read(|inner| inner.stopped)
    }

    pub(super) fn read<R>(&self, look: impl FnOnce(&Inner) -> R) -> R {
        look(&self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn write(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A try failed; it is tried again.
    pub(super) fn waits(&self, error: String) {
        FACTS.one([&self.name, "failed"]);
        self.write(|inner| inner.error = Some(error));
    }

    pub(super) fn moved(&self, cursors: &Cursors) {
        self.write(|inner| {
            inner.cursors = cursors.clone();
            inner.moved = Instant::now();
            inner.error = None;
            inner.failure = None;
        });
    }
}
