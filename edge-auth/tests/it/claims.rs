//! For whom a token is, when, and as whom its holder calls.

use std::time::Duration;

use edge_auth::{Denied, Role};
use serde_json::{Value, json};
use shared_events::contract::Timestamp;

use crate::support::{Desk, Key, SECOND, claims, now, settings, with};

async fn check(claims: &Value) -> Result<edge_auth::Identity, Denied> {
    let key = Key::es();
    Desk::open(vec![key.shown("a")]).await.check(&key.token("a", claims))
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    for audience in [json!("account"), json!(["account", "ordinal2"]), json!([]), json!(7)] {
        assert_eq!(
            check(&with("aud", audience.clone())).await,
            Err(Denied::Audience),
            "{audience}"
        );
    }
    assert_eq!(check(&with("aud", Value::Null)).await, Err(Denied::Audience));
    assert!(check(&with("aud", json!("ordinal"))).await.is_ok());
}

#[tokio::test]
async fn an_issuer_is_compared_exactly() {
    for issuer in [
        json!("https://id.example/realms/shop/"),
        json!("https://id.example/realms/Shop"),
        json!("http://id.example/realms/shop"),
        json!("https://evil.example"),
        json!(""),
    ] {
        assert_eq!(check(&with("iss", issuer.clone())).await, Err(Denied::Issuer), "{issuer}");
    }
    assert_eq!(check(&with("iss", Value::Null)).await, Err(Denied::Malformed));
}

#[tokio::test]
async fn clocks_may_differ_by_the_leeway_and_no_more() {
    let second = SECOND;
    for (claim, at, expected) in [
        ("exp", second - 59, Ok(())),
        ("exp", second - 60, Err(Denied::Expired)),
        ("exp", second - 3_600, Err(Denied::Expired)),
        ("nbf", second + 60, Ok(())),
        ("nbf", second + 61, Err(Denied::NotYet)),
        ("nbf", second + 120, Err(Denied::NotYet)),
        ("nbf", second - 1, Ok(())),
    ] {
        assert_eq!(check(&with(claim, json!(at))).await.map(drop), expected, "{claim} {at}");
    }
    assert_eq!(check(&with("exp", Value::Null)).await, Err(Denied::Malformed));
    assert_eq!(check(&with("exp", json!("tomorrow"))).await, Err(Denied::Malformed));
    assert!(check(&with("exp", json!(1e300))).await.is_err());
    let fraction = serde_json::from_str(&format!("{}.75", second + 10)).unwrap();
    assert!(check(&with("exp", fraction)).await.is_ok());
}

#[tokio::test]
async fn a_token_that_was_accepted_ends_at_its_time() {
    let key = Key::es();
    let desk = Desk::open(vec![key.shown("a")]).await;
    let token = key.token("a", &claims());
    let at = |seconds: u64| now().plus(Duration::from_secs(seconds));
    let check = |time: Timestamp| desk.check_at(&token, time).map(drop);
    assert_eq!(check(at(0)), Ok(()));
    assert_eq!(check(at(359)), Ok(()));
    assert_eq!(check(at(360)), Err(Denied::Expired));
    // The clock was set back.
    assert_eq!(check(at(0)), Ok(()));
}

#[tokio::test]
async fn roles_come_from_the_map_and_the_highest_counts() {
    let roles = |roles: Value| with("realm_access", json!({"roles": roles}));
    for (given, expected) in [
        (json!(["ordinal-svc"]), Ok(Role::Service)),
        (json!(["ordinal-svc", "ordinal-ops"]), Ok(Role::Ops)),
        (json!("ordinal-svc other"), Ok(Role::Service)),
        (json!(["OPS", "SERVICE", "ordinal-opsx"]), Err(Denied::Role)),
        (json!([]), Err(Denied::Role)),
        (json!({"ordinal-ops": true}), Err(Denied::Role)),
    ] {
        let found = check(&roles(given.clone())).await.map(|identity| identity.role);
        assert_eq!(found, expected, "{given}");
    }
    // A customer, unless a role says more.
    let mut customer = roles(json!([]));
    customer["customer_id"] = json!("c-1");
    let found = check(&customer).await.unwrap();
    assert_eq!((found.role, found.subject.as_str()), (Role::Customer, "c-1"));
    customer["realm_access"] = json!({"roles": ["ordinal-ops"]});
    let found = check(&customer).await.unwrap();
    assert_eq!((found.role, found.subject.as_str()), (Role::Ops, "anna"));
    assert_eq!(check(&with("sub", Value::Null)).await, Err(Denied::Role));
}

#[tokio::test]
async fn a_claim_with_dots_in_its_name_is_found() {
    let key = Key::es();
    let mut settings = settings();
    settings.roles = Some("https://shop.example/roles".to_owned());
    let desk = Desk::with_settings(vec![key.shown("a")], settings).await;
    let claims = with("https://shop.example/roles", json!(["ordinal-svc"]));
    assert_eq!(desk.check(&key.token("a", &claims)).map(|found| found.role), Ok(Role::Service));
}

#[tokio::test]
async fn scopes_limit_only_where_the_settings_name_the_claim() {
    let key = Key::es();
    let mut settings = settings();
    settings.scopes = Some("scope".to_owned());
    settings.leeway = Duration::ZERO;
    let desk = Desk::with_settings(vec![key.shown("a")], settings).await;
    let scopes = |claims: &Value| desk.check(&key.token("a", claims)).unwrap().scopes;
    let two = Some(vec!["orders.read".to_owned(), "returns.judge".to_owned()]);
    assert_eq!(scopes(&with("scope", json!("orders.read returns.judge"))), two);
    assert_eq!(scopes(&with("scope", json!(["orders.read", "returns.judge"]))), two);
    assert_eq!(scopes(&claims()), Some(vec![]), "none named, none given");
    assert_eq!(scopes(&with("scope", json!("*"))), None);
    assert_eq!(check(&with("scope", json!("orders.read"))).await.unwrap().scopes, None);
}
