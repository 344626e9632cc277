use serde::Serialize;
use shared_events::contract::{Money, RefundId};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, NOTHING_HAPPENS, leaves_room, text_fits};
use crate::domain::{
    By, CommandKind, Details, Event, Order, RefundFailed, RefundSettled, RefundState, Rejection,
    Role,
};

/// The detail of the refusal of what became of a refund that the order does not know so.
pub(crate) const NO_SUCH_REFUND: &str = "the order has no such refund, or it is smaller";

/// A refund was paid, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettleRefund {
    /// The refund: the return, parcel or cancellation that caused it.
    pub refund_id: RefundId,
    /// How much.
    pub amount: Money,
    /// What became of it.
    pub outcome: RefundOutcome,
}

/// What became of a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum RefundOutcome {
    /// It was paid.
    Settled,
    /// It was not paid, or came back.
    Failed {
        /// Why, such as `account_closed`; at most
        /// [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
        code: String,
    },
}

impl Decide for SettleRefund {
    fn kind(&self) -> CommandKind {
        CommandKind::SettleRefund
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Engine
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        let refunds = details.payment.iter().flat_map(|payment| &payment.refunds);
        let mut refunds = refunds.filter(|refund| refund.refund_id == self.refund_id);
        let (amount, at) = (self.amount, context.now);
        let currency = details.totals.total.currency;
        let known = refunds.next().filter(|_| amount.currency == currency);
        let Some(known) = known.filter(|it| (0..=it.amount).contains(&amount.minor)) else {
            return Err(Rejection::PaymentMismatch { detail: NO_SUCH_REFUND });
        };
        let (refund_id, state) = (self.refund_id, &known.state);
        let event = match &self.outcome {
            RefundOutcome::Settled if *state == RefundState::Settled(amount) => {
                return NOTHING_HAPPENS;
            }
            RefundOutcome::Settled => Event::RefundSettled(RefundSettled { refund_id, amount, at }),
            RefundOutcome::Failed { code } if *state == RefundState::Failed(code.clone()) => {
                return NOTHING_HAPPENS;
            }
            RefundOutcome::Failed { code } => {
                text_fits("code", code)?;
                let code = code.clone();
                Event::RefundFailed(RefundFailed { refund_id, amount, code, at })
            }
        };
        // The first answer has its room since there is the refund; another one may have none.
        if !known.is_due() {
            leaves_room(order, details, 1)?;
        }
        Ok(vec![event])
    }
}
