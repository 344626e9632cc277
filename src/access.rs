//! Who may call what. Runs in front of every service: proves who calls, and checks the role
//! against one table by method. Orders decide for themselves whose they are.
//! Never here: tokens in logs or errors.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use order_actor::domain::{By, Role};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use shared_events::contract::CustomerId;
use tonic::Status;

use crate::refusal::refused;

/// Who may call.
#[derive(Clone)]
pub enum Access {
    /// Everybody who reaches the address, which must be loopback; the caller says who they are by
    /// `ordinal-role` and `ordinal-subject`, and is an operator where they say nothing.
    Development,
    /// Those with one of these bearer tokens, by the hash of the token.
    Tokens(Arc<HashMap<[u8; 32], By>>),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Development => f.write_str("Development"),
            Self::Tokens(tokens) => write!(f, "Tokens({})", tokens.len()),
        }
    }
}

/// A line of the token file.
#[derive(Deserialize)]
struct TokenLine {
    token: String,
    role: Role,
    subject: String,
}

/// A token of which the file has the hash only: whoever reads it cannot call.
#[derive(Deserialize)]
struct HashLine {
    sha256: String,
    role: Role,
    subject: String,
}

#[derive(Deserialize)]
struct TokenFile {
    #[serde(default)]
    tokens: Vec<TokenLine>,
    #[serde(default)]
    hashes: Vec<HashLine>,
}

/// SHA-256, so that every system has a tool for it. Tokens are drawn, not thought out: nobody tries them
/// all.
pub(crate) fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The hash that 64 hexadecimal digits say.
fn hash(digits: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let whole = digits.len() == 64 && digits.is_ascii();
    for (place, byte) in hash.iter_mut().enumerate().filter(|_| whole) {
        *byte = u8::from_str_radix(digits.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    whole.then_some(hash)
}

/// A shorter token could be guessed.
const TOKEN_LEN_MIN: usize = 32;

impl Access {
    /// Everybody on this machine.
    #[must_use]
    pub const fn development() -> Self {
        Self::Development
    }

    /// Reads a TOML file of `[[tokens]]` with `token` (32 characters or more), `role` (`CUSTOMER`,
    /// `SERVICE` or `OPS`) and `subject` (a customer id, or a name); or of `[[hashes]]` with `sha256`
    /// (64 hexadecimal digits) instead of the token.
    ///
    /// # Errors
    /// Where the file cannot be read or a line is wrong; never shows a token.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        use figment::providers::{Format as _, Toml};
        let file: TokenFile = figment::Figment::from(Toml::file_exact(path))
            .extract()
            .with_context(|| format!("token file {}", path.display()))?;
        let mut tokens = HashMap::new();
        for (number, line) in (1..).zip(file.tokens) {
            anyhow::ensure!(
                line.token.len() >= TOKEN_LEN_MIN,
                "token {number} has fewer than {TOKEN_LEN_MIN} characters"
            );
            anyhow::ensure!(line.role != Role::Engine, "token {number}: no caller is ENGINE");
            anyhow::ensure!(
                line.role != Role::Customer || line.subject.parse::<CustomerId>().is_ok(),
                "token {number}: the subject of a CUSTOMER is a customer id"
            );
            let by = By { role: line.role, subject: line.subject };
            tokens.insert(hash_of(&line.token), by);
        }
        for (number, line) in (1..).zip(file.hashes) {
            let named = |what: &str| anyhow::anyhow!("hash {number}: {what}");
            let hash =
                hash(&line.sha256).ok_or_else(|| named("sha256 has 64 hexadecimal digits"))?;
            let right = match line.role {
                Role::Engine => return Err(named("no caller is ENGINE")),
                Role::Customer => line.subject.parse::<CustomerId>().is_ok(),
                Role::Service | Role::Ops => !line.subject.trim().is_empty(),
            };
            anyhow::ensure!(right, named("the subject is a name, of a CUSTOMER a customer id"));
            let by = By { role: line.role, subject: line.subject };
            anyhow::ensure!(
                tokens.insert(hash, by).is_none(),
                named("its token stands there twice")
            );
        }
        anyhow::ensure!(!tokens.is_empty(), "token file {} names no token", path.display());
        Ok(Self::Tokens(Arc::new(tokens)))
    }

    /// Whether it is safe to listen there.
    ///
    /// # Errors
    /// Where everybody could call from other machines.
    pub fn check(&self, listen: SocketAddr) -> anyhow::Result<()> {
        anyhow::ensure!(
            matches!(self, Self::Tokens(_)) || listen.ip().is_loopback(),
            "without --tokens the engine listens on loopback only, not on {listen}"
        );
        Ok(())
    }

    /// Proves who calls and whether their role may call this method.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `PERMISSION_DENIED`, each with an `ErrorInfo`.
    pub fn admit(&self, path: &str, headers: &http::HeaderMap) -> Result<Option<By>, Status> {
        if is_public(path) {
            return Ok(None);
        }
        let by = self.caller(headers)?;
        if may_call(path, by.role) {
            Ok(Some(by))
        } else {
            let message = format!("the role {} may not call {path}", by.role.code());
            Err(refused(tonic::Code::PermissionDenied, "FORBIDDEN", &message))
        }
    }

    fn caller(&self, headers: &http::HeaderMap) -> Result<By, Status> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match self {
            Self::Tokens(tokens) => text("authorization")
                .and_then(|value| value.strip_prefix("Bearer "))
                .and_then(|token| tokens.get(&hash_of(token)))
                .cloned()
                .ok_or_else(|| {
                    let message = "a known bearer token is required in authorization";
                    refused(tonic::Code::Unauthenticated, "UNAUTHENTICATED", message)
                }),
            Self::Development => {
                let role = match text("ordinal-role") {
                    None => Role::Ops,
                    Some(role) if role.eq_ignore_ascii_case("customer") => Role::Customer,
                    Some(role) if role.eq_ignore_ascii_case("service") => Role::Service,
                    Some(role) if role.eq_ignore_ascii_case("ops") => Role::Ops,
                    Some(_) => {
                        let message = "ordinal-role is customer, service or ops";
                        return Err(refused(
                            tonic::Code::Unauthenticated,
                            "UNAUTHENTICATED",
                            message,
                        ));
                    }
                };
                let subject = text("ordinal-subject").unwrap_or("developer");
                if role == Role::Customer && subject.parse::<CustomerId>().is_err() {
                    let message = "the ordinal-subject of a customer is a customer id";
                    return Err(refused(tonic::Code::Unauthenticated, "UNAUTHENTICATED", message));
                }
                Ok(By { role, subject: subject.to_owned() })
            }
        }
    }
}

fn is_public(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.")
}

/// The table. What is not named is denied.
fn may_call(path: &str, role: Role) -> bool {
    let Some((service, method)) = path.trim_start_matches('/').split_once('/') else {
        return false;
    };
    let reads = method.starts_with("Get") || method.starts_with("List");
    match service {
        // Orders know whose they are and who may do what to them.
        "ordinal.orders.v1.OrderService" => true,
        "ordinal.orders.v1.JournalService" => match method {
            "ListOrderEvents" | "DiffOrder" => true,
            "ReadFacts" => matches!(role, Role::Service | Role::Ops),
            _ => role == Role::Ops,
        },
        "ordinal.inventory.v1.InventoryService" => matches!(role, Role::Service | Role::Ops),
        "ordinal.notifications.v1.NotificationService" => {
            role == Role::Ops || (reads && role == Role::Service)
        }
        "ordinal.facts.v1.FactService" => matches!(role, Role::Service | Role::Ops),
        "ordinal.admin.v1.AdminService" => role == Role::Ops,
        _ => false,
    }
}
