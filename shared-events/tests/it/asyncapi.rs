//! `docs/facts.asyncapi.json` describes the streams: a stock client reads every message as
//! documented, and there is no undocumented message.

use std::collections::BTreeSet;
use std::sync::Arc;

use redis::streams::StreamRangeReply;
use serde_json::{Map, Value, json};
use shared_events::contract::{Fact, Origin};
use shared_events::stream::Sink as _;
use shared_events::stream::redis::Relay;
use shared_events::stream::{Batch, Cursors};

use crate::contract::{
    bodies, fact, of_a_shop, of_edits, of_found_parcels, of_locations, of_returns, of_titled_lines,
    of_waiting_edits,
};
use crate::payments::{of_paid_orders, of_payments};
use crate::redis_streams::{Log, Server};

fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/facts.asyncapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A part of a message, with its references resolved.
fn schema(document: &Value, kind: &str, part: &str) -> Value {
    let mut schema = document["components"]["messages"][kind][part].clone();
    assert!(!schema.is_null(), "{kind} is not documented");
    // Undocumented fields are refused.
    schema["unevaluatedProperties"] = json!(false);
    if let Some(data) = schema.pointer_mut("/properties/data") {
        data["unevaluatedProperties"] = json!(false);
    }
    schema["components"] = document["components"].clone();
    schema
}

fn check(document: &Value, kind: &str, part: &str, value: &Value) {
    let schema = schema(document, kind, part);
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{kind} {part}: {errors:?}\n{value:#}");
}

#[tokio::test]
async fn every_stream_entry_is_as_documented() {
    let document = document();
    let server = Server::start(&[]);
    let redis = server.redis();
    let mut kinds = BTreeSet::new();
    for (origin, channel) in [
        (Origin::Orders, "orders"),
        (Origin::Inventory, "inventory"),
        (Origin::Notifications, "notifications"),
        (Origin::Payments, "payments"),
    ] {
        let facts: Vec<Fact> = bodies()
            .into_iter()
            .chain([of_a_shop()])
            .chain(of_returns())
            .chain(of_edits())
            .chain(of_found_parcels())
            .chain(of_waiting_edits())
            .chain(of_titled_lines())
            .chain(of_locations())
            .chain(of_payments())
            .chain(of_paid_orders())
            .filter(|body| body.source() == origin)
            .zip(1_u64..)
            .map(|(body, position)| Fact { position, shard: 3, index: 0, ..fact(body) })
            .collect();
        let through: Cursors = [(3, facts.len() as u64)].into_iter().collect();
        let log = Arc::new(Log::default());
        let mut relay = Relay::new(redis.clone(), origin, log, 1_000);
        relay.cursors().await.unwrap();
        relay.apply(&Batch { items: facts.clone(), through, more: false }).await.unwrap();

        // As any client reads it.
        let mut stock_client = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
        let key = format!("test:{{{channel}:3}}:facts");
        let entries: StreamRangeReply =
            redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(&mut stock_client).unwrap();
        assert_eq!(entries.ids.len(), facts.len());
        for (entry, fact) in entries.ids.iter().zip(&facts) {
            assert_eq!(entry.id, format!("{}-0", fact.position));
            let mut headers = Map::new();
            for (name, value) in &entry.map {
                let text: String = redis::from_redis_value_ref(value).unwrap();
                headers.insert(name.clone(), Value::String(text));
            }
            let event = headers.remove("fact").unwrap();
            let event: Value = serde_json::from_str(event.as_str().unwrap()).unwrap();
            let kind = event["type"].as_str().unwrap().to_owned();
            let listed = &document["channels"][channel]["messages"];
            assert!(listed.get(&kind).is_some(), "{kind} is not in channel {channel}");
            check(&document, &kind, "headers", &Value::Object(headers));
            check(&document, &kind, "payload", &event);
            kinds.insert(kind);
        }
    }
    let documented = document["components"]["messages"].as_object().unwrap();
    assert_eq!(kinds, documented.keys().cloned().collect(), "documented and never written");
}
