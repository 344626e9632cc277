//! A case that hears inputs one by one.

use std::collections::BTreeSet;

use payment::domain::{
    Case, Context, Event, Input, Observation, Operation, OperationKind, Payment, Plan, Rejection,
    Status, decide, fact_id, facts,
};
use psp::Capabilities;
use shared_events::contract::{
    CapturePolicy, CustomerId, FactId, Money, OperationId, OrderId, Origin, PaymentFact, PaymentId,
    PaymentPart, PaymentPolicy, RefundId, RequestedPayment, Seller, Timestamp,
};
use uuid::Uuid;

pub const CAPABLE: Capabilities = Capabilities {
    multi_capture: true,
    partial_refund: true,
    release_remainder: true,
    payouts: true,
    authorization_seconds: 7 * 24 * 3_600,
    key_seconds: 24 * 3_600,
    grace_seconds: 30,
};

pub const AUTHORIZE: OperationKind = OperationKind::Authorize;
pub const CAPTURE: OperationKind = OperationKind::Capture;
pub const REFUND: OperationKind = OperationKind::Refund;
pub const VOID: OperationKind = OperationKind::Void;

pub const MINUTE: i64 = 60_000_000;

pub fn at(minutes: i64) -> Timestamp {
    Timestamp::from_micros(minutes * MINUTE)
}

pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x5000_8000_0000_0000_0000 + number)
}

/// A fact of orders, of one journal.
pub fn asking(number: u128) -> FactId {
    FactId::once(Origin::Orders, id(number), "payment.requested.v1")
}

pub struct Told {
    pub case: Case,
    pub events: Vec<Event>,
    pub facts: Vec<PaymentFact>,
    /// The ids of all that was told.
    pub ids: BTreeSet<FactId>,
    /// The fact by which the order asks.
    pub asked_by: Option<FactId>,
    pub context: Context,
    pub currency: &'static str,
}

impl Told {
    pub fn new() -> Self {
        Self {
            case: Case::new(OrderId::from_uuid(id(1))),
            events: Vec::new(),
            facts: Vec::new(),
            ids: BTreeSet::new(),
            asked_by: Some(asking(90)),
            context: Context { capabilities: CAPABLE, now: at(0) },
            currency: "GBP",
        }
    }

    /// With an order of the shop alone that asked for this much.
    pub fn asked(minor: i64, capture: CapturePolicy) -> Self {
        let mut told = Self::new();
        told.request(&[(None, minor, 0)], capture, PaymentPolicy::AllOrNone);
        told
    }

    /// With an order of 50.00 whose money is reserved.
    pub fn reserved(capture: CapturePolicy) -> Self {
        let mut told = Self::asked(5_000, capture);
        told.attempt(10).unwrap();
        told.done(AUTHORIZE);
        told
    }

    /// With one whose money was taken when it was confirmed.
    pub fn taken() -> Self {
        let mut told = Self::reserved(CapturePolicy::OnConfirm);
        told.hears(Input::Confirmed { cause: id(20) }).unwrap();
        told.done(CAPTURE);
        told
    }

    pub fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.currency.parse().unwrap())
    }

    pub fn request(
        &mut self,
        parts: &[(Option<&str>, i64, u16)],
        capture: CapturePolicy,
        policy: PaymentPolicy,
    ) {
        let plan = Plan {
            customer_id: CustomerId::from_uuid(id(2)),
            psp: "scripted".parse().unwrap(),
            capture,
            policy,
            pay_by: at(15),
            asked_by: self.asked_by,
        };
        let part = |(seller, minor, fee_bps): &(Option<&str>, i64, u16)| {
            let seller: Option<Seller> = seller.map(|name| name.parse().unwrap());
            RequestedPayment {
                payment_id: PaymentId::of(self.case.order_id, seller.as_ref()),
                seller,
                amount: self.money(*minor),
                fee_bps: *fee_bps,
            }
        };
        let parts = parts.iter().map(part).collect();
        self.hears(Input::Request { plan, parts }).unwrap();
    }

    pub fn hears(&mut self, input: Input) -> Result<usize, Rejection> {
        let decision = decide(&self.case, input, &self.context)?;
        let mut case = self.case.clone();
        for event in &decision.events {
            let after = case.clone().evolve(event).unwrap();
            let told = facts(&case, event, &after);
            for fact in &told {
                let is_new = self.ids.insert(fact_id(&after, event, fact));
                assert!(is_new, "an id is of one fact only: {fact:?}");
            }
            self.facts.extend(told);
            case = after;
        }
        assert_eq!(case, decision.after, "events make the case");
        self.case = case;
        let count = decision.events.len();
        self.events.extend(decision.events);
        self.sums_hold();
        Ok(count)
    }

    pub fn attempt(&mut self, number: u128) -> Result<usize, Rejection> {
        self.hears(Input::Attempt { attempt_id: id(number) })
    }

    pub fn payment(&self, nth: usize) -> &Payment {
        &self.case.payments[nth]
    }

    pub fn part(&self, nth: usize, minor: i64) -> PaymentPart {
        PaymentPart { payment_id: self.payment(nth).id, amount: self.money(minor) }
    }

    /// The newest open operation of a kind.
    pub fn open(&self, kind: OperationKind) -> Operation {
        let all = self.case.payments.iter().flat_map(|one| one.of_kind(kind));
        all.filter(|one| one.is_open()).last().unwrap_or_else(|| panic!("no open {kind}")).clone()
    }

    pub fn has_open(&self, kind: OperationKind) -> bool {
        self.case.payments.iter().any(|one| one.has_open(kind))
    }

    pub fn observe(&mut self, operation_id: OperationId, seen: Observation) -> usize {
        self.hears(Input::Observed { operation_id, seen }).unwrap()
    }

    pub fn done(&mut self, kind: OperationKind) -> OperationId {
        let operation = self.open(kind);
        self.observe(operation.id, done(operation.amount));
        operation.id
    }

    pub fn declined(&mut self, kind: OperationKind, code: &str) -> OperationId {
        let operation = self.open(kind);
        self.observe(operation.id, Observation::Declined { code: code.to_owned() });
        operation.id
    }

    pub fn parcel(&mut self, number: u128, minor: i64) {
        let parts = vec![self.part(0, minor)];
        self.hears(Input::Fulfilled { cause: id(number), parts }).unwrap();
    }

    pub fn cancel(&mut self, number: u128, minor: i64, whole: bool) {
        let (cause, refund_id) = (id(number), RefundId::from_uuid(id(number + 1)));
        let parts = vec![self.part(0, minor)];
        self.hears(Input::Cancelled { cause, refund_id, parts, whole }).unwrap();
    }

    pub fn refund(&mut self, number: u128, minor: i64) {
        let (refund_id, parts) = (RefundId::from_uuid(id(number)), vec![self.part(0, minor)]);
        self.hears(Input::Refund { refund_id, parts }).unwrap();
    }

    pub fn tick(&mut self, minutes: i64) {
        self.context.now = at(minutes);
        self.hears(Input::Tick).unwrap();
    }

    pub fn status(&self) -> Status {
        self.payment(0).status()
    }

    /// The facts since the last look.
    pub fn kinds(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.facts).iter().map(PaymentFact::kind).collect()
    }

    /// What holds for every payment at any time, where providers do no more than they are asked.
    fn sums_hold(&self) {
        for one in &self.case.payments {
            let used = one.captured() + one.capture_pending();
            assert!(one.refunded() + one.refund_pending() <= one.captured(), "{one:?}");
            assert!(used + one.released() <= one.authorized() || one.authorized() == 0, "{one:?}");
            assert!(one.unwanted >= 0 && one.wanted() >= 0, "{one:?}");
        }
    }
}

pub fn done(amount: Money) -> Observation {
    Observation::Done { reference: "psp_1".to_owned(), amount, valid_until: None }
}
