use serde_json::{Value, json};

use super::show::text;
use super::{Client, Failure};

const HISTORY_PAGE: u32 = 1000;

/// The complete history of an order, read page by page.
pub async fn history(client: &Client, order_id: &str) -> Result<Vec<Value>, Failure> {
    let mut events = Vec::new();
    let mut token = String::new();
    loop {
        let request =
            json!({ "order_id": order_id, "page_size": HISTORY_PAGE, "page_token": token });
        let mut answer = client.call("orders.v1.JournalService/ListOrderEvents", request).await?;
        if let Value::Array(page) = answer["events"].take() {
            events.extend(page);
        }
        token = text(&answer, "next_page_token");
        if token.is_empty() {
            return Ok(events);
        }
    }
}
