use std::collections::BTreeMap;

use serde::Serialize;
use shared_events::contract::Timestamp;
use shared_events::stream::{Database, DatabaseError, Tx};

use super::{Fence, json};
use crate::domain::{
    Account, AccountName, BookPart, EntryId, Head, Hold, KnownEntry, Sums, Transfer,
};

#[derive(Serialize)]
struct AccountRow<'a> {
    number: i64,
    name: &'a str,
    kind: &'a str,
    currency: &'a str,
    bound: &'a str,
    dp: i64,
    cp: i64,
    dh: i64,
    ch: i64,
    position: u64,
    at: i64,
}

#[derive(Serialize)]
struct ChangedRow {
    number: i64,
    dp: i64,
    cp: i64,
    dh: i64,
    ch: i64,
    position: u64,
}

#[derive(Serialize)]
struct TransferRow<'a> {
    position: u64,
    entry: EntryId,
    leg: u16,
    kind: &'a str,
    debit: i64,
    credit: i64,
    amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    at: i64,
    hash: String,
    d_dp: i64,
    d_cp: i64,
    d_dh: i64,
    d_ch: i64,
    c_dp: i64,
    c_cp: i64,
    c_dh: i64,
    c_ch: i64,
}

#[derive(Serialize)]
struct EntryRow<'a> {
    id: EntryId,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    legs: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_by: Option<&'a str>,
    at: i64,
}

#[derive(Serialize)]
struct HoldRow<'a> {
    id: String,
    debit: i64,
    credit: i64,
    amount: i64,
    state: &'a str,
    posted: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    made: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<u64>,
}

/// The reason and the caller of each entry.
pub(crate) type Notes<'a> = BTreeMap<EntryId, (&'a str, &'a str)>;

/// Writes what a batch changed: each row once, and where the book ends now.
pub(crate) async fn write(
    database: &Database,
    tx: &mut Tx,
    part: &BookPart,
    notes: &Notes<'_>,
    (fence, now): (Fence, Timestamp),
) -> Result<(), DatabaseError> {
    let opened: Vec<_> = part.opened().map(account_row).collect();
    run(database, tx, opened.len(), &json(&opened)?, OPENED).await?;
    let entries = part.answered().map(|(id, known)| entry_row(id, known, notes, now));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    run(database, tx, entries.len(), &json(&entries)?, ENTRIES).await?;
    let transfers = part.transfers().iter().map(|one| transfer_row(part, one));
    let transfers = transfers.collect::<Result<Vec<_>, _>>()?;
    run(database, tx, transfers.len(), &json(&transfers)?, TRANSFERS).await?;
    let holds = part.changed_holds().map(|hold| hold_row(part, hold));
    let holds = holds.collect::<Result<Vec<_>, _>>()?;
    run(database, tx, holds.len(), &json(&holds)?, HOLDS).await?;
    let changed: Vec<_> = part.changed().map(changed_row).collect();
    run(database, tx, changed.len(), &json(&changed)?, CHANGED).await?;
    end(tx, part.head(), fence).await
}

/// Where the book ends now: the last statement, under the writer's fence.
async fn end(tx: &mut Tx, head: &Head, fence: Fence) -> Result<(), DatabaseError> {
    let ended = sqlx::query(
        "UPDATE book SET position = $1, hash = $2, at = $3, accounts = $4
         WHERE id = 1 AND epoch = $5",
    )
    .bind(i64::try_from(head.position).map_err(|_| DatabaseError::Corrupt("position"))?)
    .bind(hex::encode(head.hash))
    .bind(head.at.micros())
    .bind(head.accounts)
    .bind(fence.epoch())
    .execute(&mut **tx)
    .await?;
    all_written(ended.rows_affected(), 1)
}

/// A statement over rows of JSON, on Postgres and on SQLite.
type Sql = (&'static str, &'static str);

async fn run(
    database: &Database,
    tx: &mut Tx,
    rows: usize,
    json: &str,
    (postgres, sqlite): Sql,
) -> Result<(), DatabaseError> {
    if rows == 0 {
        return Ok(());
    }
    let written = sqlx::query(database.sql(postgres, sqlite)).bind(json).execute(&mut **tx).await?;
    all_written(written.rows_affected(), rows)
}

/// No row may be lost.
fn all_written(written: u64, rows: usize) -> Result<(), DatabaseError> {
    if written == u64::try_from(rows).unwrap_or(u64::MAX) {
        Ok(())
    } else {
        Err(DatabaseError::Corrupt("row of the book that is missing"))
    }
}

const OPENED: Sql = (
    "INSERT INTO accounts
     SELECT number, name, kind, currency, bound, dp, cp, dh, ch, position, at
     FROM json_to_recordset($1::json) AS row(number BIGINT, name TEXT, kind TEXT, currency TEXT,
         bound TEXT, dp BIGINT, cp BIGINT, dh BIGINT, ch BIGINT, position BIGINT, at BIGINT)",
    "INSERT INTO accounts
     SELECT value ->> 'number', value ->> 'name', value ->> 'kind', value ->> 'currency',
            value ->> 'bound', value ->> 'dp', value ->> 'cp', value ->> 'dh', value ->> 'ch',
            value ->> 'position', value ->> 'at'
     FROM json_each($1)",
);

const CHANGED: Sql = (
    "UPDATE accounts SET debits_posted = dp, credits_posted = cp, debits_held = dh,
            credits_held = ch, position = row.position
     FROM json_to_recordset($1::json) AS row(number BIGINT, dp BIGINT, cp BIGINT, dh BIGINT,
         ch BIGINT, position BIGINT)
     WHERE accounts.number = row.number",
    "UPDATE accounts SET debits_posted = dp, credits_posted = cp, debits_held = dh,
            credits_held = ch, position = row.position
     FROM (SELECT value ->> 'number' AS number, value ->> 'dp' AS dp, value ->> 'cp' AS cp,
                  value ->> 'dh' AS dh, value ->> 'ch' AS ch, value ->> 'position' AS position
           FROM json_each($1)) AS row
     WHERE accounts.number = row.number",
);

const ENTRIES: Sql = (
    "INSERT INTO entries
     SELECT id, fingerprint, first, legs, refusal, reason, asked_by, at
     FROM json_to_recordset($1::json) AS row(id TEXT, fingerprint TEXT, first BIGINT, legs BIGINT,
         refusal TEXT, reason TEXT, asked_by TEXT, at BIGINT)",
    "INSERT INTO entries
     SELECT value ->> 'id', value ->> 'fingerprint', value ->> 'first', value ->> 'legs',
            value ->> 'refusal', value ->> 'reason', value ->> 'asked_by', value ->> 'at'
     FROM json_each($1)",
);

const TRANSFERS: Sql = (
    "INSERT INTO transfers
     SELECT position, entry, leg, kind, debit, credit, amount, hold, expires_at, at, hash,
            d_dp, d_cp, d_dh, d_ch, c_dp, c_cp, c_dh, c_ch
     FROM json_to_recordset($1::json) AS row(position BIGINT, entry TEXT, leg BIGINT, kind TEXT,
         debit BIGINT, credit BIGINT, amount BIGINT, hold TEXT, expires_at BIGINT, at BIGINT,
         hash TEXT, d_dp BIGINT, d_cp BIGINT, d_dh BIGINT, d_ch BIGINT, c_dp BIGINT, c_cp BIGINT,
         c_dh BIGINT, c_ch BIGINT)",
    "INSERT INTO transfers
     SELECT value ->> 'position', value ->> 'entry', value ->> 'leg', value ->> 'kind',
            value ->> 'debit', value ->> 'credit', value ->> 'amount', value ->> 'hold',
            value ->> 'expires_at', value ->> 'at', value ->> 'hash',
            value ->> 'd_dp', value ->> 'd_cp', value ->> 'd_dh', value ->> 'd_ch',
            value ->> 'c_dp', value ->> 'c_cp', value ->> 'c_dh', value ->> 'c_ch'
     FROM json_each($1)",
);

const HOLDS: Sql = (
    "INSERT INTO holds
     SELECT id, debit, credit, amount, state, posted, expires_at, made, ended
     FROM json_to_recordset($1::json) AS row(id TEXT, debit BIGINT, credit BIGINT, amount BIGINT,
         state TEXT, posted BIGINT, expires_at BIGINT, made BIGINT, ended BIGINT)
     ON CONFLICT (id) DO UPDATE SET state = excluded.state, posted = excluded.posted,
         ended = excluded.ended",
    "INSERT INTO holds
     SELECT value ->> 'id', value ->> 'debit', value ->> 'credit', value ->> 'amount',
            value ->> 'state', value ->> 'posted', value ->> 'expires_at', value ->> 'made',
            value ->> 'ended'
     FROM json_each($1) WHERE true
     ON CONFLICT (id) DO UPDATE SET state = excluded.state, posted = excluded.posted,
         ended = excluded.ended",
);

fn account_row(account: &Account) -> AccountRow<'_> {
    let Account { number, terms, sums, position, opened_at } = account;
    AccountRow {
        number: *number,
        name: terms.name.as_str(),
        kind: terms.kind.code(),
        currency: terms.currency.code(),
        bound: terms.limit.code(),
        dp: sums.debits_posted,
        cp: sums.credits_posted,
        dh: sums.debits_held,
        ch: sums.credits_held,
        position: *position,
        at: opened_at.micros(),
    }
}

const fn changed_row(account: &Account) -> ChangedRow {
    let Sums { debits_posted, credits_posted, debits_held, credits_held } = account.sums;
    ChangedRow {
        number: account.number,
        dp: debits_posted,
        cp: credits_posted,
        dh: debits_held,
        ch: credits_held,
        position: account.position,
    }
}

fn entry_row<'a>(
    id: EntryId,
    known: &KnownEntry,
    notes: &Notes<'a>,
    now: Timestamp,
) -> Result<EntryRow<'a>, DatabaseError> {
    let (reason, asked_by) = notes.get(&id).copied().unwrap_or_default();
    let given = |text: &'a str| Some(text).filter(|text| !text.is_empty());
    let row = EntryRow {
        id,
        fingerprint: hex::encode(known.fingerprint),
        first: None,
        legs: 0,
        refusal: None,
        reason: given(reason),
        asked_by: given(asked_by),
        at: now.micros(),
    };
    Ok(match &known.answer {
        Ok(receipt) => EntryRow {
            first: Some(receipt.first),
            legs: receipt.legs,
            at: receipt.at.micros(),
            ..row
        },
        Err(refusal) => EntryRow { refusal: Some(json(refusal)?), ..row },
    })
}

fn number_of(part: &BookPart, name: &AccountName) -> Result<i64, DatabaseError> {
    let account = part.account(name).ok_or(DatabaseError::Corrupt("account of a transfer"))?;
    Ok(account.number)
}

fn transfer_row<'a>(part: &BookPart, one: &Transfer) -> Result<TransferRow<'a>, DatabaseError> {
    let (debit, credit) = (&one.debit_after, &one.credit_after);
    Ok(TransferRow {
        position: one.position,
        entry: one.entry,
        leg: one.leg,
        kind: one.kind.code(),
        debit: number_of(part, &one.debit)?,
        credit: number_of(part, &one.credit)?,
        amount: one.amount,
        hold: one.hold.map(|hold| hold.to_string()),
        expires_at: one.expires_at.map(Timestamp::micros),
        at: one.at.micros(),
        hash: hex::encode(one.hash),
        d_dp: debit.debits_posted,
        d_cp: debit.credits_posted,
        d_dh: debit.debits_held,
        d_ch: debit.credits_held,
        c_dp: credit.debits_posted,
        c_cp: credit.credits_posted,
        c_dh: credit.debits_held,
        c_ch: credit.credits_held,
    })
}

fn hold_row<'a>(part: &BookPart, hold: &Hold) -> Result<HoldRow<'a>, DatabaseError> {
    Ok(HoldRow {
        id: hold.id.to_string(),
        debit: number_of(part, &hold.debit)?,
        credit: number_of(part, &hold.credit)?,
        amount: hold.amount,
        state: hold.state.code(),
        posted: hold.posted,
        expires_at: hold.expires_at.map(Timestamp::micros),
        made: hold.made,
        ended: hold.ended,
    })
}
