//! [`Command::UpdateShipment`], [`Command::RecordDelivery`] and [`Command::UndoShipment`]

use std::time::Duration;

use order_actor::domain::{
    ApproveReturn, ChargeKind, ChargeRefund, Command, EditOrder, Event, Existing, ExpectedTotals,
    Fulfill, LineChange, LineQuantity, NewCharge, Order, OutcomeUnits, ParcelName, ParcelState,
    Place, ReceiveReturn, RecordDelivery, Rejection, Restitution, ReturnLineDisposition, Role,
    ShipmentCorrected, ShipmentDelivered, ShipmentFound, ShipmentUndone, Status, UndoCause,
    UndoShipment, UnitOutcome, UpdateShipment, bounds,
};
use shared_events::contract::{CancelReason, Disposition};

use super::payments::placed_by;
use super::support::*;

pub fn parcel(n: u128) -> ParcelName {
    ParcelName { shipment_id: Some(shipment(n)), reference: String::new() }
}

fn by_reference(reference: &str) -> ParcelName {
    ParcelName { shipment_id: None, reference: reference.to_owned() }
}

pub fn update(n: u128) -> Command {
    let (carrier, tracking) = (None, Some("RM2".to_owned()));
    Command::UpdateShipment(UpdateShipment { parcel: parcel(n), carrier, tracking })
}

pub fn tracking_corrected(n: u128, seconds: u64) -> Event {
    Event::ShipmentCorrected(ShipmentCorrected {
        shipment_id: shipment(n),
        carrier: "Royal Mail".to_owned(),
        tracking: "RM2".to_owned(),
        at: after(seconds),
    })
}

pub fn deliver(n: u128, seconds: Option<u64>) -> Command {
    let delivered_at = seconds.map(after);
    Command::RecordDelivery(RecordDelivery { parcel: parcel(n), delivered_at })
}

pub fn parcel_delivered(n: u128, on: u64, return_until: Option<u64>, seconds: u64) -> Event {
    Event::ShipmentDelivered(ShipmentDelivered {
        shipment_id: shipment(n),
        delivered_at: after(on),
        return_until: return_until.map(after),
        at: after(seconds),
    })
}

pub fn an_undoing(n: u128, cause: UndoCause) -> UndoShipment {
    UndoShipment {
        parcel: parcel(n),
        cause,
        dispositions: Vec::new(),
        refund: None,
        reason: "the carrier says so".to_owned(),
        open_again: false,
        charges: Vec::new(),
        found: false,
    }
}

pub fn undo(n: u128, cause: UndoCause) -> Command {
    Command::UndoShipment(an_undoing(n, cause))
}

pub fn undone(n: u128, cause: UndoCause, lines: &[(u32, u32)], refund: i64, seconds: u64) -> Event {
    let disposition = match cause {
        UndoCause::Lost => Disposition::WriteOff,
        UndoCause::ReturnedToSender => Disposition::Restock,
    };
    let restitution = |LineQuantity { line, quantity }| Restitution { line, quantity, disposition };
    Event::ShipmentUndone(ShipmentUndone {
        shipment_id: shipment(n),
        cause,
        lines: units(lines).into_iter().map(restitution).collect(),
        refund: gbp(refund),
        reason: "the carrier says so".to_owned(),
        open_again: false,
        charges: Vec::new(),
        at: after(seconds),
    })
}

pub fn undo_to_ship_again(n: u128) -> Command {
    let undoing = an_undoing(n, UndoCause::ReturnedToSender);
    Command::UndoShipment(UndoShipment { open_again: true, ..undoing })
}

pub fn open_again(n: u128, lines: &[(u32, u32)], seconds: u64) -> Event {
    let mut event = undone(n, UndoCause::ReturnedToSender, lines, 0, seconds);
    if let Event::ShipmentUndone(undone) = &mut event {
        undone.open_again = true;
    }
    event
}

pub fn a_finding(n: u128) -> UndoShipment {
    UndoShipment { found: true, ..an_undoing(n, UndoCause::ReturnedToSender) }
}

pub fn find(n: u128) -> Command {
    Command::UndoShipment(a_finding(n))
}

/// A lost parcel is back, with its units whole.
pub fn found(n: u128, lines: &[(u32, u32)], seconds: u64) -> Event {
    let disposition = Disposition::Restock;
    let restitution = |LineQuantity { line, quantity }| Restitution { line, quantity, disposition };
    Event::ShipmentFound(ShipmentFound {
        shipment_id: shipment(n),
        lines: units(lines).into_iter().map(restitution).collect(),
        reason: "the carrier says so".to_owned(),
        at: after(seconds),
    })
}

/// A parcel with one mug, and the rest open.
fn partly() -> Vec<Event> {
    vec![placed(), confirmed(), lines_fulfilled(1, &[(1, 1)], 10)]
}

fn then(mut history: Vec<Event>, more: &[Event]) -> Vec<Event> {
    history.extend_from_slice(more);
    history
}

fn state_of(order: &Order, n: u128) -> ParcelState {
    order.details().unwrap().shipment(shipment(n)).unwrap().state()
}

const WINDOW: u64 = 30 * DAY;

#[test]
fn tracking_is_corrected_while_the_parcel_is_on_its_way() {
    for history in [partly(), delivered(), waiting(&[(1, 1)])] {
        let event = tracking_corrected(1, 30);
        let corrected =
            given(history.clone()).when(&update(1), &by_service(), 30).then(event.clone());
        let parcel = corrected.order.details().unwrap().shipment(shipment(1)).unwrap().clone();
        assert_eq!((parcel.carrier(), parcel.tracking()), ("Royal Mail", "RM2"));
        given(then(history, &[event])).when(&update(1), &by_ops(), 31).then_nothing_happened();
    }
    let gone = then(partly(), &[parcel_delivered(1, 20, None, 20)]);
    let (is, call) = (ParcelState::Delivered, "UpdateShipment");
    given(gone)
        .when(&update(1), &by_ops(), 30)
        .then_rejected(&Rejection::InvalidParcelState { is, call });
    given(partly()).when(&update(9), &by_ops(), 30).then_rejected(&Rejection::NoSuchParcel);
    let long = |carrier, tracking| {
        Command::UpdateShipment(UpdateShipment { parcel: parcel(1), carrier, tracking })
    };
    let text = || Some("x".repeat(101));
    for (command, field) in [(long(text(), None), "carrier"), (long(None, text()), "tracking")] {
        given(partly())
            .when(&command, &by_ops(), 30)
            .then_rejected(&Rejection::TextTooLong { field, max: 100 });
    }
}

#[test]
fn a_parcel_shipped_before_its_tracking_was_corrected_may_be_repeated() {
    let history = then(partly(), &[tracking_corrected(1, 20)]);
    given(history).when(&fulfill(1, &[(1, 1)]), &by_service(), 30).then_nothing_happened();
}

#[test]
fn a_warehouses_own_id_names_one_parcel_of_an_order() {
    let shipped = |n: u128, reference: &str, lines: &[(u32, u32)]| {
        Command::Fulfill(Fulfill {
            shipment_id: shipment(n),
            lines: units(lines),
            carrier: String::new(),
            tracking: String::new(),
            reference: reference.to_owned(),
            location: None,
        })
    };
    let event = Event::LinesFulfilled {
        shipment_id: shipment(1),
        lines: units(&[(1, 1)]),
        carrier: String::new(),
        tracking: String::new(),
        shipment_reference: "W-1".to_owned(),
        at: after(10),
        location: None,
    };
    given([placed(), confirmed()])
        .when(&shipped(1, "W-1", &[(1, 1)]), &by_service(), 10)
        .then(event.clone());
    let history = [placed(), confirmed(), event];
    given(history.clone())
        .when(&shipped(1, "W-1", &[(1, 1)]), &by_service(), 20)
        .then_nothing_happened();
    given(history.clone())
        .when(&shipped(1, "W-2", &[(1, 1)]), &by_service(), 20)
        .then_rejected(&exists(Existing::Shipment, &["shipment_reference"]));
    given(history.clone())
        .when(&shipped(2, "W-1", &[(1, 1)]), &by_service(), 20)
        .then_rejected(&exists(Existing::Shipment, &["shipment_id"]));
    given([placed(), confirmed()])
        .when(&shipped(1, &"x".repeat(65), &[]), &by_service(), 20)
        .then_rejected(&Rejection::TextTooLong { field: "shipment_reference", max: 64 });
    let deliver = |parcel| Command::RecordDelivery(RecordDelivery { parcel, delivered_at: None });
    let both = ParcelName { shipment_id: Some(shipment(1)), ..by_reference("W-1") };
    for named in [by_reference("W-1"), both.clone()] {
        given(history.clone())
            .when(&deliver(named), &by_service(), 20)
            .then(parcel_delivered(1, 20, None, 20));
    }
    let other = ParcelName { reference: "W-2".to_owned(), ..both };
    for unknown in [other, by_reference("W-2"), by_reference("")] {
        given(history.clone())
            .when(&deliver(unknown), &by_service(), 20)
            .then_rejected(&Rejection::NoSuchParcel);
    }
}

#[test]
fn the_return_window_begins_with_the_last_delivery() {
    let moved = given(delivered())
        .when(&deliver(1, Some(DAY)), &by_service(), 2 * DAY)
        .then(parcel_delivered(1, DAY, Some(DAY + WINDOW), 2 * DAY))
        .is(Status::Fulfilled);
    let Order::Fulfilled(fulfilled) = moved.order else { unreachable!() };
    assert_eq!(fulfilled.return_until, after(DAY + WINDOW));
    // One of several that was delivered before the last was shipped moves nothing.
    let two = then(partly(), &[order_fulfilled(2, &[(1, 1), (2, 3)], DAY)]);
    given(two.clone()).when(&deliver(1, Some(20)), &by_service(), 2 * DAY).then(parcel_delivered(
        1,
        20,
        None,
        2 * DAY,
    ));
    given(two).when(&deliver(1, Some(2 * DAY)), &by_service(), 2 * DAY).then(parcel_delivered(
        1,
        2 * DAY,
        Some(2 * DAY + WINDOW),
        2 * DAY,
    ));
    // While a return waits it moves too.
    given(waiting(&[(1, 1)]))
        .when(&deliver(1, None), &by_ops(), DAY)
        .then(parcel_delivered(1, DAY, Some(DAY + WINDOW), DAY))
        .is(Status::ReturnRequested);
}

#[test]
fn an_order_whose_rest_is_cancelled_has_the_window_of_its_last_delivery() {
    let history = then(partly(), &[parcel_delivered(1, DAY, None, DAY)]);
    let then = given(history)
        .when(&cancel(CancelReason::Ops, &[]), &by_ops(), 2 * DAY)
        .then(Event::LinesCancelled {
            lines: units(&[(1, 1), (2, 3)]),
            reason: CancelReason::Ops,
            text: String::new(),
            return_until: Some(after(DAY + WINDOW)),
            at: after(2 * DAY),
        })
        .is(Status::Fulfilled);
    assert_eq!(then.order.fulfilled().unwrap().return_until, after(DAY + WINDOW));
}

#[test]
fn a_delivery_is_not_before_the_shipping_and_not_in_the_future() {
    let invalid = |detail| Rejection::InvalidField { at: "delivered_at", detail };
    given(partly())
        .when(&deliver(1, Some(9)), &by_service(), 30)
        .then_rejected(&invalid("not before it was shipped"));
    let ahead = bounds::DELIVERY_AHEAD_MAX.as_secs();
    given(partly())
        .when(&deliver(1, Some(31 + ahead)), &by_service(), 30)
        .then_rejected(&invalid("not in the future"));
    given(partly()).when(&deliver(1, Some(30 + ahead)), &by_service(), 30).then(parcel_delivered(
        1,
        30 + ahead,
        None,
        30,
    ));
    // The clock was set back: it was delivered when it was shipped, at the earliest.
    given(partly())
        .when(&deliver(1, None), &by_service(), 5)
        .then(parcel_delivered(1, 10, None, 5));
}

#[test]
fn a_delivery_is_recorded_once() {
    let history = then(partly(), &[parcel_delivered(1, 20, None, 20)]);
    for again in [deliver(1, None), deliver(1, Some(20))] {
        given(history.clone()).when(&again, &by_service(), 30).then_nothing_happened();
    }
    given(history)
        .when(&deliver(1, Some(21)), &by_service(), 30)
        .then_rejected(&exists(Existing::Delivery, &["delivered_at"]));
}

#[test]
fn parcels_of_an_order_that_is_over_stay_as_they_are() {
    let lost = undo(1, UndoCause::Lost);
    for command in [update(1), deliver(1, None), lost.clone()] {
        given(delivered())
            .when(&command, &by_ops(), 10 + WINDOW)
            .then_rejected(&Rejection::ReturnWindowExpired);
        let returned = then(waiting(ALL), &[return_approved(1, ALL, 3_500, 30)]);
        let Err(Rejection::InvalidTransition { from, .. }) = decision(&returned, &command) else {
            panic!("{command:?}")
        };
        assert_eq!(from, Status::Returned);
    }
    for (by, role) in [(by_owner(), Role::Customer), (by_engine(), Role::Engine)] {
        for command in [update(1), deliver(1, None), lost.clone()] {
            given(partly()).when(&command, &by, 30).then_rejected(&Rejection::Forbidden { role });
        }
    }
}

fn decision(history: &[Event], command: &Command) -> Result<Vec<Event>, Rejection> {
    let order = order_actor::domain::replay(history).unwrap();
    let now = after(40);
    order_actor::domain::decide(&order, command, &by_ops(), now, &Default::default())
}

#[test]
fn a_lost_parcel_is_written_off_and_refunded() {
    let then = given(partly())
        .when(&undo(1, UndoCause::Lost), &by_service(), 30)
        .then(undone(1, UndoCause::Lost, &[(1, 1)], 1_000, 30))
        .is(Status::Confirmed)
        .counts(&[(0, 1, 0, 1), (0, 0, 0, 0)]);
    assert_eq!(state_of(&then.order, 1), ParcelState::Lost);
    let details = then.order.details().unwrap();
    // What is open was not delivered yet: it is cancelled, not refunded.
    assert_eq!((details.refunded, details.refundable()), (gbp(1_000), gbp(0)));
}

#[test]
fn an_order_whose_only_parcel_came_back_is_returned() {
    let then = given(delivered())
        .when(&undo(1, UndoCause::ReturnedToSender), &by_ops(), 30)
        .then(undone(1, UndoCause::ReturnedToSender, ALL, 3_500, 30))
        .is(Status::Returned);
    assert_eq!(state_of(&then.order, 1), ParcelState::ReturnedToSender);
    let two = then_two();
    given(two)
        .when(&undo(1, UndoCause::Lost), &by_ops(), 30)
        .then(undone(1, UndoCause::Lost, &[(1, 1)], 1_000, 30))
        .is(Status::Fulfilled);
}

fn then_two() -> Vec<Event> {
    then(partly(), &[order_fulfilled(2, &[(1, 1), (2, 3)], 20)])
}

#[test]
fn an_order_whose_shipped_units_all_came_back_is_returned_when_the_rest_is_cancelled() {
    let history = then(partly(), &[undone(1, UndoCause::Lost, &[(1, 1)], 1_000, 20)]);
    given(history.clone())
        .when(&cancel(CancelReason::Ops, &[]), &by_ops(), 30)
        .then(Event::LinesCancelled {
            lines: units(&[(1, 1), (2, 3)]),
            reason: CancelReason::Ops,
            text: String::new(),
            return_until: Some(after(10 + WINDOW)),
            at: after(30),
        })
        .is(Status::Returned);
    given(history)
        .when(&fulfill(2, &[]), &by_service(), 30)
        .then(order_fulfilled(2, &[(1, 1), (2, 3)], 30))
        .is(Status::Fulfilled);
}

#[test]
fn units_that_came_back_may_be_written_off_line_by_line() {
    let named = |line, disposition| ReturnLineDisposition { line, disposition };
    let with = |cause, dispositions| {
        Command::UndoShipment(UndoShipment { dispositions, ..an_undoing(1, cause) })
    };
    let (came_back, lost) = (UndoCause::ReturnedToSender, UndoCause::Lost);
    let mut expected = undone(1, came_back, ALL, 3_500, 30);
    if let Event::ShipmentUndone(undone) = &mut expected {
        undone.lines[1].disposition = Disposition::WriteOff;
    }
    given(delivered())
        .when(&with(came_back, vec![named(2, Disposition::WriteOff)]), &by_ops(), 30)
        .then(expected);
    let check = |command: &Command, index: usize, line, detail| {
        let at = format!("dispositions[{index}].line");
        given(delivered())
            .when(command, &by_ops(), 30)
            .then_rejected(&Rejection::InvalidReturnLines { line, at, detail });
    };
    let unknown = with(came_back, vec![named(3, Disposition::Restock)]);
    check(&unknown, 0, 3, "not a line of the parcel");
    let restock = with(lost, vec![named(1, Disposition::Restock)]);
    check(&restock, 0, 1, "units that were lost cannot be restocked");
    let twice = vec![named(1, Disposition::WriteOff), named(1, Disposition::WriteOff)];
    check(&with(lost, twice), 1, 1, "named twice");
}

#[test]
fn a_refund_of_an_undone_parcel_is_at_most_its_value() {
    let with = |minor| {
        let refund = Some(gbp(minor));
        Command::UndoShipment(UndoShipment { refund, ..an_undoing(1, UndoCause::Lost) })
    };
    given(partly()).when(&with(0), &by_ops(), 30).then(undone(
        1,
        UndoCause::Lost,
        &[(1, 1)],
        0,
        30,
    ));
    given(partly())
        .when(&with(1_001), &by_ops(), 30)
        .then_rejected(&Rejection::ParcelRefundTooLarge { most: gbp(1_000) });
    given(partly()).when(&with(-1), &by_ops(), 30).then_rejected(&Rejection::InvalidRefund);
    let reason = String::new();
    let without = Command::UndoShipment(UndoShipment { reason, ..an_undoing(1, UndoCause::Lost) });
    given(partly()).when(&without, &by_ops(), 30).then_rejected(&Rejection::ReasonRequired);
}

/// Of an order with shipping at 5.00.
#[test]
fn shipping_is_paid_back_with_the_only_parcel_that_was_lost() {
    let shipping = NewCharge {
        kind: ChargeKind::Shipping,
        label: String::new(),
        amount: gbp(500),
        taxes: Vec::new(),
    };
    let placed = placed_by(Place { charges: vec![shipping], ..a_place() });
    let history = vec![placed, confirmed(), order_fulfilled(1, ALL, 10)];
    let with = |charges: &[(u32, i64)], refund: Option<i64>| {
        let charge =
            |(charge, amount): &(u32, i64)| ChargeRefund { charge: *charge, amount: gbp(*amount) };
        Command::UndoShipment(UndoShipment {
            charges: charges.iter().map(charge).collect(),
            refund: refund.map(gbp),
            ..an_undoing(1, UndoCause::Lost)
        })
    };
    let undone_with = |refund: i64, of_charge: i64| {
        let mut event = undone(1, UndoCause::Lost, ALL, refund, 20);
        if let Event::ShipmentUndone(undone) = &mut event {
            undone.charges = vec![ChargeRefund { charge: 1, amount: gbp(of_charge) }];
        }
        event
    };
    let lost = given(history.clone())
        .when(&with(&[(1, 500)], None), &by_ops(), 20)
        .then(undone_with(4_000, 500))
        .is(Status::Returned);
    assert_eq!(lost.order.details().unwrap().charges[0].refunded, 500);
    // As a part of what is said.
    given(history.clone())
        .when(&with(&[(1, 200)], Some(1_200)), &by_ops(), 20)
        .then(undone_with(1_200, 200));
    let refused = |charges: &[(u32, i64)], refund, rejection: &Rejection| {
        given(history.clone()).when(&with(charges, refund), &by_ops(), 20).then_rejected(rejection);
    };
    let wrong = |at: &str, detail| Rejection::InvalidAmount { at: at.to_owned(), detail };
    let left = "from zero to what is left of the charge";
    refused(&[(1, 501)], None, &wrong("charges[0].amount", left));
    refused(&[(2, 1)], None, &wrong("charges[0].charge", "no such charge"));
    refused(&[(1, 1), (1, 1)], None, &wrong("charges[1].charge", "named twice"));
    let below = Rejection::RefundBelowCharges { charges: gbp(500) };
    refused(&[(1, 500)], Some(499), &below);
    let too_large = Rejection::ParcelRefundTooLarge { most: gbp(3_600) };
    refused(&[(1, 100)], Some(3_601), &too_large);
    // Again, with and without the charge.
    let history = then(history, &[undone_with(4_000, 500)]);
    given(history.clone()).when(&with(&[(1, 500)], None), &by_ops(), 30).then_nothing_happened();
    given(history.clone())
        .when(&with(&[(1, 500)], Some(4_000)), &by_ops(), 30)
        .then_nothing_happened();
    given(history)
        .when(&with(&[], Some(4_000)), &by_ops(), 30)
        .then_rejected(&exists(Existing::UndoneShipment, &["charges"]));
}

#[test]
fn charges_in_another_order_are_the_same() {
    let charge = |minor| NewCharge {
        kind: ChargeKind::Shipping,
        label: String::new(),
        amount: gbp(minor),
        taxes: Vec::new(),
    };
    let placed = placed_by(Place { charges: vec![charge(500), charge(300)], ..a_place() });
    let refunds = |charges: &[(u32, i64)]| -> Vec<ChargeRefund> {
        let one =
            |(charge, minor): &(u32, i64)| ChargeRefund { charge: *charge, amount: gbp(*minor) };
        charges.iter().map(one).collect()
    };
    let undoing = |charges: &[(u32, i64)]| {
        let charges = refunds(charges);
        Command::UndoShipment(UndoShipment { charges, ..an_undoing(1, UndoCause::Lost) })
    };
    let (as_said, turned) = ([(2, 100), (1, 500)], [(1, 500), (2, 100)]);
    let mut event = undone(1, UndoCause::Lost, ALL, 4_100, 20);
    if let Event::ShipmentUndone(undone) = &mut event {
        undone.charges = refunds(&as_said);
    }
    let history = vec![placed, confirmed(), order_fulfilled(1, ALL, 10)];
    given(history.clone()).when(&undoing(&as_said), &by_ops(), 20).then(event.clone());
    let history = then(history, &[event]);
    given(history.clone()).when(&undoing(&turned), &by_ops(), 30).then_nothing_happened();
    given(history)
        .when(&undoing(&[(1, 100), (2, 500)]), &by_ops(), 30)
        .then_rejected(&exists(Existing::UndoneShipment, &["charges"]));
    // A request is known again by its content.
    let content = |charges: &[(u32, i64)]| undoing(charges).in_one_order().unwrap();
    assert_eq!(content(&as_said), content(&turned));
    let approving = |charges: &[(u32, i64)]| {
        let charges = refunds(charges);
        let approval = Command::ApproveReturn(ApproveReturn { charges, ..an_approval() });
        approval.in_one_order().unwrap()
    };
    assert_eq!(approving(&as_said), approving(&turned));
}

fn outcome_of(line: u32, outcome: UnitOutcome) -> OutcomeUnits {
    OutcomeUnits { line, quantity: units(&[(line, 1)])[0].quantity, outcome }
}

#[test]
fn lines_that_are_named_in_another_order_are_the_same() {
    let of = |numbers: [u32; 2]| {
        let lines = numbers.map(|line| (line, line));
        let disposition = Disposition::Restock;
        let dispositions: Vec<_> =
            numbers.map(|line| ReturnLineDisposition { line, disposition }).into();
        // Units of the first line have two outcomes.
        let of_first = numbers.map(|number| match number {
            1 => UnitOutcome::Restock,
            _ => UnitOutcome::WriteOff,
        });
        let first = of_first.map(|outcome| outcome_of(1, outcome));
        let second = outcome_of(2, UnitOutcome::Rejected);
        let mut outcomes = vec![first[0], first[1], second];
        if numbers[0] > numbers[1] {
            outcomes.rotate_right(1);
        }
        let approval = ApproveReturn {
            dispositions: dispositions.clone(),
            outcomes: outcomes.clone(),
            ..an_approval()
        };
        let undoing = UndoShipment { dispositions, ..an_undoing(1, UndoCause::ReturnedToSender) };
        let receiving = ReceiveReturn {
            return_id: None,
            reference: String::new(),
            outcomes,
            rejected_reason: String::new(),
            location: None,
        };
        let change = |line| {
            let (discounts, taxes) = (Vec::new(), Vec::new());
            LineChange { line, quantity: line, discounts, taxes }
        };
        let editing = EditOrder {
            edit_id: "018f6f3e-0000-7000-8000-00000000000e".parse().unwrap(),
            changes: numbers.map(change).into(),
            added: Vec::new(),
            reason: "she asked".to_owned(),
            expected: ExpectedTotals::default(),
        };
        [
            cancel(CancelReason::Ops, &lines),
            fulfill(1, &lines),
            request_return(1, &lines),
            Command::ApproveReturn(approval),
            Command::UndoShipment(undoing),
            Command::ReceiveReturn(receiving),
            Command::EditOrder(Box::new(editing)),
        ]
    };
    for (one, turned) in of([1, 2]).into_iter().zip(of([2, 1])) {
        assert_ne!(one, turned);
        assert_eq!(one.in_one_order().unwrap(), turned.in_one_order().unwrap());
    }
    assert_eq!(deliver(1, None).in_one_order(), None);
}

#[test]
fn a_parcel_is_undone_once() {
    let history = then(partly(), &[undone(1, UndoCause::Lost, &[(1, 1)], 1_000, 20)]);
    given(history.clone()).when(&undo(1, UndoCause::Lost), &by_ops(), 30).then_nothing_happened();
    given(history.clone())
        .when(&undo(1, UndoCause::ReturnedToSender), &by_ops(), 30)
        .then_rejected(&exists(Existing::UndoneShipment, &["cause"]));
    given(history.clone())
        .when(&fulfill(1, &[(1, 1)]), &by_service(), 30)
        .then_rejected(&exists(Existing::UndoneParcel, &[]));
    let (is, call) = (ParcelState::Lost, "RecordDelivery");
    given(history)
        .when(&deliver(1, None), &by_ops(), 30)
        .then_rejected(&Rejection::InvalidParcelState { is, call });
}

#[test]
fn a_lost_parcel_that_is_found_is_back_on_the_shelf_and_stays_paid_back() {
    let some: &[(u32, u32)] = &[(1, 1)];
    let partly = then(partly(), &[undone(1, UndoCause::Lost, some, 1_000, 20)]);
    let two = then(then_two(), &[undone(1, UndoCause::Lost, some, 1_000, 30)]);
    let whole = then(delivered(), &[undone(1, UndoCause::Lost, ALL, 3_500, 20)]);
    // The order may be over: long after its return window, too.
    for (history, lines, status, seconds) in [
        (partly, some, Status::Confirmed, 40),
        (two, some, Status::Fulfilled, 90 * DAY),
        (whole, ALL, Status::Returned, 90 * DAY),
    ] {
        let before = order_actor::domain::replay(&history).unwrap();
        let event = found(1, lines, seconds);
        let then = given(history.clone())
            .when(&find(1), &by_service(), seconds)
            .then(event.clone())
            .is(status);
        assert_eq!(state_of(&then.order, 1), ParcelState::ReturnedToSender);
        let (before, details) = (before.details().unwrap(), then.order.details().unwrap());
        assert_eq!(details.lines, before.lines);
        assert_eq!((details.refunded, &details.charges), (before.refunded, &before.charges));
        let mut history = history;
        history.push(event);
        given(history.clone()).when(&find(1), &by_ops(), seconds).then_nothing_happened();
        // What was said first is known again, too.
        given(history.clone())
            .when(&undo(1, UndoCause::Lost), &by_ops(), seconds)
            .then_nothing_happened();
        let other = UndoShipment { reason: "another".to_owned(), ..a_finding(1) };
        given(history.clone())
            .when(&Command::UndoShipment(other), &by_ops(), seconds)
            .then_rejected(&exists(Existing::UndoneShipment, &["reason"]));
        // Its id ships nothing, and it is not delivered.
        let (is, call) = (ParcelState::ReturnedToSender, "RecordDelivery");
        let refused = match status {
            Status::Confirmed => Rejection::InvalidParcelState { is, call },
            Status::Fulfilled => Rejection::ReturnWindowExpired,
            from => Rejection::InvalidTransition { from, call },
        };
        given(history).when(&deliver(1, None), &by_ops(), seconds).then_rejected(&refused);
    }
}

#[test]
fn units_of_a_found_parcel_may_be_damaged() {
    let history = then(delivered(), &[undone(1, UndoCause::Lost, ALL, 3_500, 20)]);
    let disposition = Disposition::WriteOff;
    let dispositions = vec![ReturnLineDisposition { line: 2, disposition }];
    let damaged = Command::UndoShipment(UndoShipment { dispositions, ..a_finding(1) });
    let mut expected = found(1, ALL, 30);
    if let Event::ShipmentFound(found) = &mut expected {
        found.lines[1].disposition = disposition;
    }
    given(history.clone()).when(&damaged, &by_ops(), 30).then(expected.clone());
    let history = then(history, &[expected]);
    given(history.clone()).when(&damaged, &by_ops(), 40).then_nothing_happened();
    given(history)
        .when(&find(1), &by_ops(), 40)
        .then_rejected(&exists(Existing::UndoneShipment, &["dispositions"]));
}

#[test]
fn only_a_lost_parcel_is_found_and_nothing_more_is_paid_back() {
    let call = "UndoShipment";
    for (history, is) in [
        (delivered(), ParcelState::Shipped),
        (then(delivered(), &[parcel_delivered(1, 20, None, 20)]), ParcelState::Delivered),
        (then(delivered(), &[open_again(1, ALL, 20)]), ParcelState::ReturnedToSender),
    ] {
        given(history)
            .when(&find(1), &by_ops(), 30)
            .then_rejected(&Rejection::InvalidParcelState { is, call });
    }
    let lost = then(delivered(), &[undone(1, UndoCause::Lost, ALL, 0, 20)]);
    let refused = |finding: UndoShipment, at, detail| {
        given(lost.clone())
            .when(&Command::UndoShipment(finding), &by_ops(), 30)
            .then_rejected(&Rejection::InvalidField { at, detail });
    };
    let lost_again = UndoShipment { cause: UndoCause::Lost, ..a_finding(1) };
    refused(lost_again, "cause", "a parcel that is found came back to the sender");
    let paid = "nothing more is paid back for a parcel that is found";
    refused(UndoShipment { refund: Some(gbp(1)), ..a_finding(1) }, "refund", paid);
    let charges = vec![ChargeRefund { charge: 1, amount: gbp(0) }];
    refused(UndoShipment { charges, ..a_finding(1) }, "charges", paid);
    let blank = UndoShipment { reason: " ".to_owned(), ..a_finding(1) };
    given(lost.clone())
        .when(&Command::UndoShipment(blank), &by_ops(), 30)
        .then_rejected(&Rejection::ReasonRequired);
    given(lost).when(&find(9), &by_ops(), 30).then_rejected(&Rejection::NoSuchParcel);
    let command = find(1);
    for (by, may) in
        [(by_owner(), false), (by_desk(), false), (by_service(), true), (by_ops(), true)]
    {
        assert_eq!(command.authorize(&by).is_ok(), may);
    }
}

#[test]
fn a_delivered_parcel_and_units_in_a_return_are_not_undone() {
    let (is, call) = (ParcelState::Delivered, "UndoShipment");
    given(then(partly(), &[parcel_delivered(1, 20, None, 20)]))
        .when(&undo(1, UndoCause::Lost), &by_ops(), 30)
        .then_rejected(&Rejection::InvalidParcelState { is, call });
    let at = "shipment_id".to_owned();
    let detail = "units of the line came back or are in a return already";
    given(waiting(&[(2, 1)]))
        .when(&undo(1, UndoCause::Lost), &by_ops(), 30)
        .then_rejected(&Rejection::InvalidReturnLines { line: 2, at, detail });
    given(partly())
        .when(&undo(9, UndoCause::Lost), &by_ops(), 30)
        .then_rejected(&Rejection::NoSuchParcel);
}

#[test]
fn what_cannot_have_happened_to_a_parcel_is_refused() {
    let why = |more: &[Event]| impossible(&then(partly(), more)).detail;
    let lost = || undone(1, UndoCause::Lost, &[(1, 1)], 1_000, 20);
    assert_eq!(why(&[tracking_corrected(9, 20)]), "no such parcel");
    assert_eq!(why(&[lost(), tracking_corrected(1, 20)]), "the parcel is not on its way");
    assert_eq!(why(&[lost(), lost()]), "the parcel is not on its way");
    assert_eq!(why(&[parcel_delivered(1, 9, None, 20)]), "delivered before it was shipped");
    let early = parcel_delivered(1, 20, Some(30), 20);
    assert_eq!(why(std::slice::from_ref(&early)), "there is no return window");
    let shipped = order_fulfilled(2, &[(1, 1), (2, 3)], 12);
    assert_eq!(why(&[shipped, early]), "the return window ends earlier than it did");
    let other = undone(1, UndoCause::Lost, &[(1, 2)], 1_000, 20);
    assert_eq!(why(&[other]), "not the units of the parcel");
    let much = undone(1, UndoCause::Lost, &[(1, 1)], 9_999, 20);
    assert_eq!(why(&[much]), "refunds exceed the total");
    let below = undone(1, UndoCause::Lost, &[(1, 1)], -1, 20);
    assert_eq!(why(&[below]), "refunds exceed the total");
    assert_eq!(why(&[found(1, &[(1, 1)], 20)]), "the parcel is not lost");
    assert_eq!(why(&[lost(), found(9, &[(1, 1)], 20)]), "no such parcel");
    assert_eq!(why(&[lost(), found(1, &[(1, 2)], 20)]), "not the units of the parcel");
    let back = found(1, &[(1, 1)], 20);
    assert_eq!(why(&[lost(), back.clone(), back]), "the parcel is not lost");
    let over = then(delivered(), &[undone(1, UndoCause::Lost, ALL, 3_500, 20)]);
    let over = then(over, &[tracking_corrected(1, 30)]);
    assert_eq!(impossible(&over).detail, "the state does not allow it");
    assert!(Duration::from_secs(WINDOW) > bounds::DELIVERY_AHEAD_MAX);
}

#[test]
fn units_that_came_back_may_be_open_again() {
    for (history, counts) in [(partly(), [(0, 0, 0, 0); 2]), (delivered(), [(0, 0, 0, 0); 2])] {
        let lines: &[(u32, u32)] =
            if history.len() == 3 && history == partly() { &[(1, 1)] } else { ALL };
        let event = open_again(1, lines, 20);
        let again = given(history.clone())
            .when(&undo_to_ship_again(1), &by_service(), 20)
            .then(event.clone())
            .is(Status::Confirmed)
            .counts(&counts);
        assert_eq!(state_of(&again.order, 1), ParcelState::ReturnedToSender);
        let details = again.order.details().unwrap();
        let amounts = details.lines.iter().map(|line| line.amounts.fulfilled.total);
        assert_eq!((amounts.sum::<i64>(), details.refunded), (0, gbp(0)));
        let history = then(history, &[event]);
        given(history.clone()).when(&undo_to_ship_again(1), &by_ops(), 30).then_nothing_happened();
        given(history.clone())
            .when(&undo(1, UndoCause::ReturnedToSender), &by_ops(), 30)
            .then_rejected(&exists(Existing::UndoneShipment, &["outcome"]));
        // Under its own id nothing ships: not the parcel again, nor anything else.
        given(history.clone())
            .when(&fulfill(1, lines), &by_service(), 40)
            .then_rejected(&exists(Existing::UndoneParcel, &[]));
        given(history.clone())
            .when(&fulfill(1, &[(2, 1)]), &by_service(), 40)
            .then_rejected(&exists(Existing::Shipment, &["lines"]));
        // All of it ships anew, or is cancelled as if nothing had been shipped.
        given(history.clone())
            .when(&fulfill(2, &[]), &by_service(), 40)
            .then(order_fulfilled(2, ALL, 40))
            .is(Status::Fulfilled);
        given(history)
            .when(&cancel(CancelReason::CustomerRequest, &[]), &by_owner(), 40)
            .then(order_cancelled(CancelReason::CustomerRequest, true, 40))
            .is(Status::Cancelled);
    }
}

#[test]
fn one_of_two_parcels_may_be_open_again_while_a_return_of_the_other_waits() {
    let two = vec![placed(), confirmed(), lines_fulfilled(1, &[(1, 1)], 10)];
    let two = then(two, &[order_fulfilled(2, &[(1, 1), (2, 3)], 20)]);
    let waits = then(two, &[return_requested(1, &[(1, 1)], 30)]);
    // The other mug is still with the customer as far as is known.
    let again = given(waits)
        .when(&undo_to_ship_again(2), &by_service(), 40)
        .then(open_again(2, &[(1, 1), (2, 3)], 40))
        .is(Status::Confirmed)
        .counts(&[(0, 1, 1, 0), (0, 0, 0, 0)]);
    let Order::Confirmed(confirmed) = &again.order else { panic!() };
    assert_eq!((confirmed.reservation_id, confirmed.shipped_at), (reservation(1), Some(after(10))));
}

#[test]
fn the_return_window_does_not_count_a_parcel_that_is_open_again() {
    let two = vec![placed(), confirmed(), lines_fulfilled(1, &[(1, 1)], 10)];
    let again = then(
        two,
        &[order_fulfilled(2, &[(1, 1), (2, 3)], 20), open_again(2, &[(1, 1), (2, 3)], 30)],
    );
    // What is open again is cancelled: the customer keeps the first parcel alone.
    let command = cancel(CancelReason::CustomerRequest, &[]);
    let decided = decision(&again, &command).unwrap();
    let ended = order_actor::domain::replay(&then(again, &decided)).unwrap();
    let shipped = ended.fulfilled().unwrap().fulfilled_at;
    assert_eq!((ended.status(), shipped), (Some(Status::Fulfilled), after(10)));
}

#[test]
fn no_more_stays_paid_back_than_what_stays_delivered() {
    let two = vec![placed(), confirmed(), lines_fulfilled(1, &[(1, 1)], 10)];
    let rest = order_fulfilled(2, &[(1, 1), (2, 3)], 20);
    let two = then(two, &[rest, return_requested(1, &[(1, 1)], 30)]);
    let order = order_actor::domain::replay(&two).unwrap();
    let price = order.details().unwrap().lines[0].unit_price.minor;
    for (refund, refused) in [(price, false), (price + 1, true)] {
        let paid = then(two.clone(), &[return_approved(1, &[(1, 1)], refund, 40)]);
        let decided = decision(&paid, &undo_to_ship_again(2));
        let by_outcome = matches!(decided, Err(Rejection::InvalidField { at: "outcome", .. }));
        assert_eq!((by_outcome, decided.is_err()), (refused, refused), "{decided:?}");
        let again = then(paid, &[open_again(2, &[(1, 1), (2, 3)], 50)]);
        assert_eq!(order_actor::domain::replay(&again).is_err(), refused);
    }
}

#[test]
fn only_what_came_back_as_a_whole_is_open_again() {
    let base = || an_undoing(1, UndoCause::ReturnedToSender);
    let field = |undoing: UndoShipment, field| {
        let command = Command::UndoShipment(UndoShipment { open_again: true, ..undoing });
        let order = order_actor::domain::replay(&delivered()).unwrap();
        let policy = order_actor::domain::Policy::default();
        let refused = order_actor::domain::decide(&order, &command, &by_ops(), after(20), &policy);
        let Err(Rejection::InvalidField { at, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(at, field);
    };
    field(an_undoing(1, UndoCause::Lost), "outcome");
    field(UndoShipment { refund: Some(gbp(1)), ..base() }, "refund");
    let disposition = Disposition::WriteOff;
    let dispositions = vec![ReturnLineDisposition { line: 1, disposition }];
    field(UndoShipment { dispositions, ..base() }, "dispositions");
    let charges = vec![ChargeRefund { charge: 1, amount: gbp(0) }];
    field(UndoShipment { charges, ..base() }, "charges");
    given(delivered())
        .when(&undo_to_ship_again(1), &by_ops(), 10 + WINDOW)
        .then_rejected(&Rejection::ReturnWindowExpired);
    let mut paid = open_again(1, ALL, 20);
    if let Event::ShipmentUndone(undone) = &mut paid {
        undone.refund = gbp(1);
    }
    let wrong = impossible(&then(delivered(), &[paid]));
    assert!(wrong.detail.contains("neither paid back"), "{}", wrong.detail);
}
