//! What the ledger's answers mean to payments.

use ledger::grpc::proto::{self, HoldState, TransferKind};
use psp::{Answer, Found, Kind, PspReference};
use service_edge::{reason_of, time};
use shared_events::contract::{Money, Reason};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::engine::ledger_link::money;

pub(super) fn declined(code: &str) -> Answer {
    Answer::Declined { code: code.to_owned() }
}

pub(super) fn refused(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), repairable: false }
}

fn later(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), repairable: true }
}

pub(super) fn unclear() -> Answer {
    Answer::Unknown { why: "the ledger's answer is not what it must be".to_owned() }
}

/// What a refusal by the book means. It is kept with the id: asked again, it is the same. `state` is
/// that of the hold that has ended.
fn of_reason(reason: Reason, state: &str) -> Option<Answer> {
    Some(declined(match (reason, state) {
        (Reason::InsufficientFunds, _) => "insufficient_funds",
        // Nothing was ever put into it.
        (Reason::AccountNotOpen, _) => "wallet_not_found",
        (Reason::CurrencyMismatch, _) => "currency_mismatch",
        (Reason::AmountOverflow, _) => "amount_too_large",
        (Reason::MoreThanHeld, _) => "more_than_authorized",
        (Reason::HoldNotFound, _) => "authorization_not_found",
        (Reason::HoldEnded, "POSTED") => "already_captured",
        (Reason::HoldEnded, "EXPIRED") => "authorization_expired",
        (Reason::HoldEnded, _) => "canceled",
        _ => return None,
    }))
}

/// What a call of the ledger came to that did not succeed.
pub(super) fn of_status(status: &Status) -> Answer {
    let state = || status.get_details_error_info()?.metadata.remove("state");
    let reason = reason_of(status);
    if let Some(answer) = reason.and_then(|reason| of_reason(reason, &state().unwrap_or_default()))
    {
        return answer;
    }
    // The book has an answer to this id, whatever it was asked: that is looked up.
    if reason == Some(Reason::IdempotencyKeyReused) {
        return Answer::Unknown { why: "the book has this id with other content".to_owned() };
    }
    let code = || reason.map_or("refused", Reason::code).to_ascii_lowercase();
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange => refused(&code()),
        // Nothing was begun.
        Code::ResourceExhausted => later("rate_limited"),
        // Mended by an operator.
        Code::Unauthenticated | Code::PermissionDenied => later("not_authenticated"),
        // It may be booked all the same.
        code => Answer::Unknown { why: format!("the ledger answered {code:?}") },
    }
}

/// Whether a hold had ended without being posted when it was to be voided.
pub(super) fn is_free_already(answer: &Answer) -> bool {
    let Answer::Declined { code } = answer else { return false };
    ["canceled", "authorization_expired"].contains(&code.as_str())
}

/// The answer to something that moved this amount, under this name.
pub(super) fn done(reference: &str, amount: Option<Money>) -> Answer {
    let reference: Option<PspReference> = reference.parse().ok();
    match (reference, amount) {
        (Some(reference), Some(amount)) => Answer::Done { reference, amount, valid_until: None },
        _ => unclear(),
    }
}

/// A hold as the answer to an authorisation.
pub(super) fn authorized(hold: &proto::Hold) -> Answer {
    let valid_until = hold.expire_time.as_ref().and_then(time::instant);
    match (hold.state(), done(&hold.hold_id, money(hold.amount.as_ref()))) {
        (HoldState::Voided, _) => declined("canceled"),
        (HoldState::Expired, _) => declined("authorization_expired"),
        (HoldState::Held | HoldState::Posted, Answer::Done { reference, amount, .. }) => {
            Answer::Done { reference, amount, valid_until }
        }
        _ => unclear(),
    }
}

/// What the book has under an operation's id, and what is to be looked up for it.
pub(super) enum InBook {
    /// This is what became of it.
    Known(Answer),
    /// It made a hold, which says the rest.
    Hold,
    /// It was refused since the hold that it is about had ended; that hold says how.
    Ended,
}

/// An entry as the answer to the operation of its id.
pub(super) fn of_entry(entry: &proto::Entry) -> InBook {
    if !entry.refusal.is_empty() {
        let reason = Reason::of(&entry.refusal);
        if reason == Some(Reason::HoldEnded) {
            return InBook::Ended;
        }
        let answer = reason.and_then(|reason| of_reason(reason, ""));
        return InBook::Known(answer.unwrap_or_else(|| refused("refused")));
    }
    let Some(transfer) = entry.transfers.first() else { return InBook::Known(unclear()) };
    let moved = || done(&entry.entry_id, money(transfer.amount.as_ref()));
    match transfer.kind() {
        TransferKind::Held => InBook::Hold,
        TransferKind::Posted | TransferKind::HoldPosted => InBook::Known(moved()),
        TransferKind::HoldVoided => {
            InBook::Known(done(&transfer.hold_id, money(transfer.amount.as_ref())))
        }
        TransferKind::HoldExpired | TransferKind::Unspecified => InBook::Known(unclear()),
    }
}

/// What a hold says of an operation that was refused because it had ended.
pub(super) fn of_ended(kind: Kind, hold: &proto::Hold) -> Answer {
    let state = match hold.state() {
        HoldState::Posted => "POSTED",
        HoldState::Expired => "EXPIRED",
        _ => "VOIDED",
    };
    let answer = of_reason(Reason::HoldEnded, state).unwrap_or_else(unclear);
    match kind {
        Kind::Void if is_free_already(&answer) => done(&hold.hold_id, money(hold.amount.as_ref())),
        _ => answer,
    }
}

/// What is found where the ledger could not be asked.
pub(super) fn not_asked(status: &Status) -> Found {
    match status.code() {
        Code::NotFound => Found::Nothing,
        code => Found::Unknown { why: format!("the ledger answered {code:?}") },
    }
}
