use uuid::Uuid;

use crate::contract::Mark;

/// A position of a log that a reader remembers, with the mark that it saw there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: u16,
    /// The position in it.
    pub position: u64,
    /// The mark there.
    pub mark: Mark,
}

/// The history of a log. A log that was set back (a restored backup, a standby that lagged)
/// continues as another incarnation of itself, so that a reader that remembers more than it holds
/// knows that this has been noticed and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The id of the log, for ever.
    pub log: Uuid,
    /// Counts from 1; raised each time the log continues from an earlier position.
    pub incarnation: u64,
}

/// What a log has at a place that a reader remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The same.
    Same,
    /// Something else: from some earlier position on, the log has another history.
    Other,
    /// Nothing yet: the log ends before it.
    Ahead,
}

/// A log's answer about places that a reader remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Its history; none for a log that never declares one. In such a log a place ahead of its end
    /// is waited for, and one that holds something else is read again.
    pub history: Option<History>,
    /// The finding for each of the places.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// An answer without differences.
    #[must_use]
    pub fn same(history: Option<History>, places: usize) -> Self {
        Self { history, findings: vec![Finding::Same; places] }
    }

    /// The places that the log does not have.
    pub fn differing<'a>(
        &'a self,
        places: &'a [Place],
    ) -> impl Iterator<Item = (Place, Finding)> + 'a {
        let found = places.iter().copied().zip(self.findings.iter().copied());
        found.filter(|(_, finding)| *finding != Finding::Same)
    }
}
