//! Requests of holds, corrections and parcels: every field that is invalid is named, and what a
//! request leaves open is filled as documented.

use order_actor::domain::{
    AddressPart, BillingPatch, Command, Correct, HoldName, ParcelName, RecordDelivery,
};
use order_actor::grpc::proto;

use crate::grpc_parse::{ID, OTHER_ID, each, fulfill, money, ops, options, parsed};

fn hold() -> proto::HoldOrderRequest {
    proto::HoldOrderRequest {
        order_id: ID.to_owned(),
        hold_id: OTHER_ID.to_owned(),
        kind: proto::HoldKind::Custom.into(),
        label: " call Ada ".to_owned(),
        reason: "odd".to_owned(),
        options: options(),
    }
}

fn release() -> proto::ReleaseHoldRequest {
    proto::ReleaseHoldRequest {
        order_id: ID.to_owned(),
        hold_id: OTHER_ID.to_owned(),
        name: String::new(),
        reason: "paid".to_owned(),
        options: options(),
    }
}

fn correct() -> proto::CorrectOrderRequest {
    let address = || proto::Address {
        street: "2 Low Street".to_owned(),
        city: "Leeds".to_owned(),
        postal_code: "LS1 1AA".to_owned(),
        country: "GB".to_owned(),
        ..proto::Address::default()
    };
    proto::CorrectOrderRequest {
        order_id: ID.to_owned(),
        contact: Some(proto::Contact {
            email: "ada@example.com".to_owned(),
            phone: "+44 20 7183 8750".to_owned(),
            locale: "de_DE".to_owned(),
        }),
        address: Some(address()),
        billing_address: Some(address()),
        update_mask: None,
        reason: "moved".to_owned(),
        options: options(),
    }
}

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Some(prost_types::FieldMask { paths })
}

fn undo() -> proto::UndoShipmentRequest {
    proto::UndoShipmentRequest {
        order_id: ID.to_owned(),
        shipment_id: OTHER_ID.to_owned(),
        shipment_reference: "W-1".to_owned(),
        cause: proto::UndoCause::ReturnedToSender.into(),
        dispositions: vec![proto::LineDisposition {
            line: 1,
            disposition: proto::Disposition::WriteOff.into(),
        }],
        refund: Some(money(1, 0, "GBP")),
        reason: "carrier".to_owned(),
        options: options(),
        outcome: proto::UndoOutcome::Refund.into(),
        charges: vec![proto::ChargeRefund { charge: 1, amount: Some(money(1, 0, "GBP")) }],
    }
}

#[test]
fn holds_refuse_each_field_by_name() {
    each(
        hold,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("hold_id", "INVALID_FIELD", |r| r.hold_id = "x".into()),
            ("kind", "INVALID_FIELD", |r| r.kind = 0),
            ("kind", "INVALID_FIELD", |r| r.kind = 9),
            ("label", "INVALID_FIELD", |r| r.label = " ".into()),
            ("label", "TEXT_TOO_LONG", |r| r.label = "l".repeat(41)),
            ("label", "INVALID_FIELD", |r| r.label = "a\nb".into()),
            ("reason", "REASON_REQUIRED", |r| r.reason.clear()),
            ("reason", "TEXT_TOO_LONG", |r| r.reason = "r".repeat(501)),
        ],
    );
    each(
        release,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id.clear()),
            ("hold_id", "INVALID_FIELD", |r| r.hold_id = "x".into()),
            ("hold_id", "INVALID_FIELD", |r| r.hold_id.clear()),
            ("hold_id", "INVALID_FIELD", |r| r.name = "FRAUD".into()),
            ("reason", "REASON_REQUIRED", |r| r.reason.clear()),
        ],
    );
    let Command::HoldOrder(held) = parsed(hold(), &ops()).unwrap().command else { panic!() };
    assert_eq!(held.label, "call Ada");
    let by_name = proto::ReleaseHoldRequest {
        hold_id: String::new(),
        name: " FRAUD".to_owned(),
        ..release()
    };
    let Command::ReleaseHold(named) = parsed(by_name, &ops()).unwrap().command else { panic!() };
    assert_eq!(named.hold, HoldName::Name("FRAUD".to_owned()));
}

#[test]
fn corrections_refuse_each_field_by_name() {
    each(
        correct,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("reason", "REASON_REQUIRED", |r| r.reason = " ".into()),
            ("contact.email", "INVALID_CONTACT", |r| {
                r.contact.as_mut().unwrap().email = "x".into()
            }),
            ("contact.phone", "INVALID_CONTACT", |r| {
                r.contact.as_mut().unwrap().phone = "0".into()
            }),
            ("contact.locale", "INVALID_CONTACT", |r| {
                r.contact.as_mut().unwrap().locale = "?".into();
            }),
            ("address.street", "INVALID_ADDRESS", |r| r.address.as_mut().unwrap().street.clear()),
            ("address.postal_code", "INVALID_ADDRESS", |r| {
                r.address.as_mut().unwrap().postal_code.clear();
            }),
            ("billing_address.country", "INVALID_ADDRESS", |r| {
                r.billing_address.as_mut().unwrap().country = "XX".into();
            }),
            ("address", "INVALID_ADDRESS", |r| {
                (r.address, r.update_mask) = (None, mask(&["address"]));
            }),
            ("update_mask", "INVALID_FIELD", |r| {
                (r.address, r.contact, r.billing_address) = (None, None, None);
            }),
            ("update_mask", "INVALID_FIELD", |r| r.update_mask = mask(&["address"; 65])),
            ("update_mask.paths[1]", "INVALID_FIELD", |r| {
                r.update_mask = mask(&["address.city", "address.planet"]);
            }),
            ("update_mask.paths[0]", "INVALID_FIELD", |r| r.update_mask = mask(&["*"])),
            ("update_mask.paths[0]", "INVALID_FIELD", |r| r.update_mask = mask(&["contact.fax"])),
        ],
    );
}

fn corrected(update_mask: Option<prost_types::FieldMask>) -> Correct {
    let request = proto::CorrectOrderRequest { update_mask, ..correct() };
    let Command::Correct(correct) = parsed(request, &ops()).unwrap().command else { panic!() };
    *correct
}

#[test]
fn a_mask_names_what_is_corrected() {
    let all = corrected(None);
    assert_eq!(all.address.0.len(), 10);
    assert!(matches!(&all.billing_address, BillingPatch::Change(patch) if patch.0.len() == 10));
    assert!(all.contact.email.is_some() && all.contact.locale.is_some());
    assert_eq!(all, corrected(mask(&["contact", "address", "billing_address"])));
    let some = corrected(mask(&["address.city", "contact.phone", "address.city"]));
    assert_eq!(some.address.0.keys().collect::<Vec<_>>(), [&AddressPart::City]);
    assert_eq!((&some.contact.email, &some.contact.locale), (&None, &None));
    assert!(some.contact.phone.is_some());
    assert_eq!(some.billing_address, BillingPatch::Keep);
    // Parts that are not named are not checked.
    let mut request = correct();
    request.update_mask = mask(&["address.city"]);
    request.address.as_mut().unwrap().country = "XX".to_owned();
    request.contact.as_mut().unwrap().email = "x".to_owned();
    assert!(parsed(request, &ops()).is_ok());
    let request = proto::CorrectOrderRequest {
        billing_address: None,
        update_mask: mask(&["billing_address"]),
        ..correct()
    };
    let Command::Correct(removed) = parsed(request, &ops()).unwrap().command else { panic!() };
    assert_eq!(removed.billing_address, BillingPatch::Remove);
}

#[test]
fn parcels_refuse_each_field_by_name() {
    each(
        undo,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("shipment_id", "INVALID_FIELD", |r| r.shipment_id = "x".into()),
            ("shipment_id", "INVALID_FIELD", |r| {
                r.shipment_id.clear();
                r.shipment_reference.clear();
            }),
            ("shipment_reference", "TEXT_TOO_LONG", |r| r.shipment_reference = "r".repeat(65)),
            ("shipment_reference", "INVALID_FIELD", |r| r.shipment_reference = "W ".into()),
            ("cause", "INVALID_FIELD", |r| r.cause = 0),
            ("cause", "INVALID_FIELD", |r| r.cause = 9),
            ("outcome", "INVALID_FIELD", |r| r.outcome = 9),
            ("dispositions[0].line", "INVALID_RETURN_LINES", |r| r.dispositions[0].line = 0),
            ("refund", "INVALID_REFUND", |r| r.refund = Some(money(-1, 0, "GBP"))),
            ("charges[0].charge", "INVALID_FIELD", |r| r.charges[0].charge = 0),
            ("charges[0].amount", "INVALID_AMOUNT", |r| r.charges[0].amount = None),
            ("charges[1].charge", "INVALID_FIELD", |r| r.charges.push(r.charges[0].clone())),
            ("charges", "INVALID_FIELD", |r| r.charges = vec![r.charges[0].clone(); 21]),
            ("reason", "REASON_REQUIRED", |r| r.reason.clear()),
        ],
    );
    let update = || proto::UpdateShipmentRequest {
        order_id: ID.to_owned(),
        shipment_reference: "W-1".to_owned(),
        tracking: Some("2".to_owned()),
        ..Default::default()
    };
    each(
        update,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id.clear()),
            ("shipment_id", "INVALID_FIELD", |r| r.shipment_reference.clear()),
            ("tracking", "INVALID_FIELD", |r| r.tracking = None),
            ("tracking", "TEXT_TOO_LONG", |r| r.tracking = Some("t".repeat(101))),
            ("carrier", "TEXT_TOO_LONG", |r| r.carrier = Some("c".repeat(101))),
        ],
    );
    let record = || proto::RecordDeliveryRequest {
        order_id: ID.to_owned(),
        shipment_id: OTHER_ID.to_owned(),
        ..Default::default()
    };
    each(
        record,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("delivered_at", "INVALID_FIELD", |r| {
                r.delivered_at = Some(prost_types::Timestamp { seconds: 0, nanos: -1 });
            }),
        ],
    );
    let command = parsed(record(), &ops()).unwrap().command;
    let shipment_id = Some(OTHER_ID.parse().unwrap());
    let parcel = ParcelName { shipment_id, reference: String::new() };
    assert_eq!(command, Command::RecordDelivery(RecordDelivery { parcel, delivered_at: None }));
}

/// Through whatever gateway, and with whatever request id.
#[test]
fn a_parcels_id_is_derived_from_its_reference() {
    let of = |order_id: &str, reference: &str, request: &str| {
        let request = proto::FulfillOrderRequest {
            order_id: order_id.to_owned(),
            shipment_id: String::new(),
            shipment_reference: reference.to_owned(),
            options: Some(proto::CommandOptions {
                request_id: request.to_owned(),
                ..Default::default()
            }),
            ..fulfill()
        };
        let Command::Fulfill(parcel) = parsed(request, &ops()).unwrap().command else { panic!() };
        parcel.shipment_id
    };
    assert_eq!(of(ID, "W-1", ""), of(ID, "W-1", OTHER_ID));
    assert_ne!(of(ID, "W-1", ""), of(ID, "W-2", ""));
    assert_ne!(of(ID, "W-1", ""), of(OTHER_ID, "W-1", ""));
    assert_ne!(of(ID, "", ""), of(ID, "", ""));
    assert_eq!(of(ID, "", OTHER_ID), of(ID, "", OTHER_ID));
}
