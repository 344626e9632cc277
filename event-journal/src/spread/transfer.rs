//! Copies events, and the records beside them, from one database to another.

use shared_events::stream::{ActionsAsked, begin};
use sqlx::PgConnection;

use super::relocation::{Relocation, known};
use crate::audit::Audit;
use crate::chain::{GENESIS, chain_hash};
use crate::error::JournalError;
use crate::event::Quarantined;
use crate::shards::shard_of;
use crate::store::{
    Batch, CommitError, Fence, Head, NOTE_ACTION, Notes as _, Range, Reads as _, Store as _,
    charter, join_journal, unavailable, with_action, wrong,
};

/// Events copied in one commit.
const PAGE: u64 = 1_000;

const COPY_KEYS: &str = "
INSERT INTO unique_keys (key, order_id) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT DO NOTHING";

impl Relocation {
    /// Makes room for the copies. Events that an earlier stay or attempt left are their beginning.
    pub(super) async fn prepare_target(&self) -> Result<(), JournalError> {
        let source = known(&self.from).await?.ok_or_else(|| self.moving_elsewhere())?;
        self.to.migrate().await?;
        let mut tx = begin(self.to.unchecked()).await.map_err(unavailable)?;
        sqlx::query("LOCK TABLE shards IN EXCLUSIVE MODE")
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        if charter(&mut tx).await?.is_none() {
            join_journal(&mut tx, source.journal, source.shards, true).await?;
        }
        self.copy_history(&mut tx).await?;
        let epochs = self.heads(&self.from).await?;
        sqlx::query(
            "INSERT INTO shards (shard, epoch, owner, lease_until, head_position, head_hash, state)
             SELECT shard, epoch, '', '-infinity', 0, $3, 'COMING'
             FROM unnest($1::int[], $2::bigint[]) AS coming (shard, epoch)
             ON CONFLICT (shard) DO UPDATE SET state = 'COMING', owner = '',
                epoch = greatest(shards.epoch, excluded.epoch) + 1
             WHERE shards.state = 'GONE'",
        )
        .bind(epochs.keys().map(|shard| i32::from(*shard)).collect::<Vec<_>>())
        .bind(epochs.values().map(|head| head.epoch.cast_signed()).collect::<Vec<_>>())
        .bind(GENESIS.as_slice())
        .execute(&mut *tx)
        .await
        .map_err(unavailable)?;
        tx.commit().await.map_err(unavailable)
    }

    /// Copies the next events of a shard, checking each hash against the one before; returns how
    /// far the copy is then.
    pub(super) async fn copy_page(
        &self,
        copy: Head,
        original: &Head,
    ) -> Result<Head, JournalError> {
        let through = original.position.min(copy.position + PAGE);
        let range = Range { shard: copy.shard, after: copy.position, through };
        let events = self.from.read(&[range]).await?;
        let mut after = copy.clone();
        for chained in &events {
            after.position += 1;
            let expected = chain_hash(&after.hash, &chained.event);
            if chained.event.position != after.position || chained.hash != expected {
                return Err(self.broken(
                    after.shard,
                    after.position,
                    "is not the event that was written",
                ));
            }
            after.hash = expected;
        }
        if after.position != through {
            return Err(self.broken(after.shard, after.position + 1, "is missing"));
        }
        let fences = vec![Fence { before: copy, after: after.clone() }];
        // Keys are copied last, with the other records.
        let batch = Batch { fences, events, keys: Vec::new() };
        match self.to.commit(&batch).await {
            Ok(()) => Ok(after),
            Err(CommitError::Superseded) => Err(wrong(format!(
                "another move of shard {} to {} is in progress",
                after.shard,
                self.to.label()
            ))),
            Err(CommitError::Conflict | CommitError::KeyTaken) => {
                Err(self.broken(after.shard, after.position, "is in the other database already"))
            }
            Err(
                CommitError::Refused(detail)
                | CommitError::Unavailable(detail)
                | CommitError::Unknown(detail),
            ) => Err(JournalError::Unavailable(detail)),
        }
    }

    /// Reads the copies from their first event to their last and follows the hashes to those of the
    /// originals; returns the number of events.
    pub(super) async fn check(&self) -> Result<u64, JournalError> {
        let originals = self.heads(&self.from).await?;
        let mut audit = Audit::default();
        for (shard, copy) in self.heads(&self.to).await? {
            let original = originals.get(&shard).ok_or_else(|| self.moving_elsewhere())?;
            // A copy that is served already has new events.
            let gone_on = copy.position > original.position;
            if !gone_on && (copy.position, copy.hash) != (original.position, original.hash) {
                return Err(self.broken(shard, original.position, "has another hash in the copy"));
            }
            audit.shard(&self.to, copy, &mut |_, _, _| ()).await?;
        }
        match audit.damages.first() {
            None => Ok(audit.events),
            Some(damage) => Err(JournalError::Broken {
                shard: damage.shard,
                position: damage.position.saturating_sub(1),
                detail: format!("in the copy in {}: {damage}", self.to.label()),
            }),
        }
    }

    /// Quarantined streams are quarantined in the copy too.
    pub(super) async fn copy_quarantined(&self) -> Result<(), JournalError> {
        for stream in self.quarantined().await? {
            self.to.quarantine(stream.stream_id, &stream.reason, stream.since).await?;
        }
        Ok(())
    }

    /// Streams keep their keys in the copy.
    pub(super) async fn copy_unique_keys(&self) -> Result<(), JournalError> {
        let shards = known(&self.from).await?.map_or(0, |charter| charter.shards);
        let limit = u32::try_from(PAGE).unwrap_or(u32::MAX);
        let mut after = None;
        loop {
            let mut page = self.from.unique_keys(after.as_ref(), limit).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            page.retain(|(_, stream_id)| self.shards.contains(shard_of(*stream_id, shards)));
            sqlx::query(COPY_KEYS)
                .bind(page.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
                .bind(page.iter().map(|(_, id)| id.to_string()).collect::<Vec<_>>())
                .execute(self.to.unchecked())
                .await
                .map_err(unavailable)?;
        }
    }

    pub(super) async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        let shards = known(&self.from).await?.map_or(0, |charter| charter.shards);
        let mut all = self.from.quarantined().await?;
        all.retain(|stream| self.shards.contains(shard_of(stream.stream_id, shards)));
        Ok(all)
    }

    /// Copies operators' actions, which are kept for ever: the old place may be dropped.
    async fn copy_actions(&self, tx: &mut PgConnection) -> Result<(), JournalError> {
        let limit = u32::try_from(PAGE).unwrap_or(u32::MAX);
        let mut asked = ActionsAsked { limit, ..ActionsAsked::default() };
        loop {
            let page = self.from.operator_actions(&asked).await?;
            let Some(last) = page.last() else { return Ok(()) };
            asked.before = Some((last.at, last.id));
            for action in &page {
                let note = with_action(sqlx::query(NOTE_ACTION), action);
                note.execute(&mut *tx).await.map_err(unavailable)?;
            }
        }
    }

    /// Copies the journal's incarnation, which facts of these shards have ids from before, and the
    /// keys of the fingerprints: all must survive if the old place is dropped.
    async fn copy_history(&self, tx: &mut PgConnection) -> Result<(), JournalError> {
        if let Some(chronicle) = self.from.chronicle().await? {
            sqlx::query("UPDATE journal SET incarnation = $1 WHERE incarnation < $1")
                .bind(chronicle.incarnation.cast_signed())
                .execute(&mut *tx)
                .await
                .map_err(unavailable)?;
        }
        for key in self.from.fingerprint_keys().await? {
            sqlx::query(
                "INSERT INTO fingerprint_keys (id, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(key.id)
            .bind(key.bytes.as_slice())
            .execute(&mut *tx)
            .await
            .map_err(unavailable)?;
        }
        self.copy_actions(tx).await?;
        for (shard, through) in self.from.ids_by_position().await? {
            if self.shards.contains(shard) {
                sqlx::query(
                    "INSERT INTO ids_by_position (shard, through) VALUES ($1, $2)
                     ON CONFLICT (shard) DO UPDATE SET through = excluded.through",
                )
                .bind(i32::from(shard))
                .bind(through.cast_signed())
                .execute(&mut *tx)
                .await
                .map_err(unavailable)?;
            }
        }
        Ok(())
    }
}
