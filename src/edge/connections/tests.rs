use rustix::process::{Resource, getrlimit};
use tokio::time::Instant;

use super::lifetime::{CHECKED_EVERY, IDLE_MAX};
use super::*;

fn pool(connections: usize, of_one_address: usize) -> Arc<Pool> {
    let bounds = Bounds { connections, of_one_address, ..Bounds::default() };
    Arc::new(Pool::new(bounds))
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
        known.1.mark_authenticated();
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
    one.1.mark_authenticated();
    // First the one without a call, then the one without an authenticated call.
    let four = arrives().unwrap();
    assert!(three.1.evicted.is_cancelled() && !two.1.evicted.is_cancelled());
    drop(three);
    four.1.begin();
    four.1.mark_authenticated();
    let five = arrives().unwrap();
    assert!(two.1.evicted.is_cancelled());
    drop(two);
    five.1.begin();
    five.1.mark_authenticated();
    assert!(arrives().is_none());
    assert!([&one, &four, &five].iter().all(|known| !known.1.evicted.is_cancelled()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_short_calls_now_and_then_is_not_idle() {
    let connection = Connection::new(IpAddr::from([10, 0, 0, 1]));
    let began = Instant::now();
    let age = IDLE_MAX * 10;
    let mut lifetime = Lifetime::new(age, &Bounds::default());
    // What hyper makes of a call that finishes immediately.
    let calls = CallExecutor(Arc::clone(&connection));
    let call = async || {
        drop(connection.begin());
        hyper::rt::Executor::execute(&calls, std::future::ready(()));
        while !locked(&connection.calls).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    while began.elapsed() < IDLE_MAX * 2 {
        call().await;
        tokio::time::advance(CHECKED_EVERY).await;
        assert!(matches!(lifetime.check(&connection), Next::Keep), "{:?}", began.elapsed());
    }
    let last = Instant::now();
    while matches!(lifetime.check(&connection), Next::Keep) {
        tokio::time::advance(CHECKED_EVERY).await;
    }
    assert!((IDLE_MAX..IDLE_MAX + 2 * CHECKED_EVERY).contains(&last.elapsed()));
}

#[test]
fn descriptors_are_kept_for_stores() {
    let files = getrlimit(Resource::Nofile).current.unwrap();
    let bounds = Bounds::within_descriptors(Some(usize::MAX), Some(usize::MAX));
    assert!(u64::try_from(bounds.connections).unwrap() < files);
    assert_eq!(bounds.of_one_address, bounds.connections);
}
