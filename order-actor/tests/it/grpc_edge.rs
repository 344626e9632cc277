//! The services, called without a server: commands, reads of earlier versions, pages, and streams
//! that end, continue and resume.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use order_actor::actor::{Limits, Registry};
use order_actor::clock::{Clock as _, ManualClock};
use order_actor::domain::bounds::CUSTOMER_ASKS_MAX;
use order_actor::domain::{By, Policy};
use order_actor::grpc::OrdersEdge;
use order_actor::grpc::proto::journal_service_server::JournalService as _;
use order_actor::grpc::proto::order_service_server::OrderService as _;
use order_actor::grpc::proto::{self, read_events_response};
use order_actor::journal::{
    Fault, Journal, MemoryDisk, Options, open_memory, open_memory_on, open_sqlite,
};
use order_actor::projections::{OrderReturns, OrderSummaries, migrator};
use order_actor::replay::JournalSource;
use shared_events::chance::Chance;
use shared_events::contract::{CustomerId, OrderId, Timestamp};
use shared_events::stream::{Database, Dialect, FollowStatus, Transactional, everything, follow};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

struct Shop {
    edge: OrdersEdge,
    clock: ManualClock,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

async fn shop() -> Shop {
    let now = || Timestamp::from_micros(1_300_000_000_000_000);
    let options = Options { shards: 4, ..Options::new(Arc::new(now)) };
    shop_over(open_memory(options).await.unwrap()).await
}

async fn shop_over(journal: Journal) -> Shop {
    let clock = ManualClock::new(Timestamp::from_micros(1_300_000_000_000_000));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("orders.db");
    let database = Database::sqlite(&file, &migrator(Dialect::Sqlite)).await.unwrap();
    let summaries = OrderSummaries::new(database.clone());
    let returns = OrderReturns::new(database.clone());
    let stop = CancellationToken::new();
    let (time, stopped, source) =
        (clock.clone(), stop.clone(), JournalSource::new(journal.clone()));
    let handler = summaries.handler(journal.clone());
    shared_events::stream::spawn(async move {
        let name = OrderSummaries::FOLLOWER;
        let now = Arc::new(move || time.now());
        let mut sink = Transactional::new(name, database, handler, now);
        follow(&source, &mut sink, everything(), &FollowStatus::new(name), &stopped).await
    });
    let registry = Registry::start(
        journal.clone(),
        Arc::new(clock.clone()),
        Policy::default(),
        Limits::default(),
    )
    .await
    .unwrap();
    let edge = OrdersEdge::new(registry, summaries, returns, journal).stopping_with(stop.clone());
    Shop { edge, clock, stop, _directory: directory }
}

fn by<T>(by: &By, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(by.clone());
    request
}

fn ops() -> By {
    By::ops("olga")
}

impl Shop {
    async fn place(&self, customer: CustomerId) -> proto::PlaceOrderResponse {
        self.place_units(customer, 6).await
    }

    async fn place_units(&self, customer: CustomerId, quantity: u32) -> proto::PlaceOrderResponse {
        let request = Self::placement(customer, quantity);
        self.edge.place_order(by(&ops(), request)).await.unwrap().into_inner()
    }

    fn placement(customer: CustomerId, quantity: u32) -> proto::PlaceOrderRequest {
        proto::PlaceOrderRequest {
            order_id: OrderId::mint().to_string(),
            customer_id: customer.to_string(),
            lines: vec![proto::NewLine {
                sku: "85123A".into(),
                quantity,
                unit_price: Some(proto::Money {
                    currency_code: "GBP".into(),
                    units: 2,
                    nanos: 550_000_000,
                }),
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
        }
    }

    async fn cancel(&self, order_id: &str) -> proto::CancelOrderResponse {
        let order_id = order_id.to_owned();
        let request = proto::CancelOrderRequest { order_id, ..Default::default() };
        self.edge.cancel_order(by(&ops(), request)).await.unwrap().into_inner()
    }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("no answer within 60 s")
}

/// A provider is removed from the settings: its orders are there, and new ones are refused.
#[tokio::test]
async fn an_order_is_placed_again_also_where_its_provider_is_gone() {
    let Shop { edge, _directory, .. } = shop().await;
    let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Arc::clone(&gone);
    let edge = edge.paid_by(Arc::new(move |_, _| {
        let gone = asked.load(std::sync::atomic::Ordering::SeqCst);
        gone.then(|| "is not a provider here".to_owned())
    }));
    let placement = || {
        let payment = Some(proto::PaymentPlan { psp: "stripe".into(), ..Default::default() });
        let request_id = Chance::system().uuid().to_string();
        let options = Some(proto::CommandOptions { request_id, ..Default::default() });
        let request = Shop::placement(CustomerId::mint(), 1);
        proto::PlaceOrderRequest { payment, options, ..request }
    };
    let known = placement();
    let first = edge.place_order(by(&ops(), known.clone())).await.unwrap().into_inner();
    gone.store(true, std::sync::atomic::Ordering::SeqCst);
    let again = edge.place_order(by(&ops(), known.clone())).await.unwrap().into_inner();
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.order, first.order);
    let other = proto::PlaceOrderRequest { options: None, ..known };
    edge.place_order(by(&ops(), other)).await.unwrap();
    let status = edge.place_order(by(&ops(), placement())).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_error_details().bad_request().unwrap().field_violations.clone();
    assert_eq!(violations[0].field, "payment.psp");
}

#[tokio::test]
async fn an_order_is_read_at_any_version_and_by_its_owner_only() {
    let shop = shop().await;
    let customer = CustomerId::mint();
    let placed = shop.place(customer).await.order.unwrap();
    shop.clock.advance_to(Timestamp::from_micros(1_300_000_060_000_000));
    let cancelled = shop.cancel(&placed.order_id).await;
    assert_eq!((cancelled.events.len(), cancelled.events[0].version), (1, 2));

    let order_id = placed.order_id.clone();
    let get =
        |as_of| proto::GetOrderRequest { order_id: order_id.clone(), as_of, ..Default::default() };
    use proto::get_order_request::AsOf;
    let now = shop.edge.get_order(by(&ops(), get(None))).await.unwrap().into_inner();
    assert_eq!(now.order.as_ref(), cancelled.order.as_deref());
    let owner = By::customer(customer);
    let then = prost_types::Timestamp { seconds: 1_300_000_059, nanos: 0 };
    for as_of in [AsOf::Version(1), AsOf::Time(then)] {
        let request = by(&owner, get(Some(as_of)));
        let seen = shop.edge.get_order(request).await.unwrap().into_inner();
        assert_eq!(seen.order.as_ref(), Some(&*placed));
    }
    let late = shop.edge.get_order(by(&ops(), get(Some(AsOf::Version(3))))).await.unwrap_err();
    assert_eq!((late.code(), reason(&late)), (Code::NotFound, "VERSION_NOT_FOUND".into()));
    let stranger = By::customer(CustomerId::mint());
    for as_of in [None, Some(AsOf::Version(1))] {
        let hidden = shop.edge.get_order(by(&stranger, get(as_of))).await.unwrap_err();
        assert_eq!((hidden.code(), reason(&hidden)), (Code::NotFound, "NOT_FOUND".into()));
    }

    let diff = proto::DiffOrderRequest {
        order_id: placed.order_id.clone(),
        from_version: 1,
        to_version: 0,
    };
    let diff = shop.edge.diff_order(by(&owner, diff)).await.unwrap().into_inner();
    let paths: Vec<&str> = diff.changes.iter().map(|change| change.path.as_str()).collect();
    assert!(paths.contains(&"status") && paths.contains(&"cancel_reason"), "{paths:?}");
    assert_eq!((diff.to_version, diff.events.len()), (2, 1));

    let mut token = String::new();
    for version in 1..=2 {
        let request = proto::ListOrderEventsRequest {
            order_id: placed.order_id.clone(),
            page_size: 1,
            page_token: token,
        };
        let page = shop.edge.list_order_events(by(&owner, request)).await.unwrap().into_inner();
        assert_eq!(page.events[0].event.as_ref().unwrap().version, version);
        token = page.next_page_token;
    }
    assert!(token.is_empty());
    let nobody = shop.edge.get_order(Request::new(get(None))).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_customer_may_cancel_the_order_after_too_many_single_cancellations() {
    let shop = shop().await;
    let customer = CustomerId::mint();
    let order_id = shop.place_units(customer, 1_000).await.order.unwrap().order_id;
    let cancel = |lines: Vec<proto::LineUnits>| {
        let order_id = order_id.clone();
        let request = proto::CancelOrderRequest { order_id, lines, ..Default::default() };
        shop.edge.cancel_order(by(&By::customer(customer), request))
    };
    let one = || vec![proto::LineUnits { line: 1, quantity: 1 }];
    for _ in 0..CUSTOMER_ASKS_MAX {
        cancel(one()).await.unwrap();
    }
    let refused = cancel(one()).await.unwrap_err();
    let expected = (Code::FailedPrecondition, "ASKED_TOO_OFTEN".to_owned());
    assert_eq!((refused.code(), reason(&refused)), expected);
    let order = cancel(Vec::new()).await.unwrap().into_inner().order.unwrap();
    assert_eq!(order.status(), proto::OrderStatus::Cancelled);
}

#[tokio::test]
async fn lists_include_own_writes_and_a_token_fits_only_its_filter() {
    let shop = shop().await;
    let customer = CustomerId::mint();
    let (mut last, mut all) = (None, Vec::new());
    for _ in 0..5 {
        let placed = shop.place(customer).await;
        all.push(placed.order.unwrap().order_id);
        last = placed.position;
        // Waiting for each order also covers the other shards.
        let request = proto::ListOrdersRequest { at_least: last, ..Default::default() };
        soon(shop.edge.list_orders(by(&ops(), request))).await.unwrap();
    }
    let list = |page_token: String, page_size| proto::ListOrdersRequest {
        page_size,
        page_token,
        at_least: last,
        ..Default::default()
    };
    let owner = By::customer(customer);
    let (mut seen, mut token) = (Vec::new(), String::new());
    for count in [2, 2, 1] {
        let request = by(&owner, list(token, 2));
        let page = shop.edge.list_orders(request).await.unwrap().into_inner();
        assert_eq!(page.orders.len(), count);
        seen.extend(page.orders.into_iter().map(|order| order.order_id));
        token = page.next_page_token;
        if !token.is_empty() {
            let refused =
                shop.edge.list_orders(by(&ops(), list(token.clone(), 2))).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
    }
    assert!(token.is_empty());
    seen.sort();
    all.sort();
    assert_eq!(seen, all);

    let at_least = last.map(|place| proto::ShardPosition { position: 1_000, ..place });
    let mut request = by(&ops(), proto::ListOrdersRequest { at_least, ..Default::default() });
    request.set_timeout(Duration::from_secs(2));
    let behind = soon(shop.edge.list_orders(request)).await.unwrap_err();
    assert_eq!((behind.code(), reason(&behind)), (Code::Unavailable, "READ_MODEL_BEHIND".into()));
    assert!(behind.get_error_details().retry_info().is_some());
}

#[tokio::test]
async fn streams_end_at_the_head_or_the_limit_or_continue_live() {
    let shop = shop().await;
    let customer = CustomerId::mint();
    for _ in 0..6 {
        let order = shop.place(customer).await.order.unwrap();
        shop.cancel(&order.order_id).await;
    }
    let read = |limit, live, after, only_named| {
        let request =
            proto::ReadEventsRequest { after, only_named, live, limit, ..Default::default() };
        shop.edge.read_events(by(&ops(), request))
    };
    let events = |item| match item {
        Ok(proto::ReadEventsResponse { item: Some(read_events_response::Item::Event(event)) }) => {
            Some(event)
        }
        Ok(_) => None,
        Err(status) => panic!("{status}"),
    };
    for (limit, live, count) in [(0, false, 12), (5, false, 5), (12, true, 12), (5, true, 5)] {
        let stream = read(limit, live, Vec::new(), false).await.unwrap().into_inner();
        let messages: Vec<_> = soon(stream.collect()).await;
        assert_eq!(messages.into_iter().filter_map(events).count(), count, "{limit} {live}");
    }
    let mut by_shard = 0;
    for shard in 0..4 {
        let after = vec![proto::ShardPosition { shard, position: 0, mark: None }];
        let stream = read(0, false, after, true).await.unwrap().into_inner();
        let messages: Vec<_> = soon(stream.collect()).await;
        for (position, event) in (1_u64..).zip(messages.into_iter().filter_map(events)) {
            let place = event.position.unwrap();
            assert_eq!((place.shard, place.position), (shard, position));
            assert_eq!(
                place.mark.map(|mark| format!("{mark:016x}")),
                Some(event.hash[..16].into())
            );
            by_shard += 1;
        }
    }
    assert_eq!(by_shard, 12);
    let ahead = vec![proto::ShardPosition { shard: 1, position: 99, mark: None }];
    let refused = read(0, true, ahead, false).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::InvalidArgument, "INVALID_FIELD".into()));
}

/// Each starts at the heads, which the database knows before the process that appended does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_opened_while_orders_are_placed_miss_no_event() {
    let directory = tempfile::tempdir().unwrap();
    let now = || Timestamp::from_micros(1_300_000_000_000_000);
    let options = Options { shards: 1, ..Options::new(Arc::new(now)) };
    let journal = open_sqlite(&directory.path().join("journal.db"), options).await.unwrap();
    let shop = Arc::new(shop_over(journal).await);
    let placing: Vec<_> = (0..4)
        .map(|_| {
            let shop = Arc::clone(&shop);
            shared_events::stream::spawn(async move {
                for _ in 0..50 {
                    shop.place(CustomerId::mint()).await;
                }
            })
        })
        .collect();
    let mut opened = 0;
    while opened < 50 || placing.iter().any(|task| !task.is_finished()) {
        let request = by(&ops(), proto::WatchOrdersRequest::default());
        let mut stream = shop.edge.watch_orders(request).await.unwrap().into_inner();
        soon(stream.next()).await.unwrap().unwrap();
        // A wrong start position would be reported in the next message, without delay.
        let next = tokio::time::timeout(Duration::from_millis(5), stream.next()).await;
        if let Ok(next) = next {
            next.unwrap().unwrap();
        }
        opened += 1;
    }
    for task in placing {
        task.await.unwrap();
    }
}

/// For any number of watches, whichever customers they show.
#[tokio::test]
async fn the_journal_is_read_once_for_all_watches_from_its_start() {
    const ORDERS: usize = 700;
    const WATCHES: usize = 30;
    let disk = MemoryDisk::default();
    let now = || Timestamp::from_micros(1_300_000_000_000_000);
    let options = Options { shards: 4, ..Options::new(Arc::new(now)) };
    let shop = shop_over(open_memory_on(&disk, options).await.unwrap()).await;
    let customers: Vec<CustomerId> = (0..WATCHES).map(|_| CustomerId::mint()).collect();
    for number in 1..ORDERS {
        shop.place(customers[number % WATCHES]).await;
    }
    // An append with unknown outcome clears the process's memory of its own appends.
    disk.inject(Fault::LostAfter);
    shop.place(customers[0]).await;
    let before = disk.events_read();
    let watched = customers.iter().map(|customer| async {
        let customer_id = customer.to_string();
        let request =
            proto::WatchOrdersRequest { customer_id, from_beginning: true, ..Default::default() };
        let stream = shop.edge.watch_orders(by(&ops(), request)).await;
        let mut stream = stream.unwrap().into_inner();
        let (mut seen, mut through) = (0, std::collections::BTreeMap::new());
        while through.values().sum::<u64>() < ORDERS as u64 {
            use proto::watch_orders_response::Item;
            match soon(stream.next()).await.unwrap().unwrap().item.unwrap() {
                Item::Change(change) => {
                    assert_eq!(change.order.unwrap().customer_id, customer.to_string());
                    let place = change.position.unwrap();
                    through.insert(place.shard, place.position);
                    seen += 1;
                }
                Item::Progress(progress) => {
                    for place in progress.through {
                        through.insert(place.shard, place.position);
                    }
                }
            }
        }
        seen
    });
    let seen: Vec<usize> = futures::future::join_all(watched).await;
    assert_eq!(seen.iter().sum::<usize>(), ORDERS);
    let read = disk.events_read() - before;
    assert!((ORDERS / 2..2 * ORDERS).contains(&read), "{read} events were read");
    shop.stop.cancel();
}

/// A watch whose client is slow for a while still has the orders that it showed before cached.
#[tokio::test]
async fn a_lagging_watch_reads_no_order_again() {
    const ORDERS: usize = 600;
    use proto::watch_orders_response::Item;
    let disk = MemoryDisk::default();
    let now = || Timestamp::from_micros(1_300_000_000_000_000);
    let options = Options { shards: 4, ..Options::new(Arc::new(now)) };
    let shop = shop_over(open_memory_on(&disk, options).await.unwrap()).await;
    let request = by(&ops(), proto::WatchOrdersRequest::default());
    let mut stream = shop.edge.watch_orders(request).await.unwrap().into_inner();
    let mut next_change = async || loop {
        let item = soon(stream.next()).await.unwrap().unwrap().item.unwrap();
        if let Item::Change(change) = item {
            return change.order.unwrap();
        }
    };
    let mut placed = Vec::new();
    for _ in 0..ORDERS {
        placed.push(shop.place(CustomerId::mint()).await.order.unwrap().order_id);
        assert_eq!(&next_change().await.order_id, placed.last().unwrap());
    }
    let before = disk.streams_read();
    for order_id in &placed {
        shop.cancel(order_id).await;
    }
    let mut cancelled = std::collections::BTreeSet::new();
    while cancelled.len() < ORDERS {
        let order = next_change().await;
        assert_eq!((order.version, order.status()), (2, proto::OrderStatus::Cancelled));
        cancelled.insert(order.order_id);
    }
    assert_eq!(disk.streams_read() - before, 0);
    shop.stop.cancel();
}

#[tokio::test]
async fn a_customer_watches_own_orders_until_the_engine_stops() {
    let shop = shop().await;
    let customer = CustomerId::mint();
    let before = shop.place(customer).await.order.unwrap();
    let request = by(&By::customer(customer), proto::WatchOrdersRequest::default());
    let mut stream = shop.edge.watch_orders(request).await.unwrap().into_inner();
    use proto::watch_orders_response::Item;
    let first = soon(stream.next()).await.unwrap().unwrap().item.unwrap();
    let Item::Progress(progress) = first else {
        panic!("the first message is not the start position")
    };
    assert_eq!(progress.through.iter().map(|place| place.position).sum::<u64>(), 1);

    shop.place(CustomerId::mint()).await;
    shop.cancel(&before.order_id).await;
    let change = loop {
        match soon(stream.next()).await.unwrap().unwrap().item.unwrap() {
            Item::Change(change) => break change,
            Item::Progress(_) => {}
        }
    };
    let order = change.order.unwrap();
    assert_eq!((order.order_id.as_str(), order.version), (before.order_id.as_str(), 2));
    assert_eq!(order.status(), proto::OrderStatus::Cancelled);
    let foreign = proto::WatchOrdersRequest {
        customer_id: CustomerId::mint().to_string(),
        ..Default::default()
    };
    let refused = shop.edge.watch_orders(by(&By::customer(customer), foreign)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "FORBIDDEN".into()));

    shop.stop.cancel();
    let end = loop {
        match soon(stream.next()).await.unwrap() {
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!((end.code(), reason(&end)), (Code::Unavailable, "STOPPING".into()));
    assert!(soon(stream.next()).await.is_none());
}
