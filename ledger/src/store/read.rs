use std::collections::BTreeSet;

use shared_events::contract::Timestamp;
use shared_events::stream::{Database, DatabaseError, Dialect, Tx};
use sqlx::Row as _;

use super::{ACCOUNT, HOLD, KNOWN, account_of, head_of, hold_of, instant, json, known_of, word};
use crate::domain::{AccountName, BookPart, Entry, EntryId, Head, Hold};

/// Holds that one batch ends at most because their time is over.
pub(crate) const DUE_MAX: usize = 500;

/// A writer's right to the book: nobody else has written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fence(i64);

const HEAD: &str = "RETURNING position, hash, at, accounts, epoch";

/// How long a session waits for the book, and may keep it and do nothing. A process that hangs, or
/// that the server cannot reach, keeps it no longer.
const WAITS: &str = "SELECT set_config('lock_timeout', '5s', true),
            set_config('idle_in_transaction_session_timeout', '5s', true)";

/// Limits the waits of a transaction on Postgres. SQLite waits 5 s for its one writer.
pub(crate) async fn limit_waits(database: &Database, tx: &mut Tx) -> Result<(), DatabaseError> {
    if database.dialect() == Dialect::Postgres {
        sqlx::query(WAITS).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Whether it failed because of [`limit_waits`]: `lock_not_available`, or
/// `idle_in_transaction_session_timeout`. Nothing was written.
pub(crate) fn took_too_long(error: &DatabaseError) -> bool {
    let DatabaseError::Sql(sqlx::Error::Database(error)) = error else { return false };
    matches!(error.code().as_deref(), Some("55P03" | "25P03"))
}

/// Locks the book until the transaction ends. Where another writer has written since this fence, or
/// there is none yet, the book is taken over: every other fence is void from now on.
pub(crate) async fn lock(
    tx: &mut Tx,
    fence: Option<Fence>,
) -> Result<(Head, Fence), DatabaseError> {
    if let Some(fence) = fence {
        let sql = format!("UPDATE book SET epoch = epoch WHERE id = 1 AND epoch = $1 {HEAD}");
        let row = sqlx::query(&sql).bind(fence.0).fetch_optional(&mut **tx).await?;
        if let Some(row) = row {
            return Ok((head_of(&row)?, fence));
        }
    }
    let sql = format!("UPDATE book SET epoch = epoch + 1 WHERE id = 1 {HEAD}");
    let row = sqlx::query(&sql).fetch_one(&mut **tx).await?;
    Ok((head_of(&row)?, Fence(row.try_get(4)?)))
}

impl Fence {
    pub(super) const fn epoch(self) -> i64 {
        self.0
    }
}

/// Whether holds are due.
pub(crate) async fn any_due(database: &Database, now: Timestamp) -> Result<bool, DatabaseError> {
    let sql = "SELECT 1 FROM holds WHERE state = 'HELD' AND expires_at <= $1 LIMIT 1";
    let row = sqlx::query(sql).bind(now.micros()).fetch_optional(database.reader()).await?;
    Ok(row.is_some())
}

/// When the newest transfer was booked, if there is one.
///
/// # Errors
/// [`DatabaseError`]
pub async fn newest(database: &Database) -> Result<Option<Timestamp>, DatabaseError> {
    let sql = "SELECT at FROM book WHERE id = 1 AND position > 0";
    let row = sqlx::query(sql).fetch_optional(database.reader()).await?;
    row.as_ref().map(|row| instant(row, 0)).transpose()
}

/// The part of the book that these entries and accounts touch, and the holds that are due.
pub(crate) async fn part<'a>(
    database: &Database,
    tx: &mut Tx,
    head: Head,
    entries: impl Iterator<Item = &'a Entry> + Clone,
    opened: impl Iterator<Item = &'a AccountName>,
    now: Timestamp,
) -> Result<BookPart, DatabaseError> {
    let ids: BTreeSet<EntryId> = entries.clone().map(Entry::id).collect();
    let legs = || entries.clone().flat_map(Entry::legs);
    let ended: BTreeSet<_> = legs().filter_map(|leg| leg.ends()).collect();
    let mut names: BTreeSet<AccountName> =
        legs().flat_map(|leg| leg.accounts()).chain(opened).cloned().collect();

    let mut known = Vec::new();
    if !ids.is_empty() {
        let sql = format!("SELECT {KNOWN} FROM entries WHERE id {}", database.one_of());
        for row in &sqlx::query(&sql).bind(json(&ids)?).fetch_all(&mut **tx).await? {
            known.push((word(row, 0, "id of an entry")?, known_of(row)?));
        }
    }
    let mut holds: Vec<Hold> = Vec::new();
    if !ended.is_empty() {
        let sql = format!("{HOLD} WHERE holds.id {}", database.one_of());
        for row in &sqlx::query(&sql).bind(json(&ended)?).fetch_all(&mut **tx).await? {
            holds.push(hold_of(row)?);
        }
    }
    let sql = format!(
        "{HOLD} WHERE holds.state = 'HELD' AND holds.expires_at <= $1
         ORDER BY holds.expires_at LIMIT {DUE_MAX}"
    );
    for row in &sqlx::query(&sql).bind(now.micros()).fetch_all(&mut **tx).await? {
        holds.push(hold_of(row)?);
    }
    for hold in &holds {
        names.extend([hold.debit.clone(), hold.credit.clone()]);
    }
    let mut accounts = Vec::new();
    if !names.is_empty() {
        let sql = format!("SELECT {ACCOUNT} FROM accounts WHERE name {}", database.one_of());
        for row in &sqlx::query(&sql).bind(json(&names)?).fetch_all(&mut **tx).await? {
            accounts.push(account_of(row)?);
        }
    }
    Ok(BookPart::new(head, accounts, holds, known))
}
