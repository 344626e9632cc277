//! What keeps this process from serving, looked for again and again in everything it stands on.
//! Never here: who is told (see `edge/health`).

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use order_actor::journal::Journal;
use shared_events::stream::{
    Database, DeadLetters, Dialect, LETTERS_COUNTED, LettersWaiting, Pause,
};
use tokio::time::{Instant, timeout};

use super::clock::Believed;
use super::files::Watch;
use crate::edge::admin::FollowerEntry;
use crate::edge::health::{Health, Reason};

/// Who is behind and has not moved for so long stands still; who moves catches up.
const STANDS_STILL: Duration = Duration::from_secs(30);
/// How often it is tried whether a file takes writes while it does.
const TRIED_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked for alarms. A look is one short read for each follower.
const ALARMS_EVERY: Duration = Duration::from_secs(3);
/// A store that takes longer than this is away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(6);

/// What a service wants somebody for, and what yet keeps it from nothing.
pub(crate) struct Alarm {
    /// What it is called.
    pub(crate) part: &'static str,
    /// Why, if at all; none where that cannot be said now.
    pub(crate) look: Box<dyn Fn() -> BoxFuture<'static, Option<Option<Reason>>> + Send + Sync>,
}

/// What is looked at, again and again.
pub(crate) struct Checks {
    pub(crate) health: Health,
    pub(crate) followers: Vec<FollowerEntry>,
    pub(crate) databases: Vec<Stored>,
    pub(crate) journal: Option<Journal>,
    pub(crate) files: Option<Watch>,
    pub(crate) clock: Option<Arc<Believed>>,
    /// The journal's doubt when it was looked at last.
    pub(crate) doubt: Option<String>,
    /// What services of this process want somebody for.
    pub(crate) of_services: Vec<Alarm>,
    /// When alarms were looked for last.
    pub(crate) alarmed: Option<Instant>,
}

/// A service's database, and when it was last seen to take writes.
pub(crate) struct Stored {
    pub(crate) name: &'static str,
    pub(crate) database: Database,
    good: Option<Instant>,
}

impl Stored {
    pub(crate) const fn new(name: &'static str, database: Database) -> Self {
        Self { name, database, good: None }
    }

    async fn trouble(&mut self) -> Option<String> {
        // On SQLite it costs a commit.
        let dear = self.database.dialect() == Dialect::Sqlite;
        if dear && self.good.is_some_and(|good| good.elapsed() < TRIED_EVERY) {
            return None;
        }
        let trouble = match timeout(ANSWERS_WITHIN, self.database.takes_writes()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no write within {ANSWERS_WITHIN:?}")),
        };
        self.good = trouble.is_none().then(Instant::now);
        trouble
    }
}

impl Checks {
    /// Returns once the journal is doubted that was not when it was looked at last, or no more.
    pub(crate) async fn doubt_changed(&self) {
        match &self.journal {
            Some(journal) => journal.doubt_other_than(self.doubt.as_deref()).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at everything once, and tells.
    pub(crate) async fn look(&mut self) {
        self.doubt = self.journal.as_ref().and_then(Journal::doubt);
        let health = &self.health;
        if let Some(files) = &self.files {
            health.set("files", files.trouble());
        }
        if let Some(clock) = &self.clock {
            health.set("clock", clock.trouble(health.now()));
        }
        let journal = async {
            if let Some(journal) = &self.journal {
                let trouble = journal.failure().await.map(|error| error.to_string());
                let doubt = self.doubt.as_ref().map(|why| {
                    format!("it was set back and nobody has accepted that (ordinal journal restored): {why}")
                });
                health.set("journal", doubt.or(trouble));
            }
        };
        let databases = join_all(self.databases.iter_mut().map(|stored| async {
            let part = format!("database {}", stored.name);
            health.set(&part, stored.trouble().await);
        }));
        let followers = join_all(self.followers.iter().map(|entry| async {
            let part = format!("follower {}", entry.status.name());
            let looked = timeout(ANSWERS_WITHIN, follower(entry)).await;
            let silent = |_| Some("its database does not answer".to_owned());
            health.set(&part, looked.unwrap_or_else(silent));
        }));
        tokio::join!(journal, databases, followers);
        if self.alarmed.is_none_or(|looked| looked.elapsed() >= ALARMS_EVERY) {
            self.alarmed = Some(Instant::now());
            let (letters, others) = (self.letters(), self.of_services());
            // What does not answer has reasons of its own; an alarm stays as it was seen last.
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
            // One that does not answer has reasons of its own; the alarm stays as it was seen last.
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

/// What keeps a follower from ever catching up, as things are. Who is behind and moves is no trouble,
/// nor is who waits for another service, or for an operator who has paused it.
async fn follower(entry: &FollowerEntry) -> Option<String> {
    let status = &entry.status;
    if status.is_stopped() {
        let error = status.error().unwrap_or_default();
        return Some(format!("it has stopped for good: {error}"));
    }
    if let Some(trouble) = status.failure().or_else(|| status.lease_failure()) {
        return Some(trouble);
    }
    // What fills the streams keeps nobody from serving: readers ask the service.
    let database = entry.database.as_ref()?;
    if status.still_for() < STANDS_STILL {
        return None;
    }
    // A database that does not answer has a reason of its own.
    let Ok(None) = Pause::of(database, status.name()).await else { return None };
    let (cursors, heads) = ((entry.cursors)().await?, (entry.heads)().await?);
    let behind = cursors.behind(&heads);
    (behind > 0).then(|| {
        let error = status.error().map(|error| format!(": {error}")).unwrap_or_default();
        format!("it is behind and has not moved for {STANDS_STILL:?}{error}")
    })
}
