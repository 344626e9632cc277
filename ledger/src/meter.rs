use shared_events::metric::table::LEDGER_ENTRIES;

use crate::domain::{Opened, Outcome};

/// Counts a request that opens an account.
pub(crate) fn opened(opened: &Opened) {
    LEDGER_ENTRIES.one([match opened {
        Opened::Open { exists: false, .. } => "done",
        Opened::Open { exists: true, .. } => "repeated",
        Opened::OtherTerms { .. } => "refused",
    }]);
}

/// Counts a request that books an entry.
pub(crate) fn posted(outcome: &Outcome) {
    LEDGER_ENTRIES.one([match outcome {
        Outcome::Booked { exists: false, .. } => "done",
        Outcome::Booked { exists: true, .. } => "repeated",
        _ => "refused",
    }]);
}
