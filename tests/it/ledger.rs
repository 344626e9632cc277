//! Money, from end to end: accounts, entries, holds and balances by gRPC, REST and the command line.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::Http;
use crate::shop::{Shop, on_both};
use crate::support::{Engine, PATIENCE, ordinal};

on_both!(
    money_moves_by_grpc,
    money_moves_by_http,
    a_key_names_an_entry_of_money_by_http,
    what_would_be_booked_is_said_and_nothing_is_booked,
    every_malformed_field_is_named_and_nothing_is_booked,
    a_hold_expires_by_the_clock,
    of_fifty_holds_at_once_those_stand_that_fit,
    a_hold_that_is_posted_and_voided_at_once_ends_once,
);

impl Shop {
    async fn money(&self, method: &str, request: Value) -> Value {
        let method = format!("ledger.v1.LedgerService/{method}");
        self.service.call(&method, request).await.unwrap()
    }

    async fn no_money(&self, method: &str, request: Value) -> String {
        let method = format!("ledger.v1.LedgerService/{method}");
        self.service.call(&method, request).await.unwrap_err().to_string()
    }

    async fn open_account(&self, name: &str, kind: &str, currency: &str, limit: &str) {
        let request = json!({
            "name": name, "kind": format!("ACCOUNT_KIND_{kind}"), "currency_code": currency,
            "limit": format!("ACCOUNT_LIMIT_{limit}"),
        });
        self.money("OpenAccount", request).await;
    }

    /// A bank, a wallet with 100.00 pounds, a seller.
    async fn wallet(&self) {
        self.open_account("bank", "ASSET", "GBP", "UNSPECIFIED").await;
        self.open_account("wallet:anna", "LIABILITY", "GBP", "DEBITS_WITHIN_CREDITS").await;
        self.open_account("seller:acme", "LIABILITY", "GBP", "UNSPECIFIED").await;
        let legs = json!([transfer("bank", "wallet:anna", 100, 0)]);
        self.money("PostEntry", json!({ "entry_id": Uuid::now_v7(), "legs": legs })).await;
    }

    async fn balance(&self, name: &str, position: u64) -> Value {
        let request = json!({ "name": name, "position": position });
        self.money("GetAccount", request).await["account"]["balance"].take()
    }
}

fn gbp(units: i64, nanos: i64) -> Value {
    json!({ "currency_code": "GBP", "units": units, "nanos": nanos })
}

fn transfer(debit: &str, credit: &str, units: i64, nanos: i64) -> Value {
    json!({ "transfer": { "debit": debit, "credit": credit, "amount": gbp(units, nanos) } })
}

async fn money_moves_by_grpc(shop: Shop) {
    shop.wallet().await;
    let entry_id = Uuid::now_v7();
    let legs = json!([
        transfer("wallet:anna", "seller:acme", 9, 500_000_000),
        transfer("wallet:anna", "bank", 0, 500_000_000)
    ]);
    let request = json!({ "entry_id": entry_id, "legs": legs, "reason": " two for Zoe\u{308} " });
    let booked = shop.money("PostEntry", request.clone()).await;
    assert_eq!(
        (&booked["replayed"], &booked["entry"]["reason"]),
        (&false.into(), &"two for Zo\u{eb}".into())
    );
    let transfers = booked["entry"]["transfers"].as_array().unwrap();
    assert_eq!((&transfers[0]["position"], &transfers[1]["position"]), (&2.into(), &3.into()));
    let again = shop.money("PostEntry", request).await;
    assert_eq!((&again["replayed"], &again["entry"]), (&true.into(), &booked["entry"]));
    let other = json!({ "entry_id": entry_id, "legs": [transfer("bank", "seller:acme", 1, 0)] });
    let refused = shop.no_money("PostEntry", other).await;
    assert!(refused.contains("other content"), "{refused}");

    // A hold counts as spent, is posted in part, and the rest is free.
    let hold_id = Uuid::now_v7();
    let hold = json!({
        "hold_id": hold_id, "debit": "wallet:anna", "credit": "seller:acme", "amount": gbp(80, 0),
    });
    let held = shop.money("ReserveFunds", hold.clone()).await;
    assert_eq!(held["hold"]["state"], "HOLD_STATE_HELD");
    let balance = shop.balance("wallet:anna", 0).await;
    assert_eq!((&balance["posted"], &balance["available"]), (&gbp(90, 0), &gbp(10, 0)));
    let too_much = Uuid::now_v7();
    let legs = json!([transfer("wallet:anna", "bank", 10, 10_000_000)]);
    let request = json!({ "entry_id": too_much, "legs": legs });
    for said in ["wallet:anna has 1000 available, not 1001", "refused before"] {
        let refused = shop.no_money("PostEntry", request.clone()).await;
        assert!(refused.contains(said), "{refused}");
    }
    let kept = shop.money("GetEntry", json!({ "entry_id": too_much })).await;
    assert_eq!(kept["entry"]["refusal"], "INSUFFICIENT_FUNDS");
    let post = json!({ "hold_id": hold_id, "entry_id": Uuid::now_v7(), "amount": gbp(30, 0) });
    for replayed in [false, true] {
        let posted = shop.money("PostHold", post.clone()).await;
        assert_eq!(
            (&posted["replayed"], &posted["hold"]["posted"]),
            (&replayed.into(), &gbp(30, 0))
        );
    }
    let void = json!({ "hold_id": hold_id, "entry_id": Uuid::now_v7() });
    let ended = shop.no_money("VoidHold", void).await;
    assert!(ended.contains("it is POSTED"), "{ended}");
    // Sent again, the reservation shows what became of the hold.
    let replay = shop.money("ReserveFunds", hold).await;
    assert_eq!(
        (&replay["replayed"], &replay["hold"]["state"]),
        (&true.into(), &"HOLD_STATE_POSTED".into())
    );

    assert_eq!(shop.balance("wallet:anna", 0).await["posted"], gbp(60, 0));
    assert_eq!(shop.balance("wallet:anna", 1).await["posted"], gbp(100, 0));
    let listed =
        shop.money("ListEntries", json!({ "account": "seller:acme", "page_size": 2 })).await;
    assert_eq!(listed["entries"].as_array().unwrap().len(), 2);
    let token = &listed["next_page_token"];
    let request = json!({ "account": "seller:acme", "page_size": 2, "page_token": token });
    let rest = shop.money("ListEntries", request).await;
    assert_eq!(rest["entries"][0]["entry_id"], entry_id.to_string().as_str());
    let accounts = shop.money("ListAccounts", json!({ "prefix": "w" })).await;
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 1);
    let ops = shop.ops.call("ledger.v1.LedgerService/ListAccounts", json!({})).await.unwrap();
    assert_eq!(ops["accounts"].as_array().unwrap().len(), 3);
    shop.close().await;
}

async fn money_moves_by_http(shop: Shop) {
    shop.wallet().await;
    let mut http = Http::connect(&shop.address).await;
    let service = [("ordinal-role", "service"), ("ordinal-subject", "checkout")];
    let account = http.call("GET /v1/ledger/accounts/wallet%3Aanna", &service).await;
    assert_eq!(account.status, 200, "{account:?}");
    assert_eq!(account.json()["account"]["balance"]["posted"]["units"], "100");
    let hold_id = Uuid::now_v7();
    let hold = json!({
        "hold_id": hold_id, "debit": "wallet:anna", "credit": "seller:acme",
        "amount": { "currencyCode": "GBP", "units": "25" }, "expires_in": "900s",
    });
    let held = http.json("POST /v1/ledger/holds", &service, &hold).await;
    assert!([200, 201].contains(&held.status), "{held:?}");
    let post = json!({ "entry_id": Uuid::now_v7() });
    let posted = http.json(&format!("POST /v1/ledger/holds/{hold_id}:post"), &service, &post).await;
    assert_eq!(posted.json()["hold"]["state"], "HOLD_STATE_POSTED", "{posted:?}");
    let read = http.call(&format!("GET /v1/ledger/holds/{hold_id}"), &service).await;
    assert_eq!(read.json()["hold"]["posted"]["units"], "25");
    let before = "GET /v1/ledger/accounts/wallet%3Aanna?as_of_time=2000-01-01T00:00:00Z";
    let before = http.call(before, &service).await;
    assert_eq!(before.json()["account"]["balance"]["posted"]["units"], "0", "{before:?}");
    assert!(before.json()["as_of_time"].is_string(), "{before:?}");
    let then = http.call("GET /v1/ledger/accounts/wallet%3Aanna?position=2", &service).await;
    assert!(then.json()["as_of_time"].is_null(), "{then:?}");
    assert_eq!(then.json()["account"]["balance"]["available"]["units"], "75");
    let entries = http.call("GET /v1/ledger/entries?account=seller:acme", &service).await;
    assert_eq!(entries.json()["entries"].as_array().unwrap().len(), 2, "{entries:?}");
    let missing = http.call("GET /v1/ledger/accounts/nobody", &service).await;
    assert_eq!((missing.status, missing.code().as_str()), (404, "NOT_FOUND"));
    let customer =
        [("ordinal-role", "customer"), ("ordinal-subject", "5f5c1b1e-0000-4000-8000-000000000001")];
    let hidden = http.call("GET /v1/ledger/accounts/wallet%3Aanna", &customer).await;
    assert_eq!((hidden.status, hidden.code().as_str()), (403, "FORBIDDEN"));
    shop.close().await;
}

/// Where the proto says so, a key stands for the id that a caller would have made.
async fn a_key_names_an_entry_of_money_by_http(shop: Shop) {
    shop.wallet().await;
    let mut http = Http::connect(&shop.address).await;
    let by = |name: &'static str, key: &'static str| {
        [("ordinal-role", "service"), ("ordinal-subject", name), ("idempotency-key", key)]
    };
    let (post, checkout) = ("POST /v1/ledger/entries", by("checkout", "basket-7"));
    let five = json!({ "legs": [transfer("bank", "wallet:anna", 5, 0)] });
    let booked = http.json(post, &checkout, &five).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let id = booked.json()["entry"]["entry_id"].as_str().unwrap().to_owned();
    let again = http.json(post, &checkout, &five).await;
    assert_eq!((again.status, again.headers["ordinal-replayed"].as_str()), (200, "true"));
    assert_eq!(again.json()["entry"], booked.json()["entry"]);
    let six = json!({ "legs": [transfer("bank", "wallet:anna", 6, 0)] });
    let reused = http.json(post, &checkout, &six).await;
    assert!([409, 422].contains(&reused.status), "{reused:?}");
    // Of another caller it is another entry; a UUID is the id itself, and no second one.
    let other = http.json(post, &by("till", "basket-7"), &six).await;
    assert_eq!(other.status, 201, "{other:?}");
    assert_ne!(other.json()["entry"]["entry_id"], json!(id));
    let uuid = "0a8a5a33-6f0b-4b3a-8c7e-0d9f6c1c2b11";
    let named = http.json(post, &by("checkout", uuid), &five).await;
    assert_eq!(named.json()["entry"]["entry_id"], uuid, "{named:?}");
    let mut two = five.clone();
    two["entry_id"] = json!(id);
    let refused = http.json(post, &by("checkout", uuid), &two).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "INVALID_FIELD"));
    assert_eq!(refused.json()["errors"][0]["field"], "Idempotency-Key");
    // Holds, and what ends them.
    let hold = json!({ "debit": "wallet:anna", "credit": "seller:acme", "amount": gbp(20, 0) });
    let held = http.json("POST /v1/ledger/holds", &by("checkout", "hold-7"), &hold).await;
    assert_eq!(held.status, 201, "{held:?}");
    let hold_id = held.json()["hold"]["hold_id"].as_str().unwrap().to_owned();
    let end = format!("POST /v1/ledger/holds/{hold_id}:post");
    for replayed in [false, true] {
        let posted = http.json(&end, &by("checkout", "post-7"), &json!({})).await;
        assert_eq!(posted.json()["hold"]["state"], "HOLD_STATE_POSTED", "{posted:?}");
        assert_eq!(posted.headers.contains_key("ordinal-replayed"), replayed, "{posted:?}");
    }
    assert_eq!(shop.balance("wallet:anna", 0).await["posted"], gbp(100 + 5 + 6 + 5 - 20, 0));
    // Elsewhere there is no id for a key to stand for.
    let open = json!({ "name": "bank:two", "kind": "ASSET", "currency_code": "GBP" });
    let refused = http.json("POST /v1/ledger/accounts", &checkout, &open).await;
    assert_eq!((refused.status, refused.code().as_str()), (400, "INVALID_FIELD"));
    shop.close().await;
}

async fn what_would_be_booked_is_said_and_nothing_is_booked(shop: Shop) {
    shop.wallet().await;
    let only = |mut request: Value| {
        request["validate_only"] = json!(true);
        request
    };
    let entries = async || shop.money("ListEntries", json!({})).await["entries"].take();
    let before = entries().await;
    // An entry: the answer as it would be, and the id is as new as before.
    let entry_id = Uuid::now_v7();
    let legs = json!([transfer("wallet:anna", "seller:acme", 30, 0)]);
    let entry = json!({ "entry_id": entry_id, "legs": legs });
    for _ in 0..2 {
        let would = shop.money("PostEntry", only(entry.clone())).await;
        assert_eq!(would["replayed"], false, "{would}");
        assert_eq!(would["entry"]["transfers"].as_array().unwrap().len(), 1, "{would}");
    }
    assert_eq!(entries().await, before);
    assert_eq!(shop.balance("wallet:anna", 0).await["posted"], gbp(100, 0));
    let booked = shop.money("PostEntry", entry.clone()).await;
    assert_eq!(booked["replayed"], false, "{booked}");
    assert_eq!(shop.money("PostEntry", only(entry)).await["replayed"], true);
    // A refusal is said, and not kept: the id may be booked once there is money.
    let entry_id = Uuid::now_v7();
    let legs = json!([transfer("wallet:anna", "seller:acme", 90, 0)]);
    let large = json!({ "entry_id": entry_id, "legs": legs });
    let refused = shop.no_money("PostEntry", only(large.clone())).await;
    let legs = json!([transfer("bank", "wallet:anna", 50, 0)]);
    shop.money("PostEntry", json!({ "entry_id": Uuid::now_v7(), "legs": legs })).await;
    assert_eq!(shop.money("PostEntry", large).await["replayed"], false, "{refused}");
    // A hold, what ends one, and an account.
    let hold_id = Uuid::now_v7();
    let hold = json!({
        "hold_id": hold_id, "debit": "wallet:anna", "credit": "seller:acme", "amount": gbp(20, 0),
    });
    let held = shop.money("ReserveFunds", only(hold.clone())).await;
    assert_eq!(held["hold"]["state"], "HOLD_STATE_HELD", "{held}");
    assert!(shop.no_money("GetHold", json!({ "hold_id": hold_id })).await.contains("no hold"));
    shop.money("ReserveFunds", hold).await;
    for (method, state) in [("PostHold", "POSTED"), ("VoidHold", "VOIDED")] {
        let end = json!({ "hold_id": hold_id, "entry_id": Uuid::now_v7() });
        let would = shop.money(method, only(end)).await;
        assert_eq!(would["hold"]["state"], format!("HOLD_STATE_{state}"), "{would}");
        let hold = shop.money("GetHold", json!({ "hold_id": hold_id })).await;
        assert_eq!(hold["hold"]["state"], "HOLD_STATE_HELD", "{hold}");
    }
    let account = json!({
        "name": "bank:two", "kind": "ACCOUNT_KIND_ASSET", "currency_code": "GBP",
    });
    let mut http = Http::connect(&shop.address).await;
    for (query, status) in [("?validate_only=true", 200), ("", 201)] {
        let opened = http.json(&format!("POST /v1/ledger/accounts{query}"), &[], &account).await;
        assert_eq!((opened.status, &opened.json()["replayed"]), (status, &json!(false)));
    }
    let actions = shop.ops.call("admin.v1.AdminService/ListOperatorActions", json!({})).await;
    let actions = actions.unwrap()["actions"].take();
    let two = actions.as_array().unwrap().iter().filter(|one| one["target"] == "bank:two");
    assert_eq!(two.count(), 1, "{actions}");
    shop.close().await;
}

async fn every_malformed_field_is_named_and_nothing_is_booked(shop: Shop) {
    shop.wallet().await;
    let id = || json!(Uuid::now_v7());
    let leg = |field: &str, value: Value| {
        let mut leg = transfer("bank", "wallet:anna", 1, 0);
        leg["transfer"][field] = value;
        json!({ "entry_id": id(), "legs": [transfer("bank", "wallet:anna", 1, 0), leg] })
    };
    let good = || json!([transfer("bank", "wallet:anna", 1, 0)]);
    let reserve = |field: &str, value: Value| {
        let mut request = json!({
            "hold_id": id(), "debit": "bank", "credit": "wallet:anna", "amount": gbp(1, 0),
        });
        request[field] = value;
        request
    };
    let cases = [
        ("PostEntry", json!({ "legs": good() }), "entry_id"),
        ("PostEntry", json!({ "entry_id": "7", "legs": good() }), "entry_id"),
        ("PostEntry", json!({ "entry_id": Uuid::nil(), "legs": good() }), "entry_id"),
        (
            "PostEntry",
            json!({ "entry_id": "00000000-0000-8000-8000-000000000001", "legs": good() }),
            "entry_id",
        ),
        ("PostEntry", json!({ "entry_id": id() }), "legs"),
        ("PostEntry", json!({ "entry_id": id(), "legs": vec![good()[0].clone(); 101] }), "legs"),
        ("PostEntry", json!({ "entry_id": id(), "legs": [{}] }), "legs[0].step"),
        ("PostEntry", json!({ "entry_id": id(), "legs": good(), "reason": "a\nb" }), "reason"),
        ("PostEntry", leg("debit", json!("")), "legs[1].transfer.debit"),
        ("PostEntry", leg("debit", json!("a/b")), "legs[1].transfer.debit"),
        ("PostEntry", leg("credit", json!("bank")), "legs[1].transfer.credit"),
        ("PostEntry", leg("amount", Value::Null), "legs[1].transfer.amount"),
        ("PostEntry", leg("amount", gbp(0, 0)), "legs[1].transfer.amount"),
        ("PostEntry", leg("amount", gbp(-1, 0)), "legs[1].transfer.amount"),
        ("PostEntry", leg("amount", gbp(0, 1)), "legs[1].transfer.amount.nanos"),
        ("PostEntry", leg("amount", gbp(i64::MAX, 0)), "legs[1].transfer.amount.units"),
        (
            "PostEntry",
            leg("amount", json!({ "currency_code": "XXX", "units": 1 })),
            "legs[1].transfer.amount.currency_code",
        ),
        (
            "PostEntry",
            json!({ "entry_id": id(), "legs": [{ "void": { "hold_id": "x" } }] }),
            "legs[0].void.hold_id",
        ),
        ("ReserveFunds", reserve("hold_id", json!("")), "hold_id"),
        ("ReserveFunds", reserve("debit", json!("-")), "debit"),
        ("ReserveFunds", reserve("credit", json!("bank")), "credit"),
        ("ReserveFunds", reserve("amount", gbp(0, 0)), "amount"),
        ("ReserveFunds", reserve("expires_in", json!("0s")), "expires_in"),
        ("ReserveFunds", reserve("expires_in", json!("1.5s")), "expires_in"),
        ("ReserveFunds", reserve("expires_in", json!("400000000s")), "expires_in"),
        ("PostHold", json!({ "hold_id": id() }), "entry_id"),
        ("PostHold", json!({ "hold_id": "", "entry_id": id() }), "hold_id"),
        ("PostHold", json!({ "hold_id": id(), "entry_id": id(), "amount": gbp(0, 0) }), "amount"),
        ("VoidHold", json!({ "hold_id": "x", "entry_id": id() }), "hold_id"),
        ("OpenAccount", json!({ "kind": 1, "currency_code": "GBP" }), "name"),
        ("OpenAccount", json!({ "name": "x", "currency_code": "GBP" }), "kind"),
        ("OpenAccount", json!({ "name": "x", "kind": 1, "currency_code": "gbp" }), "currency_code"),
        (
            "OpenAccount",
            json!({ "name": "x", "kind": 1, "currency_code": "GBP", "limit": 9 }),
            "limit",
        ),
        ("GetAccount", json!({}), "name"),
        (
            "GetAccount",
            json!({ "name": "bank", "position": 1, "as_of_time": "2026-11-29T00:00:00Z" }),
            "as_of_time",
        ),
        ("GetEntry", json!({ "entry_id": "x" }), "entry_id"),
        ("GetHold", json!({ "hold_id": "x" }), "hold_id"),
        ("ListAccounts", json!({ "prefix": " " }), "prefix"),
        ("ListEntries", json!({ "page_size": -1 }), "page_size"),
        ("ListEntries", json!({ "page_token": "x/y" }), "page_token"),
    ];
    for (method, request, field) in cases {
        let refused = shop.no_money(method, request.clone()).await;
        assert!(refused.contains(&format!("{field}: ")), "{method} {request}: {refused}");
    }
    let listed = shop.money("ListEntries", json!({})).await;
    assert_eq!(listed["entries"].as_array().unwrap().len(), 1);
    let accounts = shop.money("ListAccounts", json!({})).await;
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 3);
    shop.close().await;
}

async fn a_hold_expires_by_the_clock(shop: Shop) {
    shop.wallet().await;
    let hold_id = Uuid::now_v7();
    let hold = json!({
        "hold_id": hold_id, "debit": "wallet:anna", "credit": "seller:acme", "amount": gbp(80, 0),
        "expires_in": "900s",
    });
    shop.money("ReserveFunds", hold).await;
    shop.advance(Duration::from_secs(900));
    let legs = json!([transfer("wallet:anna", "bank", 100, 0)]);
    shop.money("PostEntry", json!({ "entry_id": Uuid::now_v7(), "legs": legs })).await;
    let hold = shop.money("GetHold", json!({ "hold_id": hold_id })).await;
    assert_eq!(hold["hold"]["state"], "HOLD_STATE_EXPIRED");
    let entries = shop.money("ListEntries", json!({ "account": "seller:acme" })).await;
    assert_eq!(entries["entries"][0]["asked_by"], "ledger");
    shop.close().await;
}

/// A wallet with 100 pounds, and 50 orders of 20 at the same time.
async fn of_fifty_holds_at_once_those_stand_that_fit(shop: Shop) {
    shop.wallet().await;
    let reserve = |hold_id: Uuid| {
        let hold = json!({
            "hold_id": hold_id, "debit": "wallet:anna", "credit": "seller:acme",
            "amount": gbp(20, 0),
        });
        shop.service.call("ledger.v1.LedgerService/ReserveFunds", hold)
    };
    let ids: Vec<Uuid> = (0..50).map(|_| Uuid::now_v7()).collect();
    // Twice: a repeat is answered as the first time, also where the answer was no.
    for _ in 0..2 {
        let answers = futures::future::join_all(ids.iter().map(|id| reserve(*id))).await;
        let held = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(held, 5, "{answers:?}");
        for failure in answers.into_iter().filter_map(Result::err) {
            assert_eq!(failure.reason(), "INSUFFICIENT_FUNDS");
        }
        let balance = shop.balance("wallet:anna", 0).await;
        assert_eq!((&balance["posted"], &balance["available"]), (&gbp(100, 0), &gbp(0, 0)));
    }
    shop.close().await;
}

fn ended_hold() -> String {
    "HOLD_ENDED".to_owned()
}

/// Whichever comes first counts, and each repeat is answered alike.
async fn a_hold_that_is_posted_and_voided_at_once_ends_once(shop: Shop) {
    shop.wallet().await;
    let mut taken = 0;
    for _ in 0..10 {
        let hold_id = Uuid::now_v7();
        let hold = json!({
            "hold_id": hold_id, "debit": "wallet:anna", "credit": "seller:acme",
            "amount": gbp(7, 0),
        });
        shop.money("ReserveFunds", hold).await;
        let post = json!({ "hold_id": hold_id, "entry_id": Uuid::now_v7(), "amount": gbp(7, 0) });
        let part = json!({ "hold_id": hold_id, "entry_id": Uuid::now_v7(), "amount": gbp(3, 0) });
        let void = json!({ "hold_id": hold_id, "entry_id": Uuid::now_v7() });
        let call = |method: &str, request: &Value| {
            let (method, request) = (format!("ledger.v1.LedgerService/{method}"), request.clone());
            let service = &shop.service;
            async move { service.call(&method, request).await }
        };
        let [first, second] = {
            let all = || async {
                let (post, part, void) = tokio::join!(
                    call("PostHold", &post),
                    call("PostHold", &part),
                    call("VoidHold", &void)
                );
                [post, part, void].map(|answer| answer.map(|it| it["hold"]["posted"].clone()))
            };
            [all().await, all().await]
        };
        let ended: Vec<usize> = (0..3).filter(|nth| first[*nth].is_ok()).collect();
        assert_eq!(ended.len(), 1, "{first:?}");
        for (one, again) in first.iter().zip(&second) {
            match (one, again) {
                (Ok(one), Ok(again)) => assert_eq!(one, again),
                (Err(one), Err(again)) => {
                    assert_eq!((one.reason(), again.reason()), (ended_hold(), ended_hold()));
                }
                other => panic!("{other:?}"),
            }
        }
        taken += [7, 3, 0][ended[0]];
    }
    let balance = shop.balance("wallet:anna", 0).await;
    let left = gbp(100 - taken, 0);
    assert_eq!((&balance["posted"], &balance["available"]), (&left, &left));
    shop.close().await;
}

/// Killed at any instruction while entries are booked, and sent the same again: each is there once.
#[test]
fn money_is_booked_once_though_the_process_is_killed() {
    let directory = tempfile::TempDir::new().unwrap();
    let data = ["--data", directory.path().to_str().unwrap()];
    let engine = Engine::start_with(&data);
    engine.ask(&["ledger", "open", "bank", "--kind", "asset", "--currency", "gbp"]);
    let open = ["ledger", "open", "wallet:1", "--kind", "liability", "--currency", "GBP"];
    let opened = engine.ask(&[&open[..], &["--limit", "debits-within-credits"]].concat());
    assert_eq!(opened["account"]["limit"], "ACCOUNT_LIMIT_DEBITS_WITHIN_CREDITS");
    let ids: Vec<String> = (0..60).map(|_| Uuid::now_v7().to_string()).collect();
    let (answers, answered) = std::sync::mpsc::channel();
    let engine = std::thread::scope(|scope| {
        let address = engine.address.clone();
        let sending = scope.spawn({
            let ids = ids.clone();
            move || {
                let post = |id: &String| {
                    let post = ["ledger", "post", "bank/wallet:1=1.00GBP", "--id", id];
                    let done = ordinal(&[&["--address", &address][..], &post].concat());
                    let done = done.status.success();
                    let _ = done.then(|| answers.send(()));
                    done
                };
                ids.iter().filter(|id| post(id)).count()
            }
        });
        // Amid them: some were answered, and most have not been sent.
        for _ in 0..3 {
            answered.recv_timeout(PATIENCE).unwrap();
        }
        engine.kill();
        let answered = sending.join().unwrap();
        assert!(answered > 0, "it was killed before them");
        assert!(answered < ids.len(), "it was not killed amid them");
        Engine::start_with(&data)
    });
    for id in &ids {
        let booked = engine.ask(&["ledger", "post", "bank/wallet:1=1.00GBP", "--id", id]);
        assert_eq!(booked["entry"]["entry_id"], id.as_str());
    }
    let balance = engine.ask(&["ledger", "balance", "wallet:1"]);
    assert_eq!(balance["account"]["balance"]["posted"], gbp(60, 0));
    let held = engine.ask(&["ledger", "reserve", "wallet:1/bank=10.00GBP", "--expires-in", "15m"]);
    let hold = held["hold"]["hold_id"].as_str().unwrap().to_owned();
    let posted = engine.ask(&["ledger", "post-hold", &hold, "--amount", "4.00GBP"]);
    assert_eq!(posted["hold"]["state"], "HOLD_STATE_POSTED");
    let refused = engine.refused(1, &["ledger", "void-hold", &hold]);
    assert_eq!(refused["reason"], "HOLD_ENDED");
    let refused = engine.refused(1, &["ledger", "post", "wallet:1/bank=56.01GBP"]);
    assert_eq!(refused["reason"], "INSUFFICIENT_FUNDS");
    let listed = engine.ask(&["ledger", "entries", "--account", "wallet:1", "--page-size", "5"]);
    assert_eq!(listed["entries"].as_array().unwrap().len(), 5);
    let entry = engine.ask(&["ledger", "entry", &ids[0]]);
    assert_eq!(entry["entry"]["asked_by"].as_str().unwrap().split(':').next(), Some("ops"));
    engine.ask(&["ledger", "hold", &hold]);
    engine.ask(&["ledger", "accounts", "--prefix", "wallet"]);
    assert!(engine.stop().success());
    let verified = ordinal(&["--json", "verify", "--data", data[1]]);
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert!(verified.status.success(), "{report}");
    assert_eq!(report["checked"]["money_chain"], 62, "{report}");
    assert_eq!(report["checked"]["balances_as_transfers"], 2, "{report}");
}
