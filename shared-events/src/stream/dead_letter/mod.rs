mod decided; // what operators decide about them: retry or drop

use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::cursor::Scope;
use super::database::{Database, DatabaseError, Tx};
use super::source::Item;
use crate::contract::{Subject, Timestamp};

/// The state of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterState {
    /// Could not be handled.
    Poison,
    /// Waits behind a poison item of the same subject.
    Behind,
    /// Put back by an operator: retried next.
    Retry,
}

impl DeadLetterState {
    const ALL: [Self; 3] = [Self::Poison, Self::Behind, Self::Retry];

    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Poison => "POISON",
            Self::Behind => "BEHIND",
            Self::Retry => "RETRY",
        }
    }
}

/// An item that a follower set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The follower.
    pub follower: String,
    /// Shard of the item.
    pub shard: u16,
    /// Position of the item.
    pub position: u64,
    /// Index at that position.
    pub index: u16,
    /// The subject of its item.
    pub subject: Subject,
    /// Its state.
    pub state: DeadLetterState,
    /// The item's versioned type name.
    pub kind: String,
    /// The item as JSON; may hold personal data, so it is shown to operators only.
    pub item: String,
    /// Why it was set aside.
    pub error: String,
    /// How often it was tried.
    pub attempts: u64,
    /// When it was set aside.
    pub parked_at: Timestamp,
}

/// Why an operator's decision about dead letters was not executed.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// This follower has no dead letter of that subject.
    #[error("no such dead letter")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<sqlx::Error> for DeadLetterError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A summary of one follower's dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LettersWaiting {
    /// Their number; [`LETTERS_COUNTED`] means that many or more.
    pub letters: u32,
    /// The first of them.
    pub first: DeadLetter,
    /// When the earliest of the counted ones was set aside.
    pub since: Timestamp,
}

/// No more are counted: this is queried all the time, and there may be very many.
pub const LETTERS_COUNTED: u32 = 100;

/// The dead letters of all followers of one database.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    database: Database,
}

/// Letters per query where all are read.
const PAGE: u32 = 500;

const COLUMNS: &str =
    "follower, shard, position, idx, subject, state, kind, item, error, attempts, parked_at";

impl DeadLetters {
    /// The dead letters of this database.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Dead letters after a position in their order (follower, shard, position, index), at most
    /// `limit`; of one follower where it is named.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn list(
        &self,
        follower: Option<&str>,
        after: Option<(&str, u16, u64, u16)>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, DatabaseError> {
        let (name, shard, position, index) = after.unwrap_or(("", 0, 0, 0));
        let rows = sqlx::query(&format!(
            "SELECT {COLUMNS} FROM dead_letters
             WHERE ($1 = '' OR follower = $1) AND (follower, shard, position, idx) > ($2, $3, $4, $5)
             ORDER BY follower, shard, position, idx LIMIT $6"
        ))
        .bind(follower.unwrap_or_default())
        .bind(name)
        .bind(i64::from(shard))
        .bind(i64::try_from(position).unwrap_or(i64::MAX))
        .bind(i64::from(index))
        .bind(i64::from(limit))
        .fetch_all(self.database.reader())
        .await?;
        rows.iter().map(letter).collect()
    }

    /// All dead letters, read page by page; of one follower where it is named.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn all(&self, follower: Option<&str>) -> Result<Vec<DeadLetter>, DatabaseError> {
        let mut all: Vec<DeadLetter> = Vec::new();
        loop {
            let last = all.last().map(|letter| {
                (letter.follower.as_str(), letter.shard, letter.position, letter.index)
            });
            let page = self.list(follower, last, PAGE).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// The summary of a follower's dead letters; none where it has none.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn waiting(&self, follower: &str) -> Result<Option<LettersWaiting>, DatabaseError> {
        let row = sqlx::query(
            "SELECT COUNT(*), COALESCE(MIN(parked_at), 0) FROM
                 (SELECT parked_at FROM dead_letters WHERE follower = $1 LIMIT $2) AS counted",
        )
        .bind(follower)
        .bind(i64::from(LETTERS_COUNTED))
        .fetch_one(self.database.reader())
        .await?;
        let (letters, since): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if letters == 0 {
            return Ok(None);
        }
        let first = self.list(Some(follower), None, 1).await?.into_iter().next();
        let letters = u32::try_from(letters).unwrap_or(LETTERS_COUNTED);
        let since = Timestamp::from_micros(since);
        Ok(first.map(|first| LettersWaiting { letters, first, since }))
    }

    /// For each state how many dead letters a follower has, and when the earliest was set aside;
    /// none where it has none. Of each state no more than [`LETTERS_COUNTED`] are counted.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn by_state(
        &self,
        follower: &str,
    ) -> Result<[(DeadLetterState, Option<(u32, Timestamp)>); 3], DatabaseError> {
        // Each by the index: of very many of one state, none hides another.
        let of_state = |state: DeadLetterState| {
            let code = state.code();
            format!(
                "SELECT '{code}',
                        (SELECT COUNT(*) FROM
                             (SELECT 1 FROM dead_letters
                              WHERE follower = $1 AND state = '{code}' LIMIT $2) AS counted),
                        (SELECT MIN(parked_at) FROM dead_letters
                         WHERE follower = $1 AND state = '{code}')"
            )
        };
        let sql = DeadLetterState::ALL.map(of_state).join(" UNION ALL ");
        let rows: Vec<(String, i64, Option<i64>)> = sqlx::query_as(&sql)
            .bind(follower)
            .bind(i64::from(LETTERS_COUNTED))
            .fetch_all(self.database.reader())
            .await?;
        Ok(DeadLetterState::ALL.map(|state| {
            let row = rows.iter().find(|(code, ..)| code == state.code());
            let counted = row.and_then(|(_, letters, since)| {
                let letters = u32::try_from(*letters).unwrap_or(LETTERS_COUNTED);
                Some((letters, Timestamp::from_micros((*since)?)))
            });
            (state, counted)
        }))
    }

    /// A follower's dead letters of one subject, in order.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn of_subject(
        &self,
        follower: &str,
        subject: Subject,
    ) -> Result<Vec<DeadLetter>, DatabaseError> {
        let rows = sqlx::query(&format!(
            "SELECT {COLUMNS} FROM dead_letters WHERE follower = $1 AND subject = $2
             ORDER BY shard, position, idx"
        ))
        .bind(follower)
        .bind(subject.to_string())
        .fetch_all(self.database.reader())
        .await?;
        rows.iter().map(letter).collect()
    }

    /// The subjects of a follower's dead letters in a shard.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn subjects_in(
        tx: &mut Tx,
        follower: &str,
        shard: u16,
    ) -> Result<BTreeSet<Subject>, DatabaseError> {
        let sql = "SELECT DISTINCT subject FROM dead_letters WHERE follower = $1 AND shard = $2";
        let query = sqlx::query(sql).bind(follower).bind(i64::from(shard));
        subjects(&query.fetch_all(&mut **tx).await?)
    }

    /// The first subject in scope that was put back, with its letters in order.
    pub(super) async fn to_retry(
        &self,
        follower: &str,
        scope: &Scope,
    ) -> Result<Vec<DeadLetter>, DatabaseError> {
        let rows = sqlx::query(
            "SELECT shard, subject FROM dead_letters WHERE follower = $1 AND state = 'RETRY'
             ORDER BY shard, position, idx",
        )
        .bind(follower)
        .fetch_all(self.database.reader())
        .await?;
        for row in &rows {
            let (shard, subject): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
            if u16::try_from(shard).is_ok_and(|shard| scope.includes(shard)) {
                let subject = Subject::recorded(&subject)
                    .map_err(|_| DatabaseError::Corrupt("subject of a dead letter"))?;
                return self.of_subject(follower, subject).await;
            }
        }
        Ok(Vec::new())
    }
}

/// The subjects of a follower's dead letters.
pub(super) async fn blocked_subjects(
    tx: &mut Tx,
    follower: &str,
) -> Result<BTreeSet<Subject>, DatabaseError> {
    let rows = sqlx::query("SELECT DISTINCT subject FROM dead_letters WHERE follower = $1")
        .bind(follower)
        .fetch_all(&mut **tx)
        .await?;
    subjects(&rows)
}

fn subjects(rows: &[AnyRow]) -> Result<BTreeSet<Subject>, DatabaseError> {
    rows.iter()
        .map(|row| {
            let text: String = row.try_get(0)?;
            Subject::recorded(&text).map_err(|_| DatabaseError::Corrupt("subject of a dead letter"))
        })
        .collect()
}

/// Sets an item aside, or updates the reason.
pub(super) async fn park<T: Item>(
    tx: &mut Tx,
    follower: &str,
    item: &T,
    state: DeadLetterState,
    error: &str,
    attempts: u64,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let json = serde_json::to_string(item)
        .map_err(|_| DatabaseError::Corrupt("item for a dead letter"))?;
    sqlx::query(
        "INSERT INTO dead_letters (follower, shard, position, idx, subject, state, kind, item,
                                   error, attempts, parked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (follower, shard, position, idx) DO UPDATE
         SET state = excluded.state, error = excluded.error, attempts = excluded.attempts",
    )
    .bind(follower)
    .bind(i64::from(item.shard()))
    .bind(i64::try_from(item.position()).unwrap_or(i64::MAX))
    .bind(i64::from(item.index()))
    .bind(item.subject().to_string())
    .bind(state.code())
    .bind(item.kind())
    .bind(json)
    .bind(error)
    .bind(i64::try_from(attempts).unwrap_or(i64::MAX))
    .bind(now.micros())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Removes a letter whose item was handled or dropped.
pub(super) async fn remove(tx: &mut Tx, letter: &DeadLetter) -> Result<(), DatabaseError> {
    sqlx::query(
        "DELETE FROM dead_letters
         WHERE follower = $1 AND shard = $2 AND position = $3 AND idx = $4",
    )
    .bind(&letter.follower)
    .bind(i64::from(letter.shard))
    .bind(i64::try_from(letter.position).unwrap_or(i64::MAX))
    .bind(i64::from(letter.index))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn letter(row: &AnyRow) -> Result<DeadLetter, DatabaseError> {
    let number = |column: &str| -> Result<u64, DatabaseError> {
        let value: i64 = row.try_get(column)?;
        u64::try_from(value).map_err(|_| DatabaseError::Corrupt("number of a dead letter"))
    };
    let small = |column: &str| -> Result<u16, DatabaseError> {
        u16::try_from(number(column)?).map_err(|_| DatabaseError::Corrupt("shard of a dead letter"))
    };
    let text = |column: &str| -> Result<String, DatabaseError> { Ok(row.try_get(column)?) };
    Ok(DeadLetter {
        follower: text("follower")?,
        shard: small("shard")?,
        position: number("position")?,
        index: small("idx")?,
        subject: Subject::recorded(&text("subject")?)
            .map_err(|_| DatabaseError::Corrupt("subject of a dead letter"))?,
        state: match text("state")?.as_str() {
            "POISON" => DeadLetterState::Poison,
            "BEHIND" => DeadLetterState::Behind,
            "RETRY" => DeadLetterState::Retry,
            _ => return Err(DatabaseError::Corrupt("state of a dead letter")),
        },
        kind: text("kind")?,
        item: text("item")?,
        error: text("error")?,
        attempts: number("attempts")?,
        parked_at: Timestamp::from_micros(row.try_get("parked_at")?),
    })
}
