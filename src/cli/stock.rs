//! `stock` and `notification`.

use serde_json::{Value, json};
use uuid::Uuid;

use super::args::{NotificationVerb, StockVerb};
use super::orders::id;
use super::{Client, Failure, Output, show};

/// `ordinal stock …`
pub async fn stock(client: &Client, out: &Output, verb: StockVerb) -> Result<(), Failure> {
    let (method, request) = match verb {
        StockVerb::Set { sku, on_hand } => ("SetStock", json!({ "sku": sku, "on_hand": on_hand })),
        StockVerb::Adjust { sku, delta, reason, request_id } => {
            let request_id = request_id.unwrap_or_else(Uuid::now_v7);
            let request =
                json!({ "sku": sku, "delta": delta, "reason": reason, "request_id": request_id });
            ("AdjustStock", request)
        }
        StockVerb::Get { sku } => ("GetStock", json!({ "sku": sku })),
        StockVerb::List { page } => {
            ("ListStock", json!({ "page_size": page.page_size, "page_token": page.page_token }))
        }
        StockVerb::Reservation { order_id } => ("GetReservation", json!({ "order_id": order_id })),
    };
    ask(client, out, &format!("inventory.v1.InventoryService/{method}"), request).await
}

/// `ordinal notification …`
pub async fn notification(
    client: &Client,
    out: &Output,
    verb: NotificationVerb,
) -> Result<(), Failure> {
    let (method, request) = match verb {
        NotificationVerb::List { order, state, page } => {
            let mut request = json!({
                "order_id": id(order), "page_size": page.page_size, "page_token": page.page_token,
            });
            if let Some(state) = state {
                let state = client.enum_value("notifications.v1.NotificationState", &state)?;
                request["state"] = json!(state);
            }
            ("ListNotifications", request)
        }
        NotificationVerb::Get { notification_id } => {
            ("GetNotification", json!({ "notification_id": notification_id }))
        }
        NotificationVerb::Resend { notification_id } => {
            ("ResendNotification", json!({ "notification_id": notification_id }))
        }
    };
    ask(client, out, &format!("notifications.v1.NotificationService/{method}"), request).await
}

async fn ask(client: &Client, out: &Output, method: &str, request: Value) -> Result<(), Failure> {
    let answer = client.call(method, request).await?;
    out.answer(&answer, show::any);
    Ok(())
}
