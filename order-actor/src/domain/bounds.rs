//! Every limit of an order, with its reason, and texts that the edge and the domain share.
//! `grpc/parse` checks the limits to report all invalid fields together; the commands check them
//! again, to be safe for every caller.

use std::time::Duration;

/// The most lines of an order or of one command.
pub const LINES_MAX: usize = 2_000;

/// The most characters of a free text: a reason or a comment.
pub const TEXT_MAX: usize = 500;

/// The most characters of a carrier's name or of its tracking number.
pub const CARRIER_MAX: usize = 100;

/// The most characters of a street with its number.
pub const STREET_MAX: usize = 200;

/// The most characters of a city.
pub const CITY_MAX: usize = 100;

/// The most characters of a postal code.
pub const POSTAL_CODE_MAX: usize = 20;

/// The most characters of the name of a person, a company or a region.
pub const NAME_MAX: usize = 100;

/// The most characters of what a discount, a charge or a tax is called, and of a tag.
pub const LABEL_MAX: usize = 100;

/// The most characters of what a line is called.
pub const TITLE_MAX: usize = 200;

/// The most discounts, and the most taxes, of one line, of one charge, and of an order as a whole.
pub const PRICE_PARTS_MAX: usize = 10;

/// The most charges of an order.
pub const CHARGES_MAX: usize = 20;

/// The most of the shop's fee, in hundredths of a percent: all of it.
pub const FEE_BPS_MAX: u16 = 10_000;

/// The most sellers of an order with a payment plan: each is a payment of its own.
pub const SELLERS_MAX: usize = 100;

/// The most tags of an order.
pub const TAGS_MAX: usize = 50;

/// The most keys of an order's metadata, and of a line's attributes.
pub const KEYS_MAX: usize = 50;

/// The most characters of such a key.
pub const KEY_MAX: usize = 40;

/// The most characters of the label of a hold.
pub const HOLD_LABEL_MAX: usize = 40;

/// The most holds of an order that stand at the same time. Each can be released within
/// [`ENDING_ROOM`].
pub const HOLDS_MAX: usize = 20;

/// The most edits of an order, refused ones included. Each is kept, so that it is known when it is
/// repeated.
pub const EDITS_MAX: usize = 100;

/// The most characters of a warehouse's own id of a parcel or of a return.
pub const REFERENCE_MAX: usize = 64;

/// How far ahead of the engine's clock the clock of a carrier may be.
pub const DELIVERY_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// The most characters of the address of a line's picture.
pub const IMAGE_URL_MAX: usize = 500;

/// The most characters of an e-mail address.
pub const EMAIL_MAX: usize = 254;

/// The most notes of an order.
pub const NOTES_MAX: usize = 100;

/// The most characters of a note.
pub const NOTE_MAX: usize = 2_000;

/// The most notes that a customer adds to an order, so that there is room for those of the shop.
pub const CUSTOMER_NOTES_MAX: usize = 20;

/// 9999-01-01T00:00:00Z, in microseconds. Later instants mean "no end", so an `ordered_at` must be
/// earlier. Only the edge checks this, because no decision depends on `ordered_at`.
pub const NO_END_MICROS: i64 = 253_370_764_800_000_000;

/// The most events of an order; an ordinary one has tens.
pub const EVENTS_MAX: u64 = 10_000;

/// Events reserved for ending an order. Commands that only lengthen it (cancelling or delivering
/// some of the open units) are refused once only these are free, and those that answers of payments
/// may still take. That leaves room for the answer of stock, the end, and some thirty returns with
/// request, escalation and judgement.
pub const ENDING_ROOM: u64 = 100;

/// How often a customer may cancel units of one order, request a return of it, or correct it. Each
/// time costs the shop an event, a message or two, and an operator's time.
pub const CUSTOMER_ASKS_MAX: u64 = 100;

const _: () = assert!(3 * CUSTOMER_ASKS_MAX * 3 < EVENTS_MAX - ENDING_ROOM);

/// The most returns of an order that wait at the same time.
pub const RETURNS_WAITING_MAX: usize = 20;

// Each of them may still lead to three events after the order's last parcel, and each hold to one;
// the end itself and what it gives back to five: its event, a refund, stock, money, and the refund
// of the last event before it.
const _: () = assert!(RETURNS_WAITING_MAX * 3 + HOLDS_MAX + 5 < 100 && ENDING_ROOM >= 100);

/// The longest window: a hundred years, so that its end stays a valid date.
pub const WINDOW_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The text for a client's order number that looks like one of the engine's own.
pub(crate) const NUMBER_OF_THE_ENGINE: &str = "numbers such as 4QK2-9XVA-07TM are the engine's own";

/// The text for a return without lines.
pub(crate) const LINE_REQUIRED: &str = "at least one line is named";

/// The text for a line that a command names twice.
pub(crate) const NAMED_TWICE: &str = "named twice";
