//! How appends have gone lately: what health asks a journal, which nobody may have appended to for a
//! while, or which refuses everybody.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::error::JournalError;
use super::event::Appended;
use super::handle::Journal;

/// Appends that are refused for longer than this are no accident.
const REFUSES_AFTER: Duration = Duration::from_secs(1);
/// A refusal that is older than this says nothing of now.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How often it is tried whether a journal takes writes that nobody has written to.
const TRIED_EVERY: Duration = Duration::from_secs(10);
const TAKES_WRITES_WITHIN: Duration = Duration::from_secs(5);

/// What is remembered of the last appends.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Beats>);

#[derive(Debug, Default)]
struct Beats {
    /// Since when every append was refused, and the last time and reason.
    refused: Option<(Instant, Instant, JournalError)>,
    /// When it was last known that it takes writes.
    good: Option<Instant>,
}

impl Pulse {
    /// An append ended so.
    pub(super) fn heard(&self, outcome: &Result<Appended, JournalError>) {
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
            // The order's or the caller's own.
            Err(_) => {}
        }
    }

    fn with<R>(&self, change: impl FnOnce(&mut Beats) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal {
    /// Why nothing can be appended here now, as far as is known; asked again and again. A journal that
    /// nobody has appended to for a while, or that refuses, is tried.
    pub async fn trouble(&self) -> Option<JournalError> {
        let pulse = self.pulse();
        let known = pulse.with(|beats| {
            let fresh = beats.good.is_some_and(|good| good.elapsed() < TRIED_EVERY);
            (fresh && beats.refused.is_none()).then_some(())
        });
        if known.is_some() {
            return self.lease_trouble();
        }
        let tried = timeout(TAKES_WRITES_WITHIN, self.takes_writes()).await.unwrap_or_else(|_| {
            Err(JournalError::Unavailable(format!("no write within {TAKES_WRITES_WITHIN:?}")))
        });
        if let Err(error) = tried {
            return Some(error);
        }
        // It takes writes; but what it refuses are appends.
        let refused = pulse.with(|beats| {
            beats.refused.take_if(|(_, last, _)| last.elapsed() > REMEMBERED);
            if beats.refused.is_none() {
                beats.good = Some(Instant::now());
            }
            beats.refused.clone()
        });
        match refused {
            Some((since, _, error)) if since.elapsed() >= REFUSES_AFTER => Some(error),
            _ => self.lease_trouble(),
        }
    }
}
