use order_actor::domain::Role;
use rustix::process::{Resource, getrlimit};
use tokio::time::Instant;

use super::lifetime::{CHECKED_EVERY, IDLE_MAX};
use super::*;
use crate::edge::shares::{Caller, Full};

fn pool(connections: usize, of_one_address: usize) -> Arc<Pool> {
    let (of_one_customer, of_customers) = (connections, connections);
    let bounds =
        Bounds { connections, of_one_address, of_one_customer, of_customers, ..Bounds::default() };
    Arc::new(Pool::new(bounds))
}

fn called(role: Role, name: &str) -> Caller {
    Caller::Known(role, Arc::from(name))
}

/// A connection over which this caller has called, and the answer.
async fn opened(
    pool: &Arc<Pool>,
    caller: &Caller,
) -> ((pool::Permit, Arc<Connection>), Result<(), Full>) {
    // One is idle longer than the other.
    tokio::time::advance(Duration::from_millis(1)).await;
    let one = pool.admit(IpAddr::from([10, 0, 0, 1])).unwrap();
    one.1.begin();
    let taken = one.1.authenticated(Some(caller));
    (one, taken)
}

#[tokio::test(start_paused = true)]
async fn customers_have_shares_and_make_room_for_others() {
    let bounds = Bounds {
        connections: 8,
        of_one_address: 99,
        of_one_customer: 3,
        of_customers: 6,
        ..Bounds::default()
    };
    let pool = Arc::new(Pool::new(bounds));
    let [one, two, three] = ["1", "2", "3"].map(|name| called(Role::Customer, name));
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    for _ in 0..bounds.of_one_customer {
        for (caller, own) in [(&one, &mut of_one), (&two, &mut of_two)] {
            let (link, taken) = opened(&pool, caller).await;
            assert_eq!(taken, Ok(()));
            own.push(link);
        }
    }
    let (link, taken) = opened(&pool, &one).await;
    assert_eq!(taken, Err(Full::Caller("connections")));
    assert!(link.1.leaving.is_cancelled());
    drop(link);
    // The first connection has a call, so the next one has been idle longest of those with most.
    let progress = of_one[0].1.begin();
    let call = of_one[0].1.count(&progress);
    let (of_three, taken) = opened(&pool, &three).await;
    assert_eq!(taken, Ok(()));
    let leaving = |links: &[(pool::Permit, Arc<Connection>)]| -> Vec<bool> {
        links.iter().map(|(_, link)| link.leaving.is_cancelled()).collect()
    };
    assert_eq!((leaving(&of_one), leaving(&of_two)), (vec![false; 3], vec![true, false, false]));
    // Services take what customers may not have, and then what these do not use.
    let shop = called(Role::Service, "shop");
    let mut services = Vec::new();
    for _ in 0..2 {
        let (link, taken) = opened(&pool, &shop).await;
        assert_eq!(taken, Ok(()));
        services.push(link);
    }
    assert_eq!(leaving(&of_one), [false, true, false]);
    assert_eq!(leaving(&of_two), [true, false, false]);
    assert_eq!(locked(&pool.open).customers.count(), (7, 3));
    // It is idle since its call has ended.
    drop(call);
    tokio::time::advance(Duration::from_millis(1)).await;
    services.push(opened(&pool, &shop).await.0);
    assert_eq!(leaving(&of_two), [true, true, false]);
    drop((of_one, of_two, of_three, services));
    let open = locked(&pool.open);
    assert_eq!((open.all, open.customers.count()), (0, (0, 0)));
}

/// With room for these connections of customers, and for many others.
fn pool_of_customers(of_customers: usize) -> Arc<Pool> {
    let bounds = Bounds {
        connections: of_customers + 99,
        of_one_address: 99,
        of_one_customer: of_customers,
        of_customers,
        ..Bounds::default()
    };
    Arc::new(Pool::new(bounds))
}

/// So many connections of a customer.
async fn opened_all(
    pool: &Arc<Pool>,
    caller: &Caller,
    count: usize,
) -> Vec<(pool::Permit, Arc<Connection>)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let (link, taken) = opened(pool, caller).await;
        assert_eq!(taken, Ok(()));
        all.push(link);
    }
    all
}

fn left(links: &[(pool::Permit, Arc<Connection>)]) -> usize {
    links.iter().filter(|(_, link)| link.leaving.is_cancelled()).count()
}

#[tokio::test(start_paused = true)]
async fn customers_make_room_whose_idle_connections_are_not_the_most() {
    let pool = pool_of_customers(6);
    let [one, two, three, four] = ["1", "2", "3", "4"].map(|name| called(Role::Customer, name));
    let of_one = opened_all(&pool, &one, 3).await;
    for (_, socket) in &of_one {
        socket.is_socket.store(true, Ordering::Relaxed);
    }
    let of_two = opened_all(&pool, &two, 2).await;
    let of_three = opened_all(&pool, &three, 1).await;
    // The WebSockets stay; the next to most connections are those of the second one.
    let _of_four = opened_all(&pool, &four, 1).await;
    assert_eq!((left(&of_one), left(&of_two), left(&of_three)), (0, 1, 0));
    assert!(of_two[0].1.leaving.is_cancelled(), "the one that was idle longest");
    // Nobody else has more than one that stays and is idle.
    let (_refused, taken) = opened(&pool, &four).await;
    assert_eq!(taken, Err(Full::Process("connections")));
    assert_eq!((left(&of_one), left(&of_two), left(&of_three)), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn many_newcomers_at_a_time_leave_each_customer_as_many() {
    let pool = pool_of_customers(7);
    let [one, two] = ["1", "2"].map(|name| called(Role::Customer, name));
    let of_one = opened_all(&pool, &one, 4).await;
    let of_two = opened_all(&pool, &two, 3).await;
    let mut others = Vec::new();
    // None of those that are drained has been closed yet.
    let expected = [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2)];
    for (number, drained) in expected.into_iter().enumerate() {
        let newcomer = called(Role::Customer, &format!("new {number}"));
        others.extend(opened_all(&pool, &newcomer, 1).await);
        assert_eq!((left(&of_one), left(&of_two)), drained, "newcomer {number}");
        assert_eq!(left(&others), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_counts_for_its_first_caller_while_it_is_open() {
    let pool = pool(8, 8);
    let [one, two] = ["1", "2"].map(|name| called(Role::Customer, name));
    let count = || locked(&pool.open).customers.count();
    let (link, taken) = opened(&pool, &one).await;
    assert_eq!((taken, link.1.authenticated(Some(&two))), (Ok(()), Ok(())));
    assert_eq!(count(), (1, 1));
    // Calls of many come over it.
    let shared = pool.admit(IpAddr::from([10, 0, 0, 1])).unwrap();
    assert_eq!(
        (shared.1.authenticated(None), shared.1.authenticated(Some(&two))),
        (Ok(()), Ok(()))
    );
    assert_eq!(count(), (1, 1));
    // Closed before it was known who calls.
    let (permit, closed) = pool.admit(IpAddr::from([10, 0, 0, 1])).unwrap();
    drop(permit);
    assert_eq!(closed.authenticated(Some(&two)), Ok(()));
    assert_eq!(count(), (1, 1));
    drop((link, shared));
    assert_eq!(count(), (0, 0));
}

#[test]
fn an_address_has_its_limit_and_unused_connections_are_evicted() {
    let pool = pool(3, 2);
    let address = |last| IpAddr::from([10, 0, 0, last]);
    let one = pool.admit(address(1)).unwrap();
    let two = pool.admit(address(1)).unwrap();
    assert!(pool.admit(address(1)).is_none());
    let three = pool.admit(address(2)).unwrap();
    one.1.begin();
    // The oldest connection without a call is evicted.
    let four = pool.admit(address(3)).unwrap();
    assert!(two.1.evicted.is_cancelled() && !one.1.evicted.is_cancelled());
    assert!(!three.1.evicted.is_cancelled());
    drop(two);
    for known in [&one, &three, &four] {
        known.1.begin();
        known.1.authenticated(None).unwrap();
    }
    assert!(pool.admit(address(4)).is_none());
    drop((one, three, four));
    let open = locked(&pool.open);
    assert_eq!((open.all, open.by_address.len()), (0, 0));
}

#[test]
fn unauthenticated_connections_are_evicted_after_unused_ones() {
    let pool = pool(3, 100);
    let arrives = || pool.admit(IpAddr::from([10, 0, 0, 1]));
    let [one, two, three] = [(); 3].map(|()| arrives().unwrap());
    for known in [&one, &two] {
        known.1.begin();
    }
    one.1.authenticated(None).unwrap();
    // First the one without a call, then the one without an authenticated call.
    let four = arrives().unwrap();
    assert!(three.1.evicted.is_cancelled() && !two.1.evicted.is_cancelled());
    drop(three);
    four.1.begin();
    four.1.authenticated(None).unwrap();
    let five = arrives().unwrap();
    assert!(two.1.evicted.is_cancelled());
    drop(two);
    five.1.begin();
    five.1.authenticated(None).unwrap();
    assert!(arrives().is_none());
    assert!([&one, &four, &five].iter().all(|known| !known.1.evicted.is_cancelled()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_short_calls_now_and_then_is_not_idle() {
    let connection = Connection::new(IpAddr::from([10, 0, 0, 1]), Weak::new());
    let began = Instant::now();
    let age = IDLE_MAX * 10;
    let mut lifetime = Lifetime::new(age, &Bounds::default());
    // What hyper makes of a call that finishes immediately.
    let calls = CallExecutor(Arc::clone(&connection));
    let call = async || {
        drop(connection.begin());
        hyper::rt::Executor::execute(&calls, std::future::ready(()));
        while locked(&connection.calls).idle_since().is_none() {
            tokio::task::yield_now().await;
        }
    };
    let mut last = began;
    while began.elapsed() < IDLE_MAX * 2 {
        call().await;
        last = Instant::now();
        tokio::time::advance(CHECKED_EVERY).await;
        assert!(matches!(lifetime.check(&connection), Next::Keep), "{:?}", began.elapsed());
    }
    while matches!(lifetime.check(&connection), Next::Keep) {
        tokio::time::advance(CHECKED_EVERY).await;
    }
    assert!((IDLE_MAX..IDLE_MAX + 2 * CHECKED_EVERY).contains(&last.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_makes_room_waits_for_a_call_that_has_just_begun() {
    let connection = Connection::new(IpAddr::from([10, 0, 0, 1]), Weak::new());
    let mut lifetime = Lifetime::new(IDLE_MAX, &Bounds::default());
    let call = connection.count(&connection.begin());
    lifetime.leave();
    tokio::time::sleep_until(lifetime.next_check()).await;
    assert!(matches!(lifetime.check(&connection), Next::Keep));
    drop(call);
    tokio::time::sleep_until(lifetime.next_check()).await;
    assert!(matches!(lifetime.check(&connection), Next::Close));
}

#[tokio::test(start_paused = true)]
async fn streams_have_time_before_their_connection_is_closed_and_after_it_is_drained() {
    for (grace, end) in [(35, 30), (10, 5), (6, 3), (4, 2)] {
        let connection = Connection::new(IpAddr::from([10, 0, 0, 1]), Weak::new());
        let grace = Duration::from_secs(grace);
        let mut lifetime = Lifetime::new(CHECKED_EVERY, &Bounds { grace, ..Bounds::default() });
        let _stream = connection.count(&connection.begin());
        let mut next = async || loop {
            tokio::time::sleep_until(lifetime.next_check()).await;
            match lifetime.check(&connection) {
                Next::Keep => {}
                next => break (next, Instant::now()),
            }
        };
        let (drained, since) = next().await;
        let (ended, streams) = next().await;
        let (closed, all) = next().await;
        assert!(matches!(drained, Next::Drain), "{grace:?}");
        assert!(matches!(ended, Next::EndStreams), "{grace:?}");
        assert!(matches!(closed, Next::Close), "{grace:?}");
        assert_eq!((streams - since, all - since), (Duration::from_secs(end), grace));
    }
}

#[test]
fn descriptors_are_kept_for_stores() {
    let files = getrlimit(Resource::Nofile).current.unwrap();
    let bounds = Bounds::within_descriptors(Some(usize::MAX), Some(usize::MAX), None);
    assert!(u64::try_from(bounds.connections).unwrap() < files);
    assert_eq!(bounds.of_one_address, bounds.connections);
}
