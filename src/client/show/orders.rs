use serde_json::Value;
use shared_events::contract::OrderNumber;

use super::{
    amount, code, edits, items, next_page, notes, order_payment, place, short_time, status, terms,
    text,
};
use crate::client::Output;

/// One order.
pub fn order(out: &Output, order: &Value) {
    let pending = &order["pending_return"];
    // Where an order is nothing but lines at their prices, its only sum is its total.
    let totals = &order["totals"];
    let is_nothing = |name| amount(&totals[name]).is_none_or(|amount| amount.minor == 0);
    let plain = ["discounts", "charges", "tax"].into_iter().all(is_nothing);
    let sum = |name: &str| if plain { String::new() } else { text(totals, name) };
    let included = text(order, "tax_mode") == "TAX_MODE_INCLUDED";
    let [recipient, address, door_phone, instructions, billing_address] = terms::people(order);
    out.pairs([
        ("order", text(order, "order_id")),
        ("number", given_number(order)),
        ("external id", text(order, "external_id")),
        ("shop", text(order, "shop")),
        ("status", status(order)),
        ("version", text(order, "version")),
        ("customer", text(order, "customer_id")),
        recipient,
        address,
        door_phone,
        instructions,
        billing_address,
        ("goods", sum("goods")),
        ("discounts", sum("discounts")),
        ("charges", sum("charges")),
        ("tax", sum("tax")),
        ("prices", if included { "with tax".to_owned() } else { String::new() }),
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
        ("held", names(&order["holds"])),
        ("edited", edits::last(order)),
        ("payment", order_payment::status(order)),
        ("pay by", short_time(&order["payment"], "pay_by")),
        ("secured", text(&order["payment"], "secured")),
        ("given back", order_payment::given_back(order)),
        ("tags", text(order, "tags")),
        ("metadata", terms::keys(&order["metadata"])),
        ("replaces", exchange_of(order)),
        ("return", text(pending, "return_id")),
        ("return reason", text(pending, "reason")),
        ("judge by", short_time(pending, "judge_by")),
    ]);
    lines(out, order, plain);
    returns(out, order);
    terms::sums(out, order);
    order_payment::parts(out, order);
    notes::notes(out, order);
}

/// The lines of an order, which is `plain` where they are all that it costs.
fn lines(out: &Output, order: &Value, plain: bool) {
    let titled = items(&order["lines"]).any(|line| !text(line, "title").is_empty());
    let waits = items(&order["lines"]).any(|line| line["backordered"].as_u64() > Some(0));
    let described = items(&order["lines"]).any(|line| !terms::keys(&line["attributes"]).is_empty());
    let columns: Vec<(&str, &str)> = [
        ("line", "line"),
        ("sku", "sku"),
        ("title", "title"),
        ("attributes", "attributes"),
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
        "attributes" => described,
        "total" => !plain,
        "backordered" => waits,
        _ => true,
    })
    .collect();
    let head: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let cell = |line: &Value, field: &str| match field {
        "attributes" => terms::keys(&line[field]),
        _ => text(line, field),
    };
    out.table(
        &head,
        items(&order["lines"])
            .map(|line| columns.iter().map(|(_, field)| cell(line, field)).collect()),
    );
}

/// The number that a client gave; the number of an order's id is said by its id, and lists show it.
fn given_number(order: &Value) -> String {
    let number = text(order, "order_number");
    let of_id = text(order, "order_id").parse().map(|id| OrderNumber::of(id).to_string());
    if of_id.as_ref() == Ok(&number) { String::new() } else { number }
}

/// The names of holds. Customers see only how many there are.
fn names(holds: &Value) -> String {
    let name = |hold: &Value| {
        let (label, kind) = (text(hold, "label"), code(hold, "kind", "HOLD_KIND_"));
        match (label.is_empty(), kind.is_empty()) {
            (false, _) => label,
            (true, false) => kind,
            (true, true) => "yes".to_owned(),
        }
    };
    items(holds).map(name).collect::<Vec<_>>().join(", ")
}

/// Parcels, with what became of them.
pub fn parcels(out: &Output, answer: &Value) {
    let head = [
        "parcel",
        "reference",
        "state",
        "carrier",
        "tracking",
        "from",
        "shipped at",
        "delivered at",
    ];
    let rows = items(&answer["parcels"]).map(|parcel| {
        vec![
            text(parcel, "shipment_id"),
            text(parcel, "shipment_reference"),
            code(parcel, "state", "PARCEL_STATE_"),
            text(parcel, "carrier"),
            text(parcel, "tracking"),
            text(parcel, "location"),
            short_time(parcel, "shipped_at"),
            short_time(parcel, "delivered_at"),
        ]
    });
    out.list(&head, rows, "no parcels");
}

/// The return whose goods an order replaces.
fn exchange_of(order: &Value) -> String {
    let exchange = &order["exchange_of"];
    if exchange.is_object() {
        format!("{}/{}", text(exchange, "order_id"), text(exchange, "return_id"))
    } else {
        String::new()
    }
}

/// All returns of an order, where one line for the waiting one does not say everything.
fn returns(out: &Output, order: &Value) {
    let all = items(&order["pending_returns"]).chain(items(&order["judged_returns"]));
    let all: Vec<&Value> = all.collect();
    let more = |known: &&Value| {
        let keeps = items(&known["outcomes"]).any(|units| {
            let outcome = code(units, "outcome", "UNIT_OUTCOME_");
            matches!(outcome.as_str(), "NOT_ARRIVED" | "REJECTED")
        });
        let texts = ["return_reference", "exchange_order_id"];
        keeps
            || text(known, "state") == "RETURN_STATE_APPROVED"
            || texts.iter().any(|field| !text(known, field).is_empty())
    };
    if items(&order["pending_returns"]).count() < 2 && !all.iter().any(more) {
        return;
    }
    let head = ["return", "reference", "state", "units", "refund", "rejected for", "replaced by"];
    out.list(
        &head,
        all.into_iter().map(|known| {
            let refund = match text(known, "refund") {
                none if none.is_empty() => text(known, "approved_refund"),
                refund => refund,
            };
            vec![
                text(known, "return_id"),
                text(known, "return_reference"),
                code(known, "state", "RETURN_STATE_"),
                units_of_return(known),
                refund,
                text(known, "rejected_reason"),
                text(known, "exchange_order_id"),
            ]
        }),
        "",
    );
}

/// The units of a return, with what became of them.
fn units_of_return(known: &Value) -> String {
    let outcomes: Vec<&Value> = items(&known["outcomes"]).collect();
    let lines = items(&known["lines"]).collect();
    let units = if outcomes.is_empty() { lines } else { outcomes };
    let units = units.into_iter().map(|units| {
        let outcome = code(units, "outcome", "UNIT_OUTCOME_");
        let line = format!("{} x line {}", text(units, "quantity"), text(units, "line"));
        format!("{line} {outcome}").trim_end().to_owned()
    });
    units.collect::<Vec<_>>().join(", ")
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
        &["order", "number", "status", "total", "refunded", "units", "placed at", "customer"],
        items(&answer["orders"]).map(|order| {
            vec![
                text(order, "order_id"),
                text(order, "order_number"),
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

/// Returns of all orders, with their units, and their value or what was refunded.
pub fn listed_returns(out: &Output, answer: &Value) {
    let head = ["judge by", "order", "return", "reference", "state", "units", "value"];
    let rows = items(&answer["returns"]).map(|known| {
        let value = text(known, "value");
        vec![
            short_time(known, "judge_by"),
            text(known, "order_id"),
            text(known, "return_id"),
            text(known, "return_reference"),
            code(known, "state", "RETURN_STATE_"),
            units_of_return(known),
            if value.is_empty() { text(known, "refund") } else { value },
        ]
    });
    out.list(&head, rows, "no returns");
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
    // What it has beside its kind are numbers and texts.
    let kind = event.as_object().and_then(|fields| fields.values().find(|field| field.is_object()));
    let Some(kind) = kind else { return String::new() };
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
        code(kind, "kind", "HOLD_KIND_"),
        text(kind, "label"),
        text(kind, "fields"),
        code(kind, "cause", "UNDO_CAUSE_").trim_start_matches("LOSS_CAUSE_").to_owned(),
        code(kind, "outcome", "UNDO_OUTCOME_"),
        code(kind, "reason", "CANCEL_REASON_"),
        text(kind, "text"),
        text(kind, "missing_skus"),
        lines.join(", "),
        edits::changed(kind),
        code(kind, "state", "EDIT_STATE_"),
        if waiting.is_empty() { waiting } else { format!("backordered {waiting}") },
        text(kind, "total"),
        if refund.is_empty() { refund } else { format!("refund {refund}") },
        text(kind, "carrier"),
        text(kind, "tracking"),
        text(kind, "shipment_reference"),
        text(kind, "location"),
        short_time(kind, "delivered_at"),
        order_payment::of_event(kind),
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
