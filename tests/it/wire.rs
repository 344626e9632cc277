//! Plain HTTP/2, for what no client library does.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::net::{TcpSocket, TcpStream};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::support::PATIENCE;

/// A connection.
pub struct Wire {
    send: SendRequest<Bytes>,
    driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A call under way.
pub struct WireCall {
    pub answer: ResponseFuture,
    pub request: SendStream<Bytes>,
}

/// A message with its length prefix.
pub fn framed(message: &impl prost::Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len().try_into().unwrap());
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}

/// The prefix of a message of this many bytes.
pub fn announced(length: u32) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(length);
    bytes.put_bytes(b'x', 16);
    bytes.freeze()
}

impl Wire {
    /// To `http://HOST:PORT`.
    pub async fn open(address: &str) -> Self {
        let socket = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (send, connection) = h2::client::handshake(socket).await.unwrap();
        Self { send, driver: tokio::spawn(connection) }
    }

    /// As a client with this address.
    pub async fn open_from(address: &str, from: IpAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let to = address.trim_start_matches("http://").parse().unwrap();
        let (send, connection) =
            h2::client::handshake(socket.connect(to).await.unwrap()).await.unwrap();
        Self { send, driver: tokio::spawn(connection) }
    }

    /// As a client that takes this many bytes of an answer at a time.
    pub async fn open_with_window(address: &str, window: u32) -> Self {
        let socket = TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut client = h2::client::Builder::new();
        let (send, connection) =
            client.initial_window_size(window).handshake(socket).await.unwrap();
        Self { send, driver: tokio::spawn(connection) }
    }

    /// Begins a call with a token.
    pub async fn begin(&self, path: &str, token: Option<&str>) -> WireCall {
        self.begin_with(path, token, &[]).await
    }

    /// Begins a call with additional headers.
    pub async fn begin_with(
        &self,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
    ) -> WireCall {
        let mut request = Request::post(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut send = self.send.clone().ready().await.unwrap();
        let (answer, request) = send.send_request(request.body(()).unwrap(), false).unwrap();
        WireCall { answer, request }
    }

    /// A call with one message.
    pub async fn call(
        &self,
        path: &str,
        token: Option<&str>,
        message: &impl prost::Message,
    ) -> WireCall {
        let mut call = self.begin(path, token).await;
        // It may have been refused already.
        let _ = call.request.send_data(framed(message), true);
        call
    }

    /// Whether the server has left it open.
    pub fn is_open(&self) -> bool {
        !self.driver.is_finished()
    }

    /// Waits until the server closes it.
    pub async fn closed(&self) {
        let patience = Instant::now() + PATIENCE;
        while self.is_open() {
            assert!(Instant::now() < patience, "the connection stays open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The status in these headers, if any.
pub fn status(headers: &HeaderMap) -> Option<Status> {
    Status::from_header_map(headers)
}

/// The stable reason of a status; OK without an error.
pub fn reason(status: &Status) -> String {
    let Some(info) = status.get_details_error_info() else { return "OK".to_owned() };
    crate::reasons::stands_on_the_page(status);
    info.reason
}

/// Sends messages one after the other, each in frames of its own, as fast as the server allows.
pub async fn send_all<M: prost::Message>(
    mut request: SendStream<Bytes>,
    messages: impl IntoIterator<Item = M>,
    mut sent: impl FnMut(),
) {
    for message in messages {
        let mut rest = framed(&message);
        while !rest.is_empty() {
            let size = rest.len().min(16 * 1024);
            request.reserve_capacity(size);
            while request.capacity() < size {
                futures::future::poll_fn(|context| request.poll_capacity(context))
                    .await
                    .expect("the stream was closed")
                    .unwrap();
            }
            request.send_data(rest.split_to(size), false).unwrap();
        }
        sent();
    }
    request.send_data(Bytes::new(), true).unwrap();
}

/// Reads an answer to its end: its messages, and the reason with which it ended.
pub async fn read_all<M: prost::Message + Default>(answer: ResponseFuture) -> (Vec<M>, String) {
    let mut body = answer.await.unwrap().into_body();
    let (mut buffer, mut messages) = (BytesMut::new(), Vec::new());
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        buffer.extend_from_slice(&data);
        while let Some(length) = buffer.get(1..5) {
            let end = 5 + usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
            if buffer.len() < end {
                break;
            }
            messages.push(M::decode(&buffer.split_to(end)[5..]).unwrap());
        }
    }
    let status = status(&body.trailers().await.unwrap().unwrap()).unwrap();
    (messages, reason(&status))
}

impl WireCall {
    /// The final reason, after reading the answer.
    pub async fn ended(self) -> String {
        let Self { answer, request } = self;
        let _request = request;
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(error) => return format!("broken: {error}"),
        };
        if let Some(status) = status(answer.headers()) {
            return reason(&status);
        }
        let mut body = answer.into_body();
        while let Some(data) = body.data().await {
            let Ok(data) = data else { return "broken".to_owned() };
            let _ = body.flow_control().release_capacity(data.len());
        }
        match body.trailers().await {
            Ok(Some(trailers)) => status(&trailers).map_or("none".to_owned(), |it| reason(&it)),
            other => format!("{other:?}"),
        }
    }

    /// The body of the answer once it has begun, or the reason why it did not.
    pub async fn begun(self) -> Result<(RecvStream, SendStream<Bytes>), String> {
        let Self { answer, request } = self;
        let answer = answer.await.map_err(|error| error.to_string())?;
        match status(answer.headers()) {
            Some(status) => Err(reason(&status)),
            None => Ok((answer.into_body(), request)),
        }
    }
}

/// The result, which must come.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}
