//! Leases of others, as they were seen first: one that does not change has not been renewed.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

/// A lease that has not changed since.
struct Watched {
    lease: String,
    since: Instant,
}

/// By shard or owner.
#[derive(Default)]
pub(crate) struct Watch(Mutex<HashMap<String, Watched>>);

impl Watch {
    /// For how long a lease that reads like this now, in an answer to what was asked at `asked`,
    /// has not been renewed, by our own clock: the database's may have been set.
    pub(crate) fn unrenewed_for(&self, whose: String, lease: String, asked: Instant) -> Duration {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match watched.get(&whose) {
            Some(known) if known.lease == lease => asked.saturating_duration_since(known.since),
            _ => {
                watched.insert(whose, Watched { lease, since: Instant::now() });
                Duration::ZERO
            }
        }
    }

    /// Forgets leases of those who are on no list any more, and have a shard no more.
    pub(crate) fn watch_only(
        &self,
        listed: HashSet<String>,
        shards: &[PgRow],
    ) -> Result<(), sqlx::Error> {
        let mut known = listed;
        for row in shards {
            known.insert(format!(
                "{}/{}",
                row.try_get::<i32, _>("shard")?,
                row.try_get::<&str, _>("owner")?
            ));
        }
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|whose, _| known.contains(whose));
        Ok(())
    }
}
