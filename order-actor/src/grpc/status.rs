//! Every refusal → one gRPC status. One table; the texts show neither personal data nor what went
//! wrong inside.

use std::collections::HashMap;
use std::time::Duration;

use shared_events::stream::DatabaseError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::parse::{Violation, Violations};
use crate::actor::Refusal;
use crate::domain::Rejection;
use crate::journal::JournalError;

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "ordinal";

/// The reason of a refusal before anything was done, because there is too much under way.
pub const OVERLOADED: &str = "OVERLOADED";

/// Metadata of a status that another node should have been asked: its address.
pub const OWNER_HEADER: &str = "ordinal-owner";
/// Metadata of a call that another node carried here: it believes that we have the shard.
pub const FORWARDED_HEADER: &str = "ordinal-forwarded";

/// After this a client that found a queue full may ask again.
const OVERLOADED_DELAY: Duration = Duration::from_millis(250);
/// After this a client may ask again that found the journal away: about as long as an order takes
/// to be rebuilt, and short of a new lease.
const AWAY_DELAY: Duration = Duration::from_secs(1);
/// After this a list may include what it did not.
const BEHIND_DELAY: Duration = Duration::from_millis(500);

/// A row of the table.
struct Row {
    code: Code,
    reason: &'static str,
    metadata: Vec<(&'static str, String)>,
    field: Option<String>,
    retry_after: Option<Duration>,
}

const fn row(code: Code, reason: &'static str) -> Row {
    Row { code, reason, metadata: Vec::new(), field: None, retry_after: None }
}

impl Row {
    fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    const fn again_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    fn say(self, message: &str) -> Status {
        let metadata: HashMap<String, String> =
            self.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(self.reason, DOMAIN, metadata);
        if let Some(field) = self.field {
            details.set_bad_request(vec![violation(field, self.reason, message)]);
        }
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(self.code, message, details)
    }
}

/// The status of a refused command.
#[must_use]
pub fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Rejected(rejection) => rejected(rejection).say(&rejection.to_string()),
        Refusal::VersionMismatch { expected, actual } => row(Code::Aborted, "VERSION_MISMATCH")
            .with("expected", expected)
            .with("actual", actual)
            .say(&refusal.to_string()),
        Refusal::RequestIdReused => row(Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED")
            .say("this request id was used for another command"),
        Refusal::Overloaded => row(Code::ResourceExhausted, OVERLOADED)
            .again_after(OVERLOADED_DELAY)
            .say("too many calls are waiting"),
        Refusal::DeadlineExceeded => row(Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
            .say("the deadline passed before there was an answer"),
        Refusal::NotOwner { shard, owner } => not_owner(*shard, owner.as_deref()),
        Refusal::Frozen { shard, reason } => away("SHARD_FROZEN")
            .with("shard", shard)
            .with("reason", reason)
            .say("an operator has closed this part of the journal; nothing was appended"),
        Refusal::Unavailable(_) => {
            away("JOURNAL_UNAVAILABLE").say("the journal is not available; nothing was appended")
        }
        Refusal::Doubted(_) => doubted(),
        Refusal::OutcomeUnknown(_) => away("OUTCOME_UNKNOWN").say(
            "whether it was done is not known yet; ask again with the same order id or request id",
        ),
        Refusal::TooLarge => row(Code::InvalidArgument, "EVENT_TOO_LARGE")
            .say("the order is larger than one event may be"),
        Refusal::TooManyEvents => row(Code::FailedPrecondition, "TOO_MANY_EVENTS")
            .say("the order has as many events as one may have"),
        Refusal::Archived { file } => order_archived(file),
        Refusal::Quarantined(_) => row(Code::FailedPrecondition, "ORDER_QUARANTINED")
            .say("the history of this order is broken; operators have been told"),
    }
}

/// The order is in a file, and this node has not been told where such files are.
fn order_archived(file: &str) -> Status {
    row(Code::FailedPrecondition, "ORDER_ARCHIVED").with("file", file).say(
        "the order is over and has left for an archive that this node does not read (--archive)",
    )
}

/// What comes next is in a file, and this node has not been told where such files are.
fn archived(shard: u16, through: u64, file: &str) -> Status {
    row(Code::FailedPrecondition, "ARCHIVED")
        .with("shard", shard)
        .with("through", through)
        .with("file", file)
        .say("what comes next has left for an archive that this node does not read (--archive)")
}

/// Another node answers for the order. The one that a client asked carries the call there, if it
/// finds the owner's address in the status.
fn not_owner(shard: u16, owner: Option<&str>) -> Status {
    let row = away("SHARD_NOT_HERE").with("shard", shard);
    let row = match owner {
        Some(owner) => row.with("owner", owner),
        None => row,
    };
    let mut status =
        row.say("another node has this part of the journal, or none has yet; nothing was appended");
    if let Some(owner) = owner.and_then(|owner| owner.parse().ok()) {
        status.metadata_mut().insert(OWNER_HEADER, owner);
    }
    status
}

fn rejected(rejection: &Rejection) -> Row {
    let reason = rejection.code();
    match rejection {
        Rejection::NotFound => row(Code::NotFound, reason),
        Rejection::AlreadyExists { existing, differs } => row(Code::AlreadyExists, reason)
            .with("existing", existing.code())
            .with("differs", differs.join(",")),
        Rejection::Forbidden { role } => {
            row(Code::PermissionDenied, reason).with("role", role.code())
        }
        Rejection::ForbiddenReason { role, reason: given } => row(Code::PermissionDenied, reason)
            .with("role", role.code())
            .with("given", given.code()),
        Rejection::InvalidTransition { from, asked } => row(Code::FailedPrecondition, reason)
            .with("from", from.code())
            .with("asked", asked)
            .with("allowed", from.allows().join(",")),
        Rejection::RefundTooLarge { most } => {
            row(Code::FailedPrecondition, reason).with("most", most)
        }
        Rejection::ReturnWindowExpired
        | Rejection::ReturnMismatch
        | Rejection::RefundNeedsReason
        | Rejection::AskedTooOften { .. }
        | Rejection::TooManyEvents => row(Code::FailedPrecondition, reason),
        Rejection::EmptyOrder
        | Rejection::TooManyLines
        | Rejection::CurrencyMismatch
        | Rejection::AmountOverflow => row(Code::InvalidArgument, reason).about("lines"),
        Rejection::InvalidLine { line, .. } => row(Code::InvalidArgument, reason)
            .with("line", line)
            .about(format!("lines[{}]", line.saturating_sub(1))),
        Rejection::InvalidLines { line, at, .. }
        | Rejection::InvalidReturnLines { line, at, .. } => {
            row(Code::InvalidArgument, reason).with("line", line).about(at.clone())
        }
        Rejection::InvalidAddress(error) => {
            row(Code::InvalidArgument, reason).about(format!("address.{}", error.field()))
        }
        Rejection::InvalidContact(error) => row(Code::InvalidArgument, reason)
            .about(format!("contact.{}", super::parse::contact_field(*error))),
        Rejection::ReasonRequired => row(Code::InvalidArgument, reason).about("reason"),
        Rejection::TextTooLong { field, .. } => row(Code::InvalidArgument, reason).about(*field),
        Rejection::InvalidRefund => row(Code::InvalidArgument, reason).about("refund"),
    }
}

const fn away(reason: &'static str) -> Row {
    row(Code::Unavailable, reason).again_after(AWAY_DELAY)
}

/// A field at fault, as every service tells it: its path, a stable code, and words.
fn violation(field: String, reason: &str, description: &str) -> FieldViolation {
    FieldViolation { reason: reason.to_owned(), ..FieldViolation::new(field, description) }
}

/// The status of a malformed request: every field at fault, up to [`Violations::SHOWN_MAX`] of them,
/// because statuses travel in headers. The reason is the first one's.
#[must_use]
pub fn malformed(violations: &Violations) -> Status {
    let reason = violations.iter().next().map_or(Violations::INVALID_FIELD, |first| first.reason);
    let shown: Vec<FieldViolation> = violations
        .iter()
        .take(Violations::SHOWN_MAX)
        .map(|violation| {
            let Violation { field, reason, description } = violation;
            self::violation(field.clone(), reason, description)
        })
        .collect();
    let total = violations.iter().count();
    let metadata = HashMap::from([("violations".to_owned(), total.to_string())]);
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    details.set_bad_request(shown);
    let message = violations.iter().next().map_or_else(
        || "the request is malformed".to_owned(),
        |first| match total {
            1 => format!("{}: {}", first.field, first.description),
            _ => format!("{}: {} (and {} more)", first.field, first.description, total - 1),
        },
    );
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A status that arose outside our services, with a reason as every status has one.
#[must_use]
pub fn explained(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    // tonic calls bytes that are no such message an error of the server's own.
    let undecodable = status.code() == Code::Internal && status.message().contains("decode");
    let (code, reason) = match status.code() {
        _ if undecodable => (Code::InvalidArgument, "MALFORMED_MESSAGE"),
        Code::OutOfRange => (Code::InvalidArgument, "MESSAGE_TOO_LARGE"),
        Code::Unimplemented => (Code::Unimplemented, "UNIMPLEMENTED"),
        Code::Unavailable => (Code::Unavailable, "UNAVAILABLE"),
        code => (code, "INTERNAL"),
    };
    let message = match status.message() {
        "" if code == Code::Unimplemented => "there is no such method here",
        "" => "the call failed before any service saw it",
        message => message,
    };
    row(code, reason).say(message)
}

/// Nobody has proved who calls.
#[must_use]
pub fn unauthenticated() -> Status {
    row(Code::Unauthenticated, "UNAUTHENTICATED").say("the caller is not known")
}

/// The order never had that version.
#[must_use]
pub fn version_not_found(newest: u64) -> Status {
    row(Code::NotFound, "VERSION_NOT_FOUND")
        .with("newest", newest)
        .say("the order does not have that version")
}

/// The read model did not include in time what it was asked to include.
#[must_use]
pub fn behind() -> Status {
    row(Code::Unavailable, "READ_MODEL_BEHIND")
        .again_after(BEHIND_DELAY)
        .say("the list does not include that place of the journal yet")
}

/// The engine is being stopped; the stream can go on elsewhere or later.
#[must_use]
pub fn stopping() -> Status {
    away("STOPPING").say("the engine is stopping")
}

/// The client of a stream took nothing of it for minutes.
#[must_use]
pub fn reader_too_slow() -> Status {
    row(Code::ResourceExhausted, "READER_TOO_SLOW")
        .again_after(AWAY_DELAY)
        .say("the stream was not read for 2 minutes; it can go on where it was")
}

/// A read of the journal failed.
#[must_use]
pub fn journal(error: &JournalError) -> Status {
    tracing::warn!(%error, "the journal could not be read");
    match error {
        JournalError::Broken { .. } => broken(),
        JournalError::Doubted(_) => doubted(),
        JournalError::Forked { .. } => forked(),
        JournalError::Archived { shard, through, file } => archived(*shard, *through, file),
        _ => away("JOURNAL_UNAVAILABLE").say("the journal is not available"),
    }
}

/// The journal was set back, and nobody has accepted that yet.
fn doubted() -> Status {
    away("JOURNAL_DOUBTED").say(
        "the journal was set back and an operator has not accepted that yet; nothing was appended",
    )
}

/// A place that a reader names is of another history than the journal's.
#[must_use]
pub fn forked() -> Status {
    row(Code::OutOfRange, "HISTORY_FORKED")
        .say("the journal does not hold what was read there: it was set back; begin again")
}

fn broken() -> Status {
    row(Code::DataLoss, "JOURNAL_BROKEN").say("the journal is broken; operators have been told")
}

/// A read model could not be read.
#[must_use]
pub fn read_model(error: &DatabaseError) -> Status {
    tracing::warn!(%error, "a read model could not be read");
    away("READ_MODEL_UNAVAILABLE").say("the list is not available")
}
