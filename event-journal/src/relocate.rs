//! Moves shards of a journal from one database to another, while no node is at work: copies, checks
//! the copy to its last hash, and only then lets go of the original. Begun again after whatever
//! ended it, it goes on where it was. At every step each shard is served in one place at most.
//!
//! HERE in the one → LEAVING it and COMING to the other → copied and checked → GONE from the one →
//! HERE in the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::contract::Timestamp;
use shared_events::stream::{ActionsAsked, begin};
use sqlx::{PgConnection, Row as _};

use super::audit::Audit;
use super::chain::{GENESIS, chain_hash};
use super::charter::{Charter, charter, join_journal};
use super::error::JournalError;
use super::handle::{legal, shard_of};
use super::map::ShardSet;
use super::options::Options;
use super::postgres::{PostgresStore, away, head, shard};
use super::store::{Batch, CommitError, Fence, Head, Range, Store as _};

/// Events copied in one commit.
const PAGE: u64 = 1_000;

/// What a move did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Events that were copied; what an earlier attempt had copied is not among them.
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
    /// Shards that are on their way from here or to here.
    pub in_transit: ShardSet,
    /// Events in the shards that are served here.
    pub events: u64,
}

/// A move of shards between two databases.
pub struct Relocation {
    from: PostgresStore,
    to: PostgresStore,
    shards: ShardSet,
}

fn wrong(detail: String) -> JournalError {
    JournalError::WrongDatabase(detail)
}

fn options() -> Options {
    Options::new(Arc::new(Timestamp::default))
}

/// What a database holds; none where it holds no journal. Writes nothing.
///
/// # Errors
/// [`JournalError::Unavailable`]
pub async fn holding(url: &str, schema: &str) -> Result<Option<Holding>, JournalError> {
    legal(schema)?;
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
    /// Between two databases, of these shards. Nothing is done yet.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] where a URL is none.
    pub fn new(from: &str, to: &str, schema: &str, shards: ShardSet) -> Result<Self, JournalError> {
        legal(schema)?;
        let connect = |url: &str| PostgresStore::connect(url, schema, &options());
        Ok(Self { from: connect(from)?, to: connect(to)?, shards })
    }

    /// Does it, or what is left of it. `progress` hears of events copied and of how many there are.
    ///
    /// # Errors
    /// [`JournalError::WrongDatabase`] where the databases do not fit together or a node is at work
    /// in one: nothing was changed. [`JournalError::Broken`] where a hash says that an event is not
    /// the one that was written; the shards stay where they were, closed, until
    /// [`Self::take_back`]. After [`JournalError::Unavailable`] it is called again.
    pub async fn run(&self, mut progress: impl FnMut(u64, u64)) -> Result<Moved, JournalError> {
        let here = self.fits().await?;
        if here.is_none() {
            return Ok(Moved { copied: 0, checked: self.check().await? });
        }
        self.leave().await?;
        self.arrive().await?;
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
        let checked = self.check().await?;
        self.switch().await?;
        Ok(Moved { copied, checked })
    }

    /// Gives up a move that was begun and not finished: the shards are served again where they were.
    /// What was copied is kept, and not copied again by the next attempt.
    ///
    /// # Errors
    /// [`JournalError::WrongDatabase`] where no move of exactly these shards is under way, or it is
    /// past its check.
    pub async fn take_back(&self) -> Result<(), JournalError> {
        let (leaving, coming) =
            (self.of(&self.from, "LEAVING").await?, self.of(&self.to, "COMING").await?);
        if leaving != self.shards || !(coming.is_empty() || coming == self.shards) {
            return Err(wrong(format!(
                "no move of shards {} from {} is under way that could be given up",
                self.shards,
                self.from.label()
            )));
        }
        self.set(&self.to, "COMING", "GONE").await?;
        self.set(&self.from, "LEAVING", "HERE").await
    }

    /// Whether the shards are still to be moved; none where they have been.
    async fn fits(&self) -> Result<Option<()>, JournalError> {
        let (from, to, shards) = (self.from.label(), self.to.label(), &self.shards);
        let source =
            known(&self.from).await?.ok_or_else(|| wrong(format!("{from} holds no journal")))?;
        if self.from.archives().await?.iter().any(|file| shards.contains(file.shard)) {
            return Err(wrong(format!(
                "events of shards {shards} have left {from} for an archive: they cannot be moved"
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
                    "shards {under_way} of {label} are being moved: let that end first"
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

    /// Closes the originals to everybody. In the same transaction it is seen once more that nobody
    /// is at work; who starts later finds them closed.
    async fn leave(&self) -> Result<(), JournalError> {
        let mut tx = begin(self.from.unchecked()).await.map_err(away)?;
        sqlx::query("LOCK TABLE shards IN EXCLUSIVE MODE").execute(&mut *tx).await.map_err(away)?;
        if let Some(name) = busy(&mut tx).await? {
            return Err(wrong(format!(
                "{name} is at work in {}: stop it first",
                self.from.label()
            )));
        }
        sqlx::query(
            "UPDATE shards SET state = 'LEAVING', epoch = epoch + 1, owner = ''
             WHERE state = 'HERE' AND shard = ANY ($1)",
        )
        .bind(self.numbers())
        .execute(&mut *tx)
        .await
        .map_err(away)?;
        tx.commit().await.map_err(away)
    }

    /// Makes room for the copies. What an earlier stay or attempt has left is their beginning.
    async fn arrive(&self) -> Result<(), JournalError> {
        let source = known(&self.from).await?.ok_or_else(|| self.moving_elsewhere())?;
        self.to.migrate().await?;
        let mut tx = begin(self.to.unchecked()).await.map_err(away)?;
        sqlx::query("LOCK TABLE shards IN EXCLUSIVE MODE").execute(&mut *tx).await.map_err(away)?;
        if charter(&mut tx).await?.is_none() {
            join_journal(&mut tx, source.journal, source.shards, true).await?;
        }
        self.take_history_along(&mut tx).await?;
        let epochs = self.heads(&self.from).await?;
        sqlx::query(
            "INSERT INTO shards (shard, epoch, owner, lease_until, head_position, head_hash, state)
             SELECT shard, epoch, '', '-infinity', 0, $3, 'COMING'
             FROM unnest($1::int[], $2::bigint[]) AS coming (shard, epoch)
             ON CONFLICT (shard) DO UPDATE SET state = 'COMING', owner = '',
                epoch = greatest(shards.epoch, excluded.epoch) + 1
             WHERE shards.state = 'GONE'",
        )
        .bind(epochs.keys().map(|shard| i32::from(*shard)).collect::<Vec<_>>())
        .bind(epochs.values().map(|head| head.epoch.cast_signed()).collect::<Vec<_>>())
        .bind(GENESIS.as_slice())
        .execute(&mut *tx)
        .await
        .map_err(away)?;
        tx.commit().await.map_err(away)
    }

    /// Copies the next events of a shard, each with its hash followed from the one before: how far
    /// the copy is then.
    async fn copy_page(&self, copy: Head, original: &Head) -> Result<Head, JournalError> {
        let through = original.position.min(copy.position + PAGE);
        let range = Range { shard: copy.shard, after: copy.position, through };
        let events = self.from.read(&[range]).await?;
        let mut after = copy.clone();
        for chained in &events {
            after.position += 1;
            let expected = chain_hash(&after.hash, &chained.event);
            if chained.event.position != after.position || chained.hash != expected {
                return Err(self.broken(after.shard, after.position, "is not what was written"));
            }
            after.hash = expected;
        }
        if after.position != through {
            return Err(self.broken(after.shard, after.position + 1, "is missing"));
        }
        let batch = Batch { fences: vec![Fence { before: copy, after: after.clone() }], events };
        match self.to.commit(&batch).await {
            Ok(()) => Ok(after),
            Err(CommitError::Superseded) => Err(wrong(format!(
                "somebody else moves shard {} to {} at this moment",
                after.shard,
                self.to.label()
            ))),
            Err(CommitError::Conflict) => Err(self.broken(
                after.shard,
                after.position,
                "stands in the other database already",
            )),
            Err(
                CommitError::Refused(detail)
                | CommitError::Unavailable(detail)
                | CommitError::Unknown(detail),
            ) => Err(JournalError::Unavailable(detail)),
        }
    }

    /// Reads the copies from their first event to their last and follows the hashes to those of the
    /// originals: how many events that were.
    async fn check(&self) -> Result<u64, JournalError> {
        let originals = self.heads(&self.from).await?;
        let mut audit = Audit::default();
        for (shard, copy) in self.heads(&self.to).await? {
            let original = originals.get(&shard).ok_or_else(|| self.moving_elsewhere())?;
            // One that is served already has gone on.
            let gone_on = copy.position > original.position;
            if !gone_on && (copy.position, copy.hash) != (original.position, original.hash) {
                return Err(self.broken(shard, original.position, "has another hash in the copy"));
            }
            audit.shard(&self.to, copy, &mut |_, _, _| ()).await?;
        }
        match audit.damages.first() {
            None => Ok(audit.events),
            Some(damage) => Err(JournalError::Broken {
                shard: damage.shard,
                position: damage.position.saturating_sub(1),
                detail: format!("in the copy in {}: {damage}", self.to.label()),
            }),
        }
    }

    /// Orders with an impossible history have one there too.
    async fn copy_quarantined(&self) -> Result<(), JournalError> {
        for order in self.quarantined().await? {
            self.to.quarantine(order.order_id, &order.reason, order.since).await?;
        }
        Ok(())
    }

    async fn quarantined(&self) -> Result<Vec<super::event::Quarantined>, JournalError> {
        let shards = known(&self.from).await?.map_or(0, |charter| charter.shards);
        let mut all = self.from.quarantined().await?;
        all.retain(|order| self.shards.contains(shard_of(order.order_id, shards)));
        Ok(all)
    }

    /// The originals are let go of first: between the two steps nobody serves the shards.
    async fn switch(&self) -> Result<(), JournalError> {
        let wishes = sqlx::query("SELECT shard, frozen, pinned FROM shards WHERE shard = ANY ($1)")
            .bind(self.numbers())
            .fetch_all(self.from.unchecked())
            .await
            .map_err(away)?;
        let quarantined = self.quarantined().await?;
        self.set(&self.from, "LEAVING", "GONE").await?;
        for row in &wishes {
            // What operators wished of a shard is true of it in its new place.
            let sql =
                "UPDATE shards SET frozen = $2, pinned = $3 WHERE shard = $1 AND state = 'COMING'";
            sqlx::query(sql)
                .bind(i32::from(shard(row)?))
                .bind(row.try_get::<Option<String>, _>("frozen").map_err(away)?)
                .bind(row.try_get::<Option<String>, _>("pinned").map_err(away)?)
                .execute(self.to.unchecked())
                .await
                .map_err(away)?;
        }
        self.set(&self.to, "COMING", "HERE").await?;
        sqlx::query("DELETE FROM quarantined WHERE order_id = ANY ($1)")
            .bind(quarantined.iter().map(|order| order.order_id.to_string()).collect::<Vec<_>>())
            .execute(self.from.unchecked())
            .await
            .map_err(away)
            .map(drop)
    }

    /// All shards that are in this state get that one, at once and in a new epoch.
    async fn set(&self, store: &PostgresStore, is: &str, then: &str) -> Result<(), JournalError> {
        if known(store).await?.is_none() {
            return Ok(());
        }
        sqlx::query(
            "UPDATE shards SET state = $3, epoch = epoch + 1, owner = '',
                    lease_until = '-infinity' WHERE state = $2 AND shard = ANY ($1)",
        )
        .bind(self.numbers())
        .bind(is)
        .bind(then)
        .execute(store.unchecked())
        .await
        .map_err(away)
        .map(drop)
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
            .map_err(away)?;
        rows.iter().map(shard).collect()
    }

    /// What operators did, which is kept for ever: the old place may be dropped.
    async fn take_actions_along(&self, tx: &mut PgConnection) -> Result<(), JournalError> {
        let limit = u32::try_from(PAGE).unwrap_or(u32::MAX);
        let mut asked = ActionsAsked { limit, ..ActionsAsked::default() };
        loop {
            let page = self.from.operator_actions(&asked).await?;
            let Some(last) = page.last() else { return Ok(()) };
            asked.before = Some((last.at, last.id));
            for action in &page {
                sqlx::query(
                    "INSERT INTO operator_actions
                         (id, at, role, subject, verb, kind, target, reason, before, after)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
                )
                .bind(action.id.to_string())
                .bind(action.at.micros())
                .bind(&action.by.role)
                .bind(&action.by.subject)
                .bind(&action.verb)
                .bind(&action.kind)
                .bind(&action.target)
                .bind(&action.reason)
                .bind(&action.before)
                .bind(&action.after)
                .execute(&mut *tx)
                .await
                .map_err(away)?;
            }
        }
    }

    /// Which incarnation the journal is in, which of the facts of these shards have ids of before, and
    /// under which keys the fingerprints of their requests are: none may be forgotten with the old
    /// place.
    async fn take_history_along(&self, tx: &mut PgConnection) -> Result<(), JournalError> {
        if let Some(chronicle) = self.from.chronicle().await? {
            sqlx::query("UPDATE journal SET incarnation = $1 WHERE incarnation < $1")
                .bind(chronicle.incarnation.cast_signed())
                .execute(&mut *tx)
                .await
                .map_err(away)?;
        }
        for key in self.from.fingerprint_keys().await? {
            sqlx::query(
                "INSERT INTO fingerprint_keys (id, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(key.id)
            .bind(key.bytes.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(away)?;
        }
        self.take_actions_along(tx).await?;
        for (shard, through) in self.from.ids_by_position().await? {
            if self.shards.contains(shard) {
                sqlx::query(
                    "INSERT INTO ids_by_position (shard, through) VALUES ($1, $2)
                     ON CONFLICT (shard) DO UPDATE SET through = excluded.through",
                )
                .bind(i32::from(shard))
                .bind(through.cast_signed())
                .execute(&mut *tx)
                .await
                .map_err(away)?;
            }
        }
        Ok(())
    }

    /// Where the shards stand in a database, served or not.
    async fn heads(&self, store: &PostgresStore) -> Result<BTreeMap<u16, Head>, JournalError> {
        let rows = sqlx::query("SELECT * FROM shards WHERE shard = ANY ($1)")
            .bind(self.numbers())
            .fetch_all(store.unchecked())
            .await
            .map_err(away)?;
        rows.iter().map(|row| head(row).map(|head| (head.shard, head))).collect()
    }

    fn numbers(&self) -> Vec<i32> {
        self.shards.iter().map(i32::from).collect()
    }

    fn moving_elsewhere(&self) -> JournalError {
        wrong(format!("shards {} are not being moved to {}", self.shards, self.to.label()))
    }

    fn broken(&self, shard: u16, position: u64, detail: &str) -> JournalError {
        let detail = format!("position {position} {detail}");
        JournalError::Broken { shard, position: position.saturating_sub(1), detail }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.from.close().await;
        self.to.close().await;
    }
}

/// What a database with tables of this version remembers.
async fn known(store: &PostgresStore) -> Result<Option<Charter>, JournalError> {
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
    busy(&mut *store.unchecked().acquire().await.map_err(away)?).await
}

/// A node that lives, or a writer that has the journal to itself.
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
    .map_err(away)
}
