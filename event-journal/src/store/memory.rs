//! A store in memory, with the same laws, for simulation.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use shared_events::chance::Chance;
use shared_events::contract::Timestamp;
use tokio::time::{Instant, sleep};

use super::head::{Batch, Claim, Claimed, CommitError, Head, Loaded, News, Range, Renewed};
use super::port::{Notes, Reads, Renewal, Store};
use crate::chain::GENESIS;
use crate::error::JournalError;
use crate::event::{ChainedEvent, Quarantined, StoredEvent, UniqueKey};
use crate::id::StreamId;

/// Faults of the next commits of a [`MemoryDisk`], one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The commit takes this long.
    Slow(Duration),
    /// The connection is lost before the commit.
    LostBefore,
    /// The connection is lost after the commit.
    LostAfter,
}

/// The simulated disk of a journal in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    owner: String,
    lease_until: Option<Instant>,
    heads: Vec<Head>,
    shards: Vec<Vec<ChainedEvent>>,
    streams: HashMap<StreamId, Vec<StoredEvent>>,
    quarantined: Vec<Quarantined>,
    keys: BTreeMap<UniqueKey, StreamId>,
    faults: VecDeque<Fault>,
    renewals_fail: bool,
    events_read: usize,
    streams_read: usize,
}

impl MemoryDisk {
    /// Plans the fault of the next commit without one.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// Whether renewals of leases fail from now on.
    pub fn fail_renewals(&self, fail: bool) {
        self.lock().renewals_fail = fail;
    }

    /// Events that were read by position so far; reads of one stream are counted by
    /// [`Self::streams_read`].
    #[must_use]
    pub fn events_read(&self) -> usize {
        self.lock().events_read
    }

    /// How often one stream was read so far.
    #[must_use]
    pub fn streams_read(&self) -> usize {
        self.lock().streams_read
    }

    /// Changes a stored event behind the journal's back; false where it does not exist.
    pub fn tamper(&self, shard: u16, position: u64, change: impl FnOnce(&mut StoredEvent)) -> bool {
        let mut state = self.lock();
        let index = usize::try_from(position).unwrap_or(usize::MAX).wrapping_sub(1);
        let found = state.shards.get_mut(usize::from(shard)).and_then(|log| log.get_mut(index));
        found.map(|chained| change(&mut chained.event)).is_some()
    }

    // No code panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct MemoryStore {
    disk: MemoryDisk,
    owner: String,
}

impl MemoryStore {
    pub(crate) fn new(disk: &MemoryDisk, chance: &Chance) -> Self {
        Self { disk: disk.clone(), owner: format!("ordinal-{}", chance.uuid()) }
    }

    fn commit_now(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut state = self.disk.lock();
        for fence in &batch.fences {
            if state.heads.get(usize::from(fence.before.shard)) != Some(&fence.before) {
                return Err(CommitError::Superseded);
            }
        }
        let mut versions: HashMap<StreamId, u64> = HashMap::new();
        for ChainedEvent { event, .. } in &batch.events {
            let stored = || state.streams.get(&event.stream_id).map_or(0, |all| all.len() as u64);
            let version = versions.entry(event.stream_id).or_insert_with(stored);
            *version += 1;
            if *version != event.sequence {
                return Err(CommitError::Conflict);
            }
        }
        let mut taken = HashSet::new();
        for (key, _) in &batch.keys {
            if state.keys.contains_key(key) || !taken.insert(key) {
                return Err(CommitError::KeyTaken);
            }
        }
        state.keys.extend(batch.keys.iter().cloned());
        for chained in &batch.events {
            let event = &chained.event;
            state.streams.entry(event.stream_id).or_default().push(event.clone());
            if let Some(log) = state.shards.get_mut(usize::from(event.shard)) {
                log.push(chained.clone());
            }
        }
        for fence in &batch.fences {
            if let Some(head) = state.heads.get_mut(usize::from(fence.after.shard)) {
                *head = fence.after.clone();
            }
        }
        Ok(())
    }
}

struct MemoryRenewal {
    disk: MemoryDisk,
    owner: String,
}

#[async_trait]
impl Renewal for MemoryRenewal {
    async fn renew(&mut self, lease: Duration) -> Result<Renewed, CommitError> {
        let mut state = self.disk.lock();
        if state.owner != self.owner {
            return Err(CommitError::Superseded);
        }
        if state.renewals_fail {
            return Err(CommitError::Unavailable("as planned".to_owned()));
        }
        state.lease_until = Some(Instant::now() + lease);
        Ok(Renewed::Everything)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn claim(
        &self,
        claim: Claim,
        shards: u16,
        lease: Duration,
    ) -> Result<Claimed, JournalError> {
        let mut state = self.disk.lock();
        let now = Instant::now();
        let alive = state.lease_until.is_some_and(|until| until > now);
        match claim {
            Claim::Own if state.owner != self.owner => return Err(JournalError::Superseded),
            Claim::Vacant if alive => return Ok(Claimed::Held(state.owner.clone())),
            _ => {}
        }
        if state.heads.is_empty() {
            state.heads = (0..shards)
                .map(|shard| Head { shard, epoch: 0, position: 0, hash: GENESIS })
                .collect();
            state.shards = vec![Vec::new(); usize::from(shards)];
        }
        for head in &mut state.heads {
            head.epoch += 1;
        }
        state.owner.clone_from(&self.owner);
        state.lease_until = Some(now + lease);
        Ok(Claimed::Taken(state.heads.clone()))
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn renewal(&self) -> Box<dyn Renewal> {
        Box::new(MemoryRenewal { disk: self.disk.clone(), owner: self.owner.clone() })
    }

    /// Its clock is the runtime's.
    fn renews_on_own_thread(&self) -> bool {
        false
    }

    async fn release(&self) {
        let mut state = self.disk.lock();
        if state.owner == self.owner {
            state.lease_until = None;
        }
    }

    async fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        let fault = self.disk.lock().faults.pop_front();
        match fault {
            None => self.commit_now(batch),
            Some(Fault::Slow(duration)) => {
                sleep(duration).await;
                self.commit_now(batch)
            }
            Some(Fault::LostBefore) => Err(CommitError::Unknown("as planned".to_owned())),
            Some(Fault::LostAfter) => {
                self.commit_now(batch)?;
                Err(CommitError::Unknown("as planned".to_owned()))
            }
        }
    }

    fn announce(&self) {}

    async fn announced(&self) -> News {
        std::future::pending().await
    }

    async fn close(&self) {}
}

#[async_trait]
impl Reads for MemoryStore {
    async fn versions(&self, streams: &[StreamId]) -> Result<HashMap<StreamId, u64>, JournalError> {
        let state = self.disk.lock();
        Ok(streams
            .iter()
            .filter_map(|id| Some((*id, state.streams.get(id)?.last()?.sequence)))
            .collect())
    }

    async fn load(&self, stream_id: StreamId) -> Result<Loaded, JournalError> {
        let mut state = self.disk.lock();
        state.streams_read += 1;
        let events = state.streams.get(&stream_id).cloned();
        Ok(Loaded::whole(events.unwrap_or_default()))
    }

    async fn heads(&self) -> Result<Vec<Head>, JournalError> {
        Ok(self.disk.lock().heads.clone())
    }

    async fn read(&self, ranges: &[Range]) -> Result<Vec<ChainedEvent>, JournalError> {
        let mut state = self.disk.lock();
        let mut events = Vec::new();
        for range in ranges {
            let index = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
            let log = state.shards.get(usize::from(range.shard));
            let found = log.and_then(|log| log.get(index(range.after)..index(range.through)));
            events.extend_from_slice(found.unwrap_or_default());
        }
        state.events_read += events.len();
        Ok(events)
    }

    /// Memory is never damaged.
    async fn next_after(&self, _shard: u16, _after: u64) -> Result<Option<u64>, JournalError> {
        Ok(None)
    }

    async fn beyond_heads(&self, _limit: u32) -> Result<Vec<(u64, u64, String)>, JournalError> {
        Ok(Vec::new())
    }

    async fn holders(
        &self,
        keys: &[UniqueKey],
    ) -> Result<HashMap<UniqueKey, StreamId>, JournalError> {
        let state = self.disk.lock();
        let holder = |key: &UniqueKey| Some((key.clone(), *state.keys.get(key)?));
        Ok(keys.iter().filter_map(holder).collect())
    }

    async fn unique_keys(
        &self,
        after: Option<&UniqueKey>,
        limit: u32,
    ) -> Result<Vec<(UniqueKey, StreamId)>, JournalError> {
        let state = self.disk.lock();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = state.keys.range::<UniqueKey, _>((after, Bound::Unbounded));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(range.take(limit).map(|(key, stream_id)| (key.clone(), *stream_id)).collect())
    }
}

#[async_trait]
impl Notes for MemoryStore {
    async fn quarantine(
        &self,
        stream_id: StreamId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), JournalError> {
        let mut state = self.disk.lock();
        let reason = reason.to_owned();
        match state.quarantined.iter_mut().find(|known| known.stream_id == stream_id) {
            Some(known) => known.reason = reason,
            None => state.quarantined.push(Quarantined { stream_id, reason, since: now }),
        }
        state.quarantined.sort_by_key(|known| known.stream_id);
        Ok(())
    }

    async fn quarantined(&self) -> Result<Vec<Quarantined>, JournalError> {
        Ok(self.disk.lock().quarantined.clone())
    }

    async fn count_quarantined(&self) -> Result<u64, JournalError> {
        Ok(u64::try_from(self.disk.lock().quarantined.len()).unwrap_or(u64::MAX))
    }
}
