//! Maps every refusal of orders to one gRPC status. The texts reveal neither personal data nor
//! internal errors.

use std::time::Duration;

use service_edge::{OVERLOADED_DELAY, Refused};
use shared_events::contract::{OrderId, Reason};
use shared_events::stream::DatabaseError;
use tonic::{Code, Status};

use crate::actor::Refusal;
use crate::domain::bounds::EVENTS_MAX;
use crate::domain::{By, Rejection, Role};
use crate::journal::{EVENT_BYTES_MAX, JournalError};

/// Status metadata: the address of the node that owns the order's shard.
pub const OWNER_HEADER: &str = "ordinal-owner";
/// Call metadata: another node forwarded the call here, because it sees this node as the owner.
pub const FORWARDED_HEADER: &str = "ordinal-forwarded";

/// Retry delay for a list that does not include the requested position yet.
const BEHIND_DELAY: Duration = Duration::from_millis(500);

/// The status of a refused call of this caller. What an operator wrote about a shard is for operators.
#[must_use]
pub fn refused_to(by: &By, refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Frozen { shard, reason } if by.role() == Role::Ops => {
            frozen(*shard).with("reason", reason).say(FROZEN)
        }
        refusal => refused(refusal),
    }
}

const FROZEN: &str = "an operator has frozen this shard; nothing was appended";

fn frozen(shard: u16) -> Refused {
    Refused::unavailable(Reason::ShardFrozen).with("shard", shard)
}

/// The status of a refused call, whoever calls.
#[must_use]
pub fn refused(refusal: &Refusal) -> Status {
    let why = refusal.reason();
    match refusal {
        Refusal::Rejected(rejection) => rejected(rejection).say(&rejection.to_string()),
        Refusal::VersionMismatch { expected, actual } => Refused::new(why)
            .with("expected", expected)
            .with("actual", actual)
            .say(&refusal.to_string()),
        Refusal::RequestIdReused => {
            Refused::new(why).say("this request id was used for another command")
        }
        Refusal::Overloaded => {
            Refused::new(why).again_after(OVERLOADED_DELAY).say("too many calls are waiting")
        }
        Refusal::DeadlineExceeded => {
            Refused::new(why).say("the deadline passed before there was an answer")
        }
        Refusal::NotOwner { shard, owner } => not_owner(*shard, owner.as_deref()),
        Refusal::Frozen { shard, .. } => frozen(*shard).say(FROZEN),
        Refusal::Unavailable(_) => {
            Refused::unavailable(why).say("the journal is not available; nothing was appended")
        }
        Refusal::Doubted(_) => doubted(),
        Refusal::OutcomeUnknown(_) => Refused::unavailable(why)
            .say("the outcome is not known yet; retry with the same order id or request id"),
        Refusal::TooLarge => Refused::new(why)
            .say(&format!("the event would be larger than {EVENT_BYTES_MAX} bytes")),
        Refusal::TooManyEvents => {
            let detail = format!("the order has as many events as one may have, {EVENTS_MAX}");
            Refused::new(why).say(&detail)
        }
        Refusal::Archived { file } => order_archived(file),
        Refusal::Quarantined(_) => Refused::new(why)
            .say("the history of this order is broken; operators have been notified"),
    }
}

/// The order is in an archive file, and this node has no archive configured.
fn order_archived(file: &str) -> Status {
    Refused::new(Reason::OrderArchived)
        .with("file", file)
        .say("the order is in an archive that this node does not read (--archive)")
}

/// Another node owns the order's shard. The node that the client called forwards the call if the
/// status carries the owner's address.
fn not_owner(shard: u16, owner: Option<&str>) -> Status {
    let row = Refused::unavailable(Reason::ShardNotHere).with("shard", shard);
    let row = match owner {
        Some(owner) => row.with("owner", owner),
        None => row,
    };
    let mut status = row.say("this shard is on another node, or on none yet; nothing was appended");
    if let Some(owner) = owner.and_then(|owner| owner.parse().ok()) {
        status.metadata_mut().insert(OWNER_HEADER, owner);
    }
    status
}

#[expect(clippy::too_many_lines, reason = "one arm for each rejection")]
fn rejected(rejection: &Rejection) -> Refused {
    let refused = Refused::new(rejection.reason());
    match rejection {
        Rejection::NotFound => refused,
        Rejection::AlreadyExists { existing, differs } => {
            refused.with("existing", existing.code()).with("differs", differs.join(","))
        }
        Rejection::Forbidden { role } => refused.with("role", role.code()),
        Rejection::ForbiddenReason { role, reason: given } => {
            refused.with("role", role.code()).with("given", given.code())
        }
        Rejection::InvalidTransition { from, call } => refused
            .with("from", from.code())
            .with("asked", call)
            .with("allowed", from.allows_beside(call).join(",")),
        Rejection::NameTaken { name, holder } => {
            refused.with("order_id", holder).about(name.field())
        }
        Rejection::InvalidName { name, .. } => refused.about(name.field()),
        Rejection::NoteRequired => refused.about("text"),
        Rejection::TooManyNotes | Rejection::NamesNeedOneDatabase => refused,
        Rejection::Backordered { lines } => {
            let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
            refused.with("lines", lines.join(","))
        }
        Rejection::RefundTooLarge { most } | Rejection::ParcelRefundTooLarge { most } => {
            refused.with("most", most)
        }
        Rejection::ReturnWindowExpired
        | Rejection::ReturnMismatch
        | Rejection::ReturnIdRequired
        | Rejection::ReturnNotApproved
        | Rejection::TooManyReturns { .. }
        | Rejection::RefundNeedsReason
        | Rejection::AskedTooOften { .. }
        | Rejection::TooManyEvents
        | Rejection::TooManyHolds
        | Rejection::AlreadyShipped
        | Rejection::TooManyEdits
        | Rejection::PaymentMismatch { .. }
        | Rejection::PaymentPlanFixed
        | Rejection::NoSuchParcel => refused,
        Rejection::PaymentNotSecured { is } => refused.with("is", is.code()),
        Rejection::OrderHeld { holds } | Rejection::NoSuchHold { holds } => {
            refused.with("holds", holds.join(","))
        }
        Rejection::InvalidParcelState { is, call } => {
            refused.with("is", is.code()).with("asked", call)
        }
        Rejection::EditPending { edit_id } => refused.with("edit_id", edit_id),
        Rejection::InvalidField { at, .. } => refused.about(*at),
        Rejection::InvalidBillingAddress(error) => {
            refused.about(format!("billing_address.{}", error.0.name()))
        }
        Rejection::EmptyOrder
        | Rejection::TooManyLines
        | Rejection::CurrencyMismatch
        | Rejection::AmountOverflow => refused.about("lines"),
        Rejection::InvalidLine { line, .. } => {
            refused.with("line", line).about(format!("lines[{}]", line.saturating_sub(1)))
        }
        Rejection::InvalidLines { line, at, .. }
        | Rejection::InvalidReturnLines { line, at, .. } => {
            refused.with("line", line).about(at.clone())
        }
        Rejection::InvalidAddress(error) => refused.about(format!("address.{}", error.0.name())),
        Rejection::InvalidContact(error) => {
            refused.about(format!("contact.{}", super::parse::contact_field(*error)))
        }
        Rejection::ReasonRequired => refused.about("reason"),
        Rejection::TextTooLong { field, .. } => refused.about(*field),
        Rejection::InvalidRefund | Rejection::RefundBelowCharges { .. } => refused.about("refund"),
        Rejection::InvalidAmount { at, .. }
        | Rejection::InvalidPayment { at, .. }
        | Rejection::AddressNotOfCountry { at, .. } => refused.about(at.clone()),
        Rejection::TotalsMismatch { field, is } => {
            refused.with("field", field).with("is", is).about(format!("expected.{field}"))
        }
    }
}

/// Adds a reason to a status that did not come from our services.
#[must_use]
pub fn explained(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    // tonic reports an undecodable message as an internal error.
    let undecodable = status.code() == Code::Internal && status.message().contains("decode");
    let (code, reason) = match status.code() {
        _ if undecodable => (Code::InvalidArgument, Reason::MalformedMessage),
        Code::OutOfRange => (Code::InvalidArgument, Reason::MessageTooLarge),
        Code::Unimplemented => (Code::Unimplemented, Reason::Unimplemented),
        Code::Unavailable => (Code::Unavailable, Reason::Unavailable),
        code => (code, Reason::Internal),
    };
    let message = match status.message() {
        "" if code == Code::Unimplemented => "there is no such method",
        "" => "the call failed before it reached a service",
        message => message,
    };
    Refused::new(reason).with_code(code).say(message)
}

/// The caller is not authenticated.
#[must_use]
pub fn unauthenticated() -> Status {
    Refused::new(Reason::Unauthenticated).say("the caller is not authenticated")
}

/// The order never had that version.
#[must_use]
pub fn version_not_found(newest: u64) -> Status {
    Refused::new(Reason::VersionNotFound)
        .with("newest", newest)
        .say("the order does not have that version")
}

/// The ids of several orders have this number. Only callers who may see them all get them.
#[must_use]
pub fn number_ambiguous(orders: &[OrderId]) -> Status {
    let ids: Vec<String> = orders.iter().map(ToString::to_string).collect();
    Refused::new(Reason::OrderNumberAmbiguous)
        .with("order_ids", ids.join(","))
        .say("several orders have ids with this number; name the order by its id")
}

/// The list cannot be searched by this.
#[must_use]
pub fn filter_off(setting: &str) -> Status {
    Refused::new(Reason::FilterOff)
        .with("setting", format!("search-by {setting}"))
        .say("the list of orders cannot be searched by this; an operator has to switch it on")
}

/// The read model did not reach the requested position in time.
#[must_use]
pub fn behind() -> Status {
    Refused::new(Reason::ReadModelBehind)
        .again_after(BEHIND_DELAY)
        .say("the list does not include that position of the journal yet")
}

/// A read of the journal failed.
#[must_use]
pub fn journal(error: &JournalError) -> Status {
    tracing::warn!(%error, "the journal could not be read");
    match error {
        JournalError::Broken { .. } => broken(),
        JournalError::Doubted(_) => doubted(),
        JournalError::Forked { .. } => forked(),
        JournalError::Archived { shard, through, first, file } => {
            service_edge::archived(*shard, *through, *first, file)
        }
        _ => Refused::unavailable(Reason::JournalUnavailable).say("the journal is not available"),
    }
}

/// The journal was set back, and no operator has accepted that yet.
fn doubted() -> Status {
    Refused::unavailable(Reason::JournalDoubted).say(
        "the journal was set back and an operator has not accepted that yet; nothing was appended",
    )
}

/// The reader's position belongs to another history than the journal's.
#[must_use]
pub fn forked() -> Status {
    Refused::new(Reason::HistoryForked)
        .say("the journal was set back and no longer holds what was read there; start again")
}

fn broken() -> Status {
    Refused::new(Reason::JournalBroken).say("the journal is broken; operators have been notified")
}

/// A read model could not be read.
#[must_use]
pub fn read_model(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "a read model could not be read");
    Refused::unavailable(Reason::ReadModelUnavailable).say("the list is not available")
}
