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
        let began = Instant::now();
        loop {
            let read = timeout(ANSWERS_WITHIN, (self.sample.look)()).await;
            self.took(read.ok(), began);
            tokio::time::sleep(self.sample.every).await;
        }
    }

    /// Keeps what was read. Where nothing came in time, old values say nothing of now; how old they
    /// are is told further on.
    fn took(&self, read: Option<Page>, began: Instant) {
        let mut last = self.last();
        let before = last.as_ref().map_or(began, |(_, at)| *at);
        *last = Some(match read {
            Some(read) => (read, Instant::now()),
            None => (Page::default(), before),
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    /// A database that hangs: what it said is not told any more, and the age goes on.
    #[tokio::test(start_paused = true)]
    async fn values_that_do_not_come_in_time_are_absent_and_old() {
        let answers = std::sync::atomic::AtomicBool::new(true);
        let look = move || match answers.swap(false, std::sync::atomic::Ordering::Relaxed) {
            true => {
                let mut page = Page::default();
                table::SERVING.is(&mut page, [], true);
                std::future::ready(page).boxed()
            }
            false => std::future::pending().boxed(),
        };
        let every = Duration::from_secs(5);
        let samples = Samples::new(vec![Sample { every, look: Box::new(look) }]);
        let stop = CancellationToken::new();
        let reading = crate::tasks::spawn(samples.clone().run(stop.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let page = samples.page().text();
        assert!(page.contains("ordinal_serving 1"), "{page}");
        tokio::time::sleep(Duration::from_secs(29)).await;
        let page = samples.page().text();
        assert!(!page.contains("ordinal_serving"), "{page}");
        assert!(page.contains("ordinal_sample_age_seconds 30"), "{page}");
        stop.cancel();
        reading.await.unwrap();
    }
}
