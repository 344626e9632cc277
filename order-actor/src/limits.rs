//! Every bound that is not a knob, with its reason.

use std::time::Duration;

/// Commands waiting for one order, the one at work included. A customer has no reason to queue
/// more; a bug does. 128 lets the hundred equal answers of a stampede through.
pub const COMMANDS_WAITING_MAX: usize = 128;

/// Calls waiting for all orders together, those at work included: more than a second of what two
/// cores do, so whoever is refused would have waited in vain for a place. Each keeps one order awake
/// at most, so while there is a place, there is an order that may sleep for another.
pub const CALLS_WAITING_MAX: usize = 8_192;

/// Orders awake at once: an idle ractor actor measured 9.2 KB (DESIGN.md), so about 190 MB.
pub const ORDERS_AWAKE_MAX: usize = 20_000;

/// An order that nobody spoke to for so long goes to sleep.
pub const IDLE_MAX: Duration = Duration::from_secs(120);

/// How often idle orders are looked for.
pub const IDLE_SWEEP: Duration = Duration::from_secs(5);

/// How long a reaction or a timer waits for an order's answer.
pub const REACTION_DEADLINE: Duration = Duration::from_secs(30);

/// Commands that one follower or the alarm has under way at once; they share the journal's batches.
pub const REACTIONS_AT_ONCE: usize = 64;

/// Orders whose last state a follower of the journal remembers, so that it need not read their
/// history again for their next event: some 2 KB each for an order of five lines.
pub const UNFOLDED_MAX: usize = 10_000;

const _: () = assert!(REACTIONS_AT_ONCE <= COMMANDS_WAITING_MAX);
const _: () = assert!(REACTIONS_AT_ONCE < ORDERS_AWAKE_MAX);
const _: () = assert!(REACTIONS_AT_ONCE < CALLS_WAITING_MAX / 8);
const _: () = assert!(CALLS_WAITING_MAX < ORDERS_AWAKE_MAX);
