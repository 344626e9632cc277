//! What is asked of the book, and how it is answered and recorded.
//! Never here: when something is committed.

use shared_events::contract::Timestamp;
use shared_events::stream::{AskedBy, DatabaseError, OperatorAction, Tx, Verb};
use tokio::sync::oneshot;

use crate::book::{BookError, Posted};
use crate::domain::{AccountName, BookPart, Entry, EntryId, NewAccount, Opened, Outcome};

/// A request, and where its answer goes.
pub(crate) enum Request {
    Open {
        terms: NewAccount,
        by: AskedBy,
        reason: String,
        reply: Reply<Opened>,
    },
    Post {
        entry: Entry,
        by: AskedBy,
        reply: Reply<Posted>,
    },
    /// What the same would do. Each is a batch of its own, which is not committed.
    WouldOpen {
        terms: NewAccount,
        reply: Reply<Opened>,
    },
    WouldPost {
        entry: Entry,
        reply: Reply<Posted>,
    },
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, BookError>>;

/// An answer that counts once the batch is committed.
pub(crate) enum Answer {
    Opened(Opened),
    Posted(Posted),
}

impl Request {
    /// Whether what it does is to be kept.
    pub(crate) const fn changes(&self) -> bool {
        matches!(self, Self::Open { .. } | Self::Post { .. })
    }

    /// The entry that it is about.
    pub(crate) const fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Open { .. } | Self::WouldOpen { .. } => None,
            Self::Post { entry, .. } | Self::WouldPost { entry, .. } => Some(entry),
        }
    }

    /// The account that it opens.
    pub(crate) const fn opens(&self) -> Option<&AccountName> {
        match self {
            Self::Open { terms, .. } | Self::WouldOpen { terms, .. } => Some(&terms.name),
            Self::Post { .. } | Self::WouldPost { .. } => None,
        }
    }

    /// The reason and the caller of an entry.
    pub(crate) fn note(&self) -> Option<(EntryId, &str, String)> {
        match self {
            Self::Post { entry, by, .. } => Some((entry.id(), entry.reason(), by.to_string())),
            _ => None,
        }
    }

    /// Its answer, decided on a part of the book, which it changes.
    pub(crate) fn decide(&self, part: &mut BookPart, now: Timestamp) -> Answer {
        match self {
            Self::Open { terms, .. } | Self::WouldOpen { terms, .. } => {
                Answer::Opened(part.open(terms, now))
            }
            Self::Post { entry, .. } | Self::WouldPost { entry, .. } => {
                let before = part.transfers().len();
                let outcome = part.book(entry, now);
                let transfers = part.transfers().get(before..).unwrap_or_default().to_vec();
                let holds = transfers.iter().filter_map(|one| part.hold(one.hold?)).cloned();
                let holds = holds.collect();
                Answer::Posted(Posted { outcome, transfers, holds })
            }
        }
    }

    /// Records what an operator did, in the transaction of its effect.
    pub(crate) async fn record(
        &self,
        answer: &Answer,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        match (self, answer) {
            (Self::Open { terms, by, reason, .. }, Answer::Opened(opened))
                if by.is_operator() && matches!(opened, Opened::Open { exists: false, .. }) =>
            {
                let NewAccount { name, kind, currency, limit } = terms;
                let after = format!("{} {currency} {}", kind.code(), limit.code());
                let action = OperatorAction::new(by, Verb::OpenAccount, name.as_str(), reason, now);
                action.changing("", &after).write(tx).await
            }
            (Self::Post { entry, by, .. }, Answer::Posted(Posted { outcome, .. }))
                if by.is_operator() =>
            {
                let after = match outcome {
                    Outcome::Booked { receipt, exists: false } => {
                        format!("position {}, {} transfers", receipt.first, receipt.legs)
                    }
                    _ => return Ok(()),
                };
                let target = entry.id().to_string();
                let action = OperatorAction::new(by, Verb::PostEntry, &target, entry.reason(), now);
                action.changing("", &after).write(tx).await
            }
            _ => Ok(()),
        }
    }
}
