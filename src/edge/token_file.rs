//! The file of `--tokens`: tokens, their hashes, and names in client certificates, each with the
//! caller that it stands for.
//! Never here: a token in an error.

use std::collections::HashMap;
use std::path::Path;

use order_actor::domain::{By, Role};
use serde::Deserialize;

use super::access::{hash_of, holder};
use super::certificates::Holders;

/// Whom a token or a client certificate stands for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) by: By,
    /// A process of this installation.
    pub(super) is_peer: bool,
}

impl Listed {
    pub(super) fn new(by: By, is_peer: bool) -> Result<Self, String> {
        if is_peer && !matches!(by, By::Service(_)) {
            return Err("peer is for role SERVICE without scopes".to_owned());
        }
        Ok(Self { by, is_peer })
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
    /// Whether it is that of a process of this installation, which forwards calls of others.
    #[serde(default)]
    peer: bool,
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
    /// Whether it is that of a process of this installation, which forwards calls of others.
    #[serde(default)]
    peer: bool,
}

/// A name in a client certificate (DNS or URI, such as a SPIFFE id), and the caller it stands for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateLine {
    san: String,
    role: Role,
    subject: String,
    #[serde(default)]
    scopes: Vec<Scope>,
    /// Whether it is that of a process of this installation, which forwards calls of others.
    #[serde(default)]
    peer: bool,
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
    #[serde(default)]
    certificates: Vec<CertificateLine>,
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
        Some(index) => {
            let table = path.first().map(String::as_str);
            let what = match table {
                Some("hashes") => "hash",
                Some("certificates") => "certificate",
                _ => "token",
            };
            format!("{what} {}: ", index.saturating_add(1))
        }
        None => String::new(),
    };
    let known = ["token", "sha256", "san", "role", "subject", "scopes", "peer"]
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

/// Whom a line of the file stands for.
fn listed(role: Role, subject: &str, scopes: &[Scope], is_peer: bool) -> Result<Listed, String> {
    let by = match (holder(role, subject)?, scopes) {
        (by, []) => by,
        (By::Service(name), [Scope::Returns, ..]) => By::ReturnsDesk(name),
        _ => return Err("scopes are for role SERVICE".to_owned()),
    };
    Listed::new(by, is_peer)
}

/// The callers of a file: by the hash of their token, and by their certificate.
///
/// # Errors
/// If it cannot be read or an entry is invalid; never shows a token.
pub(super) fn read(path: &Path) -> anyhow::Result<(HashMap<[u8; 32], Listed>, Holders)> {
    use figment::providers::{Format as _, Toml};
    let named = |what: String| anyhow::anyhow!("token file {}: {what}", path.display());
    let text = crate::flags::secrets::read("token file", path)?;
    let file: TokenFile = figment::Figment::from(Toml::string(&text))
        .extract()
        .map_err(|error| named(wrong(&error)))?;
    let mut tokens = HashMap::new();
    for (number, line) in (1..).zip(file.tokens) {
        let known = check_token(&line.token)
            .and_then(|()| listed(line.role, &line.subject, &line.scopes, line.peer));
        let known = known.map_err(|what| named(format!("token {number}: {what}")))?;
        if tokens.insert(hash_of(&line.token), known).is_some() {
            return Err(named(format!("token {number} is a duplicate")));
        }
    }
    for (number, line) in (1..).zip(file.hashes) {
        let wrong = |what: String| named(format!("hash {number}: {what}"));
        let hash = hash(&line.sha256)
            .ok_or_else(|| wrong("sha256 must have 64 hexadecimal digits".to_owned()))?;
        let known = listed(line.role, &line.subject, &line.scopes, line.peer).map_err(wrong)?;
        if tokens.insert(hash, known).is_some() {
            return Err(wrong("its token is a duplicate".to_owned()));
        }
    }
    let mut holders = Holders::default();
    for (number, line) in (1..).zip(file.certificates) {
        let wrong = |what: String| named(format!("certificate {number}: {what}"));
        let known = listed(line.role, &line.subject, &line.scopes, line.peer);
        known.and_then(|known| holders.add(&line.san, known)).map_err(wrong)?;
    }
    if tokens.is_empty() && holders.is_empty() {
        return Err(named("it has no tokens, so nobody could call".to_owned()));
    }
    Ok((tokens, holders))
}
