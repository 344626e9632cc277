use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use shared_events::contract::{
    Contact, CustomerId, Money, OrderId, OrderNames, Quantity, SellerId, Sku, Timestamp,
};

use super::{Decide, DecisionContext};
use crate::domain::address_rules::of_its_country;
use crate::domain::guards::{Decision, Differs, same_or_exists};
use crate::domain::{
    Address, By, Charge, ChargeKind, CommandKind, Details, Discount, Event, ExchangeOf, Existing,
    ExpectedTotals, Line, LinePrice, LineTerms, NewNote, Order, OrderPrice, PaymentPlan, Person,
    PlacedLine, Rejection, Tax, TaxMode, Totals, bounds, names, price,
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
    // What comes below was not there at first: where it is not given, it is not part of what a
    // request is known by.
    /// Where the invoice goes; to `address` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_address: Option<Address>,
    /// What is charged beside the goods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<NewCharge>,
    /// Discounts of the whole order, spread over its lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// Whether taxes come on top of the prices.
    #[serde(skip_serializing_if = "TaxMode::is_on_top")]
    pub tax_mode: TaxMode,
    /// Words by which the client finds it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What the client keeps beside it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The return whose goods it replaces. It is kept and shown, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_of: Option<ExchangeOf>,
    /// Names that the client gives it. They are unique, so customers, who may not learn of other
    /// orders, give none.
    #[serde(skip_serializing_if = "OrderNames::is_empty")]
    pub names: OrderNames,
    /// Notes on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NewNote>,
    /// How it is paid; elsewhere, or not at all, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<Box<PaymentPlan>>,
    /// The sums as the client has them; they must be the computed ones.
    #[serde(skip_serializing_if = "ExpectedTotals::is_empty")]
    pub expected: ExpectedTotals,
}

/// A charge to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewCharge {
    /// What for.
    pub kind: ChargeKind,
    /// The client's words for it.
    pub label: String,
    /// The amount, not below zero.
    pub amount: Money,
    /// Its taxes.
    pub taxes: Vec<Tax>,
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
    /// Its name for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Where a picture of it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_url: String,
    /// What else there is to say of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Its own discounts, over all its units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// Its taxes, over all its units.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<Tax>,
}

impl NewLine {
    /// A line with nothing but a price.
    #[must_use]
    pub const fn plain(sku: Sku, quantity: Quantity, unit_price: Money) -> Self {
        Self {
            sku,
            quantity,
            unit_price,
            seller_id: None,
            title: String::new(),
            image_url: String::new(),
            attributes: BTreeMap::new(),
            discounts: Vec::new(),
            taxes: Vec::new(),
        }
    }

    /// The line under its number.
    pub(super) fn numbered(&self, line: u32) -> PlacedLine {
        PlacedLine {
            line,
            sku: self.sku.clone(),
            quantity: self.quantity,
            unit_price: self.unit_price,
            seller_id: self.seller_id,
            title: self.title.clone(),
            image_url: self.image_url.clone(),
            attributes: self.attributes.clone(),
            discounts: self.discounts.clone(),
            taxes: self.taxes.clone(),
        }
    }

    /// Whether this is what a line of an order was placed with.
    fn is(&self, line: &Line) -> bool {
        let Self { sku, quantity, unit_price, seller_id, .. } = self;
        let Self { title, image_url, attributes, discounts, taxes, .. } = self;
        let none = LineTerms::default();
        let terms = line.terms.as_deref().unwrap_or(&none);
        line.sku == *sku
            && line.ordered == quantity.get()
            && line.unit_price == *unit_price
            && line.seller_id == *seller_id
            && terms.title == *title
            && terms.image_url == *image_url
            && terms.attributes == *attributes
            && terms.discounts == *discounts
            && terms.taxes == *taxes
    }
}

impl Decide for Place {
    fn kind(&self) -> CommandKind {
        CommandKind::Place
    }

    fn allows(&self, by: &By) -> bool {
        match by {
            By::Customer(_) => {
                by.owns_orders_of(self.customer_id)
                    && names::are_of_a_customer(&self.names, &self.notes)
                    && self.payment.is_none()
            }
            By::Service(_) | By::Ops(_) => true,
            By::ReturnsDesk(_) | By::Engine(_) => false,
        }
    }

    fn creates_order(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), Rejection> {
        self.checked_totals().map(drop)
    }

    fn on_absent(&self, context: &DecisionContext<'_>) -> Decision {
        let total = self.checked_totals()?.total;
        of_its_country(context.policy, "address", &self.address)?;
        if let Some(address) = &self.billing_address {
            of_its_country(context.policy, "billing_address", address)?;
        }
        let lines = (1_u32..).zip(&self.lines).map(|(line, new)| new.numbered(line)).collect();
        Ok(vec![Event::OrderPlaced {
            order_id: self.order_id,
            customer_id: self.customer_id,
            lines,
            charges: self.numbered_charges(),
            discounts: self.discounts.clone(),
            tax_mode: self.tax_mode,
            total,
            person: Arc::new(Person {
                address: self.address.clone(),
                contact: self.contact.clone(),
                billing_address: self.billing_address.clone(),
                notes: self.notes.clone(),
            }),
            tags: self.tags.clone(),
            metadata: self.metadata.clone(),
            exchange_of: self.exchange_of,
            names: (!self.names.is_empty()).then(|| Box::new(self.names.clone())),
            payment: self.payment.clone(),
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
    /// An order with nothing but lines at their prices.
    #[must_use]
    pub fn plain(
        (order_id, customer_id): (OrderId, CustomerId),
        lines: Vec<NewLine>,
        (address, contact): (Address, Contact),
    ) -> Self {
        Self {
            order_id,
            customer_id,
            lines,
            address,
            contact,
            ordered_at: None,
            billing_address: None,
            charges: Vec::new(),
            discounts: Vec::new(),
            tax_mode: TaxMode::OnTop,
            tags: Vec::new(),
            metadata: BTreeMap::new(),
            exchange_of: None,
            names: OrderNames::default(),
            notes: Vec::new(),
            payment: None,
            expected: ExpectedTotals::default(),
        }
    }

    /// The sums of a command that is valid by itself.
    fn checked_totals(&self) -> Result<Totals, Rejection> {
        let totals = self.totals()?;
        if let Some((field, is)) = self.expected.differs(&totals) {
            return Err(Rejection::TotalsMismatch { field, is });
        }
        self.address.check().map_err(Rejection::InvalidAddress)?;
        if let Some(address) = &self.billing_address {
            address.check().map_err(Rejection::InvalidBillingAddress)?;
        }
        self.contact.check().map_err(Rejection::InvalidContact)?;
        names::check(&self.names, &self.notes)?;
        if let Some(plan) = &self.payment {
            plan.check(&self.lines.iter().map(|line| line.seller_id).collect())?;
        }
        Ok(totals)
    }

    /// The sums of the order.
    fn totals(&self) -> Result<Totals, Rejection> {
        if self.lines.is_empty() {
            return Err(Rejection::EmptyOrder);
        }
        if self.lines.len() > bounds::LINES_MAX {
            return Err(Rejection::TooManyLines);
        }
        for (line, new) in (1_u32..).zip(&self.lines) {
            if new.unit_price.minor < 0 {
                let detail = "the unit price is below zero";
                return Err(Rejection::InvalidLine { line, detail });
            }
        }
        let charges = self.numbered_charges();
        let lines: Vec<LinePrice<'_>> = self
            .lines
            .iter()
            .map(|new| LinePrice {
                unit_price: new.unit_price,
                quantity: new.quantity,
                discounts: &new.discounts,
                taxes: &new.taxes,
            })
            .collect();
        let order =
            OrderPrice { charges: &charges, discounts: &self.discounts, tax_mode: self.tax_mode };
        price(&lines, order).map(|priced| priced.totals).map_err(Rejection::from)
    }

    fn numbered_charges(&self) -> Vec<Charge> {
        let numbered = |(number, new): (u32, &NewCharge)| Charge {
            number,
            kind: new.kind,
            label: new.label.clone(),
            amount: new.amount,
            taxes: new.taxes.clone(),
        };
        (1_u32..).zip(&self.charges).map(numbered).collect()
    }

    /// Compares the fields of an existing order with this command.
    fn compare(&self, details: &Details) -> [Differs; 17] {
        let Self {
            order_id: _,
            customer_id,
            lines,
            address,
            contact,
            ordered_at,
            billing_address,
            charges: _,
            discounts,
            tax_mode,
            tags,
            metadata,
            exchange_of,
            names,
            notes,
            payment,
            // An order is what it is, whatever was expected of it.
            expected: _,
        } = self;
        // Nor does an edit.
        let placed = details.lines_as_placed();
        let same_lines =
            placed.len() == lines.len() && placed.iter().zip(lines).all(|(line, new)| new.is(line));
        let same_charges =
            details.charges.iter().map(|one| &one.charge).eq(&self.numbered_charges());
        // A correction since does not make it another order.
        let person = details.placed_person.as_ref().unwrap_or(&details.person);
        let terms = &details.terms;
        let [number, external_id, shop, notes] = names::differences(details, names, notes);
        [
            ("customer_id", details.customer_id != *customer_id),
            ("lines", !same_lines),
            ("address", person.address != *address),
            ("contact", person.contact != *contact),
            ("ordered_at", details.ordered_at != *ordered_at),
            ("billing_address", person.billing_address != *billing_address),
            ("charges", !same_charges),
            ("discounts", terms.discounts != *discounts),
            ("tax_mode", terms.tax_mode != *tax_mode),
            ("tags", terms.tags != *tags),
            ("metadata", terms.metadata != *metadata),
            ("exchange_of", terms.exchange_of != *exchange_of),
            ("payment", details.payment.as_ref().map(|known| &known.plan) != payment.as_deref()),
            number,
            external_id,
            shop,
            notes,
        ]
    }
}
