mod read; // the outbox as a source

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{Cursors, Database, DatabaseError, Tx};
use crate::contract::{Fact, FactBody, FactId, Subject, Timestamp};

/// The facts that a service publishes, in its own database, written in the transaction of their
/// effect: each fact in the shard of its subject, positions from 1 without a gap. The same value
/// writes them and is the source from which others read them.
///
/// The service creates its tables:
///
/// ```sql
/// CREATE TABLE outbox (
///     shard BIGINT NOT NULL, position BIGINT NOT NULL, subject TEXT NOT NULL, fact TEXT NOT NULL,
///     PRIMARY KEY (shard, position)
/// );
/// CREATE TABLE outbox_heads (shard BIGINT PRIMARY KEY, position BIGINT NOT NULL);
/// ```
///
/// Rows stay for as long as the data they are about; how many of them readers get from a faster
/// place is up to the retention of the Redis streams.
#[derive(Clone)]
pub struct Outbox {
    database: Database,
    shared: Arc<Shared>,
}

/// The part that all clones share.
#[derive(Default)]
struct Shared {
    published: Notify,
    /// How often this process has committed facts.
    commits: AtomicU64,
    /// The heads as they were last read, and the number of commits before that.
    heads: Mutex<Option<(u64, Cursors)>>,
}

/// A fact without a position yet.
#[derive(Clone, Debug)]
pub struct NewFact {
    /// Its id.
    pub id: FactId,
    /// The shard of its subject.
    pub shard: u16,
    /// The version of its subject; the fact's own position where it has none.
    pub sequence: Option<u64>,
    /// The id of its cause.
    pub causationid: Option<String>,
    /// The trace of the command that caused it.
    pub traceparent: Option<String>,
    /// What other systems added to that trace (W3C `tracestate`).
    pub tracestate: Option<String>,
    /// Its content.
    pub body: FactBody,
}

impl NewFact {
    /// A fact that `cause` has caused, in the same shard and with the same version and trace.
    #[must_use]
    pub fn caused_by(cause: &Fact, id: FactId, body: FactBody) -> Self {
        Self {
            id,
            shard: cause.shard,
            sequence: Some(cause.sequence),
            causationid: Some(cause.id.to_string()),
            traceparent: cause.trace().map(str::to_owned),
            tracestate: cause.trace_state().map(str::to_owned),
            body,
        }
    }

    fn at(self, position: u64, time: Timestamp) -> Fact {
        let sequence = self.sequence.unwrap_or(position);
        Fact::new(self.id, (self.shard, position, 0), sequence, time, self.body)
            .caused(self.causationid, self.traceparent)
            .stated(self.tracestate)
    }
}

impl Outbox {
    /// The outbox of this database, which has its tables.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, shared: Arc::default() }
    }

    /// Writes facts in their order, each at the next position of its shard, and returns their
    /// positions. Other writers to the same shards wait for this transaction.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn write(
        &self,
        tx: &mut Tx,
        facts: Vec<NewFact>,
        time: Timestamp,
    ) -> Result<Vec<Fact>, DatabaseError> {
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
        for fact in &facts {
            *counts.entry(fact.shard).or_default() += 1;
        }
        let mut next = self.reserve(tx, &counts).await?;
        let place = |fact: NewFact| {
            let position = next.get_mut(&fact.shard).ok_or(DatabaseError::Corrupt(HEAD))?;
            *position += 1;
            Ok(fact.at(*position, time))
        };
        let facts = facts.into_iter().map(place).collect::<Result<Vec<_>, DatabaseError>>()?;
        let row = |fact: &Fact| {
            let json = fact.to_json().map_err(|_| DatabaseError::Corrupt("fact"))?;
            Ok(Row {
                shard: fact.shard,
                position: fact.position,
                subject: fact.subject,
                fact: json,
            })
        };
        let rows = facts.iter().map(row).collect::<Result<Vec<_>, DatabaseError>>()?;
        let sql = self.database.sql(
            "INSERT INTO outbox (shard, position, subject, fact)
             SELECT shard, position, subject, fact FROM json_to_recordset($1::json)
                 AS row(shard BIGINT, position BIGINT, subject TEXT, fact TEXT)",
            "INSERT INTO outbox (shard, position, subject, fact)
             SELECT value ->> 'shard', value ->> 'position', value ->> 'subject', value ->> 'fact'
             FROM json_each($1)",
        );
        let rows = serde_json::to_string(&rows).map_err(|_| DatabaseError::Corrupt("fact"))?;
        sqlx::query(sql).bind(rows).execute(&mut **tx).await?;
        Ok(facts)
    }

    /// Reserves this many positions of each shard; returns the last position before them. Shards
    /// are taken in order, so that two writers wait for each other in one direction only.
    async fn reserve(
        &self,
        tx: &mut Tx,
        counts: &BTreeMap<u16, u64>,
    ) -> Result<BTreeMap<u16, u64>, DatabaseError> {
        let rows: Vec<Count> =
            counts.iter().map(|(shard, count)| Count { shard: *shard, count: *count }).collect();
        let sql = self.database.sql(
            "INSERT INTO outbox_heads (shard, position)
             SELECT shard, count FROM json_to_recordset($1::json) AS row(shard BIGINT, count BIGINT)
             ORDER BY shard
             ON CONFLICT (shard) DO UPDATE
             SET position = outbox_heads.position + excluded.position
             RETURNING shard, position",
            "INSERT INTO outbox_heads (shard, position)
             SELECT value ->> 'shard', value ->> 'count' FROM json_each($1) WHERE TRUE
             ON CONFLICT (shard) DO UPDATE
             SET position = outbox_heads.position + excluded.position
             RETURNING shard, position",
        );
        let rows = serde_json::to_string(&rows).map_err(|_| DatabaseError::Corrupt(HEAD))?;
        let heads: Vec<(i64, i64)> = sqlx::query_as(sql).bind(rows).fetch_all(&mut **tx).await?;
        let before = |(shard, head): (i64, i64)| {
            let (shard, head) = u16::try_from(shard).ok().zip(u64::try_from(head).ok())?;
            Some((shard, head.checked_sub(*counts.get(&shard)?)?))
        };
        let before = heads.into_iter().map(|head| before(head).ok_or(DatabaseError::Corrupt(HEAD)));
        before.collect()
    }

    /// The written facts are committed: wakes readers.
    pub fn committed(&self) {
        self.shared.commits.fetch_add(1, Ordering::AcqRel);
        self.shared.published.notify_waiters();
    }

    /// Completes when this process may have committed facts.
    pub fn published(&self) -> Notified<'_> {
        self.shared.published.notified()
    }

    /// The heads as they were last read, if this process has committed nothing since.
    fn known_heads(&self) -> Option<Cursors> {
        let commits = self.shared.commits.load(Ordering::Acquire);
        let known = self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|(before, _)| *before == commits).map(|(_, heads)| heads.clone())
    }
}

/// How many positions of a shard to reserve, as the database reads it.
#[derive(Serialize)]
struct Count {
    shard: u16,
    count: u64,
}

/// A fact as the database reads it.
#[derive(Serialize)]
struct Row {
    shard: u16,
    position: u64,
    subject: Subject,
    fact: String,
}

/// The error of an invalid head.
const HEAD: &str = "head of the outbox";
