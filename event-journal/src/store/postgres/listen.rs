//! Notifications between processes, through the database.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use tokio::time::sleep;

use super::session::PostgresStore;
use crate::store::head::News;

/// The payload that announces changed shards or nodes; announcements of appends have none.
const SHARDS_CHANGED: &str = "shards";

impl PostgresStore {
    /// Tells the other nodes to check the shards; one that misses it checks at its next interval.
    pub(crate) async fn notify_shards_changed(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(&self.channel)
            .bind(SHARDS_CHANGED)
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Returns what another process announced.
    pub(crate) async fn next_announcement(&self) -> News {
        let mut slot = self.listener.lock().await;
        let record = async {
            if slot.is_none() {
                let mut listener = PgListener::connect_with(&self.reader).await?;
                listener.listen(&self.channel).await?;
                // Announcements from before we listened were missed: check once.
                *slot = Some(listener);
                return Ok::<_, sqlx::Error>(News::Shards);
            }
            let Some(listener) = slot.as_mut() else { return Ok(News::Appended) };
            let shards = listener.recv().await?.payload() == SHARDS_CHANGED;
            Ok(if shards { News::Shards } else { News::Appended })
        };
        match record.await {
            Ok(news) => news,
            Err(error) => {
                tracing::debug!(%error, "notifications are not received; readers poll");
                *slot = None;
                sleep(Duration::from_secs(1)).await;
                News::Shards
            }
        }
    }
}
