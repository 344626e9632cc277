use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared_events::stream::Backoff;

use crate::{Channel, Route, Shop, SmsGateway, Templates, WebhookSecret};

/// Where mail goes.
#[derive(Clone)]
pub enum Mail {
    /// Files in a directory: `.eml` for mail and, without an SMS gateway, `.txt` for SMS. For
    /// development.
    Directory(PathBuf),
    /// An SMTP server: `smtp://host:port` without TLS, `smtp://user:password@host?tls=required`
    /// with STARTTLS, `smtps://user:password@host` with TLS from the first byte.
    Smtp(String),
}

/// An endpoint that order facts are posted to.
#[derive(Clone)]
pub struct Webhook {
    /// Its name in the ledger and in lists.
    pub name: String,
    /// The types of facts that are posted; all where empty.
    pub types: Vec<String>,
    /// `https://` or `http://`.
    pub url: String,
    /// Each call carries one signature per secret, so that secrets can be rotated.
    pub secrets: Vec<WebhookSecret>,
    /// Further certificate authorities (PEM) to trust, beside the public ones.
    pub authorities: Vec<u8>,
}

impl Webhook {
    /// Whether it wants facts of this type.
    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|wanted| wanted == kind)
    }
}

/// How messages are sent. `Debug` shows no secret.
#[derive(Clone)]
pub struct Config {
    /// Where mail goes.
    pub mail: Mail,
    /// What sends SMS, if anything.
    pub sms: Option<SmsGateway>,
    /// The sender of mail.
    pub from: String,
    /// What messages show of the shop. Its name is also the sender's name.
    pub shop: Shop,
    /// The texts of messages.
    pub templates: Arc<Templates>,
    /// Where reminders to operators go, if anywhere.
    pub ops: Option<String>,
    /// Where order facts are posted; each endpoint has a name of its own.
    pub webhooks: Vec<Webhook>,
    /// How long a deferred mail is retried before it fails.
    pub mail_retry_for: Duration,
    /// How long a webhook call or an SMS is retried before it fails.
    pub webhook_retry_for: Duration,
    /// How many tries of a mail or an SMS may end with an unknown outcome: each may have delivered
    /// it.
    pub attempts_max: u32,
    /// Delays between retries while a server is unavailable.
    pub backoff: Backoff,
    /// Timeout of one response; a whole try may take twice as long.
    pub timeout: Duration,
}

impl Config {
    /// Five days, as RFC 5321 (4.5.4.1) recommends to mail servers.
    pub const MAIL_RETRY_FOR: Duration = Duration::from_secs(5 * 24 * 3_600);
    /// A day.
    pub const WEBHOOK_RETRY_FOR: Duration = Duration::from_secs(24 * 3_600);

    /// Mail as files in a directory, with defaults for everything else.
    #[must_use]
    pub fn to_directory(directory: PathBuf) -> Self {
        Self {
            mail: Mail::Directory(directory),
            sms: None,
            from: "orders@localhost".to_owned(),
            shop: Shop::default(),
            templates: Templates::built_in(),
            ops: Some("ops@localhost".to_owned()),
            webhooks: Vec::new(),
            mail_retry_for: Self::MAIL_RETRY_FOR,
            webhook_retry_for: Self::WEBHOOK_RETRY_FOR,
            attempts_max: 4,
            backoff: Backoff { first: Duration::from_secs(30), longest: Duration::from_secs(600) },
            timeout: Duration::from_secs(15),
        }
    }

    /// Whether SMS can be sent: through a gateway or, for development, as files.
    #[must_use]
    pub const fn sends_sms(&self) -> bool {
        self.sms.is_some() || matches!(self.mail, Mail::Directory(_))
    }

    /// Every route by which messages are sent. The default endpoint is always one of them, so that
    /// calls composed for it come to an end where it is configured no more.
    pub(crate) fn routes(&self) -> BTreeSet<Route> {
        let endpoints = self.webhooks.iter().map(|webhook| Route::webhook(&webhook.name));
        Channel::all().map(Route::from).chain(endpoints).collect()
    }

    /// How long a message of this channel is retried.
    pub(crate) const fn retry_for(&self, channel: Channel) -> Duration {
        match channel {
            Channel::Email => self.mail_retry_for,
            Channel::Sms | Channel::Webhook => self.webhook_retry_for,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("webhooks", &self.webhooks.len())
            .field("attempts_max", &self.attempts_max)
            .finish_non_exhaustive()
    }
}
