use ledger::domain::{HoldId, HoldState, Leg, Refusal, TransferKind};
use shared_events::contract::Money;

use super::support::{Book, at, entry, gbp, hold, id, receipt, refusal, shop, transfer};

fn held(book: &mut Book, number: u128, amount: i64, seconds: Option<u32>) -> HoldId {
    let legs = vec![hold("wallet:anna", "seller:acme", gbp(amount), seconds)];
    receipt(&book.post(number, legs));
    id(number).hold(0)
}

fn post(hold: HoldId, amount: Option<i64>) -> Vec<Leg> {
    vec![Leg::Post { hold, amount: amount.map(gbp) }]
}

fn state(book: &Book, hold: HoldId) -> (HoldState, i64) {
    let hold = &book.holds[&hold];
    (hold.state, hold.posted)
}

#[test]
fn a_hold_counts_as_spent() {
    let mut book = shop();
    held(&mut book, 2, 6_000, None);
    assert_eq!(book.sums("wallet:anna"), [0, 10_000, 6_000, 0]);
    assert_eq!(book.sums("seller:acme"), [0, 0, 0, 6_000]);
    let more = vec![transfer("wallet:anna", "fees", gbp(4_001))];
    assert_eq!(refusal(&book.post(3, more)).reason().code(), "INSUFFICIENT_FUNDS");
    // What is only held for the seller cannot be limited by it, nor spent as if it were there.
    assert_eq!(book.accounts.values().filter(|one| one.sums.credits_held > 0).count(), 1);
}

#[test]
fn a_hold_is_posted_in_full_or_in_part_and_the_rest_is_free() {
    let mut book = shop();
    let all = held(&mut book, 2, 1_000, None);
    receipt(&book.post(3, post(all, None)));
    assert_eq!(state(&book, all), (HoldState::Posted, 1_000));
    let part = held(&mut book, 4, 1_000, None);
    receipt(&book.post(5, post(part, Some(1))));
    assert_eq!(state(&book, part), (HoldState::Posted, 1));
    assert_eq!(book.sums("wallet:anna"), [1_001, 10_000, 0, 0]);
    assert_eq!(book.sums("seller:acme"), [0, 1_001, 0, 0]);
    let over = held(&mut book, 6, 1_000, None);
    let refused = refusal(&book.post(7, post(over, Some(1_001))));
    assert_eq!(refused, Refusal::MoreThanHeld { hold: over, held: 1_000, requested: 1_001 });
    let euro = Money::new(5, "EUR".parse().unwrap());
    let other = vec![Leg::Post { hold: over, amount: Some(euro) }];
    assert_eq!(refusal(&book.post(8, other)).reason().code(), "CURRENCY_MISMATCH");
    assert_eq!(state(&book, over), (HoldState::Held, 0));
}

/// A partial capture of a hold that goes on: post the part, hold the rest, in one entry.
#[test]
fn a_hold_is_posted_in_parts_by_a_chain() {
    let mut book = shop();
    let first = held(&mut book, 2, 1_000, None);
    let chain = vec![
        Leg::Post { hold: first, amount: Some(gbp(400)) },
        hold("wallet:anna", "seller:acme", gbp(600), None),
    ];
    receipt(&book.post(3, chain));
    let rest = id(3).hold(1);
    assert_eq!(state(&book, rest), (HoldState::Held, 0));
    assert_eq!(book.sums("wallet:anna"), [400, 10_000, 600, 0]);
    receipt(&book.post(4, post(rest, None)));
    assert_eq!(book.sums("wallet:anna"), [1_000, 10_000, 0, 0]);
}

#[test]
fn a_hold_ends_once() {
    let mut book = shop();
    let (posted, voided) = (held(&mut book, 2, 10, None), held(&mut book, 3, 10, None));
    receipt(&book.post(4, post(posted, None)));
    receipt(&book.post(5, vec![Leg::Void { hold: voided }]));
    assert_eq!(state(&book, voided), (HoldState::Voided, 0));
    for (number, hold, state) in [(6, posted, "POSTED"), (8, voided, "VOIDED")] {
        let state = state.to_owned();
        let ended = Refusal::HoldEnded { hold, state };
        assert_eq!(refusal(&book.post(number, post(hold, None))), ended);
        assert_eq!(refusal(&book.post(number + 1, vec![Leg::Void { hold }])), ended);
    }
    let nothing = id(99).hold(0);
    let refused = refusal(&book.post(10, post(nothing, None)));
    assert_eq!(refused, Refusal::HoldNotFound { hold: nothing });
    assert_eq!(book.sums("wallet:anna"), [10, 10_000, 0, 0]);
}

#[test]
fn two_legs_of_one_entry_do_not_end_one_hold_twice() {
    let mut book = shop();
    let one = held(&mut book, 2, 10, None);
    let twice = vec![Leg::Void { hold: one }, Leg::Post { hold: one, amount: None }];
    assert_eq!(refusal(&book.post(3, twice)).reason().code(), "HOLD_ENDED");
    assert_eq!(state(&book, one), (HoldState::Held, 0));
    assert_eq!(book.sums("wallet:anna"), [0, 10_000, 10, 0]);
}

#[test]
fn a_hold_expires_when_its_time_is_over() {
    let mut book = shop();
    let one = held(&mut book, 2, 10_000, Some(60));
    let spend = |number| entry(number, vec![transfer("wallet:anna", "fees", gbp(1))]);
    assert_eq!(refusal(&book.book(&spend(3), at(59))).reason().code(), "INSUFFICIENT_FUNDS");
    receipt(&book.book(&spend(4), at(60)));
    assert_eq!(state(&book, one), (HoldState::Expired, 0));
    assert_eq!(book.sums("wallet:anna"), [1, 10_000, 0, 0]);
    let expired = &book.transfers[2];
    assert_eq!((expired.kind, expired.entry), (TransferKind::HoldExpired, one.expiry()));
    let late = entry(5, post(one, None));
    assert_eq!(refusal(&book.book(&late, at(61))).reason().code(), "HOLD_ENDED");
}

/// The transfer that ends it may be booked later, when many are due.
#[test]
fn a_hold_whose_time_is_over_cannot_be_posted() {
    let mut book = shop();
    let one = held(&mut book, 2, 10, Some(60));
    let mut part = book.part();
    let refused = part.book(&entry(3, post(one, None)), at(60));
    let state = "EXPIRED".to_owned();
    assert_eq!(refusal(&refused), Refusal::HoldEnded { hold: one, state });
    part.expire(at(60));
    book.write(&part);
    assert_eq!(self::state(&book, one), (HoldState::Expired, 0));
}
