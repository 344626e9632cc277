//! The ledger does not answer, or a server breaks off: nothing leaves twice for that, nothing is asked for
//! days, and the process comes to its end.

use std::time::Duration;

use notification::ledger::{Entry, State};
use notification::{Channel, Mail};
use shared_events::contract::Fact;
use shared_events::stream::Dialect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::delivery::{receiver, silent};
use crate::support::{Bench, free_port, hook, placed};

async fn change(bench: &Bench, sql: &str) {
    let mut tx = bench.database.begin().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

fn hooks(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| entry.channel == Channel::Webhook)
}

async fn what_left_and_could_not_be_written_down_does_not_leave_again(dialect: Dialect) {
    let (url, mut received) = receiver(vec![204; 40]).await;
    let mut bench = Bench::on(dialect, |config| config.webhook = Some(hook(url))).await;
    let facts: Vec<Fact> = (1..=10).map(placed).collect();
    bench.follow(&facts).await;
    change(&bench, "ALTER TABLE outbox RENAME TO outbox_away").await;
    bench.deliver();
    let mut posted = 0;
    let all = async {
        while posted < 10 {
            received.recv().await.unwrap();
            posted += 1;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("all leave");
    // It is longer than anybody waits for a process that died, again and again.
    for times in 2..=4 {
        bench.advance(Duration::from_secs(200));
        bench.until(|entries| hooks(entries).all(|entry| entry.attempts >= times)).await;
    }
    assert!(hooks(&bench.entries().await).all(|entry| entry.state == State::Sending));
    change(&bench, "ALTER TABLE outbox_away RENAME TO outbox").await;
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::Delivered)).await;
    let bench = bench.ended().await;
    assert!(received.try_recv().is_err(), "one left twice");
    let told: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox")
        .fetch_one(bench.database.reader())
        .await
        .unwrap();
    assert_eq!(told, 20);
}

async fn a_ledger_that_does_not_answer_holds_up_no_end(dialect: Dialect) {
    let url = silent().await;
    let mut bench = Bench::on(dialect, |config| config.mail = Mail::Smtp(url)).await;
    let facts: Vec<Fact> = (1..=20).map(placed).collect();
    bench.follow(&facts).await;
    bench.deliver();
    let sending = |entry: &Entry| entry.state == State::Sending;
    bench.until(|entries| entries.iter().all(sending)).await;
    let database = bench.database.clone();
    let mut tx = database.begin().await.unwrap();
    sqlx::query("UPDATE due SET at = at").execute(&mut *tx).await.unwrap();
    let told = std::time::Instant::now();
    let bench = bench.ended().await;
    assert!(told.elapsed() < Duration::from_secs(7), "{:?}", told.elapsed());
    tx.rollback().await.unwrap();
    // Due again when their time is up.
    assert!(bench.entries().await.iter().all(sending));
    bench.stop().await;
}

/// Takes what it is sent, says at most this, and hangs up.
async fn hangs_up(greeting: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for _ in 0..100 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(greeting.as_bytes()).await;
            let _ = stream.read(&mut [0; 16_384]).await;
        }
    });
    port
}

/// Who broke off may have taken it: it is not asked for days. Who could not be reached has not.
#[tokio::test]
async fn only_who_cannot_be_connected_to_is_waited_for_and_costs_no_try() {
    for (http, smtp, attempts) in [
        (free_port(), free_port(), 0),
        (hangs_up("").await, hangs_up("220 mail.example.org\r\n").await, 1),
    ] {
        let mut bench = Bench::on(Dialect::Sqlite, |config| {
            config.webhook = Some(hook(format!("http://127.0.0.1:{http}/hook")));
            config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{smtp}"));
        })
        .await;
        bench.follow(&[placed(1)]).await;
        bench.deliver();
        let tried = |entry: &Entry| entry.state == State::RetryAt;
        bench.until(|entries| entries.len() == 2 && entries.iter().all(tried)).await;
        let entries = bench.entries().await;
        assert!(entries.iter().all(|entry| entry.attempts == attempts), "{attempts} {entries:?}");
        bench.stop().await;
    }
}

/// It has taken its time for each of a few tries, which count.
#[tokio::test]
async fn a_server_that_never_comes_to_an_end_is_not_asked_for_days() {
    let url = silent().await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(url);
        config.timeout = Duration::from_millis(100);
        config.attempts_max = 2;
    })
    .await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::RetryAt)).await;
    bench.advance(Duration::from_secs(600));
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::Failed)).await;
    let entry = bench.entries().await.remove(0);
    assert_eq!((entry.attempts, entry.last_error.as_str()), (2, "no end in time"));
    bench.stop().await;
}

/// Its claim would be over before the try is: somebody else may have begun it by then.
#[tokio::test]
async fn a_turn_that_comes_too_late_is_given_back_and_costs_no_try() {
    let url = silent().await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(url);
        config.timeout = Duration::from_secs(1);
        config.attempts_max = 1;
    })
    .await;
    let facts: Vec<Fact> = (1..=9).map(placed).collect();
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::Sending)).await;
    bench.advance(Duration::from_secs(179));
    // Eight were under way, and that was their only try. The ninth has its own.
    let failed = |entry: &Entry| entry.state == State::Failed;
    bench.until(|entries| entries.iter().filter(|entry| failed(entry)).count() == 8).await;
    let ninth = bench.entries().await.into_iter().find(|entry| !failed(entry)).unwrap();
    assert!(ninth.attempts <= 1);
    bench.until(|entries| entries.iter().all(|entry| failed(entry) && entry.attempts == 1)).await;
    bench.stop().await;
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::Dialect::Sqlite).await; })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::Dialect::Postgres).await; })*
        }
    };
}

on_both! {
    what_left_and_could_not_be_written_down_does_not_leave_again
    a_ledger_that_does_not_answer_holds_up_no_end
}
