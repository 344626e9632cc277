//! What a database must do for a journal that several nodes write to.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use shared_events::stream::OperatorAction;

use super::head::Head;
use crate::error::JournalError;
use crate::options::Node;

/// What a node sees of the others and of the shards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// Those that live, by id; with the one that looks unless it is leaving.
    pub(crate) nodes: Vec<NodeSeen>,
    /// All shards of this database, by number.
    pub(crate) shards: Vec<ShardSeen>,
}

/// A node that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeSeen {
    /// The process.
    pub(crate) id: String,
    /// What operators call it.
    pub(crate) name: String,
    /// Where the others reach it.
    pub(crate) address: String,
}

/// A shard, and who has it.
#[derive(Clone, Debug)]
pub(crate) struct ShardSeen {
    pub(crate) head: Head,
    /// The last node that had it.
    pub(crate) owner: String,
    /// That one is gone, or its lease ran out.
    pub(crate) vacant: bool,
    /// How long its lease is, as the database writes it.
    pub(crate) lease: String,
    /// Why nobody may have it.
    pub(crate) frozen: Option<String>,
    /// The name of the node that is to have it.
    pub(crate) pinned: Option<String>,
}

/// What a database must do for a journal that several nodes write to, each to its own shards.
/// A node is known here by the store that it opened.
#[async_trait]
pub(crate) trait SharedStore: Send + Sync {
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
    /// Says which node is to have a shard, or that none is; false where there is no such shard.
    /// What an operator did is written with it.
    async fn pin(
        &self,
        shard: u16,
        name: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError>;
}
