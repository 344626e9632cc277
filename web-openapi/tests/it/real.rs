use std::collections::BTreeSet;

use serde_json::Value;
use web_edge::Routes;

use crate::{described, pool};

fn real() -> Routes {
    let protos = ["orders/v1/orders", "orders/v1/journal", "facts/v1/facts", "admin/v1/admin"];
    let more = ["inventory/v1/inventory", "notifications/v1/notifications"];
    let files: Vec<String> =
        protos.iter().chain(&more).map(|file| format!("ordinal/{file}.proto")).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    Routes::of(pool(&files, &["../proto"]), |_| true).unwrap()
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (verb, operation) in operations.as_object().unwrap() {
            found.push((format!("{verb} {path}"), operation));
        }
    }
    found
}

#[test]
fn every_method_of_every_service_is_described() {
    let routes = real();
    let (_, document) = described(&routes);
    let operations = operations(&document);
    let ids: BTreeSet<&str> =
        operations.iter().map(|(_, of)| of["operationId"].as_str().unwrap()).collect();
    let ours = routes
        .descriptors()
        .services()
        .filter(|service| service.full_name().starts_with("ordinal."));
    let methods: Vec<_> = ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    assert!(methods.len() > 40, "{}", methods.len());
    for method in methods {
        assert!(ids.contains(method.name()), "{} is not described", method.full_name());
    }
    for (route, operation) in operations {
        for part in ["summary", "description"] {
            assert!(operation[part].as_str().is_some_and(|text| text.len() > 10), "{route}");
        }
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{route}");
    }
}

/// Every `$ref` leads somewhere, and nothing is there for nobody.
#[test]
fn every_reference_resolves_and_every_component_is_used() {
    let (text, document) = described(&real());
    let mut named = BTreeSet::new();
    for rest in text.split("\"$ref\": \"#").skip(1) {
        let pointer = rest.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        named.insert(pointer.to_owned());
    }
    for group in ["schemas", "responses", "headers", "parameters"] {
        for name in document["components"][group].as_object().unwrap().keys() {
            let pointer = format!("/components/{group}/{name}");
            assert!(named.contains(&pointer), "{pointer} is not used");
        }
    }
}

#[test]
fn every_field_and_value_has_a_description() {
    let (_, document) = described(&real());
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        if name.starts_with("google.") {
            continue;
        }
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        let fields = schema["properties"].as_object().cloned().unwrap_or_default();
        for (field, schema) in fields {
            assert!(schema["description"].as_str().is_some(), "{name}.{field}");
        }
    }
}

#[test]
fn the_same_protos_give_the_same_text() {
    assert_eq!(described(&real()).0, described(&real()).0);
}

#[test]
fn path_variables_and_path_parameters_agree() {
    let (_, document) = described(&real());
    for (route, operation) in operations(&document) {
        let variables: BTreeSet<&str> =
            route.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: BTreeSet<&str> = parameters
            .iter()
            .filter(|one| one["in"] == "path")
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(in_path, variables, "{route}");
    }
}

#[test]
fn commands_take_a_key_and_a_version_and_streams_two_formats() {
    let (_, document) = described(&real());
    let cancel = &document["paths"]["/v1/orders/{order_id}:cancel"]["post"];
    let references: Vec<&str> = cancel["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["$ref"].as_str())
        .collect();
    let expected = ["validate_only", "Idempotency-Key", "If-Match"];
    assert_eq!(references, expected.map(|name| format!("#/components/parameters/{name}")));
    let watch = &document["paths"]["/v1/orders:watch"]["get"]["responses"]["200"]["content"];
    let formats: Vec<&String> = watch.as_object().unwrap().keys().collect();
    assert_eq!(formats, ["application/x-ndjson", "text/event-stream"]);
    let place = &document["paths"]["/v1/orders"]["post"]["responses"];
    assert!(place["201"]["headers"]["Location"].is_object());
    let get = &document["paths"]["/v1/orders/{order_id}"]["get"]["responses"];
    assert!(get["304"].is_object() && get["200"]["headers"]["ETag"].is_object());
    // The units on hand are a version for changes, and none for reads.
    let stock = &document["paths"]["/v1/stock/{sku}"];
    let read = &stock["get"]["responses"];
    assert!(read["304"].is_null() && read["200"]["headers"]["ETag"].is_object());
    let change = stock["put"]["parameters"].as_array().unwrap();
    assert!(change.iter().any(|one| one["$ref"] == "#/components/parameters/If-Match"));
    assert!(stock["put"]["responses"]["412"].is_object());
    let listed = &document["paths"]["/v1/stock/{sku}/movements"]["get"]["responses"]["200"];
    assert!(listed["headers"].is_null());
}

#[test]
fn an_order_whose_money_is_awaited_is_accepted() {
    let (_, document) = described(&real());
    let accepted = &document["paths"]["/v1/orders"]["post"]["responses"]["202"];
    let text = accepted["description"].as_str().unwrap();
    assert!(text.contains("`order.payment.status` is `PAYMENT_STATUS_AWAITED`"), "{text}");
    let location = &accepted["headers"]["Location"]["$ref"];
    assert_eq!(location, "#/components/headers/Location");
    for (route, operation) in operations(&document) {
        let has = operation["responses"].get("202").is_some();
        assert_eq!(has, route == "post /v1/orders", "{route}");
    }
}
