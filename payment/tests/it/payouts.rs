//! Payouts to sellers: what is paid, once, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use payment::domain::{
    BookStep, OTHER_AMOUNT, OperationKind, PayoutState, RunState, Stage, WebhookState,
};
use payment::grpc::proto;
use payment::grpc::proto::payout_service_server::PayoutService as _;
use payment::store::{self, Debt, PayoutRow};
use payment::{Ends, Point};
use psp::{Answer, CallKey, Capabilities};
use serde_json::json;
use service_edge::reason_of;
use shared_events::contract::{Currency, Reason};
use shared_events::stream::Dialect;
use tonic::{Code, Request, Response};

use crate::domain::support::CAPABLE;
use crate::market::{Away, DAY, Market, of_acme, run_id};
use crate::on_both::on_both;
use crate::scripted::{Act, Scripted};
use crate::support::{Story, gbp};
use crate::webhooks::{declined, hear, kept, tell};

const PAYOUT: OperationKind = OperationKind::Payout;

fn pounds() -> Currency {
    "GBP".parse().unwrap()
}

fn accepted() -> Act {
    Act::Say(Answer::Pending { reference: "po_1".parse().unwrap() })
}

async fn what_is_old_enough_is_paid_once(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.shelf.credit("acme", 3_000);
    market.bench.wait(20 * DAY);
    market.shelf.credit("acme", 2_000);
    assert_eq!(market.runs(1).await, 0);
    market.bench.wait(10 * DAY);
    assert_eq!(market.runs(2).await, 1);
    let paid = market.of_run(2).await.payout;
    assert_eq!((paid.state, paid.amount), (PayoutState::Paid, gbp(3_000)));
    let key = CallKey { operation: paid.id.uuid(), generation: 0 };
    assert_eq!(market.bench.psp.calls(), [key.to_string()]);
    assert_eq!(market.bench.psp.effects(), [(PAYOUT, 3_000)]);
    assert_eq!(market.shelf.steps(), [BookStep::Hold, BookStep::Post]);
    assert_eq!(market.bench.published().await, ["payout.sent.v1", "payout.paid.v1"]);
    // The same run again, and another one the same moment.
    assert!(market.asked(of_acme(2)).await.unwrap().replayed);
    market.turns().await;
    assert_eq!(market.runs(3).await, 0);
    // Debits count at once, however new.
    market.bench.wait(20 * DAY);
    market.shelf.debit("acme", 500);
    assert_eq!(market.runs(4).await, 1);
    assert_eq!(market.of_run(4).await.payout.amount, gbp(1_500));
    assert_eq!(market.bench.psp.effects(), [(PAYOUT, 3_000), (PAYOUT, 1_500)]);
}

async fn what_is_accepted_is_not_paid_and_comes_back_once(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.bench.psp.will(PAYOUT, [accepted()]);
    market.sold(10_000);
    assert_eq!(market.runs(1).await, 1);
    let first = market.of_run(1).await.payout;
    assert_eq!((first.state, first.reference.as_deref()), (PayoutState::Submitted, Some("po_1")));
    assert_eq!(market.shelf.steps(), [BookStep::Hold]);
    assert_eq!(market.bench.published().await, ["payout.sent.v1"]);
    // What is held is nobody's to pay out again.
    assert_eq!(market.runs(2).await, 0);
    market.bench.psp.knows(first.id.uuid(), declined("account_closed"));
    market.bench.wait(DAY);
    market.turns().await;
    let back = market.of_run(1).await.payout;
    assert_eq!((back.state, back.code.as_str()), (PayoutState::Returned, "account_closed"));
    assert_eq!(market.shelf.steps(), [BookStep::Hold, BookStep::Void]);
    market.bench.wait(10 * DAY);
    market.turns().await;
    // The second one is another one.
    assert_eq!(market.runs(3).await, 1);
    let second = market.of_run(3).await.payout;
    assert_ne!(second.id, first.id);
    assert_eq!((second.state, second.amount), (PayoutState::Paid, gbp(10_000)));
    let steps = [BookStep::Hold, BookStep::Void, BookStep::Hold, BookStep::Post];
    assert_eq!(market.shelf.steps(), steps);
    assert_eq!(
        market.bench.published().await,
        ["payout.sent.v1", "payout.returned.v1", "payout.sent.v1", "payout.paid.v1"]
    );
    assert_eq!(market.bench.psp.effects(), [(PAYOUT, 10_000)]);
}

async fn what_comes_back_after_it_was_paid_is_mirrored_once(dialect: Dialect) {
    let mut market = Market::on(dialect).await;
    market.rules.reserve_bps = 1_000;
    market.sold(10_000);
    assert_eq!(market.runs(1).await, 1);
    let paid = market.of_run(1).await.payout;
    assert_eq!((paid.state, paid.amount), (PayoutState::Paid, gbp(9_000)));
    market.bench.psp.knows(paid.id.uuid(), declined("returned_by_bank"));
    market.bench.wait(DAY);
    market.turns().await;
    let back = market.of_run(1).await.payout;
    assert_eq!((back.state, back.code.as_str()), (PayoutState::Returned, "returned_by_bank"));
    assert!(back.paid_at.is_some() && back.restored_at.is_some(), "{back:?}");
    market.bench.wait(10 * DAY);
    market.turns().await;
    let steps = [BookStep::Hold, BookStep::Post, BookStep::Mirror];
    assert_eq!(market.shelf.steps(), steps);
    // The book has it as a new credit. It was old enough before, and is no earning.
    assert_eq!(market.runs(2).await, 1);
    let second = market.of_run(2).await.payout;
    assert_eq!((second.state, second.amount), (PayoutState::Paid, gbp(9_000)));
    assert_ne!(second.id, paid.id);
    assert_eq!(
        market.bench.published().await,
        [
            "payout.sent.v1",
            "payout.paid.v1",
            "payout.returned.v1",
            "payout.sent.v1",
            "payout.paid.v1"
        ]
    );
}

async fn a_provider_that_says_no_gives_it_back(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.bench.psp.will(PAYOUT, [Act::Say(declined("no_account"))]);
    market.sold(10_000);
    assert_eq!(market.runs(1).await, 1);
    let back = market.of_run(1).await.payout;
    assert_eq!((back.state, back.code.as_str()), (PayoutState::Returned, "no_account"));
    assert_eq!((back.paid_at, back.restored_at), (None, None));
    assert_eq!(market.shelf.steps(), [BookStep::Hold, BookStep::Void]);
}

async fn a_lost_answer_is_asked_for_before_anything_is_sent_again(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.bench.psp.will(PAYOUT, [Act::LoseAnswer]);
    market.sold(10_000);
    market.runs(1).await;
    let row = market.of_run(1).await;
    assert_eq!((row.payout.state, row.schedule.stage), (PayoutState::Collected, Stage::Unknown));
    market.settle().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Paid);
    assert_eq!((market.bench.psp.calls().len(), market.bench.psp.questions()), (1, 1));
    // One that never left is sent again, under the same key.
    let market = Market::on(dialect).await;
    market.bench.psp.will(PAYOUT, [Act::LoseRequest]);
    market.sold(10_000);
    market.runs(1).await;
    market.settle().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Paid);
    let calls = market.bench.psp.calls();
    assert_eq!((calls.len(), &calls[0]), (2, &calls[1]));
    assert_eq!(market.bench.psp.effects(), [(PAYOUT, 10_000)]);
}

/// Payments that hold a payout and have not called, by as much as they know.
async fn held_and_not_called(dialect: Dialect) -> Market {
    let market = Market::on(dialect).await;
    market.sold(10_000);
    market.asked(of_acme(1)).await.unwrap();
    let read = AtomicUsize::new(0);
    // It is counted, then held; the third time it would be called.
    let ends: Ends = Arc::new(move |point: Point, _: OperationKind| {
        point == Point::Read && read.fetch_add(1, Ordering::SeqCst) >= 2
    });
    let runner = market.runner_ending(ends);
    for _ in 0..5 {
        runner.turn().await.unwrap();
    }
    let row = market.of_run(1).await;
    assert_eq!((row.payout.state, row.schedule.stage), (PayoutState::Collected, Stage::Due));
    assert_eq!((market.bench.psp.calls().len(), row.schedule.first_call), (0, None));
    market
}

async fn older_payments_ask_before_they_call(dialect: Dialect) {
    // They were restored from a copy of just before the call, after the key was forgotten.
    let market = held_and_not_called(dialect).await;
    let id = market.of_run(1).await.payout.id;
    let (reference, amount) = ("po_1".parse().unwrap(), gbp(10_000));
    market.bench.psp.knows(id.uuid(), Answer::Done { reference, amount, valid_until: None });
    market.bench.wait(2 * DAY);
    market.turns().await;
    let paid = market.of_run(1).await.payout;
    assert_eq!((paid.state, paid.reference.as_deref()), (PayoutState::Paid, Some("po_1")));
    assert_eq!((market.bench.psp.calls().len(), market.bench.psp.questions()), (0, 1));
    // What is not found is not sent any more once the key may be forgotten.
    let market = held_and_not_called(dialect).await;
    market.bench.wait(2 * DAY);
    for _ in 0..10 {
        market.turns().await;
        market.bench.wait(DAY);
    }
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Stuck);
    assert_eq!(market.bench.psp.calls(), [""; 0]);
    // Before that it is.
    let market = held_and_not_called(dialect).await;
    market.bench.wait(2 * 3_600);
    market.settle().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Paid);
    assert_eq!((market.bench.psp.calls().len(), market.bench.psp.questions()), (1, 1));
}

/// All that is left of a payout in the end.
type Left = (Vec<PayoutRow>, Vec<BookStep>, Vec<(OperationKind, i64)>, Vec<&'static str>);

async fn left(market: &Market) -> Left {
    let mut rows = market.all().await;
    for row in &mut rows {
        // When it was, and how often it was tried, is another matter.
        let (payout, schedule) = (&mut row.payout, &mut row.schedule);
        (payout.paid_at, row.updated_at, row.claim) = (None, payout.made_at, 0);
        (schedule.calls, schedule.first_call, schedule.last_call) = (1, None, None);
        schedule.due_at = payout.made_at;
    }
    let told = market.bench.published().await;
    (rows, market.shelf.steps(), market.bench.psp.effects(), told)
}

/// A payout by a process that ends when it comes to a point for the nth time, and by another then;
/// returns whether the first one ended.
async fn paid_although(dialect: Dialect, end: Option<(Point, usize)>) -> (Left, bool) {
    let market = Market::on(dialect).await;
    market.sold(10_000);
    market.asked(of_acme(1)).await.unwrap();
    let (ended, met) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
    let ends: Ends = {
        let ended = Arc::clone(&ended);
        Arc::new(move |point: Point, _: OperationKind| {
            let is_there = |(at, nth): (Point, usize)| {
                at == point && met.fetch_add(1, Ordering::SeqCst) == nth
            };
            let here = end.is_some_and(is_there);
            ended.fetch_or(here, Ordering::SeqCst);
            here
        })
    };
    let runner = market.runner_ending(ends);
    for _ in 0..20 {
        let done = runner.turn().await.unwrap();
        if done == 0 || ended.load(Ordering::SeqCst) {
            break;
        }
    }
    market.settle().await;
    (left(&market).await, ended.load(Ordering::SeqCst))
}

async fn an_end_at_any_point_of_a_payout_changes_nothing(dialect: Dialect) {
    let calm = paid_although(dialect, None).await.0;
    assert_eq!(calm.1, [BookStep::Hold, BookStep::Post]);
    assert_eq!(calm.2, [(PAYOUT, 10_000)]);
    for point in [Point::Read, Point::Calling, Point::Answered, Point::Committed] {
        // It is counted, held, called and posted: four times each.
        for nth in 0..4 {
            let (left, ended) = paid_although(dialect, Some((point, nth))).await;
            assert!(ended, "{point:?} {nth}");
            assert_eq!(left, calm, "{point:?} {nth}");
        }
    }
}

async fn an_end_while_the_provider_answers_changes_nothing(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.bench.psp.will(PAYOUT, [Act::Hang]);
    market.sold(10_000);
    market.asked(of_acme(1)).await.unwrap();
    let runner = market.runner();
    let turns = shared_events::stream::spawn(async move {
        for _ in 0..20 {
            runner.turn().await.unwrap();
        }
    });
    while !market.bench.psp.is_hanging() {
        tokio::task::yield_now().await;
    }
    turns.abort();
    assert!(turns.await.is_err());
    market.settle().await;
    let calm = paid_although(dialect, None).await.0;
    assert_eq!(left(&market).await, calm);
    assert_eq!(market.bench.psp.calls().len(), 1);
}

async fn runs_at_once_by_two_processes_pay_nothing_twice(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.sold(10_000);
    for number in 1..=4 {
        market.asked(of_acme(number)).await.unwrap();
    }
    let (one, other) = (market.runner(), market.runner());
    for _ in 0..30 {
        let (one, other) = tokio::join!(one.turn(), other.turn());
        one.unwrap();
        other.unwrap();
    }
    market.settle().await;
    assert_eq!(market.bench.psp.effects(), [(PAYOUT, 10_000)]);
    assert_eq!(market.shelf.steps(), [BookStep::Hold, BookStep::Post]);
    let all = market.all().await;
    let paid = all.iter().filter(|row| row.payout.state == PayoutState::Paid);
    assert_eq!(paid.count(), 1, "{all:?}");
}

async fn a_reserve_stays_with_the_shop(dialect: Dialect) {
    let mut market = Market::on(dialect).await;
    market.rules.reserve_bps = 1_000;
    market.rules.reserve_minimum.insert(pounds(), 500);
    market.sold(10_000);
    assert_eq!(market.runs(1).await, 1);
    assert_eq!(market.of_run(1).await.payout.amount, gbp(9_000));
    // It is a share of what was earned, and not drained by another run.
    market.bench.wait(DAY);
    assert_eq!(market.runs(2).await, 0);
    // After 90 days it is free, but for the least that stays.
    market.bench.wait(60 * DAY);
    assert_eq!(market.runs(3).await, 1);
    assert_eq!(market.of_run(3).await.payout.amount, gbp(500));
    assert_eq!(market.runs(4).await, 0);
}

async fn a_debt_is_carried_over_and_told_beyond_its_limit(dialect: Dialect) {
    let mut market = Market::on(dialect).await;
    let owed = async |market: &Market| -> Vec<i64> {
        let all: Vec<Debt> = store::debts(&market.bench.database, 10).await.unwrap();
        assert!(all.iter().all(|one| one.seller.as_str() == "acme"), "{all:?}");
        all.iter().map(|one| one.owed).collect()
    };
    market.sold(1_000);
    assert_eq!(market.runs(1).await, 1);
    market.shelf.debit("acme", 700);
    assert_eq!((market.runs(2).await, owed(&market).await), (0, vec![700]));
    market.shelf.credit("acme", 500);
    assert_eq!((market.runs(3).await, owed(&market).await), (0, vec![200]));
    // New sales pay it back first.
    market.shelf.credit("acme", 5_000);
    assert_eq!((market.runs(4).await, owed(&market).await), (0, vec![]));
    market.bench.wait(31 * DAY);
    assert_eq!(market.runs(5).await, 1);
    assert_eq!(market.of_run(5).await.payout.amount, gbp(4_800));
    // Up to here it is no alarm.
    market.rules.debt_max.insert(pounds(), 1_000);
    market.shelf.debit("acme", 1_000);
    assert_eq!((market.runs(6).await, owed(&market).await), (0, vec![]));
    market.shelf.debit("acme", 1);
    assert_eq!((market.runs(7).await, owed(&market).await), (0, vec![1_001]));
}

async fn a_provider_without_payouts_refuses_a_run(dialect: Dialect) {
    let psp = Scripted::able(Capabilities { payouts: false, ..CAPABLE });
    let market = Market::with(dialect, psp).await;
    let refused = market.asked(of_acme(1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason_of(&refused), Some(Reason::PayoutsNotSupported));
    // So it is where no provider is named.
    let market = Market::on(dialect).await;
    let edge = market.bench.payments.payout_edge();
    let refused = edge.run_payouts(Request::new(of_acme(1))).await.unwrap_err();
    assert_eq!(reason_of(&refused), Some(Reason::PayoutsNotSupported));
}

async fn a_person_says_what_became_of_a_stuck_payout(dialect: Dialect) {
    let market = Market::on(dialect).await;
    let other = |reference: &str| {
        let (reference, amount) = (reference.parse().unwrap(), gbp(1));
        Act::Say(Answer::Done { reference, amount, valid_until: None })
    };
    market.bench.psp.will(PAYOUT, [other("po_1"), other("po_2")]);
    market.sold(10_000);
    market.runs(1).await;
    let one = market.of_run(1).await.payout;
    assert_eq!((one.state, one.code.as_str()), (PayoutState::Stuck, OTHER_AMOUNT));
    assert_eq!(market.shelf.steps(), [BookStep::Hold]);
    let (first, count) = store::stuck_payouts(&market.bench.database).await.unwrap().unwrap();
    assert_eq!((first.payout.id, count), (one.id, 1));

    let edge = market.payments().payout_edge();
    let retry = || {
        let (payout_id, reason) = (one.id.to_string(), "a look".to_owned());
        Request::new(proto::RetryPayoutRequest { payout_id, reason, validate_only: false })
    };
    edge.retry_payout(retry()).await.unwrap();
    market.turns().await;
    assert_eq!(market.bench.psp.questions(), 1);
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Stuck);

    let not_paid = proto::ResolvePayoutRequest {
        payout_id: one.id.to_string(),
        paid: false,
        psp_reference: String::new(),
        code: "not_received".to_owned(),
        reason: "asked their support".to_owned(),
        validate_only: false,
    };
    let dry = proto::ResolvePayoutRequest { validate_only: true, ..not_paid.clone() };
    let would = edge.resolve_payout(Request::new(dry)).await.map(Response::into_inner).unwrap();
    let settling = i32::from(proto::PayoutState::Settling);
    assert_eq!(would.payout.unwrap().state, settling);
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Stuck);
    edge.resolve_payout(Request::new(not_paid.clone())).await.unwrap();
    market.turns().await;
    let back = market.of_run(1).await.payout;
    assert_eq!((back.state, back.code.as_str()), (PayoutState::Returned, "not_received"));
    // The same is known, anything else is too late.
    edge.resolve_payout(Request::new(not_paid.clone())).await.unwrap();
    let paid = |id: String| proto::ResolvePayoutRequest {
        payout_id: id,
        paid: true,
        psp_reference: "po_2".to_owned(),
        code: String::new(),
        ..not_paid.clone()
    };
    let late = edge.resolve_payout(Request::new(paid(one.id.to_string()))).await.unwrap_err();
    assert_eq!(reason_of(&late), Some(Reason::OperationNotStuck));
    let late = edge.retry_payout(retry()).await.unwrap_err();
    assert_eq!(reason_of(&late), Some(Reason::OperationNotStuck));

    // The next one was paid after all.
    market.runs(2).await;
    let second = market.of_run(2).await.payout;
    assert_eq!(second.state, PayoutState::Stuck);
    edge.resolve_payout(Request::new(paid(second.id.to_string()))).await.unwrap();
    market.turns().await;
    let second = market.of_run(2).await.payout;
    assert_eq!((second.state, second.reference.as_deref()), (PayoutState::Paid, Some("po_2")));
    let steps = [BookStep::Hold, BookStep::Void, BookStep::Hold, BookStep::Post];
    assert_eq!(market.shelf.steps(), steps);
    let actions = "SELECT COUNT(*) FROM operator_actions WHERE verb LIKE '%PAYOUT%'";
    let (actions,): (i64,) =
        sqlx::query_as(actions).fetch_one(market.bench.database.reader()).await.unwrap();
    assert_eq!(actions, 3, "a retry and two resolutions");
}

async fn a_book_that_is_away_is_asked_again(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.shelf.kept().away.extend([Away::After, Away::Before, Away::After]);
    market.sold(10_000);
    market.runs(1).await;
    market.settle().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Paid);
    assert_eq!(market.shelf.steps(), [BookStep::Hold, BookStep::Post]);
    assert_eq!(market.bench.psp.effects(), [(PAYOUT, 10_000)]);
    assert!(market.shelf.kept().away.is_empty());
}

async fn what_the_book_does_not_hold_is_not_paid(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.shelf.kept().refuses = Some(BookStep::Hold);
    market.sold(10_000);
    market.runs(1).await;
    let refused = market.of_run(1).await.payout;
    assert_eq!((refused.state, refused.code.as_str()), (PayoutState::Refused, "account_not_open"));
    assert_eq!(market.bench.psp.calls(), [""; 0]);
    assert_eq!(market.bench.published().await, [""; 0]);
    // It holds up no other.
    market.shelf.kept().refuses = None;
    assert_eq!(market.runs(2).await, 1);
    assert_eq!(market.of_run(2).await.payout.state, PayoutState::Paid);
}

async fn a_book_that_has_forgotten_payouts_pays_nobody_twice(dialect: Dialect) {
    let market = Market::on(dialect).await;
    for (number, minor) in [(1, 1_000), (2, 2_000), (3, 4_000)] {
        market.sold(minor);
        assert_eq!(market.runs(number).await, 1);
    }
    let before = market.shelf.steps();
    assert_eq!(market.bench.psp.effects(), [(PAYOUT, 1_000), (PAYOUT, 2_000), (PAYOUT, 4_000)]);
    // It has the first payout, and the second only as held.
    for (number, kept) in (10..).zip([3, 2, 1, 0]) {
        market.shelf.forgets_after(kept);
        assert_eq!(market.runs(number).await, 0);
        assert_eq!(market.bench.psp.effects().len(), 3);
        let steps = market.shelf.steps();
        assert_eq!(steps[..kept], before[..kept]);
        // What stands as held counts as spent as well.
        assert_eq!(steps.iter().filter(|step| **step == BookStep::Hold).count(), 3);
        market.shelf.forgets_after(0);
        assert_eq!(market.runs(number + 10).await, 0);
        assert_eq!(market.shelf.steps(), before);
    }
    // What cannot be booked again keeps the run waiting: nothing is paid meanwhile.
    market.shelf.forgets_after(2);
    market.shelf.kept().refuses = Some(BookStep::Hold);
    market.sold(8_000);
    market.asked(of_acme(30)).await.unwrap();
    market.turns().await;
    let run = store::payout_run(&market.bench.database, run_id(30)).await.unwrap().unwrap();
    assert!(run.note.contains("has forgotten payout"), "{}", run.note);
    assert_eq!(market.bench.psp.effects().len(), 3);
    market.shelf.kept().refuses = None;
    market.bench.wait(61);
    market.turns().await;
    assert_eq!(market.of_run(30).await.payout.amount, gbp(8_000));
}

async fn a_payout_on_its_way_is_booked_whole_in_an_older_book(dialect: Dialect) {
    for fails in [false, true] {
        let market = Market::on(dialect).await;
        market.bench.psp.will(PAYOUT, [accepted()]);
        market.sold(10_000);
        market.runs(1).await;
        let one = market.of_run(1).await.payout;
        assert_eq!(one.state, PayoutState::Submitted);
        market.shelf.forgets_after(0);
        let (reference, amount) = ("po_1".parse().unwrap(), gbp(10_000));
        let done = Answer::Done { reference, amount, valid_until: None };
        let (answer, state, last) = match fails {
            true => (declined("account_closed"), PayoutState::Returned, BookStep::Void),
            false => (done, PayoutState::Paid, BookStep::Post),
        };
        market.bench.psp.knows(one.id.uuid(), answer);
        market.bench.wait(DAY);
        market.turns().await;
        assert_eq!(market.of_run(1).await.payout.state, state);
        assert_eq!(market.shelf.steps(), [BookStep::Hold, last]);
    }
    // One that comes back after it was paid.
    let market = Market::on(dialect).await;
    market.sold(10_000);
    market.runs(1).await;
    let one = market.of_run(1).await.payout;
    market.shelf.forgets_after(0);
    market.bench.psp.knows(one.id.uuid(), declined("returned_by_bank"));
    market.bench.wait(DAY);
    market.turns().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Returned);
    assert_eq!(market.shelf.steps(), [BookStep::Hold, BookStep::Post, BookStep::Mirror]);
}

async fn a_webhook_has_the_provider_asked_at_once_however_late(dialect: Dialect) {
    let market = Market::on(dialect).await;
    let bench = &market.bench;
    bench.psp.will(PAYOUT, [accepted()]);
    market.sold(10_000);
    market.runs(1).await;
    let one = market.of_run(1).await.payout;
    assert_eq!(one.state, PayoutState::Submitted);
    let (reference, amount) = ("po_1".parse().unwrap(), gbp(10_000));
    bench.psp.knows(one.id.uuid(), Answer::Done { reference, amount, valid_until: None });
    let paid = json!({ "reference": "po_1", "amount": 10_000, "currency": "GBP" });
    tell(bench, "evt_1", "payout_paid", &paid).await;
    hear(bench).await;
    assert_eq!(kept(bench, "evt_1").await.state, WebhookState::Handled);
    market.turns().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Paid);
    // It is asked about for 14 days.
    for _ in 0..20 {
        bench.wait(DAY);
        market.turns().await;
    }
    assert_eq!(market.of_run(1).await.schedule.stage, Stage::Done);
    let asked = bench.psp.questions();
    assert!((14..=16).contains(&asked), "{asked}");
    // Later it is told.
    bench.psp.knows(one.id.uuid(), declined("returned_by_bank"));
    let failed = json!({ "our_reference": one.id.to_string(), "code": "returned_by_bank" });
    tell(bench, "evt_2", "payout_failed", &failed).await;
    hear(bench).await;
    market.turns().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Returned);
    let steps = [BookStep::Hold, BookStep::Post, BookStep::Mirror];
    assert_eq!(market.shelf.steps(), steps);
    // One about a payout that nobody knows waits.
    let unknown = json!({ "reference": "po_9", "amount": 1, "currency": "GBP" });
    tell(bench, "evt_3", "payout_paid", &unknown).await;
    hear(bench).await;
    assert_eq!(kept(bench, "evt_3").await.state, WebhookState::Waiting);
}

async fn the_name_that_a_webhook_tells_is_asked_for(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.bench.psp.will(PAYOUT, [Act::LoseAnswer]);
    market.sold(10_000);
    market.runs(1).await;
    let one = market.of_run(1).await.payout;
    assert_eq!((one.state, one.reference), (PayoutState::Collected, None));
    let told = json!({ "our_reference": one.id.to_string(), "reference": "po_7",
                       "amount": 10_000, "currency": "GBP" });
    tell(&market.bench, "evt_1", "payout_paid", &told).await;
    hear(&market.bench).await;
    assert_eq!(market.of_run(1).await.payout.reference.as_deref(), Some("po_7"));
    market.turns().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Paid);
}

async fn what_was_given_back_and_is_told_as_paid_is_for_a_person(dialect: Dialect) {
    let market = Market::on(dialect).await;
    market.bench.psp.will(PAYOUT, [Act::Say(declined("no_account"))]);
    market.sold(10_000);
    market.runs(1).await;
    let one = market.of_run(1).await.payout;
    assert_eq!(one.state, PayoutState::Returned);
    let ours = one.id.to_string();
    let paid = json!({ "our_reference": ours, "amount": 10_000, "currency": "GBP" });
    tell(&market.bench, "evt_1", "payout_paid", &paid).await;
    // That it failed is known.
    let failed = json!({ "our_reference": ours, "code": "no_account" });
    tell(&market.bench, "evt_2", "payout_failed", &failed).await;
    hear(&market.bench).await;
    let parked = kept(&market.bench, "evt_1").await;
    assert_eq!(parked.state, WebhookState::Parked);
    assert!(parked.note.contains("was given back to the seller"), "{}", parked.note);
    assert_eq!(kept(&market.bench, "evt_2").await.state, WebhookState::Handled);
    market.turns().await;
    assert_eq!(market.of_run(1).await.payout.state, PayoutState::Returned);
}

async fn all_sellers_are_paid_every_day_where_that_is_said(dialect: Dialect) {
    let mut market = Market::on(dialect).await;
    let mut story = Story::new();
    let asks = story.requested_of(&["acme", "zeta", "idle"], 1_000);
    market.bench.follow(&[asks]).await.unwrap();
    market.shelf.credit("zeta", 2_000);
    market.sold(1_000);
    let runs = async |market: &Market| -> i64 {
        market.turns().await;
        let count = "SELECT COUNT(*) FROM payout_runs";
        let reader = market.bench.database.reader();
        let (count,): (i64,) = sqlx::query_as(count).fetch_one(reader).await.unwrap();
        count
    };
    assert_eq!(runs(&market).await, 0);
    market.rules.daily_at = Some(Duration::from_secs(3 * 3_600));
    // It is midnight: the last time was yesterday.
    assert_eq!(runs(&market).await, 1);
    let mut paid = market.bench.psp.effects();
    paid.sort_unstable();
    assert_eq!(paid, [(PAYOUT, 1_000), (PAYOUT, 2_000)]);
    market.bench.wait(3 * 3_600 - 1);
    assert_eq!(runs(&market).await, 1);
    market.bench.wait(1);
    assert_eq!(runs(&market).await, 2);
    // Nobody was there for days: the last one is made up for.
    market.bench.wait(5 * DAY);
    assert_eq!(runs(&market).await, 3);
    assert_eq!(market.bench.psp.effects().len(), 2);
}

async fn a_slow_book_has_a_run_stored_before_another_process_takes_it_up(dialect: Dialect) {
    let market = Market::on(dialect).await;
    let mut story = Story::new();
    let sellers = ["a", "b", "c", "d", "e"];
    market.bench.follow(&[story.requested_of(&sellers, 1_000)]).await.unwrap();
    for seller in sellers {
        market.shelf.credit(seller, 1_000);
    }
    market.bench.wait(31 * DAY);
    market.shelf.kept().takes = 20;
    let seller = String::new();
    let all = proto::RunPayoutsRequest { seller, currency_code: String::new(), ..of_acme(1) };
    market.asked(all).await.unwrap();
    let run = async || store::payout_run(&market.bench.database, run_id(1)).await.unwrap().unwrap();
    market.runner().turn().await.unwrap();
    // A minute after it was taken up it would be another's.
    let after = run().await;
    assert_eq!(after.state, RunState::Running);
    assert_eq!(after.after.map(|(seller, _)| seller.to_string()).as_deref(), Some("b"));
    market.turns().await;
    assert_eq!((run().await.state, run().await.payouts), (RunState::Done, 5));
    assert_eq!(market.bench.psp.effects(), [(PAYOUT, 1_000); 5]);
}

async fn payouts_are_listed_page_by_page(dialect: Dialect) {
    let market = Market::on(dialect).await;
    let sellers = ["a", "b", "c", "d", "e"];
    for seller in sellers {
        market.shelf.credit(seller, 1_000);
    }
    market.bench.wait(31 * DAY);
    for (number, seller) in (1..).zip(sellers) {
        let seller = seller.to_owned();
        market.asked(proto::RunPayoutsRequest { seller, ..of_acme(number) }).await.unwrap();
    }
    market.turns().await;
    let edge = market.payments().payout_edge();
    let list = async |request: proto::ListPayoutsRequest| {
        edge.list_payouts(Request::new(request)).await.map(Response::into_inner)
    };
    let mut request = proto::ListPayoutsRequest {
        state: proto::PayoutState::Paid.into(),
        currency_code: "GBP".to_owned(),
        page_size: 2,
        ..proto::ListPayoutsRequest::default()
    };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = list(request.clone()).await.unwrap();
        pages += 1;
        found.extend(page.payouts.into_iter().map(|one| (one.payout_id, one.seller)));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(pages, 3);
    assert!(found.is_sorted(), "{found:?}");
    let mut names: Vec<&str> = found.iter().map(|(_, seller)| seller.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, sellers);
    // A token is of its list.
    request.state = proto::PayoutState::Returned.into();
    assert_eq!(list(request).await.unwrap_err().code(), Code::InvalidArgument);
    for (seller, run, count) in [("c", "", 1), ("x", "", 0), ("", "3", 1), ("a", "3", 0)] {
        let run_id = run.parse().map(|run: u128| run_id(run).to_string()).unwrap_or_default();
        let (seller, of) = (seller.to_owned(), proto::ListPayoutsRequest::default());
        let page = list(proto::ListPayoutsRequest { seller, run_id, ..of }).await.unwrap();
        assert_eq!(page.payouts.len(), count, "{run}");
    }
}

async fn a_run_has_one_meaning_for_each_id(dialect: Dialect) {
    let market = Market::on(dialect).await;
    let dry = proto::RunPayoutsRequest { validate_only: true, ..of_acme(1) };
    let would = market.asked(dry).await.unwrap();
    assert_eq!((would.run.unwrap().seller.as_str(), would.replayed), ("acme", false));
    assert_eq!(store::payout_run(&market.bench.database, run_id(1)).await.unwrap(), None);
    market.asked(of_acme(1)).await.unwrap();
    let seller = "zeta".to_owned();
    let other = proto::RunPayoutsRequest { seller, ..of_acme(1) };
    let other = market.asked(other).await.unwrap_err();
    assert_eq!(reason_of(&other), Some(Reason::IdempotencyKeyReused));
    let edge = market.payments().payout_edge();
    let run_id = run_id(9).to_string();
    let unknown = edge.get_payout_run(Request::new(proto::GetPayoutRunRequest { run_id })).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

on_both!(
    what_is_old_enough_is_paid_once,
    what_is_accepted_is_not_paid_and_comes_back_once,
    what_comes_back_after_it_was_paid_is_mirrored_once,
    a_provider_that_says_no_gives_it_back,
    a_lost_answer_is_asked_for_before_anything_is_sent_again,
    older_payments_ask_before_they_call,
    an_end_at_any_point_of_a_payout_changes_nothing,
    an_end_while_the_provider_answers_changes_nothing,
    runs_at_once_by_two_processes_pay_nothing_twice,
    a_reserve_stays_with_the_shop,
    a_debt_is_carried_over_and_told_beyond_its_limit,
    a_provider_without_payouts_refuses_a_run,
    a_person_says_what_became_of_a_stuck_payout,
    a_book_that_is_away_is_asked_again,
    what_the_book_does_not_hold_is_not_paid,
    a_book_that_has_forgotten_payouts_pays_nobody_twice,
    a_payout_on_its_way_is_booked_whole_in_an_older_book,
    a_webhook_has_the_provider_asked_at_once_however_late,
    the_name_that_a_webhook_tells_is_asked_for,
    what_was_given_back_and_is_told_as_paid_is_for_a_person,
    all_sellers_are_paid_every_day_where_that_is_said,
    a_slow_book_has_a_run_stored_before_another_process_takes_it_up,
    payouts_are_listed_page_by_page,
    a_run_has_one_meaning_for_each_id,
);
