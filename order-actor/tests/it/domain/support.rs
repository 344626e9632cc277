//! Given a history, when a command is sent, then this is decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use order_actor::domain::{
    AddNote, Address, Allocate, ApproveReturn, By, Cancel, Command, Component, Confirm, Event,
    Existing, Fulfill, Impossible, LineQuantity, NewLine, NoteText, Order, OutcomeUnits, Person,
    Place, PlacedLine, Policy, ReceiveReturn, RejectReturn, Rejection, RequestReturn, Restitution,
    Role, Status, TaxMode, UnitOutcome, decide, evolve, replay,
};
use shared_events::contract::{
    CancelReason, Contact, CustomerId, Disposition, Money, OrderId, Quantity, ReservationId,
    ReturnId, ShipmentId, Timestamp,
};
use uuid::Uuid;

pub const MINUTE: u64 = 60;
pub const DAY: u64 = 24 * 60 * MINUTE;

/// This many seconds after the order was placed.
pub fn after(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000).plus(Duration::from_secs(seconds))
}

pub fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

pub fn order_id() -> OrderId {
    OrderId::from_uuid(Uuid::from_u128(0xA))
}

pub fn owner() -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(0xC1))
}

pub fn stranger() -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(0xC2))
}

pub fn reservation(n: u128) -> ReservationId {
    ReservationId::from_uuid(Uuid::from_u128(0x100 + n))
}

pub fn shipment(n: u128) -> ShipmentId {
    ShipmentId::from_uuid(Uuid::from_u128(0x200 + n))
}

pub fn return_id(n: u128) -> ReturnId {
    ReturnId::from_uuid(Uuid::from_u128(0x300 + n))
}

pub fn by_owner() -> By {
    By::customer(owner())
}

pub fn by_stranger() -> By {
    By::customer(stranger())
}

pub fn by_ops() -> By {
    By::ops("grace")
}

pub fn by_service() -> By {
    By::service("warehouse")
}

/// A service whose token has the scope `returns`.
pub fn by_desk() -> By {
    By::ReturnsDesk("desk".to_owned().into())
}

pub fn by_engine() -> By {
    By::Engine(Component::STOCK)
}

pub fn units(lines: &[(u32, u32)]) -> Vec<LineQuantity> {
    lines
        .iter()
        .map(|(line, units)| LineQuantity { line: *line, quantity: Quantity::new(*units).unwrap() })
        .collect()
}

pub fn address() -> Address {
    Address {
        street: "1 High Street".to_owned(),
        city: "Leeds".to_owned(),
        postal_code: "LS1 1AA".to_owned(),
        country: "GB".to_owned(),
        ..Address::default()
    }
}

pub fn person() -> Person {
    Person { address: address(), contact: contact(), billing_address: None, notes: Vec::new() }
}

pub fn contact() -> Contact {
    Contact::new("ada@example.org", "+442071838750", "en-GB").unwrap()
}

pub fn new_line(sku: &str, units: u32, price: Money) -> NewLine {
    NewLine::plain(sku.parse().unwrap(), Quantity::new(units).unwrap(), price)
}

/// Two mugs at 10.00 and three plates at 5.00: 35.00.
pub fn a_place() -> Place {
    let lines = vec![new_line("MUG", 2, gbp(1_000)), new_line("PLATE", 3, gbp(500))];
    Place::plain((order_id(), owner()), lines, (address(), contact()))
}

pub fn place() -> Command {
    Command::from(a_place())
}

pub fn confirm(n: u128) -> Command {
    confirm_with(n, &[])
}

pub fn confirm_with(n: u128, backordered: &[(u32, u32)]) -> Command {
    let (reservation_id, backordered) = (reservation(n), units(backordered));
    Command::Confirm(Confirm { reservation_id, backordered })
}

pub fn allocate(n: u128, lines: &[(u32, u32)]) -> Command {
    Command::Allocate(Allocate { reservation_id: reservation(n), lines: units(lines) })
}

pub fn cancel(reason: CancelReason, lines: &[(u32, u32)]) -> Command {
    Command::Cancel(Cancel { reason, text: String::new(), lines: units(lines), skus: Vec::new() })
}

pub fn fulfill(n: u128, lines: &[(u32, u32)]) -> Command {
    Command::Fulfill(Fulfill {
        shipment_id: shipment(n),
        lines: units(lines),
        carrier: "Royal Mail".to_owned(),
        tracking: "RM1".to_owned(),
        reference: String::new(),
        location: None,
    })
}

pub fn request_return(n: u128, lines: &[(u32, u32)]) -> Command {
    Command::RequestReturn(RequestReturn {
        return_id: return_id(n),
        lines: units(lines),
        reason: "chipped".to_owned(),
        reference: String::new(),
        exchange_order_id: None,
    })
}

pub fn an_approval() -> ApproveReturn {
    ApproveReturn {
        return_id: None,
        reference: String::new(),
        dispositions: Vec::new(),
        outcomes: Vec::new(),
        rejected_reason: String::new(),
        receive_later: false,
        receive_at_once: false,
        refund: None,
        refund_reason: String::new(),
        charges: Vec::new(),
        location: None,
    }
}

pub fn approve(n: u128) -> Command {
    Command::ApproveReturn(ApproveReturn { return_id: Some(return_id(n)), ..an_approval() })
}

/// The same, with the goods received later.
pub fn approve_later(n: u128) -> Command {
    let return_id = Some(return_id(n));
    Command::ApproveReturn(ApproveReturn { return_id, receive_later: true, ..an_approval() })
}

pub fn a_receipt() -> ReceiveReturn {
    ReceiveReturn {
        return_id: None,
        reference: String::new(),
        outcomes: Vec::new(),
        rejected_reason: String::new(),
        location: None,
    }
}

pub fn receive(n: u128) -> Command {
    Command::ReceiveReturn(ReceiveReturn { return_id: Some(return_id(n)), ..a_receipt() })
}

/// The event at a location of stock.
pub fn located(mut event: Event) -> Event {
    match &mut event {
        Event::LinesFulfilled { location, .. }
        | Event::OrderFulfilled { location, .. }
        | Event::ReturnReceived { location, .. }
        | Event::ReturnApproved { location, .. } => *location = Some("berlin".parse().unwrap()),
        _ => unreachable!(),
    }
    event
}

pub fn a_rejection() -> RejectReturn {
    RejectReturn { return_id: None, reference: String::new(), reason: "worn".to_owned() }
}

pub fn outcomes(units: &[(u32, u32, UnitOutcome)]) -> Vec<OutcomeUnits> {
    let one = |(line, units, outcome): &(u32, u32, UnitOutcome)| OutcomeUnits {
        line: *line,
        quantity: Quantity::new(*units).unwrap(),
        outcome: *outcome,
    };
    units.iter().map(one).collect()
}

pub fn reject(n: u128) -> Command {
    Command::RejectReturn(RejectReturn { return_id: Some(return_id(n)), ..a_rejection() })
}

pub fn note(public: bool) -> Command {
    Command::AddNote(AddNote { public, note: NoteText { text: "ring first".to_owned() } })
}

/// The event of [`place`] at 0.
pub fn placed() -> Event {
    let lines = (1..)
        .zip(a_place().lines)
        .map(|(line, new)| PlacedLine {
            line,
            sku: new.sku,
            quantity: new.quantity,
            unit_price: new.unit_price,
            seller_id: new.seller_id,
            title: new.title,
            image_url: new.image_url,
            attributes: new.attributes,
            discounts: new.discounts,
            taxes: new.taxes,
        })
        .collect();
    Event::OrderPlaced {
        order_id: order_id(),
        customer_id: owner(),
        lines,
        charges: Vec::new(),
        discounts: Vec::new(),
        tax_mode: TaxMode::OnTop,
        total: gbp(3_500),
        person: Arc::new(person()),
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        exchange_of: None,
        names: None,
        payment: None,
        placed_at: after(0),
        ordered_at: None,
        confirm_by: after(15 * MINUTE),
    }
}

pub fn confirmed() -> Event {
    confirmed_with(&[])
}

/// Confirmed, and these units wait for stock.
pub fn confirmed_with(backordered: &[(u32, u32)]) -> Event {
    let (reservation_id, backordered) = (reservation(1), units(backordered));
    Event::OrderConfirmed { reservation_id, backordered, at: after(1) }
}

pub fn lines_allocated(lines: &[(u32, u32)], seconds: u64) -> Event {
    Event::LinesAllocated { lines: units(lines), at: after(seconds) }
}

pub fn lines_cancelled(lines: &[(u32, u32)], seconds: u64) -> Event {
    Event::LinesCancelled {
        lines: units(lines),
        reason: CancelReason::CustomerRequest,
        text: String::new(),
        return_until: None,
        at: after(seconds),
    }
}

pub fn order_cancelled(reason: CancelReason, was_confirmed: bool, seconds: u64) -> Event {
    Event::OrderCancelled {
        reason,
        text: String::new(),
        was_confirmed,
        skus: Vec::new(),
        at: after(seconds),
    }
}

pub fn lines_fulfilled(n: u128, lines: &[(u32, u32)], seconds: u64) -> Event {
    Event::LinesFulfilled {
        shipment_id: shipment(n),
        lines: units(lines),
        carrier: "Royal Mail".to_owned(),
        tracking: "RM1".to_owned(),
        shipment_reference: String::new(),
        at: after(seconds),
        location: None,
    }
}

pub fn order_fulfilled(n: u128, lines: &[(u32, u32)], seconds: u64) -> Event {
    Event::OrderFulfilled {
        shipment_id: shipment(n),
        lines: units(lines),
        carrier: "Royal Mail".to_owned(),
        tracking: "RM1".to_owned(),
        shipment_reference: String::new(),
        return_until: after(seconds + 30 * DAY),
        at: after(seconds),
        location: None,
    }
}

pub fn return_requested(n: u128, lines: &[(u32, u32)], seconds: u64) -> Event {
    return_requested_by(Role::Customer, n, lines, seconds)
}

pub fn return_requested_by(asked_by: Role, n: u128, lines: &[(u32, u32)], seconds: u64) -> Event {
    Event::ReturnRequested {
        return_id: return_id(n),
        lines: units(lines),
        reason: "chipped".to_owned(),
        reference: String::new(),
        exchange_order_id: None,
        judge_by: after(seconds + 3 * DAY),
        asked_by,
        at: after(seconds),
    }
}

pub fn return_escalated(n: u128, seconds: u64) -> Event {
    Event::ReturnEscalated { return_id: return_id(n), at: after(seconds) }
}

pub fn return_approved(n: u128, lines: &[(u32, u32)], refund: i64, seconds: u64) -> Event {
    let lines = units(lines)
        .into_iter()
        .map(|LineQuantity { line, quantity }| Restitution {
            line,
            quantity,
            disposition: Disposition::Restock,
        })
        .collect();
    Event::ReturnApproved {
        return_id: return_id(n),
        lines,
        kept: Vec::new(),
        rejected_reason: String::new(),
        refund: gbp(refund),
        refund_reason: String::new(),
        refund_told: refund > 0,
        charges: Vec::new(),
        at: after(seconds),
        location: None,
    }
}

pub fn return_authorized(n: u128, lines: &[(u32, u32)], refund: i64, seconds: u64) -> Event {
    Event::ReturnAuthorized {
        return_id: return_id(n),
        lines: units(lines),
        kept: Vec::new(),
        rejected_reason: String::new(),
        refund: gbp(refund),
        refund_reason: String::new(),
        charges: Vec::new(),
        at: after(seconds),
    }
}

pub fn return_received(n: u128, lines: &[(u32, u32)], refund: i64, seconds: u64) -> Event {
    let Event::ReturnApproved { return_id, lines, kept, rejected_reason, refund, at, .. } =
        return_approved(n, lines, refund, seconds)
    else {
        unreachable!()
    };
    Event::ReturnReceived { return_id, lines, kept, rejected_reason, refund, at, location: None }
}

pub fn return_rejected(n: u128, seconds: u64) -> Event {
    Event::ReturnRejected { return_id: return_id(n), reason: "worn".to_owned(), at: after(seconds) }
}

/// Every unit of [`a_place`].
pub const ALL: &[(u32, u32)] = &[(1, 2), (2, 3)];

/// Placed at 0, confirmed at 1 s, all shipped at 10 s.
pub fn delivered() -> Vec<Event> {
    vec![placed(), confirmed(), order_fulfilled(1, ALL, 10)]
}

/// As [`delivered`], with return 1 requested at 20 s.
pub fn waiting(lines: &[(u32, u32)]) -> Vec<Event> {
    let mut events = delivered();
    events.push(return_requested(1, lines, 20));
    events
}

pub fn nothing() -> Given {
    given([])
}

/// An order with this history.
pub fn given(events: impl IntoIterator<Item = Event>) -> Given {
    let events: Vec<Event> = events.into_iter().collect();
    Given { order: replay(&events).expect("the history is possible") }
}

pub struct Given {
    order: Order,
}

impl Given {
    /// Sends a command, this many seconds after the order was placed.
    pub fn when(self, command: &Command, by: &By, seconds: u64) -> Outcome {
        let now = after(seconds);
        let decision = decide(&self.order, command, by, now, &Policy::default());
        Outcome { before: self.order, decision }
    }
}

pub struct Outcome {
    before: Order,
    decision: Result<Vec<Event>, Rejection>,
}

impl Outcome {
    /// Expects exactly this event; returns the order after it.
    pub fn then(self, expected: Event) -> Then {
        assert_eq!(self.decision.as_deref(), Ok(&[expected.clone()][..]));
        let order = evolve(self.before, &expected).expect("a decided event is possible");
        Then { order }
    }

    pub fn then_rejected(self, expected: &Rejection) {
        assert_eq!(self.decision.as_ref(), Err(expected));
    }

    pub fn then_nothing_happened(self) {
        assert_eq!(self.decision, Ok(Vec::new()));
    }
}

pub struct Then {
    pub order: Order,
}

impl Then {
    pub fn is(self, expected: Status) -> Self {
        assert_eq!(self.order.status(), Some(expected));
        self
    }

    /// The counts of each line: (cancelled, fulfilled, in return, returned).
    pub fn counts(self, expected: &[(u32, u32, u32, u32)]) -> Self {
        let counts: Vec<_> = self
            .order
            .details()
            .unwrap()
            .lines
            .iter()
            .map(|line| (line.cancelled, line.fulfilled, line.in_return, line.returned))
            .collect();
        assert_eq!(counts, expected);
        self
    }
}

/// Why this history is impossible.
pub fn impossible(events: &[Event]) -> Impossible {
    replay(events).expect_err("the history is impossible")
}

pub fn invalid_transition(from: Status, call: &'static str) -> Rejection {
    Rejection::InvalidTransition { from, call }
}

/// The rejection of an id that exists and differs in these fields.
pub fn exists(existing: Existing, differs: &[&'static str]) -> Rejection {
    Rejection::AlreadyExists { existing, differs: differs.to_vec() }
}
