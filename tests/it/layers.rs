//! Modules depend one way, libraries are used only where they may be, and licences allow our use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file under a folder, by its path from the root, as code without comments.
pub fn sources(folder: &str) -> BTreeMap<String, String> {
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

/// The modules of order-actor, each with those it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("limits", &[]),
    ("tasks", &[]),
    ("clock", &[]),
    ("upcast", &["domain"]),
    // `journal` is a crate of its own, under its name here.
    ("aggregate", &["domain", "journal"]),
    ("record", &["domain", "journal", "upcast"]),
    ("replay", &["domain", "journal", "limits", "record"]),
    ("actor", &["clock", "domain", "journal", "limits", "record"]),
    ("outbox", &["domain", "journal", "record", "replay"]),
    ("projections", &["domain", "journal", "record", "replay"]),
    // Which answers orders hear again is in the database of the lists.
    ("inbox", &["actor", "domain", "limits", "projections"]),
    ("timers", &["actor", "clock", "domain", "limits", "projections"]),
    ("grpc", &["actor", "domain", "journal", "projections", "record", "replay", "tasks"]),
];

/// The modules of event-journal, each with those it may use.
const ARROWS_OF_JOURNAL: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("error", &["id"]),
    ("event", &["error", "id"]),
    ("shared_event", &["event"]),
    ("chain", &["event"]),
    ("keys", &[]),
    ("shards", &["id"]),
    ("files", &["chain", "event", "id"]),
    ("options", &["files"]),
    ("store", &["chain", "error", "event", "files", "id", "keys", "options", "shards"]),
    ("write", &["chain", "error", "event", "id", "options", "shards", "shared_event", "store"]),
    ("archive", &["chain", "error", "event", "files", "id", "shards", "store"]),
    ("audit", &["chain", "error", "event", "files", "id", "shards", "store"]),
    (
        "spread",
        &["archive", "audit", "chain", "error", "event", "options", "shards", "store", "write"],
    ),
    (
        "journal",
        &[
            "audit",
            "error",
            "event",
            "id",
            "keys",
            "options",
            "shards",
            "shared_event",
            "spread",
            "store",
            "write",
        ],
    ),
];

#[test]
fn modules_of_order_actor_depend_one_way() {
    depend_one_way("order-actor/src/", ARROWS);
}

/// The modules of the root package, each with those before it that it may use.
const ROOT_ARROWS: &[(&str, &[&str])] = &[
    ("tasks", &[]),
    ("logs", &[]),
    ("flags", &[]),
    ("edge", &["flags", "tasks"]),
    ("client", &["edge", "flags"]),
    ("engine", &["edge", "flags", "logs", "tasks"]),
    ("verify", &["client", "engine"]),
    ("lab", &["client", "edge", "engine", "flags", "verify"]),
    // No module uses a verb.
    ("verbs", &["client", "edge", "engine", "flags", "lab", "logs", "verify"]),
];

#[test]
fn modules_of_the_root_package_depend_one_way() {
    depend_one_way("src/", ROOT_ARROWS);
}

/// Every file has a row in the table and uses only what it may. A module may use only modules
/// before it, so there are no cycles. A name without a row belongs to another crate.
fn depend_one_way(folder: &str, arrows: &[(&str, &[&str])]) {
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
            // `use crate::{a, b}` would hide its dependencies from this test.
            assert!(!name.is_empty(), "{file} uses several modules in one line");
            assert!(own || known.contains(&name.as_str()), "{file} must not know {name}");
        }
    }
}

#[test]
fn modules_of_event_journal_depend_one_way() {
    depend_one_way("event-journal/src/", ARROWS_OF_JOURNAL);
    for (file, code) in sources("event-journal/src") {
        assert!(!code.contains("OrderId"), "{file} knows orders");
    }
}

/// The files of a crate, each with the files it names: by `crate::`, by `super::`, or by what a
/// `mod.rs` re-exports of its own modules.
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
fn files_of_event_journal_have_no_cyclic_dependency() {
    let mut named = named("event-journal/src");
    // Files without remaining dependencies are removed repeatedly: what remains is a cycle.
    while let Some(free) = named.iter().find(|(_, known)| known.is_empty()).map(|(f, _)| f.clone())
    {
        named.remove(&free);
        for known in named.values_mut() {
            known.remove(&free);
        }
    }
    assert!(named.is_empty(), "{named:#?}");
}

/// Enums that list their variants by `next`, each of which leads to another. That every variant has
/// an arm, the compiler asks for; that a walk comes past all of them, it does not.
#[test]
fn lists_of_variants_lead_past_each_of_them() {
    let mut lists = 0;
    for (file, code) in CRATES.into_iter().flat_map(sources) {
        for list in code.split("const fn next(self) -> Option<Self> {").skip(1) {
            let arms = list.lines().map(str::trim).skip_while(|line| !line.starts_with("Self::"));
            let arms = arms.take_while(|line| !line.starts_with('}'));
            let next: BTreeMap<&str, Option<&str>> = arms
                .filter_map(|line| line.split_once(" => "))
                .map(|(from, to)| (from, to.split("Self::").nth(1)))
                .map(|(from, to)| (from, to.map(|to| to.trim_end_matches([',', ')']))))
                .collect();
            let first =
                code.split("successors(Some(").nth(1).and_then(|rest| rest.split(')').next());
            let mut here = first.and_then(|first| first.strip_prefix("Self::"));
            let mut passed = BTreeSet::new();
            while let Some(variant) = here.filter(|variant| passed.insert(*variant)) {
                here = next.get(format!("Self::{variant}").as_str()).copied().flatten();
            }
            assert_eq!(passed.len(), next.len(), "{file} leaves a variant out: {next:#?}");
            lists += 1;
        }
    }
    assert!(lists > 5, "only {lists} lists were found");
}

/// Maximum lines of a product file, so that a reader can see what it is about.
const LINES_MAX: usize = 400;

#[test]
fn product_files_stay_within_400_lines() {
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
            "ledger/src/grpc/",
            "notification/src/grpc",
            "payment/src/grpc/",
            "src/client/",
            "web-edge/src/",
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
            "inventory-stream/src/reconcile",
            "inventory-stream/src/service.rs",
            "inventory-stream/src/store/",
            "ledger/src/guards.rs",
            "ledger/src/service.rs",
            "ledger/src/store/",
            "notification/src/ledger/",
            "notification/src/service.rs",
            "payment/src/service.rs",
            "payment/src/store/",
            "src/engine/service.rs",
            "src/lab/chaos/witness.rs",
            "src/lab/cluster/servers.rs",
            "src/lab/load/files/olist.rs",
            "src/lab/load/purchases.rs",
            "src/verbs/backup.rs",
        ],
    ),
    ("redis", &["shared-events/src/stream/redis/"]),
    ("lettre", &["notification/src/channel.rs"]),
    ("minijinja", &["notification/src/templates/"]),
    ("icu_decimal", &["notification/src/templates/values.rs"]),
    (
        "reqwest",
        &[
            "notification/src/channel.rs",
            "notification/src/http.rs",
            "notification/src/sms.rs",
            "notification/src/webhook.rs",
            "edge-auth/src/fetch.rs",
            "psp/src/http.rs",
            "psp/src/razorpay.rs",
            "psp/src/simulator/http/deliver.rs",
            "psp/src/stripe/",
            "src/engine/spans/collector.rs",
        ],
    ),
    ("opentelemetry", &["src/engine/spans/"]),
    ("opentelemetry_otlp", &["src/engine/spans/"]),
    ("opentelemetry_sdk", &["src/engine/spans/"]),
    ("ratatui", &["src/verbs/top/"]),
    ("strum", &["order-actor/src/domain/event.rs"]),
    ("regex_lite", &["order-actor/src/domain/address_rules/"]),
    ("celes", &["src/lab/load/files/countries.rs"]),
    ("encoding_rs", &["src/lab/load/files/"]),
    ("encoding_rs_io", &["src/lab/load/files/text.rs"]),
    (
        "hyper",
        &[
            "psp/src/simulator/http/server.rs",
            "src/edge/connections/",
            "src/edge/upstream.rs",
            "web-edge/src/live/mod.rs",
        ],
    ),
    (
        "hyper_util",
        &[
            "psp/src/simulator/http/server.rs",
            "src/edge/connections/",
            "src/edge/tls/connector.rs",
            "web-edge/src/live/mod.rs",
        ],
    ),
    ("rcgen", &["src/edge/tls/authority.rs", "src/edge/tls/tests.rs"]),
    ("tokio_rustls", &["src/edge/tls/"]),
    ("tokio_tungstenite", &["web-edge/src/live/"]),
    ("x509_parser", &["src/edge/tls/certificate.rs"]),
    ("web_openapi", &["src/edge/openapi.rs", "src/verbs/openapi.rs"]),
];

/// Where the code of our crates is, without the benchmarks.
pub const CRATES: [&str; 13] = [
    "shared-events/src",
    "edge-auth/src",
    "event-journal/src",
    "service-edge/src",
    "web-edge/src",
    "order-actor/src",
    "inventory-stream/src",
    "ledger/src",
    "notification/src",
    "payment/src",
    "psp/src",
    "web-openapi/src",
    "src",
];

#[test]
fn libraries_are_used_only_where_they_may_be() {
    for (file, code) in CRATES.into_iter().flat_map(sources) {
        for (library, homes) in HOMES {
            // Our own module of that name is not the library.
            let code = code.replace("stream::redis::", "");
            let named = code.contains(&format!("{library}::"));
            let at_home = homes.iter().any(|home| file.starts_with(home));
            assert!(!named || at_home, "{file} names {library}");
        }
        let pure = [
            "order-actor/src/domain/",
            "inventory-stream/src/domain/",
            "notification/src/compose.rs",
            "ledger/src/domain/",
            "payment/src/domain/",
            "shared-events/src/contract/",
        ];
        if pure.iter().any(|folder| file.starts_with(folder)) {
            for impure in ["tokio::", "tracing::", "std::time::Instant", "SystemTime", "async fn"] {
                assert!(!code.contains(impure), "{file} is to be pure and names {impure}");
            }
        }
    }
}

/// Clippy reads only the nearest `clippy.toml`, so a crate with more bans repeats the common ones.
#[test]
fn bans_of_a_crate_include_those_of_the_workspace() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let all = read("clippy.toml");
    let others = [
        "event-journal",
        "shared-events",
        "service-edge",
        "edge-auth",
        "web-edge",
        "web-openapi",
        "psp",
    ];
    for member in SERVICES.iter().chain(&others) {
        let own = read(&format!("{member}/clippy.toml"));
        for banned in all.split("path = \"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let path = format!("path = \"{banned}\"");
            assert!(own.contains(&path), "{member}/clippy.toml does not ban {banned}");
        }
    }
}

fn packages() -> Vec<Value> {
    metadata()["packages"].as_array().unwrap().clone()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const SERVICES: [&str; 5] =
    ["order-actor", "inventory-stream", "notification", "ledger", "payment"];

#[test]
fn services_never_depend_on_each_other() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let both = [name, other].iter().all(|name| SERVICES.contains(name));
            assert!(!both, "{name} depends on {other}");
            let below = ["shared-events", "event-journal", "service-edge", "edge-auth", "web-edge"];
            let below = below.contains(&name);
            assert!(!below || !SERVICES.contains(&other), "{name} on {other}");
            let edges = ["service-edge", "web-edge"].contains(&other);
            assert!(!edges || !["shared-events", "web-edge"].contains(&name), "{name} on {other}");
            // It describes the routes that are served, and knows nothing of what they reach.
            let ours = dependency["source"].is_null() && other != "web-edge";
            assert!(name != "web-openapi" || !ours, "{name} on {other}");
        }
    }
}

/// Licences that a dependency of an Apache-2.0 program may have.
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

/// Build dependencies of the benchmarks only, under licences that require nothing but that changes
/// of their own files are published.
const DRAWN_WITH: [(&str, &str); 1] = [("inferno", "CDDL-1.0")];

#[test]
fn dependencies_are_public_and_have_an_allowed_licence() {
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

/// What speaks to the network, of the packages that a build script could use.
const CLIENTS: [&str; 10] = [
    "attohttpc",
    "curl",
    "git2",
    "hyper",
    "isahc",
    "minreq",
    "reqwest",
    "tokio",
    "ureq",
    "utoipa-swagger-ui",
];

/// G19: packages of the registry are all that a build needs. Our scripts could not ask for more, and
/// neither could what they use.
#[test]
fn no_build_script_of_ours_can_fetch_anything() {
    let metadata = metadata();
    let list = |value: &Value| value.as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages: BTreeMap<String, Value> =
        list(&metadata["packages"]).into_iter().map(|it| (text(&it["id"]), it)).collect();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|it| (text(&it["id"]), it)).collect();
    // A dependency without a kind is of the package itself.
    let needs = |id: &str, is_meant: fn(&str) -> bool| -> Vec<String> {
        let meant = |it: &Value| {
            list(&it["dep_kinds"]).iter().any(|kind| is_meant(kind["kind"].as_str().unwrap_or("")))
        };
        let all = list(&nodes[id]["deps"]).into_iter().filter(meant);
        all.map(|it| text(&it["pkg"])).collect()
    };
    let members: Vec<String> = list(&metadata["workspace_members"]).iter().map(text).collect();
    let mut next: Vec<String> =
        members.iter().flat_map(|member| needs(member, |kind| kind == "build")).collect();
    let mut names = BTreeSet::new();
    let mut seen = BTreeSet::new();
    while let Some(id) = next.pop() {
        if seen.insert(id.clone()) {
            names.insert(text(&packages[&id]["name"]));
            next.extend(needs(&id, |kind| kind != "dev"));
        }
    }
    for used in ["protox", "utoipa-swagger-ui-vendored"] {
        assert!(names.contains(used), "{used} is not found: {names:?}");
    }
    for client in CLIENTS {
        assert!(!names.contains(client), "a build script can use {client}");
    }
    let mut scripts = 0;
    for member in &members {
        for target in list(&packages[member]["targets"]) {
            if list(&target["kind"]).iter().any(|kind| kind == "custom-build") {
                let script = std::fs::read_to_string(text(&target["src_path"])).unwrap();
                for way in ["std::net", "TcpStream", "process::Command"] {
                    assert!(!script.contains(way), "{} uses {way}", target["src_path"]);
                }
                scripts += 1;
            }
        }
    }
    assert!(scripts > 5, "only {scripts} scripts are found");
}
