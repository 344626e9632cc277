//! Units promised beyond the stock: which orders get them, and what comes for those that wait.

use std::time::Duration;

use inventory_stream::domain::Reservation;
use inventory_stream::grpc::proto::{self, MovementCause};
use inventory_stream::store;
use shared_events::chance::Chance;
use shared_events::contract::{Disposition, Fact, FactBody, InventoryFact, Timestamp};
use shared_events::stream::{ActionsAsked, Blame, Cursors, Dialect, OperatorAction, Source as _};

use crate::edge::{Stock, fields, reason, served, served_by, set};
use crate::holders::holders;
use crate::movements::{all, summary};
use crate::on_both::on_both;
use crate::support::{Bench, Story, sku};

fn rule(sku: &str, limit: i64) -> proto::SetBackorderRequest {
    proto::SetBackorderRequest {
        sku: sku.to_owned(),
        backorder_limit: limit,
        ..proto::SetBackorderRequest::default()
    }
}

async fn may_be(client: &mut Stock, sku: &str, limit: i64) {
    client.set_backorder(rule(sku, limit)).await.unwrap();
}

/// On hand, reserved, available, backordered.
async fn stock(client: &mut Stock, sku: &str) -> (i64, i64, i64, i64) {
    let request = proto::GetStockRequest { sku: sku.to_owned(), fresh: true };
    let stock = client.get_stock(request).await.unwrap().into_inner().stock.unwrap();
    (stock.on_hand, stock.reserved, stock.available, stock.backordered)
}

async fn adjust(client: &mut Stock, sku: &str, delta: i64) -> proto::Stock {
    let request = proto::AdjustStockRequest {
        sku: sku.to_owned(),
        delta,
        request_id: Chance::system().uuid().to_string(),
        ..proto::AdjustStockRequest::default()
    };
    client.adjust_stock(request).await.unwrap().into_inner().stock.unwrap()
}

async fn reservation(bench: &Bench, story: &Story) -> Reservation {
    store::get_reservation(&bench.database, story.order_id).await.unwrap().unwrap()
}

/// Units of each line that wait.
async fn waits(bench: &Bench, story: &Story) -> Vec<u32> {
    reservation(bench, story).await.lines.iter().map(|line| line.backordered).collect()
}

/// The facts about an order.
async fn facts(bench: &Bench, story: &Story) -> Vec<Fact> {
    let facts = bench.inventory.facts().read_after(&Cursors::default(), 10_000).await.unwrap();
    facts.items.into_iter().filter(|one| one.body.order_id() == Some(story.order_id)).collect()
}

/// Stories by the id of their orders, which are placed at the same time.
fn stories<const N: usize>() -> [Story; N] {
    let mut stories = [(); N].map(|()| Story::new());
    stories.sort_by_key(|story| story.order_id);
    stories
}

async fn units_beyond_the_stock_are_promised_up_to_the_limit(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 2).await;
    bench.set("B", 9).await;
    may_be(&mut client, "A", 4).await;
    let [mut first, mut second, mut third] = stories();
    // Two lines of A: the first takes what is there.
    bench.follow(&[first.placed(&[("A", 1), ("B", 3), ("A", 4)])]).await.unwrap();
    assert_eq!(waits(&bench, &first).await, [0, 0, 3]);
    assert_eq!(stock(&mut client, "A").await, (2, 5, 0, 3));
    let told = facts(&bench, &first).await;
    let FactBody::Inventory(InventoryFact::Reserved { lines, backordered, .. }) = &told[0].body
    else {
        panic!("{told:?}");
    };
    assert_eq!(lines.len(), 3);
    let backordered: Vec<_> =
        backordered.iter().map(|one| (one.line, one.quantity.get())).collect();
    assert_eq!(backordered, [(3, 3)]);
    // All of an order or none: B would be there.
    bench.follow(&[second.placed(&[("B", 1), ("A", 2)])]).await.unwrap();
    assert_eq!(bench.published().await[1], "inventory.rejected.v1");
    assert_eq!(reservation(&bench, &second).await.missing, [sku("A")]);
    bench.follow(&[third.placed(&[("A", 1)])]).await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (2, 6, 0, 4));
    assert_eq!(stock(&mut client, "B").await, (9, 3, 6, 0));
    let held: Vec<_> = holders(&mut client, "A", 10)
        .await
        .iter()
        .map(|one| (one.order_id.clone(), one.units, one.backordered))
        .collect();
    let (one, other) = (first.order_id.to_string(), third.order_id.to_string());
    assert_eq!(held, [(one.clone(), 5, 3), (other, 1, 1)]);
    let request = proto::GetReservationRequest { order_id: one };
    let shown = client.get_reservation(request).await.unwrap().into_inner().reservation.unwrap();
    let lines: Vec<_> = shown.lines.iter().map(|line| (line.held, line.backordered)).collect();
    assert_eq!(lines, [(1, 0), (3, 0), (4, 3)]);
    bench.sums_hold().await;
}

async fn stock_that_comes_goes_to_orders_in_the_order_of_placing(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    may_be(&mut client, "A", 100).await;
    let [mut late, mut first, mut second] = stories();
    let at = |seconds| Timestamp::default().plus(Duration::from_secs(seconds));
    bench.follow(&[late.placed_on(&[("A", 5)], at(9))]).await.unwrap();
    bench.follow(&[first.placed(&[("A", 2), ("A", 2)]), second.placed(&[("A", 3)])]).await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (0, 12, 0, 12));

    let answer = client.set_stock(set("A", 3)).await.unwrap().into_inner().stock.unwrap();
    assert_eq!((answer.on_hand, answer.reserved, answer.backordered), (3, 12, 9));
    assert_eq!(waits(&bench, &first).await, [0, 1]);
    assert_eq!((waits(&bench, &second).await, waits(&bench, &late).await), (vec![3], vec![5]));
    assert_eq!(adjust(&mut client, "A", 5).await.backordered, 4);
    assert_eq!(waits(&bench, &first).await, [0, 0]);
    assert_eq!((waits(&bench, &second).await, waits(&bench, &late).await), (vec![0], vec![4]));
    let requests = vec![set("A", 20), set("B", 1)];
    let batch = proto::BatchSetStockRequest { requests };
    let answer = client.batch_set_stock(batch).await.unwrap().into_inner().stock;
    assert_eq!((answer[0].backordered, answer[0].available, answer[1].on_hand), (0, 8, 1));

    let told: Vec<_> = facts(&bench, &first)
        .await
        .into_iter()
        .filter_map(|fact| match fact.body {
            FactBody::Inventory(InventoryFact::Allocated { lines, .. }) => Some(lines),
            _ => None,
        })
        .map(|lines| lines.iter().map(|one| (one.line, one.quantity.get())).collect::<Vec<_>>())
        .collect();
    assert_eq!(told, [vec![(1, 2), (2, 1)], vec![(2, 1)]]);
    let movements = all(&mut client, "A", 100).await;
    let came: Vec<_> =
        movements.iter().filter(|one| one.cause() == MovementCause::Allocated).collect();
    assert!(came.iter().all(|one| (one.on_hand_change, one.reserved_change) == (0, 0)));
    assert_eq!(came.iter().map(|one| one.allocated).collect::<Vec<_>>(), [3, 1, 1, 3, 4]);
    assert_eq!(came[0].order_id, first.order_id.to_string());
    bench.sums_hold().await;
}

async fn units_that_orders_give_back_go_to_those_that_wait(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 6).await;
    may_be(&mut client, "A", 10).await;
    let [mut one, mut other, mut waiting, mut last] = stories();
    bench.follow(&[one.placed(&[("A", 4)]), other.placed(&[("A", 2)])]).await.unwrap();
    bench.follow(&[waiting.placed(&[("A", 3)]), last.placed(&[("A", 4)])]).await.unwrap();
    // In one batch: an order placed meanwhile does not get what is given back.
    let mut meanwhile = Story::new();
    let facts = [other.cancelled(), meanwhile.placed(&[("A", 1)])];
    bench.follow(&facts).await.unwrap();
    assert_eq!(waits(&bench, &waiting).await, [1]);
    assert_eq!(waits(&bench, &meanwhile).await, [1]);
    // A unit shipped and returned, and one cancelled.
    bench.follow(&[one.shipped(&[(1, "A", 1)])]).await.unwrap();
    bench.follow(&[one.returned(&[(1, "A", 1)], Disposition::Restock)]).await.unwrap();
    assert_eq!(waits(&bench, &waiting).await, [0]);
    bench.follow(&[one.lines_cancelled(&[(1, "A", 2)])]).await.unwrap();
    assert_eq!(waits(&bench, &last).await, [2]);
    assert_eq!(stock(&mut client, "A").await, (6, 9, 0, 3));
    // Of a line, units that wait are cancelled first: one of these three is given back.
    bench.follow(&[last.lines_cancelled(&[(1, "A", 3)])]).await.unwrap();
    assert_eq!((waits(&bench, &last).await, waits(&bench, &meanwhile).await), (vec![0], vec![0]));
    assert_eq!(stock(&mut client, "A").await, (6, 6, 0, 0));
    bench.sums_hold().await;
}

async fn units_that_wait_cannot_have_been_shipped(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 2).await;
    may_be(&mut client, "A", 10).await;
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 5)])]).await.unwrap();
    bench.follow(&[story.shipped(&[(1, "A", 2)])]).await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (0, 3, 0, 3));
    let shipped = story.shipped(&[(1, "A", 1)]);
    let blame = bench.follow(std::slice::from_ref(&shipped)).await.unwrap_err();
    let error = blame.to_string();
    assert!(matches!(blame, Blame::Items(_)), "{blame:?}");
    assert!(error.contains("shipped although the units wait for stock"), "{error}");
    // What the letter advises.
    adjust(&mut client, "A", 1).await;
    bench.follow(&[shipped]).await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (0, 2, 0, 2));
    bench.follow(&[story.cancelled()]).await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (0, 0, 0, 0));
    bench.sums_hold().await;
}

async fn a_rule_ends_at_its_time_and_takes_nothing_back(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    let until = prost_types::Timestamp { seconds: 100, nanos: 0 };
    let mut request = rule("A", 5);
    request.backorder_until = Some(until);
    let answer = client.set_backorder(request).await.unwrap().into_inner().stock.unwrap();
    assert_eq!((answer.on_hand, answer.backorder_limit), (0, 5));
    assert_eq!(answer.backorder_until, Some(until));
    let at = |seconds| Timestamp::default().plus(Duration::from_secs(seconds));
    let [mut early, mut late, mut more] = stories();
    bench.follow(&[early.placed_on(&[("A", 4)], at(99))]).await.unwrap();
    bench.follow(&[late.placed_on(&[("A", 1)], at(100))]).await.unwrap();
    assert_eq!(reservation(&bench, &late).await.missing, [sku("A")]);
    // Lowered below what is promised: nothing more, and nothing back.
    may_be(&mut client, "A", 1).await;
    bench.follow(&[more.placed(&[("A", 1)])]).await.unwrap();
    assert_eq!(reservation(&bench, &more).await.missing, [sku("A")]);
    assert_eq!(stock(&mut client, "A").await, (0, 4, 0, 4));
    adjust(&mut client, "A", 4).await;
    assert_eq!(waits(&bench, &early).await, [0]);
    bench.sums_hold().await;
}

async fn a_stock_take_counts_what_is_held_on_hand(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 6).await;
    bench.set("B", 1).await;
    may_be(&mut client, "A", 10).await;
    may_be(&mut client, "B", 10).await;
    let [mut first, mut second, mut third, mut waiting] = stories();
    bench.follow(&[first.placed(&[("A", 2)]), second.placed(&[("A", 3), ("B", 1)])]).await.unwrap();
    bench.follow(&[third.placed(&[("B", 2)])]).await.unwrap();
    bench.follow(&[waiting.placed(&[("A", 4)])]).await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (6, 9, 0, 3));
    let status = client.set_stock(set("A", 1)).await.unwrap_err();
    assert_eq!(reason(&status), "INSUFFICIENT_STOCK");
    assert_eq!(status.message(), "6 units of A are held for 3 orders, and 1 would be on hand");
    // Down to 5: the newest that holds any on hand is the one that waits for most of its units.
    let short = |on_hand| proto::SetStockRequest { allow_shortage: true, ..set("A", on_hand) };
    let answer = client.set_stock(short(5)).await.unwrap().into_inner();
    assert_eq!(answer.losers.len(), 1);
    assert_eq!(answer.losers[0].order_id, waiting.order_id.to_string());
    assert_eq!(stock(&mut client, "A").await, (5, 5, 0, 0));
    // Down to 4: what the second held of B goes to the order that waits for it, at once.
    let answer = client.set_stock(short(4)).await.unwrap().into_inner();
    assert_eq!(answer.losers[0].order_id, second.order_id.to_string());
    assert_eq!(stock(&mut client, "A").await, (4, 2, 2, 0));
    assert_eq!(
        (stock(&mut client, "B").await, waits(&bench, &third).await),
        ((1, 2, 0, 1), vec![1])
    );
    bench.follow(&[second.cancelled(), waiting.cancelled()]).await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (4, 2, 2, 0));
    bench.sums_hold().await;
}

async fn more_orders_than_one_step_serves_get_their_units_in_one_call(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    may_be(&mut client, "A", 10_000).await;
    let placed: Vec<Fact> = (0..2_050).map(|_| Story::new().placed(&[("A", 2)])).collect();
    for facts in placed.chunks(500) {
        bench.follow(facts).await.unwrap();
    }
    assert_eq!(stock(&mut client, "A").await, (0, 4_100, 0, 4_100));
    client.set_stock(set("A", 4_099)).await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (4_099, 4_100, 0, 1));
    // What a batch has left is done later: here, all but the first thousand.
    let mut tx = bench.database.begin().await.unwrap();
    let sql = "UPDATE stock SET on_hand = on_hand + 1, adjusted = adjusted + 1, moves = moves + 1";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    let sql = "INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, at)
               SELECT sku, moves, 1, 0, on_hand, reserved, 'ADJUSTED', 0 FROM stock";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    bench.inventory.allocate_rest().await.unwrap();
    assert_eq!(stock(&mut client, "A").await, (4_100, 4_100, 0, 0));
    bench.inventory.allocate_rest().await.unwrap();
    bench.sums_hold().await;
}

async fn a_rule_is_set_once_and_recorded(dialect: Dialect) {
    let (bench, mut client) = served_by("OPS", "anna", dialect).await;
    let request = proto::SetBackorderRequest {
        reason: " pre-sale ".to_owned(),
        request_id: Chance::system().uuid().to_string(),
        ..rule("A", 7)
    };
    let would = proto::SetBackorderRequest { validate_only: true, ..request.clone() };
    assert_eq!(client.set_backorder(would).await.unwrap().into_inner().stock.unwrap().on_hand, 0);
    let missing = proto::GetStockRequest { sku: "A".to_owned(), fresh: true };
    assert_eq!(reason(&client.get_stock(missing).await.unwrap_err()), "NOT_FOUND");
    for replayed in [false, true] {
        let answer = client.set_backorder(request.clone()).await.unwrap().into_inner();
        assert_eq!((answer.replayed, answer.stock.unwrap().backorder_limit), (replayed, 7));
    }
    let other = proto::SetBackorderRequest { backorder_limit: 8, ..request.clone() };
    let status = client.set_backorder(other).await.unwrap_err();
    assert_eq!(reason(&status), "IDEMPOTENCY_KEY_REUSED");
    let adjusting = proto::AdjustStockRequest {
        sku: "A".to_owned(),
        delta: 7,
        reason: request.reason.clone(),
        request_id: request.request_id.clone(),
        ..proto::AdjustStockRequest::default()
    };
    let status = client.adjust_stock(adjusting).await.unwrap_err();
    assert_eq!(reason(&status), "IDEMPOTENCY_KEY_REUSED");
    let movements = all(&mut client, "A", 10).await;
    assert_eq!(
        movements.iter().map(summary).collect::<Vec<_>>(),
        [(MovementCause::Backorder, 0, 0)]
    );
    assert_eq!(
        (movements[0].reason.as_str(), movements[0].asked_by.as_str()),
        ("pre-sale", "ops:anna")
    );
    let asked = ActionsAsked { limit: 10, ..ActionsAsked::default() };
    let actions = OperatorAction::list(&bench.database, &asked).await.unwrap();
    let done: Vec<_> = actions
        .iter()
        .map(|one| (one.verb.as_str(), one.before.as_str(), one.after.as_str()))
        .collect();
    assert_eq!(done, [("SET_BACKORDER", "0 may be backordered", "7 may be backordered")]);
    bench.sums_hold().await;
}

async fn units_that_wait_without_an_order_are_found(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    may_be(&mut client, "A", 9).await;
    bench.follow(&[Story::new().placed(&[("A", 4)])]).await.unwrap();
    bench.sums_hold().await;
    let mut tx = bench.database.begin().await.unwrap();
    let sql = "UPDATE stock SET backordered = 3, on_hand = 1, adjusted = 1";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let found = inventory_stream::reconcile(&bench.database).await.unwrap().discrepancies;
    let laws: Vec<_> = found.iter().map(|one| one.law.as_str()).collect();
    assert_eq!(laws, ["stock.adjusted", "stock.backordered", "stock.movements"]);
}

async fn a_wrong_rule_names_its_fields(dialect: Dialect) {
    let (_bench, mut client) = served(dialect).await;
    let wrong = proto::SetBackorderRequest {
        sku: String::new(),
        backorder_limit: -1,
        backorder_until: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        reason: "two\nlines".to_owned(),
        request_id: "no".to_owned(),
        validate_only: false,
    };
    let status = client.set_backorder(wrong).await.unwrap_err();
    let expected = ["sku", "backorder_limit", "backorder_until", "reason", "request_id"];
    assert_eq!(fields(&status), expected);
    let until = Some(prost_types::Timestamp::default());
    let never = proto::SetBackorderRequest { backorder_until: until, ..rule("A", 0) };
    assert_eq!(fields(&client.set_backorder(never).await.unwrap_err()), ["backorder_until"]);
}

/// Without this, both could change the reservation of one order.
#[tokio::test]
async fn an_increase_that_orders_wait_for_waits_for_a_follower_on_postgres() {
    let (mut bench, mut client) = served(Dialect::Postgres).await;
    may_be(&mut client, "A", 10).await;
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 4)])]).await.unwrap();
    let mut batch = bench.database.begin().await.unwrap();
    let at: Cursors = [(0, 1)].into_iter().collect();
    Cursors::default().store(&bench.database, &mut batch, "stock", &at, 0).await.unwrap();
    let mut other = client.clone();
    let call = shared_events::stream::spawn(async move { other.set_stock(set("A", 1)).await });
    bench.until_waited_for(&mut batch).await;
    assert!(!call.is_finished());
    // A product that nobody waits for is set meanwhile.
    client.set_stock(set("B", 1)).await.unwrap();
    batch.commit().await.unwrap();
    call.await.unwrap().unwrap();
    assert_eq!(stock(&mut client, "A").await, (1, 4, 0, 3));
}

on_both! {
    units_beyond_the_stock_are_promised_up_to_the_limit
    stock_that_comes_goes_to_orders_in_the_order_of_placing
    units_that_orders_give_back_go_to_those_that_wait
    units_that_wait_cannot_have_been_shipped
    a_rule_ends_at_its_time_and_takes_nothing_back
    a_stock_take_counts_what_is_held_on_hand
    more_orders_than_one_step_serves_get_their_units_in_one_call
    a_rule_is_set_once_and_recorded
    units_that_wait_without_an_order_are_found
    a_wrong_rule_names_its_fields
}
