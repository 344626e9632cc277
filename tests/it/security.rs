//! The claims of docs/security.md: who may do what, and where personal data is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use uuid::Uuid;

use crate::access;
use crate::health::logged;
use crate::roles::TABLE;
use crate::shop::{On, Orders as _, Shop};
use crate::support::{CUSTOMER, PATIENCE};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md");
const ROLES: [&str; 3] = ["customer", "service", "ops"];

/// Roles from which an order takes such a command. The edge lets all of them through, and the
/// others are refused even for a missing order.
async fn takes(shop: &Shop, method: &str) -> BTreeSet<&'static str> {
    let subject = Uuid::now_v7().to_string();
    let mut may = BTreeSet::new();
    for role in ROLES {
        let caller = shop.as_caller(role, if role == "customer" { &subject } else { "x" }).await;
        let whole = format!("orders.v1.OrderService/{method}");
        let request = access::request(&whole, &Uuid::now_v7().to_string());
        match caller.orders(method, request).await.unwrap_err().reason().as_str() {
            "FORBIDDEN" => {}
            "NOT_FOUND" => drop(may.insert(role)),
            other => panic!("{method} by {role}: {other}"),
        }
    }
    may
}

/// Every command to an order that exists: their requests have options.
fn commands(shop: &Shop) -> Vec<String> {
    let service = shop.ops.pool().get_service_by_name("ordinal.orders.v1.OrderService").unwrap();
    let commands = service.methods().filter(|method| {
        method.name() != "PlaceOrder" && method.input().get_field_by_name("options").is_some()
    });
    let commands: Vec<String> = commands.map(|method| method.name().to_owned()).collect();
    assert!(commands.len() > 13, "{commands:?}");
    commands
}

/// The table of the page names every method, and the roles that may call it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_table_of_roles_is_enforced() {
    let page = fs::read_to_string(PAGE).unwrap();
    let mut holds: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let (service, method) = words.next().unwrap().split_once('/').unwrap();
        let service = service.rsplit_once('.').unwrap().1;
        holds.insert((service.to_owned(), method.to_owned()), words.collect());
    }
    let shop = Shop::open(On::Sqlite).await;
    for method in commands(&shop) {
        let may = takes(&shop, &method).await;
        holds.insert(("OrderService".to_owned(), method), may);
    }
    shop.close().await;
    let mut named = BTreeSet::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [service, methods, roles @ ..] = cells.as_slice() else { continue };
        if roles.len() != 3 || *service == "Service" || !service.ends_with("Service") {
            continue;
        }
        let may: BTreeSet<&str> = std::iter::zip(ROLES, roles)
            .filter(|(_, said)| **said != "–")
            .map(|(role, _)| role)
            .collect();
        let listed: BTreeSet<&str> = methods.split('`').skip(1).step_by(2).collect();
        let of_service = holds.keys().filter(|(known, _)| known == service);
        let meant: Vec<_> = of_service
            .filter(|(_, method)| *methods == "all" || listed.contains(method.as_str()))
            .cloned()
            .collect();
        assert!(!meant.is_empty() && (*methods == "all" || meant.len() == listed.len()), "{line}");
        for method in meant {
            assert_eq!(holds[&method], may, "{method:?}");
            assert!(named.insert(method.clone()), "{method:?} stands twice");
        }
    }
    let missing: Vec<_> = holds.keys().filter(|method| !named.contains(method)).collect();
    assert!(missing.is_empty(), "the page does not name {missing:?}");
}

/// Personal texts, each recognisable, and where the page says that they are stored.
const MARKERS: [(&str, &str); 7] = [
    ("street", "7 Kilmarnock Crescent"),
    ("city", "Quixburgh"),
    ("email", "zebedee.quux@example.org"),
    ("phone", "+447400998877"),
    ("cancel text", "the colour is heliotrope"),
    ("return reason", "it smells of turpentine"),
    ("tracking", "XQ77HELIO"),
];

/// Personal data is stored where the page says and nowhere else: not in logs, at any level.
#[test]
fn personal_data_is_only_where_documented_and_in_no_log() {
    let folder = TempDir::new().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("log"));
    let mail = folder.path().join("mail");
    let mut flags = vec!["--data", data.to_str().unwrap(), "--mail-dir", mail.to_str().unwrap()];
    flags.extend(["--access-log", "all"]);
    let engine = logged(&["env", "RUST_LOG=trace"], &flags, &log);
    engine.ask(&["stock", "set", "MUG", "10"]);
    let [street, city, email, phone, text, reason, tracking] = MARKERS.map(|(_, marker)| marker);
    let place = |street: &str| {
        engine.run(&[
            "order",
            "place",
            "--customer",
            CUSTOMER,
            "--line",
            "MUG=2@4.50GBP",
            "--street",
            street,
            "--city",
            city,
            "--postal-code",
            "E1 6AN",
            "--country",
            "GB",
            "--email",
            email,
            "--phone",
            phone,
        ])
    };
    let placed: Vec<String> = (0..2)
        .map(|_| {
            let order: serde_json::Value = serde_json::from_slice(&place(street).stdout).unwrap();
            order["order"]["order_id"].as_str().unwrap().to_owned()
        })
        .collect();
    for order in &placed {
        engine.until(order, "CONFIRMED");
    }
    engine.ask(&["order", "cancel", &placed[0], "--text", text]);
    engine.ask(&["order", "fulfill", &placed[1], "--carrier", "Post", "--tracking", tracking]);
    engine.ask(&["return", "request", &placed[1], "--line", "1=1", "--reason", reason]);
    // Refusals do not repeat what they refuse.
    let refused = place(&format!("{street} {}", "x".repeat(300)));
    let refusal = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refusal.contains("INVALID_ADDRESS"), "{refusal}");
    let tokenless =
        engine.run(&["order", "get", &placed[0], "--token", "a-token-that-nobody-drew-ever-1234"]);
    assert!(tokenless.status.success());
    let patience = Instant::now() + PATIENCE;
    loop {
        let listed = engine.ask(&["notification", "list"]).to_string();
        let waits = ["QUEUED", "SENDING", "RETRY_AT"].iter().any(|state| listed.contains(state));
        if listed.contains("RETURN_RECEIVED") && listed.contains("CANCELLED") && !waits {
            break;
        }
        assert!(Instant::now() < patience, "{listed}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(engine.stop().success());

    let log = fs::read_to_string(&log).unwrap();
    // Libraries say nothing below `info`; each call has a line.
    assert!(log.contains("OrderService/PlaceOrder"), "the log tells too little");
    for (what, marker) in MARKERS {
        assert!(!log.contains(marker), "{what} is in the log");
        assert!(!refusal.contains(marker), "{what} is in a refusal");
    }
    assert!(!log.contains("a-token-that-nobody-drew"), "a token is in the log");

    let of = |name: &str| bytes_of(&data, name);
    let everything = MARKERS.map(|(what, _)| what).to_vec();
    assert_eq!(found(&of("journal.db")), everything);
    assert_eq!(found(&of("orders.db")), Vec::<&str>::new());
    assert_eq!(found(&of("inventory.db")), Vec::<&str>::new());
    let messages = found(&of("notifications.db"));
    assert!(messages.contains(&"email") && messages.contains(&"tracking"), "{messages:?}");
    assert!(!messages.contains(&"street") && !messages.contains(&"city"), "{messages:?}");
    let mails = found(&bytes_of(&mail, ""));
    assert!(mails.contains(&"email") && !mails.contains(&"street"), "{mails:?}");
}

/// An engine that trusts its callers warns at its start.
#[test]
fn an_engine_that_trusts_its_callers_warns() {
    let folder = TempDir::new().unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().take(2);
    let lines: Vec<String> = lines.map(Result::unwrap).collect();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(lines[0].starts_with("listening on "), "{lines:?}");
    assert!(lines[1].starts_with("callers are not authenticated"), "{lines:?}");
}

/// All bytes of the files whose names begin with this.
fn bytes_of(folder: &Path, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().unwrap().to_string_lossy().starts_with(name) {
            bytes.extend(fs::read(path).unwrap());
        }
    }
    assert!(!bytes.is_empty(), "nothing is kept in {name}");
    bytes
}

fn found(bytes: &[u8]) -> Vec<&'static str> {
    let holds = |marker: &str| bytes.windows(marker.len()).any(|part| part == marker.as_bytes());
    MARKERS.iter().filter(|(_, marker)| holds(marker)).map(|(what, _)| *what).collect()
}
