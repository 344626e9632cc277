//! What can be paid out to a seller, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use payment::domain::{
    BPS_MAX, BookStep, CameBack, Observation, Payout, PayoutRules, PayoutState, Reserve,
    SellerBalance, Settles,
};
use proptest::prelude::*;
use shared_events::contract::{Money, Seller, Timestamp};

use super::support::{at, id};

fn gbp(minor: i64) -> Money {
    Money::new(minor, "GBP".parse().unwrap())
}

fn seller() -> Seller {
    "acme".parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Credits in three ages: earlier than counts for the reserve, old enough, and new.
    #[test]
    fn what_is_paid_out_is_old_there_and_beyond_the_reserve(
        earlier in 0_i64..100_000,
        lately in 0_i64..100_000,
        new in 0_i64..100_000,
        debits in 0_i64..150_000,
        held in 0_i64..50_000,
        bps in 0..=BPS_MAX,
        minimum in 0_i64..20_000,
    ) {
        let balance = SellerBalance {
            credits: earlier + lately + new,
            debits,
            held,
            old_credits: earlier + lately,
            earlier_credits: earlier,
        };
        let reserve = Reserve { bps, minimum };
        let payable = balance.payable(CameBack::default(), reserve);
        prop_assert!(payable >= 0);
        if payable > 0 {
            let left = balance.available() - payable;
            prop_assert!(payable <= earlier + lately - debits - held);
            prop_assert!(left >= minimum);
            prop_assert!(i128::from(left) * 10_000 >= i128::from(lately + new) * i128::from(bps));
            // Nothing that may go stays.
            let exact = i128::from(lately + new) * i128::from(bps);
            let is_reserved = i128::from(left - 1) * 10_000 < exact || left == minimum;
            prop_assert!(is_reserved || payable == earlier + lately - debits - held);
        }
        // Another run at once pays nothing: what it finds is held.
        let held = held + payable;
        let again = SellerBalance { held, ..balance }.payable(CameBack::default(), reserve);
        prop_assert_eq!(again, 0);
        // Nor does one after it was paid, and came back, pay anything else.
        let (debits, credits) = (debits + payable, balance.credits + payable);
        let restored = SellerBalance { debits, credits, ..balance };
        let back = CameBack { since_old: payable, since_earlier: payable };
        prop_assert_eq!(restored.payable(back, reserve), payable);
    }
}

#[test]
fn sums_at_the_end_of_all_numbers_are_no_panic() {
    let most = SellerBalance {
        credits: i64::MAX,
        debits: 0,
        held: 0,
        old_credits: i64::MAX,
        earlier_credits: 0,
    };
    let all = Reserve { bps: BPS_MAX, minimum: 0 };
    assert_eq!(most.payable(CameBack::default(), all), 0);
    assert_eq!(most.payable(CameBack::default(), Reserve::default()), i64::MAX);
    let least = SellerBalance { debits: i64::MAX, held: i64::MAX, ..SellerBalance::default() };
    assert_eq!(least.payable(CameBack::default(), all), 0);
    assert!(least.available() < 0);
}

fn in_state(state: PayoutState, is_paid: bool) -> Payout {
    Payout {
        id: Payout::id_of(id(1), &seller(), gbp(0).currency),
        run_id: id(1),
        seller: seller(),
        psp: "scripted".parse().unwrap(),
        amount: gbp(1_000),
        state,
        settles: None,
        code: String::new(),
        reference: None,
        made_at: at(0),
        paid_at: is_paid.then(|| at(1)),
        returned_at: None,
        restored_at: None,
    }
}

#[test]
fn what_is_heard_counts_where_it_may() {
    use PayoutState::{Collected, Collecting, Paid, Refused, Returned, Settling, Stuck, Submitted};
    let done = |minor| Observation::Done {
        reference: "po_1".to_owned(),
        amount: gbp(minor),
        valid_until: None,
    };
    let no = || Observation::Declined { code: "no_account".to_owned() };
    let pending = || Observation::Pending { reference: "po_1".to_owned() };
    let stuck = || Observation::Stuck { why: "not found".to_owned() };
    let heard = |state, seen| {
        let after = in_state(state, state == Paid).heard(seen);
        after.map(|after| (after.state, after.settles, after.to_be_booked()))
    };
    let (paid, returned) = (Some(Settles::Paid), Some(Settles::Returned));
    for open in [Collected, Submitted, Stuck] {
        assert_eq!(heard(open, done(1_000)), Some((Settling, paid, Some(BookStep::Post))));
        assert_eq!(heard(open, done(999)), Some((Stuck, None, None)));
        assert_eq!(heard(open, no()), Some((Settling, returned, Some(BookStep::Void))));
    }
    assert_eq!(heard(Paid, no()), Some((Settling, returned, Some(BookStep::Mirror))));
    // Accepted is not paid, and what is paid is not accepted any more.
    for open in [Collected, Stuck] {
        assert_eq!(heard(open, pending()), Some((Submitted, None, None)));
    }
    for state in [Submitted, Paid] {
        assert_eq!(heard(state, pending()), None);
    }
    for open in [Collected, Submitted] {
        assert_eq!(heard(open, stuck()), Some((Stuck, None, None)));
    }
    assert_eq!(heard(Paid, done(1_000)), None);
    assert_eq!(heard(Paid, stuck()), None);
    // Nothing is heard of what is over, or not sent.
    for state in [Collecting, Settling, Returned, Refused] {
        for seen in [done(1_000), no(), pending(), stuck()] {
            assert_eq!(heard(state, seen.clone()), None, "{state} {seen:?}");
        }
    }
}

#[test]
fn what_the_book_must_have_is_known_of_each_state() {
    use PayoutState::{Collected, Collecting, Paid, Refused, Returned, Settling, Stuck, Submitted};
    let last = |state, is_paid| in_state(state, is_paid).last_booked();
    for state in [Collecting, Refused] {
        assert_eq!(last(state, false), None, "{state}");
    }
    for state in [Collected, Submitted, Settling, Stuck] {
        assert_eq!(last(state, false), Some(BookStep::Hold), "{state}");
    }
    // What came back of them is not booked yet.
    for state in [Paid, Settling, Stuck] {
        assert_eq!(last(state, true), Some(BookStep::Post), "{state}");
    }
    assert_eq!(last(Returned, false), Some(BookStep::Void));
    assert_eq!(last(Returned, true), Some(BookStep::Mirror));
    assert_eq!(BookStep::Mirror.before(), [BookStep::Hold, BookStep::Post]);
}

#[test]
fn a_day_has_one_run_whoever_looks_when() {
    let rules = |daily_at: Option<Duration>| PayoutRules {
        psp: "scripted".parse().unwrap(),
        after: Duration::ZERO,
        reserve_bps: 0,
        reserve_for: Duration::ZERO,
        reserve_minimum: BTreeMap::new(),
        debt_max: BTreeMap::new(),
        daily_at,
    };
    assert_eq!(rules(None).daily(at(0)), None);
    let daily = rules(Some(Duration::from_secs(3 * 3_600)));
    let (day, three) = (24 * 60, 3 * 60);
    let mut ids = BTreeSet::new();
    for minute in (0..3 * day).step_by(7).chain([three, day + three - 1, day + three]) {
        let (begins, run) = daily.daily(at(minute)).unwrap();
        let expected = (minute - three).div_euclid(day) * day + three;
        assert_eq!(begins, at(expected), "{minute}");
        ids.insert(run);
    }
    // The evening before the first day, and three mornings.
    assert_eq!(ids.len(), 4);
    assert_eq!(daily.daily(Timestamp::MIN), None);
}
