//! `ordinal verify` on the data of a real engine, intact and damaged.

use std::path::Path;
use std::process::Command;

use order_actor::journal::{GENESIS, StoredEvent, chain_hash};
use serde_json::{Value, json};
use shared_events::contract::{OrderId, Timestamp};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{Connection as _, Executor as _, Row as _};
use tempfile::TempDir;

use crate::shop::TestDatabase;
use crate::support::{Engine, ordinal};

/// An order that was returned in part, one whose return waits for judgement (so a deadline is
/// open), one out of stock, one with reserved stock.
struct Shop {
    directory: TempDir,
    returned: String,
    waiting: String,
    held: String,
}

fn id(answer: &Value) -> String {
    answer["order"]["order_id"].as_str().unwrap().to_owned()
}

impl Shop {
    fn closed() -> Self {
        let directory = TempDir::new().unwrap();
        let engine = Engine::start(directory.path());
        engine.ask(&["stock", "set", "MUG", "20"]);
        engine.ask(&["stock", "set", "PLATE", "20"]);
        let lines = &["MUG=3@4.50GBP", "PLATE=2@8GBP"];
        let [returned, waiting, held] = [(); 3].map(|()| id(&engine.place(lines)));
        let missing = id(&engine.place(&["MUG=1000@4.50GBP"]));
        engine.until(&missing, "CANCELLED");
        for order in [&returned, &waiting, &held] {
            engine.until(order, "CONFIRMED");
        }
        for order in [&returned, &waiting] {
            engine.ask(&["order", "fulfill", order]);
            let answer =
                engine.ask(&["return", "request", order, "--line", "1=2", "--reason", "too many"]);
            assert_eq!(answer["order"]["status"], "ORDER_STATUS_RETURN_REQUESTED");
        }
        engine.ask(&["return", "approve", &returned, "--line", "1=RESTOCK"]);
        // Through a client; it waits until every follower has caught up.
        let report = engine.ask(&["verify"]);
        assert_eq!(report["findings"].as_array().unwrap().len(), 0, "{report}");
        assert_eq!(report["orders"], 4, "{report}");
        // The databases, beside the working engine.
        let report = clean(directory.path());
        assert_eq!(report["orders"], 4, "{report}");
        assert!(engine.stop().success());
        Self { directory, returned, waiting, held }
    }

    /// A copy with one file changed directly.
    fn damaged(&self, file: &str, sql: &str) -> TempDir {
        let copy = TempDir::new().unwrap();
        let all = self.directory.path().join(".");
        let status = Command::new("cp").arg("-r").args([&all, copy.path()]).status().unwrap();
        assert!(status.success());
        let path = copy.path().join(file);
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let options = SqliteConnectOptions::new().filename(path);
            let database = SqlitePool::connect_with(options).await.unwrap();
            database.execute(sql).await.unwrap();
            database.close().await;
        });
        copy
    }
}

fn verify(data: &Path) -> (i32, Value) {
    let output = ordinal(&["--json", "verify", "--data", data.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    (output.status.code().unwrap(), report)
}

fn clean(data: &Path) -> Value {
    let (code, report) = verify(data);
    assert_eq!(report["findings"].as_array().unwrap().len(), 0, "{report}");
    assert_eq!(code, 0);
    report
}

#[test]
fn every_damage_is_reported_by_law_and_order() {
    let shop = Shop::closed();
    let report = clean(shop.directory.path());
    assert!(report["events"].as_u64().unwrap() > 10);
    let order = |id: &str| format!("order/{id}");
    let (returned, waiting, held) = (&shop.returned, &shop.waiting, &shop.held);
    // Where the schema forbids the damage, it is done by somebody who can change the schema too.
    let no_triggers =
        "DROP TRIGGER events_are_never_updated; DROP TRIGGER events_are_never_deleted;";
    let append_only = || ("append_only", "journal".to_owned());
    let damages = [
        (
            "a changed payload",
            "journal.db",
            format!(
                "{no_triggers} UPDATE events SET payload = replace(payload, 'too many', 'so many')
                 WHERE aggregate_id = '{returned}' AND event_type = 'ReturnRequested'"
            ),
            vec![append_only(), ("journal_chain", order(returned))],
        ),
        (
            "a missing event in the middle",
            "journal.db",
            format!(
                "{no_triggers} DELETE FROM events
                 WHERE aggregate_id = '{returned}' AND event_type = 'OrderConfirmed'"
            ),
            vec![
                append_only(),
                ("journal_chain", "shard/0".to_owned()),
                ("history_legal", order(returned)),
            ],
        ),
        (
            "two events swapped",
            "journal.db",
            format!(
                "{no_triggers}
                 UPDATE events SET sequence = sequence + 1000 WHERE aggregate_id = '{returned}' AND sequence = 3;
                 UPDATE events SET sequence = 3 WHERE aggregate_id = '{returned}' AND sequence = 4;
                 UPDATE events SET sequence = 4 WHERE aggregate_id = '{returned}' AND sequence = 1003"
            ),
            vec![
                append_only(),
                ("journal_chain", order(returned)),
                ("history_legal", order(returned)),
            ],
        ),
        (
            "a trigger that is gone",
            "journal.db",
            "DROP TRIGGER events_are_never_updated".to_owned(),
            vec![append_only()],
        ),
        (
            "a trigger that does nothing any more",
            "journal.db",
            "DROP TRIGGER shards_are_never_deleted;
             CREATE TRIGGER shards_are_never_deleted BEFORE DELETE ON shards BEGIN SELECT 1; END"
                .to_owned(),
            vec![append_only()],
        ),
        (
            "a trigger of stock that is gone",
            "inventory.db",
            "DROP TRIGGER operator_actions_are_never_updated".to_owned(),
            vec![("append_only", "inventory".to_owned())],
        ),
        (
            "a trigger of the ledger that does nothing any more",
            "ledger.db",
            "DROP TRIGGER transfers_refuse_update;
             CREATE TRIGGER transfers_refuse_update BEFORE UPDATE ON transfers BEGIN SELECT 1; END"
                .to_owned(),
            vec![("append_only", "ledger".to_owned())],
        ),
        (
            "a changed stock row",
            "inventory.db",
            "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG'".to_owned(),
            vec![("stock_sums", "sku MUG".to_owned())],
        ),
        (
            "a lost reservation",
            "inventory.db",
            format!("DELETE FROM reservations WHERE order_id = '{held}'"),
            vec![
                ("reservations_as_orders", order(held)),
                ("stock_sums", "sku MUG".to_owned()),
                ("stock_sums", "sku PLATE".to_owned()),
            ],
        ),
        (
            "a doubled notification",
            "notifications.db",
            format!(
                "CREATE TABLE again AS SELECT * FROM notifications;
                 INSERT INTO again SELECT * FROM notifications
                 WHERE order_id = '{held}' AND kind = 'CONFIRMED' AND channel = 'EMAIL';
                 UPDATE again SET serial = rowid;
                 DROP TABLE notifications; ALTER TABLE again RENAME TO notifications"
            ),
            vec![("notifications_once", order(held))],
        ),
        (
            "a lost notification",
            "notifications.db",
            format!("DELETE FROM notifications WHERE order_id = '{held}' AND kind = 'RECEIVED'"),
            vec![("notifications_once", order(held))],
        ),
        (
            "a message that nobody will send",
            "notifications.db",
            format!(
                "DELETE FROM due WHERE serial IN (SELECT serial FROM notifications
                     WHERE order_id = '{held}' AND kind = 'RECEIVED');
                 UPDATE notifications SET state = 'QUEUED'
                     WHERE order_id = '{held}' AND kind = 'RECEIVED'"
            ),
            vec![("messages_due", order(held))],
        ),
        (
            "a message that would be sent again",
            "notifications.db",
            format!(
                "DELETE FROM due; UPDATE notifications SET state = 'DELIVERED';
                 INSERT INTO due (serial, at) SELECT serial, next_try_at FROM notifications
                     WHERE order_id = '{held}' AND kind = 'RECEIVED'"
            ),
            vec![("messages_due", order(held))],
        ),
        (
            "a lost deadline",
            "orders.db",
            format!("DELETE FROM deadlines WHERE order_id = '{waiting}'"),
            vec![("deadlines_as_replayed", order(waiting))],
        ),
        (
            "a deadline of an order that has none",
            "orders.db",
            format!("UPDATE deadlines SET order_id = '{held}'"),
            vec![
                ("deadlines_as_replayed", order(waiting)),
                ("deadlines_as_replayed", order(held)),
            ],
        ),
        (
            "a changed summary",
            "orders.db",
            format!("UPDATE order_summaries SET refunded = 0 WHERE order_id = '{returned}'"),
            vec![("summaries_as_replayed", order(returned))],
        ),
        (
            "a changed return",
            "orders.db",
            format!("UPDATE order_returns SET state = 'REJECTED' WHERE order_id = '{returned}'"),
            vec![("summaries_as_replayed", order(returned))],
        ),
        (
            "a lost return",
            "orders.db",
            format!("DELETE FROM order_returns WHERE order_id = '{returned}'"),
            vec![("summaries_as_replayed", order(returned))],
        ),
        (
            "an identifier of another parcel",
            "orders.db",
            format!(
                "UPDATE order_identifiers SET name = 'shipment:' || order_id
                 WHERE order_id = '{returned}' AND name LIKE 'shipment:%'"
            ),
            vec![("summaries_as_replayed", order(returned))],
        ),
        (
            "a lost identifier",
            "orders.db",
            format!("DELETE FROM order_identifiers WHERE order_id = '{returned}'"),
            vec![("summaries_as_replayed", order(returned))],
        ),
        (
            "a cursor ahead of the journal",
            "orders.db",
            "UPDATE cursors SET position = position + 1 WHERE follower = 'deadlines'".to_owned(),
            vec![("cursors_not_ahead", "follower/deadlines".to_owned())],
        ),
        (
            "units that came back twice",
            "inventory.db",
            format!(
                "UPDATE reservations SET body = replace(body, '\"restocked\":2', '\"restocked\":3')
                 WHERE order_id = '{returned}'"
            ),
            vec![
                ("goods_out_and_back", order(returned)),
                ("stock_sums", "sku MUG".to_owned()),
            ],
        ),
        (
            "units that wait in stock, and not in the order",
            "inventory.db",
            format!(
                "UPDATE reservations SET body = replace(body, '\"sku\":\"MUG\",\"quantity\":3',
                     '\"sku\":\"MUG\",\"quantity\":3,\"backordered\":1')
                 WHERE order_id = '{held}';
                 UPDATE stock SET backordered = 1 WHERE sku = 'MUG'"
            ),
            // All sums hold.
            vec![("reservations_as_orders", order(held))],
        ),
        (
            "an event that no writer wrote",
            "journal.db",
            format!(
                "INSERT INTO events SELECT aggregate_type, aggregate_id, sequence + 1, event_type,
                     event_version, payload, metadata, shard, position + 1000000, recorded_at, hash
                 FROM events WHERE aggregate_id = '{held}' AND sequence = 2"
            ),
            // Replay takes it as true, and two confirmations are impossible.
            vec![("journal_chain", order(held)), ("history_legal", order(held))],
        ),
        (
            "a head moved far away",
            "journal.db",
            "UPDATE shards SET head_position = 1000000000000".to_owned(),
            vec![("journal_chain", "shard/0".to_owned())],
        ),
        (
            "a reservation that cannot be read",
            "inventory.db",
            format!("UPDATE reservations SET body = '{{}}' WHERE order_id = '{held}'"),
            vec![
                ("reservations_as_orders", order(held)),
                ("reservations_as_orders", "rows".to_owned()),
                ("stock_sums", "rows".to_owned()),
            ],
        ),
        (
            "the last event cut off",
            "journal.db",
            format!(
                "{no_triggers} DELETE FROM events WHERE position = (SELECT MAX(position) FROM events)"
            ),
            vec![
                append_only(),
                ("journal_chain", "shard/0".to_owned()),
                ("deadlines_as_replayed", order(returned)),
                ("goods_out_and_back", order(returned)),
                ("notifications_once", order(returned)),
                ("summaries_as_replayed", order(returned)),
            ],
        ),
    ];
    for (damage, file, sql, expected) in damages {
        let copy = shop.damaged(file, &sql);
        let (code, report) = verify(copy.path());
        assert_eq!(code, 1, "{damage}: {report}");
        let mut found: Vec<(String, String)> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| {
                let text = |field: &str| finding[field].as_str().unwrap().to_owned();
                (text("law"), text("subject"))
            })
            .collect();
        found.sort();
        found.dedup();
        let mut expected: Vec<(String, String)> =
            expected.into_iter().map(|(law, subject)| (law.to_owned(), subject)).collect();
        expected.sort();
        assert_eq!(found, expected, "{damage}: {report:#}");
        if damage == "units that wait in stock, and not in the order" {
            let detail = "line 1: 0 units wait in the order, 1 in stock";
            assert_eq!(report["findings"][0]["detail"], detail);
        }
    }
}

/// Changes an address as somebody would who has all rights on the database and knows how the chain
/// is computed: the triggers are removed and restored, and all hashes after the change are
/// recomputed.
async fn rewrite(file: &Path, order: &str) {
    let options = SqliteConnectOptions::new().filename(file);
    let db = SqlitePool::connect_with(options).await.unwrap();
    let triggers: Vec<String> = sqlx::query_scalar(
        "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    db.execute("DROP TRIGGER events_are_never_updated; DROP TRIGGER events_are_never_deleted")
        .await
        .unwrap();
    let changed = "UPDATE events SET payload = replace(payload, '1 High Street', '2 High Street')
                   WHERE aggregate_id = $1 AND event_type = 'OrderPlaced'";
    assert_eq!(sqlx::query(changed).bind(order).execute(&db).await.unwrap().rows_affected(), 1);
    let rows = sqlx::query("SELECT * FROM events ORDER BY position").fetch_all(&db).await.unwrap();
    let mut hash = GENESIS;
    for row in rows {
        let text = |column: &str| row.get::<String, _>(column);
        let number = |column: &str| u64::try_from(row.get::<i64, _>(column)).unwrap();
        let event = StoredEvent {
            stream_id: text("aggregate_id").parse::<OrderId>().unwrap().into(),
            sequence: number("sequence"),
            shard: 0,
            position: number("position"),
            recorded_at: Timestamp::from_micros(row.get("recorded_at")),
            event_type: text("event_type"),
            event_version: text("event_version"),
            payload: text("payload"),
            metadata: text("metadata"),
        };
        hash = chain_hash(&hash, &event);
        let sql = "UPDATE events SET hash = $1 WHERE position = $2";
        let position = i64::try_from(event.position).unwrap();
        sqlx::query(sql).bind(hash.as_slice()).bind(position).execute(&db).await.unwrap();
    }
    sqlx::query("UPDATE shards SET head_hash = $1").bind(&hash[..]).execute(&db).await.unwrap();
    for trigger in triggers {
        db.execute(trigger.as_str()).await.unwrap();
    }
    db.close().await;
}

/// Against an attacker with all rights only heads noted elsewhere help.
#[test]
fn a_completely_rewritten_history_differs_from_noted_heads() {
    let shop = Shop::closed();
    let noted = shop.directory.path().join("noted.json");
    let noted = noted.to_str().unwrap();
    let verify = |data: &Path, flags: &[&str]| {
        let data = ["--json", "verify", "--data", data.to_str().unwrap()];
        let output = ordinal(&[&data[..], flags].concat());
        let report_json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), report_json, String::from_utf8(output.stderr).unwrap())
    };
    let (code, report, _) = verify(shop.directory.path(), &["--heads-to", noted]);
    assert_eq!(code, 0);
    let head = report["heads"][0].clone();
    assert_eq!(head["position"], report["events"], "{report}");
    let file: Value = serde_json::from_slice(&std::fs::read(noted).unwrap()).unwrap();
    assert_eq!(file["heads"], report["heads"]);

    // It grows and continues what was noted.
    let engine = Engine::start(shop.directory.path());
    // An export has the same hash at the same position, and one for each event.
    let events = String::from_utf8(engine.run(&["events", "replay"]).stdout).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let hashes: Vec<Value> = events.map(|event| event["hash"].clone()).collect();
    assert_eq!(hashes.last(), Some(&head["hash"]));
    assert!(hashes.iter().all(|hash| hash.as_str().unwrap().len() == 64));
    let order = id(&engine.place(&["MUG=1@4.50GBP"]));
    engine.until(&order, "CONFIRMED");
    assert!(engine.stop().success());
    let (code, report, _) = verify(shop.directory.path(), &["--expect", noted]);
    assert_eq!((code, &report["checked"]["as_noted"]), (0, &Value::from(1)), "{report}");
    assert!(report["heads"][0]["position"].as_u64() > head["position"].as_u64());

    // Rewritten, it satisfies every law but that one, and no new heads are noted.
    let copy = shop.damaged("journal.db", "SELECT 1");
    tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(rewrite(&copy.path().join("journal.db"), &shop.returned));
    clean(copy.path());
    let again = copy.path().join("again.json");
    let flags = ["--expect", noted, "--heads-to", again.to_str().unwrap()];
    let (code, report, _) = verify(copy.path(), &flags);
    assert_eq!(code, 1);
    let [finding] = report["findings"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&finding["law"], &finding["subject"]), (&"as_noted".into(), &"shard/0".into()));
    let detail = finding["detail"].as_str().unwrap();
    let position = format!("position {} ", head["position"]);
    assert!(detail.starts_with(&position) && detail.contains(head["hash"].as_str().unwrap()));
    assert!(!again.exists());

    // Set back to before the noted heads.
    let mut later = file.clone();
    later["heads"][0]["position"] = 1_000.into();
    std::fs::write(&again, later.to_string()).unwrap();
    let (code, report, _) = verify(copy.path(), &["--expect", again.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(report["findings"].to_string().contains("ended at position 1000"), "{report}");

    // An invalid heads file is refused, and so is the flag with a client.
    for wrong in
        ["", "{}", r#"{"heads": []}"#, r#"{"heads": [{"shard": 0, "position": 1, "hash": "x"}]}"#]
    {
        std::fs::write(&again, wrong).unwrap();
        let (code, _, error) = verify(copy.path(), &["--expect", again.to_str().unwrap()]);
        assert_eq!(code, 1, "{wrong}: {error}");
    }
    let output = ordinal(&["verify", "--expect", noted]);
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn missing_triggers_are_reported_on_postgres() {
    let database = TestDatabase::create().await;
    let url = database.url();
    let verify = || {
        let output = ordinal(&["--json", "verify", "--database-url", &url]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["findings"].as_array().unwrap().clone()
    };
    let engine = Engine::start_with(&["--database-url", &url, "--shards", "2"]);
    engine.place(&["MUG=1@4.50GBP"]);
    assert!(engine.stop().success());
    assert_eq!(verify(), Vec::<Value>::new());
    let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
    db.execute("SET search_path TO orders_journal").await.unwrap();
    for (damage, mended, expected) in [
        (
            "ALTER TABLE events DISABLE TRIGGER events_are_forever",
            "ALTER TABLE events ENABLE TRIGGER events_are_forever",
            "trigger events_are_forever on events is switched off",
        ),
        (
            "DROP TRIGGER shards_are_forever ON shards",
            "CREATE TRIGGER shards_are_forever BEFORE DELETE OR TRUNCATE ON shards
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()",
            "trigger shards_are_forever on shards is missing",
        ),
        (
            "DROP TRIGGER events_are_forever ON events;
             CREATE TRIGGER events_are_forever BEFORE TRUNCATE ON events
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()",
            "DROP TRIGGER events_are_forever ON events;
             CREATE TRIGGER events_are_forever BEFORE UPDATE OR DELETE OR TRUNCATE ON events
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()",
            "trigger events_are_forever on events differs from its migration",
        ),
        (
            "DROP TRIGGER events_are_forever ON events;
             CREATE TRIGGER events_are_forever
             BEFORE UPDATE OF aggregate_type OR DELETE OR TRUNCATE ON events
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()",
            "DROP TRIGGER events_are_forever ON events;
             CREATE TRIGGER events_are_forever BEFORE UPDATE OR DELETE OR TRUNCATE ON events
             FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_forget()",
            "trigger events_are_forever on events differs from its migration",
        ),
        (
            "DROP TRIGGER archived_orders_only_grow ON archived_orders;
             CREATE TRIGGER archived_orders_only_grow BEFORE UPDATE ON archived_orders
             FOR EACH ROW WHEN (NEW.order_id <> OLD.order_id)
             EXECUTE FUNCTION refuse_to_forget()",
            "DROP TRIGGER archived_orders_only_grow ON archived_orders;
             CREATE TRIGGER archived_orders_only_grow BEFORE UPDATE ON archived_orders
             FOR EACH ROW WHEN (NEW.order_id <> OLD.order_id
                 OR NEW.positions[1:cardinality(OLD.positions)] <> OLD.positions)
             EXECUTE FUNCTION refuse_to_forget()",
            "trigger archived_orders_only_grow on archived_orders differs from its migration",
        ),
        (
            "CREATE OR REPLACE FUNCTION refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RETURN OLD; END $$",
            "CREATE OR REPLACE FUNCTION refuse_to_forget() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN
                RAISE EXCEPTION 'the journal is append-only: % on % is refused', TG_OP, TG_TABLE_NAME;
             END $$",
            "trigger archives_are_forever on archives differs from its migration",
        ),
    ] {
        db.execute(damage).await.unwrap();
        let found = verify();
        let named = |finding: &Value| finding["law"] == "append_only" && finding["detail"] == expected;
        assert!(found.iter().any(named), "{damage}: {found:?}");
        assert!(found.iter().all(|finding| finding["law"] == "append_only"), "{found:?}");
        db.execute(mended).await.unwrap();
        assert_eq!(verify(), Vec::<Value>::new(), "{mended}");
    }
    // Whatever the migrations of a service guard, in its own schema.
    for (service, table, trigger) in [
        ("orders", "operator_actions", "operator_actions_are_forever"),
        ("inventory", "operator_actions", "operator_actions_are_forever"),
        ("notifications", "operator_actions", "operator_actions_are_forever"),
        ("ledger", "transfers", "transfers_are_forever"),
        ("ledger", "accounts", "terms_are_forever"),
    ] {
        let switch = |to: &str| format!("ALTER TABLE {service}.{table} {to} TRIGGER {trigger}");
        db.execute(switch("DISABLE").as_str()).await.unwrap();
        let expected = json!([{
            "law": "append_only", "subject": service,
            "detail": format!("trigger {trigger} on {table} is switched off"),
        }]);
        assert_eq!(json!(verify()), expected);
        db.execute(switch("ENABLE").as_str()).await.unwrap();
    }
    let nothing = "CREATE OR REPLACE FUNCTION ledger.refuse_to_rebook() RETURNS trigger
                   LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$";
    db.execute(nothing).await.unwrap();
    assert_eq!(verify().len(), 5, "each trigger of the book has that function");
    db.close().await.unwrap();
    database.drop().await;
}

#[test]
fn a_directory_without_an_engine_is_refused() {
    let empty = TempDir::new().unwrap();
    let output = ordinal(&["--json", "verify", "--data", empty.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("holds no engine's data"), "{error}");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "something was written");
}
