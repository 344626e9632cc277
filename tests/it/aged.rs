//! What happens to streams whose connection has reached its age, through the real edge.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;

use crate::http::Http;
use crate::rest::events;
use crate::shop::{Shop, on_both};
use crate::socket::Socket;
use crate::support::PATIENCE;

on_both!(streams_of_an_old_connection_say_that_they_can_be_resumed);

async fn streams_of_an_old_connection_say_that_they_can_be_resumed(mut shop: Shop) {
    shop.restart(|settings| {
        settings.connections.age = Duration::from_secs(1);
        // Streams end halfway.
        settings.connections.grace = Duration::from_secs(6);
    })
    .await;
    let by_events = async {
        let mut http = Http::connect(&shop.address).await;
        http.head("GET /v1/orders:watch", &[("accept", "text/event-stream")]).await;
        assert_eq!(http.answered().await.status, 200);
        let mut text = String::new();
        while let Some(chunk) = http.chunk().await {
            text.push_str(&chunk);
        }
        let (cursor, kind, problem) = events(&text).pop().unwrap();
        assert_eq!((kind.as_str(), &problem["code"]), ("problem", &json!("STOPPING")));
        assert_eq!(problem["metadata"]["connection"], "aged", "{problem}");
        assert!(http.closes_within(PATIENCE).await);
        cursor
    };
    let by_grpc = async {
        let watch = "orders.v1.OrderService/WatchOrders";
        let mut watch = shop.ops.stream(watch, json!({})).await.unwrap();
        loop {
            match watch.next().await.expect("the stream says how it ended") {
                Ok(item) => assert!(item["progress"].is_object(), "{item}"),
                Err(failure) => break assert_eq!(failure.reason(), "STOPPING", "{failure:?}"),
            }
        }
    };
    let by_socket = async {
        let mut socket = Socket::open(&shop.address, &[]).await;
        socket.watch("all", None).await;
        let end = socket.news().await;
        assert!(end["behind"].is_object() && end["cursor"].is_string(), "{end}");
        assert_eq!(socket.next().await, Err(Some(1001)));
        end["cursor"].as_str().unwrap().to_owned()
    };
    let (of_events, (), of_socket) = tokio::join!(by_events, by_grpc, by_socket);
    // Each goes on over another connection, after where it was.
    let order = shop.order(&[("MUG", 1)]);
    let placed = Http::connect(&shop.address).await.json("POST /v1/orders", &[], &order).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let order = order["order_id"].as_str().unwrap();
    for cursor in [of_events, of_socket] {
        let mut http = Http::connect(&shop.address).await;
        http.head("GET /v1/orders:watch", &[("last-event-id", cursor.as_str())]).await;
        assert_eq!(http.answered().await.status, 200);
        let first = loop {
            let chunk = http.chunk().await.unwrap();
            if chunk.contains("\"change\"") {
                break chunk;
            }
        };
        assert!(first.contains("OrderPlaced") && first.contains(order), "{first}");
    }
    // That a connection has an age is no failure of anybody.
    let health = Http::connect(&shop.address).await.call("GET /v1/health", &[]).await.json();
    assert_eq!(health["refused"], json!([]), "{health}");
    shop.close().await;
}
