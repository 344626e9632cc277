use std::collections::{BTreeMap, BTreeSet};

use super::{COLUMNS, DeadLetter, DeadLetterError, DeadLetterState, DeadLetters, letter, remove};
use crate::contract::Subject;
use crate::stream::{Database, DatabaseError, OperatorAction, Tx};

impl DeadLetters {
    /// Drops those of a follower behind a position of a shard; how many.
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

    /// Drops those of a follower that are about these subjects; how many. Where there is none, nothing
    /// was done and nothing is written.
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
            let before = format!("{gone} of {} orders that the journal lacks", subjects.len());
            action.changing(&before, "none").write(&mut tx).await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// Has a follower try a subject's dead letters again, in order, soon.
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

    /// Drops a subject's first poison item for good and has the ones behind it tried. Only a
    /// person may say so: what the item meant to bring about will never happen.
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

/// How many dead letters of a subject a follower has in which state, for operators.
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
