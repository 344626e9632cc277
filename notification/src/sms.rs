use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use shared_events::contract::Timestamp;

use crate::channel::{ChannelError, DeliveryError};
use crate::http;
use crate::ledger::Entry;

/// The longest token.
const TOKEN_MAX: usize = 4_096;

/// A gateway that sends SMS.
#[derive(Clone)]
pub struct SmsGateway {
    /// Where each SMS is posted: `https://` or `http://`.
    pub url: String,
    /// What it recognises this engine by.
    pub token: SmsToken,
    /// Further certificate authorities (PEM) to trust, beside the public ones.
    pub authorities: Vec<u8>,
}

/// The bearer token of an SMS gateway. Never displayed.
#[derive(Clone)]
pub struct SmsToken(HeaderValue);

/// Why a text is not a token; never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is 1 to {TOKEN_MAX} characters of ASCII without blanks, on one line")]
pub struct SmsTokenError;

impl fmt::Debug for SmsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmsToken(..)")
    }
}

impl FromStr for SmsToken {
    type Err = SmsTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=TOKEN_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        let header = HeaderValue::try_from(format!("Bearer {text}"));
        let mut header = header.map_err(|_| SmsTokenError)?;
        // Never in a log, and never compressed together with texts of others.
        header.set_sensitive(true);
        if fits { Ok(Self(header)) } else { Err(SmsTokenError) }
    }
}

/// What is posted, as docs/messages.md describes it.
#[derive(Serialize)]
struct Sms<'a> {
    id: String,
    to: &'a str,
    text: &'a str,
    kind: &'a str,
    order_id: String,
}

/// An SMS gateway, ready to be called.
pub(crate) struct Gateway {
    gateway: SmsGateway,
    http: reqwest::Client,
}

impl Gateway {
    pub(crate) fn new(gateway: SmsGateway, timeout: Duration) -> Result<Self, ChannelError> {
        let SmsGateway { url, authorities, .. } = &gateway;
        let http = http::client(("SMS", "gateway's"), url, authorities, timeout)?;
        Ok(Self { gateway, http })
    }

    /// Posts an SMS: with the same id at every try, so that the gateway can recognise a duplicate.
    pub(crate) async fn send(&self, entry: &Entry, now: Timestamp) -> Result<(), DeliveryError> {
        let (id, order_id) = (entry.id.to_string(), entry.order_id.to_string());
        let Entry { recipient: to, body: text, kind, .. } = entry;
        let sms = Sms { id, to, text, kind, order_id };
        let body = serde_json::to_string(&sms)
            .map_err(|_| DeliveryError::Permanent("sms: it cannot be written".to_owned()))?;
        let request = self
            .http
            .post(&self.gateway.url)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.gateway.token.0.clone())
            .body(body);
        http::call("sms", request, now).await
    }
}
