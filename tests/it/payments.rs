//! Payments, from end to end: attempts, lists and operations by gRPC, REST and the command line.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::Http;
use crate::shop::{Shop, on_both};
use crate::support::{Engine, ordinal, placing, write_private};

const SERVICE: &str = "payments.v1.PaymentService";

on_both!(
    an_attempt_waits_for_an_order_that_asks_for_no_money_yet,
    an_attempt_with_another_token_is_refused_and_its_field_named,
    what_an_attempt_would_do_is_told_and_nothing_is_kept,
    a_sixth_attempt_that_would_wait_is_refused_with_the_number,
    every_malformed_field_of_payments_is_named,
    what_is_not_there_is_not_found,
);

async fn refused(client: &ordinal::client::Client, method: &str, request: Value) -> String {
    let method = format!("{SERVICE}/{method}");
    client.call(&method, request).await.unwrap_err().to_string()
}

async fn an_attempt_waits_for_an_order_that_asks_for_no_money_yet(shop: Shop) {
    let order_id = shop.place(&[("MUG", 1)]).await;
    let attempt =
        json!({ "order_id": order_id, "attempt_id": Uuid::now_v7(), "psp_token": "tok_1" });
    for _ in 0..2 {
        let answer = shop.service.call(&format!("{SERVICE}/Attempt"), attempt.clone()).await;
        let answer = answer.unwrap();
        assert_eq!(
            (&answer["waits"], answer["payments"].as_array()),
            (&true.into(), Some(&vec![]))
        );
    }
    // A customer sees payments of own orders only.
    let stranger = shop.as_caller("CUSTOMER", &Uuid::now_v7().to_string()).await;
    let not_theirs = refused(&stranger, "Attempt", attempt).await;
    assert!(not_theirs.contains("NOT_FOUND"), "{not_theirs}");
    let (list, of_it) = (format!("{SERVICE}/ListPayments"), json!({ "order_id": order_id }));
    let own = shop.buyer.call(&list, of_it).await.unwrap();
    assert_eq!(own["payments"], json!([]));
    let all = refused(&shop.buyer, "ListPayments", json!({})).await;
    assert!(all.contains("customers name one of their own orders"), "{all}");
    let mut http = Http::connect(&shop.address).await;
    let answer = http.call(&format!("GET /v1/payments?order_id={order_id}"), &[]).await;
    assert_eq!((answer.status, answer.json()["payments"].clone()), (200, json!([])));
    shop.close().await;
}

async fn an_attempt_with_another_token_is_refused_and_its_field_named(shop: Shop) {
    let order_id = shop.place(&[("MUG", 1)]).await;
    let (method, attempt_id) = (format!("{SERVICE}/Attempt"), Uuid::now_v7());
    let with = |attempt_id: String, token: &str| json!({ "order_id": order_id, "attempt_id": attempt_id, "psp_token": token });
    let first = with(attempt_id.to_string(), "tok_1");
    shop.service.call(&method, first).await.unwrap();
    let other = with(attempt_id.to_string(), "tok_2");
    let told = shop.service.call(&method, other.clone()).await.unwrap_err().to_json();
    assert_eq!(told["reason"], "IDEMPOTENCY_KEY_REUSED", "{told}");
    assert!(told.to_string().contains("attempt_id"), "{told}");
    let mut http = Http::connect(&shop.address).await;
    let answer = http.json("POST /v1/payments:attempt", &[], &other).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"));
    // The same attempt, spelled otherwise, is the same.
    let same = with(attempt_id.to_string().to_uppercase(), "tok_1");
    let answer = shop.service.call(&method, same).await.unwrap();
    assert_eq!(answer["waits"], json!(true), "{answer}");
    shop.close().await;
}

async fn what_an_attempt_would_do_is_told_and_nothing_is_kept(shop: Shop) {
    let order_id = shop.place(&[("MUG", 1)]).await;
    let (method, attempt_id) = (format!("{SERVICE}/Attempt"), Uuid::now_v7());
    let with =
        |token: &str| json!({ "order_id": order_id, "attempt_id": attempt_id, "psp_token": token });
    let mut dry = with("tok_1");
    dry["validate_only"] = json!(true);
    let would = shop.buyer.call(&method, dry.clone()).await.unwrap();
    assert_eq!(would["waits"], true, "{would}");
    let mut http = Http::connect(&shop.address).await;
    let only = "POST /v1/payments:attempt?validate_only=true";
    let told = http.json(only, &[], &with("tok_1")).await;
    assert_eq!((told.status, &told.json()["waits"]), (200, &json!(true)), "{told:?}");
    let stranger = shop.as_caller("CUSTOMER", &Uuid::now_v7().to_string()).await;
    let not_theirs = refused(&stranger, "Attempt", dry).await;
    assert!(not_theirs.contains("NOT_FOUND"), "{not_theirs}");
    // Nothing was kept: the id is as new as before.
    shop.buyer.call(&method, with("tok_2")).await.unwrap();
    for answer in [
        http.json(only, &[], &with("tok_1")).await,
        http.json("POST /v1/payments:attempt", &[], &with("tok_1")).await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (422, "IDEMPOTENCY_KEY_REUSED"));
    }
    // What operators say: a refusal is told as well.
    let id = Uuid::now_v7();
    for (path, body) in [
        (format!("payment-operations/{id}"), json!({ "code": "lost", "reason": "asked" })),
        ("payment-webhooks/play/evt_1".to_owned(), json!({ "reason": "asked" })),
    ] {
        let call = format!("POST /v1/{path}:resolve?validate_only=true");
        let answer = http.json(&call, &[], &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "NOT_FOUND"), "{answer:?}");
    }
    shop.close().await;
}

async fn a_sixth_attempt_that_would_wait_is_refused_with_the_number(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let order_id = shop.place(&[("MUG", 1)]).await;
    shop.until(&order_id, "CONFIRMED").await;
    let method = format!("{SERVICE}/Attempt");
    let attempt =
        || json!({ "order_id": order_id, "attempt_id": Uuid::now_v7(), "psp_token": "tok_1" });
    for _ in 0..5 {
        let answer = shop.service.call(&method, attempt()).await.unwrap();
        assert_eq!(answer["waits"], json!(true), "{answer}");
    }
    let told = shop.service.call(&method, attempt()).await.unwrap_err().to_json();
    let what = "no attempt is left: each payment has at most 5, and as many wait for an order";
    let told = (&told["reason"], &told["message"]);
    assert_eq!(told, (&json!("ATTEMPTS_SPENT"), &json!(what)));
    shop.close().await;
}

async fn every_malformed_field_of_payments_is_named(shop: Shop) {
    let id = Uuid::now_v7().to_string();
    let attempt = |field: &str, value: &str| {
        let mut request = json!({ "order_id": id, "attempt_id": id, "psp_token": "tok_1" });
        request[field] = json!(value);
        request
    };
    let secret = "tok with blanks";
    for (method, request, field) in [
        ("Attempt", attempt("order_id", "x"), "order_id"),
        ("Attempt", attempt("attempt_id", ""), "attempt_id"),
        ("Attempt", attempt("psp_token", ""), "psp_token"),
        ("Attempt", attempt("psp_token", secret), "psp_token"),
        ("Attempt", attempt("psp_token", &"x".repeat(201)), "psp_token"),
        ("GetPayment", json!({ "payment_id": "x" }), "payment_id"),
        ("ListPayments", json!({ "order_id": "x" }), "order_id"),
        ("ListPayments", json!({ "customer_id": "x" }), "customer_id"),
        ("ListPayments", json!({ "status": 99 }), "status"),
        ("ListPayments", json!({ "page_size": -1 }), "page_size"),
        ("ListStuckOperations", json!({ "page_size": -1 }), "page_size"),
        ("GetOperation", json!({ "operation_id": "" }), "operation_id"),
        ("ResolveOperation", json!({ "operation_id": "x", "reason": "r" }), "operation_id"),
        ("ResolveOperation", json!({ "operation_id": id, "reason": "r" }), "code"),
        (
            "ResolveOperation",
            json!({ "operation_id": id, "reason": "r", "succeeded": true }),
            "psp_reference",
        ),
        ("ResolveOperation", json!({ "operation_id": id, "code": "lost" }), "reason"),
        ("ListWebhooks", json!({ "state": 99 }), "state"),
        ("ListWebhooks", json!({ "page_token": "x" }), "page_token"),
        ("ResolveWebhook", json!({ "psp": "No", "event_id": "e", "reason": "r" }), "psp"),
        ("ResolveWebhook", json!({ "psp": "p", "event_id": "", "reason": "r" }), "event_id"),
        ("ResolveWebhook", json!({ "psp": "p", "event_id": "e" }), "reason"),
    ] {
        let said = refused(&shop.ops, method, request).await;
        assert!(said.contains("INVALID_FIELD") && said.contains(field), "{method}: {said}");
        assert!(!said.contains(secret), "{said}");
    }
    shop.close().await;
}

async fn what_is_not_there_is_not_found(shop: Shop) {
    let id = Uuid::now_v7();
    for (method, request) in [
        ("GetPayment", json!({ "payment_id": id })),
        ("GetOperation", json!({ "operation_id": id })),
        ("ResolveOperation", json!({ "operation_id": id, "code": "lost", "reason": "asked" })),
        ("ResolveWebhook", json!({ "psp": "p", "event_id": "e", "reason": "asked" })),
    ] {
        let said = refused(&shop.ops, method, request).await;
        assert!(said.contains("NOT_FOUND"), "{method}: {said}");
    }
    shop.close().await;
}

#[test]
fn an_order_is_paid_at_the_simulator() {
    let directory = tempfile::TempDir::new().unwrap();
    let data = directory.path().join("data");
    let (psps, token) = (directory.path().join("psps.toml"), directory.path().join("token"));
    std::fs::write(&psps, "[[psps]]\nname = \"play\"\ndialect = \"simulator\"\nseed = 7\n")
        .unwrap();
    write_private(&token, "tok_visa\n");
    let flags = ["--data", data.to_str().unwrap(), "--psps", psps.to_str().unwrap()];
    let engine = Engine::start_with(&flags);
    engine.ask(&["stock", "set", "MUG", "5"]);
    // Stock has not answered yet when the customer pays.
    engine.ask(&["follower", "pause", "stock", "--reason", "later"]);
    let placed = [&placing(&["MUG=1@10.00GBP"])[..], &["--payment", "play"]].concat();
    let order = engine.ask(&placed)["order"]["order_id"].as_str().unwrap().to_owned();
    let attempt =
        ["payment", "attempt", order.as_str(), "--psp-token-file", token.to_str().unwrap()];
    let id = Uuid::now_v7().to_string();
    let would = engine.ask(&[&attempt[..], &["--validate-only"]].concat());
    assert_eq!(would["waits"], true);
    let waits = engine.ask(&[&attempt[..], &["--id", &id]].concat());
    assert_eq!(waits["waits"], true);
    engine.ask(&["follower", "resume", "stock"]);
    let list = ["payment", "list", "--order", order.as_str()];
    let payment = loop {
        let listed = engine.ask(&list);
        let Some(one) = listed["payments"].get(0).cloned() else { continue };
        if one["status"] == "PAYMENT_STATUS_AUTHORIZED" {
            break one;
        }
        assert!(
            ["PAYMENT_STATUS_AUTHORIZING", "PAYMENT_STATUS_REQUESTED"]
                .contains(&one["status"].as_str().unwrap()),
            "{listed}"
        );
    };
    let payment_id = payment["payment_id"].as_str().unwrap();
    let shown = engine.ask(&["payment", "show", payment_id]);
    let operation = shown["operations"][0].clone();
    assert_eq!(operation["state"], "OPERATION_STATE_SUCCEEDED");
    let operation_id = operation["operation_id"].as_str().unwrap();
    let alone = engine.ask(&["payment", "operation", operation_id]);
    assert_eq!(alone["operation"], operation);
    let resolve =
        ["payment", "resolve", operation_id, "--declined", "lost", "--reason", "asked them"];
    for (verb, reason) in [(&resolve[..], "OPERATION_NOT_STUCK"), (&attempt[..], "NOTHING_TO_PAY")]
    {
        let only = [verb, &["--validate-only"]].concat();
        assert_eq!(engine.refused(1, &only)["reason"], reason);
        assert_eq!(engine.refused(1, verb)["reason"], reason);
    }
    assert_eq!(engine.ask(&["payment", "stuck"])["operations"], json!([]));
    let other = engine.ask(&["payment", "list", "--status", "captured"]);
    assert_eq!(other["payments"], json!([]));
    assert!(engine.stop().success());
    let verified = ordinal(&["--json", "verify", "--data", flags[1]]);
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(verified.status.success(), "{report}");
    let checked = |law: &str| report["checked"][law].as_u64().unwrap();
    assert_eq!((checked("payments_as_planned"), checked("operations_due")), (1, 1), "{report}");
    assert!(checked("money_chain") >= 4, "{report}");
}
