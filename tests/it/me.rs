//! Who a caller is, as it is told.

use std::time::Duration;

use edge_auth::{Grant, Issuers, KeySet, PublicKey, Role, SigningKey, own_issuer};
use ordinal::access::Access;
use serde_json::{Value, json};

use crate::callers::with_token;
use crate::http::Http;
use crate::issuer::now;
use crate::shop::{On, Shop};

const ME: &str = "GET /v1/me";
const DESK: &str = "the-token-of-a-returns-desk-of-enough-characters";

/// What the bearer of a token is told.
async fn told(address: &str, token: &str) -> Value {
    let mut http = Http::connect(address).await;
    let answer = http.call(ME, &[("authorization", &format!("Bearer {token}"))]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    let by_grpc = with_token(address, token).await;
    let by_grpc = by_grpc.call("admin.v1.AdminService/GetMe", json!({})).await.unwrap();
    assert_eq!(by_grpc["subject"], answer.json()["subject"]);
    answer.json()
}

/// One who is no customer, and whom nothing but the role limits.
fn unlimited(role: &str, subject: &str) -> Value {
    json!({ "role": role, "subject": subject, "customer_id": "", "scopes": ["*"] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_caller_is_told_who_it_is() {
    let mut shop = Shop::open(On::Sqlite).await;
    let customer = shop.customer.to_string();
    // Without tokens a caller is whom it names.
    let mut http = Http::connect(&shop.address).await;
    let named = [("ordinal-role", "customer"), ("ordinal-subject", customer.as_str())];
    let of_customer = json!({
        "role": "CUSTOMER", "subject": customer, "customer_id": customer, "scopes": [],
    });
    assert_eq!(http.call(ME, &named).await.json(), of_customer);
    assert_eq!(http.call(ME, &[]).await.json(), unlimited("OPS", "developer"));

    let file = shop.data().with_extension("tokens");
    let desk = "role = \"SERVICE\"\nscopes = [\"returns\"]\nsubject = \"desk\"";
    std::fs::write(&file, format!("[[tokens]]\ntoken = \"{DESK}\"\n{desk}\n")).unwrap();
    let key = SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap();
    let mut issuers = Issuers::default();
    let public = PublicKey::from_pem(&key.public_pem()).unwrap();
    issuers.add_own(own_issuer(), KeySet::of(public)).unwrap();
    let access = Access::from_file(&file).unwrap().and_issuers(issuers);
    shop.restart(|settings| settings.access = access).await;
    assert_eq!(told(&shop.address, DESK).await, unlimited("RETURNS_DESK", "desk"));
    let signed = |role: Role, subject: &str, scopes: &[&str]| {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let valid_for = Duration::from_secs(3_600);
        key.issue(&Grant { role, subject, scopes: &scopes, valid_for }, "id", now()).unwrap()
    };
    let ending = |mut me: Value| {
        me["expires_at"] = json!("2026-03-02T10:00:00Z");
        me
    };
    let mut reader = unlimited("OPS", "anna");
    reader["scopes"] = json!(["ops.read", "audit.read"]);
    for (token, me) in [
        (signed(Role::Customer, &customer, &[]), of_customer),
        (signed(Role::Service, "shop", &[]), unlimited("SERVICE", "shop")),
        (signed(Role::Ops, "anna", &["ops.read", "audit.read"]), reader),
    ] {
        assert_eq!(told(&shop.address, &token).await, ending(me));
    }
    let mut http = Http::connect(&shop.address).await;
    let nobody = http.call(ME, &named).await;
    assert_eq!((nobody.status, nobody.code().as_str()), (401, "UNAUTHENTICATED"));
    shop.stop().await;
}
