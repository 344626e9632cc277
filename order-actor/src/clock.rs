//! Time as an input: the only file that reads the machine's clock.
//! Never here: what a time means.

use std::time::Duration;

use async_trait::async_trait;
use shared_events::contract::Timestamp;
use tokio::sync::watch;

/// The engine's source of time.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
    /// Returns at this time or later.
    async fn wait_until(&self, time: Timestamp);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The machine's clock may be set during a wait, so no single wait is longer than this.
const WAIT_MAX: Duration = Duration::from_secs(1);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let now = jiff::Timestamp::now();
        Timestamp::from_micros(now.as_microsecond())
    }

    async fn wait_until(&self, time: Timestamp) {
        loop {
            let remaining = time.since(self.now());
            if remaining.is_zero() {
                return;
            }
            tokio::time::sleep(remaining.min(WAIT_MAX)).await;
        }
    }
}

/// A clock that only moves when it is advanced; clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock(watch::Sender<Timestamp>);

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn new(time: Timestamp) -> Self {
        Self(watch::Sender::new(time))
    }

    /// Advances it to this time; an earlier time changes nothing.
    pub fn advance_to(&self, time: Timestamp) {
        self.0.send_if_modified(|now| {
            let forward = time > *now;
            if forward {
                *now = time;
            }
            forward
        });
    }

    /// Advances it by this duration.
    pub fn advance(&self, duration: Duration) {
        self.advance_to(self.now().plus(duration));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn wait_until(&self, time: Timestamp) {
        // The sender lives as long as this borrow of the clock, so the channel cannot close.
        let _ = self.0.subscribe().wait_for(|now| *now >= time).await;
    }
}
