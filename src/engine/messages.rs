//! Flags of message delivery.

use std::path::PathBuf;
use std::time::Duration;

use notification::{Config, Mail, Route, SmsGateway, Templates, TrackingUrl, Webhook};

use super::webhooks;

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
    /// The sender of mail; required with an --smtp-url on another machine [default:
    /// orders@localhost].
    #[arg(long, value_name = "ADDRESS", env = "ORDINAL_MAIL_FROM")]
    mail_from: Option<String>,
    /// The shop's name: the sender's name and the last line of customers' mail.
    #[arg(long, value_name = "NAME", env = "ORDINAL_SHOP_NAME", value_parser = shop_name)]
    shop_name: Option<String>,
    /// A directory with texts of your own for messages, over the built-in ones (docs/messages.md).
    #[arg(long, value_name = "DIR", env = "ORDINAL_TEMPLATES")]
    templates: Option<PathBuf>,
    /// The address at which a carrier's parcels are tracked, with {tracking} in it; may be
    /// repeated, in the variable with blanks between: DHL=https://dhl.example/?id={tracking}.
    #[arg(long, value_name = "CARRIER=URL", env = "ORDINAL_TRACKING_URL", value_delimiter = ' ', value_parser = tracking_url)]
    tracking_url: Vec<TrackingUrl>,
    /// Where operators are told of returns that wait for a decision, and of refunds that failed
    /// [default: ops@localhost; nowhere with an --smtp-url on another machine].
    #[arg(long, value_name = "ADDRESS", env = "ORDINAL_MAIL_OPS")]
    mail_ops: Option<String>,
    /// How long a deferred mail is retried before it fails.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_MAIL_RETRY_FOR", default_value = "5days", value_parser = crate::flags::window)]
    mail_retry_for: Duration,
    /// Send SMS through a gateway: each is posted to this URL as JSON (docs/messages.md). Without it
    /// they are files beside those of --mail-dir, or with --smtp-url none are sent.
    #[arg(
        long,
        value_name = "URL",
        env = "ORDINAL_SMS_URL",
        hide_env_values = true,
        requires = "sms_token_file"
    )]
    sms_url: Option<String>,
    /// A file with the token that the SMS gateway gets as `Authorization: Bearer`.
    #[arg(long, value_name = "FILE", env = "ORDINAL_SMS_TOKEN_FILE")]
    sms_token_file: Option<PathBuf>,
    /// Trust the certificate authorities in this file (PEM) for the SMS gateway, beside the public
    /// ones.
    #[arg(long, value_name = "FILE", env = "ORDINAL_SMS_CA", requires = "sms_url")]
    sms_ca: Option<PathBuf>,
    /// Post every order fact to this URL, signed with the secret.
    #[arg(
        long,
        value_name = "URL",
        env = "ORDINAL_WEBHOOK_URL",
        hide_env_values = true,
        requires = "webhook_secret_file"
    )]
    webhook_url: Option<String>,
    /// A file with the webhook secret (whsec_ and base64, as in Standard Webhooks); during a
    /// rotation up to 5, one per line (docs/webhooks.md).
    #[arg(long, value_name = "FILE", env = "ORDINAL_WEBHOOK_SECRET_FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Trust the certificate authorities in this file (PEM) for webhooks, beside the public ones.
    #[arg(long, value_name = "FILE", env = "ORDINAL_WEBHOOK_CA", requires = "webhook_url")]
    webhook_ca: Option<PathBuf>,
    /// A file with further webhook endpoints, each with its name, URL, secret and the types of
    /// facts that it gets (docs/webhooks.md).
    #[arg(long, value_name = "FILE", env = "ORDINAL_WEBHOOKS")]
    webhooks: Option<PathBuf>,
    /// How long a webhook call or an SMS is retried before it fails.
    #[arg(long, value_name = "DURATION", env = "ORDINAL_WEBHOOK_RETRY_FOR", default_value = "24h", value_parser = crate::flags::window)]
    webhook_retry_for: Duration,
}

/// Characters of a shop's name, which is in every mail's From header.
const SHOP_NAME_MAX: usize = 100;

impl MessageArgs {
    /// Applies the flags.
    ///
    /// # Errors
    /// Where a file cannot be read or is invalid, or nothing could be sent with it.
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
        config.shop.name.clone_from(&self.shop_name);
        config.shop.tracking.clone_from(&self.tracking_url);
        if let Some(directory) = &self.templates {
            config.templates = Templates::from_directory(directory)?;
        }
        if let Some(ops) = &self.mail_ops {
            config.ops = Some(ops.clone());
        }
        if self.smtp_url.as_deref().is_some_and(|url| !is_here(url)) {
            anyhow::ensure!(
                self.mail_from.is_some(),
                "--smtp-url needs --mail-from: no server accepts mail from orders@localhost"
            );
            if self.mail_ops.is_none() {
                tracing::warn!(
                    "without --mail-ops nobody is told of returns that wait for a decision, and of \
                     refunds that failed"
                );
                config.ops = None;
            }
        }
        config.sms = self.sms()?;
        config.mail_retry_for = self.mail_retry_for;
        config.webhook_retry_for = self.webhook_retry_for;
        if let (Some(url), Some(path)) = (&self.webhook_url, &self.webhook_secret_file) {
            let (name, types) = (Route::DEFAULT_ENDPOINT.to_owned(), Vec::new());
            let (secrets, url) = (webhooks::secrets(path)?, url.clone());
            let authorities = match &self.webhook_ca {
                Some(path) => webhooks::authorities("webhook", path)?,
                None => Vec::new(),
            };
            config.webhooks.push(Webhook { name, types, url, secrets, authorities });
        }
        if let Some(path) = &self.webhooks {
            config.webhooks.extend(webhooks::from_file(path)?);
        }
        config.check()?;
        Ok(())
    }

    /// The SMS gateway, if there is one.
    fn sms(&self) -> anyhow::Result<Option<SmsGateway>> {
        let (Some(url), Some(path)) = (&self.sms_url, &self.sms_token_file) else {
            return Ok(None);
        };
        let token = crate::flags::secrets::read("SMS token", path)?;
        let token = token
            .trim()
            .parse()
            .map_err(|error| anyhow::anyhow!("SMS token {}: {error}", path.display()))?;
        let authorities = match &self.sms_ca {
            Some(path) => webhooks::authorities("SMS", path)?,
            None => Vec::new(),
        };
        Ok(Some(SmsGateway { url: url.clone(), token, authorities }))
    }
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
    crate::flags::name(text, SHOP_NAME_MAX)
}

fn tracking_url(text: &str) -> Result<TrackingUrl, String> {
    match text.split_once('=') {
        Some((carrier, url)) if !carrier.trim().is_empty() => {
            Ok(TrackingUrl { carrier: carrier.trim().to_owned(), url: url.trim().to_owned() })
        }
        _ => Err("not CARRIER=URL".to_owned()),
    }
}
