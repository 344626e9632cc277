//! Lists of orders: which index serves them, on both databases.

use order_actor::projections::{
    Named, OrderIdentifiers, OrderReturns, OrderSummaries, ReturnFilter, ReturnSort, ReturnState,
    SummaryFilter, SummarySort, Word, migrator,
};
use shared_events::contract::{CustomerId, OrderId, ReturnId, Timestamp};
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

/// A return of each of twenty thousand orders, of some thousand customers: one in a hundred waits.
async fn returns(database: &Database) -> OrderReturns {
    let sql = r#"INSERT INTO order_returns (order_id, return_id, customer_id, version, state,
                                            requested_at, judge_by, content)
                 SELECT order_id, order_id, '00000' || substr(order_id, 6), 4,
                        CASE WHEN placed_at % 100 = 0 THEN 'REQUESTED'
                             WHEN placed_at % 2 = 0 THEN 'RECEIVED' ELSE 'REJECTED' END,
                        placed_at, placed_at + 5,
                        '{"order_number":"1","lines":[]}'
                 FROM order_summaries"#;
    let mut tx = database.begin().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    if database.dialect() == Dialect::Postgres {
        sqlx::query("ANALYZE order_returns").execute(database.reader()).await.unwrap();
    }
    OrderReturns::new(database.clone())
}

const RETURN_SORTS: [ReturnSort; 3] =
    [ReturnSort::RequestedAsc, ReturnSort::RequestedDesc, ReturnSort::JudgeByAsc];

/// Those of one state are found among many of others, and those of one customer among all.
async fn a_page_of_returns_is_read_by_an_index(dialect: Dialect) {
    let directory = tempfile::tempdir().unwrap();
    let (database, _) = lists(dialect, directory.path()).await;
    let returns = returns(&database).await;
    let all = ReturnFilter::default();
    let id = Uuid::from_u128(9);
    let place =
        (Timestamp::from_micros(ORDERS / 2), OrderId::from_uuid(id), ReturnId::from_uuid(id));
    let states = |states: &[ReturnState]| ReturnFilter { states: states.to_vec(), ..all.clone() };
    let customer: CustomerId = "00000007-0000-7000-8000-000000000000".parse().unwrap();
    let customer = ReturnFilter { customer_id: Some(customer), ..all.clone() };
    let filters = [
        ("order_returns_by_", states(&[ReturnState::Requested, ReturnState::Approved])),
        ("order_returns_by_", states(&[ReturnState::Rejected])),
        ("order_returns_by_", all.clone()),
        ("order_returns_by_customer", customer),
    ];
    for (index, filter) in filters {
        for (sort, place) in
            RETURN_SORTS.into_iter().flat_map(|sort| [(sort, None), (sort, Some(place))])
        {
            let filter = ReturnFilter { sort, ..filter.clone() };
            let plan = returns.plan_of(&filter, place, 21).await.unwrap().join("; ");
            let reads_all = plan.contains("Seq Scan") || plan.contains("SCAN order_returns");
            assert!(plan.contains(index) && !reads_all, "{filter:?} after {place:?}: {plan}");
        }
    }
}

/// Page by page, each once, in the order of the list, whatever states are put together.
async fn pages_of_returns_have_each_of_them_once(dialect: Dialect) {
    let directory = tempfile::tempdir().unwrap();
    let (database, _) = lists(dialect, directory.path()).await;
    let returns = returns(&database).await;
    for sort in RETURN_SORTS {
        let (from, until) = (Timestamp::from_micros(96), Timestamp::from_micros(302));
        let filter = ReturnFilter {
            states: vec![ReturnState::Requested, ReturnState::Received],
            requested_from: Some(from),
            requested_until: Some(until),
            sort,
            ..ReturnFilter::default()
        };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = returns.list(&filter, after, 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(sort.place(last));
            found.extend(page.iter().map(|known| known.requested_at.micros()));
        }
        let mut expected: Vec<i64> = (96..302).filter(|at| at % 2 == 0).collect();
        if sort == ReturnSort::RequestedDesc {
            expected.reverse();
        }
        assert_eq!(found, expected, "{sort:?}");
    }
    let counted = returns.count(ReturnState::Requested, 1_000).await.unwrap();
    assert_eq!(counted, (200, Some(Timestamp::from_micros(100))));
    let counted = returns.count(ReturnState::Requested, 7).await.unwrap();
    assert_eq!(counted, (7, Some(Timestamp::from_micros(100))));
    assert_eq!(returns.count(ReturnState::Approved, 7).await.unwrap(), (0, None));
}

/// Among the parcels of twenty thousand orders, by id and by the warehouse's own id.
async fn an_identifier_is_found_by_an_index(dialect: Dialect) {
    let directory = tempfile::tempdir().unwrap();
    let (database, _) = lists(dialect, directory.path()).await;
    let mut tx = database.begin().await.unwrap();
    for name in ["'shipment:' || order_id", "'shipment_reference:W-' || placed_at"] {
        let sql = format!(
            "INSERT INTO order_identifiers (order_id, name, part, version)
             SELECT order_id, {name}, order_id, 3 FROM order_summaries"
        );
        sqlx::query(&sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    if dialect == Dialect::Postgres {
        sqlx::query("ANALYZE order_identifiers").execute(database.reader()).await.unwrap();
    }
    let identifiers = OrderIdentifiers::new(database);
    let seventh: OrderId = "00000007-0000-7000-8000-000000000000".parse().unwrap();
    let id = seventh.to_string().to_uppercase();
    for (text, named) in [(id.as_str(), Named::Shipment), ("W-7", Named::ShipmentReference)] {
        let plan = identifiers.plan_of(text).await.unwrap().join("; ");
        let reads_all = plan.contains("Seq Scan") || plan.contains("SCAN order_identifiers");
        assert!(plan.contains("order_identifiers_by_name") && !reads_all, "{text}: {plan}");
        let found = identifiers.find(text, 10).await.unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.order_id, one.named, one.part)).collect();
        assert_eq!(found, [(seventh, named, Some(seventh.uuid()))], "{text}");
    }
    for text in ["W-0", "shipment:00000007-0000-7000-8000-000000000000", "%"] {
        assert!(identifiers.find(text, 10).await.unwrap().is_empty(), "{text}");
    }
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
    a_page_of_returns_is_read_by_an_index
    pages_of_returns_have_each_of_them_once
    an_identifier_is_found_by_an_index
}
