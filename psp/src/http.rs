//! Calls to providers over HTTP: how they are made, and what is read of an answer.
//! Never here: a URL, a secret or a body in an error or a log.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

/// Larger answers are cut off: then nobody knows what they said.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection may take to stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A client of one provider.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: Url,
}

/// Why a provider cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The URL is not one that may be called.
    #[error("the URL must be https:// without a query; http:// only on this machine")]
    Url,
    /// The authorities cannot be read.
    #[error("the authorities are not PEM certificates")]
    Authorities,
    /// The client cannot be made.
    #[error("no HTTP client: {0}")]
    Client(String),
}

/// Where a provider is, and how long it may take.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its base URL, such as `https://api.stripe.com`.
    pub url: String,
    /// PEM certificates that are trusted beside the public ones.
    pub authorities: Vec<u8>,
    /// How long a whole call may take.
    pub timeout: Duration,
}

/// The secret with which a provider knows us. Never displayed.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key: 1 to 300 printable characters without spaces.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=300).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// An answer that came in whole.
pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

/// No answer, or not a whole one: whether the call was carried out is not known.
pub(crate) struct Lost(pub(crate) String);

impl Http {
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, HttpError> {
        let base = Url::parse(&endpoint.url).map_err(|_| HttpError::Url)?;
        if !is_safe(&base) || base.query().is_some() || base.fragment().is_some() {
            return Err(HttpError::Url);
        }
        let client = client(endpoint)?;
        Ok(Self { client, base })
    }

    /// The URL of a path, whose parts are escaped.
    pub(crate) fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        url
    }

    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url)
    }

    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    /// Makes a call and reads its answer. Nothing is repeated.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Heard, Lost> {
        let lost = |what: &str| Lost(what.to_owned());
        let mut answer = request.send().await.map_err(|error| {
            // reqwest's own text would show the URL.
            lost(if error.is_timeout() { "no answer in time" } else { "connection lost" })
        })?;
        let status = answer.status();
        let mut bytes = Vec::new();
        loop {
            let chunk = answer.chunk().await.map_err(|_| lost("the answer broke off"))?;
            let Some(chunk) = chunk else { break };
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(lost("the answer is larger than 1 MiB"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let body = serde_json::from_slice(&bytes);
        match body {
            Ok(body) => Ok(Heard { status, body }),
            // The status counts without its body, but a success must say what it is.
            Err(_) if !status.is_success() => Ok(Heard { status, body: Value::Null }),
            Err(_) => Err(lost("the answer is not JSON")),
        }
    }
}

/// The pairs of a query or a form.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    if let Ok(mut url) = Url::parse("http://form") {
        url.set_query(Some(text));
        pairs.extend(url.query_pairs().map(|(name, value)| (name.into(), value.into())));
    }
    pairs
}

/// A body as forms of web pages have it.
pub(crate) fn form_body(request: RequestBuilder, form: &[(&str, String)]) -> RequestBuilder {
    let mut encoded = String::new();
    if let Ok(mut url) = Url::parse("http://form") {
        url.query_pairs_mut().extend_pairs(form);
        encoded = url.query().unwrap_or_default().to_owned();
    }
    request.header("content-type", "application/x-www-form-urlencoded").body(encoded)
}

pub(crate) fn client(endpoint: &Endpoint) -> Result<reqwest::Client, HttpError> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let public = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&endpoint.authorities) {
        let certificate = certificate.map_err(|_| HttpError::Authorities)?;
        roots.add(certificate).map_err(|_| HttpError::Authorities)?;
    }
    if !endpoint.authorities.is_empty() && roots.len() == public {
        return Err(HttpError::Authorities);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpError::Client(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(endpoint.timeout)
        .connect_timeout(CONNECT_WITHIN)
        // An answer from elsewhere is not the provider's.
        .redirect(reqwest::redirect::Policy::none())
        // A call is repeated by who knows its key, and by nobody else.
        .retry(reqwest::retry::never())
        .build()
        .map_err(|error| HttpError::Client(error.to_string()))
}

/// Whether nobody between us and the server could read the key.
fn is_safe(url: &Url) -> bool {
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let scheme = url.scheme();
    let plain = url.username().is_empty() && url.password().is_none();
    url.has_host() && plain && (scheme == "https" || (scheme == "http" && local))
}
