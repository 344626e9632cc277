use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::{AsyncSmtpTransport, AsyncSmtpTransportBuilder};
use lettre::{Address, AsyncTransport as _, Tokio1Executor};
use shared_events::contract::{Email, Timestamp};
use shared_events::stream::Unfinished;

use crate::ledger::Entry;
use crate::sms::Gateway;
use crate::webhook::Endpoint;
use crate::{Channel, Config, Mail, TrackingUrl, Webhook};

/// How lettre's error text begins where no connection was made; its API does not tell it apart.
const NOT_CONNECTED: &str = "Connection error";

/// Why a message was not sent. The text never names the recipient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeliveryError {
    /// No connection was made, so the message was certainly not accepted.
    #[error("{0}")]
    Unavailable(String),
    /// The server refused it for now, perhaps with a time after which to retry.
    #[error("{text}")]
    Deferred { text: String, retry_after: Option<Duration> },
    /// The message may or may not have been accepted.
    #[error("{0}")]
    Unknown(String),
    /// Refused for good; a retry would not help.
    #[error("{0}")]
    Permanent(String),
}

impl DeliveryError {
    fn deferred(text: impl Into<String>) -> Self {
        Self::Deferred { text: text.into(), retry_after: None }
    }
}

/// The transports of a configuration.
pub(crate) struct Channels {
    config: Config,
    from: Mailbox,
    smtp: Option<AsyncSmtpTransport<Tokio1Executor>>,
    sms: Option<Gateway>,
    endpoints: Vec<Endpoint>,
}

/// A configuration by which nothing could be sent.
#[derive(Debug, thiserror::Error)]
#[error("notifications: {0}")]
pub struct ChannelError(pub(crate) String);

impl Config {
    /// Whether messages could be sent with it. Opens no connection and no file.
    ///
    /// # Errors
    /// What is wrong with it; never shows a secret.
    pub fn check(&self) -> Result<(), ChannelError> {
        Checked::new(self).map(drop)
    }
}

/// The parsed parts of a configuration.
struct Checked {
    from: Mailbox,
    smtp: Option<AsyncSmtpTransportBuilder>,
    sms: Option<Gateway>,
    endpoints: Vec<Endpoint>,
}

impl Checked {
    fn new(config: &Config) -> Result<Self, ChannelError> {
        // Fails where another caller was first; every caller installs the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let smtp = match &config.mail {
            Mail::Directory(_) => None,
            Mail::Smtp(url) => {
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
                    .map_err(|_| ChannelError("the SMTP URL is not a valid URL".to_owned()))?;
                Some(transport.timeout(Some(config.timeout)))
            }
        };
        let mut from = sender(&config.from).ok_or_else(|| {
            let from = &config.from;
            ChannelError(format!("--mail-from {from} is not an e-mail address"))
        })?;
        if from.name.is_none() {
            from.name.clone_from(&config.shop.name);
        }
        if from.to_string().parse::<Mailbox>().is_err() {
            let text = "--mail-from and --shop-name together are not a valid From header";
            return Err(ChannelError(text.to_owned()));
        }
        if let Some(ops) = &config.ops
            && ops.parse::<Email>().is_err()
        {
            return Err(ChannelError(format!("--mail-ops {ops} is not an e-mail address")));
        }
        if let Some(wrong) = config.shop.tracking.iter().find(|one| !is_usable(one)) {
            let carrier = &wrong.carrier;
            return Err(ChannelError(format!(
                "--tracking-url {carrier}: not an http:// or https:// URL with {} in it",
                TrackingUrl::PLACE
            )));
        }
        let endpoint = |webhook: &Webhook| Endpoint::new(webhook.clone(), config.timeout);
        let endpoints = config.webhooks.iter().map(endpoint).collect::<Result<_, _>>()?;
        let sms = config.sms.clone().map(|gateway| Gateway::new(gateway, config.timeout));
        Ok(Self { from, smtp, sms: sms.transpose()?, endpoints })
    }
}

impl Channels {
    pub(crate) fn new(config: Config) -> Result<Self, ChannelError> {
        let Checked { from, smtp, sms, endpoints } = Checked::new(&config)?;
        if let Mail::Directory(directory) = &config.mail {
            // Mails hold personal data, so only the owner may read them.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(|error| {
                ChannelError(format!(
                    "mail directory {}: {error}; set --smtp-url or --mail-dir",
                    directory.display()
                ))
            })?;
        }
        let smtp = smtp.map(AsyncSmtpTransportBuilder::build);
        Ok(Self { config, from, smtp, sms, endpoints })
    }

    pub(crate) async fn send(&self, entry: &Entry, now: Timestamp) -> Result<(), DeliveryError> {
        match entry.channel {
            Channel::Email => self.mail(entry).await,
            Channel::Sms => self.sms(entry, now).await,
            Channel::Webhook => {
                let name = entry.route.endpoint();
                match self.endpoints.iter().find(|endpoint| endpoint.name() == name) {
                    Some(endpoint) => endpoint.call(entry, now).await,
                    None => Err(DeliveryError::Permanent("no webhook is configured".to_owned())),
                }
            }
        }
    }

    async fn mail(&self, entry: &Entry) -> Result<(), DeliveryError> {
        let permanent = |text: &str| DeliveryError::Permanent(text.to_owned());
        let to = address(&entry.recipient)
            .ok_or_else(|| permanent("the recipient is not an address"))?;
        let plain = to.user().is_ascii() && to.domain().is_ascii();
        // The same id at every try, so that a mail server can recognise a duplicate.
        let id = format!("<{}@{}>", entry.id, self.from.email.domain());
        // Set explicitly: lettre's header parser does not accept a quoted local part.
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![to.clone()])
            .map_err(|_| permanent("the message cannot be addressed"))?;
        let mut message = lettre::Message::builder()
            .envelope(envelope)
            .message_id(Some(id))
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&entry.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(entry.body.clone())
            .map_err(|_| permanent("the message cannot be written"))?;
        if let Some(traceparent) = &entry.traceparent {
            let name = HeaderName::new_from_ascii_str("traceparent");
            message.headers_mut().insert_raw(HeaderValue::new(name, traceparent.clone()));
        }
        match (&self.smtp, &self.config.mail) {
            (Some(smtp), _) => {
                smtp.send(message).await.map(drop).map_err(|error| smtp_error(&error, plain))
            }
            (None, Mail::Directory(directory)) => {
                write(directory, &format!("{}.eml", entry.id), &message.formatted()).await
            }
            (None, Mail::Smtp(_)) => Err(permanent("no SMTP transport")),
        }
    }

    async fn sms(&self, entry: &Entry, now: Timestamp) -> Result<(), DeliveryError> {
        match (&self.sms, &self.config.mail) {
            (Some(gateway), _) => gateway.send(entry, now).await,
            (None, Mail::Directory(directory)) => {
                let text = format!("To: {}\n\n{}\n", entry.recipient, entry.body);
                write(directory, &format!("{}.txt", entry.id), text.as_bytes()).await
            }
            (None, Mail::Smtp(_)) => {
                Err(DeliveryError::Permanent("no SMS gateway is configured".to_owned()))
            }
        }
    }
}

/// The recipient's address, with its domain in ASCII, which every server accepts.
fn address(text: &str) -> Option<Address> {
    match text.parse::<Email>() {
        Ok(email) => Address::new(email.local(), email.domain()).ok(),
        // Accepted by an earlier version's looser rule: the server decides.
        Err(_) => text.parse().ok(),
    }
}

/// The sender: an address, or `Name <address>`.
fn sender(text: &str) -> Option<Mailbox> {
    let (name, email) = match text.rsplit_once('<') {
        Some((name, rest)) => (name.trim().trim_matches('"'), rest.trim_end().strip_suffix('>')?),
        None => ("", text.trim()),
    };
    let email: Email = email.parse().ok()?;
    let address = Address::new(email.local(), email.domain()).ok()?;
    Some(Mailbox::new((!name.is_empty()).then(|| name.to_owned()), address))
}

/// Classifies an SMTP error; `plain` where the recipient's address is ASCII.
fn smtp_error(error: &lettre::transport::smtp::Error, plain: bool) -> DeliveryError {
    let status = error.status();
    let code = status.map(|code| code.to_string()).unwrap_or_default();
    // Authentication failed (RFC 4954): our credentials are wrong, not this message.
    let ours = matches!(code.as_str(), "530" | "534" | "535" | "538");
    if error.is_permanent() && ours {
        DeliveryError::deferred(format!("smtp: authentication failed: {code}"))
    } else if error.is_permanent() {
        DeliveryError::Permanent(format!("smtp: refused: {code}"))
    } else if error.is_client() && plain {
        // It offers no STARTTLS, or no authentication mechanism that we support.
        DeliveryError::deferred("smtp: the server does not support what --smtp-url asks for")
    } else if error.is_client() {
        DeliveryError::Permanent("smtp: the server accepts only ASCII addresses".to_owned())
    } else if error.is_transient() {
        DeliveryError::deferred(format!("smtp: deferred: {code}"))
    } else if error.to_string().starts_with(NOT_CONNECTED) || error.is_tls() {
        DeliveryError::Unavailable("smtp: no connection".to_owned())
    } else {
        DeliveryError::Unknown("smtp: connection lost".to_owned())
    }
}

/// Whether it is a web address that names a parcel.
fn is_usable(tracking: &TrackingUrl) -> bool {
    let url = reqwest::Url::parse(&tracking.url.replace(TrackingUrl::PLACE, "1"));
    let web = url.is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    web && tracking.url.contains(TrackingUrl::PLACE) && !tracking.url.contains(char::is_whitespace)
}

/// Written to a temporary file and renamed, so a reader never sees half a file; the same name at
/// every try.
async fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), DeliveryError> {
    let temporary = |error: std::io::Error| DeliveryError::deferred(format!("file: {error}"));
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
    let unfinished = |error| temporary(std::io::Error::other(Unfinished::from(error)));
    written.await.map_err(unfinished)?.map_err(temporary)
}
