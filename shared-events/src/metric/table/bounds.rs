//! Bounds of buckets, the same in every process.

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// Bounds of times within a call, in nanoseconds: half a millisecond to ten seconds.
pub(super) const OF_CALLS: &[u64] = &[
    MS / 2,
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    5 * S / 2,
    5 * S,
    10 * S,
];
/// Bounds of times between calls, in nanoseconds: ten milliseconds to an hour.
pub(super) const OF_WAITS: &[u64] = &[
    10 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    5 * S / 2,
    5 * S,
    10 * S,
    30 * S,
    60 * S,
    300 * S,
    1_800 * S,
    3_600 * S,
];
/// Bounds of numbers of events.
pub(super) const OF_EVENTS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096];
