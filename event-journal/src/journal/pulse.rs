//! How appends have gone lately: what health asks a journal, which nobody may have appended to for
//! a while, or which refuses everybody.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::error::JournalError;
use crate::event::Appended;

/// What is remembered of the last appends.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<Beats>);

#[derive(Debug, Default)]
pub(crate) struct Beats {
    /// Since when every append was refused, and the last time and reason.
    pub(crate) refused: Option<(Instant, Instant, JournalError)>,
    /// When it was last known that it takes writes.
    pub(crate) good: Option<Instant>,
}

impl Pulse {
    /// An append ended so.
    pub(crate) fn heard(&self, outcome: &Result<Appended, JournalError>) {
        let now = Instant::now();
        match outcome {
            Ok(_) => {
                self.with(|beats| *beats = Beats { refused: None, good: Some(now) });
            }
            Err(
                error @ (JournalError::Unavailable(_)
                | JournalError::OutcomeUnknown(_)
                | JournalError::WrongDatabase(_)
                | JournalError::Superseded),
            ) => self.with(|beats| {
                let since = beats.refused.as_ref().map_or(now, |(since, ..)| *since);
                beats.refused = Some((since, now, error.clone()));
            }),
            // The stream's or the caller's own.
            Err(_) => {}
        }
    }

    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Beats) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
