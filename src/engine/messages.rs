//! Flags of message delivery.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notification::{Config, Mail, Webhook, WebhookSecret};

/// Flags of message delivery.
#[derive(Debug, clap::Args)]
pub struct MessageArgs {
    /// Write mail as .eml files to this directory (the default, in the data directory).
    #[arg(long, value_name = "DIR", env = "ORDINAL_MAIL_DIR", conflicts_with = "smtp_url")]
    mail_dir: Option<PathBuf>,
    /// Send mail through this server: smtp://user:password@host?tls=required asks for STARTTLS
    /// (port 587 unless the URL names one), smtps://user:password@host speaks TLS from the first
    /// byte (465), smtp://host:port is without TLS (25).
    #[arg(long, value_name = "URL", env = "ORDINAL_SMTP_URL", hide_env_values = true)]
    smtp_url: Option<String>,
    /// Sender of mail; required with an --smtp-url on another machine [default: orders@localhost].
    #[arg(long, value_name = "ADDRESS", env = "ORDINAL_MAIL_FROM")]
    mail_from: Option<String>,
    /// Name of the shop, in the sender and at the end of customers' mail.
    #[arg(long, value_name = "NAME", env = "ORDINAL_SHOP_NAME", value_parser = shop_name)]
    shop_name: Option<String>,
    /// Remind operators at this address of returns that were not judged [default: ops@localhost;
    /// none with an --smtp-url on another machine].
    #[arg(long, value_name = "ADDRESS", env = "ORDINAL_MAIL_OPS")]
    mail_ops: Option<String>,
    /// Retry a mail for this long if its server temporarily refuses it, then give up.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_MAIL_RETRY_FOR", default_value = "5days", value_parser = humantime::parse_duration)]
    mail_retry_for: Duration,
    /// Post every order fact to this URL, signed with the secret.
    #[arg(
        long,
        value_name = "URL",
        env = "ORDINAL_WEBHOOK_URL",
        hide_env_values = true,
        requires = "webhook_secret_file"
    )]
    webhook_url: Option<String>,
    /// A file with the webhook secret, whsec_ and base64, as in Standard Webhooks; up to 5, one per
    /// line, while secrets are rotated (docs/webhooks.md).
    #[arg(long, value_name = "FILE", env = "ORDINAL_WEBHOOK_SECRET_FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Trust the authorities in this PEM file for the webhook's certificate, besides the public
    /// ones.
    #[arg(long, value_name = "FILE", env = "ORDINAL_WEBHOOK_CA", requires = "webhook_url")]
    webhook_ca: Option<PathBuf>,
    /// Retry a fact for this long if the webhook temporarily refuses it, then give up.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_WEBHOOK_RETRY_FOR", default_value = "24h", value_parser = humantime::parse_duration)]
    webhook_retry_for: Duration,
}

/// Secrets that sign a call: the new one and older ones that receivers may still use.
const SECRETS_MAX: usize = 5;
/// Characters of a shop's name: it is in the From of every mail.
const SHOP_NAME_MAX: usize = 100;

impl MessageArgs {
    /// Applies the flags to a configuration.
    ///
    /// # Errors
    /// If the secret or the certificates cannot be read, or the result is invalid.
    pub fn apply(&self, config: &mut Config) -> anyhow::Result<()> {
        if let Some(directory) = &self.mail_dir {
            config.mail = Mail::Directory(directory.clone());
        }
        if let Some(url) = &self.smtp_url {
            config.mail = Mail::Smtp(url.clone());
        }
        if let Some(from) = &self.mail_from {
            config.from.clone_from(from);
        }
        config.shop.clone_from(&self.shop_name);
        if let Some(ops) = &self.mail_ops {
            config.ops = Some(ops.clone());
        }
        if self.smtp_url.as_deref().is_some_and(|url| !is_here(url)) {
            anyhow::ensure!(
                self.mail_from.is_some(),
                "--smtp-url needs --mail-from: no mail server accepts mail from orders@localhost"
            );
            if self.mail_ops.is_none() {
                tracing::warn!(
                    "without --mail-ops no operator is reminded of returns to be judged"
                );
                config.ops = None;
            }
        }
        config.mail_retry_for = self.mail_retry_for;
        config.webhook_retry_for = self.webhook_retry_for;
        if let (Some(url), Some(path)) = (&self.webhook_url, &self.webhook_secret_file) {
            let secrets = secrets(path)?;
            let authorities = match &self.webhook_ca {
                Some(path) => std::fs::read(path)
                    .map_err(|error| anyhow::anyhow!("webhook CA {}: {error}", path.display()))?,
                None => Vec::new(),
            };
            config.webhook = Some(Webhook { url: url.clone(), secrets, authorities });
        }
        config.check()?;
        Ok(())
    }
}

/// The secrets in a file, one per line.
fn secrets(path: &Path) -> anyhow::Result<Vec<WebhookSecret>> {
    let text = crate::flags::secrets::read("webhook secret", path)?;
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if !line.is_empty() {
            let secret = line.parse().map_err(|error| {
                anyhow::anyhow!("webhook secret {}: line {number}: {error}", path.display())
            })?;
            secrets.push(secret);
        }
    }
    anyhow::ensure!(!secrets.is_empty(), "webhook secret {}: it is empty", path.display());
    anyhow::ensure!(
        secrets.len() <= SECRETS_MAX,
        "webhook secret {}: it has more than {SECRETS_MAX} secrets",
        path.display()
    );
    Ok(secrets)
}

/// Whether a mail server is on this machine. An invalid URL is refused later.
fn is_here(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return true };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn shop_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let length = name.chars().count();
    if length == 0 || length > SHOP_NAME_MAX || name.chars().any(char::is_control) {
        return Err(format!("must have 1 to {SHOP_NAME_MAX} characters on one line"));
    }
    Ok(name.to_owned())
}
