//! What operators are told, as metrics.

use std::time::Duration;

use futures::future::join_all;
use shared_events::contract::{Reason, Timestamp};
use shared_events::metric::{Page, table};
use shared_events::stream::DeadLetters;
use tokio::time::{Instant, timeout_at};

use super::followers::STORES_ANSWER_WITHIN;
use super::{AdminEdge, FollowerEntry};

/// Longer than this nothing is read about one follower, so that the others are told.
const EACH_WITHIN: Duration = Duration::from_secs(3);
/// Reasons of refusals that are about who calls.
const OF_CALLER: [Reason; 2] = [Reason::Unauthenticated, Reason::Forbidden];

impl AdminEdge {
    /// Health and refusals, as `GetHealth` has them.
    pub(crate) fn observe(&self, page: &mut Page) {
        let health = &self.parts.health;
        table::SERVING.is(page, [], *health.serving().borrow());
        for part in health.reasons().into_keys() {
            table::HEALTH_REASONS.is(page, [&part, "reason"], 1_u64);
        }
        for part in health.alarms().into_keys() {
            table::HEALTH_REASONS.is(page, [&part, "alarm"], 1_u64);
        }
        let mut denied = OF_CALLER.map(|reason| (reason.code(), 0_u64));
        for refused in self.parts.accounts.refusals() {
            table::CALLS_REFUSED.is(page, [&refused.method, refused.reason], refused.count);
            for (reason, count) in &mut denied {
                if *reason == refused.reason {
                    *count = count.saturating_add(refused.count);
                }
            }
        }
        for (reason, count) in denied {
            table::AUTH_DENIED.is(page, [reason], count);
        }
        for entry in &self.parts.followers {
            let (status, name) = (&entry.status, [entry.status.name()]);
            table::FOLLOWER_STILL.is(page, name, status.still_for());
            let stopped = status.is_stopped() || status.failure().is_some();
            table::FOLLOWER_STOPPED.is(page, name, stopped);
        }
    }

    /// The lag and the dead letters of this process's followers, as `ListFollowers` has them. What
    /// a store does not tell is absent.
    pub(crate) async fn observe_followers(&self) -> Page {
        let now = (self.parts.now)();
        let each = self.parts.followers.iter().map(|entry| self.observe_follower(entry, now));
        let mut page = Page::default();
        for of_one in join_all(each).await {
            page.extend(&of_one);
        }
        page
    }

    async fn observe_follower(&self, entry: &FollowerEntry, now: Timestamp) -> Page {
        let begun = Instant::now();
        let until = begun + EACH_WITHIN;
        let known = self.follower_without_letters(entry, begun + STORES_ANSWER_WITHIN).await;
        let mut page = Page::default();
        let name = [known.name.as_str()];
        if known.head_known {
            table::LAG_POSITIONS.is(&mut page, name, known.lag);
        }
        let since = known.oldest_waiting_since.and_then(|since| time_of(&since));
        match since {
            Some(since) => table::LAG_SECONDS.is(&mut page, name, now.since(since)),
            None if known.head_known && known.lag == 0 => {
                table::LAG_SECONDS.is(&mut page, name, Duration::ZERO);
            }
            None => {}
        }
        if let Some(database) = &entry.database
            && let letters = DeadLetters::new(database.clone())
            && let Ok(Ok(by_state)) = timeout_at(until, letters.by_state(&known.name)).await
        {
            for (state, counted) in by_state {
                let labels = [known.name.as_str(), state.code()];
                let letters = counted.map_or(0, |(letters, _)| letters);
                table::DEAD_LETTERS.is(&mut page, labels, u64::from(letters));
                let age = counted.map_or(Duration::ZERO, |(_, since)| now.since(since));
                table::DEAD_LETTER_AGE.is(&mut page, labels, age);
            }
        }
        page
    }
}

fn time_of(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let micros = time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(time.nanos) / 1_000)?;
    Timestamp::checked_from_micros(micros)
}
