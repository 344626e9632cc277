//! HTTP calls to webhook endpoints and to the SMS gateway: how they are made, and what their answers
//! mean. Never here: a URL, a secret or a text in an error.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use shared_events::contract::Timestamp;

use crate::channel::{ChannelError, DeliveryError};

/// A client for one URL. It trusts the built-in public certificate authorities, as mail, Redis and
/// Postgres do (a container image has none), and those in `authorities` (PEM). `what` names the
/// setting in errors, `called` what has the URL.
///
/// # Errors
/// Where the URL or the authorities are not valid.
pub(crate) fn client(
    (what, called): (&str, &str),
    url: &str,
    authorities: &[u8],
    timeout: Duration,
) -> Result<reqwest::Client, ChannelError> {
    let wrong = |error: &dyn Display| ChannelError(format!("{what}: {error}"));
    let url = reqwest::Url::parse(url)
        .map_err(|_| wrong(&format!("the {called} URL is not a valid URL")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!("the {called} URL is neither https:// nor http://")));
    }
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let public = roots.len();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let unusable = |error: &dyn Display| wrong(&format!("authority: {error}"));
        roots
            .add(certificate.map_err(|error| unusable(&error))?)
            .map_err(|error| unusable(&error))?;
    }
    if !authorities.is_empty() && roots.len() == public {
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

/// Makes a call. `who` is called, in errors.
///
/// # Errors
/// Every answer but 2xx, and none: whether it is retried is in the error.
pub(crate) async fn call(
    who: &str,
    request: reqwest::RequestBuilder,
    now: Timestamp,
) -> Result<(), DeliveryError> {
    let answer = match request.send().await {
        Ok(answer) => answer,
        // reqwest's own text would show the URL, which may hold a secret.
        Err(error) if error.is_connect() => {
            return Err(DeliveryError::Unavailable(format!("{who}: no connection")));
        }
        Err(error) => {
            let text = if error.is_timeout() { "timeout" } else { "connection lost" };
            return Err(DeliveryError::Unknown(format!("{who}: {text}")));
        }
    };
    let status = answer.status();
    let text = format!("{who}: answered {}", status.as_u16());
    if status.is_success() {
        Ok(())
    } else if status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429) {
        Err(DeliveryError::Permanent(text))
    } else {
        let retry_after = retry_after(answer.headers(), now);
        Err(DeliveryError::Deferred { text, retry_after })
    }
}

/// `Retry-After`, as seconds or as a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(now.since(Timestamp::from_micros(0))))
}
