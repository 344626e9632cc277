//! Records beside the events.

use std::collections::BTreeMap;

use async_trait::async_trait;
use shared_events::contract::Timestamp;
use shared_events::stream::{ActionsAsked, OperatorAction};

use super::session::PostgresStore;
use super::types::Instant;
use crate::error::JournalError;
use crate::event::Quarantined;
use crate::id::StreamId;
use crate::keys::Key;
use crate::store::chronicle::{Beginning, Chronicle};
use crate::store::port::Notes;
use crate::store::rows::{
    COUNT_QUARANTINED, DOUBT, KEYS, QUARANTINE, QUARANTINED, action, beginning, chronicle, key,
    quarantined, through, unavailable,
};

/// One statement, so that it is all or nothing without a transaction that could be left open.
const BEGIN_INCARNATION: &str = include_str!("sql/begin_incarnation.sql");

#[async_trait]
impl Notes for PostgresStore {
    async fn chronicle(&self) -> Result<Option<Chronicle>, JournalError> {
        // Tables older than the column are read only by readers.
        let sql = "SELECT journal_id, to_jsonb(journal) ->> 'doubted' AS doubted,
                 coalesce((to_jsonb(journal) ->> 'incarnation')::bigint, 1) AS incarnation,
                 coalesce((to_jsonb(journal) ->> 'doubted_incarnation')::bigint, 0)
                     AS doubted_incarnation
             FROM journal";
        let row =
            sqlx::query(sql).fetch_optional(self.reader().await?).await.map_err(unavailable)?;
        row.as_ref().map(chronicle).transpose()
    }

    async fn doubt(&self, why: &str, incarnation: u64) -> Result<(), JournalError> {
        sqlx::query(DOUBT)
            .bind(why)
            .bind(incarnation.cast_signed())
            .execute(self.reader().await?)
            .await
            .map_err(unavailable)
            .map(drop)
    }

    async fn begin_incarnation(
        &self,
        beginning: &Beginning,
        action: Option<&OperatorAction>,
    ) -> Result<bool, JournalError> {
        sqlx::query_scalar(BEGIN_INCARNATION)
            .bind(beginning.number.cast_signed())
            .bind(Instant(beginning.at))
            .bind(&beginning.reason)
            .bind(&beginning.said_by)
            .bind(&beginning.heads)
            .bind(action.map(|action| action.id.to_string()))
            .bind(action.map(|action| action.at.micros()))
            .bind(action.map(|action| &action.by.role))
            .bind(action.map(|action| &action.by.subject))
            .bind(action.map(|action| &action.verb))
            .bind(action.map(|action| &action.kind))
            .bind(action.map(|action| &action.target))
            .bind(action.map(|action| &action.reason))
            .bind(action.map(|action| &action.before))
            .bind(action.map(|action| &action.after))
            .fetch_one(self.reader().await?)
            .await
            .map_err(unavailable)
    }

    async fn operator_actions(
        &self,
        asked: &ActionsAsked,
    ) -> Result<Vec<OperatorAction>, JournalError> {
        let (at, id) = asked.before_text();
        let rows = sqlx::query(ActionsAsked::SQL)
            .bind(&asked.kind)
            .bind(&asked.target)
            .bind(&asked.subject)
            .bind(at)
            .bind(id)
            .bind(i64::from(asked.limit))
            .bind(asked.target_spelled())
            .fetch_all(self.reader().await?)
            .await
            .map_err(unavailable)?;
        rows.iter().map(action).collect()
    }

    async fn incarnations(&self) -> Result<Vec<Beginning>, JournalError> {
        let sql = "SELECT number, began_at, reason, said_by, heads::text AS heads
                   FROM incarnations ORDER BY number";
        let rows = sqlx::query(sql).fetch_all(self.reader().await?).await.map_err(unavailable)?;
        rows.iter().map(beginning).collect()
    }

    async fn ids_by_position(&self) -> Result<BTreeMap<u16, u64>, JournalError> {
        let pool = self.reader().await?;
        let there: bool = sqlx::query_scalar("SELECT to_regclass('ids_by_position') IS NOT NULL")
            .fetch_one(pool)
            .await
            .map_err(unavailable)?;
        // Tables that were not migrated have only such ids.
        let sql = match there {
            true => "SELECT shard, through FROM ids_by_position",
            false => "SELECT shard, head_position AS through FROM shards",
        };
        let rows = sqlx::query(sql).fetch_all(pool).await.map_err(unavailable)?;
        rows.iter().map(through).collect()
    }

    async fn fingerprint_keys(&self) -> Result<Vec<Key>, JournalError> {
        let pool = self.reader().await?;
        let there = "SELECT to_regclass('fingerprint_keys') IS NOT NULL";
        if !sqlx::query_scalar(there).fetch_one(pool).await.map_err(unavailable)? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(KEYS).fetch_all(pool).await.map_err(unavailable)?;
        rows.iter().map(key).collect()
    }

    async fn quarantine(
        &self,
        stream_id: StreamId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        sqlx::query(QUARANTINE)
            .bind(stream_id.to_string())
            .bind(reason)
            .bind(Instant(now))
            .execute(self.reader().await?)
            .await
            .map_err(unavailable)
            .map(drop)
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        let reader = self.reader().await?;
        let rows = sqlx::query(QUARANTINED).fetch_all(reader).await.map_err(unavailable)?;
        rows.iter().map(quarantined).collect()
    }

    async fn count_quarantined(&self) -> Result<u64, JournalError> {
        let reader = self.reader().await?;
        let count: i64 =
            sqlx::query_scalar(COUNT_QUARANTINED).fetch_one(reader).await.map_err(unavailable)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}
