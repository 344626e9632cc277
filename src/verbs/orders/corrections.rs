use serde_json::{Value, json};

use super::{command, command_options, id};
use crate::client::parse::{Id, Named};
use crate::client::{Client, Failure, Output, show};
use crate::verbs::args::{CorrectArgs, CorrectedFields, HoldArgs, ParcelVerb, ReleaseArgs};

/// `ordinal order hold`
pub(super) async fn hold(client: &Client, out: &Output, args: HoldArgs) -> Result<(), Failure> {
    let HoldArgs { order_id, kind, label, reason, hold_id, options } = args;
    let request = json!({
        "order_id": order_id, "hold_id": id(hold_id),
        "kind": client.enum_value("orders.v1.HoldKind", &kind)?,
        "label": label, "reason": reason, "options": command_options(&options),
    });
    command(client, out, "HoldOrder", request, options.validate_only).await
}

/// `ordinal order release`
pub(super) async fn release(
    client: &Client,
    out: &Output,
    args: ReleaseArgs,
) -> Result<(), Failure> {
    let ReleaseArgs { order_id, hold, reason, options } = args;
    let mut request = json!({
        "order_id": order_id, "reason": reason, "options": command_options(&options),
    });
    match hold {
        Named::Id(id) => request["hold_id"] = json!(id),
        Named::Text(name) => request["name"] = json!(name),
    }
    command(client, out, "ReleaseHold", request, options.validate_only).await
}

/// `ordinal order correct`
pub(super) async fn correct(
    client: &Client,
    out: &Output,
    args: CorrectArgs,
) -> Result<(), Failure> {
    let CorrectArgs { order_id, reason, fields, billing_address, no_billing_address, options } =
        args;
    let mut request = json!({
        "order_id": order_id, "reason": reason, "options": command_options(&options),
    });
    // A mask in JSON has the names of fields in lower camel case.
    let mut mask = Vec::new();
    for (message, field, camel, value) in given(fields) {
        request[message][field] = json!(value);
        mask.push(format!("{message}.{camel}"));
    }
    if let Some(path) = billing_address {
        let wrong =
            |error: &dyn std::fmt::Display| Failure::Usage(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        let address: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        request["billing_address"] = address;
    }
    if no_billing_address || request["billing_address"].is_object() {
        mask.push("billingAddress".to_owned());
    }
    request["update_mask"] = json!(mask.join(","));
    command(client, out, "CorrectOrder", request, options.validate_only).await
}

/// The fields that are given: their message, their name, the same in lower camel case, their value.
fn given(
    fields: CorrectedFields,
) -> impl Iterator<Item = (&'static str, &'static str, &'static str, String)> {
    let all = [
        ("contact", "email", "email", fields.contact.email),
        ("contact", "phone", "phone", fields.contact.phone),
        ("contact", "locale", "locale", fields.contact.locale),
        ("address", "name", "name", fields.name),
        ("address", "company", "company", fields.company),
        ("address", "street", "street", fields.street),
        ("address", "street_line2", "streetLine2", fields.street_line2),
        ("address", "city", "city", fields.city),
        ("address", "postal_code", "postalCode", fields.postal_code),
        ("address", "region", "region", fields.region),
        ("address", "country", "country", fields.country),
        ("address", "phone", "phone", fields.door_phone),
        ("address", "instructions", "instructions", fields.instructions),
    ];
    all.into_iter()
        .filter_map(|(message, field, camel, value)| Some((message, field, camel, value?)))
}

/// `ordinal order parcel …`
pub(super) async fn parcel(client: &Client, out: &Output, verb: ParcelVerb) -> Result<(), Failure> {
    match verb {
        ParcelVerb::List { order_id } => {
            let request = json!({ "order_id": order_id });
            let answer = client.call("orders.v1.OrderService/GetOrder", request).await?;
            let parcels = json!({ "parcels": answer["order"]["parcels"] });
            out.answer(&parcels, show::parcels);
            Ok(())
        }
        ParcelVerb::Update { order_id, parcel, carrier, tracking, options } => {
            let mut request = of_parcel(order_id, parcel);
            request["carrier"] = json!(carrier);
            request["tracking"] = json!(tracking);
            request["options"] = command_options(&options);
            command(client, out, "UpdateShipment", request, options.validate_only).await
        }
        ParcelVerb::Delivered { order_id, parcel, at, options } => {
            let mut request = of_parcel(order_id, parcel);
            request["delivered_at"] = json!(at);
            request["options"] = command_options(&options);
            command(client, out, "RecordDelivery", request, options.validate_only).await
        }
        ParcelVerb::Undo {
            order_id,
            parcel,
            cause,
            open_again,
            found,
            line,
            refund,
            charge,
            reason,
            options,
        } => {
            let mut request = of_parcel(order_id, parcel);
            request["cause"] = json!(client.enum_value("orders.v1.UndoCause", &cause)?);
            if open_again {
                request["outcome"] = json!("UNDO_OUTCOME_OPEN_AGAIN");
            }
            if found {
                request["outcome"] = json!("UNDO_OUTCOME_FOUND");
            }
            let dispositions: Vec<Value> = line.iter().map(|line| line.to_json()).collect();
            request["dispositions"] = json!(dispositions);
            request["refund"] = json!(refund.map(|refund| refund.to_json()));
            request["charges"] = charge.iter().map(|charge| charge.to_json()).collect();
            request["reason"] = json!(reason);
            request["options"] = command_options(&options);
            command(client, out, "UndoShipment", request, options.validate_only).await
        }
    }
}

fn of_parcel(order_id: Id, parcel: Named) -> Value {
    match parcel {
        Named::Id(id) => json!({ "order_id": order_id, "shipment_id": id }),
        Named::Text(reference) => {
            json!({ "order_id": order_id, "shipment_reference": reference })
        }
    }
}
