use async_trait::async_trait;
use shared_events::contract::{CapturePolicy, Fact, FactBody, OrderId, PaymentFact};

use super::answers::{Answering, Answers, Unanswered, send};
use crate::actor::Registry;
use crate::domain::{
    By, Command, Compensated, Component, FailPayment, LosePayment, NoteCapture, RefundOutcome,
    SecurePayment, SettleRefund,
};
use crate::projections::MONEY_ANSWERS;

/// Confirms or cancels orders as payments answer, and notes what became of their money.
pub type MoneyAnswers = Answers<Payments>;

/// What payments answer.
#[derive(Default)]
pub struct Payments;

#[async_trait]
impl Answering for Payments {
    const NAME: &'static str = MONEY_ANSWERS;

    fn command_of(&self, fact: &Fact) -> Option<Command> {
        command_of(fact)
    }

    async fn execute(
        &self,
        registry: &Registry,
        order_id: OrderId,
        command: Command,
        fact: &Fact,
    ) -> Result<(), Unanswered> {
        let by = By::Engine(Component::PAYMENTS);
        send(registry, by, order_id, command, fact).await?;
        Ok(())
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
        | PaymentFact::DisputeClosed { .. }
        | PaymentFact::SettlementLine { .. }
        | PaymentFact::SettlementResolved { .. } => return None,
    })
}
