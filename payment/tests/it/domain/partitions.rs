//! The parts of money add up, however it is divided.

use payment::domain::{OperationKind, fee};
use proptest::prelude::*;
use shared_events::contract::{CapturePolicy, Money, PaymentFact, PaymentPolicy};

use super::support::Told;

/// The part of `whole` that comes with `done` of `all` units after `before` of them: what is due
/// after the step less what was due before it. The last step takes all that is left.
fn share(whole: i64, all: u64, before: u64, done: u64) -> i64 {
    let upto = |units: u64| {
        let part = i128::from(whole) * i128::from(units.min(all)) / i128::from(all.max(1));
        i64::try_from(part).unwrap_or(whole)
    };
    upto(before.saturating_add(done)) - upto(before)
}

/// A whole and how it is cut: each cut is a share of what is left, in 256ths.
fn cuts() -> impl Strategy<Value = (i64, Vec<u8>)> {
    let whole = prop_oneof![1_i64..1_000, 1_i64..10_000_000, Just(999_999_999_999)];
    (whole, prop::collection::vec(any::<u8>(), 1..12))
}

fn parts((whole, cuts): &(i64, Vec<u8>)) -> Vec<i64> {
    let mut left = *whole;
    let mut parts = Vec::new();
    for cut in cuts {
        let part = i64::try_from(i128::from(left) * i128::from(*cut) / 256).unwrap();
        parts.push(part);
        left -= part;
    }
    parts.push(left);
    parts.retain(|part| *part > 0);
    parts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn steps_of_a_fee_are_the_fee_of_the_whole(cut in cuts(), bps in 0_u16..=10_000) {
        let mut before = 0;
        let mut steps = 0;
        for part in parts(&cut) {
            let step = fee(before + part, bps) - fee(before, bps);
            prop_assert!((0..=part).contains(&step));
            steps += step;
            before += part;
        }
        prop_assert_eq!(before, cut.0);
        prop_assert_eq!(steps, fee(cut.0, bps));
    }

    #[test]
    fn shares_of_units_add_up_and_are_off_by_less_than_one(
        whole in 0_i64..1_000_000_000,
        units in prop::collection::vec(1_u64..50, 1..10),
    ) {
        let all: u64 = units.iter().sum();
        let mut before = 0;
        let mut sum = 0;
        for done in units {
            let part = share(whole, all, before, done);
            // |part - whole × done / all| < 1
            let off = i128::from(part) * i128::from(all) - i128::from(whole) * i128::from(done);
            prop_assert!(off.abs() < i128::from(all));
            before += done;
            sum += part;
        }
        prop_assert_eq!(sum, whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Parcels, then returns: all that was captured is refunded, and all fees are given back.
    #[test]
    fn parcels_and_returns_leave_nothing(
        (cut, back) in (cuts(), cuts()),
        bps in 0_u16..=10_000,
        currency in prop::sample::select(vec!["JPY", "GBP", "KWD"]),
    ) {
        let mut told = Told { currency, ..Told::new() };
        let (capture, policy) = (CapturePolicy::OnFulfil, PaymentPolicy::PerSeller);
        told.request(&[(Some("s"), cut.0, bps)], capture, policy);
        told.attempt(10).unwrap();
        told.done(OperationKind::Authorize);
        for (number, part) in (100..).zip(parts(&cut)) {
            told.parcel(number, part);
            told.done(OperationKind::Capture);
        }
        prop_assert_eq!(told.payment(0).captured(), cut.0);
        prop_assert!(told.case.due_at().is_none(), "nothing is left reserved");
        for (number, part) in (200..).zip(parts(&(cut.0, back.1))) {
            told.refund(number, part);
            while told.has_open(OperationKind::Refund) {
                told.done(OperationKind::Refund);
            }
        }
        prop_assert_eq!(told.payment(0).refunded(), cut.0);
        let (mut taken, mut given, mut fees) = (0, 0, 0);
        for fact in &told.facts {
            match fact {
                PaymentFact::Captured { payment, fee, .. } => {
                    taken += payment.amount.minor;
                    fees += fee.minor;
                }
                PaymentFact::Refunded { payment, fee, .. } => {
                    given += payment.amount.minor;
                    fees -= fee.minor;
                }
                PaymentFact::RefundFailed { .. } => prop_assert!(false, "{fact:?}"),
                _ => {}
            }
        }
        prop_assert_eq!((taken, given, fees), (cut.0, cut.0, 0));
    }
}

#[test]
fn amounts_are_minor_units_of_their_currency() {
    for (currency, minor, shown) in
        [("JPY", 10_000, "10000 JPY"), ("KWD", 35_200, "35.200 KWD"), ("GBP", 1, "0.01 GBP")]
    {
        let mut told = Told { currency, ..Told::new() };
        let parts = [(None, minor, 0)];
        told.request(&parts, CapturePolicy::OnFulfil, PaymentPolicy::AllOrNone);
        told.attempt(10).unwrap();
        let Money { minor: asked, .. } = told.open(OperationKind::Authorize).amount;
        assert_eq!((asked, told.payment(0).money(asked).to_string().as_str()), (minor, shown));
    }
}
