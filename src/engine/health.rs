//! Periodic checks of everything this process depends on.
//! Never here: how health is published (see `edge/health`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use order_actor::journal::Journal;
use shared_events::stream::{
    Database, DatabaseError, DeadLetters, Dialect, LETTERS_COUNTED, LettersWaiting, Pause, Reader,
};
use tokio::time::{Instant, timeout};

use super::clock::TrustedClock;
use super::files::Watch;
use super::gateway::Reached;
use super::service::Service;
use crate::edge::admin::FollowerEntry;
use crate::edge::health::{Health, Reason};

/// A lagging follower that has not moved for this long is stuck; one that moves is catching up.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// How often a write is tried in an SQLite file that last accepted one.
const WRITE_TRIED_EVERY: Duration = Duration::from_secs(10);
/// How often alarms are checked: one short read per follower.
const ALARMS_EVERY: Duration = Duration::from_secs(3);
/// A store that takes longer than this is unavailable.
const ANSWERS_WITHIN: Duration = Duration::from_secs(6);

/// A condition of a service that needs attention and does not keep it from serving.
pub(crate) struct Alarm {
    /// Its name.
    pub(crate) part: &'static str,
    /// Whether it holds, and why; the outer option is none if that cannot be read now.
    pub(crate) look: Box<dyn Fn() -> BoxFuture<'static, Option<Option<Reason>>> + Send + Sync>,
}

/// Everything that is checked.
pub(crate) struct Checks {
    pub(crate) health: Health,
    pub(crate) followers: Vec<FollowerEntry>,
    pub(crate) databases: Vec<Stored>,
    pub(crate) journal: Option<Journal>,
    pub(crate) files: Option<Watch>,
    pub(crate) clock: Option<Arc<TrustedClock>>,
    /// Whether other processes answer, of one that only forwards.
    pub(crate) reached: Option<Reached>,
    /// The journal's doubt at the last check.
    pub(crate) doubt: Option<String>,
    /// The alarms of this process's services.
    pub(crate) of_services: Vec<Alarm>,
    /// When alarms were checked last.
    pub(crate) alarmed: Option<Instant>,
}

/// A service's database, and when it last accepted a write.
pub(crate) struct Stored {
    pub(crate) name: &'static str,
    pub(crate) database: Database,
    good: Option<Instant>,
    /// Its service, and the database of orders, where that remembers which one it has.
    beside: Option<(&'static Service, Database)>,
}

impl Stored {
    pub(crate) const fn new(name: &'static str, database: Database) -> Self {
        Self { name, database, good: None, beside: None }
    }

    /// On Postgres, whether it was emptied is known from the database of orders, where that is in
    /// this process. The files of SQLite know each other.
    pub(crate) fn beside(mut self, service: &'static Service, orders: Option<&Database>) -> Self {
        let on_postgres = |orders: &&Database| orders.dialect() == Dialect::Postgres;
        let others = orders.filter(|_| !service.has_journal).filter(on_postgres);
        self.beside = others.map(|orders| (service, orders.clone()));
        self
    }

    /// Why it is not the database that the service had; a database that does not answer has its own
    /// reason.
    async fn strange(&mut self) -> Option<String> {
        let (service, orders) = self.beside.clone()?;
        let kept_in = service.store.kept_in;
        let met = async {
            let reader = Reader::of_service(&self.database, service.name, kept_in).await?;
            Ok::<_, DatabaseError>((reader.has_its_database(&orders).await?, reader.has_read))
        };
        let Ok(Ok((knows, is_used))) = timeout(ANSWERS_WITHIN, met).await else { return None };
        if knows && is_used {
            self.beside = None;
        }
        let advice = service.store.anew.map(|then| {
            format!(", or start once with --make-anew {} to go on without: {then}", service.name)
        });
        let advice = advice.unwrap_or_default();
        (!knows).then(|| format!("it is not the one that was used before: restore it{advice}"))
    }

    async fn failure(&mut self) -> Option<String> {
        // On SQLite a check costs a commit.
        let costly = self.database.dialect() == Dialect::Sqlite;
        if costly && self.good.is_some_and(|good| good.elapsed() < WRITE_TRIED_EVERY) {
            return None;
        }
        let failure = match timeout(ANSWERS_WITHIN, self.database.takes_writes()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no write within {ANSWERS_WITHIN:?}")),
        };
        self.good = failure.is_none().then(Instant::now);
        failure
    }
}

impl Checks {
    /// Returns once the journal's doubt differs from the last check.
    pub(crate) async fn doubt_changed(&self) {
        match &self.journal {
            Some(journal) => journal.doubt_other_than(self.doubt.as_deref()).await,
            None => std::future::pending().await,
        }
    }

    /// Checks everything once and sets the results.
    pub(crate) async fn check(&mut self) {
        self.doubt = self.journal.as_ref().and_then(Journal::doubt);
        let health = &self.health;
        if let Some(files) = &self.files {
            health.set("files", files.failure());
        }
        if let Some(clock) = &self.clock {
            health.set("clock", clock.failure(health.now()));
        }
        let journal = async {
            if let Some(journal) = &self.journal {
                let failure = journal.failure().await.map(|error| error.to_string());
                let doubt = self.doubt.as_ref().map(|why| {
                    format!(
                        "it was set back and not accepted yet (ordinal journal restored): {why}"
                    )
                });
                health.set("journal", doubt.or(failure));
            }
        };
        let databases = join_all(self.databases.iter_mut().map(|stored| async {
            let part = format!("database {}", stored.name);
            let failure = match stored.failure().await {
                None => stored.strange().await,
                failure => failure,
            };
            health.set(&part, failure);
        }));
        let followers = join_all(self.followers.iter().map(|entry| async {
            let part = format!("follower {}", entry.status.name());
            let looked = timeout(ANSWERS_WITHIN, follower(entry)).await;
            let silent = |_| Some("its database does not answer".to_owned());
            health.set(&part, looked.unwrap_or_else(silent));
        }));
        let reached = async {
            if let Some(reached) = &mut self.reached {
                health.set("orders", reached.failure().await);
            }
        };
        tokio::join!(journal, databases, followers, reached);
        if self.alarmed.is_none_or(|looked| looked.elapsed() >= ALARMS_EVERY) {
            self.alarmed = Some(Instant::now());
            let (letters, others) = (self.letters(), self.of_services());
            // A store that does not answer has its own reason; alarms keep their last state.
            let _ = timeout(ANSWERS_WITHIN, async { tokio::join!(letters, others) }).await;
        }
    }

    async fn letters(&self) {
        join_all(self.followers.iter().map(|entry| async {
            let (name, Some(database)) = (entry.status.name(), &entry.database) else { return };
            let Ok(waiting) = DeadLetters::new(database.clone()).waiting(name).await else {
                return;
            };
            self.health.alarm(&format!("follower {name}"), waiting.as_ref().map(letters_wait));
        }))
        .await;
    }

    async fn of_services(&self) {
        join_all(self.of_services.iter().map(|alarm| async {
            // A store that does not answer has its own reason; the alarm keeps its last state.
            if let Some(found) = (alarm.look)().await {
                self.health.alarm(alarm.part, found);
            }
        }))
        .await;
    }
}

fn letters_wait(waiting: &LettersWaiting) -> Reason {
    let LettersWaiting { letters, first, since } = waiting;
    let many = match *letters {
        1 => "1 dead letter waits".to_owned(),
        LETTERS_COUNTED => format!("{LETTERS_COUNTED} dead letters or more wait"),
        letters => format!("{letters} dead letters wait"),
    };
    let text = format!(
        "{many} for an operator; the first is {} of {}: {}",
        first.kind, first.subject, first.error
    );
    Reason { text, since: *since }
}

/// Why a follower cannot catch up. Not a failure: lagging while it moves, waiting for another
/// service, and being paused by an operator.
async fn follower(entry: &FollowerEntry) -> Option<String> {
    let status = &entry.status;
    if status.is_stopped() {
        let error = status.error().unwrap_or_default();
        return Some(format!("it has stopped permanently: {error}"));
    }
    if let Some(failure) = status.failure().or_else(|| status.lease_failure()) {
        return Some(failure);
    }
    // A relay does not keep the process from serving: readers fall back to the service's feed.
    let database = entry.database.as_ref()?;
    if status.still_for() < STUCK_AFTER {
        return None;
    }
    // A database that does not answer has its own reason.
    let Ok(None) = Pause::of(database, status.name()).await else { return None };
    let (cursors, heads) = ((entry.cursors)().await?, (entry.heads)().await?);
    let behind = cursors.behind(&heads);
    (behind > 0).then(|| {
        let error = status.error().map(|error| format!(": {error}")).unwrap_or_default();
        format!("it lags and has not moved for {STUCK_AFTER:?}{error}")
    })
}
