use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_events::contract::{Disposition, Money, ReturnId};

use super::{Asked, Decide};
use crate::domain::guards::{Decision, text_fits, the_same_or, waiting_return};
use crate::domain::{
    By, CommandKind, Details, Event, Existing, JudgedReturn, Judgement, LineQuantity, Order,
    Rejection, Restitution, Role, bounds,
};

/// Let the units of a return come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApproveReturn {
    /// Which return; the one that waits, where absent.
    pub return_id: Option<ReturnId>,
    /// What becomes of the units of each line; lines that are not named are restocked.
    pub dispositions: Vec<ReturnLineDisposition>,
    /// What is paid back; the value of the units, where absent.
    pub refund: Option<Money>,
    /// Why the refund is above the value of the units; at most
    /// [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub refund_reason: String,
}

/// What becomes of the returned units of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnLineDisposition {
    /// 1-based number of the line.
    pub line: u32,
    /// Back on the shelf, or written off.
    pub disposition: Disposition,
}

impl Decide for ApproveReturn {
    fn kind(&self) -> CommandKind {
        CommandKind::ApproveReturn
    }

    fn may(&self, by: &By) -> bool {
        by.role() == Role::Ops
    }

    fn of(&self, order: &Order, details: &Details, asked: &Asked<'_>) -> Decision {
        if let Some(judged) = self.return_id.and_then(|named| details.judged(named)) {
            return self.again(details, judged);
        }
        let waiting = waiting_return(order, self.return_id, "ApproveReturn")?;
        text_fits("refund_reason", &self.refund_reason)?;
        let (lines, value) = self.what_comes_back(details, &waiting.lines)?;
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
            at: asked.now,
        }])
    }
}

impl ApproveReturn {
    /// What is answered where the return was judged before.
    fn again(&self, details: &Details, judged: &JudgedReturn) -> Decision {
        let Judgement::Approved { lines, refund, refund_reason } = &judged.judgement else {
            return the_same_or(Existing::Judgement, &[("verdict", true)]);
        };
        let (asked, value) = self.what_comes_back(details, &judged.lines)?;
        let other = [
            ("dispositions", asked != *lines),
            ("refund", self.refund.unwrap_or(value) != *refund),
            ("refund_reason", self.refund_reason != *refund_reason),
        ];
        the_same_or(Existing::Judgement, &other)
    }

    /// The units of a return and what becomes of them, and what they were sold for.
    fn what_comes_back(
        &self,
        details: &Details,
        asked: &[LineQuantity],
    ) -> Result<(Vec<Restitution>, Money), Rejection> {
        let dispositions = self.dispositions_of(asked)?;
        let mut lines = Vec::with_capacity(asked.len());
        let mut value = Money::zero(details.total.currency);
        for LineQuantity { line, quantity } in asked {
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

    /// What becomes of each line of a return.
    fn dispositions_of(
        &self,
        asked: &[LineQuantity],
    ) -> Result<BTreeMap<u32, Disposition>, Rejection> {
        let mut dispositions: BTreeMap<u32, Disposition> =
            asked.iter().map(|asked| (asked.line, Disposition::Restock)).collect();
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
