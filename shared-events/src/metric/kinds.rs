//! Counters, levels and histograms, each a `static` of the table.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::exemplar::{BUCKETS_MAX, Exemplar, Exemplars};
use super::page::{Page, Value};
use super::series::Bounded;
use super::{About, Kind, Metric, Unit, is_on};

/// Series of a metric, unless its row says otherwise.
const SERIES_MAX: usize = 128;

/// Counts what happens.
pub struct Counter<const N: usize> {
    about: About,
    series: Bounded<N, AtomicU64>,
}

impl<const N: usize> Counter<N> {
    /// With these labels.
    #[must_use]
    pub const fn new(
        name: &'static str,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Self {
        let about = About { name, kind: Kind::Counter, unit: Unit::Number, labels, help };
        Self { about, series: Bounded::new(SERIES_MAX) }
    }

    /// With so many series at most.
    #[must_use]
    pub const fn at_most(mut self, series: usize) -> Self {
        self.series.max = series;
        self
    }

    /// It may happen: the series begins at zero, so that its first time is seen as an increase.
    pub fn may_be(&self, labels: [&str; N]) {
        if is_on() {
            self.series.at(labels);
        }
    }

    /// It happened once.
    pub fn one(&self, labels: [&str; N]) {
        self.add(labels, 1);
    }

    /// It happened so often.
    pub fn add(&self, labels: [&str; N], many: u64) {
        if is_on() && many > 0 {
            self.series.at(labels).fetch_add(many, Ordering::Relaxed);
        }
    }
}

impl<const N: usize> Metric for Counter<N> {
    fn about(&self) -> About {
        self.about
    }

    fn write(&self, page: &mut Page) {
        for (labels, value) in self.series.all() {
            page.add(self.about, &labels, Value::Number(value.load(Ordering::Relaxed)));
        }
    }
}

/// How many there are now.
pub struct Level<const N: usize> {
    about: About,
    series: Bounded<N, AtomicI64>,
}

/// One that is there until this is dropped.
#[derive(Debug)]
pub struct Up(Option<&'static AtomicI64>);

impl Drop for Up {
    fn drop(&mut self) {
        if let Some(level) = self.0 {
            level.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<const N: usize> Level<N> {
    /// With these labels.
    #[must_use]
    pub const fn new(
        name: &'static str,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Self {
        let about = About { name, kind: Kind::Gauge, unit: Unit::Number, labels, help };
        Self { about, series: Bounded::new(SERIES_MAX) }
    }

    /// There are so many, or nobody knows: then the series is absent.
    pub fn set(&self, labels: [&str; N], number: Option<u64>) {
        if is_on() {
            let number = number.map_or(-1, |number| i64::try_from(number).unwrap_or(i64::MAX));
            self.series.at(labels).store(number, Ordering::Relaxed);
        }
    }

    /// One more, until the result is dropped.
    pub fn up(&'static self, labels: [&str; N]) -> Up {
        if !is_on() {
            return Up(None);
        }
        let level = self.series.at(labels);
        level.fetch_add(1, Ordering::Relaxed);
        Up(Some(level))
    }
}

impl<const N: usize> Metric for Level<N> {
    fn about(&self) -> About {
        self.about
    }

    fn write(&self, page: &mut Page) {
        for (labels, value) in self.series.all() {
            if let Ok(now) = u64::try_from(value.load(Ordering::Relaxed)) {
                page.add(self.about, &labels, Value::Number(now));
            }
        }
    }
}

/// The values of a histogram.
#[derive(Default)]
pub(super) struct Buckets {
    pub(super) counts: [AtomicU64; BUCKETS_MAX],
    pub(super) sum: AtomicU64,
    pub(super) exemplars: Exemplars,
}

/// Counts values by their size, in buckets that are the same in every process, so that those of
/// several processes add up.
pub struct Histogram<const N: usize> {
    about: About,
    /// The largest value of each bucket but the last; in nanoseconds for times.
    bounds: &'static [u64],
    series: Bounded<N, Buckets>,
}

impl<const N: usize> Histogram<N> {
    /// Of times, with these labels and bounds in nanoseconds.
    #[must_use]
    pub const fn of_times(
        name: &'static str,
        labels: &'static [&'static str; N],
        bounds: &'static [u64],
        help: &'static str,
    ) -> Self {
        Self::new(About { name, kind: Kind::Histogram, unit: Unit::Seconds, labels, help }, bounds)
    }

    /// Of numbers, with these labels and bounds.
    #[must_use]
    pub const fn of_numbers(
        name: &'static str,
        labels: &'static [&'static str; N],
        bounds: &'static [u64],
        help: &'static str,
    ) -> Self {
        Self::new(About { name, kind: Kind::Histogram, unit: Unit::Number, labels, help }, bounds)
    }

    const fn new(about: About, bounds: &'static [u64]) -> Self {
        assert!(bounds.len() < BUCKETS_MAX, "too many buckets");
        Self { about, bounds, series: Bounded::new(SERIES_MAX) }
    }

    /// With so many series at most.
    #[must_use]
    pub const fn at_most(mut self, series: usize) -> Self {
        self.series.max = series;
        self
    }

    /// It took so long.
    pub fn took(&self, labels: [&str; N], time: Duration) {
        self.took_in(labels, time, None);
    }

    /// The same, by this call, if it is recorded: its bucket names it from now on.
    pub fn took_in(&self, labels: [&str; N], time: Duration, exemplar: Option<Exemplar>) {
        self.saw_in(labels, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), exemplar);
    }

    /// It took from then until now; see [`start`](super::start).
    pub fn since(&self, labels: [&str; N], began: Option<Instant>) {
        if let Some(began) = began {
            self.took(labels, began.elapsed());
        }
    }

    /// There was this value; a time in nanoseconds.
    pub fn saw(&self, labels: [&str; N], value: u64) {
        self.saw_in(labels, value, None);
    }

    fn saw_in(&self, labels: [&str; N], value: u64, exemplar: Option<Exemplar>) {
        if !is_on() {
            return;
        }
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        let bucket = bucket.unwrap_or(self.bounds.len());
        let buckets = self.series.at(labels);
        buckets.counts[bucket].fetch_add(1, Ordering::Relaxed);
        buckets.sum.fetch_add(value, Ordering::Relaxed);
        if let Some(exemplar) = exemplar {
            buckets.exemplars.keep(bucket, value, exemplar);
        }
    }
}

impl<const N: usize> Metric for Histogram<N> {
    fn about(&self) -> About {
        self.about
    }

    fn write(&self, page: &mut Page) {
        for (labels, buckets) in self.series.all() {
            page.add_buckets(self.about, &labels, self.bounds, buckets);
        }
    }
}

/// What is counted, or known, elsewhere: it is asked for when the page is read.
pub struct Observed<const N: usize>(About);

impl<const N: usize> Observed<N> {
    /// A number that goes up and down.
    #[must_use]
    pub const fn number(
        name: &'static str,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Self {
        Self(About { name, kind: Kind::Gauge, unit: Unit::Number, labels, help })
    }

    /// A time.
    #[must_use]
    pub const fn time(
        name: &'static str,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Self {
        Self(About { name, kind: Kind::Gauge, unit: Unit::Seconds, labels, help })
    }

    /// A time that only grows.
    #[must_use]
    pub const fn total_time(
        name: &'static str,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Self {
        Self(About { name, kind: Kind::Counter, unit: Unit::Seconds, labels, help })
    }

    /// A number that only grows.
    #[must_use]
    pub const fn count(
        name: &'static str,
        labels: &'static [&'static str; N],
        help: &'static str,
    ) -> Self {
        Self(About { name, kind: Kind::Counter, unit: Unit::Number, labels, help })
    }

    /// Writes a series to a page.
    pub fn is(&self, page: &mut Page, labels: [&str; N], value: impl Into<Value>) {
        page.add(self.0, &labels, value.into());
    }
}

impl<const N: usize> Metric for Observed<N> {
    fn about(&self) -> About {
        self.0
    }

    fn write(&self, _: &mut Page) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    static COUNTER: Counter<1> = Counter::new("counted_total", &["kind"], "");
    static LEVEL: Level<1> = Level::new("level", &["kind"], "");
    static TIMES: Histogram<1> = Histogram::of_times("seconds", &["kind"], &[1], "");

    fn use_all() -> Vec<Up> {
        COUNTER.may_be(["a"]);
        COUNTER.one(["b"]);
        LEVEL.set(["a"], Some(3));
        TIMES.took(["a"], Duration::from_millis(5));
        vec![LEVEL.up(["b"])]
    }

    /// One test: what is listened to once stays so.
    #[test]
    fn nothing_is_counted_while_nobody_listens() {
        let series = || {
            let (counted, levels) = (COUNTER.series.all().len(), LEVEL.series.all().len());
            [counted, levels, TIMES.series.all().len()]
        };
        drop(use_all());
        assert_eq!(series(), [0, 0, 0]);
        crate::metric::begin();
        drop(use_all());
        assert_eq!(series(), [2, 2, 1]);
        // Nor is anything kept of traces while none is recorded.
        assert!(TIMES.series.all().iter().all(|(_, buckets)| buckets.exemplars.is_empty()));
        let recorded = Exemplar { trace: 1, span: 2, at: 3 };
        TIMES.took_in(["a"], Duration::from_nanos(7), Some(recorded));
        let (_, buckets) = TIMES.series.all().remove(0);
        assert_eq!(buckets.exemplars.last(0), None);
        assert_eq!(buckets.exemplars.last(1), Some((7, recorded)));
    }
}
