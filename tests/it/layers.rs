//! Arrows point one way, libraries stay in their homes, and what we build on may be used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file under a folder, by its path from the root, with its code without comments.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code: Vec<&str> =
                    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.insert(name, code.join("\n"));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// The modules of order-actor, each with those it may know.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("limits", &[]),
    ("timers/clock", &[]),
    ("upcast", &["domain"]),
    ("journal", &["domain"]),
    ("record", &["domain", "journal", "upcast"]),
    ("replay", &["domain", "journal", "limits", "record"]),
    // Of timers only the clock; the alarm rings actors, not the other way round.
    ("actor", &["domain", "journal", "limits", "record", "timers"]),
    ("outbox", &["domain", "journal", "record", "replay"]),
    ("inbox", &["actor", "domain", "limits"]),
    ("projections", &["domain", "journal", "record", "replay"]),
    ("timers", &["actor", "domain", "limits", "projections"]),
    (
        "grpc",
        &["actor", "domain", "journal", "limits", "outbox", "projections", "record", "replay"],
    ),
];

#[test]
fn arrows_of_order_actor_point_one_way() {
    for (file, code) in sources("order-actor/src") {
        let inside = file.trim_start_matches("order-actor/src/").trim_end_matches(".rs");
        if inside == "lib" {
            continue;
        }
        let home = |module: &&(&str, &[&str])| {
            inside == module.0 || inside.starts_with(&format!("{}/", module.0))
        };
        let (module, known) =
            ARROWS.iter().find(home).unwrap_or_else(|| panic!("{file} has no place"));
        for reference in code.split("crate::").skip(1) {
            let name: String =
                reference.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let own = module.split('/').next() == Some(name.as_str());
            // `use crate::{a, b}` would hide its arrows from this test.
            assert!(!name.is_empty(), "{file} uses several modules in one line");
            assert!(own || known.contains(&name.as_str()), "{file} must not know {name}");
        }
        if inside.starts_with("actor/") {
            assert!(!code.contains("timers::Alarm"), "{file} must not know the alarm");
        }
    }
}

/// Libraries, each with the only places that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("ractor", &["order-actor/src/actor/"]),
    ("cqrs_es", &["order-actor/src/journal/"]),
    ("postgres_es", &["order-actor/src/journal/"]),
    (
        "tonic",
        &[
            "service-edge/src/",
            "order-actor/src/grpc/",
            "inventory-stream/src/grpc",
            "notification/src/grpc",
            "src/access.rs",
            "src/actions.rs",
            "src/admin.rs",
            "src/chaos/clients.rs",
            "src/cli/",
            "src/edge/",
            "src/engine/mod.rs",
            "src/forward.rs",
            "src/peers.rs",
            "src/refusal.rs",
            "src/upkeep.rs",
            "src/load/calls.rs",
            "src/verify/through_grpc.rs",
        ],
    ),
    (
        "sqlx",
        &[
            "shared-events/src/stream/",
            "order-actor/src/journal/",
            "order-actor/src/projections/",
            "inventory-stream/src/movements.rs",
            "inventory-stream/src/reconcile.rs",
            "inventory-stream/src/service.rs",
            "inventory-stream/src/store/",
            "notification/src/ledger/",
            "notification/src/service.rs",
            "src/admin.rs",
            "src/backup.rs",
            "src/chaos/witness.rs",
            "src/cluster/servers.rs",
            "src/load/bought.rs",
        ],
    ),
    ("redis", &["shared-events/src/stream/redis/"]),
    ("lettre", &["notification/src/channel.rs"]),
    ("reqwest", &["notification/src/channel.rs"]),
    ("hyper", &["src/edge/connections.rs"]),
    ("hyper_util", &["src/edge/connections.rs"]),
];

const CRATES: [&str; 6] = [
    "shared-events/src",
    "service-edge/src",
    "order-actor/src",
    "inventory-stream/src",
    "notification/src",
    "src",
];

#[test]
fn libraries_stay_in_their_homes() {
    for (file, code) in CRATES.into_iter().flat_map(sources) {
        for (library, homes) in HOMES {
            // Our own module of that name is no library.
            let code = code.replace("stream::redis::", "");
            let named = code.contains(&format!("{library}::"));
            let at_home = homes.iter().any(|home| file.starts_with(home));
            assert!(!named || at_home, "{file} names {library}");
        }
        let pure = ["order-actor/src/domain/", "shared-events/src/contract/"];
        if pure.iter().any(|folder| file.starts_with(folder)) {
            for impure in ["tokio::", "tracing::", "std::time::Instant", "SystemTime", "async fn"] {
                assert!(!code.contains(impure), "{file} is to be pure and names {impure}");
            }
        }
    }
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

const SERVICES: [&str; 3] = ["order-actor", "inventory-stream", "notification"];

#[test]
fn services_know_each_others_facts_and_never_each_others_code() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let both = [name, other].iter().all(|name| SERVICES.contains(name));
            assert!(!both, "{name} depends on {other}");
            let below = ["shared-events", "service-edge"].contains(&name);
            assert!(!below || !SERVICES.contains(&other), "{name} on {other}");
            assert!(name != "shared-events" || other != "service-edge", "{name} on {other}");
        }
    }
}

/// Licences under which a part of an Apache-2.0 program may come.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What only the benchmarks are built with, under licences that ask for nothing but that changes of its
/// own files be shown.
const DRAWN_WITH: [(&str, &str); 1] = [("inferno", "CDDL-1.0")];

#[test]
fn all_that_we_build_on_is_public_and_has_a_licence_that_allows_it() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let source = package["source"].as_str();
        // Members have no source; everything else comes from the public registry.
        if let Some(source) = source {
            assert!(source.starts_with("registry+"), "{name} comes from {source}");
        }
        let licence =
            package["license"].as_str().unwrap_or_else(|| panic!("{name} has no licence"));
        // Older manifests write a slash for OR.
        let licence = licence.replace('/', " OR ");
        let expression = spdx::Expression::parse(&licence).unwrap();
        let allowed = expression.evaluate(|requirement| {
            requirement.license.id().is_some_and(|id| {
                LICENCES.contains(&id.name) || DRAWN_WITH.contains(&(name, id.name))
            })
        });
        assert!(allowed, "{name}: {licence}");
    }
}
