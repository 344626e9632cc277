//! Commands by the stream: the same answers as by calls, in order per order.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures::stream;
use order_actor::grpc::proto::execute_commands_request::Command;
use order_actor::grpc::proto::execute_commands_response::Outcome;
use order_actor::grpc::proto::order_service_client::OrderServiceClient;
use order_actor::grpc::{Refused, proto};
use ordinal::client::{Caller, Client, Connection};
use prost::Message as _;
use shared_events::chance::Chance;
use tonic::{Code, Streaming};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::nodes::{databases, node};
use crate::shop::{On, Shop, TestDatabase, on_both};
use crate::support::{Engine, PATIENCE, free_port};
use crate::wire::reason;

fn place(order_id: Uuid, units: u32) -> Command {
    Command::PlaceOrder(proto::PlaceOrderRequest {
        order_id: order_id.to_string(),
        customer_id: Uuid::from_u128(0xC).to_string(),
        lines: vec![proto::NewLine {
            sku: "MUG".into(),
            quantity: units,
            unit_price: Some(proto::Money { currency_code: "GBP".into(), units: 4, nanos: 0 }),
            ..proto::NewLine::default()
        }],
        address: Some(Box::new(proto::Address {
            street: "1 Street".into(),
            city: "London".into(),
            postal_code: "W1".into(),
            country: "GB".into(),
            ..proto::Address::default()
        })),
        ..proto::PlaceOrderRequest::default()
    })
}

fn cancel(order_id: Uuid) -> Command {
    Command::CancelOrder(proto::CancelOrderRequest {
        order_id: order_id.to_string(),
        ..Default::default()
    })
}

fn fulfill(order_id: Uuid) -> Command {
    Command::FulfillOrder(proto::FulfillOrderRequest {
        order_id: order_id.to_string(),
        shipment_id: Uuid::now_v7().to_string(),
        carrier: "Van".into(),
        ..Default::default()
    })
}

/// Tagged with their index.
fn tagged(commands: Vec<Command>, brief: bool) -> Vec<proto::ExecuteCommandsRequest> {
    (0..)
        .zip(commands)
        .map(|(tag, command)| proto::ExecuteCommandsRequest { tag, brief, command: Some(command) })
        .collect()
}

/// An operator who calls this engine.
async fn operator(engine: &Engine) -> Client {
    let caller = Caller { role: "ops".to_owned(), subject: "anna".to_owned() };
    Client::connect(&Connection::new(engine.address.clone(), caller)).await.unwrap()
}

async fn begin(
    client: &Client,
    commands: impl futures::Stream<Item = proto::ExecuteCommandsRequest> + Send + 'static,
) -> Streaming<proto::ExecuteCommandsResponse> {
    let request = client.request(commands);
    let mut orders = OrderServiceClient::new(client.channel());
    orders.execute_commands(request).await.unwrap().into_inner()
}

/// The answers in the order of their arrival.
async fn answers(
    client: &Client,
    commands: Vec<proto::ExecuteCommandsRequest>,
) -> Vec<(u64, Outcome)> {
    let mut stream = begin(client, stream::iter(commands)).await;
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        answers.push((answer.tag, answer.outcome.unwrap()));
    }
    answers
}

fn done(outcome: &Outcome) -> &proto::CommandOutcome {
    match outcome {
        Outcome::Done(done) => done,
        Outcome::Refused(refused) => panic!("{refused:?}"),
    }
}

fn refused(outcome: &Outcome) -> &Refused {
    match outcome {
        Outcome::Refused(refused) => refused,
        Outcome::Done(done) => panic!("{done:?}"),
    }
}

on_both!(
    a_stream_of_commands_answers_as_calls_do,
    a_stream_of_commands_of_an_old_connection_answers_what_it_took,
);

async fn a_stream_of_commands_answers_as_calls_do(mut shop: Shop) {
    shop.restart(|settings| settings.stock_follower = false).await;
    let client = shop.as_caller("ops", "anna").await;
    let (one, two, absent) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let commands = vec![
        place(one, 3),
        place(two, 1),
        cancel(one),
        cancel(one),
        fulfill(one),
        place(two, 0),
        place(two, 2),
        cancel(absent),
    ];
    let mut requests = tagged(commands, false);
    requests.push(proto::ExecuteCommandsRequest { tag: 8, brief: false, command: None });
    let came = answers(&client, requests.clone()).await;
    // Those of one order in the order in which they were sent.
    let of_one: Vec<u64> =
        came.iter().map(|(tag, _)| *tag).filter(|tag| [0, 2, 3, 4].contains(tag)).collect();
    assert_eq!(of_one, [0, 2, 3, 4]);
    let by_tag: HashMap<u64, Outcome> = came.into_iter().collect();
    assert_eq!(by_tag.len(), 9);
    let placed = done(&by_tag[&0]);
    assert_eq!((placed.version, placed.order_id.as_str()), (1, one.to_string().as_str()));
    assert_eq!(placed.events.len(), 1);
    assert_eq!(placed.order.as_ref().unwrap().status(), proto::OrderStatus::Pending);
    assert_eq!(done(&by_tag[&2]).order.as_ref().unwrap().status(), proto::OrderStatus::Cancelled);
    assert_eq!((done(&by_tag[&3]).version, done(&by_tag[&3]).events.len()), (2, 0));

    // A refusal equals the one of a separate call.
    let mut orders = OrderServiceClient::new(client.channel());
    for tag in [4, 5, 6, 7] {
        let status = match requests[usize::try_from(tag).unwrap()].command.clone().unwrap() {
            Command::PlaceOrder(command) => {
                orders.place_order(client.request(command)).await.unwrap_err()
            }
            Command::CancelOrder(command) => {
                orders.cancel_order(client.request(command)).await.unwrap_err()
            }
            Command::FulfillOrder(command) => {
                orders.fulfill_order(client.request(command)).await.unwrap_err()
            }
            other => panic!("{other:?}"),
        };
        let brief_refusal = refused(&by_tag[&tag]);
        assert_eq!(brief_refusal.code, i32::from(status.code()), "{tag}");
        let alone = Refused::decode(status.details()).unwrap();
        let whole = tonic::Status::with_details(
            status.code(),
            brief_refusal.message.clone(),
            brief_refusal.encode_to_vec().into(),
        );
        let info = |status: &tonic::Status| {
            let info = status.get_details_error_info().unwrap();
            (info.reason, info.domain, info.metadata)
        };
        // The metadata of a reason is a map, whose bytes have no order.
        assert_eq!(
            (&brief_refusal.message, info(&whole)),
            (&alone.message, info(&status)),
            "{tag}"
        );
        assert_eq!(brief_refusal.details.get(1..), alone.details.get(1..), "{tag}");
    }
    assert_eq!(refused(&by_tag[&8]).code, i32::from(Code::InvalidArgument));

    // Brief answers say only that it was done and where; a repetition appends nothing.
    let again = answers(&client, tagged(vec![place(one, 3)], true)).await;
    let again = done(&again[0].1);
    assert_eq!((again.version, again.order.clone(), again.events.len()), (2, None, 0));
    assert_eq!(again.position, done(&by_tag[&2]).position);

    // Customers act for themselves.
    let customer = shop.as_caller("customer", &Uuid::now_v7().to_string()).await;
    let foreign = answers(&customer, tagged(vec![cancel(two)], false)).await;
    assert_eq!(refused(&foreign[0].1).code, i32::from(Code::NotFound));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_a_client_that_reads_no_answers_are_not_read() {
    let shop = Shop::open(On::Sqlite).await;
    let client = shop.as_caller("ops", "anna").await;
    let (sent, mut taken) = tokio::sync::watch::channel(0_u64);
    let commands = stream::iter((0..3_000).map(move |tag| {
        sent.send_replace(tag);
        // Larger than what both sides and the kernels buffer between them.
        let Command::PlaceOrder(mut order) = place(Uuid::now_v7(), 1) else { unreachable!() };
        order.lines = vec![order.lines[0].clone(); 40];
        let command = Some(Command::PlaceOrder(order));
        proto::ExecuteCommandsRequest { tag, brief: false, command }
    }));
    let mut stream = begin(&client, commands).await;
    // Sending begins without a reader and stops before the end.
    let mut sent = *taken.wait_for(|tag| *tag > 0).await.unwrap();
    loop {
        let more = tokio::time::timeout(Duration::from_secs(1), taken.changed()).await;
        match more {
            Ok(Ok(())) => sent = *taken.borrow_and_update(),
            Ok(Err(_)) => panic!("all was sent"),
            Err(_) => break,
        }
    }
    assert!(sent < 2_900, "{sent} were sent and none read");
    let mut tags = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        done(answer.outcome.as_ref().unwrap());
        tags.push(answer.tag);
    }
    tags.sort_unstable();
    assert_eq!(tags, (0..3_000).collect::<Vec<_>>());
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_engine_answers_accepted_commands_and_says_that_it_stops() {
    let mut shop = Shop::open(On::Sqlite).await;
    let client = shop.as_caller("ops", "anna").await;
    let (sender, commands) = tokio::sync::mpsc::channel(1);
    let commands = tokio_stream::wrappers::ReceiverStream::new(commands);
    let mut stream = begin(&client, commands).await;
    for request in tagged(vec![place(Uuid::now_v7(), 1), place(Uuid::now_v7(), 1)], true) {
        sender.send(request).await.unwrap();
        done(stream.message().await.unwrap().unwrap().outcome.as_ref().unwrap());
    }
    // Many more, without waiting for any answer.
    let orders: Vec<Uuid> = (0..400).map(|_| Uuid::now_v7()).collect();
    let requests = tagged(orders.iter().map(|order| place(*order, 1)).collect(), true);
    let sending = tokio::spawn(async move {
        for request in requests {
            if sender.send(request).await.is_err() {
                break;
            }
        }
        // However fast they are executed, the engine ends the stream, not the caller.
        sender.closed().await;
    });
    let first = stream.message().await.unwrap().unwrap();
    let mut answered = HashSet::from([first.tag]);
    let read = async {
        loop {
            match stream.message().await {
                Ok(Some(answer)) => {
                    done(answer.outcome.as_ref().unwrap());
                    answered.insert(answer.tag);
                }
                other => break other.unwrap_err(),
            }
        }
    };
    let (status, ()) = tokio::join!(read, shop.stop());
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "STOPPING");
    drop(stream);
    sending.await.unwrap();
    // Every executed command was answered, and every answered one was executed.
    shop.start(|_| {}).await;
    for (tag, order) in (0..).zip(&orders) {
        let get = proto::GetOrderRequest { order_id: order.to_string(), ..Default::default() };
        let client = &shop.ops;
        let mut orders = OrderServiceClient::new(client.channel());
        let there = orders.get_order(client.request(get)).await.is_ok();
        assert_eq!(there, answered.contains(&tag), "{tag}");
    }
    shop.close().await;
}

/// Commands come without end, until their connection has reached its age.
async fn a_stream_of_commands_of_an_old_connection_answers_what_it_took(mut shop: Shop) {
    shop.restart(|settings| {
        settings.connections.age = Duration::from_secs(1);
        // Streams end halfway.
        settings.connections.grace = Duration::from_secs(6);
    })
    .await;
    let client = shop.as_caller("ops", "anna").await;
    let (sender, commands) = tokio::sync::mpsc::channel(1);
    let commands = tokio_stream::wrappers::ReceiverStream::new(commands);
    let mut stream = begin(&client, commands).await;
    let sending = tokio::spawn(async move {
        let mut orders = Vec::new();
        loop {
            let order = Uuid::now_v7();
            let mut request = tagged(vec![place(order, 1)], true).remove(0);
            request.tag = orders.len().try_into().unwrap();
            orders.push(order);
            if sender.send(request).await.is_err() {
                return orders;
            }
            // Some hundred orders, and no more than have to be looked at.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut answered = HashSet::new();
    let status = loop {
        match stream.message().await {
            Ok(Some(answer)) => {
                done(answer.outcome.as_ref().unwrap());
                answered.insert(answer.tag);
            }
            other => break other.unwrap_err(),
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["connection"].as_str()), ("STOPPING", "aged"));
    drop(stream);
    let orders = sending.await.unwrap();
    assert!(!answered.is_empty());
    // Every executed command was answered, and every answered one was executed.
    shop.restart(|_| {}).await;
    for (tag, order) in (0..).zip(&orders) {
        let get = proto::GetOrderRequest { order_id: order.to_string(), ..Default::default() };
        let mut orders = OrderServiceClient::new(shop.ops.channel());
        let there = orders.get_order(shop.ops.request(get)).await.is_ok();
        assert_eq!(there, answered.contains(&tag), "{tag}");
    }
    shop.close().await;
}

#[test]
fn a_stream_to_either_of_two_nodes_reaches_every_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let url = database.url();
    let node = |name| {
        Engine::start_with(&["--node-name", name, "--database-url", &url, "--without-stock"])
    };
    let (a, b) = (node("a"), node("b"));
    runtime.block_on(async {
        let orders: Vec<Uuid> = (0..64).map(|_| Uuid::now_v7()).collect();
        for (engine, commands) in [
            (&a, orders.iter().map(|order| place(*order, 1)).collect::<Vec<_>>()),
            (&b, orders.iter().map(|order| cancel(*order)).collect()),
        ] {
            let came = answers(&operator(engine).await, tagged(commands, false)).await;
            let shards: std::collections::BTreeSet<u32> =
                came.iter().map(|(_, one)| done(one).position.unwrap().shard).collect();
            assert_eq!(came.len(), 64);
            // Both nodes own some of them.
            assert!(shards.len() > 8, "{shards:?}");
        }
    });
    assert!(a.stop().success());
    assert!(b.stop().success());
    runtime.block_on(database.drop());
}

/// After some were sent in vain, nothing more is sent: those are refused, and were not begun.
#[test]
fn commands_for_a_node_that_is_away_are_not_forwarded() {
    let (runtime, [database]) = databases();
    let (url, nowhere) = (database.url(), format!("127.0.0.1:{}", free_port()));
    let flags = ["--database-url", &url, "--without-stock"];
    let a = node("a", &flags);
    // The others look for it where nobody is.
    let b = node("b", &[&flags[..], &["--advertise", &nowhere]].concat());
    runtime.block_on(async {
        let client = operator(&a).await;
        let (mut not_sent, patience) = (Vec::new(), Instant::now() + 2 * PATIENCE);
        while not_sent.is_empty() {
            assert!(Instant::now() < patience, "all commands are sent");
            let orders: Vec<Uuid> = (0..32).map(|_| Chance::system().uuid()).collect();
            let commands = orders.iter().map(|order| place(*order, 1)).collect();
            let came = answers(&client, tagged(commands, true)).await;
            assert_eq!(came.len(), orders.len());
            for (tag, outcome) in came {
                let Outcome::Refused(refused) = outcome else { continue };
                let (code, message) = (Code::from(refused.code), refused.message.clone());
                let details = refused.encode_to_vec().into();
                let status = tonic::Status::with_details(code, message, details);
                assert_eq!(code, Code::Unavailable, "{status}");
                if reason(&status) == "NOT_FORWARDED" {
                    not_sent.push(orders[usize::try_from(tag).unwrap()]);
                }
            }
        }
        // The node that they belong to knows nothing of them.
        let client = operator(&b).await;
        let mut orders = OrderServiceClient::new(client.channel());
        for order in not_sent {
            let get = proto::GetOrderRequest { order_id: order.to_string(), ..Default::default() };
            let missing = orders.get_order(client.request(get)).await.unwrap_err();
            assert_eq!(missing.code(), Code::NotFound, "{missing}");
        }
    });
    assert!(a.stop().success());
    assert!(b.stop().success());
    runtime.block_on(database.drop());
}
