//! Payments and holds of money while the clock of their process is years off.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::PATIENCE;

on_both!(payments_and_holds_wait_while_the_clock_is_years_off);

const LEDGER: &str = "ledger.v1.LedgerService";
const PAYMENTS: &str = "payments.v1.PaymentService";

async fn ask(shop: &Shop, method: &str, request: Value) -> Value {
    shop.service.call(method, request).await.unwrap()
}

fn gbp(units: i64) -> Value {
    json!({ "currency_code": "GBP", "units": units })
}

async fn post(shop: &Shop, debit: &str, credit: &str, units: i64) {
    let leg = json!({ "transfer": { "debit": debit, "credit": credit, "amount": gbp(units) } });
    let entry = json!({ "entry_id": Uuid::now_v7(), "legs": [leg] });
    ask(shop, &format!("{LEDGER}/PostEntry"), entry).await;
}

async fn state_of(shop: &Shop, hold: Uuid) -> String {
    let found = ask(shop, &format!("{LEDGER}/GetHold"), json!({ "hold_id": hold })).await;
    found["hold"]["state"].as_str().unwrap().to_owned()
}

async fn payment_of(shop: &Shop, order: &str) -> String {
    let listed = ask(shop, &format!("{PAYMENTS}/ListPayments"), json!({ "order_id": order })).await;
    listed["payments"][0]["status"].as_str().unwrap_or_default().to_owned()
}

async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn payments_and_holds_wait_while_the_clock_is_years_off(mut shop: Shop) {
    for (name, kind) in [("bank", "ASSET"), ("wallet", "LIABILITY")] {
        let account = json!({
            "name": name, "kind": format!("ACCOUNT_KIND_{kind}"), "currency_code": "GBP",
            "limit": "ACCOUNT_LIMIT_UNSPECIFIED",
        });
        ask(&shop, &format!("{LEDGER}/OpenAccount"), account).await;
    }
    post(&shop, "bank", "wallet", 100).await;
    let hold = Uuid::now_v7();
    let held = json!({
        "hold_id": hold, "debit": "wallet", "credit": "bank", "amount": gbp(80),
        "expires_in": "900s",
    });
    ask(&shop, &format!("{LEDGER}/ReserveFunds"), held).await;
    shop.set_stock("MUG", 5).await;
    let mut order = shop.order(&[("MUG", 1)]);
    order["payment"] = json!({ "psp": "elsewhere" });
    let placed = shop.service.orders("PlaceOrder", order).await.unwrap();
    let order = placed["order"]["order_id"].as_str().unwrap().to_owned();
    until("it asks for money", async || {
        payment_of(&shop, &order).await == "PAYMENT_STATUS_REQUESTED"
    })
    .await;
    shop.settled().await;

    shop.stop().await;
    shop.advance(Duration::from_secs(500 * 24 * 3_600));
    shop.start(|_| ()).await;
    let health = shop.ops.call("admin.v1.AdminService/GetHealth", json!({})).await.unwrap();
    assert!(health["reasons"].to_string().contains("timers wait"), "{health}");
    // What is asked for is done, and nothing is over by the wrong clock.
    post(&shop, "wallet", "bank", 10).await;
    assert_eq!(state_of(&shop, hold).await, "HOLD_STATE_HELD");
    let attempt =
        json!({ "order_id": order, "attempt_id": Uuid::now_v7(), "psp_token": "tok_visa" });
    let attempted = ask(&shop, &format!("{PAYMENTS}/Attempt"), attempt).await;
    assert_eq!(attempted["payments"][0]["status"], "PAYMENT_STATUS_AUTHORIZING", "{attempted}");
    shop.until(&order, "PENDING").await;

    // An operator knows that the shop was closed for long.
    let resume = json!({ "reason": "closed for more than a year" });
    shop.ops.call("admin.v1.AdminService/ResumeTimers", resume).await.unwrap();
    until("the hold is over", async || state_of(&shop, hold).await == "HOLD_STATE_EXPIRED").await;
    // It is given up by itself, or because its order was cancelled before.
    until("the payment is over", async || {
        let status = payment_of(&shop, &order).await;
        ["PAYMENT_STATUS_FAILED", "PAYMENT_STATUS_DECLINED"].contains(&status.as_str())
    })
    .await;
    shop.until(&order, "CANCELLED").await;
    shop.close().await;
}
