use ledger::domain::{
    AccountKind, Entry, GENESIS, HoldId, HoldState, Leg, Limit, Outcome, TransferKind,
};
use proptest::prelude::*;
use shared_events::contract::{Money, Timestamp};

use super::support::{Book, at, id, name, reckon};

const CURRENCIES: [&str; 3] = ["JPY", "GBP", "KWD"];
const LIMITS: [Limit; 3] = [Limit::None, Limit::DebitsWithinCredits, Limit::CreditsWithinDebits];

/// Per currency one account of each limit, and a second without.
fn book() -> Book {
    let mut book = Book::new();
    for currency in CURRENCIES {
        for (nth, limit) in LIMITS.into_iter().chain([Limit::None]).enumerate() {
            let name = format!("{currency}:{nth}");
            book.open(&name, AccountKind::Liability, currency, limit);
        }
    }
    book
}

/// A leg as numbers; which hold is meant depends on what was booked before.
#[derive(Clone, Debug)]
enum Step {
    Transfer { currency: usize, debit: usize, credit: usize, amount: i64 },
    Hold { currency: usize, debit: usize, credit: usize, amount: i64, seconds: Option<u32> },
    Post { hold: prop::sample::Index, amount: Option<i64> },
    Void { hold: prop::sample::Index },
}

#[derive(Clone, Debug)]
struct Asked {
    /// Few of them, so that some are asked for again.
    id: u128,
    /// The same again, where the id was asked for before.
    again: bool,
    steps: Vec<Step>,
    later: i64,
}

fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1_i64..1_000, 1 => Just(i64::MAX / 2), 1 => Just(i64::MAX)]
}

fn step() -> impl Strategy<Value = Step> {
    // One currency mostly; the book refuses the others.
    let place = || (0_usize..3, 0_usize..4, 0_usize..4, amount());
    prop_oneof![
        4 => place().prop_map(|(currency, debit, credit, amount)| Step::Transfer {
            currency, debit, credit, amount
        }),
        3 => (place(), prop::option::of(1_u32..50)).prop_map(
            |((currency, debit, credit, amount), seconds)| Step::Hold {
                currency, debit, credit, amount, seconds
            }
        ),
        2 => (any::<prop::sample::Index>(), prop::option::of(1_i64..1_000))
            .prop_map(|(hold, amount)| Step::Post { hold, amount }),
        1 => any::<prop::sample::Index>().prop_map(|hold| Step::Void { hold }),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    (0_u128..60, any::<bool>(), prop::collection::vec(step(), 1..4), 0_i64..20)
        .prop_map(|(id, again, steps, later)| Asked { id, again, steps, later })
}

fn leg(step: &Step, holds: &[(HoldId, usize)]) -> Leg {
    let of = |currency: usize, nth: usize| name(&format!("{}:{nth}", CURRENCIES[currency]));
    let money = |currency: usize, minor| Money::new(minor, CURRENCIES[currency].parse().unwrap());
    let meant = |index: &prop::sample::Index| match holds.is_empty() {
        true => (id(999).hold(0), 0),
        false => holds[index.index(holds.len())],
    };
    match *step {
        Step::Transfer { currency, debit, credit, amount } => Leg::Transfer {
            debit: of(currency, debit),
            credit: of(currency, (credit + usize::from(debit == credit)) % 4),
            amount: money(currency, amount),
        },
        Step::Hold { currency, debit, credit, amount, seconds } => Leg::Hold {
            debit: of(currency, debit),
            credit: of(currency, (credit + usize::from(debit == credit)) % 4),
            amount: money(currency, amount),
            seconds,
        },
        Step::Post { ref hold, amount } => {
            let (hold, currency) = meant(hold);
            Leg::Post { hold, amount: amount.map(|minor| money(currency, minor)) }
        }
        Step::Void { ref hold } => Leg::Void { hold: meant(hold).0 },
    }
}

/// The entries that these numbers mean, with the instants at which they are asked for.
fn entries(all: &[Asked]) -> Vec<(Entry, Timestamp)> {
    let mut entries: Vec<(Entry, Timestamp)> = Vec::new();
    let (mut holds, mut now) = (Vec::new(), 0);
    for one in all {
        now += one.later;
        let id = id(one.id);
        let before = entries.iter().find(|(entry, _)| entry.id() == id).cloned();
        if let (true, Some((before, _))) = (one.again, before) {
            entries.push((before, at(now)));
            continue;
        }
        let legs: Vec<Leg> = one.steps.iter().map(|step| leg(step, &holds)).collect();
        for (nth, step) in (0..).zip(&one.steps) {
            if let Step::Hold { currency, .. } = step {
                holds.push((id.hold(nth), *currency));
            }
        }
        entries.push((Entry::new(id, legs, String::new()).unwrap(), at(now)));
    }
    entries
}

fn check(book: &Book) -> Result<(), TestCaseError> {
    // Every sum at every position, reckoned anew.
    let sums = reckon(&book.transfers);
    for (name, account) in &book.accounts {
        let told = book.sums(name.as_str()).map(i128::from);
        prop_assert_eq!(
            told,
            sums.get(name).copied().unwrap_or_default(),
            "{}",
            account.terms.name
        );
    }
    // Debits are credits, posted and held, per currency.
    for currency in CURRENCIES {
        let all = sums.iter().filter(|(name, _)| name.as_str().starts_with(currency));
        let total =
            all.fold([0; 4], |total, (_, sums)| [0, 1, 2, 3].map(|nth| total[nth] + sums[nth]));
        prop_assert_eq!(total[0], total[1]);
        prop_assert_eq!(total[2], total[3]);
    }
    let mut hash = GENESIS;
    for (position, one) in (1..).zip(&book.transfers) {
        prop_assert_eq!(one.position, position);
        let known = &book.known[&one.entry];
        hash = one.chained(&hash, &known.fingerprint);
        prop_assert_eq!(one.hash, hash);
        let receipt = known.answer.as_ref().unwrap();
        prop_assert_eq!(receipt.first + u64::from(one.leg), position);
        // Limits hold at every position.
        for (name, after) in [(&one.debit, one.debit_after), (&one.credit, one.credit_after)] {
            prop_assert!(after.within(book.accounts[name].terms.limit), "{} at {}", name, position);
        }
    }
    prop_assert_eq!((book.head.position, book.head.hash), (book.transfers.len() as u64, hash));
    holds(book)
}

/// Each hold has the transfer that made it, and one that ended it or none.
fn holds(book: &Book) -> Result<(), TestCaseError> {
    for hold in book.holds.values() {
        let of: Vec<_> = book.transfers.iter().filter(|one| one.hold == Some(hold.id)).collect();
        prop_assert_eq!((of[0].kind, of[0].amount), (TransferKind::Held, hold.amount));
        prop_assert_eq!(of[0].position, hold.made);
        prop_assert_eq!(of.get(1).map(|one| one.position), hold.ended);
        let (state, posted) = match of.get(1).map(|one| (one.kind, one.amount)) {
            None => (HoldState::Held, 0),
            Some((TransferKind::HoldPosted, amount)) => (HoldState::Posted, amount),
            Some((TransferKind::HoldVoided, _)) => (HoldState::Voided, 0),
            Some((TransferKind::HoldExpired, _)) => (HoldState::Expired, 0),
            Some((other, _)) => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!((hold.state, hold.posted, of.len() <= 2), (state, posted, true));
        prop_assert!(posted <= hold.amount);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_law_holds_after_random_entries(all in prop::collection::vec(asked(), 1..80)) {
        let mut book = book();
        let mut first = std::collections::BTreeMap::new();
        for (entry, now) in entries(&all) {
            let before = book.clone();
            let mut expired = book.part();
            expired.expire(now);
            let outcome = book.book(&entry, now);
            let known = before.known.get(&entry.id());
            match (&outcome, known) {
                (Outcome::Booked { exists: false, receipt }, None) => {
                    prop_assert_eq!(usize::from(receipt.legs), entry.legs().len());
                    first.insert(entry.id(), entry.clone());
                }
                (Outcome::Refused { exists: false, .. }, None) => {
                    // Nothing but expired holds changed.
                    prop_assert_eq!(&book.head, expired.head());
                    first.insert(entry.id(), entry.clone());
                }
                (Outcome::Booked { exists: true, receipt }, Some(known)) => {
                    prop_assert_eq!(known.answer.as_ref(), Ok(receipt));
                    prop_assert_eq!(&first[&entry.id()], &entry);
                }
                (Outcome::Refused { exists: true, refusal }, Some(known)) => {
                    prop_assert_eq!(known.answer.as_ref(), Err(refusal));
                    prop_assert_eq!(&first[&entry.id()], &entry);
                }
                (Outcome::OtherContent, Some(_)) => {
                    prop_assert_ne!(&first[&entry.id()], &entry);
                }
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            }
        }
        check(&book)?;
    }

    /// However the same entries are cut into batches, the book is the same.
    #[test]
    fn a_batch_books_what_its_entries_book_alone(
        all in prop::collection::vec(asked(), 1..60),
        size in 1_usize..20,
    ) {
        let entries: Vec<Entry> = entries(&all).into_iter().map(|(entry, _)| entry).collect();
        let (mut alone, mut together) = (book(), book());
        for entry in &entries {
            alone.book(entry, at(0));
        }
        for batch in entries.chunks(size) {
            let mut part = together.part();
            for entry in batch {
                part.book(entry, at(0));
            }
            together.write(&part);
        }
        prop_assert_eq!(alone, together);
    }

    /// Any partition of a hold into posted parts sums to the whole, in every currency.
    #[test]
    fn a_hold_posted_in_parts_sums_to_the_whole(
        parts in prop::collection::vec(1_i64..1_000_000, 1..20),
        currency in 0_usize..3,
    ) {
        let mut book = book();
        let code = CURRENCIES[currency];
        let money = |minor| Money::new(minor, code.parse().unwrap());
        let (debit, credit) = (name(&format!("{code}:0")), name(&format!("{code}:3")));
        let whole: i64 = parts.iter().sum();
        let held = |amount| Leg::Hold {
            debit: debit.clone(), credit: credit.clone(), amount: money(amount), seconds: None,
        };
        book.post(1, vec![held(whole)]);
        let (mut rest, mut hold) = (whole, id(1).hold(0));
        for (number, part) in (2_u128..).zip(&parts) {
            rest -= part;
            let mut legs = vec![Leg::Post { hold, amount: Some(money(*part)) }];
            if rest > 0 {
                legs.push(held(rest));
            }
            let outcome = book.post(number, legs);
            prop_assert!(matches!(outcome, Outcome::Booked { exists: false, .. }), "{:?}", outcome);
            hold = id(number).hold(1);
        }
        prop_assert_eq!(book.sums(credit.as_str()), [0, whole, 0, 0]);
        check(&book)?;
    }
}
