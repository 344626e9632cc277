//! Said once, whatever is away, on SQLite and on Postgres alike.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use notification::grpc::proto;
use notification::grpc::proto::notification_service_client::NotificationServiceClient;
use notification::ledger::{self, Entry, State};
use notification::{Channel, Mail, Webhook};
use shared_events::contract::Fact;
use shared_events::stream::{Database, Dialect};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::wrappers::TcpListenerStream;
use tonic_types::StatusExt as _;

use crate::support::{
    Bench, SmtpServer, delivered, free_port, hook, placed, secret, server, start,
};

fn all_are(state: State, count: usize) -> impl Fn(&[notification::ledger::Entry]) -> bool {
    move |entries| entries.len() == count && entries.iter().all(|entry| entry.state == state)
}

async fn facts_that_come_twice_are_said_once(dialect: Dialect) {
    let mut bench = Bench::on(dialect, |_| {}).await;
    let facts = [placed(1), placed(2)];
    bench.follow(&facts).await;
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(all_are(State::Delivered, 2)).await;
    bench.follow(&facts).await;
    bench.until(all_are(State::Delivered, 2)).await;
    let mails: Vec<_> = std::fs::read_dir(bench.folder.path().join("mail")).unwrap().collect();
    assert_eq!(mails.len(), 2);
    let text = std::fs::read_to_string(mails[0].as_ref().unwrap().path()).unwrap();
    assert!(text.contains("To: ada@example.org") && text.contains("Total: 15.30 GBP"), "{text}");
    bench.stop().await;
}

/// Plans are kept, also those that were made while nothing was due. None may take more than it was
/// asked for, or read all that is due to find it.
#[tokio::test]
async fn a_plan_made_while_nothing_was_due_takes_no_more_than_asked_for() {
    const MANY: u64 = 3_000;
    let bench = Bench::on(Dialect::Postgres, |_| {}).await;
    let claimed = async || {
        let until = start().plus(Duration::from_secs(60));
        let entries =
            ledger::claim(&bench.database, Channel::Email, start(), until, 64).await.unwrap();
        delivered(&bench.database, &entries, start()).await.unwrap();
        entries.len()
    };
    bench.follow(&[placed(1)]).await;
    assert_eq!(claimed().await, 1);
    sqlx::query("VACUUM ANALYZE due").execute(bench.database.reader()).await.unwrap();
    // Postgres keeps a plan after the fifth time.
    for _ in 0..8 {
        assert_eq!(claimed().await, 0);
    }
    for position in 2..=8 {
        bench.follow(&[placed(position)]).await;
        assert_eq!(claimed().await, 1);
    }
    let many: Vec<Fact> = (9..9 + MANY).map(placed).collect();
    bench.follow(&many).await;
    for _ in 0..4 {
        assert_eq!(claimed().await, 64);
    }
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(bench.database.reader())
        .await
        .unwrap();
    let database = bench.database.clone();
    bench.stop().await;
    let read = entries_read(database, &schema, "due").await;
    let (by_time, by_key) = (read["due_by_time"], read["due_pkey"]);
    // By their time also what was claimed before and not yet vacuumed, but never all.
    let (asked, all) = (8 + 4 * 64, i64::try_from(MANY).unwrap());
    assert!((asked..all).contains(&by_time), "{read:?}, {asked} asked for");
    // Claimed, held and struck off by their key.
    assert!((3 * asked..6 * asked).contains(&by_key), "{read:?}, {asked} asked for");
}

/// How many entries of each index of a table have been read, by the name of the index. Closes the last
/// handle of a database: sessions tell the server what they have read before they are gone.
async fn entries_read(database: Database, schema: &str, table: &str) -> BTreeMap<String, i64> {
    let session = database.session_name().to_owned();
    database.close().await;
    // One that came back meanwhile stays as long as anybody has the pool.
    drop(database);
    let mut server = PgConnection::connect(&server()).await.unwrap();
    let gone = async {
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)";
        while sqlx::query_scalar(sql).bind(&session).fetch_one(&mut server).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the sessions end");
    let sql = "SELECT indexrelname::text, idx_tup_read FROM pg_stat_all_indexes
               WHERE schemaname = $1 AND relname = $2";
    let read: Vec<(String, i64)> =
        sqlx::query_as(sql).bind(schema).bind(table).fetch_all(&mut server).await.unwrap();
    read.into_iter().collect()
}

/// What the service tells others: causes by position.
async fn told(bench: &Bench) -> Vec<(u64, Option<String>)> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT fact FROM outbox ORDER BY position")
        .fetch_all(bench.database.reader())
        .await
        .unwrap();
    let facts = rows.iter().map(|json| Fact::from_json(json).unwrap());
    facts.map(|fact| (fact.position, fact.causationid)).collect()
}

async fn messages_that_leave_together_are_each_told_once(dialect: Dialect) {
    let mut bench = Bench::on(dialect, |_| {}).await;
    let facts: Vec<Fact> = (1..=40).map(placed).collect();
    bench.follow(&facts).await;
    // Two of three are reported together; a second report of them changes nothing.
    let now = *bench.clock.lock().unwrap();
    let until = now.plus(Duration::from_secs(180));
    let taken = ledger::claim(&bench.database, Channel::Email, now, until, 3).await.unwrap();
    delivered(&bench.database, &taken[..2], now).await.unwrap();
    delivered(&bench.database, &taken, now).await.unwrap();
    let causes = |entries: &[Entry]| -> Vec<_> {
        (1..).zip(entries.iter().map(|entry| Some(entry.fact_id.clone()))).collect()
    };
    assert_eq!(told(&bench).await, causes(&taken));
    bench.deliver();
    bench.until(all_are(State::Delivered, 40)).await;
    let told = told(&bench).await;
    assert!(told.iter().map(|(position, _)| *position).eq(1..=40), "{told:?}");
    let once: HashSet<_> = told.into_iter().map(|(_, cause)| cause).collect();
    assert_eq!(once, facts.iter().map(|fact| Some(fact.id.to_string())).collect());
    bench.stop().await;
}

async fn mail_waits_for_its_server_and_arrives_once(dialect: Dialect) {
    let port = free_port();
    let mut bench = Bench::on(dialect, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{port}"));
    })
    .await;
    let maildir = bench.folder.path().join("maildir");
    bench.follow(&[placed(1), placed(2), placed(3)]).await;
    bench.deliver();
    bench.until(all_are(State::RetryAt, 3)).await;
    // Away for an hour, in which it is tried again and again.
    for _ in 0..6 {
        bench.advance(Duration::from_secs(600));
        let now = *bench.clock.lock().unwrap();
        let tried_again = move |entries: &[Entry]| {
            entries.iter().all(|e| e.state == State::RetryAt && e.next_try_at > now)
        };
        bench.until(tried_again).await;
    }
    let server = SmtpServer::start(port, &maildir);
    let listens = tokio::time::timeout(Duration::from_secs(20), async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    listens.await.expect("the SMTP server does not listen");
    bench.advance(Duration::from_secs(600));
    bench.until(all_are(State::Delivered, 3)).await;
    assert!(bench.entries().await.iter().all(|entry| entry.attempts == 1));
    let mails = std::fs::read_dir(maildir.join("new")).unwrap().count();
    assert_eq!(mails, 3);
    drop(server);
    bench.stop().await;
}

async fn what_nobody_takes_fails_and_can_be_sent_again(dialect: Dialect) {
    let mut bench = Bench::on(dialect, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{}", free_port()));
        config.mail_retry_for = Duration::from_secs(1_800);
    })
    .await;
    bench.follow(&[placed(1)]).await;
    bench.deliver();
    bench.until(all_are(State::RetryAt, 1)).await;
    bench.advance(Duration::from_secs(3_600));
    bench.until(all_are(State::Failed, 1)).await;
    let failed = bench.entries().await.remove(0);
    assert_eq!(failed.last_error, "smtp: no answer");

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = bench.service.grpc();
    tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        server.serve_with_incoming(incoming).await.unwrap();
    });
    let mut client = NotificationServiceClient::connect(format!("http://{address}")).await.unwrap();
    let list = proto::ListNotificationsRequest {
        state: proto::NotificationState::Failed.into(),
        ..Default::default()
    };
    let listed = client.list_notifications(list).await.unwrap().into_inner().notifications;
    assert_eq!(listed[0].recipient, "a***@example.org");
    assert!(listed[0].body.is_empty());
    let request = proto::ResendNotificationRequest {
        notification_id: failed.id.to_string(),
        validate_only: false,
        reason: String::new(),
    };
    let again = client.resend_notification(request.clone()).await.unwrap().into_inner();
    let again = again.notification.unwrap();
    assert!(again.notification_id != request.notification_id);
    assert_eq!(again.resend_of, request.notification_id);
    bench.until(|entries| entries.len() == 2 && entries[1].state == State::RetryAt).await;
    let status = client.resend_notification(request).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "NOT_FINISHED");
    // What became of the first one stays.
    assert!(bench.entries().await[0] == failed);
    let unknown =
        proto::GetNotificationRequest { notification_id: uuid::Uuid::now_v7().to_string() };
    let status = client.get_notification(unknown).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "NOT_FOUND");
    let malformed = proto::ListNotificationsRequest {
        order_id: "x".to_owned(),
        channel: "PIGEON".to_owned(),
        page_size: -1,
        page_token: "x".to_owned(),
        state: 99,
    };
    let status = client.list_notifications(malformed).await.unwrap_err();
    let fields: Vec<_> = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = fields.into_iter().map(|violation| violation.field).collect();
    assert_eq!(fields, ["order_id", "state", "channel", "page_size", "page_token"]);
    bench.stop().await;
}

/// Answers HTTP calls with these statuses in turn and keeps what it got.
pub async fn receiver(
    statuses: Vec<u16>,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    receiver_that_says(statuses.into_iter().map(|status| (status, "x-none: 1"))).await
}

/// As above, with a header in each answer.
pub async fn receiver_that_says(
    answers: impl IntoIterator<Item = (u16, &'static str), IntoIter: Send + 'static>,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let answers = answers.into_iter();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        for (status, said) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            loop {
                let mut part = vec![0; 65_536];
                let count = stream.read(&mut part).await.unwrap();
                request.extend_from_slice(&part[..count]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|line| {
                        line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                    })
                    .unwrap_or(0);
                if body.len() >= length {
                    sender.send(text).unwrap();
                    break;
                }
            }
            let answer = format!(
                "HTTP/1.1 {status} X\r\n{said}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, received)
}

#[tokio::test]
async fn webhooks_are_signed_tried_again_and_given_up_when_refused() {
    let (url, mut received) = receiver(vec![503, 200, 410]).await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| config.webhook = Some(hook(url))).await;
    bench.deliver();
    let fact = placed(1);
    bench.follow(std::slice::from_ref(&fact)).await;
    let hook = |entries: &[notification::ledger::Entry], state: State| {
        entries.iter().any(|one| one.channel == Channel::Webhook && one.state == state)
    };
    bench.until(|entries| hook(entries, State::RetryAt)).await;
    bench.advance(Duration::from_secs(60));
    bench.until(|entries| hook(entries, State::Delivered)).await;
    for _ in 0..2 {
        let request = received.recv().await.unwrap();
        let header = |name: &str| {
            let prefix = format!("{name}: ");
            request.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().to_owned()
        };
        let body = request.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(body, fact.to_json().unwrap());
        let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
        use hmac::{KeyInit as _, Mac as _};
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).unwrap();
        mac.update(signed.as_bytes());
        let digest = mac.finalize().into_bytes();
        let digest = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest);
        assert_eq!(header("webhook-signature"), format!("v1,{digest}"));
    }
    bench.follow(&[placed(2)]).await;
    bench.until(|entries| hook(entries, State::Failed)).await;
    bench.stop().await;
}

/// An HTTPS server that answers every call with 204, by a certificate of an authority of its own.
struct Secure {
    process: std::process::Child,
    url: String,
    authority: String,
}

impl Secure {
    fn start(folder: &std::path::Path) -> Self {
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let signed = authority.self_signed(&authority_key).unwrap();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let server = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = server.signed_by(&key, &issuer).unwrap();
        let file = folder.join("server.pem");
        std::fs::write(&file, format!("{}{}", key.serialize_pem(), certificate.pem())).unwrap();
        let port = free_port();
        let program = "
import http.server, ssl, sys
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers['content-length']))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
";
        let process = std::process::Command::new("python3")
            .args(["-c", program, &port.to_string()])
            .arg(&file)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("https://localhost:{port}/hook");
        Self { process, url, authority: signed.pem() }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_webhook_is_called_by_whom_it_is_signed_for_and_by_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let secure = Secure::start(folder.path());
    let bench = async |authorities: &str| {
        let mut bench = Bench::on(Dialect::Sqlite, |config| {
            let (url, secrets) = (secure.url.clone(), vec![secret(7).1]);
            let authorities = authorities.as_bytes().to_vec();
            config.webhook = Some(Webhook { url, secrets, authorities });
        })
        .await;
        bench.deliver();
        bench.follow(&[placed(1)]).await;
        bench
    };
    let is = |entries: &[Entry], state: State| {
        let hook = |entry: &&Entry| entry.channel == Channel::Webhook;
        entries.iter().find(hook).is_some_and(|entry| entry.state == state)
    };
    let told = bench(&secure.authority).await;
    // Until the server listens, it is tried again.
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !is(&told.entries().await, State::Delivered) {
            told.advance(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("the webhook is called");
    let not_told = bench("").await;
    not_told.until(|entries| is(entries, State::RetryAt)).await;
    for bench in [told, not_told] {
        bench.stop().await;
    }
}

/// A mail server that takes connections and says nothing.
pub async fn silent() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while kept.len() < 1_000 {
            kept.push(listener.accept().await);
        }
    });
    url
}

async fn what_is_under_way_at_the_end_is_given_back_and_counts_for_nothing(dialect: Dialect) {
    let url = silent().await;
    let mut bench = Bench::on(dialect, |config| config.mail = Mail::Smtp(url)).await;
    let facts: Vec<Fact> = (1..=20).map(placed).collect();
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(all_are(State::Sending, 20)).await;
    let told = std::time::Instant::now();
    let bench = bench.ended().await;
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    let entries = bench.entries().await;
    assert!(all_are(State::RetryAt, 20)(&entries), "{entries:?}");
    assert!(entries.iter().all(|entry| entry.attempts == 0));
    // Eight were under way and may have arrived; the others are due at once.
    let now = *bench.clock.lock().unwrap();
    let at_once = entries.iter().filter(|entry| entry.next_try_at <= now);
    assert_eq!(at_once.count(), 12);
    let due = ledger::due(&bench.database).await.unwrap();
    assert_eq!(due.len(), 20);
    bench.stop().await;
}

async fn a_server_that_never_comes_to_an_end_holds_up_no_other(dialect: Dialect) {
    let (called, mut received) = receiver(vec![204; 60]).await;
    let url = silent().await;
    let mut bench = Bench::on(dialect, |config| {
        config.mail = Mail::Smtp(url);
        config.webhook = Some(hook(called));
    })
    .await;
    bench.deliver();
    // More than are under way or taken at a time, so that mails stand before webhooks in every list.
    let facts: Vec<Fact> = (1..=60).map(placed).collect();
    bench.follow(&facts).await;
    let hooks = |entries: &[Entry]| {
        let mut hooks = entries.iter().filter(|entry| entry.channel == Channel::Webhook);
        hooks.all(|entry| entry.state == State::Delivered)
    };
    bench.until(|entries| entries.len() == 120 && hooks(entries)).await;
    let mut posted = 0;
    while received.try_recv().is_ok() {
        posted += 1;
    }
    assert_eq!(posted, 60);
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
    messages_that_leave_together_are_each_told_once
    facts_that_come_twice_are_said_once
    mail_waits_for_its_server_and_arrives_once
    what_nobody_takes_fails_and_can_be_sent_again
    what_is_under_way_at_the_end_is_given_back_and_counts_for_nothing
    a_server_that_never_comes_to_an_end_holds_up_no_other
}
