//! Tokens that the engine signs for customers.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::http::{Answer, Http};
use crate::overload::token;
use crate::support::{CUSTOMER, Engine, ordinal};

/// A key, and tokens that are signed with it on the command line.
struct Keys(tempfile::TempDir);

impl Keys {
    fn make() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        let made = ordinal(&["token", "key", "--out", &keys.private()]);
        assert!(made.status.success());
        keys
    }

    fn private(&self) -> String {
        self.0.path().join("issuer.pem").display().to_string()
    }

    fn token(&self, more: &[&str]) -> String {
        let key = self.private();
        let issue = ["--json", "token", "issue", "--key", &key, "--subject", "shop"];
        let output = ordinal(&[&issue[..], more].concat());
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        format!("Bearer {}", told["token"].as_str().unwrap())
    }

    fn engine(&self, folder: &Path, key: &str, more: &[&str]) -> Engine {
        let data = folder.display().to_string();
        let flags = ["--data", data.as_str(), "--issuer-key", key];
        Engine::start_with(&[&flags[..], more].concat())
    }
}

async fn ask(engine: &Engine, bearer: &str, body: Value) -> Answer {
    let mut http = Http::connect(&engine.address).await;
    let headers = [("authorization", bearer)];
    let headers = if bearer.is_empty() { &[][..] } else { &headers[..] };
    http.json("POST /v1/tokens", headers, &body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_a_token_with_which_its_customer_calls() {
    let keys = Keys::make();
    let engine = keys.engine(&keys.0.path().join("data"), &keys.private(), &["--issue-tokens"]);
    let service = keys.token(&["--role", "SERVICE"]);
    let body = json!({ "customer_id": CUSTOMER, "valid_for": "60s" });
    let issued = ask(&engine, &service, body.clone()).await;
    assert_eq!(issued.status, 201, "{issued:?}");
    assert!(issued.json()["expires_at"].is_string(), "{issued:?}");
    let token = issued.json()["token"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {token}");
    // The same on the command line.
    let token_of_service = service.trim_start_matches("Bearer ");
    let asking = ["--token", token_of_service, "token", "ask", "--customer", CUSTOMER];
    let asked = engine.ask(&[&asking[..], &["--valid-for", "60s"]].concat());
    assert!(asked["token"].is_string() && asked["expires_at"].is_string(), "{asked}");
    let refused = engine.refused(2, &[&asking[..], &["--valid-for", "2h"]].concat());
    assert_eq!(refused["field_violations"][0]["field"], "valid_for", "{refused}");
    let only = json!({ "customer_id": CUSTOMER, "valid_for": "60s", "validate_only": true });
    let would = ask(&engine, &service, only).await;
    assert_eq!((would.status, &would.json()["token"]), (200, &json!("")), "{would:?}");
    assert!(would.json()["expires_at"].is_string(), "{would:?}");
    // It is this customer's, and nobody else's.
    let mut http = Http::connect(&engine.address).await;
    let mine = http.call("GET /v1/orders", &[("authorization", &bearer)]).await;
    assert_eq!(mine.status, 200, "{mine:?}");
    let other = "GET /v1/orders?customer_id=018f6f3e-0000-7000-8000-000000000002";
    let others = http.call(other, &[("authorization", &bearer)]).await;
    assert_eq!(others.status, 403, "{others:?}");
    // Nobody signs for himself, and a limited service only with the scope.
    for (bearer, status) in [
        (bearer, 403),
        (keys.token(&["--role", "RETURNS_DESK"]), 403),
        (keys.token(&["--role", "SERVICE", "--scope", "orders.read"]), 403),
        (keys.token(&["--role", "SERVICE", "--scope", "tokens.issue"]), 201),
        (keys.token(&["--role", "OPS"]), 201),
        (String::new(), 401),
    ] {
        let answer = ask(&engine, &bearer, body.clone()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    // What operators got is recorded, what services did is not.
    let ops = keys.token(&["--role", "OPS"]);
    let ops = ["--token", ops.trim_start_matches("Bearer ")];
    let asking = ["token", "ask", "--customer", CUSTOMER, "--reason", " Zoe\u{308} called "];
    engine.ask(&[&ops[..], &asking].concat());
    let listed = engine.ask(&[&ops[..], &["operations", "list", "--kind", "TOKEN"]].concat());
    let actions = listed["actions"].as_array().unwrap();
    let recorded = |nth: usize, key: &str| actions[nth][key].as_str().unwrap();
    assert_eq!(actions.len(), 2, "{listed}");
    assert_eq!([recorded(0, "reason"), recorded(1, "reason")], ["Zo\u{eb} called", ""]);
    for nth in 0..2 {
        assert_eq!((recorded(nth, "verb"), recorded(nth, "target")), ("ISSUE_TOKEN", CUSTOMER));
        let after = recorded(nth, "after");
        assert!(after.starts_with("token ") && after.contains(" until "), "{after}");
    }
    for (body, field) in [
        (json!({}), "customer_id"),
        (json!({ "customer_id": "anna" }), "customer_id"),
        (json!({ "customer_id": CUSTOMER, "valid_for": "0s" }), "valid_for"),
        (json!({ "customer_id": CUSTOMER, "valid_for": "3601s" }), "valid_for"),
        (json!({ "customer_id": CUSTOMER, "valid_for": "-1s" }), "valid_for"),
        (json!({ "customer_id": CUSTOMER, "role": "OPS" }), "role"),
        (json!({ "customer_id": CUSTOMER, "reason": "two\nlines" }), "reason"),
    ] {
        let answer = ask(&engine, &service, body.clone()).await;
        assert_eq!((answer.status, &answer.json()["errors"][0]["field"]), (400, &json!(field)));
    }
    // The key is shown, and nothing private of it.
    let shown = http.call("GET /.well-known/jwks.json", &[]).await;
    let header = token.split('.').next().unwrap();
    let header = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header);
    let header: Value = serde_json::from_slice(&header.unwrap()).unwrap();
    let keys_shown = shown.json()["keys"].as_array().unwrap().clone();
    assert_eq!((shown.status, keys_shown.len()), (200, 1));
    assert_eq!(keys_shown[0]["kid"], header["kid"]);
    let names: Vec<&String> = keys_shown[0].as_object().unwrap().keys().collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert!(engine.stop().success());
}

/// What an operator gets is recorded, and a gateway keeps nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_signs_tokens_for_services_and_not_for_operators() {
    let keys = Keys::make();
    let (key, peer, nowhere) = (keys.private(), token("SERVICE", "edge"), "http://127.0.0.1:9");
    let edge = ["--role", "edge", "--issuer-key", &key, "--issue-tokens", "--peer-token", &peer];
    let others = ["--orders-at", nowhere, "--inventory-at", nowhere, "--notifications-at", nowhere];
    let edge = Engine::start_with(&[&edge[..], &others].concat());
    let body = json!({ "customer_id": CUSTOMER });
    let issued = ask(&edge, &keys.token(&["--role", "SERVICE"]), body.clone()).await;
    assert_eq!(issued.status, 201, "{issued:?}");
    assert!(issued.json()["token"].is_string(), "{issued:?}");
    let refused = ask(&edge, &keys.token(&["--role", "OPS"]), body).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "NOT_IN_THIS_ROLE"));
    assert!(edge.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_signed_unless_it_is_turned_on() {
    let keys = Keys::make();
    let public = format!("{}.pub", keys.private());
    let data = keys.0.path().join("data");
    for key in [keys.private(), public.clone()] {
        let engine = keys.engine(&data, &key, &[]);
        let service = keys.token(&["--role", "SERVICE"]);
        let refused = ask(&engine, &service, json!({ "customer_id": CUSTOMER })).await;
        assert_eq!((refused.status, refused.code().as_str()), (409, "TOKENS_NOT_ISSUED"));
        assert!(engine.stop().success());
    }
    let data = data.display().to_string();
    let serve = ["serve", "--data", data.as_str(), "--issue-tokens"];
    for (more, what) in
        [(&["--issuer-key", public.as_str()][..], "it is the public key"), (&[], "--issuer-key")]
    {
        let output = ordinal(&[&serve[..], more].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(what), "{error}");
    }
    fs::remove_file(keys.private()).unwrap();
    let engine = keys.engine(Path::new(&data), &public, &[]);
    let mut http = Http::connect(&engine.address).await;
    let shown = http.call("GET /.well-known/jwks.json", &[]).await;
    assert_eq!(shown.json()["keys"][0]["alg"], "ES256");
    // Without a key of our own there is none to show.
    let without = Engine::start(&keys.0.path().join("other"));
    let mut http = Http::connect(&without.address).await;
    assert_eq!(http.call("GET /.well-known/jwks.json", &[]).await.status, 404);
}
