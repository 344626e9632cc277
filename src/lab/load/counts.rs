use std::collections::BTreeMap;

use serde::Serialize;
use shared_events::contract::{Currency, Money};

use super::files::NotKept;
use super::provider::{Books, Differing, OfWallets, Paid};
use crate::client::Output;

/// Lines left out that are shown without a report file.
pub const FIRST: usize = 10;

/// The result of a load. Counts are of the file, so that a second load gives the same; only
/// `appended` and the latencies tell the two apart.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Lines read, without the header.
    pub lines: u64,
    /// Invoices, credit notes included.
    pub invoices: u64,
    /// Invoices that are not credit notes.
    pub orders: u64,
    /// Credit notes.
    pub credit_notes: u64,
    /// Orders that the engine accepted.
    pub placed: u64,
    /// Orders that were refused, by the first code.
    pub refused: BTreeMap<String, u64>,
    /// Orders whose stock was reserved.
    pub confirmed: u64,
    /// Orders that were cancelled, by reason.
    pub cancelled: BTreeMap<String, u64>,
    /// Orders that were not confirmed while the load waited.
    pub unconfirmed: u64,
    /// Orders that were shipped.
    pub fulfilled: u64,
    /// Orders of which some lines were shipped, as the file says.
    #[serde(skip_serializing_if = "is_zero")]
    pub partly_fulfilled: u64,
    /// Orders that stay to be shipped, as the file says.
    #[serde(skip_serializing_if = "is_zero")]
    pub open_by_file: u64,
    /// Orders of which what was not shipped is cancelled, as the file says.
    #[serde(skip_serializing_if = "is_zero")]
    pub cancelled_by_file: u64,
    /// Confirmed orders that the engine refused to ship, because another client had shipped or
    /// cancelled them, by code.
    pub fulfil_refused: BTreeMap<String, u64>,
    /// Returns.
    pub returned: Returned,
    /// Lines of credit notes that match no earlier order, or are not valid, by reason.
    pub unmatched: BTreeMap<String, u64>,
    /// Lines of credit notes whose return the engine refused, by code; `PARTLY_RETURNED` where it
    /// accepted the units of some orders and not of others.
    pub returns_refused: BTreeMap<String, u64>,
    /// Lines that did not become what the file says: refused, unmatched, or of an order that was
    /// cancelled.
    pub left_out: u64,
    /// The first of them.
    pub first_left_out: Vec<LeftOut>,
    /// What orders of the file have that is not kept.
    #[serde(rename = "parts_not_kept", skip_serializing_if = "is_zero")]
    pub not_kept: u64,
    /// The first of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first_not_kept: Vec<OrderNotKept>,
    /// What the orders cost in the engine, by currency.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sums: BTreeMap<String, Sums>,
    /// What became of the money, where orders are paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<Paid>,
    /// Commands sent: place, fulfil, request and approve.
    pub commands: u64,
    /// Commands that appended something; 0 where all was done before.
    pub appended: u64,
    /// Duration in seconds.
    pub seconds: u64,
    /// Commands per second.
    pub commands_per_second: u64,
    /// From sending a command to its answer, in microseconds.
    pub latency_micros: Latency,
}

/// Returns and refunds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Returned {
    /// Returns that were approved: one per credit note and order.
    pub returns: u64,
    /// Lines of credit notes.
    pub lines: u64,
    /// Units.
    pub units: u64,
    /// Refunds, in minor units of the currency.
    pub minor: i64,
    /// The currency.
    pub currency: String,
}

/// Sums over the orders of one currency, in its minor units.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sums {
    /// Orders that were placed.
    pub orders: u64,
    /// Their totals.
    pub total: i64,
    /// What was paid back of them.
    pub refunded: i64,
}

/// What an order has that is not kept.
#[derive(Clone, Debug, Serialize)]
pub struct OrderNotKept {
    /// The order's number.
    pub order: String,
    /// What, and why.
    #[serde(flatten)]
    pub not_kept: NotKept,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Quantiles of a latency.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
    /// The maximum.
    pub max: u64,
}

/// A line that was left out.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// Its number in the file.
    pub line: u64,
    /// Its invoice.
    pub invoice: String,
    /// A stable code.
    pub code: String,
    /// The reason.
    pub detail: String,
}

/// Shows them as a table.
pub fn show(out: &Output, counts: &Counts, currency: Currency) {
    let row = |name: &str, value: &str| out.line(format!("{name:<44} {value}"));
    let number = |name: &str, value: u64| row(name, &value.to_string());
    let by = |name: &str, reasons: &BTreeMap<String, u64>| {
        for (reason, times) in reasons {
            number(&format!("{name} {reason}"), *times);
        }
    };
    number("lines", counts.lines);
    if counts.invoices > 0 {
        number("invoices", counts.invoices);
    }
    number("  orders", counts.orders);
    number("    placed", counts.placed);
    number("      confirmed", counts.confirmed);
    number("      fulfilled", counts.fulfilled);
    for (name, count) in [
        ("      partly fulfilled", counts.partly_fulfilled),
        ("      to be fulfilled", counts.open_by_file),
        ("      cancelled by the file", counts.cancelled_by_file),
    ] {
        if count > 0 {
            number(name, count);
        }
    }
    by("      cancelled", &counts.cancelled);
    by("      not fulfilled", &counts.fulfil_refused);
    if counts.unconfirmed > 0 {
        number("      unconfirmed", counts.unconfirmed);
    }
    by("    refused", &counts.refused);
    if counts.invoices > 0 || counts.orders == 0 {
        number("  credit notes", counts.credit_notes);
        let money = Money::new(counts.returned.minor, currency);
        row("    lines returned", &format!("{} ({money})", counts.returned.lines));
        by("    lines unmatched", &counts.unmatched);
        by("    lines refused", &counts.returns_refused);
    } else {
        number("  returns", counts.returned.returns);
    }
    show_sums(out, counts);
    if let Some(paid) = &counts.paid {
        show_paid(out, paid);
    }
    row("commands", &format!("{} ({} appended)", counts.commands, counts.appended));
    row("commands/s", &format!("{} over {} s", counts.commands_per_second, counts.seconds));
    let Latency { p50, p99, max } = counts.latency_micros;
    row("latency", &format!("p50 {p50} µs, p99 {p99} µs, max {max} µs"));
    show_left_out(out, counts);
}

fn show_left_out(out: &Output, counts: &Counts) {
    let number = |name: &str, value: u64| out.line(format!("{name:<44} {value}"));
    if counts.left_out > 0 {
        number("lines left out", counts.left_out);
        let what = if counts.invoices > 0 { "invoice" } else { "order" };
        for LeftOut { line, invoice, code, detail } in &counts.first_left_out {
            out.line(format!("  line {line}, {what} {invoice}: {code}: {detail}"));
        }
        if counts.left_out > u64::try_from(FIRST).unwrap_or(u64::MAX) {
            out.line("  …; --report FILE lists all of them");
        }
    }
    if counts.not_kept > 0 {
        number("not kept of orders", counts.not_kept);
        for OrderNotKept { order, not_kept: NotKept { what, why } } in &counts.first_not_kept {
            out.line(format!("  order {order}: {what}: {why}"));
        }
        if counts.not_kept > u64::try_from(FIRST).unwrap_or(u64::MAX) {
            out.line("  …; --report FILE lists all of it");
        }
    }
}

/// What became of the money, and whether the books agree.
fn show_paid(out: &Output, paid: &Paid) {
    let row = |name: &str, value: &str| out.line(format!("{name:<44} {value}"));
    let number = |name: &str, value: u64| row(name, &value.to_string());
    let by = |name: &str, all: &BTreeMap<String, u64>| {
        for (word, times) in all {
            number(&format!("{name} {word}"), *times);
        }
    };
    row("payments", "");
    number("  attempts declined", paid.declined);
    by("  attempts refused", &paid.attempts_refused);
    number("  nobody pays", paid.unpaid);
    by(" ", &paid.payments);
    for (code, books) in &paid.sums {
        let Ok(currency) = Currency::recorded(code) else { continue };
        let money = |minor: i64| Money::new(minor, currency);
        let (captured, refunded) = (money(books.captured), money(books.refunded));
        row("  taken, paid back", &format!("{captured}, {refunded}"));
        let (captured, refunded) = (money(books.captured_there), money(books.refunded_there));
        row("  by the provider's book", &format!("{captured}, {refunded}"));
        row("  what is kept is worth", &money(books.kept).to_string());
    }
    for (code, OfWallets { topped_up, books }) in &paid.wallets {
        let Ok(currency) = Currency::recorded(code) else { continue };
        let money = |minor: i64| Money::new(minor, currency);
        let (captured, refunded) = (money(books.captured), money(books.refunded));
        let filled = money(*topped_up);
        row("  of it by wallets", &format!("{captured}, {refunded}; filled with {filled}"));
    }
    if !paid.sound {
        row("  the provider's lines and sums differ", "");
    }
    if paid.open > 0 {
        number("  operations whose end is not known", paid.open);
    }
    number("  orders of which books differ", paid.differing);
    for Differing { order_id, unclaimed, books } in &paid.first_differing {
        let Books { captured, refunded, kept, captured_there, refunded_there } = books;
        let what = unclaimed.as_ref().map_or_else(
            || format!("order {order_id}"),
            |key| format!("no payment claims operation {key:?}"),
        );
        out.line(format!(
            "    {what}: {captured} taken, {refunded} paid back, {kept} kept; \
             {captured_there} and {refunded_there} there"
        ));
    }
}

fn show_sums(out: &Output, counts: &Counts) {
    for (code, Sums { orders, total, refunded }) in &counts.sums {
        let Ok(currency) = Currency::recorded(code) else { continue };
        let money = |minor: i64| Money::new(minor, currency);
        let (total, refunded) = (money(*total), money(*refunded));
        out.line(format!("{:<44} {total} of {orders} orders, {refunded} paid back", "sum"));
    }
}
