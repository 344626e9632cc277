//! `ordinal demo`: every ending of an order, through real gRPC, on a temporary engine whose clock
//! is moved by hand.
//!
//! Never here: a shortcut past the edge. The demo shows what any client would see.

mod corrected; // an order that is held, corrected, edited and lost
mod paid; // orders that are paid
mod promised; // an order that waits for stock, and one in exchange
mod show; // what became of the orders, for people and programs
mod wallet; // an order that a wallet pays

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use order_actor::clock::{Clock as _, ManualClock, SystemClock};
use serde_json::{Value, json};
use uuid::Uuid;

use self::show::{show, state};
use crate::client::{Caller, Client, Connection, Failure, Output};
use crate::engine::psps::Psps;
use crate::engine::{Backend, Engine, Settings};

/// Time limit for reactions, which take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL_EVERY: Duration = Duration::from_millis(20);
/// Time that passes between two steps, so that histories show distinct times.
const STEP: Duration = Duration::from_secs(60);

/// An order with its outcome.
struct Outcome {
    title: &'static str,
    order_id: Uuid,
    /// Status, reason of cancellation, state of the last return and of the payment, as expected.
    expected: &'static str,
    found: String,
}

/// Takes orders to every ending and shows their histories and messages.
///
/// # Errors
/// Where the engine cannot start, or does not react in time.
pub async fn run(out: &Output) -> anyhow::Result<ExitCode> {
    // An image may have no directory for temporary files; one is created where possible.
    let directory = tempfile::tempdir().or_else(|_| tempfile::tempdir_in("."));
    let directory = directory.context("temporary directory")?;
    let clock = ManualClock::new(SystemClock.now());
    let mut outcomes = Vec::new();
    let providers = paid::providers(&clock)?;

    let engine = start(directory.path(), &clock, &providers, true).await?;
    let story = Story::new(&engine, clock.clone()).await?;
    let outcome = async {
        story.with_stock(&mut outcomes).await?;
        story.corrected(&mut outcomes).await?;
        story.paid(&mut outcomes).await?;
        story.by_wallet(&mut outcomes).await?;
        story.promised(&mut outcomes).await
    };
    let outcome = outcome.await;
    settle(&story, outcome).await?;
    engine.stop().await?;

    // The stock service does not answer: nobody confirms, and the window passes.
    let engine = start(directory.path(), &clock, &providers, false).await?;
    let story = Story::new(&engine, clock.clone()).await?;
    let outcome = story.without_stock(&mut outcomes).await;
    settle(&story, outcome).await?;
    let shown = show(&story, out, &outcomes).await;
    engine.stop().await?;
    shown.map_err(failed)?;

    let all = outcomes.iter().all(|order| order.found == order.expected);
    if !out.json {
        out.line(if all {
            "Every order ended as it should."
        } else {
            "Some orders did not end as they should."
        });
    }
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until something is as expected.
async fn until_is(
    what: &str,
    expected: &str,
    read: impl AsyncFn() -> Result<String, Failure>,
) -> Result<(), Failure> {
    let patience = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now = read().await?;
        if now == expected {
            return Ok(());
        }
        if tokio::time::Instant::now() > patience {
            return Err(Failure::Other(anyhow::anyhow!("{what} is {now}, not {expected}")));
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

async fn settle(story: &Story, outcome: Result<(), Failure>) -> anyhow::Result<()> {
    outcome.map_err(failed)?;
    story.messages_are_delivered().await.map_err(failed)
}

fn failed(failure: Failure) -> anyhow::Error {
    match failure {
        Failure::Other(error) => error,
        other => anyhow::anyhow!("{other}"),
    }
}

async fn start(
    directory: &Path,
    clock: &ManualClock,
    providers: &Psps,
    stock_follower: bool,
) -> anyhow::Result<Engine> {
    let mut settings = Settings::new(Backend::Sqlite(directory.to_owned()));
    settings.clock = Arc::new(clock.clone());
    settings.psps = providers.clone();
    settings.stock_follower = stock_follower;
    Engine::start(settings).await
}

struct Story {
    ops: Client,
    buyer: Client,
    customer: Uuid,
    clock: ManualClock,
}

impl Story {
    async fn new(engine: &Engine, clock: ManualClock) -> anyhow::Result<Self> {
        let customer = Uuid::now_v7();
        let address = format!("http://{}", engine.address());
        let caller = |role: &str, subject: &str| {
            let caller = Caller { role: role.to_owned(), subject: subject.to_owned() };
            Connection::new(address.clone(), caller)
        };
        let ops = Client::connect(&caller("ops", "demo")).await.map_err(failed)?;
        let buyer = ops.as_caller(&caller("customer", &customer.to_string())).map_err(failed)?;
        Ok(Self { ops, buyer, customer, clock })
    }

    async fn with_stock(&self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        for (sku, on_hand) in [("MUG", 20), ("PLATE", 20), ("TEAPOT", 1)] {
            self.ops
                .call(
                    "inventory.v1.InventoryService/SetStock",
                    json!({ "sku": sku, "on_hand": on_hand }),
                )
                .await?;
        }

        let order = self.place(&[("MUG", 2), ("PLATE", 1)]).await?;
        self.until(order, "CONFIRMED").await?;
        self.fulfil(order, &[]).await?;
        self.end(outcomes, "Confirmed and delivered", order, "FULFILLED").await?;

        let order = self.place(&[("MUG", 1), ("TEAPOT", 5)]).await?;
        self.until(order, "CANCELLED").await?;
        self.end(outcomes, "Not enough stock", order, "CANCELLED INSUFFICIENT_STOCK").await?;

        let order = self.place(&[("MUG", 1)]).await?;
        self.until(order, "CONFIRMED").await?;
        self.call(
            &self.buyer,
            "CancelOrder",
            json!({ "order_id": order, "text": "changed my mind" }),
        )
        .await?;
        self.end(outcomes, "Cancelled by the customer", order, "CANCELLED CUSTOMER_REQUEST")
            .await?;

        let order = self.place(&[("MUG", 2), ("PLATE", 3)]).await?;
        self.until(order, "CONFIRMED").await?;
        self.fulfil(order, &[(1, 2), (2, 1)]).await?;
        self.until(order, "CONFIRMED").await?;
        self.fulfil(order, &[]).await?;
        self.end(outcomes, "Delivered in two parcels", order, "FULFILLED").await?;

        let order = self.delivered_and_sent_back().await?;
        let restocked = json!([{ "line": 1, "disposition": "DISPOSITION_RESTOCK" }]);
        let approve = json!({ "order_id": order, "dispositions": restocked });
        self.call(&self.ops, "ApproveReturn", approve).await?;
        self.end(outcomes, "Return approved", order, "RETURNED, return approved").await?;

        let order = self.delivered_and_sent_back().await?;
        let reject = json!({ "order_id": order, "reason": "the plates were used" });
        self.call(&self.ops, "RejectReturn", reject).await?;
        self.end(outcomes, "Return rejected", order, "FULFILLED, return rejected").await?;

        let order = self.place(&[("MUG", 2), ("PLATE", 1)]).await?;
        self.until(order, "CONFIRMED").await?;
        self.fulfil(order, &[(1, 2)]).await?;
        let ask = json!({ "order_id": order, "lines": [{ "line": 1, "quantity": 2 }], "reason": "chipped" });
        self.call(&self.buyer, "RequestReturn", ask).await?;
        let later = json!({ "order_id": order, "receive_later": true });
        self.call(&self.ops, "ApproveReturn", later).await?;
        self.fulfil(order, &[]).await?;
        let damaged = json!([
            { "line": 1, "quantity": 1, "outcome": "UNIT_OUTCOME_RESTOCK" },
            { "line": 1, "quantity": 1, "outcome": "UNIT_OUTCOME_WRITE_OFF" },
        ]);
        let receive = json!({ "order_id": order, "outcomes": damaged });
        self.call(&self.ops, "ReceiveReturn", receive).await?;
        let story = "First parcel sent back, one mug damaged";
        self.end(outcomes, story, order, "FULFILLED, return approved").await
    }

    async fn without_stock(&self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        let order = self.place(&[("MUG", 1)]).await?;
        self.until(order, "PENDING").await?;
        self.clock.advance(Duration::from_secs(15 * 60));
        self.until(order, "CANCELLED").await?;
        self.end(outcomes, "Nobody confirmed in time", order, "CANCELLED SLA_TIMEOUT").await
    }

    async fn delivered_and_sent_back(&self) -> Result<Uuid, Failure> {
        let order = self.place(&[("PLATE", 2)]).await?;
        self.until(order, "CONFIRMED").await?;
        self.fulfil(order, &[]).await?;
        self.call(
            &self.buyer,
            "RequestReturn",
            json!({ "order_id": order, "lines": [{ "line": 1, "quantity": 2 }], "reason": "too small" }),
        )
        .await?;
        Ok(order)
    }

    async fn place(&self, lines: &[(&str, u32)]) -> Result<Uuid, Failure> {
        let (order, request) = self.placing(lines);
        self.call(&self.buyer, "PlaceOrder", request).await?;
        Ok(order)
    }

    /// An order, and the request that places it.
    fn placing(&self, lines: &[(&str, u32)]) -> (Uuid, Value) {
        let order = Uuid::now_v7();
        let lines: Vec<Value> = lines
            .iter()
            .map(|(sku, quantity)| {
                let price = json!({ "currency_code": "GBP", "units": 12, "nanos": 500_000_000 });
                json!({ "sku": sku, "quantity": quantity, "unit_price": price })
            })
            .collect();
        let request = json!({
            "order_id": order, "customer_id": self.customer, "lines": lines,
            "address": {
                "street": "1 High Street", "city": "London", "postal_code": "EC1A 1BB",
                "country": "GB",
            },
            "contact": { "email": "customer@example.com", "locale": "en" },
        });
        (order, request)
    }

    async fn fulfil(&self, order: Uuid, lines: &[(u32, u32)]) -> Result<(), Failure> {
        let lines: Vec<Value> = lines
            .iter()
            .map(|(line, quantity)| json!({ "line": line, "quantity": quantity }))
            .collect();
        let request = json!({
            "order_id": order, "lines": lines, "carrier": "Royal Mail", "tracking": "RM123456785GB",
        });
        self.call(&self.ops, "FulfillOrder", request).await
    }

    async fn call(&self, caller: &Client, method: &str, request: Value) -> Result<(), Failure> {
        caller.call(&format!("orders.v1.OrderService/{method}"), request).await?;
        self.clock.advance(STEP);
        Ok(())
    }

    async fn order(&self, order: Uuid) -> Result<Value, Failure> {
        let request = json!({ "order_id": order });
        let mut answer = self.ops.call("orders.v1.OrderService/GetOrder", request).await?;
        Ok(answer["order"].take())
    }

    /// Waits until the order has this status; reactions follow by themselves.
    async fn until(&self, order: Uuid, status: &str) -> Result<(), Failure> {
        until_is(&format!("order {order}"), status, async || {
            Ok(crate::client::status(&self.order(order).await?))
        })
        .await
    }

    async fn end(
        &self,
        outcomes: &mut Vec<Outcome>,
        title: &'static str,
        order_id: Uuid,
        expected: &'static str,
    ) -> Result<(), Failure> {
        let mut found = ending(&self.order(order_id).await?);
        if let Some(payment) = self.payment(order_id).await? {
            found = format!("{found}, payment {payment}");
        }
        outcomes.push(Outcome { title, order_id, expected, found });
        Ok(())
    }

    async fn notifications(&self, order: Uuid) -> Result<Vec<Value>, Failure> {
        let request = json!({ "order_id": order, "page_size": 100 });
        let mut answer = self
            .ops
            .call("notifications.v1.NotificationService/ListNotifications", request)
            .await?;
        Ok(match answer["notifications"].take() {
            Value::Array(notifications) => notifications,
            _ => Vec::new(),
        })
    }

    /// Waits until the message service has read every fact and no delivery is pending.
    async fn messages_are_delivered(&self) -> Result<(), Failure> {
        let patience = tokio::time::Instant::now() + PATIENCE;
        loop {
            let answer = self.ops.call("admin.v1.AdminService/ListFollowers", json!({})).await?;
            let caught_up = answer["followers"]
                .as_array()
                .into_iter()
                .flatten()
                .all(|follower| follower["head_known"] == true && follower["lag"] == json!(0));
            let messages = self
                .ops
                .call(
                    "notifications.v1.NotificationService/ListNotifications",
                    json!({ "page_size": 100 }),
                )
                .await?;
            let pending =
                messages["notifications"].as_array().into_iter().flatten().any(|message| {
                    matches!(state(message).as_str(), "QUEUED" | "SENDING" | "RETRY_AT")
                });
            if caught_up && !pending {
                return Ok(());
            }
            if tokio::time::Instant::now() > patience {
                return Err(Failure::Other(anyhow::anyhow!(
                    "the messages were not delivered in time"
                )));
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }
}

fn ending(order: &Value) -> String {
    let mut ending = crate::client::status(order);
    let reason = crate::client::code(order, "cancel_reason", "CANCEL_REASON_");
    if !reason.is_empty() {
        ending = format!("{ending} {reason}");
    }
    match order["judged_returns"].as_array().and_then(|judged| judged.last()) {
        Some(judged) if judged["approved"] == true => format!("{ending}, return approved"),
        Some(_) => format!("{ending}, return rejected"),
        None => ending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_status_reason_and_judgement() {
        let order = json!({ "status": "ORDER_STATUS_CANCELLED", "cancel_reason": "CANCEL_REASON_SLA_TIMEOUT" });
        assert_eq!(ending(&order), "CANCELLED SLA_TIMEOUT");
        let order = json!({ "status": "ORDER_STATUS_FULFILLED", "cancel_reason": "CANCEL_REASON_UNSPECIFIED",
                            "judged_returns": [{ "approved": false }] });
        assert_eq!(ending(&order), "FULFILLED, return rejected");
    }
}
