use std::sync::Arc;

use serde::Serialize;

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, leaves_room_to_end, note_fits};
use crate::domain::{By, CommandKind, Details, Event, NoteText, Order, Rejection, bounds};

/// Write a note on an order, whatever its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddNote {
    /// Whether the customer sees it.
    pub public: bool,
    /// The text, of 1 to [`NOTE_MAX`](crate::domain::bounds::NOTE_MAX) characters.
    pub note: NoteText,
}

impl Decide for AddNote {
    fn kind(&self) -> CommandKind {
        CommandKind::AddNote
    }

    /// What customers write they also see.
    fn allows(&self, by: &By) -> bool {
        match by {
            By::Customer(_) => self.public,
            By::Service(_) | By::Ops(_) => true,
            By::ReturnsDesk(_) | By::Engine(_) => false,
        }
    }

    fn on_existing(&self, _: &Order, details: &Details, context: &DecisionContext<'_>) -> Decision {
        note_fits(&self.note.text)?;
        let of_customer = |by: &By| matches!(by, By::Customer(_));
        let asked = details.notes.iter().filter(|note| note.by.as_ref().is_some_and(of_customer));
        if of_customer(context.by) && asked.count() >= bounds::CUSTOMER_NOTES_MAX {
            let max = u64::try_from(bounds::CUSTOMER_NOTES_MAX).unwrap_or(u64::MAX);
            return Err(Rejection::AskedTooOften { what: "a note is added", max });
        }
        if details.notes.len() >= bounds::NOTES_MAX {
            return Err(Rejection::TooManyNotes);
        }
        leaves_room_to_end(details)?;
        Ok(vec![Event::NoteAdded {
            public: self.public,
            note: Arc::new(self.note.clone()),
            by: context.by.clone(),
            at: context.now,
        }])
    }
}
