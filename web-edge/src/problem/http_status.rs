use http::StatusCode;
use shared_events::contract::{self as contract, Reason};
use tonic::Code;

/// The status with which a reason is usually answered.
pub(crate) fn of_reason(reason: Reason) -> StatusCode {
    of_code(code(reason.status()), Some(reason), false)
}

/// Every status that a reason is answered with, the usual one first.
#[must_use]
pub fn statuses_of(reason: Reason) -> Vec<StatusCode> {
    let mut all = vec![of_reason(reason)];
    for status in reason.statuses() {
        for conditional in [false, true] {
            let status = of_code(code(*status), Some(reason), conditional);
            if !all.contains(&status) {
                all.push(status);
            }
        }
    }
    all
}

/// The status of an answer. A reason of its own goes first; `conditional` calls had a precondition
/// in a header.
pub(crate) fn of_code(code: Code, reason: Option<Reason>, conditional: bool) -> StatusCode {
    let own = reason.and_then(|reason| {
        Some(match reason {
            Reason::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Reason::HostNotAllowed => StatusCode::MISDIRECTED_REQUEST,
            Reason::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Reason::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::MessageTooSlow => StatusCode::REQUEST_TIMEOUT,
            Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Reason::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Reason::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Reason::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Reason::VersionMismatch | Reason::OnHandMismatch if conditional => {
                StatusCode::PRECONDITION_FAILED
            }
            _ => return None,
        })
    });
    own.unwrap_or_else(|| of_grpc(code))
}

fn of_grpc(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition | Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        // The client went away. Nobody reads it; it says that nothing of ours failed.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

const fn code(status: contract::StatusCode) -> Code {
    use contract::StatusCode as Of;
    match status {
        Of::Aborted => Code::Aborted,
        Of::AlreadyExists => Code::AlreadyExists,
        Of::Cancelled => Code::Cancelled,
        Of::DataLoss => Code::DataLoss,
        Of::DeadlineExceeded => Code::DeadlineExceeded,
        Of::FailedPrecondition => Code::FailedPrecondition,
        Of::Internal => Code::Internal,
        Of::InvalidArgument => Code::InvalidArgument,
        Of::NotFound => Code::NotFound,
        Of::OutOfRange => Code::OutOfRange,
        Of::PermissionDenied => Code::PermissionDenied,
        Of::ResourceExhausted => Code::ResourceExhausted,
        Of::Unauthenticated => Code::Unauthenticated,
        Of::Unavailable => Code::Unavailable,
        Of::Unimplemented => Code::Unimplemented,
        Of::Unknown => Code::Unknown,
    }
}
