use std::collections::BTreeMap;
use std::time::Duration;

use notification::{Channel, Route};
use serde_json::{Value, json};
use shared_events::contract::{Disposition, Fact, FactBody, OrderFact, OrderId, Origin};

use super::laws;
use super::report::{Law, Report};
use crate::client::lag;
use crate::client::{Client, Failure, resumed, text};

/// How long followers may take to catch up before they are compared.
const CATCH_UP: Duration = Duration::from_secs(30);
const PAGE: u32 = 100;

/// Checks what a client can see. Meant for an idle engine: an order that changes meanwhile may
/// differ between one call and the next.
///
/// # Errors
/// The engine's refusal; a difference is a finding, not an error.
pub async fn check(client: &Client) -> Result<Report, Failure> {
    let lag = lag::drained(client, CATCH_UP).await?;
    if let Some((follower, facts)) = lag.iter().find(|(_, facts)| **facts > 0) {
        let text = format!("{follower} lags by {facts} facts; only an idle engine can be checked");
        return Err(Failure::Other(anyhow::anyhow!(text)));
    }
    let mut report = Report { lag, ..Report::default() };
    dead_letters(&mut report, client).await?;
    let versions = events(&mut report, client).await?;
    let facts = facts(client).await?;
    let summaries = summaries(client).await?;
    let mut held: BTreeMap<String, u64> = BTreeMap::new();
    report.orders = u64::try_from(versions.len()).unwrap_or(u64::MAX);
    for (order_id, version) in &versions {
        let subject = format!("order/{order_id}");
        let answer =
            client.call("orders.v1.OrderService/GetOrder", json!({ "order_id": order_id })).await?;
        let order = &answer["order"];
        report.check(Law::HistoryLegal);
        if order["version"] != *version {
            let detail = format!("is at version {}, the journal at {version}", order["version"]);
            report.find(Law::HistoryLegal, &subject, detail);
        }
        report.check(Law::SummariesAsReplayed);
        for field in ["status", "version", "total", "refunded", "placed_at", "updated_at"] {
            let listed = summaries.get(order_id).map_or(&Value::Null, |summary| &summary[field]);
            if *listed != order[field] {
                let detail =
                    format!("{field} is {} in the list, {} in the replay", listed, order[field]);
                report.find(Law::SummariesAsReplayed, &subject, detail);
            }
        }
        let facts = facts.get(order_id).map(Vec::as_slice).unwrap_or_default();
        reservation(&mut report, client, &subject, order, facts, &mut held).await?;
        let sent = sent_messages(client, order_id).await?;
        laws::notifications(&mut report, &subject, facts, sent);
    }
    stock(&mut report, client, held).await?;
    Ok(report)
}

async fn dead_letters(report: &mut Report, client: &Client) -> Result<(), Failure> {
    report.check(Law::NothingParked);
    let method = "admin.v1.AdminService/ListDeadLetters";
    for letter in pages(client, method, "dead_letters", json!({})).await? {
        let (follower, kind) = (text(&letter, "follower"), text(&letter, "kind"));
        let detail = format!("{follower} has a dead letter {kind}: {}", text(&letter, "error"));
        report.find(Law::NothingParked, format!("subject/{}", text(&letter, "subject")), detail);
    }
    Ok(())
}

/// The last version of each order in the journal.
async fn events(report: &mut Report, client: &Client) -> Result<BTreeMap<OrderId, u64>, Failure> {
    let (mut versions, mut positions) = (BTreeMap::new(), BTreeMap::new());
    let request = json!({ "live": false });
    resumed::read(client, "orders.v1.JournalService/ReadEvents", request, "event", |event| {
        recorded(report, event, (&mut versions, &mut positions))
    })
    .await?;
    Ok(versions)
}

/// Compares an event with the last version of its order, and the last position of its shard.
fn recorded(
    report: &mut Report,
    event: &Value,
    (versions, positions): (&mut BTreeMap<OrderId, u64>, &mut BTreeMap<u64, u64>),
) -> Result<(), Failure> {
    report.events += 1;
    report.check(Law::PositionsGapless);
    let order_id = order_id(event)?;
    let subject = format!("order/{order_id}");
    let shard = event["position"]["shard"].as_u64().unwrap_or(0);
    let position = event["position"]["position"].as_u64().unwrap_or(0);
    let last = positions.insert(shard, position).unwrap_or(0);
    if position != last + 1 {
        let detail = format!("position {position} of shard {shard} follows {last}");
        report.find(Law::PositionsGapless, &subject, detail);
    }
    if !text(event, "unreadable").is_empty() {
        report.find(Law::HistoryLegal, &subject, text(event, "unreadable"));
    }
    let version = event["event"]["version"].as_u64().unwrap_or(0);
    let last = versions.insert(order_id, version).unwrap_or(0);
    if version != last + 1 {
        report.find(Law::HistoryLegal, subject, format!("version {version} follows {last}"));
    }
    Ok(())
}

async fn facts(client: &Client) -> Result<BTreeMap<OrderId, Vec<Fact>>, Failure> {
    let mut facts: BTreeMap<OrderId, Vec<Fact>> = BTreeMap::new();
    let request = json!({ "source": Origin::Orders.uri(), "live": false });
    resumed::facts(client, request, |json| {
        let fact = Fact::from_json(json).map_err(|error| Failure::Other(error.into()))?;
        if let Some(order_id) = fact.body.order_id() {
            facts.entry(order_id).or_default().push(fact);
        }
        Ok(())
    })
    .await?;
    Ok(facts)
}

async fn summaries(client: &Client) -> Result<BTreeMap<OrderId, Value>, Failure> {
    let listed = pages(client, "orders.v1.OrderService/ListOrders", "orders", json!({})).await?;
    listed.into_iter().map(|summary| Ok((order_id(&summary)?, summary))).collect()
}

async fn sent_messages(
    client: &Client,
    order_id: &OrderId,
) -> Result<Vec<(String, Route)>, Failure> {
    let method = "notifications.v1.NotificationService/ListNotifications";
    let messages = pages(client, method, "notifications", json!({ "order_id": order_id })).await?;
    messages
        .iter()
        .filter(|message| text(message, "resend_of").is_empty())
        .map(|message| {
            let channel = Channel::all()
                .find(|channel| channel.code() == text(message, "channel"))
                .ok_or_else(|| {
                    Failure::Other(anyhow::anyhow!("a message has an unknown channel"))
                })?;
            let route = match text(message, "endpoint") {
                endpoint if endpoint.is_empty() => channel.into(),
                endpoint => Route::webhook(&endpoint),
            };
            Ok((text(message, "fact_id"), route))
        })
        .collect()
}

async fn reservation(
    report: &mut Report,
    client: &Client,
    subject: &str,
    order: &Value,
    facts: &[Fact],
    held: &mut BTreeMap<String, u64>,
) -> Result<(), Failure> {
    report.check(Law::ReservationsAsOrders);
    let method = "inventory.v1.InventoryService/GetReservation";
    let answer = match client.call(method, json!({ "order_id": order["order_id"] })).await {
        Ok(answer) => answer,
        Err(Failure::Status(status)) if status.code() == tonic::Code::NotFound => {
            report.find(Law::ReservationsAsOrders, subject, "its reservation is missing");
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    let reservation = &answer["reservation"];
    let state = text(reservation, "state");
    let state = state.strip_prefix("RESERVATION_STATE_").unwrap_or(&state);
    let status = crate::client::status(order);
    let fits = match status.as_str() {
        "PENDING" | "CANCELLED" => state != "WAITING",
        _ => state == "RESERVED",
    };
    let held_by = text(order, "reservation_id");
    let same = held_by.is_empty() || held_by == text(reservation, "reservation_id");
    if !fits || !same || (status == "CANCELLED" && state == "RESERVED") {
        report.find(
            Law::ReservationsAsOrders,
            subject,
            format!("is {status}, its reservation {state}"),
        );
    }
    if state == "REJECTED" {
        return Ok(());
    }
    if items(&order["lines"]).count() != items(&reservation["lines"]).count() {
        let detail = "the reservation has other lines";
        report.find(Law::ReservationsAsOrders, subject, detail);
    }
    for (line, units) in items(&order["lines"]).zip(items(&reservation["lines"])) {
        report.check(Law::GoodsOutAndBack);
        let number = line["line"].as_u64().unwrap_or(0);
        let back = json!(restocked(facts, number));
        for (what, is, expected) in [
            ("sku", &units["sku"], &line["sku"]),
            ("units released", &units["released"], &line["cancelled"]),
            ("units out", &units["committed"], &line["fulfilled"]),
            ("units back", &units["restocked"], &back),
            ("units held", &units["held"], &line["open"]),
            ("units backordered", &units["backordered"], &line["backordered"]),
        ] {
            if is != expected {
                let detail = format!("line {number}, {what}: stock {is}, the order {expected}");
                report.find(Law::GoodsOutAndBack, subject, detail);
            }
        }
    }
    for units in items(&reservation["lines"]).chain(items(&reservation["edit"]["lines"])) {
        *held.entry(text(units, "sku")).or_default() += units["held"].as_u64().unwrap_or(0);
    }
    Ok(())
}

/// Units of a line that were restocked.
fn restocked(facts: &[Fact], line: u64) -> u64 {
    let returned = facts.iter().filter_map(|fact| match &fact.body {
        FactBody::Order(
            OrderFact::Returned { lines, .. }
            | OrderFact::ShipmentUndone { lines, open_again: false, .. }
            | OrderFact::ShipmentFound { lines, .. },
        ) => Some(lines),
        _ => None,
    });
    returned
        .flatten()
        .filter(|back| u64::from(back.line) == line && back.disposition == Disposition::Restock)
        .map(|back| u64::from(back.quantity.get()))
        .sum()
}

async fn stock(
    report: &mut Report,
    client: &Client,
    mut held: BTreeMap<String, u64>,
) -> Result<(), Failure> {
    let method = "inventory.v1.InventoryService/ListStock";
    for stock in pages(client, method, "stock", json!({})).await? {
        report.check(Law::StockSums);
        let sku = text(&stock, "sku");
        let expected = held.remove(&sku).unwrap_or(0);
        if stock["reserved"] != expected {
            let detail = format!("{} reserved, reservations hold {expected}", stock["reserved"]);
            report.find(Law::StockSums, format!("sku/{sku}"), detail);
        }
    }
    for (sku, units) in held.into_iter().filter(|(_, units)| *units > 0) {
        report.find(Law::StockSums, format!("sku/{sku}"), format!("{units} held, no stock row"));
    }
    Ok(())
}

/// All pages of a list.
async fn pages(
    client: &Client,
    method: &str,
    field: &str,
    mut request: Value,
) -> Result<Vec<Value>, Failure> {
    let mut all = Vec::new();
    request["page_size"] = json!(PAGE);
    loop {
        let mut answer = client.call(method, request.clone()).await?;
        if let Value::Array(page) = answer[field].take() {
            all.extend(page);
        }
        if text(&answer, "next_page_token").is_empty() {
            return Ok(all);
        }
        request["page_token"] = answer["next_page_token"].take();
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn order_id(value: &Value) -> Result<OrderId, Failure> {
    text(value, "order_id")
        .parse()
        .map_err(|_| Failure::Other(anyhow::anyhow!("an answer without an order id")))
}
