//! Returns of all orders in one list: by gRPC, REST and the command line, on both databases.

use std::time::Duration;

use ordinal::client::Client;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::http::Http;
use crate::shop::{On, Orders as _, Shop, on_both};
use crate::support::ordinal;

on_both!(
    returns_of_all_orders_are_listed_by_state_time_and_customer,
    a_list_of_returns_includes_what_its_caller_has_just_done,
    returns_are_listed_over_rest_and_on_the_command_line,
    a_list_from_before_is_read_from_the_journal,
    a_rebuilt_list_of_returns_shows_the_same,
);

const HOUR: Duration = Duration::from_secs(60 * 60);

/// An order of three mugs and two plates at 10.00, shipped.
async fn shipped(shop: &Shop) -> String {
    shop.set_stock("MUG", 10).await;
    shop.set_stock("PLATE", 10).await;
    let order = shop.place(&[("MUG", 3), ("PLATE", 2)]).await;
    shop.until(&order, "CONFIRMED").await;
    shop.service.orders("FulfillOrder", json!({ "order_id": order })).await.unwrap();
    order
}

/// Requests a return of one unit of a line; its id.
async fn requested(shop: &Shop, order: &str, line: u32) -> String {
    let return_id = Uuid::now_v7().to_string();
    let ask = json!({
        "order_id": order, "return_id": return_id, "lines": [{ "line": line, "quantity": 1 }],
        "reason": "chipped", "return_reference": format!("RMA {line}"),
    });
    shop.buyer.orders("RequestReturn", ask).await.unwrap();
    return_id
}

/// Three returns of two orders, an hour apart: the first is approved, the second rejected.
async fn three(shop: &Shop) -> ([String; 2], [String; 3]) {
    let orders = [shipped(shop).await, shipped(shop).await];
    let first = requested(shop, &orders[0], 1).await;
    shop.advance(HOUR);
    let second = requested(shop, &orders[1], 1).await;
    shop.advance(HOUR);
    let third = requested(shop, &orders[0], 2).await;
    let approve = json!({ "order_id": orders[0], "return_id": first, "receive_later": true });
    shop.ops.orders("ApproveReturn", approve).await.unwrap();
    let reject = json!({ "order_id": orders[1], "return_id": second, "reason": "worn" });
    shop.ops.orders("RejectReturn", reject).await.unwrap();
    shop.settled().await;
    (orders, [first, second, third])
}

async fn listed(client: &Client, request: Value) -> Vec<Value> {
    let answer = client.orders("ListReturns", request).await.unwrap();
    answer["returns"].as_array().unwrap().clone()
}

fn ids(returns: &[Value]) -> Vec<&str> {
    returns.iter().map(|known| known["return_id"].as_str().unwrap()).collect()
}

fn states(states: &[&str]) -> Value {
    let states: Vec<String> = states.iter().map(|state| format!("RETURN_STATE_{state}")).collect();
    json!({ "filter": { "states": states } })
}

async fn returns_of_all_orders_are_listed_by_state_time_and_customer(shop: Shop) {
    let (orders, [first, second, third]) = three(&shop).await;
    let all = listed(&shop.ops, json!({})).await;
    assert_eq!(ids(&all), [&first, &second, &third]);
    let at: Vec<&Value> = all.iter().map(|known| &known["requested_at"]).collect();
    for (state, expected) in [("REQUESTED", &third), ("APPROVED", &first), ("REJECTED", &second)] {
        let found = listed(&shop.ops, states(&[state])).await;
        assert_eq!(ids(&found), [expected], "{state}");
        assert_eq!(found[0]["state"], format!("RETURN_STATE_{state}"));
    }
    assert_eq!(listed(&shop.ops, states(&["RECEIVED"])).await, Vec::<Value>::new());
    let waiting = listed(&shop.ops, states(&["APPROVED", "REQUESTED"])).await;
    assert_eq!(ids(&waiting), [&first, &third]);
    assert_eq!(
        (&waiting[0]["refund"]["units"], &waiting[0]["value"]["units"]),
        (&json!(10), &json!(10))
    );
    assert_eq!(waiting[1]["order_id"], orders[0]);
    assert_eq!(waiting[1]["order_number"], shop.get(&orders[0]).await["order_number"]);
    assert_eq!(waiting[1]["lines"], json!([{ "line": 2, "quantity": 1 }]));
    assert_eq!(waiting[1]["return_reference"], "RMA 2");
    // What people wrote is in their orders alone.
    let said = serde_json::to_string(&all).unwrap();
    assert!(!said.contains("chipped") && !said.contains("worn"), "{said}");
    assert!(shop.database_file("orders.db").is_none_or(|file| !file.contains("chipped")));

    // By time, by the other end, and page by page.
    let since = json!({ "filter": { "requested_from": at[1] } });
    assert_eq!(ids(&listed(&shop.ops, since).await), [&second, &third]);
    let until = json!({ "filter": { "requested_until": at[1] } });
    assert_eq!(ids(&listed(&shop.ops, until).await), [&first]);
    for (sort, expected) in [
        ("RETURN_SORT_REQUESTED_ASC", [&first, &second, &third]),
        ("RETURN_SORT_REQUESTED_DESC", [&third, &second, &first]),
        ("RETURN_SORT_JUDGE_BY_ASC", [&first, &second, &third]),
    ] {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = json!({ "sort": sort, "page_size": 1, "page_token": token });
            let answer = shop.ops.orders("ListReturns", page).await.unwrap();
            let returns = answer["returns"].as_array().unwrap();
            found.extend(
                returns.iter().map(|known| known["return_id"].as_str().unwrap().to_owned()),
            );
            token = answer["next_page_token"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                break;
            }
            let other = json!({ "page_token": token, "filter": { "customer_id": shop.customer } });
            assert_eq!(shop.ops.refused("ListReturns", other).await, "INVALID_FIELD");
        }
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{sort}");
    }
    let by_time = json!({
        "sort": "RETURN_SORT_JUDGE_BY_ASC", "filter": { "requested_from": at[1] },
    });
    assert_eq!(shop.ops.refused("ListReturns", by_time).await, "INVALID_FIELD");

    // A customer's own, and nobody else's.
    let of = |customer: &str| json!({ "filter": { "customer_id": customer } });
    let customer = shop.customer.to_string();
    assert_eq!(listed(&shop.ops, of(&customer)).await, all);
    assert_eq!(listed(&shop.service, json!({})).await, all);
    assert_eq!(listed(&shop.buyer, json!({})).await, all);
    assert_eq!(ids(&listed(&shop.buyer, states(&["REJECTED"])).await), [&second]);
    let nobody = Uuid::now_v7().to_string();
    assert_eq!(listed(&shop.ops, of(&nobody)).await, Vec::<Value>::new());
    let stranger = shop.as_caller("customer", &nobody).await;
    assert_eq!(listed(&stranger, json!({})).await, Vec::<Value>::new());
    assert_eq!(stranger.refused("ListReturns", of(&customer)).await, "FORBIDDEN");

    // What is received is listed with what was paid for it.
    let receive = json!({ "order_id": orders[0], "return_id": first });
    shop.ops.orders("ReceiveReturn", receive).await.unwrap();
    shop.settled().await;
    let received = listed(&shop.ops, states(&["RECEIVED"])).await;
    assert_eq!(
        (ids(&received), &received[0]["refund"]["units"]),
        (vec![first.as_str()], &json!(10))
    );
    assert_eq!(received[0]["value"], Value::Null);
    shop.close().await;
}

async fn a_list_of_returns_includes_what_its_caller_has_just_done(shop: Shop) {
    let order = shipped(&shop).await;
    for line in [1, 2] {
        let ask = json!({
            "order_id": order, "lines": [{ "line": line, "quantity": 1 }], "reason": "chipped",
        });
        let asked = shop.buyer.orders("RequestReturn", ask).await.unwrap();
        // A customer's position is another number, and means the same.
        let own = json!({ "at_least": asked["position"] });
        assert_eq!(listed(&shop.buyer, own).await.len(), usize::try_from(line).unwrap());
    }
    shop.close().await;
}

async fn returns_are_listed_over_rest_and_on_the_command_line(shop: Shop) {
    let (_, [first, second, third]) = three(&shop).await;
    let mut http = Http::connect(&shop.address).await;
    let path =
        "/v1/returns?filter.states=RETURN_STATE_REQUESTED&filter.states=RETURN_STATE_REJECTED";
    let answer = http.call(&format!("GET {path}"), &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let returns = answer.json()["returns"].as_array().unwrap().clone();
    assert_eq!(ids(&returns), [&second, &third]);
    let answer =
        http.call("GET /v1/returns?page_size=1&sort=RETURN_SORT_REQUESTED_DESC", &[]).await;
    assert_eq!(ids(answer.json()["returns"].as_array().unwrap()), [&third]);
    let token = answer.json()["next_page_token"].as_str().unwrap().to_owned();
    let next =
        format!("GET /v1/returns?page_size=1&sort=RETURN_SORT_REQUESTED_DESC&page_token={token}");
    let answer = http.call(&next, &[]).await;
    assert_eq!(ids(answer.json()["returns"].as_array().unwrap()), [&second]);
    let wrong = http.call("GET /v1/returns?filter.state=RETURN_STATE_REQUESTED", &[]).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");

    let cli = |arguments: &[&str]| {
        let output = ordinal(&[&["--address", &shop.address, "--json"], arguments].concat());
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{shown}{}", String::from_utf8_lossy(&output.stderr));
        let shown: Value = serde_json::from_str(&shown).unwrap();
        shown["returns"].as_array().unwrap().clone()
    };
    // Those that wait, unless states are named.
    assert_eq!(ids(&cli(&["return", "list"])), [&first, &third]);
    assert_eq!(ids(&cli(&["return", "list", "--state", "rejected"])), [&second]);
    let since = returns[1]["requested_at"].as_str().unwrap();
    assert_eq!(ids(&cli(&["return", "list", "--requested-from", since])), [&third]);
    let newest = ["return", "list", "--sort", "REQUESTED_DESC", "--page-size", "1"];
    assert_eq!(ids(&cli(&newest)), [&third]);
    let customer = Uuid::now_v7().to_string();
    assert_eq!(cli(&["return", "list", "--customer", &customer]), Vec::<Value>::new());
    let shown = ordinal(&["--address", &shop.address, "return", "list"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for text in [first.as_str(), third.as_str(), "APPROVED", "1 x line 2", "10.00 GBP", "RMA 1"] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    assert!(!shown.contains(&second), "{shown}");
    shop.close().await;
}

/// Leaves the tables of orders as an earlier version did, which had no such list.
pub async fn without_the_list(shop: &Shop, table: &str, follower: &str) {
    let sql = &format!("DELETE FROM {table}; DELETE FROM cursors WHERE follower = '{follower}'");
    match shop.is_on() {
        On::Sqlite => {
            let options = SqliteConnectOptions::new().filename(shop.data().join("orders.db"));
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        On::Postgres => {
            let mut connection = PgConnection::connect(&shop.url()).await.unwrap();
            connection.execute("SET search_path TO orders").await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
}

async fn a_list_from_before_is_read_from_the_journal(mut shop: Shop) {
    three(&shop).await;
    let before = listed(&shop.ops, json!({})).await;
    shop.stop().await;
    without_the_list(&shop, "order_returns", "order-returns").await;
    shop.start(|_| ()).await;
    shop.settled().await;
    assert_eq!(listed(&shop.ops, json!({})).await, before);
    shop.close().await;
}

async fn a_rebuilt_list_of_returns_shows_the_same(shop: Shop) {
    three(&shop).await;
    let before = listed(&shop.ops, json!({})).await;
    assert_eq!(before.len(), 3);
    let rebuild = json!({ "name": "order-returns" });
    let rebuilt = shop.ops.call("admin.v1.AdminService/RebuildReadModel", rebuild).await.unwrap();
    assert!(rebuilt["events"].as_u64().unwrap() >= 11, "{rebuilt}");
    assert_eq!(listed(&shop.ops, json!({})).await, before);
    // The follower goes on in the new table.
    let (order, known) = (&before[2]["order_id"], &before[2]["return_id"]);
    let reject = json!({ "order_id": order, "return_id": known, "reason": "worn" });
    shop.ops.orders("RejectReturn", reject).await.unwrap();
    shop.settled().await;
    assert_eq!(listed(&shop.ops, states(&["REJECTED"])).await.len(), 2);
    shop.close().await;
}
