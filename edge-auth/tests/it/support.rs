//! An issuer whose keys and answers a test decides, and tokens of every kind.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edge_auth::{
    Checked, Denied, Fetch, FetchError, Identity, IssuerSettings, Issuers, KeySet, Role,
};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};
use shared_events::contract::Timestamp;
use tokio_util::sync::CancellationToken;

pub const ISSUER: &str = "https://id.example/realms/shop";

/// The time of the tests, in seconds.
pub const SECOND: i64 = 1_800_000_000;

pub fn now() -> Timestamp {
    Timestamp::from_micros(SECOND * 1_000_000)
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key of an issuer.
pub enum Key {
    Rsa(Box<RsaKeyPair>),
    Es(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Key {
    pub fn es() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::Es(EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap())
    }

    pub fn ed() -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap())
    }

    pub fn rsa() -> Self {
        let text = include_str!("keys/only-for-tests.pem");
        let inside: String = text.lines().filter(|line| !line.starts_with("---")).collect();
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(&STANDARD.decode(inside).unwrap()).unwrap()))
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Es(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// As an issuer shows it.
    pub fn shown(&self, name: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let [n, e] = [&public.n, &public.e].map(base64);
                json!({"kty": "RSA", "kid": name, "use": "sig", "alg": "RS256", "n": n, "e": e})
            }
            Self::Es(pair) => {
                let point = pair.public_key().as_ref();
                let [x, y] = [&point[1..33], &point[33..]].map(base64);
                json!({"kty": "EC", "crv": "P-256", "kid": name, "x": x, "y": y})
            }
            Self::Ed(pair) => {
                let x = base64(pair.public_key());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": name, "x": x, "alg": "EdDSA"})
            }
        }
    }

    pub fn sign(&self, text: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Es(pair) => pair.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(text.as_bytes()).as_ref().to_vec(),
        }
    }

    pub fn token(&self, name: &str, claims: &Value) -> String {
        self.with_header(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": name}), claims)
    }

    pub fn with_header(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        format!("{signed}.{}", base64(self.sign(&signed)))
    }
}

/// Claims of an operator, valid for five minutes.
pub fn claims() -> Value {
    let second = SECOND;
    json!({
        "iss": ISSUER, "aud": ["account", "ordinal"], "sub": "anna", "iat": second,
        "exp": second + 300, "realm_access": {"roles": ["offline_access", "ordinal-ops"]},
    })
}

/// Claims with one of them replaced, or removed by null.
pub fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

pub fn settings() -> IssuerSettings {
    let mut settings = IssuerSettings::new(ISSUER, "ordinal");
    settings.roles = Some("realm_access.roles".to_owned());
    settings.map.insert("ordinal-ops".to_owned(), Role::Ops);
    settings.map.insert("ordinal-svc".to_owned(), Role::Service);
    settings.customer = Some("customer_id".to_owned());
    settings
}

/// What an issuer answers, and how often it was asked.
pub struct Answers {
    pub keys: Mutex<Option<Vec<Value>>>,
    pub fetches: AtomicUsize,
    pub takes: Duration,
}

#[async_trait]
impl Fetch for Answers {
    async fn keys(&self) -> Result<KeySet, FetchError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.takes).await;
        match &*self.keys.lock().unwrap() {
            Some(keys) => Ok(serde_json::from_value(json!({"keys": keys})).unwrap()),
            None => Err(FetchError::Unavailable("away".to_owned())),
        }
    }
}

/// Issuers with one whose keys a test decides.
pub struct Desk {
    pub issuers: Arc<Issuers>,
    pub answers: Arc<Answers>,
    pub stop: CancellationToken,
}

impl Desk {
    /// With these keys, fetched once. Not kept up to date yet.
    pub async fn open(keys: Vec<Value>) -> Self {
        Self::with_settings(keys, settings()).await
    }

    pub async fn with_settings(keys: Vec<Value>, settings: IssuerSettings) -> Self {
        let answers = Arc::new(Answers {
            keys: Mutex::new(Some(keys)),
            fetches: AtomicUsize::new(0),
            takes: Duration::from_millis(20),
        });
        let mut issuers = Issuers::default();
        issuers.add_fetched(settings, answers.clone()).unwrap();
        issuers.begin().await.unwrap();
        Self { issuers: Arc::new(issuers), answers, stop: CancellationToken::new() }
    }

    /// Keeps the keys up to date from now on.
    pub fn run(&self) {
        for running in self.issuers.running(&self.stop) {
            tokio::spawn(running);
        }
    }

    pub fn show(&self, keys: Option<Vec<Value>>) {
        *self.answers.keys.lock().unwrap() = keys;
    }

    pub fn fetches(&self) -> usize {
        self.answers.fetches.load(Ordering::Relaxed)
    }

    pub fn check_at(&self, token: &str, now: Timestamp) -> Result<Identity, Denied> {
        match self.checked(token, now) {
            Checked::Holder(identity) => Ok((*identity).clone()),
            Checked::Denied(denied) => Err(denied),
            Checked::Wait(_) => panic!("asks for keys"),
        }
    }

    pub fn check(&self, token: &str) -> Result<Identity, Denied> {
        self.check_at(token, now())
    }

    fn checked(&self, token: &str, now: Timestamp) -> Checked {
        let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        self.issuers.check(token, hash.as_ref().try_into().unwrap(), now)
    }

    /// As a call does: it waits once where keys are fetched.
    pub async fn call(&self, token: &str) -> Result<Identity, Denied> {
        match self.checked(token, now()) {
            Checked::Holder(identity) => Ok((*identity).clone()),
            Checked::Denied(denied) => Err(denied),
            Checked::Wait(wait) => {
                if !wait.done().await {
                    return Err(Denied::Unavailable);
                }
                match self.checked(token, now()) {
                    Checked::Holder(identity) => Ok((*identity).clone()),
                    Checked::Denied(denied) => Err(denied),
                    Checked::Wait(_) => Err(Denied::Unavailable),
                }
            }
        }
    }
}
