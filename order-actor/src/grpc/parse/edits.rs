use std::collections::BTreeSet;

use shared_events::contract::{Quantity, Reason};

use super::Form;
use crate::domain::{LineChange, NewLine, Rejection, bounds};
use crate::grpc::proto;

impl Form {
    /// The lines that an edit changes.
    pub(crate) fn changes(&mut self, changes: &[proto::LineChange]) -> Option<Vec<LineChange>> {
        if changes.len() > bounds::LINES_MAX {
            self.violations.add("changes", Reason::InvalidLines, Rejection::TooManyLines);
            return None;
        }
        let mut named = BTreeSet::new();
        let mut parsed = Vec::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            let path = format!("changes[{index}]");
            let reason = Reason::InvalidLines;
            self.line_number(format_args!("{path}.line"), reason, change.line, &mut named);
            if change.quantity > Quantity::MAX {
                let most = format!("0 to {}", Quantity::MAX);
                self.violations.add(format!("{path}.quantity"), reason, most);
            }
            let discounts = self.discounts(format_args!("{path}.discounts"), &change.discounts);
            let taxes = self.taxes(format_args!("{path}.taxes"), &change.taxes);
            let proto::LineChange { line, quantity, .. } = *change;
            parsed.push((|| {
                Some(LineChange { line, quantity, discounts: discounts?, taxes: taxes? })
            })());
        }
        parsed.into_iter().collect()
    }

    /// The lines that an edit adds; there may be none where it changes others.
    pub(crate) fn added_lines(
        &mut self,
        lines: &[proto::NewLine],
        changes: bool,
    ) -> Option<Vec<NewLine>> {
        if !lines.is_empty() {
            return self.new_lines(lines);
        }
        if !changes {
            self.invalid("changes", "a change or a line in addition is required");
        }
        Some(Vec::new())
    }
}
