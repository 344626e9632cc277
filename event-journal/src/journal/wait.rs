//! Waits for what others do: for new events, and for who has a shard.

use std::time::Duration;

use futures::future::join_all;
use shared_events::stream::Cursors;
use tokio::time::{Instant, timeout};

use super::handle::Journal;
use crate::shards::ShardSet;
use crate::write::Ownership;

/// How often a waiting reader looks by itself, behind every wake-up.
const POLL_EVERY: Duration = Duration::from_millis(500);

impl Journal {
    /// Returns once there is something after these cursors; may return early for nothing where no
    /// database answers. At once for what this process appends; by the database's own
    /// notification for other processes, where it has one; by a look every 500 ms behind both.
    /// What a database holds that is away has to wait until it is back.
    pub async fn changed(&self, cursors: &Cursors) {
        let mut committed = self.shared.committed.subscribe();
        loop {
            if self.shows_more(cursors, &committed.borrow_and_update()) {
                return;
            }
            if !matches!(timeout(POLL_EVERY, committed.changed()).await, Ok(Ok(())))
                && self.standing(cursors).await.is_err()
            {
                return;
            }
        }
    }

    /// Whether something is committed after these cursors in a database that is not away.
    fn shows_more(&self, cursors: &Cursors, committed: &Cursors) -> bool {
        if cursors.covers(committed) {
            return false;
        }
        let away: Vec<&ShardSet> =
            self.databases().iter().filter(|p| p.away().is_some()).map(|p| &p.holds).collect();
        let there = |shard: u16| !away.iter().any(|holds| holds.contains(shard));
        !cursors.covers(&committed.iter().filter(|(shard, _)| there(*shard)).collect())
    }

    /// Returns once it is settled who answers for a shard: it is ours, it is another node's, or it
    /// is frozen; after `until` in any case. `ours` says that somebody who should know believes it
    /// to be ours: then another node does not count before then.
    pub async fn settled(&self, shard: u16, ours: bool, until: Instant) {
        let settled = |now: &Ownership| {
            now.tenure(shard).is_some()
                || now.frozen(shard).is_some()
                || (!ours && now.elsewhere(shard).is_some())
        };
        // Nearly always: every command comes by here.
        if settled(&self.shared.ownership.borrow()) {
            return;
        }
        let mut ownership = self.shared.ownership.subscribe();
        if let Ok(database) = self.database(shard) {
            database.nudged.notify_one();
        }
        // The sender lives as long as we do; who waited long enough finds out anyway.
        let _ = tokio::time::timeout_at(until, ownership.wait_for(settled)).await;
    }

    /// Hands every shard to the nodes that stay and takes none any more; those that nobody can take
    /// are kept. Nothing to do where this process has the journal to itself.
    pub async fn hand_over(&self) {
        if self.shared.options.node.is_none() {
            return;
        }
        self.shared.leaving.cancel();
        let left = join_all(self.databases().iter().map(|database| database.left.cancelled()));
        tokio::select! {
            _ = left => {}
            () = self.shared.lost.cancelled() => {}
            () = tokio::time::sleep(self.shared.options.lease) => {}
        }
    }
}
