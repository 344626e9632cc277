//! The settings of an issuer, as people write them, and their check.
//! Never here: a key or a token.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::Role;

/// Groups that a map may have: one for each job of a shop, and some.
const MAP_MAX: usize = 256;

/// Who issues tokens, for whom they must be, and what their claims mean here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IssuerSettings {
    /// The issuer's URL, exactly as its tokens and its discovery write it.
    pub issuer: String,
    /// Whom its tokens must be for; one of these.
    pub audience: Vec<String>,
    /// The claim with roles or groups, such as `realm_access.roles`.
    #[serde(default)]
    pub roles: Option<String>,
    /// Which role a role or group of the issuer is here.
    #[serde(default)]
    pub map: BTreeMap<String, Role>,
    /// The claim with the id of a customer. Without a role of the map its holder is a CUSTOMER.
    #[serde(default)]
    pub customer: Option<String>,
    /// The claim with the name of a service or an operator, which is stored with what they do.
    #[serde(default = "subject")]
    pub subject: String,
    /// The claim with scopes. Given, services and operators may do only what their scopes name.
    #[serde(default)]
    pub scopes: Option<String>,
    /// A file with certificates (PEM) of authorities to be trusted beside the public ones.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// When keys are fetched.
    #[serde(default)]
    pub jwks: JwksTimes,
    /// How far the issuer's clock may be from ours.
    #[serde(default = "leeway", deserialize_with = "duration")]
    pub leeway: Duration,
}

/// When keys are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct JwksTimes {
    /// How often.
    #[serde(deserialize_with = "duration")]
    pub refresh: Duration,
    /// The least time between two fetches, whatever tokens say.
    #[serde(deserialize_with = "duration")]
    pub cooldown: Duration,
    /// How long keys count while the issuer does not answer.
    #[serde(deserialize_with = "duration")]
    pub stale_for: Duration,
}

impl Default for JwksTimes {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(10 * 60),
            cooldown: crate::COOLDOWN,
            stale_for: Duration::from_secs(24 * 60 * 60),
        }
    }
}

fn subject() -> String {
    "sub".to_owned()
}

const fn leeway() -> Duration {
    Duration::from_secs(60)
}

/// A number and a unit: `30s`, `10m`, `24h`.
fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parsed(&text).ok_or_else(|| serde::de::Error::custom("a duration such as 30s, 10m or 24h"))
}

fn parsed(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit = text.chars().next_back()?;
    let number: u64 = text.strip_suffix(unit)?.trim().parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// What is wrong with the settings of an issuer, or with the issuer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("issuer {issuer}: {what}")]
pub struct IssuerError {
    /// The issuer, as the settings write it.
    pub issuer: String,
    /// What is wrong.
    pub what: String,
}

impl IssuerSettings {
    pub(crate) fn wrong(&self, what: impl Into<String>) -> IssuerError {
        IssuerError { issuer: self.issuer.clone(), what: what.into() }
    }

    /// An issuer of this URL, whose tokens are for this audience and give no role yet.
    #[must_use]
    pub fn new(issuer: &str, audience: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: vec![audience.to_owned()],
            roles: None,
            map: BTreeMap::new(),
            customer: None,
            subject: subject(),
            scopes: None,
            ca: None,
            jwks: JwksTimes::default(),
            leeway: leeway(),
        }
    }

    /// Checks that tokens of the issuer can be told from those of others, and mean something.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub fn check(&self) -> Result<(), IssuerError> {
        let err = |what: &str| Err(self.wrong(what));
        if self.audience.is_empty() || self.audience.iter().any(|one| one.trim().is_empty()) {
            return err("audience is missing: without it tokens for other programs would be taken");
        }
        if !self.map.is_empty() && self.roles.is_none() {
            return err("map needs roles: the claim that has the roles");
        }
        if self.map.is_empty() && self.customer.is_none() {
            return err("neither roles with a map nor customer: no token would give a role");
        }
        if self.map.values().any(|role| *role == Role::Customer) && self.customer.is_none() {
            return err("map has CUSTOMER, which needs customer: the claim with the customer's id");
        }
        if self.map.len() > MAP_MAX {
            return err("map has more than 256 entries");
        }
        let claims = [Some(&self.subject), self.roles.as_ref(), self.customer.as_ref()];
        let claims = claims.into_iter().chain([self.scopes.as_ref()]).flatten();
        if claims.into_iter().any(|claim| claim.trim().is_empty()) {
            return err("the name of a claim is empty");
        }
        let JwksTimes { refresh, cooldown, stale_for } = self.jwks;
        if cooldown < Duration::from_secs(1) || refresh < cooldown || stale_for < refresh {
            return err("jwks: cooldown is at least 1s, refresh not less, stale-for not less");
        }
        if self.leeway > Duration::from_secs(10 * 60) {
            return err("leeway is at most 10m");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("24h", 86_400), (" 1d ", 86_400)] {
            assert_eq!(parsed(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "10", "-1s", "1w", "99999999999999999999s", "9999999999999999999h"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn an_issuer_without_audience_or_role_is_refused() {
        let mut settings = IssuerSettings::new("https://id.example", "ordinal");
        let wrong = |settings: &IssuerSettings| settings.check().unwrap_err().what;
        assert!(wrong(&settings).contains("no token would give a role"));
        settings.customer = Some("customer_id".to_owned());
        assert_eq!(settings.check(), Ok(()));
        settings.map.insert("admins".to_owned(), Role::Ops);
        assert!(wrong(&settings).contains("map needs roles"));
        settings.roles = Some("roles".to_owned());
        assert_eq!(settings.check(), Ok(()));
        settings.jwks.refresh = Duration::from_secs(1);
        assert!(wrong(&settings).contains("jwks"));
        settings.jwks = JwksTimes::default();
        settings.audience.clear();
        assert!(wrong(&settings).contains("audience is missing"));
    }
}
