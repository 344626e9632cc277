//! Traces that stand for the values of a bucket. Their number is that of the buckets.

use std::sync::{Mutex, OnceLock, PoisonError};

/// Buckets of a histogram, the last one without a bound.
pub(super) const BUCKETS_MAX: usize = 16;

/// A recorded call or command, which stands for the others in its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// Its trace.
    pub trace: u128,
    /// Its span.
    pub span: u64,
    /// When it ended, in microseconds since 1970.
    pub at: u64,
}

type Place = Mutex<Option<(u64, Exemplar)>>;

/// The last exemplar of each bucket with its value. Until there is one it is a pointer.
#[derive(Default)]
pub(super) struct Exemplars(OnceLock<Box<[Place; BUCKETS_MAX]>>);

impl Exemplars {
    /// Keeps it, unless another one is kept, or read, just now: that one will do.
    pub(super) fn keep(&self, bucket: usize, value: u64, exemplar: Exemplar) {
        if let Some(place) = self.0.get_or_init(Box::default).get(bucket)
            && let Ok(mut last) = place.try_lock()
        {
            *last = Some((value, exemplar));
        }
    }

    /// The last one of a bucket, with its value.
    pub(super) fn last(&self, bucket: usize) -> Option<(u64, Exemplar)> {
        *self.0.get()?.get(bucket)?.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.get().is_none()
    }
}
