//! Names that people use: numbers, external ids, notes, skus of any characters, and lists by all of
//! them; through gRPC and the command line against a whole engine, on both backends. After each
//! test every law must hold.

use std::time::Duration;

use order_actor::projections::SearchBy;
use serde_json::{Value, json};

use crate::shop::{Orders as _, Shop, on_both};
use crate::support::ordinal;

on_both!(
    an_order_is_found_by_every_name_it_has,
    a_name_of_another_order_is_refused_and_named,
    notes_are_seen_by_those_they_are_for,
    lists_are_filtered_and_sorted,
    skus_have_any_printable_characters,
    a_retry_in_another_encoding_is_the_same_request,
    orders_are_found_by_their_parcels_and_returns,
);

/// What the command line prints.
fn shown(args: &[&str]) -> String {
    let output = ordinal(args);
    let text = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{error}");
    text
}

async fn put(shop: &Shop, change: impl FnOnce(&mut Value)) -> Value {
    let mut request = shop.order(&[("MUG", 1)]);
    change(&mut request);
    shop.ops.orders("PlaceOrder", request).await.unwrap()["order"].take()
}

fn named(number: &str, external_id: &str, shop: &str) -> impl FnOnce(&mut Value) {
    let names = json!([number, external_id, shop]);
    move |request| {
        for (field, text) in ["order_number", "external_id", "shop"].iter().zip(0..) {
            request[*field] = names[text].clone();
        }
    }
}

async fn an_order_is_found_by_every_name_it_has(shop: Shop) {
    let own = put(&shop, named("Ü #1001", "5912/A", "uk")).await;
    assert_eq!((&own["order_number"], &own["shop"]), (&json!("Ü #1001"), &json!("uk")));
    let plain = put(&shop, |_| ()).await;
    let number = plain["order_number"].as_str().unwrap();
    assert_eq!(number.len(), 14, "{number}");
    shop.settled().await;
    let get = async |request: Value| {
        shop.ops.orders("GetOrder", request).await.unwrap()["order"]["order_id"].take()
    };
    assert_eq!(get(json!({ "order_number": "U\u{308} #1001 " })).await, own["order_id"]);
    let external = json!({ "external_id": "5912/A", "shop": "uk" });
    assert_eq!(get(external.clone()).await, own["order_id"]);
    let typed = number.to_lowercase().replace('-', "");
    assert_eq!(get(json!({ "order_number": typed })).await, plain["order_id"]);
    let as_of = json!({ "order_number": number, "version": 1 });
    assert_eq!(get(as_of).await, plain["order_id"]);
    // Of nobody, of another shop, and of another customer: all alike.
    let stranger = shop.as_caller("customer", "0190a0b0-0000-7000-8000-00000000beef").await;
    let by_number = |number: &str| json!({ "order_number": number });
    assert_eq!(shop.ops.refused("GetOrder", by_number("1002")).await, "NOT_FOUND");
    assert_eq!(shop.ops.refused("GetOrder", json!({ "external_id": "5912/A" })).await, "NOT_FOUND");
    for request in [by_number("1002"), by_number("Ü #1001"), by_number(number), external.clone()] {
        assert_eq!(stranger.refused("GetOrder", request).await, "NOT_FOUND");
    }
    assert_eq!(
        shop.buyer.orders("GetOrder", by_number(number)).await.unwrap()["order"]["order_id"],
        plain["order_id"]
    );
    for wrong in [
        json!({}),
        json!({ "order_id": own["order_id"], "order_number": "1" }),
        json!({ "order_number": "1", "shop": "uk" }),
    ] {
        assert_eq!(shop.ops.refused("GetOrder", wrong).await, "INVALID_FIELD");
    }
    // On the command line wherever an order is named.
    let line = |args: &[&str]| {
        let args = [args, &["--address", &shop.address, "--as", "ops:anna", "--json"]].concat();
        shown(&args)
    };
    let id = own["order_id"].as_str().unwrap();
    assert!(line(&["order", "get", "Ü #1001"]).contains(id));
    assert!(line(&["order", "history", "external:uk:5912/A"]).contains("OrderPlaced"));
    let plain_id = plain["order_id"].as_str().unwrap();
    assert!(line(&["order", "diff", number]).contains(plain_id));
    let noted = line(&["order", "note", number, "--text", "ring first", "--public"]);
    assert!(noted.contains("ring first"), "{noted}");
    line(&["order", "cancel", "external:uk:5912/A"]);
    assert_eq!(shop.get(id).await["status"], "ORDER_STATUS_CANCELLED");
    shop.close().await;
}

async fn a_name_of_another_order_is_refused_and_named(shop: Shop) {
    let first = put(&shop, named("1001", "A", "uk")).await;
    let mut again = shop.order(&[("MUG", 1)]);
    named("1001", "A", "uk")(&mut again);
    again["order_id"] = first["order_id"].clone();
    let same = shop.ops.orders("PlaceOrder", again.clone()).await.unwrap();
    assert_eq!(same["events"], json!([]), "the same order again");
    for (names, reason) in [
        (("1001", "", ""), "ORDER_NUMBER_TAKEN"),
        (("1002", "A", "uk"), "EXTERNAL_ID_TAKEN"),
        (("4QK2-9XVA-07TM", "", ""), "INVALID_FIELD"),
    ] {
        let mut other = shop.order(&[("MUG", 1)]);
        named(names.0, names.1, names.2)(&mut other);
        assert_eq!(shop.ops.refused("PlaceOrder", other.clone()).await, reason);
        other["options"] = json!({ "validate_only": true });
        let failure = shop.service.orders("PlaceOrder", other).await.unwrap_err();
        assert_eq!(failure.reason(), reason, "validated only");
    }
    // Refused names are free, and shops do not share external ids.
    put(&shop, named("1002", "A", "")).await;
    put(&shop, named("", "A", "de")).await;
    let mut by_customer = shop.order(&[("MUG", 1)]);
    by_customer["order_number"] = json!("1003");
    assert_eq!(shop.buyer.refused("PlaceOrder", by_customer).await, "INVALID_FIELD");
    // A request id without an order id is the same order, as ever.
    let mut keyed = shop.order(&[("MUG", 1)]);
    named("1004", "", "")(&mut keyed);
    keyed["order_id"] = json!("");
    keyed["options"] = json!({ "request_id": "0190a0b0-0000-7000-8000-0000000000aa" });
    let one = shop.ops.orders("PlaceOrder", keyed.clone()).await.unwrap();
    let two = shop.ops.orders("PlaceOrder", keyed).await.unwrap();
    assert_eq!(one["order"]["order_id"], two["order"]["order_id"]);
    assert_eq!(two["replayed"], true);
    shop.close().await;
}

async fn notes_are_seen_by_those_they_are_for(shop: Shop) {
    let order = put(&shop, |request| {
        request["notes"] = json!([
            { "public": true, "text": "a gift" }, { "public": false, "text": "pays late" },
        ]);
    })
    .await;
    let id = order["order_id"].clone();
    let add = |text: &str, public: bool| json!({ "order_id": id, "text": text, "public": public });
    shop.service.orders("AddNote", add("weighed", false)).await.unwrap();
    let seen = shop.buyer.orders("AddNote", add("leave it\nat the door", true)).await.unwrap();
    assert_eq!(seen["events"][0]["note_added"]["text"], "leave it\nat the door");
    assert_eq!(shop.buyer.refused("AddNote", add("psst", false)).await, "INVALID_FIELD");
    assert_eq!(shop.ops.refused("AddNote", add(" ", false)).await, "INVALID_FIELD");
    let texts = |order: &Value| {
        let notes = order["notes"].as_array().unwrap().iter();
        notes.map(|note| note["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&seen["order"]), ["a gift", "leave it\nat the door"]);
    let all = ["a gift", "pays late", "weighed", "leave it\nat the door"];
    assert_eq!(texts(&shop.get(id.as_str().unwrap()).await), all);
    let of = |version: u64| json!({ "order_id": id, "version": version });
    // The answer of stock may have come before or between the notes.
    let version = |order: &Value| order["version"].as_u64().unwrap();
    let added = version(&seen["order"]);
    for version in 1..=added {
        let seen = shop.buyer.orders("GetOrder", of(version)).await.unwrap();
        let public = if version == added { 2 } else { 1 };
        assert_eq!(texts(&seen["order"]).len(), public, "as of {version}");
    }
    // No way of reading tells a customer what is not for them.
    let history = "orders.v1.JournalService/ListOrderEvents";
    let diff = "orders.v1.JournalService/DiffOrder";
    for method in [history, diff] {
        let request = json!({ "order_id": id });
        let customer = shop.buyer.call(method, request.clone()).await.unwrap().to_string();
        let staff = shop.ops.call(method, request).await.unwrap().to_string();
        for (text, private) in [("a gift", false), ("pays late", true), ("weighed", true)] {
            assert!(staff.contains(text), "{method}: {staff}");
            assert_eq!(customer.contains(text), !private, "{method}: {customer}");
        }
        let named = "\"subject\":\"shop\"";
        assert!(staff.contains(named), "{method}: {staff}");
        assert!(!customer.contains(named), "{method} names staff: {customer}");
    }
    shop.close().await;
}

async fn listed(shop: &Shop, filter: Value, sort: &str) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), json!(""));
    loop {
        let request = json!({
            "filter": filter, "sort": format!("ORDER_SORT_{sort}"), "page_size": 2,
            "page_token": token,
        });
        let mut page = shop.ops.orders("ListOrders", request).await.unwrap();
        for order in page["orders"].as_array().unwrap() {
            let name = order["external_id"].as_str().unwrap();
            found.push(name.to_owned());
        }
        token = page["next_page_token"].take();
        if token == json!("") {
            return found;
        }
    }
}

async fn lists_are_filtered_and_sorted(mut shop: Shop) {
    let off = json!({ "filter": { "sku": "MUG" } });
    assert_eq!(shop.ops.refused("ListOrders", off).await, "FILTER_OFF");
    shop.restart(|settings| settings.search_by = vec![SearchBy::Sku, SearchBy::Email]).await;
    let mut ids = Vec::new();
    for nth in 0..5 {
        shop.advance(Duration::from_secs(60));
        let order = put(&shop, |request| {
            named(&format!("N{nth}"), &format!("E{nth}"), if nth < 3 { "uk" } else { "" })(request);
            request["tags"] = if nth % 2 == 0 { json!(["even", "all"]) } else { json!(["all"]) };
            request["metadata"] = json!({ "channel": if nth == 4 { "web" } else { "shop" } });
            if nth == 1 {
                request["lines"][0]["sku"] = json!("PLATE/1");
                request["contact"]["email"] = json!("Ada@Example.com");
            }
        })
        .await;
        ids.push(order["order_id"].as_str().unwrap().to_owned());
    }
    shop.settled().await;
    shop.advance(Duration::from_secs(60));
    let note = json!({ "order_id": ids[1], "text": "changed last" });
    shop.ops.orders("AddNote", note).await.unwrap();
    shop.settled().await;
    let by = async |filter: Value| listed(&shop, filter, "PLACED_ASC").await;
    assert_eq!(by(json!({})).await, ["E0", "E1", "E2", "E3", "E4"]);
    assert_eq!(by(json!({ "order_number": "N2" })).await, ["E2"]);
    assert_eq!(by(json!({ "external_id": "E3" })).await, ["E3"]);
    assert!(by(json!({ "external_id": "E3", "shop": "uk" })).await.is_empty());
    assert_eq!(by(json!({ "shop": "uk" })).await, ["E0", "E1", "E2"]);
    assert_eq!(by(json!({ "tag": "even" })).await, ["E0", "E2", "E4"]);
    assert_eq!(by(json!({ "tag": "even", "shop": "uk" })).await, ["E0", "E2"]);
    assert_eq!(by(json!({ "metadata_key": "channel", "metadata_value": "web" })).await, ["E4"]);
    assert_eq!(by(json!({ "sku": "PLATE/1" })).await, ["E1"]);
    assert_eq!(by(json!({ "email": " ada@EXAMPLE.com" })).await, ["E1"]);
    assert_eq!(by(json!({ "email": "ada@example.com", "sku": "PLATE/1" })).await, ["E1"]);
    if let Some(list) = shop.database_file("orders.db") {
        // `email:`, the name of a key, a hash.
        assert!(list.match_indices("email:").any(|(at, _)| list.as_bytes()[at + 14] == b':'));
        assert!(!list.to_lowercase().contains("ada@example"));
    }
    assert!(by(json!({ "tag": "eve" })).await.is_empty());
    let sorted = async |sort: &str| listed(&shop, json!({}), sort).await;
    assert_eq!(sorted("PLACED_DESC").await, ["E4", "E3", "E2", "E1", "E0"]);
    let updated = sorted("UPDATED_DESC").await;
    assert_eq!(updated[0], "E1", "{updated:?}");
    let ascending = sorted("UPDATED_ASC").await;
    assert!(ascending.iter().rev().eq(&updated), "{ascending:?} {updated:?}");
    // A rebuilt list has the same words.
    let rebuild = json!({ "name": "order-summaries" });
    shop.ops.call("admin.v1.AdminService/RebuildReadModel", rebuild).await.unwrap();
    assert_eq!(by(json!({ "sku": "PLATE/1", "tag": "all" })).await, ["E1"]);
    let args = ["order", "list", "--tag", "even", "--sort", "placed_asc", "--number", "N2"];
    let own = ["--address", &shop.address, "--as", "ops:anna", "--metadata", "channel=shop"];
    let text = shown(&[&args[..], &own[..]].concat());
    assert!(text.contains(&ids[2]) && text.contains("N2"), "{text}");
    shop.close().await;
}

async fn skus_have_any_printable_characters(shop: Shop) {
    let skus = ["Mug, 12\" blau/grün", "a=b@c", "{x}:*%_?", "50% + 1", "'; DROP TABLE stock"];
    for sku in skus {
        shop.set_stock(sku, 3).await;
        assert_eq!(shop.stock(&format!(" {sku} ")).await, (3, 0), "{sku}");
    }
    shop.set_stock("gru\u{308}n", 1).await;
    assert_eq!(shop.stock("gr\u{fc}n").await, (1, 0), "composed once");
    let lines: Vec<(&str, u32)> = skus.iter().map(|sku| (*sku, 2)).collect();
    let id = shop.place(&lines).await;
    let order = shop.until(&id, "CONFIRMED").await;
    for (line, sku) in order["lines"].as_array().unwrap().iter().zip(skus) {
        assert_eq!(line["sku"], sku);
    }
    let missing = shop.place(&[("a=b@c", 2), ("nowhere / to be found", 1)]).await;
    let order = shop.until(&missing, "CANCELLED").await;
    assert_eq!(order["missing_skus"], json!(["a=b@c", "nowhere / to be found"]));
    let list = "inventory.v1.InventoryService/ListStock";
    let found = shop.ops.call(list, json!({ "sku_prefix": "50% +" })).await.unwrap();
    assert_eq!(found["stock"].as_array().unwrap().len(), 1);
    for (method, field) in [("ListMovements", "movements"), ("ListStockHolders", "holders")] {
        let method = format!("inventory.v1.InventoryService/{method}");
        let found = shop.ops.call(&method, json!({ "sku": "Mug, 12\" blau/grün" })).await.unwrap();
        assert!(!found[field].as_array().unwrap().is_empty(), "{method}: {found}");
    }
    let args = ["order", "place", "--line", "a=b@c=1@19.99GBP", "--street", "1 Street", "--city"];
    let own = ["London", "--postal-code", "W1", "--country", "GB", "--customer"];
    let customer = shop.customer.to_string();
    let end = [customer.as_str(), "--address", &shop.address, "--as", "ops:anna"];
    let text = shown(&[&args[..], &own[..], &end[..]].concat());
    assert!(text.contains("a=b@c"), "{text}");
    for hidden in ["", "a\u{200b}b", "a\tb", &"x".repeat(65)] {
        let method = "inventory.v1.InventoryService/GetStock";
        let refused = shop.ops.call(method, json!({ "sku": hidden })).await.unwrap_err();
        assert_eq!(refused.reason(), "INVALID_FIELD", "{hidden:?}");
    }
    shop.close().await;
}

/// As a form of macOS sends it at first, and a job of the server's again.
async fn a_retry_in_another_encoding_is_the_same_request(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let spelt = |text: &str, id: &str| {
        let mut request = shop.order(&[("MUG", 1)]);
        request["order_id"] = json!(id);
        request["address"]["name"] = json!(text);
        request["lines"][0]["title"] = json!(text);
        request["lines"][0]["attributes"] = json!({ text: text });
        request["tags"] = json!([text]);
        request["metadata"] = json!({ text: text });
        request["notes"] = json!([{ "public": true, "text": text }]);
        request["discounts"] =
            json!([{ "label": text, "amount": { "currency_code": "GBP", "nanos": 10_000_000 } }]);
        request
    };
    let id = "0190a0b0-0000-7000-8000-0000000000ab";
    let (one, other) = ("Zoe\u{308} Mu\u{308}ller ", "Zo\u{eb} M\u{fc}ller");
    let placed = shop.ops.orders("PlaceOrder", spelt(one, id)).await.unwrap();
    assert_eq!(placed["order"]["address"]["name"], other);
    let again = shop.ops.orders("PlaceOrder", spelt(other, id)).await.unwrap();
    assert_eq!(again["events"], json!([]), "the same order");
    // A filter finds it in both.
    shop.settled().await;
    for text in [one, other] {
        let filter = json!({ "tag": text, "metadata_key": text, "metadata_value": text });
        let request = json!({ "filter": filter });
        let found = shop.ops.orders("ListOrders", request).await.unwrap();
        assert_eq!(found["orders"][0]["order_id"], id, "{text:?}");
    }
    shop.until(id, "CONFIRMED").await;
    let cancel = |text: &str| {
        let options = json!({ "request_id": "0190a0b0-0000-7000-8000-0000000000ac" });
        json!({ "order_id": id, "text": text, "options": options })
    };
    shop.ops.orders("CancelOrder", cancel(one)).await.unwrap();
    let again = shop.ops.orders("CancelOrder", cancel(other)).await.unwrap();
    assert_eq!(again["replayed"], true);
    let different = shop.ops.refused("CancelOrder", cancel("Zoe Muller")).await;
    assert_eq!(different, "IDEMPOTENCY_KEY_REUSED");
    shop.close().await;
}

async fn orders_are_found_by_their_parcels_and_returns(shop: Shop) {
    shop.set_stock("MUG", 10).await;
    let mut ids = Vec::new();
    for nth in 0..2 {
        let order = put(&shop, named("", &format!("E{nth}"), "")).await;
        let id = order["order_id"].as_str().unwrap().to_owned();
        shop.until(&id, "CONFIRMED").await;
        let parcel = json!({
            "order_id": id, "shipment_reference": format!("W {nth}"), "carrier": "DHL",
            "tracking": format!("JD 00{nth}"),
        });
        shop.service.orders("FulfillOrder", parcel).await.unwrap();
        ids.push(id);
    }
    let corrected =
        json!({ "order_id": ids[0], "shipment_reference": "W 0", "tracking": "JD 007" });
    shop.service.orders("UpdateShipment", corrected).await.unwrap();
    let back = json!({
        "order_id": ids[1], "lines": [{ "line": 1, "quantity": 1 }], "reason": "chipped",
        "return_reference": "RMA 1",
    });
    shop.buyer.orders("RequestReturn", back).await.unwrap();
    shop.settled().await;
    let by = async |filter: Value| listed(&shop, filter, "PLACED_ASC").await;
    let found = async || {
        assert_eq!(by(json!({ "shipment_reference": "W 1" })).await, ["E1"]);
        assert_eq!(by(json!({ "tracking": "JD 007 " })).await, ["E0"]);
        assert!(by(json!({ "tracking": "JD 000" })).await.is_empty(), "before its correction");
        assert_eq!(by(json!({ "return_reference": "RMA 1" })).await, ["E1"]);
        assert!(by(json!({ "return_reference": "W 1" })).await.is_empty());
        let both = json!({ "tracking": "JD 001", "return_reference": "RMA 1" });
        assert_eq!(by(both).await, ["E1"]);
    };
    found().await;
    let reject = json!({ "order_id": ids[1], "reason": "worn" });
    shop.ops.orders("RejectReturn", reject).await.unwrap();
    shop.settled().await;
    found().await;
    // Orders from before get their words so, too.
    let rebuild = json!({ "name": "order-summaries" });
    shop.ops.call("admin.v1.AdminService/RebuildReadModel", rebuild).await.unwrap();
    found().await;
    for (flag, text, id) in [
        ("--tracking", "JD 007", &ids[0]),
        ("--shipment-reference", "W 1", &ids[1]),
        ("--return-reference", "RMA 1", &ids[1]),
    ] {
        let args = ["order", "list", flag, text, "--address", &shop.address, "--as", "ops:anna"];
        let text = shown(&args);
        assert_eq!(text.matches("FULFILLED").count(), 1, "{flag}: {text}");
        assert!(text.contains(id.as_str()), "{flag}: {text}");
    }
    shop.close().await;
}
