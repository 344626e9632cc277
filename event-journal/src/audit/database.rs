//! Audits a complete database: in one pass where possible, shard by shard otherwise.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::links::Chain;
use super::report::{Audit, Damage, DamageKind};
use super::sweep::Sweep;
use super::walk::Auditing;
use crate::chain::GENESIS;
use crate::error::JournalError;
use crate::files::{Archive, Archived};
use crate::id::StreamId;
use crate::store::{Head, Rows, Store};

/// Pieces of a table that wait to be processed.
const PIECES_AHEAD: usize = 4;

/// Events ahead of the heads that an audit names, per database; one is enough to know.
const BEYOND_MAX: u32 = 100;

impl Audit {
    /// Reads everything of a database up to these heads, and hands every event to `each`: archived
    /// events too, where an archive is given.
    pub(crate) async fn database(
        &mut self,
        store: &Arc<dyn Store>,
        archive: Option<&Archive>,
        heads: Vec<Head>,
        each: &mut (impl FnMut(StreamId, u16, u64) + Send),
    ) -> Result<(), JournalError> {
        let files = store.archives().await?;
        let swept = sweep(store, &heads, &files, each).await?;
        for head in heads {
            let mut auditing =
                Auditing { store: &**store, archive, each: &mut *each, audit: &mut *self };
            let mut chain = Chain::new(head.shard);
            for file in files.iter().filter(|file| file.shard == head.shard) {
                auditing.file(&mut chain, file).await?;
            }
            match swept.sound(head.shard) {
                Some(events) => auditing.audit.events += events,
                None => auditing.table(&mut chain, &head).await?,
            }
        }
        self.beyond(&**store).await?;
        if store.archives().await? == files {
            Ok(())
        } else {
            Err(JournalError::Unavailable("events were archived meanwhile; try again".to_owned()))
        }
    }

    /// Reads a shard without archived events up to its head and hands every event to `each`.
    /// Continues after damage.
    pub(crate) async fn shard(
        &mut self,
        store: &dyn Store,
        head: Head,
        each: &mut (impl FnMut(StreamId, u16, u64) + Send),
    ) -> Result<(), JournalError> {
        let mut auditing = Auditing { store, archive: None, each, audit: self };
        auditing.table(&mut Chain::new(head.shard), &head).await
    }

    /// Reports events at positions that no writer can have written.
    async fn beyond(&mut self, store: &dyn Store) -> Result<(), JournalError> {
        for (shard, position, stream_id) in store.beyond_heads(BEYOND_MAX).await? {
            self.damages.push(Damage {
                shard: u16::try_from(shard).unwrap_or(u16::MAX),
                position,
                stream_id: StreamId::recorded(&stream_id).ok(),
                kind: DamageKind::Beyond,
            });
        }
        Ok(())
    }
}

/// Reads a whole table in one pass, after the archived positions. Reports no shard as sound where
/// that is not possible, or where a row cannot be read.
async fn sweep(
    store: &Arc<dyn Store>,
    heads: &[Head],
    files: &[Archived],
    each: &mut (impl FnMut(StreamId, u16, u64) + Send),
) -> Result<Sweep, JournalError> {
    let begins_after = |shard| {
        let last = files.iter().rfind(|file| file.shard == shard);
        last.map_or((0, GENESIS), |file| (file.last, file.last_hash))
    };
    let mut sweep = Sweep::new(heads, begins_after);
    let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let store = Arc::clone(store);
    let copying = shared_events::stream::spawn(async move { store.sweep(sender).await });
    let mut rows = Rows::default();
    while let Some(piece) = pieces.recv().await {
        match rows.piece(&piece, |copied| sweep.event(copied, each)) {
            Ok(()) => {}
            Err(JournalError::Broken { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    drop(pieces);
    copying.await.map_err(|error| JournalError::Unavailable(error.to_string()))??;
    Ok(sweep)
}
