use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use shared_events::metric::{Page, table};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Longer than this no values are waited for; then they are absent.
const ANSWERS_WITHIN: Duration = Duration::from_secs(4);

/// Values that need a query, and how often they are read.
pub(crate) struct Sample {
    /// The pause between two reads.
    pub(crate) every: Duration,
    /// Reads them; what is not known is not on the page.
    pub(crate) look: Box<dyn Fn() -> BoxFuture<'static, Page> + Send + Sync>,
}

/// All samples of a process, with the values that were read last. Clones share them.
#[derive(Clone)]
pub(super) struct Samples(Arc<Vec<Taken>>);

struct Taken {
    sample: Sample,
    last: Mutex<Option<(Page, Instant)>>,
}

impl Samples {
    pub(super) fn new(samples: Vec<Sample>) -> Self {
        let taken = samples.into_iter().map(|sample| Taken { sample, last: Mutex::default() });
        Self(Arc::new(taken.collect()))
    }

    /// Reads until stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let each = join_all(self.0.iter().map(Taken::keep_reading));
        stop.run_until_cancelled(each).await;
    }

    /// The values that were read last, with their age.
    pub(super) fn page(&self) -> Page {
        let (mut page, mut oldest) = (Page::default(), None::<Duration>);
        for taken in self.0.iter() {
            if let Some((values, at)) = &*taken.last() {
                page.extend(values);
                oldest = oldest.max(Some(at.elapsed()));
            }
        }
        if let Some(age) = oldest {
            table::SAMPLE_AGE.is(&mut page, [], age);
        }
        page
    }
}

impl Taken {
    fn last(&self) -> std::sync::MutexGuard<'_, Option<(Page, Instant)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep_reading(&self) {
        loop {
            let read = timeout(ANSWERS_WITHIN, (self.sample.look)()).await.unwrap_or_default();
            *self.last() = Some((read, Instant::now()));
            tokio::time::sleep(self.sample.every).await;
        }
    }
}
