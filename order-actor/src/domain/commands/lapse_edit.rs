use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS};
use crate::domain::{By, CommandKind, Details, EditRefusal, Event, Order, OrderEditRefused, Role};

/// The time for stock to answer an edit may have passed. It has no content.
pub(in crate::domain) struct LapseEdit;

impl Decide for LapseEdit {
    fn kind(&self) -> CommandKind {
        CommandKind::LapseEdit
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn on_absent(&self, _: &DecisionContext<'_>) -> Decision {
        NOTHING_HAPPENS
    }

    fn on_existing(&self, _: &Order, details: &Details, context: &DecisionContext<'_>) -> Decision {
        let at = context.now;
        match details.waiting_edit() {
            Some(edit) if edit.answer_by.is_some_and(|answer_by| at >= answer_by) => {
                let (edit_id, cause, skus) = (edit.edit_id, EditRefusal::Expired, Vec::new());
                Ok(vec![Event::OrderEditRefused(OrderEditRefused { edit_id, cause, skus, at })])
            }
            _ => NOTHING_HAPPENS,
        }
    }
}
