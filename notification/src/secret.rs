use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The key that signs webhook calls, written as Standard Webhooks does: `whsec_` and the base64 of
/// 24 to 64 bytes. Never displayed.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Vec<u8>);

/// Why a text is not a webhook secret; never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookSecretError {
    /// It lacks the prefix.
    #[error(
        "it does not begin with whsec_: a secret is whsec_ and the base64 of 24 to 64 random bytes, \
         as `echo whsec_$(openssl rand -base64 32)` generates"
    )]
    Prefix,
    /// The key is not base64.
    #[error("the part after whsec_ is not base64 (standard alphabet, with padding)")]
    Base64,
    /// The key is too short to be safe, or longer than other implementations accept.
    #[error("its key has {0} bytes, not 24 to 64")]
    Length(usize),
}

impl WebhookSecret {
    /// The signature of a call: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
    pub(crate) fn sign(&self, id: &str, seconds: i64, body: &str) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

impl FromStr for WebhookSecret {
    type Err = WebhookSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text.strip_prefix("whsec_").ok_or(WebhookSecretError::Prefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| WebhookSecretError::Base64)?;
        match key.len() {
            24..=64 => Ok(Self(key)),
            length => Err(WebhookSecretError::Length(length)),
        }
    }
}
