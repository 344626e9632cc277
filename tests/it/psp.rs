//! The simulator of payment providers as a process, and providers in the settings.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use psp::webhook::{Secret, Verifier};
use psp::{
    Answer, ApiKey, Authorize, CallKey, Capture, Dialect, Endpoint, Found, Kind, Lookup,
    OurReference, Psp, Razorpay, Refund, Stripe, Theirs, What,
};
use shared_events::contract::{Money, Timestamp};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::ordinal;

struct Simulator {
    process: Child,
    url: String,
}

impl Simulator {
    fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ordinal"))
            .args(["--json", "psp", "--listen", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).expect("it does not start");
        let url = format!("http://{}", told["listening"].as_str().unwrap());
        Self { process, url }
    }

    fn psp(&self, dialect: Dialect, key: &str) -> Arc<dyn Psp> {
        let (url, authorities) = (self.url.clone(), Vec::new());
        let endpoint = Endpoint { url, authorities, timeout: Duration::from_secs(30) };
        let key = ApiKey::new(key).unwrap();
        match dialect {
            Dialect::Razorpay => Arc::new(Razorpay::new("upi", &endpoint, "rzp", key).unwrap()),
            _ => Arc::new(Stripe::new("cards", &endpoint, key, true).unwrap()),
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn key(operation: u128) -> CallKey {
    CallKey { operation: Uuid::from_u128(operation), generation: 0 }
}

fn inr(minor: i64) -> Money {
    Money::new(minor, "INR".parse().unwrap())
}

async fn authorize(psp: &dyn Psp, operation: u128, token: &str) -> Answer {
    let (token, action_until) = (token.parse().unwrap(), Timestamp::MAX);
    let (key, amount, customer) = (key(operation), inr(5_000), None);
    psp.authorize(Authorize { key, amount, token, customer, action_until }).await
}

#[tokio::test]
async fn a_simulator_takes_and_returns_money_in_both_dialects() {
    let simulator = Simulator::start(&["--seed", "7", "--key", "sk_simulated"]);
    for (number, dialect) in [(100, Dialect::Stripe), (200, Dialect::Razorpay)] {
        let psp = simulator.psp(dialect, "sk_simulated");
        // The answer is lost; it is found by our reference, and is there once.
        let lost = authorize(&*psp, number, "tok_timeout_after").await;
        assert!(matches!(lost, Answer::Unknown { .. }), "{dialect} {lost:?}");
        let operation = OurReference(key(number).operation);
        let found = psp.find(&Lookup { operation, kind: Kind::Authorize, about: None }).await;
        let Found::Known(Answer::Done { reference: authorization, .. }) = found else {
            panic!("{dialect} {found:?}");
        };
        let (key_of_capture, amount) = (key(number + 1), inr(5_000));
        let payment = authorization.clone();
        let call = Capture { key: key_of_capture, authorization, amount, more_follows: false };
        let captured = psp.capture(call).await;
        let Answer::Done { reference: capture, amount, .. } = captured else {
            panic!("{dialect} {captured:?}");
        };
        assert_eq!(amount, inr(5_000), "{dialect}");
        let refund = Refund { key: key(number + 2), capture, amount: inr(1_200) };
        let refunded = psp.refund(refund).await;
        let Answer::Done { reference, .. } = refunded else { panic!("{dialect} {refunded:?}") };
        // Both are known by the provider's own names too, as of somebody else.
        for (kind, minor) in [(Kind::Refund, 1_200), (Kind::Capture, 5_000)] {
            let theirs = Theirs { kind, payment: payment.clone(), reference: reference.clone() };
            let looked = psp.look(&theirs).await;
            let Found::Known(Answer::Done { amount, .. }) = looked else {
                panic!("{dialect} {kind} {looked:?}");
            };
            assert_eq!(amount, inr(minor), "{dialect} {kind}");
        }
        let stranger = simulator.psp(dialect, "sk_other");
        let refused = authorize(&*stranger, number + 3, "tok_visa").await;
        assert!(matches!(refused, Answer::Refused { repairable: true, .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn a_simulator_sends_webhooks_that_are_verified() {
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", door.local_addr().unwrap());
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "whsec_simulated_1\n").unwrap();
    let file = file.to_str().unwrap();
    let simulator =
        Simulator::start(&["--webhook-url", &url, "--webhook-secret-file", file, "--seed", "7"]);
    let psp = simulator.psp(Dialect::Stripe, "any");
    let made = authorize(&*psp, 1, "tok_visa").await;
    assert!(matches!(made, Answer::Done { .. }), "{made:?}");
    let received = tokio::time::timeout(Duration::from_secs(60), receive(&door)).await;
    let (headers, body) = received.expect("no webhook came");
    let secret = Secret::new(Dialect::Stripe, "whsec_simulated_1").unwrap();
    let verifier = Verifier::new(Dialect::Stripe, vec![secret]).unwrap();
    let now = Timestamp::from_micros(jiff::Timestamp::now().as_microsecond());
    assert_eq!(verifier.verify(&headers, &body, now), Ok(()));
    let event = verifier.read(&body).unwrap();
    assert_eq!(event.what, What::Authorized { amount: inr(5_000) });
    assert_eq!(event.our_reference, Some(OurReference(key(1).operation)));
}

async fn receive(door: &TcpListener) -> (HeaderMap, Vec<u8>) {
    let (mut stream, _) = door.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).await.unwrap();
        bytes.extend_from_slice(&some[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let mut headers = HeaderMap::new();
        for line in std::str::from_utf8(&bytes[..end]).unwrap().lines().skip(1) {
            let (name, value) = line.split_once(": ").unwrap();
            headers.insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
        if bytes.len() >= end + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            return (headers, bytes[end + 4..].to_vec());
        }
    }
}

#[test]
fn a_simulator_refuses_what_would_surprise() {
    for (flags, expected) in [
        (&["--listen", "0.0.0.0:0"][..], "--any-network"),
        (&["--odds", "nonsense=1"], "is no script"),
        (&["--odds", "busy=1001"], "N of 0 to 1000"),
        (&["--webhook-odds", "lost=1"], "dropped, doubled, delayed"),
        (&["--webhook-dialect", "paypal"], "not simulator, stripe or razorpay"),
        // Without a secret nothing is signed, and nothing sent.
        (&["--webhook-url", "http://127.0.0.1:1/"], "--webhook-secret"),
        (&["--webhook-url", "http://127.0.0.1:1/", "--webhook-secret", "short"], "8 to 200"),
        (&["--token", "abc"], "calls no engine"),
    ] {
        let output = ordinal(&[&["psp"], flags].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
}

#[test]
fn providers_of_the_settings_are_checked_at_the_start() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("stripe.key"), "sk_test_secret").unwrap();
    let file = folder.path().join("ordinal.toml");
    let checked = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = ordinal(&["serve", "--print-config", "--config", file.to_str().unwrap()]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), error, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let cards = "[[psps]]\nname = \"cards\"\ndialect = \"stripe\"\nsecret-file = \"stripe.key\"\n";
    let (code, error, shown) = checked(cards);
    assert_eq!(code, Some(0), "{error}");
    assert!(shown.contains("psps = ") && !shown.contains("sk_test_secret"), "{shown}");
    let (_, error, _) = checked("[[psps]]\nname = \"play\"\ndialect = \"simulator\"\n");
    assert!(error.contains("no money moves"), "{error}");
    for (change, with, expected) in [
        ("\"stripe\"", "\"paypal\"", "not simulator, stripe or razorpay"),
        ("secret-file", "secret-files", "unknown key secret-files"),
        ("stripe.key", "nowhere", "nowhere"),
    ] {
        let (code, error, _) = checked(&cards.replacen(change, with, 1));
        assert_eq!(code, Some(2), "{with}");
        assert!(error.contains(expected) && !error.contains("sk_test_secret"), "{error}");
    }
}
