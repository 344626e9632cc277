//! Bodies that no reader would read as they are written.

use serde_json::{Value, json};

use shared_events::contract::Reason;

use super::{Process, post, with};

const TWICE: &str = "given twice";
const ROUNDED: &str = "rounded, with a fraction or an exponent";
const LONG: &str = "a number of more than 64 bits";
const BROKEN: &str = "not a whole number";

/// Bodies of `POST /v1/orders`, the field at fault, and what is wrong with it.
const WRONG: [(&str, &str, &str); 15] = [
    (r#"{"lines": [{"quantity": 1, "quantity": 5}]}"#, "lines[0].quantity", TWICE),
    (
        r#"{"lines": [{}, {"unit_price": {"units": 1, "units": 1}}]}"#,
        "lines[1].unit_price.units",
        TWICE,
    ),
    (r#"{"order_id": "a", "orderId": "b"}"#, "orderId", TWICE),
    (r#"{"order_id": null, "order_id": "b"}"#, "order_id", TWICE),
    (r#"{"lines": [{"sku": "MUG"}], "lines": []}"#, "lines", TWICE),
    (r#"{"options": {"etag": "1"}, "options": {}}"#, "options", TWICE),
    (r#"{"metadata": {"a": "1", "b": "2", "a": "1"}}"#, "metadata.a", TWICE),
    (r#"{"ordered_at": "2026-01-01T00:00:00Z", "orderedAt": null}"#, "orderedAt", TWICE),
    (
        r#"{"lines": [{"unit_price": {"units": 9007199254740993.0}}]}"#,
        "lines[0].unit_price.units",
        ROUNDED,
    ),
    (
        r#"{"lines": [{"unitPrice": {"units": -9007199254740993e0}}]}"#,
        "lines[0].unitPrice.units",
        ROUNDED,
    ),
    (r#"{"lines": [{"unit_price": {"units": 1e18}}]}"#, "lines[0].unit_price.units", ROUNDED),
    (
        r#"{"lines": [{"unit_price": {"units": -9223372036854775809}}]}"#,
        "lines[0].unit_price.units",
        LONG,
    ),
    (r#"{"lines": [{"quantity": 18446744073709551616}]}"#, "lines[0].quantity", LONG),
    (r#"{"lines": [{"quantity": 1.5}]}"#, "lines[0].quantity", BROKEN),
    (r#"{"lines": [{"quantity": 1.00000000000000000001}]}"#, "lines[0].quantity", BROKEN),
];

#[tokio::test]
async fn a_body_is_read_as_it_is_written_or_refused_with_the_field() {
    let process = Process::new(&[json!({})]);
    for (body, field, what) in WRONG {
        let (status, _, problem) = process.json(with(post("/v1/orders"), body)).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!(Reason::InvalidField.code())),
            "{body}: {problem}"
        );
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(what), "{body}: {message}");

        let connect = with(post("/ordinal.orders.v1.OrderService/PlaceOrder"), body);
        let (status, _, error) = process.json(connect).await;
        assert_eq!((status, &error["code"]), (400, &json!("invalid_argument")), "{body}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{field}: {what}")), "{message}");

        let line = format!("{{\"tag\": 1}}\n{{\"tag\": 2, \"place_order\": {body}}}\n");
        let ndjson = http::Request::post("/v1/orders:batch").header("host", "localhost");
        let ndjson = ndjson.header("content-type", "application/x-ndjson");
        let (_, _, text) = process.text(with(ndjson, &line)).await;
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["problem"]["errors"][0]["field"], format!("place_order.{field}"), "{text}");
        assert_eq!(last["problem"]["metadata"]["line"], "2", "{text}");
    }
    let paths = process.asked().into_iter().map(|asked| asked.path);
    let mut paths: Vec<String> = paths.collect();
    paths.dedup();
    // Only the lines before those that are refused.
    assert_eq!(paths, ["/ordinal.orders.v1.OrderService/ExecuteCommands"]);
}

#[tokio::test]
async fn whole_numbers_are_read_in_every_spelling() {
    let process = Process::new(&[json!({ "stock": { "sku": "A" } })]);
    for (written, read) in [
        ("4", "4"),
        ("4.0", "4"),
        ("-4.000", "-4"),
        ("12e2", "1200"),
        ("1.5e1", "15"),
        ("1500e-2", "15"),
        ("99999999999999.0", "99999999999999"),
        ("9007199254740993", "9007199254740993"),
        ("\"9007199254740993\"", "9007199254740993"),
        ("-9223372036854775808", "-9223372036854775808"),
    ] {
        let body = format!("{{\"delta\": {written}}}");
        let (status, _, answer) = process.json(with(post("/v1/stock/A:adjust"), &body)).await;
        assert_eq!(status, 200, "{written}: {answer}");
        assert_eq!(process.asked().pop().unwrap().message["delta"], read, "{written}");
    }
    // What no body has is no place for doubts: a text, or a shape, of another kind.
    for wrong in ["\"4.0\"", "\"1e3\"", "true", "[4]", "{\"delta\": 4, \"delta\": 4}"] {
        let body = format!("{{\"delta\": {wrong}}}");
        assert_eq!(process.json(with(post("/v1/stock/A:adjust"), &body)).await.0, 400, "{wrong}");
    }
}
