use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared_events::chance::Chance;
use shared_events::contract::{Fact, Origin, Timestamp};
use shared_events::stream::redis::{Keep, Redis, Relay, retain};
use shared_events::stream::{
    Busy, Candidacy, Cursors, Database, DeadLetters, FollowStatus, Handler, Item, Pace, Pacing,
    Scope, Sink as _, Source, Transactional, follow_paced,
};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cores::Cores;
use super::service::Follower;
use crate::edge::admin::{FollowerEntry, ReadCursors, ReadOldest};

/// An emptied stream is refilled with this many of the last positions of its shard.
const REFILL: u64 = 1_000;
/// A source that takes longer to say its heads counts as unavailable; health asks it, too.
const HEADS_WITHIN: Duration = Duration::from_secs(2);
/// The pause of followers that an order waits for, where the cores are busy. The first item after a
/// quiet time is not delayed. Without a pause, items that arrive one by one would cost a commit and
/// round trips each, of which others have use then.
pub(super) const SOON: Duration = Duration::from_millis(5);
/// The followers and other background tasks of this process.
pub(super) struct Followers {
    tasks: TaskTracker,
    stop: CancellationToken,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    busy: Busy,
    chance: Chance,
    entries: Vec<FollowerEntry>,
}

impl Followers {
    pub(super) fn new(
        stop: CancellationToken,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        chance: Chance,
    ) -> Self {
        let cores = Cores::new();
        let busy: Busy = Arc::new(move || cores.busy());
        Self { tasks: TaskTracker::new(), stop, now, busy, chance, entries: Vec::new() }
    }

    /// Runs a task until it is stopped.
    pub(super) fn run<F: Future<Output = ()> + Send + 'static>(
        &self,
        task: impl FnOnce(CancellationToken) -> F,
    ) {
        self.tasks.spawn(task(self.stop.clone()));
    }

    /// A follower that one process runs at a time; the scope says whether it is this one.
    pub(super) fn start_one<T: Item, H: Handler<T>>(
        &mut self,
        follower: &'static Follower,
        database: &Database,
        source: Arc<dyn Source<T>>,
        handler: H,
    ) -> watch::Receiver<Scope> {
        let (candidacy, scope) = Candidacy::new(database.clone(), follower.name);
        let status = self.start(follower, database, source, scope.clone(), handler);
        self.run(|stop| candidacy.reporting_to(status).run(stop));
        scope
    }

    /// A follower of the shards in scope.
    pub(super) fn start<T: Item, H: Handler<T>>(
        &mut self,
        follower: &'static Follower,
        database: &Database,
        source: Arc<dyn Source<T>>,
        scope: watch::Receiver<Scope>,
        handler: H,
    ) -> FollowStatus {
        let Follower { name, pace, .. } = *follower;
        let mut sink = Transactional::new(name, database.clone(), handler, Arc::clone(&self.now));
        let stored = database.clone();
        let entry = FollowerEntry {
            status: FollowStatus::new(name),
            cursors: Arc::new(move || {
                let database = stored.clone();
                Box::pin(async move { Cursors::load(&database, name).await.ok() })
            }),
            heads: heads(&source),
            oldest: oldest(&source),
            database: Some(database.clone()),
        };
        let (status, stop) = (entry.status.clone(), self.stop.clone());
        let returned = status.clone();
        let pacing = self.pacing(name, pace);
        self.entries.push(entry);
        self.tasks.spawn(async move {
            // A broken source was logged and is in the status; other followers continue.
            let _ = follow_paced(&*source, &mut sink, &pacing, scope, &status, &stop).await;
        });
        returned
    }

    /// Relays facts to the streams of the shards in scope, and trims these streams.
    pub(super) fn relay(
        &mut self,
        name: &'static str,
        origin: Origin,
        source: Arc<dyn Source<Fact>>,
        scope: watch::Receiver<Scope>,
        redis: &Redis,
        keep: Keep,
    ) {
        let relay = {
            let (redis, source) = (redis.clone(), Arc::clone(&source));
            move || Relay::new(redis.clone(), origin, Arc::clone(&source), REFILL)
        };
        let mut sink = relay();
        let entry = FollowerEntry {
            status: FollowStatus::new(name),
            // The cursors are in the streams themselves, whichever process filled them.
            cursors: Arc::new(move || {
                let mut reader = relay();
                Box::pin(async move { reader.cursors().await.ok() })
            }),
            heads: heads(&source),
            oldest: oldest(&source),
            database: None,
        };
        let (status, stop) = (entry.status.clone(), self.stop.clone());
        self.entries.push(entry);
        let now = Arc::clone(&self.now);
        let log = Arc::clone(&source);
        let trimming = retain(
            redis.clone(),
            origin,
            log,
            scope.clone(),
            keep,
            move || now(),
            self.stop.clone(),
        );
        self.tasks.spawn(trimming);
        let pacing = self.pacing(name, Pace::WhileBusy(SOON));
        self.tasks.spawn(async move {
            let _ = follow_paced(&*source, &mut sink, &pacing, scope, &status, &stop).await;
        });
    }

    fn pacing(&self, name: &str, pace: Pace) -> Pacing {
        Pacing::new(pace, Arc::clone(&self.busy)).drawing_from(self.chance.of_part(name))
    }

    pub(super) fn entries(&self) -> Vec<FollowerEntry> {
        self.entries.clone()
    }

    pub(super) fn letters(&self) -> BTreeMap<String, DeadLetters> {
        let letters = |entry: &FollowerEntry| {
            let database = entry.database.clone()?;
            Some((entry.status.name().to_owned(), DeadLetters::new(database)))
        };
        self.entries.iter().filter_map(letters).collect()
    }

    pub(super) async fn join(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn heads<T: Item>(source: &Arc<dyn Source<T>>) -> ReadCursors {
    let source = Arc::clone(source);
    Arc::new(move || {
        let source = Arc::clone(&source);
        Box::pin(async move { timeout(HEADS_WITHIN, source.heads()).await.ok()?.ok() })
    })
}

fn oldest<T: Item>(source: &Arc<dyn Source<T>>) -> ReadOldest {
    let source = Arc::clone(source);
    Arc::new(move |cursors: Cursors| {
        let source = Arc::clone(&source);
        Box::pin(async move { source.oldest_after(&cursors).await.ok()? })
    })
}
