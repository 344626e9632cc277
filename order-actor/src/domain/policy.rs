use std::time::Duration;

/// The windows that a shop chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long an order may stay unconfirmed before it is cancelled.
    pub confirm_within: Duration,
    /// How long after fulfilment a return may be requested.
    pub return_within: Duration,
    /// How long a return may wait for judgement before operators are reminded.
    pub judge_within: Duration,
}

/// The most events of an order; one that is ordinary has tens.
pub const EVENTS_MAX: u64 = 10_000;

/// What only makes an order longer (units cancelled or delivered while others stay open, a return
/// asked for) is refused so many events before the last one, so that what ends it finds room: the
/// answer of stock, its end, and a return that is asked for, escalated and judged, thirty times over.
pub const ENDING_ROOM: u64 = 100;

/// How often a customer may cancel units of one order, and how often ask for a return of it: each
/// time costs the shop an event, a message or two, and somebody's judgement.
pub const CUSTOMER_ASKS_MAX: u64 = 100;

const _: () = assert!(2 * CUSTOMER_ASKS_MAX * 3 < EVENTS_MAX - ENDING_ROOM);

/// The longest window: a hundred years, so that what it ends at stays inside the calendar.
pub const WINDOW_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Policy {
    /// The windows by their names, such as `return-within`.
    #[must_use]
    pub const fn windows(&self) -> [(&'static str, Duration); 3] {
        [
            ("confirm-within", self.confirm_within),
            ("return-within", self.return_within),
            ("judge-within", self.judge_within),
        ]
    }
}

impl Default for Policy {
    /// 15 minutes, 30 days, 3 days.
    fn default() -> Self {
        Self {
            confirm_within: Duration::from_secs(15 * 60),
            return_within: DAY * 30,
            judge_within: DAY * 3,
        }
    }
}
