//! Callers who prove who they are by signed tokens, through the real edge.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use edge_auth::{Grant, Issuers, KeySet, PublicKey, Role, SigningKey, own_issuer};
use futures::StreamExt as _;
use ordinal::access::Access;
use ordinal::client::{Caller, Client, Connection, Failure};
use ordinal::engine::{Backend, Engine as Process, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;

use crate::http::{Answer, Http};
use crate::issuer::{Issuer, SECOND};
use crate::shop::{On, Orders as _, Shop, on_both};
use crate::support::{Engine, PATIENCE, ordinal};

const LOOK_AGAIN: Duration = Duration::from_millis(20);
const RESERVATION: &str = "inventory.v1.InventoryService/GetReservation";
const MESSAGES: &str = "notifications.v1.NotificationService/ListNotifications";

pub async fn with_token(address: &str, token: impl Into<String>) -> Client {
    let connection = Connection {
        address: Some(address.to_owned()),
        caller: None,
        token: Some(token.into()),
        ca: None,
        cert: None,
        cert_key: None,
        timeout: Duration::from_secs(30),
    };
    Client::connect(&connection).await.unwrap()
}

/// The reason of a refusal, and what it says of the token.
fn why(failure: Failure) -> (String, String) {
    use tonic_types::StatusExt as _;
    let Failure::Status(status) = failure else { panic!("{failure}") };
    let info = status.get_details_error_info().unwrap();
    (info.reason, info.metadata.get("token").cloned().unwrap_or_default())
}

async fn refused(address: &str, token: String) -> (String, String) {
    let client = with_token(address, token).await;
    why(client.orders("GetOrder", json!({"order_id": Uuid::now_v7()})).await.unwrap_err())
}

fn is(reason: &str, token: &str) -> (String, String) {
    (reason.to_owned(), token.to_owned())
}

on_both!(
    a_token_calls_as_what_its_claims_say,
    customers_read_the_stock_answer_and_messages_of_their_own_orders,
);

async fn a_token_calls_as_what_its_claims_say(mut shop: Shop) {
    let issuer = Issuer::open().await;
    let issuers = issuer.issuers();
    shop.restart(|settings| settings.access = Access::development().and_issuers(issuers)).await;
    let address = shop.address.clone();
    let ops = with_token(&address, issuer.ops()).await;
    let stock = json!({"sku": "MUG", "on_hand": 5});
    ops.call("inventory.v1.InventoryService/SetStock", stock).await.unwrap();
    let customer = with_token(&address, issuer.customer(shop.customer)).await;
    let placed = customer.orders("PlaceOrder", shop.order(&[("MUG", 1)])).await.unwrap();
    let request = json!({"order_id": placed["order"]["order_id"]});
    assert!(customer.orders("GetOrder", request.clone()).await.is_ok());
    let stranger = with_token(&address, issuer.customer(Uuid::now_v7())).await;
    let failure = stranger.orders("GetOrder", request.clone()).await.unwrap_err();
    assert_eq!(why(failure), is("NOT_FOUND", ""));
    // The events say who it was.
    let history = ops.call("orders.v1.JournalService/ListOrderEvents", request.clone()).await;
    assert!(history.unwrap().to_string().contains(&shop.customer.to_string()));

    for (more, expected) in [
        (json!({"aud": "shop-web"}), is("UNAUTHENTICATED", "AUDIENCE")),
        (json!({"iss": "https://elsewhere.example"}), is("UNAUTHENTICATED", "UNKNOWN_ISSUER")),
        (json!({"exp": SECOND - 61}), is("TOKEN_EXPIRED", "EXPIRED")),
        (json!({"nbf": SECOND + 120}), is("UNAUTHENTICATED", "NOT_YET_VALID")),
        (json!({"roles": ["marketing"]}), is("FORBIDDEN", "NO_ROLE")),
        (json!({"roles": ["ordinal-ops"], "sub": "a\u{202e}b"}), is("FORBIDDEN", "NO_ROLE")),
        (json!({"customer_id": "not an id"}), is("FORBIDDEN", "NO_ROLE")),
    ] {
        assert_eq!(refused(&address, issuer.token(&more)).await, expected, "{more}");
    }
    let other = Issuer::open().await;
    let forged = other.token(&json!({"iss": issuer.url, "roles": ["ordinal-ops"]}));
    assert_eq!(refused(&address, forged).await.0, "UNAUTHENTICATED");
    let valid = issuer.ops();
    let (signed, _) = valid.rsplit_once('.').unwrap();
    let unsigned = format!("{signed}.");
    assert_eq!(refused(&address, unsigned).await, is("UNAUTHENTICATED", "SIGNATURE"));
    // Without a dot it is none of an issuer's, however long it is.
    assert_eq!(refused(&address, "x".repeat(15_000)).await, is("UNAUTHENTICATED", ""));
    let long = issuer.token(&json!({"more": "x".repeat(10_800)}));
    assert_eq!(refused(&address, long).await, is("UNAUTHENTICATED", "TOO_LONG"));
    shop.advance(Duration::from_secs(3_600 + 60));
    assert_eq!(refused(&address, valid).await, is("TOKEN_EXPIRED", "EXPIRED"));
    shop.restart(|settings| settings.access = Access::development()).await;
    shop.close().await;
}

async fn customers_read_the_stock_answer_and_messages_of_their_own_orders(shop: Shop) {
    shop.set_stock("MUG", 5).await;
    let order_id = shop.place(&[("MUG", 2)]).await;
    shop.until(&order_id, "CONFIRMED").await;
    shop.settled().await;
    let request = json!({"order_id": order_id});
    let own = shop.buyer.call(RESERVATION, request.clone()).await.unwrap();
    assert_eq!(own["reservation"]["lines"][0]["quantity"], 2, "{own}");
    assert_eq!(own, shop.ops.call(RESERVATION, request.clone()).await.unwrap());
    let own = shop.buyer.call(MESSAGES, request.clone()).await.unwrap();
    let messages = own["notifications"].as_array().unwrap();
    assert!(!messages.is_empty());
    assert!(messages.iter().all(|message| message["channel"] != "WEBHOOK"), "{own}");

    let foreign = shop.as_caller("customer", &Uuid::now_v7().to_string()).await;
    for method in [RESERVATION, MESSAGES] {
        // A foreign order, one that does not exist, and the order service's own answer are the same.
        let said = async |request: Value| {
            let Failure::Status(status) = foreign.call(method, request).await.unwrap_err() else {
                panic!("not a status")
            };
            (status.code(), status.message().to_owned(), status.details().to_vec())
        };
        let there = said(request.clone()).await;
        assert_eq!(there.0, tonic::Code::NotFound);
        assert_eq!(said(json!({"order_id": Uuid::now_v7()})).await, there, "{method}");
        let none = shop.buyer.call(method, json!({})).await.unwrap_err();
        assert_eq!(why(none).0, "INVALID_FIELD", "{method}");
        let broken = shop.buyer.call(method, json!({"order_id": "no id"})).await;
        assert!(broken.is_err());
    }
    // Services and operators as before, without an order too.
    assert!(shop.service.call(MESSAGES, json!({})).await.is_ok());
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_new_is_accepted_without_a_restart() {
    let issuer = Issuer::open().await;
    let mut shop = Shop::open(On::Sqlite).await;
    let issuers = issuer.issuers();
    shop.restart(|settings| settings.access = Access::development().and_issuers(issuers)).await;
    let list = async |token: String| {
        with_token(&shop.address, token).await.orders("ListOrders", json!({})).await
    };
    list(issuer.ops()).await.unwrap();
    let old = issuer.ops();
    issuer.rotate();
    let patience = Instant::now() + PATIENCE;
    while let Err(failure) = list(issuer.ops()).await {
        // Keys were fetched only now.
        assert_eq!(why(failure), is("UNAUTHENTICATED", "UNKNOWN_KEY"));
        assert!(Instant::now() < patience);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    list(old).await.unwrap();
    // Unknown keys in any number: a fetch for each second that passes, at most.
    let (begun, before) = (Instant::now(), issuer.key_fetches());
    let other = Issuer::open().await;
    for _ in 0..50 {
        other.rotate();
        let forged = other.token(&json!({"iss": issuer.url, "roles": ["ordinal-ops"]}));
        assert_eq!(why(list(forged).await.unwrap_err()), is("UNAUTHENTICATED", "UNKNOWN_KEY"));
    }
    let most = 1 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(issuer.key_fetches() - before <= most);
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_away_at_the_start_is_asked_again() {
    let issuer = Issuer::open().await;
    issuer.be_away(true);
    let mut shop = Shop::open(On::Sqlite).await;
    let issuers = issuer.issuers();
    shop.restart(|settings| settings.access = Access::development().and_issuers(issuers)).await;
    assert_eq!(refused(&shop.address, issuer.ops()).await.0, "KEYS_UNAVAILABLE");
    issuer.be_away(false);
    let patience = Instant::now() + PATIENCE;
    while refused(&shop.address, issuer.ops()).await.0 != "NOT_FOUND" {
        assert!(Instant::now() < patience);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    // Away again: its keys still count.
    issuer.be_away(true);
    assert_eq!(refused(&shop.address, issuer.ops()).await.0, "NOT_FOUND");
    shop.stop().await;
}

#[tokio::test]
async fn an_issuer_with_another_name_ends_the_start() {
    let issuer = Issuer::open().await;
    let name = format!("{}/", issuer.url);
    issuer.call_yourself(&name);
    let folder = TempDir::new().unwrap();
    let mut settings = Settings::new(Backend::Sqlite(folder.path().to_owned()));
    settings.access = Access::development().and_issuers(issuer.issuers());
    let error = Process::start(settings).await.err().unwrap().to_string();
    assert!(error.contains(&format!("issuer {}:", issuer.url)), "{error}");
    assert!(error.contains(&format!("calls itself {name};")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_token_and_is_resumed_with_the_next() {
    let issuer = Issuer::open().await;
    let mut shop = Shop::open(On::Sqlite).await;
    let issuers = issuer.issuers();
    shop.restart(|settings| settings.access = Access::development().and_issuers(issuers)).await;
    let ops = with_token(&shop.address, issuer.ops()).await;
    // Long enough for an order to be placed and seen meanwhile.
    let short = issuer.token(&json!({"roles": ["ordinal-ops"], "exp": SECOND + 6}));
    let watcher = with_token(&shop.address, short).await;
    let begun = Instant::now();
    let method = "orders.v1.OrderService/WatchOrders";
    let mut stream = watcher.stream(method, json!({})).await.unwrap();
    let mut through = stream.next().await.unwrap().unwrap()["progress"]["through"].take();
    let place = async || ops.orders("PlaceOrder", shop.order(&[("MUG", 1)])).await.unwrap();
    let first = place().await["order"]["order_id"].take();
    let failure = loop {
        match stream.next().await.unwrap() {
            Ok(item) if item.get("change").is_some() => {
                assert_eq!(item["change"]["order"]["order_id"], first);
                through = json!([item["change"]["position"]]);
            }
            Ok(_) => {}
            Err(failure) => break failure,
        }
    };
    assert_eq!(why(failure), is("TOKEN_EXPIRED", "EXPIRED"));
    let lasted = begun.elapsed();
    let due = Duration::from_millis(5_900)..Duration::from_secs(30);
    assert!(due.contains(&lasted), "{lasted:?}");
    // What happened between the two streams is in the second.
    let second = place().await["order"]["order_id"].take();
    let mut stream = ops.stream(method, json!({"after": through})).await.unwrap();
    let next = loop {
        let mut item = stream.next().await.unwrap().unwrap();
        if item.get("change").is_some() {
            break item["change"]["order"]["order_id"].take();
        }
    };
    assert_eq!(next, second);
    shop.stop().await;
}

/// A10: whoever comes with a token that has ended is told so, each time, and sent nowhere: no answer
/// redirects, and none sets a cookie that a page could come back with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_has_ended_is_refused_and_its_caller_sent_nowhere() {
    let issuer = Issuer::open().await;
    let mut shop = Shop::open(On::Sqlite).await;
    let issuers = issuer.issuers();
    shop.restart(|settings| settings.access = Access::development().and_issuers(issuers)).await;
    let ended = issuer.token(&json!({"roles": ["ordinal-ops"], "exp": SECOND - 61}));
    let bearer = format!("Bearer {ended}");
    let with = [("authorization", bearer.as_str())];
    let leads_nowhere = |answer: &Answer| {
        assert!(!(300..400).contains(&answer.status), "{answer:?}");
        for header in ["location", "refresh", "set-cookie"] {
            assert!(!answer.headers.contains_key(header), "{answer:?}");
        }
    };
    let events = [with[0], ("accept", "text/event-stream")];
    let lines = [with[0], ("accept", "application/x-ndjson")];
    for (line, headers) in [
        ("GET /v1/me", &with[..]),
        ("GET /v1/me", &with[..]),
        ("GET /v1/orders", &with[..]),
        ("GET /v1/orders:watch", &events[..]),
        ("GET /v1/orders:watch", &lines[..]),
        ("GET /v1/events", &lines[..]),
    ] {
        let answer = Http::connect(&shop.address).await.call(line, headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "TOKEN_EXPIRED"), "{line}");
        assert!(answer.headers["www-authenticate"].starts_with("Bearer"), "{answer:?}");
        leads_nowhere(&answer);
    }
    // As stock clients of browsers spell it.
    let method = "POST /ordinal.orders.v1.OrderService/ListOrders";
    let connect = Http::connect(&shop.address).await.json(method, &with, &json!({})).await;
    let said = connect.json();
    assert_eq!((connect.status, &said["code"]), (401, &json!("unauthenticated")), "{said}");
    leads_nowhere(&connect);
    // What is for everybody stays so.
    for path in ["/docs", "/v1/openapi.json", "/v1/problems/TOKEN_EXPIRED", "/livez"] {
        let mut http = Http::connect(&shop.address).await;
        let answer = http.call(&format!("GET {path}"), &with).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        leads_nowhere(&answer);
    }
    shop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_with_scopes_may_do_what_they_name() {
    let mut shop = Shop::open(On::Sqlite).await;
    let key = SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap();
    let mut issuers = Issuers::default();
    let public = PublicKey::from_pem(&key.public_pem()).unwrap();
    issuers.add_own(own_issuer(), KeySet::of(public)).unwrap();
    shop.restart(|settings| settings.access = Access::development().and_issuers(issuers)).await;
    let scopes = ["orders.read".to_owned()];
    let valid_for = Duration::from_secs(60);
    let grant = Grant { role: Role::Ops, subject: "anna", scopes: &scopes, valid_for };
    let token = key.issue(&grant, "id", crate::issuer::now()).unwrap();
    let client = with_token(&shop.address, token).await;
    client.orders("ListOrders", json!({})).await.unwrap();
    let Failure::Status(status) =
        client.orders("CancelOrder", json!({"order_id": Uuid::now_v7()})).await.unwrap_err()
    else {
        panic!("not a status")
    };
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    assert!(status.message().contains("orders.cancel"), "{status}");
    shop.stop().await;
}

/// An engine that logs everything to a file.
fn logged(flags: &[&str], log: &Path) -> Engine {
    let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
        .args(["--json", "serve", "--listen", "127.0.0.1:0"])
        .args(flags)
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(log).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).expect("the engine did not start");
    let address = format!("http://{}", told["listening"].as_str().unwrap());
    Engine { process, address, metrics: None }
}

/// Which methods there are is told to nobody where callers need tokens, unless the flag is given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_is_off_where_callers_need_tokens() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    for (flags, served) in [(&[][..], false), (&["--reflection"], true)] {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        ordinal(&["token", "key", "--out", &path("issuer.pem")]);
        let key = path("issuer.pem.pub");
        let own = ["--issuer-key", &key, "--data", &path("data")];
        let engine = logged(&[&own[..], flags].concat(), &folder.path().join("log"));
        let client = with_token(&engine.address, "none").await;
        let mut client = ServerReflectionClient::new(client.channel());
        let listing = Some(MessageRequest::ListServices(String::new()));
        let request = ServerReflectionRequest { host: String::new(), message_request: listing };
        let answered = client.server_reflection_info(tokio_stream::once(request)).await;
        match answered {
            Ok(answers) => assert!(served && answers.into_inner().message().await.is_ok()),
            Err(refused) => assert!(!served && refused.code() == tonic::Code::Unimplemented),
        }
    }
}

/// As a new user would: a key, an engine that trusts its public part, tokens.
#[test]
fn tokens_of_a_key_of_ones_own_are_issued_on_the_command_line() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (key, public) = (path("issuer.pem"), path("issuer.pem.pub"));
    let told = |arguments: &[&str]| {
        let output = ordinal(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).unwrap().trim().to_owned(), error)
    };
    assert_eq!(told(&["token", "key", "--out", &key]).0, Some(0));
    let (code, _, error) = told(&["token", "key", "--out", &key]);
    assert!(code == Some(2) && error.contains("exists"), "{error}");
    let log = folder.path().join("log");
    let engine = logged(&["--issuer-key", &public, "--data", &path("data")], &log);
    let issue = |more: &[&str]| told(&[&["token", "issue", "--key", &key][..], more].concat());
    let (_, ops, _) = issue(&["--role", "OPS", "--subject", "anna"]);
    engine.ask(&["--token", &ops, "followers"]);
    engine.ask(&["--token", &ops, "stock", "set", "MUG", "5"]);
    let (_, narrow, _) = issue(&["--role", "ops", "--subject", "anna", "--scope", "stock.read"]);
    engine.ask(&["--token", &narrow, "stock", "get", "MUG"]);
    let refused = engine.refused(1, &["--token", &narrow, "followers"]);
    assert_eq!(refused["reason"], "FORBIDDEN");
    assert_eq!(engine.refused(1, &["followers"])["reason"], "UNAUTHENTICATED");
    for wrong in [
        &["--role", "CUSTOMER", "--subject", "anna"][..],
        &["--role", "ROOT", "--subject", "anna"],
        &["--role", "OPS", "--subject", " "],
        &["--role", "OPS", "--subject", "an\u{202e}na"],
        &["--role", "SERVICE", "--subject", "two\nlines"],
        &["--role", "SERVICE", "--subject", &"x".repeat(201)],
        &["--role", "OPS", "--subject", "anna", "--scope", "everything"],
        &["--role", "OPS", "--subject", "anna", "--valid-for", "0s"],
    ] {
        assert_eq!(issue(wrong).0, Some(2), "{wrong:?}");
    }
    let verify_only =
        told(&["token", "issue", "--key", &public, "--role", "OPS", "--subject", "a"]);
    assert!(verify_only.2.contains("it is the public key"), "{}", verify_only.2);
    let (_, stale, _) = issue(&["--role", "OPS", "--subject", "anna", "--valid-for", "1s"]);
    let changed = format!("{ops}x");
    assert_eq!(engine.refused(1, &["--token", &changed, "followers"])["reason"], "UNAUTHENTICATED");
    engine.run(&["--token", &stale, "followers"]);
    assert!(engine.stop().success());
    // No log has any of them, at the most talkative level either.
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("UNAUTHENTICATED"), "{log}");
    for token in [&ops, &narrow, &stale] {
        for part in token.split('.').skip(1) {
            assert!(!log.contains(part), "a token is in the log");
        }
    }
}

#[test]
fn an_issuer_of_the_settings_is_checked_at_the_start() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ordinal.toml");
    let checked = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let config = ["serve", "--print-config", "--config", file.to_str().unwrap()];
        let output = ordinal(&[&config[..], more].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), error, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let issuer = "[[issuer]]\nissuer = \"https://id.example\"\naudience = [\"ordinal\"]\n\
                  customer = \"customer_id\"\n";
    let (code, error, shown) = checked(issuer, &[]);
    assert_eq!(code, Some(0), "{error}");
    assert!(shown.contains("issuers = "), "{shown}");
    for (text, more, expected) in [
        (issuer.replace("audience", "audiance"), &[][..], "unknown key audiance"),
        (issuer.replace("[\"ordinal\"]", "[]"), &[], "audience is missing"),
        (issuer.replace("https", "http"), &[], "must be https://"),
        (issuer.replace("customer =", "roles ="), &[], "no token would give a role"),
        (String::new(), &["--issuer", "https://id.example"], "--audience"),
        (String::new(), &["--audience", "ordinal"], "has no effect without --issuer"),
        (String::new(), &["--issuer-key", "/nonexistent"], "/nonexistent"),
    ] {
        let (code, error, _) = checked(&text, more);
        assert_eq!(code, Some(2), "{text} {more:?}");
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// The stock process asks the order process whose order it is, wherever the call came in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_without_orders_asks_the_one_that_has_them() {
    let folder = TempDir::new().unwrap();
    let data = |name: &str| folder.path().join(name).display().to_string();
    let [orders_at, stock_at] =
        [(); 2].map(|()| format!("127.0.0.1:{}", crate::support::free_port()));
    let (data_of_orders, data_of_stock) = (data("orders"), data("stock"));
    let orders = ["--role", "orders", "--data", &data_of_orders, "--listen", &orders_at];
    let orders = Engine::start_with(&[&orders[..], &["--inventory-at", &stock_at]].concat());
    let stock = ["--role", "inventory", "--data", &data_of_stock, "--listen", &stock_at];
    let stock = Engine::start_with(&[&stock[..], &["--orders-at", &orders_at]].concat());

    let as_caller = async |address: &str, role: &str, subject: &str| {
        let caller = Caller { role: role.to_owned(), subject: subject.to_owned() };
        Client::connect(&Connection::new(address.to_owned(), caller)).await.unwrap()
    };
    let ops = as_caller(&orders.address, "ops", "anna").await;
    let goods = json!({"sku": "MUG", "on_hand": 5});
    let patience = Instant::now() + PATIENCE;
    let set = async || ops.call("inventory.v1.InventoryService/SetStock", goods.clone()).await;
    // The process of stock has just started: where calls to it failed before, none is sent at once.
    while let Err(failure) = set().await {
        assert_eq!(failure.reason(), "NOT_FORWARDED");
        assert!(Instant::now() < patience);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let (owner, order_id) = (Uuid::now_v7().to_string(), Uuid::now_v7());
    let price = json!({"currency_code": "GBP", "units": 10});
    let order = json!({
        "order_id": order_id, "customer_id": owner,
        "lines": [{"sku": "MUG", "quantity": 1, "unit_price": price}],
        "address": {
            "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB", "country": "GB",
        },
        "contact": {"email": "customer@example.com"},
    });
    ops.orders("PlaceOrder", order).await.unwrap();
    let request = json!({"order_id": order_id});
    for address in [&orders.address, &stock.address] {
        let owner = as_caller(address, "customer", &owner).await;
        let patience = Instant::now() + PATIENCE;
        while let Err(failure) = owner.call(RESERVATION, request.clone()).await {
            assert_eq!(why(failure).0, "NOT_FOUND", "stock has not read the order yet");
            assert!(Instant::now() < patience);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let stranger = as_caller(address, "customer", &Uuid::now_v7().to_string()).await;
        let failure = stranger.call(RESERVATION, request.clone()).await.unwrap_err();
        assert_eq!(why(failure).0, "NOT_FOUND");
    }
    assert!(stock.stop().success() && orders.stop().success());
}
