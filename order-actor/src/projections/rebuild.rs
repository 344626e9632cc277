use std::collections::HashSet;
use std::time::Duration;

use shared_events::chance::Chance;
use shared_events::contract::OrderId;
use shared_events::stream::{
    Blame, CursorError, Cursors, Database, DatabaseError, DeadLetters, Dialect, Handler,
    OperatorAction, Place, Scope, Source as _, SourceError, Tx,
};
use tokio::time::{Instant, sleep};

use crate::journal::Journal;
use crate::record::RecordedEvent;
use crate::replay::JournalSource;

/// Events replayed in one transaction.
const BATCH: usize = 512;
/// The lag at which the exchange starts. The follower waits for the replay of at most that many
/// events, unless it is as fast as the rebuild.
const EXCHANGE_LAG_MAX: u64 = 1_024;
/// How long the exchange waits for a lock. Readers and the follower wait that long at most, then
/// the exchange is given up and retried.
const LOCK_TIMEOUT: &str = "200ms";
/// Pause between two attempts.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// When the rebuild gives up, if another transaction, such as a long `verify`, keeps reading
/// the old table.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Why a rebuild failed. The read model in use was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A database is unavailable.
    #[error("{0}")]
    Unavailable(String),
    /// Events that it needs are archived, and this node has no archive.
    #[error("{0}")]
    Archived(String),
    /// An event cannot be handled and is not among the follower's dead letters.
    #[error("an event of order {order_id} cannot be handled: {error}")]
    Impossible {
        /// The order.
        order_id: OrderId,
        /// Why.
        error: String,
    },
    /// Another rebuild of the same read model was started later and continues.
    #[error("another rebuild of it was started")]
    Superseded,
    /// The old table was being read during every attempt.
    #[error("the old table has been in use by readers for {} minutes", EXCHANGE_TIMEOUT.as_secs() / 60)]
    InUse,
}

impl From<DatabaseError> for RebuildError {
    fn from(error: DatabaseError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<sqlx::Error> for RebuildError {
    fn from(error: sqlx::Error) -> Self {
        DatabaseError::from(error).into()
    }
}

impl From<CursorError> for RebuildError {
    fn from(error: CursorError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<SourceError> for RebuildError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Archived { .. } => Self::Archived(error.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

/// Why these events were not handled: the first that cannot be.
fn blamed(blame: Blame, events: &[RecordedEvent]) -> RebuildError {
    match &blame {
        Blame::Items(items) => match items.iter().min() {
            Some((index, error)) if *index < events.len() => {
                RebuildError::Impossible { order_id: events[*index].order_id, error: error.clone() }
            }
            _ => RebuildError::Unavailable(blame.to_string()),
        },
        Blame::World(_) => RebuildError::Unavailable(blame.to_string()),
    }
}

/// The second table, in which a read model is rebuilt.
pub(super) fn beside(table: &str) -> String {
    format!("{table}_next")
}

/// A rebuild in progress.
struct Rebuild<'a, H> {
    database: &'a Database,
    source: JournalSource,
    letters: DeadLetters,
    follower: &'static str,
    table: &'static str,
    /// Fills the second table.
    handler: H,
    /// The operator's action, recorded in the transaction of the exchange.
    action: OperatorAction,
    /// The id of this rebuild; a later one replaces it in the `rebuilds` table.
    run: String,
    cursors: Cursors,
    replayed: u64,
    /// Positions of dead letters that were skipped.
    skipped: HashSet<(u16, u64)>,
}

/// The outcome of an attempt to exchange the two tables.
enum Exchange {
    Done,
    /// A transaction is reading the old table.
    InUse,
    /// A skipped event is no longer a dead letter; the table has to be rebuilt once more.
    LettersRequeued,
}

/// Replays the journal into a second table, in small transactions, until it has caught up with the
/// follower, and then exchanges the two tables. Meanwhile the follower and the readers use the old
/// one. The follower's dead letters are skipped here too. A new run starts at the first event.
///
/// Returns the number of replayed events.
pub(super) async fn rebuild<H: Handler<RecordedEvent>>(
    database: &Database,
    journal: &Journal,
    (follower, table): (&'static str, &'static str),
    handler: H,
    action: OperatorAction,
) -> Result<u64, RebuildError> {
    let mut rebuild = Rebuild {
        database,
        source: JournalSource::new(journal.clone()),
        letters: DeadLetters::new(database.clone()),
        follower,
        table,
        handler,
        action,
        // Never from a seed: two runs with the same id would mix their work.
        run: Chance::system().uuid().to_string(),
        cursors: Cursors::default(),
        replayed: 0,
        skipped: HashSet::new(),
    };
    rebuild.build().await?;
    let until = Instant::now() + EXCHANGE_TIMEOUT;
    loop {
        match rebuild.exchange().await? {
            Exchange::Done => return Ok(rebuild.replayed),
            Exchange::InUse if Instant::now() > until => return Err(RebuildError::InUse),
            Exchange::InUse => {
                sleep(RETRY_DELAY).await;
                rebuild.catch_up().await?;
            }
            Exchange::LettersRequeued => rebuild.build().await?,
        }
    }
}

impl<H: Handler<RecordedEvent>> Rebuild<'_, H> {
    /// Replays from the first event until the lag behind the follower is small.
    async fn build(&mut self) -> Result<(), RebuildError> {
        self.begin().await?;
        self.catch_up().await?;
        if self.database.dialect() == Dialect::Postgres {
            // The planner has no statistics of the new table.
            let analyze = format!("ANALYZE {}", beside(self.table));
            sqlx::query(&analyze).execute(self.database.reader()).await?;
        }
        Ok(())
    }

    /// Empties the second table. An earlier rebuild fails at its next step as superseded.
    async fn begin(&mut self) -> Result<(), RebuildError> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO rebuilds (follower, run) VALUES ($1, $2)
             ON CONFLICT (follower) DO UPDATE SET run = excluded.run",
        )
        .bind(self.follower)
        .bind(&self.run)
        .execute(&mut *tx)
        .await?;
        self.empty_beside(&mut tx).await?;
        tx.commit().await?;
        self.cursors = Cursors::default();
        self.skipped.clear();
        self.replayed = 0;
        Ok(())
    }

    /// Replays until the lag behind the follower is small, or no longer shrinks.
    async fn catch_up(&mut self) -> Result<(), RebuildError> {
        let mut last = u64::MAX;
        loop {
            let target = Cursors::load(self.database, self.follower).await?;
            let lag = self.cursors.behind(&target);
            // Read after the cursors: an event before them that is not a dead letter was handled.
            let letters = self.dead_letters().await?;
            while !self.cursors.covers(&target) {
                let mut tx = self.database.begin().await?;
                self.check_run(&mut tx).await?;
                let through = self.step(&mut tx, &self.cursors.clone(), &target, &letters).await?;
                tx.commit().await?;
                self.cursors.merge(&through);
            }
            if lag <= EXCHANGE_LAG_MAX || lag >= last {
                return Ok(());
            }
            last = lag;
        }
    }

    /// Replays one batch of the shards that lag behind the target; returns the positions reached.
    async fn step(
        &mut self,
        tx: &mut Tx,
        after: &Cursors,
        target: &Cursors,
        letters: &HashSet<(u16, u64)>,
    ) -> Result<Cursors, RebuildError> {
        let lagging = target.iter().filter(|(shard, position)| after.get(*shard) < *position);
        let lagging = Scope::Only(lagging.map(|(shard, _)| shard).collect());
        let mut batch = self.source.read_after(&after.clone().scoped(lagging), BATCH).await?;
        if batch.is_empty() {
            let error = "the journal ends before the follower's cursor";
            return Err(RebuildError::Unavailable(error.to_owned()));
        }
        let mut through = Cursors::default();
        for (shard, position) in batch.through.iter() {
            let most = target.get(shard);
            let mark = batch.through.mark(shard).filter(|_| position <= most);
            through.advance_to(shard, position.min(most), mark);
        }
        let skipped = &mut self.skipped;
        batch.items.retain(|event| {
            let place = (event.shard, event.position);
            let wanted = event.position <= target.get(event.shard);
            let dead_letter = letters.contains(&place);
            if wanted && dead_letter {
                skipped.insert(place);
            }
            wanted && !dead_letter
        });
        if !batch.items.is_empty() {
            let handled = self.handler.handle(tx, &batch.items).await;
            handled.map_err(|blame| blamed(blame, &batch.items))?;
        }
        self.replayed = self.replayed.saturating_add(batch.items.len() as u64);
        Ok(through)
    }

    /// Blocks the follower, replays its last events, and swaps the names of the two tables.
    async fn exchange(&mut self) -> Result<Exchange, RebuildError> {
        let mut tx = self.database.begin().await?;
        self.check_run(&mut tx).await?;
        let table = self.table;
        if self.database.dialect() == Dialect::Postgres {
            let wait = format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'");
            sqlx::query(&wait).execute(&mut *tx).await?;
            // Blocks writers, not readers. SQLite has one writer, which is this transaction.
            let lock = format!("LOCK TABLE {table} IN EXCLUSIVE MODE");
            if !in_time(sqlx::query(&lock).execute(&mut *tx).await)? {
                return Ok(Exchange::InUse);
            }
        }
        // The old table holds exactly what is committed now.
        let target = Cursors::load(self.database, self.follower).await?;
        let letters = self.dead_letters().await?;
        if !self.skipped.is_subset(&letters) {
            return Ok(Exchange::LettersRequeued);
        }
        let (mut cursors, replayed) = (self.cursors.clone(), self.replayed);
        while !cursors.covers(&target) {
            let through = self.step(&mut tx, &cursors, &target, &letters).await?;
            cursors.merge(&through);
        }
        let places: Vec<Place> = cursors.places().collect();
        let compared = self.source.compare(&places, 0).await?;
        if compared.differing(&places).next().is_some() {
            let error = "the journal was set back meanwhile; start again";
            return Err(RebuildError::Unavailable(error.to_owned()));
        }
        let beside = beside(table);
        let renames = [(table, "rebuilt"), (&beside, table), ("rebuilt", &beside)];
        for (from, to) in renames {
            let rename = format!("ALTER TABLE {from} RENAME TO {to}");
            if !in_time(sqlx::query(&rename).execute(&mut *tx).await)? {
                self.replayed = replayed;
                return Ok(Exchange::InUse);
            }
        }
        self.empty_beside(&mut tx).await?;
        sqlx::query("DELETE FROM rebuilds WHERE follower = $1")
            .bind(self.follower)
            .execute(&mut *tx)
            .await?;
        let after = format!("rebuilt from {} events", self.replayed);
        self.action.clone().changing("in use since the last build", &after).write(&mut tx).await?;
        tx.commit().await?;
        Ok(Exchange::Done)
    }

    async fn empty_beside(&self, tx: &mut Tx) -> Result<(), RebuildError> {
        let beside = beside(self.table);
        let (postgres, sqlite) = (format!("TRUNCATE {beside}"), format!("DELETE FROM {beside}"));
        sqlx::query(self.database.sql(&postgres, &sqlite)).execute(&mut **tx).await?;
        Ok(())
    }

    /// Checks that no other rebuild was started; none can start before the transaction ends.
    async fn check_run(&self, tx: &mut Tx) -> Result<(), RebuildError> {
        let mine = self.database.sql(
            "SELECT 1 FROM rebuilds WHERE follower = $1 AND run = $2 FOR SHARE",
            "SELECT 1 FROM rebuilds WHERE follower = $1 AND run = $2",
        );
        let mine = sqlx::query(mine).bind(self.follower).bind(&self.run);
        mine.fetch_optional(&mut **tx).await?.map(drop).ok_or(RebuildError::Superseded)
    }

    async fn dead_letters(&self) -> Result<HashSet<(u16, u64)>, RebuildError> {
        let letters = self.letters.all(Some(self.follower)).await?;
        Ok(letters.iter().map(|letter| (letter.shard, letter.position)).collect())
    }
}

/// False if a lock was not granted in time.
fn in_time<T>(done: Result<T, sqlx::Error>) -> Result<bool, RebuildError> {
    match done {
        Ok(_) => Ok(true),
        // lock_not_available. deadlock_detected cannot occur: the lock timeout is shorter.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => Ok(false),
        Err(error) => Err(error.into()),
    }
}
