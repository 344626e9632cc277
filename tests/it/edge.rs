//! Checks of the edge before any service is called: sizes, deadlines, health.

use std::time::Duration;

use ordinal::client::{Caller, Client, Connection, Failure};
use prost::Message as _;
use serde_json::json;
use tonic::Code;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_types::StatusExt as _;

use crate::shop::{On, Orders as _, Shop};

fn reason(failure: &Failure) -> (Code, String) {
    let Failure::Status(status) = failure else { panic!("{failure}") };
    // A failure within the client has no details.
    if !status.details().is_empty() {
        crate::reasons::stands_on_the_page(status);
    }
    (status.code(), failure.reason())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_above_the_size_limit_is_refused_and_one_below_is_not() {
    let shop = Shop::open(On::Sqlite).await;
    shop.set_stock("MUG", 2_000).await;
    // The largest order possible.
    let largest = shop.place(&vec![("MUG", 1); 2_000]).await;
    shop.until(&largest, "CONFIRMED").await;
    let mut order = shop.order(&[("MUG", 1)]);
    order["address"]["street"] = json!("x".repeat(1_100_000));
    let failure = shop.buyer.orders("PlaceOrder", order).await.unwrap_err();
    assert_eq!(reason(&failure), (Code::InvalidArgument, "MESSAGE_TOO_LARGE".to_owned()));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_deadline_has_passed_does_nothing() {
    let mut shop = Shop::open(On::Sqlite).await;
    shop.restart(|settings| settings.stock_follower = false).await;
    let heads = shop.heads().await;
    let caller = Caller { role: "ops".to_owned(), subject: "hasty".to_owned() };
    let hasty = Connection {
        timeout: Duration::from_nanos(1),
        ..Connection::new(shop.address.clone(), caller)
    };
    let hasty = Client::connect(&hasty).await.unwrap();
    let failure = hasty.orders("PlaceOrder", shop.order(&[("MUG", 1)])).await.unwrap_err();
    let (code, _) = reason(&failure);
    assert!(matches!(code, Code::DeadlineExceeded | Code::Cancelled), "{failure}");
    assert_eq!(shop.heads().await, heads);
    shop.restart(|_| ()).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_reports_its_health_and_an_unknown_one_is_unknown() {
    let mut shop = Shop::open(On::Sqlite).await;
    let mut health = HealthClient::new(shop.ops.channel());
    let services: Vec<String> =
        shop.ops.pool().services().map(|service| service.full_name().to_owned()).collect();
    for service in services.into_iter().chain([String::new()]) {
        let answer = health.check(HealthCheckRequest { service: service.clone() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let service = "ordinal.nobody".to_owned();
    let unknown = health.check(HealthCheckRequest { service }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    shop.stop().await;
}

/// Bytes that form no message.
struct Noise;

impl Codec for Noise {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Noise {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl Decoder for Noise {
    type Item = ();
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, tonic::Status> {
        bytes::Buf::advance(from, bytes::Buf::remaining(from));
        Ok(Some(()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_bytes_are_reported_as_the_callers_error() {
    let mut shop = Shop::open(On::Sqlite).await;
    // No valid field of the real message: a length beyond its bytes.
    let noise = [vec![0x0a, 0xff, 0x01], HealthCheckRequest::default().encode_to_vec()].concat();
    let mut grpc = tonic::client::Grpc::new(shop.ops.channel());
    for method in ["orders.v1.OrderService/PlaceOrder", "inventory.v1.InventoryService/GetStock"] {
        grpc.ready().await.unwrap();
        let path = format!("/ordinal.{method}").parse().unwrap();
        let status = grpc.unary(tonic::Request::new(noise.clone()), path, Noise).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{method}: {status}");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.reason, "MALFORMED_MESSAGE", "{method}");
    }
    shop.stop().await;
}
