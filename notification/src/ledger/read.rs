use std::collections::{HashMap, HashSet};

use shared_events::contract::{NotificationId, OrderId};
use shared_events::stream::{Database, DatabaseError};
use sqlx::{Any, Executor, Row as _};

use super::{COLUMNS, Entry, State, entry};
use crate::templates::Kind;
use crate::{Channel, Route};

/// The serials in the table of due messages.
///
/// # Errors
/// [`DatabaseError`]
pub async fn due(database: &Database) -> Result<HashSet<i64>, DatabaseError> {
    let serials: Vec<i64> =
        sqlx::query_scalar("SELECT serial FROM due").fetch_all(database.reader()).await?;
    Ok(serials.into_iter().collect())
}

/// How many messages have still to be sent; `most` are counted.
///
/// # Errors
/// [`DatabaseError`]
pub async fn waiting(database: &Database, most: u32) -> Result<u64, DatabaseError> {
    let sql = "SELECT COUNT(*) FROM (SELECT 1 AS one FROM due LIMIT $1) AS counted";
    let count: i64 =
        sqlx::query_scalar(sql).bind(i64::from(most)).fetch_one(database.reader()).await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// One message, if it exists.
///
/// # Errors
/// [`DatabaseError`]
pub async fn get<'e>(
    database: impl Executor<'e, Database = Any>,
    id: NotificationId,
) -> Result<Option<Entry>, DatabaseError> {
    let sql = format!("SELECT {COLUMNS} FROM notifications WHERE notification_id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(database).await?;
    row.as_ref().map(entry).transpose()
}

/// The messages of these orders, oldest first; orders without any are absent.
///
/// # Errors
/// [`DatabaseError`]; of an impossible row, in place of its order's messages.
pub async fn of_orders(
    database: &Database,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, Result<Vec<Entry>, DatabaseError>>, DatabaseError> {
    let select = format!("SELECT {COLUMNS} FROM notifications");
    let rows = database.rows_of(&select, "order_id", orders).await?;
    let mut found: HashMap<OrderId, Result<Vec<Entry>, DatabaseError>> = HashMap::new();
    for row in &rows {
        let order_id: String = row.try_get("order_id")?;
        let order_id =
            OrderId::recorded(&order_id).map_err(|_| DatabaseError::Corrupt("order id"))?;
        let of_order = found.entry(order_id).or_insert_with(|| Ok(Vec::new()));
        match (entry(row), &mut *of_order) {
            (Ok(entry), Ok(entries)) => entries.push(entry),
            (Err(error), Ok(_)) => *of_order = Err(error),
            (_, Err(_)) => {}
        }
    }
    for entries in found.values_mut().flatten() {
        entries.sort_unstable_by_key(|entry| entry.serial);
    }
    Ok(found)
}

/// Which messages a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this order.
    pub order_id: Option<OrderId>,
    /// In this state.
    pub state: Option<State>,
    /// Of this channel.
    pub channel: Option<Channel>,
    /// To this webhook endpoint.
    pub endpoint: Option<String>,
    /// Only messages to the customer: no webhooks, and nothing for operators.
    pub to_customer: bool,
}

/// Messages after a serial, oldest first, at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn list(
    database: &Database,
    filter: &Filter,
    after: i64,
    limit: u32,
) -> Result<Vec<Entry>, DatabaseError> {
    // Only the filters in use are in the text, so that their index is used.
    let mut sql = format!("SELECT {COLUMNS} FROM notifications WHERE serial > $1");
    // Without an endpoint, all webhooks.
    let route = match (&filter.endpoint, filter.channel) {
        (Some(endpoint), _) => Some(Route::webhook(endpoint)),
        (None, Some(Channel::Webhook)) => {
            sql.push_str(" AND (channel = 'WEBHOOK' OR channel LIKE 'WEBHOOK:%')");
            None
        }
        (None, channel) => channel.map(Route::from),
    };
    if filter.to_customer {
        sql.push_str(" AND channel NOT LIKE 'WEBHOOK%'");
        sql.push_str(&Kind::not_for_operators());
    }
    let wanted = [
        ("order_id", filter.order_id.map(|id| id.to_string())),
        ("state", filter.state.map(|state| state.code().to_owned())),
        ("channel", route.as_ref().map(Route::code)),
    ];
    let mut texts = Vec::new();
    for (column, text) in wanted {
        if let Some(text) = text {
            texts.push(text);
            sql.push_str(&format!(" AND {column} = ${}", 1 + texts.len()));
        }
    }
    sql.push_str(&format!(" ORDER BY serial LIMIT ${}", 2 + texts.len()));
    let mut query = sqlx::query(&sql).bind(after);
    for text in texts {
        query = query.bind(text);
    }
    let rows = query.bind(i64::from(limit)).fetch_all(database.reader()).await?;
    rows.iter().map(entry).collect()
}
