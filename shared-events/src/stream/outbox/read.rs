use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::Outbox;
use crate::contract::{Fact, Mark, Timestamp};
use crate::stream::{Batch, Comparison, Cursors, Finding, Place, Reader, Source, SourceError};

/// Readers poll at least this often, in addition to every wake-up: another process may have
/// published something. One poll is one indexed read.
const POLL: Duration = Duration::from_millis(100);

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
        // In order and each once, as they are read; places may be in any order.
        let asked: BTreeSet<(u16, u64)> = places
            .iter()
            .filter(|place| there(place))
            .map(|place| (place.shard, place.position))
            .collect();
        let ranges: Vec<Range> = asked
            .into_iter()
            .map(|(shard, position)| Range { shard, after: position - 1, through: position })
            .collect();
        let facts = self.read(&ranges).await?.into_iter();
        let marks: BTreeMap<(u16, u64), Option<Mark>> =
            facts.map(|fact| ((fact.shard, fact.position), fact.mark())).collect();
        let finding = |place: &Place| {
            if !there(place) {
                return Finding::Ahead;
            }
            match marks.get(&(place.shard, place.position)) {
                Some(Some(mark)) if *mark == place.mark => Finding::Same,
                _ => Finding::Other,
            }
        };
        Ok(places.iter().map(finding).collect())
    }

    /// The facts of these ranges, which are in order and do not overlap.
    async fn read(&self, ranges: &[Range]) -> Result<Vec<Fact>, SourceError> {
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let unavailable =
            |error: &dyn std::fmt::Display| SourceError::Unavailable(error.to_string());
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
        let json = serde_json::to_string(ranges).map_err(|error| unavailable(&error))?;
        let rows = sqlx::query(sql).bind(json).fetch_all(self.database.reader()).await;
        let rows = rows.map_err(|error| unavailable(&error))?;
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
        let published = self.shared.published.notified();
        // The facts may have been written before this call; the heads are compared after the
        // subscription, and read again only if something was committed since the last read.
        let heads = match self.known_heads() {
            Some(heads) => Ok(heads),
            None => self.heads().await,
        };
        if heads.is_ok_and(|heads| !cursors.covers(&heads)) {
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

    async fn meet(&self, reader: &Reader) -> Result<bool, SourceError> {
        let known = reader.is_known(&self.database).await;
        known.map_err(|error| SourceError::Unavailable(error.to_string()))
    }

    async fn heads(&self) -> Result<Cursors, SourceError> {
        let unavailable = |error: sqlx::Error| SourceError::Unavailable(error.to_string());
        let commits = self.shared.commits.load(Ordering::Acquire);
        let rows = sqlx::query("SELECT shard, position FROM outbox_heads ORDER BY shard")
            .fetch_all(self.database.reader())
            .await
            .map_err(unavailable)?;
        let head = |row: &AnyRow| {
            let (shard, position): (i64, i64) =
                (row.try_get(0).map_err(unavailable)?, row.try_get(1).map_err(unavailable)?);
            Ok((u16::try_from(shard).unwrap_or(u16::MAX), u64::try_from(position).unwrap_or(0)))
        };
        let heads: Cursors = rows.iter().map(head).collect::<Result<_, SourceError>>()?;
        let known = (commits, heads.clone());
        *self.shared.heads.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(heads)
    }

    async fn oldest_after(&self, cursors: &Cursors) -> Result<Option<Timestamp>, SourceError> {
        // One of each shard.
        Ok(self.read_after(cursors, 1).await?.oldest())
    }
}
