//! Each message is sent once, through outages, on SQLite and on Postgres.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use notification::grpc::proto;
use notification::grpc::proto::notification_service_client::NotificationServiceClient;
use notification::ledger::{self, Entry, State};
use notification::{Channel, Mail, Webhook};
use shared_events::chance::Chance;
use shared_events::contract::Fact;
use shared_events::stream::{Database, Dialect};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_stream::wrappers::TcpListenerStream;
use tonic_types::StatusExt as _;

use crate::on_both::on_both;
use crate::support::{
    Bench, PATIENCE, SmtpServer, delivered, free_port, hook, placed, secret, server, start,
};

fn all_are(state: State, count: usize) -> impl Fn(&[notification::ledger::Entry]) -> bool {
    move |entries| entries.len() == count && entries.iter().all(|entry| entry.state == state)
}

async fn a_repeated_fact_sends_one_message(dialect: Dialect) {
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

/// Postgres caches plans, also those made while `due` was empty. None may claim more rows than the
/// limit, or read all of them.
#[tokio::test]
async fn a_cached_query_plan_claims_no_more_than_the_limit() {
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
    // Postgres caches a generic plan after five executions.
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
    // The index by time also reads dead entries of earlier claims, but never all.
    let (asked, all) = (8 + 4 * 64, i64::try_from(MANY).unwrap());
    assert!((asked..all).contains(&by_time), "{read:?}, {asked} asked for");
    // Claiming, locking and removing go by the primary key.
    assert!((3 * asked..6 * asked).contains(&by_key), "{read:?}, {asked} asked for");
}

/// However few messages are due when Postgres makes a plan: by serial it finds them through the key,
/// and in the order in which they are due through the other index, without sorting all of them.
#[tokio::test]
async fn messages_are_found_by_their_key_and_in_order_by_their_time() {
    let bench = Bench::on(Dialect::Postgres, |_| {}).await;
    for position in 1..=6 {
        sqlx::query("VACUUM ANALYZE due").execute(bench.database.reader()).await.unwrap();
        for (sql, index) in [
            ("DELETE FROM due WHERE serial = ANY (ARRAY(SELECT 1::bigint))", "due_pkey"),
            (
                "SELECT serial FROM due WHERE serial = ANY (ARRAY(SELECT 1::bigint)) FOR UPDATE",
                "due_pkey",
            ),
            (
                "SELECT serial FROM due WHERE channel = 'EMAIL' AND at <= 1
                 ORDER BY channel, at, serial + 0 LIMIT 9 FOR UPDATE SKIP LOCKED",
                "due_by_time",
            ),
        ] {
            let explain = format!("EXPLAIN (COSTS OFF) {sql}");
            let plan: Vec<String> =
                sqlx::query_scalar(&explain).fetch_all(bench.database.reader()).await.unwrap();
            let plan = plan.join("\n");
            assert!(plan.contains(&format!("Index Scan using {index} on due")), "{plan}");
            assert!(!plan.contains("Sort"), "{plan}");
        }
        bench.follow(&[placed(position)]).await;
    }
    bench.stop().await;
}

/// How many entries of each index of a table have been read, by index name. Closes the database
/// first: sessions report their statistics when they end.
async fn entries_read(database: Database, schema: &str, table: &str) -> BTreeMap<String, i64> {
    let session = database.session_name().to_owned();
    database.close().await;
    // A connection returned meanwhile stays open as long as the pool exists.
    drop(database);
    let mut server = PgConnection::connect(&server()).await.unwrap();
    let gone = async {
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)";
        while sqlx::query_scalar(sql).bind(&session).fetch_one(&mut server).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the sessions end");
    let sql = "SELECT indexrelname::text, idx_tup_read FROM pg_stat_all_indexes
               WHERE schemaname = $1 AND relname = $2";
    let read: Vec<(String, i64)> =
        sqlx::query_as(sql).bind(schema).bind(table).fetch_all(&mut server).await.unwrap();
    read.into_iter().collect()
}

/// The facts that the service publishes: causes by position.
async fn published(bench: &Bench) -> Vec<(u64, Option<String>)> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT fact FROM outbox ORDER BY position")
        .fetch_all(bench.database.reader())
        .await
        .unwrap();
    let facts = rows.iter().map(|json| Fact::from_json(json).unwrap());
    facts.map(|fact| (fact.position, fact.causationid)).collect()
}

async fn each_sent_message_is_published_once(dialect: Dialect) {
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
    assert_eq!(published(&bench).await, causes(&taken));
    bench.deliver();
    bench.until(all_are(State::Delivered, 40)).await;
    let facts_published = published(&bench).await;
    assert!(
        facts_published.iter().map(|(position, _)| *position).eq(1..=40),
        "{facts_published:?}"
    );
    let once: HashSet<_> = facts_published.into_iter().map(|(_, cause)| cause).collect();
    assert_eq!(once, facts.iter().map(|fact| Some(fact.id.to_string())).collect());
    bench.stop().await;
}

async fn mail_outlasts_an_outage_and_arrives_once(dialect: Dialect) {
    let port = free_port();
    let mut bench = Bench::on(dialect, |config| {
        config.mail = Mail::Smtp(format!("smtp://127.0.0.1:{port}"));
    })
    .await;
    let maildir = bench.folder.path().join("maildir");
    bench.follow(&[placed(1), placed(2), placed(3)]).await;
    bench.deliver();
    bench.until(all_are(State::RetryAt, 3)).await;
    // An outage of an hour, with retries.
    for _ in 0..6 {
        bench.advance(Duration::from_secs(600));
        let now = *bench.clock.lock().unwrap();
        let tried_again = move |entries: &[Entry]| {
            entries.iter().all(|e| e.state == State::RetryAt && e.next_try_at > now)
        };
        bench.until(tried_again).await;
    }
    let server = SmtpServer::start(port, &maildir);
    let listens = tokio::time::timeout(PATIENCE, async {
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

/// A client of the service, which is served on a port of its own.
pub async fn client(bench: &Bench) -> NotificationServiceClient<tonic::transport::Channel> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = bench.service.grpc();
    shared_events::stream::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        server.serve_with_incoming(incoming).await.unwrap();
    });
    NotificationServiceClient::connect(format!("http://{address}")).await.unwrap()
}

async fn an_undeliverable_mail_fails_and_can_be_resent(dialect: Dialect) {
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
    assert_eq!(failed.last_error, "smtp: no connection");

    let mut client = client(&bench).await;
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
    // The first message is unchanged.
    assert!(bench.entries().await[0] == failed);
    let unknown =
        proto::GetNotificationRequest { notification_id: Chance::system().uuid().to_string() };
    let status = client.get_notification(unknown).await.unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "NOT_FOUND");
    let malformed = proto::ListNotificationsRequest {
        order_id: "x".to_owned(),
        channel: "PIGEON".to_owned(),
        page_size: -1,
        page_token: "x".to_owned(),
        state: 99,
        endpoint: String::new(),
    };
    let status = client.list_notifications(malformed).await.unwrap_err();
    let fields: Vec<_> = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = fields.into_iter().map(|violation| violation.field).collect();
    assert_eq!(fields, ["order_id", "state", "channel", "page_size", "page_token"]);
    let of_mail = proto::ListNotificationsRequest {
        channel: "EMAIL".to_owned(),
        endpoint: "crm".to_owned(),
        ..Default::default()
    };
    let status = client.list_notifications(of_mail).await.unwrap_err();
    let fields = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(fields[0].field, "endpoint");
    bench.stop().await;
}

/// SQLite has one writer at a time: while another writes, a message can still be read.
#[tokio::test]
async fn reading_a_message_takes_no_write_lock() {
    let bench = Bench::on(Dialect::Sqlite, |_| {}).await;
    bench.follow(&[placed(1)]).await;
    let id = bench.entries().await[0].id.to_string();
    let mut writer = bench.database.begin().await.unwrap();
    sqlx::query("UPDATE due SET at = at").execute(&mut *writer).await.unwrap();
    let request = proto::GetNotificationRequest { notification_id: id.clone() };
    let mut client = client(&bench).await;
    let answer = client.get_notification(request);
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("no lock");
    assert_eq!(answer.unwrap().into_inner().notification.unwrap().notification_id, id);
    writer.rollback().await.unwrap();
    bench.stop().await;
}

/// Answers HTTP calls with these statuses in order and keeps the requests.
pub async fn receiver(
    statuses: Vec<u16>,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    receiver_with_header(statuses.into_iter().map(|status| (status, "x-none: 1"))).await
}

/// As [`receiver`], with a header in each answer.
pub async fn receiver_with_header(
    answers: impl IntoIterator<Item = (u16, &'static str), IntoIter: Send + 'static>,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let answers = answers.into_iter();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = tokio::sync::mpsc::unbounded_channel();
    shared_events::stream::spawn(async move {
        for (status, header) in answers {
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
                "HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, received)
}

#[tokio::test]
async fn webhooks_are_signed_retried_and_fail_when_refused() {
    let (url, mut received) = receiver(vec![503, 200, 410]).await;
    let mut bench = Bench::on(Dialect::Sqlite, |config| config.webhooks = vec![hook(url)]).await;
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

/// An HTTPS server that answers 204, with a certificate of its own authority.
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
async fn a_webhook_with_an_untrusted_certificate_is_not_called() {
    let folder = tempfile::tempdir().unwrap();
    let secure = Secure::start(folder.path());
    let bench = async |authorities: &str| {
        let mut bench = Bench::on(Dialect::Sqlite, |config| {
            let (url, secrets) = (secure.url.clone(), vec![secret(7).1]);
            let authorities = authorities.as_bytes().to_vec();
            config.webhooks = vec![Webhook { secrets, authorities, ..hook(url) }];
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
    let trusted = bench(&secure.authority).await;
    // Calls are retried until the server listens.
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is(&trusted.entries().await, State::Delivered) {
            trusted.advance(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.expect("the webhook is called");
    let untrusted = bench("").await;
    untrusted.until(|entries| is(entries, State::RetryAt)).await;
    for bench in [trusted, untrusted] {
        bench.stop().await;
    }
}

/// A mail server that accepts connections and never answers.
pub async fn silent() -> String {
    silent_counting().await.0
}

/// As [`silent`], and how many connections it has accepted.
async fn silent_counting() -> (String, Arc<AtomicUsize>) {
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    shared_events::stream::spawn(async move {
        let mut kept = Vec::new();
        while kept.len() < 1_000 {
            kept.push(listener.accept().await);
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    (url, accepted)
}

async fn messages_in_flight_at_shutdown_are_released_uncounted(dialect: Dialect) {
    let (url, accepted) = silent_counting().await;
    let mut bench = Bench::on(dialect, |config| config.mail = Mail::Smtp(url)).await;
    let facts: Vec<Fact> = (1..=20).map(placed).collect();
    bench.follow(&facts).await;
    bench.deliver();
    bench.until(all_are(State::Sending, 20)).await;
    // Claimed is not yet being sent.
    bench.until(|_| accepted.load(Ordering::Relaxed) == 8).await;
    let stopping = tokio::time::Instant::now();
    let bench = bench.stopped().await;
    // A mail is given up after 15 s.
    assert!(stopping.elapsed() < Duration::from_secs(13), "{:?}", stopping.elapsed());
    let entries = bench.entries().await;
    assert!(all_are(State::RetryAt, 20)(&entries), "{entries:?}");
    assert!(entries.iter().all(|entry| entry.attempts == 0));
    // Eight were in flight and may have arrived; the others are due immediately.
    let now = *bench.clock.lock().unwrap();
    let due_now = entries.iter().filter(|entry| entry.next_try_at <= now);
    assert_eq!(due_now.count(), 12);
    let due = ledger::due(&bench.database).await.unwrap();
    assert_eq!(due.len(), 20);
    bench.stop().await;
}

async fn a_hanging_mail_server_delays_no_webhook(dialect: Dialect) {
    let (called, mut received) = receiver(vec![204; 60]).await;
    let url = silent().await;
    let mut bench = Bench::on(dialect, |config| {
        config.mail = Mail::Smtp(url);
        config.webhooks = vec![hook(called)];
    })
    .await;
    bench.deliver();
    // More than are in flight or claimed at a time, so that mails come before webhooks in every
    // list.
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

on_both! {
    each_sent_message_is_published_once
    a_repeated_fact_sends_one_message
    mail_outlasts_an_outage_and_arrives_once
    an_undeliverable_mail_fails_and_can_be_resent
    messages_in_flight_at_shutdown_are_released_uncounted
    a_hanging_mail_server_delays_no_webhook
}
