use serde_json::Value;

use super::{code, items, next_page, short_time, text};
use crate::client::Output;

/// Products, and where their units are if that is not only `main`.
pub fn stock<'a>(out: &Output, products: impl IntoIterator<Item = &'a Value>) {
    let products: Vec<&Value> = products.into_iter().collect();
    let rows = products.iter().map(|product| {
        vec![
            text(product, "sku"),
            text(product, "on_hand"),
            text(product, "reserved"),
            text(product, "available"),
            nonzero(product, "backordered"),
            nonzero(product, "backorder_limit"),
            short_time(product, "backorder_until"),
        ]
    });
    let head =
        ["sku", "on hand", "reserved", "available", "backordered", "backorder limit", "until"];
    out.list(&head, rows, "no products");
    let places = products.iter().flat_map(|product| {
        items(&product["locations"]).map(|place| {
            let [location, on_hand, held, free] =
                ["location", "on_hand", "held", "free"].map(|field| text(place, field));
            vec![text(product, "sku"), location, on_hand, held, free]
        })
    });
    let places: Vec<_> = places.collect();
    if !places.is_empty() {
        out.line("");
        out.list(&["sku", "location", "on hand", "held", "free"], places, "");
    }
}

/// Locations of stock, in the order in which they serve.
pub fn locations<'a>(out: &Output, locations: impl IntoIterator<Item = &'a Value>) {
    let rows = locations.into_iter().map(|one| vec![text(one, "name"), text(one, "priority")]);
    out.list(&["location", "priority"], rows, "no locations");
}

/// A number; empty for zero.
fn nonzero(value: &Value, field: &str) -> String {
    let number = text(value, field);
    if number == "0" { String::new() } else { number }
}

/// A number with its sign; empty for zero.
fn signed(value: &Value, field: &str) -> String {
    match value[field].as_i64() {
        None | Some(0) => String::new(),
        Some(units) => format!("{units:+}"),
    }
}

/// The movements of a product's stock, and their sums.
pub fn movements(out: &Output, answer: &Value) {
    let stock = &answer["stock"];
    let rows = items(&answer["movements"]).map(|movement| {
        vec![
            text(movement, "number"),
            short_time(movement, "at"),
            code(movement, "cause", "MOVEMENT_CAUSE_"),
            signed(movement, "on_hand_change"),
            signed(movement, "reserved_change"),
            nonzero(movement, "allocated"),
            text(movement, "on_hand"),
            text(movement, "reserved"),
            text(movement, "order_id"),
            text(movement, "asked_by"),
            text(movement, "reason"),
            text(movement, "location"),
        ]
    });
    let head = [
        "number",
        "at",
        "cause",
        "on hand",
        "reserved",
        "allocated",
        "on hand then",
        "reserved then",
        "order",
        "by",
        "why",
        "location",
    ];
    out.list(&head, rows, "no movements");
    out.line(format!(
        "{}: {} on hand = {} set and adjusted - {} delivered + {} restocked; {} of them reserved",
        text(stock, "sku"),
        text(stock, "on_hand"),
        text(answer, "adjusted"),
        text(answer, "committed"),
        text(answer, "restocked"),
        text(stock, "reserved"),
    ));
    next_page(out, answer);
}

const HOLDERS: [&str; 5] = ["order", "units", "backordered", "placed at", "shipped"];

fn holder(holder: &Value) -> Vec<String> {
    let shipped = if holder["partly_shipped"] == true { "partly" } else { "" };
    vec![
        text(holder, "order_id"),
        text(holder, "units"),
        nonzero(holder, "backordered"),
        short_time(holder, "placed_at"),
        shipped.to_owned(),
    ]
}

/// The orders that lost their units to a stock-take, if any.
pub fn losers(out: &Output, answer: &Value) {
    let losers: Vec<_> = items(&answer["losers"]).map(holder).collect();
    if !losers.is_empty() {
        out.line("these orders lose all their units and are cancelled:");
        out.list(&HOLDERS, losers, "");
    }
}

/// The orders that hold units of a product.
pub fn holders(out: &Output, answer: &Value) {
    let stock = &answer["stock"];
    out.list(&HOLDERS, items(&answer["holders"]).map(holder), "no order holds any");
    let fields = ["sku", "on_hand", "reserved"].map(|field| text(stock, field));
    out.line(format!("{}: {} on hand, {} of them reserved", fields[0], fields[1], fields[2]));
    next_page(out, answer);
}

/// The reservation of an order.
pub fn reservation(out: &Output, reservation: &Value) {
    out.pairs([
        ("order", text(reservation, "order_id")),
        ("reservation", text(reservation, "reservation_id")),
        ("state", code(reservation, "state", "RESERVATION_STATE_")),
        ("missing", text(reservation, "missing_skus")),
    ]);
    reserved_lines(out, &reservation["lines"]);
    let edit = &reservation["edit"];
    if edit.is_object() {
        out.line("");
        out.pairs([("for edit", text(edit, "edit_id"))]);
        reserved_lines(out, &edit["lines"]);
    }
}

fn reserved_lines(out: &Output, lines: &Value) {
    let head =
        ["line", "sku", "ordered", "held", "backordered", "released", "delivered", "restocked"];
    let rows = items(lines).map(|line| {
        vec![
            text(line, "line"),
            text(line, "sku"),
            text(line, "quantity"),
            text(line, "held"),
            nonzero(line, "backordered"),
            text(line, "released"),
            text(line, "committed"),
            text(line, "restocked"),
        ]
    });
    out.list(&head, rows, "no lines");
    let parts = items(lines).flat_map(|line| {
        items(&line["locations"]).map(|part| {
            let [location, held, delivered, restocked] =
                ["location", "held", "committed", "restocked"].map(|field| text(part, field));
            vec![text(line, "line"), text(line, "sku"), location, held, delivered, restocked]
        })
    });
    let parts: Vec<_> = parts.collect();
    if !parts.is_empty() {
        out.line("");
        out.list(&["line", "sku", "location", "held", "delivered", "restocked"], parts, "");
    }
}

fn notification_state(notification: &Value) -> String {
    code(notification, "state", "NOTIFICATION_STATE_")
}

/// The recipient or, of webhooks, the name of the endpoint.
fn recipient(message: &Value) -> String {
    let endpoint = text(message, "endpoint");
    if endpoint.is_empty() { text(message, "recipient") } else { endpoint }
}

/// Messages in a list.
pub fn notifications(out: &Output, answer: &Value) {
    let head =
        ["message", "order", "says", "channel", "to", "state", "tries", "at", "next try", "error"];
    let rows = items(&answer["notifications"]).map(|message| {
        let delivered = short_time(message, "delivered_at");
        let composed = short_time(message, "created_at");
        vec![
            text(message, "notification_id"),
            text(message, "order_id"),
            text(message, "kind"),
            text(message, "channel"),
            recipient(message),
            notification_state(message),
            text(message, "attempts"),
            if delivered.is_empty() { composed } else { delivered },
            short_time(message, "next_try_at"),
            text(message, "last_error"),
        ]
    });
    out.list(&head, rows, "no messages");
    next_page(out, answer);
}

/// One message, with its text.
pub fn notification(out: &Output, message: &Value) {
    out.pairs([
        ("message", text(message, "notification_id")),
        ("order", text(message, "order_id")),
        ("fact", text(message, "fact_id")),
        ("says", text(message, "kind")),
        ("channel", text(message, "channel")),
        ("to", text(message, "recipient")),
        ("endpoint", text(message, "endpoint")),
        ("state", notification_state(message)),
        ("tries", text(message, "attempts")),
        ("composed at", short_time(message, "created_at")),
        ("delivered at", short_time(message, "delivered_at")),
        ("next try at", short_time(message, "next_try_at")),
        ("error", text(message, "last_error")),
        ("subject", text(message, "subject")),
    ]);
    let tries = items(&message["tries"]).map(|one| {
        let error = text(one, "error");
        let outcome = if error.is_empty() { "delivered".to_owned() } else { error };
        vec![short_time(one, "at"), outcome]
    });
    let tries: Vec<_> = tries.collect();
    if !tries.is_empty() {
        out.line("");
        out.list(&["tried at", "outcome"], tries, "");
    }
    let body = text(message, "body");
    if !body.is_empty() {
        out.line("");
        out.lines(&body);
    }
}
