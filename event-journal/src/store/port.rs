//! What a database must do for a journal, or for the shards of one that it holds, and nothing more.
//! Implementations hold no rule but the fence.

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
use crate::event::{ChainedEvent, Quarantined};
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
    /// What extends the lease, on a connection of its own.
    fn renewal(&self) -> Box<dyn Renewal>;
    /// Whether that is to have a thread of its own, beside all others.
    fn renews_beside(&self) -> bool {
        true
    }
    /// Whether others may take the shards of a living process that does not renew its lease.
    fn lease_runs_out(&self) -> bool {
        true
    }
    /// Gives the lease up, for whoever waits.
    async fn release(&self);
    /// All of the batch and its fences, or nothing.
    async fn commit(&self, batch: &Batch) -> Result<(), CommitError>;
    /// Wakes readers in other processes, soon; never fails and never waits.
    fn announce(&self);
    /// Returns what another process announced; never where the store cannot tell.
    async fn announced(&self) -> News;
    /// What several nodes need; none where one process has the store to itself.
    fn shared(&self) -> Option<&dyn SharedStore> {
        None
    }
    /// Whether it takes writes now, as far as can be told without an append.
    async fn takes_writes(&self) -> Result<(), JournalError> {
        self.heads().await.map(drop)
    }
    /// Closes every connection.
    async fn close(&self);
}

/// What is read of the events.
#[async_trait]
pub(crate) trait Reads {
    /// The versions of these streams; those that are absent do not exist.
    async fn versions(&self, streams: &[StreamId]) -> Result<HashMap<StreamId, u64>, JournalError>;
    /// Everything of a stream, by sequence.
    async fn load(&self, stream_id: StreamId) -> Result<Loaded, JournalError>;
    /// Where all shards of this database stand, by shard.
    async fn heads(&self) -> Result<Vec<Head>, JournalError>;
    /// These ranges, by shard and position.
    async fn read(&self, ranges: &[Range]) -> Result<Vec<ChainedEvent>, JournalError>;
    /// Everything of the table as [`Rows`](super::postgres::Rows) takes it apart, in no order;
    /// nothing where the store has no such way.
    async fn sweep(&self, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), JournalError> {
        drop(pieces);
        Ok(())
    }
    /// The first position of a shard after this one at which an event stands.
    async fn next_after(&self, shard: u16, after: u64) -> Result<Option<u64>, JournalError>;
    /// Events where no writer can have put one, behind the head of their shard or in none: shard,
    /// position and stream, at most `limit`. Seen in one look, so that a writer at work is no
    /// fault.
    async fn beyond_heads(&self, limit: u32) -> Result<Vec<(u64, u64, String)>, JournalError>;
    /// The files that events have left for, by shard and position.
    async fn archives(&self) -> Result<Vec<Archived>, JournalError> {
        Ok(Vec::new())
    }
    /// The file that this position has left for.
    async fn archive_with(
        &self,
        shard: u16,
        position: u64,
    ) -> Result<Option<Archived>, JournalError> {
        let files = self.archives().await?;
        Ok(files.into_iter().find(|file| file.has(shard, position)))
    }
    /// Streams that may have left, by id.
    async fn archived_streams(
        &self,
        asked: ArchivedStreams<'_>,
    ) -> Result<Vec<StreamId>, JournalError> {
        let _ = asked;
        Ok(Vec::new())
    }
}

/// What is remembered beside the events.
#[async_trait]
pub(crate) trait Notes {
    /// What the database says of the journal's history; none where it is forgotten with the
    /// process.
    async fn chronicle(&self) -> Result<Option<Chronicle>, JournalError> {
        Ok(None)
    }
    /// Remembers that somebody who followed this incarnation knows what is not here.
    async fn doubt(&self, _why: &str, _incarnation: u64) -> Result<(), JournalError> {
        Ok(())
    }
    /// Goes on as another incarnation, which ends every doubt; false where another one has its
    /// number. Where an operator said so, that is written with it.
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
    /// Up to which position of each shard facts have ids that are made of their position.
    async fn ids_by_position(&self) -> Result<BTreeMap<u16, u64>, JournalError> {
        Ok(BTreeMap::new())
    }
    /// The keys of fingerprints; none where the journal is forgotten with its process.
    async fn fingerprint_keys(&self) -> Result<Vec<Key>, JournalError> {
        Ok(Vec::new())
    }
    /// Remembers a stream with an impossible history.
    async fn quarantine(
        &self,
        stream_id: StreamId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), JournalError>;
    /// All of them, by stream.
    async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError>;
}

/// Extends the lease of a store's owner.
#[async_trait]
pub(crate) trait Renewal: Send {
    /// By so long; [`CommitError::Superseded`] where the shards are no longer ours.
    async fn renew(&mut self, lease: Duration) -> Result<Renewed, CommitError>;
}
