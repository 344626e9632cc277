//! What Stripe's answers mean.

use reqwest::StatusCode;
use serde_json::Value;
use shared_events::contract::{Currency, Money, Timestamp};

use super::CAPTURE_FIELD;
use crate::webhook::{code, seconds};
use crate::{Answer, Dialect, OurReference, PspReference};

pub(super) fn refused(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned(), repairable: false }
}

fn unclear() -> Answer {
    Answer::Unknown { why: "the answer is not what it must be".to_owned() }
}

/// What an answer that is no success means.
pub(super) fn of_error(status: StatusCode, body: &Value) -> Answer {
    let error = body.get("error");
    let of = |field: &str| error.and_then(|error| error.get(field)).and_then(Value::as_str);
    let why = || code(of("code").or_else(|| of("type")).unwrap_or("refused"));
    match status.as_u16() {
        402 => {
            let why = of("decline_code").or_else(|| of("code")).unwrap_or("card_declined");
            Answer::Declined { code: code(why) }
        }
        // The same key is being worked on, or it is not known by whom: it may be done already.
        409 => Answer::Unknown { why: "it answered 409".to_owned() },
        429 => Answer::Refused { code: "rate_limited".to_owned(), repairable: true },
        // A wrong key of ours is mended by an operator.
        401 | 403 => Answer::Refused { code: "not_authenticated".to_owned(), repairable: true },
        400..=499 => Answer::Refused { code: why(), repairable: false },
        other => Answer::Unknown { why: format!("it answered {other}") },
    }
}

/// A payment intent.
pub(super) struct Intent(Value, PspReference, Currency);

impl Intent {
    pub(super) fn read(body: &Value) -> Result<Self, Answer> {
        let text = |field: &str| body.get(field).and_then(Value::as_str).ok_or_else(unclear);
        let reference = text("id")?.parse().map_err(|_| unclear())?;
        let currency = text("currency")?.to_ascii_uppercase();
        let currency = Currency::recorded(&currency).map_err(|_| unclear())?;
        text("status")?;
        Ok(Self(body.clone(), reference, currency))
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }

    fn metadata(&self, field: &str) -> Option<&str> {
        self.0.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str)
    }

    /// The charge, which may be whole or its id only.
    fn charge(&self) -> Option<PspReference> {
        let charge = self.0.get("latest_charge")?;
        charge.as_str().or_else(|| charge.get("id")?.as_str())?.parse().ok()
    }

    /// Until when it can be captured, where the charge says so.
    fn capture_before(&self) -> Option<Timestamp> {
        let path = "/latest_charge/payment_method_details/card/capture_before";
        seconds(self.0.pointer(path)?.as_i64()?)
    }

    fn money(&self, amount: i64) -> Option<Money> {
        Dialect::Stripe.money(amount, self.2).ok()
    }

    /// An amount of it as Stripe counts; 0 where it has none.
    fn sum(&self, field: &str) -> i64 {
        self.0.get(field).and_then(Value::as_i64).unwrap_or(0)
    }

    fn pending(&self) -> Answer {
        Answer::Pending { reference: self.1.clone() }
    }

    fn failure(&self) -> Answer {
        let error = self.0.get("last_payment_error");
        let of = |field: &str| error.and_then(|error| error.get(field)).and_then(Value::as_str);
        let why = of("decline_code").or_else(|| of("code")).unwrap_or("card_declined");
        Answer::Declined { code: code(why) }
    }

    /// Whether an operation of ours made it.
    pub(super) fn is_of(&self, our: OurReference) -> bool {
        self.metadata("ordinal") == Some(our.0.to_string().as_str())
    }

    /// Whether nothing of it is reserved any more, and not since all of it was taken. Of one that was
    /// taken in part the rest goes back, and it is called a success; one that somebody else took of
    /// was not given back by us.
    pub(super) fn is_given_back(&self) -> bool {
        let received = self.sum("amount_received");
        match self.text("status") {
            Some("canceled") => true,
            Some("succeeded") => received < self.sum("amount") && received == self.taken_by_us(),
            _ => false,
        }
    }

    /// What our captures took: each has its amount in the metadata.
    fn taken_by_us(&self) -> i64 {
        let fields = self.0.get("metadata").and_then(Value::as_object).into_iter().flatten();
        let captures = fields.filter(|(field, _)| field.starts_with(CAPTURE_FIELD));
        let amounts = captures.filter_map(|(_, amount)| amount.as_str()?.parse::<i64>().ok());
        amounts.fold(0, i64::saturating_add)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.metadata(field).is_some()
    }

    /// As the answer to an authorisation.
    pub(super) fn authorized(&self) -> Answer {
        match self.text("status") {
            Some("requires_capture" | "succeeded") => {
                // What stands, or stood before it was captured.
                let amount = match self.sum("amount_received") {
                    0 => self.sum("amount_capturable"),
                    _ => self.sum("amount"),
                };
                match self.money(amount) {
                    Some(amount) if amount.minor > 0 => {
                        let (reference, valid_until) = (self.1.clone(), self.capture_before());
                        Answer::Done { reference, amount, valid_until }
                    }
                    _ => unclear(),
                }
            }
            Some("processing") => self.pending(),
            Some("requires_action") => {
                let redirect = self.0.pointer("/next_action/redirect_to_url/url");
                match redirect.and_then(Value::as_str) {
                    Some(url) => {
                        Answer::ActionRequired { reference: self.1.clone(), url: url.to_owned() }
                    }
                    None => self.pending(),
                }
            }
            Some("canceled") => Answer::Declined { code: "canceled".to_owned() },
            _ => self.failure(),
        }
    }

    /// As the answer to a capture, whose amount is in this field of the metadata.
    pub(super) fn captured(&self, field: &str) -> Answer {
        let amount = self.metadata(field).and_then(|amount| amount.parse().ok());
        let amount = amount.and_then(|amount| self.money(amount));
        match (self.text("status"), amount, self.charge()) {
            (Some("processing"), ..) => self.pending(),
            (Some("succeeded" | "requires_capture"), Some(amount), Some(reference)) => {
                Answer::Done { reference, amount, valid_until: None }
            }
            (Some("requires_payment_method"), ..) => self.failure(),
            _ => unclear(),
        }
    }

    /// All that was taken of it; none where nothing was.
    pub(super) fn taken(&self) -> Option<Answer> {
        let taken = self.sum("amount_received");
        let amount = self.money(taken).filter(|_| taken > 0)?;
        Some(Answer::Done { reference: self.charge()?, amount, valid_until: None })
    }

    /// As the answer to a void.
    pub(super) fn voided(&self) -> Answer {
        match self.money(self.sum("amount").saturating_sub(self.sum("amount_received"))) {
            Some(amount) if self.is_given_back() => {
                Answer::Done { reference: self.1.clone(), amount, valid_until: None }
            }
            _ => unclear(),
        }
    }

    /// As the answer to an operation of ours: the authorisation, or a capture.
    pub(super) fn of(&self, our: OurReference, field: &str) -> Answer {
        let made = self.metadata("ordinal") == Some(our.0.to_string().as_str());
        if made { self.authorized() } else { self.captured(field) }
    }
}

/// The amount of a refund, or of a payout.
fn amount_of(body: &Value) -> Option<Money> {
    let currency = body.get("currency").and_then(Value::as_str)?.to_ascii_uppercase();
    let currency = Currency::recorded(&currency).ok()?;
    Dialect::Stripe.money(body.get("amount").and_then(Value::as_i64)?, currency).ok()
}

/// What a payout means. One that is on its way has not arrived.
pub(super) fn of_payout(body: &Value) -> Answer {
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let reference: Option<PspReference> = text("id").and_then(|id| id.parse().ok());
    match (text("status"), reference, amount_of(body)) {
        (Some("paid"), Some(reference), Some(amount)) => {
            Answer::Done { reference, amount, valid_until: None }
        }
        (Some("pending" | "in_transit"), Some(reference), _) => Answer::Pending { reference },
        (Some("failed" | "canceled"), ..) => {
            Answer::Declined { code: code(text("failure_code").unwrap_or("payout_failed")) }
        }
        _ => unclear(),
    }
}

/// What a refund means.
pub(super) fn of_refund(body: &Value) -> Answer {
    let text = |field: &str| body.get(field).and_then(Value::as_str);
    let reference: Option<PspReference> = text("id").and_then(|id| id.parse().ok());
    match (text("status"), reference, amount_of(body)) {
        (Some("succeeded"), Some(reference), Some(amount)) => {
            Answer::Done { reference, amount, valid_until: None }
        }
        (Some("pending" | "requires_action"), Some(reference), _) => Answer::Pending { reference },
        (Some("failed" | "canceled"), ..) => {
            Answer::Declined { code: code(text("failure_reason").unwrap_or("refund_failed")) }
        }
        _ => unclear(),
    }
}
