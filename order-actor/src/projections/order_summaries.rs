use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use event_journal::Fingerprints;
use shared_events::contract::{
    Currency, CustomerId, Money, OrderId, OrderNames, OrderNumber, Timestamp,
};
use shared_events::stream::row::json;
use shared_events::stream::{Blame, Cursors, Database, DatabaseError, Handler, OperatorAction, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::rebuild::{RebuildError, beside, rebuild};
use super::summary_row::Row;
use super::words::{SearchBy, Word};
use crate::domain::{Event, Order, PaymentStatus, Status};
use crate::journal::Journal;
use crate::record::RecordedEvent;
use crate::replay::OrderReplay;

pub(super) const TABLE: &str = "order_summaries";

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
    /// Holds that stand; none once the order has ended.
    pub holds: u64,
    /// How it stands with its money.
    pub payment: PaymentStatus,
    /// Whether it has a payment plan.
    pub has_plan: bool,
    /// When the engine accepted it.
    pub placed_at: Timestamp,
    /// When it was ordered, as reported by the client.
    pub ordered_at: Option<Timestamp>,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// Names that the client gave it.
    pub names: Option<Box<OrderNames>>,
}

impl Summary {
    /// The number by which people know it: the client's, or else the one of its id.
    #[must_use]
    pub fn order_number(&self) -> String {
        OrderNumber::shown(self.names.as_deref(), self.order_id)
    }

    /// The summary of an order after an event; none if it was not placed.
    #[must_use]
    pub fn of(order: &Order, version: u64, updated_at: Timestamp) -> Option<Self> {
        let details = order.details()?;
        let holds = order.standing_holds().count();
        Some(Self {
            order_id: details.order_id,
            customer_id: details.customer_id,
            status: order.status()?,
            version,
            total: details.totals.total,
            refunded: details.refunded,
            units: details.lines.iter().map(|line| u64::from(line.ordered)).sum(),
            returns_waiting: u64::try_from(details.waiting.len()).unwrap_or(u64::MAX),
            holds: u64::try_from(holds).unwrap_or(u64::MAX),
            payment: order.payment_status(),
            has_plan: details.payment.is_some(),
            placed_at: details.placed_at,
            ordered_at: details.ordered_at,
            updated_at,
            names: details.terms.names.clone(),
        })
    }
}

/// The read model of order summaries.
#[derive(Clone)]
pub struct OrderSummaries {
    pub(super) database: Database,
    search_by: Arc<BTreeSet<SearchBy>>,
    /// Stand for e-mail addresses.
    pub(super) keys: Fingerprints,
    changed: Arc<Notify>,
}

impl OrderSummaries {
    /// The follower's name.
    pub const FOLLOWER: &'static str = super::SUMMARIES;

    /// The read model in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        let (search_by, keys) = (Arc::default(), Fingerprints::default());
        Self { database, search_by, keys, changed: Arc::default() }
    }

    /// Also searched by these; e-mail addresses stand in it under keys of its journal. Orders from
    /// before have no such words until it is rebuilt.
    #[must_use]
    pub fn searched_by(
        mut self,
        search_by: impl IntoIterator<Item = SearchBy>,
        keys: Fingerprints,
    ) -> Self {
        self.search_by = Arc::new(search_by.into_iter().collect());
        self.keys = keys;
        self
    }

    /// Whether orders can be found by words of this kind.
    #[must_use]
    pub fn has(&self, word: &Word) -> bool {
        word.needs().is_none_or(|needs| self.search_by.contains(&needs))
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
        let of = (&self.database, Self::FOLLOWER, &self.changed);
        super::included(of, (shard, position), deadline).await
    }
}

pub(super) fn summary(row: &AnyRow) -> Result<Summary, DatabaseError> {
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
    let held: Option<i64> = row.try_get("held")?;
    let names: Option<String> = row.try_get("names")?;
    let payment: Option<String> = row.try_get("payment")?;
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
        holds: u64::try_from(held.unwrap_or_default())
            .map_err(|_| DatabaseError::Corrupt("number of a summary"))?,
        payment: payment_of(payment.as_deref())?,
        has_plan: payment.is_some(),
        placed_at: Timestamp::from_micros(row.try_get("placed_at")?),
        ordered_at: ordered_at.map(Timestamp::from_micros),
        updated_at: Timestamp::from_micros(row.try_get("updated_at")?),
        names: names
            .map(|names| serde_json::from_str(&names))
            .transpose()
            .map_err(|_| DatabaseError::Corrupt("names of a summary"))?,
    })
}

fn payment_of(code: Option<&str>) -> Result<PaymentStatus, DatabaseError> {
    let Some(code) = code else { return Ok(PaymentStatus::NotRequired) };
    let known = PaymentStatus::ALL.into_iter().find(|known| known.code() == code);
    known.ok_or(DatabaseError::Corrupt("payment of a summary"))
}

/// Follows the journal for [`OrderSummaries`].
pub struct OrderSummariesHandler {
    model: OrderSummaries,
    replay: OrderReplay,
    /// The statement that writes rows.
    upsert: String,
    /// The same with what no event but an edit changes; also after the journal was set back, where an
    /// order may have been placed again.
    replace: String,
}

impl OrderSummariesHandler {
    fn of(model: &OrderSummaries, journal: Journal, table: &str) -> Self {
        let rows = model.database.sql(
            "SELECT order_id, customer_id, status, version, currency, total, refunded, units,
                    placed_at, ordered_at, updated_at, returns_waiting, names, words, held,
                    payment
             FROM json_to_recordset($1::json)
                 AS row(order_id TEXT, customer_id TEXT, status TEXT, version BIGINT, currency TEXT,
                        total BIGINT, refunded BIGINT, units BIGINT, placed_at BIGINT,
                        ordered_at BIGINT, updated_at BIGINT, returns_waiting BIGINT, names TEXT,
                        words TEXT, held BIGINT, payment TEXT)",
            "SELECT value ->> 'order_id', value ->> 'customer_id', value ->> 'status',
                    value ->> 'version', value ->> 'currency', value ->> 'total',
                    value ->> 'refunded', value ->> 'units', value ->> 'placed_at',
                    value ->> 'ordered_at', value ->> 'updated_at', value ->> 'returns_waiting',
                    value ->> 'names', value ->> 'words', value ->> 'held',
                    value ->> 'payment'
             FROM json_each($1) WHERE true",
        );
        let upsert = format!(
            "INSERT INTO {table} (order_id, customer_id, status, version, currency, total,
                                  refunded, units, placed_at, ordered_at, updated_at,
                                  returns_waiting, names, words, held, payment)
             {rows}
             ON CONFLICT (order_id) DO UPDATE
             SET status = excluded.status, version = excluded.version,
                 refunded = excluded.refunded, updated_at = excluded.updated_at,
                 returns_waiting = excluded.returns_waiting, words = excluded.words,
                 held = excluded.held, payment = excluded.payment"
        );
        let replace = format!(
            "{upsert}, customer_id = excluded.customer_id, currency = excluded.currency,
                 total = excluded.total, units = excluded.units, placed_at = excluded.placed_at,
                 ordered_at = excluded.ordered_at, names = excluded.names"
        );
        Self { model: model.clone(), replay: OrderReplay::new(journal), upsert, replace }
    }

    /// The row of an order after an event; none if it was not placed.
    fn row(&self, order: &Order, version: u64, at: Timestamp) -> Result<Option<Row>, Blame> {
        let (Some(details), Some(summary)) = (order.details(), Summary::of(order, version, at))
        else {
            return Ok(None);
        };
        let words = Word::all_of(details, &self.model.search_by);
        let words: Vec<_> = words.iter().map(|word| word.stored(&self.model.keys)).collect();
        let mut row = Row::of(&summary);
        row.names = summary.names.as_ref().map(json).transpose()?;
        row.words = (!words.is_empty()).then(|| json(&words)).transpose()?;
        Ok(Some(row))
    }

    fn write(&self, edited: bool) -> &str {
        let history = self.replay.journal().history();
        let set_back = history.is_some_and(|history| history.incarnation > 1);
        if set_back || edited { &self.replace } else { &self.upsert }
    }
}

#[async_trait]
impl Handler<RecordedEvent> for OrderSummariesHandler {
    async fn handle(&mut self, tx: &mut Tx, events: &[RecordedEvent]) -> Result<(), Blame> {
        // Only the last state of each order in the batch matters.
        let mut last = BTreeMap::new();
        for (index, recorded) in events.iter().enumerate() {
            let step = super::step(&mut self.replay, index, recorded).await?;
            last.insert(recorded.order_id, (step, recorded.sequence, recorded.event.at()));
        }
        let rows = last.values().map(|(step, version, at)| self.row(&step.after, *version, *at));
        let rows: Vec<Row> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let edited = events.iter().any(|one| matches!(*one.event, Event::OrderEdited(_)));
        sqlx::query(self.write(edited)).bind(json(&rows)?).execute(&mut **tx).await?;
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
        let journal = self.replay.journal();
        super::hear_again(&self.model.database, tx, journal, &ahead).await?;
        let gone: Vec<OrderId> =
            ahead.iter().filter(|(_, now)| now.is_none()).map(|(order_id, _)| *order_id).collect();
        super::remove(&self.model.database, tx, TABLE, &gone).await?;
        for (order_id, _) in ahead.iter().filter(|(_, now)| now.is_some()) {
            let now = self.replay.now(*order_id).await;
            let now = now.map_err(|error| Blame::World(error.to_string()))?;
            let row = match now {
                Some((order, last)) => self.row(&order, last.sequence, last.event.at())?,
                None => None,
            };
            let rows: Vec<&Row> = row.iter().collect();
            sqlx::query(&self.replace).bind(json(&rows)?).execute(&mut **tx).await?;
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
