//! Tokens that were verified before: a repeated token costs one hash.
//! Never here: a token.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use shared_events::contract::Timestamp;

use crate::Identity;
use crate::claims::is_current;

/// Tokens that are remembered. One takes some 400 bytes, so 4 MB at the limit.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(9_999);

/// A token that was verified by the keys that its issuer had then.
struct Verified {
    identity: Arc<Identity>,
    /// The issuer's place in the settings.
    issuer: usize,
    /// The number of its keys' last change.
    generation: u64,
    leeway: Duration,
}

/// By the hash of the token.
pub(crate) struct Cache(Mutex<LruCache<[u8; 32], Verified>>);

impl Default for Cache {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(REMEMBERED_MAX)))
    }
}

impl Cache {
    /// The holder of a token that was verified before. Not if it has ended since, or if its issuer's
    /// keys have changed: then it is verified again.
    pub(crate) fn get(
        &self,
        hash: &[u8; 32],
        generations: impl Fn(usize) -> Option<u64>,
        now: Timestamp,
    ) -> Option<Arc<Identity>> {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tokens.get(hash)?;
        let counts = generations(known.issuer) == Some(known.generation)
            && is_current(known.identity.expires, known.leeway, now).is_ok();
        if counts {
            return Some(Arc::clone(&known.identity));
        }
        tokens.pop(hash);
        None
    }

    pub(crate) fn put(
        &self,
        hash: [u8; 32],
        identity: Arc<Identity>,
        (issuer, generation): (usize, u64),
        leeway: Duration,
    ) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.put(hash, Verified { identity, issuer, generation, leeway });
    }
}
