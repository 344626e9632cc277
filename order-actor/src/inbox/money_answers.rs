use std::collections::BTreeSet;

use async_trait::async_trait;
use shared_events::contract::{CapturePolicy, Fact, FactBody, PaymentFact};
use shared_events::stream::{Blame, Cursors, Handler, Tx};

use super::answers::{Missing, answer, send};
use crate::actor::Registry;
use crate::domain::{
    By, Command, Compensated, Component, FailPayment, LosePayment, NoteCapture, RefundOutcome,
    SecurePayment, SettleRefund,
};
use crate::projections::{Again, MONEY_ANSWERS};

/// Confirms or cancels orders as payments answer, and notes what became of their money. The effect
/// is a command whose request id is the fact's id, so repeating a batch after a crash changes
/// nothing.
pub struct MoneyAnswers {
    registry: Registry,
    missing: Missing,
    again: Again,
}

impl MoneyAnswers {
    /// The follower's name.
    pub const FOLLOWER: &'static str = MONEY_ANSWERS;

    /// Sends answers to the orders of this registry.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        let (missing, again) = (Missing::of(Self::FOLLOWER), Again::of(Self::FOLLOWER));
        Self { registry, missing, again }
    }
}

fn command_of(fact: &Fact) -> Option<Command> {
    let FactBody::Payment(fact) = &fact.body else { return None };
    Some(match fact {
        PaymentFact::Secured { amount, valid_until, .. } => {
            let (amount, valid_until) = (*amount, *valid_until);
            Command::SecurePayment(SecurePayment { amount, valid_until })
        }
        PaymentFact::Failed { payment_id, reason, .. } => {
            let (payment_id, code) = (*payment_id, reason.clone());
            Command::FailPayment(FailPayment { payment_id, code })
        }
        PaymentFact::Lost { cause, .. } => Command::LosePayment(LosePayment { cause: *cause }),
        // An order that ships when its money is taken has it taken when it is confirmed.
        PaymentFact::Captured { payment, capture: CapturePolicy::OnConfirm, .. } => {
            let (payment_id, amount) = (payment.payment_id, payment.amount);
            Command::NoteCapture(NoteCapture { payment_id, amount })
        }
        PaymentFact::RefundSettled { refund_id, amount, .. } => {
            let (refund_id, amount, outcome) = (*refund_id, *amount, RefundOutcome::Settled);
            Command::SettleRefund(SettleRefund { refund_id, amount, outcome })
        }
        PaymentFact::RefundFailed { refund_id, amount, code, .. } => {
            let outcome = RefundOutcome::Failed { code: code.clone() };
            let (refund_id, amount) = (*refund_id, *amount);
            Command::SettleRefund(SettleRefund { refund_id, amount, outcome })
        }
        PaymentFact::Released { .. } => {
            Command::Compensated(Compensated { stock: false, money: true })
        }
        PaymentFact::Captured { .. }
        | PaymentFact::Authorized { .. }
        | PaymentFact::Earned { .. }
        | PaymentFact::Voided { .. }
        | PaymentFact::Expired { .. }
        | PaymentFact::Refunded { .. }
        | PaymentFact::Reversed { .. }
        | PaymentFact::Disputed { .. }
        | PaymentFact::DisputeClosed { .. } => return None,
    })
}

#[async_trait]
impl Handler<Fact> for MoneyAnswers {
    async fn handle(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        self.again.begin(tx, facts).await?;
        let (registry, again) = (&self.registry, &self.again);
        let command_of =
            |fact: &Fact| if again.passes_over(fact) { None } else { command_of(fact) };
        let execute = |order_id, command, index: usize| async move {
            let by = By::Engine(Component::PAYMENTS);
            send(registry, by, order_id, command, &facts[index]).await?;
            Ok(())
        };
        answer((registry, &self.missing), facts, command_of, execute).await
    }

    fn committed(&mut self) {
        self.again.committed();
    }

    async fn set_back(
        &mut self,
        tx: &mut Tx,
        from: &Cursors,
        to: &Cursors,
    ) -> Result<Cursors, Blame> {
        self.again.set_back(tx, from, to).await?;
        Ok(to.clone())
    }

    fn resumes(&mut self) {
        self.again.resumes();
    }

    fn is_in_doubt(&self) -> bool {
        self.again.is_in_doubt(self.registry.incarnation())
    }

    async fn shards_in_doubt(&mut self) -> Result<BTreeSet<u16>, Blame> {
        Ok(self.again.shards())
    }

    async fn read_again(
        &mut self,
        tx: &mut Tx,
        shards: &BTreeSet<u16>,
    ) -> Result<BTreeSet<u16>, Blame> {
        Ok(self.again.read_again(tx, shards, self.registry.incarnation()).await?)
    }

    fn failed_with(&mut self) -> Vec<String> {
        self.missing.failed_with(&self.registry)
    }

    fn retried(&mut self, letters: u64) {
        self.missing.retried(letters);
    }
}
