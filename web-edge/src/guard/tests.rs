use http::{Request, Response};
use tonic::body::Body;

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
    let long = "x".repeat(HEAD_BYTES_MAX);
    assert_eq!(get("/v1/orders", &[HERE, ("x", &long)]), 431);
    assert_eq!(get(&format!("/v1/orders?page_token={long}"), &[HERE]), 431);
}

fn asked(origin: &str, method: &str) -> Option<Response<Body>> {
    let hosts = Hosts::default().and_pages_of(["https://shop.example:443"]).unwrap();
    let request = Request::builder().method(method).uri("/v1/orders").header("host", "localhost");
    let request = request.header("origin", origin).header("sec-fetch-site", "cross-site");
    let request = request.header("access-control-request-method", "POST").body(()).unwrap();
    check(&hosts, &request).ok()?;
    let cors = Cors::of(&hosts, &request).unwrap();
    let more = [http::HeaderName::from_static("ordinal-role")];
    let answer = cors.preflight(&request, more.iter());
    Some(cors.permit(answer.unwrap_or_else(|| Response::new(Body::empty()))))
}

#[test]
fn pages_of_permitted_origins_may_call_and_no_others() {
    let answer = asked("https://shop.example", "OPTIONS").unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(header("vary"), "origin");
    assert!(header("access-control-allow-headers").contains("authorization, content-type"));
    assert!(header("access-control-allow-headers").ends_with(", ordinal-role"));
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    let answer = asked("https://shop.example", "GET").unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("access-control-expose-headers"));
    for other in [
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evil-shop.example",
        "https://SHOP.example",
        "null",
    ] {
        assert!(asked(other, "OPTIONS").is_none(), "{other}");
        assert!(asked(other, "GET").is_none(), "{other}");
    }
    for wrong in ["*", "null", "https://*.example", "https://a@shop.example", "ftp://shop.example"]
    {
        assert!(Hosts::default().and_pages_of([wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn without_permitted_origins_nothing_is_said_about_them() {
    let request = Request::get("/v1/orders").header("origin", "https://shop.example").body(());
    assert!(Cors::of(&Hosts::default(), &request.unwrap()).is_none());
}
