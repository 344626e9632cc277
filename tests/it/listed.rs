//! Lists outside the code name every service, and the log every crate of ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use shared_events::contract::StatusCode;

use crate::metrics::of_rules;

fn text(path: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What stands between these words for the first time.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to} after {from}")).0
}

/// The names of all services: each is a module of its own.
fn services() -> BTreeSet<String> {
    let source = text("src/engine/services/mod.rs");
    let all = between(&source, "pub const ALL: Services = &[", "];");
    let names: BTreeSet<String> = all
        .split(',')
        .filter_map(|entry| entry.trim().strip_prefix('&')?.strip_suffix("::SERVICE"))
        .map(str::to_owned)
        .collect();
    for name in &names {
        let module = text(&format!("src/engine/services/{name}.rs"));
        assert!(module.contains(&format!("name: \"{name}\",")), "{name}");
    }
    assert!(names.len() >= 5, "{names:?}");
    names
}

/// Processes of services that metrics are read of: two of orders in compose.
#[test]
fn the_metrics_of_every_service_are_read() {
    let (prometheus, collector) = (
        text("deploy/prometheus/prometheus.yml").replace("          - ", " "),
        text("deploy/otel/collector.yaml").replace(['"', ',', '[', ']'], " "),
    );
    let (compose, network) = (text("docker-compose.yml"), text("k8s/base/network.yaml"));
    let policy = between(&network, "  name: metrics\n", "policyTypes");
    let allowed = between(policy, "values: [", "]").split(',');
    let allowed: BTreeSet<String> = allowed.map(|name| name.trim().to_owned()).collect();
    let mut names = services();
    names.insert("edge".to_owned());
    assert_eq!(allowed, names, "k8s/base/network.yaml");
    for name in names {
        let hosts: &[&str] = if name == "orders" { &["orders-a", "orders-b"] } else { &[&name] };
        for host in hosts {
            let target = format!("{host}:9400");
            assert!(compose.contains(&format!("\n  {host}:\n")), "{host}: docker-compose.yml");
            for (file, read) in [("prometheus.yml", &prometheus), ("collector.yaml", &collector)] {
                assert!(read.split_whitespace().any(|word| word == target), "{target}: {file}");
            }
        }
        let pods = text(&format!("k8s/base/{name}.yaml"));
        assert!(pods.contains("prometheus.io/port: \"9400\""), "k8s/base/{name}.yaml");
        assert!(pods.contains("{ name: metrics, containerPort: 9400 }"), "k8s/base/{name}.yaml");
    }
}

#[test]
fn every_service_has_its_name_in_traces() {
    let page = text("docs/tracing.md");
    let names = between(&page, "- Service names are", "`service.instance.id`");
    for service in services().into_iter().chain(["edge".to_owned()]) {
        assert!(names.contains(&format!("`ordinal-{service}`")), "{service}");
    }
}

/// Benchmarks are no part of a process.
#[test]
fn the_log_may_say_more_of_every_crate_of_ours() {
    let manifest = text("Cargo.toml");
    let quoted = |list: &str| -> BTreeSet<String> {
        list.split('"').skip(1).step_by(2).map(|name| name.replace('-', "_")).collect()
    };
    let mut ours = quoted(between(&manifest, "members = [", "]"));
    ours.remove("benchmarks");
    ours.extend(["access", "ordinal"].map(str::to_owned));
    let source = text("src/logs/mod.rs");
    assert_eq!(quoted(between(&source, "const OWN: &[&str] = &[", "];")), ours);
}

/// The error budget counts what `ordinal top` and failed spans count.
#[test]
fn the_error_budget_counts_our_faults() {
    let ours = StatusCode::FAULTS.map(StatusCode::name).join("|");
    let faults = format!("rpc_response_status_code=~\"{ours}\"");
    let mut seen = 0;
    for (name, expression) in of_rules() {
        if name.contains("call_faults") {
            seen += 1;
            assert!(expression.contains(&faults), "{name}: {expression}");
        }
    }
    assert!(seen >= 4, "{seen}");
    assert!(StatusCode::FAULTS.into_iter().all(StatusCode::is_fault));
    assert!(!StatusCode::FailedPrecondition.is_fault() && !StatusCode::Unimplemented.is_fault());
}
