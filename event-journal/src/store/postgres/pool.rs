//! Pools of sessions.

use std::time::Duration;

use shared_events::stream::Session;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection as _, Postgres};

const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that idled longer is tested before it is used.
const IDLE_TRUSTED: Duration = Duration::from_secs(5);

/// A pool of at most so many sessions, kept for good, each initialised by `session`.
pub(crate) fn sessions(most: u32, session: Session) -> PgPoolOptions {
    PgPoolOptions::new()
        .after_connect(move |connection, _| {
            let session = session.clone();
            Box::pin(async move { session.begin::<Postgres>(connection).await })
        })
        .max_connections(most)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for > IDLE_TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}
