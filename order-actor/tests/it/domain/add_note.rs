//! [`Command::AddNote`]

use std::sync::Arc;

use order_actor::domain::{
    AddNote, By, Command, Event, NewNote, NoteText, Rejection, Role, Status,
};
use shared_events::contract::CancelReason;

use super::support::*;

fn said(text: &str, public: bool) -> Command {
    Command::AddNote(AddNote { public, note: NoteText { text: text.to_owned() } })
}

pub fn noted(text: &str, public: bool, by: By, seconds: u64) -> Event {
    let note = Arc::new(NoteText { text: text.to_owned() });
    Event::NoteAdded { public, note, by, at: after(seconds) }
}

#[test]
fn a_note_changes_nothing_else_in_any_state() {
    let cancelled = vec![placed(), order_cancelled(CancelReason::CustomerRequest, false, 5)];
    let states = [
        (vec![placed()], Status::Pending),
        (vec![placed(), confirmed()], Status::Confirmed),
        (delivered(), Status::Fulfilled),
        (waiting(ALL), Status::ReturnRequested),
        (cancelled, Status::Cancelled),
    ];
    for (history, status) in states {
        let then = given(history)
            .when(&said("ring first", false), &by_ops(), 60)
            .then(noted("ring first", false, by_ops(), 60))
            .is(status);
        let notes = &then.order.details().unwrap().notes;
        assert_eq!((notes.len(), notes[0].number, notes[0].public), (1, 1, false));
        assert_eq!(notes[0].by, Some(by_ops()));
        assert!(!format!("{notes:?}").contains("ring"), "personal data is not shown");
    }
}

#[test]
fn customers_write_public_notes_on_their_own_orders() {
    given([placed()]).when(&said("leave it", true), &by_owner(), 60).then(noted(
        "leave it",
        true,
        by_owner(),
        60,
    ));
    let forbidden = |role| Rejection::Forbidden { role };
    given([placed()])
        .when(&said("psst", false), &by_owner(), 60)
        .then_rejected(&forbidden(Role::Customer));
    given([placed()])
        .when(&said("hello", true), &by_stranger(), 60)
        .then_rejected(&Rejection::NotFound);
    given([placed()])
        .when(&said("hello", true), &by_engine(), 60)
        .then_rejected(&forbidden(Role::Engine));
    nothing().when(&said("hello", true), &by_service(), 60).then_rejected(&Rejection::NotFound);
}

#[test]
fn a_note_has_a_text_of_bounded_length() {
    for blank in ["", " \n"] {
        given([placed()])
            .when(&said(blank, true), &by_ops(), 60)
            .then_rejected(&Rejection::NoteRequired);
    }
    let long = "ü".repeat(2_000);
    given([placed()]).when(&said(&long, true), &by_ops(), 60).then(noted(
        &long,
        true,
        by_ops(),
        60,
    ));
    given([placed()])
        .when(&said(&format!("{long}!"), true), &by_ops(), 60)
        .then_rejected(&Rejection::TextTooLong { field: "text", max: 2_000 });
}

#[test]
fn an_order_has_a_hundred_notes_and_twenty_of_its_customer() {
    let notes = |count: u64, by: fn() -> By| (0..count).map(move |n| noted("n", true, by(), n));
    let by_customer: Vec<Event> = [placed()].into_iter().chain(notes(20, by_owner)).collect();
    let often = Rejection::AskedTooOften { what: "a note is added", max: 20 };
    given(by_customer.clone()).when(&said("one more", true), &by_owner(), 60).then_rejected(&often);
    given(by_customer.clone()).when(&said("the shop", true), &by_ops(), 60).then(noted(
        "the shop",
        true,
        by_ops(),
        60,
    ));
    let full: Vec<Event> = by_customer.into_iter().chain(notes(80, by_ops)).collect();
    given(full)
        .when(&said("one more", true), &by_ops(), 60)
        .then_rejected(&Rejection::TooManyNotes);
}

#[test]
fn notes_placed_with_an_order_come_first() {
    let mut place = a_place();
    place.notes = vec![
        NewNote { public: true, text: "a gift".to_owned() },
        NewNote { public: false, text: "pays late".to_owned() },
    ];
    let mut expected = placed();
    let Event::OrderPlaced { person, .. } = &mut expected else { unreachable!() };
    let mut with_notes = (**person).clone();
    with_notes.notes.clone_from(&place.notes);
    *person = with_notes.into();
    let place = Command::from(place);
    nothing()
        .when(&place, &by_owner(), 0)
        .then_rejected(&Rejection::Forbidden { role: Role::Customer });
    let then = nothing().when(&place, &by_ops(), 0).then(expected.clone());
    let notes = &then.order.details().unwrap().notes;
    assert_eq!(notes.iter().map(|note| note.number).collect::<Vec<_>>(), [1, 2]);
    assert!(notes.iter().all(|note| note.by.is_none() && note.at == after(0)));
    // A note that was added later is no difference to what was placed.
    given([expected, noted("later", true, by_ops(), 5)])
        .when(&place, &by_ops(), 60)
        .then_nothing_happened();
}
