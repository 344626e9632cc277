use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use shared_events::contract::{Fact, FactBody, Subject, Timestamp};
use shared_events::stream::{Blame, Database, Handler, Tx};

use crate::batch;
use crate::domain::{BookPart, Opened, Outcome};
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

/// The facts of a batch that are wrong, told at once and not one with every try: of each subject the
/// first, since later ones wait behind it.
#[derive(Default)]
struct Wrong(BTreeMap<Subject, (usize, String)>);

impl Wrong {
    fn note(&mut self, subject: Subject, index: usize, error: String) {
        self.0.insert(subject, (index, error));
    }

    fn is_behind(&self, subject: Subject, index: usize) -> bool {
        self.0.get(&subject).is_some_and(|(first, _)| *first < index)
    }

    fn blame(self) -> Result<(), Blame> {
        Blame::of_items(self.0.into_values().collect())
    }
}

/// Books one fact, or says why it cannot be booked.
fn book(part: &mut BookPart, posting: &Posting, now: Timestamp) -> Result<Outcome, String> {
    let Posting { entry, accounts } = posting;
    for terms in accounts {
        if let Opened::OtherTerms { account } = part.open(terms, now)
            && !terms.fits(&account.terms)
        {
            let open = &account.terms;
            let (kind, currency) = (open.kind.code(), open.currency);
            let asked = (terms.kind.code(), terms.currency);
            return Err(format!(
                "account {} is open as {kind} in {currency}, not as {} in {}",
                terms.name, asked.0, asked.1
            ));
        }
    }
    match part.book(entry, now) {
        Outcome::Refused { refusal, .. } => Err(refusal.to_string()),
        Outcome::OtherContent => {
            Err(format!("entry {} stands in the book with other content", entry.id()))
        }
        outcome @ Outcome::Booked { .. } => Ok(outcome),
    }
}

#[async_trait]
impl Handler<Fact> for PaymentFollower {
    async fn handle(&mut self, tx: &mut Tx, facts: &[Fact]) -> Result<(), Blame> {
        let mut wrong = Wrong::default();
        let mut postings: Vec<(usize, Posting)> = Vec::new();
        for (index, fact) in facts.iter().enumerate() {
            let FactBody::Payment(body) = &fact.body else { continue };
            if wrong.is_behind(fact.subject, index) {
                continue;
            }
            match posting(body) {
                Ok(found) => postings.extend(found.map(|posting| (index, posting))),
                Err(error) => wrong.note(fact.subject, index, error.to_string()),
            }
        }
        if postings.is_empty() {
            return wrong.blame();
        }
        let entries = postings.iter().map(|(_, posting)| &posting.entry);
        let (mut part, fence, now) =
            batch::begin(&self.database, tx, self.fence, entries, std::iter::empty(), &self.now)
                .await?;
        let mut outcomes = Vec::with_capacity(postings.len());
        for (index, posting) in &postings {
            let subject = facts[*index].subject;
            if wrong.is_behind(subject, *index) {
                continue;
            }
            match book(&mut part, posting, now) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => wrong.note(subject, *index, error),
            }
        }
        // Nothing of this batch is kept, so that the ids of what is refused are free when it is tried
        // again.
        wrong.blame()?;
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
