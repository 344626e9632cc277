//! A writer among others: takes the shards that are its own to take, hands over those that others
//! are to have, and tells who has what.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared_events::stream::Scope;
use tokio::time::{Instant, timeout};

use super::share::plan;
use super::writer::Writer;
use crate::error::JournalError;
use crate::store::{Head, Sight};

impl Writer {
    /// Looks at the shards where others write too: lets go of those that are lost, takes those that
    /// are ours to take, hands over those that others are to have. What fails is tried again at the
    /// next look.
    pub(super) async fn look(&mut self) {
        if self.node.is_none() {
            return;
        }
        // Given up anywhere, the database tells at the next look what came of it.
        let patience = self.lease.length();
        let looked = timeout(patience, self.share_out(!self.left.is_cancelled())).await;
        let failed = match looked {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        match &failed {
            Some(error) if !self.look_failed => {
                tracing::warn!(error, "the shards could not be looked at; it is tried again");
            }
            None if self.look_failed => tracing::info!("the shards can be looked at again"),
            _ => {}
        }
        self.look_failed = failed.is_some();
    }

    /// Gives everything to those who stay; what nobody can take is kept.
    pub(super) async fn leave(&mut self) {
        let store = Arc::clone(&self.store);
        let (Some(_), Some(shared)) = (&self.node, store.shared()) else {
            self.left.cancel();
            return;
        };
        let patience = self.lease.length();
        let left = async {
            shared.leave().await?;
            self.share_out(false).await
        };
        match timeout(patience, left).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "shards were not handed over; their leases will run out");
            }
            Err(_) => tracing::warn!("shards were not handed over in time"),
        }
        self.left.cancel();
    }

    pub(super) async fn share_out(&mut self, stays: bool) -> Result<(), JournalError> {
        let store = Arc::clone(&self.store);
        let (Some(node), Some(shared)) = (self.node.clone(), store.shared()) else {
            return Ok(());
        };
        let length = self.lease.length();
        let me = store.owner().to_owned();
        let mut sight = self.sight().await?;
        if stays && !sight.nodes.iter().any(|seen| seen.id == me) {
            shared.join(&node, length).await?;
            sight = self.sight().await?;
        }
        let plan = plan(&sight, &me);
        for shard in plan.take {
            let Some(seen) = sight.shards.iter().find(|seen| seen.head.shard == shard) else {
                continue;
            };
            let since = Instant::now();
            let above = self.known.get(&shard).map_or(0, |head| head.epoch);
            if let Some(head) = shared.claim_one(seen, above, length).await? {
                tracing::info!(shard, epoch = head.epoch, "shard taken");
                self.lease.hold(shard, since);
                self.has_lost(&head);
                self.take_up(head);
            }
        }
        let mut gone = Vec::new();
        for (shard, to) in plan.give {
            if let Some(head) = self.heads.remove(&shard) {
                self.lease.let_go(shard);
                self.tail.forget();
                if let Some(seen) = sight.shards.iter_mut().find(|seen| seen.head.shard == shard) {
                    seen.owner.clone_from(&to);
                }
                gone.push((head, to));
            }
        }
        // Nobody is answered here for what is handed over before it is.
        self.publish();
        self.tell_ownership(Some(&sight));
        for (head, to) in gone {
            tracing::info!(shard = head.shard, to, "shard handed over");
            // Until it is answered it may arrive at any time: then we must not take the shard up
            // again in the epoch that it names.
            let before = std::mem::replace(&mut self.uncertain, true);
            shared.give(&head, &to, length).await?;
            self.uncertain = before;
        }
        Ok(())
    }

    /// A shard is ours from here on; others may have written to it since we last knew its streams.
    pub(super) fn take_up(&mut self, head: Head) {
        self.versions.clear();
        self.tenures.insert(head.shard, head.epoch);
        self.known.insert(head.shard, head.clone());
        self.heads.insert(head.shard, head);
    }

    /// Sees who has what, lets go of what is lost and takes up what was handed over.
    pub(super) async fn sight(&mut self) -> Result<Sight, JournalError> {
        let store = Arc::clone(&self.store);
        let shared = store.shared().ok_or(JournalError::Superseded)?;
        let sight = timeout(self.lease.length() / 2, shared.look(self.lease.grace()))
            .await
            .map_err(|_| JournalError::Unavailable("no answer".to_owned()))??;
        let me = store.owner();
        let mut set_back = false;
        for seen in &sight.shards {
            let shard = seen.head.shard;
            let held = self.heads.get(&shard).map(|head| head.epoch);
            let lost = seen.owner != me || held.is_some_and(|epoch| epoch != seen.head.epoch);
            #[cfg(feature = "planted-bugs")]
            let lost = lost && !shared_events::planted::is("append-without-epoch");
            if lost && self.heads.remove(&shard).is_some() {
                self.lease.let_go(shard);
                // What others write to it is not remembered here.
                self.tail.forget();
                tracing::warn!(shard, owner = seen.owner, "shard lost");
            }
            // All that we sent was answered, so it stands where we left it, or has another history.
            let stands = |head: &Head| {
                head.epoch != seen.head.epoch
                    || (head.position, head.hash) == (seen.head.position, seen.head.hash)
            };
            if !self.uncertain && self.heads.get(&shard).is_some_and(|head| !stands(head)) {
                self.heads.remove(&shard);
                self.lease.let_go(shard);
                set_back = true;
            }
            // Not in doubt: what we sent before is answered, and nobody else may write.
            if seen.owner == me && !self.heads.contains_key(&shard) && !self.uncertain && !set_back
            {
                // An epoch that we have had before may have been of another history.
                if self.known.get(&shard).is_none_or(|known| known.epoch < seen.head.epoch) {
                    if self.lease.hold_given(shard) {
                        self.take_up(seen.head.clone());
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
            // Taken up in a fresh epoch, which says what was lost.
            self.uncertain = true;
            self.next_look = Instant::now();
        }
        self.publish();
        self.tell_ownership(Some(&sight));
        Ok(sight)
    }

    pub(super) fn tell_ownership(&self, sight: Option<&Sight>) {
        let tenures = self.heads.keys().filter_map(|shard| self.tenures.get_key_value(shard));
        let tenures: BTreeMap<u16, u64> = tenures.map(|(shard, epoch)| (*shard, *epoch)).collect();
        // Whoever is alone keeps everything until the writer ends.
        let lease = self.node.as_ref().map(|_| &self.lease);
        self.ownership.send_if_modified(|known| {
            let mut next = known.clone();
            next.set_ours(&self.holds, tenures, lease);
            if let Some(sight) = sight {
                next.saw(sight);
            }
            let news = next.differs(known);
            *known = next;
            news
        });
        self.scope.send_if_modified(|known| {
            // What all writers of this process have together, seen by whoever tells last.
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
