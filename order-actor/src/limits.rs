//! Limits that are not configurable, with their reasons.

use std::time::Duration;

/// Commands waiting for one order, including the current one. A customer has no reason to queue
/// more; a bug does. 128 admits a stampede of a hundred equal commands.
pub const COMMANDS_WAITING_MAX: usize = 128;

/// Calls waiting for all orders together, including current ones: more than a second of work of two
/// cores, so a refused call would have waited too long anyway. Each keeps at most one order awake,
/// so while a place is free, some order is idle and can sleep to make room.
pub const CALLS_WAITING_MAX: usize = 8_192;

/// Orders awake at the same time: an idle ractor actor measured 9.2 KB, so about 190 MB.
pub const ORDERS_AWAKE_MAX: usize = 20_000;

/// An order that was idle for this long goes to sleep.
pub const IDLE_MAX: Duration = Duration::from_secs(120);

/// How often idle orders are put to sleep.
pub const IDLE_SWEEP: Duration = Duration::from_secs(5);

/// How long a reaction or a timer waits for an order's answer.
pub const REACTION_DEADLINE: Duration = Duration::from_secs(30);

/// Commands that one follower or the alarm sends concurrently; they share the journal's batches.
pub const CONCURRENT_REACTIONS_MAX: usize = 64;

/// Orders that a follower of the journal caches, so that it need not read their history again for
/// their next event: some 2 KB each for an order of five lines.
pub const ORDERS_CACHED_MAX: usize = 10_000;

const _: () = assert!(CONCURRENT_REACTIONS_MAX <= COMMANDS_WAITING_MAX);
const _: () = assert!(CONCURRENT_REACTIONS_MAX < ORDERS_AWAKE_MAX);
const _: () = assert!(CONCURRENT_REACTIONS_MAX < CALLS_WAITING_MAX / 8);
const _: () = assert!(CALLS_WAITING_MAX < ORDERS_AWAKE_MAX);
