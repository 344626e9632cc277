//! Every bound that an order has, with its reason, and every sentence that the edge and the order
//! both say: `grpc/parse` checks them to name all fields at fault at once, the commands to be safe
//! whoever asks.

use std::time::Duration;

/// The most lines of an order, and of what one command names of it.
pub const LINES_MAX: usize = 2_000;

/// The most characters of what people write: reasons and further words.
pub const TEXT_MAX: usize = 500;

/// The most characters of a carrier's name or of its tracking number.
pub const CARRIER_MAX: usize = 100;

/// The most characters of a street with its number.
pub const STREET_MAX: usize = 200;

/// The most characters of a city.
pub const CITY_MAX: usize = 100;

/// The most characters of a postal code.
pub const POSTAL_CODE_MAX: usize = 20;

/// 9999-01-01T00:00:00Z, in microseconds: instants from here on stand for no end, and nothing was
/// ordered then. Only the edge looks: when something was ordered decides nothing.
pub const NO_END_MICROS: i64 = 253_370_764_800_000_000;

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

/// A return is of something.
pub(crate) const SOME_LINE: &str = "at least one line is named";

/// A line stands in a command once.
pub(crate) const NAMED_TWICE: &str = "named twice";
