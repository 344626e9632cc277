use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use event_journal::Fingerprints;
use shared_events::contract::OrderId;
use shared_events::stream::row::json;
use shared_events::stream::{
    Blame, Cursors, Database, DatabaseError, Dialect, Handler, OperatorAction, Tx,
};
use sqlx::Row as _;
use uuid::Uuid;

use super::identifier::{Identifier, Named, Row, all_of, identifier, order_of, sought};
use super::rebuild::{RebuildError, beside, rebuild};
use super::words::{SearchBy, Word};
use crate::domain::{By, Event, Order};
use crate::journal::Journal;
use crate::record::RecordedEvent;
use crate::replay::OrderReplay;

pub(super) const TABLE: &str = "order_identifiers";

/// The read model of what names orders, their parcels and their returns: which order it is.
#[derive(Clone)]
pub struct OrderIdentifiers {
    database: Database,
    /// Stand for tracking numbers.
    keys: Fingerprints,
    /// Whether request ids are kept.
    requests: bool,
}

impl OrderIdentifiers {
    /// The follower's name.
    pub const FOLLOWER: &'static str = "order-identifiers";

    /// The read model in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, keys: Fingerprints::default(), requests: false }
    }

    /// Also of request ids, if they are among these; tracking numbers stand in it under keys of its
    /// journal.
    #[must_use]
    pub fn searched_by(
        mut self,
        search_by: impl IntoIterator<Item = SearchBy>,
        keys: Fingerprints,
    ) -> Self {
        self.requests = search_by.into_iter().any(|what| what == SearchBy::Request);
        self.keys = keys;
        self
    }

    /// The handler that updates it from the journal.
    #[must_use]
    pub fn handler(&self, journal: Journal) -> OrderIdentifiersHandler {
        OrderIdentifiersHandler::of(self, journal, TABLE)
    }

    /// Rebuilds it from the first event on in a second table, which then replaces the one in use,
    /// and records the operator's action. Reads and the follower continue meanwhile. Returns the
    /// number of replayed events.
    ///
    /// # Errors
    /// [`RebuildError`]; the old table stays in use.
    pub async fn rebuild(
        &self,
        journal: Journal,
        action: OperatorAction,
    ) -> Result<u64, RebuildError> {
        let handler = OrderIdentifiersHandler::of(self, journal.clone(), &beside(TABLE));
        rebuild(&self.database, &journal, (Self::FOLLOWER, TABLE), handler, action).await
    }

    /// What this text names, in whatever way, in no order; at most `limit`.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn find(&self, text: &str, limit: u32) -> Result<Vec<Identifier>, DatabaseError> {
        let sql = format!("{} LIMIT {limit}", self.named_so());
        let query = sqlx::query(&sql).bind(json(&self.names_of(text))?);
        query.fetch_all(self.database.reader()).await?.iter().map(identifier).collect()
    }

    /// How the database looks for a text: its plan, line by line, to see that an index serves it.
    ///
    /// # Errors
    /// [`DatabaseError`]
    #[doc(hidden)] // For tests alone: it explains the statement that only this module knows.
    pub async fn plan_of(&self, text: &str) -> Result<Vec<String>, DatabaseError> {
        let (explain, column) = match self.database.dialect() {
            Dialect::Postgres => ("EXPLAIN", 0),
            Dialect::Sqlite => ("EXPLAIN QUERY PLAN", 3),
        };
        let sql = format!("{explain} {}", self.named_so());
        let query = sqlx::query(&sql).bind(json(&self.names_of(text))?);
        let rows = query.fetch_all(self.database.reader()).await?;
        rows.iter().map(|row| Ok(row.try_get(column)?)).collect()
    }

    /// What the table may have stored for a text.
    fn names_of(&self, text: &str) -> Vec<String> {
        sought(text).iter().flat_map(|word| word.sought(&self.keys)).collect()
    }

    /// The statement that looks for names.
    fn named_so(&self) -> String {
        format!("SELECT order_id, name, part FROM {TABLE} WHERE name {}", self.database.one_of())
    }

    /// What names these orders and their parts, by their ids, without request ids; orders without
    /// anything are absent.
    ///
    /// # Errors
    /// [`DatabaseError`]; of an impossible row, beside its order.
    pub async fn of_orders(
        &self,
        orders: &[OrderId],
    ) -> Result<HashMap<OrderId, Result<Vec<Identifier>, DatabaseError>>, DatabaseError> {
        let select = format!("SELECT order_id, name, part FROM {TABLE}");
        let rows = self.database.rows_of(&select, "order_id", orders).await?;
        let mut found: HashMap<OrderId, Result<Vec<Identifier>, DatabaseError>> = HashMap::new();
        for row in &rows {
            let of_order = found.entry(order_of(row)?).or_insert_with(|| Ok(Vec::new()));
            if let Ok(all) = of_order {
                match identifier(row) {
                    Ok(known) if known.named == Named::Request => {}
                    Ok(known) => all.push(known),
                    Err(error) => *of_order = Err(error),
                }
            }
        }
        Ok(found)
    }

    /// Orders that something names, by id after one of them, at most `limit`.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn orders_after(
        &self,
        after: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderId>, DatabaseError> {
        let sql = format!(
            "SELECT DISTINCT order_id FROM {TABLE} WHERE order_id > $1
             ORDER BY order_id LIMIT {limit}"
        );
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = sqlx::query(&sql).bind(after).fetch_all(self.database.reader()).await?;
        rows.iter().map(order_of).collect()
    }

    /// Whether these are what names the order and its parts: all of it, and nothing else.
    #[must_use]
    pub fn are_of(&self, found: &[Identifier], order: &Order) -> bool {
        let expected = order.details().map(all_of).unwrap_or_default();
        let is_there = |(word, part): &(Word, Option<Uuid>)| {
            let names = word.sought(&self.keys);
            found.iter().any(|known| known.part == *part && names.contains(&known.name))
        };
        expected.len() == found.len() && expected.iter().all(is_there)
    }
}

/// Follows the journal for [`OrderIdentifiers`]. Of the orders of a batch it replays those to which
/// an identifier came or changed, which are few, and passes the others, so that these few find their
/// orders in its cache; the rows of such an order are written anew as a whole. A request id is a row
/// of its own, and stays.
pub struct OrderIdentifiersHandler {
    model: OrderIdentifiers,
    replay: OrderReplay,
    table: String,
    /// The statement that writes rows.
    insert: String,
}

impl OrderIdentifiersHandler {
    fn of(model: &OrderIdentifiers, journal: Journal, table: &str) -> Self {
        let rows = model.database.sql(
            "SELECT order_id, name, part, version
             FROM json_to_recordset($1::json)
                 AS row(order_id TEXT, name TEXT, part TEXT, version BIGINT)",
            "SELECT value ->> 'order_id', value ->> 'name', value ->> 'part', value ->> 'version'
             FROM json_each($1) WHERE true",
        );
        let insert = format!(
            "INSERT INTO {table} (order_id, name, part, version)
             {rows}
             ON CONFLICT (order_id, name, part) DO UPDATE SET version = excluded.version"
        );
        let (model, table) = (model.clone(), table.to_owned());
        Self { model, replay: OrderReplay::new(journal), table, insert }
    }

    /// Those of these orders that have rows. After the journal was set back these may be of a history
    /// that is gone: then they are written anew by any event.
    async fn listed(&self, tx: &mut Tx, orders: &[OrderId]) -> Result<Vec<OrderId>, Blame> {
        let history = self.replay.journal().history();
        if orders.is_empty() || history.is_none_or(|history| history.incarnation <= 1) {
            return Ok(Vec::new());
        }
        let (table, one_of) = (&self.table, self.model.database.one_of());
        let sql = format!("SELECT DISTINCT order_id FROM {table} WHERE order_id {one_of}");
        let rows = sqlx::query(&sql).bind(json(orders)?).fetch_all(&mut **tx).await?;
        Ok(rows.iter().map(order_of).collect::<Result<Vec<_>, DatabaseError>>()?)
    }

    /// Writes what names these orders anew, each as it is at a version.
    async fn write(&self, tx: &mut Tx, orders: &[(OrderId, Arc<Order>, u64)]) -> Result<(), Blame> {
        let ids: Vec<OrderId> = orders.iter().map(|(order_id, ..)| *order_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let (table, one_of) = (&self.table, self.model.database.one_of());
        let request = Word::REQUEST;
        let sql =
            format!("DELETE FROM {table} WHERE order_id {one_of} AND name NOT LIKE '{request}:%'");
        sqlx::query(&sql).bind(json(&ids)?).execute(&mut **tx).await?;
        let mut rows = Vec::new();
        for (order_id, order, version) in orders {
            let all = order.details().map(all_of).unwrap_or_default();
            let keys = &self.model.keys;
            rows.extend(all.iter().map(|one| Row::of(*order_id, one, *version, keys)));
        }
        self.insert(tx, &rows).await
    }

    async fn insert(&self, tx: &mut Tx, rows: &[Row]) -> Result<(), Blame> {
        if !rows.is_empty() {
            sqlx::query(&self.insert).bind(json(rows)?).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// The request ids of these events: those of callers, where they are kept. What the engine sends
    /// itself has ids of facts, which nobody holds. The events of one command share their id.
    fn requests(&self, events: &[RecordedEvent]) -> Vec<Row> {
        let mut rows = BTreeMap::new();
        for recorded in events.iter().filter(|_| self.model.requests) {
            let by_engine = matches!(recorded.metadata.by, By::Engine(_));
            if let Some(id) = recorded.metadata.request_id.filter(|_| !by_engine) {
                let word = (Word::request(id), None);
                let row = Row::of(recorded.order_id, &word, recorded.sequence, &self.model.keys);
                rows.insert((recorded.order_id, id), row);
            }
        }
        rows.into_values().collect()
    }
}

/// Whether an identifier may come with an event, or change by it.
const fn names(event: &Event) -> bool {
    matches!(
        event,
        Event::OrderPlaced { names: Some(_), .. }
            | Event::LinesFulfilled { .. }
            | Event::OrderFulfilled { .. }
            | Event::ShipmentCorrected(_)
            | Event::ReturnRequested { .. }
    )
}

#[async_trait]
impl Handler<RecordedEvent> for OrderIdentifiersHandler {
    async fn handle(&mut self, tx: &mut Tx, events: &[RecordedEvent]) -> Result<(), Blame> {
        let (mut others, mut changed) = (BTreeSet::new(), BTreeSet::new());
        for recorded in events {
            let about = if names(&recorded.event) { &mut changed } else { &mut others };
            about.insert(recorded.order_id);
        }
        let others: Vec<OrderId> = others.difference(&changed).copied().collect();
        changed.extend(self.listed(tx, &others).await?);
        // Only the last state of each order in the batch matters.
        let mut last = BTreeMap::new();
        for (index, recorded) in events.iter().enumerate() {
            if changed.contains(&recorded.order_id) {
                let step = super::step(&mut self.replay, index, recorded).await?;
                last.insert(recorded.order_id, (step.after, recorded.sequence));
            } else {
                // Its next parcel would read its history otherwise.
                self.replay.pass(recorded);
            }
        }
        let orders =
            last.into_iter().map(|(order_id, (order, version))| (order_id, order, version));
        let orders: Vec<_> = orders.collect();
        self.write(tx, &orders).await?;
        self.insert(tx, &self.requests(events)).await
    }

    /// Removes what names orders that the journal no longer holds, and sets that of orders that are
    /// ahead of it to the journal's state. Events after `to` are read again.
    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.replay.forget();
        let newest = format!(
            "(SELECT order_id, MAX(version) AS version FROM {TABLE} GROUP BY order_id) AS newest"
        );
        let (database, journal) = (&self.model.database, self.replay.journal());
        let ahead = super::ahead_of(database, journal, &newest, from).await?;
        for order_id in ahead.keys() {
            let now = self.replay.now(*order_id).await;
            let now = now.map_err(|error| Blame::World(error.to_string()))?;
            let (order, version) =
                now.map_or((Order::Absent, 0), |(order, last)| (order, last.sequence));
            let sql = format!("DELETE FROM {TABLE} WHERE order_id = $1 AND version > $2");
            let gone = i64::try_from(version).unwrap_or(i64::MAX);
            sqlx::query(&sql).bind(order_id.to_string()).bind(gone).execute(&mut **tx).await?;
            self.write(tx, &[(*order_id, Arc::new(order), version)]).await?;
        }
        if !ahead.is_empty() {
            tracing::warn!(orders = ahead.len(), "identifiers were ahead of the journal");
        }
        Ok(to.clone())
    }
}
