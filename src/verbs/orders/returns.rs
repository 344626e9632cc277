use serde_json::{Value, json};

use super::{PAGE_MAX, at, command, command_options, id, units};
use crate::client::show::{self, text};
use crate::client::{Client, Failure, Output};
use crate::verbs::args::{Outcomes, Page, ReturnName, ReturnVerb};

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
        ReturnVerb::List { page } => waiting_returns(client, out, &page).await,
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

/// Lists pending returns. Their details are not in the list of orders, so each order is read.
async fn waiting_returns(client: &Client, out: &Output, page: &Page) -> Result<(), Failure> {
    let size = if page.all { PAGE_MAX } else { page.page_size };
    let mut token = page.page_token.clone();
    loop {
        let request = json!({
            "filter": { "returns_waiting": true },
            "page_size": size, "page_token": token,
        });
        let listed = client.call("orders.v1.OrderService/ListOrders", request).await?;
        let mut orders = Vec::new();
        for summary in listed["orders"].as_array().into_iter().flatten() {
            let request = json!({ "order_id": summary["order_id"] });
            let mut answer = client.call("orders.v1.OrderService/GetOrder", request).await?;
            // It may have been decided meanwhile.
            if answer["order"]["pending_return"].is_object() {
                orders.push(answer["order"].take());
            }
        }
        // By due time.
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
