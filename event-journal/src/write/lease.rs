//! Our leases, and how long we may trust them. Leases decide liveness only; safety is the fence in
//! every append.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::options::Options;
use crate::store::{CommitError, Renewal};

/// Longer than any process lives.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How long we may trust that our shards are ours. Renewed in time by [`Lease::keep`], regardless
/// of load; read by the writer, and by readers that answer from memory. It is measured from when a
/// renewal was sent, by our own clock: the database's clock does not matter (see
/// docs/decisions/0017-a-lease-is-watched.md).
#[derive(Debug)]
pub(crate) struct Lease {
    length: Duration,
    every: Duration,
    most: Duration,
    /// False where no other process can take the shards while this one lives: then it never runs
    /// out.
    runs_out: bool,
    state: Mutex<State>,
    /// Wakes the writer to check the lease.
    news: Notify,
}

#[derive(Debug)]
struct State {
    renewed: Instant,
    tried: Instant,
    /// Whether the last renewal failed.
    failing: bool,
    superseded: bool,
    /// The shards that are ours among several nodes.
    held: BTreeMap<u16, Hold>,
}

#[derive(Debug)]
struct Hold {
    since: Instant,
    until: Instant,
}

/// The state of a writer's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    Valid,
    RanOut,
    Superseded,
}

impl Lease {
    /// A lease that was requested at `since`.
    pub(crate) fn new(options: &Options, runs_out: bool, since: Instant) -> Self {
        let held = BTreeMap::new();
        let state = State { renewed: since, tried: since, failing: false, superseded: false, held };
        Self {
            length: options.lease,
            every: options.renew,
            most: options.self_stop,
            runs_out,
            state: Mutex::new(state),
            news: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago it was last renewed; none where it never runs out.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.runs_out.then(|| self.lock().renewed.elapsed())
    }

    pub(crate) const fn length(&self) -> Duration {
        self.length
    }

    /// How often it is renewed, and how often the other nodes are checked.
    pub(crate) const fn every(&self) -> Duration {
        self.every
    }

    /// How soon a failed renewal is tried again.
    pub(crate) fn again(&self) -> Duration {
        self.every / 8
    }

    /// How much of a lease is left when its holder stops trusting it.
    pub(crate) const fn grace(&self) -> Duration {
        self.length.saturating_sub(self.most)
    }

    /// When it should be renewed next; sooner after a failure.
    fn due(&self) -> Instant {
        let state = self.lock();
        if state.tried > state.renewed {
            state.tried + self.again()
        } else {
            state.renewed + self.every
        }
    }

    /// It was extended by a call that began then.
    pub(crate) fn extended(&self, since: Instant) {
        let mut state = self.lock();
        state.renewed = state.renewed.max(since);
        state.tried = state.tried.max(since);
    }

    /// A shard is ours by a call that began then.
    pub(crate) fn hold(&self, shard: u16, since: Instant) {
        let until = since + self.most;
        self.lock().held.insert(shard, Hold { since: Instant::now(), until });
    }

    /// A shard was handed to us. Its giver extended the lease; we trust only our own last renewal.
    /// False where that is too long ago.
    pub(crate) fn hold_given(&self, shard: u16) -> bool {
        let mut state = self.lock();
        let (since, until) = (Instant::now(), state.renewed + self.most);
        let fits = since < until;
        if fits {
            state.held.insert(shard, Hold { since, until });
        }
        fits
    }

    pub(crate) fn release(&self, shard: u16) {
        self.lock().held.remove(&shard);
    }

    /// Whether a shard among several nodes is ours, as far as we may trust it.
    pub(crate) fn holds(&self, shard: u16) -> bool {
        self.lock().held.get(&shard).is_some_and(|hold| Instant::now() < hold.until)
    }

    /// Whether the last renewal failed.
    pub(crate) fn in_doubt(&self) -> bool {
        self.lock().failing
    }

    pub(crate) fn state(&self) -> LeaseState {
        let state = self.lock();
        if state.superseded {
            LeaseState::Superseded
        } else if self.runs_out && state.renewed.elapsed() >= self.most {
            LeaseState::RanOut
        } else {
            LeaseState::Valid
        }
    }

    /// When it runs out unless it is renewed.
    pub(crate) fn valid_until(&self) -> Instant {
        self.lock().renewed + if self.runs_out { self.most } else { FAR }
    }

    /// Returns when the writer should check the lease.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// A renewal that was sent then found these shards to be ours. A shard whose lease ran out
    /// meanwhile is not trusted again, and a missing one not any more, unless it came later.
    fn renewed(&self, sent: Instant, shards: Option<&BTreeSet<u16>>) {
        let mut state = self.lock();
        let (now, before) = (Instant::now(), state.held.len());
        state.renewed = state.renewed.max(sent);
        state.failing = false;
        if let Some(shards) = shards {
            state.held.retain(|shard, hold| {
                now < hold.until && (hold.since > sent || shards.contains(shard))
            });
            for (shard, hold) in &mut state.held {
                if shards.contains(shard) {
                    hold.until = hold.until.max(sent + self.most);
                }
            }
        }
        let news = state.held.len() != before;
        drop(state);
        if news {
            self.news.notify_one();
        }
    }

    /// Renews it whenever that is due, until it is superseded. Logs once when renewals begin to
    /// fail, and once when they succeed again.
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
                let mut state = self.lock();
                state.tried = sent;
                state.renewed + self.most
            };
            // Not longer than the lease may be trusted, but a process that was itself suspended may
            // ask.
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
                    self.lock().superseded = true;
                    self.news.notify_one();
                    return;
                }
                Ok(Err(error)) => format!("{error:?}"),
                Err(_) => "no answer in time".to_owned(),
            };
            self.lock().failing = true;
            if !failing {
                tracing::warn!(
                    error,
                    "the journal's lease could not be renewed; it is tried again"
                );
                self.news.notify_one();
            }
            failing = true;
        }
    }
}
