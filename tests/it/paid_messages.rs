//! What customers and operators hear of money: through a mail server and a webhook, of a whole engine
//! that is killed before it has told anything.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::messages::receiver;
use crate::nodes::databases;
use crate::paid_orders::{Shop, lawful, on_postgres, on_sqlite};
use crate::smtp::{SmtpServer, url as smtp};
use crate::support::{free_port, write_private};
use crate::told_orders::{block_on, simulate, until};

const DAY: u64 = 86_400;

/// Kinds of the mails about an order, in order, once this many are delivered.
fn mails(shop: &Shop, order: &str, count: usize) -> Vec<String> {
    let list = ["notification", "list", "--order", order, "--channel", "email"];
    let listed = || shop.engine.ask(&list)["notifications"].as_array().unwrap().clone();
    until("sent", || {
        let all = listed();
        let sent = |one: &Value| one["state"] == "NOTIFICATION_STATE_DELIVERED";
        all.len() >= count && all.iter().all(sent)
    });
    listed().iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
}

/// Pays with this token, ships, and gets a mug back.
fn returned(shop: &Shop, token: &str) -> String {
    let order = shop.place("cards");
    shop.attempt(&order, token);
    shop.confirmed(&order);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_payment(&order, "CAPTURED");
    shop.engine.ask(&["return", "request", &order, "--line", "1=1", "--reason", "chipped"]);
    shop.engine.ask(&["return", "approve", &order]);
    order
}

fn refund_is(shop: &Shop, order: &str, state: &str) {
    let state = format!("REFUND_STATE_{state}");
    shop.until(order, &state, |order| order["payment"]["refunds"][0]["state"] == state.as_str());
}

fn money_is_told(stored: impl FnOnce(&TempDir) -> Vec<String>) {
    let (there, port) = (TempDir::new().unwrap(), free_port());
    let maildir = there.path().join("box");
    let server = block_on(SmtpServer::start(port, &maildir));
    let (hook, called) = receiver(&[]);
    let secret = there.path().join("secret");
    write_private(&secret, "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
    let mut place = Vec::new();
    let (mail, secret) = (smtp(port), secret.display().to_string());
    let flags = |folder: &TempDir| {
        place = stored(folder);
        let more = ["--smtp-url", &mail, "--webhook-url", &hook, "--webhook-secret-file", &secret];
        [place.clone(), more.map(str::to_owned).to_vec()].concat()
    };
    let mut shop = Shop::told(flags, Some("doubled=500"));

    // Paid, and the engine dies before anybody is told. Then the customer is told once.
    let follower = ["follower", "pause", "notifications", "--reason", "a test"];
    shop.engine.ask(&follower);
    let order = shop.place("cards");
    shop.attempt(&order, "tok_refund_fails_later");
    shop.confirmed(&order);
    shop = shop.killed();
    shop.engine.ask(&["follower", "resume", "notifications"]);
    assert_eq!(mails(&shop, &order, 3), ["RECEIVED", "PAID", "CONFIRMED"]);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_payment(&order, "CAPTURED");
    shop.engine.ask(&["return", "request", &order, "--line", "1=1", "--reason", "chipped"]);
    shop.engine.ask(&["return", "approve", &order]);
    refund_is(&shop, &order, "SETTLED");
    let told =
        ["RECEIVED", "PAID", "CONFIRMED", "SHIPPED", "RETURN_RECEIVED", "REFUND", "REFUNDED"];
    assert_eq!(mails(&shop, &order, 7), told);
    // It comes back days later: operators are told, and the customer is told nothing else.
    simulate(&shop, "POST /_sim/clock", &json!({ "advance_seconds": 6 * DAY }));
    refund_is(&shop, &order, "FAILED");
    assert_eq!(mails(&shop, &order, 8), [&told[..], &["REFUND_FAILED"]].concat());

    // A refund that the provider works on is not told as paid.
    let order = returned(&shop, "tok_refund_pending");
    until("worked on", || {
        let payment = shop.payments(&order)[0]["payment_id"].as_str().unwrap().to_owned();
        let shown = shop.engine.ask(&["payment", "show", &payment]);
        let operations = shown["operations"].as_array().unwrap().clone();
        operations.iter().any(|one| {
            one["kind"] == "OPERATION_KIND_REFUND" && one["state"] == "OPERATION_STATE_PENDING"
        })
    });
    assert_eq!(mails(&shop, &order, 6), told[..6]);
    simulate(&shop, "POST /_sim/clock", &json!({ "advance_seconds": 600 }));
    refund_is(&shop, &order, "SETTLED");
    assert_eq!(mails(&shop, &order, 7), told);

    // Nobody's money was to be had.
    let order = shop.place("cards");
    shop.asks_for_money(&order);
    for nth in 1..=5 {
        shop.attempt(&order, "tok_decline_insufficient_funds");
        shop.until_payment(&order, if nth == 5 { "FAILED" } else { "DECLINED" });
    }
    assert_eq!(mails(&shop, &order, 2), ["RECEIVED", "PAYMENT_FAILED"]);

    let sent = std::fs::read_dir(maildir.join("new")).unwrap().count();
    assert_eq!(sent, 8 + 7 + 2);
    until("told by webhooks", || {
        let all = called.lock().unwrap();
        let count = |kind: &str| {
            let kind = format!("\"type\":\"{kind}\"");
            all.iter().filter(|(_, body)| body.contains(&kind)).count()
        };
        let money = ["order.payment.secured.v1", "order.refund.settled.v1"].map(count);
        (money, count("order.refund.failed.v1")) == ([2, 2], 1)
    });
    assert!(shop.engine.stop().success());
    lawful(&place);
    drop(server);
}

#[test]
fn customers_are_told_of_their_money_once_on_sqlite() {
    money_is_told(on_sqlite);
}

#[test]
fn customers_are_told_of_their_money_once_on_postgres() {
    let (_runtime, [database]) = databases();
    money_is_told(on_postgres(database.url()));
}
