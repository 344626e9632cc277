//! Payouts that the book has forgotten: it was restored to an earlier state, and the sellers were
//! paid. They are booked again before what a seller has is counted, or it would be paid twice.

use shared_events::contract::{Currency, PayoutId, Seller, Timestamp};

use super::{PayoutRunner, READ_MAX, RunnerError};
use crate::domain::{BookStep, Payout};
use crate::seller_book::{BookAway, Booked};
use crate::store;

impl PayoutRunner {
    /// Books again what the book has forgotten of payouts to a seller; returns how many those were.
    /// The book is the beginning of what it was, so the newest are looked at until it has one; the
    /// oldest are booked first, so that whoever dies in between leaves a beginning again.
    pub(super) async fn remind(
        &self,
        of: (&Seller, Currency),
    ) -> Result<Result<usize, BookAway>, RunnerError> {
        let mut after = match self.last_known(of).await? {
            Ok(LastKnown::Newest) => return Ok(Ok(0)),
            Ok(LastKnown::At(at, id)) => Some((at, id)),
            Ok(LastKnown::None) => None,
            Err(away) => return Ok(Err(away)),
        };
        let mut forgotten = 0;
        loop {
            let page = store::held_after(&self.runner.database, of, after, READ_MAX).await?;
            let Some(last) = page.last() else { return Ok(Ok(forgotten)) };
            after = Some((last.payout.made_at, last.payout.id));
            for row in &page {
                if let Err(away) = self.book_again(&row.payout).await {
                    return Ok(Err(away));
                }
                forgotten += 1;
            }
        }
    }

    /// The newest payout to a seller whose hold the book has.
    async fn last_known(
        &self,
        of: (&Seller, Currency),
    ) -> Result<Result<LastKnown, BookAway>, RunnerError> {
        let mut before = (Timestamp::MAX, PayoutId::from_uuid(uuid::Uuid::max()));
        let mut is_newest = true;
        loop {
            let page = store::held_before(&self.runner.database, of, before, READ_MAX).await?;
            let Some(last) = page.last() else {
                return Ok(Ok(if is_newest { LastKnown::Newest } else { LastKnown::None }));
            };
            before = (last.payout.made_at, last.payout.id);
            for row in &page {
                match self.book.holds(row.payout.id).await {
                    Ok(true) if is_newest => return Ok(Ok(LastKnown::Newest)),
                    Ok(true) => return Ok(Ok(LastKnown::At(row.payout.made_at, row.payout.id))),
                    Ok(false) => is_newest = false,
                    Err(away) => return Ok(Err(away)),
                }
            }
        }
    }

    async fn book_again(&self, payout: &Payout) -> Result<(), BookAway> {
        let Some(step) = payout.last_booked() else { return Ok(()) };
        let (id, seller, amount) = (payout.id, &payout.seller, payout.amount);
        tracing::error!(payout = %id, %seller, %amount, ?step, "the book has forgotten a payout");
        match self.booked(step, payout).await? {
            Booked::At(_) => Ok(()),
            Booked::Refused(code) => {
                Err(BookAway(format!("the book has forgotten payout {id}, and refuses it: {code}")))
            }
        }
    }

    /// Books a step, and those before it, of which a book that was restored may know nothing: a
    /// refusal would be kept. What stands in the book stands there once.
    pub(super) async fn booked(&self, step: BookStep, of: &Payout) -> Result<Booked, BookAway> {
        for earlier in step.before() {
            if let refused @ Booked::Refused(_) = self.book.book(*earlier, of).await? {
                return Ok(refused);
            }
        }
        self.book.book(step, of).await
    }
}

/// Which payout to a seller is the newest that the book has.
enum LastKnown {
    /// The newest of all, or there is none: nothing is forgotten.
    Newest,
    /// This one.
    At(Timestamp, PayoutId),
    /// None of those that there are.
    None,
}
