use std::time::Duration;

use service_edge::Refused;
use shared_events::contract::Reason;
use shared_events::stream::DatabaseError;
use tonic::{Code, Status};

use crate::book::BookError;
use crate::domain::{Account, Refusal};
use crate::writer::QUEUE_MAX;

/// After this a caller may ask again that found the book unavailable.
const UNAVAILABLE_DELAY: Duration = Duration::from_millis(500);

pub(super) fn not_found(message: &str) -> Status {
    Refused::new(Reason::NotFound).say(message)
}

pub(super) fn unavailable(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "ledger database");
    away()
}

fn away() -> Status {
    let refused = Refused::new(Reason::LedgerUnavailable).again_after(UNAVAILABLE_DELAY);
    refused.say(
        "the ledger's database is not available; asked again with the same id, an entry is \
                 booked once",
    )
}

/// The book gave no answer.
pub(super) fn unanswered(error: BookError) -> Status {
    match error {
        BookError::Unavailable => away(),
        BookError::Overloaded => {
            let refused =
                Refused::unavailable(Reason::Overloaded).with_code(Code::ResourceExhausted);
            refused.with("bound", QUEUE_MAX).say("too many entries wait to be booked")
        }
        BookError::Stopping => Refused::stopping(),
    }
}

pub(super) fn other_content() -> Status {
    let refused = Refused::new(Reason::IdempotencyKeyReused);
    refused.say("the book has an answer to this id with other content")
}

pub(super) fn other_terms(account: &Account) -> Status {
    let terms = &account.terms;
    Refused::new(Reason::AlreadyExists)
        .with("existing", &terms.name)
        .with("kind", terms.kind.code())
        .with("currency_code", terms.currency)
        .with("limit", terms.limit.code())
        .say("the account is open with other terms, which never change")
}

/// The book refused it; `exists` where it did before.
pub(super) fn refused(refusal: &Refusal, exists: bool) -> Status {
    let refused = Refused::new(refusal.reason()).with_code(Code::FailedPrecondition);
    let refused = match refusal {
        Refusal::AccountNotOpen { account } | Refusal::AmountOverflow { account } => {
            refused.with("account", account)
        }
        Refusal::CurrencyMismatch { account, currency, requested } => {
            let refused = refused.with("account", account).with("currency_code", currency);
            refused.with("requested", requested)
        }
        Refusal::InsufficientFunds { account, available, requested } => {
            let refused = refused.with("account", account).with("available", available);
            refused.with("requested", requested)
        }
        Refusal::HoldNotFound { hold } => refused.with("hold_id", hold),
        Refusal::HoldEnded { hold, state } => refused.with("hold_id", hold).with("state", state),
        Refusal::MoreThanHeld { hold, held, requested } => {
            refused.with("hold_id", hold).with("held", held).with("requested", requested)
        }
    };
    let message = refusal.to_string();
    if exists {
        return refused.with("replayed", true).say(&format!("refused before: {message}"));
    }
    refused.say(&message)
}
