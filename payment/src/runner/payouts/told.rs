//! What providers tell of payouts by webhooks. It is a hint: the provider is asked, and what it
//! answers counts.

use psp::Event as Told;
use shared_events::contract::PayoutId;
use shared_events::stream::DatabaseError;

use super::super::{Runner, RunnerError};
use crate::domain::WebhookState;
use crate::store::{self, Outcome, Webhook};

impl Runner {
    /// A webhook about a payout: whoever pays sellers out asks about it now. One about a payout that
    /// is not known yet waits.
    pub(in crate::runner) async fn hear_of_payout(
        &self,
        row: &Webhook,
        told: &Told,
    ) -> Result<(), RunnerError> {
        let now = (self.now)();
        let ours = told.our_reference.map(|ours| PayoutId::from_uuid(ours.0));
        let mut tx = self.database.begin().await?;
        let of = (ours, &row.psp);
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
