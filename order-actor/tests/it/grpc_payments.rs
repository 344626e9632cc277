//! Payment plans in requests, and the money of orders in answers.

use order_actor::domain::{Command, Order, evolve, replay};
use order_actor::grpc::{parse, proto, render};
use shared_events::contract::{CapturePolicy, PaymentPolicy, Timestamp};

use crate::domain::golden;
use crate::domain::payments::{a_plan, placed_with, secured, states, stock_held};
use crate::grpc_parse::{OTHER_ID, each, ops, parsed, place};

fn plan() -> proto::PaymentPlan {
    let seller_id = OTHER_ID.to_owned();
    proto::PaymentPlan {
        psp: "stripe".to_owned(),
        fee_bps: 100,
        fees: vec![proto::SellerFee { seller_id, fee_bps: 10_000 }],
        ..proto::PaymentPlan::default()
    }
}

fn request() -> proto::PlaceOrderRequest {
    proto::PlaceOrderRequest { payment: Some(plan()), ..place() }
}

fn change(request: &mut proto::PlaceOrderRequest, change: fn(&mut proto::PaymentPlan)) {
    change(request.payment.as_mut().unwrap());
}

#[test]
fn each_field_of_a_plan_is_refused_by_name() {
    let wrong = "INVALID_PAYMENT";
    each(
        request,
        |request| parsed(request, &ops()),
        &[
            ("payment.psp", wrong, |it| change(it, |plan| plan.psp.clear())),
            ("payment.psp", wrong, |it| change(it, |plan| "Stripe!".clone_into(&mut plan.psp))),
            ("payment.capture", wrong, |it| change(it, |plan| plan.capture = 9)),
            ("payment.policy", wrong, |it| change(it, |plan| plan.policy = 9)),
            ("payment.ship_when", wrong, |it| change(it, |plan| plan.ship_when = 9)),
            ("payment.fee_bps", wrong, |it| change(it, |plan| plan.fee_bps = 10_001)),
            ("payment.fees[0].seller_id", wrong, |it| {
                change(it, |plan| "x".clone_into(&mut plan.fees[0].seller_id));
            }),
            ("payment.fees[0].fee_bps", wrong, |it| {
                change(it, |plan| plan.fees[0].fee_bps = 70_000);
            }),
            ("payment.fees", wrong, |it| {
                change(it, |plan| plan.fees = vec![plan.fees[0].clone(); 101]);
            }),
        ],
    );
}

#[test]
fn what_a_plan_leaves_out_is_what_is_documented() {
    let Command::Place(place) = parsed(request(), &ops()).unwrap().command else { panic!() };
    let plan = place.payment.unwrap();
    assert_eq!((plan.capture, plan.policy), (CapturePolicy::OnFulfil, PaymentPolicy::AllOrNone));
    assert_eq!((plan.ship_when.code(), plan.fee_bps), ("AUTHORIZED", 100));
    assert_eq!((plan.fees.len(), plan.fees[0].fee_bps), (1, 10_000));
    let on_confirm = |plan: &mut proto::PaymentPlan| {
        plan.set_capture(proto::CapturePolicy::OnConfirm);
        plan.set_policy(proto::PaymentPolicy::PerSeller);
        plan.set_ship_when(proto::ShipWhen::Captured);
    };
    let mut said = request();
    change(&mut said, on_confirm);
    let Command::Place(place) = parsed(said, &ops()).unwrap().command else { panic!() };
    let plan = place.payment.unwrap();
    assert_eq!((plan.capture, plan.policy), (CapturePolicy::OnConfirm, PaymentPolicy::PerSeller));
    assert_eq!(plan.ship_when.code(), "CAPTURED");
}

#[test]
fn a_list_is_filtered_by_states_of_money() {
    let with = |payment: Vec<i32>| {
        let filter = proto::OrderFilter { payment, ..proto::OrderFilter::default() };
        let request = proto::ListOrdersRequest {
            filter: Some(filter),
            ..proto::ListOrdersRequest::default()
        };
        parse::list_orders(request, 4)
    };
    let all = with((1..=6).collect()).unwrap().filter.payment;
    let codes: Vec<_> = all.iter().map(|status| status.code()).collect();
    let expected = ["NOT_REQUIRED", "AWAITED", "SECURED", "LOST", "CAPTURED", "RELEASED"];
    assert_eq!(codes, expected);
    for wrong in [0, 7] {
        let violations = with(vec![1, wrong]).unwrap_err();
        assert_eq!(violations.iter().next().unwrap().field, "filter.payment[1]");
    }
}

fn shown(order: &Order) -> proto::OrderPayment {
    render::order(order, 1, Timestamp::default()).unwrap().payment.unwrap()
}

#[test]
fn the_money_of_an_order_is_shown_in_every_state() {
    let expected = [
        ("AWAITED", "NONE"),
        ("SECURED", "NONE"),
        ("AWAITED", "NONE"),
        ("SECURED", "NONE"),
        ("LOST", "NONE"),
        ("SECURED", "NONE"),
        ("SECURED", "NONE"),
        ("LOST", "NONE"),
        ("SECURED", "NONE"),
        ("LOST", "NONE"),
        ("AWAITED", "RUNNING"),
        ("SECURED", "RUNNING"),
        ("RELEASED", "DONE"),
    ];
    for ((name, history), (status, compensation)) in states().into_iter().zip(expected) {
        let payment = shown(&replay(&history).unwrap());
        let is = payment.status().as_str_name().trim_start_matches("PAYMENT_STATUS_");
        let saga = payment.compensation().as_str_name().trim_start_matches("COMPENSATION_");
        assert_eq!((is, saga), (status, compensation), "{name}");
        let running = compensation == "RUNNING";
        assert_eq!((payment.stock_is_held, payment.money_is_held), (running, running), "{name}");
        assert_eq!(payment.plan.unwrap().psp, "stripe");
    }
}

#[test]
fn pay_by_is_shown_while_money_is_awaited() {
    let order = replay(&[placed_with(a_plan())]).unwrap();
    assert_eq!(shown(&order).pay_by, None);
    let order = evolve(order, &stock_held(&[])).unwrap();
    assert!(shown(&order).pay_by.is_some());
    let part = &shown(&order).parts[0];
    assert_eq!(part.requested.as_ref().map(|money| money.units), Some(35));
    assert!(part.seller_id.is_empty());
    let order = evolve(order, &secured(3_500, 60, 2)).unwrap();
    assert_eq!(shown(&order).secured.map(|money| money.units), Some(35));
}

#[test]
fn refunds_are_shown_once_there_is_something_to_say() {
    let returned = states().into_iter().find(|(name, _)| name.contains("a return approved"));
    let order = replay(&returned.unwrap().1).unwrap();
    let payment = shown(&order);
    let [refund] = &payment.refunds[..] else { panic!("{payment:?}") };
    assert_eq!(refund.state(), proto::RefundState::Pending);
    let delivered = payment.parts[0].delivered.as_ref().map(|money| money.units);
    let refunded = payment.parts[0].refunded.as_ref().map(|money| money.units);
    assert_eq!((delivered, refunded), (Some(35), Some(10)));
}

#[test]
fn customers_do_not_see_the_shops_fees() {
    let placed = golden::samples().into_iter().find(|(name, _)| *name == "OrderPlaced.v2.paid");
    let placed = placed.unwrap().1;
    let mut order = render::order(&replay([&placed]).unwrap(), 1, Timestamp::default()).unwrap();
    let mut events = vec![render::event(&placed, 1)];
    let fees = |order: &proto::Order| {
        let plan = order.payment.as_ref().and_then(|payment| payment.plan.clone()).unwrap();
        (plan.fee_bps, plan.fees.len())
    };
    assert_eq!(fees(&order), (1_250, 1));
    render::for_customer(Some(&mut order), &mut events);
    assert_eq!(fees(&order), (0, 0));
    let Some(proto::event::Kind::OrderPlaced(placed)) = events.remove(0).kind else { panic!() };
    let plan = placed.payment.unwrap();
    assert_eq!((plan.fee_bps, plan.fees.len(), plan.psp.as_str()), (0, 0, "stripe"));
}
