//! What an identifier belongs to, whichever service has it: by gRPC, REST and the command line.

use std::time::Instant;

use order_actor::projections::SearchBy;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::Http;
use crate::nodes::databases;
use crate::paid_orders::{self, on_postgres, on_sqlite};
use crate::payouts::{earned, pay_out, paying_out, until_state};
use crate::return_lists::without_the_list;
use crate::shop::{Orders as _, Shop, TestDatabase, on_both};
use crate::support::{Engine, PATIENCE, free_port, ordinal};

on_both!(
    an_identifier_is_looked_up_whatever_it_is_of,
    what_is_looked_up_follows_corrections_and_the_journal,
    request_ids_are_looked_up_where_they_are_kept,
    no_personal_datum_is_looked_up,
);

const LOOKUP: &str = "admin.v1.AdminService/Lookup";

async fn looked_up(shop: &Shop, id: &str) -> Vec<Value> {
    let answer = shop.ops.call(LOOKUP, json!({ "id": id })).await.unwrap();
    assert_eq!((&answer["or_more"], &answer["away"]), (&json!(false), &json!([])), "{answer}");
    answer["found"].as_array().unwrap().clone()
}

/// Kind, by what it was found, and id of each.
fn brief(found: &[Value]) -> Vec<[&str; 3]> {
    let fields = ["kind", "found_by", "id"];
    found.iter().map(|one| fields.map(|field| one[field].as_str().unwrap())).collect()
}

/// A confirmed order with names of its client's.
async fn named(shop: &Shop) -> String {
    shop.set_stock("MUG", 10).await;
    let mut request = shop.order(&[("MUG", 2)]);
    request["order_number"] = json!("K-1001");
    request["external_id"] = json!("5912/A");
    request["shop"] = json!("uk");
    let placed = shop.ops.orders("PlaceOrder", request).await.unwrap();
    let order = placed["order"]["order_id"].as_str().unwrap().to_owned();
    shop.until(&order, "CONFIRMED").await;
    order
}

async fn shipped(shop: &Shop, order: &str) -> String {
    let parcel = Uuid::now_v7().to_string();
    let request = json!({
        "order_id": order, "shipment_id": parcel, "shipment_reference": "W-1", "carrier": "DHL",
        "tracking": "JD 001",
    });
    shop.service.orders("FulfillOrder", request).await.unwrap();
    parcel
}

/// What the ledger has of the customer: an entry into the wallet, and a hold of a part of it.
async fn in_the_ledger(shop: &Shop) -> (String, String) {
    let (entry, hold) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    let money = |units: i64| json!({ "currency_code": "GBP", "units": units });
    let top_up = json!({ "customer_id": shop.customer, "entry_id": entry, "amount": money(9) });
    shop.service.call("ledger.v1.WalletService/TopUpWallet", top_up).await.unwrap();
    let account = format!("wallet:{}:GBP", shop.customer);
    let reserve = json!({
        "hold_id": hold, "debit": account, "credit": "wallet_funding:GBP", "amount": money(2),
    });
    shop.service.call("ledger.v1.LedgerService/ReserveFunds", reserve).await.unwrap();
    (entry, hold)
}

async fn an_identifier_is_looked_up_whatever_it_is_of(shop: Shop) {
    let order = named(&shop).await;
    let plain = shop.place(&[("MUG", 1)]).await;
    let number = shop.get(&plain).await["order_number"].as_str().unwrap().to_owned();
    let parcel = shipped(&shop, &order).await;
    let back = Uuid::now_v7().to_string();
    let ask = json!({
        "order_id": order, "return_id": back, "lines": [{ "line": 1, "quantity": 1 }],
        "reason": "chipped", "return_reference": "RMA-1",
    });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    let (entry, hold) = in_the_ledger(&shop).await;
    shop.settled().await;
    let of_order = json!({ "order_id": order });
    let method = "notifications.v1.NotificationService/ListNotifications";
    let messages = shop.ops.call(method, of_order).await.unwrap();
    let message = messages["notifications"][0]["notification_id"].as_str().unwrap().to_owned();
    let (upper, typed) = (parcel.to_uppercase(), number.to_lowercase().replace('-', ""));
    let mut commands = Vec::new();
    for (text, kind, by, id, of, name) in [
        (order.as_str(), "ORDER", "ID", &order, &order, "orders/ID"),
        ("K-1001", "ORDER", "ORDER_NUMBER", &order, &order, "orders/ID"),
        (number.as_str(), "ORDER", "ORDER_NUMBER", &plain, &plain, "orders/ID"),
        (typed.as_str(), "ORDER", "ORDER_NUMBER", &plain, &plain, "orders/ID"),
        ("5912/A", "ORDER", "EXTERNAL_ID", &order, &order, "orders/ID"),
        (parcel.as_str(), "SHIPMENT", "ID", &parcel, &order, "orders/ORDER/shipments/ID"),
        (upper.as_str(), "SHIPMENT", "ID", &parcel, &order, "orders/ORDER/shipments/ID"),
        (" W-1 ", "SHIPMENT", "REFERENCE", &parcel, &order, "orders/ORDER/shipments/ID"),
        ("JD 001", "SHIPMENT", "TRACKING_NUMBER", &parcel, &order, "orders/ORDER/shipments/ID"),
        (back.as_str(), "RETURN", "ID", &back, &order, "orders/ORDER/returns/ID"),
        ("RMA-1", "RETURN", "REFERENCE", &back, &order, "orders/ORDER/returns/ID"),
        (message.as_str(), "MESSAGE", "ID", &message, &order, "notifications/ID"),
        (entry.as_str(), "LEDGER_ENTRY", "ID", &entry, &String::new(), "ledger/entries/ID"),
    ] {
        let found = looked_up(&shop, text).await;
        assert_eq!(brief(&found), [[kind, by, id.as_str()]], "{text}");
        assert_eq!(found[0]["order_id"], of.as_str(), "{text}");
        assert_eq!(found[0]["name"], name.replace("ID", id).replace("ORDER", of), "{text}");
        commands.push(found[0]["command"].as_str().unwrap().to_owned());
    }
    let held = looked_up(&shop, &hold).await;
    assert!(brief(&held).contains(&["LEDGER_HOLD", "ID", &hold]), "{held:?}");
    let account = looked_up(&shop, "wallet_funding:GBP").await;
    assert_eq!(brief(&account), [["LEDGER_ACCOUNT", "ID", "wallet_funding:GBP"]]);
    let customer = shop.customer.to_string();
    let both = looked_up(&shop, &customer).await;
    assert_eq!(brief(&both), [["CUSTOMER", "ID", &customer], ["WALLET", "ID", &customer]]);
    // An account whose name merely begins as a wallet's does is none.
    let stranger = Uuid::now_v7().to_string();
    let tips = format!("wallet:{stranger}:tips");
    let open = json!({ "name": tips, "kind": "ACCOUNT_KIND_LIABILITY", "currency_code": "GBP" });
    shop.service.call("ledger.v1.LedgerService/OpenAccount", open).await.unwrap();
    assert_eq!(looked_up(&shop, &stranger).await, Vec::<Value>::new());
    assert_eq!(brief(&looked_up(&shop, &tips).await), [["LEDGER_ACCOUNT", "ID", tips.as_str()]]);
    assert_eq!(looked_up(&shop, &Uuid::now_v7().to_string()).await, Vec::<Value>::new());
    assert_eq!(looked_up(&shop, "nobody's").await, Vec::<Value>::new());

    // The command that an answer names shows the thing.
    let more = [held, account, both].concat();
    commands.extend(more.iter().map(|found| found["command"].as_str().unwrap().to_owned()));
    for command in commands {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        let shown = ordinal(&[&["--address", &shop.address][..], &words].concat());
        assert!(shown.status.success(), "{command}: {}", String::from_utf8_lossy(&shown.stderr));
    }
    let mut http = Http::connect(&shop.address).await;
    let answer = http.call(&format!("GET /v1/lookup?id={parcel}"), &[]).await;
    assert_eq!((answer.status, &answer.json()["found"][0]["kind"]), (200, &json!("SHIPMENT")));
    let shown = ordinal(&["--address", &shop.address, "lookup", "RMA-1"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for text in ["RETURN", "REFERENCE", back.as_str(), order.as_str(), "ordinal order get"] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    let nothing = ordinal(&["--address", &shop.address, "lookup", "nobody's"]);
    assert_eq!(String::from_utf8(nothing.stdout).unwrap(), "nothing has it\n");
    shop.close().await;
}

async fn what_is_looked_up_follows_corrections_and_the_journal(mut shop: Shop) {
    let order = named(&shop).await;
    let parcel = shipped(&shop, &order).await;
    shop.settled().await;
    assert_eq!(looked_up(&shop, "JD 001").await.len(), 1);
    let corrected = json!({ "order_id": order, "shipment_id": parcel, "tracking": "JD 007" });
    shop.service.orders("UpdateShipment", corrected).await.unwrap();
    shop.settled().await;
    let found = async |shop: &Shop| {
        let number = looked_up(shop, "JD 007").await;
        assert_eq!(brief(&number), [["SHIPMENT", "TRACKING_NUMBER", &parcel]]);
        assert_eq!(looked_up(shop, "JD 001").await, Vec::<Value>::new(), "before its correction");
        assert_eq!(looked_up(shop, "5912/A").await.len(), 1);
    };
    found(&shop).await;
    // Whoever reads the file reads no tracking number.
    assert!(shop.database_file("orders.db").is_none_or(|file| !file.contains("JD 007")));
    // An installation from before, and a rebuild.
    shop.stop().await;
    without_the_list(&shop, "order_identifiers", "order-identifiers").await;
    shop.start(|_| ()).await;
    shop.settled().await;
    found(&shop).await;
    let rebuild = json!({ "name": "order-identifiers" });
    let rebuilt = shop.ops.call("admin.v1.AdminService/RebuildReadModel", rebuild).await.unwrap();
    assert!(rebuilt["events"].as_u64().unwrap() >= 4, "{rebuilt}");
    found(&shop).await;
    shop.close().await;
}

async fn request_ids_are_looked_up_where_they_are_kept(mut shop: Shop) {
    let cancelled = async |shop: &Shop| {
        let (order, id) = (shop.place(&[("MUG", 1)]).await, Uuid::now_v7().to_string());
        let request = json!({
            "order_id": order, "reason": "CANCEL_REASON_CUSTOMER_REQUEST",
            "options": { "request_id": id },
        });
        shop.buyer.orders("CancelOrder", request).await.unwrap();
        shop.settled().await;
        (order, id)
    };
    shop.set_stock("MUG", 10).await;
    let (_, before) = cancelled(&shop).await;
    assert_eq!(looked_up(&shop, &before).await, Vec::<Value>::new());
    shop.restart(|settings| settings.search_by = vec![SearchBy::Request]).await;
    let (order, id) = cancelled(&shop).await;
    let found = looked_up(&shop, &id).await;
    assert_eq!(brief(&found), [["REQUEST", "ID", id.as_str()]]);
    assert_eq!(found[0]["command"], format!("ordinal order history {order}"));
    assert_eq!(found[0]["name"], format!("orders/{order}/requests/{id}"));
    // Those from before are found once it was rebuilt.
    let rebuild = json!({ "name": "order-identifiers" });
    shop.ops.call("admin.v1.AdminService/RebuildReadModel", rebuild).await.unwrap();
    for id in [before, id] {
        assert_eq!(brief(&looked_up(&shop, &id).await), [["REQUEST", "ID", id.as_str()]]);
    }
    shop.close().await;
}

async fn no_personal_datum_is_looked_up(shop: Shop) {
    shop.place(&[("MUG", 1)]).await;
    for text in ["customer@example.com", "+442071838750", " ", &"x".repeat(201)] {
        let refused = shop.ops.call(LOOKUP, json!({ "id": text })).await.unwrap_err().to_json();
        assert_eq!(refused["reason"], "INVALID_FIELD", "{refused}");
        assert_eq!(refused["field_violations"][0]["field"], "id", "{refused}");
        assert!(!refused.to_string().contains("example.com"), "{refused}");
    }
    let mut http = Http::connect(&shop.address).await;
    let answer = http.call("GET /v1/lookup?id=customer%40example.com", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_FIELD"), "{answer:?}");
    shop.close().await;
}

#[test]
fn a_payment_is_looked_up_by_the_names_that_its_provider_gave_it() {
    let shop = paid_orders::Shop::open(on_sqlite);
    let order = shop.place("cards");
    shop.attempt(&order, "tok_visa");
    shop.confirmed(&order);
    shop.engine.ask(&["order", "fulfill", &order]);
    let payment = shop.until_payment(&order, "CAPTURED");
    let payment = payment["payment_id"].as_str().unwrap();
    let find = |id: &str| shop.engine.ask(&["lookup", id])["found"].as_array().unwrap().clone();
    assert_eq!(brief(&find(payment)), [["PAYMENT", "ID", payment]]);
    let shown = shop.engine.ask(&["payment", "show", payment]);
    let operations = shown["operations"].as_array().unwrap();
    assert!(operations.len() >= 2, "{shown}");
    for operation in operations {
        let id = operation["operation_id"].as_str().unwrap();
        let found = find(id);
        assert!(brief(&found).contains(&["PAYMENT_OPERATION", "ID", id]), "{found:?}");
        let reference = operation["psp_reference"].as_str().unwrap();
        assert!(!reference.is_empty(), "{operation}");
        let found = find(reference);
        assert_eq!(brief(&found), [["PAYMENT", "PSP_REFERENCE", payment]], "{reference}");
        assert_eq!(found[0]["order_id"], order.as_str());
        assert_eq!(found[0]["command"], format!("ordinal payment show {payment}"));
    }
    shop.close();
}

fn a_payout_is_looked_up_by_its_id_and_what_its_provider_calls_it(shop: paid_orders::Shop) {
    let shop = paying_out(shop);
    let find = |id: &str| shop.engine.ask(&["lookup", id])["found"].as_array().unwrap().clone();
    for seller in ["acme", "bolt"] {
        earned(&shop, seller, 5);
        let paid = until_state(&shop, &pay_out(&shop, seller), "PAID");
        let [id, reference] = ["payout_id", "psp_reference"].map(|it| paid[it].as_str().unwrap());
        // The hold and an entry of it in the ledger have its id.
        let found = find(id);
        assert!(brief(&found).contains(&["PAYOUT", "ID", id]), "{found:?}");
        let found = find(reference);
        assert_eq!(brief(&found), [["PAYOUT", "PSP_REFERENCE", id]], "{reference}");
        assert_eq!(
            (&found[0]["name"], &found[0]["order_id"]),
            (&json!(format!("payouts/{id}")), &json!(""))
        );
        assert_eq!(found[0]["command"], format!("ordinal payout get {id}"));
        assert_eq!(shop.engine.ask(&["payout", "get", id])["payout"]["payout_id"], id);
    }
    shop.close();
}

#[test]
fn a_payout_is_looked_up_on_sqlite() {
    let shop = paid_orders::Shop::open(on_sqlite);
    a_payout_is_looked_up_by_its_id_and_what_its_provider_calls_it(shop);
}

#[test]
fn a_payout_is_looked_up_on_postgres() {
    let (_runtime, [database]) = databases();
    let shop = paid_orders::Shop::open(on_postgres(database.url()));
    a_payout_is_looked_up_by_its_id_and_what_its_provider_calls_it(shop);
}

/// Every process answers what all have, and says which of them is away.
#[test]
fn a_process_that_is_away_is_named_and_the_rest_is_found() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let [orders_at, stock_at, mail_at] = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
    let databases = [(); 2].map(|()| runtime.block_on(TestDatabase::create()));
    let [orders_url, mail_url] = [0, 1].map(|nth: usize| databases[nth].url());
    let folder = tempfile::tempdir().unwrap();
    let http = |address: &str| format!("http://{address}");
    let orders = Engine::start_with(&[
        "--role",
        "orders",
        "--listen",
        &orders_at,
        "--orders-database-url",
        &orders_url,
        "--inventory-at",
        &http(&stock_at),
        "--notifications-at",
        &http(&mail_at),
    ]);
    let messages = Engine::start_with(&[
        "--role",
        "notifications",
        "--listen",
        &mail_at,
        "--notifications-database-url",
        &mail_url,
        "--orders-at",
        &http(&orders_at),
        "--mail-dir",
        folder.path().to_str().unwrap(),
    ]);
    let placed = orders.place(&["MUG=1@10.00GBP"]);
    let order = placed["order"]["order_id"].as_str().unwrap();
    let patience = Instant::now() + PATIENCE;
    let message = loop {
        let listed = messages.ask(&["notification", "list", "--order", order]);
        if let Some(id) = listed["notifications"][0]["notification_id"].as_str() {
            break id.to_owned();
        }
        assert!(Instant::now() < patience, "{listed}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let expected = [["ORDER", "ID", order], ["MESSAGE", "ID", message.as_str()]];
    for engine in [&orders, &messages] {
        for one in expected {
            let answer = engine.ask(&["lookup", one[2]]);
            assert_eq!(brief(answer["found"].as_array().unwrap()), [one], "{answer}");
            // Of stock no process runs.
            assert_eq!(answer["away"], json!(["stock"]));
        }
    }
    drop(messages);
    let answer = orders.ask(&["lookup", order]);
    assert_eq!(brief(answer["found"].as_array().unwrap()), [expected[0]]);
    assert_eq!(answer["away"], json!(["notifications", "stock"]));
    let shown = ordinal(&["--address", &orders.address, "lookup", &message]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("nothing has it"), "{shown}");
    assert!(shown.contains("notifications does not answer: what it has is missing"), "{shown}");
    drop(orders);
    for database in databases {
        runtime.block_on(database.drop());
    }
}
