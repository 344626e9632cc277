//! A gRPC client that works from the protos' descriptors: requests and answers are JSON with the
//! protos' own field names, so that `--json` prints what the protos document.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _, Bytes};
use futures::{Stream, StreamExt as _};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, Kind, MessageDescriptor, MethodDescriptor,
    SerializeOptions,
};
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::connection::Connection;
use super::failure::Failure;
use crate::edge::tls::{Connector, NotConnected};
use crate::flags::address::Address;
use crate::flags::similar;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ordinal_descriptor.bin"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// All protos, with their comments and routes.
///
/// # Errors
/// If the build wrote descriptors that cannot be read.
pub fn protos() -> anyhow::Result<DescriptorPool> {
    DescriptorPool::decode(DESCRIPTORS).context("descriptors of the protos")
}

/// A connection to an engine as one caller.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    grpc: tonic::client::Grpc<Channel>,
    headers: MetadataMap,
    timeout: Duration,
    pool: DescriptorPool,
    /// By `orders.v1.OrderService/GetOrder`.
    methods: Arc<HashMap<String, (PathAndQuery, MethodDescriptor)>>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// `UNAVAILABLE` if no engine answers at the address.
    pub async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let wrong = |what: String| Failure::Usage(format!("--address {what}"));
        let address = Address::normal(&connection.address()).map_err(wrong)?;
        let endpoint = Endpoint::from_shared(address.clone())
            .map_err(|_| Failure::Usage(format!("--address {address} is not an address")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        let connected = match connection.tls()? {
            Some(tls) => {
                let places = vec![endpoint.uri().clone()];
                let connector = Connector::new(tls, places, CONNECT_TIMEOUT);
                endpoint.connect_with_connector(connector).await
            }
            None => endpoint.connect().await,
        };
        let channel = connected.map_err(|error| no_engine(&address, &error))?;
        let pool = protos().map_err(Failure::Other)?;
        let methods = Arc::new(methods(&pool).map_err(Failure::Other)?);
        let grpc = tonic::client::Grpc::new(channel.clone());
        let (headers, timeout) = (headers(connection)?, connection.timeout);
        Ok(Self { channel, grpc, headers, timeout, pool, methods })
    }

    /// The same connection as another caller.
    ///
    /// # Errors
    /// Usage if the caller's name cannot be sent.
    pub fn as_caller(&self, connection: &Connection) -> Result<Self, Failure> {
        Ok(Self { headers: headers(connection)?, ..self.clone() })
    }

    /// All messages and methods of the protos.
    #[must_use]
    pub const fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The channel, for generated clients.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A message as a request of this caller, with a deadline.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request.set_timeout(self.timeout);
        request
    }

    /// Calls a method, such as `orders.OrderService/GetOrder`, once.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn call(&self, method: &str, request: Value) -> Result<Value, Failure> {
        let (path, method) = self.method(method)?;
        let mut request = self.encode(&method, request)?;
        request.set_timeout(self.timeout);
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(unavailable)?;
        let answer = grpc.unary(request, path, Plain).await?;
        to_json(&method.output(), answer.into_inner())
    }

    /// Calls a method that answers with a stream.
    ///
    /// # Errors
    /// The server's refusal.
    pub async fn stream(
        &self,
        method: &str,
        request: Value,
    ) -> Result<impl Stream<Item = Result<Value, Failure>> + Unpin + use<>, Failure> {
        let (path, method) = self.method(method)?;
        let request = self.encode(&method, request)?;
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(unavailable)?;
        let answers = grpc.server_streaming(request, path, Plain).await?.into_inner();
        Ok(answers.map(move |answer| to_json(&method.output(), answer?)))
    }

    /// A message of this type, such as `orders.v1.RecordedEvent`, as JSON like in answers.
    ///
    /// # Errors
    /// If the protos have no such message.
    pub fn shown(&self, name: &str, message: &impl prost::Message) -> Result<Value, Failure> {
        let descriptor = self.pool.get_message_by_name(&format!("ordinal.{name}"));
        let descriptor = descriptor
            .ok_or_else(|| Failure::Other(anyhow::anyhow!("the protos have no message {name}")))?;
        to_json(&descriptor, Bytes::from(message.encode_to_vec()))
    }

    /// The value of an enumeration by its name, with or without prefix.
    ///
    /// # Errors
    /// Usage with the known names.
    pub fn enum_value(&self, name: &str, text: &str) -> Result<String, Failure> {
        self.named(name, text, |_| true)
    }

    /// The same, if only some of its values are valid.
    ///
    /// # Errors
    /// Usage with their names.
    pub fn enum_among(&self, name: &str, text: &str, some: &[&str]) -> Result<String, Failure> {
        self.named(name, text, |short| some.contains(&short))
    }

    fn named(
        &self,
        name: &str,
        text: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Result<String, Failure> {
        let all = self
            .pool
            .get_enum_by_name(&format!("ordinal.{name}"))
            .ok_or_else(|| Failure::Other(anyhow::anyhow!("the protos have no {name}")))?;
        let names: Vec<String> = all.values().map(|value| value.name().to_owned()).collect();
        // ORDER_STATUS_ for OrderStatus.
        let first = names.first().map(String::as_str).unwrap_or_default();
        let prefix = first.strip_suffix("UNSPECIFIED").unwrap_or_default();
        let known = names.iter().filter_map(|name| {
            let short = name.strip_prefix(prefix).unwrap_or(name);
            (short != "UNSPECIFIED" && fits(short)).then_some((name, short))
        });
        let known: Vec<(&String, &str)> = known.collect();
        let wanted = text.trim().to_ascii_uppercase().replace('-', "_");
        let found = known.iter().find(|(name, short)| wanted == **name || wanted == *short);
        found.map(|(name, _)| (*name).clone()).ok_or_else(|| {
            let known: Vec<&str> = known.iter().map(|(_, short)| *short).collect();
            Failure::Usage(format!("{text:?} is not one of {}", known.join(", ")))
        })
    }

    fn method(&self, name: &str) -> Result<(PathAndQuery, MethodDescriptor), Failure> {
        let unknown = || Failure::Other(anyhow::anyhow!("the protos have no method {name}"));
        self.methods.get(name).cloned().ok_or_else(unknown)
    }

    fn encode(&self, method: &MethodDescriptor, value: Value) -> Result<Request<Bytes>, Failure> {
        let message = read(method.input(), value.clone()).map_err(|error| {
            let (path, what) = blame(&method.input(), &value)
                .unwrap_or_else(|| (String::new(), error.to_string()));
            let place = if path.is_empty() { method.input().name().to_owned() } else { path };
            Failure::Usage(format!("{place}: {what}"))
        })?;
        let mut request = Request::new(Bytes::from(message.encode_to_vec()));
        *request.metadata_mut() = self.headers.clone();
        Ok(request)
    }
}

/// Our methods, looked up once for all calls.
fn methods(
    pool: &DescriptorPool,
) -> anyhow::Result<HashMap<String, (PathAndQuery, MethodDescriptor)>> {
    let ours = pool.services().filter_map(|service| {
        let name = service.full_name().strip_prefix("ordinal.")?.to_owned();
        Some((name, service))
    });
    let mut found = HashMap::new();
    for (name, service) in ours {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let path = path.parse().with_context(|| path.clone())?;
            found.insert(format!("{name}/{}", method.name()), (path, method));
        }
    }
    Ok(found)
}

fn read(message: MessageDescriptor, value: Value) -> Result<DynamicMessage, serde_json::Error> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(message, value, &options)
}

/// The first invalid field of a message, such as `lines[0].quantity`, and the error.
fn blame(message: &MessageDescriptor, value: &Value) -> Option<(String, String)> {
    for (key, value) in value.as_object()? {
        let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        let Err(error) = read(message.clone(), alone) else { continue };
        let field = message.get_field_by_name(key).or_else(|| message.get_field_by_json_name(key));
        let Some(field) = field else { return Some((key.clone(), no_field(message, key))) };
        let Kind::Message(inner) = field.kind() else {
            return Some((key.clone(), error.to_string()));
        };
        let items: Vec<(String, &Value)> = match value.as_array() {
            Some(items) => {
                let named = |(at, item)| (format!("{key}[{at}]"), item);
                items.iter().enumerate().map(named).collect()
            }
            None => vec![(key.clone(), value)],
        };
        for (place, item) in items {
            let Err(error) = read(inner.clone(), item.clone()) else { continue };
            return Some(match blame(&inner, item) {
                Some((path, what)) => (format!("{place}.{path}"), what),
                None => (place, error.to_string()),
            });
        }
        return Some((key.clone(), error.to_string()));
    }
    None
}

/// The error text for an unknown field, with the similar field or all fields.
fn no_field(message: &MessageDescriptor, key: &str) -> String {
    let known: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
    match similar(key, known.iter().map(String::as_str)) {
        Some(meant) => format!("unknown field; did you mean {meant}?"),
        None => format!("unknown field; the fields are {}", known.join(", ")),
    }
}

/// Nobody answers, or not somebody with the right certificate.
fn no_engine(address: &str, error: &tonic::transport::Error) -> Failure {
    let text = match NotConnected::within(error) {
        Some(why) if why.is_tls() => why.to_string(),
        _ => format!("no engine answers at {address}"),
    };
    Status::unavailable(text).into()
}

fn unavailable(error: tonic::transport::Error) -> Failure {
    Failure::from(Status::unavailable(error.to_string()))
}

fn headers(connection: &Connection) -> Result<MetadataMap, Failure> {
    let mut headers = MetadataMap::new();
    let ascii = |text: &str| {
        MetadataValue::try_from(text)
            .map_err(|_| Failure::Usage("--as and --token must be visible ASCII".to_owned()))
    };
    if let Some(caller) = &connection.caller {
        headers.insert("ordinal-role", ascii(&caller.role)?);
        headers.insert("ordinal-subject", ascii(&caller.subject)?);
    }
    if let Some(token) = &connection.token {
        let mut bearer = ascii(&format!("Bearer {token}"))?;
        bearer.set_sensitive(true);
        headers.insert("authorization", bearer);
    }
    Ok(headers)
}

fn to_json(descriptor: &MessageDescriptor, bytes: Bytes) -> Result<Value, Failure> {
    let unreadable = |error: anyhow::Error| {
        Failure::Other(error.context(format!("unreadable {}", descriptor.full_name())))
    };
    let message =
        DynamicMessage::decode(descriptor.clone(), bytes).map_err(|e| unreadable(e.into()))?;
    let options = SerializeOptions::new()
        .use_proto_field_name(true)
        .stringify_64_bit_integers(false)
        .skip_default_fields(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|e| unreadable(e.into()))
}

/// Passes messages through as bytes.
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
