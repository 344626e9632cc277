//! Events of every published version are decoded; those of unknown versions are refused.

use std::path::Path;

use order_actor::domain::Event;
use order_actor::journal::StoredEvent;
use order_actor::record::decode;
use order_actor::upcast::{Upcast, upcast};
use serde_json::{Value, json};
use shared_events::contract::Timestamp;
use uuid::Uuid;

fn stored(event_type: &str, version: &str, payload: &str) -> StoredEvent {
    StoredEvent {
        stream_id: Uuid::from_u128(1).into(),
        sequence: 1,
        shard: 0,
        position: 1,
        recorded_at: Timestamp::from_micros(0),
        event_type: event_type.to_owned(),
        event_version: version.to_owned(),
        payload: payload.to_owned(),
        metadata: "{}".to_owned(),
    }
}

#[test]
fn every_published_payload_is_read_under_its_own_version() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/domain/golden");
    let mut read = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        // For example OrderCancelled.v1.bare.json.
        let (event_type, rest) = name.split_once(".v").unwrap();
        let (version, _) = rest.split_once('.').unwrap();
        let payload = std::fs::read_to_string(file.path()).unwrap();
        let recorded = decode(&stored(event_type, version, &payload)).unwrap();
        assert_eq!(recorded.event.name(), event_type, "{name}");
        read += 1;
    }
    assert!(read >= 14, "only {read} golden files");
}

fn renamed(payload: &mut Value) -> Result<(), &'static str> {
    let body = payload.get_mut("ReturnRejected").and_then(Value::as_object_mut);
    let body = body.ok_or("no ReturnRejected")?;
    let text = body.remove("text").ok_or("no text")?;
    body.insert("reason".to_owned(), text);
    Ok(())
}

fn dated(payload: &mut Value) -> Result<(), &'static str> {
    let seconds = payload["ReturnRejected"]["seconds"].as_i64().ok_or("no seconds")?;
    let at = Timestamp::from_micros(seconds * 1_000_000).to_string();
    payload["ReturnRejected"]["at"] = json!(at);
    Ok(())
}

// Invented versions, in two steps to the first published one.
const UPCASTS: &[Upcast] = &[
    Upcast { event_type: "ReturnRejected", from: "0.1", to: "0.2", change: renamed },
    Upcast { event_type: "ReturnRejected", from: "0.2", to: "1", change: dated },
    Upcast { event_type: "OrderPlaced", from: "0.1", to: "0.1", change: |_| Ok(()) },
];

#[test]
fn an_old_event_is_upcast_step_by_step_to_the_current_version() {
    let id = Uuid::from_u128(7);
    let old = json!({ "ReturnRejected": { "return_id": id, "text": "worn", "seconds": 60 } });
    let old = old.to_string();
    let new = upcast(UPCASTS, "ReturnRejected", "0.1", &old).unwrap();
    let recorded =
        decode(&stored("ReturnRejected", Event::version_of("ReturnRejected"), &new)).unwrap();
    let Event::ReturnRejected { reason, at, .. } = &*recorded.event else { panic!("{new}") };
    assert_eq!((reason.as_str(), at.micros()), ("worn", 60_000_000));
    // A payload of the current version is passed on unchanged.
    let same = " {\"any\": 1}";
    assert_eq!(upcast(UPCASTS, "ReturnRejected", "1", same).unwrap(), same);
}

#[test]
fn a_version_without_an_upcast_is_refused() {
    let refused = |event_type: &str, version: &str, payload: &str| {
        upcast(UPCASTS, event_type, version, payload).unwrap_err()
    };
    assert_eq!(refused("ReturnRejected", "2", "{}"), "unknown version");
    assert_eq!(refused("OrderCancelled", "0.1", "{}"), "unknown version");
    // A cycle in the table ends too.
    assert_eq!(refused("OrderPlaced", "0.1", "{}"), "unknown version");
    assert_eq!(refused("ReturnRejected", "0.1", "{}"), "not of version 0.1: no ReturnRejected");
    let error = decode(&stored("OrderPlaced", "3", "{}")).unwrap_err();
    assert!(error.to_string().ends_with("OrderPlaced version 3: unknown version"), "{error}");
}
