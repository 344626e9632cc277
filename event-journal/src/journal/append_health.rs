//! How recent appends went, for health: a journal may have had no appends for a while, or may
//! refuse all of them.

use std::sync::{Mutex, PoisonError};

use shared_events::metric::table::APPENDS_REFUSED;
use tokio::time::Instant;

use crate::error::JournalError;
use crate::event::Appended;

/// The state of recent appends.
#[derive(Debug, Default)]
pub(crate) struct AppendHealth(Mutex<Recent>);

#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Since when every append was refused, and the last time and reason.
    pub(crate) refused: Option<(Instant, Instant, JournalError)>,
    /// When it was last known to take writes.
    pub(crate) good: Option<Instant>,
}

impl AppendHealth {
    /// Of a journal that is opened. Refusals that somebody must look at are seen from the first on.
    pub(crate) fn begin() -> Self {
        let looked_at = [
            JournalError::Superseded,
            JournalError::Unavailable(String::new()),
            JournalError::OutcomeUnknown(String::new()),
            JournalError::WrongDatabase(String::new()),
        ];
        looked_at.iter().for_each(|error| APPENDS_REFUSED.may_be([error.code()]));
        Self::default()
    }

    /// Records how an append ended.
    pub(crate) fn record(&self, outcome: &Result<Appended, JournalError>) {
        if let Err(error) = outcome {
            APPENDS_REFUSED.one([error.code()]);
        }
        let now = Instant::now();
        match outcome {
            Ok(_) => {
                self.with(|recent| *recent = Recent { refused: None, good: Some(now) });
            }
            Err(
                error @ (JournalError::Unavailable(_)
                | JournalError::OutcomeUnknown(_)
                | JournalError::WrongDatabase(_)
                | JournalError::Superseded),
            ) => self.with(|recent| {
                let since = recent.refused.as_ref().map_or(now, |(since, ..)| *since);
                recent.refused = Some((since, now, error.clone()));
            }),
            // An error of the stream's or the caller's own.
            Err(_) => {}
        }
    }

    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Recent) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
