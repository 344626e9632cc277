use std::time::Duration;

use tokio::time::Instant;

/// Trouble is over once nothing has failed for this long: what fails and succeeds in turn is one.
const OVER_AFTER: Duration = Duration::from_secs(60);

/// What of a follower's failures the log says: when they have begun, and when they are over.
#[derive(Default)]
pub(super) struct Trouble {
    /// Failures since the last step that succeeded.
    in_a_row: u32,
    /// Failures since the log has said so, and when the last one was.
    told: Option<(u32, Instant)>,
}

impl Trouble {
    /// A step failed. Returns how many did just before it, and whether the log is to say so.
    pub(super) fn failed(&mut self) -> (u32, bool) {
        let before = self.in_a_row;
        self.in_a_row = before.saturating_add(1);
        let failures = self.told.map_or(0, |(failures, _)| failures);
        self.told = Some((failures.saturating_add(1), Instant::now()));
        (before, failures == 0)
    }

    /// A step succeeded. Returns how many had failed where that is over.
    pub(super) fn succeeded(&mut self) -> Option<u32> {
        self.in_a_row = 0;
        let over = self.told.take_if(|(_, last)| last.elapsed() >= OVER_AFTER);
        over.map(|(failures, _)| failures)
    }
}
