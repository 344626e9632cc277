//! Units for edits of orders: held beside the order's until the order has them, or does without. And
//! units of parcels that came back and are held again.

use inventory_stream::domain::Reservation;
use inventory_stream::grpc::proto::{
    AdjustStockRequest, GetReservationRequest, SetBackorderRequest,
};
use inventory_stream::store;
use shared_events::chance::Chance;
use shared_events::contract::{FactBody, InventoryFact, LineUnits, OrderFact, Quantity};
use shared_events::stream::{Blame, Cursors, Dialect, Handler as _, Source as _};

use crate::edge::{Stock, reason, served, set};
use crate::holders::holders;
use crate::on_both::on_both;
use crate::support::{Bench, Story, sku};

/// What was published last.
async fn last(bench: &Bench) -> InventoryFact {
    let batch = bench.inventory.facts().read_after(&Cursors::default(), 1_000).await.unwrap();
    match batch.items.last().map(|fact| fact.body.clone()) {
        Some(FactBody::Inventory(fact)) => fact,
        other => panic!("{other:?}"),
    }
}

/// Ten of A and two of B, and an order that holds four of A.
async fn ordered(dialect: Dialect) -> (Bench, Story) {
    let mut bench = Bench::on(dialect).await;
    bench.set("A", 10).await;
    bench.set("B", 2).await;
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 4)])]).await.unwrap();
    (bench, story)
}

async fn lines(bench: &Bench, story: &Story) -> Vec<(u32, u32, u32)> {
    let found = store::get_reservation(&bench.database, story.order_id).await.unwrap().unwrap();
    assert_eq!(found.edit, None);
    found.lines.iter().map(|held| (held.line, held.quantity, held.open())).collect()
}

async fn an_edit_is_held_beside_the_order_and_then_is_the_orders(dialect: Dialect) {
    let (mut bench, mut story) = ordered(dialect).await;
    let asked = story.edit_requested(1, &[(1, "A", 3), (2, "B", 2)]);
    bench.follow(std::slice::from_ref(&asked)).await.unwrap();
    let InventoryFact::EditReserved { order_id, edit_id, lines: held, .. } = last(&bench).await
    else {
        panic!()
    };
    assert_eq!((order_id, edit_id), (story.order_id, Story::edit_id(1)));
    assert_eq!(held.len(), 2);
    assert_eq!((bench.level("A").await, bench.level("B").await), ((10, 7), (2, 2)));
    bench.sums_hold().await;
    let published = bench.published().await.len();
    let edited = story.edited(1, &[(1, "A", 3), (2, "B", 2)], &[(1, "A", 1)]);
    // Each twice, as after a crash.
    bench.follow(&[asked, edited.clone()]).await.unwrap();
    bench.follow(&[edited]).await.unwrap();
    assert_eq!(lines(&bench, &story).await, [(1, 7, 6), (2, 2, 2)]);
    assert_eq!((bench.level("A").await, bench.level("B").await), ((10, 6), (2, 2)));
    assert_eq!(bench.published().await[published..], ["inventory.released.v1"]);
    bench.follow(&[story.shipped(&[(1, "A", 6), (2, "B", 2)])]).await.unwrap();
    assert_eq!((bench.level("A").await, bench.level("B").await), ((4, 0), (0, 0)));
    bench.sums_hold().await;
}

async fn an_edit_is_held_as_a_whole_or_not(dialect: Dialect) {
    let (mut bench, mut story) = ordered(dialect).await;
    // Two lines of one product need six of those six, and B is one short.
    let asked = story.edit_requested(1, &[(1, "A", 3), (2, "B", 3), (3, "A", 3)]);
    bench.follow(&[asked]).await.unwrap();
    let InventoryFact::EditRejected { skus, .. } = last(&bench).await else { panic!() };
    assert_eq!(skus, [sku("B")]);
    assert_eq!((bench.level("A").await, bench.level("B").await), ((10, 4), (2, 0)));
    bench.follow(&[story.edit_refused(1)]).await.unwrap();
    assert_eq!(lines(&bench, &story).await, [(1, 4, 4)]);
    let asked = story.edit_requested(2, &[(1, "A", 3), (2, "A", 4)]);
    bench.follow(&[asked]).await.unwrap();
    let InventoryFact::EditRejected { skus, .. } = last(&bench).await else { panic!() };
    assert_eq!(skus, [sku("A")]);
    bench.sums_hold().await;
}

async fn may_be_backordered(client: &mut Stock, sku: &str, limit: i64) {
    let rule = SetBackorderRequest {
        sku: sku.to_owned(),
        backorder_limit: limit,
        ..SetBackorderRequest::default()
    };
    client.set_backorder(rule).await.unwrap();
}

async fn comes(client: &mut Stock, sku: &str, delta: i64) {
    let more = AdjustStockRequest {
        sku: sku.to_owned(),
        delta,
        reason: "delivery".to_owned(),
        request_id: Chance::system().uuid().to_string(),
        ..AdjustStockRequest::default()
    };
    client.adjust_stock(more).await.unwrap();
}

/// On hand, reserved, backordered.
async fn level(bench: &Bench, name: &str) -> (i64, i64, i64) {
    let level = store::get(&bench.database, &sku(name)).await.unwrap().unwrap().level;
    (level.on_hand, level.reserved, level.backordered)
}

async fn units_of_an_edit_are_backordered_as_those_of_an_order(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 5).await;
    may_be_backordered(&mut client, "A", 4).await;
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 4)])]).await.unwrap();
    // One is there, four more may be promised: six are too many.
    bench.follow(&[story.edit_requested(1, &[(1, "A", 3), (2, "A", 3)])]).await.unwrap();
    let InventoryFact::EditRejected { skus, .. } = last(&bench).await else { panic!() };
    assert_eq!((skus, level(&bench, "A").await), (vec![sku("A")], (5, 4, 0)));
    bench.follow(&[story.edit_refused(1)]).await.unwrap();
    bench.follow(&[story.edit_requested(2, &[(1, "A", 3), (2, "A", 2)])]).await.unwrap();
    let InventoryFact::EditReserved { backordered, .. } = last(&bench).await else { panic!() };
    let named: Vec<_> = backordered.iter().map(|one| (one.line, one.quantity.get())).collect();
    assert_eq!((named, level(&bench, "A").await), (vec![(1, 2), (2, 2)], (5, 9, 4)));
    bench.sums_hold().await;
    // Stock that comes meanwhile is kept for it: another order is promised none of it.
    comes(&mut client, "A", 3).await;
    let mut other = Story::new();
    bench.follow(&[other.placed(&[("A", 1)])]).await.unwrap();
    assert_eq!(
        (last(&bench).await.kind(), level(&bench, "A").await.2),
        ("inventory.rejected.v1", 4)
    );
    // Once the edit is the order's, it gets them.
    bench.follow(&[story.edited(2, &[(1, "A", 3), (2, "A", 2)], &[])]).await.unwrap();
    let InventoryFact::Allocated { lines: came, .. } = last(&bench).await else { panic!() };
    let came: Vec<_> = came.iter().map(|one| (one.line, one.quantity.get())).collect();
    assert_eq!((came, level(&bench, "A").await), (vec![(1, 2), (2, 1)], (8, 9, 1)));
    bench.sums_hold().await;
    comes(&mut client, "A", 1).await;
    assert_eq!(level(&bench, "A").await, (9, 9, 0));
    bench.follow(&[story.shipped(&[(1, "A", 7), (2, "A", 2)])]).await.unwrap();
    assert_eq!(level(&bench, "A").await, (0, 0, 0));
    bench.sums_hold().await;
}

/// Stock was restored from a backup, and has more than when it answered first. The order keeps to the
/// first answer, and lets two units wait that stock holds.
async fn units_that_wait_only_in_the_order_are_told_as_allocated(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.set("A", 8).await;
    let mut story = Story::new();
    let placed = story.placed(&[("A", 4)]);
    let asked = story.edit_requested(1, &[(1, "A", 3), (2, "A", 2)]);
    let mut edited = story.edited(1, &[(1, "A", 3), (2, "A", 2)], &[]);
    let waiting = |line: u32, units: u32| LineUnits {
        line,
        sku: sku("A"),
        quantity: Quantity::new(units).unwrap(),
        title: String::new(),
    };
    if let FactBody::Order(OrderFact::Edited { backordered, .. }) = &mut edited.body {
        *backordered = vec![waiting(1, 2), waiting(2, 2)];
    }
    // One is missing: the edit as it was applied waits for it, and for no other unit.
    bench.follow(&[placed, asked]).await.unwrap();
    assert_eq!(bench.published().await.last(), Some(&"inventory.edit.rejected.v1"));
    bench.follow(std::slice::from_ref(&edited)).await.unwrap();
    assert_eq!(level(&bench, "A").await, (8, 9, 1));
    let InventoryFact::Allocated { order_id, lines, .. } = last(&bench).await else { panic!() };
    let named: Vec<_> = lines.iter().map(|one| (one.line, one.quantity.get())).collect();
    assert_eq!((order_id, named), (story.order_id, vec![(1, 2), (2, 1)]));
    let published = bench.published().await.len();
    bench.follow(&[edited]).await.unwrap();
    assert_eq!(bench.published().await.len(), published);
    bench.sums_hold().await;
}

/// Refused, expired, cancelled with its order or undone: what waited for an edit waits no more.
async fn units_of_an_edit_that_comes_to_nothing_wait_no_more(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 4).await;
    may_be_backordered(&mut client, "A", 4).await;
    let mut story = Story::new();
    let placed = story.placed(&[("A", 4)]);
    bench.follow(std::slice::from_ref(&placed)).await.unwrap();
    bench.follow(&[story.edit_requested(1, &[(1, "A", 3)])]).await.unwrap();
    assert_eq!(level(&bench, "A").await, (4, 7, 3));
    bench.follow(&[story.edit_refused(1)]).await.unwrap();
    assert_eq!(level(&bench, "A").await, (4, 4, 0));
    bench.sums_hold().await;
    bench.follow(&[story.edit_requested(2, &[(1, "A", 3)])]).await.unwrap();
    let (mut from, mut to) = (Cursors::default(), Cursors::default());
    from.advance_to(0, 4, None);
    to.advance_to(0, 1, None);
    let mut tx = bench.database.begin().await.unwrap();
    bench.follower.set_back(&mut tx, &from, &to).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(level(&bench, "A").await, (4, 0, 0));
    bench.follow(&[placed]).await.unwrap();
    bench.follow(&[story.edit_requested(3, &[(1, "A", 3)])]).await.unwrap();
    assert_eq!(level(&bench, "A").await, (4, 7, 3));
    bench.follow(&[story.cancelled()]).await.unwrap();
    assert_eq!(level(&bench, "A").await, (4, 0, 0));
    bench.sums_hold().await;
}

/// The rule counts when the edit is asked for, not when its order was placed.
async fn backorders_that_have_ended_are_not_open_to_edits(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 4).await;
    let mut story = Story::new();
    let placed = story.placed(&[("A", 4)]);
    let asked = story.edit_requested(1, &[(1, "A", 3)]);
    let rule = SetBackorderRequest {
        sku: "A".to_owned(),
        backorder_limit: 9,
        backorder_until: Some(service_edge::time::timestamp(asked.time)),
        ..SetBackorderRequest::default()
    };
    client.set_backorder(rule).await.unwrap();
    bench.follow(&[placed, asked]).await.unwrap();
    assert_eq!(last(&bench).await.kind(), "inventory.edit.rejected.v1");
    bench.sums_hold().await;
}

async fn what_is_held_for_an_edit_is_released_where_it_comes_to_nothing(dialect: Dialect) {
    let (mut bench, mut story) = ordered(dialect).await;
    bench.follow(&[story.edit_requested(1, &[(1, "A", 3)])]).await.unwrap();
    assert_eq!(bench.level("A").await, (10, 7));
    let expired = story.edit_refused(1);
    bench.follow(std::slice::from_ref(&expired)).await.unwrap();
    bench.follow(&[expired]).await.unwrap();
    assert_eq!(bench.level("A").await, (10, 4));
    assert_eq!(bench.published().await.last(), Some(&"inventory.released.v1"));
    bench.follow(&[story.edit_requested(2, &[(2, "B", 2)])]).await.unwrap();
    assert_eq!(bench.level("B").await, (2, 2));
    bench.follow(&[story.cancelled()]).await.unwrap();
    assert_eq!((bench.level("A").await, bench.level("B").await), ((10, 0), (2, 0)));
    bench.sums_hold().await;
    // It was read after the order had ended.
    bench.follow(&[story.edit_requested(3, &[(2, "B", 2)])]).await.unwrap();
    assert_eq!(bench.published().await.last(), Some(&"inventory.edit.rejected.v1"));
    assert_eq!(bench.level("B").await, (2, 0));
}

async fn an_edit_whose_units_are_not_held_takes_them(dialect: Dialect) {
    let (mut bench, mut story) = ordered(dialect).await;
    bench.follow(&[story.edit_requested(1, &[(1, "A", 3)])]).await.unwrap();
    let published = bench.published().await.len();
    bench.follow(&[story.edited(2, &[(1, "A", 2)], &[])]).await.unwrap();
    assert_eq!(lines(&bench, &story).await, [(1, 6, 6)]);
    assert_eq!(bench.level("A").await, (10, 6));
    let kinds = ["inventory.released.v1", "inventory.edit.reserved.v1"];
    assert_eq!(bench.published().await[published..], kinds);
    // A product of which stock was never set: once it is, the fact can be put back.
    let unknown = story.edited(3, &[(2, "C", 1)], &[]);
    let refused = bench.follow(std::slice::from_ref(&unknown)).await.unwrap_err();
    let error = refused.to_string();
    assert!(matches!(refused, Blame::Items(_)), "{refused:?}");
    assert!(error.contains("no stock of a product was ever set"), "{error}");
    bench.set("C", 5).await;
    bench.follow(&[unknown]).await.unwrap();
    assert_eq!(bench.level("C").await, (5, 1));
    bench.sums_hold().await;
}

/// The log was set back, and the units of an edit went to an order that waited for them.
async fn an_edit_read_again_waits_for_units_that_others_got(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 7).await;
    let rule = SetBackorderRequest {
        sku: "A".to_owned(),
        // Two may wait, as those of the other order do: three are too many for the edit.
        backorder_limit: 2,
        ..SetBackorderRequest::default()
    };
    client.set_backorder(rule).await.unwrap();
    let mut story = Story::new();
    let placed = story.placed(&[("A", 4)]);
    let asked = story.edit_requested(1, &[(1, "A", 2), (2, "A", 1)]);
    let edited = story.edited(1, &[(1, "A", 2), (2, "A", 1)], &[(1, "A", 1)]);
    let lost = story.shipped(&[(1, "A", 5)]);
    bench.follow(&[placed.clone(), asked.clone(), edited.clone(), lost]).await.unwrap();
    let mut other = Story::new();
    bench.follow(&[other.placed(&[("A", 3)])]).await.unwrap();
    assert_eq!(bench.level("A").await, (2, 4));
    // The parcel is not in the log any more.
    let (mut from, mut to) = (Cursors::default(), Cursors::default());
    from.advance_to(0, 4, None);
    to.advance_to(0, 3, None);
    let mut tx = bench.database.begin().await.unwrap();
    bench.follower.set_back(&mut tx, &from, &to).await.unwrap();
    tx.commit().await.unwrap();
    bench.follow(&[placed]).await.unwrap();
    assert_eq!(bench.level("A").await, (7, 7));
    bench.follow(&[asked]).await.unwrap();
    assert_eq!(bench.published().await.last(), Some(&"inventory.edit.rejected.v1"));
    bench.follow(&[edited]).await.unwrap();
    // The unit that the edit takes off is one of those that wait.
    assert_eq!(lines(&bench, &story).await, [(1, 6, 5), (2, 1, 1)]);
    let waits = |found: &Reservation| found.waits_for(&sku("A"));
    let found = store::get_reservation(&bench.database, story.order_id).await.unwrap().unwrap();
    assert_eq!((bench.level("A").await, waits(&found)), ((7, 9), 2));
    bench.sums_hold().await;
    // A parcel of units that wait is refused as a fact, until they have come.
    let parcel = story.shipped(&[(1, "A", 5), (2, "A", 1)]);
    let refused = bench.follow(std::slice::from_ref(&parcel)).await.unwrap_err();
    assert!(matches!(refused, Blame::Items(_)), "{refused:?}");
    // What comes goes to it, and it ships as its order says.
    let more = AdjustStockRequest {
        sku: "A".to_owned(),
        delta: 2,
        reason: "counted".to_owned(),
        request_id: Chance::system().uuid().to_string(),
        ..AdjustStockRequest::default()
    };
    client.adjust_stock(more).await.unwrap();
    assert_eq!(bench.published().await.last(), Some(&"inventory.allocated.v1"));
    bench.follow(&[parcel]).await.unwrap();
    assert_eq!(bench.level("A").await, (3, 3));
    bench.sums_hold().await;
}

async fn a_stock_take_spares_an_order_whose_edit_waits(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 10).await;
    let mut story = Story::new();
    bench
        .follow(&[story.placed(&[("A", 4)]), story.edit_requested(1, &[(1, "A", 3)])])
        .await
        .unwrap();
    let held = holders(&mut client, "A", 10).await;
    assert_eq!(held.iter().map(|holder| holder.units).sum::<i64>(), 7);
    let request = GetReservationRequest { order_id: story.order_id.to_string() };
    let found = client.get_reservation(request.clone()).await.unwrap().into_inner();
    let edit = found.reservation.unwrap().edit.unwrap();
    assert_eq!(edit.edit_id, Story::edit_id(1).to_string());
    let units: Vec<_> =
        edit.lines.iter().map(|line| (line.line, line.sku.as_str(), line.held)).collect();
    assert_eq!(units, [(1, "A", 3)]);
    let short =
        inventory_stream::grpc::proto::SetStockRequest { allow_shortage: true, ..set("A", 5) };
    let status = client.set_stock(short.clone()).await.unwrap_err();
    assert_eq!(reason(&status), "INSUFFICIENT_STOCK");
    bench.follow(&[story.edited(1, &[(1, "A", 3)], &[])]).await.unwrap();
    let found = client.get_reservation(request).await.unwrap().into_inner();
    assert_eq!(found.reservation.unwrap().edit, None);
    assert_eq!(client.set_stock(short).await.unwrap().into_inner().losers.len(), 1);
    // What was withdrawn gets no more units.
    bench.follow(&[story.edit_requested(2, &[(1, "A", 1)])]).await.unwrap();
    assert_eq!(bench.published().await.last(), Some(&"inventory.edit.rejected.v1"));
    bench.sums_hold().await;
}

async fn units_of_a_parcel_that_came_back_are_held_again(dialect: Dialect) {
    let (mut bench, mut story) = ordered(dialect).await;
    bench.follow(&[story.shipped(&[(1, "A", 3)])]).await.unwrap();
    assert_eq!(bench.level("A").await, (7, 1));
    // Others want all that is there.
    let mut other = Story::new();
    bench.follow(&[other.placed(&[("A", 6)])]).await.unwrap();
    assert_eq!(bench.level("A").await, (7, 7));
    let published = bench.published().await.len();
    let again = story.open_again(&[(1, "A", 3)]);
    bench.follow(std::slice::from_ref(&again)).await.unwrap();
    bench.follow(&[again]).await.unwrap();
    assert_eq!(bench.level("A").await, (10, 10));
    let kinds = ["inventory.restocked.v1", "inventory.reserved.v1"];
    assert_eq!(bench.published().await[published..], kinds);
    assert_eq!(lines(&bench, &story).await, [(1, 4, 4)]);
    bench.sums_hold().await;
    bench.follow(&[story.shipped(&[(1, "A", 2)])]).await.unwrap();
    bench.follow(&[story.lines_cancelled(&[(1, "A", 2)])]).await.unwrap();
    assert_eq!(bench.level("A").await, (8, 6));
    bench.sums_hold().await;
}

on_both! {
    an_edit_is_held_beside_the_order_and_then_is_the_orders
    an_edit_is_held_as_a_whole_or_not
    units_of_an_edit_are_backordered_as_those_of_an_order
    units_that_wait_only_in_the_order_are_told_as_allocated
    units_of_an_edit_that_comes_to_nothing_wait_no_more
    backorders_that_have_ended_are_not_open_to_edits
    what_is_held_for_an_edit_is_released_where_it_comes_to_nothing
    an_edit_whose_units_are_not_held_takes_them
    an_edit_read_again_waits_for_units_that_others_got
    a_stock_take_spares_an_order_whose_edit_waits
    units_of_a_parcel_that_came_back_are_held_again
}
