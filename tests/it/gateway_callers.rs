//! Callers of a gateway who prove who they are: signed tokens of an identity provider, by TLS from
//! the caller to the gateway and from there to the engine.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;

use crate::certificates::Authority;
use crate::http::Http;
use crate::issuer::Issuer;
use crate::rest::events;
use crate::support::{CUSTOMER, Engine, PATIENCE, write_private};

const PEER: &str = "the-gateway-has-this-token-of-32-characters";

/// An engine, a gateway in front of it, and the provider that both believe.
struct There {
    authority: Authority,
    issuer: Issuer,
    engine: Engine,
    edge: Engine,
    _folder: TempDir,
}

impl There {
    async fn open() -> Self {
        let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
        let files = authority.write("server", &authority.issue(&["127.0.0.1"]));
        let issuer = Issuer::open().await;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (issuers, tokens, data) = (path("issuers.toml"), path("tokens.toml"), path("data"));
        let known = format!(
            "[[issuer]]\nissuer = \"{}\"\naudience = [\"ordinal\"]\nroles = \"roles\"\n\
             map = {{ ordinal-ops = \"OPS\" }}\ncustomer = \"customer_id\"\nscopes = \"scope\"\n\
             jwks = {{ refresh = \"2s\", cooldown = \"1s\" }}\n",
            issuer.url
        );
        std::fs::write(&issuers, known).unwrap();
        let line = format!("token = \"{PEER}\"\nrole = \"SERVICE\"\nsubject = \"edge\"\n");
        write_private(Path::new(&tokens), &format!("[[tokens]]\n{line}peer = true\n"));
        let tls = ["--tls-cert", &files.0, "--tls-key", &files.1];
        let common = [&tls[..], &["--issuers", &issuers, "--tokens", &tokens]].concat();
        let engine = Engine::start_with(&[&common[..], &["--data", &data]].concat());
        let at = engine.address.as_str();
        let own = ["--role", "edge", "--peer-ca", authority.ca(), "--peer-token", PEER];
        let others = ["--orders-at", at, "--inventory-at", at, "--notifications-at", at];
        let edge = Engine::start_with(&[&common[..], &own, &others].concat());
        let there = Self { authority, issuer, engine, edge, _folder: folder };
        let patience = Instant::now() + PATIENCE;
        while there.http().await.call("GET /readyz", &[]).await.status != 200 {
            assert!(Instant::now() < patience, "the gateway is not ready");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        there
    }

    /// A connection to the gateway.
    async fn http(&self) -> Http {
        let stream = self.authority.connect(&self.edge.address, &["http/1.1"]).await;
        let host = self.edge.address.trim_start_matches("https://").to_owned();
        Http::over(Box::new(stream), host)
    }

    /// What a caller with a token of these claims sends, valid for so many seconds.
    fn bearer(&self, seconds: i64, mut claims: Value) -> String {
        claims["exp"] = json!(jiff::Timestamp::now().as_second() + seconds);
        format!("Bearer {}", self.issuer.token(&claims))
    }

    fn customer(&self, id: &str) -> String {
        self.bearer(3_600, json!({ "customer_id": id }))
    }

    fn ops(&self) -> String {
        self.bearer(3_600, json!({ "roles": ["ordinal-ops"] }))
    }

    fn close(self) {
        assert!(self.edge.stop().success());
        assert!(self.engine.stop().success());
    }
}

fn order() -> Value {
    json!({
        "customer_id": CUSTOMER,
        "lines": [{
            "sku": "MUG", "quantity": 1, "unit_price": { "currency_code": "GBP", "units": "4" },
        }],
        "address": {
            "street": "1 Street", "city": "London", "postal_code": "W1", "country": "GB",
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_provider_say_who_calls_through_a_gateway_by_tls() {
    let there = There::open().await;
    let (ops, anna) = (there.ops(), there.customer(CUSTOMER));
    let mut http = there.http().await;
    let as_ops = [("authorization", ops.as_str())];
    let as_anna = [("authorization", anna.as_str())];
    let put = "PUT /v1/stock/MUG";
    let five = json!({ "on_hand": 5 });
    assert_eq!(http.json(put, &as_ops, &five).await.status, 200);
    let placed = http.json("POST /v1/orders", &as_anna, &order()).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let id = placed.json()["order"]["order_id"].as_str().unwrap().to_owned();
    let get = format!("GET /v1/orders/{id}");
    assert_eq!(http.call(&get, &as_anna).await.status, 200);
    // By gRPC.
    let token = ops.trim_start_matches("Bearer ");
    there.edge.ask(&["--ca", there.authority.ca(), "--token", token, "order", "get", &id]);
    // The events say who it was, not that a gateway sent it.
    let history = http.call(&format!("{get}/events"), &as_ops).await;
    assert!(history.status == 200 && history.text.contains(CUSTOMER), "{history:?}");

    let stranger = there.customer(&Uuid::now_v7().to_string());
    let audience = there.bearer(3_600, json!({ "customer_id": CUSTOMER, "aud": "shop" }));
    let narrow = json!({ "roles": ["ordinal-ops"], "scope": "orders.read" });
    let (narrow, old) = (there.bearer(3_600, narrow), there.bearer(-120, json!({})));
    for (token, line, expected, why) in [
        (&stranger, get.as_str(), (404, "NOT_FOUND"), Value::Null),
        (&audience, get.as_str(), (401, "UNAUTHENTICATED"), json!("AUDIENCE")),
        (&old, get.as_str(), (401, "TOKEN_EXPIRED"), json!("EXPIRED")),
        (&anna, put, (403, "FORBIDDEN"), Value::Null),
        (&narrow, put, (403, "FORBIDDEN"), Value::Null),
    ] {
        let headers = [("authorization", token.as_str())];
        let answer = match line == put {
            true => http.json(line, &headers, &five).await,
            false => http.call(line, &headers).await,
        };
        assert_eq!((answer.status, answer.code().as_str()), expected, "{answer:?}");
        assert_eq!(answer.json()["metadata"]["token"], why, "{answer:?}");
    }
    let nobody = http.call(&get, &[]).await;
    assert_eq!((nobody.status, nobody.code().as_str()), (401, "UNAUTHENTICATED"));
    there.close();
}

/// A1, A7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_and_the_end_of_a_token_count_through_a_gateway() {
    let there = There::open().await;
    there.issuer.rotate();
    let ops = there.ops();
    let patience = Instant::now() + PATIENCE;
    loop {
        let mut http = there.http().await;
        let me = http.call("GET /v1/stock/MUG", &[("authorization", ops.as_str())]).await;
        if me.status == 404 || me.status == 200 {
            break;
        }
        assert_eq!(me.status, 401, "{me:?}");
        assert!(Instant::now() < patience, "the new key is never known: {me:?}");
    }
    let (short, kind) = (there.bearer(3, json!({ "roles": ["ordinal-ops"] })), "text/event-stream");
    let mut http = there.http().await;
    let headers = [("authorization", short.as_str()), ("accept", kind)];
    http.head("GET /v1/orders:watch", &headers).await;
    assert_eq!(http.answered().await.status, 200);
    let mut text = String::new();
    while let Some(chunk) = http.chunk().await {
        text.push_str(&chunk);
    }
    let (cursor, name, problem) = events(&text).pop().unwrap();
    assert_eq!((name.as_str(), &problem["code"]), ("problem", &json!("TOKEN_EXPIRED")));
    let anna = there.customer(CUSTOMER);
    let as_anna = [("authorization", anna.as_str())];
    let placed = there.http().await.json("POST /v1/orders", &as_anna, &order()).await;
    let id = placed.json()["order"]["order_id"].as_str().unwrap().to_owned();
    // With a new token it goes on after where it was.
    let headers = [("authorization", ops.as_str()), ("last-event-id", cursor.as_str())];
    let mut http = there.http().await;
    http.head("GET /v1/orders:watch", &headers).await;
    assert_eq!(http.answered().await.status, 200);
    while !http.chunk().await.unwrap().contains(&id) {}
    there.close();
}
