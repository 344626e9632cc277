//! The door of metrics: a listener of its own, which answers one page in clear text. It has few
//! connections, each for one request, and nothing else is behind it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared_events::metric::Format;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::PAUSE;

/// The path of the page.
pub(crate) const PATH: &str = "/metrics";
/// Connections at a time; further ones are closed.
const CONNECTIONS_MAX: usize = 16;
/// A head of a request arrives within this.
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// A connection ends within this.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Makes the page in a format; it waits for nothing.
pub(crate) type MakePage = Arc<dyn Fn(Format) -> String + Send + Sync>;

/// Answers the page until stopped.
pub(crate) async fn serve_metrics(listener: TcpListener, page: MakePage, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((socket, _)) = accepted else {
            let _ = stop.run_until_cancelled(sleep(PAUSE)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (page, stop) = (Arc::clone(&page), stop.clone());
        crate::tasks::spawn(async move {
            let answering = timeout(ENDS_WITHIN, answer(socket, page));
            let _ = stop.run_until_cancelled(answering).await;
            drop(place);
        });
    }
}

async fn answer(socket: TcpStream, page: MakePage) {
    let answers = service_fn(move |request: Request<Incoming>| {
        let format = format_for(request.headers());
        let answer = answer_to(request.method(), request.uri().path(), format, &page);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).keep_alive(false);
    if let Err(error) = builder.serve_connection(TokioIo::new(socket), answers).await {
        tracing::debug!(%error, "a connection for metrics broke");
    }
}

/// What a scraper asks for; text where it asks for nothing that is there.
fn format_for(headers: &HeaderMap) -> Format {
    let asked = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    Format::asked_for(&asked.collect::<Vec<_>>().join(","))
}

fn answer_to(
    method: &Method,
    path: &str,
    format: Format,
    page: &MakePage,
) -> Response<Full<Bytes>> {
    let (status, text) = match (method, path) {
        (&Method::GET | &Method::HEAD, PATH) => (StatusCode::OK, page(format)),
        (_, PATH) => (StatusCode::METHOD_NOT_ALLOWED, "GET it\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, format!("metrics are at {PATH}\n")),
    };
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let format = if status == StatusCode::OK { format } else { Format::Text };
    let format = HeaderValue::from_static(format.media_type());
    answer.headers_mut().insert(header::CONTENT_TYPE, format);
    answer
}
