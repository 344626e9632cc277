use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use lettre::message::header::ContentType;
use lettre::transport::smtp::AsyncSmtpTransport;
use lettre::{AsyncTransport as _, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::Sha256;

use crate::ledger::Entry;
use crate::{Channel, Config, Mail, Webhook};

/// So begins what lettre says where nobody could be connected to; it has no other word for that.
const NOT_CONNECTED: &str = "Connection error";

/// Why a message did not leave. The text names no recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeliveryError {
    /// Nobody is there to take any message: no connection came about, so that none was taken.
    #[error("{0}")]
    Away(String),
    /// Another try of this message may help.
    #[error("{0}")]
    Temporary(String),
    /// No further try will help.
    #[error("{0}")]
    Permanent(String),
}

/// The ways out that the configuration opens.
pub(crate) struct Channels {
    config: Config,
    smtp: Option<AsyncSmtpTransport<Tokio1Executor>>,
    // Only where a webhook is configured.
    http: Option<reqwest::Client>,
}

/// The configuration opens no way out.
#[derive(Debug, thiserror::Error)]
#[error("notifications: {0}")]
pub struct ChannelError(String);

impl Channels {
    pub(crate) fn new(config: Config) -> Result<Self, ChannelError> {
        // Whoever was first is as good as we: every caller installs the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let smtp = match &config.mail {
            Mail::Directory(directory) => {
                // What is written there names people.
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(
                    |error| {
                        let directory = directory.display();
                        ChannelError(format!(
                            "mail directory {directory}: {error}; --smtp-url or --mail-dir says \
                             where mail goes"
                        ))
                    },
                )?;
                None
            }
            Mail::Smtp(url) => {
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
                    .map_err(|_| ChannelError("the SMTP URL is not one".to_owned()))?;
                Some(transport.timeout(Some(config.timeout)).build())
            }
        };
        config
            .from
            .parse::<lettre::message::Mailbox>()
            .map_err(|_| ChannelError("the sender is not an e-mail address".to_owned()))?;
        let http =
            config.webhook.as_ref().map(|webhook| client(webhook, config.timeout)).transpose()?;
        Ok(Self { config, smtp, http })
    }

    pub(crate) async fn send(&self, entry: &Entry, now_seconds: i64) -> Result<(), DeliveryError> {
        match entry.channel {
            Channel::Email => self.mail(entry).await,
            Channel::Sms => self.sms(entry).await,
            Channel::Webhook => self.webhook(entry, now_seconds).await,
        }
    }

    async fn mail(&self, entry: &Entry) -> Result<(), DeliveryError> {
        let permanent = |what: &str| DeliveryError::Permanent(what.to_owned());
        let from: lettre::message::Mailbox =
            self.config.from.parse().map_err(|_| permanent("the sender is not an address"))?;
        let to =
            entry.recipient.parse().map_err(|_| permanent("the recipient is not an address"))?;
        // The same id at every try, so that a mail server can recognise a repeat.
        let id = format!("<{}@{}>", entry.id, from.email.domain());
        let message = lettre::Message::builder()
            .message_id(Some(id))
            .from(from)
            .to(to)
            .subject(&entry.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(entry.body.clone())
            .map_err(|_| permanent("the message cannot be written"))?;
        match (&self.smtp, &self.config.mail) {
            (Some(smtp), _) => smtp.send(message).await.map(drop).map_err(|error| {
                if error.is_permanent() {
                    DeliveryError::Permanent(format!("smtp: refused: {:?}", error.status()))
                } else if error.is_client() {
                    DeliveryError::Permanent("smtp: the server cannot do what is needed".to_owned())
                } else if error.is_transient() {
                    DeliveryError::Temporary(format!("smtp: not now: {:?}", error.status()))
                } else if error.to_string().starts_with(NOT_CONNECTED) {
                    DeliveryError::Away("smtp: no answer".to_owned())
                } else {
                    // It may have taken it, as may a webhook that does not answer.
                    DeliveryError::Temporary("smtp: the connection broke".to_owned())
                }
            }),
            (None, Mail::Directory(directory)) => {
                write(directory, &format!("{}.eml", entry.id), &message.formatted()).await
            }
            (None, Mail::Smtp(_)) => Err(permanent("no SMTP transport")),
        }
    }

    async fn sms(&self, entry: &Entry) -> Result<(), DeliveryError> {
        match &self.config.mail {
            Mail::Directory(directory) => {
                let text = format!("To: {}\n\n{}\n", entry.recipient, entry.body);
                write(directory, &format!("{}.txt", entry.id), text.as_bytes()).await
            }
            Mail::Smtp(_) => {
                Err(DeliveryError::Permanent("no SMS gateway is configured".to_owned()))
            }
        }
    }

    /// Signed as Standard Webhooks 1.0 describes: HMAC-SHA256 over `id.timestamp.body`.
    async fn webhook(&self, entry: &Entry, now_seconds: i64) -> Result<(), DeliveryError> {
        let (Some(webhook), Some(http)) = (&self.config.webhook, &self.http) else {
            return Err(DeliveryError::Permanent("no webhook is configured".to_owned()));
        };
        let signature = sign(&webhook.secret, &entry.id.to_string(), now_seconds, &entry.body)?;
        let answer = http
            .post(&webhook.url)
            .header("content-type", "application/cloudevents+json")
            .header("webhook-id", entry.id.to_string())
            .header("webhook-timestamp", now_seconds.to_string())
            .header("webhook-signature", signature)
            .body(entry.body.clone())
            .send()
            .await;
        let status = match answer {
            Ok(answer) => answer.status(),
            // reqwest's text would name the URL, which may hold a secret.
            Err(error) if error.is_connect() => {
                return Err(DeliveryError::Away("webhook: no connection".to_owned()));
            }
            // It may have taken it; asking for days would say it hundreds of times.
            Err(error) => {
                let what = if error.is_timeout() { "no answer in time" } else { "the call broke" };
                return Err(DeliveryError::Temporary(format!("webhook: {what}")));
            }
        };
        let text = format!("webhook: answered {}", status.as_u16());
        if status.is_success() {
            Ok(())
        } else if status.is_client_error() && !matches!(status.as_u16(), 408 | 429) {
            Err(DeliveryError::Permanent(text))
        } else {
            Err(DeliveryError::Temporary(text))
        }
    }
}

/// Knows the public certificate authorities by itself, as mail, Redis and Postgres do: an image has
/// none, and a machine's may be anything.
fn client(webhook: &Webhook, timeout: Duration) -> Result<reqwest::Client, ChannelError> {
    let wrong = |error: &dyn std::fmt::Display| ChannelError(format!("webhook: {error}"));
    let url = reqwest::Url::parse(&webhook.url)
        .map_err(|_| ChannelError("the webhook URL is not one".to_owned()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ChannelError("the webhook URL is neither https:// nor http://".to_owned()));
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

fn sign(secret: &str, id: &str, seconds: i64, body: &str) -> Result<String, DeliveryError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
        .map_err(|_| DeliveryError::Permanent("the webhook secret is no key".to_owned()))?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    Ok(format!("v1,{}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest)))
}

/// Written beside and renamed, so that nobody reads half a file; the same name at every try.
async fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), DeliveryError> {
    let temporary = |error: std::io::Error| DeliveryError::Temporary(format!("file: {error}"));
    let (beside, there) = (directory.join(format!(".{name}")), directory.join(name));
    let bytes = bytes.to_vec();
    let written = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&bytes)?;
        std::fs::rename(&beside, there)
    });
    written.await.map_err(|error| temporary(error.into()))?.map_err(temporary)
}
