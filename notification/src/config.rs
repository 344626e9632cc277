use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use shared_events::stream::Backoff;

use crate::{Channel, WebhookSecret};

/// Where mail goes.
#[derive(Clone)]
pub enum Mail {
    /// Files in a directory: `.eml` for mail, `.txt` for SMS. For development.
    Directory(PathBuf),
    /// An SMTP server: `smtp://host:port` without TLS, `smtp://user:password@host?tls=required`
    /// with STARTTLS, `smtps://user:password@host` with TLS from the first byte. SMS is not sent.
    Smtp(String),
}

/// Where webhooks go.
#[derive(Clone)]
pub struct Webhook {
    /// `https://` or `http://`.
    pub url: String,
    /// Each signs every call, so that the receiver knows the sender: by the newest, or by the one
    /// before while it changes over.
    pub secrets: Vec<WebhookSecret>,
    /// Authorities (PEM) that its certificate may be signed by too, beside the public ones.
    pub authorities: Vec<u8>,
}

/// How messages leave. `Debug` shows no secret.
#[derive(Clone)]
pub struct Config {
    /// Where mail goes.
    pub mail: Mail,
    /// Who mail is from.
    pub from: String,
    /// What the shop is called: mail is from it and ends with it.
    pub shop: Option<String>,
    /// Operators' address, for reminders; none for silence.
    pub ops: Option<String>,
    /// Where every order fact is posted, if anywhere.
    pub webhook: Option<Webhook>,
    /// For how long a mail is tried that its server does not take for now.
    pub mail_retry_for: Duration,
    /// For how long a webhook is called that does not take it for now.
    pub webhook_retry_for: Duration,
    /// Tries of a mail that end without a word, so that its server may have taken it.
    pub attempts_max: u32,
    /// Waits for one that cannot be connected to.
    pub backoff: Backoff,
    /// How long a server may take for one answer; a try may take twice as long.
    pub timeout: Duration,
}

impl Config {
    /// Five days, as mail servers do among themselves (RFC 5321, 4.5.4.1).
    pub const MAIL_RETRY_FOR: Duration = Duration::from_secs(5 * 24 * 3_600);
    /// A day.
    pub const WEBHOOK_RETRY_FOR: Duration = Duration::from_secs(24 * 3_600);

    /// Files in a directory, from nobody in particular.
    #[must_use]
    pub fn to_directory(directory: PathBuf) -> Self {
        Self {
            mail: Mail::Directory(directory),
            from: "orders@localhost".to_owned(),
            shop: None,
            ops: Some("ops@localhost".to_owned()),
            webhook: None,
            mail_retry_for: Self::MAIL_RETRY_FOR,
            webhook_retry_for: Self::WEBHOOK_RETRY_FOR,
            attempts_max: 4,
            backoff: Backoff { first: Duration::from_secs(30), longest: Duration::from_secs(600) },
            timeout: Duration::from_secs(15),
        }
    }

    /// Whether a text to a phone has a way out: there is no gateway, only the files for development.
    #[must_use]
    pub const fn sends_sms(&self) -> bool {
        matches!(self.mail, Mail::Directory(_))
    }

    /// For how long a message of this channel is tried.
    pub(crate) const fn retry_for(&self, channel: Channel) -> Duration {
        match channel {
            Channel::Email | Channel::Sms => self.mail_retry_for,
            Channel::Webhook => self.webhook_retry_for,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("webhook", &self.webhook.is_some())
            .field("attempts_max", &self.attempts_max)
            .finish_non_exhaustive()
    }
}
