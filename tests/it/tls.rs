//! TLS for callers: every spelling of a call by it, nothing in clear text, certificates exchanged
//! while calls are made, limits before and during handshakes.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use order_actor::clock::Clock as _;
use ordinal::client::{Caller, Client, Connection};
use ordinal::tls::{ServerFiles, ServerTls};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::certificates::Authority;
use crate::health::{ends_at_once, logged};
use crate::http::Http;
use crate::shop::{On, Shop};
use crate::support::{Engine, PATIENCE, ordinal, placing, until};

const HERE: [&str; 2] = ["127.0.0.1", "localhost"];

/// The flags of an engine with a certificate of this authority, and its data.
fn flags<'a>(files: &'a (String, String), data: &'a Path) -> Vec<&'a str> {
    let data = data.to_str().unwrap();
    vec!["--tls-cert", &files.0, "--tls-key", &files.1, "--data", data]
}

/// The error of a verb that must end with this exit code.
fn error_of(output: &Output, code: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{error}");
    error
}

fn connection(address: &str, authority: &Authority) -> Connection {
    let caller = Caller { role: "ops".to_owned(), subject: "anna".to_owned() };
    Connection {
        ca: Some(authority.ca.clone()),
        timeout: Duration::from_secs(30),
        ..Connection::new(address.to_owned(), caller)
    }
}

/// The serial number of the certificate that a server shows.
async fn serial(authority: &Authority, address: &str) -> Vec<u8> {
    let stream = authority.connect(address, &["h2"]).await;
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_spelling_of_a_call_goes_by_tls() {
    let (authority, data) = (Authority::new(), TempDir::new().unwrap());
    let files = authority.write("server", &authority.issue(&HERE));
    let engine = Engine::start_with(&flags(&files, data.path()));
    assert!(engine.address.starts_with("https://"), "{}", engine.address);

    // The command line, by gRPC.
    let ca = authority.ca();
    engine.ask(&["--ca", ca, "stock", "set", "MUG", "5"]);
    let placed = engine.ask(&[&["--ca", ca], &placing(&["MUG=1@4.50GBP"])[..]].concat());
    let order = placed["order"]["order_id"].as_str().unwrap().to_owned();
    assert!(engine.run(&["--ca", ca, "health"]).status.success());
    let file = [("ORDINAL_CA", ca), ("ORDINAL_ADDRESS", engine.address.as_str())];
    let mut verb = std::process::Command::new(env!("CARGO_BIN_EXE_ordinal"));
    assert!(verb.envs(file).args(["order", "get", &order]).output().unwrap().status.success());

    // JSON, pages and a stream, by HTTP/1.1.
    let host = engine.address.trim_start_matches("https://").to_owned();
    let http = async || {
        let stream = authority.connect(&engine.address, &["http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        Http::over(Box::new(stream), host.clone())
    };
    let mut by_json = http().await;
    let origin = format!("https://{host}");
    let get = format!("GET /v1/orders/{order}");
    let answer = by_json.call(&get, &[("origin", &origin)]).await;
    assert_eq!((answer.status, &answer.json()["order"]["order_id"]), (200, &json!(order)));
    assert_eq!(by_json.call("GET /docs", &[]).await.status, 200, "the same connection");
    let mut live = http().await;
    live.head("GET /v1/orders:watch", &[("accept", "text/event-stream")]).await;
    assert_eq!(live.answered().await.headers["content-type"], "text/event-stream");
    assert!(live.chunk().await.unwrap().contains("event: progress"));

    // gRPC-Web over HTTP/1.1: an empty GetHealth.
    let mut web = http().await;
    let kind = ("content-type", "application/grpc-web+proto");
    let length = ("content-length", "5");
    web.head("POST /ordinal.admin.v1.AdminService/GetHealth", &[kind, length]).await;
    web.send(&[0; 5]).await;
    assert_eq!(web.answered().await.status, 200);

    // Without a wish for a protocol, and with one that nobody speaks.
    let stream = authority.connect(&engine.address, &[]).await;
    let mut plain = Http::over(Box::new(stream), host.clone());
    assert_eq!(plain.call(&get, &[]).await.status, 200);
    assert!(engine.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clear_text_is_refused_in_the_protocol_of_the_caller() {
    let (authority, data) = (Authority::new(), TempDir::new().unwrap());
    let files = authority.write("server", &authority.issue(&HERE));
    let log = data.path().join("log");
    let engine = logged(&[], &flags(&files, &data.path().join("data")), &log);
    let host = engine.address.trim_start_matches("https://").to_owned();
    for _ in 0..3 {
        let mut http = Http::connect(&format!("http://{host}")).await;
        let answer = http.call("GET /v1/orders", &[]).await;
        assert_eq!((answer.status, answer.text.contains("https://")), (400, true), "{answer:?}");
        assert!(http.closes_within(PATIENCE).await);
    }
    // A body that is larger than what is read of it does not keep the answer away.
    let mut http = Http::connect(&format!("http://{host}")).await;
    let answer = http.text("POST /v1/orders", &[], &"x".repeat(16 * 1024)).await;
    assert_eq!(answer.status, 400);
    let address = format!("http://{host}");
    let error = error_of(&ordinal(&["--address", &address, "order", "list"]), 3);
    assert!(error.contains("speaks TLS only: use https://"), "{error}");
    let error = error_of(&ordinal(&["--address", &address, "health"]), 3);
    assert!(error.contains("speaks TLS only: use https://"), "{error}");
    // Nonsense is no handshake, and nobody's.
    let mut nonsense = TcpStream::connect(&host).await.unwrap();
    nonsense.write_all(&[22, 3, 1, 0, 4, 9, 9, 9, 9]).await.unwrap();
    let mut rest = Vec::new();
    let _ = nonsense.read_to_end(&mut rest).await;
    let said = || fs::read_to_string(&log).unwrap();
    until("a line", || said().contains("TLS handshakes failed"));
    let said = said();
    assert_eq!(said.matches("connections without TLS were refused").count(), 1, "{said}");
    assert_eq!(said.matches("TLS handshakes failed").count(), 1, "{said}");
    assert!(engine.stop().success());
}

#[test]
fn a_caller_learns_what_is_wrong_with_a_certificate_and_what_to_do() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let data = TempDir::new().unwrap();
    let files = authority.write("server", &authority.issue(&["localhost"]));
    let engine = Engine::start_with(&flags(&files, data.path()));
    let port = engine.address.rsplit_once(':').unwrap().1;
    let call = |flags: &[&str]| ordinal(&[flags, &["order", "list"]].concat());
    let (by_name, by_ip) =
        (format!("https://localhost:{port}"), format!("https://127.0.0.1:{port}"));
    assert!(call(&["--address", &by_name, "--ca", authority.ca()]).status.success());
    let error = error_of(&call(&["--address", &by_name]), 3);
    assert!(
        error.contains("not from an authority known here") && error.contains("--ca"),
        "{error}"
    );
    let error = error_of(&call(&["--address", &by_name, "--ca", stranger.ca()]), 3);
    assert!(error.contains("not from an authority known here"), "{error}");
    let error = error_of(&call(&["--address", &by_ip, "--ca", authority.ca()]), 3);
    assert!(error.contains("is for another name"), "{error}");
    let error = error_of(&call(&["--address", &by_name, "--ca", &files.1]), 2);
    assert!(error.contains("no certificate of an authority"), "{error}");
    let plain = TempDir::new().unwrap();
    let plain = Engine::start(plain.path());
    let error = error_of(&call(&["--address", &plain.address, "--ca", authority.ca()]), 2);
    assert!(error.contains("--ca has no effect"), "{error}");
    let https = plain.address.replace("http:", "https:");
    let error = error_of(&call(&["--address", &https, "--ca", authority.ca()]), 3);
    assert!(error.contains("does not speak TLS"), "{error}");
}

#[test]
fn a_start_with_files_that_do_not_fit_is_refused() {
    let (authority, data) = (Authority::new(), TempDir::new().unwrap());
    let (cert, key) = authority.write("server", &authority.issue(&HERE));
    let (_, other) = authority.write("other", &authority.issue(&HERE));
    let data = data.path().join("data");
    let data = ["--data", data.to_str().unwrap()];
    let with = |cert: &str, key: &str, code| {
        ends_at_once(&[&["--tls-cert", cert, "--tls-key", key], &data[..]].concat(), code)
    };
    assert!(with(&cert, &other, 2).contains("do not belong together"));
    assert!(with(&key, &key, 2).contains("there is no certificate"));
    assert!(with(&cert, &cert, 2).contains("there is no private key"));
    assert!(with("/nowhere", &key, 2).contains("/nowhere"));
    let alone = ends_at_once(&[&["--tls-cert", &cert], &data[..]].concat(), 2);
    assert!(alone.contains("--tls-key"), "{alone}");
    // No part of a key is in an error.
    let broken = authority.folder.path().join("broken.key");
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&broken, &text[..text.len() / 2]).unwrap();
    let error = with(&cert, broken.to_str().unwrap(), 2);
    let inside = text.lines().nth(1).unwrap();
    assert!(!error.contains(&inside[..16]), "{error}");
}

#[test]
fn certificates_that_do_not_count_are_warned_about_at_the_start() {
    let (authority, data) = (Authority::new(), TempDir::new().unwrap());
    for (years, expected) in
        [((2_001, 2_002), "has expired at 2002"), ((2_080, 2_090), "counts from 2080")]
    {
        let files = authority.write("server", &authority.issue_for(&HERE, years));
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(&files.1, open).unwrap();
        let log = data.path().join("log");
        let engine = logged(&[], &flags(&files, &data.path().join("data")), &log);
        let output = engine.run(&["--ca", authority.ca(), "order", "list"]);
        assert_eq!(output.status.code(), Some(3));
        // With its end all lines are written.
        assert!(engine.stop().success());
        let said = fs::read_to_string(&log).unwrap();
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.matches("--tls-cert").count(), 1, "{said}");
        assert!(said.contains("all users of this machine can read the TLS key"), "{said}");
    }
}

/// Certificates are exchanged by SIGHUP while calls are made; a half-written pair changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_exchanged_under_load_without_a_lost_call() {
    let (authority, data) = (Authority::new(), TempDir::new().unwrap());
    let files = authority.write("server", &authority.issue(&HERE));
    let log = data.path().join("log");
    let engine = logged(&[], &flags(&files, &data.path().join("data")), &log);
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|nth| {
            let connection = connection(&engine.address, &authority);
            let (done, calls) = (Arc::clone(&done), Arc::clone(&calls));
            tokio::spawn(async move {
                let kept = Client::connect(&connection).await.unwrap();
                while !done.load(Ordering::Relaxed) {
                    // Over a connection that is open, and over new ones.
                    let client = match nth % 2 {
                        0 => kept.clone(),
                        _ => Client::connect(&connection).await.unwrap(),
                    };
                    let list = client.call("orders.v1.OrderService/ListOrders", json!({}));
                    let _: Value = list.await.unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let first = serial(&authority, &engine.address).await;
    let next = authority.issue(&HERE);
    // One half of the pair is written.
    fs::write(&files.0, &next.cert).unwrap();
    let said = || fs::read_to_string(&log).unwrap();
    for _ in 0..2 {
        engine.signal("-HUP");
        until("a warning", || said().contains("do not belong together"));
    }
    assert_eq!(serial(&authority, &engine.address).await, first);
    fs::write(&files.0, &next.cert[..next.cert.len() / 2]).unwrap();
    engine.signal("-HUP");
    until("another warning", || said().contains("is not PEM"));
    assert_eq!(serial(&authority, &engine.address).await, first);
    authority.write("server", &next);
    engine.signal("-HUP");
    let patience = Instant::now() + PATIENCE;
    while serial(&authority, &engine.address).await == first {
        assert!(Instant::now() < patience, "{}", said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = calls.load(Ordering::Relaxed);
    until("calls go on", || calls.load(Ordering::Relaxed) > before + 20);
    // One that has ended does not take the place of one that counts.
    let second = serial(&authority, &engine.address).await;
    authority.write("server", &authority.issue_for(&HERE, (2_001, 2_002)));
    engine.signal("-HUP");
    until("a warning of the end", || said().contains("has expired at 2002"));
    assert_eq!(serial(&authority, &engine.address).await, second);
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(said().matches("do not belong together").count(), 1, "{}", said());
    assert!(engine.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_looked_at_every_ten_seconds_of_the_clock() {
    let authority = Authority::new();
    let files = authority.write("server", &authority.issue(&HERE));
    let mut shop = Shop::open(On::Sqlite).await;
    shop.stop().await;
    let server = ServerFiles { cert: files.0.into(), key: files.1.into(), clients: None };
    let clock = shop.clock.clone();
    let (directory, at) = (shop.data(), clock.clone());
    let mut settings = ordinal::engine::Settings::new(ordinal::engine::Backend::Sqlite(directory));
    settings.clock = Arc::new(at.clone());
    settings.tls = Some(ServerTls::open(server, Arc::new(at)).unwrap());
    let engine = ordinal::engine::Engine::start(settings).await.unwrap();
    let address = format!("https://{}", engine.address());
    let first = serial(&authority, &address).await;
    authority.write("server", &authority.issue(&HERE));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(serial(&authority, &address).await, first, "the clock stands still");
    let patience = Instant::now() + PATIENCE;
    // Again and again: it counts from when it began to wait, which may be after the clock was set.
    while serial(&authority, &address).await == first {
        assert!(Instant::now() < patience, "the certificate is the old one");
        clock.advance_to(clock.now().plus(Duration::from_secs(10)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    engine.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted_before_their_handshakes() {
    let (authority, data) = (Authority::new(), TempDir::new().unwrap());
    let files = authority.write("server", &authority.issue(&HERE));
    let mut all = flags(&files, data.path());
    all.extend(["--connections-per-address", "3"]);
    let engine = Engine::start_with(&all);
    let host = engine.address.trim_start_matches("https://").to_owned();
    let silent: Vec<TcpStream> =
        futures::future::join_all((0..3).map(|_| TcpStream::connect(&host)))
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
    // They are accepted in the order in which they came.
    let mut fourth = TcpStream::connect(&host).await.unwrap();
    let closed = tokio::time::timeout(PATIENCE, fourth.read(&mut [0])).await;
    let closed = closed.expect("a fourth connection is left open");
    assert!(!matches!(closed, Ok(1..)), "{closed:?}");
    // Sooner than a handshake that does not begin would end: those of before still wait for theirs.
    for waits in &silent {
        let is_open = waits.try_read(&mut [0]);
        let open = is_open.as_ref().is_err_and(|it| it.kind() == ErrorKind::WouldBlock);
        assert!(open, "a fourth connection waits for its handshake: {is_open:?}");
    }
    // A stop does not wait for handshakes.
    let stopping = Instant::now();
    assert!(engine.stop().success());
    // They would end after 10 s.
    assert!(stopping.elapsed() < Duration::from_secs(9), "{:?}", stopping.elapsed());
    drop(silent);
}
