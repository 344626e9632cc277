//! An identity provider on this machine, whose keys, answers and absence a test decides.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edge_auth::{IssuerSettings, Issuers, Role, SigningKey};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The second at which the clock of a shop stands still.
pub const SECOND: i64 = 1_772_442_000;

struct Answers {
    /// What it calls itself, and where it is.
    name: Mutex<String>,
    keys: Mutex<Vec<Value>>,
    away: AtomicBool,
    key_fetches: AtomicUsize,
}

pub struct Issuer {
    pub url: String,
    answers: Arc<Answers>,
    key: Mutex<SigningKey>,
    serving: JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A public key as issuers show it.
fn shown(key: &SigningKey) -> Value {
    let pem = key.public_pem();
    let inside: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let der = STANDARD.decode(inside).unwrap();
    let [x, y] = [&der[27..59], &der[59..91]].map(|part| URL_SAFE_NO_PAD.encode(part));
    json!({"kty": "EC", "crv": "P-256", "kid": key.name(), "use": "sig", "x": x, "y": y})
}

fn new_key() -> SigningKey {
    SigningKey::from_pem(&SigningKey::generate().unwrap()).unwrap()
}

impl Issuer {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (url, key) = (format!("http://{address}"), new_key());
        let answers = Arc::new(Answers {
            name: Mutex::new(url.clone()),
            keys: Mutex::new(vec![shown(&key)]),
            away: AtomicBool::new(false),
            key_fetches: AtomicUsize::new(0),
        });
        let answering = Arc::clone(&answers);
        let at = url.clone();
        let serving = async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answers, at) = (Arc::clone(&answering), at.clone());
                tokio::spawn(async move { answer(&answers, &at, socket).await });
            }
        };
        Self { url, answers, key: Mutex::new(key), serving: tokio::spawn(serving) }
    }

    pub fn be_away(&self, away: bool) {
        self.answers.away.store(away, Ordering::Relaxed);
    }

    pub fn call_yourself(&self, name: &str) {
        *self.answers.name.lock().unwrap() = name.to_owned();
    }

    pub fn key_fetches(&self) -> usize {
        self.answers.key_fetches.load(Ordering::Relaxed)
    }

    /// A new key, shown beside the old ones; tokens are signed with it from now on.
    pub fn rotate(&self) {
        let key = new_key();
        self.answers.keys.lock().unwrap().push(shown(&key));
        *self.key.lock().unwrap() = key;
    }

    pub fn settings(&self) -> IssuerSettings {
        let mut settings = IssuerSettings::new(&self.url, "ordinal");
        settings.roles = Some("roles".to_owned());
        for (name, role) in [
            ("ordinal-ops", Role::Ops),
            ("ordinal-svc", Role::Service),
            ("ordinal-desk", Role::ReturnsDesk),
        ] {
            settings.map.insert(name.to_owned(), role);
        }
        settings.customer = Some("customer_id".to_owned());
        settings.scopes = Some("scope".to_owned());
        settings.jwks.cooldown = Duration::from_secs(1);
        settings
    }

    pub fn issuers(&self) -> Issuers {
        let mut issuers = Issuers::default();
        issuers.add(self.settings()).unwrap();
        issuers
    }

    /// A token, valid for an hour; `more` replaces claims.
    pub fn token(&self, more: &Value) -> String {
        let mut claims = json!({
            "iss": self.url, "aud": "ordinal", "sub": "anna", "scope": "*",
            "exp": SECOND + 3_600,
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.key.lock().unwrap().sign(&claims).unwrap()
    }

    pub fn ops(&self) -> String {
        self.token(&json!({"roles": ["ordinal-ops"]}))
    }

    pub fn customer(&self, id: impl ToString) -> String {
        self.token(&json!({"customer_id": id.to_string()}))
    }
}

async fn answer(answers: &Answers, at: &str, socket: TcpStream) {
    let mut socket = BufReader::new(socket);
    let mut path = String::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.unwrap_or_default() == 0 {
            return;
        }
        if line.starts_with("GET ") {
            path = line.split(' ').nth(1).unwrap().to_owned();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let (status, body) = match path.as_str() {
        _ if answers.away.load(Ordering::Relaxed) => ("503 Service Unavailable", json!({})),
        "/.well-known/openid-configuration" => {
            let name = answers.name.lock().unwrap().clone();
            ("200 OK", json!({"issuer": name, "jwks_uri": format!("{at}/keys")}))
        }
        "/keys" => {
            answers.key_fetches.fetch_add(1, Ordering::Relaxed);
            ("200 OK", json!({"keys": *answers.keys.lock().unwrap()}))
        }
        _ => ("404 Not Found", json!({})),
    };
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    let _ = socket.get_mut().write_all(format!("{head}{body}").as_bytes()).await;
}

/// The time at which the clock of a shop stands still.
pub fn now() -> shared_events::contract::Timestamp {
    shared_events::contract::Timestamp::from_micros(SECOND * 1_000_000)
}
