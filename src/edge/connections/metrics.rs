//! The door of metrics: a listener of its own, which answers one page in clear text. It has few
//! connections, each for one request, and nothing else is behind it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// The end of a listener of metrics, which may outlive all else of its process.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageEnd {
    stop: CancellationToken,
    /// The numbers are final: the page is to be read once more.
    is_last: CancellationToken,
    /// It was read since.
    was_read: CancellationToken,
}

impl PageEnd {
    /// Nothing is answered any more.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// The page is the last one from now on.
    pub(crate) fn is_last(&self) {
        self.is_last.cancel();
    }

    /// Completes once the last page was read.
    pub(crate) async fn was_read(&self) {
        self.was_read.cancelled().await;
    }
}

/// Answers the page until its end.
pub(crate) async fn serve_metrics(listener: TcpListener, page: MakePage, end: PageEnd) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let stop = &end.stop;
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((socket, _)) = accepted else {
            let _ = stop.run_until_cancelled(sleep(PAUSE)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (page, end) = (Arc::clone(&page), end.clone());
        crate::tasks::spawn(async move {
            // What is made from here on has the last numbers.
            let is_last = end.is_last.is_cancelled();
            let answering = timeout(ENDS_WITHIN, answer(socket, page));
            let answered = end.stop.run_until_cancelled(answering).await;
            if is_last && matches!(answered, Some(Ok(true))) {
                end.was_read.cancel();
            }
            drop(place);
        });
    }
}

/// Answers one request; returns whether somebody has read the page.
async fn answer(socket: TcpStream, page: MakePage) -> bool {
    let is_page = Arc::new(AtomicBool::new(false));
    let shown = Arc::clone(&is_page);
    let answers = service_fn(move |request: Request<Incoming>| {
        let format = format_for(request.headers());
        let answer = answer_to(request.method(), request.uri().path(), format, &page);
        let reads = request.method() == Method::GET && answer.status() == StatusCode::OK;
        shown.store(reads, Ordering::Relaxed);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).keep_alive(false);
    if let Err(error) = builder.serve_connection(TokioIo::new(socket), answers).await {
        tracing::debug!(%error, "a connection for metrics broke");
        return false;
    }
    is_page.load(Ordering::Relaxed)
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
