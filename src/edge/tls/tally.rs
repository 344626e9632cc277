use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two lines.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Events that strangers can cause as often as they like: one line a minute says how many.
#[derive(Default)]
pub(super) struct Tally(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    /// Since the last line.
    count: u64,
    last_line: Option<Instant>,
}

impl Tally {
    /// Counts one; how many there were since the last line, if it is time for another.
    pub(super) fn one_more(&self) -> Option<u64> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.count = counted.count.saturating_add(1);
        let now = Instant::now();
        if counted.last_line.is_some_and(|last| now < last + LINE_EVERY) {
            return None;
        }
        counted.last_line = Some(now);
        Some(std::mem::take(&mut counted.count))
    }
}
