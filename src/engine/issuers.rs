//! Flags of the issuers whose signed tokens are accepted.
//! Never here: the check of a token.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use edge_auth::{IssuerSettings, Issuers, KeySet, PublicKey, Role, SigningKey, own_issuer};
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format as _, Toml};
use serde::Deserialize;

use crate::edge::tokens::OwnTokens;

/// Issuers of one engine: each is asked for its keys.
const ISSUERS_MAX: usize = 16;

/// Flags of issuers.
#[derive(Debug, clap::Args)]
pub struct IssuerArgs {
    /// Accept tokens (JWT) of this issuer, an OIDC provider, beside those of --tokens: its URL
    /// exactly as its tokens name it. Its keys are found by discovery (docs/security.md).
    #[arg(long, value_name = "URL", env = "ORDINAL_ISSUER", requires = "audience")]
    issuer: Option<String>,
    /// Whom the issuer's tokens must be for; several separated by commas.
    #[arg(long, value_name = "NAME", env = "ORDINAL_AUDIENCE", value_delimiter = ',')]
    audience: Vec<String>,
    /// The claim with the roles or groups of a caller, such as realm_access.roles.
    #[arg(long, value_name = "CLAIM", env = "ORDINAL_ISSUER_ROLES")]
    issuer_roles: Option<String>,
    /// What a role or group of the issuer is here: CUSTOMER, SERVICE, RETURNS_DESK or OPS; several
    /// separated by commas.
    #[arg(long, value_name = "ROLE=OURS", env = "ORDINAL_ISSUER_MAP", value_delimiter = ',', value_parser = mapped)]
    issuer_map: Vec<(String, Role)>,
    /// The claim with the id of a customer: who has it and no role of the map is a CUSTOMER.
    #[arg(long, value_name = "CLAIM", env = "ORDINAL_ISSUER_CUSTOMER")]
    issuer_customer: Option<String>,
    /// The claim with scopes: services and operators may do only what these name (docs/access.md).
    #[arg(long, value_name = "CLAIM", env = "ORDINAL_ISSUER_SCOPES")]
    issuer_scopes: Option<String>,
    /// Trust the issuer's certificate by the authorities in this PEM file, beside public ones.
    #[arg(long, value_name = "FILE", env = "ORDINAL_ISSUER_CA")]
    issuer_ca: Option<PathBuf>,
    /// A TOML file with several issuers, each as [[issuer]]; the settings file may hold them itself.
    #[arg(long, value_name = "FILE", env = "ORDINAL_ISSUERS")]
    issuers: Option<PathBuf>,
    /// Accept tokens that `ordinal token issue` signs with this key, or with the private part of
    /// this public key.
    #[arg(long, value_name = "FILE", env = "ORDINAL_ISSUER_KEY")]
    issuer_key: Option<PathBuf>,
    /// Sign tokens of customers for services that ask for them (POST /v1/tokens), with the private
    /// key of --issuer-key.
    #[arg(long, env = "ORDINAL_ISSUE_TOKENS", requires = "issuer_key")]
    issue_tokens: bool,
}

fn mapped(text: &str) -> Result<(String, Role), String> {
    let (name, role) = text.rsplit_once('=').ok_or("is not ROLE=OURS, such as admins=OPS")?;
    if name.is_empty() {
        return Err("has no name before the =".to_owned());
    }
    Ok((name.to_owned(), role.parse()?))
}

#[derive(Deserialize)]
struct File {
    issuer: Vec<IssuerSettings>,
}

impl IssuerArgs {
    /// The issuers that the flags name; none if they name none.
    ///
    /// # Errors
    /// What is wrong with one of them, or with a file.
    pub fn issuers(&self) -> anyhow::Result<Option<Issuers>> {
        let mut issuers = Issuers::default();
        for settings in self.named()? {
            issuers.add(settings)?;
        }
        if let Some(path) = &self.issuer_key {
            issuers.add_own(own_issuer(), KeySet::of(public_key(path)?))?;
        }
        Ok((!issuers.is_empty()).then_some(issuers))
    }

    /// Our own issuer, if there is one.
    ///
    /// # Errors
    /// If its key cannot be read, or tokens are to be signed and it is not the private one.
    pub fn own_tokens(&self) -> anyhow::Result<Option<OwnTokens>> {
        let Some(path) = &self.issuer_key else { return Ok(None) };
        let signing = match self.issue_tokens {
            true => Some(crate::flags::secrets::read("issuer key", path)?),
            false => None,
        };
        let signing = signing.map(|text| SigningKey::from_pem(&text)).transpose();
        let wrong = |what| anyhow::anyhow!("issuer key {}: {what}", path.display());
        Ok(Some(OwnTokens::new(&public_key(path)?, signing.map_err(wrong)?)))
    }

    /// Whether any is named.
    pub const fn is_set(&self) -> bool {
        self.issuer.is_some() || self.issuers.is_some() || self.issuer_key.is_some()
    }

    fn named(&self) -> anyhow::Result<Vec<IssuerSettings>> {
        let mut named = match &self.issuers {
            Some(path) => from_file(path)?,
            None => Vec::new(),
        };
        if let Some(issuer) = &self.issuer {
            named.push(IssuerSettings {
                audience: self.audience.clone(),
                roles: self.issuer_roles.clone(),
                map: self.issuer_map.iter().cloned().collect(),
                customer: self.issuer_customer.clone(),
                scopes: self.issuer_scopes.clone(),
                ca: self.issuer_ca.clone(),
                ..IssuerSettings::new(issuer, "")
            });
        }
        Ok(named)
    }
}

/// The public key in a file. Of a private one, others must not read it.
fn public_key(path: &Path) -> anyhow::Result<PublicKey> {
    let wrong = |what: String| anyhow::anyhow!("issuer key {}: {what}", path.display());
    let mut text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    if text.contains("PRIVATE KEY") {
        text = crate::flags::secrets::read("issuer key", path)?;
    }
    PublicKey::from_pem(&text).map_err(|what| wrong(what.to_string()))
}

/// The issuers in a file. Paths in it are relative to its directory.
fn from_file(path: &Path) -> anyhow::Result<Vec<IssuerSettings>> {
    let wrong = |text: String| anyhow::anyhow!("issuers {}: {text}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let file: File =
        Figment::from(Toml::string(&text)).extract().map_err(|error| wrong(unreadable(&error)))?;
    if file.issuer.len() > ISSUERS_MAX {
        return Err(wrong(format!("more than {ISSUERS_MAX} issuers")));
    }
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    let mut names = BTreeSet::new();
    let mut issuers = file.issuer;
    for issuer in &mut issuers {
        issuer.ca = issuer.ca.take().map(|ca| directory.join(ca));
        if !names.insert(issuer.issuer.clone()) {
            return Err(wrong(format!("{}: two issuers have this URL", issuer.issuer)));
        }
    }
    Ok(issuers)
}

/// What is wrong with the file, without its values: a settings file may hold passwords.
fn unreadable(error: &figment::Error) -> String {
    let place = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(field, known) => {
            format!("{place}: unknown key {field}; there are {}", known.join(", "))
        }
        Kind::MissingField(field) if place.is_empty() => format!("it has no [[{field}]]"),
        Kind::MissingField(field) => format!("{place}: {field} is missing"),
        Kind::UnknownVariant(..) => {
            format!("{place}: not CUSTOMER, SERVICE, RETURNS_DESK or OPS")
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("{place}: not {expected}")
        }
        Kind::Message(text) if !place.is_empty() => format!("{place}: not {text}"),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            match first.strip_prefix("TOML parse error ") {
                Some(place) => format!("{place}: not valid TOML"),
                None => "not a list of [[issuer]] tables".to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(text: &str) -> Result<Vec<IssuerSettings>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let prefix = format!("issuers {}: ", file.path().display());
        from_file(file.path()).map_err(|error| error.to_string().replace(&prefix, ""))
    }

    const SHOP: &str = r#"
        listen = "127.0.0.1:7400"
        [[issuer]]
        issuer = "https://id.example/realms/shop"
        audience = ["ordinal"]
        roles = "realm_access.roles"
        map = { ordinal-ops = "OPS", ordinal-svc = "SERVICE" }
        customer = "customer_id"
        jwks = { refresh = "10m", cooldown = "30s", stale-for = "24h" }
        leeway = "30s"
    "#;

    #[test]
    fn issuers_are_read_from_a_settings_file() {
        let mut expected = IssuerSettings::new("https://id.example/realms/shop", "ordinal");
        expected.roles = Some("realm_access.roles".to_owned());
        expected.map.insert("ordinal-ops".to_owned(), Role::Ops);
        expected.map.insert("ordinal-svc".to_owned(), Role::Service);
        expected.customer = Some("customer_id".to_owned());
        expected.leeway = Duration::from_secs(30);
        assert_eq!(read(SHOP), Ok(vec![expected]));
    }

    #[test]
    fn what_is_wrong_with_an_issuer_is_named() {
        for (change, with, expected) in [
            ("audience = [\"ordinal\"]", "", "issuer.0: audience is missing"),
            ("customer =", "costumer =", "unknown key costumer"),
            ("\"OPS\"", "\"ROOT\"", "not CUSTOMER, SERVICE, RETURNS_DESK or OPS"),
            ("\"30s\"\n    ", "\"soon\"\n    ", "a duration such as 30s"),
            ("[[issuer]]", "[[issuers]]", "it has no [[issuer]]"),
            ("[[issuer]]", "[issuer", "not valid TOML"),
        ] {
            let error = read(&SHOP.replacen(change, with, 1)).unwrap_err();
            assert!(error.contains(expected), "{change}: {error}");
        }
        let (_, table) = SHOP.split_once("[[issuer]]").unwrap();
        let error = read(&format!("{SHOP}[[issuer]]{table}")).unwrap_err();
        assert!(error.contains("two issuers have this URL"), "{error}");
    }

    #[test]
    fn a_map_names_a_role_of_each_side() {
        assert_eq!(mapped("a=b=OPS"), Ok(("a=b".to_owned(), Role::Ops)));
        assert_eq!(mapped("desk=returns_desk"), Ok(("desk".to_owned(), Role::ReturnsDesk)));
        for wrong in ["OPS", "=OPS", "admins=ROOT", ""] {
            assert!(mapped(wrong).is_err(), "{wrong}");
        }
    }
}
