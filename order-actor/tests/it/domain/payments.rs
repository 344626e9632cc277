//! The money of orders with a payment plan: what is asked for, what stands, what moves.

use order_actor::domain::{
    ApproveReturn, ChargeKind, ChargeRefund, Command, Compensated, Compensation,
    CompensationCompleted, Deadline, DeadlineKind, Details, Event, FailPayment, LineQuantity,
    LosePayment, Moved, Needs, NewCharge, NewLine, NoteCapture, Order, OutcomeUnits,
    PaymentCaptured, PaymentLost, PaymentPlan, PaymentSecured, PaymentStatus, Place, Policy,
    RefundFailed, RefundOutcome, RefundSettled, RefundState, Rejection, Role, SecurePayment,
    SellerFee, SettleRefund, ShipWhen, Status, StockHeld, UndoCause, UnitOutcome, allot, deadline,
    decide, evolve, replay, seller_name,
};
use order_actor::outbox::translate;
use proptest::prelude::*;
use shared_events::contract::{
    CancelReason, CapturePolicy, LossCause, Money, OrderFact, PaymentId, PaymentPart,
    PaymentPolicy, Quantity, RefundId, SellerId, Timestamp,
};
use uuid::Uuid;

use super::edit::edit;
use super::parcels::{open_again, undone};
use super::support::*;

pub fn seller(n: u128) -> SellerId {
    SellerId::from_uuid(Uuid::from_u128(0x5E11 + n))
}

/// The payment of a seller; 0 for the shop itself.
pub fn payment_id(n: u128) -> PaymentId {
    let seller = (n > 0).then(|| seller(n));
    PaymentId::of(order_id(), seller_name(seller).as_ref())
}

pub fn a_plan() -> PaymentPlan {
    PaymentPlan {
        psp: "stripe".parse().unwrap(),
        capture: CapturePolicy::OnFulfil,
        policy: PaymentPolicy::AllOrNone,
        ship_when: ShipWhen::Authorized,
        fee_bps: 0,
        fees: Vec::new(),
    }
}

/// Mugs of seller 1, plates of seller 2.
fn of_two_sellers() -> Vec<NewLine> {
    let mut lines = a_place().lines;
    lines[0].seller_id = Some(seller(1));
    lines[1].seller_id = Some(seller(2));
    lines
}

pub fn paid_place(plan: PaymentPlan) -> Place {
    Place { payment: Some(Box::new(plan)), ..a_place() }
}

fn marketplace(plan: PaymentPlan) -> Place {
    Place { lines: of_two_sellers(), ..paid_place(plan) }
}

/// The only event that placing leads to.
pub fn placed_by(place: Place) -> Event {
    let by = by_service();
    let command = Command::from(place);
    let events = decide(&Order::Absent, &command, &by, after(0), &Policy::default()).unwrap();
    events.into_iter().next().unwrap()
}

pub fn placed_with(plan: PaymentPlan) -> Event {
    placed_by(paid_place(plan))
}

pub fn stock_held(backordered: &[(u32, u32)]) -> Event {
    Event::StockHeld(StockHeld {
        reservation_id: reservation(1),
        backordered: units(backordered),
        pay_by: after(1 + 15 * MINUTE),
        at: after(1),
    })
}

pub fn secured(amount: i64, until: u64, seconds: u64) -> Event {
    let (amount, valid_until, at) = (gbp(amount), after(until), after(seconds));
    Event::PaymentSecured(PaymentSecured { amount, valid_until, at })
}

fn lost(cause: LossCause, seconds: u64) -> Event {
    Event::PaymentLost(PaymentLost { cause, at: after(seconds) })
}

fn confirmed_at(seconds: u64) -> Event {
    let (reservation_id, backordered) = (reservation(1), Vec::new());
    Event::OrderConfirmed { reservation_id, backordered, at: after(seconds) }
}

pub fn secure(amount: i64, until: u64) -> Command {
    Command::SecurePayment(SecurePayment { amount: gbp(amount), valid_until: after(until) })
}

/// Of one seller, or of all.
pub fn fail(n: Option<u128>) -> Command {
    let (payment_id, code) = (n.map(payment_id), "insufficient_funds".to_owned());
    Command::FailPayment(FailPayment { payment_id, code })
}

pub fn lose(cause: LossCause) -> Command {
    Command::LosePayment(LosePayment { cause })
}

pub fn note_capture(amount: i64) -> Command {
    Command::NoteCapture(NoteCapture { payment_id: payment_id(0), amount: gbp(amount) })
}

pub fn settle(n: u128, amount: i64) -> Command {
    let (refund_id, amount) = (return_id(n).into(), gbp(amount));
    Command::SettleRefund(SettleRefund { refund_id, amount, outcome: RefundOutcome::Settled })
}

pub fn refund_fails(n: u128, amount: i64) -> Command {
    let (refund_id, amount) = (return_id(n).into(), gbp(amount));
    let outcome = RefundOutcome::Failed { code: "account_closed".to_owned() };
    Command::SettleRefund(SettleRefund { refund_id, amount, outcome })
}

pub fn compensated(stock: bool, money: bool) -> Command {
    Command::Compensated(Compensated { stock, money })
}

fn completed(stock: bool, money: bool, seconds: u64) -> Event {
    Event::CompensationCompleted(CompensationCompleted { stock, money, at: after(seconds) })
}

/// Placed with a plan, stock held at 1 s.
fn awaited() -> Vec<Event> {
    vec![placed_with(a_plan()), stock_held(&[])]
}

/// The same, paid and confirmed at 2 s.
fn paid() -> Vec<Event> {
    let mut events = awaited();
    events.extend([secured(3_500, DAY, 2), confirmed_at(2)]);
    events
}

fn and(mut events: Vec<Event>, more: impl IntoIterator<Item = Event>) -> Vec<Event> {
    events.extend(more);
    events
}

/// Rows of the matrix.
pub fn states() -> Vec<(&'static str, Vec<Event>)> {
    let some = &[(1, 1)];
    let returned = [return_requested(1, some, 14), return_approved(1, some, 1_000, 15)];
    let captured = PaymentPlan {
        capture: CapturePolicy::OnConfirm,
        ship_when: ShipWhen::Captured,
        ..a_plan()
    };
    let first = vec![placed_with(captured), stock_held(&[]), secured(3_500, DAY, 2)];
    let cancelled = order_cancelled(CancelReason::CustomerRequest, true, 12);
    let late = lost(LossCause::CaptureFailed, 15);
    vec![
        ("pending, with a plan", vec![placed_with(a_plan())]),
        ("pending, money secured first", vec![placed_with(a_plan()), secured(3_500, DAY, 1)]),
        ("pending, money awaited", awaited()),
        ("confirmed and paid", paid()),
        ("confirmed, money lost", and(paid(), [lost(LossCause::Reversed, 5)])),
        ("confirmed, money not taken yet", and(first, [confirmed_at(2)])),
        (
            "fulfilled and paid, a return approved",
            and(and(paid(), [order_fulfilled(1, ALL, 10)]), returned),
        ),
        ("fulfilled, money lost", and(paid(), [order_fulfilled(1, ALL, 10), late.clone()])),
        (
            "return requested and paid",
            and(paid(), [order_fulfilled(1, ALL, 10), return_requested(1, some, 14)]),
        ),
        (
            "return requested, money lost",
            and(paid(), [order_fulfilled(1, ALL, 10), return_requested(1, some, 14), late]),
        ),
        (
            "cancelled while money was awaited",
            and(awaited(), [order_cancelled(CancelReason::SlaTimeout, false, 901)]),
        ),
        ("cancelled after it was paid", and(paid(), [cancelled.clone()])),
        ("cancelled, and all is back", and(paid(), [cancelled, completed(true, true, 13)])),
    ]
}

/// Samples of the golden files.
pub fn samples() -> Vec<(&'static str, Event)> {
    let plan = PaymentPlan {
        capture: CapturePolicy::OnConfirm,
        policy: PaymentPolicy::PerSeller,
        ship_when: ShipWhen::Captured,
        fee_bps: 1_250,
        fees: vec![SellerFee { seller_id: seller(2), fee_bps: 900 }],
        ..a_plan()
    };
    let (at, refund_id) = (after(60), RefundId::from_uuid(return_id(1).uuid()));
    let (amount, code) = (gbp(1_000), "account_closed".to_owned());
    let capture = PaymentCaptured { payment_id: payment_id(1), amount, at };
    vec![
        ("OrderPlaced.v2.paid", placed_by(marketplace(plan))),
        ("OrderPlaced.v2.paid.bare", placed_with(a_plan())),
        ("StockHeld.v1", stock_held(&[(1, 1)])),
        ("StockHeld.v1.bare", stock_held(&[])),
        ("PaymentSecured.v1", secured(3_500, DAY, 60)),
        ("PaymentLost.v1", lost(LossCause::CaptureFailed, 60)),
        ("PaymentCaptured.v1", Event::PaymentCaptured(capture)),
        ("RefundSettled.v1", Event::RefundSettled(RefundSettled { refund_id, amount, at })),
        ("RefundFailed.v1", Event::RefundFailed(RefundFailed { refund_id, amount, code, at })),
        ("CompensationCompleted.v1", completed(true, false, 60)),
        ("CompensationCompleted.v1.both", completed(true, true, 60)),
    ]
}

// Strategies of the laws.

pub fn a_paid_placing() -> impl Strategy<Value = Command> {
    let on_confirm = PaymentPlan {
        capture: CapturePolicy::OnConfirm,
        ship_when: ShipWhen::Captured,
        ..a_plan()
    };
    let per_seller = PaymentPlan { policy: PaymentPolicy::PerSeller, ..a_plan() };
    prop_oneof![
        3 => Just(paid_place(a_plan())),
        1 => Just(paid_place(on_confirm)),
        2 => Just(marketplace(per_seller)),
    ]
    .prop_map(Command::from)
}

/// Paid, delivered, and a unit of it returned.
pub fn a_refunded_life() -> Vec<Command> {
    vec![
        Command::from(paid_place(a_plan())),
        confirm(1),
        secure(3_500, DAY),
        fulfill(1, &[]),
        request_return(1, &[(1, 1)]),
        approve(1),
    ]
}

pub fn a_securing() -> impl Strategy<Value = Command> {
    let amount = prop_oneof![4 => Just(3_500), 2 => 0_i64..4_000, 1 => any::<i64>()];
    (amount, 1_u64..3).prop_map(|(amount, days)| secure(amount, days * DAY))
}

pub fn a_failure() -> impl Strategy<Value = Command> {
    prop::option::of(0_u128..3).prop_map(fail)
}

pub fn a_loss() -> impl Strategy<Value = Command> {
    prop::sample::select(LossCause::ALL.to_vec()).prop_map(lose)
}

pub fn a_capture() -> impl Strategy<Value = Command> {
    prop_oneof![2 => Just(3_500), 1 => -1_i64..4_000].prop_map(note_capture)
}

pub fn a_settling() -> impl Strategy<Value = Command> {
    let amount = prop_oneof![1 => Just(1_000), 2 => Just(500), 1 => -1_i64..4_000];
    (1_u128..5, amount, any::<bool>()).prop_map(|(n, amount, paid)| {
        if paid { settle(n, amount) } else { refund_fails(n, amount) }
    })
}

pub fn a_compensation() -> impl Strategy<Value = Command> {
    (any::<bool>(), any::<bool>()).prop_map(|(stock, money)| compensated(stock, money))
}

/// The parts of the money add up to what the order costs, whatever happened.
pub fn check(details: &Details) -> Result<(), TestCaseError> {
    let Some(payment) = &details.payment else { return Ok(()) };
    for part in &payment.parts {
        prop_assert!(0 <= part.refunded && part.refunded <= part.total);
        prop_assert!(0 <= part.captured && part.captured <= part.wanted());
        prop_assert!(part.asked <= part.total && part.taken <= part.total);
        prop_assert!(part.cancelled <= part.total);
    }
    if !payment.parts.is_empty() {
        let of_order = |amount: fn(&order_actor::domain::PlanPart) -> i64| {
            payment.parts.iter().map(amount).sum::<i64>()
        };
        prop_assert_eq!(of_order(|part| part.refunded), details.refunded.minor);
        if details.lines.iter().all(|line| line.open() == 0 && line.fulfilled == line.ordered) {
            prop_assert_eq!(of_order(|part| part.captured), details.totals.total.minor);
        }
    }
    Ok(())
}

fn events(order: &Order, command: &Command, seconds: u64) -> Result<Vec<Event>, Rejection> {
    decide(order, command, &by_engine(), after(seconds), &Policy::default())
}

fn payments_of(fact: &OrderFact) -> Vec<PaymentPart> {
    match fact {
        OrderFact::LinesCancelled { payments, .. }
        | OrderFact::Cancelled { payments, .. }
        | OrderFact::LinesFulfilled { payments, .. }
        | OrderFact::Fulfilled { payments, .. }
        | OrderFact::RefundRequested { payments, .. } => payments.clone(),
        _ => Vec::new(),
    }
}

#[test]
fn stock_is_held_and_the_money_asked_for() {
    let then = given([placed_with(a_plan())])
        .when(&confirm_with(1, &[]), &by_engine(), 1)
        .then(stock_held(&[]))
        .is(Status::Pending);
    assert_eq!(then.order.payment_status(), PaymentStatus::Awaited);
    let due = after(1 + 15 * MINUTE);
    assert_eq!(deadline(&then.order), Some(Deadline { kind: DeadlineKind::Pay, due }));
    let facts = translate(&then.order, &stock_held(&[]));
    let [OrderFact::PaymentRequested { psp, pay_by, parts, .. }] = &facts[..] else {
        panic!("{facts:?}");
    };
    assert_eq!((psp.as_str(), *pay_by), ("stripe", due));
    assert_eq!((parts.len(), parts[0].payment_id), (1, payment_id(0)));
    assert_eq!((parts[0].amount, &parts[0].seller), (gbp(3_500), &None));
}

#[test]
fn the_money_confirms_where_stock_stands() {
    let order = replay(&[placed_with(a_plan()), stock_held(&[(1, 1)])]).unwrap();
    let decided = events(&order, &secure(3_500, DAY), 2).unwrap();
    let (reservation_id, backordered) = (reservation(1), units(&[(1, 1)]));
    let confirmed = Event::OrderConfirmed { reservation_id, backordered, at: after(2) };
    assert_eq!(decided, [secured(3_500, DAY, 2), confirmed]);
    let order = decided.iter().try_fold(order, evolve).unwrap();
    assert_eq!(order.status(), Some(Status::Confirmed));
    let told = translate(&order, &decided[0]);
    let [OrderFact::PaymentSecured { amount, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*amount, gbp(3_500));
    assert_eq!(order.payment_status(), PaymentStatus::Secured);
    assert_eq!(events(&order, &secure(3_500, DAY), 3), Ok(Vec::new()));
}

#[test]
fn stock_that_comes_while_money_is_awaited_is_remembered() {
    let held = vec![placed_with(a_plan()), stock_held(&[(1, 2), (2, 1)])];
    let came = |lines, seconds| lines_allocated(lines, seconds);
    let then = given(held.clone())
        .when(&allocate(1, &[(1, 1), (2, 5)]), &by_engine(), 5)
        .then(came(&[(1, 1), (2, 1)], 5));
    assert_eq!(translate(&then.order, &came(&[(1, 1), (2, 1)], 5)), []);
    let decided = events(&then.order, &secure(3_500, DAY), 6).unwrap();
    let (reservation_id, backordered) = (reservation(1), units(&[(1, 1)]));
    let confirmed = Event::OrderConfirmed { reservation_id, backordered, at: after(6) };
    assert_eq!(decided, [secured(3_500, DAY, 6), confirmed]);
    let other = invalid_transition(Status::Pending, "Allocate");
    given(held.clone()).when(&allocate(2, &[(1, 1)]), &by_engine(), 5).then_rejected(&other);
    given(and(held.clone(), [came(&[(1, 2)], 5)]))
        .when(&allocate(1, &[(1, 1)]), &by_engine(), 6)
        .then_nothing_happened();
    let more = impossible(&and(held, [came(&[(1, 3)], 5)])).detail;
    assert_eq!(more, "more units than wait for stock");
    let detail = impossible(&[placed(), came(&[(1, 1)], 5)]).detail;
    assert_eq!(detail, "the state does not allow it");
}

#[test]
fn stock_confirms_where_the_money_stands() {
    let history = [placed_with(a_plan()), secured(3_500, DAY, 1)];
    let then = given(history).when(&confirm(1), &by_engine(), 2).then(confirmed_at(2));
    assert_eq!(then.is(Status::Confirmed).order.payment_status(), PaymentStatus::Secured);
}

#[test]
fn an_order_that_costs_nothing_needs_no_money() {
    let free = vec![new_line("MUG", 2, gbp(0))];
    let place = Place { lines: free, ..paid_place(a_plan()) };
    let then = given([placed_by(place)]).when(&confirm(1), &by_engine(), 1).then(confirmed());
    assert_eq!(then.order.payment_status(), PaymentStatus::NotRequired);
}

#[test]
fn the_rest_is_confirmed_where_what_was_to_be_paid_is_cancelled() {
    let lines = vec![new_line("MUG", 1, gbp(1_000)), new_line("CARD", 1, gbp(0))];
    let placed = placed_by(Place { lines, ..paid_place(a_plan()) });
    let order = replay(&[placed, stock_held(&[])]).unwrap();
    let cancel = cancel(CancelReason::CustomerRequest, &[(1, 1)]);
    let decided = decide(&order, &cancel, &by_owner(), after(5), &Policy::default()).unwrap();
    assert_eq!(decided, [lines_cancelled(&[(1, 1)], 5), confirmed_at(5)]);
}

#[test]
fn money_that_is_too_little_or_too_much_is_refused() {
    let mismatch =
        Rejection::PaymentMismatch { detail: "the money secured is not what the order asked for" };
    for amount in [0, 3_499, 3_501, -1, i64::MAX] {
        given(awaited()).when(&secure(amount, DAY), &by_engine(), 2).then_rejected(&mismatch);
    }
    let amount = Money::new(3_500, "EUR".parse().unwrap());
    let euros = Command::SecurePayment(SecurePayment { amount, valid_until: after(DAY) });
    given(awaited()).when(&euros, &by_engine(), 2).then_rejected(&mismatch);
    let none = Rejection::PaymentMismatch { detail: "the order has no payment plan" };
    given([placed()]).when(&secure(3_500, DAY), &by_engine(), 2).then_rejected(&none);
}

/// Payments has not read the cancellation yet: more is secured than is wanted by now.
#[test]
fn money_for_units_that_were_cancelled_meanwhile_is_enough() {
    for amount in [2_500, 3_000, 3_500] {
        let order = replay(&and(awaited(), [lines_cancelled(&[(1, 1)], 5)])).unwrap();
        let decided = events(&order, &secure(amount, DAY), 6).unwrap();
        assert_eq!(decided, [secured(amount, DAY, 6), confirmed_at(6)]);
    }
}

#[test]
fn an_order_whose_money_does_not_come_lapses_at_pay_by() {
    let due = 1 + 15 * MINUTE;
    given(awaited()).when(&Command::Lapse, &by_engine(), due - 1).then_nothing_happened();
    let then = given(awaited())
        .when(&Command::Lapse, &by_engine(), due)
        .then(order_cancelled(CancelReason::SlaTimeout, false, due))
        .is(Status::Cancelled);
    let needs = Needs { stock: true, money: true };
    assert_eq!(then.order.compensation(), Compensation::Running(needs));
    assert_eq!(then.order.payment_status(), PaymentStatus::Awaited);
    let late = invalid_transition(Status::Cancelled, "SecurePayment");
    assert_eq!(events(&then.order, &secure(3_500, DAY), due + 1), Err(late));
}

#[test]
fn a_failed_payment_cancels_the_order() {
    let then = given(awaited()).when(&fail(None), &by_engine(), 9).then(Event::OrderCancelled {
        reason: CancelReason::PaymentFailed,
        text: "insufficient_funds".to_owned(),
        was_confirmed: false,
        skus: Vec::new(),
        at: after(9),
    });
    let order = then.is(Status::Cancelled).order;
    assert_eq!(events(&order, &fail(None), 10), Ok(Vec::new()));
    let confirmed = invalid_transition(Status::Confirmed, "FailPayment");
    given(paid()).when(&fail(None), &by_engine(), 9).then_rejected(&confirmed);
    let first = [placed_with(a_plan()), secured(3_500, DAY, 1)];
    given(first).when(&fail(None), &by_engine(), 9).then_nothing_happened();
    given([placed()]).when(&fail(None), &by_engine(), 9).then_nothing_happened();
}

#[test]
fn with_per_seller_the_lines_of_the_failed_one_are_cancelled() {
    let plan = PaymentPlan { policy: PaymentPolicy::PerSeller, ..a_plan() };
    let history = vec![placed_by(marketplace(plan)), stock_held(&[])];
    let cancelled = |line: (u32, u32), seconds| Event::LinesCancelled {
        lines: units(&[line]),
        reason: CancelReason::PaymentFailed,
        text: "insufficient_funds".to_owned(),
        return_until: None,
        at: after(seconds),
    };
    let order = replay(&history).unwrap();
    assert_eq!(events(&order, &fail(Some(2)), 9), Ok(vec![cancelled((2, 3), 9)]));
    let order = evolve(order, &cancelled((2, 3), 9)).unwrap();
    assert_eq!(events(&order, &fail(Some(2)), 10), Ok(Vec::new()));
    let paid = events(&order, &secure(2_000, DAY), 10).unwrap();
    assert_eq!(paid, [secured(2_000, DAY, 10), confirmed_at(10)]);
    let last = events(&order, &fail(Some(1)), 10).unwrap();
    assert!(matches!(last[..], [Event::OrderCancelled { .. }]), "{last:?}");
    // A payment that the order has not fails the whole: nothing of it can be kept.
    let other = events(&order, &fail(Some(7)), 10).unwrap();
    assert!(matches!(other[..], [Event::OrderCancelled { .. }]), "{other:?}");
}

#[test]
fn with_all_or_none_one_failed_payment_cancels_all() {
    let history = vec![placed_by(marketplace(a_plan())), stock_held(&[])];
    let decided = events(&replay(&history).unwrap(), &fail(Some(2)), 9).unwrap();
    assert!(matches!(decided[..], [Event::OrderCancelled { .. }]), "{decided:?}");
}

#[test]
fn charges_are_the_only_sellers_or_else_the_shops_own() {
    let charges = vec![NewCharge {
        kind: ChargeKind::Shipping,
        label: String::new(),
        amount: gbp(500),
        taxes: Vec::new(),
    }];
    let plan = PaymentPlan { policy: PaymentPolicy::PerSeller, fee_bps: 100, ..a_plan() };
    let two = Place { charges: charges.clone(), ..marketplace(plan.clone()) };
    let order = replay(&[placed_by(two), stock_held(&[])]).unwrap();
    let [OrderFact::PaymentRequested { parts, .. }] = &translate(&order, &stock_held(&[]))[..]
    else {
        panic!("money is asked for");
    };
    let shown: Vec<_> = parts.iter().map(|one| (one.payment_id, one.amount, one.fee_bps)).collect();
    let expected = [
        (payment_id(0), gbp(500), 0),
        (payment_id(1), gbp(2_000), 100),
        (payment_id(2), gbp(1_500), 100),
    ];
    assert_eq!(shown, expected);
    // Without the money for the charges nothing goes on.
    let decided = events(&order, &fail(Some(0)), 9).unwrap();
    assert!(matches!(decided[..], [Event::OrderCancelled { .. }]), "{decided:?}");

    let mut lines = of_two_sellers();
    lines[1].seller_id = lines[0].seller_id;
    let one = Place { charges, lines, ..paid_place(plan) };
    let order = replay(&[placed_by(one), stock_held(&[])]).unwrap();
    let payment = order.details().unwrap().payment.as_ref().unwrap();
    let parts: Vec<_> = payment.parts.iter().map(|part| (part.payment_id, part.asked)).collect();
    assert_eq!(parts, [(payment_id(1), 4_000)]);
}

#[test]
fn lost_money_stops_parcels_until_it_is_secured_anew() {
    let lost_at = |seconds| lost(LossCause::Reversed, seconds);
    let then = given(paid()).when(&lose(LossCause::Reversed), &by_engine(), 5).then(lost_at(5));
    assert_eq!(then.order.payment_status(), PaymentStatus::Lost);
    let fact = translate(&then.order, &lost_at(5));
    assert!(matches!(fact[..], [OrderFact::PaymentLost { cause: LossCause::Reversed, .. }]));
    let lost_money = || and(paid(), [lost_at(5)]);
    let refused = Rejection::PaymentNotSecured { is: PaymentStatus::Lost };
    given(lost_money()).when(&fulfill(1, &[]), &by_service(), 6).then_rejected(&refused);
    given(lost_money()).when(&lose(LossCause::Expired), &by_engine(), 6).then_nothing_happened();
    let then = given(lost_money()).when(&secure(3_500, DAY), &by_engine(), 7);
    let order = then.then(secured(3_500, DAY, 7)).order;
    assert_eq!(order.payment_status(), PaymentStatus::Secured);
    assert!(events(&order, &lose(LossCause::Expired), 8).is_ok_and(|events| events.len() == 1));
    assert_eq!(impossible(&and(paid(), [lost_at(5), lost_at(6)])).detail, "no money stood");
    let shipped = and(lost_money(), [order_fulfilled(1, ALL, 9)]);
    assert_eq!(impossible(&shipped).detail, "the money does not stand");
}

#[test]
fn money_that_is_lost_after_the_last_parcel_is_noted_and_changes_nothing_else() {
    let shipped = || and(paid(), [order_fulfilled(1, ALL, 9)]);
    let requested = || and(shipped(), [return_requested(1, &[(1, 1)], 14)]);
    for (history, status) in
        [(shipped(), Status::Fulfilled), (requested(), Status::ReturnRequested)]
    {
        let before = replay(&history).unwrap();
        let lost_at = |seconds| lost(LossCause::CaptureFailed, seconds);
        let then = given(history.clone()).when(&lose(LossCause::CaptureFailed), &by_engine(), 20);
        let order = then.then(lost_at(20)).is(status).order;
        assert_eq!(order.payment_status(), PaymentStatus::Lost);
        let told = translate(&order, &lost_at(20));
        assert!(matches!(told[..], [OrderFact::PaymentLost { .. }]), "{told:?}");
        assert_eq!(
            (deadline(&order), order.is_over(after(900 * DAY))),
            (deadline(&before), before.is_over(after(900 * DAY)))
        );
        let (now, then) = (order.details().unwrap(), before.details().unwrap());
        assert_eq!((&now.lines, now.refundable()), (&then.lines, then.refundable()));
        let again = given(and(history, [lost_at(20)]));
        again.when(&lose(LossCause::Expired), &by_engine(), 21).then_nothing_happened();
    }
    // A return of it is judged and paid back as ever.
    let lost_money = and(requested(), [lost(LossCause::CaptureFailed, 15)]);
    let approved = return_approved(1, &[(1, 1)], 1_000, 16);
    let then = given(lost_money).when(&approve(1), &by_ops(), 16).then(approved);
    assert_eq!(then.order.payment_status(), PaymentStatus::Lost);
}

#[test]
fn money_lost_after_the_last_parcel_is_secured_anew() {
    let shipped = || and(paid(), [order_fulfilled(1, ALL, 9)]);
    let requested = || and(shipped(), [return_requested(1, &[(1, 1)], 14)]);
    for (history, status) in
        [(shipped(), Status::Fulfilled), (requested(), Status::ReturnRequested)]
    {
        // Nothing was lost: nothing is wanted.
        let refused = invalid_transition(status, "SecurePayment");
        let secures = secure(3_500, 2 * DAY);
        given(history.clone()).when(&secures, &by_engine(), 19).then_rejected(&refused);
        let unasked = and(history.clone(), [secured(3_500, 2 * DAY, 19)]);
        assert_eq!(impossible(&unasked).detail, "no money was lost");

        let before = replay(&history).unwrap();
        let lost_money = || and(history.clone(), [lost(LossCause::CaptureFailed, 20)]);
        let then = given(lost_money()).when(&secures, &by_engine(), 21);
        let order = then.then(secured(3_500, 2 * DAY, 21)).is(status).order;
        assert_eq!(order.payment_status(), PaymentStatus::Secured);
        assert_eq!(deadline(&order), deadline(&before));
        let again = events(&order, &lose(LossCause::Expired), 22).unwrap();
        assert_eq!(again, [lost(LossCause::Expired, 22)]);
        let mismatch = Rejection::PaymentMismatch {
            detail: "the money secured is not what the order asked for",
        };
        for amount in [0, 3_499, 3_501] {
            let other = secure(amount, 2 * DAY);
            given(lost_money()).when(&other, &by_engine(), 21).then_rejected(&mismatch);
            let unfit = impossible(&and(lost_money(), [secured(amount, 2 * DAY, 21)]));
            assert_eq!(unfit.detail, "not the money that was asked for");
        }
    }
}

#[test]
fn money_of_an_order_that_is_over_is_not_lost() {
    let back = [return_requested(1, ALL, 14), return_approved(1, ALL, 3_500, 15)];
    let returned = and(and(paid(), [order_fulfilled(1, ALL, 9)]), back);
    given(returned.clone())
        .when(&lose(LossCause::Expired), &by_engine(), 20)
        .then_nothing_happened();
    let late = impossible(&and(returned, [lost(LossCause::Expired, 20)]));
    assert_eq!(late.detail, "the state does not allow it");
    given([placed()]).when(&lose(LossCause::Expired), &by_engine(), 20).then_nothing_happened();
}

#[test]
fn a_parcel_leaves_once_the_money_is_taken_where_the_plan_says_so() {
    let plan = PaymentPlan {
        capture: CapturePolicy::OnConfirm,
        ship_when: ShipWhen::Captured,
        ..a_plan()
    };
    let history = || {
        vec![placed_with(plan.clone()), stock_held(&[]), secured(3_500, DAY, 2), confirmed_at(2)]
    };
    let refused = Rejection::PaymentNotSecured { is: PaymentStatus::Secured };
    given(history()).when(&fulfill(1, &[]), &by_service(), 6).then_rejected(&refused);
    let (payment_id, at) = (payment_id(0), after(7));
    let noted =
        |amount| Event::PaymentCaptured(PaymentCaptured { payment_id, amount: gbp(amount), at });
    let order =
        given(history()).when(&note_capture(3_500), &by_engine(), 7).then(noted(3_500)).order;
    assert_eq!(order.payment_status(), PaymentStatus::Captured);
    let mismatch =
        Rejection::PaymentMismatch { detail: "the money taken is not what the order asked for" };
    assert_eq!(events(&order, &note_capture(1), 8), Err(mismatch));
    let then = given(and(history(), [noted(3_500)]));
    then.when(&fulfill(1, &[]), &by_service(), 10).then(order_fulfilled(1, ALL, 10));
    // Other orders do not note it.
    given(paid()).when(&note_capture(3_500), &by_engine(), 7).then_nothing_happened();
    let wrong = [noted(3_500), noted(1)];
    let more = impossible(&and(history(), wrong)).detail;
    assert_eq!(more, "more was taken than was asked for");
}

#[test]
fn a_plan_that_cannot_be_followed_names_its_field() {
    let refused = |plan: PaymentPlan, at: &str| {
        let place = Command::from(marketplace(plan));
        let decided = decide(&Order::Absent, &place, &by_service(), after(0), &Policy::default());
        let Err(Rejection::InvalidPayment { at: is, .. }) = decided else {
            panic!("{decided:?}");
        };
        assert_eq!(is, at);
    };
    refused(PaymentPlan { fee_bps: 10_001, ..a_plan() }, "payment.fee_bps");
    refused(PaymentPlan { ship_when: ShipWhen::Captured, ..a_plan() }, "payment.ship_when");
    let fee = |n, fee_bps| SellerFee { seller_id: seller(n), fee_bps };
    let with = |fees| PaymentPlan { fees, ..a_plan() };
    refused(with(vec![fee(1, 10_001)]), "payment.fees[0].fee_bps");
    refused(with(vec![fee(3, 1)]), "payment.fees[0].seller_id");
    refused(with(vec![fee(1, 1), fee(1, 2)]), "payment.fees[1].seller_id");
    let many =
        (0..101).map(|n| NewLine { seller_id: Some(seller(n)), ..a_place().lines.remove(0) });
    let place = Command::from(Place { lines: many.collect(), ..paid_place(a_plan()) });
    let decided = decide(&Order::Absent, &place, &by_service(), after(0), &Policy::default());
    assert!(matches!(decided, Err(Rejection::InvalidPayment { at, .. }) if at == "payment"));
}

#[test]
fn customers_do_not_say_how_the_shop_is_paid() {
    let place = Command::from(paid_place(a_plan()));
    let role = Role::Customer;
    nothing().when(&place, &by_owner(), 0).then_rejected(&Rejection::Forbidden { role });
}

#[test]
fn placing_again_with_another_plan_is_another_order() {
    use order_actor::domain::Existing;
    let again = Command::from(paid_place(PaymentPlan { fee_bps: 7, ..a_plan() }));
    let differs = exists(Existing::Order, &["payment"]);
    given([placed_with(a_plan())]).when(&again, &by_service(), 5).then_rejected(&differs);
    given([placed()]).when(&again, &by_service(), 5).then_rejected(&differs);
    let same = Command::from(paid_place(a_plan()));
    given(paid()).when(&same, &by_service(), 5).then_nothing_happened();
}

#[test]
fn lines_of_an_order_with_a_plan_are_not_edited() {
    let fewer = edit(2, &[(2, 1)], 0);
    given(paid()).when(&fewer, &by_ops(), 5).then_rejected(&Rejection::PaymentPlanFixed);
}

#[test]
fn a_cancelled_order_is_compensated_by_stock_and_money() {
    let cancelled = order_cancelled(CancelReason::CustomerRequest, true, 12);
    let order = replay(&and(paid(), [cancelled.clone()])).unwrap();
    let facts = translate(&order, &cancelled);
    let [OrderFact::Cancelled { refund_id: Some(_), payments, .. }] = &facts[..] else {
        panic!("{facts:?}");
    };
    assert_eq!(payments[..], [PaymentPart { payment_id: payment_id(0), amount: gbp(3_500) }]);
    assert_eq!(order.payment_status(), PaymentStatus::Secured);
    assert!(!order.is_over(after(900 * DAY)), "it waits for its money");

    let stock = events(&order, &compensated(true, false), 13).unwrap();
    assert_eq!(stock, [completed(true, false, 13)]);
    let order = evolve(order, &stock[0]).unwrap();
    assert_eq!(translate(&order, &stock[0]), []);
    let open = Needs { stock: false, money: true };
    assert_eq!(order.compensation(), Compensation::Running(open));
    assert_eq!(events(&order, &compensated(true, false), 14), Ok(Vec::new()));

    let money = events(&order, &compensated(true, true), 15).unwrap();
    assert_eq!(money, [completed(false, true, 15)]);
    let order = evolve(order, &money[0]).unwrap();
    assert_eq!(order.compensation(), Compensation::Done);
    assert_eq!(order.payment_status(), PaymentStatus::Released);
    let told = translate(&order, &money[0]);
    assert!(matches!(told[..], [OrderFact::Compensated { stock: true, money: true, .. }]));
    assert!(order.is_over(after(20)));
    assert_eq!(events(&order, &compensated(true, true), 16), Ok(Vec::new()));
    let twice = [completed(true, true, 13), completed(true, false, 14)];
    let detail = "that was given back before, or was not held";
    assert_eq!(impossible(&and(and(paid(), [cancelled]), twice)).detail, detail);
}

#[test]
fn an_order_that_held_nothing_has_nothing_to_give_back() {
    let cancelled = order_cancelled(CancelReason::CustomerRequest, false, 5);
    let order = replay(&[placed_with(a_plan()), cancelled.clone()]).unwrap();
    assert_eq!(order.compensation(), Compensation::None);
    assert_eq!(order.payment_status(), PaymentStatus::NotRequired);
    assert_eq!(events(&order, &compensated(true, true), 9), Ok(Vec::new()));
    assert!(order.is_over(after(6)));
    let given_back = impossible(&[placed(), cancelled, completed(true, false, 9)]);
    assert_eq!(given_back.detail, "the order has no payment plan");
    given([placed()]).when(&compensated(true, true), &by_engine(), 5).then_nothing_happened();
}

#[test]
fn a_refund_is_paid_or_fails_and_may_be_paid_later() {
    let back = [order_fulfilled(1, ALL, 10), return_requested(1, &[(1, 1)], 14)];
    let approved = return_approved(1, &[(1, 1)], 1_000, 15);
    let history = || and(and(paid(), back.clone()), [approved.clone()]);
    let order = replay(&history()).unwrap();
    let facts = translate(&order, &approved);
    let parts: Vec<_> = facts.iter().flat_map(payments_of).collect();
    assert_eq!(parts, [PaymentPart { payment_id: payment_id(0), amount: gbp(1_000) }]);
    assert!(!order.is_over(after(900 * DAY)), "its refund is not paid yet");

    let failed = events(&order, &refund_fails(1, 1_000), 20).unwrap();
    let order = evolve(order, &failed[0]).unwrap();
    assert_eq!(events(&order, &refund_fails(1, 1_000), 21), Ok(Vec::new()));
    let told = translate(&order, &failed[0]);
    let [OrderFact::RefundFailed { amount, code, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((*amount, code.as_str()), (gbp(1_000), "account_closed"));
    let refunds =
        |order: &Order| order.details().unwrap().payment.as_ref().unwrap().refunds.clone();
    assert_eq!(refunds(&order)[0].state, RefundState::Failed("account_closed".to_owned()));
    let paid = events(&order, &settle(1, 1_000), 22).unwrap();
    let order = evolve(order, &paid[0]).unwrap();
    assert_eq!(refunds(&order)[0].state, RefundState::Settled(gbp(1_000)));
    let told = translate(&order, &paid[0]);
    let [OrderFact::RefundSettled { amount, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(*amount, gbp(1_000));
    assert_eq!(events(&order, &settle(1, 1_000), 23), Ok(Vec::new()));
    assert!(order.is_over(after(900 * DAY)));
    let wrong =
        Rejection::PaymentMismatch { detail: "the order has no such refund, or it is smaller" };
    for command in [settle(2, 1_000), settle(1, 1_001), settle(1, -1)] {
        assert_eq!(events(&order, &command, 24), Err(wrong.clone()));
    }
}

#[test]
fn a_parcel_that_is_open_again_is_not_taken_twice() {
    let shipped = order_fulfilled(1, ALL, 10);
    let order = replay(&and(paid(), [shipped.clone()])).unwrap();
    let worth = |order: &Order, event: &Event| {
        let facts = translate(order, event);
        facts.iter().flat_map(payments_of).map(|part| part.amount.minor).collect::<Vec<_>>()
    };
    assert_eq!(worth(&order, &shipped), [3_500]);
    let again = [open_again(1, ALL, 12), order_fulfilled(2, ALL, 13)];
    let order = again.iter().try_fold(order, evolve).unwrap();
    assert_eq!(worth(&order, &again[1]), [0_i64; 0]);
    let cancelled = and(and(paid(), [shipped]), [open_again(1, ALL, 12)]);
    let order = replay(&cancelled).unwrap();
    let event = lines_cancelled(&[(1, 1)], 14);
    let order = evolve(order, &event).unwrap();
    assert_eq!(worth(&order, &event), [1_000]);
    let part = &order.details().unwrap().payment.as_ref().unwrap().parts[0];
    assert_eq!((part.captured, part.wanted()), (2_500, 2_500));
}

#[test]
fn a_lost_parcel_is_refunded_by_its_own_id() {
    let history = and(paid(), [order_fulfilled(1, ALL, 10)]);
    let undone = undone(1, UndoCause::Lost, ALL, 3_500, 12);
    let order = replay(&and(history, [undone])).unwrap();
    let payment = order.details().unwrap().payment.as_ref().unwrap();
    assert_eq!(payment.refunds[0].refund_id.uuid(), shipment(1).uuid());
    assert_eq!(payment.moved, Moved { refund_id: None, parts: vec![(payment_id(0), 3_500)] });
}

/// A lost parcel of two sellers: the shipping is given back by the shop, whose it is.
#[test]
fn shipping_of_a_lost_parcel_is_given_back_of_the_money_for_charges() {
    let charges = vec![NewCharge {
        kind: ChargeKind::Shipping,
        label: String::new(),
        amount: gbp(500),
        taxes: Vec::new(),
    }];
    let placed = placed_by(Place { charges, ..marketplace(a_plan()) });
    let history = vec![placed, stock_held(&[]), secured(4_000, DAY, 2), confirmed_at(2)];
    let mut undone = undone(1, UndoCause::Lost, ALL, 4_000, 12);
    if let Event::ShipmentUndone(undone) = &mut undone {
        undone.charges = vec![ChargeRefund { charge: 1, amount: gbp(500) }];
    }
    let order = replay(&and(history, [order_fulfilled(1, ALL, 10), undone])).unwrap();
    let payment = order.details().unwrap().payment.as_ref().unwrap();
    let parts = vec![(payment_id(0), 500), (payment_id(1), 2_000), (payment_id(2), 1_500)];
    assert_eq!(payment.moved, Moved { refund_id: None, parts });
}

/// Mugs of seller 1, plates of seller 2, a free sticker of seller 3; all delivered.
fn three_sellers_delivered() -> Vec<Event> {
    let sticker = NewLine { seller_id: Some(seller(3)), ..new_line("STICKER", 1, gbp(0)) };
    let mut lines = of_two_sellers();
    lines.push(sticker);
    let placed = placed_by(Place { lines, ..paid_place(a_plan()) });
    let mut history = vec![placed, stock_held(&[]), secured(3_500, DAY, 2), confirmed_at(2)];
    history.push(order_fulfilled(1, &[(1, 2), (2, 3), (3, 1)], 10));
    history
}

#[test]
fn a_refund_for_goods_that_stay_is_of_their_sellers() {
    let refund_of = |requested: &[(u32, u32)], back: &[(u32, u32)], refund: i64| {
        let mut approved = return_approved(1, back, refund, 20);
        let Event::ReturnApproved { kept, rejected_reason, refund_reason, .. } = &mut approved
        else {
            unreachable!()
        };
        let left = requested.iter().filter_map(|(line, units)| {
            let came = back.iter().find(|one| one.0 == *line).map_or(0, |one| one.1);
            let quantity = Quantity::new(units - came).ok()?;
            Some(OutcomeUnits { line: *line, quantity, outcome: UnitOutcome::Rejected })
        });
        *kept = left.collect();
        *rejected_reason = "worn".to_owned();
        *refund_reason = "goodwill".to_owned();
        let requested = return_requested(1, requested, 14);
        let order = replay(&and(three_sellers_delivered(), [requested, approved])).unwrap();
        let payment = order.details().unwrap().payment.as_ref().unwrap();
        assert!(payment.refunds.iter().all(|one| one.amount == refund), "{:?}", payment.refunds);
        assert_eq!(payment.refunds.len(), usize::from(refund > 0));
        let of = |n| {
            let part = payment.moved.parts.iter().find(|part| part.0 == payment_id(n));
            part.map_or(0, |part| part.1)
        };
        [of(1), of(2)]
    };
    // Only the free sticker comes back: all of it is for the plates that stay.
    assert_eq!(refund_of(&[(2, 2), (3, 1)], &[(3, 1)], 600), [0, 600]);
    assert_eq!(refund_of(&[(1, 1), (3, 1)], &[(3, 1)], 600), [600, 0]);
    // A mug comes back, a plate stays: the seller of the plate pays what is above the mug.
    assert_eq!(refund_of(&[(1, 1), (2, 1)], &[(1, 1)], 1_000), [1_000, 0]);
    assert_eq!(refund_of(&[(1, 1), (2, 1)], &[(1, 1)], 700), [700, 0]);
    assert_eq!(refund_of(&[(1, 1), (2, 1)], &[(1, 1)], 1_300), [1_000, 300]);
    // No more of a seller than was taken for it.
    assert_eq!(refund_of(&[(1, 1), (2, 3)], &[(1, 1)], 3_000), [1_500, 1_500]);
    assert_eq!(refund_of(&[(1, 1), (2, 1)], &[(1, 1)], 0), [0, 0]);
}

#[test]
fn events_about_money_that_do_not_fit_are_impossible() {
    let plan = || placed_with(a_plan());
    let cases: Vec<(Vec<Event>, &str)> = vec![
        (vec![placed(), stock_held(&[])], "the money stands: stock confirms the order"),
        (vec![plan(), stock_held(&[]), stock_held(&[])], "stock is held already"),
        (vec![plan(), stock_held(&[(1, 3)])], "more units wait for stock than were ordered"),
        (vec![plan(), confirmed_at(2)], "the money does not stand"),
        (vec![placed(), secured(3_500, DAY, 2)], "the order has no payment plan"),
        (vec![plan(), secured(3_499, DAY, 2)], "not the money that was asked for"),
        (vec![plan(), lost(LossCause::Expired, 2)], "no money stood"),
        (and(paid(), [stock_held(&[])]), "the state does not allow it"),
    ];
    for (history, detail) in cases {
        assert_eq!(impossible(&history).detail, detail);
    }
    let (payment_id, amount, at) = (payment_id(9), gbp(1), after(3));
    let other = Event::PaymentCaptured(PaymentCaptured { payment_id, amount, at });
    assert_eq!(impossible(&and(paid(), [other])).detail, "no such payment");
    let refund_id = RefundId::from_uuid(Uuid::from_u128(1));
    let refund = Event::RefundSettled(RefundSettled { refund_id, amount, at });
    assert_eq!(impossible(&and(paid(), [refund])).detail, "no such refund");
    let amount = Money::new(3_500, "EUR".parse().unwrap());
    let valid_until = Timestamp::default();
    let euros = Event::PaymentSecured(PaymentSecured { amount, valid_until, at });
    assert_eq!(impossible(&[plan(), euros]).detail, "the money has another currency");
}

#[test]
fn only_the_engine_speaks_about_money() {
    for (by, role) in
        [(by_owner(), Role::Customer), (by_service(), Role::Service), (by_ops(), Role::Ops)]
    {
        for command in [
            secure(3_500, DAY),
            fail(None),
            lose(LossCause::Expired),
            note_capture(1),
            settle(1, 1),
            compensated(true, true),
        ] {
            given(paid()).when(&command, &by, 5).then_rejected(&Rejection::Forbidden { role });
        }
    }
}

#[test]
fn amounts_are_divided_by_weight_with_nothing_left_over() {
    assert_eq!(allot(100, &[1, 1, 1], &[100, 100, 100]), [33, 33, 34]);
    assert_eq!(allot(100, &[1, 1, 1], &[10, 100, 100]), [10, 56, 34]);
    assert_eq!(allot(100, &[0, 0], &[60, 60]), [50, 50]);
    assert_eq!(allot(1, &[5, 5], &[0, 5]), [0, 1]);
    assert_eq!(allot(i64::MAX, &[i64::MAX], &[i64::MAX]), [i64::MAX]);
    assert_eq!(allot(5, &[], &[]), [0_i64; 0]);
    // Case 29 (RubyMoney/money#1033, moneyphp/money#492): none is off by a whole minor unit.
    let twelve: Vec<i64> = (1..=12).map(|nth| nth * nth).collect();
    for (whole, weights) in [(700_273_i64, &twelve[..]), (9_999, &[75, 25])] {
        let parts = allot(whole, weights, &vec![whole; weights.len()]);
        let all: i64 = weights.iter().sum();
        assert_eq!(parts.iter().sum::<i64>(), whole);
        for (part, weight) in parts.iter().zip(weights) {
            assert!((part * all - whole * weight).abs() < all, "{part} of {weight}: {parts:?}");
        }
    }
}

/// Lines of up to three sellers, charges, and numbers that decide what happens.
fn a_life() -> impl Strategy<Value = (Place, Vec<u32>)> {
    let line = (1_u32..6, 0_i64..100_000, 0_u128..3);
    let lines = prop::collection::vec(line, 1..5);
    let currency = prop::sample::select(vec!["JPY", "GBP", "KWD"]);
    let charges = prop::collection::vec(0_i64..5_000, 0..3);
    let numbers = prop::collection::vec(any::<u32>(), 60);
    (lines, charges, currency, numbers).prop_map(|(lines, charges, currency, numbers)| {
        let amount = |minor| Money::new(minor, currency.parse().unwrap());
        let lines = lines.into_iter().map(|(units, minor, of)| NewLine {
            seller_id: (of > 0).then(|| seller(of)),
            discounts: vec![order_actor::domain::Discount {
                label: "SPRING".to_owned(),
                amount: amount(minor / 3),
            }],
            ..new_line("MUG", units, amount(minor))
        });
        let charges = charges.into_iter().map(|minor| NewCharge {
            kind: ChargeKind::Shipping,
            label: String::new(),
            amount: amount(minor),
            taxes: Vec::new(),
        });
        let (lines, charges) = (lines.collect(), charges.collect());
        (Place { lines, charges, ..paid_place(a_plan()) }, numbers)
    })
}

/// Approves a return: the customer keeps a unit of each line that has several, and is paid for it.
fn keeps_one(details: &Details, n: u128, units: &[LineQuantity], more: i64) -> Command {
    let several: Vec<_> = units.iter().filter(|units| units.quantity.get() > 1).collect();
    let outcomes = several.iter().flat_map(|units| {
        let of = |quantity, outcome| OutcomeUnits {
            line: units.line,
            quantity: Quantity::new(quantity).unwrap(),
            outcome,
        };
        let back = units.quantity.get() - 1;
        [of(back, UnitOutcome::Restock), of(1, UnitOutcome::Rejected)]
    });
    let minor = details.value_of(units).minor.saturating_add(more);
    let refund = Money { minor: minor.min(details.refundable().minor), ..details.refunded };
    Command::ApproveReturn(ApproveReturn {
        return_id: Some(return_id(n)),
        outcomes: outcomes.collect(),
        rejected_reason: if several.is_empty() { String::new() } else { "worn".to_owned() },
        refund: Some(refund),
        refund_reason: "goodwill".to_owned(),
        ..an_approval()
    })
}

/// Sums of facts, per kind: parcels, cancellations, refunds.
#[derive(Default, Debug)]
struct Sums {
    delivered: i64,
    cancelled: i64,
    refunded: i64,
}

impl Sums {
    fn hear(&mut self, fact: &OrderFact) {
        let sum: i64 = payments_of(fact).iter().map(|part| part.amount.minor).sum();
        match fact {
            OrderFact::LinesFulfilled { .. } | OrderFact::Fulfilled { .. } => self.delivered += sum,
            OrderFact::LinesCancelled { .. } | OrderFact::Cancelled { .. } => self.cancelled += sum,
            OrderFact::RefundRequested { refund, .. } => {
                assert_eq!(refund.minor, sum);
                self.refunded += sum;
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 10_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// However an order is delivered, cancelled and returned in parts, what its facts move of each
    /// payment adds up to what it costs.
    #[test]
    fn parts_of_any_partition_add_up((place, numbers) in a_life()) {
        let mut numbers = numbers.into_iter();
        let mut next = |limit: u32| numbers.next().unwrap_or_default() % limit.max(1);
        let placed = placed_by(place);
        let mut order = replay(&[placed]).unwrap();
        let total = order.details().unwrap().totals.total;
        let mut sums = Sums::default();
        let mut seconds = 1;
        let mut send = |order: &mut Order, command: &Command, by: &order_actor::domain::By| {
            seconds += 1;
            let decided = decide(order, command, by, after(seconds), &Policy::default());
            let Ok(events) = decided else { return };
            for event in &events {
                *order = evolve(std::mem::take(order), event).unwrap();
                translate(order, event).iter().for_each(|fact| sums.hear(fact));
            }
        };
        send(&mut order, &confirm(1), &by_engine());
        let valid_until = after(90 * DAY);
        let all = Command::SecurePayment(SecurePayment { amount: total, valid_until });
        send(&mut order, &all, &by_engine());
        prop_assert_eq!(order.status(), Some(Status::Confirmed));
        let generous = |order: &Order, n: u128, more: i64| {
            let details = order.details().unwrap();
            let waiting = details.waiting_return(return_id(n));
            let units = waiting.map_or(Vec::new(), |waiting| waiting.lines.clone());
            keeps_one(details, n, &units, more)
        };
        for n in 0..10 {
            let lines = u32::try_from(order.details().unwrap().lines.len()).unwrap();
            let line = 1 + next(lines);
            let named = [(line, 1 + next(3))];
            let (command, by) = match next(4) {
                0 => (cancel(CancelReason::CustomerRequest, &named), by_owner()),
                1 => (request_return(n, &named), by_owner()),
                _ => (fulfill(n, &named), by_service()),
            };
            send(&mut order, &command, &by);
            match next(4) {
                0 | 1 => send(&mut order, &approve(n), &by_ops()),
                2 => {
                    let more = i64::from(next(50_000));
                    let command = generous(&order, n, more);
                    send(&mut order, &command, &by_ops());
                }
                _ => {}
            }
        }
        let rest = if next(2) == 0 {
            (fulfill(99, &[]), by_service())
        } else {
            (cancel(CancelReason::CustomerRequest, &[]), by_owner())
        };
        send(&mut order, &rest.0, &rest.1);
        let details = order.details().unwrap();
        prop_assert!(details.lines.iter().all(|line| line.open() == 0), "{:?}", details.lines);
        prop_assert_eq!(sums.delivered + sums.cancelled, total.minor, "{:?}", sums);
        prop_assert_eq!(sums.refunded, details.refunded.minor);
        check(details)?;
    }
}

#[test]
fn an_order_without_a_plan_has_the_bytes_that_it_had() {
    let place = serde_json::to_string(&a_place()).unwrap();
    let event = serde_json::to_string(&placed()).unwrap();
    assert!(!place.contains("payment") && !event.contains("payment"));
    let order = replay(&[placed(), confirmed()]).unwrap();
    assert_eq!(order.payment_status(), PaymentStatus::NotRequired);
    assert_eq!(order.compensation(), Compensation::None);
    let cancelled = order_cancelled(CancelReason::CustomerRequest, true, 5);
    let order = evolve(order, &cancelled).unwrap();
    let facts = translate(&order, &cancelled);
    assert!(matches!(&facts[..], [OrderFact::Cancelled { refund_id: None, .. }]));
}
