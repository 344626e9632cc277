//! Reads of the order summaries: which orders, and in which order.

use std::borrow::Cow;
use std::collections::HashMap;

use shared_events::contract::{CustomerId, OrderId, OrderNumber, Timestamp};
use shared_events::stream::row::json;
use shared_events::stream::{DatabaseError, Dialect};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row as _};

use super::order_summaries::{OrderSummaries, Summary, summary};
use super::words::Word;
use crate::domain::{PaymentStatus, Status};

/// Orders that are compared with a number; those of one millisecond, at most.
const NUMBERED_MAX: usize = 1_000;

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
    /// That are held.
    pub held: bool,
    /// With a payment plan, and with any of these; empty for all.
    pub payment: Vec<PaymentStatus>,
    /// With all of these words.
    pub words: Vec<Word>,
    /// Among these orders.
    pub order_ids: Option<Vec<OrderId>>,
    /// How they are sorted.
    pub sort: SummarySort,
}

/// How a list is sorted; orders of the same instant by id, in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SummarySort {
    /// Newest placed first.
    #[default]
    PlacedDesc,
    /// Oldest placed first.
    PlacedAsc,
    /// Latest changed first.
    UpdatedDesc,
    /// Longest unchanged first.
    UpdatedAsc,
}

impl SummarySort {
    /// The instant of an order by which it is sorted.
    #[must_use]
    pub const fn instant(self, summary: &Summary) -> Timestamp {
        match self {
            Self::PlacedDesc | Self::PlacedAsc => summary.placed_at,
            Self::UpdatedDesc | Self::UpdatedAsc => summary.updated_at,
        }
    }

    const fn column(self) -> &'static str {
        match self {
            Self::PlacedDesc | Self::PlacedAsc => "placed_at",
            Self::UpdatedDesc | Self::UpdatedAsc => "updated_at",
        }
    }

    const fn is_descending(self) -> bool {
        matches!(self, Self::PlacedDesc | Self::UpdatedDesc)
    }
}

/// The statement of a list, and what it binds in this order.
struct Statement {
    sql: String,
    after: (i64, String),
    times: Vec<i64>,
    texts: Vec<String>,
    limit: u32,
}

impl Statement {
    fn query<'a>(&'a self, sql: &'a str) -> Query<'a, Any, AnyArguments<'a>> {
        let (at, order_id) = &self.after;
        let mut query = sqlx::query(sql).bind(*at).bind(order_id);
        for time in &self.times {
            query = query.bind(*time);
        }
        for text in &self.texts {
            query = query.bind(text);
        }
        query.bind(i64::from(self.limit))
    }
}

impl OrderSummaries {
    /// The summaries of these orders; those that the read model does not have are absent.
    ///
    /// # Errors
    /// [`DatabaseError`]; of an impossible row, beside its order.
    pub async fn of_orders(
        &self,
        orders: &[OrderId],
    ) -> Result<HashMap<OrderId, Result<Summary, DatabaseError>>, DatabaseError> {
        let rows = self.database.rows_of("SELECT * FROM order_summaries", "order_id", orders);
        let of_row = |row: &AnyRow| {
            let order_id: String = row.try_get("order_id")?;
            let order_id = OrderId::recorded(&order_id)
                .map_err(|_| DatabaseError::Corrupt("order of a summary"))?;
            Ok((order_id, summary(row)))
        };
        rows.await?.iter().map(of_row).collect()
    }

    /// Orders that match the filter, in its order, after a given one, at most `limit`. That one is
    /// given by the instant by which it is sorted, and its id.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn list(
        &self,
        filter: &SummaryFilter,
        after: Option<(Timestamp, OrderId)>,
        limit: u32,
    ) -> Result<Vec<Summary>, DatabaseError> {
        let asked = self.statement(filter, after, limit)?;
        let rows = asked.query(&asked.sql).fetch_all(self.database.reader()).await?;
        rows.iter().map(summary).collect()
    }

    /// How the database reads a list: its plan, line by line, to see that an index serves it.
    ///
    /// # Errors
    /// [`DatabaseError`]
    #[doc(hidden)] // For tests alone: it explains the statement that only this module knows.
    pub async fn plan_of(
        &self,
        filter: &SummaryFilter,
        after: Option<(Timestamp, OrderId)>,
        limit: u32,
    ) -> Result<Vec<String>, DatabaseError> {
        let asked = self.statement(filter, after, limit)?;
        let (explain, column) = match self.database.dialect() {
            Dialect::Postgres => ("EXPLAIN", 0),
            Dialect::Sqlite => ("EXPLAIN QUERY PLAN", 3),
        };
        let sql = format!("{explain} {}", asked.sql);
        let rows = asked.query(&sql).fetch_all(self.database.reader()).await?;
        rows.iter().map(|row| Ok(row.try_get(column)?)).collect()
    }

    /// The statement of a list. Only the conditions in use are in it, so that their index is used.
    fn statement(
        &self,
        filter: &SummaryFilter,
        after: Option<(Timestamp, OrderId)>,
        limit: u32,
    ) -> Result<Statement, DatabaseError> {
        let (sort, first) = (filter.sort, after.is_none());
        let descending = sort.is_descending();
        let (at, order_id) = match after {
            Some((at, order_id)) => (at.micros(), order_id.to_string()),
            None if descending => (i64::MAX, String::new()),
            None => (i64::MIN, String::new()),
        };
        let (column, direction) = (sort.column(), if descending { "DESC" } else { "ASC" });
        // The first page ascending begins with the very first instant.
        let beyond = if descending {
            "<"
        } else if first {
            ">="
        } else {
            ">"
        };
        // Of few orders: SQLite would look for them row by row by the index of the sort.
        let few = filter.returns_waiting || filter.held || !filter.words.is_empty();
        let by_change = matches!(sort, SummarySort::UpdatedDesc | SummarySort::UpdatedAsc);
        let hides = few && by_change && self.database.dialect() == Dialect::Sqlite;
        let sorted = if hides { format!("+{column}") } else { column.to_owned() };
        let mut sql =
            format!("SELECT * FROM order_summaries WHERE ({sorted}, order_id) {beyond} ($1, $2)");
        let (mut times, mut texts) = (Vec::new(), Vec::new());
        for (condition, time) in [(">=", filter.placed_from), ("<", filter.placed_until)] {
            if let Some(time) = time {
                times.push(time.micros());
                sql.push_str(&format!(" AND placed_at {condition} ${}", 2 + times.len()));
            }
        }
        for (condition, text) in self.conditions(filter)? {
            texts.push(text);
            let place = format!("${}", 2 + times.len() + texts.len());
            sql.push_str(&condition.replace("$n", &place));
        }
        if filter.returns_waiting {
            sql.push_str(" AND returns_waiting IS NOT NULL");
        }
        if filter.held {
            sql.push_str(" AND held IS NOT NULL");
        }
        let last = 3 + times.len() + texts.len();
        sql.push_str(&format!(
            " ORDER BY {sorted} {direction}, order_id {direction} LIMIT ${last}"
        ));
        Ok(Statement { sql, after: (at, order_id), times, texts, limit })
    }

    /// The conditions of a filter besides times, each with the text for its `$n`.
    fn conditions(
        &self,
        filter: &SummaryFilter,
    ) -> Result<Vec<(Cow<'static, str>, String)>, DatabaseError> {
        let mut conditions = Vec::new();
        let statuses: Vec<&str> = filter.statuses.iter().map(|status| status.code()).collect();
        if !statuses.is_empty() {
            let condition = self.database.sql(
                " AND status IN (SELECT json_array_elements_text($n::json))",
                " AND status IN (SELECT value FROM json_each($n))",
            );
            conditions.push((condition.into(), json(&statuses)?));
        }
        let payment: Vec<&str> = filter.payment.iter().map(|status| status.code()).collect();
        if !payment.is_empty() {
            let condition = self.database.sql(
                " AND payment IS NOT NULL
                  AND payment IN (SELECT json_array_elements_text($n::json))",
                " AND payment IS NOT NULL AND payment IN (SELECT value FROM json_each($n))",
            );
            conditions.push((condition.into(), json(&payment)?));
        }
        if let Some(customer_id) = filter.customer_id {
            conditions.push((" AND customer_id = $n".into(), customer_id.to_string()));
        }
        for word in &filter.words {
            // One of its texts must be there.
            let texts = word.sought(&self.keys);
            let one = |nth| format!("words::jsonb @> jsonb_build_array($n::jsonb -> {nth})");
            let on_postgres = (0..texts.len()).map(one).collect::<Vec<_>>().join(" OR ");
            let condition = match self.database.dialect() {
                Dialect::Postgres => format!(" AND words IS NOT NULL AND ({on_postgres})"),
                Dialect::Sqlite => " AND words IS NOT NULL AND EXISTS (
                    SELECT 1 FROM json_each($n) AS asked
                    WHERE asked.value IN (SELECT value FROM json_each(order_summaries.words)))"
                    .to_owned(),
            };
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            conditions.push((condition.into(), json(&texts)?));
        }
        if let Some(order_ids) = &filter.order_ids {
            let ids: Vec<String> = order_ids.iter().map(ToString::to_string).collect();
            let condition = self.database.sql(
                " AND order_id IN (SELECT json_array_elements_text($n::json))",
                " AND order_id IN (SELECT value FROM json_each($n))",
            );
            conditions.push((condition.into(), json(&ids)?));
        }
        Ok(conditions)
    }

    /// The orders whose number is this one of their id, by id; more than a few have been made to.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn numbered(&self, number: OrderNumber) -> Result<Vec<Summary>, DatabaseError> {
        let places = number.places();
        let part = |nth: usize| format!("order_id BETWEEN ${} AND ${}", 2 * nth + 1, 2 * nth + 2);
        let parts: Vec<String> = (0..places.len()).map(part).collect();
        let sql = format!(
            "SELECT * FROM order_summaries WHERE {} ORDER BY order_id LIMIT {NUMBERED_MAX}",
            parts.join(" OR ")
        );
        let mut query = sqlx::query(&sql);
        for (first, last) in places {
            query = query.bind(first.to_string()).bind(last.to_string());
        }
        let rows = query.fetch_all(self.database.reader()).await?;
        let mut found: Vec<Summary> = rows.iter().map(summary).collect::<Result<_, _>>()?;
        // The number of an order is its client's where that gave it one.
        let own = number.to_string();
        found.retain(|known| known.order_number() == own);
        Ok(found)
    }
}
