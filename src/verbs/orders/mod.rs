//! `order`, `return` and `events`.

mod corrections; // holds, corrections and parcels
mod edits; // lines of an order
mod events; // events of all orders, also from an archive
mod returns; // requests and decisions of returns

pub use events::events;
pub use returns::returns;

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::args::{CommandOptions, ListedBy, OrderVerb, Page, PlaceArgs};
use crate::client::order_name::{get_order, resolve};
use crate::client::parse::{Id, KeyValue, LineUnits, OrderLine, Place};
use crate::client::prices::LineTax;
use crate::client::show::{self, code, short_time, text};
use crate::client::{Client, Failure, Output, order_history, resumed};

/// The largest page of every list.
const PAGE_MAX: u32 = 100;

/// `ordinal order …`
#[expect(clippy::too_many_lines, reason = "one arm for each verb")]
pub async fn order(client: &Client, out: &Output, verb: OrderVerb) -> Result<(), Failure> {
    match verb {
        OrderVerb::Place(args) => {
            let request = place(*args)?;
            let validate_only = request["options"]["validate_only"] == true;
            command(client, out, "PlaceOrder", request, validate_only).await
        }
        OrderVerb::Get { order_id, as_of_version, as_of_time } => {
            let mut request = order_id.fields();
            if let Some(version) = as_of_version {
                request["version"] = json!(version);
            }
            if let Some(time) = as_of_time {
                request["time"] = json!(time);
            }
            let answer = get_order(client, request).await?;
            out.answer(&answer, |out, answer| show::order(out, &answer["order"]));
            Ok(())
        }
        OrderVerb::List {
            status,
            customer,
            placed_from,
            placed_until,
            named,
            sort,
            at_least,
            page,
        } => {
            let statuses: Vec<String> = status
                .iter()
                .map(|status| client.enum_value("orders.v1.OrderStatus", status))
                .collect::<Result<_, _>>()?;
            let payment: Vec<String> = named
                .payment
                .iter()
                .map(|state| client.enum_value("orders.v1.PaymentStatus", state))
                .collect::<Result<_, _>>()?;
            let mut filter = listed_by(*named);
            filter["payment"] = json!(payment);
            filter["statuses"] = json!(statuses);
            filter["customer_id"] = json!(id(customer));
            filter["placed_from"] = json!(placed_from);
            filter["placed_until"] = json!(placed_until);
            let mut request = json!({ "filter": filter, "at_least": at_least.map(Place::to_json) });
            if let Some(sort) = sort {
                request["sort"] = json!(client.enum_value("orders.v1.OrderSort", &sort)?);
            }
            let method = "orders.v1.OrderService/ListOrders";
            pages(client, out, method, request, &page, show::orders).await
        }
        OrderVerb::Cancel { order_id, reason, text, line, options } => {
            let mut request = json!({
                "order_id": order_id, "text": text, "lines": units(&line),
                "options": command_options(&options),
            });
            if let Some(reason) = reason {
                // Other reasons are set by the engine only.
                let callers = ["CUSTOMER_REQUEST", "OPS"];
                request["reason"] =
                    json!(client.enum_among("orders.v1.CancelReason", &reason, &callers)?);
            }
            command(client, out, "CancelOrder", request, options.validate_only).await
        }
        OrderVerb::Fulfill {
            order_id,
            shipment,
            reference,
            carrier,
            tracking,
            location,
            line,
            options,
        } => {
            let request = json!({
                "order_id": order_id, "shipment_id": id(shipment), "carrier": carrier,
                "tracking": tracking, "lines": units(&line), "options": command_options(&options),
                "shipment_reference": reference,
            });
            let request = at(request, location);
            command(client, out, "FulfillOrder", request, options.validate_only).await
        }
        OrderVerb::Hold(args) => corrections::hold(client, out, args).await,
        OrderVerb::Release(args) => corrections::release(client, out, args).await,
        OrderVerb::Correct(args) => corrections::correct(client, out, *args).await,
        OrderVerb::Edit(args) => edits::edit(client, out, *args).await,
        OrderVerb::Parcel(verb) => corrections::parcel(client, out, verb).await,
        OrderVerb::Note { order_id, text, public, options } => {
            let request = json!({
                "order_id": order_id, "text": text, "public": public,
                "options": command_options(&options),
            });
            command(client, out, "AddNote", request, options.validate_only).await
        }
        OrderVerb::Watch { order_ids, customer, after, from_beginning } => {
            let mut request = json!({
                "order_ids": order_ids, "customer_id": id(customer), "after": places(&after),
                "from_beginning": from_beginning,
            });
            resolve(client, &mut request, "order_ids").await?;
            watch(client, out, request).await
        }
        OrderVerb::History { order_id } => {
            let mut named = json!({ "order_id": order_id });
            resolve(client, &mut named, "order_id").await?;
            let events = order_history(client, &text(&named, "order_id")).await?;
            out.answer(&json!({ "events": events }), |out, _| show::history(out, &events));
            Ok(())
        }
        OrderVerb::Diff { order_id, from, to } => {
            let mut request =
                json!({ "order_id": order_id, "from_version": from, "to_version": to });
            resolve(client, &mut request, "order_id").await?;
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

/// Shows one page of a list, or all pages.
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

async fn watch(client: &Client, out: &Output, request: Value) -> Result<(), Failure> {
    let shown = |change: &Value| {
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
        Ok(())
    };
    resumed::read(client, "orders.v1.OrderService/WatchOrders", request, "change", shown).await
}

async fn command(
    client: &Client,
    out: &Output,
    method: &str,
    mut request: Value,
    validate_only: bool,
) -> Result<(), Failure> {
    resolve(client, &mut request, "order_id").await?;
    let answer = client.call(&format!("orders.v1.OrderService/{method}"), request).await?;
    out.answer(&answer, |out, answer| show::command(out, answer, validate_only));
    Ok(())
}

/// The part of an `OrderFilter` that names orders.
fn listed_by(named: ListedBy) -> Value {
    let metadata = named.metadata.map(|KeyValue { key, value }| (key, value));
    let (key, value) = metadata.unwrap_or_default();
    json!({
        "order_number": named.number, "external_id": named.external_id, "shop": named.shop,
        "tag": named.tag, "sku": named.sku, "email": named.email, "metadata_key": key,
        "metadata_value": value, "held": named.held, "tracking": named.tracking,
        "shipment_reference": named.shipment_reference,
        "return_reference": named.return_reference,
    })
}

fn place(args: PlaceArgs) -> Result<Value, Failure> {
    let PlaceArgs { file, order, contact, options } = args;
    if let Some(path) = &file {
        return place_file(path, &options);
    }
    let tax_mode = order.tax_included.then_some("TAX_MODE_INCLUDED");
    Ok(json!({
        "order_id": id(order.id),
        "customer_id": id(order.customer),
        "lines": taxed(&order.line, &order.tax)?,
        "charges": order.charge.iter().map(|charge| charge.to_json()).collect::<Vec<_>>(),
        "discounts": order.discount.iter().map(|one| one.to_json()).collect::<Vec<_>>(),
        "tax_mode": tax_mode,
        "address": {
            "street": order.street, "city": order.city, "postal_code": order.postal_code,
            "country": order.country, "name": order.name, "company": order.company,
            "street_line2": order.street_line2, "region": order.region,
        },
        "contact": { "email": contact.email, "phone": contact.phone, "locale": contact.locale },
        "ordered_at": order.ordered_at,
        "exchange_of": order.exchange_of.map(|exchange| exchange.to_json()),
        "order_number": order.number,
        "external_id": order.external_id,
        "shop": order.shop,
        "payment": order.payment.map(|plan| plan.to_json()),
        "notes": notes(order.public_note, true).chain(notes(order.note, false)).collect::<Vec<_>>(),
        "options": command_options(&options),
    }))
}

/// The lines with their taxes.
fn taxed(lines: &[OrderLine], taxes: &[LineTax]) -> Result<Vec<Value>, Failure> {
    if let Some(tax) = taxes.iter().find(|tax| tax.line > lines.len()) {
        let text = format!("--tax: there is no line {}, but {}", tax.line, lines.len());
        return Err(Failure::Usage(text));
    }
    let line = |(number, line): (usize, &OrderLine)| {
        let of_line = taxes.iter().filter(|tax| tax.line == number);
        let mut json = line.to_json();
        json["taxes"] = of_line.map(|tax| tax.to_json()).collect();
        json
    };
    Ok((1..).zip(lines).map(line).collect())
}

fn notes(texts: Vec<String>, public: bool) -> impl Iterator<Item = Value> {
    texts.into_iter().map(move |text| json!({ "public": public, "text": text }))
}

/// The request in a file; options on the command line override its own.
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
        serde_json::from_str(&content).map_err(|error| wrong(format!("is not JSON: {error}")))?;
    let Some(fields) = request.as_object_mut() else {
        return Err(wrong("is not a JSON object".to_owned()));
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
        // A field has two spellings; with both it would be set twice.
        let in_file = own.remove(camel);
        if let Some(value) = value.or(in_file) {
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

/// An id as in the protos: empty if absent.
pub fn id(id: Option<Id>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// The request with a location of stock, if there is one to name.
pub fn at(mut request: Value, location: Option<String>) -> Value {
    if let Some(location) = location {
        request["location"] = json!(location);
    }
    request
}

fn units(lines: &[LineUnits]) -> Vec<Value> {
    lines.iter().map(|line| line.to_json()).collect()
}

fn places(places: &[Place]) -> Vec<Value> {
    places.iter().map(|place| place.to_json()).collect()
}
