//! Deferred messages are retried for as long as the settings say, with growing delays; permanently
//! refused ones are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use notification::ledger::{self, Entry, State};
use notification::{Channel, Mail};
use shared_events::contract::{Contact, Fact, FactBody, OrderFact};
use shared_events::stream::Dialect;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::delivery::{receiver, receiver_with_header};
use crate::support::{Bench, hook, placed, start};

/// A mail server with these answers to RCPT and AUTH. Returns its port, how often it sent them, and
/// the lines it received.
async fn smtp_server(
    rcpt: &'static str,
    auth: &'static str,
) -> (u16, Arc<AtomicUsize>, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    shared_events::stream::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (sender, count) = (sender.clone(), Arc::clone(&count));
            shared_events::stream::spawn(async move {
                let (reader, mut writer) = stream.into_split();
                let mut lines = BufReader::new(reader).lines();
                let mut answer = "220 mail.example.org".to_owned();
                let mut in_data = false;
                loop {
                    if !answer.is_empty() {
                        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
                    }
                    let Some(line) = lines.next_line().await? else { break };
                    let _ = sender.send(line.clone());
                    let verb = line.split([' ', ':']).next().unwrap_or_default();
                    answer = match verb.to_ascii_uppercase().as_str() {
                        _ if in_data => {
                            in_data = line != ".";
                            if in_data { "" } else { "250 taken" }
                        }
                        "EHLO" => "250-mail.example.org\r\n250 AUTH PLAIN",
                        "AUTH" => {
                            count.fetch_add(1, Ordering::Relaxed);
                            auth
                        }
                        "RCPT" => {
                            count.fetch_add(1, Ordering::Relaxed);
                            rcpt
                        }
                        "DATA" => {
                            in_data = true;
                            "354 go on"
                        }
                        _ => "250 ok",
                    }
                    .to_owned();
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    (port, asked, received)
}

fn of(channel: Channel) -> impl Fn(&&Entry) -> bool {
    move |entry| entry.channel == channel
}

/// Advances the clock from try to try until the message of this channel is finished. Returns it and
/// the delays between its tries.
async fn to_the_end(bench: &Bench, channel: Channel) -> (Entry, Vec<Duration>) {
    let mut waits = Vec::new();
    loop {
        let now = *bench.clock.lock().unwrap();
        let tried = |entries: &[Entry]| {
            entries.iter().find(of(channel)).is_some_and(|entry| {
                let waits = entry.state == State::RetryAt && entry.next_try_at > now;
                waits || !entry.state.is_open()
            })
        };
        bench.until(tried).await;
        let entry = bench.entries().await.into_iter().find(|entry| of(channel)(&entry)).unwrap();
        if !entry.state.is_open() {
            return (entry, waits);
        }
        waits.push(entry.next_try_at.since(now));
        assert!(waits.len() < 200, "{waits:?}");
        bench.advance(entry.next_try_at.since(now));
        bench.follow(&[]).await;
    }
}

/// It is retried for the whole period: often at first, since greylisting ends after minutes, and
/// then with longer delays.
fn is_patient(waits: &[Duration], for_: Duration, longest: Duration, at_most: usize) {
    assert_eq!(waits.iter().sum::<Duration>(), for_);
    let tries = |within: Duration| {
        let mut passed = Duration::ZERO;
        waits.iter().take_while(|wait| (passed += **wait, passed <= within).1).count()
    };
    assert!(tries(Duration::from_secs(600)) >= 4, "{waits:?}");
    assert!((10..=at_most).contains(&waits.len()), "{} {waits:?}", waits.len());
    assert!(waits.iter().all(|wait| *wait <= longest), "{waits:?}");
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_deferred_mail_is_retried_for_days_then_fails() {
    let (port, asked, _received) = smtp_server("451 greylisted", "235 ok").await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{port}"));
    })
    .await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    let (entry, waits) = to_the_end(&bench, Channel::Email).await;
    assert_eq!((entry.state, entry.last_error.as_str()), (State::Failed, "smtp: deferred: 451"));
    is_patient(&waits, 5 * 24 * HOUR, 4 * HOUR, 80);
    let asked = asked.load(Ordering::Relaxed);
    assert_eq!((asked, u32::try_from(asked)), (waits.len() + 1, Ok(entry.attempts)));
    bench.stop().await;
}

/// With the right password all of it is sent later.
#[tokio::test]
async fn rejected_credentials_fail_no_message() {
    let (port, asked, _received) = smtp_server("250 ok", "535 5.7.8 no").await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(format!("smtp://us:wrong@127.0.0.1:{port}"));
    })
    .await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::RetryAt)).await;
    let entry = bench.entries().await.remove(0);
    assert_eq!(entry.last_error, "smtp: authentication failed: 535");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    bench.stop().await;
}

#[tokio::test]
async fn a_permanently_refused_mail_is_not_retried() {
    let (port, asked, _received) = smtp_server("550 nobody", "235 ok").await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{port}"));
    })
    .await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::Failed)).await;
    let entry = bench.entries().await.remove(0);
    assert_eq!((entry.attempts, entry.last_error.as_str()), (1, "smtp: refused: 550"));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    bench.stop().await;
}

/// Every kind of address that is accepted can be sent to a server without SMTPUTF8.
#[tokio::test]
async fn every_accepted_address_is_sent_in_ascii() {
    let (port, _asked, mut received) = smtp_server("250 ok", "235 ok").await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{port}"));
        config.from = "bestellung@b\u{fc}cher.example".to_owned();
        config.shop.name = Some("B\u{fc}cher, \"und\" mehr".to_owned());
    })
    .await;
    let addresses = [
        ("ada@Example.org", "ada@example.org"),
        ("try..this..0511@docomo.ne.jp", "\"try..this..0511\"@docomo.ne.jp"),
        ("taro.@docomo.ne.jp", "\"taro.\"@docomo.ne.jp"),
        ("\"a b\"@example.org", "\"a b\"@example.org"),
        ("o'brien+x@example.org", "o'brien+x@example.org"),
        ("info@b\u{fc}cher.example", "info@xn--bcher-kva.example"),
        ("info@\u{4f8b}\u{5b50}.\u{4e2d}\u{56fd}", "info@xn--fsqu00a.xn--fiqs8s"),
    ];
    let facts: Vec<Fact> = (1..)
        .zip(addresses)
        .map(|(position, (given, _))| {
            let mut fact = placed(position);
            if let FactBody::Order(OrderFact::Created { order, .. }) = &mut fact.body {
                order.contact = Contact::new(given, "", "").unwrap();
            }
            fact
        })
        .collect();
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(|entries| entries.iter().all(|entry| entry.state == State::Delivered)).await;
    let mut lines = Vec::new();
    while let Ok(line) = received.try_recv() {
        assert!(line.is_ascii(), "{line}");
        lines.push(line);
    }
    let count = |line: &str| lines.iter().filter(|sent| *sent == line).count();
    for (_, sent) in addresses {
        assert_eq!(count(&format!("RCPT TO:<{sent}>")), 1, "{lines:?}");
        assert_eq!(count(&format!("To: {sent}")), 1, "{lines:?}");
    }
    let from = "MAIL FROM:<bestellung@xn--bcher-kva.example>";
    let froms = lines.iter().filter(|line| line.starts_with(from)).count();
    assert_eq!(froms, addresses.len(), "{lines:?}");
    bench.stop().await;
}

#[tokio::test]
async fn an_overloaded_webhook_is_retried_for_hours_then_fails() {
    let (url, mut received) = receiver(vec![503; 200]).await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| config.webhooks = vec![hook(url)]).await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    let (entry, waits) = to_the_end(&bench, Channel::Webhook).await;
    let answered = "webhook: answered 503";
    assert_eq!((entry.state, entry.last_error.as_str()), (State::Failed, answered));
    is_patient(&waits, 24 * HOUR, HOUR, 60);
    // All tries have the same id, and each its own time.
    let mut ids = std::collections::BTreeSet::new();
    let mut times = std::collections::BTreeSet::new();
    while let Ok(request) = received.try_recv() {
        let header = |name: &str| {
            request.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
        };
        assert!(header("content-type: ").starts_with("application/cloudevents+json"));
        ids.insert(header("webhook-id: "));
        times.insert(header("webhook-timestamp: "));
    }
    assert_eq!((ids.len(), times.len()), (1, waits.len() + 1));
    bench.stop().await;
}

#[tokio::test]
async fn retry_after_of_a_webhook_is_respected() {
    let answers = [
        (429, "retry-after: 7200"),
        (503, "retry-after: Wed, 01 Dec 2010 13:26:00 GMT"),
        (503, "retry-after: soon"),
        (500, "retry-after: 99999999999"),
        (500, "retry-after: 0"),
    ];
    let (url, _received) = receiver_with_header(answers).await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| config.webhooks = vec![hook(url)]).await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    let (entry, waits) = to_the_end(&bench, Channel::Webhook).await;
    assert_eq!(waits[0], 2 * HOUR);
    // It was 8:26, and is 10:26 at the second try.
    assert_eq!(waits[1], 3 * HOUR);
    assert!(waits[2] <= HOUR, "{waits:?}");
    // Longer than the retry period: one more try at its end.
    let all = waits.iter().sum::<Duration>();
    assert_eq!((all, waits.len()), (24 * HOUR, 4));
    assert_eq!((entry.state, entry.asked_at), (State::Failed, start()));
    bench.stop().await;
}

/// Deferred tries do not count towards the limit of tries of unknown outcome.
#[tokio::test]
async fn only_tries_of_unknown_outcome_are_limited() {
    let (port, _asked, _received) = smtp_server("451 greylisted", "235 ok").await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{port}"));
        config.attempts_max = 2;
    })
    .await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    for attempts in 1..=6 {
        let waits = |entry: &Entry| entry.attempts == attempts && entry.state == State::RetryAt;
        bench.until(|entries| entries.iter().all(waits)).await;
        bench.advance(4 * HOUR);
        bench.follow(&[]).await;
    }
    let bench = bench.stopped().await;
    let entry = bench.entries().await.remove(0);
    assert!(entry.state.is_open() && entry.in_doubt == 0, "{entry:?}");
    let now = *bench.clock.lock().unwrap();
    let database = &bench.database;
    let (due, until) = (now.plus(5 * HOUR), now.plus(6 * HOUR));
    let taken = ledger::claim(database, Channel::Email, due, until, 1).await.unwrap();
    ledger::in_doubt(database, &taken[0], "connection lost", due, until).await.unwrap();
    let entry = bench.entries().await.remove(0);
    assert_eq!((entry.in_doubt, entry.state), (1, State::RetryAt));
    bench.stop().await;
}

#[tokio::test]
async fn settings_bound_how_long_to_retry() {
    let (port, _asked, _received) = smtp_server("451 greylisted", "235 ok").await;
    let (url, _received) = receiver(vec![503; 200]).await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{port}"));
        config.webhooks = vec![hook(url)];
        config.mail_retry_for = 2 * HOUR;
        config.webhook_retry_for = Duration::ZERO;
    })
    .await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    let (mail, waits) = to_the_end(&bench, Channel::Email).await;
    assert_eq!((mail.state, waits.iter().sum()), (State::Failed, 2 * HOUR));
    let (call, waits) = to_the_end(&bench, Channel::Webhook).await;
    assert_eq!((call.state, call.attempts, waits.len()), (State::Failed, 1, 0));
    bench.stop().await;
}
