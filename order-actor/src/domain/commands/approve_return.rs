use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_events::contract::{Disposition, Money, ReturnId};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, same_or_exists, text_fits, waiting_return};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, JudgedReturn, Judgement, LineQuantity, Order,
    Rejection, Restitution, Role, bounds,
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
            return self.repeated(details, judged);
        }
        let waiting = waiting_return(order, self.return_id, "ApproveReturn")?;
        text_fits("refund_reason", &self.refund_reason)?;
        let (lines, value) = self.returned_units(details, &waiting.lines)?;
        let refund = self.refund.unwrap_or(value);
        if refund.minor < 0 || refund.currency != details.total.currency {
            return Err(Rejection::InvalidRefund);
        }
        if refund.minor > value.minor && self.refund_reason.trim().is_empty() {
            return Err(Rejection::RefundNeedsReason);
        }
        let most = details.refundable();
        if refund.minor > most.minor {
            return Err(Rejection::RefundTooLarge { most });
        }
        Ok(vec![Event::ReturnApproved {
            return_id: waiting.return_id,
            lines,
            refund,
            refund_reason: self.refund_reason.clone(),
            refund_told: refund.minor > 0,
            at: context.now,
        }])
    }
}

impl ApproveReturn {
    /// The answer if the return was judged before.
    fn repeated(&self, details: &Details, judged: &JudgedReturn) -> Decision {
        let Judgement::Approved { lines, refund, refund_reason } = &judged.judgement else {
            return same_or_exists(Existing::Judgement, &[("verdict", true)]);
        };
        let (requested, value) = self.returned_units(details, &judged.lines)?;
        let other = [
            ("dispositions", requested != *lines),
            ("refund", self.refund.unwrap_or(value) != *refund),
            ("refund_reason", self.refund_reason != *refund_reason),
        ];
        same_or_exists(Existing::Judgement, &other)
    }

    /// The returned units with their dispositions, and their value.
    fn returned_units(
        &self,
        details: &Details,
        requested: &[LineQuantity],
    ) -> Result<(Vec<Restitution>, Money), Rejection> {
        let dispositions = self.dispositions_of(requested)?;
        let mut lines = Vec::with_capacity(requested.len());
        let mut value = Money::zero(details.total.currency);
        for LineQuantity { line, quantity } in requested {
            let unit_price =
                details.line(*line).map_or(Money::zero(value.currency), |line| line.unit_price);
            value = unit_price
                .times(*quantity)
                .and_then(|units| value.plus(units))
                .map_err(|_| Rejection::RefundTooLarge { most: details.refundable() })?;
            let disposition = dispositions.get(line).copied().unwrap_or(Disposition::Restock);
            lines.push(Restitution { line: *line, quantity: *quantity, disposition });
        }
        Ok((lines, value))
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
