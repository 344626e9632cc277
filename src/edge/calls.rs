//! All gRPC methods, here or in other processes: how each is called, and who may call it.
//! Never here: the list of services; each is a row of its own.

use shared_events::contract::Reason;
use std::collections::BTreeMap;

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::FileDescriptorSet;
use tonic::Status;

use super::policy::{self, Policy};
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
    /// Who may call each, by `service/method`.
    policies: BTreeMap<String, Policy>,
    pool: DescriptorPool,
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
        let (pool, policies) = policy::read(&descriptors);
        Self { descriptors, rpcs, methods, policies, pool }
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

    /// Who may call a method. One without a policy is denied to all.
    pub(super) fn policy(&self, path: &str) -> Option<&Policy> {
        self.policies.get(path.trim_start_matches('/'))
    }

    /// The field `order_id` of a request; none if the bytes are not one.
    pub(super) fn order_id(&self, path: &str, message: &[u8]) -> Option<String> {
        let (service, method) = split(path);
        let service = self.pool.get_service_by_name(service)?;
        let method = service.methods().find(|known| known.name() == method)?;
        let request = DynamicMessage::decode(method.input(), message).ok()?;
        request.get_field_by_name("order_id")?.as_str().map(str::to_owned)
    }

    /// Who may call the methods, by `service/method`, sorted.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.policies.iter().map(|(name, policy)| (name.as_str(), policy))
    }

    /// Checks that every method says who may call it.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> anyhow::Result<()> {
        for (service, methods) in &self.methods {
            for method in methods.keys() {
                let name = format!("{service}/{method}");
                let policy = self.policies.get(&name);
                anyhow::ensure!(
                    policy.is_some_and(|policy| !policy.callers.is_empty()),
                    "{name} does not say who may call it: option (ordinal.policy.v1.policy)"
                );
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// prost's own types drop options of others: descriptors that went through them say nothing.
    #[test]
    fn a_method_that_does_not_say_who_may_call_it_ends_the_start() {
        let whole: &'static [u8] = order_actor::grpc::FILE_DESCRIPTOR_SET;
        assert!(Calls::new([whole], []).check().is_ok());
        let stripped = FileDescriptorSet::decode(whole).unwrap().encode_to_vec();
        let calls = Calls::new([&*stripped.leak()], []);
        let error = calls.check().unwrap_err().to_string();
        assert!(error.contains("does not say who may call it"), "{error}");
        assert_eq!(calls.policy("/ordinal.orders.v1.OrderService/GetOrder"), None);
    }

    #[test]
    fn the_order_of_a_request_is_read_from_its_bytes() {
        let whole: &'static [u8] = order_actor::grpc::FILE_DESCRIPTOR_SET;
        let calls = Calls::new([whole], []);
        let path = "/ordinal.orders.v1.OrderService/GetOrder";
        assert_eq!(calls.order_id(path, b"\x0a\x03abc").as_deref(), Some("abc"));
        assert_eq!(calls.order_id(path, b"").as_deref(), Some(""));
        assert_eq!(calls.order_id(path, b"\x0a\xff"), None);
        assert_eq!(calls.order_id("/no/Method", b""), None);
    }
}
