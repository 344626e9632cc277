//! Reads of the returns: which, and in which order. Every page is read by an index, from where it
//! begins; for one customer and by judgement, all returns of that customer are read.

use shared_events::contract::{CustomerId, OrderId, ReturnId, Timestamp};
use shared_events::stream::{DatabaseError, Dialect};
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Row as _};

use super::order_returns::OrderReturns;
use super::return_summary::{ReturnState, ReturnSummary, summary};

/// A filter of returns. The default matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnFilter {
    /// With any of these states; empty for all.
    pub states: Vec<ReturnState>,
    /// Of orders of this customer.
    pub customer_id: Option<CustomerId>,
    /// Requested at this time or later. With a sort by judgement a page is not bounded by it.
    pub requested_from: Option<Timestamp>,
    /// Requested before this time; as `requested_from`.
    pub requested_until: Option<Timestamp>,
    /// How they are sorted.
    pub sort: ReturnSort,
}

/// How returns are sorted; those of the same instant by order and id, in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnSort {
    /// Requested longest ago first.
    #[default]
    RequestedAsc,
    /// Requested last first.
    RequestedDesc,
    /// To be judged first.
    JudgeByAsc,
}

/// Where a return is in a list: the instant by which that is sorted, its order, its id.
pub type ReturnPlace = (Timestamp, OrderId, ReturnId);

impl ReturnSort {
    /// The place of a return.
    #[must_use]
    pub const fn place(self, known: &ReturnSummary) -> ReturnPlace {
        let at = match self {
            Self::RequestedAsc | Self::RequestedDesc => known.requested_at,
            Self::JudgeByAsc => known.judge_by,
        };
        (at, known.order_id, known.return_id)
    }

    const fn column(self) -> &'static str {
        match self {
            Self::RequestedAsc | Self::RequestedDesc => "requested_at",
            Self::JudgeByAsc => "judge_by",
        }
    }

    const fn is_descending(self) -> bool {
        matches!(self, Self::RequestedDesc)
    }
}

impl ReturnFilter {
    /// The states that it matches, each once.
    fn wanted(&self) -> impl Iterator<Item = ReturnState> {
        let all = self.states.is_empty();
        ReturnState::ALL.into_iter().filter(move |state| all || self.states.contains(state))
    }
}

/// The statement of a list, and what it binds in this order.
struct Statement {
    sql: String,
    after: (i64, String, String),
    times: Vec<i64>,
    customer_id: Option<String>,
    limit: u32,
}

impl Statement {
    fn query<'a>(&'a self, sql: &'a str) -> Query<'a, Any, AnyArguments<'a>> {
        let (at, order_id, return_id) = &self.after;
        let mut query = sqlx::query(sql).bind(*at).bind(order_id).bind(return_id);
        for time in &self.times {
            query = query.bind(*time);
        }
        if let Some(customer_id) = &self.customer_id {
            query = query.bind(customer_id);
        }
        query.bind(i64::from(self.limit))
    }
}

impl OrderReturns {
    /// Returns that match the filter, in its order, after a place, at most `limit`.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn list(
        &self,
        filter: &ReturnFilter,
        after: Option<ReturnPlace>,
        limit: u32,
    ) -> Result<Vec<ReturnSummary>, DatabaseError> {
        let asked = self.statement(filter, after, limit);
        let rows = asked.query(&asked.sql).fetch_all(self.database.reader()).await?;
        rows.iter().map(summary).collect()
    }

    /// How many returns have a state, and when the first of them was requested; `most` are counted.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn count(
        &self,
        state: ReturnState,
        most: u32,
    ) -> Result<(u64, Option<Timestamp>), DatabaseError> {
        let sql = "SELECT COUNT(*), MIN(requested_at) FROM
                       (SELECT requested_at FROM order_returns WHERE state = $1
                        ORDER BY requested_at LIMIT $2) AS counted";
        let row = sqlx::query(sql).bind(state.code()).bind(i64::from(most));
        let row = row.fetch_one(self.database.reader()).await?;
        let (count, oldest): (i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        Ok((u64::try_from(count).unwrap_or_default(), oldest.map(Timestamp::from_micros)))
    }

    /// How the database reads a list: its plan, line by line, to see that an index serves it.
    ///
    /// # Errors
    /// [`DatabaseError`]
    #[doc(hidden)] // For tests alone: it explains the statement that only this module knows.
    pub async fn plan_of(
        &self,
        filter: &ReturnFilter,
        after: Option<ReturnPlace>,
        limit: u32,
    ) -> Result<Vec<String>, DatabaseError> {
        let asked = self.statement(filter, after, limit);
        let (explain, column) = match self.database.dialect() {
            Dialect::Postgres => ("EXPLAIN", 0),
            Dialect::Sqlite => ("EXPLAIN QUERY PLAN", 3),
        };
        let sql = format!("{explain} {}", asked.sql);
        let rows = asked.query(&sql).fetch_all(self.database.reader()).await?;
        rows.iter().map(|row| Ok(row.try_get(column)?)).collect()
    }

    /// The statement of a list. States are read apart, each by its index from the place on, and put
    /// together: one index of all would be read past those that are not asked for.
    fn statement(
        &self,
        filter: &ReturnFilter,
        after: Option<ReturnPlace>,
        limit: u32,
    ) -> Statement {
        let descending = filter.sort.is_descending();
        let after = match after {
            Some((at, order_id, return_id)) => {
                (at.micros(), order_id.to_string(), return_id.to_string())
            }
            None if descending => (i64::MAX, String::new(), String::new()),
            None => (i64::MIN, String::new(), String::new()),
        };
        let (beyond, direction) = if descending { ("<", "DESC") } else { (">", "ASC") };
        let column = filter.sort.column();
        // In the collation of the indexes; on Postgres it differs from the key's.
        let collate = self.database.sql(r#" COLLATE "C""#, "");
        let columns =
            [column.to_owned(), format!("order_id{collate}"), format!("return_id{collate}")];
        let order = columns.each_ref().map(|column| format!("{column} {direction}")).join(", ");
        let mut conditions = format!("({}) {beyond} ($1, $2, $3)", columns.join(", "));
        let mut times = Vec::new();
        for (condition, time) in [(">=", filter.requested_from), ("<", filter.requested_until)] {
            if let Some(time) = time {
                times.push(time.micros());
                conditions.push_str(&format!(" AND requested_at {condition} ${}", 3 + times.len()));
            }
        }
        let customer_id = filter.customer_id.map(|id| id.to_string());
        let last = 4 + times.len() + usize::from(customer_id.is_some());
        let end = format!("ORDER BY {order} LIMIT ${last}");
        let sql = if customer_id.is_some() {
            let states: Vec<String> =
                filter.wanted().map(|state| format!("'{}'", state.code())).collect();
            // One customer has few: no index of states may serve it.
            format!(
                "SELECT * FROM order_returns WHERE customer_id = ${} AND {conditions}
                     AND (state || '') IN ({}) {end}",
                last - 1,
                states.join(", ")
            )
        } else {
            let of_state = |state: ReturnState| {
                let state = state.code();
                format!(
                    "SELECT * FROM (SELECT * FROM order_returns
                         WHERE state = '{state}' AND {conditions} {end}) AS {state}"
                )
            };
            let parts: Vec<String> = filter.wanted().map(of_state).collect();
            format!("SELECT * FROM ({}) AS parts {end}", parts.join(" UNION ALL "))
        };
        Statement { sql, after, times, customer_id, limit }
    }
}
