//! Domain → proto. Total: every domain value has a wire form.

mod amounts; // what an order costs
mod customers; // what customers see of their orders
mod edits; // edits of lines
mod event; // order events
mod notes; // names and notes
mod parcels; // holds, corrections and parcels
mod payments; // money of orders with a payment plan
mod returns; // returns and their events

use amounts::{discounts, order_charge, tax_mode, taxes, totals};
pub use customers::for_customer;
pub use event::{event, for_customers};
pub use returns::return_summary;
use shared_events::contract::{CancelReason, Contact, Disposition, Mark, Money, Sku, Timestamp};
use shared_events::stream::Cursors;

use super::proto;
use crate::actor::{Executed, View};
use crate::domain::{
    Address, Details, Event, Line, LineAmounts, LineQuantity, Order, Role, Status,
};
use crate::projections::Summary;
use crate::record::RecordedEvent;

/// An amount.
#[must_use]
pub fn money(money: Money) -> proto::Money {
    let (units, nanos) = money.units_nanos();
    proto::Money { currency_code: money.currency.code().to_owned(), units, nanos }
}

/// An instant.
#[must_use]
pub fn time(time: Timestamp) -> prost_types::Timestamp {
    service_edge::time::timestamp(time)
}

/// A status.
#[must_use]
pub const fn status(status: Status) -> proto::OrderStatus {
    match status {
        Status::Pending => proto::OrderStatus::Pending,
        Status::Confirmed => proto::OrderStatus::Confirmed,
        Status::Fulfilled => proto::OrderStatus::Fulfilled,
        Status::ReturnRequested => proto::OrderStatus::ReturnRequested,
        Status::Returned => proto::OrderStatus::Returned,
        Status::Cancelled => proto::OrderStatus::Cancelled,
    }
}

const fn cancel_reason(reason: CancelReason) -> proto::CancelReason {
    match reason {
        CancelReason::CustomerRequest => proto::CancelReason::CustomerRequest,
        CancelReason::InsufficientStock => proto::CancelReason::InsufficientStock,
        CancelReason::SlaTimeout => proto::CancelReason::SlaTimeout,
        CancelReason::PaymentFailed => proto::CancelReason::PaymentFailed,
        CancelReason::Ops => proto::CancelReason::Ops,
    }
}

const fn disposition(disposition: Disposition) -> proto::Disposition {
    match disposition {
        Disposition::Restock => proto::Disposition::Restock,
        Disposition::WriteOff => proto::Disposition::WriteOff,
    }
}

const fn role(role: Role) -> proto::Role {
    match role {
        Role::Customer => proto::Role::Customer,
        Role::Service => proto::Role::Service,
        Role::Ops => proto::Role::Ops,
        Role::Engine => proto::Role::Engine,
    }
}

/// A position in the journal, with its mark where known.
#[must_use]
pub fn place(shard: u16, position: u64, mark: Option<Mark>) -> proto::ShardPosition {
    proto::ShardPosition { shard: u32::from(shard), position, mark: mark.map(Mark::bits) }
}

/// The position of a stream.
#[must_use]
pub fn progress(through: &Cursors) -> proto::Progress {
    let through =
        through.iter().map(|(shard, position)| place(shard, position, through.mark(shard)));
    proto::Progress { through: through.collect() }
}

fn address(address: &Address) -> proto::Address {
    proto::Address {
        street: address.street.clone(),
        city: address.city.clone(),
        postal_code: address.postal_code.clone(),
        country: address.country.clone(),
        name: address.name.clone(),
        company: address.company.clone(),
        street_line2: address.street_line2.clone(),
        region: address.region.clone(),
        phone: address.phone.clone(),
        instructions: address.instructions.clone(),
    }
}

fn contact(contact: &Contact) -> proto::Contact {
    proto::Contact {
        email: contact.email.clone().unwrap_or_default(),
        phone: contact.phone.clone().unwrap_or_default(),
        locale: contact.locale.as_str().to_owned(),
    }
}

fn units(lines: &[LineQuantity]) -> Vec<proto::LineUnits> {
    lines
        .iter()
        .map(|line| proto::LineUnits { line: line.line, quantity: line.quantity.get() })
        .collect()
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn line(line: &Line) -> proto::OrderLine {
    let in_currency = |minor: i64| Some(money(Money::new(minor, line.unit_price.currency)));
    let LineAmounts { ordered, cancelled, fulfilled, returned, .. } = line.amounts;
    let terms = line.terms.as_deref();
    proto::OrderLine {
        line: line.number,
        sku: line.sku.as_str().to_owned(),
        unit_price: Some(money(line.unit_price)),
        seller_id: line.seller_id.map(|id| id.to_string()).unwrap_or_default(),
        ordered: line.ordered,
        cancelled: line.cancelled,
        fulfilled: line.fulfilled,
        in_return: line.in_return,
        returned: line.returned,
        open: line.open(),
        title: terms.map(|said| said.title.clone()).unwrap_or_default(),
        image_url: terms.map(|said| said.image_url.clone()).unwrap_or_default(),
        attributes: terms.map(|said| said.attributes.clone()).unwrap_or_default(),
        discounts: terms.map(|said| discounts(&said.discounts)).unwrap_or_default(),
        taxes: terms.map(|said| taxes(&said.taxes)).unwrap_or_default(),
        total: in_currency(ordered.total),
        tax: in_currency(ordered.tax),
        cancelled_total: in_currency(cancelled.total),
        fulfilled_total: in_currency(fulfilled.total),
        returned_total: in_currency(returned.total),
        backordered: line.backordered,
    }
}

fn details(details: &Details) -> proto::Order {
    let names = details.terms.names.as_deref();
    proto::Order {
        order_id: details.order_id.to_string(),
        customer_id: details.customer_id.to_string(),
        lines: details.lines.iter().map(line).collect(),
        total: Some(money(details.totals.total)),
        refunded: Some(money(details.refunded)),
        address: Some(address(&details.person.address)),
        contact: Some(contact(&details.person.contact)),
        billing_address: details.person.billing_address.as_ref().map(address),
        charges: details.charges.iter().map(order_charge).collect(),
        discounts: discounts(&details.terms.discounts),
        tax_mode: tax_mode(details.terms.tax_mode).into(),
        totals: Some(totals(&details.totals)),
        tags: details.terms.tags.clone(),
        metadata: details.terms.metadata.clone(),
        order_number: details.order_number(),
        external_id: names.map(|names| names.external_id.clone()).unwrap_or_default(),
        shop: names.map(|names| names.shop.clone()).unwrap_or_default(),
        notes: details.notes.iter().map(|one| notes::note(one)).collect(),
        placed_at: Some(time(details.placed_at)),
        ordered_at: details.ordered_at.map(time),
        shipment_ids: details
            .shipments
            .iter()
            .map(|shipment| shipment.shipment_id.to_string())
            .collect(),
        judged_returns: details
            .judged
            .iter()
            .map(|judged| returns::judged_return(judged))
            .collect(),
        parcels: details.shipments.iter().map(|shipment| parcels::parcel(shipment)).collect(),
        pending_return: details.oldest_waiting().map(|one| returns::pending_return(one, details)),
        pending_returns: details
            .waiting
            .iter()
            .map(|one| returns::pending_return(one, details))
            .collect(),
        exchange_of: details.terms.exchange_of.map(returns::exchange_of),
        edits: details.edits.iter().map(|edit| edits::edit(edit)).collect(),
        ..proto::Order::default()
    }
}

/// An order at a version; none if it was not placed.
#[must_use]
pub fn order(order: &Order, version: u64, updated_at: Timestamp) -> Option<proto::Order> {
    let mut shown = details(order.details()?);
    shown.set_status(order.status().map_or(proto::OrderStatus::Unspecified, status));
    shown.version = version;
    shown.etag = version.to_string();
    shown.updated_at = Some(time(updated_at));
    shown.holds = order.standing_holds().map(parcels::hold).collect();
    shown.payment = payments::of_order(order);
    let fulfilled = match order {
        Order::Fulfilled(fulfilled) => Some(fulfilled),
        Order::ReturnRequested(requested) => Some(&requested.fulfilled),
        _ => None,
    };
    shown.fulfilled_at = fulfilled.map(|fulfilled| time(fulfilled.fulfilled_at));
    shown.return_until = fulfilled.map(|fulfilled| time(fulfilled.return_until));
    match order {
        Order::Pending(pending) => shown.confirm_by = Some(time(pending.confirm_by)),
        Order::Confirmed(confirmed) => {
            shown.reservation_id = confirmed.reservation_id.to_string();
        }
        Order::Cancelled(cancelled) => {
            shown.set_cancel_reason(cancel_reason(cancelled.reason));
            shown.cancel_text.clone_from(&cancelled.text);
            shown.missing_skus = texts::<Sku>(&cancelled.skus);
        }
        Order::Absent | Order::Fulfilled(_) | Order::ReturnRequested(_) | Order::Returned(_) => {}
    }
    Some(shown)
}

/// The current order.
#[must_use]
pub fn view(view: &View) -> proto::GetOrderResponse {
    proto::GetOrderResponse {
        order: order(&view.order, view.version, view.updated_at),
        position: Some(place(view.shard, view.position, None)),
    }
}

/// The answer to a command. Every command's response message has these fields.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandResponse {
    /// The order after it.
    pub order: Option<Box<proto::Order>>,
    /// The events that were, or would be, appended.
    pub events: Vec<proto::Event>,
    /// Position of the order's last event.
    pub position: Option<proto::ShardPosition>,
    /// Whether an earlier call executed it already.
    pub replayed: bool,
}

/// The order's version after a command, or after one that was only validated.
#[must_use]
pub fn version(executed: &Executed, validate_only: bool) -> u64 {
    let planned = if validate_only { executed.events.len() } else { 0 };
    executed.version.saturating_add(u64::try_from(planned).unwrap_or(u64::MAX))
}

/// The answer to a command that was executed or only validated.
#[must_use]
pub fn command(executed: &Executed, validate_only: bool) -> CommandResponse {
    let count = u64::try_from(executed.events.len()).unwrap_or(u64::MAX);
    let version = version(executed, validate_only);
    let before = version.saturating_sub(count);
    let happened_at = executed.events.last().map(Event::at);
    let updated_at = happened_at.filter(|_| validate_only).unwrap_or(executed.updated_at);
    CommandResponse {
        order: order(&executed.order, version, updated_at).map(Box::new),
        events: (before.saturating_add(1)..)
            .zip(&executed.events)
            .map(|(version, happened)| event(happened, version))
            .collect(),
        position: Some(place(executed.shard, executed.position, None)),
        replayed: executed.replayed,
    }
}

/// An order as lists show it.
#[must_use]
pub fn summary(summary: &Summary) -> proto::OrderSummary {
    let names = summary.names.as_deref();
    proto::OrderSummary {
        order_id: summary.order_id.to_string(),
        customer_id: summary.customer_id.to_string(),
        status: status(summary.status).into(),
        version: summary.version,
        total: Some(money(summary.total)),
        refunded: Some(money(summary.refunded)),
        units: summary.units,
        placed_at: Some(time(summary.placed_at)),
        ordered_at: summary.ordered_at.map(time),
        updated_at: Some(time(summary.updated_at)),
        order_number: summary.order_number(),
        external_id: names.map(|names| names.external_id.clone()).unwrap_or_default(),
        held: summary.holds > 0,
        payment: payments::status(summary.payment).into(),
    }
}

/// An event with its position and metadata.
#[must_use]
pub fn recorded(recorded: &RecordedEvent) -> proto::RecordedEvent {
    let metadata = &recorded.metadata;
    proto::RecordedEvent {
        order_id: recorded.order_id.to_string(),
        event: Some(event(&recorded.event, recorded.sequence)),
        position: Some(place(recorded.shard, recorded.position, recorded.mark)),
        recorded_at: Some(time(recorded.recorded_at)),
        role: role(metadata.by.role()).into(),
        subject: metadata.by.subject().into_owned(),
        request_id: metadata.request_id.map(|id| id.to_string()).unwrap_or_default(),
        causation_id: metadata.causation.clone().unwrap_or_default(),
        traceparent: metadata.traceparent.clone().unwrap_or_default(),
        tracestate: metadata.tracestate.clone().unwrap_or_default(),
        unreadable: String::new(),
        hash: String::new(),
    }
}
