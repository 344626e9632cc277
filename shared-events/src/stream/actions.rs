use std::fmt;

use sqlx::{ColumnIndex, Decode, Row, Type};
use uuid::Uuid;

use super::database::{Database, DatabaseError, Tx};
use super::verb::Verb;
use crate::chance::Chance;
use crate::contract::{Timestamp, is_hidden};

/// The caller, as the authentication put it into a request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedBy {
    /// The role, such as `OPS`.
    pub role: String,
    /// The name or id.
    pub subject: String,
}

impl AskedBy {
    /// Whether it is an operator.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.role == "OPS"
    }

    /// Whether it is a customer.
    #[must_use]
    pub fn is_customer(&self) -> bool {
        self.role == "CUSTOMER"
    }
}

/// An unauthenticated caller.
impl Default for AskedBy {
    fn default() -> Self {
        Self { role: "NOBODY".to_owned(), subject: "unknown".to_owned() }
    }
}

/// Such as `ops:anna`.
impl fmt::Display for AskedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.role.to_ascii_lowercase(), self.subject)
    }
}

/// The most characters of each text.
const TEXT_MAX: usize = 500;

/// What an operator did. Written in the transaction of its effect, so that neither exists without
/// the other, and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorAction {
    /// Its own id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: AskedBy,
    /// What: the code of a [`Verb`], or of one that only a newer program knows.
    pub verb: String,
    /// The kind of target.
    pub kind: String,
    /// The target.
    pub target: String,
    /// Why, in the operator's words; empty where none were given.
    pub reason: String,
    /// The state before.
    pub before: String,
    /// The state after.
    pub after: String,
}

impl OperatorAction {
    /// An action that happens now; [`Self::changing`] adds the states before and after.
    #[must_use]
    pub fn new(by: &AskedBy, verb: Verb, target: &str, reason: &str, at: Timestamp) -> Self {
        Self {
            id: Chance::system().uuid(),
            at,
            by: by.clone(),
            verb: verb.code().to_owned(),
            kind: verb.kind().to_owned(),
            target: bounded(target),
            reason: bounded(reason),
            before: String::new(),
            after: String::new(),
        }
    }

    /// Adds the states before and after; long texts are cut.
    #[must_use]
    pub fn changing(mut self, before: &str, after: &str) -> Self {
        self.before = bounded(before);
        self.after = bounded(after);
        self
    }

    /// Writes the action in the transaction of its effect.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn write(&self, tx: &mut Tx) -> Result<(), DatabaseError> {
        sqlx::query(
            "INSERT INTO operator_actions
                 (id, at, role, subject, verb, kind, target, reason, before, after)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(self.id.to_string())
        .bind(self.at.micros())
        .bind(&self.by.role)
        .bind(&self.by.subject)
        .bind(&self.verb)
        .bind(&self.kind)
        .bind(&self.target)
        .bind(&self.reason)
        .bind(&self.before)
        .bind(&self.after)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// The recorded actions of a database, newest first.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn list(
        database: &Database,
        asked: &ActionsAsked,
    ) -> Result<Vec<Self>, DatabaseError> {
        let (at, id) = asked.before_text();
        let rows = sqlx::query(ActionsAsked::SQL)
            .bind(&asked.kind)
            .bind(&asked.target)
            .bind(&asked.subject)
            .bind(at)
            .bind(id)
            .bind(i64::from(asked.limit))
            .bind(asked.target_spelled())
            .fetch_all(database.reader())
            .await?;
        rows.iter().map(Self::read).collect()
    }

    /// A row of [`ActionsAsked::SQL`], from any driver.
    ///
    /// # Errors
    /// [`DatabaseError`] where the row is invalid.
    pub fn read<R: Row>(row: &R) -> Result<Self, DatabaseError>
    where
        usize: ColumnIndex<R>,
        for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
        for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    {
        let text = |column: usize| row.try_get::<String, _>(column);
        let id = text(0)?.parse();
        Ok(Self {
            id: id.map_err(|_| DatabaseError::Corrupt("id of an operator's action"))?,
            at: Timestamp::from_micros(row.try_get(1)?),
            by: AskedBy { role: text(2)?, subject: text(3)? },
            verb: text(4)?,
            kind: text(5)?,
            target: text(6)?,
            reason: text(7)?,
            before: text(8)?,
            after: text(9)?,
        })
    }
}

/// Which actions are asked for; an empty field means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionsAsked {
    /// On targets of this kind.
    pub kind: String,
    /// On this target.
    pub target: String,
    /// By the caller with this name.
    pub subject: String,
    /// Before this one, by time and id.
    pub before: Option<(Timestamp, Uuid)>,
    /// The most to return.
    pub limit: u32,
}

impl ActionsAsked {
    /// Parameters: kind, target, subject, the two of [`Self::before_text`], limit,
    /// [`Self::target_spelled`].
    pub const SQL: &str = "
        SELECT id, at, role, subject, verb, kind, target, reason, before, after
        FROM operator_actions
        WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR target IN ($2, $7))
            AND ($3 = '' OR subject = $3) AND (at, id) < ($4, $5)
        ORDER BY at DESC, id DESC LIMIT $6";

    /// The target with the ids in it spelled as they are stored; a product may be called by what
    /// looks like an id, so that both are meant.
    #[must_use]
    pub fn target_spelled(&self) -> String {
        let spelled =
            |word| Uuid::try_parse(word).map_or_else(|_| String::from(word), |id| id.to_string());
        self.target.split(' ').map(spelled).collect::<Vec<_>>().join(" ")
    }

    /// Time and id of [`Self::before`], as they are stored.
    #[must_use]
    pub fn before_text(&self) -> (i64, String) {
        self.before.map_or((i64::MAX, String::new()), |(at, id)| (at.micros(), id.to_string()))
    }
}

/// In one line without hidden characters, and not longer than is stored.
fn bounded(text: &str) -> String {
    let line = text.chars().map(|c| if is_hidden(c) { ' ' } else { c });
    if text.chars().count() <= TEXT_MAX {
        return line.collect();
    }
    line.take(TEXT_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_actions_are_stored_short_and_in_one_line() {
        let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
        let at = Timestamp::default();
        let action = OperatorAction::new(&by, Verb::DropDeadLetter, "stock", "", at)
            .changing("a\nb\0c\u{202e}d", &"x".repeat(501));
        assert_eq!(action.before, "a b c d");
        assert_eq!(action.after.chars().count(), 500);
        assert_eq!(action.by.to_string(), "ops:anna");
        let as_long = action.changing("", &"x".repeat(500));
        assert_eq!(as_long.after, "x".repeat(500));
    }
}
