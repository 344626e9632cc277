//! What a database must do for a journal that several nodes write to.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use shared_events::stream::OperatorAction;

use super::head::Head;
use crate::error::JournalError;
use crate::options::Node;

/// What a node sees of the other nodes and of the shards.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// The live ones, by id; including the one that asks, unless it is leaving.
    pub(crate) nodes: Vec<NodeView>,
    /// All shards of this database, by number.
    pub(crate) shards: Vec<ShardView>,
}

/// A live node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeView {
    /// The process.
    pub(crate) id: String,
    /// Its name for operators.
    pub(crate) name: String,
    /// Where the others reach it.
    pub(crate) address: String,
}

/// A shard, and who has it.
#[derive(Clone, Debug)]
pub(crate) struct ShardView {
    pub(crate) head: Head,
    /// The last node that had it.
    pub(crate) owner: String,
    /// That one has ended, or its lease ran out.
    pub(crate) vacant: bool,
    /// When its lease ends, as the database writes it.
    pub(crate) lease: String,
    /// Why no node may have it.
    pub(crate) frozen: Option<String>,
    /// The name of the node that is to have it.
    pub(crate) pinned: Option<String>,
}

/// What a database must do for a journal that several nodes write to, each to its own shards. A
/// node is identified by the store that it opened.
#[async_trait]
pub(crate) trait SharedStore: Send + Sync {
    /// Announces this node.
    async fn join(&self, node: &Node, lease: Duration) -> Result<(), JournalError>;
    /// Removes this node from the list, so that it gets no shards when they are distributed.
    async fn leave(&self) -> Result<(), JournalError>;
    /// The live nodes, and who has which shard.
    async fn view(&self, grace: Duration) -> Result<View, JournalError>;
    /// Takes a shard, in a new epoch above this one, if it is unchanged and vacant.
    async fn claim_one(
        &self,
        seen: &ShardView,
        above: u64,
        lease: Duration,
    ) -> Result<Option<Head>, JournalError>;
    /// Takes all shards that are ours again, each in a new epoch above these, so that nothing sent
    /// earlier can still arrive.
    async fn claim_own(
        &self,
        above: &BTreeMap<u16, u64>,
        lease: Duration,
    ) -> Result<Vec<Head>, JournalError>;
    /// Hands a shard over, in a new epoch.
    async fn give(&self, shard: &Head, to: &str, lease: Duration) -> Result<(), JournalError>;
    /// Closes a shard to all writers, in a new epoch, or opens it again; false where it does not
    /// exist. The operator's action is written with it.
    async fn freeze(
        &self,
        shard: u16,
        reason: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError>;
    /// Assigns a shard to a node, or to any; false where the shard does not exist. The operator's
    /// action is written with it.
    async fn pin(
        &self,
        shard: u16,
        name: Option<&str>,
        action: &OperatorAction,
    ) -> Result<bool, JournalError>;
}
