//! Every method has a route, and docs/rest.md lists them all.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use web_edge::Routes;

use crate::book::root;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ordinal_descriptor.bin"));
const OPENS: &str = "<!-- routes -->\n";
const CLOSES: &str = "<!-- /routes -->";

/// A method without a route: write `option (google.api.http)` in its braces in the proto, as its
/// neighbours do, and the page anew (`ORDINAL_WRITE_GOLDEN=1`).
#[test]
fn routes_of_the_page_are_those_of_the_protos() {
    let routes = Routes::new([DESCRIPTORS], |_| true).unwrap_or_else(|error| panic!("{error}"));
    let mut table = "| Route | Method |\n|---|---|\n".to_owned();
    for route in routes.iter() {
        let (service, method) = route.rpc().rsplit_once('/').unwrap();
        let service = service.rsplit('.').next().unwrap();
        let (verb, path) = (route.http_method(), route.template());
        writeln!(table, "| `{verb} {path}` | {service}.{method} |").unwrap();
    }
    let file = root().join("docs/rest.md");
    let page = fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(OPENS).expect("docs/rest.md has a place for routes");
    let (_, after) = rest.split_once(CLOSES).expect("docs/rest.md has an end of routes");
    let made = format!("{before}{OPENS}\n{table}\n{CLOSES}{after}");
    if std::env::var_os("ORDINAL_WRITE_GOLDEN").is_some() {
        fs::write(&file, &made).unwrap();
        return;
    }
    assert!(page == made, "docs/rest.md differs; ORDINAL_WRITE_GOLDEN=1 writes it anew");
}

/// The options are there at run time, in what is embedded: the types that code is made from have
/// no place for them.
#[test]
fn embedded_descriptors_keep_the_options_of_methods() {
    let sets = [
        order_actor::grpc::FILE_DESCRIPTOR_SET,
        inventory_stream::grpc::FILE_DESCRIPTOR_SET,
        notification::grpc::FILE_DESCRIPTOR_SET,
        ledger::grpc::FILE_DESCRIPTOR_SET,
        payment::grpc::FILE_DESCRIPTOR_SET,
        service_edge::feed::FILE_DESCRIPTOR_SET,
    ];
    for set in sets {
        assert!(Routes::new([set], |_| true).unwrap().iter().next().is_some());
    }
}

/// No item of a stream has a field of the names that the last item has.
#[test]
fn items_of_streams_are_told_from_their_end() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    for method in methods.filter(|method| method.is_server_streaming()) {
        for name in ["end", "problem", "cursor"] {
            assert!(method.output().get_field_by_name(name).is_none(), "{}", method.full_name());
        }
    }
}

/// Calls that are no reads by HTTP and have no `validate_only` of their own, each with its reason.
const CHECKED_OTHERWISE: [(&str, &str); 3] = [
    (
        "ordinal.facts.v1.FactService.Compare",
        "it reads; what it compares is too long for an address",
    ),
    ("ordinal.inventory.v1.InventoryService.BatchSetStock", "each of its requests has one"),
    ("ordinal.orders.v1.OrderService.ExecuteCommands", "each of its commands has one"),
];

/// Whether a request can ask for a check alone, by itself or by the options that commands have.
fn can_be_checked_alone(request: &MessageDescriptor) -> bool {
    let is_flag = |message: &MessageDescriptor| {
        let field = message.get_field_by_name("validate_only");
        field.is_some_and(|field| field.kind() == Kind::Bool)
    };
    let options = request.get_field_by_name("options").map(|field| field.kind());
    let by_options = matches!(options, Some(Kind::Message(options)) if is_flag(&options));
    is_flag(request) || by_options
}

/// A method that fails here changes something: give its request `validate_only`, or a row above.
#[test]
fn every_call_that_changes_something_can_be_checked_alone() {
    let routes = Routes::new([DESCRIPTORS], |_| true).unwrap_or_else(|error| panic!("{error}"));
    let changes = routes.iter().filter(|route| *route.http_method() != "GET");
    let without: BTreeSet<String> = changes
        .map(|route| route.descriptor())
        .filter(|method| !can_be_checked_alone(&method.input()))
        .map(|method| method.full_name().to_owned())
        .collect();
    let expected = CHECKED_OTHERWISE.map(|(method, _)| method.to_owned());
    assert_eq!(without, BTreeSet::from(expected));
}

/// Those that have none have one in each of their parts.
#[test]
fn parts_of_a_call_can_be_checked_alone() {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    for name in ["inventory.v1.BatchSetStockRequest", "orders.v1.ExecuteCommandsRequest"] {
        let request = pool.get_message_by_name(&format!("ordinal.{name}")).unwrap();
        let parts = request.fields().filter_map(|field| match field.kind() {
            Kind::Message(part) => Some(part),
            _ => None,
        });
        let parts: Vec<MessageDescriptor> = parts.collect();
        assert!(!parts.is_empty(), "{name}");
        for part in parts {
            assert!(can_be_checked_alone(&part), "{}", part.full_name());
        }
    }
}
