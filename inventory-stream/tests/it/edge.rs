//! The stock service as its callers see it, over a real connection.

use inventory_stream::grpc::proto;
use inventory_stream::grpc::proto::inventory_service_client::InventoryServiceClient;
use shared_events::chance::Chance;
use shared_events::stream::{AskedBy, Dialect};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::on_both::on_both;
use crate::support::{Bench, Story};

pub type Stock = InventoryServiceClient<Channel>;

pub async fn served(dialect: Dialect) -> (Bench, Stock) {
    served_on(Bench::on(dialect).await).await
}

pub async fn served_on(bench: Bench) -> (Bench, Stock) {
    served_to(bench, AskedBy::default()).await
}

/// For this caller, as the access check would name them.
pub async fn served_by(role: &str, subject: &str, dialect: Dialect) -> (Bench, Stock) {
    let by = AskedBy { role: role.to_owned(), subject: subject.to_owned() };
    served_to(Bench::on(dialect).await, by).await
}

async fn served_to(bench: Bench, by: AskedBy) -> (Bench, Stock) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let telling = move |mut request: tonic::Request<()>| {
        request.extensions_mut().insert(by.clone());
        Ok(request)
    };
    let service = InterceptedService::new(bench.inventory.grpc(), telling);
    shared_events::stream::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    let client = InventoryServiceClient::connect(format!("http://{address}")).await.unwrap();
    (bench, client)
}

pub fn set(sku: &str, on_hand: i64) -> proto::SetStockRequest {
    proto::SetStockRequest { sku: sku.to_owned(), on_hand, ..Default::default() }
}

pub fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("every error says why").reason
}

pub fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| violation.field).collect()
}

async fn stock_never_falls_below_what_is_reserved(dialect: Dialect) {
    let (mut bench, mut client) = served(dialect).await;
    let stock = client.set_stock(set("A", 10)).await.unwrap().into_inner().stock.unwrap();
    assert_eq!((stock.on_hand, stock.reserved, stock.available), (10, 0, 10));
    let mut story = Story::new();
    bench.follow(&[story.placed(&[("A", 4)])]).await.unwrap();

    let status = client.set_stock(set("A", 3)).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "INSUFFICIENT_STOCK")
    );
    let adjust = proto::AdjustStockRequest {
        sku: "A".to_owned(),
        delta: -6,
        reason: "broken".to_owned(),
        request_id: Chance::system().uuid().to_string(),
        validate_only: false,
        expected_on_hand: None,
        location: String::new(),
    };
    let first = client.adjust_stock(adjust.clone()).await.unwrap().into_inner();
    let again = client.adjust_stock(adjust.clone()).await.unwrap().into_inner();
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!(again.stock.unwrap().on_hand, 4);
    let other = proto::AdjustStockRequest { delta: -1, ..adjust.clone() };
    let status = client.adjust_stock(other).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED")
    );
    let below = proto::AdjustStockRequest { delta: -1, request_id: String::new(), ..adjust };
    let status = client.adjust_stock(below).await.unwrap_err();
    assert_eq!(reason(&status), "INSUFFICIENT_STOCK");

    let would = proto::SetStockRequest { validate_only: true, ..set("A", 99) };
    assert_eq!(client.set_stock(would).await.unwrap().into_inner().stock.unwrap().on_hand, 99);
    let absent = proto::SetStockRequest { only_if_absent: true, ..set("A", 77) };
    assert_eq!(client.set_stock(absent).await.unwrap().into_inner().stock.unwrap().on_hand, 4);
    assert_eq!(bench.level("A").await, (4, 4));

    let request = proto::GetReservationRequest { order_id: story.order_id.to_string() };
    let held = client.get_reservation(request).await.unwrap().into_inner().reservation.unwrap();
    assert_eq!(held.state(), proto::ReservationState::Reserved);
    assert_eq!((held.lines[0].quantity, held.lines[0].held), (4, 4));
    bench.sums_hold().await;
}

async fn reasons_are_kept_without_surrounding_blanks(dialect: Dialect) {
    let (_bench, mut client) = served(dialect).await;
    let blank = format!(" {}\t", "x".repeat(500));
    let set = proto::SetStockRequest { reason: blank.clone(), ..set("A", 10) };
    client.set_stock(set).await.unwrap();
    let adjust = proto::AdjustStockRequest {
        sku: "A".to_owned(),
        delta: 1,
        reason: blank.clone(),
        request_id: Chance::system().uuid().to_string(),
        validate_only: false,
        expected_on_hand: None,
        location: String::new(),
    };
    client.adjust_stock(adjust.clone()).await.unwrap();
    let again = proto::AdjustStockRequest { reason: blank.trim().to_owned(), ..adjust };
    assert!(client.adjust_stock(again).await.unwrap().into_inner().replayed);
    let movements = crate::movements::all(&mut client, "A", 100).await;
    assert_eq!(movements.len(), 2);
    assert!(movements.iter().all(|one| one.reason == blank.trim()), "{movements:?}");
}

async fn malformed_requests_name_their_fields_and_change_nothing(dialect: Dialect) {
    let (bench, mut client) = served(dialect).await;
    let status = client.set_stock(set("a\u{7}b", -1)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    assert_eq!(fields(&status), ["sku", "on_hand"]);
    let requests = vec![set("A", 1), set("", 1), set("B", i64::MAX)];
    let status =
        client.batch_set_stock(proto::BatchSetStockRequest { requests }).await.unwrap_err();
    assert_eq!(fields(&status), ["requests[1].sku", "requests[2].on_hand"]);
    let requests = vec![set("A", 1), set("A", 2)];
    let status =
        client.batch_set_stock(proto::BatchSetStockRequest { requests }).await.unwrap_err();
    assert_eq!(fields(&status), ["requests[1].sku"]);
    let adjust = proto::AdjustStockRequest {
        sku: "\u{7}".to_owned(),
        location: String::new(),
        delta: 0,
        reason: "x".repeat(501),
        request_id: "7".to_owned(),
        validate_only: false,
        expected_on_hand: None,
    };
    let status = client.adjust_stock(adjust).await.unwrap_err();
    assert_eq!(fields(&status), ["sku", "delta", "reason", "request_id"]);
    let request = proto::GetReservationRequest { order_id: "536365".to_owned() };
    assert_eq!(fields(&client.get_reservation(request).await.unwrap_err()), ["order_id"]);
    let request = proto::GetStockRequest { sku: "A".to_owned(), fresh: false };
    let status = client.get_stock(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "NOT_FOUND"));
    let request = proto::GetReservationRequest { order_id: Chance::system().uuid().to_string() };
    assert_eq!(client.get_reservation(request).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(bench.level("A").await, (0, 0));
}

async fn lists_come_in_pages(dialect: Dialect) {
    let (_bench, mut client) = served(dialect).await;
    let requests = (0..45).map(|number| set(&format!("P{number:02}"), number)).collect();
    client.batch_set_stock(proto::BatchSetStockRequest { requests }).await.unwrap();
    client.set_stock(set("OTHER", 1)).await.unwrap();
    let mut request = proto::ListStockRequest { sku_prefix: "P".to_owned(), ..Default::default() };
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    loop {
        let page = client.list_stock(request.clone()).await.unwrap().into_inner();
        sizes.push(page.stock.len());
        seen.extend(page.stock.into_iter().map(|stock| stock.sku));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(sizes, [20, 20, 5]);
    assert_eq!(seen, (0..45).map(|number| format!("P{number:02}")).collect::<Vec<_>>());
    request.sku_prefix = "OTHER".to_owned();
    request.page_token = "P/P20".to_owned();
    assert_eq!(fields(&client.list_stock(request).await.unwrap_err()), ["page_token"]);
}

on_both! {
    stock_never_falls_below_what_is_reserved
    reasons_are_kept_without_surrounding_blanks
    malformed_requests_name_their_fields_and_change_nothing
    lists_come_in_pages
}
