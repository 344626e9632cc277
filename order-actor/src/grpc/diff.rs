use std::collections::BTreeMap;

use shared_events::contract::{Money, Timestamp};

use super::diff_payment;
use super::proto::FieldChange;
use crate::domain::{
    Address, AddressPart, By, Details, Discount, Line, Order, OrderCharge, ParcelState, Role,
    Shipment, Tax,
};

/// Values by path. The number sorts fields of lines last, by line.
type Fields = BTreeMap<(u32, String), String>;

/// Every field that differs between two states of an order, as far as the caller may see it.
pub(super) fn diff(before: &Order, after: &Order, by: &By) -> Vec<FieldChange> {
    let private = by.role() != Role::Customer;
    let (before, after) = (fields(before, private), fields(after, private));
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
fn fields(order: &Order, private: bool) -> Fields {
    let mut fields = Fields::new();
    let Some(details) = order.details() else { return fields };
    set_details(order, details, &mut |path, value| set(&mut fields, path, value));
    set_notes(details, private, &mut |path, value| set(&mut fields, path, value));
    set_holds(order, private, &mut |path, value| set(&mut fields, path, value));
    set_state(order, &mut |path, value| set(&mut fields, path, value));
    diff_payment::set_payment(order, &mut |path, value| set(&mut fields, path, value));
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
    for (index, shipment) in details.shipments.iter().enumerate() {
        set_parcel(&format!("parcels[{index}]"), shipment, set);
    }
    set_returns(details, set);
    for (index, edit) in details.edits.iter().enumerate() {
        let skus: Vec<String> = edit.skus.iter().map(ToString::to_string).collect();
        let text = format!("{} {} {}", edit.edit_id, edit.state.code(), skus.join(", "));
        set(&format!("edits[{index}]"), text.trim_end().to_owned());
    }
}

/// Waiting returns, and judged ones. The oldest waiting one has the path of its own field.
fn set_returns(details: &Details, set: &mut dyn FnMut(&str, String)) {
    for (index, known) in details.waiting.iter().enumerate() {
        let path = match index {
            0 => "pending_return".to_owned(),
            _ => format!("pending_returns[{index}]"),
        };
        let mut set = |field: &str, value| set(&format!("{path}.{field}"), value);
        set("return_id", known.return_id.to_string());
        set("return_reference", known.reference.clone());
        set("reason", known.reason.clone());
        set("judge_by", known.judge_by.to_string());
        set("escalated", known.escalated.to_string());
        if let Some(order_id) = known.exchange_order_id {
            set("exchange_order_id", order_id.to_string());
        }
        for (index, line) in known.lines.iter().enumerate() {
            set(&format!("lines[{index}]"), format!("line {}: {}", line.line, line.quantity));
        }
        if let Some(approval) = &known.approval {
            set("approved_refund", approval.refund.to_string());
            set("rejected_reason", approval.rejected_reason.clone());
            for (index, line) in approval.lines.iter().enumerate() {
                let units = format!("line {}: {}", line.line, line.quantity);
                set(&format!("approved_lines[{index}]"), units);
            }
        }
    }
    for (index, judged) in details.judged.iter().enumerate() {
        let verdict = if judged.is_approved() { "approved" } else { "rejected" };
        set(&format!("judged_returns[{index}]"), format!("{} {verdict}", judged.return_id()));
    }
    if let Some(exchange) = details.terms.exchange_of {
        set("exchange_of.order_id", exchange.order_id.to_string());
        set("exchange_of.return_id", exchange.return_id.to_string());
    }
}

/// What there is to say of a parcel beside its id. One that is on its way has no state of its own.
fn set_parcel(path: &str, parcel: &Shipment, set: &mut dyn FnMut(&str, String)) {
    set(&format!("{path}.shipment_reference"), parcel.reference.clone());
    set(&format!("{path}.carrier"), parcel.carrier().to_owned());
    set(&format!("{path}.tracking"), parcel.tracking().to_owned());
    let location = parcel.location.as_ref().map(ToString::to_string);
    set(&format!("{path}.location"), location.unwrap_or_default());
    if parcel.state() != ParcelState::Shipped {
        set(&format!("{path}.state"), parcel.state().code().to_owned());
    }
    let delivered_at = parcel.delivered_at.map(|at| at.to_string());
    set(&format!("{path}.delivered_at"), delivered_at.unwrap_or_default());
}

fn set_address(path: &str, address: &Address, set: &mut dyn FnMut(&str, String)) {
    for part in AddressPart::ALL {
        set(&format!("{path}.{}", part.name()), part.of(address).clone());
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
        set_taxes(&format!("{path}."), &charge.taxes, set);
    }
    if !terms.tax_mode.is_on_top() {
        set("tax_mode", "INCLUDED".to_owned());
    }
    set_discounts("", &terms.discounts, set);
    for (index, tag) in terms.tags.iter().enumerate() {
        set(&format!("tags[{index}]"), tag.clone());
    }
    for (key, value) in &terms.metadata {
        set(&format!("metadata[{key}]"), value.clone());
    }
    for (name, text) in terms.names.iter().flat_map(|names| names.all()) {
        set(name.field(), text.to_owned());
    }
}

/// Discounts, of the order or of the line at this path.
fn set_discounts(path: &str, discounts: &[Discount], set: &mut dyn FnMut(&str, String)) {
    for (index, Discount { label, amount }) in discounts.iter().enumerate() {
        set(&format!("{path}discounts[{index}]"), format!("{label}: {amount}"));
    }
}

/// Taxes of a charge or of a line.
fn set_taxes(path: &str, taxes: &[Tax], set: &mut dyn FnMut(&str, String)) {
    for (index, Tax { name, rate, amount }) in taxes.iter().enumerate() {
        let rate = rate.map(|rate| format!(" {rate} %")).unwrap_or_default();
        set(&format!("{path}taxes[{index}]"), format!("{name}{rate}: {amount}"));
    }
}

/// The holds that stand; what they are for only where the caller may see it.
fn set_holds(order: &Order, private: bool, set: &mut dyn FnMut(&str, String)) {
    for hold in order.standing_holds() {
        let text =
            if private { format!("{}: {}", hold.name(), hold.reason) } else { "held".to_owned() };
        set(&format!("holds[{}]", hold.hold_id), text);
    }
}

/// Its notes; of private ones, only where the caller may see them.
fn set_notes(details: &Details, private: bool, set: &mut dyn FnMut(&str, String)) {
    let seen = details.notes.iter().filter(|note| note.public || private);
    for (number, note) in (1_u32..).zip(seen) {
        set(&format!("notes[{number}]"), note.note.text.clone());
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
        if !terms.image_url.is_empty() {
            set("image_url", terms.image_url.clone());
        }
        for (key, value) in &terms.attributes {
            set(&format!("attributes[{key}]"), value.clone());
        }
        set_discounts("", &terms.discounts, &mut set);
        set_taxes("", &terms.taxes, &mut set);
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
