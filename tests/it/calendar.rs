//! Every value that can be written can be read, to the ends of the calendar.

use std::collections::BTreeSet;

use serde_json::json;

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::ordinal;

on_both!(instants_at_the_ends_of_the_calendar_are_kept_and_found);

async fn instants_at_the_ends_of_the_calendar_are_kept_and_found(mut shop: Shop) {
    shop.set_stock("MUG", 100).await;
    let instants =
        ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9998-12-31T23:59:59.999999Z"];
    let mut orders = Vec::new();
    for instant in instants {
        let mut order = shop.order(&[("MUG", 1)]);
        order["ordered_at"] = json!(instant);
        let placed = shop.buyer.orders("PlaceOrder", order.clone()).await.unwrap();
        let order_id = order["order_id"].as_str().unwrap().to_owned();
        shop.until(&order_id, "CONFIRMED").await;
        // Repeating the request is still a repetition.
        shop.buyer.orders("PlaceOrder", order).await.unwrap();
        orders.push((order_id, placed["order"]["ordered_at"].clone()));
    }
    // The value that means "no end" is no time of an order.
    for instant in [
        "9999-01-01T00:00:00Z",
        "9999-12-30T21:59:59.999999Z",
        "9999-12-30T22:00:00Z",
        "9999-12-30T22:00:00.999999Z",
        "9999-12-31T23:59:59.999999Z",
    ] {
        let mut order = shop.order(&[("MUG", 1)]);
        order["ordered_at"] = json!(instant);
        let failure = shop.buyer.orders("PlaceOrder", order).await.unwrap_err().to_json();
        assert_eq!(failure["reason"], "INVALID_FIELD", "{instant}: {failure}");
        let words = "ordered_at: an instant of the years 1 to 9998";
        assert!(failure["message"].as_str().unwrap().starts_with(words), "{failure}");
    }
    // Read back from the journal by a process without them in memory.
    shop.restart(|_| ()).await;
    for (order_id, ordered_at) in &orders {
        assert_eq!(shop.get(order_id).await["ordered_at"], *ordered_at);
    }
    shop.settled().await;
    let open_end = json!({
        "filter": { "placed_from": "0001-01-01T00:00:00Z", "placed_until": "9999-12-31T23:59:59Z" },
    });
    let listed = shop.ops.orders("ListOrders", open_end).await.unwrap();
    assert_eq!(listed["orders"].as_array().unwrap().len(), orders.len());
    let end = json!({ "order_id": orders[0].0, "time": "9999-12-31T23:59:59.999999999Z" });
    shop.ops.orders("GetOrder", end).await.unwrap();
    shop.close().await;
}

#[test]
fn windows_beyond_the_calendar_are_refused_at_the_start() {
    let data = tempfile::TempDir::new().unwrap();
    let help = String::from_utf8(ordinal(&["serve", "--help"]).stdout).unwrap();
    let taken = help.split_whitespace().zip(help.split_whitespace().skip(1));
    let flags = taken.filter(|(_, value)| *value == "<DURATION>").map(|(flag, _)| flag);
    let flags = flags.filter(|flag| flag.starts_with("--") && *flag != "--timeout");
    let flags: BTreeSet<&str> = flags.collect();
    // Those after which a process is dead, and those of a cache, are shorter.
    let of_a_day = ["--lease", "--lease-renew", "--lease-self-stop", "--stock-cache-for"];
    let known = ["--confirm-within", "--mail-retry-for", "--webhook-retry-for", "--redis-keep-for"];
    assert!(known.iter().chain(&of_a_day).all(|flag| flags.contains(flag)), "{flags:?}");
    for flag in flags {
        let output = ordinal(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data",
            data.path().to_str().unwrap(),
            flag,
            "10000years",
        ]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{flag}");
        let most = if of_a_day.contains(&flag) { "at most 1day" } else { "at most 36500 days" };
        assert!(error.contains(flag) && error.contains(most), "{flag}: {error}");
        let soon = ordinal(&["serve", "--data", data.path().to_str().unwrap(), flag, "soon"]);
        let error = String::from_utf8_lossy(&soon.stderr);
        assert_eq!(soon.status.code(), Some(2), "{flag}");
        assert!(error.contains("is not a duration such as 30s, 15m or 3days"), "{flag}: {error}");
    }
}
