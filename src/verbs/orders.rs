//! `order`, `return` and `events`.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use futures::StreamExt as _;
use order_actor::grpc::recorded_event;
use order_actor::journal::{Archive, Manifest};
use serde_json::{Value, json};

use super::args::{CommandOptions, EventsVerb, OrderVerb, Page, PlaceArgs, ReturnVerb};
use crate::client::parse::{Id, LineUnits, Place};
use crate::client::show::{self, code, short_time, text};
use crate::client::{Client, Failure, Output, order_history};

/// The largest page of every list.
const PAGE_MAX: u32 = 100;

/// `ordinal order …`
pub async fn order(client: &Client, out: &Output, verb: OrderVerb) -> Result<(), Failure> {
    match verb {
        OrderVerb::Place(args) => {
            let request = place(*args)?;
            let validate_only = request["options"]["validate_only"] == true;
            command(client, out, "PlaceOrder", request, validate_only).await
        }
        OrderVerb::Get { order_id, as_of_version, as_of_time } => {
            let mut request = json!({ "order_id": order_id });
            if let Some(version) = as_of_version {
                request["version"] = json!(version);
            }
            if let Some(time) = as_of_time {
                request["time"] = json!(time);
            }
            let answer = client.call("orders.v1.OrderService/GetOrder", request).await?;
            out.answer(&answer, |out, answer| show::order(out, &answer["order"]));
            Ok(())
        }
        OrderVerb::List { status, customer, placed_from, placed_until, at_least, page } => {
            let statuses: Vec<String> = status
                .iter()
                .map(|status| client.enum_value("orders.v1.OrderStatus", status))
                .collect::<Result<_, _>>()?;
            let request = json!({
                "filter": {
                    "statuses": statuses, "customer_id": id(customer),
                    "placed_from": placed_from, "placed_until": placed_until,
                },
                "at_least": at_least.map(Place::to_json),
            });
            let method = "orders.v1.OrderService/ListOrders";
            pages(client, out, method, request, &page, show::orders).await
        }
        OrderVerb::Cancel { order_id, reason, text, line, options } => {
            let mut request = json!({
                "order_id": order_id, "text": text, "lines": units(&line),
                "options": command_options(&options),
            });
            if let Some(reason) = reason {
                // The others are for the engine to give.
                let callers = ["CUSTOMER_REQUEST", "OPS"];
                request["reason"] =
                    json!(client.enum_among("orders.v1.CancelReason", &reason, &callers)?);
            }
            command(client, out, "CancelOrder", request, options.validate_only).await
        }
        OrderVerb::Fulfill { order_id, shipment, carrier, tracking, line, options } => {
            let request = json!({
                "order_id": order_id, "shipment_id": id(shipment), "carrier": carrier,
                "tracking": tracking, "lines": units(&line), "options": command_options(&options),
            });
            command(client, out, "FulfillOrder", request, options.validate_only).await
        }
        OrderVerb::Watch { order_ids, customer, after, from_beginning } => {
            let request = json!({
                "order_ids": order_ids, "customer_id": id(customer), "after": places(&after),
                "from_beginning": from_beginning,
            });
            watch(client, out, request).await
        }
        OrderVerb::History { order_id } => {
            let events = order_history(client, order_id.0).await?;
            out.answer(&json!({ "events": events }), |out, _| show::history(out, &events));
            Ok(())
        }
        OrderVerb::Diff { order_id, from, to } => {
            let request = json!({ "order_id": order_id, "from_version": from, "to_version": to });
            let answer = client.call("orders.v1.JournalService/DiffOrder", request).await?;
            out.answer(&answer, |out, answer| {
                let versions = format!(
                    "version {} to {}",
                    text(answer, "from_version"),
                    text(answer, "to_version")
                );
                out.line(versions);
                let changes = answer["changes"].as_array().into_iter().flatten();
                out.table(
                    &["field", "before", "after"],
                    changes.map(|change| {
                        ["path", "before", "after"].map(|field| text(change, field)).to_vec()
                    }),
                );
            });
            Ok(())
        }
    }
}

/// Shows one page of a list, or all of them, one after the other.
pub async fn pages(
    client: &Client,
    out: &Output,
    method: &str,
    mut request: Value,
    page: &Page,
    show: impl Fn(&Output, &Value),
) -> Result<(), Failure> {
    request["page_size"] = json!(if page.all { PAGE_MAX } else { page.page_size });
    request["page_token"] = json!(page.page_token);
    loop {
        let mut answer = client.call(method, request.clone()).await?;
        let next = text(&answer, "next_page_token");
        if page.all {
            answer["next_page_token"] = json!("");
        }
        out.answer(&answer, &show);
        if !page.all || next.is_empty() {
            return Ok(());
        }
        request["page_token"] = json!(next);
    }
}

/// `ordinal return …`
pub async fn returns(client: &Client, out: &Output, verb: ReturnVerb) -> Result<(), Failure> {
    match verb {
        ReturnVerb::Request { order_id, line, reason, return_id, options } => {
            let request = json!({
                "order_id": order_id, "return_id": id(return_id), "lines": units(&line),
                "reason": reason, "options": command_options(&options),
            });
            command(client, out, "RequestReturn", request, options.validate_only).await
        }
        ReturnVerb::Approve { order_id, return_id, line, refund, refund_reason, options } => {
            let dispositions: Vec<Value> = line.iter().map(|line| line.to_json()).collect();
            let request = json!({
                "order_id": order_id, "return_id": id(return_id), "dispositions": dispositions,
                "refund": refund.map(|refund| refund.to_json()), "refund_reason": refund_reason,
                "options": command_options(&options),
            });
            command(client, out, "ApproveReturn", request, options.validate_only).await
        }
        ReturnVerb::Reject { order_id, return_id, reason, options } => {
            let request = json!({
                "order_id": order_id, "return_id": id(return_id), "reason": reason,
                "options": command_options(&options),
            });
            command(client, out, "RejectReturn", request, options.validate_only).await
        }
        ReturnVerb::List { page } => waiting_returns(client, out, &page).await,
    }
}

/// Returns that wait to be judged: what an order's list does not show is asked for, order by order.
async fn waiting_returns(client: &Client, out: &Output, page: &Page) -> Result<(), Failure> {
    let size = if page.all { PAGE_MAX } else { page.page_size };
    let mut token = page.page_token.clone();
    loop {
        let request = json!({
            "filter": { "statuses": ["ORDER_STATUS_RETURN_REQUESTED"] },
            "page_size": size, "page_token": token,
        });
        let listed = client.call("orders.v1.OrderService/ListOrders", request).await?;
        let mut orders = Vec::new();
        for summary in listed["orders"].as_array().into_iter().flatten() {
            let request = json!({ "order_id": summary["order_id"] });
            let mut answer = client.call("orders.v1.OrderService/GetOrder", request).await?;
            // It may have been judged a moment ago.
            if answer["order"]["pending_return"].is_object() {
                orders.push(answer["order"].take());
            }
        }
        // The one that is to be judged first comes first.
        orders.sort_by_key(|order| text(&order["pending_return"], "judge_by"));
        token = text(&listed, "next_page_token");
        let next = if page.all { "" } else { token.as_str() };
        let answer = json!({ "orders": orders, "next_page_token": next });
        out.answer(&answer, show::waiting_returns);
        if !page.all || token.is_empty() {
            return Ok(());
        }
    }
}

/// `ordinal events …`
pub async fn events(client: &Client, out: &Output, verb: EventsVerb) -> Result<(), Failure> {
    let request = match verb {
        EventsVerb::Tail { after } if after.is_empty() => {
            // A replay that is bounded to no event still says where the journal ends.
            let after = ends(client).await?;
            json!({ "after": after, "live": true })
        }
        EventsVerb::Tail { after } => json!({ "after": places(&after), "live": true }),
        EventsVerb::Replay { after, only_named, limit, archive: None } => {
            json!({ "after": places(&after), "only_named": only_named, "limit": limit })
        }
        EventsVerb::Replay { after, only_named, limit, archive: Some(directory) } => {
            let archive = Archive::new(&directory);
            match archived(client, out, &archive, &after, only_named, limit).await? {
                Some(rest) => rest,
                None => return Ok(()),
            }
        }
    };
    let mut answers = client.stream("orders.v1.JournalService/ReadEvents", request).await?;
    while let Some(answer) = answers.next().await {
        let answer = answer?;
        if answer["event"].is_object() {
            out.answer(&answer["event"], show::recorded);
        }
    }
    Ok(())
}

/// Shows what is in the files of an archive, shard by shard. The request for the rest, unless the
/// limit was reached.
async fn archived(
    client: &Client,
    out: &Output,
    archive: &Archive,
    after: &[Place],
    only_named: bool,
    limit: u64,
) -> Result<Option<Value>, Failure> {
    let mut after: BTreeMap<u16, u64> = after.iter().map(|place| place.parts()).collect();
    let named: Vec<u16> = after.keys().copied().collect();
    let mut shown = 0;
    for manifest in archive.manifests().map_err(anyhow::Error::from)? {
        let at = after.get(&manifest.shard).copied().unwrap_or(0);
        let passed_over = only_named && !named.contains(&manifest.shard);
        if passed_over || at >= manifest.last_position {
            continue;
        }
        if at + 1 < manifest.first_position {
            let Manifest { shard, first_position, .. } = manifest;
            let message = format!(
                "shard {shard} goes on at position {first_position} instead of {}; a file is missing",
                at + 1
            );
            return Err(Failure::Refused { reason: "ARCHIVE_INCOMPLETE".to_owned(), message });
        }
        let mut at = at;
        while at < manifest.last_position {
            for event in archive.events(&manifest, at).await.map_err(anyhow::Error::from)? {
                if limit > 0 && shown == limit {
                    return Ok(None);
                }
                at = event.event.position;
                shown += 1;
                let event = client.shown("orders.v1.RecordedEvent", &recorded_event(event))?;
                out.answer(&event, show::recorded);
            }
        }
        after.insert(manifest.shard, at);
    }
    if limit > 0 && shown == limit {
        return Ok(None);
    }
    let only_named = only_named.then_some(&named);
    let after: Vec<Value> = after
        .into_iter()
        .filter(|(shard, _)| only_named.is_none_or(|named| named.contains(shard)))
        .map(|(shard, position)| json!({ "shard": shard, "position": position }))
        .collect();
    let limit = limit.saturating_sub(shown);
    Ok(Some(json!({ "after": after, "only_named": only_named.is_some(), "limit": limit })))
}

/// Where the journal ends, as the first message of a watch tells.
async fn ends(client: &Client) -> Result<Value, Failure> {
    let mut changes = client.stream("orders.v1.OrderService/WatchOrders", json!({})).await?;
    while let Some(answer) = changes.next().await {
        let answer = answer?;
        if answer["progress"].is_object() {
            return Ok(answer["progress"]["through"].clone());
        }
    }
    Ok(json!([]))
}

async fn watch(client: &Client, out: &Output, request: Value) -> Result<(), Failure> {
    let mut changes = client.stream("orders.v1.OrderService/WatchOrders", request).await?;
    while let Some(answer) = changes.next().await {
        let answer = answer?;
        let change = &answer["change"];
        if change.is_object() {
            out.answer(change, |out, change| {
                let line = [
                    show::place(&change["position"]),
                    short_time(&change["event"], "occurred_at"),
                    text(&change["order"], "order_id"),
                    code(&change["order"], "status", "ORDER_STATUS_"),
                    text(&change["event"], "name"),
                    show::what(&change["event"]),
                ];
                out.line(line.join("  ").trim_end());
            });
        }
    }
    Ok(())
}

async fn command(
    client: &Client,
    out: &Output,
    method: &str,
    request: Value,
    validate_only: bool,
) -> Result<(), Failure> {
    let answer = client.call(&format!("orders.v1.OrderService/{method}"), request).await?;
    out.answer(&answer, |out, answer| show::command(out, answer, validate_only));
    Ok(())
}

fn place(args: PlaceArgs) -> Result<Value, Failure> {
    let PlaceArgs { file, order, options } = args;
    if let Some(path) = &file {
        return place_file(path, &options);
    }
    Ok(json!({
        "order_id": id(order.id),
        "customer_id": id(order.customer),
        "lines": order.line.iter().map(|line| line.to_json()).collect::<Vec<_>>(),
        "address": {
            "street": order.street, "city": order.city, "postal_code": order.postal_code,
            "country": order.country,
        },
        "contact": { "email": order.email, "phone": order.phone, "locale": order.locale },
        "ordered_at": order.ordered_at,
        "options": command_options(&options),
    }))
}

/// The request in a file, with the options of the command line over its own.
fn place_file(path: &Path, options: &CommandOptions) -> Result<Value, Failure> {
    let (name, content) = if path.as_os_str() == "-" {
        let mut content = String::new();
        std::io::stdin().read_to_string(&mut content).context("standard input")?;
        ("standard input".to_owned(), content)
    } else {
        let content = std::fs::read_to_string(path)
            .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        (path.display().to_string(), content)
    };
    let wrong = |what: String| Failure::Usage(format!("{name}: {what}"));
    let mut request: Value =
        serde_json::from_str(&content).map_err(|error| wrong(format!("is no JSON: {error}")))?;
    let Some(fields) = request.as_object_mut() else {
        return Err(wrong("is no JSON object".to_owned()));
    };
    let own = fields.entry("options").or_insert_with(|| json!({}));
    if own.is_null() {
        *own = json!({});
    }
    let Some(own) = own.as_object_mut() else { return Ok(request) };
    for (name, camel, value) in [
        ("request_id", "requestId", options.request_id.map(|id| json!(id))),
        ("expected_version", "expectedVersion", options.expected_version.map(|n| json!(n))),
        ("validate_only", "validateOnly", options.validate_only.then_some(json!(true))),
    ] {
        // A field has two spellings; with both it would stand there twice.
        let said = own.remove(camel);
        if let Some(value) = value.or(said) {
            own.insert(name.to_owned(), value);
        }
    }
    Ok(request)
}

fn command_options(options: &CommandOptions) -> Value {
    json!({
        "request_id": id(options.request_id),
        "expected_version": options.expected_version,
        "validate_only": options.validate_only,
    })
}

/// An id as protos carry it: empty where absent.
pub fn id(id: Option<Id>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn units(lines: &[LineUnits]) -> Vec<Value> {
    lines.iter().map(|line| line.to_json()).collect()
}

fn places(places: &[Place]) -> Vec<Value> {
    places.iter().map(|place| place.to_json()).collect()
}
