use serde_json::{Value, json};
use uuid::Uuid;

use super::{Outcome, Story};
use crate::client::{Failure, text};
use crate::engine::wallets::NAME;

impl Story {
    /// An order that its customer's wallet pays. It is filled first; what the order costs is held,
    /// taken with the parcel, and what comes back goes back into it.
    pub(super) async fn by_wallet(&self, outcomes: &mut Vec<Outcome>) -> Result<(), Failure> {
        let top_up = json!({
            "customer_id": self.customer, "entry_id": Uuid::now_v7(), "reason": "a voucher",
            "amount": { "currency_code": "GBP", "units": 50 },
        });
        self.ops.call("ledger.v1.WalletService/TopUpWallet", top_up).await?;
        let order = self.place_to_be_paid(NAME, &[("MUG", 2), ("PLATE", 1)]).await?;
        self.is_paid_and_delivered(order, NAME).await?;
        self.one_is_refunded(order).await?;
        let expected = "FULFILLED, return approved, payment PARTIALLY_REFUNDED";
        self.end(outcomes, "Paid with a wallet, and one mug refunded to it", order, expected).await
    }

    /// What was booked in the wallet that pays an order, oldest first; none where none does.
    pub(super) async fn booked(&self, order: Uuid) -> Result<Vec<Value>, Failure> {
        if self.payments(order).await?.iter().all(|payment| text(payment, "psp") != NAME) {
            return Ok(Vec::new());
        }
        let customer = text(&self.order(order).await?, "customer_id");
        let request = json!({ "account": format!("wallet:{customer}:GBP"), "page_size": 100 });
        let mut answer = self.ops.call("ledger.v1.LedgerService/ListEntries", request).await?;
        let Value::Array(mut entries) = answer["entries"].take() else { return Ok(Vec::new()) };
        entries.reverse();
        Ok(entries)
    }
}
