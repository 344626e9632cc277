//! Tokens of our own issuer: the public key, as others read it, and tokens that are signed here.
//! Never here: who may ask for one; `access` has checked it before.

use std::time::Duration;

use bytes::Bytes;
use edge_auth::{Grant, MintError, PublicKey, Role, SigningKey};
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::Full;
use shared_events::contract::{CustomerId, Timestamp};
use tonic::body::Body;

/// Where the key is read.
const PATH: &str = "/.well-known/jwks.json";
/// For how long readers may keep it. A key is exchanged by a restart.
const KEPT_FOR: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Our own issuer, as this process knows it.
#[derive(Debug)]
pub struct OwnTokens {
    keys: Bytes,
    signing: Option<SigningKey>,
}

impl OwnTokens {
    /// Of this key; tokens are signed with the private part, if it is given.
    #[must_use]
    pub fn new(key: &PublicKey, signing: Option<SigningKey>) -> Self {
        Self { keys: Bytes::from(key.jwks().to_string()), signing }
    }

    /// The keys, if a request asks for them. They are public.
    pub(super) fn page(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let head_only = request.method() == Method::HEAD;
        if request.uri().path() != PATH || !(head_only || request.method() == Method::GET) {
            return None;
        }
        let keys = if head_only { Bytes::new() } else { self.keys.clone() };
        let mut answer = Response::new(Body::new(Full::new(keys)));
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, KEPT_FOR);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Some(answer)
    }

    /// A token of a customer, valid from now on; none where none are signed.
    pub(super) fn issue(
        &self,
        customer: CustomerId,
        valid_for: Duration,
        (id, now): (&str, Timestamp),
    ) -> Option<Result<String, MintError>> {
        let subject = customer.to_string();
        let grant = Grant { role: Role::Customer, subject: &subject, scopes: &[], valid_for };
        self.signing.as_ref().map(|key| key.issue(&grant, id, now))
    }
}
