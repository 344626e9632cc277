//! The log of a message's tries, through gRPC: when each ended, and why it failed.

use std::time::Duration;

use notification::Channel;
use notification::grpc::proto;
use notification::ledger::{self, Entry, State, TRIES_MAX};
use shared_events::contract::Timestamp;
use shared_events::stream::Dialect;

use crate::delivery::{client, receiver};
use crate::support::{Bench, hook, placed, start};

/// The tries of the only webhook call, as `GetNotification` has them.
async fn tries(bench: &Bench) -> Vec<(i64, String)> {
    let entries = bench.entries().await;
    let hook = entries.iter().find(|entry| entry.channel == Channel::Webhook).unwrap();
    let mut client = client(bench).await;
    let request = proto::GetNotificationRequest { notification_id: hook.id.to_string() };
    let answer = client.get_notification(request).await.unwrap().into_inner();
    let tries = answer.notification.unwrap().tries.into_iter();
    tries.map(|one| (one.at.unwrap().seconds, one.error)).collect()
}

fn hook_is(entries: &[Entry], state: State, attempts: u32) -> bool {
    let mut hooks = entries.iter().filter(|entry| entry.channel == Channel::Webhook);
    hooks.all(|entry| entry.state == state && entry.attempts == attempts)
}

async fn each_try_is_kept_with_its_time_and_error(dialect: Dialect) {
    let (url, _received) = receiver(vec![503, 429, 204]).await;
    let mut bench = Bench::on(dialect, |config| config.webhooks = vec![hook(url)]).await;
    bench.follow(&[placed(1)]).await;
    assert_eq!(tries(&bench).await, []);
    bench.deliver();
    bench.until(|entries| hook_is(entries, State::RetryAt, 1)).await;
    bench.advance(Duration::from_secs(3_600));
    bench.follow(&[]).await;
    bench.until(|entries| hook_is(entries, State::RetryAt, 2)).await;
    bench.advance(Duration::from_secs(3_600));
    bench.follow(&[]).await;
    bench.until(|entries| hook_is(entries, State::Delivered, 3)).await;
    let first = start().micros() / 1_000_000;
    let expected = [
        (first, "webhook: answered 503"),
        (first + 3_600, "webhook: answered 429"),
        (first + 7_200, ""),
    ];
    assert_eq!(tries(&bench).await, expected.map(|(at, error)| (at, error.to_owned())));
    // Lists have none.
    let list = proto::ListNotificationsRequest::default();
    let listed = client(&bench).await.list_notifications(list).await.unwrap().into_inner();
    assert!(listed.notifications.iter().all(|one| one.tries.is_empty()));
    bench.stop().await;
}

/// A message that is tried for days keeps the newest tries.
async fn the_newest_tries_are_kept(dialect: Dialect) {
    let bench = Bench::on(dialect, |_| {}).await;
    bench.follow(&[placed(1)]).await;
    let database = &bench.database;
    let at = |hours: u32| start().plus(Duration::from_secs(3_600) * hours);
    let claim = async |now: Timestamp| {
        ledger::claim(database, Channel::Email, now, now, 1).await.unwrap().remove(0)
    };
    for hour in 0..30 {
        let entry = claim(at(hour)).await;
        let (error, next) = (format!("smtp: deferred: {hour}"), at(hour + 1));
        // Those of an unavailable server and of unknown outcome are tries, too.
        match hour % 3 {
            0 => ledger::failed(database, &entry, &error, at(hour), Some(next)).await.unwrap(),
            1 => ledger::in_doubt(database, &entry, &error, at(hour), next).await.unwrap(),
            _ => {
                let entries = [&entry];
                ledger::unavailable(database, &entries, &error, Some(at(hour)), next)
                    .await
                    .unwrap();
            }
        }
    }
    let entry = bench.entries().await.remove(0);
    let errors: Vec<&str> = entry.tries.iter().map(|one| one.error.as_str()).collect();
    let expected: Vec<String> = (10..30).map(|hour| format!("smtp: deferred: {hour}")).collect();
    assert_eq!((errors.len(), errors), (TRIES_MAX, expected.iter().map(String::as_str).collect()));
    assert!(entry.tries.iter().map(|one| one.at).eq((10..30).map(at)));
    // What was claimed and not begun is no try, and the last one is in the log of a failed message.
    let taken = claim(at(30)).await;
    ledger::unavailable(database, &[&taken], "not sent", None, at(31)).await.unwrap();
    let taken = claim(at(31)).await;
    assert_eq!(taken.tries, entry.tries);
    ledger::failed(database, &taken, "smtp: refused: 550", at(31), None).await.unwrap();
    let entry = ledger::get(database.reader(), taken.id).await.unwrap().unwrap();
    assert_eq!((entry.state, entry.tries.len()), (State::Failed, TRIES_MAX));
    let last = entry.tries.last().unwrap();
    assert_eq!((last.at, last.error.as_str()), (at(31), "smtp: refused: 550"));
    bench.stop().await;
}

#[tokio::test]
async fn each_try_is_kept_with_its_time_and_error_on_sqlite() {
    each_try_is_kept_with_its_time_and_error(Dialect::Sqlite).await;
}

#[tokio::test]
async fn each_try_is_kept_with_its_time_and_error_on_postgres() {
    each_try_is_kept_with_its_time_and_error(Dialect::Postgres).await;
}

#[tokio::test]
async fn the_newest_tries_are_kept_on_sqlite() {
    the_newest_tries_are_kept(Dialect::Sqlite).await;
}

#[tokio::test]
async fn the_newest_tries_are_kept_on_postgres() {
    the_newest_tries_are_kept(Dialect::Postgres).await;
}
