//! Authentication and roles, in front of every service: authenticates the caller and checks role and
//! scopes against what the method asks for. Ownership of orders is checked by the order service.
//! Never here: tokens in logs or errors.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use edge_auth::{Checked, Issuers, Wait};
use order_actor::domain::{By, Role};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use shared_events::contract::{CustomerId, Reason, TextRule, Timestamp};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::calls::{Calls, Method, is_public};
use super::policy::Kind;
use super::principal::{self, Principal};
use super::refusal::refused;

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
    listed: HashMap<[u8; 32], By>,
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

/// A line of the token file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenLine {
    token: String,
    role: Role,
    subject: String,
    #[serde(default)]
    scopes: Vec<Scope>,
}

/// A token given as its hash only, so that a reader of the file cannot call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashLine {
    sha256: String,
    role: Role,
    subject: String,
    #[serde(default)]
    scopes: Vec<Scope>,
}

/// What a token is limited to. Only those of services have scopes; without one, a service may do
/// all that its role may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scope {
    /// Read orders, and receive the goods of approved returns.
    Returns,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    #[serde(default)]
    tokens: Vec<TokenLine>,
    #[serde(default)]
    hashes: Vec<HashLine>,
}

/// SHA-256, which every system has a tool for. A fast hash suffices: tokens are random and too long
/// to be guessed.
pub(crate) fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Parses 64 hexadecimal digits.
fn hash(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(digits, &mut hash).ok()?;
    Some(hash)
}

/// Describes an error in a token file without quoting the file: any text in it may be a token.
fn wrong(error: &figment::Error) -> String {
    use figment::error::Kind;
    let path = &error.path;
    let line = match path.get(1).and_then(|index| index.parse::<usize>().ok()) {
        Some(index) if path.first().is_some_and(|table| table == "hashes") => {
            format!("hash {}: ", index.saturating_add(1))
        }
        Some(index) => format!("token {}: ", index.saturating_add(1)),
        None => String::new(),
    };
    let known = ["token", "sha256", "role", "subject", "scopes"]
        .into_iter()
        .find(|key| path.last().is_some_and(|last| last == key));
    let field = known.unwrap_or("it");
    let what = match &error.kind {
        Kind::MissingField(name) => format!("{name} is missing"),
        Kind::UnknownField(_, known) => {
            format!("unknown key; the keys are {}", known.join(", "))
        }
        Kind::UnknownVariant(..) if path.iter().any(|part| part == "scopes") => {
            "the only scope is returns".to_owned()
        }
        Kind::UnknownVariant(..) => "role is CUSTOMER, SERVICE or OPS".to_owned(),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("{field} is not {expected}")
        }
        // The parser's text has the place in its first line and quotes the file after it.
        Kind::Message(text) => match text.lines().next() {
            Some(first) if first.starts_with("TOML parse error at line ") => {
                format!(
                    "{}: invalid TOML; tokens must be in quotes",
                    first.replace("TOML parse error ", "")
                )
            }
            _ => format!("{field} is invalid"),
        },
        _ => "it cannot be read".to_owned(),
    };
    format!("{line}{what}")
}

/// Shorter tokens could be guessed.
const TOKEN_LEN_MIN: usize = 32;
/// A subject is stored in every event that its holder causes.
const SUBJECT_LEN_MAX: usize = 200;

/// Checks that a token is too long to be guessed and valid in a header.
fn check_token(token: &str) -> Result<(), String> {
    if token.len() < TOKEN_LEN_MIN {
        return Err(format!("it is shorter than {TOKEN_LEN_MIN} characters"));
    }
    let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
    printable
        .then_some(())
        .ok_or_else(|| "it has characters that are not allowed in a header".to_owned())
}

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

/// The caller that a token with these scopes stands for.
fn scoped(role: Role, subject: &str, scopes: &[Scope]) -> Result<By, String> {
    match (holder(role, subject)?, scopes) {
        (by, []) => Ok(by),
        (By::Service(name), [Scope::Returns, ..]) => Ok(By::ReturnsDesk(name)),
        _ => Err("scopes are for role SERVICE".to_owned()),
    }
}

impl Access {
    /// Without tokens, for callers on this machine.
    #[must_use]
    pub const fn development() -> Self {
        Self::Development
    }

    /// Reads a TOML file of `[[tokens]]` with `token` (32 characters or more), `role`
    /// (`CUSTOMER`, `SERVICE` or `OPS`) and `subject` (a customer id or a name), and of `[[hashes]]`
    /// with `sha256` (64 hexadecimal digits) instead of the token. A `SERVICE` may have `scopes`.
    ///
    /// # Errors
    /// If the file cannot be read or an entry is invalid; never shows a token.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        use figment::providers::{Format as _, Toml};
        let named = |what: String| anyhow::anyhow!("token file {}: {what}", path.display());
        let text = crate::flags::secrets::read("token file", path)?;
        let file: TokenFile = figment::Figment::from(Toml::string(&text))
            .extract()
            .map_err(|error| named(wrong(&error)))?;
        let mut tokens = HashMap::new();
        for (number, line) in (1..).zip(file.tokens) {
            let by = check_token(&line.token)
                .and_then(|()| scoped(line.role, &line.subject, &line.scopes));
            let by = by.map_err(|what| named(format!("token {number}: {what}")))?;
            if tokens.insert(hash_of(&line.token), by).is_some() {
                return Err(named(format!("token {number} is a duplicate")));
            }
        }
        for (number, line) in (1..).zip(file.hashes) {
            let wrong = |what: String| named(format!("hash {number}: {what}"));
            let hash = hash(&line.sha256)
                .ok_or_else(|| wrong("sha256 must have 64 hexadecimal digits".to_owned()))?;
            let by = scoped(line.role, &line.subject, &line.scopes).map_err(wrong)?;
            if tokens.insert(hash, by).is_some() {
                return Err(wrong("its token is a duplicate".to_owned()));
            }
        }
        if tokens.is_empty() {
            return Err(named("it has no tokens, so nobody could call".to_owned()));
        }
        Ok(Self::Tokens(Arc::new(Tokens { listed: tokens, issuers: Issuers::default() })))
    }

    /// By the tokens of these issuers, beside listed ones.
    #[must_use]
    pub fn and_issuers(self, issuers: Issuers) -> Self {
        let listed = match self {
            Self::Development => HashMap::new(),
            Self::Tokens(tokens) => tokens.listed.clone(),
        };
        Self::Tokens(Arc::new(Tokens { listed, issuers }))
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

    fn caller(&self, headers: &http::HeaderMap, now: Timestamp) -> Result<Principal, NotAdmitted> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Self::Tokens(tokens) => {
                let token = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
                match token {
                    Some(token) => tokens.caller(token, now),
                    None => Err(unknown().into()),
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
        if let Some(by) = self.listed.get(&hash) {
            return Ok(Principal::from(by.clone()));
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
