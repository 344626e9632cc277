//! Whether this process can serve. Every part raises and clears reasons of its own; the process
//! serves while there are none. Each change is logged once.
//! Never here: the checks themselves (see `engine/health`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared_events::contract::Timestamp;
use tokio::sync::watch;

/// The health of a process; clones are the same.
#[derive(Clone)]
pub(crate) struct Health {
    reasons: Arc<Mutex<BTreeMap<String, Reason>>>,
    /// Conditions that need attention and do not keep the process from serving.
    alarms: Arc<Mutex<BTreeMap<String, Reason>>>,
    serving: Arc<watch::Sender<bool>>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// Why a part keeps the process from serving, or needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// Why, for operators.
    pub(crate) text: String,
    /// Since when.
    pub(crate) since: Timestamp,
}

impl Health {
    /// Of a process that does not serve before its first check.
    pub(crate) fn new(now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> Self {
        let serving = Arc::new(watch::channel(false).0);
        Self { reasons: Arc::default(), alarms: Arc::default(), serving, now }
    }

    /// Raises a reason of a part, or clears it.
    pub(crate) fn set(&self, part: &str, failure: Option<String>) {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            Some(text) => match reasons.get_mut(part) {
                // The text may differ from one check to the next; it is the same failure.
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

    /// Why it cannot serve, by part; empty if it can.
    pub(crate) fn reasons(&self) -> BTreeMap<String, Reason> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Raises an alarm of a part, or clears it. The process that owns the alarm logs it, once; the
    /// others that see it do not.
    pub(crate) fn alarm(&self, part: &str, alarm: Option<Reason>) {
        let mut alarms = self.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        match alarm {
            Some(reason) => drop(alarms.insert(part.to_owned(), reason)),
            None => drop(alarms.remove(part)),
        }
    }

    /// Conditions that need attention and do not keep it from serving, by part.
    pub(crate) fn alarms(&self) -> BTreeMap<String, Reason> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it serves, as last published.
    pub(crate) fn serving(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// Publishes whether it serves: whether there are no reasons against it.
    pub(crate) fn publish(&self) {
        self.set_serving(self.reasons().is_empty());
    }

    /// Reports that it serves no longer, because it is being stopped.
    pub(crate) fn stopping(&self) {
        self.set_serving(false);
    }

    /// The clock that reasons take their time from.
    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    fn set_serving(&self, now: bool) {
        self.serving.send_if_modified(|known| std::mem::replace(known, now) != now);
    }
}
