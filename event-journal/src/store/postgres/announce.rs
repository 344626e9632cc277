//! Announces appends to other processes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::sleep;

/// At most one announcement in this time: NOTIFY takes a lock of the whole database.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(20);

/// Announces appends to other processes; outside their transactions, because NOTIFY in one would
/// make commits wait for each other.
pub(crate) async fn announcing(pool: PgPool, channel: String, news: Arc<Notify>) {
    loop {
        news.notified().await;
        let sent = sqlx::query("SELECT pg_notify($1, '')").bind(&channel).execute(&pool).await;
        if let Err(error) = sent {
            // Readers poll as well.
            tracing::debug!(%error, "no notification was sent");
        }
        sleep(ANNOUNCE_EVERY).await;
    }
}
