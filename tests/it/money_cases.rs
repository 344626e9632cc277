//! Failure cases of money from public threads, through a whole engine and a provider of its own, on
//! both databases. `docs/money-cases.md` has all of them, and the tests of those that are elsewhere.

use serde_json::{Value, json};

use crate::history::until_caught_up;
use crate::http::Http;
use crate::nodes::databases;
use crate::paid_orders::{NEW, Shop, lawful, on_postgres, on_sqlite};
use crate::support::{PostgresServer, placing};
use crate::told_orders::{DOOR, block_on, send, simulate, until, webhooks};

const HOUR: u64 = 3_600;

/// What happens in a case, one after the other.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The customer pays with this token.
    Pays(&'static str),
    /// Time passes at the provider, in hours.
    Hours(u64),
    /// The shop sends this.
    Sends(&'static [&'static str]),
    /// The shop sends this, and it is refused.
    Refused(&'static [&'static str], &'static str),
    /// The provider says once more that the first attempt failed.
    TellsOfTheFirst,
    /// The payment becomes this.
    Payment(&'static str),
    /// The order becomes this.
    Order(&'static str),
    /// The payment of the order becomes this.
    Money(&'static str),
    /// What a cancelled order held is back.
    Compensated,
}

use Step::{Compensated, Hours, Money, Order, Payment, Pays, Refused, Sends, TellsOfTheFirst};

struct Case {
    /// Its number in the page.
    number: u32,
    plan: &'static str,
    steps: &'static [Step],
    /// What of it the provider has reserved, given back, taken and paid back in the end.
    book: [i64; 4],
}

const CANCEL: Step = Sends(&["order", "cancel"]);
const FULFIL: Step = Sends(&["order", "fulfill"]);

const CASES: &[Case] = &[
    // The decline of an attempt is told again, after another one succeeded.
    Case {
        number: 10,
        plan: "cards",
        steps: &[
            Pays("tok_decline_insufficient_funds"),
            Payment("DECLINED"),
            Pays("tok_visa"),
            Order("CONFIRMED"),
            TellsOfTheFirst,
            Payment("AUTHORIZED"),
            Money("SECURED"),
            CANCEL,
            Payment("VOIDED"),
            Compensated,
        ],
        book: [2_000, 2_000, 0, 0],
    },
    // An attempt that was declined succeeds after all, while it is wanted.
    Case {
        number: 11,
        plan: "cards",
        steps: &[
            Pays("tok_late_success"),
            Payment("DECLINED"),
            Hours(3),
            Order("CONFIRMED"),
            Payment("AUTHORIZED"),
            CANCEL,
            Payment("VOIDED"),
            Compensated,
        ],
        book: [2_000, 2_000, 0, 0],
    },
    // The same, after the order was cancelled.
    Case {
        number: 12,
        plan: "cards",
        steps: &[
            Pays("tok_late_success"),
            Payment("DECLINED"),
            CANCEL,
            Compensated,
            Hours(3),
            Payment("VOIDED"),
            Order("CANCELLED"),
            Compensated,
        ],
        book: [2_000, 2_000, 0, 0],
    },
    // The issuer takes back what it authorised.
    Case {
        number: 14,
        plan: "cards",
        steps: &[
            Pays("tok_reversed"),
            Order("CONFIRMED"),
            Hours(2),
            Money("LOST"),
            Refused(&["order", "fulfill"], "PAYMENT_NOT_SECURED"),
            CANCEL,
            Order("CANCELLED"),
        ],
        book: [2_000, 2_000, 0, 0],
    },
    // Cancelled before anything was taken, and shipped all the same.
    Case {
        number: 16,
        plan: "cards",
        steps: &[
            Pays("tok_visa"),
            Order("CONFIRMED"),
            CANCEL,
            Payment("VOIDED"),
            Refused(&["order", "fulfill"], "INVALID_TRANSITION"),
            Compensated,
        ],
        book: [2_000, 2_000, 0, 0],
    },
    // Cancelled after all of it was taken: it is paid back, and not voided.
    Case {
        number: 17,
        plan: "cards,capture=ON_CONFIRM",
        steps: &[
            Pays("tok_visa"),
            Order("CONFIRMED"),
            Payment("CAPTURED"),
            CANCEL,
            Payment("REFUNDED"),
            Compensated,
        ],
        book: [2_000, 0, 2_000, 2_000],
    },
    // Two parcels, of which the answer to the first is lost.
    Case {
        number: 18,
        plan: "cards",
        steps: &[
            Pays("tok_capture_timeout_after"),
            Order("CONFIRMED"),
            Sends(&["order", "fulfill", "--line", "1=1"]),
            Payment("PARTIALLY_CAPTURED"),
            FULFIL,
            Payment("CAPTURED"),
        ],
        book: [2_000, 0, 2_000, 0],
    },
    // One parcel, and the rest is cancelled.
    Case {
        number: 19,
        plan: "cards",
        steps: &[
            Pays("tok_visa"),
            Order("CONFIRMED"),
            Sends(&["order", "fulfill", "--line", "1=1"]),
            Payment("PARTIALLY_CAPTURED"),
            Sends(&["order", "cancel", "--line", "1=1"]),
            Order("FULFILLED"),
            Payment("CAPTURED"),
        ],
        book: [2_000, 1_000, 1_000, 0],
    },
    // Half of it is authorised, and then another currency.
    Case {
        number: 30,
        plan: "cards",
        steps: &[
            Pays("tok_partial"),
            Payment("VOIDED"),
            Order("PENDING"),
            Pays("tok_visa"),
            Order("CONFIRMED"),
            CANCEL,
            Compensated,
        ],
        book: [3_000, 3_000, 0, 0],
    },
];

/// Goes through a case with an order of two mugs.
fn goes(shop: &Shop, case: &Case) {
    let before = sums(shop);
    let order = shop.place(case.plan);
    shop.asks_for_money(&order);
    for step in case.steps {
        let what = format!("case {}: {step:?}", case.number);
        take(shop, &order, *step, &what);
    }
    let expected = |nth: usize| before[nth] + case.book[nth];
    let is_so = || sums(shop).iter().enumerate().all(|(nth, sum)| *sum == expected(nth));
    until(&format!("case {}: as in the provider's book", case.number), is_so);
}

fn take(shop: &Shop, order: &str, step: Step, what: &str) {
    let named = |arguments: &[&'static str]| {
        let (verb, rest) = arguments.split_at(2);
        [verb, &[order][..], rest].concat().iter().map(|&one| one.to_owned()).collect::<Vec<_>>()
    };
    match step {
        Pays(token) => drop(shop.attempt(order, token)),
        Hours(hours) => {
            simulate(shop, "POST /_sim/clock", &json!({ "advance_seconds": hours * HOUR }));
        }
        Sends(arguments) => {
            let all = named(arguments);
            shop.engine.ask(&all.iter().map(String::as_str).collect::<Vec<_>>());
        }
        Refused(arguments, reason) => {
            let all = named(arguments);
            let refused =
                shop.engine.refused(1, &all.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(refused["reason"], reason, "{what}");
        }
        TellsOfTheFirst => tell_of_the_first(shop, order),
        Payment(status) => drop(shop.until_payment(order, status)),
        Order(status) => {
            let status = format!("ORDER_STATUS_{status}");
            shop.until(order, what, |order| order["status"] == status.as_str());
        }
        Money(status) => {
            let status = format!("PAYMENT_STATUS_{status}");
            shop.until(order, what, |order| order["payment"]["status"] == status.as_str());
        }
        Compensated => {
            let done = |order: &Value| order["payment"]["compensation"] == "COMPENSATION_DONE";
            shop.until(order, what, done);
        }
    }
}

/// Reserved, given back, taken, paid back: of all payments in the provider's book.
fn sums(shop: &Shop) -> [i64; 4] {
    let book = shop.provider.book();
    let all = book["payments"].as_array().unwrap();
    ["authorized", "released", "captured", "refunded"]
        .map(|word| all.iter().map(|one| one[word].as_i64().unwrap()).sum())
}

fn tell_of_the_first(shop: &Shop, order: &str) {
    let payment = shop.payments(order)[0]["payment_id"].as_str().unwrap().to_owned();
    let shown = shop.engine.ask(&["payment", "show", &payment]);
    let first = &shown["operations"][0];
    assert_eq!(first["state"], "OPERATION_STATE_DECLINED", "{shown}");
    let body = json!({ "id": "evt_again", "type": "payment_intent.payment_failed",
                       "data": { "object": {
        "id": "pi_of_the_first", "object": "payment_intent",
        "last_payment_error": { "decline_code": "insufficient_funds" },
        "metadata": { "ordinal": first["operation_id"] },
    } } });
    assert_eq!(send(shop, DOOR, NEW, &body.to_string()).status, 200);
    until("heard again", || {
        let all = webhooks(shop, "all");
        let told = all.iter().find(|one| one["event_id"] == "evt_again");
        told.is_some_and(|one| one["state"] == "WEBHOOK_STATE_HANDLED")
    });
}

/// Webhooks come twice as often as not.
const DOUBLED: Option<&str> = Some("doubled=500");

fn all_cases(shop: Shop) {
    for case in CASES {
        goes(&shop, case);
    }
    shop.close();
}

#[test]
fn cases_of_money_end_as_they_must_on_sqlite() {
    all_cases(Shop::told(on_sqlite, DOUBLED));
}

#[test]
fn cases_of_money_end_as_they_must_on_postgres() {
    let (_runtime, [database]) = databases();
    all_cases(Shop::told(on_postgres(database.url()), DOUBLED));
}

/// Cases 27, 28 and 31: what a provider is asked for, to the unit, or not at all.
fn asks_for_exact_amounts_or_nobody(shop: Shop) {
    let place = |line: &str| {
        let mut order = placing(&[line]);
        order.extend(["--payment", "cards"]);
        shop.engine.ask(&order)["order"]["order_id"].as_str().unwrap().to_owned()
    };
    let of = |currency: &str| -> Vec<i64> {
        let book = shop.provider.book();
        let all = book["payments"].as_array().unwrap().iter();
        let all = all.filter(|one| one["currency"] == currency);
        all.map(|one| one["authorized"].as_i64().unwrap()).collect()
    };
    for (line, currency, minor) in
        [("MUG=1@10000JPY", "JPY", 10_000), ("MUG=1@35.200KWD", "KWD", 35_200)]
    {
        let order = place(line);
        shop.attempt(&order, "tok_visa");
        let order = shop.confirmed(&order);
        assert_eq!(of(currency), [minor], "{line}");
        assert_eq!(order["total"]["currency_code"], currency);
    }
    // Stripe takes dinars in steps of ten: nobody is asked for less or more.
    let order = place("MUG=1@35.205KWD");
    shop.attempt(&order, "tok_visa");
    shop.until_payment(&order, "DECLINED");
    let payment = shop.payments(&order)[0]["payment_id"].as_str().unwrap().to_owned();
    let shown = shop.engine.ask(&["payment", "show", &payment]);
    assert_eq!(shown["operations"][0]["code"], "amount_not_expressible", "{shown}");
    // Stock runs out before the order: no call was ever made for it.
    let order = place("MUG=99@10.00GBP");
    shop.attempt(&order, "tok_visa");
    let gone = shop.until(&order, "cancelled", |order| order["status"] == "ORDER_STATUS_CANCELLED");
    assert_eq!(gone["cancel_reason"], "CANCEL_REASON_INSUFFICIENT_STOCK");
    until_caught_up(&shop.engine);
    assert_eq!((of("KWD").len(), of("GBP").len()), (1, 0), "{}", shop.provider.book());
    let Shop { folder, engine, stored, .. } = shop;
    assert!(engine.stop().success());
    lawful(&stored);
    drop(folder);
}

#[test]
fn a_provider_is_asked_for_exact_amounts_or_not_at_all_on_sqlite() {
    asks_for_exact_amounts_or_nobody(Shop::open(on_sqlite));
}

#[test]
fn a_provider_is_asked_for_exact_amounts_or_not_at_all_on_postgres() {
    let (_runtime, [database]) = databases();
    asks_for_exact_amounts_or_nobody(Shop::open(on_postgres(database.url())));
}

/// Case 3: somebody takes all of it at the provider, at the moment at which the order is confirmed.
fn takes_it_elsewhere(shop: Shop) {
    let order = shop.place("cards,capture=ON_CONFIRM");
    shop.engine.ask(&["follower", "pause", "money-answers", "--reason", "a test"]);
    shop.attempt(&order, "tok_visa");
    shop.until_payment(&order, "AUTHORIZED");
    let taken = shop.provider.book()["payments"][0]["payment"].as_str().unwrap().to_owned();
    let by = [
        ("authorization", "Bearer a_person"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let captured = block_on(async {
        let mut http = Http::connect(&shop.provider.address).await;
        let line = format!("POST /v1/payment_intents/{taken}/capture");
        http.text(&line, &by, "amount_to_capture=2000").await
    });
    assert_eq!(captured.status, 200, "{captured:?}");
    shop.until_payment(&order, "CAPTURED");
    shop.engine.ask(&["follower", "resume", "money-answers"]);
    shop.confirmed(&order);
    until_caught_up(&shop.engine);
    assert_eq!(sums(&shop), [2_000, 0, 2_000, 0]);
    shop.engine.ask(&["order", "fulfill", &order]);
    shop.until_balance("sales:GBP", 2_000);
    shop.close();
}

#[test]
fn what_was_taken_elsewhere_is_not_taken_again_on_sqlite() {
    takes_it_elsewhere(Shop::told(on_sqlite, DOUBLED));
}

#[test]
fn what_was_taken_elsewhere_is_not_taken_again_on_postgres() {
    let (_runtime, [database]) = databases();
    takes_it_elsewhere(Shop::told(on_postgres(database.url()), DOUBLED));
}

/// Case 34: the database is away. The provider is told so, and sends again.
#[test]
fn a_webhook_that_cannot_be_stored_is_answered_503_and_taken_later() {
    let server = PostgresServer::start();
    let shop = Shop::told(on_postgres(server.url()), Some("dropped=1000"));
    let body = |id: &str| {
        json!({ "id": id, "type": "refund.updated", "data": { "object": {
            "id": "re_1", "object": "refund", "amount": 500, "currency": "gbp",
            "status": "succeeded", "payment_intent": "pi_1", "metadata": {},
        } } })
        .to_string()
    };
    assert_eq!(send(&shop, DOOR, NEW, &body("evt_1")).status, 200);
    server.crash();
    let away = send(&shop, DOOR, NEW, &body("evt_2"));
    assert_eq!(away.status, 503, "{away:?}");
    server.again();
    until("stored", || send(&shop, DOOR, NEW, &body("evt_2")).status == 200);
    until("both are there", || {
        let shown = shop.engine.run(&["payment", "webhooks", "--state", "all"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        shown["webhooks"].as_array().is_some_and(|all| all.len() == 2)
    });
}
