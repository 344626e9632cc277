//! The only SQL about the book.
//! Never here: what an entry may do.

mod list; // what people ask for
mod read; // the part of the book that a batch touches
mod write; // what a batch changed

pub use list::{
    BookedEntry, EntryFilter, account, account_at, accounts, entries, entries_of, entry, find_hold,
    head, holds_held, holds_of, position_at,
};
pub(crate) use list::{entries_after, holds_after, touched, transfers_after};
pub use read::newest;
pub(crate) use read::{DUE_MAX, Fence, any_due, limit_waits, lock, part, took_too_long};
pub(crate) use write::{Notes, write};

use shared_events::contract::Currency;
use shared_events::stream::DatabaseError;
use shared_events::stream::row::{instant, json, number, optional_instant, word};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::domain::{
    Account, AccountName, Hash, Head, Hold, KnownEntry, NewAccount, Receipt, Refusal, Sums,
};

fn hash(text: &str) -> Result<Hash, DatabaseError> {
    let mut hash = Hash::default();
    hex::decode_to_slice(text, &mut hash).map_err(|_| DatabaseError::Corrupt("hash"))?;
    Ok(hash)
}

fn sums(row: &AnyRow, column: usize) -> Result<Sums, DatabaseError> {
    Ok(Sums {
        debits_posted: row.try_get(column)?,
        credits_posted: row.try_get(column + 1)?,
        debits_held: row.try_get(column + 2)?,
        credits_held: row.try_get(column + 3)?,
    })
}

fn currency(row: &AnyRow, column: usize) -> Result<Currency, DatabaseError> {
    let text: String = row.try_get(column)?;
    Currency::recorded(&text).map_err(|_| DatabaseError::Corrupt("currency"))
}

/// position, hash, at, accounts.
fn head_of(row: &AnyRow) -> Result<Head, DatabaseError> {
    let text: String = row.try_get(1)?;
    Ok(Head {
        position: number(row, 0, "position of the book")?,
        hash: hash(&text)?,
        at: instant(row, 2)?,
        accounts: row.try_get(3)?,
    })
}

/// The columns of an account, as [`account_of`] reads them.
const ACCOUNT: &str = "accounts.number, name, kind, currency, bound, debits_posted, credits_posted,
     debits_held, credits_held, accounts.position, opened_at";

fn account_of(row: &AnyRow) -> Result<Account, DatabaseError> {
    let terms = NewAccount {
        name: word(row, 1, "name of an account")?,
        kind: word(row, 2, "kind of an account")?,
        currency: currency(row, 3)?,
        limit: word(row, 4, "limit of an account")?,
    };
    Ok(Account {
        number: row.try_get(0)?,
        terms,
        sums: sums(row, 5)?,
        position: number(row, 9, "position of an account")?,
        opened_at: instant(row, 10)?,
    })
}

/// The columns of a hold, as [`hold_of`] reads them, from holds and both accounts.
const HOLD: &str = "SELECT holds.id, d.name, c.name, holds.amount, holds.state, holds.posted,
            holds.expires_at, holds.made, holds.ended, d.currency
     FROM holds JOIN accounts AS d ON d.number = holds.debit
                JOIN accounts AS c ON c.number = holds.credit ";

fn hold_of(row: &AnyRow) -> Result<Hold, DatabaseError> {
    let ended: Option<i64> = row.try_get(8)?;
    let debit: AccountName = word(row, 1, "account of a hold")?;
    Ok(Hold {
        id: word(row, 0, "id of a hold")?,
        debit,
        credit: word(row, 2, "account of a hold")?,
        amount: row.try_get(3)?,
        currency: currency(row, 9)?,
        state: word(row, 4, "state of a hold")?,
        posted: row.try_get(5)?,
        expires_at: optional_instant(row, 6)?,
        made: number(row, 7, "position of a hold")?,
        ended: ended
            .map(u64::try_from)
            .transpose()
            .map_err(|_| DatabaseError::Corrupt("position of a hold"))?,
    })
}

/// The columns of an entry's answer, as [`known_of`] reads them.
const KNOWN: &str = "id, fingerprint, first, legs, refusal, at";

fn known_of(row: &AnyRow) -> Result<KnownEntry, DatabaseError> {
    let fingerprint: String = row.try_get(1)?;
    let (first, refusal): (Option<i64>, Option<String>) = (row.try_get(2)?, row.try_get(4)?);
    let answer = match (first.map(u64::try_from), refusal) {
        (Some(Ok(first)), None) => {
            Ok(Receipt { first, legs: number(row, 3, "legs of an entry")?, at: instant(row, 5)? })
        }
        (None, Some(text)) => {
            let refusal: Result<Refusal, _> = serde_json::from_str(&text);
            Err(refusal.map_err(|_| DatabaseError::Corrupt("refusal of an entry"))?)
        }
        _ => return Err(DatabaseError::Corrupt("answer to an entry")),
    };
    Ok(KnownEntry { fingerprint: hash(&fingerprint)?, answer })
}
