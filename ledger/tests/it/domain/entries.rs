use ledger::domain::{
    AccountKind, Entry, EntryId, LEGS_MAX, Leg, Limit, Outcome, Refusal, TransferKind,
};
use uuid::Uuid;

use super::support::{at, entry, gbp, hold, id, name, receipt, refusal, shop, transfer};

#[test]
fn an_entry_is_booked_with_all_its_legs() {
    let mut book = shop();
    let legs = vec![
        transfer("wallet:anna", "seller:acme", gbp(900)),
        transfer("wallet:anna", "fees", gbp(100)),
    ];
    let booked = receipt(&book.post(2, legs));
    assert_eq!((booked.first, booked.legs), (2, 2));
    assert_eq!(book.sums("wallet:anna"), [1_000, 10_000, 0, 0]);
    assert_eq!(book.sums("seller:acme"), [0, 900, 0, 0]);
    assert_eq!(book.sums("fees"), [0, 100, 0, 0]);
    assert_eq!(book.transfers.len(), 3);
    assert_eq!(book.transfers[2].kind, TransferKind::Posted);
}

#[test]
fn an_entry_with_a_refused_leg_changes_nothing() {
    let mut book = shop();
    let before = (book.accounts.clone(), book.holds.clone(), book.head);
    let legs = vec![
        transfer("wallet:anna", "seller:acme", gbp(9_000)),
        hold("wallet:anna", "seller:acme", gbp(900), None),
        transfer("wallet:anna", "fees", gbp(101)),
    ];
    let refused = refusal(&book.post(2, legs));
    let account = name("wallet:anna");
    assert_eq!(refused, Refusal::InsufficientFunds { account, available: 100, requested: 101 });
    assert_eq!(refused.reason().code(), "INSUFFICIENT_FUNDS");
    assert_eq!((book.accounts.clone(), book.holds.clone(), book.head), before);
    assert_eq!(book.transfers.len(), 1);
}

#[test]
fn a_refused_id_stays_refused() {
    let mut book = shop();
    let legs = || vec![transfer("wallet:anna", "seller:acme", gbp(10_001))];
    let first = refusal(&book.post(2, legs()));
    // Now there would be enough.
    receipt(&book.post(3, vec![transfer("bank", "wallet:anna", gbp(10_000))]));
    let again = book.post(2, legs());
    assert_eq!(again, Outcome::Refused { refusal: first, exists: true });
    receipt(&book.post(4, legs()));
}

#[test]
fn an_id_is_booked_once() {
    let mut book = shop();
    let legs = || vec![transfer("wallet:anna", "fees", gbp(5))];
    let first = receipt(&book.post(2, legs()));
    assert_eq!(book.post(2, legs()), Outcome::Booked { receipt: first, exists: true });
    let others = [
        vec![transfer("wallet:anna", "fees", gbp(6))],
        vec![transfer("wallet:anna", "seller:acme", gbp(5))],
        vec![transfer("wallet:anna", "fees", "5 EUR".split_once(' ').map(euro).unwrap())],
        vec![hold("wallet:anna", "fees", gbp(5), None)],
        vec![Leg::Void { hold: id(2).hold(0) }],
        [legs(), legs()].concat(),
    ];
    for other in others {
        assert_eq!(book.post(2, other), Outcome::OtherContent);
    }
    let reasoned = Entry::new(id(2), legs(), "because".to_owned()).unwrap();
    assert_eq!(book.book(&reasoned, at(0)), Outcome::OtherContent);
    assert_eq!(book.sums("fees"), [0, 5, 0, 0]);
}

fn euro((minor, currency): (&str, &str)) -> shared_events::contract::Money {
    let (minor, currency) = (minor.parse().unwrap(), currency.parse().unwrap());
    shared_events::contract::Money::new(minor, currency)
}

#[test]
fn an_entry_is_refused_by_name() {
    let mut book = shop();
    book.open("cash:eur", AccountKind::Asset, "EUR", Limit::None);
    let unknown = refusal(&book.post(2, vec![transfer("bank", "nobody", gbp(1))]));
    assert_eq!(unknown, Refusal::AccountNotOpen { account: name("nobody") });
    for (nth, legs) in [
        vec![transfer("bank", "cash:eur", gbp(1))],
        vec![transfer("cash:eur", "bank", gbp(1))],
        vec![transfer("bank", "fees", euro(("1", "EUR")))],
    ]
    .into_iter()
    .enumerate()
    {
        let refused = refusal(&book.post(3 + nth as u128, legs));
        assert_eq!(refused.reason().code(), "CURRENCY_MISMATCH", "{refused}");
    }
    let most = vec![transfer("bank", "fees", gbp(i64::MAX))];
    let refused = refusal(&book.post(9, most));
    assert_eq!(refused, Refusal::AmountOverflow { account: name("bank") });
}

#[test]
fn what_is_posted_and_held_together_fits_into_64_bits() {
    let mut book = shop();
    let rest = i64::MAX - 10_000;
    receipt(&book.post(2, vec![hold("bank", "fees", gbp(rest), None)]));
    let refused = refusal(&book.post(3, vec![transfer("bank", "fees", gbp(1))]));
    assert_eq!(refused.reason().code(), "AMOUNT_OVERFLOW");
    receipt(&book.post(4, vec![Leg::Post { hold: id(2).hold(0), amount: None }]));
    assert_eq!(book.sums("bank"), [i64::MAX, 0, 0, 0]);
}

#[test]
fn cash_is_limited_on_the_other_side() {
    let mut book = shop();
    book.open("cash", AccountKind::Asset, "GBP", Limit::CreditsWithinDebits);
    let out = |amount| vec![transfer("seller:acme", "cash", gbp(amount))];
    assert_eq!(refusal(&book.post(2, out(1))).reason().code(), "INSUFFICIENT_FUNDS");
    receipt(&book.post(3, vec![transfer("cash", "fees", gbp(10))]));
    receipt(&book.post(4, vec![hold("seller:acme", "cash", gbp(4), None)]));
    assert_eq!(refusal(&book.post(5, out(7))).reason().code(), "INSUFFICIENT_FUNDS");
    receipt(&book.post(6, out(6)));
}

#[test]
fn a_malformed_entry_names_every_field() {
    let fields = |id: EntryId, legs: Vec<Leg>| -> Vec<String> {
        let wrong = Entry::new(id, legs, String::new()).unwrap_err();
        wrong.into_iter().map(|one| one.field).collect()
    };
    assert_eq!(fields(id(1), vec![]), ["legs"]);
    let many = vec![transfer("a", "b", gbp(1)); LEGS_MAX + 1];
    assert_eq!(fields(id(1), many), ["legs"]);
    let legs = vec![
        transfer("a", "a", gbp(0)),
        hold("a", "b", gbp(-1), Some(0)),
        hold("a", "b", gbp(1), Some(315_360_001)),
        Leg::Post { hold: id(1).hold(0), amount: Some(gbp(0)) },
    ];
    let all = [
        "legs[0].amount",
        "legs[0].credit",
        "legs[1].amount",
        "legs[1].seconds",
        "legs[2].seconds",
        "legs[3].amount",
    ];
    assert_eq!(fields(id(1), legs), all);
    let good = || vec![transfer("a", "b", gbp(1))];
    assert_eq!(fields(EntryId::from(Uuid::nil()), good()), ["entry_id"]);
    assert_eq!(fields(id(1).hold(0).expiry(), good()), ["entry_id"]);
    assert_eq!(fields(EntryId::from(id(1).hold(1).uuid()), good()), ["entry_id"]);
    assert!("no".parse::<EntryId>().is_err());
    assert_eq!(id(3).to_string().parse::<EntryId>().unwrap(), id(3));
}

#[test]
fn ids_follow_from_their_cause() {
    let cause = Uuid::from_u128(7);
    assert_eq!(EntryId::of_cause(cause, "capture"), EntryId::of_cause(cause, "capture"));
    assert_ne!(EntryId::of_cause(cause, "capture"), EntryId::of_cause(cause, "refund"));
    let ids = [id(1).hold(0).uuid(), id(1).hold(1).uuid(), id(1).hold(2).uuid()];
    assert_eq!(ids[0], id(1).uuid());
    assert!(ids[1] != ids[2] && ids[1] != ids[0]);
}

#[test]
fn a_transfer_is_dated_no_earlier_than_the_one_before() {
    let mut book = shop();
    let one = entry(2, vec![transfer("bank", "fees", gbp(1))]);
    assert_eq!(receipt(&book.book(&one, at(100))).at, at(100));
    let other = entry(3, vec![transfer("bank", "fees", gbp(1))]);
    assert_eq!(receipt(&book.book(&other, at(50))).at, at(100));
}
