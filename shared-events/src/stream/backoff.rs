use std::time::Duration;

/// How long to wait before the next try: doubling from `first` to `longest`, with equal jitter
/// (half of the wait is fixed, half is random), so that many waiters do not come back together.
/// Equal jitter as described by M. Brooker, "Exponential Backoff And Jitter" (2015).
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The wait before the first retry.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
}

impl Backoff {
    /// For followers: 50 ms to 10 s.
    pub const FOLLOWER: Self =
        Self { first: Duration::from_millis(50), longest: Duration::from_secs(10) };

    /// The wait before retry number `attempt` (0 is the first), with `random` drawn evenly from
    /// all 32-bit numbers.
    #[must_use]
    pub fn wait(&self, attempt: u32, random: u32) -> Duration {
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(attempt.min(30)));
        let half = doubled.min(self.longest) / 2;
        let share = u64::try_from(half.as_micros()).unwrap_or(u64::MAX) >> 16;
        half + Duration::from_micros(share.saturating_mul(u64::from(random >> 16)))
    }
}
