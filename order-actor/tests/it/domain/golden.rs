//! The bytes of every event. A file here never changes: a new shape is a new version,
//! and the old one is upcast on reading. `ORDINAL_WRITE_GOLDEN=1` writes missing files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use order_actor::domain::{
    Address, Charge, ChargeKind, ChargeRefund, Discount, Event, ExchangeOf, HoldKind, LineQuantity,
    NewNote, Person, Restitution, Role, Tax, TaxMode, UndoCause, UnitOutcome,
};
use order_actor::upcast::{UPCASTS, upcast};
use shared_events::contract::{
    CancelReason, Contact, Disposition, OrderId, OrderNames, SellerId, Timestamp,
};
use uuid::Uuid;

use super::correct::corrected;
use super::edit::{edit_refused, edit_requested, edited, edited_with};
use super::hold::{held, released};
use super::parcels::{found, open_again, parcel_delivered, tracking_corrected, undone};
use super::support::*;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/domain")
}

/// One event of each kind with all fields, and where fields are optional one without them.
pub fn samples() -> Vec<(&'static str, Event)> {
    let mut whole = placed();
    if let Event::OrderPlaced { ordered_at, lines, .. } = &mut whole {
        *ordered_at = Some(Timestamp::from_micros(1_291_190_760_000_000));
        lines[1].seller_id = Some(SellerId::from_uuid(Uuid::from_u128(0x5E)));
    }
    let mut bare = placed();
    if let Event::OrderPlaced { person, .. } = &mut bare {
        let mut without = (**person).clone();
        without.contact = Contact::default();
        without.address.postal_code.clear();
        "IE".clone_into(&mut without.address.country);
        *person = without.into();
    }
    let at = after(60);
    let lines = units(&[(1, 1), (2, 3)]);
    let restitution = |(LineQuantity { line, quantity }, disposition)| Restitution {
        line,
        quantity,
        disposition,
    };
    vec![
        ("OrderPlaced.v2", whole),
        ("OrderPlaced.v2.bare", bare),
        ("OrderPlaced.v2.shop", of_a_shop()),
        ("OrderPlaced.v2.named", with_names()),
        ("OrderConfirmed.v1", confirmed()),
        ("OrderConfirmed.v1.backordered", confirmed_with(&[(1, 2), (2, 1)])),
        ("LinesAllocated.v1", lines_allocated(&[(1, 1), (2, 1)], 60)),
        (
            "LinesCancelled.v1",
            Event::LinesCancelled {
                lines: lines.clone(),
                reason: CancelReason::Ops,
                text: "damaged in store".to_owned(),
                return_until: Some(after(30 * DAY)),
                at,
            },
        ),
        ("LinesCancelled.v1.bare", lines_cancelled(&[(1, 1)], 60)),
        (
            "OrderCancelled.v1",
            Event::OrderCancelled {
                reason: CancelReason::InsufficientStock,
                text: "sold out".to_owned(),
                was_confirmed: false,
                skus: vec!["MUG".parse().unwrap(), "PLATE".parse().unwrap()],
                at,
            },
        ),
        ("OrderCancelled.v1.bare", order_cancelled(CancelReason::SlaTimeout, false, 900)),
        ("LinesFulfilled.v1", lines_fulfilled(1, &[(1, 1)], 60)),
        ("OrderFulfilled.v1", order_fulfilled(2, &[(1, 1), (2, 3)], 60)),
        ("ReturnRequested.v1", return_requested(1, &[(1, 1), (2, 3)], 60)),
        ("ReturnRequested.v1.ops", return_requested_by(Role::Ops, 1, &[(1, 1), (2, 3)], 60)),
        ("ReturnEscalated.v1", return_escalated(1, 60)),
        (
            "ReturnApproved.v1",
            Event::ReturnApproved {
                return_id: return_id(1),
                lines: lines
                    .into_iter()
                    .zip([Disposition::Restock, Disposition::WriteOff])
                    .map(restitution)
                    .collect(),
                kept: Vec::new(),
                rejected_reason: String::new(),
                refund: gbp(3_000),
                refund_reason: "goodwill".to_owned(),
                refund_told: true,
                charges: Vec::new(),
                at,
                location: None,
            },
        ),
        ("ReturnApproved.v1.bare", return_approved(1, &[(1, 1)], 1_000, 60)),
        ("ReturnApproved.v1.nothing", return_approved(1, &[(1, 1)], 0, 60)),
        ("ReturnRejected.v1", return_rejected(1, 60)),
        ("LinesFulfilled.v1.reference", referenced(lines_fulfilled(1, &[(1, 1)], 60))),
        ("OrderFulfilled.v1.reference", referenced(order_fulfilled(2, ALL, 60))),
        ("OrderHeld.v1", held(1, HoldKind::Custom, "call Ada", 60)),
        ("OrderHeld.v1.bare", held(1, HoldKind::Fraud, "", 60)),
        ("HoldReleased.v1", released(1, 60)),
        ("OrderCorrected.v1", corrected(Role::Customer, 60)),
        ("ShipmentCorrected.v1", tracking_corrected(1, 60)),
        ("ShipmentDelivered.v1", parcel_delivered(1, 50, Some(30 * DAY + 50), 60)),
        ("ShipmentDelivered.v1.bare", parcel_delivered(1, 50, None, 60)),
        ("ShipmentUndone.v1", undone(1, UndoCause::ReturnedToSender, ALL, 3_500, 60)),
        ("ShipmentUndone.v1.again", open_again(1, ALL, 60)),
        ("ShipmentUndone.v1.charges", lost_with_shipping()),
        ("ShipmentFound.v1", found(1, ALL, 60)),
        ("OrderEditRequested.v1", edit_requested(1, &[(1, 2, 3), (2, 3, 2)], 2, 60)),
        ("OrderEditRequested.v1.bare", edit_requested(1, &[(1, 2, 3)], 0, 60)),
        ("OrderEditRequested.v1.priced", super::edit::priced(60)),
        ("OrderEdited.v1", edited(1, (&[(1, 2, 3), (2, 3, 2)], 2), 5_900, 60)),
        (
            "OrderEdited.v1.backordered",
            edited_with(1, (&[(1, 2, 3), (2, 3, 2)], 2), &[(1, 1), (3, 2)], 5_900, 60),
        ),
        ("OrderEdited.v1.bare", edited(1, (&[(1, 2, 1)], 0), 3_500, 60)),
        ("OrderEditRefused.v1", edit_refused(1, &["MUG", "PAN"], 60)),
        ("OrderEditRefused.v1.bare", edit_refused(1, &[], 60)),
        ("NoteAdded.v1", super::add_note::noted("Ring first.", true, by_owner(), 60)),
        ("NoteAdded.v1.private", super::add_note::noted("Pays late.", false, by_ops(), 60)),
    ]
    .into_iter()
    .chain(of_returns())
    .chain(of_locations())
    .chain(super::payments::samples())
    .collect()
}

/// Events that name a location of stock.
fn of_locations() -> Vec<(&'static str, Event)> {
    vec![
        ("LinesFulfilled.v1.located", located(lines_fulfilled(1, &[(1, 1)], 60))),
        ("OrderFulfilled.v1.located", located(order_fulfilled(2, ALL, 60))),
        ("ReturnApproved.v1.located", located(return_approved(1, &[(1, 1)], 1_000, 60))),
        ("ReturnReceived.v1.located", located(return_received(1, &[(1, 1)], 1_000, 60))),
    ]
}

/// What events of returns say since several may wait, and goods may come later.
fn of_returns() -> Vec<(&'static str, Event)> {
    let other = OrderId::from_uuid(Uuid::from_u128(0xB));
    let mut exchange = placed();
    if let Event::OrderPlaced { exchange_of, .. } = &mut exchange {
        *exchange_of = Some(ExchangeOf { order_id: other, return_id: return_id(1) });
    }
    let mut requested = return_requested(1, &[(1, 1), (2, 3)], 60);
    if let Event::ReturnRequested { reference, exchange_order_id, .. } = &mut requested {
        "RMA 2026/1".clone_into(reference);
        *exchange_order_id = Some(other);
    }
    let keep = outcomes(&[(2, 1, UnitOutcome::NotArrived), (2, 1, UnitOutcome::Rejected)]);
    let split = |mut event: Event| {
        match &mut event {
            Event::ReturnApproved { kept, rejected_reason, .. }
            | Event::ReturnReceived { kept, rejected_reason, .. }
            | Event::ReturnAuthorized { kept, rejected_reason, .. } => {
                kept.clone_from(&keep);
                "worn".clone_into(rejected_reason);
            }
            _ => unreachable!(),
        }
        if let Event::ReturnAuthorized { refund_reason, charges, .. } = &mut event {
            "goodwill".clone_into(refund_reason);
            charges.push(ChargeRefund { charge: 1, amount: gbp(50) });
        }
        event
    };
    let some = &[(1, 1), (2, 1)];
    vec![
        ("OrderPlaced.v2.exchange", exchange),
        ("ReturnRequested.v1.exchange", requested),
        ("ReturnApproved.v1.split", split(return_approved(1, some, 1_500, 60))),
        ("ReturnAuthorized.v1", split(return_authorized(1, some, 1_550, 60))),
        ("ReturnAuthorized.v1.bare", return_authorized(1, some, 1_500, 60)),
        ("ReturnReceived.v1", split(return_received(1, some, 1_500, 60))),
        ("ReturnReceived.v1.bare", return_received(1, some, 1_500, 60)),
    ]
}

/// A lost parcel whose refund has a part for a charge.
fn lost_with_shipping() -> Event {
    let mut event = undone(1, UndoCause::Lost, ALL, 3_550, 60);
    if let Event::ShipmentUndone(undone) = &mut event {
        undone.charges.push(ChargeRefund { charge: 1, amount: gbp(50) });
    }
    event
}

/// The same with the warehouse's own id of the parcel.
fn referenced(mut event: Event) -> Event {
    if let Event::LinesFulfilled { shipment_reference, .. }
    | Event::OrderFulfilled { shipment_reference, .. } = &mut event
    {
        "W-2026/7".clone_into(shipment_reference);
    }
    event
}

/// An order with names, notes and a picture.
fn with_names() -> Event {
    let mut event = placed();
    if let Event::OrderPlaced { lines, person, names, .. } = &mut event {
        "https://example.com/mug.jpg".clone_into(&mut lines[0].image_url);
        let mut with_notes = (**person).clone();
        with_notes.notes = vec![
            NewNote { public: true, text: "A gift.".to_owned() },
            NewNote { public: false, text: "Pays late.".to_owned() },
        ];
        *person = with_notes.into();
        *names = Some(Box::new(OrderNames {
            order_number: "#1001".to_owned(),
            external_id: "5912/A".to_owned(),
            shop: "uk".to_owned(),
        }));
    }
    event
}

/// An order with everything that a shop says of one.
fn of_a_shop() -> Event {
    let mut event = placed();
    let tax = |amount| Tax {
        name: "VAT".to_owned(),
        rate: Some("20".parse().unwrap()),
        amount: gbp(amount),
    };
    let discount = |label: &str, amount| Discount { label: label.to_owned(), amount: gbp(amount) };
    if let Event::OrderPlaced {
        lines,
        charges,
        discounts,
        tax_mode,
        total,
        person,
        tags,
        metadata,
        ..
    } = &mut event
    {
        lines[0].title = "Mug, blue".to_owned();
        lines[0].attributes.insert("size".to_owned(), "L".to_owned());
        lines[0].discounts = vec![discount("two for one", 1_000)];
        lines[0].taxes = vec![tax(167)];
        *charges = vec![Charge {
            number: 1,
            kind: ChargeKind::GiftWrap,
            label: "red paper".to_owned(),
            amount: gbp(300),
            taxes: vec![tax(50)],
        }];
        *discounts = vec![discount("SPRING", 250)];
        *tax_mode = TaxMode::Included;
        *total = gbp(2_550);
        let address = Address {
            name: "Ada Lovelace".to_owned(),
            company: "Analytical Engines".to_owned(),
            street_line2: "Flat 2".to_owned(),
            region: "West Yorkshire".to_owned(),
            phone: "+442071838750".to_owned(),
            instructions: "Ring twice.".to_owned(),
            ..address()
        };
        let billing_address = Some(super::support::address());
        *person = Person { address, contact: contact(), billing_address, notes: Vec::new() }.into();
        *tags = vec!["wholesale".to_owned()];
        metadata.insert("channel".to_owned(), "web".to_owned());
    }
    event
}

/// What was published before the current version, and what it is lifted to.
#[test]
fn an_older_version_is_lifted_to_the_event_of_today() {
    let today = samples();
    for (older, current) in
        [("OrderPlaced.v1", "OrderPlaced.v2"), ("OrderPlaced.v1.bare", "OrderPlaced.v2.bare")]
    {
        let path = folder().join("golden").join(format!("{older}.json"));
        let payload = fs::read_to_string(path).unwrap();
        let lifted = upcast(UPCASTS, "OrderPlaced", "1", &payload).unwrap();
        let event: Event = serde_json::from_str(&lifted).unwrap();
        let (_, expected) = today.iter().find(|(file, _)| *file == current).unwrap();
        assert_eq!(event, *expected, "{older}");
    }
}

#[test]
fn every_event_has_the_bytes_it_was_published_with() {
    let mut files = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (file, event) in samples() {
        let path = folder().join("golden").join(format!("{file}.json"));
        let encoded = serde_json::to_string(&event).unwrap();
        if !path.exists() && std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some() {
            fs::write(&path, format!("{encoded}\n")).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap();
        let golden = golden.trim_end_matches('\n');
        assert_eq!(encoded, golden, "{file}");
        let decoded: Event = serde_json::from_str(golden).unwrap();
        assert_eq!(decoded, event, "{file}");
        assert_eq!(serde_json::to_string(&decoded).unwrap(), golden, "{file}");
        names.insert(event.name());
        files.insert(format!("{file}.json"));
    }
    files.extend(["OrderPlaced.v1.json", "OrderPlaced.v1.bare.json"].map(str::to_owned));
    let all: BTreeSet<&str> = Event::NAMES.iter().copied().collect();
    assert_eq!(names, all, "every kind of event has a golden file");
    let present: BTreeSet<String> = fs::read_dir(folder().join("golden"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(present, files, "every golden file is read");
}
