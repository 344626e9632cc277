//! Answers of many messages, and calls that take many.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer as _, Service as _};

use super::{Process, descriptors, empty, get, post, with};
use crate::rest::frames::frame;

fn change(shard: u32, position: u64) -> Value {
    json!({ "change": { "position": { "shard": shard, "position": position } } })
}

#[tokio::test]
async fn a_stream_of_lines_ends_with_its_end() {
    let progress = json!({ "progress": { "through": [
        { "shard": 0, "position": 4 }, { "shard": 1, "position": 0 },
    ] } });
    let process = Process::new(&[progress, change(1, 1)]);
    let (status, headers, text) = process.text(empty(get("/v1/orders:watch"))).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "application/x-ndjson"));
    assert!(text.ends_with('\n'));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["change"]["position"]["position"], "1");
    assert_eq!(lines[2]["end"], json!({}));
    assert_eq!(lines[2]["cursor"], lines[1]["cursor"]);
    assert_ne!(lines[1]["cursor"], lines[0]["cursor"]);
    // It continues after the cursor, and misses nothing of shards that were empty.
    let cursor = lines[2]["cursor"].as_str().unwrap();
    for request in [
        get("/v1/orders:watch").header("last-event-id", cursor),
        get(&format!("/v1/orders:watch?after={cursor}")),
    ] {
        process.text(empty(request)).await;
        let message = process.asked().pop().unwrap().message;
        let after = json!([{ "shard": 0, "position": "4" }, { "shard": 1, "position": "1" }]);
        let plain: Vec<Value> = message["after"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| json!({ "shard": one.get("shard").unwrap_or(&json!(0)), "position": one["position"] }))
            .collect();
        assert_eq!(json!(plain), after);
        assert_eq!(message["fromBeginning"], true);
    }
    let forged = get("/v1/orders:watch").header("last-event-id", "nonsense");
    assert_eq!(process.text(empty(forged)).await.0, 400);
}

#[tokio::test]
async fn a_stream_that_breaks_says_so() {
    let process = Process::new(&[change(0, 1)]).ending(Status::unavailable("stopping"));
    let (status, _, text) = process.text(empty(get("/v1/orders:watch"))).await;
    assert_eq!(status, 200);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["problem"]["status"], 503);
    let events = get("/v1/orders:watch").header("accept", "text/event-stream");
    let (_, headers, text) = process.text(empty(events)).await;
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["x-accel-buffering"], "no");
    let events: Vec<&str> = text.split_terminator("\n\n").collect();
    assert!(events[0].starts_with("id: ") && events[0].contains("\nevent: change\ndata: {"));
    assert!(events[1].contains("\nevent: problem\n"), "{text}");
    // Refused before its first item, it is answered as any other call is.
    let refused = Process::new(&[]).ending(Status::permission_denied("no"));
    let (status, headers, _) = refused.json(empty(get("/v1/orders:watch"))).await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (403, "application/problem+json")
    );
}

#[tokio::test]
async fn a_stream_is_not_one_object() {
    let process = Process::new(&[change(0, 1)]);
    let request = get("/v1/orders:watch").header("accept", "application/json");
    let (status, _, problem) = process.json(empty(request)).await;
    assert_eq!((status, &problem["code"]), (406, &json!("NOT_ACCEPTABLE")));
    assert!(process.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_of_events_says_that_it_lives() {
    let inner = tower::service_fn(|_: Request<Body>| async {
        let pool = DescriptorPool::decode(descriptors().as_slice()).unwrap();
        let output = pool.get_message_by_name("ordinal.orders.v1.WatchOrdersResponse").unwrap();
        let first = DynamicMessage::deserialize(output, change(0, 1)).unwrap();
        let first =
            futures::stream::once(async move { Ok::<_, Status>(Frame::data(frame(&first))) });
        let body = StreamBody::new(first.chain(futures::stream::pending()).boxed());
        Ok::<_, Infallible>(Response::new(Body::new(body)))
    });
    let request = empty(get("/v1/orders:watch").header("accept", "text/event-stream"));
    let Ok(answer) = Process::new(&[]).edge.layer(inner).call(request).await;
    let mut body = answer.into_body();
    let mut next = async || body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(next().await.starts_with(b"id: "));
    let began = tokio::time::Instant::now();
    assert_eq!(next().await, Bytes::from_static(b":\n\n"));
    assert_eq!(began.elapsed(), Duration::from_secs(15));
}

#[tokio::test]
async fn commands_by_lines_are_messages_of_one_call() {
    let process = Process::new(&[json!({ "tag": "1", "done": { "order_id": "a" } })]);
    let lines = "{\"tag\": 1, \"cancel_order\": {\"order_id\": \"a\"}}\r\n\n{\"tag\": \"2\"}";
    let request = post("/v1/orders:batch").header("accept", "application/x-ndjson");
    let (status, _, text) = process.text(with(request, lines)).await;
    assert_eq!(status, 200, "{text}");
    let tags: Vec<Value> =
        process.asked().into_iter().map(|asked| asked.message["tag"].clone()).collect();
    assert_eq!(tags, ["1", "2"]);
    let answers: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[0]["done"]["order_id"], "a");
    assert_eq!(answers[1], json!({ "end": {} }));
    // The lines before one that cannot be read are answered.
    let (_, _, text) =
        process.text(with(post("/v1/orders:batch"), "{}\n{\"tagg\": 1}\n{}\n")).await;
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["problem"]["metadata"]["line"], "2", "{text}");
    assert_eq!(last["problem"]["errors"][0]["field"], "tagg");
    assert_eq!(process.asked().len(), 3);
}
