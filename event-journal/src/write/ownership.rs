//! Which shards are ours, and which nodes have the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::Lease;
use crate::error::JournalError;
use crate::options::Node;
use crate::shards::ShardSet;
use crate::store::{ShardView, View};

/// Which shards this process writes, and which nodes have the others.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    /// Ours, each with the epoch in which it became ours.
    tenures: BTreeMap<u16, u64>,
    /// The lease that each depends on; a shard without one is ours until the writer ends.
    leased: BTreeMap<u16, Arc<Lease>>,
    /// Our lease in each database, by its first shard.
    leases: BTreeMap<u16, Arc<Lease>>,
    /// The address of the node that has a shard which is not ours, where it is known.
    elsewhere: BTreeMap<u16, Arc<str>>,
    /// Why a shard is closed to all writers.
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
    /// The live node that has it.
    pub node: Option<Node>,
    /// Why it is closed to all writers, if it is.
    pub frozen: Option<String>,
    /// The name of the node that should have it, if an operator assigned one.
    pub pinned: Option<String>,
    /// Why its database does not answer, if it does not: nothing about it can be changed then.
    pub unanswered: Option<String>,
}

impl ShardState {
    /// The state of a shard whose database does not answer, as far as it is known.
    pub(crate) fn unknown(shard: u16, position: u64, why: &JournalError) -> Self {
        let frozen = Some(why.to_string());
        let unanswered = frozen.clone();
        Self { shard, epoch: 0, position, node: None, frozen, pinned: None, unanswered }
    }

    pub(crate) fn of(view: View) -> Vec<Self> {
        let View { nodes, shards } = view;
        let state = |seen: ShardView| Self {
            shard: seen.head.shard,
            epoch: seen.head.epoch,
            position: seen.head.position,
            node: nodes
                .iter()
                .find(|node| !seen.vacant && node.id == seen.owner)
                .map(|node| Node { name: node.name.clone(), address: node.address.clone() }),
            frozen: seen.frozen,
            pinned: seen.pinned,
            unanswered: None,
        };
        shards.into_iter().map(state).collect()
    }
}

impl Ownership {
    /// The epoch in which a shard became ours; none where it is not ours. While it is the same, no
    /// other process has written to the shard, though we may have raised its epoch.
    #[must_use]
    pub fn tenure(&self, shard: u16) -> Option<u64> {
        let leased = self.leased.get(&shard).is_none_or(|lease| lease.holds(shard));
        self.tenures.get(&shard).copied().filter(|_| leased)
    }

    /// How long ago our leases were last renewed, the longest of them; none where none can run out.
    #[must_use]
    pub fn lease_age(&self) -> Option<Duration> {
        self.leases.values().filter_map(|lease| lease.age()).max()
    }

    /// The shards that this process has, each with the epoch in which it became its own.
    pub fn tenures(&self) -> impl Iterator<Item = (u16, u64)> {
        self.tenures.iter().map(|(shard, epoch)| (*shard, *epoch))
    }

    /// Whether no lease of this node is valid, so that it can have no shard.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let now = Instant::now();
        !self.leases.is_empty() && self.leases.values().all(|lease| lease.valid_until() <= now)
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

    /// Why a shard is closed to all writers, if it is.
    #[must_use]
    pub fn frozen(&self, shard: u16) -> Option<Arc<str>> {
        self.frozen.get(&shard).cloned()
    }

    /// Sets which shards of one database are ours, for as long as the lease is valid.
    pub(crate) fn set_ours(
        &mut self,
        of: &ShardSet,
        tenures: BTreeMap<u16, u64>,
        lease: Option<&Arc<Lease>>,
    ) {
        self.tenures.retain(|shard, _| !of.contains(*shard));
        self.leased.retain(|shard, _| !of.contains(*shard));
        if let Some(lease) = lease {
            self.leased.extend(tenures.keys().map(|shard| (*shard, Arc::clone(lease))));
            self.leases.extend(of.iter().next().map(|first| (first, Arc::clone(lease))));
        }
        self.tenures.extend(tenures);
    }

    /// Keeps what is ours and learns from a view of all shards of a database who has the others.
    pub(crate) fn learn_from(&mut self, view: &View) {
        for seen in &view.shards {
            let shard = seen.head.shard;
            self.elsewhere.remove(&shard);
            self.frozen.remove(&shard);
            if let Some(reason) = &seen.frozen {
                self.frozen.insert(shard, reason.as_str().into());
            } else if !seen.vacant
                && !self.tenures.contains_key(&shard)
                && let Some(node) = view.nodes.iter().find(|node| node.id == seen.owner)
            {
                self.elsewhere.insert(shard, node.address.as_str().into());
            }
        }
    }

    /// Whether watchers would act differently on it.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.tenures != other.tenures
            || self.elsewhere != other.elsewhere
            || self.frozen != other.frozen
    }
}
