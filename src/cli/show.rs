//! Messages as people read them. Takes the protos' own field names.

use serde_json::Value;
use shared_events::contract::Money;

use super::Output;

/// A field as text; empty where absent.
pub fn text(value: &Value, field: &str) -> String {
    plain(&value[field])
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.contains_key("currency_code") => money(value),
        Value::Object(fields) if fields.contains_key("shard") => {
            format!("{}:{}", text(value, "shard"), text(value, "position"))
        }
        other => other.to_string(),
    }
}

/// An enumeration's value without its prefix.
pub fn code(value: &Value, field: &str, prefix: &str) -> String {
    let name = text(value, field);
    match name.strip_prefix(prefix) {
        Some("UNSPECIFIED") => String::new(),
        Some(code) => code.to_owned(),
        None => name,
    }
}

fn money(value: &Value) -> String {
    let amount = || {
        let currency = value["currency_code"].as_str()?.parse().ok()?;
        let nanos = i32::try_from(value["nanos"].as_i64()?).ok()?;
        Money::from_units_nanos(value["units"].as_i64()?, nanos, currency).ok()
    };
    amount().map(|amount| amount.to_string()).unwrap_or_default()
}

/// An instant without its fraction of a second.
pub fn short_time(value: &Value, field: &str) -> String {
    let text = text(value, field);
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// One order.
pub fn order(out: &Output, order: &Value) {
    let pending = &order["pending_return"];
    out.pairs([
        ("order", text(order, "order_id")),
        ("status", status(order)),
        ("version", text(order, "version")),
        ("customer", text(order, "customer_id")),
        ("total", text(order, "total")),
        ("refunded", text(order, "refunded")),
        ("placed at", short_time(order, "placed_at")),
        ("ordered at", short_time(order, "ordered_at")),
        ("updated at", short_time(order, "updated_at")),
        ("confirm by", short_time(order, "confirm_by")),
        ("fulfilled at", short_time(order, "fulfilled_at")),
        ("return until", short_time(order, "return_until")),
        ("cancelled for", code(order, "cancel_reason", "CANCEL_REASON_")),
        ("words", text(order, "cancel_text")),
        ("missing", text(order, "missing_skus")),
        ("parcels", text(order, "shipment_ids")),
        ("return", text(pending, "return_id")),
        ("return reason", text(pending, "reason")),
        ("judge by", short_time(pending, "judge_by")),
    ]);
    let head = [
        "line",
        "sku",
        "price",
        "ordered",
        "cancelled",
        "fulfilled",
        "in return",
        "returned",
        "open",
    ];
    let fields = [
        "line",
        "sku",
        "unit_price",
        "ordered",
        "cancelled",
        "fulfilled",
        "in_return",
        "returned",
        "open",
    ];
    out.table(
        &head,
        items(&order["lines"]).map(|line| fields.iter().map(|field| text(line, field)).collect()),
    );
}

/// The headline of an order.
pub fn status(order: &Value) -> String {
    code(order, "status", "ORDER_STATUS_")
}

/// What a command did.
pub fn command(out: &Output, answer: &Value, validate_only: bool) {
    let events: Vec<String> = items(&answer["events"]).map(|event| text(event, "name")).collect();
    let did = match (validate_only, events.is_empty()) {
        (true, true) => "would change nothing".to_owned(),
        (true, false) => format!("would append {}", events.join(", ")),
        (false, true) => "nothing changed".to_owned(),
        (false, false) => format!("appended {}", events.join(", ")),
    };
    out.line(did);
    order(out, &answer["order"]);
}

/// Orders as lists show them.
pub fn orders(out: &Output, answer: &Value) {
    out.table(
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
    );
    next_page(out, answer);
}

/// How to see more, where there is more.
pub fn next_page(out: &Output, answer: &Value) {
    let token = text(answer, "next_page_token");
    if !token.is_empty() {
        out.line(format!("more: --page-token {token}"));
    }
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

/// What an event says, in short; nothing personal.
pub fn what(event: &Value) -> String {
    let kinds = [
        "order_placed",
        "order_confirmed",
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
    let refund = text(kind, "refund");
    let parts = [
        code(kind, "reason", "CANCEL_REASON_"),
        text(kind, "text"),
        text(kind, "missing_skus"),
        lines.join(", "),
        text(kind, "total"),
        if refund.is_empty() { refund } else { format!("refund {refund}") },
        text(kind, "carrier"),
        text(kind, "tracking"),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

/// An event of the journal, on one line.
pub fn recorded(out: &Output, recorded: &Value) {
    let event = &recorded["event"];
    let line = [
        text(recorded, "position"),
        short_time(recorded, "recorded_at"),
        text(recorded, "order_id"),
        format!("v{}", text(event, "version")),
        text(event, "name"),
        what(event),
        text(recorded, "unreadable"),
    ];
    out.line(line.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "));
}

/// Any message: its plain fields as pairs, its lists of messages as tables.
pub fn any(out: &Output, value: &Value) {
    let Some(fields) = value.as_object() else { return out.line(plain(value)) };
    let is_message = |value: &Value| {
        value.as_object().is_some_and(|fields| {
            !fields.contains_key("currency_code") && !fields.contains_key("shard")
        })
    };
    let pairs = fields
        .iter()
        .filter(|(name, value)| {
            !is_message(value)
                && !value.as_array().is_some_and(|list| list.first().is_none_or(is_message))
                && name.as_str() != "next_page_token"
        })
        .map(|(name, value)| (name.as_str(), plain(value)));
    out.pairs(pairs);
    for (name, value) in fields {
        if is_message(value) {
            any(out, value);
        } else if value.as_array().is_some_and(|list| list.first().is_none_or(is_message)) {
            table(out, name, value);
        }
    }
    next_page(out, value);
}

fn table(out: &Output, name: &str, rows: &Value) {
    let Some(first) = rows.get(0).and_then(Value::as_object) else {
        return out.line(format!("no {}", name.replace('_', " ")));
    };
    // A column that says nothing in any row is left out.
    let columns: Vec<&String> = first
        .keys()
        .filter(|column| items(rows).any(|row| !text(row, column).is_empty()))
        .collect();
    let head: Vec<String> = columns.iter().map(|column| column.replace('_', " ")).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    out.table(
        &head,
        items(rows).map(|row| columns.iter().map(|column| text(row, column)).collect()),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn money_is_shown_with_the_decimals_of_its_currency() {
        let value = json!({"total": {"currency_code": "GBP", "units": 19, "nanos": 990_000_000}});
        assert_eq!(text(&value, "total"), "19.99 GBP");
        let value = json!({"total": {"currency_code": "JPY", "units": 1500, "nanos": 0}});
        assert_eq!(text(&value, "total"), "1500 JPY");
    }

    #[test]
    fn codes_lose_their_prefix_and_unspecified_is_silent() {
        let value =
            json!({"status": "ORDER_STATUS_PENDING", "cancel_reason": "CANCEL_REASON_UNSPECIFIED"});
        assert_eq!(status(&value), "PENDING");
        assert_eq!(code(&value, "cancel_reason", "CANCEL_REASON_"), "");
    }

    #[test]
    fn an_event_says_what_happened_in_short() {
        let event = json!({"name": "LinesFulfilled", "lines_fulfilled": {
            "lines": [{"line": 1, "quantity": 2}], "carrier": "Royal Mail", "tracking": ""}});
        assert_eq!(what(&event), "2 x line 1; Royal Mail");
    }
}
