//! A journal whose shards are spread over databases: each is the expected one, or nothing is
//! written.

use std::sync::Arc;

use event_journal::{
    Journal, JournalError, Moved, Mover, NewEvent, Node, Options, Relocation, ShardMap, StreamId,
    UniqueKey, holding, migrate_postgres, open_postgres, open_spread,
};
use shared_events::contract::Timestamp;
use shared_events::stream::AskedBy;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool};
use uuid::Uuid;

/// The server for tests.
pub fn server() -> String {
    std::env::var("ORDINAL_TEST_POSTGRES")
        .expect("ORDINAL_TEST_POSTGRES must name a Postgres database for tests")
}

/// A new stream id.
pub fn fresh() -> StreamId {
    Uuid::now_v7().into()
}

pub fn schema() -> String {
    format!("t_{}", Uuid::new_v4().simple())
}

pub async fn pool(url: &str, schema: &str) -> PgPool {
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.options([("search_path", schema)]).disable_statement_logging();
    PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
}

/// Databases of the server that all tests share, each with schemas of its own there.
pub async fn database(nth: usize) -> String {
    let name = format!("ordinal_spread_{nth}");
    let mut connection = PgConnection::connect(&server()).await.unwrap();
    let known = "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)";
    let known: bool =
        sqlx::query_scalar(known).bind(&name).fetch_one(&mut connection).await.unwrap();
    if !known {
        // The second of two that race finds it created.
        let _ = connection.execute(format!("CREATE DATABASE {name}").as_str()).await;
    }
    let (server, _) = server().rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    format!("{server}/{name}")
}

async fn entries<const N: usize>(shards: [&str; N]) -> Vec<String> {
    let mut entries = Vec::new();
    for (nth, shards) in shards.into_iter().enumerate() {
        entries.push(format!("{shards}={}", database(nth).await));
    }
    entries
}

fn parsed(entries: &[String]) -> ShardMap {
    ShardMap::parse(entries.iter().map(String::as_str)).unwrap()
}

/// Each of these shards in a database of its own.
pub async fn map<const N: usize>(shards: [&str; N]) -> ShardMap {
    parsed(&entries(shards).await)
}

fn options() -> Options {
    Options::new(Arc::new(|| Timestamp::from_micros(1_800_000_000_123_456)))
}

fn as_node() -> Options {
    let node = Node { name: "a".to_owned(), address: "a.test:1".to_owned() };
    Options { node: Some(node), ..options() }
}

fn event() -> NewEvent {
    NewEvent::from_json("OrderConfirmed", "1", "{}", "{}").unwrap()
}

/// A stream in each shard.
async fn fill(journal: &Journal) {
    for shard in 0..journal.shards() {
        let id = std::iter::repeat_with(fresh).find(|id| journal.shard_of(*id) == shard);
        journal.append(id.unwrap(), 0, vec![event()]).await.unwrap();
    }
}

async fn tables(url: &str, schema: &str) -> i64 {
    let sql = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = $1";
    let pool = pool(url, schema).await;
    sqlx::query_scalar(sql).bind(schema).fetch_one(&pool).await.unwrap()
}

async fn refused(map: &ShardMap, schema: &str) -> String {
    let mut text = Vec::new();
    for options in [options(), as_node(), Options { read_only: true, ..options() }] {
        match open_spread(map, schema, options).await.map(drop) {
            Err(error @ JournalError::WrongDatabase(_)) => text.push(error.to_string()),
            other => panic!("{map:?}: {other:?}"),
        }
    }
    let migrated = migrate_postgres(map, schema).await.unwrap_err();
    text.push(migrated.to_string());
    text.dedup();
    assert_eq!(text.len(), 1, "{text:?}");
    text.remove(0)
}

#[tokio::test]
async fn a_wrong_map_is_refused_before_anything_is_written() {
    let schema = schema();
    let [zero, one, two] = [database(0).await, database(1).await, database(2).await];
    let of = |entries: &[(&str, &String)]| {
        let entries: Vec<String> = entries.iter().map(|(s, url)| format!("{s}={url}")).collect();
        parsed(&entries)
    };
    let right = of(&[("0-3", &zero), ("4-7", &one)]);
    let journal = open_spread(&right, &schema, options()).await.unwrap();
    assert_eq!(journal.shards(), 8);
    fill(&journal).await;
    journal.close().await;

    let swapped = of(&[("4-7", &zero), ("0-3", &one)]);
    assert!(
        refused(&swapped, &schema).await.contains("holds shards 4-7 of 8 and is named for 0-3")
    );
    let overlapping = of(&[("0-4", &zero), ("5-7", &one)]);
    assert!(refused(&overlapping, &schema).await.contains("0-3 of 8 and is named for 0-4 of 8"));
    let larger = of(&[("0-3", &zero), ("4-7", &one), ("8-15", &two)]);
    assert!(refused(&larger, &schema).await.contains("0-3 of 8 and is named for 0-3 of 16"));
    let smaller = of(&[("0-3", &zero)]);
    assert!(refused(&smaller, &schema).await.contains("0-3 of 8 and is named for 0-3 of 4"));
    // Its place is taken by an empty one: its events would seem never to have existed.
    let lost = of(&[("0-3", &zero), ("4-7", &two)]);
    let text = refused(&lost, &schema).await;
    assert!(text.contains("ordinal_spread_2 is empty") && !text.contains("postgres@"), "{text}");
    assert_eq!(tables(&two, &schema).await, 0, "something was written");
    // And by one of another journal.
    let other = of(&[("0-3", &two), ("4-7", &database(3).await)]);
    open_spread(&other, &schema, options()).await.unwrap().close().await;
    let mixed = of(&[("0-3", &two), ("4-7", &one)]);
    assert!(refused(&mixed, &schema).await.contains("of another journal"));
    // One database, named alone, is not the complete journal.
    let alone = open_postgres(&zero, &schema, options()).await.map(drop).unwrap_err();
    assert_eq!(alone.code(), "JOURNAL_DATABASE_WRONG", "{alone}");

    let journal = open_spread(&right, &schema, options()).await.unwrap();
    assert_eq!(journal.verify().await.unwrap(), 8);
    journal.close().await;
}

#[tokio::test]
async fn a_journal_from_before_maps_opens_with_one_database() {
    let (schema, zero) = (schema(), database(0).await);
    let eight = Options { shards: 8, ..options() };
    let journal = open_postgres(&zero, &schema, eight).await.unwrap();
    fill(&journal).await;
    journal.close().await;
    // As it was before the table that names the journal.
    let before = pool(&zero, &schema).await;
    before
        .execute(
            "DROP TABLE journal; ALTER TABLE shards DROP COLUMN state;
             DELETE FROM _sqlx_migrations WHERE version = 3",
        )
        .await
        .unwrap();
    let two = map(["0-3", "4-7"]).await;
    assert!(refused(&two, &schema).await.contains("holds shards 0-7 of 8"));
    let read_only = Options { read_only: true, ..options() };
    let early = open_postgres(&zero, &schema, read_only.clone()).await.map(drop).unwrap_err();
    assert!(early.to_string().contains("ordinal migrate"), "{early}");

    let journal = open_postgres(&zero, &schema, options()).await.unwrap();
    assert_eq!((journal.shards(), journal.verify().await.unwrap()), (8, 8));
    journal.close().await;
    let mapped = ShardMap::parse([format!("0-7={zero}").as_str()]).unwrap();
    let journal = open_spread(&mapped, &schema, read_only).await.unwrap();
    assert_eq!(journal.verify().await.unwrap(), 8);
    journal.close().await;
}

#[tokio::test]
async fn an_interrupted_creation_is_completed_under_the_same_id() {
    let schema = schema();
    let entries = entries(["0-1", "2-3"]).await;
    let [zero, one] = [database(0).await, database(1).await];
    let map = parsed(&entries);
    // Two that create it at the same time create one.
    let (a, b) = tokio::join!(
        open_spread(&map, &schema, as_node()),
        open_spread(
            &map,
            &schema,
            Options {
                node: Some(Node { name: "b".to_owned(), address: "b.test:1".to_owned() }),
                ..options()
            }
        ),
    );
    a.unwrap().close().await;
    b.unwrap().close().await;
    let id = async |url: &str| -> Uuid {
        let pool = pool(url, &schema).await;
        sqlx::query_scalar("SELECT journal_id FROM journal").fetch_one(&pool).await.unwrap()
    };
    let made = id(&zero).await;
    assert_eq!(made, id(&one).await);
    // As a crash between two databases leaves it.
    let drop_it = format!("DROP SCHEMA {schema} CASCADE");
    pool(&one, &schema).await.execute(drop_it.as_str()).await.unwrap();
    let first = pool(&zero, &schema).await;
    first.execute("UPDATE journal SET complete = false").await.unwrap();
    let journal = open_spread(&map, &schema, options()).await.unwrap();
    fill(&journal).await;
    assert_eq!(journal.verify().await.unwrap(), 4);
    journal.close().await;
    assert_eq!((id(&zero).await, id(&one).await), (made, made));
    // Interrupted when only one was recorded as complete: the other is completed when it is opened.
    first.execute("UPDATE journal SET complete = false").await.unwrap();
    open_spread(&map, &schema, as_node()).await.unwrap().close().await;
    let sql = "SELECT complete FROM journal";
    let complete: bool = sqlx::query_scalar(sql).fetch_one(&first).await.unwrap();
    assert!(complete, "it would be made again if the other were lost");
    // Once complete, it is not created again.
    pool(&one, &schema).await.execute(drop_it.as_str()).await.unwrap();
    assert!(refused(&map, &schema).await.contains("is empty"));
}

fn anna() -> Mover {
    let by = AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
    Mover { by, reason: "a full disk".to_owned(), now: Arc::new(Timestamp::default) }
}

/// What operators did to shards 4-7, as a database has it, sorted.
async fn done(url: &str, schema: &str) -> Vec<[String; 3]> {
    let sql = "SELECT verb, before, after FROM operator_actions
               WHERE target = '4-7' AND subject = 'anna' AND reason = 'a full disk' ORDER BY 1, 2";
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(sql).fetch_all(&pool(url, schema).await).await.unwrap();
    let words = |label: String| label.split(' ').next().unwrap().to_owned();
    rows.into_iter().map(|(verb, before, after)| [verb, words(before), words(after)]).collect()
}

async fn relocate(from: &str, to: &str, schema: &str, shards: &str) -> Result<Moved, JournalError> {
    let shards = shards.parse().unwrap();
    let relocation = Relocation::new((from, to), schema, shards, anna()).unwrap();
    let moved = relocation.run(|done, all| assert!(done <= all)).await;
    relocation.close().await;
    moved
}

async fn holds(url: &str, schema: &str) -> (String, String, u64) {
    let held = holding(url, schema).await.unwrap().unwrap();
    (held.holds.to_string(), held.in_transit.to_string(), held.events)
}

#[tokio::test]
async fn a_journal_is_split_over_four_databases_and_merged_again() {
    let schema = schema();
    let mut at = Vec::new();
    for nth in 0..4 {
        at.push(database(nth).await);
    }
    let journal = open_postgres(&at[0], &schema, Options { shards: 8, ..options() }).await.unwrap();
    fill(&journal).await;
    let odd = std::iter::repeat_with(fresh).find(|id| journal.shard_of(*id) == 6).unwrap();
    let key = UniqueKey::new("odd").unwrap();
    journal.append(odd, 0, vec![event().taking(vec![key.clone()])]).await.unwrap();
    journal.quarantine(odd, "impossible").await.unwrap();
    let text = journal.fingerprints(6).await.unwrap().of(b"said");
    journal.close().await;

    let moved = relocate(&at[0], &at[1], &schema, "4-7").await.unwrap();
    assert_eq!(moved, Moved { copied: 5, checked: 5 });
    // Repeated, nothing happens.
    let again = relocate(&at[0], &at[1], &schema, "4-7").await.unwrap();
    assert_eq!(again, Moved { copied: 0, checked: 5 });
    let [began, ended] = [["in", "on"], ["on", "in"]]
        .map(|[before, after]| ["RELOCATE_SHARDS", before, after].map(str::to_owned));
    assert_eq!(done(&at[0], &schema).await, std::slice::from_ref(&began));
    assert_eq!(done(&at[1], &schema).await, [began, ended]);
    assert_eq!(holds(&at[0], &schema).await, ("0-3".to_owned(), String::new(), 4));
    // The source alone does not serve them any more, to programs of any version.
    let claim = "UPDATE shards SET owner = 'older', epoch = epoch + 1 WHERE shard = 4";
    assert!(pool(&at[0], &schema).await.execute(claim).await.is_err());
    let alone = open_postgres(&at[0], &schema, options()).await.map(drop).unwrap_err();
    assert!(alone.to_string().contains("holds shards 0-3 of 8"), "{alone}");

    relocate(&at[0], &at[2], &schema, "2-3").await.unwrap();
    relocate(&at[1], &at[3], &schema, "6,7").await.unwrap();
    let four = map(["0-1", "4-5", "2-3", "6-7"]).await;
    let journal = open_spread(&four, &schema, as_node()).await.unwrap();
    fill(&journal).await;
    journal.append(odd, 1, vec![event()]).await.unwrap();
    assert_eq!(journal.verify().await.unwrap(), 18);
    // Fingerprints are recognised where their stream is now.
    assert!(journal.fingerprints(6).await.unwrap().matches(&text, b"said"));
    let quarantined = journal.quarantined().await.unwrap();
    assert_eq!(quarantined.iter().map(|o| o.stream_id).collect::<Vec<_>>(), [odd]);
    journal.close().await;

    // Back, with only what is new.
    let back = relocate(&at[1], &at[0], &schema, "4-5").await.unwrap();
    assert_eq!(back, Moved { copied: 2, checked: 4 });
    relocate(&at[2], &at[0], &schema, "2-3")
        .await
        .map(|moved| assert_eq!(moved.copied, 2))
        .unwrap();
    relocate(&at[3], &at[0], &schema, "6-7")
        .await
        .map(|moved| assert_eq!(moved.copied, 3))
        .unwrap();
    let journal = open_postgres(&at[0], &schema, options()).await.unwrap();
    fill(&journal).await;
    assert_eq!(journal.verify().await.unwrap(), 26);
    assert!(journal.fingerprints(6).await.unwrap().matches(&text, b"said"));
    assert_eq!(journal.load(odd).await.unwrap().len(), 2);
    assert_eq!(journal.holder_of(&key).await.unwrap(), Some(odd));
    assert_eq!(journal.quarantined().await.unwrap().len(), 1);
    assert_eq!(journal.count_quarantined().await.unwrap(), 1);
    journal.close().await;
}

#[tokio::test]
async fn shards_are_not_moved_beside_a_node_or_to_a_wrong_place() {
    let schema = schema();
    let [zero, one, two] = [database(0).await, database(1).await, database(2).await];
    let two_halves = map(["0-3", "4-7"]).await;
    let refused = async |from: &str, to: &str, shards: &str, why: &str| {
        let refused = relocate(from, to, &schema, shards).await.unwrap_err();
        assert_eq!(refused.code(), "JOURNAL_DATABASE_WRONG");
        let text = refused.to_string();
        assert!(text.contains(why) && !text.contains("postgres@"), "{text}");
    };
    refused(&zero, &one, "0", "holds no journal").await;
    for options in [as_node(), options()] {
        let journal = open_spread(&two_halves, &schema, options).await.unwrap();
        fill(&journal).await;
        refused(&one, &two, "4-7", "is at work in").await;
        refused(&zero, &one, "0", "is at work in").await;
        journal.close().await;
    }
    assert_eq!(tables(&two, &schema).await, 0, "something was written");
    refused(&zero, &one, "0,4", "holds shards 0-3 and not all of 0,4").await;
    refused(&zero, &zero, "0", "the same database").await;
    let other = ShardMap::one(&two);
    open_spread(&other, &schema, options()).await.unwrap().close().await;
    refused(&zero, &two, "0", "of another journal").await;
    let journal = open_spread(&two_halves, &schema, options()).await.unwrap();
    assert_eq!(journal.verify().await.unwrap(), 16);
    journal.close().await;
}

#[tokio::test]
async fn an_interrupted_move_is_completed_and_blocks_writes_until_then() {
    let schema = schema();
    let [zero, one, two] = [database(0).await, database(1).await, database(2).await];
    let whole = ShardMap::parse([format!("0-7={zero}").as_str()]).unwrap();
    let journal = open_spread(&whole, &schema, options()).await.unwrap();
    fill(&journal).await;
    journal.close().await;
    let (source, target) = (pool(&zero, &schema).await, pool(&one, &schema).await);

    // An event that differs from the one that was written stops it before the copy is served.
    let forge = "ALTER TABLE events DISABLE TRIGGER events_are_forever;
                 UPDATE events SET payload = '{\"forged\":1}' WHERE shard = 5";
    source.execute(forge).await.unwrap();
    let broken = relocate(&zero, &one, &schema, "4-7").await.unwrap_err();
    assert!(matches!(broken, JournalError::Broken { shard: 5, .. }), "{broken}");
    assert!(refused(&whole, &schema).await.contains("shards 4-7 of"), "it is served half way");
    let other = relocate(&zero, &one, &schema, "4").await.unwrap_err();
    assert!(other.to_string().contains("shards 4-7 of"), "{other}");
    source.execute("UPDATE events SET payload = '{}' WHERE shard = 5").await.unwrap();
    // Cancelled, everything is where it was.
    let shards = "4-7".parse().unwrap();
    let relocation = Relocation::new((&zero, &one), &schema, shards, anna()).unwrap();
    relocation.cancel().await.unwrap();
    assert!(relocation.cancel().await.is_err(), "there is nothing to take back");
    relocation.close().await;
    let verbs: Vec<_> = done(&zero, &schema).await.into_iter().map(|[verb, ..]| verb).collect();
    assert_eq!(verbs, ["CANCEL_RELOCATION", "RELOCATE_SHARDS"]);
    let journal = open_spread(&whole, &schema, options()).await.unwrap();
    fill(&journal).await;
    assert_eq!(journal.verify().await.unwrap(), 16);
    journal.close().await;

    // As a crash leaves it after each step.
    let steps = [
        (&source, "UPDATE shards SET state = 'LEAVING', owner = '' WHERE shard > 3"),
        (&target, "UPDATE shards SET state = 'COMING', owner = ''"),
        (&source, "UPDATE shards SET state = 'GONE', owner = '' WHERE shard > 3"),
    ];
    for until in 1..=steps.len() {
        for (at, sql) in &steps[..until] {
            at.execute(*sql).await.unwrap();
        }
        assert!(!refused(&whole, &schema).await.is_empty());
        let elsewhere = relocate(&zero, &two, &schema, "4-7").await;
        assert!(until < 3 || elsewhere.is_err(), "moved to another place: {elsewhere:?}");
        if elsewhere.is_ok() {
            relocate(&two, &zero, &schema, "4-7").await.unwrap();
            target.execute("UPDATE shards SET state = 'GONE'").await.unwrap();
            let again = "UPDATE shards SET state = 'LEAVING', owner = '' WHERE shard > 3";
            source.execute(again).await.unwrap();
        }
        assert_eq!(relocate(&zero, &one, &schema, "4-7").await.unwrap().checked, 8);
        let halves = map(["0-3", "4-7"]).await;
        let journal = open_spread(&halves, &schema, options()).await.unwrap();
        assert_eq!(journal.verify().await.unwrap(), 16);
        journal.close().await;
        relocate(&one, &zero, &schema, "4-7").await.unwrap();
    }
}
