//! Connections: how many, how large their requests, how long they may take.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Service;
use super::message::{Request, Response};
use crate::http::pairs;

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 256;
/// Larger requests are refused.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// A request arrives within this; a connection without one is closed by then.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// Serves a simulator until it is stopped. Calls under way then are cut off.
pub async fn serve(listener: TcpListener, service: Arc<Service>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let room = connections.len() < CONNECTIONS_MAX;
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&service)));
                }
                Err(error) => {
                    tracing::warn!("the simulator cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>) {
    let _ = stream.set_nodelay(true);
    let answer = service_fn(|request| answer(Arc::clone(&service), request));
    let mut http1 = http1::Builder::new();
    http1.timer(TokioTimer::new()).header_read_timeout(REQUEST_WITHIN);
    // Callers that go away, and connections that we cut, end with an error.
    let _ = http1.serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(
    service: Arc<Service>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, io::Error> {
    let response = match tokio::time::timeout(REQUEST_WITHIN, read(request)).await {
        Ok(Ok(request)) => service.answer(&request),
        Ok(Err(status)) => Response::json(status, &serde_json::json!({ "error": {} })),
        Err(_) => Response::json(408, &serde_json::json!({ "error": {} })),
    };
    if !response.after.is_zero() {
        tokio::time::sleep(response.after).await;
    }
    if response.cut {
        return Err(io::Error::other("the simulator cuts this connection"));
    }
    let built = http::Response::builder()
        .status(response.status)
        .header("content-type", response.kind)
        .body(Full::new(Bytes::from(response.body)));
    built.map_err(io::Error::other)
}

async fn read(request: http::Request<Incoming>) -> Result<Request, u16> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES_MAX).collect().await.map_err(|_| 413_u16)?;
    let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let path = head.uri.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
    Ok(Request {
        method: head.method,
        path,
        query: pairs(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body: body.to_bytes().to_vec(),
    })
}
