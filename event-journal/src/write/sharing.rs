//! A writer among several nodes: takes the shards that it should have, hands over those that others
//! should have, and publishes who has what.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::metric::table::HANDOVER;
use shared_events::stream::Scope;
use tokio::time::{Instant, timeout};

use super::share::plan;
use super::writer::Writer;
use crate::error::JournalError;
use crate::store::{Head, View};

impl Writer {
    /// Compares the shards with the plan, where others write too: releases lost ones, takes those
    /// that should be ours, hands over those that others should have. A failed step is tried again
    /// at the next interval.
    pub(super) async fn rebalance(&mut self) {
        if self.node.is_none() {
            return;
        }
        // Cancelled at any point, the next view of the database shows the result.
        let patience = self.lease.length();
        let outcome = timeout(patience, self.share_out(!self.handed_over.is_cancelled())).await;
        let failed = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        match &failed {
            Some(error) if !self.rebalance_failed => {
                tracing::warn!(error, "the shards could not be checked; it is tried again");
            }
            None if self.rebalance_failed => tracing::info!("the shards can be checked again"),
            _ => {}
        }
        self.rebalance_failed = failed.is_some();
    }

    /// Gives everything to the nodes that stay; shards that none can take are kept.
    pub(super) async fn hand_over_all(&mut self) {
        let store = Arc::clone(&self.store);
        let (Some(_), Some(shared)) = (&self.node, store.shared()) else {
            self.handed_over.cancel();
            return;
        };
        let patience = self.lease.length();
        let handing_over = async {
            shared.leave().await?;
            self.share_out(false).await
        };
        match timeout(patience, handing_over).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "shards were not handed over; their leases will run out");
            }
            Err(_) => tracing::warn!("shards were not handed over in time"),
        }
        self.handed_over.cancel();
    }

    pub(super) async fn share_out(&mut self, stays: bool) -> Result<(), JournalError> {
        let store = Arc::clone(&self.store);
        let (Some(node), Some(shared)) = (self.node.clone(), store.shared()) else {
            return Ok(());
        };
        let length = self.lease.length();
        let me = store.owner().to_owned();
        let mut view = self.refresh_view().await?;
        if stays && !view.nodes.iter().any(|seen| seen.id == me) {
            shared.join(&node, length).await?;
            view = self.refresh_view().await?;
        }
        let plan = plan(&view, &me);
        for shard in plan.take {
            let Some(seen) = view.shards.iter().find(|seen| seen.head.shard == shard) else {
                continue;
            };
            let since = Instant::now();
            let above = self.known.get(&shard).map_or(0, |head| head.epoch);
            if let Some(head) = shared.claim_one(seen, above, length).await? {
                HANDOVER.took(["take"], since.elapsed());
                tracing::info!(shard, epoch = head.epoch, "shard taken");
                self.lease.hold(shard, since);
                self.has_lost(&head);
                self.adopt(head);
            }
        }
        let mut handovers = Vec::new();
        for (shard, to) in plan.give {
            if let Some(head) = self.heads.remove(&shard) {
                self.lease.release(shard);
                self.tail.forget();
                if let Some(seen) = view.shards.iter_mut().find(|seen| seen.head.shard == shard) {
                    seen.owner.clone_from(&to);
                }
                handovers.push((head, to));
            }
        }
        // Requests for shards to be handed over are refused before they are.
        self.publish();
        self.publish_ownership(Some(&view));
        for (head, to) in handovers {
            tracing::info!(shard = head.shard, to, "shard handed over");
            // An unanswered handover may still arrive: then we must not adopt the shard again in
            // the epoch that it names.
            let before = std::mem::replace(&mut self.uncertain, true);
            let since = Instant::now();
            shared.give(&head, &to, length).await?;
            HANDOVER.took(["give"], since.elapsed());
            self.uncertain = before;
        }
        Ok(())
    }

    /// A shard is ours from now on; others may have written to it since we last knew its streams.
    pub(super) fn adopt(&mut self, head: Head) {
        self.versions.clear();
        self.tenures.insert(head.shard, head.epoch);
        self.known.insert(head.shard, head.clone());
        self.heads.insert(head.shard, head);
    }

    /// Reads who has what, releases lost shards and adopts those that were handed over.
    pub(super) async fn refresh_view(&mut self) -> Result<View, JournalError> {
        let store = Arc::clone(&self.store);
        let shared = store.shared().ok_or(JournalError::Superseded)?;
        let view = timeout(self.lease.length() / 2, shared.view(self.lease.grace()))
            .await
            .map_err(|_| JournalError::Unavailable("no answer".to_owned()))??;
        let me = store.owner();
        let mut set_back = false;
        for seen in &view.shards {
            let shard = seen.head.shard;
            let held = self.heads.get(&shard).map(|head| head.epoch);
            let lost = seen.owner != me || held.is_some_and(|epoch| epoch != seen.head.epoch);
            #[cfg(feature = "planted-bugs")]
            let lost = lost && !shared_events::planted::is("append-without-epoch");
            if lost && self.heads.remove(&shard).is_some() {
                self.lease.release(shard);
                // Events that others append to it are not cached here.
                self.tail.forget();
                tracing::warn!(shard, owner = seen.owner, "shard lost");
            }
            // All that we sent was answered, so its head is the one we know, or it has another
            // history.
            let unchanged = |head: &Head| {
                head.epoch != seen.head.epoch
                    || (head.position, head.hash) == (seen.head.position, seen.head.hash)
            };
            if !self.uncertain && self.heads.get(&shard).is_some_and(|head| !unchanged(head)) {
                self.heads.remove(&shard);
                self.lease.release(shard);
                set_back = true;
            }
            // Nothing is in flight: all we sent is answered, and no other process may write.
            if seen.owner == me && !self.heads.contains_key(&shard) && !self.uncertain && !set_back
            {
                // An epoch that we have had before may belong to another history.
                if self.known.get(&shard).is_none_or(|known| known.epoch < seen.head.epoch) {
                    if self.lease.hold_given(shard) {
                        self.adopt(seen.head.clone());
                    }
                } else {
                    set_back = true;
                }
            }
            if !self.heads.contains_key(&shard) {
                self.lower(&seen.head);
            }
        }
        if set_back {
            // Adopted in a fresh epoch, which reveals the loss.
            self.uncertain = true;
            self.next_rebalance = Instant::now();
        }
        self.publish();
        self.publish_ownership(Some(&view));
        Ok(view)
    }

    pub(super) fn publish_ownership(&self, view: Option<&View>) {
        let tenures = self.heads.keys().filter_map(|shard| self.tenures.get_key_value(shard));
        let tenures: BTreeMap<u16, u64> = tenures.map(|(shard, epoch)| (*shard, *epoch)).collect();
        // A single writer keeps everything until it ends.
        let lease = self.node.as_ref().map(|_| &self.lease);
        self.ownership.send_if_modified(|known| {
            let mut next = known.clone();
            next.set_ours(&self.holds, tenures, lease);
            if let Some(view) = view {
                next.learn_from(view);
            }
            let news = next.differs(known);
            *known = next;
            news
        });
        self.scope.send_if_modified(|known| {
            // The shards of all writers of this process together, as seen by the one that published
            // last.
            let ours = if self.node.is_some() {
                Scope::Only(self.ownership.borrow().shards())
            } else {
                Scope::All
            };
            let news = *known != ours;
            *known = ours;
            news
        });
    }
}
