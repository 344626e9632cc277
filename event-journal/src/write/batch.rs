//! Turns requests into a batch: positions and the hash chain are assigned here.

use std::collections::HashMap;

use super::request::Request;
use super::writer::Writer;
use crate::chain::chain_hash;
use crate::error::JournalError;
use crate::event::{Appended, ChainedEvent, StoredEvent};
use crate::id::StreamId;
use crate::shards::shard_of;
use crate::store::{Batch, Fence, Head};

/// A batch and the answers for when it is committed.
pub(super) struct Sealed {
    pub(super) batch: Batch,
    pub(super) answers: Vec<Result<Appended, JournalError>>,
    pub(super) versions: HashMap<StreamId, u64>,
}

impl Writer {
    /// Gives every event its sequence, position and hash. A request whose stream is not at the
    /// expected version gets its conflict; several of one stream may follow each other.
    pub(super) fn seal(&mut self, requests: &[Request]) -> Sealed {
        // Time never runs backwards along the journal, whatever the clock does.
        self.recorded_at = self.recorded_at.max((self.now)());
        let recorded_at = self.recorded_at;
        let mut heads: HashMap<u16, Head> = HashMap::new();
        let mut versions: HashMap<StreamId, u64> = HashMap::new();
        let mut events = Vec::with_capacity(requests.iter().map(|r| r.events.len()).sum());
        let mut answers = Vec::with_capacity(requests.len());
        let mut keys = Vec::new();
        for request in requests {
            let stream_id = request.stream_id;
            let known =
                versions.get(&stream_id).or_else(|| self.versions.peek(&stream_id)).copied();
            if known.is_some_and(|version| version != request.expected) {
                answers.push(Err(JournalError::Conflict {
                    stream_id,
                    expected: request.expected,
                    actual: known,
                }));
                continue;
            }
            let shard = shard_of(stream_id, self.shards);
            // A decision from an earlier tenure may have missed what others appended in between.
            let outdated = self.tenures.get(&shard) != Some(&request.tenure);
            let Some(current) = self.heads.get(&shard).filter(|_| !outdated) else {
                answers.push(Err(JournalError::NotOwner { shard }));
                continue;
            };
            let head = heads.entry(shard).or_insert_with(|| current.clone());
            let mut version = request.expected;
            for new in &request.events {
                version += 1;
                head.position += 1;
                let event = StoredEvent {
                    stream_id,
                    sequence: version,
                    shard,
                    position: head.position,
                    recorded_at,
                    event_type: new.event_type().to_owned(),
                    event_version: new.event_version().to_owned(),
                    payload: new.payload().to_owned(),
                    metadata: new.metadata().to_owned(),
                };
                head.hash = chain_hash(&head.hash, &event);
                events.push(ChainedEvent { hash: head.hash, event });
                keys.extend(new.keys().iter().map(|key| (key.clone(), stream_id)));
            }
            versions.insert(stream_id, version);
            answers.push(Ok(Appended { version, shard, position: head.position, recorded_at }));
        }
        let mut fences: Vec<Fence> = heads
            .into_iter()
            .filter_map(|(shard, after)| {
                let before = self.heads.get(&shard)?.clone();
                Some(Fence { before, after })
            })
            .collect();
        fences.sort_by_key(|fence| fence.after.shard);
        Sealed { batch: Batch { fences, events, keys }, answers, versions }
    }
}
