use serde_json::Value;

use super::{amount, code, items, next_page, place, short_time, status, text};
use crate::client::Output;

/// One order.
pub fn order(out: &Output, order: &Value) {
    let pending = &order["pending_return"];
    // Where an order is nothing but lines at their prices, its only sum is its total.
    let totals = &order["totals"];
    let is_nothing = |name| amount(&totals[name]).is_none_or(|amount| amount.minor == 0);
    let plain = ["discounts", "charges", "tax"].into_iter().all(is_nothing);
    let sum = |name: &str| if plain { String::new() } else { text(totals, name) };
    out.pairs([
        ("order", text(order, "order_id")),
        ("status", status(order)),
        ("version", text(order, "version")),
        ("customer", text(order, "customer_id")),
        ("goods", sum("goods")),
        ("discounts", sum("discounts")),
        ("charges", sum("charges")),
        ("tax", sum("tax")),
        ("total", text(order, "total")),
        ("refunded", text(order, "refunded")),
        ("placed at", short_time(order, "placed_at")),
        ("ordered at", short_time(order, "ordered_at")),
        ("updated at", short_time(order, "updated_at")),
        ("confirm by", short_time(order, "confirm_by")),
        ("fulfilled at", short_time(order, "fulfilled_at")),
        ("return until", short_time(order, "return_until")),
        ("cancelled for", code(order, "cancel_reason", "CANCEL_REASON_")),
        ("note", text(order, "cancel_text")),
        ("missing", text(order, "missing_skus")),
        ("parcels", text(order, "shipment_ids")),
        ("tags", text(order, "tags")),
        ("return", text(pending, "return_id")),
        ("return reason", text(pending, "reason")),
        ("judge by", short_time(pending, "judge_by")),
    ]);
    let titled = items(&order["lines"]).any(|line| !text(line, "title").is_empty());
    let waits = items(&order["lines"]).any(|line| line["backordered"].as_u64() > Some(0));
    let columns: Vec<(&str, &str)> = [
        ("line", "line"),
        ("sku", "sku"),
        ("title", "title"),
        ("price", "unit_price"),
        ("total", "total"),
        ("ordered", "ordered"),
        ("cancelled", "cancelled"),
        ("fulfilled", "fulfilled"),
        ("in return", "in_return"),
        ("returned", "returned"),
        ("open", "open"),
        ("backordered", "backordered"),
    ]
    .into_iter()
    .filter(|(_, field)| match *field {
        "title" => titled,
        "total" => !plain,
        "backordered" => waits,
        _ => true,
    })
    .collect();
    let head: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    out.table(
        &head,
        items(&order["lines"])
            .map(|line| columns.iter().map(|(_, field)| text(line, field)).collect()),
    );
    if items(&order["charges"]).next().is_some() {
        out.table(
            &["charge", "kind", "label", "total", "refunded"],
            items(&order["charges"]).map(|charge| {
                vec![
                    text(charge, "charge"),
                    code(charge, "kind", "CHARGE_KIND_"),
                    text(charge, "label"),
                    text(charge, "total"),
                    text(charge, "refunded"),
                ]
            }),
        );
    }
}

/// The result of a command.
pub fn command(out: &Output, answer: &Value, validate_only: bool) {
    let events: Vec<String> = items(&answer["events"]).map(|event| text(event, "name")).collect();
    let did = match (validate_only, events.is_empty()) {
        (true, true) => "would change nothing".to_owned(),
        (true, false) => format!("would append {}", events.join(", ")),
        (false, true) => "nothing changed".to_owned(),
        (false, false) => format!("appended {}", events.join(", ")),
    };
    out.line(did);
    let ordered = &answer["order"];
    order(out, ordered);
    if answer["replayed"] == true {
        out.line("This request was executed before; use a new request id for a new request.");
    }
    if text(ordered, "cancel_reason") == "CANCEL_REASON_INSUFFICIENT_STOCK" {
        out.line("Set stock with `ordinal stock set SKU UNITS`, then place the order again.");
    }
}

/// Orders in a list.
pub fn orders(out: &Output, answer: &Value) {
    out.list(
        &["order", "status", "total", "refunded", "units", "placed at", "customer"],
        items(&answer["orders"]).map(|order| {
            vec![
                text(order, "order_id"),
                status(order),
                text(order, "total"),
                text(order, "refunded"),
                text(order, "units"),
                short_time(order, "placed_at"),
                text(order, "customer_id"),
            ]
        }),
        "no orders",
    );
    next_page(out, answer);
}

/// Pending returns, with their units and value.
pub fn waiting_returns(out: &Output, answer: &Value) {
    let head = ["judge by", "order", "return", "units", "value", "reason"];
    let rows = items(&answer["orders"]).map(|order| {
        let waiting = &order["pending_return"];
        let units = items(&waiting["lines"])
            .map(|line| format!("{} x line {}", text(line, "quantity"), text(line, "line")));
        vec![
            short_time(waiting, "judge_by"),
            text(order, "order_id"),
            text(waiting, "return_id"),
            units.collect::<Vec<_>>().join(", "),
            text(waiting, "value"),
            text(waiting, "reason"),
        ]
    });
    out.list(&head, rows, "no pending returns");
    next_page(out, answer);
}

/// The history of an order.
pub fn history(out: &Output, events: &[Value]) {
    out.table(
        &["version", "event", "what", "at", "by"],
        events.iter().map(|recorded| {
            vec![
                text(&recorded["event"], "version"),
                text(&recorded["event"], "name"),
                what(&recorded["event"]),
                short_time(&recorded["event"], "occurred_at"),
                by(recorded),
            ]
        }),
    );
}

fn by(recorded: &Value) -> String {
    let role = code(recorded, "role", "ROLE_").to_lowercase();
    let subject = text(recorded, "subject");
    if subject.is_empty() { role } else { format!("{role}:{subject}") }
}

/// A summary of an event, without personal data.
pub fn what(event: &Value) -> String {
    let kinds = [
        "order_placed",
        "order_confirmed",
        "lines_allocated",
        "lines_cancelled",
        "order_cancelled",
        "lines_fulfilled",
        "order_fulfilled",
        "return_requested",
        "return_escalated",
        "return_approved",
        "return_rejected",
    ];
    let Some(kind) = kinds.iter().map(|kind| &event[*kind]).find(|kind| kind.is_object()) else {
        return String::new();
    };
    let lines: Vec<String> = items(&kind["lines"])
        .map(|line| {
            let sku = text(line, "sku");
            let name = if sku.is_empty() { format!("line {}", text(line, "line")) } else { sku };
            let fate = code(line, "disposition", "DISPOSITION_");
            format!("{} x {name} {fate}", text(line, "quantity")).trim_end().to_owned()
        })
        .collect();
    let waiting: Vec<String> = items(&kind["backordered"])
        .map(|line| format!("{} x line {}", text(line, "quantity"), text(line, "line")))
        .collect();
    let waiting = waiting.join(", ");
    let refund = text(kind, "refund");
    let parts = [
        code(kind, "reason", "CANCEL_REASON_"),
        text(kind, "text"),
        text(kind, "missing_skus"),
        lines.join(", "),
        if waiting.is_empty() { waiting } else { format!("backordered {waiting}") },
        text(kind, "total"),
        if refund.is_empty() { refund } else { format!("refund {refund}") },
        text(kind, "carrier"),
        text(kind, "tracking"),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// An event of the journal in one line.
pub fn recorded(out: &Output, recorded: &Value) {
    let event = &recorded["event"];
    let line = [
        place(&recorded["position"]),
        short_time(recorded, "recorded_at"),
        text(recorded, "order_id"),
        format!("v{}", text(event, "version")),
        text(event, "name"),
        what(event),
        text(recorded, "unreadable"),
    ];
    out.line(line.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "));
}
