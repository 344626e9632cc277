//! Names that a client gives an order when it is placed.

use order_actor::domain::{Command, Event, Existing, Place, Rejection, Role};
use shared_events::contract::{NameField, OrderNames, OrderNumber};

use super::support::*;

fn names(order_number: &str, external_id: &str, shop: &str) -> OrderNames {
    let (order_number, external_id) = (order_number.to_owned(), external_id.to_owned());
    OrderNames { order_number, external_id, shop: shop.to_owned() }
}

fn named(names: OrderNames) -> Command {
    Command::from(Place { names, ..a_place() })
}

fn placed_as(given: OrderNames) -> Event {
    let mut event = placed();
    let Event::OrderPlaced { names, .. } = &mut event else { unreachable!() };
    *names = Some(Box::new(given));
    event
}

#[test]
fn an_order_keeps_the_names_that_its_client_gave() {
    let given_names = names("#1001", "5912/A", "uk");
    let then = nothing()
        .when(&named(given_names.clone()), &by_service(), 0)
        .then(placed_as(given_names.clone()));
    let details = then.order.details().unwrap();
    assert_eq!(details.order_number(), "#1001");
    assert_eq!(details.terms.names.as_deref(), Some(&given_names));
}

#[test]
fn an_order_without_a_number_has_that_of_its_id() {
    for (command, event) in
        [(place(), placed()), (named(names("", "1", "")), placed_as(names("", "1", "")))]
    {
        let then = nothing().when(&command, &by_ops(), 0).then(event);
        let number = OrderNumber::of(order_id()).to_string();
        assert_eq!(then.order.details().unwrap().order_number(), number);
    }
}

#[test]
fn customers_give_no_names() {
    for given_names in [names("1", "", ""), names("", "1", ""), names("", "", "uk")] {
        nothing()
            .when(&named(given_names), &by_owner(), 0)
            .then_rejected(&Rejection::Forbidden { role: Role::Customer });
    }
}

#[test]
fn a_name_is_printable_and_no_number_of_the_engine() {
    let long = "x".repeat(41);
    let wrong = [
        (names("a\u{200b}", "", ""), NameField::OrderNumber),
        (names(&long, "", ""), NameField::OrderNumber),
        (names(" 1", "", ""), NameField::OrderNumber),
        (names("", "e\u{301}", ""), NameField::ExternalId),
        (names("", "1", " "), NameField::Shop),
        (names("4qk2-9xva-07tm", "", ""), NameField::OrderNumber),
    ];
    for (given_names, field) in wrong {
        let events = order_actor::domain::decide(
            &order_actor::domain::Order::Absent,
            &named(given_names),
            &by_ops(),
            after(0),
            &order_actor::domain::Policy::default(),
        );
        let is = matches!(&events, Err(Rejection::InvalidName { name, .. }) if *name == field);
        assert!(is, "{events:?}");
    }
}

#[test]
fn an_order_placed_again_under_other_names_differs_in_them() {
    let first = placed_as(names("1", "2", "uk"));
    let again = |given_names| given([first.clone()]).when(&named(given_names), &by_ops(), 60);
    again(names("1", "2", "uk")).then_nothing_happened();
    let differs = |fields: &[&'static str]| exists(Existing::Order, fields);
    again(names("2", "2", "uk")).then_rejected(&differs(&["order_number"]));
    again(names("1", "", "")).then_rejected(&differs(&["external_id", "shop"]));
    given([first.clone()]).when(&place(), &by_owner(), 60).then_rejected(&differs(&[
        "order_number",
        "external_id",
        "shop",
    ]));
}
