//! A stock-take that finds fewer units than are reserved: orders lose theirs by a stated rule.

use inventory_stream::grpc::proto;
use inventory_stream::store;
use shared_events::chance::Chance;
use shared_events::contract::{FactBody, InventoryFact};
use shared_events::stream::{Blame, Cursors, Dialect, Source as _};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::edge::{Stock, fields, reason, served, served_by, set};
use crate::holders::holders;
use crate::movements::{all, summary};
use crate::on_both::on_both;
use crate::support::{Bench, Story};

fn short(sku: &str, on_hand: i64) -> proto::SetStockRequest {
    proto::SetStockRequest { allow_shortage: true, ..set(sku, on_hand) }
}

/// The orders that lost, newest placed first, with their units.
async fn take(client: &mut Stock, request: proto::SetStockRequest) -> Vec<(String, i64)> {
    let answer = client.set_stock(request).await.unwrap().into_inner();
    answer.losers.into_iter().map(|loser| (loser.order_id, loser.units)).collect()
}

/// Orders that each hold units of these products, by id: the time of placing is the same for all.
async fn placed(bench: &mut Bench, orders: &[&[(&str, u32)]]) -> Vec<Story> {
    let mut stories: Vec<Story> = orders.iter().map(|_| Story::new()).collect();
    stories.sort_by_key(|story| story.order_id);
    for (story, lines) in stories.iter_mut().zip(orders) {
        bench.follow(&[story.placed(lines)]).await.unwrap();
    }
    stories
}

fn metadata(status: &Status, key: &str) -> String {
    status.get_details_error_info().unwrap().metadata.remove(key).unwrap_or_default()
}

async fn the_newest_unshipped_orders_lose_all_their_units(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 20).await;
    bench.set("B", 5).await;
    let orders: [&[_]; 5] = [
        &[("A", 4)],
        &[("A", 3), ("B", 1), ("A", 1)],
        &[("A", 2)],
        &[("A", 5), ("B", 1)],
        &[("B", 1)],
    ];
    let mut stories = placed(&mut bench, &orders).await;
    bench.follow(&[stories[3].shipped(&[(1, "A", 1)])]).await.unwrap();
    assert_eq!((bench.level("A").await, bench.level("B").await), ((19, 14), (5, 3)));

    let status = client.set_stock(set("A", 10)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(reason(&status), "INSUFFICIENT_STOCK");
    let expected = "14 units of A are held for 4 orders, and 10 would be on hand";
    assert_eq!(status.message(), expected);
    assert_eq!(
        (metadata(&status, "reserved"), metadata(&status, "orders")),
        ("14".into(), "4".into())
    );

    // Four units are short: the newest of which nothing was shipped holds two, the next one four.
    let ids: Vec<String> = stories.iter().map(|story| story.order_id.to_string()).collect();
    let losers = [(ids[2].clone(), 2), (ids[1].clone(), 4)];
    let published = bench.published().await.len();
    let would = proto::SetStockRequest { validate_only: true, ..short("A", 10) };
    assert_eq!(take(&mut client, would).await, losers);
    assert_eq!((bench.level("A").await, bench.published().await.len()), ((19, 14), published));
    assert_eq!(take(&mut client, short("A", 10)).await, losers);
    assert_eq!((bench.level("A").await, bench.level("B").await), ((10, 8), (5, 2)));
    let kinds = ["released", "rejected", "released", "rejected"];
    let kinds = kinds.map(|kind| format!("inventory.{kind}.v1"));
    assert_eq!(bench.published().await[published..], kinds);
    let facts = bench.inventory.facts().read_after(&Cursors::default(), 100).await.unwrap();
    let database = bench.database.clone();
    let reservation = |order_id| store::get_reservation(&database, order_id);
    let lost = reservation(stories[1].order_id).await.unwrap().unwrap();
    let rejected = facts.items.iter().find_map(|fact| match &fact.body {
        FactBody::Inventory(InventoryFact::Rejected { order_id, skus, reservation_id })
            if *order_id == stories[1].order_id =>
        {
            Some((skus.clone(), *reservation_id))
        }
        _ => None,
    });
    assert_eq!(rejected, Some((vec![crate::support::sku("A")], Some(lost.reservation_id))));
    assert_eq!(holders(&mut client, "A", 10).await.len(), 2);
    bench.sums_hold().await;

    // The orders cancel, and nothing is released twice.
    bench.follow(&[stories[1].cancelled(), stories[2].cancelled()]).await.unwrap();
    assert_eq!((bench.level("A").await, bench.level("B").await), ((10, 8), (5, 2)));
    assert_eq!(bench.published().await.len(), published + 4);
    let lost = reservation(stories[1].order_id).await.unwrap().unwrap();
    assert!(lost.lines.iter().all(|line| (line.withdrawn, line.released) == (0, line.quantity)));
    let movements = all(&mut client, "A", 100).await;
    assert_eq!(movements.iter().map(|one| one.reserved_change).sum::<i64>(), 8);
    let released: Vec<_> = movements.iter().rev().take(3).map(summary).collect();
    let (cause, on) = (proto::MovementCause::Released, proto::MovementCause::Set);
    assert_eq!(released, [(on, -9, 0), (cause, 0, -4), (cause, 0, -2)]);
    bench.sums_hold().await;
}

async fn a_stock_take_that_cannot_be_done_changes_nothing(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 10).await;
    let mut stories = placed(&mut bench, &[&[("A", 4)], &[("A", 3)]]).await;
    bench.follow(&[stories[0].shipped(&[(1, "A", 1)])]).await.unwrap();
    let before = bench.published().await.len();
    let status = client.set_stock(short("A", 2)).await.unwrap_err();
    assert_eq!(reason(&status), "INSUFFICIENT_STOCK");
    let expected = "4 units of A would be short, and orders of which nothing was shipped hold 3";
    assert_eq!(status.message(), expected);
    let expecting = proto::SetStockRequest { expected_on_hand: Some(8), ..short("A", 3) };
    assert_eq!(reason(&client.set_stock(expecting).await.unwrap_err()), "ON_HAND_MISMATCH");
    let absent = proto::SetStockRequest { only_if_absent: true, ..short("A", 3) };
    assert_eq!(take(&mut client, absent).await, []);
    let requests = vec![short("A", 3)];
    let batch = proto::BatchSetStockRequest { requests };
    let status = client.batch_set_stock(batch).await.unwrap_err();
    assert_eq!(fields(&status), ["requests[0].allow_shortage"]);
    assert_eq!((bench.level("A").await, bench.published().await.len()), ((9, 6), before));
    // Nothing is short: nobody loses.
    assert_eq!(take(&mut client, short("A", 6)).await, []);
    assert_eq!(take(&mut client, short("NEW", 6)).await, []);
    assert_eq!(bench.level("A").await, (6, 6));
    bench.sums_hold().await;
}

async fn a_repeated_stock_take_takes_once(dialect: Dialect) {
    let (mut bench, mut client) = served_by("OPS", "anna", dialect).await;
    bench.set("A", 10).await;
    let _stories = placed(&mut bench, &[&[("A", 4)], &[("A", 3)], &[("A", 3)]]).await;
    let request = proto::SetStockRequest {
        request_id: Chance::system().uuid().to_string(),
        reason: "counted".to_owned(),
        ..short("A", 8)
    };
    assert_eq!(take(&mut client, request.clone()).await.len(), 1);
    bench.set("A", 7).await;
    let again = client.set_stock(request.clone()).await.unwrap().into_inner();
    assert!(again.replayed && again.losers.is_empty());
    let other = proto::SetStockRequest { allow_shortage: false, ..request };
    assert_eq!(reason(&client.set_stock(other).await.unwrap_err()), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(bench.level("A").await, (7, 7));
    let asked = shared_events::stream::ActionsAsked { limit: 10, ..Default::default() };
    let done = shared_events::stream::OperatorAction::list(&bench.database, &asked).await.unwrap();
    let after: Vec<_> = done.iter().map(|one| one.after.as_str()).collect();
    assert_eq!(after, ["8 on hand, 1 orders lost their units"]);
    bench.sums_hold().await;
}

/// The parcel ships while the order has not heard of the withdrawal.
async fn units_shipped_after_their_withdrawal_are_taken_again(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    bench.set("A", 10).await;
    let mut stories = placed(&mut bench, &[&[("A", 5)], &[("A", 3), ("A", 2)]]).await;
    assert_eq!(take(&mut client, short("A", 7)).await.len(), 1);
    assert_eq!(bench.level("A").await, (7, 5));
    // Two of its five units are available.
    let (first, rest) =
        (stories[1].shipped(&[(1, "A", 2)]), stories[1].shipped(&[(1, "A", 1), (2, "A", 1)]));
    bench.follow(&[first]).await.unwrap();
    assert_eq!(bench.level("A").await, (5, 5));
    let blame = bench.follow(std::slice::from_ref(&rest)).await.unwrap_err();
    assert!(
        matches!(&blame, Blame::Items(items) if items[0].1.contains("stock-take")),
        "{blame:?}"
    );
    bench.sums_hold().await;
    // Somebody finds the units of the parcel: its fact is handled when it is tried again.
    let adjust = proto::AdjustStockRequest { sku: "A".to_owned(), delta: 2, ..Default::default() };
    client.adjust_stock(adjust).await.unwrap();
    bench.follow(&[rest]).await.unwrap();
    assert_eq!(bench.level("A").await, (5, 5));
    // The order cancels what was open.
    bench.follow(&[stories[1].lines_cancelled(&[(2, "A", 1)])]).await.unwrap();
    assert_eq!(bench.level("A").await, (5, 5));
    let kinds = bench.published().await;
    let kinds: Vec<_> = kinds.iter().map(|kind| kind.split('.').nth(1).unwrap()).skip(2).collect();
    let again = ["reserved", "committed"];
    assert_eq!(kinds, [&["released", "rejected"], &again[..], &again[..]].concat());
    let found = store::get_reservation(&bench.database, stories[1].order_id).await.unwrap();
    let lines = found.unwrap().lines;
    let counts: Vec<_> =
        lines.iter().map(|one| (one.withdrawn, one.released, one.committed)).collect();
    assert_eq!(counts, [(0, 0, 3), (0, 1, 1)]);
    bench.sums_hold().await;
}

/// A follower's batch moves its cursor before it reads; a stock-take waits until it is over.
#[tokio::test]
async fn a_stock_take_waits_for_a_follower_on_postgres() {
    let (mut bench, mut client) = served(Dialect::Postgres).await;
    bench.set("A", 10).await;
    let _stories = placed(&mut bench, &[&[("A", 4)]]).await;
    let mut batch = bench.database.begin().await.unwrap();
    let at: Cursors = [(0, 1)].into_iter().collect();
    Cursors::default().store(&bench.database, &mut batch, "stock", &at, 0).await.unwrap();
    let call = shared_events::stream::spawn(async move { client.set_stock(short("A", 1)).await });
    bench.until_waited_for(&mut batch).await;
    assert!(!call.is_finished());
    batch.commit().await.unwrap();
    let answer = call.await.unwrap().unwrap().into_inner();
    assert_eq!((answer.losers.len(), bench.level("A").await), (1, (1, 0)));
}

on_both! {
    the_newest_unshipped_orders_lose_all_their_units
    a_stock_take_that_cannot_be_done_changes_nothing
    a_repeated_stock_take_takes_once
    units_shipped_after_their_withdrawal_are_taken_again
}
