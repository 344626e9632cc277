use serde_json::{Value, json};
use uuid::Uuid;

use super::{Outcome, Story, until_is};
use crate::client::Failure;

impl Story {
    /// An order of more than there is, from two places: it ships once its stock has come, is
    /// delivered, and one of its kettles is exchanged.
    pub(super) async fn promised(&self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        for (name, priority) in [("shop", 1), ("main", 2)] {
            self.stock("SetLocation", json!({ "name": name, "priority": priority })).await?;
        }
        let set = |location: &str, on_hand: i64| json!({ "sku": "KETTLE", "location": location, "on_hand": on_hand });
        self.stock("SetStock", set("shop", 1)).await?;
        let limit = json!({ "sku": "KETTLE", "backorder_limit": 1 });
        self.stock("SetBackorder", limit).await?;
        let order = self.place(&[("KETTLE", 2)]).await?;
        self.until(order, "CONFIRMED").await?;
        self.until_backordered(order, "1").await?;
        let note =
            json!({ "order_id": order, "text": "One of two is on its way.", "public": true });
        self.call(&self.ops, "AddNote", note).await?;
        self.stock("SetStock", set("main", 2)).await?;
        self.until_backordered(order, "0").await?;
        self.fulfil(order, &[]).await?;
        let parcel = self.order(order).await?["parcels"][0]["shipment_id"].take();
        let delivered = json!({ "order_id": order, "shipment_id": parcel });
        self.call(&self.ops, "RecordDelivery", delivered).await?;

        let (new, mut request) = self.placing(&[("KETTLE", 1)]);
        let return_id = Uuid::now_v7();
        let ask = json!({
            "order_id": order, "return_id": return_id, "exchange_order_id": new,
            "lines": [{ "line": 1, "quantity": 1 }], "reason": "it leaks",
        });
        self.call(&self.buyer, "RequestReturn", ask).await?;
        request["exchange_of"] = json!({ "order_id": order, "return_id": return_id });
        self.call(&self.buyer, "PlaceOrder", request).await?;
        self.until(new, "CONFIRMED").await?;
        let damaged = json!([{ "line": 1, "disposition": "DISPOSITION_WRITE_OFF" }]);
        let approve = json!({ "order_id": order, "dispositions": damaged });
        self.call(&self.ops, "ApproveReturn", approve).await?;
        self.fulfil(new, &[]).await?;
        let story = "Promised before it was there, and delivered";
        self.end(outcomes, story, order, "FULFILLED, return approved").await?;
        self.end(outcomes, "Sent in exchange", new, "FULFILLED").await
    }

    async fn stock(&self, method: &str, request: Value) -> Result<(), Failure> {
        let method = format!("inventory.v1.InventoryService/{method}");
        self.ops.call(&method, request).await.map(drop)
    }

    /// Waits until so many units of the first line wait for stock.
    async fn until_backordered(&self, order: Uuid, units: &str) -> Result<(), Failure> {
        until_is(&format!("what waits of {order}"), units, async || {
            Ok(self.order(order).await?["lines"][0]["backordered"].to_string())
        })
        .await
    }
}
