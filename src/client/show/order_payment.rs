use serde_json::Value;

use super::{code, items, short_time, text};
use crate::client::Output;

/// How it stands with the money of an order; empty without a payment plan.
pub(super) fn status(order: &Value) -> String {
    let payment = &order["payment"];
    let status = code(payment, "status", "PAYMENT_STATUS_");
    let (psp, cause) = (text(&payment["plan"], "psp"), code(payment, "loss_cause", "LOSS_CAUSE_"));
    [status, cause, psp].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// How far a cancelled order is with giving back what it held.
pub(super) fn given_back(order: &Value) -> String {
    let payment = &order["payment"];
    match code(payment, "compensation", "COMPENSATION_").as_str() {
        "DONE" => "all of it".to_owned(),
        "RUNNING" => {
            let held = |field: &str, what| (payment[field] == true).then_some(what);
            let open = [held("stock_is_held", "stock"), held("money_is_held", "money")];
            let open: Vec<&str> = open.into_iter().flatten().collect();
            format!("waits for {}", open.join(" and "))
        }
        _ => String::new(),
    }
}

/// What is wanted for whom, and refunds.
pub(super) fn parts(out: &Output, order: &Value) {
    let payment = &order["payment"];
    if items(&payment["parts"]).next().is_some() {
        out.table(
            &["payment", "seller", "requested", "cancelled", "delivered", "refunded"],
            items(&payment["parts"]).map(|part| {
                let seller = match text(part, "seller_id") {
                    none if none.is_empty() => "the shop".to_owned(),
                    seller => seller,
                };
                let amounts = ["requested", "cancelled", "delivered", "refunded"];
                let amounts = amounts.map(|field| text(part, field));
                [text(part, "payment_id"), seller].into_iter().chain(amounts).collect()
            }),
        );
    }
    if items(&payment["refunds"]).next().is_some() {
        out.table(
            &["refund", "amount", "state", "why"],
            items(&payment["refunds"]).map(|refund| {
                let state = code(refund, "state", "REFUND_STATE_");
                vec![text(refund, "refund_id"), text(refund, "amount"), state, text(refund, "code")]
            }),
        );
    }
}

/// What an event says of money.
pub(super) fn of_event(kind: &Value) -> String {
    let given_back = [("stock", kind["stock"] == true), ("money", kind["money"] == true)];
    let given_back = given_back.iter().filter(|(_, is)| *is).map(|(what, _)| *what);
    let parts = [
        text(kind, "amount"),
        text(kind, "code"),
        short_time(kind, "pay_by"),
        short_time(kind, "valid_until"),
        given_back.collect::<Vec<_>>().join(" and "),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}
