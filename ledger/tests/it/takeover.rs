//! Several processes and lost connections: nothing is booked twice, nothing half.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::BookError;
use ledger::domain::Outcome;
use shared_events::stream::Dialect;

use crate::on_both::on_both;
use crate::support::{Bench, transfer};

on_both![two_threads:
    two_processes_book_each_entry_once,
    a_superseded_writer_books_on_what_it_reads_anew,
    who_keeps_the_book_too_long_makes_it_unavailable_and_loses_nothing,
];

/// Both send the same entries at the same time.
async fn two_processes_book_each_entry_once(dialect: Dialect) {
    let one = Bench::on(dialect).await;
    one.shop().await;
    let other = one.beside().await;
    let send = |bench: &Bench| {
        let book = bench.book.clone();
        shared_events::stream::spawn(async move {
            use ledger::Book as _;
            let (mut new, mut repeated) = (0, 0);
            for nth in 0..150_u128 {
                let wallet = format!("wallet:{}", nth % 10);
                let entry = crate::support::entry(100 + nth, vec![transfer(&wallet, "seller", 7)]);
                match book.post(entry, crate::support::by()).await.unwrap().outcome {
                    Outcome::Booked { exists: false, .. } => new += 1,
                    Outcome::Booked { exists: true, .. } => repeated += 1,
                    other => panic!("{other:?}"),
                }
            }
            (new, repeated)
        })
    };
    let (first, second) = (send(&one), send(&other));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.0 + second.0, first.1 + second.1), (150, 150));
    assert_eq!(one.balance("seller").await, 1_050);
    assert_eq!(one.laws_hold().await.transfers, 160);
    other.stop().await;
    one.stop().await;
}

/// What a writer knew before another one wrote decides nothing.
async fn a_superseded_writer_books_on_what_it_reads_anew(dialect: Dialect) {
    let one = Bench::on(dialect).await;
    one.shop().await;
    let epoch = async || -> i64 {
        let row: (i64,) = sqlx::query_as("SELECT epoch FROM book")
            .fetch_one(one.database.reader())
            .await
            .unwrap();
        row.0
    };
    assert_eq!(epoch().await, 1);
    let other = one.beside().await;
    other.post(1, vec![transfer("wallet:1", "seller", 10_000)]).await;
    assert_eq!(epoch().await, 2);
    let refused = one.ask(2, vec![transfer("wallet:1", "seller", 1)]).await.unwrap().outcome;
    assert!(matches!(refused, Outcome::Refused { .. }), "{refused:?}");
    assert_eq!(epoch().await, 3);
    one.laws_hold().await;
    other.stop().await;
    one.stop().await;
}

async fn who_keeps_the_book_too_long_makes_it_unavailable_and_loses_nothing(dialect: Dialect) {
    let bench = Bench::on(dialect).await;
    bench.shop().await;
    let mut kept = bench.database.begin().await.unwrap();
    sqlx::query("UPDATE book SET epoch = epoch").execute(&mut *kept).await.unwrap();
    let legs = || vec![transfer("wallet:1", "seller", 7)];
    // The wait for the lock ends after 5 s, before the writer's own patience of 10 s.
    let answer = tokio::time::timeout(std::time::Duration::from_secs(9), bench.ask(1, legs()));
    assert_eq!(answer.await.expect("it waits too long"), Err(BookError::Unavailable));
    kept.rollback().await.unwrap();
    bench.post(1, legs()).await;
    assert_eq!(bench.balance("seller").await, 7);
    bench.laws_hold().await;
    bench.stop().await;
}

/// Connections are cut while entries are booked; whoever got no answer sends the same again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_booked_once_though_connections_are_cut() {
    let bench = Bench::on(Dialect::Postgres).await;
    bench.shop().await;
    let hit = Arc::new(AtomicBool::new(false));
    let cut = {
        let (database, amid) = (bench.database.clone(), Arc::clone(&hit));
        let session = database.session_name().to_owned();
        let url = std::env::var("ORDINAL_TEST_POSTGRES").unwrap();
        shared_events::stream::spawn(async move {
            let own = sqlx::any::AnyPoolOptions::new().connect(&url).await.unwrap();
            // At least so many, and until one has hit what was booked.
            let mut cuts = 0;
            while cuts < 20 || !amid.load(Ordering::Relaxed) {
                cuts += 1;
                assert!(cuts < 6_000, "nothing was cut while it was booked");
                sqlx::query(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE application_name = $1",
                )
                .bind(&session)
                .execute(&own)
                .await
                .unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        })
    };
    let mut booked = 0_u32;
    while booked < 200 || !hit.load(Ordering::Relaxed) {
        assert!(booked < 10_000, "nothing was cut while it was booked");
        let wallet = format!("wallet:{}", booked % 10);
        match bench.ask(10_000 + u128::from(booked), vec![transfer(&wallet, "seller", 7)]).await {
            Ok(posted) => {
                assert!(matches!(posted.outcome, Outcome::Booked { .. }), "{posted:?}");
                booked += 1;
            }
            Err(error) => {
                assert_eq!(error, BookError::Unavailable);
                hit.store(true, Ordering::Relaxed);
            }
        }
    }
    cut.await.unwrap();
    assert_eq!(bench.balance("seller").await, 7 * i64::from(booked));
    assert_eq!(bench.laws_hold().await.transfers, 10 + u64::from(booked));
    bench.stop().await;
}
