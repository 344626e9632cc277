use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use shared_events::contract::{OrderId, Timestamp};
use shared_events::stream::{ActionsAsked, OperatorAction};
use tokio::sync::mpsc;

use super::archive::Archived;
use super::chronicle::{Beginning, Chronicle};
use super::error::JournalError;
use super::event::{ChainedEvent, Quarantined, StoredEvent};
use super::fingerprints::Key;
use super::options::Node;

/// The aggregate type of every event here.
pub const AGGREGATE_TYPE: &str = "order";

/// Where a shard stands, and in which epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) shard: u16,
    pub(super) epoch: u64,
    pub(super) position: u64,
    pub(super) hash: [u8; 32],
}

/// What must be true of a shard when a batch commits, and what is true afterwards.
#[derive(Clone, Debug)]
pub(super) struct Fence {
    pub(super) before: Head,
    pub(super) after: Head,
}

/// Events of several orders and shards that are appended together or not at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) fences: Vec<Fence>,
    pub(super) events: Vec<ChainedEvent>,
}

/// Why a batch was not committed.
#[derive(Clone, Debug)]
pub(super) enum CommitError {
    /// A shard is not in the writer's epoch, or not where the writer left it. Nothing happened.
    Superseded,
    /// At least one order has moved on. Nothing happened.
    Conflict,
    /// The database refuses something of this batch, and would again. Nothing happened.
    Refused(String),
    /// The database gave up on it. Nothing happened.
    Unavailable(String),
    /// The answer did not arrive.
    Unknown(String),
}

/// By what right shards are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nobody else is alive.
    Vacant,
    /// Whoever is alive.
    Force,
    /// They are ours; a fresh epoch makes sure that nothing sent earlier can still arrive.
    Own,
}

/// What became of a claim.
pub(super) enum Claimed {
    /// All shards are ours, each in a new epoch.
    Taken(Vec<Head>),
    /// This other owner is alive.
    Held(String),
}

/// What a renewal of the lease found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    /// Everything is ours.
    Everything,
    /// These shards are.
    Shards(BTreeSet<u16>),
}

impl Renewed {
    pub(super) const fn shards(&self) -> Option<&BTreeSet<u16>> {
        match self {
            Self::Everything => None,
            Self::Shards(shards) => Some(shards),
        }
    }
}

/// Extends the lease of a store's owner.
#[async_trait]
pub(super) trait Renewal: Send {
    /// By so long; [`CommitError::Superseded`] where the shards are no longer ours.
    async fn renew(&mut self, lease: Duration) -> Result<Renewed, CommitError>;
}

/// What a node sees of the others and of the shards.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// Those that live, by id; with the one that looks unless it is leaving.
    pub(super) nodes: Vec<NodeSeen>,
    /// All shards of this database, by number.
    pub(super) shards: Vec<ShardSeen>,
}

/// A node that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeSeen {
    /// The process.
    pub(super) id: String,
    /// What operators call it.
    pub(super) name: String,
    /// Where the others reach it.
    pub(super) address: String,
}

/// A shard, and who has it.
#[derive(Clone, Debug)]
pub(super) struct ShardSeen {
    pub(super) head: Head,
    /// The last node that had it.
    pub(super) owner: String,
    /// That one is gone, or its lease ran out.
    pub(super) vacant: bool,
    /// How long its lease is, as the database writes it.
    pub(super) lease: String,
    /// Why nobody may have it.
    pub(super) frozen: Option<String>,
    /// The name of the node that is to have it.
    pub(super) pinned: Option<String>,
}

/// What the other writers of a journal say to one that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Something was appended.
    Appended,
    /// Shards or nodes have changed.
    Shards,
}

/// What a database must do for a journal that several nodes write to, each to its own shards.
/// A node is known here by the store that it opened.
#[async_trait]
pub(super) trait SharedStore: Send + Sync {
    /// Announces this node.
    async fn join(&self, node: &Node, lease: Duration) -> Result<(), JournalError>;
    /// Takes this node off the list, so that it counts for nothing when shards are shared out.
    async fn leave(&self) -> Result<(), JournalError>;
    /// Who lives, and who has what.
    async fn look(&self, grace: Duration) -> Result<Sight, JournalError>;
    /// Takes a shard, in an epoch that is new and above this one, if it is still as it was seen and
    /// vacant.
    async fn claim_one(
        &self,
        seen: &ShardSeen,
        above: u64,
        lease: Duration,
    ) -> Result<Option<Head>, JournalError>;
    /// All that is ours, each in an epoch that is new and above these, so that nothing sent earlier
    /// can still arrive.
    async fn claim_own(
        &self,
        above: &BTreeMap<u16, u64>,
        lease: Duration,
    ) -> Result<Vec<Head>, JournalError>;
    /// Hands a shard over, in a new epoch.
    async fn give(&self, shard: &Head, to: &str, lease: Duration) -> Result<(), JournalError>;
    /// Closes a shard to everybody, in a new epoch, or opens it again; false where there is none.
    /// What an operator did is written with it.
    async fn freeze(
        &self,
        shard: u16,
        reason: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError>;
    /// Says which node is to have a shard, or that none is; false where there is no such shard. What
    /// an operator did is written with it.
    async fn pin(
        &self,
        shard: u16,
        name: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError>;
}

/// What the table holds of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    /// Its events, by sequence.
    pub(super) events: Vec<StoredEvent>,
    /// Where its first events stand in the shard, by version, if they may have left.
    pub(super) positions: Vec<u64>,
}

impl Loaded {
    /// All that there is.
    pub(super) fn whole(events: Vec<StoredEvent>) -> Self {
        Self { events, positions: Vec::new() }
    }
}

/// Which orders that may have left are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum ArchivedOrders<'a> {
    /// Those among these.
    Among(&'a [OrderId]),
    /// Those after this one, by id, at most so many.
    After(Option<OrderId>, u32),
}

/// Positions of one shard, `after` exclusive, `through` inclusive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) shard: u16,
    pub(super) after: u64,
    pub(super) through: u64,
}

/// What a database must do for a journal, or for the shards of one that it holds. Implementations
/// hold no rule but the fence.
#[async_trait]
pub(super) trait Store: Send + Sync + 'static {
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
    /// The versions of these orders; those that are absent do not exist.
    async fn versions(&self, orders: &[OrderId]) -> Result<HashMap<OrderId, u64>, JournalError>;
    /// Everything of an order, by sequence.
    async fn load(&self, order_id: OrderId) -> Result<Loaded, JournalError>;
    /// Where all shards of this database stand, by shard.
    async fn heads(&self) -> Result<Vec<Head>, JournalError>;
    /// These ranges, by shard and position.
    async fn read(&self, ranges: &[Range]) -> Result<Vec<ChainedEvent>, JournalError>;
    /// Everything of the table as [`Rows`](super::copied::Rows) takes it apart, in no order; nothing
    /// where the store has no such way.
    async fn sweep(&self, pieces: mpsc::Sender<Vec<u8>>) -> Result<(), JournalError> {
        drop(pieces);
        Ok(())
    }
    /// The first position of a shard after this one at which an event stands.
    async fn next_after(&self, shard: u16, after: u64) -> Result<Option<u64>, JournalError>;
    /// Events where no writer can have put one, behind the head of their shard or in none: shard,
    /// position and order, at most `limit`. Seen in one look, so that a writer at work is no fault.
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
    /// Orders that may have left, by id.
    async fn archived_orders(
        &self,
        asked: ArchivedOrders<'_>,
    ) -> Result<Vec<OrderId>, JournalError> {
        let _ = asked;
        Ok(Vec::new())
    }
    /// What the database says of the journal's history; none where it is forgotten with the process.
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
    /// What operators did to the journal and its shards here, newest first.
    async fn operator_actions(
        &self,
        _asked: &ActionsAsked,
    ) -> Result<Vec<OperatorAction>, JournalError> {
        Ok(Vec::new())
    }
    /// Every incarnation after the first, by number.
    async fn incarnations(&self) -> Result<Vec<Beginning>, JournalError> {
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
    /// Remembers an order with an impossible history.
    async fn quarantine(
        &self,
        order_id: OrderId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), JournalError>;
    /// All of them, by order.
    async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError>;
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
