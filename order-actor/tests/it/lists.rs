//! Lists of orders: which index serves them, on both databases.

use order_actor::projections::{OrderSummaries, SummaryFilter, SummarySort, Word, migrator};
use shared_events::contract::{CustomerId, OrderId, Timestamp};
use shared_events::stream::{Database, Dialect};
use uuid::Uuid;

use crate::on_both::on_both;
use crate::postgres;

const ORDERS: i64 = 20_000;
const CUSTOMERS: i64 = 1_000;

/// Twenty thousand orders of a thousand customers, changed in another order than they were placed.
async fn lists(dialect: Dialect, directory: &std::path::Path) -> (Database, OrderSummaries) {
    let migrations = migrator(dialect);
    let database = match dialect {
        Dialect::Sqlite => {
            Database::sqlite(&directory.join("orders.db"), &migrations).await.unwrap()
        }
        Dialect::Postgres => {
            let (url, schema) = (postgres::server(), postgres::schema());
            Database::postgres(&url, &schema, &migrations).await.unwrap()
        }
    };
    let numbers = database.sql(
        "SELECT generate_series(1, $1::bigint) AS n",
        "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < $1)
         SELECT n FROM s",
    );
    let id = database.sql(
        "lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000'",
        "printf('%08x-0000-7000-8000-000000000000', n)",
    );
    let sql = format!(
        "INSERT INTO order_summaries (order_id, customer_id, status, version, currency, total,
                                      refunded, units, placed_at, updated_at)
         SELECT {id}, (n % {CUSTOMERS}) || '',
                CASE n % 2 WHEN 0 THEN 'CONFIRMED' ELSE 'PENDING' END, 1, 'GBP', 1, 0, 1, n, (n * 7919) % {ORDERS}
         FROM ({numbers}) AS numbers"
    );
    let mut tx = database.begin().await.unwrap();
    sqlx::query(&sql).bind(ORDERS).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    if dialect == Dialect::Postgres {
        sqlx::query("ANALYZE order_summaries").execute(database.reader()).await.unwrap();
    }
    (database.clone(), OrderSummaries::new(database))
}

async fn a_page_by_the_last_change_is_read_by_its_index(dialect: Dialect) {
    let directory = tempfile::tempdir().unwrap();
    let (_database, lists) = lists(dialect, directory.path()).await;
    let id = OrderId::from_uuid(Uuid::from_u128(9));
    let places = [None, Some((Timestamp::from_micros(ORDERS / 2), id))];
    for (sort, place) in [SummarySort::UpdatedDesc, SummarySort::UpdatedAsc]
        .into_iter()
        .flat_map(|sort| places.map(|place| (sort, place)))
    {
        let filter = SummaryFilter { sort, ..SummaryFilter::default() };
        let plan = lists.plan_of(&filter, place, 21).await.unwrap().join("; ");
        assert!(plan.contains("order_summaries_by_change"), "{sort:?} after {place:?}: {plan}");
        assert!(!reads_all(&plan), "{sort:?} after {place:?}: {plan}");
    }
}

/// As before: what is sorted is what one customer has.
async fn a_list_of_one_customer_is_not_read_as_a_whole(dialect: Dialect) {
    let directory = tempfile::tempdir().unwrap();
    let (_database, lists) = lists(dialect, directory.path()).await;
    for sort in [SummarySort::UpdatedDesc, SummarySort::PlacedDesc] {
        let customer_id = Some(CustomerId::from_uuid(Uuid::from_u128(7)));
        let filter = SummaryFilter { sort, customer_id, ..SummaryFilter::default() };
        let plan = lists.plan_of(&filter, None, 21).await.unwrap().join("; ");
        assert!(plan.contains("order_summaries_by_customer"), "{sort:?}: {plan}");
    }
    let (from, until) = (Timestamp::from_micros(10), Timestamp::from_micros(90));
    let filter = SummaryFilter {
        placed_from: Some(from),
        placed_until: Some(until),
        ..SummaryFilter::default()
    };
    let plan = lists.plan_of(&filter, None, 21).await.unwrap().join("; ");
    assert!(plan.contains("order_summaries_by_time") && !reads_all(&plan), "{plan}");
}

/// Few orders have a word, a hold or a waiting return: they are found by their own index, and sorted.
async fn a_list_of_few_orders_is_read_by_their_index(dialect: Dialect) {
    let directory = tempfile::tempdir().unwrap();
    let (_database, lists) = lists(dialect, directory.path()).await;
    let id = OrderId::from_uuid(Uuid::from_u128(9));
    let all = SummaryFilter::default();
    let words = vec![Word::tag("gift")];
    let filters = [
        ("order_summaries_by_held", SummaryFilter { held: true, ..all.clone() }),
        ("order_summaries_by_waiting", SummaryFilter { returns_waiting: true, ..all.clone() }),
        ("order_summaries_by_words", SummaryFilter { words, ..all }),
    ];
    for (index, filter) in filters {
        for sort in [SummarySort::UpdatedDesc, SummarySort::UpdatedAsc, SummarySort::PlacedDesc] {
            for place in [None, Some((Timestamp::from_micros(ORDERS / 2), id))] {
                let filter = SummaryFilter { sort, ..filter.clone() };
                let plan = lists.plan_of(&filter, place, 21).await.unwrap().join("; ");
                let served = match dialect {
                    Dialect::Sqlite => plan.contains(index),
                    Dialect::Postgres => !plan.contains("Seq Scan"),
                };
                assert!(served, "{sort:?} after {place:?}: {plan}");
                lists.list(&filter, place, 21).await.unwrap();
            }
        }
    }
}

/// What is counted of returns is when they came, not when their orders changed.
async fn returns_wait_since_the_oldest_came(dialect: Dialect) {
    let directory = tempfile::tempdir().unwrap();
    let (database, lists) = lists(dialect, directory.path()).await;
    assert_eq!(lists.returns_unjudged(10).await.unwrap(), (0, None));
    let mut tx = database.begin().await.unwrap();
    let sql = "UPDATE order_summaries SET unjudged_since = placed_at + 5, returns_waiting = 1
               WHERE placed_at <= 20";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let oldest = Some(Timestamp::from_micros(6));
    assert_eq!(lists.returns_unjudged(100).await.unwrap(), (20, oldest));
    assert_eq!(lists.returns_unjudged(10).await.unwrap(), (10, oldest));
    // A node of an earlier version saw the judgement.
    let mut tx = database.begin().await.unwrap();
    let sql = "UPDATE order_summaries SET returns_waiting = NULL WHERE placed_at = 1";
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let oldest = Some(Timestamp::from_micros(7));
    assert_eq!(lists.returns_unjudged(100).await.unwrap(), (19, oldest));
}

/// Whether a plan reads the whole table, or sorts.
fn reads_all(plan: &str) -> bool {
    plan.contains("Seq Scan")
        || plan.contains("Sort")
        || plan.contains("TEMP B-TREE")
        || plan.contains("SCAN order_summaries;")
        || plan.ends_with("SCAN order_summaries")
}

on_both! {
    a_page_by_the_last_change_is_read_by_its_index
    a_list_of_one_customer_is_not_read_as_a_whole
    a_list_of_few_orders_is_read_by_their_index
    returns_wait_since_the_oldest_came
}
