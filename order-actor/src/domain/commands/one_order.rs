//! Commands whose lists have one order: by it a request is known again, in whatever order its caller
//! names the lines.

use super::Command;
use crate::domain::returns::by_number;
use crate::domain::{LineQuantity, OutcomeUnits};

impl Command {
    /// The same command with the lists in one order whose order says nothing, if it has any. Of lines
    /// that are placed or added the order says which numbers they get.
    #[must_use]
    pub fn in_one_order(&self) -> Option<Self> {
        Some(match self {
            Self::Cancel(command) => {
                let mut command = command.clone();
                by_line(&mut command.lines);
                Self::Cancel(command)
            }
            Self::Fulfill(command) => {
                let mut command = command.clone();
                by_line(&mut command.lines);
                Self::Fulfill(command)
            }
            Self::RequestReturn(command) => {
                let mut command = command.clone();
                by_line(&mut command.lines);
                Self::RequestReturn(command)
            }
            Self::ApproveReturn(command) => {
                let mut command = command.clone();
                command.dispositions.sort_by_key(|one| one.line);
                by_outcome(&mut command.outcomes);
                command.charges = by_number(&command.charges);
                Self::ApproveReturn(command)
            }
            Self::ReceiveReturn(command) => {
                let mut command = command.clone();
                by_outcome(&mut command.outcomes);
                Self::ReceiveReturn(command)
            }
            Self::UndoShipment(command) => {
                let mut command = command.clone();
                command.dispositions.sort_by_key(|one| one.line);
                command.charges = by_number(&command.charges);
                Self::UndoShipment(command)
            }
            Self::EditOrder(command) => {
                let mut command = command.clone();
                command.changes.sort_by_key(|one| one.line);
                Self::EditOrder(command)
            }
            _ => return None,
        })
    }
}

fn by_line(lines: &mut [LineQuantity]) {
    lines.sort_by_key(|one| (one.line, one.quantity));
}

fn by_outcome(outcomes: &mut [OutcomeUnits]) {
    outcomes.sort_by_key(|one| (one.line, one.outcome, one.quantity));
}
