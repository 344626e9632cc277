//! Orders as shops have them: discounts, taxes, charges, and who gets it, through gRPC against a whole
//! engine, on both backends. After each test every law must hold.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::ordinal;

on_both!(
    an_order_of_a_shop_keeps_all_it_was_placed_with,
    a_return_is_refunded_what_was_paid,
    a_sum_that_is_not_what_it_comes_to_is_refused,
    two_thousand_lines_with_tax_and_discounts,
    sums_are_shown_also_where_they_cancel_out,
);

fn gbp(minor: i64) -> Value {
    json!({ "currency_code": "GBP", "units": minor / 100, "nanos": minor % 100 * 10_000_000 })
}

/// Minor units of a sum.
fn minor(money: &Value) -> i64 {
    assert_eq!(money["currency_code"], "GBP", "{money}");
    let part = |name: &str| money[name].as_i64().unwrap_or_default();
    part("units") * 100 + part("nanos") / 10_000_000
}

/// Three mugs at 3.33 less 0.50, a plate at 5.00, shipping, a coupon and VAT on top: 21.13.
fn of_a_shop(shop: &Shop) -> Value {
    let vat = |amount| json!([{ "name": "VAT", "rate_percent": "20", "amount": gbp(amount) }]);
    let mut order = shop.order(&[("MUG", 3), ("PLATE", 1)]);
    order["lines"][0]["unit_price"] = gbp(333);
    order["lines"][0]["title"] = json!("Mug, blue");
    order["lines"][0]["attributes"] = json!({ "size": "L" });
    order["lines"][0]["discounts"] = json!([{ "label": "3 for 2", "amount": gbp(50) }]);
    order["lines"][0]["taxes"] = vat(190);
    order["lines"][1]["unit_price"] = gbp(500);
    order["charges"] = json!([{
        "kind": "CHARGE_KIND_SHIPPING", "label": "Royal Mail", "amount": gbp(499), "taxes": vat(100),
    }]);
    order["discounts"] = json!([{ "label": "SPRING", "amount": gbp(125) }]);
    order["tags"] = json!(["wholesale"]);
    order["metadata"] = json!({ "channel": "web" });
    order["address"]["name"] = json!("Ada Lovelace");
    order["address"]["region"] = json!("West Yorkshire");
    order["address"]["street_line2"] = json!("Flat 2");
    order["address"]["phone"] = json!("+44 20 7183 8750");
    order["address"]["instructions"] = json!("Ring twice.");
    order["billing_address"] = json!({
        "street": "2 Low Street", "city": "Leeds", "postal_code": "LS1 1AA", "country": "GB",
    });
    order["expected"] = json!({ "tax": gbp(290), "total": gbp(2_113) });
    order
}

async fn an_order_of_a_shop_keeps_all_it_was_placed_with(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    shop.set_stock("PLATE", 5).await;
    let request = of_a_shop(&shop);
    let placed = shop.buyer.orders("PlaceOrder", request.clone()).await.unwrap();
    let id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    let order = shop.until(&id, "CONFIRMED").await;
    let sums = ["goods", "discounts", "charges", "tax", "total"];
    assert_eq!(sums.map(|sum| minor(&order["totals"][sum])), [1_499, 175, 499, 290, 2_113]);
    assert_eq!(minor(&order["total"]), 2_113);
    let line = &order["lines"][0];
    assert_eq!(line["title"], "Mug, blue");
    assert_eq!(line["attributes"], json!({ "size": "L" }));
    assert_eq!(line["discounts"], request["lines"][0]["discounts"]);
    assert_eq!(line["taxes"], request["lines"][0]["taxes"]);
    // The coupon's share of the mugs is 0.81.
    assert_eq!([minor(&line["total"]), minor(&line["tax"])], [999 - 50 - 81 + 190, 190]);
    assert_eq!(order["charges"][0]["label"], "Royal Mail");
    assert_eq!(minor(&order["charges"][0]["total"]), 599);
    assert_eq!(order["discounts"], request["discounts"]);
    assert_eq!(order["tags"], json!(["wholesale"]));
    assert_eq!(order["metadata"], json!({ "channel": "web" }));
    let shown = ordinal(&["--address", &shop.address, "order", "get", &id]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for text in [
        "channel=web",
        "size=L",
        "3 for 2",
        "SPRING",
        "20 %",
        "2.90 GBP",
        "Ada Lovelace",
        "Flat 2, ",
        "Ring twice.",
        "2 Low Street, Leeds, LS1 1AA, GB",
    ] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    let mut address = request["address"].clone();
    address["phone"] = json!("+442071838750");
    for (field, value) in address.as_object().unwrap() {
        assert_eq!(order["address"][field], *value, "{field}");
    }
    assert_eq!(order["billing_address"]["street"], "2 Low Street");
    // The same order again is the same order; with another coupon it is another.
    let again = shop.buyer.orders("PlaceOrder", request.clone()).await.unwrap();
    assert_eq!(again["order"]["version"], order["version"]);
    let mut other = request.clone();
    other["discounts"][0]["label"] = json!("SUMMER");
    assert_eq!(shop.buyer.refused("PlaceOrder", other).await, "ALREADY_EXISTS");
    // As it was at its first version it says all that too.
    let first = json!({ "order_id": id, "version": 1 });
    let first = shop.ops.orders("GetOrder", first).await.unwrap();
    assert_eq!(first["order"]["totals"], order["totals"]);
    assert_eq!(first["order"]["address"], order["address"]);
    let method = "orders.v1.JournalService/ListOrderEvents";
    let events = shop.ops.call(method, json!({ "order_id": id, "page_size": 10 })).await.unwrap();
    let placed = &events["events"][0]["event"]["order_placed"];
    assert_eq!(placed["charges"][0]["kind"], "CHARGE_KIND_SHIPPING");
    assert_eq!(placed["lines"][0]["discounts"], line["discounts"]);
    // Lists show what the customer pays.
    shop.settled().await;
    let list = shop.ops.orders("ListOrders", json!({ "page_size": 1 })).await.unwrap();
    assert_eq!(minor(&list["orders"][0]["total"]), 2_113);
    shop.close().await;
}

async fn a_return_is_refunded_what_was_paid(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    shop.set_stock("PLATE", 5).await;
    let placed = shop.buyer.orders("PlaceOrder", of_a_shop(&shop)).await.unwrap();
    let id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    shop.until(&id, "CONFIRMED").await;
    shop.service.orders("FulfillOrder", json!({ "order_id": id })).await.unwrap();
    let mugs = 999 - 50 - 81 + 190;
    let back = |units| json!({ "order_id": id, "lines": [{ "line": 1, "quantity": units }], "reason": "chipped" });
    let waiting = shop.buyer.orders("RequestReturn", back(1)).await.unwrap();
    assert_eq!(minor(&waiting["order"]["pending_return"]["value"]), mugs / 3);
    let one = shop.ops.orders("ApproveReturn", json!({ "order_id": id })).await.unwrap();
    assert_eq!(minor(&one["order"]["refunded"]), mugs / 3);
    shop.buyer.orders("RequestReturn", back(2)).await.unwrap();
    let with =
        |amount| json!({ "order_id": id, "charges": [{ "charge": 1, "amount": gbp(amount) }] });
    assert_eq!(shop.ops.refused("ApproveReturn", with(600)).await, "INVALID_AMOUNT");
    let rest = shop.ops.orders("ApproveReturn", with(599)).await.unwrap();
    assert_eq!(minor(&rest["order"]["refunded"]), mugs + 599);
    assert_eq!(minor(&rest["order"]["charges"][0]["refunded"]), 599);
    assert_eq!(minor(&rest["order"]["lines"][0]["returned_total"]), mugs);
    shop.close().await;
}

async fn a_sum_that_is_not_what_it_comes_to_is_refused(shop: Shop) {
    let mut order = of_a_shop(&shop);
    order["expected"]["total"] = gbp(2_112);
    let failure = shop.buyer.orders("PlaceOrder", order).await.unwrap_err();
    assert_eq!(failure.reason(), "TOTALS_MISMATCH");
    assert!(failure.to_string().contains("expected.total"), "{failure}");
    for (field, value, reason) in [
        ("/lines/0/discounts/0/amount", gbp(-1), "INVALID_AMOUNT"),
        ("/lines/0/discounts/0/amount", gbp(1_000), "INVALID_AMOUNT"),
        ("/lines/0/taxes/0/rate_percent", json!("20%"), "INVALID_FIELD"),
        ("/charges/0/kind", json!("CHARGE_KIND_UNSPECIFIED"), "INVALID_FIELD"),
        ("/discounts/0/label", json!(" "), "INVALID_FIELD"),
        ("/tags", json!(["a", "a"]), "INVALID_FIELD"),
        ("/metadata", json!({ "": "x" }), "INVALID_FIELD"),
        ("/address/phone", json!("020"), "INVALID_ADDRESS"),
        ("/billing_address/country", json!("XX"), "INVALID_ADDRESS"),
    ] {
        let mut order = of_a_shop(&shop);
        *order.pointer_mut(field).unwrap() = value;
        order["expected"] = json!({});
        assert_eq!(shop.buyer.refused("PlaceOrder", order).await, reason, "{field}");
    }
    shop.settled().await;
    let list = shop.ops.orders("ListOrders", json!({})).await.unwrap();
    assert_eq!(list["orders"].as_array().map_or(0, Vec::len), 0, "nothing was appended");
    shop.close().await;
}

async fn two_thousand_lines_with_tax_and_discounts(shop: Shop) {
    shop.set_stock("MUG", 100_000).await;
    let lines: Vec<Value> = (0..2_000)
        .map(|n| {
            json!({
                "sku": "MUG",
                "quantity": n % 7 + 1,
                "unit_price": gbp(333 + n),
                "discounts": [{ "label": "SPRING", "amount": gbp(n % 13) }],
                "taxes": [{ "name": "VAT", "rate_percent": "20", "amount": gbp(66 + n % 5) }],
            })
        })
        .collect();
    let mut order = shop.order(&[]);
    order["order_id"] = json!(Uuid::now_v7());
    order["lines"] = json!(lines);
    order["discounts"] = json!([{ "label": "WHOLE", "amount": gbp(12_345) }]);
    let placed = shop.buyer.orders("PlaceOrder", order).await.unwrap();
    let order = shop.until(placed["order"]["order_id"].as_str().unwrap(), "CONFIRMED").await;
    let lines = order["lines"].as_array().unwrap();
    let sum: i64 = lines.iter().map(|line| minor(&line["total"])).sum();
    assert_eq!(sum, minor(&order["total"]));
    shop.close().await;
}

/// A discount of as much as the shipping leaves the total what the goods cost, and an included tax
/// changes no total: both are shown all the same.
async fn sums_are_shown_also_where_they_cancel_out(shop: Shop) {
    let mut order = shop.order(&[("MUG", 1)]);
    order["tax_mode"] = json!("TAX_MODE_INCLUDED");
    order["lines"][0]["taxes"] = json!([{ "name": "VAT", "amount": gbp(167) }]);
    order["charges"] = json!([{ "kind": "CHARGE_KIND_SHIPPING", "amount": gbp(500) }]);
    order["discounts"] = json!([{ "label": "FREE SHIPPING", "amount": gbp(500) }]);
    let placed = shop.buyer.orders("PlaceOrder", order).await.unwrap();
    assert_eq!(minor(&placed["order"]["total"]), 1_000);
    let id = placed["order"]["order_id"].as_str().unwrap().to_owned();
    let shown = ordinal(&["--address", &shop.address, "order", "get", &id]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for sum in ["5.00 GBP", "1.67 GBP", "10.00 GBP"] {
        assert!(shown.contains(sum), "{sum} is not in {shown}");
    }
    let diff = json!({ "order_id": id, "from_version": 0, "to_version": 1 });
    let method = "orders.v1.JournalService/DiffOrder";
    let diff = shop.ops.call(method, diff).await.unwrap();
    let paths: Vec<&str> =
        diff["changes"].as_array().unwrap().iter().filter_map(|one| one["path"].as_str()).collect();
    for path in [
        "totals.discounts",
        "totals.charges",
        "totals.tax",
        "tax_mode",
        "discounts[0]",
        "lines[1].tax",
        "lines[1].taxes[0]",
    ] {
        assert!(paths.contains(&path), "{path} is not among {paths:?}");
    }
    shop.close().await;
}
