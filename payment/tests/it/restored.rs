//! A journal, or payments, that continue from an earlier state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use payment::PaymentError;
use payment::domain::{Observation, OperationKind, Rejection, Status, VANISHED_NOTE};
use payment::store::{self, PaymentFilter};
use psp::Answer;
use shared_events::contract::{
    CapturePolicy, CustomerId, Fact, FactBody, FactId, OrderFact, ReturnId,
};
use shared_events::stream::{Cursors, Dialect, Handler as _, Source as _};
use uuid::Uuid;

use crate::on_both::on_both;
use crate::scripted::Act;
use crate::support::{Bench, Story, gbp};

const FULFIL: CapturePolicy = CapturePolicy::OnFulfil;
const AUTHORIZE: OperationKind = OperationKind::Authorize;
const CAPTURE: OperationKind = OperationKind::Capture;
const REFUND: OperationKind = OperationKind::Refund;
const VOID: OperationKind = OperationKind::Void;
/// How long something may take before it is said to hang.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shard of all stories.
const SHARD: u16 = 3;

/// The journal continues after this position.
async fn set_back(bench: &Bench, position: u64) {
    let mut tx = bench.database.begin().await.unwrap();
    let from: Cursors = [(SHARD, 100)].into_iter().collect();
    let to: Cursors = [(SHARD, position)].into_iter().collect();
    let mut follower = bench.payments.follower();
    let begins = follower.set_back(&mut tx, &from, &to).await.unwrap();
    assert_eq!(begins, to);
    tx.commit().await.unwrap();
}

/// The journal was read to its end.
async fn read_again(bench: &Bench) {
    let mut follower = bench.payments.follower();
    assert!(follower.is_in_doubt(), "a process that begins does not know");
    // Once to decide, and once to find that nothing is left.
    for _ in 0..2 {
        let mut tx = bench.database.begin().await.unwrap();
        follower.read_again(&mut tx, &BTreeSet::from([SHARD])).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert!(!follower.is_in_doubt());
}

/// How often a kind of operation had an effect at the provider, and over how much in all.
fn effect(bench: &Bench, kind: OperationKind) -> (usize, i64) {
    let all: Vec<i64> = bench
        .psp
        .effects()
        .into_iter()
        .filter(|(known, _)| *known == kind)
        .map(|(_, minor)| minor)
        .collect();
    (all.len(), all.into_iter().sum())
}

async fn facts(bench: &Bench) -> Vec<Fact> {
    bench.payments.facts().read_after(&Cursors::default(), 10_000).await.unwrap().items
}

async fn money_of_orders_that_the_journal_lost_is_set_right(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (mut kept, mut lost) = (Story::new(), Story::new());
    let asked = kept.requested(5_000, FULFIL);
    bench.follow(&[asked.clone(), lost.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(kept.order_id, 1).await.unwrap();
    bench.pay(lost.order_id, 2).await.unwrap();
    bench.follow(&[lost.confirmed(), lost.shipped(2_000)]).await.unwrap();
    bench.settle().await;
    let before = bench.case(kept.order_id).await;
    set_back(&bench, 0).await;
    bench.settle().await;
    let in_doubt = bench.case(lost.order_id).await;
    assert!(!in_doubt.vanished, "nothing is decided before the journal was read again");

    bench.follow(&[asked]).await.unwrap();
    read_again(&bench).await;
    bench.settle().await;
    assert_eq!(bench.case(kept.order_id).await, before);
    let effects = bench.psp.effects();
    assert_eq!(effects.iter().filter(|(kind, _)| *kind == VOID).count(), 1);
    assert_eq!(effects.len(), 4, "nothing is paid back by itself: {effects:?}");
    let stuck = store::stuck(&bench.database, "", 10).await.unwrap();
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    assert_eq!(
        (stuck[0].order_id, stuck[0].schedule.note.as_str()),
        (lost.order_id, VANISHED_NOTE)
    );
    bench.laws_hold().await;

    // A person paid it back.
    let seen =
        Observation::Done { reference: "re_1".to_owned(), amount: gbp(2_000), valid_until: None };
    bench.resolve(&stuck[0], seen).await;
    read_again(&bench).await;
    bench.settle().await;
    let case = bench.case(lost.order_id).await;
    assert_eq!((case.payments[0].status(), case.payments[0].refunded()), (Status::Refunded, 2_000));
    assert_eq!(bench.psp.effects().len(), 4);
    let last = bench.published().await.pop();
    assert_eq!(last, Some("payment.refunded.v1"), "the ledger hears of it");
    bench.laws_hold().await;
}

async fn a_journal_that_kept_the_orders_changes_nothing(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    let asked = story.requested(5_000, FULFIL);
    bench.follow(std::slice::from_ref(&asked)).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.settle().await;
    let before = (bench.case(story.order_id).await, bench.published().await);
    // What was lost came after it asked.
    set_back(&bench, asked.position).await;
    read_again(&bench).await;
    // What was lost is there again.
    set_back(&bench, 0).await;
    bench.follow(&[asked]).await.unwrap();
    read_again(&bench).await;
    bench.settle().await;
    assert_eq!((bench.case(story.order_id).await, bench.published().await), before);
    bench.laws_hold().await;
}

/// Its shop sends it again as soon as the journal takes orders, perhaps before payments have read
/// that the first one is gone.
async fn an_order_that_is_placed_again_at_once_is_another_one(dialect: Dialect) {
    for decided_before in [false, true] {
        let bench = Bench::on(dialect).await;
        let mut story = Story::new();
        bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
        bench.pay(story.order_id, 1).await.unwrap();
        bench.settle().await;
        set_back(&bench, 0).await;
        if decided_before {
            read_again(&bench).await;
        }
        bench.follow(&[story.requested(6_000, FULFIL)]).await.unwrap();
        read_again(&bench).await;
        bench.settle().await;
        let case = bench.case(story.order_id).await;
        assert!(!case.vanished && !case.secured, "it is to be paid anew");
        let again = bench.pay(story.order_id, 1).await.unwrap_err();
        assert!(matches!(again, PaymentError::Rejected(Rejection::AttemptOfLost)), "{again}");
        bench.pay(story.order_id, 2).await.unwrap();
        bench.settle().await;
        assert_eq!(bench.psp.effects(), [(AUTHORIZE, 5_000), (VOID, 0), (AUTHORIZE, 6_000)]);
        let all = facts(&bench).await;
        let ids: BTreeSet<FactId> = all.iter().map(|fact| fact.id).collect();
        assert_eq!(ids.len(), all.len(), "what is told anew has an id of its own");
        let told = bench.published().await;
        assert_eq!(told.iter().filter(|kind| **kind == "payment.secured.v1").count(), 2);
        bench.laws_hold().await;
    }
}

/// The order is lost before the provider is called, or while its customer acts at their bank.
async fn an_attempt_of_a_lost_order_goes_no_further(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    set_back(&bench, 0).await;
    bench.follow(&[story.requested(6_000, FULFIL)]).await.unwrap();
    bench.settle().await;
    assert!(bench.psp.effects().is_empty());
    bench.laws_hold().await;

    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    let (reference, url) = ("psp_0".parse().unwrap(), "https://bank.example/act".to_owned());
    bench.psp.will(AUTHORIZE, [Act::Say(Answer::ActionRequired { reference, url })]);
    bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.turns().await;
    let order = story.order_id;
    let acts = async || store::actions(&bench.database, order).await.unwrap().len();
    assert_eq!(acts().await, 1);
    set_back(&bench, 0).await;
    bench.follow(&[story.requested(6_000, FULFIL)]).await.unwrap();
    assert_eq!(acts().await, 0);
    // Nor is it shown once the provider says it again.
    let questions = bench.psp.questions();
    bench.wait(61);
    bench.turns().await;
    assert!(bench.psp.questions() > questions);
    assert_eq!(acts().await, 0);
    bench.laws_hold().await;
}

/// Another customer places it, who pays at another provider.
async fn what_was_reserved_is_given_back_where_it_was(dialect: Dialect) {
    for decided_before in [false, true] {
        let bench = Bench::on(dialect).await;
        let mut story = Story::new();
        bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
        bench.pay(story.order_id, 1).await.unwrap();
        bench.settle().await;
        set_back(&bench, 0).await;
        if decided_before {
            read_again(&bench).await;
        }
        let mut asked = story.requested(6_000, FULFIL);
        let FactBody::Order(OrderFact::PaymentRequested { order, psp, .. }) = &mut asked.body
        else {
            panic!("not a request")
        };
        order.customer_id = CustomerId::from_uuid(Uuid::from_u128(8));
        *psp = "other".parse().unwrap();
        let (customer, psp) = (order.customer_id, psp.clone());
        bench.follow(&[asked]).await.unwrap();
        read_again(&bench).await;
        bench.settle().await;
        assert_eq!(bench.psp.effects(), [(AUTHORIZE, 5_000), (VOID, 0)]);
        assert_eq!(bench.operation(VOID).await.psp.as_str(), "scripted");
        bench.pay(story.order_id, 2).await.unwrap();
        let rows = store::operations_after(&bench.database, "", 10).await.unwrap();
        let at = |row: &store::OperationRow| row.kind == AUTHORIZE && row.psp == psp;
        assert_eq!(rows.iter().filter(|row| at(row)).count(), 1, "{rows:?}");
        let all = store::payments(&bench.database, &PaymentFilter::default(), 10).await.unwrap();
        assert_eq!((all[0].customer_id, &all[0].psp, all[0].requested), (customer, &psp, 6_000));
        bench.laws_hold().await;
    }
}

/// The journal still has the order, and not its last events. What the order says anew may be read
/// before it is known that they are gone.
async fn parcels_and_returns_of_the_lost_history_move_nothing_twice(dialect: Dialect) {
    for decided_before in [false, true] {
        let bench = Bench::on(dialect).await;
        let mut story = Story::new();
        let asked = story.requested(5_000, FULFIL);
        bench.follow(std::slice::from_ref(&asked)).await.unwrap();
        bench.pay(story.order_id, 1).await.unwrap();
        bench.settle().await;
        let shipped = story.shipped(5_000);
        bench.follow(&[shipped]).await.unwrap();
        bench.settle().await;
        bench.follow(&[story.refunded(2_000)]).await.unwrap();
        bench.settle().await;
        assert_eq!(effect(&bench, CAPTURE), (1, 5_000));
        assert_eq!(effect(&bench, REFUND), (1, 2_000));

        set_back(&bench, asked.position).await;
        if decided_before {
            read_again(&bench).await;
        }
        let again = [story.shipped(3_000), story.shipped(2_000), story.refunded(2_000)];
        bench.follow(&again).await.unwrap();
        read_again(&bench).await;
        bench.settle().await;
        assert_eq!(effect(&bench, CAPTURE), (1, 5_000), "{decided_before}");
        assert_eq!(effect(&bench, REFUND), (1, 2_000), "{decided_before}");
        assert_eq!(effect(&bench, VOID).0, 0);
        let case = bench.case(story.order_id).await;
        assert_eq!((case.payments[0].demands.len(), case.refunds.len()), (2, 1));
        let told = bench.published().await;
        let settled = told.iter().filter(|kind| **kind == "refund.settled.v1").count();
        assert_eq!(settled, 2, "the order that asks again is told again");
        let ids: BTreeSet<FactId> = facts(&bench).await.iter().map(|fact| fact.id).collect();
        assert_eq!(ids.len(), told.len());
        bench.laws_hold().await;
    }
}

/// The journal lost the approval of a return, and not its request: another fact approves it, over
/// as much or over more. It may be read before it is known that the first one is gone.
async fn a_return_that_another_fact_approves_is_paid_back_once(dialect: Dialect) {
    for (decided_before, minor) in [(false, 2_000), (true, 2_000), (false, 2_500), (true, 2_500)] {
        let bench = Bench::on(dialect).await;
        let mut story = Story::new();
        bench.follow(&[story.requested(5_000, FULFIL)]).await.unwrap();
        bench.pay(story.order_id, 1).await.unwrap();
        bench.settle().await;
        let shipped = story.shipped(5_000);
        bench.follow(std::slice::from_ref(&shipped)).await.unwrap();
        bench.settle().await;
        let return_id = ReturnId::mint();
        bench.follow(&[story.approved(return_id, 2_000)]).await.unwrap();
        bench.settle().await;
        assert_eq!(effect(&bench, REFUND), (1, 2_000));

        set_back(&bench, shipped.position).await;
        if decided_before {
            read_again(&bench).await;
        }
        bench.follow(&[story.approved(return_id, minor)]).await.unwrap();
        read_again(&bench).await;
        bench.settle().await;
        let times = if minor == 2_000 { 1 } else { 2 };
        assert_eq!(effect(&bench, REFUND), (times, minor), "{decided_before}");
        let case = bench.case(story.order_id).await;
        assert_eq!(case.unheard, 1, "{decided_before}");
        let asked: Vec<i64> = case.refunds[0].parts.iter().map(|(_, minor)| *minor).collect();
        assert_eq!((case.refunds.len(), asked), (1, vec![minor]));
        let told = bench.published().await;
        let settled = told.iter().filter(|kind| **kind == "refund.settled.v1").count();
        assert_eq!(settled, 2, "the order that approves it again is told again");
        bench.laws_hold().await;
    }
}

/// Of orders from before it was kept by which fact they asked, their request says nothing new.
async fn a_request_that_is_read_again_forgets_nothing(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    let asked = story.requested(5_000, FULFIL);
    bench.follow(std::slice::from_ref(&asked)).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.settle().await;
    let shipped = story.shipped(2_000);
    bench.follow(std::slice::from_ref(&shipped)).await.unwrap();
    bench.settle().await;
    let before = bench.case(story.order_id).await;
    let mut tx = bench.database.begin().await.unwrap();
    let sql = "UPDATE cases SET asked_position = NULL, asked_by = NULL";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();

    set_back(&bench, 0).await;
    bench.follow(&[asked]).await.unwrap();
    assert_eq!(bench.case(story.order_id).await, before);
    bench.follow(&[shipped]).await.unwrap();
    read_again(&bench).await;
    assert_eq!(bench.case(story.order_id).await, before);
    bench.laws_hold().await;
}

/// The order asks again while another process decides about what is gone. Its parcel is decided
/// about later.
async fn what_is_in_doubt_of_an_order_that_is_there_stays_in_doubt(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    let asked = story.requested(5_000, FULFIL);
    bench.follow(std::slice::from_ref(&asked)).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.settle().await;
    bench.follow(&[story.shipped(2_000)]).await.unwrap();
    bench.settle().await;
    set_back(&bench, 0).await;

    let (mut hears, mut decides) = (bench.payments.follower(), bench.payments.follower());
    let mut first = bench.database.begin().await.unwrap();
    hears.handle(&mut first, &[asked]).await.unwrap();
    let decided = async {
        // On SQLite it waits here.
        let mut tx = bench.database.begin().await.unwrap();
        decides.read_again(&mut tx, &BTreeSet::from([SHARD])).await.unwrap();
        tx.commit().await.unwrap();
    };
    let heard = async {
        if dialect == Dialect::Postgres {
            waits_for_a_lock(&bench).await;
        }
        first.commit().await.unwrap();
    };
    tokio::join!(decided, heard);
    read_again(&bench).await;
    let case = bench.case(story.order_id).await;
    assert!(!case.vanished);
    assert_eq!((case.payments[0].demands.len(), case.payments[0].captured()), (0, 2_000));
    bench.laws_hold().await;
}

/// One of the sessions of this Postgres database waits for another.
async fn waits_for_a_lock(bench: &Bench) {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE application_name = $1 AND wait_event_type = 'Lock'";
    let waits = async {
        loop {
            let query = sqlx::query_as(sql).bind(bench.database.session_name().to_owned());
            let (count,): (i64,) = query.fetch_one(bench.database.reader()).await.unwrap();
            if count > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("nobody waits for a lock");
}

/// What was in doubt is read again, also in part, and by a process that begins in between.
async fn what_the_journal_holds_after_all_is_not_forgotten(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    let mut story = Story::new();
    let asked = story.requested(5_000, FULFIL);
    bench.follow(std::slice::from_ref(&asked)).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.settle().await;
    let parcels = [story.shipped(2_000), story.shipped(1_000)];
    bench.follow(&parcels).await.unwrap();
    bench.settle().await;
    let before = bench.case(story.order_id).await;
    set_back(&bench, asked.position).await;
    bench.follow(&parcels[..1]).await.unwrap();
    bench.restart();
    bench.follow(&parcels[1..]).await.unwrap();
    read_again(&bench).await;
    assert_eq!(bench.case(story.order_id).await, before);
    // Then only the second one is lost.
    set_back(&bench, parcels[0].position).await;
    read_again(&bench).await;
    let case = bench.case(story.order_id).await;
    assert_eq!(case.payments[0].demands.len(), 1);
    assert_eq!(case.payments[0].captured(), 3_000, "money that moved stays moved");
    bench.laws_hold().await;
}

/// Nothing is sent for money that was given back for a cancellation which the journal lost.
async fn an_order_whose_cancellation_is_lost_is_told_that_its_money_is(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let mut story = Story::new();
    let asked = story.requested(5_000, FULFIL);
    bench.follow(std::slice::from_ref(&asked)).await.unwrap();
    bench.pay(story.order_id, 1).await.unwrap();
    bench.settle().await;
    bench.follow(&[story.cancelled(5_000)]).await.unwrap();
    bench.settle().await;
    assert_eq!(effect(&bench, VOID).0, 1);
    set_back(&bench, asked.position).await;
    read_again(&bench).await;
    assert_eq!(bench.published().await.pop(), Some("payment.lost.v1"));
    bench.pay(story.order_id, 2).await.unwrap();
    bench.settle().await;
    assert_eq!(bench.published().await.pop(), Some("payment.secured.v1"));
    assert_eq!(effect(&bench, AUTHORIZE), (2, 10_000));
    bench.laws_hold().await;
}

/// The ids of what is told of these orders, one after the other, by kind. Until when money is secured
/// depends on when it is found.
async fn ids_after(
    bench: &Bench,
    orders: [&[Fact]; 2],
) -> BTreeMap<&'static str, BTreeSet<FactId>> {
    for of_order in orders {
        bench.follow(&of_order[..1]).await.unwrap();
        let order = of_order[0].body.order_id().unwrap();
        bench.pay(order, order.uuid().as_u128()).await.unwrap();
        bench.settle().await;
        for fact in &of_order[1..] {
            bench.follow(std::slice::from_ref(fact)).await.unwrap();
            bench.settle().await;
        }
    }
    let mut ids: BTreeMap<&'static str, BTreeSet<FactId>> = BTreeMap::new();
    let all = facts(bench).await;
    for fact in all.iter().filter(|fact| fact.body.kind() != "payment.secured.v1") {
        ids.entry(fact.body.kind()).or_default().insert(fact.id);
    }
    ids
}

/// Payments alone are restored, hear in another order and later, and find at the provider what they
/// had done: those who heard of it before know it.
async fn restored_payments_tell_what_was_done_under_the_same_ids(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    let (mut story, mut other) = (Story::new(), Story::new());
    let of_story = [story.requested(5_000, FULFIL), story.shipped(2_000), story.refunded(500)];
    let of_other = [other.requested(1_000, FULFIL)];
    let first = ids_after(&bench, [&of_story[..], &of_other[..]]).await;
    let restored = Bench::on(dialect).await;
    restored.wait(7);
    let second = ids_after(&restored, [&of_other[..], &of_story[..]]).await;
    assert_eq!(first, second);
    assert!(first.contains_key("payment.captured.v1") && first.contains_key("refund.settled.v1"));
    assert_eq!(bench.psp.effects().iter().filter(|(kind, _)| *kind == CAPTURE).count(), 1);
}

on_both! {
    money_of_orders_that_the_journal_lost_is_set_right,
    a_journal_that_kept_the_orders_changes_nothing,
    an_order_that_is_placed_again_at_once_is_another_one,
    an_attempt_of_a_lost_order_goes_no_further,
    what_was_reserved_is_given_back_where_it_was,
    parcels_and_returns_of_the_lost_history_move_nothing_twice,
    a_return_that_another_fact_approves_is_paid_back_once,
    a_request_that_is_read_again_forgets_nothing,
    what_is_in_doubt_of_an_order_that_is_there_stays_in_doubt,
    what_the_journal_holds_after_all_is_not_forgotten,
    an_order_whose_cancellation_is_lost_is_told_that_its_money_is,
    restored_payments_tell_what_was_done_under_the_same_ids,
}
