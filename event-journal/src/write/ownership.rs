//! Which shards are ours, and where the others are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::lease::Lease;
use crate::error::JournalError;
use crate::options::Node;
use crate::shards::ShardSet;
use crate::store::{ShardSeen, Sight};

/// Which shards this process writes, and where the others are.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    /// Ours, each with the epoch in which it became ours.
    tenures: BTreeMap<u16, u64>,
    /// What says for how long we may believe it; for as long as the writer lives where absent.
    believed: BTreeMap<u16, Arc<Lease>>,
    /// Our lease in each database, by its first shard.
    leases: BTreeMap<u16, Arc<Lease>>,
    /// Address of the node that has a shard which is not ours, where one is known.
    elsewhere: BTreeMap<u16, Arc<str>>,
    /// Why nobody may write to a shard.
    frozen: BTreeMap<u16, Arc<str>>,
}

/// A shard as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardState {
    /// Its number.
    pub shard: u16,
    /// How often it changed hands.
    pub epoch: u64,
    /// Its last position.
    pub position: u64,
    /// The living node that has it.
    pub node: Option<Node>,
    /// Why it is closed to everybody, if it is.
    pub frozen: Option<String>,
    /// The name of the node that is to have it, if an operator said so.
    pub pinned: Option<String>,
}

impl ShardState {
    /// A shard whose database does not answer: this is known of it.
    pub(crate) fn unknown(shard: u16, position: u64, why: &JournalError) -> Self {
        let frozen = Some(why.to_string());
        Self { shard, epoch: 0, position, node: None, frozen, pinned: None }
    }

    pub(crate) fn of(sight: Sight) -> Vec<Self> {
        let Sight { nodes, shards } = sight;
        let state = |seen: ShardSeen| Self {
            shard: seen.head.shard,
            epoch: seen.head.epoch,
            position: seen.head.position,
            node: nodes
                .iter()
                .find(|node| !seen.vacant && node.id == seen.owner)
                .map(|node| Node { name: node.name.clone(), address: node.address.clone() }),
            frozen: seen.frozen,
            pinned: seen.pinned,
        };
        shards.into_iter().map(state).collect()
    }
}

impl Ownership {
    /// The epoch in which a shard became ours; none where it is not. As long as it is the same,
    /// nobody else has written to the shard, though its epoch may have been raised by ourselves.
    #[must_use]
    pub fn tenure(&self, shard: u16) -> Option<u64> {
        let believed = self.believed.get(&shard).is_none_or(|lease| lease.holds(shard));
        self.tenures.get(&shard).copied().filter(|_| believed)
    }

    /// Whether no lease of this node holds, so that nothing can be its own.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let now = Instant::now();
        !self.leases.is_empty() && self.leases.values().all(|lease| lease.believed_until() <= now)
    }

    /// The shards that this process has.
    #[must_use]
    pub fn shards(&self) -> BTreeSet<u16> {
        self.tenures.keys().copied().collect()
    }

    /// The address (host:port) of the other node that has a shard.
    #[must_use]
    pub fn elsewhere(&self, shard: u16) -> Option<Arc<str>> {
        self.elsewhere.get(&shard).cloned()
    }

    /// Why a shard is closed to everybody, if it is.
    #[must_use]
    pub fn frozen(&self, shard: u16) -> Option<Arc<str>> {
        self.frozen.get(&shard).cloned()
    }

    /// Of the shards of one database these are ours, for as long as the lease says.
    pub(crate) fn set_ours(
        &mut self,
        of: &ShardSet,
        tenures: BTreeMap<u16, u64>,
        lease: Option<&Arc<Lease>>,
    ) {
        self.tenures.retain(|shard, _| !of.contains(*shard));
        self.believed.retain(|shard, _| !of.contains(*shard));
        if let Some(lease) = lease {
            self.believed.extend(tenures.keys().map(|shard| (*shard, Arc::clone(lease))));
            self.leases.extend(of.iter().next().map(|first| (first, Arc::clone(lease))));
        }
        self.tenures.extend(tenures);
    }

    /// Keeps what is ours and learns from a look at all shards of a database where the rest is.
    pub(crate) fn saw(&mut self, sight: &Sight) {
        for seen in &sight.shards {
            let shard = seen.head.shard;
            self.elsewhere.remove(&shard);
            self.frozen.remove(&shard);
            if let Some(reason) = &seen.frozen {
                self.frozen.insert(shard, reason.as_str().into());
            } else if !seen.vacant
                && !self.tenures.contains_key(&shard)
                && let Some(node) = sight.nodes.iter().find(|node| node.id == seen.owner)
            {
                self.elsewhere.insert(shard, node.address.as_str().into());
            }
        }
    }

    /// Whether others would do anything differently for it.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.tenures != other.tenures
            || self.elsewhere != other.elsewhere
            || self.frozen != other.frozen
    }
}
