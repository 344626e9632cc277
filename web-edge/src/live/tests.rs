#![allow(clippy::disallowed_methods, reason = "tests have tasks of their own")]

use bytes::Bytes;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::ask::Ask;
use super::*;

#[test]
fn a_watch_is_the_address_of_its_call() {
    let text = r#"{"watch": {"order_ids": ["a", "b&c"], "from_beginning": true}, "id": "x"}"#;
    let uri = "/v1/orders:watch?order%5Fids=a&order%5Fids=b%26c&from%5Fbeginning=true".to_owned();
    let watch = Ask::Watch { id: "x".to_owned(), uri, after: None };
    assert_eq!(Ask::read(text), Ok(watch));
    let text = r#"{"watch": {}, "id": "x", "after": "AQ"}"#;
    let uri = "/v1/orders:watch?after=AQ".to_owned();
    let watch = Ask::Watch { id: "x".to_owned(), uri, after: Some("AQ".to_owned()) };
    assert_eq!(Ask::read(text), Ok(watch));
    let all = Ask::Watch { id: "x".to_owned(), uri: "/v1/orders:watch".to_owned(), after: None };
    assert_eq!(Ask::read(r#"{"watch": {}, "id": "x"}"#), Ok(all));
}

#[test]
fn a_watch_of_a_wallet_is_the_address_of_its_call() {
    for (customer, uri) in [
        ("0190a0b0-0000-7000-8000-000000000001", None),
        ("a/b:watch?c", Some("/v1/wallets/a%2Fb%3Awatch%3Fc:watch")),
    ] {
        let text = json!({ "watch_wallet": customer, "id": "w" }).to_string();
        let plain = format!("/v1/wallets/{customer}:watch");
        let uri = uri.map_or(plain, str::to_owned);
        let watch = Ask::Watch { id: "w".to_owned(), uri, after: None };
        assert_eq!(Ask::read(&text), Ok(watch));
    }
    // There is no place in it to resume at: the call says so, as it does by HTTP.
    let text = r#"{"watch_wallet": "c", "id": "w", "after": "AQ"}"#;
    let Ok(Ask::Watch { uri, .. }) = Ask::read(text) else { panic!("refused") };
    assert_eq!(uri, "/v1/wallets/c:watch?after=AQ");
    let nobodys = Ask::read(r#"{"watch_wallet": "", "id": "w"}"#);
    assert_eq!(nobodys, Err("watch_wallet: the id of a customer".to_owned()));
}

#[test]
fn what_is_no_message_is_refused_without_its_text() {
    for text in [
        "secret",
        "{}",
        r#"{"watch": {}}"#,
        r#"{"watch": {}, "id": ""}"#,
        r#"{"watch": {"order_ids": {"secret": 1}}, "id": "a"}"#,
        r#"{"token": "secret", "id": "a"}"#,
        r#"{"secret": 1}"#,
        r#"{"watch": {"tag": "secret", "tag": "other"}, "id": "a"}"#,
        r#"{"watch": {}, "id": "a", "id": "secret"}"#,
        r#"{"watch_wallet": "secret"}"#,
        r#"{"watch_wallet": ["secret"], "id": "a"}"#,
        r#"{"watch_wallet": "secret", "watch": {}, "id": "a"}"#,
    ] {
        let what = Ask::read(text).unwrap_err();
        assert!(!what.contains("secret"), "{what}");
    }
    let twice = Ask::read(r#"{"watch": {"tag": "a", "tag": "b"}, "id": "a"}"#);
    assert_eq!(twice, Err("watch.tag: given twice".to_owned()));
}

/// A session with a client whose watches never say more than the lines given to them.
fn served(lines: &'static [&'static str], age: Duration) -> WebSocketStream<DuplexStream> {
    served_until(lines, age, CancellationToken::new())
}

/// The same until a stop.
fn served_until(
    lines: &'static [&'static str],
    age: Duration,
    stop: CancellationToken,
) -> WebSocketStream<DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(8 * 1024);
    let watch: Watch = Arc::new(move |_: &str, headers: HeaderMap| {
        let known = headers.get(AUTHORIZATION).is_none_or(|token| token == "Bearer good");
        let answer = match known {
            true => {
                let given = lines.iter().map(|line| Bytes::from_static(line.as_bytes()));
                let given = futures::stream::iter(given).chain(futures::stream::pending());
                let frames = given.map(|line| Ok::<_, Infallible>(http_body::Frame::data(line)));
                Response::new(Body::new(http_body_util::StreamBody::new(frames)))
            }
            false => Problem::new(Reason::Unauthenticated, "unknown").into_response(),
        };
        Box::pin(std::future::ready(answer))
    });
    let terms = Terms { headers: HeaderMap::new(), watch, age, stop };
    tokio::spawn(session::run(theirs, terms));
    WebSocketStream::from_raw_socket(ours, Role::Client, None).now_or_never().unwrap()
}

const HOUR: Duration = Duration::from_secs(3_600);

/// What comes next: a text, or with what code the socket is closed.
async fn next(socket: &mut WebSocketStream<DuplexStream>) -> Result<String, u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(close))) => return Err(close.unwrap().code.into()),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn say(socket: &mut WebSocketStream<DuplexStream>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_closed_where_no_watch_is_let_in() {
    let began = Instant::now();
    let mut socket = served(&[], HOUR);
    say(&mut socket, r#"{"token": "bad"}"#).await;
    say(&mut socket, r#"{"watch": {}, "id": "a"}"#).await;
    let problem = next(&mut socket).await.unwrap();
    assert!(problem.contains("UNAUTHENTICATED"), "{problem}");
    assert_eq!(next(&mut socket).await, Err(1008));
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_closed_where_nothing_is_watched_any_more() {
    let mut socket = served(&["{\"progress\":{},\"cursor\":\"AQ\"}\n"], HOUR);
    say(&mut socket, r#"{"watch": {}, "id": "a"}"#).await;
    let first = next(&mut socket).await.unwrap();
    assert_eq!(first, r#"{"id":"a","progress":{},"cursor":"AQ"}"#);
    let watched = Instant::now();
    say(&mut socket, r#"{"unwatch": "a"}"#).await;
    let end = next(&mut socket).await.unwrap();
    assert_eq!(end, r#"{"cursor":"AQ","end":{},"id":"a"}"#);
    assert_eq!(next(&mut socket).await, Err(1000));
    assert_eq!(watched.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_asked_whether_it_is_there_and_left_if_not() {
    let began = Instant::now();
    let mut socket = served(&["{\"progress\":{},\"cursor\":\"AQ\"}\n"], HOUR * 2);
    say(&mut socket, r#"{"watch": {}, "id": "a"}"#).await;
    next(&mut socket).await.unwrap();
    // Its library answers, as long as it reads.
    while began.elapsed() < HOUR {
        assert!(matches!(socket.next().await, Some(Ok(Message::Ping(_)))));
        socket.flush().await.unwrap();
    }
    // A client that says nothing is gone after a while: its connection is closed.
    let mut raw = socket.into_inner();
    let silent = Instant::now();
    tokio::io::copy(&mut raw, &mut tokio::io::sink()).await.unwrap();
    assert_eq!(silent.elapsed().as_secs(), 45);
}

#[tokio::test(start_paused = true)]
async fn a_socket_ends_with_the_cursor_of_each_watch() {
    let began = Instant::now();
    let mut socket = served(&["{\"progress\":{},\"cursor\":\"AQ\"}\n"], HOUR);
    say(&mut socket, r#"{"watch": {}, "id": "a"}"#).await;
    next(&mut socket).await.unwrap();
    let behind = next(&mut socket).await.unwrap();
    assert_eq!(behind, r#"{"behind":{},"cursor":"AQ","id":"a"}"#);
    assert_eq!(next(&mut socket).await, Err(1001));
    assert_eq!(began.elapsed(), HOUR);
}

/// Longer than the pipe between the two.
fn long(cursor: &str) -> &'static str {
    let change = "x".repeat(9 * 1024);
    format!("{{\"change\":\"{change}\",\"cursor\":\"{cursor}\"}}\n").leak()
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_cut_at_the_last_change_that_it_gets() {
    let lines = vec![long("A1"), long("A2"), long("A3")].leak();
    let mut socket = served(lines, HOUR);
    say(&mut socket, r#"{"watch": {}, "id": "a"}"#).await;
    sleep(Duration::from_secs(30)).await;
    let first = next(&mut socket).await.unwrap();
    assert!(first.contains("\"A1\""));
    assert_eq!(next(&mut socket).await.unwrap(), r#"{"behind":{},"cursor":"A1","id":"a"}"#);
    // It is served again, where it was.
    say(&mut socket, r#"{"watch": {}, "id": "a", "after": "A1"}"#).await;
    assert!(next(&mut socket).await.unwrap().contains("\"A1\""));
    // One that never reads is left.
    let mut raw = socket.into_inner();
    sleep(Duration::from_secs(66)).await;
    let mut rest = Vec::new();
    raw.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() < 20 * 1024, "{}", rest.len());
}

/// Its items have no cursors: each is the whole wallet.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_wallet_begins_with_all_of_it_again() {
    let wallet = |units: u32| -> &'static str {
        let name = "x".repeat(9 * 1024);
        format!("{{\"wallet\":{{\"units\":{units},\"name\":\"{name}\"}}}}\n").leak()
    };
    let mut socket = served(vec![wallet(1), wallet(2), wallet(3)].leak(), HOUR);
    let watch = r#"{"watch_wallet": "c", "id": "a"}"#;
    say(&mut socket, watch).await;
    sleep(Duration::from_secs(30)).await;
    let first = next(&mut socket).await.unwrap();
    assert!(first.starts_with(r#"{"id":"a","wallet":{"units":1,"#), "{first}");
    assert_eq!(next(&mut socket).await.unwrap(), r#"{"behind":{},"id":"a"}"#);
    say(&mut socket, watch).await;
    assert!(next(&mut socket).await.unwrap().contains(r#""units":1,"#));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_without_end_is_closed_in_time() {
    let began = Instant::now();
    let mut socket = served(&[], HOUR);
    let mut pings = 0;
    let code = loop {
        if socket.send(Message::Ping(Bytes::new())).await.is_err() {
            break None;
        }
        pings += 1;
        match socket.next().await {
            Some(Ok(Message::Close(close))) => break close.map(|close| u16::from(close.code)),
            Some(Ok(_)) => tokio::time::advance(Duration::from_millis(10)).await,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code, Some(1008));
    assert!(pings > 100 && began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
}

/// Its watches have not said that they end.
#[tokio::test(start_paused = true)]
async fn a_stop_waits_briefly_for_watches_and_readers() {
    let stop = CancellationToken::new();
    let line = &["{\"progress\":{},\"cursor\":\"AQ\"}\n"];
    let mut socket = served_until(line, HOUR, stop.clone());
    say(&mut socket, r#"{"watch": {}, "id": "a"}"#).await;
    next(&mut socket).await.unwrap();
    let stopped = Instant::now();
    stop.cancel();
    assert_eq!(next(&mut socket).await.unwrap(), r#"{"behind":{},"cursor":"AQ","id":"a"}"#);
    assert_eq!(next(&mut socket).await, Err(1001));
    assert_eq!(stopped.elapsed().as_secs(), 2);
    // A client that does not read at all is not waited for.
    let stop = CancellationToken::new();
    let mut socket = served_until(vec![long("A1"), long("A2")].leak(), HOUR, stop.clone());
    say(&mut socket, r#"{"watch": {}, "id": "a"}"#).await;
    sleep(Duration::from_secs(1)).await;
    stop.cancel();
    let mut raw = socket.into_inner();
    sleep(Duration::from_secs(3)).await;
    let mut rest = Vec::new();
    raw.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() < 9 * 1024, "{}", rest.len());
}
