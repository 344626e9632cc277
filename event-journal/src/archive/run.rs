//! A run that moves old events out of the table of a Postgres journal.

use shared_events::contract::Timestamp;
use shared_events::stream::{Cursors, Session};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Postgres, Row as _};

use super::error::{ArchivingError, damaged};
use crate::chain::GENESIS;
use crate::event::ChainedEvent;
use crate::files::Archived;
use crate::shards::ShardMap;
use crate::store::{Instant, READ, archived, chained, unavailable};

/// Events read per query.
pub(super) const PAGE: i64 = 1_000;

/// A run that moves old events out of the table of a Postgres journal, while writers continue.
///
/// The table is never deleted from. The events to keep are copied into a new table, which is easy
/// because events never change; events appended meanwhile are copied after them; then the new table
/// takes the old one's name in one transaction, which also records the files that hold the others.
/// A run killed at any point leaves either the old or the new table, complete, and files that the
/// next run uses. A run is one database session and ends with it.
pub struct Archiving {
    pub(super) db: PgConnection,
    pub(super) files: Vec<Archived>,
}

impl Archiving {
    /// Begins a run on the journal in this schema. One run at a time.
    ///
    /// # Errors
    /// [`ArchivingError::Busy`], [`ArchivingError::Damaged`] where events are at positions that no
    /// writer can have written, [`ArchivingError::Unexpected`], [`ArchivingError::Journal`].
    pub async fn begin(url: &str, schema: &str) -> Result<Self, ArchivingError> {
        let options: PgConnectOptions = url.parse().map_err(unavailable)?;
        let options = options.application_name("ordinal-archive").disable_statement_logging();
        let mut db = PgConnection::connect_with(&options).await?;
        let session = Session::new(schema).map_err(unavailable)?.without_idle_timeout();
        session.begin::<Postgres>(&mut db).await?;
        // Released with the session. This lock saves work; the swap makes two runs safe.
        let alone: bool =
            sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
                .bind(format!("ordinal archive {schema}"))
                .fetch_one(&mut db)
                .await?;
        if !alone {
            return Err(ArchivingError::Busy);
        }
        sqlx::query("DROP TABLE IF EXISTS events_next").execute(&mut db).await?;
        let beyond: Option<(i32, i64)> = sqlx::query_as(
            "SELECT events.shard, position FROM events LEFT JOIN shards USING (shard)
             WHERE head_position IS NULL OR position > head_position LIMIT 1",
        )
        .fetch_optional(&mut db)
        .await?;
        if let Some((shard, position)) = beyond {
            let detail = format!("shard {shard} position {position} is behind its head");
            return Err(ArchivingError::Damaged(detail));
        }
        let unexpected: Option<String> = sqlx::query_scalar(
            "SELECT 'the index ' || indexrelid::regclass FROM pg_index
             WHERE indrelid = 'events'::regclass
               AND indexrelid <> ALL (ARRAY['events_pkey', 'events_position']::regclass[])
             UNION ALL
             SELECT 'the publication ' || pubname FROM pg_publication_rel
             JOIN pg_publication ON pg_publication.oid = prpubid
             WHERE prrelid = 'events'::regclass LIMIT 1",
        )
        .fetch_optional(&mut db)
        .await?;
        if let Some(unexpected) = unexpected {
            return Err(ArchivingError::Unexpected(unexpected));
        }
        let rows = sqlx::query("SELECT * FROM archives ORDER BY shard, first_position")
            .fetch_all(&mut db)
            .await?;
        let files = rows.iter().map(archived).collect::<Result<_, _>>()?;
        Ok(Self { db, files })
    }

    /// Begins a run on each database of a journal.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn of_all(map: &ShardMap, schema: &str) -> Result<Vec<Self>, ArchivingError> {
        let mut all = Vec::new();
        for place in map.places() {
            all.push(Self::begin(&place.url, schema).await?);
        }
        Ok(all)
    }

    /// How far each shard that is served here can be archived: everything before its first event of
    /// that instant or later. Shards that cannot go further are absent.
    ///
    /// # Errors
    /// [`ArchivingError::Journal`]
    pub async fn reach(&mut self, before: Timestamp) -> Result<Cursors, ArchivingError> {
        let mut reach = Cursors::default();
        let here: Vec<i32> = sqlx::query_scalar("SELECT shard FROM shards WHERE state = 'HERE'")
            .fetch_all(&mut self.db)
            .await?;
        for (shard, head) in self.heads().await? {
            // The others are being moved or have moved away: their events here may be a copy.
            if !here.contains(&i32::from(shard)) {
                continue;
            }
            let (from, _) = self.end(shard);
            let first: Option<i64> = sqlx::query_scalar(
                "SELECT position FROM events
                 WHERE shard = $1 AND position > $2 AND recorded_at >= $3
                 ORDER BY position LIMIT 1",
            )
            .bind(i32::from(shard))
            .bind(from.cast_signed())
            .bind(Instant(before))
            .fetch_optional(&mut self.db)
            .await?;
            let end = first.map_or(head, |first| first.cast_unsigned() - 1);
            if end > from {
                reach.advance(shard, end);
            }
        }
        Ok(reach)
    }

    /// Where the archive of a shard ends now: position and hash.
    pub(super) fn end(&self, shard: u16) -> (u64, [u8; 32]) {
        let last = self.files.iter().rfind(|file| file.shard == shard);
        last.map_or((0, GENESIS), |file| (file.last, file.last_hash))
    }

    pub(super) async fn heads(&mut self) -> Result<Vec<(u16, u64)>, ArchivingError> {
        let rows = sqlx::query("SELECT shard, head_position FROM shards ORDER BY shard")
            .fetch_all(&mut self.db)
            .await?;
        let heads = rows.iter().map(|row| {
            let shard = u16::try_from(row.try_get::<i32, _>(0)?).unwrap_or(u16::MAX);
            Ok((shard, row.try_get::<i64, _>(1)?.cast_unsigned()))
        });
        heads.collect()
    }

    pub(super) async fn page(
        &mut self,
        shard: u16,
        after: u64,
        through: u64,
    ) -> Result<Vec<ChainedEvent>, ArchivingError> {
        let through = through.min(after + PAGE.cast_unsigned());
        let rows = sqlx::query(READ)
            .bind(vec![i32::from(shard)])
            .bind(vec![after.cast_signed()])
            .bind(vec![through.cast_signed()])
            .fetch_all(&mut self.db)
            .await?;
        let events: Vec<ChainedEvent> =
            rows.iter().map(chained).collect::<Result<_, _>>().map_err(damaged)?;
        if events.is_empty() && after < through {
            let detail = format!("shard {shard} has no event after position {after}");
            return Err(ArchivingError::Damaged(detail));
        }
        Ok(events)
    }

    /// Closes the session, and with it the run: the next one can begin immediately.
    pub async fn close(mut self) {
        let unlocked = sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.db).await;
        if let Err(error) = unlocked.and(self.db.close().await) {
            tracing::debug!(%error, "the archiving session did not close cleanly");
        }
    }
}
