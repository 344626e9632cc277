use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use shared_events::contract::{Currency, CustomerId, Money, OrderId, Timestamp};
use shared_events::stream::{Blame, Cursors, Database, DatabaseError, Handler, OperatorAction, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::rebuild::{RebuildError, beside, rebuild};
use crate::domain::{Order, Status};
use crate::journal::Journal;
use crate::record::RecordedEvent;
use crate::replay::OrderReplay;

pub(super) const TABLE: &str = "order_summaries";
/// How often a waiting read polls the cursor, which another node may move.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// An order as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its id.
    pub order_id: OrderId,
    /// Its customer.
    pub customer_id: CustomerId,
    /// Its status.
    pub status: Status,
    /// Number of its events.
    pub version: u64,
    /// Sum of all lines as ordered.
    pub total: Money,
    /// Sum of its refunds.
    pub refunded: Money,
    /// Units ordered.
    pub units: u64,
    /// Returns that wait for their judgement or for their goods.
    pub returns_waiting: u64,
    /// When the engine accepted it.
    pub placed_at: Timestamp,
    /// When it was ordered, as reported by the client.
    pub ordered_at: Option<Timestamp>,
    /// When its last event happened.
    pub updated_at: Timestamp,
}

impl Summary {
    /// The summary of an order after an event; none if it was not placed.
    #[must_use]
    pub fn of(order: &Order, version: u64, updated_at: Timestamp) -> Option<Self> {
        let details = order.details()?;
        Some(Self {
            order_id: details.order_id,
            customer_id: details.customer_id,
            status: order.status()?,
            version,
            total: details.totals.total,
            refunded: details.refunded,
            units: details.lines.iter().map(|line| u64::from(line.ordered)).sum(),
            returns_waiting: u64::try_from(details.waiting.len()).unwrap_or(u64::MAX),
            placed_at: details.placed_at,
            ordered_at: details.ordered_at,
            updated_at,
        })
    }
}

/// A filter of orders. The default matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SummaryFilter {
    /// With any of these statuses; empty for all.
    pub statuses: Vec<Status>,
    /// Of this customer.
    pub customer_id: Option<CustomerId>,
    /// Placed at this time or later.
    pub placed_from: Option<Timestamp>,
    /// Placed before this time.
    pub placed_until: Option<Timestamp>,
    /// With a return that waits.
    pub returns_waiting: bool,
}

/// The read model of order summaries.
#[derive(Clone)]
pub struct OrderSummaries {
    database: Database,
    changed: Arc<Notify>,
}

impl OrderSummaries {
    /// The follower's name.
    pub const FOLLOWER: &'static str = "order-summaries";

    /// The read model in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, changed: Arc::default() }
    }

    /// The handler that updates it from the journal.
    #[must_use]
    pub fn handler(&self, journal: Journal) -> OrderSummariesHandler {
        OrderSummariesHandler::of(self, journal, TABLE)
    }

    /// Rebuilds it from the first event on in a second table, which then replaces the one in use,
    /// and records the operator's action. Lists and the follower continue meanwhile. Returns the
    /// number of replayed events.
    ///
    /// # Errors
    /// [`RebuildError`]; the old table stays in use.
    pub async fn rebuild(
        &self,
        journal: Journal,
        action: OperatorAction,
    ) -> Result<u64, RebuildError> {
        let handler = OrderSummariesHandler::of(self, journal.clone(), &beside(TABLE));
        rebuild(&self.database, &journal, (Self::FOLLOWER, TABLE), handler, action).await
    }

    /// Orders that match the filter, newest first, after a given one, at most `limit`.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn list(
        &self,
        filter: &SummaryFilter,
        after: Option<(Timestamp, OrderId)>,
        limit: u32,
    ) -> Result<Vec<Summary>, DatabaseError> {
        let (placed_at, order_id) = after.map_or((i64::MAX, String::new()), |(at, order_id)| {
            (at.micros(), order_id.to_string())
        });
        let statuses: Vec<&str> = filter.statuses.iter().map(|status| status.code()).collect();
        // Only the conditions in use are in the statement, so that their index is used.
        let mut sql = "SELECT * FROM order_summaries
             WHERE (placed_at, order_id) < ($1, $2) AND placed_at >= $3 AND placed_at < $4"
            .to_owned();
        let mut texts = Vec::new();
        if !statuses.is_empty() {
            texts.push(
                serde_json::to_string(&statuses)
                    .map_err(|_| DatabaseError::Corrupt("status filter"))?,
            );
            sql.push_str(self.database.sql(
                " AND status IN (SELECT json_array_elements_text($5::json))",
                " AND status IN (SELECT value FROM json_each($5))",
            ));
        }
        if let Some(customer_id) = filter.customer_id {
            texts.push(customer_id.to_string());
            sql.push_str(&format!(" AND customer_id = ${}", 4 + texts.len()));
        }
        if filter.returns_waiting {
            sql.push_str(" AND returns_waiting IS NOT NULL");
        }
        sql.push_str(&format!(
            " ORDER BY placed_at DESC, order_id DESC LIMIT ${}",
            5 + texts.len()
        ));
        let mut query = sqlx::query(&sql)
            .bind(placed_at)
            .bind(order_id)
            .bind(filter.placed_from.map_or(i64::MIN, Timestamp::micros))
            .bind(filter.placed_until.map_or(i64::MAX, Timestamp::micros));
        for text in texts {
            query = query.bind(text);
        }
        let rows = query.bind(i64::from(limit)).fetch_all(self.database.reader()).await?;
        rows.iter().map(summary).collect()
    }

    /// The summary of an order, if the read model has it.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn of_order(&self, order_id: OrderId) -> Result<Option<Summary>, DatabaseError> {
        let row = sqlx::query("SELECT * FROM order_summaries WHERE order_id = $1")
            .bind(order_id.to_string())
            .fetch_optional(self.database.reader())
            .await?;
        row.as_ref().map(summary).transpose()
    }

    /// Waits until the read model includes a position of the journal; false at the deadline.
    pub async fn includes(&self, shard: u16, position: u64, deadline: Instant) -> bool {
        loop {
            let mut notified = Box::pin(Arc::clone(&self.changed).notified_owned());
            notified.as_mut().enable();
            let included = Cursors::load(&self.database, Self::FOLLOWER)
                .await
                .is_ok_and(|cursors| cursors.get(shard) >= position);
            if included {
                return true;
            }
            // Another node may follow that shard; it does not notify this one.
            let next_poll = deadline.min(Instant::now() + POLL_INTERVAL);
            if tokio::time::timeout_at(next_poll, notified).await.is_err()
                && Instant::now() >= deadline
            {
                return false;
            }
        }
    }
}

fn summary(row: &AnyRow) -> Result<Summary, DatabaseError> {
    let text = |column: &str| -> Result<String, DatabaseError> { Ok(row.try_get(column)?) };
    let number = |column: &str| -> Result<u64, DatabaseError> {
        let value: i64 = row.try_get(column)?;
        u64::try_from(value).map_err(|_| DatabaseError::Corrupt("number of a summary"))
    };
    let status = text("status")?;
    let currency = Currency::recorded(&text("currency")?)
        .map_err(|_| DatabaseError::Corrupt("currency of a summary"))?;
    let ordered_at: Option<i64> = row.try_get("ordered_at")?;
    let waiting: Option<i64> = row.try_get("returns_waiting")?;
    Ok(Summary {
        order_id: OrderId::recorded(&text("order_id")?)
            .map_err(|_| DatabaseError::Corrupt("order of a summary"))?,
        customer_id: CustomerId::recorded(&text("customer_id")?)
            .map_err(|_| DatabaseError::Corrupt("customer of a summary"))?,
        status: Status::all()
            .find(|known| known.code() == status)
            .ok_or(DatabaseError::Corrupt("status of a summary"))?,
        version: number("version")?,
        total: Money::new(row.try_get("total")?, currency),
        refunded: Money::new(row.try_get("refunded")?, currency),
        units: number("units")?,
        returns_waiting: u64::try_from(waiting.unwrap_or_default())
            .map_err(|_| DatabaseError::Corrupt("number of a summary"))?,
        placed_at: Timestamp::from_micros(row.try_get("placed_at")?),
        ordered_at: ordered_at.map(Timestamp::from_micros),
        updated_at: Timestamp::from_micros(row.try_get("updated_at")?),
    })
}

/// Follows the journal for [`OrderSummaries`].
pub struct OrderSummariesHandler {
    model: OrderSummaries,
    replay: OrderReplay,
    /// The statement that writes rows.
    upsert: String,
    /// The same after the journal was set back: an order may have been placed again.
    replace: String,
}

impl OrderSummariesHandler {
    fn of(model: &OrderSummaries, journal: Journal, table: &str) -> Self {
        let rows = model.database.sql(
            "SELECT order_id, customer_id, status, version, currency, total, refunded, units,
                    placed_at, ordered_at, updated_at, returns_waiting
             FROM json_to_recordset($1::json)
                 AS row(order_id TEXT, customer_id TEXT, status TEXT, version BIGINT, currency TEXT,
                        total BIGINT, refunded BIGINT, units BIGINT, placed_at BIGINT,
                        ordered_at BIGINT, updated_at BIGINT, returns_waiting BIGINT)",
            "SELECT value ->> 'order_id', value ->> 'customer_id', value ->> 'status',
                    value ->> 'version', value ->> 'currency', value ->> 'total',
                    value ->> 'refunded', value ->> 'units', value ->> 'placed_at',
                    value ->> 'ordered_at', value ->> 'updated_at', value ->> 'returns_waiting'
             FROM json_each($1) WHERE true",
        );
        let upsert = format!(
            "INSERT INTO {table} (order_id, customer_id, status, version, currency, total,
                                  refunded, units, placed_at, ordered_at, updated_at,
                                  returns_waiting)
             {rows}
             ON CONFLICT (order_id) DO UPDATE
             SET status = excluded.status, version = excluded.version,
                 refunded = excluded.refunded, updated_at = excluded.updated_at,
                 returns_waiting = excluded.returns_waiting"
        );
        let replace = format!(
            "{upsert}, customer_id = excluded.customer_id, currency = excluded.currency,
                 total = excluded.total, units = excluded.units, placed_at = excluded.placed_at,
                 ordered_at = excluded.ordered_at"
        );
        Self { model: model.clone(), replay: OrderReplay::new(journal), upsert, replace }
    }

    fn write(&self) -> &str {
        let history = self.replay.journal().history();
        let set_back = history.is_some_and(|history| history.incarnation > 1);
        if set_back { &self.replace } else { &self.upsert }
    }
}

#[async_trait]
impl Handler<RecordedEvent> for OrderSummariesHandler {
    async fn handle(&mut self, tx: &mut Tx, events: &[RecordedEvent]) -> Result<(), Blame> {
        // Only the last state of each order in the batch matters.
        let mut last: BTreeMap<OrderId, Summary> = BTreeMap::new();
        for (index, recorded) in events.iter().enumerate() {
            let step = super::step(&mut self.replay, index, recorded).await?;
            let summary = Summary::of(&step.after, recorded.sequence, recorded.event.at());
            last.extend(summary.map(|summary| (recorded.order_id, summary)));
        }
        let rows: Vec<Row> = last.values().map(Row::of).collect();
        sqlx::query(self.write()).bind(super::json(&rows)?).execute(&mut **tx).await?;
        Ok(())
    }

    fn committed(&mut self) {
        self.model.changed.notify_waiters();
    }

    /// Deletes orders that the journal no longer holds, and sets those that are ahead of it to the
    /// journal's state. Events after `to` are read again.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.replay.forget();
        let ahead =
            super::ahead_of(&self.model.database, self.replay.journal(), TABLE, from).await?;
        let gone: Vec<OrderId> =
            ahead.iter().filter(|(_, now)| now.is_none()).map(|(order_id, _)| *order_id).collect();
        super::remove(&self.model.database, tx, TABLE, &gone).await?;
        for (order_id, _) in ahead.iter().filter(|(_, now)| now.is_some()) {
            let now = self.replay.now(*order_id).await;
            let now = now.map_err(|error| Blame::World(error.to_string()))?;
            let summary =
                now.and_then(|(order, last)| Summary::of(&order, last.sequence, last.event.at()));
            let rows: Vec<Row> = summary.iter().map(Row::of).collect();
            sqlx::query(&self.replace).bind(super::json(&rows)?).execute(&mut **tx).await?;
        }
        if !ahead.is_empty() {
            tracing::warn!(
                orders = ahead.len(),
                gone = gone.len(),
                "the order summaries were ahead of the journal"
            );
        }
        Ok(to.clone())
    }
}

/// A summary as a row, by column names.
#[derive(Serialize)]
struct Row {
    order_id: OrderId,
    customer_id: CustomerId,
    status: &'static str,
    version: u64,
    currency: Currency,
    total: i64,
    refunded: i64,
    units: u64,
    placed_at: i64,
    ordered_at: Option<i64>,
    updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    returns_waiting: Option<u64>,
}

impl Row {
    fn of(summary: &Summary) -> Self {
        Self {
            order_id: summary.order_id,
            customer_id: summary.customer_id,
            status: summary.status.code(),
            version: summary.version,
            currency: summary.total.currency,
            total: summary.total.minor,
            refunded: summary.refunded.minor,
            units: summary.units,
            placed_at: summary.placed_at.micros(),
            ordered_at: summary.ordered_at.map(Timestamp::micros),
            updated_at: summary.updated_at.micros(),
            returns_waiting: Some(summary.returns_waiting).filter(|waiting| *waiting > 0),
        }
    }
}
