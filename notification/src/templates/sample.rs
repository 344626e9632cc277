//! Made-up facts of each kind, by which templates are tried before they are used.

use shared_events::contract::{
    CancelReason, ChargeFact, Contact, CustomerId, Disposition, EditId, KeptUnits, LineUnits,
    Money, MoneyError, OrderFact, OrderHeader, OrderId, OrderLineFact, Quantity, RefundId,
    ReservationId, ReturnId, ReturnedUnits, ShipmentId, Sku, Timestamp,
};
use uuid::Uuid;

use super::kind::Kind;

/// Everything that facts have, as much as there can be of it, or as little.
pub(super) struct Sample {
    order: OrderHeader,
    sku: Sku,
    quantity: Quantity,
    lines: u32,
    text: String,
}

const ID: Uuid = Uuid::from_u128(0x0192_4f6a_3c4e_7a10_9b1f_5f0a_3f0c_8d21);

impl Sample {
    /// None where its parts are not valid, which does not happen.
    pub(super) fn new(full: bool) -> Option<Self> {
        let contact = if full {
            Contact::new("ada@example.org", "+442071838750", "en").ok()?
        } else {
            Contact::default()
        };
        let total = money(123_456).ok()?;
        Some(Self {
            order: OrderHeader {
                order_id: OrderId::from_uuid(ID),
                customer_id: CustomerId::from_uuid(ID),
                contact,
                total,
                names: None,
            },
            sku: "MUG".parse().ok()?,
            quantity: Quantity::new(2).ok()?,
            lines: if full { 101 } else { 0 },
            text: if full { "text".to_owned() } else { String::new() },
        })
    }

    /// Facts that lead to messages of this kind.
    #[expect(clippy::too_many_lines, reason = "one arm for each kind")]
    pub(super) fn facts(&self, kind: Kind) -> Vec<OrderFact> {
        let cancelled = |reason| OrderFact::Cancelled {
            order: self.order.clone(),
            reason,
            was_confirmed: false,
            skus: (0..self.lines).map(|_| self.sku.clone()).collect(),
            text: self.text.clone(),
            refund_id: None,
            payments: Vec::new(),
        };
        let order = self.order.clone();
        let (carrier, tracking) = (self.text.clone(), self.text.clone());
        let (reason, return_id) = (self.text.clone(), ReturnId::from_uuid(ID));
        let (shipment_id, refund_id) = (ShipmentId::from_uuid(ID), RefundId::from_uuid(ID));
        let lines = self.units();
        match kind {
            Kind::Received => vec![self.created()],
            Kind::Confirmed => {
                vec![OrderFact::Confirmed {
                    order,
                    reservation_id: ReservationId::from_uuid(ID),
                    backordered: lines,
                    payments: Vec::new(),
                }]
            }
            Kind::Allocated => {
                let backordered = lines.clone();
                vec![OrderFact::LinesAllocated { order, lines, backordered }]
            }
            Kind::LinesCancelled => self.lines_cancelled(),
            Kind::Edited => vec![self.edited()],
            Kind::Cancelled => {
                [CancelReason::CustomerRequest, CancelReason::Ops].map(cancelled).into()
            }
            Kind::OutOfStock => vec![cancelled(CancelReason::InsufficientStock)],
            Kind::Expired => vec![cancelled(CancelReason::SlaTimeout)],
            Kind::PaymentFailed => vec![cancelled(CancelReason::PaymentFailed)],
            Kind::ParcelShipped => {
                let shipped = OrderFact::LinesFulfilled {
                    order: order.clone(),
                    shipment_id,
                    lines: lines.clone(),
                    carrier: carrier.clone(),
                    tracking: tracking.clone(),
                    shipment_reference: String::new(),
                    location: None,
                    payments: Vec::new(),
                };
                let corrected = OrderFact::ShipmentCorrected {
                    order,
                    shipment_id,
                    lines,
                    carrier,
                    tracking,
                    shipment_reference: String::new(),
                };
                vec![shipped, corrected]
            }
            Kind::Shipped => {
                let return_until = Timestamp::from_micros(0);
                let (order, lines) = (order, lines);
                vec![OrderFact::Fulfilled {
                    order,
                    shipment_id,
                    lines,
                    carrier,
                    tracking,
                    return_until,
                    shipment_reference: String::new(),
                    location: None,
                    payments: Vec::new(),
                }]
            }
            Kind::ReturnReceived => {
                let (return_reference, exchange_order_id) = (self.text.clone(), None);
                vec![OrderFact::ReturnRequested {
                    order,
                    return_id,
                    lines,
                    reason,
                    return_reference,
                    exchange_order_id,
                }]
            }
            Kind::ReturnApproved => vec![OrderFact::ReturnApproved {
                refund: order.total,
                order,
                return_id,
                lines,
                return_reference: self.text.clone(),
                kept: self.kept(),
                rejected_reason: reason,
            }],
            Kind::ReturnRefused => {
                let return_reference = self.text.clone();
                vec![OrderFact::ReturnRejected { order, return_id, reason, return_reference }]
            }
            Kind::Returned => vec![OrderFact::Returned {
                order,
                return_id,
                lines: self.returned(),
                return_reference: self.text.clone(),
                kept: self.kept(),
                rejected_reason: reason,
                location: None,
            }],
            Kind::Refund => vec![OrderFact::RefundRequested {
                refund: order.total,
                order,
                return_id,
                return_reference: self.text.clone(),
                kept: self.kept(),
                rejected_reason: reason,
                payments: Vec::new(),
            }],
            Kind::ReturnOverdue => vec![OrderFact::ReturnOverdue { order, return_id }],
            Kind::Paid => vec![OrderFact::PaymentSecured { amount: order.total, order }],
            Kind::Refunded => {
                vec![OrderFact::RefundSettled { amount: order.total, order, refund_id }]
            }
            Kind::RefundFailed => vec![OrderFact::RefundFailed {
                amount: order.total,
                order,
                refund_id,
                code: self.text.clone(),
            }],
        }
    }

    fn lines_cancelled(&self) -> Vec<OrderFact> {
        let reasons =
            [CancelReason::CustomerRequest, CancelReason::InsufficientStock, CancelReason::Ops];
        let cancelled = |reason| OrderFact::LinesCancelled {
            order: self.order.clone(),
            lines: self.units(),
            reason,
            text: self.text.clone(),
            refund_id: None,
            payments: Vec::new(),
        };
        reasons.map(cancelled).into()
    }

    fn placed_lines(&self) -> Vec<OrderLineFact> {
        let line = |line| OrderLineFact {
            line,
            sku: self.sku.clone(),
            quantity: self.quantity,
            unit_price: self.order.total,
            title: self.text.clone(),
            image_url: String::new(),
            attributes: self.texts().map(|text| (text.to_owned(), text.to_owned())).collect(),
            total: None,
        };
        (1..=self.lines).map(line).collect()
    }

    fn edited(&self) -> OrderFact {
        OrderFact::Edited {
            order: self.order.clone(),
            edit_id: EditId::from_uuid(ID),
            raised: Vec::new(),
            added: self.placed_lines(),
            cancelled: self.units(),
            backordered: self.units(),
            totals: None,
        }
    }

    fn created(&self) -> OrderFact {
        let now = Timestamp::from_micros(0);
        let lines = self.placed_lines();
        OrderFact::Created {
            order: self.order.clone(),
            lines,
            placed_at: now,
            confirm_by: now,
            charges: self.texts().map(|text| self.charge(text)).collect(),
            totals: None,
            exchange_of: None,
        }
    }

    /// One text, or none.
    fn texts(&self) -> impl Iterator<Item = &str> {
        Some(self.text.as_str()).into_iter().filter(|text| !text.is_empty())
    }

    fn charge(&self, label: &str) -> ChargeFact {
        let (kind, label) = ("SHIPPING".to_owned(), label.to_owned());
        ChargeFact { kind, label, total: self.order.total }
    }

    fn units(&self) -> Vec<LineUnits> {
        let units = |line| LineUnits {
            line,
            sku: self.sku.clone(),
            quantity: self.quantity,
            title: self.text.clone(),
        };
        (1..=self.lines).map(units).collect()
    }

    fn kept(&self) -> Vec<KeptUnits> {
        let outcome = "REJECTED".to_owned();
        let units = self.units().into_iter();
        units
            .map(|LineUnits { line, sku, quantity, .. }| KeptUnits {
                line,
                sku,
                quantity,
                outcome: outcome.clone(),
            })
            .collect()
    }

    fn returned(&self) -> Vec<ReturnedUnits> {
        let units = self.units().into_iter();
        units
            .map(|LineUnits { line, sku, quantity, title }| ReturnedUnits {
                line,
                sku,
                quantity,
                disposition: Disposition::Restock,
                title,
            })
            .collect()
    }
}

fn money(minor: i64) -> Result<Money, MoneyError> {
    Ok(Money::new(minor, "EUR".parse()?))
}
