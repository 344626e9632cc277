//! [`Command::Correct`]

use std::sync::Arc;

use order_actor::domain::{
    Address, AddressError, AddressPart, AddressPatch, BillingPatch, Command, ContactPatch, Correct,
    Event, Existing, OrderCorrected, Person, Rejection, Role, Status,
};
use shared_events::contract::{CancelReason, Contact, ContactError};

use super::support::*;

pub fn parts(parts: &[(AddressPart, &str)]) -> AddressPatch {
    AddressPatch(parts.iter().map(|(part, value)| (*part, (*value).to_owned())).collect())
}

pub fn nothing_corrected() -> Correct {
    Correct {
        contact: ContactPatch::default(),
        address: AddressPatch::default(),
        billing_address: BillingPatch::Keep,
        reason: "moved".to_owned(),
    }
}

fn command(correct: Correct) -> Command {
    Command::Correct(Box::new(correct))
}

/// Another street and another e-mail address.
pub fn correct() -> Command {
    let email = Some(" ada@example.com ".to_owned());
    command(Correct {
        contact: ContactPatch { email, ..ContactPatch::default() },
        address: parts(&[(AddressPart::Street, "2 Low Street")]),
        ..nothing_corrected()
    })
}

fn corrected_person() -> Person {
    let mut person = person();
    "2 Low Street".clone_into(&mut person.address.street);
    person.contact.email = Some("ada@example.com".to_owned());
    person
}

fn event(person: Person, fields: &[&str], asked_by: Role, seconds: u64) -> Event {
    Event::OrderCorrected(OrderCorrected {
        person: Arc::new(person),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        reason: "moved".to_owned(),
        asked_by,
        at: after(seconds),
    })
}

pub fn corrected(asked_by: Role, seconds: u64) -> Event {
    event(corrected_person(), &["contact.email", "address.street"], asked_by, seconds)
}

#[test]
fn contact_and_address_are_corrected_until_the_last_parcel_has_left() {
    let parcel = lines_fulfilled(1, &[(1, 1)], 5);
    for history in
        [vec![placed()], vec![placed(), confirmed()], vec![placed(), confirmed(), parcel]]
    {
        for (by, role) in
            [(by_owner(), Role::Customer), (by_ops(), Role::Ops), (by_service(), Role::Service)]
        {
            let then = given(history.clone()).when(&correct(), &by, 9).then(corrected(role, 9));
            let person = &then.order.details().unwrap().person;
            assert!(**person == corrected_person());
        }
    }
    for (history, from) in [
        (delivered(), Status::Fulfilled),
        (waiting(ALL), Status::ReturnRequested),
        (vec![placed(), order_cancelled(CancelReason::Ops, false, 2)], Status::Cancelled),
    ] {
        let refused = invalid_transition(from, "CorrectOrder");
        given(history).when(&correct(), &by_ops(), 99).then_rejected(&refused);
    }
    nothing().when(&correct(), &by_ops(), 9).then_rejected(&Rejection::NotFound);
}

#[test]
fn only_its_customer_operators_and_services_correct_it() {
    given([placed()]).when(&correct(), &by_stranger(), 9).then_rejected(&Rejection::NotFound);
    let role = Role::Engine;
    given([placed()])
        .when(&correct(), &by_engine(), 9)
        .then_rejected(&Rejection::Forbidden { role });
}

#[test]
fn what_is_so_already_changes_nothing() {
    given([placed(), corrected(Role::Ops, 2)])
        .when(&correct(), &by_owner(), 9)
        .then_nothing_happened();
    given([placed()]).when(&command(nothing_corrected()), &by_owner(), 9).then_nothing_happened();
}

/// A client that repeats its placing is answered as before.
#[test]
fn a_corrected_order_is_placed_again_under_its_first_content() {
    let history = [placed(), corrected(Role::Customer, 2)];
    given(history.clone()).when(&place(), &by_owner(), 9).then_nothing_happened();
    let mut other = a_place();
    other.address = corrected_person().address;
    given(history)
        .when(&Command::from(other), &by_owner(), 9)
        .then_rejected(&exists(Existing::Order, &["address"]));
}

#[test]
fn every_part_is_checked_as_at_placing() {
    let check = |correct: Correct, expected: Rejection| {
        given([placed()]).when(&command(correct), &by_owner(), 9).then_rejected(&expected);
    };
    let contact = |contact| Correct { contact, ..nothing_corrected() };
    let text = |text: &str| Some(text.to_owned());
    let none = ContactPatch::default;
    let invalid = Rejection::InvalidContact;
    check(contact(ContactPatch { email: text("x"), ..none() }), invalid(ContactError::Email));
    check(contact(ContactPatch { phone: text("020"), ..none() }), invalid(ContactError::Phone));
    check(contact(ContactPatch { locale: text("?"), ..none() }), invalid(ContactError::Locale));
    for (part, value, error) in [
        (AddressPart::City, " ", AddressError(AddressPart::City)),
        (AddressPart::PostalCode, "", AddressError(AddressPart::PostalCode)),
        (AddressPart::Country, "XX", AddressError(AddressPart::Country)),
    ] {
        let patch = parts(&[(part, value)]);
        let address = Correct { address: patch.clone(), ..nothing_corrected() };
        check(address, Rejection::InvalidAddress(error));
        let made = parts(&[(AddressPart::Street, "1"), (AddressPart::City, "Leeds")]);
        let made = AddressPatch(made.0.into_iter().chain(patch.0).collect());
        let billing =
            Correct { billing_address: BillingPatch::Change(made), ..nothing_corrected() };
        let expected = if part == AddressPart::PostalCode {
            AddressError(AddressPart::Country)
        } else {
            error
        };
        check(billing, Rejection::InvalidBillingAddress(expected));
    }
    let reason = String::new();
    check(Correct { reason, ..nothing_corrected() }, Rejection::ReasonRequired);
}

#[test]
fn every_field_is_corrected_by_its_name_and_an_empty_one_is_removed() {
    for part in AddressPart::ALL {
        let value = match part {
            AddressPart::Country => "IE",
            AddressPart::Phone => "+442071838751",
            _ => "other",
        };
        let mut person = person();
        value.clone_into(part.of_mut(&mut person.address));
        let address = parts(&[(part, value)]);
        given([placed()])
            .when(&command(Correct { address, ..nothing_corrected() }), &by_ops(), 9)
            .then(event(person, &[&format!("address.{}", part.name())], Role::Ops, 9));
    }
    let contact = ContactPatch {
        email: Some(String::new()),
        phone: Some(String::new()),
        locale: Some("de_DE".to_owned()),
    };
    let fields = ["contact.email", "contact.phone", "contact.locale"];
    let person = Person { contact: Contact::new("", "", "de-DE").unwrap(), ..person() };
    given([placed()])
        .when(&command(Correct { contact, ..nothing_corrected() }), &by_ops(), 9)
        .then(event(person, &fields, Role::Ops, 9));
}

#[test]
fn a_billing_address_is_made_changed_and_removed() {
    let change =
        |patch| Correct { billing_address: BillingPatch::Change(patch), ..nothing_corrected() };
    let all = AddressPart::ALL.map(|part| (part, part.of(&address()).clone()));
    let made = Person { billing_address: Some(address()), ..person() };
    let made_event = event(made.clone(), &["billing_address"], Role::Ops, 9);
    given([placed()])
        .when(&command(change(AddressPatch(all.into()))), &by_ops(), 9)
        .then(made_event.clone());
    let city = Address { city: "York".to_owned(), ..address() };
    let changed = Person { billing_address: Some(city), ..person() };
    given([placed(), made_event.clone()])
        .when(&command(change(parts(&[(AddressPart::City, "York")]))), &by_ops(), 9)
        .then(event(changed, &["billing_address.city"], Role::Ops, 9));
    let remove = Correct { billing_address: BillingPatch::Remove, ..nothing_corrected() };
    given([placed(), made_event]).when(&command(remove), &by_ops(), 9).then(event(
        person(),
        &["billing_address"],
        Role::Ops,
        9,
    ));
}

#[test]
fn a_customer_corrects_an_order_a_hundred_times() {
    let mut history = vec![placed()];
    for n in 0..100 {
        let (from, to) = if n % 2 == 0 { ("1", "2") } else { ("2", "1") };
        let mut person = person();
        person.address.street = to.to_owned();
        assert_ne!(from, to);
        history.push(event(person, &["address.street"], Role::Customer, 2));
    }
    let what = "it is corrected";
    given(history.clone())
        .when(&correct(), &by_owner(), 9)
        .then_rejected(&Rejection::AskedTooOften { what, max: 100 });
    let fields = &["contact.email", "address.street"];
    given(history).when(&correct(), &by_ops(), 9).then(event(
        corrected_person(),
        fields,
        Role::Ops,
        9,
    ));
}

#[test]
fn corrections_that_cannot_have_happened_are_refused() {
    let why = |events: &[Event]| impossible(events).detail;
    let wrong = event(corrected_person(), &["address.city"], Role::Ops, 2);
    assert_eq!(why(&[placed(), wrong]), "not the fields that changed");
    let nothing = event(person(), &[], Role::Ops, 2);
    assert_eq!(why(&[placed(), nothing]), "not the fields that changed");
    let mut late = delivered();
    late.push(corrected(Role::Ops, 30));
    assert_eq!(why(&late), "the state does not allow it");
}

#[test]
fn corrections_show_no_personal_data_in_debug() {
    let shown = format!("{:?}", correct());
    assert!(!shown.contains("Low Street") && !shown.contains("ada@"), "{shown}");
}
