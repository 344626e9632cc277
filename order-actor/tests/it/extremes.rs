//! Whatever can be written can be read: every event and every fact, with each field at both
//! extremes of what the edge accepts or ever accepted. The fields come from the golden files; a new
//! field fails here until its extremes are listed.

use std::fs;
use std::path::{Path, PathBuf};

use order_actor::domain::{By, Event};
use order_actor::grpc::render;
use order_actor::journal::StoredEvent;
use order_actor::record::{Metadata, decode, encode};
use prost::Message as _;
use serde_json::{Value, json};
use shared_events::contract::{CustomerId, Fact, Quantity, RequestId, TextRule, Timestamp};
use uuid::Uuid;

use crate::domain::golden;

/// Values of enums, which have no extremes.
const CODES: [&str; 16] = [
    "CUSTOMER_REQUEST",
    "INSUFFICIENT_STOCK",
    "SLA_TIMEOUT",
    "PAYMENT_FAILED",
    "OPS",
    "RESTOCK",
    "WRITE_OFF",
    "GIFT_WRAP",
    "INCLUDED",
    "FRAUD",
    "CUSTOM",
    "ADDRESS",
    "LOST",
    "RETURNED_TO_SENDER",
    "OUT_OF_STOCK",
    "EXPIRED",
];

/// The longest text that a rule accepts, with every unusual character that it accepts.
fn wide(max: usize) -> String {
    let unusual = ["\"\\\t\r\n/{}", "é", "\u{200d}\u{10ffff}\u{fffd}\u{85}"].concat();
    let unusual: String =
        unusual.chars().filter(|c| TextRule::lines(max).check(&c.to_string()).is_ok()).collect();
    let rest = max - unusual.chars().count();
    format!("{unusual}{}", "𐍈".repeat(rest))
}

/// Both extremes of a field's values; none for enums.
fn extremes(field: &str, value: &Value) -> Vec<Value> {
    let word = value.as_str().unwrap_or_default();
    let text = |max: usize| vec![json!(""), json!("x"), json!(wide(max))];
    match field {
        _ if CODES.contains(&word) => Vec::new(),
        "asked_by" => ["CUSTOMER", "SERVICE", "OPS", "ENGINE"].map(Value::from).to_vec(),
        "specversion" | "source" | "type" | "channel" | "datacontenttype" => Vec::new(),
        "minor" => vec![json!(0), json!(i64::MAX)],
        // Withdrawn currencies and codes that are no money were accepted once.
        "currency" => ["GBP", "JPY", "BHD", "CLF", "HRK", "XXX"].map(Value::from).to_vec(),
        "line" => vec![json!(1), json!(u32::MAX)],
        "quantity" => vec![json!(1), json!(Quantity::MAX)],
        "from" | "to" => vec![json!(0), json!(u32::MAX)],
        // False is left out.
        "open_again" => vec![json!(true)],
        "sequence" if value.is_string() => {
            vec![json!(format!("{:020}", 1)), json!(format!("{:020}", u64::MAX))]
        }
        "sequence" | "position" => vec![json!(1), json!(i64::MAX)],
        "shard" | "index" => vec![json!(0), json!(u16::MAX)],
        "was_confirmed" | "refund_told" | "was_paid" => vec![json!(false), json!(true)],
        "id" | "subject" | "causationid" => vec![json!(Uuid::nil()), json!(Uuid::max())],
        _ if field.ends_with("_id") && field != "external_id" => {
            vec![json!(Uuid::nil()), json!(Uuid::max())]
        }
        "at" | "time" | "placed_at" | "ordered_at" | "confirm_by" | "return_until" | "judge_by"
        | "delivered_at" | "answer_by" | "pay_by" | "valid_until" | "respond_by" => {
            vec![json!(Timestamp::MIN), json!(Timestamp::MAX)]
        }
        "sku" | "skus" => vec![json!("0"), json!("z._-".repeat(16))],
        "street" | "street_line2" | "title" => text(200),
        "city" | "name" | "company" | "region" | "label" | "tags" | "fields" => text(100),
        // A key of attributes.
        "size" => text(500),
        "rate" => vec![json!(0), json!(10_000_000)],
        "number" => vec![json!(1), json!(u32::MAX)],
        "postal_code" => text(20),
        "shipment_reference" => text(64),
        "country" => vec![json!("AD"), json!("ZW")],
        "email" => {
            vec![json!("a@b.cd"), json!(format!("{}@{}.org", "a".repeat(64), "b".repeat(63)))]
        }
        "phone" => vec![json!("+12"), json!("+999999999999999")],
        "locale" => vec![json!("de"), json!("abc-12345678-12345678-12345678-1234")],
        "carrier" | "tracking" => text(100),
        "location" => vec![json!("a"), json!("z".repeat(40))],
        "reference" | "return_reference" => text(64),
        "charge" => vec![json!(1), json!(u32::MAX)],
        "text" | "reason" | "refund_reason" | "rejected_reason" | "instructions" | "image_url" => {
            text(500)
        }
        "outcome" => Vec::new(),
        "order_number" | "shop" => text(40),
        "external_id" => text(100),
        // Of a note: as the role is, so is the subject.
        "role" => Vec::new(),
        "psp" => vec![json!("a"), json!("z_9".repeat(10))],
        "seller" => vec![json!("x"), json!("𐍈".repeat(60))],
        "fee_bps" => vec![json!(1), json!(10_000)],
        "code" => text(500),
        // What was done at a provider has a cause with an id; why money is gone is a word.
        "cause" if word.contains('-') => vec![json!(Uuid::nil()), json!(Uuid::max())],
        "capture" | "policy" | "ship_when" | "cause" | "reverses" => Vec::new(),
        // Of a line of a settlement report.
        "kind" | "account" => Vec::new(),
        "psp_line" => text(100),
        "exchange_rate" => vec![json!("0.000000001"), json!("99999.999999999")],
        // False is left out.
        "stock" | "money" => vec![json!(true)],
        "public" => vec![json!(false), json!(true)],
        other => panic!("the extremes of {other} are not listed here"),
    }
}

/// Copies of the value, each with one field at one of its extremes.
fn at_the_extremes(whole: &Value) -> Vec<(String, Value)> {
    fn fields(value: &Value, path: &str, field: &str, found: &mut Vec<(String, Vec<Value>)>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    fields(member, &format!("{path}/{name}"), name, found);
                }
            }
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    fields(element, &format!("{path}/{index}"), field, found);
                }
            }
            leaf => found.push((path.to_owned(), extremes(field, leaf))),
        }
    }
    let mut found = Vec::new();
    fields(whole, "", "", &mut found);
    // What a fact is about stands in its envelope and in its data, and is changed in both.
    let is_subject = |path: &str| whole.pointer(path) == whole.get("subject");
    let mut all = Vec::new();
    for (path, extremes) in &found {
        for extreme in extremes {
            let mut changed = whole.clone();
            for (other, _) in &found {
                if other == path || is_subject(path) && is_subject(other) {
                    *changed.pointer_mut(other).unwrap() = extreme.clone();
                }
            }
            all.push((path.clone(), changed));
        }
    }
    all
}

fn metadata() -> [Metadata; 2] {
    [
        Metadata {
            by: By::customer(CustomerId::from_uuid(Uuid::max())),
            request_id: Some(RequestId::from_uuid(Uuid::nil())),
            fingerprint: Some("f".repeat(32)),
            causation: Some(wide(500)),
            traceparent: Some("00-".to_owned()),
            tracestate: Some("a=1".to_owned()),
        },
        Metadata {
            by: By::ops(&wide(200)),
            request_id: None,
            fingerprint: None,
            causation: None,
            traceparent: None,
            tracestate: None,
        },
    ]
}

#[test]
fn every_event_is_decoded_as_it_was_encoded() {
    let mut tried = 0;
    for (name, event) in golden::samples() {
        let whole = serde_json::to_value(&event).unwrap();
        let (kind, fields) = whole.as_object().unwrap().iter().next().unwrap();
        for (path, changed) in at_the_extremes(fields) {
            let what = format!("{name} {path}");
            let event: Event = serde_json::from_value(json!({ kind: changed }))
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            for metadata in metadata() {
                let written = encode(&event, &metadata).unwrap();
                let read = decode(&StoredEvent {
                    stream_id: Uuid::max().into(),
                    sequence: 1,
                    shard: 0,
                    position: 1,
                    recorded_at: Timestamp::MAX,
                    event_type: written.event_type().to_owned(),
                    event_version: written.event_version().to_owned(),
                    payload: written.payload().to_owned(),
                    metadata: written.metadata().to_owned(),
                });
                let read = read.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!((&*read.event, &*read.metadata), (&event, &metadata), "{what}");
                let shown = render::recorded(&read);
                let again = order_actor::grpc::proto::RecordedEvent::decode(
                    shown.encode_to_vec().as_slice(),
                );
                assert_eq!(again.unwrap(), shown, "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried > 400, "only {tried} were tried");
}

#[test]
fn every_fact_is_decoded_as_it_was_encoded() {
    let folder: PathBuf =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared-events/tests/golden");
    let mut tried = 0;
    let published = [&folder, &folder.join("text-sequence")].map(|it| fs::read_dir(it).unwrap());
    for file in published.into_iter().flatten() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let golden: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for (field, changed) in at_the_extremes(&golden) {
            let what = format!("{} {field}", path.display());
            let fact = Fact::from_json(&changed.to_string())
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            let again = Fact::from_json(&fact.to_json().unwrap());
            assert_eq!(again.unwrap(), fact, "{what}");
            tried += 1;
        }
    }
    assert!(tried > 400, "only {tried} were tried");
}
