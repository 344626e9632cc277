use std::collections::BTreeMap;

use shared_events::contract::Timestamp;

use super::proto::FieldChange;
use crate::domain::{Details, Line, Order};

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
    set("total", details.total.to_string());
    set("refunded", details.refunded.to_string());
    set("address.street", details.address.street.clone());
    set("address.city", details.address.city.clone());
    set("address.postal_code", details.address.postal_code.clone());
    set("address.country", details.address.country.clone());
    set("contact.email", details.contact.email.clone().unwrap_or_default());
    set("contact.phone", details.contact.phone.clone().unwrap_or_default());
    set("contact.locale", details.contact.locale.as_str().to_owned());
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
}
