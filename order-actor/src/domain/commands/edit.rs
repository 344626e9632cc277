use serde::Serialize;
use shared_events::contract::{EditId, Quantity};

use super::{Decide, DecisionContext, NewLine};
use crate::domain::guards::{
    Decision, Differs, NOTHING_HAPPENS, invalid_transition, leaves_room_to_end, no_edit_waits,
    reason_given, same_or_exists,
};
use crate::domain::{
    By, ChangedLine, CommandKind, Details, Discount, Edit, EditedLines, Event, Existing,
    ExpectedTotals, Line, LineTerms, Order, OrderEditRequested, OrderEdited, Rejection, Role, Tax,
    Totals, bounds, payment,
};

/// Change the lines of an order before its first parcel: units up and down, lines in addition. What
/// needs stock waits for its answer, all or nothing; until then the order is as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EditOrder {
    /// The edit's id; repeating it changes nothing.
    pub edit_id: EditId,
    /// Lines of the order that get another number of units.
    pub changes: Vec<LineChange>,
    /// Lines in addition.
    pub added: Vec<NewLine>,
    /// Why, 1 to [`TEXT_MAX`](bounds::TEXT_MAX) characters.
    pub reason: String,
    /// The sums of the order after it, as the client has them; they must be the computed ones.
    #[serde(skip_serializing_if = "ExpectedTotals::is_empty")]
    pub expected: ExpectedTotals,
}

/// The units that a line is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineChange {
    /// 1-based number of the line.
    pub line: u32,
    /// Its units that are to be delivered; zero takes it off the order.
    pub quantity: u32,
    /// Discounts of the units that are added.
    pub discounts: Vec<Discount>,
    /// Taxes of the units that are added.
    pub taxes: Vec<Tax>,
}

impl Decide for EditOrder {
    fn kind(&self) -> CommandKind {
        CommandKind::EditOrder
    }

    fn allows(&self, by: &By) -> bool {
        matches!(by.role(), Role::Service | Role::Ops)
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        if let Some(edit) = details.edit(self.edit_id) {
            return same_or_exists(Existing::Edit, &self.compare(edit));
        }
        let Order::Confirmed(_) = order else {
            return Err(invalid_transition(order, "EditOrder"));
        };
        payment::no_plan(details)?;
        if !details.shipments.is_empty() {
            return Err(Rejection::AlreadyShipped);
        }
        no_edit_waits(details)?;
        let lines = self.lines(details)?;
        reason_given(&self.reason)?;
        if lines.is_nothing() {
            return NOTHING_HAPPENS;
        }
        if !lines.leaves_units(details) {
            let (at, detail) = ("changes", "a unit at least stays; CancelOrder cancels the order");
            return Err(Rejection::InvalidField { at, detail });
        }
        let totals = self.totals(details, &lines)?;
        if details.edits.len() >= bounds::EDITS_MAX {
            return Err(Rejection::TooManyEdits);
        }
        leaves_room_to_end(details)?;
        let (edit_id, reason, at) = (self.edit_id, self.reason.clone(), context.now);
        Ok(vec![if lines.wanted().is_empty() {
            let (total, backordered) = (totals.total, Vec::new());
            Event::OrderEdited(OrderEdited { edit_id, lines, total, backordered, reason, at })
        } else {
            // As long as stock had for the order itself.
            let answer_by = at.plus(context.policy.confirm_within);
            Event::OrderEditRequested(OrderEditRequested { edit_id, lines, reason, answer_by, at })
        }])
    }
}

impl EditOrder {
    /// Compares the content of an edit with this command.
    fn compare(&self, edit: &Edit) -> [Differs; 3] {
        let key = |line: &LineChange| line.line;
        let mut asked = self.changes.clone();
        asked.sort_by_key(key);
        let known = edit.lines.changed.iter().map(|change| LineChange {
            line: change.line,
            quantity: change.to,
            discounts: change.discounts.clone(),
            taxes: change.taxes.clone(),
        });
        let mut known: Vec<LineChange> = known.collect();
        known.sort_by_key(key);
        let added = edit.lines.added.len() == self.added.len()
            && edit
                .lines
                .added
                .iter()
                .zip(&self.added)
                .all(|(is, new)| *is == new.numbered(is.line));
        [("changes", asked != known), ("lines", !added), ("reason", edit.reason != self.reason)]
    }

    /// What the edit does to the lines of this order.
    fn lines(&self, details: &Details) -> Result<EditedLines, Rejection> {
        let mut changed: Vec<ChangedLine> = Vec::with_capacity(self.changes.len());
        let mut named = std::collections::BTreeSet::new();
        for (index, change) in self.changes.iter().enumerate() {
            let wrong = |part: &str, detail| {
                let at = format!("changes[{index}].{part}");
                Rejection::InvalidLines { line: change.line, at, detail }
            };
            let line = details.line(change.line).ok_or(wrong("line", "no such line"))?;
            if !named.insert(change.line) {
                return Err(wrong("line", bounds::NAMED_TWICE));
            }
            let ordered = line.ordered.saturating_add(change.quantity.saturating_sub(line.open()));
            if ordered > Quantity::MAX || change.quantity > Quantity::MAX {
                return Err(wrong("quantity", "a line has at most 1,000,000,000 units"));
            }
            change.check_price(line, index)?;
            changed.push(ChangedLine {
                line: change.line,
                from: line.open(),
                to: change.quantity,
                discounts: change.discounts.clone(),
                taxes: change.taxes.clone(),
            });
        }
        if details.lines.len().saturating_add(self.added.len()) > bounds::LINES_MAX {
            return Err(Rejection::TooManyLines);
        }
        let next = u32::try_from(details.lines.len()).unwrap_or(u32::MAX).saturating_add(1);
        let added = (next..).zip(&self.added).map(|(line, new)| new.numbered(line)).collect();
        Ok(EditedLines { changed, added })
    }

    /// The sums of the order after it.
    fn totals(&self, details: &Details, lines: &EditedLines) -> Result<Totals, Rejection> {
        let totals = details.price_of_edit(lines).map_err(Rejection::from)?.totals;
        match self.expected.differs(&totals) {
            Some((field, is)) => Err(Rejection::TotalsMismatch { field, is }),
            None => Ok(totals),
        }
    }
}

impl LineChange {
    /// Checks that discounts and taxes are those of the units that are added, and given where the
    /// line has some: the engine computes none.
    fn check_price(&self, line: &Line, index: usize) -> Result<(), Rejection> {
        let wrong = |part: &str, detail| {
            Err(Rejection::InvalidAmount { at: format!("changes[{index}].{part}"), detail })
        };
        let none = LineTerms::default();
        let terms = line.terms.as_deref().unwrap_or(&none);
        if self.quantity <= line.open() {
            let detail = "only for units that are added";
            return match (self.discounts.is_empty(), self.taxes.is_empty()) {
                (true, true) => Ok(()),
                (false, _) => wrong("discounts", detail),
                (true, false) => wrong("taxes", detail),
            };
        }
        let detail = "the line has some: give those of the added units, zero for none";
        if self.discounts.is_empty() && !terms.discounts.is_empty() {
            return wrong("discounts", detail);
        }
        if self.taxes.is_empty() && !terms.taxes.is_empty() {
            return wrong("taxes", detail);
        }
        let (discounts, taxes) = terms.parts_with(&self.discounts, &self.taxes);
        let detail = "a line has at most 10 of them; those of one name count as one";
        if discounts > bounds::PRICE_PARTS_MAX {
            return wrong("discounts", detail);
        }
        if taxes > bounds::PRICE_PARTS_MAX {
            return wrong("taxes", detail);
        }
        Ok(())
    }
}
