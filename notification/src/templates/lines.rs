//! The variables of a message that are about lines of its order, and about what they cost.

use minijinja::Value;
use shared_events::contract::{
    ChargeFact, LineUnits, Money, OrderFact, OrderLineFact, Quantity, ReturnedUnits, Sku,
    TotalsFact,
};

use super::values::{LINES_MAX, Numbers, Values, object};

/// Attributes of a line that a message can list, the first by name.
const ATTRIBUTES_MAX: usize = 20;

/// A line as a message lists it.
struct Line<'a> {
    number: u32,
    sku: &'a Sku,
    title: &'a str,
    quantity: Quantity,
    /// The price of one unit and of all, and what else there is to say, where the fact has them.
    placed: Option<&'a OrderLineFact>,
}

/// The lines that a fact is about, the sums of an order that was placed, or nothing.
pub(super) fn values(fact: &OrderFact, numbers: &Numbers) -> Values {
    let (lines, count) = match fact {
        OrderFact::Created { lines, .. } => listed(lines, of_placed, numbers),
        OrderFact::LinesAllocated { lines, .. }
        | OrderFact::LinesCancelled { lines, .. }
        | OrderFact::LinesFulfilled { lines, .. }
        | OrderFact::ShipmentCorrected { lines, .. }
        | OrderFact::Fulfilled { lines, .. }
        | OrderFact::ReturnRequested { lines, .. }
        | OrderFact::ReturnApproved { lines, .. } => listed(lines, of_units, numbers),
        OrderFact::Edited { raised, added, .. } => in_addition(raised, added, numbers),
        OrderFact::Returned { lines, .. } => listed(lines, of_returned, numbers),
        // Of an earlier version, told as a return without its lines.
        OrderFact::RefundRequested { refund, .. } if refund.minor <= 0 => (Vec::new(), 0),
        _ => return Values::new(),
    };
    let mut values = Values::new();
    let mut set = |name: &str, value: Value| values.insert(name.to_owned(), value);
    set("lines", lines.into());
    set("more_lines", count.saturating_sub(LINES_MAX).into());
    if let OrderFact::Created { order, charges, totals, .. } = fact {
        let charges = charges.iter().take(LINES_MAX).map(|charge| charge_of(charge, numbers));
        set("charges", charges.collect::<Vec<_>>().into());
        set("totals", totals_of(totals.as_deref(), order.total, numbers));
    }
    values
}

/// The lines of which units wait for stock.
pub(super) fn backordered(units: &[LineUnits], numbers: &Numbers) -> Values {
    let (shown, count) = listed(units, of_units, numbers);
    let more = count.saturating_sub(LINES_MAX);
    Values::from([
        ("backordered".to_owned(), shown.into()),
        ("more_backordered".to_owned(), more.into()),
    ])
}

/// The lines of which an edit takes units off the order.
pub(super) fn cancelled(units: &[LineUnits]) -> Values {
    let line = |units: &LineUnits| {
        object([
            ("number", units.line.into()),
            ("sku", units.sku.to_string().into()),
            ("title", units.title.as_str().into()),
            ("quantity", units.quantity.get().into()),
        ])
    };
    let shown: Vec<Value> = units.iter().take(LINES_MAX).map(line).collect();
    let more = units.len().saturating_sub(LINES_MAX);
    Values::from([
        ("cancelled".to_owned(), shown.into()),
        ("more_cancelled".to_owned(), more.into()),
    ])
}

/// What an edit adds to an order: units of its lines, and lines.
fn in_addition(
    raised: &[LineUnits],
    added: &[OrderLineFact],
    numbers: &Numbers,
) -> (Vec<Value>, usize) {
    let lines = raised.iter().map(of_units).chain(added.iter().map(of_placed));
    let shown = lines.take(LINES_MAX).map(|line| line_of(&line, numbers)).collect();
    (shown, raised.len().saturating_add(added.len()))
}

/// The first lines as templates see them, and how many lines there are.
fn listed<'a, T>(
    lines: &'a [T],
    line: fn(&'a T) -> Line<'a>,
    numbers: &Numbers,
) -> (Vec<Value>, usize) {
    let shown = lines.iter().take(LINES_MAX).map(|one| line_of(&line(one), numbers));
    (shown.collect(), lines.len())
}

fn of_placed(line: &OrderLineFact) -> Line<'_> {
    let OrderLineFact { line: number, sku, title, quantity, .. } = line;
    Line { number: *number, sku, title, quantity: *quantity, placed: Some(line) }
}

fn of_units(units: &LineUnits) -> Line<'_> {
    let LineUnits { line: number, sku, title, quantity } = units;
    Line { number: *number, sku, title, quantity: *quantity, placed: None }
}

fn of_returned(units: &ReturnedUnits) -> Line<'_> {
    let ReturnedUnits { line: number, sku, title, quantity, .. } = units;
    Line { number: *number, sku, title, quantity: *quantity, placed: None }
}

fn line_of(line: &Line<'_>, numbers: &Numbers) -> Value {
    let money = |money: Option<Money>| money.map_or_else(|| ().into(), |one| numbers.money(one));
    // What the customer pays for it, where that is not units times the price.
    let total = line
        .placed
        .and_then(|placed| placed.total.or_else(|| placed.unit_price.times(placed.quantity).ok()));
    let attributes = line.placed.into_iter().flat_map(|placed| &placed.attributes);
    let attributes = attributes.take(ATTRIBUTES_MAX).map(|(name, value)| {
        object([("name", name.as_str().into()), ("value", value.as_str().into())])
    });
    object([
        ("number", line.number.into()),
        ("sku", line.sku.to_string().into()),
        ("title", line.title.into()),
        ("attributes", attributes.collect::<Vec<_>>().into()),
        ("quantity", line.quantity.get().into()),
        ("unit_price", money(line.placed.map(|placed| placed.unit_price))),
        ("total", money(total)),
    ])
}

fn charge_of(charge: &ChargeFact, numbers: &Numbers) -> Value {
    object([
        ("kind", charge.kind.as_str().into()),
        ("label", charge.label.as_str().into()),
        ("total", numbers.money(charge.total)),
    ])
}

/// The sums of an order; of one that has no others, its total is that of the goods.
fn totals_of(totals: Option<&TotalsFact>, total: Money, numbers: &Numbers) -> Value {
    let none = Money::zero(total.currency);
    let plain = TotalsFact { goods: total, discounts: none, charges: none, tax: none, total };
    let TotalsFact { goods, discounts, charges, tax, total } = totals.copied().unwrap_or(plain);
    let sums = [
        ("goods", goods),
        ("discounts", discounts),
        ("charges", charges),
        ("tax", tax),
        ("total", total),
    ];
    object(sums.map(|(name, sum)| (name, numbers.money(sum))))
}
