//! Every published version of a fact still parses, and is written byte for byte as it was. A golden
//! file is never edited; a new version is a new file.

use std::path::PathBuf;

use shared_events::contract::{
    CancelReason, ChargeFact, Contact, Disposition, ExchangeFact, Fact, FactBody, FactId,
    InventoryFact, KeptUnits, LineUnits, LocationName, Money, NotificationFact, OrderFact,
    OrderHeader, OrderLineFact, OrderNames, Origin, Quantity, ReturnedUnits, StockLine, Timestamp,
    TotalsFact,
};

use crate::payments::of_payments;

const OTHER: &str = "0190a0b0-0000-7000-8000-0000000000ff";
const ID: &str = "0190a0b0-0000-7000-8000-000000000001";

fn header() -> OrderHeader {
    OrderHeader {
        order_id: ID.parse().unwrap(),
        customer_id: "0190a0b0-0000-7000-8000-000000000002".parse().unwrap(),
        contact: Contact::new("ada@example.org", "+442071838750", "en-GB").unwrap(),
        total: gbp(1530),
        names: None,
    }
}

fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn units() -> Vec<LineUnits> {
    let (sku, quantity) = ("85123A".parse().unwrap(), Quantity::new(6).unwrap());
    vec![LineUnits { line: 1, sku, quantity, title: String::new() }]
}

fn stock() -> Vec<StockLine> {
    let (sku, quantity) = ("85123A".parse().unwrap(), Quantity::new(6).unwrap());
    vec![StockLine { sku, quantity, location: LocationName::main() }]
}

/// An order with all that a shop says of one.
pub fn of_a_shop() -> FactBody {
    let mut created = bodies().remove(0);
    let FactBody::Order(OrderFact::Created { order, lines, charges, totals, .. }) = &mut created
    else {
        panic!("the first body is of an order that was created")
    };
    order.names = Some(Box::new(OrderNames {
        order_number: "#1001".to_owned(),
        external_id: "5912/A".to_owned(),
        shop: "uk".to_owned(),
    }));
    lines[0].image_url = "https://example.com/mug.jpg".to_owned();
    lines[0].title = "Mug, blue".to_owned();
    lines[0].attributes.insert("size".to_owned(), "L".to_owned());
    lines[0].total = Some(gbp(1_700));
    let label = "Royal Mail".to_owned();
    charges.push(ChargeFact { kind: "SHIPPING".to_owned(), label, total: gbp(599) });
    *totals = Some(Box::new(TotalsFact {
        goods: gbp(1_530),
        discounts: gbp(113),
        charges: gbp(499),
        tax: gbp(383),
        total: gbp(2_299),
    }));
    created
}

/// Facts of returns with all that they may say. The first is of a kind that came after the first
/// envelope.
pub fn of_returns() -> Vec<FactBody> {
    let mut told = vec![FactBody::Order(OrderFact::ReturnApproved {
        order: header(),
        return_id: "0190a0b0-0000-7000-8000-000000000003".parse().unwrap(),
        lines: units(),
        return_reference: String::new(),
        kept: Vec::new(),
        rejected_reason: String::new(),
        refund: gbp(1530),
    })];
    told.extend(bodies());
    for body in &mut told {
        let FactBody::Order(order) = body else { continue };
        match order {
            OrderFact::Created { exchange_of, .. } => {
                let (order_id, return_id) = (OTHER.parse().unwrap(), OTHER.parse().unwrap());
                *exchange_of = Some(ExchangeFact { order_id, return_id });
            }
            OrderFact::ReturnRequested { return_reference, exchange_order_id, .. } => {
                *exchange_order_id = Some(OTHER.parse().unwrap());
                "RMA 1".clone_into(return_reference);
            }
            OrderFact::ReturnRejected { return_reference, .. } => {
                "RMA 1".clone_into(return_reference);
            }
            OrderFact::ReturnApproved { return_reference, kept, rejected_reason, .. }
            | OrderFact::Returned { return_reference, kept, rejected_reason, .. }
            | OrderFact::RefundRequested { return_reference, kept, rejected_reason, .. } => {
                "RMA 1".clone_into(return_reference);
                "worn".clone_into(rejected_reason);
                let LineUnits { line, sku, quantity, .. } = units().remove(0);
                let outcome = "REJECTED".to_owned();
                kept.push(KeptUnits { line, sku, quantity, outcome });
            }
            _ => {}
        }
    }
    told
}

/// Facts about units of lines that have a title, and cancellations with words.
pub fn of_titled_lines() -> Vec<FactBody> {
    let title = || "Mug, blue".to_owned();
    let mut bodies = bodies();
    for body in &mut bodies {
        match body {
            FactBody::Order(OrderFact::LinesCancelled { lines, text, .. }) => {
                lines[0].title = title();
                "one broke".clone_into(text);
            }
            FactBody::Order(OrderFact::Cancelled { text, .. }) => *text = title(),
            FactBody::Order(
                OrderFact::LinesFulfilled { lines, .. }
                | OrderFact::Fulfilled { lines, .. }
                | OrderFact::ReturnRequested { lines, .. },
            ) => lines[0].title = title(),
            FactBody::Order(OrderFact::Returned { lines, .. }) => lines[0].title = title(),
            _ => {}
        }
    }
    let titled = |body: &FactBody| fact(body.clone()).to_json().unwrap().contains("Mug, blue");
    bodies.retain(titled);
    assert_eq!(bodies.len(), 6);
    bodies
}

/// Facts about units that are not at `main`.
pub fn of_locations() -> Vec<FactBody> {
    let berlin = || -> LocationName { "berlin".parse().unwrap() };
    let mut bodies = bodies();
    for body in &mut bodies {
        match body {
            FactBody::Order(
                OrderFact::LinesFulfilled { location, .. }
                | OrderFact::Fulfilled { location, .. }
                | OrderFact::Returned { location, .. },
            ) => *location = Some(berlin()),
            FactBody::Inventory(
                InventoryFact::Reserved { lines, .. }
                | InventoryFact::Released { lines, .. }
                | InventoryFact::Committed { lines, .. }
                | InventoryFact::Restocked { lines, .. },
            ) => lines[0].location = berlin(),
            FactBody::Inventory(InventoryFact::Allocated { elsewhere, .. }) => {
                elsewhere.extend(stock());
                elsewhere[0].location = berlin();
            }
            _ => {}
        }
    }
    let located = |body: &FactBody| fact(body.clone()).to_json().unwrap().contains("berlin");
    bodies.retain(located);
    assert_eq!(bodies.len(), 8);
    bodies
}

#[test]
fn locations_of_units_are_read_as_they_were_written() {
    for body in of_locations() {
        let fact = fact(body);
        assert_eq!(Fact::from_json(&fact.to_json().unwrap()).unwrap(), fact);
    }
}

#[test]
fn what_a_shop_says_of_lines_is_read_as_it_was_written() {
    for body in of_titled_lines().into_iter().chain([of_a_shop()]) {
        let fact = fact(body);
        assert_eq!(Fact::from_json(&fact.to_json().unwrap()).unwrap(), fact);
    }
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
                title: String::new(),
                image_url: String::new(),
                attributes: <_>::default(),
                total: None,
            }],
            placed_at: at("2010-12-01T08:26:00Z"),
            confirm_by: at("2010-12-01T08:41:00Z"),
            charges: Vec::new(),
            totals: None,
            exchange_of: None,
        }),
        FactBody::Order(OrderFact::Confirmed {
            order: order.clone(),
            reservation_id,
            backordered: Vec::new(),
            payments: Vec::new(),
        }),
        FactBody::Order(OrderFact::LinesCancelled {
            order: order.clone(),
            lines: units(),
            reason: CancelReason::CustomerRequest,
            text: String::new(),
            refund_id: None,
            payments: Vec::new(),
        }),
        FactBody::Order(OrderFact::Cancelled {
            order: order.clone(),
            reason: CancelReason::InsufficientStock,
            was_confirmed: false,
            skus: vec!["85123A".parse().unwrap()],
            text: String::new(),
            refund_id: None,
            payments: Vec::new(),
        }),
        FactBody::Order(OrderFact::LinesFulfilled {
            order: order.clone(),
            shipment_id,
            lines: units(),
            carrier: carrier.clone(),
            tracking: tracking.clone(),
            shipment_reference: String::new(),
            location: None,
            payments: Vec::new(),
        }),
        FactBody::Order(OrderFact::Fulfilled {
            order: order.clone(),
            shipment_id,
            lines: units(),
            carrier,
            tracking,
            return_until: at("2010-12-31T08:26:00Z"),
            shipment_reference: String::new(),
            location: None,
            payments: Vec::new(),
        }),
        FactBody::Order(OrderFact::ReturnRequested {
            order: order.clone(),
            return_id,
            lines: units(),
            reason: "too large".to_owned(),
            return_reference: String::new(),
            exchange_order_id: None,
        }),
        FactBody::Order(OrderFact::ReturnOverdue { order: order.clone(), return_id }),
        FactBody::Order(OrderFact::ReturnRejected {
            order: order.clone(),
            return_id,
            reason: "used".to_owned(),
            return_reference: String::new(),
        }),
        FactBody::Order(OrderFact::Returned {
            order: order.clone(),
            return_id,
            lines: vec![ReturnedUnits {
                line: 1,
                sku: "85123A".parse().unwrap(),
                quantity: Quantity::new(6).unwrap(),
                disposition: Disposition::WriteOff,
                title: String::new(),
            }],
            return_reference: String::new(),
            kept: Vec::new(),
            rejected_reason: String::new(),
            location: None,
        }),
        FactBody::Order(OrderFact::RefundRequested {
            order: order.clone(),
            return_id,
            refund: gbp(1530),
            return_reference: String::new(),
            kept: Vec::new(),
            rejected_reason: String::new(),
            payments: Vec::new(),
        }),
        FactBody::Inventory(InventoryFact::Reserved {
            order_id,
            reservation_id,
            lines: stock(),
            backordered: Vec::new(),
        }),
        FactBody::Inventory(InventoryFact::Rejected {
            order_id,
            skus: vec!["85123A".parse().unwrap()],
            reservation_id: None,
        }),
        FactBody::Inventory(InventoryFact::Released { order_id, lines: stock() }),
        FactBody::Inventory(InventoryFact::Committed { order_id, lines: stock() }),
        FactBody::Inventory(InventoryFact::Restocked { order_id, lines: stock() }),
        FactBody::Inventory(InventoryFact::Allocated {
            order_id,
            reservation_id,
            lines: units(),
            elsewhere: Vec::new(),
        }),
        FactBody::Notification(NotificationFact::Sent {
            order_id,
            notification_id: "0190a0b0-0000-7000-8000-000000000006".parse().unwrap(),
            channel: "EMAIL".to_owned(),
        }),
    ]
    .into_iter()
    .chain(later(&order))
    .collect()
}

/// Facts of holds, corrections and parcels, which were published later.
fn later(order: &OrderHeader) -> Vec<FactBody> {
    let (lines, backordered) = (units(), units());
    let allocated = OrderFact::LinesAllocated { order: order.clone(), lines, backordered };
    let hold_id = "0190a0b0-0000-7000-8000-000000000008".parse().unwrap();
    let shipment_id = "0190a0b0-0000-7000-8000-000000000004".parse().unwrap();
    let shipment_reference = "W-2010/7".to_owned();
    let facts = vec![
        allocated,
        OrderFact::Held {
            order: order.clone(),
            hold_id,
            kind: "CUSTOM".to_owned(),
            label: "call Ada".to_owned(),
            reason: "the street has no such number".to_owned(),
        },
        OrderFact::HoldReleased {
            order: order.clone(),
            hold_id,
            reason: "she gave another".to_owned(),
        },
        OrderFact::Corrected {
            order: order.clone(),
            fields: vec!["contact.email".to_owned(), "address.street".to_owned()],
        },
        OrderFact::ShipmentCorrected {
            order: order.clone(),
            shipment_id,
            lines: units(),
            carrier: "Parcel Co".to_owned(),
            tracking: "PC124".to_owned(),
            shipment_reference: shipment_reference.clone(),
        },
        OrderFact::Delivered {
            order: order.clone(),
            shipment_id,
            lines: units(),
            delivered_at: at("2010-12-03T08:26:00Z"),
            return_until: Some(at("2011-01-02T08:26:00Z")),
            shipment_reference: shipment_reference.clone(),
        },
        OrderFact::ShipmentUndone {
            order: order.clone(),
            shipment_id,
            cause: "RETURNED_TO_SENDER".to_owned(),
            lines: vec![ReturnedUnits {
                line: 1,
                sku: "85123A".parse().unwrap(),
                quantity: Quantity::new(6).unwrap(),
                disposition: Disposition::Restock,
                title: String::new(),
            }],
            shipment_reference,
            open_again: false,
            location: None,
        },
    ];
    facts.into_iter().map(FactBody::Order).collect()
}

pub fn fact(body: FactBody) -> Fact {
    let id = FactId::at(body.source(), 3, 17, 0);
    let cause = "0190a0b0-0000-7000-8000-000000000007".to_owned();
    Fact::new(id, (3, 17, 0), 1, at("2010-12-01T08:26:00.000001Z"), body).caused(Some(cause), None)
}

/// What other systems added to a trace goes with the fact, and with what follows from it in the same
/// trace.
#[test]
fn a_fact_says_what_others_added_to_its_trace_where_they_did() {
    let own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let other = own.replace("0af", "1af");
    let body = || bodies().remove(0);
    let none = fact(body()).caused(None, Some(own.to_owned()));
    assert!(!none.to_json().unwrap().contains("tracestate"));
    let mut fact = none.stated(Some("congo=t61".to_owned()));
    let written = fact.to_json().unwrap();
    assert!(written.contains(r#","tracestate":"congo=t61""#), "{written}");
    assert_eq!(Fact::from_json(&written).unwrap(), fact);
    for (handled_in, state) in [
        (None, Some("congo=t61")),
        (Some(own.replace("b7a", "c7a")), Some("congo=t61")),
        (Some(other), None),
    ] {
        fact.handled_in = handled_in.map(String::into_boxed_str);
        assert_eq!(fact.trace_state(), state);
    }
    fact.traceparent = None;
    assert_eq!(fact.trace_state(), None);
}

/// Published envelopes, each with a golden file for every fact: the first had `sequence` as a
/// number, and no `datacontenttype`. The last is what is written today.
const ENVELOPES: [&str; 2] = ["tests/golden", "tests/golden/text-sequence"];

fn golden(envelope: &str, kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(envelope).join(format!("{kind}.json"))
}

#[test]
fn published_facts_are_read_and_written_unchanged() {
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
            assert_eq!(Fact::from_json(&published).unwrap(), fact, "{kind} is read differently");
            if envelope == ENVELOPES[1] {
                let published = published.trim_end();
                assert_eq!(published, written, "{kind} is written differently than published");
            }
        }
        assert!(written.contains(&format!("\"type\":\"{kind}\"")), "{kind}");
    }
}

/// What facts of returns may say beside what they said at first.
#[test]
fn facts_of_returns_are_read_as_they_are_written() {
    for body in of_returns() {
        let said = fact(body);
        let json = said.to_json().unwrap();
        assert_eq!(Fact::from_json(&json).unwrap(), said);
    }
    let written = fact(of_returns().remove(0)).to_json().unwrap();
    let path = golden(ENVELOPES[1], "order.return.approved.v1");
    if std::env::var_os("ORDINAL_NEW_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, format!("{written}\n")).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap().trim_end(), written);
}

/// Facts about edits, which came after the first envelope.
pub fn of_edits() -> Vec<FactBody> {
    let edit_id = "0190a0b0-0000-7000-8000-000000000009".parse().unwrap();
    let (order, order_id) = (header(), header().order_id);
    let FactBody::Order(OrderFact::Created { lines: added, totals, .. }) = of_a_shop() else {
        panic!("an order that was created")
    };
    let skus = vec!["85123A".parse().unwrap()];
    let cause = "OUT_OF_STOCK".to_owned();
    vec![
        FactBody::Order(OrderFact::EditRequested {
            order: order.clone(),
            edit_id,
            lines: units(),
            answer_by: at("2010-12-01T08:41:00Z"),
        }),
        FactBody::Order(OrderFact::Edited {
            order: order.clone(),
            edit_id,
            raised: units(),
            added,
            cancelled: units(),
            backordered: Vec::new(),
            totals,
        }),
        FactBody::Order(OrderFact::EditRefused { order, edit_id, cause, skus: skus.clone() }),
        FactBody::Inventory(InventoryFact::EditReserved {
            order_id,
            edit_id,
            lines: stock(),
            backordered: Vec::new(),
        }),
        FactBody::Inventory(InventoryFact::EditRejected { order_id, edit_id, skus }),
    ]
}

/// Facts of edits whose units wait for stock.
pub fn of_waiting_edits() -> Vec<FactBody> {
    let mut all = of_edits();
    all.retain_mut(|body| match body {
        FactBody::Order(OrderFact::Edited { backordered, .. })
        | FactBody::Inventory(InventoryFact::EditReserved { backordered, .. }) => {
            *backordered = units();
            true
        }
        _ => false,
    });
    all
}

#[test]
fn units_of_an_edit_that_wait_are_named() {
    let plain = of_edits();
    for body in of_waiting_edits() {
        let said = fact(body);
        let json = said.to_json().unwrap();
        assert!(json.contains("\"backordered\":[{"), "{json}");
        assert_eq!(Fact::from_json(&json).unwrap(), said);
        let plain = plain.iter().find(|plain| plain.kind() == said.body.kind()).unwrap();
        assert!(!fact(plain.clone()).to_json().unwrap().contains("backordered"));
    }
}

#[test]
fn a_parcel_whose_units_are_open_again_says_so() {
    let undone = |body: &FactBody| body.kind() == "order.shipment.undone.v1";
    let plain = fact(bodies().into_iter().find(undone).unwrap());
    let mut again = plain.clone();
    let FactBody::Order(OrderFact::ShipmentUndone { open_again, location, .. }) = &mut again.body
    else {
        panic!("{again:?}");
    };
    *open_again = true;
    *location = Some("north".parse().unwrap());
    let json = again.to_json().unwrap();
    assert!(json.contains("\"open_again\":true,\"location\":\"north\""), "{json}");
    assert_eq!(Fact::from_json(&json).unwrap(), again);
    assert!(!plain.to_json().unwrap().contains("open_again"));
}

/// A lost parcel that came back after all, which came after the first envelope.
pub fn of_found_parcels() -> Vec<FactBody> {
    let undone = |body: &FactBody| body.kind() == "order.shipment.undone.v1";
    let FactBody::Order(OrderFact::ShipmentUndone { order, shipment_id, lines, .. }) =
        bodies().into_iter().find(undone).unwrap()
    else {
        panic!("a parcel that was undone")
    };
    let shipment_reference = "W-2010/7".to_owned();
    vec![FactBody::Order(OrderFact::ShipmentFound {
        order,
        shipment_id,
        lines,
        shipment_reference,
        location: Some("north".parse().unwrap()),
    })]
}

#[test]
fn facts_after_the_first_envelope_are_read_as_they_are_written() {
    for body in of_edits().into_iter().chain(of_found_parcels()) {
        let (kind, said) = (body.kind(), fact(body));
        let written = said.to_json().unwrap();
        let path = golden(ENVELOPES[1], kind);
        if std::env::var_os("ORDINAL_NEW_GOLDEN").is_some() && !path.exists() {
            std::fs::write(&path, format!("{written}\n")).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap();
        assert_eq!(published.trim_end(), written, "{kind} is written differently than published");
        assert_eq!(Fact::from_json(&published).unwrap(), said, "{kind} is read differently");
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

/// As in CloudEvents: a text, by which those of one order can be sorted.
#[test]
fn sequences_sort_as_texts_do() {
    let mut sequences = Vec::new();
    for sequence in [0, 1, 9, 10, 10_000, u64::MAX] {
        let fact = Fact { sequence, ..fact(bodies().remove(0)) };
        let json = fact.to_json().unwrap();
        assert_eq!(Fact::from_json(&json).unwrap(), fact);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["datacontenttype"], "application/json");
        sequences.push(json["sequence"].as_str().unwrap().to_owned());
    }
    assert!(sequences.is_sorted(), "{sequences:?}");
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
fn every_fact_has_golden_files_and_no_other_exists() {
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
        // They came after the first envelope.
        let mut since = vec!["order.return.approved.v1.json".to_owned()];
        let later = of_edits().into_iter().chain(of_found_parcels()).chain(of_payments());
        since.extend(later.map(|body| format!("{}.json", body.kind())));
        files.retain(|file| envelope == ENVELOPES[0] || !since.contains(file));
        files.sort();
        assert_eq!(files, kinds);
    }
}

#[test]
fn an_unknown_fact_is_refused() {
    let known = fact(bodies().remove(1)).to_json().unwrap();
    let unknown = known.replace("order.confirmed.v1", "order.confirmed.v9");
    let refused = Fact::from_json(&unknown).unwrap_err().to_string();
    assert_eq!(refused, "not a known fact: /ordinal/orders publishes no order.confirmed.v9");
    assert!(Fact::from_json("{}").is_err());
}

#[test]
fn a_fact_whose_data_are_about_another_subject_is_refused() {
    for body in bodies() {
        let known = fact(body);
        let written = known.to_json().unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&written).unwrap();
        json["subject"] = OTHER.into();
        assert_ne!(known.subject.to_string(), OTHER, "the same subject proves nothing");
        let refused = Fact::from_json(&json.to_string()).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("not a known fact: its data are not about its subject {OTHER}")
        );
    }
}

#[test]
fn the_same_place_always_has_the_same_id() {
    let id = FactId::at(Origin::Orders, 3, 17, 0);
    // Fixed for ever: reactions recognise their cause by it.
    assert_eq!(id.to_string(), "6847518a-48d5-57a9-b501-eeceb44ea401");
    assert_ne!(id, FactId::at(Origin::Orders, 3, 17, 1));
    assert_ne!(id, FactId::at(Origin::Inventory, 3, 17, 0));
}
