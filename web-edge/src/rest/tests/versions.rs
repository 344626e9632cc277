//! Versions of stock.

use http::Request;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use serde_json::json;

use super::super::version::{Answered, Version};
use super::{Process, descriptors, empty, get, post, with};

fn put(uri: &str) -> http::request::Builder {
    Request::put(uri).header("host", "localhost").header("content-type", "application/json")
}

#[tokio::test]
async fn of_stock_the_version_is_the_units_on_hand() {
    let process = Process::new(&[json!({ "stock": { "sku": "A", "on_hand": "5" } })]);
    // The version says nothing of what is reserved: a read is never unchanged.
    let read = get("/v1/stock/A").header("if-none-match", "\"5\"");
    let (status, headers, answer) = process.json(empty(read)).await;
    assert_eq!((status, &answer["stock"]["on_hand"]), (200, &json!("5")));
    assert_eq!(headers["etag"], "\"5\"");
    assert_eq!(headers["cache-control"], "no-store");
    for (request, body) in [
        (put("/v1/stock/A"), r#"{"on_hand": 7}"#),
        (put("/v1/stock/A"), r#"{"on_hand": 7, "expected_on_hand": 5}"#),
        (post("/v1/stock/A:adjust"), r#"{"delta": 2}"#),
    ] {
        let request = with(request.header("if-match", "\"5\""), body);
        assert_eq!(process.json(request).await.0, 200, "{body}");
        assert_eq!(process.asked().pop().unwrap().message["expectedOnHand"], "5", "{body}");
    }
    let asked = process.asked().len();
    for (etag, body) in [
        ("\"x\"", "{}"),
        ("5", "{}"),
        ("\"5\", \"6\"", "{}"),
        ("\"5\"", r#"{"expected_on_hand": 6}"#),
        ("\"5\"", r#"{"expected_on_hand": 0}"#),
    ] {
        let (status, _, problem) =
            process.json(with(put("/v1/stock/A").header("if-match", etag), body)).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (400, &json!("If-Match")), "{etag}");
    }
    assert_eq!(process.asked().len(), asked);
}

/// Stock that is answered by itself, as it is within an answer.
#[test]
fn a_message_that_has_the_version_itself_has_none_where_it_is_a_sum() {
    let pool = DescriptorPool::decode(descriptors().as_slice()).unwrap();
    let stock = pool.get_message_by_name("ordinal.inventory.v1.Stock").unwrap();
    let answered = Answered::of(&stock).unwrap();
    let locations = stock.get_field_by_name("locations").unwrap();
    let kind = locations.kind();
    let location = DynamicMessage::new(kind.as_message().unwrap().clone());
    let mut message = DynamicMessage::new(stock);
    message.set_field_by_name("on_hand", Value::I64(5));
    assert_eq!(Version::of(&message, &answered).unwrap().etag, "\"5\"");
    message.set_field(&locations, Value::List(vec![Value::Message(location)]));
    assert!(Version::of(&message, &answered).is_none());
}

#[tokio::test]
async fn a_sum_over_locations_and_a_list_have_no_version() {
    let places =
        json!([{ "location": "main", "on_hand": "3" }, { "location": "B", "on_hand": "2" }]);
    let stock = json!({ "stock": { "sku": "A", "on_hand": "5", "locations": places } });
    let (_, headers, _) = Process::new(&[stock]).json(empty(get("/v1/stock/A"))).await;
    assert!(!headers.contains_key("etag"), "{headers:?}");
    let listed = Process::new(&[json!({ "stock": { "sku": "A", "on_hand": "5" } })]);
    for list in ["/v1/stock/A/movements", "/v1/stock/A/holders"] {
        let (status, headers, _) = listed.json(empty(get(list))).await;
        assert!(status == 200 && !headers.contains_key("etag"), "{list}: {headers:?}");
    }
}
