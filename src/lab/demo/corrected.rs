use serde_json::{Value, json};
use uuid::Uuid;

use super::{Outcome, Story, until_is};
use crate::client::{Failure, code};

impl Story {
    /// An order as a shop has it: tax, shipping, a coupon, a recipient and a number of the shop's
    /// own. It is held, corrected and edited before its only parcel is lost, and found after that.
    pub(super) async fn corrected(&self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        let order = self.place_with_everything().await?;
        self.until(order, "CONFIRMED").await?;
        let hold = json!({
            "order_id": order, "kind": "HOLD_KIND_ADDRESS", "reason": "there is no such street",
        });
        self.call(&self.ops, "HoldOrder", hold).await?;
        let correct = json!({
            "order_id": order, "reason": "she called", "address": { "street": "2 High Street" },
            "update_mask": "address.street",
        });
        self.call(&self.ops, "CorrectOrder", correct).await?;
        let release = json!({ "order_id": order, "name": "ADDRESS", "reason": "corrected" });
        self.call(&self.ops, "ReleaseHold", release).await?;
        let changes = json!([{ "line": 2, "quantity": 2 }]);
        let edit = json!({ "order_id": order, "reason": "one more plate", "changes": changes });
        self.call(&self.ops, "EditOrder", edit).await?;
        self.until_edited(order).await?;
        self.fulfil(order, &[]).await?;
        let parcel = self.order(order).await?["parcels"][0]["shipment_id"].take();
        let shipping = json!([{ "charge": 1, "amount": gbp(499) }]);
        let lost = json!({
            "order_id": order, "shipment_id": parcel, "cause": "UNDO_CAUSE_LOST",
            "charges": shipping, "reason": "the carrier has lost it",
        });
        self.call(&self.ops, "UndoShipment", lost).await?;
        let found = json!({
            "order_id": order, "shipment_id": parcel, "cause": "UNDO_CAUSE_RETURNED_TO_SENDER",
            "outcome": "UNDO_OUTCOME_FOUND", "reason": "it lay in the depot",
        });
        self.call(&self.ops, "UndoShipment", found).await?;
        let story = "Held, corrected, edited, lost on its way, and found";
        self.end(outcomes, story, order, "RETURNED").await
    }

    /// Placed by the shop, since customers give orders no numbers.
    async fn place_with_everything(&self) -> Result<Uuid, Failure> {
        let (order, mut request) = self.placing(&[("MUG", 2), ("PLATE", 1)]);
        request["order_number"] = json!("#1001");
        request["lines"][0]["title"] = json!("Mug, blue");
        request["lines"][0]["taxes"] =
            json!([{ "name": "VAT", "rate_percent": "20", "amount": gbp(417) }]);
        request["tax_mode"] = json!("TAX_MODE_INCLUDED");
        request["charges"] = json!([{
            "kind": "CHARGE_KIND_SHIPPING", "label": "Royal Mail", "amount": gbp(499),
        }]);
        request["discounts"] = json!([{ "label": "SPRING", "amount": gbp(250) }]);
        request["address"]["name"] = json!("Ada Lovelace");
        self.call(&self.ops, "PlaceOrder", request).await?;
        Ok(order)
    }

    /// Waits until stock has answered the last edit of an order.
    async fn until_edited(&self, order: Uuid) -> Result<(), Failure> {
        until_is(&format!("the edit of {order}"), "APPLIED", async || {
            let now = self.order(order).await?;
            let last = now["edits"].as_array().and_then(|edits| edits.last());
            Ok(last.map(|edit| code(edit, "state", "EDIT_STATE_")).unwrap_or_default())
        })
        .await
    }
}

fn gbp(minor: i64) -> Value {
    json!({ "currency_code": "GBP", "units": minor / 100, "nanos": minor % 100 * 10_000_000 })
}
