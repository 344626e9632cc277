use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use order_actor::grpc::proto;
use order_actor::grpc::proto::order_service_client::OrderServiceClient;
use payment::grpc::proto as payments;
use payment::grpc::proto::payment_service_client::PaymentServiceClient;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared_events::contract::{OrderId, RequestId};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::edge::peers;
use crate::lab::load::pay::{PROVIDER, plan};

/// How long a client waits for one answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// How often a client retries under the same id before it leaves a call in doubt.
const TRIES: u32 = 4;
/// Orders that clients still act on.
const OPEN_MAX: usize = 60;
/// Units of an order.
pub(super) const UNITS: u32 = 6;
/// Number of products, and how many of them run out.
pub(super) const PRODUCTS: u32 = 20;
pub(super) const SCARCE: u32 = 4;

/// What a client does to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Place,
    Get,
    CancelUnit,
    CancelAll,
    FulfillUnit,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Done now; the version after it.
    Done(u64),
    /// Done before, under the same id.
    Repeated,
    /// Accepted without any effect; the version at that time.
    Nothing(u64),
    /// A read: version and status.
    Shown(u64, i32),
    /// Refused with this reason.
    Refused(String),
    /// Unknown whether it was done.
    Doubt,
}

/// A call as its client remembers it, over all tries under one id.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) order_id: OrderId,
    pub(super) action: Action,
    pub(super) request_id: RequestId,
    pub(super) invoked: Instant,
    pub(super) returned: Instant,
    pub(super) answer: Answer,
    /// Whether an earlier try was left without an answer.
    pub(super) doubted: bool,
}

impl Call {
    /// The answer to the try that made a version of the order, or to the last one where none did. A
    /// try without an answer may still be under way when a later one is refused, which leaves no
    /// trace, and take effect after it.
    pub(super) const fn answer_to(&self, version: Option<u64>) -> &Answer {
        match self.answer {
            Answer::Nothing(_) | Answer::Shown(..) | Answer::Refused(_)
                if self.doubted && version.is_some() =>
            {
                &Answer::Doubt
            }
            _ => &self.answer,
        }
    }
}

/// All calls of all clients, and the orders that are still open.
#[derive(Clone, Default)]
pub(super) struct Memory {
    calls: Arc<Mutex<Vec<Call>>>,
    open: Arc<Mutex<Vec<OrderId>>>,
}

/// What clients work on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work {
    /// They place orders, and act on each other's.
    Mixed,
    /// All act on this one order.
    One(OrderId),
}

impl Memory {
    fn remember(&self, call: Call) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn opened(&self, order_id: OrderId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(order_id);
        if open.len() > OPEN_MAX {
            open.remove(0);
        }
    }

    fn any(&self, random: &mut StdRng) -> Option<OrderId> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_empty() { None } else { open.get(random.random_range(0..open.len())).copied() }
    }
}

/// How a client works.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) work: Work,
    /// Whether some orders are paid.
    pub(super) pays: bool,
    /// How long it waits between two calls, on average.
    pub(super) pace: Duration,
}

/// What an order is placed with.
#[derive(Clone, Copy, Debug)]
struct Content {
    /// The number of the product.
    product: u32,
    units: u32,
    /// Whether it is paid at a provider.
    paid: bool,
}

/// One client; works until it is stopped.
pub(super) async fn work(
    nodes: Vec<SocketAddr>,
    manner: Manner,
    seed: u64,
    memory: Memory,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Manner { work, pays, pace } = manner;
    let mut random = StdRng::seed_from_u64(seed);
    let mut channels = Vec::new();
    for node in nodes {
        channels.extend(peers::channel(&[format!("http://{node}")], None)?);
    }
    while !stop.is_cancelled() {
        let drawn = random.random_range(0..100_u32);
        let known = match work {
            Work::One(order_id) => Some(order_id),
            Work::Mixed if drawn < 15 => None,
            Work::Mixed => memory.any(&mut random),
        };
        let (order_id, action) = match (known, drawn) {
            (None, _) => (OrderId::mint(), Action::Place),
            (Some(order_id), ..50) => (order_id, Action::Get),
            (Some(order_id), ..72) => (order_id, Action::CancelUnit),
            (Some(order_id), ..94) => (order_id, Action::FulfillUnit),
            // The only order: it stays open.
            (Some(order_id), _) if matches!(work, Work::One(_)) => (order_id, Action::Get),
            (Some(order_id), _) => (order_id, Action::CancelAll),
        };
        let product = random.random_range(0..PRODUCTS);
        let paid = pays && action == Action::Place && random.random_bool(0.5);
        let content = Content { product, units: UNITS, paid };
        insist(&channels, &mut random, &memory, (order_id, action), content).await;
        if paid {
            pay(&channels, &mut random, order_id).await;
        }
        sleep(pace.mul_f64(random.random_range(0.5..1.5))).await;
    }
    Ok(())
}

/// Places one order with this many units.
pub(super) async fn place_one(
    nodes: &[SocketAddr],
    memory: &Memory,
    order_id: OrderId,
    units: u32,
) -> anyhow::Result<()> {
    let mut channels = Vec::new();
    for node in nodes {
        channels.extend(peers::channel(&[format!("http://{node}")], None)?);
    }
    let mut random = StdRng::seed_from_u64(0);
    // The last product does not run out.
    let content = Content { product: PRODUCTS - 1, units, paid: false };
    insist(&channels, &mut random, memory, (order_id, Action::Place), content).await;
    Ok(())
}

/// Sends a call, and retries under the same id while the outcome is in doubt.
async fn insist(
    channels: &[Channel],
    random: &mut StdRng,
    memory: &Memory,
    (order_id, action): (OrderId, Action),
    content: Content,
) {
    let request_id = RequestId::mint();
    let invoked = Instant::now();
    if action == Action::Place {
        // Other clients may act on it from its first moment.
        memory.opened(order_id);
    }
    let (mut answer, mut doubted) = (Answer::Doubt, false);
    for attempt in 0..TRIES {
        let at = random.random_range(0..channels.len());
        let Some(channel) = channels.get(at) else { break };
        answer = ask(channel.clone(), order_id, action, request_id, content).await;
        if answer != Answer::Doubt {
            break;
        }
        doubted = true;
        sleep(Duration::from_millis(u64::from(50_u32 << attempt))).await;
    }
    let returned = Instant::now();
    memory.remember(Call { order_id, action, request_id, invoked, returned, answer, doubted });
}

/// Pays an order by card; one of four is declined first, and paid by another card. What is refused
/// or stays in doubt is left so: books agree all the same.
async fn pay(channels: &[Channel], random: &mut StdRng, order_id: OrderId) {
    let declined = random.random_bool(0.25).then_some("tok_decline_insufficient_funds");
    for token in declined.into_iter().chain(["tok_visa"]) {
        let attempt = payments::AttemptRequest {
            order_id: order_id.to_string(),
            attempt_id: RequestId::mint().to_string(),
            psp_token: token.to_owned(),
            validate_only: false,
        };
        for again in 0..TRIES {
            let at = random.random_range(0..channels.len());
            let Some(channel) = channels.get(at) else { return };
            let mut service = PaymentServiceClient::new(channel.clone());
            let tried = service.attempt(asked(attempt.clone()));
            if tried.await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(u64::from(100_u32 << again))).await;
        }
    }
}

async fn ask(
    channel: Channel,
    order_id: OrderId,
    action: Action,
    request_id: RequestId,
    content: Content,
) -> Answer {
    let mut orders = OrderServiceClient::new(channel);
    let order = order_id.to_string();
    let options =
        Some(proto::CommandOptions { request_id: request_id.to_string(), ..Default::default() });
    let unit = || vec![proto::LineUnits { line: 1, quantity: 1 }];
    let call = async {
        let answered = match action {
            Action::Get => {
                let request = proto::GetOrderRequest { order_id: order, ..Default::default() };
                let shown = orders.get_order(asked(request)).await?.into_inner().order;
                let shown = shown.unwrap_or_default();
                return Ok(Answer::Shown(shown.version, shown.status));
            }
            Action::Place => {
                let request = placing(order, content, options);
                let answer = orders.place_order(asked(request)).await?.into_inner();
                (answer.order, answer.events, answer.replayed)
            }
            Action::CancelUnit | Action::CancelAll => {
                let request = proto::CancelOrderRequest {
                    order_id: order,
                    reason: proto::CancelReason::Ops.into(),
                    lines: if action == Action::CancelUnit { unit() } else { Vec::new() },
                    options,
                    ..Default::default()
                };
                let answer = orders.cancel_order(asked(request)).await?.into_inner();
                (answer.order, answer.events, answer.replayed)
            }
            Action::FulfillUnit => {
                let request = proto::FulfillOrderRequest {
                    order_id: order,
                    lines: unit(),
                    options,
                    ..Default::default()
                };
                let answer = orders.fulfill_order(asked(request)).await?.into_inner();
                (answer.order, answer.events, answer.replayed)
            }
        };
        let (order, events, replayed) = answered;
        let version = order.unwrap_or_default().version;
        Ok::<_, Status>(match (replayed, events.is_empty()) {
            (true, _) => Answer::Repeated,
            (false, true) => Answer::Nothing(version),
            (false, false) => Answer::Done(version),
        })
    };
    match tokio::time::timeout(ANSWERS_WITHIN + Duration::from_secs(1), call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(status)) => refused(&status),
        Err(_) => Answer::Doubt,
    }
}

/// Only a refusal by the order itself is an answer; any other error leaves the outcome open.
fn refused(status: &Status) -> Answer {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let by_order = matches!(
        status.code(),
        Code::NotFound | Code::FailedPrecondition | Code::InvalidArgument | Code::AlreadyExists
    );
    if by_order && !reason.is_empty() { Answer::Refused(reason) } else { Answer::Doubt }
}

fn asked<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWERS_WITHIN);
    request
}

/// The name of a product.
pub(super) fn sku(nth: u32) -> String {
    format!("P-{nth}")
}

fn placing(
    order_id: String,
    content: Content,
    options: Option<proto::CommandOptions>,
) -> proto::PlaceOrderRequest {
    let price = proto::Money { currency_code: "GBP".to_owned(), units: 5, nanos: 0 };
    let line = proto::NewLine {
        sku: sku(content.product),
        quantity: content.units,
        unit_price: Some(price),
        ..Default::default()
    };
    proto::PlaceOrderRequest {
        order_id,
        customer_id: "018f6f3e-0000-7000-8000-000000000001".to_owned(),
        lines: vec![line],
        address: Some(Box::new(proto::Address {
            street: "1 High Street".to_owned(),
            city: "London".to_owned(),
            postal_code: "EC1A 1BB".to_owned(),
            country: "GB".to_owned(),
            ..proto::Address::default()
        })),
        contact: Some(proto::Contact {
            email: "customer@example.com".to_owned(),
            ..Default::default()
        }),
        payment: content.paid.then(|| plan(PROVIDER)),
        options,
        ..proto::PlaceOrderRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_try_in_doubt_may_take_effect_after_a_later_one_was_refused() {
        let call = |answer, doubted| Call {
            order_id: OrderId::mint(),
            action: Action::CancelUnit,
            request_id: RequestId::mint(),
            invoked: Instant::now(),
            returned: Instant::now(),
            answer,
            doubted,
        };
        let refused = || Answer::Refused("NOT_FOUND".to_owned());
        assert_eq!(call(refused(), true).answer_to(Some(2)), &Answer::Doubt);
        assert_eq!(call(refused(), false).answer_to(Some(2)), &refused());
        assert_eq!(call(refused(), true).answer_to(None), &refused());
        assert_eq!(call(Answer::Done(2), true).answer_to(Some(3)), &Answer::Done(2));
    }
}
