//! All gRPC methods, here or in other processes: how each is called, and which roles may call it.
//! Never here: the list of services; each is a row of its own.

use shared_events::contract::Reason;
use std::collections::BTreeMap;

use order_actor::domain::Role;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Status;

use super::refusal::refused;

const KIB: usize = 1024;
/// The largest message of services that are not ours: health and reflection.
const FOREIGN_BYTES_MAX: usize = 4 * KIB;

/// Server-streaming methods of services that are not ours.
const SERVER_STREAMS: [&str; 1] = ["/grpc.health.v1.Health/Watch"];
/// Bidirectional methods of services that are not ours.
const BIDI_STREAMS: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// A gRPC service.
#[derive(Clone, Copy)]
pub struct Rpc {
    /// The full name, such as `ordinal.orders.v1.OrderService`.
    pub name: &'static str,
    /// Whether a role may call a method of it.
    pub may_call: fn(&str, Role) -> bool,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
}

/// How a method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One message, one answer.
    Unary,
    /// One message, a stream of answers.
    ServerStream,
    /// A stream each way.
    BidiStream,
    /// A stream that another node forwards here: one message, one answer.
    ForwardedStream,
}

/// All services of an engine, wherever they are answered.
pub struct Calls {
    descriptors: Vec<&'static [u8]>,
    rpcs: BTreeMap<&'static str, Rpc>,
    /// The methods of each service.
    methods: BTreeMap<String, BTreeMap<String, Kind>>,
}

impl Calls {
    /// Of these services and their descriptors; adds the admin service.
    #[must_use]
    pub fn new(
        descriptors: impl IntoIterator<Item = &'static [u8]>,
        rpcs: impl IntoIterator<Item = Rpc>,
    ) -> Self {
        let own = super::admin::FILE_DESCRIPTOR_SET;
        let descriptors: Vec<_> = descriptors.into_iter().chain([own]).collect();
        let rpcs = rpcs.into_iter().chain([super::admin::RPC]);
        let rpcs = rpcs.map(|rpc| (rpc.name, rpc)).collect();
        let methods = methods(&descriptors);
        Self { descriptors, rpcs, methods }
    }

    /// The descriptors of all services, for reflection.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &'static [u8]> {
        self.descriptors.iter().copied()
    }

    /// Whether a service has methods that somebody may call.
    pub(super) fn serves(&self, service: &str) -> bool {
        self.rpcs.contains_key(service) && self.methods.contains_key(service)
    }

    /// Whether the method exists.
    pub(super) fn exists(&self, path: &str) -> Result<(), Status> {
        let (service, method) = split(path);
        let message = match self.methods.get(service) {
            Some(methods) if methods.contains_key(method) => return Ok(()),
            Some(methods) => {
                let methods: Vec<&str> = methods.keys().map(String::as_str).collect();
                format!("{service} has no such method; it has {}", methods.join(", "))
            }
            None => {
                let services: Vec<&str> = self.methods.keys().map(String::as_str).collect();
                format!("there is no such service; the services are {}", services.join(", "))
            }
        };
        Err(refused(Reason::Unimplemented, &message))
    }

    /// Whether a role may call a method. A method that no row allows is denied.
    pub(super) fn may_call(&self, path: &str, role: Role) -> bool {
        let (service, method) = split(path);
        self.rpcs.get(service).is_some_and(|rpc| (rpc.may_call)(method, role))
    }

    /// How a method is called.
    pub(crate) fn kind(&self, path: &str, forwarded: bool) -> Kind {
        let (service, method) = split(path);
        let known = self.methods.get(service).and_then(|methods| methods.get(method));
        let kind = match known.copied() {
            Some(kind) => kind,
            None if BIDI_STREAMS.contains(&path) => Kind::BidiStream,
            None if SERVER_STREAMS.contains(&path) => Kind::ServerStream,
            None => Kind::Unary,
        };
        if forwarded && kind == Kind::BidiStream { Kind::ForwardedStream } else { kind }
    }

    /// The largest message of a method, in bytes.
    pub(crate) fn message_bytes_max(&self, path: &str) -> usize {
        let rpc = self.rpcs.get(split(path).0);
        rpc.map_or(FOREIGN_BYTES_MAX, |rpc| rpc.message_bytes_max)
    }
}

/// Service and method of a path.
fn split(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').split_once('/').unwrap_or_default()
}

fn methods(descriptors: &[&'static [u8]]) -> BTreeMap<String, BTreeMap<String, Kind>> {
    let sets = descriptors.iter().filter_map(|bytes| FileDescriptorSet::decode(*bytes).ok());
    let files = sets.flat_map(|set| set.file);
    let services = files.flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().map(move |service| {
            let name = format!("{package}.{}", service.name());
            let methods = service.method.iter().map(|method| {
                let kind = match (method.client_streaming(), method.server_streaming()) {
                    (true, _) => Kind::BidiStream,
                    (false, true) => Kind::ServerStream,
                    (false, false) => Kind::Unary,
                };
                (method.name().to_owned(), kind)
            });
            (name, methods.collect())
        })
    });
    services.collect()
}
