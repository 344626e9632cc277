use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use shared_events::stream::Backoff;

/// Where mail goes.
#[derive(Clone)]
pub enum Mail {
    /// Files in a directory: `.eml` for mail, `.txt` for SMS. For development.
    Directory(PathBuf),
    /// An SMTP server: `smtp://host:port` without TLS, `smtps://user:password@host` with it. SMS
    /// is not sent.
    Smtp(String),
}

/// Where webhooks go.
#[derive(Clone)]
pub struct Webhook {
    /// `https://` or `http://`.
    pub url: String,
    /// Signs each call (HMAC-SHA256), so that the receiver knows the sender.
    pub secret: String,
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
    /// Operators' address, for reminders; none for silence.
    pub ops: Option<String>,
    /// Where every order fact is posted, if anywhere.
    pub webhook: Option<Webhook>,
    /// Tries of a message that somebody was there to take, the first one included.
    pub attempts_max: u32,
    /// For how long a message waits for a mail server or webhook that cannot be connected to.
    pub away_max: Duration,
    /// Waits between them.
    pub backoff: Backoff,
    /// How long a server may take for one answer; a try may take twice as long.
    pub timeout: Duration,
}

impl Config {
    /// Files in a directory; 4 tries, 30 s to 10 min apart; three days where nobody can be connected to.
    #[must_use]
    pub fn to_directory(directory: PathBuf) -> Self {
        Self {
            mail: Mail::Directory(directory),
            from: "orders@localhost".to_owned(),
            ops: Some("ops@localhost".to_owned()),
            webhook: None,
            attempts_max: 4,
            away_max: Duration::from_secs(3 * 24 * 3_600),
            backoff: Backoff { first: Duration::from_secs(30), longest: Duration::from_secs(600) },
            timeout: Duration::from_secs(15),
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
