//! Whether this process can serve, as callers are told: every part raises and clears reasons of its
//! own, and the process serves while there is none. Each change is said once.
//! Never here: what the parts look at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared_events::contract::Timestamp;
use tokio::sync::watch;

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
    pub(crate) fn alarm(&self, part: &str, alarm: Option<Reason>) {
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

    /// What time it is, as reasons say since when.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    fn say(&self, now: bool) {
        self.serving.send_if_modified(|known| std::mem::replace(known, now) != now);
    }
}
