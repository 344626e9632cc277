use std::collections::BTreeMap;

use shared_events::contract::{Money, Timestamp};

use super::proto::FieldChange;
use crate::domain::{Address, Details, Line, Order, OrderCharge};

/// Values by path. The number sorts fields of lines last, by line.
type Fields = BTreeMap<(u32, String), String>;

/// Every field that differs between two states of an order.
pub(super) fn diff(before: &Order, after: &Order) -> Vec<FieldChange> {
    let (before, after) = (fields(before), fields(after));
    let mut paths: Vec<&(u32, String)> = before.keys().chain(after.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
        .into_iter()
        .filter(|path| before.get(path) != after.get(path))
        .map(|path| FieldChange {
            path: path.1.clone(),
            before: before.get(path).cloned().unwrap_or_default(),
            after: after.get(path).cloned().unwrap_or_default(),
        })
        .collect()
}

/// The fields under their proto names. Unset fields are absent.
fn fields(order: &Order) -> Fields {
    let mut fields = Fields::new();
    let Some(details) = order.details() else { return fields };
    set_details(order, details, &mut |path, value| set(&mut fields, path, value));
    set_state(order, &mut |path, value| set(&mut fields, path, value));
    for line in &details.lines {
        set_line(line, &mut fields);
    }
    fields
}

fn set(fields: &mut Fields, path: &str, value: String) {
    if !value.is_empty() {
        fields.insert((0, path.to_owned()), value);
    }
}

/// Fields that every order has.
fn set_details(order: &Order, details: &Details, set: &mut dyn FnMut(&str, String)) {
    set("order_id", details.order_id.to_string());
    set("customer_id", details.customer_id.to_string());
    set("status", order.status().map(|status| status.code().to_owned()).unwrap_or_default());
    set("total", details.totals.total.to_string());
    set("refunded", details.refunded.to_string());
    set_address("address", &details.person.address, set);
    if let Some(address) = &details.person.billing_address {
        set_address("billing_address", address, set);
    }
    let contact = &details.person.contact;
    set("contact.email", contact.email.clone().unwrap_or_default());
    set("contact.phone", contact.phone.clone().unwrap_or_default());
    set("contact.locale", contact.locale.as_str().to_owned());
    set_terms(details, set);
    set("placed_at", details.placed_at.to_string());
    set("ordered_at", details.ordered_at.map(|at: Timestamp| at.to_string()).unwrap_or_default());
    for (index, shipment) in details.shipments.iter().enumerate() {
        set(&format!("shipment_ids[{index}]"), shipment.shipment_id.to_string());
    }
    for (index, judged) in details.judged.iter().enumerate() {
        let verdict = if judged.is_approved() { "approved" } else { "rejected" };
        set(&format!("judged_returns[{index}]"), format!("{} {verdict}", judged.return_id));
    }
}

fn set_address(path: &str, address: &Address, set: &mut dyn FnMut(&str, String)) {
    let parts = [
        ("street", &address.street),
        ("city", &address.city),
        ("postal_code", &address.postal_code),
        ("country", &address.country),
        ("name", &address.name),
        ("company", &address.company),
        ("street_line2", &address.street_line2),
        ("region", &address.region),
        ("phone", &address.phone),
        ("instructions", &address.instructions),
    ];
    for (part, value) in parts {
        set(&format!("{path}.{part}"), value.clone());
    }
}

/// What it was placed with beside lines and prices. Sums that are the total are not repeated.
fn set_terms(details: &Details, set: &mut dyn FnMut(&str, String)) {
    let (terms, totals) = (&details.terms, &details.totals);
    if !totals.is_plain() {
        set("totals.goods", totals.goods.to_string());
        set("totals.discounts", totals.discounts.to_string());
        set("totals.charges", totals.charges.to_string());
        set("totals.tax", totals.tax.to_string());
    }
    for OrderCharge { charge, amount, refunded } in &details.charges {
        let in_currency = |minor| Money::new(minor, charge.amount.currency).to_string();
        let path = format!("charges[{}]", charge.number);
        set(&format!("{path}.total"), in_currency(amount.total));
        set(&format!("{path}.refunded"), in_currency(*refunded));
    }
    for (index, discount) in terms.discounts.iter().enumerate() {
        set(&format!("discounts[{index}]"), format!("{}: {}", discount.label, discount.amount));
    }
    for (index, tag) in terms.tags.iter().enumerate() {
        set(&format!("tags[{index}]"), tag.clone());
    }
    for (key, value) in &terms.metadata {
        set(&format!("metadata[{key}]"), value.clone());
    }
}

/// Fields of its state.
fn set_state(order: &Order, set: &mut dyn FnMut(&str, String)) {
    match order {
        Order::Pending(pending) => set("confirm_by", pending.confirm_by.to_string()),
        Order::Confirmed(confirmed) => set("reservation_id", confirmed.reservation_id.to_string()),
        Order::Fulfilled(fulfilled) => {
            set("fulfilled_at", fulfilled.fulfilled_at.to_string());
            set("return_until", fulfilled.return_until.to_string());
        }
        Order::ReturnRequested(requested) => {
            set("fulfilled_at", requested.fulfilled.fulfilled_at.to_string());
            set("return_until", requested.fulfilled.return_until.to_string());
            set("pending_return.return_id", requested.return_id.to_string());
            set("pending_return.reason", requested.reason.clone());
            set("pending_return.judge_by", requested.judge_by.to_string());
            set("pending_return.escalated", requested.escalated.to_string());
            for (index, line) in requested.lines.iter().enumerate() {
                let units = format!("line {}: {}", line.line, line.quantity);
                set(&format!("pending_return.lines[{index}]"), units);
            }
        }
        Order::Cancelled(cancelled) => {
            set("cancel_reason", cancelled.reason.code().to_owned());
            set("cancel_text", cancelled.text.clone());
            for (index, sku) in cancelled.skus.iter().enumerate() {
                set(&format!("missing_skus[{index}]"), sku.to_string());
            }
        }
        Order::Absent | Order::Returned(_) => {}
    }
}

fn set_line(line: &Line, fields: &mut Fields) {
    let mut set = |field: &str, value: String| {
        fields.insert((line.number, format!("lines[{}].{field}", line.number)), value);
    };
    set("sku", line.sku.to_string());
    set("unit_price", line.unit_price.to_string());
    if let Some(seller_id) = line.seller_id {
        set("seller_id", seller_id.to_string());
    }
    set("ordered", line.ordered.to_string());
    set("cancelled", line.cancelled.to_string());
    set("fulfilled", line.fulfilled.to_string());
    set("in_return", line.in_return.to_string());
    set("returned", line.returned.to_string());
    set("open", line.open().to_string());
    if line.backordered > 0 {
        set("backordered", line.backordered.to_string());
    }
    if let Some(terms) = &line.terms {
        if !terms.title.is_empty() {
            set("title", terms.title.clone());
        }
        for (key, value) in &terms.attributes {
            set(&format!("attributes[{key}]"), value.clone());
        }
    }
    let goods = i128::from(line.unit_price.minor) * i128::from(line.ordered);
    let amounts = line.amounts;
    // An included tax changes no total, and a tax may be as much as a discount.
    if line.terms.is_some() || i128::from(amounts.ordered.total) != goods {
        let in_currency = |minor| Money::new(minor, line.unit_price.currency).to_string();
        set("total", in_currency(amounts.ordered.total));
        set("tax", in_currency(amounts.ordered.tax));
        set("cancelled_total", in_currency(amounts.cancelled.total));
        set("fulfilled_total", in_currency(amounts.fulfilled.total));
        set("returned_total", in_currency(amounts.returned.total));
    }
}
