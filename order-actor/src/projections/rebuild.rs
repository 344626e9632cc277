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
/// So near to the follower the exchange begins; the follower waits for that many at most, unless
/// it is as fast as the rebuild is.
const LEVEL: u64 = 1_024;
/// How long readers and the follower may have to wait for an exchange that itself waits for somebody
/// who has been reading for longer. Then it is given up and tried again.
const EXCHANGE_WAITS: &str = "200ms";
/// Pause between two tries.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Who reads the old one for longer than this, as a long `verify` may, stops the exchange for good.
const EXCHANGED_WITHIN: Duration = Duration::from_secs(15 * 60);

/// Why a read model is still the old one. Nothing of that was changed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// A store did not answer.
    #[error("{0}")]
    Unavailable(String),
    /// What it is built from has left the journal's table, and no archive is at hand.
    #[error("{0}")]
    Archived(String),
    /// An event that cannot be handled, and is no dead letter of the follower.
    #[error("an event of order {order_id} cannot be handled: {error}")]
    Impossible {
        /// Whose.
        order_id: OrderId,
        /// Why.
        error: String,
    },
    /// Another rebuild of the same read model was begun later; that one goes on.
    #[error("another rebuild of it was begun")]
    Superseded,
    /// Somebody has been reading the old one all the time.
    #[error("somebody has been reading the old one for {} minutes", EXCHANGED_WITHIN.as_secs() / 60)]
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

/// The table beside a read model's own in which it is built again.
pub(super) fn beside(table: &str) -> String {
    format!("{table}_next")
}

/// A read model that is built again beside the one in use.
struct Rebuild<'a, H> {
    database: &'a Database,
    source: JournalSource,
    letters: DeadLetters,
    follower: &'static str,
    table: &'static str,
    /// What fills the table beside.
    handler: H,
    /// What the operator does, written with the exchange.
    action: OperatorAction,
    /// Names this rebuild; one that was begun later has another name there.
    run: String,
    cursors: Cursors,
    replayed: u64,
    /// Where dead letters stand that were left out.
    left_out: HashSet<(u16, u64)>,
}

/// How a try to exchange the two tables ended.
enum Exchange {
    Done,
    /// Somebody is reading the old one.
    InUse,
    /// Something that was left out is no dead letter any more; it is to be built once more.
    LettersPutBack,
}

/// Replays the journal into the table beside a read model's own, in small transactions, until it is
/// level with the follower, and exchanges the two. Meanwhile the follower goes on with the old one
/// and lists are answered from it. What stands in the follower's dead letters is left out, as it
/// was there. Begun anew, it begins at the first event.
///
/// How many events were replayed.
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
        // The machine's, whatever seed there is: two runs of one name would take each other's work.
        run: Chance::system().uuid().to_string(),
        cursors: Cursors::default(),
        replayed: 0,
        left_out: HashSet::new(),
    };
    rebuild.build().await?;
    let until = Instant::now() + EXCHANGED_WITHIN;
    loop {
        match rebuild.exchange().await? {
            Exchange::Done => return Ok(rebuild.replayed),
            Exchange::InUse if Instant::now() > until => return Err(RebuildError::InUse),
            Exchange::InUse => {
                sleep(TRY_AGAIN_AFTER).await;
                rebuild.catch_up().await?;
            }
            Exchange::LettersPutBack => rebuild.build().await?,
        }
    }
}

impl<H: Handler<RecordedEvent>> Rebuild<'_, H> {
    /// From the first event on, until little is left to the follower.
    async fn build(&mut self) -> Result<(), RebuildError> {
        self.begin().await?;
        self.catch_up().await?;
        if self.database.dialect() == Dialect::Postgres {
            // The planner knows nothing of a table that is new to it.
            let analyze = format!("ANALYZE {}", beside(self.table));
            sqlx::query(&analyze).execute(self.database.reader()).await?;
        }
        Ok(())
    }

    /// Empties the table beside. Whoever was building there is told at their next step.
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
        self.left_out.clear();
        self.replayed = 0;
        Ok(())
    }

    /// Until little is left to the follower, or it is no slower than this.
    async fn catch_up(&mut self) -> Result<(), RebuildError> {
        let mut last = u64::MAX;
        loop {
            let target = Cursors::load(self.database, self.follower).await?;
            let behind = self.cursors.behind(&target);
            // After the cursors: what they have passed and is no letter then was handled.
            let letters = self.dead_letters().await?;
            while !self.cursors.covers(&target) {
                let mut tx = self.database.begin().await?;
                self.check_run(&mut tx).await?;
                let through = self.step(&mut tx, &self.cursors.clone(), &target, &letters).await?;
                tx.commit().await?;
                self.cursors.merge(&through);
            }
            if behind <= LEVEL || behind >= last {
                return Ok(());
            }
            last = behind;
        }
    }

    /// Replays one batch of the shards in which these cursors are short of the target; up to where.
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
        let left_out = &mut self.left_out;
        batch.items.retain(|event| {
            let place = (event.shard, event.position);
            let wanted = event.position <= target.get(event.shard);
            let parked = letters.contains(&place);
            if wanted && parked {
                left_out.insert(place);
            }
            wanted && !parked
        });
        if !batch.items.is_empty() {
            self.handler.handle(tx, &batch.items).await.map_err(|blame| match blame {
                Blame::Item { index, error } if index < batch.items.len() => {
                    RebuildError::Impossible { order_id: batch.items[index].order_id, error }
                }
                blame => RebuildError::Unavailable(blame.to_string()),
            })?;
        }
        self.replayed = self.replayed.saturating_add(batch.items.len() as u64);
        Ok(through)
    }

    /// Holds the follower, replays what it did last, and gives each table the other's name.
    async fn exchange(&mut self) -> Result<Exchange, RebuildError> {
        let mut tx = self.database.begin().await?;
        self.check_run(&mut tx).await?;
        let table = self.table;
        if self.database.dialect() == Dialect::Postgres {
            let wait = format!("SET LOCAL lock_timeout = '{EXCHANGE_WAITS}'");
            sqlx::query(&wait).execute(&mut *tx).await?;
            // Writers wait, readers do not. SQLite has one writer, who is here.
            let lock = format!("LOCK TABLE {table} IN EXCLUSIVE MODE");
            if !in_time(sqlx::query(&lock).execute(&mut *tx).await)? {
                return Ok(Exchange::InUse);
            }
        }
        // What is committed now is all that is in the old table.
        let target = Cursors::load(self.database, self.follower).await?;
        let letters = self.dead_letters().await?;
        if !self.left_out.is_subset(&letters) {
            return Ok(Exchange::LettersPutBack);
        }
        let (mut cursors, replayed) = (self.cursors.clone(), self.replayed);
        while !cursors.covers(&target) {
            let through = self.step(&mut tx, &cursors, &target, &letters).await?;
            cursors.merge(&through);
        }
        let places: Vec<Place> = cursors.places().collect();
        let compared = self.source.compare(&places, 0).await?;
        if compared.differing(&places).next().is_some() {
            let error = "the journal was set back meanwhile; begin again";
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
        let after = format!("built again from {} events", self.replayed);
        self.action
            .clone()
            .changing("in use since it was built last", &after)
            .write(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(Exchange::Done)
    }

    async fn empty_beside(&self, tx: &mut Tx) -> Result<(), RebuildError> {
        let beside = beside(self.table);
        let (postgres, sqlite) = (format!("TRUNCATE {beside}"), format!("DELETE FROM {beside}"));
        sqlx::query(self.database.sql(&postgres, &sqlite)).execute(&mut **tx).await?;
        Ok(())
    }

    /// Whether nobody has begun another one; nobody can before the transaction ends.
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

/// False where a lock was not to be had in time.
fn in_time<T>(done: Result<T, sqlx::Error>) -> Result<bool, RebuildError> {
    match done {
        Ok(_) => Ok(true),
        // lock_not_available; deadlock_detected cannot be, since the lock's time is shorter.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => Ok(false),
        Err(error) => Err(error.into()),
    }
}
