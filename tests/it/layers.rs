//! Arrows point one way, libraries stay in their homes, and what we build on may be used.

use std::collections::{BTreeMap, BTreeSet};
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
    ("tasks", &[]),
    ("clock", &[]),
    ("upcast", &["domain"]),
    // `journal` is a crate of its own, under the name that it is known by here.
    ("aggregate", &["domain", "journal"]),
    ("record", &["domain", "journal", "upcast"]),
    ("replay", &["domain", "journal", "limits", "record"]),
    ("actor", &["clock", "domain", "journal", "limits", "record"]),
    ("outbox", &["domain", "journal", "record", "replay"]),
    ("inbox", &["actor", "domain", "limits"]),
    ("projections", &["domain", "journal", "record", "replay"]),
    ("timers", &["actor", "clock", "domain", "limits", "projections"]),
    ("grpc", &["actor", "domain", "journal", "projections", "record", "replay", "tasks"]),
];

/// The rooms of event-journal, each with those it may know.
const ARROWS_OF_JOURNAL: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("error", &["id"]),
    ("event", &["error", "id"]),
    ("chain", &["event"]),
    ("keys", &[]),
    ("shards", &["id"]),
    ("files", &["chain", "event", "id"]),
    ("options", &["files"]),
    ("store", &["chain", "error", "event", "files", "id", "keys", "options", "shards"]),
    ("write", &["chain", "error", "event", "id", "options", "shards", "store"]),
    ("archive", &["chain", "error", "event", "files", "id", "shards", "store"]),
    ("audit", &["chain", "error", "event", "files", "id", "shards", "store"]),
    (
        "spread",
        &["archive", "audit", "chain", "error", "event", "options", "shards", "store", "write"],
    ),
    (
        "journal",
        &["audit", "error", "event", "id", "keys", "options", "shards", "spread", "store", "write"],
    ),
];

#[test]
fn arrows_of_order_actor_point_one_way() {
    point_one_way("order-actor/src/", ARROWS);
}

/// The modules of the root package, each with those before it that it may know.
const ROOT_ARROWS: &[(&str, &[&str])] = &[
    ("flags", &[]),
    ("edge", &["flags"]),
    ("client", &["edge", "flags"]),
    ("engine", &["edge", "flags"]),
    ("verify", &["client", "engine"]),
    ("lab", &["client", "edge", "engine", "flags", "verify"]),
    // Nobody knows a verb.
    ("verbs", &["client", "edge", "engine", "flags", "lab", "verify"]),
];

#[test]
fn arrows_of_the_root_package_point_one_way() {
    point_one_way("src/", ROOT_ARROWS);
}

/// Every file has a place in the table and knows only what it may, and each module may know those
/// only that stand before it: there are no circles. A name without a place is another crate's.
fn point_one_way(folder: &str, arrows: &[(&str, &[&str])]) {
    let names: Vec<&str> = arrows.iter().map(|(module, _)| *module).collect();
    for (nth, (module, known)) in arrows.iter().enumerate() {
        let behind = known.iter().find(|name| names[nth..].contains(*name));
        assert!(behind.is_none(), "{folder}{module} knows {behind:?}, which stands behind it");
    }
    for (file, code) in sources(folder) {
        let inside = file.trim_start_matches(folder).trim_end_matches(".rs");
        if ["lib", "main"].contains(&inside) {
            continue;
        }
        let home = |module: &&(&str, &[&str])| {
            inside == module.0 || inside.starts_with(&format!("{}/", module.0))
        };
        let (module, known) =
            arrows.iter().find(home).unwrap_or_else(|| panic!("{file} has no place"));
        for reference in code.split("crate::").skip(1) {
            let name: String =
                reference.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let own = module.split('/').next() == Some(name.as_str());
            // `use crate::{a, b}` would hide its arrows from this test.
            assert!(!name.is_empty(), "{file} uses several modules in one line");
            assert!(own || known.contains(&name.as_str()), "{file} must not know {name}");
        }
    }
}

#[test]
fn arrows_of_event_journal_point_one_way() {
    point_one_way("event-journal/src/", ARROWS_OF_JOURNAL);
    for (file, code) in sources("event-journal/src") {
        assert!(!code.contains("OrderId"), "{file} knows orders");
    }
}

/// The files of a crate, each with those that it names: by `crate::`, by `super::`, or as what a title
/// page shows of its own modules.
fn named(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let module = |file: &str| -> Vec<String> {
        let inside =
            file.trim_start_matches(folder).trim_start_matches('/').trim_end_matches(".rs");
        let parts = inside.split('/').filter(|part| !["lib", "mod"].contains(part));
        parts.map(str::to_owned).collect()
    };
    let sources = sources(folder);
    let files: BTreeMap<Vec<String>, String> =
        sources.keys().map(|file| (module(file), file.clone())).collect();
    let names = |text: &str| -> Vec<String> {
        let path = text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').next();
        path.unwrap_or_default().split("::").map(str::to_owned).collect()
    };
    let mut named = BTreeMap::new();
    for (file, code) in &sources {
        let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let (own, title) = (module(file), file.ends_with("mod.rs") || file.ends_with("lib.rs"));
        let mut paths: Vec<Vec<String>> = code.split("crate::").skip(1).map(names).collect();
        for up in code.split("super::").skip(1) {
            assert!(!up.starts_with('{'), "{file} uses several modules in one line");
            paths.push([&own[..own.len() - 1], &names(up)].concat());
        }
        for shown in code.split("use ").skip(1).filter(|_| title).map(names) {
            paths.push([own.as_slice(), &shown].concat());
        }
        let known = paths.iter().filter_map(|path| {
            (0..=path.len()).rev().find_map(|length| files.get(&path[..length]).cloned())
        });
        named.insert(file.clone(), known.filter(|known| known != file).collect());
    }
    named
}

#[test]
fn no_files_of_event_journal_know_each_other_in_a_circle() {
    let mut named = named("event-journal/src");
    // Again and again without those that name nobody who is left: a circle is what remains.
    while let Some(free) = named.iter().find(|(_, known)| known.is_empty()).map(|(f, _)| f.clone())
    {
        named.remove(&free);
        for known in named.values_mut() {
            known.remove(&free);
        }
    }
    assert!(named.is_empty(), "{named:#?}");
}

/// Lines of a file of the product. Who opens one is to see what it is about.
const LINES_MAX: usize = 400;

#[test]
fn no_file_of_the_product_is_long() {
    for folder in CRATES {
        let mut folders = vec![root().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let lines = std::fs::read_to_string(&path).unwrap().lines().count();
                    assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
                }
            }
        }
    }
}

/// Libraries, each with the only places that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("ractor", &["order-actor/src/actor/"]),
    ("cqrs_es", &["order-actor/src/aggregate.rs"]),
    ("postgres_es", &[]),
    (
        "tonic",
        &[
            "service-edge/src/",
            "order-actor/src/grpc/",
            "inventory-stream/src/grpc",
            "notification/src/grpc",
            "src/client/",
            "src/edge/",
            "src/engine/",
            "src/lab/chaos/clients.rs",
            "src/lab/load/calls.rs",
            "src/verify/through_grpc.rs",
        ],
    ),
    (
        "sqlx",
        &[
            "shared-events/src/stream/",
            "event-journal/src/",
            "order-actor/src/projections/",
            "inventory-stream/src/movements.rs",
            "inventory-stream/src/reconcile.rs",
            "inventory-stream/src/service.rs",
            "inventory-stream/src/store/",
            "notification/src/ledger/",
            "notification/src/service.rs",
            "src/engine/service.rs",
            "src/lab/chaos/witness.rs",
            "src/lab/cluster/servers.rs",
            "src/lab/load/bought.rs",
            "src/verbs/backup.rs",
        ],
    ),
    ("redis", &["shared-events/src/stream/redis/"]),
    ("lettre", &["notification/src/channel.rs"]),
    ("minijinja", &["notification/src/templates/"]),
    ("icu_decimal", &["notification/src/templates/values.rs"]),
    ("reqwest", &["notification/src/channel.rs", "notification/src/webhook.rs"]),
    ("hyper", &["src/edge/connections/"]),
    ("hyper_util", &["src/edge/connections/"]),
];

const CRATES: [&str; 7] = [
    "shared-events/src",
    "event-journal/src",
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

/// Clippy reads the nearest `clippy.toml` only, so a crate with more bans repeats those of all.
#[test]
fn crates_with_bans_of_their_own_have_those_of_the_workspace_too() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let all = read("clippy.toml");
    for member in SERVICES {
        let own = read(&format!("{member}/clippy.toml"));
        for line in all.lines() {
            assert!(own.lines().any(|other| other == line), "{member}/clippy.toml lacks {line}");
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
            let below = ["shared-events", "event-journal", "service-edge"].contains(&name);
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
