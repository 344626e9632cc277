//! What providers tell of payouts by webhooks. It is a hint: the provider is asked, and what it
//! answers counts.

use psp::{Event as Told, What};
use shared_events::contract::PayoutId;
use shared_events::stream::DatabaseError;

use super::super::{Runner, RunnerError};
use crate::domain::{Payout, WebhookState};
use crate::store::{self, Outcome, Webhook};

/// Money left that the seller has again, and may be paid again.
const PAID_AND_GIVEN_BACK: &str =
    "it is told as paid, and was given back to the seller as not paid";

impl Runner {
    /// A webhook about a payout: whoever pays sellers out asks about it now. One about a payout
    /// that is not known yet waits. One that was given back is asked about no more: told as paid,
    /// a person must look.
    pub(in crate::runner) async fn hear_of_payout(
        &self,
        row: &Webhook,
        told: &Told,
    ) -> Result<(), RunnerError> {
        let now = (self.now)();
        let ours = told.our_reference.map(|ours| PayoutId::from_uuid(ours.0));
        let mut tx = self.database.begin().await?;
        let of = (ours, &row.psp);
        let known = store::payout_told(&mut tx, of, told.reference.as_ref()).await?;
        let given_back = known.map(|known| known.payout).filter(Payout::is_given_back);
        if let (What::PayoutPaid { .. }, Some(payout)) = (&told.what, given_back) {
            drop(tx);
            let (payout, seller, amount) = (payout.id, payout.seller, payout.amount);
            tracing::error!(%payout, %seller, %amount, "what was given back is told as paid");
            return self.put_off(row, WebhookState::Parked, PAID_AND_GIVEN_BACK).await;
        }
        if !store::wake_payout(&mut tx, of, told.reference.as_ref(), now).await? {
            drop(tx);
            return self.wait(row, "nothing is known of the payout that it is about").await;
        }
        let next = Outcome {
            state: WebhookState::Handled,
            due_at: row.due_at,
            tries: row.tries,
            note: "the provider is asked about the payout",
            order_id: None,
            now,
        };
        store::settle(&mut tx, row, &next).await?;
        tx.commit().await.map_err(DatabaseError::from)?;
        self.payouts.notify_one();
        Ok(())
    }
}
