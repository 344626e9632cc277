use std::time::Duration;

use shared_events::contract::Timestamp;

use crate::channel::{ChannelError, DeliveryError};
use crate::ledger::Entry;
use crate::{Webhook, http};

/// A webhook endpoint, ready to be called.
pub(crate) struct Endpoint {
    webhook: Webhook,
    http: reqwest::Client,
}

impl Endpoint {
    pub(crate) fn new(webhook: Webhook, timeout: Duration) -> Result<Self, ChannelError> {
        let what = format!("webhook {}", webhook.name);
        let http = http::client((&what, "webhook"), &webhook.url, &webhook.authorities, timeout)?;
        Ok(Self { webhook, http })
    }

    pub(crate) fn name(&self) -> &str {
        &self.webhook.name
    }

    /// As Standard Webhooks 1.0 describes: one id for all tries, the time of this try, and one
    /// signature per secret.
    pub(crate) async fn call(&self, entry: &Entry, now: Timestamp) -> Result<(), DeliveryError> {
        let (id, seconds) = (entry.id.to_string(), now.micros().div_euclid(1_000_000));
        let secrets = self.webhook.secrets.iter();
        let signatures: Option<Vec<String>> =
            secrets.map(|secret| secret.sign(&id, seconds, &entry.body)).collect();
        let signatures = signatures
            .ok_or_else(|| DeliveryError::Permanent("invalid webhook secret".to_owned()))?;
        let mut request = self
            .http
            .post(&self.webhook.url)
            .header("content-type", "application/cloudevents+json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signatures.join(" "))
            .body(entry.body.clone());
        if let Some(traceparent) = &entry.traceparent {
            request = request.header("traceparent", traceparent);
            if let Some(tracestate) = &entry.tracestate {
                request = request.header("tracestate", tracestate);
            }
        }
        http::call("webhook", request, now).await
    }
}
