//! Leases of others, and since when they have not changed: an unchanged lease was not renewed.

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
    /// How long a lease has not been renewed that reads like this now, in an answer to a query sent
    /// at `asked`; by our own clock, since the database's may have been set.
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

    /// Forgets leases of nodes that are no longer listed and have no shard.
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
