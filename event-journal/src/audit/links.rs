//! Follows one shard's chain of hashes, event by event.

use super::report::{Damage, DamageKind};
use crate::chain::{GENESIS, chain_hash};
use crate::event::ChainedEvent;

/// The state of one shard's chain.
pub(crate) struct Chain {
    shard: u16,
    pub(super) position: u64,
    // Unknown after a gap: the next event cannot be checked, later ones can.
    hash: Option<[u8; 32]>,
}

impl Chain {
    pub(crate) const fn new(shard: u16) -> Self {
        Self { shard, position: 0, hash: Some(GENESIS) }
    }

    pub(crate) fn next(&mut self, chained: &ChainedEvent) -> Vec<Damage> {
        let (position, stream_id) = (chained.event.position, Some(chained.event.stream_id));
        let mut damages: Vec<Damage> =
            self.reached(position.saturating_sub(1)).into_iter().collect();
        let damage = |kind| Damage { shard: self.shard, position, stream_id, kind };
        if position <= self.position {
            damages.push(damage(DamageKind::Twice));
        } else if self.hash.is_some_and(|hash| chain_hash(&hash, &chained.event) != chained.hash) {
            damages.push(damage(DamageKind::Changed));
        }
        self.position = self.position.max(position);
        self.hash = Some(chained.hash);
        damages
    }

    /// Everything up to here was read; positions that did not come are missing.
    pub(crate) fn reached(&mut self, position: u64) -> Option<Damage> {
        if position <= self.position {
            return None;
        }
        let first = self.position + 1;
        self.position = position;
        self.hash = None;
        let kind = DamageKind::Missing(position);
        Some(Damage { shard: self.shard, position: first, stream_id: None, kind })
    }

    /// Events before this position are elsewhere: the event there cannot be checked.
    pub(crate) fn skipped(&mut self, position: u64) {
        if position > self.position + 1 {
            self.position = position - 1;
            self.hash = None;
        }
    }

    /// Whether the chain came to this hash, as far as that is known.
    pub(crate) fn is_at(&self, hash: &[u8; 32]) -> bool {
        self.hash.is_none_or(|here| here == *hash)
    }

    /// The chain continues from here, regardless of what was read before.
    pub(crate) fn continue_from(&mut self, position: u64, hash: [u8; 32]) {
        self.position = position;
        self.hash = Some(hash);
    }

    /// The events from here on could not be read; the first readable one cannot be checked.
    pub(crate) fn unreadable(&mut self, position: u64) -> Option<Damage> {
        self.hash = None;
        let kind = DamageKind::Unreadable;
        Some(Damage { shard: self.shard, position, stream_id: None, kind })
    }

    pub(crate) fn ended(&self, head: &[u8; 32]) -> Option<Damage> {
        let (position, kind) = (self.position, DamageKind::End);
        (!self.is_at(head)).then_some(Damage { shard: self.shard, position, stream_id: None, kind })
    }
}
