//! What orders make of the answers of payments, and of stock where there are payments.

use std::collections::BTreeSet;

use order_actor::actor::{Limits, Refusal, Registry};
use order_actor::domain::{
    Cancel, Command, Compensation, LineQuantity, Order, PaymentPlan, PaymentStatus, Place, Status,
};
use order_actor::inbox::{MoneyAnswers, StockAnswers};
use order_actor::journal::NewEvent;
use order_actor::projections::migrator;
use shared_events::contract::{
    CancelReason, CapturePolicy, CustomerId, Fact, FactBody, FactId, InventoryFact, LossCause,
    Money, OperationId, OrderId, Origin, PaymentFact, PaymentHeader, PaymentId, Quantity, RefundId,
    ReservationId, Timestamp,
};
use shared_events::stream::{Blame, Database, Dialect, Handler};
use uuid::Uuid;

use crate::actors::{in_memory, ops};
use crate::domain::payments::a_plan;
use crate::domain::support::{address, contact, gbp, new_line};
use crate::stock_answers::is_of_the_first;

fn fact(position: u64, order_id: OrderId, body: FactBody) -> Fact {
    let event = (order_id.into(), position);
    let at = Timestamp::default();
    let id = FactId::of_event(Origin::Payments, event, (0, position), at, 0);
    Fact::new(id, (0, position, 0), position, at, body)
}

fn payment(position: u64, fact_of: PaymentFact) -> Fact {
    let order_id = fact_of.order_id().unwrap();
    fact(position, order_id, FactBody::Payment(fact_of))
}

fn stock(position: u64, fact_of: InventoryFact) -> Fact {
    fact(position, fact_of.order_id(), FactBody::Inventory(fact_of))
}

fn reserved(position: u64, order_id: OrderId, reservation_id: ReservationId) -> Fact {
    let (lines, backordered) = (Vec::new(), Vec::new());
    stock(position, InventoryFact::Reserved { order_id, reservation_id, lines, backordered })
}

fn released(position: u64, order_id: OrderId) -> Fact {
    stock(position, InventoryFact::Released { order_id, lines: Vec::new() })
}

pub fn secured(position: u64, order_id: OrderId, minor: i64) -> Fact {
    let (amount, valid_until) = (gbp(minor), Timestamp::from_micros(i64::MAX / 4));
    let payments = Vec::new();
    payment(position, PaymentFact::Secured { order_id, amount, valid_until, payments })
}

fn failed(position: u64, order_id: OrderId) -> Fact {
    let (payment_id, seller, reason) = (None, None, "insufficient_funds".to_owned());
    payment(position, PaymentFact::Failed { order_id, payment_id, seller, reason })
}

/// Hands a batch of facts to a follower.
async fn hear(mut handler: impl Handler<Fact>, facts: &[Fact]) -> Result<(), Blame> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let database = Database::sqlite(&path, &migrator(Dialect::Sqlite)).await.unwrap();
    let mut tx = database.begin().await.unwrap();
    handler.handle(&mut tx, facts).await
}

async fn money(registry: &Registry, facts: &[Fact]) -> Result<(), Blame> {
    // A batch that is repeated changes nothing.
    hear(MoneyAnswers::new(registry.clone()), facts).await?;
    hear(MoneyAnswers::new(registry.clone()), facts).await
}

async fn goods(registry: &Registry, facts: &[Fact]) -> Result<(), Blame> {
    hear(StockAnswers::new(registry.clone()).and_compensates(), facts).await?;
    hear(StockAnswers::new(registry.clone()).and_compensates(), facts).await
}

pub async fn order(registry: &Registry, order_id: OrderId) -> Order {
    registry.view(order_id, &ops().by).await.unwrap().order.as_ref().clone()
}

async fn placed(registry: &Registry, plan: Option<PaymentPlan>) -> OrderId {
    let order_id = OrderId::mint();
    let lines = vec![new_line("MUG", 2, gbp(1_000))];
    let place = Place {
        payment: plan.map(Box::new),
        ..Place::plain((order_id, CustomerId::mint()), lines, (address(), contact()))
    };
    registry.execute(order_id, Command::from(place), ops()).await.unwrap();
    order_id
}

#[tokio::test]
async fn whichever_of_stock_and_money_comes_last_confirms_once() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let order_id = placed(&registry, Some(a_plan())).await;
    goods(&registry, &[reserved(1, order_id, ReservationId::mint())]).await.unwrap();
    let now = order(&registry, order_id).await;
    assert_eq!(
        (now.status(), now.payment_status()),
        (Some(Status::Pending), PaymentStatus::Awaited)
    );
    money(&registry, &[secured(2, order_id, 2_000)]).await.unwrap();
    let now = order(&registry, order_id).await;
    let (confirmed, paid) = (Some(Status::Confirmed), PaymentStatus::Secured);
    assert_eq!((now.status(), now.payment_status()), (confirmed, paid));
    assert_eq!(now.details().unwrap().events, 4);

    let order_id = placed(&registry, Some(a_plan())).await;
    money(&registry, &[secured(3, order_id, 2_000)]).await.unwrap();
    goods(&registry, &[reserved(4, order_id, ReservationId::mint())]).await.unwrap();
    let now = order(&registry, order_id).await;
    assert_eq!((now.status(), now.details().unwrap().events), (confirmed, 3));
}

#[tokio::test]
async fn a_failure_cancels_and_a_late_success_is_passed_over() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let order_id = placed(&registry, Some(a_plan())).await;
    goods(&registry, &[reserved(1, order_id, ReservationId::mint())]).await.unwrap();
    money(&registry, &[failed(2, order_id), secured(3, order_id, 2_000)]).await.unwrap();
    let Order::Cancelled(cancelled) = order(&registry, order_id).await else { panic!() };
    assert_eq!(cancelled.reason, CancelReason::PaymentFailed);
    assert_eq!(cancelled.text, "insufficient_funds");

    let money_back = payment(4, PaymentFact::Released { order_id });
    money(&registry, &[money_back]).await.unwrap();
    let running = order(&registry, order_id).await.compensation();
    assert!(matches!(running, Compensation::Running(open) if open.stock && !open.money));
    goods(&registry, &[released(5, order_id)]).await.unwrap();
    let now = order(&registry, order_id).await;
    assert_eq!(now.compensation(), Compensation::Done);
    assert_eq!(now.payment_status(), PaymentStatus::Released);
    assert_eq!(now.details().unwrap().events, 5);
}

#[tokio::test]
async fn stock_of_orders_without_a_plan_is_released_without_an_event() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let order_id = placed(&registry, None).await;
    let facts = [reserved(1, order_id, ReservationId::mint()), released(2, order_id)];
    goods(&registry, &facts).await.unwrap();
    assert_eq!(order(&registry, order_id).await.details().unwrap().events, 2);
}

#[tokio::test]
async fn units_freed_of_orders_that_cannot_note_it_stop_nothing() {
    let (registry, journal, _) = in_memory(Limits::default()).await;
    let (unknown, quarantined) = (OrderId::mint(), OrderId::mint());
    let nonsense = "{\"OrderTeleported\":{}}";
    let nonsense = NewEvent::from_json("OrderConfirmed", "1", nonsense, "{}").unwrap();
    journal.append(quarantined, 0, vec![nonsense]).await.unwrap();
    let refused = registry.view(quarantined, &ops().by).await.unwrap_err();
    assert!(matches!(refused, Refusal::Quarantined(_)), "{refused:?}");
    goods(&registry, &[released(1, unknown), released(2, quarantined)]).await.unwrap();
}

/// Of an event of the order with this version.
fn freed_by(version: u64, position: u64, order_id: OrderId) -> Fact {
    let cause = FactId::at(Origin::Orders, 0, version, 0);
    let body = FactBody::Inventory(InventoryFact::Released { order_id, lines: Vec::new() });
    let id = FactId::caused_by(Origin::Inventory, cause, body.kind(), 0);
    Fact::new(id, (0, position, 0), version, Timestamp::default(), body)
        .caused(Some(cause.to_string()), None)
}

#[tokio::test]
async fn units_of_an_earlier_cancellation_are_not_those_of_the_order() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let order_id = placed(&registry, Some(a_plan())).await;
    goods(&registry, &[reserved(1, order_id, ReservationId::mint())]).await.unwrap();
    let one = LineQuantity { line: 1, quantity: Quantity::new(1).unwrap() };
    for lines in [vec![one], Vec::new()] {
        let (reason, text, skus) = (CancelReason::CustomerRequest, String::new(), Vec::new());
        let cancel = Command::Cancel(Cancel { reason, text, lines, skus });
        registry.execute(order_id, cancel, ops()).await.unwrap();
    }
    let now = order(&registry, order_id).await;
    assert_eq!((now.status(), now.details().unwrap().events), (Some(Status::Cancelled), 4));
    let stock_waits = |order: &Order| match order.compensation() {
        Compensation::Running(open) => open.stock,
        other => panic!("{other:?}"),
    };
    // Of the unit, which was cancelled first.
    goods(&registry, &[freed_by(3, 2, order_id)]).await.unwrap();
    assert!(stock_waits(&order(&registry, order_id).await));
    goods(&registry, &[freed_by(4, 3, order_id)]).await.unwrap();
    assert!(!stock_waits(&order(&registry, order_id).await));
    assert_eq!(order(&registry, order_id).await.details().unwrap().events, 5);
}

#[tokio::test]
async fn stock_that_is_held_is_taken_back_by_its_own_withdrawal_only() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let reservation = ReservationId::mint();
    let rejected = |position, order_id, reservation_id| {
        let skus = vec!["MUG".parse().unwrap()];
        stock(position, InventoryFact::Rejected { order_id, skus, reservation_id })
    };
    let order_id = placed(&registry, Some(a_plan())).await;
    goods(&registry, &[reserved(1, order_id, reservation)]).await.unwrap();
    let blame = goods(&registry, &[rejected(2, order_id, None)]).await.unwrap_err();
    assert!(is_of_the_first(&blame), "{blame:?}");
    goods(&registry, &[rejected(3, order_id, Some(reservation))]).await.unwrap();
    assert_eq!(order(&registry, order_id).await.status(), Some(Status::Cancelled));
}

#[tokio::test]
async fn money_that_is_lost_or_taken_is_noted_where_the_order_needs_it() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let plan = PaymentPlan {
        capture: CapturePolicy::OnConfirm,
        ship_when: order_actor::domain::ShipWhen::Captured,
        ..a_plan()
    };
    let order_id = placed(&registry, Some(plan)).await;
    goods(&registry, &[reserved(1, order_id, ReservationId::mint())]).await.unwrap();
    let lost = payment(3, PaymentFact::Lost { order_id, cause: LossCause::Expired });
    money(&registry, &[secured(2, order_id, 2_000), lost]).await.unwrap();
    assert_eq!(order(&registry, order_id).await.payment_status(), PaymentStatus::Lost);
    let header = |amount: Money| PaymentHeader {
        order_id,
        payment_id: PaymentId::of(order_id, None),
        seller: None,
        psp: "stripe".parse().unwrap(),
        amount,
        operation_id: OperationId::from_uuid(Uuid::from_u128(1)),
        cause: Uuid::from_u128(2),
        at: Timestamp::default(),
    };
    let captured =
        |capture| PaymentFact::Captured { payment: header(gbp(2_000)), fee: gbp(0), capture };
    let facts = [
        secured(4, order_id, 2_000),
        payment(5, captured(CapturePolicy::OnFulfil)),
        payment(6, captured(CapturePolicy::OnConfirm)),
    ];
    money(&registry, &facts).await.unwrap();
    assert_eq!(order(&registry, order_id).await.payment_status(), PaymentStatus::Captured);
}

#[tokio::test]
async fn money_that_does_not_fit_waits_as_a_dead_letter() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let order_id = placed(&registry, Some(a_plan())).await;
    let (refund_id, amount) = (RefundId::from_uuid(Uuid::from_u128(9)), gbp(1));
    let code = "account_closed".to_owned();
    for fact in [
        secured(1, order_id, 1_999),
        payment(2, PaymentFact::RefundSettled { order_id, refund_id, amount }),
        payment(3, PaymentFact::RefundFailed { order_id, refund_id, amount, code }),
    ] {
        let blame = money(&registry, &[fact]).await.unwrap_err();
        assert!(is_of_the_first(&blame), "{blame:?}");
    }
    // About an order that the journal does not hold: at once, so that others need not wait.
    let unknown = secured(4, OrderId::mint(), 1);
    let blame = money(&registry, &[unknown]).await.unwrap_err();
    assert!(is_of_the_first(&blame), "{blame:?}");
}

fn withdrawn(position: u64, order_id: OrderId, reservation: ReservationId) -> Fact {
    let (skus, reservation_id) = (vec!["MUG".parse().unwrap()], Some(reservation));
    stock(position, InventoryFact::Rejected { order_id, skus, reservation_id })
}

/// A stock-take frees the units and then says that it withdraws them; the order may be cancelled
/// before, between or after.
#[tokio::test]
async fn units_that_a_stock_take_withdrew_are_not_waited_for() {
    let (registry, ..) = in_memory(Limits::default()).await;
    for cancelled_after in 0..=2 {
        let order_id = placed(&registry, Some(a_plan())).await;
        let reservation = ReservationId::mint();
        goods(&registry, &[reserved(1, order_id, reservation)]).await.unwrap();
        money(&registry, &[secured(2, order_id, 2_000)]).await.unwrap();
        for (step, fact) in
            [released(3, order_id), withdrawn(4, order_id, reservation)].into_iter().enumerate()
        {
            if cancelled_after == step {
                let (reason, text, skus) = (CancelReason::Ops, String::new(), Vec::new());
                let cancel = Command::Cancel(Cancel { reason, text, lines: Vec::new(), skus });
                registry.execute(order_id, cancel, ops()).await.unwrap();
            }
            goods(&registry, &[fact]).await.unwrap();
        }
        let now = order(&registry, order_id).await;
        assert_eq!(now.status(), Some(Status::Cancelled));
        let Compensation::Running(open) = now.compensation() else { panic!("{now:?}") };
        assert_eq!((open.stock, open.money), (false, true), "cancelled after {cancelled_after}");
        let given_back = payment(5, PaymentFact::Released { order_id });
        money(&registry, &[given_back]).await.unwrap();
        assert_eq!(order(&registry, order_id).await.compensation(), Compensation::Done);
    }
}

/// The lists have found an order that lost events. What others were told stays as it is.
#[tokio::test]
async fn only_orders_that_lost_events_hear_an_answer_again() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let [lost, other] =
        [placed(&registry, Some(a_plan())).await, placed(&registry, Some(a_plan())).await];
    for (position, order_id) in (11..).zip([lost, other]) {
        goods(&registry, &[reserved(position, order_id, ReservationId::mint())]).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let database = Database::sqlite(&path, &migrator(Dialect::Sqlite)).await.unwrap();
    let mut handler = MoneyAnswers::new(registry.clone());
    let mut tx = database.begin().await.unwrap();
    let sql = "INSERT INTO cursors (follower, shard, position) VALUES ('money-answers', 0, 2)";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    let sql = "INSERT INTO answers_again (follower, shard, order_id, through)
               VALUES ('money-answers', 0, $1, 0)";
    sqlx::query(sql).bind(lost.to_string()).execute(&mut *tx).await.unwrap();
    // It looks, finds the shard, and begins once that was read to its end.
    handler.read_again(&mut tx, &BTreeSet::new()).await.unwrap();
    let shards = handler.shards_in_doubt().await.unwrap();
    assert_eq!(shards, BTreeSet::from([0]));
    assert_eq!(handler.read_again(&mut tx, &shards).await.unwrap(), shards, "from the beginning");
    tx.commit().await.unwrap();

    let mut tx = database.begin().await.unwrap();
    let facts = [secured(1, lost, 2_000), secured(2, other, 2_000)];
    handler.handle(&mut tx, &facts).await.unwrap();
    tx.commit().await.unwrap();
    handler.committed();
    let status = async |order_id| order(&registry, order_id).await.status();
    assert_eq!(status(lost).await, Some(Status::Confirmed));
    assert_eq!(status(other).await, Some(Status::Pending), "it had heard that before");
    // Behind where it was read before, all count.
    let mut tx = database.begin().await.unwrap();
    handler.handle(&mut tx, &[secured(3, other, 2_000)]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(status(other).await, Some(Status::Confirmed));
    let left = "SELECT COUNT(*) FROM answers_again";
    let (left,): (i64,) = sqlx::query_as(left).fetch_one(database.reader()).await.unwrap();
    assert_eq!(left, 0);
}
