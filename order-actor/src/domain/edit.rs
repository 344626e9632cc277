//! Edits of an order's lines before its first parcel: units more or fewer, and lines more. What is
//! added is priced by itself and added to what was there, so that nothing else changes its price.
//! Never here: who may edit (`commands/edit`), and what its events do to an order (`edit_events`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_events::contract::{EditId, Money, Quantity, Sku, Timestamp};

use super::{
    Amount, Details, Discount, Line, LinePrice, LineQuantity, LineTerms, OrderPrice, PlacedLine,
    PriceError, Tax, Totals, price,
};

/// What an edit does to the lines of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditedLines {
    /// Lines of the order that are named, with their units before and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<ChangedLine>,
    /// Lines that come in addition, numbered on from the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<PlacedLine>,
}

/// A line whose units an edit changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedLine {
    /// 1-based number of the line.
    pub line: u32,
    /// Its open units before.
    pub from: u32,
    /// Its open units after; zero takes it off the order.
    pub to: u32,
    /// Discounts of the units that are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// Taxes of the units that are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taxes: Vec<Tax>,
}

impl ChangedLine {
    /// The units that are added; none where there are not more than before.
    #[must_use]
    pub fn added(&self) -> Option<Quantity> {
        Quantity::new(self.to.saturating_sub(self.from)).ok()
    }

    fn cancelled(&self) -> Option<LineQuantity> {
        let quantity = Quantity::new(self.from.saturating_sub(self.to)).ok()?;
        Some(LineQuantity { line: self.line, quantity })
    }
}

impl EditedLines {
    /// Units that stock must hold in addition, by line.
    #[must_use]
    pub fn wanted(&self) -> Vec<LineQuantity> {
        let units = |line, quantity| LineQuantity { line, quantity };
        let raised = self.changed.iter().filter_map(|one| Some(units(one.line, one.added()?)));
        raised.chain(self.added.iter().map(|new| units(new.line, new.quantity))).collect()
    }

    /// Units that will not be delivered.
    #[must_use]
    pub fn cancelled(&self) -> Vec<LineQuantity> {
        self.changed.iter().filter_map(ChangedLine::cancelled).collect()
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.changed.iter().all(|one| one.from == one.to)
    }

    /// Whether units are open after it.
    pub(super) fn leaves_units(&self, details: &Details) -> bool {
        let named = |number| self.changed.iter().find(|one| one.line == number);
        let open = |line: &Line| named(line.number).map_or(line.open(), |one| one.to);
        !self.added.is_empty() || details.lines.iter().any(|line| open(line) > 0)
    }
}

/// An edit of an order, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Its id.
    pub edit_id: EditId,
    /// What it does to lines.
    pub lines: EditedLines,
    /// Why.
    pub reason: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Where stock was asked: when the edit ends without an answer.
    pub answer_by: Option<Timestamp>,
    /// What became of it.
    pub state: EditState,
    /// The skus that were missing.
    pub skus: Vec<Sku>,
}

/// The state of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EditState {
    /// Stock is asked for its units; the order is as it was.
    Waiting,
    /// The order has its lines.
    Applied,
    /// Stock lacks units; the order stayed as it was.
    OutOfStock,
    /// Stock did not answer in time; the order stayed as it was.
    Expired,
    /// The order was cancelled before stock answered.
    Voided,
}

impl EditState {
    /// The stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Applied => "APPLIED",
            Self::OutOfStock => "OUT_OF_STOCK",
            Self::Expired => "EXPIRED",
            Self::Voided => "VOIDED",
        }
    }
}

/// Why an edit came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EditRefusal {
    /// Stock lacks units.
    OutOfStock,
    /// Stock did not answer in time.
    Expired,
}

impl EditRefusal {
    /// The state of such an edit.
    #[must_use]
    pub const fn state(self) -> EditState {
        match self {
            Self::OutOfStock => EditState::OutOfStock,
            Self::Expired => EditState::Expired,
        }
    }
}

/// See [`Event::OrderEditRequested`](super::Event::OrderEditRequested).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEditRequested {
    /// The edit.
    pub edit_id: EditId,
    /// What it does to lines.
    pub lines: EditedLines,
    /// Why.
    pub reason: String,
    /// When it ends without an answer of stock.
    pub answer_by: Timestamp,
    /// When.
    pub at: Timestamp,
}

/// See [`Event::OrderEdited`](super::Event::OrderEdited).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEdited {
    /// The edit.
    pub edit_id: EditId,
    /// What it did to lines.
    pub lines: EditedLines,
    /// What the customer pays from then on, as ordered.
    pub total: Money,
    /// Units of those in addition that wait for stock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backordered: Vec<LineQuantity>,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// See [`Event::OrderEditRefused`](super::Event::OrderEditRefused).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEditRefused {
    /// The edit.
    pub edit_id: EditId,
    /// Why.
    pub cause: EditRefusal,
    /// The skus that were missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skus: Vec<Sku>,
    /// When.
    pub at: Timestamp,
}

/// What the units cost that an edit adds, and the sums of the order with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EditPrice {
    /// Of units added to lines, in the order of the changes that add some.
    pub(super) raised: Vec<Amount>,
    /// Of added lines, in their order.
    pub(super) added: Vec<Amount>,
    /// The sums of the order from then on.
    pub(super) totals: Totals,
}

impl Details {
    /// The edit that waits for stock.
    #[must_use]
    pub fn waiting_edit(&self) -> Option<&Edit> {
        self.edits.last().map(Arc::as_ref).filter(|edit| edit.state == EditState::Waiting)
    }

    /// The edit with this id.
    #[must_use]
    pub fn edit(&self, id: EditId) -> Option<&Edit> {
        self.edits.iter().map(Arc::as_ref).find(|edit| edit.edit_id == id)
    }

    /// The lines as they were placed.
    #[must_use]
    pub fn lines_as_placed(&self) -> &[Line] {
        self.placed_lines.as_ref().map_or(&self.lines, |placed| placed.as_slice())
    }

    /// What the units cost that an edit adds. Paths of errors are those of the lines of the edit.
    pub(super) fn price_of_edit(&self, lines: &EditedLines) -> Result<EditPrice, PriceError> {
        let raised: Vec<(usize, LinePrice<'_>)> = (0..)
            .zip(&lines.changed)
            .filter_map(|(index, change)| {
                let unit_price = self.line(change.line)?.unit_price;
                let (quantity, ChangedLine { discounts, taxes, .. }) = (change.added()?, change);
                Some((index, LinePrice { unit_price, quantity, discounts, taxes }))
            })
            .collect();
        let prices: Vec<LinePrice<'_>> = raised.iter().map(|(_, price)| *price).collect();
        let (raised, with_raised) = self.priced(&prices, self.totals).map_err(|error| {
            in_changes(error, |nth| raised.get(nth).map_or(nth, |(index, _)| *index))
        })?;
        let prices: Vec<LinePrice<'_>> = lines.added.iter().map(PlacedLine::price).collect();
        let (added, totals) = self.priced(&prices, with_raised)?;
        Ok(EditPrice { raised, added, totals })
    }

    fn priced(
        &self,
        lines: &[LinePrice<'_>],
        before: Totals,
    ) -> Result<(Vec<Amount>, Totals), PriceError> {
        let Some(first) = lines.first() else { return Ok((Vec::new(), before)) };
        if first.unit_price.currency != before.total.currency {
            return Err(PriceError::CurrencyMismatch);
        }
        // Charges and discounts of the whole order stay with what they were placed with.
        let order = OrderPrice { charges: &[], discounts: &[], tax_mode: self.terms.tax_mode };
        let priced = price(lines, order)?;
        let totals = before.plus(&priced.totals).ok_or(PriceError::Overflow)?;
        Ok((priced.lines, totals))
    }
}

/// The path of an amount of units that are added to a line, among the changes.
fn in_changes(error: PriceError, index: impl Fn(usize) -> usize) -> PriceError {
    let PriceError::Amount { at, detail } = error else { return error };
    let at = match at.strip_prefix("lines[").and_then(|rest| rest.split_once(']')) {
        Some((nth, rest)) => {
            let nth = nth.parse().map_or(0, index);
            format!("changes[{nth}]{rest}")
        }
        None => at,
    };
    PriceError::Amount { at, detail }
}

impl LineTerms {
    /// With discounts and taxes of units that are added; those of one name are one.
    pub(super) fn add(&mut self, discounts: &[Discount], taxes: &[Tax]) {
        for new in discounts {
            match self.discounts.iter_mut().find(|one| one.label == new.label) {
                Some(one) => add_to(&mut one.amount, new.amount),
                None => self.discounts.push(new.clone()),
            }
        }
        for new in taxes {
            match self.taxes.iter_mut().find(|one| (&one.name, one.rate) == (&new.name, new.rate)) {
                Some(one) => add_to(&mut one.amount, new.amount),
                None => self.taxes.push(new.clone()),
            }
        }
    }

    /// How many discounts and taxes it would have with these.
    pub(super) fn parts_with(&self, discounts: &[Discount], taxes: &[Tax]) -> (usize, usize) {
        let mut with = self.clone();
        with.add(discounts, taxes);
        (with.discounts.len(), with.taxes.len())
    }
}

/// Both are parts of sums that fit.
const fn add_to(amount: &mut Money, more: Money) {
    amount.minor = amount.minor.saturating_add(more.minor);
}
