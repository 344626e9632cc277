//! Whether the clock of a process can be trusted when it starts. A clock that is years off would
//! cancel every open order immediately, so timers wait until it is right or an operator resumes
//! them.
//! Never here: the clock itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use order_actor::journal::{Journal, JournalError};
use shared_events::contract::Timestamp;
use shared_events::stream::Cursors;

use crate::edge::admin::Timers;

/// The newest event may be this much ahead of the clock: another node's clock was wrong for a
/// while.
const BEHIND_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The newest event may be this old.
const AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The time, as services are told it.
pub(super) type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Holds timers until the clock can be trusted.
#[derive(Debug)]
pub(crate) struct TrustedClock {
    /// When the newest event was recorded that is stored here, in microseconds since 1970; the least
    /// number where there is none.
    newest: AtomicI64,
    timers: Timers,
}

impl TrustedClock {
    /// Compares with what services of this process have stored, unless `trusted`.
    pub(crate) fn new(trusted: bool) -> Arc<Self> {
        Arc::new(Self { newest: AtomicI64::new(i64::MIN), timers: Timers::new(!trusted) })
    }

    /// Something was stored then.
    pub(crate) fn has_seen(&self, recorded: Option<Timestamp>) {
        if let Some(recorded) = recorded {
            self.newest.fetch_max(recorded.micros(), Ordering::AcqRel);
        }
    }

    /// Compares with the newest event of a journal, too.
    pub(crate) async fn compare_with(&self, journal: &Journal) {
        match newest(journal).await {
            Ok(newest) => self.has_seen(newest),
            Err(error) => {
                tracing::warn!(%error, "the clock was not compared with the newest event");
            }
        }
    }

    /// When the newest event was recorded, if the clock is far from that and nobody trusts it.
    fn far_from(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.timers.wait() {
            return None;
        }
        let newest = self.newest.load(Ordering::Acquire);
        let newest = (newest > i64::MIN).then(|| Timestamp::from_micros(newest));
        newest.filter(|newest| now.plus(BEHIND_MAX) < *newest || newest.plus(AHEAD_MAX) < now)
    }

    /// Why timers wait, if they do. They resume by themselves once the clock is right.
    pub(crate) fn failure(&self, now: Timestamp) -> Option<String> {
        let Some(newest) = self.far_from(now) else {
            self.timers.trust_clock();
            return None;
        };
        Some(format!(
            "the clock is at {now} and the newest event is from {newest}: timers wait until the clock \
             is set right, or for `ordinal timers resume`"
        ))
    }

    /// The time as services have it whose timers are in what they decide: it stands at the newest
    /// event while the clock cannot be trusted. So nothing of theirs is over by a wrong clock, and
    /// nothing is dated by it.
    pub(crate) fn standing(self: &Arc<Self>, now: Now) -> Now {
        let clock = Arc::clone(self);
        Arc::new(move || {
            let now = now();
            clock.far_from(now).unwrap_or(now)
        })
    }

    /// Whether timers wait.
    pub(crate) const fn timers(&self) -> &Timers {
        &self.timers
    }
}

/// When the newest event was recorded.
async fn newest(journal: &Journal) -> Result<Option<Timestamp>, JournalError> {
    let heads = journal.heads().await?;
    let before: Cursors = heads.iter().map(|(shard, at)| (shard, at.saturating_sub(1))).collect();
    let last = journal.read_after(&before, usize::from(journal.shards())).await?;
    Ok(last.iter().map(|event| event.recorded_at).max())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_where_the_clock_cannot_be_trusted() {
        let at = |days: u64| Timestamp::from_micros(0).plus(Duration::from_secs(days * 86_400));
        let of_machine = Arc::new(AtomicI64::new(at(1_000).micros()));
        let told = Arc::clone(&of_machine);
        let clock = TrustedClock::new(false);
        let now = Arc::new(move || Timestamp::from_micros(told.load(Ordering::SeqCst)));
        let time = clock.standing(now);
        assert_eq!(time(), at(1_000), "nothing is stored");
        clock.has_seen(Some(at(500)));
        clock.has_seen(Some(at(400)));
        assert_eq!(time(), at(500));
        assert!(clock.failure(at(1_000)).is_some());
        of_machine.store(at(501).micros(), Ordering::SeqCst);
        assert_eq!(time(), at(501), "it is right again");
        assert_eq!(clock.failure(at(501)), None);
        of_machine.store(at(1_000).micros(), Ordering::SeqCst);
        assert_eq!(time(), at(1_000), "once trusted, it is not compared again");
    }
}
