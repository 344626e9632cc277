//! How something is measured: many callers for a while, several times, contenders alternating.
//!
//! Never here: what is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Duration and number of runs.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Warm-up, which does not count.
    pub warm: Duration,
    /// One run.
    pub run: Duration,
    /// Runs of each contender; contenders alternate.
    pub rounds: usize,
    /// Whether this is a quick run.
    pub quick: bool,
    /// Whether the largest journals are measured, which takes longer than all the rest.
    pub large: bool,
}

impl Pace {
    /// Chooses between the full size and that of a quick run.
    pub const fn pick(&self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }
}

/// Minimum, median and maximum of several runs.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.as_slice() {
            [] => 0.0,
            some if some.len() % 2 == 1 => some[middle],
            some => (some[middle - 1] + some[middle]) / 2.0,
        };
        Self {
            min: values.first().copied().unwrap_or_default(),
            median,
            max: values.last().copied().unwrap_or_default(),
        }
    }

    /// A value that was measured once.
    pub fn once(value: f64) -> Self {
        Self::of([value])
    }
}

/// Latencies in microseconds.
pub type Latencies = Histogram<u64>;

/// An empty histogram of three digits.
pub fn latencies() -> anyhow::Result<Latencies> {
    Histogram::new(3).map_err(|error| anyhow::anyhow!("{error}"))
}

/// Microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// One run of one contender.
#[derive(Clone, Debug)]
pub struct Run {
    /// Operations per second.
    pub rate: f64,
    /// Their latencies.
    pub latencies: Latencies,
}

/// All runs of one contender.
#[derive(Clone, Debug)]
pub struct Runs(pub Vec<Run>);

impl Runs {
    /// Operations per second.
    pub fn rates(&self) -> Spread {
        Spread::of(self.0.iter().map(|run| run.rate))
    }

    /// A latency quantile in microseconds: of each run, and then the spread over the runs.
    pub fn quantile(&self, quantile: f64) -> Spread {
        #[expect(clippy::cast_precision_loss, reason = "a latency in microseconds")]
        Spread::of(self.0.iter().map(|run| run.latencies.value_at_quantile(quantile) as f64))
    }

    /// Ratio of the rates, round by round.
    pub fn times(&self, other: &Self) -> Spread {
        let pairs = self.0.iter().zip(&other.0);
        Spread::of(pairs.map(|(ours, theirs)| ours.rate / theirs.rate.max(f64::MIN_POSITIVE)))
    }

    /// Ratio of the latencies at a quantile, round by round.
    pub fn latency_times(&self, other: &Self, quantile: f64) -> Spread {
        let pairs = self.0.iter().zip(&other.0);
        #[expect(clippy::cast_precision_loss, reason = "a latency in microseconds")]
        let at = |run: &Run| run.latencies.value_at_quantile(quantile).max(1) as f64;
        Spread::of(pairs.map(|(ours, theirs)| at(ours) / at(theirs)))
    }
}

/// The period that counts.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    from: Instant,
    until: Instant,
}

impl Window {
    /// After a warm-up that begins now.
    pub fn new(pace: Pace) -> Self {
        let from = Instant::now() + pace.warm;
        Self { from, until: from + pace.run }
    }

    /// Whether it is over.
    pub fn over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Whether an operation that ends now counts.
    pub fn counts(&self) -> bool {
        (self.from..self.until).contains(&Instant::now())
    }

    /// Counted operations per second.
    #[expect(clippy::cast_precision_loss, reason = "a count of a few seconds")]
    pub fn rate(&self, count: u64) -> f64 {
        count as f64 / (self.until - self.from).as_secs_f64()
    }
}

/// The count of one caller.
pub struct Tally {
    window: Window,
    latencies: Latencies,
}

impl Tally {
    /// Whether the caller should continue.
    pub fn continues(&self) -> bool {
        !self.window.over()
    }

    /// Counts an operation that began then.
    pub fn done(&mut self, since: Instant) {
        if self.window.counts() {
            // The histogram resizes itself.
            let _ = self.latencies.record(micros(since.elapsed()));
        }
    }
}

/// Runs this many callers, each repeating an operation and waiting for its answers.
///
/// # Errors
/// The first failure of a caller.
pub async fn closed<F, D>(pace: Pace, callers: usize, doing: D) -> anyhow::Result<Run>
where
    D: Fn(usize, Tally) -> F,
    F: Future<Output = anyhow::Result<Tally>> + Send + 'static,
{
    let window = Window::new(pace);
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let tally = Tally { window, latencies: latencies()? };
        tasks.spawn(doing(caller, tally));
    }
    let mut all = latencies()?;
    while let Some(ended) = tasks.join_next().await {
        let tally = ended.context("a caller")??;
        all.add(tally.latencies).map_err(|error| anyhow::anyhow!("{error}"))?;
    }
    Ok(Run { rate: window.rate(all.len()), latencies: all })
}

/// Starts operations at a steady rate, whether or not earlier ones have ended. Latencies count from
/// the moment at which each was due, so that a contender that stalls is charged for the delay of
/// later operations (no coordinated omission).
pub struct OpenLoop {
    begun: Instant,
    gap: Duration,
    next: u64,
    end: Instant,
}

impl OpenLoop {
    /// This many a second, for this long.
    pub fn new(rate: u64, time: Duration) -> Self {
        let begun = Instant::now();
        let gap = Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX);
        Self { begun, gap, next: 0, end: begun + time }
    }

    /// Waits until the next is due; none at the end.
    pub async fn due(&mut self) -> Option<(u64, Instant)> {
        let due = self.begun + self.gap.mul_f64(number(self.next));
        if due >= self.end {
            return None;
        }
        let index = self.next;
        self.next += 1;
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        Some((index, due))
    }
}

/// A count as a float, for ratios.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
pub const fn number(count: u64) -> f64 {
    count as f64
}

/// A shared count.
#[derive(Clone, Debug, Default)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// Adds one; returns its index.
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f64) -> Run {
        Run { rate, latencies: latencies().unwrap() }
    }

    #[test]
    fn a_spread_is_minimum_median_and_maximum() {
        let Spread { min, median, max } = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!([min, median, max], [1.0, 2.0, 3.0]);
        let Spread { min, median, max } = Spread::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!([min, median, max], [1.0, 2.5, 4.0]);
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine was twice as fast in the second round, for both.
        let ours = Runs(vec![run(10.0), run(20.0), run(10.0)]);
        let theirs = Runs(vec![run(5.0), run(10.0), run(4.0)]);
        let Spread { min, median, max } = ours.times(&theirs);
        assert_eq!([min, median, max], [2.0, 2.0, 2.5]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_loop_is_due_at_its_rate_however_late_it_is_asked() {
        let mut open_loop = OpenLoop::new(100, Duration::from_millis(50));
        let begun = Instant::now();
        let mut due = Vec::new();
        while let Some((index, at)) = open_loop.due().await {
            due.push((index, (at - begun).as_millis()));
            // The caller is slow; due times do not wait for it.
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        assert_eq!(due, [(0, 0), (1, 10), (2, 20), (3, 30), (4, 40)]);
    }
}
