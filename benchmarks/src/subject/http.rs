use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::json;
use shared_events::contract::OrderId;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::measure::{Pace, Run, Tally, closed};

/// Calls of one connection of HTTP/2 at a time, as of gRPC.
const CALLS_PER_CONNECTION: usize = 64;

/// How calls are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1: a connection for each caller, which is kept.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Spoken {
    /// How the report names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// Where and how a service is called.
#[derive(Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// By TLS, with the authorities that are trusted.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// What callers say in `Authorization`, in turns; empty for nothing.
    pub tokens: Arc<[String]>,
}

impl Target {
    /// In clear text, without tokens.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, tokens: Arc::new([]) }
    }
}

/// Something that bytes go through.
trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Stream for T {}

/// A connection.
#[derive(Debug)]
pub enum Link {
    /// Of one caller.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// Of several.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody listens, or speaks something else.
    pub async fn open(target: &Target, spoken: Spoken) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(target.address).await?;
        socket.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match &target.tls {
            None => Box::new(socket),
            Some(config) => {
                let mut config = rustls::ClientConfig::clone(config);
                let named = if spoken == Spoken::Http2 { "h2" } else { "http/1.1" };
                config.alpn_protocols = vec![named.as_bytes().to_vec()];
                let host = ServerName::try_from("localhost")?;
                Box::new(TlsConnector::from(Arc::new(config)).connect(host, socket).await?)
            }
        };
        let io = TokioIo::new(stream);
        Ok(match spoken {
            Spoken::Http1 => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Self::Http1(sender)
            }
            Spoken::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Self::Http2(sender)
            }
        })
    }

    /// Sends a request; its answer, whose body is not read yet.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> anyhow::Result<axum::http::Response<Incoming>> {
        Ok(match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }
}

/// A request with JSON.
///
/// # Errors
/// Never: the parts are valid.
pub fn asking(
    target: &Target,
    (method, path): (Method, &str),
    token: Option<&str>,
    body: String,
) -> anyhow::Result<Request<Full<Bytes>>> {
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    let host = format!("localhost:{}", target.address.port());
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{scheme}://{host}{path}"))
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    Ok(request.body(Full::new(Bytes::from(body)))?)
}

/// The same order that is placed by gRPC.
pub fn order(order_id: OrderId) -> String {
    let line = |sku: &str, quantity: u32, units: &str, nanos: u32| {
        let price = json!({"currencyCode": "GBP", "units": units, "nanos": nanos});
        json!({"sku": sku, "quantity": quantity, "unitPrice": price})
    };
    json!({
        "orderId": order_id.to_string(),
        "customerId": uuid::Uuid::from_u128(0x5eed).to_string(),
        "lines": [line("85123A", 6, "2", 550_000_000), line("22423", 1, "16", 950_000_000)],
        "address": {
            "street": "221b Baker Street", "city": "London", "postalCode": "NW1 6XE", "country": "GB",
        },
        "contact": {"email": "customer@example.com", "locale": "en-GB"},
    })
    .to_string()
}

/// Sends a request whose answer must be a success, and reads it.
async fn done(link: &mut Link, request: Request<Full<Bytes>>) -> anyhow::Result<()> {
    let answer = link.send(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    let is_done = status == StatusCode::OK || status == StatusCode::CREATED;
    anyhow::ensure!(is_done, "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

/// This many callers, each placing an order by a call and cancelling it by another.
///
/// # Errors
/// A refusal.
pub async fn by_http(
    pace: Pace,
    target: &Target,
    spoken: Spoken,
    callers: usize,
) -> anyhow::Result<Run> {
    let mut links = Vec::new();
    let each = if spoken == Spoken::Http2 { CALLS_PER_CONNECTION } else { 1 };
    for _ in 0..callers.div_ceil(each) {
        links.push(Link::open(target, spoken).await?);
    }
    // Those of HTTP/1.1 have one owner; those of HTTP/2 are shared by cloning.
    let mut owned = Vec::new();
    for caller in 0..callers {
        let shared = links.get(caller % links.len().max(1)).and_then(|link| match link {
            Link::Http2(sender) => Some(Link::Http2(sender.clone())),
            Link::Http1(_) => None,
        });
        owned.push(shared);
    }
    if spoken == Spoken::Http1 {
        owned = links.into_iter().map(Some).collect();
    }
    let owned = Arc::new(std::sync::Mutex::new(owned));
    let target = target.clone();
    closed(pace, callers, move |caller, mut tally: Tally| {
        let link = owned.lock().ok().and_then(|mut owned| owned.get_mut(caller)?.take());
        let target = target.clone();
        async move {
            let mut link = link.context("no connection")?;
            let mut turn = caller;
            while tally.continues() {
                let order_id = OrderId::mint();
                let token = target.tokens.get(turn % target.tokens.len().max(1)).cloned();
                turn += callers;
                let place = (Method::POST, "/v1/orders");
                let place = asking(&target, place, token.as_deref(), order(order_id))?;
                let since = Instant::now();
                done(&mut link, place).await?;
                tally.done(since);
                let path = format!("/v1/orders/{order_id}:cancel");
                let cancel = (Method::POST, path.as_str());
                let cancel = asking(&target, cancel, token.as_deref(), "{}".to_owned())?;
                let since = Instant::now();
                done(&mut link, cancel).await?;
                tally.done(since);
            }
            Ok(tally)
        }
    })
    .await
}
