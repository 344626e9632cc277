//! The wire form of an order matches its events in every state.

use std::collections::BTreeMap;
use std::sync::Arc;

use order_actor::actor::Executed;
use order_actor::domain::{
    Address, By, Event, LineQuantity, NoteText, Order, Person, PlacedLine, Restitution, Role,
    TaxMode, replay,
};
use order_actor::grpc::{proto, render};
use shared_events::contract::{
    CancelReason, Contact, CustomerId, Disposition, Money, OrderId, Quantity, ReservationId,
    ReturnId, ShipmentId, Timestamp,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000)
}

fn pounds(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

fn units(quantity: u32) -> Quantity {
    Quantity::new(quantity).unwrap()
}

fn lines(quantity: u32) -> Vec<LineQuantity> {
    vec![LineQuantity { line: 1, quantity: units(quantity) }]
}

fn placed() -> Event {
    Event::OrderPlaced {
        order_id: OrderId::mint(),
        customer_id: CustomerId::mint(),
        lines: vec![PlacedLine {
            line: 1,
            sku: "85123A".parse().unwrap(),
            quantity: units(6),
            unit_price: pounds(255),
            seller_id: None,
            title: String::new(),
            image_url: String::new(),
            attributes: BTreeMap::new(),
            discounts: Vec::new(),
            taxes: Vec::new(),
        }],
        charges: Vec::new(),
        discounts: Vec::new(),
        tax_mode: TaxMode::OnTop,
        total: pounds(1_530),
        person: Arc::new(Person {
            address: Address {
                street: "1 Street".into(),
                city: "London".into(),
                postal_code: "W1".into(),
                country: "GB".into(),
                ..Address::default()
            },
            contact: Contact::new("ada@example.org", "", "en-GB").unwrap(),
            billing_address: None,
            notes: Vec::new(),
        }),
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        exchange_of: None,
        names: None,
        payment: None,
        placed_at: at(1),
        ordered_at: Some(at(-1)),
        confirm_by: at(901),
    }
}

fn return_id() -> ReturnId {
    ReturnId::from_uuid(uuid::Uuid::from_u128(7))
}

/// A history with every kind of event except a cancellation of the order.
fn life() -> Vec<Event> {
    let (shipment_id, other) = (ShipmentId::mint(), ShipmentId::mint());
    let (carrier, tracking) = ("Post".to_owned(), "X1".to_owned());
    let reason = "too small".to_owned();
    vec![
        placed(),
        Event::OrderConfirmed {
            reservation_id: ReservationId::mint(),
            backordered: lines(2),
            at: at(2),
        },
        Event::LinesAllocated { lines: lines(2), at: at(2) },
        Event::LinesCancelled {
            lines: lines(1),
            reason: CancelReason::Ops,
            text: "broken".into(),
            return_until: None,
            at: at(3),
        },
        Event::LinesFulfilled {
            shipment_id,
            lines: lines(2),
            carrier: carrier.clone(),
            tracking: tracking.clone(),
            shipment_reference: String::new(),
            at: at(4),
            location: None,
        },
        Event::OrderFulfilled {
            shipment_id: other,
            lines: lines(3),
            carrier,
            tracking,
            shipment_reference: "P-2".to_owned(),
            return_until: at(500),
            at: at(5),
            location: None,
        },
        Event::ReturnRequested {
            return_id: return_id(),
            lines: lines(2),
            reason,
            reference: String::new(),
            exchange_order_id: None,
            judge_by: at(300),
            asked_by: Role::Customer,
            at: at(6),
        },
        Event::ReturnEscalated { return_id: return_id(), at: at(300) },
        Event::ReturnRejected { return_id: return_id(), reason: "worn".into(), at: at(301) },
        Event::ReturnRequested {
            return_id: ReturnId::from_uuid(uuid::Uuid::from_u128(8)),
            lines: lines(5),
            reason: "all of it".into(),
            reference: "RMA 1".into(),
            exchange_order_id: None,
            judge_by: at(700),
            asked_by: Role::Ops,
            at: at(302),
        },
        Event::ReturnApproved {
            return_id: ReturnId::from_uuid(uuid::Uuid::from_u128(8)),
            lines: vec![Restitution {
                line: 1,
                quantity: units(5),
                disposition: Disposition::Restock,
            }],
            kept: Vec::new(),
            rejected_reason: String::new(),
            refund: pounds(1_275),
            refund_reason: String::new(),
            refund_told: true,
            charges: Vec::new(),
            at: at(303),
            location: None,
        },
        Event::NoteAdded {
            public: false,
            note: Arc::new(NoteText { text: "ring first".into() }),
            by: By::ops("grace"),
            at: at(304),
        },
    ]
}

fn shown(events: &[Event]) -> proto::Order {
    let version = u64::try_from(events.len()).unwrap();
    let order = replay(events).unwrap();
    render::order(&order, version, events.last().unwrap().at()).unwrap()
}

#[test]
fn each_state_shows_its_own_data_and_only_that() {
    use proto::OrderStatus as Is;
    let life = life();
    let statuses: Vec<Is> = (1..=life.len()).map(|count| shown(&life[..count]).status()).collect();
    assert_eq!(
        statuses,
        [
            Is::Pending,
            Is::Confirmed,
            Is::Confirmed,
            Is::Confirmed,
            Is::Confirmed,
            Is::Fulfilled,
            Is::ReturnRequested,
            Is::ReturnRequested,
            Is::Fulfilled,
            Is::ReturnRequested,
            Is::Returned,
            Is::Returned,
        ]
    );
    for count in 1..=life.len() {
        let order = shown(&life[..count]);
        let is = order.status();
        assert_eq!(order.confirm_by.is_some(), is == Is::Pending, "{count}");
        assert_eq!(!order.reservation_id.is_empty(), is == Is::Confirmed, "{count}");
        let delivered = matches!(is, Is::Fulfilled | Is::ReturnRequested);
        assert_eq!(order.return_until.is_some(), delivered, "{count}");
        assert_eq!(order.pending_return.is_some(), is == Is::ReturnRequested, "{count}");
        assert_eq!(order.etag, order.version.to_string());
        let line = &order.lines[0];
        assert_eq!(line.open, line.ordered - line.cancelled - line.fulfilled, "{count}");
    }
    let waits = shown(&life[..2]).lines[0].backordered;
    assert_eq!((waits, shown(&life[..3]).lines[0].backordered), (2, 0));
    let order = shown(&life[..5]);
    assert_eq!(order.shipment_ids.len(), 1);
    let line = &order.lines[0];
    assert_eq!((line.ordered, line.cancelled, line.fulfilled, line.open), (6, 1, 2, 3));
    let waiting = shown(&life[..8]).pending_return.unwrap();
    assert_eq!((waiting.escalated, waiting.lines[0].quantity), (true, 2));
    let end = shown(&life);
    assert_eq!(end.lines[0].returned, 5);
    assert_eq!(end.refunded.unwrap().units, 12);
    let judged: Vec<bool> = end.judged_returns.iter().map(|judged| judged.approved).collect();
    assert_eq!(judged, [false, true]);
}

#[test]
fn a_cancelled_order_shows_its_reason() {
    let cancelled = Event::OrderCancelled {
        reason: CancelReason::InsufficientStock,
        text: "sold out".into(),
        was_confirmed: false,
        skus: vec!["85123A".parse().unwrap()],
        at: at(2),
    };
    let order = shown(&[placed(), cancelled]);
    assert_eq!(order.status(), proto::OrderStatus::Cancelled);
    assert_eq!(order.cancel_reason(), proto::CancelReason::InsufficientStock);
    assert_eq!((order.cancel_text.as_str(), order.missing_skus.len()), ("sold out", 1));
}

#[test]
fn every_event_has_its_kind_under_the_same_name() {
    use proto::event::Kind;
    let samples = crate::domain::golden::samples().into_iter().map(|(_, event)| event);
    for (index, event) in (1..).zip(life().into_iter().chain(samples)) {
        let shown = render::event(&event, index);
        let kind = match shown.kind.unwrap() {
            Kind::OrderPlaced(_) => "OrderPlaced",
            Kind::OrderConfirmed(_) => "OrderConfirmed",
            Kind::LinesAllocated(_) => "LinesAllocated",
            Kind::LinesCancelled(_) => "LinesCancelled",
            Kind::OrderCancelled(_) => "OrderCancelled",
            Kind::LinesFulfilled(_) => "LinesFulfilled",
            Kind::OrderFulfilled(_) => "OrderFulfilled",
            Kind::ReturnRequested(_) => "ReturnRequested",
            Kind::ReturnEscalated(_) => "ReturnEscalated",
            Kind::ReturnAuthorized(_) => "ReturnAuthorized",
            Kind::ReturnReceived(_) => "ReturnReceived",
            Kind::ReturnApproved(_) => "ReturnApproved",
            Kind::ReturnRejected(_) => "ReturnRejected",
            Kind::OrderHeld(_) => "OrderHeld",
            Kind::HoldReleased(_) => "HoldReleased",
            Kind::OrderCorrected(_) => "OrderCorrected",
            Kind::ShipmentCorrected(_) => "ShipmentCorrected",
            Kind::ShipmentDelivered(_) => "ShipmentDelivered",
            Kind::ShipmentUndone(_) => "ShipmentUndone",
            Kind::ShipmentFound(_) => "ShipmentFound",
            Kind::NoteAdded(_) => "NoteAdded",
            Kind::OrderEditRequested(_) => "OrderEditRequested",
            Kind::OrderEdited(_) => "OrderEdited",
            Kind::OrderEditRefused(_) => "OrderEditRefused",
            Kind::StockHeld(_) => "StockHeld",
            Kind::PaymentSecured(_) => "PaymentSecured",
            Kind::PaymentLost(_) => "PaymentLost",
            Kind::PaymentCaptured(_) => "PaymentCaptured",
            Kind::RefundSettled(_) => "RefundSettled",
            Kind::RefundFailed(_) => "RefundFailed",
            Kind::CompensationCompleted(_) => "CompensationCompleted",
        };
        assert_eq!((kind, shown.name.as_str()), (event.name(), event.name()));
        assert_eq!(shown.occurred_at, Some(render::time(event.at())));
    }
}

#[test]
fn customers_see_public_notes_and_no_staff() {
    let note = |public: bool, by: By| Event::NoteAdded {
        public,
        note: Arc::new(NoteText { text: "ring first".into() }),
        by,
        at: at(2),
    };
    let own = By::customer(CustomerId::mint());
    let life = vec![
        placed(),
        note(false, By::ops("grace")),
        note(true, By::ops("grace")),
        note(true, own),
    ];
    let mut order = shown(&life);
    assert_eq!(order.notes.iter().map(|note| note.note).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((order.notes[0].role.as_str(), order.notes[0].subject.as_str()), ("OPS", "grace"));
    let mut events: Vec<proto::Event> =
        (1..).zip(&life).map(|(version, event)| render::event(event, version)).collect();
    render::for_customer(Some(&mut order), &mut events);
    let seen = order.notes.iter().map(|note| (note.note, note.subject.is_empty()));
    assert_eq!(seen.collect::<Vec<_>>(), [(1, true), (2, false)]);
    let texts = events.into_iter().filter_map(|event| match event.kind {
        Some(proto::event::Kind::NoteAdded(added)) => Some((added.text, added.subject.is_empty())),
        _ => None,
    });
    let text = || "ring first".to_owned();
    assert_eq!(texts.collect::<Vec<_>>(), [(String::new(), true), (text(), true), (text(), false)]);
}

#[test]
fn instants_before_1970_and_fractions_are_rendered_exactly() {
    let time = render::time(Timestamp::from_micros(-1));
    assert_eq!((time.seconds, time.nanos), (-1, 999_999_000));
    let time = render::time(Timestamp::from_micros(1_500_000));
    assert_eq!((time.seconds, time.nanos), (1, 500_000_000));
}

#[test]
fn events_of_a_command_are_numbered_also_when_only_validated() {
    let life = life();
    let executed = |version: u64| Executed {
        order: Arc::new(replay(&life[..2]).unwrap()),
        version,
        updated_at: at(9),
        events: vec![life[1].clone()],
        replayed: false,
        shard: 3,
        position: 40,
    };
    for (executed, validate_only) in [(executed(2), false), (executed(1), true)] {
        let outcome = render::command(&executed, validate_only);
        assert_eq!(outcome.events[0].version, 2);
        assert_eq!(outcome.order.unwrap().version, 2);
        assert_eq!(
            outcome.position,
            Some(proto::ShardPosition { shard: 3, position: 40, mark: None })
        );
    }
    assert!(render::order(&Order::Absent, 0, at(0)).is_none());
}
