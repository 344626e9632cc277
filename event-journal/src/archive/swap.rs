//! Puts a new table, without what leaves, in the place of the old one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::{ArchivingError, came_back};
use super::run::{Archiving, PAGE};
use super::select::Leaving;
use crate::files::Manifest;

/// Rows copied in one statement: short enough that vacuum is not held back.
const COPY: i64 = 50_000;

/// The new table is swapped in once no more than this is left to copy while appends wait.
const REST_MAX: u64 = 2_000;

/// How long the swap waits for whoever reads the old table, and everybody else behind it; then it
/// lets them go and tries again.
const LOCK_WITHIN: &str = "SET LOCAL lock_timeout = '1500ms'";

const LOCK_AGAIN: Duration = Duration::from_secs(1);

const LOCK_TRIES: u32 = 60;

/// What belongs to the table and not to its rows. Triggers last: they name the table.
const BELONGS: &str = include_str!("sql/belongs.sql");

/// What a run brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Events in the table now.
    pub remaining: u64,
    /// For how long appends may have had to wait.
    pub locked: Duration,
    /// Bytes of the table and its indexes, before.
    pub bytes_before: u64,
    /// And after.
    pub bytes_after: u64,
}

impl Archiving {
    /// Takes what was written into these files and belongs to the selected streams out of the
    /// table. The files must be on disk, read back, before.
    ///
    /// # Errors
    /// [`ArchivingError`]; then nothing has left.
    pub async fn leave(
        mut self,
        written: &[Manifest],
        leaving: &Leaving,
    ) -> Result<Left, ArchivingError> {
        let left = self.replace(written, leaving).await;
        if left.is_err() {
            // Else it would take its room until the next run, which drops it too.
            let dropped = sqlx::query("DROP TABLE IF EXISTS events_next").execute(&mut self.db);
            if let Err(error) = dropped.await {
                tracing::warn!(%error, "the half-made table stays until the next run");
            }
        }
        self.close().await;
        left
    }

    async fn replace(
        &mut self,
        written: &[Manifest],
        leaving: &Leaving,
    ) -> Result<Left, ArchivingError> {
        let bytes_before = self.bytes().await?;
        self.name_streams().await?;
        sqlx::query("ANALYZE leaving").execute(&mut self.db).await?;
        sqlx::query("CREATE TABLE events_next (LIKE events INCLUDING ALL EXCLUDING INDEXES)")
            .execute(&mut self.db)
            .await?;
        let ends = |shard: u16, known: u64| {
            let new = written.iter().rfind(|file| file.shard == shard);
            new.map_or(known, |file| file.last_position)
        };
        let mut copied = Vec::new();
        let mut staying = 0;
        for (shard, head) in self.heads().await? {
            let archived = ends(shard, self.end(shard).0);
            staying += self.copy(shard, 0, archived).await?;
            if self.copy(shard, archived, head).await? != head - archived {
                return Err(came_back());
            }
            copied.push((shard, head));
        }
        if staying != leaving.staying {
            let detail = format!("{staying} events would stay instead of {}", leaving.staying);
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
            match self.swap(written, &mut copied).await {
                Ok(locked) => {
                    let remaining =
                        copied.iter().map(|(shard, head)| head - ends(*shard, self.end(*shard).0));
                    break (locked, remaining.sum::<u64>() + staying);
                }
                Err(Swap::Waited) if tries < LOCK_TRIES => {
                    tries += 1;
                    sleep(LOCK_AGAIN).await;
                }
                Err(Swap::Waited) => {
                    let detail = "somebody reads the table of events all the time".to_owned();
                    return Err(ArchivingError::Disturbed(detail));
                }
                Err(Swap::Failed(error)) => return Err(error),
            }
        };
        let bytes_after = self.bytes().await?;
        Ok(Left { remaining, locked, bytes_before, bytes_after })
    }

    async fn bytes(&mut self) -> Result<u64, ArchivingError> {
        let bytes: i64 = sqlx::query_scalar("SELECT pg_total_relation_size('events')")
            .fetch_one(&mut self.db)
            .await?;
        Ok(bytes.cast_unsigned())
    }

    /// Says where the streams that leave are, before they do: it counts only once they have.
    async fn name_streams(&mut self) -> Result<(), ArchivingError> {
        let mut after = String::new();
        loop {
            let last: Option<String> = sqlx::query_scalar(
                "WITH page AS (
                     SELECT * FROM leaving WHERE order_id > $1 ORDER BY order_id LIMIT $2
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
        // Appends and reads of one stream look here: their plans must know how many there are.
        sqlx::query("ANALYZE archived_orders").execute(&mut self.db).await?;
        Ok(())
    }

    /// Copies what stays of a shard between two positions: how many events that is.
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
                   AND NOT EXISTS (SELECT FROM leaving WHERE order_id = aggregate_id)",
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

    /// Copies what was appended meanwhile, until that is little.
    async fn catch_up(&mut self, copied: &mut [(u16, u64)]) -> Result<(), ArchivingError> {
        loop {
            let mut rest = 0;
            for ((shard, head), (_, at)) in self.heads().await?.into_iter().zip(&mut *copied) {
                if self.copy(shard, *at, head).await? != head - *at {
                    return Err(came_back());
                }
                rest += head - *at;
                *at = head;
            }
            if rest <= REST_MAX {
                return Ok(());
            }
        }
    }

    /// The new table takes the place of the old one, all or nothing.
    async fn swap(
        &mut self,
        written: &[Manifest],
        copied: &mut [(u16, u64)],
    ) -> Result<Duration, Swap> {
        sqlx::raw_sql(&format!("BEGIN; {LOCK_WITHIN}")).execute(&mut self.db).await?;
        let swapped = self.swapped(written, copied).await;
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
    ) -> Result<Instant, Swap> {
        let since = Instant::now();
        // Waits for appends and reads in flight. Whoever comes later finds the new table.
        sqlx::query("LOCK TABLE events IN ACCESS EXCLUSIVE MODE").execute(&mut self.db).await?;
        for ((shard, head), (_, at)) in self.heads().await?.into_iter().zip(copied) {
            if self.copy(shard, *at, head).await? != head - *at {
                return Err(Swap::Failed(came_back()));
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
        Ok(since)
    }
}

/// Why the swap did not happen.
enum Swap {
    /// Somebody else had the table for too long.
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
