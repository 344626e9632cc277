//! [`Command::Place`]

use std::time::Duration;

use order_actor::domain::{
    AddressError, AddressPart, Command, Event, Existing, NewLine, Order, Place, Policy, Rejection,
    Role, Status, decide,
};
use shared_events::contract::{ContactError, Money, SellerId, Timestamp};
use uuid::Uuid;

use super::support::*;

fn rejected(place: Place, expected: &Rejection) {
    nothing().when(&Command::from(place), &by_owner(), 0).then_rejected(expected);
}

#[test]
fn an_order_is_placed_with_a_computed_total_and_a_window() {
    for by in [by_owner(), by_service(), by_ops()] {
        nothing().when(&place(), &by, 0).then(placed()).is(Status::Pending);
    }
}

#[test]
fn the_clients_time_is_stored_and_does_not_affect_decisions() {
    let ordered_at = Some(Timestamp::from_micros(0));
    let command = Command::from(Place { ordered_at, ..a_place() });
    let mut expected = placed();
    let Event::OrderPlaced { ordered_at: kept, .. } = &mut expected else { unreachable!() };
    *kept = ordered_at;
    nothing().when(&command, &by_owner(), 0).then(expected);
}

#[test]
fn a_window_that_never_ends_is_clamped() {
    let policy = Policy { confirm_within: Duration::MAX, ..Policy::default() };
    let events = decide(&Order::Absent, &place(), &by_owner(), after(0), &policy).unwrap();
    let [Event::OrderPlaced { confirm_by, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*confirm_by, Timestamp::MAX);
}

#[test]
fn a_customer_places_own_orders_only_and_the_engine_none() {
    let forbidden = |role| Rejection::Forbidden { role };
    nothing().when(&place(), &by_stranger(), 0).then_rejected(&forbidden(Role::Customer));
    nothing().when(&place(), &by_engine(), 0).then_rejected(&forbidden(Role::Engine));
}

#[test]
fn an_order_has_1_to_2000_lines() {
    let with = |count: usize| Place { lines: vec![new_line("MUG", 1, gbp(1)); count], ..a_place() };
    rejected(with(0), &Rejection::EmptyOrder);
    rejected(with(2_001), &Rejection::TooManyLines);
    let order = Command::from(with(2_000));
    let events = decide(&Order::Absent, &order, &by_owner(), after(0), &Policy::default()).unwrap();
    assert!(matches!(&events[..], [Event::OrderPlaced { total, .. }] if *total == gbp(2_000)));
}

#[test]
fn a_price_may_be_zero_but_not_below() {
    let mut free = a_place();
    free.lines[1].unit_price = gbp(0);
    let events = decide(
        &Order::Absent,
        &Command::from(free.clone()),
        &by_owner(),
        after(0),
        &Policy::default(),
    )
    .unwrap();
    assert!(matches!(&events[..], [Event::OrderPlaced { total, .. }] if *total == gbp(2_000)));
    free.lines[1].unit_price = gbp(-1);
    rejected(free, &Rejection::InvalidLine { line: 2, detail: "the unit price is below zero" });
}

#[test]
fn all_lines_have_one_currency() {
    let mut order = a_place();
    order.lines[1].unit_price = Money::new(500, "EUR".parse().unwrap());
    rejected(order.clone(), &Rejection::CurrencyMismatch);
    order.lines[0].unit_price = gbp(i64::MAX);
    rejected(order.clone(), &Rejection::CurrencyMismatch);
    order.lines[1].unit_price.minor = i64::MAX;
    rejected(order, &Rejection::CurrencyMismatch);
}

#[test]
fn a_total_that_overflows_is_refused() {
    let mut order = a_place();
    order.lines[0].unit_price = gbp(i64::MAX / 2 + 1);
    rejected(order.clone(), &Rejection::AmountOverflow);
    order.lines[0].unit_price = gbp(i64::MAX / 2);
    rejected(order.clone(), &Rejection::AmountOverflow);
    order.lines.truncate(1);
    nothing().when(&Command::from(order), &by_owner(), 0).then({
        let mut expected = placed();
        let Event::OrderPlaced { lines, total, .. } = &mut expected else { unreachable!() };
        lines.truncate(1);
        lines[0].unit_price = gbp(i64::MAX / 2);
        *total = gbp(i64::MAX - 1);
        expected
    });
}

#[test]
fn address_and_contact_are_checked_in_this_order() {
    let mut order = a_place();
    order.contact.email = Some("nobody".to_owned());
    rejected(order.clone(), &Rejection::InvalidContact(ContactError::Email));
    order.address.country = "XX".to_owned();
    rejected(order.clone(), &Rejection::InvalidAddress(AddressError(AddressPart::Country)));
    order.lines.clear();
    rejected(order, &Rejection::EmptyOrder);
}

#[test]
fn addresses_are_checked_field_by_field() {
    let check = |change: fn(&mut order_actor::domain::Address)| {
        let mut changed = address();
        change(&mut changed);
        changed.check()
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|it| it.street.clear()), Err(AddressError(AddressPart::Street)));
    assert_eq!(check(|it| it.street = "x".repeat(200)), Ok(()));
    assert_eq!(check(|it| it.street = "x".repeat(201)), Err(AddressError(AddressPart::Street)));
    assert_eq!(check(|it| it.city = "\u{0}".to_owned()), Err(AddressError(AddressPart::City)));
    assert_eq!(check(|it| it.country = "gb".to_owned()), Err(AddressError(AddressPart::Country)));
    assert_eq!(check(|it| it.country = "B ".to_owned()), Err(AddressError(AddressPart::Country)));
    assert_eq!(check(|it| it.postal_code.clear()), Err(AddressError(AddressPart::PostalCode)));
    assert_eq!(
        check(|it| it.postal_code = "1".repeat(21)),
        Err(AddressError(AddressPart::PostalCode))
    );
    // Some countries require no postal code.
    for (countries, right) in [
        ("AE BD BH CL CO GT HK IE JM MZ NG NP PA VN WS", Ok(())),
        ("AU BR CA CN DE FR GB IN JP MX US ZA", Err(AddressError(AddressPart::PostalCode))),
    ] {
        for country in countries.split(' ') {
            let there = |postal_code: &str| order_actor::domain::Address {
                country: country.to_owned(),
                postal_code: postal_code.to_owned(),
                ..address()
            };
            assert_eq!(there("").check(), right, "{country}");
            assert_eq!(there("12345").check(), Ok(()), "{country}");
            assert_eq!(there(" ").check(), Err(AddressError(AddressPart::PostalCode)), "{country}");
        }
    }
}

#[test]
fn a_city_is_needed_where_addresses_have_one() {
    let there = |country: &str, region: &str| {
        let mut there = address();
        (there.country, there.region) = (country.to_owned(), region.to_owned());
        there.city.clear();
        there.check()
    };
    for (countries, without, with_region) in [
        ("AG GI MO SG SM VG", Ok(()), Ok(())),
        ("AE CO HK ID JP KY NR VN", Err(AddressError(AddressPart::City)), Ok(())),
        ("DE GB US XK", Err(AddressError(AddressPart::City)), Err(AddressError(AddressPart::City))),
    ] {
        for country in countries.split(' ') {
            assert_eq!(there(country, ""), without, "{country}");
            assert_eq!(there(country, "Kowloon"), with_region, "{country}");
        }
    }
    let mut there = address();
    there.country = "SG".to_owned();
    there.city = " ".to_owned();
    assert_eq!(there.check(), Err(AddressError(AddressPart::City)));
}

#[test]
fn placing_the_same_order_again_changes_nothing_in_any_state() {
    let histories = [
        vec![placed()],
        vec![placed(), confirmed()],
        delivered(),
        waiting(ALL),
        vec![placed(), lines_cancelled(&[(1, 1)], 2)],
    ];
    for history in histories {
        for by in [by_owner(), by_service(), by_ops()] {
            given(history.clone()).when(&place(), &by, 40 * DAY).then_nothing_happened();
        }
    }
}

#[test]
fn other_content_under_the_same_id_is_refused() {
    let seller_id = Some(SellerId::from_uuid(Uuid::from_u128(1)));
    type Change = (fn(&mut Place), &'static [&'static str]);
    let changes: [Change; 8] = [
        (|it| it.lines.swap(0, 1), &["lines"]),
        (|it| it.lines.truncate(1), &["lines"]),
        (|it| it.lines[0] = new_line("MUG", 3, gbp(1_000)), &["lines"]),
        (|it| it.lines[0].unit_price = gbp(999), &["lines"]),
        (|it| it.address.street = "2 High Street".to_owned(), &["address"]),
        (|it| it.contact.phone = None, &["contact"]),
        (|it| it.ordered_at = Some(Timestamp::from_micros(0)), &["ordered_at"]),
        (
            |it| {
                it.address.city = "York".to_owned();
                it.contact.email = None;
            },
            &["address", "contact"],
        ),
    ];
    for (change, differs) in changes {
        let mut other = a_place();
        change(&mut other);
        given([placed()])
            .when(&Command::from(other), &by_owner(), 1)
            .then_rejected(&exists(Existing::Order, differs));
    }
    let mut other = a_place();
    other.lines[0] = NewLine { seller_id, ..other.lines[0].clone() };
    given([placed()])
        .when(&Command::from(other), &by_owner(), 1)
        .then_rejected(&exists(Existing::Order, &["lines"]));
}

#[test]
fn another_customers_id_is_refused_after_the_content_check() {
    let theirs = Place { customer_id: stranger(), ..a_place() };
    given([placed()])
        .when(&Command::from(theirs.clone()), &by_stranger(), 1)
        .then_rejected(&exists(Existing::Order, &[]));
    // A caller who may see the order gets the fields that differ.
    given([placed()])
        .when(&Command::from(theirs.clone()), &by_service(), 1)
        .then_rejected(&exists(Existing::Order, &["customer_id"]));
    given([placed()])
        .when(&Command::from(Place { lines: Vec::new(), ..theirs }), &by_stranger(), 1)
        .then_rejected(&Rejection::EmptyOrder);
}
