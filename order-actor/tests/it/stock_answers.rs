//! What orders make of stock's answers.

use order_actor::actor::{Limits, Registry};
use order_actor::domain::{Command, EditOrder, ExpectedTotals, LineChange, Order, Status};
use order_actor::inbox::StockAnswers;
use order_actor::projections::migrator;
use shared_events::chance::Chance;
use shared_events::contract::{
    CancelReason, EditId, Fact, FactBody, FactId, InventoryFact, LineUnits, OrderId, Origin,
    Quantity, ReservationId, StockLine, Timestamp,
};
use shared_events::stream::{Blame, Database, Dialect, Handler as _};

use crate::actors::{in_memory, ops, placed};

fn fact(position: u64, body: InventoryFact) -> Fact {
    let id = FactId::at(Origin::Inventory, 0, position, 0);
    let body = FactBody::Inventory(body);
    Fact::new(id, (0, position, 0), position, Timestamp::default(), body)
}

fn reserved(position: u64, order_id: OrderId, reservation_id: ReservationId) -> Fact {
    backordered(position, order_id, reservation_id, 0)
}

/// Reserved, and of line 1 so many units wait for stock.
fn backordered(
    position: u64,
    order_id: OrderId,
    reservation_id: ReservationId,
    units: u32,
) -> Fact {
    let (lines, backordered) = (Vec::<StockLine>::new(), line_units(units));
    fact(position, InventoryFact::Reserved { order_id, reservation_id, lines, backordered })
}

fn allocated(position: u64, order_id: OrderId, reservation_id: ReservationId, units: u32) -> Fact {
    let lines = line_units(units);
    fact(
        position,
        InventoryFact::Allocated { order_id, reservation_id, lines, elsewhere: Vec::new() },
    )
}

fn line_units(units: u32) -> Vec<LineUnits> {
    let of_line = |quantity| LineUnits {
        line: 1,
        sku: "85123A".parse().unwrap(),
        quantity,
        title: String::new(),
    };
    Quantity::new(units).map(of_line).into_iter().collect()
}

fn rejected(position: u64, order_id: OrderId, reservation_id: Option<ReservationId>) -> Fact {
    let skus = vec!["85123A".parse().unwrap()];
    fact(position, InventoryFact::Rejected { order_id, skus, reservation_id })
}

/// Hands a batch of answers to the orders.
async fn hear(registry: &Registry, facts: &[Fact]) -> Result<(), Blame> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.db");
    let database = Database::sqlite(&path, &migrator(Dialect::Sqlite)).await.unwrap();
    let mut tx = database.begin().await.unwrap();
    StockAnswers::new(registry.clone()).handle(&mut tx, facts).await
}

/// Whether only the first fact of a batch is blamed.
pub fn is_of_the_first(blame: &Blame) -> bool {
    matches!(blame, Blame::Items(items) if matches!(items[..], [(0, _)]))
}

async fn order(registry: &Registry, order_id: OrderId) -> Order {
    registry.view(order_id, &ops().by).await.unwrap().order.as_ref().clone()
}

#[tokio::test]
async fn a_withdrawn_reservation_cancels_the_order_that_it_confirmed() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let reservation = ReservationId::mint();
    // Both in one batch, and the second in a batch of its own.
    for batches in [vec![2], vec![1, 1]] {
        let (order_id, _) = placed(&registry).await;
        let facts = [reserved(1, order_id, reservation), rejected(2, order_id, Some(reservation))];
        let mut facts = facts.as_slice();
        for size in batches {
            let (batch, rest) = facts.split_at(size);
            hear(&registry, batch).await.unwrap();
            // A batch that is repeated changes nothing.
            hear(&registry, batch).await.unwrap();
            facts = rest;
        }
        let Order::Cancelled(cancelled) = order(&registry, order_id).await else {
            panic!("not cancelled");
        };
        assert_eq!(cancelled.reason, CancelReason::InsufficientStock);
        assert_eq!(cancelled.skus, ["85123A".parse().unwrap()]);
    }
}

#[tokio::test]
async fn a_confirmed_order_is_cancelled_by_no_other_rejection() {
    let (registry, ..) = in_memory(Limits::default()).await;
    for withdrawn in [None, Some(ReservationId::mint())] {
        let (order_id, _) = placed(&registry).await;
        hear(&registry, &[reserved(1, order_id, ReservationId::mint())]).await.unwrap();
        let blame = hear(&registry, &[rejected(2, order_id, withdrawn)]).await.unwrap_err();
        assert!(is_of_the_first(&blame), "{blame:?}");
        assert_eq!(order(&registry, order_id).await.status(), Some(Status::Confirmed));
    }
}

#[tokio::test]
async fn units_that_wait_come_with_later_answers_each_once() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let reservation = ReservationId::mint();
    for size in [1, 2, 4] {
        let (order_id, _) = placed(&registry).await;
        let units = order(&registry, order_id).await.details().unwrap().lines[0].ordered;
        let facts = [
            backordered(1, order_id, reservation, units),
            allocated(2, order_id, reservation, 1),
            // Of another reservation, that the journal does not know any more.
            allocated(3, order_id, ReservationId::mint(), 1),
            allocated(4, order_id, reservation, units),
        ];
        let mut waits = Vec::new();
        for batch in facts.chunks(size) {
            // A batch that is repeated changes nothing.
            hear(&registry, batch).await.unwrap();
            hear(&registry, batch).await.unwrap();
            let now = order(&registry, order_id).await;
            assert_eq!(now.status(), Some(Status::Confirmed));
            waits.push(now.details().unwrap().lines[0].backordered);
        }
        let expected = match size {
            1 => vec![units, units - 1, units - 1, 0],
            2 => vec![units - 1, 0],
            _ => vec![0],
        };
        assert_eq!(waits, expected);
    }
}

/// Stock was restored from a backup: the same answers come again, from other levels.
#[tokio::test]
async fn an_answer_of_restored_stock_does_not_replace_the_first_and_holds_up_nothing() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let (order_id, _) = placed(&registry).await;
    let reservation = ReservationId::mint();
    let units = order(&registry, order_id).await.details().unwrap().lines[0].ordered;
    let waits = async || order(&registry, order_id).await.details().unwrap().lines[0].backordered;
    hear(&registry, &[backordered(1, order_id, reservation, units)]).await.unwrap();
    hear(&registry, &[reserved(1, order_id, reservation)]).await.unwrap();
    assert_eq!(waits().await, units);
    hear(&registry, &[allocated(2, order_id, reservation, units)]).await.unwrap();
    assert_eq!(waits().await, 0);

    let edit_id = EditId::from_uuid(Chance::system().uuid());
    let edit = EditOrder {
        edit_id,
        changes: vec![LineChange {
            line: 1,
            quantity: units + 3,
            discounts: Vec::new(),
            taxes: Vec::new(),
        }],
        added: Vec::new(),
        reason: "asked by phone".to_owned(),
        expected: ExpectedTotals::default(),
    };
    registry.execute(order_id, Command::EditOrder(Box::new(edit)), ops()).await.unwrap();
    let answer = |units| {
        let (lines, backordered) = (Vec::new(), line_units(units));
        fact(3, InventoryFact::EditReserved { order_id, edit_id, lines, backordered })
    };
    for units in [2, 0, 3] {
        hear(&registry, &[answer(units)]).await.unwrap();
        assert_eq!(waits().await, 2);
    }
    // Also what comes of an edit is told by its fact.
    for units in [1, 2] {
        hear(&registry, &[allocated(4, order_id, reservation, units)]).await.unwrap();
        assert_eq!(waits().await, 1);
    }
    hear(&registry, &[allocated(5, order_id, reservation, 1)]).await.unwrap();
    assert_eq!(waits().await, 0);
}

/// Answers about orders that the journal does not hold, each in a batch of its own.
#[tokio::test]
async fn an_answer_about_an_unknown_order_holds_up_no_other() {
    let (registry, ..) = in_memory(Limits::default()).await;
    for position in 1..=20 {
        let (order_id, _) = placed(&registry).await;
        let unknown = reserved(position, OrderId::mint(), ReservationId::mint());
        let known = reserved(position + 20, order_id, ReservationId::mint());
        let blame = hear(&registry, &[unknown, known.clone()]).await.unwrap_err();
        assert!(is_of_the_first(&blame), "{blame:?}");
        // The follower sets it aside and goes on.
        hear(&registry, &[known]).await.unwrap();
        assert_eq!(order(&registry, order_id).await.status(), Some(Status::Confirmed));
    }
}

#[tokio::test]
async fn stock_that_comes_for_a_cancelled_order_is_passed_over() {
    let (registry, ..) = in_memory(Limits::default()).await;
    let (order_id, _) = placed(&registry).await;
    let reservation = ReservationId::mint();
    let facts = [
        backordered(1, order_id, reservation, 1),
        rejected(2, order_id, Some(reservation)),
        allocated(3, order_id, reservation, 1),
    ];
    hear(&registry, &facts).await.unwrap();
    assert_eq!(order(&registry, order_id).await.status(), Some(Status::Cancelled));
}
