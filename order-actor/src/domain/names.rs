//! What `Place` says of names and notes: its checks, and what differs from an existing order.

use shared_events::contract::{NameField, OrderNames, OrderNumber};

use super::guards::{Differs, note_fits};
use super::{Details, NewNote, Rejection, bounds};

/// Whether a customer may say all that. Names are unique, so that giving one would reveal whether
/// another order has it; and a customer sees every note of their own.
pub(super) fn are_of_a_customer(names: &OrderNames, notes: &[NewNote]) -> bool {
    names.is_empty() && notes.iter().all(|note| note.public)
}

/// Checks names and notes by themselves.
pub(super) fn check(names: &OrderNames, notes: &[NewNote]) -> Result<(), Rejection> {
    for (name, text) in names.all() {
        if name.parse(text).ok().as_deref() != Some(text) {
            let detail = "printable characters without blanks at the ends";
            return Err(Rejection::InvalidName { name, detail });
        }
    }
    if OrderNumber::is_form(&names.order_number) {
        let (name, detail) = (NameField::OrderNumber, bounds::NUMBER_OF_THE_ENGINE);
        return Err(Rejection::InvalidName { name, detail });
    }
    if notes.len() > bounds::NOTES_MAX {
        return Err(Rejection::TooManyNotes);
    }
    notes.iter().try_for_each(|note| note_fits(&note.text))
}

/// Compares names and notes of an existing order with those of a command that places it again.
pub(super) fn differences(
    details: &Details,
    names: &OrderNames,
    notes: &[NewNote],
) -> [Differs; 4] {
    let none = OrderNames::default();
    let known = details.terms.names.as_deref().unwrap_or(&none);
    let placed = details.notes.iter().filter(|note| note.by.is_none());
    let same_notes = placed
        .map(|note| (note.public, &note.note.text))
        .eq(notes.iter().map(|note| (note.public, &note.text)));
    [
        ("order_number", known.order_number != names.order_number),
        ("external_id", known.external_id != names.external_id),
        ("shop", known.shop != names.shop),
        ("notes", !same_notes),
    ]
}
