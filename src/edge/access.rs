//! Authentication and roles, in front of every service: authenticates the caller and checks role and
//! scopes against what the method asks for. Ownership of orders is checked by the order service.
//! Never here: tokens in logs or errors.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use edge_auth::{Checked, Issuers, Wait};
use order_actor::domain::{By, Role};
use sha2::{Digest as _, Sha256};
use shared_events::contract::{CustomerId, Reason, TextRule, Timestamp};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::calls::{Calls, Method, is_public};
use super::certificates::{FromPeer, Holders};
use super::forward::says_forwarded;
use super::policy::Kind;
use super::principal::{self, Principal};
use super::refusal::refused;
use super::token_file::Listed;
use super::upstream::PEER;

/// How callers are authenticated.
#[derive(Clone)]
pub enum Access {
    /// Without tokens, on loopback only: callers name themselves by `ordinal-role` and
    /// `ordinal-subject`, and are operators by default.
    Development,
    /// By bearer tokens: listed ones, and those that issuers have signed.
    Tokens(Arc<Tokens>),
}

/// The tokens that are accepted.
#[derive(Default)]
pub struct Tokens {
    /// Listed ones, by the hash of the token.
    listed: HashMap<[u8; 32], Listed>,
    /// Callers known by their client certificate.
    holders: Holders,
    issuers: Issuers,
}

/// Why a call is not let in, or not yet.
pub(super) enum NotAdmitted {
    /// It is refused.
    Refused(Status),
    /// The key of its token may be new: look again after this.
    Wait(Wait),
}

impl From<Status> for NotAdmitted {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Development => f.write_str("Development"),
            Self::Tokens(tokens) => {
                write!(f, "Tokens({}, {:?})", tokens.listed.len(), tokens.issuers)
            }
        }
    }
}

/// SHA-256, which every system has a tool for. A fast hash suffices: tokens are random and too long
/// to be guessed.
pub(crate) fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A subject is stored in every event that its holder causes.
pub(crate) const SUBJECT_LEN_MAX: usize = 200;

/// The caller that a token stands for.
pub(super) fn holder(role: Role, subject: &str) -> Result<By, String> {
    let named = || match TextRule::line(SUBJECT_LEN_MAX).check(subject) {
        _ if subject.trim().is_empty() => Err("the subject is empty".to_owned()),
        Ok(()) => Ok(subject.to_owned()),
        Err(error) => Err(format!("the subject must be a name: {error}")),
    };
    match role {
        Role::Engine => Err("role ENGINE is not for callers".to_owned()),
        Role::Customer => match subject.parse::<CustomerId>() {
            Ok(customer) => Ok(By::Customer(customer)),
            Err(error) => Err(format!("the subject of a CUSTOMER must be a customer id: {error}")),
        },
        Role::Service => named().map(|name| By::Service(name.into())),
        Role::Ops => named().map(|name| By::Ops(name.into())),
    }
}

impl Access {
    /// Without tokens, for callers on this machine.
    #[must_use]
    pub const fn development() -> Self {
        Self::Development
    }

    /// Whether callers need no token.
    pub(crate) const fn is_development(&self) -> bool {
        matches!(self, Self::Development)
    }

    /// Reads a TOML file of `[[tokens]]` with `token` (32 characters or more), `role`
    /// (`CUSTOMER`, `SERVICE` or `OPS`) and `subject` (a customer id or a name), and of `[[hashes]]`
    /// with `sha256` (64 hexadecimal digits) instead of the token. A `SERVICE` may have `scopes`, or be a
    /// process of this installation (`peer`).
    /// In `[[certificates]]` a name in a client certificate (`san`) stands for a caller.
    ///
    /// # Errors
    /// If the file cannot be read or an entry is invalid; never shows a token.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let (listed, holders) = super::token_file::read(path)?;
        Ok(Self::Tokens(Arc::new(Tokens { listed, holders, issuers: Issuers::default() })))
    }

    /// By the tokens of these issuers, beside listed ones.
    #[must_use]
    pub fn and_issuers(self, issuers: Issuers) -> Self {
        let (listed, holders) = match self {
            Self::Development => (HashMap::new(), Holders::default()),
            Self::Tokens(tokens) => (tokens.listed.clone(), tokens.holders.clone()),
        };
        Self::Tokens(Arc::new(Tokens { listed, holders, issuers }))
    }

    /// Whether callers are known by a client certificate.
    pub(crate) fn knows_certificates(&self) -> bool {
        matches!(self, Self::Tokens(tokens) if !tokens.holders.is_empty())
    }

    /// The callers that are known by their client certificate.
    pub(super) fn holders(&self) -> Holders {
        match self {
            Self::Development => Holders::default(),
            Self::Tokens(tokens) => tokens.holders.clone(),
        }
    }

    /// Fetches the keys of all issuers once.
    ///
    /// # Errors
    /// If an issuer calls itself otherwise than the settings do.
    pub async fn begin(&self) -> anyhow::Result<()> {
        match self {
            Self::Development => Ok(()),
            Self::Tokens(tokens) => Ok(tokens.issuers.begin().await?),
        }
    }

    /// Keeps the keys of all issuers up to date until stopped: one future for each.
    pub fn running(
        &self,
        stop: &CancellationToken,
    ) -> Vec<impl Future<Output = ()> + Send + use<>> {
        match self {
            Self::Development => Vec::new(),
            Self::Tokens(tokens) => tokens.issuers.running(stop),
        }
    }

    /// How long ago the keys of each issuer were fetched.
    pub(crate) fn key_ages(&self) -> Vec<(String, std::time::Duration)> {
        match self {
            Self::Development => Vec::new(),
            Self::Tokens(tokens) => {
                tokens.issuers.ages().map(|(name, age)| (name.to_owned(), age)).collect()
            }
        }
    }

    /// Checks that it is safe to listen at this address.
    ///
    /// # Errors
    /// If callers on other machines could call without a token.
    pub fn check(&self, listen: SocketAddr) -> anyhow::Result<()> {
        anyhow::ensure!(
            matches!(self, Self::Tokens(_)) || listen.ip().is_loopback(),
            "without --tokens or an issuer the engine listens on loopback only, not on {listen}"
        );
        Ok(())
    }

    /// Authenticates the caller and checks that it may call this method.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `UNIMPLEMENTED`, `PERMISSION_DENIED`, `UNAVAILABLE`, each with an
    /// `ErrorInfo`; or a wait for keys.
    pub(super) fn admit(
        &self,
        calls: &Calls,
        (path, method): (&str, Option<&Method>),
        headers: &http::HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Principal>, NotAdmitted> {
        if is_public(path) {
            return Ok(None);
        }
        let principal = self.caller(headers, now)?;
        let Some(method) = method else { return Err(calls.unknown(path).into()) };
        let kind = Kind::of(&principal.by);
        let policy = method.policy.as_ref();
        if !policy.zip(kind).is_some_and(|(policy, kind)| policy.admits(kind)) {
            let message = match &principal.by {
                By::ReturnsDesk(_) => format!("a token of scope returns may not call {path}"),
                by => format!("the role {} may not call {path}", by.role().code()),
            };
            return Err(refused(Reason::Forbidden, &message).into());
        }
        match policy.zip(kind).filter(|(policy, kind)| !principal.in_scope(policy, *kind)) {
            Some((policy, _)) => Err(principal::out_of_scope(policy, path).into()),
            None => Ok(Some(principal)),
        }
    }

    /// The caller that a call names, for what is derived from it before it is admitted. A signed
    /// token is not verified here: its key may have to be fetched first.
    #[must_use]
    pub fn claimed(&self, headers: &http::HeaderMap, now: Timestamp) -> Option<By> {
        let principal = match (self.caller(headers, now), self) {
            (Ok(principal), _) => principal,
            (Err(NotAdmitted::Wait(_)), Self::Tokens(tokens)) => {
                let token = headers.get("authorization")?.to_str().ok()?;
                let token = token.strip_prefix("Bearer ")?;
                principal::of_identity(Arc::new(tokens.issuers.claimed(token, now)?)).ok()?
            }
            _ => return None,
        };
        Some(principal.by)
    }

    /// Whether a process of this installation sends a call of this caller: it shows a listed token
    /// with `peer = true` that is not the caller's own. Without tokens everybody is believed.
    fn knows_peer(&self, headers: &http::HeaderMap, by: Option<&By>) -> bool {
        let Self::Tokens(tokens) = self else { return true };
        let said = headers.get(PEER).and_then(|value| value.to_str().ok());
        let token = said.and_then(|value| value.strip_prefix("Bearer "));
        let peer = token.and_then(|token| tokens.listed.get(&hash_of(token)));
        peer.is_some_and(|peer| peer.is_peer && Some(&peer.by) != by)
    }

    /// Whether a process of this installation has forwarded this call: it says so, and is known by
    /// its certificate or its token ([`Self::knows_peer`]).
    pub(super) fn is_from_peer<B>(&self, request: &http::Request<B>, by: Option<&By>) -> bool {
        let by_certificate = || request.extensions().get::<FromPeer>().is_some();
        says_forwarded(request.headers())
            && (by_certificate() || self.knows_peer(request.headers(), by))
    }

    fn caller(&self, headers: &http::HeaderMap, now: Timestamp) -> Result<Principal, NotAdmitted> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Self::Tokens(tokens) => {
                let token = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
                match token {
                    Some(token) => tokens.caller(token, now),
                    None => Ok(tokens.holders.caller(headers, now)?.ok_or_else(unknown)?),
                }
            }
            Self::Development => {
                let role = match text("ordinal-role") {
                    None => Role::Ops,
                    Some(role) if role.eq_ignore_ascii_case("customer") => Role::Customer,
                    Some(role) if role.eq_ignore_ascii_case("service") => Role::Service,
                    Some(role) if role.eq_ignore_ascii_case("ops") => Role::Ops,
                    Some(_) => {
                        let message = "ordinal-role must be customer, service or ops";
                        return Err(refused(Reason::Unauthenticated, message).into());
                    }
                };
                let by = holder(role, text("ordinal-subject").unwrap_or("developer"));
                by.map(Principal::from).map_err(|what| {
                    let message = format!("ordinal-subject and ordinal-role: {what}");
                    refused(Reason::Unauthenticated, &message).into()
                })
            }
        }
    }
}

fn unknown() -> Status {
    refused(Reason::Unauthenticated, "a known bearer token is required in authorization")
}

impl Tokens {
    /// The holder of a listed token, or of one that an issuer has signed.
    fn caller(&self, token: &str, now: Timestamp) -> Result<Principal, NotAdmitted> {
        let hash = hash_of(token);
        if let Some(listed) = self.listed.get(&hash) {
            return Ok(Principal::from(listed.by.clone()));
        }
        // A text without dots is none of an issuer's.
        if self.issuers.is_empty() || !token.contains('.') {
            return Err(unknown().into());
        }
        match self.issuers.check(token, hash, now) {
            Checked::Holder(identity) => Ok(principal::of_identity(identity)?),
            Checked::Denied(denied) => Err(principal::denied(denied).into()),
            Checked::Wait(wait) => Err(NotAdmitted::Wait(wait)),
        }
    }
}
