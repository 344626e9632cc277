//! `stock` and `notification`.

use serde_json::{Value, json};
use shared_events::chance::Chance;

use super::args::{LocationVerb, NotificationVerb, StockVerb, Why};
use super::orders::{at, pages};
use super::replay;
use crate::client::order_name::resolve;
use crate::client::parse::Id;
use crate::client::{Client, Failure, Output, show};

/// `ordinal stock …`
#[expect(clippy::too_many_lines, reason = "one arm for each verb")]
pub async fn stock(client: &Client, out: &Output, verb: StockVerb) -> Result<(), Failure> {
    let ask = async |method: &str, request: Value| {
        client.call(&format!("inventory.v1.InventoryService/{method}"), request).await
    };
    let one = |out: &Output, answer: &Value| show::stock(out, [&answer["stock"]]);
    match verb {
        StockVerb::Set {
            sku,
            on_hand,
            expected,
            allow_shortage,
            location,
            validate_only,
            why,
            request_id,
        } => {
            let request_id = request_id.unwrap_or_else(|| Id(Chance::system().uuid()));
            let mut request = json!({
                "sku": sku, "on_hand": on_hand, "reason": why.reason, "request_id": request_id,
                "allow_shortage": allow_shortage, "validate_only": validate_only,
            });
            request = at(request, location);
            if let Some(expected) = expected {
                request["expected_on_hand"] = json!(expected);
            }
            out.answer(&ask("SetStock", request).await?, moved);
        }
        StockVerb::Adjust { sku, delta, expected, location, why: Why { reason }, request_id } => {
            let request_id = request_id.unwrap_or_else(|| Id(Chance::system().uuid()));
            let mut request =
                json!({ "sku": sku, "delta": delta, "reason": reason, "request_id": request_id });
            request = at(request, location);
            if let Some(expected) = expected {
                request["expected_on_hand"] = json!(expected);
            }
            out.answer(&ask("AdjustStock", request).await?, moved);
        }
        StockVerb::Backorder { sku, limit, until, why: Why { reason }, request_id } => {
            let request_id = request_id.unwrap_or_else(|| Id(Chance::system().uuid()));
            let mut request = json!({
                "sku": sku, "backorder_limit": limit, "reason": reason, "request_id": request_id,
            });
            if let Some(until) = until {
                request["backorder_until"] = json!(until);
            }
            out.answer(&ask("SetBackorder", request).await?, moved);
        }
        StockVerb::Movements { sku, page } => {
            let method = "inventory.v1.InventoryService/ListMovements";
            let request = json!({ "sku": sku });
            pages(client, out, method, request, &page, show::movements).await?;
        }
        StockVerb::Holders { sku, page } => {
            let method = "inventory.v1.InventoryService/ListStockHolders";
            let request = json!({ "sku": sku });
            pages(client, out, method, request, &page, show::holders).await?;
        }
        StockVerb::Get { sku } => {
            out.answer(&ask("GetStock", json!({ "sku": sku })).await?, one);
        }
        StockVerb::List { prefix, page } => {
            let request = json!({ "sku_prefix": prefix });
            pages(
                client,
                out,
                "inventory.v1.InventoryService/ListStock",
                request,
                &page,
                |out, answer| {
                    show::stock(out, answer["stock"].as_array().into_iter().flatten());
                    show::next_page(out, answer);
                },
            )
            .await?;
        }
        StockVerb::Location(verb) => location(client, out, verb).await?,
        StockVerb::Reservation { order_id } => {
            let mut request = json!({ "order_id": order_id });
            resolve(client, &mut request, "order_id").await?;
            let answer = ask("GetReservation", request).await?;
            out.answer(&answer, |out, answer| show::reservation(out, &answer["reservation"]));
        }
    }
    Ok(())
}

/// `ordinal stock location …`
async fn location(client: &Client, out: &Output, verb: LocationVerb) -> Result<(), Failure> {
    let ask = async |method: &str, request: Value| {
        client.call(&format!("inventory.v1.InventoryService/{method}"), request).await
    };
    match verb {
        LocationVerb::Set { name, priority, why: Why { reason } } => {
            let mut request = json!({ "name": name, "reason": reason });
            if let Some(priority) = priority {
                request["priority"] = json!(priority);
            }
            out.answer(&ask("SetLocation", request).await?, |out, answer| {
                show::locations(out, [&answer["location"]]);
            });
        }
        LocationVerb::List => {
            out.answer(&ask("ListLocations", json!({})).await?, |out, answer| {
                show::locations(out, answer["locations"].as_array().into_iter().flatten());
            });
        }
    }
    Ok(())
}

/// Shows the stock after a change.
fn moved(out: &Output, answer: &Value) {
    if answer["replayed"] == true {
        out.line("this request was executed before; nothing changed");
    }
    show::losers(out, answer);
    show::stock(out, [&answer["stock"]]);
}

/// `ordinal notification …`
pub async fn notification(
    client: &Client,
    out: &Output,
    verb: NotificationVerb,
) -> Result<(), Failure> {
    let ask = async |method: &str, request: Value| {
        client.call(&format!("notifications.v1.NotificationService/{method}"), request).await
    };
    let one = |out: &Output, answer: &Value| show::notification(out, &answer["notification"]);
    match verb {
        NotificationVerb::List { order, state, channel, endpoint, page } => {
            let channel = channel.map(|channel| channel.to_ascii_uppercase());
            let mut request =
                json!({ "order_id": order, "channel": channel, "endpoint": endpoint });
            resolve(client, &mut request, "order_id").await?;
            if let Some(state) = state {
                let state = client.enum_value("notifications.v1.NotificationState", &state)?;
                request["state"] = json!(state);
            }
            let method = "notifications.v1.NotificationService/ListNotifications";
            pages(client, out, method, request, &page, show::notifications).await?;
        }
        NotificationVerb::Get { notification_id } => {
            let request = json!({ "notification_id": notification_id });
            out.answer(&ask("GetNotification", request).await?, one);
        }
        NotificationVerb::Replay(args) => replay::replay(client, out, args).await?,
        NotificationVerb::Resend { notification_id, why } => {
            let request = json!({ "notification_id": notification_id, "reason": why.reason });
            out.answer(&ask("ResendNotification", request).await?, one);
        }
    }
    Ok(())
}
