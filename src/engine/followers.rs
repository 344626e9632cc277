use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use shared_events::contract::Timestamp;
use shared_events::stream::{
    Candidacy, Cursors, Database, DeadLetters, FollowStatus, Handler, Item, Scope, Source,
    Transactional, follow,
};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::FollowerEntry;

/// Who is further behind than this has not caught up enough to serve.
const READY_WITHIN: u64 = 10_000;
/// A source that takes longer to answer counts as away.
const HEADS_WITHIN: Duration = Duration::from_secs(2);

pub(super) type Heads = Arc<dyn Fn() -> BoxFuture<'static, Option<Cursors>> + Send + Sync>;

/// The followers of this process, and whatever else runs until it is told to stop.
pub(super) struct Followers {
    tasks: TaskTracker,
    stop: CancellationToken,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    entries: Vec<(FollowStatus, Heads, Database)>,
}

impl Followers {
    pub(super) fn new(
        stop: CancellationToken,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self { tasks: TaskTracker::new(), stop, now, entries: Vec::new() }
    }

    /// Runs something until it is told to stop.
    pub(super) fn run<F: Future<Output = ()> + Send + 'static>(
        &self,
        task: impl FnOnce(CancellationToken) -> F,
    ) {
        self.tasks.spawn(task(self.stop.clone()));
    }

    /// A follower of which one process runs at a time.
    pub(super) fn start_one<T: Item, H: Handler<T>>(
        &mut self,
        name: &'static str,
        database: &Database,
        source: Arc<dyn Source<T>>,
        handler: H,
    ) {
        let (candidacy, scope) = Candidacy::new(database.clone(), name);
        self.run(|stop| candidacy.run(stop));
        self.start(name, database, source, scope, handler);
    }

    /// A follower of the shards in scope.
    pub(super) fn start<T: Item, H: Handler<T>>(
        &mut self,
        name: &'static str,
        database: &Database,
        source: Arc<dyn Source<T>>,
        scope: watch::Receiver<Scope>,
        handler: H,
    ) {
        let status = FollowStatus::new(name);
        let mut sink = Transactional::new(name, database.clone(), handler, Arc::clone(&self.now));
        let watched = Arc::clone(&source);
        let heads: Heads = Arc::new(move || {
            let source = Arc::clone(&watched);
            Box::pin(async move { timeout(HEADS_WITHIN, source.heads()).await.ok()?.ok() })
        });
        self.entries.push((status.clone(), heads, database.clone()));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // A broken source has been logged and stands in the status; the others go on.
            let _ = follow(&*source, &mut sink, scope, &status, &stop).await;
        });
    }

    pub(super) fn entries(&self) -> Vec<FollowerEntry> {
        let entry = |(status, heads, database): &(FollowStatus, Heads, Database)| FollowerEntry {
            status: status.clone(),
            heads: Arc::clone(heads),
            database: database.clone(),
        };
        self.entries.iter().map(entry).collect()
    }

    pub(super) fn letters(&self) -> BTreeMap<String, DeadLetters> {
        let letters = |(status, _, database): &(FollowStatus, Heads, Database)| {
            (status.name().to_owned(), DeadLetters::new(database.clone()))
        };
        self.entries.iter().map(letters).collect()
    }

    pub(super) async fn join(self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Whether every database here answers and no follower is far behind. What another service does
/// not answer keeps nobody from serving what is here.
pub(super) async fn ready(entries: &[FollowerEntry]) -> bool {
    for entry in entries {
        let Ok(cursors) = Cursors::load(&entry.database, entry.status.name()).await else {
            return false;
        };
        if let Some(heads) = (entry.heads)().await
            && cursors.behind(&heads) > READY_WITHIN
        {
            return false;
        }
    }
    true
}
