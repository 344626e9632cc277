//! Takes the shards of a database over when a writer to all of them starts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::JournalError;
use crate::options::Options;
use crate::shards::ShardSet;
use crate::store::{Claim, Claimed, Head, Store};

/// How often a waiting writer checks whether the other one has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Takes every shard of a database over, waiting for another writer's lease to run out.
pub(crate) async fn take_over(
    store: &dyn Store,
    options: &Options,
) -> Result<Vec<Head>, JournalError> {
    let until = Instant::now() + options.standby;
    let claim = if options.force_takeover { Claim::Force } else { Claim::Vacant };
    loop {
        match store.claim(claim, options.shards, options.lease).await? {
            Claimed::Taken(heads) => return Ok(heads),
            Claimed::Held(owner) if Instant::now() >= until => {
                return Err(JournalError::Unavailable(format!(
                    "another writer, {owner}, holds it"
                )));
            }
            Claimed::Held(_) => sleep(LOOK_EVERY).await,
        }
    }
}

/// The shards that a database should hold, in order.
pub(crate) fn complete(heads: Vec<Head>, holds: &ShardSet) -> Result<Vec<Head>, JournalError> {
    if heads.is_empty() {
        return Err(JournalError::Unavailable("the journal was never opened for writing".into()));
    }
    let surplus = heads.iter().map(|head| head.shard).find(|shard| !holds.contains(*shard));
    let missing = holds.iter().find(|shard| !heads.iter().any(|head| head.shard == *shard));
    if let Some(shard) = surplus.or(missing) {
        let detail = format!("its database is to hold shards {holds}");
        return Err(JournalError::Broken { shard, position: 0, detail });
    }
    Ok(heads)
}
