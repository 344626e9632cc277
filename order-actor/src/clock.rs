//! Time as an input: the only file that asks the machine what time it is.
//! Never here: what a time means.

use std::time::Duration;

use async_trait::async_trait;
use shared_events::contract::Timestamp;
use tokio::sync::watch;

/// Where the engine's time comes from.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The time it is.
    fn now(&self) -> Timestamp;
    /// Returns once it is that time or later.
    async fn wait_until(&self, time: Timestamp);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The machine's clock may be set while somebody waits for it, so no wait is longer than this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let now = jiff::Timestamp::now();
        Timestamp::from_micros(now.as_microsecond())
    }

    async fn wait_until(&self, time: Timestamp) {
        loop {
            let left = time.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_AGAIN)).await;
        }
    }
}

/// A clock that stands still until somebody moves it; clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock(watch::Sender<Timestamp>);

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn new(time: Timestamp) -> Self {
        Self(watch::Sender::new(time))
    }

    /// Moves it forward; a time that has passed leaves it where it is.
    pub fn advance_to(&self, time: Timestamp) {
        self.0.send_if_modified(|now| {
            let forward = time > *now;
            if forward {
                *now = time;
            }
            forward
        });
    }

    /// Moves it forward by a while.
    pub fn advance(&self, while_: Duration) {
        self.advance_to(self.now().plus(while_));
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
