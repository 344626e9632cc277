use tokio::time::Instant;

use super::life::{LOOKED_AT_EVERY, SILENT_MAX};
use super::*;

fn house(connections: usize, of_one_address: usize) -> Arc<House> {
    let bounds = Bounds { connections, of_one_address };
    Arc::new(House::new(bounds))
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
    let mut life = Life::new(age);
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
