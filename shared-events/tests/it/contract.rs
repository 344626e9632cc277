//! Facts are promises: every published version still parses, and is written byte for byte as it
//! was. A golden file is never edited; a new version is a new file.

use std::path::PathBuf;

use shared_events::contract::{
    CancelReason, Contact, Disposition, Fact, FactBody, FactId, InventoryFact, LineUnits, Money,
    NotificationFact, OrderFact, OrderHeader, OrderLineFact, Origin, Quantity, ReturnedUnits,
    StockLine, Timestamp,
};

const ID: &str = "0190a0b0-0000-7000-8000-000000000001";

fn header() -> OrderHeader {
    OrderHeader {
        order_id: ID.parse().unwrap(),
        customer_id: "0190a0b0-0000-7000-8000-000000000002".parse().unwrap(),
        contact: Contact::new("ada@example.org", "+442071838750", "en-GB").unwrap(),
        total: gbp(1530),
    }
}

fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn units() -> Vec<LineUnits> {
    vec![LineUnits { line: 1, sku: "85123A".parse().unwrap(), quantity: Quantity::new(6).unwrap() }]
}

fn stock() -> Vec<StockLine> {
    vec![StockLine { sku: "85123A".parse().unwrap(), quantity: Quantity::new(6).unwrap() }]
}

pub fn bodies() -> Vec<FactBody> {
    let order = header();
    let order_id = order.order_id;
    let return_id = "0190a0b0-0000-7000-8000-000000000003".parse().unwrap();
    let shipment_id = "0190a0b0-0000-7000-8000-000000000004".parse().unwrap();
    let reservation_id = "0190a0b0-0000-7000-8000-000000000005".parse().unwrap();
    let (carrier, tracking) = ("Parcel Co".to_owned(), "PC123".to_owned());
    vec![
        FactBody::Order(OrderFact::Created {
            order: order.clone(),
            lines: vec![OrderLineFact {
                line: 1,
                sku: "85123A".parse().unwrap(),
                quantity: Quantity::new(6).unwrap(),
                unit_price: gbp(255),
            }],
            placed_at: at("2010-12-01T08:26:00Z"),
            confirm_by: at("2010-12-01T08:41:00Z"),
        }),
        FactBody::Order(OrderFact::Confirmed { order: order.clone(), reservation_id }),
        FactBody::Order(OrderFact::LinesCancelled {
            order: order.clone(),
            lines: units(),
            reason: CancelReason::CustomerRequest,
        }),
        FactBody::Order(OrderFact::Cancelled {
            order: order.clone(),
            reason: CancelReason::InsufficientStock,
            was_confirmed: false,
            skus: vec!["85123A".parse().unwrap()],
        }),
        FactBody::Order(OrderFact::LinesFulfilled {
            order: order.clone(),
            shipment_id,
            lines: units(),
            carrier: carrier.clone(),
            tracking: tracking.clone(),
        }),
        FactBody::Order(OrderFact::Fulfilled {
            order: order.clone(),
            shipment_id,
            lines: units(),
            carrier,
            tracking,
            return_until: at("2010-12-31T08:26:00Z"),
        }),
        FactBody::Order(OrderFact::ReturnRequested {
            order: order.clone(),
            return_id,
            lines: units(),
            reason: "too large".to_owned(),
        }),
        FactBody::Order(OrderFact::ReturnOverdue { order: order.clone(), return_id }),
        FactBody::Order(OrderFact::ReturnRejected {
            order: order.clone(),
            return_id,
            reason: "used".to_owned(),
        }),
        FactBody::Order(OrderFact::Returned {
            order: order.clone(),
            return_id,
            lines: vec![ReturnedUnits {
                line: 1,
                sku: "85123A".parse().unwrap(),
                quantity: Quantity::new(6).unwrap(),
                disposition: Disposition::WriteOff,
            }],
        }),
        FactBody::Order(OrderFact::RefundRequested { order, return_id, refund: gbp(1530) }),
        FactBody::Inventory(InventoryFact::Reserved { order_id, reservation_id, lines: stock() }),
        FactBody::Inventory(InventoryFact::Rejected {
            order_id,
            skus: vec!["85123A".parse().unwrap()],
            reservation_id: None,
        }),
        FactBody::Inventory(InventoryFact::Released { order_id, lines: stock() }),
        FactBody::Inventory(InventoryFact::Committed { order_id, lines: stock() }),
        FactBody::Inventory(InventoryFact::Restocked { order_id, lines: stock() }),
        FactBody::Notification(NotificationFact::Sent {
            order_id,
            notification_id: "0190a0b0-0000-7000-8000-000000000006".parse().unwrap(),
            channel: "EMAIL".to_owned(),
        }),
    ]
}

pub fn fact(body: FactBody) -> Fact {
    let id = FactId::at(body.source(), 3, 17, 0);
    let cause = "0190a0b0-0000-7000-8000-000000000007".to_owned();
    Fact::new(id, (3, 17, 0), 1, at("2010-12-01T08:26:00.000001Z"), body).caused(Some(cause), None)
}

/// Envelopes that were published, each with a golden file for every fact: the first had `sequence` as
/// a number, and no `datacontenttype`. The last is what is written today.
const ENVELOPES: [&str; 2] = ["tests/golden", "tests/golden/text-sequence"];

fn golden(envelope: &str, kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(envelope).join(format!("{kind}.json"))
}

#[test]
fn every_published_fact_is_read_and_written_as_ever() {
    for body in bodies() {
        let kind = body.kind();
        let fact = fact(body);
        let written = fact.to_json().unwrap();
        let path = golden(ENVELOPES[1], kind);
        if std::env::var_os("ORDINAL_NEW_GOLDEN").is_some() && !path.exists() {
            std::fs::write(&path, format!("{written}\n")).unwrap();
        }
        for envelope in ENVELOPES {
            let path = golden(envelope, kind);
            let published = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(Fact::from_json(&published).unwrap(), fact, "{kind} is read otherwise");
            if envelope == ENVELOPES[1] {
                let published = published.trim_end();
                assert_eq!(published, written, "{kind} is written otherwise than published");
            }
        }
        assert!(written.contains(&format!("\"type\":\"{kind}\"")), "{kind}");
    }
}

#[test]
fn a_withdrawn_reservation_is_named_by_its_rejection() {
    let plain =
        fact(bodies().into_iter().find(|body| body.kind() == "inventory.rejected.v1").unwrap());
    let mut withdrawn = plain.clone();
    let FactBody::Inventory(InventoryFact::Rejected { reservation_id, .. }) = &mut withdrawn.body
    else {
        panic!("{withdrawn:?}");
    };
    *reservation_id = Some("0190a0b0-0000-7000-8000-000000000003".parse().unwrap());
    let json = withdrawn.to_json().unwrap();
    assert!(json.contains("\"reservation_id\":\"0190a0b0-0000-7000-8000-000000000003\""), "{json}");
    assert_eq!(Fact::from_json(&json).unwrap(), withdrawn);
    assert!(!plain.to_json().unwrap().contains("reservation_id"));
}

/// As CloudEvents has it: a text, by which those of one order can be sorted.
#[test]
fn sequences_sort_as_texts_do() {
    let mut told = Vec::new();
    for sequence in [0, 1, 9, 10, 10_000, u64::MAX] {
        let fact = Fact { sequence, ..fact(bodies().remove(0)) };
        let json = fact.to_json().unwrap();
        assert_eq!(Fact::from_json(&json).unwrap(), fact);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["datacontenttype"], "application/json");
        told.push(json["sequence"].as_str().unwrap().to_owned());
    }
    assert!(told.is_sorted(), "{told:?}");
    let bad = |sequence: &str| {
        let json = fact(bodies().remove(0)).to_json().unwrap();
        Fact::from_json(&json.replace("\"00000000000000000001\"", sequence))
    };
    assert_eq!(bad("7").unwrap().sequence, 7);
    for wrong in ["-1", "1.5", "\"\"", "\"+1\"", "\"x\"", "\"99999999999999999999\"", "null"] {
        assert!(bad(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn there_is_a_golden_file_for_every_fact_and_no_other() {
    let mut kinds: Vec<String> =
        bodies().iter().map(|body| format!("{}.json", body.kind())).collect();
    kinds.sort();
    for envelope in ENVELOPES {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(envelope);
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_file())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, kinds);
    }
}

#[test]
fn an_unknown_fact_is_refused() {
    let known = fact(bodies().remove(1)).to_json().unwrap();
    let unknown = known.replace("order.confirmed.v1", "order.confirmed.v9");
    let refused = Fact::from_json(&unknown).unwrap_err().to_string();
    assert_eq!(refused, "not a known fact: /ordinal/orders promises no order.confirmed.v9");
    assert!(Fact::from_json("{}").is_err());
}

#[test]
fn the_same_place_always_has_the_same_id() {
    let id = FactId::at(Origin::Orders, 3, 17, 0);
    // Fixed for ever: reactions recognise what they did by it.
    assert_eq!(id.to_string(), "6847518a-48d5-57a9-b501-eeceb44ea401");
    assert_ne!(id, FactId::at(Origin::Orders, 3, 17, 1));
    assert_ne!(id, FactId::at(Origin::Inventory, 3, 17, 0));
}
