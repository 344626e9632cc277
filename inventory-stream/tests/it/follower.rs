//! Order facts move stock, all or nothing, on SQLite and on Postgres alike.

use shared_events::contract::{Disposition, FactId, OrderId};
use shared_events::stream::Dialect;

use crate::on_both::on_both;
use crate::support::{Bench, Story};

async fn an_order_is_reserved_shipped_and_partly_restocked(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.set("A", 10).await;
    bench.set("B", 5).await;
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 3), ("B", 5), ("A", 2)])]).await.unwrap();
    assert_eq!((bench.level("A").await, bench.level("B").await), ((10, 5), (5, 5)));
    bench.follow(&[story.lines_cancelled(&[(1, "A", 1)])]).await.unwrap();
    assert_eq!(bench.level("A").await, (10, 4));
    let (first, second) =
        (story.shipped(&[(1, "A", 2)]), story.shipped(&[(2, "B", 5), (3, "A", 2)]));
    bench.follow(&[first, second]).await.unwrap();
    assert_eq!((bench.level("A").await, bench.level("B").await), ((6, 0), (0, 0)));
    let back = story.returned(&[(3, "A", 1)], Disposition::Restock);
    let broken = story.returned(&[(2, "B", 1)], Disposition::WriteOff);
    bench.follow(&[back, broken]).await.unwrap();
    assert_eq!((bench.level("A").await, bench.level("B").await), ((7, 0), (0, 0)));
    assert_eq!(
        bench.published().await,
        [
            "inventory.reserved.v1",
            "inventory.released.v1",
            "inventory.committed.v1",
            "inventory.committed.v1",
            "inventory.restocked.v1"
        ]
    );
    bench.sums_hold().await;
}

async fn a_short_product_rejects_the_order_and_reserves_nothing(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.set("A", 10).await;
    bench.set("B", 1).await;
    let mut story = Story::new();
    let placed = story.placed(&[("A", 3), ("B", 2), ("NEVER", 1)]);
    bench.follow(&[placed, story.cancelled()]).await.unwrap();
    assert_eq!((bench.level("A").await, bench.level("B").await), ((10, 0), (1, 0)));
    assert_eq!(bench.published().await, ["inventory.rejected.v1"]);
    let held = inventory_stream::store::get_reservation(&bench.database, story.order_id).await;
    let missing: Vec<String> =
        held.unwrap().unwrap().missing.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["B", "NEVER"]);
    // Two lines of one product count together.
    bench.follow(&[Story::new().placed(&[("A", 6), ("A", 5)])]).await.unwrap();
    assert_eq!(bench.level("A").await, (10, 0));
    bench.sums_hold().await;
}

async fn a_cancellation_that_comes_first_leaves_a_tombstone(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.set("A", 10).await;
    let mut story = Story::new();
    let placed = story.placed(&[("A", 3)]);
    bench.follow(&[story.cancelled()]).await.unwrap();
    bench.follow(std::slice::from_ref(&placed)).await.unwrap();
    bench.follow(&[placed]).await.unwrap();
    assert_eq!(bench.level("A").await, (10, 0));
    assert!(bench.published().await.is_empty());
    bench.sums_hold().await;
}

async fn one_of_a_thousand_buyers_gets_the_last_unit(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.set("LAST", 1).await;
    let facts: Vec<_> = (0..1_000).map(|_| Story::new().placed(&[("LAST", 1)])).collect();
    for batch in facts.chunks(300) {
        bench.follow(batch).await.unwrap();
    }
    assert_eq!(bench.level("LAST").await, (1, 1));
    let published = bench.published().await;
    assert_eq!(published.iter().filter(|kind| **kind == "inventory.reserved.v1").count(), 1);
    assert_eq!(published.iter().filter(|kind| **kind == "inventory.rejected.v1").count(), 999);
    bench.sums_hold().await;
}

async fn an_impossible_fact_is_blamed_and_changes_nothing(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.set("A", 10).await;
    let (mut good, mut bad) = (Story::new(), Story::new());
    bench.follow(&[good.placed(&[("A", 3)]), bad.placed(&[("A", 2)])]).await.unwrap();
    let facts = [good.shipped(&[(1, "A", 3)]), bad.shipped(&[(1, "A", 5)])];
    let blame = bench.follow(&facts).await.unwrap_err();
    let [(1, _)] = blame.into_items().unwrap()[..] else { panic!("another is blamed") };
    assert_eq!(bench.level("A").await, (10, 5));
    bench.follow(&facts[..1]).await.unwrap();
    assert_eq!(bench.level("A").await, (7, 2));
    bench.sums_hold().await;
}

async fn a_fact_leads_to_as_many_facts_as_have_ids(dialect: Dialect) {
    let max = u32::from(FactId::CAUSED_MAX);
    for steps in [max - 1, max] {
        let mut bench = Bench::on(dialect).await;
        bench.set("A", 100).await;
        let mut story = Story::new();
        let placed = story.placed(&[("A", max)]);
        // Parcels that come before the placing wait for it.
        let shipped: Vec<_> = (0..steps).map(|_| story.shipped(&[(1, "A", 1)])).collect();
        bench.follow(&shipped).await.unwrap();
        match bench.follow(&[placed]).await {
            Ok(()) => assert_eq!((bench.published().await.len(), steps), (16, max - 1)),
            Err(blame) => {
                let error = "leads to more facts than have ids".to_owned();
                assert_eq!((blame.into_items().unwrap(), steps), (vec![(0, error)], max));
                assert_eq!(bench.level("A").await, (100, 0));
            }
        }
        bench.sums_hold().await;
    }
}

async fn reconcile_names_planted_damage(dialect: Dialect) {
    let mut bench = Bench::on(dialect).await;
    bench.set("A", 10).await;
    bench.set("B", 10).await;
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 3)]), Story::new().placed(&[("B", 1)])]).await.unwrap();
    bench.sums_hold().await;
    damage(&bench, "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'B'").await;
    let found = inventory_stream::reconcile(&bench.database).await.unwrap().discrepancies;
    let named: Vec<_> = found.iter().map(|one| (one.law.as_str(), one.subject.as_str())).collect();
    assert_eq!(named, [("stock.on_hand", "sku B"), ("stock.movements", "sku B")]);
    damage(&bench, "UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'B'").await;
    damage(&bench, "DELETE FROM movements WHERE sku = 'B' AND number = 1").await;
    let found = inventory_stream::reconcile(&bench.database).await.unwrap().discrepancies;
    let named: Vec<_> = found.iter().map(|one| (one.law.as_str(), one.subject.as_str())).collect();
    assert_eq!(named, [("stock.adjusted", "sku B"), ("stock.movements", "sku B")]);
    damage(
        &bench,
        "INSERT INTO movements (sku, number, delta, held, on_hand, reserved, cause, at)
         VALUES ('B', 1, 10, 0, 10, 0, 'SET', 0)",
    )
    .await;
    lose(&bench, story.order_id).await;
    let found = inventory_stream::reconcile(&bench.database).await.unwrap().discrepancies;
    let named: Vec<_> = found.iter().map(|one| (one.law.as_str(), one.subject.as_str())).collect();
    assert_eq!(named, [("stock.reserved", "sku A")]);
}

async fn damage(bench: &Bench, sql: &str) {
    let mut tx = bench.database.begin().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn lose(bench: &Bench, order_id: OrderId) {
    damage(bench, &format!("DELETE FROM reservations WHERE order_id = '{order_id}'")).await;
}

on_both! {
    an_order_is_reserved_shipped_and_partly_restocked
    a_short_product_rejects_the_order_and_reserves_nothing
    a_cancellation_that_comes_first_leaves_a_tombstone
    one_of_a_thousand_buyers_gets_the_last_unit
    an_impossible_fact_is_blamed_and_changes_nothing
    a_fact_leads_to_as_many_facts_as_have_ids
    reconcile_names_planted_damage
}
