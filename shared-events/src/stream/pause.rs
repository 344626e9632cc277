use sqlx::Row as _;

use super::actions::OperatorAction;
use super::database::{Database, DatabaseError, Tx};
use crate::contract::Timestamp;

/// An operator's pause of a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Why, in the operator's words.
    pub reason: String,
    /// When it began.
    pub since: Timestamp,
}

impl Pause {
    /// Pauses a follower, for the reason of the action that is written with it: within a second it
    /// handles nothing more, in any process. Repeated, the reason is replaced and the time stays.
    ///
    /// # Errors
    /// [`DatabaseError`] where the follower's database does not answer.
    pub async fn begin(
        database: &Database,
        follower: &str,
        action: OperatorAction,
    ) -> Result<(), DatabaseError> {
        let mut tx = database.begin().await?;
        let before = Self::within(database, &mut tx, follower).await?;
        sqlx::query(
            "INSERT INTO paused_followers (follower, reason, since) VALUES ($1, $2, $3)
             ON CONFLICT (follower) DO UPDATE SET reason = excluded.reason",
        )
        .bind(follower)
        .bind(&action.reason)
        .bind(action.at.micros())
        .execute(&mut *tx)
        .await?;
        let after = description(Some(&action.reason));
        action.changing(&description(before.as_deref()), &after).write(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Resumes a follower where it was; false where it was not paused.
    ///
    /// # Errors
    /// [`DatabaseError`] where the follower's database does not answer.
    pub async fn end(
        database: &Database,
        follower: &str,
        action: OperatorAction,
    ) -> Result<bool, DatabaseError> {
        let mut tx = database.begin().await?;
        let before = Self::within(database, &mut tx, follower).await?;
        let ended = sqlx::query("DELETE FROM paused_followers WHERE follower = $1")
            .bind(follower)
            .execute(&mut *tx)
            .await?;
        action.changing(&description(before.as_deref()), &description(None)).write(&mut tx).await?;
        tx.commit().await?;
        Ok(ended.rows_affected() > 0)
    }

    /// Why a follower is paused; locked until the transaction ends.
    async fn within(
        database: &Database,
        tx: &mut Tx,
        follower: &str,
    ) -> Result<Option<String>, DatabaseError> {
        let sql = database.sql(
            "SELECT reason FROM paused_followers WHERE follower = $1 FOR UPDATE",
            "SELECT reason FROM paused_followers WHERE follower = $1",
        );
        Ok(sqlx::query_scalar(sql).bind(follower).fetch_optional(&mut **tx).await?)
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

/// The state of a follower, for operators.
fn description(paused: Option<&str>) -> String {
    paused.map_or_else(|| "follows".to_owned(), |reason| format!("paused: {reason}"))
}
