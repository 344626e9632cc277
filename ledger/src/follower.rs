use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::{Fact, FactBody, Timestamp};
use shared_events::stream::{Blame, Database, Handler, Tx};

use crate::batch;
use crate::domain::{Opened, Outcome};
use crate::meter;
use crate::posting::{Posting, posting};
use crate::store::{Fence, Notes};

/// Who asked for the entries that facts of payments make.
pub const ASKED_BY_PAYMENTS: &str = "engine:payments";

/// Follows facts of payments: each that moves money is one entry, booked once, in the transaction of
/// the cursor and under the same lock as every other entry.
pub struct PaymentFollower {
    database: Database,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    fence: Option<Fence>,
    /// The fence of a batch that is not committed yet, and its outcomes.
    next: Option<(Fence, Vec<Outcome>)>,
}

impl PaymentFollower {
    pub(crate) const fn new(
        database: Database,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    ) -> Self {
        Self { database, now, fence: None, next: None }
    }
}

#[async_trait]
impl Handler<Fact> for PaymentFollower {
    async fn handle(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        let mut postings: Vec<(usize, Posting)> = Vec::new();
        for (index, fact) in facts.iter().enumerate() {
            let FactBody::Payment(fact) = &fact.body else { continue };
            let found = posting(fact);
            let found = found.map_err(|error| Blame::Item { index, error: error.to_string() })?;
            postings.extend(found.map(|posting| (index, posting)));
        }
        if postings.is_empty() {
            return Ok(());
        }
        let entries = postings.iter().map(|(_, posting)| &posting.entry);
        let (mut part, fence, now) =
            batch::begin(&self.database, tx, self.fence, entries, std::iter::empty(), &self.now)
                .await?;
        let mut outcomes = Vec::with_capacity(postings.len());
        for (index, Posting { entry, accounts }) in &postings {
            let blame = |error: String| Blame::Item { index: *index, error };
            for terms in accounts {
                // Whoever opened it may have given it a limit; what it is must be the same.
                if let Opened::OtherTerms { account } = part.open(terms, now) {
                    let open = &account.terms;
                    if (open.kind, open.currency) != (terms.kind, terms.currency) {
                        let (kind, currency) = (open.kind.code(), open.currency);
                        let asked = (terms.kind.code(), terms.currency);
                        return Err(blame(format!(
                            "account {} is open as {kind} in {currency}, not as {} in {}",
                            terms.name, asked.0, asked.1
                        )));
                    }
                }
            }
            match part.book(entry, now) {
                // Nothing of this batch is kept, so that its id is free when it is tried again.
                Outcome::Refused { refusal, .. } => return Err(blame(refusal.to_string())),
                Outcome::OtherContent => {
                    let id = entry.id();
                    return Err(blame(format!("entry {id} stands in the book with other content")));
                }
                outcome @ Outcome::Booked { .. } => outcomes.push(outcome),
            }
        }
        self.next = None;
        if !part.is_unchanged() {
            let notes: Notes<'_> = postings
                .iter()
                .map(|(_, Posting { entry, .. })| (entry.id(), (entry.reason(), ASKED_BY_PAYMENTS)))
                .collect::<BTreeMap<_, _>>();
            crate::store::write(&self.database, tx, &part, &notes, (fence, now)).await?;
            self.next = Some((fence, outcomes));
        }
        Ok(())
    }

    fn committed(&mut self) {
        if let Some((fence, outcomes)) = self.next.take() {
            self.fence = Some(fence);
            outcomes.iter().for_each(meter::posted);
        }
    }

    // Money that moved stays moved: where the log of payments was set back, the same operations are
    // found again at providers, and their entries have the same ids.
}
