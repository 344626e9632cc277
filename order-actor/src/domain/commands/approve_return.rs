use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_events::contract::{Disposition, LocationName, Money, ReturnId};

use super::{Decide, DecisionContext};
use crate::domain::guards::{Decision, covers_charges, same_or_exists, text_fits};
use crate::domain::outcomes::{NOT_A_LINE, Split};
use crate::domain::returns::{Named, pays_otherwise};
use crate::domain::{
    Approval, By, ChargeRefund, CommandKind, Details, Event, Existing, JudgedReturn, Judgement,
    LineQuantity, Order, OutcomeUnits, Policy, Rejection, Restitution, Return, Role, UnitOutcome,
    bounds,
};

/// Take back units of a return: at once, or when they are received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApproveReturn {
    /// The return; the only one that waits for its judgement if neither id nor reference is given.
    pub return_id: Option<ReturnId>,
    /// Its reference; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// What to do with all units of a line; lines that are not named are restocked.
    pub dispositions: Vec<ReturnLineDisposition>,
    /// What becomes of units of lines, instead of dispositions. A line that is named has all its
    /// units named. With `receive_later` only units that are rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<OutcomeUnits>,
    /// Why units are rejected; at most [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rejected_reason: String,
    /// Whether the units are received later: then nothing moves and nothing is paid back yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub receive_later: bool,
    /// Whether the units are here, also where the shop's policy is that they are received later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub receive_at_once: bool,
    /// The refund; the value of the units taken back if absent.
    pub refund: Option<Money>,
    /// Why the refund is above the value of the units; at most
    /// [`TEXT_MAX`](crate::domain::bounds::TEXT_MAX) characters.
    pub refund_reason: String,
    /// What of the refund is for charges: it is part of `refund` where that is given, and on top of
    /// the value of the units where not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<ChargeRefund>,
    /// The location of stock where units are restocked; `main` where none is named. None with
    /// `receive_later`: it is named when they are received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationName>,
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
        let named = Named { id: self.return_id, reference: &self.reference };
        let is_later = self.is_later(context.policy);
        if let Some(judged) = named.judged(details) {
            return self.repeated(judged, is_later);
        }
        let waiting =
            named.waiting(order, details, "ApproveReturn", |one| one.approval.is_none())?;
        if let Some(approval) = &waiting.approval {
            return self.approved_before(waiting, approval, is_later);
        }
        text_fits("refund_reason", &self.refund_reason)?;
        text_fits("rejected_reason", &self.rejected_reason)?;
        let split = self.split(&waiting.lines, is_later)?;
        let refund = self.refund_for(details, &split)?;
        let (return_id, kept) = (waiting.return_id, split.kept.clone());
        let (rejected_reason, refund_reason) =
            (self.rejected_reason.clone(), self.refund_reason.clone());
        let (charges, at) = (self.charges.clone(), context.now);
        let location = self.location.clone();
        Ok(vec![if is_later {
            let lines = split.back_by_line();
            Event::ReturnAuthorized {
                return_id,
                lines,
                kept,
                rejected_reason,
                refund,
                refund_reason,
                charges,
                at,
            }
        } else {
            let refund_told = refund.minor > 0;
            Event::ReturnApproved {
                return_id,
                lines: split.back,
                kept,
                rejected_reason,
                refund,
                refund_reason,
                refund_told,
                charges,
                location,
                at,
            }
        }])
    }
}

impl ApproveReturn {
    /// Whether the units are received later: where nothing is said of that, the policy counts.
    /// Whoever says what became of units, or where they are restocked, has them.
    fn is_later(&self, policy: &Policy) -> bool {
        let mut outcomes = self.outcomes.iter().map(|units| units.outcome);
        let are_here = self.receive_at_once
            || !self.dispositions.is_empty()
            || self.location.is_some()
            || outcomes.any(|outcome| outcome != UnitOutcome::Rejected);
        self.receive_later || (policy.receive_later && !are_here)
    }

    /// The answer if the return was judged before.
    fn repeated(&self, judged: &JudgedReturn, is_later: bool) -> Decision {
        let Judgement::Approved {
            lines,
            kept,
            rejected_reason,
            refund,
            refund_reason,
            charges,
            location,
            default,
        } = &judged.judgement
        else {
            return same_or_exists(Existing::Judgement, &[("verdict", true)]);
        };
        if let Some(approval) = &judged.request.approval {
            return self.approved_before(&judged.request, approval, is_later);
        }
        let split = self.split(&judged.request.lines, is_later)?;
        let dispositions = split.back != *lines || split.kept != *kept;
        let other = [
            (if self.outcomes.is_empty() { "dispositions" } else { "outcomes" }, dispositions),
            ("receive_later", is_later),
            ("rejected_reason", self.rejected_reason != *rejected_reason),
            ("refund", self.refund.unwrap_or(*default) != *refund),
            ("charges", pays_otherwise(&self.charges, charges)),
            ("location", self.location != *location),
            ("refund_reason", self.refund_reason != *refund_reason),
        ];
        same_or_exists(Existing::Judgement, &other)
    }

    /// The answer if the return was approved before, to be received later.
    fn approved_before(&self, known: &Return, approval: &Approval, is_later: bool) -> Decision {
        let split = if is_later { Some(self.split(&known.lines, true)?) } else { None };
        let same = split.is_some_and(|split| {
            split.back_by_line() == approval.units() && split.kept == approval.kept
        });
        let other = [
            ("receive_later", !is_later),
            ("outcomes", is_later && !same),
            ("rejected_reason", self.rejected_reason != approval.rejected_reason),
            ("refund", self.refund.unwrap_or(approval.default) != approval.refund),
            ("charges", pays_otherwise(&self.charges, &approval.charges)),
            ("refund_reason", self.refund_reason != approval.refund_reason),
        ];
        same_or_exists(Existing::Judgement, &other)
    }

    /// What is paid back for the units taken back.
    fn refund_for(&self, details: &Details, split: &Split) -> Result<Money, Rejection> {
        let charges = details.paid_back_of_charges(&self.charges)?;
        let units = details.value_of(&split.back_by_line());
        let value = units.plus(charges).map_err(|_| Rejection::AmountOverflow)?;
        let most = details.refundable();
        let refund = self.refund.unwrap_or(details.default_refund(units, charges));
        if refund.minor < 0 || refund.currency != details.totals.total.currency {
            return Err(Rejection::InvalidRefund);
        }
        covers_charges(self.refund, refund, charges, Rejection::RefundTooLarge { most })?;
        if refund.minor > value.minor && self.refund_reason.trim().is_empty() {
            return Err(Rejection::RefundNeedsReason);
        }
        if refund.minor > most.minor {
            return Err(Rejection::RefundTooLarge { most });
        }
        Ok(refund)
    }

    /// The units of the return by their outcomes.
    fn split(&self, requested: &[LineQuantity], is_later: bool) -> Result<Split, Rejection> {
        if let (Some(first), true) =
            (self.dispositions.first(), is_later || !self.outcomes.is_empty())
        {
            let detail =
                "what becomes of units is said once: in outcomes, or when they are received";
            let (line, at) = (first.line, "dispositions[0].line".to_owned());
            return Err(Rejection::InvalidReturnLines { line, at, detail });
        }
        let reason = self.rejected_reason.as_str();
        if is_later {
            return Split::approved(requested, &self.outcomes, reason);
        }
        let mut split = Split::received(requested, &self.outcomes, reason)?;
        if !self.dispositions.is_empty() {
            split.back = self.restitutions(requested)?;
        }
        Ok(split)
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
                return Err(wrong(NOT_A_LINE));
            };
            if !named.insert(*line) {
                return Err(wrong(bounds::NAMED_TWICE));
            }
            *default = *disposition;
        }
        Ok(dispositions)
    }
}
