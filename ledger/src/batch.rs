//! How every batch of the book begins, whoever asks for it.

use std::sync::Arc;

use shared_events::contract::Timestamp;
use shared_events::stream::{Database, DatabaseError, Tx};

use crate::domain::{AccountName, BookPart, Entry};
use crate::store::{self, Fence};

/// Locks the book until the transaction ends, reads what the batch touches, and ends holds whose
/// time is over. Returns the part, the writer's fence once the transaction is committed, and the
/// time of the batch: by the clock after the lock, and never before what was booked meanwhile.
pub(crate) async fn begin<'a>(
    database: &Database,
    tx: &mut Tx,
    fence: Option<Fence>,
    entries: impl Iterator<Item = &'a Entry> + Clone,
    opened: impl Iterator<Item = &'a AccountName>,
    now: &Arc<dyn Fn() -> Timestamp + Send + Sync>,
) -> Result<(BookPart, Fence, Timestamp), DatabaseError> {
    store::limit_waits(database, tx).await?;
    let (head, mine) = store::lock(tx, fence).await?;
    if fence.is_some_and(|earlier| earlier != mine) {
        tracing::debug!("another process has written the book since; taken over again");
    }
    let now = head.at.max(now());
    let mut part = store::part(database, tx, head, entries, opened, now).await?;
    part.expire(now);
    Ok((part, mine, now))
}
