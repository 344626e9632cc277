use super::*;
use proptest::prelude::*;

fn caller(number: u8) -> Caller {
    let subject: Arc<str> = Arc::from(number.to_string());
    match number % 4 {
        0 => Caller::Unauthenticated(IpAddr::from([127, 0, 0, number])),
        1 => Caller::Known(Role::Customer, subject),
        2 => Caller::Known(Role::Service, subject),
        _ => Caller::Known(Role::Ops, subject),
    }
}

fn small() -> Numbers {
    let share = |calls, streams, bytes| Amount { calls, streams, bytes };
    Numbers {
        whole: share(20, 10, 2_000),
        kept: share(5, 3, 500),
        nobody: share(3, 1, 100),
        unauthenticated: share(5, 2, 150),
        customer: share(6, 2, 400),
        service: share(15, 8, 1_500),
        operator: share(15, 8, 1_500),
    }
}

const CALL: Amount = Amount { calls: 1, streams: 0, bytes: 0 };

#[test]
fn a_flooding_customer_is_limited_to_its_share() {
    let shares = Shares::new(small());
    let held: Vec<Held> =
        std::iter::from_fn(|| shares.take(&caller(1), CALL).ok()).take(100).collect();
    assert_eq!(held.len(), 6);
    let refused = shares.take(&caller(1), CALL).err();
    assert_eq!(refused, Some(Full::Caller("calls under way")));
    assert!(shares.take(&caller(5), CALL).is_ok());
    // Operators and services are admitted however many customers call.
    let crowd: Vec<Held> =
        (0..60).filter_map(|number| shares.take(&caller(number * 4 + 1), CALL).ok()).collect();
    assert_eq!(held.len() + crowd.len(), 15);
    assert_eq!(shares.take(&caller(5), CALL).err(), Some(Full::Process("calls under way")));
    assert!(shares.take(&caller(2), CALL).is_ok() && shares.take(&caller(3), CALL).is_ok());
    drop(held);
    assert!(shares.take(&caller(5), CALL).is_ok());
}

#[test]
fn unauthenticated_callers_have_a_pool_of_their_own() {
    let shares = Shares::new(small());
    let at = |last| Caller::Unauthenticated(IpAddr::from([127, 0, 0, last]));
    let customers: Vec<Held> =
        (0..60).filter_map(|number| shares.take(&caller(number * 4 + 1), CALL).ok()).collect();
    assert_eq!(customers.len(), 15);
    // Health checks are answered, and unauthenticated callers are limited all the same.
    let unauthenticated: Vec<Held> =
        (0..60).filter_map(|number| shares.take(&at(number), CALL).ok()).collect();
    assert_eq!(unauthenticated.len(), 5);
    assert_eq!(shares.take(&at(1), CALL).err(), Some(Full::Process("calls under way")));
    drop(customers);
    let customers = (0..60).filter_map(|number| shares.take(&caller(number * 4 + 1), CALL).ok());
    assert_eq!(customers.collect::<Vec<_>>().len(), 15);
}

#[test]
fn a_caller_over_its_bytes_begins_nothing_until_they_are_taken() {
    let shares = Shares::new(small());
    let mut held = shares.take(&caller(1), CALL).unwrap();
    held.set_bytes(1_000);
    assert_eq!(shares.take(&caller(1), CALL).err(), Some(Full::Caller("bytes")));
    assert!(shares.take(&caller(5), CALL).is_ok());
    held.set_bytes(0);
    assert!(shares.take(&caller(1), CALL).is_ok());
}

#[test]
fn an_ipv6_network_is_one_caller() {
    let at = |text: &str| Caller::of(None, text.parse().unwrap());
    assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
    assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
    assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
}

proptest! {
    #[test]
    fn sums_equal_what_is_held_and_return_to_zero(
        steps in proptest::collection::vec((0_u8..12, 0_usize..3, 0_usize..3, 0_usize..200, any::<bool>()), 1..200)
    ) {
        let shares = Shares::new(small());
        let mut held: Vec<Held> = Vec::new();
        for (number, calls, streams, bytes, drops) in steps {
            if drops && !held.is_empty() {
                let at = usize::from(number) % held.len();
                held.swap_remove(at);
            } else if let Ok(one) = shares.take(&caller(number), Amount { calls, streams, bytes }) {
                held.push(one);
            }
            if let Some(one) = held.last_mut() && calls == 2 {
                one.set_bytes(bytes);
            }
            let counts = shares.counts();
            let sum = |pools: &[Pool]| {
                let of = held.iter().filter(|one| pools.contains(&Pool::of(&one.caller)));
                of.fold(Amount::default(), |sum, one| sum.plus(one.amount))
            };
            prop_assert_eq!(counts.whole, sum(&[Pool::Kept, Pool::Open]));
            prop_assert_eq!(counts.open, sum(&[Pool::Open]));
            prop_assert_eq!(counts.unauthenticated, sum(&[Pool::Unauthenticated]));
            prop_assert!(counts.whole.calls <= 20 && counts.open.calls <= 15);
            prop_assert!(counts.unauthenticated.calls <= 5);
            for (known, amount) in &counts.callers {
                prop_assert!(amount.calls <= shares.0.numbers.of(known).calls);
                prop_assert!(amount.streams <= shares.0.numbers.of(known).streams);
            }
        }
        drop(held);
        let counts = shares.counts();
        prop_assert_eq!(counts.whole, Amount::default());
        prop_assert_eq!(counts.open, Amount::default());
        prop_assert_eq!(counts.unauthenticated, Amount::default());
        prop_assert!(counts.callers.is_empty());
    }
}
