//! Recovery of a writer that does not know the outcome of its last batch, or whose database has
//! another history than it knew.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::contract::Mark;
use shared_events::stream::Cursors;
use tokio::time::{Instant, timeout};

use super::tail::LostTail;
use super::take_over::complete;
use super::writer::Writer;
use crate::error::JournalError;
use crate::store::{Batch, Claim, Claimed, Head};

impl Writer {
    /// Takes our own shards again, in a fresh epoch, and reads their heads. Returns whether the
    /// database has lost events that we knew.
    pub(super) async fn recover(&mut self) -> Result<bool, JournalError> {
        let since = Instant::now();
        let (store, length) = (Arc::clone(&self.store), self.lease.length());
        let above: BTreeMap<u16, u64> =
            self.known.values().map(|head| (head.shard, head.epoch)).collect();
        let (node, shards) = (self.node.is_some(), self.shards);
        let claim = async {
            match store.shared() {
                Some(shared) if node => shared.claim_own(&above, length).await,
                _ => loop {
                    let Claimed::Taken(heads) = store.claim(Claim::Own, shards, length).await?
                    else {
                        return Err(JournalError::Superseded);
                    };
                    let heads = complete(heads, &self.holds)?;
                    let fresh =
                        |head: &Head| above.get(&head.shard).is_none_or(|a| head.epoch > *a);
                    // A database that was set back begins in an epoch that we have had already.
                    if heads.iter().all(fresh) {
                        return Ok(heads);
                    }
                },
            }
        };
        let heads = timeout(length / 2, claim)
            .await
            .map_err(|_| JournalError::Unavailable("no answer".to_owned()))??;
        let mut lost = false;
        for head in &heads {
            let diverged = self.has_lost(head);
            lost |= diverged;
            let before = self.heads.get(&head.shard).map(|before| before.epoch + 1);
            if diverged || before != Some(head.epoch) {
                // Another process may have had it since we last knew it.
                self.versions.clear();
                self.tenures.insert(head.shard, head.epoch);
            }
            self.lease.hold(head.shard, since);
        }
        self.known.extend(heads.iter().map(|head| (head.shard, head.clone())));
        self.heads = heads.into_iter().map(|head| (head.shard, head)).collect();
        self.lease.extended(since);
        self.uncertain = false;
        self.in_doubt.clear();
        self.publish();
        self.publish_ownership(None);
        Ok(lost)
    }

    /// Whether the database, by this head of a shard, has another history than the one we knew: a
    /// standby that lagged was promoted, or a backup restored. Then our cached state is discarded
    /// and the loss recorded.
    pub(super) fn has_lost(&mut self, found: &Head) -> bool {
        let Some(known) = self.known.get(&found.shard) else { return false };
        let is = |head: &Head| (head.position, head.hash) == (found.position, found.hash);
        let nobody_else = found.epoch <= known.epoch + 1;
        let behind = found.position < known.position
            || found.position == known.position && !is(known)
            || found.epoch < known.epoch
            || nobody_else && !is(known) && !self.in_doubt.get(&found.shard).is_some_and(is);
        if !behind {
            return false;
        }
        let lost = LostTail {
            shard: found.shard,
            known: known.position,
            found: found.position,
            events: known.position.saturating_sub(found.position),
        };
        tracing::error!(
            shard = lost.shard,
            last_known = lost.known,
            last_found = lost.found,
            events = lost.events,
            "committed events are missing in the database; it was set back, or a standby that \
             lagged was promoted"
        );
        self.tail.forget();
        self.versions.clear();
        self.lower(found);
        self.lost_tails.send_modify(|all| match all.iter_mut().find(|l| l.shard == lost.shard) {
            Some(before) => *before = LostTail { events: before.events + lost.events, ..lost },
            None => all.push(lost),
        });
        true
    }

    /// Publishes that a shard ends here, although it had been further, or had another event here.
    pub(super) fn lower(&self, found: &Head) {
        let (shard, mark) = (found.shard, Mark::of(&found.hash));
        self.committed.send_if_modified(|cursors| {
            let other = || cursors.mark(shard).is_some_and(|known| known != mark);
            let known = cursors.get(shard);
            let outdated = known > found.position || known == found.position && other();
            if outdated {
                let mut lower = Cursors::default();
                for (other, at) in cursors.iter() {
                    let (at, mark) = match other == shard {
                        true => (found.position, Some(mark)),
                        false => (at, cursors.mark(other)),
                    };
                    if at > 0 {
                        lower.advance_to(other, at, mark);
                    }
                }
                *cursors = lower;
            }
            outdated
        });
    }

    /// Whether a batch of unknown outcome is in the journal: all of it or nothing, so one shard
    /// shows it for all. None where no shard of it is ours any more.
    pub(super) fn stands_after(&self, batch: &Batch) -> Option<bool> {
        batch.fences.iter().find_map(|fence| {
            let head = self.heads.get(&fence.after.shard)?;
            Some(head.position == fence.after.position && head.hash == fence.after.hash)
        })
    }
}
