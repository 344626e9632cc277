//! A handle on the journal, and what all its clones share.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use shared_events::contract::Timestamp;
use shared_events::stream::{Cursors, Scope};
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::append_health::AppendHealth;
use crate::error::JournalError;
use crate::id::StreamId;
use crate::keys::Fingerprints;
use crate::options::Options;
use crate::shards::shard_of;
use crate::spread::Database;
use crate::store::Chronicle;
use crate::write::{LostTail, Ownership, Tail};

/// A handle on the journal; clones are cheap and share one writer per database. When the last one
/// is dropped the writers finish what they accepted, release their leases and stop.
#[derive(Clone)]
pub struct Journal {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    /// One per database.
    pub(super) databases: Vec<Database>,
    pub(super) shards: u16,
    pub(super) committed: watch::Sender<Cursors>,
    pub(super) tail: Arc<Tail>,
    pub(super) lost_tails: watch::Sender<Vec<LostTail>>,
    pub(super) ownership: watch::Sender<Ownership>,
    pub(super) scope: watch::Sender<Scope>,
    pub(super) leaving: CancellationToken,
    /// Before `lost`, where another process is the reason.
    pub(super) taken_over: CancellationToken,
    pub(super) lost: CancellationToken,
    pub(super) closing: CancellationToken,
    /// The latest state of the journal's history that the databases reported.
    pub(super) last_chronicle: watch::Sender<Option<Chronicle>>,
    /// Per database, once it has been asked.
    pub(super) ids_by_position: Vec<OnceCell<BTreeMap<u16, u64>>>,
    /// Per database, once it has been asked.
    pub(super) fingerprints: Vec<OnceCell<Fingerprints>>,
    pub(super) options: Options,
    pub(super) append_health: AppendHealth,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Journal {
    /// The shard of a stream. Stable: BLAKE3 of its id modulo the number of shards, which is fixed
    /// when the journal is created.
    #[must_use]
    pub fn shard_of(&self, stream_id: impl Into<StreamId>) -> u16 {
        shard_of(stream_id.into(), self.shared.shards)
    }

    /// The number of shards.
    pub fn shards(&self) -> u16 {
        self.shared.shards
    }

    /// The shards that are ours, as the scope of their followers; changes with them.
    #[must_use]
    pub fn scope(&self) -> watch::Receiver<Scope> {
        self.shared.scope.subscribe()
    }

    /// Which shards are ours, and which nodes have the others; follows every change.
    #[must_use]
    pub fn ownership(&self) -> watch::Receiver<Ownership> {
        self.shared.ownership.subscribe()
    }

    /// Committed events that the databases have lost, by shard, since this journal was opened: the
    /// journal continues as another history. Changes with every loss that is found.
    #[must_use]
    pub fn lost_tails(&self) -> watch::Receiver<Vec<LostTail>> {
        self.shared.lost_tails.subscribe()
    }

    /// The epoch in which a shard became ours; none where it is not ours.
    #[must_use]
    pub fn tenure(&self, shard: u16) -> Option<u64> {
        self.shared.ownership.borrow().tenure(shard)
    }

    /// Completes when this writer has been superseded or its lease ran out. It appends nothing
    /// more; the process should end.
    pub fn stopped(&self) -> WaitForCancellationFutureOwned {
        self.shared.lost.clone().cancelled_owned()
    }

    /// Whether another process has taken the journal over.
    pub fn is_superseded(&self) -> bool {
        self.shared.taken_over.is_cancelled()
    }

    /// Changes whenever this process discards its cached state of the databases, because their
    /// history may have changed. A holder of derived state must discard it too.
    pub fn generation(&self) -> u64 {
        self.shared.tail.generation()
    }

    /// Finishes what was accepted, releases the lease and closes every connection. Later appends
    /// get [`JournalError::Closed`].
    pub async fn close(&self) {
        self.shared.closing.cancel();
        join_all(self.databases().iter().map(Database::close)).await;
    }

    /// The database of a shard.
    pub(crate) fn database(&self, shard: u16) -> Result<&Database, JournalError> {
        let all = self.databases().iter();
        all.into_iter().find(|one| one.holds.contains(shard)).ok_or_else(|| no_such_shard(shard))
    }

    pub(crate) fn databases(&self) -> &[Database] {
        &self.shared.databases
    }

    pub(crate) fn last_chronicle(&self) -> &watch::Sender<Option<Chronicle>> {
        &self.shared.last_chronicle
    }

    pub(crate) fn tail(&self) -> &Tail {
        &self.shared.tail
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.shared.options.now)()
    }

    pub(crate) fn append_health(&self) -> &AppendHealth {
        &self.shared.append_health
    }

    pub(super) fn stopped_error(&self) -> JournalError {
        if self.shared.lost.is_cancelled() {
            JournalError::Superseded
        } else {
            JournalError::Closed
        }
    }
}

pub(super) fn no_such_shard(shard: u16) -> JournalError {
    JournalError::Broken { shard, position: 0, detail: "there is no such shard".to_owned() }
}
