//! Several nodes that write to one database, each to its own shards.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use shared_events::stream::OperatorAction;
use sqlx::{PgConnection, Row as _};
use tokio::time::Instant;

use super::process;
use super::session::{PostgresStore, begin_on};
use super::types::micros;
use crate::error::JournalError;
use crate::options::Node;
use crate::store::head::Head;
use crate::store::nodes::{NodeView, ShardView, SharedStore, View};
use crate::store::rows::{head, unavailable};

/// Whether a process has ended: its lease ran out, or it has no session and so little of its lease
/// left ($2, microseconds) that it has stopped trusting it.
const GONE: &str = "
(lease_until <= clock_timestamp()
 OR lease_until <= clock_timestamp() + $2 * interval '1 microsecond'
    AND NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = process.id))";

/// The lease of a node that released it.
const NEVER: &str = "-infinity";

impl PostgresStore {
    async fn joined(
        &self,
        connection: &mut PgConnection,
        node: &Node,
        lease: Duration,
    ) -> Result<(), sqlx::Error> {
        let mut tx = begin_on(connection).await?;
        sqlx::query("DELETE FROM nodes WHERE lease_until < clock_timestamp() - interval '1 day'")
            .execute(&mut *tx)
            .await?;
        // Leases end of nodes that have certainly ended, such as this one before it was killed and
        // restarted. For other silent nodes that is not known; their leases are watched.
        let nodes: Vec<(String, String)> = sqlx::query_as(
            "SELECT node_id, identity FROM nodes JOIN processes ON process = node_id
             WHERE node_id <> $1",
        )
        .bind(&self.owner)
        .fetch_all(&mut *tx)
        .await?;
        let gone = nodes.into_iter().filter(|(_, identity)| process::is_gone(identity));
        let gone: Vec<String> = gone.map(|(node, _)| node).collect();
        if !gone.is_empty() {
            sqlx::query(
                "WITH past AS (DELETE FROM nodes WHERE node_id = ANY ($1))
                 UPDATE shards SET lease_until = '-infinity' WHERE owner = ANY ($1)",
            )
            .bind(&gone)
            .execute(&mut *tx)
            .await?;
        }
        self.record_identity(&mut tx).await?;
        sqlx::query(
            "INSERT INTO nodes (node_id, name, address, lease_until)
             VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 microsecond')
             ON CONFLICT (node_id) DO UPDATE SET lease_until = excluded.lease_until",
        )
        .bind(&self.owner)
        .bind(&node.name)
        .bind(&node.address)
        .bind(micros(lease))
        .execute(&mut *tx)
        .await?;
        self.notify_shards_changed(&mut tx).await?;
        tx.commit().await
    }

    async fn seen(
        &self,
        connection: &mut PgConnection,
        grace: Duration,
    ) -> Result<Result<View, JournalError>, sqlx::Error> {
        let (nodes, listed) = self.nodes_seen(connection, grace).await?;
        let shards = self.shards_seen(connection, grace, listed).await?;
        Ok(shards.map(|shards| View { nodes, shards }))
    }

    /// The live nodes, and the names under which their leases were watched.
    async fn nodes_seen(
        &self,
        connection: &mut PgConnection,
        grace: Duration,
    ) -> Result<(Vec<NodeView>, HashSet<String>), sqlx::Error> {
        let asked = Instant::now();
        let rows = sqlx::query(&format!(
            "SELECT node_id, name, address, lease_until::text AS lease FROM nodes
             CROSS JOIN LATERAL (SELECT node_id AS id) AS process
             WHERE node_id = $1 OR NOT {GONE} ORDER BY node_id"
        ))
        .bind(&self.owner)
        .bind(micros(grace))
        .fetch_all(connection)
        .await?;
        let mut living = Vec::new();
        let mut listed = HashSet::with_capacity(rows.len());
        for row in &rows {
            let id: String = row.try_get("node_id")?;
            // By a clock that was set back, the lease of a node that has ended runs for long.
            let whose = format!("node/{id}");
            let silent = self.watch.unrenewed_for(whose.clone(), row.try_get("lease")?, asked);
            listed.insert(whose);
            if id == self.owner || silent < self.lease {
                let (name, address) = (row.try_get("name")?, row.try_get("address")?);
                living.push(NodeView { id, name, address });
            }
        }
        Ok((living, listed))
    }

    /// All shards, and who has them.
    async fn shards_seen(
        &self,
        connection: &mut PgConnection,
        grace: Duration,
        listed: HashSet<String>,
    ) -> Result<Result<Vec<ShardView>, JournalError>, sqlx::Error> {
        let asked = Instant::now();
        let rows = sqlx::query(&format!(
            "SELECT shards.*, lease_until::text AS lease, owner <> $1 AND {GONE} AS vacant FROM shards
             CROSS JOIN LATERAL (SELECT owner AS id) AS process WHERE state = 'HERE' ORDER BY shard"
        ))
        .bind(&self.owner)
        .bind(micros(grace))
        .fetch_all(connection)
        .await?;
        self.watch.watch_only(listed, &rows)?;
        let mut shards = Vec::with_capacity(rows.len());
        for row in &rows {
            let head = match head(row) {
                Ok(head) => head,
                Err(error) => return Ok(Err(error)),
            };
            let (owner, lease): (String, String) = (row.try_get("owner")?, row.try_get("lease")?);
            let whose = format!("{}/{owner}", head.shard);
            let silent = self.watch.unrenewed_for(whose, lease.clone(), asked);
            // Never owned, or released by its owner; or silent for long enough.
            let free = head.epoch == 0 || lease == NEVER || silent >= self.trusted_for;
            // The database's clock reports the lease as over, or may be wrong: for a whole lease it
            // was not renewed.
            let over: bool = row.try_get("vacant")?;
            let over = over || owner != self.owner && silent >= self.lease;
            shards.push(ShardView {
                head,
                owner,
                vacant: over && free,
                lease,
                frozen: row.try_get("frozen")?,
                pinned: row.try_get("pinned")?,
            });
        }
        Ok(Ok(shards))
    }

    /// Writes an operator's setting into the row of a shard; false where the shard does not exist.
    /// `change` sets the columns; `description` describes the row before and after. One statement, so
    /// that the operator's action is written with it or not at all.
    async fn write_setting(
        &self,
        change: &str,
        description: [&str; 2],
        shard: u16,
        text: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        let mut connection = self.reader().await?.acquire().await.map_err(unavailable)?;
        let [before, after] = description;
        let sql = format!(
            "WITH was AS (
                 SELECT shard, frozen, pinned FROM shards WHERE shard = $1 AND state = 'HERE'
                 FOR NO KEY UPDATE
             ), marked AS (
                 UPDATE shards SET {change} FROM was WHERE shards.shard = was.shard
                 RETURNING was.frozen, was.pinned
             )
             INSERT INTO operator_actions
                 (id, at, role, subject, verb, kind, target, reason, before, after)
             SELECT $3, $4, $5, $6, $7, $8, $9, $10, {before}, {after} FROM marked"
        );
        let hit = sqlx::query(&sql)
            .bind(i32::from(shard))
            .bind(text)
            .bind(action.id.to_string())
            .bind(action.at.micros())
            .bind(&action.by.role)
            .bind(&action.by.subject)
            .bind(&action.verb)
            .bind(&action.kind)
            .bind(&action.target)
            .bind(&action.reason)
            .execute(&mut *connection)
            .await
            .map_err(unavailable)?;
        self.notify_shards_changed(&mut connection).await.map_err(unavailable)?;
        Ok(hit.rows_affected() > 0)
    }
}

#[async_trait]
impl SharedStore for PostgresStore {
    async fn join(&self, node: &Node, lease: Duration) -> Result<(), JournalError> {
        let mut connection = self.writer().await?;
        self.joined(&mut connection, node, lease).await.map_err(unavailable)?;
        self.keep(connection).await;
        Ok(())
    }

    async fn leave(&self) -> Result<(), JournalError> {
        let mut connection = self.writer().await?;
        sqlx::query("DELETE FROM nodes WHERE node_id = $1")
            .bind(&self.owner)
            .execute(&mut connection)
            .await
            .map_err(unavailable)?;
        self.keep(connection).await;
        Ok(())
    }

    async fn view(&self, grace: Duration) -> Result<View, JournalError> {
        let mut connection = self.writer().await?;
        let view = self.seen(&mut connection, grace).await.map_err(unavailable)?;
        self.keep(connection).await;
        view
    }

    async fn claim_one(
        &self,
        seen: &ShardView,
        above: u64,
        lease: Duration,
    ) -> Result<Option<Head>, JournalError> {
        let mut connection = self.writer().await?;
        // Waits for any append in flight. The lease is the one that was watched: it was not renewed
        // since.
        let row = sqlx::query(
            "UPDATE shards SET epoch = greatest(epoch, $5) + 1, owner = $1,
                    lease_until = clock_timestamp() + $2 * interval '1 microsecond'
             WHERE shard = $3 AND epoch = $4 AND frozen IS NULL
               AND state = 'HERE' AND lease_until::text = $6
             RETURNING *",
        )
        .bind(&self.owner)
        .bind(micros(lease))
        .bind(i32::from(seen.head.shard))
        .bind(seen.head.epoch.cast_signed())
        .bind(above.cast_signed())
        .bind(&seen.lease)
        .fetch_optional(&mut connection)
        .await
        .map_err(unavailable)?;
        self.keep(connection).await;
        row.as_ref().map(head).transpose()
    }

    async fn claim_own(
        &self,
        above: &BTreeMap<u16, u64>,
        lease: Duration,
    ) -> Result<Vec<Head>, JournalError> {
        let mut connection = self.writer().await?;
        let taken = async {
            let mut tx = begin_on(&mut connection).await?;
            // In order of the shards, so that two nodes that do this wait for each other in one
            // direction.
            sqlx::query("SELECT shard FROM shards WHERE owner = $1 ORDER BY shard FOR UPDATE")
                .bind(&self.owner)
                .execute(&mut *tx)
                .await?;
            let rows = sqlx::query(
                "UPDATE shards SET epoch = 1 + greatest(epoch,
                            (SELECT known FROM unnest($3::int[], $4::bigint[]) AS above (number, known)
                             WHERE number = shard)),
                        lease_until = clock_timestamp() + $2 * interval '1 microsecond'
                 WHERE owner = $1 RETURNING *",
            )
            .bind(&self.owner)
            .bind(micros(lease))
            .bind(above.keys().map(|shard| i32::from(*shard)).collect::<Vec<_>>())
            .bind(above.values().map(|epoch| epoch.cast_signed()).collect::<Vec<_>>())
            .fetch_all(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok::<_, sqlx::Error>(rows)
        };
        let rows = taken.await.map_err(unavailable)?;
        self.keep(connection).await;
        rows.iter().map(head).collect()
    }

    async fn give(&self, shard: &Head, to: &str, lease: Duration) -> Result<(), JournalError> {
        let mut connection = self.writer().await?;
        sqlx::query(
            "UPDATE shards SET epoch = epoch + 1, owner = $1,
                    lease_until = clock_timestamp() + $2 * interval '1 microsecond'
             WHERE shard = $3 AND epoch = $4 AND owner = $5",
        )
        .bind(to)
        .bind(micros(lease))
        .bind(i32::from(shard.shard))
        .bind(shard.epoch.cast_signed())
        .bind(&self.owner)
        .execute(&mut connection)
        .await
        .map_err(unavailable)?;
        self.notify_shards_changed(&mut connection).await.map_err(unavailable)?;
        self.keep(connection).await;
        Ok(())
    }

    async fn freeze(
        &self,
        shard: u16,
        reason: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        // Its owner may be cut off and trust its lease for a while: from now on that is watched.
        let change = "frozen = $2::text, epoch = epoch + 1, owner = '',
                      lease_until = CASE WHEN $2::text IS NULL THEN lease_until
                                         ELSE clock_timestamp() END";
        let description =
            ["COALESCE('frozen: ' || frozen, 'open')", "COALESCE('frozen: ' || $2::text, 'open')"];
        self.write_setting(change, description, shard, reason, action).await
    }

    async fn pin(
        &self,
        shard: u16,
        name: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError> {
        let description = [
            "COALESCE('for node ' || pinned, 'for any node')",
            "COALESCE('for node ' || $2::text, 'for any node')",
        ];
        self.write_setting("pinned = $2::text", description, shard, name, action).await
    }
}
