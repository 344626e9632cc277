//! A server that answers each method with a given value, to see how answers are shown.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Response};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ordinal_descriptor.bin"));

/// The server; it ends when it is dropped.
pub struct Fake {
    pub address: String,
    _runtime: Runtime,
}

impl Fake {
    /// With one answer per method, such as `admin.v1.AdminService/ListFollowers`.
    pub fn start(answers: &[(&str, Value)]) -> Self {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let answers: HashMap<String, Bytes> = answers
            .iter()
            .map(|(method, answer)| {
                let (service, name) = method.split_once('/').unwrap();
                let service = pool.get_service_by_name(&format!("ordinal.{service}")).unwrap();
                let method = service.methods().find(|method| method.name() == name).unwrap();
                let answer = DynamicMessage::deserialize(method.output(), answer).unwrap();
                let answer = answer.encode_to_vec();
                let mut framed = BytesMut::new();
                framed.put_u8(0);
                framed.put_u32(answer.len().try_into().unwrap());
                framed.put_slice(&answer);
                (format!("/{}/{name}", service.full_name()), framed.freeze())
            })
            .collect();
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let answers = Arc::new(answers);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&answers)));
            }
        });
        Self { address, _runtime: runtime }
    }
}

async fn serve(socket: TcpStream, answers: Arc<HashMap<String, Bytes>>) {
    let mut connection = h2::server::handshake(socket).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let found = answers.get(request.uri().path()).cloned();
        let response = Response::builder().header("content-type", "application/grpc");
        let mut status = HeaderMap::new();
        let code = if found.is_some() { "0" } else { "12" };
        status.insert("grpc-status", code.parse().unwrap());
        let mut body = respond.send_response(response.body(()).unwrap(), false).unwrap();
        if let Some(answer) = found {
            body.send_data(answer, false).unwrap();
        }
        body.send_trailers(status).unwrap();
    }
}
