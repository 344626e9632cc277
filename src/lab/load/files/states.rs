//! What happened to an order, as its file says.

use super::fields::Field;
use super::rows::{Raw, Row};
use super::{NotKept, said};

/// What was shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shipped {
    /// Nothing.
    #[default]
    Nothing,
    /// All units of these lines, by number from 1.
    Lines(Vec<u32>),
    /// Everything.
    All,
}

/// What is done with an order after it was placed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// What is shipped.
    pub shipped: Shipped,
    /// By whom.
    pub carrier: String,
    /// Under which number.
    pub tracking: String,
    /// Why what was not shipped is cancelled; absent if it is not.
    pub cancelled: Option<String>,
    /// What comes back of what was shipped.
    pub back: Option<Back>,
}

/// A return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back {
    /// Units by line; empty for all that was shipped.
    pub units: Vec<(u32, u32)>,
    /// What is paid back, in minor units; what was paid for the units where absent.
    pub refund: Option<i64>,
}

/// The most characters of a reason, of the engine.
const REASON_MAX: usize = 500;

/// What the file says of an order: its lines, its total and what was paid back in minor units.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its lines in the file.
    pub rows: &'a [&'a Row],
    /// Units of each.
    pub units: &'a [u32],
    /// Its total.
    pub total: i64,
    /// What was paid back; absent where the file has no such column.
    pub refunded: Option<i64>,
}

/// What happened, and what of it cannot be kept.
pub fn course(raw: &Raw, facts: Facts<'_>) -> (Course, Vec<NotKept>) {
    let states = &raw.mapping.states;
    let words = [Field::Status, Field::PaymentStatus].map(|field| word(raw.get(field)));
    let is = |list: &[String]| words.iter().any(|word| list.contains(word));
    let mut not_kept = Vec::new();
    let all = [
        &states.fulfilled,
        &states.partly_fulfilled,
        &states.confirmed,
        &states.cancelled,
        &states.refunded,
    ];
    for word in words.iter().filter(|word| !word.is_empty()) {
        if !all.iter().any(|list| list.contains(word)) {
            let why = "no state of the mapping has this word; the order stays as it is";
            not_kept.push(said(&format!("state {word:?}"), why));
        }
    }
    let paid_back = facts.refunded.unwrap_or(0).saturating_abs();
    let is_refunded = is(&states.refunded) || paid_back > 0 && paid_back >= facts.total;
    let is_cancelled = is(&states.cancelled) || !raw.get(Field::CancelledAt).is_empty();
    // A status of refunded alone says nothing of the parcel: what is paid back had been shipped.
    let is_shipped = is(&states.fulfilled)
        || raw.mapping.columns.contains_key(&Field::Status)
            && states.refunded.contains(&word(raw.get(Field::Status)))
            && !is_cancelled;
    let shipped = if is_shipped {
        Shipped::All
    } else if is(&states.partly_fulfilled) {
        lines_shipped(raw, facts.rows, &mut not_kept)
    } else {
        Shipped::Nothing
    };
    let mut course = Course {
        carrier: raw.get(Field::Carrier).to_owned(),
        tracking: raw.get(Field::Tracking).to_owned(),
        ..Course::default()
    };
    if is_cancelled || is_refunded {
        course.cancelled = Some(reason(raw, is_cancelled));
    }
    course.back = back(facts, &shipped, is_refunded, &mut not_kept);
    if is_cancelled && shipped == Shipped::All && course.back.is_none() {
        not_kept.push(said("cancellation", "everything was shipped, and nothing came back"));
    }
    course.shipped = shipped;
    (course, not_kept)
}

fn reason(raw: &Raw, is_cancelled: bool) -> String {
    let text = raw.get(Field::CancelReason);
    let text = match text {
        "" if is_cancelled => "cancelled, as its file says",
        "" => "refunded, as its file says",
        text => text,
    };
    text.chars().take(REASON_MAX).collect()
}

fn lines_shipped(raw: &Raw, rows: &[&Row], not_kept: &mut Vec<NotKept>) -> Shipped {
    let states = &raw.mapping.states;
    let mut lines = Vec::new();
    for (number, row) in (1_u32..).zip(rows) {
        let word = word(row.get(Field::LineStatus));
        if states.fulfilled.contains(&word) {
            lines.push(number);
        } else if states.partly_fulfilled.contains(&word) {
            let why = "the file does not say how many units of the line were shipped";
            not_kept.push(said(&format!("shipment of line {}", row.line), why));
        }
    }
    match lines.len() {
        0 => {
            not_kept.push(said("shipment", "the file does not say which lines were shipped"));
            Shipped::Nothing
        }
        count if count == rows.len() => Shipped::All,
        _ => Shipped::Lines(lines),
    }
}

fn back(
    facts: Facts<'_>,
    shipped: &Shipped,
    is_refunded: bool,
    not_kept: &mut Vec<NotKept>,
) -> Option<Back> {
    let refund = facts.refunded.map(i64::saturating_abs).filter(|amount| *amount > 0);
    if is_refunded {
        // What was not shipped is cancelled, and needs no refund here.
        let is_all = *shipped == Shipped::All;
        return (*shipped != Shipped::Nothing)
            .then(|| Back { units: Vec::new(), refund: if is_all { refund } else { None } });
    }
    let mut units = Vec::new();
    for (number, (row, of)) in (1_u32..).zip(facts.rows.iter().zip(facts.units)) {
        let text = row.get(Field::LineRefundedUnits).trim_start_matches('-');
        let Ok(count) = text.parse::<u32>() else { continue };
        let is_out = match shipped {
            Shipped::All => true,
            Shipped::Lines(lines) => lines.contains(&number),
            Shipped::Nothing => false,
        };
        if count > 0 && is_out {
            units.push((number, count.min(*of)));
        } else if count > 0 {
            let what = format!("return of line {}", row.line);
            not_kept.push(said(&what, "the line was not shipped"));
        }
    }
    if units.is_empty() {
        if refund.is_some() {
            let why = "the file does not say for which units";
            not_kept.push(said("refund", why));
        }
        return None;
    }
    Some(Back { units, refund })
}

/// A word for a state, without what marks it as one of WooCommerce's.
fn word(text: &str) -> String {
    let text = text.trim().to_lowercase();
    text.strip_prefix("wc-").map_or(text.clone(), ToOwned::to_owned)
}
