//! The door: how many connections there may be, and how long one may stay that says nothing. Stores
//! need descriptors too, and some are kept for them.
//! Never here: what is said over a connection.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tower::Service;

use super::body::Pulse;
use super::refusals::Refusals;
use super::shares::network;
use super::{
    CALLS_MAX, CONNECTION_WINDOW, HEADERS_BYTES_MAX, KEEPALIVE_ANSWER, KEEPALIVE_EVERY,
    SEND_BUFFER_BYTES_MAX, STREAM_WINDOW,
};

/// Descriptors that are kept for stores, logs and other processes.
const DESCRIPTORS_KEPT: usize = 256;
/// Connections, unless it is said otherwise or there are fewer descriptors.
const CONNECTIONS_MAX: usize = 8_192;
/// The first call of a connection begins within this.
const FIRST_CALL_WITHIN: Duration = Duration::from_secs(10);
/// A connection over which nothing is under way for so long is closed.
const SILENT_MAX: Duration = Duration::from_secs(300);
/// Connections are renewed so that clients spread again, each after this and up to as much again.
const AGE: Duration = Duration::from_secs(300);
/// What is under way over a connection that is to end may take so long.
const GRACE: Duration = Duration::from_secs(35);
/// How often a connection is looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(15);
/// After an error that comes of too little of something: room may be made meanwhile.
const PAUSE: Duration = Duration::from_millis(200);
/// Connections that were asked to leave and have not gone yet.
const LEAVING_MAX: usize = 32;
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

/// All connections.
struct House {
    bounds: Bounds,
    guests: Mutex<Guests>,
}

#[derive(Default)]
struct Guests {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those that had not called when they were looked at last, the oldest first.
    silent: VecDeque<Weak<Connection>>,
    /// Those that had called, and nobody had proved who they are.
    strangers: VecDeque<Weak<Connection>>,
}

impl House {
    /// A place, and the connection that has it. Where all are taken it is the place of one that has
    /// not called yet, or else of one over which nobody has proved who they are; it is closed.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<(Seat, Arc<Connection>)> {
        let address = network(address);
        let mut guests = locked(&self.guests);
        let of_address = guests.by_address.get(&address).copied().unwrap_or_default();
        if of_address >= self.bounds.of_one_address {
            return None;
        }
        let full = guests.all >= self.bounds.connections;
        if full && (guests.all >= self.bounds.connections + LEAVING_MAX || !guests.make_room()) {
            return None;
        }
        guests.all += 1;
        guests.by_address.insert(address, of_address + 1);
        let connection = Connection::new(address);
        if guests.silent.len() >= self.bounds.connections {
            guests.sort();
        }
        guests.silent.push_back(Arc::downgrade(&connection));
        Some((Seat { house: Arc::clone(self), address }, connection))
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

impl Guests {
    fn make_room(&mut self) -> bool {
        while let Some(oldest) = self.silent.pop_front() {
            match oldest.upgrade() {
                Some(known) if known.is_silent() => {
                    known.yields.cancel();
                    return true;
                }
                Some(known) if known.is_stranger() => self.strangers.push_back(oldest),
                _ => {}
            }
        }
        while let Some(oldest) = self.strangers.pop_front() {
            if let Some(known) = oldest.upgrade()
                && known.is_stranger()
            {
                known.yields.cancel();
                return true;
            }
        }
        false
    }

    /// Leaves those in the lines that stand there with reason.
    fn sort(&mut self) {
        let lines = std::mem::take(&mut self.strangers).into_iter().chain(self.silent.drain(..));
        let known: Vec<_> = lines.filter(|one| one.upgrade().is_some()).collect();
        for one in known {
            match one.upgrade() {
                Some(known) if known.is_silent() => self.silent.push_back(one),
                Some(known) if known.is_stranger() => self.strangers.push_back(one),
                _ => {}
            }
        }
    }
}

/// A place for a connection.
struct Seat {
    house: Arc<House>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut guests = locked(&self.house.guests);
        guests.all = guests.all.saturating_sub(1);
        if let Some(count) = guests.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                guests.by_address.remove(&self.address);
            }
        }
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
    let house = Arc::new(House { bounds, guests: Mutex::default() });
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

/// How a connection stands.
struct Life {
    began: Instant,
    age: Duration,
    /// Calls that had begun when it was looked at last.
    seen: u64,
    /// Since when nothing has been under way.
    quiet: Option<Instant>,
    /// It is to end, at the latest then.
    ends: Option<Instant>,
}

enum Next {
    Goes,
    /// Takes nothing new, and ends when what is under way has ended.
    Winds,
    /// Is cut.
    Cut,
}

impl Life {
    fn look(&mut self, connection: &Connection) -> Next {
        let now = Instant::now();
        if connection.is_silent() {
            return if now >= self.began + FIRST_CALL_WITHIN { Next::Cut } else { Next::Goes };
        }
        if self.ends.is_some_and(|ends| now >= ends) {
            return Next::Cut;
        }
        let calls = locked(&connection.calls);
        let begun = connection.numbers.load(Ordering::Relaxed);
        let quiet = calls.is_empty() && begun == self.seen;
        self.seen = begun;
        self.quiet = quiet.then(|| self.quiet.unwrap_or(now));
        for pulse in calls.values().filter(|pulse| pulse.is_stuck()) {
            pulse.ending.cancel();
        }
        let silent = self.quiet.is_some_and(|since| now >= since + SILENT_MAX);
        if self.ends.is_none() && (silent || now >= self.began + self.age) {
            self.ends = Some(now + GRACE);
            return Next::Winds;
        }
        Next::Goes
    }

    fn next_look(&self) -> Instant {
        let first = self.began + FIRST_CALL_WITHIN;
        let next = Instant::now() + LOOKED_AT_EVERY;
        if Instant::now() < first { first } else { self.ends.map_or(next, |ends| ends.min(next)) }
    }
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
    let serving = http2::Builder::new(Calls(Arc::clone(&connection)))
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_ANSWER)
        .serve_connection(TokioIo::new(socket), calls);
    let mut serving = std::pin::pin!(serving);
    let jitter = Duration::from_secs(u64::from(rand::random::<u16>()) % AGE.as_secs());
    let mut life =
        Life { began: Instant::now(), age: AGE + jitter, seen: 0, quiet: None, ends: None };
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
mod tests {
    use super::*;

    fn house(connections: usize, of_one_address: usize) -> Arc<House> {
        let bounds = Bounds { connections, of_one_address };
        Arc::new(House { bounds, guests: Mutex::default() })
    }

    #[test]
    fn one_address_has_its_share_and_the_silent_make_room() {
        let house = house(3, 2);
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let one = house.admit(address(1)).unwrap();
        let two = house.admit(address(1)).unwrap();
        assert!(house.admit(address(1)).is_none());
        let three = house.admit(address(2)).unwrap();
        one.1.begin();
        // The oldest of those that have not called goes.
        let four = house.admit(address(3)).unwrap();
        assert!(two.1.yields.is_cancelled() && !one.1.yields.is_cancelled());
        assert!(!three.1.yields.is_cancelled());
        drop(two);
        for known in [&one, &three, &four] {
            known.1.begin();
            known.1.is_proved();
        }
        assert!(house.admit(address(4)).is_none());
        drop((one, three, four));
        let guests = locked(&house.guests);
        assert_eq!((guests.all, guests.by_address.len()), (0, 0));
    }

    #[test]
    fn strangers_make_room_once_nobody_is_silent() {
        let house = house(3, 100);
        let arrives = || house.admit(IpAddr::from([10, 0, 0, 1]));
        let [one, two, three] = [(); 3].map(|()| arrives().unwrap());
        for known in [&one, &two] {
            known.1.begin();
        }
        one.1.is_proved();
        // First the one that has not called, then the one that has proved nothing.
        let four = arrives().unwrap();
        assert!(three.1.yields.is_cancelled() && !two.1.yields.is_cancelled());
        drop(three);
        four.1.begin();
        four.1.is_proved();
        let five = arrives().unwrap();
        assert!(two.1.yields.is_cancelled());
        drop(two);
        five.1.begin();
        five.1.is_proved();
        assert!(arrives().is_none());
        assert!([&one, &four, &five].iter().all(|known| !known.1.yields.is_cancelled()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_short_call_now_and_then_is_not_silent() {
        let connection = Connection::new(IpAddr::from([10, 0, 0, 1]));
        let began = Instant::now();
        let age = SILENT_MAX * 10;
        let mut life = Life { began, age, seen: 0, quiet: None, ends: None };
        // What hyper makes of a call that is over at once.
        let calls = Calls(Arc::clone(&connection));
        let call = async || {
            drop(connection.begin());
            hyper::rt::Executor::execute(&calls, std::future::ready(()));
            while !locked(&connection.calls).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        while began.elapsed() < SILENT_MAX * 2 {
            call().await;
            tokio::time::advance(LOOKED_AT_EVERY).await;
            assert!(matches!(life.look(&connection), Next::Goes), "{:?}", began.elapsed());
        }
        let last = Instant::now();
        while matches!(life.look(&connection), Next::Goes) {
            tokio::time::advance(LOOKED_AT_EVERY).await;
        }
        assert!((SILENT_MAX..SILENT_MAX + 2 * LOOKED_AT_EVERY).contains(&last.elapsed()));
    }

    #[test]
    fn stores_keep_their_descriptors() {
        let files = getrlimit(Resource::Nofile).current.unwrap();
        let bounds = Bounds::within_descriptors(Some(usize::MAX), Some(usize::MAX));
        assert!(u64::try_from(bounds.connections).unwrap() < files);
        assert_eq!(bounds.of_one_address, bounds.connections);
    }
}
