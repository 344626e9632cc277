//! A client of `/v1/live`.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::http::Stream;
use crate::support::PATIENCE;

/// A socket.
pub struct Socket(WebSocketStream<Box<dyn Stream>>);

/// How a socket was closed.
pub type Closed = Option<u16>;

impl Socket {
    /// Opens one at an address such as `http://127.0.0.1:7400`.
    pub async fn open(address: &str, headers: &[(&'static str, &str)]) -> Self {
        let opened = Self::try_open(address, headers, None).await;
        opened.unwrap_or_else(|status| panic!("the socket is refused: {status}"))
    }

    /// Opens one that keeps about so many bytes before they are read.
    pub async fn open_small(address: &str, bytes: u32) -> Self {
        Self::try_open(address, &[], Some(bytes)).await.unwrap()
    }

    /// The status of a refusal.
    pub async fn try_open(
        address: &str,
        headers: &[(&'static str, &str)],
        receive_buffer: Option<u32>,
    ) -> Result<Self, u16> {
        let host = address.trim_start_matches("http://");
        let tcp = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = receive_buffer {
            tcp.set_recv_buffer_size(bytes).unwrap();
        }
        let stream = tcp.connect(host.parse().unwrap()).await.unwrap();
        Self::over(Box::new(stream), host, headers).await
    }

    /// Over a connection to this host.
    pub async fn over(
        stream: Box<dyn Stream>,
        host: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{host}/v1/live").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match timeout(PATIENCE, client_async(request, stream)).await.unwrap() {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// Begins a watch of all orders that the caller may see.
    pub async fn watch(&mut self, id: &str, after: Option<&str>) {
        let mut message = json!({ "watch": {}, "id": id });
        if let Some(after) = after {
            message["after"] = json!(after);
        }
        self.say(message).await;
    }

    /// The next message, or how the socket was closed.
    pub async fn next(&mut self) -> Result<Value, Closed> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("the socket is silent") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(close))) => {
                    return Err(close.map(|close| u16::from(close.code)));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The next message that is not about where a stream is.
    pub async fn news(&mut self) -> Value {
        loop {
            let message = self.next().await.unwrap();
            if message.get("progress").is_none() {
                return message;
            }
        }
    }
}
