//! Renders messages for people, from JSON with the protos' field names.

mod edits; // edits of orders
mod ledger; // accounts, entries, holds of money
mod notes; // notes on orders
mod operations; // dead letters, quarantine, operators' actions
mod order_payment; // money of orders with a payment plan
mod orders; // orders and their history
mod payments; // payments, operations at providers
mod payouts; // payouts to sellers
mod settlement; // reports of what providers paid out
mod stock; // products and messages
mod terms; // who gets an order, and what its sums are for

pub use ledger::{account, accounts, entries, entry, hold, wallet};
pub use operations::{dead_letter, dead_letters, operations, quarantined};
pub use orders::{command, history, listed_returns, order, orders, parcels, recorded, what};
pub use payments::{
    attempt, only_would, payment, payment_operation, payment_operations, payment_webhook,
    payment_webhooks, payments,
};
pub use payouts::{payout, payout_run, payouts};
pub use settlement::{settlement, settlement_line, settlement_lines, settlements, unsettled};
pub use stock::{
    holders, locations, losers, movements, notification, notifications, reservation, stock,
};

use serde_json::Value;
use shared_events::contract::Money;

use super::Output;

/// A field as text; empty if absent.
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

/// A place in a log: a shard and a position.
pub fn place(value: &Value) -> String {
    if value.is_null() {
        return String::new();
    }
    format!("{}:{}", text(value, "shard"), text(value, "position"))
}

/// The value of an enumeration without its prefix.
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

/// A time without fractions of a second.
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

/// The status of an order.
pub fn status(order: &Value) -> String {
    code(order, "status", "ORDER_STATUS_")
}

/// The flag for the next page, if there is one.
pub fn next_page(out: &Output, answer: &Value) {
    let token = text(answer, "next_page_token");
    if !token.is_empty() {
        out.line(format!("more: --page-token {token}"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use order_actor::domain::Event;
    use serde_json::json;

    use super::*;
    use crate::client::protos;

    #[test]
    fn money_is_shown_with_the_decimals_of_its_currency() {
        let value = json!({"total": {"currency_code": "GBP", "units": 19, "nanos": 990_000_000}});
        assert_eq!(text(&value, "total"), "19.99 GBP");
        let value = json!({"total": {"currency_code": "JPY", "units": 1500, "nanos": 0}});
        assert_eq!(text(&value, "total"), "1500 JPY");
    }

    #[test]
    fn only_objects_with_a_position_are_shown_as_places() {
        let letter = json!({"follower": "stock", "shard": 0, "position": 5, "order_id": "x"});
        assert_eq!(place(&letter), "0:5");
        assert!(plain(&letter).contains("stock"), "an object is shown in full");
        assert_eq!(place(&json!(null)), "");
    }

    #[test]
    fn codes_lose_their_prefix_and_unspecified_is_empty() {
        let value =
            json!({"status": "ORDER_STATUS_PENDING", "cancel_reason": "CANCEL_REASON_UNSPECIFIED"});
        assert_eq!(status(&value), "PENDING");
        assert_eq!(code(&value, "cancel_reason", "CANCEL_REASON_"), "");
    }

    #[test]
    fn an_event_is_summarized() {
        let event = json!({"name": "LinesFulfilled", "lines_fulfilled": {
            "lines": [{"line": 1, "quantity": 2}], "carrier": "Royal Mail", "tracking": ""}});
        assert_eq!(what(&event), "2 x line 1; Royal Mail");
    }

    #[test]
    fn every_event_of_the_journal_is_shown_and_named_as_in_the_proto() {
        let event = protos().unwrap().get_message_by_name("ordinal.orders.v1.Event").unwrap();
        let kind = event.oneofs().find(|oneof| oneof.name() == "kind").unwrap();
        let fields: Vec<String> = kind.fields().map(|field| field.name().to_owned()).collect();
        let snake = |name: &&str| {
            let letters = name.chars().flat_map(|letter| {
                let blank = letter.is_ascii_uppercase().then_some('_');
                blank.into_iter().chain([letter.to_ascii_lowercase()])
            });
            letters.collect::<String>().trim_start_matches('_').to_owned()
        };
        let names: BTreeSet<String> = Event::NAMES.iter().map(snake).collect();
        assert_eq!(names, fields.iter().cloned().collect::<BTreeSet<_>>());
        for field in fields {
            let mut shown = json!({ "version": 2, "occurred_at": "2026-11-28T00:29:07Z" });
            shown[&field] = json!({ "text": "sold out" });
            assert_eq!(what(&shown), "sold out", "{field}");
        }
    }
}
