//! The ledger does not answer, or a server drops the connection: nothing is sent twice, attempts
//! stay limited, and the process still stops.

use std::time::Duration;

use notification::ledger::{Entry, State};
use notification::{Channel, Mail};
use shared_events::contract::Fact;
use shared_events::stream::Dialect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::delivery::{receiver, silent};
use crate::on_both::on_both;
use crate::support::{Bench, PATIENCE, free_port, hook, placed};

async fn change(bench: &Bench, sql: &str) {
    let mut tx = bench.database.begin().await.unwrap();
    sqlx::query(sql).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

fn hooks(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| entry.channel == Channel::Webhook)
}

async fn a_sent_message_that_cannot_be_recorded_is_not_sent_again(dialect: Dialect) {
    let (url, mut received) = receiver(vec![204; 40]).await;
    let mut bench = Bench::on(dialect, |config| config.webhooks = vec![hook(url)]).await;
    let facts: Vec<Fact> = (1..=10).map(placed).collect();
    bench.follow(&facts).await;
    change(&bench, "ALTER TABLE outbox RENAME TO outbox_hidden").await;
    bench.deliver();
    let mut posted = 0;
    let all = async {
        while posted < 10 {
            received.recv().await.unwrap();
            posted += 1;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all are sent");
    // Longer than a claim lasts, several times.
    for times in 2..=4 {
        bench.advance(Duration::from_secs(200));
        bench.until(|entries| hooks(entries).all(|entry| entry.attempts >= times)).await;
    }
    assert!(hooks(&bench.entries().await).all(|entry| entry.state == State::Sending));
    change(&bench, "ALTER TABLE outbox_hidden RENAME TO outbox").await;
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::Delivered)).await;
    let bench = bench.stopped().await;
    assert!(received.try_recv().is_err(), "a message was sent twice");
    let published: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox")
        .fetch_one(bench.database.reader())
        .await
        .unwrap();
    assert_eq!(published, 20);
}

async fn a_blocked_ledger_does_not_block_shutdown(dialect: Dialect) {
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
    let stopping = tokio::time::Instant::now();
    let bench = tokio::time::timeout(PATIENCE, bench.stopped()).await.expect("it never stops");
    // It gives up after 5 s; a mail would after 15 s, and the ledger is kept until the end of this
    // test.
    assert!(stopping.elapsed() < Duration::from_secs(9), "{:?}", stopping.elapsed());
    tx.rollback().await.unwrap();
    // They are due again when their claims expire.
    assert!(bench.entries().await.iter().all(sending));
    bench.stop().await;
}

/// Sends a greeting, reads once and closes the connection.
async fn hangs_up(greeting: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    shared_events::stream::spawn(async move {
        for _ in 0..100 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(greeting.as_bytes()).await;
            let _ = stream.read(&mut [0; 16_384]).await;
        }
    });
    port
}

/// A server that drops the connection may have accepted the message; one that cannot be reached has
/// not.
#[tokio::test]
async fn only_a_failed_connection_costs_no_attempt() {
    for (http, smtp, attempts) in [
        (free_port(), free_port(), 0),
        (hangs_up("").await, hangs_up("220 mail.example.org\r\n").await, 1),
    ] {
        let mut bench = Bench::on(Dialect::Sqlite, |config| {
            config.webhooks = vec![hook(format!("http://127.0.0.1:{http}/hook"))];
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

/// Each try times out and counts.
#[tokio::test]
async fn a_hanging_server_uses_up_the_attempts() {
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
    assert_eq!((entry.attempts, entry.last_error.as_str()), (2, "timeout"));
    bench.stop().await;
}

/// Its claim would expire before the try could finish, and another process could then send it too.
#[tokio::test]
async fn a_claim_that_expires_before_sending_costs_no_attempt() {
    let url = silent().await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(url);
        // Longer than it takes to set the clock.
        config.timeout = Duration::from_secs(5);
        config.attempts_max = 1;
    })
    .await;
    let facts: Vec<Fact> = (1..=9).map(placed).collect();
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::Sending)).await;
    bench.advance(Duration::from_secs(179));
    // Eight were in flight, and that was their only try. The ninth still has its own.
    let failed = |entry: &Entry| entry.state == State::Failed;
    bench.until(|entries| entries.iter().filter(|entry| failed(entry)).count() == 8).await;
    let ninth = bench.entries().await.into_iter().find(|entry| !failed(entry)).unwrap();
    assert!(ninth.attempts <= 1);
    bench.until(|entries| entries.iter().all(|entry| failed(entry) && entry.attempts == 1)).await;
    bench.stop().await;
}

on_both! {
    a_sent_message_that_cannot_be_recorded_is_not_sent_again
    a_blocked_ledger_does_not_block_shutdown
}
