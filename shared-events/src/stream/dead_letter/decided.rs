use std::collections::{BTreeMap, BTreeSet};

use super::{COLUMNS, DeadLetter, DeadLetterError, DeadLetterState, DeadLetters, letter, remove};
use crate::contract::Subject;
use crate::stream::{Database, DatabaseError, OperatorAction, Tx};

impl DeadLetters {
    /// Drops a follower's dead letters after a position of a shard; returns how many.
    pub(in crate::stream) async fn drop_after(
        tx: &mut Tx,
        follower: &str,
        shard: u16,
        position: u64,
    ) -> Result<u64, DatabaseError> {
        let gone = sqlx::query(
            "DELETE FROM dead_letters WHERE follower = $1 AND shard = $2 AND position > $3",
        )
        .bind(follower)
        .bind(i64::from(shard))
        .bind(i64::try_from(position).unwrap_or(i64::MAX))
        .execute(&mut **tx)
        .await?;
        Ok(gone.rows_affected())
    }

    /// Drops a follower's dead letters about these subjects; returns how many. Where there is none,
    /// nothing is written.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn drop_of(
        &self,
        follower: &str,
        subjects: &BTreeSet<Subject>,
        action: OperatorAction,
    ) -> Result<u64, DatabaseError> {
        let mut gone = 0;
        let mut tx = self.database.begin().await?;
        for subject in subjects {
            let sql = "DELETE FROM dead_letters WHERE follower = $1 AND subject = $2";
            let query = sqlx::query(sql).bind(follower).bind(subject.to_string());
            gone += query.execute(&mut *tx).await?.rows_affected();
        }
        if gone > 0 {
            let before =
                format!("{gone} of {} orders that are missing in the journal", subjects.len());
            action.changing(&before, "none").write(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// Makes a follower retry, in order and soon, the dead letters of every subject of which one
    /// failed with this error: its cause is gone. Returns how many.
    ///
    /// # Errors
    /// [`DatabaseError`]
    pub async fn retry_failed_with(
        tx: &mut Tx,
        follower: &str,
        error: &str,
    ) -> Result<u64, DatabaseError> {
        let retried = sqlx::query(
            "UPDATE dead_letters SET state = 'RETRY'
             WHERE follower = $1 AND subject IN (
                 SELECT subject FROM dead_letters
                 WHERE follower = $1 AND state = 'POISON' AND error = $2)",
        );
        let retried = retried.bind(follower).bind(error).execute(&mut **tx).await?;
        Ok(retried.rows_affected())
    }

    /// Makes a follower retry a subject's dead letters, in order, soon.
    ///
    /// # Errors
    /// [`DeadLetterError::NotFound`] where it has none of that subject.
    pub async fn put_back(
        &self,
        follower: &str,
        subject: Subject,
        action: OperatorAction,
    ) -> Result<u64, DeadLetterError> {
        let mut tx = self.database.begin().await?;
        let before = states(&self.database, &mut tx, follower, subject).await?;
        let put_back = sqlx::query(
            "UPDATE dead_letters SET state = 'RETRY' WHERE follower = $1 AND subject = $2",
        )
        .bind(follower)
        .bind(subject.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if put_back == 0 {
            return Err(DeadLetterError::NotFound);
        }
        let after = format!("{put_back} {}", DeadLetterState::Retry.code());
        action.changing(&before, &after).write(&mut tx).await?;
        tx.commit().await?;
        Ok(put_back)
    }

    /// Drops a subject's first poison item for good and makes the later ones retry. Only an
    /// operator may decide that: the item's effect will never happen.
    ///
    /// # Errors
    /// [`DeadLetterError::NotFound`] where the follower has none of that subject.
    pub async fn drop_first(
        &self,
        follower: &str,
        subject: Subject,
        action: OperatorAction,
    ) -> Result<DeadLetter, DeadLetterError> {
        let mut tx = self.database.begin().await?;
        let row = sqlx::query(&format!(
            "SELECT {COLUMNS} FROM dead_letters WHERE follower = $1 AND subject = $2
             ORDER BY shard, position, idx LIMIT 1"
        ))
        .bind(follower)
        .bind(subject.to_string())
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(DeadLetterError::NotFound)?;
        let first = letter(&row)?;
        remove(&mut tx, &first).await?;
        let behind = sqlx::query(
            "UPDATE dead_letters SET state = 'RETRY' WHERE follower = $1 AND subject = $2",
        )
        .bind(follower)
        .bind(subject.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let DeadLetter { shard, position, kind, attempts, error, .. } = &first;
        let before = format!("{kind} at {shard}:{position}, tried {attempts} times: {error}");
        let after = match behind {
            0 => "dropped".to_owned(),
            behind => format!("dropped, {behind} behind it {}", DeadLetterState::Retry.code()),
        };
        action.changing(&before, &after).write(&mut tx).await?;
        tx.commit().await?;
        Ok(first)
    }
}

/// The number of a subject's dead letters by state, for operators.
async fn states(
    database: &Database,
    tx: &mut Tx,
    follower: &str,
    subject: Subject,
) -> Result<String, DatabaseError> {
    let sql = database.sql(
        "SELECT state FROM dead_letters WHERE follower = $1 AND subject = $2 FOR UPDATE",
        "SELECT state FROM dead_letters WHERE follower = $1 AND subject = $2",
    );
    let all: Vec<String> = sqlx::query_scalar(sql)
        .bind(follower)
        .bind(subject.to_string())
        .fetch_all(&mut **tx)
        .await?;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for state in &all {
        *counts.entry(state).or_default() += 1;
    }
    let words: Vec<String> =
        counts.into_iter().rev().map(|(state, count)| format!("{count} {state}")).collect();
    Ok(words.join(", "))
}
