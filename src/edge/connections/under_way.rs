use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Connection, locked};
use crate::edge::body::ReadProgress;

/// The calls of a connection.
pub(super) struct Calls {
    /// By number, in the order in which they began.
    pub(super) under_way: BTreeMap<u64, Arc<ReadProgress>>,
    begun: u64,
    /// When the last one ended, or the connection began.
    idle_since: Instant,
}

impl Calls {
    /// Of a connection that begins now.
    pub(super) fn none() -> Self {
        Self { under_way: BTreeMap::new(), begun: 0, idle_since: Instant::now() }
    }

    /// Since when there has been no call; none while there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.under_way.is_empty().then_some(self.idle_since)
    }
}

/// A call under way, until it is dropped.
pub(super) struct CallGuard {
    connection: Arc<Connection>,
    number: u64,
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let mut calls = locked(&self.connection.calls);
        calls.under_way.remove(&self.number);
        if calls.under_way.is_empty() {
            calls.idle_since = Instant::now();
        }
    }
}

impl Connection {
    /// Counts a call until the guard is dropped.
    pub(super) fn count(self: &Arc<Self>, progress: &Arc<ReadProgress>) -> CallGuard {
        let mut calls = locked(&self.calls);
        let number = calls.begun;
        calls.begun += 1;
        calls.under_way.insert(number, Arc::clone(progress));
        drop(calls);
        CallGuard { connection: Arc::clone(self), number }
    }
}
