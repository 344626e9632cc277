//! Takes the shards of a database for a writer that has all of them.

use std::time::Duration;

use sqlx::{PgConnection, Row as _};
use tokio::time::Instant;

use super::process;
use super::session::{PostgresStore, begin_on};
use super::types::micros;
use crate::error::JournalError;
use crate::store::head::{Claim, Claimed, Head};
use crate::store::rows::head;

/// The shards that are served here, by number.
pub(crate) const HEADS: &str = "SELECT * FROM shards WHERE state = 'HERE' ORDER BY shard";

impl PostgresStore {
    /// Another owner that may be alive: it did not release its lease, is not known to have ended,
    /// and its lease runs or has not been watched for long enough.
    async fn held_by(&self, connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
        let asked = Instant::now();
        let rows = sqlx::query(
            "SELECT owner, max(lease_until)::text AS lease, identity,
                    max(lease_until) <= clock_timestamp() OR NOT EXISTS
                        (SELECT 1 FROM pg_stat_activity WHERE application_name = owner) AS silent
             FROM shards LEFT JOIN processes ON process = owner
             WHERE owner NOT IN ($1, '') AND lease_until > '-infinity' AND state = 'HERE'
             GROUP BY owner, identity",
        )
        .bind(&self.owner)
        .fetch_all(connection)
        .await?;
        for row in rows {
            let (owner, lease): (String, String) = (row.try_get("owner")?, row.try_get("lease")?);
            let identity: Option<String> = row.try_get("identity")?;
            // Watched for so long that its holder cannot trust it any more.
            let unrenewed =
                self.watch.unrenewed_for(owner.clone(), lease, asked) >= self.trusted_for;
            let gone = identity.is_some_and(|identity| process::is_gone(&identity));
            let silent: bool = row.try_get("silent")?;
            let lives = !gone && (!silent || !unrenewed);
            if lives {
                return Ok(Some(owner));
            }
        }
        Ok(None)
    }

    /// Records our process identity, by which others can see that we have ended.
    pub(super) async fn record_identity(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        let Some(identity) = process::identity() else { return Ok(()) };
        sqlx::query(
            "WITH past AS (
                 DELETE FROM processes WHERE since < clock_timestamp() - interval '1 day'
                    AND NOT EXISTS (SELECT 1 FROM shards WHERE owner = process)
                    AND NOT EXISTS (SELECT 1 FROM nodes WHERE node_id = process)
             )
             INSERT INTO processes (process, identity) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(&self.owner)
        .bind(identity)
        .execute(connection)
        .await?;
        Ok(())
    }

    pub(super) async fn take(
        &self,
        connection: &mut PgConnection,
        claim: Claim,
        lease: Duration,
    ) -> Result<Result<Claimed, JournalError>, sqlx::Error> {
        // Without the lock first: a waiting writer must not slow the active one.
        if claim == Claim::Vacant
            && let Some(owner) = self.held_by(connection).await?
        {
            return Ok(Ok(Claimed::Held(owner)));
        }
        let mut tx = begin_on(connection).await?;
        // Waits for any append in flight. Holds no row locks meanwhile: no deadlock.
        sqlx::query("LOCK TABLE shards IN EXCLUSIVE MODE").execute(&mut *tx).await?;
        match claim {
            Claim::Vacant => {
                if let Some(owner) = self.held_by(&mut tx).await? {
                    return Ok(Ok(Claimed::Held(owner)));
                }
            }
            Claim::Own => {
                let foreign: bool = sqlx::query_scalar(
                    "SELECT EXISTS (SELECT 1 FROM shards WHERE owner <> $1 AND state = 'HERE')",
                )
                .bind(&self.owner)
                .fetch_one(&mut *tx)
                .await?;
                if foreign {
                    return Ok(Err(JournalError::Superseded));
                }
            }
            Claim::Force => {}
        }
        self.record_identity(&mut tx).await?;
        sqlx::query(
            "UPDATE shards SET epoch = epoch + 1, owner = $1,
                    lease_until = clock_timestamp() + $2 * interval '1 microsecond'
             WHERE state = 'HERE'",
        )
        .bind(&self.owner)
        .bind(micros(lease))
        .execute(&mut *tx)
        .await?;
        let rows = sqlx::query(HEADS).fetch_all(&mut *tx).await?;
        let heads: Result<Vec<Head>, JournalError> = rows.iter().map(head).collect();
        tx.commit().await?;
        Ok(heads.map(Claimed::Taken))
    }
}
