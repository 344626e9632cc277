//! Invalid input in any field is refused with that field's path and code. All violations are
//! reported together, and no value is echoed.

use order_actor::domain::{By, Command, Role, Status};
use order_actor::grpc::commands::{CommandRequest, ParseContext};
use order_actor::grpc::parse::{self, AsOf, Parsed, Violations};
use order_actor::grpc::proto;
use shared_events::chance::Chance;
use shared_events::contract::{CancelReason, CustomerId, Timestamp};
use tonic::Code;
use tonic_types::StatusExt as _;

pub const ID: &str = "01890000-0000-7000-8000-000000000001";
pub const OTHER_ID: &str = "01890000-0000-7000-8000-000000000002";
const SHARDS: u16 = 4;

pub fn ops() -> By {
    By::ops("olga")
}

pub fn parsed<T: CommandRequest>(request: T, by: &By) -> Result<Parsed, Violations> {
    request.parse(&ParseContext { by, ids: &Chance::system() })
}

pub fn money(units: i64, nanos: i32, currency: &str) -> proto::Money {
    proto::Money { currency_code: currency.to_owned(), units, nanos }
}

fn line() -> proto::NewLine {
    proto::NewLine {
        sku: "85123A".to_owned(),
        quantity: 6,
        unit_price: Some(money(2, 550_000_000, "GBP")),
        seller_id: OTHER_ID.to_owned(),
        ..proto::NewLine::default()
    }
}

pub fn options() -> Option<proto::CommandOptions> {
    Some(proto::CommandOptions {
        request_id: OTHER_ID.to_owned(),
        expected_version: Some(3),
        etag: "3".to_owned(),
        validate_only: true,
    })
}

pub fn place() -> proto::PlaceOrderRequest {
    proto::PlaceOrderRequest {
        order_id: ID.to_owned(),
        customer_id: OTHER_ID.to_owned(),
        lines: vec![line(), line()],
        address: Some(Box::new(proto::Address {
            street: "1 Secret Street".to_owned(),
            city: "London".to_owned(),
            postal_code: "W1".to_owned(),
            country: "GB".to_owned(),
            ..proto::Address::default()
        })),
        contact: Some(proto::Contact {
            email: "ada@example.org".to_owned(),
            phone: "+442071838750".to_owned(),
            locale: "en-GB".to_owned(),
        }),
        ordered_at: Some(prost_types::Timestamp { seconds: 1_291_190_760, nanos: 1_999 }),
        options: options(),
        ..proto::PlaceOrderRequest::default()
    }
}

fn units(line: u32, quantity: u32) -> proto::LineUnits {
    proto::LineUnits { line, quantity }
}

fn cancel() -> proto::CancelOrderRequest {
    proto::CancelOrderRequest {
        order_id: ID.to_owned(),
        reason: proto::CancelReason::Ops.into(),
        text: "damaged".to_owned(),
        lines: vec![units(1, 2)],
        options: options(),
    }
}

pub fn fulfill() -> proto::FulfillOrderRequest {
    proto::FulfillOrderRequest {
        order_id: ID.to_owned(),
        shipment_id: OTHER_ID.to_owned(),
        lines: vec![units(1, 2)],
        carrier: "Post".to_owned(),
        tracking: "X1".to_owned(),
        shipment_reference: String::new(),
        options: options(),
        location: String::new(),
    }
}

fn request() -> proto::RequestReturnRequest {
    proto::RequestReturnRequest {
        order_id: ID.to_owned(),
        return_id: OTHER_ID.to_owned(),
        lines: vec![units(1, 2)],
        reason: "too small".to_owned(),
        options: options(),
        return_reference: String::new(),
        exchange_order_id: String::new(),
    }
}

fn approve() -> proto::ApproveReturnRequest {
    proto::ApproveReturnRequest {
        order_id: ID.to_owned(),
        return_id: OTHER_ID.to_owned(),
        dispositions: vec![proto::LineDisposition {
            line: 1,
            disposition: proto::Disposition::WriteOff.into(),
        }],
        refund: Some(money(5, 0, "GBP")),
        refund_reason: "goodwill".to_owned(),
        options: options(),
        charges: Vec::new(),
        outcomes: Vec::new(),
        receive_later: false,
        receive_at_once: false,
        rejected_reason: String::new(),
        return_reference: String::new(),
        location: String::new(),
    }
}

fn receive() -> proto::ReceiveReturnRequest {
    proto::ReceiveReturnRequest {
        order_id: ID.to_owned(),
        return_id: OTHER_ID.to_owned(),
        outcomes: vec![proto::OutcomeUnits {
            line: 1,
            quantity: 2,
            outcome: proto::UnitOutcome::Rejected.into(),
        }],
        options: options(),
        rejected_reason: "worn".to_owned(),
        return_reference: "RMA 1".to_owned(),
        location: String::new(),
    }
}

fn reject() -> proto::RejectReturnRequest {
    proto::RejectReturnRequest {
        order_id: ID.to_owned(),
        return_id: OTHER_ID.to_owned(),
        reason: "worn".to_owned(),
        options: options(),
        return_reference: String::new(),
    }
}

/// The violations, as (field, reason).
fn violations_of<T: std::fmt::Debug>(parsed: Result<T, Violations>) -> Vec<(String, &'static str)> {
    let violations = parsed.unwrap_err();
    violations.iter().map(|violation| (violation.field.clone(), violation.reason.code())).collect()
}

pub type Change<T> = fn(&mut T);

/// Each change makes the request invalid in exactly this field, with this reason.
pub fn each<T: Clone, R: std::fmt::Debug>(
    valid: impl Fn() -> T,
    parse: impl Fn(T) -> Result<R, Violations>,
    changes: &[(&str, &str, Change<T>)],
) {
    assert!(parse(valid()).is_ok(), "the request is valid before the change");
    for (field, reason, change) in changes {
        let mut request = valid();
        change(&mut request);
        assert_eq!(violations_of(parse(request)), [((*field).to_owned(), *reason)], "{field}");
    }
}

#[test]
fn place_order_refuses_each_field_by_name() {
    each(
        place,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "42".into()),
            ("customer_id", "INVALID_FIELD", |r| r.customer_id = "Ada".into()),
            ("customer_id", "INVALID_FIELD", |r| r.customer_id.clear()),
            ("lines", "EMPTY_ORDER", |r| r.lines.clear()),
            ("lines", "TOO_MANY_LINES", |r| r.lines = vec![line(); 2_001]),
            ("lines[1].sku", "INVALID_LINE", |r| r.lines[1].sku = "a\u{200b}b".into()),
            ("lines[0].quantity", "INVALID_LINE", |r| r.lines[0].quantity = 0),
            ("lines[0].quantity", "INVALID_LINE", |r| r.lines[0].quantity = 1_000_000_001),
            ("lines[1].unit_price", "INVALID_LINE", |r| r.lines[1].unit_price = None),
            ("lines[1].unit_price", "INVALID_LINE", |r| {
                r.lines[1].unit_price = Some(money(-1, 0, "GBP"));
            }),
            ("lines[1].unit_price.currency_code", "INVALID_LINE", |r| {
                r.lines[1].unit_price = Some(money(1, 0, "gbp"));
            }),
            ("lines[1].unit_price.nanos", "INVALID_LINE", |r| {
                r.lines[1].unit_price = Some(money(1, 1, "GBP"));
            }),
            ("lines[1].unit_price.nanos", "INVALID_LINE", |r| {
                r.lines[1].unit_price = Some(money(1, -10_000_000, "GBP"));
            }),
            ("lines[1].unit_price.units", "INVALID_LINE", |r| {
                r.lines[1].unit_price = Some(money(i64::MAX, 0, "GBP"));
            }),
            ("lines[1].unit_price.currency_code", "CURRENCY_MISMATCH", |r| {
                r.lines[1].unit_price = Some(money(1, 0, "EUR"));
            }),
            ("lines[1].seller_id", "INVALID_LINE", |r| r.lines[1].seller_id = "x".into()),
            ("address", "INVALID_ADDRESS", |r| r.address = None),
            ("address.street", "INVALID_ADDRESS", |r| r.address.as_mut().unwrap().street.clear()),
            ("address.city", "INVALID_ADDRESS", |r| r.address.as_mut().unwrap().city = "\0".into()),
            ("address.postal_code", "INVALID_ADDRESS", |r| {
                r.address.as_mut().unwrap().postal_code.clear();
            }),
            ("address.country", "INVALID_ADDRESS", |r| {
                r.address.as_mut().unwrap().country = "ZZ".into();
            }),
            ("ordered_at", "INVALID_FIELD", |r| {
                r.ordered_at.as_mut().unwrap().seconds = 253_370_764_800;
            }),
            ("contact.email", "INVALID_CONTACT", |r| {
                r.contact.as_mut().unwrap().email = "ada".into()
            }),
            ("contact.email", "INVALID_CONTACT", |r| {
                r.contact.as_mut().unwrap().email = "ada\u{200b}@example.org".into()
            }),
            ("contact.phone", "INVALID_CONTACT", |r| {
                r.contact.as_mut().unwrap().phone = "020".into()
            }),
            ("contact.locale", "INVALID_CONTACT", |r| {
                r.contact.as_mut().unwrap().locale = "?".into()
            }),
            ("ordered_at", "INVALID_FIELD", |r| r.ordered_at.as_mut().unwrap().nanos = -1),
            ("ordered_at", "INVALID_FIELD", |r| {
                r.ordered_at.as_mut().unwrap().nanos = 1_000_000_000
            }),
            ("ordered_at", "INVALID_FIELD", |r| r.ordered_at.as_mut().unwrap().seconds = i64::MAX),
            ("ordered_at", "INVALID_FIELD", |r| {
                r.ordered_at.as_mut().unwrap().seconds = 253_402_300_800;
            }),
            ("options.request_id", "INVALID_FIELD", |r| {
                r.options.as_mut().unwrap().request_id = "1".into();
            }),
            ("options.etag", "INVALID_FIELD", |r| {
                r.options.as_mut().unwrap().etag = "three".into()
            }),
            ("options.etag", "INVALID_FIELD", |r| r.options.as_mut().unwrap().etag = "4".into()),
        ],
    );
}

#[test]
fn cancel_and_fulfil_refuse_each_field_by_name() {
    each(
        cancel,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id.clear()),
            ("reason", "INVALID_FIELD", |r| r.reason = 99),
            ("text", "TEXT_TOO_LONG", |r| r.text = "é".repeat(501)),
            ("text", "INVALID_FIELD", |r| r.text = "a\0b".into()),
            ("lines[0].line", "INVALID_LINES", |r| r.lines[0].line = 0),
            ("lines[0].quantity", "INVALID_LINES", |r| r.lines[0].quantity = 0),
            ("lines[1].line", "INVALID_LINES", |r| r.lines.push(units(1, 1))),
            ("lines", "INVALID_LINES", |r| r.lines = vec![units(1, 1); 2_001]),
            ("options.request_id", "INVALID_FIELD", |r| {
                r.options.as_mut().unwrap().request_id = "1".into();
            }),
        ],
    );
    each(
        fulfill,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("shipment_id", "INVALID_FIELD", |r| r.shipment_id = "x".into()),
            ("lines[0].line", "INVALID_LINES", |r| r.lines[0].line = 0),
            ("lines[0].quantity", "INVALID_LINES", |r| r.lines[0].quantity = 0),
            ("carrier", "TEXT_TOO_LONG", |r| r.carrier = "c".repeat(101)),
            ("tracking", "TEXT_TOO_LONG", |r| r.tracking = "t".repeat(101)),
            ("tracking", "INVALID_FIELD", |r| r.tracking = "\u{7}".into()),
            ("shipment_reference", "TEXT_TOO_LONG", |r| r.shipment_reference = "r".repeat(65)),
            ("shipment_reference", "INVALID_FIELD", |r| r.shipment_reference = " W".into()),
            ("location", "INVALID_FIELD", |r| r.location = "a b".into()),
            ("options.etag", "INVALID_FIELD", |r| r.options.as_mut().unwrap().etag = "x".into()),
        ],
    );
}

#[test]
fn returns_refuse_each_field_by_name() {
    each(
        request,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("return_id", "INVALID_FIELD", |r| r.return_id = "x".into()),
            ("lines", "INVALID_RETURN_LINES", |r| r.lines.clear()),
            ("lines[0].line", "INVALID_RETURN_LINES", |r| r.lines[0].line = 0),
            ("lines[0].quantity", "INVALID_RETURN_LINES", |r| r.lines[0].quantity = 0),
            ("lines[1].line", "INVALID_RETURN_LINES", |r| r.lines.push(units(1, 1))),
            ("reason", "REASON_REQUIRED", |r| r.reason = " \n".into()),
            ("reason", "TEXT_TOO_LONG", |r| r.reason = "r".repeat(501)),
        ],
    );
    each(
        request,
        |request| parsed(request, &ops()),
        &[
            ("return_reference", "TEXT_TOO_LONG", |r| r.return_reference = "r".repeat(65)),
            ("return_reference", "INVALID_FIELD", |r| r.return_reference = " RMA".into()),
            ("return_reference", "INVALID_FIELD", |r| r.return_reference = "a\tb".into()),
            ("exchange_order_id", "INVALID_FIELD", |r| r.exchange_order_id = "x".into()),
        ],
    );
    each(
        receive,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("return_id", "INVALID_FIELD", |r| r.return_id = "x".into()),
            ("return_reference", "INVALID_FIELD", |r| r.return_reference = "RMA ".into()),
            ("outcomes[0].line", "INVALID_RETURN_LINES", |r| r.outcomes[0].line = 0),
            ("outcomes[0].quantity", "INVALID_RETURN_LINES", |r| r.outcomes[0].quantity = 0),
            ("outcomes[0].outcome", "INVALID_RETURN_LINES", |r| r.outcomes[0].outcome = 0),
            ("outcomes[0].outcome", "INVALID_RETURN_LINES", |r| r.outcomes[0].outcome = 9),
            ("outcomes", "INVALID_RETURN_LINES", |r| {
                r.outcomes = vec![r.outcomes[0]; 2_001];
            }),
            ("rejected_reason", "TEXT_TOO_LONG", |r| r.rejected_reason = "r".repeat(501)),
            ("location", "INVALID_FIELD", |r| r.location = "-".into()),
        ],
    );
    each(
        place,
        |request| parsed(request, &ops()),
        &[
            ("exchange_of.order_id", "INVALID_FIELD", |r| {
                let (order_id, return_id) = (String::new(), ID.to_owned());
                r.exchange_of = Some(proto::ExchangeOf { order_id, return_id });
            }),
            ("exchange_of.return_id", "INVALID_FIELD", |r| {
                let (order_id, return_id) = (ID.to_owned(), "x".to_owned());
                r.exchange_of = Some(proto::ExchangeOf { order_id, return_id });
            }),
        ],
    );
    each(
        approve,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("return_id", "INVALID_FIELD", |r| r.return_id = "x".into()),
            ("dispositions[0].line", "INVALID_RETURN_LINES", |r| r.dispositions[0].line = 0),
            ("dispositions[0].disposition", "INVALID_RETURN_LINES", |r| {
                r.dispositions[0].disposition = 0;
            }),
            ("dispositions[0].disposition", "INVALID_RETURN_LINES", |r| {
                r.dispositions[0].disposition = 9;
            }),
            ("refund", "INVALID_REFUND", |r| r.refund = Some(money(-1, 0, "GBP"))),
            ("refund.currency_code", "INVALID_REFUND", |r| r.refund = Some(money(1, 0, "ZZZ"))),
            ("refund.nanos", "INVALID_REFUND", |r| r.refund = Some(money(1, 5, "GBP"))),
            ("refund.units", "INVALID_REFUND", |r| r.refund = Some(money(i64::MIN, 0, "GBP"))),
            ("refund_reason", "TEXT_TOO_LONG", |r| r.refund_reason = "r".repeat(501)),
            ("location", "INVALID_FIELD", |r| r.location = "l".repeat(41)),
            ("receive_at_once", "INVALID_FIELD", |r| {
                (r.receive_later, r.receive_at_once) = (true, true);
            }),
            ("location", "INVALID_FIELD", |r| {
                r.receive_later = true;
                r.dispositions.clear();
                r.location = "berlin".into();
            }),
        ],
    );
    each(
        reject,
        |request| parsed(request, &ops()),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("return_id", "INVALID_FIELD", |r| r.return_id = "x".into()),
            ("reason", "REASON_REQUIRED", |r| r.reason.clear()),
            ("reason", "TEXT_TOO_LONG", |r| r.reason = "r".repeat(501)),
        ],
    );
}

#[test]
fn reads_refuse_each_field_by_name() {
    use proto::get_order_request::AsOf as Asked;
    let get = || proto::GetOrderRequest {
        order_id: ID.into(),
        as_of: Some(Asked::Version(2)),
        ..Default::default()
    };
    each(
        get,
        |request| parse::get_order(&request),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("version", "INVALID_FIELD", |r| r.as_of = Some(Asked::Version(0))),
            ("time", "INVALID_FIELD", |r| {
                let nanos = -1;
                r.as_of = Some(Asked::Time(prost_types::Timestamp { seconds: 0, nanos }));
            }),
        ],
    );
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let list = || proto::ListOrdersRequest {
        filter: Some(proto::OrderFilter {
            statuses: vec![proto::OrderStatus::Pending.into()],
            customer_id: ID.into(),
            placed_from: at(10),
            placed_until: at(20),
            ..Default::default()
        }),
        page_size: 100,
        page_token: String::new(),
        at_least: Some(proto::ShardPosition { shard: 3, position: 9, mark: None }),
        ..Default::default()
    };
    each(
        list,
        |request| parse::list_orders(request, SHARDS),
        &[
            ("filter.statuses[0]", "INVALID_FIELD", |r| r.filter.as_mut().unwrap().statuses[0] = 0),
            ("filter.statuses[1]", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().statuses.push(77)
            }),
            ("filter.customer_id", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().customer_id = "x".into();
            }),
            ("filter.placed_from", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().placed_from.as_mut().unwrap().nanos = -1;
            }),
            ("filter.placed_until", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().placed_until.as_mut().unwrap().seconds = 10;
            }),
            ("filter.shipment_reference", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().shipment_reference = "r".repeat(65);
            }),
            ("filter.return_reference", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().return_reference = "a\0b".into();
            }),
            ("filter.tracking", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().tracking = "t".repeat(101);
            }),
            ("page_size", "INVALID_FIELD", |r| r.page_size = -1),
            ("at_least.shard", "INVALID_FIELD", |r| r.at_least.as_mut().unwrap().shard = 4),
        ],
    );
    let returns = || proto::ListReturnsRequest {
        filter: Some(proto::ReturnFilter {
            states: vec![proto::ReturnState::Requested.into()],
            customer_id: ID.into(),
            requested_from: at(10),
            requested_until: at(20),
        }),
        page_size: 100,
        page_token: String::new(),
        at_least: Some(proto::ShardPosition { shard: 3, position: 9, mark: None }),
        sort: proto::ReturnSort::RequestedDesc.into(),
    };
    each(
        returns,
        |request| parse::list_returns(request, SHARDS),
        &[
            ("filter.states[0]", "INVALID_FIELD", |r| r.filter.as_mut().unwrap().states[0] = 0),
            ("filter.states[1]", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().states.push(77);
            }),
            ("filter.customer_id", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().customer_id = "x".into();
            }),
            ("filter.requested_from", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().requested_from.as_mut().unwrap().nanos = -1;
            }),
            ("filter.requested_until", "INVALID_FIELD", |r| {
                r.filter.as_mut().unwrap().requested_until.as_mut().unwrap().seconds = 10;
            }),
            ("sort", "INVALID_FIELD", |r| r.sort = 77),
            // A page by judgement would be read past all that were requested at other times.
            ("sort", "INVALID_FIELD", |r| r.sort = proto::ReturnSort::JudgeByAsc.into()),
            ("page_size", "INVALID_FIELD", |r| r.page_size = -1),
            ("at_least.shard", "INVALID_FIELD", |r| r.at_least.as_mut().unwrap().shard = 4),
        ],
    );
    let watch = || proto::WatchOrdersRequest {
        order_ids: vec![ID.into()],
        customer_id: ID.into(),
        after: vec![proto::ShardPosition { shard: 3, position: 9, mark: None }],
        from_beginning: true,
    };
    each(
        watch,
        |request| parse::watch_orders(&request, SHARDS),
        &[
            ("order_ids[1]", "INVALID_FIELD", |r| r.order_ids.push("x".into())),
            ("order_ids", "INVALID_FIELD", |r| r.order_ids = vec![ID.into(); 101]),
            ("customer_id", "INVALID_FIELD", |r| r.customer_id = "x".into()),
            ("after[0].shard", "INVALID_FIELD", |r| r.after[0].shard = 70_000),
            ("after[1].shard", "INVALID_FIELD", |r| r.after.push(r.after[0])),
        ],
    );
    let events = || proto::ReadEventsRequest {
        after: vec![proto::ShardPosition { shard: 3, position: 9, mark: None }],
        only_named: true,
        live: false,
        limit: 5,
        recorded_from: Some(prost_types::Timestamp { seconds: 1_764_320_000, nanos: 0 }),
        recorded_until: Some(prost_types::Timestamp { seconds: 1_764_320_001, nanos: 0 }),
    };
    each(
        events,
        |request| parse::read_events(&request, SHARDS),
        &[
            ("after[0].shard", "INVALID_FIELD", |r| r.after[0].shard = 4),
            ("after", "INVALID_FIELD", |r| r.after.clear()),
            ("after", "INVALID_FIELD", |r| r.after = vec![r.after[0]; 5]),
            ("recorded_from", "INVALID_FIELD", |r| {
                r.recorded_from = Some(prost_types::Timestamp { seconds: 0, nanos: -1 });
            }),
            ("recorded_until", "INVALID_FIELD", |r| r.recorded_until = r.recorded_from),
            ("recorded_until", "INVALID_FIELD", |r| r.live = true),
        ],
    );
    let history = || proto::ListOrderEventsRequest { order_id: ID.into(), ..Default::default() };
    each(
        history,
        parse::list_order_events,
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("page_size", "INVALID_FIELD", |r| r.page_size = -1),
        ],
    );
    let diff = || proto::DiffOrderRequest { order_id: ID.into(), from_version: 1, to_version: 0 };
    each(
        diff,
        |request| parse::diff_order(&request),
        &[
            ("order_id", "INVALID_FIELD", |r| r.order_id = "x".into()),
            ("to_version", "INVALID_FIELD", |r| {
                r.from_version = 3;
                r.to_version = 2;
            }),
        ],
    );
}

#[test]
fn every_invalid_field_is_reported_together_and_no_value_is_echoed() {
    let mut request = place();
    request.order_id = "order-of-ada".into();
    request.lines[0].sku = "secret\u{202e}sku".into();
    request.lines[1].quantity = 0;
    let address = request.address.as_mut().unwrap();
    address.street = "9".repeat(201);
    address.city = String::new();
    address.postal_code = "7".repeat(21);
    address.country = "Atlantis".into();
    let contact = request.contact.as_mut().unwrap();
    contact.email = "ada-at-home".into();
    contact.phone = "0207-secret".into();
    contact.locale = "klingon!".into();
    let violations = parsed(request, &ops()).unwrap_err();
    let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "order_id",
            "lines[0].sku",
            "lines[1].quantity",
            "address.street",
            "address.city",
            "address.country",
            "address.postal_code",
            "contact.email",
            "contact.phone",
            "contact.locale",
        ]
    );
    let status = tonic::Status::from(&violations);
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations.len(), 10);
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELD", "ordinal"));
    let status_text = format!("{} {}", status.message(), String::from_utf8_lossy(status.details()));
    for given in ["order-of-ada", "secret", "9999", "7777", "Atlantis", "at-home", "klingon"] {
        assert!(!status_text.contains(given), "{given}: {status_text}");
    }
}

#[test]
fn a_country_is_read_as_people_write_it() {
    for (text, expected) in [("gb", "GB"), ("UK", "GB"), ("el", "GR"), ("xk", "XK"), ("DE", "DE")] {
        let mut request = place();
        request.address.as_mut().unwrap().country = text.to_owned();
        let read = parsed(request, &ops()).unwrap();
        let Command::Place(placed) = read.command else { panic!("not a Place") };
        assert_eq!(placed.address.country, expected, "{text}");
    }
}

/// What a request says in composed characters, and in others with blanks at the ends.
const SPELLINGS: [[&str; 2]; 2] =
    [["caf\u{e9}", "caf\u{e9}\nau lait"], [" cafe\u{301}\u{a0} ", "\tcafe\u{301}\nau lait\r\n"]];

fn spelt(line: &str, lines: &str) -> Vec<Command> {
    let line = || line.to_owned();
    let mut order = place();
    order.order_id = ID.to_owned();
    for address in [&mut order.address, &mut order.billing_address] {
        *address = Some(Box::new(proto::Address {
            street: line(),
            city: line(),
            postal_code: line(),
            country: "GB".to_owned(),
            name: line(),
            company: line(),
            street_line2: line(),
            region: line(),
            phone: "+442071838750".to_owned(),
            instructions: lines.to_owned(),
        }));
    }
    let discount = proto::Discount { label: line(), amount: Some(money(0, 0, "GBP")) };
    let tax =
        proto::Tax { name: line(), rate_percent: String::new(), amount: Some(money(0, 0, "GBP")) };
    order.lines[0].title = line();
    order.lines[0].attributes.insert(line(), lines.to_owned());
    order.lines[0].discounts = vec![discount.clone()];
    order.lines[0].taxes = vec![tax.clone()];
    order.charges = vec![proto::NewCharge {
        kind: proto::ChargeKind::Shipping.into(),
        label: line(),
        amount: Some(money(1, 0, "GBP")),
        taxes: vec![tax],
    }];
    order.discounts = vec![discount];
    order.tags = vec![line()];
    order.metadata.insert(line(), lines.to_owned());
    order.notes = vec![proto::NewNote { public: true, text: lines.to_owned() }];
    let cancel = proto::CancelOrderRequest { text: lines.to_owned(), ..cancel() };
    let fulfill = proto::FulfillOrderRequest { carrier: line(), tracking: line(), ..fulfill() };
    let approve = proto::ApproveReturnRequest { refund_reason: lines.to_owned(), ..approve() };
    let reject = proto::RejectReturnRequest { reason: lines.to_owned(), ..reject() };
    let hold = proto::HoldOrderRequest {
        order_id: ID.to_owned(),
        hold_id: OTHER_ID.to_owned(),
        kind: proto::HoldKind::Custom.into(),
        label: line(),
        reason: lines.to_owned(),
        options: options(),
    };
    let note = proto::AddNoteRequest {
        order_id: ID.to_owned(),
        text: lines.to_owned(),
        public: true,
        options: options(),
    };
    [
        parsed(order, &ops()),
        parsed(cancel, &ops()),
        parsed(fulfill, &ops()),
        parsed(approve, &ops()),
        parsed(reject, &ops()),
        parsed(hold, &ops()),
        parsed(note, &ops()),
    ]
    .map(|read| read.unwrap().command)
    .to_vec()
}

#[test]
fn texts_are_the_same_in_every_encoding_and_with_blanks_at_their_ends() {
    let [one, other] = SPELLINGS.map(|[line, lines]| spelt(line, lines));
    assert_eq!(one, other);
    let [Command::Place(placed), ..] = &one[..] else { panic!("not a Place") };
    assert_eq!(placed.address.name, "caf\u{e9}");
    assert_eq!(placed.notes[0].text, "caf\u{e9}\nau lait");
    // As many characters as are stored are counted.
    let text = |text: String| parsed(proto::CancelOrderRequest { text, ..cancel() }, &ops());
    assert!(text("e\u{301}".repeat(500)).is_ok());
    assert_eq!(violations_of(text("e\u{301}".repeat(501)))[0].1, "TEXT_TOO_LONG");
    // What is hidden at an end is refused as elsewhere.
    let hidden = proto::FulfillOrderRequest { carrier: "Post\n".to_owned(), ..fulfill() };
    assert_eq!(violations_of(parsed(hidden, &ops())), [("carrier".to_owned(), "INVALID_FIELD")]);
    let mut twice = place();
    twice.metadata = ["caf\u{e9}", "cafe\u{301}"].map(|key| (key.to_owned(), String::new())).into();
    assert_eq!(violations_of(parsed(twice, &ops()))[0].0, "metadata");
}

#[test]
fn a_status_of_thousands_of_violations_still_fits_into_headers() {
    let mut request = place();
    let bad = proto::NewLine { sku: String::new(), quantity: 0, ..line() };
    request.lines = vec![bad; 2_000];
    let violations = parsed(request, &ops()).unwrap_err();
    assert_eq!(violations.iter().count(), 4_000);
    let status = tonic::Status::from(&violations);
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations.len(), Violations::SHOWN_MAX);
    assert_eq!(details.error_info().unwrap().metadata["violations"], "4000");
    assert!(status.details().len() + status.message().len() < 8 * 1024);
}

#[test]
fn a_well_formed_order_is_parsed_completely() {
    let read = parsed(place(), &ops()).unwrap();
    assert_eq!(read.order_id.to_string(), ID);
    assert_eq!(read.options.expected_version, Some(3));
    assert!(read.options.validate_only);
    let Command::Place(placed) = read.command else { panic!("not a Place") };
    assert_eq!(placed.order_id, read.order_id);
    assert_eq!(placed.lines.len(), 2);
    assert_eq!(placed.lines[0].unit_price.to_string(), "2.55 GBP");
    assert_eq!(placed.ordered_at, Some(Timestamp::from_micros(1_291_190_760_000_001)));
}

#[test]
fn omitted_ids_are_equal_for_every_retry_and_new_otherwise() {
    let placed = |request_id: &str, by: &By| {
        let mut request = place();
        request.order_id.clear();
        request.options.as_mut().unwrap().request_id = request_id.to_owned();
        parsed(request, by).unwrap().order_id
    };
    assert_eq!(placed(ID, &ops()), placed(ID, &ops()));
    assert_ne!(placed(ID, &ops()), placed(OTHER_ID, &ops()));
    // The caller does not matter: any gateway pod or the customer. The customer does.
    assert_eq!(placed(ID, &ops()), placed(ID, &By::service("shop-1")));
    let customer: CustomerId = OTHER_ID.parse().unwrap();
    assert_eq!(placed(ID, &By::customer(customer)), placed(ID, &By::service("shop-2")));
    let for_another = |by: &By| {
        let mut request = place();
        request.order_id.clear();
        request.customer_id = ID.to_owned();
        request.options.as_mut().unwrap().request_id = ID.to_owned();
        parsed(request, by).unwrap().order_id
    };
    assert_ne!(placed(ID, &ops()), for_another(&ops()));
    assert_ne!(placed("", &ops()), placed("", &ops()));
    let shipped = |order_id: &str, request_id: &str| {
        let mut request = fulfill();
        request.order_id = order_id.to_owned();
        request.shipment_id.clear();
        request.options.as_mut().unwrap().request_id = request_id.to_owned();
        parsed(request, &ops()).unwrap().command
    };
    assert_eq!(shipped(ID, ID), shipped(ID, ID));
    assert_ne!(shipped(ID, ID), shipped(OTHER_ID, ID));
    assert_ne!(shipped(ID, ""), shipped(ID, ""));
    let asked = |request_id: &str| {
        let mut request = request();
        request.return_id.clear();
        request.options.as_mut().unwrap().request_id = request_id.to_owned();
        parsed(request, &ops()).unwrap().command
    };
    assert_eq!(asked(ID), asked(ID));
    assert_ne!(asked(""), asked(""));
    // By the warehouse's own id, whatever the request id, within an order.
    let referred = |order_id: &str, reference: &str, request_id: &str| {
        let mut request = request();
        request.return_id.clear();
        request.order_id = order_id.to_owned();
        request.return_reference = reference.to_owned();
        request.options.as_mut().unwrap().request_id = request_id.to_owned();
        parsed(request, &ops()).unwrap().command
    };
    assert_eq!(referred(ID, "RMA 1", ID), referred(ID, "RMA 1", OTHER_ID));
    let id_of = |command: Command| match command {
        Command::RequestReturn(request) => request.return_id,
        other => panic!("{other:?}"),
    };
    let ids = [(ID, "RMA 1"), (ID, "RMA 2"), (OTHER_ID, "RMA 1")];
    let ids = ids.map(|(order_id, reference)| id_of(referred(order_id, reference, ID)));
    assert!(ids[0] != ids[1] && ids[0] != ids[2]);
}

#[test]
fn omitted_ids_are_drawn_from_the_seed() {
    let drawn = |seed: u64| {
        let mut request = place();
        (request.order_id, request.options) = (String::new(), None);
        let mut parcel = fulfill();
        (parcel.shipment_id, parcel.options) = (String::new(), None);
        let context = ParseContext { by: &ops(), ids: &Chance::seeded(seed) };
        (request.parse(&context).unwrap().command, parcel.parse(&context).unwrap().command)
    };
    assert_eq!(drawn(1), drawn(1));
    let (one, other) = (drawn(1), drawn(2));
    assert!(one.0 != other.0 && one.1 != other.1);
}

#[test]
fn omitted_fields_have_their_documented_defaults() {
    let customer: CustomerId = OTHER_ID.parse().unwrap();
    let by = By::customer(customer);
    let mut request = place();
    request.customer_id.clear();
    request.contact = None;
    request.ordered_at = None;
    request.options = None;
    let Command::Place(placed) = parsed(request, &by).unwrap().command else {
        panic!("not a Place")
    };
    assert_eq!(placed.customer_id, customer);
    assert_eq!(placed.ordered_at, None);

    for (by, reason) in [(by, CancelReason::CustomerRequest), (ops(), CancelReason::Ops)] {
        let mut request = cancel();
        request.reason = 0;
        let Command::Cancel(cancelled) = parsed(request, &by).unwrap().command else {
            panic!("not a Cancel")
        };
        assert_eq!(cancelled.reason, reason, "{:?}", by.role());
    }
    assert_eq!(Role::Customer.code(), "CUSTOMER");

    // Larger page sizes are capped.
    for (asked, size) in [(0, 20), (1, 1), (100, 100), (101, 100), (i32::MAX, 100)] {
        let list = proto::ListOrdersRequest { page_size: asked, ..Default::default() };
        assert_eq!(parse::list_orders(list, SHARDS).unwrap().size, size);
    }
    let page = parse::list_orders(proto::ListOrdersRequest::default(), SHARDS).unwrap();
    assert_eq!((page.size, page.at_least, page.filter.statuses), (20, None, Vec::<Status>::new()));
    let get = proto::GetOrderRequest { order_id: ID.into(), ..Default::default() };
    assert_eq!(parse::get_order(&get).unwrap().1, AsOf::Now);
    let diff = proto::DiffOrderRequest { order_id: ID.into(), from_version: 0, to_version: 0 };
    assert_eq!(parse::diff_order(&diff).unwrap().2, None);
}

/// Each amount, label and key that cannot be is named, and all of them at once.
#[test]
fn amounts_labels_and_keys_that_cannot_be_are_named() {
    let discount = |label: &str, units| proto::Discount {
        label: label.to_owned(),
        amount: Some(money(units, 0, "GBP")),
    };
    let mut request = place();
    request.options = None;
    request.lines[0].discounts = vec![discount("", 1), discount("x", -1)];
    request.lines[0].taxes =
        vec![proto::Tax { name: "VAT".to_owned(), rate_percent: "1,5".to_owned(), amount: None }];
    request.lines[0].title = "x".repeat(201);
    request.lines[1].attributes.insert("k".repeat(41), String::new());
    request.charges = vec![proto::NewCharge::default()];
    request.discounts = vec![discount("x", 1); 11];
    request.tax_mode = 7;
    request.tags = vec!["a".to_owned(), "a".to_owned()];
    request.metadata.insert("key".to_owned(), "a\u{1b}b".to_owned());
    let total = Some(money(0, 1, "GBP"));
    request.expected = Some(Box::new(proto::Totals { total, ..proto::Totals::default() }));
    let named = violations_of(parsed(request, &ops()));
    for field in [
        "lines[0].discounts[0].label",
        "lines[0].discounts[1].amount",
        "lines[0].taxes[0].rate_percent",
        "lines[0].taxes[0].amount",
        "lines[0].title",
        "lines[1].attributes",
        "charges[0].kind",
        "charges[0].amount",
        "discounts",
        "tax_mode",
        "tags[1]",
        "metadata",
        "expected.total.nanos",
    ] {
        assert!(named.iter().any(|(one, _)| one == field), "{field} is not among {named:?}");
    }
}
