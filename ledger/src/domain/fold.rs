//! What a transfer does to sums: the one place, for the writer and for the proof.

use super::{Sums, TransferKind};

/// The side of a transfer on which an account stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is debited.
    Debit,
    /// It is credited.
    Credit,
}

impl Sums {
    /// The sums after a transfer of `amount`; `held` is the amount of the hold that it ends. None
    /// where a sum would be below 0 or does not fit into 64 bits.
    #[must_use]
    pub fn after(self, side: Side, kind: TransferKind, amount: i64, held: i64) -> Option<Self> {
        let (posted_change, held_change): (i128, i128) = match kind {
            TransferKind::Posted => (amount.into(), 0),
            TransferKind::Held => (0, amount.into()),
            TransferKind::HoldPosted => (amount.into(), -i128::from(held)),
            TransferKind::HoldVoided | TransferKind::HoldExpired => (0, -i128::from(held)),
        };
        let sum = |sum: i64, change: i128| {
            let sum = i64::try_from(i128::from(sum) + change).ok();
            sum.filter(|sum| *sum >= 0)
        };
        let mut after = self;
        match side {
            Side::Debit => {
                after.debits_posted = sum(self.debits_posted, posted_change)?;
                after.debits_held = sum(self.debits_held, held_change)?;
            }
            Side::Credit => {
                after.credits_posted = sum(self.credits_posted, posted_change)?;
                after.credits_held = sum(self.credits_held, held_change)?;
            }
        }
        // What is posted and held together fits too, so that a hold can always be posted.
        let fits = |posted: i64, held: i64| posted.checked_add(held).is_some();
        (fits(after.debits_posted, after.debits_held)
            && fits(after.credits_posted, after.credits_held))
        .then_some(after)
    }
}
