//! Every method by every kind of caller, as docs/access.md says; the page is made from the options
//! beside the methods.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use edge_auth::{Grant, Role, SigningKey, own_issuer};
use edge_auth::{Issuers, KeySet, PublicKey};
use futures::StreamExt as _;
use futures::future::join_all;
use ordinal::access::Access;
use ordinal::client::{Client, Connection, Failure};
use ordinal::policy::Kind;
use ordinal::verbs::access::page;
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::callers::with_token;
use crate::issuer::{SECOND, now};
use crate::shop::{On, Shop};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/access.md");
const PEER: &str = "the-token-of-a-peer-of-enough-characters";

/// `ORDINAL_WRITE_GOLDEN=1` rewrites the page.
#[test]
fn the_page_of_access_matches_the_options_of_the_methods() {
    if std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some() {
        fs::write(PAGE, page()).unwrap();
    }
    let kept = fs::read_to_string(PAGE).unwrap();
    assert!(kept == page(), "docs/access.md differs; ORDINAL_WRITE_GOLDEN=1 writes it anew");
}

/// What the page says of a method.
#[derive(Clone, Debug)]
struct Row {
    may: Vec<Kind>,
    scope: String,
}

/// The rows of the page, by `service/method` without the package's first part.
fn rows() -> BTreeMap<String, Row> {
    let page = fs::read_to_string(PAGE).unwrap();
    let mut rows = BTreeMap::new();
    let mut service = "";
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ordinal.") {
            service = name;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [method, may @ .., scope] = cells.as_slice() else { continue };
        if may.len() != Kind::ALL.len() || !method.starts_with('`') {
            continue;
        }
        let may = Kind::ALL.into_iter().zip(may).filter(|(_, said)| **said != "–");
        // `–` for none.
        let scope = scope.trim_matches(['`', '–']).into();
        let row = Row { may: may.map(|(kind, _)| kind).collect(), scope };
        rows.insert(format!("{service}/{}", method.trim_matches('`')), row);
    }
    rows
}

/// The callers of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Caller {
    Nobody,
    Unknown,
    Expired,
    OtherAudience,
    Owner,
    Stranger,
    Service,
    Peer,
    Desk,
    Ops,
    OpsInScope,
    OpsOutOfScope,
}

const CALLERS: [Caller; 12] = [
    Caller::Nobody,
    Caller::Unknown,
    Caller::Expired,
    Caller::OtherAudience,
    Caller::Owner,
    Caller::Stranger,
    Caller::Service,
    Caller::Peer,
    Caller::Desk,
    Caller::Ops,
    Caller::OpsInScope,
    Caller::OpsOutOfScope,
];

impl Caller {
    fn kind(self) -> Option<Kind> {
        match self {
            Self::Nobody | Self::Unknown | Self::Expired | Self::OtherAudience => None,
            Self::Owner | Self::Stranger => Some(Kind::Customer),
            Self::Service | Self::Peer => Some(Kind::Service),
            Self::Desk => Some(Kind::ReturnsDesk),
            Self::Ops | Self::OpsInScope | Self::OpsOutOfScope => Some(Kind::Ops),
        }
    }

    /// Whether the code is what the page promises this caller.
    fn expects(self, row: &Row, request: &Value, code: Code) -> bool {
        let Some(kind) = self.kind() else { return code == Code::Unauthenticated };
        let about_an_order = request.get("order_id").is_some();
        match (self, row.may.contains(&kind)) {
            (Self::OpsOutOfScope, _) if !row.scope.is_empty() => code == Code::PermissionDenied,
            // Somebody else's order does not exist, whatever is asked of it.
            (Self::Stranger, true) if about_an_order => code == Code::NotFound,
            (Self::Stranger, false) if about_an_order => {
                matches!(code, Code::NotFound | Code::PermissionDenied)
            }
            (_, true) => {
                let refused = [Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented];
                !refused.contains(&code)
            }
            (_, false) => code == Code::PermissionDenied,
        }
    }
}

/// A request that is complete as far as it matters, and changes nothing.
pub fn request(method: &str, order_id: &str) -> Value {
    let (service, name) = method.split_once('/').unwrap();
    let about = json!({ "order_id": order_id });
    let of_all = ["PlaceOrder", "ListOrders", "ListReturns", "WatchOrders", "ExecuteCommands"];
    let of_order = !of_all.contains(&name);
    if !(service == "orders.v1.OrderService" && of_order) {
        let others = [
            "GetReservation",
            "ListNotifications",
            "ListOrderEvents",
            "DiffOrder",
            "ListPayments",
            "Attempt",
        ];
        return if others.contains(&name) { about } else { json!({}) };
    }
    let mut request = about;
    if name != "GetOrder" {
        request["options"] = json!({ "validate_only": true });
    }
    let why = ["RequestReturn", "RejectReturn", "HoldOrder", "ReleaseHold", "CorrectOrder"];
    if why.contains(&name) || name == "UndoShipment" {
        request["reason"] = json!("x");
    }
    let more = match name {
        "RequestReturn" => json!({ "lines": [{ "line": 1, "quantity": 1 }] }),
        "EditOrder" => json!({ "changes": [{ "line": 1, "quantity": 2 }], "reason": "x" }),
        "HoldOrder" => json!({ "kind": "HOLD_KIND_FRAUD" }),
        "ReleaseHold" => json!({ "name": "FRAUD" }),
        "CorrectOrder" => json!({ "contact": { "email": "a@example.com" } }),
        "UpdateShipment" => json!({ "shipment_reference": "W", "tracking": "1" }),
        "RecordDelivery" => json!({ "shipment_reference": "W" }),
        "UndoShipment" => json!({ "shipment_reference": "W", "cause": "UNDO_CAUSE_LOST" }),
        "AddNote" => json!({ "text": "x", "public": true }),
        _ => json!({}),
    };
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

/// The code with which a call ends; a stream that stays open has begun successfully.
async fn code(client: &Client, method: &str, request: Value) -> Code {
    let streams = ["ReadEvents", "ReadFacts", "WatchOrders", "WatchWallet"];
    let outcome = if streams.iter().any(|stream| method.ends_with(stream)) {
        match client.stream(method, request).await {
            Ok(mut stream) => {
                let first = tokio::time::timeout(Duration::from_secs(2), stream.next()).await;
                first.ok().flatten().transpose().map(drop)
            }
            Err(failure) => Err(failure),
        }
    } else {
        client.call(method, request).await.map(drop)
    };
    match outcome {
        Ok(()) => Code::Ok,
        Err(Failure::Status(status)) => status.code(),
        Err(failure) => panic!("{method}: {failure}"),
    }
}

struct Desk {
    key: SigningKey,
    customer: Uuid,
    stranger: Uuid,
    every_scope: BTreeSet<String>,
}

impl Desk {
    fn token(&self, role: Role, subject: &str, scopes: &[String]) -> String {
        let valid_for = Duration::from_secs(3_600);
        let grant = Grant { role, subject, scopes, valid_for };
        self.key.issue(&grant, "id", now()).unwrap()
    }

    fn signed(&self, audience: &str, expires: i64) -> String {
        let claims = json!({
            "iss": "ordinal", "aud": audience, "sub": "anna", "role": "OPS", "scope": "*",
            "exp": expires,
        });
        self.key.sign(&claims).unwrap()
    }

    /// The token of a caller, for a method of this scope.
    fn of(&self, caller: Caller, scope: &str) -> Option<String> {
        let others = self.every_scope.iter().filter(|other| *other != scope).cloned();
        Some(match caller {
            Caller::Nobody => return None,
            Caller::Unknown => "a-token-that-nobody-knows-of-enough-characters".to_owned(),
            Caller::Expired => self.signed("ordinal", SECOND - 3_600),
            Caller::OtherAudience => self.signed("shop-web", SECOND + 3_600),
            Caller::Owner => self.token(Role::Customer, &self.customer.to_string(), &[]),
            Caller::Stranger => self.token(Role::Customer, &self.stranger.to_string(), &[]),
            Caller::Service => self.token(Role::Service, "shop", &[]),
            Caller::Peer => PEER.to_owned(),
            Caller::Desk => self.token(Role::ReturnsDesk, "desk", &[]),
            Caller::Ops => self.token(Role::Ops, "anna", &[]),
            Caller::OpsInScope => self.token(Role::Ops, "anna", &[scope.to_owned()]),
            Caller::OpsOutOfScope => self.token(Role::Ops, "anna", &others.collect::<Vec<_>>()),
        })
    }
}

type Observed = BTreeMap<(String, Caller), (Value, Code)>;

/// Where what was seen is not what the page says.
fn holes(rows: &BTreeMap<String, Row>, observed: &Observed) -> Vec<String> {
    let differs = observed.iter().filter(|((method, caller), (request, code))| {
        !rows.get(method).is_some_and(|row| caller.expects(row, request, *code))
    });
    differs
        .map(|((method, caller), (_, code))| format!("{method} by {caller:?}: {code:?}"))
        .collect()
}

/// The answers of every method to a caller.
async fn observe(
    address: &str,
    desk: &Desk,
    caller: Caller,
    rows: &BTreeMap<String, Row>,
    order_id: &str,
) -> Observed {
    let mut observed = Observed::new();
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    for (method, row) in rows {
        let by_scope = [Caller::OpsInScope, Caller::OpsOutOfScope].contains(&caller);
        let scope = if by_scope { &row.scope } else { "" };
        let client = match clients.get(scope) {
            Some(client) => client,
            None => {
                let client = match desk.of(caller, scope) {
                    Some(token) => with_token(address, token).await,
                    None => nobody(address).await,
                };
                clients.entry(scope).or_insert(client)
            }
        };
        let request = request(method, order_id);
        let code = code(client, method, request.clone()).await;
        observed.insert((method.clone(), caller), (request, code));
    }
    observed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_answers_every_kind_of_caller_as_the_page_says() {
    let mut shop = Shop::open(On::Sqlite).await;
    let order_id = shop.place(&[("MUG", 1)]).await;
    shop.settled().await;
    let tokens = shop.data().with_extension("tokens");
    let peer = format!("[[tokens]]\ntoken = \"{PEER}\"\nrole = \"SERVICE\"\nsubject = \"peer\"\n");
    write(&tokens, &peer);
    let rows = rows();
    let every_scope: BTreeSet<String> = rows.values().map(|row| row.scope.clone()).collect();
    let key = SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap();
    let mut issuers = Issuers::default();
    let public = PublicKey::from_pem(&key.public_pem()).unwrap();
    issuers.add_own(own_issuer(), KeySet::of(public)).unwrap();
    let access = Access::from_file(&tokens).unwrap().and_issuers(issuers);
    shop.restart(|settings| settings.access = access).await;
    let stranger = Uuid::now_v7();
    let desk = Desk { key, customer: shop.customer, stranger, every_scope };

    // At the same time: a connection with many refusals waits for its answers.
    let calls = CALLERS.map(|caller| observe(&shop.address, &desk, caller, &rows, &order_id));
    let observed: Observed = join_all(calls).await.into_iter().flatten().collect();
    assert_eq!(observed.len(), CALLERS.len() * rows.len());
    assert_eq!(holes(&rows, &observed), Vec::<String>::new());

    // An option that was widened is found, whoever it lets in; and one that was narrowed.
    for (method, kind, caller) in [
        ("orders.v1.OrderService/ApproveReturn", Kind::Ops, Caller::Ops),
        ("inventory.v1.InventoryService/SetStock", Kind::Service, Caller::Service),
        ("inventory.v1.InventoryService/GetReservation", Kind::Customer, Caller::Owner),
        ("orders.v1.OrderService/ReceiveReturn", Kind::ReturnsDesk, Caller::Desk),
    ] {
        let mut narrower = rows.clone();
        narrower.get_mut(method).unwrap().may.retain(|may| *may != kind);
        let found = holes(&narrower, &observed);
        assert!(found.iter().any(|hole| hole.starts_with(&format!("{method} by {caller:?}"))));
        assert!(found.iter().all(|hole| hole.starts_with(method)), "{found:?}");
    }
    let mut wider = rows;
    wider.get_mut("admin.v1.AdminService/FreezeShard").unwrap().may.push(Kind::Service);
    assert_eq!(holes(&wider, &observed).len(), 2, "a service and a peer");
    shop.stop().await;
}

async fn nobody(address: &str) -> Client {
    let connection = Connection {
        address: Some(address.to_owned()),
        caller: None,
        token: None,
        ca: None,
        cert: None,
        cert_key: None,
        timeout: Duration::from_secs(30),
    };
    Client::connect(&connection).await.unwrap()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}
