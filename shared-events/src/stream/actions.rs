use std::fmt;

use sqlx::{ColumnIndex, Decode, Row, Type};
use uuid::Uuid;

use super::database::{Database, DatabaseError, Tx};
use crate::contract::Timestamp;

/// Who calls, as whoever proved it tells in a request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedBy {
    /// In which role, such as `OPS`.
    pub role: String,
    /// Which name or id.
    pub subject: String,
}

impl AskedBy {
    /// Whether it is an operator.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.role == "OPS"
    }
}

/// Somebody of whom nothing is known.
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

/// What an operator may do, to be written down with its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A follower is to handle nothing more.
    PauseFollower,
    /// A follower is to go on.
    ResumeFollower,
    /// A subject's dead letters are tried again.
    PutBackDeadLetters,
    /// A subject's first dead letter is dropped.
    DropDeadLetter,
    /// A follower's dead letters of orders that the journal does not hold are dropped.
    DropLettersOfLostOrders,
    /// A read model is built again.
    RebuildReadModel,
    /// A shard is to be had by a node.
    MoveShard,
    /// A shard is closed.
    FreezeShard,
    /// A shard is opened.
    UnfreezeShard,
    /// The journal is accepted as it is.
    AcceptJournal,
    /// Timers are to believe the clock.
    ResumeTimers,
    /// Stock is set.
    SetStock,
    /// Stock is adjusted.
    AdjustStock,
    /// A message is said again.
    ResendNotification,
    /// Facts are posted to a webhook endpoint again.
    ReplayWebhooks,
}

impl Verb {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::PauseFollower => "PAUSE_FOLLOWER",
            Self::ResumeFollower => "RESUME_FOLLOWER",
            Self::PutBackDeadLetters => "PUT_BACK_DEAD_LETTERS",
            Self::DropDeadLetter => "DROP_DEAD_LETTER",
            Self::DropLettersOfLostOrders => "DROP_LETTERS_OF_LOST_ORDERS",
            Self::RebuildReadModel => "REBUILD_READ_MODEL",
            Self::MoveShard => "MOVE_SHARD",
            Self::FreezeShard => "FREEZE_SHARD",
            Self::UnfreezeShard => "UNFREEZE_SHARD",
            Self::AcceptJournal => "ACCEPT_JOURNAL",
            Self::ResumeTimers => "RESUME_TIMERS",
            Self::SetStock => "SET_STOCK",
            Self::AdjustStock => "ADJUST_STOCK",
            Self::ResendNotification => "RESEND_NOTIFICATION",
            Self::ReplayWebhooks => "REPLAY_WEBHOOKS",
        }
    }

    /// The stable name of the kind of thing that it is done to.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::PauseFollower | Self::ResumeFollower => "FOLLOWER",
            Self::PutBackDeadLetters | Self::DropDeadLetter | Self::DropLettersOfLostOrders => {
                "DEAD_LETTER"
            }
            Self::RebuildReadModel => "READ_MODEL",
            Self::MoveShard | Self::FreezeShard | Self::UnfreezeShard => "SHARD",
            Self::AcceptJournal => "JOURNAL",
            Self::ResumeTimers => "TIMERS",
            Self::SetStock | Self::AdjustStock => "STOCK",
            Self::ResendNotification => "NOTIFICATION",
            Self::ReplayWebhooks => "WEBHOOK",
        }
    }
}

/// The kinds of things that something is done to.
pub const TARGET_KINDS: [&str; 8] = [
    "FOLLOWER",
    "DEAD_LETTER",
    "READ_MODEL",
    "SHARD",
    "JOURNAL",
    "TIMERS",
    "STOCK",
    "NOTIFICATION",
];

/// Characters of each text at most.
const TEXT_MAX: usize = 500;

/// What an operator did. Written in the transaction of its effect, so that there is never one
/// without the other, and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorAction {
    /// Its own id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: AskedBy,
    /// What: the code of a [`Verb`], or of one that a newer program knows.
    pub verb: String,
    /// To what kind of thing.
    pub kind: String,
    /// To which.
    pub target: String,
    /// Why, in their words; empty where they said nothing.
    pub reason: String,
    /// How it was.
    pub before: String,
    /// How it is.
    pub after: String,
}

impl OperatorAction {
    /// That somebody does this now; what was and is comes with [`Self::changing`].
    #[must_use]
    pub fn new(by: &AskedBy, verb: Verb, target: &str, reason: &str, at: Timestamp) -> Self {
        Self {
            id: Uuid::now_v7(),
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

    /// With how it was and how it is, in a few words each: what is longer is cut.
    #[must_use]
    pub fn changing(mut self, before: &str, after: &str) -> Self {
        self.before = bounded(before);
        self.after = bounded(after);
        self
    }

    /// Writes it down with its effect.
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

    /// What was done to what is kept in a database, newest first.
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
            .fetch_all(database.reader())
            .await?;
        rows.iter().map(Self::read).collect()
    }

    /// One as [`ActionsAsked::SQL`] gives it, whatever the driver.
    ///
    /// # Errors
    /// [`DatabaseError`] where it is none.
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

/// Which actions are asked for; what is empty stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionsAsked {
    /// Done to things of this kind.
    pub kind: String,
    /// Done to this one.
    pub target: String,
    /// Done by whoever has this name.
    pub subject: String,
    /// Before this one, by time and id.
    pub before: Option<(Timestamp, Uuid)>,
    /// So many at most.
    pub limit: u32,
}

impl ActionsAsked {
    /// Asks for them: kind, target, subject, the two of [`Self::before_text`], limit.
    pub const SQL: &str = "
        SELECT id, at, role, subject, verb, kind, target, reason, before, after
        FROM operator_actions
        WHERE ($1 = '' OR kind = $1) AND ($2 = '' OR target = $2) AND ($3 = '' OR subject = $3)
            AND (at, id) < ($4, $5)
        ORDER BY at DESC, id DESC LIMIT $6";

    /// Time and id before which they are asked for, as they are kept.
    #[must_use]
    pub fn before_text(&self) -> (i64, String) {
        self.before.map_or((i64::MAX, String::new()), |(at, id)| (at.micros(), id.to_string()))
    }
}

/// In one line, and not longer than is kept.
fn bounded(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= TEXT_MAX {
        return line.collect();
    }
    line.take(TEXT_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_or_has_lines_is_kept_short_and_in_one() {
        let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
        let at = Timestamp::default();
        let action = OperatorAction::new(&by, Verb::DropDeadLetter, "stock", "", at)
            .changing("a\nb\0c", &"x".repeat(501));
        assert_eq!(action.before, "a b c");
        assert_eq!(action.after.chars().count(), 500);
        assert_eq!(action.by.to_string(), "ops:anna");
        let as_long = action.changing("", &"x".repeat(500));
        assert_eq!(as_long.after, "x".repeat(500));
    }
}
