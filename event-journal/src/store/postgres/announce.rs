//! Says to other processes that something was appended.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::time::sleep;

/// At most one announcement per so long: NOTIFY takes a lock of the whole database.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(20);

/// Tells other processes that something was appended; apart from the appends, because NOTIFY in
/// their transaction would make commits wait for each other.
pub(crate) async fn announcing(pool: PgPool, channel: String, news: Arc<Notify>) {
    loop {
        news.notified().await;
        let sent = sqlx::query("SELECT pg_notify($1, '')").bind(&channel).execute(&pool).await;
        if let Err(error) = sent {
            // Readers poll behind it.
            tracing::debug!(%error, "no notification was sent");
        }
        sleep(ANNOUNCE_EVERY).await;
    }
}
