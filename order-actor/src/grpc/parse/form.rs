use std::fmt::Display;
use std::str::FromStr;

use shared_events::contract::{
    OrderId, ParseIdError, Reason, RequestId, TextError, TextRule, Timestamp,
};

use super::Violations;
use crate::domain::{Command, Rejection, bounds};
use crate::grpc::proto;

/// Options that every command may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The idempotency key of retries.
    pub request_id: Option<RequestId>,
    /// The version that the order must have.
    pub expected_version: Option<u64>,
    /// Whether to validate only and append nothing.
    pub validate_only: bool,
}

/// A parsed command and its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The order.
    pub order_id: OrderId,
    /// The command.
    pub command: Command,
    /// Its options.
    pub options: Options,
}

/// A request being parsed. An invalid field is recorded and yields `None`, so that the remaining
/// fields are checked as well.
#[derive(Default)]
pub(crate) struct Form {
    pub(super) violations: Violations,
}

impl Form {
    pub(crate) fn invalid(&mut self, field: impl Display, description: impl Display) {
        self.violations.wrong(field, description);
    }

    /// The value, if every field is valid.
    pub(crate) fn all<T>(self, value: impl FnOnce() -> Option<T>) -> Result<T, Violations> {
        self.violations.none_or()?;
        value().ok_or_else(|| {
            Violations::one("request", Violations::INVALID_FIELD, "a field is missing")
        })
    }

    /// The command, if every field is valid.
    pub(crate) fn command(
        self,
        order_id: Option<OrderId>,
        options: Options,
        command: impl FnOnce() -> Option<Command>,
    ) -> Result<Parsed, Violations> {
        self.all(|| Some(Parsed { order_id: order_id?, command: command()?, options }))
    }

    pub(crate) fn id<T: FromStr<Err = ParseIdError>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() {
            self.invalid(field, "required: a UUID");
            return None;
        }
        text.parse().map_err(|error: ParseIdError| self.invalid(field, error)).ok()
    }

    pub(crate) fn optional_id<T: FromStr<Err = ParseIdError>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() { None } else { self.id(field, text) }
    }

    /// The id given, or `chosen` if there is none.
    pub(crate) fn id_or<T: FromStr<Err = ParseIdError>>(
        &mut self,
        field: &str,
        text: &str,
        chosen: impl FnOnce() -> T,
    ) -> Option<T> {
        if text.is_empty() { Some(chosen()) } else { self.id(field, text) }
    }

    pub(crate) fn options(&mut self, options: Option<&proto::CommandOptions>) -> Options {
        let Some(options) = options else { return Options::default() };
        let request_id = self.optional_id("options.request_id", &options.request_id);
        let by_etag = match options.etag.as_str() {
            "" => None,
            etag => {
                let version = etag.parse::<u64>().ok();
                if version.is_none() {
                    self.invalid("options.etag", "not an etag of an order");
                }
                version
            }
        };
        if options.expected_version.zip(by_etag).is_some_and(|(version, etag)| version != etag) {
            self.invalid("options.etag", "differs from expected_version");
        }
        Options {
            request_id,
            expected_version: options.expected_version.or(by_etag),
            validate_only: options.validate_only,
        }
    }

    pub(crate) fn reason(&mut self, field: &'static str, text: String) -> Option<String> {
        if text.trim().is_empty() {
            let code = Rejection::ReasonRequired.reason();
            self.violations.add(field, code, Rejection::ReasonRequired);
            return None;
        }
        self.text(field, text)
    }

    /// A free text of several lines.
    pub(crate) fn text(&mut self, field: &'static str, text: String) -> Option<String> {
        self.checked_text(field, &text, TextRule::lines(bounds::TEXT_MAX))
    }

    pub(crate) fn line(&mut self, field: &'static str, text: String, max: usize) -> Option<String> {
        self.checked_text(field, &text, TextRule::line(max))
    }

    fn checked_text(&mut self, field: &'static str, text: &str, rule: TextRule) -> Option<String> {
        match rule.stored(text) {
            Ok(text) => return Some(text),
            Err(error @ TextError::TooLong { .. }) => {
                self.violations.add(field, Reason::TextTooLong, error);
            }
            Err(error @ TextError::Hidden { .. }) => self.invalid(field, error),
        }
        None
    }

    /// An instant, cut to the microsecond; none if absent or invalid.
    pub(crate) fn time(
        &mut self,
        field: &str,
        time: Option<prost_types::Timestamp>,
    ) -> Option<Timestamp> {
        let time = time?;
        let instant = service_edge::time::instant(&time);
        if instant.is_none() {
            self.invalid(field, "an instant of the years 1 to 9999 with nanos of 0 to 999,999,999");
        }
        instant
    }
}
