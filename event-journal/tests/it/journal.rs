//! The laws of the journal: one suite, every store.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_journal::{
    EVENT_BYTES_MAX, EVENTS_PER_STREAM_MAX, Fault, GENESIS, Journal, JournalError, MemoryDisk,
    NewEvent, Options, ShardMap, StreamId, UniqueKey, chain_hash, open_memory_on, open_postgres,
    open_spread, open_sqlite,
};
use shared_events::contract::Timestamp;
use shared_events::stream::{Cursors, begin};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool, SqlitePool};
use tokio::time::{Instant, sleep, timeout};

use crate::spread;

/// The deadline for what must happen soon; reaching it fails the test.
const SOON: Duration = Duration::from_secs(60);

enum Place {
    Memory(MemoryDisk),
    Sqlite(tempfile::TempDir),
    Postgres { url: String, schema: String },
    Spread { map: ShardMap, schema: String },
}

impl Place {
    async fn all() -> Vec<Self> {
        let map = spread::map(["0-1", "2-3"]).await;
        let spread = Self::Spread { map, schema: spread::schema() };
        vec![Self::memory(), Self::sqlite(), Self::postgres(), spread]
    }

    fn memory() -> Self {
        Self::Memory(MemoryDisk::default())
    }

    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    fn postgres() -> Self {
        Self::Postgres { url: spread::server(), schema: spread::schema() }
    }

    fn file(&self) -> PathBuf {
        match self {
            Self::Sqlite(directory) => directory.path().join("journal.db"),
            _ => panic!("no file"),
        }
    }

    async fn open(&self, options: Options) -> Result<Journal, JournalError> {
        match self {
            Self::Memory(disk) => open_memory_on(disk, options).await,
            Self::Sqlite(_) => open_sqlite(&self.file(), options).await,
            Self::Postgres { url, schema } => open_postgres(url, schema, options).await,
            Self::Spread { map, schema } => open_spread(map, schema, options).await,
        }
    }

    /// A pool beside the journal, in its schema.
    async fn pool(&self) -> PgPool {
        let Self::Postgres { url, schema } = self else { panic!("not Postgres") };
        let options: PgConnectOptions = url.parse().unwrap();
        let options = options.options([("search_path", schema)]).disable_statement_logging();
        PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
    }
}

fn options() -> Options {
    let now = || Timestamp::from_micros(1_800_000_000_123_456);
    Options { shards: 4, ..Options::new(Arc::new(now)) }
}

fn event(n: usize) -> NewEvent {
    // Spaces and key order must survive.
    let payload = format!(r#"{{"b" : {n},  "a":"é\u0000"}}"#);
    NewEvent::from_json("OrderConfirmed", "1", payload, r#"{ "by":"test" }"#).unwrap()
}

fn stream() -> StreamId {
    spread::fresh()
}

async fn everything(journal: &Journal) -> Cursors {
    let mut cursors = Cursors::default();
    loop {
        let page = journal.read_after(&cursors, 100).await.unwrap();
        if page.is_empty() {
            return cursors;
        }
        for event in page {
            assert_eq!(event.position, cursors.get(event.shard) + 1);
            cursors.advance(event.shard, event.position);
        }
    }
}

#[tokio::test]
async fn appended_events_are_read_back_byte_for_byte() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        let id = stream();
        let first = journal.append(id, 0, vec![event(1), event(2)]).await.unwrap();
        assert_eq!((first.version, first.position), (2, 2));
        assert_eq!(first.shard, journal.shard_of(id));
        let second = journal.append(id, 2, vec![event(3)]).await.unwrap();
        assert_eq!((second.version, second.position), (3, 3));
        let stored = journal.load(id).await.unwrap();
        assert_eq!(stored.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        for (n, stored) in stored.iter().enumerate() {
            assert_eq!(stored.payload, event(n + 1).payload());
            assert_eq!(stored.metadata, event(n + 1).metadata());
            assert_eq!(stored.recorded_at, first.recorded_at);
        }
        assert!(journal.load(stream()).await.unwrap().is_empty());
        journal.close().await;
        assert_eq!(journal.append(id, 3, vec![event(4)]).await, Err(JournalError::Closed));

        // A new writer reads the same; the database tells it the version.
        let journal = place.open(options()).await.unwrap();
        let conflict = journal.append(id, 0, vec![event(9)]).await.unwrap_err();
        assert_eq!(
            conflict,
            JournalError::Conflict { stream_id: id, expected: 0, actual: Some(3) }
        );
        let ahead = journal.append(id, 7, vec![event(9)]).await.unwrap_err();
        assert_eq!(ahead.code(), "JOURNAL_CONFLICT");
        assert_eq!(journal.append(id, 3, vec![event(4)]).await.unwrap().position, 4);
        assert_eq!(journal.verify().await.unwrap(), 4);
        journal.close().await;
    }
}

#[tokio::test]
async fn a_conflicting_order_fails_alone() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        let taken: Vec<StreamId> = (0..8).map(|_| stream()).collect();
        for id in &taken {
            journal.append(*id, 0, vec![event(1)]).await.unwrap();
        }
        journal.close().await;
        // A new writer knows no versions, so these conflicts are found by the primary key.
        let journal = place.open(options()).await.unwrap();
        let fresh: Vec<StreamId> = (0..64).map(|_| stream()).collect();
        let appends = taken.iter().chain(&fresh).map(|id| journal.append(*id, 0, vec![event(1)]));
        let answers = futures::future::join_all(appends).await;
        let (refused, appended) = answers.split_at(taken.len());
        assert!(refused.iter().all(|a| a.as_ref().unwrap_err().code() == "JOURNAL_CONFLICT"));
        assert!(appended.iter().all(Result::is_ok), "{appended:?}");
        assert_eq!(journal.verify().await.unwrap(), 72);
        journal.close().await;
    }
}

#[tokio::test]
async fn of_64_writers_one_wins_each_version() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        let id = stream();
        for version in 0..5 {
            let appends = (0..64).map(|n| journal.append(id, version, vec![event(n)]));
            let answers = futures::future::join_all(appends).await;
            assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
            for error in answers.into_iter().filter_map(Result::err) {
                assert_eq!(error.code(), "JOURNAL_CONFLICT");
            }
        }
        assert_eq!(journal.load(id).await.unwrap().len(), 5);
        journal.close().await;
    }
}

/// Readers check contiguity themselves (`Broken`), and here once more, while writers of all shards
/// are running.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_skip_what_writers_append_at_the_same_time() {
    for place in Place::all().await {
        if let Place::Memory(disk) = &place {
            for n in 0..40 {
                disk.inject(Fault::Slow(Duration::from_millis(n % 7)));
            }
        }
        let journal = place.open(options()).await.unwrap();
        let beside = match &place {
            Place::Memory(_) => journal.clone(),
            _ => place.open(Options { read_only: true, ..options() }).await.unwrap(),
        };
        let reader = tokio::spawn(async move {
            let (mut cursors, mut seen) = (Cursors::default(), BTreeMap::<StreamId, u64>::new());
            while seen.values().sum::<u64>() < 1_000 {
                beside.changed(&cursors).await;
                for event in beside.read_after(&cursors, 37).await.unwrap() {
                    assert_eq!(event.position, cursors.get(event.shard) + 1);
                    cursors.advance(event.shard, event.position);
                    let version = seen.entry(event.stream_id).or_default();
                    assert_eq!(event.sequence, *version + 1);
                    *version = event.sequence;
                }
            }
        });
        let writers = (0..100).map(|_| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let id = stream();
                for version in 0..10 {
                    journal.append(id, version, vec![event(1)]).await.unwrap();
                }
            })
        });
        for writer in futures::future::join_all(writers).await {
            writer.unwrap();
        }
        timeout(SOON, reader).await.unwrap().unwrap();
        assert_eq!(everything(&journal).await, journal.heads().await.unwrap());
        assert_eq!(journal.verify().await.unwrap(), 1_000);
        journal.close().await;
    }
}

/// The database knows of a commit a moment before the process that made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_at_the_heads_never_finds_the_journal_broken() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let journal = journal.clone();
                tokio::spawn(async move {
                    for _ in 0..60 {
                        journal.append(stream(), 0, vec![event(1)]).await.unwrap();
                    }
                })
            })
            .collect();
        let mut begun = 0;
        while begun < 50 || writers.iter().any(|writer| !writer.is_finished()) {
            let heads = journal.heads().await.unwrap();
            journal.read_after(&heads, 10).await.unwrap();
            begun += 1;
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let ahead: Cursors = [(0, 481)].into_iter().collect();
        assert_eq!(journal.read_after(&ahead, 10).await.unwrap_err().code(), "HISTORY_FORKED");
        journal.close().await;
    }
}

#[tokio::test]
async fn a_superseded_writer_appends_nothing_and_stops() {
    for place in Place::all().await {
        let old = place.open(options()).await.unwrap();
        let id = stream();
        old.append(id, 0, vec![event(1)]).await.unwrap();
        let new = place.open(Options { force_takeover: true, ..options() }).await.unwrap();
        assert_eq!(old.append(id, 1, vec![event(2)]).await, Err(JournalError::Superseded));
        timeout(SOON, old.stopped()).await.unwrap();
        assert!(old.is_superseded());
        assert_eq!(old.append(stream(), 0, vec![event(2)]).await, Err(JournalError::Superseded));
        assert_eq!(new.append(id, 1, vec![event(3)]).await.unwrap().version, 2);
        assert_eq!(new.load(id).await.unwrap()[1].payload, event(3).payload());
        assert_eq!(new.verify().await.unwrap(), 2);
        new.close().await;
        old.close().await;
    }
}

#[tokio::test]
async fn only_a_closed_writer_is_taken_over_immediately() {
    for place in Place::all().await {
        let first = place.open(options()).await.unwrap();
        let impatient = Options { standby: Duration::ZERO, ..options() };
        let refused = place.open(impatient.clone()).await.err().unwrap();
        assert_eq!(refused.code(), "JOURNAL_UNAVAILABLE");
        first.close().await;
        place.open(impatient).await.unwrap().close().await;
    }
}

/// A short lease: trusted for 4 s, so that no pause of this machine ends it.
fn short() -> Options {
    Options {
        lease: Duration::from_secs(6),
        renew: Duration::from_millis(200),
        self_stop: Duration::from_secs(4),
        ..options()
    }
}

#[tokio::test]
async fn a_silent_owners_lease_is_watched_until_it_cannot_be_trusted() {
    let place = Place::postgres();
    let old = place.open(short()).await.unwrap();
    old.append(stream(), 0, vec![event(1)]).await.unwrap();
    // Like an owner that is cut off: no session, a lease that ran out by the database's clock, and
    // no record of its process.
    let pool = place.pool().await;
    sqlx::query("UPDATE shards SET owner = 'silent', lease_until = now() - interval '1 hour'")
        .execute(&pool)
        .await
        .unwrap();
    let began = Instant::now();
    let impatient = Options { standby: Duration::from_millis(600), ..short() };
    assert_eq!(place.open(impatient).await.err().unwrap().code(), "JOURNAL_UNAVAILABLE");
    let new = place.open(short()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    timeout(SOON, old.stopped()).await.unwrap();
    assert_eq!(old.append(stream(), 0, vec![event(1)]).await, Err(JournalError::Superseded));
    new.append(stream(), 0, vec![event(1)]).await.unwrap();
}

#[tokio::test]
async fn a_clock_step_takes_nothing_from_a_live_writer() {
    let place = Place::postgres();
    // Renewed as often, and trusted for so long that no pause of this machine ends it.
    let (lease, self_stop) = (Duration::from_secs(60), Duration::from_secs(40));
    let steady = || Options { lease, self_stop, ..short() };
    let old = place.open(steady()).await.unwrap();
    let pool = place.pool().await;
    let id = stream();
    for n in 0..10 {
        sqlx::query("UPDATE shards SET lease_until = now() - interval '1 hour'")
            .execute(&pool)
            .await
            .unwrap();
        let impatient = Options { standby: Duration::from_millis(150), ..steady() };
        assert_eq!(place.open(impatient).await.err().unwrap().code(), "JOURNAL_UNAVAILABLE");
        old.append(id, n, vec![event(1)]).await.unwrap();
    }
    assert_eq!(old.verify().await.unwrap(), 10);
}

/// The append waits for space; nothing of the failed attempt stays on the connection.
#[tokio::test]
async fn appends_resume_when_a_full_disk_has_space_again() {
    let folder = tempfile::tempdir().unwrap();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(folder.path())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("no disk of its own may be mounted here");
        return;
    }
    let path = folder.path().to_owned();
    let journal = open_sqlite(&path.join("journal.db"), options()).await.unwrap();
    let mut appended = Vec::new();
    let append = |journal: Journal| async move {
        let id = stream();
        journal.append(id, 0, vec![event(1)]).await.map(|_| id)
    };
    appended.push(append(journal.clone()).await.unwrap());
    let ballast = path.join("ballast");
    for round in 0..3 {
        let mut file = std::fs::File::create(&ballast).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4_096]).is_ok() {}
        drop(file);
        let until = Instant::now() + SOON;
        let mut refused = 0;
        while refused < 20 {
            assert!(Instant::now() < until, "the disk is not full");
            match append(journal.clone()).await {
                Ok(id) => appended.push(id),
                Err(error) => {
                    assert!(
                        matches!(
                            error,
                            JournalError::Unavailable(_) | JournalError::OutcomeUnknown(_)
                        ),
                        "{error}"
                    );
                    refused += 1;
                }
            }
        }
        std::fs::remove_file(&ballast).unwrap();
        let until = Instant::now() + SOON;
        loop {
            match append(journal.clone()).await {
                Ok(id) => break appended.push(id),
                Err(error) => assert!(Instant::now() < until, "round {round}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for id in appended {
        assert_eq!(journal.load(id).await.unwrap().len(), 1);
    }
    journal.verify().await.unwrap();
    journal.close().await;
    let unmounted = std::process::Command::new("umount").arg("-l").arg(&path).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_cannot_renew_stops_before_its_lease_ends() {
    let disk = MemoryDisk::default();
    let journal = open_memory_on(&disk, options()).await.unwrap();
    disk.fail_renewals(true);
    let began = Instant::now();
    journal.stopped().await;
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(!journal.is_superseded(), "nobody else has it");
    assert_eq!(journal.append(stream(), 0, vec![event(1)]).await, Err(JournalError::Superseded));
    disk.fail_renewals(false);
    open_memory_on(&disk, options())
        .await
        .unwrap()
        .append(stream(), 0, vec![event(1)])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_connection_is_resolved_by_the_heads() {
    let disk = MemoryDisk::default();
    let journal = open_memory_on(&disk, options()).await.unwrap();
    for fault in [Fault::LostBefore, Fault::LostAfter, Fault::LostAfter, Fault::LostBefore] {
        disk.inject(fault);
        let id = stream();
        assert_eq!(journal.append(id, 0, vec![event(1)]).await.unwrap().version, 1);
        assert_eq!(journal.load(id).await.unwrap().len(), 1);
    }
    assert_eq!(journal.verify().await.unwrap(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_sessions_lose_and_repeat_no_event() {
    let place = Place::postgres();
    let journal = place.open(options()).await.unwrap();
    let pool = place.pool().await;
    let enough = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..32)
        .map(|_| {
            let (journal, enough) = (journal.clone(), Arc::clone(&enough));
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !enough.load(Ordering::Relaxed) {
                    let id = stream();
                    let answer = journal.append(id, 0, vec![event(0), event(0)]).await;
                    if answer.is_err() {
                        // Sessions are opened again meanwhile.
                        sleep(Duration::from_millis(10)).await;
                    }
                    answers.push((id, answer));
                }
                answers
            })
        })
        .collect();
    // One kill after another while they write; each hits a session that is appending.
    let (mut kills, patience) = (0, Instant::now() + 2 * SOON);
    while kills < 10 {
        assert!(Instant::now() < patience, "{kills} sessions were killed while they appended");
        let kill = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE application_name IN (SELECT owner FROM shards)
                      AND state = 'active' AND query LIKE '%WITH fenced%'";
        let killed: i64 = sqlx::query_scalar(kill).fetch_one(&pool).await.unwrap();
        kills += killed;
    }
    enough.store(true, Ordering::Relaxed);
    let mut counted = 0;
    for writer in writers {
        for (id, answer) in writer.await.unwrap() {
            let count = journal.load(id).await.unwrap().len();
            match answer {
                Ok(_) => assert_eq!(count, 2),
                Err(JournalError::OutcomeUnknown(_)) => assert!(count == 0 || count == 2),
                Err(error) => assert_eq!((count, error.code()), (0, "JOURNAL_UNAVAILABLE")),
            }
            counted += u64::try_from(count).unwrap();
        }
    }
    assert_eq!(journal.verify().await.unwrap(), counted);
    journal.close().await;
}

#[tokio::test]
async fn concurrent_reads_return_each_its_own_history() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        let ids: Vec<StreamId> = (0..100).map(|_| stream()).collect();
        for (n, id) in ids.iter().enumerate() {
            let events = (0..=n % 5).map(|_| event(n)).collect();
            journal.append(*id, 0, events).await.unwrap();
        }
        let absent: Vec<StreamId> = (0..20).map(|_| stream()).collect();
        // Each three times: some of them share a read, and some do not.
        let asked = ids.iter().chain(&absent).chain(&ids).chain(&ids);
        let loads = asked.map(|id| async { (*id, journal.load(*id).await.unwrap()) });
        for (id, found) in futures::future::join_all(loads).await {
            let Some(n) = ids.iter().position(|known| *known == id) else {
                assert!(found.is_empty());
                continue;
            };
            assert_eq!(found.len(), n % 5 + 1);
            for (sequence, stored) in (1..).zip(&found) {
                assert_eq!((stored.stream_id, stored.sequence), (id, sequence));
                assert_eq!(stored.payload, event(n).payload());
            }
        }
        journal.close().await;
    }
}

#[tokio::test]
async fn a_cancelled_read_cancels_no_other() {
    let place = Place::postgres();
    let journal = place.open(options()).await.unwrap();
    let pool = place.pool().await;
    let id = stream();
    journal.append(id, 0, vec![event(1)]).await.unwrap();
    let mut lock = begin(&pool).await.unwrap();
    sqlx::query("LOCK TABLE events IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let load = || {
        let journal = journal.clone();
        tokio::spawn(async move { journal.load(id).await })
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                   AND application_name IN (SELECT owner FROM shards)";
    // These are reading, and the others wait for a slot.
    let readers = [load(), load()];
    let both_wait = async {
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, both_wait).await.unwrap();
    let patient: Vec<_> = (0..20).map(|_| load()).collect();
    let impatient = load();
    for task in readers.into_iter().chain([impatient]) {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    lock.rollback().await.unwrap();
    for task in patient {
        let found = timeout(SOON, task).await.unwrap().unwrap();
        assert_eq!(found.unwrap().len(), 1);
    }
    journal.close().await;
}

#[tokio::test]
async fn the_schema_refuses_to_forget() {
    let place = Place::postgres();
    let journal = place.open(options()).await.unwrap();
    journal.append(stream(), 0, vec![event(1)]).await.unwrap();
    let pool = place.pool().await;
    for sql in [
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "DELETE FROM shards",
    ] {
        let error = sqlx::query(sql).execute(&pool).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
    let place = Place::sqlite();
    let journal = place.open(options()).await.unwrap();
    journal.append(stream(), 0, vec![event(1)]).await.unwrap();
    let pool = SqlitePool::connect(&format!("sqlite://{}", place.file().display())).await.unwrap();
    for sql in ["UPDATE events SET payload = '{}'", "DELETE FROM events", "DELETE FROM shards"] {
        let error = sqlx::query(sql).execute(&pool).await.unwrap_err().to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn the_chain_reveals_a_changed_event() {
    let disk = MemoryDisk::default();
    let journal = open_memory_on(&disk, Options { shards: 1, ..options() }).await.unwrap();
    let id = stream();
    journal.append(id, 0, vec![event(1), event(2), event(3)]).await.unwrap();
    let mut hash = GENESIS;
    for chained in journal.read_shard(0, 0, 10).await.unwrap() {
        hash = chain_hash(&hash, &chained.event);
        assert_eq!(hash, chained.hash);
    }
    assert!(disk.tamper(0, 2, |event| event.recorded_at = Timestamp::from_micros(1)));
    let JournalError::Broken { shard: 0, position: 1, .. } = journal.verify().await.unwrap_err()
    else {
        panic!("the change at position 2 was not found there");
    };
}

#[tokio::test]
async fn a_missing_event_stops_readers_loudly() {
    let place = Place::postgres();
    let journal = place.open(Options { shards: 1, ..options() }).await.unwrap();
    let id = stream();
    journal.append(id, 0, vec![event(1), event(2), event(3)]).await.unwrap();
    let pool = place.pool().await;
    sqlx::raw_sql("ALTER TABLE events DISABLE TRIGGER USER; DELETE FROM events WHERE sequence = 2")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(journal.load(id).await.unwrap_err().code(), "JOURNAL_BROKEN");
    let ahead: Cursors = [(0, 9)].into_iter().collect();
    assert_eq!(journal.read_after(&ahead, 10).await.unwrap_err().code(), "HISTORY_FORKED");
    // The process that committed it still has it in memory; others ask the database.
    let other = place.open(Options { read_only: true, ..options() }).await.unwrap();
    let error = other.read_after(&Cursors::default(), 10).await.unwrap_err();
    assert!(matches!(error, JournalError::Broken { shard: 0, position: 1, .. }), "{error}");
    journal.close().await;
    let again = place.open(options()).await.unwrap();
    let error = again.read_after(&Cursors::default(), 10).await.unwrap_err();
    assert!(matches!(error, JournalError::Broken { shard: 0, position: 1, .. }), "{error}");
}

#[tokio::test]
async fn an_empty_shard_ends_at_zero() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        journal.append(stream(), 0, vec![event(1)]).await.unwrap();
        let heads = journal.available_heads().await.unwrap();
        let ends = journal.available_ends().await.unwrap();
        assert_eq!((heads.iter().count(), ends.iter().count()), (1, 4));
        assert!((0..4).all(|shard| ends.get(shard) == heads.get(shard)));
        journal.close().await;
    }
}

#[tokio::test]
async fn an_oversized_append_fails_alone() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        let large = format!("\"{}\"", "x".repeat(EVENT_BYTES_MAX));
        let large = NewEvent::from_json("OrderConfirmed", "1", large, "{}").unwrap();
        for (expected, events, code) in [
            (0, vec![large], "EVENT_TOO_LARGE"),
            (0, vec![], "EVENT_INVALID"),
            (EVENTS_PER_STREAM_MAX, vec![event(1)], "TOO_MANY_EVENTS"),
        ] {
            assert_eq!(journal.append(stream(), expected, events).await.unwrap_err().code(), code);
        }
        assert!(journal.heads().await.unwrap().is_empty());
        journal.close().await;
    }
}

#[test]
fn an_event_that_a_database_would_refuse_cannot_be_built() {
    let long = "x".repeat(256);
    for (event_type, version, payload, metadata, why) in [
        ("OrderConfirmed", "1", "{", "{}", "the payload is not JSON"),
        ("OrderConfirmed", "1", "{}", "{} {}", "the metadata is not JSON"),
        ("", "1", "{}", "{}", "type and version are 1 to 255 bytes"),
        ("OrderConfirmed", "1\0", "{}", "{}", "type and version are 1 to 255 bytes"),
        (long.as_str(), "1", "{}", "{}", "type and version are 1 to 255 bytes"),
    ] {
        let error = NewEvent::from_json(event_type, version, payload, metadata).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string()),
            ("EVENT_INVALID", format!("invalid event: {why}"))
        );
    }
    let named = |event_type| NewEvent::new(event_type, "1", &(), &());
    assert_eq!(named(&long).unwrap_err().code(), "EVENT_INVALID");
    assert_eq!(named("OrderConfirmed").unwrap().payload(), "null");
}

#[tokio::test]
async fn quarantine_is_visible_and_a_reader_beside_a_writer_cannot_write() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        let id = stream();
        journal.quarantine(id, "first").await.unwrap();
        journal.quarantine(id, "second").await.unwrap();
        journal.append(id, 0, vec![event(1)]).await.unwrap();
        let beside = place.open(Options { read_only: true, ..options() }).await.unwrap();
        let found = beside.quarantined().await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(beside.count_quarantined().await.unwrap(), 1);
        assert_eq!((found[0].stream_id, found[0].reason.as_str()), (id, "second"));
        assert_eq!(found[0].since, Timestamp::from_micros(1_800_000_000_123_456));
        assert_eq!(beside.load(id).await.unwrap().len(), 1);
        assert_eq!(beside.append(id, 1, vec![event(1)]).await, Err(JournalError::Closed));
        beside.close().await;
        journal.append(id, 1, vec![event(1)]).await.unwrap();
        journal.close().await;
    }
}

#[tokio::test]
async fn pages_are_shared_between_shards() {
    for place in Place::all().await {
        let journal = place.open(options()).await.unwrap();
        let appends = (0..200).map(|_| journal.append(stream(), 0, vec![event(1)]));
        assert!(futures::future::join_all(appends).await.iter().all(Result::is_ok));
        let page = journal.read_after(&Cursors::default(), 40).await.unwrap();
        let shards: HashSet<u16> = page.iter().map(|event| event.shard).collect();
        assert_eq!((page.len(), shards.len()), (40, 4));
        journal.close().await;
    }
}

#[tokio::test]
async fn a_key_belongs_to_the_stream_that_took_it_first() {
    for place in [Place::memory(), Place::sqlite(), Place::postgres()] {
        let journal = place.open(options()).await.unwrap();
        let (one, other) = (stream(), stream());
        let taking = |texts: &[&str]| {
            let keys = texts.iter().map(|text| UniqueKey::new(*text).unwrap()).collect();
            vec![event(1).taking(keys)]
        };
        journal.append(one, 0, taking(&["number 1", "é"])).await.unwrap();
        let taken = journal.append(other, 0, taking(&["free", "number 1"])).await;
        let holder = one;
        assert_eq!(taken, Err(JournalError::KeyTaken { key: "number 1".to_owned(), holder }));
        assert!(journal.load(other).await.unwrap().is_empty(), "nothing was appended");
        // Its own keys are no reason but its version, as ever.
        let again = journal.append(one, 0, taking(&["number 1"])).await;
        assert!(matches!(again, Err(JournalError::Conflict { actual: Some(1), .. })), "{again:?}");
        // One that fails does not make others of the same batch fail.
        let appends = (0..20).map(|n| {
            let mine = format!("mine {n}");
            let keys = if n % 2 == 0 { taking(&[&mine]) } else { taking(&["number 1"]) };
            journal.append(stream(), 0, keys)
        });
        let done = futures::future::join_all(appends).await;
        for (n, outcome) in done.iter().enumerate() {
            assert_eq!(outcome.is_ok(), n % 2 == 0, "{n}: {outcome:?}");
        }
        let key = |text: &str| UniqueKey::new(text).unwrap();
        assert_eq!(journal.holder_of(&key("é")).await.unwrap(), Some(one));
        assert_eq!(journal.holder_of(&key("free")).await.unwrap(), None);
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = journal.unique_keys(after.as_ref(), 5).await.unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            keys.extend(page);
        }
        assert_eq!(keys.len(), 12);
        assert!(keys.is_sorted());
        assert_eq!(journal.verify().await.unwrap(), 11);
        journal.close().await;
    }
}

#[tokio::test]
async fn two_streams_that_take_a_key_together_do_not_both_get_it() {
    for place in [Place::memory(), Place::sqlite(), Place::postgres()] {
        let journal = place.open(options()).await.unwrap();
        let appends = (0..8).map(|_| {
            let keys = vec![UniqueKey::new("wanted").unwrap()];
            journal.append(stream(), 0, vec![event(1).taking(keys)])
        });
        let done = futures::future::join_all(appends).await;
        assert_eq!(done.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{done:?}");
        journal.close().await;
    }
}

#[tokio::test]
async fn a_journal_in_several_databases_keeps_no_keys() {
    let map = spread::map(["0-1", "2-3"]).await;
    let journal = Place::Spread { map, schema: spread::schema() }.open(options()).await.unwrap();
    assert!(!journal.keeps_keys());
    let keys = vec![UniqueKey::new("wanted").unwrap()];
    let refused = journal.append(stream(), 0, vec![event(1).taking(keys)]).await;
    assert_eq!(refused, Err(JournalError::KeysNeedOneDatabase));
    journal.append(stream(), 0, vec![event(1)]).await.unwrap();
    journal.close().await;
}

#[tokio::test]
async fn a_key_is_kept_for_ever() {
    let place = Place::postgres();
    let journal = place.open(options()).await.unwrap();
    let key = UniqueKey::new("mine").unwrap();
    journal.append(stream(), 0, vec![event(1).taking(vec![key])]).await.unwrap();
    for change in ["DELETE FROM unique_keys", "UPDATE unique_keys SET key = 'yours'"] {
        let refused = sqlx::query(change).execute(&place.pool().await).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    for wrong in ["", "a\0b", &"x".repeat(UniqueKey::BYTES_MAX + 1)] {
        assert_eq!(UniqueKey::new(wrong).unwrap_err().code(), "EVENT_INVALID");
    }
    journal.close().await;
}
