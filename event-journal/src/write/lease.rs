//! The belief in a lease. Leases decide liveness only; safety is the fence in every append.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::options::Options;
use crate::store::{CommitError, Renewal};

/// Longer than any process lives.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The belief that our shards are ours. Kept in time by [`Lease::keep`], which no load holds up;
/// asked by the writer, and by whoever answers from memory. It is measured from when a renewal was
/// sent, by our own clock: what it was worth to the database's clock does not matter (see
/// docs/decisions/0017-a-lease-is-watched.md).
#[derive(Debug)]
pub(crate) struct Lease {
    length: Duration,
    every: Duration,
    most: Duration,
    /// Of what nobody else can take while this process lives it is not believed for a time only.
    runs_out: bool,
    belief: Mutex<Belief>,
    /// Something for the writer to look at.
    news: Notify,
}

#[derive(Debug)]
struct Belief {
    renewed: Instant,
    tried: Instant,
    /// The last try to renew it failed.
    failing: bool,
    superseded: bool,
    /// The shards among others.
    held: BTreeMap<u16, Hold>,
}

#[derive(Debug)]
struct Hold {
    since: Instant,
    until: Instant,
}

/// How it stands with the lease of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Believed,
    RanOut,
    Superseded,
}

impl Lease {
    /// A lease that was asked for at `since`.
    pub(crate) fn new(options: &Options, runs_out: bool, since: Instant) -> Self {
        let held = BTreeMap::new();
        let belief =
            Belief { renewed: since, tried: since, failing: false, superseded: false, held };
        Self {
            length: options.lease,
            every: options.renew,
            most: options.self_stop,
            runs_out,
            belief: Mutex::new(belief),
            news: Notify::new(),
        }
    }

    fn belief(&self) -> MutexGuard<'_, Belief> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn length(&self) -> Duration {
        self.length
    }

    /// How often it is renewed, and how often the others are looked at.
    pub(crate) const fn every(&self) -> Duration {
        self.every
    }

    /// How soon what failed is tried again.
    pub(crate) fn again(&self) -> Duration {
        self.every / 8
    }

    /// How much of a lease may be left of which its holder believes nothing any more.
    pub(crate) const fn grace(&self) -> Duration {
        self.length.saturating_sub(self.most)
    }

    /// When it should be renewed next; sooner after a failure.
    fn due(&self) -> Instant {
        let belief = self.belief();
        if belief.tried > belief.renewed {
            belief.tried + self.again()
        } else {
            belief.renewed + self.every
        }
    }

    /// It was extended by a call that began then.
    pub(crate) fn extended(&self, since: Instant) {
        let mut belief = self.belief();
        belief.renewed = belief.renewed.max(since);
        belief.tried = belief.tried.max(since);
    }

    /// A shard is ours by a call that began then.
    pub(crate) fn hold(&self, shard: u16, since: Instant) {
        let until = since + self.most;
        self.belief().held.insert(shard, Hold { since: Instant::now(), until });
    }

    /// A shard was handed to us. Its giver extended the lease; we believe what we did ourselves.
    /// False where that is too long ago.
    pub(crate) fn hold_given(&self, shard: u16) -> bool {
        let mut belief = self.belief();
        let (since, until) = (Instant::now(), belief.renewed + self.most);
        let fits = since < until;
        if fits {
            belief.held.insert(shard, Hold { since, until });
        }
        fits
    }

    pub(crate) fn let_go(&self, shard: u16) {
        self.belief().held.remove(&shard);
    }

    /// Whether a shard among others is ours, as far as we may believe it.
    pub(crate) fn holds(&self, shard: u16) -> bool {
        self.belief().held.get(&shard).is_some_and(|hold| Instant::now() < hold.until)
    }

    /// Whether the last try to renew it failed.
    pub(crate) fn in_doubt(&self) -> bool {
        self.belief().failing
    }

    pub(crate) fn standing(&self) -> Standing {
        let belief = self.belief();
        if belief.superseded {
            Standing::Superseded
        } else if self.runs_out && belief.renewed.elapsed() >= self.most {
            Standing::RanOut
        } else {
            Standing::Believed
        }
    }

    /// When it runs out unless it is renewed.
    pub(crate) fn believed_until(&self) -> Instant {
        self.belief().renewed + if self.runs_out { self.most } else { FAR }
    }

    /// Returns when there is something for the writer to look at.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// A renewal that was sent then found these shards to be ours. What ran out meanwhile is not
    /// believed again, and what is missing at once no more, unless it came later.
    fn renewed(&self, sent: Instant, shards: Option<&BTreeSet<u16>>) {
        let mut belief = self.belief();
        let (now, before) = (Instant::now(), belief.held.len());
        belief.renewed = belief.renewed.max(sent);
        belief.failing = false;
        if let Some(shards) = shards {
            belief.held.retain(|shard, hold| {
                now < hold.until && (hold.since > sent || shards.contains(shard))
            });
            for (shard, hold) in &mut belief.held {
                if shards.contains(shard) {
                    hold.until = hold.until.max(sent + self.most);
                }
            }
        }
        let news = belief.held.len() != before;
        drop(belief);
        if news {
            self.news.notify_one();
        }
    }

    /// Renews it whenever that is due, until it is superseded. Says once when that begins to fail,
    /// and once when it is good again.
    pub(crate) async fn keep(self: Arc<Self>, mut renewal: Box<dyn Renewal>) {
        let mut failing = false;
        loop {
            let due = self.due();
            if Instant::now() < due {
                sleep_until(due).await;
                continue;
            }
            let sent = Instant::now();
            let until = {
                let mut belief = self.belief();
                belief.tried = sent;
                belief.renewed + self.most
            };
            // Not longer than the belief may last, but one that was itself asleep may ask.
            let patience = until.saturating_duration_since(sent).max(self.every / 2);
            let error = match timeout(patience, renewal.renew(self.length)).await {
                Ok(Ok(renewed)) => {
                    self.renewed(sent, renewed.shards());
                    if failing {
                        tracing::info!("the journal's lease is renewed again");
                        self.news.notify_one();
                    }
                    failing = false;
                    continue;
                }
                Ok(Err(CommitError::Superseded)) => {
                    self.belief().superseded = true;
                    self.news.notify_one();
                    return;
                }
                Ok(Err(error)) => format!("{error:?}"),
                Err(_) => "no answer in time".to_owned(),
            };
            self.belief().failing = true;
            if !failing {
                tracing::warn!(error, "the journal's lease is not renewed; it is tried again");
                self.news.notify_one();
            }
            failing = true;
        }
    }
}
