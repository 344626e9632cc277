//! Where a parcel leaves from, and where units come back to.

use order_actor::domain::{ApproveReturn, Command, Event, Existing, Fulfill, ReceiveReturn};
use order_actor::outbox::translate;
use shared_events::contract::{LocationName, OrderFact};

use super::support::*;

fn berlin() -> Option<LocationName> {
    Some("berlin".parse().unwrap())
}

fn from_berlin(n: u128, lines: &[(u32, u32)]) -> Command {
    let Command::Fulfill(shipped) = fulfill(n, lines) else { unreachable!() };
    Command::Fulfill(Fulfill { location: berlin(), ..shipped })
}

#[test]
fn a_parcel_remembers_the_location_that_it_left() {
    let one = located(lines_fulfilled(1, &[(1, 1)], 10));
    let then = given([placed(), confirmed()])
        .when(&from_berlin(1, &[(1, 1)]), &by_service(), 10)
        .then(one.clone());
    assert_eq!(then.order.details().unwrap().shipments[0].location, berlin());
    let [OrderFact::LinesFulfilled { location, .. }] = &translate(&then.order, &one)[..] else {
        panic!("one fact")
    };
    assert_eq!(*location, berlin());
    let all = located(order_fulfilled(1, ALL, 10));
    let then = given([placed(), confirmed()])
        .when(&from_berlin(1, ALL), &by_service(), 10)
        .then(all.clone());
    let [OrderFact::Fulfilled { location, .. }] = &translate(&then.order, &all)[..] else {
        panic!("one fact")
    };
    assert_eq!(*location, berlin());
}

#[test]
fn a_parcel_that_left_another_location_is_another_parcel() {
    let history = [placed(), confirmed(), located(lines_fulfilled(1, &[(1, 1)], 10))];
    given(history.clone())
        .when(&from_berlin(1, &[(1, 1)]), &by_service(), 20)
        .then_nothing_happened();
    given(history)
        .when(&fulfill(1, &[(1, 1)]), &by_service(), 20)
        .then_rejected(&exists(Existing::Shipment, &["location"]));
}

#[test]
fn units_come_back_to_the_location_that_is_named() {
    let named = || ApproveReturn { return_id: Some(return_id(1)), ..an_approval() };
    let approval = ApproveReturn { location: berlin(), ..named() };
    let expected = located(return_approved(1, ALL, 3_500, 30));
    let then = given(waiting(ALL))
        .when(&Command::ApproveReturn(approval.clone()), &by_ops(), 30)
        .then(expected.clone());
    let facts = translate(&then.order, &expected);
    let OrderFact::Returned { location, .. } = &facts[0] else { panic!("{facts:?}") };
    assert_eq!(*location, berlin());
    let mut history = waiting(ALL);
    history.push(expected);
    given(history.clone())
        .when(&Command::ApproveReturn(approval), &by_ops(), 40)
        .then_nothing_happened();
    given(history)
        .when(&Command::ApproveReturn(named()), &by_ops(), 40)
        .then_rejected(&exists(Existing::Judgement, &["location"]));
}

#[test]
fn units_received_later_come_back_to_the_location_that_is_named() {
    let named = || ReceiveReturn { return_id: Some(return_id(1)), ..a_receipt() };
    let receipt = ReceiveReturn { location: berlin(), ..named() };
    let mut history = waiting(ALL);
    history.push(return_authorized(1, ALL, 3_500, 30));
    let expected = located(return_received(1, ALL, 3_500, 40));
    let then = given(history.clone())
        .when(&Command::ReceiveReturn(receipt.clone()), &by_desk(), 40)
        .then(expected.clone());
    let facts = translate(&then.order, &expected);
    let OrderFact::Returned { location, .. } = &facts[0] else { panic!("{facts:?}") };
    assert_eq!(*location, berlin());
    history.push(expected);
    given(history.clone())
        .when(&Command::ReceiveReturn(receipt), &by_desk(), 50)
        .then_nothing_happened();
    given(history)
        .when(&Command::ReceiveReturn(named()), &by_desk(), 50)
        .then_rejected(&exists(Existing::Receipt, &["location"]));
}

#[test]
fn an_event_without_a_location_is_written_as_before() {
    let written = |event: &Event| serde_json::to_string(event).unwrap();
    for event in [lines_fulfilled(1, ALL, 10), return_received(1, ALL, 1, 10)] {
        assert!(!written(&event).contains("location"));
        assert!(written(&located(event)).contains("berlin"));
    }
}
