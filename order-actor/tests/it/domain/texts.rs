//! What the domain says of itself: names, texts of refusals, and nothing of a person.

use order_actor::domain::{
    Address, AddressError, AddressPart, By, ChargeKind, Component, DeadlineKind, Existing, Name,
    Order, Policy, PriceError, Rejection, Role, Status,
};
use shared_events::contract::{CancelReason, Contact, ContactError, Reason};

use super::support::*;

#[test]
fn personal_data_are_not_in_debug_texts() {
    let Address { street, city, .. } = address();
    let shown = format!("{:?} {:?} {:?}", person(), address(), contact());
    assert!(shown.starts_with("Person(..) Address(..)"), "{shown}");
    for private in [street.as_str(), city.as_str(), "ada@example.org", "+442071838750"] {
        assert!(!shown.contains(private), "{shown}");
    }
}

#[test]
fn each_part_of_an_address_is_checked_and_named() {
    let long = |characters: usize| "x".repeat(characters);
    let good = address();
    assert_eq!(good.check(), Ok(()));
    let faults = [
        (
            Address { street: String::new(), ..address() },
            AddressError(AddressPart::Street),
            "street",
        ),
        (
            Address { city: "\u{202e}Leeds".to_owned(), ..address() },
            AddressError(AddressPart::City),
            "city",
        ),
        (
            Address { country: "GBR".to_owned(), ..address() },
            AddressError(AddressPart::Country),
            "country",
        ),
        (
            Address { country: "ZZ".to_owned(), ..address() },
            AddressError(AddressPart::Country),
            "country",
        ),
        (
            Address { postal_code: long(21), ..address() },
            AddressError(AddressPart::PostalCode),
            "postal_code",
        ),
        (
            Address { postal_code: String::new(), ..address() },
            AddressError(AddressPart::PostalCode),
            "postal_code",
        ),
        (Address { name: long(101), ..address() }, AddressError(AddressPart::Name), "name"),
        (
            Address { company: "a\u{0}".to_owned(), ..address() },
            AddressError(AddressPart::Company),
            "company",
        ),
        (Address { region: long(101), ..address() }, AddressError(AddressPart::Region), "region"),
        (
            Address { street_line2: long(201), ..address() },
            AddressError(AddressPart::StreetLine2),
            "street_line2",
        ),
        (
            Address { phone: "12".to_owned(), ..address() },
            AddressError(AddressPart::Phone),
            "phone",
        ),
        (
            Address { instructions: long(501), ..address() },
            AddressError(AddressPart::Instructions),
            "instructions",
        ),
    ];
    for (faulty, error, field) in faults {
        assert_eq!(faulty.check(), Err(error), "{field}");
        assert_eq!(error.0.name(), field);
        let text = Rejection::InvalidAddress(error).to_string();
        let said = text.strip_prefix("address: ").unwrap().replace(' ', "_");
        assert!(said.starts_with(field), "{text}");
    }
    let ireland = Address {
        postal_code: String::new(),
        country: "IE".to_owned(),
        phone: "+35312345678".to_owned(),
        ..address()
    };
    assert_eq!(ireland.check(), Ok(()));
}

#[test]
fn refusals_say_what_is_wrong_with_their_code() {
    let at = "lines[0].quantity".to_owned();
    let bad_contact: ContactError = Contact::new("nobody", "", "").unwrap_err();
    let taken = |existing| Rejection::AlreadyExists { existing, differs: vec!["lines", "total"] };
    let refusals = [
        (Rejection::Forbidden { role: Role::Service }, "FORBIDDEN", "the role SERVICE"),
        (Rejection::EmptyOrder, "EMPTY_ORDER", "at least one line"),
        (Rejection::TooManyLines, "TOO_MANY_LINES", "at most 2000 lines"),
        (Rejection::InvalidLine { line: 2, detail: "no" }, "INVALID_LINE", "line 2: no"),
        (Rejection::CurrencyMismatch, "CURRENCY_MISMATCH", "one currency"),
        (Rejection::AmountOverflow, "AMOUNT_OVERFLOW", "too large"),
        (
            Rejection::InvalidAmount { at: at.clone(), detail: "no" },
            "INVALID_AMOUNT",
            "lines[0].quantity: no",
        ),
        (
            Rejection::TotalsMismatch { field: "tax", is: gbp(1_250) },
            "TOTALS_MISMATCH",
            "expected.tax: it comes to 12.50 GBP",
        ),
        (Rejection::InvalidContact(bad_contact), "INVALID_CONTACT", "contact: "),
        (taken(Existing::Order), "ALREADY_EXISTS", "an order with this id exists"),
        (taken(Existing::Shipment), "ALREADY_EXISTS", "lines, total differ"),
        (taken(Existing::Return), "ALREADY_EXISTS", "a return with this id"),
        (taken(Existing::RejectedReturn), "ALREADY_EXISTS", "under another return id"),
        (taken(Existing::Judgement), "ALREADY_EXISTS", "judged otherwise"),
        (Rejection::NotFound, "NOT_FOUND", "no such order"),
        (
            Rejection::InvalidTransition { from: Status::Returned, call: "CancelOrder" },
            "INVALID_TRANSITION",
            "no call changes it any more",
        ),
        (
            Rejection::InvalidTransition { from: Status::Pending, call: "FulfillOrder" },
            "INVALID_TRANSITION",
            "it allows CancelOrder",
        ),
        (
            Rejection::InvalidLines { line: 3, at: at.clone(), detail: "no" },
            "INVALID_LINES",
            "line 3: no",
        ),
        (
            Rejection::ForbiddenReason { role: Role::Ops, reason: CancelReason::SlaTimeout },
            "FORBIDDEN_REASON",
            "OPS may not cancel for SLA_TIMEOUT",
        ),
        (Rejection::ReasonRequired, "REASON_REQUIRED", "1 to 500 characters"),
        (
            Rejection::TextTooLong { field: "text", max: 500 },
            "TEXT_TOO_LONG",
            "text has at most 500 characters",
        ),
        (Rejection::ReturnWindowExpired, "RETURN_WINDOW_EXPIRED", "is over"),
        (
            Rejection::InvalidReturnLines { line: 4, at, detail: "no" },
            "INVALID_RETURN_LINES",
            "line 4: no",
        ),
        (Rejection::ReturnMismatch, "RETURN_MISMATCH", "does not wait"),
        (Rejection::InvalidRefund, "INVALID_REFUND", "not below zero"),
        (
            Rejection::RefundBelowCharges { charges: gbp(500) },
            "INVALID_REFUND",
            "the charges that are named: at least 5.00 GBP",
        ),
        (
            Rejection::ParcelRefundTooLarge { most: gbp(5) },
            "REFUND_TOO_LARGE",
            "at most 0.05 GBP is refunded for this parcel",
        ),
        (Rejection::RefundNeedsReason, "REFUND_NEEDS_REASON", "needs a reason"),
        (Rejection::RefundTooLarge { most: gbp(5) }, "REFUND_TOO_LARGE", "at most 0.05 GBP"),
        (
            Rejection::AskedTooOften { what: "returns", max: 100 },
            "ASKED_TOO_OFTEN",
            "returns at most 100 times",
        ),
        (Rejection::TooManyEvents, "TOO_MANY_EVENTS", "at most 10000 events; the last 100 are"),
    ];
    for (refusal, code, text) in refusals {
        assert_eq!(refusal.code(), code);
        assert!(refusal.to_string().contains(text), "{code}: {refusal}");
        assert!(Reason::ALL.contains(&refusal.reason()), "{code}");
    }
    for existing in [
        Existing::Order,
        Existing::Shipment,
        Existing::Return,
        Existing::RejectedReturn,
        Existing::Judgement,
    ] {
        let code = existing.code();
        assert!(
            !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
        );
    }
}

#[test]
fn callers_have_a_role_and_a_subject() {
    let callers = [
        (by_owner(), Role::Customer, owner().to_string(), Some(owner())),
        (by_service(), Role::Service, "warehouse".to_owned(), None),
        (by_ops(), Role::Ops, "grace".to_owned(), None),
        (By::Engine(Component::TIMER), Role::Engine, "timer".to_owned(), None),
    ];
    for (by, role, subject, only) in callers {
        assert_eq!((by.role(), by.subject().into_owned()), (role, subject));
        assert_eq!(by.only_customer(), only);
        assert!(by.owns_orders_of(owner()));
        assert_eq!(by.owns_orders_of(stranger()), only.is_none());
        assert!(!role.code().is_empty());
    }
    assert_eq!(Name::from("anna".to_owned()).to_string(), "anna");
    assert_eq!(Name::from("anna".to_owned()).as_str(), "anna");
    assert_eq!(Component::STOCK.as_str(), "stock");
}

#[test]
fn names_are_distinct_and_windows_are_those_documented() {
    let kinds =
        [ChargeKind::Shipping, ChargeKind::Handling, ChargeKind::GiftWrap, ChargeKind::Other];
    let codes = kinds.map(ChargeKind::code);
    assert_eq!(codes, ["SHIPPING", "HANDLING", "GIFT_WRAP", "OTHER"]);
    let deadlines: Vec<&str> = DeadlineKind::all().map(DeadlineKind::code).collect();
    assert_eq!(deadlines, ["CONFIRM", "JUDGE", "EDIT", "PAY"]);
    let statuses: Vec<&str> = Status::all().map(Status::code).collect();
    assert_eq!(
        statuses,
        ["PENDING", "CONFIRMED", "FULFILLED", "RETURN_REQUESTED", "RETURNED", "CANCELLED"]
    );
    let windows = Policy::default().windows().map(|(name, window)| (name, window.as_secs() / 60));
    assert_eq!(
        windows,
        [
            ("confirm-within", 15),
            ("return-within", 30 * 24 * 60),
            ("judge-within", 3 * 24 * 60),
            ("pay-within", 15),
        ]
    );
    assert_eq!((Order::Absent.status(), Order::Absent.details()), (None, None));
    let error = PriceError::Amount { at: "charges[0].amount".to_owned(), detail: "not below zero" };
    assert_eq!(error.to_string(), "charges[0].amount: not below zero");
    assert_eq!(PriceError::Overflow.to_string(), "the total is too large");
}
