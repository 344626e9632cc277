//! Facts about payments, and what facts of orders say of them: written as published, and read back.

use shared_events::contract::{
    CapturePolicy, DisputeOutcome, Fact, FactBody, LineAccount, LineKind, LossCause, Money,
    OrderFact, OrderHeader, OrderId, PaymentFact, PaymentHeader, PaymentId, PaymentPart,
    PaymentPolicy, PayoutFact, PayoutHeader, PspName, RequestedPayment, Reversed, Seller,
    SettledLine, SettlementLineId, Timestamp,
};

use crate::contract::{bodies, fact};

fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

fn order() -> OrderHeader {
    match bodies().remove(0) {
        FactBody::Order(fact) => fact.order().clone(),
        other => panic!("{other:?}"),
    }
}

fn seller() -> Seller {
    "Potter & Sons".parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn parts() -> Vec<PaymentPart> {
    let of = |seller: Option<&Seller>, minor| PaymentPart {
        payment_id: PaymentId::of(order().order_id, seller),
        amount: gbp(minor),
    };
    vec![of(None, 1_000), of(Some(&seller()), 530)]
}

fn header(minor: i64) -> PaymentHeader {
    let order_id = order().order_id;
    PaymentHeader {
        order_id,
        payment_id: PaymentId::of(order_id, Some(&seller())),
        seller: Some(seller()),
        psp: "stripe".parse().unwrap(),
        amount: gbp(minor),
        operation_id: "0190a0b0-0000-7000-8000-00000000000a".parse().unwrap(),
        cause: "0190a0b0-0000-7000-8000-00000000000b".parse().unwrap(),
        at: at("2010-12-01T08:27:00Z"),
    }
}

/// A line of a report with all that it may say.
fn settled() -> SettledLine {
    let (psp, psp_line): (PspName, _) = ("stripe".parse().unwrap(), "txn_1".to_owned());
    let of = header(265);
    SettledLine {
        settlement_line_id: SettlementLineId::of(&psp, &psp_line),
        psp,
        psp_line,
        kind: LineKind::Charge,
        order_id: Some(of.order_id),
        payment_id: Some(of.payment_id),
        operation_id: Some(of.operation_id),
        gross: gbp(265),
        fee: gbp(8),
        net: gbp(257),
        settled: Some(Money::new(300, "EUR".parse().unwrap())),
        exchange_rate: Some("1.168".to_owned()),
        at: of.at,
    }
}

/// Facts that came with payments.
pub fn of_payments() -> Vec<FactBody> {
    let (order, order_id) = (order(), order().order_id);
    let requested = |seller: Option<Seller>, minor, fee_bps| RequestedPayment {
        payment_id: PaymentId::of(order_id, seller.as_ref()),
        seller,
        amount: gbp(minor),
        fee_bps,
    };
    let refund_id = "0190a0b0-0000-7000-8000-000000000003".parse().unwrap();
    let told = vec![
        OrderFact::PaymentRequested {
            order: order.clone(),
            psp: "stripe".parse().unwrap(),
            capture: CapturePolicy::OnFulfil,
            policy: PaymentPolicy::PerSeller,
            pay_by: at("2010-12-01T08:41:00Z"),
            parts: vec![requested(None, 1_000, 0), requested(Some(seller()), 530, 1_250)],
        },
        OrderFact::PaymentLost { order: order.clone(), cause: LossCause::CaptureFailed },
        OrderFact::PaymentSecured { order: order.clone(), amount: gbp(1_530) },
        OrderFact::RefundSettled { order: order.clone(), refund_id, amount: gbp(265) },
        OrderFact::RefundFailed {
            order: order.clone(),
            refund_id,
            amount: gbp(265),
            code: "account_closed".to_owned(),
        },
        OrderFact::Compensated { order, stock: true, money: true },
    ];
    let valid_until = at("2010-12-08T08:27:00Z");
    let paid = vec![
        PaymentFact::Authorized { payment: header(530), valid_until },
        PaymentFact::Captured {
            payment: header(265),
            fee: gbp(33),
            capture: CapturePolicy::OnFulfil,
        },
        PaymentFact::Earned { payment: header(265), fee: gbp(33), through: gbp(530) },
        PaymentFact::Voided { payment: header(265) },
        PaymentFact::Expired { payment: header(265) },
        PaymentFact::Refunded { payment: header(265), fee: gbp(33), held: None },
        PaymentFact::Reversed {
            payment: header(265),
            reverses: Reversed::Refund,
            fee: gbp(33),
            held: None,
            restored: None,
        },
        PaymentFact::Disputed {
            payment: header(265),
            dispute_id: "dp_1".to_owned(),
            respond_by: Some(valid_until),
        },
        PaymentFact::DisputeClosed {
            payment: header(265),
            dispute_id: "dp_1".to_owned(),
            outcome: DisputeOutcome::Lost,
        },
        PaymentFact::Secured { order_id, amount: gbp(1_530), valid_until, payments: parts() },
        PaymentFact::Failed {
            order_id,
            payment_id: Some(PaymentId::of(order_id, Some(&seller()))),
            seller: Some(seller()),
            reason: "insufficient_funds".to_owned(),
        },
        PaymentFact::Lost { order_id, cause: LossCause::Expired },
        PaymentFact::Released { order_id },
        PaymentFact::RefundSettled { order_id, refund_id, amount: gbp(265) },
        PaymentFact::RefundFailed {
            order_id,
            refund_id,
            amount: gbp(265),
            code: "account_closed".to_owned(),
        },
        PaymentFact::SettlementLine { line: settled(), account: LineAccount::Receivable },
        PaymentFact::SettlementResolved { line: settled(), account: LineAccount::Receivable },
    ];
    let told = told.into_iter().map(FactBody::Order);
    let told = told.chain(paid.into_iter().map(FactBody::Payment));
    told.chain(of_payouts().map(FactBody::Payout)).collect()
}

/// Facts about payouts.
fn of_payouts() -> impl Iterator<Item = PayoutFact> {
    let payout = || PayoutHeader {
        payout_id: "0190a0b0-0000-7000-8000-00000000000d".parse().unwrap(),
        seller: seller(),
        psp: "stripe".parse().unwrap(),
        amount: gbp(4_630),
        at: at("2010-12-31T08:27:00Z"),
    };
    let code = "account_closed".to_owned();
    [
        PayoutFact::Sent { payout: payout() },
        PayoutFact::Paid { payout: payout() },
        PayoutFact::Returned { payout: payout(), was_paid: true, code },
    ]
    .into_iter()
}

/// Facts of orders that have a payment plan.
pub fn of_paid_orders() -> Vec<FactBody> {
    let mut bodies = bodies();
    for body in &mut bodies {
        match body {
            FactBody::Order(
                OrderFact::LinesCancelled { payments, refund_id, .. }
                | OrderFact::Cancelled { payments, refund_id, .. },
            ) => {
                *payments = parts();
                *refund_id = Some("0190a0b0-0000-7000-8000-00000000000c".parse().unwrap());
            }
            FactBody::Order(
                OrderFact::LinesFulfilled { payments, .. }
                | OrderFact::Fulfilled { payments, .. }
                | OrderFact::RefundRequested { payments, .. },
            ) => *payments = parts(),
            _ => {}
        }
    }
    bodies.retain(|body| fact(body.clone()).to_json().unwrap().contains("\"payments\""));
    assert_eq!(bodies.len(), 5);
    bodies
}

#[test]
fn facts_of_payments_are_written_as_they_were_published() {
    let mut kinds: Vec<_> = of_payments().iter().map(FactBody::kind).collect();
    let told = [PaymentFact::KINDS, PayoutFact::KINDS].concat();
    kinds.retain(|kind| told.contains(kind));
    assert_eq!(kinds, told);
    for body in of_payments() {
        let (kind, said) = (body.kind(), fact(body));
        let written = said.to_json().unwrap();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/text-sequence");
        let path = std::path::Path::new(path).join(format!("{kind}.json"));
        if std::env::var_os("ORDINAL_NEW_GOLDEN").is_some() && !path.exists() {
            std::fs::write(&path, format!("{written}\n")).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap();
        assert_eq!(published.trim_end(), written, "{kind} is written differently than published");
        assert_eq!(Fact::from_json(&published).unwrap(), said, "{kind} is read differently");
    }
}

#[test]
fn orders_with_a_plan_say_what_of_each_payment() {
    for body in of_paid_orders() {
        let said = fact(body);
        let json = said.to_json().unwrap();
        assert_eq!(Fact::from_json(&json).unwrap(), said);
    }
    for body in bodies() {
        let json = fact(body).to_json().unwrap();
        assert!(!json.contains("payment") && !json.contains("refund_id"), "{json}");
    }
}

#[test]
fn a_payment_has_one_id_for_its_order_and_seller() {
    let order: OrderId = order().order_id;
    // Fixed for ever: three services know a payment by it.
    let shop = "f37775b5-5458-53f4-808d-0816afa1f6de";
    assert_eq!(PaymentId::of(order, None).to_string(), shop);
    assert_ne!(PaymentId::of(order, None), PaymentId::of(order, Some(&seller())));
}

#[test]
fn a_line_of_a_report_has_one_id_and_is_about_itself() {
    let line = settled();
    // Fixed for ever: its entry in the book is known by it.
    let fixed = "0f3a8549-2a76-5097-bad4-37d1c652c908";
    assert_eq!(line.settlement_line_id.to_string(), fixed);
    assert_ne!(line.settlement_line_id, SettlementLineId::of(&line.psp, "txn_2"));
    let other: PspName = "other".parse().unwrap();
    assert_ne!(line.settlement_line_id, SettlementLineId::of(&other, "txn_1"));
    let told = PaymentFact::SettlementLine { line: line.clone(), account: LineAccount::Suspense };
    assert_eq!(told.order_id(), None);
    assert_eq!(told.subject(), line.settlement_line_id.into());
    // One of which nothing is known says nothing of an order.
    let unknown = SettledLine {
        order_id: None,
        payment_id: None,
        operation_id: None,
        settled: None,
        exchange_rate: None,
        ..line
    };
    let told = PaymentFact::SettlementLine { line: unknown, account: LineAccount::Suspense };
    let json = fact(FactBody::Payment(told)).to_json().unwrap();
    assert!(!json.contains("order_id") && !json.contains("settled\""), "{json}");
    assert_eq!(Fact::from_json(&json).unwrap().to_json().unwrap(), json);
}

#[test]
fn names_of_sellers_and_providers_have_bounds() {
    let of = |text: &str| text.parse::<Seller>();
    assert_eq!(of(" Potter & Sons ").unwrap().as_str(), "Potter & Sons");
    assert!(of(&"é".repeat(60)).is_ok());
    for wrong in ["", " ", "a\u{200b}", &"x".repeat(61)] {
        assert!(of(wrong).is_err(), "{wrong:?}");
    }
    for right in ["stripe", "psp_2", &"a".repeat(30)] {
        assert!(right.parse::<PspName>().is_ok(), "{right}");
    }
    for wrong in ["", "Stripe", "a-b", "a b", "é", &"a".repeat(31)] {
        assert!(wrong.parse::<PspName>().is_err(), "{wrong:?}");
    }
}

#[test]
fn words_of_a_plan_are_read_by_their_names() {
    for word in CapturePolicy::ALL {
        assert_eq!(CapturePolicy::of_code(word.code()), Some(*word));
        assert_eq!(serde_json::to_string(word).unwrap(), format!("\"{}\"", word.code()));
    }
    for word in PaymentPolicy::ALL {
        assert_eq!(PaymentPolicy::of_code(word.code()), Some(*word));
    }
    assert_eq!(LossCause::of_code("GONE"), None);
}
