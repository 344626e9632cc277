//! All gRPC methods, here or in other processes: how each is called, and who may call it.
//! Never here: the list of services; each is a row of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor};
use shared_events::contract::Reason;
use tonic::Status;

use super::policy::{Policy, Whose};
use super::refusal::refused;

const KIB: usize = 1024;
/// The largest message of services that are not ours: health and reflection.
const FOREIGN_BYTES_MAX: usize = 4 * KIB;

/// The health service.
const HEALTH: &str = "/grpc.health.v1.Health/";
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

impl Kind {
    fn of(method: &MethodDescriptor) -> Self {
        match (method.is_client_streaming(), method.is_server_streaming()) {
            (true, _) => Self::BidiStream,
            (false, true) => Self::ServerStream,
            (false, false) => Self::Unary,
        }
    }
}

/// A method, as it is admitted.
pub(crate) struct Method {
    /// `service/method`.
    pub(super) name: Arc<str>,
    kind: Kind,
    /// The largest message, in bytes.
    message_bytes_max: usize,
    /// Who may call it. One without a policy is denied to all.
    pub(super) policy: Option<Policy>,
    request: MessageDescriptor,
}

impl Method {
    /// Whether the order of a customer's call is to be looked up first.
    pub(super) fn asks_whose(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.whose == Whose::OrderId)
    }

    /// Whether it is told all that is known of its caller.
    pub(super) fn answers_caller(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.answers_caller)
    }

    /// The field `order_id` of a request; none if the bytes are not one.
    pub(super) fn order_id(&self, message: &[u8]) -> Option<String> {
        let request = DynamicMessage::decode(self.request.clone(), message).ok()?;
        request.get_field_by_name("order_id")?.as_str().map(str::to_owned)
    }
}

/// All services of an engine, wherever they are answered.
pub struct Calls {
    descriptors: Vec<&'static [u8]>,
    /// By `/service/method`.
    methods: BTreeMap<String, Arc<Method>>,
    /// Services that somebody may call.
    served: BTreeSet<&'static str>,
    /// The name of the methods of services that are not ours, and of what is no method.
    public: Arc<str>,
    nothing: Arc<str>,
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
        let rpcs: Vec<Rpc> = rpcs.into_iter().chain([super::admin::RPC]).collect();
        let mut pool = DescriptorPool::new();
        for bytes in &descriptors {
            if let Err(error) = pool.decode_file_descriptor_set(*bytes) {
                tracing::error!(%error, "descriptors cannot be read; their methods are refused");
            }
        }
        let mut methods = BTreeMap::new();
        for service in pool.services() {
            let rpc = rpcs.iter().find(|rpc| rpc.name == service.full_name());
            let message_bytes_max = rpc.map_or(FOREIGN_BYTES_MAX, |rpc| rpc.message_bytes_max);
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let (policy, request) = (Policy::of(&method), method.input());
                let kind = Kind::of(&method);
                let name = Arc::from(path.trim_start_matches('/'));
                let method = Method { name, kind, message_bytes_max, policy, request };
                methods.insert(path, Arc::new(method));
            }
        }
        let has_methods = |name: &&str| pool.get_service_by_name(name).is_some();
        let served = rpcs.iter().map(|rpc| rpc.name).filter(has_methods).collect();
        let (public, nothing) = (Arc::from("health or reflection"), Arc::from("none"));
        Self { descriptors, methods, served, public, nothing }
    }

    /// The descriptors of all services, for reflection.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = &'static [u8]> {
        self.descriptors.iter().copied()
    }

    /// Whether a service has methods that somebody may call.
    pub(super) fn serves(&self, service: &str) -> bool {
        self.served.contains(service)
    }

    /// The method of a path; none of services that are not ours, and where there is none.
    pub(crate) fn method(&self, path: &str) -> Option<&Arc<Method>> {
        self.methods.get(path)
    }

    /// The name of a path's method, for people: never what a caller made up.
    pub(super) fn name(&self, path: &str) -> Arc<str> {
        self.name_of(self.method(path).map(Arc::as_ref), path)
    }

    /// The same, where the method was looked up.
    pub(super) fn name_of(&self, method: Option<&Method>, path: &str) -> Arc<str> {
        match method {
            Some(method) => Arc::clone(&method.name),
            None => Arc::clone(if is_public(path) { &self.public } else { &self.nothing }),
        }
    }

    /// Whether a method of one of the services has this name, such as `PlaceOrder`.
    pub(crate) fn has(&self, method: &str) -> bool {
        self.methods.keys().any(|path| split(path).1 == method)
    }

    /// The refusal of a path that has no method.
    pub(super) fn unknown(&self, path: &str) -> Status {
        let (service, _) = split(path);
        let all = || self.methods.keys().map(|path| split(path));
        let methods: Vec<&str> =
            all().filter(|(of, _)| *of == service).map(|(_, method)| method).collect();
        let message = if methods.is_empty() {
            let services: BTreeSet<&str> = all().map(|(service, _)| service).collect();
            let services = Vec::from_iter(services).join(", ");
            format!("there is no such service; the services are {services}")
        } else {
            format!("{service} has no such method; it has {}", methods.join(", "))
        };
        refused(Reason::Unimplemented, &message)
    }

    /// Who may call the methods that say so, by `service/method`, sorted.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.methods.iter().filter_map(|(path, method)| {
            Some((path.trim_start_matches('/'), method.policy.as_ref()?))
        })
    }

    /// Checks that every method says who may call it.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> anyhow::Result<()> {
        for (path, method) in &self.methods {
            anyhow::ensure!(
                method.policy.as_ref().is_some_and(|policy| !policy.callers.is_empty()),
                "{} does not say who may call it: option (ordinal.policy.v1.policy)",
                path.trim_start_matches('/')
            );
        }
        Ok(())
    }
}

/// How the method of a path is called.
pub(crate) fn kind(method: Option<&Method>, path: &str, forwarded: bool) -> Kind {
    let kind = match method {
        Some(method) => method.kind,
        None if BIDI_STREAMS.contains(&path) => Kind::BidiStream,
        None if SERVER_STREAMS.contains(&path) => Kind::ServerStream,
        None => Kind::Unary,
    };
    if forwarded && kind == Kind::BidiStream { Kind::ForwardedStream } else { kind }
}

/// The largest message of a method, in bytes.
pub(crate) fn message_bytes_max(method: Option<&Method>) -> usize {
    method.map_or(FOREIGN_BYTES_MAX, |method| method.message_bytes_max)
}

/// Health checks take no slot: they are answered from memory even when all other calls wait.
pub(super) fn takes_slot(path: &str) -> bool {
    !path.starts_with(HEALTH)
}

/// Whether everybody may call it: health and reflection.
pub(super) fn is_public(path: &str) -> bool {
    path.starts_with(HEALTH) || path.starts_with("/grpc.reflection.")
}

/// Service and method of a path.
fn split(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').split_once('/').unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

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
        let method = calls.method("/ordinal.orders.v1.OrderService/GetOrder").unwrap();
        assert_eq!(method.policy, None);
    }

    #[test]
    fn the_order_of_a_request_is_read_from_its_bytes() {
        let whole: &'static [u8] = order_actor::grpc::FILE_DESCRIPTOR_SET;
        let calls = Calls::new([whole], []);
        let method = calls.method("/ordinal.orders.v1.OrderService/GetOrder").unwrap();
        assert_eq!(method.order_id(b"\x0a\x03abc").as_deref(), Some("abc"));
        assert_eq!(method.order_id(b"").as_deref(), Some(""));
        assert_eq!(method.order_id(b"\x0a\xff"), None);
        assert!(calls.method("/no/Method").is_none());
    }
}
