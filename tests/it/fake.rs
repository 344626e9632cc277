//! A server that answers each method with given values, to see how answers are shown and what is
//! asked next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tonic::Status;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ordinal_descriptor.bin"));
/// Before each message: a flag and its length.
const PREFIX: usize = 5;

/// Messages, and how the call ends after them.
pub type Turn = (Vec<Value>, Status);

/// The server; it ends when it is dropped.
pub struct Fake {
    pub address: String,
    answers: Arc<HashMap<String, Method>>,
    _runtime: Runtime,
}

struct Method {
    is: MethodDescriptor,
    turns: Vec<(Bytes, HeaderMap)>,
    /// The requests so far.
    asked: Mutex<Vec<Bytes>>,
}

impl Method {
    /// The answer to this request; the last one again where no other is left.
    fn next(&self, request: Bytes) -> (Bytes, HeaderMap) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turns.get(asked.len()).or(self.turns.last());
        asked.push(request);
        turn.cloned().unwrap_or_default()
    }
}

impl Fake {
    /// With one answer per method, such as `admin.v1.AdminService/ListFollowers`.
    pub fn start(answers: &[(&str, Value)]) -> Self {
        let answers = answers.iter();
        let turns = answers.map(|(method, answer)| (*method, vec![(vec![answer.clone()], good())]));
        Self::in_turns(turns.collect())
    }

    /// With an answer for each call of a method, one after the other.
    pub fn in_turns(answers: Vec<(&str, Vec<Turn>)>) -> Self {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let method = |(method, turns): (&str, Vec<Turn>)| {
            let (service, name) = method.split_once('/').unwrap();
            let service = pool.get_service_by_name(&format!("ordinal.{service}")).unwrap();
            let is = service.methods().find(|method| method.name() == name).unwrap();
            let turn = |(messages, end): Turn| {
                let mut trailers = HeaderMap::new();
                end.add_header(&mut trailers).unwrap();
                (framed(&is, &messages), trailers)
            };
            let turns = turns.into_iter().map(turn).collect();
            let path = format!("/{}/{name}", service.full_name());
            (path, Method { is, turns, asked: Mutex::default() })
        };
        let answers: Arc<HashMap<String, Method>> =
            Arc::new(answers.into_iter().map(method).collect());
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = Arc::clone(&answers);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&serving)));
            }
        });
        Self { address, answers, _runtime: runtime }
    }

    /// What this method was asked, in order.
    pub fn asked(&self, method: &str) -> Vec<Value> {
        let method = &self.answers[&format!("/ordinal.{method}")];
        let asked = method.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |request: &Bytes| {
            let message = DynamicMessage::decode(method.is.input(), request.slice(PREFIX..));
            let value = serde_json::to_value(message.unwrap());
            value.unwrap()
        };
        asked.iter().map(read).collect()
    }
}

/// A good end.
pub fn good() -> Status {
    Status::ok("")
}

fn framed(method: &MethodDescriptor, messages: &[Value]) -> Bytes {
    let mut framed = BytesMut::new();
    for message in messages {
        let message = DynamicMessage::deserialize(method.output(), message).unwrap();
        let message = message.encode_to_vec();
        framed.put_u8(0);
        framed.put_u32(message.len().try_into().unwrap());
        framed.put_slice(&message);
    }
    framed.freeze()
}

async fn serve(socket: TcpStream, answers: Arc<HashMap<String, Method>>) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        // Its message comes by the connection, which is read here.
        tokio::spawn(answer(request, respond, Arc::clone(&answers)));
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    answers: Arc<HashMap<String, Method>>,
) {
    let (head, mut body) = request.into_parts();
    let mut message = BytesMut::new();
    while let Some(Ok(part)) = body.data().await {
        message.put_slice(&part);
    }
    let found = answers.get(head.uri.path()).map(|method| method.next(message.freeze()));
    let (messages, end) = found.unwrap_or_else(|| {
        let mut trailers = HeaderMap::new();
        Status::unimplemented("").add_header(&mut trailers).unwrap();
        (Bytes::new(), trailers)
    });
    let response = Response::builder().header("content-type", "application/grpc");
    let mut body = respond.send_response(response.body(()).unwrap(), false).unwrap();
    if !messages.is_empty() {
        body.send_data(messages, false).unwrap();
    }
    body.send_trailers(end).unwrap();
}
