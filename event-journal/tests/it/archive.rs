//! Archived events of a Postgres journal are in files, and nothing else has changed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::PersistedEventRepository as _;
use cqrs_es::{Aggregate, DomainEvent};
use event_journal::{
    Archive, Archiving, ArchivingError, Journal, JournalError, NewEvent, Options, StoredEvent,
    StreamId, open_postgres,
};
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use shared_events::contract::Timestamp;
use shared_events::stream::{AskedBy, Cursors, OperatorAction, Verb};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};
use uuid::Uuid;

use crate::spread::fresh;

/// The minimum that cqrs-es needs to read a table; the events are ignored.
#[derive(Default, Serialize, Deserialize)]
struct Anything;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Whatever;

impl DomainEvent for Whatever {
    fn event_type(&self) -> String {
        String::new()
    }

    fn event_version(&self) -> String {
        String::new()
    }
}

impl Aggregate for Anything {
    const TYPE: &'static str = "order";
    type Command = ();
    type Event = Whatever;
    type Error = std::fmt::Error;
    type Services = ();

    async fn handle(
        &mut self,
        (): (),
        (): &(),
        _sink: &EventSink<Self>,
    ) -> Result<(), std::fmt::Error> {
        Ok(())
    }

    fn apply(&mut self, Whatever: Whatever) {}
}

/// A journal whose clock is set by the test.
struct Place {
    url: String,
    schema: String,
    now: Arc<AtomicI64>,
}

impl Place {
    fn new() -> Self {
        let url = std::env::var("ORDINAL_TEST_POSTGRES")
            .expect("ORDINAL_TEST_POSTGRES must name a Postgres database for tests");
        let schema = format!("t_{}", Uuid::new_v4().simple());
        Self { url, schema, now: Arc::new(AtomicI64::new(0)) }
    }

    fn at(&self, instant: &str) {
        let instant: Timestamp = instant.parse().unwrap();
        self.now.store(instant.micros(), Ordering::Relaxed);
    }

    fn options(&self) -> Options {
        let now = Arc::clone(&self.now);
        let now = move || Timestamp::from_micros(now.load(Ordering::Relaxed));
        Options { shards: 2, ..Options::new(Arc::new(now)) }
    }

    async fn open(&self) -> Journal {
        open_postgres(&self.url, &self.schema, self.options()).await.unwrap()
    }

    async fn reading(&self, archive: Option<&Path>) -> Journal {
        let archive = archive.map(Archive::new);
        let options = Options { read_only: true, archive, ..self.options() };
        open_postgres(&self.url, &self.schema, options).await.unwrap()
    }

    async fn pool(&self) -> PgPool {
        let options: PgConnectOptions = self.url.parse().unwrap();
        let options = options.options([("search_path", &self.schema)]).disable_statement_logging();
        PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
    }

    /// Archives what was recorded before an instant; these streams are finished.
    async fn archive(
        &self,
        before: &str,
        directory: &Path,
        over: &[StreamId],
    ) -> Result<u64, ArchivingError> {
        let mut archiving = Archiving::begin(&self.url, &self.schema).await?;
        let reach = archiving.reach(before.parse().unwrap()).await?;
        let is_over =
            |history: &[StoredEvent]| history.iter().all(|event| over.contains(&event.stream_id));
        let leaving = archiving.select(&reach, is_over).await?;
        let written = archiving.write(&reach, directory).await?;
        let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
        let at = Timestamp::default();
        let action = OperatorAction::new(&by, Verb::ArchiveJournal, before, "full", at);
        archiving.remove_archived(&written, &leaving, &action).await?;
        Ok(leaving.events)
    }
}

fn event(n: usize) -> NewEvent {
    // Bytes are kept as they are, in files too.
    let payload = format!("{{\"b\" : {n},\n \"a\":\"é\\u0000\"}}");
    NewEvent::from_json("OrderConfirmed", "1", payload, r#"{ "by":"test" }"#).unwrap()
}

async fn everything(journal: &Journal) -> Vec<StoredEvent> {
    let mut cursors = Cursors::default();
    let mut all = Vec::new();
    loop {
        let page = journal.read_after(&cursors, 7).await.unwrap();
        if page.is_empty() {
            all.sort_by_key(|event: &StoredEvent| (event.shard, event.position));
            return all;
        }
        for event in page {
            assert_eq!(event.position, cursors.get(event.shard) + 1);
            cursors.advance(event.shard, event.position);
            all.push(event);
        }
    }
}

#[tokio::test]
async fn finished_orders_are_archived_with_all_versions_others_stay() {
    let (place, directory) = (Place::new(), tempfile::tempdir().unwrap());
    place.at("2026-06-30T23:00:00Z");
    let journal = place.open().await;
    let streams: Vec<StreamId> = (0..20).map(|_| fresh()).collect();
    for (n, id) in streams.iter().enumerate() {
        journal.append(*id, 0, vec![event(n), event(n)]).await.unwrap();
    }
    place.at("2026-07-01T01:00:00Z");
    for (n, id) in streams[5..15].iter().enumerate() {
        journal.append(*id, 2, vec![event(n)]).await.unwrap();
    }
    // The clock is set back over the end of the month: the file of July continues.
    place.at("2026-06-30T23:59:59Z");
    journal.append(streams[15], 2, vec![event(1)]).await.unwrap();
    place.at("2026-08-02T00:00:00Z");
    journal.append(streams[10], 3, vec![event(1)]).await.unwrap();
    let before = everything(&journal).await;

    // The first half is finished, and one stream that was active in August, which stays.
    let over = &streams[..11];
    let left = place.archive("2026-08-01T00:00:00Z", directory.path(), over).await.unwrap();
    assert_eq!(left, 5 * 2 + 5 * 3);
    let reading = place.reading(Some(directory.path())).await;
    assert_eq!(everything(&reading).await, before);
    let audit = reading.audit(|_, _, _| ()).await.unwrap();
    assert_eq!((audit.damages, audit.archives, audit.unchecked), (vec![], vec![], vec![]));
    assert_eq!(audit.events, before.len() as u64);
    let blind = place.reading(None).await;
    let audit = blind.audit(|_, _, _| ()).await.unwrap();
    assert_eq!((audit.damages, audit.archives), (vec![], vec![]));
    let passed_over: u64 = audit.unchecked.iter().map(|part| part.last - part.first + 1).sum();
    assert_eq!(passed_over, before.len() as u64 - 1);
    for (n, id) in streams.iter().enumerate() {
        let history = reading.load(*id).await.unwrap();
        let known: Vec<_> = before.iter().filter(|event| event.stream_id == *id).cloned().collect();
        assert_eq!(history, known);
        match blind.load(*id).await {
            Ok(history) => assert_eq!((n >= 10, history), (true, known)),
            Err(error) => assert_eq!((n < 10, error.code()), (true, "ORDER_ARCHIVED"), "{error}"),
        }
    }
    let error = blind.read_after(&Cursors::default(), 10).await.unwrap_err();
    assert!(matches!(error, JournalError::Archived { .. }), "{error}");
    // Reads from the beginning of the table need no file.
    let table = blind.begins_after().await.unwrap();
    assert_eq!(blind.read_after(&table, 10).await.unwrap().len(), 1);

    // Kept streams continue, and so do archived ones, should anything happen to them after all.
    place.at("2026-08-03T00:00:00Z");
    journal.append(streams[19], 2, vec![event(1)]).await.unwrap();
    journal.append(streams[0], 2, vec![event(1)]).await.unwrap();
    // Archived streams still have their versions: nothing is placed twice. A conflict makes no
    // other request of its batch fail.
    for (stream, expected, actual) in [(15, 2, 3), (1, 0, 2), (2, 1, 2), (9, 0, 3), (9, 2, 3)] {
        let other = fresh();
        let (conflict, done) = tokio::join!(
            journal.append(streams[stream], expected, vec![event(1)]),
            journal.append(other, 0, vec![event(1)]),
        );
        let (stream_id, actual) = (streams[stream], Some(actual));
        assert_eq!(conflict, Err(JournalError::Conflict { stream_id, expected, actual }));
        done.unwrap();
    }
    let versions = |events: Vec<StoredEvent>| events.iter().map(|e| e.sequence).collect::<Vec<_>>();
    assert_eq!(versions(reading.load(streams[0]).await.unwrap()), [1, 2, 3]);
    assert_eq!(blind.load(streams[0]).await.unwrap_err().code(), "ORDER_ARCHIVED");

    // The next month: another file of each shard, with streams of the first that are finished by
    // now.
    let left =
        place.archive("2026-09-01T00:00:00Z", directory.path(), &streams[1..]).await.unwrap();
    assert_eq!(left, 4 + 4 * 3 + 3 + 3 * 2 + 3);
    let reading = place.reading(Some(directory.path())).await;
    assert_eq!(reading.verify().await.unwrap(), before.len() as u64 + 2 + 5);
    assert_eq!(versions(reading.load(streams[0]).await.unwrap()), [1, 2, 3]);
    assert_eq!(versions(reading.load(streams[10]).await.unwrap()), [1, 2, 3, 4]);
    let months: Vec<String> = Archive::new(directory.path())
        .manifests()
        .unwrap()
        .into_iter()
        .map(|manifest| format!("{} {}", manifest.shard, manifest.month))
        .collect();
    assert_eq!(months.iter().filter(|month| month.ends_with("2026-06")).count(), 2);
    journal.close().await;
}

#[tokio::test]
async fn the_new_table_is_guarded_as_the_old_one_was() {
    let (place, directory) = (Place::new(), tempfile::tempdir().unwrap());
    place.at("2026-06-30T23:00:00Z");
    let journal = place.open().await;
    let (gone, here) = (fresh(), fresh());
    journal.append(gone, 0, vec![event(1)]).await.unwrap();
    journal.append(here, 0, vec![event(1), event(2)]).await.unwrap();
    let pool = place.pool().await;
    let role = format!("reader_{}", place.schema);
    sqlx::raw_sql(&format!("CREATE ROLE {role}; GRANT SELECT ON events TO {role}"))
        .execute(&pool)
        .await
        .unwrap();
    place.archive("2026-07-01T00:00:00Z", directory.path(), &[gone]).await.unwrap();
    for sql in [
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "UPDATE archives SET file = ''",
        "DELETE FROM archives",
        "DELETE FROM archived_orders",
        "UPDATE archived_orders SET positions = '{7,8}'",
    ] {
        let error = sqlx::query(sql).execute(&pool).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    for (column, constraint) in [("sequence", "events_position"), ("position", "events_pkey")] {
        let sql = format!(
            "INSERT INTO events SELECT aggregate_type, aggregate_id, sequence + {}, event_type,
                 event_version, payload, metadata, shard, position + {}, recorded_at, hash
             FROM events",
            if column == "sequence" { 10 } else { 0 },
            if column == "position" { 10 } else { 0 },
        );
        let error = sqlx::query(&sql).execute(&pool).await.unwrap_err().to_string();
        assert!(error.contains(constraint), "{error}");
    }
    let grants: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.role_table_grants
         WHERE grantee = $1 AND table_name = 'events'",
    )
    .bind(&role)
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(grants, 1);
    sqlx::raw_sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).execute(&pool).await.unwrap();
    let repository = PostgresEventRepository::new(pool.clone());
    let events = repository.get_events::<Anything>(&here.to_string()).await.unwrap();
    assert_eq!(events.len(), 2);

    // An index that was added is not lost silently.
    sqlx::raw_sql("CREATE INDEX mine ON events (recorded_at)").execute(&pool).await.unwrap();
    let error = place.archive("2026-08-01T00:00:00Z", directory.path(), &[here]).await.unwrap_err();
    assert_eq!(error.code(), "EVENTS_TABLE_CHANGED", "{error}");
    journal.close().await;
}

#[tokio::test]
async fn a_directory_of_another_journal_and_a_damaged_journal_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (mine, other) = (Place::new(), Place::new());
    let before = "2026-07-01T00:00:00Z";
    let mut places = Vec::new();
    for place in [&mine, &other] {
        place.at("2026-06-30T23:00:00Z");
        let journal = place.open().await;
        let streams: Vec<StreamId> = (0..8).map(|_| fresh()).collect();
        for id in &streams {
            journal.append(*id, 0, vec![event(1), event(2)]).await.unwrap();
        }
        journal.close().await;
        places.push(streams);
    }
    mine.archive(before, directory.path(), &places[0]).await.unwrap();
    let error = other.archive(before, directory.path(), &places[1]).await.unwrap_err();
    assert_eq!(error.code(), "ARCHIVE_FOREIGN", "{error}");
    let elsewhere = tempfile::tempdir().unwrap();
    let pool = other.pool().await;
    sqlx::raw_sql(
        "ALTER TABLE events DISABLE TRIGGER USER;
         UPDATE events SET metadata = '{}' WHERE position = 1;
         ALTER TABLE events ENABLE TRIGGER USER",
    )
    .execute(&pool)
    .await
    .unwrap();
    let error = other.archive(before, elsewhere.path(), &places[1]).await.unwrap_err();
    assert_eq!(error.code(), "JOURNAL_DAMAGED", "{error}");
    let reading = other.reading(None).await;
    assert_eq!(everything(&reading).await.len(), 16);
    assert_eq!(mine.reading(Some(directory.path())).await.verify().await.unwrap(), 16);
}

#[tokio::test]
async fn one_run_at_a_time() {
    let place = Place::new();
    place.at("2026-06-30T23:00:00Z");
    place.open().await.close().await;
    let first = Archiving::begin(&place.url, &place.schema).await.unwrap();
    let second = Archiving::begin(&place.url, &place.schema).await;
    assert!(matches!(second, Err(ArchivingError::Busy)));
    first.close().await;
    Archiving::begin(&place.url, &place.schema).await.unwrap().close().await;
}
