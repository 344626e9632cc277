use uuid::Uuid;

use crate::contract::Mark;

/// A position of a log that somebody remembers, with what they saw there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: u16,
    /// The position in it.
    pub position: u64,
    /// What stood there.
    pub mark: Mark,
}

/// Which history a log tells. A log that was set back (a restored backup, a standby that lagged)
/// goes on as another incarnation of itself, so that whoever remembers more than it holds knows
/// that this has been seen and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The log, for ever.
    pub log: Uuid,
    /// Counts from 1; raised each time the log goes on from an earlier place.
    pub incarnation: u64,
}

/// What a log has at a place that somebody remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The same.
    Same,
    /// Something else: from some earlier place on, the log tells another history.
    Other,
    /// Nothing yet: the log ends before it.
    Beyond,
}

/// What a log says of places that somebody remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Which history it tells; none of a log that never declares one. Of such a log a place that is
    /// beyond its end is waited for, and one that holds something else is read again.
    pub history: Option<History>,
    /// What it has at each of the places.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// Nothing differs.
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
