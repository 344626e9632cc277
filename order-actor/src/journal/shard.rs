//! Who may write: taking the shards over when a writer starts, and believing in the lease.
//! Leases decide liveness only; safety is the fence in every append.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::JournalError;
use super::map::ShardSet;
use super::options::Options;
use super::store::{Claim, Claimed, CommitError, Head, Store};

/// How often a waiting writer looks whether the other one is gone.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Takes every shard of a database over, waiting for another writer's lease to run out.
pub(super) async fn take_over(
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

/// The shards that a database is to hold, one after the other.
pub(super) fn complete(heads: Vec<Head>, holds: &ShardSet) -> Result<Vec<Head>, JournalError> {
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

/// The writer's belief that its lease holds.
#[derive(Debug)]
pub(super) struct Lease {
    length: Duration,
    every: Duration,
    most: Duration,
    renewed: Instant,
    tried: Instant,
    /// What has been said of it: each change once, however often it is tried.
    said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    NotRenewed,
    Over,
}

impl Lease {
    /// A lease that was asked for at `since`.
    pub(super) const fn new(options: &Options, since: Instant) -> Self {
        Self {
            length: options.lease,
            every: options.renew,
            most: options.self_stop,
            renewed: since,
            tried: since,
            said: Said::Nothing,
        }
    }

    pub(super) const fn length(&self) -> Duration {
        self.length
    }

    /// When it should be renewed next; sooner after a failure.
    pub(super) fn due(&self) -> Instant {
        if self.tried > self.renewed {
            self.tried + self.every / 8
        } else {
            self.renewed + self.every
        }
    }

    /// It was extended by a call that began then.
    pub(super) fn extended(&mut self, since: Instant) {
        self.renewed = since;
        self.tried = since;
        if self.said != Said::Nothing {
            tracing::warn!("the journal's lease is renewed again");
            self.said = Said::Nothing;
        }
    }

    fn not_renewed(&mut self, why: &str) {
        if self.said == Said::Nothing {
            tracing::warn!(why, "the journal's lease was not renewed");
            self.said = Said::NotRenewed;
        }
    }

    /// Until when the writer may believe in it.
    pub(super) fn believed_until(&self) -> Instant {
        self.renewed + self.most
    }

    /// How much of a lease may be left of which its holder believes nothing any more.
    pub(super) const fn grace(&self) -> Duration {
        self.length.saturating_sub(self.most)
    }

    /// Renews it where that is due; an error where the writer has to stop.
    pub(super) async fn keep(&mut self, store: &dyn Store) -> Result<(), JournalError> {
        let now = Instant::now();
        if now >= self.due() {
            self.tried = now;
            // Not longer than the belief may last, but a writer that was itself asleep may ask.
            let patience =
                (self.renewed + self.most).saturating_duration_since(now).max(self.every / 2);
            match tokio::time::timeout(patience, store.renew(self.length)).await {
                Ok(Ok(())) => self.extended(now),
                Ok(Err(CommitError::Superseded)) => return Err(JournalError::Superseded),
                Ok(Err(error)) => self.not_renewed(&format!("{error:?}")),
                Err(_) => self.not_renewed("no answer in time"),
            }
        }
        if self.renewed.elapsed() >= self.most {
            if self.said != Said::Over {
                tracing::error!("the journal's lease has run out: nothing is appended without it");
                self.said = Said::Over;
            }
            return Err(JournalError::Superseded);
        }
        Ok(())
    }
}
