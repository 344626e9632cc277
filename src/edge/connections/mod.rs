//! The door: how many connections there may be, and how long one may stay that says nothing. Stores
//! need descriptors too, and some are kept for them.
//! Never here: what is said over a connection.

mod house; // who has a place
mod life; // how long a connection stays

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service;

use crate::edge::body::Pulse;
use crate::edge::refusals::Refusals;
use crate::edge::{
    CALLS_MAX, CONNECTION_WINDOW, HEADERS_BYTES_MAX, KEEPALIVE_ANSWER, KEEPALIVE_EVERY,
    SEND_BUFFER_BYTES_MAX, STREAM_WINDOW,
};

use house::House;
use life::{Life, Next};

/// Descriptors that are kept for stores, logs and other processes.
const DESCRIPTORS_KEPT: usize = 256;
/// Connections, unless it is said otherwise or there are fewer descriptors.
const CONNECTIONS_MAX: usize = 8_192;
/// Connections are renewed so that clients spread again, each after this and up to as much again.
const AGE: Duration = Duration::from_secs(300);
/// After an error that comes of too little of something: room may be made meanwhile.
const PAUSE: Duration = Duration::from_millis(200);
/// Streams of commands over one connection. What they do not read yet fills none of what the other
/// calls of the connection need.
const TALKING_MAX: usize = 8;

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all.
    pub connections: usize,
    /// From one address.
    pub of_one_address: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self::within_descriptors(None, None)
    }
}

impl Bounds {
    /// As many as asked for, where there are descriptors for them beside those that stores need.
    #[must_use]
    pub fn within_descriptors(asked: Option<usize>, of_one_address: Option<usize>) -> Self {
        let files = getrlimit(Resource::Nofile).current;
        let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
        // With very few descriptors half of them.
        let most = files.saturating_sub(DESCRIPTORS_KEPT).max(files / 2).max(1);
        let connections = asked.unwrap_or(CONNECTIONS_MAX).min(most);
        // Proxies bring many clients from one address.
        let of_one_address = of_one_address.unwrap_or(connections / 2).clamp(1, connections);
        Self { connections, of_one_address }
    }
}

/// Takes as many file descriptors as the system lets this process have.
pub fn take_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// A connection, as far as it is known to others than itself.
pub(super) struct Connection {
    /// From where.
    pub(super) address: IpAddr,
    /// Whether there has been a call.
    called: AtomicBool,
    /// Whether one of them proved who calls.
    proved: AtomicBool,
    /// Calls under way, by number.
    calls: Mutex<HashMap<u64, Arc<Pulse>>>,
    numbers: AtomicU64,
    /// The call that has just begun and is not carried out by anybody yet.
    begun: Mutex<Option<Arc<Pulse>>>,
    talking: AtomicUsize,
    /// What it was refused.
    pub(super) refusals: Refusals,
    /// Somebody else needs its place.
    yields: CancellationToken,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    fn new(address: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            called: AtomicBool::new(false),
            proved: AtomicBool::new(false),
            calls: Mutex::default(),
            numbers: AtomicU64::new(0),
            begun: Mutex::default(),
            talking: AtomicUsize::new(0),
            refusals: Refusals::default(),
            yields: CancellationToken::new(),
        })
    }

    /// A stream of commands more; none where there are as many as one connection may have.
    pub(super) fn talk(self: &Arc<Self>) -> Option<Talk> {
        let talk = Talk(Arc::clone(self));
        (self.talking.fetch_add(1, Ordering::Relaxed) < TALKING_MAX).then_some(talk)
    }

    /// Somebody has proved over it who they are.
    pub(super) fn is_proved(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    fn begin(&self) -> Arc<Pulse> {
        self.called.store(true, Ordering::Relaxed);
        let pulse = Pulse::new();
        *locked(&self.begun) = Some(Arc::clone(&pulse));
        pulse
    }
}

/// A stream of commands over a connection.
pub(super) struct Talk(Arc<Connection>);

impl Drop for Talk {
    fn drop(&mut self) {
        self.0.talking.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Carries out what hyper makes of each call: the call that was begun just before. A call whose caller
/// takes nothing of its answer is ended from here, since nobody else can reach it.
#[derive(Clone)]
struct Calls(Arc<Connection>);

impl<F> hyper::rt::Executor<F> for Calls
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        let connection = Arc::clone(&self.0);
        let Some(pulse) = locked(&connection.begun).take() else {
            hyper::rt::Executor::execute(&TokioExecutor::new(), async move {
                future.await;
            });
            return;
        };
        // What was refused is told here and now: a flood of them makes no queue before other work.
        if pulse.is_refused() {
            let mut future = Box::pin(future);
            if future.as_mut().now_or_never().is_none() {
                tokio::spawn(async move {
                    future.await;
                });
            }
            return;
        }
        let number = connection.numbers.fetch_add(1, Ordering::Relaxed);
        locked(&connection.calls).insert(number, Arc::clone(&pulse));
        let ends = Ends { connection, number };
        tokio::spawn(async move {
            pulse.ending.run_until_cancelled(future).await;
            drop(ends);
        });
    }
}

struct Ends {
    connection: Arc<Connection>,
    number: u64,
}

impl Drop for Ends {
    fn drop(&mut self) {
        locked(&self.connection.calls).remove(&self.number);
    }
}

impl Connection {
    fn is_silent(&self) -> bool {
        !self.called.load(Ordering::Relaxed)
    }

    fn is_stranger(&self) -> bool {
        !self.proved.load(Ordering::Relaxed)
    }
}

/// What is told once when it begins and once when it is over.
#[derive(Default)]
struct Told(Option<&'static str>);

impl Told {
    fn begins(&mut self, what: &'static str) {
        if self.0 != Some(what) {
            tracing::warn!("{what}");
            self.0 = Some(what);
        }
    }

    fn is_over(&mut self) {
        if self.0.take().is_some() {
            tracing::warn!("connections are accepted again");
        }
    }
}

/// Accepts connections and serves them until told to stop; then lets what is under way end.
pub(super) async fn serve<S>(
    listener: TcpListener,
    service: S,
    bounds: Bounds,
    stop: CancellationToken,
) where
    S: Service<Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let house = Arc::new(House::new(bounds));
    let tasks = TaskTracker::new();
    let mut told = Told::default();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((socket, peer)) => match house.admit(peer.ip()) {
                Some((seat, connection)) => {
                    told.is_over();
                    let (service, stop) = (service.clone(), stop.clone());
                    tasks.spawn(async move {
                        run(socket, connection, service, stop).await;
                        drop(seat);
                    });
                }
                // Closed at once, so that its client asks elsewhere or later and does not wait.
                None => {
                    told.begins("there are as many connections as there may be; more are closed")
                }
            },
            Err(error) if is_of_that_connection(&error) => {}
            Err(error) => {
                told.begins("no connection can be accepted; it is tried again");
                tracing::debug!(%error, "a connection could not be accepted");
                let _ = stop.run_until_cancelled(sleep(PAUSE)).await;
            }
        }
    }
    // Nobody waits in vain for an answer from a socket that nobody accepts from.
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// The client has gone before it was accepted: nothing is wrong here.
fn is_of_that_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

/// HTTP/2 within our bounds.
fn bounded(connection: &Arc<Connection>) -> http2::Builder<Calls> {
    let mut http2 = http2::Builder::new(Calls(Arc::clone(connection)));
    http2
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_ANSWER);
    http2
}

async fn run<S>(socket: TcpStream, connection: Arc<Connection>, service: S, stop: CancellationToken)
where
    S: Service<Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
{
    // Without it small answers wait for the client's delayed acknowledgement, 40 ms on Linux.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection that was gone at once");
        return;
    }
    let from = Arc::clone(&connection);
    let calls = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(from.begin());
        request.extensions_mut().insert(Arc::clone(&from));
        // Called here and now, so that whether it is refused is known before anybody carries it out.
        // What is ours is always ready, as a look at it says each time.
        let mut service = service.clone();
        let ready = futures::future::poll_fn(|context| service.poll_ready(context)).now_or_never();
        debug_assert!(matches!(ready, Some(Ok(()))), "a service that makes calls wait");
        service.call(request)
    });
    let serving = bounded(&connection).serve_connection(TokioIo::new(socket), calls);
    let mut serving = std::pin::pin!(serving);
    let jitter = Duration::from_secs(u64::from(rand::random::<u16>()) % AGE.as_secs());
    let mut life = Life::new(AGE + jitter);
    let mut stopped = false;
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            () = connection.yields.cancelled() => return,
            () = stop.cancelled(), if !stopped => {
                stopped = true;
                // Over a connection without a call nothing can be under way.
                if connection.is_silent() {
                    return;
                }
                serving.as_mut().graceful_shutdown();
            }
            () = sleep_until(life.next_look()) => match life.look(&connection) {
                Next::Goes => {}
                Next::Winds => serving.as_mut().graceful_shutdown(),
                Next::Cut => return,
            },
        }
    }
}

#[cfg(test)]
mod tests;
