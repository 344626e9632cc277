//! Waits for new events, and for a shard's owner to be known.

use std::time::Duration;

use futures::future::join_all;
use shared_events::stream::Cursors;
use tokio::time::{Instant, timeout};

use super::handle::Journal;
use crate::shards::ShardSet;
use crate::write::Ownership;

/// How often a waiting reader polls, in addition to every wake-up.
const POLL_EVERY: Duration = Duration::from_millis(500);

impl Journal {
    /// Returns once there are events after these cursors; may return early without any where no
    /// database answers. Immediately for appends of this process; by the database's notification
    /// for those of other processes, where it has one; by polling every 500 ms in any case. Events
    /// in an unavailable database have to wait until it is back.
    pub async fn changed(&self, cursors: &Cursors) {
        let mut committed = self.shared.committed.subscribe();
        loop {
            if self.has_more(cursors, &committed.borrow_and_update()) {
                return;
            }
            if !matches!(timeout(POLL_EVERY, committed.changed()).await, Ok(Ok(())))
                && self.readable_heads(cursors).await.is_err()
            {
                return;
            }
        }
    }

    /// Whether something is committed after these cursors in an available database.
    fn has_more(&self, cursors: &Cursors, committed: &Cursors) -> bool {
        if cursors.covers(committed) {
            return false;
        }
        let unavailable: Vec<&ShardSet> = self
            .databases()
            .iter()
            .filter(|p| p.unavailable().is_some())
            .map(|p| &p.holds)
            .collect();
        let there = |shard: u16| !unavailable.iter().any(|holds| holds.contains(shard));
        !cursors.covers(&committed.iter().filter(|(shard, _)| there(*shard)).collect())
    }

    /// Returns once a shard's owner is known: it is ours, another node's, or frozen; after `until`
    /// in any case. `ours` means that another node believes the shard to be ours: then another
    /// owner does not count before `until`.
    pub async fn settled(&self, shard: u16, ours: bool, until: Instant) {
        let settled = |now: &Ownership| {
            now.tenure(shard).is_some()
                || now.frozen(shard).is_some()
                || (!ours && now.elsewhere(shard).is_some())
        };
        // Nearly always: every command comes through here.
        if settled(&self.shared.ownership.borrow()) {
            return;
        }
        let mut ownership = self.shared.ownership.subscribe();
        if let Ok(database) = self.database(shard) {
            database.shards_changed.notify_one();
        }
        // The sender lives as long as we do; a caller that waited long enough finds out anyway.
        let _ = tokio::time::timeout_at(until, ownership.wait_for(settled)).await;
    }

    /// Hands every shard to the nodes that stay and takes no more; those that no node can take are
    /// kept. Does nothing where this process has the journal to itself.
    pub async fn hand_over(&self) {
        if self.shared.options.node.is_none() {
            return;
        }
        self.shared.leaving.cancel();
        let all =
            join_all(self.databases().iter().map(|database| database.handed_over.cancelled()));
        tokio::select! {
            _ = all => {}
            () = self.shared.lost.cancelled() => {}
            () = tokio::time::sleep(self.shared.options.lease) => {}
        }
    }
}
