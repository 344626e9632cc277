//! What processes tell each other by the database's own notifications.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use tokio::time::sleep;

use super::session::PostgresStore;
use crate::store::head::News;

/// What is said on the channel when shards or nodes have changed; of appends nothing is said but
/// that there are some.
const SHARDS_CHANGED: &str = "shards";

impl PostgresStore {
    /// Tells the other nodes to look; whoever does not hear it looks in time.
    pub(crate) async fn say_shards_changed(
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
    pub(crate) async fn hear(&self) -> News {
        let mut slot = self.listener.lock().await;
        let heard = async {
            if slot.is_none() {
                let mut listener = PgListener::connect_with(&self.reader).await?;
                listener.listen(&self.channel).await?;
                // What was said before we listened was not heard: look once.
                *slot = Some(listener);
                return Ok::<_, sqlx::Error>(News::Shards);
            }
            let Some(listener) = slot.as_mut() else { return Ok(News::Appended) };
            let shards = listener.recv().await?.payload() == SHARDS_CHANGED;
            Ok(if shards { News::Shards } else { News::Appended })
        };
        match heard.await {
            Ok(news) => news,
            Err(error) => {
                tracing::debug!(%error, "notifications are not heard; readers poll");
                *slot = None;
                sleep(Duration::from_secs(1)).await;
                News::Shards
            }
        }
    }
}
