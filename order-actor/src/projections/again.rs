//! Answers of other services that orders hear again. The journal may be restored to before an order
//! heard an answer, and the database of lists and cursors not: then the follower of answers has
//! read it, and the order does not know it. Where the lists turn out to be ahead of the journal,
//! answers about these orders are read again from the beginning, and others are passed over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use shared_events::contract::{Fact, OrderId};
use shared_events::stream::row::{json, number};
use shared_events::stream::{Blame, Cursors, Database, DatabaseError, DeadLetters, Tx};
use sqlx::Row as _;

use crate::journal::Journal;

/// Followers of the lists, which find out which orders lost events.
pub(super) const SUMMARIES: &str = "order-summaries";
/// See [`SUMMARIES`].
pub(super) const DEADLINES: &str = "deadlines";
/// Followers of answers.
pub(crate) const STOCK_ANSWERS: &str = "stock-answers";
/// See [`STOCK_ANSWERS`].
pub(crate) const MONEY_ANSWERS: &str = "money-answers";

#[derive(Serialize)]
struct Row {
    follower: &'static str,
    shard: u16,
    order_id: OrderId,
}

/// Of these orders, which are ahead of the journal, those that it holds hear again what was
/// answered about them. Where their shard is being read again, that begins once more.
pub(super) async fn hear_again(
    database: &Database,
    tx: &mut Tx,
    journal: &Journal,
    ahead: &HashMap<OrderId, Option<u64>>,
) -> Result<(), Blame> {
    let held = ahead.iter().filter(|(_, now)| now.is_some());
    let rows: Vec<Row> = held
        .flat_map(|(order_id, _)| {
            let (order_id, shard) = (*order_id, journal.shard_of(*order_id));
            [STOCK_ANSWERS, MONEY_ANSWERS].map(|follower| Row { follower, shard, order_id })
        })
        .collect();
    if !rows.is_empty() {
        write(database, tx, &rows).await?;
    }
    Ok(())
}

/// Where a follower has read nothing, there is nothing to hear again.
async fn write(database: &Database, tx: &mut Tx, rows: &[Row]) -> Result<(), DatabaseError> {
    let sql = database.sql(
        "INSERT INTO answers_again (follower, shard, order_id, through)
         SELECT follower, shard, order_id, 0 FROM json_to_recordset($1::json)
             AS row(follower TEXT, shard BIGINT, order_id TEXT)
         WHERE EXISTS (SELECT 1 FROM cursors WHERE cursors.follower = row.follower
                         AND cursors.shard = row.shard AND cursors.position > 0)
            OR EXISTS (SELECT 1 FROM answers_again AS known WHERE known.follower = row.follower
                         AND known.shard = row.shard)
         ORDER BY follower, shard, order_id
         ON CONFLICT (follower, shard, order_id) DO UPDATE SET through = 0",
        "INSERT INTO answers_again (follower, shard, order_id, through)
         SELECT value ->> 'follower', value ->> 'shard', value ->> 'order_id', 0
         FROM json_each($1)
         WHERE EXISTS (SELECT 1 FROM cursors WHERE cursors.follower = value ->> 'follower'
                         AND cursors.shard = value ->> 'shard' AND cursors.position > 0)
            OR EXISTS (SELECT 1 FROM answers_again AS known
                       WHERE known.follower = value ->> 'follower'
                         AND known.shard = value ->> 'shard')
         ON CONFLICT (follower, shard, order_id) DO UPDATE SET through = 0",
    );
    sqlx::query(sql).bind(json(rows)?).execute(&mut **tx).await?;
    Ok(())
}

/// A shard that is read again.
#[derive(Default)]
struct Reads {
    /// To where it was read before.
    through: u64,
    /// Whose answers count.
    orders: BTreeSet<OrderId>,
}

/// What a follower of answers reads again, as its database has it.
pub(crate) struct Again {
    follower: &'static str,
    /// By shard; none while that is not known.
    reads: Option<BTreeMap<u16, Reads>>,
    /// Shards that are over once this transaction is committed.
    over: BTreeSet<u16>,
    /// Shards that are still to begin.
    to_begin: BTreeSet<u16>,
    /// The incarnation of the journal with which all lists agree, and for which nothing is to begin
    /// any more.
    settled: u64,
}

impl Again {
    /// Of the follower with this name.
    pub(crate) fn of(follower: &'static str) -> Self {
        let (over, to_begin) = (BTreeSet::new(), BTreeSet::new());
        Self { follower, reads: None, over, to_begin, settled: 1 }
    }

    /// Another process may have followed until now.
    pub(crate) fn resumes(&mut self) {
        (self.reads, self.settled) = (None, 1);
    }

    /// Whether the journal continues as another incarnation, and it is not known yet who lost what.
    pub(crate) const fn is_in_doubt(&self, incarnation: u64) -> bool {
        incarnation > self.settled
    }

    /// Shards that are to be read again, once they are read to their end: until then it may turn
    /// out that the log of answers has another history, too.
    pub(crate) fn shards(&self) -> BTreeSet<u16> {
        self.to_begin.clone()
    }

    /// Begins anew in these shards, which were read to their end, and returns them; where there is
    /// none, looks for some.
    pub(crate) async fn read_again(
        &mut self,
        tx: &mut Tx,
        shards: &BTreeSet<u16>,
        incarnation: u64,
    ) -> Result<BTreeSet<u16>, DatabaseError> {
        self.over.clear();
        for shard in shards {
            self.begin_in(tx, *shard).await?;
            self.to_begin.remove(shard);
        }
        self.reads = None;
        // Each list may still find more: a shard is read again once, for all of them.
        if !shards.is_empty() || !lists_agree(tx, incarnation).await? {
            return Ok(shards.clone());
        }
        let sql = "SELECT DISTINCT shard FROM answers_again WHERE follower = $1 AND through = 0";
        let rows = sqlx::query(sql).bind(self.follower).fetch_all(&mut **tx).await?;
        let waiting = rows.iter().map(|row| number(row, 0, "shard of an answer"));
        self.to_begin = waiting.collect::<Result<_, _>>()?;
        if self.to_begin.is_empty() {
            self.settled = incarnation;
        }
        Ok(BTreeSet::new())
    }

    async fn begin_in(&self, tx: &mut Tx, shard: u16) -> Result<(), DatabaseError> {
        let sql = "SELECT position FROM cursors WHERE follower = $1 AND shard = $2";
        let query = sqlx::query(sql).bind(self.follower).bind(i64::from(shard));
        let row = query.fetch_optional(&mut **tx).await?;
        let was_at: u64 = match &row {
            Some(row) => number(row, 0, "position of a follower of answers")?,
            None => 0,
        };
        // What was set aside is tried again: its dead letters are dropped.
        for subject in DeadLetters::subjects_in(tx, self.follower, shard).await? {
            let sql = "INSERT INTO answers_again (follower, shard, order_id, through)
                       VALUES ($1, $2, $3, 0) ON CONFLICT (follower, shard, order_id) DO NOTHING";
            let query = sqlx::query(sql).bind(self.follower).bind(i64::from(shard));
            query.bind(subject.to_string()).execute(&mut **tx).await?;
        }
        tracing::warn!(
            follower = self.follower,
            shard,
            through = was_at,
            "the journal was set back: answers about orders that lost events are read again"
        );
        self.ends(tx, shard, was_at).await
    }

    /// A shard is read again to there; 0 where all of it counts.
    async fn ends(&self, tx: &mut Tx, shard: u16, through: u64) -> Result<(), DatabaseError> {
        let sql = match through {
            0 => "DELETE FROM answers_again WHERE follower = $1 AND shard = $2",
            _ => "UPDATE answers_again SET through = $3 WHERE follower = $1 AND shard = $2",
        };
        let mut query = sqlx::query(sql).bind(self.follower).bind(i64::from(shard));
        if through > 0 {
            query = query.bind(i64::try_from(through).unwrap_or(i64::MAX));
        }
        query.execute(&mut **tx).await?;
        Ok(())
    }

    /// The log of answers has another history after `to`: what is there was never read.
    pub(crate) async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<(), DatabaseError> {
        for (shard, through) in
            self.load(tx).await?.iter().map(|(shard, one)| (*shard, one.through))
        {
            if from.iter().any(|(other, _)| other == shard) && through > to.get(shard) {
                // Those that have not begun wait for that.
                let sql = "UPDATE answers_again SET through = $3
                           WHERE follower = $1 AND shard = $2 AND through > 0";
                let query = sqlx::query(sql).bind(self.follower).bind(i64::from(shard));
                let to = i64::try_from(to.get(shard)).unwrap_or(i64::MAX);
                query.bind(to).execute(&mut **tx).await?;
            }
        }
        self.reads = None;
        Ok(())
    }

    async fn load(&self, tx: &mut Tx) -> Result<BTreeMap<u16, Reads>, DatabaseError> {
        let sql = "SELECT shard, order_id, through FROM answers_again WHERE follower = $1";
        let rows = sqlx::query(sql).bind(self.follower).fetch_all(&mut **tx).await?;
        let mut reads: BTreeMap<u16, Reads> = BTreeMap::new();
        for row in &rows {
            let order_id: String = row.try_get(1)?;
            let order_id = OrderId::recorded(&order_id);
            let order_id = order_id.map_err(|_| DatabaseError::Corrupt("order of an answer"))?;
            let one = reads.entry(number(row, 0, "shard of an answer")?).or_default();
            one.through = one.through.max(number(row, 2, "position of an answer")?);
            one.orders.insert(order_id);
        }
        // Those that have not begun read on.
        reads.retain(|_, one| one.through > 0);
        Ok(reads)
    }

    /// Before facts are handled: what is known of what is read again, and which of it ends by them.
    pub(crate) async fn begin(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), DatabaseError> {
        self.over.clear();
        let reads = match self.reads.take() {
            Some(reads) => reads,
            None => self.load(tx).await?,
        };
        for (shard, one) in &reads {
            let ends = |fact: &Fact| fact.shard == *shard && fact.position >= one.through;
            if facts.iter().any(ends) {
                let sql = "DELETE FROM answers_again
                           WHERE follower = $1 AND shard = $2 AND through > 0";
                let query = sqlx::query(sql).bind(self.follower).bind(i64::from(*shard));
                query.execute(&mut **tx).await?;
                self.over.insert(*shard);
            }
        }
        self.reads = Some(reads);
        Ok(())
    }

    /// Whether an answer was handled before, and its order still knows it.
    pub(crate) fn passes_over(&self, fact: &Fact) -> bool {
        let reads = self.reads.as_ref().and_then(|reads| reads.get(&fact.shard));
        reads.is_some_and(|reads| {
            let counts = |order_id: OrderId| reads.orders.contains(&order_id);
            fact.position <= reads.through && !fact.body.order_id().is_some_and(counts)
        })
    }

    /// What was handled is committed.
    pub(crate) fn committed(&mut self) {
        let over = std::mem::take(&mut self.over);
        if let Some(reads) = &mut self.reads {
            reads.retain(|shard, _| !over.contains(shard));
        }
    }
}

/// Whether every list has compared itself with this incarnation of the journal, and gone back where
/// it was ahead.
async fn lists_agree(tx: &mut Tx, incarnation: u64) -> Result<bool, DatabaseError> {
    let sql = "SELECT COUNT(*) FROM cursors
               WHERE follower IN ($1, $2) AND position > 0 AND incarnation < $3";
    let query = sqlx::query(sql).bind(SUMMARIES).bind(DEADLINES);
    let query = query.bind(i64::try_from(incarnation).unwrap_or(i64::MAX));
    let row = query.fetch_one(&mut **tx).await?;
    let behind: i64 = row.try_get(0)?;
    Ok(behind == 0)
}
