use std::net::Ipv4Addr;

use order_actor::clock::ManualClock;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::certificate::{Nearness, Validity};
use super::plaintext::has_call;
use super::tally::Tally;
use super::*;

/// A certificate of its own for `localhost`, and its key, as PEM.
fn pair() -> (String, String, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 3, 1);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem(), certificate.der().to_vec())
}

#[test]
fn a_certificate_says_when_it_counts() {
    let validity = Validity::of(&pair().2).unwrap();
    let at = |text: &str| text.parse().unwrap();
    assert!(validity.invalid_at(at("2025-12-31T23:59:59Z")).unwrap().contains("counts from 2026"));
    assert_eq!(validity.invalid_at(at("2026-01-01T00:00:00Z")), None);
    assert!(validity.invalid_at(at("2026-03-01T00:00:01Z")).unwrap().contains("has expired"));
    assert_eq!(validity.nearness(at("2026-02-14T00:00:00Z")), Nearness::Far);
    assert_eq!(validity.nearness(at("2026-02-15T00:00:01Z")), Nearness::Soon);
    assert_eq!(validity.nearness(at("2026-03-01T00:00:01Z")), Nearness::Over);
    assert!(Validity::of(b"nothing").is_err());
}

#[test]
fn a_call_is_seen_behind_the_frames_before_it() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let headers = [0, 0, 1, 1, 4, 0, 0, 0, 1, 130];
    let begun = [preface.clone(), settings.to_vec()].concat();
    assert!(!has_call(&preface) && !has_call(&begun) && !has_call(&begun[..30]));
    assert!(has_call(&[begun, headers.to_vec()].concat()));
}

#[tokio::test(start_paused = true)]
async fn what_strangers_cause_is_logged_once_a_minute() {
    let tally = Tally::default();
    assert_eq!(tally.one_more(), Some(1));
    assert_eq!((tally.one_more(), tally.one_more()), (None, None));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(tally.one_more(), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_ends_after_ten_seconds() {
    let folder = tempfile::TempDir::new().unwrap();
    let (cert, key, _) = pair();
    let files = ServerFiles {
        cert: folder.path().join("cert"),
        key: folder.path().join("key"),
        clients: None,
    };
    std::fs::write(&files.cert, cert).unwrap();
    std::fs::write(&files.key, key).unwrap();
    let clock = ManualClock::new("2026-02-01T00:00:00Z".parse().unwrap());
    let tls = ServerTls::open(files, Arc::new(clock)).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let began = Instant::now();
    for first in [&b""[..], &[22, 3, 1]] {
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.try_write(first).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        assert!(tls.accept(socket).await.is_none());
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    }
    assert!(began.elapsed() >= Duration::from_secs(20), "{:?}", began.elapsed());
}
