use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use sqlx::Row as _;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{
    Batch, Comparison, Cursors, Database, DatabaseError, Finding, Place, Source, SourceError, Tx,
};
use crate::contract::{Fact, FactBody, FactId, Subject, Timestamp};

/// Readers poll at least this often, in addition to every wake-up: another process may have
/// published something. One poll is one indexed read.
const POLL: Duration = Duration::from_millis(100);

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
    published: Arc<Notify>,
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
            traceparent: cause.traceparent.clone(),
            body,
        }
    }

    fn at(self, position: u64, time: Timestamp) -> Fact {
        let sequence = self.sequence.unwrap_or(position);
        Fact::new(self.id, (self.shard, position, 0), sequence, time, self.body)
            .caused(self.causationid, self.traceparent)
    }
}

impl Outbox {
    /// The outbox of this database, which has its tables.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, published: Arc::default() }
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
        let rows: Vec<_> = counts
            .iter()
            .map(|(shard, count)| serde_json::json!({ "shard": shard, "count": count }))
            .collect();
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
        let rows = serde_json::Value::from(rows).to_string();
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
        self.published.notify_waiters();
    }

    /// Completes when this process may have committed facts.
    pub fn published(&self) -> Notified<'_> {
        self.published.notified()
    }
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

/// Positions of one shard, `after` exclusive, `through` inclusive.
#[derive(Clone, Copy, Serialize)]
struct Range {
    shard: u16,
    after: u64,
    through: u64,
}

impl Outbox {
    /// Compares each place with the outbox.
    async fn findings(&self, places: &[Place]) -> Result<Vec<Finding>, SourceError> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let heads = self.heads().await?;
        let there = |place: &Place| place.position <= heads.get(place.shard);
        let ranges: Vec<Range> = places
            .iter()
            .filter(|place| there(place))
            .map(|place| Range {
                shard: place.shard,
                after: place.position - 1,
                through: place.position,
            })
            .collect();
        let mut facts = self.read_each(&ranges).await?.into_iter();
        let finding = |place: &Place| {
            if !there(place) {
                return Finding::Ahead;
            }
            match facts.next().and_then(|fact| fact.mark()) {
                Some(mark) if mark == place.mark => Finding::Same,
                _ => Finding::Other,
            }
        };
        Ok(places.iter().map(finding).collect())
    }

    /// The facts of these ranges, each read by itself: two may be of one shard, in any order.
    async fn read_each(&self, ranges: &[Range]) -> Result<Vec<Fact>, SourceError> {
        let mut facts = Vec::with_capacity(ranges.len());
        for range in ranges {
            facts.extend(self.read(std::slice::from_ref(range)).await?);
        }
        Ok(facts)
    }

    /// The facts of these ranges, by shard and position.
    async fn read(&self, ranges: &[Range]) -> Result<Vec<Fact>, SourceError> {
        let away = |error: &dyn std::fmt::Display| SourceError::Unavailable(error.to_string());
        let sql = self.database.sql(
            "SELECT told.shard, told.position, told.fact FROM json_to_recordset($1::json)
                 AS range(shard BIGINT, after BIGINT, through BIGINT)
             CROSS JOIN LATERAL (
                 SELECT * FROM outbox
                 WHERE outbox.shard = range.shard
                   AND position > range.after AND position <= range.through
                 ORDER BY position
             ) AS told
             ORDER BY told.shard, told.position",
            "SELECT outbox.shard, position, fact FROM json_each($1) AS range
             JOIN outbox ON outbox.shard = range.value ->> 'shard'
                 AND position > range.value ->> 'after' AND position <= range.value ->> 'through'
             ORDER BY outbox.shard, position",
        );
        let json = serde_json::to_string(ranges).map_err(|error| away(&error))?;
        let rows = sqlx::query(sql).bind(json).fetch_all(self.database.reader()).await;
        let rows = rows.map_err(|error| away(&error))?;
        let mut facts = Vec::with_capacity(rows.len());
        let mut found = rows.iter();
        for range in ranges {
            let shard = range.shard;
            for expected in range.after + 1..=range.through {
                let broken =
                    |detail: String| SourceError::Broken { shard, position: expected - 1, detail };
                let missing = || broken(format!("position {expected} is missing"));
                let row = found.next().ok_or_else(missing)?;
                let unreadable = |error: sqlx::Error| broken(error.to_string());
                let (there, position): (i64, i64) =
                    (row.try_get(0).map_err(unreadable)?, row.try_get(1).map_err(unreadable)?);
                if u16::try_from(there) != Ok(shard) || u64::try_from(position) != Ok(expected) {
                    return Err(missing());
                }
                let json: String = row.try_get(2).map_err(unreadable)?;
                let fact = Fact::from_json(&json);
                facts.push(fact.map_err(|_| broken("unreadable fact".to_owned()))?);
            }
        }
        Ok(facts)
    }
}

#[async_trait]
impl Source<Fact> for Outbox {
    async fn read_after(
        &self,
        cursors: &Cursors,
        limit: usize,
    ) -> Result<Batch<Fact>, SourceError> {
        let heads = self.heads().await?;
        let mut ranges = Vec::new();
        for (shard, head) in heads.iter().filter(|(shard, _)| cursors.reads(*shard)) {
            let after = cursors.get(shard);
            if after > head {
                let detail = format!("it ends at position {head}, and {after} was read");
                return Err(SourceError::Forked { shard, position: after, detail });
            }
            if after < head {
                ranges.push(Range { shard, after, through: head });
            }
        }
        // The ranges share the batch, so that a busy shard cannot delay the others.
        let each = u64::try_from(limit.div_ceil(ranges.len().max(1))).unwrap_or(u64::MAX);
        let mut more = false;
        for range in &mut ranges {
            let through = range.through.min(range.after.saturating_add(each));
            more |= through < range.through;
            range.through = through;
        }
        if ranges.is_empty() {
            return Ok(Batch::default());
        }
        // Includes the item that the reader saw last, where it is known: the log must continue from
        // there.
        let with_last: Vec<Range> = ranges
            .iter()
            .map(|range| {
                let seen = range.after > 0 && cursors.mark(range.shard).is_some();
                Range { after: range.after - u64::from(seen), ..*range }
            })
            .collect();
        let (last, items): (Vec<Fact>, Vec<Fact>) = self
            .read(&with_last)
            .await?
            .into_iter()
            .partition(|fact| fact.position <= cursors.get(fact.shard));
        if let Some(fact) = last.iter().find(|fact| fact.mark() != cursors.mark(fact.shard)) {
            let (shard, position) = (fact.shard, fact.position);
            let detail = format!("the fact read at position {position} is not there");
            return Err(SourceError::Forked { shard, position, detail });
        }
        let mut through: Cursors =
            ranges.iter().map(|range| (range.shard, range.through)).collect();
        for fact in &items {
            through.advance_to(fact.shard, fact.position, fact.mark());
        }
        Ok(Batch { items, through, more })
    }

    async fn changed(&self, cursors: &Cursors) {
        let published = self.published.notified();
        // The facts may have been written before this call; the query comes after the subscription.
        if self.heads().await.is_ok_and(|heads| !cursors.covers(&heads)) {
            return;
        }
        tokio::select! {
            () = published => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }

    /// A service that is set back publishes the reactions to other services' facts again, under the
    /// same ids: its outbox declares no history, and a reader that finds another fact at a position
    /// reads again.
    async fn compare(
        &self,
        places: &[Place],
        _incarnation: u64,
    ) -> Result<Comparison, SourceError> {
        Ok(Comparison { history: None, findings: self.findings(places).await? })
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        let away = |error: sqlx::Error| SourceError::Unavailable(error.to_string());
        let rows = sqlx::query("SELECT shard, position FROM outbox_heads ORDER BY shard")
            .fetch_all(self.database.reader())
            .await
            .map_err(away)?;
        rows.iter()
            .map(|row| {
                let (shard, position): (i64, i64) =
                    (row.try_get(0).map_err(away)?, row.try_get(1).map_err(away)?);
                Ok((u16::try_from(shard).unwrap_or(u16::MAX), u64::try_from(position).unwrap_or(0)))
            })
            .collect()
    }
}
