use serde_json::{Value, json};

use super::{at, command, command_options, id, pages, units};
use crate::client::parse::Place;
use crate::client::{Client, Failure, Output, show};
use crate::verbs::args::{Outcomes, ReturnName, ReturnVerb, ReturnsArgs};

/// `ordinal return …`
pub async fn returns(client: &Client, out: &Output, verb: ReturnVerb) -> Result<(), Failure> {
    match verb {
        ReturnVerb::Request {
            order_id,
            line,
            reason,
            return_id,
            reference,
            exchange_order,
            options,
        } => {
            let request = json!({
                "order_id": order_id, "return_id": id(return_id), "lines": units(&line),
                "reason": reason, "return_reference": reference,
                "exchange_order_id": id(exchange_order), "options": command_options(&options),
            });
            command(client, out, "RequestReturn", request, options.validate_only).await
        }
        ReturnVerb::Approve {
            order_id,
            named,
            receive_later,
            receive_at_once,
            outcomes,
            line,
            refund,
            charge,
            refund_reason,
            restock,
            options,
        } => {
            let charges: Vec<Value> = charge.iter().map(|charge| charge.to_json()).collect();
            let dispositions: Vec<Value> = line.iter().map(|line| line.to_json()).collect();
            let request = named.with(outcomes.with(json!({
                "order_id": order_id, "receive_later": receive_later,
                "receive_at_once": receive_at_once, "dispositions": dispositions, "refund": refund.map(|refund| refund.to_json()),
                "charges": charges, "refund_reason": refund_reason, "options": command_options(&options),
            })));
            let request = at(request, restock.location);
            command(client, out, "ApproveReturn", request, options.validate_only).await
        }
        ReturnVerb::Receive { order_id, named, outcomes, restock, options } => {
            let request = named.with(outcomes.with(json!({
                "order_id": order_id, "options": command_options(&options),
            })));
            let request = at(request, restock.location);
            command(client, out, "ReceiveReturn", request, options.validate_only).await
        }
        ReturnVerb::Reject { order_id, named, reason, options } => {
            let request = named.with(json!({
                "order_id": order_id, "reason": reason, "options": command_options(&options),
            }));
            command(client, out, "RejectReturn", request, options.validate_only).await
        }
        ReturnVerb::List(args) => list(client, out, *args).await,
    }
}

impl ReturnName {
    /// The request with the name of its return.
    fn with(&self, mut request: Value) -> Value {
        request["return_id"] = id(self.return_id).into();
        request["return_reference"] = self.reference.as_str().into();
        request
    }
}

impl Outcomes {
    /// The request with what becomes of the units.
    fn with(&self, mut request: Value) -> Value {
        request["outcomes"] = self.outcome.iter().map(|units| units.to_json()).collect();
        request["rejected_reason"] = self.rejected_reason.as_str().into();
        request
    }
}

/// Lists returns; those that wait, unless states are named.
async fn list(client: &Client, out: &Output, args: ReturnsArgs) -> Result<(), Failure> {
    let waiting = || ["REQUESTED", "APPROVED"].map(str::to_owned).to_vec();
    let states = if args.state.is_empty() { waiting() } else { args.state };
    let states: Vec<String> = states
        .iter()
        .map(|state| client.enum_value("orders.v1.ReturnState", state))
        .collect::<Result<_, _>>()?;
    let in_time = args.requested_from.is_some() || args.requested_until.is_some();
    let usual = if in_time { "REQUESTED_ASC" } else { "JUDGE_BY_ASC" };
    let sort = client.enum_value("orders.v1.ReturnSort", args.sort.as_deref().unwrap_or(usual))?;
    let request = json!({
        "filter": {
            "states": states, "customer_id": id(args.customer),
            "requested_from": args.requested_from, "requested_until": args.requested_until,
        },
        "sort": sort, "at_least": args.at_least.map(Place::to_json),
    });
    let method = "orders.v1.OrderService/ListReturns";
    pages(client, out, method, request, &args.page, show::listed_returns).await
}
