//! Why a command failed, and its exit code.

use std::fmt;
use std::process::ExitCode;

use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub use crate::edge::code_name;

use crate::edge::tls::{NotConnected, TLS_ONLY};

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The command is invalid; the server was not called.
    Usage(String),
    /// The same, as text from the parser of the command line: several lines, from `error: ` on.
    CommandLine(String),
    /// The server refused, or did not answer.
    Status(Box<Status>),
    /// The command is not possible in the current state; has a stable code.
    Refused {
        /// The code.
        reason: String,
        /// Why.
        message: String,
    },
    /// Something else failed on this side.
    Other(anyhow::Error),
}

impl Failure {
    /// An invalid command, with the reason.
    #[must_use]
    pub fn usage(error: &anyhow::Error) -> Self {
        Self::Usage(causes(error))
    }

    /// 1: refused; 2: the command is invalid; 3: the server is unavailable.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::CommandLine(_) => 2,
            Self::Status(status) => match status.code() {
                Code::InvalidArgument => 2,
                Code::Unavailable | Code::DeadlineExceeded => 3,
                _ => 1,
            },
            Self::Refused { .. } | Self::Other(_) => 1,
        })
    }

    /// With a hint, where nobody knows whether the call was carried out.
    #[must_use]
    pub fn unless_decided(self, hint: &str) -> Self {
        let Self::Status(status) = self else { return self };
        let unknown = matches!(
            status.code(),
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Cancelled
                | Code::Unknown
                | Code::Internal
        );
        if !unknown {
            return Self::Status(status);
        }
        let message = format!("{}; {hint}", status.message());
        let (code, details) = (status.code(), status.details().to_vec().into());
        let metadata = status.metadata().clone();
        Self::Status(Box::new(Status::with_details_and_metadata(code, message, details, metadata)))
    }

    /// The stable code.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Usage(_) | Self::CommandLine(_) => "USAGE".to_owned(),
            Self::Status(status) => status
                .get_details_error_info()
                .map_or_else(|| code_name(status.code()).to_owned(), |info| info.reason),
            Self::Refused { reason, .. } => reason.clone(),
            Self::Other(_) => "FAILED".to_owned(),
        }
    }

    fn violations(&self) -> Vec<(String, String)> {
        let Self::Status(status) = self else { return Vec::new() };
        status.get_details_bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations.into_iter().map(|v| (v.field, v.description)).collect()
        })
    }

    fn message(&self) -> String {
        match self {
            Self::Usage(message) => message.clone(),
            // The error without the general usage text.
            Self::CommandLine(text) => {
                let text = text.strip_prefix("error: ").unwrap_or(text);
                let parts = text.split("\n\n").map(str::trim);
                let general = |part: &&str| {
                    part.starts_with("Usage:") || part.starts_with("For more information")
                };
                parts.filter(|part| !general(part)).collect::<Vec<_>>().join("; ")
            }
            Self::Status(status) => status.message().to_owned(),
            Self::Refused { message, .. } => message.clone(),
            Self::Other(error) => causes(error),
        }
    }

    /// As programs read it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut error = json!({
            "reason": self.reason(),
            "message": self.message(),
            "field_violations": self.violations().into_iter()
                .map(|(field, description)| json!({"field": field, "description": description}))
                .collect::<Vec<_>>(),
        });
        if let Self::Status(status) = self {
            error["status"] = json!(code_name(status.code()));
            if let Some(info) = status.get_details_error_info() {
                error["metadata"] = json!(info.metadata);
            }
            if let Some(delay) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
                error["retry_after_ms"] =
                    json!(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
            }
        }
        error
    }
}

impl Failure {
    /// For people: the first line is the reason, the others name each invalid field once.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        if let Self::CommandLine(text) = self {
            return text.trim_end().lines().map(str::to_owned).collect();
        }
        let (reason, message) = (self.reason(), self.message());
        let fields = self.violations().into_iter().filter_map(|(field, description)| {
            let prefix = format!("{reason}: ");
            let description = description.strip_prefix(&prefix).unwrap_or(&description);
            let repeats = message.contains(&field) && message.contains(description);
            (!repeats).then(|| format!("  {field}: {description}"))
        });
        std::iter::once(format!("error: {reason}: {message}")).chain(fields).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl std::error::Error for Failure {}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let status = match of_tls(&status) {
            Some(what) => Status::unavailable(what),
            None => status,
        };
        Self::Status(Box::new(status))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// What is wrong between two processes of which one speaks TLS, if that is why there is no answer.
pub(super) fn of_tls(status: &Status) -> Option<String> {
    if let Some(why) = NotConnected::within(status) {
        return why.is_tls().then(|| why.to_string());
    }
    let texts: Vec<String> = anyhow::Chain::new(status).map(ToString::to_string).collect();
    if texts.iter().any(|text| text.contains(TLS_ONLY)) {
        return Some(TLS_ONLY.to_owned());
    }
    // A server that wants another client certificate says so after the handshake, or only closes.
    let broke = match status.code() {
        Code::Unknown => status.message() == "transport error",
        // Before the call was sent.
        Code::Cancelled => status.message() == "operation was canceled",
        _ => false,
    };
    broke.then(|| {
        let last = texts.last().map(String::as_str).unwrap_or_default();
        format!(
            "the connection broke ({last}); by TLS this may mean that the engine wants a client \
             certificate of an authority that it knows (--cert, --cert-key)"
        )
    })
}

/// An error and its causes, each once: many libraries repeat their cause in their own text.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{colon}{cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn code_of(failure: &Failure) -> String {
        format!("{:?}", failure.exit_code())
    }

    #[test]
    fn the_exit_code_depends_on_the_kind_of_failure() {
        let is = |failure: Failure, code: u8| {
            assert_eq!(code_of(&failure), format!("{:?}", ExitCode::from(code)), "{failure}");
        };
        is(Failure::Usage("x".to_owned()), 2);
        is(Status::invalid_argument("x").into(), 2);
        is(Status::unavailable("x").into(), 3);
        is(Status::deadline_exceeded("x").into(), 3);
        is(Status::failed_precondition("x").into(), 1);
        is(Status::not_found("x").into(), 1);
        is(anyhow::anyhow!("x").into(), 1);
    }

    #[test]
    fn a_cause_that_is_in_the_text_already_is_not_repeated() {
        let error = anyhow::anyhow!("refused").context("connect: refused").context("orders.db");
        assert_eq!(Failure::from(error).to_string(), "error: FAILED: orders.db: connect: refused");
    }

    #[test]
    fn an_error_shows_its_stable_code_and_every_field() {
        let mut details = ErrorDetails::with_error_info("EMPTY_ORDER", "ordinal", HashMap::new());
        details.add_bad_request_violation("lines", "is empty");
        let status = Status::with_error_details(Code::InvalidArgument, "no lines", details);
        let failure = Failure::from(status);
        assert_eq!(failure.to_string(), "error: EMPTY_ORDER: no lines\n  lines: is empty");
        // A description that the message already contains is not repeated.
        let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "ordinal", HashMap::new());
        details.add_bad_request_violation("customer_id", "INVALID_FIELD: is not a UUID");
        let message = "customer_id: is not a UUID";
        let status = Status::with_error_details(Code::InvalidArgument, message, details);
        let text = Failure::from(status).to_string();
        assert_eq!(text, "error: INVALID_FIELD: customer_id: is not a UUID");
        let json = failure.to_json();
        assert_eq!(json["reason"], "EMPTY_ORDER");
        assert_eq!(json["field_violations"][0]["field"], "lines");
    }

    #[test]
    fn a_hint_is_for_calls_that_may_have_been_carried_out() {
        let told = |status: Status| Failure::from(status).unless_decided("again: --id 1").message();
        assert_eq!(told(Status::unavailable("no answer")), "no answer; again: --id 1");
        assert_eq!(told(Status::not_found("no account")), "no account");
    }
}
