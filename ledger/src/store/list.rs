use std::collections::{BTreeMap, BTreeSet};

use shared_events::contract::Timestamp;
use shared_events::stream::{Database, DatabaseError};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{
    ACCOUNT, HOLD, account_of, currency, hash, head_of, hold_of, instant, json, known_of, number,
    optional_instant, sums, word,
};
use crate::domain::{
    Account, AccountName, EntryId, Head, Hold, HoldId, KnownEntry, Sums, Transfer,
};

/// An entry with its answer and what was booked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedEntry {
    /// Its id.
    pub id: EntryId,
    /// Its content's hash, and its answer.
    pub known: KnownEntry,
    /// When it was answered.
    pub at: Timestamp,
    /// The reason that it was asked for.
    pub reason: String,
    /// Who asked for it: role and name.
    pub asked_by: String,
    /// Its transfers; none where it was refused.
    pub transfers: Vec<Transfer>,
}

/// Which entries are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct EntryFilter<'a> {
    /// Those with a transfer of this account.
    pub account: Option<&'a Account>,
    /// Those whose first transfer stands before this position.
    pub before: Option<u64>,
}

/// The columns of a transfer, as [`transfer_of`] reads them.
const TRANSFER: &str =
    "SELECT t.position, t.entry, t.leg, t.kind, d.name, c.name, t.amount, t.hold,
            t.expires_at, t.at, t.hash, d_dp, d_cp, d_dh, d_ch, c_dp, c_cp, c_dh, c_ch, d.currency
     FROM transfers AS t JOIN accounts AS d ON d.number = t.debit
                         JOIN accounts AS c ON c.number = t.credit ";

fn transfer_of(row: &AnyRow) -> Result<Transfer, DatabaseError> {
    let hold: Option<String> = row.try_get(7)?;
    let hold = hold.map(|text| text.parse::<HoldId>()).transpose();
    let chained: String = row.try_get(10)?;
    Ok(Transfer {
        position: number(row, 0, "position of a transfer")?,
        entry: word(row, 1, "entry of a transfer")?,
        leg: number(row, 2, "leg of a transfer")?,
        kind: word(row, 3, "kind of a transfer")?,
        debit: word(row, 4, "account of a transfer")?,
        credit: word(row, 5, "account of a transfer")?,
        amount: row.try_get(6)?,
        currency: currency(row, 19)?,
        hold: hold.map_err(|_| DatabaseError::Corrupt("hold of a transfer"))?,
        expires_at: optional_instant(row, 8)?,
        at: instant(row, 9)?,
        debit_after: sums(row, 11)?,
        credit_after: sums(row, 15)?,
        hash: hash(&chained)?,
    })
}

const ENTRY: &str = "SELECT id, fingerprint, first, legs, refusal, at, COALESCE(reason, ''),
            COALESCE(asked_by, '') FROM entries ";

fn entry_of(row: &AnyRow) -> Result<BookedEntry, DatabaseError> {
    Ok(BookedEntry {
        id: word(row, 0, "id of an entry")?,
        known: known_of(row)?,
        at: instant(row, 5)?,
        reason: row.try_get(6)?,
        asked_by: row.try_get(7)?,
        transfers: Vec::new(),
    })
}

fn place(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

/// Where the book ends.
///
/// # Errors
/// [`DatabaseError`]
pub async fn head(database: &Database) -> Result<Head, DatabaseError> {
    let sql = "SELECT position, hash, at, accounts FROM book WHERE id = 1";
    head_of(&sqlx::query(sql).fetch_one(database.reader()).await?)
}

/// An account, if it is open.
///
/// # Errors
/// [`DatabaseError`]
pub async fn account(
    database: &Database,
    name: &AccountName,
) -> Result<Option<Account>, DatabaseError> {
    let sql = format!("SELECT {ACCOUNT} FROM accounts WHERE name = $1");
    let row = sqlx::query(&sql).bind(name.as_str()).fetch_optional(database.reader()).await?;
    row.as_ref().map(account_of).transpose()
}

/// The position of the last transfer that was booked by an instant; 0 where none was. Times never
/// fall along the book, so that a few rows are read of however many.
///
/// # Errors
/// [`DatabaseError`]
pub async fn position_at(database: &Database, at: Timestamp) -> Result<u64, DatabaseError> {
    let end = head(database).await?;
    if end.at <= at {
        return Ok(end.position);
    }
    // Booked by then, and later.
    let (mut by_then, mut later) = (0, end.position);
    let sql = "SELECT at FROM transfers WHERE position = $1";
    while later - by_then > 1 {
        let middle = by_then + (later - by_then) / 2;
        let row = sqlx::query(sql).bind(place(middle)).fetch_one(database.reader()).await?;
        if instant(&row, 0)? <= at {
            by_then = middle;
        } else {
            later = middle;
        }
    }
    Ok(by_then)
}

/// The account as it was after the transfer at this position of the book.
///
/// # Errors
/// [`DatabaseError`]
pub async fn account_at(
    database: &Database,
    account: &Account,
    position: u64,
) -> Result<Account, DatabaseError> {
    if position >= account.position {
        return Ok(account.clone());
    }
    let last = |side: &str, columns: &str| {
        format!(
            "SELECT position, {columns} FROM transfers WHERE {side} = $1 AND position <= $2
             ORDER BY position DESC LIMIT 1"
        )
    };
    let mut found = (0, Sums::default());
    for sql in [last("debit", "d_dp, d_cp, d_dh, d_ch"), last("credit", "c_dp, c_cp, c_dh, c_ch")] {
        let row = sqlx::query(&sql).bind(account.number).bind(place(position));
        if let Some(row) = row.fetch_optional(database.reader()).await? {
            let at: u64 = number(&row, 0, "position of a transfer")?;
            if at > found.0 {
                found = (at, sums(&row, 1)?);
            }
        }
    }
    Ok(Account { position: found.0, sums: found.1, ..account.clone() })
}

/// Accounts by name, of those that begin with `prefix` and come after `after`; at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn accounts(
    database: &Database,
    prefix: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<Account>, DatabaseError> {
    // No name has a character above `~`.
    let sql = format!(
        "SELECT {ACCOUNT} FROM accounts WHERE name > $1 AND name >= $2 AND name < $3
         ORDER BY name LIMIT $4"
    );
    let rows = sqlx::query(&sql)
        .bind(after)
        .bind(prefix)
        .bind(format!("{prefix}~"))
        .bind(i64::from(limit))
        .fetch_all(database.reader())
        .await?;
    rows.iter().map(account_of).collect()
}

/// The accounts that were touched by transfers after one position and up to another.
pub(crate) async fn touched(
    database: &Database,
    after: u64,
    through: u64,
) -> Result<Vec<AccountName>, DatabaseError> {
    let sql = "SELECT name FROM accounts WHERE number IN (
                   SELECT debit FROM transfers WHERE position > $1 AND position <= $2
                   UNION SELECT credit FROM transfers WHERE position > $3 AND position <= $4)";
    let (after, through) = (place(after), place(through));
    let rows = sqlx::query(sql).bind(after).bind(through).bind(after).bind(through);
    let rows = rows.fetch_all(database.reader()).await?;
    rows.iter().map(|row| word(row, 0, "name of an account")).collect()
}

/// A hold, if there is one.
///
/// # Errors
/// [`DatabaseError`]
pub async fn find_hold(database: &Database, id: HoldId) -> Result<Option<Hold>, DatabaseError> {
    let sql = format!("{HOLD} WHERE holds.id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(database.reader()).await?;
    row.as_ref().map(hold_of).transpose()
}

/// Those of these holds that there are.
///
/// # Errors
/// [`DatabaseError`]
pub async fn holds_of(
    database: &Database,
    ids: &BTreeSet<HoldId>,
) -> Result<Vec<Hold>, DatabaseError> {
    let sql = format!("{HOLD} WHERE holds.id {}", database.one_of());
    let rows = sqlx::query(&sql).bind(json(ids)?).fetch_all(database.reader()).await?;
    rows.iter().map(hold_of).collect()
}

/// An entry with its transfers, if it was ever asked for.
///
/// # Errors
/// [`DatabaseError`]
pub async fn entry(database: &Database, id: EntryId) -> Result<Option<BookedEntry>, DatabaseError> {
    let sql = format!("{ENTRY} WHERE id = $1");
    let row = sqlx::query(&sql).bind(id.to_string()).fetch_optional(database.reader()).await?;
    let Some(row) = row else { return Ok(None) };
    let mut entry = entry_of(&row)?;
    load(database, std::slice::from_mut(&mut entry)).await?;
    Ok(Some(entry))
}

/// Those of these entries that were ever asked for, with their transfers.
///
/// # Errors
/// [`DatabaseError`]
pub async fn entries_of(
    database: &Database,
    ids: &BTreeSet<EntryId>,
) -> Result<Vec<BookedEntry>, DatabaseError> {
    let sql = format!("{ENTRY} WHERE id {}", database.one_of());
    let rows = sqlx::query(&sql).bind(json(ids)?).fetch_all(database.reader()).await?;
    let mut found = rows.iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
    load(database, &mut found).await?;
    Ok(found)
}

/// Entries that were booked, newest first; at most `limit`.
///
/// # Errors
/// [`DatabaseError`]
pub async fn entries(
    database: &Database,
    filter: EntryFilter<'_>,
    limit: u32,
) -> Result<Vec<BookedEntry>, DatabaseError> {
    let before = place(filter.before.unwrap_or(u64::MAX));
    let rows = match filter.account {
        None => {
            let sql = format!("{ENTRY} WHERE first < $1 ORDER BY first DESC LIMIT $2");
            let rows = sqlx::query(&sql).bind(before).bind(i64::from(limit));
            rows.fetch_all(database.reader()).await?
        }
        Some(account) => {
            let mut firsts = entries_on(database, "debit", account, before, limit).await?;
            firsts.extend(entries_on(database, "credit", account, before, limit).await?);
            let newest: Vec<i64> = firsts.into_iter().rev().take(most(limit)).collect();
            let one_of = database.one_of_numbers();
            let sql = format!("{ENTRY} WHERE first {one_of} ORDER BY first DESC");
            let rows = sqlx::query(&sql).bind(json(&newest)?);
            rows.fetch_all(database.reader()).await?
        }
    };
    let mut found = rows.iter().map(entry_of).collect::<Result<Vec<_>, _>>()?;
    load(database, &mut found).await?;
    Ok(found)
}

fn most(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The first positions of the newest entries with a transfer that has this account on this side and
/// begin before a position. An entry has 100 transfers at most, so that few rows are read.
async fn entries_on(
    database: &Database,
    side: &str,
    account: &Account,
    before: i64,
    limit: u32,
) -> Result<BTreeSet<i64>, DatabaseError> {
    let sql = format!(
        "SELECT position, leg FROM transfers WHERE {side} = $1 AND position < $2
         ORDER BY position DESC LIMIT $3"
    );
    let (mut found, mut before) = (BTreeSet::new(), before);
    let rows_max = i64::from(limit).saturating_add(1);
    while found.len() < most(limit) {
        let rows = sqlx::query(&sql).bind(account.number).bind(before).bind(rows_max);
        let rows = rows.fetch_all(database.reader()).await?;
        for row in &rows {
            let (position, leg): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            found.insert(position - leg);
            before = position;
        }
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) < rows_max {
            break;
        }
    }
    Ok(found)
}

/// Reads the transfers of these entries, in one statement.
async fn load(database: &Database, entries: &mut [BookedEntry]) -> Result<(), DatabaseError> {
    let booked = entries.iter().filter_map(|entry| entry.known.answer.as_ref().ok());
    let positions: Vec<u64> =
        booked.flat_map(|at| at.first..at.first.saturating_add(at.legs.into())).collect();
    let one_of = database.one_of_numbers();
    let sql = format!("{TRANSFER} WHERE t.position {one_of} ORDER BY t.position");
    let rows = sqlx::query(&sql).bind(json(&positions)?).fetch_all(database.reader()).await?;
    let mut of_entry: BTreeMap<EntryId, Vec<Transfer>> = BTreeMap::new();
    for row in &rows {
        let transfer = transfer_of(row)?;
        of_entry.entry(transfer.entry).or_default().push(transfer);
    }
    for entry in entries {
        entry.transfers = of_entry.remove(&entry.id).unwrap_or_default();
    }
    Ok(())
}

/// Transfers after a position, in order.
pub(crate) async fn transfers_after(
    database: &Database,
    position: u64,
    limit: u32,
) -> Result<Vec<Transfer>, DatabaseError> {
    let sql = format!("{TRANSFER} WHERE t.position > $1 ORDER BY t.position LIMIT $2");
    let rows = sqlx::query(&sql).bind(place(position)).bind(i64::from(limit));
    rows.fetch_all(database.reader()).await?.iter().map(transfer_of).collect()
}

/// Booked entries whose first transfer stands after a position, in order; without transfers.
pub(crate) async fn entries_after(
    database: &Database,
    position: u64,
    limit: u32,
) -> Result<Vec<BookedEntry>, DatabaseError> {
    let sql = format!("{ENTRY} WHERE first > $1 ORDER BY first LIMIT $2");
    let rows = sqlx::query(&sql).bind(place(position)).bind(i64::from(limit));
    rows.fetch_all(database.reader()).await?.iter().map(entry_of).collect()
}

/// Holds that reserve their amount, by id after one of them.
///
/// # Errors
/// [`DatabaseError`]
pub async fn holds_held(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Vec<Hold>, DatabaseError> {
    let sql =
        format!("{HOLD} WHERE holds.state = 'HELD' AND holds.id > $1 ORDER BY holds.id LIMIT $2");
    let rows = sqlx::query(&sql).bind(after).bind(i64::from(limit));
    rows.fetch_all(database.reader()).await?.iter().map(hold_of).collect()
}

/// Holds after an id, in order.
pub(crate) async fn holds_after(
    database: &Database,
    after: &str,
    limit: u32,
) -> Result<Vec<Hold>, DatabaseError> {
    let sql = format!("{HOLD} WHERE holds.id > $1 ORDER BY holds.id LIMIT $2");
    let rows = sqlx::query(&sql).bind(after).bind(i64::from(limit));
    rows.fetch_all(database.reader()).await?.iter().map(hold_of).collect()
}
