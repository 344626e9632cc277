//! What becomes of the units of a return: each of its units has one outcome.
//! Never here: what is paid back for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared_events::contract::{Disposition, Quantity};

use super::{LineQuantity, Rejection, Restitution, bounds};

/// What becomes of units of a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnitOutcome {
    /// They came back and are restocked.
    Restock,
    /// They came back damaged; stock stays as it is.
    WriteOff,
    /// They did not come back; the customer keeps them.
    NotArrived,
    /// They are not accepted; the customer keeps them.
    Rejected,
}

impl UnitOutcome {
    /// What stock does with them; none where the customer keeps them.
    #[must_use]
    pub const fn disposition(self) -> Option<Disposition> {
        match self {
            Self::Restock => Some(Disposition::Restock),
            Self::WriteOff => Some(Disposition::WriteOff),
            Self::NotArrived | Self::Rejected => None,
        }
    }

    /// The stable name, such as `NOT_ARRIVED`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Restock => "RESTOCK",
            Self::WriteOff => "WRITE_OFF",
            Self::NotArrived => "NOT_ARRIVED",
            Self::Rejected => "REJECTED",
        }
    }
}

impl From<Disposition> for UnitOutcome {
    fn from(disposition: Disposition) -> Self {
        match disposition {
            Disposition::Restock => Self::Restock,
            Disposition::WriteOff => Self::WriteOff,
        }
    }
}

/// Units of a line with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeUnits {
    /// 1-based number of the line.
    pub line: u32,
    /// How many units.
    pub quantity: Quantity,
    /// What becomes of them.
    pub outcome: UnitOutcome,
}

/// The units of a return by their outcomes, in the order of its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    /// Those taken back.
    pub(super) back: Vec<Restitution>,
    /// Those that the customer keeps.
    pub(super) kept: Vec<OutcomeUnits>,
}

/// Units of a line by their outcomes.
type ByOutcome = BTreeMap<UnitOutcome, u32>;

const ADD_UP: &str = "the units of a line add up to those of the return";
const WITH_REASON: &str = "units are rejected with a reason, and only they have one";

impl Split {
    /// The units of a return, when it is received. A line that is named has all its units named; of
    /// any other line all units are restocked.
    pub(super) fn received(
        requested: &[LineQuantity],
        outcomes: &[OutcomeUnits],
        rejected_reason: &str,
    ) -> Result<Self, Rejection> {
        let named = named(requested, outcomes)?;
        for (index, OutcomeUnits { line, .. }) in outcomes.iter().enumerate() {
            let asked = requested.iter().find(|units| units.line == *line);
            let sum: Option<u64> =
                named.get(line).map(|by| by.values().map(|units| u64::from(*units)).sum());
            if sum != asked.map(|units| u64::from(units.quantity.get())) {
                return Err(invalid(*line, format!("outcomes[{index}].quantity"), ADD_UP));
            }
        }
        let split = Self::of(requested, &named, UnitOutcome::Restock);
        split.checked(rejected_reason)
    }

    /// The units of a return that is approved before it is received: all but the rejected ones.
    pub(super) fn approved(
        requested: &[LineQuantity],
        rejected: &[OutcomeUnits],
        rejected_reason: &str,
    ) -> Result<Self, Rejection> {
        for (index, units) in rejected.iter().enumerate() {
            if units.outcome != UnitOutcome::Rejected {
                let detail = "only REJECTED before the units are received";
                return Err(invalid(units.line, format!("outcomes[{index}].outcome"), detail));
            }
        }
        let named = named(requested, rejected)?;
        for (index, units) in rejected.iter().enumerate() {
            let asked = requested.iter().find(|asked| asked.line == units.line);
            if asked.is_none_or(|asked| units.quantity > asked.quantity) {
                let at = format!("outcomes[{index}].quantity");
                return Err(invalid(units.line, at, "more units than those of the return"));
            }
        }
        let split = Self::of(requested, &named, UnitOutcome::Restock);
        split.checked(rejected_reason)
    }

    /// The units by what was named; those not named have the default outcome.
    fn of(
        requested: &[LineQuantity],
        named: &BTreeMap<u32, ByOutcome>,
        default: UnitOutcome,
    ) -> Self {
        let mut split = Self::default();
        for LineQuantity { line, quantity } in requested {
            let mut by = named.get(line).cloned().unwrap_or_default();
            let rest = by.values().fold(quantity.get(), |left, units| left.saturating_sub(*units));
            *by.entry(default).or_default() += rest;
            for (outcome, units) in by {
                split.add(*line, units, outcome);
            }
        }
        split
    }

    fn add(&mut self, line: u32, units: u32, outcome: UnitOutcome) {
        let Ok(quantity) = Quantity::new(units) else { return };
        match outcome.disposition() {
            Some(disposition) => self.back.push(Restitution { line, quantity, disposition }),
            None => self.kept.push(OutcomeUnits { line, quantity, outcome }),
        }
    }

    /// Checks that something is taken back, and that units are rejected with a reason.
    fn checked(self, rejected_reason: &str) -> Result<Self, Rejection> {
        if self.back.is_empty() {
            let detail = "no unit would be taken back; reject the return";
            return Err(invalid(0, "outcomes".to_owned(), detail));
        }
        let rejects = self.kept.iter().any(|units| units.outcome == UnitOutcome::Rejected);
        if rejects == rejected_reason.trim().is_empty() {
            return Err(invalid(0, "rejected_reason".to_owned(), WITH_REASON));
        }
        Ok(self)
    }

    /// The units taken back, by line.
    pub(super) fn back_by_line(&self) -> Vec<LineQuantity> {
        by_line(&self.back)
    }
}

/// The units of each line, in the order of the lines. What a line has more than once adds up.
pub(super) fn by_line(back: &[Restitution]) -> Vec<LineQuantity> {
    let mut lines: Vec<LineQuantity> = Vec::with_capacity(back.len());
    for Restitution { line, quantity, .. } in back {
        match lines.last_mut() {
            Some(last) if last.line == *line => {
                let sum = last.quantity.get().saturating_add(quantity.get());
                last.quantity = Quantity::new(sum).unwrap_or(last.quantity);
            }
            _ => lines.push(LineQuantity { line: *line, quantity: *quantity }),
        }
    }
    lines
}

/// Whether these units, and those that are kept, are exactly the units of a return.
pub(super) fn is_all_of(
    requested: &[LineQuantity],
    back: impl Iterator<Item = (u32, Quantity)>,
    kept: &[OutcomeUnits],
) -> bool {
    let mut left: BTreeMap<u32, i64> = BTreeMap::new();
    for units in requested {
        *left.entry(units.line).or_default() += i64::from(units.quantity.get());
    }
    let stay = kept.iter().map(|units| (units.line, units.quantity));
    for (line, quantity) in back.chain(stay) {
        match left.get_mut(&line) {
            Some(left) => *left -= i64::from(quantity.get()),
            None => return false,
        }
    }
    let keeps = kept.iter().all(|units| units.outcome.disposition().is_none());
    keeps && left.values().all(|left| *left == 0)
}

/// The units named, by line and outcome: lines of the return, each outcome once.
fn named(
    requested: &[LineQuantity],
    outcomes: &[OutcomeUnits],
) -> Result<BTreeMap<u32, ByOutcome>, Rejection> {
    let mut lines: BTreeMap<u32, ByOutcome> = BTreeMap::new();
    for (index, OutcomeUnits { line, quantity, outcome }) in outcomes.iter().enumerate() {
        let wrong = |detail| invalid(*line, format!("outcomes[{index}].line"), detail);
        if !requested.iter().any(|units| units.line == *line) {
            return Err(wrong(NOT_A_LINE));
        }
        let before = lines.entry(*line).or_default().insert(*outcome, quantity.get());
        if before.is_some() {
            return Err(wrong(bounds::NAMED_TWICE));
        }
    }
    Ok(lines)
}

pub(super) const NOT_A_LINE: &str = "not a line of the return";

fn invalid(line: u32, at: String, detail: &'static str) -> Rejection {
    Rejection::InvalidReturnLines { line, at, detail }
}
