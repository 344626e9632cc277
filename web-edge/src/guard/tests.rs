use http::Request;

use super::*;

fn status(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> u16 {
    let hosts = Hosts::new(["https://orders.example"]).unwrap();
    let request = build(Request::get("/v1/orders")).body(()).unwrap();
    check(&hosts, &request).map_or_else(|problem| problem.status().as_u16(), |()| 200)
}

fn get(uri: &str, headers: &[(&str, &str)]) -> u16 {
    status(|request| {
        let request = request.uri(uri);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    })
}

const HERE: (&str, &str) = ("host", "127.0.0.1:7400");

#[test]
fn a_process_answers_under_its_own_names_only() {
    for known in ["127.0.0.1:7400", "localhost", "[::1]:7400", "10.1.2.3", "Orders.Example:443"] {
        assert_eq!(get("/v1/orders", &[("host", known)]), 200, "{known}");
    }
    for other in ["evil.example", "localhost.evil.example", "a@127.0.0.1", "127.0.0.1.nip.io", ""] {
        assert_eq!(get("/v1/orders", &[("host", other)]), 421, "{other}");
    }
    assert_eq!(get("/v1/orders", &[]), 421);
    assert_eq!(get("http://evil.example/v1/orders", &[HERE]), 421);
    assert_eq!(get("/v1/orders", &[HERE, ("host", "evil.example")]), 421);
}

#[test]
fn pages_of_others_are_refused() {
    for (own, status) in [
        ("http://127.0.0.1:7400", 200),
        ("https://orders.example", 200),
        ("http://127.0.0.1:3000", 403),
        ("http://evil.example", 403),
        ("null", 403),
    ] {
        assert_eq!(get("/v1/orders", &[HERE, ("origin", own)]), status, "{own}");
    }
    for (site, status) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("x", 403)] {
        assert_eq!(get("/v1/orders", &[HERE, ("sec-fetch-site", site)]), status, "{site}");
    }
    let link = [
        HERE,
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    assert_eq!(get("/v1/orders", &link), 200);
}

#[test]
fn a_body_is_json_and_says_so() {
    let post = |headers: &[(&str, &str)]| get("/v1/orders", &[&[HERE], headers].concat());
    let with = |kind| post(&[("content-length", "2"), ("content-type", kind)]);
    assert_eq!(with("application/json"), 200);
    assert_eq!(with("Application/JSON; charset=utf-8"), 200);
    for other in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=x"]
    {
        assert_eq!(with(other), 415, "{other}");
    }
    assert_eq!(post(&[("content-length", "2")]), 415);
    assert_eq!(post(&[("transfer-encoding", "chunked")]), 415);
    assert_eq!(post(&[("content-length", "0")]), 200);
    assert_eq!(post(&[("content-type", "text/plain")]), 415);
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    assert_eq!(post(&gzip), 415);
}

#[test]
fn a_path_has_one_spelling() {
    let of = |path: &str| get(path, &[HERE]);
    assert_eq!(of("/v1/stock/A%2FB"), 200);
    for other in [
        "/v1//orders",
        "/v1/./orders",
        "/v1/%2e%2e/orders",
        "/v1/%2E/orders",
        "/v1/orders/",
        "/v1/orders/..:cancel",
        "//v1/orders",
    ] {
        assert_eq!(of(other), 404, "{other}");
    }
}

#[test]
fn tokens_do_not_belong_into_addresses() {
    assert_eq!(get("/v1/orders?page_size=1&access_token=x", &[HERE]), 400);
    assert_eq!(get("/v1/orders?page_token=x", &[HERE]), 200);
}

#[test]
fn a_head_is_bounded() {
    let long = "x".repeat(HEADERS_BYTES_MAX);
    assert_eq!(get("/v1/orders", &[HERE, ("x", &long)]), 431);
    assert_eq!(get(&format!("/v1/orders?page_token={long}"), &[HERE]), 431);
}
