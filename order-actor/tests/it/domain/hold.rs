//! [`Command::HoldOrder`] and [`Command::ReleaseHold`]

use order_actor::domain::{
    Command, Event, Existing, HoldKind, HoldName, HoldOrder, HoldReleased, OrderHeld, Rejection,
    ReleaseHold, Role, Status,
};
use shared_events::contract::{CancelReason, HoldId};
use uuid::Uuid;

use super::support::*;

pub fn hold_id(n: u128) -> HoldId {
    HoldId::from_uuid(Uuid::from_u128(0x400 + n))
}

pub fn a_hold(n: u128, kind: HoldKind, label: &str) -> HoldOrder {
    let (label, reason) = (label.to_owned(), "looks odd".to_owned());
    HoldOrder { hold_id: hold_id(n), kind, label, reason }
}

pub fn hold(n: u128) -> Command {
    Command::HoldOrder(a_hold(n, HoldKind::Fraud, ""))
}

pub fn release(n: u128) -> Command {
    let (hold, reason) = (HoldName::Id(hold_id(n)), "clarified".to_owned());
    Command::ReleaseHold(ReleaseHold { hold, reason })
}

fn release_named(name: &str) -> Command {
    let (hold, reason) = (HoldName::Name(name.to_owned()), "clarified".to_owned());
    Command::ReleaseHold(ReleaseHold { hold, reason })
}

pub fn held(n: u128, kind: HoldKind, label: &str, seconds: u64) -> Event {
    let HoldOrder { hold_id, kind, label, reason } = a_hold(n, kind, label);
    Event::OrderHeld(OrderHeld { hold_id, kind, label, reason, at: after(seconds) })
}

pub fn released(n: u128, seconds: u64) -> Event {
    let (hold_id, reason, at) = (hold_id(n), "clarified".to_owned(), after(seconds));
    Event::HoldReleased(HoldReleased { hold_id, reason, at })
}

fn is_held(names: &[&str]) -> Rejection {
    Rejection::OrderHeld { holds: names.iter().map(|name| (*name).to_owned()).collect() }
}

/// Placed, confirmed, held for a fraud.
fn on_hold() -> Vec<Event> {
    vec![placed(), confirmed(), held(1, HoldKind::Fraud, "", 2)]
}

#[test]
fn a_held_order_does_not_ship_and_names_every_hold() {
    let mut history = on_hold();
    history.push(held(2, HoldKind::Custom, "call Ada", 3));
    for lines in [&[][..], &[(1, 1)]] {
        given(history.clone())
            .when(&fulfill(1, lines), &by_service(), 9)
            .then_rejected(&is_held(&["FRAUD", "call Ada"]));
    }
    history.push(released(1, 4));
    given(history.clone())
        .when(&fulfill(1, &[]), &by_service(), 9)
        .then_rejected(&is_held(&["call Ada"]));
    history.push(released(2, 5));
    given(history)
        .when(&fulfill(1, &[]), &by_service(), 9)
        .then(order_fulfilled(1, ALL, 9))
        .is(Status::Fulfilled);
}

#[test]
fn a_parcel_that_was_shipped_before_the_hold_may_be_repeated() {
    let history = [placed(), confirmed(), lines_fulfilled(1, &[(1, 1)], 2)];
    let history = history.into_iter().chain([held(1, HoldKind::Address, "", 3)]);
    given(history).when(&fulfill(1, &[(1, 1)]), &by_service(), 9).then_nothing_happened();
}

#[test]
fn a_held_order_confirms_cancels_and_lapses() {
    let pending = || vec![placed(), held(1, HoldKind::Fraud, "", 1)];
    given(pending()).when(&confirm(1), &by_engine(), 1).then(confirmed()).is(Status::Confirmed);
    given(pending()).when(&Command::Lapse, &by_engine(), 15 * MINUTE).then(order_cancelled(
        CancelReason::SlaTimeout,
        false,
        15 * MINUTE,
    ));
    given(on_hold())
        .when(&cancel(CancelReason::CustomerRequest, &[]), &by_owner(), 9)
        .then(order_cancelled(CancelReason::CustomerRequest, true, 9))
        .is(Status::Cancelled);
}

#[test]
fn holding_is_for_operators_and_services_before_everything_has_left() {
    for by in [by_ops(), by_service()] {
        given([placed(), confirmed()])
            .when(&hold(1), &by, 2)
            .then(held(1, HoldKind::Fraud, "", 2))
            .is(Status::Confirmed);
    }
    for (command, history) in [(hold(1), vec![placed()]), (release(1), on_hold())] {
        for (by, role) in [(by_owner(), Role::Customer), (by_engine(), Role::Engine)] {
            given(history.clone())
                .when(&command, &by, 9)
                .then_rejected(&Rejection::Forbidden { role });
        }
        nothing().when(&command, &by_ops(), 9).then_rejected(&Rejection::NotFound);
    }
    for (history, from) in [
        (delivered(), Status::Fulfilled),
        (waiting(ALL), Status::ReturnRequested),
        (vec![placed(), order_cancelled(CancelReason::Ops, false, 2)], Status::Cancelled),
    ] {
        let refused = invalid_transition(from, "HoldOrder");
        given(history).when(&hold(1), &by_ops(), 99).then_rejected(&refused);
    }
}

#[test]
fn the_same_hold_again_changes_nothing_and_another_under_its_id_is_refused() {
    given(on_hold()).when(&hold(1), &by_ops(), 9).then_nothing_happened();
    let other = Command::HoldOrder(HoldOrder {
        reason: "another".to_owned(),
        ..a_hold(1, HoldKind::Custom, "x")
    });
    given(on_hold())
        .when(&other, &by_ops(), 9)
        .then_rejected(&exists(Existing::Hold, &["kind", "label", "reason"]));
    // One name stands once.
    given(on_hold())
        .when(&hold(2), &by_ops(), 9)
        .then_rejected(&exists(Existing::Hold, &["hold_id"]));
    let labelled = Command::HoldOrder(a_hold(2, HoldKind::Custom, "FRAUD"));
    given(on_hold())
        .when(&labelled, &by_ops(), 9)
        .then_rejected(&exists(Existing::Hold, &["hold_id"]));
    let mut history = on_hold();
    history.push(released(1, 3));
    given(history.clone())
        .when(&hold(1), &by_ops(), 9)
        .then_rejected(&exists(Existing::ReleasedHold, &[]));
    given(history).when(&hold(2), &by_ops(), 9).then(held(2, HoldKind::Fraud, "", 9));
}

#[test]
fn a_hold_is_released_by_its_id_or_its_name_once() {
    for command in [release(1), release_named("FRAUD")] {
        given(on_hold()).when(&command, &by_ops(), 9).then(released(1, 9));
        let mut history = on_hold();
        history.push(released(1, 9));
        given(history.clone()).when(&command, &by_ops(), 10).then_nothing_happened();
        let Command::ReleaseHold(release) = command else { unreachable!() };
        let other = Command::ReleaseHold(ReleaseHold { reason: "paid".to_owned(), ..release });
        given(history)
            .when(&other, &by_ops(), 10)
            .then_rejected(&exists(Existing::Release, &["reason"]));
    }
    let again = [released(1, 3), held(2, HoldKind::Fraud, "", 4)];
    given(on_hold().into_iter().chain(again))
        .when(&release_named("FRAUD"), &by_service(), 9)
        .then(released(2, 9));
    for command in [release(7), release_named("ADDRESS")] {
        given(on_hold())
            .when(&command, &by_ops(), 9)
            .then_rejected(&Rejection::NoSuchHold { holds: vec!["FRAUD".to_owned()] });
    }
    let cancelled = order_cancelled(CancelReason::Ops, true, 5);
    given(on_hold().into_iter().chain([cancelled]))
        .when(&release(1), &by_ops(), 9)
        .then_rejected(&invalid_transition(Status::Cancelled, "ReleaseHold"));
}

#[test]
fn texts_of_holds_are_demanded_and_bounded() {
    let check = |hold: HoldOrder, expected: &Rejection| {
        given([placed()]).when(&Command::HoldOrder(hold), &by_ops(), 2).then_rejected(expected);
    };
    let required = Rejection::InvalidField { at: "label", detail: "required for this kind" };
    check(a_hold(1, HoldKind::Custom, " "), &required);
    let long = "é".repeat(41);
    check(a_hold(1, HoldKind::Fraud, &long), &Rejection::TextTooLong { field: "label", max: 40 });
    let without = HoldOrder { reason: " ".to_owned(), ..a_hold(1, HoldKind::Fraud, "") };
    check(without, &Rejection::ReasonRequired);
    let release =
        Command::ReleaseHold(ReleaseHold { hold: HoldName::Id(hold_id(1)), reason: String::new() });
    given(on_hold()).when(&release, &by_ops(), 9).then_rejected(&Rejection::ReasonRequired);
}

#[test]
fn twenty_holds_stand_at_the_same_time() {
    let labels: Vec<String> = (0..20).map(|n| format!("hold {n}")).collect();
    let mut history = vec![placed()];
    history.extend((1..).zip(&labels).map(|(n, label)| held(n, HoldKind::Custom, label, 1)));
    given(history.clone()).when(&hold(99), &by_ops(), 2).then_rejected(&Rejection::TooManyHolds);
    history.push(released(1, 2));
    given(history).when(&hold(99), &by_ops(), 2).then(held(99, HoldKind::Fraud, "", 2));
}

#[test]
fn holds_that_cannot_have_happened_are_refused() {
    let why = |events: &[Event]| impossible(events).detail;
    let mut twice = on_hold();
    twice.push(held(2, HoldKind::Fraud, "", 3));
    assert_eq!(why(&twice), "the order is held by it already");
    let mut shipped = on_hold();
    shipped.push(order_fulfilled(1, ALL, 9));
    assert_eq!(why(&shipped), "the order is held");
    assert_eq!(why(&[placed(), released(1, 2)]), "the order is not held by it");
    assert_eq!(why(&[placed(), held(1, HoldKind::Custom, "", 2)]), "a hold without a label");
    let mut late = delivered();
    late.push(held(1, HoldKind::Fraud, "", 30));
    assert_eq!(why(&late), "the state does not allow it");
    let over = [placed(), order_cancelled(CancelReason::Ops, false, 2), released(1, 3)];
    assert_eq!(why(&over), "the state does not allow it");
}
