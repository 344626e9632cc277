use serde::Serialize;
use shared_events::contract::{EditId, Sku};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS};
use crate::domain::{
    By, CommandKind, Details, EditRefusal, EditedLines, Event, LineQuantity, Order,
    OrderEditRefused, OrderEdited, Rejection, Role,
};

/// Stock holds the units of an edit, or lacks some. Nothing happens where the edit does not wait any
/// more: its order was cancelled, or its time is over, and stock releases the units when it reads that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnswerEdit {
    /// The edit.
    pub edit_id: EditId,
    /// The skus that are missing; none where all units are held.
    pub missing: Vec<Sku>,
    /// Units of those held that wait for stock. Left out where empty, so that commands of earlier
    /// versions are recognised when they are repeated.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backordered: Vec<LineQuantity>,
}

impl Decide for AnswerEdit {
    fn kind(&self) -> CommandKind {
        CommandKind::AnswerEdit
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn on_existing(&self, _: &Order, details: &Details, context: &DecisionContext<'_>) -> Decision {
        let waits = details.waiting_edit().filter(|edit| edit.edit_id == self.edit_id);
        let Some(edit) = waits else { return NOTHING_HAPPENS };
        let (edit_id, at) = (self.edit_id, context.now);
        Ok(vec![if self.missing.is_empty() {
            let price = details.price_of_edit(&edit.lines).map_err(Rejection::from)?;
            let (lines, reason) = (edit.lines.clone(), edit.reason.clone());
            let (total, backordered) = (price.totals.total, self.waiting(&lines));
            Event::OrderEdited(OrderEdited { edit_id, lines, total, backordered, reason, at })
        } else {
            let (cause, skus) = (EditRefusal::OutOfStock, self.missing.clone());
            Event::OrderEditRefused(OrderEditRefused { edit_id, cause, skus, at })
        }])
    }
}

impl AnswerEdit {
    /// Of the units that the edit adds, those that wait: no more than it adds of each line.
    fn waiting(&self, lines: &EditedLines) -> Vec<LineQuantity> {
        let waits = |added: LineQuantity| {
            let found = self.backordered.iter().find(|units| units.line == added.line)?;
            Some(LineQuantity { quantity: found.quantity.min(added.quantity), ..added })
        };
        lines.wanted().into_iter().filter_map(waits).collect()
    }
}
