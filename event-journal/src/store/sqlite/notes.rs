//! Records beside the events.

use std::collections::BTreeMap;

use async_trait::async_trait;
use shared_events::contract::Timestamp;
use shared_events::stream::{ActionsAsked, OperatorAction, begin_immediate};

use super::file::SqliteStore;
use crate::error::JournalError;
use crate::event::Quarantined;
use crate::id::StreamId;
use crate::keys::Key;
use crate::store::chronicle::{Beginning, Chronicle};
use crate::store::port::Notes;
use crate::store::rows::{
    COUNT_QUARANTINED, DOUBT, KEYS, NOTE_ACTION, QUARANTINE, QUARANTINED, action, beginning,
    chronicle, key, quarantined, through, unavailable, with_action,
};

#[async_trait]
impl Notes for SqliteStore {
    async fn chronicle(&self) -> Result<Option<Chronicle>, JournalError> {
        if self.is_missing("journal").await? {
            return Ok(None);
        }
        let row = sqlx::query("SELECT * FROM journal").fetch_one(&self.reader).await;
        chronicle(&row.map_err(unavailable)?).map(Some)
    }

    async fn doubt(&self, why: &str, incarnation: u64) -> Result<(), JournalError> {
        sqlx::query(DOUBT)
            .bind(why)
            .bind(incarnation.cast_signed())
            .execute(self.writer()?)
            .await
            .map_err(unavailable)
            .map(drop)
    }

    async fn begin_incarnation(
        &self,
        beginning: &Beginning,
        action: Option<&OperatorAction>,
    ) -> Result<bool, JournalError> {
        let mut tx = begin_immediate(self.writer()?).await.map_err(unavailable)?;
        let begun =
            sqlx::query("INSERT INTO incarnations VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
                .bind(beginning.number.cast_signed())
                .bind(beginning.at.micros())
                .bind(&beginning.reason)
                .bind(&beginning.said_by)
                .bind(&beginning.heads)
                .execute(&mut *tx)
                .await
                .map_err(unavailable)?;
        if begun.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("UPDATE journal SET incarnation = ?, doubted = NULL")
            .bind(beginning.number.cast_signed())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        if let Some(action) = action {
            let note = with_action(sqlx::query(NOTE_ACTION), action);
            note.execute(&mut *tx).await.map_err(unavailable)?;
        }
        tx.commit().await.map_err(unavailable)?;
        Ok(true)
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
            .fetch_all(&self.reader)
            .await
            .map_err(unavailable)?;
        rows.iter().map(action).collect()
    }

    async fn incarnations(&self) -> Result<Vec<Beginning>, JournalError> {
        if self.is_missing("incarnations").await? {
            return Ok(Vec::new());
        }
        let sql = "SELECT * FROM incarnations ORDER BY number";
        let rows = sqlx::query(sql).fetch_all(&self.reader).await.map_err(unavailable)?;
        rows.iter().map(beginning).collect()
    }

    async fn ids_by_position(&self) -> Result<BTreeMap<u16, u64>, JournalError> {
        // A file that was not opened for writing since has only such ids.
        let sql = match self.is_missing("ids_by_position").await? {
            true => "SELECT shard, head_position AS through FROM shards",
            false => "SELECT shard, through FROM ids_by_position",
        };
        let rows = sqlx::query(sql).fetch_all(&self.reader).await.map_err(unavailable)?;
        rows.iter().map(through).collect()
    }

    async fn fingerprint_keys(&self) -> Result<Vec<Key>, JournalError> {
        if self.is_missing("fingerprint_keys").await? {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(KEYS).fetch_all(&self.reader).await.map_err(unavailable)?;
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
            .bind(now.micros())
            .execute(self.writer()?)
            .await
            .map_err(unavailable)
            .map(drop)
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        let rows = sqlx::query(QUARANTINED).fetch_all(&self.reader).await.map_err(unavailable)?;
        rows.iter().map(quarantined).collect()
    }

    async fn count_quarantined(&self) -> Result<u64, JournalError> {
        let reader = &self.reader;
        let count: i64 =
            sqlx::query_scalar(COUNT_QUARANTINED).fetch_one(reader).await.map_err(unavailable)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}
