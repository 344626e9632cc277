//! Paid orders that the journal lost when it was restored to an earlier state. What is reserved for
//! them is given back, what was taken waits for a person, and `verify` names what is not settled.

use serde_json::{Value, json};

use crate::history::{doubt, until_caught_up};
use crate::http::Http;
use crate::older_journal::OlderJournal;
use crate::paid_orders::{Shop, gbp};
use crate::support::{ordinal, placing, until};

/// What `verify` finds: law and subject.
pub fn findings(shop: &Shop) -> Vec<(String, String)> {
    let mut verify = vec!["--json", "verify"];
    verify.extend(shop.stored.iter().map(String::as_str));
    let report: Value = serde_json::from_slice(&ordinal(&verify).stdout).unwrap();
    let word = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let found = report["findings"].as_array().unwrap().iter();
    found.map(|one| (word(one, "law"), word(one, "subject"))).collect()
}

/// Operations that wait for a person.
fn stuck(shop: &Shop) -> Vec<Value> {
    shop.engine.ask(&["payment", "stuck"])["operations"].as_array().unwrap().clone()
}

/// A person pays back at the provider what it took with this reservation; returns its name there.
fn paid_back(shop: &Shop, reservation: &str) -> String {
    let body = format!("payment_intent={reservation}");
    let headers = [
        ("authorization", "Bearer a_person"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut http = Http::connect(&shop.provider.address).await;
        http.text("POST /v1/refunds", &headers, &body).await
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// A shop whose journal is restored to before three of its orders: one is reserved, of two the money
/// was taken.
struct Restored {
    shop: Shop,
    kept: String,
    reserved: String,
    taken: [String; 2],
}

impl Restored {
    fn of(shop: Shop, journal: &OlderJournal) -> Self {
        let kept = shop.place("cards");
        shop.attempt(&kept, "tok_visa");
        shop.confirmed(&kept);
        until_caught_up(&shop.engine);
        let shop = shop.stopped(|shop| journal.keep(shop));
        let reserved = shop.place("cards");
        shop.attempt(&reserved, "tok_visa");
        shop.confirmed(&reserved);
        let taken = [(); 2].map(|()| {
            let order = shop.place("cards,capture=ON_CONFIRM,ship=CAPTURED");
            shop.attempt(&order, "tok_visa");
            shop.until_payment(&order, "CAPTURED");
            order
        });
        until_caught_up(&shop.engine);
        let shop = shop.stopped(|shop| journal.restore(shop));
        until("the journal is doubted", || !doubt(&shop.engine).is_empty());
        Self { shop, kept, reserved, taken }
    }

    fn accepted(self) -> Self {
        self.shop.engine.ask(&["journal", "restored", "--reason", "a drill"]);
        until_caught_up(&self.shop.engine);
        self
    }
}

fn money_of_lost_orders_is_set_right(restored: Restored) {
    // Before an operator has accepted that they are gone, nothing happens to their money.
    assert_eq!(restored.shop.until_payment(&restored.reserved, "AUTHORIZED")["captured"], gbp(0));
    assert!(stuck(&restored.shop).is_empty());
    let named: Vec<String> = findings(&restored.shop)
        .into_iter()
        .filter(|(law, _)| law == "money_as_goods")
        .map(|(_, subject)| subject)
        .collect();
    for order in restored.taken.iter().chain([&restored.reserved]) {
        assert!(named.contains(&format!("order/{order}")), "{named:?}");
    }

    let Restored { shop, kept, reserved, taken } = restored.accepted();
    shop.until_payment(&reserved, "VOIDED");
    until("what was taken waits for a person", || stuck(&shop).len() == 2);
    let health = || shop.engine.ask(&["health"]).to_string();
    until("health says so", || health().contains("ordinal payment stuck"));
    let waiting = stuck(&shop);
    for one in &waiting {
        assert_eq!(one["kind"], "OPERATION_KIND_REFUND");
        assert_eq!((&one["code"], &one["calls"]), (&json!("order_vanished"), &json!(0)), "{one}");
        let order = one["order_id"].as_str().unwrap();
        assert!(taken.iter().any(|taken| taken == order), "{one}");
        assert_eq!(shop.until_payment(order, "CAPTURED")["refunded"], gbp(0));
    }
    assert_eq!(shop.until_payment(&kept, "AUTHORIZED")["captured"], gbp(0));
    let mut named = findings(&shop);
    named.sort();
    let mut expected =
        taken.clone().map(|order| ("money_as_goods".to_owned(), format!("order/{order}")));
    expected.sort();
    assert_eq!(named, expected);

    // A person pays one back, and keeps what was taken for the other: its goods had left.
    let (back, stays) = (&waiting[0], &waiting[1]);
    let id = |one: &Value| one["operation_id"].as_str().unwrap().to_owned();
    let shown = shop.engine.ask(&["payment", "show", back["payment_id"].as_str().unwrap()]);
    let operations = shown["operations"].as_array().unwrap();
    let reservation = operations.iter().find(|one| one["kind"] == "OPERATION_KIND_AUTHORIZE");
    let refund = paid_back(&shop, reservation.unwrap()["psp_reference"].as_str().unwrap());
    let why = ["--reason", "asked the customer"];
    let succeeded = id(back);
    let resolve = ["payment", "resolve", succeeded.as_str(), "--succeeded", refund.as_str()];
    shop.engine.ask(&[&resolve[..], &why].concat());
    let declined = id(stays);
    let resolve = ["payment", "resolve", declined.as_str(), "--declined", "order_kept"];
    shop.engine.ask(&[&resolve[..], &why].concat());
    let of = |one: &Value| one["order_id"].as_str().unwrap().to_owned();
    assert_eq!(shop.until_payment(&of(back), "REFUNDED")["refunded"], gbp(20));
    assert_eq!(shop.until_payment(&of(stays), "CAPTURED")["refunded"], gbp(0));
    until_caught_up(&shop.engine);
    shop.until_balance("customer_held:GBP", 2_000);

    // The shop sends another one again, under its id: it is a new one.
    let mut again = placing(&["MUG=1@10.00GBP"]);
    again.extend(["--payment", "cards", "--id", &reserved]);
    shop.engine.ask(&again);
    shop.asks_for_money(&reserved);
    until("payments have heard that it asks", || {
        let all = shop.payments(&reserved);
        all[0]["wanted"] == gbp(10)
    });
    shop.attempt(&reserved, "tok_visa");
    shop.confirmed(&reserved);
    shop.engine.ask(&["order", "fulfill", &reserved]);
    assert_eq!(shop.until_payment(&reserved, "CAPTURED")["captured"], gbp(10));
    let letters = shop.engine.ask(&["dead-letter", "list"]);
    assert!(letters["dead_letters"].as_array().is_none_or(Vec::is_empty), "{letters}");
    shop.close();
}

#[test]
fn money_of_lost_orders_is_set_right_on_sqlite() {
    let (shop, journal) = OlderJournal::on_sqlite();
    money_of_lost_orders_is_set_right(Restored::of(shop, &journal));
}

#[test]
fn money_of_lost_orders_is_set_right_on_postgres() {
    let (shop, journal) = OlderJournal::on_postgres("--orders-database-url", "");
    money_of_lost_orders_is_set_right(Restored::of(shop, &journal));
}
