use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::row::json;
use shared_events::stream::{Blame, Cursors, Database, DatabaseError, Handler, OperatorAction, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokio::sync::Notify;

use super::rebuild::{RebuildError, beside, rebuild};
use crate::domain::{Deadline, DeadlineKind, deadline};
use crate::journal::Journal;
use crate::record::RecordedEvent;
use crate::replay::OrderReplay;

pub(super) const TABLE: &str = "deadlines";

/// An open deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueDeadline {
    /// The order.
    pub order_id: OrderId,
    /// Its kind.
    pub kind: DeadlineKind,
    /// When it passes.
    pub due: Timestamp,
}

/// The durable list of open deadlines.
#[derive(Clone)]
pub struct Deadlines {
    database: Database,
    changed: Arc<Notify>,
}

impl Deadlines {
    /// The follower's name.
    pub const FOLLOWER: &'static str = super::DEADLINES;

    /// The list in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, changed: Arc::default() }
    }

    /// The handler that updates the list from the journal.
    #[must_use]
    pub fn handler(&self, journal: Journal) -> DeadlinesHandler {
        DeadlinesHandler::of(self, journal, TABLE)
    }

    /// Rebuilds the list from the first event on in a second table, which then replaces the one in
    /// use, and records the operator's action. Timers and the follower continue meanwhile. Returns
    /// the number of replayed events.
    ///
    /// # Errors
    /// [`RebuildError`]; the old list stays in use.
    pub async fn rebuild(
        &self,
        journal: Journal,
        action: OperatorAction,
    ) -> Result<u64, RebuildError> {
        let handler = DeadlinesHandler::of(self, journal.clone(), &beside(TABLE));
        rebuild(&self.database, &journal, (Self::FOLLOWER, TABLE), handler, action).await
    }

    /// Deadlines due at `now` or before, by (due, order), after a given one, at most `limit`.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn due(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, OrderId)>,
        limit: u32,
    ) -> Result<Vec<DueDeadline>, DatabaseError> {
        let (due_at, order_id) = after.map_or((i64::MIN, String::new()), |(due, order_id)| {
            (due.micros(), order_id.to_string())
        });
        // In the collation of the index by time; on Postgres it differs from the key's (0102). What
        // an order is still to hear again may be what its deadline waits for.
        let sql = self.database.sql(
            r#"SELECT order_id, kind, due_at FROM deadlines
               WHERE due_at <= $1 AND (due_at, order_id COLLATE "C") > ($2, $3)
                 AND NOT EXISTS (SELECT 1 FROM answers_again AS waits
                                 WHERE waits.order_id = deadlines.order_id)
               ORDER BY due_at, order_id COLLATE "C" LIMIT $4"#,
            "SELECT order_id, kind, due_at FROM deadlines
             WHERE due_at <= $1 AND (due_at, order_id) > ($2, $3)
               AND NOT EXISTS (SELECT 1 FROM answers_again AS waits
                               WHERE waits.order_id = deadlines.order_id)
             ORDER BY due_at, order_id LIMIT $4",
        );
        let rows = sqlx::query(sql)
            .bind(now.micros())
            .bind(due_at)
            .bind(order_id)
            .bind(i64::from(limit))
            .fetch_all(self.database.reader())
            .await?;
        rows.iter().map(due_deadline).collect()
    }

    /// The open deadline of an order, if it has one.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn of_order(&self, order_id: OrderId) -> Result<Option<DueDeadline>, DatabaseError> {
        let row = sqlx::query("SELECT order_id, kind, due_at FROM deadlines WHERE order_id = $1")
            .bind(order_id.to_string())
            .fetch_optional(self.database.reader())
            .await?;
        row.as_ref().map(due_deadline).transpose()
    }

    /// The open deadlines of these orders, those that have one.
    ///
    /// # Errors
    /// [`DatabaseError`]; of an impossible row, beside its order.
    pub async fn of_orders(
        &self,
        orders: &[OrderId],
    ) -> Result<HashMap<OrderId, Result<DueDeadline, DatabaseError>>, DatabaseError> {
        let select = "SELECT order_id, kind, due_at FROM deadlines";
        let rows = self.database.rows_of(select, "order_id", orders).await?;
        rows.iter().map(|row| Ok((order_of_row(row)?, due_deadline(row)))).collect()
    }

    /// When the next deadline after this time is due.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn next_after(&self, time: Timestamp) -> Result<Option<Timestamp>, DatabaseError> {
        let row =
            sqlx::query("SELECT due_at FROM deadlines WHERE due_at > $1 ORDER BY due_at LIMIT 1")
                .bind(time.micros())
                .fetch_optional(self.database.reader())
                .await?;
        row.map(|row| Ok(Timestamp::from_micros(row.try_get(0)?))).transpose()
    }

    /// Returns after the list has changed; counts from the call, not from the first poll.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut notified = Box::pin(Arc::clone(&self.changed).notified_owned());
        notified.as_mut().enable();
        notified
    }
}

fn order_of_row(row: &AnyRow) -> Result<OrderId, DatabaseError> {
    let order_id: String = row.try_get(0)?;
    OrderId::recorded(&order_id).map_err(|_| DatabaseError::Corrupt("order of a deadline"))
}

fn due_deadline(row: &AnyRow) -> Result<DueDeadline, DatabaseError> {
    let kind: String = row.try_get(1)?;
    let kind = DeadlineKind::all()
        .find(|known| known.code() == kind)
        .ok_or(DatabaseError::Corrupt("kind of a deadline"))?;
    Ok(DueDeadline {
        order_id: order_of_row(row)?,
        kind,
        due: Timestamp::from_micros(row.try_get(2)?),
    })
}

/// Follows the journal for [`Deadlines`].
pub struct DeadlinesHandler {
    list: Deadlines,
    replay: OrderReplay,
    /// The statements that upsert and delete rows.
    upsert: String,
    delete: String,
}

impl DeadlinesHandler {
    fn of(list: &Deadlines, journal: Journal, table: &str) -> Self {
        let rows = list.database.sql(
            "SELECT order_id, kind, due_at, version FROM json_to_recordset($1::json)
                 AS row(order_id TEXT, kind TEXT, due_at BIGINT, version BIGINT)",
            "SELECT value ->> 'order_id', value ->> 'kind', value ->> 'due_at', value ->> 'version'
             FROM json_each($1) WHERE true",
        );
        let upsert = format!(
            "INSERT INTO {table} (order_id, kind, due_at, version)
             {rows}
             ON CONFLICT (order_id) DO UPDATE
             SET kind = excluded.kind, due_at = excluded.due_at, version = excluded.version"
        );
        let delete = format!("DELETE FROM {table} WHERE order_id {}", list.database.one_of());
        Self { list: list.clone(), replay: OrderReplay::new(journal), upsert, delete }
    }
}

/// A row of the list.
#[derive(Serialize)]
struct Row {
    order_id: OrderId,
    kind: &'static str,
    due_at: i64,
    version: u64,
}

#[async_trait]
impl Handler<RecordedEvent> for DeadlinesHandler {
    async fn handle(&mut self, tx: &mut Tx, events: &[RecordedEvent]) -> Result<(), Blame> {
        // Only the last state of each order in the batch matters.
        let mut last: BTreeMap<OrderId, (u64, Option<Deadline>)> = BTreeMap::new();
        for (index, recorded) in events.iter().enumerate() {
            let step = super::step(&mut self.replay, index, recorded).await?;
            last.insert(recorded.order_id, (recorded.sequence, deadline(&step.after)));
        }
        let mut open = Vec::new();
        let mut closed = Vec::new();
        for (order_id, (version, deadline)) in last {
            match deadline {
                Some(deadline) => open.push(Row {
                    order_id,
                    kind: deadline.kind.code(),
                    due_at: deadline.due.micros(),
                    version,
                }),
                None => closed.push(order_id),
            }
        }
        if !closed.is_empty() {
            sqlx::query(&self.delete).bind(json(&closed)?).execute(&mut **tx).await?;
        }
        if !open.is_empty() {
            sqlx::query(&self.upsert).bind(json(&open)?).execute(&mut **tx).await?;
        }
        Ok(())
    }

    fn committed(&mut self) {
        self.list.changed.notify_waiters();
    }

    /// Removes deadlines of orders that are ahead of the journal. The list does not know which
    /// other orders have a deadline again, so these shards are read from their beginning.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        _to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.replay.forget();
        let journal = self.replay.journal();
        let ahead = super::ahead_of(&self.list.database, journal, TABLE, from).await?;
        super::hear_again(&self.list.database, tx, journal, &ahead).await?;
        let gone: Vec<OrderId> = ahead.into_keys().collect();
        super::remove(&self.list.database, tx, TABLE, &gone).await?;
        let begins = journal.begins_after().await;
        let begins = begins.map_err(|error| Blame::World(error.to_string()))?;
        Ok(from.iter().map(|(shard, _)| (shard, begins.get(shard))).collect())
    }
}
