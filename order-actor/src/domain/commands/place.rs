use std::sync::Arc;

use serde::Serialize;
use shared_events::contract::{
    Contact, CustomerId, Money, MoneyError, OrderId, Quantity, SellerId, Sku, Timestamp,
};

use super::{Asked, Decide};
use crate::domain::guards::{Decision, Differs, the_same_or};
use crate::domain::{
    Address, By, CommandKind, Details, Event, Existing, Order, PlacedLine, Rejection, bounds,
};

/// Place an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The id the order will have.
    pub order_id: OrderId,
    /// For whom.
    pub customer_id: CustomerId,
    /// What; numbered from 1 in this order.
    pub lines: Vec<NewLine>,
    /// Where it goes.
    pub address: Address,
    /// How the customer is reached.
    pub contact: Contact,
    /// When it was ordered by the client's own account; decides nothing.
    pub ordered_at: Option<Timestamp>,
}

/// A line to be ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewLine {
    /// What.
    pub sku: Sku,
    /// How many units.
    pub quantity: Quantity,
    /// The price of one, not below zero.
    pub unit_price: Money,
    /// Who sells it, where a shop has several sellers.
    pub seller_id: Option<SellerId>,
}

impl Decide for Place {
    fn kind(&self) -> CommandKind {
        CommandKind::Place
    }

    fn may(&self, by: &By) -> bool {
        match by {
            By::Customer(_) => by.owns_orders_of(self.customer_id),
            By::Service(_) | By::Ops(_) => true,
            By::Engine(_) => false,
        }
    }

    fn check(&self) -> Result<(), Rejection> {
        self.total()?;
        self.address.check().map_err(Rejection::InvalidAddress)?;
        self.contact.check().map_err(Rejection::InvalidContact)
    }

    fn of_none(&self, asked: &Asked<'_>) -> Decision {
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
            total: self.total()?,
            address: Arc::new(self.address.clone()),
            contact: Arc::new(self.contact.clone()),
            placed_at: asked.now,
            ordered_at: self.ordered_at,
            confirm_by: asked.now.plus(asked.policy.confirm_within),
        }])
    }

    /// What is in somebody else's order is not told, not even that: only that the id is taken.
    fn hidden(&self) -> Rejection {
        Rejection::AlreadyExists { existing: Existing::Order, differs: Vec::new() }
    }

    fn of(&self, _: &Order, details: &Details, _: &Asked<'_>) -> Decision {
        the_same_or(Existing::Order, &self.other_than(details))
    }
}

impl Place {
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

    /// The fields in which an order is not what would be placed.
    fn other_than(&self, details: &Details) -> [Differs; 5] {
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
