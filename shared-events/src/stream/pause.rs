use sqlx::Row as _;

use super::database::{Database, DatabaseError};
use crate::contract::Timestamp;

/// That an operator has paused a follower, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Why, in the operator's words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Pause {
    /// Pauses a follower: within a second it handles nothing more, in whichever process. Said
    /// again, the reason is replaced and the time stays.
    ///
    /// # Errors
    /// [`DatabaseError`] where the follower's database does not answer.
    pub async fn begin(
        database: &Database,
        follower: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let mut tx = database.begin().await?;
        sqlx::query(
            "INSERT INTO paused_followers (follower, reason, since) VALUES ($1, $2, $3)
             ON CONFLICT (follower) DO UPDATE SET reason = excluded.reason",
        )
        .bind(follower)
        .bind(reason)
        .bind(now.micros())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Lets a follower go on where it was; false where it was not paused.
    ///
    /// # Errors
    /// [`DatabaseError`] where the follower's database does not answer.
    pub async fn end(database: &Database, follower: &str) -> Result<bool, DatabaseError> {
        let mut tx = database.begin().await?;
        let ended = sqlx::query("DELETE FROM paused_followers WHERE follower = $1")
            .bind(follower)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(ended.rows_affected() > 0)
    }

    /// The pause of a follower, if it is paused.
    ///
    /// # Errors
    /// [`DatabaseError`] where the follower's database does not answer.
    pub async fn of(database: &Database, follower: &str) -> Result<Option<Self>, DatabaseError> {
        let row = sqlx::query("SELECT reason, since FROM paused_followers WHERE follower = $1")
            .bind(follower)
            .fetch_optional(database.reader())
            .await?;
        row.map(|row| {
            let since = Timestamp::from_micros(row.try_get(1)?);
            Ok(Self { reason: row.try_get(0)?, since })
        })
        .transpose()
    }
}
