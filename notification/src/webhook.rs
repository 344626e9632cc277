use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use shared_events::contract::Timestamp;

use crate::Webhook;
use crate::channel::{ChannelError, DeliveryError};
use crate::ledger::Entry;

/// A webhook endpoint, ready to be called.
pub(crate) struct Endpoint {
    webhook: Webhook,
    http: reqwest::Client,
}

impl Endpoint {
    pub(crate) fn new(webhook: Webhook, timeout: Duration) -> Result<Self, ChannelError> {
        let http = client(&webhook, timeout)?;
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
        let answer = self
            .http
            .post(&self.webhook.url)
            .header("content-type", "application/cloudevents+json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signatures.join(" "))
            .body(entry.body.clone())
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            // reqwest's own text would show the URL, which may hold a secret.
            Err(error) if error.is_connect() => {
                return Err(DeliveryError::Unavailable("webhook: no connection".to_owned()));
            }
            Err(error) => {
                let text = if error.is_timeout() { "timeout" } else { "connection lost" };
                return Err(DeliveryError::Unknown(format!("webhook: {text}")));
            }
        };
        let status = answer.status();
        let text = format!("webhook: answered {}", status.as_u16());
        if status.is_success() {
            Ok(())
        } else if status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429) {
            Err(DeliveryError::Permanent(text))
        } else {
            let retry_after = retry_after(answer.headers(), now);
            Err(DeliveryError::Deferred { text, retry_after })
        }
    }
}

/// `Retry-After`, as seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(now.since(Timestamp::from_micros(0))))
}

/// With built-in public certificate authorities, as mail, Redis and Postgres use: a container image
/// has none.
fn client(webhook: &Webhook, timeout: Duration) -> Result<reqwest::Client, ChannelError> {
    let wrong =
        |error: &dyn std::fmt::Display| ChannelError(format!("webhook {}: {error}", webhook.name));
    let url = reqwest::Url::parse(&webhook.url)
        .map_err(|_| wrong(&"the webhook URL is not a valid URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&"the webhook URL is neither https:// nor http://"));
    }
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let public = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&webhook.authorities) {
        let unusable = |error: &dyn std::fmt::Display| wrong(&format!("authority: {error}"));
        roots
            .add(certificate.map_err(|error| unusable(&error))?)
            .map_err(|error| unusable(&error))?;
    }
    if !webhook.authorities.is_empty() && roots.len() == public {
        return Err(wrong(&"the file of authorities holds no certificate"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(timeout)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| wrong(&error))
}
