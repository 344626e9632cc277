use serde_json::{Value, json};

use super::{PAGE_MAX, command, command_options, id, units};
use crate::client::show::{self, text};
use crate::client::{Client, Failure, Output};
use crate::verbs::args::{Page, ReturnVerb};

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

/// Lists pending returns. Their details are not in the list of orders, so each order is read.
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
