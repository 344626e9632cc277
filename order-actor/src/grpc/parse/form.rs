use std::fmt::Display;
use std::str::FromStr;

use shared_events::contract::{
    OrderId, ParseIdError, Reason, RequestId, TextError, TextRule, Timestamp,
};

use super::Violations;
use crate::domain::{Command, Rejection, bounds};
use crate::grpc::proto;

/// What every command may carry besides what it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What makes a retry recognisable.
    pub request_id: Option<RequestId>,
    /// The version the caller believes the order to have.
    pub expected_version: Option<u64>,
    /// Only say what would happen.
    pub validate_only: bool,
}

/// A command that was taken apart, and the order it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Which order.
    pub order_id: OrderId,
    /// What is asked.
    pub command: Command,
    /// What comes with it.
    pub options: Options,
}

/// A request being taken apart. A part that is not well formed is noted and gives none, so that the
/// rest is looked at as well.
#[derive(Default)]
pub(crate) struct Form {
    pub(super) violations: Violations,
}

impl Form {
    pub(crate) fn wrong(&mut self, field: impl Into<String>, description: impl Display) {
        self.violations.add(field, Violations::INVALID_FIELD, description);
    }

    /// The whole, where nothing is wrong with any part.
    pub(crate) fn all<T>(self, whole: impl FnOnce() -> Option<T>) -> Result<T, Violations> {
        self.violations.none_or()?;
        whole().ok_or_else(|| {
            Violations::one("request", Violations::INVALID_FIELD, "a part of it is missing")
        })
    }

    /// The command, where nothing is wrong with any part of it.
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
            self.wrong(field, "required: a UUID");
            return None;
        }
        text.parse().map_err(|error: ParseIdError| self.wrong(field, error)).ok()
    }

    pub(crate) fn optional_id<T: FromStr<Err = ParseIdError>>(
        &mut self,
        field: &str,
        text: &str,
    ) -> Option<T> {
        if text.is_empty() { None } else { self.id(field, text) }
    }

    /// The id given, or else the one that is chosen.
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
                    self.wrong("options.etag", "not an etag of an order");
                }
                version
            }
        };
        if options.expected_version.zip(by_etag).is_some_and(|(version, etag)| version != etag) {
            self.wrong("options.etag", "names another version than expected_version");
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

    /// What people write.
    pub(crate) fn text(&mut self, field: &'static str, text: String) -> Option<String> {
        self.written(field, text, TextRule::lines(bounds::TEXT_MAX))
    }

    pub(crate) fn line(&mut self, field: &'static str, text: String, max: usize) -> Option<String> {
        self.written(field, text, TextRule::line(max))
    }

    fn written(&mut self, field: &'static str, text: String, rule: TextRule) -> Option<String> {
        match rule.check(&text) {
            Ok(()) => return Some(text),
            Err(error @ TextError::TooLong { .. }) => {
                self.violations.add(field, Reason::TextTooLong, error);
            }
            Err(error @ TextError::Hidden { .. }) => self.wrong(field, error),
        }
        None
    }

    /// An instant, cut to the microsecond; none where it is absent or not well formed.
    pub(crate) fn time(
        &mut self,
        field: &str,
        time: Option<prost_types::Timestamp>,
    ) -> Option<Timestamp> {
        let time = time?;
        let micros = time
            .seconds
            .checked_mul(1_000_000)
            .and_then(|micros| micros.checked_add(i64::from(time.nanos.div_euclid(1_000))))
            .filter(|_| (0..1_000_000_000).contains(&time.nanos))
            .filter(|micros| (Timestamp::MIN.micros()..=Timestamp::MAX.micros()).contains(micros));
        if micros.is_none() {
            self.wrong(field, "an instant of the years 1 to 9999 with nanos of 0 to 999,999,999");
        }
        micros.map(Timestamp::from_micros)
    }
}
