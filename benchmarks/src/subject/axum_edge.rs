use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use order_actor::domain::{By, Command};
use order_actor::grpc::commands::{CommandRequest as _, ParseContext};
use order_actor::grpc::proto;
use serde::Deserialize;
use serde_json::json;
use shared_events::chance::Chance;
use shared_events::contract::OrderId;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::framework::Framework;
use crate::work::shop;

/// The framework behind two plain handlers of axum, as one would write them.
///
/// # Errors
/// Where the address cannot be bound.
pub async fn serve(address: SocketAddr, framework: Framework) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let mut term = signal(SignalKind::terminate())?;
    let router = Router::new()
        .route("/v1/orders", post(place))
        .route("/v1/orders/{order}", post(cancel))
        .with_state(Arc::new(framework));
    let stopped = async move {
        term.recv().await;
    };
    Ok(axum::serve(listener, router).with_graceful_shutdown(stopped).await?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewOrder {
    order_id: String,
    customer_id: String,
    lines: Vec<NewLine>,
    address: NewAddress,
    contact: NewContact,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewLine {
    sku: String,
    quantity: u32,
    unit_price: Price,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Price {
    currency_code: String,
    units: String,
    nanos: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAddress {
    street: String,
    city: String,
    postal_code: String,
    country: String,
}

#[derive(Deserialize)]
struct NewContact {
    email: String,
    locale: String,
}

type Answer = Result<String, (StatusCode, String)>;

fn refused(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}

async fn place(State(framework): State<Arc<Framework>>, body: Bytes) -> Answer {
    let order: NewOrder = serde_json::from_slice(&body).map_err(refused)?;
    let mut lines = Vec::new();
    for line in order.lines {
        let Price { currency_code, units, nanos } = line.unit_price;
        let units = units.parse().map_err(refused)?;
        lines.push(proto::NewLine {
            sku: line.sku,
            quantity: line.quantity,
            unit_price: Some(proto::Money { currency_code, units, nanos }),
            ..proto::NewLine::default()
        });
    }
    let NewAddress { street, city, postal_code, country } = order.address;
    let address = proto::Address { street, city, postal_code, country, ..Default::default() };
    let NewContact { email, locale } = order.contact;
    let request = proto::PlaceOrderRequest {
        order_id: order.order_id,
        customer_id: order.customer_id,
        lines,
        address: Some(Box::new(address)),
        contact: Some(proto::Contact { email, locale, ..Default::default() }),
        ..proto::PlaceOrderRequest::default()
    };
    let context = ParseContext { by: &shop(), ids: &Chance::system() };
    let parsed = request.parse(&context).map_err(|wrong| refused(format!("{wrong:?}")))?;
    executed(&framework, parsed.order_id, parsed.command, shop()).await
}

async fn cancel(State(framework): State<Arc<Framework>>, Path(order): Path<String>) -> Answer {
    let order_id = order.strip_suffix(":cancel").unwrap_or_default().to_owned();
    let request = proto::CancelOrderRequest { order_id, ..Default::default() };
    // As by gRPC: an operator cancels.
    let by = By::ops("bench");
    let context = ParseContext { by: &by, ids: &Chance::system() };
    let parsed = request.parse(&context).map_err(|wrong| refused(format!("{wrong:?}")))?;
    executed(&framework, parsed.order_id, parsed.command, by).await
}

/// The framework returns nothing for a command, so the order is read afterwards.
async fn executed(framework: &Framework, order_id: OrderId, command: Command, by: By) -> Answer {
    framework.execute(order_id, command, by).await.map_err(refused)?;
    let order = framework.load(order_id).await.map_err(refused)?;
    let order = order.order().map_err(|impossible| refused(format!("{impossible}")))?;
    let status = order.status().map(|status| format!("{status:?}"));
    Ok(json!({"orderId": order_id.to_string(), "status": status}).to_string())
}
