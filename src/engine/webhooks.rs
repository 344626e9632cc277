//! Webhook endpoints from a file, beside the one that flags name.
//! Never here: a secret or a URL in an error.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format as _, Toml};
use notification::{Route, Webhook, WebhookSecret};
use serde::Deserialize;
use shared_events::contract::OrderFact;

/// Secrets that sign a call: the new one, and earlier ones that receivers may still have.
const SECRETS_MAX: usize = 5;
/// Endpoints of one engine: each has connections and retries of its own.
const ENDPOINTS_MAX: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    webhook: Vec<Endpoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Endpoint {
    name: String,
    url: String,
    secret_file: PathBuf,
    #[serde(default)]
    types: Vec<String>,
    ca: Option<PathBuf>,
}

/// The endpoints in a file. Paths in it are relative to its directory.
///
/// # Errors
/// What is wrong with the file, or with a file that it names.
pub fn from_file(path: &Path) -> anyhow::Result<Vec<Webhook>> {
    let wrong = |text: String| anyhow::anyhow!("webhooks {}: {text}", path.display());
    let text = crate::flags::secrets::read("webhooks", path)?;
    let file: File = Figment::from(Toml::string(&text))
        .extract()
        .map_err(|error| wrong(unreadable(&error, "webhook")))?;
    if file.webhook.len() > ENDPOINTS_MAX {
        return Err(wrong(format!("more than {ENDPOINTS_MAX} endpoints")));
    }
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    let mut names = BTreeSet::new();
    let mut webhooks = Vec::new();
    for endpoint in file.webhook {
        let name = endpoint.name;
        let about = |text: &str| wrong(format!("{name}: {text}"));
        if !Route::is_endpoint_name(&name) {
            let text = "a name has 1 to 40 small letters, digits and hyphens";
            return Err(wrong(format!("{name:?}: {text}")));
        }
        if name == Route::DEFAULT_ENDPOINT {
            return Err(about("this is the name of the endpoint of --webhook-url"));
        }
        if !names.insert(name.clone()) {
            return Err(about("two endpoints have this name"));
        }
        if let Some(unknown) =
            endpoint.types.iter().find(|one| !OrderFact::KINDS.contains(&one.as_str()))
        {
            let known = OrderFact::KINDS.join(", ");
            return Err(about(&format!("{unknown} is not a type of fact; there are {known}")));
        }
        let secrets = secrets(&directory.join(endpoint.secret_file))?;
        let authorities = match endpoint.ca {
            Some(ca) => authorities("webhook", &directory.join(ca))?,
            None => Vec::new(),
        };
        let (types, url) = (endpoint.types, endpoint.url);
        webhooks.push(Webhook { name, types, url, secrets, authorities });
    }
    Ok(webhooks)
}

/// The secrets in a file, one per line.
///
/// # Errors
/// Where it cannot be read or has a line that is not a secret.
pub fn secrets(path: &Path) -> anyhow::Result<Vec<WebhookSecret>> {
    let text = crate::flags::secrets::read("webhook secret", path)?;
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if !line.is_empty() {
            let secret = line.parse().map_err(|error| {
                anyhow::anyhow!("webhook secret {}: line {number}: {error}", path.display())
            })?;
            secrets.push(secret);
        }
    }
    anyhow::ensure!(!secrets.is_empty(), "webhook secret {}: it is empty", path.display());
    anyhow::ensure!(
        secrets.len() <= SECRETS_MAX,
        "webhook secret {}: it has more than {SECRETS_MAX} secrets",
        path.display()
    );
    Ok(secrets)
}

/// The certificates in a file; `what` names it in messages.
///
/// # Errors
/// Where it cannot be read.
pub fn authorities(what: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| anyhow::anyhow!("{what} CA {}: {error}", path.display()))
}

/// What is wrong with the file, without its values: they may hold secrets.
pub(super) fn unreadable(error: &figment::Error, tables: &str) -> String {
    let place = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(field, known) => {
            format!("unknown key {field}; there are {}", known.join(", "))
        }
        Kind::MissingField(field) => format!("missing key {field} ({place})"),
        Kind::InvalidType(..) | Kind::InvalidValue(..) => {
            format!("{place} is not of the right type")
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            match first.strip_prefix("TOML parse error ") {
                Some(place) => format!("{place}: not valid TOML"),
                None => format!("not a list of [[{tables}]] tables"),
            }
        }
    }
}
