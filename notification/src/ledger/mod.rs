//! The ledger: each message once, and its state. The only SQL about messages.
//! Never here: what a message says, or how it is sent.

mod contacts; // of orders that were corrected
mod read; // single messages and lists of them
mod replay; // facts for a webhook endpoint again
mod report; // claims, and the outcome of each try
mod resend; // a copy of a finished message
mod traces; // the traces that messages belong to
mod tries; // the failed tries of a message
mod write; // new messages, and dropping unsent ones after a set back

pub use contacts::{CorrectedContact, corrected_contact, corrected_contacts, write_contacts};
pub use read::{Filter, due, get, list, of_orders, waiting};
pub use replay::{Replay, Replayed, begin_replay, replay};
pub use report::{claim, delivered, fail_unrouted, failed, in_doubt, unavailable};
pub use resend::{Resent, resend};
pub use traces::{read_traces, write_traces};
pub use tries::{TRIES_MAX, Try};
pub use write::{drop_unsent, write};

use serde::Serialize;
use shared_events::contract::{NotificationId, OrderId, Timestamp};
use shared_events::stream::row::json;
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::templates::Kind;
use crate::{Channel, Route};

/// The state of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum State {
    /// Waits for its first try.
    Queued,
    /// Is being sent.
    Sending,
    /// The server accepted it.
    Delivered,
    /// A try failed; another is due.
    RetryAt,
    /// All tries failed, or the server refused it for good.
    Failed,
}

impl State {
    /// Whether it is not finished.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Sending | Self::RetryAt)
    }

    /// Every state.
    pub fn all() -> impl Iterator<Item = Self> {
        std::iter::successors(Some(Self::Queued), |state| state.next())
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Queued => Some(Self::Sending),
            Self::Sending => Some(Self::Delivered),
            Self::Delivered => Some(Self::RetryAt),
            Self::RetryAt => Some(Self::Failed),
            Self::Failed => None,
        }
    }

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
    /// Its number, in the order of composing.
    pub serial: i64,
    /// The fact that it reports.
    pub fact_id: String,
    /// The order it is about.
    pub order_id: OrderId,
    /// The shard of that order; 0 for messages of versions that did not record it.
    pub shard: u16,
    /// How it is sent.
    pub channel: Channel,
    /// The channel and, of webhooks, the endpoint.
    pub route: Route,
    /// Its kind, such as `RECEIVED`.
    pub kind: String,
    /// The recipient.
    pub recipient: String,
    /// Subject line.
    pub subject: String,
    /// Text.
    pub body: String,
    /// Its state.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// How many tries ended with an unknown outcome.
    pub in_doubt: u32,
    /// The error of the last try.
    pub last_error: String,
    /// Its failed tries, oldest first, at most the newest [`TRIES_MAX`].
    pub tries: Vec<Try>,
    /// Whether its fact no longer exists, because the journal was set back since.
    pub gone: bool,
    /// When it was composed.
    pub created_at: Timestamp,
    /// When it was composed or, for a resend, asked for. Retries are counted from here.
    pub asked_at: Timestamp,
    /// When the next try is due.
    pub next_try_at: Timestamp,
    /// When the server accepted it.
    pub delivered_at: Option<Timestamp>,
    /// The message that this one repeats, for a resend.
    pub resend_of: Option<NotificationId>,
    /// The caller who asked for the resend.
    pub asked_by: Option<String>,
    /// The recorded trace that it belongs to, while it is being sent.
    pub traceparent: Option<String>,
    /// What other systems added to that trace (W3C `tracestate`).
    pub tracestate: Option<String>,
}

impl Entry {
    /// Whether it goes to operators.
    pub(crate) fn is_for_operators(&self) -> bool {
        Kind::OF_OPERATORS.iter().any(|kind| self.kind == kind.code())
    }
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

const COLUMNS: &str = "notification_id, serial, fact_id, channel, order_id, kind, recipient, \
                       subject, body, state, attempts, last_error, created_at, asked_at, \
                       next_try_at, delivered_at, gone, resend_of, asked_by, \
                       in_doubt, COALESCE(shard, 0) AS shard, tries";

/// Prefix of the last error where the journal was set back while the message was being sent: it was
/// not delivered and is not retried.
const GONE: &str = "the journal was set back; ";

/// Selects the messages of a report by serials `$2` and ids `$3`. By both, because after a set back
/// a serial may belong to another message.
fn reported(database: &Database) -> String {
    let (serials, ids) = (database.one_of_numbers_in("$2"), database.one_of_in("$3"));
    format!("serial {serials} AND notification_id {ids}")
}

fn ids<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<NotificationId> {
    entries.into_iter().map(|entry| entry.id).collect()
}

/// Locks these rows of `due`. Claims and reports lock `due` before `notifications`; any other order
/// could deadlock.
async fn lock_due(database: &Database, tx: &mut Tx, serials: &[i64]) -> Result<(), DatabaseError> {
    // SQLite has one writer at a time.
    if database.dialect() == Dialect::Postgres {
        let one_of = database.one_of_numbers();
        let sql =
            format!("SELECT serial FROM due WHERE serial {one_of} ORDER BY serial FOR UPDATE");
        sqlx::query(&sql).bind(json(serials)?).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Removes these from the due messages.
async fn remove_due(
    database: &Database,
    tx: &mut Tx,
    serials: &[i64],
) -> Result<(), DatabaseError> {
    if serials.is_empty() {
        return Ok(());
    }
    let sql = format!("DELETE FROM due WHERE serial {}", database.one_of_numbers());
    sqlx::query(&sql).bind(json(serials)?).execute(&mut **tx).await?;
    Ok(())
}

/// Makes a message due at `at`.
async fn set_due(tx: &mut Tx, serial: i64, at: Timestamp) -> Result<(), DatabaseError> {
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

fn entry(row: &AnyRow) -> Result<Entry, DatabaseError> {
    let text = |column: &str| -> Result<String, DatabaseError> { Ok(row.try_get(column)?) };
    let time = |column: &str| -> Result<Timestamp, DatabaseError> {
        Ok(Timestamp::from_micros(row.try_get(column)?))
    };
    let (channel, state) = (text("channel")?, text("state")?);
    let route = Route::recorded(&channel).ok_or(DatabaseError::Corrupt("channel"))?;
    let attempts: i64 = row.try_get("attempts")?;
    let in_doubt: i64 = row.try_get("in_doubt")?;
    let delivered_at: Option<i64> = row.try_get("delivered_at")?;
    let resend_of: Option<String> = row.try_get("resend_of")?;
    let tries: Option<String> = row.try_get("tries")?;
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
        channel: route.channel(),
        route,
        kind: text("kind")?,
        recipient: text("recipient")?,
        subject: text("subject")?,
        body: text("body")?,
        state: State::all()
            .find(|known| known.code() == state)
            .ok_or(DatabaseError::Corrupt("state of a message"))?,
        attempts: u32::try_from(attempts).map_err(|_| DatabaseError::Corrupt("attempts"))?,
        in_doubt: u32::try_from(in_doubt).map_err(|_| DatabaseError::Corrupt("tries in doubt"))?,
        last_error: text("last_error")?,
        tries: tries::read(tries.as_deref())?,
        gone: row.try_get::<i64, _>("gone")? != 0,
        created_at: time("created_at")?,
        asked_at: time("asked_at")?,
        next_try_at: time("next_try_at")?,
        delivered_at: delivered_at.map(Timestamp::from_micros),
        resend_of: resend_of.map_err(|_| DatabaseError::Corrupt("message id"))?,
        asked_by: row.try_get("asked_by")?,
        traceparent: None,
        tracestate: None,
    })
}
