use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const KEY_NAME: &str = "bench";
/// Longer than the suite takes.
const VALID_FOR: Duration = Duration::from_secs(12 * 60 * 60);

/// An OIDC provider in this process, with one RSA key.
pub struct Issuer {
    /// Its URL, as its tokens name it.
    pub url: String,
    key: KeyPair,
    serving: JoinHandle<()>,
}

impl Issuer {
    /// Draws a key by `openssl`, which must be installed, and answers.
    ///
    /// # Errors
    /// Where there is no key or no free port.
    pub async fn start() -> anyhow::Result<Self> {
        let drawn = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let drawn = Command::new("openssl").args(drawn).args(["-outform", "DER"]).output();
        let drawn = drawn.context("openssl is not installed; it draws the key of row 12")?;
        // Versions differ in which of the two they write.
        let key = KeyPair::from_der(&drawn.stdout).or_else(|_| KeyPair::from_pkcs8(&drawn.stdout));
        let key = key.map_err(|error| anyhow::anyhow!("the key of openssl: {error}"))?;
        let public: PublicKeyComponents<Vec<u8>> = key.public().into();
        let [n, e] = [public.n, public.e].map(|part| URL_SAFE_NO_PAD.encode(part));
        let keys = json!({"keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_NAME, "n": n, "e": e,
        }]});
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let known = json!({
            "issuer": url,
            "jwks_uri": format!("{url}/keys"),
            "id_token_signing_alg_values_supported": ["RS256"],
        });
        let (known, keys) = (known.to_string(), keys.to_string());
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(|| async move { as_json(known) }))
            .route("/keys", get(|| async move { as_json(keys) }));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, key, serving })
    }

    /// A token of a caller of this name.
    ///
    /// # Errors
    /// Where it cannot be signed.
    pub fn token(&self, subject: &str) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let claims = json!({
            "iss": self.url, "aud": "ordinal", "sub": subject, "roles": ["shop"],
            "iat": now.as_secs(), "exp": (now + VALID_FOR).as_secs(),
        });
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": KEY_NAME});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let signed =
            self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
        signed.map_err(|_| anyhow::anyhow!("a token is not signed"))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn as_json(text: String) -> ([(&'static str, &'static str); 1], String) {
    ([("content-type", "application/json")], text)
}
