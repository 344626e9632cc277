//! What a database must do for a journal, or for its shards of one, and nothing more.
//! Implementations hold no rule except the fence.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use shared_events::contract::Timestamp;
use shared_events::stream::{ActionsAsked, OperatorAction};
use tokio::sync::mpsc;

use super::chronicle::{Beginning, Chronicle};
use super::head::{
    ArchivedStreams, Batch, Claim, Claimed, CommitError, Head, Loaded, News, Range, Renewed,
};
use super::nodes::SharedStore;
use crate::error::JournalError;
use crate::event::{ChainedEvent, Quarantined, UniqueKey};
use crate::files::Archived;
use crate::id::StreamId;
use crate::keys::Key;

/// Who may write, and what is written.
#[async_trait]
pub(crate) trait Store: Reads + Notes + Send + Sync + 'static {
    /// Takes every shard and raises its epoch; creates `shards` of them where there are none.
    async fn claim(
        &self,
        claim: Claim,
        shards: u16,
        lease: Duration,
    ) -> Result<Claimed, JournalError>;
    /// The id under which this store owns shards.
    fn owner(&self) -> &str;
    /// Extends the lease, on a connection of its own.
    fn renewal(&self) -> Box<dyn Renewal>;
    /// Whether renewals need a thread of their own.
    fn renews_on_own_thread(&self) -> bool {
        true
    }
    /// Whether others may take the shards of a live process that does not renew its lease.
    fn lease_runs_out(&self) -> bool {
        true
    }
    /// Releases the lease, for waiting writers.
    async fn release(&self);
    /// Commits all of the batch under its fences, or nothing.
    async fn commit(&self, batch: &Batch) -> Result<(), CommitError>;
    /// Wakes readers in other processes, soon; never fails and never waits.
    fn announce(&self);
    /// Returns what another process announced; never returns where the store has no notifications.
    async fn announced(&self) -> News;
    /// What several nodes need; none where one process has the store to itself.
    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }
    /// Whether it takes writes now, as far as can be known without an append.
    async fn takes_writes(&self) -> Result<(), JournalError> {
        self.heads().await.map(drop)
    }
    /// Closes every connection.
    async fn close(&self);
}

/// Reads of the events.
#[async_trait]
pub(crate) trait Reads {
    /// The versions of these streams; those that are absent do not exist.
    async fn versions(&self, streams: &[StreamId]) -> Result<HashMap<StreamId, u64>, JournalError>;
    /// Everything of a stream, by sequence.
    async fn load(&self, stream_id: StreamId) -> Result<Loaded, JournalError>;
    /// The heads of all shards of this database, by shard.
    async fn heads(&self) -> Result<Vec<Head>, JournalError>;
    /// The events of these ranges, by shard and position.
    async fn read(&self, ranges: &[Range]) -> Result<Vec<ChainedEvent>, JournalError>;
    /// The whole table, in no order, as pieces for [`Rows`](super::postgres::Rows); nothing where
    /// the store has no such way.
    async fn sweep(&self, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), JournalError> {
        drop(pieces);
        Ok(())
    }
    /// The first position of a shard after this one that has an event.
    async fn next_after(&self, shard: u16, after: u64) -> Result<Option<u64>, JournalError>;
    /// Events at positions that no writer can have written, after the head of their shard or in no
    /// shard: shard, position and stream, at most `limit`. Read in one statement, so that a
    /// concurrent writer causes no false report.
    async fn beyond_heads(&self, limit: u32) -> Result<Vec<(u64, u64, String)>, JournalError>;
    /// The streams that have these keys; keys that are absent are free.
    async fn holders(
        &self,
        keys: &[UniqueKey],
    ) -> Result<HashMap<UniqueKey, StreamId>, JournalError>;
    /// Keys with their streams, by key, at most `limit`.
    async fn unique_keys(
        &self,
        after: Option<&UniqueKey>,
        limit: u32,
    ) -> Result<Vec<(UniqueKey, StreamId)>, JournalError>;
    /// The archive files, by shard and position.
    async fn archives(&self) -> Result<Vec<Archived>, JournalError> {
        Ok(Vec::new())
    }
    /// The archive file with this position.
    async fn archive_with(
        &self,
        shard: u16,
        position: u64,
    ) -> Result<Option<Archived>, JournalError> {
        let files = self.archives().await?;
        Ok(files.into_iter().find(|file| file.has(shard, position)))
    }
    /// Streams that may be archived, by id.
    async fn archived_streams(
        &self,
        asked: ArchivedStreams<'_>,
    ) -> Result<Vec<StreamId>, JournalError> {
        let _ = asked;
        Ok(Vec::new())
    }
}

/// Records beside the events.
#[async_trait]
pub(crate) trait Notes {
    /// The journal's history as recorded here; none for a journal in memory.
    async fn chronicle(&self) -> Result<Option<Chronicle>, JournalError> {
        Ok(None)
    }
    /// Records that a reader that followed this incarnation remembers more than the journal holds.
    async fn doubt(&self, _why: &str, _incarnation: u64) -> Result<(), JournalError> {
        Ok(())
    }
    /// Begins another incarnation, which ends every doubt; false where its number is taken. An
    /// operator's action is written with it.
    async fn begin_incarnation(
        &self,
        _beginning: &Beginning,
        _action: Option<&OperatorAction>,
    ) -> Result<bool, JournalError> {
        Ok(true)
    }
    /// Every incarnation after the first, by number.
    async fn incarnations(&self) -> Result<Vec<Beginning>, JournalError> {
        Ok(Vec::new())
    }
    /// What operators did to the journal and its shards here, newest first.
    async fn operator_actions(
        &self,
        _asked: &ActionsAsked,
    ) -> Result<Vec<OperatorAction>, JournalError> {
        Ok(Vec::new())
    }
    /// Up to which position of each shard facts have ids derived from their position.
    async fn ids_by_position(&self) -> Result<BTreeMap<u16, u64>, JournalError> {
        Ok(BTreeMap::new())
    }
    /// The keys of fingerprints; none for a journal in memory.
    async fn fingerprint_keys(&self) -> Result<Vec<Key>, JournalError> {
        Ok(Vec::new())
    }
    /// Records a stream with an impossible history.
    async fn quarantine(
        &self,
        stream_id: StreamId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), JournalError>;
    /// All of them, by stream.
    async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError>;
    /// How many there are.
    async fn count_quarantined(&self) -> Result<u64, JournalError>;
}

/// Extends the lease of a store's owner.
#[async_trait]
pub(crate) trait Renewal: Send {
    /// Extends it by so long; [`CommitError::Superseded`] where the shards are no longer ours.
    async fn renew(&mut self, lease: Duration) -> Result<Renewed, CommitError>;
}
