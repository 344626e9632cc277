use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use inventory_stream::grpc::proto::BatchSetStockRequest;
use inventory_stream::grpc::proto::inventory_service_client::InventoryServiceClient;
use order_actor::grpc::proto;
use order_actor::grpc::proto::order_service_client::OrderServiceClient;
use payment::grpc::proto::payment_service_client::PaymentServiceClient;
use shared_events::stream::Backoff;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::client::{Client, Failure};

/// How long an engine may be unavailable before the load gives up. Ids are derived, so retrying is
/// safe whatever the outcome of the call.
const PATIENCE: Duration = Duration::from_secs(60);
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(2) };
/// Largest answer: an order of 2,000 lines with its event is well below.
const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// A refusal of a command by the engine.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The stable code.
    pub code: String,
    /// The message.
    pub message: String,
    /// Invalid fields, such as `lines[3].sku`, and what is wrong with each.
    pub fields: Vec<(String, String)>,
}

/// A call of a load at a steady rate.
#[derive(Debug)]
pub enum Call {
    /// Places an order.
    Place(Box<proto::PlaceOrderRequest>),
    /// Reads one.
    Get(String),
    /// Lists the newest.
    List,
    /// Cancels one.
    Cancel(String),
    /// Ships the open units of one.
    Fulfill(String),
}

/// The result of a command: an answer or a refusal.
pub type Outcome<T> = Result<T, Refused>;

type Orders = OrderServiceClient<Channel>;

/// An answer to a command.
trait Appends {
    /// Whether the command appended something now, and not at an earlier try.
    fn appended(&self) -> bool;
}

macro_rules! appends {
    ($($answer:ident),*) => {
        $(impl Appends for proto::$answer {
            fn appended(&self) -> bool {
                !self.replayed && !self.events.is_empty()
            }
        })*
    };
}

appends!(
    PlaceOrderResponse,
    FulfillOrderResponse,
    CancelOrderResponse,
    RequestReturnResponse,
    ApproveReturnResponse
);

/// The engine; every call is repeated until it answers.
pub struct Calls {
    client: Client,
    orders: Orders,
    stock: InventoryServiceClient<Channel>,
    payments: PaymentServiceClient<Channel>,
    measured: Mutex<Measured>,
}

/// Measurements over all commands.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Microseconds from sending to the final answer.
    pub latencies: Histogram<u64>,
    /// Commands that appended something.
    pub appended: u64,
}

impl Calls {
    /// Over this connection.
    ///
    /// # Errors
    /// Never in practice: the histogram's bounds are constants.
    pub fn new(client: Client) -> anyhow::Result<Self> {
        let latencies = Histogram::new(3).map_err(|error| anyhow::anyhow!("{error}"))?;
        let orders =
            OrderServiceClient::new(client.channel()).max_decoding_message_size(ANSWER_MAX);
        let stock = InventoryServiceClient::new(client.channel());
        let payments = PaymentServiceClient::new(client.channel());
        let measured = Mutex::new(Measured { latencies, appended: 0 });
        Ok(Self { client, orders, stock, payments, measured })
    }

    /// Measurements so far.
    pub fn measured(&self) -> Measured {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Places an order.
    pub async fn place(
        &self,
        request: proto::PlaceOrderRequest,
    ) -> Result<Outcome<proto::PlaceOrderResponse>, Failure> {
        let call = |mut orders: Orders, request| async move { orders.place_order(request).await };
        self.command(request, call).await
    }

    /// Ships an order's parcel.
    pub async fn fulfill(
        &self,
        request: proto::FulfillOrderRequest,
    ) -> Result<Outcome<proto::FulfillOrderResponse>, Failure> {
        let call = |mut orders: Orders, request| async move { orders.fulfill_order(request).await };
        self.command(request, call).await
    }

    /// Cancels what is open of an order.
    pub async fn cancel(
        &self,
        request: proto::CancelOrderRequest,
    ) -> Result<Outcome<proto::CancelOrderResponse>, Failure> {
        let call = |mut orders: Orders, request| async move { orders.cancel_order(request).await };
        self.command(request, call).await
    }

    /// Asks for a return.
    pub async fn request_return(
        &self,
        request: proto::RequestReturnRequest,
    ) -> Result<Outcome<proto::RequestReturnResponse>, Failure> {
        let call =
            |mut orders: Orders, request| async move { orders.request_return(request).await };
        self.command(request, call).await
    }

    /// Approves a return.
    pub async fn approve_return(
        &self,
        request: proto::ApproveReturnRequest,
    ) -> Result<Outcome<proto::ApproveReturnResponse>, Failure> {
        let call =
            |mut orders: Orders, request| async move { orders.approve_return(request).await };
        self.command(request, call).await
    }

    /// Reads an order.
    pub async fn get(&self, order_id: String) -> Result<Outcome<proto::GetOrderResponse>, Failure> {
        let request = proto::GetOrderRequest { order_id, ..Default::default() };
        self.persist(|| {
            let (mut orders, request) = (self.orders.clone(), request.clone());
            async move { orders.get_order(self.client.request(request)).await }
        })
        .await
    }

    /// Makes a call once; the stable code where it fails.
    pub async fn once(&self, call: Call) -> Result<(), String> {
        let mut orders = self.orders.clone();
        let ask = |order_id| proto::CancelOrderRequest { order_id, ..Default::default() };
        let outcome = match call {
            Call::Place(request) => {
                orders.place_order(self.client.request(*request)).await.map(drop)
            }
            Call::Get(order_id) => {
                let request = proto::GetOrderRequest { order_id, ..Default::default() };
                orders.get_order(self.client.request(request)).await.map(drop)
            }
            Call::List => {
                let request = proto::ListOrdersRequest { page_size: 20, ..Default::default() };
                orders.list_orders(self.client.request(request)).await.map(drop)
            }
            Call::Cancel(order_id) => {
                orders.cancel_order(self.client.request(ask(order_id))).await.map(drop)
            }
            Call::Fulfill(order_id) => {
                let request = proto::FulfillOrderRequest {
                    order_id,
                    shipment_id: Uuid::now_v7().to_string(),
                    carrier: "Load".to_owned(),
                    ..Default::default()
                };
                orders.fulfill_order(self.client.request(request)).await.map(drop)
            }
        };
        outcome.map_err(|status| {
            let code = refused(&status).code;
            if code == "REFUSED" { format!("{:?}", status.code()) } else { code }
        })
    }

    /// Sets stock.
    pub async fn set_stock(&self, request: BatchSetStockRequest) -> Result<Outcome<()>, Failure> {
        let outcome = self
            .persist(|| {
                let (mut stock, request) = (self.stock.clone(), request.clone());
                async move { stock.batch_set_stock(self.client.request(request)).await }
            })
            .await?;
        Ok(outcome.map(drop))
    }

    /// Watches all orders from these positions on.
    pub async fn watch(
        &self,
        after: Vec<proto::ShardPosition>,
    ) -> Result<Streaming<proto::WatchOrdersResponse>, Status> {
        let request = proto::WatchOrdersRequest { after, ..proto::WatchOrdersRequest::default() };
        let mut request = self.client.request(request);
        // A watch has no end; only calls have a deadline.
        request.metadata_mut().remove("grpc-timeout");
        Ok(self.orders.clone().watch_orders(request).await?.into_inner())
    }

    /// Sends a command as [`Self::persist`] does, and measures it.
    async fn command<T: Clone, A: Appends, F>(
        &self,
        request: T,
        call: impl Fn(Orders, Request<T>) -> F,
    ) -> Result<Outcome<A>, Failure>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let since = Instant::now();
        let outcome = self
            .persist(|| call(self.orders.clone(), self.client.request(request.clone())))
            .await?;
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        // The histogram resizes itself.
        let _ = measured.latencies.record(micros);
        measured.appended += u64::from(outcome.as_ref().is_ok_and(Appends::appended));
        Ok(outcome)
    }

    /// A client of payments.
    pub(super) fn payments(&self) -> PaymentServiceClient<Channel> {
        self.payments.clone()
    }

    /// The way to the engine.
    pub(super) fn channel(&self) -> Channel {
        self.client.channel()
    }

    /// A message as a request of this load.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        self.client.request(message)
    }

    /// Retries until there is an answer or a refusal.
    pub(super) async fn persist<T, F>(&self, call: impl Fn() -> F) -> Result<Outcome<T>, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let until = Instant::now() + PATIENCE;
        let mut attempt = 0;
        loop {
            let status = match call().await {
                Ok(answer) => return Ok(Ok(answer.into_inner())),
                Err(status) => status,
            };
            match status.code() {
                Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::FailedPrecondition
                | Code::OutOfRange => return Ok(Err(refused(&status))),
                Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
                    return Err(status.into());
                }
                _ if Instant::now() > until => return Err(status.into()),
                _ => {}
            }
            attempt += 1;
            let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
            tokio::time::sleep(hint.unwrap_or_else(|| BACKOFF.wait(attempt, rand::random()))).await;
        }
    }
}

fn refused(status: &Status) -> Refused {
    let details = status.get_error_details();
    let fields = details
        .bad_request()
        .map(|bad| {
            let field = |v: &tonic_types::FieldViolation| (v.field.clone(), v.description.clone());
            bad.field_violations.iter().map(field).collect()
        })
        .unwrap_or_default();
    Refused {
        code: details.error_info().map_or_else(|| "REFUSED".to_owned(), |info| info.reason.clone()),
        message: status.message().to_owned(),
        fields,
    }
}
