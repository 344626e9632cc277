//! Every refusal and every rejection has its status, its reason and, if a retry helps, its delay.
//! No status reveals internal errors.

use std::time::Duration;

use order_actor::actor::Refusal;
use order_actor::domain::{
    AddressError, AddressPart, Existing, ParcelState, PaymentStatus, Rejection, Role,
    Status as OrderStatus,
};
use order_actor::grpc::status::refused;
use service_edge::DOMAIN;
use shared_events::contract::{CancelReason, ContactError, EditId, Money, NameField, OrderId};
use tonic::Code;
use tonic_types::StatusExt as _;

/// Every rejection. The match below fails to compile if one is missing.
fn rejections() -> Vec<(Rejection, Code, Option<&'static str>)> {
    use Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied};
    let all = vec![
        (Rejection::Forbidden { role: Role::Customer }, PermissionDenied, None),
        (Rejection::EmptyOrder, InvalidArgument, Some("lines")),
        (Rejection::TooManyLines, InvalidArgument, Some("lines")),
        (Rejection::InvalidLine { line: 3, detail: "d" }, InvalidArgument, Some("lines[2]")),
        (Rejection::CurrencyMismatch, InvalidArgument, Some("lines")),
        (Rejection::AmountOverflow, InvalidArgument, Some("lines")),
        (
            Rejection::InvalidAddress(AddressError(AddressPart::City)),
            InvalidArgument,
            Some("address.city"),
        ),
        (Rejection::InvalidContact(ContactError::Phone), InvalidArgument, Some("contact.phone")),
        (
            Rejection::AlreadyExists { existing: Existing::Order, differs: vec!["lines"] },
            AlreadyExists,
            None,
        ),
        (Rejection::NotFound, NotFound, None),
        (
            Rejection::InvalidTransition { from: OrderStatus::Pending, call: "FulfillOrder" },
            FailedPrecondition,
            None,
        ),
        (
            Rejection::InvalidLines { line: 2, at: "lines[0].quantity".to_owned(), detail: "d" },
            InvalidArgument,
            Some("lines[0].quantity"),
        ),
        (
            Rejection::ForbiddenReason { role: Role::Customer, reason: CancelReason::Ops },
            PermissionDenied,
            None,
        ),
        (Rejection::Backordered { lines: vec![1, 3] }, FailedPrecondition, None),
        (Rejection::ReasonRequired, InvalidArgument, Some("reason")),
        (Rejection::TextTooLong { field: "text", max: 500 }, InvalidArgument, Some("text")),
        (Rejection::ReturnWindowExpired, FailedPrecondition, None),
        (
            Rejection::InvalidReturnLines { line: 0, at: "lines".to_owned(), detail: "d" },
            InvalidArgument,
            Some("lines"),
        ),
        (Rejection::ReturnMismatch, FailedPrecondition, None),
        (Rejection::ReturnIdRequired, FailedPrecondition, None),
        (Rejection::ReturnNotApproved, FailedPrecondition, None),
        (Rejection::TooManyReturns { max: 20 }, FailedPrecondition, None),
        (Rejection::InvalidRefund, InvalidArgument, Some("refund")),
        (
            Rejection::RefundBelowCharges { charges: Money::new(1, "GBP".parse().unwrap()) },
            InvalidArgument,
            Some("refund"),
        ),
        (
            Rejection::ParcelRefundTooLarge { most: Money::new(1, "GBP".parse().unwrap()) },
            FailedPrecondition,
            None,
        ),
        (Rejection::RefundNeedsReason, FailedPrecondition, None),
        (
            Rejection::RefundTooLarge { most: Money::new(1, "GBP".parse().unwrap()) },
            FailedPrecondition,
            None,
        ),
        (Rejection::AskedTooOften { what: "it is said", max: 1 }, FailedPrecondition, None),
        (Rejection::TooManyEvents, FailedPrecondition, None),
        (
            Rejection::InvalidAmount {
                at: "charges[0].amount".to_owned(),
                detail: "not below zero",
            },
            InvalidArgument,
            Some("charges[0].amount"),
        ),
        (
            Rejection::TotalsMismatch { field: "tax", is: Money::new(1, "GBP".parse().unwrap()) },
            InvalidArgument,
            Some("expected.tax"),
        ),
        (Rejection::OrderHeld { holds: vec!["FRAUD".to_owned()] }, FailedPrecondition, None),
        (Rejection::NoSuchHold { holds: Vec::new() }, FailedPrecondition, None),
        (Rejection::TooManyHolds, FailedPrecondition, None),
        (
            Rejection::EditPending { edit_id: EditId::from_uuid(uuid::Uuid::from_u128(8)) },
            FailedPrecondition,
            None,
        ),
        (Rejection::AlreadyShipped, FailedPrecondition, None),
        (Rejection::TooManyEdits, FailedPrecondition, None),
        (
            Rejection::InvalidPayment { at: "payment.psp".to_owned(), detail: "d" },
            InvalidArgument,
            Some("payment.psp"),
        ),
        (Rejection::PaymentNotSecured { is: PaymentStatus::Lost }, FailedPrecondition, None),
        (Rejection::PaymentMismatch { detail: "d" }, FailedPrecondition, None),
        (Rejection::PaymentPlanFixed, FailedPrecondition, None),
        (Rejection::NoSuchParcel, FailedPrecondition, None),
        (
            Rejection::InvalidParcelState { is: ParcelState::Lost, call: "RecordDelivery" },
            FailedPrecondition,
            None,
        ),
        (
            Rejection::InvalidBillingAddress(AddressError(AddressPart::City)),
            InvalidArgument,
            Some("billing_address.city"),
        ),
        (
            Rejection::InvalidField { at: "delivered_at", detail: "d" },
            InvalidArgument,
            Some("delivered_at"),
        ),
        (Rejection::NoteRequired, InvalidArgument, Some("text")),
        (Rejection::TooManyNotes, FailedPrecondition, None),
        (Rejection::NamesNeedOneDatabase, FailedPrecondition, None),
        (
            Rejection::InvalidName { name: NameField::Shop, detail: "d" },
            InvalidArgument,
            Some("shop"),
        ),
        (
            Rejection::NameTaken {
                name: NameField::OrderNumber,
                holder: OrderId::from_uuid(uuid::Uuid::from_u128(7)),
            },
            AlreadyExists,
            Some("order_number"),
        ),
        (
            Rejection::NameTaken {
                name: NameField::ExternalId,
                holder: OrderId::from_uuid(uuid::Uuid::from_u128(7)),
            },
            AlreadyExists,
            Some("external_id"),
        ),
        (
            Rejection::AddressNotOfCountry {
                at: "address.region".to_owned(),
                detail: "an address in US names its region".to_owned(),
            },
            InvalidArgument,
            Some("address.region"),
        ),
    ];
    for (rejection, _, _) in &all {
        match rejection {
            Rejection::Forbidden { .. }
            | Rejection::EmptyOrder
            | Rejection::TooManyLines
            | Rejection::InvalidLine { .. }
            | Rejection::CurrencyMismatch
            | Rejection::AmountOverflow
            | Rejection::InvalidAddress(_)
            | Rejection::InvalidContact(_)
            | Rejection::AlreadyExists { .. }
            | Rejection::NotFound
            | Rejection::InvalidTransition { .. }
            | Rejection::InvalidLines { .. }
            | Rejection::Backordered { .. }
            | Rejection::ForbiddenReason { .. }
            | Rejection::ReasonRequired
            | Rejection::TextTooLong { .. }
            | Rejection::ReturnWindowExpired
            | Rejection::InvalidReturnLines { .. }
            | Rejection::ReturnMismatch
            | Rejection::ReturnIdRequired
            | Rejection::ReturnNotApproved
            | Rejection::TooManyReturns { .. }
            | Rejection::InvalidRefund
            | Rejection::RefundBelowCharges { .. }
            | Rejection::RefundNeedsReason
            | Rejection::RefundTooLarge { .. }
            | Rejection::ParcelRefundTooLarge { .. }
            | Rejection::AskedTooOften { .. }
            | Rejection::TooManyEvents
            | Rejection::InvalidAmount { .. }
            | Rejection::TotalsMismatch { .. }
            | Rejection::OrderHeld { .. }
            | Rejection::NoSuchHold { .. }
            | Rejection::TooManyHolds
            | Rejection::NoSuchParcel
            | Rejection::InvalidParcelState { .. }
            | Rejection::InvalidBillingAddress(_)
            | Rejection::InvalidField { .. }
            | Rejection::NoteRequired
            | Rejection::TooManyNotes
            | Rejection::InvalidName { .. }
            | Rejection::NameTaken { .. }
            | Rejection::EditPending { .. }
            | Rejection::AlreadyShipped
            | Rejection::TooManyEdits
            | Rejection::InvalidPayment { .. }
            | Rejection::PaymentNotSecured { .. }
            | Rejection::PaymentMismatch { .. }
            | Rejection::PaymentPlanFixed
            | Rejection::NamesNeedOneDatabase
            | Rejection::AddressNotOfCountry { .. } => {}
        }
    }
    all
}

#[test]
fn every_rejection_has_its_status_and_its_own_code_as_the_reason() {
    for (rejection, code, field) in rejections() {
        let reason = rejection.code();
        let status = refused(&Refusal::Rejected(rejection));
        assert_eq!(status.code(), code, "{reason}");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, DOMAIN));
        let shown = details
            .bad_request()
            .and_then(|bad| bad.field_violations.first())
            .map(|violation| violation.field.as_str());
        assert_eq!(shown, field, "{reason}");
        assert_eq!(details.retry_info().map(|retry| retry.retry_delay), None, "{reason}");
    }
}

#[test]
fn units_that_wait_are_named_by_their_lines() {
    let status = refused(&Refusal::Rejected(Rejection::Backordered { lines: vec![1, 3] }));
    let info = status.get_error_details().error_info().unwrap().clone();
    assert_eq!(info.metadata["lines"], "1,3");
    assert!(status.message().starts_with("units of lines 1, 3 wait for stock"), "{status}");
}

#[test]
fn an_invalid_transition_names_the_state_the_call_and_the_allowed_calls() {
    let shown = |from: OrderStatus, call: &'static str| {
        let rejection = Rejection::InvalidTransition { from, call };
        let status = refused(&Refusal::Rejected(rejection));
        let metadata = status.get_error_details().error_info().unwrap().metadata.clone();
        let metadata_text = ["from", "asked", "allowed"].map(|key| metadata[key].clone());
        (status.message().to_owned(), metadata_text.join(" "))
    };
    let (message, metadata) = shown(OrderStatus::Confirmed, "RequestReturn");
    assert_eq!(metadata, "CONFIRMED RequestReturn CancelOrder,FulfillOrder");
    assert_eq!(
        message,
        "an order that is CONFIRMED does not allow RequestReturn; it allows CancelOrder and FulfillOrder"
    );
    let (message, metadata) = shown(OrderStatus::Returned, "FulfillOrder");
    assert_eq!(metadata, "RETURNED FulfillOrder ");
    assert!(message.ends_with("no call changes it any more"), "{message}");
}

#[test]
fn every_other_refusal_has_its_status() {
    let inside = || "connection to 10.0.0.7 refused: password of ada@example.org".to_owned();
    let refusals = [
        (
            Refusal::VersionMismatch { expected: 3, actual: 4 },
            Code::Aborted,
            "VERSION_MISMATCH",
            false,
        ),
        (Refusal::RequestIdReused, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", false),
        (Refusal::Overloaded, Code::ResourceExhausted, "OVERLOADED", true),
        (Refusal::DeadlineExceeded, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", false),
        (Refusal::Unavailable(inside()), Code::Unavailable, "JOURNAL_UNAVAILABLE", true),
        (Refusal::OutcomeUnknown(inside()), Code::Unavailable, "OUTCOME_UNKNOWN", true),
        (Refusal::TooLarge, Code::InvalidArgument, "EVENT_TOO_LARGE", false),
        (Refusal::TooManyEvents, Code::FailedPrecondition, "TOO_MANY_EVENTS", false),
        (
            Refusal::Archived { file: "2026-07/shard-0003-000000000001.jsonl.gz".to_owned() },
            Code::FailedPrecondition,
            "ORDER_ARCHIVED",
            false,
        ),
        (Refusal::Quarantined(inside()), Code::FailedPrecondition, "ORDER_QUARANTINED", false),
    ];
    for (refusal, code, reason, again) in refusals {
        let status = refused(&refusal);
        assert_eq!(status.code(), code, "{reason}");
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, DOMAIN));
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        assert_eq!(delay.is_some_and(|delay| delay > Duration::ZERO), again, "{reason}");
        for inner in ["10.0.0.7", "password", "ada@"] {
            assert!(!status.message().contains(inner), "{reason}: {}", status.message());
            assert!(!String::from_utf8_lossy(status.details()).contains(inner), "{reason}");
        }
    }
    let details = refused(&Refusal::VersionMismatch { expected: 3, actual: 4 }).get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!((metadata["expected"].as_str(), metadata["actual"].as_str()), ("3", "4"));
}
