//! Sends webhooks, and sends those again that are not taken.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio_util::sync::CancellationToken;

use super::{Service, bodies};
use crate::Dialect;
use crate::http::{Endpoint, HttpError, client};
use crate::simulator::{Outgoing, SignedBy};
use crate::webhook::{Secret, SecretError, sign};

/// How often it is looked whether webhooks are due.
const EVERY: Duration = Duration::from_millis(50);
/// Webhooks that are sent at a time, one after the other.
const BATCH: usize = 100;

/// Where webhooks go.
#[derive(Clone, Debug)]
pub struct WebhookTarget {
    /// The URL.
    pub url: String,
    /// How they are written and signed.
    pub dialect: Dialect,
    /// The secret that signs, and the one before it, if there is one.
    pub secrets: Vec<Secret>,
}

/// Sends the webhooks of a simulator.
pub struct Delivery {
    http: reqwest::Client,
    target: WebhookTarget,
    wrong: Secret,
}

/// Why webhooks cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// They have no secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The URL is none that can be called.
    #[error("it is neither http:// nor https://")]
    Url,
    /// There is no HTTP client.
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl Delivery {
    /// To a target.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub fn new(target: WebhookTarget) -> Result<Self, DeliveryError> {
        if target.secrets.is_empty() {
            return Err(SecretError::Missing.into());
        }
        let url = reqwest::Url::parse(&target.url).map_err(|_| DeliveryError::Url)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(DeliveryError::Url);
        }
        let (url, timeout) = (target.url.clone(), Duration::from_secs(10));
        let http = client(&Endpoint { url, authorities: Vec::new(), timeout })?;
        let wrong = format!("whsec_{}", STANDARD.encode("the secret that nobody has"));
        let wrong = Secret::new(target.dialect, &wrong)?;
        Ok(Self { http, target, wrong })
    }

    /// Sends what is due until it is stopped.
    pub async fn run(&self, service: Arc<Service>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if self.send_due(&service).await == 0 {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(EVERY) => {}
                }
            }
        }
    }

    /// Sends what is due now, and says how many that were.
    pub async fn send_due(&self, service: &Service) -> usize {
        let due = service.psp().with(|simulator, at| {
            let due = simulator.webhooks(at, BATCH);
            let body = |outgoing: Outgoing| {
                let body = bodies::body(self.target.dialect, simulator, &outgoing);
                (outgoing, body)
            };
            due.into_iter().map(body).collect::<Vec<_>>()
        });
        let count = due.len();
        let now = service.psp().clock();
        for (outgoing, body) in due {
            let Some(body) = body else { continue };
            let secret = match outgoing.signed_by {
                SignedBy::Live => self.target.secrets.first(),
                SignedBy::Old => self.target.secrets.last(),
                SignedBy::Wrong => Some(&self.wrong),
            };
            let Some(secret) = secret else { continue };
            let mut request = self.http.post(&self.target.url);
            let id = &outgoing.event.id;
            for (name, value) in sign(self.target.dialect, secret, id, now, body.as_bytes()) {
                request = request.header(name, value);
            }
            let sent = request.header("content-type", "application/json").body(body).send().await;
            if !sent.is_ok_and(|answer| answer.status().is_success()) {
                service.psp().with(|simulator, at| simulator.webhook_failed(outgoing, at.now));
            }
        }
        count
    }
}
