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
        other => other.to_string(),
    }
}

/// Where something stands in a log: what has a shard and a position.
pub fn place(value: &Value) -> String {
    if value.is_null() {
        return String::new();
    }
    format!("{}:{}", text(value, "shard"), text(value, "position"))
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

fn amount(value: &Value) -> Option<Money> {
    let currency = value["currency_code"].as_str()?.parse().ok()?;
    let nanos = i32::try_from(value["nanos"].as_i64()?).ok()?;
    Money::from_units_nanos(value["units"].as_i64()?, nanos, currency).ok()
}

fn money(value: &Value) -> String {
    amount(value).map(|amount| amount.to_string()).unwrap_or_default()
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
    let ordered = &answer["order"];
    order(out, ordered);
    if answer["replayed"] == true {
        out.line(
            "This request had been carried out before; another request id is another request.",
        );
    }
    if text(ordered, "cancel_reason") == "CANCEL_REASON_INSUFFICIENT_STOCK" {
        out.line("`ordinal stock set SKU UNITS` says what is on hand; then place it anew.");
    }
}

/// Orders as lists show them.
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

/// Returns that wait to be judged, with the units that come back and what they cost.
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
            value_of(order, waiting).map(|value| value.to_string()).unwrap_or_default(),
            text(waiting, "reason"),
        ]
    });
    out.list(&head, rows, "no returns wait");
    next_page(out, answer);
}

/// What the units of a waiting return cost.
fn value_of(order: &Value, waiting: &Value) -> Option<Money> {
    let mut sum: Option<Money> = None;
    for units in items(&waiting["lines"]) {
        let line = items(&order["lines"]).find(|line| line["line"] == units["line"])?;
        let price = amount(&line["unit_price"])?;
        let minor = price.minor.checked_mul(units["quantity"].as_i64()?)?;
        let before = sum.map_or(0, |sum| sum.minor);
        sum = Some(Money::new(before.checked_add(minor)?, price.currency));
    }
    sum
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

/// Dead letters, without their content: those that wait behind another of their subject are counted
/// beside it.
pub fn dead_letters(out: &Output, answer: &Value) {
    let mut shown: Vec<(&Value, u64)> = Vec::new();
    for letter in items(&answer["dead_letters"]) {
        let same = |field: &str, other: &Value| other[field] == letter[field];
        let first = shown
            .iter_mut()
            .find(|(first, _)| same("follower", first) && same("subject", first))
            .filter(|_| letter["state"] == "BEHIND");
        match first {
            Some((_, behind)) => *behind += 1,
            None => shown.push((letter, 0)),
        }
    }
    let head = [
        "follower",
        "subject",
        "state",
        "kind",
        "place",
        "tries",
        "behind",
        "set aside at",
        "error",
    ];
    let rows = shown.into_iter().map(|(letter, behind)| {
        vec![
            text(letter, "follower"),
            text(letter, "subject"),
            text(letter, "state"),
            text(letter, "kind"),
            place(letter),
            text(letter, "attempts"),
            if behind == 0 { String::new() } else { behind.to_string() },
            short_time(letter, "parked_at"),
            text(letter, "error"),
        ]
    });
    out.list(&head, rows, "no dead letters");
    next_page(out, answer);
}

/// A dead letter with its content.
pub fn dead_letter(out: &Output, letter: &Value) {
    out.pairs([
        ("follower", text(letter, "follower")),
        ("subject", text(letter, "subject")),
        ("state", text(letter, "state")),
        ("kind", text(letter, "kind")),
        ("place", place(letter)),
        ("tries", text(letter, "attempts")),
        ("set aside at", short_time(letter, "parked_at")),
        ("error", text(letter, "error")),
        ("content", text(letter, "item")),
    ]);
}

/// Orders with an impossible history.
pub fn quarantined(out: &Output, answer: &Value) {
    let rows = items(&answer["quarantined"]).map(|order| {
        vec![text(order, "order_id"), short_time(order, "since"), text(order, "reason")]
    });
    out.list(&["order", "since", "reason"], rows, "no orders are quarantined");
}

/// Products.
pub fn stock<'a>(out: &Output, products: impl IntoIterator<Item = &'a Value>) {
    let fields = ["sku", "on_hand", "reserved", "available"];
    let rows = products.into_iter().map(|product| fields.map(|field| text(product, field)).into());
    out.list(&["sku", "on hand", "reserved", "available"], rows, "no products");
}

/// A number with its sign; empty for nothing.
fn signed(value: &Value, field: &str) -> String {
    match value[field].as_i64() {
        None | Some(0) => String::new(),
        Some(units) => format!("{units:+}"),
    }
}

/// What moved the stock of a product, and what it adds up to.
pub fn movements(out: &Output, answer: &Value) {
    let stock = &answer["stock"];
    let rows = items(&answer["movements"]).map(|movement| {
        vec![
            text(movement, "number"),
            short_time(movement, "at"),
            code(movement, "cause", "MOVEMENT_CAUSE_"),
            signed(movement, "on_hand_change"),
            signed(movement, "reserved_change"),
            text(movement, "on_hand"),
            text(movement, "reserved"),
            text(movement, "order_id"),
            text(movement, "asked_by"),
            text(movement, "reason"),
        ]
    });
    let head = [
        "number",
        "at",
        "cause",
        "on hand",
        "reserved",
        "on hand then",
        "reserved then",
        "order",
        "by",
        "why",
    ];
    out.list(&head, rows, "no movements");
    out.line(format!(
        "{}: {} on hand = {} set and adjusted - {} delivered + {} came back; {} of them reserved",
        text(stock, "sku"),
        text(stock, "on_hand"),
        text(answer, "adjusted"),
        text(answer, "committed"),
        text(answer, "restocked"),
        text(stock, "reserved"),
    ));
    next_page(out, answer);
}

/// What operators did.
pub fn operations(out: &Output, answer: &Value) {
    let rows = items(&answer["actions"]).map(|action| {
        vec![
            short_time(action, "at"),
            format!("{}:{}", text(action, "role").to_lowercase(), text(action, "subject")),
            text(action, "verb"),
            text(action, "target"),
            text(action, "reason"),
            format!("{} → {}", text(action, "before"), text(action, "after")),
        ]
    });
    out.list(&["at", "who", "what", "to", "why", "before → after"], rows, "nothing was done yet");
    for away in items(&answer["away"]) {
        let away = plain(away);
        out.line(format!("{away} does not answer: what was done there is not shown"));
    }
    next_page(out, answer);
}

/// What is held for an order.
pub fn reservation(out: &Output, reservation: &Value) {
    out.pairs([
        ("order", text(reservation, "order_id")),
        ("reservation", text(reservation, "reservation_id")),
        ("state", code(reservation, "state", "RESERVATION_STATE_")),
        ("missing", text(reservation, "missing_skus")),
    ]);
    let fields = ["line", "sku", "quantity", "held", "released", "committed", "restocked"];
    let head = ["line", "sku", "ordered", "held", "released", "delivered", "restocked"];
    let rows =
        items(&reservation["lines"]).map(|line| fields.map(|field| text(line, field)).into());
    out.list(&head, rows, "no lines");
}

fn notification_state(notification: &Value) -> String {
    code(notification, "state", "NOTIFICATION_STATE_")
}

/// Messages as lists show them.
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
            text(message, "recipient"),
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
        ("state", notification_state(message)),
        ("tries", text(message, "attempts")),
        ("composed at", short_time(message, "created_at")),
        ("delivered at", short_time(message, "delivered_at")),
        ("next try at", short_time(message, "next_try_at")),
        ("error", text(message, "last_error")),
        ("subject", text(message, "subject")),
    ]);
    let body = text(message, "body");
    if !body.is_empty() {
        out.line("");
        out.lines(&body);
    }
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
    fn only_what_has_a_place_is_shown_as_one() {
        let letter = json!({"follower": "stock", "shard": 0, "position": 5, "order_id": "x"});
        assert_eq!(place(&letter), "0:5");
        assert!(plain(&letter).contains("stock"), "an object is never shown as less than it is");
        assert_eq!(place(&json!(null)), "");
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
