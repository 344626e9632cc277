use std::collections::HashMap;
use std::time::Duration;

use shared_events::contract::{Reason, StatusCode};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{Violation, Violations};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "ordinal";

/// When a caller that met a full queue may try again.
pub const OVERLOADED_DELAY: Duration = Duration::from_millis(250);
/// When a caller that met an unavailable store or process may try again: about the time in which an
/// order is rebuilt, and shorter than a new lease.
pub const UNAVAILABLE_DELAY: Duration = Duration::from_secs(1);

/// A client that takes no message of a stream for this long loses the stream. It can resume where it was.
pub const STREAM_READ_WITHIN: Duration = Duration::from_secs(120);

/// A refused call: the reason, and details for the caller. It becomes a status with a message,
/// which shows neither personal data nor internal errors.
#[derive(Clone, Debug)]
pub struct Refused {
    reason: Reason,
    code: Code,
    metadata: HashMap<String, String>,
    violations: Vec<FieldViolation>,
    field: Option<String>,
    retry_after: Option<Duration>,
}

impl Refused {
    /// A refusal for this reason, with its usual status.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            code: code(reason.status()),
            metadata: HashMap::new(),
            violations: Vec::new(),
            field: None,
            retry_after: None,
        }
    }

    /// A dependency of this process is unavailable for now: the caller may try again soon.
    #[must_use]
    pub fn unavailable(reason: Reason) -> Self {
        Self::new(reason).again_after(UNAVAILABLE_DELAY)
    }

    /// With another status of the reason.
    #[must_use]
    pub const fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// Adds a value for programs.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl ToString) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Names the field at fault: it becomes a violation, with the message of the refusal.
    #[must_use]
    pub fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same call may succeed after this time.
    #[must_use]
    pub const fn again_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The client of a stream read nothing of it for [`STREAM_READ_WITHIN`].
    #[must_use]
    pub fn reader_too_slow() -> Status {
        let minutes = STREAM_READ_WITHIN.as_secs() / 60;
        let message = format!(
            "the stream was not read for {minutes} minutes; it can be resumed where it was"
        );
        Self::unavailable(Reason::ReaderTooSlow).say(&message)
    }

    /// The engine is stopping; the call can be repeated, and a stream resumed, elsewhere or later.
    #[must_use]
    pub fn stopping() -> Status {
        Self::unavailable(Reason::Stopping).say("the engine is stopping")
    }

    /// The status, with this message.
    #[must_use]
    pub fn say(self, message: &str) -> Status {
        let mut details = ErrorDetails::with_error_info(self.reason.code(), DOMAIN, self.metadata);
        let mut violations = self.violations;
        violations.extend(self.field.map(|field| field_violation(field, self.reason, message)));
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        if let Some(delay) = self.retry_after {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(self.code, message, details)
    }

    /// All invalid fields, up to [`Violations::SHOWN_MAX`] of them, because statuses are sent in
    /// headers. The reason is the first one's.
    fn malformed(violations: &Violations) -> Status {
        let mut all = violations.iter();
        let Some(first) = all.next() else {
            return Self::new(Reason::InvalidField).say("the request is malformed");
        };
        let total = 1 + all.count();
        let refusal = Self::new(first.reason).with_code(Code::InvalidArgument);
        let mut refusal = refusal.with("violations", total);
        refusal.violations = violations
            .iter()
            .take(Violations::SHOWN_MAX)
            .map(|Violation { field, reason, description }| {
                field_violation(field.clone(), *reason, description)
            })
            .collect();
        let more = if total > 1 { format!(" (and {} more)", total - 1) } else { String::new() };
        refusal.say(&format!("{}: {}{more}", first.field, first.description))
    }
}

impl From<&Violations> for Status {
    fn from(violations: &Violations) -> Self {
        Refused::malformed(violations)
    }
}

impl From<Violations> for Status {
    fn from(violations: Violations) -> Self {
        Refused::malformed(&violations)
    }
}

/// The next items of a log are in an archive file, and this process reads no archive: `shard`, the
/// last position in the file (`through`), and the one from which on all are here (`first`).
#[must_use]
pub fn archived(shard: u16, through: u64, first: u64, file: &str) -> Status {
    let message = format!(
        "shard {shard} is archived up to position {through} in {file}, which this process does not \
         read: start serve with --archive, or read from position {first} on, without what is before"
    );
    Refused::new(Reason::Archived)
        .with("shard", shard)
        .with("through", through)
        .with("first", first)
        .with("file", file)
        .say(&message)
}

/// An invalid field in the form of all services: its path, a stable code, and a description.
fn field_violation(field: String, reason: Reason, description: &str) -> FieldViolation {
    let reason = reason.code().to_owned();
    FieldViolation { reason, ..FieldViolation::new(field, description) }
}

/// The reason of a status, where it is one of ours.
#[must_use]
pub fn reason_of(status: &Status) -> Option<Reason> {
    Reason::of(&status.get_details_error_info()?.reason)
}

/// Whether a call with this status failed through no fault of its caller
/// ([`StatusCode::is_fault`]).
#[must_use]
pub fn is_fault(code_of_call: Code) -> bool {
    status_code(code_of_call).is_some_and(StatusCode::is_fault)
}

/// The status of a code; none of `OK`, which refuses nothing.
#[must_use]
pub fn status_code(of: Code) -> Option<StatusCode> {
    StatusCode::ALL.into_iter().find(|status| code(*status) == of)
}

const fn code(status: StatusCode) -> Code {
    match status {
        StatusCode::Aborted => Code::Aborted,
        StatusCode::AlreadyExists => Code::AlreadyExists,
        StatusCode::Cancelled => Code::Cancelled,
        StatusCode::DataLoss => Code::DataLoss,
        StatusCode::DeadlineExceeded => Code::DeadlineExceeded,
        StatusCode::FailedPrecondition => Code::FailedPrecondition,
        StatusCode::Internal => Code::Internal,
        StatusCode::InvalidArgument => Code::InvalidArgument,
        StatusCode::NotFound => Code::NotFound,
        StatusCode::OutOfRange => Code::OutOfRange,
        StatusCode::PermissionDenied => Code::PermissionDenied,
        StatusCode::ResourceExhausted => Code::ResourceExhausted,
        StatusCode::Unauthenticated => Code::Unauthenticated,
        StatusCode::Unavailable => Code::Unavailable,
        StatusCode::Unimplemented => Code::Unimplemented,
        StatusCode::Unknown => Code::Unknown,
    }
}
