//! Whatever is called, in whichever order and with whatever faults, the book sums and no key moves
//! money twice.

use std::collections::HashMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use psp::simulator::{Moment, Move, Settings, Simulator};
use psp::{Authorize, CallKey, Capture, OurReference, PspReference, Refund, Void};
use shared_events::chance::Chance;
use uuid::Uuid;

use crate::support::{money, start};

const TOKENS: [&str; 14] = [
    "tok_visa",
    "tok_decline",
    "tok_timeout_before",
    "tok_timeout_after",
    "tok_partial",
    "tok_pending",
    "tok_pending_fails",
    "tok_late_success",
    "tok_reversed",
    "tok_capture_fails_later",
    "tok_refund_fails_later",
    "tok_capture_pending",
    "tok_dispute_won",
    "tok_dispute_lost",
];

#[derive(Clone, Debug)]
enum Step {
    Authorize { key: u8, amount: i64, token: usize, currency: usize },
    Capture { key: u8, nth: usize, amount: i64, more: bool },
    Void { key: u8, nth: usize },
    Refund { key: u8, nth: usize, amount: i64 },
    Wait { hours: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let amount = -1_i64..2_000;
    prop_oneof![
        3 => (0_u8..40, amount.clone(), 0..TOKENS.len(), 0_usize..3).prop_map(
            |(key, amount, token, currency)| Step::Authorize { key, amount, token, currency }
        ),
        3 => (40_u8..80, 0_usize..12, amount.clone(), any::<bool>())
            .prop_map(|(key, nth, amount, more)| Step::Capture { key, nth, amount, more }),
        1 => (80_u8..100, 0_usize..12).prop_map(|(key, nth)| Step::Void { key, nth }),
        2 => (100_u8..140, 0_usize..12, amount)
            .prop_map(|(key, nth, amount)| Step::Refund { key, nth, amount }),
        1 => (0_u16..400).prop_map(|hours| Step::Wait { hours }),
    ]
}

fn run(steps: &[Step], seed: u64) -> Simulator {
    let odds = "timeout_before=30,timeout_after=30,error_after=20,busy=20,decline=20,unseen=20";
    let mut settings = Settings { odds: odds.parse().unwrap(), ..Settings::default() };
    settings.capabilities.multi_capture = seed.is_multiple_of(2);
    settings.webhooks = true;
    let (mut simulator, chance) = (Simulator::new(settings), Chance::seeded(seed));
    let mut now = start();
    let mut known: Vec<PspReference> = Vec::new();
    for step in steps {
        let at = Moment { now, chance: &chance };
        let key = |key: u8| CallKey { operation: Uuid::from_u128(key.into()), generation: 0 };
        let of = |nth: usize| known.get(nth).cloned().unwrap_or("pi_none".parse().unwrap());
        let currency = ["GBP", "JPY", "KWD"];
        match *step {
            Step::Authorize { key: k, amount, token, currency: c } => {
                let amount = money(amount, currency[c]);
                let token = TOKENS[token].parse().unwrap();
                let action_until = now.plus(Duration::from_secs(600));
                let call = Authorize { key: key(k), amount, token, customer: None, action_until };
                simulator.authorize(&call, Some(OurReference(key(k).operation)), at);
            }
            Step::Capture { key: k, nth, amount, more } => {
                let authorization = of(nth);
                let known = simulator.payment(&authorization).map(|payment| payment.currency);
                let amount = money(amount, known.map_or("GBP".to_owned(), String::from).as_str());
                let call = Capture { key: key(k), authorization, amount, more_follows: more };
                simulator.capture(&call, Some(OurReference(key(k).operation)), at);
            }
            Step::Void { key: k, nth } => {
                let call = Void { key: key(k), authorization: of(nth) };
                simulator.void(&call, Some(OurReference(key(k).operation)), at);
            }
            Step::Refund { key: k, nth, amount } => {
                let capture = of(nth);
                let known = simulator.payment(&capture).map(|payment| payment.currency);
                let amount = money(amount, known.map_or("GBP".to_owned(), String::from).as_str());
                let call = Refund { key: key(k), capture, amount };
                simulator.refund(&call, Some(OurReference(key(k).operation)), at);
            }
            Step::Wait { hours } => {
                now = now.plus(Duration::from_secs(u64::from(hours) * 3600));
                simulator.advance(Moment { now, chance: &chance });
            }
        }
        known = simulator.book().payments().map(|(payment, ..)| payment.clone()).collect();
        assert!(simulator.book().is_sound(), "after {step:?}");
    }
    simulator
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_book_sums_and_no_key_moves_money_twice(steps in vec(step(), 0..80), seed in 0_u64..99) {
        let simulator = run(&steps, seed);
        // A key is remembered for a day: only lines within one are compared.
        let mut last = HashMap::new();
        for line in simulator.book().lines() {
            let once = [Move::Authorized, Move::Captured, Move::Refunded].contains(&line.moved);
            let Some(our) = line.our_reference.filter(|_| once) else { continue };
            if let Some(before) = last.insert((our.0, line.moved), line.at) {
                prop_assert!(line.at.since(before) >= Duration::from_secs(3600), "{line:?}");
            }
        }
        for (payment, _, sums) in simulator.book().payments() {
            prop_assert!(sums.open() >= 0 && sums.kept() >= 0, "{payment} {sums:?}");
            let known = simulator.payment(payment).unwrap();
            prop_assert!(known.capture_pending >= 0 && known.refund_pending >= 0);
            prop_assert!(sums.kept() >= known.refund_pending, "{payment} {sums:?}");
        }
    }

    #[test]
    fn a_seed_repeats_everything(steps in vec(step(), 0..40), seed in 0_u64..99) {
        let lines = |simulator: &Simulator| -> Vec<_> { simulator.book().lines().cloned().collect() };
        prop_assert_eq!(lines(&run(&steps, seed)), lines(&run(&steps, seed)));
    }
}
