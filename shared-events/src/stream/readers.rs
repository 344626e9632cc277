//! Which readers a log knows. A reader that has read is remembered with the identity of the database
//! of its position; one of that name whose database is another one and knows of nothing that was
//! read is not let in: its database was emptied, and would have every effect again.
//! Never here: how an operator goes on.

use super::{Database, DatabaseError, Tx};

/// More readers than this are not remembered.
const READERS_MAX: i64 = 1_000;

/// A reader, as it introduces itself to a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Its name.
    pub follower: String,
    /// The identity of the database of its position.
    pub identity: String,
    /// Whether it has read anything.
    pub has_read: bool,
    /// Whether an operator has said that the database is a new one.
    pub anew: bool,
}

impl Reader {
    /// The reader with its position in this database.
    pub(super) async fn of(
        database: &Database,
        follower: &str,
        has_read: bool,
    ) -> Result<Self, DatabaseError> {
        let sql = "SELECT id, anew FROM identity";
        let (identity, anew): (String, i64) =
            sqlx::query_as(sql).fetch_one(database.reader()).await?;
        Ok(Self { follower: follower.to_owned(), identity, has_read, anew: anew > 0 })
    }

    /// The service of this database, by tables that have rows once it is used.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn of_service(
        database: &Database,
        service: &str,
        kept_in: &[&str],
    ) -> Result<Self, DatabaseError> {
        let mut is_used = false;
        for table in kept_in {
            let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table} LIMIT 1) AS one");
            let rows: i64 = sqlx::query_scalar(&sql).fetch_one(database.reader()).await?;
            is_used |= rows > 0;
        }
        Self::of(database, &format!("service {service}"), is_used).await
    }

    /// Whether a log that is published from this database lets it in; then it is remembered.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn is_known(&self, log: &Database) -> Result<bool, DatabaseError> {
        let known = self.known(log).await?;
        self.is_let_in(log, known, self.has_read).await
    }

    /// Whether a service has the database that it had before, as this one beside it remembers. What
    /// callers store in another one makes it no better.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn has_its_database(&self, beside: &Database) -> Result<bool, DatabaseError> {
        let known = self.known(beside).await?;
        let is_first = known.is_none() && self.has_read;
        self.is_let_in(beside, known, is_first).await
    }

    /// The identity that is remembered.
    async fn known(&self, log: &Database) -> Result<Option<String>, DatabaseError> {
        let known = sqlx::query_scalar("SELECT identity FROM readers WHERE follower = $1");
        Ok(known.bind(&self.follower).fetch_optional(log.reader()).await?)
    }

    /// One that is to be remembered, or that an operator has said is new, is let in.
    async fn is_let_in(
        &self,
        log: &Database,
        known: Option<String>,
        remembered: bool,
    ) -> Result<bool, DatabaseError> {
        if known.as_ref() == Some(&self.identity) {
            return Ok(true);
        }
        if !remembered && !self.anew {
            return Ok(known.is_none());
        }
        let mut tx = log.begin().await?;
        self.remember(&mut tx).await?;
        tx.commit().await?;
        if known.is_some() {
            tracing::warn!(reader = self.follower, "it keeps its position in another database now");
        }
        Ok(true)
    }

    async fn remember(&self, tx: &mut Tx) -> Result<(), DatabaseError> {
        sqlx::query(
            "INSERT INTO readers (follower, identity)
             SELECT $1, $2 WHERE (SELECT COUNT(*) FROM readers) < $3
                              OR EXISTS (SELECT 1 FROM readers WHERE follower = $1)
             ON CONFLICT (follower) DO UPDATE SET identity = excluded.identity",
        )
        .bind(&self.follower)
        .bind(&self.identity)
        .bind(READERS_MAX)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// Says that this database replaces one that was lost, and that its readers start again.
///
/// # Errors
/// [`DatabaseError`]
pub async fn made_anew(database: &Database) -> Result<(), DatabaseError> {
    let mut tx = database.begin().await?;
    sqlx::query("UPDATE identity SET anew = 1").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}
