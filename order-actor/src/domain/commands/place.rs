use std::sync::Arc;

use serde::Serialize;
use shared_events::contract::{
    Contact, CustomerId, Money, MoneyError, OrderId, Quantity, SellerId, Sku, Timestamp,
};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, Differs, same_or_exists};
use crate::domain::{
    Address, By, CommandKind, Details, Event, Existing, Order, PlacedLine, Rejection, bounds,
};

/// Place an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The id the order will have.
    pub order_id: OrderId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The lines, numbered from 1 in this order.
    pub lines: Vec<NewLine>,
    /// The delivery address.
    pub address: Address,
    /// The customer's contact.
    pub contact: Contact,
    /// When it was ordered, as reported by the client; no decision depends on it.
    pub ordered_at: Option<Timestamp>,
}

/// A line to be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewLine {
    /// The product.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one unit, not below zero.
    pub unit_price: Money,
    /// The seller, where a shop has several.
    pub seller_id: Option<SellerId>,
}

impl Decide for Place {
    fn kind(&self) -> CommandKind {
        CommandKind::Place
    }

    fn allows(&self, by: &By) -> bool {
        match by {
            By::Customer(_) => by.owns_orders_of(self.customer_id),
            By::Service(_) | By::Ops(_) => true,
            By::Engine(_) => false,
        }
    }

    fn creates_order(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), Rejection> {
        self.checked_total().map(drop)
    }

    fn on_absent(&self, context: &DecisionContext<'_>) -> Decision {
        let total = self.checked_total()?;
        let lines = (1_u32..)
            .zip(&self.lines)
            .map(|(line, new)| PlacedLine {
                line,
                sku: new.sku.clone(),
                quantity: new.quantity,
                unit_price: new.unit_price,
                seller_id: new.seller_id,
            })
            .collect();
        Ok(vec![Event::OrderPlaced {
            order_id: self.order_id,
            customer_id: self.customer_id,
            lines,
            total,
            address: Arc::new(self.address.clone()),
            contact: Arc::new(self.contact.clone()),
            placed_at: context.now,
            ordered_at: self.ordered_at,
            confirm_by: context.now.plus(context.policy.confirm_within),
        }])
    }

    /// Reveals only that the id is taken, not whose order it is or how it differs.
    fn hidden(&self) -> Rejection {
        Rejection::AlreadyExists { existing: Existing::Order, differs: Vec::new() }
    }

    fn on_existing(&self, _: &Order, details: &Details, _: &DecisionContext<'_>) -> Decision {
        same_or_exists(Existing::Order, &self.compare(details))
    }
}

impl Place {
    /// The total of a command that is valid by itself.
    fn checked_total(&self) -> Result<Money, Rejection> {
        let total = self.total()?;
        self.address.check().map_err(Rejection::InvalidAddress)?;
        self.contact.check().map_err(Rejection::InvalidContact)?;
        Ok(total)
    }

    fn total(&self) -> Result<Money, Rejection> {
        let Some(first) = self.lines.first() else { return Err(Rejection::EmptyOrder) };
        if self.lines.len() > bounds::LINES_MAX {
            return Err(Rejection::TooManyLines);
        }
        for (line, new) in (1_u32..).zip(&self.lines) {
            if new.unit_price.minor < 0 {
                return Err(Rejection::InvalidLine {
                    line,
                    detail: "the unit price is below zero",
                });
            }
        }
        let mut total = Money::zero(first.unit_price.currency);
        let mut overflow = false;
        for new in &self.lines {
            match new.unit_price.times(new.quantity).and_then(|value| total.plus(value)) {
                Ok(sum) => total = sum,
                Err(MoneyError::CurrencyMismatch) => return Err(Rejection::CurrencyMismatch),
                Err(_) if new.unit_price.currency != total.currency => {
                    return Err(Rejection::CurrencyMismatch);
                }
                Err(_) => overflow = true,
            }
        }
        if overflow { Err(Rejection::AmountOverflow) } else { Ok(total) }
    }

    /// Compares the fields of an existing order with this command.
    fn compare(&self, details: &Details) -> [Differs; 5] {
        let Self { order_id: _, customer_id, lines, address, contact, ordered_at } = self;
        let same_lines = details.lines.len() == lines.len()
            && details.lines.iter().zip(lines).all(|(line, new)| {
                line.sku == new.sku
                    && line.ordered == new.quantity.get()
                    && line.unit_price == new.unit_price
                    && line.seller_id == new.seller_id
            });
        [
            ("customer_id", details.customer_id != *customer_id),
            ("lines", !same_lines),
            ("address", *details.address != *address),
            ("contact", *details.contact != *contact),
            ("ordered_at", details.ordered_at != *ordered_at),
        ]
    }
}
