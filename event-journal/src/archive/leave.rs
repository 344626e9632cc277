use std::path::Path;
use std::time::Duration;

use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{Cursors, Session};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Postgres, Row as _};
use tokio::time::{Instant, sleep};

use super::directory::{Archive, ArchiveError};
use super::file::{FileWriter, sync_folders};
use super::manifest::{Archived, Manifest};
use crate::chain::{GENESIS, chain_hash};
use crate::error::JournalError;
use crate::event::{ChainedEvent, StoredEvent};
use crate::map::ShardMap;
use crate::postgres::{Instant as Recorded, READ, archived, away, chained, stored};

/// Events read at once.
const PAGE: i64 = 1_000;
/// Rows copied in one statement: short enough that vacuum is not held back.
const COPY: i64 = 50_000;
/// The new table is swapped in once no more than this is left to copy while appends wait.
const REST_MAX: u64 = 2_000;
/// How long the swap waits for whoever reads the old table, and everybody else behind it; then it
/// lets them go and tries again.
const LOCK_WITHIN: &str = "SET LOCAL lock_timeout = '1500ms'";
const LOCK_AGAIN: Duration = Duration::from_secs(1);
const LOCK_TRIES: u32 = 60;

/// Why events did not leave. Nothing was taken from the table; files that were written are found
/// and used by the next run.
#[derive(Debug, thiserror::Error)]
pub enum ArchivingError {
    /// Another run is at work on this journal.
    #[error("another archiving is at work on this journal")]
    Busy,
    /// The journal holds what nobody can have written.
    #[error("the journal is damaged, so nothing leaves it: {0}; see ordinal verify")]
    Damaged(String),
    /// A file in the archive is of another journal, or was changed.
    #[error("{file}: {detail}")]
    Foreign {
        /// Its path in the archive.
        file: String,
        /// What is wrong.
        detail: String,
    },
    /// A file that was written is not what is read back, or cannot be written.
    #[error("the archive cannot be written: {0}")]
    Archive(String),
    /// Somebody has added something to the table that a new one would not have.
    #[error("the table of events has {0}, which would be lost; drop it first")]
    Unexpected(String),
    /// An order came back while its events were about to leave, or others read the old table all
    /// the time.
    #[error("{0}; run it again")]
    Disturbed(String),
    /// The database is away or refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl ArchivingError {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Busy => "ARCHIVING_BUSY",
            Self::Damaged(_) => "JOURNAL_DAMAGED",
            Self::Foreign { .. } => "ARCHIVE_FOREIGN",
            Self::Archive(_) => "ARCHIVE_UNWRITABLE",
            Self::Unexpected(_) => "EVENTS_TABLE_CHANGED",
            Self::Disturbed(_) => "ARCHIVING_DISTURBED",
            Self::Journal(error) => error.code(),
        }
    }
}

impl From<sqlx::Error> for ArchivingError {
    fn from(error: sqlx::Error) -> Self {
        Self::Journal(away(error))
    }
}

impl From<ArchiveError> for ArchivingError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error.to_string())
    }
}

/// What would leave, or leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// Orders of which nothing stays in the table.
    pub orders: u64,
    /// Their events.
    pub events: u64,
    /// Events of the same positions that stay in the table besides, because their orders are not
    /// over or were at work later.
    pub staying: u64,
}

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

/// A run that takes old events out of the table of a Postgres journal, beside whoever writes to it.
///
/// The table is never deleted from. What is to stay is copied into a new table, which is easy
/// because nothing in it ever changes; what was appended meanwhile follows; then the new one takes
/// the name of the old one in one transaction, which also writes down which files hold the rest.
/// Killed anywhere, it leaves the old table or the new one, whole, and files that the next run
/// uses. All of it is one session, whose end ends the run.
pub struct Archiving {
    db: PgConnection,
    files: Vec<Archived>,
}

impl Archiving {
    /// On the journal in this schema. One run at a time.
    ///
    /// # Errors
    /// [`ArchivingError::Busy`], [`ArchivingError::Damaged`] where events stand where no writer can
    /// have put them, [`ArchivingError::Unexpected`], [`ArchivingError::Journal`].
    pub async fn begin(url: &str, schema: &str) -> Result<Self, ArchivingError> {
        let options: PgConnectOptions = url.parse().map_err(away)?;
        let options = options.application_name("ordinal-archive").disable_statement_logging();
        let mut db = PgConnection::connect_with(&options).await?;
        let session = Session::new(schema).map_err(away)?.unhurried();
        session.begin::<Postgres>(&mut db).await?;
        // Given up with the session. It saves work; what makes two runs safe is the swap.
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

    /// On each database of a journal.
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

    /// How far each shard that is served here can be archived: all that comes before its first event
    /// of that instant or later. Shards that cannot go further are absent.
    ///
    /// # Errors
    /// [`ArchivingError::Journal`]
    pub async fn reach(&mut self, before: Timestamp) -> Result<Cursors, ArchivingError> {
        let mut reach = Cursors::default();
        let here: Vec<i32> = sqlx::query_scalar("SELECT shard FROM shards WHERE state = 'HERE'")
            .fetch_all(&mut self.db)
            .await?;
        for (shard, head) in self.heads().await? {
            // The others are on their way, or have gone: their events here may be a copy.
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
            .bind(Recorded(before))
            .fetch_optional(&mut self.db)
            .await?;
            let end = first.map_or(head, |first| first.cast_unsigned() - 1);
            if end > from {
                reach.advance(shard, end);
            }
        }
        Ok(reach)
    }

    /// Where the archive of a shard ends now.
    fn end(&self, shard: u16) -> (u64, [u8; 32]) {
        let last = self.files.iter().rfind(|file| file.shard == shard);
        last.map_or((0, GENESIS), |file| (file.last, file.last_hash))
    }

    async fn heads(&mut self) -> Result<Vec<(u16, u64)>, ArchivingError> {
        let rows = sqlx::query("SELECT shard, head_position FROM shards ORDER BY shard")
            .fetch_all(&mut self.db)
            .await?;
        let heads = rows.iter().map(|row| {
            let shard = u16::try_from(row.try_get::<i32, _>(0)?).unwrap_or(u16::MAX);
            Ok((shard, row.try_get::<i64, _>(1)?.cast_unsigned()))
        });
        heads.collect()
    }

    /// Writes everything up to there into files, a file per shard and month, follows the chain
    /// meanwhile, and reads each file back. What an earlier run left behind is read and used.
    ///
    /// # Errors
    /// [`ArchivingError`]
    pub async fn write(
        &mut self,
        reach: &Cursors,
        directory: &Path,
    ) -> Result<Vec<Manifest>, ArchivingError> {
        let archive = Archive::new(directory);
        let mut written = Vec::new();
        for (shard, end) in reach.iter() {
            let (mut after, mut hash) = self.end(shard);
            while after < end {
                let found = self.found(&archive, shard, (after, hash), end).await?;
                let manifest = match found {
                    Some(manifest) => manifest,
                    None => {
                        let manifest =
                            self.write_file(archive.directory(), shard, (after, hash), end).await?;
                        archive.read_back(&manifest).await?;
                        manifest
                    }
                };
                (after, hash) = (manifest.last_position, manifest.hash_after);
                written.push(manifest);
            }
        }
        Ok(written)
    }

    /// A file that an earlier run wrote and that says what this one would.
    async fn found(
        &mut self,
        archive: &Archive,
        shard: u16,
        (after, hash): (u64, [u8; 32]),
        end: u64,
    ) -> Result<Option<Manifest>, ArchivingError> {
        let Some(first) = self.page(shard, after, after + 1).await?.pop() else { return Ok(None) };
        let file = Manifest::beginning(&first, &month(first.event.recorded_at), hash).file;
        // Without a manifest that can be read the file was not finished.
        let Ok(manifest) = archive.manifest(&file) else { return Ok(None) };
        let last = manifest.last_position;
        let here = match last {
            1.. if last <= end => self.page(shard, last - 1, last).await?.pop(),
            _ => None,
        };
        let same = manifest.archived().file == file
            && (manifest.shard, manifest.first_position) == (shard, after + 1)
            && manifest.hash_before == hash
            && here.is_some_and(|here| here.hash == manifest.hash_after);
        if !same {
            let detail = "holds events of another journal; choose another directory".to_owned();
            return Err(ArchivingError::Foreign { file, detail });
        }
        archive.read_back(&manifest).await.map_err(|error| ArchivingError::Foreign {
            detail: format!("{error}; remove it, it is written again"),
            file: file.clone(),
        })?;
        // Whoever wrote it may have been killed before its folders were on disk.
        sync_folders(archive.directory(), &file).map_err(unwritable)?;
        Ok(Some(Manifest::clone(&manifest)))
    }

    async fn write_file(
        &mut self,
        directory: &Path,
        shard: u16,
        (mut after, mut hash): (u64, [u8; 32]),
        end: u64,
    ) -> Result<Manifest, ArchivingError> {
        let mut writer: Option<FileWriter> = None;
        'file: while after < end {
            for chained in self.page(shard, after, end).await? {
                let event = &chained.event;
                if event.position != after + 1 || chain_hash(&hash, event) != chained.hash {
                    let detail = format!("shard {shard} after position {after}");
                    return Err(ArchivingError::Damaged(detail));
                }
                let month = month(event.recorded_at);
                let to = match &mut writer {
                    // A clock that was set back does not open an earlier month again.
                    Some(writer) if month.as_str() > writer.month() => break 'file,
                    Some(writer) => writer,
                    None => {
                        let manifest = Manifest::beginning(&chained, &month, hash);
                        let begun = FileWriter::create(directory, manifest).map_err(unwritable)?;
                        writer.insert(begun)
                    }
                };
                to.push(&chained).map_err(unwritable)?;
                (after, hash) = (event.position, chained.hash);
            }
        }
        let writer = writer.ok_or_else(|| ArchivingError::Damaged(format!("shard {shard}")))?;
        writer.finish().map_err(unwritable)
    }

    async fn page(
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
            let detail = format!("shard {shard} has nothing after position {after}");
            return Err(ArchivingError::Damaged(detail));
        }
        Ok(events)
    }

    /// Finds the orders that can leave: `over` says of a whole history that nothing can happen to
    /// it any more, and all of it is within reach.
    ///
    /// # Errors
    /// [`ArchivingError`]
    pub async fn select(
        &mut self,
        reach: &Cursors,
        over: impl Fn(&[StoredEvent]) -> bool,
    ) -> Result<Leaving, ArchivingError> {
        sqlx::query("CREATE TEMPORARY TABLE leaving (order_id text PRIMARY KEY, positions text)")
            .execute(&mut self.db)
            .await?;
        let mut leaving = Leaving::default();
        let (mut history, mut chosen) = (Vec::new(), Vec::new());
        let mut after = (String::new(), 0);
        let mut archived = 0;
        loop {
            let page = self.by_order(&after).await?;
            let at_end = page.is_empty();
            if let Some(last) = page.last() {
                after = (last.order_id.to_string(), last.sequence.cast_signed());
            }
            // Nothing, behind the last event, ends the last history.
            for event in page.into_iter().map(Some).chain(at_end.then_some(None)) {
                let next = event.as_ref().map(|event: &StoredEvent| event.order_id);
                let ended = |first: &StoredEvent| Some(first.order_id) != next;
                if history.first().is_some_and(ended) {
                    let within = self.within(&history, reach);
                    archived += within;
                    if within == length(&history) && is_whole(&history) && over(&history) {
                        leaving.orders += 1;
                        leaving.events += within;
                        chosen.extend(positions(&history));
                    }
                    history.clear();
                }
                history.extend(event);
            }
            self.choose(std::mem::take(&mut chosen)).await?;
            if at_end {
                leaving.staying = archived - leaving.events;
                return Ok(leaving);
            }
        }
    }

    /// Events behind this order and version, by order and version.
    async fn by_order(
        &mut self,
        (order_id, sequence): &(String, i64),
    ) -> Result<Vec<StoredEvent>, ArchivingError> {
        let rows = sqlx::query(
            "SELECT *, payload::text AS payload_text, metadata::text AS metadata_text
             FROM events WHERE aggregate_type = 'order' AND (aggregate_id, sequence) > ($1, $2)
             ORDER BY aggregate_id, sequence LIMIT $3",
        )
        .bind(order_id)
        .bind(sequence)
        .bind(PAGE)
        .fetch_all(&mut self.db)
        .await?;
        rows.iter().map(stored).collect::<Result<_, _>>().map_err(damaged)
    }

    /// How many of these events are in files, or will be.
    fn within(&self, history: &[StoredEvent], reach: &Cursors) -> u64 {
        let end = |shard: u16| self.end(shard).0.max(reach.get(shard));
        length(history.iter().filter(|event| event.position <= end(event.shard)))
    }

    async fn choose(&mut self, chosen: Vec<(OrderId, String)>) -> Result<(), ArchivingError> {
        let (ids, positions): (Vec<String>, Vec<String>) =
            chosen.into_iter().map(|(id, positions)| (id.to_string(), positions)).unzip();
        sqlx::query("INSERT INTO leaving SELECT * FROM unnest($1::text[], $2::text[])")
            .bind(ids)
            .bind(positions)
            .execute(&mut self.db)
            .await?;
        Ok(())
    }

    /// Takes what was written into these files and belongs to the selected orders out of the table.
    /// The files must be on disk, read back, before.
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
        self.name_orders().await?;
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

    /// Says where the orders that leave are, before they do: it counts only once they have.
    async fn name_orders(&mut self) -> Result<(), ArchivingError> {
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
        // Appends and reads of one order look here: their plans must know how many there are.
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
        // What belongs to the table and not to its rows. Triggers last: they name the table.
        let belongs: Vec<String> = sqlx::query_scalar(
            "SELECT format('ALTER TABLE events OWNER TO %I', pg_get_userbyid(relowner))
             FROM pg_class WHERE oid = 'events'::regclass
             UNION ALL
             SELECT format('ALTER TABLE events SET (%s)', array_to_string(reloptions, ', '))
             FROM pg_class WHERE oid = 'events'::regclass AND reloptions IS NOT NULL
             UNION ALL
             SELECT format('GRANT %s ON events TO %s%s', privilege_type,
                           CASE grantee WHEN 0 THEN 'PUBLIC'
                                        ELSE quote_ident(pg_get_userbyid(grantee)) END,
                           CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
             FROM pg_class, aclexplode(relacl)
             WHERE oid = 'events'::regclass AND grantee <> relowner
             UNION ALL
             SELECT pg_get_triggerdef(oid) FROM pg_trigger
             WHERE tgrelid = 'events'::regclass AND NOT tgisinternal",
        )
        .fetch_all(&mut self.db)
        .await?;
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

    /// Gives the session up, and with it the run: the next one can begin at once.
    pub async fn close(mut self) {
        let unlocked = sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.db).await;
        if let Err(error) = unlocked.and(self.db.close().await) {
            tracing::debug!(%error, "the archiving's session did not end well");
        }
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

fn came_back() -> ArchivingError {
    ArchivingError::Disturbed("something happened to an order that was over".to_owned())
}

fn damaged(error: JournalError) -> ArchivingError {
    match error {
        JournalError::Broken { detail, .. } => ArchivingError::Damaged(detail),
        other => other.into(),
    }
}

fn unwritable(error: impl ToString) -> ArchivingError {
    ArchivingError::Archive(error.to_string())
}

fn length<T>(items: impl IntoIterator<Item = T>) -> u64 {
    u64::try_from(items.into_iter().count()).unwrap_or(u64::MAX)
}

/// Whether it begins with the first version. One that does not came back after it had left, and
/// stays.
fn is_whole(history: &[StoredEvent]) -> bool {
    history.iter().zip(1..).all(|(event, version)| event.sequence == version)
}

/// Where an order's events stand, as an array of Postgres.
fn positions(history: &[StoredEvent]) -> Option<(OrderId, String)> {
    let positions: Vec<String> = history.iter().map(|event| event.position.to_string()).collect();
    Some((history.first()?.order_id, format!("{{{}}}", positions.join(","))))
}

/// The month (UTC) of an instant, such as `2026-07`.
fn month(instant: Timestamp) -> String {
    instant.to_string().chars().take(7).collect()
}
