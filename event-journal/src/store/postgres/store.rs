//! Who may write, and what is written.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::Connection as _;
use tokio::time::timeout;

use super::renew::PostgresRenewal;
use super::session::PostgresStore;
use crate::error::JournalError;
use crate::store::head::{Batch, Claim, Claimed, CommitError, News};
use crate::store::nodes::SharedStore;
use crate::store::port::{Renewal, Store};
use crate::store::rows::unavailable;

/// How long closing the connections may take.
const CLOSES_WITHIN: Duration = Duration::from_secs(2);

#[async_trait]
impl Store for PostgresStore {
    async fn claim(
        &self,
        claim: Claim,
        // They exist since the journal was created.
        _shards: u16,
        lease: Duration,
    ) -> Result<Claimed, JournalError> {
        let mut connection = self.writer().await?;
        let claimed = self.take(&mut connection, claim, lease).await.map_err(unavailable)?;
        self.keep(connection).await;
        claimed
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn renewal(&self) -> Box<dyn Renewal> {
        Box::new(PostgresRenewal {
            connect: self.connect.clone(),
            session: self.writes.clone(),
            connection: None,
            owner: self.owner.clone(),
            among_others: self.among_others,
        })
    }

    async fn release(&self) {
        let released = async {
            let mut connection = self.writer().await?;
            sqlx::query("UPDATE shards SET lease_until = '-infinity' WHERE owner = $1")
                .bind(&self.owner)
                .execute(&mut connection)
                .await
                .map_err(unavailable)?;
            connection.close().await.map_err(unavailable)
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the journal's lease was not released; it will run out");
        }
    }

    async fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        self.append(batch).await
    }

    fn announce(&self) {
        self.news.notify_one();
    }

    async fn announced(&self) -> News {
        self.next_announcement().await
    }

    fn shared(&self) -> Option<&dyn SharedStore> {
        Some(self)
    }

    async fn takes_writes(&self) -> Result<(), JournalError> {
        let look = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'";
        let reader = self.reader().await?;
        let found: (bool, bool) =
            sqlx::query_as(look).fetch_one(reader).await.map_err(unavailable)?;
        let refused = |what: &str| Err(JournalError::Unavailable(format!("{} {what}", self.label)));
        match found {
            (true, _) => refused("is a standby, which takes no writes"),
            (false, true) => refused("is read-only"),
            (false, false) => Ok(()),
        }
    }

    async fn close(&self) {
        drop(self.listener.lock().await.take());
        drop(self.writer.lock().await.take());
        // Connections to an unavailable server are not closed politely: its sessions have ended
        // already.
        let closed = async { tokio::join!(self.reader.close(), self.loads.close()) };
        if timeout(CLOSES_WITHIN, closed).await.is_err() {
            tracing::debug!(database = self.label, "connections were not closed in time");
        }
    }
}
