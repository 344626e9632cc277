//! The book in a database: batches, repeats, history.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ledger::domain::{AccountKind, Entry, HoldState, Leg, Limit, NewAccount, Opened, Outcome};
use ledger::store::{self, EntryFilter};
use ledger::{Book as _, SqlBook};
use shared_events::contract::Timestamp;
use shared_events::stream::{ActionsAsked, AskedBy, Dialect, OperatorAction};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::on_both::on_both;
use crate::support::{Bench, by, entry, gbp, hold, id, name, transfer};

on_both![two_threads:
    an_entry_is_booked_once_also_by_another_process,
    a_refused_id_stays_refused_also_by_another_process,
    one_hot_account_takes_many_entries_at_once,
    a_balance_is_known_at_every_position,
    a_balance_is_known_at_every_instant,
    accounts_and_entries_are_listed,
    a_hold_expires_although_nobody_calls,
    nothing_is_dated_before_what_was_booked,
    of_two_requests_with_one_id_the_first_is_noted,
    an_operator_leaves_a_record,
    the_book_refuses_to_be_rewritten,
];

async fn an_entry_is_booked_once_also_by_another_process(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    let legs = || vec![transfer("wallet:1", "seller", 900), transfer("wallet:1", "fees", 100)];
    let first = bench.ask(1, legs()).await.unwrap();
    assert_eq!(first.transfers.len(), 2);
    let receipt = bench.post(1, legs()).await;
    let other = bench.beside().await;
    let again = other.ask(1, legs()).await.unwrap();
    assert_eq!(again.outcome, Outcome::Booked { receipt, exists: true });
    let changed = other.ask(1, vec![transfer("wallet:1", "fees", 1)]).await.unwrap();
    assert_eq!(changed.outcome, Outcome::OtherContent);
    assert_eq!(bench.balance("wallet:1").await, 9_000);
    let stored = store::entry(&bench.database, id(1)).await.unwrap().unwrap();
    assert_eq!(stored.transfers, first.transfers);
    assert_eq!(
        (stored.reason.as_str(), stored.asked_by.as_str()),
        ("for a test", "service:checkout")
    );
    bench.laws_hold().await;
    other.stop().await;
    bench.stop().await;
}

async fn a_refused_id_stays_refused_also_by_another_process(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    let legs = || vec![hold("wallet:1", "seller", 10_001, None)];
    let first = bench.ask(1, legs()).await.unwrap().outcome;
    let Outcome::Refused { refusal, exists: false } = first else { panic!("{first:?}") };
    bench.post(2, vec![transfer("bank", "wallet:1", 500)]).await;
    let other = bench.beside().await;
    let again = other.ask(1, legs()).await.unwrap().outcome;
    assert_eq!(again, Outcome::Refused { refusal, exists: true });
    assert_eq!(store::find_hold(&bench.database, id(1).hold(0)).await.unwrap(), None);
    let stored = store::entry(&bench.database, id(1)).await.unwrap().unwrap();
    assert!(stored.known.answer.is_err() && stored.transfers.is_empty());
    bench.laws_hold().await;
    other.stop().await;
    bench.stop().await;
}

async fn one_hot_account_takes_many_entries_at_once(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    let all = (0..300_u128).map(|nth| {
        let wallet = format!("wallet:{}", nth % 10);
        // Each wallet has enough for 25 of 30.
        bench.ask(100 + nth, vec![transfer(&wallet, "seller", 400)])
    });
    let mut booked = 0;
    for answer in futures_join(all).await {
        match answer.unwrap().outcome {
            Outcome::Booked { exists: false, .. } => booked += 1,
            Outcome::Refused { refusal, .. } => {
                assert_eq!(refusal.reason().code(), "INSUFFICIENT_FUNDS")
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(booked, 250);
    assert_eq!(bench.balance("seller").await, 100_000);
    let found = bench.laws_hold().await;
    assert_eq!((found.transfers, found.accounts), (260, 13));
    bench.stop().await;
}

/// All of these at the same time, without a library for it.
async fn futures_join<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(move |context| {
        let mut ready = true;
        for (future, output) in &mut all {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if !ready {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(all.iter_mut().filter_map(|(_, output)| output.take()).collect())
    })
    .await
}

async fn a_balance_is_known_at_every_position(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    for nth in 0..20_u128 {
        bench.post(100 + nth, vec![transfer("wallet:1", "seller", 10)]).await;
        bench.post(200 + nth, vec![transfer("seller", "fees", 1)]).await;
    }
    let account = store::account(&bench.database, &name("seller")).await.unwrap().unwrap();
    let head = store::head(&bench.database).await.unwrap();
    assert_eq!((head.position, account.position), (50, 50));
    for position in 0..=60 {
        let then = store::account_at(&bench.database, &account, position).await.unwrap();
        // Ten transfers came before; then ten pence come and one goes, in turn.
        let steps = i64::try_from(position.clamp(10, 50) - 10).unwrap();
        let (came, gone) = (steps - steps / 2, steps / 2);
        assert_eq!(then.sums.balance(AccountKind::Liability), came * 10 - gone, "{position}");
        assert!(then.position <= position);
    }
    bench.stop().await;
}

async fn a_balance_is_known_at_every_instant(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    assert_eq!(
        store::position_at(&bench.database, Timestamp::from_micros(5)).await.unwrap(),
        0,
        "nothing is booked"
    );
    bench.shop().await;
    // Three at each instant, of which none is in between.
    for at in 1..=7_u128 {
        bench.clock.store(i64::try_from(at).unwrap() * 1_000, Ordering::SeqCst);
        for nth in 0..3 {
            bench.post(100 * at + nth, vec![transfer("wallet:1", "seller", 10)]).await;
        }
    }
    for (micros, expected) in [
        (-1, 0),
        (0, 10),
        (999, 10),
        (1_000, 13),
        (3_500, 19),
        (6_999, 28),
        (7_000, 31),
        (9_000, 31),
    ] {
        let found = store::position_at(&bench.database, Timestamp::from_micros(micros)).await;
        assert_eq!(found.unwrap(), expected, "{micros}");
    }
    bench.stop().await;
}

async fn accounts_and_entries_are_listed(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    bench.open("Wallet:upper", AccountKind::Liability, "GBP", Limit::None).await;
    let names = |accounts: Vec<ledger::domain::Account>| -> Vec<String> {
        accounts.into_iter().map(|account| account.terms.name.to_string()).collect()
    };
    let all = names(store::accounts(&bench.database, "", "", 100).await.unwrap());
    assert_eq!((all.len(), all[0].as_str(), all[1].as_str()), (14, "Wallet:upper", "bank"));
    let page = names(store::accounts(&bench.database, "wallet:", "wallet:6", 2).await.unwrap());
    assert_eq!(page, ["wallet:7", "wallet:8"]);
    // An entry that touches the account on both sides, and more than once, is listed once.
    for nth in 0..30_u128 {
        let legs = vec![
            transfer("wallet:1", "seller", 3),
            transfer("seller", "fees", 1),
            transfer("seller", "wallet:1", 1),
        ];
        bench.post(100 + nth, legs).await;
        bench.post(200 + nth, vec![transfer("bank", "fees", 1)]).await;
    }
    let seller = store::account(&bench.database, &name("seller")).await.unwrap().unwrap();
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let filter = EntryFilter { account: Some(&seller), before };
        let page = store::entries(&bench.database, filter, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        before = last.known.answer.as_ref().ok().map(|receipt| receipt.first);
        seen.extend(page.iter().map(|one| (one.id, one.transfers.len())));
    }
    let expected: Vec<_> = (0..30).rev().map(|nth| (id(100 + nth), 3)).collect();
    assert_eq!(seen, expected);
    let newest = store::entries(&bench.database, EntryFilter::default(), 1).await.unwrap();
    assert_eq!(newest[0].id, id(229));
    bench.stop().await;
}

async fn a_hold_expires_although_nobody_calls(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    bench.post(1, vec![hold("wallet:1", "seller", 10_000, Some(60))]).await;
    let held = id(1).hold(0);
    bench.clock.store(60_000_000, Ordering::SeqCst);
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let hold = store::find_hold(&bench.database, held).await.unwrap().unwrap();
        if hold.state == HoldState::Expired {
            break;
        }
        assert!(Instant::now() < patience, "{hold:?}");
        sleep(Duration::from_millis(20)).await;
    }
    let late = bench.ask(2, vec![Leg::Post { hold: held, amount: Some(gbp(1)) }]).await.unwrap();
    let Outcome::Refused { refusal, .. } = late.outcome else { panic!("{late:?}") };
    assert_eq!(refusal.reason().code(), "HOLD_ENDED");
    bench.post(3, vec![transfer("wallet:1", "seller", 10_000)]).await;
    bench.laws_hold().await;
    bench.stop().await;
}

/// Also where the clock goes back.
async fn nothing_is_dated_before_what_was_booked(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.clock.store(60_000_000, Ordering::SeqCst);
    bench.shop().await;
    bench.clock.store(5_000_000, Ordering::SeqCst);
    bench.open("late", AccountKind::Asset, "GBP", Limit::None).await;
    let head = store::head(&bench.database).await.unwrap();
    let late = store::account(&bench.database, &name("late")).await.unwrap().unwrap();
    assert_eq!((head.at.micros(), late.opened_at.micros()), (60_000_000, 60_000_000));
    bench.laws_hold().await;
    bench.stop().await;
}

/// In one batch, with different reasons and by different callers.
async fn of_two_requests_with_one_id_the_first_is_noted(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    let book = SqlBook::new(bench.database.clone(), Arc::new(|| Timestamp::from_micros(0)));
    let asked = |reason: &str| {
        let legs = vec![transfer("wallet:1", "seller", 5)];
        Entry::new(id(1), legs, reason.to_owned()).unwrap()
    };
    let other = AskedBy { role: "SERVICE".to_owned(), subject: "returns".to_owned() };
    let stop = CancellationToken::new();
    // Both wait in the queue before it runs.
    let asking = async {
        let both = tokio::join!(
            book.post(asked("the first"), by()),
            book.post(asked("the second"), other)
        );
        stop.cancel();
        both
    };
    let ((first, second), ()) = tokio::join!(asking, book.clone().run(stop.clone()));
    let first = first.unwrap().outcome;
    assert!(matches!(first, Outcome::Booked { exists: false, .. }), "{first:?}");
    assert_eq!(second.unwrap().outcome, Outcome::OtherContent);
    let stored = store::entry(&bench.database, id(1)).await.unwrap().unwrap();
    let noted = (stored.reason.as_str(), stored.asked_by.as_str());
    assert_eq!(noted, ("the first", "service:checkout"));
    bench.laws_hold().await;
    bench.stop().await;
}

async fn an_operator_leaves_a_record(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    let anna = || AskedBy { role: "OPS".to_owned(), subject: "anna".to_owned() };
    let terms = NewAccount {
        name: name("suspense"),
        kind: AccountKind::Asset,
        currency: "GBP".parse().unwrap(),
        limit: Limit::None,
    };
    for _ in 0..2 {
        let opened = bench.book.open(terms.clone(), anna(), "lost line".to_owned()).await.unwrap();
        assert!(matches!(opened, Opened::Open { .. }));
        let legs = vec![transfer("suspense", "bank", 5)];
        bench.book.post(entry(1, legs), anna()).await.unwrap();
        let refused = vec![transfer("wallet:1", "bank", 50_000)];
        bench.book.post(entry(2, refused), anna()).await.unwrap();
    }
    let asked = ActionsAsked { limit: 100, ..ActionsAsked::default() };
    let mut actions = OperatorAction::list(&bench.database, &asked).await.unwrap();
    actions.sort_by(|one, other| one.verb.cmp(&other.verb));
    let told: Vec<_> = actions
        .iter()
        .map(|one| (one.verb.as_str(), one.kind.as_str(), one.after.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("OPEN_ACCOUNT", "LEDGER", "ASSET GBP NONE"),
            ("POST_ENTRY", "LEDGER", "position 11, 1 transfers")
        ]
    );
    assert_eq!(actions[1].target, id(1).to_string());
    assert_eq!(by().to_string(), "service:checkout");
    bench.stop().await;
}

async fn the_book_refuses_to_be_rewritten(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    bench.post(1, vec![hold("wallet:1", "seller", 5, None)]).await;
    for sql in [
        "UPDATE transfers SET amount = 1",
        "DELETE FROM transfers",
        "UPDATE entries SET reason = 'x'",
        "DELETE FROM entries",
        "DELETE FROM accounts",
        "UPDATE accounts SET bound = 'NONE'",
        "DELETE FROM holds",
        // The checks repeat the limits.
        "UPDATE accounts SET debits_posted = 20000 WHERE name = 'wallet:1'",
        "UPDATE holds SET posted = 6",
    ] {
        let mut tx = bench.database.begin().await.unwrap();
        let refused = sqlx::query(sql).execute(&mut *tx).await;
        assert!(refused.is_err(), "{sql}");
    }
    bench.laws_hold().await;
    bench.stop().await;
}
