//! Planted damage, and the law that names it.

use ledger::domain::Leg;
use ledger::{BookLaw, audit};
use shared_events::stream::Dialect;

use crate::on_both::on_both;
use crate::support::{Bench, hold, id, transfer};

on_both![two_threads: each_law_names_the_damage];

async fn each_law_names_the_damage(dialect: Dialect) {
    let forged = "UPDATE accounts SET debits_posted = debits_posted + 5,
                         credits_posted = credits_posted + 5 WHERE name = 'seller'";
    for (sql, law, subject) in [
        (
            "UPDATE transfers SET amount = amount + 1 WHERE position = 12",
            BookLaw::Chain,
            "transfer/12",
        ),
        ("UPDATE transfers SET at = at + 1 WHERE position = 5", BookLaw::Chain, "transfer/5"),
        (
            "UPDATE entries SET fingerprint = (SELECT hash FROM book) WHERE first = 5",
            BookLaw::Chain,
            "transfer/5",
        ),
        ("DELETE FROM transfers WHERE position = 11", BookLaw::Chain, "transfer/12"),
        ("UPDATE book SET position = 17", BookLaw::Chain, "book"),
        ("DELETE FROM transfers WHERE position = 13", BookLaw::Balanced, "entry/"),
        ("DELETE FROM entries WHERE first = 11", BookLaw::Balanced, "entry/"),
        (
            "UPDATE accounts SET debits_posted = debits_posted + 5 WHERE name = 'bank'",
            BookLaw::Balanced,
            "currency/GBP",
        ),
        (forged, BookLaw::Balances, "account/seller"),
        (
            "UPDATE transfers SET d_dp = d_dp + 1 WHERE position = 12",
            BookLaw::Balances,
            "transfer/12",
        ),
        (
            "UPDATE accounts SET bound = 'CREDITS_WITHIN_DEBITS' WHERE name = 'seller'",
            BookLaw::Limits,
            "transfer/",
        ),
        ("UPDATE holds SET posted = 1 WHERE state = 'POSTED'", BookLaw::Holds, "hold/"),
        ("UPDATE holds SET expires_at = 5", BookLaw::Holds, "hold/"),
        ("DELETE FROM holds", BookLaw::Holds, "hold/"),
        ("UPDATE book SET at = at + 1", BookLaw::Chain, "book"),
        ("UPDATE book SET accounts = accounts + 1", BookLaw::Chain, "book"),
    ] {
        let bench = Bench::on(dialect).await;
        bench.shop().await;
        let legs = vec![transfer("wallet:1", "seller", 50), transfer("wallet:2", "seller", 50)];
        bench.post(1, legs).await; // 11, 12
        bench.post(2, vec![hold("wallet:3", "seller", 50, None)]).await; // 13
        bench.post(3, vec![Leg::Post { hold: id(2).hold(0), amount: None }]).await; // 14
        bench.laws_hold().await;
        unlock(&bench, dialect).await;
        let mut tx = bench.database.begin().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let found = audit(&bench.database).await.unwrap().findings;
        let named = found.iter().any(|one| one.law == law && one.subject.starts_with(subject));
        assert!(named, "{sql}: {found:#?}");
        bench.stop().await;
    }
}

/// Takes away what refuses changes.
async fn unlock(bench: &Bench, dialect: Dialect) {
    let all: &[&str] = match dialect {
        Dialect::Postgres => &[
            "ALTER TABLE transfers DISABLE TRIGGER ALL",
            "ALTER TABLE entries DISABLE TRIGGER ALL",
            "ALTER TABLE holds DISABLE TRIGGER ALL",
            "ALTER TABLE accounts DISABLE TRIGGER ALL",
            "ALTER TABLE accounts DROP CONSTRAINT accounts_check1",
        ],
        Dialect::Sqlite => &[
            "DROP TRIGGER transfers_refuse_update",
            "DROP TRIGGER transfers_refuse_delete",
            "DROP TRIGGER entries_refuse_update",
            "DROP TRIGGER entries_refuse_delete",
            "DROP TRIGGER holds_refuse_delete",
            "DROP TRIGGER terms_refuse_update",
            "PRAGMA ignore_check_constraints = 1",
        ],
    };
    let mut tx = bench.database.begin().await.unwrap();
    for sql in all {
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}
