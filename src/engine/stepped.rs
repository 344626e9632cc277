use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use order_actor::clock::{Clock, SystemClock};
use shared_events::contract::Timestamp;

/// How often the file is read.
const READ_EVERY: Duration = Duration::from_millis(100);

/// The machine's clock plus an offset in seconds from a file: simulates a clock that is set wrong
/// and right again.
pub struct SteppedClock {
    micros_off: Arc<AtomicI64>,
}

impl SteppedClock {
    /// With the offset in this file, or none while it does not exist. Must be called within a tokio
    /// runtime.
    #[must_use]
    pub fn by(file: PathBuf) -> Self {
        let read = |text: std::io::Result<String>| -> i64 {
            let seconds: i64 = text.unwrap_or_default().trim().parse().unwrap_or(0);
            seconds.saturating_mul(1_000_000)
        };
        // Read once here, so that no time is returned without the offset.
        let micros_off = Arc::new(AtomicI64::new(read(std::fs::read_to_string(&file))));
        let offset = Arc::downgrade(&micros_off);
        crate::tasks::spawn(async move {
            while let Some(offset) = offset.upgrade() {
                offset.store(read(tokio::fs::read_to_string(&file).await), Ordering::Relaxed);
                drop(offset);
                tokio::time::sleep(READ_EVERY).await;
            }
        });
        Self { micros_off }
    }
}

#[async_trait]
impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        let off = self.micros_off.load(Ordering::Relaxed);
        Timestamp::from_micros(SystemClock.now().micros().saturating_add(off))
    }

    async fn wait_until(&self, time: Timestamp) {
        while self.now() < time {
            tokio::time::sleep(time.since(self.now()).min(READ_EVERY)).await;
        }
    }
}
