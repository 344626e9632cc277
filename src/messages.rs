//! How messages leave, by flags.

use std::path::PathBuf;

use notification::{Config, Mail, Webhook};

/// Flags about messages.
#[derive(Debug, clap::Args)]
pub struct MessageArgs {
    /// Write mail as .eml files into this directory (the default, beside the data).
    #[arg(long, value_name = "DIR", env = "ORDINAL_MAIL_DIR", conflicts_with = "smtp_url")]
    mail_dir: Option<PathBuf>,
    /// Send mail through this server: smtp://host:port, or smtps://user:password@host.
    #[arg(long, value_name = "URL", env = "ORDINAL_SMTP_URL", hide_env_values = true)]
    smtp_url: Option<String>,
    /// Who mail is from.
    #[arg(long, value_name = "ADDRESS", env = "ORDINAL_MAIL_FROM")]
    mail_from: Option<String>,
    /// Where operators are reminded of returns that nobody judged.
    #[arg(long, value_name = "ADDRESS", env = "ORDINAL_MAIL_OPS")]
    mail_ops: Option<String>,
    /// Post every order fact to this URL, signed with the secret.
    #[arg(
        long,
        value_name = "URL",
        env = "ORDINAL_WEBHOOK_URL",
        hide_env_values = true,
        requires = "webhook_secret_file"
    )]
    webhook_url: Option<String>,
    /// A file whose first line is the webhook secret.
    #[arg(long, value_name = "FILE", env = "ORDINAL_WEBHOOK_SECRET_FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// Trust the authorities in this file (PEM) for the webhook's certificate, beside the public ones.
    #[arg(long, value_name = "FILE", env = "ORDINAL_WEBHOOK_CA", requires = "webhook_url")]
    webhook_ca: Option<PathBuf>,
}

impl MessageArgs {
    /// Changes what the flags say.
    ///
    /// # Errors
    /// Where the secret or the certificates cannot be read.
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
        if let Some(ops) = &self.mail_ops {
            config.ops = Some(ops.clone());
        }
        if let (Some(url), Some(path)) = (&self.webhook_url, &self.webhook_secret_file) {
            let secret = crate::secrets::first_line("webhook secret", path)?;
            anyhow::ensure!(secret.len() >= 16, "the webhook secret has fewer than 16 characters");
            let authorities = match &self.webhook_ca {
                Some(path) => std::fs::read(path)
                    .map_err(|error| anyhow::anyhow!("webhook CA {}: {error}", path.display()))?,
                None => Vec::new(),
            };
            config.webhook = Some(Webhook { url: url.clone(), secret, authorities });
        }
        Ok(())
    }
}
