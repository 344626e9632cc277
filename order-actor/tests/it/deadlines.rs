//! The durable list of open deadlines.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use order_actor::actor::{Context, Limits};
use order_actor::domain::{By, Command, Component, Confirm};
use order_actor::projections::{Deadlines, migrator};
use order_actor::record::RecordedEvent;
use order_actor::replay::JournalSource;
use shared_events::contract::{OrderId, ReservationId, Timestamp};
use shared_events::stream::{Cursors, Database, Dialect, Handler as _, Source as _};
use sqlx::{Connection as _, PgConnection};

use crate::actors::{in_memory, ops, placed};
use crate::postgres;

/// The number of entries read from each index of a table, by index name. Closes the last handle of
/// the database, because sessions report their statistics to the server before they end.
async fn entries_read(
    url: &str,
    database: Database,
    schema: &str,
    table: &str,
) -> BTreeMap<String, i64> {
    let session = database.session_name().to_owned();
    database.close().await;
    // A connection returned to the pool meanwhile stays open as long as a pool handle exists.
    drop(database);
    let mut server = PgConnection::connect(url).await.unwrap();
    let ended = async {
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)";
        while sqlx::query_scalar(sql).bind(&session).fetch_one(&mut server).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the sessions did not end");
    let sql = "SELECT indexrelname::text, idx_tup_read FROM pg_stat_all_indexes
               WHERE schemaname = $1 AND relname = $2";
    let read: Vec<(String, i64)> =
        sqlx::query_as(sql).bind(schema).bind(table).fetch_all(&mut server).await.unwrap();
    read.into_iter().collect()
}

/// Postgres caches plans, including those made while no deadline was open. None of them may read
/// the entire list to find the requested orders.
#[tokio::test]
async fn a_plan_made_while_the_list_was_empty_reads_only_requested_rows() {
    const ORDERS: usize = 600;
    const PAGE: usize = 50;
    let (registry, journal, _) = in_memory(Limits::default()).await;
    let placed = join_all((0..ORDERS).map(|_| placed(&registry))).await;
    let confirm = async |(order_id, _): &(OrderId, _)| {
        let command = Command::Confirm(Confirm {
            reservation_id: ReservationId::mint(),
            backordered: Vec::new(),
        });
        let engine = Context { by: By::Engine(Component::STOCK), ..ops() };
        registry.execute(*order_id, command, engine).await.unwrap()
    };
    join_all(placed.iter().map(confirm)).await;
    let batch = JournalSource::new(journal.clone());
    let batch = batch.read_after(&Cursors::default(), usize::MAX).await.unwrap();
    let (opening, closing): (Vec<RecordedEvent>, Vec<RecordedEvent>) =
        batch.items.into_iter().partition(|recorded| recorded.sequence == 1);
    assert_eq!((opening.len(), closing.len()), (ORDERS, ORDERS));

    // A database of its own: transactions of other tests would keep VACUUM from removing dead rows.
    let (url, schema) = (postgres::database(9).await, postgres::schema());
    let migrations = migrator(Dialect::Postgres);
    let database = Database::postgres(&url, &schema, &migrations).await.unwrap();
    let list = Deadlines::new(database.clone());
    let mut handler = list.handler(journal);
    let mut follow = async |events: &[RecordedEvent]| {
        let mut tx = database.begin().await.unwrap();
        handler.handle(&mut tx, events).await.unwrap();
        tx.commit().await.unwrap();
    };
    let far = Timestamp::from_micros(i64::MAX);
    // The list was long and is empty now.
    follow(&opening).await;
    follow(&closing).await;
    sqlx::query("VACUUM ANALYZE deadlines").execute(database.reader()).await.unwrap();
    // Postgres caches a plan after the fifth execution, in each session.
    for one in closing.chunks(1).take(24) {
        follow(one).await;
        assert_eq!(list.due(far, None, 1).await.unwrap(), []);
        assert_eq!(list.of_order(one[0].order_id).await.unwrap(), None);
    }
    follow(&opening).await;
    let mut after = None;
    for _ in 0..ORDERS / PAGE {
        let page = list.due(far, after, u32::try_from(PAGE).unwrap()).await.unwrap();
        assert_eq!(page.len(), PAGE);
        assert!(page.is_sorted_by_key(|due| (due.due, due.order_id)));
        after = page.last().map(|due| (due.due, due.order_id));
    }
    for page in closing.chunks(PAGE) {
        assert!(list.of_order(page[0].order_id).await.unwrap().is_some());
        follow(page).await;
    }
    assert_eq!(list.due(far, None, 1).await.unwrap(), []);

    drop((list, handler));
    let read = entries_read(&url, database, &schema, "deadlines").await;
    let (by_time, by_key) = (read["deadlines_by_time"], read["deadlines_pkey"]);
    // Each deadline was on one page of the list; removed ones may be read once more at the end.
    let listed = i64::try_from(ORDERS).unwrap();
    assert!((listed..=2 * listed).contains(&by_time), "{read:?}, {listed} were listed");
    // Each was removed by its order, twice; one of each batch was read before.
    let removed = i64::try_from(2 * ORDERS + ORDERS / PAGE).unwrap();
    assert!((removed..2 * removed).contains(&by_key), "{read:?}, {removed} were removed");
}
