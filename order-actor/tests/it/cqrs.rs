//! cqrs-es and the journal read each other's events.

use std::sync::Arc;

use cqrs_es::persist::{PersistedEventRepository as _, PersistedEventStore, SerializedEvent};
use cqrs_es::{AggregateContext as _, EventStore as _};
use order_actor::aggregate::OrderAggregate;
use order_actor::domain::{Event, Order};
use order_actor::journal::{NewEvent, Options, load_standard, open_postgres};
use postgres_es::PostgresEventRepository;
use shared_events::contract::{OrderId, ReservationId, Timestamp};

use crate::postgres::{pool, schema, server};

#[tokio::test]
async fn cqrs_es_and_the_journal_read_each_others_events() {
    let confirmed = Event::OrderConfirmed {
        backordered: Vec::new(),
        reservation_id: ReservationId::mint(),
        at: Timestamp::from_micros(1_800_000_000_000_000),
    };
    let payload = serde_json::to_string(&confirmed).unwrap();
    let (url, schema) = (server(), schema());
    let now = || Timestamp::from_micros(1_800_000_000_123_456);
    let options = Options { shards: 4, ..Options::new(Arc::new(now)) };
    let journal = open_postgres(&url, &schema, options).await.unwrap();
    let id = OrderId::mint();
    let new = NewEvent::from_json("OrderConfirmed", "1", payload.clone(), "{}").unwrap();
    journal.append(id, 0, vec![new]).await.unwrap();

    let repository = PostgresEventRepository::new(pool(&url, &schema).await);
    let events = repository.get_events::<OrderAggregate>(&id.to_string()).await.unwrap();
    assert_eq!((events.len(), events[0].event_type.as_str()), (1, "OrderConfirmed"));
    let store = PersistedEventStore::<_, OrderAggregate>::new_event_store(repository);
    let loaded = store.load_events(&id.to_string()).await.unwrap();
    assert_eq!(loaded[0].payload, confirmed);
    // An order cannot begin with a confirmation: the bridge reports an error and does not panic.
    let mut context = store.load_aggregate(&id.to_string()).await.unwrap();
    assert!(context.aggregate().order().is_err());

    let schema = crate::postgres::schema();
    let standard = pool(&url, &schema).await;
    sqlx::raw_sql(&format!(
        "CREATE SCHEMA {schema}; SET search_path TO {schema};
         CREATE TABLE events (aggregate_type text NOT NULL, aggregate_id text NOT NULL,
             sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL,
             event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL,
             PRIMARY KEY (aggregate_type, aggregate_id, sequence))"
    ))
    .execute(&standard)
    .await
    .unwrap();
    let written = SerializedEvent::new(
        id.to_string(),
        1,
        "order".to_owned(),
        "OrderConfirmed".to_owned(),
        "1".to_owned(),
        serde_json::from_str(&payload).unwrap(),
        serde_json::json!({}),
    );
    let repository = PostgresEventRepository::new(standard.clone());
    repository.persist::<OrderAggregate>(&[written], None).await.unwrap();
    let read = load_standard(&standard, id).await.unwrap();
    assert_eq!((read.len(), read[0].sequence), (1, 1));
    assert_eq!(serde_json::from_str::<Event>(&read[0].payload).unwrap(), confirmed);
    assert_eq!(*OrderAggregate::default().order().unwrap(), Order::Absent);
}
