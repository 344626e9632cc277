//! Returns as they happen, through gRPC and the command line against a whole engine, on both
//! backends. After each test every law must hold.

use std::time::Duration;

use ordinal::access::Access;
use ordinal::client::{Client, Connection};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::{PATIENCE, ordinal};

on_both!(
    a_return_of_the_first_parcel_while_the_second_is_open,
    why_more_than_the_value_is_paid_back_is_for_staff,
    units_of_a_return_with_outcomes_of_their_own,
    a_return_judged_first_and_received_later,
    returns_received_later_by_the_setting,
    several_returns_with_a_reminder_each,
    a_return_by_the_number_of_the_warehouse,
    goods_exchanged_for_a_new_order,
    the_returns_desk_receives_and_does_nothing_else,
    a_stream_of_commands_for_returns,
);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn units(line: u32, quantity: u32) -> Value {
    json!([{ "line": line, "quantity": quantity }])
}

fn outcome(line: u32, quantity: u32, outcome: &str) -> Value {
    json!({ "line": line, "quantity": quantity, "outcome": format!("UNIT_OUTCOME_{outcome}") })
}

fn state(known: &Value) -> &str {
    known["state"].as_str().unwrap_or_default().trim_start_matches("RETURN_STATE_")
}

/// An order of three mugs and two plates at 10.00, confirmed.
async fn confirmed(shop: &Shop) -> String {
    shop.set_stock("MUG", 10).await;
    shop.set_stock("PLATE", 10).await;
    let order = shop.place(&[("MUG", 3), ("PLATE", 2)]).await;
    shop.until(&order, "CONFIRMED").await;
    order
}

async fn shipped(shop: &Shop) -> String {
    let order = confirmed(shop).await;
    shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    order
}

async fn a_return_of_the_first_parcel_while_the_second_is_open(shop: Shop) {
    let order = confirmed(&shop).await;
    let ask = json!({ "order_id": order, "lines": units(1, 2), "reason": "chipped" });
    assert_eq!(shop.buyer.refused("RequestReturn", ask.clone()).await, "INVALID_TRANSITION");
    let parcel = json!({ "order_id": order, "lines": units(1, 2) });
    shop.service.orders("FulfillOrder", parcel).await.unwrap();
    // Its window has no end while units are open.
    shop.advance(60 * DAY);
    let asked = shop.buyer.orders("RequestReturn", ask).await.unwrap()["order"].take();
    assert_eq!(asked["status"], "ORDER_STATUS_CONFIRMED");
    assert_eq!(asked["pending_returns"].as_array().unwrap().len(), 1);
    assert_eq!(asked["pending_return"], asked["pending_returns"][0]);
    assert_eq!(state(&asked["pending_return"]), "REQUESTED");
    shop.settled().await;
    let waiting =
        || shop.ops.orders("ListOrders", json!({ "filter": { "returns_waiting": true } }));
    assert_eq!(waiting().await.unwrap()["orders"][0]["order_id"], order);
    let version = asked["version"].as_u64().unwrap();
    let cancel = json!({ "order_id": order, "lines": units(2, 1) });
    shop.buyer.orders("CancelOrder", cancel).await.unwrap();
    let shipped = shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    assert_eq!(shipped["order"]["status"], "ORDER_STATUS_RETURN_REQUESTED");
    let approved = shop.ops.orders("ApproveReturn", json!({ "order_id": order })).await.unwrap();
    assert_eq!(approved["order"]["status"], "ORDER_STATUS_FULFILLED");
    assert_eq!(approved["order"]["refunded"]["units"], 20);
    assert_eq!(state(&approved["order"]["judged_returns"][0]), "RECEIVED");
    // As it was when the return was requested.
    let then = json!({ "order_id": order, "version": version });
    let then = shop.ops.orders("GetOrder", then).await.unwrap()["order"].take();
    assert_eq!(then["pending_returns"], asked["pending_returns"]);
    assert_eq!(then["lines"], asked["lines"]);
    let diff = json!({ "order_id": order, "from_version": version - 1, "to_version": version });
    let diff = shop.ops.call("orders.v1.JournalService/DiffOrder", diff).await.unwrap();
    let paths: Vec<&str> =
        diff["changes"].as_array().unwrap().iter().filter_map(|one| one["path"].as_str()).collect();
    for path in ["pending_return.return_id", "pending_return.lines[0]", "lines[1].in_return"] {
        assert!(paths.contains(&path), "{path} is not among {paths:?}");
    }
    shop.settled().await;
    assert_eq!(waiting().await.unwrap()["orders"], json!([]));
    assert_eq!(shop.stock("MUG").await, (9, 0));
    assert_eq!(shop.stock("PLATE").await, (9, 0));
    let expected = [
        "RECEIVED",
        "CONFIRMED",
        "PARCEL_SHIPPED",
        "RETURN_RECEIVED",
        "LINES_CANCELLED",
        "SHIPPED",
        "REFUND",
    ];
    assert_eq!(shop.message_kinds(&order).await, expected);
    shop.close().await;
}

async fn why_more_than_the_value_is_paid_back_is_for_staff(shop: Shop) {
    let history = "orders.v1.JournalService/ListOrderEvents";
    for receive_later in [false, true] {
        let order = shipped(&shop).await;
        let ask = json!({ "order_id": order, "lines": units(1, 1), "reason": "chipped" });
        shop.buyer.orders("RequestReturn", ask).await.unwrap();
        let approve = json!({
            "order_id": order, "refund": { "currency_code": "GBP", "units": 12 },
            "refund_reason": "he was angry", "receive_later": receive_later,
        });
        shop.ops.orders("ApproveReturn", approve).await.unwrap();
        let all = json!({ "order_id": order, "page_size": 10 });
        let seen = shop.buyer.call(history, all.clone()).await.unwrap().to_string();
        assert!(seen.contains("chipped") && !seen.contains("he was angry"), "{seen}");
        let seen = shop.ops.call(history, all).await.unwrap().to_string();
        assert!(seen.contains("he was angry"), "{seen}");
        if receive_later {
            let receive = json!({ "order_id": order });
            shop.ops.orders("ReceiveReturn", receive).await.unwrap();
        }
    }
    shop.settled().await;
    shop.close().await;
}

async fn units_of_a_return_with_outcomes_of_their_own(shop: Shop) {
    let order = shipped(&shop).await;
    let ask = json!({
        "order_id": order, "reason": "chipped",
        "lines": [{ "line": 1, "quantity": 3 }, { "line": 2, "quantity": 2 }],
    });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    let split = json!([
        outcome(1, 1, "RESTOCK"),
        outcome(1, 1, "WRITE_OFF"),
        outcome(1, 1, "NOT_ARRIVED"),
        outcome(2, 1, "REJECTED"),
        outcome(2, 1, "RESTOCK"),
    ]);
    let judge = json!({ "order_id": order, "outcomes": split });
    assert_eq!(shop.ops.refused("ApproveReturn", judge.clone()).await, "INVALID_RETURN_LINES");
    let mut judge = judge;
    judge["rejected_reason"] = json!("used");
    let mut short = judge.clone();
    short["outcomes"].as_array_mut().unwrap().remove(0);
    let failure = shop.ops.orders("ApproveReturn", short).await.unwrap_err();
    assert!(failure.to_string().contains("outcomes[0].quantity"), "{failure}");
    let judged = shop.ops.orders("ApproveReturn", judge).await.unwrap()["order"].take();
    assert_eq!(judged["status"], "ORDER_STATUS_FULFILLED");
    // Three units came back.
    assert_eq!(judged["refunded"]["units"], 30);
    let known = &judged["judged_returns"][0];
    assert_eq!((state(known), known["rejected_reason"].as_str()), ("RECEIVED", Some("used")));
    assert_eq!(known["outcomes"].as_array().unwrap().len(), 5);
    let counts = |line: usize| {
        let line = &judged["lines"][line];
        ["fulfilled", "in_return", "returned"].map(|field| line[field].as_u64().unwrap())
    };
    assert_eq!([counts(0), counts(1)], [[3, 0, 2], [2, 0, 1]]);
    // The kept units may be asked for again.
    let again = json!({ "order_id": order, "lines": units(1, 1), "reason": "it came after all" });
    shop.buyer.orders("RequestReturn", again).await.unwrap();
    let nothing = json!({ "order_id": order, "outcomes": [outcome(1, 1, "NOT_ARRIVED")] });
    assert_eq!(shop.ops.refused("ApproveReturn", nothing).await, "INVALID_RETURN_LINES");
    let reject = json!({ "order_id": order, "reason": "never came" });
    shop.ops.orders("RejectReturn", reject).await.unwrap();
    shop.settled().await;
    // Of three mugs one is on the shelf again, of two plates one.
    assert_eq!(shop.stock("MUG").await, (8, 0));
    assert_eq!(shop.stock("PLATE").await, (9, 0));
    let method = "orders.v1.JournalService/ListOrderEvents";
    let events =
        shop.ops.call(method, json!({ "order_id": order, "page_size": 10 })).await.unwrap();
    let approved = &events["events"][4]["event"]["return_approved"];
    assert_eq!(approved["kept"].as_array().unwrap().len(), 2);
    shop.close().await;
}

async fn a_return_judged_first_and_received_later(shop: Shop) {
    let order = shipped(&shop).await;
    let ask = json!({ "order_id": order, "lines": units(1, 3), "reason": "too small" });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    let receive = json!({ "order_id": order });
    assert_eq!(shop.ops.refused("ReceiveReturn", receive.clone()).await, "RETURN_NOT_APPROVED");
    let judge = json!({
        "order_id": order, "receive_later": true,
        "outcomes": [outcome(1, 1, "REJECTED")], "rejected_reason": "used",
    });
    let judged = shop.ops.orders("ApproveReturn", judge).await.unwrap()["order"].take();
    assert_eq!(judged["status"], "ORDER_STATUS_RETURN_REQUESTED");
    let known = judged["pending_return"].clone();
    assert_eq!(state(&known), "APPROVED");
    assert_eq!(known["approved_lines"], units(1, 2));
    assert_eq!(known["approved_refund"]["units"], 20);
    assert_eq!(judged["lines"][0]["in_return"], 2);
    assert_eq!(judged["refunded"]["units"].as_i64().unwrap_or_default(), 0);
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (7, 0));
    // An approved return has no reminder.
    shop.advance(10 * DAY);
    shop.settled().await;
    let receive = json!({
        "order_id": order, "return_id": known["return_id"],
        "outcomes": [outcome(1, 1, "RESTOCK"), outcome(1, 1, "NOT_ARRIVED")],
    });
    assert_eq!(shop.service.refused("ReceiveReturn", receive.clone()).await, "FORBIDDEN");
    assert_eq!(shop.buyer.refused("ReceiveReturn", receive.clone()).await, "FORBIDDEN");
    let received = shop.ops.orders("ReceiveReturn", receive.clone()).await.unwrap();
    assert_eq!(received["order"]["status"], "ORDER_STATUS_FULFILLED");
    assert_eq!(received["order"]["refunded"]["units"], 10);
    let again = shop.ops.orders("ReceiveReturn", receive).await.unwrap();
    assert_eq!(again["events"], json!([]));
    let other = json!({ "order_id": order, "return_id": known["return_id"] });
    assert_eq!(shop.ops.refused("ReceiveReturn", other).await, "ALREADY_EXISTS");
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (8, 0));
    let kinds = shop.message_kinds(&order).await;
    assert_eq!(kinds[3..], ["RETURN_RECEIVED", "RETURN_APPROVED", "REFUND"], "{kinds:?}");
    let events = shop.events(&order).await;
    assert_eq!(events[3..], ["ReturnRequested", "ReturnAuthorized", "ReturnReceived"]);
    shop.close().await;
}

async fn returns_received_later_by_the_setting(mut shop: Shop) {
    shop.restart(|settings| settings.policy.receive_later = true).await;
    let order = shipped(&shop).await;
    let ask = |line| json!({ "order_id": order, "lines": units(line, 1), "reason": "chipped" });
    shop.buyer.orders("RequestReturn", ask(1)).await.unwrap();
    let plain = json!({ "order_id": order });
    let approved = shop.ops.orders("ApproveReturn", plain.clone()).await.unwrap();
    assert_eq!(state(&approved["order"]["pending_returns"][0]), "APPROVED");
    assert_eq!(approved["order"]["refunded"]["units"], 0);
    let both = json!({ "order_id": order, "receive_later": true, "receive_at_once": true });
    let refused = shop.ops.orders("ApproveReturn", both).await.unwrap_err();
    assert!(refused.to_string().contains("receive_at_once"), "{refused}");
    let received = shop.ops.orders("ReceiveReturn", plain).await.unwrap();
    assert_eq!(received["order"]["refunded"]["units"], 10);
    shop.buyer.orders("RequestReturn", ask(2)).await.unwrap();
    let address = shop.address.as_str();
    let flags = ["--address", address, "--as", "ops:anna", "return", "approve", order.as_str()];
    let output = ordinal(&[&flags[..], &["--receive-at-once"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let order = shop.get(&order).await;
    assert_eq!(order["refunded"]["units"], 20);
    assert_eq!(state(&order["judged_returns"][1]), "RECEIVED");
    shop.settled().await;
    shop.close().await;
}

async fn several_returns_with_a_reminder_each(shop: Shop) {
    let order = shipped(&shop).await;
    let ask = |line, reason: &str| json!({ "order_id": order, "lines": units(line, 1), "reason": reason });
    shop.buyer.orders("RequestReturn", ask(1, "chipped")).await.unwrap();
    shop.advance(DAY);
    let two = shop.buyer.orders("RequestReturn", ask(2, "too small")).await.unwrap();
    let waiting = two["order"]["pending_returns"].as_array().unwrap().clone();
    assert_eq!(waiting.len(), 2);
    let unnamed = json!({ "order_id": order });
    assert_eq!(shop.ops.refused("ApproveReturn", unnamed).await, "RETURN_ID_REQUIRED");
    let reminders = async |expected: usize| {
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let events = shop.events(&order).await;
            if events.iter().filter(|name| *name == "ReturnEscalated").count() == expected {
                return;
            }
            assert!(tokio::time::Instant::now() < patience, "{events:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    shop.settled().await;
    shop.advance(2 * DAY);
    reminders(1).await;
    shop.settled().await;
    shop.advance(DAY);
    reminders(2).await;
    let order_now = shop.get(&order).await;
    assert!(
        order_now["pending_returns"].as_array().unwrap().iter().all(|one| one["escalated"] == true)
    );
    for (index, method) in [(1, "ApproveReturn"), (0, "RejectReturn")] {
        let judge = json!({
            "order_id": order, "return_id": waiting[index]["return_id"],
        });
        let mut judge = judge;
        if method == "RejectReturn" {
            judge["reason"] = json!("worn");
        }
        shop.ops.orders(method, judge).await.unwrap();
    }
    assert_eq!(shop.get(&order).await["status"], "ORDER_STATUS_FULFILLED");
    shop.settled().await;
    let kinds = shop.message_kinds(&order).await;
    assert_eq!(kinds.iter().filter(|kind| *kind == "RETURN_OVERDUE").count(), 2, "{kinds:?}");
    shop.close().await;
}

async fn a_return_by_the_number_of_the_warehouse(shop: Shop) {
    let order = shipped(&shop).await;
    let cli = |arguments: &[&str]| {
        let output = ordinal(&[&["--address", &shop.address, "--json"], arguments].concat());
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str::<Value>(&shown).unwrap()
    };
    let request = ["return", "request", &order, "--line", "1=2", "--reason", "chipped"];
    let first = cli(&[&request[..], &["--reference", "RMA 7"]].concat());
    // Again it is the same return, without any id.
    let again = cli(&[&request[..], &["--reference", "RMA 7"]].concat());
    assert_eq!(again["events"], json!([]));
    assert_eq!(again["order"]["pending_returns"], first["order"]["pending_returns"]);
    let known = &first["order"]["pending_return"];
    assert_eq!(known["return_reference"], "RMA 7");
    cli(&["return", "request", &order, "--line", "2=1", "--reason", "odd", "--reference", "RMA 8"]);
    shop.settled().await;
    let listed = cli(&["return", "list"]);
    let listed = listed["returns"].as_array().unwrap();
    let mut references: Vec<&Value> =
        listed.iter().map(|known| &known["return_reference"]).collect();
    references.sort_by_key(|text| text.to_string());
    assert_eq!(references, [&json!("RMA 7"), &json!("RMA 8")]);
    assert!(listed.iter().all(|known| known["order_id"] == json!(order)), "{listed:?}");
    cli(&["return", "approve", &order, "--reference", "RMA 7", "--receive-later"]);
    let received = cli(&[
        "return",
        "receive",
        &order,
        "--reference",
        "RMA 7",
        "--outcome",
        "1=1:RESTOCK",
        "--outcome",
        "1=1:WRITE_OFF",
    ]);
    assert_eq!(state(&received["order"]["judged_returns"][0]), "RECEIVED");
    let rejected = cli(&["return", "reject", &order, "--reference", "RMA 8", "--reason", "worn"]);
    assert_eq!(rejected["order"]["status"], "ORDER_STATUS_FULFILLED");
    let shown = ordinal(&["--address", &shop.address, "order", "get", &order]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for text in ["RMA 7", "RMA 8", "RECEIVED", "1 x line 1 WRITE_OFF", "worn"] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    let unknown = json!({ "order_id": order, "return_reference": "RMA 9", "reason": "worn" });
    assert_eq!(shop.ops.refused("RejectReturn", unknown).await, "INVALID_TRANSITION");
    shop.settled().await;
    assert_eq!(shop.stock("MUG").await, (8, 0));
    shop.close().await;
}

async fn goods_exchanged_for_a_new_order(shop: Shop) {
    let order = shipped(&shop).await;
    let (new, return_id) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    let ask = json!({
        "order_id": order, "return_id": return_id, "lines": units(1, 1), "reason": "too small",
        "exchange_order_id": new,
    });
    let asked = shop.buyer.orders("RequestReturn", ask).await.unwrap();
    assert_eq!(asked["order"]["pending_return"]["exchange_order_id"], json!(new));
    let mut request = shop.order(&[("MUG", 1)]);
    request["order_id"] = json!(new);
    request["exchange_of"] = json!({ "order_id": order, "return_id": return_id });
    let placed = shop.buyer.orders("PlaceOrder", request.clone()).await.unwrap();
    assert_eq!(placed["order"]["exchange_of"], request["exchange_of"]);
    request.as_object_mut().unwrap().remove("exchange_of");
    assert_eq!(shop.buyer.refused("PlaceOrder", request).await, "ALREADY_EXISTS");
    shop.until(&new, "CONFIRMED").await;
    shop.ops.orders("ApproveReturn", json!({ "order_id": order })).await.unwrap();
    let judged = shop.get(&order).await;
    assert_eq!(judged["judged_returns"][0]["exchange_order_id"], json!(new));
    let shown = ordinal(&["--address", &shop.address, "order", "get", &new]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(&format!("{order}/{return_id}")), "{shown}");
    shop.close().await;
}

async fn the_returns_desk_receives_and_does_nothing_else(mut shop: Shop) {
    let order = shipped(&shop).await;
    let ask = json!({ "order_id": order, "lines": units(1, 1), "reason": "chipped" });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    let judge = json!({ "order_id": order, "receive_later": true });
    shop.ops.orders("ApproveReturn", judge).await.unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tokens.toml");
    let token = |name: &str| format!("{name}-token-of-a-test-of-enough-characters");
    let line = |name: &str, role: &str, more: &str| {
        let token = token(name);
        format!(
            "[[tokens]]\ntoken = \"{token}\"\nrole = \"{role}\"\nsubject = \"{name}\"\n{more}\n"
        )
    };
    let desk = line("desk", "SERVICE", "scopes = [\"returns\"]");
    std::fs::write(&path, [&desk[..], &line("anna", "OPS", "")].concat()).unwrap();
    shop.restart(|settings| settings.access = Access::from_file(&path).unwrap()).await;
    let connect = async |name: &str| {
        let connection = Connection {
            address: Some(shop.address.clone()),
            caller: None,
            token: Some(token(name)),
            ca: None,
            cert: None,
            cert_key: None,
            timeout: Duration::from_secs(30),
        };
        Client::connect(&connection).await.unwrap()
    };
    let desk = connect("desk").await;
    let one = json!({ "order_id": order });
    assert_eq!(desk.orders("GetOrder", one.clone()).await.unwrap()["order"]["order_id"], order);
    for (method, request) in [
        ("PlaceOrder", json!({})),
        ("FulfillOrder", one.clone()),
        ("CancelOrder", one.clone()),
        ("ApproveReturn", one.clone()),
    ] {
        assert_eq!(desk.refused(method, request).await, "FORBIDDEN", "{method}");
    }
    let stock = json!({ "sku": "MUG" });
    let stock = desk.call("inventory.v1.InventoryService/GetStock", stock).await.unwrap_err();
    assert_eq!(stock.reason(), "FORBIDDEN");
    let received = desk.orders("ReceiveReturn", one.clone()).await.unwrap();
    assert_eq!(received["order"]["status"], "ORDER_STATUS_FULFILLED");
    // The history says who it was.
    let anna = connect("anna").await;
    let method = "orders.v1.JournalService/ListOrderEvents";
    let events = anna.call(method, json!({ "order_id": order, "page_size": 10 })).await.unwrap();
    let last = events["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (last["role"].as_str(), last["subject"].as_str()),
        (Some("ROLE_SERVICE"), Some("desk"))
    );
    for wrong in [
        line("desk", "SERVICE", "scopes = [\"stock\"]"),
        line("anna", "OPS", "scopes = [\"returns\"]"),
    ] {
        std::fs::write(&path, wrong).unwrap();
        let error = Access::from_file(&path).unwrap_err().to_string();
        assert!(error.contains("scope"), "{error}");
    }
    shop.restart(|settings| settings.access = Access::development()).await;
    shop.close().await;
}

async fn a_stream_of_commands_for_returns(shop: Shop) {
    use order_actor::grpc::proto;
    use order_actor::grpc::proto::execute_commands_request::Command;
    use order_actor::grpc::proto::order_service_client::OrderServiceClient;
    let order = shipped(&shop).await;
    let mut client = OrderServiceClient::connect(shop.address.clone()).await.unwrap();
    let line = proto::LineUnits { line: 1, quantity: 1 };
    let commands = [
        Command::RequestReturn(proto::RequestReturnRequest {
            order_id: order.clone(),
            lines: vec![line],
            reason: "chipped".to_owned(),
            return_reference: "RMA 1".to_owned(),
            ..proto::RequestReturnRequest::default()
        }),
        Command::ApproveReturn(proto::ApproveReturnRequest {
            order_id: order.clone(),
            return_reference: "RMA 1".to_owned(),
            receive_later: true,
            ..proto::ApproveReturnRequest::default()
        }),
        Command::ReceiveReturn(proto::ReceiveReturnRequest {
            order_id: order.clone(),
            return_reference: "RMA 1".to_owned(),
            ..proto::ReceiveReturnRequest::default()
        }),
    ];
    let requests = (1_u64..).zip(commands).map(|(tag, command)| proto::ExecuteCommandsRequest {
        tag,
        brief: false,
        command: Some(command),
    });
    let requests: Vec<_> = requests.collect();
    let stream = futures::stream::iter(requests);
    let mut answers = client.execute_commands(stream).await.unwrap().into_inner();
    for tag in 1..=3 {
        let answer = answers.message().await.unwrap().unwrap();
        let done =
            matches!(answer.outcome, Some(proto::execute_commands_response::Outcome::Done(_)));
        assert!(answer.tag == tag && done, "{answer:?}");
    }
    assert_eq!(shop.get(&order).await["refunded"]["units"], 10);
    shop.close().await;
}
