use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::OrderId;
use shared_events::stream::row::json;
use shared_events::stream::{Blame, Cursors, Database, DatabaseError, Handler, OperatorAction, Tx};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::rebuild::{RebuildError, beside, rebuild};
use super::return_summary::{ReturnSummary, Row, order_of, summary};
use crate::domain::{Event, Order};
use crate::journal::Journal;
use crate::record::RecordedEvent;
use crate::replay::OrderReplay;

pub(super) const TABLE: &str = "order_returns";
/// The first event of an order that can be about a return: it was placed, confirmed and shipped.
const FIRST: u64 = 4;

/// The read model of the returns of all orders.
#[derive(Clone)]
pub struct OrderReturns {
    pub(super) database: Database,
    changed: Arc<Notify>,
}

impl OrderReturns {
    /// The follower's name.
    pub const FOLLOWER: &'static str = "order-returns";

    /// The read model in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, changed: Arc::default() }
    }

    /// The handler that updates it from the journal.
    #[must_use]
    pub fn handler(&self, journal: Journal) -> OrderReturnsHandler {
        OrderReturnsHandler::of(self, journal, TABLE)
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
        let handler = OrderReturnsHandler::of(self, journal.clone(), &beside(TABLE));
        rebuild(&self.database, &journal, (Self::FOLLOWER, TABLE), handler, action).await
    }

    /// The returns of these orders, by their ids; orders without returns are absent.
    ///
    /// # Errors
    /// [`DatabaseError`]; of an impossible row, beside its order.
    pub async fn of_orders(
        &self,
        orders: &[OrderId],
    ) -> Result<HashMap<OrderId, Result<Vec<ReturnSummary>, DatabaseError>>, DatabaseError> {
        let rows = self.database.rows_of("SELECT * FROM order_returns", "order_id", orders).await?;
        let mut found: HashMap<OrderId, Result<Vec<ReturnSummary>, DatabaseError>> = HashMap::new();
        for row in &rows {
            let of_order = found.entry(order_of(row)?).or_insert_with(|| Ok(Vec::new()));
            if let Ok(returns) = of_order {
                match summary(row) {
                    Ok(known) => returns.push(known),
                    Err(error) => *of_order = Err(error),
                }
            }
        }
        for returns in found.values_mut().flatten() {
            returns.sort_by_key(|known| known.return_id);
        }
        Ok(found)
    }

    /// Waits until the read model includes a position of the journal; false at the deadline.
    pub async fn includes(&self, shard: u16, position: u64, deadline: Instant) -> bool {
        let of = (&self.database, Self::FOLLOWER, &self.changed);
        super::included(of, (shard, position), deadline).await
    }
}

/// Follows the journal for [`OrderReturns`]. Of the orders of a batch it replays those that have
/// returns, which are few; the rows of such an order are written anew as a whole.
pub struct OrderReturnsHandler {
    model: OrderReturns,
    replay: OrderReplay,
    table: String,
    /// The statement that writes rows.
    insert: String,
}

impl OrderReturnsHandler {
    fn of(model: &OrderReturns, journal: Journal, table: &str) -> Self {
        let rows = model.database.sql(
            "SELECT order_id, return_id, customer_id, version, state, requested_at, judge_by,
                    content
             FROM json_to_recordset($1::json)
                 AS row(order_id TEXT, return_id TEXT, customer_id TEXT, version BIGINT,
                        state TEXT, requested_at BIGINT, judge_by BIGINT, content TEXT)",
            "SELECT value ->> 'order_id', value ->> 'return_id', value ->> 'customer_id',
                    value ->> 'version', value ->> 'state', value ->> 'requested_at',
                    value ->> 'judge_by', value ->> 'content'
             FROM json_each($1)",
        );
        let insert = format!(
            "INSERT INTO {table} (order_id, return_id, customer_id, version, state, requested_at,
                                  judge_by, content)
             {rows}"
        );
        let (model, table) = (model.clone(), table.to_owned());
        Self { model, replay: OrderReplay::new(journal), table, insert }
    }

    /// Those of these orders whose rows an event may change that is about no return: a return that
    /// waits is worth what its order says. After the journal was set back, those that have any:
    /// they may be of a history that is gone.
    async fn listed(&self, tx: &mut Tx, orders: &[OrderId]) -> Result<Vec<OrderId>, Blame> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let history = self.replay.journal().history();
        let set_back = history.is_some_and(|history| history.incarnation > 1);
        let waiting = if set_back { "" } else { " AND state IN ('REQUESTED', 'APPROVED')" };
        let (table, one_of) = (&self.table, self.model.database.one_of());
        let sql = format!("SELECT DISTINCT order_id FROM {table} WHERE order_id {one_of}{waiting}");
        let rows = sqlx::query(&sql).bind(json(orders)?).fetch_all(&mut **tx).await?;
        Ok(rows.iter().map(order_of).collect::<Result<Vec<_>, DatabaseError>>()?)
    }

    /// Writes the rows of these orders anew, each as it is at a version.
    async fn write(&self, tx: &mut Tx, orders: &[(OrderId, Arc<Order>, u64)]) -> Result<(), Blame> {
        let ids: Vec<OrderId> = orders.iter().map(|(order_id, ..)| *order_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        super::remove(&self.model.database, tx, &self.table, &ids).await?;
        let mut rows = Vec::new();
        for (_, order, version) in orders {
            for known in ReturnSummary::all_of(order) {
                rows.push(Row::of(&known, *version)?);
            }
        }
        sqlx::query(&self.insert).bind(json(&rows)?).execute(&mut **tx).await?;
        Ok(())
    }
}

const fn is_of_return(event: &Event) -> bool {
    matches!(
        event,
        Event::ReturnRequested { .. }
            | Event::ReturnEscalated { .. }
            | Event::ReturnAuthorized { .. }
            | Event::ReturnReceived { .. }
            | Event::ReturnApproved { .. }
            | Event::ReturnRejected { .. }
    )
}

#[async_trait]
impl Handler<RecordedEvent> for OrderReturnsHandler {
    async fn handle(&mut self, tx: &mut Tx, events: &[RecordedEvent]) -> Result<(), Blame> {
        let (mut others, mut changed) = (BTreeSet::new(), BTreeSet::new());
        for recorded in events.iter().filter(|recorded| recorded.sequence >= FIRST) {
            let about = if is_of_return(&recorded.event) { &mut changed } else { &mut others };
            about.insert(recorded.order_id);
        }
        let others: Vec<OrderId> = others.difference(&changed).copied().collect();
        changed.extend(self.listed(tx, &others).await?);
        // Only the last state of each order in the batch matters.
        let mut last = BTreeMap::new();
        for (index, recorded) in events.iter().enumerate() {
            if recorded.sequence >= FIRST && changed.contains(&recorded.order_id) {
                let step = super::step(&mut self.replay, index, recorded).await?;
                last.insert(recorded.order_id, (step.after, recorded.sequence));
            }
        }
        let orders =
            last.into_iter().map(|(order_id, (order, version))| (order_id, order, version));
        let orders: Vec<_> = orders.collect();
        self.write(tx, &orders).await
    }

    fn committed(&mut self) {
        self.model.changed.notify_waiters();
    }

    /// Removes returns of orders that the journal no longer holds, and sets those of orders that
    /// are ahead of it to the journal's state. Events after `to` are read again.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.replay.forget();
        // All rows of an order have one version.
        let newest = format!("(SELECT DISTINCT order_id, version FROM {TABLE}) AS newest");
        let (database, journal) = (&self.model.database, self.replay.journal());
        let ahead = super::ahead_of(database, journal, &newest, from).await?;
        for order_id in ahead.keys() {
            let now = self.replay.now(*order_id).await;
            let now = now.map_err(|error| Blame::World(error.to_string()))?;
            let (order, version) =
                now.map_or((Order::Absent, 0), |(order, last)| (order, last.sequence));
            self.write(tx, &[(*order_id, Arc::new(order), version)]).await?;
        }
        if !ahead.is_empty() {
            tracing::warn!(orders = ahead.len(), "returns were ahead of the journal");
        }
        Ok(to.clone())
    }
}
