use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_events::contract::{Disposition, Money, ReturnId};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, same_or_exists, text_fits, waiting_return};
use crate::domain::{
    By, ChargeRefund, CommandKind, Details, Event, Existing, JudgedReturn, Judgement, LineQuantity,
    Order, Rejection, Restitution, Role, bounds,
};

/// Take back the units of a return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApproveReturn {
    /// The return; the waiting one if absent.
    pub return_id: Option<ReturnId>,
    /// What to do with the units of each line; lines that are not named are restocked.
    pub dispositions: Vec<ReturnLineDisposition>,
    /// The refund; the value of the units if absent.
    pub refund: Option<Money>,
    /// Why the refund is above the value of the units; at most
    /// [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub refund_reason: String,
    /// What of the refund is for charges: it is part of `refund` where that is given, and on top of
    /// the value of the units where not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<ChargeRefund>,
}

/// What to do with the returned units of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnLineDisposition {
    /// 1-based number of the line.
    pub line: u32,
    /// Restocked or written off.
    pub disposition: Disposition,
}

impl Decide for ApproveReturn {
    fn kind(&self) -> CommandKind {
        CommandKind::ApproveReturn
    }

    fn allows(&self, by: &By) -> bool {
        by.role() == Role::Ops
    }

    fn on_existing(
        &self,
        order: &Order,
        details: &Details,
        context: &DecisionContext<'_>,
    ) -> Decision {
        if let Some(judged) = self.return_id.and_then(|named| details.judged(named)) {
            return self.repeated(judged);
        }
        let waiting = waiting_return(order, self.return_id, "ApproveReturn")?;
        text_fits("refund_reason", &self.refund_reason)?;
        let lines = self.restitutions(&waiting.lines)?;
        let charges = self.charges_of(details)?;
        let value = waiting.value().plus(charges).map_err(|_| Rejection::AmountOverflow)?;
        let most = details.refundable();
        let refund = self.refund.unwrap_or(waiting.default_refund(charges));
        if refund.minor < charges.minor || refund.currency != details.totals.total.currency {
            return Err(Rejection::InvalidRefund);
        }
        if refund.minor > value.minor && self.refund_reason.trim().is_empty() {
            return Err(Rejection::RefundNeedsReason);
        }
        if refund.minor > most.minor {
            return Err(Rejection::RefundTooLarge { most });
        }
        Ok(vec![Event::ReturnApproved {
            return_id: waiting.return_id,
            lines,
            refund,
            refund_reason: self.refund_reason.clone(),
            refund_told: refund.minor > 0,
            charges: self.charges.clone(),
            at: context.now,
        }])
    }
}

impl ApproveReturn {
    /// The answer if the return was judged before.
    fn repeated(&self, judged: &JudgedReturn) -> Decision {
        let Judgement::Approved { lines, refund, refund_reason, charges, default } =
            &judged.judgement
        else {
            return same_or_exists(Existing::Judgement, &[("verdict", true)]);
        };
        let other = [
            ("dispositions", self.restitutions(&judged.lines)? != *lines),
            ("refund", self.refund.unwrap_or(*default) != *refund),
            ("charges", self.charges != *charges),
            ("refund_reason", self.refund_reason != *refund_reason),
        ];
        same_or_exists(Existing::Judgement, &other)
    }

    /// The returned units with their dispositions.
    fn restitutions(&self, requested: &[LineQuantity]) -> Result<Vec<Restitution>, Rejection> {
        let dispositions = self.dispositions_of(requested)?;
        let restitution = |LineQuantity { line, quantity }: &LineQuantity| {
            let disposition = dispositions.get(line).copied().unwrap_or(Disposition::Restock);
            Restitution { line: *line, quantity: *quantity, disposition }
        };
        Ok(requested.iter().map(restitution).collect())
    }

    /// What is paid back of charges: each named once, with no more than is left of it.
    fn charges_of(&self, details: &Details) -> Result<Money, Rejection> {
        let mut sum = Money::zero(details.totals.total.currency);
        let mut named = BTreeSet::new();
        for (index, ChargeRefund { charge, amount }) in self.charges.iter().enumerate() {
            let wrong = |field: &str, detail| {
                let at = format!("charges[{index}].{field}");
                Rejection::InvalidAmount { at, detail }
            };
            let known = details.charge(*charge).ok_or(wrong("charge", "no such charge"))?;
            if !named.insert(charge) {
                return Err(wrong("charge", bounds::NAMED_TWICE));
            }
            if amount.minor < 0 || amount.minor > known.amount.total - known.refunded {
                return Err(wrong("amount", "from zero to what is left of the charge"));
            }
            sum = sum.plus(*amount).map_err(|_| Rejection::InvalidRefund)?;
        }
        Ok(sum)
    }

    /// The disposition of each line of a return.
    fn dispositions_of(
        &self,
        requested: &[LineQuantity],
    ) -> Result<BTreeMap<u32, Disposition>, Rejection> {
        let mut dispositions: BTreeMap<u32, Disposition> =
            requested.iter().map(|units| (units.line, Disposition::Restock)).collect();
        let mut named = BTreeSet::new();
        for (index, chosen) in self.dispositions.iter().enumerate() {
            let ReturnLineDisposition { line, disposition } = chosen;
            let wrong = |detail| {
                let at = format!("dispositions[{index}].line");
                Rejection::InvalidReturnLines { line: *line, at, detail }
            };
            let Some(default) = dispositions.get_mut(line) else {
                return Err(wrong("not a line of the return"));
            };
            if !named.insert(*line) {
                return Err(wrong(bounds::NAMED_TWICE));
            }
            *default = *disposition;
        }
        Ok(dispositions)
    }
}
