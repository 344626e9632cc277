use shared_events::contract::OrderId;
use shared_events::stream::Cursors;

use super::chain::{GENESIS, chain_hash};
use super::error::JournalError;
use super::event::{ChainedEvent, StoredEvent};
use super::store::{Head, Range, Store};

/// What an audit of the journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// How far it looked.
    pub heads: Cursors,
    /// Events that were read.
    pub events: u64,
    /// What nobody can have written, by shard and position.
    pub damages: Vec<Damage>,
}

/// Events read at once when everything is verified.
const PAGE: u64 = 1_000;
/// Events beyond the heads that an audit names, of each database; one is enough to know.
const BEYOND_MAX: u32 = 100;

impl Audit {
    /// Reads a shard up to its head and hands every event to `each`. Goes on behind what is wrong.
    pub(super) async fn shard(
        &mut self,
        store: &dyn Store,
        head: Head,
        each: &mut (impl FnMut(&StoredEvent) + Send),
    ) -> Result<(), JournalError> {
        let mut chain = Chain::new(head.shard);
        let mut after = 0;
        while after < head.position {
            let through = head.position.min(after + PAGE);
            let range = Range { shard: head.shard, after, through };
            let events = match store.read(&[range]).await {
                Ok(events) => events,
                Err(JournalError::Broken { .. }) => {
                    self.damages.extend(chain.unreadable(after + 1));
                    after = through;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for chained in &events {
                self.damages.extend(chain.next(chained));
                self.events += 1;
                each(&chained.event);
            }
            after = through;
            if events.is_empty() {
                // A head that somebody moved may lie far away: straight on to what is there.
                let next = store.next_after(head.shard, through).await?;
                after = next.map_or(head.position, |next| next - 1).clamp(after, head.position);
            }
        }
        self.damages.extend(chain.reached(head.position));
        self.damages.extend(chain.ended(&head.hash));
        Ok(())
    }

    /// Names events where no writer can have put one.
    pub(super) async fn beyond(&mut self, store: &dyn Store) -> Result<(), JournalError> {
        for (shard, position, order_id) in store.beyond_heads(BEYOND_MAX).await? {
            self.damages.push(Damage {
                shard: u16::try_from(shard).unwrap_or(u16::MAX),
                position,
                order_id: order_id.parse().ok(),
                kind: DamageKind::Beyond,
            });
        }
        Ok(())
    }
}

/// A place of the journal that nobody can have written so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {position}: {kind}")]
pub struct Damage {
    /// The shard.
    pub shard: u16,
    /// The first position that is wrong.
    pub position: u64,
    /// Whose event stands there, if one does.
    pub order_id: Option<OrderId>,
    /// What is wrong.
    pub kind: DamageKind,
}

/// What is wrong at a place of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// No event stands there, up to this position.
    #[error("missing, up to position {0}")]
    Missing(u64),
    /// More than one event stands there.
    #[error("more than one event")]
    Twice,
    /// The event is not the one that was written there: changed, moved or inserted.
    #[error("not the event that was written there")]
    Changed,
    /// An event stands behind the shard's head, or in no shard: no writer has put it there.
    #[error("behind the head of its shard, where no writer has written")]
    Beyond,
    /// From here on, up to a page, events cannot be read.
    #[error("not readable as an event")]
    Unreadable,
    /// The last event is not the one that the shard's own row names.
    #[error("the chain does not end in the shard's hash")]
    End,
}

/// Follows one shard's chain, event by event.
pub(super) struct Chain {
    shard: u16,
    position: u64,
    // Unknown behind a gap: the next event cannot be judged, those after it can.
    hash: Option<[u8; 32]>,
}

impl Chain {
    pub(super) const fn new(shard: u16) -> Self {
        Self { shard, position: 0, hash: Some(GENESIS) }
    }

    pub(super) fn next(&mut self, chained: &ChainedEvent) -> Vec<Damage> {
        let (position, order_id) = (chained.event.position, Some(chained.event.order_id));
        let mut damages: Vec<Damage> =
            self.reached(position.saturating_sub(1)).into_iter().collect();
        let damage = |kind| Damage { shard: self.shard, position, order_id, kind };
        if position <= self.position {
            damages.push(damage(DamageKind::Twice));
        } else if self.hash.is_some_and(|hash| chain_hash(&hash, &chained.event) != chained.hash) {
            damages.push(damage(DamageKind::Changed));
        }
        self.position = self.position.max(position);
        self.hash = Some(chained.hash);
        damages
    }

    /// Everything up to here was read; what did not come is missing.
    pub(super) fn reached(&mut self, position: u64) -> Option<Damage> {
        if position <= self.position {
            return None;
        }
        let first = self.position + 1;
        self.position = position;
        self.hash = None;
        let kind = DamageKind::Missing(position);
        Some(Damage { shard: self.shard, position: first, order_id: None, kind })
    }

    /// The events from here on could not be read; the next one that can cannot be judged.
    pub(super) fn unreadable(&mut self, position: u64) -> Option<Damage> {
        self.hash = None;
        let kind = DamageKind::Unreadable;
        Some(Damage { shard: self.shard, position, order_id: None, kind })
    }

    pub(super) fn ended(&self, head: &[u8; 32]) -> Option<Damage> {
        let differs = self.hash.is_some_and(|hash| hash != *head);
        let (position, kind) = (self.position, DamageKind::End);
        differs.then_some(Damage { shard: self.shard, position, order_id: None, kind })
    }
}
