//! An order at its limit of events can still be ended.

use order_actor::domain::bounds::{CUSTOMER_ASKS_MAX, ENDING_ROOM, EVENTS_MAX, SELLERS_MAX};
use order_actor::domain::{
    By, Command, Existing, NewLine, NoteCapture, Order, Payment, PaymentPlan, Place, Policy,
    RefundOutcome, Rejection, SettleRefund, ShipWhen, Status, UndoCause, decide, evolve,
};
use shared_events::contract::{CancelReason, CapturePolicy, RefundId};

use super::parcels::undo;
use super::payments::{a_plan, compensated, note_capture, paid_place, secure, seller};
use super::support::*;

/// An order of one line with many events.
struct Long {
    order: Order,
}

impl Long {
    fn confirmed() -> Self {
        let lines = vec![new_line("MUG", 50_000, gbp(1))];
        let mut long = Self { order: Order::Absent };
        long.send(&Command::from(Place { lines, ..a_place() }), &by_owner()).unwrap();
        long.send(&confirm(1), &by_engine()).unwrap();
        long
    }

    fn send(&mut self, command: &Command, by: &By) -> Result<(), Rejection> {
        let events = decide(&self.order, command, by, after(20), &Policy::default())?;
        assert_eq!(events.len(), 1);
        self.order = events.iter().try_fold(self.order.clone(), evolve).unwrap();
        assert!(self.events() <= EVENTS_MAX);
        Ok(())
    }

    fn events(&self) -> u64 {
        self.order.details().unwrap().events
    }

    /// Of these lines; its money is taken before it ships.
    fn placed_with_a_plan(lines: Vec<NewLine>) -> Self {
        let (capture, ship_when) = (CapturePolicy::OnConfirm, ShipWhen::Captured);
        let plan = PaymentPlan { capture, ship_when, ..a_plan() };
        let mut long = Self { order: Order::Absent };
        let place = Place { lines, ..paid_place(plan) };
        long.send(&Command::from(place), &by_service()).unwrap();
        long
    }

    fn payment(&self) -> &Payment {
        self.order.details().unwrap().payment.as_deref().unwrap()
    }

    fn status(&self) -> Status {
        self.order.status().unwrap()
    }

    /// Ships parcels of one unit each until they are refused.
    fn until_full(&mut self) {
        for n in 1.. {
            match self.send(&fulfill(n, &[(1, 1)]), &by_service()) {
                Ok(()) => {}
                Err(refused) => return assert_eq!(refused, Rejection::TooManyEvents),
            }
        }
    }
}

#[test]
fn an_order_near_its_limit_accepts_only_commands_that_end_it() {
    let mut full = Long::confirmed();
    full.until_full();
    assert_eq!(full.events(), EVENTS_MAX - ENDING_ROOM);
    for by in [by_owner(), by_ops()] {
        let some = cancel(CancelReason::CustomerRequest, &[(1, 1)]);
        assert_eq!(full.send(&some, &by), Err(Rejection::TooManyEvents));
    }
    let rest = 50_000 - u32::try_from(EVENTS_MAX - ENDING_ROOM - 2).unwrap();
    let endings = [
        (cancel(CancelReason::CustomerRequest, &[]), by_owner()),
        (cancel(CancelReason::Ops, &[(1, rest)]), by_ops()),
        (fulfill(1_000_000, &[]), by_service()),
    ];
    for (command, by) in endings {
        let mut ended = Long { order: full.order.clone() };
        ended.send(&command, &by).unwrap();
        assert_eq!(ended.status(), Status::Fulfilled, "{command:?}");
        // Then units are returned until no event fits any more; every requested return is judged.
        let mut n = 0;
        let refused = loop {
            n += 1;
            if let Err(refused) = ended.send(&request_return(n, &[(1, 1)]), &by_ops()) {
                break refused;
            }
            let late = after(20 + 4 * DAY);
            let policy = Policy::default();
            let reminder =
                decide(&ended.order, &Command::Escalate, &by_engine(), late, &policy).unwrap();
            ended.order = reminder.iter().try_fold(ended.order, evolve).unwrap();
            let judgement = if n % 2 == 0 { approve(n) } else { reject(n) };
            ended.send(&judgement, &by_ops()).unwrap();
        };
        assert_eq!(refused, Rejection::TooManyEvents);
        assert!(n > 30, "{n}");
    }
}

#[test]
fn a_pending_order_near_its_limit_can_be_confirmed_and_lapses() {
    let mut full = Long { order: Order::Absent };
    let lines = vec![new_line("MUG", 50_000, gbp(1))];
    full.send(&Command::from(Place { lines, ..a_place() }), &by_owner()).unwrap();
    let some = cancel(CancelReason::Ops, &[(1, 1)]);
    let refused = loop {
        if let Err(refused) = full.send(&some, &by_ops()) {
            break refused;
        }
    };
    assert_eq!(refused, Rejection::TooManyEvents);
    let answers = [confirm(1), cancel(CancelReason::InsufficientStock, &[])];
    for answer in answers {
        Long { order: full.order.clone() }.send(&answer, &by_engine()).unwrap();
    }
    let late = after(16 * MINUTE);
    let lapsed = decide(&full.order, &Command::Lapse, &by_engine(), late, &Policy::default());
    assert_eq!(lapsed.unwrap().len(), 1);
}

#[test]
fn late_answers_about_refunds_leave_room_for_the_end() {
    let mut full = Long::placed_with_a_plan(vec![new_line("MUG", 50_000, gbp(1))]);
    for command in [secure(50_000, DAY), confirm(1), note_capture(50_000)] {
        full.send(&command, &by_engine()).unwrap();
    }
    let some = cancel(CancelReason::Ops, &[(1, 1)]);
    let refused = loop {
        if let Err(refused) = full.send(&some, &by_ops()) {
            break refused;
        }
    };
    assert_eq!(refused, Rejection::TooManyEvents);
    let answer = |refund_id: RefundId, outcome: RefundOutcome| {
        Command::SettleRefund(SettleRefund { refund_id, amount: gbp(1), outcome })
    };
    let refunds: Vec<RefundId> =
        full.payment().refunds.iter().map(|refund| refund.refund_id).collect();
    assert!(refunds.len() > 4_000, "{}", refunds.len());
    for refund_id in &refunds {
        full.send(&answer(*refund_id, RefundOutcome::Settled), &by_engine()).unwrap();
    }
    assert_eq!(full.events(), EVENTS_MAX - ENDING_ROOM);
    // Money that comes back after all is another answer, and any number of them may come.
    let failed = answer(refunds[0], RefundOutcome::Failed { code: "closed".to_owned() });
    assert_eq!(full.send(&failed, &by_engine()), Err(Rejection::TooManyEvents));

    full.send(&cancel(CancelReason::Ops, &[]), &by_ops()).unwrap();
    let last = full.payment().refunds.last().unwrap();
    let (refund_id, rest) = (last.refund_id, gbp(last.amount));
    let settled = SettleRefund { refund_id, amount: rest, outcome: RefundOutcome::Settled };
    let answers =
        [Command::SettleRefund(settled), compensated(true, false), compensated(false, true)];
    for answer in answers {
        full.send(&answer, &by_engine()).unwrap();
    }
    assert_eq!(full.status(), Status::Cancelled);
    full.send(&failed, &by_engine()).unwrap();
}

#[test]
fn captures_of_all_sellers_leave_room_for_the_end() {
    let lines = (1..=u128::try_from(SELLERS_MAX).unwrap()).map(|n| NewLine {
        seller_id: Some(seller(n)),
        ..new_line(&format!("MUG-{n}"), 200, gbp(1))
    });
    let mut full = Long::placed_with_a_plan(lines.collect());
    let mut before = full.order.clone();
    for line in (1..=100).cycle() {
        let now = full.order.clone();
        match full.send(&cancel(CancelReason::Ops, &[(line, 1)]), &by_ops()) {
            Ok(()) => before = now,
            Err(refused) => {
                assert_eq!(refused, Rejection::TooManyEvents);
                break;
            }
        }
    }
    // As long as it can be, and still paid.
    full.order = before;
    let left = 200 * 100 - i64::try_from(full.events() - 1).unwrap();
    for command in [secure(left, DAY), confirm(1)] {
        full.send(&command, &by_engine()).unwrap();
    }
    for part in full.payment().parts.clone() {
        let (payment_id, amount) = (part.payment_id, gbp(part.wanted()));
        full.send(&Command::NoteCapture(NoteCapture { payment_id, amount }), &by_engine()).unwrap();
    }
    assert_eq!(full.events(), EVENTS_MAX - ENDING_ROOM);
    full.send(&cancel(CancelReason::Ops, &[]), &by_ops()).unwrap();
    assert_eq!(full.status(), Status::Cancelled);
}

#[test]
fn parcels_that_come_back_leave_room_for_the_end() {
    let mut full = Long::confirmed();
    full.until_full();
    let lost = undo(1, UndoCause::Lost);
    assert_eq!(full.send(&lost, &by_ops()), Err(Rejection::TooManyEvents));
    full.send(&fulfill(1_000_000, &[]), &by_service()).unwrap();
    full.send(&lost, &by_ops()).unwrap();
}

#[test]
fn customers_requests_are_limited_and_other_roles_are_not() {
    let mut order = Long::confirmed();
    let some = cancel(CancelReason::CustomerRequest, &[(1, 1)]);
    for _ in 0..CUSTOMER_ASKS_MAX {
        order.send(&some, &by_owner()).unwrap();
    }
    let refused = order.send(&some, &by_owner()).unwrap_err();
    assert_eq!(refused.code(), "ASKED_TOO_OFTEN");
    order.send(&some, &by_ops()).unwrap();
    let mut whole = Long { order: order.order.clone() };
    whole.send(&cancel(CancelReason::CustomerRequest, &[]), &by_owner()).unwrap();
    assert_eq!(whole.status(), Status::Cancelled);

    order.send(&fulfill(1, &[]), &by_service()).unwrap();
    // Requests of operators do not count for the customer.
    for n in 0..u128::from(CUSTOMER_ASKS_MAX) {
        order.send(&request_return(2_000 + n, &[(1, 1)]), &by_ops()).unwrap();
        order.send(&reject(2_000 + n), &by_ops()).unwrap();
    }
    for n in 0..u128::from(CUSTOMER_ASKS_MAX) {
        order.send(&request_return(n, &[(1, 1)]), &by_owner()).unwrap();
        order.send(&reject(n), &by_ops()).unwrap();
    }
    let refused = order.send(&request_return(1_000, &[(1, 1)]), &by_owner()).unwrap_err();
    assert_eq!(refused.code(), "ASKED_TOO_OFTEN");
    // A repeated request is answered with its judgement.
    let again = decide(
        &order.order,
        &request_return(7, &[(1, 1)]),
        &by_owner(),
        after(20),
        &Policy::default(),
    );
    assert_eq!(again, Err(exists(Existing::RejectedReturn, &[])));
    order.send(&request_return(1_000, &[(1, 1)]), &by_ops()).unwrap();
}
