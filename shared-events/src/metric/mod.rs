//! Numbers that a process counts for whoever watches it: counters, levels and histograms, each in one
//! row of [`table`], and the page on which a scraper reads them.
//!
//! To count costs a look into an array and an addition; nothing is allocated once a series is known,
//! and there is no lock. While nobody listens ([`begin`]) nothing is counted.
//! Never here: ids, texts of people, or a label that callers can choose freely.

mod exemplar; // a trace that is in a bucket
mod format; // how a page is written
mod kinds; // counters, levels, histograms, and what is only observed
mod page; // the text that a scraper reads
mod series; // a bounded number of series
pub mod table; // every metric, once

pub use exemplar::Exemplar;
pub use format::Format;
pub use kinds::{Counter, Histogram, Level, Observed, Up};
pub use page::{Page, Value};

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

static LISTENED_TO: AtomicBool = AtomicBool::new(false);

/// Counts from now on.
pub fn begin() {
    LISTENED_TO.store(true, Ordering::Relaxed);
}

/// Whether anything is counted.
#[must_use]
pub fn is_on() -> bool {
    LISTENED_TO.load(Ordering::Relaxed)
}

/// Now, if anything is counted: where a duration begins.
#[must_use]
pub fn start() -> Option<Instant> {
    is_on().then(Instant::now)
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by their size.
    Histogram,
}

impl Kind {
    /// The name in the text format.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What the values of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Number,
    /// A time in seconds, kept in nanoseconds.
    Seconds,
}

/// The row of a metric.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What its values are.
    pub unit: Unit,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// A metric of the table.
pub trait Metric: Sync {
    /// Its row.
    fn about(&self) -> About;
    /// Writes its series to a page.
    fn write(&self, page: &mut Page);
}
