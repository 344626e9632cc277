//! Swaps in a new table without the archived events.

use std::time::Duration;

use shared_events::stream::OperatorAction;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::error::{ArchivingError, changed_meanwhile};
use super::run::{Archiving, PAGE};
use super::select::Selection;
use crate::files::Manifest;
use crate::store::{NOTE_ACTION, with_action};

/// Rows copied in one statement: short enough that vacuum is not held back.
const COPY: i64 = 50_000;

/// The new table is swapped in once no more than this remains to be copied while appends wait.
const REST_MAX: u64 = 2_000;

/// How long the swap waits for readers of the old table, with every later query queued behind it;
/// then it lets them go and tries again.
const LOCK_WITHIN: &str = "SET LOCAL lock_timeout = '1500ms'";

const LOCK_AGAIN: Duration = Duration::from_secs(1);

const LOCK_TRIES: u32 = 60;

/// Indexes, grants and triggers of the table, without its rows. Triggers last: they name the table.
const BELONGS: &str = include_str!("sql/belongs.sql");

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchivedCounts {
    /// Events in the table now.
    pub remaining: u64,
    /// How long appends may have had to wait.
    pub locked: Duration,
    /// Bytes of the table and its indexes, before.
    pub bytes_before: u64,
    /// Bytes of the table and its indexes, after.
    pub bytes_after: u64,
}

impl Archiving {
    /// Removes the events of the selected streams that these files hold from the table. The files
    /// must be on disk and read back before. The operator's action is recorded with that, on the
    /// journal by its id.
    ///
    /// # Errors
    /// [`ArchivingError`]; then nothing was removed, and nothing recorded.
    pub async fn remove_archived(
        mut self,
        written: &[Manifest],
        selection: &Selection,
        action: &OperatorAction,
    ) -> Result<ArchivedCounts, ArchivingError> {
        let removed = self.replace(written, selection, action).await;
        if removed.is_err() {
            // Otherwise it would occupy disk space until the next run, which drops it too.
            let dropped = sqlx::query("DROP TABLE IF EXISTS events_next").execute(&mut self.db);
            if let Err(error) = dropped.await {
                tracing::warn!(%error, "the unfinished table stays until the next run");
            }
        }
        self.close().await;
        removed
    }

    async fn replace(
        &mut self,
        written: &[Manifest],
        selection: &Selection,
        action: &OperatorAction,
    ) -> Result<ArchivedCounts, ArchivingError> {
        let bytes_before = self.bytes().await?;
        self.name_streams().await?;
        sqlx::query("ANALYZE selected").execute(&mut self.db).await?;
        sqlx::query("CREATE TABLE events_next (LIKE events INCLUDING ALL EXCLUDING INDEXES)")
            .execute(&mut self.db)
            .await?;
        let ends = |shard: u16, known: u64| {
            let new = written.iter().rfind(|file| file.shard == shard);
            new.map_or(known, |file| file.last_position)
        };
        let mut copied = Vec::new();
        let mut retained = 0;
        for (shard, head) in self.heads().await? {
            let archived = ends(shard, self.end(shard).0);
            retained += self.copy(shard, 0, archived).await?;
            if self.copy(shard, archived, head).await? != head - archived {
                return Err(changed_meanwhile());
            }
            copied.push((shard, head));
        }
        if retained != selection.retained {
            let detail = format!(
                "{retained} events would stay in the table instead of {}",
                selection.retained
            );
            return Err(ArchivingError::Disturbed(detail));
        }
        for sql in [
            "ALTER TABLE events_next ADD CONSTRAINT events_next_pkey
                 PRIMARY KEY (aggregate_type, aggregate_id, sequence)",
            "ALTER TABLE events_next ADD CONSTRAINT events_next_position UNIQUE (shard, position)",
            "ANALYZE events_next",
        ] {
            sqlx::query(sql).execute(&mut self.db).await?;
        }
        let mut tries = 0;
        let (locked, remaining) = loop {
            self.catch_up(&mut copied).await?;
            match self.swap(written, &mut copied, action).await {
                Ok(locked) => {
                    let remaining =
                        copied.iter().map(|(shard, head)| head - ends(*shard, self.end(*shard).0));
                    break (locked, remaining.sum::<u64>() + retained);
                }
                Err(Swap::Waited) if tries < LOCK_TRIES => {
                    tries += 1;
                    sleep(LOCK_AGAIN).await;
                }
                Err(Swap::Waited) => {
                    let detail = "the table of events is being read all the time".to_owned();
                    return Err(ArchivingError::Disturbed(detail));
                }
                Err(Swap::Failed(error)) => return Err(error),
            }
        };
        let bytes_after = self.bytes().await?;
        Ok(ArchivedCounts { remaining, locked, bytes_before, bytes_after })
    }

    async fn bytes(&mut self) -> Result<u64, ArchivingError> {
        let bytes: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('events')")
            .fetch_one(&mut self.db)
            .await?;
        Ok(bytes.cast_unsigned())
    }

    /// Records the positions of the selected streams before they are removed; the record counts
    /// only once they are.
    async fn name_streams(&mut self) -> Result<(), ArchivingError> {
        let mut after = String::new();
        loop {
            let last: Option<String> = sqlx::query_scalar(
                "WITH page AS (
                     SELECT * FROM selected WHERE order_id > $1 ORDER BY order_id LIMIT $2
                 ), named AS (
                     INSERT INTO archived_orders
                     SELECT order_id::uuid, positions::bigint[] FROM page
                     ON CONFLICT (order_id) DO UPDATE SET positions = excluded.positions
                     WHERE archived_orders.positions <> excluded.positions
                 )
                 SELECT MAX(order_id) FROM page",
            )
            .bind(&after)
            .bind(PAGE)
            .fetch_one(&mut self.db)
            .await?;
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        // Appends and reads of one stream look here: their plans must know the number of rows.
        sqlx::query("ANALYZE archived_orders").execute(&mut self.db).await?;
        Ok(())
    }

    /// Copies the events to keep of a shard between two positions; returns how many.
    async fn copy(&mut self, shard: u16, after: u64, through: u64) -> Result<u64, ArchivingError> {
        let (mut after, through) = (after.cast_signed(), through.cast_signed());
        let mut copied = 0;
        while after < through {
            let end: Option<i64> = sqlx::query_scalar(
                "SELECT MAX(position) FROM (
                     SELECT position FROM events
                     WHERE shard = $1 AND position > $2 AND position <= $3
                     ORDER BY position LIMIT $4) AS page",
            )
            .bind(i32::from(shard))
            .bind(after)
            .bind(through)
            .bind(COPY)
            .fetch_one(&mut self.db)
            .await?;
            let Some(end) = end else { break };
            let done = sqlx::query(
                "INSERT INTO events_next SELECT * FROM events
                 WHERE shard = $1 AND position > $2 AND position <= $3
                   AND NOT EXISTS (SELECT FROM selected WHERE order_id = aggregate_id)",
            )
            .bind(i32::from(shard))
            .bind(after)
            .bind(end)
            .execute(&mut self.db)
            .await?;
            copied += done.rows_affected();
            after = end;
        }
        Ok(copied)
    }

    /// Copies what was appended meanwhile, until little remains.
    async fn catch_up(&mut self, copied: &mut [(u16, u64)]) -> Result<(), ArchivingError> {
        loop {
            let mut rest = 0;
            for ((shard, head), (_, at)) in self.heads().await?.into_iter().zip(&mut *copied) {
                if self.copy(shard, *at, head).await? != head - *at {
                    return Err(changed_meanwhile());
                }
                rest += head - *at;
                *at = head;
            }
            if rest <= REST_MAX {
                return Ok(());
            }
        }
    }

    /// The new table replaces the old one, all or nothing.
    async fn swap(
        &mut self,
        written: &[Manifest],
        copied: &mut [(u16, u64)],
        action: &OperatorAction,
    ) -> Result<Duration, Swap> {
        sqlx::raw_sql(&format!("BEGIN; {LOCK_WITHIN}")).execute(&mut self.db).await?;
        let swapped = self.swapped(written, copied, action).await;
        let end = if swapped.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = sqlx::raw_sql(end).execute(&mut self.db).await;
        let since = swapped?;
        ended?;
        Ok(since.elapsed())
    }

    async fn swapped(
        &mut self,
        written: &[Manifest],
        copied: &mut [(u16, u64)],
        action: &OperatorAction,
    ) -> Result<Instant, Swap> {
        let journal: Uuid =
            sqlx::query_scalar("SELECT journal_id FROM journal").fetch_one(&mut self.db).await?;
        let since = Instant::now();
        // Waits for appends and reads in flight. Later ones find the new table.
        sqlx::query("LOCK TABLE events IN ACCESS EXCLUSIVE MODE").execute(&mut self.db).await?;
        for ((shard, head), (_, at)) in self.heads().await?.into_iter().zip(copied) {
            if self.copy(shard, *at, head).await? != head - *at {
                return Err(Swap::Failed(changed_meanwhile()));
            }
            *at = head;
        }
        let belongs: Vec<String> = sqlx::query_scalar(BELONGS).fetch_all(&mut self.db).await?;
        for manifest in written {
            sqlx::query(
                "INSERT INTO archives
                     (shard, first_position, last_position, last_hash, file, sha256)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(i32::from(manifest.shard))
            .bind(manifest.first_position.cast_signed())
            .bind(manifest.last_position.cast_signed())
            .bind(manifest.hash_after.as_slice())
            .bind(&manifest.file)
            .bind(manifest.sha256.as_slice())
            .execute(&mut self.db)
            .await?;
        }
        for sql in [
            "DROP TABLE events",
            "ALTER TABLE events_next RENAME TO events",
            "ALTER TABLE events RENAME CONSTRAINT events_next_pkey TO events_pkey",
            "ALTER TABLE events RENAME CONSTRAINT events_next_position TO events_position",
        ] {
            sqlx::query(sql).execute(&mut self.db).await?;
        }
        for sql in belongs {
            sqlx::raw_sql(&sql).execute(&mut self.db).await?;
        }
        let action = OperatorAction { target: journal.to_string(), ..action.clone() };
        with_action(sqlx::query(NOTE_ACTION), &action).execute(&mut self.db).await?;
        Ok(since)
    }
}

/// Why the swap did not happen.
enum Swap {
    /// Other sessions held the table for too long.
    Waited,
    Failed(ArchivingError),
}

impl From<sqlx::Error> for Swap {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some("55P03") { Self::Waited } else { Self::Failed(error.into()) }
    }
}

impl From<ArchivingError> for Swap {
    fn from(error: ArchivingError) -> Self {
        Self::Failed(error)
    }
}
