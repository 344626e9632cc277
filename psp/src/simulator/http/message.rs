use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::Value;

use crate::http::pairs;

/// A request that was read whole.
pub(super) struct Request {
    pub(super) method: http::Method,
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn is_post(&self) -> bool {
        self.method == http::Method::POST
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// How the caller authenticates: `bearer` or `basic`, and the secret.
    pub(super) fn credentials(&self) -> Option<(&'static str, String)> {
        let (scheme, rest) = self.header("authorization")?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(("bearer", rest.to_owned()));
        }
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (_, password) = decoded.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| ("basic", password.to_owned()))
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn form(&self) -> Vec<(String, String)> {
        pairs(std::str::from_utf8(&self.body).unwrap_or_default())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// What is answered.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: String,
    pub(super) after: Duration,
    /// The connection is closed without an answer.
    pub(super) cut: bool,
}

impl Response {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string();
        Self { status, kind: "application/json", body, after: Duration::ZERO, cut: false }
    }

    pub(super) fn csv(body: String) -> Self {
        Self { status: 200, kind: "text/csv", body, after: Duration::ZERO, cut: false }
    }

    pub(super) fn cut() -> Self {
        Self { cut: true, ..Self::json(500, &Value::Null) }
    }

    pub(super) fn not_found() -> Self {
        Self::json(404, &serde_json::json!({ "error": { "code": "not_found" } }))
    }

    pub(super) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }
}
