//! After the journal was set back, unsent messages are dropped and sent ones are not repeated.

use std::collections::HashSet;
use std::time::Duration;

use notification::Channel;
use notification::ledger::{self, Entry, State};
use shared_events::contract::{Fact, Timestamp};
use shared_events::stream::{Cursors, Dialect, Handler as _};

use crate::support::{Bench, delivered, placed, start};

const CLAIMED_FOR: Duration = Duration::from_secs(180);

async fn claim(bench: &Bench, now: Timestamp, limit: u32) -> Vec<Entry> {
    let until = now.plus(CLAIMED_FOR);
    ledger::claim(&bench.database, Channel::Email, now, until, limit).await.unwrap()
}

/// The journal of shard 0 was set back to `position`.
async fn set_back(bench: &Bench, position: u64) {
    let mut follower = bench.service.follower();
    let mut tx = bench.database.begin().await.unwrap();
    let (from, to) = ([(0, 1_000)], [(0, position)]);
    let (from, to) = (Cursors::from_iter(from), Cursors::from_iter(to));
    follower.set_back(&mut tx, &from, &to).await.unwrap();
    tx.commit().await.unwrap();
    follower.committed();
}

async fn states(bench: &Bench) -> Vec<(i64, State, bool)> {
    let entries = bench.entries().await;
    entries.iter().map(|entry| (entry.serial, entry.state, entry.gone)).collect()
}

async fn due(bench: &Bench) -> HashSet<i64> {
    ledger::due(&bench.database).await.unwrap()
}

async fn published(bench: &Bench) -> i64 {
    let sql = "SELECT COUNT(*) FROM outbox";
    sqlx::query_scalar(sql).fetch_one(bench.database.reader()).await.unwrap()
}

/// Messages in each state (delivered, retrying, two being sent, failed, queued), and one whose fact
/// remains.
async fn one_of_each(dialect: Dialect) -> (Bench, Vec<Fact>, Vec<Entry>) {
    let bench = Bench::on(dialect, |_| {}).await;
    let facts: Vec<Fact> = (1..=7).map(placed).collect();
    bench.follow(&facts).await;
    let taken = claim(&bench, start(), 6).await;
    let database = &bench.database;
    delivered(database, &taken[1..2], start()).await.unwrap();
    let later = Some(start().plus(Duration::from_secs(30)));
    ledger::failed(database, &taken[2], "not now", start(), later).await.unwrap();
    ledger::failed(database, &taken[5], "no", start(), None).await.unwrap();
    let queued = bench.entries().await.pop().unwrap();
    let held = vec![taken[3].clone(), taken[4].clone(), queued];
    ledger::unavailable(database, &[&taken[0]], "unavailable", Some(start()), start())
        .await
        .unwrap();
    let expected = [
        (1, State::RetryAt, false),
        (2, State::Delivered, false),
        (3, State::RetryAt, false),
        (4, State::Sending, false),
        (5, State::Sending, false),
        (6, State::Failed, false),
        (7, State::Queued, false),
    ];
    assert_eq!(states(&bench).await, expected);
    set_back(&bench, 1).await;
    let expected = [
        (1, State::RetryAt, false),
        (2, State::Delivered, true),
        (4, State::Sending, true),
        (5, State::Sending, true),
        (6, State::Failed, true),
    ];
    assert_eq!(states(&bench).await, expected);
    assert_eq!(due(&bench).await, HashSet::from([1, 4, 5]));
    (bench, facts, held)
}

async fn a_message_in_flight_is_not_retried_and_keeps_its_serial(dialect: Dialect) {
    let (bench, facts, held) = one_of_each(dialect).await;
    let database = &bench.database;
    // A new message has the serial of a dropped one; a report about the old one does not affect it.
    bench.follow(&[placed(20)]).await;
    let taken = claim(&bench, start(), 9).await;
    assert_eq!(taken.iter().map(|entry| entry.serial).collect::<Vec<_>>(), [1, 7]);
    let dropped = &held[2..];
    assert!(dropped[0].serial == 7 && dropped[0].id != taken[1].id);
    delivered(database, dropped, start()).await.unwrap();
    ledger::failed(database, &dropped[0], "no", start(), None).await.unwrap();
    ledger::failed(database, &dropped[0], "no", start(), Some(start())).await.unwrap();
    ledger::unavailable(database, &[&dropped[0]], "unavailable", Some(start()), start())
        .await
        .unwrap();
    assert_eq!(states(&bench).await.last(), Some(&(7, State::Sending, false)));
    assert_eq!(published(&bench).await, 1);
    delivered(database, &taken, start()).await.unwrap();
    assert_eq!(published(&bench).await, 3);

    // Messages in flight finish and are not retried.
    ledger::unavailable(database, &[&held[0]], "unavailable", Some(start()), start())
        .await
        .unwrap();
    ledger::failed(database, &held[1], "not now", start(), Some(start())).await.unwrap();
    assert_eq!(due(&bench).await, HashSet::new());
    let entries = bench.entries().await;
    let given_up: Vec<_> = entries.iter().filter(|entry| [4, 5].contains(&entry.serial)).collect();
    assert!(given_up.iter().all(|entry| entry.state == State::Failed && entry.gone));
    assert_eq!(given_up[0].last_error, "the journal was set back; unavailable");
    assert_eq!(given_up[1].last_error, "the journal was set back; not now");

    // If its fact comes back, a failed message is due again; a delivered one is not.
    bench.follow(&[facts[1].clone(), facts[3].clone()]).await;
    let now = states(&bench).await;
    assert!(now.contains(&(2, State::Delivered, false)), "{now:?}");
    assert!(now.contains(&(4, State::Queued, false)), "{now:?}");
    assert_eq!(due(&bench).await, HashSet::from([4]));
    bench.stop().await;
}

async fn a_message_sent_after_a_set_back_is_published(dialect: Dialect) {
    let (bench, facts, held) = one_of_each(dialect).await;
    delivered(&bench.database, &held[..1], start()).await.unwrap();
    assert_eq!(published(&bench).await, 2);
    // The process that was sending the other died: it is not sent again.
    let later = start().plus(CLAIMED_FOR);
    let taken = claim(&bench, later, 9).await;
    assert_eq!(taken.iter().map(|entry| entry.serial).collect::<Vec<_>>(), [1]);
    let now = states(&bench).await;
    assert!(now.contains(&(4, State::Delivered, true)), "{now:?}");
    assert!(now.contains(&(5, State::Failed, true)), "{now:?}");
    assert_eq!(due(&bench).await, HashSet::from([1]));
    // If its fact comes back while it is being sent, it is a normal message again.
    bench.follow(&facts[4..5]).await;
    let taken = claim(&bench, later, 9).await;
    set_back(&bench, 0).await;
    bench.follow(&facts[4..5]).await;
    ledger::failed(&bench.database, &taken[0], "not now", start(), Some(later)).await.unwrap();
    assert!(states(&bench).await.contains(&(5, State::RetryAt, false)));
    assert_eq!(due(&bench).await, HashSet::from([1, 5]));
    bench.stop().await;
}

#[tokio::test]
async fn a_message_in_flight_is_not_retried_and_keeps_its_serial_on_sqlite() {
    a_message_in_flight_is_not_retried_and_keeps_its_serial(Dialect::Sqlite).await;
}

#[tokio::test]
async fn a_message_in_flight_is_not_retried_and_keeps_its_serial_on_postgres() {
    a_message_in_flight_is_not_retried_and_keeps_its_serial(Dialect::Postgres).await;
}

#[tokio::test]
async fn a_message_sent_after_a_set_back_is_published_on_sqlite() {
    a_message_sent_after_a_set_back_is_published(Dialect::Sqlite).await;
}

#[tokio::test]
async fn a_message_sent_after_a_set_back_is_published_on_postgres() {
    a_message_sent_after_a_set_back_is_published(Dialect::Postgres).await;
}

/// Claims, reports and drops lock `due` before `notifications`, so they cannot deadlock.
#[tokio::test]
async fn dropping_and_reporting_do_not_deadlock() {
    let bench = Bench::on(Dialect::Postgres, |_| {}).await;
    let facts: Vec<Fact> = (1..=400).map(placed).collect();
    bench.follow(&facts).await;
    let send = async || {
        loop {
            let taken = claim(&bench, start(), 8).await;
            let Some((first, rest)) = taken.split_first() else { break };
            ledger::unavailable(
                &bench.database,
                &[first],
                "unavailable",
                Some(start()),
                start().plus(CLAIMED_FOR),
            )
            .await?;
            delivered(&bench.database, rest, start()).await?;
        }
        Ok::<_, shared_events::stream::DatabaseError>(())
    };
    let drop_all = async {
        for position in (0..=400).rev().step_by(20) {
            set_back(&bench, position).await;
        }
    };
    let (one, other, ()) = tokio::join!(send(), send(), drop_all);
    one.unwrap();
    other.unwrap();
    let entries = bench.entries().await;
    assert!(entries.iter().all(|entry| entry.gone && !entry.state.is_open()), "{entries:?}");
    assert_eq!(due(&bench).await, HashSet::new());
    bench.stop().await;
}
