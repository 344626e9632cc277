//! The services, a file each: name, stores, published facts, followers, and how its parts are
//! opened. A new service is a new file and a line here.

pub(crate) mod inventory; // stock
pub(crate) mod ledger; // money
pub(crate) mod notifications; // messages
pub(crate) mod orders; // the journal, its actors and timers, the read models
pub(crate) mod payments; // payments of orders

use std::sync::Arc;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::service::{Log, Role, Service};
use crate::edge::calls::{Calls, Rpc};
use service_edge::feed;

/// A list of services.
pub type Services = &'static [&'static Service];

/// All services, in the order of documentation.
pub const ALL: Services = &[
    &orders::SERVICE,
    &inventory::SERVICE,
    &notifications::SERVICE,
    &ledger::SERVICE,
    &payments::SERVICE,
];

/// The service of this name.
pub(crate) fn named(services: Services, name: &str) -> Option<&'static Service> {
    services.iter().copied().find(|service| service.name == name)
}

/// The service that has the journal.
pub(crate) fn with_journal(services: Services) -> Option<&'static Service> {
    services.iter().copied().find(|service| service.has_journal)
}

/// Services sorted so that followers come before what they follow. Copied in this order, and the
/// journal last, no copy of a follower is ahead of the copy of its log.
pub(crate) fn followers_first(services: Services) -> Vec<&'static Service> {
    let mut left: Vec<&'static Service> = services.iter().rev().copied().collect();
    let mut sorted = Vec::new();
    while !left.is_empty() {
        let is_followed = |service: &Service| {
            let log = service.published.map(|facts| Log::Facts(facts.source));
            let mut others = left.iter().flat_map(|other| other.followers);
            others
                .any(|follower| !follower.follows.is_of_journal() && Some(follower.follows) == log)
        };
        let next = left.iter().position(|service| !is_followed(service)).unwrap_or_default();
        sorted.push(left.remove(next));
    }
    sorted
}

/// The services whose database may be replaced by a new one, also by the name of its file.
pub(crate) fn made_anew(services: Services) -> PossibleValuesParser {
    let lost = services.iter().filter(|service| service.store.anew.is_some());
    let named = lost.map(|service| PossibleValue::new(service.name).alias(service.file()));
    PossibleValuesParser::new(named)
}

/// The values of `--role` of a process that stores something.
pub(crate) fn roles(services: Services) -> impl TypedValueParser<Value = Role> {
    parser(services, None)
}

/// The values of `--role` of any process.
pub(crate) fn roles_and_edge(services: Services) -> impl TypedValueParser<Value = Role> {
    let help = "None: the gateway in front of the others, without a database";
    parser(services, Some(PossibleValue::new(Role::Edge.name()).help(help)))
}

fn parser(services: Services, edge: Option<PossibleValue>) -> impl TypedValueParser<Value = Role> {
    let each = services.iter().map(|one| PossibleValue::new(one.name).help(one.runs));
    let all = [PossibleValue::new(Role::All.name()).help("All of them")];
    let names = PossibleValuesParser::new(all.into_iter().chain(each).chain(edge));
    names.map(move |name: String| match named(services, &name) {
        Some(service) => Role::Only(service.name),
        None if name == Role::Edge.name() => Role::Edge,
        None => Role::All,
    })
}

/// The methods of these services and of the fact feed.
pub(crate) fn calls(services: Services) -> Arc<Calls> {
    let descriptors = services.iter().map(|service| service.descriptors);
    let rpcs = services.iter().flat_map(|service| service.rpcs).copied();
    let descriptors = descriptors.chain([feed::FILE_DESCRIPTOR_SET]);
    Arc::new(Calls::new(descriptors, rpcs.chain([FACTS])))
}

/// The feed by which other processes read the facts of this one.
pub(crate) const FACTS: Rpc =
    Rpc { name: "ordinal.facts.v1.FactService", message_bytes_max: 64 * 1024 };

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::edge::calls::{Kind, message_bytes_max};

    /// Every method of the protos has its kind, and a row with its message limit.
    #[test]
    fn every_method_has_the_kind_that_its_proto_declares() {
        let calls = calls(ALL);
        let mut pool = prost_reflect::DescriptorPool::new();
        for descriptors in calls.descriptors() {
            pool.decode_file_descriptor_set(descriptors).unwrap();
        }
        for service in pool.services() {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let kind = match (method.is_client_streaming(), method.is_server_streaming()) {
                    (true, _) => Kind::BidiStream,
                    (false, true) => Kind::ServerStream,
                    (false, false) => Kind::Unary,
                };
                let known = calls.method(&path).map(Arc::as_ref);
                assert_eq!(crate::edge::calls::kind(known, &path, false), kind, "{path}");
                assert!(message_bytes_max(known) >= 64 * 1024, "{path}");
            }
        }
    }

    #[test]
    fn a_follower_is_copied_before_what_it_follows() {
        let names: Vec<&str> = followers_first(ALL).iter().map(|service| service.name).collect();
        assert_eq!(names, ["ledger", "notifications", "orders", "payments", "inventory"]);
    }

    /// Each service has a hand-written manifest and a process in compose.
    #[test]
    fn every_service_is_in_the_manifests() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        for service in ALL {
            let (name, capitals) = (service.name, service.name.to_uppercase());
            let database = format!("ORDINAL_{capitals}_DATABASE_URL");
            let own = format!("k8s/base/{name}.yaml");
            for path in [own.as_str(), "k8s/base/migrate.yaml", "docker-compose.yml"] {
                assert!(read(path).contains(&database), "{path}: missing {database}");
            }
            let (at, role) = (format!("ORDINAL_{capitals}_AT"), format!("ORDINAL_ROLE: {name}"));
            assert!(read("k8s/base/kustomization.yaml").contains(&at), "{at}");
            assert!(read("docker-compose.yml").contains(&role), "{role}");
        }
        assert!(read("docker-compose.yml").contains("ORDINAL_ROLE: edge"));
        assert!(read("k8s/base/edge.yaml").contains("args: [serve, --role, edge]"));
    }

    #[test]
    fn names_of_services_and_followers_are_unique() {
        let mut names = BTreeSet::new();
        for service in ALL {
            assert!(names.insert(service.name), "{} twice", service.name);
            for rpc in service.rpcs {
                assert!(format!("/{}", rpc.name).starts_with(service.path), "{}", rpc.name);
            }
        }
        let mut followers = BTreeSet::new();
        for service in ALL {
            let relay = service.published.map(|facts| facts.relay);
            for name in service.followers.iter().map(|follower| follower.name).chain(relay) {
                assert!(followers.insert(name), "{name} twice");
            }
        }
        assert_eq!(ALL.iter().filter(|service| service.has_journal).count(), 1);
    }
}
