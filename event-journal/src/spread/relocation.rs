//! Moves shards of a journal from one database to another, while no node is running: copies, checks
//! the copy to its last hash, and only then releases the original. Run again after an interruption,
//! it resumes where it was. At every step each shard is served in one place at most.
//!
//! HERE in the source → LEAVING it and COMING to the target → copied and checked → GONE from the
//! source → HERE in the target.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::contract::Timestamp;
use shared_events::stream::{OperatorAction, Verb, begin};
use sqlx::{PgConnection, Row as _};

use super::mover::{Mover, note};
use crate::error::JournalError;
use crate::options::Options;
use crate::shards::ShardSet;
use crate::store::{
    Charter, Fields, Head, PostgresStore, Reads as _, Store as _, check_schema_name, head,
    unavailable, wrong,
};

/// What a move did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Events that were copied by this run, not by an earlier attempt.
    pub copied: u64,
    /// Events of the copy that were checked.
    pub checked: u64,
}

/// What a database holds of a journal, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Host, port and database.
    pub database: String,
    /// The journal's id.
    pub journal: String,
    /// Shards of the whole journal.
    pub shards: u16,
    /// The shards that are served here.
    pub holds: ShardSet,
    /// Shards that are being moved from here or to here.
    pub in_transit: ShardSet,
    /// Events in the shards that are served here.
    pub events: u64,
}

/// A move of shards between two databases.
pub struct Relocation {
    pub(super) from: PostgresStore,
    pub(super) to: PostgresStore,
    pub(super) shards: ShardSet,
    mover: Mover,
}

fn options() -> Options {
    Options::new(Arc::new(Timestamp::default))
}

/// What a database holds; none where it holds no journal. Writes nothing.
///
/// # Errors
/// [`JournalError::Unavailable`]
pub async fn holding(url: &str, schema: &str) -> Result<Option<Holding>, JournalError> {
    check_schema_name(schema)?;
    let store = PostgresStore::connect(url, schema, &Options { read_only: true, ..options() })?;
    let found = store.charter().await?;
    let heads = match &found {
        Some(charter) if !charter.journal.is_nil() => store.heads().await?,
        _ => Vec::new(),
    };
    let database = store.label().to_owned();
    store.close().await;
    Ok(found.map(|charter| Holding {
        database,
        journal: charter.journal.to_string(),
        shards: charter.shards,
        holds: charter.holds,
        in_transit: charter.in_transit,
        events: heads.iter().map(|head| head.position).sum(),
    }))
}

impl Relocation {
    /// A move of these shards between two databases. Nothing is done yet.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a URL is invalid.
    pub fn new(
        (from, to): (&str, &str),
        schema: &str,
        shards: ShardSet,
        mover: Mover,
    ) -> Result<Self, JournalError> {
        check_schema_name(schema)?;
        let connect = |url: &str| PostgresStore::connect(url, schema, &options());
        Ok(Self { from: connect(from)?, to: connect(to)?, shards, mover })
    }

    /// Runs the move, or what remains of it. `progress` gets the number of events copied so far,
    /// and of all.
    ///
    /// # Errors
    /// [`JournalError::WrongDatabase`] where the databases do not fit together or a node is running
    /// in one: nothing was changed. [`JournalError::Broken`] where a hash does not match its event;
    /// the shards stay where they were, closed, until [`Self::cancel`]. After
    /// [`JournalError::Unavailable`] it is called again.
    pub async fn run(&self, mut progress: impl FnMut(u64, u64)) -> Result<Moved, JournalError> {
        let here = self.check_fit().await?;
        if here.is_none() {
            return Ok(Moved { copied: 0, checked: self.check().await? });
        }
        self.close_originals().await?;
        self.prepare_target().await?;
        let heads = self.heads(&self.from).await?;
        let all = heads.values().map(|head| head.position).sum();
        let (mut copied, arrived) = (0, self.heads(&self.to).await?);
        let mut done: u64 = arrived.values().map(|head| head.position).sum();
        progress(done, all);
        for (shard, original) in &heads {
            let mut copy = arrived.get(shard).cloned().ok_or_else(|| self.moving_elsewhere())?;
            while copy.position < original.position {
                let before = copy.position;
                copy = self.copy_page(copy, original).await?;
                copied += copy.position - before;
                done += copy.position - before;
                progress(done, all);
            }
        }
        self.copy_quarantined().await?;
        self.copy_unique_keys().await?;
        let checked = self.check().await?;
        self.switch().await?;
        Ok(Moved { copied, checked })
    }

    /// Cancels an unfinished move: the shards are served again where they were. Copied events are
    /// kept, and not copied again by the next attempt.
    ///
    /// # Errors
    /// [`JournalError::WrongDatabase`] where no move of exactly these shards is in progress, or it
    /// is past its check.
    pub async fn cancel(&self) -> Result<(), JournalError> {
        let (leaving, coming) =
            (self.of(&self.from, "LEAVING").await?, self.of(&self.to, "COMING").await?);
        if leaving != self.shards || !(coming.is_empty() || coming == self.shards) {
            return Err(wrong(format!(
                "no move of shards {} from {} is in progress that could be cancelled",
                self.shards,
                self.from.label()
            )));
        }
        let [here, way, _] = self.stages();
        self.set(&self.to, "COMING", "GONE", None).await?;
        let action = self.mover.action(Verb::CancelRelocation, &self.shards, [&way, &here]);
        self.set(&self.from, "LEAVING", "HERE", Some(action)).await
    }

    /// Where the shards are, in words: before the move, during it, and after it.
    fn stages(&self) -> [String; 3] {
        let (from, to) = (self.from.label(), self.to.label());
        [format!("in {from}"), format!("on the way from {from} to {to}"), format!("in {to}")]
    }

    /// Whether the shards are still to be moved; none where they have been.
    async fn check_fit(&self) -> Result<Option<()>, JournalError> {
        let (from, to, shards) = (self.from.label(), self.to.label(), &self.shards);
        let source =
            known(&self.from).await?.ok_or_else(|| wrong(format!("{from} holds no journal")))?;
        if self.from.archives().await?.iter().any(|file| shards.contains(file.shard)) {
            return Err(wrong(format!(
                "events of shards {shards} of {from} are archived: they cannot be moved"
            )));
        }
        let target = known(&self.to).await?;
        if let Some(target) = &target {
            if target.database == source.database {
                return Err(wrong(format!("{from} and {to} are the same database")));
            }
            if target.journal != source.journal {
                return Err(wrong(format!("{to} holds shards of another journal")));
            }
        }
        let held = |charter: &Charter| shards.iter().all(|shard| charter.holds.contains(shard));
        let leaving = &source.in_transit;
        let coming = target.as_ref().map(|target| target.in_transit.clone()).unwrap_or_default();
        if target.as_ref().is_some_and(&held) && leaving.is_empty() {
            return Ok(None);
        }
        for (label, under_way) in [(from, leaving), (to, &coming)] {
            if !under_way.is_empty() && under_way != shards {
                return Err(wrong(format!(
                    "shards {under_way} of {label} are being moved: let that move end first"
                )));
            }
        }
        if leaving.is_empty() && coming.is_empty() && !held(&source) {
            return Err(wrong(format!(
                "{from} holds shards {} and not all of {shards}",
                source.holds
            )));
        }
        for store in [Some(&self.from), target.is_some().then_some(&self.to)].into_iter().flatten()
        {
            if let Some(name) = at_work(store).await? {
                return Err(wrong(format!(
                    "{name} is at work in {}: stop it first",
                    store.label()
                )));
            }
        }
        Ok(Some(()))
    }

    /// Closes the originals to all writers. The same transaction checks once more that no node is
    /// running; one that starts later finds them closed.
    async fn close_originals(&self) -> Result<(), JournalError> {
        let mut tx = begin(self.from.unchecked()).await.map_err(unavailable)?;
        sqlx::query("LOCK TABLE shards IN EXCLUSIVE MODE")
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        if let Some(name) = busy(&mut tx).await? {
            return Err(wrong(format!(
                "{name} is at work in {}: stop it first",
                self.from.label()
            )));
        }
        let closed = sqlx::query(
            "UPDATE shards SET state = 'LEAVING', epoch = epoch + 1, owner = ''
             WHERE state = 'HERE' AND shard = ANY ($1)",
        )
        .bind(self.numbers())
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
        if closed.rows_affected() > 0 {
            let [here, way, _] = self.stages();
            let action = self.mover.action(Verb::RelocateShards, &self.shards, [&here, &way]);
            note(&mut tx, &action).await?;
        }
        tx.commit().await.map_err(unavailable)
    }

    /// Releases the originals first: between the two steps no database serves the shards.
    async fn switch(&self) -> Result<(), JournalError> {
        let settings =
            sqlx::query("SELECT shard, frozen, pinned FROM shards WHERE shard = ANY ($1)")
                .bind(self.numbers())
                .fetch_all(self.from.unchecked())
                .await
                .map_err(unavailable)?;
        let quarantined = self.quarantined().await?;
        self.set(&self.from, "LEAVING", "GONE", None).await?;
        for row in &settings {
            // The operators' settings of a shard hold in its new place.
            let sql =
                "UPDATE shards SET frozen = $2, pinned = $3 WHERE shard = $1 AND state = 'COMING'";
            sqlx::query(sql)
                .bind(i32::from(row.shard()?))
                .bind(row.try_get::<Option<String>, _>("frozen").map_err(unavailable)?)
                .bind(row.try_get::<Option<String>, _>("pinned").map_err(unavailable)?)
                .execute(self.to.unchecked())
                .await
                .map_err(unavailable)?;
        }
        let [_, way, there] = self.stages();
        let action = self.mover.action(Verb::RelocateShards, &self.shards, [&way, &there]);
        self.set(&self.to, "COMING", "HERE", Some(action)).await?;
        sqlx::query("DELETE FROM quarantined WHERE order_id = ANY ($1)")
            .bind(quarantined.iter().map(|stream| stream.stream_id.to_string()).collect::<Vec<_>>())
            .execute(self.from.unchecked())
            .await
            .map_err(unavailable)
            .map(drop)
    }

    /// Moves all shards in one state to another one, together and in a new epoch; with the record
    /// of that, if any was moved.
    async fn set(
        &self,
        store: &PostgresStore,
        is: &str,
        then: &str,
        action: Option<OperatorAction>,
    ) -> Result<(), JournalError> {
        if known(store).await?.is_none() {
            return Ok(());
        }
        let mut tx = begin(store.unchecked()).await.map_err(unavailable)?;
        let set = sqlx::query(
            "UPDATE shards SET state = $3, epoch = epoch + 1, owner = '',
                    lease_until = '-infinity' WHERE state = $2 AND shard = ANY ($1)",
        )
        .bind(self.numbers())
        .bind(is)
        .bind(then)
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
        if let Some(action) = action.filter(|_| set.rows_affected() > 0) {
            note(&mut tx, &action).await?;
        }
        tx.commit().await.map_err(unavailable)
    }

    /// Which of the shards are in a state.
    async fn of(&self, store: &PostgresStore, state: &str) -> Result<ShardSet, JournalError> {
        if known(store).await?.is_none() {
            return Ok(ShardSet::default());
        }
        let rows = sqlx::query("SELECT shard FROM shards WHERE state = $1")
            .bind(state)
            .fetch_all(store.unchecked())
            .await
            .map_err(unavailable)?;
        rows.iter().map(Fields::shard).collect()
    }

    /// The heads of the shards in a database, served or not.
    pub(super) async fn heads(
        &self,
        store: &PostgresStore,
    ) -> Result<BTreeMap<u16, Head>, JournalError> {
        let rows = sqlx::query("SELECT * FROM shards WHERE shard = ANY ($1)")
            .bind(self.numbers())
            .fetch_all(store.unchecked())
            .await
            .map_err(unavailable)?;
        rows.iter().map(|row| head(row).map(|head| (head.shard, head))).collect()
    }

    fn numbers(&self) -> Vec<i32> {
        self.shards.iter().map(i32::from).collect()
    }

    pub(super) fn moving_elsewhere(&self) -> JournalError {
        wrong(format!("shards {} are not being moved to {}", self.shards, self.to.label()))
    }

    pub(super) fn broken(&self, shard: u16, position: u64, detail: &str) -> JournalError {
        let detail = format!("position {position} {detail}");
        JournalError::Broken { shard, position: position.saturating_sub(1), detail }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.from.close().await;
        self.to.close().await;
    }
}

/// What a database with tables of this version records.
pub(super) async fn known(store: &PostgresStore) -> Result<Option<Charter>, JournalError> {
    let found = store.charter().await?;
    if found.as_ref().is_some_and(|charter| charter.journal.is_nil()) {
        return Err(JournalError::Unavailable(format!(
            "the tables of {} are older than this program: run `ordinal migrate` first",
            store.label()
        )));
    }
    Ok(found)
}

async fn at_work(store: &PostgresStore) -> Result<Option<String>, JournalError> {
    busy(&mut *store.unchecked().acquire().await.map_err(unavailable)?).await
}

/// A live node, or a writer that has the journal to itself.
async fn busy(connection: &mut PgConnection) -> Result<Option<String>, JournalError> {
    sqlx::query_scalar(
        "SELECT 'the node ' || name FROM nodes WHERE lease_until > clock_timestamp()
            OR EXISTS (SELECT 1 FROM pg_stat_activity WHERE application_name = node_id)
         UNION ALL
         SELECT 'the writer ' || owner FROM shards
         WHERE owner <> '' AND lease_until > clock_timestamp() LIMIT 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(unavailable)
}
