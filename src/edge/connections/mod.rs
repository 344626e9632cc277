//! Accepts connections, bounds their number and lifetime, and keeps file descriptors free for
//! stores.
//! Never here: what calls mean.

mod bounds; // how many connections there may be
mod customers; // whose connections they are
mod lifetime; // when a connection is drained or closed
mod metrics; // the door of metrics
mod plain; // calls that are not gRPC, and those over HTTP/1.1
mod pool; // counts connections and evicts unused ones
mod under_way; // the calls of a connection

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::Either;
use http::{Request, Version};
use hyper::body::Incoming as Receiving;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use shared_events::chance::Chance;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service;
use web_edge::Socket;

use crate::edge::body::ReadProgress;
use crate::edge::refusals::Refusals;
use crate::edge::tls::{ClientCertificate, Incoming, ServerTls};
use crate::edge::{
    CALLS_MAX, CONNECTION_WINDOW, HEADERS_READ_MAX, KEEPALIVE_ANSWER, KEEPALIVE_EVERY,
    SEND_BUFFER_BYTES_MAX, STREAM_WINDOW,
};

pub use bounds::{Bounds, take_descriptors};
use customers::Owner;
use lifetime::{Lifetime, Next};
pub(crate) use metrics::{MakePage, PageEnd, serve_metrics};
use pool::Pool;
use under_way::{CallGuard, Calls};

/// WebSockets live so many times as long: they have one long call, and say when to come again.
const SOCKET_AGE: u32 = 6;
/// The pause after an error of exhausted resources.
const PAUSE: Duration = Duration::from_millis(200);
/// Command streams of one connection. Their unread bytes must leave room in the connection's window
/// for its other calls.
const COMMAND_STREAMS_MAX: usize = 8;

/// The shared state of a connection.
pub(super) struct Connection {
    /// The client's address.
    pub(super) address: IpAddr,
    /// Whether there was a call.
    called: AtomicBool,
    /// Whether a call was authenticated.
    authenticated: AtomicBool,
    /// The pool that it counts in, and for whom.
    pool: Weak<Pool>,
    owner: Mutex<Owner>,
    calls: Mutex<Calls>,
    /// The call that has just begun and is not spawned yet.
    begun: Mutex<Option<Arc<ReadProgress>>>,
    command_streams: AtomicUsize,
    /// Whether it carries one call at a time (HTTP/1.1).
    one_by_one: AtomicBool,
    /// The client's certificate, if it has shown one.
    pub(super) certificate: OnceLock<ClientCertificate>,
    /// Its refused calls.
    pub(super) refusals: Refusals,
    /// Cancelled when it is closed to make room for another.
    evicted: CancellationToken,
    /// Cancelled when it is drained to make room for another.
    leaving: CancellationToken,
    /// Whether it is a WebSocket.
    is_socket: AtomicBool,
    /// Cancelled when its streams are to end, because it has reached its age.
    pub(super) aged: CancellationToken,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    fn new(address: IpAddr, pool: Weak<Pool>) -> Arc<Self> {
        Arc::new(Self {
            address,
            called: AtomicBool::new(false),
            authenticated: AtomicBool::new(false),
            pool,
            owner: Mutex::default(),
            calls: Mutex::new(Calls::none()),
            begun: Mutex::default(),
            command_streams: AtomicUsize::new(0),
            one_by_one: AtomicBool::new(false),
            certificate: OnceLock::new(),
            refusals: Refusals::default(),
            evicted: CancellationToken::new(),
            leaving: CancellationToken::new(),
            is_socket: AtomicBool::new(false),
            aged: CancellationToken::new(),
        })
    }

    /// Counts another command stream; none at the limit.
    pub(super) fn open_command_stream(self: &Arc<Self>) -> Option<CommandStream> {
        let stream = CommandStream(Arc::clone(self));
        (self.command_streams.fetch_add(1, Ordering::Relaxed) < COMMAND_STREAMS_MAX)
            .then_some(stream)
    }

    fn begin(&self) -> Arc<ReadProgress> {
        self.called.store(true, Ordering::Relaxed);
        let progress = ReadProgress::new();
        *locked(&self.begun) = Some(Arc::clone(&progress));
        progress
    }
}

/// A command stream of a connection, counted until it is dropped.
pub(super) struct CommandStream(Arc<Connection>);

impl Drop for CommandStream {
    fn drop(&mut self) {
        self.0.command_streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs the future that hyper makes of each call: the call that was begun just before. A call whose
/// caller does not read its answer is cancelled here, the only place that can reach it.
#[derive(Clone)]
struct CallExecutor(Arc<Connection>);

impl<F> hyper::rt::Executor<F> for CallExecutor
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        let connection = Arc::clone(&self.0);
        // Moved once: it has a kilobyte, and every wrapper below would copy it again.
        let mut future = Box::pin(future);
        let Some(progress) = locked(&connection.begun).take() else {
            hyper::rt::Executor::execute(&TokioExecutor::new(), async move {
                future.await;
            });
            return;
        };
        // Refused calls are answered here and now, so that a flood of them does not queue before
        // other work.
        if progress.is_refused() {
            if future.as_mut().now_or_never().is_none() {
                crate::tasks::spawn(async move {
                    future.await;
                });
            }
            return;
        }
        let guard = connection.count(&progress);
        crate::tasks::spawn(async move {
            progress.ending.run_until_cancelled(future).await;
            drop(guard);
        });
    }
}

impl Connection {
    fn is_unused(&self) -> bool {
        !self.called.load(Ordering::Relaxed)
    }
}

/// A condition that is logged once when it begins and once when it ends.
#[derive(Default)]
struct Notice(Option<&'static str>);

impl Notice {
    fn begin(&mut self, text: &'static str) {
        if self.0 != Some(text) {
            tracing::warn!("{text}");
            self.0 = Some(text);
        }
    }

    fn end(&mut self) {
        if self.0.take().is_some() {
            tracing::warn!("connections are accepted again");
        }
    }
}

/// Accepts connections and serves them until stopped; then lets calls under way finish.
pub(super) async fn serve<S>(
    listener: TcpListener,
    service: S,
    (bounds, tls): (Bounds, Option<ServerTls>),
    stop: CancellationToken,
) where
    S: Service<Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let pool = Arc::new(Pool::new(bounds));
    let tasks = TaskTracker::new();
    let mut notice = Notice::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((socket, peer)) => match pool.admit(peer.ip()) {
                Some((permit, connection)) => {
                    notice.end();
                    let (service, tls, stop) = (service.clone(), tls.clone(), stop.clone());
                    tasks.spawn(async move {
                        if let Some(socket) = opened(socket, tls, &connection, &stop).await {
                            run((socket, bounds), connection, service, stop).await;
                        }
                        drop(permit);
                    });
                }
                // Closed immediately, so that its client tries elsewhere or later instead of
                // waiting.
                None => notice.begin("the limit of connections is reached; more are closed"),
            },
            Err(error) if is_of_that_connection(&error) => {}
            Err(error) => {
                notice.begin("no connection can be accepted; retrying");
                tracing::debug!(%error, "a connection could not be accepted");
                let _ = stop.run_until_cancelled(sleep(PAUSE)).await;
            }
        }
    }
    // No client waits on a socket that is not accepted from.
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// The client disconnected before it was accepted.
fn is_of_that_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

/// Less than this, at random.
fn jitter(most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(u64::from(Chance::system().number()) % most.max(1))
}

/// HTTP/2 and HTTP/1.1, told apart by their first bytes, with our limits.
fn bounded(connection: &Arc<Connection>) -> auto::Builder<CallExecutor> {
    let mut builder = auto::Builder::new(CallExecutor(Arc::clone(connection)));
    plain::bound(&mut builder);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_header_list_size(HEADERS_READ_MAX)
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_ANSWER);
    builder
}

/// A connection that calls can come over: where there is TLS, after its handshake. One that is
/// evicted meanwhile, or open when the process stops, is closed.
async fn opened(
    socket: TcpStream,
    tls: Option<ServerTls>,
    connection: &Connection,
    stop: &CancellationToken,
) -> Option<Incoming> {
    // Without it small answers wait for the client's delayed acknowledgement, 40 ms on Linux.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection closed immediately");
        return None;
    }
    let Some(tls) = tls else { return Some(Incoming::Left(socket)) };
    let (accepted, certificate) = tokio::select! {
        accepted = tls.accept(socket) => accepted?,
        () = connection.evicted.cancelled() => return None,
        () = stop.cancelled() => return None,
    };
    let _ = certificate.map(|certificate| connection.certificate.set(certificate));
    Some(accepted)
}

async fn run<S>(
    (incoming, bounds): (Incoming, Bounds),
    connection: Arc<Connection>,
    service: S,
    stop: CancellationToken,
) where
    S: Service<Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    // Watches on a WebSocket are calls of this connection.
    let (from, mut of_calls) = (Arc::clone(&connection), http::Extensions::new());
    of_calls.insert(Arc::clone(&connection));
    let age = bounds.age + jitter(bounds.age);
    let socket = Socket::new(of_calls, age * SOCKET_AGE, stop.clone());
    let upgraded = socket.clone();
    let calls = hyper::service::service_fn(move |request: Request<Receiving>| {
        let mut request = request.map(Body::new);
        let call = plain::Plain::begin(&from, &mut request);
        request.extensions_mut().insert(Arc::clone(&from));
        // No other version of HTTP can become a WebSocket.
        if request.version() == Version::HTTP_11 {
            request.extensions_mut().insert(socket.clone());
        }
        // Called here and now, so that a refusal is known before the call is spawned. Our services
        // are always ready; this is asserted each time.
        let mut service = service.clone();
        let ready = futures::future::poll_fn(|context| service.poll_ready(context)).now_or_never();
        debug_assert!(matches!(ready, Some(Ok(()))), "a service that makes calls wait");
        match call {
            None => Either::Left(service.call(request)),
            Some(call) => Either::Right(Box::pin(call.answer(service.call(request)))),
        }
    });
    let builder = bounded(&connection);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(incoming), calls);
    let mut serving = std::pin::pin!(serving);
    let (mut lifetime, mut stopped, mut leaving) = (Lifetime::new(age, &bounds), false, false);
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                break;
            }
            () = connection.evicted.cancelled() => return,
            () = connection.leaving.cancelled(), if !leaving => {
                leaving = true;
                lifetime.leave();
                serving.as_mut().graceful_shutdown();
            }
            () = stop.cancelled(), if !stopped => {
                stopped = true;
                // A connection without a call has nothing under way.
                if connection.is_unused() {
                    return;
                }
                serving.as_mut().graceful_shutdown();
            }
            () = sleep_until(lifetime.next_check()) => match lifetime.check(&connection) {
                Next::Keep => {}
                Next::Drain => serving.as_mut().graceful_shutdown(),
                Next::EndStreams => connection.aged.cancel(),
                Next::Close => return,
            },
        }
    }
    if let Some(session) = upgraded.session() {
        connection.is_socket.store(true, Ordering::Relaxed);
        connection.evicted.run_until_cancelled(session).await;
    }
}

#[cfg(test)]
mod tests;
