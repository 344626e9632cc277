//! SMS through an HTTP gateway: what is posted, what its answers mean, and that it has tries of its
//! own.

use std::time::Duration;

use notification::ledger::{Entry, State};
use notification::{Channel, Config, Mail, SmsGateway, SmsToken, SmsTokenError, compose};
use shared_events::contract::{Contact, Fact, FactBody, OrderFact, ReservationId};
use shared_events::stream::Dialect;

use crate::delivery::{receiver, receiver_with_header, silent};
use crate::support::{Bench, fact, free_port, placed};

const TOKEN: &str = "geheim-0123456789";

fn gateway(url: String) -> SmsGateway {
    SmsGateway { url, token: TOKEN.parse().unwrap(), authorities: Vec::new() }
}

/// The fact of a customer who has a phone and no e-mail address.
fn by_phone(mut fact: Fact) -> Fact {
    let FactBody::Order(order) = &mut fact.body else { panic!("a fact of an order") };
    match order {
        OrderFact::Created { order, .. } | OrderFact::Confirmed { order, .. } => {
            order.contact = Contact::new("", "+442071838750", "en").unwrap();
        }
        _ => panic!("another fact"),
    }
    fact
}

fn confirmed(position: u64) -> Fact {
    fact(position, |order| OrderFact::Confirmed {
        order,
        reservation_id: ReservationId::mint(),
        backordered: Vec::new(),
        payments: Vec::new(),
    })
}

fn sms(entries: &[Entry]) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(|entry| entry.channel == Channel::Sms)
}

fn sms_is(state: State) -> impl Fn(&[Entry]) -> bool {
    move |entries| sms(entries).count() > 0 && sms(entries).all(|entry| entry.state == state)
}

/// A service with this gateway and a mail server that is away.
async fn bench(dialect: Dialect, url: String) -> Bench {
    Bench::on(dialect, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{}", free_port()));
        config.sms = Some(gateway(url));
    })
    .await
}

async fn an_sms_is_posted_as_documented(dialect: Dialect) {
    let (url, mut received) = receiver(vec![503, 202]).await;
    let mut bench = bench(dialect, url).await;
    let fact = by_phone(placed(1));
    bench.follow(std::slice::from_ref(&fact)).await;
    bench.deliver();
    bench.until(sms_is(State::RetryAt)).await;
    bench.advance(Duration::from_secs(60));
    bench.follow(&[]).await;
    bench.until(sms_is(State::Delivered)).await;
    let entry = bench.entries().await.remove(0);
    assert_eq!((entry.attempts, entry.tries.len()), (2, 1));
    assert_eq!(entry.tries[0].error, "sms: answered 503");
    // The same call at every try.
    let order_id = fact.subject.to_string();
    for _ in 0..2 {
        let request = received.recv().await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook HTTP/1.1"), "{head}");
        let has = |line: &str| head.lines().any(|one| one == line);
        assert!(has("content-type: application/json"), "{head}");
        assert!(has(&format!("authorization: Bearer {TOKEN}")), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let expected = serde_json::json!({
            "id": entry.id.to_string(), "to": "+442071838750", "text": entry.body,
            "kind": "RECEIVED", "order_id": order_id,
        });
        assert_eq!(body, expected);
    }
    bench.stop().await;
}

#[tokio::test]
async fn an_sms_is_posted_as_documented_on_sqlite() {
    an_sms_is_posted_as_documented(Dialect::Sqlite).await;
}

#[tokio::test]
async fn an_sms_is_posted_as_documented_on_postgres() {
    an_sms_is_posted_as_documented(Dialect::Postgres).await;
}

#[tokio::test]
async fn a_gateways_answer_says_whether_an_sms_is_retried() {
    for (answer, header, state, error) in [
        (400, "x-none: 1", State::Failed, "sms: answered 400"),
        (401, "x-none: 1", State::Failed, "sms: answered 401"),
        (404, "x-none: 1", State::Failed, "sms: answered 404"),
        (302, "location: http://localhost/", State::RetryAt, "sms: answered 302"),
        (408, "x-none: 1", State::RetryAt, "sms: answered 408"),
        (429, "retry-after: 7200", State::RetryAt, "sms: answered 429"),
        (500, "x-none: 1", State::RetryAt, "sms: answered 500"),
    ] {
        let (url, _received) = receiver_with_header([(answer, header)]).await;
        let mut bench = bench(Dialect::Sqlite, url).await;
        bench.follow(&[by_phone(placed(1))]).await;
        bench.deliver();
        bench.until(sms_is(state)).await;
        let bench = bench.stopped().await;
        let entry = bench.entries().await.remove(0);
        assert_eq!((entry.last_error.as_str(), entry.attempts), (error, 1));
        if answer == 429 {
            let wait = entry.next_try_at.since(*bench.clock.lock().unwrap());
            assert_eq!(wait, Duration::from_secs(7_200));
        }
    }
}

/// A deferred SMS is retried as long as webhooks are, not for days as mails are: nobody wants to
/// hear of a confirmation then.
#[tokio::test]
async fn an_sms_is_retried_as_long_as_a_webhook() {
    let (url, _received) = receiver(vec![503; 10]).await;
    let mut bench = bench(Dialect::Sqlite, url).await;
    bench.follow(&[by_phone(placed(1))]).await;
    bench.deliver();
    bench.until(sms_is(State::RetryAt)).await;
    bench.advance(Config::WEBHOOK_RETRY_FOR);
    bench.follow(&[]).await;
    bench.until(sms_is(State::Failed)).await;
    assert_eq!(bench.entries().await[0].tries.len(), 2);
    bench.stop().await;
}

#[tokio::test]
async fn a_hanging_mail_server_delays_no_sms() {
    let (url, mut received) = receiver(vec![200; 40]).await;
    let smtp = silent().await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| {
        config.mail = Mail::Smtp(smtp);
        config.sms = Some(gateway(url));
    })
    .await;
    let facts: Vec<Fact> = (1..=40).map(confirmed).collect();
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(|entries| entries.len() == 80 && sms_is(State::Delivered)(entries)).await;
    let mut posted = 0;
    while received.try_recv().is_ok() {
        posted += 1;
    }
    assert_eq!(posted, 40);
    bench.stop().await;
}

/// With a gateway SMS are not files, whatever mail is.
#[test]
fn sms_are_composed_where_a_gateway_is() {
    let to = |sms: Option<SmsGateway>, mail: Mail| {
        let config = Config { mail, sms, ..Config::to_directory("unused".into()) };
        let messages = compose(&confirmed(1), &config).into_iter();
        messages.map(|message| message.channel).collect::<Vec<_>>()
    };
    let smtp = || Mail::Smtp("smtp://localhost".to_owned());
    let gateway = || Some(gateway("https://sms.example/send".to_owned()));
    assert_eq!(to(None, smtp()), [Channel::Email]);
    assert_eq!(to(gateway(), smtp()), [Channel::Email, Channel::Sms]);
}

#[tokio::test]
async fn with_a_gateway_an_sms_is_no_file() {
    let (url, mut received) = receiver(vec![200]).await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| config.sms = Some(gateway(url))).await;
    bench.follow(&[by_phone(placed(1))]).await;
    bench.deliver();
    bench.until(sms_is(State::Delivered)).await;
    assert!(received.recv().await.is_some());
    let files = std::fs::read_dir(bench.folder.path().join("mail")).unwrap();
    assert_eq!(files.count(), 0);
    bench.stop().await;
}

#[test]
fn an_unusable_gateway_is_refused_and_its_token_not_shown() {
    let token: SmsToken = TOKEN.parse().unwrap();
    assert!(!format!("{token:?}").contains(TOKEN));
    let too_long = "x".repeat(5_000);
    for wrong in ["", "two words", "two\nlines", "\u{e4}", &too_long] {
        let refused = wrong.parse::<SmsToken>().map(drop);
        assert_eq!(refused, Err(SmsTokenError));
    }
    assert!(!SmsTokenError.to_string().contains("two"));
    for (url, authorities, error) in [
        ("no url", "", "notifications: SMS: the gateway's URL is not a valid URL"),
        ("ftp://x/geheim", "", "SMS: the gateway's URL is neither https:// nor http://"),
        ("https://x/geheim", "nothing", "SMS: the file of authorities holds no certificate"),
    ] {
        let authorities = authorities.as_bytes().to_vec();
        let sms = Some(SmsGateway { authorities, ..gateway(url.to_owned()) });
        let config = Config { sms, ..Config::to_directory("unused".into()) };
        let refused = config.check().unwrap_err().to_string();
        assert!(refused.contains(error) && !refused.contains("geheim"), "{refused}");
    }
}
