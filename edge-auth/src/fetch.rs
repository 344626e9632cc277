//! Discovery and keys of an issuer, over HTTP: small answers, in time, and only from whom the issuer
//! names.
//! Never here: when keys are fetched.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::issuer::{IssuerError, IssuerSettings};
use crate::keys::{FETCH_WITHIN, KeySet};

/// Larger answers are cut off; that of a large provider has 10 KB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Why there are no new keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The issuer calls itself something else: a mistake in the settings.
    #[error("it calls itself {found}; the settings must say exactly that")]
    OtherIssuer {
        /// Its own name.
        found: String,
    },
    /// It does not answer, or not as it must.
    #[error("{0}")]
    Unavailable(String),
}

/// Fetches the keys of an issuer.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// The keys that count now.
    ///
    /// # Errors
    /// If there is no answer with at least one key of use.
    async fn keys(&self) -> Result<KeySet, FetchError>;
}

/// Fetches by the discovery of OpenID Connect.
pub struct Http {
    issuer: String,
    http: reqwest::Client,
    /// Where the keys are, once discovered.
    keys_at: Mutex<Option<Url>>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Http {
    /// For an issuer of the settings.
    ///
    /// # Errors
    /// If its URL would not be safe to call, or its authorities cannot be read.
    pub fn new(settings: &IssuerSettings) -> Result<Self, IssuerError> {
        let wrong = |what: String| settings.wrong(what);
        let url = Url::parse(&settings.issuer).map_err(|_| wrong("not a URL".to_owned()))?;
        if !is_safe(&url) || url.query().is_some() || url.fragment().is_some() {
            let what = "must be https:// without a query; http:// only on this machine";
            return Err(wrong(what.to_owned()));
        }
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = &settings.ca {
            let unusable =
                |error: &dyn std::fmt::Display| wrong(format!("ca {}: {error}", path.display()));
            let text = std::fs::read(path).map_err(|error| unusable(&error))?;
            let public = roots.len();
            for certificate in CertificateDer::pem_slice_iter(&text) {
                let certificate = certificate.map_err(|error| unusable(&error))?;
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            if roots.len() == public {
                return Err(unusable(&"it holds no certificate"));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(FETCH_WITHIN)
            // An answer from elsewhere is not the issuer's.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self { issuer: settings.issuer.clone(), http, keys_at: Mutex::new(None) })
    }

    fn remember(&self, url: Option<Url>) {
        *self.keys_at.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    async fn discover(&self) -> Result<Url, FetchError> {
        let root = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let url = Url::parse(&format!("{root}/.well-known/openid-configuration"));
        let url = url.map_err(|_| unavailable("its discovery has no URL"))?;
        let secure = url.scheme() == "https";
        let discovery: Discovery = self.get(url).await?;
        if discovery.issuer != self.issuer {
            let found = discovery.issuer.chars().take(200).collect();
            return Err(FetchError::OtherIssuer { found });
        }
        let keys_at = Url::parse(&discovery.jwks_uri).ok().filter(is_safe);
        keys_at
            .filter(|url| !secure || url.scheme() == "https")
            .ok_or_else(|| unavailable("the URL of its keys is not https://"))
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T, FetchError> {
        let answer = self.http.get(url).header("accept", "application/json").send().await;
        let mut answer = answer.map_err(|error| {
            unavailable(if error.is_timeout() { "no answer in time" } else { "no connection" })
        })?;
        if !answer.status().is_success() {
            return Err(unavailable(&format!("it answered {}", answer.status().as_u16())));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.map_err(|_| unavailable("its answer broke off"))?
        {
            if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(unavailable("its answer is larger than 256 KiB"));
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(|_| unavailable("its answer is not what it must be"))
    }
}

fn unavailable(what: &str) -> FetchError {
    FetchError::Unavailable(what.to_owned())
}

/// Whether nobody between us and the server could give us keys of his own.
fn is_safe(url: &Url) -> bool {
    let local = match url.host_str() {
        Some("localhost" | "127.0.0.1" | "[::1]") => true,
        Some(_) | None => false,
    };
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && local))
}

#[async_trait]
impl Fetch for Http {
    async fn keys(&self) -> Result<KeySet, FetchError> {
        let known = self.keys_at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let url = match known {
            Some(url) => url,
            None => self.discover().await?,
        };
        let fetched = match self.get::<KeySet>(url.clone()).await {
            Ok(keys) if keys.is_empty() => Err(unavailable("it has no key that we can use")),
            fetched => fetched,
        };
        // Keys may have moved: after a failure they are discovered again.
        self.remember(fetched.is_ok().then_some(url));
        fetched
    }
}
