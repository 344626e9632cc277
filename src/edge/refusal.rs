//! Statuses of this package's own services: each with an `ErrorInfo` of domain `ordinal`.

use std::collections::HashMap;
use std::time::Duration;

use order_actor::grpc::parse::Violations;
use order_actor::grpc::status::{self, OVERLOADED};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// After this a caller may ask again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// After this a caller may ask again that was refused because there was too much under way.
pub(crate) const OVERLOADED_DELAY: Duration = Duration::from_millis(250);

/// A refusal with its reason.
pub(crate) fn refused(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "ordinal", HashMap::new());
    Status::with_error_details(code, message, details)
}

/// A field that is not as it should be: its path, and what a right one is.
pub(crate) fn violation(field: &str, description: &str) -> Status {
    let reason = Violations::INVALID_FIELD;
    status::malformed(&Violations::one(field, reason, description))
}

/// Something that this process needs is away for now.
pub(crate) fn away(reason: &str, message: &str) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, "ordinal", HashMap::new());
    details.set_retry_info(Some(RETRY_DELAY));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// Nothing was begun, because there is too much under way; which bound was met is told.
pub(crate) fn overloaded(bound: &str) -> Status {
    let told = HashMap::from([("bound".to_owned(), bound.to_owned())]);
    let mut details = ErrorDetails::with_error_info(OVERLOADED, "ordinal", told);
    details.set_retry_info(Some(OVERLOADED_DELAY));
    let message = format!("too many calls are waiting: {bound}");
    Status::with_error_details(Code::ResourceExhausted, message, details)
}
