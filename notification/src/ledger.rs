//! Said once: the only SQL about messages.
//! Never here: what a message says, or how it leaves.

use std::collections::HashSet;

use serde::Serialize;
use shared_events::contract::{
    FactBody, FactId, FactSource, NotificationFact, NotificationId, OrderId, Timestamp,
};
use shared_events::stream::{Database, DatabaseError, Dialect, NewFact, Outbox, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::{Channel, Message};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// Waits for its first try.
    Queued,
    /// Is being sent.
    Sending,
    /// The channel took it.
    Delivered,
    /// A try failed; another is due.
    RetryAt,
    /// All tries failed, or the channel refused it for good.
    Failed,
}

impl State {
    /// Whether another try is to come, or is being made.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Sending | Self::RetryAt)
    }

    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Sending, Self::Delivered, Self::RetryAt, Self::Failed];

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Sending => "SENDING",
            Self::Delivered => "DELIVERED",
            Self::RetryAt => "RETRY_AT",
            Self::Failed => "FAILED",
        }
    }
}

/// A message in the ledger. Holds personal data; prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: NotificationId,
    /// Its place among all.
    pub serial: i64,
    /// The fact it tells.
    pub fact_id: String,
    /// The order it is about.
    pub order_id: OrderId,
    /// The shard of that order; 0 of messages that were composed before it was kept.
    pub shard: u16,
    /// Which way out.
    pub channel: Channel,
    /// What it says.
    pub kind: String,
    /// To whom.
    pub recipient: String,
    /// Subject line.
    pub subject: String,
    /// Text.
    pub body: String,
    /// Where it stands.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// Tries of which nobody knows whether it was taken.
    pub in_doubt: u32,
    /// What the last try failed with.
    pub last_error: String,
    /// Whether the fact that it told is of a history that is gone: the journal was set back since.
    pub gone: bool,
    /// When it was composed.
    pub created_at: Timestamp,
    /// When it was last asked for: composed, or to be sent again.
    pub asked_at: Timestamp,
    /// When the next try is due.
    pub next_try_at: Timestamp,
    /// When the channel took it.
    pub delivered_at: Option<Timestamp>,
    /// The message that it says again, where somebody asked for that.
    pub resend_of: Option<NotificationId>,
    /// Who asked for that.
    pub asked_by: Option<String>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id)
            .field("channel", &self.channel)
            .field("kind", &self.kind)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Writes messages down. One that stands there already was said before and stays as it is; if its history
/// was thought to be gone, it is not, and one that was given up meanwhile is due again.
///
/// # Errors
/// [`DatabaseError`]
pub async fn write(
    database: &Database,
    tx: &mut Tx,
    messages: &[Message],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    if messages.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = (1_i64..)
        .zip(messages)
        .map(|(nth, message)| {
            serde_json::json!({
                "notification_id": message.id, "nth": nth, "fact_id": message.fact_id,
                "channel": message.channel.code(), "order_id": message.order_id,
                "kind": message.kind, "recipient": message.recipient, "subject": message.subject,
                "body": message.body, "shard": message.place.0, "position": message.place.1,
            })
        })
        .collect();
    let again = "ON CONFLICT (notification_id) DO UPDATE
             SET gone = 0, state = CASE WHEN notifications.state = 'FAILED' THEN 'QUEUED'
                                        ELSE notifications.state END,
                 attempts = CASE WHEN notifications.state = 'FAILED' THEN 0
                                 ELSE notifications.attempts END,
                 in_doubt = CASE WHEN notifications.state = 'FAILED' THEN 0
                                 ELSE notifications.in_doubt END,
                 asked_at = CASE WHEN notifications.state = 'FAILED' THEN $2
                                 ELSE notifications.asked_at END,
                 next_try_at = CASE WHEN notifications.state = 'FAILED' THEN $2
                                    ELSE notifications.next_try_at END
             WHERE notifications.gone = 1
         RETURNING serial, state, channel";
    let rows_given = database.sql(
        "SELECT notification_id, (SELECT COALESCE(MAX(serial), 0) FROM notifications) + nth,
                fact_id, channel, order_id, kind, recipient, subject,
                body, 'QUEUED', 0, '', $2, $2, $2, shard, position
         FROM json_to_recordset($1::json)
             AS row(notification_id TEXT, nth BIGINT, fact_id TEXT, channel TEXT, order_id TEXT,
                    kind TEXT, recipient TEXT, subject TEXT, body TEXT, shard BIGINT, position BIGINT)",
        "SELECT value ->> 'notification_id',
                (SELECT COALESCE(MAX(serial), 0) FROM notifications) + (value ->> 'nth'),
                value ->> 'fact_id',
                value ->> 'channel', value ->> 'order_id', value ->> 'kind',
                value ->> 'recipient', value ->> 'subject', value ->> 'body',
                'QUEUED', 0, '', $2, $2, $2, value ->> 'shard', value ->> 'position'
         FROM json_each($1) WHERE true",
    );
    // Of a row that ON CONFLICT found, Postgres returns the lock that it took; of a new one, none.
    let is_new = database.sql("CASE WHEN xmax = 0 THEN 1 ELSE 0 END", "0");
    let sql = format!(
        "INSERT INTO notifications (notification_id, serial, fact_id, channel, order_id, kind,
             recipient, subject, body, state, attempts, last_error, created_at, asked_at, next_try_at,
             shard, position) {rows_given} {again}, CAST({is_new} AS BIGINT)"
    );
    let written: Vec<(i64, String, String, i64)> =
        sqlx::query_as(&sql).bind(json(&rows)?).bind(now.micros()).fetch_all(&mut **tx).await?;
    let queued = written.iter().filter(|(_, state, ..)| state == State::Queued.code());
    let (new, others): (Vec<_>, Vec<_>) = queued.partition(|(.., is_new)| *is_new == 1);
    for (queued, otherwise) in [
        (new, ""),
        // One that is due already stays as it is, and whoever holds it is not waited for.
        (others, "ON CONFLICT (serial) DO NOTHING"),
    ] {
        if queued.is_empty() {
            continue;
        }
        let queued: Vec<_> = queued
            .iter()
            .map(|(serial, _, channel, _)| serde_json::json!({ "serial": serial, "channel": channel }))
            .collect();
        let given = database.sql(
            "SELECT serial, $1, channel
             FROM json_to_recordset($2::json) AS row(serial BIGINT, channel TEXT)",
            "SELECT value ->> 'serial', $1, value ->> 'channel' FROM json_each($2) WHERE true",
        );
        let due = format!("INSERT INTO due (serial, at, channel) {given} {otherwise}");
        sqlx::query(&due).bind(now.micros()).bind(json(&queued)?).execute(&mut **tx).await?;
    }
    Ok(())
}

const COLUMNS: &str = "notification_id, serial, fact_id, channel, order_id, kind, recipient, \
                       subject, body, state, attempts, last_error, created_at, asked_at, \
                       next_try_at, delivered_at, gone, resend_of, asked_by, \
                       in_doubt, COALESCE(shard, 0) AS shard";

/// What the last error begins with where a message was being sent when its history went: it was not
/// taken, and there is no other try.
const GONE: &str = "its history is gone; ";

/// Takes messages that are due by a channel, oldest first, and marks them as being sent until
/// `until`; if nobody reports by then, the process died and they are due again, unless their history
/// is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn claim(
    database: &Database,
    channel: Channel,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Vec<Entry>, DatabaseError> {
    let mut tx = database.begin().await?;
    // Whoever else claims takes the next ones. An array, so that they are looked for once: asked for
    // by `IN (SELECT …)`, a plan for an empty table looks again for each row, and takes them all.
    let sql = database.sql(
        "UPDATE due SET at = $1 WHERE serial = ANY (ARRAY(
             SELECT serial FROM due WHERE channel = $4 AND at <= $2
             ORDER BY channel, at, serial LIMIT $3 FOR UPDATE SKIP LOCKED))
         RETURNING serial",
        "UPDATE due SET at = $1 WHERE serial IN (
             SELECT serial FROM due WHERE channel = $4 AND at <= $2
             ORDER BY channel, at, serial LIMIT $3)
         RETURNING serial",
    );
    let taken: Vec<i64> = sqlx::query_scalar(sql)
        .bind(until.micros())
        .bind(now.micros())
        .bind(i64::from(limit))
        .bind(channel.code())
        .fetch_all(&mut *tx)
        .await?;
    if taken.is_empty() {
        tx.commit().await?;
        return Ok(Vec::new());
    }
    let sql = format!(
        "UPDATE notifications
         SET state = CASE WHEN gone = 1 AND state = 'SENDING' THEN 'FAILED' ELSE 'SENDING' END,
             last_error = CASE WHEN gone = 1 AND state = 'SENDING' THEN '{GONE}no answer'
                               ELSE last_error END,
             attempts = CASE WHEN gone = 1 AND state = 'SENDING' THEN attempts
                             ELSE attempts + 1 END,
             next_try_at = $1
         WHERE serial {} RETURNING {COLUMNS}",
        database.sql(
            "= ANY (ARRAY(SELECT value::bigint FROM json_array_elements_text($2::json) AS taken(value)))",
            "IN (SELECT value FROM json_each($2))",
        ),
    );
    let rows =
        sqlx::query(&sql).bind(until.micros()).bind(json(&taken)?).fetch_all(&mut *tx).await?;
    let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let (mut entries, given_up): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.state.is_open());
    let given_up: Vec<i64> = given_up.iter().map(|entry| entry.serial).collect();
    finished(database, &mut tx, &given_up).await?;
    tx.commit().await?;
    entries.sort_by_key(|entry| entry.serial);
    Ok(entries)
}

/// The channels took these. Tells others in the same transaction.
///
/// # Errors
/// [`DatabaseError`]
pub async fn delivered(
    database: &Database,
    outbox: &Outbox,
    entries: &[Entry],
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let serials: Vec<i64> = entries.iter().map(|entry| entry.serial).collect();
    let mut tx = database.begin().await?;
    hold(database, &mut tx, &serials).await?;
    let sql = format!(
        "UPDATE notifications SET state = 'DELIVERED', delivered_at = $1, last_error = ''
         WHERE {} AND state = 'SENDING' RETURNING serial, notification_id",
        reported(database),
    );
    let changed: Vec<(i64, String)> = sqlx::query_as(&sql)
        .bind(now.micros())
        .bind(json(&serials)?)
        .bind(json(&ids(entries))?)
        .fetch_all(&mut *tx)
        .await?;
    let (serials, changed): (Vec<i64>, HashSet<String>) = changed.into_iter().unzip();
    finished(database, &mut tx, &serials).await?;
    let told = entries.iter().filter(|entry| changed.contains(&entry.id.to_string()));
    outbox.write(&mut tx, told.map(sent).collect(), now).await?;
    tx.commit().await?;
    outbox.committed();
    Ok(())
}

/// The messages of a report, `$2` their serials and `$3` their ids. By both: after the journal was set back
/// a serial may be another message's.
fn reported(database: &Database) -> &'static str {
    database.sql(
        "serial = ANY (ARRAY(
             SELECT value::bigint FROM json_array_elements_text($2::json) AS serials(value)))
         AND notification_id = ANY (ARRAY(
             SELECT value FROM json_array_elements_text($3::json) AS ids(value)))",
        "serial IN (SELECT value FROM json_each($2))
         AND notification_id IN (SELECT value FROM json_each($3))",
    )
}

fn ids<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<NotificationId> {
    entries.into_iter().map(|entry| entry.id).collect()
}

/// Nobody else claims or reports these meanwhile. Whoever claims takes the list before the messages,
/// and so does whoever reports: in another order they would wait for each other.
async fn hold(database: &Database, tx: &mut Tx, serials: &[i64]) -> Result<(), DatabaseError> {
    // SQLite has one writer at a time.
    if database.dialect() == Dialect::Postgres {
        sqlx::query(
            "SELECT serial FROM due WHERE serial = ANY (ARRAY(
                 SELECT value::bigint FROM json_array_elements_text($1::json) AS held(value)))
             ORDER BY serial FOR UPDATE",
        )
        .bind(json(serials)?)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// These are due no more.
async fn finished(database: &Database, tx: &mut Tx, serials: &[i64]) -> Result<(), DatabaseError> {
    if serials.is_empty() {
        return Ok(());
    }
    let sql = database.sql(
        "DELETE FROM due WHERE serial = ANY (ARRAY(
             SELECT value::bigint FROM json_array_elements_text($1::json) AS gone(value)))",
        "DELETE FROM due WHERE serial IN (SELECT value FROM json_each($1))",
    );
    sqlx::query(sql).bind(json(serials)?).execute(&mut **tx).await?;
    Ok(())
}

/// This one is due again then.
async fn due_again(tx: &mut Tx, serial: i64, at: Timestamp) -> Result<(), DatabaseError> {
    sqlx::query(
        "INSERT INTO due (serial, at, channel)
         SELECT serial, $2, channel FROM notifications WHERE serial = $1
         ON CONFLICT (serial) DO UPDATE SET at = excluded.at",
    )
    .bind(serial)
    .bind(at.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Drops what has not left yet and tells facts behind a position of a shard: another history has none of
/// them. What has left or is being sent stays, and is known to be of a history that is gone: somebody
/// holds what is being sent by its serial, and it may have left. How many were dropped.
///
/// # Errors
/// [`DatabaseError`]
pub async fn drop_unsent(
    database: &Database,
    tx: &mut Tx,
    shard: u16,
    position: u64,
) -> Result<u64, DatabaseError> {
    let shard = i64::from(shard);
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let behind = "SELECT serial FROM notifications WHERE shard = $1 AND position > $2";
    if database.dialect() == Dialect::Postgres {
        // As `hold`: only then it is known which of them are being sent.
        let sql =
            format!("SELECT serial FROM due WHERE serial IN ({behind}) ORDER BY serial FOR UPDATE");
        sqlx::query(&sql).bind(shard).bind(position).execute(&mut **tx).await?;
    }
    let sql = format!(
        "DELETE FROM due WHERE serial IN ({behind} AND state <> 'SENDING') RETURNING serial"
    );
    let dropped: Vec<i64> =
        sqlx::query_scalar(&sql).bind(shard).bind(position).fetch_all(&mut **tx).await?;
    let sql = database.sql(
        "DELETE FROM notifications WHERE serial = ANY (ARRAY(
             SELECT value::bigint FROM json_array_elements_text($1::json) AS dropped(value)))",
        "DELETE FROM notifications WHERE serial IN (SELECT value FROM json_each($1))",
    );
    sqlx::query(sql).bind(json(&dropped)?).execute(&mut **tx).await?;
    sqlx::query("UPDATE notifications SET gone = 1 WHERE shard = $1 AND position > $2")
        .bind(shard)
        .bind(position)
        .execute(&mut **tx)
        .await?;
    Ok(u64::try_from(dropped.len()).unwrap_or(u64::MAX))
}

/// The serials of all messages that are on the list of due ones.
///
/// # Errors
/// [`DatabaseError`]
pub async fn due(database: &Database) -> Result<HashSet<i64>, DatabaseError> {
    let serials: Vec<i64> =
        sqlx::query_scalar("SELECT serial FROM due").fetch_all(database.reader()).await?;
    Ok(serials.into_iter().collect())
}

fn json(rows: &(impl Serialize + ?Sized)) -> Result<String, DatabaseError> {
    serde_json::to_string(rows).map_err(|_| DatabaseError::Corrupt("rows"))
}

/// What is told of a message that left.
fn sent(entry: &Entry) -> NewFact {
    let sent = NotificationFact::Sent {
        order_id: entry.order_id,
        notification_id: entry.id,
        channel: entry.channel.code().to_owned(),
    };
    NewFact {
        id: FactId::once(FactSource::Notifications, entry.id.uuid(), sent.kind()),
        shard: entry.shard,
        sequence: None,
        causationid: Some(entry.fact_id.clone()),
        traceparent: None,
        body: FactBody::Notification(sent),
    }
}

/// A try failed: another is due at `next_try_at`, or none ever where that is absent or the message's
/// history is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn failed(
    database: &Database,
    entry: &Entry,
    error: &str,
    next_try_at: Option<Timestamp>,
) -> Result<(), DatabaseError> {
    let Some(at) = next_try_at else {
        let sql = format!(
            "UPDATE notifications SET state = 'FAILED', last_error = $1
             WHERE {} AND state = 'SENDING' RETURNING serial",
            reported(database),
        );
        let mut tx = database.begin().await?;
        hold(database, &mut tx, &[entry.serial]).await?;
        let changed: Vec<i64> = sqlx::query_scalar(&sql)
            .bind(error)
            .bind(json(&[entry.serial])?)
            .bind(json(&[entry.id])?)
            .fetch_all(&mut *tx)
            .await?;
        finished(database, &mut tx, &changed).await?;
        return Ok(tx.commit().await?);
    };
    try_again(database, &[entry], error, at, Count { tries_taken_back: 0, in_doubt: 0 }).await
}

/// A try ended without a word, so that it may have been taken: another is due at `next_try_at`. None
/// where its history is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn in_doubt(
    database: &Database,
    entry: &Entry,
    error: &str,
    next_try_at: Timestamp,
) -> Result<(), DatabaseError> {
    let count = Count { tries_taken_back: 0, in_doubt: 1 };
    try_again(database, &[entry], error, next_try_at, count).await
}

/// Nobody was there to take them, or it was not their turn: another try is due at `next_try_at`, and
/// this one does not count. None where their history is gone.
///
/// # Errors
/// [`DatabaseError`]
pub async fn away(
    database: &Database,
    entries: &[&Entry],
    error: &str,
    next_try_at: Timestamp,
) -> Result<(), DatabaseError> {
    let count = Count { tries_taken_back: 1, in_doubt: 0 };
    try_again(database, entries, error, next_try_at, count).await
}

/// What a try that has failed comes to.
struct Count {
    tries_taken_back: i64,
    in_doubt: i64,
}

/// Another try of each whose history is not gone.
async fn try_again(
    database: &Database,
    entries: &[&Entry],
    error: &str,
    at: Timestamp,
    count: Count,
) -> Result<(), DatabaseError> {
    let serials: Vec<i64> = entries.iter().map(|entry| entry.serial).collect();
    let mut tx = database.begin().await?;
    hold(database, &mut tx, &serials).await?;
    let sql = format!(
        "UPDATE notifications
         SET state = CASE WHEN gone = 1 THEN 'FAILED' ELSE 'RETRY_AT' END,
             last_error = CASE WHEN gone = 1 THEN '{GONE}' || $1 ELSE $1 END,
             next_try_at = $4, attempts = attempts - $5, in_doubt = in_doubt + $6
         WHERE {} AND state = 'SENDING' RETURNING serial, gone",
        reported(database),
    );
    let changed: Vec<(i64, i64)> = sqlx::query_as(&sql)
        .bind(error)
        .bind(json(&serials)?)
        .bind(json(&ids(entries.iter().copied()))?)
        .bind(at.micros())
        .bind(count.tries_taken_back)
        .bind(count.in_doubt)
        .fetch_all(&mut *tx)
        .await?;
    let (given_up, again): (Vec<_>, Vec<_>) = changed.into_iter().partition(|(_, gone)| *gone == 1);
    for (serial, _) in again {
        due_again(&mut tx, serial, at).await?;
    }
    let given_up: Vec<i64> = given_up.into_iter().map(|(serial, _)| serial).collect();
    finished(database, &mut tx, &given_up).await?;
    Ok(tx.commit().await?)
}

/// What became of the wish to have a message sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resent {
    /// There is another one, which says the same.
    Again(Box<Entry>),
    /// It is still on its way, or another that says it again.
    NotFinished,
    /// There is no such message.
    NotFound,
}

/// Has what a finished message says sent again, by a message of its own with this id: what became of
/// the first one stays as it is. `by` is who asks for it.
///
/// # Errors
/// [`DatabaseError`]
pub async fn resend(
    database: &Database,
    tx: &mut Tx,
    id: NotificationId,
    again: NotificationId,
    by: &str,
    now: Timestamp,
) -> Result<Resent, DatabaseError> {
    if database.dialect() == Dialect::Postgres {
        // Serials are given by what is there: nobody writes another message meanwhile.
        sqlx::query("LOCK TABLE notifications IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut **tx)
            .await?;
    }
    let Some(entry) = get(tx, id).await? else { return Ok(Resent::NotFound) };
    // What is said a third time says the first again, and not the second.
    let first = entry.resend_of.unwrap_or(entry.id);
    let open: Option<i64> = sqlx::query_scalar(
        "SELECT serial FROM notifications
         WHERE order_id = $1 AND (notification_id = $2 OR resend_of = $2)
             AND state NOT IN ('DELIVERED', 'FAILED') LIMIT 1",
    )
    .bind(entry.order_id.to_string())
    .bind(first.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    if open.is_some() {
        return Ok(Resent::NotFinished);
    }
    let serial: i64 = sqlx::query_scalar(
        "INSERT INTO notifications (notification_id, serial, fact_id, channel, order_id, kind,
             recipient, subject, body, state, attempts, last_error, created_at, asked_at,
             next_try_at, shard, position, gone, resend_of, asked_by)
         SELECT $1, (SELECT MAX(serial) FROM notifications) + 1, fact_id, channel, order_id, kind,
             recipient, subject, body, 'QUEUED', 0, '', $2, $2,
             $2, shard, position, gone, $3, $4
         FROM notifications WHERE notification_id = $5 RETURNING serial",
    )
    .bind(again.to_string())
    .bind(now.micros())
    .bind(first.to_string())
    .bind(by)
    .bind(id.to_string())
    .fetch_one(&mut **tx)
    .await?;
    due_again(tx, serial, now).await?;
    let entry = get(tx, again).await?.ok_or(DatabaseError::Corrupt("message"))?;
    Ok(Resent::Again(Box::new(entry)))
}

/// One message, if it is there.
///
/// # Errors
/// [`DatabaseError`]
pub async fn get(tx: &mut Tx, id: NotificationId) -> Result<Option<Entry>, DatabaseError> {
    let sql = format!("SELECT {COLUMNS} FROM notifications WHERE notification_id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(&mut **tx).await?;
    row.as_ref().map(entry).transpose()
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
    // Only what is asked for stands in the text, so that the index on it is used.
    let mut sql = format!("SELECT {COLUMNS} FROM notifications WHERE serial > $1");
    let wanted = [
        ("order_id", filter.order_id.map(|id| id.to_string())),
        ("state", filter.state.map(|state| state.code().to_owned())),
        ("channel", filter.channel.map(|channel| channel.code().to_owned())),
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

fn entry(row: &AnyRow) -> Result<Entry, DatabaseError> {
    let text = |column: &str| -> Result<String, DatabaseError> { Ok(row.try_get(column)?) };
    let time = |column: &str| -> Result<Timestamp, DatabaseError> {
        Ok(Timestamp::from_micros(row.try_get(column)?))
    };
    let (channel, state) = (text("channel")?, text("state")?);
    let attempts: i64 = row.try_get("attempts")?;
    let in_doubt: i64 = row.try_get("in_doubt")?;
    let delivered_at: Option<i64> = row.try_get("delivered_at")?;
    let resend_of: Option<String> = row.try_get("resend_of")?;
    let resend_of = resend_of.map(|id| NotificationId::recorded(&id)).transpose();
    Ok(Entry {
        id: NotificationId::recorded(&text("notification_id")?)
            .map_err(|_| DatabaseError::Corrupt("message id"))?,
        serial: row.try_get("serial")?,
        fact_id: text("fact_id")?,
        order_id: OrderId::recorded(&text("order_id")?)
            .map_err(|_| DatabaseError::Corrupt("order id"))?,
        shard: u16::try_from(row.try_get::<i64, _>("shard")?)
            .map_err(|_| DatabaseError::Corrupt("shard of a message"))?,
        channel: Channel::ALL
            .into_iter()
            .find(|known| known.code() == channel)
            .ok_or(DatabaseError::Corrupt("channel"))?,
        kind: text("kind")?,
        recipient: text("recipient")?,
        subject: text("subject")?,
        body: text("body")?,
        state: State::ALL
            .into_iter()
            .find(|known| known.code() == state)
            .ok_or(DatabaseError::Corrupt("state of a message"))?,
        attempts: u32::try_from(attempts).map_err(|_| DatabaseError::Corrupt("attempts"))?,
        in_doubt: u32::try_from(in_doubt).map_err(|_| DatabaseError::Corrupt("tries in doubt"))?,
        last_error: text("last_error")?,
        gone: row.try_get::<i64, _>("gone")? != 0,
        created_at: time("created_at")?,
        asked_at: time("asked_at")?,
        next_try_at: time("next_try_at")?,
        delivered_at: delivered_at.map(Timestamp::from_micros),
        resend_of: resend_of.map_err(|_| DatabaseError::Corrupt("message id"))?,
        asked_by: row.try_get("asked_by")?,
    })
}
