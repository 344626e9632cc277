//! Why this process cannot serve, if it cannot: every part raises and clears reasons of its own, and
//! the process serves while there is none. Each change is said once.
//! Never here: who asks, and what the parts look at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use inventory_stream::{DISCREPANCIES_KEPT, Reconciled};
use order_actor::journal::Journal;
use shared_events::contract::Timestamp;
use shared_events::stream::{
    Database, DeadLetters, Dialect, LETTERS_COUNTED, LettersWaiting, Pause,
};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::clock::Believed;
use super::files::Watch;
use super::followers::FollowerEntry;

/// Who is behind and has not moved for so long stands still; who moves catches up.
const STANDS_STILL: Duration = Duration::from_secs(30);
/// How often it is tried whether a file takes writes while it does.
const TRIED_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked for alarms. A look is one short read for each follower.
const ALARMS_EVERY: Duration = Duration::from_secs(3);
/// A store that takes longer than this is away.
const ANSWERS_WITHIN: Duration = Duration::from_secs(6);

/// The health of a process; clones are the same.
#[derive(Clone)]
pub(crate) struct Health {
    reasons: Arc<Mutex<BTreeMap<String, Reason>>>,
    /// What keeps it from nothing, and yet wants somebody.
    alarms: Arc<Mutex<BTreeMap<String, Reason>>>,
    serving: Arc<watch::Sender<bool>>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Why a part keeps the process from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// Why, for operators.
    pub(crate) text: String,
    /// Since when.
    pub(crate) since: Timestamp,
}

impl Health {
    /// Of a process that does not serve before it has been looked at.
    pub(crate) fn new(now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        let serving = Arc::new(watch::channel(false).0);
        Self { reasons: Arc::default(), alarms: Arc::default(), serving, now }
    }

    /// Raises a reason of a part, or clears it.
    pub(crate) fn set(&self, part: &str, trouble: Option<String>) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(text) => match reasons.get_mut(part) {
                // The words may differ from one try to the next; it is the same trouble.
                Some(known) => known.text = text,
                None => {
                    tracing::error!(part, reason = text, "cannot serve");
                    let since = (self.now)();
                    reasons.insert(part.to_owned(), Reason { text, since });
                }
            },
            None => {
                if reasons.remove(part).is_some() {
                    tracing::warn!(part, left = reasons.len(), "can serve again");
                }
            }
        }
    }

    /// Why it cannot serve, by part; none where it can.
    pub(crate) fn reasons(&self) -> BTreeMap<String, Reason> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Raises an alarm of a part, or ends it. Whoever raised it has said so in the log, once: of
    /// several processes that see it only the one whose it is.
    fn alarm(&self, part: &str, alarm: Option<Reason>) {
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        match alarm {
            Some(reason) => drop(alarms.insert(part.to_owned(), reason)),
            None => drop(alarms.remove(part)),
        }
    }

    /// What keeps it from nothing, and yet wants somebody, by part.
    pub(crate) fn alarms(&self) -> BTreeMap<String, Reason> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it serves, as it was last told.
    pub(crate) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// Tells whether it serves, by the reasons that there are.
    pub(crate) fn tell(&self) {
        self.say(self.reasons().is_empty());
    }

    /// It serves no longer, whatever works still: it is being stopped.
    pub(crate) fn stopping(&self) {
        self.say(false);
    }

    fn say(&self, now: bool) {
        self.serving.send_if_modified(|known| std::mem::replace(known, now) != now);
    }
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
    /// Stock, where it is here.
    pub(crate) stock: Option<Database>,
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
            health.set("clock", clock.trouble((health.now)()));
        }
        let journal = async {
            if let Some(journal) = &self.journal {
                let trouble = journal.trouble().await.map(|error| error.to_string());
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
            let (letters, sums) = (self.letters(), self.sums());
            // What does not answer has reasons of its own; an alarm stays as it was seen last.
            let _ = timeout(ANSWERS_WITHIN, async { tokio::join!(letters, sums) }).await;
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

    async fn sums(&self) {
        let Some(stock) = &self.stock else { return };
        let Ok(reconciled) = Reconciled::load(stock).await else { return };
        let differs = reconciled.filter(|reconciled| !reconciled.discrepancies.is_empty());
        self.health.alarm("stock", differs.as_ref().map(sums_differ));
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

fn sums_differ(reconciled: &Reconciled) -> Reason {
    let (count, more) = match reconciled.discrepancies.len() {
        DISCREPANCIES_KEPT => (DISCREPANCIES_KEPT, " or more"),
        count => (count, ""),
    };
    let first = reconciled.discrepancies.first();
    let first = first.map(ToString::to_string).unwrap_or_default();
    let text =
        format!("{count}{more} sums do not hold (ordinal verify names all); the first is {first}");
    Reason { text, since: reconciled.at }
}

/// What keeps a follower from ever catching up, as things are. Who is behind and moves is no trouble,
/// nor is who waits for another service, or for an operator who has paused it.
async fn follower(entry: &FollowerEntry) -> Option<String> {
    let status = &entry.status;
    if status.is_stopped() {
        let error = status.error().unwrap_or_default();
        return Some(format!("it has stopped for good: {error}"));
    }
    if let Some(trouble) = status.trouble().or_else(|| status.unled()) {
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
