//! Speaks gRPC by the descriptors of the protos: requests and answers are JSON with the protos'
//! own field names, so that what `--json` prints is what the protos document.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use futures::{Stream, StreamExt as _};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, MethodDescriptor,
    SerializeOptions,
};
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::args::Connection;
use super::failure::Failure;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ordinal_descriptor.bin"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A connection to an engine, as somebody.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    grpc: tonic::client::Grpc<Channel>,
    headers: MetadataMap,
    timeout: Duration,
    pool: DescriptorPool,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// `UNAVAILABLE` where nobody answers at the address; usage where it is no address.
    pub async fn connect(connection: &Connection) -> Result<Self, Failure> {
        let address = connection.address();
        let endpoint = Endpoint::from_shared(address.clone())
            .map_err(|_| Failure::Usage(format!("--address {address} is not a URL")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|_| {
            Failure::from(Status::unavailable(format!("no engine answers at {address}")))
        })?;
        let pool = DescriptorPool::decode(DESCRIPTORS).map_err(|error| {
            Failure::Other(anyhow::Error::new(error).context("descriptors of the protos"))
        })?;
        let grpc = tonic::client::Grpc::new(channel.clone());
        Ok(Self { channel, grpc, headers: headers(connection)?, timeout: connection.timeout, pool })
    }

    /// The same connection as somebody else.
    ///
    /// # Errors
    /// Usage where the name cannot be sent.
    pub fn as_caller(&self, connection: &Connection) -> Result<Self, Failure> {
        Ok(Self { headers: headers(connection)?, ..self.clone() })
    }

    /// Every message and method, as the protos say.
    #[must_use]
    pub const fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The connection itself, for generated clients.
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
    /// What the server answered.
    pub async fn call(&self, method: &str, request: Value) -> Result<Value, Failure> {
        let (path, method) = self.method(method)?;
        let mut request = self.encode(&method, request)?;
        request.set_timeout(self.timeout);
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(away)?;
        let answer = grpc.unary(request, path, Plain).await?;
        to_json(&method.output(), answer.into_inner())
    }

    /// Calls a method that answers with a stream.
    ///
    /// # Errors
    /// What the server answered.
    pub async fn stream(
        &self,
        method: &str,
        request: Value,
    ) -> Result<impl Stream<Item = Result<Value, Failure>> + Unpin + use<>, Failure> {
        let (path, method) = self.method(method)?;
        let request = self.encode(&method, request)?;
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(away)?;
        let answers = grpc.server_streaming(request, path, Plain).await?.into_inner();
        Ok(answers.map(move |answer| to_json(&method.output(), answer?)))
    }

    /// A message of this type, such as `orders.v1.RecordedEvent`, as calls show it.
    ///
    /// # Errors
    /// Where the protos have no such message.
    pub fn shown(&self, name: &str, message: &impl prost::Message) -> Result<Value, Failure> {
        let descriptor = self.pool.get_message_by_name(&format!("ordinal.{name}"));
        let descriptor = descriptor
            .ok_or_else(|| Failure::Other(anyhow::anyhow!("the protos have no message {name}")))?;
        to_json(&descriptor, Bytes::from(message.encode_to_vec()))
    }

    /// The value of an enumeration that somebody named, with or without its prefix.
    ///
    /// # Errors
    /// Usage with the known names.
    pub fn enum_value(&self, name: &str, text: &str) -> Result<String, Failure> {
        let all = self
            .pool
            .get_enum_by_name(&format!("ordinal.{name}"))
            .ok_or_else(|| Failure::Other(anyhow::anyhow!("the protos have no {name}")))?;
        let wanted = text.to_ascii_uppercase().replace('-', "_");
        let names: Vec<String> = all.values().map(|value| value.name().to_owned()).collect();
        // ORDER_STATUS_ for OrderStatus.
        let is_prefix = |prefix: &str| {
            prefix.ends_with('_') && prefix.replace('_', "").eq_ignore_ascii_case(all.name())
        };
        let found = names
            .iter()
            .find(|known| **known == wanted || known.strip_suffix(&wanted).is_some_and(is_prefix));
        found.cloned().ok_or_else(|| {
            let known: Vec<&str> =
                names.iter().map(String::as_str).filter(|n| !n.ends_with("UNSPECIFIED")).collect();
            Failure::Usage(format!("{text} is none of {}", known.join(", ")))
        })
    }

    fn method(&self, name: &str) -> Result<(PathAndQuery, MethodDescriptor), Failure> {
        let unknown = || Failure::Other(anyhow::anyhow!("the protos have no method {name}"));
        let (service, method) = name.split_once('/').ok_or_else(unknown)?;
        let service =
            self.pool.get_service_by_name(&format!("ordinal.{service}")).ok_or_else(unknown)?;
        let method = service.methods().find(|known| known.name() == method).ok_or_else(unknown)?;
        let path = format!("/{}/{}", service.full_name(), method.name());
        Ok((path.parse().map_err(|_| unknown())?, method))
    }

    fn encode(&self, method: &MethodDescriptor, value: Value) -> Result<Request<Bytes>, Failure> {
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let message = DynamicMessage::deserialize_with_options(method.input(), value, &options)
            .map_err(|error| Failure::Usage(format!("{}: {error}", method.input().name())))?;
        let mut request = Request::new(Bytes::from(message.encode_to_vec()));
        *request.metadata_mut() = self.headers.clone();
        Ok(request)
    }
}

fn away(error: tonic::transport::Error) -> Failure {
    Failure::from(Status::unavailable(error.to_string()))
}

fn headers(connection: &Connection) -> Result<MetadataMap, Failure> {
    let mut headers = MetadataMap::new();
    let ascii = |text: &str| {
        MetadataValue::try_from(text)
            .map_err(|_| Failure::Usage("--as and --token hold visible ASCII only".to_owned()))
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

/// Messages as the bytes they are.
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
